"""The audit trail of a fleet on the wire: a device's whole history, complete, in order, and without a secret."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace

import pytest
from boto3.dynamodb.types import TypeDeserializer

import hook_events
from audit_lines import delivery
from clouds import TYPE, Role, row, wait_for
from fleetgate import decisions, provisioning
from fleetgate.device import DeviceProvisioner, RefusedByGate
from fleetgate.identity import IdentityFolder

DECISION = "PROVISIONING_DECISION"
#: What tells a life; the others (type, groups) stand between them.
TOLD = (DECISION, "THING_EVENT", "ONBOARDING", "DEED")


def trail(cloud, *words, status=0):
    return json.loads(cloud.run("audit", *words, "--json", status=status).stdout)["entries"]


def told(entries):
    return [(e["eventType"], e["operation"], e.get("reason")) for e in entries if e["eventType"] in TOLD]


def items(cloud):
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.fleet().names.audit_table)
    return [item for page in pages for item in page["Items"]]


def log_lines(cloud):
    logs = cloud.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = []
    for group in groups:
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            lines += [event["message"] for event in page["events"]]
    return lines


@pytest.fixture(scope="module")
def life(cloud, tmp_path_factory):
    """A device's whole life: denied twice, let in, connected, cut off, denied, reinstated, let in with a second certificate.

    serial, the two certificates, and everything secret that came up: keys, certificates, ownership tokens.
    """
    folder = tmp_path_factory.mktemp("life")
    serial = f"TEMP-{uuid.uuid4().int % 700_000 + 100_000}"
    secrets, certificates = [], []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment().process_variables().items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)

        def refused(name, **says):
            fleet = cloud.fleet()
            device = replace(provisioning.make_device(fleet, TYPE, serial), **says)
            with pytest.raises(RefusedByGate):
                DeviceProvisioner(provisioning.gate(fleet, "factory-1"), device, IdentityFolder(folder / name)).register()
            found = IdentityFolder(folder / name).load()
            assert len(found.token) > 16
            secrets.append(found.token)

        refused("unknown")
        cloud.run("registry", "add", "--type", TYPE, serial)
        refused("old", firmware="0.1.0")
        for name in ("first", "second"):
            cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(folder / name))
            assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
            assert wait_for(lambda: "provisionedAt" in row(cloud, serial), True)
            certificates.append(row(cloud, serial)["certificateId"])
            if name == "first":
                cloud.run("revoke", serial, "--yes", "--reason", "stolen from hall 1")
                refused("revoked")
                cloud.run("revoke", serial, "--reinstate", "--yes", "--reason", "found again")
    for path in folder.rglob("*.pem"):
        secrets += [line for line in path.read_text().splitlines() if len(line) > 40]
    return serial, certificates, secrets


def test_a_history_is_complete_and_in_order(cloud, life):
    serial, (first, second), _ = life
    wait_for(lambda: all(entry["kept"] for entry in trail(cloud, serial)), True)
    entries = trail(cloud, serial)
    assert all(entry["kept"] for entry in entries)  # every decision has come from the hook's log into the table
    assert [entry["timestamp"] for entry in entries] == sorted(entry["timestamp"] for entry in entries)
    a_life = [(DECISION, "ALLOWED", "allowed"), ("THING_EVENT", "CREATED", None)]
    a_life += [("ONBOARDING", "PROVISIONED", None), ("ONBOARDING", "CONNECTED", None)]
    assert [one for one in told(entries) if one[:2] != ("THING_EVENT", "UPDATED")] == [
        (DECISION, "DENIED", "unknown_serial"),
        ("DEED", "REGISTRY ADD", None),
        (DECISION, "DENIED", "firmware_too_old"),
        *a_life,
        ("DEED", "REVOKE", None),
        (DECISION, "DENIED", "revoked"),
        ("THING_EVENT", "DELETED", None),
        ("DEED", "REINSTATE", None),
        *a_life,
    ]
    claim = json.loads((cloud.environment().build / "terraform.tfstate").read_text())["outputs"]["claim_certificate_ids"]["value"]
    allowed = [entry for entry in entries if entry["operation"] == "ALLOWED"]
    assert [(e["certificateId"], e["claimCertificateId"]) for e in allowed] == [
        (first, claim["factory-1"]),
        (second, claim["factory-1"]),
    ]
    assert [e["certificateId"] for e in entries if e["operation"] == "CONNECTED"] == [first, second]
    deeds = [entry for entry in entries if entry["eventType"] == "DEED"]
    assert [(deed["why"], deed["complete"]) for deed in deeds] == [
        ("", True),
        ("stolen from hall 1", True),
        ("found again", True),
    ]
    assert {e["eventType"] for e in entries} >= {"THING_TYPE_ASSOCIATION_EVENT", "THING_GROUP_MEMBERSHIP_EVENT"}

    shown = " ".join(cloud.run("audit", serial).stdout.split())
    for said in ("denied by the hook", "let in by the hook", first[:12], second[:12], "first connection", "stolen from hall 1"):
        assert said in shown
    assert "now: active" in shown


def test_no_key_token_or_certificate_is_in_table_log_or_output(cloud, life):
    serial, _, secrets = life
    assert len(secrets) > 40
    shown = cloud.run("audit", serial)
    told_in = {
        "table": "\n".join(json.dumps(item) for item in items(cloud)),
        "log": "\n".join(log_lines(cloud)),
        "output": shown.stdout + shown.stderr + cloud.run("audit", serial, "--json").stdout,
        "file": (cloud.environment().build / "audit.jsonl").read_text(),
    }
    for place, text in told_in.items():
        assert serial in text, place
        found = [secret[:6] for secret in (*secrets, "-----BEGIN", "-----END", "OwnershipToken", "privateKey") if secret in text]
        assert found == [], place


def test_a_decision_is_shown_at_once_and_one_that_the_function_missed_too(cloud, life):
    """Without its permission the function keeps nothing: the hook's log has the decision, and the next delivery keeps it."""
    serial = life[0]
    names = cloud.fleet().names
    role = Role(cloud, "fleetgate-audit")
    role.without("dynamodb:PutItem")
    try:
        event = hook_events.request(SerialNumber=serial)
        cloud.client("lambda").invoke(FunctionName=names.hook, Payload=json.dumps(event).encode())
        [missed] = [entry for entry in trail(cloud, serial) if not entry["kept"]]
        assert missed["operation"] == "DENIED"
        line = next(text for text in log_lines(cloud) if missed["requestId"] in text and decisions.EVENT in text)
        failed = keep(cloud, line)
        assert "1 of 1 entries" in failed["Payload"].read().decode() and failed["FunctionError"]
    finally:
        role.put(role.policy)
    before = len(items(cloud))
    for _ in range(2):  # a delivery that comes twice replaces itself
        assert not keep(cloud, line).get("FunctionError")
        assert len(items(cloud)) == before + 1
    assert all(entry["kept"] for entry in trail(cloud, serial))


def test_a_device_that_says_no_serial_number_is_in_the_trail_too(cloud):
    before = len(trail(cloud, "--unreadable", status=None))
    event = hook_events.request(SerialNumber="-----BEGIN PRIVATE KEY-----")
    cloud.client("lambda").invoke(FunctionName=cloud.fleet().names.hook, Payload=json.dumps(event).encode())
    found = wait_for(lambda: [e["kept"] for e in trail(cloud, "--unreadable")][before:], [True])
    assert found == [True]


def test_the_log_of_the_audit_function_has_no_subscription_and_the_hooks_has_one(cloud):
    logs = cloud.client("logs")
    for group in (g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]):
        filters = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
        assert [f["filterName"] for f in filters] == (
            ["fleetgate-audit"] if group == decisions.Log(cloud.fleet().names.hook).group else []
        )


def test_what_the_trail_is_missing_comes_out_of_its_dead_letters_under_the_keys_that_it_would_have_had(cloud, life):
    """The event is one that a rule has written: sent again, it replaces its own entry."""
    names, sqs, value = cloud.fleet().names, cloud.client("sqs"), TypeDeserializer().deserialize
    url = sqs.get_queue_url(QueueName=names.audit_dead_letter)["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    written = next(item for item in items(cloud) if item["eventType"]["S"] == "THING_EVENT" and life[0] in item["subject"]["S"])
    event = {name: value(typed) for name, typed in written.items() if name not in ("subject", "id")}
    payload = base64.b64encode(json.dumps(event, default=int).encode()).decode()
    topic = f"$aws/events/thing/{written['subject']['S']}/{written['operation']['S'].lower()}"
    said = next(text for text in log_lines(cloud) if life[0] in text and decisions.EVENT in text)
    group = decisions.Log(names.hook).group
    letters = [
        delivery(said, logGroup=group),
        {"ruleName": "r", "topic": topic, "base64OriginalPayload": payload, "failures": [{"errorMessage": "no permission"}]},
    ]
    for letter in letters:
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(letter))
    before = {(item["subject"]["S"], item["id"]["S"]): item for item in items(cloud)}
    shown = cloud.run("redrive", "audit", "--dry-run", status=1).stdout
    assert "2 dead letters" in shown and "the rule could not write it" in shown
    cloud.run("redrive", "audit", "--yes")
    after = {(item["subject"]["S"], item["id"]["S"]): item for item in items(cloud)}
    assert {key: item for key, item in after.items() if item.get("operation") != {"S": "REDRIVE"}} == before
    assert "is empty" in cloud.run("redrive", "audit").stdout


def keep(cloud, line):
    """Delivers a line of the hook's log once more."""
    names = cloud.fleet().names
    event = delivery(
        line, logGroup=f"/aws/lambda/{names.hook}", logEvents=[{"id": "1", "timestamp": int(time.time() * 1000), "message": line}]
    )
    return cloud.client("lambda").invoke(FunctionName="fleetgate-audit", Payload=json.dumps(event).encode())
