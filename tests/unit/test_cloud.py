"""The embedded cloud's process: one for each environment, on the loopback interface."""

from __future__ import annotations

import asyncio
import http.server
import os
import queue
import subprocess
import sys
import threading

import pytest
from hypercorn.config import Config
from ministack.core import lambda_runtime

from fleetgate import cloud, embedded_cloud, environment
from fleetgate.errors import FleetgateError


def test_a_lock_that_is_held_keeps_a_second_cloud_out(tmp_path):
    held = embedded_cloud.hold_lock(tmp_path / "lock")
    code = "import sys; from pathlib import Path; from fleetgate.embedded_cloud import hold_lock; hold_lock(Path(sys.argv[1]))"
    second = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True, check=False)
    assert second.returncode != 0 and "BlockingIOError" in second.stderr
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    held.close()
    assert embedded_cloud.hold_lock(tmp_path / "lock")


def test_no_idle_connection_is_closed_before_its_client_would_do_it(monkeypatch):
    """Of 600 requests timed for the moment in which a busy server closed theirs, 6 were carried out without an answer."""
    monkeypatch.setattr(Config, "keep_alive_timeout", Config.keep_alive_timeout)  # put back afterwards
    embedded_cloud.keep_idle_connections()
    config = Config()
    config.keep_alive_timeout = 75  # as MiniStack does
    assert config.keep_alive_timeout > 90  # as long as Go's clients keep one


def test_an_invocation_waits_for_what_its_function_has_written(monkeypatch):
    drain = lambda_runtime.Worker._drain_stderr_bounded
    monkeypatch.setattr(drain, "__defaults__", drain.__defaults__)  # put back afterwards
    embedded_cloud.wait_longer_for_logs()
    worker = lambda_runtime.Worker.__new__(lambda_runtime.Worker)
    worker._stderr_queue = queue.Queue()
    late = threading.Timer(0.2, worker._stderr_queue.put, ["a line"])
    late.start()
    assert worker._drain_stderr_bounded() == "a line"
    late.join()


def test_a_cloud_that_was_killed_counts_as_down(checkout):
    local = environment.load(checkout, "local")
    folder = local.build / "cloud"
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1\n")  # the process of that id lives, and is not ours
    assert cloud.status(local).pid is None
    assert cloud.down(local) is False


def test_a_cloud_that_is_down_is_asked_for_by_the_command_that_fits(checkout):
    local = environment.load(checkout, "local")
    with pytest.raises(FleetgateError, match="cloud up --env local; it never ran yet: make apply starts it"):
        cloud.require(local)
    cloud.log_file(local).parent.mkdir(parents=True)
    cloud.log_file(local).touch()
    with pytest.raises(FleetgateError, match=r"cloud up --env local$"):
        cloud.require(local)


def test_an_environment_on_aws_has_no_cloud_to_ask_for(checkout):
    with pytest.raises(FleetgateError, match="is on AWS"):
        cloud.status(environment.load(checkout, "example"))


def test_a_server_for_every_interface_gets_the_loopback_interface_only():
    code = """
import asyncio, io
from fleetgate.embedded_cloud import hold_to_loopback
lock = io.StringIO()
hold_to_loopback(lock)
async def serve():
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "0.0.0.0", 0)
    host, port = server.sockets[0].getsockname()
    print(host, lock.getvalue() == f"{port}\\n")
asyncio.run(serve())
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [embedded_cloud.LOOPBACK, "True"]
    assert "create_loopback_server" not in asyncio.base_events.BaseEventLoop.create_server.__name__  # not in this process


def test_another_cloud_that_answers_on_the_port_is_not_taken_for_ours(checkout):
    """Two checkouts that start at once on one port: the one whose process cannot have it must not use the other's cloud."""

    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"iot_mtls": "listening"}')

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = checkout / "terraform/envs/local.yaml"
        path.write_text(path.read_text().replace("4566", str(server.server_port)))
        local = environment.load(checkout, "local")
        lock = local.build / "cloud" / "lock"
        lock.parent.mkdir(parents=True)
        with embedded_cloud.hold_lock(lock) as held:
            assert not cloud.status(local).ready
            held.write(f"{server.server_port}\n8883\n")
            held.flush()
            assert cloud.status(local).ready
        server.shutdown()
