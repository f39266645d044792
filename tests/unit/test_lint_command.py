"""`fleetgate lint` and `fleetgate explain` as people and programs call them."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkouts import ROOT
from fleetgate.cli import main
from fleetgate.iot_policy import source

ARN = "arn:aws:iot:eu-central-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


CLEAN = policy(
    {
        "Sid": "Connect",
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": f"{ARN}:client/{THING}",
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
    }
)
WIDE = policy({"Sid": "All", "Effect": "Allow", "Action": "iot:*", "Resource": "*"})
IAM = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
TEMPLATE = {
    "Resources": {
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "a/b"}},
    }
}

CLOUDFORMATION = {"AWSTemplateFormatVersion": "x", "Resources": {"policy": TEMPLATE["Resources"]["policy"]}}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns exit status, stdout and stderr."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse
            status = int(str(ended.code))
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        return status, shown.out, shown.err

    return command


def write(name: str, value: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value, indent=2).encode())
    return name


def rules(out: str) -> list[str]:
    return [finding["rule"] for finding in json.loads(out)["findings"]]


def test_a_clean_policy_exits_0(run):
    status, out, err = run("lint", write("a.json", CLEAN))
    assert (status, out, err) == (0, "no findings in 1 file\n", "")


def test_a_wide_policy_exits_1_and_the_finding_is_shown(run):
    status, out, _ = run("lint", write("a.json", WIDE))
    assert status == 1
    assert "a.json:7:17  CRITICAL A04" in out
    assert "    fix: " in out and "in 1 file" in out.splitlines()[-1]


def test_thousands_of_keys_that_stand_twice_are_not_looked_up_one_by_one(run):
    """Each lookup reads the text up to there: of 60 000 it took minutes."""
    written = ",".join(f'{{"Sid": "a{n}", "Sid": "b"}}' for n in range(200))
    status, out, _ = run(
        "lint", "--format", "json", write("a.json", f'{{"Version": "2012-10-17", "Statement": [{written}]}}'.encode())
    )
    assert status == 1 and len([rule for rule in rules(out) if rule == "S01"]) == 50


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("unbuffered", ["1", ""], ids=["at once", "at the end"])
@pytest.mark.parametrize("content", [CLEAN, policy(*WIDE["Statement"] * 40)], ids=["a line", "more than a buffer"])
def test_findings_that_could_not_be_written_exit_2_and_not_1(tmp_path, unbuffered, content):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    command, env = [sys.executable, "-m", "fleetgate", "lint", file], {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False)
    said = "lint: its output cannot be written: No space left on device\n    -> make room there, or write it elsewhere\n"
    assert done.returncode == 2 and done.stderr.endswith(said) and done.stderr.count("No space left") == 1


@pytest.mark.parametrize("fail_on, status", [("low", 1), ("high", 1), ("critical", 0)])
def test_what_fails_is_chosen(run, fail_on, status):
    misspelt = policy(*CLEAN["Statement"], {"Effect": "Allow", "Action": "iot:PublishRetain", "Resource": f"{ARN}:topic/{THING}"})
    assert run("lint", "--fail-on", fail_on, write("a.json", misspelt))[0] == status


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["missing.json"], "missing.json: cannot be read: No such file"),
        (["--fail-on", "never", "."], "invalid choice"),
        (["--format", "xml", "."], "invalid choice"),
        (["--suppressions", "missing.toml", "."], "missing.toml: is not a file"),
        (["\0"], "cannot be read"),
        ([""], "PATH: is empty"),
        (["--suppressions", "", "."], "--suppressions: is empty"),
        (["--suppressions", "\0", "."], "is not a file"),
        (["--html", "", "."], "unrecognized arguments: --html"),
        (["--env", "", "."], "--env: is empty"),
    ],
)
def test_wrong_usage_exits_2(run, arguments, said):
    status, out, err = run("lint", *arguments)
    assert status == 2 and out == ""
    assert said in err


def test_every_path_that_cannot_be_read_is_named(run):
    status, _, err = run("lint", "a.json", "b.json")
    assert status == 2 and "a.json" in err and "b.json" in err


def test_a_folder_that_cannot_be_read_is_not_passed_over(run, monkeypatch):
    write("policies/deep/a.json", CLEAN)
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    status, _, err = run("lint", "policies")
    assert status == 2 and "policies/deep: cannot be read: Permission denied" in err


def test_a_file_that_cannot_be_read_is_not_passed_over(run, monkeypatch):
    write("policies/a.json", CLEAN)

    opened = os.open

    def refuse(path, *how, **more):
        if str(path).endswith("a.json"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *how, **more)

    monkeypatch.setattr(os, "open", refuse)
    status, _, err = run("lint", "policies")
    assert status == 2 and "policies/a.json: cannot be read: Permission denied" in err


def test_a_pipe_is_refused_before_it_is_waited_for(run):
    os.mkfifo("pipe.json")
    status, _, err = run("lint", "pipe.json")
    assert status == 2 and "neither a file nor a folder" in err


def test_a_folder_is_read_in_order_and_what_is_none_of_ours_is_passed_over(run):
    write("z.json", WIDE)
    write("a/template.json", TEMPLATE)
    for name in (".hidden/w.json", "node_modules/w.json", ".venv/w.json", "build/w.json", "notes.txt"):
        write(name, WIDE)
    write("package.json", {"name": "x"})
    write("tsconfig.json", b"{ // comments\n}")
    write("latin.json", b'{"a": "\xe4"}')
    write("cloudformation.json", CLOUDFORMATION)
    Path("loop").symlink_to(".")
    status, out, err = run("lint", "--format", "json", ".")
    files = [finding["file"] for finding in json.loads(out)["findings"]]
    assert list(dict.fromkeys(files)) == ["a/template.json", "z.json"]
    assert (status, json.loads(out)["files"], err) == (1, 2, "")


@pytest.mark.parametrize("arguments", [["."], ["--format", "json", "."], ["--format", "sarif", "empty"], ["--only", "plan"]])
def test_that_nothing_was_looked_at_is_said(run, arguments):
    Path("empty").mkdir()
    write("package.json", {"name": "x"})
    status, _, err = run("lint", *arguments)
    assert status == 0 and err.startswith("nothing was looked at: ")


@pytest.mark.parametrize(
    "content, kind",
    [
        (b'{"Statement": [}', "policy"),
        (b'{"Resources": {"p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {"Statement": [}', "template"),
        (b'{"templateName": "a", "templateBody": }', "template"),
        (b'{"format_version": "1.2", "planned_values": "Statement AWS::IoT::" }}', "plan"),
        (json.dumps({"policyName": "a", "policyDocument": "{"}).encode(), "policy"),
        (json.dumps(TEMPLATE).replace('"Resources"', '"Version": 1, "Version": 2, "Resources"').encode(), "template"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_by_one_hook(run, content, kind):
    write("a.json", content)
    found = [k for k in ("policy", "template", "plan") if "S01" in rules(run("lint", "--format=json", "--only", k, "a.json")[1])]
    assert found == [kind]
    assert rules(run("lint", "--format=json", "a.json")[1]).count("S01") == 1


def test_a_broken_policy_in_a_folder_is_found(run):
    write("a.json", b'{"Version": "2012-10-17", "Statement": [}')
    status, out, _ = run("lint", ".")
    assert status == 1 and "a.json:1:41  HIGH S01" in out


@pytest.mark.parametrize(
    "value, said",
    [
        ({"name": "x"}, "neither an IoT policy nor a provisioning template nor a Terraform plan"),
        (CLOUDFORMATION, "a CloudFormation template"),
    ],
)
def test_of_a_named_file_that_is_none_of_ours_one_is_told(run, value, said):
    status, out, err = run("lint", write("a.json", value))
    assert status == 0 and said in err
    assert out == "nothing was looked at\n"


def test_an_iam_policy_is_one_finding_when_it_is_named_and_a_note_in_a_folder(run):
    write("a/iam.json", IAM)
    status, out, _ = run("lint", "a/iam.json")
    assert status == 1 and "IAM policy" in out and "1 finding" in out
    status, out, err = run("lint", "a")
    assert status == 0 and "a/iam.json: an IAM policy" in err


EVERYTHING = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
READS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "NotAction": [], "Resource": "*"},
        {"NotAction": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "NotAction": "s3:PutObject", "Resource": "*"},
        {"Effect": "Allow", "action": "iot:*", "Resource": "*"},
        {"Effect": "Allow", "Action": {"a": "iot:*"}, "Resource": "*"},
        {"Effect": "Allow", "Action": ["s3:GetObject", ["iot:*"]], "Resource": "*"},
        {"Effect": "Allow", "Action": "*:*", "Resource": "*"},
    ],
    ids=repr,
)
def test_a_policy_that_only_begins_like_one_of_iam_is_judged_in_a_folder_and_by_the_hook(run, statement):
    write("a/iam.json", policy(READS, statement))
    for arguments in (["a"], ["--only", "policy", "a/iam.json"]):
        status, out, err = run("lint", *arguments)
        assert (status, err) == (1, "") and "in 1 file" in out, arguments


def test_a_deny_of_all_but_some_actions_lets_a_device_do_nothing(run):
    write("a/iam.json", policy(READS, {"Effect": "Deny", "NotAction": "iam:ChangePassword", "Resource": "*"}))
    status, _, err = run("lint", "a")
    assert status == 0 and "a/iam.json: an IAM policy" in err


WHOLE = json.dumps(policy(EVERYTHING))
DOCUMENTS = {
    "Fn::Sub": {"Fn::Sub": WHOLE},
    "Fn::Sub with a map": {"Fn::Sub": [WHOLE.replace('"*"', '"${x}"'), {"x": "*"}]},
    "Fn::Sub of a default": {"Fn::Sub": WHOLE.replace('"*"', '"${Star}"')},
    "Fn::Select": {"Fn::Select": ["0", [WHOLE]]},
    "Fn::Select of Fn::Split": {"Fn::Select": ["1", {"Fn::Split": ["|", f"a|{WHOLE}"]}]},
    "Fn::FindInMap": {"Fn::FindInMap": ["M", "a", "b"]},
    "Fn::Join": {"Fn::Join": ["", [WHOLE[:40], WHOLE[40:]]]},
    "Ref of a default": {"Ref": "Whole"},
    "an object with a call in it": {**policy({**EVERYTHING, "Resource": {"Ref": "Star"}})},
}


def provisioning_template(document: Any) -> dict[str, Any]:
    parameters = {"Serial": {"Type": "String"}, "Whole": {"Type": "String", "Default": WHOLE}}
    return {
        "Parameters": {**parameters, "Star": {"Type": "String", "Default": "*"}, "Doc": {"Type": "String"}},
        "Mappings": {"M": {"a": {"b": WHOLE}}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
            "certificate": TEMPLATE["Resources"]["certificate"],
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": document}},
        },
    }


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("answer", [False, True], ids=["a file", "an answer with a hook"])
def test_a_policy_that_functions_make_in_a_provisioning_template_is_judged(run, document, answer):
    value = provisioning_template(document)
    hook = {"targetArn": "arn:aws:lambda:eu-central-1:123456789012:function:hook"}
    text = {"templateName": "fleet", "templateBody": json.dumps(value), "preProvisioningHook": hook}
    status, out, _ = run("lint", "--format", "json", write("a.json", text if answer else value))
    assert status == 1 and {"A04", "B01", "B02"} <= set(rules(out))
    is_default = "Star" in json.dumps(document) or "Whole" in json.dumps(document)
    assert ("P23" in rules(out)) is is_default


UNKNOWN = {
    "sent by the device": {"Ref": "Doc"},
    "a list": [policy(EVERYTHING)],
    "a number": 5,
    "null": None,
    "of a certificate": {"Fn::Sub": "${AWS::IoT::Certificate::CommonName}"},
    "an unknown function": {"Fn::Base64": WHOLE},
    "two functions": {"Fn::Sub": WHOLE, "Ref": "Whole"},
    "wrong arguments": {"Fn::Split": [1, 2]},
    "no arguments": {"Fn::Select": None},
    "far too long": {"Fn::Sub": [f"{'${x}' * 10_000}", {"x": "x" * 20_000}]},
}


@pytest.mark.parametrize("document", UNKNOWN.values(), ids=UNKNOWN)
def test_a_policy_that_nobody_can_judge_in_a_provisioning_template_is_told(run, document):
    status, out, _ = run("lint", "--format", "json", write("a.json", provisioning_template(document)))
    assert status == 1 and "P23" in rules(out)


def test_a_policy_beside_keys_of_a_plan_is_judged(run):
    write("a/p.json", {"format_version": "1.2", "values": {}, **policy(EVERYTHING)})
    status, out, _ = run("lint", "--format", "json", "a")
    assert status == 1 and "A04" in rules(out)


def test_of_two_answers_in_one_file_both_are_judged(run):
    answer = {"templateName": "x", "templateBody": json.dumps(TEMPLATE), "policyDocument": WHOLE}
    status, out, _ = run("lint", "--format", "json", write("a.json", answer))
    assert status == 1 and {"A04", "P15"} <= set(rules(out))
    status, out, _ = run("lint", "--format", "json", "--only", "policy", "a.json")
    assert status == 1 and "A04" in rules(out) and "P15" not in rules(out)


@pytest.mark.parametrize(
    "type, values, rule",
    [
        ("awscc_iot_policy", {"policy_name": "p", "policy_document": WHOLE}, "A04"),
        ("awscc_iot_provisioning_template", {"template_name": "t", "template_body": json.dumps(TEMPLATE)}, "P15"),
    ],
)
def test_what_the_other_provider_of_aws_makes_is_judged(run, type, values, rule):
    resource = {"address": f"{type}.p", "mode": "managed", "type": type, "name": "p", "values": values}
    plan = {"format_version": "1.2", "planned_values": {"root_module": {"resources": [resource]}}}
    status, out, _ = run("lint", "--format", "json", write("a/plan.json", plan))
    assert status == 1 and rule in rules(out)


@pytest.mark.parametrize("key", ["AWSTemplateFormatVersion", "Metadata", "Transform"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_provisioning_template_with_a_key_of_cloudformation_is_judged(run, key, declared):
    value = {**provisioning_template(WHOLE), key: "2010-09-09"}
    if declared:
        value["Parameters"]["AWS::IoT::Certificate::Id"] = {"Type": "String"}
        del value["Resources"]["certificate"]
    write("a/t.json", value)
    status, out, _ = run("lint", "--format", "json", "a")
    assert status == 1 and "A04" in rules(out)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "the text is empty"),
        (b'{"Statement": "\xff"}', "is not UTF-8"),
        (b"PK\x03\x04plan", "terraform show -json"),
        (b"[" * 1_000_000, "nested more than"),
        (b"\x00" * 10, "not JSON"),
    ],
)
def test_a_named_file_that_is_not_json_is_a_finding(run, content, said):
    status, out, _ = run("lint", write("a.json", content))
    assert status == 1 and "S01" in out and said in out


def test_a_character_that_the_terminal_has_not_does_not_end_in_a_traceback(run, monkeypatch):
    wide = policy({**WIDE["Statement"][0], "Sid": "\u00e9", "Action": ["iot:\ud800", "iot:Publish\u00e9"]})
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert run("lint", write("a.json", wide))[0] == 1


def test_standard_input_is_read(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(WIDE).encode())))
    status, out, _ = run("lint", "-")
    assert status == 1 and out.startswith("<stdin>:1:")


def test_only_one_kind_can_be_asked_for_and_all_else_is_passed_over_in_silence(run):
    names = [write("p.json", WIDE), write("t.json", TEMPLATE), write("o.json", {"a": 1}), write("i.json", IAM)]
    names.append(write("x.json", b"{ // a comment\n}"))
    status, out, err = run("lint", "--format", "json", "--only", "template", *names)
    assert (status, err) == (1, "")
    assert {finding["file"] for finding in json.loads(out)["findings"]} == {"t.json"}
    assert run("lint", "--only", "plan", *names)[0] == 0
    assert run("lint", "--only", "plan")[0] == 0  # no files: pre-commit may do that


@pytest.mark.parametrize("key, value, rule", [("policyDocument", WIDE, "A04"), ("templateBody", TEMPLATE, "P15")])
def test_what_the_aws_cli_answers_is_read_as_it_is(run, key, value, rule):
    name = key.replace("Document", "Name").replace("Body", "Name")
    status, out, _ = run("lint", "--format", "json", write("a.json", {name: "mine", key: json.dumps(value)}))
    assert status == 1
    [found] = [finding for finding in json.loads(out)["findings"] if finding["rule"] == rule]
    assert found["pointer"] == f"/{key}" and found["line"] == 3
    assert found["message"].startswith("mine /")


TWICE = '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}'


@pytest.mark.parametrize("key, name", [("policyDocument", "policyName"), ("templateBody", "templateName")])
@pytest.mark.parametrize(
    "given, said",
    [
        (TWICE, "stands twice"),
        ('{"Statement": [}', "not JSON"),
        ("", "the text is empty"),
        ({"Version": "2012-10-17"}, "an object; AWS answers with a text"),
        (None, "null; AWS answers with a text"),
    ],
    ids=["a key twice", "not JSON", "empty", "an object", "null"],
)
@pytest.mark.parametrize("path", [".", "a.json"])
def test_an_answer_of_aws_whose_document_cannot_be_read_is_a_finding(run, key, name, given, said, path):
    write("a.json", {name: "mine", key: given})
    status, out, _ = run("lint", "--format", "json", path)
    [found] = [finding for finding in json.loads(out)["findings"] if finding["rule"] == "S01"]
    assert status == 1 and said in found["message"] and found["line"] == 3


def test_an_object_where_aws_answers_with_a_text_is_judged_all_the_same(run):
    assert {"S01", "A04"} <= set(rules(run("lint", "--format", "json", write("a.json", {"policyDocument": WIDE}))[1]))


def test_in_a_folder_an_answer_that_is_nothing_of_aws_iot_is_passed_over(run):
    write("authorizer.json", {"principalId": "user", "policyDocument": IAM})
    write("sketch.json", {"templateBody": "Resources: !Sub x", "policyDocument2": 1})
    status, out, err = run("lint", ".")
    assert (status, out) == (0, "nothing was looked at\n") and "authorizer.json: an IAM policy" in err


LARGE = policy(*[{**WIDE["Statement"][0], "Sid": f"All{number}"} for number in range(20_000)])


@pytest.mark.parametrize(
    "value",
    [
        LARGE,
        {"policyName": "mine", "policyDocument": json.dumps(LARGE)},
        json.dumps(LARGE).replace('"Version"', '"Version": "x", "Version"', 1).encode(),
        {**TEMPLATE, "Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": LARGE}}}},
    ],
    ids=["a policy", "an answer of AWS", "a key twice", "in a template"],
)
def test_a_policy_that_is_far_too_large_is_one_finding_and_quickly_so(run, value):
    began = time.process_time()
    status, out, _ = run("lint", "--format", "json", write("a.json", value))
    found = [one for one in json.loads(out)["findings"] if one["rule"][0] in "SABCV"]
    assert status == 1 and [one["rule"] for one in found] == ["S01"]
    assert re.search("is not judged: it has .* AWS IoT takes a (policy of 2,048|template of 10,240)", found[0]["message"])
    assert time.process_time() - began < 5


def test_keys_that_stand_twice_are_not_looked_for_in_a_policy_that_is_too_large(run, monkeypatch):
    monkeypatch.setattr(source.Source, "duplicates", property(lambda _: pytest.fail("they are looked for")))
    text = json.dumps(LARGE).replace('"Version"', '"Version": "x", "Version"', 1)
    for value in (text.encode(), {"policyName": "mine", "policyDocument": text}):
        status, out, _ = run("lint", "--format", "json", write("a.json", value))
        assert status == 1 and rules(out) == ["S01"]


NEXT_MONTH = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
SUPPRESSION = f'[[suppress]]\nrule = "A04"\npath = "policies/*.json"\nreason = "a lab"\nexpires = {NEXT_MONTH}\n'


def test_a_suppression_by_a_sid_that_two_statements_have_suppresses_nothing(run):
    write("policies/a.json", policy(*WIDE["Statement"], {**CLEAN["Statement"][0], "Sid": "All"}))
    Path("fleetgate-lint.toml").write_text(SUPPRESSION + 'statement = "All"\n')
    assert {"A04", "X01"} <= set(rules(run("lint", "--format", "json", "policies")[1]))


def test_a_document_that_cannot_be_read_cannot_be_suppressed(run):
    write("policies/a.json", b'{"Statement": [}')
    Path("fleetgate-lint.toml").write_text(SUPPRESSION.replace("A04", "S01"))
    assert set(rules(run("lint", "--format", "json", "policies")[1])) == {"S01", "X01"}


def test_a_suppression_is_found_in_a_folder_above_and_its_path_is_relative_to_it(run, monkeypatch):
    write("policies/a.json", WIDE)
    Path("fleetgate-lint.toml").write_text(SUPPRESSION)
    assert "A04" not in rules(run("lint", "--format", "json", "policies")[1])
    monkeypatch.chdir("policies")
    out = run("lint", "--format", "json", "a.json")[1]
    assert "A04" not in rules(out) and json.loads(out)["suppressed"] == 1


@pytest.mark.parametrize(
    "paths, told",
    [(["policies/a.json"], False), (["other"], False), (["policies"], True), (["."], True), (["--only", "template", "."], False)],
    ids=["one of two", "another folder", "its folder", "all", "another kind"],
)
def test_that_a_suppression_is_unused_is_told_by_a_run_over_all_of_its_files(run, paths, told):
    for name in ("policies/a.json", "policies/deep/b.json", "other/c.json"):
        write(name, CLEAN)
    write("policies/package.json", {"name": "x"})
    Path("fleetgate-lint.toml").write_text(SUPPRESSION)
    assert ("X03" in rules(run("lint", "--format", "json", *paths)[1])) is told


@pytest.mark.parametrize("path", ["gone/*.json", "policies/gone.json"])
def test_a_suppression_for_a_path_that_is_gone_names_it(run, path):
    write("policies/a.json", CLEAN)
    Path("fleetgate-lint.toml").write_text(SUPPRESSION.replace("policies/*.json", path))
    status, out, _ = run("lint", "policies/a.json")
    assert status == 1 and f"X03  the suppression of A04 is for {path}, and there is no such file any more" in out


@pytest.mark.parametrize(
    "rule, path, kind",
    [
        ("A04", "policies/gone.json", "policy"),
        ("A04", "policies/package.json", "policy"),
        ("A04", "policies/a.json", "policy"),
        ("P12", "policies/gone.json", "template"),
        ("P12", "policies/package.json", "template"),
        ("P12", "policies/template.json", "template"),
        ("A04", "policies/template.json", "template"),
        ("P12", "policies/a.json", "policy"),
        ("N01", "policies/gone.json", "plan"),
    ],
)
def test_of_runs_over_one_kind_each_one_says_that_a_suppression_is_unused(run, rule, path, kind):
    """As the two hooks run over the same files."""
    write("policies/a.json", CLEAN)
    write("policies/package.json", {"name": "x"})
    write("policies/template.json", {"Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": {}}}})
    Path("fleetgate-lint.toml").write_text(SUPPRESSION.replace("A04", rule).replace("policies/*.json", path))
    found = {one: rules(run("lint", "--format", "json", "--only", one, "policies")[1]) for one in ("policy", "template", "plan")}
    assert [one for one in found if "X03" in found[one]] == [kind]
    assert "X03" in rules(run("lint", "--format", "json", "policies")[1])


def test_an_expired_suppression_fails(run):
    write("policies/a.json", CLEAN)
    Path("fleetgate-lint.toml").write_text(SUPPRESSION.replace(NEXT_MONTH, "2020-01-01"))
    status, out, _ = run("lint", "policies")
    assert status == 1 and "fleetgate-lint.toml:1:1  MEDIUM X02" in out


def test_a_file_of_suppressions_that_is_not_utf_8_exits_2(run):
    Path("s.toml").write_bytes(b"\xff")
    assert run("lint", "--suppressions", "s.toml", write("a.json", CLEAN))[0] == 2


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_other_outputs_stand_alone_on_stdout(run, form):
    write("a.json", WIDE)
    status, out, _ = run("lint", "--format", form, "a.json")
    assert status == 1
    if form == "github":
        assert all(line.startswith("::") for line in out.splitlines())
    else:
        assert json.loads(out)


def test_explain_shows_a_rule_whatever_the_case_of_its_id(run):
    status, out, _ = run("explain", "p01")
    assert status == 0
    for part in ("P01  HIGH", "Source: https://", "Found in:", "Not found in:"):
        assert part in out


def test_explain_without_an_id_is_the_table(run):
    status, out, _ = run("explain")
    assert status == 0 and out.splitlines()[0].startswith("S01  HIGH")
    assert len(out.splitlines()) > 80


def test_explain_does_not_know_every_id(run):
    status, _, err = run("explain", "P99")
    assert status == 2 and "there is none" in err


def test_two_runs_say_the_same(run):
    write("a.json", WIDE)
    write("b/t.json", TEMPLATE)
    assert run("lint", ".") == run("lint", ".")


def test_a_command_that_needs_more_than_linting_says_what_to_install(run, monkeypatch):
    def missing(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'boto3'", name="boto3")

    monkeypatch.setattr("fleetgate.commands.common.fleet", missing)
    status, _, err = run("render")
    assert status == 1 and "the package boto3 is not installed" in err and "fleetgate[deploy]" in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_policy_in_a_folder_cannot_hide_behind_its_spelling(run, encoding):
    Path("policies").mkdir()
    Path("policies/hidden.json").write_bytes(json.dumps(WIDE).replace("Statement", "\\u0053tatement").encode(encoding))
    status, out, _ = run("lint", "policies")
    assert status == 1 and "hidden.json" in out


def test_a_committed_file_named_like_an_option_is_a_file_or_an_error_and_never_an_option(run):
    """The hooks put the names of files behind their options: one named `--suppressions=notes.json` silenced all others."""
    reason = 'rule = "A04"\npath = "policies/bad.json"\nreason = "x"\nexpires = '
    write("notes.json", f"[[suppress]]\n{reason}{datetime.now(UTC).date()}\n".encode())
    write("policies/bad.json", WIDE)
    write("--suppressions=notes.json", b"")
    write("--fail-on.json", b"")
    for names in (
        ["--suppressions=notes.json", "notes.json"],
        ["--suppress=notes.json"],
        ["--fail-on.json"],
        ["--fail=low.json"],
    ):
        status, out, err = run("lint", "--only", "policy", *names, "policies/bad.json")
        assert (status, out) == (2, ""), err
        status, out, _ = run(
            "lint", "--only", "policy", "--", *(name for name in names if Path(name).exists()), "policies/bad.json"
        )
        assert status == 1 and "A04" in out


def test_the_hooks_tell_their_options_from_the_names_of_files():
    import yaml

    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"]: hook.get("args") for hook in hooks if hook.get("pass_filenames", True)} == {
        "fleetgate-lint-policies": ["--"],
        "fleetgate-lint-templates": ["--"],
    }


NAMES = ["::add-mask::critical.json", " ::stop-commands::x.json", "##[add-mask]x.json", "a##[error]b.json"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["text", "github"])
def test_the_name_of_a_file_is_no_command_in_a_build_server_s_log(run, name, form):
    write(name, WIDE)
    _, out, err = run("lint", "--format", form, name)
    lines = [line for line in (out + err).splitlines() if not line.startswith(("::error file=", "::warning file="))]
    assert out and not any(
        line.lstrip().startswith("::") or "##[" in line for line in [*lines, *out.splitlines()] if line in lines
    )
    assert "##[" not in out + err
    _, out, err = run("lint", f"{name}.gone")
    assert err and "##[" not in err and not any(line.lstrip().startswith("::") for line in err.splitlines())


def test_annotations_hold_no_control_characters(run):
    write("a.json", policy({"Effect": "Allow", "Action": "iot:\x1b[2J", "Resource": "*"}))
    out = run("lint", "--format", "github", "a.json")[1]
    assert "iot:" in out and "\x1b" not in out


@pytest.mark.parametrize("texts", [2_000, 20_000])
def test_a_policy_of_many_times_what_aws_takes_is_not_judged_and_so_cannot_take_long(run, texts):
    """`${${${...` of a tenth of a megabyte took 40 seconds."""
    wide = policy({"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}:topic/" + "${" * texts})
    started = time.process_time()
    status, out, _ = run("lint", "--format", "json", write("a.json", wide))
    assert status == 1 and ("S01" in rules(out)) is (texts > 5_000 - 100)
    assert time.process_time() - started < 5
    _, _, err = run("isolation", "a.json")
    assert texts < 10_000 or "is not judged" in err


def test_white_space_does_not_keep_a_policy_from_being_judged(run):
    path = Path(write("a.json", WIDE))
    path.write_text(json.dumps(WIDE, indent=2000), encoding="utf-8")
    assert path.stat().st_size > 10_000
    assert "A04" in rules(run("lint", "--format", "json", "a.json")[1])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="Linux has a file without an end")
@pytest.mark.parametrize("file", ["terraform/envs/local.yaml", "catalogue/device_types.yaml", "policy_templates/sensor.json.j2"])
def test_a_file_without_an_end_is_not_read(run, checkout, monkeypatch, file):
    monkeypatch.chdir(checkout)
    Path(file).unlink()
    Path(file).symlink_to("/dev/zero")
    status, out, err = run("lint")
    assert status in (1, 2) and any(said in out + err for said in ("symbolic link", "no such template", "holds no catalogue"))


def test_an_environment_file_that_is_far_too_large_is_refused(run, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    Path("terraform/envs/local.yaml").write_text("#" * 1_000_001, encoding="utf-8")
    status, _, err = run("lint")
    assert status == 2 and "terraform/envs/local.yaml: is larger than 1,000,000 bytes" in err


@pytest.mark.parametrize(
    "command",
    [["lint"], ["explain"], ["authorize"], ["isolation"], ["access-diff"], ["catalogue", "check"], ["catalogue", "schema"]],
    ids=" ".join,
)
def test_every_command_that_judges_says_what_its_exit_status_means(run, command):
    status, out, _ = run(*command, "--help")
    assert status == 0 and re.search(r"exit\s+status: 0 ", out) and "; 2 " in " ".join(out.split())


def test_a_rule_that_does_not_exist_is_wrong_usage(run):
    assert run("explain", "Z99")[0] == 2


def test_bare_commands_name_what_there_is_and_the_version_can_be_asked_for(run):
    status, _, err = run()
    assert status == 2 and "one of: catalogue, lint, explain, " in err
    assert "one of: check, schema" in run("catalogue")[2]
    status, out, _ = run("--version")
    assert status == 0 and re.fullmatch(r"fleetgate [0-9.]+\n", out)


def test_outside_of_a_checkout_lint_and_isolation_say_that_files_can_be_named(run):
    assert "or name files: fleetgate lint PATH" in run("lint")[2]
    assert "or name files: fleetgate isolation FILE" in run("isolation")[2]
    assert "name files" not in run("catalogue", "check")[2]


def test_a_text_that_is_no_json_at_all_is_told_what_is_read(run):
    out = run("lint", write("README.md", b"# Policies\n"))[1]
    assert "fix: give a policy, a provisioning template or a plan in JSON" in out
    assert "fix: mend the text there" in run("lint", write("a.json", b'{"a": }'))[1]
    assert "asked for without FILE (isolation)" in run("isolation", "README.md")[2]


def test_s07_counts_statements_as_people_do_and_says_the_sid(run):
    topics = [{"Sid": name, "Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}:topic/{name}"} for name in ("A", "B")]
    out = run("lint", write("a.json", policy(*CLEAN["Statement"], *topics)))[1]
    assert "S07  differs from statement 2 (A) only in its resources" in out and "fix: merge it into statement 2 (A) " in out


def test_places_of_errors_begin_their_lines_so_that_editors_find_them(run, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    path = Path("catalogue/device_types.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("shape: sensor", "shap: sensor"), encoding="utf-8")
    for command in ("catalogue", "lint"):
        err = run(command, *(["check"] if command == "catalogue" else []))[2]
        assert all(re.match(r"catalogue/device_types.yaml:[0-9]+ |    -> ", line) for line in err.splitlines()), err
    assert run("lint", "--root")[2] and run("lint", "gone.json")[2].startswith("fleetgate lint: gone.json: ")


def test_findings_about_suppressions_alone_are_in_no_number_of_files(run):
    write("fleetgate-lint.toml", b'[[suppress]]\nrule = "B01"\npath = "gone.json"\nreason = "x"\nexpires = 2020-01-01\n')
    assert "1 finding (1 medium)\n" in run("lint", "--only", "plan", write("a.json", CLEAN))[1]


@pytest.mark.parametrize("texts", [20_000, 400_000])
def test_a_template_of_a_hundred_thousand_openings_of_a_substitution_takes_no_time(run, texts):
    started = time.process_time()
    status, out, _ = run("lint", "--format", "json", write("a.json", provisioning_template({"Fn::Sub": "${" * texts})))
    assert status == 1 and (rules(out) == ["S01"]) is (texts > 50_000)
    assert time.process_time() - started < 5
