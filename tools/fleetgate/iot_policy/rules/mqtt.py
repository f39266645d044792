"""M: what MQTT makes of a policy: filters with `+` and `#`, which a policy compares as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fleetgate.iot_policy import pattern, view
from fleetgate.iot_policy.model import Policy, Resource, Statement
from fleetgate.iot_policy.pattern import Pattern, Variable, Wildcard
from fleetgate.iot_policy.rule import Hit, Severity, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.view import RECEIVE, SELF, STRANGERS, SUBSCRIBE, Grant

_PUB_SUB = "https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html"
_MISCONFIGURED = "https://docs.aws.amazon.com/iot-device-defender/latest/devguide/audit-chk-iot-misconfigured-policies.html"
_TOPICS = "https://docs.aws.amazon.com/iot/latest/developerguide/topics.html"
_SHARES = pattern.parse("$share/*/*")
_HALLS = [allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"), allow("iot:Receive", f"{ARN}:topic/hall/*")]
_NO_VAULT = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*")


def _literally(wanted: Pattern) -> bool:
    """Whether `+` or `#` stands in it, outside of a variable's name."""
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
    for statement, resource, _ in document.view.mqtt:
        name = view.name_of(resource)
        if statement.allow or name is None or resource.arn.kind not in ("topic", "topicfilter") or not _literally(name):
            continue
        if _denied_by_another(document, statement, resource, name.text):
            continue
        witness = _without(view.example(name, view.identity(SELF))).replace("*", "x")
        message = f"{name.text:.200} denies that very text; {witness} stays as it was"
        fix = f"write {resource.text.partition(f':{resource.arn.kind}/')[0]}:{resource.arn.kind}/{_without(name.text)}"
        yield Hit(resource.pointer, message, fix, witness)


def _denied_by_another(document: Policy, statement: Statement, resource: Resource, text: str) -> bool:
    """Whether a wildcard of a policy denies it for the same actions: then the literal one is only there to be sure."""
    grants = (grant for name in view.known(statement).names for grant in document.view.deny.get(name, ()))
    return any(
        grant.resource is not resource and view.reaches(grant.resource, str(resource.arn.kind), text, view.identity(SELF))
        for grant in grants
        if "*" in grant.resource.text
    )


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
    for grant in document.view.deny.get(SUBSCRIBE, ()):
        name = view.name_of(grant.resource)
        if name is None or _literally(name):
            continue
        topic = view.example(name, view.identity(SELF))
        if not _arrives(document, topic):
            continue
        for candidate in _around(topic):
            if _may_subscribe(document, candidate):
                prefix = grant.resource.text.partition(":topicfilter/")[0]
                message = f"{name.text:.200} is denied, and {candidate} is not: it brings {topic}"
                fix = f"deny iot:Receive on {prefix}:topic/{name.text}, too"
                yield Hit(grant.resource.pointer, message, fix, candidate)
                break


def _around(topic: str) -> Iterator[str]:
    """Filters with wildcards that match a topic, the narrow ones first. A first level with $ is matched by none."""
    levels = topic.split("/")
    first = 1 if topic.startswith("$") else 0
    for depth in range(len(levels) - 1, first - 1, -1):
        yield "/".join([*levels[:depth], "#"])
    for depth in range(len(levels) - 1, first - 1, -1):
        yield "/".join([*levels[:depth], "+", *levels[depth + 1 :]])


def _arrives(document: Policy, topic: str) -> bool:
    """Whether a message on this topic would be delivered. Without a word about Receive that is another policy's business."""
    me = view.identity(SELF)
    if any(view.reaches(grant.resource, "topic", topic, me) for grant in document.view.deny.get(RECEIVE, ())):
        return False
    grants = document.view.allow.get(RECEIVE, [])
    return not grants or any(view.reaches(grant.resource, "topic", topic, me) for grant in grants)


def _may_subscribe(document: Policy, candidate: str) -> bool:
    me = view.identity(SELF)
    for statement in document.view.complements:
        if not statement.allow and SUBSCRIBE in view.known(statement).names:
            return False
    if any(view.reaches(grant.resource, "topicfilter", candidate, me) for grant in document.view.deny.get(SUBSCRIBE, ())):
        return False
    return any(view.reaches(grant.resource, "topicfilter", candidate, me) for grant in document.view.allow.get(SUBSCRIBE, ()))


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
    for statement, resource, known in document.view.mqtt:
        name = view.name_of(resource)
        if not statement.allow or resource.arn.kind != "topicfilter" or name is None or not _literally(name):
            continue
        if SUBSCRIBE not in known.names or name.text.startswith("$"):
            continue
        topic = _taken_in(name)
        received = document.view.allow.get(RECEIVE, [])
        arrives = _arrives(document, topic)
        if arrives and _anothers(document, topic):
            message = f"{name.text:.200} brings {topic}, which is another device's"
        elif not arrives and received and any(_half(grant, name) for grant in received):
            message = f"{name.text:.200} takes in {topic}, which no statement allows to receive"
        else:
            continue
        fix = "subscribe to the device's own branch: " + "${iot:Connection.Thing.ThingName} in the place of +, or * below it"
        yield Hit(resource.pointer, message, fix, topic)


def _taken_in(name: Pattern) -> str:
    """A topic that such a filter matches, of a stranger where it can be one."""
    levels = view.example(name, view.identity(SELF)).split("/")
    found = [STRANGERS[0] if level == "+" else f"{STRANGERS[0]}/x" if level == "#" else level for level in levels]
    return "/".join(found)


def _half(grant: Grant, name: Pattern) -> bool:
    other = view.name_of(grant.resource)
    return other is None or view.overlap(view.as_topics(name), other)


def _anothers(document: Policy, topic: str) -> bool:
    """Whether the topic is in a branch that the policy gives to each device under its own name."""
    stranger = view.identity(STRANGERS[0])
    for _, grant in document.view.allowed(*view.MESSAGING):
        wanted = view.name_of(grant.resource)
        if wanted is None or not any(view.owner(token) for token in wanted.tokens):
            continue
        if view.bound(view.as_topics(wanted), stranger).matches(topic):
            return True
    return False


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
        if statement is not told and _reaches_shares(resource):
            told = statement
            fix = "start the filter with the device's own branch, or deny iot:Subscribe on topicfilter/$share/*"
            yield Hit(resource.pointer, f"{resource.text:.200} takes in every shared subscription", fix, "$share/any-group/#")


def _reaches_shares(resource: Resource) -> bool:
    """Only of a wildcard at the start: a filter that says $share/ means it, and no thing's name starts with a dollar sign."""
    if resource.arn.kind == "*":
        return view.reaches(resource, "topicfilter", "$share/any-group/#", {})
    name = resource.arn.name
    if name is None or not name.tokens:
        return False
    first = name.tokens[0]
    starts = isinstance(first, Wildcard) or (first == "$" and len(name.tokens) > 1)
    return starts and view.overlap(name, _SHARES)


RULES = (wildcard_in_deny, deny_bypassed, wildcard_in_topic, over_subscribed, invalid_filter, shared)
