"""What is there against what the files say: which resources differ and in which attributes, never with a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleetgate.errors import count, printable

#: Characters of a report; GitHub refuses one of more than 65 536.
MAXIMUM_LENGTH = 60_000
THERE = "Environment {env} is not what its files say"
PLANNED = "What an apply would change in {env}"
_WHAT = {
    ("create",): "is missing",
    ("delete",): "is there, and no longer in the files",
    ("update",): "differs",
    ("delete", "create"): "differs, and would be replaced",
    ("create", "delete"): "differs, and would be replaced",
    ("create", "forget"): "differs, and would be made anew beside the old one, which nobody owns then",
    ("forget",): "is there, and would be nobody's: Terraform forgets it",
}
_TAKEN_OVER = "is there, and would be taken over"
_UNCHANGED = {("no-op",), ("read",)}


@dataclass(frozen=True)
class Difference:
    """address: of the resource. what: how it differs. attributes: dotted names, none for a resource that is missing or too much.

    outside: somebody has changed it by other means than Terraform; else the files have changed and are not applied yet.
    """

    address: str
    what: str
    attributes: tuple[str, ...]
    outside: bool

    @property
    def cause(self) -> str:
        return "changed by hand" if self.outside else "not applied yet"

    def __str__(self) -> str:
        names = f": {', '.join(self.attributes)}" if self.attributes else ""
        return printable(f"{self.address} {self.what}{names} ({self.cause})")


def differences(plan: Mapping[str, Any]) -> list[Difference]:
    """From a plan as `terraform show -json` writes it, made against what is there now."""
    outside = {change["address"]: change["change"] for change in plan.get("resource_drift", ())}
    found = []
    for change in plan.get("resource_changes", ()):
        actions = tuple(change["change"]["actions"])
        imported = actions in _UNCHANGED and change["change"].get("importing")
        if (actions in _UNCHANGED and not imported) or change.get("mode", "managed") != "managed":
            continue
        # What a later Terraform calls by another name is a change all the same.
        what = _TAKEN_OVER if imported else _WHAT.get(actions, f"differs, Terraform says: {', '.join(actions)}")
        names = tuple(sorted(_changed(change["change"]))) if "differs" in what else ()
        found.append(Difference(change["address"], what, names, _is_outside(change["change"], outside.get(change["address"]))))
    return sorted(found, key=lambda difference: difference.address)


def _is_outside(planned: Mapping[str, Any], seen: Mapping[str, Any] | None) -> bool:
    """Whether what would be put right is what was changed: AWS moves times and versions by itself, which nobody has to mend."""
    if seen is None:
        return False
    if not planned.get("before"):
        return True  # it is gone
    return bool(set(_changed(seen)) & set(_changed(planned)))


def _changed(change: Mapping[str, Any]) -> Iterator[str]:
    """Names of attributes whose values differ. What is known after apply only follows from something else, which is named."""
    before, after = change.get("before") or {}, change.get("after") or {}
    unknown = change.get("after_unknown") or {}
    for name in {*before, *after}:
        if unknown.get(name) is not True:
            yield from _differing(name, before.get(name), after.get(name))


def _differing(name: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {*before, *after}:
            yield from _differing(f"{name}.{key}", before.get(key), after.get(key))
    else:
        yield name


def markdown(found: Iterable[Difference], env: str, heading: str = THERE) -> str:
    """A report for an issue; "" if nothing differs, since then there is none. What does not fit in is counted."""
    listed = list(found)
    lines = [f"### {heading.format(env=_code(env))}", ""]
    if not listed:
        return "" if heading == THERE else "\n".join([*lines, "Nothing."]) + "\n"
    lines += [
        f"{count(len(listed), 'resource')} would be changed by an apply. Values are left out on purpose.",
        "",
        "| resource | what | attributes | cause |",
        "|---|---|---|---|",
    ]
    left = MAXIMUM_LENGTH - sum(map(len, lines))
    missing = 0
    for difference in listed:
        names = ", ".join(map(_code, difference.attributes))
        row = f"| {_code(difference.address)} | {difference.what} | {names} | {difference.cause} |"
        left -= len(row) + 1
        if left > 0:
            lines.append(row)
        else:
            missing += 1
    if missing:
        lines += ["", f"{count(missing, 'resource')} more did not fit in here: `fleetgate drift --format json` shows all."]
    lines += [
        "",
        f"`changed by hand`: if the change is right, put it into the files; `make apply ENV={env}` takes it back otherwise. "
        "`not applied yet`: apply what is merged, or find out why that failed.",
    ]
    return "\n".join(lines) + "\n"


def as_json(found: Iterable[Difference]) -> list[dict[str, Any]]:
    return [
        {"address": one.address, "what": one.what, "attributes": list(one.attributes), "changedOutside": one.outside}
        for one in found
    ]


def _code(text: str) -> str:
    """As code in a table: the key of a for_each may hold anything."""
    # A backslash before the one of ours would take its effect away: the cell would end there, and what follows not be code.
    return "`" + re.sub(r"\\*\|", r"\\|", text.replace("`", "'").replace("\n", " ")) + "`"
