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
#: The same, for splitting: literals and what stands between them, in turns.
_SPECIAL = re.compile(r"(\$\{[^}]*\}|\*|\?)")
_ESCAPES = ("${*}", "${?}", "${$}")


class Wildcard(Enum):
    ANY = "*"
    ONE = "?"

    __hash__ = object.__hash__  # that of Enum is slow, and tuples with wildcards are keys everywhere

    def __repr__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Variable:
    """name: as written between the braces, case kept."""

    name: str


_WILDCARDS = {wildcard.value: wildcard for wildcard in Wildcard}


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
        return Pattern(self.text, joined(tokens))

    def matches(self, text: str) -> bool:
        """Whether all of `text` is described. Raises ValueError if a variable is still in the pattern."""
        runs = self._runs
        if runs is None:
            return self._regex.fullmatch(text) is not None
        if len(runs) == 1:
            return text == runs[0]
        start, end = len(runs[0]), len(text) - len(runs[-1])
        if start > end or not text.startswith(runs[0]) or not text.endswith(runs[-1]):
            return False
        # Taking each run where it first fits is always right, so nothing is ever tried twice.
        for run in runs[1:-1]:
            found = text.find(run, start, end)
            if found < 0:
                return False
            start = found + len(run)
        return True

    @cached_property
    def _runs(self) -> tuple[str, ...] | None:
        """The texts between the `*`; None if there is a `?` in one."""
        if self.variables:
            raise ValueError(f"{self.text} still holds variables")
        if Wildcard.ONE in self.tokens:
            return None
        runs = [""]
        for token in self.tokens:
            if token is Wildcard.ANY:
                runs.append("")
            else:
                runs[-1] = str(token)
        return tuple(runs)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        runs: list[str] = [""]
        for token in self.tokens:
            if token is Wildcard.ANY:
                runs.append("")
            else:
                runs[-1] += "." if token is Wildcard.ONE else re.escape(str(token))
        if len(runs) == 1:
            return re.compile(runs[0], re.DOTALL)
        # Atomic, since the first fit is always right: no pattern can be slow.
        middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
        return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)


def _split(text: str) -> list[str]:
    end = text.rfind("}") + 1
    if text.rfind("${") < end:
        return _SPECIAL.split(text)
    # Of every `${` that is never closed the expression would look for the brace up to the end of the text.
    *parts, last = _SPECIAL.split(text[:end])
    first, *rest = re.split(r"([*?])", text[end:])
    return [*parts, last + first, *rest]


@lru_cache(maxsize=4096)
def parse(text: str, *, variables: bool = True) -> Pattern:
    """A pattern from its text. variables: False for a policy of Version 2008-10-17, in which `${...}` is plain text."""
    if not variables:
        tokens: list[Token] = []
        for part in re.split(r"([*?])", text):
            tokens.append(Wildcard(part) if part in ("*", "?") else part)
        return Pattern(text, joined(tokens))
    if "$" not in text and "*" not in text and "?" not in text:
        return Pattern(text, literal(text))
    tokens, names, escaped = [], [], "**" in text
    for index, part in enumerate(_split(text)):
        if not index % 2:
            if part:
                tokens.append(part)
        elif part in _WILDCARDS:
            tokens.append(_WILDCARDS[part])
        elif part in _ESCAPES:
            tokens.append(part[2])
            escaped = True
        else:
            names.append(part[2:-1])
            tokens.append(Variable(part[2:-1]))
    # Only an escape can stand beside a literal.
    found = Pattern(text, joined(tokens) if escaped else tuple(tokens))
    found.__dict__["variables"] = tuple(names)  # the cached property, which nearly everybody asks for
    return found


def substitute(text: str, value: Callable[[str], str]) -> str:
    """`text` with its variables and escapes replaced and its wildcards left as they are: for what is compared as a whole."""
    end = text.rfind("}") + 1  # as in `_split`
    return _PARTS.sub(lambda found: found[1] or found[3] or value(found[2]), text[:end]) + text[end:]


def spelt(tokens: tuple[Token, ...]) -> str:
    """The text that has these tokens, escapes aside."""
    return "".join(
        token if isinstance(token, str) else token.value if isinstance(token, Wildcard) else "${" + token.name + "}"
        for token in tokens
    )


def literal(text: str) -> tuple[Token, ...]:
    """`text` as tokens that match only itself."""
    return (text,) if text else ()


def joined(tokens: list[Token]) -> tuple[Token, ...]:
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
