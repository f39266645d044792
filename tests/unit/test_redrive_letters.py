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
    letter = redrive.read_letter(given)
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
    letter = redrive.read_letter(message(body))
    assert (letter.kind, letter.event) == (redrive.UNREADABLE, None) and letter.reason


def test_nothing_of_a_letter_reaches_a_terminal_that_is_not_text():
    letter = redrive.read_letter(message(EVENT | {"thingName": "a\x1b[31m"}, ErrorMessage="x\n" * 1000))
    assert letter.subject == "a [31m" and "\n" not in letter.reason and len(letter.reason) <= 300
