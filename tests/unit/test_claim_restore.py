"""`fleetgate claim restore`: a claim's key on a machine that has not made it, such as a CI runner."""

from __future__ import annotations

import io
import sys

import pytest

from fleetgate import claims, cli

CLAIM = "factory-1"


@pytest.fixture
def elsewhere(fleet, monkeypatch):
    """The checkout of a machine that has the signing request and not the key; gives a call of the command, and the key."""
    folder = fleet.environment.claim_folder(CLAIM)
    key = (folder / claims.KEY_FILE).read_bytes()
    (folder / claims.KEY_FILE).unlink()

    def restore(given: bytes, name: str = CLAIM) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        return cli.main(["--root", str(fleet.environment.root), "claim", "restore", name])

    return restore, folder / claims.KEY_FILE, key


def test_the_key_is_put_back_for_its_owner_alone_and_is_not_shown(elsewhere, capsys):
    restore, file, key = elsewhere
    assert restore(key) == 0
    assert file.read_bytes() == key and file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    said = "".join(capsys.readouterr())
    assert str(file) in said and "PRIVATE" not in said
    assert restore(key) == 1 and "not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize("given", [b"", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nZm9v\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_without_repeating_it(elsewhere, capsys, given):
    restore, file, _ = elsewhere
    assert restore(given) == 1 and not file.exists()
    error = capsys.readouterr().err
    assert "holds no private key" in error and "Zm9v" not in error and "Traceback" not in error


def test_the_key_of_something_else_is_refused(elsewhere, capsys, fleet):
    restore, file, key = elsewhere
    fleet.environment.claim_csr_file(CLAIM).unlink()
    claims.create(fleet.environment, CLAIM)
    file.unlink()
    assert restore(key) == 1 and not file.exists()
    assert "holds another key than claim factory-1's signing request is of" in capsys.readouterr().err


def test_a_claim_that_there_is_not_is_refused(elsewhere, capsys):
    restore, _, key = elsewhere
    assert restore(key, "factory-9") == 1
    assert "did you mean factory-1?" in capsys.readouterr().err


def test_a_signing_request_that_is_none_is_said_so(elsewhere, capsys, fleet):
    restore, file, key = elsewhere
    fleet.environment.claim_csr_file(CLAIM).write_text("nothing")
    assert restore(key) == 1 and not file.exists()
    assert "is no signing request" in capsys.readouterr().err
