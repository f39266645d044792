"""What a smoke check found, as data, as JSON and as JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

SUITE = "fleetgate smoke"
#: What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


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
