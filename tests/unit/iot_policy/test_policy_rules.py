"""Every rule by itself: its examples, what it is made of, and the borders of those where a false finding would hurt most."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fleetgate.iot_policy import lint, model, rules, source
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Bundle, Rule, Severity, Subject
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy

_GROUPS = "SARMBVK"
RULES = [one for one in rules.all_rules() if one.id[0] in _GROUPS and one.subject in (Subject.POLICY, Subject.BUNDLE)]
#: [the catalogue of policy rules: everything but isolation and what stands in other modules]
CATALOGUE = {
    **dict.fromkeys(["A04", "B01", "B02", "B03", "B04", "B08", "B09", "V03"], Severity.CRITICAL),
    **dict.fromkeys(["S02", "S03", "S04", "S05", "S06", "S08", "A01", "A02", "A03", "R01", "R02", "R08"], Severity.HIGH),
    **dict.fromkeys(["M01", "M02", "M04", "B06", "B07", "V01", "V02", "V04", "V06", "V07", "V09", "V10", "K01", "K03"], Severity.HIGH),
    **dict.fromkeys(["A06", "A07", "A08", "R03", "R04", "R05", "R07", "M03", "M05", "M06", "V05", "V08", "K02"], Severity.MEDIUM),
    **dict.fromkeys(["R06"], Severity.LOW),
    **dict.fromkeys(["S07", "A05", "B05"], Severity.INFO),
}


def findings(*documents: Any, **known: Any) -> list[Finding]:
    """Of one policy by itself, or of several that are known to be together."""
    wholes = [lint.whole(f"{index}.json", source.parse(json.dumps(document))) for index, document in enumerate(documents)]
    return lint.tidy(lint.lint_policies(wholes, Bundle((), **known) if known else None))


def ids(*documents: Any, least: Severity = Severity.MEDIUM, **known: Any) -> set[str]:
    return {one.rule for one in findings(*documents, **known) if one.severity >= least}


def of_example(rule: Rule[Any], example: Any) -> list[Finding]:
    if "policies" in example:
        known = {key: value for key, value in example.items() if key != "policies"}
        return [one for one in findings(*example["policies"], **known) if one.rule == rule.id]
    return [one for one in findings(example) if one.rule == rule.id]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_failing_example_of_a_rule_has_its_finding_with_a_remedy(rule: Rule[Any]) -> None:
    found = of_example(rule, rule.fails)
    assert found
    assert all(one.severity is rule.severity and one.message and one.fix for one in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_passing_example_of_a_rule_is_clean(rule: Rule[Any]) -> None:
    assert of_example(rule, rule.passes) == []
    documents = rule.passes["policies"] if "policies" in rule.passes else [rule.passes]
    assert ids(*documents) == set()


def test_the_catalogue_is_complete_and_each_rule_has_the_severity_it_has_there() -> None:
    found = {rule.id: rule.severity for rule in RULES}
    assert {key: found.get(key) for key in CATALOGUE} == CATALOGUE
    assert len(found) == len(RULES)


def test_rules_beyond_the_catalogue_stay_below_medium() -> None:
    assert {rule.id for rule in RULES} - CATALOGUE.keys() == {"S09", "R09"}
    assert all(rule.severity < Severity.MEDIUM for rule in RULES if rule.id not in CATALOGUE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_why_and_where_that_is_written(rule: Rule[Any]) -> None:
    assert re.fullmatch(r"https://\S+", rule.source)
    assert rule.why.endswith((".", ".)")) and len(rule.why) > 60
    assert rule.title[0].isupper() and not rule.title.endswith(".")
