"""Which skip beside which resource counts for which address of a plan, and what of a plan is given to checkov."""

from __future__ import annotations

import pytest

from checkouts import ROOT
from fleetgate import skips

FILE = """\
# checkov:skip=CKV_1:above the block, where checkov sees none
resource "aws_sns_topic" "this" {
  #checkov:skip=CKV_2:one reason: with a colon
  # checkov:skip=CKV_3
  name = "x"

  dynamic "policy" {
    for_each = []
  }
}

module "inner" {
  # checkov:skip=CKV_4:of a call
  source = "./modules/inner"
}
"""


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("aws_sns_topic.this", ("", "aws_sns_topic.this")),
        ("aws_sns_topic.this[0]", ("", "aws_sns_topic.this")),
        ('aws_sns_topic.this["a.b"]', ("", "aws_sns_topic.this")),
        ("module.a.aws_sns_topic.this", ("module.a", "aws_sns_topic.this")),
        ('module.a["x.y[0]"].module.b[1].aws_sns_topic.this["z"]', ("module.a.module.b", "aws_sns_topic.this")),
    ],
)
def test_an_address_says_where_in_the_files_a_resource_stands(address, where):
    assert skips.split(address) == where


def test_a_skip_belongs_to_the_resource_that_it_stands_in_and_to_no_other(tmp_path):
    (tmp_path / "main.tf").write_text(FILE)
    assert [(skip.line, skip.block, skip.check, skip.reason) for skip in skips.in_folder(tmp_path)] == [
        (1, "", "CKV_1", "above the block, where checkov sees none"),
        (3, "aws_sns_topic.this", "CKV_2", "one reason: with a colon"),
        (4, "aws_sns_topic.this", "CKV_3", ""),
        (13, "", "CKV_4", "of a call"),
    ]


def topic(values, unknown, *, said, variables=(), given=()):
    """A plan of one topic in a module; said: the arguments that its file gives it, as Terraform's JSON has them."""
    address = "module.inner[0].aws_sns_topic.this"
    resource = {"address": address, "type": "aws_sns_topic", "name": "this", "values": values}
    block = {"type": "aws_sns_topic", "name": "this", "mode": "managed", "expressions": said}
    module = {"resources": [block], "variables": dict(variables)}
    call = {"source": "./modules/inner", "module": module, "expressions": {name: {} for name in given}}
    return {
        "planned_values": {"root_module": {"child_modules": [{"resources": [resource]}]}},
        "resource_changes": [{"address": address, "change": {"after": values, "after_unknown": unknown}}],
        "configuration": {"root_module": {"module_calls": {"inner": call}}},
    }


@pytest.mark.parametrize(
    ("values", "unknown", "said", "judged"),
    [
        pytest.param({"a": 1, "b": 2}, {}, ["a"], {"a": 1}, id="what the cloud filled in is no decision of ours"),
        pytest.param(
            {}, {"key": True, "arn": True}, ["key"], {"key": "known after apply"}, id="a key that is not known yet is one"
        ),
        pytest.param(
            {"sse": [{"on": True}]},
            {"sse": [{"key": True}]},
            ["sse"],
            {"sse": [{"on": True, "key": "known after apply"}]},
            id="block",
        ),
        pytest.param({"a": None, "b": 1}, {}, ["a", "b"], {"b": 1}, id="null is nothing that somebody has said"),
        pytest.param(
            {"sse": [{"on": True, "key": "aws's own"}]},
            {},
            {"sse": [{"on": {"constant_value": True}}]},
            {"sse": [{"on": True}]},
            id="nor what the cloud filled in inside of a block",
        ),
        pytest.param(
            {"sse": [{"on": True}]},
            {"sse": [{"key": True}]},
            {"sse": [{"on": {"references": []}}]},
            {"sse": [{"on": True}]},
            id="whether or not it is known",
        ),
        pytest.param({"list": ["a"]}, {"list": [True]}, ["list"], {"list": ["known after apply"]}, id="list"),
        pytest.param(
            {"outer": [{"policy": [1], "more": 2}]},
            {},
            {"outer": [{}]},
            {"outer": [{"policy": [1]}]},
            id="inside of a block, too",
        ),
        pytest.param({"policy": [1]}, {}, ["name"], {"policy": [1]}, id="a dynamic block, which the configuration does not list"),
    ],
)
def test_checkov_is_given_what_the_files_say_whether_or_not_it_is_known(tmp_path, values, unknown, said, judged):
    (tmp_path / "modules/inner").mkdir(parents=True)
    (tmp_path / "modules/inner/main.tf").write_text(FILE)
    plan = topic(values, unknown, said=said if isinstance(said, dict) else {key: {} for key in said})
    before = repr(plan)
    fit = skips.judgeable(plan, tmp_path)
    assert [resource["values"] for resource in skips.resources(fit["planned_values"]["root_module"])] == [judged]
    assert fit["resource_changes"][0]["change"]["after"] == judged
    assert repr(plan) == before


KEY = {"sse": [{"on": {"constant_value": True}, "key": {"references": ["var.key_arn"]}}]}


@pytest.mark.parametrize(
    ("values", "unknown"),
    [({"on": True, "key": "arn"}, {}), ({"on": True}, {"key": True}), ({"on": True, "key": None}, {})],
    ids=["applied", "not applied", "null"],
)
@pytest.mark.parametrize(
    ("variables", "given", "has_key"),
    [
        pytest.param({"key_arn": {}}, [], False, id="nobody gave one"),
        pytest.param({"key_arn": {}}, ["key_arn"], True, id="the call gives one"),
        pytest.param({"key_arn": {"default": "arn"}}, [], True, id="the default is one"),
    ],
)
def test_an_argument_that_hands_on_a_variable_of_nobody_is_not_said(tmp_path, values, unknown, variables, given, has_key):
    """Or else a table without a key of its own has one: AWS's, or the one that is not known yet."""
    plan = topic({"sse": [values]}, {"sse": [unknown]}, said=KEY, variables=variables, given=given)
    fit = skips.judgeable(plan, tmp_path)
    ((resource),) = skips.resources(fit["planned_values"]["root_module"])
    assert ("key" in resource["values"]["sse"][0]) is (has_key and values.get("key", "") is not None)


def test_modules_of_a_plan_are_found_in_their_folders_and_those_from_elsewhere_are_not(tmp_path):
    inner = {"module_calls": {"c": {"source": "../c"}, "d": {"source": "example.org/d"}}}
    plan = {"configuration": {"root_module": {"module_calls": {"b": {"source": "./b", "module": inner}}}}}
    assert skips.folders(plan, tmp_path) == {
        "": tmp_path,
        "module.b": tmp_path / "b",
        "module.b.module.c": tmp_path / "b/../c",
    }


def test_every_skip_of_this_repository_stands_in_a_resource_and_has_a_reason():
    folders = [ROOT / "terraform", *(path for path in (ROOT / "terraform/modules").iterdir() if path.is_dir())]
    found = [skip for folder in folders for skip in skips.in_folder(folder)]
    assert found and all(skip.block and len(skip.reason) > 20 for skip in found)
