"""Files that are written whole or not at all, whatever happens meanwhile: a full disk, Ctrl-C, a lost machine."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def replace(path: Path, data: bytes, mode: int | None = None, *, exclusive: bool = False) -> None:
    """Writes `data` to `path`, durably. Its folder has to be there.

    mode: the file's permissions, from its first byte on (None: what the umask leaves). exclusive: raises FileExistsError instead
    of taking the place of a file that is there, also of one that came meanwhile.
    """
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
        if exclusive:
            os.link(temporary, path)  # which, unlike a rename, takes no other file's place
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is as durable as what it leads to
    finally:
        os.close(folder)
