"""The hooks in the hands of another repository, run by the real pre-commit, which installs them once, from the pip index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkouts import ROOT, copy_checkout

#: What a clone of this repository needs to have for its hooks to be installed.
PACKAGE = ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml", "tools")
HOOKS = ("fleetgate-lint-policies", "fleetgate-lint-templates", "fleetgate-check-catalogue")
ARN = "arn:aws:iot:eu-central-1:123456789012"
CLEAN = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": f"{ARN}:client/${{iot:Connection.Thing.ThingName}}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        }
    ],
}


def run(folder: Path, *command: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "VIRTUALENV_NO_PERIODIC_UPDATE": "1"}
    variables |= {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    variables |= {"PRE_COMMIT_HOME": str(home)} if home else {}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def commit(folder: Path) -> str:
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "--no-verify", "-m", "test"]):
        done = run(folder, "git", *command)
        assert done.returncode == 0, done.stderr
    return run(folder, "git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """This repository as it stands in the work tree, committed somewhere else; and pre-commit's home, shared by all tests."""
    folder = tmp_path_factory.mktemp("ours") / "fleetgate"
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in PACKAGE:
        source = ROOT / name
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
    return folder, commit(folder), tmp_path_factory.mktemp("home")


@pytest.fixture
def pre_commit(ours, tmp_path):
    """Runs hooks over all files of a repository of somebody else's."""
    repository, revision, home = ours

    def command(*hooks: str) -> tuple[int, str]:
        listed = "".join(f"      - id: {hook}\n" for hook in hooks)
        config = f"repos:\n  - repo: {repository}\n    rev: {revision}\n    hooks:\n{listed}"
        (tmp_path / ".pre-commit-config.yaml").write_text(config)
        commit(tmp_path)
        done = run(tmp_path, sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never", home=home)
        return done.returncode, done.stdout + done.stderr

    return command


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def test_good_files_and_files_of_others_pass(pre_commit, tmp_path):
    write(tmp_path / "policies/good.json", CLEAN)
    write(
        tmp_path / "iam/role.json",
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
    )
    write(tmp_path / "package.json", {"name": "theirs"})
    (tmp_path / "tsconfig.json").write_text("{ // comments\n}")
    (tmp_path / "nginx.json.j2").write_text("{{ anything }}")
    status, out = pre_commit(*HOOKS)
    assert status == 0, out
    assert out.count("Passed") == 2 and out.count("Skipped") == 1  # they have no catalogue


def test_a_bad_policy_and_a_bad_template_stop_the_commit(pre_commit, tmp_path):
    bad = {**CLEAN, "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    write(tmp_path / "policies/bad.json", bad)
    write(tmp_path / "templates/bad.json", {"Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": {}}}})
    status, out = pre_commit(*HOOKS)
    assert status == 1
    policies, templates = out.split("lint AWS IoT provisioning templates")
    assert "policies/bad.json:6:17  CRITICAL A04" in policies and "templates/" not in policies
    assert "templates/bad.json:2:16  HIGH P09" in templates and "policies/" not in templates


def test_a_fleet_of_somebody_elses_has_its_catalogue_and_templates_checked(pre_commit, tmp_path):
    copy_checkout(tmp_path)
    assert pre_commit(*HOOKS)[0] == 0
    template = tmp_path / "policy_templates/sensor.json.j2"
    template.write_text(template.read_text(encoding="utf-8").replace('"iot:Publish"', '"iot:*"'), encoding="utf-8")
    catalogue = tmp_path / "catalogue/device_types.yaml"
    catalogue.write_text(catalogue.read_text(encoding="utf-8").replace("shape: gateway", "shap: gateway"), encoding="utf-8")
    assert "did you mean `shape`?" in pre_commit("fleetgate-check-catalogue")[1]
    catalogue.write_text(catalogue.read_text(encoding="utf-8").replace("shap: gateway", "shape: gateway"), encoding="utf-8")
    status, out = pre_commit("fleetgate-lint-policies")
    assert status == 1 and "policy_templates/sensor.json.j2:10:17  CRITICAL A04" in out


def test_this_repositorys_own_hooks_run(ours):
    done = run(ROOT, sys.executable, "-m", "pre_commit", "run", "fleetgate-lint", "--all-files", home=ours[2])
    assert done.returncode == 0, done.stdout + done.stderr
