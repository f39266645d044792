"""Something is there under our name and not in our state: whose it is, and the next step."""

from __future__ import annotations

import re

import pytest

from checkouts import ROOT
from fleetgate import left_behind
from fleetgate.left_behind import Found, Wanted

ADDRESS = 'module.device_type["gateway"].aws_iot_thing_type.this'
WANTED = Wanted("thing type gateway", "aws_iot_thing_type", ADDRESS, "gateway", "set namespace in the file", lambda name: None)
TAGS = {"Project": "IoTProvisioning", "Environment": "test"}
IMPORT = f"fleetgate state import --env test '{ADDRESS}' gateway"

#: As the provider says it, about a role and about a group of logs; and an error of another kind.
ROLE = """╷
│ Error: creating IAM Role (fleetgate-audit): operation error IAM: CreateRole, https response error StatusCode: 409, RequestID: 1, EntityAlreadyExists: Role with name fleetgate-audit already exists.
│ 
│   with module.audit.aws_iam_role.function,
│   on modules/audit/iam.tf line 54, in resource "aws_iam_role" "function":
│   54: resource "aws_iam_role" "function" {
│ 
╵
"""  # noqa: E501, W291 - word for word
GROUP = """╷
│ Error: creating CloudWatch Logs Log Group (/aws/lambda/fleetgate-audit): operation error CloudWatch Logs: CreateLogGroup, https response error StatusCode: 400, RequestID: 1, ResourceAlreadyExistsException: The specified log group already exists
│ 
│   with module.device_type["gateway"].aws_cloudwatch_log_group.function,
│   on modules/audit/lambda.tf line 2, in resource "aws_cloudwatch_log_group" "function":
│    2: resource "aws_cloudwatch_log_group" "function" {
│ 
╵
"""  # noqa: E501, W291
DENIED = ROLE.replace("409", "403").replace(
    "EntityAlreadyExists: Role with name fleetgate-audit already exists.", "AccessDenied: not allowed"
)


@pytest.mark.parametrize(
    "tags, began, what, remedy, imports",
    [
        (TAGS, True, "was interrupted", "run: fleetgate state import", True),
        (None, True, "was interrupted", "run: fleetgate state import", True),
        (TAGS | {"Owner": "we"}, False, "made by an apply that was interrupted", "if no other checkout or state", True),
        (None, False, "made by an apply that was interrupted", "if no other checkout or state", True),
        ({}, False, "has not this environment's tags", "set namespace in the file", False),
        ({"Project": "IoTProvisioning"}, False, "has not this environment's tags", "set namespace in the file", False),
        (TAGS | {"Environment": "live"}, False, "has not this environment's tags", "set namespace in the file", False),
        (TAGS | {"Environment": "live"}, True, "has not this environment's tags", "set namespace in the file", False),
        ({}, True, "has not this environment's tags", "set namespace in the file", False),
    ],
    ids=[
        "begun",
        "begun, tags unseen",
        "our tags",
        "tags unseen",
        "no tags",
        "a tag too few",
        "another's tag",
        "begun, another's tag",
        "begun, no tags",
    ],
)
def test_what_is_there_is_called_another_s_only_where_its_tags_say_so(tags, began, what, remedy, imports):
    problem = left_behind.explain("test", WANTED, Found(tags), TAGS, began=began)
    assert problem.where == "thing type gateway" and what in problem.what and remedy in problem.remedy
    assert (IMPORT in problem.remedy) == imports
    assert "interrupted before" in problem.what or "set namespace in the file" in problem.remedy  # the other way on is told


@pytest.mark.parametrize(
    "said, began",
    [
        (f"{ADDRESS}: Creating...\n", True),
        (f"{ADDRESS}: Destroying...\n", False),
        ('module.device_type["gateway-2"].aws_iot_thing_type.this: Creating...\n', False),
        (None, False),
    ],
    ids=["it", "the end of it", "another", "no log"],
)
def test_the_log_of_the_last_run_tells_what_it_began_to_make(fleet, said, began):
    log = fleet.environment.build / "terraform.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    if said is not None:
        log.write_text(said, encoding="utf-8")
    assert left_behind.began_to_make(fleet.environment, ADDRESS) == began


def test_each_thing_that_terraform_could_not_make_because_it_is_there_has_the_command_that_takes_it_over(fleet):
    problems = left_behind.conflicts(f"{GROUP}{DENIED}{ROLE}", fleet.environment)
    env = fleet.environment.name
    assert [problem.where for problem in problems] == [
        'module.device_type["gateway"].aws_cloudwatch_log_group.function',
        "module.audit.aws_iam_role.function",
    ]
    group, role = (problem.remedy for problem in problems)
    assert f"""state import --env {env} 'module.device_type["gateway"].aws_cloudwatch_log_group.function' /aws/lambda/""" in group
    assert f"state import --env {env} 'module.audit.aws_iam_role.function' fleetgate-audit; then" in role
    assert all(f"set another prefix in {fleet.environment.file}" in remedy for remedy in (group, role))


def there(address, name):
    said = ROLE.replace("module.audit.aws_iam_role.function", address).replace("(fleetgate-audit)", f"({name})")
    return said.replace("IAM Role", "Something")


@pytest.mark.parametrize(
    "address, name, kind",
    [
        ("module.audit.aws_sqs_queue.dead_letter", "fleetgate-audit-dead-letter", "aws_sqs_queue"),
        ("module.cloudtrail[0].aws_cloudtrail.this", "fleetgate-calls", "aws_cloudtrail"),
        ("module.monitoring.aws_scheduler_schedule.census", "fleetgate-census", "aws_scheduler_schedule"),
        ('module.x.aws_s3_bucket.this["a.b"]', "fleetgate-logs", "aws_s3_bucket"),
    ],
)
def test_what_is_not_imported_by_its_name_is_told_without_a_command_that_cannot_work(fleet, address, name, kind):
    (problem,) = left_behind.conflicts(there(address, name), fleet.environment)
    assert problem.what.startswith(f"{name} is there already") and name not in problem.remedy
    assert f"state import --env {fleet.environment.name} '{address}' ID, with the ID that the" in problem.remedy
    assert f"documentation of {kind} names under Import; then" in problem.remedy


@pytest.mark.parametrize("address", ['module.audit.aws_iot_topic_rule.this["thing"]', "aws_kms_alias.this"])
def test_what_is_imported_by_its_name_has_it_in_the_command_wherever_it_stands(fleet, address):
    (problem,) = left_behind.conflicts(there(address, "its-name"), fleet.environment)
    assert f"'{address}' its-name; then fleetgate plan again" in problem.remedy


def test_a_permission_that_is_there_is_taken_over_by_function_and_statement(fleet):
    said = """│ Error: adding Lambda Permission (fleetgate-hook/AllowTemplate): operation error Lambda: AddPermission, https response error StatusCode: 409, RequestID: 1, ResourceConflictException: The statement id (AllowTemplate) provided already exists. Please provide a new statement id, or remove the existing statement.
│ 
│   with module.provisioning.aws_lambda_permission.hook,
│   on modules/provisioning/lambda.tf line 45, in resource "aws_lambda_permission" "hook":
│ 
"""  # noqa: E501, W291 - word for word
    (problem,) = left_behind.conflicts(said, fleet.environment)
    assert "'module.provisioning.aws_lambda_permission.hook' fleetgate-hook/AllowTemplate; then" in problem.remedy


@pytest.mark.parametrize(
    "said, is_there", [("Function already exist: x", True), ("The operation cannot be performed at this time", False)]
)
def test_a_conflict_of_lambda_s_is_told_only_where_something_is_there(fleet, said, is_there):
    frame = there("module.audit.aws_lambda_function.this", "fleetgate-audit")
    assert "EntityAlreadyExists: Role with name fleetgate-audit already exists." in frame
    frame = frame.replace(
        "EntityAlreadyExists: Role with name fleetgate-audit already exists.", f"ResourceConflictException: {said}"
    )
    assert bool(left_behind.conflicts(frame, fleet.environment)) is is_there


def test_only_kinds_that_the_stack_has_are_said_to_be_imported_by_name():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "terraform").rglob("*.tf") if ".terraform" not in path.parts]
    kinds = set(re.findall(r'(?m)^resource "(\w+)"', "".join(texts)))
    assert kinds >= left_behind._BY_NAME


@pytest.mark.parametrize("said", [DENIED, "", "Error: creating IAM Role (x): already exists", "Error: Saved plan is stale"])
def test_any_other_error_of_terraform_s_stays_as_it_is(fleet, said):
    assert left_behind.conflicts(said, fleet.environment) == []


def test_what_is_looked_for_is_what_aws_would_adopt_without_a_word_under_terraform_s_own_addresses(fleet):
    found = {wanted.address: (wanted.kind, wanted.name) for wanted in left_behind._wanted(fleet)}
    for name, names in fleet.names.types.items():
        assert found[f'module.device_type["{name}"].aws_iot_thing_type.this'] == ("aws_iot_thing_type", names.thing_type)
        assert found[f'module.device_type["{name}"].aws_iot_thing_group.this'] == ("aws_iot_thing_group", names.group)
    assert found["module.parent_group.aws_iot_thing_group.this"] == ("aws_iot_thing_group", fleet.names.parent_group)
    assert found["module.provisioning.aws_iam_role.hook"] == ("aws_iam_role", fleet.names.hook)
    assert len(found) == 2 + 2 * len(fleet.names.types)
