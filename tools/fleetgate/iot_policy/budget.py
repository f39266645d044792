"""What searches may cost: steps that they share, so that nobody can write a policy that is asked about for ever.

Beside the automata and not in them: lint bounds every policy, and most policies give it nothing to search.
"""

from __future__ import annotations

from contextvars import ContextVar

#: Steps from state to state that all searches for one answer may take together, some seconds, and those for two types of it.
MAXIMUM_TOTAL = 1_500_000
MAXIMUM_PAIR = 400_000
#: Those for all that the rules ask of one policy: ten times what the hardest published one takes, and less than two seconds.
MAXIMUM_LINT = 100_000


class Undecided(Exception):
    """The search was given up: neither yes nor no."""


_SPENT = "more steps than all searches together may take"


class Budget:
    """What all searches of one answer may still do."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int, seen: int, cap: int) -> None:
        """Steps of a search that has seen so many states and may see `cap`. Raises Undecided."""
        self.left -= steps
        if seen > cap:
            raise Undecided(f"more than {cap} states")
        if self.left < 0:
            raise Undecided(_SPENT)


_budget: ContextVar[Budget] = ContextVar("_budget")


def current() -> Budget:
    """What is left where the caller is; without a limit around it, as much as one answer may take."""
    return _budget.get(None) or Budget(MAXIMUM_TOTAL)


class limited:
    """Within it all searches together take no more than so many steps, MAXIMUM_TOTAL if it is not said; those that would are
    undecided. A limit within another takes from that one."""

    def __init__(self, steps: int | None = None) -> None:
        self._steps = MAXIMUM_TOTAL if steps is None else min(steps, MAXIMUM_TOTAL)

    def __enter__(self) -> None:
        self._outer = _budget.get(None)
        self._given = self._steps if self._outer is None else min(self._steps, self._outer.left)
        self._budget = Budget(self._given)
        self._token = _budget.set(self._budget)

    def __exit__(self, *raised: object) -> None:
        _budget.reset(self._token)
        if self._outer is not None:
            self._outer.left -= self._given - self._budget.left


def spend(steps: int) -> None:
    """Charges work outside of a search to what is left for the answer, if there is a limit. Raises Undecided."""
    budget = _budget.get(None)
    if budget is not None:
        budget.left -= steps
        if budget.left < 0:
            raise Undecided(_SPENT)
