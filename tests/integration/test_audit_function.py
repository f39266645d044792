"""The audit function and its table: every decision once, however often and in whatever company it is delivered."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

import hook_events
import lambdas
from audit_lines import delivery, line

CONTEXT = SimpleNamespace(aws_request_id="call-1")


@pytest.fixture
def function(registry, tmp_path, monkeypatch):
    for name, value in lambdas.AUDIT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return lambdas.deploy("audit", tmp_path, None)


def told(capsys):
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_decisions_are_kept_and_a_second_delivery_changes_nothing(function, registry, capsys):
    event = delivery(line(requestId="1"), line(requestId="2", allowed=True, reason="allowed"), line(serialNumber="?"))
    assert function.handler.handler(event, CONTEXT) == {"written": 3, "notUnderstood": 0}
    before = registry.trail()
    assert [entry["operation"] for entry in before if entry["subject"] == hook_events.SERIAL] == ["DENIED", "ALLOWED"]
    assert [entry["subject"] for entry in before if "serialNumber" not in entry] == ["(unreadable)"]
    function.handler.handler(event, CONTEXT)
    assert registry.trail() == before and len(before) == 3
    first, second = told(capsys)
    assert (first["event"], first["written"], first["requestId"]) == ("audit_delivery", 3, "call-1") and second["written"] == 3


def test_an_entry_that_the_table_refuses_stops_no_other_and_raises_in_the_end(function, registry, monkeypatch, capsys):
    real = function.handler.TABLE.put_item
    refused = {"2"}

    def put_item(**request):
        if request["Item"]["requestId"]["S"] in refused:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}, "PutItem")
        return real(**request)

    monkeypatch.setattr(function.handler.TABLE, "put_item", put_item)
    event = delivery(*(line(requestId=name) for name in "123"))
    with pytest.raises(function.handler.NotWritten, match=r"1 of 3 entries, the first: .*slow down"):
        function.handler.handler(event, CONTEXT)
    assert [entry["requestId"] for entry in registry.trail()] == ["1", "3"]
    assert [(one["written"], one["failed"]) for one in told(capsys)] == [(2, 1)]
    refused.clear()  # Lambda tries the whole delivery again
    function.handler.handler(event, CONTEXT)
    assert [entry["requestId"] for entry in registry.trail()] == ["1", "2", "3"]


def test_a_line_that_is_no_decision_is_told_and_the_others_are_kept(function, registry, capsys):
    found = function.handler.handler(delivery("Traceback: provisioning_decision", line()), CONTEXT)
    assert found == {"written": 1, "notUnderstood": 1} and len(registry.trail()) == 1
    unknown, summary = told(capsys)
    assert unknown["event"] == "audit_line_not_understood" and summary["AuditLinesNotUnderstood"] == 1


def test_what_is_no_delivery_raises_so_that_it_ends_as_a_dead_letter(function, registry):
    with pytest.raises(function.trail.NotADelivery):
        function.handler.handler(delivery(line(), logGroup="/aws/lambda/another"), CONTEXT)
    assert registry.trail() == []
