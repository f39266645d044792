"""parliament and checkov on the plan of an applied fleet, where Terraform knows every policy; in their own environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from checkouts import ROOT

PYTHON = Path(os.environ.get("FLEETGATE_IAM_PYTHON", ROOT / ".venv-iam/bin/python"))


@pytest.fixture(scope="module")
def plan(cloud, tmp_path_factory):
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    cloud.run("plan", "--json", str(file))
    return file


def judge(plan):
    assert PYTHON.is_file(), "run: make .venv-iam/ready"
    command = [PYTHON, "-m", "fleetgate.iam_checks", plan]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tools")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_stack_s_iam_policies_are_all_judged_and_clean(plan):
    done = judge(plan)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 judged by parliament" in done.stdout and "0 findings" in done.stdout


def test_a_policy_that_is_too_wide_is_found_by_both(plan, tmp_path):
    wide = {"Effect": "Allow", "Action": ["iam:PassRole", "iam:CreateAccessKey"], "Resource": "*"}
    mismatch = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [wide, mismatch]})

    def widen(part):
        if isinstance(part, list):
            return [widen(item) for item in part]
        if not isinstance(part, dict):
            return part
        widened = {key: widen(value) for key, value in part.items()}
        return widened | {"policy": policy} if "policy" in part and "role" in part else widened

    file = tmp_path / "plan.json"
    file.write_text(json.dumps(widen(json.loads(plan.read_text()))))
    done = judge(file)
    assert done.returncode == 1
    assert "CKV_AWS_286" in done.stdout and "RESOURCE_MISMATCH" in done.stdout


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_what_is_no_plan_is_not_called_clean(tmp_path, text):
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = judge(file)
    assert done.returncode == 2 and "cannot be judged" in done.stderr and "Traceback" not in done.stderr


def test_lint_finds_nothing_in_the_plan(cloud, plan):
    found = json.loads(cloud.fleetgate("lint", str(plan), "--fail-on", "low", "--format", "json").stdout)
    assert all(finding["severity"] == "info" for finding in found["findings"])
