"""Where Terraform's state lies, and that there is never a second one: a file under `build/`, or an object in S3.

Terraform's root names one kind of backend and takes no variable for it. An environment whose state is in S3 therefore gets a
root of its own, `build/<env>/root/terraform`: links to the tracked files, and one generated file that overrides the backend.
No tracked file is edited, and two environments of one checkout do not meet.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetgate import catalogue, files, package, policies
from fleetgate.environment import Environment, RemoteState
from fleetgate.errors import FleetgateError, count, fail, printable

FOLDER = "terraform"
OVERRIDE_FILE = "backend_override.tf"
_OVERRIDE = """# Written by fleetgate: this environment's state is in S3. All else of the backend comes by -backend-config.
terraform {
  backend "s3" {}
}
"""
#: What the root's validation reads beside terraform/ itself.
_SIBLINGS = (Path(catalogue.FILE).parts[0], package.FOLDER, policies.FOLDER)
#: What Terraform leaves in its root, or an editor; but not the lock file of a team that has one.
_NOT_LINKED = re.compile(r"\.(?!terraform\.lock\.hcl$).*|.*\.tfstate(\..*)?|.*\.tfplan")


@dataclass(frozen=True)
class Place:
    """Where a state is. kind: `local` or `s3`. name: a path, or an s3:// address."""

    kind: str
    name: str


@dataclass(frozen=True)
class Summary:
    """What identifies a state. resources: how many Terraform owns by it."""

    lineage: str
    serial: int
    resources: int

    def __str__(self) -> str:
        return f"{count(self.resources, 'resource')}, serial {self.serial}, lineage {self.lineage}"


@dataclass(frozen=True)
class Lock:
    """Who holds a state, as Terraform writes it down: id, user@host, since when (UTC), and for what."""

    id: str
    who: str
    created: str
    operation: str

    def __str__(self) -> str:
        return f"{self.who} since {self.created}, for {self.operation}"


def key(environment: Environment, state: RemoteState) -> str:
    return state.key or f"{environment.settings.prefix}/{environment.name}.tfstate"


def region(environment: Environment, state: RemoteState) -> str:
    return state.region or environment.settings.region


def place(environment: Environment) -> Place:
    """Where the environment's file says that the state is."""
    state = environment.settings.state
    if state is None:
        return Place("local", str(environment.local_state_file))
    return Place("s3", f"s3://{state.bucket}/{key(environment, state)}")


def recorded(environment: Environment) -> Place | None:
    """Where Terraform was told last, in this checkout, that the state is."""
    kind, config = _recorded(environment)
    if kind == "s3":
        # Without them nobody has used it: Terraform writes both, and init asks again.
        return Place("s3", f"s3://{config['bucket']}/{config['key']}") if {"bucket", "key"} <= config.keys() else None
    return Place("local", str(config.get("path"))) if kind else None


def recorded_region(environment: Environment) -> str | None:
    """The Region of the bucket that this checkout used last."""
    return _recorded(environment)[1].get("region")


def _recorded(environment: Environment) -> tuple[str, dict[str, Any]]:
    try:
        backend = json.loads((data_folder(environment) / "terraform.tfstate").read_text(encoding="utf-8"))["backend"]
        return str(backend["type"]), dict(backend["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", {}


def data_folder(environment: Environment) -> Path:
    """TF_DATA_DIR: an environment's own, so that providers, modules and backend of two environments do not mix."""
    return environment.build / "terraform"


def parse(content: str | bytes) -> dict[str, Any]:
    """A state as JSON, empty for no state at all. Raises FleetgateError for what is not one."""
    return _read(content)[0]


def summarize(content: str | bytes) -> Summary | None:
    """None for no state at all. Raises FleetgateError for what is not one."""
    return _read(content)[1]


def _read(content: str | bytes) -> tuple[dict[str, Any], Summary | None]:
    if not content.strip():
        return {}, None
    try:
        state = json.loads(content)
        owned = sum(len(r["instances"]) for r in state.get("resources", ()) if r["mode"] == "managed")
        return state, Summary(printable(str(state["lineage"])), int(state["serial"]), owned)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise fail(
            "Terraform's state", "cannot be read: it is no state of Terraform", "look at it before anything else"
        ) from None


def local_summary(environment: Environment) -> Summary | None:
    """The state file under `build/`, whether or not it is the environment's."""
    return summarize(local_content(environment))


def local_content(environment: Environment) -> bytes:
    """That file, empty if there is none."""
    try:
        return environment.local_state_file.read_bytes()
    except FileNotFoundError:
        return b""


def require_one(environment: Environment) -> None:
    """Raises FleetgateError if Terraform would not read where it wrote last: it would begin again, beside what there is."""
    wanted, before, local = place(environment), recorded(environment), local_summary(environment)
    remedy = f"run: fleetgate state migrate --env {environment.name} (--dry-run shows what it would do)"
    if wanted.kind == "s3" and local is not None and local.resources:
        what = f"the state is to be {wanted.name}, and there is one here still: {environment.local_state_file} ({local})"
        raise fail(environment.file, what, remedy)
    if before is not None and before.kind == "s3" and before != wanted:
        what = f"the state is to be {wanted.name}, and this checkout has last used {before.name}"
        raise fail(environment.file, what, remedy)


def root(environment: Environment) -> Path:
    """The folder in which Terraform runs for this environment; made or mended if it is not the tracked one."""
    tracked = environment.root / FOLDER
    if environment.settings.state is None:
        return tracked
    made = environment.build / "root"
    wanted = {made / name: environment.root / name for name in _SIBLINGS}
    # By name, and not their folder: that holds this one, and whoever copies it would copy for ever.
    packages = [f"{function}.zip" for function in package.FUNCTIONS]
    wanted |= {made / "build" / environment.name / name: environment.build / name for name in packages}
    entries = [path for path in sorted(tracked.iterdir()) if not _NOT_LINKED.fullmatch(path.name)]
    wanted |= {made / FOLDER / path.name: path for path in entries}
    for link, target in wanted.items():
        _link(link, target)
    override = made / FOLDER / OVERRIDE_FILE
    if not override.is_file() or override.read_text(encoding="utf-8") != _OVERRIDE:
        files.replace(override, _OVERRIDE.encode())
    for path in (made / FOLDER).iterdir():
        if path not in wanted and path != override and path.is_symlink():
            path.unlink()  # a file that has left the tracked folder
    return made / FOLDER


def _link(link: Path, target: Path) -> None:
    wanted = os.path.relpath(target, link.parent)
    if link.is_symlink() and str(link.readlink()) == wanted:
        return
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # an artefact store has made a copy of what the link led to
    link.parent.mkdir(parents=True, exist_ok=True)
    new = link.with_name(f".{link.name}.{os.getpid()}")  # at once: another process may run Terraform in this folder
    new.unlink(missing_ok=True)
    new.symlink_to(wanted)
    new.replace(link)


def backend_config(environment: Environment) -> Path:
    """Writes what `terraform init` gets as -backend-config, and returns the file. It holds no credentials."""
    state = environment.settings.state
    values: dict[str, Any] = {"path": str(environment.local_state_file)}
    if state is not None:
        values = {
            "bucket": state.bucket,
            "key": key(environment, state),
            "region": region(environment, state),
            "encrypt": True,
            "use_lockfile": True,
            "allowed_account_ids": [environment.settings.account_id],
            "skip_metadata_api_check": True,
        }
        if state.kms_key_arn:
            values["kms_key_id"] = state.kms_key_arn
        if environment.endpoint_url:
            values["use_path_style"] = True  # an address of numbers has no subdomains
    file = environment.build / f"{place(environment).kind}.tfbackend"
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, text.encode())
    return file


def parse_lock(said: str) -> Lock | None:
    """The lock that Terraform says it could not take, out of its message."""
    if "Error acquiring the state lock" not in said:
        return None
    fields = dict(re.findall(r"(?m)^\W*(ID|Who|Created|Operation):[ \t]*(.*?)\s*$", said))
    return _lock({name: fields.get(name) for name in ("ID", "Who", "Created", "Operation")})


def read_lock(text: str) -> Lock:
    """The lock as it lies beside the state, an object of JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return _lock(found if isinstance(found, dict) else {})


def _lock(fields: dict[str, Any]) -> Lock:
    def said(name: str, otherwise: str) -> str:
        return printable(str(fields.get(name) or otherwise))

    operation = said("Operation", "something unknown").removeprefix("OperationType").lower()
    created = re.sub(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d).*$", r"\1 \2 UTC", said("Created", "an unknown time"))
    return Lock(said("ID", "?"), said("Who", "somebody"), created, operation)


def locked(environment: Environment, lock: Lock) -> FleetgateError:
    """The error of whoever comes second."""
    name = environment.name
    remedy = (
        "wait until that has ended, then run this again, or let it wait by --lock-timeout 15m; only if that process is "
        f"surely gone (killed, its machine lost): fleetgate state unlock {lock.id} --env {name}"
    )
    return fail(f"state of environment {name}", f"is locked by {lock} (lock {lock.id})", remedy)
