"""Compiles catalogue, environment, policy templates and Lambda sources into `build/<env>/`: the only place where inputs are read.

Pure in the sense that matters: the same inputs give the same bytes, and running it twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetgate import catalogue, decisions, files, names, package, policies, template
from fleetgate.catalogue import Catalogue
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.names import Names
from fleetgate.policies import Policy

TFVARS = "fleet.tfvars.json"


@dataclass(frozen=True)
class Fleet:
    """A compiled fleet: what every tool works with, whether or not it has been written to `build/`."""

    environment: Environment
    catalogue: Catalogue
    names: Names
    policies: dict[str, Policy]
    template_body: dict[str, Any]


def compile_fleet(environment: Environment) -> Fleet:
    """Reads and checks everything. Raises FleetgateError; writes nothing."""
    fleet_catalogue = catalogue.read(environment.root)
    fleet_names = names.derive(fleet_catalogue, environment)
    rendered = policies.render(fleet_catalogue, environment, fleet_names, policies.loader(environment.root))
    return Fleet(environment, fleet_catalogue, fleet_names, rendered, template.render(fleet_catalogue))


def write(fleet: Fleet) -> list[Path]:
    """Writes policies, template body, packages and Terraform variables; returns the files whose content is new.

    Needs every claim's CSR. Nothing is written before everything is known to be right.
    """
    environment = fleet.environment
    packages = {f: package.build(environment.root, f, fleet.catalogue, fleet.names) for f in package.FUNCTIONS}
    written: dict[str, bytes] = {f"{name}.zip": content for name, content in packages.items()}
    written |= {f"policies/{name}.json": policies.to_text(policy).encode() for name, policy in fleet.policies.items()}
    written["template.json"] = (json.dumps(fleet.template_body, indent=2) + "\n").encode()
    written[TFVARS] = (json.dumps(tfvars(fleet, packages), indent=2, sort_keys=True) + "\n").encode()
    _forget_removed_types(environment.build / "policies", set(fleet.policies))
    return [path for name, content in written.items() if _replace(path := environment.build / name, content)]


def tfvars(fleet: Fleet, packages: dict[str, bytes]) -> dict[str, Any]:
    """The root module's variables."""
    environment, fleet_names, settings = fleet.environment, fleet.names, fleet.environment.settings
    return {
        "account_id": settings.account_id,
        "alarm_emails": settings.alarm_emails,
        "claim_client_id_prefix": fleet_names.claim_client_prefix,
        "claim_policy": policies.to_document(fleet.policies["claim"]),
        "claim_policy_name": fleet_names.claim_policy,
        "claims": {
            name: {"active": claim.active, "csr_pem": _csr(environment, name), "maximum_devices": claim.maximum_devices}
            for name, claim in settings.claims.items()
        },
        "cloudtrail_multi_region": settings.cloudtrail_multi_region,
        "deletion_protection": settings.deletion_protection,
        "denial_reasons": list(decisions.DENIALS),
        "device_types": {
            name: {
                "description": kind.description,
                "group_name": fleet_names.types[name].group,
                "policy": policies.to_document(fleet.policies[name]),
                "policy_name": fleet_names.types[name].policy,
                "thing_type_name": fleet_names.types[name].thing_type,
            }
            for name, kind in fleet.catalogue.device_types.items()
        },
        "endpoint_url": environment.endpoint_url,
        "environment": environment.name,
        "functions": {
            name: {
                "package": f"build/{environment.name}/{name}.zip",
                "source_code_hash": package.source_code_hash(content),
            }
            for name, content in packages.items()
        },
        "input_digests": input_digests(environment),
        "iot_log_level": settings.iot_log_level,
        "lease_seconds": settings.lease_seconds,
        "log_retention_days": settings.log_retention_days,
        "manage_alarms": settings.manage_alarms,
        "manage_cloudtrail": settings.manage_cloudtrail,
        "manage_device_defender": settings.manage_device_defender,
        "manage_event_configurations": settings.manage_event_configurations,
        "parent_group_name": fleet_names.parent_group,
        "prefix": settings.prefix,
        "quotas_per_second": settings.quotas_per_second.model_dump(),
        "region": settings.region,
        "stuck_after_seconds": settings.stuck_after_seconds.model_dump(),
        "tags": environment.tags,
        "template_body": template.to_document(fleet.template_body),
        "template_name": fleet_names.template,
        "thing_name_prefixes": [t.thing_prefix for t in fleet_names.types.values()],
    }


def input_digests(environment: Environment) -> dict[str, str]:
    """SHA-256 of every file the build is made from; a Terraform validation compares them: a stale build cannot be planned."""
    root = environment.root
    paths = [root / catalogue.FILE, root / environment.file]
    paths += (root / policies.FOLDER).glob("*.json.j2")
    paths += (root / package.FOLDER).rglob("*.py")
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def _csr(environment: Environment, claim: str) -> str:
    path = environment.claim_csr_file(claim)
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a PEM file"
        where = f"{environment.file} claims.{claim}"
        remedy = f"run: fleetgate claim create {claim} --env {environment.name}"
        raise fail(where, f"no certificate signing request at {path}: {reason}", remedy) from None
    if "PRIVATE KEY" in text or "-----BEGIN CERTIFICATE REQUEST-----" not in text:
        # Terraform state would hold whatever stands here.
        raise FleetgateError(Problem(str(path), "is not a certificate signing request", "give a PEM CSR and nothing else"))
    return text


def _forget_removed_types(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*.json"):
        if path.stem not in kept:
            path.unlink()


def _replace(path: Path, content: bytes) -> bool:
    """Writes `content` unless it stands there already; whole or not at all. Returns whether it wrote."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, content)
    return True
