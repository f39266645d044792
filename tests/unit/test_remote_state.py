"""Where Terraform's state is, the root that an environment with a state in S3 gets, and that there is never a second state."""

from __future__ import annotations

import json
import shutil

import pytest

from fleetgate import environment, remote_state, state_bucket, terraform
from fleetgate.cli import main
from fleetgate.commands import deploy as deploy_command
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError

BUCKET = "fleetgate-state-123456789012"
AWS = 'account_id: "123456789012"\nregion: eu-central-1\nclaims: {factory-1: {}}\n'


def aws(checkout, state="") -> Environment:
    return Environment(checkout, "production", environment.parse(AWS + state, "production.yaml"))


def remote(checkout, more="") -> Environment:
    return aws(checkout, f"state: {{bucket: {BUCKET}{more}}}\n")


@pytest.mark.parametrize(
    "section, where",
    [
        ("{}", "state.bucket"),
        ("{bucket: UPPER}", "state.bucket"),
        ("{bucket: ab}", "state.bucket"),
        ("{bucket: has.dots}", "state.bucket"),
        ("{bucket: abc, key: /absolute}", "state.key"),
        ("{bucket: abc, key: folder/}", "state.key"),
        ("{bucket: abc, key: a//b}", "state.key"),
        ("{bucket: abc, key: a.tflock}", "state.key"),
        ("{bucket: abc, region: Frankfurt}", "state.region"),
        ("{bucket: abc, kms_key_arn: alias/state}", "state.kms_key_arn"),
        ("{bucket: abc, dynamodb_table: locks}", "state.dynamodb_table"),
    ],
)
def test_a_section_that_s3_would_refuse_later_is_refused_now(section, where):
    with pytest.raises(FleetgateError) as refused:
        environment.parse(f"{AWS}state: {section}\n", "production.yaml")
    assert [problem.where.rpartition(" ")[2] for problem in refused.value.problems] == [where]


def test_without_a_section_the_state_stays_a_file_of_the_tracked_root(checkout):
    local = aws(checkout)
    assert remote_state.place(local) == remote_state.Place("local", str(checkout / "build/production/terraform.tfstate"))
    assert remote_state.root(local) == checkout / "terraform"
    assert remote_state.backend_config(local).read_text() == f'path = "{checkout}/build/production/terraform.tfstate"\n'


@pytest.mark.parametrize(
    "more, changed",
    [
        ("", {}),
        (", key: a/b.tfstate", {"key": "a/b.tfstate"}),
        (", region: us-east-1", {"region": "us-east-1"}),
        (
            ", kms_key_arn: 'arn:aws:kms:eu-central-1:123456789012:key/1'",
            {"kms_key_id": "arn:aws:kms:eu-central-1:123456789012:key/1"},
        ),
    ],
    ids=["defaults", "key", "region", "kms"],
)
def test_the_backend_locks_encrypts_and_knows_the_only_account(checkout, more, changed):
    text = remote_state.backend_config(remote(checkout, more)).read_text()
    lines = dict(line.split(" = ", 1) for line in text.splitlines())
    assert {name: json.loads(value) for name, value in lines.items()} == {
        "bucket": BUCKET,
        "key": "fleetgate/production.tfstate",
        "region": "eu-central-1",
        "encrypt": True,
        "use_lockfile": True,
        "allowed_account_ids": ["123456789012"],
        "skip_metadata_api_check": True,
        **changed,
    }


def test_the_embedded_clouds_buckets_are_paths_and_not_subdomains(checkout):
    local = environment.load(checkout, "local")
    with_state = local.settings.model_copy(update={"state": environment.RemoteState(bucket=BUCKET)})
    assert "use_path_style = true\n" in remote_state.backend_config(Environment(checkout, "local", with_state)).read_text()


def listing(folder):
    return {path.relative_to(folder).as_posix(): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_a_state_in_s3_gets_a_root_of_its_own_that_is_the_tracked_one_but_for_the_backend(checkout):
    before = listing(checkout / "terraform")
    root = remote_state.root(remote(checkout))
    assert root == checkout / "build/production/root/terraform"
    assert (root / remote_state.OVERRIDE_FILE).read_text().endswith('terraform {\n  backend "s3" {}\n}\n')
    tracked = {path.name for path in (checkout / "terraform").iterdir()}
    assert {path.name for path in root.iterdir()} == tracked | {remote_state.OVERRIDE_FILE}
    assert (root / "main.tf").samefile(checkout / "terraform/main.tf")
    # What the root's validation and the functions' packages are read by: ../<path from the repository's root>.
    assert (root / "../catalogue/device_types.yaml").resolve() == checkout / "catalogue/device_types.yaml"
    assert (root.parent / "build/production/census.zip").resolve() == checkout / "build/production/census.zip"
    assert listing(checkout / "terraform") == before
    made = listing(root.parent)
    assert remote_state.root(remote(checkout)) == root and listing(root.parent) == made


def test_the_root_follows_the_tracked_folder_and_mends_what_an_artefact_store_made_of_it(checkout):
    root = remote_state.root(remote(checkout))
    (checkout / "terraform/outputs.tf").unlink()
    (checkout / "terraform/more.tf").write_text("# new\n")
    (root / "modules").unlink()
    shutil.copytree(checkout / "terraform/modules", root / "modules")  # a copy where the link was
    remote_state.root(remote(checkout))
    assert not (root / "outputs.tf").is_symlink() and (root / "more.tf").exists() and (root / "modules").is_symlink()
    assert (checkout / "terraform/modules/claim/main.tf").is_file()


def test_a_teams_lock_file_of_providers_holds_there_too_and_what_terraform_left_does_not(checkout):
    for name in (".terraform.lock.hcl", "terraform.tfstate", "old.tfplan"):
        (checkout / "terraform" / name).write_text("")
    names = {path.name for path in remote_state.root(remote(checkout)).iterdir()}
    assert ".terraform.lock.hcl" in names and not names & {"terraform.tfstate", "old.tfplan"}


STATE = {
    "lineage": "one",
    "serial": 7,
    "resources": [{"mode": "managed", "instances": [{}, {}]}, {"mode": "data", "instances": [{}]}],
}
EMPTY = {"lineage": "one", "serial": 8, "resources": []}


def leave(checkout, local=None, backend=None):
    """What earlier runs left in the checkout: a state file, and what Terraform noted of its backend."""
    folder = checkout / "build/production/terraform"
    folder.mkdir(parents=True)
    if local is not None:
        (folder.parent / "terraform.tfstate").write_text(json.dumps(local))
    if backend is not None:
        (folder / "terraform.tfstate").write_text(json.dumps({"backend": {"type": backend[0], "config": backend[1]}}))


SAME = ("s3", {"bucket": BUCKET, "key": "fleetgate/production.tfstate", "region": "eu-central-1"})
OTHER = ("s3", {"bucket": "another", "key": "fleetgate/production.tfstate", "region": "eu-central-1"})
FILE = ("local", {"path": "terraform.tfstate"})


@pytest.mark.parametrize(
    "wanted, left",
    [
        (remote, {}),
        (remote, {"backend": SAME}),
        (remote, {"local": EMPTY, "backend": FILE}),
        (aws, {}),
        (aws, {"local": STATE, "backend": FILE}),
    ],
    ids=["new", "as before", "after a destroy", "new, in a file", "as before, in a file"],
)
def test_a_state_where_it_was_before_is_used(checkout, wanted, left):
    leave(checkout, **left)
    remote_state.require_one(wanted(checkout))


@pytest.mark.parametrize(
    "wanted, left, told",
    [
        (remote, {"local": STATE}, "2 resources, serial 7, lineage one"),
        (remote, {"local": STATE, "backend": SAME}, "terraform.tfstate"),
        (remote, {"backend": OTHER}, "s3://another/fleetgate/production.tfstate"),
        (aws, {"backend": SAME}, f"s3://{BUCKET}/fleetgate/production.tfstate"),
    ],
    ids=["a file is there", "a file beside", "another bucket", "from s3 to a file"],
)
def test_terraform_never_begins_again_beside_a_state_that_there_is(checkout, wanted, left, told):
    leave(checkout, **left)
    with pytest.raises(FleetgateError) as refused:
        remote_state.require_one(wanted(checkout))
    assert told in str(refused.value) and "fleetgate state migrate --env production" in str(refused.value)


def test_what_is_no_state_is_not_taken_for_an_empty_one(checkout):
    leave(checkout, local={"not": "a state"})
    with pytest.raises(FleetgateError, match="no state of Terraform"):
        remote_state.require_one(remote(checkout))
    assert remote_state.summarize("") is None


ODD = {
    "a list": b"[]",
    "a number": b"5",
    "no text": b"\xff\xfe\x00",
    "resources a number": b'{"lineage": "a", "serial": 1, "resources": 5}',
    "no resources": b'{"lineage": "a", "serial": 1, "resources": null}',
    "a resource a number": b'{"lineage": "a", "serial": 1, "resources": [1]}',
    "brackets": b"[" * 50_000,
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_a_state_of_another_shape_is_told(checkout, content):
    local = aws(checkout)
    local.build.mkdir(parents=True)
    local.local_state_file.write_bytes(content)
    with pytest.raises(FleetgateError, match="no state of Terraform"):
        remote_state.local_summary(local)


def test_what_terraform_noted_of_a_backend_without_its_bucket_is_no_place(checkout):
    folder = remote_state.data_folder(aws(checkout))
    folder.mkdir(parents=True)
    for config in ({}, {"bucket": "b"}):
        (folder / "terraform.tfstate").write_text(json.dumps({"backend": {"type": "s3", "config": config}}))
        assert remote_state.recorded(aws(checkout)) is None


def test_nothing_of_a_state_or_a_lock_acts_on_a_terminal():
    lock = remote_state.read_lock('{"ID": "\\u001b[2J", "Who": "\\u001b]0;x\\u0007me", "Operation": "\\u001b"}')
    state = remote_state.summarize('{"lineage": "\\u001b[31m", "serial": 1, "resources": []}')
    assert "\x1b" not in f"{lock.id} {lock} {state}" and lock.who == r"\x1b]0;x\x07me"


SAID = """
Error: Error acquiring the state lock

Error message: operation error S3: PutObject, https response error
StatusCode: 412, RequestID: 43d8, HostID: oMPH, api error PreconditionFailed
Lock Info:
  ID:        563272fe-ca14-a29c-d2b9-3b1a0cb38095
  Path:      fleetgate-state/fleetgate/e2e.tfstate
  Operation: OperationTypeApply
  Who:       ada@workstation
  Version:   1.11.4
  Created:   2026-11-27 11:19:11.813873996 +0000 UTC
  Info:
"""


@pytest.mark.parametrize("said", [SAID, "\n".join(f"│ {line}" for line in SAID.splitlines())], ids=["in a log", "in a frame"])
def test_whoever_comes_second_hears_who_holds_the_state_since_when_and_what_to_do(checkout, said):
    lock = remote_state.parse_lock(said)
    assert lock is not None
    message = str(remote_state.locked(aws(checkout), lock))
    assert "locked by ada@workstation since 2026-11-27 11:19:11 UTC, for apply" in message
    assert "--lock-timeout" in message
    assert "fleetgate state unlock 563272fe-ca14-a29c-d2b9-3b1a0cb38095 --env production" in message
    assert remote_state.parse_lock("Error: something else\nID: x") is None


@pytest.mark.parametrize("text", ["", "[]", "not json", "{}", "5", "null", "[" * 50_000])
def test_a_lock_that_cannot_be_read_is_still_a_lock(text):
    assert str(remote_state.read_lock(text)) == "somebody since an unknown time, for something unknown"


@pytest.mark.parametrize("text", ["5", "5 m", "-5s", "1d", "", "99999s"])
def test_a_time_to_wait_that_terraform_would_not_take_is_wrong_usage(checkout, capsys, text):
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(checkout), "plan", f"--lock-timeout={text}"])
    assert ended.value.code == 2 and "30s, 15m or 1h" in capsys.readouterr().err


def test_the_default_of_the_command_line_is_terraforms():
    assert deploy_command.DEFAULT_LOCK_TIMEOUT == terraform.LOCK_TIMEOUT
    assert [state_bucket.seconds(text) for text in ("0s", "90s", "15m", "1h")] == [0, 90, 900, 3600]
