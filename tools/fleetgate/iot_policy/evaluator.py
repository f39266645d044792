"""Decides one request: what `iot:TestAuthorization` answers, without asking AWS, for every data-plane action.

`docs/policy-semantics.md` says how AWS's documentation is read here; `assumptions` holds what it leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from fleetgate.iot_policy import actions, conditions, pattern, topics, variables
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions, JobPrefix, SharedSubscription, others
from fleetgate.iot_policy.conditions import Unresolved
from fleetgate.iot_policy.model import VERSION, Condition, Policy, Statement
from fleetgate.iot_policy.pattern import Pattern, Token, Wildcard
from fleetgate.iot_policy.variables import Kind

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Decision(StrEnum):
    """As in TestAuthorization's `authDecision`."""

    ALLOWED = "ALLOWED"
    EXPLICIT_DENY = "EXPLICIT_DENY"
    IMPLICIT_DENY = "IMPLICIT_DENY"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a connection, its certificate, and the thing in the registry.

    thing_name: the thing that the certificate is attached to, or, if `attached` is False, the thing that it claims to be.
    exclusive: attached as EXCLUSIVE_THING. certificate: by variable name after `iot:Certificate.`, of several values a tuple.
    protocol: of requests that both MQTT and HTTPS know. context: further condition keys with their values.
    """

    client_id: str
    thing_name: str | None = None
    attached: bool = False
    thing_type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    certificate: Mapping[str, str | tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    exclusive: bool = False
    source_ip: str | None = None
    domain_name: str | None = None
    protocol: Literal["mqtt", "https"] = "mqtt"
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Request:
    """action: `iot:Publish`. resource: a whole ARN, `*` for the actions that have none.

    connect_attributes (PersistentConnect, LastWill) and last_will_topic belong to iot:Connect.
    """

    action: str
    resource: str
    connect_attributes: tuple[str, ...] = ()
    last_will_topic: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """allowed_by, denied_by: policy name and statement index, all of them, whatever the decision.

    missing: names of variables and condition keys that a statement for this action asked for and the request has not, sorted.
    """

    decision: Decision
    allowed_by: tuple[tuple[str, int], ...] = ()
    denied_by: tuple[tuple[str, int], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOWED


def authorize(
    policies: Sequence[Policy],
    request: Request,
    identity: Identity,
    assumptions: Assumptions = DEFAULT,
    *,
    group_policies: Sequence[Policy] = (),
) -> Outcome:
    """The decision of the certificate's policies and, while they count, of its thing groups' and of their parents'."""
    shared = _shared_subscription(request)
    if shared is None or assumptions.shared_subscription is SharedSubscription.WHOLE:
        return _decide(policies, request, identity, assumptions, group_policies)
    inner = _decide(policies, shared, identity, assumptions, group_policies)
    if assumptions.shared_subscription is SharedSubscription.FILTER:
        return inner
    return combine((_decide(policies, request, identity, assumptions, group_policies), inner))


def session(
    policies: Sequence[Policy],
    request: Request,
    identity: Identity,
    assumptions: Assumptions = DEFAULT,
    *,
    group_policies: Sequence[Policy] = (),
) -> Iterator[tuple[Request, Outcome]]:
    """The request and everything else that it needs on AWS, each with its own outcome, the request itself last.

    Publishing and subscribing over MQTT need a connection, a retained publish needs Publish [policy actions].
    """
    needed = [request]
    action = request.action.lower()
    if action == "iot:retainpublish":
        needed.insert(0, replace(request, action="iot:Publish"))
    if action in ("iot:publish", "iot:retainpublish", "iot:subscribe", "iot:receive") and identity.protocol == "mqtt":
        prefix = ":".join(request.resource.split(":", 5)[:5])
        needed.insert(0, Request("iot:Connect", f"{prefix}:client/{identity.client_id}"))
    for one in needed:
        yield one, authorize(policies, one, identity, assumptions, group_policies=group_policies)


def depends_on(
    policies: Sequence[Policy],
    request: Request,
    identity: Identity,
    assumptions: Assumptions = DEFAULT,
    *,
    group_policies: Sequence[Policy] = (),
) -> Iterator[tuple[str, str, Decision]]:
    """Every switch that alone would change the decision: its name, its other value, the decision under that."""
    made = authorize(policies, request, identity, assumptions, group_policies=group_policies).decision
    for name, value, other in others(assumptions):
        decision = authorize(policies, request, identity, other, group_policies=group_policies).decision
        if decision is not made:
            yield name, value, decision


def combine(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several resources that must all be allowed, at least one: the decision that lets least through, and all reasons."""
    order = (Decision.EXPLICIT_DENY, Decision.IMPLICIT_DENY, Decision.ALLOWED)
    return Outcome(
        min((one.decision for one in outcomes), key=order.index),
        tuple(dict.fromkeys(by for one in outcomes for by in one.allowed_by)),
        tuple(dict.fromkeys(by for one in outcomes for by in one.denied_by)),
        tuple(sorted({name for one in outcomes for name in one.missing})),
    )


def _shared_subscription(request: Request) -> Request | None:
    """The same request for the filter inside of `$share/<group>/<filter>`, None of any other."""
    prefix, kind, text = request.resource.partition(":topicfilter/")
    inner = topics.unshared(text) if request.action.lower() == "iot:subscribe" else None
    return replace(request, resource=f"{prefix}{kind}{inner}") if inner else None


def _decide(
    policies: Sequence[Policy],
    request: Request,
    identity: Identity,
    assumptions: Assumptions,
    group_policies: Sequence[Policy],
) -> Outcome:
    context = Context(identity, request, assumptions)
    allowed_by: list[tuple[str, int]] = []
    denied_by: list[tuple[str, int]] = []
    for policy in context.counted(policies, group_policies):
        for statement in policy.statements:
            if _applies(policy, statement, context):
                (allowed_by if statement.allow else denied_by).append((policy.name, statement.index))
    decision = Decision.EXPLICIT_DENY if denied_by else Decision.ALLOWED if allowed_by else Decision.IMPLICIT_DENY
    return Outcome(decision, tuple(allowed_by), tuple(denied_by), tuple(sorted(context.missing)))


def _applies(policy: Policy, statement: Statement, context: Context) -> bool:
    if not covers_action(statement, context.actions):
        return False
    known = knows_variables(policy, context.assumptions)
    return covers_resource(statement, context, known) and meets_conditions(statement, context, known)


def knows_variables(policy: Policy, assumptions: Assumptions) -> bool:
    """The model reads variables without a Version, too, so that the linter sees them; whether there are any is an assumption."""
    return policy.version == VERSION or (policy.version is None and assumptions.missing_version_knows_variables)


def covers_action(statement: Statement, asked: tuple[str, ...]) -> bool:
    """asked: of `Context.actions`."""
    covered = any(_action(item.text).matches(name) for item in statement.actions for name in asked)
    return covered is not statement.negated_actions


@lru_cache(maxsize=4096)
def _action(text: str) -> Pattern:
    """Actions know wildcards and no variables, and case does not count."""
    return pattern.parse(text.lower(), variables=False)


def covers_resource(statement: Statement, context: Context, variables_known: bool) -> bool:
    """Notes in the context which variables have no value."""
    covered = ended = False
    for resource in statement.resources:
        wanted = resource.arn.whole if variables_known else pattern.parse(resource.text, variables=False)
        bound = wanted.bind(context.tokens)
        if bound is not None:
            covered = covered or bound.matches(context.request.resource)
            continue
        context.miss(wanted)
        if not statement.allow and context.assumptions.deny_unresolved:
            # The reading that denies most: a Resource covers whatever the variable may be, a NotResource leaves nothing out.
            covered = covered or (not statement.negated_resources and context.may_match(wanted))
        elif statement.negated_resources or context.assumptions.unresolved_ends_statement:
            ended = True  # and go on, to name everything that is missing
    return not ended and covered is not statement.negated_resources


def meets_conditions(statement: Statement, context: Context, variables_known: bool) -> bool:
    return all(meets(statement, condition, context, variables_known) for condition in statement.conditions)


def meets(statement: Statement, condition: Condition, context: Context, variables_known: bool) -> bool:
    """Whether the condition lets the statement count; one that cannot be evaluated may, of a Deny, by assumption."""
    try:
        held = holds(condition, context, variables_known)
    except Unresolved:
        return not statement.allow and context.assumptions.deny_unresolved
    return held if held is not None else not statement.allow and context.assumptions.deny_unknown_condition


def holds(condition: Condition, context: Context, variables_known: bool) -> bool | None:
    """None if it cannot be evaluated. Notes a missing key in the context. Raises Unresolved."""
    key = variables.canonical(condition.key)
    if _needs_quantifier(condition.operator) and context.is_list(key) and not context.assumptions.list_without_set_operator:
        return None
    given = context.values(key)
    wanted = tuple(value.text for value in condition.values)
    held = conditions.holds(condition.operator, wanted, given, context.tokens, variables_known=variables_known)
    if given is None and held is False:
        context.missing.add(key)
    return held


def _needs_quantifier(text: str) -> bool:
    operator = conditions.operator(text)
    return operator is not None and operator.quantifier is None and operator.base != conditions.NULL


class Context:
    """What is known while one request is decided: the values of variables and condition keys. Collects those that are missing."""

    def __init__(self, identity: Identity, request: Request, assumptions: Assumptions) -> None:
        self.identity = identity
        self.request = request
        self.assumptions = assumptions
        self.missing: set[str] = set()
        self._tokens: dict[str, tuple[Token, ...] | None] = {}
        action = actions.ACTIONS.get(request.action.lower())
        # Shadow, job and role-alias actions are asked for over HTTPS, whatever else the device does.
        self.https = identity.protocol == "https" or (action is not None and not action.mqtt)
        self.actions = _names(request.action, assumptions.job_prefix)
        self.is_thing = identity.attached and bool(identity.thing_name)
        same_name = identity.client_id == identity.thing_name
        # Whether the connection stands for the thing in full, not only by name.
        self.is_whole_thing = self.is_thing and (same_name or (identity.exclusive and assumptions.exclusive_resolves_all))

    @property
    def in_groups(self) -> bool:
        """Whether group policies take effect: "the clientId and the thing name must match" [AWS IoT Core policies]."""
        if self.https:
            return self.is_thing and self.assumptions.group_policies_over_https
        return self.is_whole_thing

    def counted(self, policies: Sequence[Policy], group_policies: Sequence[Policy]) -> Sequence[Policy]:
        return (*policies, *group_policies) if group_policies and self.in_groups else policies

    def tokens(self, name: str) -> tuple[Token, ...] | None:
        """What stands in the place of `${name}`, None if it has no value."""
        if name not in self._tokens:
            self._tokens[name] = self._substitution(name)
        return self._tokens[name]

    def miss(self, wanted: Pattern) -> None:
        self.missing.update(name for name in wanted.variables if self.tokens(name) is None)

    def may_match(self, wanted: Pattern) -> bool:
        """Whether the pattern matches with anything in the place of what has no value."""
        bound = wanted.bind(lambda name: self.tokens(name) or (Wildcard.ANY,))
        return bound is not None and bound.matches(self.request.resource)

    def is_list(self, key: str) -> bool:
        """Of a canonical name: whether a condition needs ForAllValues or ForAnyValue for it."""
        known = variables.known(key)
        if known is not None:
            return known.is_list
        return key == variables.CONNECT_ATTRIBUTES or isinstance(self._further(key), tuple)

    def values(self, key: str) -> tuple[str, ...] | None:
        """The values of a condition key or a variable under its canonical name, None or empty if it has none."""
        known = variables.known(key)
        if known is None:
            return self._of_connect(key) if key in variables.CONNECT_KEYS else _as_tuple(self._further(key))
        if known.kind is Kind.CERTIFICATE:
            return self._of_certificate(key)
        return _as_tuple(self._of_thing(key) if known.kind is Kind.THING else self._of_connection(key))

    def _substitution(self, name: str) -> tuple[Token, ...] | None:
        if self.assumptions.variable_names_ignore_case:
            name = variables.canonical(name)
        known = variables.known(name)
        if known is None or known.is_list:
            return None
        values = self.values(name)
        as_text = pattern.literal("${" + name + "}")
        if known.kind is Kind.CERTIFICATE:
            if not values:
                absent = variables.split_certificate(name)[0] not in self.identity.certificate
                return as_text if absent and self.assumptions.missing_certificate_field_is_text else None
            if variables.is_never_substituted(self._raw_values(name)[0]):
                return as_text if self.assumptions.unsubstituted_matches_itself else None
        if not values:
            return None
        if name == variables.CLIENT_ID and self.assumptions.client_id_wildcards:
            return pattern.parse(values[0], variables=False).tokens
        return pattern.literal(values[0])

    def _of_connection(self, name: str) -> str | None:
        if name == variables.CLIENT_ID:
            return None if self.https and not self.assumptions.https_client_id else self.identity.client_id
        return self.identity.source_ip if name == variables.SOURCE_IP else self.identity.domain_name

    def _of_thing(self, name: str) -> str | None:
        if self.https:
            known = name == variables.IS_ATTACHED and self.assumptions.https_is_attached
            return str(self.is_thing).lower() if known else None
        if name == variables.THING_NAME:
            return self.identity.thing_name if self.is_whole_thing or (self.is_thing and self.identity.exclusive) else None
        if name == variables.IS_ATTACHED:
            # An exclusive attachment under another client id: neither true nor false is documented.
            open_question = self.is_thing and self.identity.exclusive and not self.is_whole_thing
            return None if open_question else str(self.is_whole_thing).lower()
        if not self.is_whole_thing:
            return None
        if name == variables.THING_TYPE:
            return self.identity.thing_type
        return self.identity.attributes.get(variables.attribute_name(name) or "")

    def _of_certificate(self, name: str) -> tuple[str, ...] | None:
        if name == variables.AVAILABLE_KEYS:
            certificate = self.identity.certificate
            fields = (field for field, value in certificate.items() if value and field != _ID)
            return tuple(sorted(variables.CERTIFICATE + field for field in fields))
        values = self._raw_values(name)
        if self.assumptions.certificate_values_escaped and "DirectoryName" not in name:
            values = tuple(value.translate(_ESCAPES) for value in values)
        return values or None

    def _raw_values(self, name: str) -> tuple[str, ...]:
        """Of a certificate's field, as they stand in the certificate."""
        field, suffix = variables.split_certificate(name)
        values = (_as_tuple(self.identity.certificate.get(field)) or ())[: variables.MAXIMUM_CERTIFICATE_VALUES]
        if suffix == "List":
            return values
        index = int(suffix) if suffix else 0  # counted from zero: `.0` is the first value, as without an index
        return values[index : index + 1]

    def _of_connect(self, key: str) -> tuple[str, ...] | None:
        if self.request.action.lower() != "iot:connect":
            return None
        if key == variables.CONNECT_ATTRIBUTES:
            return self.request.connect_attributes
        will = self.request.last_will_topic
        if key == variables.LAST_WILL_TOPIC and will is not None:
            prefix = ":".join(self.request.resource.split(":", 5)[:5])
            return (f"{prefix}:topic/{will}",)
        return None

    def _further(self, key: str) -> str | tuple[str, ...] | None:
        lower = key.lower()
        return next((value for name, value in self.identity.context.items() if name.lower() == lower), None)


_ID = variables.split_certificate(variables.CERTIFICATE_ID)[0]
_ESCAPES = {ord(character): "\\" + character for character in ',"\\+=<>;'}


def _as_tuple(value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """An empty text is no value: a client without an id, a thing without a type."""
    return (value,) if isinstance(value, str) and value else value or None


@lru_cache(maxsize=1024)
def _names(action: str, job_prefix: JobPrefix) -> tuple[str, ...]:
    """The names, in lower case, of which a policy may list any for this action."""
    name = action.lower()
    short = name.partition(":")[2]
    if f"iotjobsdata:{short}" not in actions.ACTIONS:
        return (name,)
    both = {JobPrefix.IOT: f"iot:{short}", JobPrefix.IOTJOBSDATA: f"iotjobsdata:{short}"}
    return tuple(both.values()) if job_prefix is JobPrefix.EITHER else (both[job_prefix],)
