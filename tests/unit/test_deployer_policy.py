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
deletion_protection: false
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
        ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:fleetgate-audit"),
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


def test_a_planner_reads_and_writes_nothing_not_even_the_lock_of_the_state():
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0"
    made = fleet(RECORDED.replace("state: {", f"state: {{kms_key_arn: '{key}', "))
    found = {s["Sid"]: s for s in deployer.statements(*made, plan_only=True)}
    lock, state_key = found["StateLock"], found.pop("StateKey")
    assert lock["Resource"] == [f"arn:aws:s3:::{BUCKET}/fleetgate/e2e.tfstate.tflock"]
    assert lock["Action"] == found["State"]["Action"] == ["s3:GetObject"]
    assert state_key["Action"] == ["kms:Decrypt"] and state_key["Resource"] == [key]
    actions = {action for statement in found.values() for action in statement["Action"]}
    assert {re.match(r"[A-Z][a-z]+", action.partition(":")[2])[0] for action in actions} == {"Describe", "Get", "List"}
    assert "dynamodb:GetItem" not in actions
    assert list(deployer.policies(*fleet(), plan_only=True)) == ["fleetgate-planner"]


STACK, OTHERS = {"aws:resourcetag/stack": "fleetgate"}, {"aws:resourcetag/stack": "pumps"}
NEW = {"aws:requesttag/stack": "fleetgate"}


READS_OF_A_KEY = ("DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags")


def aliases(*names_):
    return {"kms:resourcealiases": list(names_)}


@pytest.mark.parametrize(
    "action, context, allowed",
    [
        pytest.param("TagResource", NEW, True, id="a new key gets its first tags"),
        pytest.param("TagResource", NEW | STACK | aliases("alias/fleetgate"), True, id="the key gets other tags"),
        pytest.param("TagResource", NEW | aliases("alias/fleetgate"), True, id="a key from before there was the tag"),
        pytest.param("TagResource", NEW | {"kms:keyspec": "SYMMETRIC_DEFAULT"}, True, id="of the stack's kind"),
        pytest.param("TagResource", {"aws:requesttag/project": "IoTProvisioning"}, False, id="tags without the stack's"),
        pytest.param("TagResource", {"aws:requesttag/stack": "pumps"}, False, id="another stack's tag"),
        pytest.param("TagResource", NEW | OTHERS, False, id="another stack's key is not taken over"),
        pytest.param("TagResource", NEW | aliases("alias/payments"), False, id="nor one that somebody has named"),
        pytest.param("TagResource", NEW | aliases("alias/fleetgate", "alias/payments"), False, id="nor one of two names"),
        pytest.param("TagResource", NEW | {"kms:keyspec": "RSA_4096"}, False, id="nor one that signs"),
        pytest.param("TagResource", NEW | {"kms:keyusage": "GENERATE_VERIFY_MAC"}, False, id="nor one for MACs"),
        pytest.param("TagResource", NEW | {"kms:keyorigin": "EXTERNAL"}, False, id="nor one with material from elsewhere"),
        *(
            pytest.param(action, context, allowed, id=f"{action} {id_}")
            for action in ("PutKeyPolicy", "ScheduleKeyDeletion", "CreateAlias", "UpdateAlias", "UntagResource")
            for context, allowed, id_ in (
                (STACK | aliases("alias/fleetgate"), True, "the stack's key"),
                (STACK, True, "before it has its alias, and when that is gone"),
                ({}, False, "a key without tags"),
                ({"aws:resourcetag/project": "IoTProvisioning"}, False, "another stack's, as all were tagged once"),
                (OTHERS | aliases("alias/pumps"), False, "another stack's"),
                (STACK | aliases("alias/payments"), False, "tagged as ours, and somebody's"),
                (STACK | aliases("alias/fleetgate", "alias/payments"), False, "somebody's as well"),
                (STACK | aliases("alias/fleetgate/calls"), False, "of a trail that the stack has not"),
            )
        ),
        *(
            pytest.param(action, context, allowed, id=f"{action} {id_}")
            for action in READS_OF_A_KEY
            for context, allowed, id_ in (
                (STACK | aliases("alias/fleetgate"), True, "the stack's key"),
                (STACK, True, "before it has its alias"),
                (aliases("alias/fleetgate"), True, "from before there was the tag"),
                ({"aws:resourcetag/project": "IoTProvisioning"} | aliases("alias/fleetgate"), True, "as all were tagged once"),
                ({}, False, "a key without tag and alias"),
                (OTHERS | aliases("alias/pumps"), False, "another stack's"),
                (aliases("alias/payments"), False, "somebody's"),
            )
        ),
        *(
            pytest.param(action, aliases("alias/fleetgate"), False, id=f"{action} by the alias alone")
            for action in ("PutKeyPolicy", "ScheduleKeyDeletion", "UntagResource")
        ),
    ],
)
def test_a_key_is_reached_by_the_stacks_tag_and_never_under_anothers_alias(recorded, action, context, allowed):
    """By the embedded cloud's evaluator, which is told here what AWS says of a key: the cloud itself says nothing of aliases."""
    from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

    asked = EvalContext(
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/deployer",
        principal_type="User",
        principal_account=ACCOUNT,
        action=f"kms:{action}",
        resource_arn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        region=REGION,
        service_context=context,
    )
    statements = parse_policy_document({"Version": "2012-10-17", "Statement": recorded})
    assert (evaluate(asked, [statements]).decision == "Allow") is allowed


def test_a_planner_may_look_at_the_key_from_before_there_was_the_tag_too():
    found = {s["Sid"]: s for s in deployer.statements(*fleet(), plan_only=True)}
    assert found["LookAtTheKey"]["Action"] == [f"kms:{action}" for action in READS_OF_A_KEY]
    assert set(found["TheKey"]["Action"]) == set(found["LookAtTheKey"]["Action"])  # a plan reads nothing else of it


def test_the_trails_key_has_an_alias_of_its_own_that_is_no_other_prefixs():
    found = {s["Sid"]: s for s in deployer.statements(*fleet(RECORDED + "manage_cloudtrail: true\n"))}
    wanted = ["alias/fleetgate", "alias/fleetgate/calls"]
    assert found["ItsAlias"]["Resource"] == [f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}" for alias in wanted]
    for sid in ("TagTheKey", "TheKey"):
        assert found[sid]["Condition"]["ForAllValues:StringEquals"] == {"kms:ResourceAliases": wanted}
    assert found["LookAtTheKey"]["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": wanted}}
    module = (ROOT / "terraform/modules/cloudtrail/main.tf").read_text()
    assert '"alias/${var.prefix}/calls"' in module


def test_every_resource_carries_the_tag_by_which_the_policy_tells_the_stack():
    made, _ = fleet(RECORDED + "prefix: pumps\ntags: {Project: Water, Team: a}\n")
    assert made.tags == {"Project": "Water", "Stack": "pumps", "Team": "a"}
    found = {s["Sid"]: s for s in deployer.statements(*fleet(RECORDED + "prefix: pumps\n"))}
    asked = [found[sid]["Condition"]["StringEquals"] for sid in ("CreateTheKey", "TagTheKey", "TheKey")]
    keys = ("aws:RequestTag/Stack", "aws:RequestTag/Stack", "aws:ResourceTag/Stack")
    assert [condition[key] for condition, key in zip(asked, keys, strict=True)] == ["pumps"] * 3


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


def test_the_deployer_of_a_protected_environment_deletes_no_table_no_policy_of_one_and_no_log_file():
    protected = RECORDED.replace("deletion_protection: false\n", "")
    found = deployer.statements(*fleet(protected + "manage_cloudtrail: true\n"))
    open_ = deployer.statements(*fleet(RECORDED + "manage_cloudtrail: true\n"))
    before, after = ({a for s in part for a in s["Action"]} for part in (open_, found))
    assert before - after == {"dynamodb:DeleteResourcePolicy", "dynamodb:DeleteTable", "s3:DeleteObjectVersion"}
    assert not after - before and "TrailsFiles" not in {s["Sid"] for s in found}


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
    assert status == 0 and set(json.loads(out)) == {f"fleetgate-deployer-{part}" for part in (1, 2, 3)}


def test_the_command_writes_a_file_for_each_and_the_trust_of_one_repository(capsys, tmp_path):
    status, out, _ = run(capsys, "--output", str(tmp_path / "iam"), "--github", "acme/fleet")
    names_ = [f"fleetgate-deployer-{part}.json" for part in ("1", "2", "3", "trust")]
    assert status == 0 and out.split() == [str(tmp_path / "iam" / name) for name in names_]
    (statement,) = json.loads((tmp_path / "iam" / names_[-1]).read_text())["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": ["repo:acme/fleet:environment:example"],
    }


@pytest.mark.parametrize(
    "more, wanted",
    [
        ([], ["repo:acme/fleet:pull_request", "repo:acme/fleet:ref:refs/heads/main"]),
        (["--subject", "repo:acme/fleet:ref:refs/heads/trunk"], ["repo:acme/fleet:ref:refs/heads/trunk"]),
    ],
    ids=["what the workflows plan in", "named"],
)
def test_a_planner_trusts_pull_requests_and_main_unless_it_is_told_whom(capsys, more, wanted):
    status, out, _ = run(capsys, "--plan-only", "--github", "acme/fleet", *more)
    (statement,) = json.loads(out)["fleetgate-planner-trust"]["Statement"]
    assert status == 0 and statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == wanted


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
