"""What of a plan is drift, and how it is told."""

from __future__ import annotations

import json

import pytest

from fleetgate import cli, drift

SECRET = "a-value-that-nobody-may-read"


def change(actions, before, after, unknown=None, *, address="aws_iot_policy.this", mode="managed"):
    inner = {"actions": actions, "before": before, "after": after, "after_unknown": unknown or {}}
    return {"address": address, "mode": mode, "change": inner}


def importing(planned):
    planned["change"]["importing"] = {"id": SECRET}
    return planned


@pytest.mark.parametrize(
    ("planned", "drifted", "told"),
    [
        pytest.param([change(["no-op"], {"a": 1}, {"a": 1})], [], [], id="nothing"),
        pytest.param([change(["read"], None, {}, mode="data")], [], [], id="data sources are read, that is no change"),
        pytest.param(
            [change(["update"], {"policy": SECRET, "n": 1}, {"policy": "b", "n": 1})],
            [change(["update"], {"policy": "b"}, {"policy": SECRET})],
            ["aws_iot_policy.this differs: policy (changed by hand)"],
            id="changed by hand",
        ),
        pytest.param(
            [change(["update"], {"policy": SECRET}, {"policy": "b"})],
            [],
            ["aws_iot_policy.this differs: policy (not applied yet)"],
            id="merged and not applied",
        ),
        pytest.param(
            [change(["update"], {"policy": SECRET, "at": 2}, {"policy": "b", "at": 2})],
            [change(["update"], {"at": 1}, {"at": 2})],
            ["aws_iot_policy.this differs: policy (not applied yet)"],
            id="what AWS moves by itself is not by hand",
        ),
        pytest.param(
            [change(["update"], {"tags": {"a": SECRET, "b": 1}}, {"tags": {"b": 2, "c": 3}})],
            [],
            ["aws_iot_policy.this differs: tags.a, tags.b, tags.c (not applied yet)"],
            id="names of a map's keys",
        ),
        pytest.param(
            [change(["update"], {"policy": SECRET, "version": "1"}, {"policy": "b"}, {"version": True})],
            [],
            ["aws_iot_policy.this differs: policy (not applied yet)"],
            id="what only follows is left out",
        ),
        pytest.param(
            [change(["create"], None, {"policy": SECRET})],
            [change(["delete"], {"policy": SECRET}, None)],
            ["aws_iot_policy.this is missing (changed by hand)"],
            id="taken away by hand",
        ),
        pytest.param(
            [change(["create"], None, {"policy": SECRET})],
            [],
            ["aws_iot_policy.this is missing (not applied yet)"],
            id="never made",
        ),
        pytest.param(
            [change(["delete"], {"policy": SECRET}, None)],
            [],
            ["aws_iot_policy.this is there, and no longer in the files (not applied yet)"],
            id="to be removed",
        ),
        pytest.param(
            [change(["delete", "create"], {"name": SECRET}, {"name": "b"})],
            [],
            ["aws_iot_policy.this differs, and would be replaced: name (not applied yet)"],
            id="replaced",
        ),
        pytest.param(
            [change(["forget"], {"policy": SECRET}, None)],
            [],
            ["aws_iot_policy.this is there, and would be nobody's: Terraform forgets it (not applied yet)"],
            id="a removed block",
        ),
        pytest.param(
            [change(["create", "forget"], {"name": SECRET}, {"name": "b"})],
            [],
            [
                "aws_iot_policy.this differs, and would be made anew beside the old one, which nobody owns then: name "
                "(not applied yet)"
            ],
            id="replaced, and the old one kept",
        ),
        pytest.param(
            [importing(change(["no-op"], {"name": SECRET}, {"name": SECRET}))],
            [],
            ["aws_iot_policy.this is there, and would be taken over (not applied yet)"],
            id="an import block",
        ),
        pytest.param(
            [importing(change(["update"], {"name": SECRET}, {"name": "b"}))],
            [],
            ["aws_iot_policy.this differs: name (not applied yet)"],
            id="an import block, and a difference",
        ),
        pytest.param(
            [change(["something-new"], {"name": SECRET}, {"name": "b"})],
            [],
            ["aws_iot_policy.this differs, Terraform says: something-new: name (not applied yet)"],
            id="what nobody knows here",
        ),
    ],
)
def test_differences_are_told_by_address_and_attribute_and_without_a_value(planned, drifted, told):
    found = drift.differences({"resource_changes": planned, "resource_drift": drifted})
    assert [str(one) for one in found] == told
    assert SECRET not in drift.markdown(found, "prod") + json.dumps(drift.as_json(found))


def test_without_a_difference_there_is_no_report():
    assert drift.markdown([], "prod", drift.PLANNED) == "### What an apply would change in `prod`\n\nNothing.\n"
    assert drift.markdown([], "prod") == "" and drift.differences({"resource_changes": []}) == []


def test_a_report_is_a_table_in_which_no_key_breaks_out_and_fits_a_comment():
    wild = drift.Difference('module.a["x|`\n"].aws_sns_topic.this', "differs", ("tags.a|b",), True)
    text = drift.markdown(
        [wild, *[drift.Difference(f"aws_sns_topic.n{n}", "is missing", (), False) for n in range(2000)]], "prod"
    )
    row = next(line for line in text.splitlines() if line.startswith("| `module"))
    assert row == '| `module.a["x\\|\' "].aws_sns_topic.this` | differs | `tags.a\\|b` | changed by hand |'
    assert len(text) < 65_536 and "more did not fit in here" in text


def test_a_plan_that_is_at_hand_is_told_without_asking_a_cloud(checkout, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"planned_values": {}, "resource_changes": [change(["create"], None, {"policy": SECRET})]}))
    words = ["--root", str(checkout), "drift", "--plan", str(plan), "--format"]
    assert cli.main([*words, "markdown"]) == 1
    assert capsys.readouterr().out.startswith("### What an apply would change in `local`\n\n1 resource would be changed")
    assert cli.main([*words, "json"]) == 1
    assert [one["address"] for one in json.loads(capsys.readouterr().out)] == ["aws_iot_policy.this"]


def odd(**parts):
    return json.dumps({"planned_values": {}, "resource_changes": []} | parts)


NO_PLANS = {
    "empty": "",
    "a list": "[]",
    "an object": "{}",
    "changes a number": odd(resource_changes=1),
    "a change a number": odd(resource_changes=[1]),
    "a change without its change": odd(resource_changes=[{"address": "a"}]),
    "without actions": odd(resource_changes=[{"address": "a", "change": {}}]),
    "before a list": odd(resource_changes=[{"address": "a", "change": {"actions": ["update"], "before": [1], "after": {}}}]),
    "drift an object": odd(resource_drift={"a": 1}),
    "brackets": "[" * 50_000,
    "no text": "\udcff",
}


def test_nothing_of_a_plan_acts_on_a_terminal(checkout, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    values = {"actions": ["update"], "before": {"x\x1b]0;t\x07": 1}, "after": {"x": 2}}
    plan.write_text(odd(resource_changes=[{"address": 'a["\x1b[31m"]', "change": values}]))
    assert cli.main(["--root", str(checkout), "drift", "--plan", str(plan)]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"\x1b[31m" in out


def test_no_key_ends_its_cell_of_the_table():
    text = drift.markdown([drift.Difference('a["x\\\\|<img src=y> @team"]', "differs", (), True)], "e")
    assert '| `a["x\\|<img src=y> @team"]` |' in text


@pytest.mark.parametrize("text", NO_PLANS.values(), ids=NO_PLANS)
def test_what_is_no_plan_is_neither_a_difference_nor_none(checkout, tmp_path, capsys, text):
    plan = tmp_path / "plan.json"
    plan.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert cli.main(["--root", str(checkout), "drift", "--plan", str(plan)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "is no plan" in told.err
