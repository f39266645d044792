"""Which policies of a plan are given to parliament, and what becomes of those that are not known yet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetgate import iam_checks
from fleetgate.iam_checks import Document, documents


def resource(type: str, **values: Any) -> dict[str, Any]:
    return {"address": f"{type}.this", "type": type, "values": values}


def test_every_policy_of_an_identity_is_judged_also_those_inside_of_a_role() -> None:
    blocks = [{"name": "logs", "policy": "{1}"}, {}, {"name": "later", "policy": None}]
    module = {
        "resources": [resource("aws_iam_policy", policy="{0}"), resource("aws_s3_bucket_policy", policy="{}")],
        "child_modules": [{"resources": [resource("aws_iam_role", inline_policy=blocks), resource("aws_iam_role", name="bare")]}],
    }
    assert list(documents({"planned_values": {"root_module": module}})) == [
        Document("aws_iam_policy.this", "{0}"),
        Document("aws_iam_role.this inline policy logs", "{1}"),
        Document("aws_iam_role.this inline policy later", None),
    ]
    nothing_known = {"root_module": {"resources": [{"address": "aws_iam_role_policy.this", "type": "aws_iam_role_policy"}]}}
    assert list(documents({"planned_values": nothing_known})) == [Document("aws_iam_role_policy.this", None)]


@pytest.mark.parametrize(
    ("policy", "options", "status", "said"),
    [
        ("{}", [], 0, "1 of 1 judged"),
        (None, [], 2, "NOT JUDGED: 1 of 1 IAM policies, whose texts are known after the apply: aws_iam_role_policy.hook"),
        (None, ["--allow-unknown"], 0, "NOT JUDGED: 1 of 1 IAM policies, whose texts are known after the apply: "),
    ],
    ids=["known", "unknown is not clean", "unknown, and that is all right"],
)
def test_a_policy_that_nobody_could_judge_is_named_and_not_called_clean(
    tmp_path, monkeypatch, capsys, policy, options, status, said
):
    """The two tools have an environment of their own, and are not what this is about."""
    monkeypatch.setattr(iam_checks, "by_checkov", lambda *_: [])
    monkeypatch.setattr(iam_checks, "by_parliament", lambda _: [])
    one = {"address": "aws_iam_role_policy.hook", "type": "aws_iam_role_policy", "values": {"policy": policy}}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"planned_values": {"root_module": {"resources": [one]}}}))
    assert iam_checks.main([str(file), *options]) == status
    assert said in capsys.readouterr().out
