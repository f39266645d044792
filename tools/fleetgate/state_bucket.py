"""The bucket of Terraform's state: what it must be like, what is missing of that, and what lies in it.

The one resource that Terraform cannot own, since its own state lies there. What is missing is a list of steps, of which each says
beforehand what it does; where nothing is missing, the list is empty.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate import aws, remote_state
from fleetgate.environment import Environment, RemoteState
from fleetgate.errors import FleetgateError, fail

_ABSENT = ("404", "NoSuchBucket", "NoSuchKey", "NotFound")
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
_REFUSED = ("403", "AccessDenied", "Forbidden")
#: Answers to questions about what a bucket has not.
_UNSET = (
    "NoSuchBucketPolicy",
    "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
)
TLS_ONLY = "TlsOnly"
_PUBLIC_ACCESS = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)


@dataclass(frozen=True)
class Step:
    """One change: what it does, in words, and the call that does it."""

    what: str
    run: Callable[[], Any]


def settings(environment: Environment) -> RemoteState:
    """The section `state` of the environment's file. Raises FleetgateError if there is none."""
    if environment.settings.state is None:
        remedy = "add a section to it, for example state: {bucket: NAME-OF-YOUR-BUCKET}"
        raise fail(environment.file, "has no section `state`: its state is a local file and needs no bucket", remedy)
    return environment.settings.state


def require(environment: Environment) -> None:
    """Raises FleetgateError unless the environment's state is a local file, or its bucket is there and this account's."""
    if environment.settings.state is not None and not _Bucket(environment).exists():
        where = f"state bucket {environment.settings.state.bucket}"
        raise fail(where, "is not there", f"run once: fleetgate bootstrap --env {environment.name} (or make bootstrap)")


def plan(environment: Environment) -> list[Step]:
    """What is missing of the bucket, in the order in which it has to be done; [] if nothing is.

    Raises FleetgateError if the bucket is somebody else's or in another Region.
    """
    bucket = _Bucket(environment)
    there = bucket.exists()
    return [*bucket.creation(there), *bucket.configuration(there)]


def read(environment: Environment) -> str:
    """The state's text, "" if there is none yet."""
    content = _Bucket(environment).content(remote_state.key(environment, settings(environment))) or b""
    try:
        return content.decode()
    except UnicodeDecodeError:
        remedy = "look at it before anything else; its bucket keeps the versions before"
        raise fail(remote_state.place(environment).name, "is no state of Terraform: no UTF-8 text", remedy) from None


def write(environment: Environment, text: str) -> None:
    """Stores a state where there is none, or one that owns nothing. Raises FleetgateError if somebody else has stored one."""
    state, bucket = settings(environment), _Bucket(environment)
    found = remote_state.summarize(read(environment))
    if found is not None and not found.resources:
        remove(environment)
    encryption = {"ServerSideEncryption": "AES256"}
    if state.kms_key_arn:
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": state.kms_key_arn}
    key, kind = remote_state.key(environment, state), "application/json"
    try:
        bucket.call("put_object", Key=key, Body=text.encode(), ContentType=kind, IfNoneMatch="*", **encryption)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _TAKEN:
            raise
        raise fail(remote_state.place(environment).name, "is a state already", "look at both before anything else") from None


def lock(environment: Environment) -> remote_state.Lock | None:
    """Who holds the state now. Terraform heeds any object of that name, also one that is empty or that nobody can read."""
    content = _Bucket(environment).content(f"{remote_state.key(environment, settings(environment))}.tflock")
    return None if content is None else remote_state.read_lock(content.decode(errors="replace"))


def wait(environment: Environment, say: Callable[[str], None], lock_timeout: str) -> None:
    """Waits while somebody works on a state in S3, and says who. Raises FleetgateError if that takes too long.

    Terraform has a lock of its own; but what is read before that, in the middle of another's apply, is only half of it.
    """
    if environment.settings.state is None:
        return
    deadline, told = time.monotonic() + seconds(lock_timeout), ""
    while held := lock(environment):
        if time.monotonic() >= deadline:
            raise remote_state.locked(environment, held)
        if held.id != told:
            say(f"  waiting: the state is locked by {held}")
            told = held.id
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))


@contextmanager
def held(environment: Environment) -> Iterator[None]:
    """Locks the state as Terraform does. Raises FleetgateError if somebody else holds it, or has taken it away meanwhile.

    Whoever was given the lock by `state unlock` in between works on the state now: that lock is not ours to remove.
    """
    bucket = _Bucket(environment)
    key = f"{remote_state.key(environment, settings(environment))}.tflock"
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    now = datetime.now(UTC).isoformat()
    body = {"ID": str(uuid.uuid4()), "Operation": "migration", "Info": "", "Who": who, "Version": "", "Created": now, "Path": key}
    try:
        etag = bucket.call("put_object", Key=key, Body=json.dumps(body).encode(), IfNoneMatch="*")["ETag"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _TAKEN:
            raise
        raise remote_state.locked(environment, lock(environment) or remote_state.read_lock("")) from None
    try:
        yield
    except BaseException:
        # What the work died of is to be seen. A lock that stays is named by the next command, with the way to take it away.
        with suppress(BotoCoreError, ClientError):
            _release(bucket, key, body["ID"], etag)
        raise
    if not _release(bucket, key, body["ID"], etag):
        remedy = f"see who was at work: fleetgate state show --env {environment.name}; then run the same command again"
        raise fail(remote_state.place(environment).name, "somebody has taken the lock away while this worked", remedy)


def _release(bucket: _Bucket, key: str, identifier: str, etag: str) -> bool:
    """Removes the lock of this id. Returns whether it was still there.

    S3 removes it by its ETag, so one that has come between the look and the call stays [S3: conditional deletes]. The embedded
    cloud does not look at that: there the look alone has to do.
    """
    content = bucket.content(key)
    if content is None or remote_state.read_lock(content.decode(errors="replace")).id != identifier:
        return False
    try:
        bucket.call("delete_object", Key=key, IfMatch=etag)
    except ClientError as error:
        if error.response["Error"]["Code"] in (*_TAKEN, *_ABSENT):
            return False
        raise
    return True


def seconds(text: str) -> int:
    """`90s`, `15m`, `1h`."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def remove(environment: Environment) -> None:
    """Removes the state. The bucket's versioning keeps what it was."""
    bucket = _Bucket(environment)
    bucket.call("delete_object", Key=remote_state.key(environment, settings(environment)))


class _Bucket:
    """Calls on the bucket, each with the account that must own it: a name that somebody else took first gets nothing of ours."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._state = settings(environment)
        self._region = remote_state.region(environment, self._state)
        self._s3 = aws.client("s3", self._region)

    def call(self, operation: str, **arguments: Any) -> Any:
        owner = {} if operation == "create_bucket" else {"ExpectedBucketOwner": self._environment.settings.account_id}
        return getattr(self._s3, operation)(Bucket=self._state.bucket, **arguments, **owner)

    def exists(self) -> bool:
        where = f"state bucket {self._state.bucket}"
        try:
            found = self.call("head_bucket")
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in _ABSENT:
                return False
            if code in _REFUSED:
                account = self._environment.settings.account_id
                remedy = "use another bucket, or credentials of the account that may list it"
                raise fail(
                    where, f"belongs to another account than {account}, or these credentials may not use it", remedy
                ) from None
            if code in ("301", "PermanentRedirect"):
                headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                raise self._elsewhere(headers.get("x-amz-bucket-region", "another Region")) from None
            raise
        region = found.get("BucketRegion") or self._region
        if region != self._region:
            raise self._elsewhere(region)
        return True

    def _elsewhere(self, region: str) -> FleetgateError:
        where = f"state bucket {self._state.bucket}"
        return fail(where, f"is in {region}, not in {self._region}", f"write state.region: {region} in {self._environment.file}")

    def creation(self, there: bool) -> Iterator[Step]:
        if there:
            return
        options: dict[str, Any] = {"ObjectOwnership": "BucketOwnerEnforced"}
        if self._region != "us-east-1":  # which S3 takes for no constraint at all
            options["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        what = f"create the bucket {self._state.bucket} in {self._region}, account {self._environment.settings.account_id}"
        yield Step(what, lambda: self._create(options))

    def _create(self, options: dict[str, Any]) -> None:
        try:
            self.call("create_bucket", **options)
        except ClientError as error:
            if error.response["Error"]["Code"] == "BucketAlreadyExists":
                where = f"state bucket {self._state.bucket}"
                raise fail(where, "belongs to somebody else", f"choose another name in {self._environment.file}") from None
            raise

    def configuration(self, there: bool) -> Iterator[Step]:
        """What is not as it must be. there: whether the bucket can be asked."""

        def has(operation: str, *path: str) -> Any:
            return self._ask(operation, *path) if there else None

        if (
            has("get_bucket_ownership_controls", "OwnershipControls", "Rules") != [{"ObjectOwnership": "BucketOwnerEnforced"}]
            and there
        ):
            rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
            yield self._step(
                "switch access lists off: objects are the bucket owner's",
                "put_bucket_ownership_controls",
                OwnershipControls=rules,
            )
        if has("get_public_access_block", "PublicAccessBlockConfiguration") != _PUBLIC_ACCESS:
            yield self._step("block public access", "put_public_access_block", PublicAccessBlockConfiguration=_PUBLIC_ACCESS)
        if has("get_bucket_versioning", "Status") != "Enabled":
            enabled = {"Status": "Enabled"}
            yield self._step("keep every version of the state", "put_bucket_versioning", VersioningConfiguration=enabled)
        wanted = _encryption(self._state)
        rules = has("get_bucket_encryption", "ServerSideEncryptionConfiguration", "Rules")
        if not _is_encrypted(rules, wanted):
            how = f"by the key {self._state.kms_key_arn}" if self._state.kms_key_arn else "by S3's own key"
            yield self._step(
                f"encrypt what is stored, {how}",
                "put_bucket_encryption",
                ServerSideEncryptionConfiguration={"Rules": [wanted]},
            )
        if self._environment.endpoint_url.startswith("http:"):
            return  # the embedded cloud speaks no TLS: under this policy nobody but its root could read the state
        policy = json.loads(has("get_bucket_policy", "Policy") or '{"Version": "2012-10-17", "Statement": []}')
        statement = _tls_only(f"arn:{self._environment.partition}:s3:::{self._state.bucket}")
        written = policy["Statement"]
        present = written if isinstance(written, list) else [written]  # IAM takes one alone, too
        if statement not in present:
            others = [s for s in present if s.get("Sid") != TLS_ONLY]
            text = json.dumps({**policy, "Statement": [*others, statement]})
            yield self._step("refuse whoever comes without TLS", "put_bucket_policy", Policy=text)

    def _step(self, what: str, operation: str, **arguments: Any) -> Step:
        return Step(what, lambda: self.call(operation, **arguments))

    def _ask(self, operation: str, *path: str) -> Any:
        try:
            found = self.call(operation)
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNSET:
                return None
            raise
        for name in path:
            found = (found or {}).get(name)
        return found

    def content(self, key: str) -> bytes | None:
        """None if there is no such object."""
        try:
            return bytes(self.call("get_object", Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return None
            raise


def _encryption(state: RemoteState) -> dict[str, Any]:
    if state.kms_key_arn is None:
        return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": state.kms_key_arn}
    return {"ApplyServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": True}


def _is_encrypted(rules: Any, wanted: dict[str, Any]) -> bool:
    """Whether the rules are what is wanted; S3 adds fields of its own, such as BucketKeyEnabled: false."""
    return any(all(rule.get(name) == value for name, value in wanted.items()) for rule in rules or ())


def _tls_only(arn: str) -> dict[str, Any]:
    """[S3 security best practices: enforce encryption of data in transit]"""
    return {
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Principal": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
