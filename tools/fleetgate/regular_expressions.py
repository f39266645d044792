"""How long a regular expression of the catalogue can take on a text that a stranger has chosen.

Python's matcher tries one way after another. Where each character leaves it only one way to go on, it takes as many steps as
there are characters; where two repetitions can share a text between them, as in `[A-Z]*[A-Z]*`, it takes the product of their
choices. `ways` is a bound of that product, by the structure of the expression alone.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

#: Serial numbers and firmware versions have so many characters at most, before a pattern of the catalogue sees them.
MAXIMUM_TEXT = 80
#: Two repetitions without an end that share a text have (80 + 2)² ways, some ten milliseconds.
MAXIMUM_WAYS = 7_000
#: The standard library's own parser, so that it is read as it will be run; `sre_parse` is its deprecated name.
_PARSER: Any = importlib.import_module("re._parser")

_Item = tuple[Any, Any]
#: Characters by their codes; one for all that are not ASCII.
_Set = frozenset[int]
_OTHER = 128
_ALL = frozenset(range(_OTHER + 1))
_NONE: _Set = frozenset()
_CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}


def ways(pattern: str) -> int:
    """At most so many ways to read one text of MAXIMUM_TEXT characters, or a number above MAXIMUM_WAYS. Raises re.error."""
    parsed = _PARSER.parse(pattern, re.ASCII)
    return _Ways(ignore_case=re.search(r"\(\?[a-zA-Z]*i", pattern) is not None).of(list(parsed), _NONE)


class _Ways:
    def __init__(self, *, ignore_case: bool) -> None:
        """ignore_case: somewhere in the expression; sets that are too large only give more ways."""
        self._ignore_case = ignore_case

    def of(self, items: Sequence[_Item], after: _Set) -> int:
        """after: the characters that what follows can begin with."""
        found = 1
        for index, item in enumerate(items):
            found = _capped(found * self._one(item, self._first(items[index + 1 :], after)))
        return found

    def _one(self, item: _Item, after: _Set) -> int:
        name, value = str(item[0]), item[1]
        if name.endswith("_REPEAT"):
            return self._repeated(value[0], value[1], value[2], after)
        if name == "BRANCH":
            return self._branched(value[1], after)
        if name == "GROUPREF_EXISTS":
            return self._branched([one or [] for one in value[1:]], after)
        return self._sum([self.of(list(part), after if name in _GROUPS else _ALL) for part in _parts(item)])

    def _repeated(self, minimum: int, maximum: int, body: Iterable[_Item], after: _Set) -> int:
        listed, most = list(body), min(int(maximum), MAXIMUM_TEXT + 1)
        first = self._first(listed, _NONE)
        is_shared = bool(first & after) or self._may_be_empty(listed)
        once = self.of(listed, after | first if most > 1 else after)
        counts = range(min(minimum, most), most + 1) if is_shared else [most]
        return self._sum([once**count if once == 1 else _power(once, count) for count in counts])

    def _branched(self, branches: Iterable[Iterable[_Item]], after: _Set) -> int:
        listed = [list(branch) for branch in branches]
        found = [self.of(branch, after) for branch in listed]
        firsts = [self._first(branch, after) for branch in listed]
        are_apart = sum(map(len, firsts)) == len(frozenset().union(*firsts))
        return max(found, default=1) if are_apart else self._sum(found)

    @staticmethod
    def _sum(numbers: Sequence[int]) -> int:
        return _capped(max(sum(numbers), 1))

    def _first(self, items: Sequence[_Item], after: _Set) -> _Set:
        """What a text can begin with that these read, with all that follows."""
        found = _NONE
        for item in items:
            found |= self._begins(item)
            if not self._may_be_empty([item]):
                return found
        return found | after

    def _begins(self, item: _Item) -> _Set:
        name, value = str(item[0]), item[1]
        if name in ("LITERAL", "NOT_LITERAL"):
            one = frozenset({min(value, _OTHER)})
            return self._cases(one) if name == "LITERAL" else _ALL - (one - {_OTHER})
        if name in ("ANY", "GROUPREF", "GROUPREF_EXISTS"):
            return _ALL
        if name == "IN":
            return self._cases(_members(value))
        if name in ("AT", "ASSERT", "ASSERT_NOT", "FAILURE"):
            return _NONE
        return frozenset().union(*(self._first(list(part), _NONE) for part in _parts(item)))

    def _may_be_empty(self, items: Iterable[_Item]) -> bool:
        return all(self._is_empty(item) for item in items)

    def _is_empty(self, item: _Item) -> bool:
        name, value = str(item[0]), item[1]
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "FAILURE"):
            return False
        if name.endswith("_REPEAT") and value[0] == 0:
            return True
        parts = list(_parts(item))
        return not parts or name in ("ASSERT", "ASSERT_NOT") or any(self._may_be_empty(list(part)) for part in parts)

    def _cases(self, codes: Iterable[int]) -> _Set:
        found = frozenset(codes)
        if not self._ignore_case:
            return found
        return found | {ord(chr(code).swapcase()) for code in found if code < _OTHER}


_GROUPS = ("SUBPATTERN", "ATOMIC_GROUP")


def _parts(item: _Item) -> Iterable[Iterable[_Item]]:
    """The expressions inside of one."""
    name, value = str(item[0]), item[1]
    if name.endswith("_REPEAT"):
        return [value[2]]
    if name == "BRANCH":
        return list(value[1])
    if name == "SUBPATTERN":
        return [value[3]]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [value[1]]
    if name == "GROUPREF_EXISTS":
        return [part or [] for part in value[1:]]
    return [value] if name == "ATOMIC_GROUP" else []


def _members(listed: Iterable[_Item]) -> _Set:
    """Of a class in brackets."""
    found: set[int] = set()
    negated = False
    for kind, value in listed:
        name = str(kind)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            found.add(min(value, _OTHER))
        elif name == "RANGE":
            found.update(range(min(value[0], _OTHER), min(value[1], _OTHER) + 1))
        else:
            found |= _category(str(value))
    return _ALL - (frozenset(found) - {_OTHER}) if negated else frozenset(found)


def _category(name: str) -> _Set:
    """`CATEGORY_NOT_DIGIT` as characters."""
    expression = next((text for part, text in _CATEGORIES.items() if name.endswith(part)), r"[\s\S]")
    inside = frozenset(code for code in range(_OTHER) if re.fullmatch(expression, chr(code), re.ASCII))
    return _ALL - inside if "NOT_" in name else inside


def _power(base: int, exponent: int) -> int:
    found = 1
    for _ in range(exponent):
        found = _capped(found * base)
    return found


def _capped(number: int) -> int:
    return min(number, MAXIMUM_WAYS + 1)
