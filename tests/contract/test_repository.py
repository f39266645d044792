"""What holds for the repository as a whole: formatting, lint, types, what is tracked, and what the README promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from checkouts import ROOT
from fleetgate import build


def run(*command: str, folder: str = ".") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT / folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["ruff format --check .", "ruff check .", "mypy --cache-dir .mypy_cache"])
def test_the_tree_is_clean_for(command):
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("function", sorted(p.name for p in (ROOT / "lambda_src").iterdir() if p.is_dir()))
def test_a_functions_types_are_strict(function):
    """Each function by itself: their modules have the same names, as in their zips."""
    sources = sorted(p.name for p in (ROOT / "lambda_src" / function).glob("*.py"))
    options = ["--config-file", "../../pyproject.toml", "--cache-dir", "../../.mypy_cache"]
    done = run("mypy", *options, *sources, folder=f"lambda_src/{function}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_tracked_file_names_an_index_or_a_place_on_this_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for name in filter(None, listed):
        path = ROOT / name
        if not path.is_file() or path.resolve() == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in ("--index-url", "files.pythonhosted", f"{ROOT}/", "pypi.org") if word in text]
    assert found == []


def test_the_readmes_device_type_is_one_entry_that_works(fleet):
    """The entry is pasted into the real catalogue, as the README says, and the fleet is compiled with it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    entry = readme.split("## Add a device type")[1].split("```yaml\n")[1].split("```")[0]
    name = entry.strip().partition(":")[0]
    if name in fleet.catalogue.device_types:
        pytest.skip(f"somebody has followed the README: {name} is in the catalogue")
    path = fleet.environment.root / "catalogue/device_types.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "\n" + entry, encoding="utf-8")
    added = set(build.compile_fleet(fleet.environment).policies) - set(fleet.policies)
    assert added == {name}


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by their name alone, and refuses the second one."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
