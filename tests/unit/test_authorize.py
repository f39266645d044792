"""`fleetgate authorize` (S23): its answers for people and for programs, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from checkouts import ROOT
from fleetgate.cli import main
from fleetgate.iot_policy import assumptions

ARN = "arn:aws:iot:eu-west-1:111111111111"
THING = "${iot:Connection.Thing.ThingName}"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Connect",
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": f"{ARN}:client/{THING}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        },
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish"], "Resource": f"{ARN}:topic/d/{THING}/*"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}:topicfilter/d/{THING}/*"},
        {"Effect": "Allow", "Action": ["iot:*ThingShadow", "iot:*JobExecution*"], "Resource": f"{ARN}:thing/t1*"},
        {"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate", "Resource": f"{ARN}:rolealias/uploads"},
        {"Sid": "NoSecrets", "Effect": "Deny", "Action": "iot:*", "Resource": [f"{ARN}:topic/d/*/secret"]},
    ],
}


@pytest.fixture
def authorize(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with policy.json and returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps(POLICY, indent=1), encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["authorize", *arguments])
        except SystemExit as ended:  # argparse
            status = int(ended.code or 0)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        return status, shown.out, shown.err

    return run


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


# For people


def test_every_request_is_answered_in_its_order_with_the_statement_that_decides(authorize):
    status, out, _ = authorize(
        "policy.json", "--thing", "t1", "--publish", "d/t1/x", "--connect", "--publish", "d/t1/secret", "--subscribe", "d/#"
    )
    assert status == 1
    assert lines_of(out) == [
        "ALLOWED        iot:Publish topic/d/t1/x",
        "by policy.json:15 /Statement/1 (policy policy)",
        "ALLOWED        iot:Connect client/t1",
        "by policy.json:4 /Statement/0 Connect (policy policy)",
        "EXPLICIT_DENY  iot:Publish topic/d/t1/secret",
        "denied by policy.json:41 /Statement/5 NoSecrets (policy policy)",
        "IMPLICIT_DENY  iot:Subscribe topicfilter/d/#",
        "policy.json:23 /Statement/2 (policy policy): it covers topicfilter/d/t1/*",
    ]


def test_everything_allowed_ends_with_0(authorize):
    status, out, err = authorize("policy.json", "--thing", "t1", "--connect", "--retain", "d/t1/x", "--subscribe", "d/t1/#")
    assert (status, err) == (0, "")
    assert re.findall(r"^ALLOWED +(\S+)", out, re.MULTILINE) == [
        "iot:Connect",
        "iot:Publish",
        "iot:RetainPublish",
        "iot:Subscribe",
    ]


@pytest.mark.parametrize(
    "option, value, asked",
    [
        ("--get-shadow", "t1", "iot:GetThingShadow thing/t1"),
        ("--update-shadow", "t1/config", "iot:UpdateThingShadow thing/t1/config"),
        ("--delete-shadow", "t1", "iot:DeleteThingShadow thing/t1"),
        ("--pending-jobs", "t1", "iotjobsdata:GetPendingJobExecutions thing/t1"),
        ("--describe-job", "t1", "iotjobsdata:DescribeJobExecution thing/t1"),
        ("--start-job", "t1", "iotjobsdata:StartNextPendingJobExecution thing/t1"),
        ("--update-job", "t1", "iotjobsdata:UpdateJobExecution thing/t1"),
        ("--assume-role", "uploads", "iot:AssumeRoleWithCertificate rolealias/uploads"),
    ],
)
def test_every_https_action_can_be_asked_for_without_a_connection(authorize, option, value, asked):
    status, out, _ = authorize("policy.json", option, value)
    assert status == 0 and lines_of(out)[0] == f"ALLOWED        {asked}"
    status, out, _ = authorize("policy.json", option, f"x{value}")
    assert status == 1 and lines_of(out)[0].startswith("IMPLICIT_DENY")


def test_any_action_can_be_asked_for_on_several_resources(authorize):
    status, out, _ = authorize(
        *(
            "policy.json",
            "--client-id",
            "c",
            "--action",
            "IOT:getthingshadow",
            "--resource",
            "thing/t1",
            "--resource",
            "thing/t2",
        ),
        *("--action", "iot:ListRetainedMessages", "--resource", "*", "--action", "iot:Publish", "--resource", f"{ARN}:topic/x"),
    )
    assert status == 1
    assert [line for line in lines_of(out) if re.match("[A-Z_]+ ", line)] == [
        "ALLOWED        iot:GetThingShadow thing/t1",
        "IMPLICIT_DENY  iot:GetThingShadow thing/t2",
        "IMPLICIT_DENY  iot:ListRetainedMessages *",
        "IMPLICIT_DENY  iot:Publish topic/x",
    ]


def test_what_is_missing_is_named_with_what_to_do(authorize):
    _, out, _ = authorize("policy.json", "--thing", "t1", "--client-id", "x", "--publish", "d/t1/x")
    assert lines_of(out)[1:] == [
        f"policy.json:15 /Statement/1 (policy policy): {THING} has no value, so the statement does nothing",
        "-> connect with the thing's name t1 as client id, or attach the certificate exclusively",
        "without a value: iot:Connection.Thing.ThingName",
    ]


def test_what_a_request_takes_besides_is_told_once_and_does_not_change_the_answer(authorize, tmp_path):
    (tmp_path / "publish.json").write_text(json.dumps(POLICY | {"Statement": POLICY["Statement"][1:2]}))
    status, out, _ = authorize("publish.json", "--thing", "t1", "--publish", "d/t1/x", "--publish", "d/t1/y")
    assert status == 0
    assert lines_of(out)[-1] == "It also takes iot:Connect client/t1, which is IMPLICIT_DENY."
    assert out.count("It also takes") == 1
    _, out, _ = authorize("publish.json", "--thing", "t1", "--publish", "d/t1/x", "--connect")
    assert "It also takes" not in out


def test_an_assumption_that_decides_is_told_and_can_be_changed(authorize, tmp_path):
    open_policy = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}:topic/${{iot:ClientId}}"}
    (tmp_path / "open.json").write_text(json.dumps(POLICY | {"Statement": [open_policy]}))
    status, out, _ = authorize("open.json", "--client-id", "*", "--publish", "d")
    assert status == 1 and "rests on an assumption: ALLOWED under --assume client_id_wildcards=true" in lines_of(out)
    status, out, _ = authorize("open.json", "--client-id", "*", "--publish", "d", "--assume", "client_id_wildcards=true")
    assert status == 0 and "rests on an assumption: IMPLICIT_DENY under --assume client_id_wildcards=false" in lines_of(out)


def test_the_assumptions_can_be_listed(authorize):
    status, out, _ = authorize("--assumptions")
    assert status == 0
    assert [line.split("=")[0] for line in out.splitlines() if not line.startswith(" ")] == list(assumptions.names())


# Who asks


@pytest.mark.parametrize(
    "condition, options",
    [
        ({"StringEquals": {"iot:Connection.Thing.ThingTypeName": "pump"}}, ["--thing", "t1", "--thing-type", "pump"]),
        ({"StringEquals": {"iot:Connection.Thing.Attributes[site]": "a=b"}}, ["--thing", "t1", "--attribute", "site=a=b"]),
        (
            {"StringEquals": {"iot:Certificate.Subject.CommonName": "x"}},
            ["--client-id", "c", "--certificate", "Subject.CommonName=x"],
        ),
        (
            {"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Country.List": "FR"}},
            ["--client-id", "c", "--certificate", "Subject.Country=DE", "--certificate", "Subject.Country=FR"],
        ),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, ["--client-id", "c", "--source-ip", "10.1.2.3"]),
        ({"StringEquals": {"iot:DomainName": "iot.example.com"}}, ["--client-id", "c", "--domain-name", "iot.example.com"]),
        ({"StringEquals": {"my:Key": "v"}}, ["--client-id", "c", "--context", "my:Key=v"]),
        ({"StringEquals": {"iot:Connection.Thing.ThingName": "t1"}}, ["--thing", "t1", "--client-id", "c", "--exclusive"]),
        ({"StringEquals": {"iot:Connection.Thing.ThingName": "t1"}}, ["--thing", "t1"]),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, ["--thing", "t1", "--not-attached"]),
        ({"ForAnyValue:StringEquals": {"iot:ConnectAttributes": "PersistentConnect"}}, ["--client-id", "c", "--persistent"]),
        ({"ArnLike": {"iot:LastWillTopic": "arn:aws:iot:*:*:topic/wills/*"}}, ["--client-id", "c", "--last-will", "wills/c"]),
        ({"Null": {"iot:ClientId": "true"}}, ["--client-id", "c", "--protocol", "https"]),
    ],
)
def test_everything_that_a_condition_asks_for_can_be_said(authorize, tmp_path, condition, options):
    granting = {"Effect": "Allow", "Action": "iot:*", "Resource": "*", "Condition": condition}
    (tmp_path / "one.json").write_text(json.dumps(POLICY | {"Statement": [granting]}))
    ask = ["--publish", "a"] if "https" in options else ["--connect"]
    assert authorize("one.json", *ask, *options)[0] == 0
    assert authorize("one.json", *ask, "--thing", "other")[0] == 1


def test_a_group_policy_counts_while_the_client_id_is_the_things_name(authorize):
    assert authorize("--group-policy", "policy.json", "--thing", "t1", "--connect")[0] == 0
    status, out, _ = authorize("--group-policy", "policy.json", "--thing", "t1", "--client-id", "x", "--publish", "d/t1/x")
    assert status == 1 and "the policies of thing groups do not count here" in out


def test_policies_of_one_name_stay_apart(authorize, tmp_path):
    (tmp_path / "other folder").mkdir()
    (tmp_path / "other folder/policy.json").write_text(json.dumps(POLICY))
    _, out, _ = authorize("policy.json", "other folder/policy.json", "--thing", "t1", "--connect")
    assert lines_of(out)[1:] == [
        "by policy.json:4 /Statement/0 Connect (policy policy)",
        "by other folder/policy.json:1 /Statement/0 Connect (policy policy-2)",
    ]


@pytest.mark.parametrize(
    "resources, asked",
    [
        ([f"{ARN}:topic/a"], f"{ARN}:topic/a"),
        (["*"], "arn:aws:iot:us-east-1:123456789012:topic/a"),
        (["arn:aws-cn:iot:*:*:topic/a"], "arn:aws-cn:iot:us-east-1:123456789012:topic/a"),
        (["arn:*:iot:eu-west-?:111111111111:topic/a", "arn:aws:s3:::bucket"], "arn:aws:iot:us-east-1:111111111111:topic/a"),
    ],
)
def test_the_account_is_the_one_that_the_policies_name(authorize, tmp_path, resources, asked):
    granting = {"Effect": "Allow", "Action": "iot:Publish", "Resource": resources}
    (tmp_path / "one.json").write_text(json.dumps(POLICY | {"Statement": [granting]}))
    _, out, _ = authorize("one.json", "--client-id", "c", "--publish", "a", "--json")
    assert json.loads(out)["authResults"][0]["authInfo"]["resources"] == [asked]


def test_policies_of_two_accounts_need_to_be_told_which(authorize, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps(POLICY).replace("111111111111", "222222222222"))
    words = ["policy.json", "other.json", "--thing", "t1", "--connect"]
    status, _, err = authorize(*words)
    assert status == 2 and "name more than one account: 111111111111, 222222222222" in err and "--arn-prefix" in err
    assert authorize(*words, "--arn-prefix", "arn:aws:iot:eu-west-1:222222222222")[0] == 0


# For programs


@pytest.fixture(scope="module")
def shapes() -> Any:
    return botocore.session.get_session().get_service_model("iot")


def check_shape(value: Any, shape: Any) -> None:
    """What ParamValidator leaves out: enumerations and patterns."""
    if shape.type_name == "structure":
        for name, member in value.items():
            check_shape(member, shape.members[name])
    elif shape.type_name == "list":
        for member in value:
            check_shape(member, shape.member)
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum
        assert re.fullmatch(shape.metadata.get("pattern", r"[\s\S]*"), value)


def test_the_response_has_the_shape_of_test_authorization(authorize, shapes):
    status, out, _ = authorize(
        *("policy.json", "--thing", "t1", "--client-id", "t1", "--json", "--connect", "--publish", "d/t1/secret"),
        *("--subscribe", "a/#", "--receive", "a"),
    )
    response = json.loads(out)
    decided = response.pop("decidedBy")
    assert [[one["pointer"] for one in by] for by in decided] == [["/Statement/0"], ["/Statement/5"], [], []]
    assert decided[1] == [{"policyName": "policy", "pointer": "/Statement/5", "sid": POLICY["Statement"][5].get("Sid")}]
    shape = shapes.shape_for("TestAuthorizationResponse")
    assert status == 1 and not ParamValidator().validate(response, shape).has_errors()
    check_shape(response, shape)
    assert [result["authDecision"] for result in response["authResults"]] == [
        *("ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY", "IMPLICIT_DENY"),
    ]
    policy = {"policyName": "policy", "policyArn": f"{ARN}:policy/policy"}
    assert response["authResults"][1] == {
        "authInfo": {"actionType": "PUBLISH", "resources": [f"{ARN}:topic/d/t1/secret"]},
        "allowed": {"policies": [policy]},
        "denied": {"explicitDeny": {"policies": [policy]}, "implicitDeny": {"policies": []}},
        "authDecision": "EXPLICIT_DENY",
        "missingContextValues": [],
    }


def test_the_response_names_each_policy_by_what_it_did(authorize, tmp_path):
    for name, index in (("shadow", 3), ("deny", 5)):
        (tmp_path / f"{name}.json").write_text(json.dumps(POLICY | {"Statement": POLICY["Statement"][index : index + 1]}))
    _, out, _ = authorize("policy.json", "shadow.json", "deny.json", "--thing", "t1", "--publish", "d/t1/secret", "--json")
    [result] = json.loads(out)["authResults"]
    parts = (result["allowed"], result["denied"]["explicitDeny"], result["denied"]["implicitDeny"])
    assert [[policy["policyName"] for policy in part["policies"]] for part in parts] == [
        ["policy"],
        ["policy", "deny"],
        ["shadow"],
    ]


def test_an_action_beyond_test_authorization_stands_under_its_own_name(authorize):
    _, out, _ = authorize("policy.json", "--get-shadow", "t9", "--json")
    assert json.loads(out)["authResults"][0]["authInfo"]["actionType"] == "iot:GetThingShadow"


REQUEST = {
    "principal": f"{ARN}:cert/abc",
    "clientId": "t1",
    "authInfos": [
        {"actionType": "CONNECT", "resources": [f"{ARN}:client/t1"]},
        {"actionType": "PUBLISH", "resources": [f"{ARN}:topic/d/t1/x", f"{ARN}:topic/d/t2/x"]},
        {"actionType": "iot:GetThingShadow", "resources": [f"{ARN}:thing/t1"]},
    ],
}


def test_a_request_document_is_answered_entry_by_entry(authorize, tmp_path, shapes):
    request = REQUEST | {"authInfos": REQUEST["authInfos"][:2]}
    assert not ParamValidator().validate(request, shapes.shape_for("TestAuthorizationRequest")).has_errors()
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    words = ["policy.json", "--thing", "t1", "--request", "request.json"]
    status, out, _ = authorize(*words, "--json")
    results = json.loads(out)["authResults"]
    assert status == 1 and [result["authDecision"] for result in results] == ["ALLOWED", "IMPLICIT_DENY", "ALLOWED"]
    assert results[1]["authInfo"]["resources"] == REQUEST["authInfos"][1]["resources"]
    _, out, _ = authorize(*words)
    assert [line.split()[0] for line in out.splitlines() if re.match("[A-Z_]+ ", line)] == [
        *("ALLOWED", "ALLOWED", "IMPLICIT_DENY", "ALLOWED"),
    ]


def test_a_request_document_can_skip_a_policy(authorize, tmp_path):
    (tmp_path / "request.json").write_text(json.dumps(REQUEST | {"policyNamesToSkip": ["policy"]}))
    status, out, _ = authorize("policy.json", "--thing", "t1", "--request", "request.json", "--json")
    assert status == 1 and {result["authDecision"] for result in json.loads(out)["authResults"]} == {"IMPLICIT_DENY"}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"authInfos": []}, "/authInfos: is not a list of 1 to 10"),
        ({"authInfos": REQUEST["authInfos"] * 4}, "/authInfos: is not a list of 1 to 10"),
        ({"authInfos": [7]}, "/authInfos/0: is not an object"),
        ({"authInfos": [{"actionType": "FLY", "resources": ["x"]}]}, "/authInfos/0/actionType: 'FLY' is no action"),
        ({"authInfos": [{"resources": ["x"]}]}, "/authInfos/0/actionType: None is no action"),
        ({"authInfos": [{"actionType": "PUBLISH", "resources": []}]}, "/authInfos/0/resources: is not a list of ARNs"),
        ({"authInfos": [{"actionType": "PUBLISH", "resources": [1]}]}, "/authInfos/0/resources: is not a list of ARNs"),
        ({"clientId": 7}, "/clientId: is not a text"),
        ({"clientID": "x"}, "/clientID: is no member"),
        ({"policyNamesToAdd": ["x"]}, "/policyNamesToAdd: names policies that are not here"),
        ({"policyNamesToSkip": "x"}, "/policyNamesToSkip: is not a list of texts"),
    ],
)
def test_a_mistake_in_a_request_document_is_told_with_its_place(authorize, tmp_path, change, said):
    (tmp_path / "request.json").write_text(json.dumps(REQUEST | change))
    status, out, err = authorize("policy.json", "--thing", "t1", "--request", "request.json")
    assert (status, out) == (2, "") and f"request.json:1 {said}" in err and "\n    -> " in err


# What it refuses

USAGE = ["policy.json", "--thing", "t1"]


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "no policy: give POLICY.json or --type TYPE"),
        (USAGE, "nothing is asked"),
        (["policy.json", "--connect"], "nobody asks"),
        (["policy.json", "--publish", "a"], "nobody asks"),
        ([*USAGE, "--publish", "a/#"], "'a/#' is no topic"),
        ([*USAGE, "--receive", "+"], "'+' is no topic"),
        ([*USAGE, "--retain", ""], "argument --retain: is empty"),
        ([*USAGE, "--subscribe", "a/#/b"], "'a/#/b' is no topic filter"),
        ([*USAGE, "--get-shadow", ""], "argument --get-shadow: is empty"),
        ([*USAGE, "--action", "iot:PublishRetain", "--resource", "x"], "is no action; did you mean iot:RetainPublish?"),
        ([*USAGE, "--action", "iot:Publish"], "--action iot:Publish stands without a --resource"),
        ([*USAGE, "--action", "iot:Publish", "--connect", "--resource", "x"], "--action iot:Publish stands without a --resource"),
        ([*USAGE, "--resource", "x"], "--resource stands without an --action"),
        ([*USAGE, "--connect", "--request", "r.json"], "--request stands beside other requests"),
        (["policy.json", "--thing", "a/b", "--connect"], "'a/b' is no name"),
        ([*USAGE, "--client-id", "$x", "--connect"], "argument --client-id: at most 128 characters"),
        ([*USAGE, "--client-id", "x" * 129, "--connect"], "argument --client-id: at most 128 characters"),
        ([*USAGE, "--thing-type", "a b", "--connect"], "argument --thing-type: 'a b' is no name"),
        ([*USAGE, "--attribute", "site", "--connect"], "argument --attribute: 'site' is not NAME=VALUE"),
        ([*USAGE, "--attribute", "site=a b", "--connect"], "argument --attribute: site='a b'"),
        ([*USAGE, "--certificate", "CommonName=x", "--connect"], "did you mean Subject.CommonName?"),
        ([*USAGE, "--context", "IOT:clientid=x", "--connect"], "argument --context: iot:ClientId has an option of its own"),
        ([*USAGE, "--source-ip", "here", "--connect"], "argument --source-ip: 'here' is no address"),
        ([*USAGE, "--assume", "job_prefx=iot", "--connect"], "no assumption 'job_prefx'; did you mean job_prefix?"),
        ([*USAGE, "--assume", "foo=1", "--connect"], "'foo'; `fleetgate authorize --assumptions` lists them"),
        ([*USAGE, "--assume", "job_prefix=x", "--connect"], "job_prefix is either or iot or iotjobsdata, not 'x'"),
        ([*USAGE, "--arn-prefix", "eu-west-1", "--connect"], "argument --arn-prefix: 'eu-west-1' is not like"),
        ([*USAGE, "--protocol", "https", "--connect"], "iot:Connect exists over MQTT only"),
        ([*USAGE, "--protocol", "https", "--subscribe", "a"], "iot:Subscribe exists over MQTT only"),
        ([*USAGE, "--exclusive", "--not-attached", "--connect"], "--exclusive stands beside --not-attached"),
        (["policy.json", "--client-id", "x", "--exclusive", "--connect"], "say something about a thing: give --thing"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(authorize, words, said):
    status, out, err = authorize(*words)
    assert (status, out) == (2, "") and said in err.splitlines()[-1]


@pytest.mark.parametrize(
    "text, said",
    [
        (b"{", "bad.json:1:2: not JSON"),
        (b'{"a": 1,}', "bad.json:1:9: not JSON"),
        (b"\xff", "bad.json:1:1: is not UTF-8"),
        (b"[]", "bad.json:1: a policy is an object"),
        (b'{"Version": "2012-10-17"}', "bad.json:1: Statement is missing"),
        (b'{"Version":"2012-10-17","Statement":\n{"Action":"*","Resource":"*"}}', "bad.json:2 /Statement: Effect is missing"),
        (
            b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}',
            "/Statement/0/Effect: the key stands twice",
        ),
        (b"[" * 9_000, "bad.json:1:101: is nested more than 100 levels deep"),
    ],
)
def test_a_file_that_is_no_policy_is_told_with_line_and_remedy(authorize, tmp_path, text, said):
    (tmp_path / "bad.json").write_bytes(text)
    status, out, err = authorize("bad.json", "--thing", "t1", "--connect")
    assert (status, out) == (2, "") and said in err and "\n    -> " in err


def test_a_file_that_is_not_there_is_told(authorize):
    status, _, err = authorize("nowhere.json", "--thing", "t1", "--connect")
    assert status == 2 and "nowhere.json: cannot be read: No such file" in err


def test_text_that_a_terminal_would_act_on_is_escaped(authorize):
    _, out, _ = authorize("policy.json", "--client-id", "\x1b[2J", "--publish", "a\x1b[2Jb", "--connect")
    assert "\x1b" not in out and "a\\x1b[2Jb" in out


# The catalogue's policies


def test_a_device_type_of_the_catalogue_is_answered_from_its_template(authorize, checkout):
    words = ["--type", "gateway", "--thing", "gateway-GW-000001", "--connect", "--publish", "gateway/gateway-GW-000001/x"]
    status = main(["--root", str(checkout), "authorize", *words])
    assert status == 0


def test_the_place_is_in_the_template(checkout, capsys):
    words = ["--type", "gateway", "--thing", "gateway-1", "--publish", "gateway/gateway-1/x", "--connect"]
    main(["--root", str(checkout), "authorize", *words])
    places = re.findall(r"by (\S+):(\d+) /Statement/\d (\w+) \(policy fleetgate-gateway\)", capsys.readouterr().out)
    assert [(file, sid) for file, _, sid in places] == [
        ("policy_templates/gateway.json.j2", "PublishTelemetry"),
        ("policy_templates/_own_thing.json.j2", "ConnectAsOwnThing"),
    ]
    for file, line, sid in places:
        following = (checkout / file).read_text().splitlines()[int(line) - 1 : int(line) + 1]
        assert f'"Sid": "{sid}"' in "\n".join(following)


def test_a_device_type_that_is_not_in_the_catalogue_is_told_with_those_that_are(checkout, capsys):
    assert main(["--root", str(checkout), "authorize", "--type", "gatway", "--thing", "a", "--connect"]) == 2
    assert "name one of: temperature-sensor" in capsys.readouterr().err


def test_a_template_that_only_fails_with_its_marks_is_told(checkout, capsys):
    """A comment with a NUL renders, and cannot carry marks; and what nearly took too long does so with them."""
    template = checkout / "policy_templates/gateway.json.j2"
    template.write_text(template.read_text() + "{# \0 #}")
    assert main(["--root", str(checkout), "authorize", "--type", "gateway", "--thing", "a", "--connect"]) == 2
    assert "gateway.json.j2:" in (err := capsys.readouterr().err) and "a NUL character stands in it" in err


def test_a_policy_file_is_answered_without_what_only_the_catalogue_needs(tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    words = ["authorize", str(tmp_path / "policy.json"), "--thing", "t1", "--connect"]
    code = (
        "import sys; from fleetgate.cli import main; status = main(sys.argv[1:]); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules})); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "fleetgate" in loaded and not loaded & {"boto3", "botocore", "jinja2", "pydantic", "rich", "yaml", "asyncio"}
