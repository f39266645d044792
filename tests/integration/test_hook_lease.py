"""The hook and its table: who gets a serial, who gets it again, and who comes too late."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import hook_events
import lambdas

NOW = 1_795_424_400_123
LEASE_MS = lambdas.LEASE_SECONDS * 1000
DENIED = {"allowProvisioning": False, "parameterOverrides": {}}


@pytest.fixture
def hook(registry, tmp_path, monkeypatch):
    for name, value in lambdas.HOOK_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clock = SimpleNamespace(now_ms=NOW)
    handler = lambdas.deploy("provisioning_hook", tmp_path, lambdas.HOOK_CATALOGUE).handler
    handler.time = SimpleNamespace(time_ns=lambda: clock.now_ms * 1_000_000)
    return SimpleNamespace(ask=lambda event: handler.handler(event, None), clock=clock)


def reasons(capsys):
    return [json.loads(line)["reason"] for line in capsys.readouterr().out.splitlines()]


def id_of(seed):
    return hook_events.certificate(seed)[1]


def test_a_registered_serial_is_leased_to_the_certificate(hook, registry):
    registry.put(location="hall-1")
    answer = hook.ask(hook_events.request(Location="hall-2"))
    assert answer["allowProvisioning"] is True
    assert answer["parameterOverrides"]["Location"] == "hall-1"
    assert answer["parameterOverrides"]["ProvisioningTime"] == "2026-11-23T09:00:00Z"
    assert registry.row() == {
        "serialNumber": hook_events.SERIAL,
        "deviceType": hook_events.TYPE,
        "status": "provisioning",
        "registeredAt": "2026-01-01T00:00:00Z",
        "location": "hall-1",
        "certificateId": id_of("device"),
        "claimCertificateId": hook_events.CLAIM_CERTIFICATE,
        "thingName": hook_events.THING,
        "firmwareVersion": "1.10.0",
        "leasedAt": NOW,
        "leaseExpiresAt": NOW + LEASE_MS,
    }


def test_a_lease_under_another_manufacturer_does_not_lock_the_true_device_out(hook, registry):
    registry.put()
    assert hook.ask(hook_events.request("stranger", Manufacturer="SensorTech"))["allowProvisioning"] is True
    hook.clock.now_ms += LEASE_MS
    answer = hook.ask(hook_events.request("device", Manufacturer="AcmeSensors"))
    assert answer["parameterOverrides"]["Manufacturer"] == "AcmeSensors"
    assert "manufacturer" not in registry.row()


def test_a_serial_nobody_registered_is_refused_and_leaves_no_row(hook, registry, capsys):
    assert hook.ask(hook_events.request()) == DENIED
    assert registry.size() == 0
    assert reasons(capsys) == ["unknown_serial"]


GATEWAY = {"SerialNumber": "GW-7", "DeviceType": "gateway", "Manufacturer": "AcmeGateways", "FirmwareVersion": "2.1"}


def test_a_type_with_open_enrolment_registers_a_new_serial_by_itself(hook, registry):
    assert hook.ask(hook_events.request(**GATEWAY))["allowProvisioning"] is True
    row = registry.row("GW-7")
    assert (row["status"], row["registeredAt"]) == ("provisioning", "2026-11-23T09:00:00Z")


def test_open_enrolment_does_not_open_a_serial_that_exists(hook, registry, capsys):
    registry.put(serialNumber="GW-7", deviceType="gateway", status="revoked")
    assert hook.ask(hook_events.request(**GATEWAY)) == DENIED
    registry.put(serialNumber="GW-7", deviceType="gateway", status="active", certificateId=id_of("other"))
    assert hook.ask(hook_events.request(**GATEWAY)) == DENIED
    assert reasons(capsys) == ["revoked", "already_provisioned"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"deviceType": "gateway"}, "wrong_device_type"),
        ({"manufacturer": "SensorTech"}, "wrong_manufacturer"),
        ({"status": "revoked"}, "revoked"),
        ({"status": "revoked", "certificateId": id_of("device")}, "revoked"),
        ({"status": "provisioned", "certificateId": id_of("other")}, "already_provisioned"),
        ({"status": "active", "certificateId": id_of("other")}, "already_provisioned"),
        (
            {"status": "provisioning", "certificateId": id_of("other"), "leasedAt": NOW, "leaseExpiresAt": NOW + 1},
            "raced",
        ),
        (
            {"status": "provisioning", "certificateId": id_of("o"), "leasedAt": NOW - 5000, "leaseExpiresAt": NOW + 1},
            "lease_running",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_a_refusal_by_the_registry_has_its_reason_and_writes_nothing(row, reason, hook, registry, capsys):
    registry.put(**row)
    before = registry.row()
    assert hook.ask(hook_events.request()) == DENIED
    assert registry.row() == before
    assert reasons(capsys) == [reason]


def test_the_same_certificate_twice_is_allowed_twice_in_one_row(hook, registry):
    registry.put()
    first = hook.ask(hook_events.request())
    row = registry.row()
    hook.clock.now_ms += 2_000
    assert hook.ask(hook_events.request()) == first
    assert first["allowProvisioning"] is True
    assert (registry.row(), registry.size()) == (row, 1)


@pytest.mark.parametrize("status", ["provisioned", "active"])
def test_the_same_certificate_is_allowed_after_its_device_was_finished_and_the_row_stays(status, hook, registry):
    registry.put()
    first = hook.ask(hook_events.request())
    row = registry.row() | {"status": status, "provisionedAt": "2026-11-23T09:00:01Z"}
    del row["leaseExpiresAt"]
    registry.put(**row)
    hook.clock.now_ms += 10 * LEASE_MS
    assert hook.ask(hook_events.request()) == first
    assert registry.row() == row


def test_a_device_that_lost_power_gets_through_with_a_new_certificate_once_its_lease_has_run_out(hook, registry, capsys):
    registry.put()
    hook.ask(hook_events.request("before"))
    hook.clock.now_ms = NOW + LEASE_MS - 1
    assert hook.ask(hook_events.request("after")) == DENIED
    hook.clock.now_ms = NOW + LEASE_MS
    assert hook.ask(hook_events.request("after"))["allowProvisioning"] is True
    assert registry.row()["certificateId"] == id_of("after")
    assert registry.row()["leaseExpiresAt"] == NOW + 2 * LEASE_MS
    assert hook.ask(hook_events.request("before")) == DENIED
    assert reasons(capsys) == ["allowed", "lease_running", "allowed", "raced"]


def test_a_lease_forgets_the_times_of_an_earlier_life(hook, registry):
    registry.put(provisionedAt="2025-01-01T00:00:00Z", firstConnectedAt="2025-01-01T00:00:09Z")
    hook.ask(hook_events.request())
    assert not {"provisionedAt", "firstConnectedAt"} & registry.row().keys()


def test_fifty_claims_for_one_serial_at_once_have_one_winner(hook, registry, capsys):
    registry.put()
    seeds = [f"device-{number}" for number in range(50)]
    events = [hook_events.request(seed) for seed in seeds]
    barrier = threading.Barrier(len(seeds))

    def ask(event):
        barrier.wait()
        return hook.ask(event)

    with ThreadPoolExecutor(len(seeds)) as pool:
        answers = list(pool.map(ask, events))
    winners = [seed for seed, answer in zip(seeds, answers, strict=True) if answer["allowProvisioning"]]
    assert len(winners) == 1
    assert [answer for answer in answers if not answer["allowProvisioning"]] == [DENIED] * 49
    assert registry.row()["certificateId"] == id_of(winners[0])
    assert sorted(reasons(capsys)) == ["allowed"] + ["raced"] * 49


def test_a_table_that_does_not_exist_is_an_error_and_no_denial(registry, tmp_path, monkeypatch):
    for name, value in (lambdas.HOOK_ENVIRONMENT | {"TABLE_NAME": "another-table"}).items():
        monkeypatch.setenv(name, value)
    handler = lambdas.deploy("provisioning_hook", tmp_path, lambdas.HOOK_CATALOGUE).handler
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        handler.handler(hook_events.request(), None)
