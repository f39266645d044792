"""From all names of two devices to a few: pairs of names that stand for every pair.

A policy compares a name with a whole level of a topic (`dt/${iot:Connection.Thing.ThingName}/x`). Two names that every other
pattern for that level treats alike are then interchangeable: take a topic with the one, put the other in its place, and every
policy decides as before. So one name of each class, two where both devices may be of one class, stand for all. docs/isolation.md
has the proof, and what is done where a variable does not fill its level.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count, islice

from fleetgate.iot_policy import conditions, pattern, variables
from fleetgate.iot_policy.assumptions import Assumptions
from fleetgate.iot_policy.automaton import Nfa, Tokens, residues
from fleetgate.iot_policy.grants import ANY_VALUE, NAME_VARIABLES, Scope, resources
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.pattern import Token, Variable, Wildcard

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#: Classes that are looked for; a policy has a handful.
MAXIMUM_STATES = 4_000
MAXIMUM_CLASSES = 64
#: Tokens of all components of a type. A policy of AWS' size has some hundred; `*a*a*a...` cuts into each run of each other.
MAXIMUM_TOKENS = 4_000
#: [botocore ThingName]
MAXIMUM_NAME = 128


@dataclass(frozen=True)
class NameSpace:
    """The names that things of a type can have: `<prefix><serial>`.

    serial: a regular expression for the whole serial, None if any text of letters, digits, `_` and `-` will do. samples: serials
    that it is known to match. colons: `:` may stand in a name, too [botocore ThingName].
    """

    prefix: str = ""
    serial: str | None = None
    samples: tuple[str, ...] = ()
    colons: bool = True

    @cached_property
    def alphabet(self) -> str:
        return _LETTERS + ":" if self.colons else _LETTERS

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        serial = f"[{re.escape(self.alphabet)}]{{1,128}}" if self.serial is None else f"(?:{self.serial})"
        return re.compile(re.escape(self.prefix) + serial, re.ASCII)

    def holds(self, name: str) -> bool:
        """Whether a thing can have this name."""
        return (
            len(name) <= MAXIMUM_NAME
            and set(name) <= {*self.alphabet, *self.prefix}
            and self._expression.fullmatch(name) is not None
        )

    @cached_property
    def examples(self) -> tuple[str, ...]:
        """Some names, the most telling first. There may be more than are found: see `two`."""
        found = [self.prefix + serial for sample in self.samples for serial in (sample, *_changed(sample, "1A2b0a"))]
        found += [self.prefix + name for name in ("thing-a", "thing-b", "a", "b", "0", "1")]
        names = tuple(dict.fromkeys(name for name in found if self.holds(name)))[:64]
        return names if len(names) > 1 else (*names, *self._further(names))

    def _further(self, found: Collection[str]) -> Iterator[str]:
        """Another name, of an expression that takes none of the usual ones: every character at every place, and its own words."""
        words = re.findall(f"[{re.escape(self.alphabet)}]+", self.serial or "")
        tried = (*(serial for sample in self.samples for serial in _changed(sample, self.alphabet)), *words)
        yield from islice((name for name in map(self.prefix.__add__, tried) if name not in found and self.holds(name)), 1)

    def two(self, avoid: Collection[str] = ()) -> tuple[str, ...]:
        """Two names; one only if it is certain that there is no other.

        Where a second one is not found, it is a text for which `holds` is False, and none of `avoid`, which are texts that
        something compares names with: no flow for it proves that there is none, a flow for it proves nothing.
        """
        found = self.examples[:2]
        if len(found) > 1 or (self.serial is not None and re.fullmatch("[A-Za-z0-9_:-]*", self.serial)):
            return found
        made = (f"{self.prefix}{first}{number}" for number in count() for first in ("other", "Other-", "0_"))
        return (*found, next(name for name in made if name not in (*found, *avoid) and not self.holds(name)))

    @property
    def first(self) -> str:
        return self.examples[0]

    @property
    def second(self) -> str:
        return self.examples[1] if len(self.examples) > 1 else self.examples[0]


def _changed(serial: str, characters: str) -> Iterator[str]:
    for place in reversed(range(len(serial))):
        for character in characters:
            if character != serial[place]:
                yield serial[:place] + character + serial[place + 1 :]


@dataclass(frozen=True, slots=True)
class Component:
    """What stands between two `/` of a resource's name.

    kind: topic (of filters, too), client or thing. levels: what stands before, None for a level that can be anything. begun: how
    the next level begins. loose: anything can stand between all that and the component. variable: a device's name is part of it.
    """

    tokens: Tokens
    kind: str
    levels: tuple[str | None, ...]
    begun: str
    loose: bool
    variable: bool

    @property
    def place(self) -> tuple[str, int, str | None]:
        """Equal or, in its last part, None for components that can be compared with the same level."""
        return (self.kind, len(self.levels), self.levels[0] if self.levels else "")

    @property
    def around(self) -> tuple[str, str] | None:
        """The texts on both sides of a name that is all there is besides, None of another component with a name."""
        if not self.variable:
            return None
        before = self.tokens[0] if isinstance(self.tokens[0], str) else ""
        after = self.tokens[-1] if isinstance(self.tokens[-1], str) and len(self.tokens) > 1 else ""
        return (before, after) if len(self.tokens) == 1 + bool(before) + bool(after) else None


@dataclass(frozen=True)
class Shape:
    """Where the policies of a type look at levels. names: components with a name in them; others: those that matter besides.

    keys: what conditions compare the name with. odd: something whose dependence on the name is not understood: a condition, a
    variable outside of a resource's name, or more wildcards than are looked at.
    """

    names: tuple[Component, ...]
    others: tuple[Component, ...]
    keys: tuple[Tokens, ...] = ()
    odd: bool = False


_KINDS = {"client": "client", "topic": "topic", "topicfilter": "topic", "thing": "thing"}
_NAME: Tokens = (Variable(variables.THING_NAME),)
#: Below which AWS reserves topics for one thing or client [reserved topics; commands].
RESERVED = ("$aws/things/", "$aws/commands/things/", "$aws/commands/clients/")
#: What is asked of every pair: to connect as the other, its shadow and jobs, and what else is reserved for it.
_ALWAYS = (("client", _NAME), ("thing", _NAME), *(("topic", (branch, *_NAME, "/")) for branch in RESERVED))


def shape(
    policies: Sequence[Policy], scope: Scope, assumptions: Assumptions, topics: Iterable[Tokens] = (), *, coarse: bool = False
) -> Shape:
    """topics: further patterns that are compared with topics, the name in them as a variable."""
    names: dict[Component, None] = {}
    others: dict[Component, None] = {}
    keys: dict[Tokens, None] = {}
    odd = False
    residue: list[tuple[str, Tokens]] = [*_ALWAYS, *(("topic", tokens) for tokens in topics)]
    for resource, tokens in resources(policies, assumptions):
        try:
            wanted = (
                (resource.arn.kind,) if resource.arn.kind in _KINDS else () if resource.arn.kind not in (None, "*") else _KINDS
            )
            residue += ((kind, rest) for kind in wanted for rest in residues(tokens, scope.prefix(kind)))
        except ValueError:  # a variable in the first parts of an ARN
            odd = True
    left = MAXIMUM_TOKENS
    for component in (found for kind, tokens in residue for found in _components(kind, tokens, coarse)):
        (names if component.variable else others)[component] = None
        left -= len(component.tokens)
        if left < 0:
            odd = True
            break
    for policy in policies:
        for statement in policy.statements:
            for condition in statement.conditions:
                for value in condition.values:
                    if coarse:
                        continue
                    glob, strange = _compared(condition.key, condition.operator, value.text)
                    odd = odd or strange
                    keys.update(dict.fromkeys(glob))
    return Shape(tuple(names), tuple(others), tuple(keys), odd)


def _compared(key: str, operator: str, text: str) -> tuple[tuple[Tokens, ...], bool]:
    """What a condition's value asks of the device's name, as patterns, and whether it asks for something else."""
    found = conditions.operator(operator)
    tokens = pattern.parse(text).tokens
    asks = variables.canonical(key) in NAME_VARIABLES
    names = [token for token in tokens if isinstance(token, Variable) and token.name in NAME_VARIABLES]
    if found is None or not (asks or names):
        return (), False
    if asks and not any(isinstance(token, Variable) for token in tokens):
        if found.base in ("StringLike", "StringNotLike"):
            return (tokens,), False
        if found.base in ("StringEquals", "StringNotEquals"):
            return ((text,),), False
        return (), found.base != conditions.NULL
    # `iot:ClientId` like `${iot:Connection.Thing.ThingName}`: the same for every name.
    return (), not (asks and len(tokens) == 1)


def _components(kind: str, tokens: Tokens, coarse: bool) -> Iterator[Component]:
    levels: tuple[str | None, ...] = ()
    loose = False
    current: list[Token] = []
    for token in (*tokens, "/"):
        if not isinstance(token, str):
            named = isinstance(token, Variable) and token.name in NAME_VARIABLES
            current += (token,) if named or not isinstance(token, Variable) else ANY_VALUE
            continue
        *complete, rest = token.split("/")
        for text in complete:
            if text:
                current.append(text)
            yield from _cut(tuple(current), _KINDS[kind], levels, loose, coarse)
            if not loose:
                if any(isinstance(one, Wildcard) for one in current) or (coarse and len(current) > 1):
                    loose = True
                elif (kind == "topicfilter" and current == ["+"]) or any(isinstance(one, Variable) for one in current):
                    levels = (*levels, None)
                else:
                    levels = (*levels, "".join(map(str, current)))
                if kind == "topicfilter" and levels[:1] in ((), ("$share",)) and (loose or len(levels) == 2):
                    levels = ()  # what follows `$share/<group>/` is compared with the topic's levels from the first
            current = []
        if rest:
            current.append(rest)


def _cut(tokens: Tokens, kind: str, levels: tuple[str | None, ...], loose: bool, coarse: bool) -> Iterator[Component]:
    """The component, and the parts of it that a level can be compared with after a wildcard has swallowed a `/`."""
    named = any(isinstance(token, Variable) for token in tokens)
    if named and coarse and len(tokens) > 1:
        tokens = tuple(part for token in tokens for part in (ANY_VALUE if isinstance(token, Variable) else (token,)))
        named = False
    wild = any(isinstance(token, Wildcard) for token in tokens)
    if named or not wild:
        if tokens:
            yield Component(tokens, kind, levels, "", loose, named)
        if wild:
            yield Component(tokens, kind, levels, "", True, named)
        return
    begun = tokens[0] if isinstance(tokens[0], str) and not loose else ""
    starts = [(0, "", loose)]
    ends = [len(tokens)]
    for index, token in enumerate(tokens):
        if isinstance(token, Wildcard):
            starts.append((index + (token is Wildcard.ONE), begun, True))
            ends.append(index + (token is Wildcard.ANY))
    for start, text, is_loose in starts:
        for end in ends:
            part = tokens[start:end]
            if start < end and not all(one is Wildcard.ANY for one in part):
                yield Component(part, kind, levels, text, is_loose, False)


@dataclass(frozen=True)
class Names:
    """Pairs of names that stand for all pairs of an attacker's and another device's name.

    complete: False if they are only worth a try, because a variable does not fill its level.
    """

    pairs: tuple[tuple[str, str], ...]
    complete: bool


def choose(mine: Shape, my_names: NameSpace, other: Shape, other_names: NameSpace) -> Names:
    """The pairs for an attacker of one type and a victim of another, or of the same."""
    globs, complete = _meeting(mine, other)
    spelt = {str(glob[0]) for glob in globs if len(glob) == 1}
    if not globs and complete:
        return Names(generic(my_names, other_names), True)
    mine_found, all_mine = representatives(my_names, globs)
    others_found, all_others = representatives(other_names, globs)
    pairs = [*generic(my_names, other_names, spelt), *((one, two) for one in mine_found for two in others_found if one != two)]
    if not complete:
        for one in my_names.examples[:2]:
            pairs += ((one, two) for two in _near(one, mine, other) if two != one and other_names.holds(two))
        for two in other_names.examples[:2]:
            pairs += ((one, two) for one in _near(two, mine, other) if two != one and my_names.holds(one))
    return Names(tuple(dict.fromkeys(pairs)), complete and all_mine and all_others)


def generic(my_names: NameSpace, other_names: NameSpace, avoid: Collection[str] = ()) -> tuple[tuple[str, str], ...]:
    """The one pair that is enough where nothing tells names apart; none if there is one name only. avoid: see `NameSpace.two`."""
    one = my_names.first
    two = next((name for name in reversed(other_names.two(avoid)) if name != one), None)
    return ((one, two),) if two is not None else ()


def _near(name: str, mine: Shape, other: Shape) -> Iterator[str]:
    """Names that begin or end with another: what a variable that does not fill its level confuses."""
    yield from (name + "0", "0" + name, name + "-0")
    for component in (*mine.others, *other.others):
        text = component.tokens[0]
        if len(component.tokens) == 1 and isinstance(text, str):
            yield from (text, text[:-1], text[1:])
    for component in (*mine.names, *other.names):
        around = component.around
        if around and around != ("", ""):
            before, after = around
            yield before + name + after
            if name.startswith(before) and name.endswith(after):
                yield name[len(before) : len(name) - len(after)]


def _meeting(mine: Shape, other: Shape) -> tuple[tuple[Tokens, ...], bool]:
    """What a name may be compared with besides the two names, as patterns, and whether that is all."""
    found: dict[Tokens, None] = dict.fromkeys((*mine.keys, *other.keys))
    complete = not (mine.odd or other.odd)
    for one, two, same_device in ((mine, mine, True), (other, other, True), (mine, other, False), (other, mine, False)):
        globs, understood = _beside(one, two, same_device=same_device)
        complete = complete and understood
        found.update(dict.fromkeys(globs))
    return tuple(found), complete


class Meetings:
    """Finds, for many types at once, the pairs whose names need more than one look. names: of each type."""

    def __init__(self, shapes: Sequence[Shape], names: Sequence[NameSpace | None]) -> None:
        self._names = names
        self._alone = [_beside(shape, shape, same_device=True) for shape in shapes]
        self._keys = [shape.keys for shape in shapes]
        self._odd = [shape.odd for shape in shapes]
        self._pairs: dict[tuple[int, int], tuple[set[Tokens], bool]] = {}
        owners: dict[Component, set[int]] = {}
        askers: dict[Component, set[int]] = {}
        for number, shape in enumerate(shapes):
            for component in (*shape.others, *shape.names):
                if component.around != ("", ""):
                    owners.setdefault(component, set()).add(number)
            for name in shape.names:
                askers.setdefault(name, set()).add(number)
        places: dict[object, list[Component]] = {}
        for component in owners:
            places.setdefault(None if component.loose else component.place, []).append(component)
        for name, asking in askers.items():
            for component in owners if name.loose else self._near(name, places):
                if _may_meet(name, component):
                    self._add(asking, owners[component], _compare(name, component))
                    self._add(owners[component], asking, _compare(name, component))
            if name.around != ("", ""):
                for other, owning in askers.items():
                    if other.around == ("", "") and _may_meet(name, other):
                        self._add(asking, owning, _compare(name, other))
                        self._add(owning, asking, _compare(name, other))

    def _near(self, name: Component, places: Mapping[object, list[Component]]) -> Iterator[Component]:
        yield from places.get(None, ())
        kind, depth, first = name.place
        if first is None:
            for place, components in places.items():
                if place is not None:
                    yield from components
            return
        yield from places.get((kind, depth, first), ())
        yield from places.get((kind, depth, None), ())

    def _add(self, ones: Iterable[int], others: Iterable[int], answer: tuple[tuple[Tokens, ...], bool]) -> None:
        globs, understood = answer
        if not globs and understood:
            return
        for one in ones:
            for other in others:
                found, complete = self._pairs.get((one, other), (set(), True))
                self._pairs[one, other] = (found | {*globs}, complete and understood)

    def special(self, mine: int, other: int) -> bool:
        """Whether `choose` has to be asked; otherwise `generic` names are enough."""
        if self._odd[mine] or self._odd[other]:
            return True
        globs = [*self._keys[mine], *self._keys[other]]
        for found, complete in (self._alone[mine], self._alone[other], self._pairs.get((mine, other), ((), True))):
            if not complete:
                return True
            globs += found
        return any(
            names is not None and not _same_for_all(names, glob)
            for glob in globs
            for names in (self._names[mine], self._names[other])
        )


@lru_cache(maxsize=65_536)
def _compare(name: Component, other: Component) -> tuple[tuple[Tokens, ...], bool]:
    """What `other` asks of the name in `name`, of one level, as patterns."""
    around = name.around
    if other.variable:
        # The same texts around both: equal levels are equal names. Otherwise one name may be part of the other.
        return (), around is not None and around == other.around
    if around is None:
        return (), False
    before, after = around
    globs = residues(other.tokens, before) if before else (other.tokens,)
    if after:
        globs = tuple(_reversed(rest) for glob in globs for rest in residues(_reversed(glob), after[::-1]))
    return tuple(glob for glob in globs if glob and any(one is not Wildcard.ANY for one in glob)), True


def _reversed(tokens: Tokens) -> Tokens:
    return tuple(token[::-1] if isinstance(token, str) else token for token in reversed(tokens))


@lru_cache(maxsize=65_536)
def _beside(one: Shape, two: Shape, *, same_device: bool) -> tuple[tuple[Tokens, ...], bool]:
    """Of every name in `one`, what the components of `two` ask of the same level."""
    found: dict[Tokens, None] = {}
    complete = True
    for name in one.names:
        for other in (*two.names, *two.others):
            if (same_device and other.tokens == name.tokens) or not _may_meet(name, other):
                continue
            globs, understood = _compare(name, other)
            complete = complete and understood
            found.update(dict.fromkeys(globs))
    return tuple(found), complete


def _may_meet(one: Component, other: Component) -> bool:
    """Whether a level of some topic may be compared with both."""
    if one.kind != other.kind:
        return False
    depth, other_depth = len(one.levels), len(other.levels)
    if (depth < other_depth and not one.loose) or (depth > other_depth and not other.loose):
        return False
    for mine, others in zip(one.levels, other.levels, strict=False):
        if mine is not None and others is not None and mine != others:
            return False
    if depth != other_depth:
        short, long = (one, other) if depth < other_depth else (other, one)
        following = long.levels[len(short.levels)]
        return following is None or following.startswith(short.begun)
    return one.begun.startswith(other.begun) or other.begun.startswith(one.begun) or not (one.loose and other.loose)


def representatives(names: NameSpace, globs: Sequence[Tokens]) -> tuple[tuple[str, ...], bool]:
    """Of every class of names that the patterns tell apart, two names, or one if there is one; and whether that is all.

    The classes are those of all texts in the alphabet: of a class in which no name is found that the serial's expression takes,
    the result has a text for which `names.holds` is False. No flow for it proves something, a flow for it proves nothing.
    """
    kept = {glob for glob in globs if not _same_for_all(names, glob)}
    if not kept:
        return names.two({str(glob[0]) for glob in globs if len(glob) == 1}), True
    return _representatives(names, tuple(sorted(kept, key=repr)))


def _same_for_all(names: NameSpace, glob: Tokens) -> bool:
    """Whether it shows at once that the pattern matches every name, or none."""
    if glob == ANY_VALUE:
        return True
    first = glob[0] if isinstance(glob[0], str) else ""
    if glob == (first,):
        return not names.holds(first)
    if names.prefix.startswith(first):
        return glob == (first, Wildcard.ANY)
    return not first.startswith(names.prefix) or not set(first[len(names.prefix) :]) <= set(names.alphabet)


@lru_cache(maxsize=4096)
def _representatives(names: NameSpace, globs: tuple[Tokens, ...]) -> tuple[tuple[str, ...], bool]:
    automata = [Nfa((glob,)) for glob in globs]
    classes: dict[tuple[bool, ...], list[str]] = {}

    def put(name: str, states: Iterable[int]) -> None:
        members = classes.setdefault(tuple(bool(s & nfa.accept) for nfa, s in zip(automata, states, strict=True)), [])
        if name in members:
            return
        if len(members) < 2:
            members.append(name)
        elif names.holds(name):
            members[:] = sorted([*members, name], key=lambda one: not names.holds(one))[:2]

    for example in names.examples:
        put(example, [nfa.after(nfa.initial, example) for nfa in automata])
    named = {character for nfa in automata for character in nfa.masks if character in names.alphabet}
    free = next((character for character in names.alphabet if character not in named), None)
    characters = [*([free] if free else []), *sorted(named)]
    visits: dict[tuple[int, ...], int] = {}
    queue = deque([(tuple(nfa.after(nfa.initial, names.prefix) for nfa in automata), names.prefix)])
    while queue:
        states, text = queue.popleft()
        for character in characters if len(text) < MAXIMUM_NAME else ():
            following = tuple([nfa.step(state, character) for nfa, state in zip(automata, states, strict=True)])
            visits[following] = visits.get(following, 0) + 1
            if visits[following] > 2:  # two texts of a kind are enough
                continue
            put(text + character, following)
            queue.append((following, text + character))
            if len(visits) > MAXIMUM_STATES or len(classes) > MAXIMUM_CLASSES:
                return tuple(name for members in classes.values() for name in members), False
    return tuple(name for members in classes.values() for name in members), True
