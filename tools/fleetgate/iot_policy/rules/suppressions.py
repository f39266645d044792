"""Findings about suppressions themselves; `suppression` reports them while it applies the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fleetgate.iot_policy.rule import Hit, Rule, Severity, Subject

_SOURCE = "this project: docs/lint.md, Suppressions"


def _elsewhere(_: Any) -> Iterator[Hit]:
    yield from ()


def _about(id: str, title: str, why: str) -> Rule[Any]:
    return Rule(id, title, Severity.MEDIUM, why, _SOURCE, None, None, _elsewhere, Subject.OTHER)


incomplete = _about(
    "X01",
    "A suppression that is not complete, or not allowed",
    "A suppression says which rule, where, why, and until when. Without a reason nobody can judge it later, and without a date "
    "nobody will. A path that fits nearly every file, a day further ahead than a year, or a rule about what cannot be read, is "
    "refused.",
)
expired = _about(
    "X02",
    "A suppression that has expired",
    "The finding counts again from this day on. Mend what it is about, or decide again and write a new date.",
)
unused = _about(
    "X03",
    "A suppression that suppresses nothing",
    "What it was about is mended or has moved. Left in place it would silence the next mistake at the same spot.",
)

RULES = (incomplete, expired, unused)
