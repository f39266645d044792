"""Least privilege, shown: every role works as it is, and without any one of its permissions a probe fails.

What the embedded cloud does not enforce is listed here by name; those permissions are held by the exact lists in the module's
`terraform test` instead.
"""

from __future__ import annotations

import json
import time
import uuid

import pytest
from clouds import row, wait_for, walk
from fleetgate import decommission, device

#: The embedded cloud checks only what RegisterThing writes; AWS also checks what it reads. [embedded cloud, IoT service]
READ_BY_AWS_ONLY = {
    "iot:DescribeCertificate",
    "iot:DescribeThing",
    "iot:DescribeThingGroup",
    "iot:DescribeThingType",
    "iot:GetPolicy",
    "iot:ListAttachedPolicies",
    "iot:ListPrincipalPolicies",
    "iot:ListPrincipalThings",
    "iot:ListThingGroupsForThing",
    "iot:ListThingPrincipals",
    # The embedded cloud adds and removes one membership at a time.
    "iot:UpdateThingGroupsForThing",
}
#: The embedded cloud writes functions' logs and dead letters itself, not under the functions' roles.
DONE_BY_THE_CLOUD_ITSELF = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}


class Role:
    """A role's only inline policy, which a test takes a permission out of."""

    def __init__(self, cloud, name):
        self.iam, self.name = cloud.client("iam"), name
        (self.policy_name,) = self.iam.list_role_policies(RoleName=name)["PolicyNames"]
        self.policy = self.iam.get_role_policy(RoleName=name, PolicyName=self.policy_name)["PolicyDocument"]

    @property
    def actions(self):
        return {action for statement in self.policy["Statement"] for action in listed(statement["Action"])}

    def put(self, policy):
        self.iam.put_role_policy(RoleName=self.name, PolicyName=self.policy_name, PolicyDocument=json.dumps(policy))

    def without(self, action):
        statements = []
        for statement in self.policy["Statement"]:
            kept = [a for a in listed(statement["Action"]) if a != action]
            statements += [{**statement, "Action": kept}] if kept else []
        self.put({**self.policy, "Statement": statements or [DENY_NOTHING]})


DENY_NOTHING = {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*"}


def listed(action):
    return action if isinstance(action, list) else [action]


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


@pytest.mark.parametrize("action", ["dynamodb:UpdateItem", "iot:UpdateThingShadow"])
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


def test_what_a_rule_cannot_deliver_reaches_the_dead_letter_queue_under_the_rules_role(cloud):
    names = cloud.fleet().names
    queue = cloud.client("sqs").get_queue_url(QueueName=f"{names.onboarding}-dead-letter")["QueueUrl"]
    functions = cloud.client("lambda")
    permission = "AllowRule-thing_created"
    policy = json.loads(functions.get_policy(FunctionName=names.onboarding)["Policy"])
    statement = next(s for s in policy["Statement"] if s["Sid"] == permission)
    role = Role(cloud, f"{names.onboarding}-rules")
    iot = cloud.client("iot")

    def letters():
        found = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    def make_thing():
        name = f"stray-{uuid.uuid4().hex[:8]}"
        iot.create_thing(thingName=name)
        time.sleep(1)
        iot.delete_thing(thingName=name)

    before = letters()
    functions.remove_permission(FunctionName=names.onboarding, StatementId=permission)
    try:
        role.without("sqs:SendMessage")
        make_thing()
        assert letters() == before
        role.put(role.policy)
        make_thing()
        assert letters() == before + 1
    finally:
        role.put(role.policy)
        functions.add_permission(
            FunctionName=names.onboarding,
            StatementId=permission,
            Action="lambda:InvokeFunction",
            Principal="iot.amazonaws.com",
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
            SourceAccount=statement["Condition"]["StringEquals"]["AWS:SourceAccount"],
        )


def test_every_permission_of_every_role_is_probed_or_listed_as_not_enforced_here(cloud):
    probed = {
        "fleetgate-provisioning": {*PROVISIONING, "iot:UpdateThing"} | READ_BY_AWS_ONLY,
        "fleetgate-provisioning-hook": {"dynamodb:UpdateItem"} | (DONE_BY_THE_CLOUD_ITSELF - {"sqs:SendMessage"}),
        "fleetgate-onboarding": {"dynamodb:UpdateItem", "iot:UpdateThingShadow", "iot:GetThingShadow"} | DONE_BY_THE_CLOUD_ITSELF,
        "fleetgate-onboarding-rules": {"sqs:SendMessage"},
    }
    assert {name: Role(cloud, name).actions for name in role_names(cloud)} == probed


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
