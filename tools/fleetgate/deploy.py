"""From the compiled fleet to running resources and back: plan, apply that plan, destroy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetgate import applied, build, claims, cloud, drain, files, left_behind, state_bucket
from fleetgate.audit import Deed
from fleetgate.build import Fleet
from fleetgate.drain import DeployedType
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem, count, fail
from fleetgate.terraform import FOLDER, LOCK_TIMEOUT, PLAN_FILE, Resource, Runner, State

Say = Callable[[str], None]
_TABLE = "aws_dynamodb_table"
_KEPT = "device registry, audit trail and CloudTrail's log files"

#: A provisioning template keeps five versions; the provider adds one with each edit and never removes any.
MAXIMUM_TEMPLATE_VERSIONS = 5


@dataclass(frozen=True)
class Applied:
    """What an apply did. counts: Terraform's (`1 added, 0 changed, 0 destroyed.`), "" if there was nothing to do.

    outputs: the root module's outputs, by name.
    """

    counts: str
    outputs: dict[str, object]


def plan(
    fleet: Fleet, say: Say, *, verbose: bool = False, json_file: Path | None = None, lock_timeout: str = LOCK_TIMEOUT
) -> bool:
    """Compiles, packages, and saves a plan. Returns whether it holds changes. json_file: where it goes as JSON as well.

    lock_timeout: how long to wait for a state that somebody else works on, as Terraform writes it (`15m`).
    """
    from fleetgate import aws, policy_gate

    environment = fleet.environment
    policy_gate.require(fleet)  # first: it asks nobody, and no cloud makes a wrong policy right
    cloud.require(environment)
    aws.client("iot")  # without credentials, or with another account's, nothing is written either
    _make_missing_claims(environment, say)
    if written := build.write(fleet):
        say(f"  wrote {count(len(written), 'file')} under {environment.build.relative_to(environment.root)}/")
    runner, state = _terraform(environment, say, verbose=verbose, lock_timeout=lock_timeout)
    _record_file(environment).unlink(missing_ok=True)
    say("  comparing with what is there")
    left_behind.require_nothing(fleet, state)
    _refuse_to_strand_devices(fleet, state)
    inputs = _inputs_digest(environment)
    changes = runner.plan(environment.build / build.TFVARS)
    if _inputs_digest(environment) != inputs:  # and nobody knows which of both Terraform has read
        remedy = f"run: fleetgate plan --env {environment.name} again, and change nothing while it runs"
        raise fail("plan", "is stale already: its inputs have changed while it was made", remedy)
    has_to_keep = changes and bool(state.resources) and (environment.settings.deletion_protection or bool(protected(state)))
    planned = runner.plan_as_json() if has_to_keep or json_file is not None else ""  # a run of Terraform: seconds
    if has_to_keep:
        _refuse_to_lose(planned, environment)
    if json_file is not None:
        files.deliver(json_file, planned.encode(), 0o600)  # it has the values that Terraform hides, too
    record = {"changes": changes, "inputs": inputs, "plan": _plan_digest(environment)}
    files.replace(_record_file(environment), (json.dumps(record) + "\n").encode())
    return changes


def apply(environment: Environment, say: Say, *, verbose: bool = False, lock_timeout: str = LOCK_TIMEOUT) -> Applied:
    """Applies the saved plan. Raises FleetgateError if there is none, or if anything it was made from has changed since."""
    cloud.require(environment)
    record = _read_record(environment)
    state_bucket.require(environment)
    state_bucket.wait(environment, say, lock_timeout)
    runner = Runner(environment, say, verbose=verbose, lock_timeout=lock_timeout)
    runner.init()  # the plan may come from another machine
    counts = ""
    if record["changes"]:
        _prune_template_versions(environment, say)
        counts = runner.apply()
        # A plan is good for one apply. What remains says that nothing is left to do for these inputs.
        files.replace(_record_file(environment), (json.dumps({**record, "changes": False}) + "\n").encode())
    outputs = runner.state().outputs
    certificate_ids = outputs["claim_certificate_ids"]
    for path in claims.fetch(environment, certificate_ids):
        say(f"  wrote {path.relative_to(environment.root)}")
    return Applied(counts, outputs)


@dataclass(frozen=True)
class Doomed:
    """What a destroy takes away, as it was found before anybody was asked. protections: what keeps it from that."""

    fleet: Fleet
    runner: Runner
    state: State
    devices: drain.Devices
    protections: list[Problem]

    def steps(self) -> list[str]:
        """In a few lines; what has to be done before comes first."""
        steps = []
        for problem in self.protections:
            steps += [f"refused until this is mended: {problem.where}: {problem.what}", f"  -> {problem.remedy}"]
        if not self.state.resources:
            return [*steps, "nothing: it is not applied"]
        return [*steps, *self.devices.steps(), f"{count(len(self.state.resources), 'resource')} of Terraform's"]


def look_before_destroy(fleet: Fleet, say: Say, *, verbose: bool = False, lock_timeout: str = LOCK_TIMEOUT) -> Doomed:
    """What `destroy` would take away; nothing is changed."""
    environment = fleet.environment
    cloud.require(environment)
    runner, state = _terraform(environment, say, verbose=verbose, lock_timeout=lock_timeout)
    say("  looking for devices")
    devices = drain.find(_table(state), _deployed_types(state))
    return Doomed(fleet, runner, state, devices, [*_protection(environment), *_protected_still(state, environment)])


def destroy(doomed: Doomed, say: Say, deed: Deed) -> int:
    """Takes everything away, the devices first. Returns how many devices there were. deed: gets each step that was taken."""
    if doomed.protections:
        raise FleetgateError(doomed.protections)
    environment, runner, state = doomed.fleet.environment, doomed.runner, doomed.state
    _make_missing_claims(environment, say)
    build.write(doomed.fleet)
    types = _deployed_types(state)
    say("  closing the gate, removing devices")
    for deployed in state.of("aws_iot_provisioning_template"):
        drain.close_gate(deployed.values["name"])
        deed.did(f"provisioning template {deployed.values['name']}: disabled")
    # Again, since the gate was open while somebody was asked.
    devices = drain.find(_table(state), types)
    drain.remove(devices, say, deed, free_serials=False)
    if left := drain.strangers(types):
        shown = ", ".join(left[:10]) + " …" * (len(left) > 10)
        remedy = "remove them, or give them another thing type, then run the same command again"
        raise fail("things", f"{count(len(left), 'thing')} not made by fleetgate with one of its types: {shown}", remedy)
    say("  destroying what Terraform owns")
    step = f"{count(len(state.resources), 'resource')} of Terraform's: destroyed"
    if state.resources:
        deed.begin(step)
    runner.destroy(environment.build / build.TFVARS)
    if state.resources:
        deed.did(step)
        deed.table_is_gone = True
    for path in (_record_file(environment), runner.plan_file):
        path.unlink(missing_ok=True)
    for name in environment.settings.claims:  # the key and its request stay: they make the next claim certificate
        (environment.claim_folder(name) / claims.CERTIFICATE_FILE).unlink(missing_ok=True)
    return len(devices.things)


def require_unprotected(environment: Environment) -> None:
    """Raises FleetgateError if the environment's file protects from deletion what must not go with the rest."""
    if problems := _protection(environment):
        raise FleetgateError(problems)


def _protection(environment: Environment) -> list[Problem]:
    if not environment.settings.deletion_protection:
        return []
    what = f"deletion_protection is on, which is the default: {_KEPT} must not go with the rest"
    remedy = f"if they may: write deletion_protection: false there, run {applied.command(environment)}, then this again"
    return [Problem(environment.file, what, remedy)]


def _protected_still(state: State, environment: Environment) -> list[Problem]:
    """What the file lets go and AWS does not; while the file protects it, that is what has to be said."""
    if environment.settings.deletion_protection or not (kept := protected(state)):
        return []
    remedy = f"the environment's file has switched that off, and AWS not heard of it: run {applied.command(environment)} first"
    return [Problem(", ".join(kept), "still protected from deletion", remedy)]


def _refuse_to_lose(planned: str, environment: Environment) -> None:
    """A destroy is not the only way to lose what is protected: another prefix, say, or no CloudTrail any more, deletes as well.

    Terraform would begin with it, and be stopped by AWS in the middle, if at all: a KMS key has no protection of its own.
    planned: the plan as Terraform's JSON.
    """
    changes = json.loads(planned).get("resource_changes", ())
    gone = State({}, tuple(Resource(c["type"], None, c["change"]["before"] or {}) for c in changes if _deletes(c)))
    keys = [f"KMS key {key.values.get('key_id', '')}" for key in gone.of("aws_kms_key")]
    if lost := [*protected(gone, by_file=environment.settings.deletion_protection), *keys]:
        remedy = (
            "put back what you have changed (prefix, manage_cloudtrail); or, if they may go: write deletion_protection: false in"
            f" {environment.file} and nothing else, run {applied.command(environment)}, then make your change again"
        )
        raise fail(", ".join(lost), "would be deleted by this plan, and deletion_protection is on, here or on AWS", remedy)


def _deletes(change: dict[str, Any]) -> bool:
    # What Terraform could not finish making is empty, and an apply that was cut off has to go on.
    unfinished = change.get("action_reason") == "replace_because_tainted"
    return change.get("mode", "managed") == "managed" and "delete" in change["change"]["actions"] and not unfinished


def plan_aside(fleet: Fleet, say: Say) -> dict[str, Any]:
    """A plan as Terraform's JSON, against what is there now. Nothing of it is kept, and the saved plan stays as it is."""
    from fleetgate import aws

    environment = fleet.environment
    cloud.require(environment)
    aws.client("iot")
    if left := claims.missing(environment):
        raise fail(
            f"claim {left[0]}", "has no signing request", f"run: fleetgate claim create {left[0]} --env {environment.name}"
        )
    build.write(fleet)
    runner, _ = _terraform(environment, say)
    return runner.plan_aside(environment.build / build.TFVARS)


def devices_of(fleet: Fleet, device_type: str, say: Say) -> drain.Devices:
    """The devices of a deployed type, whether or not the catalogue still has it."""
    cloud.require(fleet.environment)
    _, state = _terraform(fleet.environment, say)
    types = _deployed_types(state)
    chosen = [deployed for deployed in types if deployed.name == device_type]
    if not chosen:
        known = ", ".join(sorted(deployed.name for deployed in types)) or "none"
        raise fail(f"--type {device_type!r:.80}", "is not deployed", f"deployed are: {known}")
    return drain.find(_table(state), chosen)


@dataclass(frozen=True)
class Deployed:
    """What Terraform owns of a fleet. table: None if there is none. claims: ids of the claims' certificates."""

    table: str | None
    types: list[DeployedType]
    claims: frozenset[str]


def deployed(fleet: Fleet, say: Say) -> Deployed:
    """What is deployed of the fleet, by Terraform's state: only what that says is surely this fleet's."""
    cloud.require(fleet.environment)
    _, state = _terraform(fleet.environment, say)
    claim_ids = state.outputs.get("claim_certificate_ids") or {}
    return Deployed(_table(state), _deployed_types(state), frozenset(claim_ids.values()))


def _terraform(
    environment: Environment, say: Say, *, verbose: bool = False, lock_timeout: str = LOCK_TIMEOUT
) -> tuple[Runner, State]:
    """Terraform, ready to run, and what it owns now."""
    state_bucket.require(environment)
    state_bucket.wait(environment, say, lock_timeout)
    runner = Runner(environment, say, verbose=verbose, lock_timeout=lock_timeout)
    runner.init()
    return runner, runner.state()


def protected(state: State, *, by_file: bool = False) -> list[str]:
    """What AWS or Terraform would refuse to delete: a destroy that finds it on its way stops in the middle.

    by_file: the environment's file protects all tables and buckets, whether or not AWS has heard of it.
    """
    tables = (table.values for table in state.of(_TABLE))
    buckets = (bucket.values for bucket in state.of("aws_s3_bucket"))
    return sorted(
        [f"table {values['name']}" for values in tables if by_file or values.get("deletion_protection_enabled")]
        + [f"bucket {values['bucket']}" for values in buckets if by_file or not values.get("force_destroy")]
    )


def _table(state: State) -> str | None:
    # The audit trail is a table, too.
    tables = (table.values for table in state.of(_TABLE))
    return next((values["name"] for values in tables if values["hash_key"] == "serialNumber"), None)


def _deployed_types(state: State) -> list[DeployedType]:
    """The types that Terraform owns something of. By the state and not by the catalogue: only what is ours may be drained."""
    policies = {policy.key: policy.values["name"] for policy in state.of("aws_iot_policy") if policy.key}
    thing_types = {kind.key: kind.values["name"] for kind in state.of("aws_iot_thing_type") if kind.key}
    names = sorted({*policies, *thing_types})
    return [DeployedType(name, policies.get(name), thing_types.get(name)) for name in names]


def _refuse_to_strand_devices(fleet: Fleet, state: State) -> None:
    """A type that leaves the catalogue while devices have it would stop an apply half-way: policy and thing type are in use."""
    problems = []
    for deployed in _deployed_types(state):
        kept = fleet.names.types.get(deployed.name)
        if kept is not None and kept.thing_type == deployed.thing_type:
            continue
        if left := drain.strangers([deployed]):
            remedy = (
                f"run: fleetgate drain --type {deployed.name} --env {fleet.environment.name}, or put it back into the catalogue"
            )
            what = f"would be removed, and devices still have it: {count(len(left), 'thing')}"
            problems.append(Problem(f"device type {deployed.name}", what, remedy))
    if problems:
        raise FleetgateError(problems)


def take_over(fleet: Fleet, address: str, identifier: str, say: Say) -> None:
    """Notes in Terraform's state what is there already. Raises FleetgateError if Terraform cannot find it.

    Whose it is, the caller has asked left_behind.require_ours.
    """
    environment = fleet.environment
    build.write(fleet)
    runner, _ = _terraform(environment, say)
    runner.take_over(address, identifier, environment.build / build.TFVARS)


def _make_missing_claims(environment: Environment, say: Say) -> None:
    """On the embedded cloud a claim is made when it is missing; on AWS its key belongs to somebody, who has to ask for it."""
    if environment.settings.embedded_cloud:
        for name in claims.missing(environment):
            with claims.alone(environment):
                claims.create(environment, name)
            say(f"  made claim {name}: key and certificate signing request")


def _prune_template_versions(environment: Environment, say: Say) -> None:
    """Makes room for one more version of the provisioning template."""
    from fleetgate import aws

    iot = aws.client("iot")
    variables = json.loads((environment.build / build.TFVARS).read_text(encoding="utf-8"))
    name = variables["template_name"]
    try:
        deployed = iot.describe_provisioning_template(templateName=name)["templateBody"]
        if json.loads(deployed) == json.loads(variables["template_body"]):
            return
        pages = iot.get_paginator("list_provisioning_template_versions").paginate(templateName=name)
        versions = [version for page in pages for version in page["versions"]]
    except iot.exceptions.ResourceNotFoundException:
        return
    spare = sorted(v["versionId"] for v in versions if not v.get("isDefaultVersion"))
    for version in spare[: max(0, len(versions) - MAXIMUM_TEMPLATE_VERSIONS + 1)]:
        iot.delete_provisioning_template_version(templateName=name, versionId=version)
        say(f"  removed version {version} of template {name}: AWS keeps {MAXIMUM_TEMPLATE_VERSIONS}")


def _record_file(environment: Environment) -> Path:
    return environment.build / "plan.json"


def _read_record(environment: Environment) -> dict[str, object]:
    again = f"run: fleetgate plan --env {environment.name}, then this again (make apply does both)"
    try:
        record = json.loads(_record_file(environment).read_text(encoding="ascii"))
        changes, inputs, planned = record["changes"], record["inputs"], record["plan"]
    except (OSError, ValueError, KeyError, TypeError):
        raise fail(str(_record_file(environment)), "there is no plan to apply", again) from None
    if inputs != _inputs_digest(environment):
        raise fail(str(_record_file(environment)), "the plan is stale: its inputs have changed since", again)
    if changes and planned != _plan_digest(environment):
        raise fail(str(environment.build / PLAN_FILE), "is not the plan that was made with these inputs", again)
    return {"changes": changes, "inputs": inputs, "plan": planned}


def _plan_digest(environment: Environment) -> str:
    """Of the saved plan, which somebody may have made by hand, or with another machine's record."""
    path = environment.build / PLAN_FILE
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _inputs_digest(environment: Environment) -> str:
    """One digest over all that a plan is made from: the compiled build, what that is compiled from, and the Terraform files."""
    digest = hashlib.sha256(json.dumps(build.input_digests(environment), sort_keys=True).encode())
    folder = environment.root / FOLDER
    paths = [p for p in folder.rglob("*.tf") if ".terraform" not in p.parts]
    paths += [environment.root / environment.cloud_host.file]  # it has the ports
    paths += [environment.build / build.TFVARS, *environment.build.glob("*.zip")]
    paths += [environment.claim_csr_file(name) for name in environment.settings.claims]
    for path in sorted(paths):
        content = path.read_bytes() if path.is_file() else b"missing"
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
