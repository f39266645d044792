"""Which policies of a plan are given to parliament."""

from __future__ import annotations

from typing import Any

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
