"""An isolation report for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fleetgate.errors import count, printable
from fleetgate.iot_policy import assumptions
from fleetgate.iot_policy.evaluator import Outcome
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Gap, Member, Reach, Report, Verdict, Way
from fleetgate.iot_policy.model import short
from fleetgate.iot_policy.witness import Check

#: What a cell of the matrix says, the worst first: its name, its sign, and the words of the legend.
CELLS = {
    "reached": ("!", "reached: there is a witness"),
    "undecided": ("?", "undecided"),
    "missing": ("x", "declared flow that the policy does not grant"),
    "flow": (">", "declared flow, granted, and nothing else"),
    "refused": ("s", "may subscribe to the other's topics, but proven to receive nothing"),
    "isolated": (".", "isolated: proven"),
}
_DEFAULTS = assumptions.values(assumptions.DEFAULT)
#: Wider matrices are left to the page and to JSON.
MAXIMUM_COLUMNS = 40


def cells(report: Report) -> dict[tuple[str, str], str]:
    """For every ordered pair of types a key of CELLS."""
    found: dict[tuple[str, str], set[str]] = {(one, other): {"isolated"} for one in report.members for other in report.victims}
    for reach in report.reaches:
        found[reach.attacker, reach.victim].add(reach.verdict.value)
    for gap in report.gaps:
        if gap.other:
            found[gap.member, gap.other].add("missing")
    for flow in report.flows:
        found[flow].add("flow")
    return {pair: next(name for name in CELLS if name in names) for pair, names in found.items()}


def text(report: Report, members: Sequence[Member], scopes: Sequence[Scope]) -> str:
    """The matrix, its legend and every finding with its witness."""
    return "\n".join(map(printable, _lines(report, members, scopes))) + "\n"


def _lines(report: Report, members: Sequence[Member], scopes: Sequence[Scope]) -> Iterator[str]:
    found = cells(report)
    where = ", ".join(f"{scope.account} in {scope.region}" for scope in scopes)
    yield f"Rows reach columns; {len(report.members)} x {len(report.victims)} ordered pairs, account {where}"
    if len(report.victims) <= MAXIMUM_COLUMNS:
        yield ""
        yield from _matrix(report, found)
        yield ""
        used = {*found.values(), "isolated"}
        yield from (f"  {sign}  {words}" for name, (sign, words) in CELLS.items() if name in used)
    for reach in report.reaches:
        if reach.verdict is not Verdict.REFUSED:
            yield ""
            yield from _told(reach, members)
    for gap, before in zip(report.gaps, [None, *report.gaps], strict=False):
        if before is None or (gap.member, gap.other, gap.rule) != (before.member, before.other, before.rule):
            yield ""
        yield f"{gap.rule} {gap.message}"
    yield ""
    yield summary(report)
    yield premises(report, members)
    yield from (f"hangs on {turn}" for turn in report.hangs_on)


def premises(report: Report, members: Sequence[Member]) -> str:
    """What the answers rest on, in one sentence: how certificates are attached [S11], and what AWS leaves open."""
    exclusive = [member.name for member in members if member.exclusive == (True,)]
    devices = [member.name for member in members if not member.claim]
    attached = (
        "certificates attached to one thing only (EXCLUSIVE_THING)"
        if exclusive == devices
        else "certificates attached in any way"
        if not exclusive
        else f"certificates of {', '.join(exclusive)} attached to one thing only (EXCLUSIVE_THING), others in any way"
    )
    changed = [f"{name}={value}" for name, value in assumptions.values(report.assumptions).items() if value != _DEFAULTS[name]]
    given = [member.name for member in members if member.given]
    if given:
        attached += ", on each certificate having these policies and no other (of several: NAME=FILE,FILE)"
    assumed = f", with {', '.join(changed)}" if changed else ""
    return f"rests on {attached} and on the assumptions of `fleetgate authorize --assumptions`{assumed}"


def is_reached(report: Report) -> bool:
    """Whether a pair is reached, or that cannot be told."""
    return any(one in ("reached", "undecided") for one in cells(report).values())


def summary(report: Report) -> str:
    """One sentence."""
    found = list(cells(report).values())
    bad = sum(1 for one in found if one in ("reached", "undecided"))
    if report.isolated:
        return f"isolated: {count(len(found), 'pair')} proven, {count(len(report.flows), 'declared flow')} granted"
    number = len(report.gaps)
    if not bad:
        are = "is" if number == 1 else "are"
        return f"isolated, but not as declared: {count(number, 'declared topic')} {are} not granted"
    gaps = f", {count(number, 'declared topic')} not granted" if number else ""
    return f"NOT isolated: {bad} of {len(found)} pairs reached or undecided{gaps}"


def _matrix(report: Report, found: dict[tuple[str, str], str]) -> Iterator[str]:
    width = max(map(len, report.members))
    numbers = [str(number) for number in range(1, len(report.victims) + 1)]
    size = len(numbers[-1]) + 1
    label = dict(zip(report.victims, numbers, strict=True))
    yield " " * (width + size) + "".join(number.rjust(size) for number in numbers)
    for attacker in report.members:
        signs = "".join(CELLS[found[attacker, victim]][0].rjust(size) for victim in report.victims)
        yield f"{attacker.ljust(width)}{label.get(attacker, '').rjust(size)}{signs}"


def _told(reach: Reach, members: Sequence[Member]) -> Iterator[str]:
    whom = "another device of its type" if reach.attacker == reach.victim else f"a device of {reach.victim}"
    state = "" if reach.verdict is Verdict.REACHED else ", undecided"
    yield f"{reach.rule} {reach.attacker} -> {reach.victim}, {reach.way}{state}: {reach.message}"
    if not reach.checks:
        if reach.text:
            yield f"    not confirmed: {reach.action} {reach.text}" + (f", filter {reach.filter}" if reach.filter else "")
        return
    yield f"    with {_named(reach)}, {reach.names[0] or 'the claim'} can do to {whom}:"
    for check in reach.checks:
        yield f"    {_asked(check, members)}: {check.outcome.decision} by {_by(check.outcome, members)}"


def _named(reach: Reach) -> str:
    return f"names {reach.names[0]} and {reach.names[1]}" if reach.names[0] else f"the name {reach.names[1]}"


def _asked(check: Check, members: Sequence[Member]) -> str:
    identity = check.identity
    name = identity.thing_name or "the claim"
    name += (
        f" as client {identity.client_id}" if identity.client_id != identity.thing_name and identity.protocol == "mqtt" else ""
    )
    name += "".join(f" with {key}={value}" for key, value in extras(check, members).items())
    how = " over HTTPS" if identity.protocol == "https" else ""
    return f"{name}: {check.request.action} {short(check.request.resource)}{how}"


def extras(check: Check, members: Sequence[Member]) -> dict[str, str]:
    """What else must be true of the device for the decision: of its thing type only where the catalogue does not say it."""
    identity = check.identity
    given = {member.thing_type for member in members}
    chosen = {"thing type": identity.thing_type, "domain": identity.domain_name}
    told = {name: value for name, value in chosen.items() if value and value not in given}
    found = {f"attribute {name}": value for name, value in identity.attributes.items()}
    found |= {f"certificate {name}": str(value) for name, value in identity.certificate.items()}
    found |= {name: str(value) for name, value in identity.context.items()}
    if identity.source_ip:
        found["address"] = identity.source_ip
    return found | told


def _by(outcome: Outcome, members: Sequence[Member]) -> str:
    return ", ".join(statement_name(one, members) for one in outcome.allowed_by)


def statement_name(decided: tuple[str, int], members: Sequence[Member]) -> str:
    """`gateway statement 5 (PublishOnBehalfOfSensors)`."""
    policy_name, index = decided
    for member in members:
        for policy in member.policies:
            if policy.name == policy_name:
                sids = [statement.sid for statement in policy.statements if statement.index == index]
                return f"{policy_name} statement {index + 1}" + (f" ({sids[0]})" if sids and sids[0] else "")
    return f"{policy_name} statement {index + 1}"


def as_json(report: Report, members: Sequence[Member], scopes: Sequence[Scope]) -> dict[str, Any]:
    """Every pair with its verdict; ways only where there is something to say."""
    reaches: dict[tuple[str, str], list[Reach]] = {}
    for reach in report.reaches:
        reaches.setdefault((reach.attacker, reach.victim), []).append(reach)
    return {
        "isolated": report.isolated,
        "summary": summary(report),
        "premises": {
            "exclusive_attachment": [member.name for member in members if member.exclusive == (True,)],
            "taken_for_all_policies_of_a_certificate": {
                member.name: [policy.name for policy in member.policies] for member in members if member.given
            },
            "assumptions": assumptions.values(report.assumptions),
            "hangs_on": [turn.as_dict() for turn in report.hangs_on],
        },
        "scopes": [{"partition": one.partition, "region": one.region, "account": one.account} for one in scopes],
        "types": list(report.members),
        "victims": list(report.victims),
        "ways": [way.value for way in Way],
        "pairs": [
            {
                "attacker": attacker,
                "victim": victim,
                "verdict": verdict,
                "found": [_reach_as_json(reach, members) for reach in reaches.get((attacker, victim), ())],
            }
            for (attacker, victim), verdict in cells(report).items()
        ],
        "gaps": [_gap_as_json(gap) for gap in report.gaps],
        "flows": [{"from": one, "to": other} for one, other in report.flows],
    }


def _gap_as_json(gap: Gap) -> dict[str, Any]:
    return {
        "rule": gap.rule,
        "type": gap.member,
        "to": gap.other,
        "action": gap.action,
        "witness": gap.text,
        "message": gap.message,
        "undecided": gap.undecided,
    }


def _reach_as_json(reach: Reach, members: Sequence[Member]) -> dict[str, Any]:
    return {
        "rule": reach.rule,
        "way": reach.way.value,
        "verdict": reach.verdict.value,
        "message": reach.message,
        "action": reach.action,
        "witness": reach.text,
        "filter": reach.filter,
        "names": list(reach.names),
        "checks": [
            {
                "thing": check.identity.thing_name,
                "client_id": check.identity.client_id,
                "protocol": check.identity.protocol,
                "with": extras(check, members),
                "action": check.request.action,
                "resource": check.request.resource,
                "decision": check.outcome.decision.value,
                "statements": [statement_name(one, members) for one in check.outcome.allowed_by],
            }
            for check in reach.checks
        ],
    }
