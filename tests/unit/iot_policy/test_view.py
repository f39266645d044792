"""What rules are told by a policy's view: it may spare them work, and no finding."""

from __future__ import annotations

import json
import random

import pytest

from fleetgate.iot_policy import lint, source
from fleetgate.iot_policy.rules import mqtt
from fleetgate.iot_policy.view import View

KINDS = ("topic", "topic", "topicfilter", "topicfilter", "client", "thing", "rolealias", "topic*", "t?pic", "th*", "*")
THING = "${iot:Connection.Thing.ThingName}"
STARTS = (
    "",
    "$aws/things/",
    "$aws/thing/",
    "$aws/rules/",
    "$aws/events/",
    "$aws/certificates/create/",
    "$share/g/",
    "$*",
    "*aws/",
)
LEVELS = (
    "plant",
    THING,
    THING,
    "${iot:ClientId}",
    "*",
    "?",
    "+",
    "#",
    "a*",
    "${*}",
    "${$}",
    "<thing>",
    "",
    "x" + THING,
    "shadow",
)
ACTIONS = (
    "iot:Connect",
    "iot:Publish",
    "iot:Subscribe",
    "iot:Receive",
    "iot:*",
    "iot:GetThingShadow",
    "iot:DescribeJobExecution",
)


def document(chance: random.Random) -> str:
    def resource() -> str:
        name = chance.choice(STARTS) + "/".join(chance.choices(LEVELS, k=chance.randint(1, 4)) * chance.choice((1, 1, 1, 3)))
        place = chance.choice(("iot:eu-central-1:123456789012", "iot:*:12345", "iot::123456789012", "*"))
        return chance.choice((f"arn:aws:{place}:{chance.choice(KINDS)}/{name}",) * 19 + ("*",))

    def statement() -> dict[str, object]:
        effect, element = chance.choice(("Allow", "Allow", "Deny")), chance.choice(("Resource",) * 9 + ("NotResource",))
        actions, resources = chance.choices(ACTIONS, k=chance.randint(1, 3)), [resource() for _ in range(chance.randint(1, 3))]
        return {"Effect": effect, "Action": actions, element: resources}

    version = chance.choice(("2012-10-17", "2012-10-17", "2008-10-17"))
    return json.dumps({"Version": version, "Statement": [statement() for _ in range(chance.randint(1, 4))]})


def findings(text: str) -> list[lint.Finding]:
    return lint.tidy(lint.lint_policies([lint.whole("policy.json", source.parse(text))]))


def test_what_rules_are_spared_has_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(23)
    texts = [document(chance) for _ in range(150)]
    told = [findings(text) for text in texts]
    monkeypatch.setattr(View, "where", lambda view, may: list(view.resources))
    monkeypatch.setattr(View, "whole_levels", False)
    monkeypatch.setattr(mqtt, "_may_reach_shares", lambda text: True)
    assert [findings(text) for text in texts] == told
    assert {"B02", "B04", "B06", "B07", "B11", "M06", "R07", "R08", "V06"} <= {one.rule for found in told for one in found}


def test_what_is_asked_for_does_not_get_into_a_view() -> None:
    from fleetgate.iot_policy import model

    view = model.read({"Version": "2012-10-17", "Statement": []}, "p").view
    with pytest.raises(KeyError):
        view.allow["iot:publish"]
