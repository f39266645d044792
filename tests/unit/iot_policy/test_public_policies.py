"""Lint's verdict on what others publish, and on the examples that AWS has labelled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from public_policies import CASES, Case

from fleetgate.iot_policy import budget, lint, source
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Severity

_DEFENDER = json.loads((Path(__file__).parent / "defender_cases.json").read_text())
_LABELLED = [*_DEFENDER["overly_permissive"], *_DEFENDER["potential_misconfiguration"]]


def findings(document: Any, least: Severity = Severity.MEDIUM) -> list[Finding]:
    parsed = source.parse(json.dumps(document))
    return [one for one in lint.tidy(lint.lint_policies([lint.whole("policy.json", parsed)])) if one.severity >= least]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_public_policy_has_these_findings_and_no_others(case: Case) -> None:
    assert {finding.rule for finding in findings(case.policy)} == case.found


def test_there_are_enough_public_policies_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 40
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("place", ["R:A", "eu-central-1:111122223333"])
@pytest.mark.parametrize("labelled", _LABELLED, ids=lambda labelled: labelled["id"])
def test_an_example_that_aws_has_labelled_is_judged_as_aws_judges_it(labelled: dict[str, Any], place: str) -> None:
    statements = json.loads(json.dumps(labelled["stmt"]).replace(":R:A:", f":{place}:"))
    found = findings({"Version": "2012-10-17", "Statement": statements})
    assert bool(found) is not labelled["compliant"], found


@pytest.mark.parametrize("labelled", _LABELLED, ids=lambda labelled: labelled["id"])
def test_a_labelled_example_breaks_the_rule_that_mirrors_the_check(labelled: dict[str, Any]) -> None:
    mirrors = {"connect": "B01", "publish": "B02", "subscribe": "B02", "thing": "B03", "mqtt": "M01", "deny": "M02"}
    found = {finding.rule for finding in findings({"Version": "2012-10-17", "Statement": labelled["stmt"]})}
    assert found == (set() if labelled["compliant"] else {mirrors[labelled["id"].split("-")[0]]})


def _remedies() -> Iterator[tuple[str, Any, Finding, str]]:
    for case in CASES:
        for finding in findings(case.policy, Severity.INFO):
            written = re.fullmatch(r"write (arn:[^<, ]+)(, or .*)?", finding.fix)
            if written and "/Resource" in finding.pointer:
                yield f"{finding.rule}: {case.id}", case.policy, finding, written[1]


@pytest.mark.parametrize(("document", "finding", "remedy"), [pytest.param(*one[1:], id=one[0]) for one in _remedies()])
def test_a_resource_that_is_written_out_as_a_remedy_mends_what_was_found(document: Any, finding: Finding, remedy: str) -> None:
    mended = json.loads(json.dumps(document))
    *way, last = finding.pointer.strip("/").split("/")
    holder = mended
    for step in way:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    holder[int(last) if isinstance(holder, list) else last] = remedy
    assert (finding.rule, finding.pointer) not in {(one.rule, one.pointer) for one in findings(mended, Severity.INFO)}


def _steps(document: Any) -> int:
    """What all searches for the findings of one policy take together."""
    with budget.limited():
        outer = budget.current()
        before = outer.left
        findings(document)
        return before - outer.left


def test_a_public_policy_takes_a_small_part_of_what_lint_may_search() -> None:
    assert max(_steps(case.policy) for case in CASES) < budget.MAXIMUM_LINT / 10


def test_a_policy_made_to_be_searched_for_ever_ends_and_what_cannot_be_told_is_found() -> None:
    """A wildcard in the type and three in the name, a hundred times: each is asked whether it brings another device's topics."""
    resources = [f"arn:aws:iot:us-east-1:123456789012:t*/hall{number}/*/x?*" for number in range(100)]
    statement = {"Effect": "Allow", "Action": ["iot:Subscribe", "iot:Receive"], "Resource": resources}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    assert _steps(document) < budget.MAXIMUM_LINT * 1.1
    assert len({one.pointer for one in findings(document) if one.rule == "M04"}) == 100
