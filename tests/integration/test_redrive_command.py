"""`fleetgate redrive` on moto's queue; only the call of the function, which moto cannot make, is at botocore's boundary."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

import lambdas
from fleetgate import aws
from fleetgate.environment import ACCOUNT_VARIABLE


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

    return SimpleNamespace(put=put, names=names, send=lambda body: sqs.send_message(QueueUrl=url, MessageBody=body))


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
    assert status == 1 and "fleetgate-onboarding-dead-letter: does not exist" in err and "make apply ENV=moto" in err


def test_a_dry_run_and_a_question_without_an_answer_change_nothing_and_hide_nothing(fleetgate, queue, function):
    queue.put("a", "b")
    queue.send("no event")
    status, out, err = fleetgate("redrive", "--dry-run")
    assert status == 0 and "3 dead letters" in out and "2 the function failed" in out and "oldest: 20" in out
    status, out, err = fleetgate("redrive", "--dry-run", "--json")
    assert status == 0 and json.loads(out)["kinds"] == {"no event that can be read": 1, "the function failed": 2}
    status, _, err = fleetgate("redrive")
    assert status == 1 and "add --yes" in err and function.calls == []
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
    assert status == 0 and "4 events handled, 0 letters left" in out and len(function.calls) == 4 and len(queue.names()) == 11


def test_a_throttled_function_leaves_the_letter_and_one_that_may_not_be_called_ends_the_run(fleetgate, queue, function):
    queue.put("a")
    function.answer = lambda event: (_ for _ in ()).throw(refused("TooManyRequestsException"))
    status, _, err = fleetgate("redrive", "--yes")
    assert status == 1 and "left: a: Lambda turned the call away" in err and "fleetgate redrive --env moto" in err
    function.answer = lambda event: (_ for _ in ()).throw(refused("AccessDeniedException"))
    status, _, err = fleetgate("redrive", "--yes")
    assert status == 1 and "AccessDeniedException" in err and queue.names() == ["a"]


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
    assert '"complete": false' in err or taken == 0


@pytest.mark.parametrize("words", [["--limit", "-1"]])
def test_a_limit_that_is_none_is_told(fleetgate, queue, words):
    assert "--limit" in fleetgate("redrive", *words)[2]
