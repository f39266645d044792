"""In what the embedded cloud's IAM differs from AWS's about the deployer's calls; for the test on it and the one without."""

from __future__ import annotations

from typing import Any

ACCOUNT, REGION = "000000000000", "us-east-1"

#: Actions that the embedded cloud checks against another resource than AWS does: the statement that allows them, and the
#: resource, which the statement gets as well here.
CHECKED_OTHERWISE_THAN_ON_AWS = {
    "cloudwatch:DeleteDashboards": ("Dashboard", "*"),
    "cloudwatch:GetDashboard": ("Dashboard", "*"),
    "cloudwatch:ListTagsForResource": ("Alarms", "*"),
    "cloudwatch:DescribeAlarms": ("FindAlarms", "*"),
    "cloudwatch:DeleteAlarms": ("Alarms", "*"),
    "cloudwatch:PutDashboard": ("Dashboard", "*"),
    "dynamodb:DeleteResourcePolicy": ("Tables", "*"),
    "dynamodb:GetResourcePolicy": ("Tables", "*"),
    "dynamodb:ListTagsOfResource": ("Tables", "*"),
    "dynamodb:PutResourcePolicy": ("Tables", "*"),
    "iot:AttachPolicy": ("Certificates", "*"),
    "iot:CreateProvisioningTemplate": ("ProvisioningTemplate", "*"),
    "iot:DetachPolicy": ("Certificates", "*"),
    "iot:ListNamedShadowsForThing": ("Things", f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/shadow"),
    "iot:ListTargetsForPolicy": ("IotPolicies", "*"),
    "kms:CreateAlias": ("ItsAlias", "*"),
    "kms:DeleteAlias": ("ItsAlias", "*"),
    "kms:DescribeKey": ("DynamoDbsKey", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/dynamodb"),
    "lambda:CreateFunction": ("Functions", "*"),
    "sns:ListTagsForResource": ("Topics", "*"),
}
#: The embedded cloud takes these for calls of other names.
NAMED_OTHERWISE_THAN_ON_AWS = {
    "PUT event-invoke-config": "lambda:PutFunctionEventInvokeConfig",
    "GET event-invoke-config": "lambda:GetFunctionEventInvokeConfig",
    "DELETE event-invoke-config": "lambda:DeleteFunctionEventInvokeConfig",
}


def here(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """A statement as the embedded cloud needs it."""
    added = []
    for action in statement["Action"]:
        sid, resource = CHECKED_OTHERWISE_THAN_ON_AWS.get(action, ("", ""))
        if sid == statement["Sid"]:
            added.append({"Sid": f"{sid}{len(added)}Here", "Effect": "Allow", "Action": [action], "Resource": [resource]})
    return [statement, *added]


def named(call: dict[str, Any]) -> str:
    """A recorded call's action, as AWS names it."""
    action = f"{call['request'].get('method')} {call['request'].get('path', '').rpartition('/')[2]}"
    return NAMED_OTHERWISE_THAN_ON_AWS.get(action, call["action"])
