"""`fleetgate isolation` and `fleetgate access-diff` as they are called."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from fleetgate import cli
from fleetgate.errors import FleetgateError

ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"


def git(folder, *arguments):
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env={**os.environ, **identity})


@pytest.fixture
def repository(checkout):
    git(checkout, "init", "--quiet", "--initial-branch=main")
    git(checkout, "add", "catalogue", "policy_templates", "terraform/envs")
    git(checkout, "commit", "--quiet", "--message", "base")
    return checkout


def run(capsys, *arguments):
    status = cli.main([str(one) for one in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def change(checkout, old, new, file="policy_templates/sensor.json.j2"):
    path = checkout / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def policy_file(folder, name, *statements):
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": ARN + resource} for action, resource in statements],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def test_the_catalogues_fleet_is_isolated_and_the_matrix_says_so(checkout, capsys):
    status, out, _ = run(capsys, "--root", checkout, "isolation")
    assert status == 0
    row = next(line for line in out.splitlines() if line.startswith("gateway"))
    assert row.split()[1:] == ["4", ">", ">", ">", "."]
    assert "isolated: 20 pairs proven, 3 declared flows granted" in out


def test_a_wide_template_is_told_with_witness_and_statement(checkout, capsys):
    change(checkout, "publish | map", '(publish + ["sensors/*"]) | map')
    status, out, _ = run(capsys, "--root", checkout, "isolation")
    assert status == 1
    assert "I01 temperature-sensor -> temperature-sensor, publish: publishes in the other's name" in out
    assert "statement 5 (PublishTelemetry)" in out and "NOT isolated" in out
    assert "I02 temperature-sensor -> humidity-sensor, publish" in out


def test_a_declared_topic_that_the_template_forgets_is_told(checkout, capsys):
    change(checkout, "subscribe | map", "[] | map", "policy_templates/_own_thing.json.j2")
    status, out, _ = run(capsys, "--root", checkout, "isolation")
    assert status == 1 and "I04 gateway is meant to receive config/gateway/" in out
    assert "\nisolated, but not as declared: " in out and "declared topics are not granted\n" in out and "NOT" not in out
    told = [line for line in out.splitlines() if line.startswith("I04")]
    assert out.count("\n\nI04") < len(told), "those of one type stand together"


def test_json_has_every_pair_and_is_the_same_every_time(checkout, capsys):
    first = run(capsys, "--root", checkout, "isolation", "--json")
    assert first == run(capsys, "--root", checkout, "isolation", "--json")
    found = json.loads(first[1])
    assert found["isolated"] and len(found["pairs"]) == 20 and found["gaps"] == []


def test_policy_files_are_types_of_their_own(tmp_path, capsys):
    good = policy_file(tmp_path, "good", ("iot:Connect", f"client/{THING}"), ("iot:Publish", f"topic/dt/{THING}/*"))
    wide = policy_file(tmp_path, "wide", ("iot:Publish", "topic/dt/*"))
    assert run(capsys, "isolation", good)[0] == 0
    page = tmp_path / "page.html"
    status, out, err = run(capsys, "isolation", good, wide, "--html", page)
    assert status == 1 and "I02 wide -> good, publish" in out and "written" in err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    "content, said", [("{", "not JSON"), ("[]", "a policy is an object"), ('{"Statement": []}', "no statement")]
)
def test_a_file_that_is_no_policy_is_told_and_not_called_isolated(tmp_path, capsys, content, said):
    path = tmp_path / "broken.json"
    path.write_text(content)
    status, out, err = run(capsys, "isolation", path)
    assert status == 2 and out == "" and said in err and "broken.json" in err


def test_a_file_that_is_not_there_and_two_of_one_name_are_told(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    one = policy_file(tmp_path, "a", ("iot:Publish", "topic/x"))
    two = policy_file(tmp_path / "other", "a", ("iot:Publish", "topic/x"))
    status, _, err = run(capsys, "isolation", one, two, tmp_path / "missing.json")
    assert status == 2 and "No such file" in err and "another file is named a" in err


@pytest.mark.parametrize("assumed", ["no_such=true", "deny_unresolved=maybe", "x"])
def test_an_unknown_assumption_is_wrong_usage(checkout, capsys, assumed):
    with pytest.raises(SystemExit) as ended:
        run(capsys, "--root", checkout, "isolation", "--assume", assumed)
    assert ended.value.code == 2


def test_no_change_is_no_access_gained(repository, capsys):
    change(repository, '"Sid": "PublishTelemetry"', '"Sid": "Telemetry"')  # another text, the same access
    status, out, _ = run(capsys, "--root", repository, "access-diff", "--base", "HEAD")
    assert status == 0 and "No device type and no claim may do more or less" in out


def test_growth_is_told_with_a_topic_and_ends_with_1_unless_allowed(repository, capsys):
    change(repository, "publish | map", '(publish + ["alerts/" ~ thing]) | map')
    status, out, _ = run(capsys, "--root", repository, "access-diff", "--base", "main")
    assert status == 1 and "**Access grows** against `main`: 3 gained, 0 taken away." in out
    assert "| `humidity-sensor` | `iot:Publish` | `topic/alerts/humidity-sensor-HUM-000000` |" in out
    assert run(capsys, "--root", repository, "access-diff", "--base", "main", "--allow-growth")[0] == 0


def test_access_that_is_taken_away_ends_with_0(repository, capsys):
    change(
        repository, "publishes_on_behalf_of: [temperature-sensor, ", "publishes_on_behalf_of: [", "catalogue/device_types.yaml"
    )
    status, out, _ = run(capsys, "--root", repository, "access-diff", "--base", "main", "--format", "json")
    found = json.loads(out)
    assert status == 0 and not found["grows"]
    assert [(one["type"], one["change"], one["witness"]) for one in found["changes"]] == [
        ("gateway", "taken away", "sensors/temperature/temperature-sensor-/gateway-GW-000001")
    ]


def test_a_wider_claim_and_a_new_type_are_growth(repository, capsys):
    change(repository, '"$aws/certificates/create/*"', '"$aws/certificates/*"', "policy_templates/claim.json.j2")
    catalogue = repository / "catalogue/device_types.yaml"
    new = """
  flow-meter:
    description: Water flow meter
    shape: sensor
    manufacturers: [AcmeSensors]
    firmware: {pattern: '[0-9]+', minimum: '1'}
    serial_pattern: 'FLOW-[A-F0-9]{8}'
    canary_serial: FLOW-00000000
    topics: {publish: ['sensors/flow/{thing}/*']}
    initial_shadow: {enabled: true}
"""
    catalogue.write_text(catalogue.read_text() + new)
    status, out, _ = run(capsys, "--root", repository, "access-diff", "--base", "main")
    assert status == 1 and "New device types: `flow-meter`." in out
    assert "| `claim` | `iot:Publish` | `topic/$aws/certificates/" in out and "| `flow-meter` | `iot:Connect` |" in out


def test_an_unknown_revision_a_base_without_catalogue_and_no_repository_are_told(repository, tmp_path, capsys):
    status, _, err = run(capsys, "--root", repository, "access-diff", "--base", "nowhere")
    assert status == 2 and "--base 'nowhere': is no commit here" in err
    status, _, err = run(capsys, "--root", repository, "access-diff", "--base=--output=x")  # no option of git's, either
    assert status == 2 and "is no commit here" in err
    for base in ("", "HEAD:catalogue/device_types.yaml", "HEAD^{tree}"):
        status, _, err = run(capsys, "--root", repository, "access-diff", "--base", base)
        assert status == 2 and ("is no commit here" in err or "expected commit type" in err), err
    git(repository, "rm", "--quiet", "--cached", "-r", "catalogue")
    git(repository, "commit", "--quiet", "--message", "no catalogue")
    status, _, err = run(capsys, "--root", repository, "access-diff", "--base", "HEAD")
    assert status == 2 and "HEAD: holds no catalogue/device_types.yaml" in err


def test_outside_of_a_repository_it_says_so(checkout, capsys, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    status, _, err = run(capsys, "--root", checkout, "access-diff", "--base", "main")
    assert status == 2 and "is in no Git repository" in err


def test_without_git_it_says_so(repository, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    status, _, err = run(capsys, "--root", repository, "access-diff", "--base", "main")
    assert status == 2 and "git: is not installed" in err


def test_a_base_that_does_not_compile_names_the_revision(repository, capsys):
    change(repository, "publish |", "publsh |")
    git(repository, "commit", "--quiet", "--all", "--message", "broken")
    change(repository, "publsh |", "publish |")
    status, _, err = run(capsys, "--root", repository, "access-diff", "--base", "HEAD")
    assert status == 2 and "HEAD: policy_templates/sensor.json.j2" in err


def test_text_of_a_policy_is_no_markup_in_the_comment():
    from fleetgate.access_output import _code, _plain

    assert _code("a|b") == "`a\\|b`" and _code("`x`").startswith("`` ") and _plain("<b>*x*") == "\\<b\\>\\*x\\*"
    assert "\n" not in _code("a\nb")


def test_a_mistake_of_whoever_uses_the_base_is_not_the_bases(repository):
    from fleetgate import base_revision, environment
    from fleetgate.errors import fail

    with pytest.raises(FleetgateError) as told, base_revision.compiled(environment.load(repository, "local"), "HEAD"):
        raise fail("mine", "is wrong", "mend it")
    assert str(told.value).startswith("mine: is wrong")


def test_errors_are_the_programs_own(repository):
    from fleetgate import base_revision, environment

    with pytest.raises(FleetgateError), base_revision.compiled(environment.load(repository, "local"), "nowhere"):
        pass


def test_a_pipe_is_refused_and_a_name_cannot_write_lines_of_its_own(capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for command in (("isolation",), ("authorize", "--thing", "pump-1", "--connect")):
        status, _, err = run(capsys, *command, tmp_path / "pipe.json")
        assert status == 2 and "pipe.json: is no file" in err
    odd = tmp_path / "pump\n::error::x.json"
    odd.write_text(json.dumps({"Version": "2012-10-17", "Statement": []}), encoding="utf-8")
    _, out, err = run(capsys, "isolation", odd)
    assert not any(line.startswith("::error") for line in (out + err).splitlines()[1:]), out


def test_of_an_iam_policy_nothing_is_proven(capsys, tmp_path):
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "iam:PassRole"], "Resource": "*"}
    (tmp_path / "iam.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}), encoding="utf-8")
    status, out, err = run(capsys, "isolation", tmp_path / "iam.json")
    assert status == 2 and "is an IAM policy" in err and "proven" not in out
    status, _, err = run(capsys, "authorize", tmp_path / "iam.json", "--thing", "pump-1", "--connect")
    assert status == 2 and "is an IAM policy" in err


COMMANDS = (("isolation",), ("authorize", "--thing", "pump-1", "--connect"))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_of_aws_is_read_as_the_policy_inside(capsys, tmp_path, command):
    resource = "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"
    statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"policyName": "pump", "policyDocument": document}, indent=1), encoding="utf-8")
    status, out, err = run(capsys, *command, path)
    assert status == 0 and ("1 pair proven" in out or out.startswith("ALLOWED")), err
    for inner, said in (
        (document[:-1], "answer.json:3 policyDocument: not JSON"),
        (
            document.replace('"Effect": "Allow"', '"Effect": "Allow", "Effect": "Deny"'),
            "answer.json:3 /Statement/0/Effect: the key stands",
        ),
        (json.loads(document), "answer.json:3 policyDocument: is no text"),
        ('{"Version": "2012-10-17"}', "answer.json:3: Statement is missing"),
    ):
        path.write_text(json.dumps({"policyName": "pump", "policyDocument": inner}, indent=1), encoding="utf-8")
        status, out, err = run(capsys, *command, path)
        assert status == 2 and out == "" and said in err, err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_an_empty_path_and_a_text_that_is_far_too_large_are_refused(capsys, tmp_path, command):
    (tmp_path / "large.json").write_text('{"Version": "2012-10-17", "Statement": [' + " " * 100_000 + "]}", encoding="utf-8")
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "large.json", "is not judged: it has")):
        status, out, err = run(capsys, *command, path)
        assert status == 2 and out == "" and said in err


@pytest.mark.parametrize(
    "words",
    [
        ("isolation", ""),
        ("isolation", "--html", ""),
        ("authorize", ""),
        ("authorize", "--type", "gateway", "--thing", "", "--connect"),
        ("authorize", "--type", "gateway", "--thing", "x", "--publish", ""),
        ("authorize", "--type", "gateway", "--thing", "x", "--request", ""),
    ],
)
def test_an_empty_text_is_an_unset_variable_and_refused(capsys, words):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    assert ended.value.code == 2 and "is empty" in capsys.readouterr().err


@pytest.mark.parametrize("odd", ["</script><b>", "\u2028\ue000", "\U0001f6b0"], ids=ascii)
def test_the_page_takes_any_text_of_a_policy(capsys, tmp_path, odd):
    statement = {"Sid": odd, "Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}), encoding="utf-8")
    status, _, err = run(capsys, "isolation", path, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert status == 1 and "written" in err and odd in page.replace("\\u003c", "<") and "</script><b>" not in page


def test_half_a_character_is_refused(capsys, tmp_path):
    """No text in UTF-8 holds it, and the automata have such characters as marks."""
    statement = {"Sid": "\ud800", "Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}), encoding="utf-8")
    for command in (("isolation", path), ("authorize", path, "--client-id", "a", "--connect")):
        status, _, err = run(capsys, *command)
        assert status == 2 and "half a character" in err
    status, out, _ = run(capsys, "lint", path)
    assert status == 1 and "S04" in out
