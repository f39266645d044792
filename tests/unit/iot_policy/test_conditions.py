"""The condition operators, as the IAM user guide describes them."""

from __future__ import annotations

import pytest

from fleetgate.iot_policy import conditions, pattern

ARN = "arn:aws:iot:eu-west-1:111111111111:topic/a/b"


def bind(name: str) -> tuple[pattern.Token, ...] | None:
    return pattern.literal({"iot:ClientId": "c*1", "empty": ""}[name]) if name in ("iot:ClientId", "empty") else None


def held(operator: str, wanted: str | tuple[str, ...], given: str | tuple[str, ...] | None) -> bool | None:
    values = (wanted,) if isinstance(wanted, str) else wanted
    return conditions.holds(operator, values, (given,) if isinstance(given, str) else given, bind, variables_known=True)


@pytest.mark.parametrize(
    "operator, wanted, given, result",
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "a**", "a**", True),
        ("StringEquals", ("a", "b"), "b", True),
        ("StringEquals", "${iot:ClientId}-x", "c*1-x", True),
        ("StringEquals", "${*}", "*", True),
        ("StringNotEquals", ("a", "b"), "b", False),
        ("StringNotEquals", ("a", "b"), "c", True),
        ("StringEqualsIgnoreCase", "AbC", "aBc", True),
        ("StringNotEqualsIgnoreCase", "AbC", "aBc", False),
        ("StringLike", "a*", "ab/c", True),
        ("StringLike", "a?", "abc", False),
        ("StringLike", "${iot:ClientId}", "c-1", False),
        ("StringLike", "${iot:ClientId}*", "c*1x", True),
        ("StringNotLike", "a*", "ab", False),
        ("StringNotLike", "a*", "b", True),
        ("ArnEquals", ARN, ARN, True),
        ("ArnEquals", "arn:aws:iot:*:*:topic/a/*", ARN, True),
        ("ArnLike", "arn:aws:iot:*:topic/a/b", ARN, False),
        ("ArnLike", "arn:*", ARN, False),
        ("ArnLike", "arn:aws:iot:*:111111111111:topic/${iot:ClientId}", "arn:aws:iot:x:111111111111:topic/c*1", True),
        ("ArnLike", "arn:aws:iot:*:*:*", "no arn", False),
        ("ArnNotLike", "arn:aws:iot:*:*:topic/b/*", ARN, True),
        ("ArnNotEquals", ARN, ARN, False),
        ("NumericEquals", "1.50", "1.5", True),
        ("NumericNotEquals", "1", "2", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "-1", "0", True),
        ("NumericGreaterThanEquals", "3", "2.9", False),
        ("NumericEquals", "1", "one", False),
        ("NumericNotEquals", "1", "one", True),
        ("NumericEquals", "one", "1", None),
        ("NumericLessThan", "inf", "1", None),
        ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", True),
        ("DateNotEquals", "2026-01-01", "2026-01-02", True),
        ("DateLessThan", "2026-01-01", "2025-12-31T23:59:59Z", True),
        ("DateLessThanEquals", "2026", "2026-01-01T00:00:00Z", True),
        ("DateGreaterThan", "1767225600", "2026-01-01T00:00:01Z", True),
        ("DateGreaterThanEquals", "2026-01-01T00:00:00Z", "1767225599", False),
        ("DateLessThan", "tomorrow", "2026-01-01", None),
        ("DateLessThan", "2026-01-01", "tomorrow", False),
        ("Bool", "true", "true", True),
        ("Bool", "True", "true", True),
        ("Bool", "false", "true", False),
        ("Bool", "yes", "true", None),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
        ("BinaryEquals", "QmluYXJ5", "qmluyxj5", False),
        ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
        ("IpAddress", "203.0.113.7", "203.0.113.7", True),
        ("IpAddress", ("198.51.100.0/24", "2001:db8::/32"), "2001:db8::1", True),
        ("IpAddress", "203.0.113.0/24", "2001:db8::1", False),
        ("IpAddress", "203.0.113.1/24", "203.0.113.7", True),
        ("IpAddress", "somewhere", "203.0.113.7", None),
        ("IpAddress", "203.0.113.0/24", "nowhere", False),
        ("NotIpAddress", "203.0.113.0/24", "203.0.113.7", False),
        ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
        ("Null", "true", "x", False),
        ("Null", "false", "x", True),
        ("Null", "true", None, True),
        ("Null", "false", None, False),
        ("Null", "perhaps", None, None),
    ],
)
def test_an_operator_compares_as_documented(operator, wanted, given, result):
    assert held(operator, wanted, given) is result


@pytest.mark.parametrize("name", [name for name in conditions.OPERATORS if name != "Null"])
def test_without_the_key_only_a_negated_operator_and_one_with_if_exists_are_met(name):
    wanted = {"Numeric": "1", "Date": "2026-01-01", "Bool": "true", "IpAddress": "10.0.0.0/8", "NotIpAddress": "10.0.0.0/8"}
    value = next((text for prefix, text in wanted.items() if name.startswith(prefix)), ARN)
    assert held(name, value, None) is (name in conditions.NEGATED)
    assert held(f"{name}IfExists", value, None) is True
    assert held(f"ForAllValues:{name}", value, None) is True
    assert held(f"ForAnyValue:{name}", value, None) is False
    assert held(f"ForAnyValue:{name}IfExists", value, None) is True


@pytest.mark.parametrize(
    "operator, wanted, given, result",
    [
        ("ForAllValues:StringEquals", ("a", "b"), ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "b"), ("a",), True),
        ("ForAllValues:StringEquals", ("a", "b"), ("a", "c"), False),
        ("ForAllValues:StringEquals", ("a", "b"), (), True),
        ("ForAllValues:StringLike", ("a*",), ("ab", "ac"), True),
        ("ForAllValues:StringNotEquals", ("a",), ("b", "c"), True),
        ("ForAllValues:StringNotEquals", ("a",), ("a", "c"), False),
        ("ForAnyValue:StringEquals", ("a", "b"), ("c", "b"), True),
        ("ForAnyValue:StringEquals", ("a", "b"), ("c", "d"), False),
        ("ForAnyValue:StringEquals", ("a", "b"), (), False),
        ("ForAnyValue:StringNotEquals", ("a",), ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", ("a",), ("a", "a"), False),
        ("StringEquals", ("a",), ("c", "a"), True),
        ("StringNotEquals", ("a",), ("c", "a"), False),
        ("StringNotEquals", ("a",), ("c", "d"), True),
        ("StringEqualsIfExists", ("a",), ("b",), False),
    ],
)
def test_the_values_of_a_list_are_counted_as_documented(operator, wanted, given, result):
    assert held(operator, wanted, given) is result


@pytest.mark.parametrize(
    "operator",
    [
        "",
        "Strings",
        "stringequals",
        "StringEqual",
        "ForSomeValues:StringEquals",
        "forallvalues:StringEquals",
        "ForAllValues:",
        "ForAllValues:Null",
        "NullIfExists",
        "StringEqualsIfExistsIfExists",
        "IfExists",
    ],
)
@pytest.mark.parametrize("given", ["a", None])
def test_an_operator_that_does_not_exist_cannot_be_evaluated(operator, given):
    assert conditions.operator(operator) is None
    assert held(operator, "a", given) is None


def test_no_value_at_all_cannot_be_evaluated():
    assert held("StringEquals", (), "a") is None


@pytest.mark.parametrize(
    "operator, wanted",
    [
        ("StringEquals", "${unknown}"),
        ("StringLike", "x${unknown}"),
        ("ArnLike", "arn:aws:iot:${unknown}:*:*"),
        ("NumericEquals", "${unknown}"),
    ],
)
def test_a_variable_without_a_value_is_told_apart_from_false(operator, wanted):
    with pytest.raises(conditions.Unresolved):
        held(operator, wanted, "a")


def test_in_the_old_version_variables_are_text():
    assert conditions.holds("StringEquals", ("${iot:ClientId}",), ("${iot:ClientId}",), bind, variables_known=False) is True


def test_a_value_of_the_policy_that_makes_no_sense_is_seen_even_without_the_key():
    assert held("NumericEqualsIfExists", "many", None) is None
