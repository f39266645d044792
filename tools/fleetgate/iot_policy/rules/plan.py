"""Narrow rules about the IAM side of a fleet, on a Terraform plan: what parliament and checkov do not look for.

Everything else about IAM policies is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fleetgate.iot_policy import conditions, pattern
from fleetgate.iot_policy.plan import Plan, Resource, below
from fleetgate.iot_policy.rule import Hit, Severity, Subject, rule
from fleetgate.iot_policy.source import MAXIMUM_DEPTH, Pointer
from fleetgate.iot_policy.view import STRANGERS

_GUIDE = "https://docs.aws.amazon.com/iot/latest/developerguide/"
_DEPUTY = f"{_GUIDE}cross-service-confused-deputy-prevention.html"
#: What calls with the roles of a fleet: the service itself and its credential provider.
_IOT_SERVICES = ("iot.amazonaws.com", "credentials.iot.amazonaws.com")
_SOURCE_KEYS = ("aws:sourcearn", "aws:sourceaccount")
_MANAGED_POLICY = "policy/service-role/AWSIoTThingsRegistration"


def _plan(type: str, **values: Any) -> dict[str, Any]:
    texts = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}
    resource = {"address": f"{type}.this", "mode": "managed", "type": type, "name": "this", "values": texts}
    return {"format_version": "1.2", "planned_values": {"root_module": {"resources": [resource]}}}


def _trust(**condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole", **condition}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _pass_role(resource: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:PassRole", "Resource": resource}]}


_PINNED = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
_ROLE = "arn:aws:iam::123456789012:role/fleet-provisioning"


@rule(
    id="N01",
    title="A role that AWS IoT may assume from any account",
    severity=Severity.MEDIUM,
    why="AWS IoT acts for every customer. Without aws:SourceAccount or aws:SourceArn in the trust policy, somebody else's "
    "resource can make it act with this role.",
    source=_DEPUTY,
    fails=_plan("aws_iam_role", assume_role_policy=_trust()),
    passes=_plan("aws_iam_role", assume_role_policy=_trust(Condition=_PINNED)),
    subject=Subject.PLAN,
)
def trust_without_source(plan: Plan) -> Iterator[Hit]:
    for role in plan.of("aws_iam_role"):
        for statement in _statements(role.text("assume_role_policy")):
            services = [s for s in _services(statement) if s in _IOT_SERVICES]
            if services and statement.get("Effect") == "Allow" and not _pinned(statement):
                what = f"{role.address} trusts {services[0]} without aws:SourceAccount or aws:SourceArn"
                fix = 'add "Condition": {"StringEquals": {"aws:SourceAccount": "<account>"}, "ArnLike": {"aws:SourceArn": "..."}}'
                yield Hit(below(role.pointer, "assume_role_policy"), what, fix)


@rule(
    id="N02",
    title="iam:PassRole that is not pinned to a role",
    severity=Severity.HIGH,
    why="Whoever may pass any role can hand the account's most powerful one to a service and act through it. Name the one "
    "role, best with iam:PassedToService beside it.",
    source="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html",
    fails=_plan("aws_iam_role_policy", policy=_pass_role("*")),
    passes=_plan("aws_iam_role_policy", policy=_pass_role(_ROLE)),
    subject=Subject.PLAN,
)
def unpinned_pass_role(plan: Plan) -> Iterator[Hit]:
    for resource, pointer, text in _iam_policies(plan):
        for statement in _statements(text):
            if statement.get("Effect") != "Allow" or not _grants_pass_role(statement):
                continue
            wide = [r for r in _texts(statement.get("Resource")) if _is_open(r)]
            if wide or "NotResource" in statement:
                shown = wide[0] if wide else "all but a few roles"
                yield Hit(pointer, f"{resource.address} may pass {shown}", "name the ARN of the one role", shown)


@rule(
    id="N03",
    title="AWS IoT may invoke a function for any account",
    severity=Severity.HIGH,
    why="A pre-provisioning hook is invoked by the service, which acts for every customer: without source_arn or "
    "source_account a template of another account can call this function with parameters of its choice.",
    source=f"{_GUIDE}pre-provisioning-hook.html",
    fails=_plan("aws_lambda_permission", action="lambda:InvokeFunction", function_name="hook", principal="iot.amazonaws.com"),
    passes=_plan(
        "aws_lambda_permission",
        action="lambda:InvokeFunction",
        function_name="hook",
        principal="iot.amazonaws.com",
        source_arn="arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleet",
    ),
    subject=Subject.PLAN,
)
def permission_without_source(plan: Plan) -> Iterator[Hit]:
    for permission in plan.of("aws_lambda_permission"):
        names = ("source_arn", "source_account")
        pinned = any(name in permission.unknown or _is_source(permission.text(name) or "") for name in names)
        if permission.text("principal") == "iot.amazonaws.com" and not pinned:
            what = f"{permission.address} lets iot.amazonaws.com invoke the function without source_arn"
            yield Hit(permission.pointer, what, "add source_arn = the ARN of the template or rule, and source_account")


@rule(
    id="N04",
    title="The managed policy AWSIoTThingsRegistration is attached",
    severity=Severity.MEDIUM,
    why="It allows its actions on every resource: attach any policy to any certificate, among others. A provisioning role "
    "needs a dozen actions on the things, groups and policies of its fleet.",
    source="https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSIoTThingsRegistration.html",
    fails=_plan("aws_iam_role_policy_attachment", role="provisioning", policy_arn=f"arn:aws:iam::aws:{_MANAGED_POLICY}"),
    passes=_plan(
        "aws_iam_role_policy_attachment", role="provisioning", policy_arn="arn:aws:iam::123456789012:policy/provisioning"
    ),
    subject=Subject.PLAN,
)
def managed_registration_policy(plan: Plan) -> Iterator[Hit]:
    fix = "write a policy with the actions and resources that the template needs"
    for attachment in plan.of("aws_iam_role_policy_attachment", "aws_iam_policy_attachment"):
        if (attachment.text("policy_arn") or "").endswith(_MANAGED_POLICY):
            yield Hit(below(attachment.pointer, "policy_arn"), f"{attachment.address} attaches AWSIoTThingsRegistration", fix)
    for role in plan.of("aws_iam_role", "aws_iam_role_policy_attachments_exclusive"):
        for name in ("managed_policy_arns", "policy_arns"):
            if any(arn.endswith(_MANAGED_POLICY) for arn in _texts(role.values.get(name))):
                yield Hit(below(role.pointer, name), f"{role.address} attaches AWSIoTThingsRegistration", fix)


def _iam_policies(plan: Plan) -> Iterator[tuple[Resource, Pointer, str | None]]:
    for resource in plan.of("aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy"):
        yield resource, below(resource.pointer, "policy"), resource.text("policy")
    for role in plan.of("aws_iam_role"):
        inline = role.values.get("inline_policy")
        for index, block in enumerate(inline if isinstance(inline, list) else []):
            if isinstance(block, dict) and isinstance(block.get("policy"), str):
                yield role, f"{role.pointer}/inline_policy/{index}/policy", block["policy"]


def _statements(text: str | None) -> Iterator[Mapping[str, Any]]:
    """Of a policy that is JSON; what is not is the provider's to refuse."""
    if text is None or text.count("[") + text.count("{") > MAXIMUM_DEPTH * 100:
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    listed = value.get("Statement") if isinstance(value, dict) else None
    yield from (s for s in (listed if isinstance(listed, list) else [listed]) if isinstance(s, dict))


def _services(statement: Mapping[str, Any]) -> Iterator[str]:
    principal = statement.get("Principal")
    yield from _texts(principal.get("Service") if isinstance(principal, dict) else None)


def _pinned(statement: Mapping[str, Any]) -> bool:
    """Whether a condition asks for one account, of the service that calls or of the resource that it calls for."""
    condition = statement.get("Condition")
    for operator, keys in condition.items() if isinstance(condition, dict) else ():
        found = conditions.operator(operator)
        if found is None or found.base not in _PINNING or found.if_exists or found.quantifier == conditions.FOR_ALL:
            continue
        for key, value in keys.items() if isinstance(keys, dict) else ():
            values = list(_texts(value))
            if key.lower() in _SOURCE_KEYS and values and all(map(_is_source, values)):
                return True
    return False


_PINNING = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")


def _is_source(text: str) -> bool:
    """Whether it is an account, or an ARN of one."""
    account = text.split(":")[4] if text.count(":") > 4 else text
    return bool(account) and "*" not in account and "?" not in account


def _grants_pass_role(statement: Mapping[str, Any]) -> bool:
    named = any(
        pattern.parse(action.lower(), variables=False).matches("iam:passrole")
        for action in _texts(statement.get("Action", statement.get("NotAction")))
    )
    return named is ("Action" in statement)


def _is_open(resource: str) -> bool:
    """Whether a resource covers roles that nobody has named, in any account or in its own."""
    parts = resource.split(":", 5)
    account = parts[4] if len(parts) == 6 and parts[4].isdigit() else "111122223333"
    wanted, partition = pattern.parse(resource, variables=False), parts[1] if len(parts) == 6 and "*" not in parts[1] else "aws"
    every = all(wanted.matches(f"arn:{partition}:iam::{account}:role/{name}") for name in STRANGERS)
    return every or len(parts) < 6 or "*" in parts[4] or "?" in parts[4]


def _texts(value: Any) -> Iterator[str]:
    yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


RULES = (trust_without_source, unpinned_pass_role, permission_without_source, managed_registration_policy)
