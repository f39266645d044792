"""What keeps a plan from being saved or applied. Terraform itself is not needed for that."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from fleetgate import build, claims, deploy, environment
from fleetgate.errors import FleetgateError
from fleetgate.terraform import PLAN_FILE, Resource, State

TEXT = 'account_id: "123456789012"\nregion: us-east-1\nclaims:\n  factory-1: {}\n'


@pytest.fixture
def terraform():
    """What Terraform owns, what its plan says, and what happens while it plans."""
    return SimpleNamespace(state=State({}, ()), changes=[], meanwhile=lambda: None)


@pytest.fixture
def plan(checkout, monkeypatch, terraform):
    """Plans the environment, which is given as text; returns it."""

    def run(text=TEXT):
        (checkout / "terraform/envs/aws.yaml").write_text(text, encoding="utf-8")
        env = environment.load(checkout, "aws")
        if claims.missing(env):
            claims.create(env, "factory-1")

        def saved(_):
            (env.build / PLAN_FILE).write_bytes(b"a plan")
            terraform.meanwhile()
            return True

        said = json.dumps({"resource_changes": terraform.changes})
        runner = SimpleNamespace(plan=saved, plan_as_json=lambda: said, plan_file=env.build / PLAN_FILE)
        monkeypatch.setattr(deploy, "_terraform", lambda *_, **__: (runner, terraform.state))
        monkeypatch.setattr("fleetgate.left_behind.require_nothing", lambda *_: None)
        deploy.plan(build.compile_fleet(env), lambda _: None)
        return env

    monkeypatch.setattr("fleetgate.cloud.require", lambda _: None)
    monkeypatch.setattr("fleetgate.policy_gate.require", lambda _: None)
    monkeypatch.setattr("fleetgate.aws.client", lambda *_, **__: None)
    return run


@pytest.mark.parametrize(
    "name", ["terraform/main.tf", "terraform/envs/aws.yaml", "catalogue/device_types.yaml", "build/aws/fleet.tfvars.json"]
)
def test_a_file_that_changes_while_a_plan_is_made_makes_it_stale_at_once(checkout, plan, terraform, name):
    path = checkout / name
    terraform.meanwhile = lambda: path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(FleetgateError, match="is stale already"):
        plan()
    with pytest.raises(FleetgateError, match="there is no plan to apply"):
        deploy._read_record(environment.load(checkout, "aws"))


def test_a_plan_of_the_same_inputs_that_is_not_the_saved_one_is_not_applied(plan):
    env = plan()
    assert deploy._read_record(env)["changes"] is True
    for spoil in (lambda path: path.write_bytes(b"another plan"), lambda path: path.unlink()):
        spoil(env.build / PLAN_FILE)
        with pytest.raises(FleetgateError, match="is not the plan that was made with these inputs"):
            deploy._read_record(env)


def test_a_record_of_an_earlier_version_is_no_plan(plan):
    env = plan()
    record = json.loads((env.build / "plan.json").read_text())
    (env.build / "plan.json").write_text(json.dumps({name: record[name] for name in ("changes", "inputs")}))
    with pytest.raises(FleetgateError, match="there is no plan to apply"):
        deploy._read_record(env)


TABLE = ("aws_dynamodb_table", {"name": "fleetgate-audit", "hash_key": "subject", "deletion_protection_enabled": True})
BUCKET = ("aws_s3_bucket", {"bucket": "fleetgate-logs", "force_destroy": False})
KEY = ("aws_kms_key", {"key_id": "1234abcd"})
QUEUE = ("aws_sqs_queue", {"name": "fleetgate-x"})
OFF = TEXT + "deletion_protection: false\n"


def without_protection(kind, values):
    return kind, values | {"deletion_protection_enabled": False, "force_destroy": True}


def change(kind, values, *actions, mode="managed"):
    return {"type": kind, "mode": mode, "change": {"actions": list(actions), "before": values, "after": None}}


@pytest.mark.parametrize(
    ("text", "there", "name", "actions"),
    [
        pytest.param(
            TEXT + "prefix: pumps\n", TABLE, "table fleetgate-audit", ["delete", "create"], id="a table, by a new prefix"
        ),
        pytest.param(TEXT, BUCKET, "bucket fleetgate-logs", ["delete"], id="the log files, by no CloudTrail any more"),
        pytest.param(TEXT, KEY, "KMS key 1234abcd", ["create", "delete"], id="a key"),
        pytest.param(
            TEXT, without_protection(*TABLE), "table fleetgate-audit", ["delete"], id="switched on, and AWS has not heard of it"
        ),
        pytest.param(TEXT, without_protection(*BUCKET), "bucket fleetgate-logs", ["delete"], id="the same of the log files"),
        pytest.param(OFF, TABLE, "table fleetgate-audit", ["delete"], id="switched off, and AWS has not heard of it"),
    ],
)
def test_a_plan_that_deletes_what_is_protected_is_refused_and_not_saved(plan, terraform, checkout, text, there, name, actions):
    terraform.state = State({}, (Resource(there[0], None, there[1]),))
    terraform.changes = [change(*QUEUE, "delete"), change(*there, *actions)]
    with pytest.raises(FleetgateError, match=f"{name}: would be deleted by this plan") as refused:
        plan(text)
    assert "deletion_protection: false in terraform/envs/aws.yaml" in str(refused.value) and "-x" not in str(refused.value)
    with pytest.raises(FleetgateError, match="there is no plan to apply"):
        deploy._read_record(environment.load(checkout, "aws"))


def test_a_key_stays_as_long_as_aws_protects_what_it_has_encrypted(plan, terraform):
    terraform.state = State({}, (Resource(TABLE[0], None, TABLE[1]), Resource(KEY[0], None, KEY[1])))
    terraform.changes = [change(*KEY, "delete")]
    with pytest.raises(FleetgateError, match="KMS key 1234abcd"):
        plan(OFF)


@pytest.mark.parametrize(
    ("text", "there", "changes"),
    [
        pytest.param(TEXT, TABLE, [change(*TABLE, "update")], id="changed"),
        pytest.param(TEXT, TABLE, [change(*TABLE, "no-op"), change(*QUEUE, "delete")], id="something else goes"),
        pytest.param(TEXT, TABLE, [change(*KEY, "delete", mode="data")], id="only looked up"),
        pytest.param(
            TEXT, KEY, [change(*KEY, "delete", "create") | {"action_reason": "replace_because_tainted"}], id="made half-way"
        ),
        pytest.param(OFF, without_protection(*TABLE), [change(*KEY, "delete")], id="off, and AWS has heard of it"),
    ],
)
def test_other_plans_are_saved(plan, terraform, text, there, changes):
    terraform.state, terraform.changes = State({}, (Resource(there[0], None, there[1]),)), changes
    assert deploy._read_record(plan(text))["changes"] is True
