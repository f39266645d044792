"""checkov and parliament on the plan of an applied fleet, where Terraform knows every policy; in their own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from checkouts import ROOT
from clouds import ENVIRONMENT
from fleetgate import skips

PYTHON = Path(os.environ.get("FLEETGATE_IAM_PYTHON", ROOT / ".venv-iam/bin/python"))
#: What the embedded cloud cannot keep can be planned all the same, and is judged with the rest.
SWITCHED_OFF = (
    ("manage_alarms: false", "manage_alarms: true"),
    ("manage_device_defender: false", "manage_device_defender: true\nmanage_cloudtrail: true"),
    ('iot_log_level: ""', "iot_log_level: INFO"),
)


@pytest.fixture(scope="module")
def plan(cloud, tmp_path_factory):
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    settings = cloud.root / f"terraform/envs/{ENVIRONMENT}.yaml"
    before = settings.read_text(encoding="utf-8")
    try:
        for off, on in SWITCHED_OFF:
            cloud.edit(f"terraform/envs/{ENVIRONMENT}.yaml", off, on)
        cloud.run("plan", "--json", str(file))
    finally:
        settings.write_text(before, encoding="utf-8")
    return file


def judge(plan, *options):
    assert PYTHON.is_file(), "run: make .venv-iam/ready"
    command = [PYTHON, "-m", "fleetgate.iam_checks", plan, *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tools")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_whole_stack_is_judged_and_no_check_fails(plan):
    judged = {skips.split(change["address"])[0] for change in json.loads(plan.read_text())["resource_changes"]}
    assert judged - {""} == {f"module.{path.name}" for path in (ROOT / "terraform/modules").iterdir()}
    done = judge(plan)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout


def test_what_is_made_worse_is_found_and_so_is_a_skip_without_a_reason_or_without_a_need(plan, tmp_path):
    wide = {"Effect": "Allow", "Action": ["iam:PassRole", "iam:CreateAccessKey"], "Resource": "*"}
    mismatch = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}
    worse = {
        "module.provisioning.aws_iam_role_policy.hook": {
            "policy": json.dumps({"Version": "2012-10-17", "Statement": [wide, mismatch]})
        },
        "module.device_registry.aws_dynamodb_table.this": {"point_in_time_recovery": [{"enabled": False}]},
        "module.encryption.aws_kms_key.this": {"enable_key_rotation": False},
        "module.monitoring.aws_cloudwatch_log_group.census": {"retention_in_days": 7},
    }
    read = json.loads(plan.read_text())
    for module in read["planned_values"]["root_module"]["child_modules"]:
        for resource in module["resources"]:
            resource.get("values", {}).update(worse.get(resource["address"], {}))
    file, terraform = tmp_path / "plan.json", tmp_path / "terraform"
    file.write_text(json.dumps(read))
    shutil.copytree(ROOT / "terraform", terraform, ignore=shutil.ignore_patterns(".terraform"))
    hook = terraform / "modules/provisioning/lambda.tf"
    text = hook.read_text(encoding="utf-8")
    text = text.replace("CKV_AWS_116:AWS IoT waits for its answer; dead letters are of asynchronous calls only", "CKV_AWS_116")
    text = text.replace("# checkov:skip=CKV_AWS_50:", "# checkov:skip=CKV_AWS_45:")
    hook.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    without_reason, without_need = (
        next(number for number, line in enumerate(lines, 1) if check in line) for check in ("CKV_AWS_116", "CKV_AWS_45:")
    )
    done = judge(file, "--terraform", terraform)
    assert done.returncode == 1
    found = set(done.stdout.splitlines())
    for expected in (
        "module.provisioning.aws_iam_role_policy.hook: CKV_AWS_286:",
        "module.provisioning.aws_iam_role_policy.hook: MEDIUM RESOURCE_MISMATCH:",
        "module.device_registry.aws_dynamodb_table.this: CKV_AWS_28:",
        "module.encryption.aws_kms_key.this: CKV_AWS_7:",
        "module.monitoring.aws_cloudwatch_log_group.census: CKV_AWS_338:",
        "module.provisioning.aws_lambda_function.hook: CKV_AWS_50:",
        f"{hook}:{without_reason}: skip of CKV_AWS_116 gives no reason",
        f"{hook}:{without_need}: skip of CKV_AWS_45 is not needed",
    ):
        assert any(line.startswith(expected) for line in found), f"{expected}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_what_is_no_plan_is_not_called_clean(tmp_path, text):
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = judge(file)
    assert done.returncode == 2 and "cannot be judged" in done.stderr and "Traceback" not in done.stderr


def test_lint_finds_nothing_in_the_plan(cloud, plan):
    found = json.loads(cloud.fleetgate("lint", str(plan), "--fail-on", "low", "--format", "json").stdout)
    assert all(finding["severity"] == "info" for finding in found["findings"])
