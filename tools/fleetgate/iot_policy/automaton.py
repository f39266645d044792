"""Languages of policy patterns as automata: is there a text that these statements let through and those do not?

A pattern of literals, `*` and `?` is a chain of positions. A set of positions is a Python integer, one bit each, and all patterns
of a statement list run side by side in one integer: reading a character is a mask, a shift and an or (the bit-parallel simulation
of Baeza-Yates and Gonnet, 1992, with loops for `*`). A question is a search over tuples of such integers, by length, so the
first answer is a shortest one, and no answer after everything reachable was seen is a proof.

Only characters that matter are tried: those that a pattern which is to match asks for next, and one that occurs nowhere. For
every other character the patterns that are to match do what they do for that one, and the patterns that are not to match can only
gain positions: whatever is reached by it is reached by the one that occurs nowhere, too. docs/isolation.md has the proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from heapq import heappop, heappush

from fleetgate.iot_policy.budget import Undecided, current
from fleetgate.iot_policy.pattern import Token, Wildcard
from fleetgate.iot_policy.topics import SHARE

#: States that one search may look at. Patterns like `*a??????????????????` have millions.
MAXIMUM_STATES = 20_000
#: Stands for any character that no pattern names; a witness gets a readable one in its place. Half a character (a lone
#: surrogate), which no text in UTF-8 can hold: `model.read` finds it in a document, and no automaton takes it.
OTHER = "\ud800"
#: Positions of automata for which a step costs as much again.
_WIDE = 2_048
#: What a search takes before its first step, in steps.
_SEARCH = 25
_READABLE = "xyzwvutsrqponmlkjihgfedcba0123456789XYZ-_"

Tokens = tuple[Token, ...]


class Nfa:
    """Several patterns, of which a text has to match one. Patterns hold no variables."""

    __slots__ = ("_runs", "_wanted", "accept", "ever", "initial", "literals", "loop", "masks", "one", "wild")

    def __init__(self, globs: Iterable[Tokens]) -> None:
        self.masks: dict[str, int] = {}
        self.literals: dict[int, str] = {}
        self.initial = self.accept = self.loop = self.one = 0
        self._wanted: dict[int, tuple[str, ...]] = {}
        self._runs: dict[int, str] = {}
        bit = 1
        for glob in globs:
            self.initial |= bit
            for token in glob:
                if token is Wildcard.ANY:
                    self.loop |= bit
                elif token is Wildcard.ONE:
                    self.one |= bit
                    bit <<= 1
                else:
                    assert isinstance(token, str)
                    for character in token:
                        self.masks[character] = self.masks.get(character, 0) | bit
                        self.literals[bit] = character
                        bit <<= 1
            self.accept |= bit
            bit <<= 1
        if OTHER in self.masks:
            raise Undecided("a pattern holds half a character")
        if self.one:
            self.masks = {character: mask | self.one for character, mask in self.masks.items()}
        #: Positions from which any character leads on.
        self.wild = self.loop | self.one
        #: Positions from which every text is accepted.
        self.ever = self.accept & self.loop

    def step(self, state: int, character: str) -> int:
        return (state & self.masks.get(character, self.one)) << 1 | state & self.loop

    def after(self, state: int, text: str) -> int:
        masks, one, loop = self.masks, self.one, self.loop
        for character in text:
            state = (state & masks.get(character, one)) << 1 | state & loop
        return state

    def run(self, bit: int) -> str:
        """The plain text that leads on from one position to the next wildcard or end; all that can follow there."""
        found = self._runs.get(bit)
        if found is None:
            at, characters = bit, []
            while at in self.literals and not at & self.loop:
                characters.append(self.literals[at])
                at <<= 1
            found = self._runs[bit] = "".join(characters)
        return found

    def wanted(self, state: int) -> tuple[str, ...]:
        """The characters that some pattern asks for by name."""
        found = self._wanted.get(state)
        if found is None:
            characters: set[str] = set()
            rest = state & ~self.one
            if rest.bit_count() > len(self.masks):
                characters.update(character for character, mask in self.masks.items() if mask & rest)
                rest = 0
            while rest:
                bit = rest & -rest
                rest ^= bit
                if bit in self.literals:
                    characters.add(self.literals[bit])
            found = self._wanted[state] = tuple(sorted(characters))
        return found


@dataclass(frozen=True)
class Side:
    """What the statements of one effect cover. globs: of all Resource elements. excepted: of each NotResource element."""

    globs: tuple[Tokens, ...] = ()
    excepted: tuple[tuple[Tokens, ...], ...] = ()

    def __or__(self, other: Side) -> Side:
        return Side(self.globs + other.globs, self.excepted + other.excepted)

    def __bool__(self) -> bool:
        return bool(self.globs or self.excepted)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Texts of which a covered text must begin with one. Cheap: most pairs of devices are told apart by these alone."""
        if self.excepted:
            return ("",)
        return tuple({glob[0] if glob and isinstance(glob[0], str) else "" for glob in self.globs})


@dataclass(frozen=True)
class Grant:
    """The texts that are allowed: covered by an Allow and by no Deny. exact: False if it is an upper bound only."""

    allow: Side = Side()
    deny: Side = Side()
    exact: bool = True

    @cached_property
    def nfas(self) -> tuple[Nfa, ...]:
        """Of Allow's patterns and of Deny's, then of the exceptions of both; of Allow's alone if there is nothing else."""
        if not self.deny and not self.allow.excepted:
            return (Nfa(self.allow.globs),)
        sides = (self.allow.globs, self.deny.globs, *self.allow.excepted, *self.deny.excepted)
        return tuple(Nfa(globs) for globs in sides)

    @cached_property
    def initial(self) -> tuple[int, ...]:
        return tuple(nfa.initial for nfa in self.nfas)

    @property
    def heads(self) -> tuple[str, ...]:
        return self.allow.heads

    def holds(self, states: Sequence[int]) -> bool:
        """Whether the text read so far is allowed."""
        nfas = self.nfas
        if not states[0] & nfas[0].accept and len(nfas) <= 2:
            return False
        if len(nfas) == 1:
            return True
        accepted = [bool(state & nfa.accept) for state, nfa in zip(states, nfas, strict=True)]
        split = 2 + len(self.allow.excepted)
        allowed = accepted[0] or not all(accepted[2:split])
        return allowed and not accepted[1] and all(accepted[split:])

    def dead(self, states: Sequence[int]) -> bool:
        """Whether nothing that begins with the text read so far is allowed; False if that does not show at once."""
        nfas = self.nfas
        if len(nfas) == 1:
            return not states[0]
        if states[1] & nfas[1].ever:
            return True
        split = 2 + len(self.allow.excepted)
        # A NotResource element covers nothing more once its exceptions cover everything.
        return not states[0] and all(states[index] & nfas[index].ever for index in range(2, split))

    def certain(self, states: Sequence[int]) -> bool:
        """Whether everything that begins with the text read so far is allowed; False if that does not show at once."""
        if not states[0] & self.nfas[0].ever:
            return False
        return len(states) == 1 or (not states[1] and not self.deny.excepted)

    def helpful(self, *, allowed: bool) -> tuple[int, ...]:
        """Which automata can bring the text nearer to being allowed, or, if `allowed` is False, to being refused."""
        split, end = 2 + len(self.allow.excepted), len(self.nfas)
        indices = (0, *range(split, end)) if allowed else (1, *range(2, split)) if end > 1 else ()
        return tuple(index for index in indices if self.nfas[index].accept)


@dataclass(frozen=True)
class Requirement:
    """That a text is in the grant's language, or, if `allowed` is False, that it is not."""

    grant: Grant
    allowed: bool = True

    def holds(self, states: Sequence[int]) -> bool:
        return self.grant.holds(states) is self.allowed

    def dead(self, states: Sequence[int]) -> bool:
        return self.grant.dead(states) if self.allowed else self.grant.certain(states)

    def accepts(self, text: str) -> bool:
        """Whether this text meets it."""
        return self.holds([nfa.after(nfa.initial, text) for nfa in self.grant.nfas])


class _Product:
    """All automata of several requirements side by side; a state is one tuple of integers."""

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        self.nfas: tuple[Nfa, ...] = ()
        self.initial: tuple[int, ...] = ()
        self.parts: list[tuple[Requirement, slice]] = []
        self._needed: list[tuple[int, Nfa]] = []
        helpful: list[int] = []
        for requirement in requirements:
            start = len(self.nfas)
            self.nfas += requirement.grant.nfas
            self.initial += requirement.grant.initial
            self.parts.append((requirement, slice(start, len(self.nfas))))
            helpful += (start + index for index in requirement.grant.helpful(allowed=requirement.allowed))
            if requirement.allowed and not requirement.grant.allow.excepted:
                self._needed.append((start, requirement.grant.nfas[0]))
        self._helpful = tuple((index, self.nfas[index]) for index in helpful)
        #: Of a step, as it is charged: a policy of AWS' size has some two thousand positions.
        self.cost = 1 + sum(nfa.accept.bit_length() for nfa in self.nfas) // _WIDE

    def step(self, states: tuple[int, ...], character: str) -> tuple[int, ...]:
        return tuple(
            [
                (state & nfa.masks.get(character, nfa.one)) << 1 | state & nfa.loop if state else 0
                for state, nfa in zip(states, self.nfas, strict=True)
            ]
        )

    def after(self, states: tuple[int, ...], text: str) -> tuple[int, ...]:
        if len(text) == 1:
            return self.step(states, text)
        return tuple([nfa.after(state, text) if state else 0 for state, nfa in zip(states, self.nfas, strict=True)])

    def holds(self, states: tuple[int, ...]) -> bool:
        return all(requirement.holds(states[part]) for requirement, part in self.parts)

    def dead(self, states: tuple[int, ...]) -> bool:
        return any(requirement.dead(states[part]) for requirement, part in self.parts)

    def choices(self, states: tuple[int, ...]) -> Sequence[str]:
        """The texts worth trying next: if an automaton that must go on stands before plain text only, that text."""
        for index, nfa in self._needed:
            state = states[index]
            if not state & nfa.wild:
                if state & (state - 1):
                    return nfa.wanted(state)
                text = nfa.run(state)
                return (text,) if text else ()
        return (OTHER, *sorted(self.wanted(states)))

    def wanted(self, states: tuple[int, ...]) -> set[str]:
        """The characters worth trying besides OTHER."""
        found: set[str] = set()
        for index, nfa in self._helpful:
            if states[index]:
                found.update(nfa.wanted(states[index]))
        return found


def find(requirements: Sequence[Requirement], *, never: str = "", never_first: str = "", cap: int = MAXIMUM_STATES) -> str | None:
    """A shortest text of at least one character that meets all requirements, None if there is none. Raises Undecided.

    never: characters that it must not hold; never_first: that it must not begin with.
    """
    product = _Product(requirements)
    forced = _beginning(requirements)
    if forced is None or (forced and forced[0] in never_first) or any(character in forced for character in never):
        return None
    start = product.after(product.initial, forced)
    if product.dead(start):
        return None
    trail: list[tuple[int, str]] = [(-1, forced)]  # of every state met: where it was reached from, and by which text
    done: set[tuple[int, ...]] = set()
    queue = [(len(forced), 0, start)]  # by length, so that the first answer is a shortest one
    budget = current()
    budget.spend(_SEARCH, 0, cap)
    while queue:
        length, number, states = heappop(queue)
        if states in done and length:
            continue
        if length:
            if product.holds(states):
                return _readable(_back(trail, number), product.nfas)
            done.add(states)
        choices = product.choices(states)
        budget.spend(len(choices) * product.cost, len(done), cap)
        for text in choices:
            if any(character in text for character in never) or (not length and text[0] in never_first):
                continue
            following = product.after(states, text)
            if following not in done and not product.dead(following):
                trail.append((number, text))
                heappush(queue, (length + len(text), len(trail) - 1, following))
    return None


def _beginning(requirements: Sequence[Requirement]) -> str | None:
    """With what every text begins that meets all requirements; None if there is no such text."""
    longest = ""
    for requirement in requirements:
        heads = requirement.grant.heads if requirement.allowed else ("",)
        if not heads:
            return None
        shared = heads[0]
        for head in heads[1:]:
            while not head.startswith(shared):
                shared = shared[:-1]
        if not shared.startswith(longest) and not longest.startswith(shared):
            return None
        longest = max(longest, shared, key=len)
    return longest


class _Mode(IntEnum):
    """Where the filter stands against the topic. FIRST_…: nothing of the topic has been read, so `$` matters."""

    GROUP_BEGINS = 0  #: after `$share/`: only the filter is read
    GROUP = 1
    FIRST = 2  #: at the start of a level
    LEVEL = 3
    INSIDE = 4  #: inside of a level that both spell out
    FIRST_PLUS = 5  #: the filter has `+` for this level
    PLUS = 6
    FIRST_REST = 7  #: the filter has ended with `#`
    REST = 8


#: A character that the filter reads, "" if none, and one that the topic reads.
_Move = tuple[str, str, _Mode]


def find_delivery(
    subscribe: Grant, requirements: Sequence[Requirement], *, shared: bool = True, cap: int = MAXIMUM_STATES
) -> tuple[str, str] | None:
    """A filter of `subscribe` and a topic that it matches and that meets all requirements, or None. Raises Undecided.

    Filter and topic are read side by side, level by level, as MQTT matches them. shared: whether `$share/<group>/<filter>` is
    another way to the topics of `<filter>`, under a name that the policy sees as a whole.
    """
    if not subscribe.allow:
        return None
    # The cheap question first: a filter without wildcards, that is the topic itself.
    same = find([Requirement(subscribe), *requirements], never="+#\0", cap=cap)
    if same is not None and not same.startswith(SHARE):
        return same, same
    topics = _Product(requirements)
    if topics.dead(topics.initial):
        return None
    plain = _Product([Requirement(subscribe)])
    states = plain.initial
    for character in SHARE:
        states = plain.step(states, character)
    may_share = not plain.dead(states)
    if may_share:
        # A text that begins with `$share/` is never a plain filter.
        without = Side((*subscribe.deny.globs, (SHARE, Wildcard.ANY)), subscribe.deny.excepted)
        found = _deliver(_Product([Requirement(Grant(subscribe.allow, without))]), topics, None, cap)
    else:
        found = _deliver(plain, topics, None, cap)
    return _deliver(plain, topics, states, cap) if found is None and may_share and shared else found


def _deliver(filters: _Product, topics: _Product, group: tuple[int, ...] | None, cap: int) -> tuple[str, str] | None:
    """group: the filter's states after `$share/`, None for a plain filter."""
    if filters.dead(filters.initial):
        return None
    trail: list[tuple[int, str]] = [(-1, "")]
    topic_trail = [""]
    start = (_Mode.FIRST, filters.initial, topics.initial) if group is None else (_Mode.GROUP_BEGINS, group, topics.initial)
    seen = {start}
    cost = filters.cost + topics.cost
    budget = current()
    budget.spend(_SEARCH, 0, cap)
    queue = deque([(0, start)])
    while queue:
        number, (mode, states, topic) = queue.popleft()
        of_filter = filters.wanted(states) if mode < _Mode.FIRST_REST else set()
        moves = list(_moves(mode, of_filter, topics.wanted(topic)))
        budget.spend(len(moves) * cost, len(seen), cap)
        for read, sent, following in moves:
            after = filters.step(states, read) if read else states
            if mode < _Mode.FIRST_REST and filters.dead(after):
                continue
            if following is _Mode.FIRST_REST or following is _Mode.REST:
                if mode < _Mode.FIRST_REST and not filters.holds(after):
                    continue
                after = ()
            topic_after = topics.step(topic, sent) if sent else topic
            state = (following, after, topic_after)
            if state in seen or topics.dead(topic_after):
                continue
            seen.add(state)
            trail.append((number, read))
            topic_trail.append(sent)
            end = _ending(following, after, filters) if topics.holds(topic_after) else None
            if end is not None:
                share, last = SHARE if group is not None else "", len(trail) - 1
                nfas = (*filters.nfas, *topics.nfas)
                return _readable(share + _back(trail, last) + end, nfas), _readable(_back(trail, last, topic_trail), nfas)
            queue.append((len(trail) - 1, state))
    return None


def _moves(mode: _Mode, of_filter: set[str], of_topic: set[str]) -> Iterator[_Move]:
    """The ways to go on. OTHER stands for the characters that neither filter nor topic asks for."""
    if mode <= _Mode.GROUP:
        yield OTHER, "", _Mode.GROUP
        yield from ((character, "", _Mode.GROUP) for character in sorted(of_filter) if character not in "/+#")
        if mode is _Mode.GROUP:
            yield "/", "", _Mode.FIRST
        return
    plain = [OTHER, *sorted(character for character in of_filter | of_topic if character not in "/+#\0")]
    if mode <= _Mode.INSIDE:
        yield from ((character, character, _Mode.INSIDE) for character in plain)
        yield "/", "/", _Mode.LEVEL
        if mode is not _Mode.INSIDE:
            first = mode is _Mode.FIRST
            yield "+", "", _Mode.FIRST_PLUS if first else _Mode.PLUS
            yield "#", "", _Mode.FIRST_REST if first else _Mode.REST
    elif mode <= _Mode.PLUS:
        first = mode is _Mode.FIRST_PLUS
        yield from (("", character, _Mode.PLUS) for character in plain if not (first and character == "$"))
        yield "/", "/", _Mode.LEVEL
    else:
        first = mode is _Mode.FIRST_REST
        yield from (("", character, _Mode.REST) for character in plain if not (first and character == "$"))
        yield "", "/", _Mode.REST


def _ending(mode: _Mode, states: tuple[int, ...], filters: _Product) -> str | None:
    """With what the filter has to end if the topic ends here; None if it cannot."""
    if mode is _Mode.REST:
        return ""
    if mode not in (_Mode.LEVEL, _Mode.INSIDE, _Mode.PLUS):
        return None
    if filters.holds(states):
        return ""
    parent = filters.step(filters.step(states, "/"), "#")  # `a/#` matches `a`
    return "/#" if filters.holds(parent) else None


def _back(trail: list[tuple[int, str]], number: int, texts: list[str] | None = None) -> str:
    """The text read on the way to a state."""
    found: list[str] = []
    while number >= 0:
        found.append(trail[number][1] if texts is None else texts[number])
        number = trail[number][0]
    return "".join(reversed(found))


def _readable(text: str, nfas: Sequence[Nfa]) -> str:
    """With a character in the place of OTHER that no pattern names."""
    if OTHER not in text:
        return text
    named = {character for nfa in nfas for character in nfa.masks}
    free = next((character for character in _READABLE if character not in named), None)
    if free is None:
        free = next(chr(code) for code in range(0xA1, 0xD800) if chr(code) not in named)
    return text.replace(OTHER, free)


@lru_cache(maxsize=65_536)
def residues(glob: Tokens, prefix: str) -> tuple[Tokens, ...]:
    """What the pattern asks of the rest of a text that begins with `prefix`: several patterns, of which the rest matches one.

    More than one only if wildcards stand before the end of the prefix, as in `arn:aws:iot:*:*:topic/*`.
    """
    if glob and isinstance(glob[0], str) and glob[0].startswith(prefix):
        rest = glob[0][len(prefix) :]
        return ((rest, *glob[1:]) if rest else glob[1:],)
    found = {glob}
    for character in prefix:
        found = {rest for one in found for rest in _derivatives(one, character)}
    return tuple(sorted(found, key=repr))


def _derivatives(glob: Tokens, character: str) -> Iterator[Tokens]:
    if not glob:
        return
    first, rest = glob[0], glob[1:]
    if first is Wildcard.ANY:
        yield glob
        yield from _derivatives(rest, character)
    elif first is Wildcard.ONE:
        yield rest
    elif isinstance(first, str):
        if first[0] == character:
            yield (first[1:], *rest) if len(first) > 1 else rest
    else:
        raise ValueError("a variable stands where a text is read")
