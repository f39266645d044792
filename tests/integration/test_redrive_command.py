"""`fleetgate redrive` on moto's queue; only the call of the function, which moto cannot make, is at botocore's boundary."""

from __future__ import annotations

import base64
import io
import json
from decimal import Decimal
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

import lambdas
from audit_lines import ENTRY, NOW, delivery, line
from fleetgate import audit, aws, redrive
from fleetgate.environment import ACCOUNT_VARIABLE
from hook_events import THING

COUNT = "ApproximateNumberOfMessages"


@pytest.fixture
def queue(registry, monkeypatch):
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="fleetgate-onboarding-dead-letter")["QueueUrl"]

    def put(*names):
        for name in names:
            sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"eventType": "connected", "clientId": name}))

    def names():
        """What can be received now, whatever has been hidden before."""
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30).get("Messages"):
            found += [message["Body"] for message in messages]
        return sorted(json.loads(body)["clientId"] if body.startswith("{") else body for body in found)

    return SimpleNamespace(
        put=put,
        names=names,
        send=lambda body: sqs.send_message(QueueUrl=url, MessageBody=body),
        receive=lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)["Messages"],
        delete=lambda message: sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]),
    )


@pytest.fixture
def function(queue, monkeypatch):
    """The function as a test wants it: `answer(event)` raises, or returns what Lambda says."""
    calls: list[str] = []

    def invoke(FunctionName, Payload):
        assert FunctionName == "fleetgate-onboarding"
        event = json.loads(Payload)
        calls.append(event["clientId"])
        answer = fake.answer(event)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())} | ({"FunctionError": "Unhandled"} if answer else {})

    fake = SimpleNamespace(calls=calls, answer=lambda event: None)
    monkeypatch.setattr(aws.client("lambda"), "invoke", invoke)
    return fake


def refused(code):
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Invoke")


def test_an_empty_queue_is_said_and_nobody_is_asked(fleetgate, function):
    status, out, _ = fleetgate("redrive")
    assert (status, function.calls) == (0, []) and "is empty" in out


def test_a_queue_that_is_not_there_names_the_way_to_it(fleetgate, registry, monkeypatch):
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    status, _, err = fleetgate("redrive")
    assert status == 2 and "fleetgate-onboarding-dead-letter: does not exist" in err and "make apply ENV=moto" in err


def test_a_dry_run_and_a_question_without_an_answer_change_nothing_and_hide_nothing(fleetgate, queue, function):
    queue.put("a", "b")
    queue.send("no event")
    status, out, err = fleetgate("redrive", "--dry-run")
    assert status == 1 and "nothing was changed (--dry-run)" in err
    assert "3 dead letters" in out and "2 the function failed" in out and "oldest: 20" in out
    status, out, err = fleetgate("redrive", "--dry-run", "--json")
    assert status == 1 and json.loads(out)["kinds"] == {"no event that can be read": 1, "the function failed": 2}
    status, _, err = fleetgate("redrive")
    assert status == 2 and "add --yes" in err and function.calls == []
    assert queue.names() == ["a", "b", "no event"]


def test_more_than_a_page_goes_and_only_what_was_taken_leaves_the_queue(fleetgate, queue, function):
    names = [f"device-{number:02}" for number in range(37)]
    queue.put(*names)
    bad = {"device-03", "device-21"}
    function.answer = lambda event: {"errorType": "KeyError", "errorMessage": "row"} if event["clientId"] in bad else None
    status, out, _ = fleetgate("redrive", "--yes", "--json")
    report = json.loads(out)
    assert (status, report["count"], report["redriven"]) == (1, 37, 35)
    assert {(left["subject"], left["reason"]) for left in report["left"]} == {(name, "KeyError: row") for name in bad}
    assert sorted(function.calls) == names  # each once, also those that failed
    assert queue.names() == sorted(bad)


def test_so_many_and_no_more_are_sent(fleetgate, queue, function):
    queue.put(*"abcdefghijklmno")
    status, out, _ = fleetgate("redrive", "--yes", "--limit", "4")
    assert status == 1 and "4 events handled, 0 letters left in the queue, 11 not tried" in out
    assert len(function.calls) == 4 and len(queue.names()) == 11


def test_letters_that_another_run_holds_are_left_and_one_that_ends_meanwhile_leaves_none(fleetgate, queue, function):
    queue.put("a", "b")
    [held] = queue.receive()
    status, out, _ = fleetgate("redrive", "--yes", "--json")
    report = json.loads(out)
    assert (status, report["redriven"], report["hidden"], report["waiting"]) == (1, 1, 1, 1)
    status, out, _ = fleetgate("redrive")
    assert status == 1 and "is empty (1 are being worked on by somebody else)" in out
    queue.put("c")
    function.answer = lambda event: queue.delete(held) and None  # the other run has got it done before this one ends
    assert fleetgate("redrive", "--yes")[0] == 0


def test_a_throttled_function_leaves_the_letter_and_one_that_may_not_be_called_ends_the_run(fleetgate, registry, queue, function):
    queue.put("a")
    function.answer = lambda event: (_ for _ in ()).throw(refused("TooManyRequestsException"))
    status, _, err = fleetgate("redrive", "--yes")
    assert status == 1 and "left: a: Lambda turned the call away" in err and "fleetgate redrive --env moto" in err
    function.answer = lambda event: (_ for _ in ()).throw(refused("AccessDeniedException"))
    status, _, err = fleetgate("redrive", "--yes")
    assert status == 2 and "AccessDeniedException" in err and queue.names() == ["a"]
    assert [entry["complete"] for entry in registry.trail()] == [True, False]  # one that ended by an error is not complete


def test_a_run_that_finds_nothing_any_more_leaves_no_entry(fleetgate, registry, queue, monkeypatch):
    queue.put("a")
    look = redrive.Queue.look

    def somebody_is_faster(self):
        found = look(self)
        monkeypatch.setattr(redrive.Queue, "batches", lambda self: iter(()))
        return found

    monkeypatch.setattr(redrive.Queue, "look", somebody_is_faster)
    _, out, _ = fleetgate("redrive", "--yes")
    assert "0 events handled" in out and registry.trail() == []


def test_ctrl_c_puts_back_what_was_not_handled(fleetgate, queue, function):
    queue.put(*"abc")
    turns = iter(["taken", "taken", "pressed"])

    def answer(event):
        if next(turns) == "pressed":
            raise KeyboardInterrupt

    function.answer = answer
    status, _, err = fleetgate("redrive", "--yes")
    assert status == 130 and "the same command goes on" in err
    taken = len(function.calls) - len(queue.names())
    assert 0 <= taken <= 2  # what was under way may have been taken without that being seen; it is sent again then
    assert '"complete": false' in err


@pytest.mark.parametrize("words", [["--limit", "-1"]])
def test_a_limit_that_is_none_is_told(fleetgate, queue, words):
    assert "--limit" in fleetgate("redrive", *words)[2]


@pytest.fixture
def gap(registry, monkeypatch, tmp_path, capsys):
    """The audit trail's queue with both kinds of letters and one of nobody's; the function is the real one, called here."""
    for name, value in ({ACCOUNT_VARIABLE: lambdas.ACCOUNT} | lambdas.AUDIT_ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "function").mkdir()
    keep = lambdas.deploy("audit", tmp_path / "function", None).handler.handler
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="fleetgate-audit-dead-letter")["QueueUrl"]
    event = {"eventType": "THING_EVENT", "eventId": "e-1", "operation": "CREATED", "thingName": THING, "timestamp": NOW}
    event |= {"attributes": {"weight": 1.5, "on": True}, "billingGroupName": None}
    payload = lambda event: {"base64OriginalPayload": base64.b64encode(json.dumps(event).encode()).decode()}  # noqa: E731
    send = lambda letter: sqs.send_message(QueueUrl=url, MessageBody=json.dumps(letter))  # noqa: E731
    failures = [{"failedAction": "DynamoDBv2Action", "errorMessage": "no permission"}]
    rule = {"ruleName": "fleetgate_audit_thing", "topic": f"$aws/events/thing/{THING}/created"}
    letters = [delivery(line()), rule | payload(event) | {"failures": failures}, {"eventType": "nobody's"}]
    for letter in letters:
        send(letter)

    def invoke(FunctionName, Payload):
        assert FunctionName == "fleetgate-audit"
        try:
            answer = keep(json.loads(Payload), None)
        except (RuntimeError, ValueError) as error:
            said = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"Payload": io.BytesIO(json.dumps(said).encode()), "FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    monkeypatch.setattr(aws.client("lambda"), "invoke", invoke)
    count = lambda: int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"][COUNT])  # noqa: E731
    return SimpleNamespace(event=event, count=count, send=send, payload=payload)


def test_what_the_audit_trail_is_missing_comes_into_it_under_the_keys_that_function_and_rule_give(fleetgate, registry, gap):
    seen = fleetgate("redrive", "audit", "--dry-run")
    assert seen[0] == 1 and "fleetgate-audit-dead-letter: 3 dead letters" in seen[1] and "the rule could not write it" in seen[1]
    assert registry.trail() == [] and gap.count() == 3
    status, _, err = fleetgate("redrive", "audit", "--yes")
    assert status == 1 and "it is no event that the function takes" in err and "redrive audit --env moto" in err
    assert gap.count() == 1
    decision, event, deed = sorted(registry.trail(), key=lambda entry: ["PROV", "THIN", "DEED"].index(entry["eventType"][:4]))
    assert decision == ENTRY
    assert event == gap.event | {
        "subject": THING,
        "id": f"{NOW}#e-1#THING_EVENT",
        "attributes": {"weight": Decimal("1.5"), "on": True},
    }
    assert (deed["operation"], deed["subject"], deed["complete"]) == ("REDRIVE", "fleetgate-audit-dead-letter", True)


def test_a_table_that_does_not_take_an_event_leaves_its_letter_with_the_reason_and_one_that_is_not_there_ends_the_run(
    fleetgate, registry, gap, monkeypatch
):
    put = audit.put

    def busy(table, entry):
        if entry["eventType"] != "DEED":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "PutItem")
        put(table, entry)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "put", busy)
        status, _, err = fleetgate("redrive", "audit", "--yes")
    assert status == 1 and f"left: {THING}: DynamoDB did not take it: ThrottlingException" in err and gap.count() == 2
    boto3.client("dynamodb").delete_table(TableName=lambdas.AUDIT_TABLE)
    status, _, err = fleetgate("redrive", "audit", "--yes")
    assert status == 2 and "table fleetgate-audit: does not exist" in err and gap.count() == 2


@pytest.mark.parametrize("kind, left", [("DEED", 3), ("THING_EVENT", 2)])
def test_a_letter_replaces_no_entry_that_is_there(fleetgate, registry, gap, kind, left):
    there = {"subject": THING, "id": f"{NOW}#e-2#{kind}", "timestamp": NOW, "eventType": kind, "operation": "REVOKE"}
    audit.put(lambdas.AUDIT_TABLE, there | {"who": "arn:operator"})
    event = {"eventType": kind, "eventId": "e-2", "timestamp": NOW, "operation": "REINSTATE", "who": "arn:innocent"}
    gap.send({"topic": f"$aws/events/thing/{THING}/created"} | gap.payload(event))
    assert fleetgate("redrive", "audit", "--yes")[0] == 1
    assert gap.count() == left - 1  # what is there already leaves the queue; a deed is nothing that AWS IoT says
    assert [one for one in registry.trail() if one["id"] == there["id"]] == [there | {"who": "arn:operator"}]


def test_a_queue_that_there_is_none_of_is_refused(fleetgate, registry):
    with pytest.raises(SystemExit) as ended:
        fleetgate("redrive", "audits")
    assert ended.value.code == 2
