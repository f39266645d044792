"""A: what a policy lets a device do, and what it cannot, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fleetgate.iot_policy import actions, variables, view
from fleetgate.iot_policy.model import Policy, Statement, Text
from fleetgate.iot_policy.rule import Bundle, Hit, Severity, Subject, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, policy
from fleetgate.iot_policy.view import CONNECT as CONNECT_ACTION
from fleetgate.iot_policy.view import MESSAGING, PUBLISH, RECEIVE, RETAIN, SUBSCRIBE, Grant, overlap

_ACTIONS = "https://docs.aws.amazon.com/iot/latest/developerguide/iot-policy-actions.html"
_POLICIES = "https://docs.aws.amazon.com/iot/latest/developerguide/iot-policies.html"
_PERMISSIVE = "https://docs.aws.amazon.com/iot-device-defender/latest/devguide/audit-chk-iot-policy-permissive.html"
_PUBLISH = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")


def _odd(document: Policy) -> Iterator[tuple[Statement, Text, str]]:
    """Every action that is none of the data plane, with its service in small letters. A variable is V02's."""
    for statement, known in document.view.odd:
        for index in known.odd:
            text = statement.actions[index]
            if "${" not in text.text:
                yield statement, text, text.text.rpartition(":")[0].lower()


@rule(
    id="A01",
    title="Unknown action",
    severity=Severity.HIGH,
    why="AWS grants nothing for an action that it does not know, and a Deny of one denies nothing. One is widespread: the"
    " wizard of AWS' console writes iot:PublishRetain, and the documented action is iot:RetainPublish.",
    source=_ACTIONS,
    fails=policy(CONNECT, allow(["iot:Publish", "iot:PublishRetain"], f"{ARN}:topic/plant/{THING}/state")),
    passes=policy(CONNECT, allow(["iot:Publish", "iot:RetainPublish"], f"{ARN}:topic/plant/{THING}/state")),
)
def unknown(document: Policy) -> Iterator[Hit]:
    for statement, text, service in _odd(document):
        near = actions.nearest(text.text)
        if actions.controls(text.text) or (service not in (*actions.SERVICES, "") and near is None):
            continue
        effect = "allows" if statement.allow else "denies"
        fix = f"write {near}" if near else f"remove it, or write one of {', '.join(sorted(_names()))}"
        yield Hit(text.pointer, f"{text.text} is no action that AWS IoT knows, so it {effect} nothing", fix)


def _names() -> list[str]:
    return [action.name for action in actions.ACTIONS.values() if action.mqtt]


@rule(
    id="A02",
    title="Control-plane action in a device's policy",
    severity=Severity.HIGH,
    why="AWS IoT policies decide about the data plane only. Things, certificates and policies are managed with IAM; a device"
    " that needs a certificate asks for it over the provisioning topics.",
    source=_POLICIES,
    fails=policy(CONNECT, allow("iot:AttachPolicy", "*")),
    passes=policy(CONNECT, _PUBLISH),
)
def control_plane(document: Policy) -> Iterator[Hit]:
    for statement, text, _ in _odd(document):
        if statement.allow and actions.controls(text.text):
            fix = "remove it; what must do this needs an IAM role"
            yield Hit(text.pointer, f"{text.text} manages AWS IoT, which no IoT policy can allow", fix)


@rule(
    id="A03",
    title="Action of another service",
    severity=Severity.HIGH,
    why="A certificate gives access to AWS IoT alone. For other services a device takes the credentials of a role, through a"
    " role alias and iot:AssumeRoleWithCertificate.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html",
    fails=policy(CONNECT, allow("s3:PutObject", "arn:aws:s3:::plant-logs/*")),
    passes=policy(CONNECT, allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/plant-logs")),
)
def foreign(document: Policy) -> Iterator[Hit]:
    for statement, text, service in _odd(document):
        if not statement.allow or service in (*actions.SERVICES, "") or actions.nearest(text.text):
            continue
        fix = "put it into the IAM role behind a role alias, and allow iot:AssumeRoleWithCertificate on that alias here"
        yield Hit(text.pointer, f"{text.text} belongs to {service}, which does not know AWS IoT policies", fix)


@rule(
    id="A04",
    title="Every action",
    severity=Severity.CRITICAL,
    why="iot:* allows every action there is and every one that AWS will add. A device needs four or five.",
    source=_PERMISSIVE,
    fails=policy(allow("iot:*", "*")),
    passes=policy(CONNECT, _PUBLISH),
)
def every_action(document: Policy) -> Iterator[Hit]:
    for statement, known in document.view.statements if document.view.actions >= _EVERY else ():
        if not statement.allow or statement.negated_actions or not known.names >= _EVERY:
            continue
        for text in statement.actions:
            if "*" in text.text and _is_every(text.text):
                fix = 'list them: ["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"], each with its own resources'
                yield Hit(text.pointer, f"{text.text} allows every action, future ones too", fix)


_EVERY = frozenset(name for name in actions.ACTIONS if name.startswith("iot:"))


def _is_every(text: str) -> bool:
    return {action.name.lower() for action in actions.matching(text)} >= _EVERY


@rule(
    id="A05",
    title="Job action under its old name",
    severity=Severity.INFO,
    why="The developer guide of today lists these actions as iotjobsdata:..., the one of 2023 as iot:.... Which of the two AWS"
    " enforces is not documented.",
    source="https://docs.aws.amazon.com/iot/latest/developerguide/iot-data-plane-jobs.html",
    fails=policy(allow("iot:DescribeJobExecution", f"{ARN}:thing/press-7")),
    passes=policy(allow("iotjobsdata:DescribeJobExecution", f"{ARN}:thing/press-7")),
)
def old_job_action(document: Policy) -> Iterator[Hit]:
    for statement, known in document.view.statements if not document.view.actions.isdisjoint(_OLD_JOBS) else ():
        if known.names.isdisjoint(_OLD_JOBS):
            continue
        for text in statement.actions:
            if text.text.lower() in _OLD_JOBS:
                name = text.text.partition(":")[2]
                yield Hit(text.pointer, f"{text.text} is called iotjobsdata:{name} today", f"write iotjobsdata:{name}")


_OLD_JOBS = frozenset(name.lower() for name in actions.OLD_JOB_ACTIONS)


def _usable_connects(bundle: Bundle) -> bool:
    """Whether any statement can let a device connect."""
    for document in bundle.policies:
        if CONNECT_ACTION in document.view.allow:
            return True
        if any(one.allow and CONNECT_ACTION in view.known(one).names for one in document.view.complements):
            return True
    return False


def _flawed(bundle: Bundle) -> bool:
    """A statement that could not be read may be the one that is missed."""
    return any(policy.flaws for policy in bundle.policies)


def _asks_to_connect(policies: Sequence[Policy]) -> Iterator[tuple[int, Text]]:
    for index, document in enumerate(policies):
        for statement in document.statements:
            for text in statement.actions if statement.allow else ():
                if text.text.lower() == CONNECT_ACTION:
                    yield index, text


@rule(
    id="A06",
    title="Publishes or subscribes, but cannot connect",
    severity=Severity.MEDIUM,
    why="Every MQTT action needs a connection first. One policy of several may leave iot:Connect to another, so this looks"
    " only at what is known to be all of a device's policies, or at a policy that lists iot:Connect and yet can never allow"
    " it.",
    source=_ACTIONS,
    fails={"policies": [policy(_PUBLISH)], "complete": True},
    passes={"policies": [policy(_PUBLISH), policy(CONNECT)], "complete": True},
    subject=Subject.BUNDLE,
)
def cannot_connect(bundle: Bundle) -> Iterator[Hit]:
    if _usable_connects(bundle) or _flawed(bundle):
        return
    asked = next(_asks_to_connect(bundle.policies), None)
    for index, name, grant in view.allowed(bundle.policies, *MESSAGING):
        if not bundle.complete and asked is None:
            return
        action = actions.ACTIONS[name].name
        fix = f"allow iot:Connect on client/{THING}, {view.IF_ATTACHED}"
        if asked is not None:
            yield Hit(
                asked[1].pointer, f"no resource beside it can allow iot:Connect, so {action} is dead, too", fix, policy=asked[0]
            )
        else:
            yield Hit(grant.statement.pointer, f"{action} is allowed, and no policy allows iot:Connect", fix, policy=index)
        return


@rule(
    id="A07",
    title="Half of a pair: Subscribe without Receive, RetainPublish or a last will without Publish",
    severity=Severity.MEDIUM,
    why="A message arrives only if the filter may be subscribed to and its topic received; a retained message or a last will"
    " also needs iot:Publish. The half that is missing fails in silence. Only policies that can connect and send or listen"
    " are looked at: one that does not allow iot:Connect may be half of a pair on purpose.",
    source=_ACTIONS,
    fails=policy(CONNECT, allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/orders")),
    passes=policy(
        CONNECT,
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/orders"),
        allow("iot:Receive", f"{ARN}:topic/plant/{THING}/orders"),
    ),
    subject=Subject.BUNDLE,
)
def half_a_pair(bundle: Bundle) -> Iterator[Hit]:
    if not (bundle.complete or _usable_connects(bundle)) or _flawed(bundle):
        return
    for document in bundle.policies:
        if any(statement.allow for statement in document.view.complements):
            return
    allowed = {name for document in bundle.policies for name in document.view.allow}
    if RETAIN in allowed:
        yield from _without_other(
            bundle, RETAIN, PUBLISH, "a retained message needs iot:Publish on its topic, too", "iot:Publish"
        )
    if SUBSCRIBE in allowed:
        yield from _without_other(bundle, SUBSCRIBE, RECEIVE, "what is subscribed to needs iot:Receive to arrive", "iot:Receive")
    if PUBLISH not in allowed and not allowed.isdisjoint(MESSAGING):
        yield from _last_will(bundle)


def _without_other(bundle: Bundle, first: str, second: str, why: str, missing: str) -> Iterator[Hit]:
    """Grants of `first` on which no grant of `second` has anything in common; one hit a statement."""
    others = [grant for policy in bundle.policies for grant in policy.view.allow.get(second, ())]
    texts = {name.text for _, resource, _ in others if (name := resource.arn.name) is not None}
    for index, document in enumerate(bundle.policies):
        told = None
        for grant in document.view.allow.get(first, ()):
            name = grant.resource.arn.name
            if name is None or name.text in texts or grant.statement is told or _paired(grant, others):
                continue
            told = grant.statement
            topic = "..." if grant.resource.arn.kind == "*" else view.as_topics(name).text
            fix = f"allow {missing} on {view.place(grant.resource)}:topic/{topic}"
            yield Hit(grant.resource.pointer, f"{grant.resource.text}: {why}", fix, name.text, index)


def _paired(grant: Grant, others: list[Grant]) -> bool:
    name = view.name_of(grant.resource)
    if name is None:
        return bool(others)
    topics = view.as_topics(name)
    return any((other := view.name_of(item.resource)) is None or overlap(topics, other) for item in others)


def _last_will(bundle: Bundle) -> Iterator[Hit]:
    for index, document in enumerate(bundle.policies):
        for statement in document.statements:
            for condition in statement.conditions if statement.allow else ():
                key = variables.canonical(condition.key)
                values = [value.text for value in condition.values]
                if key == variables.LAST_WILL_TOPIC or (key == variables.CONNECT_ATTRIBUTES and "LastWill" in values):
                    fix = "allow iot:Publish on the will's topic"
                    message = "a last will is foreseen, and no statement allows iot:Publish, so it is never sent"
                    yield Hit(condition.pointer, message, fix, policy=index)
                    return


@rule(
    id="A08",
    title="Allow with NotAction or NotResource",
    severity=Severity.MEDIUM,
    why="It allows everything but what is named: also what AWS adds tomorrow, and every topic that nobody thought of.",
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notresource.html",
    fails=policy(CONNECT, {"Effect": "Allow", "Action": "iot:Publish", "NotResource": f"{ARN}:topic/plant/secret"}),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")),
)
def complement(document: Policy) -> Iterator[Hit]:
    for statement in document.statements:
        if statement.allow and (statement.negated_actions or statement.negated_resources):
            element = "NotAction" if statement.negated_actions else "NotResource"
            fix = f"name what is allowed, in {element.removeprefix('Not')}, and deny the exceptions in a statement of their own"
            yield Hit(f"{statement.pointer}/{element}", f"{element} allows everything else", fix)


RULES = (unknown, control_plane, foreign, every_action, old_job_action, cannot_connect, half_a_pair, complement)
