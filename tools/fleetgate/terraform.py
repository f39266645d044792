"""The Terraform on the PATH, driven through python-terraform; its own output streams to the terminal, shortened, and to a log."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_terraform import IsFlagged, Terraform

from fleetgate import applied, files, remote_state, terraform_output
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, fail

FOLDER = "terraform"
#: The saved plan, in the environment's build folder.
PLAN_FILE = "fleet.tfplan"
MINIMUM_VERSION = (1, 11, 0)
#: A folder that holds `<registry host>/hashicorp/aws/<version>/`, for machines that reach no registry.
MIRROR_VARIABLE = "FLEETGATE_PROVIDER_MIRROR"
_MIRROR_PREFIXES = ("/opt", "/usr/local", "/usr/local/share", "/usr/share", "~/.local/share")
#: Terraform and its provider read some 30 MB of schemas at each start. Collecting Go's garbage less often takes a quarter off
#: the processor time of a plan, for half a gigabyte of memory at most [measured]. Whoever sets GOGC keeps his own.
GOGC = "400"
_NO_CHANGES, _CHANGES = 0, 2  # of `plan -detailed-exitcode`
#: How long a command waits for a state that somebody else works on.
LOCK_TIMEOUT = "60s"
#: Takes and keeps the lock of the state.
_LOCKING = ("plan", "apply", "destroy", "import")


@dataclass(frozen=True)
class Resource:
    """A resource in the state. key: of the module call that owns it, if that has a for_each."""

    type: str
    key: str | None
    values: dict[str, Any]


@dataclass(frozen=True)
class State:
    """outputs: the root module's, by name. resources: all that Terraform owns."""

    outputs: dict[str, Any]
    resources: tuple[Resource, ...]

    def of(self, resource_type: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == resource_type]


def _resources(state: dict[str, Any]) -> Iterator[Resource]:
    for resource in state.get("resources", ()):
        key = re.search(r'\["([^"]*)"\]$', resource.get("module", ""))
        for instance in resource["instances"] if resource["mode"] == "managed" else ():
            yield Resource(resource["type"], key.group(1) if key else None, instance["attributes"])


class Runner:
    """Terraform for one environment: its data and plan lie under `build/<env>/`, its state there or where its file says."""

    def __init__(
        self,
        environment: Environment,
        say: Callable[[str], None],
        *,
        verbose: bool = False,
        lock_timeout: str = LOCK_TIMEOUT,
    ) -> None:
        """verbose: show all that Terraform says, and not only a line for each resource. lock_timeout: `60s`, `15m`."""
        self._environment = environment
        self._say = say
        self._show = terraform_output.everything if verbose else terraform_output.short
        self._lock_timeout = lock_timeout
        self._folder = remote_state.root(environment)
        self._binary = _find_binary()
        # The library logs a failed command's output, which the terminal has shown already.
        logging.getLogger("python_terraform").setLevel(logging.CRITICAL)
        os.environ |= {"TF_DATA_DIR": str(remote_state.data_folder(environment)), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        os.environ.setdefault("GOGC", GOGC)
        os.environ.pop("TF_WORKSPACE", None)  # an environment has one state, and its file says where
        if not Path(os.environ.get("TF_CLI_CONFIG_FILE", os.devnull)).exists():
            del os.environ["TF_CLI_CONFIG_FILE"]  # Terraform would warn on every call
        self._terraform = Terraform(working_dir=str(self._folder), terraform_bin_path=self._binary)

    @property
    def plan_file(self) -> Path:
        return self._environment.build / PLAN_FILE

    @property
    def log_file(self) -> Path:
        """All that Terraform said in the last run of each command, whatever was shown of it."""
        return self._environment.build / "terraform.log"

    def init(self) -> None:
        """`terraform init`, unless nothing it depends on has changed since the last one.

        Raises FleetgateError if the state would be another one than before.
        """
        remote_state.require_one(self._environment)
        self._init()

    def init_again(self) -> None:
        """`terraform init` with the environment's own place for the state, whatever was used before."""
        self._init(again=True)

    def _init(self, *, again: bool = False) -> None:
        stamp_file = remote_state.data_folder(self._environment) / "fleetgate-init"
        config = remote_state.backend_config(self._environment)
        stamp = self._init_stamp(config)
        if not again and stamp_file.is_file() and stamp_file.read_text(encoding="ascii") == stamp:
            return
        stamp_file.unlink(missing_ok=True)
        _require_version(self._binary, self._terraform)
        self._say("  preparing Terraform and its AWS provider")
        options: dict[str, Any] = {"backend_config": [str(config)], "reconfigure": IsFlagged}
        mirror = find_mirror(provider_version(self._folder))
        if mirror:
            options["plugin_dir"] = str(mirror)
        self._run("init", show=terraform_output.nothing, **options)
        files.replace(stamp_file, stamp.encode())

    def plan(self, var_file: Path) -> bool:
        """Plans into `plan_file`. Returns whether anything would change."""
        code, _ = self._run(
            "plan",
            accept=(_NO_CHANGES, _CHANGES),
            detailed_exitcode=IsFlagged,
            out=str(self.plan_file),
            var_file=str(var_file),
        )
        self.plan_file.chmod(0o600)
        return code == _CHANGES

    def plan_aside(self, var_file: Path) -> dict[str, Any]:
        """A plan as JSON that is not kept, made without a lock: for somebody who only looks. The saved plan stays as it is."""
        with tempfile.TemporaryDirectory(prefix="fleetgate-plan-") as folder:
            file = Path(folder) / "aside.tfplan"
            self._run("plan", show=terraform_output.nothing, lock=False, out=str(file), var_file=str(var_file))
            plan: dict[str, Any] = json.loads(self.plan_as_json(file))
            return plan

    def plan_as_json(self, file: Path | None = None) -> str:
        """The saved plan as `terraform show -json` writes it, for linters. file: another plan."""
        code, out, err = self._terraform.cmd("show", str(file or self.plan_file), json=IsFlagged)
        if code != 0:
            raise fail("terraform show", str(err).strip(), "run fleetgate plan again")
        return str(out)

    def apply(self) -> str:
        """Applies `plan_file`, exactly as it was planned. Returns Terraform's own count of what it did."""
        _, lines = self._run("apply", str(self.plan_file))
        return next((line.partition("Resources: ")[2] for line in lines if line.startswith("Apply complete!")), "")

    def destroy(self, var_file: Path) -> None:
        show = terraform_output.done if self._show is terraform_output.short else self._show
        self._run("destroy", show=show, auto_approve=IsFlagged, var_file=str(var_file))

    def take_over(self, address: str, identifier: str, var_file: Path) -> None:
        """`terraform import`: notes in the state what is there already. identifier: what the provider imports it by."""
        self._run("import", address, identifier, show=terraform_output.nothing, var_file=str(var_file))

    def state(self) -> State:
        """What Terraform owns now."""
        # Not `show -json`: that starts the provider for its schemas, which takes longer than all of ours. A file needs not even
        # Terraform's own start.
        is_local = self._environment.settings.state is None
        stored = remote_state.parse(remote_state.local_content(self._environment) if is_local else self.pull())
        outputs = {name: item["value"] for name, item in stored.get("outputs", {}).items()}
        return State(outputs, tuple(_resources(stored)))

    def pull(self) -> str:
        """The state as it is stored, "" if there is none."""
        code, out, err = self._terraform.cmd("state pull")
        if code != 0:
            raise fail("terraform state pull", str(err).strip(), f"run: {applied.command(self._environment)}")
        return str(out)

    def unlock(self, lock_id: str) -> None:
        """Takes a lock away that nobody holds any more."""
        code, out, err = self._terraform.cmd("force-unlock", lock_id, force=IsFlagged)
        if code != 0:
            raise fail("terraform force-unlock", (str(err) or str(out)).strip(), "look who holds it now: fleetgate state show")

    def _run(
        self,
        command: str,
        *arguments: str,
        accept: tuple[int, ...] = (0,),
        show: terraform_output.Filter | None = None,
        **options: Any,
    ) -> tuple[int, list[str]]:
        """Exit status and the lines that were shown."""
        if command in ("init", "plan"):
            self.log_file.unlink(missing_ok=True)
        # With capture_output other than True the library gives Terraform the stdout of this process, which is ours to redirect.
        if command in _LOCKING:
            options["lock_timeout"] = self._lock_timeout
        errors: list[str] = []
        code = None
        try:
            with terraform_output.shown(self.log_file, show or self._show, errors) as lines:
                options |= {"capture_output": False, "input": False, "no_color": IsFlagged}
                code, _, _ = self._terraform.cmd(command, *arguments, **options)
        finally:
            problem = self._problem("\n".join(errors)) if code not in (None, *accept) else None
            if problem is None and errors:
                print("\n".join(errors), file=sys.stderr, flush=True)
        if problem is not None:
            raise problem
        if code not in accept:
            from fleetgate import left_behind  # which asks AWS, and is needed here only

            if there := left_behind.conflicts("\n".join(errors), self._environment, left_behind.tags_of):
                raise FleetgateError(there)
            remedy = f"mend what Terraform's message above names, then run fleetgate plan again; all it said: {self.log_file}"
            raise fail(f"terraform {command}", f"ended with exit status {code}", remedy)
        return int(code), lines

    def _problem(self, said: str) -> FleetgateError | None:
        """What Terraform's errors come to, where that is better said in our words than in its."""
        if lock := remote_state.parse_lock(said):
            return remote_state.locked(self._environment, lock)
        if "Saved plan is stale" in said:
            again = f"run: fleetgate plan --env {self._environment.name}, look at it, then this again"
            return fail(
                str(self.plan_file),
                "is stale: somebody has applied to this environment since it was made, or was interrupted",
                again,
            )
        return None

    def _init_stamp(self, config: Path) -> str:
        """Changes when the binary, a version constraint, a module call or the backend does."""
        digest = hashlib.sha256(f"{self._binary} {Path(self._binary).stat().st_mtime_ns} {config.read_text()}".encode())
        for path in sorted((self._environment.root / FOLDER).rglob("*.tf")):
            if ".terraform" not in path.parts and path.name in ("versions.tf", "main.tf"):
                wanted = re.findall(r"(?m)^\s*(?:source|version|required_version|module)\b.*$", path.read_text(encoding="utf-8"))
                digest.update("\n".join([str(path), *wanted]).encode())
        return digest.hexdigest()


def provider_version(folder: Path) -> str:
    """The exact provider version that the root pins."""
    for path in sorted(folder.glob("*.tf")):
        found = re.search(r'hashicorp/aws"\s*(?:#.*\s*)*version\s*=\s*"=?\s*([0-9.]+)"', path.read_text(encoding="utf-8"))
        if found:
            return found.group(1)
    raise fail(f"{FOLDER}/versions.tf", "pins no exact version of hashicorp/aws", 'write version = "5.100.0"')


def find_mirror(version: str) -> Path | None:
    """A filesystem mirror that holds this version of the AWS provider: the variable first, then the usual prefixes."""
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        if not any(Path(named).glob(f"*/hashicorp/aws/{version}")):
            raise fail(f"{MIRROR_VARIABLE}={named}", f"holds no hashicorp/aws {version}", "name another folder, or unset it")
        return Path(named)
    for prefix in _MIRROR_PREFIXES:
        for found in sorted(Path(prefix).expanduser().glob(f"*/*/hashicorp/aws/{version}")):
            return found.parents[3]
    return None


def _find_binary() -> str:
    binary = shutil.which("terraform")
    if binary is None:
        wanted = ".".join(map(str, MINIMUM_VERSION[:2]))
        raise fail("terraform", "is not on the PATH", f"install Terraform {wanted} or newer")
    return binary


def _require_version(binary: str, terraform: Terraform) -> None:
    code, out, err = terraform.cmd("version", json=IsFlagged)
    try:
        shown = str(json.loads(out)["terraform_version"]) if code == 0 else ""
    except (ValueError, KeyError):
        shown = ""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", shown)
    if not numbers:
        raise fail(binary, f"does not tell its version: {(err or out).strip():.200}", "install Terraform again")
    if tuple(map(int, numbers.groups())) < MINIMUM_VERSION:
        wanted = ".".join(map(str, MINIMUM_VERSION))
        raise fail(binary, f"Terraform {shown} is too old", f"install Terraform {wanted} or newer")
