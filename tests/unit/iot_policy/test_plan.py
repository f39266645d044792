"""Terraform plans: which resources they make, and which policies act together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetgate.iot_policy import lint, plan, source
from fleetgate.iot_policy.rule import Severity

ACCOUNT = "123456789012"
ARN = f"arn:aws:iot:eu-west-1:{ACCOUNT}"


def policy(action: str, resource: str) -> str:
    condition = {"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}} if action == "iot:Connect" else {}
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ATTACHED = ', "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}'
CONNECT = policy("iot:Connect", f"{ARN}:client/${{iot:Connection.Thing.ThingName}}")
PUBLISH = policy("iot:Publish", f"{ARN}:topic/dt/${{iot:Connection.Thing.ThingName}}/data")


def resource(address: str, index: str | int | None = None, **values: Any) -> dict[str, Any]:
    """address: without its index."""
    kind, name = address.split(".")[-2:]
    shown = "" if index is None else f"[{json.dumps(index)}]"
    found = {"address": address + shown, "mode": "managed", "type": kind, "name": name, "values": values}
    return found if index is None else {**found, "index": index}


def a_plan(*resources: dict[str, Any], children: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    module = {"resources": list(resources), "child_modules": children or []}
    return {"format_version": "1.2", "planned_values": {"root_module": module}, **more}


def judged(value: Any, **dump: Any) -> tuple[list[lint.Finding], list[str]]:
    return lint.lint_plan(lint.whole("plan.json", source.parse(json.dumps(value, **dump))))


def found(value: Any) -> set[str]:
    return {finding.rule for finding in judged(value)[0]}


def test_a_finding_names_the_resource_and_points_into_its_policy():
    wide = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}, indent=2)
    child = {"address": "module.a", "resources": [resource("module.a.aws_iot_policy.this", "k", name="n", policy=wide)]}
    # Whatever else stands in the lists, indexes stay those of the file.
    value = a_plan(children=[None, child])
    text = json.dumps(value, indent=1)
    [finding] = [f for f in judged(value, indent=1)[0] if f.rule == "A04"]
    assert finding.message.startswith('module.a.aws_iot_policy.this["k"] /Statement/0/Action: ')
    assert finding.pointer == "/planned_values/root_module/child_modules/1/resources/0/values/policy"
    assert text.splitlines()[finding.line - 1][finding.column - 1 :].startswith('\\"iot:*\\"')


def test_a_policy_that_is_known_only_after_apply_is_told():
    findings, notes = judged(a_plan(resource("aws_iot_policy.this", name="n")))
    assert findings == []
    assert notes == ["aws_iot_policy.this: its policy is known only after apply, and was not looked at"]


def test_data_sources_are_not_judged():
    data = {**resource("aws_iot_policy.this", policy=policy("iot:*", "*")), "mode": "data"}
    assert found(a_plan(data)) == set()


def test_the_resources_of_a_state_are_read_as_well():
    state = a_plan(resource("aws_iot_policy.this", name="n", policy=policy("iot:*", "*")))
    assert "A04" in found({"format_version": "1.0", "values": state["planned_values"]})


def test_a_plan_that_was_cut_down_to_its_changes_is_read_as_well():
    item = resource("aws_iot_policy.this", name="n", policy=policy("iot:*", "*"))
    change = {**{k: v for k, v in item.items() if k != "values"}, "change": {"after": item["values"]}}
    [finding] = [f for f in judged({"format_version": "1.2", "resource_changes": [change]})[0] if f.rule == "A04"]
    assert finding.pointer == "/resource_changes/0/change/after/policy"


def attached(*names: str, target: str = f"{ARN}:cert/abc") -> list[dict[str, Any]]:
    return [resource(f"aws_iot_policy_attachment.a{n}", policy=name, target=target) for n, name in enumerate(names)]


POLICIES = (
    resource("aws_iot_policy.connect", name="connect", policy=CONNECT),
    resource("aws_iot_policy.publish", name="publish", policy=PUBLISH),
)


def test_policies_of_one_certificate_act_together():
    assert "A06" not in found(a_plan(*POLICIES, *attached("connect", "publish")))
    assert "A06" in found(a_plan(*POLICIES, *attached("publish")))


@pytest.mark.parametrize(
    "more",
    [
        attached("publish", "made-elsewhere"),
        [*attached("publish"), resource("aws_iot_policy_attachment.g", policy="connect", target=f"{ARN}:thinggroup/pumps")],
    ],
    ids=["a policy of another stack", "a group's policies"],
)
def test_nothing_is_said_to_be_missing_where_not_all_policies_are_known(more):
    assert "A06" not in found(a_plan(*POLICIES, *more))


def test_what_two_certificates_have_in_common_is_found_once():
    other = [resource("aws_iot_policy_attachment.other", policy="publish", target=f"{ARN}:cert/other")]
    findings = judged(a_plan(*POLICIES, *attached("publish"), *other))[0]
    assert [f.rule for f in findings].count("A06") == 2
    assert [f.rule for f in lint.tidy(findings)].count("A06") == 1


def references(*names: str) -> dict[str, Any]:
    return {"references": list(names)}


def attachment_configuration(policy: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "aws_iot_policy_attachment", "name": "this", "expressions": {"policy": policy, "target": target}}


def test_before_the_certificate_is_made_its_reference_tells_what_belongs_together():
    configuration = {
        "root_module": {
            "resources": [
                attachment_configuration(
                    references("aws_iot_policy.this", "each.key"),
                    references("aws_iot_certificate.device.arn", "aws_iot_certificate.device"),
                )
            ]
        }
    }
    value = a_plan(
        resource("aws_iot_policy.this", "c", policy=CONNECT),
        resource("aws_iot_policy.this", "p", policy=PUBLISH),
        resource("aws_iot_policy_attachment.this", "c"),
        resource("aws_iot_policy_attachment.this", "p"),
        configuration=configuration,
    )
    [(target, attachments)] = plan.read(value).targets.items()
    assert (target.name, target.is_group) == ("aws_iot_certificate.device", False)
    assert [a.policy.address for a in attachments] == ['aws_iot_policy.this["c"]', 'aws_iot_policy.this["p"]']
    assert "A06" not in found(value)


def test_references_are_followed_through_the_variables_of_modules():
    call = {
        "expressions": {
            "policy": references("aws_iot_policy.this", "each.key"),
            "group": references("aws_iot_thing_group.pumps.arn"),
        },
        "module": {"resources": [attachment_configuration(references("var.policy"), references("var.group"))]},
    }
    address = 'module.attach["p"]'
    child = {"address": address, "resources": [resource(f"{address}.aws_iot_policy_attachment.this")]}
    value = a_plan(
        resource("aws_iot_policy.this", "p", policy=PUBLISH),
        children=[child],
        configuration={"root_module": {"module_calls": {"attach": call}}},
    )
    [(target, [attachment])] = plan.read(value).targets.items()
    assert (target.name, target.is_group) == ("aws_iot_thing_group.pumps.arn", True)
    assert attachment.policy is not None and attachment.policy.address == 'aws_iot_policy.this["p"]'


def test_account_and_region_are_taken_from_what_terraform_has_read():
    identity = {"type": "aws_caller_identity", "values": {"account_id": ACCOUNT}}
    prior = {"values": {"root_module": {"resources": [], "child_modules": [{"resources": [identity]}]}}}
    configuration = {"provider_config": {"aws": {"expressions": {"region": references("var.region")}}}}
    value = a_plan(prior_state=prior, configuration=configuration, variables={"region": {"value": "eu-west-1"}})
    read = plan.read(value)
    assert (read.account, read.region) == (ACCOUNT, "eu-west-1")


TEMPLATE = {
    "Resources": {
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "connect"}},
    },
    "Parameters": {"Name": {"Type": "String"}},
}


def template(**values: Any) -> dict[str, Any]:
    known = {"name": "fleet", "enabled": True, "pre_provisioning_hook": [{"target_arn": "arn"}], "type": "FLEET_PROVISIONING"}
    return resource("aws_iot_provisioning_template.this", **{**known, "template_body": json.dumps(TEMPLATE), **values})


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, set()),
        ({"pre_provisioning_hook": []}, {"P16"}),
        ({"enabled": False}, {"P22"}),
        ({"name": "f" * 40}, {"P11"}),
        ({"template_body": json.dumps(TEMPLATE).replace("connect", "Connect")}, {"P10"}),
        ({"template_body": "{"}, {"S01"}),
    ],
    ids=["good", "no hook", "switched off", "long name", "policy that nothing creates", "not JSON"],
)
def test_a_plan_knows_more_about_a_template_than_the_template_does(values, expected):
    assert {r for r in found(a_plan(POLICIES[0], template(**values))) if r.startswith(("P", "S01"))} == expected


def test_a_hook_that_is_known_only_after_apply_is_a_hook():
    item = template(pre_provisioning_hook=None)
    change = {"address": item["address"], "change": {"after_unknown": {"pre_provisioning_hook": True}}}
    assert "P16" not in found(a_plan(POLICIES[0], item, resource_changes=[change]))


def test_a_policy_that_nothing_attaches_is_judged_with_the_account_of_the_plan():
    identity = {"type": "aws_caller_identity", "values": {"account_id": "999999999999"}}
    prior = {"values": {"root_module": {"resources": [identity]}}}
    assert "R04" not in found(a_plan(POLICIES[0]))
    assert "R04" in found(a_plan(POLICIES[0], prior_state=prior))


def role(**condition: Any) -> dict[str, Any]:
    service = ["lambda.amazonaws.com", "credentials.iot.amazonaws.com"]
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **condition}
    return resource("aws_iam_role.this", assume_role_policy=json.dumps({"Statement": statement}))


def pass_role(action: str, where: str) -> dict[str, Any]:
    text = json.dumps({"Statement": {"Effect": "Allow", "Action": ["s3:Get*", action], "Resource": ["arn:aws:s3:::b", where]}})
    return resource("aws_iam_role_policy.this", policy=text)


MANAGED = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"


@pytest.mark.parametrize(
    "item, expected",
    [
        (role(), {"N01"}),
        (role(Condition={"StringEquals": {"AWS:sourceaccount": ACCOUNT}}), set()),
        (role(Condition={"ArnLike": {"aws:SourceArn": f"{ARN}:*"}}), set()),
        (role(Effect="Deny"), set()),
        (pass_role("iam:PassRole", "*"), {"N02"}),
        (pass_role("iam:*", "*"), {"N02"}),
        (pass_role("IAM:Pass*", f"arn:aws:iam::{ACCOUNT}:role/*"), {"N02"}),
        (pass_role("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/fleet"), set()),
        (pass_role("iam:GetRole", "*"), set()),
        (resource("aws_iam_role.this", inline_policy=[{"policy": pass_role("*", "*")["values"]["policy"]}]), {"N02"}),
        (resource("aws_lambda_permission.this", principal="iot.amazonaws.com"), {"N03"}),
        (resource("aws_lambda_permission.this", principal="iot.amazonaws.com", source_account=ACCOUNT), set()),
        (resource("aws_lambda_permission.this", principal="events.amazonaws.com"), set()),
        (resource("aws_iam_role_policy_attachment.this", policy_arn=MANAGED), {"N04"}),
        (resource("aws_iam_role.this", managed_policy_arns=[MANAGED]), {"N04"}),
        (resource("aws_iam_role.this", assume_role_policy="no json"), set()),
    ],
)
def test_the_iam_side_is_judged_where_other_tools_do_not(item, expected):
    assert found(a_plan(item)) == expected


@pytest.mark.parametrize(
    "condition, pinned",
    [
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceAccount": [ACCOUNT, "210987654321"]}}, True),
        ({"StringLike": {"aws:SourceArn": f"arn:aws:iot:*:{ACCOUNT}:*"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}, "ArnEquals": {"aws:SourceArn": f"{ARN}:*"}}, True),
        ({"StringNotEquals": {"aws:SourceAccount": ACCOUNT}}, False),
        ({"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}, False),
        ({"ForAllValues:StringEquals": {"aws:SourceAccount": ACCOUNT}}, False),
        ({"StringLike": {"aws:SourceArn": "*"}}, False),
        ({"StringLike": {"aws:SourceAccount": [ACCOUNT, "*"]}}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:iot:eu-west-1:*:*"}}, False),
        ({"Null": {"aws:SourceAccount": "true"}}, False),
        ({"StringEquals": {"aws:SourceAccount": []}}, False),
        ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, False),
    ],
)
def test_a_role_is_pinned_only_by_a_condition_that_asks_for_one_account(condition, pinned):
    assert found(a_plan(role(Condition=condition))) == (set() if pinned else {"N01"})


@pytest.mark.parametrize("action", ["iam:PassRole", "*:*", "iam:*Role", "iam:?assRole", "iam:P*", "*:PassRole", "iam:Pass*le"])
@pytest.mark.parametrize("where", ["*", "role/*", "role/**", "role/?*", "*/*", "r*", "ro?e/*"])
def test_the_right_to_pass_any_role_is_found_however_it_is_written(action, where):
    assert found(a_plan(pass_role(action, where if where == "*" else f"arn:aws:iam::{ACCOUNT}:{where}"))) == {"N02"}


@pytest.mark.parametrize(
    "where", ["arn:aws:iam::*:role/fleet", "arn:aws:*:*:*:*", "arn:*", f"arn:aws:iam::{ACCOUNT[:-1]}?:role/fleet"]
)
def test_a_role_of_any_account_is_any_role(where):
    assert found(a_plan(pass_role("iam:PassRole", where))) == {"N02"}


@pytest.mark.parametrize(
    "action, where", [("iam:Pass", "*"), ("iam:PassRoles*", "*"), ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/fleet-*")]
)
def test_a_role_of_a_name_or_a_prefix_may_be_passed(action, where):
    assert found(a_plan(pass_role(action, where))) == set()


@pytest.mark.parametrize("action, expected", [("s3:*", {"N02"}), ("iam:PassRole", set()), ("iam:*", set())])
def test_all_actions_but_some_are_the_right_to_pass_a_role_unless_they_name_it(action, expected):
    text = json.dumps({"Statement": {"Effect": "Allow", "NotAction": action, "Resource": "*"}})
    assert found(a_plan(resource("aws_iam_role_policy.this", policy=text))) == expected


@pytest.mark.parametrize("source", ["*", "arn:aws:iot:*:*:*", "arn:aws:iot:eu-west-1:?*:provisioningtemplate/fleet"])
def test_a_source_of_any_account_pins_no_permission(source):
    item = resource("aws_lambda_permission.this", principal="iot.amazonaws.com", source_arn=source)
    assert found(a_plan(item)) == {"N03"}


def test_a_policy_inside_of_a_role_has_a_pointer_that_leads_there():
    role = resource("aws_iam_role.this", inline_policy=[{}, {"policy": pass_role("*", "*")["values"]["policy"]}])
    [finding] = judged(a_plan(role))[0]
    assert finding.pointer.endswith("/values/inline_policy/1/policy")


def test_a_permission_whose_source_is_known_only_after_apply_has_one():
    item = resource("aws_lambda_permission.this", principal="iot.amazonaws.com")
    change = {"address": item["address"], "change": {"after_unknown": {"source_arn": True}}}
    assert found(a_plan(item, resource_changes=[change])) == set()


def test_more_policies_than_aws_attaches_are_counted_for_each_target():
    names = [f"p{n}" for n in range(11)]
    [finding] = [f for f in judged(a_plan(*attached(*names)))[0] if f.rule == "I05"]
    assert "a10 is policy 11 of" in finding.message
    assert finding.severity is Severity.MEDIUM  # [the catalogue of rules]
    assert "I05" not in found(a_plan(*attached(*names[:10])))


def test_a_certificate_s_policies_and_a_group_s_are_judged_together():
    """Neither is open by itself: which client id may connect stands in the one, what it may do in the other."""
    connect, publish = policy("iot:Connect", f"{ARN}:client/*"), policy("iot:Publish", f"{ARN}:topic/dt/${{iot:ClientId}}/x")
    both = [
        resource("aws_iot_policy.c", name="c", policy=connect.replace(ATTACHED, "")),
        resource("aws_iot_policy.g", name="g", policy=publish),
    ]
    certificate = resource("aws_iot_policy_attachment.c", policy="c", target=f"{ARN}:cert/abc")
    on_group = resource("aws_iot_policy_attachment.g", policy="g", target=f"{ARN}:thinggroup/presses")
    on_certificate = resource("aws_iot_policy_attachment.g", policy="g", target=f"{ARN}:cert/abc")
    together, apart = found(a_plan(*both, certificate, on_certificate)), found(a_plan(*both, certificate, on_group))
    alone = found(a_plan(*both, certificate))
    assert "V03" in together - alone and together <= apart
