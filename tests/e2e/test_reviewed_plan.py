"""The way of .github/workflows/deploy.yml: one machine plans, another one applies that plan, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from checkouts import ROOT


def kept(folder: Path) -> set[Path]:
    """What the workflow carries from one job to the other."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
    upload = next(step for step in workflow["jobs"]["plan"]["steps"] if step.get("with", {}).get("name") == "plan")
    patterns = [line.partition("}}/")[2] for line in upload["with"]["path"].splitlines()]
    return {path for pattern in patterns for path in folder.glob(pattern)}


def test_the_plan_that_was_reviewed_is_applied_elsewhere_once_and_not_when_it_is_stale(own_cloud):
    cloud = own_cloud
    cloud.run("plan")
    build = cloud.environment().build
    carried = kept(build)
    assert {path.name for path in carried} >= {"fleet.tfplan", "fleet.tfvars.json", "plan.json", "provisioning_hook.zip"}

    # The other machine: the same commit, what was carried, the claims that version control and a secret hold, and the state,
    # which lies in one place for all. The cloud's own files are this test's.
    for path in build.iterdir():
        if path not in carried and path.name not in ("claims", "cloud", "terraform.tfstate"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = {path.name: path.read_bytes() for path in carried}
    assert "added, 0 changed, 0 destroyed" in cloud.run("apply", "--no-smoke").stdout

    # Whoever puts the same plan there again is refused: the state has moved on.
    for name, content in before.items():
        (build / name).write_bytes(content)
    again = cloud.run("apply", "--no-smoke", status=1)
    assert "stale" in again.stderr and "Traceback" not in again.stderr

    # And so is one with other inputs than those that were reviewed.
    cloud.edit("catalogue/device_types.yaml", "alertThreshold: 80", "alertThreshold: 81")
    assert "the plan is stale" in cloud.run("apply", "--no-smoke", status=1).stderr
