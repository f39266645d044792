"""A file is written whole or not at all, with its permissions from the first byte on."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkouts import ROOT
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


@pytest.mark.parametrize("write, before", [(files.replace, {"file": b"before"}), (files.create, {})], ids=["replace", "create"])
def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(tmp_path, full, write, before):
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    full()
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"x" * 100)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_must_not_be_overwritten_is_not_even_if_it_comes_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "key"
    flush = os.fsync

    def somebody_is_faster(handle):
        flush(handle)
        path.write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", somebody_is_faster)
    with pytest.raises(FileExistsError):
        files.create(path, b"ours", 0o600)
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


def test_what_a_killed_writer_has_left_goes_with_the_next_write_into_its_folder(tmp_path):
    script = """if True:
        import os, sys
        from pathlib import Path
        from fleetgate import files
        os.fsync = lambda _: os.kill(os.getpid(), 9)
        files.create(Path(sys.argv[1]), b"key", 0o600)"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "key.pem"])
    [left] = tmp_path.iterdir()
    assert left.read_bytes() == b"key" and left.name.startswith(".key.pem.")
    running = tmp_path / f".other.{os.getppid()}-1.new"
    others = [running, tmp_path / ".mine.new", tmp_path / "a.999999999-1.new"]
    for path in others:
        path.write_bytes(b"")
    files.replace(tmp_path / "certificate.pem", b"")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "certificate.pem"])


def test_what_a_killed_writer_leaves_is_not_put_under_version_control(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (tmp_path / ".key.pem.1-2.new").write_text("")
    shown = subprocess.run(["git", "-C", tmp_path, "status", "--short"], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == ["??", ".gitignore"]


def test_what_is_delivered_follows_a_link_and_takes_no_pipes_place(tmp_path):
    kept, link, pipe = tmp_path / "kept", tmp_path / "link", tmp_path / "pipe"
    kept.write_bytes(b"before")
    link.symlink_to(kept)
    files.deliver(link, b"after", 0o600)
    assert link.is_symlink() and kept.read_bytes() == b"after" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        files.deliver(pipe, b"said")
        assert read.result(10) == b"said" and pipe.is_fifo()
