"""The deployer's policy, under which the whole way works and without any statement of which it does not; and its state in S3.

One fleet for the whole file, on an embedded cloud that writes down every decision of its IAM: applied, looked at, provisioned
into and destroyed by a user who has the generated policies and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import clouds
import recording_cloud
from checkouts import ROOT
from deployer_calls import ACCOUNT, REGION, here, named
from fleetgate import cli, deployer, remote_state

BUCKET = "fleetgate-state-000000000000"
#: Alarms and their mail as on AWS, so that the way calls for them too.
MORE = f"state: {{bucket: {BUCKET}}}\nalarm_emails: [iot-oncall@example.com]\n"
GOLDEN = ROOT / "tests/golden/deployer_calls.txt"
REMOVED_FOR_REAL = "Functions"

#: Statements that the way needs on AWS and that the embedded cloud never asks for; each has a test of its own, below or of its
#: conditions in tests/unit/test_deployer_policy.py.
ASKED_ON_AWS_ONLY = {"GiveRolesToServices", "LookAtTheKey", "TagTheKey"}


class Deployer:
    """A user with the generated policies, all of them or without one statement."""

    def __init__(self, cloud):
        self.cloud, self.iam = cloud, cloud.client("iam")
        self.documents = deployer.policies(cloud.environment(), cloud.fleet().names)
        self.statements = {s["Sid"]: s for document in self.documents.values() for s in document["Statement"]}
        self.iam.create_user(UserName="deployer")
        key = self.iam.create_access_key(UserName="deployer")["AccessKey"]
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self.variables = {
            "FLEETGATE_REHEARSAL_ACCESS_KEY_ID": self.key,
            "FLEETGATE_REHEARSAL_SECRET_ACCESS_KEY": self.secret,
        }
        self.may()

    def may(self, *, without=(), plan_only=False):
        statements = self.statements.values()
        if plan_only:
            statements = deployer.statements(self.cloud.environment(), self.cloud.fleet().names, plan_only=True)
        kept = [part for s in statements if s["Sid"] not in without for part in here(s)]
        document = json.dumps({"Version": "2012-10-17", "Statement": kept})
        self.iam.put_user_policy(UserName="deployer", PolicyName="deployer", PolicyDocument=document)

    def run(self, *arguments, status=0, env=None):
        variables = self.variables | (env or {})
        return self.cloud.fleetgate(*arguments, "--env", clouds.ENVIRONMENT, env=variables, status=status)

    def tries(self, service, operation, **arguments):
        """Whether IAM lets this call through."""
        try:
            getattr(self.client(service), operation)(**arguments)
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "403"), error
            return False
        return True

    def start(self, *arguments):
        """The command as a process of its own, in a group of its own."""
        command = [sys.executable, "-m", "fleetgate", "--root", str(self.cloud.root), *arguments, "--env", clouds.ENVIRONMENT]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, text=True, env=os.environ | self.variables, start_new_session=True, **pipes)

    def client(self, service):
        session = boto3.session.Session(self.key, self.secret, region_name=REGION)
        return session.client(service, endpoint_url=self.cloud.environment().endpoint_url)

    def calls(self):
        """What IAM decided about this user, as AWS names it."""
        file = self.cloud.environment().build / "cloud" / recording_cloud.FILE
        calls = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert [call for call in calls if "unnamed" in call] == []
        return [{**call, "named": named(call)} for call in calls if call["key"] == self.key]

    def repeat(self, request):
        """Makes a recorded call again. Returns whether IAM refuses it."""
        path = urllib.parse.quote(request["path"], safe="/~-_.")
        query = urllib.parse.urlencode(request["query"], doseq=True)
        url = f"{self.cloud.environment().endpoint_url}{path}{f'?{query}' if query else ''}"
        call = AWSRequest(request["method"], url, headers=request["headers"], data=base64.b64decode(request["body"]))
        SigV4Auth(Credentials(self.key, self.secret), request["signed_for"], REGION).add_auth(call)
        sent = urllib.request.Request(url, data=call.data or None, headers=dict(call.headers), method=request["method"])
        try:
            with urllib.request.urlopen(sent, timeout=30):
                return False
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace") + str(error.headers)
            assert "Signature" not in said and "InvalidClientTokenId" not in said, said
            return error.code == 403 or "AccessDenied" in said  # which is a 400 of some services


def administrator(cloud, *words, status=0):
    """What the command says, run in this process: each start of Python with the SDK takes seconds on a busy machine."""
    out, err = io.StringIO(), io.StringIO()
    with clouds.entered(cloud), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = cli.main(["--root", str(cloud.root), *words, "--env", clouds.ENVIRONMENT])
    assert found == status, out.getvalue() + err.getvalue()
    return SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue())


def object_of(cloud, suffix):
    """The text of the state in S3, or of its lock; None if there is none."""
    try:
        return cloud.client("s3").get_object(Bucket=BUCKET, Key=f"fleetgate/e2e.tfstate{suffix}")["Body"].read().decode()
    except ClientError:
        return None


def lock_of(cloud):
    """Who holds the state, or None."""
    text = object_of(cloud, ".tflock")
    return remote_state.read_lock(text) if text else None


def state_of(cloud):
    return json.loads(administrator(cloud, "state", "show", "--json").stdout)


def wait_for_lock(cloud, process):
    deadline = time.monotonic() + 300
    while (lock := lock_of(cloud)) is None:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return lock


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    """The whole way, once: what was said, and what IAM decided."""
    cloud = clouds.start(tmp_path_factory.mktemp("deployer") / "checkout", MORE, recording=True)
    try:
        cloud.edit(f"terraform/envs/{clouds.ENVIRONMENT}.yaml", "manage_alarms: false", "manage_alarms: true")
        said = SimpleNamespace(cloud=cloud)
        said.before_bootstrap = administrator(cloud, "plan", status=1).stderr
        administrator(cloud, "bootstrap", "--yes")
        user = said.user = Deployer(cloud)

        # For real without one statement: it stops in the middle, and says so.
        user.run("plan")
        user.may(without=[REMOVED_FOR_REAL])
        said.stopped = user.run("apply", "--no-smoke", status=1)
        said.refused = [call for call in user.calls() if not call["allowed"]]
        # Planned by whom may plan only, as the workflows do, and applied by the deployer.
        user.may(plan_only=True)
        user.run("plan", env={"TF_CLI_ARGS_plan": "-lock=false"})
        said.planner_may = {
            f"{operation} {suffix}": user.tries("s3", operation, Bucket=BUCKET, Key=f"fleetgate/e2e.tfstate{suffix}")
            for operation in ("get_object", "put_object", "delete_object")
            for suffix in ("", ".tflock")
            if (operation, suffix) != ("get_object", ".tflock")  # there is none to get
        }
        said.before_the_way = len(user.calls())
        user.may()

        # Two at once. The first is at work; one that does not wait is turned away, another waits and finds its plan stale.
        first = user.start("apply")
        said.lock = wait_for_lock(cloud, first)
        waiting = user.start("apply", "--no-smoke")
        said.impatient = user.run("apply", "--no-smoke", "--lock-timeout", "0s", status=1).stderr
        said.first, said.waited = first.communicate(timeout=1800)[0], waiting.communicate(timeout=1800)[0]
        said.statuses = (first.returncode, waiting.returncode)

        user.run("registry", "add", "--type", clouds.TYPE, "TEMP-000001")
        user.run("device", "provision", "--type", clouds.TYPE, "--serial", "TEMP-000001", "--claim", "factory-2")
        said.row = clouds.row(cloud, "TEMP-000001")

        # Back into a file, and into S3 again; by an administrator, since the deployer cannot remove a state.
        file, section = f"terraform/envs/{clouds.ENVIRONMENT}.yaml", f"state: {{bucket: {BUCKET}}}\n"
        said.in_s3 = state_of(cloud)
        cloud.edit(file, section, "")
        said.to_a_file = administrator(cloud, "plan", status=1).stderr
        administrator(cloud, "state", "migrate", "--yes")
        said.in_a_file, said.left_in_s3 = state_of(cloud), object_of(cloud, "")
        cloud.edit(file, "lease_seconds", f"{section}lease_seconds")
        said.to_s3 = administrator(cloud, "plan", status=1).stderr
        administrator(cloud, "state", "migrate", "--dry-run")
        administrator(cloud, "state", "migrate", "--yes")
        said.in_s3_again = state_of(cloud)
        said.left_in_a_file = cloud.environment().local_state_file.exists()

        # Killed in the middle, and the lock with it left behind.
        killed = user.start("plan")
        said.left_behind = wait_for_lock(cloud, killed)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=600)
        said.after_kill = user.run("destroy", "--yes", "--lock-timeout", "0s", status=1).stderr
        said.wrong_lock = user.run("state", "unlock", "not-this-one", "--yes", status=1).stderr
        said.unlocked = user.run("state", "unlock", said.left_behind.id, "--yes").stdout

        said.destroyed = user.run("destroy", "--yes").stdout
        said.calls = user.calls()
        yield said
    finally:
        cloud.run("cloud", "down")


def test_a_plan_without_its_bucket_names_the_command_that_makes_it(way):
    assert f"{BUCKET}: is not there" in way.before_bootstrap and "fleetgate bootstrap --env e2e" in way.before_bootstrap


def test_plan_by_a_planner_and_apply_smoke_a_device_and_destroy_pass_under_the_policies(way):
    assert way.statuses[0] == 0, way.first
    assert " 0 failed" in way.first.rpartition("Smoke checks:")[2]
    assert way.row["status"] in ("provisioned", "active")
    assert "environment e2e is gone, 1 device with it" in way.destroyed
    refused = [f"{call['action']} {call['resource']}" for call in way.calls[way.before_the_way :] if not call["allowed"]]
    assert refused == []
    assert [name for name, may in way.planner_may.items() if may] == ["get_object "]


def test_apply_stops_where_a_statement_is_missing_and_goes_on_when_it_is_there(way):
    assert {call["action"] for call in way.refused} == {"lambda:CreateFunction"}
    assert "AccessDenied" in way.stopped.stderr and "is not authorized to perform: lambda:CreateFunction" in way.stopped.stderr


def alone(way, sid):
    """A recorded call that this statement allows and no other."""
    patterns = {
        other: [(action, pattern) for part in here(s) for action in part["Action"] for pattern in part["Resource"]]
        for other, s in way.user.statements.items()
    }
    for call in way.calls:
        allowing = {
            other
            for other, pairs in patterns.items()
            if any(action == call["action"] and fnmatchcase(call["resource"], pattern) for action, pattern in pairs)
        }
        if allowing == {sid}:
            return call
    return None


def test_every_statement_is_needed(way):
    """The call is made again by the same user without the statement: refused before it does anything."""
    found = {}
    for sid in way.user.statements:
        call = alone(way, sid)
        if call is None:
            continue
        way.user.may(without=[sid])
        found[sid] = way.user.repeat(call["request"])
    way.user.may()
    assert [sid for sid, refused in found.items() if not refused] == []
    assert set(way.user.statements) - set(found) == ASKED_ON_AWS_ONLY


def as_recording(calls):
    """A line for each action, with one resource that it was about; random ids are made the same."""
    found = {}
    for call in calls:
        resource = re.sub(r"cert/[0-9a-f]{64}", "cert/" + 64 * "0", call["resource"])
        resource = re.sub(r"key/[0-9a-f-]{36}", "key/00000000-0000-0000-0000-000000000000", resource)
        resource = re.sub(r"(fleetgate-alarms):[0-9a-f-]{36}", r"\1:00000000-0000-0000-0000-000000000000", resource)
        if call["allowed"] and call["named"] != "sts:GetCallerIdentity":
            found.setdefault(call["named"], set()).add(resource)
    return "".join(f"{action} {min(resources)}\n" for action, resources in sorted(found.items()))


def test_the_recording_to_which_the_policy_is_held_is_what_the_way_calls(way, tmp_path):
    """tests/unit/test_deployer_policy.py holds the policy to that file, in both directions and without a cloud."""
    fresh = tmp_path / "deployer_calls.txt"
    fresh.write_text(as_recording(way.calls), encoding="utf-8")
    recorded, kept = ({line.split()[0] for line in file.read_text().splitlines()} for file in (fresh, GOLDEN))
    assert recorded == kept, f"if that is right: cp {fresh} {GOLDEN}"


def test_parliament_knows_every_action_and_finds_no_resource_or_condition_that_does_not_fit(way, tmp_path):
    python = Path(os.environ.get("FLEETGATE_IAM_PYTHON", ROOT / ".venv-iam/bin/python"))
    program = (
        "import sys; from pathlib import Path; from fleetgate.iam_checks import Document, by_parliament\n"
        "for file in sys.argv[1:]: print(*by_parliament(Document(file, Path(file).read_text())), sep='\\n')"
    )
    way.cloud.run("deployer-policy", "--output", str(tmp_path))
    files = sorted(tmp_path.glob("*.json"))
    variables = os.environ | {"PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run([python, "-c", program, *files], capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0 and len(files) == 2, done.stderr
    # AWS documents these keys for all operations on keys [KMS: condition keys]; parliament's table has them for none.
    undocumented = re.compile(r"Unknown condition kms:(ResourceAliases|Key(Origin|Spec|Usage)) for action kms:\w+")
    assert [line for line in done.stdout.splitlines() if line and not undocumented.search(line)] == []


def test_a_key_of_another_stack_is_neither_tagged_nor_deleted_and_a_new_one_gets_the_stacks_tag(way):
    create = way.cloud.client("kms").create_key
    key, others = (
        create(Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()])["KeyMetadata"]["KeyId"]
        for tags in ({}, {"Project": "IoTProvisioning", "Stack": "pumps"})
    )

    def tag(key_, value="fleetgate", name="Stack"):
        return way.user.tries("kms", "tag_resource", KeyId=key_, Tags=[{"TagKey": name, "TagValue": value}])

    def delete(key_):
        return way.user.tries("kms", "schedule_key_deletion", KeyId=key_)

    assert (tag(key, "pumps"), tag(key, "IoTProvisioning", "Project"), tag(others)) == (False, False, False)
    assert (delete(key), delete(others)) == (False, False)
    way.user.may(without=["TagTheKey"])
    try:
        assert not tag(key)
    finally:
        way.user.may()
    # What AWS leaves no way to forbid to whoever may create keys with tags: docs/deploying.md says so.
    assert tag(key) and delete(key)


@pytest.mark.parametrize(
    "role, service, allowed",
    [
        ("fleetgate-provisioning", "iot.amazonaws.com", True),
        ("fleetgate-census", "lambda.amazonaws.com", True),
        ("fleetgate-census-schedule", "scheduler.amazonaws.com", True),
        ("fleetgate-census", "ec2.amazonaws.com", False),
        ("admin", "lambda.amazonaws.com", False),
    ],
)
def test_roles_are_given_to_the_services_of_the_stack_only(way, role, service, allowed):
    """The embedded cloud asks for no iam:PassRole; its evaluator is asked instead, with the statement and without."""
    from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

    def decision(statements):
        context = EvalContext(
            principal_arn="arn:aws:iam::000000000000:user/deployer",
            principal_type="User",
            principal_account=ACCOUNT,
            action="iam:PassRole",
            resource_arn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            region=REGION,
            service_context={"iam:passedtoservice": service},
        )
        return evaluate(context, [parse_policy_document({"Version": "2012-10-17", "Statement": statements})]).decision

    statements = list(way.user.statements.values())
    assert (decision(statements) == "Allow") is allowed
    assert decision([s for s in statements if s["Sid"] != "GiveRolesToServices"]) != "Allow"


def test_of_two_applies_at_once_one_works_and_the_other_waits_or_says_who_does(way):
    assert way.statuses == (0, 1)
    assert f"is locked by {way.lock.who} since {way.lock.created}, for apply (lock {way.lock.id})" in way.impatient
    assert "--lock-timeout" in way.impatient and f"fleetgate state unlock {way.lock.id} --env e2e" in way.impatient
    assert "Traceback" not in way.impatient and "-lock=false" not in way.impatient
    assert f"waiting: the state is locked by {way.lock.who}" in way.waited
    assert "is stale: somebody has applied to this environment since it was made" in way.waited


def test_a_lock_left_behind_is_named_and_taken_away_by_its_id_only(way):
    lock = way.left_behind
    assert f"(lock {lock.id})" in way.after_kill and f"fleetgate state unlock {lock.id} --env e2e" in way.after_kill
    assert "for plan" in way.after_kill and "closing the gate" not in way.after_kill
    assert "not as 'not-this-one'" in way.wrong_lock
    assert "unlocked" in way.unlocked


def test_a_state_moves_by_command_only_byte_for_byte_and_leaves_none_behind(way):
    for refused in (way.to_a_file, way.to_s3):
        assert "fleetgate state migrate --env e2e" in refused and "Traceback" not in refused
    assert way.in_s3["place"] == way.in_s3_again["place"] == f"s3://{BUCKET}/fleetgate/e2e.tfstate"
    assert way.in_a_file["place"].endswith("build/e2e/terraform.tfstate")
    assert way.in_s3["state"] == way.in_a_file["state"] == way.in_s3_again["state"]
    assert way.in_s3["state"]["resources"] > 50
    assert way.left_in_s3 is None and not way.left_in_a_file
