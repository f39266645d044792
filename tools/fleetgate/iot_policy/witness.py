"""Asks the evaluator about a witness that the automata have found.

Where the device's attributes, its certificate, its client id or its address matter and are not known, it looks for values under
which the evaluator says yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice

from fleetgate.iot_policy import budget, conditions, evaluator, pattern, variables
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, Tokens, find
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.evaluator import Identity, Outcome, Request, authorize
from fleetgate.iot_policy.grants import SOME_CLIENT_ID, Holder
from fleetgate.iot_policy.model import VERSION, Condition
from fleetgate.iot_policy.pattern import Pattern, Variable, Wildcard

#: Combinations of values that are tried.
MAXIMUM_TRIES = 200
#: What the evaluator takes for one statement, in steps of a search.
_STATEMENT = 3


@dataclass(frozen=True, slots=True)
class Check:
    """A request, who makes it, and what the evaluator answered."""

    identity: Identity
    request: Request
    outcome: Outcome


def confirm(
    holder: Holder, requests: Sequence[Request], *, connects: bool = False, never: Sequence[str] = ()
) -> tuple[Check, ...] | None:
    """The evaluator's answers if it allows all requests to one device, else None.

    connects: whether a client id that is not the device's name has to be allowed to connect, too. never: not as such a client id.
    Raises Undecided.
    """
    clients = tuple(_client_ids(holder, never)) if holder.identity.client_id == SOME_CLIENT_ID else ()
    for filled in islice(_filled(holder, holder.identity, requests, clients), MAXIMUM_TRIES):
        if filled.client_id == SOME_CLIENT_ID:
            continue
        asked = list(requests)
        if connects and filled.protocol == "mqtt" and filled.client_id != filled.thing_name:
            connect = Request("iot:Connect", holder.scope.arn("client", filled.client_id))
            asked = [connect, *(request for request in asked if request != connect)]
        budget.spend(len(asked) * _STATEMENT * sum(len(policy.statements) for policy in holder.policies))
        checks = [Check(filled, one, authorize(holder.policies, one, filled, holder.assumptions)) for one in asked]
        if all(check.outcome.allowed for check in checks):
            return tuple(checks)
    return None


def _client_ids(holder: Holder, never: Sequence[str]) -> Iterator[str]:
    """Ids that the holder may connect under."""
    excluded = Requirement(Grant(Side(tuple((name,) for name in never if name))), False)
    with suppress(Undecided):
        found = find([Requirement(holder.grant("iot:Connect", "client")), excluded], never_first="$")
        if found is not None and len(found) <= variables.MAXIMUM_CLIENT_ID:
            yield found


def _filled(holder: Holder, identity: Identity, requests: Sequence[Request], clients: Sequence[str]) -> Iterator[Identity]:
    """The identity itself, then with values that statements for these requests ask for."""
    yield identity
    for client in clients:
        yield replace(identity, client_id=client)
    if not requests:
        return
    for values in _asked(holder, requests[0], identity):
        filled = _with(identity, values)
        if filled is None:
            continue
        yield filled
        if len(requests) > 1:
            yield from _filled(holder, filled, requests[1:], clients if filled.client_id == SOME_CLIENT_ID else ())


def _asked(holder: Holder, request: Request, identity: Identity) -> Iterator[dict[str, str]]:
    """Values of unknown variables and keys under which an Allow could cover the request."""
    names = evaluator.Context(identity, request, holder.assumptions).actions
    yield {}
    for policy in holder.policies:
        for statement in policy.statements:
            if not statement.allow or not evaluator.covers_action(statement, names) or policy.version != VERSION:
                continue
            wanted = _from_conditions(statement.conditions)
            if any(variables.CERTIFICATE_ID in resource.arn.variables for resource in statement.resources):
                # Every certificate has one, and no two the same.
                wanted[variables.CERTIFICATE_ID] = sha256((identity.thing_name or "").encode()).hexdigest()
            if wanted:
                yield wanted
            for resource in statement.resources:
                if not resource.arn.variables:
                    continue
                values = _captured(resource.arn.whole.tokens, request.resource, identity)
                if values:
                    yield {**wanted, **values}


def _captured(tokens: Tokens, text: str, identity: Identity) -> dict[str, str] | None:
    """What stands in the place of the variables if the pattern matches, the shortest values first. Raises Undecided."""
    name = identity.thing_name
    own = (name,) if name else ()
    return _values(_put(tokens, variables.THING_NAME, own) if own else tokens, text)


def _values(tokens: Tokens, text: str) -> dict[str, str] | None:
    index = next((index for index, token in enumerate(tokens) if isinstance(token, Variable)), None)
    if index is None:
        return {} if Pattern("", tokens).matches(text) else None
    variable = tokens[index]
    assert isinstance(variable, Variable)
    # The value ends where the rest can begin, whatever the other variables are. Places in the text are bits: none is tried twice.
    starts, ends = _places(tokens[:index], text), _places(_mirrored(tokens[index + 1 :]), text[::-1])
    for start in _bits(starts):
        for end in _bits(_reversed_bits(ends, len(text)) & -(2 << start)):
            budget.spend(10 * (1 + len(tokens)))
            found = _values(_put(tokens, variable.name, (text[start:end],)), text)
            if found is not None:
                return {variable.name: text[start:end], **found}
    return None


def _put(tokens: Tokens, name: str, value: Tokens) -> Tokens:
    return pattern.joined([one for token in tokens for one in (value if token == Variable(name) else (token,))])


def _places(tokens: Tokens, text: str) -> int:
    """Where in the text these tokens can end, from its beginning; a variable is at least one character."""
    every = (2 << len(text)) - 1
    places = 1
    for token in tokens:
        if isinstance(token, str):
            following, at = 0, text.find(token)
            while at >= 0:
                following |= (places >> at & 1) << at + len(token)
                at = text.find(token, at + 1)
            places = following
        else:
            if token is not Wildcard.ANY:
                places <<= 1
            if token is not Wildcard.ONE and places:
                places = -(places & -places)
            places &= every
    return places


def _mirrored(tokens: Tokens) -> Tokens:
    return tuple(token[::-1] if isinstance(token, str) else token for token in reversed(tokens))


def _reversed_bits(places: int, length: int) -> int:
    return sum(1 << length - place for place in _bits(places))


def _bits(places: int) -> Iterator[int]:
    while places:
        yield (places & -places).bit_length() - 1
        places &= places - 1


def _from_conditions(wanted: Sequence[Condition]) -> dict[str, str]:
    values: dict[str, str] = {}
    for condition in wanted:
        operator = conditions.operator(condition.operator)
        key = variables.canonical(condition.key)
        if operator is None or operator.negated or not condition.values:
            continue
        text = condition.values[0].text
        if operator.base == conditions.NULL:
            if text.lower() == "false":
                values[key] = "x"
        elif operator.base == "IpAddress":
            values[key] = text.partition("/")[0]
        else:
            tokens = pattern.parse(text).tokens
            values[key] = "".join(token if isinstance(token, str) else "x" if token is Wildcard.ONE else "" for token in tokens)
    return values


def _with(identity: Identity, values: Mapping[str, str]) -> Identity | None:
    """The identity with these values, None if one of them is impossible."""
    for name, value in values.items():
        known = variables.known(name)
        if known is None:
            if name not in variables.CONNECT_KEYS:
                identity = replace(identity, context={**identity.context, name: value})
            continue
        if not variables.is_value(name, value):
            return None
        if name == variables.CLIENT_ID:
            if identity.client_id == SOME_CLIENT_ID:
                identity = replace(identity, client_id=value)
        elif name == variables.SOURCE_IP:
            identity = replace(identity, source_ip=value)
        elif name == variables.DOMAIN_NAME:
            identity = replace(identity, domain_name=value)
        elif name == variables.THING_TYPE:
            identity = identity if identity.thing_type else replace(identity, thing_type=value)
        elif known.kind is variables.Kind.CERTIFICATE:
            field, _ = variables.split_certificate(name)
            identity = replace(identity, certificate={**identity.certificate, field: value})
        else:
            attribute = variables.attribute_name(name)
            if attribute is not None:
                identity = replace(identity, attributes={**identity.attributes, attribute: value})
    return identity
