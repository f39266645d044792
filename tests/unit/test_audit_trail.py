"""The audit function's pure part: what CloudWatch Logs delivers, and the entries that come of it."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

import lambdas
from audit_lines import ENTRY, NOW, RECORD, delivery, line, packed

audit = lambdas.modules("audit", "trail", "settings", "report")
trail = audit.trail
GROUP = lambdas.HOOK_LOG_GROUP


def test_a_decision_becomes_an_entry_with_its_own_key():
    assert trail.entry(line()) == ENTRY
    assert trail.entry(line(allowed=True, reason="allowed"))["operation"] == "ALLOWED"


def test_the_same_line_makes_the_same_entry_and_another_call_another_one():
    assert trail.entry(line()) == trail.entry(line())
    assert trail.entry(line(requestId="request-2"))["id"] != ENTRY["id"]


@pytest.mark.parametrize(
    "wrapped",
    [{"level": "INFO", "message": line()}, {"timestamp": "2026-11-23T09:00:00Z", "message": RECORD}],
    ids=["as text", "as an object"],
)
def test_a_line_that_lambda_has_put_into_a_record_of_its_own_is_found(wrapped):
    assert trail.entry(json.dumps(wrapped)) == ENTRY


def test_without_a_request_id_the_line_itself_is_the_key():
    first, again, other = (trail.entry(line(requestId=None, clientId=client)) for client in ("a", "a", "b"))
    assert first["id"] == again["id"] != other["id"] and first["id"].startswith(f"{NOW}#") and "requestId" not in first


@pytest.mark.parametrize(
    "sent", [None, "", "(redacted)", "TEMP 1", "T" * 65, "TEMP\n", "TEMP€", "\ud800", 7, ["TEMP"], "(unreadable)"], ids=repr
)
def test_a_serial_number_that_can_be_none_is_kept_under_a_subject_of_its_own_and_not_itself(sent):
    entry = trail.entry(line(serialNumber=sent))
    assert entry["subject"] == trail.UNREADABLE and "serialNumber" not in entry and entry["reason"] == "revoked"


def test_an_entry_holds_nothing_but_known_names_and_what_fits_a_table():
    pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
    entry = trail.entry(line(clientId=pem, thingName="\ud800x", certificateId=7, certificateOwnershipToken="t" * 99, x={}))
    assert set(entry) == set(ENTRY) - {"clientId", "certificateId"}
    assert entry["thingName"].encode() and "BEGIN" not in json.dumps(entry)
    assert len(trail.entry(line(clientId="c" * 999))["clientId"]) == 128


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("START RequestId: provisioning_decision", "it is no decision of the hook"),
        ('{"event": "provisioning_decision"', "it is no decision of the hook"),
        ("[" * 100_000, "it is no decision of the hook"),
        ('["provisioning_decision"]', "it is no decision of the hook"),
        (None, "it is no decision of the hook"),
        (line(event="other"), "it is no decision of the hook"),
        (line(_aws=None), "it does not say when"),
        (line(_aws={"Timestamp": "now"}), "it does not say when"),
        (line(_aws={"Timestamp": True}), "it does not say when"),
        (line(_aws={"Timestamp": 10**20}), "it does not say when"),
        (line(allowed="yes"), "it does not say whether the device was let in"),
    ],
)
def test_a_line_that_is_no_decision_says_why_and_nothing_of_itself(text, why):
    with pytest.raises(trail.NotADecision) as told:
        trail.entry(text)
    assert str(told.value) == why


def test_a_line_that_is_not_understood_stops_none_of_the_others_and_is_told_with_its_place():
    found = trail.read(delivery(line(requestId="1"), "a traceback with provisioning_decision", line(requestId="2")), GROUP)
    assert [entry["requestId"] for entry in found.entries] == ["1", "2"]
    [unknown] = found.unknown
    assert unknown == trail.Unknown("2026/11/23/[$LATEST]1", "event-1", NOW + 1, "it is no decision of the hook")
    settings = audit.settings.Settings("fleetgate-audit", GROUP)
    told = [json.loads(said) for said in audit.report.lines(found, 0, settings, "call-1")]
    assert [one["event"] for one in told] == ["audit_line_not_understood", "audit_delivery"]
    assert told[0]["logEventId"] == "event-1" and told[0]["logStream"] == unknown.log_stream and told[0]["logGroup"] == GROUP
    assert "traceback" not in json.dumps(told)
    assert (told[1]["written"], told[1]["AuditLinesNotUnderstood"], told[1]["failed"]) == (2, 1, 0)


def test_the_trial_message_of_cloudwatch_logs_is_no_entry():
    assert trail.read(delivery(line(), messageType="CONTROL_MESSAGE"), GROUP) == trail.Delivery([], [])


@pytest.mark.parametrize("event", [[7, None, {}], ["x"]], ids=repr)
def test_log_events_without_a_message_are_not_understood(event):
    found = trail.read(delivery(logEvents=event), GROUP)
    assert found.entries == [] and len(found.unknown) == len(event)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"awslogs": {"data": 7}},
        {"awslogs": {"data": "not base64!"}},
        {"awslogs": {"data": base64.b64encode(b"not gzip").decode()}},
        {"awslogs": {"data": base64.b64encode(gzip.compress(b"{}")[:-9]).decode()}},
        {"awslogs": {"data": base64.b64encode(gzip.compress(b"not json")).decode()}},
        packed([]),
        delivery(line(), messageType="SOMETHING"),
        delivery(line(), logGroup="/aws/lambda/fleetgate-audit"),
        delivery(logEvents="none"),
    ],
)
def test_what_is_no_delivery_of_the_hooks_log_raises(event):
    with pytest.raises(trail.NotADelivery):
        trail.read(event, GROUP)


def test_all_settings_that_are_missing_are_said_at_once():
    with pytest.raises(audit.settings.SettingsError) as told:
        audit.settings.load({"AUDIT_TABLE_NAME": "t!"})
    assert "AUDIT_TABLE_NAME: 't!' is not usable" in str(told.value) and "HOOK_LOG_GROUP: is missing" in str(told.value)
    loaded = audit.settings.load(lambdas.AUDIT_ENVIRONMENT)
    assert (loaded.table_name, loaded.log_group) == (lambdas.AUDIT_TABLE, GROUP)
