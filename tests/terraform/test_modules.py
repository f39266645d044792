"""`terraform validate` of the roots and of every module, and `terraform test` with mocked providers, in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from checkouts import ROOT, copy_checkout
from fleetgate import terraform
from module_examples import MODULES

FOLDERS = [Path("terraform"), *(path.relative_to(ROOT) for path in MODULES)]
EXAMPLES = sorted(path.parent.relative_to(ROOT) for path in (ROOT / "examples").glob("*/main.tf"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    found = copy_checkout(tmp_path_factory.mktemp("terraform"))
    shutil.copytree(ROOT / "examples", found / "examples", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return found


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("TF_CLI_CONFIG_FILE", "TF_DATA_DIR")}
    command = ["terraform", arguments[0], "-no-color", *arguments[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=1200)


def require_valid(folder: Path) -> None:
    mirror = terraform.find_mirror(terraform.provider_version(ROOT / "terraform"))
    options = [f"-plugin-dir={mirror}"] if mirror else []
    ready = run(folder, "init", "-backend=false", "-input=false", *options)
    assert ready.returncode == 0, ready.stderr
    valid = run(folder, "validate")
    assert valid.returncode == 0 and "Warning" not in valid.stdout, valid.stdout + valid.stderr


@pytest.mark.parametrize(
    "folder", [pytest.param(folder, marks=pytest.mark.xdist_group(str(folder))) for folder in FOLDERS], ids=str
)
def test_is_valid_without_a_warning_and_its_tests_pass(copy, folder):
    require_valid(copy / folder)
    tested = run(copy / folder, "test")
    assert tested.returncode == 0 and "0 failed" in tested.stdout and " 0 passed" not in tested.stdout, (
        tested.stdout + tested.stderr
    )


@pytest.mark.parametrize("folder", EXAMPLES, ids=str)
def test_an_example_is_valid_without_a_warning(copy, folder):
    require_valid(copy / folder)


def test_every_file_is_formatted():
    formatted = run(ROOT, "fmt", "-check", "-recursive", "terraform", "examples")
    assert formatted.returncode == 0, f"run terraform fmt -recursive terraform examples: {formatted.stdout}"


def test_every_module_has_tests_and_a_readme():
    for folder in FOLDERS[1:]:
        assert list((ROOT / folder / "tests").glob("*.tftest.hcl")), folder
        assert (ROOT / folder / "README.md").is_file(), folder
