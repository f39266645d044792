"""Least privilege, shown with policies enforced: every role works as it is, and without any one permission a probe fails."""

from __future__ import annotations

import json
import time
import uuid
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from clouds import TYPE, Role, row, wait_for, walk
from fleetgate import decommission, device

#: The embedded cloud checks this one against a group named like the operation, so no true policy allows it there. The exact list
#: in the module's `terraform test` holds it.
CHECKED_OTHERWISE_THAN_ON_AWS = {"fleetgate-provisioning": {"iot:UpdateThingGroupsForThing"}}


@pytest.fixture
def serial(cloud):
    number = f"TEMP-9{uuid.uuid4().int % 100_000:05}"
    cloud.run("registry", "add", "--type", "temperature-sensor", number)
    return number


def registers(cloud, serial, folder):
    try:
        walk(cloud, serial, folder).register()
    except device.DeviceError:
        return False
    return True


def role_names(cloud):
    prefix = cloud.environment().settings.prefix
    return [r["RoleName"] for r in cloud.client("iam").list_roles()["Roles"] if r["RoleName"].startswith(prefix)]


PROVISIONING = [
    "iot:AddThingToThingGroup",
    "iot:AttachPolicy",
    "iot:AttachThingPrincipal",
    "iot:CreateThing",
    "iot:UpdateCertificate",
]


@pytest.mark.parametrize("action", PROVISIONING)
def test_a_device_is_registered_only_with_every_permission_of_the_provisioning_role(cloud, serial, tmp_path, action):
    role = Role(cloud, "fleetgate-provisioning")
    role.without(action)
    try:
        assert not registers(cloud, serial, tmp_path / "without")
    finally:
        role.put(role.policy)
    time.sleep(max(0.0, int(row(cloud, serial)["leaseExpiresAt"]) / 1000 - time.time()) + 0.1)
    assert registers(cloud, serial, tmp_path / "with")


def test_a_thing_that_is_registered_again_needs_the_permission_to_update_it(cloud, serial, tmp_path):
    """A thing whose row an operator has set back: the template merges fresh attributes into what is there."""
    assert registers(cloud, serial, tmp_path / "first")
    assert wait_for(lambda: row(cloud, serial)["status"], "provisioned") == "provisioned"
    cloud.client("dynamodb").update_item(
        TableName=cloud.fleet().names.table,
        Key={"serialNumber": {"S": serial}},
        UpdateExpression="SET #s = :s",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "registered"}},
    )
    role = Role(cloud, "fleetgate-provisioning")
    role.without("iot:UpdateThing")
    try:
        assert not registers(cloud, serial, tmp_path / "without")
    finally:
        role.put(role.policy)
    time.sleep(max(0.0, int(row(cloud, serial)["leaseExpiresAt"]) / 1000 - time.time()) + 0.1)
    assert registers(cloud, serial, tmp_path / "with")


def test_the_hook_lets_nobody_in_without_its_one_permission(cloud, serial, tmp_path):
    role = Role(cloud, "fleetgate-provisioning-hook")
    role.without("dynamodb:UpdateItem")
    try:
        assert not registers(cloud, serial, tmp_path / "without")
        assert row(cloud, serial)["status"] == "registered"
    finally:
        role.put(role.policy)
    assert registers(cloud, serial, tmp_path / "with")


@pytest.mark.parametrize("action", ["dynamodb:PutItem", "dynamodb:UpdateItem", "iot:UpdateThingShadow"])
def test_onboarding_finishes_only_with_its_permissions(cloud, serial, tmp_path, action):
    role = Role(cloud, "fleetgate-onboarding")
    shadows = cloud.client("iot-data")
    thing = f"temperature-sensor-{serial}"

    def finished():
        try:
            shadows.get_thing_shadow(thingName=thing)
        except shadows.exceptions.ResourceNotFoundException:
            return False
        return row(cloud, serial)["status"] == "provisioned"

    role.without(action)
    try:
        assert registers(cloud, serial, tmp_path)
        time.sleep(2)
        assert not finished()
    finally:
        role.put(role.policy)
    invoke(cloud, created(thing))
    assert finished()


def test_onboarding_looks_at_a_shadow_before_it_calls_it_missing(cloud, serial, tmp_path):
    """GetThingShadow is asked only where a version stands in the way: a shadow that was there before, or was deleted."""
    assert registers(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "provisioned") == "provisioned"
    thing = f"temperature-sensor-{serial}"
    shadows = cloud.client("iot-data")
    wait_for(lambda: "payload" in shadows.get_thing_shadow(thingName=thing), True)
    shadows.update_thing_shadow(thingName=thing, payload=b'{"state":{"desired":{"samplingRate":5}}}')
    role = Role(cloud, "fleetgate-onboarding")
    role.without("iot:GetThingShadow")
    try:
        assert invoke(cloud, created(thing)).get("FunctionError")
    finally:
        role.put(role.policy)
    assert not invoke(cloud, created(thing)).get("FunctionError")
    kept = json.load(shadows.get_thing_shadow(thingName=thing)["payload"])["state"]["desired"]
    assert kept["samplingRate"] == 5
    decommission.remove_device(thing)


def test_the_census_counts_only_with_its_permission(cloud):
    def census():
        return cloud.client("lambda").invoke(FunctionName="fleetgate-census")

    before = json.load(census()["Payload"])
    cloud.run("registry", "add", "--type", TYPE, f"TEMP-7{uuid.uuid4().int % 100_000:05}")
    assert json.load(census()["Payload"]) == {"devices": before["devices"] + 1, "stuck": before["stuck"]}
    role = Role(cloud, "fleetgate-census")
    role.without("dynamodb:Query")
    try:
        assert census().get("FunctionError")
    finally:
        role.put(role.policy)


EVENTS = "/fleetgate/fleetgate/registry-events"
PROBE = {"subject": {"S": "(probe)"}, "id": {"S": "0"}, "timestamp": {"N": "0"}}

#: Permissions that the embedded cloud does not ask for where AWS does: it reads no resource under the provisioning role, writes
#: logs and dead letters itself, and runs rules under no role. The call is made under the role's own credentials instead.
CALLS = {
    "fleetgate-provisioning": {
        "iot:DescribeCertificate": lambda c, t: c("iot").describe_certificate(certificateId=t.certificate),
        "iot:DescribeThing": lambda c, t: c("iot").describe_thing(thingName=t.thing),
        "iot:DescribeThingGroup": lambda c, t: c("iot").describe_thing_group(thingGroupName=f"{TYPE}-devices"),
        "iot:DescribeThingType": lambda c, t: c("iot").describe_thing_type(thingTypeName=TYPE),
        "iot:GetPolicy": lambda c, t: c("iot").get_policy(policyName=f"fleetgate-{TYPE}"),
        "iot:ListAttachedPolicies": lambda c, t: c("iot").list_attached_policies(target=t.certificate_arn),
        "iot:ListPrincipalPolicies": lambda c, t: c("iot").list_principal_policies(principal=t.certificate_arn),
        "iot:ListPrincipalThings": lambda c, t: c("iot").list_principal_things(principal=t.certificate_arn),
        "iot:ListThingGroupsForThing": lambda c, t: c("iot").list_thing_groups_for_thing(thingName=t.thing),
        "iot:ListThingPrincipals": lambda c, t: c("iot").list_thing_principals(thingName=t.thing),
    },
    "fleetgate-provisioning-hook": {
        "logs:CreateLogStream": lambda c, t: new_stream(c, "provisioning-hook"),
        "logs:PutLogEvents": lambda c, t: put_line(c, t, "provisioning-hook"),
    },
    "fleetgate-onboarding": {
        "logs:CreateLogStream": lambda c, t: new_stream(c, "onboarding"),
        "logs:PutLogEvents": lambda c, t: put_line(c, t, "onboarding"),
        "sqs:SendMessage": lambda c, t: c("sqs").send_message(QueueUrl=t.queue, MessageBody="probe"),
    },
    "fleetgate-census": {
        "logs:CreateLogStream": lambda c, t: new_stream(c, "census"),
        "logs:PutLogEvents": lambda c, t: put_line(c, t, "census"),
    },
    "fleetgate-census-schedule": {
        "lambda:InvokeFunction": lambda c, t: c("lambda").invoke(FunctionName="fleetgate-census"),
    },
    "fleetgate-onboarding-rules": {
        "sqs:SendMessage": lambda c, t: c("sqs").send_message(QueueUrl=t.queue, MessageBody="probe"),
    },
    "fleetgate-audit": {
        "logs:CreateLogStream": lambda c, t: new_stream(c, "audit"),
        "logs:PutLogEvents": lambda c, t: put_line(c, t, "audit"),
        "sqs:SendMessage": lambda c, t: c("sqs").send_message(QueueUrl=t.audit_queue, MessageBody="probe"),
    },
    "fleetgate-audit-rules": {
        "dynamodb:PutItem": lambda c, t: c("dynamodb").put_item(TableName="fleetgate-audit", Item=PROBE),
        "logs:CreateLogStream": lambda c, t: c("logs").create_log_stream(logGroupName=EVENTS, logStreamName=uuid.uuid4().hex),
        "logs:DescribeLogStreams": lambda c, t: c("logs").describe_log_streams(logGroupName=EVENTS),
        "logs:PutLogEvents": lambda c, t: put_events(c, EVENTS, "probe"),
        "sqs:SendMessage": lambda c, t: c("sqs").send_message(QueueUrl=t.audit_queue, MessageBody="probe"),
    },
}


def new_stream(client, function):
    client("logs").create_log_stream(logGroupName=f"/aws/lambda/fleetgate-{function}", logStreamName=uuid.uuid4().hex)


def put_line(client, targets, function):
    put_events(client, f"/aws/lambda/fleetgate-{function}", targets.stream)


def put_events(client, group, stream):
    events = [{"timestamp": int(time.time() * 1000), "message": "probe"}]
    client("logs").put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@pytest.fixture(scope="module")
def targets(cloud, tmp_path_factory):
    """A registered device and the other things that the calls are about."""
    serial = f"TEMP-8{uuid.uuid4().int % 100_000:05}"
    cloud.run("registry", "add", "--type", TYPE, serial)
    certificate = walk(cloud, serial, tmp_path_factory.mktemp("device")).register()[0].certificate_id
    stream = uuid.uuid4().hex
    for function in ("provisioning-hook", "onboarding", "census", "audit"):
        cloud.client("logs").create_log_stream(logGroupName=f"/aws/lambda/fleetgate-{function}", logStreamName=stream)

    def queue(name):
        return cloud.client("sqs").get_queue_url(QueueName=f"fleetgate-{name}-dead-letter")["QueueUrl"]

    yield SimpleNamespace(
        thing=f"{TYPE}-{serial}",
        certificate=certificate,
        certificate_arn=f"arn:aws:iot:us-east-1:000000000000:cert/{certificate}",
        queue=queue("onboarding"),
        audit_queue=queue("audit"),
        stream=stream,
    )
    for name in ("onboarding", "audit"):
        cloud.client("sqs").purge_queue(QueueUrl=queue(name))


@pytest.fixture
def assumed(cloud):
    """Clients under a role's credentials. Its trust is widened for that to the account's root, and put back."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    trusts = {}

    def assume(name):
        role = iam.get_role(RoleName=name)["Role"]
        trusts[name] = role["AssumeRolePolicyDocument"]
        root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [root]}))
        keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="probe")["Credentials"]
        session = boto3.session.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1"
        )
        return lambda service: session.client(service, endpoint_url=cloud.environment().endpoint_url)

    yield assume
    for name, trust in trusts.items():
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))


def is_allowed(call):
    """Whether IAM let the call through; what the service then says of it is not the question."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException", "ForbiddenException")
    return True


@pytest.mark.parametrize("role_name, action", [(role, action) for role, calls in CALLS.items() for action in calls])
def test_the_role_allows_the_call_and_denies_it_without_the_permission(cloud, assumed, targets, role_name, action):
    client = assumed(role_name)
    role = Role(cloud, role_name)
    assert is_allowed(lambda: CALLS[role_name][action](client, targets))
    role.without(action)
    try:
        assert not is_allowed(lambda: CALLS[role_name][action](client, targets))
    finally:
        role.put(role.policy)


@pytest.mark.parametrize(
    "role_name, call",
    [
        ("fleetgate-provisioning", lambda c, t: c("iot").create_policy(policyName="open", policyDocument="{}")),
        ("fleetgate-provisioning", lambda c, t: c("iot").create_thing(thingName="stranger")),
        ("fleetgate-provisioning", lambda c, t: c("iot").add_thing_to_thing_group(thingName=t.thing, thingGroupName="admins")),
        ("fleetgate-provisioning-hook", lambda c, t: c("dynamodb").scan(TableName="fleetgate-device-registry")),
        ("fleetgate-provisioning-hook", lambda c, t: c("dynamodb").delete_item(TableName="fleetgate-device-registry", Key={})),
        ("fleetgate-onboarding", lambda c, t: c("iot").delete_thing(thingName=t.thing)),
        ("fleetgate-onboarding", lambda c, t: c("iot-data").get_thing_shadow(thingName="stranger")),
        ("fleetgate-onboarding", lambda c, t: c("sqs").receive_message(QueueUrl=t.queue)),
        ("fleetgate-census", lambda c, t: c("dynamodb").scan(TableName="fleetgate-device-registry")),
        ("fleetgate-census", lambda c, t: c("dynamodb").query(TableName="fleetgate-device-registry")),
        ("fleetgate-census-schedule", lambda c, t: c("lambda").invoke(FunctionName="fleetgate-onboarding")),
        ("fleetgate-onboarding-rules", lambda c, t: c("sqs").receive_message(QueueUrl=t.queue)),
        ("fleetgate-onboarding", lambda c, t: c("dynamodb").scan(TableName="fleetgate-audit")),
        *(
            (f"fleetgate-audit{role}", call)
            for role in ("", "-rules")
            for call in (
                lambda c, t: c("dynamodb").scan(TableName="fleetgate-audit"),
                lambda c, t: c("dynamodb").delete_item(TableName="fleetgate-audit", Key={k: PROBE[k] for k in ("subject", "id")}),
                lambda c, t: c("dynamodb").update_item(TableName="fleetgate-audit", Key={k: PROBE[k] for k in ("subject", "id")}),
                lambda c, t: c("dynamodb").put_item(TableName="fleetgate-device-registry", Item={"serialNumber": {"S": "x"}}),
            )
        ),
    ],
)
def test_a_role_can_do_nothing_beside_its_task(assumed, targets, role_name, call):
    client = assumed(role_name)
    assert not is_allowed(lambda: call(client, targets))


def test_every_permission_of_every_role_has_its_probe(cloud):
    probed = {
        "fleetgate-provisioning": {*PROVISIONING, "iot:UpdateThing"},
        "fleetgate-provisioning-hook": {"dynamodb:UpdateItem"},
        "fleetgate-onboarding": {"dynamodb:PutItem", "dynamodb:UpdateItem", "iot:UpdateThingShadow", "iot:GetThingShadow"},
        "fleetgate-onboarding-rules": set(),
        "fleetgate-census": {"dynamodb:Query"},
        "fleetgate-census-schedule": set(),
        "fleetgate-audit": {"dynamodb:PutItem"},  # in test_audit.py
        "fleetgate-audit-rules": set(),
    }
    held = {name: Role(cloud, name).actions for name in role_names(cloud)}
    known = {
        name: actions | set(CALLS[name]) | CHECKED_OTHERWISE_THAN_ON_AWS.get(name, set()) for name, actions in probed.items()
    }
    assert held == known


def created(thing):
    serial = thing.removeprefix("temperature-sensor-")
    return {
        "eventType": "THING_EVENT",
        "eventId": uuid.uuid4().hex,
        "timestamp": int(time.time() * 1000),
        "operation": "CREATED",
        "accountId": "000000000000",
        "thingId": str(uuid.uuid4()),
        "thingName": thing,
        "versionNumber": 1,
        "thingTypeName": "temperature-sensor",
        "attributes": {"serialNumber": serial},
    }


def invoke(cloud, event):
    return cloud.client("lambda").invoke(FunctionName=cloud.fleet().names.onboarding, Payload=json.dumps(event).encode())
