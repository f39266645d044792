"""The operators of `Condition`: one condition of a statement held against the values of its key.

[IAM user guide: condition operators, IfExists, Null, multi-valued context keys; AWS IoT names no operators of its own]
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from fleetgate.iot_policy import pattern
from fleetgate.iot_policy.model import split_arn
from fleetgate.iot_policy.pattern import Token

#: Of a variable: the tokens that stand for its value, or None if it has none.
Bind = Callable[[str], tuple[Token, ...] | None]
#: Whether one value of the request meets one value of the policy; None if the policy's value makes no sense for the operator.
Compare = Callable[[str, str, Bind, bool], bool | None]

FOR_ALL, FOR_ANY = "ForAllValues", "ForAnyValue"
IF_EXISTS = "IfExists"
NULL = "Null"


class Unresolved(Exception):
    """A variable in a value of the policy has no value of its own, so that the condition cannot be evaluated."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator as written, taken apart. quantifier: ForAllValues, ForAnyValue or None."""

    base: str
    quantifier: str | None
    if_exists: bool

    @property
    def negated(self) -> bool:
        return self.base in NEGATED


@lru_cache(maxsize=1024)
def operator(text: str) -> Operator | None:
    """None if there is no such operator."""
    quantifier, colon, base = text.rpartition(":")
    if colon and quantifier not in (FOR_ALL, FOR_ANY):
        return None
    if_exists = base.endswith(IF_EXISTS)
    base = base.removesuffix(IF_EXISTS)
    if base == NULL:
        return None if colon or if_exists else Operator(NULL, None, False)
    return Operator(base, quantifier or None, if_exists) if base in COMPARE else None


def holds(text: str, wanted: tuple[str, ...], given: tuple[str, ...] | None, bind: Bind, *, variables_known: bool) -> bool | None:
    """Whether `{text: {key: wanted}}` is met by the key's values, None if that cannot be evaluated.

    given: the values of the request, None if it has no such key, more than one only of a key that is a list.
    Raises Unresolved.
    """
    found = operator(text)
    if found is None or not wanted:
        return None
    if found.base == NULL:
        return _null(wanted, given)
    compare = COMPARE[found.base]
    results = [[compare(value, one, bind, variables_known) for one in wanted] for value in given or ()]
    if any(result is None for row in results for result in row):
        return None
    if not given:
        # Held against nothing, only to see whether the values of the policy make sense.
        if any(compare("", one, bind, variables_known) is None for one in wanted):
            return None
        return found.if_exists or found.quantifier == FOR_ALL or (found.negated and found.quantifier is None)
    met = [any(row) is not found.negated for row in results]
    needs_all = found.quantifier == FOR_ALL or (found.quantifier is None and found.negated)
    return all(met) if needs_all else any(met)


def _null(wanted: tuple[str, ...], given: tuple[str, ...] | None) -> bool | None:
    if any(value.lower() not in ("true", "false") for value in wanted):
        return None
    return ("false" if given else "true") in [value.lower() for value in wanted]


def _text(value: str, bind: Bind, variables_known: bool) -> str:
    """A value of the policy with its variables replaced, wildcards left as the characters that they are."""
    if not variables_known or "${" not in value:
        return value

    def replaced(name: str) -> str:
        tokens = bind(name)
        if tokens is None:
            raise Unresolved(name)
        return pattern.spelt(tokens)

    return pattern.substitute(value, replaced)


def _pattern(value: str, bind: Bind, variables_known: bool) -> pattern.Pattern:
    parsed = pattern.parse(value, variables=variables_known)
    bound = parsed.bind(bind)
    if bound is None:
        raise Unresolved(value)
    return bound


def _equals(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool:
    return given == _text(wanted, bind, variables_known)


def _equals_ignore_case(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool:
    return given.lower() == _text(wanted, bind, variables_known).lower()


def _like(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool:
    return _pattern(wanted, bind, variables_known).matches(given)


def _arn_like(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool:
    """Part by part: a wildcard does not reach over a colon, except in the last part. ArnEquals is the same."""
    parts, wanted_parts = given.split(":", 5), split_arn(wanted)
    if len(wanted_parts) != 6:
        return False
    patterns = [_pattern(part, bind, variables_known) for part in wanted_parts]
    return len(parts) == 6 and all(one.matches(part) for one, part in zip(patterns, parts, strict=True))


def _bool(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool | None:
    text = _text(wanted, bind, variables_known).lower()
    return given.lower() == text if text in ("true", "false") else None


_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")


def _numeric(compare: Callable[[float, float], bool]) -> Compare:
    def check(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool | None:
        text = _text(wanted, bind, variables_known)
        if not _NUMBER.fullmatch(text):
            return None
        return bool(_NUMBER.fullmatch(given)) and compare(float(given), float(text))

    return check


def _date(compare: Callable[[float, float], bool]) -> Compare:
    def check(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool | None:
        right = _seconds(_text(wanted, bind, variables_known))
        if right is None:
            return None
        left = _seconds(given)
        return left is not None and compare(left, right)

    return check


def _seconds(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or of such a number; without a time zone it is UTC."""
    if re.fullmatch(r"[0-9]{5,15}", text):
        return float(text)
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(f"{text}-01-01" if re.fullmatch(r"[0-9]{4}", text) else text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _ip_address(given: str, wanted: str, bind: Bind, variables_known: bool) -> bool | None:
    import ipaddress

    try:
        network = ipaddress.ip_network(_text(wanted, bind, variables_known), strict=False)
    except ValueError:
        return None
    try:
        return ipaddress.ip_address(given) in network
    except ValueError:
        return False


#: Negated operators are compared by the plain one and turned over afterwards: no value of the policy may meet it.
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}
_POSITIVE: dict[str, Compare] = {
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_ignore_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "NumericEquals": _numeric(lambda given, wanted: given == wanted),
    "NumericLessThan": _numeric(lambda given, wanted: given < wanted),
    "NumericLessThanEquals": _numeric(lambda given, wanted: given <= wanted),
    "NumericGreaterThan": _numeric(lambda given, wanted: given > wanted),
    "NumericGreaterThanEquals": _numeric(lambda given, wanted: given >= wanted),
    "DateEquals": _date(lambda given, wanted: given == wanted),
    "DateLessThan": _date(lambda given, wanted: given < wanted),
    "DateLessThanEquals": _date(lambda given, wanted: given <= wanted),
    "DateGreaterThan": _date(lambda given, wanted: given > wanted),
    "DateGreaterThanEquals": _date(lambda given, wanted: given >= wanted),
    "Bool": _bool,
    "BinaryEquals": _equals,
    "IpAddress": _ip_address,
}
COMPARE: dict[str, Compare] = _POSITIVE | {name: _POSITIVE[plain] for name, plain in NEGATED.items()}
#: Every operator without quantifier and IfExists.
OPERATORS = (*COMPARE, NULL)
