"""`fleetgate claim rotate` and `retire` on a checkout's files; what AWS hears of it is in tests/e2e/test_claim_rotation.py."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fleetgate import claims, environment

FILE = "terraform/envs/moto.yaml"


@pytest.fixture
def file(checkout, fleetgate):
    path = checkout / FILE
    path.write_text(
        path.read_text(encoding="utf-8").replace("  factory-1: {}", "  # berlin\n  factory-1: {}  # line 3"), encoding="utf-8"
    )
    path.chmod(0o640)
    return path


def active(checkout):
    return {name: claim.active for name, claim in environment.load(checkout, "moto").settings.claims.items()}


def test_a_rotation_puts_a_new_claim_with_key_and_request_beside_the_old_one(fleetgate, checkout, file):
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 0 and active(checkout) == {"factory-1": True, "factory-1-r2": True}
    assert file.read_text(encoding="utf-8") == before.replace("# line 3\n", "# line 3\n  factory-1-r2: {}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and not list(file.parent.glob(".*.new"))
    key = checkout / "build/moto/claims/factory-1-r2/key.pem"
    request = checkout / "terraform/envs/moto-claims/factory-1-r2.csr.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and "CERTIFICATE REQUEST" in request.read_text()
    assert "PRIVATE KEY-" not in out + err and str(key) in out
    steps = ["under version control", "make apply ENV=moto", "give the factories", "fleetgate claim retire factory-1 --env moto"]
    assert [err.index(step) for step in steps] == sorted(err.index(step) for step in steps)
    assert fleetgate("claim", "rotate", "factory-1-r2", "--yes")[0] == 0 and list(active(checkout))[-1] == "factory-1-r3"


@pytest.mark.parametrize("words", [["--dry-run"], []], ids=["dry run", "nobody to ask"])
@pytest.mark.parametrize("verb", ["rotate", "retire"])
def test_nothing_changes_without_consent(fleetgate, checkout, file, verb, words):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", verb, "factory-1", *words)
    assert status == (0 if words else 1) and file.read_text(encoding="utf-8") == before
    assert "factory-1" in (out if words else err) and not (checkout / "build/moto/claims").exists()


def test_a_claim_that_there_is_not_is_told_in_the_same_words_whatever_it_was_for(fleetgate, file):
    said = {fleetgate("claim", verb, "factory-7", "--dry-run")[2] for verb in ("create", "rotate", "retire")}
    assert len(said) == 1 and "did you mean factory-1? or add `factory-7: {}` under claims first" in said.pop()


@pytest.mark.parametrize(
    "words, part",
    [
        (["rotate", "factory-7"], "did you mean factory-1?"),
        (["retire", "factory-7"], "did you mean factory-1?"),
        (["rotate", "factory-1", "--as", "factory-1"], "--as NAME"),
        (["rotate", "factory-1", "--as", "No Name"], "lower case letters"),
        (["retire", "factory-1"], "fleetgate claim rotate factory-1 --env moto"),
        (["retire", "factory-1", "--now"], "last active one"),
        (["retire", "factory-1", "--force"], "--now --force"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_told_with_the_way_out(fleetgate, file, words, part):
    before = file.read_text(encoding="utf-8")
    status, out, err = fleetgate("claim", *words, "--yes")
    assert (status, out) == (1, "") and part in err and file.read_text(encoding="utf-8") == before


def test_a_retirement_changes_one_line_and_can_be_repeated(fleetgate, checkout, file):
    file.write_text(file.read_text(encoding="utf-8") + "  factory-2: {}\n", encoding="utf-8")
    status, _, err = fleetgate("claim", "retire", "factory-1", "--yes")
    assert status == 0 and active(checkout) == {"factory-1": False, "factory-2": True}
    assert "  # berlin\n  factory-1: {active: false}  # line 3\n" in file.read_text(encoding="utf-8")
    assert "until the next apply it is still good" in err and "devices that have come in are not affected" in err
    assert "is retired already" in fleetgate("claim", "retire", "factory-1", "--yes")[1]
    assert "is retired" in fleetgate("claim", "rotate", "factory-1", "--yes")[2]


def test_a_rotation_that_fails_half_way_leaves_the_file_as_it_was(fleetgate, checkout, file):
    before = file.read_text(encoding="utf-8")
    blocker = checkout / "build/moto/claims"
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("a file where the folder should be")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and str(blocker) in err and file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("write", range(3), ids=["key", "request", "environment's file"])
def test_a_disk_that_is_full_at_any_write_of_a_rotation_leaves_nothing_half_done(fleetgate, checkout, file, monkeypatch, write):
    before = file.read_text(encoding="utf-8")
    left, flush = iter(range(9)), os.fsync

    def full(handle):
        if Path(f"/proc/self/fd/{handle}").resolve().name.endswith(".new") and next(left) == write:
            os.ftruncate(handle, 10)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "No space left" in err
    assert file.read_text(encoding="utf-8") == before and active(checkout) == {"factory-1": True}
    assert not list((checkout / "build/moto/claims").rglob("*.pem*")) and not list(file.parent.rglob("*r2*"))
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0 and "factory-1-r2" in active(checkout)


def test_a_request_that_lies_there_already_is_not_overwritten(fleetgate, checkout, file):
    path = checkout / "terraform/envs/moto-claims/factory-1-r2.csr.pem"
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    status, _, err = fleetgate("claim", "rotate", "factory-1", "--yes")
    assert status == 1 and "--as NAME" in err and path.read_text() == "somebody's" and active(checkout) == {"factory-1": True}


def test_a_key_whose_request_was_never_written_gets_one(fleetgate, checkout, file):
    assert fleetgate("claim", "rotate", "factory-1", "--yes")[0] == 0
    env = environment.load(checkout, "moto")
    key = (env.claim_folder("factory-1-r2") / claims.KEY_FILE).read_bytes()
    env.claim_csr_file("factory-1-r2").unlink()
    assert fleetgate("claim", "create", "factory-1-r2")[0] == 0
    assert (env.claim_folder("factory-1-r2") / claims.KEY_FILE).read_bytes() == key
