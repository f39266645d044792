"""Suppressions: findings that somebody has decided to live with, for a reason and until a day.

    [[suppress]]
    rule = "B01"
    path = "policies/legacy-*.json"
    statement = "Connect"
    reason = "fielded meters know no thing name before firmware 3"
    expires = 2027-06-30

`path` is a pattern, relative to the file's folder; `statement` (a Sid that stands once) and `pointer` (a JSON pointer and all
below it) narrow it further and may be left out. There are no others: no comments in policies, no rule switched off for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any

from fleetgate.errors import printable
from fleetgate.iot_policy import rules
from fleetgate.iot_policy.documents import Kind
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Subject

_NEEDED = ("rule", "path", "reason", "expires")
_OPTIONAL = ("statement", "pointer")
#: How far ahead a suppression may expire: whoever decides again after a year still knows why.
MAXIMUM_DAYS = 366
#: Characters of the file, some 400 suppressions; and of a line: TOML's dotted keys take longer than they grow.
MAXIMUM_SIZE = 100_000
MAXIMUM_LINE = 1_000
#: What says that a document, or a part of it, cannot be read: nothing else is known of it then, and AWS IoT refuses it anyway.
UNREADABLE = frozenset({"S01", "S03", "S04"})
#: Reported by other commands, which know no suppressions: a proof is of all devices, or none.
ELSEWHERE = {"I01": "isolation", "I02": "isolation", "I03": "access-diff", "I04": "isolation"}
#: What a pattern has to say of its files beside their ending: `p*` and `*e*` fit nearly every one.
_TELLING = 3
_WILDCARDS = re.compile(r"\[[^\]]*\]|[*?/]")


@dataclass(frozen=True, slots=True)
class Suppression:
    """line: of its `[[suppress]]`."""

    rule: str
    path: str
    reason: str
    expires: date
    statement: str | None
    pointer: str | None
    line: int

    def covers(self, finding: Finding, path: str) -> bool:
        """path: of the finding's file, relative to the suppressions' folder."""
        return (
            finding.rule == self.rule
            and fits(path, self.path)
            and (self.statement is None or (finding.statement == self.statement and not self.is_ambiguous(finding)))
            and (self.pointer is None or finding.pointer == self.pointer or finding.pointer.startswith(f"{self.pointer}/"))
        )

    def is_ambiguous(self, finding: Finding) -> bool:
        """Whether a Sid that stands in several statements is all that says which of them is meant."""
        return self.statement is not None and finding.statement == self.statement and finding.repeats_sid and not self.pointer


def fits(path: str, pattern: str) -> bool:
    """As a shell's pattern: `*`, `?` and `[...]` stay inside of a folder, and `**` as a whole level stands for any folders."""
    parts = pattern.split("/")
    at = _past_folders({0}, parts)
    for level in path.split("/"):
        stay = {index for index in at if parts[index : index + 1] == ["**"]}
        at = _past_folders(stay | {i + 1 for i in at - stay if i < len(parts) and fnmatchcase(level, parts[i])}, parts)
    return len(parts) in at


def _past_folders(at: set[int], parts: list[str]) -> set[int]:
    """`**` may stand for none, too."""
    found = set(at)
    for index in range(len(parts)):
        if index in found and parts[index] == "**":
            found.add(index + 1)
    return found


def parse(text: str, file: str, today: date) -> tuple[list[Suppression], list[Finding]]:
    """The complete suppressions of a file, and findings for all else in it. today: no date may be further ahead than a year."""
    import tomllib

    fix = "write [[suppress]] tables and nothing else"
    if len(text) > MAXIMUM_SIZE:
        what = f"is not read: it has {len(text):,} characters, {MAXIMUM_SIZE:,} are possible"
        return [], [_about("X01", file, 1, what, "put files of suppressions beside what they are for")]
    for number, written in enumerate(text.splitlines(), 1):
        if len(written) > MAXIMUM_LINE:
            return [], [_about("X01", file, number, f"is not read: the line has more than {MAXIMUM_LINE:,} characters", fix)]
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        what = str(error).replace(at[0], "") if at else str(error)
        line, column = (int(at[1]), int(at[2])) if at else (1, 1)
        return [], [_about("X01", file, line, f"not TOML: {what}", "mend the text there", column)]
    except RecursionError:
        return [], [_about("X01", file, 1, "is nested too deeply", fix)]
    except ValueError as error:  # numbers of thousands of digits, which the interpreter does not read
        return [], [_about("X01", file, 1, f"is not read: {error}", "shorten the number")]
    lines = _lines(text, "suppress")
    found: list[Suppression] = []
    findings = [
        _about("X01", file, (*_lines(text, key), 1)[0], f"{_toml(key)} is not known here", _near(key) or fix)
        for key in data
        if key != "suppress"
    ]
    listed = data.get("suppress", [])
    for index, item in enumerate(listed if isinstance(listed, list) else [listed]):
        line = lines[index] if index < len(lines) else 1
        if not isinstance(item, dict):
            findings.append(_about("X01", file, line, "suppress is not a table", "write it below [[suppress]]"))
        elif problems := list(_problems(item, today)):
            findings += [_about("X01", file, line, what, fix) for what, fix in problems]
        else:
            chosen = {name: item.get(name) for name in _OPTIONAL}
            expires = _date(item["expires"])
            assert expires is not None
            found.append(Suppression(item["rule"], item["path"], item["reason"].strip(), expires, line=line, **chosen))
    return found, findings


def _lines(text: str, key: str) -> list[int]:
    """Where `[[key]]`, `[key]` or `key =` stand."""
    head = re.compile(rf"\s*(?:\[\[?\s*)?[\"']?{re.escape(key)}[\"']?\s*[].=]")
    return [number for number, line in enumerate(text.splitlines(), 1) if head.match(line)]


def _near(key: str) -> str | None:
    from difflib import get_close_matches

    return "write [[suppress]]" if get_close_matches(key.lower(), ["suppress", "suppression", "suppressions"], 1) else None


def apply(
    findings: Sequence[Finding],
    suppressions: Sequence[Suppression],
    file: str,
    today: date,
    looked_at: Iterable[str],
    relative: Callable[[str], str],
    existing: Callable[[str], Collection[str]],
    concerns: Callable[[str, Collection[str]], bool] = lambda rule, there: True,
) -> tuple[list[Finding], int]:
    """The findings that are left with those about the suppressions, and how many were suppressed.

    looked_at: the files that this run has judged, or has seen to hold nothing to judge. relative: a file relative to the
    suppressions' folder. existing: the files that are there for a pattern, relative as well; only a run that has looked at every
    one of them can say that a suppression is unused. concerns: whether that is for this run to say of a rule and these files, of
    several runs that look at a kind of document each.
    """
    looked_at = set(looked_at)
    paths = {name: relative(name) for name in {*looked_at, *(finding.file for finding in findings)}}
    seen = {paths[name] for name in looked_at}
    active = [s for s in suppressions if s.expires >= today]
    used: set[int] = set()
    left = []
    ambiguous: dict[tuple[int, str | None, str], Finding] = {}
    for finding in findings:
        for s in active:
            if replace(s, statement=None).covers(finding, paths[finding.file]) and s.is_ambiguous(finding):
                used.add(id(s))
                what = f"the Sid {_toml(finding.statement)} stands in more than one statement of {printable(finding.file)}"
                fix = "give every statement a Sid of its own, or add the pointer of one"
                ambiguous.setdefault((id(s), s.statement, finding.file), _about("X01", file, s.line, what, fix))
        covering = [s for s in active if s.covers(finding, paths[finding.file])]
        used.update(id(s) for s in covering)
        if not covering:
            left.append(finding)
    suppressed = len(findings) - len(left)
    left += ambiguous.values()
    for suppression in (one for one in suppressions if id(one) not in used):
        what = f"{suppression.rule} in {suppression.path}"
        if suppression.expires < today:
            message = f"the suppression of {what} expired on {suppression.expires}"
            left.append(
                _about("X02", file, suppression.line, message, "mend what it is about, or decide again and write a new date")
            )
            continue
        there = existing(suppression.path)
        if concerns(suppression.rule, there) and (why := _unused(suppression, seen, there)):
            left.append(_about("X03", file, suppression.line, why, "remove it"))
    return left, suppressed


def _unused(suppression: Suppression, seen: Collection[str], there: Collection[str]) -> str | None:
    """Why a suppression that has suppressed nothing is not needed; None if this run cannot tell. there: for its path."""
    if there:
        is_unused = all(path in seen for path in there)
        return f"nothing is suppressed by the suppression of {suppression.rule} in {suppression.path}" if is_unused else None
    return f"the suppression of {suppression.rule} is for {suppression.path}, and there is no such file any more"


def kind_of(rule: str) -> Kind:
    """The kind of document that a rule is about."""
    return _KINDS.get(rules.by_id()[rule].subject, Kind.POLICY)


_KINDS = {Subject.TEMPLATE: Kind.TEMPLATE, Subject.PLAN: Kind.PLAN}


def _problems(item: dict[str, Any], today: date) -> Iterable[tuple[str, str]]:
    for name in _NEEDED:
        if name not in item or item[name] == "" or (isinstance(item[name], str) and not item[name].strip()):
            yield f"{name} is missing", f"add {name} = {_EXAMPLES[name]}"
    for name, value in item.items():
        if name not in (*_NEEDED, *_OPTIONAL):
            yield f"{_toml(name)} is not known", f"use {', '.join((*_NEEDED, *_OPTIONAL))}"
        elif name == "expires":
            if (day := _date(value)) is None:
                yield f"expires is {_toml(value)}", f"write a day: expires = {_EXAMPLES['expires']}"
            elif day > today + timedelta(days=MAXIMUM_DAYS):
                yield f"expires is {_toml(value)}, further ahead than a year", "write a nearer day, and decide again then"
        elif not isinstance(value, str):
            yield f"{name} is {_toml(value)}", "write it as a text in quotes"
    if isinstance(path := item.get("path"), str):
        if path.startswith("/") or ".." in path.split("/"):
            yield f"path is {_toml(path)}, outside of this file's folder", "put a file of suppressions beside what it is for"
        elif not _is_telling(path):
            yield f"path is {_toml(path)}, which fits too many files", "name a file, or those of a folder: policies/*.json"
        elif path.endswith("/") or path == ".":
            yield f"path is {_toml(path)}, a folder", "name its files: policies/*.json"
    rule = item.get("rule")
    if isinstance(rule, str) and rule:
        yield from _about_rule(rule)


def _is_telling(path: str) -> bool:
    """Whether a pattern names a file, a folder, or some characters of a name. The ending of policies says nothing."""
    parts = _WILDCARDS.split(path)
    return not re.search(r"[*?\[]", path) or any(len(part) >= _TELLING and part not in ".json.j2" for part in parts)


def _about_rule(rule: str) -> Iterable[tuple[str, str]]:
    if rule not in rules.by_id():
        yield f"there is no rule {_toml(rule)}", "see `fleetgate explain` for the ids"
    elif rule.startswith("X"):
        yield f"{rule} cannot be suppressed: it is about a suppression", "mend the suppression that it is about"
    elif rule in ELSEWHERE:
        what = f"{rule} cannot be suppressed: `fleetgate {ELSEWHERE[rule]}` reports it, and reads no suppressions"
        yield what, "narrow the policy, or declare the flow in the catalogue; then remove this"
    elif rule in UNREADABLE:
        what = f"{rule} cannot be suppressed: of what cannot be read nobody knows what else is wrong with it"
        yield what, "mend the document, or take it out of what is linted; then remove this"


def _toml(value: Any) -> str:
    """A value as a person has written it in the file, or nearly so; a long one is cut."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict | list):
        text = "a table" if isinstance(value, dict) else "a list"
    else:
        text = value.isoformat() if isinstance(value, date | time) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 60


_EXAMPLES = {
    "rule": '"B01"',
    "path": '"policies/legacy.json"',
    "reason": '"why this is right for now"',
    "expires": "2027-06-30",
}


def _date(value: Any) -> date | None:
    """A day, or None. TOML has dates; a day in quotes is taken as well."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def _about(id: str, file: str, line: int, message: str, fix: str, column: int = 1) -> Finding:
    rule = rules.by_id()[id]
    return Finding(rule.id, rule.severity, file, line, column, "", message, fix)
