"""What holds for every lint rule."""

from __future__ import annotations

import json

import pytest

from checkouts import ROOT
from fleetgate import rule_table
from fleetgate.iot_policy import rules
from fleetgate.iot_policy.rule import Subject
from rule_examples import hits

ALL = rules.all_rules()
CHECKED = [rule for rule in ALL if rule.subject is not Subject.OTHER]
#: The catalogue of rules that this linter was asked for.
CATALOGUE = """
S01 S02 S03 S04 S05 S06 S07 S08 A01 A02 A03 A04 A05 A06 A07 A08 R01 R02 R03 R04 R05 R06 R07 R08 M01 M02 M03 M04 M05 M06
B01 B02 B03 B04 B05 B06 B07 B08 B09 V01 V02 V03 V04 V05 V06 V07 V08 V09 V10 K01 K02 K03 I01 I02 I03 I04 I05
"""


def test_every_id_stands_for_one_rule():
    assert len({rule.id for rule in ALL}) == len(ALL)


def test_every_rule_of_the_catalogue_is_there():
    assert set(CATALOGUE.split()) - {rule.id for rule in ALL} == set()


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
