"""`fleetgate claim restore`: a claim's key on a machine that has not made it, such as a CI runner."""

from __future__ import annotations

import base64
import io
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fleetgate import claims, cli

CLAIM = "factory-1"


def pem(key, encryption=None):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())


def der(text):
    body = base64.b64encode(bytes.fromhex(text)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n".encode()


NO_KEY, NOT_TAKEN = "private key", "that AWS IoT does not take"
ODD_KEYS = {
    "with a password": (pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"x")), NO_KEY),
    "a header of a cipher that nobody knows": (
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: FOO-128,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        "private key",
    ),
    "Ed25519": (pem(ed25519.Ed25519PrivateKey.generate()), NOT_TAKEN),
    "X25519": (der("302e020100300506032b656e04220420" + "11" * 32), NOT_TAKEN),
    "an algorithm that nobody knows": (der("302e0201003005060355040304220420" + "11" * 32), NOT_TAKEN),
    "a small RSA key": (pem(rsa.generate_private_key(65537, 1024)), NOT_TAKEN),
    "another curve": (pem(ec.generate_private_key(ec.SECP256K1())), NOT_TAKEN),
}


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


@pytest.mark.parametrize("given, said", ODD_KEYS.values(), ids=ODD_KEYS)
def test_a_key_that_no_claim_can_have_is_refused_with_the_reason_and_not_shown(elsewhere, fleet, capsys, given, said):
    restore, file, _ = elsewhere
    assert restore(given) == 1 and not file.exists()
    restored = capsys.readouterr()
    fleet.environment.claim_csr_file(CLAIM).unlink()
    file.write_bytes(given)
    assert cli.main(["--root", str(fleet.environment.root), "claim", "create", CLAIM]) == 1
    created = capsys.readouterr()
    assert file.read_bytes() == given and not fleet.environment.claim_csr_file(CLAIM).exists()
    body = given.decode().splitlines()[-2]
    for shown in (restored, created):
        assert said in shown.err and "\n    -> " in shown.err and body not in shown.out + shown.err and shown.out == ""


@pytest.mark.parametrize("key", [ec.SECP384R1(), ec.SECP521R1(), None], ids=["P-384", "P-521", "RSA"])
def test_other_keys_that_aws_iot_takes_are_good(elsewhere, fleet, key):
    restore, file, _ = elsewhere
    given = pem(ec.generate_private_key(key) if key else rsa.generate_private_key(65537, 2048))
    file.write_bytes(given)
    fleet.environment.claim_csr_file(CLAIM).unlink()
    claims.create(fleet.environment, CLAIM)
    file.unlink()
    assert restore(given) == 0 and file.read_bytes() == given
