"""A dead letter is read in whatever form AWS leaves it: Lambda's, a destination's, or a topic rule's."""

from __future__ import annotations

import base64
import json

import pytest

from fleetgate import redrive

EVENT = {"eventType": "THING_EVENT", "operation": "CREATED", "thingName": "temperature-sensor-TEMP-000001", "timestamp": 1}
RULE = {
    "ruleName": "fleetgate_thing_created",
    "topic": "$aws/events/thing/temperature-sensor-TEMP-000001/created",
    "clientId": "N/A",
    "base64OriginalPayload": base64.b64encode(json.dumps(EVENT).encode()).decode(),
    "failures": [{"failedAction": "LambdaAction", "failedResource": "fleetgate-onboarding", "errorMessage": "access denied"}],
}
RECORD = {"requestContext": {}, "requestPayload": EVENT, "responsePayload": {"errorMessage": "boom"}}


def message(body, **attributes):
    return {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": body if isinstance(body, str) else json.dumps(body),
        "Attributes": {"SentTimestamp": "1700000000000"},
        "MessageAttributes": {name: {"StringValue": value} for name, value in attributes.items()},
    }


@pytest.mark.parametrize(
    "given, kind, reason",
    [
        (message(EVENT, RequestID="1", ErrorCode="200", ErrorMessage="timed out"), redrive.FUNCTION_FAILED, "timed out"),
        (message(EVENT), redrive.FUNCTION_FAILED, ""),
        (message(RECORD), redrive.FUNCTION_FAILED, "boom"),
        (message(RULE), redrive.RULE_FAILED, "access denied"),
        (message(RULE | {"failures": []}), redrive.RULE_FAILED, ""),
    ],
    ids=["Lambda", "Lambda without attributes", "destination", "rule", "rule without a reason"],
)
def test_the_event_is_found(given, kind, reason):
    letter = redrive.read_letter(given, redrive.ONBOARDING)
    assert (letter.kind, letter.event, letter.reason) == (kind, EVENT, reason)
    assert letter.subject == "temperature-sensor-TEMP-000001" and letter.sent_ms == 1_700_000_000_000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no",
        "[]",
        "{}",
        '{"a": 1}',
        json.dumps(RULE | {"base64OriginalPayload": "*"}),
        json.dumps(RULE | {"base64OriginalPayload": ""}),
    ],
)
def test_what_holds_no_event_is_told_and_never_sent(body):
    letter = redrive.read_letter(message(body), redrive.ONBOARDING)
    assert (letter.kind, letter.event) == (redrive.UNREADABLE, None) and letter.reason


THING = RULE["topic"].split("/")[3]
LOG = {"awslogs": {"data": "H4sI"}}
WRITTEN = EVENT | {"eventId": "e-1", "attributes": {"weight": 1.5}}


def not_written(topic, event):
    return message(RULE | {"topic": topic, "base64OriginalPayload": base64.b64encode(json.dumps(event).encode()).decode()})


@pytest.mark.parametrize(
    "given, kind, event",
    [
        (message(LOG), redrive.FUNCTION_FAILED, LOG),
        (message({"requestPayload": LOG, "responsePayload": {"errorMessage": "boom"}}), redrive.FUNCTION_FAILED, LOG),
        (not_written(RULE["topic"], WRITTEN), redrive.NOT_WRITTEN, WRITTEN | {"subject": THING, "id": "1#e-1#THING_EVENT"}),
    ],
    ids=["Lambda", "destination", "rule"],
)
def test_both_kinds_of_letters_of_the_audit_trail_are_read(given, kind, event):
    letter = redrive.read_letter(given, redrive.AUDIT)
    assert (letter.kind, letter.event) == (kind, event) and letter.subject == (THING if kind == redrive.NOT_WRITTEN else "")


@pytest.mark.parametrize(
    "given, reason",
    [
        (message(EVENT), "no event that the function takes"),
        (message({"requestPayload": None}), "no event that the function takes"),
        (not_written("somebody/elses", WRITTEN), "by its topic"),
        (not_written("$aws/events/thing/a/b/created", WRITTEN), "by its topic"),
        (not_written(RULE["topic"], [WRITTEN]), "no JSON object"),
        (not_written(RULE["topic"], EVENT), "no eventId"),
        (not_written(RULE["topic"], WRITTEN | {"eventType": "DEED"}), "its eventType"),
        (not_written(RULE["topic"], WRITTEN | {"eventType": "THING_TYPE_EVENT"}), "its eventType"),
        (not_written("$aws/events/certificate/c/updated", WRITTEN | {"eventType": "PROVISIONING_DECISION"}), "its eventType"),
        (not_written("$aws/events/policy/p/updated", WRITTEN | {"eventType": "ONBOARDING"}), "its eventType"),
        (not_written(RULE["topic"], WRITTEN | {"timestamp": "yesterday"}), "its timestamp"),
        (not_written("$aws/events/certificates/registered/ca", {"timestamp": 1}), "no certificateId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_nothing_of_the_audit_trails_is_told_and_never_sent(given, reason):
    letter = redrive.read_letter(given, redrive.AUDIT)
    assert (letter.kind, letter.event) == (redrive.UNREADABLE, None) and reason in letter.reason


DEEP = "[" * 50_000


@pytest.mark.parametrize("of", redrive.QUEUES)
@pytest.mark.parametrize(
    "body",
    [DEEP, '{"a":' * 50_000, json.dumps(RULE | {"base64OriginalPayload": base64.b64encode(DEEP.encode()).decode()})],
    ids=["list", "object", "payload"],
)
def test_a_letter_of_thousands_of_brackets_is_told_and_never_sent(of, body):
    letter = redrive.read_letter(message(body), of)
    assert (letter.kind, letter.event, letter.reason) == (redrive.UNREADABLE, None, "it is nested too deeply")


def test_of_what_nobody_knows_the_payload_only_names_and_times_are_kept():
    event = WRITTEN | {
        "eventType": "CERTIFICATE_EVENT",
        "certificatePem": "-----BEGIN",
        "certificateId": "c",
        "awsAccountId": "1",
    }
    letter = redrive.read_letter(not_written("$aws/events/certificate/c/updated", event), redrive.AUDIT)
    assert set(letter.event) == {"eventType", "eventId", "operation", "timestamp", "subject", "id"}
    letter = redrive.read_letter(not_written("$aws/events/certificates/registered/ca", event), redrive.AUDIT)
    assert set(letter.event) == {"certificateId", "awsAccountId", "timestamp", "eventType", "operation", "subject", "id"}
    assert (letter.event["subject"], letter.event["id"], letter.event["operation"]) == ("c", "1#c", "REGISTERED")


def test_nothing_of_a_letter_reaches_a_terminal_that_is_not_text():
    letter = redrive.read_letter(message(EVENT | {"thingName": "a\x1b[31m"}, ErrorMessage="x\n" * 1000), redrive.ONBOARDING)
    assert letter.subject == r"a\x1b[31m" and "\n" not in letter.reason and len(letter.reason) <= 300
