"""Why a request was not allowed: the one thing that a person has to change, first."""

from __future__ import annotations

from typing import Any

import pytest

from fleetgate.iot_policy import evaluator, model
from fleetgate.iot_policy.evaluator import Identity, Request
from fleetgate.iot_policy.reasons import Reason, why_not

ARN = "arn:aws:iot:eu-west-1:111111111111"
THING = "${iot:Connection.Thing.ThingName}"
DEVICE = Identity("t1", "t1", True)


def allow(resource: str, action: Any = "iot:Publish", **more: Any) -> dict[str, Any]:
    whole = resource if resource == "*" or resource.startswith("arn:") else f"{ARN}:{resource}"
    return {"Effect": "Allow", "Action": action, "Resource": whole} | more


def why(
    *statements: dict[str, Any], ask: str = "iot:Publish topic/a/b", identity: Identity = DEVICE, groups: bool = False
) -> Any:
    action, resource = ask.split(" ")
    policy = model.read({"Version": "2012-10-17", "Statement": list(statements)}, "p")
    own, others = ([], [policy]) if groups else ([policy], [])
    request = Request(action, f"{ARN}:{resource}")
    assert not evaluator.authorize(own, request, identity, group_policies=others).allowed
    return why_not(own, request, identity, group_policies=others)


@pytest.mark.parametrize(
    "statement, identity, what, fix",
    [
        (allow("topic/a"), DEVICE, "it covers topic/a", ""),
        (
            allow("topicfilter/a/*"),
            DEVICE,
            "it covers topicfilter/a/*, but this action is checked against topic/",
            "write topic/a/*",
        ),
        (allow("topic/a/#"), DEVICE, "it covers topic/a/#, but `+` and `#` are plain characters in a policy", "write topic/a/*"),
        (allow("topic/+/b"), DEVICE, "it covers topic/+/b, but `+` and `#` are plain characters in a policy", "write topic/*/b"),
        (allow("topic/A/*"), DEVICE, "it covers topic/A/*, but case counts in a resource", "spell it alike"),
        (
            allow("arn:aws:iot:us-east-1:111111111111:topic/a/*"),
            DEVICE,
            "it covers arn:aws:iot:us-east-1:111111111111:topic/a/*: another account, Region or partition",
            "write the right one",
        ),
        (allow("topic/a/${iot:ClientId}"), Identity("*"), "it covers topic/a/${*}", ""),
        (
            allow(f"topic/a/{THING}"),
            Identity("x", "b", True),
            f"{THING} has no value, so the statement does nothing",
            "connect with the thing's name b as client id, or attach the certificate exclusively",
        ),
        (
            allow(f"topic/a/{THING}"),
            Identity("b", "b"),
            f"{THING} has no value, so the statement does nothing",
            "attach the certificate to the thing b",
        ),
        (
            allow(f"topic/a/{THING}"),
            Identity("b"),
            f"{THING} has no value, so the statement does nothing",
            "the connection stands for no thing: attach the certificate to one, and connect under its name",
        ),
        (
            allow(f"topic/a/{THING}"),
            Identity("b", "b", True, protocol="https"),
            f"{THING} has no value, so the statement does nothing",
            "it exists over MQTT only; name the thing itself, or let the device use MQTT topics",
        ),
        (
            allow("topic/a/${iot:Thing.ThingName}"),
            DEVICE,
            "${iot:Thing.ThingName} has no value, so the statement does nothing",
            "there is no such variable; write iot:Connection.Thing.ThingName",
        ),
        (
            allow("topic/a/${iot:Connection.Thing.Attributes[site]}"),
            DEVICE,
            "${iot:Connection.Thing.Attributes[site]} has no value, so the statement does nothing",
            "the thing has none in the registry; give it one, or take another variable",
        ),
        (
            allow("topic/a/${iot:Certificate.Subject.State}"),
            DEVICE,
            "${iot:Certificate.Subject.State} has no value, so the statement does nothing",
            "the certificate has no such field",
        ),
        (
            allow("topic/a/${aws:SourceIp}"),
            DEVICE,
            "${aws:SourceIp} has no value, so the statement does nothing",
            "say what it is, to decide this",
        ),
        (
            allow("*", Condition={"Bool": {"iot:Connection.Thing.IsAttached": "true"}}),
            Identity("x", "b", True),
            "the condition Bool iot:Connection.Thing.IsAttached: true is not met: it is false",
            "",
        ),
        (
            allow("*", Condition={"StringEquals": {"aws:SourceIp": ["1.2.3.4", "5.6.7.8"]}}),
            DEVICE,
            "the condition StringEquals aws:SourceIp: 1.2.3.4 or 5.6.7.8 is not met: aws:SourceIp has no value",
            "say what it is, to decide this",
        ),
        (
            allow("*", Condition={"StringEqual": {"iot:ClientId": "t1"}}),
            DEVICE,
            "the condition StringEqual iot:ClientId: t1 cannot be evaluated, so it is never met",
            "there is no operator StringEqual; write StringEquals",
        ),
        (
            allow("*", Condition={"StringEquals": {"iot:Certificate.AvailableKeys": "x"}}),
            DEVICE,
            "the condition StringEquals iot:Certificate.AvailableKeys: x cannot be evaluated, so it is never met",
            "iot:Certificate.AvailableKeys is a list: write ForAnyValue:StringEquals or ForAllValues:StringEquals",
        ),
        (
            allow("*", Condition={"StringEquals": {"iot:ClientId": "${iot:Nothing}"}}),
            DEVICE,
            "the condition StringEquals iot:ClientId: ${iot:Nothing} holds a variable without a value: iot:Nothing",
            "",
        ),
        (
            {"Effect": "Allow", "Action": "*", "NotResource": f"{ARN}:topic/a/*"},
            DEVICE,
            "its NotResource leaves this out",
            "",
        ),
    ],
)
def test_a_near_miss_says_what_is_wrong_and_how_to_mend_it(statement, identity, what, fix):
    assert why(statement, identity=identity) == [Reason(("p", 0), what, fix)]


@pytest.mark.parametrize(
    "ask, fix",
    [
        ("iot:Subscribe topicfilter/a", "add a statement for it, if the device should"),
        (
            "iot:UpdateThingShadow thing/t1/x",
            "it is for the HTTPS API; over MQTT the device needs topics like $aws/things/t1/shadow/…",
        ),
        (
            "iot:UpdateJobExecution thing/t1",
            "it is for the HTTPS API; over MQTT the device needs topics like $aws/things/t1/jobs/…",
        ),
        ("iot:PublishRetain topic/a", "AWS IoT has no such action; did you mean iot:RetainPublish?"),
        ("s3:GetObject topic/a", "AWS IoT has no such action"),
    ],
)
def test_an_action_that_nothing_allows_is_said_to_be_so_with_another_way(ask, fix):
    action = ask.split(" ")[0]
    assert why(allow("*"), ask=ask) == [Reason(None, f"no statement allows {action} on anything", fix)]


def test_the_nearest_miss_comes_first_and_those_about_something_else_are_left_out_beside_it():
    far, near = allow("topic/x"), allow("topicfilter/a/b")
    condition = allow("topic/a/*", Condition={"StringEquals": {"iot:ClientId": "other"}})
    assert [reason.by for reason in why(far, near, condition)] == [("p", 2), ("p", 1)]


def test_of_many_that_are_about_something_else_the_three_most_alike_are_named():
    many = [allow(f"topic/{text}") for text in ("x", "a", "a/", "a/c", "y", "z")]
    assert [reason.by for reason in why(*many)] == [("p", 2), ("p", 3), ("p", 1)]


def test_group_policies_that_do_not_count_are_told():
    reasons = why(allow("*"), identity=Identity("x", "t1", True, exclusive=True), groups=True)
    assert reasons[0] == Reason(
        None, "the policies of thing groups do not count here", "connect with the thing's name t1 as client id"
    )
    assert why(allow("*"), ask="iot:GetThingShadow thing/t1", groups=True)[0].fix == (
        "over HTTPS there is no client id, and so no thing"
    )


def test_a_deny_is_no_near_miss():
    denied = {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}:topic/x"}
    assert [reason.by for reason in why(denied)] == [None]
