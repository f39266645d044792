"""V: policy variables: whether AWS fills them in, and what a device can make of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from fleetgate.iot_policy import actions, conditions, pattern, variables, view
from fleetgate.iot_policy.model import Policy, Resource, Statement
from fleetgate.iot_policy.pattern import Token, Variable, Wildcard
from fleetgate.iot_policy.rule import Bundle, Hit, Severity, Subject, rule
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.rules.structure import left_over
from fleetgate.iot_policy.source import Pointer
from fleetgate.iot_policy.variables import Kind
from fleetgate.iot_policy.view import MESSAGING, SELF, SENDING, STRANGERS, SUBSCRIBE, Grant

_VARIABLES = "https://docs.aws.amazon.com/iot/latest/developerguide/iot-policy-variables.html"
_BASIC = "https://docs.aws.amazon.com/iot/latest/developerguide/basic-policy-variables.html"
_THING = "https://docs.aws.amazon.com/iot/latest/developerguide/thing-policy-variables.html"
_PUB_SUB = "https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html"
_CREDENTIALS = "https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html"
_PUBLISH = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")


def _used(document: Policy) -> Iterator[tuple[Statement, str, Pointer]]:
    """Every variable in a resource or in the value of a condition, with its place; once a statement."""
    told: set[tuple[int, str]] = set()
    for statement, resource, _ in document.view.variable:
        for name in resource.arn.variables:
            if (statement.index, name) not in told:
                told.add((statement.index, name))
                yield statement, name, resource.pointer
    for statement in document.view.conditioned:
        for condition in statement.conditions:
            for value in condition.values:
                for name in pattern.parse(value.text).variables if "${" in value.text else ():
                    if (statement.index, name) not in told:
                        told.add((statement.index, name))
                        yield statement, name, value.pointer


def _about(token: Token) -> variables.PolicyVariable | None:
    return variables.known(variables.canonical(token.name)) if isinstance(token, Variable) else None


@rule(
    id="V01",
    title="Unknown variable",
    severity=Severity.HIGH,
    why="AWS fills in the variables that it documents. Any other has no value: an Allow with it grants nothing, and a Deny"
    " with it most likely denies nothing.",
    source=_VARIABLES,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/${{iot:Thing.ThingName}}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def unknown(document: Policy) -> Iterator[Hit]:
    if _all_known(document.view.names):
        return
    for statement, name, pointer in _used(document):
        if _is_known(name) or name.startswith(view.OF_A_ROLE) or left_over(f"${{{name}}}"):
            continue
        near = variables.nearest(name)
        fix = f"write ${{{near}}}" if near else "write one of AWS IoT's variables, like ${iot:Connection.Thing.ThingName}"
        effect = "the statement allows nothing" if statement.allow else "the statement denies nothing that one could rely on"
        yield Hit(pointer, f"there is no variable ${{{name:.100}}}, so {effect}", fix)


@lru_cache(maxsize=1024)
def _all_known(names: frozenset[str]) -> bool:
    return all(_is_known(name) for name in names)


def _is_known(name: str) -> bool:
    return variables.known(variables.canonical(name)) is not None


@rule(
    id="V02",
    title="Variable in an element that has none",
    severity=Severity.HIGH,
    why="Variables are filled in only in Resource and in the values of Condition. Elsewhere they stay text, and match nothing.",
    source=_VARIABLES,
    fails=policy(CONNECT, allow("iot:${iot:Connection.Thing.Attributes[role]}", f"{ARN}:topic/plant/{THING}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def misplaced(document: Policy) -> Iterator[Hit]:
    for flaw in document.flaws:
        if flaw.rule == "V02":
            yield Hit(flaw.pointer, flaw.message, flaw.fix)
    if document.version is not None and "${" in document.version:
        yield Hit("/Version", f"Version is the variable {document.version:.60}", 'write "Version": "2012-10-17"')
    for statement, _ in document.view.odd:
        for text in statement.actions:
            if "${" in text.text:
                yield Hit(text.pointer, f"a variable in an action is not filled in: {text.text:.100}", "write the action's name")


def _connects(bundle: Bundle) -> list[Grant]:
    return [grant for document in bundle.policies for grant in document.view.allow.get(view.CONNECT, ())]


@rule(
    id="V03",
    title="A client id of the device's own choice in a topic",
    severity=Severity.CRITICAL,
    why="A client id may hold almost any character. Who may connect under any, connects as + and subscribes to what should"
    " have been one device's branch and is then everybody's; or takes another device's id, and with it its topics.",
    source=_BASIC,
    fails=policy(
        allow("iot:Connect", f"{ARN}:client/press-*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/${{iot:ClientId}}/orders"),
        allow("iot:Receive", f"{ARN}:topic/plant/*"),
    ),
    passes=policy(
        allow("iot:Connect", f"{ARN}:client/press-7"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/${{iot:ClientId}}/orders"),
        allow("iot:Receive", f"{ARN}:topic/plant/${{iot:ClientId}}/orders"),
    ),
    subject=Subject.BUNDLE,
)
def chosen_client_id(bundle: Bundle) -> Iterator[Hit]:
    """One hit a statement."""
    if not any(variables.CLIENT_ID in _canonical(document.view.names) for document in bundle.policies):
        return
    users = [
        (index, name, grant)
        for index, name, grant in view.allowed(bundle.policies, *SENDING, SUBSCRIBE)
        if variables.CLIENT_ID in _canonical(grant.resource.arn.variables)
    ]
    free = next((grant.resource for grant in _connects(bundle) if not view.pinned(grant.statement, grant.resource)), None)
    if free is None or view.guarded(bundle.policies):
        return
    told: set[tuple[int, int]] = set()
    for index, name, (statement, resource, _) in users:
        if (index, statement.index) in told or view.attached_only(statement, as_client=True) or resource.arn.name is None:
            continue
        told.add((index, statement.index))
        client_id = _client_id(free, injected=name == SUBSCRIBE)
        reached = view.example(resource.arn.name, view.identity(SELF, client_id))
        fix = f"write {_by_thing(resource)}, or allow iot:Connect on the very client ids only"
        fix += f"; the thing's name needs client/{THING} in Connect"
        yield Hit(resource.pointer, f"the client id {client_id!r} makes it {reached}", fix, client_id, index)


@lru_cache(maxsize=1024)
def _canonical(names: tuple[str, ...] | frozenset[str]) -> frozenset[str]:
    return frozenset(variables.canonical(name) for name in names)


def _by_thing(resource: Resource) -> str:
    """The resource with the thing's name as a level before any wildcard of the policy: else V06, V07 or B06 would tell."""
    text = re.sub(r"\$\{iot:clientid\}", lambda _: THING, resource.text, flags=re.IGNORECASE)
    name = text.partition(f":{resource.arn.kind}/")[2]
    levels = name.split("/")
    at = next((index for index, level in enumerate(levels) if THING in level), 0)
    open_ = next((index for index, level in enumerate(levels) if "*" in level or "?" in level), len(levels))
    if open_ > at and levels[at] == THING:
        return text
    kept = [*levels[: min(at, open_)], THING, *(["*"] if open_ <= at or "*" in levels[at] else levels[at + 1 :])]
    return f"{view.place(resource)}:{resource.arn.kind}/{'/'.join(kept)}"


def _client_id(free: Resource, *, injected: bool) -> str:
    """One that this resource lets a device connect under, and that is not its own."""
    name = free.arn.name
    if view.reaches(free, "client", "+", view.identity(SELF, "+")) and injected:
        return "+"
    if name is None or view.reaches(free, "client", STRANGERS[0], view.identity(SELF, STRANGERS[0])):
        return STRANGERS[0]
    made = view.example(name, {variables.CLIENT_ID: "x"}, "/+/" if injected else "2")
    # A + is a wildcard only as a whole level: between slashes, but with none at the ends.
    made = made.removeprefix("/") if name.tokens[0] is Wildcard.ANY else made
    return made.removesuffix("/") if name.tokens[-1] is Wildcard.ANY else made


@rule(
    id="V04",
    title="A thing's attribute in a topic or a name",
    severity=Severity.HIGH,
    why="An attribute may hold / and #, and a provisioning template may fill it with what the device says about itself. A"
    " value a/# then opens every branch below a; and as a client id or a role alias it is another's.",
    source=_THING,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/${{iot:Connection.Thing.Attributes[hall]}}/*")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/${{iot:Connection.Thing.ThingTypeName}}/{THING}/*")),
)
def attribute(document: Policy) -> Iterator[Hit]:
    for statement, resource, _ in document.view.variable if "ttributes[" in document.view.text else ():
        name = view.name_of(resource)
        if not statement.allow or name is None or resource.arn.kind not in _BY_ATTRIBUTE:
            continue
        for token in name.tokens:
            if isinstance(token, Variable) and _is_attribute(token.name) and not _pinned(statement, token.name):
                value = _BY_ATTRIBUTE[resource.arn.kind]
                fix = "use ${iot:Connection.Thing.ThingName} or ThingTypeName, or pin the attribute's value in a Condition"
                yield Hit(resource.pointer, f"the attribute {token.name.rpartition('.')[2]} may be {value!r}", fix, value)
                break


def _is_attribute(name: str) -> bool:
    return variables.canonical(name).startswith(variables.ATTRIBUTES)


def _pinned(statement: Statement, attribute: str) -> bool:
    """Whether a condition of the statement leaves the attribute nothing but values that are written out and open no branch."""
    return any(
        operator.base in ("StringEquals", "StringEqualsIgnoreCase", "StringLike")
        and operator.quantifier is None
        and all(value and not _OPENING.intersection(value) for value in values)
        for operator, values in view.conditioned(statement, variables.canonical(attribute))
    )


#: Characters of a condition's value that can open a branch, or leave open what the value is.
_OPENING = frozenset("/#+*?$")
#: What an attribute can be that does harm in a resource of a type.
_BY_ATTRIBUTE = {"topic": "a/b", "topicfilter": "a/#", "client": STRANGERS[0], "rolealias": "admin"}


@rule(
    id="V05",
    title="Thing variable where it has no value",
    severity=Severity.MEDIUM,
    why="Thing variables have a value over MQTT. Over HTTPS, where shadows and jobs are asked for by API, and for Greengrass'"
    " own actions they have none, and the statement never holds.",
    source=_THING,
    fails=policy(allow("iot:GetThingShadow", f"{ARN}:thing/{THING}")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/$aws/things/{THING}/shadow/get")),
)
def over_https(document: Policy) -> Iterator[Hit]:
    """One hit a statement. A role alias is asked for over HTTPS, too, but with the thing's name in a header."""
    told = None
    for statement, resource, known in document.view.variable if not document.view.actions <= _MQTT else ():
        kind = resource.arn.kind
        if (kind in _MQTT_KINDS and not known.names.isdisjoint(_MQTT)) or statement is told or kind == "rolealias":
            continue
        if Kind.THING not in view.kinds(resource.arn.variables):
            continue
        usable = [actions.ACTIONS[name] for name in known.by_kind.get(kind, ())]
        greengrass = [actions.ACTIONS[name] for name in sorted(known.names) if actions.ACTIONS[name].any_resource]
        if (usable or greengrass) and not any(action.mqtt for action in usable):
            told = statement
            action = (usable or greengrass)[0].name
            fix = "write the thing's name; over MQTT allow iot:Publish and iot:Subscribe on $aws/things/${...}/ instead"
            yield Hit(resource.pointer, f"{action} is asked for over HTTPS, where thing variables have no value", fix)


_MQTT = frozenset(name for name, action in actions.ACTIONS.items() if action.mqtt)
_MQTT_KINDS = frozenset(kind for name in _MQTT for kind in actions.ACTIONS[name].resources)


@rule(
    id="V06",
    title="A variable that is not a whole level",
    severity=Severity.HIGH,
    why="plant/${thing}* is for dev1 and for dev10, too. And gw-${thing} gives the thing a the name of the thing gw-a,"
    " wherever both are used. A variable keeps devices apart only as a level of its own.",
    source=_PUB_SUB,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}*")),
    passes=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")),
)
def part_of_a_level(document: Policy) -> Iterator[Hit]:
    yield from _beside(document, "V06")


@rule(
    id="V07",
    title="A variable beside a wildcard",
    severity=Severity.HIGH,
    why="A wildcard before a variable, or a ? in its level, makes the level end or begin like a device's name: 1 is then also"
    " dev1.",
    source=_PUB_SUB,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/*{THING}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def beside_wildcard(document: Policy) -> Iterator[Hit]:
    yield from _beside(document, "V07")


def _beside(document: Policy, rule_id: str) -> Iterator[Hit]:
    if document.view.whole_levels:
        return
    told: set[str] = set()
    for statement, resource, _ in document.view.variable:
        name = view.name_of(resource)
        if not statement.allow or name is None or resource.text in told or resource.arn.kind == "rolealias":
            continue
        if "$${" in name.text or view.of_core(document, resource):
            continue  # S08 tells of the dollar sign too many
        found = _neighbours(name.tokens, levels=resource.arn.kind in ("topic", "topicfilter"))
        if found is not None and found[0] == rule_id:
            told.add(resource.text)
            _, mine, other, reached, variable = found
            fix = f"give ${{{variable}}} a level of its own, between slashes"
            if f"${{{variable}}}*" in resource.text:
                fix = f"write {resource.text.replace(f'${{{variable}}}*', f'${{{variable}}}/*')}"
            yield Hit(resource.pointer, f"{name.text:.200}: {mine} reaches {reached}, which is {other}'s", fix, reached)


def _neighbours(tokens: Sequence[Token], *, levels: bool) -> tuple[str, str, str, str, str] | None:
    """Which rule the first variable breaks that has something beside it; the device, whom it reaches, and where; the variable.

    levels: of a topic. In a client id or a thing's name text beside a variable does no harm, a wildcard does.
    """
    for index, token in enumerate(tokens):
        if not isinstance(token, Variable) or not _keeps_apart(token):
            continue
        before = tokens[index - 1] if index else "/"
        after = tokens[index + 1] if index + 1 < len(tokens) else "/"
        rest = after.partition("/") if isinstance(after, str) else ("", "", "")
        further = tokens[index + 2] if index + 2 < len(tokens) and not rest[1] else None
        if _set_off(token, tokens[:index], after):
            continue
        if isinstance(before, Wildcard):
            return "V07", "1", "dev1", "dev1", token.name
        if after is Wildcard.ANY:
            return "V06", "dev1", "dev10", "dev10", token.name
        if after is Wildcard.ONE or isinstance(further, Wildcard):
            return "V07", "dev1", f"dev1{rest[0]}2", f"dev1{rest[0]}2", token.name
        head = before.rpartition("/")[2] if isinstance(before, str) else "a"
        tail = rest[0] if isinstance(after, str) else "b"
        if levels and (head or tail):
            return "V06", "dev1", f"{head}dev1{tail}", f"{head}dev1{tail}", token.name
    return None


def _set_off(token: Variable, before: Sequence[Token], after: Token) -> bool:
    """Whether what stands beside the name can be in none, as in `${thing}.json`: it ends and begins there, as at a slash."""
    if variables.canonical(token.name) not in (variables.THING_NAME, variables.THING_TYPE):
        return False
    head = before[-1] if before else "/"
    if not isinstance(head, str) or not isinstance(after, str) or ("/" not in head and before[-2:-1] != ()):
        return False
    return not _IN_NAMES.match(head[-1]) and not _IN_NAMES.match(after[0])


_IN_NAMES = re.compile("[a-zA-Z0-9:_-]")


def _keeps_apart(token: Variable) -> bool:
    return variables.canonical(token.name) in (variables.THING_TYPE, variables.CERTIFICATE_ID) or view.owner(token)


@rule(
    id="V08",
    title="Thing variables, but a client id that need not be the thing's name",
    severity=Severity.MEDIUM,
    why="Unless a certificate is attached to its thing exclusively, AWS finds the thing by the client id: connected under"
    " another one, a device has no thing variables and none of its thing groups' policies.",
    source=_THING,
    fails=policy(allow("iot:Connect", f"{ARN}:client/gw-{THING}"), _PUBLISH),
    passes=policy(CONNECT, _PUBLISH),
    subject=Subject.BUNDLE,
)
def another_client_id(bundle: Bundle) -> Iterator[Hit]:
    """One hit a bundle. A client id that is written out may well be the thing's name."""
    connects = [grant for grant in _connects(bundle) if grant.resource.text]
    if not connects or any(map(_may_be_thing, connects)) or view.guarded(bundle.policies):
        return
    for index, document in enumerate(bundle.policies):
        for statement, resource, known in document.view.variable:
            if known.names.isdisjoint(MESSAGING) or Kind.THING not in view.kinds(resource.arn.variables):
                continue
            if view.attached_only(statement):
                continue
            fix = f"allow iot:Connect on client/{THING}, {view.IF_ATTACHED}"
            message = (
                f"{resource.text:.200} needs the thing's name as client id, and {connects[0].resource.text:.200} is another one"
            )
            yield Hit(resource.pointer, message, fix, policy=index)
            return


def _may_be_thing(grant: Grant) -> bool:
    if view.attached_only(grant.statement):
        return True
    name = view.name_of(grant.resource)
    if name is None:
        return False
    about = [found for token in name.tokens if (found := _about(token)) is not None]
    if any(found.name == variables.THING_NAME for found in about):
        return view.bound(name, view.identity(SELF)).matches(SELF)
    chosen = any(isinstance(token, Wildcard) for token in name.tokens) or any(
        found.name == variables.CLIENT_ID for found in about
    )
    return not chosen


@rule(
    id="V09",
    title="A Deny that a missing variable switches off",
    severity=Severity.HIGH,
    why="A certificate without a thing, or without that field, has no value for the variable, nor has a message that is published"
    " over HTTPS, and a Deny that cannot be evaluated denies nothing. What another statement allows then stays allowed.",
    source=_THING,
    fails=policy(
        allow("iot:Connect", f"{ARN}:client/press-7"),
        allow("iot:Publish", f"{ARN}:topic/plant/*"),
        deny("iot:Publish", f"{ARN}:topic/plant/{THING}/alarm"),
    ),
    passes=policy(
        CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*"), deny("iot:Publish", f"{ARN}:topic/plant/{THING}/alarm")
    ),
    subject=Subject.BUNDLE,
)
def open_deny(bundle: Bundle) -> Iterator[Hit]:
    """One hit a statement.

    High also where it is the condition that asks for the thing: that a key without a value fails StringEquals and its like IAM
    documents, so there a Deny is open for certain, and of a variable in the resource AWS IoT does not say.
    [https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html]
    """
    denies = [(index, statement) for index, document in enumerate(bundle.policies) for statement in document.view.denies]
    if not denies:
        return
    attached = view.guarded(bundle.policies) or _only_attached(_connects(bundle))
    for index, statement in denies:
        ways = (False, True) if not _HTTPS.isdisjoint(view.known(statement).names) else (False,)
        asked = ((https, *one) for https in ways for one in _missing(statement, attached=attached, https=https))
        for https, name, pointer in (one for one in asked if _is_open(bundle, statement, one[1], https=one[0])):
            fix = "deny it whatever the thing is, and allow what the device may in a statement of its own"
            if not attached:
                fix += "; or let only attached things connect: client/${iot:Connection.Thing.ThingName}"
            who = "who publishes over HTTPS" if https else "a connection"
            yield Hit(pointer, f"{who} without {name} is not denied", fix, policy=index)
            break


#: Asked for over MQTT and over HTTPS, where nobody connects: there is no thing and no client id, whatever Connect asks for.
_HTTPS = frozenset(name for name, action in actions.ACTIONS.items() if action.mqtt and action.https)


def _only_attached(connects: list[Grant]) -> bool:
    return bool(connects) and all(
        view.attached_only(grant.statement) or ((name := view.name_of(grant.resource)) is not None and view.is_thing_name(name))
        for grant in connects
    )


def _missing(statement: Statement, *, attached: bool, https: bool) -> Iterator[tuple[str, Pointer]]:
    """The variables of a Deny that a request may lack, and the thing's properties that its condition asks for."""
    for resource in statement.resources:
        for about in filter(None, map(_about, resource.arn.whole.tokens)):
            of_mqtt = about.kind is not Kind.CONNECTION and not (attached and about.name == variables.THING_NAME)
            if about.mqtt_only if https else of_mqtt:
                yield about.name, resource.pointer
    for condition in statement.conditions if https or not attached else ():
        operator, key = conditions.operator(condition.operator), variables.known(variables.canonical(condition.key))
        if operator is None or key is None or operator.negated or operator.if_exists or operator.base == conditions.NULL:
            continue
        if key.kind is Kind.THING and key.name != variables.IS_ATTACHED:
            yield key.name, condition.pointer


def _is_open(bundle: Bundle, statement: Statement, missing: str, *, https: bool) -> bool:
    """Whether some Allow for the same holds without that variable; if no statement allows the action, another policy does."""
    names = view.known(statement).names & _HTTPS if https else view.known(statement).names
    allowed = [grant for _, _, grant in view.allowed(bundle.policies, *names)]
    if not allowed:
        return not bundle.complete and not https
    if statement.negated_resources:
        return True
    for grant in allowed:
        needs = _canonical(grant.resource.arn.variables) | view.demanded(grant.statement)
        over_mqtt = any((about := variables.known(name)) is not None and about.mqtt_only for name in needs)
        if missing in needs or view.attached_only(grant.statement) or (https and over_mqtt):
            continue
        if any(view.overlap(grant.resource.arn.whole, resource.arn.whole) for resource in statement.resources):
            return True
    return False


@rule(
    id="V10",
    title="Variable of a role's session",
    severity=Severity.HIGH,
    why="credentials-iot:ThingName and cognito-identity.amazonaws.com:sub are filled in for the IAM role behind a role alias"
    " or an identity pool. An AWS IoT policy does not know them.",
    source=_CREDENTIALS,
    fails=policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/plant/${{credentials-iot:ThingName}}/state")),
    passes=policy(CONNECT, _PUBLISH),
)
def of_a_role(document: Policy) -> Iterator[Hit]:
    """AWS lets a web client's own policy name its identity: that is foreign only beside words of things or certificates."""
    keys = [(item.key, item.pointer) for statement in document.view.conditioned for item in statement.conditions]
    if not any(name.startswith(view.OF_A_ROLE) for name in (*document.view.names, *(key for key, _ in keys))):
        return
    used = [*((name, pointer) for _, name, pointer in _used(document)), *keys]
    foreign = [(name, pointer) for name, pointer in used if name.startswith(view.OF_A_ROLE)]
    about = [variables.known(variables.canonical(name)) for name, _ in used]
    of_device = any(found is not None and found.kind is not Kind.CONNECTION for found in about)
    fix = "write ${iot:Connection.Thing.ThingName}, or move the statement into the IAM role's policy"
    for name, pointer in foreign:
        if of_device or name.startswith("credentials-iot:"):
            yield Hit(pointer, f"{name:.100} has a value in IAM policies only", fix)


RULES = (
    unknown,
    misplaced,
    chosen_client_id,
    attribute,
    over_https,
    part_of_a_level,
    beside_wildcard,
    another_client_id,
    open_deny,
    of_a_role,
)
