"""Why a request was not allowed: how near each statement that grants its action came, and what would have to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleetgate.iot_policy import actions, conditions, evaluator, pattern, variables
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions
from fleetgate.iot_policy.evaluator import Context, Identity, Request
from fleetgate.iot_policy.model import Condition, Policy, Resource, Statement, split_arn
from fleetgate.iot_policy.pattern import Pattern, Token
from fleetgate.iot_policy.variables import Kind

#: As many near misses as a person reads.
SHOWN = 3
#: Less is nearer: the condition (0), a value that is missing (1), how the resource is written (2), another resource (3).
_ELSEWHERE = 3
_Distance = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reason:
    """by: policy name and statement index, None if it is no statement's. fix: what would mend it, "" if that is clear."""

    by: tuple[str, int] | None
    what: str
    fix: str = ""


def why_not(
    policies: Sequence[Policy],
    request: Request,
    identity: Identity,
    assumptions: Assumptions = DEFAULT,
    *,
    group_policies: Sequence[Policy] = (),
) -> list[Reason]:
    """Of a request that no statement allows: the reasons, the nearest miss first."""
    context = Context(identity, request, assumptions)
    reasons = []
    if group_policies and not context.in_groups:
        reasons.append(Reason(None, "the policies of thing groups do not count here", _to_be_a_thing(context)))
    misses: list[tuple[_Distance, Reason]] = []
    for policy in context.counted(policies, group_policies):
        known = evaluator.knows_variables(policy, assumptions)
        for statement in policy.statements:
            if statement.allow and evaluator.covers_action(statement, context.actions):
                distance, what, fix = _miss(statement, context, known)
                misses.append((distance, Reason((policy.name, statement.index), what, fix)))
    misses.sort(key=lambda miss: miss[0])
    if not misses:
        reasons.append(Reason(None, f"no statement allows {request.action} on anything", _other_way(request, identity)))
    # Beside a statement that nearly applies, those that are about something else only distract.
    near = [reason for (rank, _), reason in misses if rank < _ELSEWHERE]
    return reasons + (near or [reason for _, reason in misses])[:SHOWN]


def _miss(statement: Statement, context: Context, variables_known: bool) -> tuple[_Distance, str, str]:
    """How far away, what is wrong, how to mend it. The statement covers the action and does not apply."""
    if evaluator.covers_resource(statement, context, variables_known):
        return (0, 0), *_unmet(statement, context, variables_known)
    resources = [_wanted(resource, variables_known) for resource in statement.resources]
    missing = [name for wanted in resources for name in wanted.variables if context.tokens(name) is None]
    if missing and (statement.negated_resources or any(context.may_match(wanted) for wanted in resources)):
        name = missing[0]
        return (1, 0), f"${{{name}}} has no value, so the statement does nothing", _to_have_a_value(name, context)
    if statement.negated_resources:
        return (1, 0), "its NotResource leaves this out", ""
    return min((_distance(wanted, context) for wanted in resources), key=lambda found: found[0])


def _wanted(resource: Resource, variables_known: bool) -> Pattern:
    return resource.arn.whole if variables_known else pattern.parse(resource.text, variables=False)


def _distance(wanted: Pattern, context: Context) -> tuple[_Distance, str, str]:
    """What `_miss` returns, of one resource that does not match."""
    asked = context.request.resource
    bound = wanted.bind(context.tokens)
    text = _spelt(bound if bound is not None else wanted)
    nearness = -_alike(text, asked)
    mine, theirs = asked.split(":", 5)[-1], split_arn(text)[-1]
    if bound is not None:
        for found in (_other_spelling(theirs, mine), _other_kind(theirs, mine)):
            if found is not None:
                return (2, nearness), f"it covers {theirs}, but {found[0]}", found[1]
        if _covers(theirs, mine):
            return (2, nearness), f"it covers {text}: another account, Region or partition", "write the right one"
    return (_ELSEWHERE, nearness), f"it covers {theirs}", ""


def _other_spelling(theirs: str, mine: str) -> tuple[str, str] | None:
    if theirs != mine and _covers(theirs.lower(), mine.lower()) and not _covers(theirs, mine):
        return "case counts in a resource", "spell it alike"
    as_in_a_filter = theirs.replace("+", "*").replace("#", "*")
    if as_in_a_filter != theirs and _covers(as_in_a_filter, mine):
        return "`+` and `#` are plain characters in a policy", f"write {as_in_a_filter}"
    return None


def _other_kind(theirs: str, mine: str) -> tuple[str, str] | None:
    """As `topic/a` where `topicfilter/a` is asked for."""
    kind, _, name = mine.partition("/")
    their_kind, _, their_name = theirs.partition("/")
    if their_kind == kind or not their_name or not _covers(their_name, name):
        return None
    return f"this action is checked against {kind}/", f"write {kind}/{their_name}"


def _spelt(wanted: Pattern) -> str:
    """As a policy would write it: what a client id has brought in stays text."""

    def escaped(token: Token) -> str:
        if not isinstance(token, str):
            return pattern.spelt((token,))
        return token.replace("${", "${$}{").replace("*", "${*}").replace("?", "${?}")

    return "".join(map(escaped, wanted.tokens))


def _covers(text: str, asked: str) -> bool:
    return pattern.parse(text).matches(asked)


def _alike(first: str, second: str) -> int:
    """How many characters they begin with alike."""
    for at, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return at
    return min(len(first), len(second))


def _unmet(statement: Statement, context: Context, variables_known: bool) -> tuple[str, str]:
    for condition in statement.conditions:
        try:
            held = evaluator.holds(condition, context, variables_known)
        except conditions.Unresolved as error:
            return f"{_said(condition)} holds a variable without a value: {error}", ""
        if held is None:
            return f"{_said(condition)} cannot be evaluated, so it is never met", _to_be_evaluated(condition, context)
        if not held:
            key = variables.canonical(condition.key)
            given = context.values(key)
            if given is None:
                return f"{_said(condition)} is not met: {key} has no value", _to_have_a_value(key, context)
            return f"{_said(condition)} is not met: it is {', '.join(given) or 'empty'}", ""
    return "it allows this", ""


def _said(condition: Condition) -> str:
    values = " or ".join(value.text for value in condition.values)
    return f"the condition {condition.operator} {condition.key}: {values:.200}"


def _to_be_evaluated(condition: Condition, context: Context) -> str:
    operator = conditions.operator(condition.operator)
    if operator is None:
        from difflib import get_close_matches

        near = get_close_matches(condition.operator, conditions.OPERATORS, 1)
        return f"there is no operator {condition.operator}" + (f"; write {near[0]}" if near else "")
    if context.is_list(variables.canonical(condition.key)):
        return f"{condition.key} is a list: write ForAnyValue:{condition.operator} or ForAllValues:{condition.operator}"
    return f"mend the value: {condition.operator} does not understand it"


def _to_have_a_value(name: str, context: Context) -> str:
    known = variables.known(name)
    if known is None:
        near = variables.nearest(name)
        if name in variables.CONNECT_KEYS:
            return "only a connection that has it can be allowed by this"
        return f"there is no such variable; write {near}" if near else "AWS IoT documents no such variable"
    if known.is_list:
        return "a list cannot be substituted; compare it in a condition"
    if known.kind is Kind.CERTIFICATE:
        return "the certificate has no such field"
    if context.https and known.mqtt_only:
        return "it exists over MQTT only; name the thing itself, or let the device use MQTT topics"
    if known.kind is Kind.CONNECTION:
        return "say what it is, to decide this"
    if not context.is_whole_thing and (name != variables.THING_NAME or not context.identity.exclusive or not context.is_thing):
        return _to_be_a_thing(context)
    return "the thing has none in the registry; give it one, or take another variable"


def _to_be_a_thing(context: Context) -> str:
    identity = context.identity
    if context.https:
        return "over HTTPS there is no client id, and so no thing"
    if not identity.thing_name:
        return "the connection stands for no thing: attach the certificate to one, and connect under its name"
    if not identity.attached:
        return f"attach the certificate to the thing {identity.thing_name}"
    exclusively = "" if identity.exclusive else ", or attach the certificate exclusively"
    return f"connect with the thing's name {identity.thing_name} as client id{exclusively}"


def _other_way(request: Request, identity: Identity) -> str:
    """For a request that nothing in the policies is about."""
    name = request.action.lower()
    if name not in actions.ACTIONS:
        near = actions.nearest(name)
        return "AWS IoT has no such action" + (f"; did you mean {near}?" if near else "")
    api = {action.lower() for action in (*actions.SHADOW_ACTIONS, *actions.JOB_ACTIONS, *actions.OLD_JOB_ACTIONS)}
    if name in api:
        part = "shadow" if "shadow" in name else "jobs"
        thing = request.resource.rpartition("thing/")[2].partition("/")[0]
        return f"it is for the HTTPS API; over MQTT the device needs topics like $aws/things/{thing}/{part}/…"
    return "add a statement for it, if the device should"
