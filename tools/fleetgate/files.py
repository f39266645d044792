"""Files that are written whole or not at all, whatever happens meanwhile: a full disk, Ctrl-C, a lost machine."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

#: What a process that was killed leaves of a file that it was writing, a private key's text, say. It names the process.
_LEFT = re.compile(r"\..+\.([0-9]{1,9})-[0-9]+\.new")


def replace(path: Path, data: bytes, mode: int | None = None) -> None:
    """Writes `data` to `path`, durably, in the place of a file that is there. Its folder has to be there.

    mode: the file's permissions, from its first byte on (None: what the umask leaves).
    """
    _write(path, data, mode, lambda temporary: temporary.replace(path))


def create(path: Path, data: bytes, mode: int | None = None) -> None:
    """The same, but raises FileExistsError if a file is there, also one that came meanwhile."""
    _write(path, data, mode, lambda temporary: os.link(temporary, path))  # which, unlike a rename, takes no other file's place


def deliver(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replaces a file that somebody has named: where that is a link, what it leads to; a pipe or a device is written to."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
    else:
        replace(path.resolve(), data, mode)


def _write(path: Path, data: bytes, mode: int | None, put_in_place: Callable[[Path], object]) -> None:
    # A name of its own for each writer: another one's half must not be taken for this one's whole.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, 0o666 if mode is None else mode & 0o600), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(path.parent)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is as durable as what it leads to
    finally:
        os.close(folder)


def _sweep(folder: Path) -> None:
    """Takes away what writers have left that are gone. Of all files of the folder: a key, once there, is not written again."""
    for path in folder.iterdir():
        left = _LEFT.fullmatch(path.name)
        if left and not _runs(int(left.group(1))):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
