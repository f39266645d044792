"""Lint rules as documentation."""

from __future__ import annotations

from fleetgate import rule_table
from fleetgate.iot_policy.rule import Rule, Severity

RULE = Rule(
    "Z01",
    "A wildcard * in | `a*`",
    Severity.LOW,
    "plant/*/x and <b> and `<b>`.",
    "https://example.com",
    {"a": "y" * 5000},
    {"b": [1]},
    check=lambda _: iter(()),
)


def test_wildcards_are_no_emphasis_and_code_stays_as_it_is():
    text = rule_table.to_markdown([RULE])
    assert "| [Z01](#z01) | low | A wildcard \\* in \\| `a*` |" in text
    assert "plant/\\*/x and \\<b> and `<b>`." in text


def test_a_text_that_is_long_by_intent_is_cut():
    assert '"a": "yyyyyyyyyyyyyyyyyyyy... (5000 characters)"' in rule_table.to_text(RULE)


def test_an_explanation_shows_both_examples():
    assert '    {"b": [1]}' in rule_table.to_text(RULE).split("Not found in:")[1]
