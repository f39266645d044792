"""Small random policies over a small alphabet, in which every feature meets every other sooner or later."""

from __future__ import annotations

import os
import random
from typing import Any

from fleetgate.iot_policy import model
from fleetgate.iot_policy.model import Policy

ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"
CLIENT = "${iot:ClientId}"
ATTRIBUTE = "${iot:Connection.Thing.Attributes[x]}"
#: What the engine's marks have been: private-use characters, which JSON and MQTT take like any other.
PRIVATE = ("\ue000", "\ue001", "\ue010", "\ue011", "\ue012")
MQTT_ACTIONS = ("iot:Connect", "iot:Publish", "iot:RetainPublish", "iot:Subscribe", "iot:Receive")
#: Those that are asked for over HTTPS.
HTTPS_ACTIONS = (
    *("iot:GetThingShadow", "iot:UpdateThingShadow", "iotjobsdata:StartNextPendingJobExecution", "iot:DeleteConnection"),
    *("iot:GetRetainedMessage", "iot:AssumeRoleWithCertificate"),
)
KINDS = {
    "iot:Connect": "client",
    "iot:Subscribe": "topicfilter",
    "iot:GetThingShadow": "thing",
    "iot:UpdateThingShadow": "thing",
    "iotjobsdata:StartNextPendingJobExecution": "thing",
    "iot:DeleteConnection": "client",
    "iot:AssumeRoleWithCertificate": "rolealias",
}


def cases(ordinary: int, deep: int) -> int:
    """How many random cases: many if FLEETGATE_DEEP_TESTS is set."""
    return deep if os.environ.get("FLEETGATE_DEEP_TESTS") else ordinary


def kind_of(action: str) -> str:
    return KINDS.get(action, "topic")


def name(random: random.Random, *, variables: tuple[str, ...] = (THING, CLIENT), levels: int = 3, whole: bool = False) -> str:
    """What follows `topic/`: levels of letters, wildcards and variables. whole: variables fill their level."""
    found = []
    for _ in range(random.randint(1, levels)):
        if variables and random.random() < 0.35:
            level = random.choice(variables)
            if not whole and random.random() < 0.2:
                level = random.choice((level + "*", "a" + level, level + "b", "?" + level, level + level))
        else:
            level = "".join(random.choice(("a", "b", "*", "?", "${*}", "")) for _ in range(random.randint(1, 2)))
            if random.random() < 0.1:
                level = random.choice((level, "*", "")) + random.choice(PRIVATE) + random.choice(("", "*"))
        found.append(level)
    return "/".join(found)


def topic_filter(random: random.Random, **how: Any) -> str:
    text = name(random, **how)
    levels = text.split("/")
    if random.random() < 0.3:
        levels[random.randrange(len(levels))] = "+"
    if random.random() < 0.3:
        levels[-1] = "#"
    if random.random() < 0.05:
        levels = ["$share", "a", *levels]
    return "/".join(levels)


def resource(random: random.Random, action: str, **how: Any) -> str:
    roll = random.random()
    if roll < 0.03:
        return "*"
    kind = kind_of(action)
    text = topic_filter(random, **how) if kind == "topicfilter" else name(random, **how)
    if roll < 0.06:
        return f"arn:aws:iot:*:*:{kind}/{text}"
    if roll < 0.08:
        return f"{ARN}{kind}*"
    return f"{ARN}{kind}/{text}"


def statement(random: random.Random, actions: tuple[str, ...], **how: Any) -> dict[str, Any]:
    action = random.choice(actions)
    made: dict[str, Any] = {"Effect": "Deny" if random.random() < 0.25 else "Allow"}
    listed = [action] if random.random() < 0.8 else [action, random.choice(actions)]
    made["NotAction" if random.random() < 0.03 else "Action"] = listed if random.random() < 0.95 else ["iot:*"]
    resources = [resource(random, action, **how) for _ in range(random.randint(1, 2))]
    made["NotResource" if random.random() < 0.08 else "Resource"] = resources
    if random.random() < 0.15:
        made["Condition"] = random.choice(
            (
                {"Bool": {"iot:Connection.Thing.IsAttached": random.choice(("true", "false"))}},
                {"StringLike": {"iot:ClientId": random.choice(("a*", "?", "b"))}},
                {"StringEquals": {"iot:ClientId": THING}},
                {"StringEquals": {"iot:Connection.Thing.ThingName": ["a", "ab"]}},
                {"StringLike": {"iot:Connection.Thing.Attributes[x]": "a*"}},
                {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
                {"Null": {"iot:Connection.Thing.ThingName": "true"}},
            )
        )
    return made


def policy(random: random.Random, actions: tuple[str, ...] = MQTT_ACTIONS, *, statements: int = 4, **how: Any) -> Policy:
    document = {
        "Version": "2008-10-17" if random.random() < 0.03 else "2012-10-17",
        "Statement": [statement(random, actions, **how) for _ in range(random.randint(1, statements))],
    }
    return model.read(document, "p")
