"""What the policies of one device allow, as languages: the statements of `evaluator`, read for all resources at once.

The device's own name, client id and thing type are known texts here. What else a policy may ask for (thing attributes, fields of
the certificate, addresses, further condition keys) is not known: an Allow that depends on it counts, a Deny does not. The
language is then an upper bound, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from itertools import chain, product, starmap

from fleetgate.iot_policy import actions, conditions, evaluator, pattern, variables
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, Tokens, find, residues
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.evaluator import Context, Identity, Request
from fleetgate.iot_policy.model import Condition, Policy, Resource, Statement, Text, split_arn
from fleetgate.iot_policy.pattern import Pattern, Token, Variable, Wildcard
from fleetgate.iot_policy.variables import Kind

#: The client id of a device that connects under an id which is neither its own name nor the other device's. No text holds it, see
#: `automaton.OTHER`.
SOME_CLIENT_ID = "\ud801"
#: Variables whose value is the name of a device, if it connects as itself.
NAME_VARIABLES = frozenset({variables.THING_NAME, variables.CLIENT_ID})


#: In the place of a resource type: the whole text of the resource counts.
ANY_KIND = "*"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the devices connect: requests carry this partition, Region and account."""

    partition: str = "aws"
    region: str = "us-east-1"
    account: str = "123456789012"

    def prefix(self, kind: str) -> str:
        return "" if kind == ANY_KIND else f"arn:{self.partition}:iot:{self.region}:{self.account}:{kind}/"

    def arn(self, kind: str, name: str) -> str:
        return self.prefix(kind) + name


@dataclass(frozen=True)
class Holder:
    """Whoever holds a certificate with these policies, in one situation. identity.client_id may be SOME_CLIENT_ID.

    coarse: a name that does not fill a level of a resource counts as an unknown value. lower: languages are lower bounds: an
    Allow that depends on what is not known does not count, a Deny does. settled: answers given for conditions.
    form, names: the same holder with marks for names, and the names; a short cut to the same languages.
    """

    policies: tuple[Policy, ...]
    identity: Identity
    scope: Scope
    assumptions: Assumptions = DEFAULT
    coarse: bool = False
    lower: bool = False
    settled: tuple[tuple[Condition, bool], ...] = ()
    form: Holder | None = field(default=None, compare=False, repr=False)
    names: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    _known: dict[tuple[str, str, bool], Grant] = field(init=False, default_factory=dict, compare=False, repr=False)

    def grant(self, action: str, kind: str, *, naming: bool = False) -> Grant:
        """The names of resources of type `kind` that `action` is allowed on.

        naming: only by an Allow whose resource names the device by a variable.
        """
        key = (action, kind, naming)
        found = self._known.get(key)
        if found is None:
            # The form answers for the same bounds only: a copy with others has to be worked out by itself.
            if self.form is not None and (self.form.lower, self.form.settled) == (self.lower, self.settled):
                found = _put(self.form.grant(action, kind, naming=naming), self.names)
            else:
                found = _grant(self, action, kind, naming=naming)
            self._known[key] = found
        return found

    def sharing(self, other: Holder) -> Holder:
        """The same holder, with what has been worked out for another that is allowed the same."""
        object.__setattr__(self, "_known", other._known)
        return self

    def granted(self, action: str, kind: str) -> Iterator[tuple[str, tuple[Tokens, ...]]]:
        """Every resource that an Allow lists for the action, with the names of resources that it covers."""
        context = _OpenContext(self, Request(action, self.scope.prefix(kind)))
        for policy in self.policies:
            known = evaluator.knows_variables(policy, self.assumptions)
            for statement in policy.statements:
                if statement.allow and not statement.negated_resources and evaluator.covers_action(statement, context.actions):
                    for resource in statement.resources:
                        globs = residues(_bound(_tokens(resource, known), context), self.scope.prefix(kind))
                        if globs:
                            yield resource.text, globs

    def open_conditions(self, action: str) -> list[Condition]:
        """The conditions of statements for the action whose answer depends on what is not known, or on attributes."""
        unknown = replace(self, identity=replace(self.identity, attributes={}, certificate={}))
        context = _OpenContext(unknown, Request(action, ""))
        return [
            _without_places(condition)
            for policy in self.policies
            for statement in policy.statements
            if evaluator.covers_action(statement, context.actions)
            for condition in statement.conditions
            if context.depends(condition, evaluator.knows_variables(policy, self.assumptions))
        ]


def _put(grant: Grant, names: tuple[tuple[str, str], ...]) -> Grant:
    """The grant with names in the place of their marks; the very same grant if none is in it."""

    def text(token: Token) -> Token:
        if isinstance(token, str):
            for mark, name in names:
                token = token.replace(mark, name)
        return token

    def globs(side: tuple[Tokens, ...]) -> tuple[Tokens, ...]:
        return tuple([tuple([text(token) for token in glob]) for glob in side])

    sides = [Side(globs(one.globs), tuple(map(globs, one.excepted))) for one in (grant.allow, grant.deny)]
    return grant if sides == [grant.allow, grant.deny] else Grant(sides[0], sides[1], grant.exact)


def asks_for_name(policies: Sequence[Policy]) -> bool:
    """Whether a condition depends on the device's name or client id."""
    return any(
        NAME_VARIABLES.intersection((variables.canonical(condition.key), *pattern.parse(value.text).variables))
        for policy in policies
        for statement in policy.statements
        for condition in statement.conditions
        for value in condition.values
    )


def _grant(holder: Holder, action: str, kind: str, *, naming: bool) -> Grant:
    context = _OpenContext(holder, Request(action, holder.scope.prefix(kind)))
    prefix = holder.scope.prefix(kind)
    allow, deny = Side(), Side()
    exact = True
    for policy in holder.policies:
        known = evaluator.knows_variables(policy, holder.assumptions)
        for statement in policy.statements:
            if not evaluator.covers_action(statement, context.actions) or (
                naming and statement.allow and statement.negated_resources
            ):
                continue
            met = _meets(statement, context, known)
            if met is False:
                continue
            side, sure = _side(statement, context, known, prefix, naming=naming and statement.allow)
            exact = exact and sure and met is True
            if met is True or statement.allow is not holder.lower:
                allow, deny = (allow | side, deny) if statement.allow else (allow, deny | side)
    return Grant(allow, deny, exact) if allow else Grant(exact=exact)


def _meets(statement: Statement, context: _OpenContext, known: bool) -> bool | None:
    """None if a condition depends on what is not known."""
    open_question = False
    for condition in statement.conditions:
        answer = context.settled.get(_without_places(condition)) if context.settled else None
        if answer is not None:
            if answer is False:
                return False
            continue
        if context.depends(condition, known):
            open_question = True
        elif not evaluator.meets(statement, condition, context, known):
            return False
    return None if open_question else True


def _side(statement: Statement, context: _OpenContext, known: bool, prefix: str, *, naming: bool) -> tuple[Side, bool]:
    """What the resources of a statement cover, an upper bound of an Allow and a lower one of a Deny, and whether that is exact.

    As in `evaluator.covers_resource`, which decides the same for one text.
    """
    globs: list[Tokens] = []
    exact = True
    widest = statement.allow is not context.lower  # whether the bound is to hold everything that may be covered
    for resource in statement.resources:
        tokens = _tokens(resource, known)
        every = [index for index in range(len(tokens)) if context.is_open(tokens, index)]
        opened = [index for index in every if not context.is_client_id_itself(tokens, index)]
        values = [token.name for index, token in enumerate(tokens) if isinstance(token, Variable) and index not in every]
        if any(context.tokens(name) is None for name in values):
            if not statement.allow and context.assumptions.deny_unresolved:
                if not statement.negated_resources:
                    globs += residues(_bound(tokens, context), prefix)
            elif statement.negated_resources or context.assumptions.unresolved_ends_statement:
                return Side(), exact
            continue
        if opened:
            exact = False
            if not widest:
                return Side(), False  # the variable may turn out to have no value, which ends the statement
            if statement.negated_resources:
                continue
        if naming and not any(isinstance(token, Variable) and token.name in NAME_VARIABLES for token in tokens):
            continue
        globs += residues(_bound(tokens, context), prefix)
    if statement.negated_resources:
        return Side(excepted=(tuple(globs),)), exact
    return Side(tuple(globs)), exact


#: Any value: an empty one counts as none.
ANY_VALUE: Tokens = (Wildcard.ONE, Wildcard.ANY)


def _bound(tokens: Tokens, context: _OpenContext) -> Tokens:
    """With any value in the place of every variable without a known one."""
    marked = tuple(_OPEN if context.is_open(tokens, index) else token for index, token in enumerate(tokens))
    bound = Pattern("", marked).bind(lambda name: context.tokens(name) or (Wildcard.ANY,) if name else ANY_VALUE)
    return bound.tokens if bound is not None else ()


_OPEN = Variable("")


def fills_level(tokens: Tokens, index: int) -> bool:
    """Whether the variable at `index` stands between two `/`, or the ends of the resource's name."""
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else "/"
    return isinstance(before, str) and before.endswith("/") and isinstance(after, str) and after.startswith("/")


class _OpenContext(Context):
    """A request about a set of resources, made by a device of which not everything is known."""

    def __init__(self, holder: Holder, request: Request) -> None:
        super().__init__(holder.identity, request, holder.assumptions)
        self.coarse = holder.coarse
        self.lower = holder.lower
        self.settled = dict(holder.settled)
        action = actions.ACTIONS.get(request.action.lower())
        self._connects = action is not None and action.name == "iot:Connect"

    def unknown(self, name: str) -> bool:
        """Whether the variable or key may have a value, and this module does not know which."""
        name = variables.canonical(name) if self.assumptions.variable_names_ignore_case else name
        known = variables.known(name)
        if known is None:
            return False
        identity = self.identity
        if known.kind is Kind.CERTIFICATE:
            return not identity.certificate
        if name == variables.CLIENT_ID:
            return identity.client_id == SOME_CLIENT_ID and self.values(name) is not None
        if name == variables.SOURCE_IP:
            return identity.source_ip is None
        if name == variables.DOMAIN_NAME:
            return identity.domain_name is None
        if name == variables.THING_TYPE:
            return identity.thing_type is None and self.is_whole_thing and not self.https
        return variables.attribute_name(name) is not None and not identity.attributes and self.is_whole_thing and not self.https

    def unknown_key(self, key: str) -> bool:
        key = variables.canonical(key)
        if key in variables.CONNECT_KEYS:
            return self._connects
        if variables.known(key) is None:
            return not any(name.lower() == key.lower() for name in self.identity.context)
        return self.unknown(key)

    def is_open(self, tokens: Tokens, index: int) -> bool:
        """Whether the token at `index` is a variable whose value is not known, or not to be looked at."""
        token = tokens[index]
        if not isinstance(token, Variable):
            return False
        known = variables.known(token.name)
        unknown = self.unknown(token.name) and not (known is not None and known.is_list)
        return unknown or (self.coarse and token.name in NAME_VARIABLES and not fills_level(tokens, index))

    def is_client_id_itself(self, tokens: Tokens, index: int) -> bool:
        """Whether it is `client/${iot:ClientId}`, asked of Connect: whatever the id is, it is the one that is asked for."""
        last = index == len(tokens) - 1 and index > 0 and tokens[index] == Variable(variables.CLIENT_ID)
        return last and self._connects and str(tokens[index - 1]).endswith("client/")

    def depends(self, condition: Condition, known: bool) -> bool:
        """Whether the answer of a condition depends on what is not known."""
        if conditions.operator(condition.operator) is None:
            return False  # cannot be evaluated, whatever the value
        names = {name for value in condition.values for name in pattern.parse(value.text).variables}
        if self.coarse and NAME_VARIABLES.intersection((variables.canonical(condition.key), *names)):
            return True
        if self.unknown_key(condition.key):
            return True
        return known and any(self.unknown(name) for name in names)


def _without_places(condition: Condition) -> Condition:
    return condition._replace(pointer="", values=tuple(Text(value.text, "") for value in condition.values))


def _tokens(resource: Resource, known: bool) -> Tokens:
    return resource.arn.whole.tokens if known else pattern.parse(resource.text, variables=False).tokens


#: Tokens of what all resources of a device ask of names, for one type of resource. Policies of AWS' size have some hundred; one
#: wildcard before the name can make hundreds of patterns of one.
MAXIMUM_TOKENS = 10_000
TOO_LARGE = "a policy has more wildcards before the names of its resources than are searched"


def are_searchable(policies: Sequence[Policy], scope: Scope, assumptions: Assumptions) -> bool:
    """Whether the languages of these policies are small enough to be built. Cheap, and asked before any is."""
    left = MAXIMUM_TOKENS
    for resource, tokens in resources(policies, assumptions):
        head = resource.text.partition("/")[0]
        if "*" not in head and "?" not in head:
            continue
        plain = pattern.joined(["x" if isinstance(token, Variable) else token for token in tokens])
        for kind in ("client", "topic", "topicfilter", "thing"):
            left -= sum(map(len, residues(plain, scope.prefix(kind))))
            if left < 0:
                return False
    return True


#: Partition, Region and account as they stand in an ARN, wildcards and all.
Place = tuple[str, str, str]
#: Tried first where a wildcard leaves a partition, a Region or an account open.
_USUAL = (
    ("aws", "aws-cn", "aws-us-gov"),
    ("us-east-1", "eu-west-1", "eu-central-1", "us-west-2", "ap-southeast-1", "cn-north-1", "us-gov-west-1"),
    ("123456789012", "111122223333"),
)
#: Patterns with wildcards for one part of an ARN, and places that are searched.
MAXIMUM_OPEN, MAXIMUM_SCOPES = 5, 32


def places(policies: Iterable[Policy]) -> set[Place]:
    """Where the resources of these policies are, as it is written; a part that is not written is `*`."""
    found: set[Place] = set()
    for resource in (one for policy in policies for statement in policy.statements for one in statement.resources):
        parts = split_arn(resource.text)
        if len(parts) < 6 and "*" in parts[-1]:
            # `arn:aws:iot:eu-*` goes on behind its Region: the last part is open from its first wildcard on.
            parts = [*parts[:-1], parts[-1].partition("*")[0] + "*", *["*"] * (6 - len(parts))]
        if len(parts) == 6 and parts[0] == "arn" and pattern.parse(parts[2], variables=False).matches("iot"):
            found.add((parts[1], parts[3], parts[4]))
    return found


def is_plain(text: str) -> bool:
    """Of a part of an ARN: whether it says one thing."""
    return bool(text) and not any(character in text for character in "*?$")


def scopes(policies: Sequence[Policy]) -> tuple[Scope, ...]:
    """The accounts and Regions that resources of these policies name, sorted; AWS's example if none does. Raises Undecided.

    Where wildcards leave a part open, one value for each set of patterns that a value can fit, and all combinations of the parts.
    A part that is left open entirely by some resources and named by others is what these name.
    """
    found = places(policies)
    if all(map(is_plain, chain.from_iterable(found))):
        return tuple(sorted({Scope(*place) for place in found}, key=astuple)) or (Scope(),)
    parts = [_values({place[index] for place in found}, usual) for index, usual in enumerate(_USUAL)]
    if math.prod(map(len, parts)) > MAXIMUM_SCOPES:
        raise Undecided(f"policies with wildcards for more than {MAXIMUM_SCOPES} accounts and Regions together")
    return tuple(sorted(starmap(Scope, product(*parts)), key=astuple))


def _parsed(text: str) -> Tokens:
    return pattern.parse(text).tokens


def _values(texts: set[str], usual: Sequence[str]) -> list[str]:
    """The plain ones, and values for every way to fit the others."""
    plain = sorted(filter(is_plain, texts))
    # A variable in this place may be anything.
    globs = {pattern.joined([Wildcard.ANY if isinstance(one, Variable) else one for one in _parsed(text)]) for text in texts}
    globs -= {(text,) for text in plain} | {(Wildcard.ANY,), ()}
    if len(globs) > MAXIMUM_OPEN:
        raise Undecided(f"more than {MAXIMUM_OPEN} patterns for one part of an ARN")
    ordered = sorted(globs, key=repr)
    for fitting in product((True, False), repeat=len(ordered)):
        if not any(fitting):
            continue
        chosen = [Requirement(Grant(Side((glob,))), fits) for glob, fits in zip(ordered, fitting, strict=True)]
        known = next((one for one in usual if one not in plain and all(each.accepts(one) for each in chosen)), None)
        others = Requirement(Grant(Side(tuple((text,) for text in plain))), False)
        known = known or find([*chosen, others], never=":/+#$*? ")
        if known is not None:
            plain.append(known)
    return plain or [usual[0]]


def resources(policies: Sequence[Policy], assumptions: Assumptions) -> list[tuple[Resource, Tokens]]:
    """Every resource with its tokens, variables still in them."""
    found = []
    for policy in policies:
        known = evaluator.knows_variables(policy, assumptions)
        for statement in policy.statements:
            found += [(resource, _tokens(resource, known)) for resource in statement.resources]
    return found
