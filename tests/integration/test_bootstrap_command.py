"""`fleetgate bootstrap` and `fleetgate state` on a bucket that moto keeps."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from fleetgate import state_bucket

BUCKET = "fleetgate-state-123456789012"
KEY = "fleetgate/moto.tfstate"
KMS = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
ALL_STEPS = [
    f"create the bucket {BUCKET} in us-east-1, account 123456789012",
    "block public access",
    "keep every version of the state",
    "encrypt what is stored, by S3's own key",
    "refuse whoever comes without TLS",
]


@pytest.fixture
def state(fleetgate, checkout):
    """Sets the section `state` of the environment `moto`."""
    path = checkout / "terraform/envs/moto.yaml"
    text = path.read_text(encoding="utf-8")

    def write(section=f"{{bucket: {BUCKET}}}"):
        path.write_text(f"{text}state: {section}\n", encoding="utf-8")

    write()
    return write


@pytest.fixture
def s3(state):
    return boto3.client("s3")


def steps(out):
    return [line.strip() for line in out.splitlines() if line.startswith("  ")]


def configuration(s3):
    return {
        "versions": s3.get_bucket_versioning(Bucket=BUCKET)["Status"],
        "encryption": s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"],
        "public": set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()),
        "ownership": s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"],
        "policy": json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"],
    }


def test_the_bucket_is_made_as_it_must_be_and_a_second_run_changes_nothing(fleetgate, s3):
    status, _, err = fleetgate("bootstrap", "--yes")
    assert status == 0 and steps(err) == ALL_STEPS
    made = configuration(s3)
    assert made["versions"] == "Enabled" and made["public"] == {True}
    assert made["ownership"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert [rule["ApplyServerSideEncryptionByDefault"] for rule in made["encryption"]] == [{"SSEAlgorithm": "AES256"}]
    (statement,) = made["policy"]
    assert statement["Effect"] == "Deny" and statement["Principal"] == "*" and statement["Action"] == "s3:*"
    assert statement["Resource"] == [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    status, out, _ = fleetgate("bootstrap")  # which would ask, if there were anything to do
    assert status == 0 and out == f"nothing to change: the bucket {BUCKET} is there, as it must be\n"
    assert configuration(s3) == made


def test_a_dry_run_shows_the_same_steps_and_makes_nothing(fleetgate, s3):
    status, out, _ = fleetgate("bootstrap", "--dry-run")
    assert status == 0 and steps(out) == ALL_STEPS
    assert s3.list_buckets()["Buckets"] == []


def test_without_a_yes_nothing_is_made(fleetgate, s3):
    status, _, err = fleetgate("bootstrap")
    assert status == 1 and "Nobody is there to answer" in err and "add --yes" in err
    assert s3.list_buckets()["Buckets"] == []


def test_what_somebody_has_changed_since_is_put_right_and_nothing_else(fleetgate, s3):
    fleetgate("bootstrap", "--yes")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_public_access_block(Bucket=BUCKET)
    other = {
        "Sid": "Theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteBucket",
        "Resource": f"arn:aws:s3:::{BUCKET}",
    }
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [other]}))
    status, _, err = fleetgate("bootstrap", "--yes")
    assert status == 0
    assert steps(err) == ["block public access", "keep every version of the state", "refuse whoever comes without TLS"]
    assert [s["Sid"] for s in configuration(s3)["policy"]] == ["Theirs", "TlsOnly"]


def test_a_key_of_ones_own_encrypts(fleetgate, s3, state):
    state(f"{{bucket: {BUCKET}, kms_key_arn: '{KMS}'}}")
    assert fleetgate("bootstrap", "--yes")[0] == 0
    (rule,) = configuration(s3)["encryption"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KMS}
    assert rule["BucketKeyEnabled"] is True


def test_a_bucket_in_another_region_is_refused(fleetgate, s3):
    boto3.client("s3", region_name="eu-central-1").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    status, _, err = fleetgate("bootstrap", "--yes")
    assert status == 1 and "is in eu-central-1, not in us-east-1" in err and "state.region: eu-central-1" in err


def test_a_bucket_elsewhere_is_made_and_found_there(fleetgate, s3, state):
    state(f"{{bucket: {BUCKET}, region: eu-central-1}}")
    assert fleetgate("bootstrap", "--yes")[0] == 0
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "eu-central-1"
    assert "nothing to change" in fleetgate("bootstrap")[1]


@pytest.fixture
def answers(monkeypatch, state):
    """The real client's boundary: neither moto nor the embedded cloud looks at ExpectedBucketOwner."""
    client = boto3.session.Session(region_name="us-east-1").client("s3")
    with Stubber(client) as stub:
        monkeypatch.setattr("fleetgate.aws.client", lambda service, region=None: client)
        yield stub


def test_a_bucket_of_somebody_elses_is_refused_by_its_owner_before_anything_else(fleetgate, answers):
    asked = {"Bucket": BUCKET, "ExpectedBucketOwner": "123456789012"}
    answers.add_client_error("head_bucket", "403", http_status_code=403, expected_params=asked)
    status, out, err = fleetgate("bootstrap", "--yes")
    assert status == 1 and out == ""
    assert "belongs to another account than 123456789012, or these credentials may not use it" in err
    answers.assert_no_pending_responses()


def test_a_name_that_somebody_takes_in_the_same_moment_is_refused(fleetgate, answers):
    answers.add_client_error("head_bucket", "404", http_status_code=404)
    answers.add_client_error("create_bucket", "BucketAlreadyExists", http_status_code=409)
    status, _, err = fleetgate("bootstrap", "--yes")
    assert status == 1 and "belongs to somebody else" in err and "choose another name" in err


def test_every_call_on_the_bucket_names_the_account_that_must_own_it(fleetgate, s3, monkeypatch):
    seen = []
    call = state_bucket._Bucket.call

    def listening(bucket, operation, **arguments):
        bucket._s3.meta.events.register(
            "provide-client-params.s3.*", lambda params, model, **_: seen.append((model.name, params)), unique_id="seen"
        )
        return call(bucket, operation, **arguments)

    monkeypatch.setattr(state_bucket._Bucket, "call", listening)
    fleetgate("bootstrap", "--yes")
    fleetgate("bootstrap", "--yes")
    fleetgate("state", "show")
    assert len(seen) > 12
    assert {name for name, params in seen if params.get("ExpectedBucketOwner") != "123456789012"} == {"CreateBucket"}


def test_an_environment_whose_state_is_a_file_needs_no_bucket(fleetgate):
    status, _, err = fleetgate("bootstrap", "--yes")
    assert status == 1 and "has no section `state`" in err and "state: {bucket:" in err


@pytest.fixture
def bucket(s3):
    """Without the policy: moto takes it for a refusal of everybody, with TLS or without."""
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3


def put(s3, key, value):
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(value).encode())


LOCK = {"ID": "42", "Who": "ada@workstation", "Created": "2026-11-27T11:19:11.81Z", "Operation": "OperationTypeApply"}


def test_a_state_without_its_bucket_names_the_command_that_makes_it(fleetgate, s3):
    status, _, err = fleetgate("state", "show")
    assert status == 1 and "is not there" in err and "fleetgate bootstrap --env moto" in err


def test_state_show_says_where_what_and_who(fleetgate, bucket):
    status, out, _ = fleetgate("state", "show")
    assert (status, out) == (0, f"state of environment moto: s3://{BUCKET}/{KEY}\n  nothing yet\n  not locked\n")
    put(bucket, KEY, {"lineage": "one", "serial": 3, "resources": [{"mode": "managed", "instances": [{}]}]})
    put(bucket, f"{KEY}.tflock", LOCK)
    out = fleetgate("state", "show")[1]
    assert "1 resource, serial 3, lineage one" in out
    assert "locked by ada@workstation since 2026-11-27 11:19:11 UTC, for apply (lock 42)" in out
    shown = json.loads(fleetgate("state", "show", "--json")[1])
    assert shown["state"] == {"lineage": "one", "resources": 1, "serial": 3} and shown["lock"]["id"] == "42"


@pytest.mark.parametrize("body", [b"", b"\xff"], ids=["empty", "no text"])
def test_a_lock_that_nobody_can_read_is_a_lock_and_a_state_of_that_kind_is_told(fleetgate, bucket, body):
    bucket.put_object(Bucket=BUCKET, Key=f"{KEY}.tflock", Body=body)
    out = fleetgate("state", "show")[1]
    assert "locked by somebody since an unknown time" in out and "not locked" not in out
    if body:
        bucket.put_object(Bucket=BUCKET, Key=KEY, Body=body)
        status, _, err = fleetgate("state", "show")
        assert status == 1 and f"s3://{BUCKET}/{KEY}: is no state of Terraform" in err


def test_only_the_lock_that_was_named_is_taken_away(fleetgate, registry, bucket, monkeypatch):
    assert fleetgate("state", "unlock", "42", "--yes")[:2] == (0, "nothing to unlock: nobody holds the state\n")
    put(bucket, f"{KEY}.tflock", LOCK)
    status, _, err = fleetgate("state", "unlock", "41", "--yes")
    assert status == 1 and "as 42, not as '41'" in err
    status, _, err = fleetgate("state", "unlock", "42")
    assert status == 1 and "If that process still runs, both will write" in err
    status, out, err = fleetgate("state", "unlock", "42", "--dry-run")
    assert status == 0 and "lock 42 of ada@workstation" in out and "nothing was changed (--dry-run)" in err
    assert bucket.head_object(Bucket=BUCKET, Key=f"{KEY}.tflock")
    monkeypatch.setattr("fleetgate.terraform.Runner.init", lambda self: None)
    monkeypatch.setattr(
        "fleetgate.terraform.Runner.unlock", lambda self, lock: bucket.delete_object(Bucket=BUCKET, Key=f"{KEY}.tflock")
    )
    assert fleetgate("state", "unlock", "42", "--yes")[0] == 0
    [deed] = registry.trail()
    assert (deed["operation"], deed["subject"], deed["complete"]) == ("STATE UNLOCK", "moto", True)
    assert "ada@workstation" in deed["done"][0]


def test_whoever_waits_for_a_state_hears_for_whom_and_for_how_long_at_most(fleetgate, bucket, checkout, monkeypatch):
    from fleetgate import environment

    put(bucket, f"{KEY}.tflock", LOCK)
    said = []
    moto = environment.load(checkout, "moto")
    monkeypatch.setattr("time.sleep", lambda _: bucket.delete_object(Bucket=BUCKET, Key=f"{KEY}.tflock"))
    state_bucket.wait(moto, said.append, "30s")
    assert said == ["  waiting: the state is locked by ada@workstation since 2026-11-27 11:19:11 UTC, for apply"]


@pytest.fixture
def moto(bucket, checkout, monkeypatch):
    """The environment, and this process in it, for what is called in process."""
    from fleetgate import environment

    found = environment.load(checkout, "moto")
    for name, value in found.process_variables().items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    return found


def test_a_copy_never_replaces_a_state_that_somebody_has_stored_meanwhile(moto, bucket):
    from fleetgate.errors import FleetgateError

    state_bucket.write(moto, '{"lineage": "one", "serial": 1, "resources": [{"mode": "managed", "instances": [{}]}]}')
    with pytest.raises(FleetgateError, match="is a state already"):
        state_bucket.write(moto, '{"lineage": "two", "serial": 1, "resources": []}')
    assert json.loads(state_bucket.read(moto))["lineage"] == "one"
    state_bucket.remove(moto)
    assert state_bucket.read(moto) == "" and len(bucket.list_object_versions(Bucket=BUCKET)["Versions"]) == 1
    with state_bucket.held(moto), pytest.raises(FleetgateError, match="for migration"), state_bucket.held(moto):
        pass
    with pytest.raises(ClientError):
        bucket.head_object(Bucket=BUCKET, Key=f"{KEY}.tflock")


def test_the_lock_goes_with_the_work_also_if_that_failed(moto):
    with pytest.raises(KeyError, match="went wrong"), state_bucket.held(moto):
        raise KeyError("what went wrong")
    assert state_bucket.lock(moto) is None


@pytest.mark.parametrize("other", ["other", None], ids=["given to somebody else", "taken away"])
@pytest.mark.parametrize("mishap", [None, KeyError("what went wrong")], ids=["and the work done", "and the work failed"])
def test_a_lock_that_is_somebody_elses_by_now_stays(moto, bucket, other, mishap):
    from fleetgate.errors import FleetgateError

    lock = {"Bucket": BUCKET, "Key": f"{KEY}.tflock"}
    with pytest.raises(KeyError if mishap else FleetgateError, match="went wrong" if mishap else "taken the lock away"):  # noqa: SIM117
        with state_bucket.held(moto):
            bucket.delete_object(**lock)  # as `state unlock` does
            if other:
                bucket.put_object(**lock, Body=json.dumps({"ID": other, "Who": "ada@workstation"}).encode())
            if mishap:
                raise mishap
    left = state_bucket.lock(moto)
    assert (left.id if left else None) == other


def test_a_lock_that_comes_between_the_last_look_and_the_removal_stays(moto, bucket, monkeypatch):
    from fleetgate.errors import FleetgateError

    look = state_bucket._Bucket.content

    def look_and_lose(self, key):
        found = look(self, key)
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b'{"ID": "other"}')
        return found

    with pytest.raises(FleetgateError, match="taken the lock away"), state_bucket.held(moto):
        monkeypatch.setattr(state_bucket._Bucket, "content", look_and_lose)
    monkeypatch.undo()
    assert json.loads(bucket.get_object(Bucket=BUCKET, Key=f"{KEY}.tflock")["Body"].read()) == {"ID": "other"}


@pytest.mark.parametrize("operation", ["get_object", "delete_object"])
@pytest.mark.parametrize("mishap", [None, KeyError("what went wrong")], ids=["and the work done", "and the work failed"])
def test_a_lock_that_cannot_be_removed_is_told_and_does_not_hide_why_the_work_failed(moto, monkeypatch, operation, mishap):
    call = state_bucket._Bucket.call

    def refused(self, name, **arguments):
        if name == operation:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not allowed"}}, name)
        return call(self, name, **arguments)

    with pytest.raises(KeyError if mishap else ClientError, match="went wrong" if mishap else "not allowed"):  # noqa: SIM117
        with state_bucket.held(moto):
            monkeypatch.setattr(state_bucket._Bucket, "call", refused)
            if mishap:
                raise mishap
    monkeypatch.setattr(state_bucket._Bucket, "call", call)
    assert state_bucket.lock(moto) is not None  # which the next command names


TEXT = '{"version": 4, "lineage": "one", "serial": 3, "resources": [{"mode": "managed", "instances": [{}]}]}\n'


@pytest.fixture
def interrupted(monkeypatch):
    """Everything but Terraform's own part, at which it is interrupted."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fleetgate.terraform.Runner.init_again", interrupt)


def places(checkout, s3):
    folder = checkout / "build/moto"
    files = {path.name: path.read_text() for path in folder.glob("terraform.tfstate*")}
    objects = {o["Key"]: s3.get_object(Bucket=BUCKET, Key=o["Key"])["Body"].read().decode() for o in listed(s3)}
    return files, objects


def listed(s3):
    return s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])


def test_a_file_moves_into_s3_and_whoever_interrupts_it_finds_one_state(fleetgate, registry, bucket, checkout, interrupted):
    folder = checkout / "build/moto"
    folder.mkdir(parents=True)
    (folder / "terraform.tfstate").write_text(TEXT)
    assert fleetgate("state", "migrate", "--dry-run")[0] == 0 and places(checkout, bucket) == ({"terraform.tfstate": TEXT}, {})
    assert "Nobody is there" in fleetgate("state", "migrate")[2] and places(checkout, bucket) == ({"terraform.tfstate": TEXT}, {})
    assert fleetgate("state", "migrate", "--yes")[0] == 130
    [deed] = registry.trail()
    assert (deed["operation"], deed["complete"]) == ("STATE MIGRATE", False) and f"s3://{BUCKET}/{KEY}" in deed["done"][0]
    assert places(checkout, bucket) == ({"terraform.tfstate.3.migrated": TEXT}, {KEY: TEXT})
    assert (folder / "terraform.tfstate.3.migrated").stat().st_mode & 0o777 == 0o600
    assert fleetgate("state", "migrate", "--yes")[:2] == (0, "nothing to move: the state is where the environment's file says\n")


def test_a_state_moves_out_of_s3_and_until_terraform_knows_every_run_finishes_that(
    fleetgate, bucket, checkout, interrupted, state
):
    data = checkout / "build/moto/terraform"
    data.mkdir(parents=True)
    config = {"bucket": BUCKET, "key": KEY, "region": "us-east-1"}
    (data / "terraform.tfstate").write_text(json.dumps({"backend": {"type": "s3", "config": config}}))
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body=TEXT.encode())
    path = checkout / "terraform/envs/moto.yaml"
    path.write_text(path.read_text().partition("state:")[0])
    for _ in range(2):
        status, _, err = fleetgate("state", "migrate", "--yes")
        assert status == 130, err
        assert places(checkout, bucket) == ({"terraform.tfstate": TEXT}, {})
    assert (checkout / "build/moto/terraform.tfstate").stat().st_mode & 0o777 == 0o600
    assert len(bucket.list_object_versions(Bucket=BUCKET, Prefix=KEY)["Versions"]) >= 1


def test_a_copy_that_was_interrupted_before_the_old_one_went_is_finished(fleetgate, bucket, checkout, interrupted):
    folder = checkout / "build/moto"
    folder.mkdir(parents=True)
    (folder / "terraform.tfstate").write_text(TEXT)
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body=TEXT.encode())
    assert fleetgate("state", "migrate", "--yes")[0] == 130
    assert places(checkout, bucket) == ({"terraform.tfstate.3.migrated": TEXT}, {KEY: TEXT})


def test_two_states_are_told_and_neither_is_touched(fleetgate, bucket, checkout):
    folder = checkout / "build/moto"
    folder.mkdir(parents=True)
    (folder / "terraform.tfstate").write_text(TEXT)
    other = TEXT.replace("one", "two")
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body=other.encode())
    status, _, err = fleetgate("state", "migrate", "--yes")
    assert status == 1 and "has two states" in err and "lineage one" in err and "lineage two" in err
    assert places(checkout, bucket) == ({"terraform.tfstate": TEXT}, {KEY: other})


def test_a_state_that_somebody_works_on_is_not_moved(fleetgate, bucket, checkout):
    import subprocess
    import sys

    folder = checkout / "build/moto"
    folder.mkdir(parents=True)
    (folder / "terraform.tfstate").write_text(TEXT)
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program, folder / "terraform.tfstate"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker.stdout.readline()
    status, _, err = fleetgate("state", "migrate", "--yes")
    worker.communicate()
    assert status == 1 and "Terraform works on it" in err
    assert places(checkout, bucket) == ({"terraform.tfstate": TEXT}, {})
