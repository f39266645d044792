"""S4 and wildcard patterns: the documented cases, and every pattern against a matcher that just tries everything."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgate.iot_policy import pattern
from fleetgate.iot_policy.pattern import Variable, Wildcard


def slow(wanted: str, text: str) -> bool:
    """`*` and `?` by trying everything, one character at a time."""
    if not wanted:
        return not text
    if wanted[0] == "*":
        return any(slow(wanted[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and wanted[0] in ("?", text[0]) and slow(wanted[1:], text[1:])


@pytest.mark.parametrize(
    "wanted, text, matches",
    [
        ("a/*", "a/b/c", True),
        ("a/*", "a/", True),
        ("a/*", "a", False),
        ("a/?", "a//", True),
        ("a/?", "a/bc", False),
        ("a/?", "a/", False),
        ("a/+/c", "a/b/c", False),
        ("a/+/c", "a/+/c", True),
        ("a/#", "a/b", False),
        ("a/#", "a/#", True),
        ("*", "", True),
        ("*", "a\nb", True),
        ("A", "a", False),
        ("a*a", "a", False),
        ("a*b*a", "aba", True),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "ab", False),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ba*", "aba", False),
        ("a**b", "ab", True),
        ("a.c", "abc", False),
        ("${*}", "*", True),
        ("${*}", "x", False),
        ("${?}${$}{", "?${", True),
        ("${*", "${anything", True),
        ("[ab]", "a", False),
    ],
)
def test_a_wildcard_stands_for_what_the_documentation_says(wanted, text, matches):
    assert pattern.parse(wanted).matches(text) is matches


@given(st.text(alphabet="ab/*?", max_size=10), st.text(alphabet="ab/*", max_size=10))
def test_every_pattern_agrees_with_trying_everything(wanted, text):
    assert pattern.parse(wanted).matches(text) is slow(wanted, text)
    assert pattern.parse(wanted, variables=False).matches(text) is slow(wanted, text)


@given(st.text(max_size=12), st.text(max_size=12))
def test_text_without_wildcards_matches_itself_alone(wanted, text):
    wanted = re.sub(r"[*?$]", "", wanted)
    assert pattern.parse(wanted).matches(text) is (wanted == text)


@pytest.mark.parametrize("wanted", ["*a" * 40 + "b", "*a?" * 40 + "b", "?*" * 60 + "b"])
def test_no_pattern_is_slow(wanted):
    started = time.process_time()
    assert not pattern.parse(wanted).matches("a" * 20_000)
    assert time.process_time() - started < 1


def test_a_pattern_is_literals_wildcards_and_variables():
    parsed = pattern.parse("a/${iot:ClientId}/*?${*}b")
    assert parsed.tokens == ("a/", Variable("iot:ClientId"), "/", Wildcard.ANY, Wildcard.ONE, "*b")
    assert parsed.variables == ("iot:ClientId",)


def test_a_policy_of_the_old_version_knows_wildcards_and_no_variables():
    parsed = pattern.parse("${iot:ClientId}/*", variables=False)
    assert parsed.variables == ()
    assert parsed.matches("${iot:ClientId}/x") and not parsed.matches("c1/x")


def test_a_bound_value_is_text_whatever_is_in_it():
    bound = pattern.parse("a/${x}/b").bind(lambda name: pattern.literal("*"))
    assert bound is not None and bound.matches("a/*/b") and not bound.matches("a/c/b")


def test_a_value_can_be_empty():
    bound = pattern.parse("a${x}b").bind(lambda name: pattern.literal(""))
    assert bound is not None and bound.matches("ab")


def test_a_pattern_with_an_unbound_variable_is_not_matched():
    assert pattern.parse("a/${x}").bind(lambda name: None) is None
    with pytest.raises(ValueError, match="still holds variables"):
        pattern.parse("a/${x}").matches("a/")


def test_substitution_leaves_wildcards_as_characters():
    assert pattern.substitute("**${x}?${*}${$}", lambda name: f"<{name}>") == "**<x>?*$"


def test_tokens_are_spelt_as_they_were_written():
    assert pattern.spelt(pattern.parse("a/*${x}?").tokens) == "a/*${x}?"


@pytest.mark.parametrize(
    "text", ["${" * 50_000, "a}" + "${" * 50_000 + "*x?", "${a}" * 3 + "*${b" * 25_000], ids=["only", "after", "mixed"]
)
def test_a_variable_that_is_never_closed_takes_no_long_time(text):
    start = time.process_time()
    pattern.parse.__wrapped__(text)
    pattern.substitute(text, lambda name: name)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("text", ["${a", "*${a?", "${x}*${a", "a}${b*", "}", "${*}${", "${x}${a*b?"])
def test_what_is_never_closed_is_text(text):
    expected = [part for part in re.split(r"(\$\{[^}]*\}|\*|\?)", text) if part]
    said = [token.name if isinstance(token, Variable) else getattr(token, "value", token) for token in pattern.parse(text).tokens]
    assert "".join(said) == "".join(part[2:-1] if part.startswith("${") and part.endswith("}") else part for part in expected)
    assert pattern.substitute(text, lambda name: f"<{name}>").count("<") == len(pattern.parse(text).variables)
