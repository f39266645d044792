"""The process of the embedded cloud: MiniStack, held to the loopback interface.

Run as `python -m fleetgate.embedded_cloud LOCK_FILE` by `fleetgate cloud up`; the settings come in environment variables (see
cloud.py). While it lives it holds a lock on LOCK_FILE, which has its process id and below it, a line each, the ports it serves:
whoever can take the lock knows that it is gone, and whoever finds a port there knows that it is this cloud that answers on it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from pathlib import Path
from typing import IO, Any

LOOPBACK = "127.0.0.1"


def hold_to_loopback(lock: IO[str]) -> None:
    """Makes every server of this process listen on 127.0.0.1, and notes its port in the lock file.

    MiniStack binds its HTTP gateway where BIND_HOST says, but its MQTT listener (and some others) on every interface. A rehearsal
    with well-known credentials must not be reachable from the network, so the choice is taken away from it at the one place
    where servers come from.
    """
    loop: Any = asyncio.base_events.BaseEventLoop
    create_server = loop.create_server

    async def create_loopback_server(
        self: Any, protocol_factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> Any:
        if sock is None:
            server = await create_server(self, protocol_factory, LOOPBACK, port, **options)
        else:
            server = await create_server(self, protocol_factory, sock=sock, **options)
        for served in server.sockets:
            lock.write(f"{served.getsockname()[1]}\n")
        lock.flush()
        return server

    loop.create_server = create_loopback_server


def hold_lock(path: Path) -> IO[str]:
    """Takes the lock and writes this process's id. Raises BlockingIOError if another cloud holds it. Keep the result open."""
    file = path.open("a+", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


class _Longer:
    """The seconds for which a connection may be idle, whatever MiniStack sets."""

    def __get__(self, config: object, owner: type) -> float:
        return 3600.0

    def __set__(self, config: object, value: float) -> None:
        return


def keep_idle_connections() -> None:
    """Lets no idle connection be closed before its client would do it.

    MiniStack closes one that was idle for 75 seconds, and Go's clients, Terraform's provider among them, keep one for 90: a
    request of that very moment is carried out, and its answer finds no connection any more. A server has to have the longer
    patience.
    """
    from hypercorn.config import Config

    Config.keep_alive_timeout = _Longer()  # type: ignore[assignment]


def log_requests(file: Path) -> None:
    """Notes each request with client, status and microseconds, since MiniStack notes only some."""
    from hypercorn.config import Config

    file.unlink(missing_ok=True)  # of the run before
    Config.accesslog = str(file)
    Config.access_log_format = "%(h)s %(R)s %(s)s %(D)s"


def wait_longer_for_logs() -> None:
    """How long an invocation waits for what its function has written: until it is there, at once unless the machine is busy.

    MiniStack waits 50 ms for the first line. What comes later is in the log of the next invocation, and a decision of the hook is
    not found. A function of ours that ends well has written one, so that a second costs nothing.
    """
    from ministack.core.lambda_runtime import Worker

    Worker._drain_stderr_bounded.__defaults__ = (1.0, 0.005, 1.5)  # seconds: the first line, the next, all


if __name__ == "__main__":
    _lock = hold_lock(Path(sys.argv.pop(1)))
    hold_to_loopback(_lock)
    keep_idle_connections()
    log_requests(Path(_lock.name).with_name("requests.log"))
    wait_longer_for_logs()
    from ministack.app import main

    main()
