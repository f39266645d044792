"""What is there under a name of this environment's, and not in its Terraform state: whose it may be, and the way on.

Two things look alike. Another stack has the name; then nothing of it may be touched. Or an apply of this environment was
interrupted after AWS had made something and before Terraform heard of it; then that belongs into the state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate import aws
from fleetgate.build import Fleet
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem, fail, printable
from fleetgate.terraform import State

#: Terraform's message of something that it could not make because it is there [seen, provider 5.100.0].
_FRAME = re.compile(r"^╷?\s*│?\s*(?=Error: )", re.MULTILINE)
_MAKING = re.compile(r"Error: (?:creating|adding) [^(\n]*\((?P<id>[^)\n]+)\)")
_ADDRESS = re.compile(r"^[│ ]*with (?P<address>\S+),\s*$", re.MULTILINE)
_THERE = re.compile(r"already\s*exist|Conflict:|ResourceInUse", re.IGNORECASE)
_KIND = re.compile(r"(?:^|\.)(aws_\w+)\.\w+(?:\[[^\]]*\])?$")
#: Kinds that the provider imports by the name that its message has [its documentation, version 5, "Import"]. Of others it wants
#: an address or ARN (queues, trails), or the name with something before it (schedules). A bucket's name may be anybody's.
_BY_NAME = frozenset(
    {
        "aws_cloudformation_stack",
        "aws_cloudwatch_log_group",
        "aws_dynamodb_table",
        "aws_iam_role",
        "aws_iot_policy",
        "aws_iot_provisioning_template",
        "aws_iot_thing_group",
        "aws_iot_thing_type",
        "aws_iot_topic_rule",
        "aws_kms_alias",
        "aws_lambda_function",
        "aws_lambda_permission",  # FUNCTION/STATEMENT
    }
)
#: Whose service has the tags of a kind, and what stands before its name in its ARN. Of others an ARN says so itself.
_TAGGED = {
    "aws_cloudwatch_log_group": ("logs", "log-group:"),
    "aws_dynamodb_table": ("dynamodb", "table/"),
    "aws_iam_role": ("iam", ""),
    "aws_iot_policy": ("iot", "policy/"),
    "aws_iot_provisioning_template": ("iot", "provisioningtemplate/"),
    "aws_iot_thing_group": ("iot", "thinggroup/"),
    "aws_iot_thing_type": ("iot", "thingtype/"),
    "aws_iot_topic_rule": ("iot", "rule/"),
    "aws_lambda_function": ("lambda", "function:"),
    "aws_sqs_queue": ("sqs", ""),
}

Tags = Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """Something that AWS has. tags: None if these credentials may not see them."""

    tags: Tags | None


@dataclass(frozen=True)
class Wanted:
    """Something that a plan would make. kind, address: Terraform's; other_name: what to do if somebody else has the name."""

    label: str
    kind: str
    address: str
    name: str
    other_name: str
    look: Callable[[str], Found | None]


def require_nothing(fleet: Fleet, state: State) -> None:
    """Raises FleetgateError for each thing type, group and role that a plan would make and that is there.

    AWS answers the creation of a type or group that is there with success, so a destroy would take it from its owner. And an
    account has one set of roles for all Regions: a second stack with this prefix would fail in the middle of its apply.
    """
    environment = fleet.environment
    problems = []
    for wanted in _wanted(fleet):
        ours = {resource.values["name"] for resource in state.of(wanted.kind)}
        if wanted.name in ours or (found := wanted.look(wanted.name)) is None:
            continue
        began = began_to_make(environment, wanted.address)
        problems.append(explain(environment.name, wanted, found, environment.tags, began=began))
    if problems:
        raise FleetgateError(problems)


def explain(env: str, wanted: Wanted, found: Found, tags: Tags, *, began: bool) -> Problem:
    """Whose it may be. tags: this environment's; began: this machine's last apply of it began to make just this."""
    take_over = f"fleetgate state import --env {env} '{wanted.address}' {wanted.name}"
    if _is_anothers(found.tags, tags):
        # Also where an apply began: Terraform's log says so of a creation that AWS has refused, too.
        return Problem(wanted.label, "is there already, and is another's: it has not this environment's tags", wanted.other_name)
    if began:
        what = f"is there already: the last apply made it and was interrupted before it was noted (build/{env}/terraform.log)"
        return Problem(wanted.label, what, f"run: {take_over}; then fleetgate plan again")
    whose = "this stack's by its tags" if found.tags is not None else "perhaps this stack's; its tags may not be seen"
    what = f"is there already, {whose}, and not in this environment's state: made by an apply that was interrupted, or elsewhere"
    remedy = f"if no other checkout or state has it, run: {take_over}; then fleetgate plan again. Otherwise "
    return Problem(wanted.label, what, remedy + wanted.other_name)


def began_to_make(environment: Environment, address: str) -> bool:
    """Whether the last run of Terraform on this machine began to make it; what it did not end is not in the state."""
    try:
        said = (environment.build / "terraform.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return f"{address}: Creating..." in said


def require_ours(fleet: Fleet, address: str, identifier: str) -> None:
    """Raises FleetgateError if what is to be taken over has another name than a plan would give it, or another stack's tags.

    Where neither a name is known here nor tags can be seen, the person who was asked has to know.
    """
    environment = fleet.environment
    wanted = next((one for one in _wanted(fleet) if one.address == address), None)
    if wanted is not None and wanted.name != identifier:
        remedy = f"run: fleetgate state import --env {environment.name} '{address}' {wanted.name}, if that is there"
        raise fail(address, f"is {wanted.name} in this environment, and not {identifier!r:.200}", remedy)
    kind = _KIND.search(address)
    if _is_anothers(tags_of(environment, kind[1], identifier) if kind else None, environment.tags):
        other = wanted.other_name if wanted else f"set another prefix in {environment.file}"
        what = "is another's: it has not this environment's tags, and the next destroy would take it from its owner"
        raise fail(printable(identifier), what, other)


def tags_of(environment: Environment, kind: str, identifier: str) -> Tags | None:
    """The tags of what the provider imports by that identifier; None if there are none to be seen."""
    where = f"{environment.settings.region}:{environment.settings.account_id}"
    if kind in _TAGGED:
        service, resource = _TAGGED[kind]
        arn = f"arn:{environment.partition}:{service}:{where}:{resource}{identifier}"
    else:
        service, arn = identifier.split(":")[2] if identifier.count(":") >= 5 else "", identifier
    try:
        match service:
            case "iam" if kind == "aws_iam_role":
                found = _role(identifier)
                return found.tags if found else None
            case "iot":
                return _tags(aws.client("iot").list_tags_for_resource(resourceArn=arn)["tags"])
            case "dynamodb":
                return _tags(aws.client("dynamodb").list_tags_of_resource(ResourceArn=arn)["Tags"])
            case "logs":
                return dict(aws.client("logs").list_tags_for_resource(resourceArn=arn)["tags"])
            case "lambda":
                return dict(aws.client("lambda").list_tags(Resource=arn)["Tags"])
            case "sqs":
                sqs = aws.client("sqs")
                url = identifier if "/" in identifier else sqs.get_queue_url(QueueName=identifier)["QueueUrl"]
                return dict(sqs.list_queue_tags(QueueUrl=url).get("Tags", {}))
            case "sns":
                return _tags(aws.client("sns").list_tags_for_resource(ResourceArn=arn)["Tags"])
    except (BotoCoreError, ClientError):
        pass
    return None


def _is_anothers(seen: Tags | None, ours: Tags) -> bool:
    """Whether the tags of something say that it is not this environment's; none that can be seen do not."""
    return seen is not None and not ours.items() <= seen.items()


def _tags(listed: Iterable[Mapping[str, str]]) -> Tags:
    return {tag["Key"]: tag.get("Value", "") for tag in listed}


def _unseen(_: Environment, __: str, ___: str) -> Tags | None:
    return None


def conflicts(
    said: str, environment: Environment, tags_seen: Callable[[Environment, str, str], Tags | None] = _unseen
) -> list[Problem]:
    """Of Terraform's errors those that say that something is there already, each with the way on. tags_seen: see tags_of."""
    found = []
    for frame in _FRAME.split(said):
        making, address = _MAKING.search(frame), _ADDRESS.search(frame)
        if making is None or address is None or not _THERE.search(frame):
            continue
        kind = _KIND.search(address["address"])
        if _is_anothers(tags_seen(environment, kind[1], making["id"]) if kind else None, environment.tags):
            what = f"{making['id']} is there already, and is another's: it has not this environment's tags"
            found.append(Problem(address["address"], what, f"set another prefix in {environment.file}"))
            continue
        by_name = kind is not None and kind[1] in _BY_NAME
        take_over = f"fleetgate state import --env {environment.name} '{address['address']}' {making['id'] if by_name else 'ID'}"
        which = (
            ""
            if by_name
            else f", with the ID that the provider's documentation of {kind[1] if kind else 'it'} names under Import"
        )
        remedy = (
            f"if an interrupted apply of this environment made it, run: {take_over}{which}; then fleetgate plan again."
            f" Otherwise it is another's: set another prefix in {environment.file}"
        )
        found.append(Problem(address["address"], f"{making['id']} is there already, and not in this environment's state", remedy))
    return found


def _wanted(fleet: Fleet) -> list[Wanted]:
    file = fleet.environment.file
    space = f"set namespace in {file}, so that the names differ"
    prefix = f"set another prefix in {file}; the same stands in no two environments of an account"
    parent, hook = fleet.names.parent_group, fleet.names.hook
    groups = [("module.parent_group", parent)]
    groups += [(f'module.device_type["{name}"]', names.group) for name, names in fleet.names.types.items()]
    found = [
        Wanted(f"thing group {name}", "aws_iot_thing_group", f"{module}.aws_iot_thing_group.this", name, space, _thing_group)
        for module, name in groups
    ]
    for key, names in fleet.names.types.items():
        kind, address = names.thing_type, f'module.device_type["{key}"].aws_iot_thing_type.this'
        found.append(Wanted(f"thing type {kind}", "aws_iot_thing_type", address, kind, space, _thing_type))
    return [*found, Wanted(f"role {hook}", "aws_iam_role", "module.provisioning.aws_iam_role.hook", hook, prefix, _role)]


def _thing_group(name: str) -> Found | None:
    iot = aws.client("iot")
    return _described(iot, lambda: iot.describe_thing_group(thingGroupName=name)["thingGroupArn"])


def _thing_type(name: str) -> Found | None:
    iot = aws.client("iot")
    return _described(iot, lambda: iot.describe_thing_type(thingTypeName=name)["thingTypeArn"])


def _described(iot: Any, arn: Callable[[], str]) -> Found | None:
    try:
        found = arn()
    except iot.exceptions.ResourceNotFoundException:
        return None
    try:
        tags = iot.list_tags_for_resource(resourceArn=found)["tags"]
    except ClientError:
        return Found(None)
    return Found(_tags(tags))


def _role(name: str) -> Found | None:
    iam = aws.client("iam")
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    return Found(_tags(role.get("Tags", ())))  # AWS leaves Tags out where there are none
