"""Onboarding fails until its dead-letter queue fills, is mended, and `fleetgate redrive` makes up for it.

The embedded cloud's rules call a function once and keep nothing, so what AWS's rule does is done here: the same event is given to
Lambda asynchronously, which tries three times and puts it into the queue by itself. What Lambda and a rule leave there on AWS has
another form than the embedded cloud's, and is put there by hand beside it.
"""

from __future__ import annotations

import base64
import json
import time

import pytest

from clouds import TYPE, in_process, register, row, wait_for, walk
from fleetgate import redrive


@pytest.fixture
def broken(cloud):
    """Takes the onboarding function's permission on the registry away; call it to mend that."""
    iam, role = cloud.client("iam"), cloud.fleet().names.onboarding
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    kept = [s for s in policy["Statement"] if "dynamodb:UpdateItem" not in s["Action"]]

    def put(statements):
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**policy, "Statement": statements}))

    put(kept)
    yield lambda: put(policy["Statement"])
    put(policy["Statement"])


def shadow(cloud, serial):
    data = cloud.client("iot-data")
    try:
        return json.loads(data.get_thing_shadow(thingName=f"{TYPE}-{serial}")["payload"].read())["state"]["desired"]
    except data.exceptions.ResourceNotFoundException:
        return None


def test_events_that_nobody_handled_are_made_up_for(cloud, broken, tmp_path, capsys):
    serials = [register(cloud) for _ in range(3)]
    names, sqs = cloud.fleet().names, cloud.client("sqs")
    for serial in serials:
        walk(cloud, serial, tmp_path / serial).register()
    url = sqs.get_queue_url(QueueName=f"{names.onboarding}-dead-letter")["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    events = [
        {
            "eventType": "THING_EVENT",
            "operation": "CREATED",
            "thingName": f"{TYPE}-{serial}",
            "timestamp": int(time.time() * 1000),
        }
        for serial in serials
    ]
    by_lambda, as_lambda, as_rule = events

    def count():
        queried = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(queried["Attributes"]["ApproximateNumberOfMessages"])

    def fleetgate(*words):
        return in_process(cloud, capsys, *words)

    def doctor(serial):
        return json.loads(fleetgate("doctor", serial, "--json")[1])["causes"]

    cloud.client("lambda").invoke(FunctionName=names.onboarding, InvocationType="Event", Payload=json.dumps(by_lambda).encode())
    assert wait_for(count, 1) == 1  # after Lambda's three tries
    told = {"ErrorMessage": {"DataType": "String", "StringValue": "timed out"}}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(as_lambda), MessageAttributes=told)
    payload = base64.b64encode(json.dumps(as_rule).encode()).decode()
    failures = [{"failedAction": "LambdaAction", "errorMessage": "no permission"}]
    rule = {"ruleName": "r", "topic": "t", "base64OriginalPayload": payload, "failures": failures}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(rule))
    sqs.send_message(QueueUrl=url, MessageBody="nobody's")
    assert [row(cloud, serial)["status"] for serial in serials] == ["provisioning"] * 3
    assert [shadow(cloud, serial) for serial in serials] == [None] * 3
    missing = next(cause for cause in doctor(serials[0]) if cause["cause"] == "shadow_missing")
    assert missing["nextStep"] == "fleetgate redrive --env e2e" and "dead letters wait" in missing["evidence"]

    seen = json.loads(fleetgate("redrive", "--dry-run", "--json")[1])
    assert (seen["count"], seen["redriven"]) == (4, 0)
    assert seen["kinds"] == {redrive.FUNCTION_FAILED: 2, redrive.RULE_FAILED: 1, redrive.UNREADABLE: 1}
    status, out, err = fleetgate("redrive", "--yes")  # the cause is not mended yet
    assert status == 1 and "0 events handled, 4 letters left in the queue\n" in out and "dynamodb:UpdateItem" in err
    assert count() == 4 and row(cloud, serials[0])["status"] == "provisioning"

    broken()
    status, out, _ = fleetgate("redrive", "--yes", "--json")
    done = json.loads(out)
    assert status == 1 and done["redriven"] == 3 and [left["reason"] for left in done["left"]] == ["it is not JSON"]
    for serial in serials:
        assert row(cloud, serial)["status"] == "provisioned" and "provisionedAt" in row(cloud, serial)
        assert shadow(cloud, serial) == cloud.fleet().catalogue.device_types[TYPE].initial_shadow
    assert [cause["cause"] for cause in doctor(serials[0])] == ["never_connected"]
    assert count() == 1
    sqs.purge_queue(QueueUrl=url)
    assert "is empty" in fleetgate("redrive")[1]
