"""Lint rules as documentation."""

from __future__ import annotations

import pytest

from fleetgate import rule_table
from fleetgate.iot_policy import rules, suppression
from fleetgate.iot_policy.rule import Rule, Severity, Subject

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


@pytest.mark.parametrize(
    "id, said",
    [
        ("I01", "Reported by `fleetgate isolation`, not by `fleetgate lint`; it cannot be suppressed."),
        ("I03", "Reported by `fleetgate access-diff`, not by"),
        ("I05", "Reported by `fleetgate lint` of a Terraform plan."),
        ("X02", "Reported by `fleetgate lint`, of its file of suppressions; it cannot be suppressed."),
    ],
)
def test_a_rule_that_not_every_lint_reports_says_what_does(id, said):
    rule = rules.by_id()[id]
    assert said in rule_table.to_markdown([rule]) and said in rule_table.to_text(rule)


def test_every_rule_that_is_not_checked_by_lint_has_its_command():
    unchecked = {rule.id for rule in rules.all_rules() if rule.subject is Subject.OTHER and not rule.id.startswith("X")}
    assert unchecked == set(suppression.ELSEWHERE)
