"""What a rule shows as harm is harm: each witness is asked of the evaluator. And no policy is too strange or large for a rule."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import random_policies

from fleetgate.iot_policy import model, rules, topics
from fleetgate.iot_policy.evaluator import Identity, Request, authorize
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.rule import Bundle, Hit, Subject
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.view import SELF, STRANGERS

PLACE = random_policies.ARN.removesuffix(":")
REQUESTS = {"topic": "iot:Publish", "topicfilter": "iot:Subscribe", "client": "iot:Connect"}


def hits(document: Policy) -> list[tuple[str, Hit]]:
    found = [(rule.id, hit) for rule in rules.of(Subject.POLICY) for hit in rule.check(document)]
    return found + [(rule.id, hit) for rule in rules.of(Subject.BUNDLE) for hit in rule.check(Bundle((document,)))]


def may(document: Policy, action: str, resource: str, name: str = SELF, client_id: str | None = None) -> bool:
    attributes = {"x": "a", "site": "north"}
    own = Identity(client_id or name, name, attached=True, thing_type="Type", attributes=attributes)
    return authorize([document], Request(action, resource), own).allowed


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("B01", allow("iot:Connect", f"{PLACE}:client/*")),
        ("B02", allow("iot:Publish", f"{PLACE}:topic/$aws/things/*/shadow/update")),
        ("B02", allow("iot:Publish", f"{PLACE}:topic/*/shadow/update")),
        ("B02", allow("iot:Subscribe", f"{PLACE}:topicfilter/$aws/things/+/shadow/*")),
        ("B04", allow("iot:Publish", f"{PLACE}:topic/*")),
        ("B04", allow("iot:Subscribe", "*")),
        ("B06", allow("iot:Publish", f"{PLACE}:topic/plant/pump*/state")),
        ("B06", allow("iot:Publish", f"{PLACE}:topic/$aws/things/press-*/shadow/update")),
        ("B06", allow("iot:Publish", f"{PLACE}:topic/$aws/things/press-?/shadow/update")),
        ("B04", allow("iot:Publish", "arn:aws:iot:*")),
        ("B02", allow("iot:Publish", "arn:aws:*")),
        ("B07", allow("iot:Publish", f"{PLACE}:topic/$aws/rules/*")),
        ("B07", allow("iot:Publish", f"{PLACE}:topic/$aws/events/*")),
        ("M06", allow("iot:Subscribe", f"{PLACE}:topicfilter/*")),
    ],
)
def test_what_is_shown_is_allowed(rule: str, statement: dict[str, Any]) -> None:
    document = model.read(policy(statement), "p")
    [witness] = [hit.witness for found, hit in hits(document) if found == rule]
    action = statement["Action"]
    kind = {action: kind for kind, action in REQUESTS.items()}[action]
    assert may(document, action, f"{PLACE}:{kind}/{witness}", client_id=witness if kind == "client" else None)


@pytest.mark.parametrize(
    ("operator", "value", "guards"),
    [
        ("Bool", "false", True),
        ("Bool", "False", True),
        ("StringEquals", "false", True),
        ("StringNotEquals", "true", True),
        ("StringEquals", "False", False),
        ("ArnEquals", "false", False),
        ("Null", "false", False),
        ("Bool", "true", False),
    ],
)
def test_a_deny_keeps_strangers_out_only_if_it_denies(operator: str, value: str, guards: bool) -> None:
    statement = deny("iot:Connect", "*", **{operator: {"iot:Connection.Thing.IsAttached": value}})
    document = model.read(policy(allow("iot:Connect", f"{PLACE}:client/*"), statement), "p")
    assert ("B01" not in {rule for rule, _ in hits(document)}) is guards
    stranger = Identity("another", "press-1", attached=True)
    denied = not authorize([document], Request("iot:Connect", f"{PLACE}:client/another"), stranger).allowed
    assert denied is guards or operator == "Null"


@pytest.mark.parametrize("action", ["iot:DeleteConnection", "iot:SendDirectMessage", "iot:GetConnection"])
def test_who_may_act_on_any_connection_is_found(action: str) -> None:
    document = model.read(policy(allow(action, f"{PLACE}:client/*")), "p")
    [witness] = [hit.witness for found, hit in hits(document) if found == "B01"]
    identity = Identity("press-1", "press-1", attached=True, protocol="https")
    assert authorize([document], Request(action, f"{PLACE}:client/{witness}"), identity).allowed
    pinned = model.read(policy(allow(action, f"{PLACE}:client/press-1")), "p")
    assert "B01" not in {rule for rule, _ in hits(pinned)}


@pytest.mark.parametrize("topic", [f"plant/*/{THING}/*", f"*/x-{THING}/*", f"plant/*/{THING}/*/state/*"])
def test_a_topic_that_is_shown_as_two_devices_is_both_theirs(topic: str) -> None:
    document = model.read(policy(allow("iot:Publish", f"{PLACE}:topic/{topic}")), "p")
    [witness] = [hit.witness for rule, hit in hits(document) if rule == "B06"]
    for name in (SELF, STRANGERS[0]):
        assert may(document, "iot:Publish", f"{PLACE}:topic/{witness}", name)


@pytest.mark.parametrize(
    ("topic", "rule"),
    [(f"plant/{THING}*", "V06"), (f"plant/gw-{THING}/x", "V06"), (f"plant/*{THING}", "V07"), (f"plant/{THING}?", "V07")],
)
def test_the_other_name_that_a_device_reaches_is_reached(topic: str, rule: str) -> None:
    document = model.read(policy(allow("iot:Publish", f"{PLACE}:topic/{topic}")), "p")
    [hit] = [hit for found, hit in hits(document) if found == rule]
    mine = "1" if "*$" in topic else "dev1"
    wanted = f"plant/{hit.witness}" + ("/x" if topic.endswith("/x") else "")
    assert may(document, "iot:Publish", f"{PLACE}:topic/{wanted}", mine)


@pytest.mark.parametrize("client", ["*", "press-*", "${iot:ClientId}"])
@pytest.mark.parametrize("action", ["iot:Publish", "iot:Subscribe"])
def test_the_client_id_that_a_device_may_choose_is_one_that_it_may(client: str, action: str) -> None:
    kind = {"iot:Publish": "topic", "iot:Subscribe": "topicfilter"}[action]
    own = allow(action, f"{PLACE}:{kind}/plant/${{iot:ClientId}}/x")
    document = model.read(policy(allow("iot:Connect", f"{PLACE}:client/{client}"), own), "p")
    [witness] = [str(hit.witness) for rule, hit in hits(document) if rule == "V03"]
    assert may(document, "iot:Connect", f"{PLACE}:client/{witness}", client_id=witness)
    assert may(document, action, f"{PLACE}:{kind}/plant/{witness}/x", client_id=witness)
    if action == "iot:Subscribe":
        assert topics.is_filter(f"plant/{witness}/x")
        assert topics.matches(f"plant/{witness}/x", f"plant/{witness.replace('+', 'else')}/x")


@pytest.mark.parametrize(
    ("allowed", "denied"), [("hall/*", "hall/vault/*"), ("hall/*/x", "hall/a/x"), ("*", "hall/*"), ("h?*", "ha/b")]
)
def test_the_filter_that_gets_around_a_deny_may_be_subscribed_to_and_brings_it(allowed: str, denied: str) -> None:
    statements = [
        allow("iot:Subscribe", f"{PLACE}:topicfilter/{allowed}"),
        deny("iot:Subscribe", f"{PLACE}:topicfilter/{denied}"),
        allow("iot:Receive", f"{PLACE}:topic/*"),
    ]
    document = model.read(policy(*statements), "p")
    [witness] = [str(hit.witness) for rule, hit in hits(document) if rule == "M02"]
    kept_away = denied.replace("*", "x")
    assert not may(document, "iot:Subscribe", f"{PLACE}:topicfilter/{kept_away}")
    assert may(document, "iot:Subscribe", f"{PLACE}:topicfilter/{witness}")
    assert topics.matches(witness, kept_away)
    assert may(document, "iot:Receive", f"{PLACE}:topic/{kept_away}")


def test_witnesses_of_random_policies_are_allowed() -> None:
    """Of those without a Deny or a condition, which are another statement's business."""
    dice, confirmed = random.Random(3), dict.fromkeys(("B02", "B04", "B06", "M02"), 0)
    for _ in range(random_policies.cases(3000, 60_000)):
        document = random_policies.policy(dice)
        unconditional = not any(statement.conditions or statement.negated_resources for statement in document.statements)
        if not unconditional or document.version != model.VERSION:
            continue
        for rule, hit in hits(document):
            if rule not in confirmed or (document.view.denies and rule != "M02"):
                continue
            kinds = ("topicfilter",) if rule == "M02" else ("topic", "topicfilter")
            asked = [(action, f"{PLACE}:{kind}/{hit.witness}") for kind in kinds for action in _actions(kind)]
            assert any(may(document, action, resource) for action, resource in asked), (rule, hit, document)
            confirmed[rule] += 1
    assert all(count > 2 for count in confirmed.values()), confirmed


def _actions(kind: str) -> tuple[str, ...]:
    return ("iot:Subscribe",) if kind == "topicfilter" else ("iot:Publish", "iot:RetainPublish")


STRANGE_RESOURCES = [
    ":",
    "::::::",
    "arn",
    "arn:",
    "arn:::::",
    "arn:::::/",
    "arn:aws:iot:a:b:topic",
    "arn:aws:iot:a:b:topic/",
    "${",
    "${}",
    "${}}",
    "arn:aws:iot:a:b:topic/${",
    "arn:aws:iot:${x}:b:topic/${y}",
    "*******",
    "????????",
    "/",
    "//",
    "$",
    "$aws",
    "+",
    "#",
    "arn:aws:iot:a:b:*",
    "arn:aws:iot:a:b:?/",
    "arn:aws:iot:a:b:/*",
    "arn:aws:iot:a:b:topic/$",
    "arn:aws:iot:a:b:topic/$aws",
    "arn:aws:iot:a:b:topic/$aws/",
    "arn:aws:iot:a:b:topic/$aws/things",
    "arn:aws:iot:a:b:topic/$aws/things/",
    "arn:aws:iot:a:b:topic/$aws/things/*",
    "arn:aws:iot:a:b:topic/$aws/things/?",
    "arn:aws:iot:a:b:topic/$aws/provisioning-templates/",
    "arn:aws:iot:a:b:topic/$aws/rules",
    "arn:aws:iot:a:b:topicfilter/$share/",
    "arn:aws:iot:a:b:topicfilter/#",
    "arn:aws:iot:a:b:topicfilter/+",
    "arn:aws:iot:a:b:client/",
    "arn:aws:iot:a:b:client/$",
]
STRANGE: tuple[Any, ...] = (
    {},
    [],
    None,
    "",
    {"Statement": {}},
    {"Version": "2012-10-17", "Statement": []},
    {"Version": {}, "Statement": [{}]},
    *(policy(allow("iot:Publish", text)) for text in ("", "\0", "\n", "arn:aws:iot:a:b:topic/\ud800", *STRANGE_RESOURCES)),
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["", ":", "iot:", ":x", "*:", "${}"], "Resource": "*"}],
    },
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "NotAction": "*", "NotResource": "*", "Condition": {"": {"": []}}}],
    },
    {
        "Version": "2012-10-17",
        "Statement": [{**CONNECT, "Condition": {"Bool": {"": None}, "x": 1, "Null": {"iot:ClientId": [[]]}}}],
    },
)


@pytest.mark.parametrize("value", STRANGE, ids=str)
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize("action", ["iot:Publish", ["iot:Connect", "iot:Subscribe", "iot:Receive"], "*"])
def test_nothing_is_too_strange_for_a_rule(value: Any, effect: str, action: Any) -> None:
    if isinstance(value, dict) and isinstance(value.get("Statement"), list) and value["Statement"]:
        value = {**value, "Statement": [{**statement, "Effect": effect} for statement in value["Statement"]]}
        if value["Statement"][0].get("Action") == "iot:Publish":
            value = {**value, "Statement": [{**statement, "Action": action} for statement in value["Statement"]]}
    for _, hit in hits(model.read(value, "p", "")):
        assert hit.message and hit.fix


@pytest.mark.parametrize(
    "name", ["*a" * 1500, "a*" * 1500, "?" * 5000, "a" * 100_000, "/".join("*" * 2000), THING * 500, "+/" * 3000]
)
def test_no_pattern_makes_a_rule_slow(name: str) -> None:
    kinds = {"iot:Publish": "topic", "iot:Subscribe": "topicfilter", "iot:Receive": "topic", "iot:RetainPublish": "topic"}
    statements = [
        effect(action, f"{ARN}:{kind}/{end}")
        for action, kind in kinds.items()
        for effect in (allow, deny)
        for end in (name, f"x{name}b")
    ]
    document = model.read(policy(CONNECT, *statements), "p", "")
    start = time.process_time()
    hits(document)
    assert time.process_time() - start < 2
