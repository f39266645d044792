"""What a lint rule is: an id, why it matters, where that is written, a failing and a passing example, and one function.

The modules of `rules/` register their functions here, by subject. A rule sees a policy and yields hits; it knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar

from fleetgate.iot_policy.source import Pointer

SubjectT = TypeVar("SubjectT")


class Severity(IntEnum):
    """Ordered: `severity >= Severity.MEDIUM`."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing a rule has found. witness: the client id, topic, filter or name that shows the harm, where there is one."""

    pointer: Pointer
    message: str
    fix: str
    witness: str | None = None


@dataclass(frozen=True, slots=True)
class Rule(Generic[SubjectT]):
    """why: two sentences a developer understands. source: an address or the name of the document that says so.

    fails and passes: JSON values, the whole document, of which the first has this finding and the second has not. They are tests.
    """

    id: str
    title: str
    severity: Severity
    why: str
    source: str
    fails: Any
    passes: Any
    check: Callable[[SubjectT], Iterator[Hit]]
