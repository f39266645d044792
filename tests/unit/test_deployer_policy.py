"""The deployer's policy, held to what a real run calls, and to reach nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from checkouts import ROOT
from deployer_calls import ACCOUNT, REGION, here
from fleetgate import catalogue, deployer, environment, names
from fleetgate.cli import main
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError

BUCKET = f"fleetgate-state-{ACCOUNT}"
#: As in tests/e2e/test_deployer.py, which writes the recording.
RECORDED = f"""account_id: "{ACCOUNT}"
region: {REGION}
iot_log_level: ""
manage_device_defender: false
alarm_emails: [iot-oncall@example.com]
state: {{bucket: {BUCKET}, key: fleetgate/e2e.tfstate}}
claims: {{factory-1: {{}}}}
"""
#: What a first apply, smoke and destroy do not call for by name: an edit of a policy, a role or a function calls for it, and AWS
#: asks for the permission to tag what is made with tags.
CHANGES = {
    "cloudwatch:TagResource",
    "cloudwatch:UntagResource",
    "dynamodb:TagResource",
    "dynamodb:UntagResource",
    "dynamodb:UpdateTable",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRoleDescription",
    "iot:CreatePolicyVersion",
    "iot:CreateProvisioningTemplateVersion",
    "iot:DeletePolicyVersion",
    "iot:DeleteProvisioningTemplateVersion",
    "iot:ListProvisioningTemplateVersions",
    "iot:ReplaceTopicRule",
    "iot:TagResource",
    "iot:UntagResource",
    "iot:UpdateThingGroup",
    "kms:PutKeyPolicy",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
    "lambda:TagResource",
    "lambda:UntagResource",
    "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration",
    "logs:AssociateKmsKey",
    "logs:DisassociateKmsKey",
    "logs:TagResource",
    "logs:UntagResource",
    "scheduler:UpdateSchedule",
    "sns:TagResource",
    "sns:UntagResource",
    "sqs:SetQueueAttributes",
    "sqs:TagQueue",
    "sqs:UntagQueue",
}
#: What AWS asks for beside a call and the embedded cloud does not: for a role that is given to a service, a tag that is set.
AWS_ONLY = {"iam:PassRole", "kms:TagResource"}


#: The embedded cloud speaks HTTP, so that a bucket which takes TLS only keeps everybody out, and it has no audits.
TRAIL = {
    *("cloudtrail:AddTags", "cloudtrail:CreateTrail", "cloudtrail:DeleteTrail", "cloudtrail:DescribeTrails"),
    *("cloudtrail:GetEventSelectors", "cloudtrail:GetInsightSelectors", "cloudtrail:GetTrail", "cloudtrail:GetTrailStatus"),
    *("cloudtrail:ListTags", "cloudtrail:RemoveTags", "cloudtrail:StartLogging", "cloudtrail:StopLogging"),
    *("cloudtrail:UpdateTrail", "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:GetAccelerateConfiguration"),
    *("s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLogging", "s3:GetBucketObjectLockConfiguration"),
    *("s3:GetBucketOwnershipControls", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketRequestPayment"),
    *("s3:GetBucketTagging", "s3:GetBucketVersioning", "s3:GetBucketWebsite", "s3:GetEncryptionConfiguration"),
    *("s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucketVersions"),
    *("s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging"),
    *("s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:DeleteObjectVersion"),
}
AUDITS = {
    *("cloudformation:CreateStack", "cloudformation:DeleteStack", "cloudformation:DescribeStackEvents"),
    *("cloudformation:DescribeStacks", "cloudformation:GetTemplate", "cloudformation:TagResource", "cloudformation:UpdateStack"),
    *("iot:CreateScheduledAudit", "iot:DeleteAccountAuditConfiguration", "iot:DeleteScheduledAudit"),
    *("iot:DescribeAccountAuditConfiguration", "iot:DescribeScheduledAudit", "iot:ListScheduledAudits"),
    *("iot:UpdateAccountAuditConfiguration", "iot:UpdateScheduledAudit"),
}


def fleet(text=RECORDED, name="e2e"):
    made = Environment(ROOT, name, environment.parse(text, f"{name}.yaml"))
    return made, names.derive(catalogue.read(ROOT), made)


@pytest.fixture(scope="module")
def recorded():
    return deployer.statements(*fleet())


def recording():
    return [tuple(line.split(" ", 1)) for line in (ROOT / "tests/golden/deployer_calls.txt").read_text().splitlines()]


def allowing(statements, action, resource):
    """Sids of the statements that allow the action on the resource, whatever their conditions."""
    return [s["Sid"] for s in statements if action in s["Action"] and any(fnmatchcase(resource, r) for r in s["Resource"])]


def test_every_call_of_a_recorded_run_is_allowed_on_what_it_was_about(recorded):
    calls = recording()
    assert len(calls) > 100
    there = [part for statement in recorded for part in here(statement)]
    assert [call for call in calls if not allowing(there, *call)] == []


def test_nothing_is_allowed_that_neither_a_recorded_run_nor_a_change_calls(recorded):
    allowed = {action for s in recorded for action in s["Action"]}
    called = {action for action, _ in recording()}
    assert sorted(allowed - called) == sorted(CHANGES | AWS_ONLY)


def test_statements_have_names_of_their_own_and_no_action_is_a_pattern(recorded):
    sids = [s["Sid"] for s in recorded]
    assert len(set(sids)) == len(sids) and all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert [a for s in recorded for a in s["Action"] if "*" in a or "?" in a] == []
    assert all(s["Effect"] == "Allow" and s["Action"] == sorted(s["Action"]) for s in recorded)


def test_a_star_stands_only_where_iam_takes_no_resource_and_then_for_one_region(recorded):
    wide = {s["Sid"]: s["Condition"]["StringEquals"] for s in recorded if s["Resource"] == ["*"]}
    assert set(wide) == {"CreateTheKey", "FindItsAlias", "FindLogs", "IotWithoutResource", "Subscriptions"}
    assert all(condition["aws:RequestedRegion"] == REGION for condition in wide.values())
    assert [s["Sid"] for s in recorded if "*" in s["Resource"] and len(s["Resource"]) > 1] == []


def test_roles_go_to_three_services_and_only_those_of_the_prefix(recorded):
    (passing,) = [s for s in recorded if s["Action"] == ["iam:PassRole"]]
    assert passing["Resource"] == [f"arn:aws:iam::{ACCOUNT}:role/fleetgate-*"]
    services = ["iot.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": services}}
    assert not any(a.startswith(("iam:Attach", "iam:CreatePolicy", "iam:CreateUser")) for s in recorded for a in s["Action"])


@pytest.mark.parametrize(
    "action, resource",
    [
        ("dynamodb:Query", "arn:aws:dynamodb:us-east-1:000000000000:table/fleetgate-device-registry"),
        ("dynamodb:Scan", "arn:aws:dynamodb:us-east-1:000000000000:table/fleetgate-other"),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:us-east-1:000000000000:table/orders"),
        ("iam:PutRolePolicy", "arn:aws:iam::000000000000:role/admin"),
        ("iam:PutRolePolicy", "arn:aws:iam::111111111111:role/fleetgate-census"),
        ("iot:DeletePolicy", "arn:aws:iot:us-east-1:000000000000:policy/other"),
        ("iot:DeleteThing", "arn:aws:iot:us-east-1:000000000000:thing/camera-1"),
        ("iot:DeleteThingGroup", "arn:aws:iot:us-east-1:000000000000:thinggroup/admins"),
        ("iot:DeleteThingType", "arn:aws:iot:us-east-1:000000000000:thingtype/camera"),
        ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:payments"),
        ("lambda:UpdateFunctionCode", "arn:aws:lambda:eu-west-1:000000000000:function:fleetgate-census"),
        ("logs:FilterLogEvents", "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/payments"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/fleetgate/production.tfstate"),
        ("s3:DeleteObject", f"arn:aws:s3:::{BUCKET}/fleetgate/e2e.tfstate"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::{BUCKET}"),
        ("sqs:DeleteQueue", "arn:aws:sqs:us-east-1:000000000000:orders"),
    ],
)
def test_what_is_another_stacks_stays_out_of_reach(recorded, action, resource):
    assert allowing(recorded, action, resource) == []


def test_a_planner_reads_and_writes_nothing_but_the_lock_of_the_state():
    found = {s["Sid"]: s for s in deployer.statements(*fleet(), plan_only=True)}
    lock = found.pop("StateLock")
    assert lock["Resource"] == [f"arn:aws:s3:::{BUCKET}/fleetgate/e2e.tfstate.tflock"]
    actions = {action for statement in found.values() for action in statement["Action"]}
    assert {action.partition(":")[2][:3] for action in actions} == {"Des", "Get", "Lis"}
    assert "dynamodb:GetItem" not in actions and "s3:GetObject" in actions
    assert list(deployer.policies(*fleet(), plan_only=True)) == ["fleetgate-planner"]


@pytest.mark.parametrize(
    "more, gained",
    [
        ("iot_log_level: INFO\n", {"iot:GetV2LoggingOptions", "iot:SetV2LoggingOptions"}),
        ("manage_cloudtrail: true\n", TRAIL),
        ("manage_device_defender: true\n", AUDITS),
        ("manage_alarms: false\n", set()),
        ("manage_event_configurations: false\n", set()),
        ("prefix: pumps\n", set()),
    ],
)
def test_the_policy_follows_the_environments_file(recorded, more, gained):
    text = "".join(line + "\n" for line in RECORDED.splitlines() if line.partition(":")[0] != more.partition(":")[0]) + more
    found = deployer.statements(*fleet(text))
    before, after = ({a for s in part for a in s["Action"]} for part in (recorded, found))
    assert after - before == gained
    lost = {
        "manage_alarms: false\n": {"cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms"},
        "manage_event_configurations: false\n": {"iot:UpdateEventConfigurations"},
    }
    assert lost.get(more, set()) <= before - after
    if more.startswith("prefix"):
        assert allowing(found, "iot:CreateThingType", "arn:aws:iot:us-east-1:000000000000:thingtype/pumps-anything")
        assert "fleetgate-" not in json.dumps([s for s in found if not s["Sid"].startswith("State")])


def test_each_document_fits_into_a_managed_policy_and_together_they_are_all():
    made = fleet()
    documents = deployer.policies(*made)
    assert list(documents) == ["fleetgate-deployer-1", "fleetgate-deployer-2"]
    assert all(len(json.dumps(d, separators=(",", ":"))) <= 6144 for d in documents.values())
    parts = [s for d in documents.values() for s in d["Statement"]]
    assert sorted(map(str, parts)) == sorted(map(str, deployer.statements(*made)))


def test_a_catalogue_too_long_for_names_one_by_one_is_told_of_the_namespace():
    made, few = fleet()
    one = few.types["gateway"]
    many = replace(few, types={f"type-{n}": replace(one, thing_type=f"type-{n}-{'x' * 40}") for n in range(80)})
    with pytest.raises(FleetgateError, match="set namespace in it"):
        deployer.policies(made, many)
    spaced = Environment(ROOT, "e2e", environment.parse(RECORDED + "namespace: pumps\n", "e2e.yaml"))
    assert len(deployer.policies(spaced, many)) == 2


@pytest.mark.parametrize("region, partition", [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")])
def test_other_partitions_have_other_arns(region, partition):
    found = deployer.statements(*fleet(RECORDED.replace(REGION, region)))
    resources = {r.split(":")[1] for s in found for r in s["Resource"] if r != "*"}
    assert resources == {partition}


def run(capsys, *arguments):
    status = main(["--root", str(ROOT), "deployer-policy", "--env", "example", *arguments])
    return status, *capsys.readouterr()


def test_the_command_prints_the_documents_and_asks_no_cloud(capsys):
    status, out, _ = run(capsys)
    assert status == 0 and set(json.loads(out)) == {"fleetgate-deployer-1", "fleetgate-deployer-2"}


def test_the_command_writes_a_file_for_each_and_the_trust_of_one_repository(capsys, tmp_path):
    status, out, _ = run(capsys, "--output", str(tmp_path / "iam"), "--github", "acme/fleet")
    names_ = [f"fleetgate-deployer-{part}.json" for part in ("1", "2", "trust")]
    assert status == 0 and out.split() == [str(tmp_path / "iam" / name) for name in names_]
    (statement,) = json.loads((tmp_path / "iam" / names_[2]).read_text())["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": ["repo:acme/fleet:environment:example"],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["--subject", "repo:acme/fleet:ref:refs/heads/main"],
        ["--github", "acme/fleet", "--subject", "repo:acme/*"],
        ["--github", "acme/fleet", "--subject", "repo:acme/fleet:*"],
        ["--github", "acme/fleet", "--subject", "repo:other/fleet:ref:refs/heads/main"],
    ],
)
def test_a_subject_that_would_let_others_in_is_refused(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 1 and out == "" and "would let others in" in err
