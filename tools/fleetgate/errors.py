"""One way to say no: what is wrong, where, and how to mend it, all problems of one run together; and how to count things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def printable(text: str) -> str:
    """Text of a foreign document or a file's name, with everything escaped that a terminal, or a CI's log, would act on."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown.replace("##[", r"##\x5b")  # a command of a CI's, wherever it stands in a line


def beginning(text: str) -> str:
    """The same of a file's name that begins a line, where `::name::` is a workflow command of GitHub's."""
    return f"./{printable(text)}" if text.lstrip().startswith("::") else printable(text)


@dataclass(frozen=True)
class Problem:
    """One mistake a person can mend.

    where: a file, with line and dotted path if there is one (`catalogue/device_types.yaml:12 device_types.gateway`) or a command.
    what: what is wrong with it. remedy: the next thing to do, as an imperative.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{beginning(self.where)}: {self.what}\n    -> {self.remedy}"


class FleetgateError(Exception):
    """Ends a command with exit status 1 and its problems on stderr, never with a traceback."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


def fail(where: str, what: str, remedy: str) -> FleetgateError:
    """Returns the error for a single problem, to be raised by the caller (so that type checkers see the raise)."""
    return FleetgateError(Problem(where, what, remedy))


def count(number: int, noun: str) -> str:
    """`1 device`, `2 devices`: a number and its noun, which takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
