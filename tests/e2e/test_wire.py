"""What a device's own certificate may do on the wire, and that the same is refused for another thing.

For every type of the catalogue, over MQTT with mutual TLS and with the policies enforced.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from checkouts import ROOT
from clouds import entered, row, wait_for
from fleetgate import catalogue, decommission, mqtt, provisioning
from fleetgate.device import DeviceProvisioner
from fleetgate.identity import IdentityFolder
from fleetgate.iot_policy import model
from fleetgate.iot_policy.evaluator import Identity, Request, authorize
from fleetgate.mqtt import DeviceError, MqttSession, Refused, TimedOut

SECONDS = 10
TYPES = catalogue.read(ROOT).device_types
TELEMETRY = {name: kind.topics.publish[0].replace("{type}", name).replace("*", "readings") for name, kind in TYPES.items()}
SENSORS = list(TYPES["gateway"].publishes_on_behalf_of)
RECEIVED = [
    (name, topic.replace("{type}", name).replace("*", "reporting"))
    for name, kind in TYPES.items()
    for topic in kind.topics.subscribe
]


def new_serial(kind):
    """A serial of a type's devices: its canary's, with other digits at the end."""
    made = re.sub("[0-9]+$", lambda digits: str(uuid.uuid4().int)[-len(digits[0]) :], kind.canary_serial)
    assert re.fullmatch(kind.serial_pattern, made), f"{made} is none: give this type's serials in another way"
    return made


@pytest.fixture(scope="module")
def devices(cloud, tmp_path_factory):
    """A device of each type that has come in, its thing's name, and how it connects."""
    fleet, made = cloud.fleet(), {}
    gate = provisioning.gate(fleet, "factory-1")
    for name, kind in TYPES.items():
        serial = new_serial(kind)
        cloud.run("registry", "add", "--type", name, serial)
        folder = IdentityFolder(tmp_path_factory.mktemp(name))
        provisioner = DeviceProvisioner(gate, provisioning.make_device(fleet, name, serial), folder)
        found = provisioner.register()[0]
        provisioner.connect(found).close()
        # The initial shadow has come: nothing of onboarding is under way any more.
        assert wait_for(lambda serial=serial: "provisionedAt" in row(cloud, serial), True)
        made[name] = SimpleNamespace(
            thing=found.thing_name,
            connect=lambda provisioner=provisioner, found=found: provisioner.connect(found),
            connect_as=lambda client_id, folder=folder: connected(gate.endpoint, client_id, folder),
        )
    yield made
    with entered(cloud):
        for device in made.values():
            decommission.remove_device(device.thing)


@pytest.fixture(scope="module")
def listener(cloud, tmp_path_factory):
    """A client outside of the fleet that hears everything: it tells whether a message really arrived."""
    iot, folder = cloud.client("iot"), tmp_path_factory.mktemp("listener")
    made = iot.create_keys_and_certificate(setAsActive=True)
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    iot.create_policy(policyName="listener", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    iot.attach_policy(policyName="listener", target=made["certificateArn"])
    (folder / "certificate.pem").write_text(made["certificatePem"])
    (folder / "key.pem").write_text(made["keyPair"]["PrivateKey"])
    endpoint = provisioning.gate(cloud.fleet(), "factory-1").endpoint
    with MqttSession(endpoint, "listener", folder / "certificate.pem", folder / "key.pem") as session:
        session.connect(SECONDS)
        yield session
    with entered(cloud):
        decommission.remove_certificate(made["certificateId"])
    iot.delete_policy(policyName="listener")


def connected(endpoint, client_id, folder):
    session = MqttSession(endpoint, client_id, folder.certificate_file, folder.key_file)
    session.connect(SECONDS)
    return session


def ask(session, topic, answer, **message):
    """Publishes to a topic of a service, and returns what comes on its answer's topic."""
    session.publish(topic, json.dumps(message).encode(), SECONDS)
    return json.loads(session.take((answer,), SECONDS)[1])


def refused(device, attempt):
    """Whether the broker answers an attempt on a connection of its own by a refusal."""
    with device.connect() as session:
        try:
            attempt(session)
        except Refused:
            return True
        return False


def other(device):
    """A thing that is not there, whose name begins with the device's: a policy with a loose wildcard would let it through."""
    return f"{device.thing}-other"


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_device_s_own_telemetry_arrives_and_another_s_is_refused(devices, listener, name):
    device = devices[name]
    own, others = (TELEMETRY[name].format(thing=thing) for thing in (device.thing, other(device)))
    for topic in (own, others):
        listener.subscribe(topic, SECONDS)
    with device.connect() as session:
        session.publish(own, b'{"value": 21.5}', SECONDS)
    assert listener.take((own,), SECONDS) == (own, b'{"value": 21.5}')
    assert refused(device, lambda session: session.publish(others, b"x", SECONDS))
    with pytest.raises(TimedOut):
        listener.take((others,), 0.5)


@pytest.mark.parametrize("name", SENSORS)
@pytest.mark.parametrize("flow", TELEMETRY.values())
def test_a_sensor_speaks_in_no_other_flow(devices, name, flow):
    if flow == TELEMETRY[name]:
        flow = flow.replace("/{thing}/", "/")  # not without its name either
    topic = flow.format(thing=devices[name].thing)
    assert refused(devices[name], lambda session: session.publish(topic, b"x", SECONDS))


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_gateway_publishes_on_behalf_of_its_sensors(devices, listener, sensor):
    topic = TELEMETRY[sensor].format(thing=devices[sensor].thing)
    listener.subscribe(topic, SECONDS)
    with devices["gateway"].connect() as session:
        session.publish(topic, b'{"by": "gateway"}', SECONDS)
    assert listener.take((topic,), SECONDS) == (topic, b'{"by": "gateway"}')


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_gateway_does_nothing_else_in_a_sensor_s_name(devices, sensor):
    gateway, thing = devices["gateway"], devices[sensor].thing
    assert refused(gateway, lambda session: session.subscribe(TELEMETRY[sensor].format(thing=thing), SECONDS))
    assert refused(gateway, lambda session: session.subscribe(f"config/{sensor}/{thing}/reporting", SECONDS))
    assert refused(gateway, lambda session: session.publish(f"$aws/things/{thing}/shadow/update", b"{}", SECONDS))


@pytest.mark.parametrize("name, flow", RECEIVED)
def test_a_device_hears_what_the_cloud_sends_to_it_and_nothing_for_another(cloud, devices, name, flow):
    device = devices[name]
    own, others = (flow.format(thing=thing) for thing in (device.thing, other(device)))
    with device.connect() as session:
        session.subscribe(own, SECONDS)
        cloud.client("iot-data").publish(topic=own, qos=1, payload=b'{"reportingInterval": 30}')
        assert session.take((own,), SECONDS) == (own, b'{"reportingInterval": 30}')
    for topic in (others, flow.format(thing="+"), "#"):
        assert refused(device, lambda session, topic=topic: session.subscribe(topic, SECONDS)), topic
    assert refused(device, lambda session: session.publish(own, b"x", SECONDS))  # it listens there, no more


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_device_keeps_its_own_shadow_in_step(cloud, devices, name):
    device = devices[name]
    shadow = f"$aws/things/{device.thing}/shadow"
    with device.connect() as session:
        for answer in ("get/accepted", "update/accepted", "update/delta"):
            session.subscribe(f"{shadow}/{answer}", SECONDS)
        assert "enabled" in str(ask(session, f"{shadow}/get", f"{shadow}/get/accepted")["state"]["desired"]).lower()
        cloud.client("iot-data").update_thing_shadow(thingName=device.thing, payload=b'{"state": {"desired": {"probe": 1}}}')
        delta = json.loads(session.take((f"{shadow}/update/delta",), SECONDS)[1])
        assert delta["state"]["probe"] == 1
        while session._messages[f"{shadow}/update/accepted"]:  # the cloud's own update is answered there as well
            session.take((f"{shadow}/update/accepted",), SECONDS)
        accepted = ask(session, f"{shadow}/update", f"{shadow}/update/accepted", state={"reported": {"probe": 1}})
        assert accepted["state"]["reported"] == {"probe": 1}
    kept = json.load(cloud.client("iot-data").get_thing_shadow(thingName=device.thing)["payload"])["state"]
    assert kept["reported"] == {"probe": 1} and "probe" not in kept.get("delta", {})


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_device_takes_and_completes_its_own_job(cloud, devices, name):
    device, iot = devices[name], cloud.client("iot")
    jobs, job = f"$aws/things/{device.thing}/jobs", f"job-{uuid.uuid4().hex[:8]}"
    arn = iot.describe_thing(thingName=device.thing)["thingArn"]
    with device.connect() as session:
        for answer in ("notify-next", "get/accepted", "start-next/accepted", f"{job}/update/accepted"):
            session.subscribe(f"{jobs}/{answer}", SECONDS)
        iot.create_job(jobId=job, targets=[arn], document='{"operation": "reboot"}')
        try:
            notified = json.loads(session.take((f"{jobs}/notify-next",), SECONDS)[1])
            assert notified["execution"]["jobId"] == job
            waiting = ask(session, f"{jobs}/get", f"{jobs}/get/accepted")
            assert [execution["jobId"] for execution in waiting["queuedJobs"]] == [job]
            started = ask(session, f"{jobs}/start-next", f"{jobs}/start-next/accepted")["execution"]
            assert (started["jobId"], started["jobDocument"]) == (job, {"operation": "reboot"})
            ask(session, f"{jobs}/{job}/update", f"{jobs}/{job}/update/accepted", status="SUCCEEDED")
            execution = iot.describe_job_execution(jobId=job, thingName=device.thing)["execution"]
            assert execution["status"] == "SUCCEEDED"
        finally:
            iot.delete_job(jobId=job, force=True)


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_device_is_refused_another_s_shadow_and_jobs(devices, name):
    device = devices[name]
    strangers = {other(device), next(d.thing for n, d in devices.items() if n != name)}
    for thing in strangers:
        for request in ("shadow/get", "shadow/update", "shadow/delete", "jobs/get", "jobs/start-next", "jobs/job-1/update"):
            topic = f"$aws/things/{thing}/{request}"
            assert refused(device, lambda session, topic=topic: session.publish(topic, b"{}", SECONDS)), topic
    for thing in (*strangers, "+"):
        for answer in ("shadow/update/delta", "shadow/get/accepted", "jobs/notify-next", "jobs/get/accepted"):
            topic = f"$aws/things/{thing}/{answer}"
            assert refused(device, lambda session, topic=topic: session.subscribe(topic, SECONDS)), topic


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_device_connects_under_no_other_name(cloud, devices, name):
    device = devices[name]
    for client_id in (other(device), next(d.thing for n, d in devices.items() if n != name), "listener-2"):
        with pytest.raises(Refused):
            device.connect_as(client_id)


#: With {thing} the device's own thing, {other} one whose name begins with it, {sensor} a temperature sensor's.
PROBED = [
    *("sensors/temperature/{thing}/readings", "sensors/humidity/{thing}/a/b", "sensors/pressure/{thing}/readings"),
    *("gateway/{thing}/status", "sensors/temperature/{thing}", "sensors/temperature//{thing}/x", "sensors/{thing}/temperature/x"),
    *("sensors/temperature/{other}/readings", "gateway/{other}/status", "sensors/temperature/{sensor}/readings"),
    *("config/{type}/{thing}/reporting", "config/gateway/{thing}/x", "config/{type}/{other}/reporting", "config/{type}"),
    *("commands/{thing}/restart", "commands/{other}/restart", "Config/{type}/{thing}/reporting", "x/config/{type}/{thing}/y"),
    *("$aws/things/{thing}/shadow/get", "$aws/things/{thing}/shadow/name/diagnostics/update", "$aws/things/{thing}/jobs/get"),
    *("$aws/things/{thing}/jobs/job-1/update", "$aws/things/{thing}/shadows/get", "$aws/things/{thing}/streams/1/get/json"),
    *("$aws/things/{other}/shadow/get", "$aws/things/{sensor}/shadow/update", "$aws/things/{other}/jobs/get"),
    *("$aws/rules/somebodys/x", "$aws/events/thing/{thing}/created", "$aws/events/presence/connected/{thing}"),
    *("$aws/certificates/create/json", "$aws/provisioning-templates/fleetgate-fleet/provision/json", "{thing}", "anything"),
]
FILTERS = [
    "#",
    "+/+/{thing}/#",
    "config/{type}/+/#",
    "config/{type}/{thing}/#",
    "$aws/things/+/shadow/#",
    "$aws/things/{thing}/#",
]
#: What is sent to a device that may subscribe to everything. Of topics below `$aws/things` only the service itself sends.
SENT = [
    *(topic for topic in PROBED if not topic.startswith("$aws/")),
    *("config/{type}/{thing}", "config/{type}/{thing}/", "config/{type}/{thing}/a/b", "config/{type}//{thing}/x"),
    *("config/{type}/{sensor}x/reporting", "config/{other}/{thing}/reporting", "config/gateway/{other}/x", "config/{thing}"),
    *("commands/{thing}", "commands/{thing}/", "commands/{thing}/a/b", "commands/{thing}x/restart", "commands/restart"),
]


@pytest.mark.parametrize("name", TELEMETRY)
def test_the_broker_and_the_evaluator_agree(cloud, devices, listener, name):
    """What the evaluator allows goes through and what it denies does not, for every topic of the table in every way."""
    device, sensor = devices[name], devices["temperature-sensor"].thing
    fleet = cloud.fleet()
    policy = model.read(fleet.policies[name], name)
    identity = Identity(device.thing, device.thing, attached=True, thing_type=fleet.names.types[name].thing_type)
    arn = f"arn:aws:iot:us-east-1:{fleet.environment.settings.account_id}"
    differing, seen = [], set()

    def goes_through(attempt):
        with device.connect() as session:
            try:
                attempt(session)
            except Refused:
                return False
            except DeviceError as error:  # a broker may have no such topic for devices (`$aws/rules` to subscribe)
                if type(error) is not DeviceError:  # a time-out, or too much to do: no answer
                    raise
                return False
            return True

    def compare(action, kind, text, on_the_wire):
        allowed = authorize([policy], Request(action, f"{arn}:{kind}/{text}"), identity).allowed
        seen.add((action, allowed))
        if on_the_wire != allowed:
            differing.append(f"{action} {text}: evaluator {allowed}, broker {on_the_wire}")

    for shape in (*PROBED, *FILTERS):
        text = shape.format(thing=device.thing, other=other(device), sensor=sensor, type=name)
        compare("iot:Subscribe", "topicfilter", text, goes_through(lambda session, t=text: session.subscribe(t, SECONDS)))
        if shape in PROBED:
            let = goes_through(lambda session, t=text: session.publish(t, b"{}", SECONDS))
            compare("iot:Publish", "topic", text, let)
    for client_id in (device.thing, other(device), sensor if name != "temperature-sensor" else "listener-3"):
        try:
            device.connect_as(client_id).close()
            let = True
        except Refused:
            let = False
        compare("iot:Connect", "client", client_id, let)
    config, shadow = f"config/{name}/{device.thing}/x", f"$aws/things/{device.thing}/shadow/get"
    with device.connect() as session:
        session.subscribe(config, SECONDS)
        session.subscribe(f"{shadow}/accepted", SECONDS)
        cloud.client("iot-data").publish(topic=config, qos=1, payload=b"{}")
        compare("iot:Receive", "topic", config, session.take((config,), SECONDS)[0] == config)
        compare("iot:Receive", "topic", f"{shadow}/accepted", "state" in ask(session, shadow, f"{shadow}/accepted"))
    assert differing == []
    assert {(a, w) for a in ("iot:Connect", "iot:Publish", "iot:Subscribe") for w in (True, False)} <= seen


@pytest.mark.parametrize("name", TELEMETRY)
def test_the_broker_and_the_evaluator_agree_about_what_is_delivered(cloud, devices, name):
    """A second policy lets the device subscribe to everything, so that Receive alone decides."""
    device, sensor, iot = devices[name], devices["temperature-sensor"].thing, cloud.client("iot")
    fleet = cloud.fleet()
    ears = policy_of(allow("iot:Subscribe", "*"))
    identity = Identity(device.thing, device.thing, attached=True, thing_type=fleet.names.types[name].thing_type)
    policies = [model.read(fleet.policies[name], name), model.read(ears, "ears")]
    topics = [topic.format(thing=device.thing, other=other(device), sensor=sensor, type=name) for topic in SENT]
    topics = list(dict.fromkeys(topics))
    allowed = {t for t in topics if authorize(policies, Request("iot:Receive", f"{arn_of(fleet)}:topic/{t}"), identity).allowed}
    iot.create_policy(policyName=f"ears-{name}", policyDocument=json.dumps(ears))
    [principal] = iot.list_thing_principals(thingName=device.thing)["principals"]
    iot.attach_policy(policyName=f"ears-{name}", target=principal)
    try:
        with device.connect() as session:
            for topic in (*topics, last := f"config/{name}/{device.thing}/last"):
                session.subscribe(topic, SECONDS)
            for topic in (*topics, last):
                cloud.client("iot-data").publish(topic=topic, qos=1, payload=b"{}")
            session.take((last,), SECONDS)  # what was sent before it has come by now, or does not come
            time.sleep(0.3)
            arrived = {topic for topic in topics if session._messages[topic]}
    finally:
        iot.detach_policy(policyName=f"ears-{name}", target=principal)
        iot.delete_policy(policyName=f"ears-{name}")
    assert len(topics) >= 30 and allowed and arrived == allowed


def policy_of(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def arn_of(fleet):
    return f"arn:aws:iot:us-east-1:{fleet.environment.settings.account_id}"


@dataclass(frozen=True)
class Deviation:
    """A request that the broker answers otherwise than AWS documents. ARN in texts stands for the account's prefix.

    through: what the broker does. group: a policy of the thing's group. persistent: the session that is asked for.
    """

    statements: tuple[dict[str, Any], ...]
    through: bool
    topic: str = ""
    client_id: str = "deviant"
    thing: bool = False
    group: dict[str, Any] | None = field(default=None)
    persistent: bool = False


_CONNECT = allow("iot:Connect", "ARN:client/*")
_PERSISTS = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
_THING, _TYPE = "${iot:Connection.Thing.ThingName}", "${iot:Connection.Thing.ThingTypeName}"
#: By their names in docs/policy-semantics.md.
DEVIATIONS: dict[str, list[Deviation]] = {
    "unresolved-variable-is-text": [Deviation((_CONNECT, allow("iot:Publish", f"ARN:topic/x/{_THING}")), True, f"x/{_THING}")],
    "client-id-is-pattern": [
        Deviation((_CONNECT, allow("iot:Publish", "ARN:topic/x/${iot:ClientId}/y")), True, "x/anything/y", client_id="*")
    ],
    "variables-without-value": [
        Deviation((_CONNECT, allow("iot:Publish", f"ARN:topic/x/{_TYPE}")), False, "x/deviant-type", thing=True),
        Deviation(
            (_CONNECT, allow("iot:Publish", "ARN:topic/*"), allow("iot:Publish", f"ARN:topic/x/{_TYPE}", Effect="Deny")),
            True,
            "x/deviant-type",
            thing=True,
        ),
    ],
    "no-escapes": [
        Deviation((_CONNECT, allow("iot:Publish", f"ARN:topic/x/${{{sign}}}")), False, f"x/{sign}") for sign in ("*", "?", "$")
    ],
    "no-connect-keys": [
        Deviation((_CONNECT, allow("iot:Connect", "*", Effect="Deny", Condition=_PERSISTS)), True, persistent=True)
    ],
    "no-group-policies": [
        Deviation((_CONNECT,), False, "x/y", thing=True, group=policy_of(allow("iot:Publish", "ARN:topic/x/y")))
    ],
}
#: What no device of these tests can do with its SDK, shown by tests of their own.
OTHERWISE_SHOWN = {"https-unchecked", "star-stops-at-newline", "no-test-authorization"}


def test_every_deviation_that_is_documented_is_shown_here():
    text = (ROOT / "docs/policy-semantics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"(?m)^\| `([a-z-]+)` \|", text.partition("| deviation |")[2]))
    assert documented == {*DEVIATIONS, *OTHERWISE_SHOWN}


@pytest.fixture(scope="module")
def deviant(cloud, tmp_path_factory):
    """A certificate, and a thing with a type and a group for those that need one; what it may do, each test says."""
    iot, folder = cloud.client("iot"), tmp_path_factory.mktemp("deviant")
    made = iot.create_keys_and_certificate(setAsActive=True)
    (folder / "certificate.pem").write_text(made["certificatePem"])
    (folder / "key.pem").write_text(made["keyPair"]["PrivateKey"])
    iot.create_thing_type(thingTypeName="deviant-type")
    iot.create_thing(thingName="deviant", thingTypeName="deviant-type")
    iot.create_thing_group(thingGroupName="deviant-group")
    iot.add_thing_to_thing_group(thingName="deviant", thingGroupName="deviant-group")
    yield SimpleNamespace(arn=made["certificateArn"], certificate=folder / "certificate.pem", key=folder / "key.pem")
    iot.remove_thing_from_thing_group(thingName="deviant", thingGroupName="deviant-group")
    iot.delete_thing_group(thingGroupName="deviant-group")
    iot.delete_thing(thingName="deviant")
    with entered(cloud):
        decommission.remove_certificate(made["certificateId"])
    iot.deprecate_thing_type(thingTypeName="deviant-type")
    iot.delete_thing_type(thingTypeName="deviant-type")


@contextmanager
def attached(iot, target, policy):
    name = f"deviant-{uuid.uuid4().hex[:8]}"
    iot.create_policy(policyName=name, policyDocument=json.dumps(policy))
    iot.attach_policy(policyName=name, target=target)
    try:
        yield
    finally:
        iot.detach_policy(policyName=name, target=target)
        iot.delete_policy(policyName=name)


CASES = [(name, index) for name, cases in DEVIATIONS.items() for index in range(len(cases))]


@pytest.mark.parametrize("name, index", CASES)
def test_the_embedded_cloud_deviates_as_documented_and_the_evaluator_does_not(cloud, deviant, monkeypatch, name, index):
    """Fails when a newer embedded cloud does as AWS does: the line of the table goes then."""
    case, fleet, iot = DEVIATIONS[name][index], cloud.fleet(), cloud.client("iot")
    text = json.dumps(policy_of(*case.statements)).replace("ARN:", f"{arn_of(fleet)}:")
    own = json.loads(text)
    group = json.loads(json.dumps(case.group).replace("ARN:", f"{arn_of(fleet)}:")) if case.group else None
    thing = "deviant" if case.thing else None
    identity = Identity(case.client_id, thing, attached=case.thing, thing_type="deviant-type" if case.thing else None)
    asked = Request("iot:Publish", f"{arn_of(fleet)}:topic/{case.topic}")
    if case.persistent:
        asked = Request("iot:Connect", f"{arn_of(fleet)}:client/{case.client_id}", ("PersistentConnect",))
        whole = mqtt.mqtt5_client_builder.mtls_from_path
        rejoining = mqtt.mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS
        persistent = SimpleNamespace(mtls_from_path=lambda *files, **how: whole(*files, **{**how, "session_behavior": rejoining}))
        monkeypatch.setattr(mqtt, "mqtt5_client_builder", persistent)
    groups = [model.read(group, "group")] if group else []
    decided = authorize([model.read(own, "own")], asked, identity, group_policies=groups)
    assert decided.allowed is not case.through
    if case.thing:
        iot.attach_thing_principal(thingName="deviant", principal=deviant.arn)
    try:
        with attached(iot, deviant.arn, own):
            if group:
                with attached(iot, iot.describe_thing_group(thingGroupName="deviant-group")["thingGroupArn"], group):
                    assert sent(cloud, deviant, case) is case.through
            else:
                assert sent(cloud, deviant, case) is case.through
    finally:
        if case.thing:
            iot.detach_thing_principal(thingName="deviant", principal=deviant.arn)


def sent(cloud, deviant, case):
    """Whether the broker takes it; that the device may connect is a matter of course, unless it is what is asked."""
    endpoint = provisioning.gate(cloud.fleet(), "factory-1").endpoint
    with MqttSession(endpoint, case.client_id, deviant.certificate, deviant.key) as session:
        try:
            session.connect(SECONDS)
        except Refused:
            assert case.persistent
            return False
        try:
            if case.topic:
                session.publish(case.topic, b"{}", SECONDS)
        except Refused:
            return False
    return True


def test_the_star_of_the_embedded_cloud_stops_at_a_newline(cloud, deviant):
    """`star-stops-at-newline`, in packets of our own: the SDK sends no such topic."""
    fleet = cloud.fleet()
    own = policy_of(allow("iot:Connect", "*"), allow("iot:Publish", f"{arn_of(fleet)}:topic/x/*"))
    endpoint = provisioning.gate(fleet, "factory-1").endpoint
    with attached(cloud.client("iot"), deviant.arn, own):
        for topic, through in (("x/a b", True), ("x/a\nb", False)):
            decided = authorize(
                [model.read(own, "own")], Request("iot:Publish", f"{arn_of(fleet)}:topic/{topic}"), Identity("raw")
            )
            assert decided.allowed
            assert raw_publish(endpoint, deviant, topic) is through


def raw_publish(endpoint, deviant, topic):
    """Whether the broker acknowledges it; in MQTT 3.1.1 it closes the connection over what it refuses."""

    def text(value):
        return len(value).to_bytes(2, "big") + value.encode()

    def packet(kind, body):
        return bytes([kind, len(body)]) + body

    context = ssl.create_default_context(cafile=endpoint.ca_file)
    context.load_cert_chain(deviant.certificate, deviant.key)
    with (
        socket.create_connection((endpoint.host, endpoint.port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as tls,
    ):
        tls.sendall(packet(0x10, text("MQTT") + b"\x04\x02\x00\x1e" + text("raw")))
        assert tls.recv(4) == b"\x20\x02\x00\x00"  # CONNACK
        tls.sendall(packet(0x32, text(topic) + b"\x00\x01x"))
        return tls.recv(4) == b"\x40\x02\x00\x01"  # PUBACK


def test_the_embedded_cloud_takes_no_certificate_over_https(cloud, deviant, listener):
    """`https-unchecked`: of whom AWS asks the certificate's policies it asks for a signature, and then only what IAM says."""
    fleet, topic = cloud.fleet(), "https/unchecked"
    own = policy_of(allow("iot:Publish", f"{arn_of(fleet)}:topic/{topic}"))
    asked = Request("iot:Publish", f"{arn_of(fleet)}:topic/{topic}")
    assert authorize([model.read(own, "own")], asked, Identity("", protocol="https")).allowed
    listener.subscribe(topic, SECONDS)
    with attached(cloud.client("iot"), deviant.arn, own):
        host = {"Host": f"data-ats.iot.{fleet.environment.settings.region}.amazonaws.com"}
        address = f"{fleet.environment.endpoint_url}/topics/{topic}?qos=1"  # without TLS: there is no place for a certificate
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(address, b"by a device", host, method="POST"), timeout=SECONDS)
    cloud.client("iot-data").publish(topic=topic, qos=1, payload=b"signed")
    assert listener.take((topic,), SECONDS) == (topic, b"signed")


def test_the_embedded_cloud_cannot_be_asked_and_takes_any_policy(cloud):
    """`no-test-authorization`."""
    iot = cloud.client("iot")
    asked = [{"actionType": "CONNECT", "resources": ["arn:aws:iot:us-east-1:000000000000:client/x"]}]
    with pytest.raises(ClientError):
        iot.test_authorization(authInfos=asked, principal="arn:aws:iot:us-east-1:000000000000:cert/x")
    with pytest.raises(ClientError):
        iot.get_effective_policies(thingName="deviant")
    iot.create_policy(policyName="nonsense", policyDocument='{"no": "policy"}')
    iot.delete_policy(policyName="nonsense")
