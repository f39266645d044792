"""Wildcard patterns of policies: `*`, `?`, the escapes `${*}` `${?}` `${$}`, and variables.

`*` stands for any run of characters, `/` included, `?` for exactly one; `+` and `#` are themselves [AWS IoT: Publish/Subscribe
policy examples]. Matching is case sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

_PARTS = re.compile(r"\$\{([*?$])\}|\$\{([^}]*)\}|([*?])")


class Wildcard(Enum):
    ANY = "*"
    ONE = "?"

    def __repr__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Variable:
    """name: as written between the braces, case kept."""

    name: str


#: A literal is a text of at least one character; two literals never stand side by side.
Token = str | Wildcard | Variable


@dataclass(frozen=True)
class Pattern:
    """text: as written. tokens: what it says."""

    text: str
    tokens: tuple[Token, ...]

    @cached_property
    def variables(self) -> tuple[str, ...]:
        return tuple(token.name for token in self.tokens if isinstance(token, Variable))

    def bind(self, value: Callable[[str], tuple[Token, ...] | None]) -> Pattern | None:
        """The pattern with its variables replaced, or None if one of them has no value."""
        if not self.variables:
            return self
        tokens: list[Token] = []
        for token in self.tokens:
            bound = value(token.name) if isinstance(token, Variable) else (token,)
            if bound is None:
                return None
            tokens += bound
        return Pattern(self.text, _joined(tokens))

    def matches(self, text: str) -> bool:
        """Whether all of `text` is described. Raises ValueError if a variable is still in the pattern."""
        return self._regex.fullmatch(text) is not None

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        if self.variables:
            raise ValueError(f"{self.text} still holds variables")
        runs: list[str] = [""]
        for token in self.tokens:
            if token is Wildcard.ANY:
                runs.append("")
            else:
                runs[-1] += "." if token is Wildcard.ONE else re.escape(str(token))
        if len(runs) == 1:
            return re.compile(runs[0], re.DOTALL)
        # Taking each run where it first fits is always right, so nothing is ever tried twice: no pattern can be slow.
        middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
        return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)


@lru_cache(maxsize=65_536)
def parse(text: str, *, variables: bool = True) -> Pattern:
    """variables: False for a policy of Version 2008-10-17, in which `${...}` is plain text."""
    if not variables:
        tokens: list[Token] = []
        for part in re.split(r"([*?])", text):
            tokens.append(Wildcard(part) if part in ("*", "?") else part)
        return Pattern(text, _joined(tokens))
    tokens, end = [], 0
    for found in _PARTS.finditer(text):
        tokens.append(text[end : found.start()])
        escaped, name, wildcard = found.groups()
        tokens.append(escaped or (Wildcard(wildcard) if wildcard else Variable(name)))
        end = found.end()
    tokens.append(text[end:])
    return Pattern(text, _joined(tokens))


def literal(text: str) -> tuple[Token, ...]:
    """`text` as tokens that match only itself."""
    return (text,) if text else ()


def _joined(tokens: list[Token]) -> tuple[Token, ...]:
    """Literals side by side become one, empty ones go, and so do repeated `*`."""
    result: list[Token] = []
    for token in tokens:
        last = result[-1] if result else None
        if isinstance(token, str):
            if not token:
                continue
            if isinstance(last, str):
                result[-1] = last + token
                continue
        if token is Wildcard.ANY and last is Wildcard.ANY:
            continue
        result.append(token)
    return tuple(result)
