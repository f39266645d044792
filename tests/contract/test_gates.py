"""The gates that `make check` runs: the policy toolchain on this checkout, and that `make test` leaves none of them out."""

from __future__ import annotations

import re

import pytest

from checkouts import ROOT
from fleetgate import cli

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["catalogue check", "lint", "isolation"])
def test_the_policy_toolchain_passes_on_this_checkout(command, capsys):
    status = cli.main(["--root", str(ROOT), *command.split()])
    assert status == 0, "".join(capsys.readouterr())


def recipe(target):
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]


def test_make_check_is_a_part_of_make_test_and_ci_runs_that():
    gates = re.search(r"^GATES := (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert all((ROOT / gate).exists() and gate.startswith("tests/") for gate in gates)
    # pytest without a path takes testpaths, which is all of tests/.
    assert recipe("test").split() == ["$(BIN)/python", "-m", "pytest", "$(PARALLEL)"]
    assert recipe("check").split() == ["$(BIN)/python", "-m", "pytest", "$(PARALLEL)", "$(GATES)"]
    assert 'testpaths = ["tests"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").endswith("exec make test\n")


def test_every_hook_of_pre_commit_calls_a_tool_of_make():
    entries = re.findall(r"entry: (\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert set(entries) <= {f".venv/bin/{tool}" for tool in ("fleetgate", "ruff", "zizmor")} | {"terraform"}
