"""Suppressions: only with rule, reason and expiry date, and never for good."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest

from fleetgate.iot_policy import suppression
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Severity

FILE = "fleetgate-lint.toml"
TODAY = date(2026, 11, 23)
COMPLETE = 'rule = "B01"\npath = "policies/*.json"\nreason = "fielded meters"\nexpires = 2026-11-23\n'


def finding(
    rule: str = "B01", file: str = "policies/a.json", pointer: str = "/Statement/0/Resource", sid: str | None = None
) -> Finding:
    return Finding(rule, Severity.CRITICAL, file, 1, 1, pointer, "message", "fix", None, sid)


def applied(
    text: str,
    *findings: Finding,
    looked_at: tuple[str, ...] = ("policies/a.json",),
    there: tuple[str, ...] = ("policies/a.json",),
) -> tuple[list[str], int]:
    """The rules that are left, those about the suppressions included, and the number of suppressed findings."""
    read, problems = suppression.parse(f"[[suppress]]\n{text}", FILE, TODAY)
    left, suppressed = suppression.apply(findings, read, FILE, TODAY, looked_at, lambda name: name, lambda pattern: there)
    return [f.rule for f in [*left, *problems]], suppressed


def test_a_complete_suppression_takes_the_finding_out_up_to_its_last_day():
    assert applied(COMPLETE, finding()) == ([], 1)


def test_after_its_last_day_the_finding_counts_again_and_the_suppression_is_a_finding_too():
    assert applied(COMPLETE.replace("23", "22"), finding()) == (["B01", "X02"], 0)


@pytest.mark.parametrize(
    "other",
    [finding(rule="B02"), finding(file="policies/b.txt"), finding(file="other/a.json")],
    ids=["another rule", "another ending", "another folder"],
)
def test_another_finding_is_left_and_the_suppression_is_unused(other):
    assert applied(COMPLETE, other) == ([other.rule, "X03"], 0)


@pytest.mark.parametrize(
    "narrowed, taken",
    [
        ('statement = "Connect"', finding(sid="Connect")),
        ('pointer = "/Statement/0"', finding()),
        ('pointer = "/Statement/0/Resource"', finding()),
    ],
)
def test_a_suppression_can_be_narrowed(narrowed, taken):
    assert applied(COMPLETE + narrowed, taken) == ([], 1)
    assert applied(COMPLETE + narrowed, finding(pointer="/Statement/01", sid="Other")) == (["B01", "X03"], 0)


@pytest.mark.parametrize("looked_at", [(), ("other.json",), ("policies/a.json",)])
def test_that_a_suppression_is_unused_is_only_said_if_every_file_of_its_pattern_was_looked_at(looked_at):
    assert applied(COMPLETE, looked_at=looked_at, there=("policies/a.json", "policies/b.json")) == ([], 0)
    assert applied(COMPLETE, looked_at=("policies/a.json", "policies/b.json"), there=("policies/a.json",)) == (["X03"], 0)


def test_a_suppression_for_a_file_that_is_gone_names_it():
    read, _ = suppression.parse(f"[[suppress]]\n{COMPLETE}", FILE, TODAY)
    [left], _ = suppression.apply([], read, FILE, TODAY, ["other.json"], lambda name: name, lambda pattern: ())
    assert left.rule == "X03" and "policies/*.json, and there is no such file any more" in left.message


@pytest.mark.parametrize("missing", ["rule", "path", "reason", "expires"])
def test_an_incomplete_suppression_suppresses_nothing(missing):
    text = "\n".join(line for line in COMPLETE.splitlines() if not line.startswith(missing))
    assert applied(text, finding()) == (["B01", "X01"], 0)


@pytest.mark.parametrize(
    "before, after, message",
    [
        ('"fielded meters"', '"  "', "reason is missing"),
        ('"fielded meters"', "3", "reason is 3"),
        ("2026-11-23", '"never"', 'expires is "never"'),
        ("2026-11-23", "2027-11-25", "expires is 2027-11-25, further ahead than a year"),
        ("2026-11-23", "10:00:00", "expires is 10:00:00"),
        ('"fielded meters"', "true", "reason is true"),
        ('"fielded meters"', '["a"]', "reason is a list"),
        ('"policies/*.json"', '"*"', 'path is "*", which fits too many files'),
        ('"policies/*.json"', '"**/*"', "which fits too many files"),
        ('"policies/*.json"', '"*.json"', "which fits too many files"),
        ('"policies/*.json"', '"[!a]*"', "which fits too many files"),
        *(
            ('"policies/*.json"', f'"{path}"', "which fits too many files")
            for path in ("*e*", "p*", "[a-p]*", "p*/*.jso?", "*son")
        ),
        ('"policies/*.json"', '"../*"', 'path is "../*", outside of this'),
        ('"policies/*.json"', '"/tmp/*"', "outside of this"),
        ('"policies/*.json"', '"a/../../b.json"', "outside of this"),
        ('"policies/*.json"', '"policies/"', "a folder"),
        ('"B01"', '"S01"', "S01 cannot be suppressed: of what cannot be read"),
        ('"B01"', '"I01"', "I01 cannot be suppressed: `fleetgate isolation` reports it"),
        ('"B01"', '"I03"', "I03 cannot be suppressed: `fleetgate access-diff` reports it"),
        ("2026-11-23", "2026-11-23T10:00:00Z", "expires is"),
        ('"B01"', '"B99"', 'no rule "B99"'),
        ('"B01"', '"X03"', "cannot be suppressed"),
        ("reason", "because", '"because" is not known'),
        ('"fielded meters"', "", "not TOML"),
    ],
)
def test_what_is_wrong_with_a_suppression_is_said_with_its_line(before, after, message):
    text = f"# why\n\n[[suppress]]\n{COMPLETE.replace(before, after)}"
    read, problems = suppression.parse(text, FILE, TODAY)
    assert read == []
    assert message in " ".join(problem.message for problem in problems)
    assert all(problem.rule == "X01" and 3 <= problem.line <= 6 for problem in problems)


@pytest.mark.parametrize(
    "path, pattern, is_meant",
    [
        ("policies/a.json", "policies/*.json", True),
        ("policies/sub/b.json", "policies/*.json", False),
        ("policies/sub/b.json", "policies/*", False),
        ("policies/sub/b.json", "policies/*/b.json", True),
        ("policies/sub/b.json", "policies?sub/b.json", False),
        ("policies/sub/b.json", "policies[!x]sub/b.json", False),
        ("policies/sub/b.json", "policies/**", True),
        ("policies/sub/b.json", "policies/**/*.json", True),
        ("policies/a.json", "policies/**/*.json", True),
        ("policies/a/b/c.json", "**/b/*.json", True),
        ("policies/a/b/c.json", "**/c/*.json", False),
        ("policies/a.json", "policies/[ab].json", True),
        ("policies/a.json", "policies/[!ab].json", False),
        ("policies/[a].json", "policies/[[]a].json", True),
        ("policies/a.json", "policies/a.jsonx", False),
        ("/".join("a" * 60), "/".join(["**", "a"] * 30), True),
        ("a" * 200, "*a" * 40 + "b", False),
    ],
)
def test_a_pattern_does_not_cross_folders_unless_it_says_so(path, pattern, is_meant):
    """`policies/*.json` was told to be the files of a folder, and silenced those of its subfolders as well."""
    assert suppression.fits(path, pattern) is is_meant


@pytest.mark.parametrize(
    "text, line, column, said",
    [
        ("a=" + "9" * 5000, 1, 1, "the line has more than"),
        ("\n" + "a." * 20_000, 2, 1, "the line has more than"),
        ("a = [\n" + "1,\n" * 60_000 + "]", 1, 1, "characters, 100,000 are possible"),
        ("# why\n[[suppress]]\nrule = B01\n", 3, 8, "not TOML: Invalid value"),
        ("# why\n\n[[supress]]\n", 3, 1, '"supress" is not known here'),
        ('# why\n"a b" = 3\n', 2, 1, '"a b" is not known here'),
    ],
    ids=["a huge number", "a long key", "a huge file", "broken", "misspelt", "quoted"],
)
def test_what_is_wrong_with_the_file_is_told_at_its_place_and_quickly(text, line, column, said):
    started = time.process_time()
    read, [problem] = suppression.parse(text, FILE, TODAY)
    assert read == [] and said in problem.message and (problem.line, problem.column) == (line, column)
    assert time.process_time() - started < 1
    assert "supress" not in text or problem.fix == "write [[suppress]]"


def test_a_huge_number_in_hexadecimal_does_not_end_in_a_traceback():
    assert suppression.parse("a = 0x" + "f" * 990, FILE, TODAY)[1] and suppression.parse("a = " + "9" * 990, FILE, TODAY)[1]


@pytest.mark.parametrize("text", ["suppress = 3", "[suppress]\nrule = 3", "[ignore]", "[[[", "a = " + "[" * 5000])
def test_a_file_that_holds_something_else_is_a_finding(text):
    read, problems = suppression.parse(text, FILE, TODAY)
    assert read == [] and {problem.rule for problem in problems} == {"X01"}


@pytest.mark.parametrize(
    "path", ["abc*.json", "policies/*", "policies/**", "*/legacy.json", "**/legacy.json", "policies/legacy-?.json"]
)
def test_a_path_that_names_something_is_taken(path):
    assert suppression.parse("[[suppress]]\n" + COMPLETE.replace("policies/*.json", path), FILE, TODAY)[1] == []


def test_a_year_ahead_is_the_furthest():
    assert applied(COMPLETE.replace("2026-11-23", "2027-11-24"), finding()) == ([], 1)


def test_a_sid_that_stands_twice_says_nothing_and_is_told():
    twice = replace(finding(sid="Connect"), repeats_sid=True)
    assert applied(COMPLETE + 'statement = "Connect"', twice, twice) == (["B01", "B01", "X01"], 0)
    assert applied(COMPLETE + 'statement = "Connect"\npointer = "/Statement/0"', twice) == ([], 1)
    assert applied(COMPLETE, twice) == ([], 1)


def test_a_day_in_quotes_is_a_day():
    assert applied(COMPLETE.replace("2026-11-23", '"2026-11-23"'), finding()) == ([], 1)
