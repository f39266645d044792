"""A drain takes devices away and lets their serial numbers come in again, whatever it was interrupted by."""

from __future__ import annotations

from types import SimpleNamespace

import boto3
import pytest

import hook_events
import lambdas
from fleetgate import audit, decommission, drain
from fleetgate.drain import DeployedType
from fleetgate.environment import ACCOUNT_VARIABLE
from shadows import FakeShadows

TYPE, POLICY = hook_events.TYPE, f"fleetgate-{hook_events.TYPE}"
TYPES = [DeployedType(TYPE, POLICY, TYPE)]


@pytest.fixture
def iot(registry, monkeypatch):
    """The account's things and certificates, beside the table. moto cannot list shadows."""
    monkeypatch.setattr("fleetgate.decommission._remove_shadows", lambda thing: None)
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    client = boto3.client("iot")
    client.create_policy(policyName=POLICY, policyDocument="{}")
    return client


@pytest.fixture
def device(iot, registry):
    """Brings a device in as hook, template and onboarding leave it; returns the id of its certificate."""

    def bring_in(serial, thing=True, **row):
        made = iot.create_keys_and_certificate(setAsActive=True)
        iot.attach_policy(policyName=POLICY, target=made["certificateArn"])
        if thing:
            iot.create_thing(thingName=f"{TYPE}-{serial}")
            iot.attach_thing_principal(thingName=f"{TYPE}-{serial}", principal=made["certificateArn"])
        held = {"status": "active", "certificateId": made["certificateId"], "thingName": f"{TYPE}-{serial}"}
        registry.put(**{"serialNumber": serial, **held, **row})
        return made["certificateId"]

    return bring_in


def run(**options):
    """What one drain finds, and what it says at the end."""
    said, deed = [], audit.Deed()
    devices = drain.find(lambdas.TABLE, TYPES)
    drain.remove(devices, said.append, deed, **options)
    return SimpleNamespace(
        things=devices.things,
        certificates=devices.certificates,
        steps=devices.steps(),
        said=said[-1].strip(),
        kept=said[:-1],
        done=deed.steps,
    )


def account(iot):
    things = {thing["thingName"] for thing in iot.list_things()["things"]}
    return things, {certificate["certificateId"] for certificate in iot.list_certificates()["certificates"]}


def test_a_drained_serial_is_as_it_was_before_its_device_came_in_and_comes_in_again(registry, iot, device, tmp_path, monkeypatch):
    """Through the real functions, so that an attribute they come to write is not forgotten here."""
    functions = {}
    for name, variables, catalogue in (
        ("provisioning_hook", lambdas.HOOK_ENVIRONMENT, lambdas.HOOK_CATALOGUE),
        ("onboarding", lambdas.ONBOARDING_ENVIRONMENT, lambdas.ONBOARDING_CATALOGUE),
    ):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        (tmp_path / name).mkdir()
        functions[name] = lambdas.deploy(name, tmp_path / name, catalogue)
    functions["onboarding"].handler.SHADOWS = functions["onboarding"].shadow.Shadows(FakeShadows())
    hook = lambda event: functions["provisioning_hook"].handler.handler(event, None)["allowProvisioning"]  # noqa: E731

    registry.put(manufacturer="AcmeSensors", location="hall-1")
    before = registry.row()
    assert hook(hook_events.request())
    certificate = device(hook_events.SERIAL, **registry.row() | {"thingName": hook_events.THING})
    registry.put(**registry.row() | {"certificateId": certificate})
    leased = set(registry.row())
    for event in ("thing_created", "presence_connected"):
        functions["onboarding"].handler.handler(lambdas.event(event) | {"principalIdentifier": certificate}, None)
    assert registry.row()["status"] == "active" and {"provisionedAt", "firstConnectedAt"} <= set(registry.row()) - leased

    assert run().said == "removed 1 device, and what certificates were left; 1 serial number may come in again"
    assert registry.row() == before and account(iot) == (set(), set())
    assert hook(hook_events.request("its new certificate"))


def test_a_lease_that_was_cut_off_half_way_is_freed_too(registry, iot, device):
    device("TEMP-000001", thing=False, status="provisioning", leaseExpiresAt=1)
    run()
    assert account(iot) == (set(), set()) and registry.row() == {
        "serialNumber": "TEMP-000001",
        "deviceType": TYPE,
        "status": "registered",
        "registeredAt": "2026-01-01T00:00:00Z",
    }


def test_a_revoked_serial_stays_revoked_with_its_history_and_is_no_device_any_more(registry, iot, device):
    certificate = device("TEMP-000001", status="revoked", firstConnectedAt="2026-01-02T00:00:00Z")
    device("TEMP-000002")
    device("TEMP-000003")
    before = registry.row("TEMP-000001")
    assert run().said == "removed 3 devices, and what certificates were left; 2 serial numbers may come in again"
    assert account(iot) == (set(), set())
    del before["thingName"]
    assert registry.row("TEMP-000001") == before and before["certificateId"] == certificate
    again = run()
    assert (again.things, again.certificates) == ([], [])


def test_an_interrupted_drain_frees_nothing_too_early_and_is_finished_by_the_next(registry, iot, device, monkeypatch):
    for number in range(1, 5):
        device(f"TEMP-{number:06}")
    before = registry.row("TEMP-000003")
    real = decommission.remove_device

    def fail(thing, *how):
        if thing.endswith("3"):
            raise KeyboardInterrupt
        return real(thing, *how)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(decommission, "remove_device", fail)
        run()
    assert registry.row("TEMP-000003") == before and f"{TYPE}-TEMP-000003" in account(iot)[0]
    assert "4 serial numbers may come in again" in run().said
    assert account(iot) == (set(), set())
    assert {registry.row(f"TEMP-{number:06}")["status"] for number in range(1, 5)} == {"registered"}


def test_a_serial_that_another_certificate_has_taken_meanwhile_is_left(registry, iot, device, monkeypatch):
    device("TEMP-000001")
    newer = {"status": "provisioning", "certificateId": "5" * 64, "thingName": f"{TYPE}-TEMP-000001"}
    monkeypatch.setattr(decommission, "remove_device", lambda *_: registry.put(**newer))
    assert "0 serial numbers" in run().said
    assert registry.row()["certificateId"] == "5" * 64 and registry.row()["status"] == "provisioning"


def test_a_row_that_is_revoked_while_its_device_goes_stays_revoked(registry, iot, device, monkeypatch):
    device("TEMP-000001")
    real = decommission.remove_device

    def revoke_first(*what):
        registry.put(**registry.row() | {"status": "revoked"})
        return real(*what)

    monkeypatch.setattr(decommission, "remove_device", revoke_first)
    assert "0 serial numbers" in run().said
    assert registry.row()["status"] == "revoked" and "thingName" not in registry.row()


def test_before_a_destroy_no_row_is_written(registry, iot, device):
    device("TEMP-000001")
    before = registry.row()
    assert run(free_serials=False).said == "removed 1 device, and what certificates were left"
    assert registry.row() == before and account(iot) == (set(), set())


def test_devices_of_other_types_and_somebody_elses_things_are_left(registry, iot, device):
    other = iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    registry.put(serialNumber="GW-1", deviceType="gateway", status="active", certificateId=other, thingName="gateway-GW-1")
    iot.create_thing(thingName="gateway-GW-1")
    shared = device("TEMP-000001")
    arn = iot.describe_certificate(certificateId=shared)["certificateDescription"]["certificateArn"]
    iot.create_thing(thingName="somebodys")
    iot.attach_thing_principal(thingName="somebodys", principal=arn)
    before = registry.row("GW-1")
    run()
    assert account(iot) == ({"gateway-GW-1", "somebodys"}, {other, shared}) and registry.row("GW-1") == before
    assert iot.list_attached_policies(target=arn)["policies"] == [] and registry.row()["status"] == "registered"


def test_a_rotated_certificate_is_found_by_its_policy(registry, iot, device):
    device("TEMP-000001")
    rotated = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=POLICY, target=rotated["certificateArn"])
    iot.attach_thing_principal(thingName=f"{TYPE}-TEMP-000001", principal=rotated["certificateArn"])
    assert decommission.things_of(rotated["certificateId"]) == [f"{TYPE}-TEMP-000001"]
    assert run().things == [f"{TYPE}-TEMP-000001"]
    assert account(iot) == (set(), set()) and decommission.things_of(rotated["certificateId"]) == []


@pytest.fixture
def certificate(iot):
    """Makes a certificate that holds these policies and is attached to these things; returns its id."""

    def make(policies, *things):
        made = iot.create_keys_and_certificate(setAsActive=True)
        for policy in policies:
            if policy not in {held["policyName"] for held in iot.list_policies()["policies"]}:
                iot.create_policy(policyName=policy, policyDocument="{}")
            iot.attach_policy(policyName=policy, target=made["certificateArn"])
        for thing in things:
            iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        return made["certificateId"]

    return make


def held(iot, certificate_id):
    arn = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
    things = iot.list_principal_things(principal=arn)["things"]
    return {policy["policyName"] for policy in iot.list_attached_policies(target=arn)["policies"]}, things


@pytest.mark.parametrize("foreign", ["fleetgate-claim", "backend"])
def test_a_certificate_with_a_policy_that_is_not_ours_only_loses_ours_and_is_told(registry, iot, certificate, foreign):
    other = certificate([POLICY, foreign])
    drained = run()
    assert "or they hold policies of others" in drained.steps[-1]
    assert held(iot, other) == ({foreign}, [])
    told = f"kept without our policies, it holds policies that are not ours: {foreign}"
    assert drained.kept == [f"  certificate {other}: {told}"] and f"certificate {other}: {told}" in drained.done
    assert run().certificates == []


@pytest.mark.parametrize("policies", [[POLICY, "fleetgate-claim"], ["fleetgate-claim"]], ids=["beside ours", "alone"])
@pytest.mark.parametrize("in_row", [False, True], ids=["attached", "attached and in the row"])
def test_a_device_goes_and_a_claim_that_is_attached_to_it_stays(registry, iot, device, certificate, policies, in_row):
    own = device("TEMP-000001")
    claim = certificate(policies, f"{TYPE}-TEMP-000001")
    if in_row:
        registry.put(**registry.row() | {"certificateId": claim})
    drained = run()
    assert own not in account(iot)[1] and account(iot) == (set(), {claim}) and held(iot, claim) == ({"fleetgate-claim"}, [])
    assert f"certificate {claim}: detached from {TYPE}-TEMP-000001 and kept" in drained.kept[0]
    assert registry.row()["status"] == "registered"


def test_another_stacks_thing_stays_with_its_certificates_whoever_has_given_it_our_policy(registry, iot, certificate):
    iot.create_thing(thingName="pumps-pump-1")
    first, second = certificate([POLICY, "pumps-pump"], "pumps-pump-1"), certificate(["pumps-pump"], "pumps-pump-1")
    third = certificate([POLICY], "pumps-pump-1")
    drained = run()
    assert account(iot) == ({"pumps-pump-1"}, {first, second, third})
    assert [held(iot, one) for one in (first, second, third)] == [
        ({"pumps-pump"}, ["pumps-pump-1"]),
        ({"pumps-pump"}, ["pumps-pump-1"]),
        (set(), ["pumps-pump-1"]),
    ]
    thing = "thing pumps-pump-1: kept, it has not a name and a type of ours"
    assert thing in drained.steps and f"  {thing}" in drained.kept and len(drained.kept) == 3


@pytest.mark.parametrize(
    ("name", "thing_type", "goes"),
    [
        pytest.param(f"{TYPE}-X1", TYPE, True, id="both"),
        pytest.param(f"{TYPE}-X1", "pump", False, id="the name only"),
        pytest.param("x1", TYPE, False, id="the type only"),
        pytest.param(f"{TYPE}-X1", None, False, id="no type"),
    ],
)
def test_a_thing_without_a_row_goes_if_name_and_type_are_those_that_the_gate_gives(
    registry, iot, certificate, name, thing_type, goes
):
    for kind in (TYPE, "pump"):
        iot.create_thing_type(thingTypeName=kind)
    iot.create_thing(thingName=name, **{"thingTypeName": thing_type} if thing_type else {})
    own = certificate([POLICY], name)
    assert run().things == [name] * goes
    assert account(iot) == ((set(), set()) if goes else ({name}, {own}))
