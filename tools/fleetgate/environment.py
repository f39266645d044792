"""An environment: one account, Region and name prefix, read from `terraform/envs/<name>.yaml`.

AWS and the embedded cloud differ here and nowhere else: in the endpoint, the credentials and the CA file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fleetgate import document
from fleetgate.document import Source, Strict
from fleetgate.errors import FleetgateError, Problem, fail

FOLDER = "terraform/envs"
#: `<prefix>-fleet` names the provisioning template (at most 36 characters), `<prefix>-onboarding-dead-letter` a queue (80).
MAXIMUM_PREFIX = 30

#: Tells every client of this process which account it may talk to (see aws.py).
ACCOUNT_VARIABLE = "FLEETGATE_ACCOUNT_ID"
#: The name of the environment that was entered, for messages.
ENVIRONMENT_VARIABLE = "FLEETGATE_ENVIRONMENT"
DEFAULT_PREFIX = "fleetgate"
#: The tag that tells one stack's resources from another's: its value is the prefix, of which an account has one each.
STACK_TAG = "Stack"
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"

#: Id and secret of other credentials than `test` for the embedded cloud: a rehearsal under the deployer's own policy
#: (docs/deploying.md). Under AWS's own names a developer's account could reach the rehearsal.
REHEARSAL_VARIABLES = ("FLEETGATE_REHEARSAL_ACCESS_KEY_ID", "FLEETGATE_REHEARSAL_SECRET_ACCESS_KEY")


Port = Annotated[int, Field(ge=1, le=65535)]


class EmbeddedCloud(Strict):
    """The rehearsal: where the embedded cloud of this environment listens, on 127.0.0.1."""

    gateway_port: Port = Field(default=4566, description="HTTP port of the AWS APIs.")
    mqtt_port: Port = Field(default=8883, description="MQTT port with mutual TLS.")
    of: str | None = Field(
        default=None,
        description="Another environment, whose embedded cloud this one uses as well: several stacks in one account.",
    )

    @model_validator(mode="after")
    def _ports_differ(self) -> EmbeddedCloud:
        if self.of is not None and len(self.model_fields_set) > 1:
            raise ValueError("of stands beside a port | the ports are those of the environment that it names; leave them out")
        if self.gateway_port == self.mqtt_port:
            raise ValueError("gateway_port and mqtt_port are the same | choose two ports")
        return self


class DeviceEndpoint(Strict):
    """Where devices connect, if not at the account's own `iot:Data-ATS` endpoint (a custom domain, say)."""

    host: str = Field(min_length=1)
    port: Port = 8883
    ca_file: str | None = Field(default=None, description="CA bundle; default: the operating system's.")


def _csr_path(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.csr\.pem", value) or ".." in value:
        raise ValueError(f"{value!r} is not allowed | a path below the repository that ends in .csr.pem")
    return value


class Claim(Strict):
    """One claim certificate. Several stand side by side, so that one can be retired while another is in use."""

    active: bool = True
    maximum_devices: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="How many devices may come in with it before that is an alarm: its key may have leaked."
    )
    csr: Annotated[str, AfterValidator(_csr_path)] | None = Field(
        default=None,
        description="Signing request, relative to the repository; default terraform/envs/<env>-claims/<claim>.csr.pem.",
    )


MAXIMUM_CLAIM_NAME = 40
CLAIM_NAME = rf"[a-z0-9](?:[a-z0-9-]{{0,{MAXIMUM_CLAIM_NAME - 2}}}[a-z0-9])?"
CLAIM_NAME_REMEDY = f"use lower case letters, digits and inner hyphens, at most {MAXIMUM_CLAIM_NAME}"
ClaimName = Annotated[str, StringConstraints(pattern=f"^{CLAIM_NAME}$")]


class StuckAfter(Strict):
    """After how many seconds in a status a device is stuck."""

    provisioned: Annotated[int, Field(ge=60)] = Field(default=86_400, description="A thing, and never connected since.")
    provisioning: Annotated[int, Field(ge=60)] = Field(default=3_600, description="A certificate was made, and no thing.")


def _aws_default(quota: str) -> int:
    """AWS's default of a quota that an environment may say, as `fleetgate capacity` has it."""
    from fleetgate.capacity import tables

    return tables.default_rate(quota)


class Quotas(Strict):
    """What AWS IoT lets devices do in a second, in this account and Region. The names are those of capacity/quotas.toml."""

    create_certificate_from_csr: Annotated[int, Field(ge=1)] = Field(
        default_factory=lambda: _aws_default("create_certificate_from_csr")
    )
    create_keys: Annotated[int, Field(ge=1)] = Field(
        default_factory=lambda: _aws_default("create_keys"), description="CreateKeysAndCertificate."
    )
    register_thing: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: _aws_default("register_thing"))

    @property
    def applied(self) -> dict[str, float]:
        """What the environment's file says, by quota: the rest is AWS's default, which may be another in its Region."""
        return {name: float(getattr(self, name)) for name in sorted(self.model_fields_set)}


def _object_key(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.=/-]{0,511}", value) or "//" in value or value.endswith(("/", ".tflock")):
        raise ValueError(f"{value!r} is not allowed | the key of an object, such as fleetgate/production.tfstate")
    return value


class RemoteState(Strict):
    """Where Terraform's state lies in S3, locked and encrypted there. `fleetgate bootstrap` makes the bucket."""

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")] = Field(
        description="Its name is taken in all of AWS: put the account's number into it."
    )
    key: Annotated[str, AfterValidator(_object_key)] | None = Field(
        default=None, description="Default: <prefix>/<environment>.tfstate."
    )
    region: Annotated[str, StringConstraints(pattern=REGION)] | None = Field(
        default=None, description="The bucket's, if it is not the environment's."
    )
    kms_key_arn: (
        Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")] | None
    ) = Field(default=None, description="Encrypts bucket and state. Default: S3's own key (SSE-S3).")


class Settings(Strict):
    """What an environment file may say."""

    account_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")] = Field(
        description="The only account this environment may touch, 12 digits in quotes."
    )
    region: Annotated[str, StringConstraints(pattern=REGION)]
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$", max_length=MAXIMUM_PREFIX)] = Field(
        default=DEFAULT_PREFIX, description="First part of the name of every AWS resource."
    )
    namespace: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9-]*[a-z0-9])?$", max_length=20)] | None = Field(
        default=None,
        description="First part of things, thing types and groups. Default: none for the prefix `fleetgate`, else the prefix.",
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Besides Project = IoTProvisioning and Stack = prefix.")
    deletion_protection: bool = Field(
        default=True, description="Keeps registry, audit trail and CloudTrail's log files, whoever destroys the rest."
    )
    lease_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=300,
        description="How long a started registration keeps its serial from another certificate; above the service's 5 s budget.",
    )
    log_retention_days: int = Field(
        default=365, description="As CloudWatch Logs knows them: 30, 90, 365 …; who came in is asked about after months."
    )
    manage_event_configurations: bool = Field(
        default=True, description="Registry events are one switch for account and Region: one stack owns it."
    )
    manage_cloudtrail: bool = Field(
        default=False, description="A CloudTrail trail of this stack's own; organisations often have one for all accounts."
    )
    cloudtrail_multi_region: bool = Field(default=True, description="Of that trail: the calls of all Regions, or of this one.")
    manage_device_defender: bool = Field(
        default=True, description="AWS IoT's audits are one configuration for account and Region: one stack owns it."
    )
    manage_alarms: bool = Field(default=True, description="Off only where the cloud keeps none, as the embedded one.")
    alarm_emails: list[str] = Field(default_factory=list, description="Who is asked by mail to subscribe to the alarms.")
    iot_log_level: Literal["", "DEBUG", "INFO", "WARN", "ERROR"] = Field(
        default="INFO", description="AWS IoT's log is one for account and Region: empty where another stack owns it."
    )
    stuck_after_seconds: StuckAfter = Field(default_factory=StuckAfter)
    quotas_per_second: Quotas = Field(
        default_factory=Quotas, description="What the dashboards draw as limits; AWS IoT's defaults. Write what was raised."
    )
    claims: dict[ClaimName, Claim] = Field(min_length=1)
    state: RemoteState | None = Field(default=None, description="Terraform's state in S3. Default: a file under build/.")
    embedded_cloud: EmbeddedCloud | None = None
    device_endpoint: DeviceEndpoint | None = None


class Environment:
    """An environment's settings with its name and the checkout it belongs to.

    cloud_host: the environment whose embedded cloud this one uses; itself, unless its file names another.
    """

    def __init__(self, root: Path, name: str, settings: Settings, cloud_host: Environment | None = None) -> None:
        self.root = root
        self.name = name
        self.settings = settings
        self.cloud_host = cloud_host or self

    @property
    def file(self) -> str:
        return f"{FOLDER}/{self.name}.yaml"

    @property
    def build(self) -> Path:
        """The folder of everything made for this environment; never in version control."""
        return self.root / "build" / self.name

    @property
    def namespace(self) -> str:
        """What the names of things, thing types and groups begin with: "", or something that ends in a hyphen.

        Thing types and groups have no owner on AWS: two stacks that name them alike share them, and the first one that is
        destroyed takes them from the other. So a stack with a prefix of its own gets a namespace of its own.
        """
        settings = self.settings
        chosen = settings.namespace if settings.namespace is not None else settings.prefix * (settings.prefix != DEFAULT_PREFIX)
        return f"{chosen}-" if chosen else ""

    @property
    def tags(self) -> dict[str, str]:
        """What every resource is tagged with. The deployer's policy tells the stack's KMS keys by one of these."""
        return {"Project": "IoTProvisioning", **self.settings.tags, STACK_TAG: self.settings.prefix}

    @property
    def local_state_file(self) -> Path:
        """Terraform's state, unless the environment's file has a section `state`."""
        return self.build / "terraform.tfstate"

    @property
    def partition(self) -> str:
        """What ARNs begin with: China and GovCloud have their own."""
        prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for prefix, name in prefixes.items() if self.settings.region.startswith(prefix)), "aws")

    @property
    def endpoint_url(self) -> str:
        """URL of the AWS APIs, or "" for AWS itself."""
        cloud = self.settings.embedded_cloud
        return f"http://127.0.0.1:{cloud.gateway_port}" if cloud else ""

    @property
    def cloud_ca_file(self) -> Path:
        """The embedded cloud's CA certificate for devices."""
        return self.cloud_folder / "ca.pem"

    @property
    def cloud_folder(self) -> Path:
        """Everything of the embedded cloud: lock, log, state."""
        return self.cloud_host.build / "cloud"

    def claim_folder(self, claim: str) -> Path:
        return self.build / "claims" / claim

    def claim_csr_file(self, claim: str) -> Path:
        csr = self.settings.claims[claim].csr
        if csr:
            return self.root / csr
        if self.settings.embedded_cloud:
            return self.claim_folder(claim) / "csr.pem"
        return self.root / FOLDER / f"{self.name}-claims" / f"{claim}.csr.pem"

    def process_variables(self) -> dict[str, str | None]:
        """The environment variables that point every SDK and Terraform at this environment; None unsets one."""
        variables: dict[str, str | None] = {
            "AWS_REGION": self.settings.region,
            "AWS_DEFAULT_REGION": self.settings.region,
            ACCOUNT_VARIABLE: self.settings.account_id,
            ENVIRONMENT_VARIABLE: self.name,
        }
        if self.settings.embedded_cloud:
            variables |= {
                "AWS_ENDPOINT_URL": self.endpoint_url,
                "AWS_ACCESS_KEY_ID": os.environ.get(REHEARSAL_VARIABLES[0]) or "test",
                "AWS_SECRET_ACCESS_KEY": os.environ.get(REHEARSAL_VARIABLES[1]) or "test",
                "AWS_EC2_METADATA_DISABLED": "true",
                # A profile or token of a real account must not reach the rehearsal, nor the other way round.
                "AWS_SESSION_TOKEN": None,
                "AWS_PROFILE": None,
                "AWS_CA_BUNDLE": None,
            }
        return variables

    def enter(self) -> None:
        """Points this process and its children at the environment."""
        for name, value in self.process_variables().items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def parse(text: str, file: str) -> Settings:
    """Reads an environment file. Raises FleetgateError with all mistakes of it."""
    data, source = document.load(text, file)
    settings, problems = document.validate(data, source, Settings)
    if settings is None:
        raise FleetgateError([_explained(problem) for problem in problems])
    if problems := list(_check(settings, source)):
        raise FleetgateError(problems)
    return settings


def load(root: Path, name: str) -> Environment:
    """The environment `name` of the checkout at `root`."""
    known = _names(root)
    if name not in known:
        remedy = f"use one of {', '.join(known)}, or copy example.yaml"
        raise fail(f"{FOLDER}/{name}.yaml", "there is no such environment", remedy)
    settings = _read(root, name)
    if settings.embedded_cloud is None or settings.embedded_cloud.of is None:
        return Environment(root, name, settings)
    host = _cloud_host(root, name, settings, settings.embedded_cloud.of)
    # With the ports of the cloud that it uses, so that nobody else has to ask whose that is.
    settings = settings.model_copy(update={"embedded_cloud": host.settings.embedded_cloud})
    return Environment(root, name, settings, host)


def _names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if re.fullmatch(r"[a-z0-9][a-z0-9-]*", path.stem))


def _read(root: Path, name: str) -> Settings:
    file = f"{FOLDER}/{name}.yaml"
    return parse(document.read_text(root, file), file)


def _cloud_host(root: Path, name: str, settings: Settings, of: str) -> Environment:
    """The environment `of`, whose embedded cloud the environment `name` uses as well."""
    where = f"{FOLDER}/{name}.yaml embedded_cloud.of"
    others = [other for other in _names(root) if other != name]
    if of not in others:
        raise fail(where, f"{of!r:.80} is no other environment", f"use one of {', '.join(others)}")
    host = Environment(root, of, _read(root, of))
    cloud = host.settings.embedded_cloud
    if cloud is None:
        raise fail(where, f"{of} is on AWS: it has no embedded cloud", "name an environment that has one")
    if cloud.of is not None:
        raise fail(where, f"{of} uses the embedded cloud of {cloud.of}", f"write `of: {cloud.of}`, where that cloud belongs")
    if host.settings.account_id != settings.account_id:
        remedy = f'write account_id: "{host.settings.account_id}", or give it an embedded cloud of its own'
        raise fail(where, f"the embedded cloud of {of} has one account, {host.settings.account_id}", remedy)
    if host.settings.prefix == settings.prefix:
        remedy = "give it another prefix, the same in no other environment of that account"
        raise fail(f"{FOLDER}/{name}.yaml prefix", f"is the one of {of} too, in the same account", remedy)
    return host


_PATTERN_REMEDIES = {
    "account_id": 'write 12 digits in quotes: account_id: "123456789012"',
    "region": "write it like eu-central-1",
    "prefix": f"lower case letters, digits and inner hyphens, 2 to {MAXIMUM_PREFIX}",
    "namespace": "lower case letters, digits and inner hyphens, at most 20",
    "state.bucket": "3 to 63 lower case letters, digits and inner hyphens",
    "state.kms_key_arn": "write the key's ARN: arn:aws:kms:eu-central-1:123456789012:key/…",
    "state.region": "write it like eu-central-1",
}


def _explained(problem: Problem) -> Problem:
    """Replaces the general remedy of a mismatch by the field's own."""
    remedy = _PATTERN_REMEDIES.get(problem.where.rpartition(" ")[2])
    return Problem(problem.where, problem.what, remedy) if remedy and problem.what != "is missing" else problem


def _check(settings: Settings, source: Source) -> Any:
    if settings.embedded_cloud and settings.device_endpoint:
        yield source.problem(("device_endpoint",), "stands beside embedded_cloud", "keep one of the two")
    if settings.log_retention_days not in _RETENTION_DAYS:
        yield source.problem(
            ("log_retention_days",),
            f"{settings.log_retention_days} is not a retention",
            f"use one of {_RETENTION_DAYS}",
        )
    for key, value in settings.tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            yield source.problem(("tags", key), "not a tag", "keys 1 to 128 characters, not aws:…; values at most 256")
        if key.lower() == STACK_TAG.lower():  # in a policy's condition, and for IAM's own tags, case does not count
            yield source.problem(("tags", key), "is fleetgate's own: the stack's prefix", "leave it out, or give it another name")
    if not any(claim.active for claim in settings.claims.values()):
        yield source.problem(("claims",), "no claim is active: no device could come in", "set `active: true` for one")


#: [CloudWatch Logs PutRetentionPolicy]
_RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
