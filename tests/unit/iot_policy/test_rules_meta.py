"""What holds for every lint rule."""

from __future__ import annotations

import ast
import json
from datetime import date

import pytest

from checkouts import ROOT
from fleetgate import rule_table
from fleetgate.iot_policy import access, isolation, model, rules, suppression
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Severity, Subject
from rule_examples import hits

ALL = rules.all_rules()
CHECKED = [rule for rule in ALL if rule.subject is not Subject.OTHER]
#: The catalogue of rules that this linter was asked for, by severity.
CATALOGUE = {
    Severity.CRITICAL: "A04 B01 B02 B03 B04 B08 B09 V03 I01",
    Severity.HIGH: "S01 S02 S03 S04 S05 S06 S08 A01 A02 A03 R01 R02 R08 M01 M02 M04 B06 B07 V01 V02 V04 V06 V07 V09 V10 K01 K03"
    " I02 I04",
    Severity.MEDIUM: "A06 A07 A08 R03 R04 R05 R07 M03 M05 M06 V05 V08 K02 I03 I05",
    Severity.LOW: "R06",
    Severity.INFO: "S07 A05 B05",
}
#: Lines of a function that fit on a screen.
SCREEN = 50


def test_every_id_stands_for_one_rule():
    assert len({rule.id for rule in ALL}) == len(ALL)


def test_every_rule_of_the_catalogue_is_there_with_its_severity():
    wanted = {id: severity for severity, ids in CATALOGUE.items() for id in ids.split()}
    assert len(wanted) == 57
    assert {rule.id: rule.severity for rule in ALL if rule.id in wanted} == wanted


def test_no_rule_knows_the_file_system_or_anything_outside_of_the_document():
    """Only the standard library's parsers and this package: no path, no process, no network, no open file."""
    allowed = {
        "__future__",
        "collections",
        "copy",
        "dataclasses",
        "functools",
        "importlib",
        "itertools",
        "re",
        "string",
        "types",
        "typing",
    }
    allowed |= {"bisect", "contextlib", "datetime", "difflib", "enum", "ipaddress", "json", "math", "operator", "fleetgate"}
    for file in (ROOT / "tools/fleetgate/iot_policy/rules").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, (file.name, names)
            assert not any(name.startswith("fleetgate") and not name.startswith("fleetgate.iot_policy") for name in names), names
            assert not (isinstance(node, ast.Name) and node.id in ("open", "eval", "exec", "__import__")), (
                file.name,
                node.lineno,
            )


def test_no_rule_is_longer_than_a_screen():
    for file in (ROOT / "tools/fleetgate/iot_policy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                assert (node.end_lineno or 0) - first < SCREEN, f"{file.name}: {node.name}"


def test_every_rule_is_run_for_its_subject():
    """Modules say what they look at, so that they are imported only when that is met."""
    assert {rule.id for subject in Subject for rule in rules.of(subject)} == {rule.id for rule in ALL}
    assert [rule.id for rule in rules.of(Subject.TEXT)] == ["S01"]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.id)
def test_a_rule_says_what_it_finds_why_and_where_that_is_written(rule):
    assert rule.title and len(rule.title) <= 100 and not rule.title.endswith(".")
    assert len(rule.why) > 60 and rule.why.endswith(".")
    assert rule.address is not None or rule.source.startswith("this project")


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.id)
def test_a_rule_finds_its_failing_example_and_not_its_passing_one(rule):
    assert hits(rule, rule.fails) != []
    assert hits(rule, rule.passes) == []


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.id)
def test_a_finding_says_what_to_do_in_one_line(rule):
    for hit in hits(rule, rule.fails):
        assert hit.message and hit.fix and "\n" not in hit.message + hit.fix
        assert not hit.message.endswith(".") or hit.message.endswith("...")


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.id)
def test_examples_are_data(rule):
    assert json.loads(json.dumps([rule.fails, rule.passes])) == [rule.fails, rule.passes]


def test_the_table_of_rules_in_the_documentation_is_up_to_date():
    assert (ROOT / rule_table.FILE).read_text(encoding="utf-8") == rule_table.to_markdown(ALL)


# Rules that other commands report under their ids: failing and passing examples are fleets, changes and suppressions.

ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"
CONNECT = ("iot:Connect", f"client/{THING}")
OWN = ("iot:Publish", f"topic/dt/{THING}/x")
EVERYBODYS = ("iot:Publish", "topic/dt/*")
DECLARED = (isolation.declared("dt/{thing}/x"),)
COMPLETE = '[[suppress]]\nrule = "B01"\npath = "policies/*.json"\nreason = "fielded meters"\nexpires = 2026-11-23\n'


def _member(name, *allowed, **more):
    statements = [{"Effect": "Allow", "Action": action, "Resource": ARN + resource} for action, resource in allowed]
    policy = model.read({"Version": "2012-10-17", "Statement": statements}, name)
    return isolation.Member(name, (policy,), thing_type=name, **more)


def _proven(*members):
    report = isolation.check_all(members, [Scope()])
    return {reach.rule for reach in report.reaches} | {gap.rule for gap in report.gaps}


def _changed(*allowed):
    return {"I03"} if access.compare([_member("a", CONNECT)], Scope(), [_member("a", *allowed)], Scope()).grows else set()


def _suppressed(text, *findings):
    read, problems = suppression.parse(text, "fleetgate-lint.toml", date(2026, 11, 23))
    there = ("policies/a.json",)
    left, _ = suppression.apply(
        findings, read, "fleetgate-lint.toml", date(2026, 11, 23), there, lambda name: name, lambda pattern: there
    )
    return {one.rule for one in [*left, *problems]}


FOUND = Finding("B01", Severity.CRITICAL, "policies/a.json", 1, 1, "/Statement/0", "message", "fix", None, None)
#: Of each such rule what fails and what passes.
ELSEWHERE = {
    "I01": (lambda: _proven(_member("a", CONNECT, OWN, EVERYBODYS)), lambda: _proven(_member("a", CONNECT, OWN))),
    "I02": (
        lambda: _proven(_member("a", CONNECT, OWN), _member("b", CONNECT, ("iot:Publish", "topic/dt/*/x"))),
        lambda: _proven(_member("a", CONNECT, OWN), _member("b", CONNECT)),
    ),
    "I03": (lambda: _changed(CONNECT, OWN), lambda: _changed(CONNECT)),
    "I04": (
        lambda: _proven(_member("a", CONNECT, publishes=DECLARED)),
        lambda: _proven(_member("a", CONNECT, OWN)),
    ),
    "X01": (lambda: _suppressed(COMPLETE.replace("reason", "note"), FOUND), lambda: _suppressed(COMPLETE, FOUND)),
    "X02": (lambda: _suppressed(COMPLETE.replace("23", "22"), FOUND), lambda: _suppressed(COMPLETE, FOUND)),
    "X03": (lambda: _suppressed(COMPLETE), lambda: _suppressed(COMPLETE, FOUND)),
}


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule.subject is Subject.OTHER], ids=lambda rule: rule.id)
def test_what_another_command_reports_has_a_failing_and_a_passing_example(rule):
    fails, passes = ELSEWHERE[rule.id]
    assert rule.id in fails()
    assert passes() == set()
