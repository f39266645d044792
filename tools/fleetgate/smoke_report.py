"""What a smoke check found, as data, as lines for people, as JSON and as JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

from fleetgate.errors import count

SUITE = "fleetgate smoke"
#: What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_MARKS = {Status.PASSED: "ok", Status.FAILED: "FAILED", Status.SKIPPED: "skipped"}


@dataclass(frozen=True)
class Check:
    """One finding.

    name: stable and dotted (`device.gateway.registers`). title: the sentence that is true if it passed. detail: what was seen, or
    why it was skipped. cause and next_step: of a failure, its likely cause and what to do next.
    """

    name: str
    title: str
    status: Status
    detail: str
    cause: str = ""
    next_step: str = ""
    seconds: float = 0.0


def passed(checks: Iterable[Check]) -> bool:
    """Whether nothing failed. Checks are only skipped for a failed one, or because somebody chose so."""
    return not any(check.status is Status.FAILED for check in checks)


def counts(checks: Sequence[Check]) -> dict[str, int]:
    return {status.value: sum(check.status is status for check in checks) for status in Status}


def summary(checks: Sequence[Check]) -> str:
    total = counts(checks)
    return f"smoke checks: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"


def line(check: Check) -> str:
    """What is said of a check as it comes."""
    return f"  {_MARKS[check.status]:<7} {check.name}: {check.title if check.status is Status.PASSED else check.detail}"


def group_line(group: str, checks: Sequence[Check], seconds: float) -> str:
    """What is said of a group of checks once it is complete."""
    total = {status: number for status, number in counts(checks).items() if number}
    worst = next(status for status in (Status.FAILED, Status.SKIPPED, Status.PASSED) if status in total)
    passed_all = worst is Status.PASSED
    numbers = count(len(checks), "check") if passed_all else ", ".join(f"{number} {status}" for status, number in total.items())
    return f"  {_MARKS[worst]:<7} {group}: {numbers} ({seconds:.1f} s)"


def troubles(checks: Iterable[Check]) -> list[tuple[str, str, str]]:
    """The rows of the table of what did not pass: check, result, and what a person needs to go on."""
    return [
        (
            check.name,
            check.status.value,
            f"not true that {check.title}: {check.detail}\nlikely cause: {check.cause}\n-> {check.next_step}",
        )
        if check.status is Status.FAILED
        else (check.name, check.status.value, check.detail)
        for check in checks
        if check.status is not Status.PASSED
    ]


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "checks": [asdict(check) | {"seconds": round(check.seconds, 3)} for check in checks],
        "passed": passed(checks),
        "summary": counts(checks),
    }


def to_junit(checks: Sequence[Check], environment: str) -> str:
    """JUnit XML: one suite, a test case a check, as Jenkins, GitLab and GitHub actions read it."""
    total = counts(checks)
    numbers = {
        "tests": str(len(checks)),
        "failures": str(total[Status.FAILED]),
        "errors": "0",
        "time": f"{sum(check.seconds for check in checks):.3f}",
    }
    suites = ElementTree.Element("testsuites", {"name": SUITE, **numbers})
    attributes = {"name": _text(f"{SUITE} {environment}"), **numbers, "skipped": str(total[Status.SKIPPED])}
    suite = ElementTree.SubElement(suites, "testsuite", attributes)
    for check in checks:
        group, _, name = check.name.rpartition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=_text(f"smoke.{group}".rstrip(".")), name=_text(name), time=f"{check.seconds:.3f}"
        )
        if check.status is Status.FAILED:
            failure = ElementTree.SubElement(case, "failure", message=_text(check.detail), type="SmokeCheckFailed")
            failure.text = _text(f"{check.title}: {check.detail}\nlikely cause: {check.cause}\nnext step: {check.next_step}\n")
        elif check.status is Status.SKIPPED:
            ElementTree.SubElement(case, "skipped", message=_text(check.detail))
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
