"""The fleet of another Git revision, compiled beside this one."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetgate import build, catalogue, policies
from fleetgate.build import Fleet
from fleetgate.environment import Environment, load
from fleetgate.errors import FleetgateError, Problem, fail


@contextmanager
def compiled(environment: Environment, revision: str) -> Iterator[Fleet]:
    """The fleet as `revision` would have been compiled, by the program of today. Raises FleetgateError."""
    root = environment.root
    commit = (
        _git(root, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    )
    # Paths of an archive are counted from the folder it is made in.
    wanted = [catalogue.FILE, policies.FOLDER, environment.file]
    listed = _git(root, revision, "ls-tree", "-r", "--name-only", commit, "--", *wanted).decode().splitlines()
    if catalogue.FILE not in listed:
        raise fail(
            revision,
            f"holds no {catalogue.FILE}",
            "name a revision that has one, like the branch that this one will be merged to",
        )
    with tempfile.TemporaryDirectory(prefix="fleetgate-base-") as folder:
        archive = _git(root, revision, "archive", "--format=tar", commit, "--", *listed)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="data")
        target = Path(folder) / environment.file
        if not target.is_file():  # an environment that this change adds: what it adds is compared under its own names
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((root / environment.file).read_bytes())
        try:
            base = build.compile_fleet(load(Path(folder), environment.name))
        except FleetgateError as error:
            raise FleetgateError(Problem(f"{revision}: {one.where}", one.what, one.remedy) for one in error.problems) from None
        yield base


def _git(root: Path, revision: str, *arguments: str) -> bytes:
    try:
        english = {**os.environ, "LC_ALL": "C"}  # what Git says is looked at
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False, env=english)
    except FileNotFoundError:
        raise fail("git", "is not installed", "install it: the base is read from the repository's history") from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if "not a git repository" in said.lower():
        raise fail(str(root), "is in no Git repository", "run it in a checkout made by git clone")
    if arguments[0] == "rev-parse" and not said:  # --quiet leaves exactly that unsaid
        raise fail(f"--base {revision!r}", "is no commit here", "fetch it, or name another: git fetch origin main")
    raise fail(f"git {arguments[0]}", said or "failed", "mend what Git says")
