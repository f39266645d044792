"""Runs smoke checks one after the other, and what every check needs to say what it saw."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate.errors import FleetgateError
from fleetgate.mqtt import DeviceError
from fleetgate.smoke_report import Check, Status

T = TypeVar("T")
Tell = Callable[[Check], None]

#: How long onboarding and logs may take to follow a device; AWS takes seconds.
FOLLOW_SECONDS = 60.0
EXPECTED_ERRORS = (FleetgateError, DeviceError, BotoCoreError, ClientError, OSError)


class CheckFailed(Exception):
    """What a check saw that should not be. cause and next_step: where they are known better than the check's own."""

    def __init__(self, detail: str, cause: str = "", next_step: str = "") -> None:
        self.cause = cause
        self.next_step = next_step
        super().__init__(detail)


class Checker:
    """Runs checks one after the other, keeps what they found, and tells it as it comes."""

    def __init__(self, tell: Tell, stop: threading.Event) -> None:
        self.checks: list[Check] = []
        self.stop = stop
        self.tell = tell

    def run(
        self, name: str, title: str, look: Callable[[], str], *, cause: str, next_step: str, needs: Iterable[str] = ()
    ) -> bool:
        """One check: `look` returns what it saw, or raises. Skipped if a check it needs has not passed."""
        missing = [need for need in needs if not self.has_passed(need)]
        if self.stop.is_set() or missing:
            group = name.rpartition(".")[0]
            why = f"needs {', '.join(need.removeprefix(f'{group}.') for need in missing)}" if missing else "interrupted"
            self._add(Check(name, title, Status.SKIPPED, why))
            return False
        start = time.perf_counter()
        try:
            detail = look()
        except CheckFailed as error:
            found = Check(name, title, Status.FAILED, str(error), error.cause or cause, error.next_step or next_step)
        except EXPECTED_ERRORS as error:
            found = Check(name, title, Status.FAILED, described(error), cause, next_step)
        else:
            found = Check(name, title, Status.PASSED, detail)
        if found.status is Status.FAILED and self.stop.is_set():
            found = Check(name, title, Status.SKIPPED, "interrupted")  # it was cut short, which is no finding
        self._add(found, time.perf_counter() - start)
        return found.status is Status.PASSED

    def has_passed(self, name: str) -> bool:
        return any(check.name == name and check.status is Status.PASSED for check in self.checks)

    def _add(self, check: Check, seconds: float = 0.0) -> None:
        self.checks.append(replace(check, seconds=seconds))
        self.tell(self.checks[-1])


def eventually(look: Callable[[], T | None], seconds: float, stop: threading.Event) -> T | None:
    """What `look` finds, asked again and again, less and less often; None if it has not in time."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        found = look()
        if found is not None or stop.wait(pause) or time.monotonic() > deadline:
            return found
        pause = min(pause * 1.5, 2.0)


def there(value: T | None) -> T:
    """A value that a check before this one has set; which checks those are stands in `needs`."""
    if value is None:
        raise CheckFailed("a check before this one did not leave what this one needs")
    return value


def equal(what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise CheckFailed(f"{what} is {_short(seen)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 300 else f"{text[:300]}..."


def described(error: Exception) -> str:
    if isinstance(error, FleetgateError):
        return "; ".join(f"{problem.where}: {problem.what} ({problem.remedy})" for problem in error.problems)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return str(error)
