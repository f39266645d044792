"""What one version of a policy lets in that another does not: by inclusion of languages, with a witness for every difference.

The shape of the question is Zelkova's: is this policy no more permissive than that one. docs/isolation.md says how unknown
conditions and variables are treated; what cannot be told counts as growth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from fleetgate.iot_policy import actions, conditions, pattern, variables
from fleetgate.iot_policy.actions import Action
from fleetgate.iot_policy.assumptions import DEFAULT, Assumptions
from fleetgate.iot_policy.automaton import Grant, Requirement, Side, Tokens, Undecided, find
from fleetgate.iot_policy.evaluator import Identity, Request, authorize, covers_action
from fleetgate.iot_policy.grants import ANY_KIND, SOME_CLIENT_ID, Holder, Scope
from fleetgate.iot_policy.isolation import CONNECT, Fleet, Member
from fleetgate.iot_policy.model import Policy, Statement
from fleetgate.iot_policy.pattern import Variable
from fleetgate.iot_policy.thing_names import choose, shape
from fleetgate.iot_policy.witness import confirm

#: Conditions that depend on what is not known are tried as met and as not met, up to this many together.
MAXIMUM_CONDITIONS = 4
#: Differences shown of one action of one type.
MAXIMUM_ROWS = 20


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
    """new, removed: types that the base, or the working tree, has not. compared: types in both."""

    changes: tuple[Change, ...]
    new: tuple[str, ...]
    removed: tuple[str, ...]
    compared: tuple[str, ...]

    @property
    def grows(self) -> bool:
        return any(change.gained or not change.decided for change in self.changes)


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
        first = old.get(name) or replace(new[name], policies=())
        second = new.get(name) or replace(old[name], policies=())
        if first.policies == second.policies and before_scope == after_scope:
            continue
        changes += _Comparison(Fleet([first], before_scope, assumptions), Fleet([second], after_scope, assumptions)).changes()
    return Changes(
        tuple(changes),
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old),
    )


@dataclass(frozen=True, slots=True)
class _Situation:
    """One device before and after. how: what is said of it."""

    before: Holder
    after: Holder
    how: str


class _Comparison:
    """One type before and after."""

    def __init__(self, before: Fleet, after: Fleet) -> None:
        self.fleets = (before, after)
        self.before, self.after = before.members[0], after.members[0]

    def changes(self) -> Iterator[Change]:
        names, complete = self._names()
        for action in actions.ACTIONS.values():
            if action.name in actions.OLD_JOB_ACTIONS:
                continue  # the same request under its former name
            rows: dict[tuple[bool, str, str], Change] = {}
            for name, (gained, kind) in product(names, product((True, False), action.resources or (ANY_KIND,))):
                for change in self._differences(name, action, kind, gained):
                    rows.setdefault((gained, change.resource or change.text, change.kind), change)
            if not complete and not any(gained for gained, _, _ in rows) and self._differs(action):
                why = "a variable that does not fill a level of its own"
                yield Change(self.after.name, True, action.name, "", "", decided=False, why=why)
            yield from list(rows.values())[:MAXIMUM_ROWS]

    def _names(self) -> tuple[list[str | None], bool]:
        if self.after.claim:
            return [None], True
        fleet = self.fleets[1]
        seen = shape((*self.before.policies, *self.after.policies), fleet.scope, fleet.assumptions)
        chosen = choose(seen, self.after.names, seen, self.after.names)
        names = dict.fromkeys(name for name, _ in chosen.pairs if self.after.names.holds(name))
        return list(names) or [self.after.names.first], chosen.complete

    def _situations(self, name: str | None, action: Action) -> Iterator[_Situation]:
        before, after = self.fleets
        if name is not None and action.mqtt:
            yield _Situation(before.own(self.before, name), after.own(self.after, name), "")
        if action.mqtt and after.is_loose(self.after):
            client = SOME_CLIENT_ID if action.name == CONNECT else self._client(name)
            if client is not None:
                holders = zip(before.under(self.before, name, client), after.under(self.after, name, client), strict=True)
                how = "" if name is None else "as another client" if client == SOME_CLIENT_ID else f"as client {client}"
                yield from (_Situation(one, two, how) for one, two in holders)
        elif action.mqtt and action.name == CONNECT and before.is_loose(self.before):
            pairs = zip(
                before.under(self.before, name, SOME_CLIENT_ID), after.under(self.after, name, SOME_CLIENT_ID), strict=True
            )
            yield from (_Situation(one, two, "as another client") for one, two in pairs)
        if action.https:
            how = "over HTTPS" if action.mqtt else ""
            yield _Situation(before.over_https(self.before, name), after.over_https(self.after, name), how)

    def _client(self, name: str | None) -> str | None:
        """A client id, not the device's name, that it may connect under."""
        holder = self.fleets[1].under(self.after, name, SOME_CLIENT_ID)[0]
        required = [Requirement(holder.grant(CONNECT, "client"))]
        if name is not None:
            required.append(Requirement(Grant(Side(((name,),))), False))
        return find(required, never_first="$")

    def _differences(self, name: str | None, action: Action, kind: str, gained: bool) -> Iterator[Change]:
        for situation in self._situations(name, action):
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
                undecided = Change(self.after.name, gained, action.name, kind, "", decided=False, why=str(error))
            if undecided is not None and not found and self._differs(action):
                yield replace(undecided, how=situation.how, name=name or "")

    def _rows(
        self, situation: _Situation, more: Holder, less: Holder, action: Action, kind: str, gained: bool
    ) -> Iterator[Change]:
        seen: set[str] = set()
        for resource, extra in _pieces(more, action, kind):
            for one, other in _settled(more, less, action, kind):
                required = [Requirement(one), Requirement(other, False), *map(Requirement, extra)]
                text = find(required, never="+#\0" if kind == "topic" else "\0", never_first="$" if kind == "client" else "")
                if text is None or (resource == "" and seen):
                    continue
                change = self._judged(situation, more, less, action, kind, gained, text)
                if change.decided and text in seen:
                    break
                seen.add(text)
                yield replace(change, resource=resource)
                if change.decided:
                    break

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
        if authorize(less.policies, other, identity, less.assumptions).allowed:
            return replace(change, decided=False, why="it depends on what the policy does not say")
        policy, index = checks[0].outcome.allowed_by[0]
        sids = [one.sid for each in more.policies for one in each.statements if (each.name, one.index) == (policy, index)]
        return replace(change, policy=policy, statement=index, sid=(sids[0] or "") if sids else "")

    def _differs(self, action: Action) -> bool:
        """Whether a statement about the action was added, removed or changed; moving it is no change."""
        one, two = ({_content(s) for s in _about(member.policies, action)} for member in (self.before, self.after))
        return one != two


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
        yield more.settle(settled).grant(action.name, kind), less.settle(settled).lower(action.name, kind)
