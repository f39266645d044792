"""A device's identity on disk: where it goes on after a power loss, and who may read it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace

import pytest

from fleetgate import identity, provisioning, smoke_hook
from fleetgate.errors import FleetgateError
from fleetgate.identity import Identity, IdentityFolder, Step, next_step

NOW = 1_000_000
PEM = smoke_hook.self_made_certificate()
KEY = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"
BEGUN = Identity("S-1", "gateway", identity.certificate_id(PEM), NOW, "the-token")


@pytest.mark.parametrize(
    "found, expected",
    [
        (None, Step.CREATE),
        (BEGUN, Step.REGISTER),
        (replace(BEGUN, created_at=NOW - identity.TOKEN_SECONDS + 1), Step.REGISTER),
        (replace(BEGUN, created_at=NOW - identity.TOKEN_SECONDS), Step.CREATE),
        (replace(BEGUN, created_at=NOW + 3), Step.REGISTER),
        (replace(BEGUN, created_at=NOW + 3600), Step.CREATE),
        (replace(BEGUN, token=None), Step.CREATE),
        (BEGUN.registered("thing"), Step.CONNECT),
        (replace(BEGUN.registered("thing"), created_at=0), Step.CONNECT),
    ],
    ids=["nothing", "fresh", "just good", "expired", "clock a bit behind", "clock far behind", "no token", "registered", "old"],
)
def test_a_device_goes_on_where_it_was(found, expected):
    assert next_step(found, NOW) is expected


def test_a_registered_identity_forgets_its_token_and_a_printed_one_never_shows_it():
    assert "the-token" not in repr(BEGUN)
    assert BEGUN.registered("thing").token is None


def test_what_was_kept_is_read_back(tmp_path):
    folder = IdentityFolder(tmp_path / "S-1")
    assert folder.load() is None
    folder.create(BEGUN, KEY, PEM)
    assert IdentityFolder(tmp_path / "S-1").load() == BEGUN
    folder.update(BEGUN.registered("thing"))
    assert folder.load() == BEGUN.registered("thing")
    assert "the-token" not in (tmp_path / "S-1" / "identity.json").read_text()


def test_secrets_are_for_their_owner_alone_whatever_the_umask_says(tmp_path):
    (tmp_path / "S-1").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        IdentityFolder(tmp_path / "S-1").create(BEGUN, KEY, PEM)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "S-1").iterdir()}
    assert modes == {"key.pem": 0o600, "identity.json": 0o600, "certificate.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "S-1").stat().st_mode) == 0o700


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_power_lost_while_a_new_identity_is_written_leaves_no_half_of_it(tmp_path, monkeypatch, writes):
    folder = IdentityFolder(tmp_path / "S-1")
    folder.create(replace(BEGUN, token="old-token"), "old key", PEM)
    real, done = identity.files.replace, []

    def lose_power(*arguments):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(arguments)
        real(*arguments)

    monkeypatch.setattr(identity.files, "replace", lose_power)
    with pytest.raises(KeyboardInterrupt):
        folder.create(BEGUN, KEY, smoke_hook.self_made_certificate())
    assert folder.load() is None  # it starts over, with a key and certificate that belong together


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda path: (path / "key.pem").unlink(), "key.pem is missing"),
        (lambda path: (path / "certificate.pem").write_text(smoke_hook.self_made_certificate()), "another device's"),
        (lambda path: (path / "certificate.pem").write_text("nonsense"), "no PEM certificate"),
        (lambda path: (path / "identity.json").write_text('{"token": "the-token"'), "JSONDecodeError"),
        (lambda path: (path / "identity.json").write_text('{"token": "the-token"}'), "TypeError"),
        (lambda path: (path / "identity.json").write_text('["the-token"]'), "TypeError"),
    ],
    ids=["no key", "other certificate", "no certificate", "broken", "keys missing", "a list"],
)
def test_a_damaged_identity_is_one_clear_error_that_shows_no_secret(tmp_path, damage, said):
    path = tmp_path / "S-1"
    IdentityFolder(path).create(BEGUN, KEY, PEM)
    damage(path)
    with pytest.raises(FleetgateError) as caught:
        IdentityFolder(path).load()
    assert said in str(caught.value) and "the-token" not in str(caught.value)


def test_only_begun_devices_of_the_type_are_unfinished(tmp_path):
    for serial, kind, connected in [("S-3", "gateway", False), ("S-1", "gateway", False), ("S-2", "gateway", True)]:
        IdentityFolder(tmp_path / serial).create(replace(BEGUN, serial=serial, device_type=kind, connected=connected), KEY, PEM)
    IdentityFolder(tmp_path / "H-1").create(replace(BEGUN, serial="H-1", device_type="humidity-sensor"), KEY, PEM)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "identity.json").write_text("{")
    assert [found.serial for found in identity.unfinished(tmp_path, "gateway")] == ["S-1", "S-3"]
    assert identity.unfinished(tmp_path / "absent", "gateway") == []


@pytest.mark.parametrize(
    "row, open_enrolment, expected",
    [
        (None, False, False),
        (None, True, True),
        ({"status": "registered"}, False, True),
        ({"status": "provisioning", "certificateId": BEGUN.certificate_id}, False, True),
        ({"status": "provisioning", "certificateId": "another"}, False, False),
        ({"status": "revoked", "certificateId": BEGUN.certificate_id}, False, False),
    ],
    ids=["not in the registry", "open", "free", "leased to it", "leased to another", "revoked"],
)
def test_a_begun_device_is_picked_up_only_if_the_gate_could_let_it_in(row, open_enrolment, expected):
    assert provisioning.can_go_on(BEGUN, row, open_enrolment=open_enrolment) is expected


def test_an_identity_that_is_set_aside_keeps_its_key_and_makes_room(tmp_path):
    folder = IdentityFolder(tmp_path / "S-1")
    for expected in ("S-1.old-1", "S-1.old-2"):
        folder.create(BEGUN, f"key of {expected}", PEM)
        assert folder.set_aside() == tmp_path / expected
        assert folder.load() is None
    assert (tmp_path / "S-1.old-1" / "key.pem").read_text() == "key of S-1.old-1"
    assert stat.S_IMODE((tmp_path / "S-1.old-2" / "key.pem").stat().st_mode) == 0o600
    assert identity.unfinished(tmp_path, "gateway") == []


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"status": "active", "certificateId": BEGUN.certificate_id}, True),
        ({"status": "provisioning", "certificateId": BEGUN.certificate_id}, True),
        ({"status": "revoked", "certificateId": BEGUN.certificate_id}, True),
        ({"status": "registered"}, False),
        ({"status": "registered", "certificateId": BEGUN.certificate_id}, False),
        ({"status": "active", "certificateId": "another"}, False),
    ],
    ids=["active", "not connected yet", "revoked", "a new registry", "set back by an operator", "another has it"],
)
def test_the_registry_stands_behind_a_registered_device_by_its_certificate(row, expected):
    assert provisioning.stands_behind(row, BEGUN.registered("thing")) is expected


def test_a_certificates_id_is_the_fingerprint_of_its_der():
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    der = x509.load_pem_x509_certificate(PEM.encode()).public_bytes(serialization.Encoding.DER)
    assert identity.certificate_id(PEM) == hashlib.sha256(der).hexdigest()
    with pytest.raises(ValueError):
        identity.certificate_id(json.dumps({"no": "certificate"}))


def test_a_second_process_is_kept_out_of_a_folder_and_let_in_afterwards(tmp_path):
    folder = IdentityFolder(tmp_path / "S-1")
    another = IdentityFolder(tmp_path / "S-1")
    kept_out = pytest.raises(FleetgateError, match="somebody else is bringing this device in")
    with folder.alone(), kept_out, another.alone():
        pass
    with IdentityFolder(tmp_path / "S-1").alone():
        assert folder.load() is None
