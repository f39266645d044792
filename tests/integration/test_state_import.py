"""`fleetgate state import` takes over what bears this environment's tags or shows none, and never what bears another's."""

from __future__ import annotations

from types import SimpleNamespace

import boto3
import pytest

import lambdas
from fleetgate import aws, build, claims, deploy, environment, left_behind
from fleetgate.environment import ACCOUNT_VARIABLE

GROUP = "module.parent_group.aws_iot_thing_group.this"
QUEUE, TABLE, LOGS = "fleetgate-audit-dead-letter", "fleetgate-x", "/aws/lambda/fleetgate-x"


@pytest.fixture
def take_over(fleetgate, checkout, registry, monkeypatch):
    """The command, as far as Terraform; gives its status and messages, and what Terraform was to take over."""
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    env = environment.load(checkout, "moto")
    claims.create(env, "factory-1")
    taken = []
    runner = SimpleNamespace(take_over=lambda address, identifier, file: taken.append((address, identifier)))
    monkeypatch.setattr(deploy, "_terraform", lambda *_, **__: (runner, None))

    def run(address, identifier, consent="--yes"):
        taken.clear()
        status, out, err = fleetgate("state", "import", consent, address, identifier)
        return status, out + err, list(taken)

    return SimpleNamespace(run=run, environment=env)


def make_group(monkeypatch, name, tags):
    """moto does not list a group's tags; that is at botocore's boundary."""
    arn = boto3.client("iot").create_thing_group(thingGroupName=name)["thingGroupArn"]

    def listed(resourceArn):
        assert resourceArn == arn
        return {"tags": [{"Key": k, "Value": v} for k, v in tags.items()]}

    monkeypatch.setattr(aws.client("iot"), "list_tags_for_resource", listed)


@pytest.mark.parametrize("consent", ["--yes", "--dry-run"])
def test_a_name_that_no_plan_would_give_is_refused_before_anything_is_shown_or_noted(take_over, monkeypatch, consent):
    make_group(monkeypatch, "pumps-devices", {})
    status, err, taken = take_over.run(GROUP, "pumps-devices", consent)
    assert (status, taken) == (1, []) and "in this environment, and not 'pumps-devices'" in err
    assert "note in the state" not in err and not (take_over.environment.build / "audit.jsonl").exists()


@pytest.mark.parametrize("ours", [True, False])
def test_a_name_of_ours_is_taken_over_only_with_our_tags(take_over, monkeypatch, ours):
    name = build.compile_fleet(take_over.environment).names.parent_group
    make_group(monkeypatch, name, take_over.environment.tags if ours else {"Stack": "pumps"})
    status, err, taken = take_over.run(GROUP, name)
    assert (status, taken) == ((0, [(GROUP, name)]) if ours else (1, []))
    assert ours or "is another's" in err


def make(kind, tags):
    listed = [{"Key": k, "Value": v} for k, v in tags.items()]
    if kind == "aws_sqs_queue":
        return boto3.client("sqs").create_queue(QueueName=QUEUE, tags=tags)["QueueUrl"]
    if kind == "aws_dynamodb_table":
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
            Tags=listed,
        )
        return TABLE
    boto3.client("logs").create_log_group(logGroupName=LOGS, tags=tags)
    return LOGS


@pytest.mark.parametrize("kind", ["aws_sqs_queue", "aws_dynamodb_table", "aws_cloudwatch_log_group"])
@pytest.mark.parametrize("ours", [True, False])
def test_of_other_kinds_the_tags_are_looked_at_too_before_an_import_and_before_it_is_offered(take_over, kind, ours):
    env = take_over.environment
    identifier = make(kind, dict(env.tags) if ours else {"Stack": "pumps"})
    address = f"module.audit.{kind}.this"
    status, _, taken = take_over.run(address, identifier)
    assert (status, taken) == ((0, [(address, identifier)]) if ours else (1, []))
    name = QUEUE if kind == "aws_sqs_queue" else identifier
    said = f"Error: creating it ({name}): QueueAlreadyExists: already exists\n  with {address},\n  on x line 1\n"
    [problem] = left_behind.conflicts(said, env, left_behind.tags_of)
    assert ("state import" in str(problem)) is ours and ("is another's: it has not" in str(problem)) is not ours


def test_what_shows_no_tags_is_left_to_the_person_who_was_asked(take_over):
    assert take_over.run("module.x.aws_kms_alias.this", "alias/x")[0] == 0
    assert take_over.run("module.audit.aws_dynamodb_table.this", "not-there")[2] != []
