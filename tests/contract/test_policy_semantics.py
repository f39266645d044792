"""docs/policy-semantics.md says what the engine does: its tables are those of the code, and every row has a test."""

from __future__ import annotations

import re

import pytest

from checkouts import ROOT
from fleetgate.iot_policy import assumptions, conditions, variables

DOCUMENT = (ROOT / "docs/policy-semantics.md").read_text(encoding="utf-8")
#: Tests that name the rows that they are about, in headings and docstrings.
TESTED = ("iot_policy/test_evaluator", "iot_policy/test_pattern", "iot_policy/test_topics", "iot_policy/test_assumptions")
TESTED += ("iot_policy/test_policy_rules", "test_authorize")
TESTS = "".join((ROOT / f"tests/unit/{name}.py").read_text(encoding="utf-8") for name in TESTED)


@pytest.mark.parametrize("table", [variables.table, assumptions.table], ids=["variables", "assumptions"])
def test_a_table_is_made_from_the_code(table):
    assert table() in DOCUMENT, f"put this into docs/policy-semantics.md:\n{table()}"


def test_every_operator_is_named():
    listed = DOCUMENT.partition("take `IfExists` and the quantifiers:\n")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", listed) == list(conditions.OPERATORS)


def test_every_row_of_the_semantics_is_there_with_a_source():
    rows = re.findall(r"^\| S(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 25))


@pytest.mark.parametrize("name", assumptions.names())
def test_a_row_that_rests_on_an_assumption_exists(name):
    """Each switch says which row of the semantics, or which lint rule, leaves it open."""
    semantics = next(item.metadata["semantics"] for item in assumptions.switches() if item.name == name)
    assert all(re.fullmatch(r"S(0?[1-9]|1[0-9]|2[0-4])|[KM]\d\d", one) for one in semantics.split(", "))


@pytest.mark.parametrize("number", range(1, 25))
def test_a_row_of_the_semantics_is_named_where_it_is_tested(number):
    assert re.search(rf"\bS{number}\b", TESTS), f"name S{number} where it is tested, in one of {TESTED}"
