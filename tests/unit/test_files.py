"""A file is written whole or not at all, with its permissions from the first byte on."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetgate import files


@pytest.fixture
def full(monkeypatch):
    """A disk that takes ten bytes of each file and no more."""
    flush = os.fsync

    def refuse(handle):
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.ftruncate(handle, 10)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    return lambda: monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(tmp_path, full, exclusive):
    path = tmp_path / "file"
    if not exclusive:
        files.replace(path, b"before")
    full()
    with pytest.raises(OSError, match="No space left"):
        files.replace(path, b"x" * 100, exclusive=exclusive)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({} if exclusive else {"file": b"before"})


def test_what_must_not_be_overwritten_is_not_even_if_it_comes_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "key"
    flush = os.fsync

    def somebody_is_faster(handle):
        flush(handle)
        path.write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", somebody_is_faster)
    with pytest.raises(FileExistsError):
        files.replace(path, b"ours", 0o600, exclusive=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"key": b"theirs"}


@pytest.mark.parametrize("mode, wanted", [(0o600, 0o600), (0o644, 0o644), (0o640, 0o640), (None, 0o644)], ids=str)
@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_a_file_never_has_a_wider_mode_than_it_gets_and_gets_that_whatever_the_umask(tmp_path, monkeypatch, mode, wanted, umask):
    seen, opened = [], os.open

    def watch(path, flags, *given):
        handle = opened(path, flags, *given)
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle

    before = os.umask(umask)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", watch)
            files.replace(tmp_path / "file", b"", mode)
    finally:
        os.umask(before)
    wanted = wanted & ~umask if mode is None else wanted
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == wanted and seen[0] & ~wanted == 0


def test_of_many_writers_one_wins_whole(tmp_path):
    path, texts = tmp_path / "file", [bytes([65 + n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: files.replace(path, text), texts * 4))
    assert path.read_bytes() in texts and [p.name for p in tmp_path.iterdir()] == ["file"]
