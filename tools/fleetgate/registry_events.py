"""Registry events of AWS IoT as the audit trail's topic rules write them. Pure: a topic and an event in, an entry out.

`terraform/modules/audit/rules.tf` has the rules in AWS IoT's SQL, and a contract test holds the two together: an event that a
rule could not write gets the key here that the rule would have given it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

TOPIC = "$aws/events/"


class Rule(NamedTuple):
    """subject, fields: the topic rule's own words for what the entry is about, and which fields are kept (None: all).

    event_type: a regular expression of what AWS says as eventType on the topic [AWS IoT: registry events]. A dead letter may say
    anything: as a DEED it would stand among what operators have done. Of the two topics that AWS does not document, the
    beginning has to do.
    """

    subject: str
    fields: tuple[str, ...] | None
    event_type: str


_NAMED = ("eventType", "eventId", "operation", "timestamp", "accountId")
#: By the topic below TOPIC.
RULES: Mapping[str, Rule] = {
    "thing/+/+": Rule("topic(4)", None, "THING_EVENT"),
    "thingGroup/+/+": Rule("topic(4)", None, "THING_GROUP_EVENT"),
    "thingGroupHierarchy/thingGroup/+/childThingGroup/+/+": Rule("topic(7)", None, "THING_GROUP_HIERARCHY_EVENT"),
    "thingGroupMembership/thingGroup/+/thing/+/+": Rule("topic(7)", None, "THING_GROUP_MEMBERSHIP_EVENT"),
    "thingType/+/+": Rule("topic(4)", None, "THING_TYPE_EVENT"),
    "thingTypeAssociation/thing/+/thingType/+/+": Rule("topic(5)", None, "THING_TYPE_ASSOCIATION_EVENT"),
    "certificate/+/+": Rule("topic(4)", _NAMED, r"CERTIFICATE(_[A-Z_]+)?"),
    "policy/+/+": Rule("topic(4)", _NAMED, r"POLICY(_[A-Z_]+)?"),
}
OF_A_CA = "certificates/registered/+"
OF_A_CA_FIELDS = (
    "certificateId",
    "caCertificateId",
    "certificateStatus",
    "certificateRegistrationTimestamp",
    "timestamp",
    "awsAccountId",
)
OF_A_CA_CONSTANTS = {"eventType": "CERTIFICATE_EVENT", "operation": "REGISTERED"}


class NotAnEvent(ValueError):
    """What no rule of the audit trail would have written. Says why, and nothing of what it holds."""


def entry(topic: str, event: object) -> dict[str, Any]:
    """The entry of an event that came on `topic`. Raises NotAnEvent."""
    if not isinstance(event, Mapping):
        raise NotAnEvent("it is no registry event: no JSON object")
    below = topic.removeprefix(TOPIC)
    pattern = next((rule for rule in (*RULES, OF_A_CA) if below != topic and _fits(rule, below)), None)
    if pattern is None:
        raise NotAnEvent("it is no registry event that the trail keeps, by its topic")
    if pattern == OF_A_CA:
        kept = {name: event[name] for name in OF_A_CA_FIELDS if name in event} | OF_A_CA_CONSTANTS
        subject, key = _key(kept, "certificateId"), ["timestamp", "certificateId"]
    else:
        place, fields, event_type = RULES[pattern]
        if re.fullmatch(event_type, _key(event, "eventType")) is None:
            raise NotAnEvent("its eventType is not the one that belongs to its topic")
        kept = dict(event) if fields is None else {name: event[name] for name in fields if name in event}
        subject, key = topic.split("/")[int(place[6:-1]) - 1], ["timestamp", "eventId", "eventType"]
    if not isinstance(kept.get("timestamp"), int):  # the history is in order of time
        raise NotAnEvent("its timestamp is no number")
    return {**kept, "subject": subject, "id": "#".join(_key(kept, name) for name in key)}


def _fits(pattern: str, below: str) -> bool:
    return re.fullmatch("/".join("[^/]+" if word == "+" else re.escape(word) for word in pattern.split("/")), below) is not None


def _key(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise NotAnEvent(f"it has no {name}, which its entry's key is made of")
    return str(value)
