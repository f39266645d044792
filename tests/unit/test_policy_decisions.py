"""What the rendered policies let a device do, decided by the evaluator: the table that a security review asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetgate.iot_policy import evaluator, model
from fleetgate.iot_policy.evaluator import Decision, Identity, Request

YES, NO = True, False
#: By device type: a thing, another of the type, a topic of its own telemetry, and one of its commands or configuration.
DEVICES = {
    "temperature-sensor": ("temperature-sensor-TEMP-000001", "temperature-sensor-TEMP-000002", "sensors/temperature"),
    "humidity-sensor": ("humidity-sensor-HUM-000001", "humidity-sensor-HUM-000002", "sensors/humidity"),
    "pressure-sensor": ("pressure-sensor-PRES-000001", "pressure-sensor-PRES-000002", "sensors/pressure"),
    "gateway": ("gateway-GW-000001", "gateway-GW-000002", "gateway"),
}
#: {own} is the device, {other} another of its type, {telemetry} the type's topic.
OF_EVERY_DEVICE = [
    ("iot:Connect", "client/{own}", YES),
    ("iot:Connect", "client/{other}", NO),
    ("iot:Connect", "client/fleetgate-claim-1", NO),
    ("iot:Publish", "topic/{telemetry}/{own}/status", YES),
    ("iot:Publish", "topic/{telemetry}/{own}/a/b", YES),
    ("iot:Publish", "topic/{telemetry}/{own}", NO),
    ("iot:Publish", "topic/{telemetry}/{own}x/status", NO),
    ("iot:Publish", "topic/{telemetry}/{other}/status", NO),
    ("iot:Publish", "topic/{telemetry}/other/{own}/status", NO),
    ("iot:RetainPublish", "topic/{telemetry}/{own}/status", NO),
    ("iot:Receive", "topic/config/{type}/{own}/rate", YES),
    ("iot:Receive", "topic/config/{type}/{other}/rate", NO),
    ("iot:Publish", "topic/config/{type}/{own}/rate", NO),
    ("iot:Subscribe", "topicfilter/config/{type}/{own}/#", YES),
    ("iot:Subscribe", "topicfilter/config/{type}/{own}/+", YES),
    ("iot:Subscribe", "topicfilter/config/{type}/+/rate", NO),
    ("iot:Subscribe", "topicfilter/config/#", NO),
    ("iot:Subscribe", "topicfilter/#", NO),
    ("iot:Subscribe", "topicfilter/{telemetry}/{own}/status", NO),
    ("iot:Publish", "topic/$aws/things/{own}/shadow/update", YES),
    ("iot:Receive", "topic/$aws/things/{own}/shadow/update/delta", YES),
    ("iot:Subscribe", "topicfilter/$aws/things/{own}/shadow/#", YES),
    ("iot:Publish", "topic/$aws/things/{own}/shadow/name/config/update", YES),
    ("iot:Publish", "topic/$aws/things/{other}/shadow/update", NO),
    ("iot:Subscribe", "topicfilter/$aws/things/+/shadow/update", NO),
    ("iot:Publish", "topic/$aws/things/{own}/jobs/get", YES),
    ("iot:Receive", "topic/$aws/things/{own}/jobs/notify", YES),
    ("iot:Receive", "topic/$aws/things/{other}/jobs/notify", NO),
    ("iot:Publish", "topic/$aws/rules/any/x", NO),
    ("iot:Publish", "topic/$aws/certificates/create/json", NO),
    ("iot:Publish", "topic/$aws/provisioning-templates/fleetgate-fleet/provision/json", NO),
    ("iot:Subscribe", "topicfilter/$aws/events/presence/connected/{own}", NO),
    ("iot:GetThingShadow", "thing/{own}", NO),
    ("iot:UpdateThingShadow", "thing/{other}", NO),
    ("iotjobsdata:UpdateJobExecution", "thing/{own}", NO),
    ("iot:AssumeRoleWithCertificate", "rolealias/any", NO),
]
OF_ONE_TYPE = [
    ("gateway", "iot:Publish", "topic/sensors/temperature/temperature-sensor-TEMP-000001/status", YES),
    ("gateway", "iot:Publish", "topic/sensors/humidity/humidity-sensor-HUM-000001/a/b", YES),
    ("gateway", "iot:Publish", "topic/sensors/pressure/pressure-sensor-PRES-000001/status", YES),
    ("gateway", "iot:Publish", "topic/sensors/temperature/humidity-sensor-HUM-000001/status", NO),
    ("gateway", "iot:Publish", "topic/$aws/things/temperature-sensor-TEMP-000001/shadow/update", NO),
    ("gateway", "iot:Publish", "topic/config/temperature-sensor/temperature-sensor-TEMP-000001/rate", NO),
    ("gateway", "iot:Subscribe", "topicfilter/sensors/temperature/temperature-sensor-TEMP-000001/status", NO),
    ("gateway", "iot:Subscribe", "topicfilter/commands/gateway-GW-000001/#", YES),
    ("gateway", "iot:Subscribe", "topicfilter/commands/gateway-GW-000002/#", NO),
    ("gateway", "iot:Receive", "topic/commands/gateway-GW-000001/restart", YES),
    ("gateway", "iot:Publish", "topic/commands/gateway-GW-000001/restart", NO),
    ("temperature-sensor", "iot:Publish", "topic/sensors/humidity/temperature-sensor-TEMP-000001/status", NO),
    ("temperature-sensor", "iot:Publish", "topic/gateway/temperature-sensor-TEMP-000001/status", NO),
    ("temperature-sensor", "iot:Subscribe", "topicfilter/commands/temperature-sensor-TEMP-000001/#", NO),
]
OF_A_CLAIM = [
    ("iot:Connect", "client/fleetgate-claim-batch-7", YES),
    ("iot:Connect", "client/gateway-GW-000001", NO),
    ("iot:Publish", "topic/$aws/certificates/create/json", YES),
    ("iot:Publish", "topic/$aws/certificates/create-from-csr/json", YES),
    ("iot:Subscribe", "topicfilter/$aws/certificates/create/json/accepted", YES),
    ("iot:Receive", "topic/$aws/certificates/create/json/rejected", YES),
    ("iot:Publish", "topic/$aws/provisioning-templates/fleetgate-fleet/provision/json", YES),
    ("iot:Publish", "topic/$aws/provisioning-templates/other/provision/json", NO),
    ("iot:Subscribe", "topicfilter/$aws/#", NO),
    ("iot:Subscribe", "topicfilter/#", NO),
    ("iot:Publish", "topic/sensors/temperature/temperature-sensor-TEMP-000001/status", NO),
    ("iot:Publish", "topic/$aws/things/gateway-GW-000001/shadow/update", NO),
]


@pytest.fixture
def decide(fleet):
    """The decision on a request under the rendered policy of a device type, or of `claim`."""
    settings = fleet.environment.settings

    def decided(kind: str, identity: Identity, action: str, resource: str) -> Decision:
        policy = model.read(fleet.policies[kind], kind)
        assert not policy.flaws
        arn = f"arn:aws:iot:{settings.region}:{settings.account_id}:{resource}"
        # Under another client id it is another connection.
        if action == "iot:Connect":
            identity = replace(identity, client_id=resource.partition("/")[2])
        outcome = evaluator.authorize([policy], Request(action, arn), identity)
        assert not list(evaluator.depends_on([policy], Request(action, arn), identity)), "rests on an assumption"
        return outcome.decision

    return decided


def device(kind: str) -> Identity:
    own, _, _ = DEVICES[kind]
    return Identity(own, own, True, thing_type=kind, exclusive=False)


@pytest.mark.parametrize("kind", DEVICES)
def test_a_device_may_do_what_is_its_own_and_nothing_else(decide, kind):
    own, other, telemetry = DEVICES[kind]
    expected, found = {}, {}
    for action, resource, allowed in OF_EVERY_DEVICE:
        asked = (action, resource.format(own=own, other=other, telemetry=telemetry, type=kind))
        expected[asked] = Decision.ALLOWED if allowed else Decision.IMPLICIT_DENY
        found[asked] = decide(kind, device(kind), *asked)
    assert found == expected


@pytest.mark.parametrize("kind, action, resource, allowed", OF_ONE_TYPE)
def test_a_type_may_do_what_the_catalogue_declares_and_no_more(decide, kind, action, resource, allowed):
    assert decide(kind, device(kind), action, resource) is (Decision.ALLOWED if allowed else Decision.IMPLICIT_DENY)


@pytest.mark.parametrize("action, resource, allowed", OF_A_CLAIM)
def test_a_claim_may_ask_for_a_certificate_and_register_and_nothing_else(decide, action, resource, allowed):
    claim = Identity("fleetgate-claim-batch-7")
    assert decide("claim", claim, action, resource) is (Decision.ALLOWED if allowed else Decision.IMPLICIT_DENY)


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize(
    "change",
    [{"attached": False}, {"client_id": "somebody-else"}, {"thing_name": None}],
    ids=["detached", "renamed", "thingless"],
)
def test_a_certificate_without_its_thing_may_do_nothing_of_a_devices(decide, kind, change):
    own, other, telemetry = DEVICES[kind]
    stranger = replace(device(kind), **change)
    for action, resource, _ in OF_EVERY_DEVICE:
        asked = resource.format(own=own, other=other, telemetry=telemetry, type=kind)
        if action != "iot:Connect" or asked == f"client/{stranger.client_id}":
            assert decide(kind, stranger, action, asked) is Decision.IMPLICIT_DENY, asked
