"""The row of a canary: it keeps two smoke runs apart, and tells what a run made from what somebody else brought in."""

from __future__ import annotations

import boto3
import pytest

import lambdas
from fleetgate import smoke_lock
from fleetgate.environment import ACCOUNT_VARIABLE
from fleetgate.registry import Registry
from fleetgate.smoke_checker import CheckFailed
from fleetgate.smoke_lock import CanaryLock

SERIAL, TYPE, THING = "GW-000000", "gateway", "gateway-GW-000000"


@pytest.fixture
def iot(registry, monkeypatch):
    """The account's things and certificates, beside the table. moto cannot list shadows."""
    monkeypatch.setattr("fleetgate.decommission._remove_shadows", lambda thing: None)
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    return boto3.client("iot")


def lock():
    return CanaryLock(Registry(lambdas.TABLE), TYPE, SERIAL, THING, "--env e2e")


def device(iot, thing=THING):
    """A device as the template makes it; returns its certificate's id."""
    iot.create_thing(thingName=thing)
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    return made["certificateId"]


def lease(registry, certificate_id, **more):
    """What the hook writes: only its own attributes of the row."""
    row = registry.row(SERIAL) or {"serialNumber": SERIAL, "deviceType": TYPE}
    registry.put(**row | {"status": "provisioning", "certificateId": certificate_id, "thingName": THING, **more})


def account(iot):
    things = {thing["thingName"] for thing in iot.list_things()["things"]}
    return things, {certificate["certificateId"] for certificate in iot.list_certificates()["certificates"]}


def test_a_run_takes_a_free_serial_and_leaves_nothing_behind(registry, iot):
    held = lock()
    assert held.take() is False and held.is_held
    assert registry.row(SERIAL)["status"] == "registered"
    certificate = device(iot)
    held.record(certificate)
    lease(registry, certificate)
    held.remove()
    assert registry.row(SERIAL) is None and account(iot) == (set(), set())


def test_a_second_run_waits_for_the_first_and_takes_over_what_a_killed_one_left(registry, iot, monkeypatch):
    killed = lock()
    killed.take()
    registered, refused = device(iot), iot.create_keys_and_certificate(setAsActive=False)["certificateId"]
    killed.record(registered)
    killed.record(refused)
    lease(registry, registered)
    with pytest.raises(CheckFailed, match="another run"):
        lock().take()
    assert account(iot) == ({THING}, {registered, refused})

    monkeypatch.setattr(smoke_lock.time, "time", lambda: 4_000_000_000)
    assert lock().take() is True
    assert account(iot) == (set(), set()) and registry.row(SERIAL)["status"] == "registered"
    assert "certificateId" not in registry.row(SERIAL)
    with pytest.raises(CheckFailed, match="another run has taken"):
        killed.renew()
    assert not killed.is_held


def test_a_device_that_a_stranger_registered_before_the_run_is_told_and_left(registry, iot):
    """Open enrolment lets any well-formed serial in, the reserved one too."""
    stranger = device(iot)
    lease(registry, stranger, status="active")
    before = registry.row(SERIAL)
    held = lock()
    with pytest.raises(CheckFailed) as failed:
        held.take()
    assert (
        stranger in str(failed.value)
        and "reserves as canary_serial" in failed.value.cause
        and "INACTIVE" in failed.value.next_step
    )
    assert not held.is_held
    assert registry.row(SERIAL) == before and account(iot) == ({THING}, {stranger})


def test_a_row_that_an_operator_put_there_is_left_too(registry, iot):
    registry.put(serialNumber=SERIAL, deviceType=TYPE, status="revoked")
    before = registry.row(SERIAL)
    with pytest.raises(CheckFailed, match="is held by somebody"):
        lock().take()
    assert registry.row(SERIAL) == before


def test_a_thing_without_a_row_is_left_and_no_row_stays(registry, iot):
    stranger = device(iot)
    with pytest.raises(CheckFailed, match="no smoke run made it"):
        lock().take()
    assert registry.row(SERIAL) is None and account(iot) == ({THING}, {stranger})


def test_a_stranger_that_comes_while_the_serial_is_open_for_the_run_is_told_and_left(registry, iot):
    held = lock()
    held.take()
    own = iot.create_keys_and_certificate(setAsActive=False)["certificateId"]
    held.record(own)
    stranger = device(iot)
    lease(registry, stranger)
    for attempt in (held.require_own, held.remove):
        with pytest.raises(CheckFailed, match=f"held by certificate {stranger}"):
            attempt()
    held.release()
    assert account(iot) == ({THING}, {own, stranger}) and registry.row(SERIAL)["certificateId"] == stranger
    # Nor does the next run, for which the row has the marks of a smoke run.
    with pytest.raises(CheckFailed, match=f"held by certificate {stranger}"):
        lock().take()
    assert account(iot) == ({THING}, {own, stranger})


def test_a_stranger_s_certificate_on_the_canary_s_thing_is_left_with_the_thing(registry, iot):
    held = lock()
    held.take()
    stranger = device(iot)
    with pytest.raises(CheckFailed, match=stranger):
        held.remove()
    held.release()
    with pytest.raises(CheckFailed, match=stranger):
        lock().take()
    assert account(iot) == ({THING}, {stranger})


def test_a_stranger_that_is_faster_than_the_take_over_is_not_overwritten(registry, iot, monkeypatch):
    killed = lock()
    killed.take()
    killed.release()
    real = Registry.replace

    def late(self, row, expected):
        monkeypatch.setattr(Registry, "replace", real)
        lease(registry, "5" * 64)
        return real(self, row, expected)

    monkeypatch.setattr(Registry, "replace", late)
    with pytest.raises(CheckFailed, match="in this moment"):
        lock().take()
    assert registry.row(SERIAL)["certificateId"] == "5" * 64


def test_the_lease_of_the_direct_question_is_given_back_and_nobody_else_s(registry, iot):
    held = lock()
    held.take()
    held.record("a" * 64)
    lease(registry, "a" * 64)
    held.give_back("a" * 64)
    assert registry.row(SERIAL)["status"] == "registered" and "certificateId" not in registry.row(SERIAL)
    lease(registry, "b" * 64)
    held.give_back("a" * 64)
    assert registry.row(SERIAL)["certificateId"] == "b" * 64


def test_the_serial_is_closed_while_a_run_cleans_up(registry, iot, monkeypatch):
    seen = []
    monkeypatch.setattr(CanaryLock, "_remove_device", lambda self: seen.append(registry.row(SERIAL)["status"]))
    held = lock()
    held.take()
    held.remove()
    assert seen == ["revoked", "revoked"]


def test_a_certificate_stands_in_the_row_before_anything_else_is_done_with_it(registry, iot):
    held = lock()
    held.take()
    held.record("a" * 64)
    held.record("b" * 64)
    assert registry.row(SERIAL)["smokeCertificates"].split() == ["a" * 64, "b" * 64]
