"""M: what MQTT makes of a policy: filters with `+` and `#`, which a policy compares as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fleetgate.iot_policy import pattern, topics, view
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.model import Policy, Resource, Statement
from fleetgate.iot_policy.pattern import Pattern, Token, Variable, Wildcard
from fleetgate.iot_policy.rule import Hit, Severity, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.view import RECEIVE, SELF, STRANGERS, SUBSCRIBE, Grant

if TYPE_CHECKING:
    from fleetgate.iot_policy import automaton

_PUB_SUB = "https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html"
_MISCONFIGURED = "https://docs.aws.amazon.com/iot-device-defender/latest/devguide/audit-chk-iot-misconfigured-policies.html"
_TOPICS = "https://docs.aws.amazon.com/iot/latest/developerguide/topics.html"
_SHARES = pattern.parse("$share/*/*")
_HALLS = [allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"), allow("iot:Receive", f"{ARN}:topic/hall/*")]
_NO_VAULT = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*")


def _literally(wanted: Pattern) -> bool:
    """Whether `+` or `#` stands in it, outside of a variable's name."""
    if "+" not in wanted.text and "#" not in wanted.text:
        return False
    return any(isinstance(token, str) and ("+" in token or "#" in token) for token in wanted.tokens)


def _without(text: str) -> str:
    """A filter in the wildcards of a policy."""
    return text.replace("+", "*").replace("#", "*")


@rule(
    id="M01",
    title="MQTT wildcard in a Deny",
    severity=Severity.HIGH,
    why="In a policy + and # are plain characters. A Deny of hall/# denies that one filter, and no topic at all; hall/* is"
    " what denies what is below.",
    source=_MISCONFIGURED,
    fails=policy(*_HALLS, deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/#")),
    passes=policy(*_HALLS, _NO_VAULT, deny("iot:Receive", f"{ARN}:topic/hall/vault/*")),
)
def wildcard_in_deny(document: Policy) -> Iterator[Hit]:
    asked: dict[tuple[int, str], automaton.Grant] = {}
    for statement, resource, _ in document.view.mqtt:
        name = view.name_of(resource)
        if statement.allow or name is None or resource.arn.kind not in ("topic", "topicfilter") or not _literally(name):
            continue
        if len(resource.text) > view.LONGEST:
            continue
        witness = _not_denied(document, statement, resource, view.as_topics(name, filled=True), asked)
        if witness is None:
            continue
        message = f"{name.text:.200} denies that very text; {witness} stays as it was"
        fix = f"write {resource.text.partition(f':{resource.arn.kind}/')[0]}:{resource.arn.kind}/{_without(name.text)}"
        yield Hit(resource.pointer, message, fix, witness)


def _not_denied(
    document: Policy, statement: Statement, resource: Resource, meant: Pattern, asked: dict[tuple[int, str], automaton.Grant]
) -> str | None:
    """A text that is meant and that no Deny of the same actions keeps away; None if the literal one is only there to be sure."""
    from fleetgate.iot_policy import automaton

    kind, me = str(resource.arn.kind), view.identity(SELF)
    wanted = view.bound(meant, me).tokens
    for action in view.known(statement).by_kind.get(kind, ()):
        denied = asked.get((statement.index, action))
        if denied is None:  # as a language of its own: its automaton, which is large, is made once
            denied = automaton.Grant(view.language(document, action, kind, me, [], statement).deny)
            asked[statement.index, action] = denied
        witness = view.first(automaton.Grant(automaton.Side((wanted,))), denied, wanted, both=False)
        if witness is not None:
            return witness
    return None


@rule(
    id="M02",
    title="Deny of Subscribe that a wildcard filter gets around",
    severity=Severity.HIGH,
    why="Subscribe is checked once, on the text of the filter. Where hall/* may be subscribed to, the filter hall/# may, too,"
    " and brings what a Deny of hall/vault/* wanted to keep away. Only a Deny of Receive looks at every message.",
    source=_MISCONFIGURED,
    fails=policy(*_HALLS, _NO_VAULT),
    passes=policy(*_HALLS, _NO_VAULT, deny("iot:Receive", f"{ARN}:topic/hall/vault/*")),
)
def deny_bypassed(document: Policy) -> Iterator[Hit]:
    """One hit a resource."""
    told, asked = None, None
    for grant in document.view.deny.get(SUBSCRIBE, ()):
        name = view.name_of(grant.resource)
        if name is None or _literally(name) or grant.resource.pointer == told or len(grant.resource.text) > view.LONGEST:
            continue
        if asked is None or asked[0] is not grant.statement:
            asked = (grant.statement, *_languages(document, None, grant.statement))
        _, subscribe, receive = asked
        found = _brought(subscribe, receive, [view.bound(name, view.identity(SELF))], [])
        if found is not None:
            told, topic = grant.resource.pointer, found[1]
            candidate = next((one for one in _around(topic) if _is_in(subscribe, one)), found[0])
            message = f"{name.text:.200} is denied, and {candidate:.200} is not: it brings {topic:.200}"
            fix = f"deny iot:Receive on {view.place(grant.resource)}:topic/{name.text}, too"
            yield Hit(grant.resource.pointer, message, fix, candidate)


def _around(topic: str) -> Iterator[str]:
    """Filters with wildcards that match a topic, the narrow ones first. A first level with $ is matched by none."""
    levels = topic.split("/")
    first = 1 if topic.startswith("$") else 0
    for depth in range(len(levels) - 1, first - 1, -1):
        yield "/".join([*levels[:depth], "#"])
    for depth in range(len(levels) - 1, first - 1, -1):
        yield "/".join([*levels[:depth], "+", *levels[depth + 1 :]])


def _is_in(language: automaton.Grant, text: str) -> bool:
    from fleetgate.iot_policy import automaton

    return view.first(automaton.Grant(automaton.Side(((text,),))), language, ()) is not None


@rule(
    id="M03",
    title="MQTT wildcard in a topic",
    severity=Severity.MEDIUM,
    why="No topic holds + or #, and a policy takes them as plain characters: the resource matches no message. Wildcards of a"
    " policy are * and ?.",
    source=_PUB_SUB,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/#")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")),
)
def wildcard_in_topic(document: Policy) -> Iterator[Hit]:
    for statement, resource, known in document.view.mqtt:
        name = resource.arn.name
        if not statement.allow or resource.arn.kind != "topic" or name is None or not _literally(name):
            continue
        if "topic" in known.by_kind:
            fix = f"write {resource.text.partition(':topic/')[0]}:topic/{_without(name.text)}"
            yield Hit(resource.pointer, f"{name.text:.200} matches no topic, for no topic holds + or #", fix)


@rule(
    id="M04",
    title="A filter with MQTT wildcards that takes in more than the device's own topics",
    severity=Severity.HIGH,
    why="The text of the filter is checked, and then the broker delivers whatever it matches. What Receive, or the device's"
    " own branch, does not cover belongs to others.",
    source=_PUB_SUB,
    fails=policy(
        CONNECT,
        allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/+/orders"),
        allow("iot:Receive", f"{ARN}:topic/plant/*"),
    ),
    passes=policy(
        CONNECT,
        allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/#"),
        allow("iot:Receive", f"{ARN}:topic/plant/{THING}/*"),
    ),
)
def over_subscribed(document: Policy) -> Iterator[Hit]:
    """A resource that names a device by a variable keeps to it: V06, V07 and B06 look after those."""
    for grant in document.view.allow.get(SUBSCRIBE, ()):
        resource, name = grant.resource, grant.resource.arn.name
        if resource.arn.kind != "topicfilter" or name is None:
            continue
        literal = _literally(name) and not name.text.startswith("$")
        if (not literal and view.owned(name)) or not _WILD.search(name.text):
            continue
        found = _delivered(document, grant, name) or (_dead(document, name) if literal else None)
        if found is not None:
            yield Hit(resource.pointer, found[1], _narrowed(resource, name), found[0])


_WILD = re.compile(r"[*?+#]")


def _narrowed(resource: Resource, name: Pattern) -> str:
    """The remedy: the device's name in the place of the first wildcard."""
    found = _WILD.search(name.text)
    head, tail = (name.text[: found.start()], name.text[found.end() :]) if found else (name.text, "")
    if view.owned(name) or "$" in head or (head and not head.endswith("/")):
        return f"subscribe to the device's own branch, with {THING} as a level before any wildcard"
    below = "" if tail or found is None or found[0] == "+" else "/#" if found[0] == "#" else "/*"
    end = tail if not tail or tail.startswith("/") else f"/{tail}"
    return f"write {view.place(resource)}:topicfilter/{head}{THING}{below}{end}"


def _taken_in(name: Pattern) -> str:
    """A topic that such a filter matches, of a stranger where it can be one."""
    levels = view.example(name, view.identity(SELF)).split("/")
    found = [STRANGERS[0] if level == "+" else f"{STRANGERS[0]}/x" if level == "#" else level for level in levels]
    return "/".join(found)


def _dead(document: Policy, name: Pattern) -> tuple[str, str] | None:
    """A topic that such a filter takes in and that no statement allows to receive, where another of its topics is received."""
    topic, received = _taken_in(name), document.view.allow.get(RECEIVE, ())
    if any(view.reaches(grant.resource, "topic", topic, view.identity(SELF)) for grant in received):
        return None
    others = [view.name_of(grant.resource) for grant in received]
    if any(one is None or view.overlap(view.as_topics(name), one) for one in others):
        return topic, f"{name.text:.200} takes in {topic}, which no statement allows to receive"
    return None


def _delivered(document: Policy, grant: Grant, name: Pattern) -> tuple[str, str] | None:
    """A topic that this filter brings and that is another device's, or that a `?` takes in by standing for `+` or `#`.

    Asked of the languages: is there a filter of this resource, and a topic that it matches and that may be received.
    """
    if name.tokens == (Wildcard.ANY,) or (name.text.startswith("$") and view.shared(name) is None):
        return None  # B04 and B02 tell of these
    meant, own = view.bound(view.as_topics(name), view.identity(SELF)), _branches(document, SELF, but=name)
    anywhere = Wildcard.ONE in name.tokens or view.shared(name) is not None
    languages = _languages(document, grant)
    for other in (*STRANGERS, view.stranger(document)) if own else ():
        branches = [branch for branch in _branches(document, other) if anywhere or view.overlap(meant, branch)]
        found = _brought(*languages, branches, own) if branches else None
        if found is not None:
            what = f"takes in the filter {found[0]:.200}, which" if found[0] != name.text else ""
            return found[1], f"{name.text:.200} {what} brings {found[1]:.200}, another device's".replace("  ", " ")
    found = _brought(*languages, [_ANYTHING], [meant]) if Wildcard.ONE in meant.tokens else None
    if found is not None:
        return found[1], f"{name.text:.200} is the filter {found[0]:.200}, too, which brings {found[1]:.200}"
    return None


_ANYTHING = pattern.parse("*")


def _branches(document: Policy, name: str, but: Pattern | None = None) -> list[Pattern]:
    """The topics that the policy gives to each device under its own name, for the device of this name; not by `but`."""
    found = (view.name_of(grant.resource) for _, grant in document.view.allowed(*view.MESSAGING))
    own = {one.text: one for one in found if one is not None and one != but and view.owned(one)}
    return [view.bound(view.as_topics(one), view.identity(name)) for one in own.values()]


def _languages(document: Policy, grant: Grant | None, meant: Statement | None = None) -> tuple[automaton.Grant, automaton.Grant]:
    """What may be subscribed to, and what may be received.

    grant: of Subscribe; without it, all of them, and all that may be received. meant: see view.language.
    """
    from fleetgate.iot_policy import automaton

    me, received = view.identity(SELF), document.view.allow.get(RECEIVE)
    chosen = received
    if grant is not None and received is not None:
        # What is addressed to this device by name is its own, whosever branch it is in.
        chosen = [one for one in received if not view.owned(one.resource.arn.whole)]
    receive = view.language(document, RECEIVE, "topic", me, chosen, meant)
    if received is None:
        receive = automaton.Grant(automaton.Side((_ANYTHING.tokens,)), receive.deny)
    return view.language(document, SUBSCRIBE, "topicfilter", me, None if grant is None else [grant], meant), receive


def _brought(
    subscribe: automaton.Grant, receive: automaton.Grant, wanted: list[Pattern], without: list[Pattern]
) -> tuple[str, str] | None:
    """A filter and a topic that it brings: one of `wanted` and none of `without`. What cannot be told counts as found."""
    from fleetgate.iot_policy import automaton

    bounds = automaton.Grant(automaton.Side(tuple(map(_named, wanted))), automaton.Side(tuple(one.tokens for one in without)))
    try:
        return automaton.find_delivery(subscribe, [automaton.Requirement(receive), automaton.Requirement(bounds)], cap=view.CAP)
    except Undecided:
        return view.one_text(next(iter(subscribe.allow.globs), ())), view.one_text(wanted[0].tokens)


def _named(wanted: Pattern) -> tuple[Token, ...]:
    """Without the level that has no name, below which nobody looks for a message."""
    tokens = wanted.tokens
    return (*tokens[:-1], Wildcard.ONE, Wildcard.ANY) if tokens[-1:] == (Wildcard.ANY,) else tokens


@rule(
    id="M05",
    title="Not a topic filter",
    severity=Severity.MEDIUM,
    why="+ and # stand alone in their level, and # in the last one. The broker refuses any other filter, whatever the policy"
    " allows.",
    source=_TOPICS,
    fails=policy(CONNECT, allow(["iot:Subscribe", "iot:Receive"], f"{ARN}:topicfilter/plant/#/orders", f"{ARN}:topic/plant/*")),
    passes=policy(CONNECT, allow(["iot:Subscribe", "iot:Receive"], f"{ARN}:topicfilter/plant/orders/#", f"{ARN}:topic/plant/*")),
)
def invalid_filter(document: Policy) -> Iterator[Hit]:
    for statement, resource, _ in document.view.mqtt:
        name = resource.arn.name
        if not statement.allow or resource.arn.kind != "topicfilter" or name is None or not _literally(name):
            continue
        problem = _invalid(_levels(name))
        if problem is not None:
            yield Hit(
                resource.pointer, f"{name.text:.200}: {problem}", "write + or # as a whole level, and # as the last", name.text
            )


def _levels(name: Pattern) -> Sequence[str]:
    """As in the text, variables as a word, wildcards of the policy kept."""
    return "".join(
        token if isinstance(token, str) else "v" if isinstance(token, Variable) else token.value for token in name.tokens
    ).split("/")


def _invalid(levels: Sequence[str]) -> str | None:
    for index, level in enumerate(levels):
        if any(wildcard.value in level for wildcard in Wildcard):
            continue  # it may stand for a slash, too
        for character in "+#":
            if character in level and level != character:
                return f"{character} stands beside other text in {level!r:.60}"
        if level == "#" and index < len(levels) - 1:
            return "# is not the last level"
    return None


@rule(
    id="M06",
    title="A wide filter takes in shared subscriptions",
    severity=Severity.MEDIUM,
    why="A filter $share/<group>/... joins a group of subscribers, who get each message once between them: a device that joins"
    " takes messages away from a back end. How AWS compares such filters with a policy is not documented, so no wildcard"
    " should reach them.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html#mqtt5-shared-subscription",
    fails=policy(CONNECT, allow("iot:Subscribe", f"{ARN}:topicfilter/*"), allow("iot:Receive", f"{ARN}:topic/*")),
    passes=policy(
        CONNECT,
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/*"),
        allow("iot:Receive", f"{ARN}:topic/plant/{THING}/*"),
    ),
)
def shared(document: Policy) -> Iterator[Hit]:
    """One hit a statement."""
    told = None
    for statement, resource, _ in document.view.allow.get(SUBSCRIBE, ()):
        if _may_reach_shares(resource.text) and statement is not told and _reaches_shares(document, resource):
            told = statement
            fix = "start the filter with the device's own branch, or deny iot:Subscribe on topicfilter/$share/*"
            yield Hit(resource.pointer, f"{resource.text:.200} takes in every shared subscription", fix, "$share/any-group/#")


@lru_cache(maxsize=4096)
def _may_reach_shares(text: str) -> bool:
    """Whether it begins like `$share/`, as far as it is written out; certain if False."""
    name = view.name_in(text)
    if name is None:
        return True
    start = view.WILD_OR_VARIABLE.split(name, maxsplit=1)[0]
    return ":topicfilter/" in text and start.startswith(topics.SHARE[: len(start)])


def _reaches_shares(document: Policy, resource: Resource) -> bool:
    """Of a wildcard for `$share` or for the group: a filter with a group means it. No thing's name starts with a dollar sign."""
    any_group = "$share/any-group/#"
    name = resource.arn.name
    first = name.tokens[0] if name is not None and name.tokens else None
    if resource.arn.kind == "*" or (name is not None and view.shared(name) is not None):
        starts = view.reaches(resource, "topicfilter", any_group, {})
    else:
        starts = isinstance(first, str | Wildcard) and name is not None and view.overlap(name, _SHARES)
    return starts and not any(
        not statement.conditions
        and SUBSCRIBE in view.known(statement).names
        and view.covers(statement, "topicfilter", any_group, {})
        for statement in document.view.denies
    )


RULES = (wildcard_in_deny, deny_bypassed, wildcard_in_topic, over_subscribed, invalid_filter, shared)
