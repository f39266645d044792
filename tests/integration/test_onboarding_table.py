"""The onboarding function and its table: whatever the order and number of the events, the end is the same."""

import itertools
import json

import pytest

import hook_events
import lambdas
from shadows import FakeShadows

CERTIFICATE = hook_events.certificate("device")[1]
T0, T1, T2 = 1_795_424_400_123, 1_795_424_405_456, 1_795_424_999_000
CREATED = lambdas.event("thing_created") | {"timestamp": T0}
FIRST = lambdas.event("presence_connected") | {"principalIdentifier": CERTIFICATE, "timestamp": T1}
LATER = FIRST | {"timestamp": T2}
LEASED = {
    "status": "provisioning",
    "thingName": hook_events.THING,
    "certificateId": CERTIFICATE,
    "leasedAt": T0,
    "leaseExpiresAt": T0 + 600_000,
}
INITIAL = lambdas.ONBOARDING_CATALOGUE["deviceTypes"]["temperature-sensor"]["initialShadow"]


@pytest.fixture
def onboarding(registry, tmp_path, monkeypatch):
    for name, value in lambdas.ONBOARDING_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    function = lambdas.deploy("onboarding", tmp_path, lambdas.ONBOARDING_CATALOGUE)
    function.service = FakeShadows()
    function.handler.SHADOWS = function.shadow.Shadows(function.service)
    function.take = lambda event: function.handler.handler(event, None)
    return function


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_created_thing_becomes_provisioned_and_gets_its_shadow(onboarding, registry, capsys):
    registry.put(**LEASED)
    onboarding.take(CREATED)
    row = registry.row()
    assert (row["status"], row["provisionedAt"]) == ("provisioned", "2026-11-23T09:00:00Z")
    assert "leaseExpiresAt" not in row
    assert onboarding.service.documents == {hook_events.THING: {"desired": INITIAL}}
    assert records(capsys) == [
        {
            "event": "onboarding",
            "kind": "created",
            "thingName": hook_events.THING,
            "result": "provisioned",
            "shadow": "written",
            "at": "2026-11-23T09:00:00Z",
            "requestId": None,
        }
    ]


def test_the_first_connection_of_the_new_certificate_makes_it_active(onboarding, registry, capsys):
    registry.put(**LEASED)
    onboarding.take(FIRST)
    row = registry.row()
    assert (row["status"], row["firstConnectedAt"]) == ("active", "2026-11-23T09:00:05Z")
    assert "leaseExpiresAt" not in row
    assert [(r["result"], r["shadow"]) for r in records(capsys)] == [("active", None)]


def test_a_second_life_of_a_thing_that_stayed_becomes_active_by_its_connection_alone(onboarding, registry):
    registry.put(**LEASED)
    onboarding.service.app_desires(hook_events.THING, samplingRate=5)
    onboarding.take(LATER)
    onboarding.take(FIRST)
    row = registry.row()
    assert (row["status"], row["firstConnectedAt"]) == ("active", "2026-11-23T09:00:05Z")
    assert "provisionedAt" not in row
    assert onboarding.service.documents == {hook_events.THING: {"desired": {"samplingRate": 5}}}


def test_twice_delivered_and_reordered_events_end_in_the_same_row_and_shadow(onboarding, registry):
    events = [CREATED, CREATED, FIRST, FIRST, LATER, LATER]
    orders = {tuple(order) for order in itertools.permutations([0, 0, 2, 2, 4, 4])}
    assert len(orders) == 90
    expected = {
        "serialNumber": hook_events.SERIAL,
        "deviceType": hook_events.TYPE,
        "registeredAt": "2026-01-01T00:00:00Z",
        **LEASED,
        "status": "active",
        "provisionedAt": "2026-11-23T09:00:00Z",
        "firstConnectedAt": "2026-11-23T09:00:05Z",
    }
    del expected["leaseExpiresAt"]
    for order in orders:
        registry.put(**LEASED)
        onboarding.service.__init__()
        for index in order:
            onboarding.take(events[index])
        assert registry.row() == expected, order
        assert onboarding.service.documents == {hook_events.THING: {"desired": INITIAL}}, order
        assert onboarding.service.versions == {hook_events.THING: 1}, order


def test_what_happens_to_a_row_is_in_the_audit_trail_and_the_same_event_only_once(onboarding, registry):
    registry.put(**LEASED)
    for event in (CREATED, FIRST, FIRST, CREATED):
        onboarding.take(event)
    created, connected = registry.trail()
    common = {"subject": hook_events.SERIAL, "serialNumber": hook_events.SERIAL, "thingName": hook_events.THING}
    assert created == common | {
        "id": f"{T0}#PROVISIONED#{hook_events.THING}",
        "timestamp": T0,
        "eventType": "ONBOARDING",
        "operation": "PROVISIONED",
    }
    assert connected == common | {
        "id": f"{T1}#CONNECTED#{hook_events.THING}",
        "timestamp": T1,
        "eventType": "ONBOARDING",
        "operation": "CONNECTED",
        "certificateId": CERTIFICATE,
    }


def test_a_row_is_not_changed_where_the_trail_cannot_be_written(onboarding, registry, monkeypatch):
    """Both or neither: Lambda tries the event again, and ends with a dead letter and an alarm."""
    registry.put(**LEASED)
    before = registry.row()
    monkeypatch.setattr(onboarding.handler.REGISTRY, "_audit_name", "another-table")
    for event in (CREATED, FIRST):
        with pytest.raises(Exception, match="ResourceNotFoundException"):
            onboarding.take(event)
    assert registry.row() == before and registry.trail() == []


def test_a_shadow_the_device_changed_survives_a_second_delivery(onboarding, registry, capsys):
    registry.put(**LEASED)
    onboarding.take(CREATED)
    onboarding.service.app_desires(hook_events.THING, samplingRate=5)
    onboarding.take(CREATED)
    assert onboarding.service.documents[hook_events.THING]["desired"] == INITIAL | {"samplingRate": 5}
    assert [(r["result"], r["shadow"]) for r in records(capsys)] == [("provisioned", "written"), ("unchanged", "kept")]


NOT_OURS = [
    ("no row", None, CREATED),
    ("registered, never leased", {"status": "registered"}, CREATED),
    ("leased for another thing", LEASED | {"thingName": "temperature-sensor-other"}, CREATED),
    ("revoked", LEASED | {"status": "revoked"}, CREATED),
    ("another thing's row is provisioned", LEASED | {"status": "provisioned", "thingName": "x"}, CREATED),
    ("no row at a connection", None, FIRST),
    ("another certificate", LEASED | {"certificateId": hook_events.certificate("other")[1]}, FIRST),
    ("another certificate, active", LEASED | {"status": "active", "certificateId": "c" * 64}, FIRST),
    ("another thing at a connection", LEASED | {"thingName": "temperature-sensor-other"}, FIRST),
    ("revoked at a connection", LEASED | {"status": "revoked"}, FIRST),
    ("registered at a connection", LEASED | {"status": "registered"}, FIRST),
    ("a claim's own connection", LEASED, FIRST | {"clientId": "fleetgate-claim-1"}),
    ("someone else's thing", LEASED, CREATED | {"thingName": "printer"}),
]


@pytest.mark.parametrize(("row", "event"), [c[1:] for c in NOT_OURS], ids=[c[0] for c in NOT_OURS])
def test_what_this_template_did_not_make_is_left_alone(row, event, onboarding, registry, capsys):
    if row is not None:
        registry.put(**row)
    before = registry.row()
    onboarding.take(event)
    assert registry.row() == before
    assert onboarding.service.calls == []
    assert [r["result"] for r in records(capsys)] == ["ignored"]
    assert registry.trail() == []


def test_a_failing_shadow_raises_and_the_next_try_finishes(onboarding, registry):
    registry.put(**LEASED)

    def fail():
        raise ConnectionError("no shadow service")

    onboarding.service.before_next = fail
    with pytest.raises(ConnectionError):
        onboarding.take(CREATED)
    onboarding.take(CREATED)
    assert registry.row()["status"] == "provisioned"
    assert onboarding.service.documents == {hook_events.THING: {"desired": INITIAL}}


def test_a_missing_table_raises(onboarding, monkeypatch):
    monkeypatch.setattr(onboarding.handler.REGISTRY, "_name", "another-table")
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        onboarding.take(FIRST)


def test_an_event_of_another_kind_raises_and_logs_nothing_itself(onboarding, capsys):
    with pytest.raises(onboarding.onboarding.UnknownEvent):
        onboarding.take(CREATED | {"operation": "DELETED"})
    assert records(capsys) == []


def test_the_shadow_client_asks_the_accounts_own_endpoint(onboarding):
    assert onboarding.shadow.connect()._client.meta.endpoint_url == "https://data-ats.iot.us-east-1.amazonaws.com"
