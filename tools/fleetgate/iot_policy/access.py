"""What one version of a policy lets in that another does not: by inclusion of languages, with a witness for every difference.

The shape of the question is Zelkova's: is this policy no more permissive than that one. docs/isolation.md says how unknown
conditions and variables are treated; what cannot be told counts as growth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from fleetgate.iot_policy import actions, budget, pattern, topics, variables
from fleetgate.iot_policy.actions import Action
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions, Turn, turns
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, find
from fleetgate.iot_policy.budget import Undecided
from fleetgate.iot_policy.evaluator import Request, authorize, covers_action
from fleetgate.iot_policy.grants import ANY_KIND, SOME_CLIENT_ID, TOO_LARGE, Holder, Scope, are_searchable
from fleetgate.iot_policy.isolation import CONNECT, UNREADABLE, Fleet, Member
from fleetgate.iot_policy.model import Policy, Statement
from fleetgate.iot_policy.pattern import Wildcard
from fleetgate.iot_policy.thing_names import choose, shape
from fleetgate.iot_policy.witness import confirm

#: Conditions that depend on what is not known are tried as met and as not met, up to this many together.
MAXIMUM_CONDITIONS = 4
#: A certificate outlives its exclusive attachment: detached, it still has its policies.
_HOWEVER_ATTACHED = (False, True)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. resource: as written in the policy, "" if no single one grants it. how: over HTTPS, or as another client.

    decided: False if the two may differ and it cannot be told. statement: index and Sid of the one that allows it.
    """

    member: str
    gained: bool
    action: str
    kind: str
    text: str
    resource: str = ""
    how: str = ""
    name: str = ""
    policy: str = ""
    statement: int = -1
    sid: str = ""
    decided: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """new, removed: types that the base, or the working tree, has not. compared: types in both.

    hangs_on: assumptions that alone would make access grow that does not, once `with_turns` has asked.
    """

    changes: tuple[Change, ...]
    new: tuple[str, ...]
    removed: tuple[str, ...]
    compared: tuple[str, ...]
    hangs_on: tuple[Turn, ...] = ()

    @property
    def grows(self) -> bool:
        return any(change.gained for change in self.changes)  # also what may be gained and cannot be told


def compare(
    before: Sequence[Member],
    before_scope: Scope,
    after: Sequence[Member],
    after_scope: Scope,
    assumptions: Assumptions = DEFAULT,
) -> Changes:
    """Every type of either side; a type that one side has not is allowed nothing there."""
    old, new = ({member.name: member for member in side} for side in (before, after))
    changes: list[Change] = []
    for name in [*new, *(name for name in old if name not in new)]:
        first = replace(old.get(name) or replace(new[name], policies=()), exclusive=_HOWEVER_ATTACHED)
        second = replace(new.get(name) or replace(old[name], policies=()), exclusive=_HOWEVER_ATTACHED)
        if (first.policies, first.thing_type, before_scope) == (second.policies, second.thing_type, after_scope):
            continue
        if not all(policy.is_whole for policy in (*first.policies, *second.policies)):
            changes.append(Change(name, True, "iot:*", "", "", decided=False, why=UNREADABLE))
            continue
        sides = ((first.policies, before_scope), (second.policies, after_scope))
        if not all(are_searchable(policies, scope, assumptions) for policies, scope in sides):
            changes.append(Change(name, True, "iot:*", "", "", decided=False, why=TOO_LARGE))
            continue
        with budget.limited():
            changes += _Comparison(first, before_scope, second, after_scope, assumptions).changes()
    return Changes(
        tuple(changes),
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old),
    )


def with_turns(
    changes: Changes,
    before: Sequence[Member],
    before_scope: Scope,
    after: Sequence[Member],
    after_scope: Scope,
    assumptions: Assumptions = DEFAULT,
) -> Changes:
    """The same changes; if access does not grow, with the assumptions that this hangs on."""
    if changes.grows:
        return changes

    def answer(assumed: Assumptions) -> str:
        grown = [change for change in compare(before, before_scope, after, after_scope, assumed).changes if change.gained]
        first = next((change for change in grown if change.decided), next(iter(grown), None))
        return f"{first.member} {'gains' if first.decided else 'may gain'} {first.action} {first.text}".rstrip() if first else ""

    with budget.limited():
        return replace(changes, hangs_on=turns(assumptions, answer))


@dataclass(frozen=True, slots=True)
class _Situation:
    """One device before and after. how: what is said of it. only: True, False if only what is gained, or lost, is asked of it."""

    before: Holder
    after: Holder
    how: str
    only: bool | None = None


class _Comparison:
    """One type before and after."""

    def __init__(self, before: Member, before_scope: Scope, after: Member, after_scope: Scope, assumptions: Assumptions) -> None:
        self.before, self.after = before, after
        self._new_clients: dict[tuple[str, bool], str | None] = {}
        # What is not known of a device is the same before and after: a text that stands for any other.
        attributes, certificate = _unknown([*before.policies, *after.policies])
        sides = ((before, before_scope), (after, after_scope))
        self.fleets = tuple(Fleet([one], scope, assumptions, attributes, certificate) for one, scope in sides)
        self.bounds = tuple(Fleet([one], scope, assumptions) for one, scope in sides) if attributes or certificate else ()

    def changes(self) -> Iterator[Change]:
        """Of every action what is gained, what cannot be told and what is lost, in this order."""
        names, complete = self._names()
        for action in actions.ACTIONS.values():
            if action.name in actions.OLD_JOB_ACTIONS:
                continue  # the same request under its former name
            if not self._differs(action):
                continue
            rows: dict[tuple[object, ...], Change] = {}
            for name, gained, kind in product(names, (True, False), action.resources or (ANY_KIND,)):
                for change in self._differences(name, action, kind, gained):
                    key = (gained, change.resource or change.text, change.kind)
                    if key not in rows or (rows[key].how and not change.how):  # over MQTT, as itself, says most
                        rows[key] = change
            if not any(change.gained for change in rows.values()):
                why = "" if complete else "a variable does not fill a level of its own"
                why = why or next(filter(None, (self._may_gain(name, action) for name in names)), "")
                if why:
                    yield self._undecided(True, action, "", why)
            yield from sorted(rows.values(), key=lambda change: not change.gained)

    def _undecided(self, gained: bool, action: Action, kind: str, why: str) -> Change:
        return Change(self.after.name, gained, action.name, kind, "", decided=False, why=why)

    def _may_gain(self, name: str | None, action: Action) -> str:
        """Why something may be gained for some values of what is not known, and for others on the other side; "" if not."""
        if not self.bounds:
            return ""
        try:
            for situation in self._situations(name, action, self.bounds):
                if situation.only is False:
                    continue
                for kind in action.resources or (ANY_KIND,):
                    more = situation.after.grant(action.name, kind)
                    less = replace(situation.before, lower=True).grant(action.name, kind)
                    if find([Requirement(more), Requirement(less, False)]) is not None:
                        return "it depends on attributes or on the certificate"
        except Undecided as error:
            return str(error)
        return ""

    def _names(self) -> tuple[list[str | None], bool]:
        if self.after.claim:
            return [None], True
        fleet = self.fleets[1]
        seen = shape((*self.before.policies, *self.after.policies), fleet.scope, fleet.assumptions)
        chosen = choose(seen, self.after.names, seen, self.after.names)
        names = dict.fromkeys(name for name, _ in chosen.pairs if self.after.names.holds(name))
        return list(names) or [self.after.names.first], chosen.complete

    def _situations(self, name: str | None, action: Action, fleets: tuple[Fleet, ...] = ()) -> Iterator[_Situation]:
        """The device connected as itself, over HTTPS, and under another client id. Raises Undecided, the last of them only."""
        before, after = fleets or self.fleets
        if name is not None and action.mqtt:
            yield _Situation(before.own(self.before, name), after.own(self.after, name), "")
        if action.https:
            how = "over HTTPS" if action.mqtt else ""
            yield _Situation(before.over_https(self.before, name), after.over_https(self.after, name), how)
        if name is not None and action.mqtt and action.name != CONNECT and self._names_device(action):
            # Under a client id that only one side lets it have: is it allowed what, connected as itself, the other refuses?
            for here, there in ((after, before), (before, after)):
                client = self._new_client(name, here, there)
                for holder in here.under(self._of(here), name, client) if client else ():
                    itself = there.own(self._of(there), name)
                    pair = (itself, holder) if here is after else (holder, itself)
                    yield _Situation(*pair, f"as client {client}", here is after)
        for client in self._clients(name, action, before, after):
            holders = zip(before.under(self.before, name, client), after.under(self.after, name, client), strict=True)
            how = "" if name is None else "as another client" if client == SOME_CLIENT_ID else f"as client {client}"
            yield from (_Situation(one, two, how) for one, two in holders)

    def _clients(self, name: str | None, action: Action, before: Fleet, after: Fleet) -> Iterator[str]:
        """Client ids, not the device's name, that it may connect under before or after; of Connect the id is what is asked."""
        loose = [(fleet, member) for fleet, member in ((after, self.after), (before, self.before)) if fleet.is_loose(member)]
        if not loose or not action.mqtt:
            return
        if action.name == CONNECT or any(fleet.asks(member) for fleet, member in loose):
            yield SOME_CLIENT_ID  # a condition may ask for one id of many
        if action.name != CONNECT:
            yield from dict.fromkeys(filter(None, (self._client(fleet, member, name) for fleet, member in loose)))

    def _of(self, fleet: Fleet) -> Member:
        return fleet.members[0]

    def _new_client(self, name: str, here: Fleet, there: Fleet) -> str | None:
        """A client id, not the device's name, that it may connect under here and not there. Raises Undecided."""
        key = (name, here is self.fleets[1] or bool(self.bounds and here is self.bounds[1]))
        if key not in self._new_clients:
            self._new_clients[key] = self._found_client(name, here, there)
        return self._new_clients[key]

    def _found_client(self, name: str, here: Fleet, there: Fleet) -> str | None:
        if not here.is_loose(self._of(here)) or not self._connect_differs:
            return None
        sides = (fleet.under(self._of(fleet), name, SOME_CLIENT_ID) for fleet in (here, there))
        allowed, refused = ([one.grant(CONNECT, "client") for one in side] for side in sides)
        others = [Requirement(Grant(Side(((name,),))), False), *(Requirement(one, False) for one in refused)]
        found = (find([Requirement(one), *others], never_first="$") for one in allowed)
        return next(filter(None, found), None)

    @cached_property
    def _connect_differs(self) -> bool:
        return self._statements_differ(actions.ACTIONS[CONNECT.lower()])

    def _client(self, fleet: Fleet, member: Member, name: str | None) -> str | None:
        holder = fleet.under(member, name, SOME_CLIENT_ID)[0]
        required = [Requirement(holder.grant(CONNECT, "client"))]
        if name is not None:
            required.append(Requirement(Grant(Side(((name,),))), False))
        return find(required, never_first="$")

    def _differences(self, name: str | None, action: Action, kind: str, gained: bool) -> Iterator[Change]:
        try:
            for situation in self._situations(name, action):
                if situation.only is (not gained):
                    continue
                yield from self._in_situation(situation, name, action, kind, gained)
        except Undecided as error:
            yield self._undecided(gained, action, kind, str(error))

    def _in_situation(self, situation: _Situation, name: str | None, action: Action, kind: str, gained: bool) -> Iterator[Change]:
        more, less = (situation.after, situation.before) if gained else (situation.before, situation.after)
        found = False
        undecided: Change | None = None
        try:
            for change in self._rows(situation, more, less, action, kind, gained):
                if change.decided:
                    found = True
                    yield change
                else:
                    undecided = undecided or change
        except Undecided as error:
            undecided = self._undecided(gained, action, kind, str(error))
        if undecided is not None and not found:
            yield replace(undecided, how=situation.how, name=name or "")

    def _rows(
        self, situation: _Situation, more: Holder, less: Holder, action: Action, kind: str, gained: bool
    ) -> Iterator[Change]:
        seen: set[str] = set()
        client = more.identity.client_id
        # A connection is asked for under its own id.
        asked = [Grant(Side(((client,),)))] if action.name == CONNECT and client != SOME_CLIENT_ID else []
        for resource, extra in _pieces(more, action, kind):
            for one, other in _settled(more, less, action, kind):
                required = [Requirement(one), Requirement(other, False), *map(Requirement, [*asked, *extra])]
                text = self._example(required, kind, more.identity.thing_name)
                if text is None or (resource == "" and seen):
                    continue
                change = self._judged(situation, more, less, action, kind, gained, text)
                if change.decided and text in seen:
                    break
                seen.add(text)
                yield replace(change, resource=resource)
                if change.decided:
                    break

    def _example(self, required: list[Requirement], kind: str, name: str | None) -> str | None:
        """A shortest text; if nothing in it is the device's own, one with another device's name, which says more."""
        shortest = _find(required, kind)
        if shortest is None or (name is not None and name in shortest):
            return shortest
        another = self.after.names.second if name != self.after.names.second else self.after.names.first
        levels = [(Wildcard.ANY, f"/{another}", Wildcard.ANY)] if kind in ("topic", "topicfilter") else []
        its = Grant(Side(((another, Wildcard.ANY), *levels)))
        try:
            return _find([*required, Requirement(its)], kind) or shortest
        except Undecided:
            return shortest

    def _judged(
        self, situation: _Situation, more: Holder, less: Holder, action: Action, kind: str, gained: bool, text: str
    ) -> Change:
        request = Request(action.name, more.scope.prefix(kind) + text)
        change = Change(self.after.name, gained, action.name, kind, text, how=situation.how, name=more.identity.thing_name or "")
        holder = more
        if more.identity.client_id == SOME_CLIENT_ID and action.name == CONNECT:
            holder = replace(more, identity=replace(more.identity, client_id=text))
        checks = confirm(holder, [request])
        if checks is None:
            return replace(change, decided=False, why="the evaluator does not confirm it")
        identity = checks[0].identity
        other = Request(action.name, less.scope.prefix(kind) + text)
        if less.identity.client_id != more.identity.client_id:
            identity = replace(identity, client_id=less.identity.client_id, exclusive=less.identity.exclusive)
        if authorize(less.policies, other, identity, less.assumptions).allowed:
            return replace(change, decided=False, why="it depends on what the policy does not say")
        policy, index = checks[0].outcome.allowed_by[0]
        sids = [one.sid for each in more.policies for one in each.statements if (each.name, one.index) == (policy, index)]
        return replace(change, policy=policy, statement=index, sid=(sids[0] or "") if sids else "")

    def _differs(self, action: Action) -> bool:
        """Whether a statement about the action was added, removed or changed; moving it is no change."""
        if self.before.thing_type != self.after.thing_type or self.fleets[0].scope != self.fleets[1].scope:
            return True
        # The same statement is another one under another client id.
        return self._statements_differ(action) or (action.mqtt and self._connect_differs and self._names_device(action))

    def _names_device(self, action: Action) -> bool:
        names = {variables.CLIENT_ID, variables.THING_NAME, variables.THING_TYPE, variables.IS_ATTACHED}
        for statement in _about((*self.before.policies, *self.after.policies), action):
            asked = [variables.canonical(one.key) for one in statement.conditions]
            texts = (*(one.text for one in statement.resources), *(v.text for one in statement.conditions for v in one.values))
            asked += (variables.canonical(name) for text in texts for name in pattern.parse(text).variables)
            if any(name in names or variables.attribute_name(name) for name in asked):
                return True
        return False

    def _statements_differ(self, action: Action) -> bool:
        one, two = (
            {(policy.version, *_content(s)) for policy in member.policies for s in _about((policy,), action)}
            for member in (self.before, self.after)
        )
        return one != two


def _find(required: list[Requirement], kind: str) -> str | None:
    """A name of a resource; of a filter first one without wildcards, which says more."""
    found = find(
        required, never="+#\0" if kind in ("topic", "topicfilter") else "\0", never_first="$" if kind == "client" else ""
    )
    if found is None and kind == "topicfilter":
        found = find(required, never="\0")
        return found if found is not None and topics.is_filter(found) else None
    return found


def _about(policies: Sequence[Policy], action: Action) -> Iterator[Statement]:
    names = (action.name.lower(), action.name.lower().replace("iotjobsdata:", "iot:"))
    return (one for policy in policies for one in policy.statements if covers_action(one, names))


def _content(statement: Statement) -> tuple[object, ...]:
    return (
        statement.allow,
        statement.negated_actions or tuple(sorted(item.text for item in statement.actions)),
        statement.negated_resources,
        tuple(sorted(item.text for item in statement.resources)),
        tuple(sorted((one.operator, one.key, tuple(sorted(v.text for v in one.values))) for one in statement.conditions)),
    )


def _pieces(holder: Holder, action: Action, kind: str) -> Iterator[tuple[str, list[Grant]]]:
    """Each resource that grants the action by itself, so that each gets its witness; last, everything together."""
    fixed = [Grant(Side((("*",),)))] if kind == ANY_KIND and not action.any_resource else []
    for resource, globs in holder.granted(action.name, kind):
        yield resource, [*fixed, Grant(Side(globs))]
    yield "", fixed


def _settled(more: Holder, less: Holder, action: Action, kind: str) -> Iterator[tuple[Grant, Grant]]:
    """The two languages under every answer that conditions about unknown values may have, the same answer on both sides."""
    open_conditions = sorted({*more.open_conditions(action.name), *less.open_conditions(action.name)}, key=repr)
    if len(open_conditions) > MAXIMUM_CONDITIONS:
        raise Undecided(f"more than {MAXIMUM_CONDITIONS} conditions depend on values that are not known")
    for answers in product((True, False), repeat=len(open_conditions)):
        settled = tuple(zip(open_conditions, answers, strict=True))
        most, least = replace(more, settled=settled), replace(less, settled=settled, lower=True)
        yield most.grant(action.name, kind), least.grant(action.name, kind)


def _unknown(policies: Sequence[Policy]) -> tuple[dict[str, str], dict[str, str]]:
    """A value for every attribute and certificate field that a resource names."""
    attributes: dict[str, str] = {}
    certificate: dict[str, str] = {}
    for policy in policies:
        for statement in policy.statements:
            for resource in statement.resources:
                for name in resource.arn.whole.variables:
                    known = variables.known(name)
                    attribute = variables.attribute_name(name)
                    if attribute is not None:
                        attributes[attribute] = "value-of-" + re.sub("[^a-zA-Z0-9]", "-", attribute)
                    elif known is not None and known.kind is variables.Kind.CERTIFICATE:
                        field, _ = variables.split_certificate(name)
                        certificate[field] = "value-of-" + field.replace(".", "-")
    return attributes, certificate
