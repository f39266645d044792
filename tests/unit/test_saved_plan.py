"""What is kept of a plan, and of a prepared Terraform, is written whole; and a plan's values are for its owner alone."""

from __future__ import annotations

import errno
import os
import stat
from types import SimpleNamespace

import pytest

from fleetgate import deploy, environment, remote_state, terraform
from fleetgate.terraform import Runner, State


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Plans without a cloud and without Terraform; returns the plan as JSON's file."""
    runner = SimpleNamespace(plan=lambda _: True, plan_as_json=lambda: '{"secret": 1}')
    for name in ("cloud.require", "left_behind.require_nothing", "build.write"):
        monkeypatch.setattr(f"fleetgate.deploy.{name}", lambda *_: None)
    for name in ("policy_gate.require", "aws.client"):
        monkeypatch.setattr(f"fleetgate.{name}", lambda *_: None)
    for name in ("_make_missing_claims", "_refuse_to_strand_devices"):
        monkeypatch.setattr(deploy, name, lambda *_: None)
    monkeypatch.setattr(deploy, "_terraform", lambda *_, **__: (runner, State({}, ())))
    monkeypatch.setattr(deploy, "_inputs_digest", lambda _: "digest")
    fleet = SimpleNamespace(environment=SimpleNamespace(build=tmp_path))

    def run():
        deploy.plan(fleet, lambda _: None, json_file=tmp_path / "plan-as.json")
        return tmp_path / "plan-as.json"

    return run


@pytest.mark.parametrize("umask", [0o022, 0o000], ids=oct)
def test_a_plan_as_json_is_for_its_owner_alone_whatever_the_umask(plan, umask):
    before = os.umask(umask)
    try:
        file = plan()
    finally:
        os.umask(before)
    assert file.read_text() == '{"secret": 1}' and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_plan_as_json_that_could_not_be_written_leaves_the_one_before(plan, tmp_path, monkeypatch):
    (tmp_path / "plan-as.json").write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        plan()
    assert (tmp_path / "plan-as.json").read_text() == "before"


def test_a_terraform_whose_preparation_could_not_be_noted_is_prepared_again(checkout, tmp_path, monkeypatch):
    local = environment.load(checkout, "local")
    config = tmp_path / "backend"
    config.write_text("")
    monkeypatch.setattr(terraform, "_find_binary", lambda: "/bin/sh")
    monkeypatch.setattr(terraform, "_require_version", lambda *_: None)
    monkeypatch.setattr(terraform, "find_mirror", lambda _: None)
    monkeypatch.setattr(remote_state, "backend_config", lambda _: config)
    runner = Runner(local, lambda _: None)
    monkeypatch.setattr(runner, "_run", lambda *_, **__: remote_state.data_folder(local).mkdir(parents=True))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runner.init_again()
    assert list(remote_state.data_folder(local).iterdir()) == []
