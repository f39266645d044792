"""JSON text with a position for every part of it.

The parse itself is the standard library's, in C; positions are only looked for when a finding needs one.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

#: Deeper than any policy, template or plan; below the interpreter's own limit, so that no document can end the process.
MAXIMUM_DEPTH = 100

Pointer = str  #: a JSON pointer [RFC 6901]; "" is the whole document


@dataclass(frozen=True, slots=True)
class Position:
    """line and column count from 1; column in characters."""

    line: int
    column: int


class SourceError(ValueError):
    """The text is not JSON. position: where that shows."""

    def __init__(self, message: str, position: Position) -> None:
        self.position = position
        super().__init__(message)


@dataclass
class Source:
    """A parsed document. value: as json.loads gives it. duplicates: pointers of keys that stand twice in one object."""

    text: str
    value: Any
    has_duplicates: bool = field(default=False)

    @cached_property
    def _places(self) -> _Places:
        return _Places(self.text)

    @property
    def duplicates(self) -> list[Pointer]:
        return self._places.duplicates() if self.has_duplicates else []

    def position(self, pointer: Pointer) -> Position:
        """Where the value of `pointer` starts, or the nearest part around it that is written in the text."""
        return position_at(self.text, self.offset(pointer))

    def offset(self, pointer: Pointer) -> int:
        """The same place as a character offset."""
        return self._places.offset(pointer)


def parse(data: str | bytes) -> Source:
    """Raises SourceError for anything that is not one JSON value in UTF-8."""
    text = _decode(data) if isinstance(data, bytes) else data
    if _depth(text) > MAXIMUM_DEPTH:
        raise SourceError(f"is nested more than {MAXIMUM_DEPTH} levels deep", position_at(text, _depth_offset(text)))
    before = _repeating.get()
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise SourceError("not JSON: the text is empty", Position(1, 1)) from None
        if text.startswith("\ufeff"):
            raise SourceError("not JSON: a byte order mark stands before it, which nobody sees", Position(1, 1)) from None
        raise SourceError(_described(error), Position(error.lineno, error.colno)) from None
    except ValueError as error:  # NaN and Infinity, and integers of thousands of digits
        raise SourceError(f"not JSON: {error}", Position(1, 1)) from None
    return Source(text, value, _repeating.get() != before)


#: How many objects with a key that stands twice this thread, or task, has met.
_repeating: ContextVar[int] = ContextVar("_repeating", default=0)


def _collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _repeating.set(_repeating.get() + 1)
    return found


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def mapping(value: Any) -> Mapping[str, Any]:
    """An object, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def escape(key: str | int) -> str:
    """One part of a JSON pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")


def position_at(text: str, offset: int) -> Position:
    """The position of a character offset."""
    return Position(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def offset_at(text: str, position: Position) -> int:
    """The character offset of a position."""
    start = 0
    for _ in range(position.line - 1):
        start = text.index("\n", start) + 1
    return start + position.column - 1


def at(value: Any, pointer: Pointer) -> Any:
    """The part of a parsed document that a pointer names. Raises LookupError if there is none."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(pointer)
    return value


_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)


def offset_in_string(text: str, start: int, inner: int) -> int:
    """Where in `text` character `inner` of the JSON string stands whose opening quote is at `start`.

    Plans hold policies as strings: this leads from a place in the policy to a place in the plan.
    """
    at, read = start + 1, 0
    for escaped in _ESCAPE.finditer(text, at):
        plain = escaped.start() - at
        if read + plain >= inner:
            break
        read, at = read + plain + 1, escaped.end()
    return at + inner - read


def _decode(data: bytes) -> str:
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        what = f"is not UTF-8: byte {error.start} is {data[error.start]:#04x}"
        raise SourceError(what, position_at(before, len(before))) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


#: Made once, which takes longer than to read a policy's first statement.
_STRICT = json.JSONDecoder(object_pairs_hook=_collect, parse_constant=_refuse_constant)


def _described(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    if before.endswith(",") and error.doc[error.pos : error.pos + 1] in ("}", "]"):
        return "not JSON: a comma stands before the closing bracket"
    return f"not JSON: {error.msg}"


_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)


def _depth(text: str) -> int:
    # Nearly every document has fewer brackets than the limit: no need to look where they stand.
    return 0 if text.count("[") + text.count("{") <= MAXIMUM_DEPTH else _walk_depth(text)[0]


def _depth_offset(text: str) -> int:
    return _walk_depth(text)[1]


def _walk_depth(text: str) -> tuple[int, int]:
    """The deepest nesting up to one past the limit, and where it was reached."""
    depth = deepest = offset = 0
    for token in _BRACKETS_AND_STRINGS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > deepest:
                deepest, offset = depth, token.start()
                if deepest > MAXIMUM_DEPTH:
                    break
        elif first in "]}":
            depth -= 1
    return deepest, offset


class _Places:
    """The offsets of the values of a text that has been parsed already, so that it needs no checks of its own.

    A finding asks for one place, so only the objects and lists on the way to it are taken apart; the rest is skipped in C.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = {"": _past(_BLANKS, text, 0)}
        self._duplicates: list[Pointer] = []
        self._open: set[Pointer] = set()

    def offset(self, pointer: Pointer) -> int:
        """Of the value, or of the nearest part around it that is written in the text."""
        found = ""
        for part in pointer.split("/")[1:]:
            self._take_apart(found)
            child = f"{found}/{part}"
            if child not in self._starts:
                break
            found = child
        return self._starts[found]

    def duplicates(self) -> list[Pointer]:
        """The keys that stand twice in one object, in the order of the text; of two values, what stands in the last counts."""
        left = [""]
        while left:
            left += reversed(self._take_apart(left.pop()))
        return self._duplicates

    def _take_apart(self, pointer: Pointer) -> list[Pointer]:
        """Notes where the parts of an object or list stand; returns their pointers, each once."""
        text, at = self._text, self._starts[pointer]
        kind = text[at]
        if pointer in self._open or kind not in "{[":
            return []
        self._open.add(pointer)
        children: list[Pointer] = []
        at = _past(_BLANKS, text, at + 1)
        while text[at] not in "}]":
            name: Any = len(children)
            if kind == "{":
                name, at = _DECODER.raw_decode(text, at)
                at = _past(_COLON, text, at)
            child = f"{pointer}/{escape(name)}"
            if kind == "{" and child in self._starts:
                self._duplicates.append(child)
            else:
                children.append(child)
            self._starts[child] = at
            at = _past(_COMMA, text, _DECODER.raw_decode(text, at)[1])
        return children


_DECODER = json.JSONDecoder()
_BLANKS, _COLON, _COMMA = (re.compile(rf"[ \t\n\r]*{sign}[ \t\n\r]*") for sign in ("", ":", ",?"))


def _past(signs: re.Pattern[str], text: str, at: int) -> int:
    found = signs.match(text, at)
    return found.end() if found else at
