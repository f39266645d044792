"""What `fleetgate access-diff` found, as a pull-request comment and for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fleetgate.errors import count, printable
from fleetgate.iot_policy.access import Change, Changes

#: Rows of one action of one type in one table: from there on a person wants the JSON.
MAXIMUM_ROWS = 20
#: Characters of a comment; GitHub refuses one of more than 65 536 ("Body is too long").
MAXIMUM_LENGTH = 60_000


def markdown(found: Changes, base: str) -> str:
    """A comment: what is gained first, since that is what has to be looked at. What does not fit in is counted."""
    lines: list[str] = []
    left = MAXIMUM_LENGTH
    missing = 0
    for line in _lines(found, base):
        if len(line) >= left:
            missing += 1
            continue
        lines.append(line)
        left -= len(line) + 1
    if missing:
        lines += ["", f"{count(missing, 'line')} more did not fit in here: `--format json` shows all."]
    return "\n".join(lines) + "\n"


def _lines(found: Changes, base: str) -> Iterator[str]:
    gained = [change for change in found.changes if change.gained and change.decided]
    lost = [change for change in found.changes if not change.gained and change.decided]
    doubtful = [change for change in found.changes if not change.decided]
    yield "### Access of devices"
    yield ""
    if not found.changes:
        yield f"No device type and no claim may do more or less than with {_code(base)}."
    else:
        counts = [f"{len(gained)} gained", f"{len(lost)} taken away", *([f"{len(doubtful)} undecided"] if doubtful else [])]
        verdict = "**Access grows**" if found.grows else "Access does not grow"
        yield f"{verdict} against {_code(base)}: {', '.join(counts)}."
    for names, what in ((found.new, "New"), (found.removed, "Removed")):
        if names:
            yield ""
            yield f"{what} device types: {', '.join(map(_code, names))}."
    if found.hangs_on:
        yield ""
        yield "That hangs on what AWS leaves open:"
        yield ""
        yield from (
            f"- {_code(f'{turn.name}={turn.value}')}: with {_code(turn.other)}, {_plain(turn.answer)}" for turn in found.hangs_on
        )
    yield from _table("Gained: allowed now, refused before", gained)
    yield from _table("Undecided: counts as gained", [change for change in doubtful if change.gained])
    yield from _table("Taken away: refused now, allowed before", lost)
    yield from _table("Undecided: perhaps taken away", [change for change in doubtful if not change.gained])


def _table(title: str, changes: list[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield f"#### {title}"
    yield ""
    yield "| type | action | for example | because of |"
    yield "|---|---|---|---|"
    shown: Counter[tuple[str, str]] = Counter()
    for change in changes:
        shown[change.member, change.action] += 1
        if shown[change.member, change.action] > MAXIMUM_ROWS:
            continue
        how = f" {change.how}" if change.how else ""
        yield f"| {_code(change.member)} | {_code(change.action)}{_plain(how)} | {_example(change)} | {_because(change)} |"
    cut = {key: number - MAXIMUM_ROWS for key, number in shown.items() if number > MAXIMUM_ROWS}
    if cut:
        yield ""
        more = ", ".join(f"{number} of {_code(member)} {_code(action)}" for (member, action), number in cut.items())
        yield f"And more of the same, which `--format json` shows: {more}."


def _example(change: Change) -> str:
    if not change.text:
        return ""
    kind = "" if change.kind == "*" else f"{change.kind}/"
    return _code(kind + change.text)


def _because(change: Change) -> str:
    if not change.decided:
        return _plain(change.why)
    sid = f" ({change.sid})" if change.sid else ""
    resource = f", {_code(change.resource.split(':', 5)[-1])}" if change.resource else ""
    return _plain(f"statement {change.statement + 1}{sid}") + resource


def _code(text: str) -> str:
    """Text of a policy as code: whatever stands in it, it stays in its cell of the table and is no markup."""
    shown = re.sub(r"\\*\|", r"\\|", printable(text))  # a backslash before the one of ours would take its effect away
    fence = "`" * (1 + max((len(run) for run in "".join(c if c == "`" else " " for c in shown).split()), default=0))
    return f"{fence} {shown} {fence}" if "`" in shown else f"{fence}{shown}{fence}"


def _plain(text: str) -> str:
    return "".join("\\" + character if character in "\\`*_[]<>|#" else character for character in text if character.isprintable())


def as_json(found: Changes, base: str) -> dict[str, Any]:
    return {
        "base": base,
        "grows": found.grows,
        "new": list(found.new),
        "removed": list(found.removed),
        "hangs_on": [turn.as_dict() for turn in found.hangs_on],
        "changes": [
            {
                "type": change.member,
                "change": "gained" if change.gained else "taken away",
                "decided": change.decided,
                "action": change.action,
                "kind": change.kind,
                "witness": change.text,
                "resource": change.resource,
                "how": change.how,
                "thing": change.name,
                "policy": change.policy,
                "statement": change.statement,
                "sid": change.sid,
                "why": change.why,
            }
            for change in found.changes
        ],
    }
