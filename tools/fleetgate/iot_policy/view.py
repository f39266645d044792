"""What the rules ask of a policy again and again, found once: what it allows and denies, action by action.

A statement counts here by what it says, its condition aside: a rule that cares for the condition looks at it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fleetgate.iot_policy import actions, conditions, model, pattern, topics, variables
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.conditions import Operator
from fleetgate.iot_policy.pattern import Pattern, Token, Variable, Wildcard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetgate.iot_policy import automaton
    from fleetgate.iot_policy.model import Arn, Policy, Resource, Statement, Text
    from fleetgate.iot_policy.source import Pointer

CONNECT, PUBLISH, RETAIN, SUBSCRIBE, RECEIVE = (
    "iot:connect",
    "iot:publish",
    "iot:retainpublish",
    "iot:subscribe",
    "iot:receive",
)
SENDING = (PUBLISH, RETAIN)
_REACHING = frozenset((*SENDING, SUBSCRIBE))
MESSAGING = (PUBLISH, RETAIN, SUBSCRIBE, RECEIVE)
#: Names that no policy has in mind. Two, so that a pattern which happens to fit one of them is not taken for one that fits all.
STRANGERS = ("another-thing", "Q7:other_one")
#: The end of a remedy for Connect.
IF_ATTACHED = 'with "Bool": {"iot:Connection.Thing.IsAttached": "true"}'
#: Longer patterns than any topic are not compared: a policy may not make the tool slow.
LONGEST = 512
#: States that a rule looks at to answer one question; if there are more, it takes the answer for a Yes.
CAP = 2_000
#: The device whose policy it is, in witnesses.
SELF = "this-thing"


class Grant(NamedTuple):
    """One resource of one statement. For `allow` and `deny`: for one action that can use it."""

    statement: Statement
    resource: Resource
    actions: Actions


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions of one statement. names: the known ones, in small letters. by_kind: those that can use a resource of that type.

    needed: the types of which each must have one. odd: positions of those that are no action of the data plane. open: one of them
    is judged by resources nobody here knows. of_core: one of them is a Greengrass core's.
    """

    names: frozenset[str]
    by_kind: Mapping[str | None, tuple[str, ...]]
    needed: frozenset[str]
    odd: tuple[int, ...]
    open: bool
    of_core: bool


@lru_cache(maxsize=4096)
def _actions(texts: tuple[str, ...], negated: bool) -> Actions:
    found = [actions.matching(text) for text in texts]
    named = {action.name.lower() for group in found for action in group}
    names = frozenset(actions.ACTIONS.keys() - named if negated else named)
    by_kind: dict[str | None, list[str]] = {"*": sorted(names)}
    for name in sorted(names):
        for kind in actions.ACTIONS[name].resources:
            by_kind.setdefault(kind, []).append(name)
    odd = tuple(index for index, group in enumerate(found) if not group)
    unchecked = bool(odd) or any(actions.ACTIONS[name].any_resource for name in names)
    needed = frozenset(kind for name in names for kind in actions.ACTIONS[name].resources)
    of_core = any(name.startswith("greengrass:") for name in names - _CLIENTS)
    return Actions(names, {kind: tuple(group) for kind, group in by_kind.items()}, needed, odd, unchecked, of_core)


#: What a client device of a Greengrass core asks for, too.
_CLIENTS = frozenset(("greengrass:discover",))


class View:
    """What a policy says, sorted by what rules look for, so that most of them see at once that there is nothing.

    statements: each with its actions. actions: all known ones that they mean, in small letters. odd: those with an action that
    is none of the data plane. conditioned: those with a condition. complements: those with NotResource. denies. allow, deny:
    grants by action, in small letters. resources: of every statement, as `_spelt_out` reads them. texts: as they are written.
    text: the same, a line each. mqtt: those with `+` or `#`. broken: those that are no ARN, or of nothing. unusable: of a type
    that no action beside it can use. places: the first of each partition, service, Region and account.
    """

    __slots__ = (
        "_names",
        "_open_ended",
        "_several",
        "actions",
        "allow",
        "broken",
        "complements",
        "conditioned",
        "denies",
        "deny",
        "mqtt",
        "odd",
        "places",
        "resources",
        "statements",
        "text",
        "texts",
        "unusable",
    )

    def __init__(self, policy: Policy) -> None:
        self.statements = statements = [(one, known(one)) for one in policy.statements]
        self.odd = [(one, its) for one, its in statements if its.odd]
        self.actions = frozenset().union(*[its.names for _, its in statements])
        self.complements = [one for one, _ in statements if one.negated_resources]
        self.conditioned = [one for one, _ in statements if one.conditions]
        self.denies = [one for one, _ in statements if not one.allow]
        self.resources: list[Grant] = []
        self.allow: defaultdict[str, list[Grant]] = defaultdict(list)
        self.deny: defaultdict[str, list[Grant]] = defaultdict(list)
        self.broken: list[Grant] = []
        self.unusable: list[Grant] = []
        self.places: dict[tuple[str, str, str, str], Grant] = {}
        self._names: frozenset[str] | None = None
        self._several: frozenset[Pointer] | None = None
        self._open_ended: list[tuple[str, Grant]] | None = None
        self._sort()
        self.texts = [resource.text for _, resource, _ in self.resources]
        self.text = "\n".join(self.texts)
        self.mqtt = self._with("+") + self._with("#", "+") if "+" in self.text or "#" in self.text else []

    def _sort(self) -> None:
        resources, places = self.resources, self.places
        for statement, its in self.statements:
            table = self.allow if statement.allow else self.deny
            by_kind, negated = its.by_kind, statement.negated_resources
            for given in statement.resources:
                for resource in (given,) if given.arn.is_plain else _spelt_out(given, its):
                    arn = resource.arn
                    grant = Grant(statement, resource, its)
                    resources.append(grant)
                    if not arn.is_plain and (arn.problem is not None or (arn.name is not None and not arn.name.text)):
                        self.broken.append(grant)
                    elif arn.place not in places:
                        places[arn.place] = grant
                    names = by_kind.get(arn.kind)
                    if names is None:
                        self.unusable.append(grant)
                    elif not negated:
                        for name in names:
                            table[name].append(grant)
        # Rules ask whether an action is in them: from here on nothing gets in by being asked for.
        self.allow.default_factory = self.deny.default_factory = None

    def _with(self, mark: str, other: str | None = None) -> list[Grant]:
        """The resources with `mark` in them, and without `other`."""
        if mark not in self.text:
            return []
        return [grant for grant in self.resources if mark in grant.resource.text and not (other and other in grant.resource.text)]

    @property
    def variable(self) -> list[Grant]:
        """Those with a variable, or an escape."""
        return self._with("${")

    @property
    def names(self) -> frozenset[str]:
        """The variables in resources and in the values of conditions, as written."""
        if self._names is None:
            found = {name for names in {one.arn.variables for _, one, _ in self.resources} for name in names}
            for statement in self.conditioned:
                for condition in statement.conditions:
                    for value in condition.values:
                        if "${" in value.text:
                            found.update(pattern.parse(value.text).variables)
            self._names = frozenset(found)
        return self._names

    @property
    def several(self) -> frozenset[Pointer]:
        """Where one resource stands in `resources` as several."""
        if self._several is None:
            counted = Counter(grant.resource.pointer for grant in self.resources)
            self._several = frozenset(pointer for pointer, times in counted.items() if times > 1)
        return self._several

    @property
    def whole_levels(self) -> bool:
        """Whether every variable stands between slashes; certain if True."""
        return all(map(_has_whole_levels, self.texts))

    @property
    def open_ended(self) -> list[tuple[str, Grant]]:
        """Grants to publish or subscribe that may start with a wildcard or be of AWS' own topics, each once, with its action."""
        if self._open_ended is None:
            self._open_ended = list(self._find_open_ended())
        return self._open_ended

    def _find_open_ended(self) -> Iterator[tuple[str, Grant]]:
        for grant in self.where(_may_be_open_ended):
            arn = grant.resource.arn
            if arn.name is not None and grant.statement.allow and not grant.statement.negated_resources:
                for name in grant.actions.by_kind.get(arn.kind, ()):
                    if name in _REACHING:
                        yield name, grant
                        break

    def where(self, may: Callable[[str], bool]) -> list[Grant]:
        """The resources whose text may matter to a rule. may: kept by the text, so that most policies are passed over at once."""
        if not any(map(may, self.texts)):
            return []
        return [grant for grant in self.resources if may(grant.resource.text)]

    def allowed(self, *names: str) -> Iterator[tuple[str, Grant]]:
        """Every grant of these actions, with the action."""
        if self.allow.keys().isdisjoint(names):
            return
        for name in names:
            for grant in self.allow.get(name, ()):
                yield name, grant


@lru_cache(maxsize=4096)
def _has_whole_levels(text: str) -> bool:
    return text.count("/${") == text.count("${") and text.count("}/") + text.endswith("}") == text.count("}")


@lru_cache(maxsize=4096)
def name_in(text: str) -> str | None:
    """The name in an ARN as rules see it; None if there is none, if its type is open, or if `_spelt_out` may change it."""
    arn = model.arn(text)
    return None if arn.kind == "*" or arn.name is None or "${$}" in text else arn.name.text


#: What ends the text that a name certainly begins with.
WILD_OR_VARIABLE = re.compile(r"[*?]|\$\{")


@lru_cache(maxsize=4096)
def _may_be_open_ended(text: str) -> bool:
    if not any(mark in text for mark in "*?+#"):
        return False
    name = name_in(text)
    return name is None or (name.startswith(("$", "*", "?", "#", "+")) and not name.startswith("$aws/things/$"))


def _spelt_out(resource: Resource, known: Actions) -> tuple[Resource, ...]:
    """A resource as rules read it, which look at texts, too: `${$}` as the dollar sign that it is; a type with a wildcard, as in
    `th*/press-*`, as every type that the actions know and that it can stand for. One that is all of every type stays."""
    from fleetgate.iot_policy import automaton

    arn = resource.arn
    if arn.kind != "*":
        if arn.name is None or not arn.knows_variables or "${$}" not in arn.text:
            return (resource,)
        return (resource._replace(arn=arn._replace(name=Pattern(_DOLLAR.sub("$", arn.name.text), arn.name.tokens))),)
    kinds = [kind for kind in known.by_kind if kind not in (None, "*")] if len(arn.text) <= LONGEST else []
    try:
        found = {kind: automaton.residues(arn.whole.tokens, f"{_start(arn)}:{kind}/") for kind in kinds}
    except ValueError:  # a variable may stand for the type
        return (resource,)
    if all((Wildcard.ANY,) in rests for rests in found.values()):
        return (resource,)
    return tuple(
        resource._replace(arn=arn._replace(kind=kind, name=_of_tokens(rest)))
        for kind, rests in found.items()
        for rest in (((Wildcard.ANY,),) if (Wildcard.ANY,) in rests else rests)
        if kind not in _OF_ONE_LEVEL or not any(isinstance(token, str) and "/" in token for token in rest)
    )


#: The types whose names, but for few client ids, hold no slash.
_OF_ONE_LEVEL = ("client", "rolealias")


#: Before these two it would seem to be something else.
_DOLLAR = re.compile(r"\$\{\$\}(?![${])")


def known(statement: Statement) -> Actions:
    """What a statement's actions are."""
    named = statement.actions
    texts = (named[0].text,) if len(named) == 1 else tuple([text.text for text in named])
    return _actions(texts, statement.negated_actions)


def allowed(policies: Sequence[Policy], *names: str) -> Iterator[tuple[int, str, Grant]]:
    """Every grant of these actions in a bundle: which of its policies, the action, the grant."""
    for index, policy in enumerate(policies):
        allow = policy.view.allow
        for name in names if not allow.keys().isdisjoint(names) else ():
            for grant in allow.get(name, ()):
                yield index, name, grant


@lru_cache(maxsize=1024)
def kinds(names: frozenset[str] | tuple[str, ...]) -> frozenset[variables.Kind]:
    """Where the values of variables of these names come from, as far as they are known."""
    found = (variables.known(variables.canonical(name)) for name in names)
    return frozenset(one.kind for one in found if one is not None)


@lru_cache(maxsize=4096)
def identity(name: str, client_id: str | None = None) -> Mapping[str, str]:
    """What the variables stand for when this device connects."""
    return {variables.THING_NAME: name, variables.CLIENT_ID: client_id or name}


def bound(wanted: Pattern, values: Mapping[str, str]) -> Pattern:
    """The pattern with these values in it; every other variable stands for a text of its own."""

    def tokens(name: str) -> tuple[Token, ...]:
        right = variables.canonical(name)
        return (values.get(right) or f"value-of-{right.rpartition('.')[2]}",)

    found = wanted.bind(tokens)
    assert found is not None
    return found


def owned_by(wanted: Pattern, name: str) -> Pattern:
    """The pattern for a device of this name: whichever variable says who the owner is, says this."""
    return Pattern(
        wanted.text,
        pattern.joined(
            [(name if owner(token) else "shared") if isinstance(token, Variable) else token for token in wanted.tokens]
        ),
    )


def target(resource: Resource, kind: str, name: str) -> tuple[Pattern, str] | None:
    """The part of a resource that `kind/name` is compared with, and the text for that. None if it is of another type."""
    arn = resource.arn
    if arn.kind == kind and arn.name is not None:
        return arn.name, name
    if arn.kind != "*" or arn.problem is not None:
        return None
    return arn.whole, f"{_start(arn)}:{kind}/{name}"


def _start(arn: Arn) -> str:
    """The start of an ARN that this one can be, up to the account."""
    given = ((arn.partition, "aws"), ("iot", ""), (arn.region, "eu-central-1"), (arn.account, "111122223333"))
    return ":".join(["arn", *(part if part and not _wild(part) else usual for part, usual in given)])


def reaches(resource: Resource, kind: str, name: str, values: Mapping[str, str]) -> bool:
    """Whether a resource describes `kind/name`, for the device whose variables have these values."""
    found = target(resource, kind, name)
    return found is not None and bound(found[0], values).matches(found[1])


def covers(statement: Statement, kind: str, name: str, values: Mapping[str, str]) -> bool:
    """Whether a statement speaks of `kind/name`: one of its resources describes it, or, with NotResource, none does."""
    return any(reaches(resource, kind, name, values) for resource in statement.resources) is not statement.negated_resources


def example(wanted: Pattern, values: Mapping[str, str], any_text: str = "x") -> str:
    """One text that the pattern describes."""
    return "".join(
        token if isinstance(token, str) else any_text if token is Wildcard.ANY else any_text[0]
        for token in bound(wanted, values).tokens
    )


def name_of(resource: Resource) -> Pattern | None:
    """The name of a resource of one type; None of one whose type is a wildcard, or that is no ARN."""
    return resource.arn.name if resource.arn.kind != "*" else None


def overlap(one: Pattern, other: Pattern) -> bool:
    """Whether a text can be described by both, if a variable may stand for anything. So a No is certain."""
    left, right = _characters(one), _characters(other)
    if len(left) > LONGEST or len(right) > LONGEST:
        return True
    reached = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        i, j = waiting.pop()
        if i == len(left) and j == len(right):
            return True
        for step in _steps(left, i, right, j):
            if step not in reached:
                reached.add(step)
                waiting.append(step)
    return False


def _steps(left: Sequence[str | None], i: int, right: Sequence[str | None], j: int) -> Iterator[tuple[int, int]]:
    """None stands for any run of characters, "" for exactly one."""
    a = left[i] if i < len(left) else "end"
    b = right[j] if j < len(right) else "end"
    if a is None:
        yield i + 1, j
        if b != "end":
            yield i, j + 1
    if b is None:
        yield i, j + 1
        if a != "end":
            yield i + 1, j
    if a is not None and b is not None and a != "end" and b != "end" and (a == b or not a or not b):
        yield i + 1, j + 1


@lru_cache(maxsize=1024)
def _characters(wanted: Pattern) -> tuple[str | None, ...]:
    found: list[str | None] = []
    for token in wanted.tokens:
        if isinstance(token, str):
            found += token
        else:
            found.append("" if token is Wildcard.ONE else None)
    return tuple(found)


def describes(resource: Resource, kind: str, text: Sequence[Token], values: Mapping[str, str]) -> str | None:
    """A name of that type which a resource describes and the pattern `text` does, too. If that cannot be told, some name."""
    from fleetgate.iot_policy import automaton  # only a policy with something to ask pays for it

    found = globs(resource, kind, values)
    return first(automaton.Grant(automaton.Side((tuple(text),))), automaton.Grant(automaton.Side(found)), text) if found else None


def first(one: automaton.Grant, other: automaton.Grant, otherwise: Sequence[Token], *, both: bool = True) -> str | None:
    """A shortest text that is in both languages, None if there is none; some text of `otherwise` if that cannot be told.

    both: False for one that is in the first and not in the other.
    """
    from fleetgate.iot_policy import automaton

    try:
        return automaton.find([automaton.Requirement(one), automaton.Requirement(other, both)], cap=CAP)
    except Undecided:
        return one_text(otherwise)


def one_text(text: Sequence[Token]) -> str:
    """One text of a pattern without variables."""
    return "".join(token if isinstance(token, str) else "x" for token in text if token is not Wildcard.ANY)


def globs(resource: Resource, kind: str, values: Mapping[str, str]) -> tuple[tuple[Token, ...], ...]:
    """What a resource asks of the name behind `kind/`: several patterns, of which it matches one."""
    found = target(resource, kind, "")
    if found is None:
        return ()
    tokens = bound(found[0], values).tokens
    if not found[1]:
        return (tokens,)
    from fleetgate.iot_policy import automaton

    return automaton.residues(tokens, found[1])


def language(
    policy: Policy,
    action: str,
    kind: str,
    values: Mapping[str, str],
    chosen: Sequence[Grant] | None = None,
    meant: Statement | None = None,
) -> automaton.Grant:
    """The names that a policy allows to an action, or these grants of it, less those that it certainly denies.

    meant: a Deny that counts whatever its condition is, and so do others under the same condition.
    """
    from fleetgate.iot_policy import automaton

    certain = [one for one in policy.view.denies if action in known(one).names and _counts(one, meant)]
    denied = [item for one in certain if not one.negated_resources for item in one.resources]
    # Of a variable without a value nobody knows whether the Deny holds.
    excepted = [
        one.resources for one in certain if one.negated_resources and not any("${" in item.text for item in one.resources)
    ]
    allowed = [grant.resource for grant in (policy.view.allow.get(action, ()) if chosen is None else chosen)]

    def side(resources: Iterable[Resource]) -> tuple[tuple[Token, ...], ...]:
        short = (resource for resource in resources if len(resource.text) <= LONGEST)  # of the others no topic is one
        return tuple(glob for resource in short for glob in globs(resource, kind, values))

    deny = automaton.Side(side(denied), tuple(side(resources) for resources in excepted))
    return automaton.Grant(automaton.Side(side(allowed)), deny)


def _counts(deny: Statement, meant: Statement | None) -> bool:
    return not deny.conditions or (meant is not None and same_conditions(deny, meant))


def same_conditions(one: Statement, other: Statement) -> bool:
    return _conditions(one) == _conditions(other)


def _conditions(statement: Statement) -> list[tuple[str, ...]]:
    return [(one.operator, one.key, *[value.text for value in one.values]) for one in statement.conditions]


def shared(name: Pattern) -> tuple[Pattern, Pattern] | None:
    """Of a filter `$share/<group>/<filter>` the group and the filter; one wildcard may stand for both."""
    first, *rest = name.tokens or ("",)
    if not isinstance(first, str) or not first.startswith(topics.SHARE):
        return None
    tokens = [first.removeprefix(topics.SHARE), *rest]
    at = next((index for index, token in enumerate(tokens) if isinstance(token, str) and "/" in token), None)
    if at is None:
        return _of_tokens(tokens), _of_tokens(tokens[-1:])
    group, _, inner = str(tokens[at]).partition("/")
    return _of_tokens([*tokens[:at], group]), _of_tokens([inner, *tokens[at + 1 :]])


def _of_tokens(tokens: Sequence[Token]) -> Pattern:
    found = pattern.joined(list(tokens))
    return Pattern(pattern.spelt(found), found)


def as_topics(name: Pattern, *, filled: bool = False) -> Pattern:
    """A filter's pattern as a pattern of the topics it can match, and perhaps of more: `+` and `#` as `*`. filled: as `?*`."""
    found = shared(name)
    tokens: list[Token] = []
    for token in (found[1] if found is not None else name).tokens:
        for part in re.split("([+#])", token) if isinstance(token, str) else (token,):
            tokens += [Wildcard.ONE] * filled + [Wildcard.ANY] if part in ("+", "#") else [part]
    return _of_tokens(tokens)


def owner(token: Token) -> bool:
    """Whether a variable names one device: its thing, its client id, something in its certificate, an attribute."""
    if not isinstance(token, Variable):
        return False
    found = variables.known(variables.canonical(token.name))
    return found is not None and found.name not in _SHARED


def owned(name: Pattern) -> bool:
    """Whether one of its variables names one device."""
    return _owned(name.variables)


@lru_cache(maxsize=1024)
def _owned(names: tuple[str, ...]) -> bool:
    return any(owner(Variable(name)) for name in names)


#: How the variables of a role's session start, which are IAM's.
OF_A_ROLE = ("credentials-iot:", "cognito-identity", "accounts.google.com:", "graph.facebook.com:", "www.amazon.com:")
_SHARED = (variables.THING_TYPE, variables.SOURCE_IP, variables.DOMAIN_NAME, variables.IS_ATTACHED)


def _wild(text: str) -> bool:
    return "*" in text or "?" in text or "${" in text


def conditioned(statement: Statement, key: str) -> Iterator[tuple[Operator, tuple[str, ...]]]:
    """The conditions of a statement on one key, whatever its case, that can be read."""
    for condition in statement.conditions:
        if variables.canonical(condition.key) == key and (found := conditions.operator(condition.operator)) is not None:
            yield found, tuple(value.text for value in condition.values)


def _demands(found: Operator) -> bool:
    """Whether a key that is missing fails it."""
    return not found.negated and not found.if_exists and found.quantifier != conditions.FOR_ALL and found.base != conditions.NULL


def attached_only(statement: Statement, *, as_client: bool = False) -> bool:
    """Whether it holds only for a certificate that is attached to a thing: it asks for what a thing has.

    as_client: and only under that thing's name as client id. An exclusive attachment has its ThingName under any.
    """
    for condition in statement.conditions:
        found = _attached(condition.operator, condition.key, condition.values, as_client)
        if found is not None:
            return found
    return False


@lru_cache(maxsize=1024)
def _attached(operator: str, key: str, values: tuple[Text, ...], as_client: bool) -> bool | None:
    """What one condition says of that; None if nothing."""
    found, key = conditions.operator(operator), variables.canonical(key)
    if found is None or not values or not _demands(found):
        return None
    if key == variables.IS_ATTACHED:
        return {value.text.lower() for value in values} == {"true"}
    about = variables.known(key)
    if about is None or about.kind is not variables.Kind.THING:
        return None
    if as_client and key == variables.THING_NAME and not all(_is_client(value.text) for value in values):
        return None
    return True


def _is_client(text: str) -> bool:
    tokens = pattern.parse(text).tokens
    return len(tokens) == 1 and chosen(tokens[0])


def demanded(statement: Statement) -> frozenset[str]:
    """The keys without a value of which a condition fails."""
    asked = ((conditions.operator(one.operator), variables.canonical(one.key)) for one in statement.conditions)
    return frozenset(key for found, key in asked if found is not None and _demands(found))


def any_name(resource: Resource, kind: str) -> str | None:
    """A name of this type, if the resource describes those that nobody has in mind: both strangers, or some that begin like each.

    So `*-gw` is any name: whoever may choose takes one that ends so, and `????` is, too. `press-*` is not.
    """
    if all(reaches(resource, kind, name, identity(SELF, name)) for name in STRANGERS):
        return STRANGERS[0]
    tokens = resource.arn.name.tokens if resource.arn.name is not None else ()
    if tokens and resource.arn.kind == kind and all(isinstance(token, Wildcard) for token in tokens):
        return "x" * tokens.count(Wildcard.ONE)  # any name of this length
    if not tokens or not isinstance(tokens[0], Wildcard) or any(owner(token) and not chosen(token) for token in tokens):
        return None
    found = [describes(resource, kind, (name, Wildcard.ANY), identity(SELF, name)) for name in STRANGERS]
    return found[0] if None not in found else None


def chosen(token: Token) -> bool:
    """Whether it is the client id, which a device may choose."""
    return isinstance(token, Variable) and variables.canonical(token.name) == variables.CLIENT_ID


def any_client(resource: Resource) -> bool:
    """Whether a resource lets a device connect under whatever client id it likes."""
    return any_name(resource, "client") is not None


def pinned(statement: Statement, resource: Resource) -> bool:
    """Whether an Allow of Connect leaves a device no choice of its client id."""
    if attached_only(statement, as_client=True):
        return True
    for found, values in conditioned(statement, variables.CLIENT_ID):
        if _demands(found) and all(_definite(pattern.parse(value)) for value in values):
            return True
    return resource.arn.kind == "client" and resource.arn.name is not None and _definite(resource.arn.name)


def _definite(wanted: Pattern) -> bool:
    return not any(isinstance(token, Wildcard) or chosen(token) for token in wanted.tokens)


def stranger(policy: Policy) -> str:
    """A name that no pattern of the policy spells, not even in part."""
    rare = next((one for one in "Zqxjkvw9Y0" if one not in policy.view.text), "_")
    return f"{rare}{'-' * 3}{rare * 7}"


def guarded(policies: Sequence[Policy]) -> bool:
    """Whether a Deny keeps everybody out who does not connect as the thing that the certificate is attached to.

    Of an exclusive attachment under another client id AWS does not say that IsAttached is false: B13.
    """
    return any(_guards(statement) for policy in policies for statement in policy.view.denies)


def _guards(statement: Statement) -> bool:
    if CONNECT not in known(statement).names:
        return False
    if statement.negated_resources:
        return False  # with a variable in it that has no value for a stranger, nobody knows whether it denies him anything
    everybody = any((Wildcard.ANY,) in globs(resource, "client", {}) for resource in statement.resources)
    if not everybody or len(statement.conditions) != 1:
        return False
    for found, values in conditioned(statement, variables.IS_ATTACHED):
        # Of these operators alone it is certain that they read the value so, and StringEquals minds its case.
        plain = found.base in ("Bool", "StringEquals", "StringNotEquals") and found.quantifier is None
        wanted = {value.lower() if found.base == "Bool" else value for value in values}
        return plain and wanted == ({"true"} if found.negated else {"false"})
    return False


def is_thing(name: str) -> bool:
    """Whether a variable of this name has a value only for who is attached to a thing."""
    found = variables.known(variables.canonical(name))
    return found is not None and found.kind is variables.Kind.THING


def is_thing_name(wanted: Pattern) -> bool:
    """Whether it is `${iot:Connection.Thing.ThingName}` and nothing else."""
    [token] = wanted.tokens if len(wanted.tokens) == 1 else [None]
    return isinstance(token, Variable) and variables.canonical(token.name) == variables.THING_NAME


def greengrass(policy: Policy) -> bool:
    """Whether it is a Greengrass core's. A core connects as its thing with suffixes, and AWS asks for a wildcard there."""
    for statement, known in policy.view.statements:
        if known.of_core and statement.allow:
            return True
    if "/greengrass" not in policy.view.text:
        return False
    names = [one.arn.name for statement, one, _ in policy.view.resources if statement.allow and "/greengrass" in one.text]
    return any(name is not None and name.text.startswith("$") and not name.text.startswith("${") for name in names)


def of_core(policy: Policy, resource: Resource) -> bool:
    """Whether a resource is what AWS asks for a Greengrass core: its name with a `*` behind it, as client id or as thing.

    `client/core*`, `thing/core*` and `$aws/things/core*/...` are of one core, so where the policy lets it connect, as this name.
    """
    name = resource.arn.name
    core = _core(name, resource.arn.kind) if name is not None else None
    if core is None or not greengrass(policy):
        return False
    clients = [grant.resource.arn.name for grant in policy.view.allow.get(CONNECT, ())]
    names = {one.text.removesuffix("*") for one in clients if one is not None}
    return resource.arn.kind == "client" or not names or core in names


def _core(name: Pattern, kind: str | None) -> str | None:
    """The text before the `*` behind a name."""
    things = "$aws/things/"
    head, star, tail = name.text.partition("*")
    below = kind in ("topic", "topicfilter")
    if not star or below is not head.startswith(things) or (tail and not (below and tail.startswith("/"))):
        return None
    core = head.removeprefix(things)
    plain = "?" not in core and "/" not in core and "${" not in core
    return core if core and (plain or is_thing_name(pattern.parse(core))) else None


def provisions(policy: Policy) -> bool:
    """Whether it asks for certificates, as a claim's does."""
    if "aws/certificates/" not in policy.view.text and "aws/provisioning-template" not in policy.view.text:
        return False
    names = (grant.resource.arn.name for _, grant in policy.view.allowed(*MESSAGING))
    return any(name is not None and name.text.startswith(PROVISIONING) for name in names)


#: How the topics of a claim start, R08's typo among them.
PROVISIONING = ("$aws/certificates/", "$aws/provisioning-template")


def place(resource: Resource) -> str:
    """`arn:aws:iot:<region>:<account>` of a resource, for a remedy."""
    arn = resource.arn
    return (
        f"arn:{arn.partition}:iot:{arn.region}:{arn.account}" if arn.kind not in (None, "*") else "arn:aws:iot:<region>:<account>"
    )
