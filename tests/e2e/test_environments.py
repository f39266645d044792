"""Three environments side by side on one cloud, two in one account and Region and one in another: none sees another's devices."""

from __future__ import annotations

import dataclasses
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from clouds import LEASE_SECONDS, TYPE, Cloud, entered, row, wait_for
from fleetgate import decommission, left_behind, provisioning
from fleetgate.device import Device, DeviceProvisioner, RefusedByGate
from fleetgate.errors import FleetgateError
from fleetgate.identity import IdentityFolder
from fleetgate.mqtt import MqttSession, Refused
from fleetgate.terraform import State

SECONDS = 10
TELEMETRY = "sensors/temperature/{thing}/readings"
#: What there is one of in an account and Region is the first environment's there.
FILE = """account_id: "000000000000"
region: {region}
prefix: {name}
deletion_protection: false
manage_event_configurations: {owns_events}
iot_log_level: ""
manage_alarms: false
manage_device_defender: false
lease_seconds: {lease}
claims: {{factory-1: {{}}}}
embedded_cloud: {{of: e2e}}
"""
REGIONS = {"blue": "us-east-1", "abroad": "eu-west-1"}
PAIRS = [("e2e", "blue"), ("blue", "e2e"), ("e2e", "abroad"), ("abroad", "e2e")]


@pytest.fixture(scope="module")
def environments(cloud):
    """The main environment and the two others by name, each applied by the commands."""
    found = {"e2e": cloud}
    for name, region in REGIONS.items():
        owns_events = str(region != "us-east-1").lower()
        text = FILE.format(region=region, name=name, owns_events=owns_events, lease=LEASE_SECONDS)
        (cloud.root / f"terraform/envs/{name}.yaml").write_text(text, encoding="utf-8")
        found[name] = Cloud(cloud.root, name)
    others = [found[name] for name in REGIONS]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cloud.apply, others))
        yield found
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda other: other.run("destroy", "--yes"), filter(is_applied, others)))
        for name in REGIONS:
            (cloud.root / f"terraform/envs/{name}.yaml").unlink()


def is_applied(cloud):
    state = cloud.environment().build / "terraform.tfstate"
    return state.is_file() and json.loads(state.read_text())["resources"] != []


@pytest.fixture(scope="module")
def devices(environments, tmp_path_factory):
    """A device in each environment, with one serial number in all of them: nothing but the environment tells them apart.

    alone: a serial number that this environment alone has; spare: one that nobody uses.
    """
    number = uuid.uuid4().int % 600_000 + 100_000
    folder = tmp_path_factory.mktemp("devices")

    def bring_in(name):
        index, cloud = list(environments).index(name), environments[name]
        serial, alone, spare = (f"TEMP-{number + n}" for n in (0, 1 + index, 10 + index))
        cloud.run("registry", "add", "--type", TYPE, serial, alone, spare)
        cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(folder / name))
        return SimpleNamespace(serial=serial, alone=alone, spare=spare)

    with ThreadPoolExecutor() as pool:
        made = dict(zip(environments, pool.map(bring_in, environments), strict=True))
    for name, device in made.items():
        with entered(environments[name]):
            device.gate = provisioning.gate(environments[name].fleet())
        keys = IdentityFolder(folder / name / device.serial)
        identity = keys.load()
        device.thing, device.id = identity.thing_name, identity.certificate_id
        device.connect = lambda client, gate=device.gate, keys=keys: connected(
            gate.endpoint, client, keys.certificate_file, keys.key_file
        )
    yield made
    with entered(environments["e2e"]):
        decommission.remove_device(made["e2e"].thing)


def connected(endpoint, client_id, certificate, key):
    session = MqttSession(endpoint, client_id, certificate, key)
    session.connect(SECONDS)
    return session


def listed(cloud, *words):
    return json.loads(cloud.run(*words, "--json").stdout)


def test_each_environment_lists_its_own_devices_and_no_others(environments, devices):
    alone = {name: device.alone for name, device in devices.items()}
    assert {device.thing for device in devices.values()} == {
        f"{space}{TYPE}-{devices['e2e'].serial}" for space in ("", "blue-", "abroad-")
    }
    for name, cloud in environments.items():
        device = devices[name]
        # Not only the connection: the created event has fired, so onboarding has written the time and the shadow.
        assert wait_for(lambda cloud=cloud, device=device: "provisionedAt" in row(cloud, device.serial), True)
        assert wait_for(lambda cloud=cloud, device=device: row(cloud, device.serial)["status"], "active") == "active"
        found = {item["serialNumber"]: item for item in listed(cloud, "devices", "list", "--limit", "0")["devices"]}
        assert not {alone[other] for other in alone if other != name} & found.keys() and alone[name] in found
        assert (found[device.serial]["thingName"], found[device.serial]["certificateId"]) == (device.thing, device.id)
        rows = {item["serialNumber"] for item in listed(cloud, "registry", "list", "--type", TYPE)["rows"]}
        assert rows & set(alone.values()) == {alone[name]}
    # The two in one Region: what `--fix` would take away is never the other's.
    for mine, other in (("e2e", "blue"), ("blue", "e2e")):
        done = environments[mine].run("orphans", "--json", "--older-than", "0", "--limit", "0", status=None)
        orphans = {item["subject"] for item in json.loads(done.stdout)["orphans"]}
        assert not orphans & {devices[other].thing, devices[other].id}


def test_an_event_of_another_environments_device_is_no_dead_letter(environments, devices):
    """In one Region both onboarding functions hear of every thing: the other's is left alone, and not an error."""
    for cloud in environments.values():
        [url] = [u for u in cloud.client("sqs").list_queues()["QueueUrls"] if f"/{cloud.fleet().names.prefix}-onboarding" in u]
        answer = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert answer["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_no_trail_has_what_another_environment_names(environments, devices):
    """Registry events are the whole Region's. Both ways: its own are there, so that the rules match anything at all."""
    kinds = {"THING_EVENT", "THING_GROUP_EVENT", "THING_GROUP_MEMBERSHIP_EVENT", "THING_TYPE_ASSOCIATION_EVENT"}

    def subjects(cloud):
        pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.fleet().names.audit_table)
        return {(e["eventType"]["S"], e["subject"]["S"]) for page in pages for e in page["Items"] if e["eventType"]["S"] in kinds}

    for mine, other in PAIRS[:2]:
        wanted = {(kind, devices[mine].thing) for kind in kinds if kind != "THING_GROUP_EVENT"}
        assert wait_for(lambda mine=mine, wanted=wanted: subjects(environments[mine]) >= wanted, True)
        names = environments[other].fleet().names
        foreign = {devices[other].thing, names.parent_group, *(kind.group for kind in names.types.values())}
        assert not {subject for _, subject in subjects(environments[mine])} & foreign


@pytest.mark.parametrize("mine, other", PAIRS)
def test_a_claim_of_one_environment_brings_nobody_into_another(environments, devices, tmp_path, mine, other):
    """Under the client id that its policy allows, and with every word of the exchange as the other environment wants it."""
    serial = devices[other].spare
    gate = dataclasses.replace(devices[mine].gate, template=environments[other].fleet().names.template)
    device = Device(serial, TYPE, "AcmeSensors", "1.2.0")
    with pytest.raises(Refused):
        DeviceProvisioner(gate, device, IdentityFolder(tmp_path)).register()
    assert row(environments[other], serial)["status"] == "registered"


def test_a_claim_that_was_given_the_other_environments_policy_is_refused_by_its_hook(environments, devices, tmp_path):
    """The second lock: somebody in the account has attached the wrong policy to a claim."""
    blue, main = environments["blue"], environments["e2e"]
    serial, names = devices["e2e"].spare, main.fleet().names
    iot = main.client("iot")
    claim = json.loads((blue.environment().build / "terraform.tfstate").read_text())["outputs"]["claim_certificate_ids"]["value"]
    target = iot.describe_certificate(certificateId=claim["factory-1"])["certificateDescription"]["certificateArn"]
    iot.attach_policy(policyName=names.claim_policy, target=target)
    try:
        gate = dataclasses.replace(devices["blue"].gate, template=names.template, claim_client_prefix=names.claim_client_prefix)
        with pytest.raises(RefusedByGate):
            DeviceProvisioner(gate, Device(serial, TYPE, "AcmeSensors", "1.2.0"), IdentityFolder(tmp_path)).register()
    finally:
        iot.detach_policy(policyName=names.claim_policy, target=target)

    def reasons():
        return [
            found["reason"]
            for found in json.loads(main.run("registry", "why", serial, "--json", status=None).stdout)["decisions"]
        ]

    assert wait_for(reasons, ["unknown_claim"]) == ["unknown_claim"]
    assert row(main, serial)["status"] == "registered"


@pytest.mark.parametrize("mine, other", PAIRS)
def test_a_device_of_one_environment_is_no_device_of_another(devices, mine, other):
    me, them = devices[mine], devices[other]
    with pytest.raises(Refused):
        me.connect(them.thing)
    for attempt in (
        lambda session: session.publish(TELEMETRY.format(thing=them.thing), b"x", SECONDS),
        lambda session: session.publish(f"$aws/things/{them.thing}/shadow/update", b"{}", SECONDS),
        lambda session: session.subscribe(f"config/{TYPE}/{them.thing}/reporting", SECONDS),
    ):
        with me.connect(me.thing) as session, pytest.raises(Refused):
            attempt(session)
    with me.connect(me.thing) as session:
        session.publish(TELEMETRY.format(thing=me.thing), b'{"value": 21.5}', SECONDS)


def test_a_prefix_that_another_environment_of_the_account_has_is_refused_before_anything_is_made(environments):
    """In another Region nothing but the roles would clash, and those in the middle of an apply."""
    cloud = environments["blue"]
    text = FILE.format(region="eu-central-1", name="blue", owns_events="true", lease=LEASE_SECONDS)
    path = cloud.root / "terraform/envs/double.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        double = Cloud(cloud.root, "double")
        with entered(double), pytest.raises(FleetgateError) as refused:
            left_behind.require_nothing(double.fleet(), State({}, ()))
    finally:
        path.unlink()
    assert str(refused.value).startswith("role blue-provisioning-hook: is there already") and "another prefix" in str(
        refused.value
    )


def test_draining_and_destroying_one_environment_leaves_the_others_as_they_were(environments, devices, tmp_path):
    blue, others = environments["blue"], [environments["e2e"], environments["abroad"]]
    before = [row(cloud, devices[cloud.name].serial) for cloud in others]
    assert "removed 1 device" in blue.run("drain", "--type", TYPE, "--yes").stdout
    assert row(blue, devices["blue"].serial)["status"] == "registered"
    assert "environment blue is gone" in blue.run("destroy", "--yes").stdout
    iot = environments["e2e"].client("iot")
    assert [thing["thingName"] for thing in iot.list_things()["things"] if thing["thingName"].startswith("blue-")] == []
    for cloud, kept in zip(others, before, strict=True):
        device = devices[cloud.name]
        assert row(cloud, device.serial) == kept
        device.connect(device.thing).close()
    assert "no changes" in environments["e2e"].run("plan").stdout
    # The account's one set of event configurations is still on: a new device is onboarded.
    words = ("device", "provision", "--type", TYPE, "--serial", devices["e2e"].spare, "--keys", str(tmp_path))
    thing = json.loads(environments["e2e"].run(*words, "--json").stdout)["provisioned"][0]["thingName"]
    assert wait_for(lambda: "provisionedAt" in row(environments["e2e"], devices["e2e"].spare), True)
    decommission.remove_device(thing)
