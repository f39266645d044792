"""Which events the onboarding function takes, and which things are its own."""

import pytest

import lambdas

onboarding = lambdas.modules("onboarding", "onboarding").onboarding
THING = "temperature-sensor-TEMP-000001"
TYPES = {
    "temperature-sensor": onboarding.DeviceType("temperature-sensor-", {"samplingRate": 30}),
    "gateway": onboarding.DeviceType("gateway-", {"logLevel": "INFO"}),
}
CREATED = lambdas.event("thing_created")
CONNECTED = lambdas.event("presence_connected")
OURS = {"thing_name": THING, "at_ms": CREATED["timestamp"]}


class Services:
    """Registry and shadows that note what they are asked and answer as told."""

    def __init__(self, answer="provisioned"):
        self.answer, self.calls = answer, []

    def provisioned(self, *arguments):
        self.calls.append(("provisioned", *arguments))
        return self.answer

    def connected(self, *arguments):
        self.calls.append(("connected", *arguments))
        return self.answer

    def initialise(self, *arguments):
        self.calls.append(("initialise", *arguments))
        return "written"


def apply(event, services):
    return onboarding.apply(event, TYPES, services, services)


def test_a_thing_created_event_is_read():
    assert onboarding.parse(CREATED) == onboarding.Created(THING, CREATED["timestamp"])


def test_a_connected_event_is_read():
    assert onboarding.parse(CONNECTED) == onboarding.Connected(THING, CONNECTED["principalIdentifier"], CONNECTED["timestamp"])


def test_a_client_without_a_certificate_is_read_too():
    event = {k: v for k, v in CONNECTED.items() if k != "principalIdentifier"}
    assert onboarding.parse(event).certificate_id is None


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "connected",
        {},
        CREATED | {"operation": "UPDATED"},
        CREATED | {"operation": "DELETED"},
        CREATED | {"eventType": "THING_GROUP_EVENT"},
        CREATED | {"thingName": None},
        CREATED | {"timestamp": "1795424400123"},
        CREATED | {"timestamp": True},
        CREATED | {"timestamp": 1.5},
        CREATED | {"timestamp": 0},
        CREATED | {"timestamp": -1},
        CREATED | {"timestamp": 253_402_300_800_000},
        CREATED | {"timestamp": 10**30},
        CONNECTED | {"eventType": "disconnected"},
        CONNECTED | {"clientId": 7},
    ],
    ids=repr,
)
def test_anything_else_raises_so_that_it_becomes_a_dead_letter(event):
    with pytest.raises(onboarding.UnknownEvent):
        onboarding.parse(event)


def test_the_error_about_an_event_does_not_repeat_what_it_holds():
    with pytest.raises(onboarding.UnknownEvent) as error:
        onboarding.parse({"certificatePem": "secret", "eventType": "other"})
    assert "certificatePem" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_created_thing_is_registered_and_then_gets_its_types_shadow():
    services = Services()
    outcome = apply(onboarding.Created(**OURS), services)
    assert services.calls == [
        ("provisioned", "TEMP-000001", THING, OURS["at_ms"]),
        ("initialise", THING, {"samplingRate": 30}),
    ]
    assert outcome == onboarding.Outcome("provisioned", "written")


def test_a_connected_client_is_registered_with_its_certificate():
    services = Services("active")
    outcome = apply(onboarding.Connected(THING, "c" * 64, OURS["at_ms"]), services)
    assert services.calls == [("connected", "TEMP-000001", THING, "c" * 64, OURS["at_ms"])]
    assert outcome == onboarding.Outcome("active")


def test_a_thing_whose_row_is_not_ours_gets_no_shadow():
    services = Services(None)
    assert apply(onboarding.Created(**OURS), services) == onboarding.IGNORED
    assert [call[0] for call in services.calls] == ["provisioned"]


@pytest.mark.parametrize(
    "name",
    [
        "someone-elses-thing",
        "temperature-sensor-",
        "temperature-sensor",
        "Temperature-sensor-TEMP-000001",
        "my-temperature-sensor-TEMP-000001",
        "fleetgate-claim-1",
        "gateway-\ud800",
        "gateway-a b",
        "gateway-" + "1" * 121,
        "",
    ],
    ids=repr,
)
def test_other_peoples_things_and_clients_are_ignored_without_a_call(name):
    services = Services()
    assert apply(onboarding.Created(name, OURS["at_ms"]), services) == onboarding.IGNORED
    assert apply(onboarding.Connected(name, "c" * 64, OURS["at_ms"]), services) == onboarding.IGNORED
    assert services.calls == []


def test_a_client_of_our_name_without_a_certificate_is_ignored_without_a_call():
    services = Services()
    assert apply(onboarding.Connected(THING, None, OURS["at_ms"]), services) == onboarding.IGNORED
    assert services.calls == []
