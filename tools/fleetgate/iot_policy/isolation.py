"""Can a device of one type act as, speak to, listen to or steer another device, of its own type or of another?

Every answer "no" is the end of an exhaustive search over all names, topics and filters (`automaton`, `thing_names`). Every "yes"
has a witness that the evaluator has been asked about; one that it does not confirm makes the answer "undecided", and so does
everything that cannot be searched. docs/isolation.md says what exactly is asked and why a few names stand for all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from fleetgate.iot_policy import actions, budget, topics
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions, SharedSubscription, Turn, turns
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, Tokens, find, find_delivery
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.evaluator import Identity, Request
from fleetgate.iot_policy.grants import SOME_CLIENT_ID, TOO_LARGE, Holder, Scope, are_searchable, asks_for_name
from fleetgate.iot_policy.model import Policy
from fleetgate.iot_policy.pattern import Pattern, Variable, Wildcard
from fleetgate.iot_policy.thing_names import RESERVED, Meetings, Names, NameSpace, Shape, choose, generic, shape
from fleetgate.iot_policy.variables import THING_NAME
from fleetgate.iot_policy.witness import Check, confirm

CONNECT, PUBLISH, RETAIN = "iot:Connect", "iot:Publish", "iot:RetainPublish"
SUBSCRIBE, RECEIVE = "iot:Subscribe", "iot:Receive"
#: The last retained message of a topic, over HTTPS and without a subscription.
GET_RETAINED = "iot:GetRetainedMessage"
#: What else can be done to a device by its client id.
CLIENT_ACTIONS = ("iot:DeleteConnection", "iot:GetConnection", "iot:ListSubscriptions", "iot:SendDirectMessage")


class Way(StrEnum):
    """In which way a device reaches another."""

    CONNECT = "connect"
    PUBLISH = "publish"
    RETAIN = "retain"
    SUBSCRIBE = "subscribe"
    RECEIVE = "receive"
    SHADOW = "shadow"
    JOBS = "jobs"
    RESERVED = "reserved"


class Verdict(StrEnum):
    """REFUSED, of subscribe only: a filter over the other's topics is allowed, and that Receive delivers none of it is proven."""

    REACHED = "reached"
    UNDECIDED = "undecided"
    REFUSED = "refused"


#: What looking at two names costs, in steps of a search.
_PAIR = 20
#: Stand for a device's name and for another client id while languages are worked out once for all names. No text holds them, see
#: `automaton.OTHER`.
_MARK, _CLIENT_MARK, _VICTIM_MARK = "\ud810", "\ud811", "\ud812"
_MARKS = {_MARK, _CLIENT_MARK, _VICTIM_MARK}
UNREADABLE = "a part of a policy cannot be read, and what it says is not known: see fleetgate lint"
#: A thing's name, if nothing more is known of it.
ANY_NAME = NameSpace()


@dataclass(frozen=True)
class Member:
    """A device type with its policies, or whoever holds a claim certificate.

    publishes, subscribes: its declared topics, `*` as in policies, the device's name as a Variable. on_behalf_of: the types in
    whose devices' names it is meant to publish. exclusive: how its certificates are attached, both if that is not known.
    given: somebody named these policies, and whether certificates have others besides is not known.
    """

    name: str
    policies: tuple[Policy, ...]
    names: NameSpace = ANY_NAME
    thing_type: str | None = None
    publishes: tuple[Tokens, ...] = ()
    subscribes: tuple[Tokens, ...] = ()
    on_behalf_of: tuple[str, ...] = ()
    exclusive: tuple[bool, ...] = (False, True)
    claim: bool = False
    given: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """One way from one type to another. rule: I01 within a type, I02 between types. checks: what the evaluator answered.

    names: of the attacker and of the victim. text: the witness, a topic or a client id; filter: what is subscribed to.
    """

    attacker: str
    victim: str
    way: Way
    verdict: Verdict
    rule: str
    message: str
    names: tuple[str, str] = ("", "")
    action: str = ""
    text: str = ""
    filter: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Something declared that the policies do not let happen: I02 of a flow to the type `other`, I04 of a type's own topic.

    text: the witness, a topic or a client id; "" if it is undecided, and then the message says why.
    """

    rule: str
    member: str
    message: str
    action: str
    text: str
    other: str = ""
    undecided: bool = False


@dataclass(frozen=True)
class Report:
    """reaches and gaps: everything that is not as it should be. flows: declared, from type to type, and granted.

    assumptions: what the proofs rest on, beside how each member's certificates are attached. hangs_on: those of them that alone
    would make it not isolated, once `with_turns` has asked.
    """

    members: tuple[str, ...]
    victims: tuple[str, ...]
    reaches: tuple[Reach, ...]
    gaps: tuple[Gap, ...]
    flows: tuple[tuple[str, str], ...]
    assumptions: Assumptions = DEFAULT
    hangs_on: tuple[Turn, ...] = ()

    @property
    def isolated(self) -> bool:
        return not self.gaps and all(reach.verdict is Verdict.REFUSED for reach in self.reaches)


@dataclass(frozen=True, slots=True)
class _Step:
    """What must be allowed to one of the two for a candidate to be a witness."""

    victim: bool
    holder: Holder
    action: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    steps: tuple[_Step, ...]
    message: str
    action: str
    text: str
    filter: str = ""


@dataclass
class Fleet:
    """All types of a fleet in one account and Region. attributes, certificate: every device's; empty if they are not known."""

    members: Sequence[Member]
    scope: Scope
    assumptions: Assumptions = DEFAULT
    attributes: Mapping[str, str] = field(default_factory=dict)
    certificate: Mapping[str, str] = field(default_factory=dict)
    _holders: dict[tuple[object, ...], Holder] = field(default_factory=dict)
    _loose: dict[str, bool] = field(default_factory=dict)
    _asking: dict[str, bool] = field(default_factory=dict)

    def own(self, member: Member, name: str, *, coarse: bool = False) -> Holder:
        """A device that is connected as itself."""
        return self._holder(member, name, name, False, "mqtt", coarse)

    def over_https(self, member: Member, name: str | None, *, coarse: bool = False) -> Holder:
        return self._holder(member, name, name or "", False, "https", coarse)

    def under(self, member: Member, name: str | None, client_id: str, *, coarse: bool = False) -> list[Holder]:
        """A device that connects under another client id than its own name; one for each way its certificate may be attached."""
        return [self._holder(member, name, client_id, exclusive, "mqtt", coarse) for exclusive in member.exclusive]

    def _holder(self, member: Member, name: str | None, client: str, exclusive: bool, protocol: str, coarse: bool) -> Holder:
        key = (member.name, name, client, exclusive, protocol, coarse)
        found = self._holders.get(key)
        if found is None:
            identity = Identity(
                client,
                name,
                attached=name is not None,
                thing_type=member.thing_type,
                attributes=self.attributes,
                certificate=self.certificate,
                exclusive=exclusive,
                protocol="https" if protocol == "https" else "mqtt",
            )
            found = Holder(member.policies, identity, self.scope, self.assumptions, coarse)
            if protocol == "https" and not self.assumptions.https_client_id and name not in (None, member.names.first):
                # Over HTTPS the name is asked for by nobody: what is allowed to one is allowed to all.
                found = found.sharing(self._holder(member, member.names.first, member.names.first, False, "https", coarse))
            elif protocol == "mqtt" and name is not None and not _MARKS & {name, client} and not self.asks(member):
                # Names are read as they stand, so the languages for one name are those for another with the name put in.
                mark = _MARK if client == name else client if client == SOME_CLIENT_ID else _CLIENT_MARK
                form = self._holder(member, _MARK, mark, exclusive, protocol, coarse)
                names = tuple((one, other) for one, other in ((_MARK, name), (_CLIENT_MARK, client)))
                found = replace(found, form=form, names=names)
            self._holders[key] = found
        return found

    def asks(self, member: Member) -> bool:
        """Whether a condition of its policies depends on the device's name."""
        if member.name not in self._asking:
            self._asking[member.name] = asks_for_name(member.policies)
        return self._asking[member.name]

    def is_loose(self, member: Member) -> bool:
        """Whether it may connect under some client id that is not its name."""
        if member.name not in self._loose:
            # A mark, since a name that is given could be one that the policy spells out.
            name = None if member.claim else member.names.first if self.asks(member) else _MARK
            allowed = [holder.grant(CONNECT, "client").allow for holder in self.under(member, name, SOME_CLIENT_ID)]
            # An exclusive certificate knows its thing's name under any client id, and may allow that one alone.
            self._loose[member.name] = any(one.excepted or any(glob != (_MARK,) for glob in one.globs) for one in allowed)
        return self._loose[member.name]


def check(fleet: Fleet) -> Report:
    """Answers for every ordered pair of types, and for every declared topic."""
    return _Checker(fleet).report()


class _Checker:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.members = fleet.members
        self.victims = [number for number, member in enumerate(fleet.members) if not member.claim]
        self.by_name = {member.name: member for member in fleet.members}
        #: Why nothing can be told of a member.
        self.unread = {member.name: why for member in fleet.members if (why := self._unread(member))}
        self._shapes: dict[tuple[str, bool], Shape] = {}
        self._asked_heads: dict[tuple[str, str, bool], _Heads] = {}
        self._offered_heads: dict[tuple[str, str, bool], _Heads] = {}

    def report(self) -> Report:
        reaches: list[Reach] = []
        unread, ordinary = self.unread, self._candidates()
        for number, attacker in enumerate(self.members):
            for other in self.victims:
                victim = self.members[other]
                if reason := unread.get(attacker.name, "") or unread.get(victim.name, ""):
                    reaches += (self._reach(attacker, victim, way, Verdict.UNDECIDED, reason) for way in Way)
                elif (special := self._is_special(number, other)) or (number, other) in ordinary:
                    names = Names(generic(attacker.names, victim.names), True)
                    with budget.limited(budget.MAXIMUM_PAIR):
                        reaches += self._special(attacker, victim) if special else self._search(attacker, victim, names)
        # What is meant to work cannot be told either, and the answer is undecided already.
        asked = [] if unread else self.victims
        gaps = [gap for number in asked for gap in (*self._missing_flows(number), *self._dead_topics(number))]
        missing = {(gap.member, gap.other) for gap in gaps}
        flows = [
            (one.name, other)
            for one in self.members
            if not unread
            for other in one.on_behalf_of
            if (one.name, other) not in missing
        ]
        return Report(
            tuple(member.name for member in self.members),
            tuple(self.members[number].name for number in self.victims),
            tuple(reaches),
            tuple(gaps),
            tuple(flows),
            self.fleet.assumptions,
        )

    def _unread(self, member: Member) -> str:
        """Why nothing can be told of it; "" if something can."""
        if not all(policy.is_whole for policy in member.policies):
            return UNREADABLE
        return "" if are_searchable(member.policies, self.fleet.scope, self.fleet.assumptions) else TOO_LARGE

    # -- which pairs need a search

    def _shape(self, member: Member, *, coarse: bool = False) -> Shape:
        key = (member.name, coarse)
        if key not in self._shapes:
            meant = (*member.publishes, *member.subscribes)
            self._shapes[key] = shape(member.policies, self.fleet.scope, self.fleet.assumptions, meant, coarse=coarse)
        return self._shapes[key]

    @cached_property
    def _meetings(self) -> Meetings:
        shapes = [self._shape(one) if one.name not in self.unread else Shape((), ()) for one in self.members]
        return Meetings(shapes, [None if one.claim else one.names for one in self.members])

    def _is_special(self, attacker: int, victim: int) -> bool:
        one, two = self.members[attacker].names, self.members[victim].names
        return self._meetings.special(attacker, victim) or generic(one, two) != ((one.first, two.second),)

    def _candidates(self) -> set[tuple[int, int]]:
        """Pairs that the beginnings of their patterns do not tell apart, with the one pair of names that is enough."""
        asked: list[_Heads] = []
        offered: list[_Heads] = []
        for member in self.members:
            is_read = member.name not in self.unread
            asked.append(self._asked(member, member.names.first) if is_read else _Heads())
            offered.append(self._offered(member, member.names.second) if is_read and not member.claim else _Heads())
        sending = _join([heads.topics for heads in asked], [heads.topics for heads in offered])
        subscribing = _join([heads.filters for heads in asked], [heads.sent for heads in offered])  # nothing is received without
        fetching = _join([heads.fetched for heads in asked], [heads.sent for heads in offered])
        clients = _join([heads.clients for heads in asked], [heads.clients for heads in offered])
        things = _join([heads.things for heads in asked], [heads.things for heads in offered])
        return sending | subscribing | fetching | clients | things

    def _possible(self, attacker: Member, mine: str, victim: Member, others: str, coarse: bool) -> set[Way]:
        """The ways that the beginnings of the patterns leave open for these names."""
        asked, offered = self._asked(attacker, mine, coarse=coarse), self._offered(victim, others, coarse=coarse)
        found: set[Way] = set()
        own = _reserved_for(others)
        if _heads_meet(asked.topics, offered.topics):
            found.add(Way.PUBLISH)
            if _heads_meet(asked.retained, offered.topics):
                found.add(Way.RETAIN)
        if _heads_meet(asked.filters, offered.sent):
            found.add(Way.SUBSCRIBE)
            if _heads_meet(asked.received, offered.sent):
                found.add(Way.RECEIVE)
        if _heads_meet(asked.fetched, offered.sent):
            found.add(Way.RECEIVE)
        if (
            _heads_meet(asked.topics, own)
            or _heads_meet(asked.things, offered.things)
            or (_heads_meet(asked.filters, own) and _heads_meet(asked.received, own))
        ):
            found |= {Way.SHADOW, Way.JOBS, Way.RESERVED}
        if _heads_meet(asked.clients, offered.clients):
            found.add(Way.CONNECT)
        return found

    def _asked(self, member: Member, name: str, *, coarse: bool = False) -> _Heads:
        key = (member.name, name, coarse)
        if key in self._asked_heads:
            return self._asked_heads[key]
        thing = None if member.claim else name
        holders = [] if thing is None else [self.fleet.own(member, thing, coarse=coarse)]
        loose = self.fleet.under(member, thing, SOME_CLIENT_ID, coarse=coarse) if self.fleet.is_loose(member) else []
        https = self.fleet.over_https(member, thing, coarse=coarse)
        heads = self._asked_heads[key] = _Heads()
        for holder in (*holders, *loose):
            heads.received.update(holder.grant(RECEIVE, "topic").heads)
            heads.filters.update(_filter_heads(holder.grant(SUBSCRIBE, "topicfilter")))
        for holder in (*holders, *loose, https):
            heads.topics.update(holder.grant(PUBLISH, "topic").heads)
            heads.retained.update(holder.grant(RETAIN, "topic").heads)
        heads.fetched.update(https.grant(GET_RETAINED, "topic").heads)
        for holder in loose:
            heads.clients.update(holder.grant(CONNECT, "client").heads)
        for action in CLIENT_ACTIONS:
            heads.clients.update(https.grant(action, "client").heads)
        for action in (*actions.SHADOW_ACTIONS, *actions.JOB_ACTIONS):
            heads.things.update(https.grant(action, "thing").heads)
        return heads

    def _offered(self, member: Member, name: str, *, coarse: bool = False) -> _Heads:
        key = (member.name, name, coarse)
        if key not in self._offered_heads:
            holder = self.fleet.own(member, name, coarse=coarse)
            own = _reserved_for(name)
            sent, reached = {*holder.grant(PUBLISH, "topic").heads, *own}, {*holder.grant(RECEIVE, "topic").heads, *own}
            for heads, action, topics_of in ((reached, PUBLISH, member.publishes), (sent, RECEIVE, member.subscribes)):
                heads.update(holder.grant(action, "topic", naming=True).heads, _named(topics_of, name).heads)
            self._offered_heads[key] = _Heads(topics=reached, sent=sent, clients={name}, things={name})
        return self._offered_heads[key]

    # -- one pair of types

    def _special(self, attacker: Member, victim: Member) -> list[Reach]:
        names = choose(self._shape(attacker), attacker.names, self._shape(victim), victim.names)
        reaches = self._search(attacker, victim, names)
        if names.complete:
            return reaches
        # Take every name that does not fill its level for anything: what is impossible even then is impossible.
        coarse = choose(self._shape(attacker, coarse=True), attacker.names, self._shape(victim, coarse=True), victim.names)
        found = {reach.way: reach for reach in reaches}
        why = "a variable that does not fill a level of its own lets names overlap"
        if self._shape(attacker).odd or self._shape(victim).odd:
            why = "a condition or a number of wildcards beyond what is compared may tell names apart"
        for reach in self._search(attacker, victim, coarse, coarse=True, settled=found):
            if reach.verdict is not Verdict.REFUSED:
                found.setdefault(
                    reach.way, replace(reach, verdict=Verdict.UNDECIDED, message=f"{reach.message}: {why}", checks=())
                )
        if not coarse.complete:
            for way in Way:
                if way is not Way.SUBSCRIBE and way not in found:
                    found[way] = self._reach(attacker, victim, way, Verdict.UNDECIDED, f"cannot be told: {why}")
        return list(found.values())

    def _search(
        self, attacker: Member, victim: Member, names: Names, *, coarse: bool = False, settled: Collection[Way] = ()
    ) -> list[Reach]:
        """settled: ways that need no answer."""
        found: dict[Way, Reach] = {}
        given_up: set[Way] = set()
        for_any_names = set(Way)
        if len(names.pairs) > 1 and not (coarse or self.fleet.asks(attacker) or self.fleet.asks(victim)):
            for_any_names &= self._possible(attacker, _MARK, victim, _VICTIM_MARK, coarse)
        for mine, others in names.pairs:
            # A search that was too large for two names is not tried for the next two: undecided fails as well.
            left = for_any_names - {*settled, *given_up, *(way for way in found if found[way].verdict is Verdict.REACHED)}
            possible = left and left & self._possible(attacker, mine, victim, others, coarse)
            if not possible:
                continue
            try:
                budget.spend(_PAIR)
            except Undecided as error:
                for way in left - {Way.SUBSCRIBE, *found}:
                    found[way] = self._reach(attacker, victim, way, Verdict.UNDECIDED, str(error))
                break
            pair = _Pair(self.fleet, attacker, victim, None if attacker.claim else mine, others, coarse)
            real = attacker.names.holds(mine) and victim.names.holds(others) and not coarse
            for way in Way:
                if way not in possible:
                    continue
                for reach in self._answers(pair, way, real=real):
                    if not reach.action:
                        given_up.add(way)
                    if way not in found or reach.verdict is Verdict.REACHED:
                        found[way] = reach
                    if reach.verdict is not Verdict.UNDECIDED:
                        break
        if Way.RECEIVE in found:
            found.pop(Way.SUBSCRIBE, None)
        return [found[way] for way in Way if way in found]

    def _answers(self, pair: _Pair, way: Way, *, real: bool) -> Iterator[Reach]:
        """What the automata find for two names, each held against the evaluator. real: devices can have these names."""
        nothing = self._reach(pair.attacker, pair.victim, way, Verdict.UNDECIDED, "")
        try:
            for candidate in pair.candidates(way):
                reach = replace(
                    nothing,
                    names=pair.names,
                    message=candidate.message,
                    action=candidate.action,
                    text=candidate.text,
                    filter=candidate.filter,
                )
                checks = self._confirmed(candidate, pair) if real else None
                if checks is not None:
                    verdict = Verdict.REFUSED if way is Way.SUBSCRIBE else Verdict.REACHED
                    yield replace(reach, verdict=verdict, checks=checks)
                elif way is not Way.SUBSCRIBE:
                    why = "the evaluator does not confirm it" if real else "no device is known to have such a name"
                    yield replace(reach, message=f"{candidate.message}: {why}")
        except Undecided as error:
            if way is not Way.SUBSCRIBE:  # what is delivered is settled without it
                yield replace(nothing, message=str(error))

    def _confirmed(self, candidate: _Candidate, pair: _Pair) -> tuple[Check, ...] | None:
        checks: list[Check] = []
        for victim in (False, True):
            steps = [step for step in candidate.steps if step.victim is victim]
            if steps:
                requests = [Request(step.action, self.fleet.scope.arn(step.kind, step.text)) for step in steps]
                found = confirm(steps[0].holder, requests, connects=not victim, never=pair.names)
                if found is None:
                    return None
                checks += found
        return tuple(checks)

    def _reach(self, attacker: Member, victim: Member, way: Way, verdict: Verdict, message: str) -> Reach:
        return Reach(attacker.name, victim.name, way, verdict, "I01" if attacker.name == victim.name else "I02", message)

    # -- what is meant to work

    def _missing_flows(self, number: int) -> Iterator[Gap]:
        member = self.members[number]
        for other_name in member.on_behalf_of:
            other = self.by_name[other_name]
            names = choose(self._shape(member), member.names, self._shape(other), other.names)
            for mine, others in names.pairs:
                allowed = self.fleet.own(member, mine).grant(PUBLISH, "topic")
                meant = f"is meant, on behalf of {other_name}, to publish to"
                gap = self._gap("I02", member, PUBLISH, _bound(other.publishes, others), allowed, meant)
                if gap is not None and member.names.holds(mine) and other.names.holds(others):
                    yield replace(gap, other=other_name)
                    break

    def _dead_topics(self, number: int) -> Iterator[Gap]:
        member = self.members[number]
        if not member.publishes and not member.subscribes:
            return
        own_shape = self._shape(member)
        for name in dict.fromkeys(one for one, _ in choose(own_shape, member.names, own_shape, member.names).pairs):
            if not member.names.holds(name):
                continue
            found = list(self._dead_topics_of(member, name))
            if found:
                yield from found
                return

    def _dead_topics_of(self, member: Member, name: str) -> Iterator[Gap]:
        holder = self.fleet.own(member, name)
        every: tuple[tuple[str, str, tuple[Tokens, ...], str], ...] = (
            (CONNECT, "client", ((name,),), "connect as"),
            *((PUBLISH, "topic", (tokens,), "publish to") for tokens in _bound(member.publishes, name)),
            *((SUBSCRIBE, "topicfilter", (tokens,), "subscribe to") for tokens in _bound(member.subscribes, name)),
            *((RECEIVE, "topic", (tokens,), "receive") for tokens in _bound(member.subscribes, name)),
            *((action, kind, ((text,),), verb) for action, kind, text, verb in _shadow_and_jobs(name)),
        )
        for action, kind, globs, verb in every:
            gap = self._gap("I04", member, action, globs, holder.grant(action, kind), f"is meant to {verb}")
            if gap is not None:
                yield gap

    def _gap(self, rule: str, member: Member, action: str, globs: tuple[Tokens, ...], allowed: Grant, meant: str) -> Gap | None:
        """None if all of it is allowed."""
        try:
            text = find([Requirement(Grant(Side(globs))), Requirement(allowed, False)], never="+#\0")
        except Undecided as error:
            message = f"{member.name} {meant} what it declares, and whether it may cannot be told: {error}"
            return Gap(rule, member.name, message, action, "", undecided=True)
        return None if text is None else Gap(rule, member.name, f"{member.name} {meant} {text}, and may not", action, text)


def check_all(members: Sequence[Member], scopes: Sequence[Scope], assumptions: Assumptions = DEFAULT) -> Report:
    """In every account and Region that the policies name: a pair is as isolated as in the worst of them."""
    with budget.limited():
        reports = [check(Fleet(members, scope, assumptions)) for scope in scopes]
    if len(reports) == 1:
        return reports[0]
    order = (Verdict.REACHED, Verdict.UNDECIDED, Verdict.REFUSED)
    worst: dict[tuple[str, str, Way], Reach] = {}
    for reach in (reach for verdict in order for report in reports for reach in report.reaches if reach.verdict is verdict):
        worst.setdefault((reach.attacker, reach.victim, reach.way), reach)
    granted = set.intersection(*(set(report.flows) for report in reports))
    return replace(
        reports[0],
        reaches=tuple(worst.values()),
        flows=tuple(flow for flow in reports[0].flows if flow in granted),
        gaps=tuple(dict.fromkeys(gap for report in reports for gap in report.gaps)),
    )


def with_turns(report: Report, members: Sequence[Member], scopes: Sequence[Scope]) -> Report:
    """The report, if all is isolated with the assumptions that this hangs on: as if each were the other way."""
    if not report.isolated:
        return report

    def answer(assumed: Assumptions) -> str:
        other = check_all(members, scopes, assumed)
        reaches = [reach for reach in other.reaches if reach.verdict is not Verdict.REFUSED]
        first = next((reach for reach in reaches if reach.verdict is Verdict.REACHED), next(iter(reaches), None))
        if first is None:
            return "" if other.isolated else f"{other.gaps[0].message}"
        sure = "reaches" if first.verdict is Verdict.REACHED else "may reach"
        return f"{first.attacker} {sure} {first.victim} ({first.way})"

    with budget.limited():
        return replace(report, hangs_on=turns(report.assumptions, answer))


@dataclass
class _Heads:
    """Beginnings of texts. Of an attacker: what it may do; of a victim: what must not be done to it, under the same names."""

    topics: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    filters: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)
    things: set[str] = field(default_factory=set)
    retained: set[str] = field(default_factory=set)


class _Pair:
    """Two devices with names: the attacker in every situation it can bring about, and the other, connected as itself."""

    def __init__(self, fleet: Fleet, attacker: Member, victim: Member, mine: str | None, theirs: str, coarse: bool) -> None:
        self.fleet = fleet
        self.attacker = attacker
        self.victim = victim
        self.names = (mine or "", theirs)
        self.their_name = theirs
        self.them = fleet.own(victim, theirs, coarse=coarse)
        self.me = [] if mine is None else [fleet.own(attacker, mine, coarse=coarse)]
        self.https = fleet.over_https(attacker, mine, coarse=coarse)
        self.as_other: list[Holder] = []
        self.under_any: list[Holder] = []
        if fleet.is_loose(attacker):
            self.as_other = [one for one in fleet.under(attacker, mine, theirs, coarse=coarse) if _contains(one, CONNECT, theirs)]
            self.under_any = fleet.under(attacker, mine, SOME_CLIENT_ID, coarse=coarse)
        self.published = _owned(self.them, PUBLISH, victim.publishes, theirs)
        self.received = _owned(self.them, RECEIVE, victim.subscribes, theirs)
        self.shadow = _topic_tree(f"$aws/things/{theirs}/shadow/")
        self.jobs = _topic_tree(f"$aws/things/{theirs}/jobs/")
        own, *further = map(_topic_tree, _reserved_for(theirs))
        rest = Side(tuple(glob for tree in further for glob in tree.allow.globs))
        known = Side(tuple((f"$aws/things/{theirs}/{branch}/", Wildcard.ONE, Wildcard.ANY) for branch in _BRANCHES))
        #: What else is reserved for it: first where something is known to be, so that a witness says most.
        self.reserved = (Grant(known | rest), Grant(own.allow | rest, self.shadow.allow | self.jobs.allow))
        self.ordinary = Requirement(Grant(own.allow | rest), False)
        meant = _bound(victim.publishes, theirs) if victim.name in attacker.on_behalf_of else ()
        self.not_meant = [Requirement(Grant(Side(meant)), False)] if meant else []
        meant = _bound(attacker.publishes, mine) if mine and attacker.name in victim.on_behalf_of else ()
        self.not_meant_for_me = [Requirement(Grant(Side(meant)), False)] if meant else []
        self.shared = fleet.assumptions.shared_subscription is SharedSubscription.WHOLE

    @property
    def connected(self) -> list[Holder]:
        return [*self.me, *self.as_other, *self.under_any]

    def candidates(self, way: Way) -> Iterator[_Candidate]:
        if way is Way.CONNECT:
            yield from self._connect()
        elif way is Way.PUBLISH:
            yield from self._publish((PUBLISH,), self.not_meant)
        elif way is Way.RETAIN:
            yield from self._publish((RETAIN, PUBLISH), [])
        elif way is Way.RECEIVE:
            yield from self._receive(delivered=True)
            yield from self._fetch()
        elif way is Way.SUBSCRIBE:
            yield from self._receive(delivered=False)
        elif way is Way.SHADOW:
            yield from self._reserved(self.shadow, actions.SHADOW_ACTIONS, "shadow")
        elif way is Way.JOBS:
            yield from self._reserved(self.jobs, actions.JOB_ACTIONS, "jobs")
        else:
            for tree in self.reserved:
                yield from self._reserved(tree, (), "reserved topics")

    def _connect(self) -> Iterator[_Candidate]:
        for holder in self.as_other:
            step = _Step(False, holder, CONNECT, "client", self.their_name)
            yield _Candidate((step,), "connects under the other's name", CONNECT, self.their_name)
        for action in CLIENT_ACTIONS:
            if _contains(self.https, action, self.their_name):
                step = _Step(False, self.https, action, "client", self.their_name)
                yield _Candidate((step,), "acts on the other's connection", action, self.their_name)

    def _publish(self, wanted: tuple[str, ...], besides: list[Requirement]) -> Iterator[_Candidate]:
        verb = "publishes" if wanted == (PUBLISH,) else "leaves a retained message"
        received = self.them.grant(RECEIVE, "topic")
        for holder in (*self.connected, self.https):
            sent = [holder.grant(action, "topic") for action in wanted]
            required = [*map(Requirement, sent), self.ordinary, *besides]
            for in_its_name in self.published:
                topic = find([*required, *map(Requirement, in_its_name)], never="+#\0") if _meet(*sent, *in_its_name) else None
                if topic is not None:
                    steps = [_Step(False, holder, action, "topic", topic) for action in reversed(wanted)]
                    steps.append(_Step(True, self.them, PUBLISH, "topic", topic))
                    yield _Candidate(tuple(steps), f"{verb} in the other's name", wanted[0], topic)
            if _meet(*sent, received):
                subscribed = self.them.grant(SUBSCRIBE, "topicfilter")
                found = find_delivery(subscribed, [*required, Requirement(received)], shared=self.shared)
                if found is not None:
                    text, topic = found
                    steps = [_Step(False, holder, action, "topic", topic) for action in reversed(wanted)]
                    steps.append(_Step(True, self.them, SUBSCRIBE, "topicfilter", text))
                    steps.append(_Step(True, self.them, RECEIVE, "topic", topic))
                    yield _Candidate(tuple(steps), f"{verb} what the other receives", wanted[0], topic, text)

    def _receive(self, *, delivered: bool) -> Iterator[_Candidate]:
        for holder in self.connected:
            subscribed = holder.grant(SUBSCRIBE, "topicfilter")
            if not subscribed.allow:
                continue
            allowed = [holder.grant(RECEIVE, "topic")] if delivered else []
            published = (self.them.grant(PUBLISH, "topic"),)
            for action, target, besides, message in (
                (PUBLISH, published, self.not_meant_for_me, "receives what the other publishes"),
                *((RECEIVE, received, [], "receives what is sent to the other") for received in self.received),
            ):
                if not _meet(*allowed, *target) or not _heads_meet(_filter_heads(subscribed), target[0].heads):
                    continue
                required = [*map(Requirement, (*allowed, *target)), self.ordinary, *besides]
                found = find_delivery(subscribed, required, shared=self.shared)
                if found is None:
                    continue
                text, topic = found
                steps = [_Step(False, holder, SUBSCRIBE, "topicfilter", text)]
                steps += [_Step(False, holder, RECEIVE, "topic", topic)] if delivered else []
                steps.append(_Step(True, self.them, action, "topic", topic))
                if not delivered:
                    message = f"may subscribe to a filter for {message.removeprefix('receives ')}; nothing of it is delivered"
                yield _Candidate(tuple(steps), message, RECEIVE if delivered else SUBSCRIBE, topic, text)

    def _fetch(self) -> Iterator[_Candidate]:
        """What was left retained, by the other or for it."""
        fetched = self.https.grant(GET_RETAINED, "topic")
        retained = (self.them.grant(RETAIN, "topic"), self.them.grant(PUBLISH, "topic"))
        for action, target, besides, message in (
            (RETAIN, retained, self.not_meant_for_me, "reads the retained messages that the other publishes"),
            *((RECEIVE, received, [], "reads the retained messages for the other") for received in self.received),
        ):
            if not _meet(fetched, *target):
                continue
            topic = find([*map(Requirement, (fetched, *target)), self.ordinary, *besides], never="+#\0")
            if topic is not None:
                steps = (_Step(False, self.https, GET_RETAINED, "topic", topic), _Step(True, self.them, action, "topic", topic))
                yield _Candidate(steps, message, GET_RETAINED, topic)

    def _reserved(self, tree: Grant, names: Sequence[str], what: str) -> Iterator[_Candidate]:
        for holder in (*self.connected, self.https):
            sent = holder.grant(PUBLISH, "topic")
            if _meet(sent, tree):
                topic = find([Requirement(sent), Requirement(tree)], never="+#\0")
                if topic is not None:
                    step = _Step(False, holder, PUBLISH, "topic", topic)
                    yield _Candidate((step,), f"writes to the other's {what}", PUBLISH, topic)
        for holder in self.connected:
            received, subscribed = holder.grant(RECEIVE, "topic"), holder.grant(SUBSCRIBE, "topicfilter")
            if _meet(received, tree) and _heads_meet(_filter_heads(subscribed), tree.heads):
                found = find_delivery(subscribed, [Requirement(received), Requirement(tree)], shared=self.shared)
                if found is not None:
                    text, topic = found
                    steps = (_Step(False, holder, SUBSCRIBE, "topicfilter", text), _Step(False, holder, RECEIVE, "topic", topic))
                    yield _Candidate(steps, f"listens to the other's {what}", RECEIVE, topic, text)
        thing = Grant(Side(((self.their_name,), (f"{self.their_name}/", Wildcard.ANY))))
        for action in names:
            allowed = self.https.grant(action, "thing")
            if _meet(allowed, thing):
                text_found = find([Requirement(allowed), Requirement(thing)])
                if text_found is not None:
                    step = _Step(False, self.https, action, "thing", text_found)
                    yield _Candidate((step,), f"calls the API for the other's {what}", action, text_found)


#: Below `$aws/things/<name>/`, beside shadow and jobs [reserved topics]: secure tunnels, streams, Device Defender.
_BRANCHES = ("tunnels", "streams", "defender/metrics")


def _reserved_for(name: str) -> tuple[str, ...]:
    """Beginnings of the topics that AWS reserves for a thing, and for a client of its name."""
    return tuple(f"{branch}{name}/" for branch in RESERVED)


def _topic_tree(prefix: str) -> Grant:
    return Grant(Side(((prefix, Wildcard.ONE, Wildcard.ANY),)))


def _contains(holder: Holder, action: str, name: str) -> bool:
    grant = holder.grant(action, "client")
    return bool(grant.allow) and grant.holds([nfa.after(nfa.initial, name) for nfa in grant.nfas])


def _bound(globs: Iterable[Tokens], name: str) -> tuple[Tokens, ...]:
    """Declared topics of the device `name`."""
    return tuple((Pattern("", glob).bind(lambda _: (name,)) or Pattern("", ())).tokens for glob in globs)


def _named(globs: Iterable[Tokens], name: str) -> Grant:
    """Those of the declared topics in which the device's name stands: nobody else's."""
    return Grant(Side(_bound([glob for glob in globs if any(isinstance(token, Variable) for token in glob)], name)))


def _owned(victim: Holder, action: str, globs: Iterable[Tokens], name: str) -> list[tuple[Grant, ...]]:
    """The topics that belong to the device: its policy names it there, or the catalogue does and its policy grants it."""
    by_catalogue, granted = _named(globs, name), victim.grant(action, "topic")
    return [(victim.grant(action, "topic", naming=True),), *([(by_catalogue, granted)] if by_catalogue.allow else [])]


def declared(text: str) -> Tokens:
    """A topic of the catalogue, `{thing}` for the device's name and `*` for anything, as tokens."""
    tokens: list[object] = []
    for index, part in enumerate(text.split("{thing}")):
        if index:
            tokens.append(Variable(THING_NAME))
        for number, piece in enumerate(part.split("*")):
            if number:
                tokens.append(Wildcard.ANY)
            if piece:
                tokens.append(piece)
    return tuple(tokens)  # type: ignore[arg-type]


def _shadow_and_jobs(name: str) -> Iterator[tuple[str, str, str, str]]:
    """What every device of the catalogue uses [Device Shadow MQTT topics; jobs MQTT API]."""
    shadow, jobs = f"$aws/things/{name}/shadow", f"$aws/things/{name}/jobs"
    sent = [f"{shadow}/get", f"{shadow}/update", f"{jobs}/get", f"{jobs}/start-next", f"{jobs}/$next/get", f"{jobs}/job-1/update"]
    heard = [f"{shadow}/{verb}/{answer}" for verb in ("get", "update") for answer in ("accepted", "rejected")]
    heard += [f"{shadow}/update/delta", f"{jobs}/notify", f"{jobs}/notify-next", f"{jobs}/get/accepted"]
    heard += [f"{jobs}/start-next/accepted", f"{jobs}/job-1/update/accepted"]
    for topic in sent:
        yield PUBLISH, "topic", topic, "publish to"
    for topic in heard:
        yield SUBSCRIBE, "topicfilter", topic, "subscribe to"
        yield RECEIVE, "topic", topic, "receive"


def _filter_heads(grant: Grant) -> tuple[str, ...]:
    """Texts of which a topic must begin with one if a filter of the grant matches it."""
    return tuple({_filter_head(head) for head in grant.heads})


def _filter_head(head: str) -> str:
    if topics.SHARE.startswith(head[: len(topics.SHARE)]):
        return ""
    for wildcard in "+#":
        head = head.partition(wildcard)[0]
    return head.rstrip("/")  # `a/#` matches `a`


def _meet(*grants: Grant) -> bool:
    """Whether, by the beginnings of their patterns, a text may be in all of them."""
    if not all(grant.allow for grant in grants):
        return False
    first, *others = grants
    return all(_heads_meet(first.heads, other.heads) for other in others)


def _heads_meet(one: Iterable[str], two: Collection[str]) -> bool:
    return any(a.startswith(b) or b.startswith(a) or (_has_mark(a, b) and _may_agree(a, b)) for a in one for b in two)


def _has_mark(one: str, two: str) -> bool:
    return _MARK in one or _VICTIM_MARK in two


def _may_agree(one: str, two: str) -> bool:
    """Whether two beginnings with marks for names can be beginnings of one text, whatever the names are."""
    for index, (a, b) in enumerate(zip(one, two, strict=False)):
        if a == b:
            continue
        # Two names, each filling the same level: they differ.
        both = a == _MARK and b == _VICTIM_MARK and one[:index].endswith("/") and one[index + 1 : index + 2] == "/"
        return not (both and two[index + 1 : index + 2] == "/") and (a in _MARKS or b in _MARKS)
    return True


def _join(asked: Sequence[set[str]], offered: Sequence[set[str]]) -> set[tuple[int, int]]:
    """The pairs in which a beginning of the one begins with one of the other's, or the other way round."""
    owners: dict[str, list[int]] = {}
    for number, heads in enumerate(offered):
        for head in heads:
            owners.setdefault(head, []).append(number)
    known = sorted(owners)
    lengths = sorted({len(head) for head in known})
    found: set[tuple[int, int]] = set()
    answers: dict[str, list[int]] = {}
    for number, heads in enumerate(asked):
        for head in heads:
            if head not in answers:
                meeting: list[int] = []
                for length in lengths:
                    if length >= len(head):
                        break
                    meeting += owners.get(head[:length], ())
                index = bisect_left(known, head)
                while index < len(known) and known[index].startswith(head):
                    meeting += owners[known[index]]
                    index += 1
                answers[head] = meeting
            found.update((number, other) for other in answers[head])
    return found
