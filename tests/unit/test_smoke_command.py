"""What `fleetgate smoke` shows of a run, and when it does not begin one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from fleetgate import applied, aws, smoke
from fleetgate.cli import main
from fleetgate.commands import smoke as command
from fleetgate.errors import FleetgateError
from fleetgate.smoke_report import Check, Status

GOOD = [Check(f"device.gateway.{name}", "it works", Status.PASSED, "fine") for name in ("ready", "connects")]
BAD = Check("device.gateway.log", "the log shows it", Status.FAILED, "saw nothing", "no right", "look there", 1.5)
LEFT_OUT = Check("device.gateway.shadow", "it reads it", Status.SKIPPED, "needs log")


@pytest.fixture
def checks(monkeypatch):
    """What the run, which is none, finds; the test fills it."""
    found = []

    def run(fleet, types, claim, watcher):
        for check in found:
            watcher.checked(check)
        watcher.completed("gateway", found, 3.42)
        return found

    monkeypatch.setattr("fleetgate.cloud.require", lambda environment: None)
    monkeypatch.setattr(smoke, "run", run)
    return found


@pytest.fixture
def run(checkout, capsys):
    def run(*words):
        status = main(["--root", str(checkout), "smoke", *words])
        shown = capsys.readouterr()
        return status, shown.out, shown.err.splitlines()

    return run


def test_a_pass_is_a_line_a_group_and_one_at_the_end(run, checks):
    checks += GOOD
    status, out, err = run()
    assert (status, out) == (0, "smoke checks: 2 passed, 0 failed, 0 skipped\n")
    assert err == ["smoke checks of environment local", "  ok      gateway: 2 checks (3.4 s)"]


def test_a_failure_is_told_at_once_and_in_the_table_at_the_end(run, checks):
    checks += [*GOOD, BAD, LEFT_OUT]
    status, out, err = run()
    assert status == 1
    assert err[1:] == ["  FAILED  device.gateway.log: saw nothing", "  FAILED  gateway: 2 passed, 1 failed, 1 skipped (3.4 s)"]
    assert all(part in out for part in ("device.gateway.log", "saw nothing", "no right", "-> look there", "needs log"))
    assert "device.gateway.ready" not in out
    assert out.splitlines()[-1] == "smoke checks: 2 passed, 1 failed, 1 skipped"


def test_verbose_is_a_line_a_check(run, checks):
    checks += [*GOOD, LEFT_OUT]
    _, _, err = run("--verbose")
    assert err[1:] == [
        "  ok      device.gateway.ready: it works",
        "  ok      device.gateway.connects: it works",
        "  skipped device.gateway.shadow: needs log",
    ]


def test_json_is_all_checks_and_nothing_else(run, checks):
    checks += [*GOOD, BAD]
    status, out, _ = run("--json")
    assert status == 1 and [check["name"] for check in json.loads(out)["checks"]] == [check.name for check in checks]


@pytest.mark.parametrize("bad, status", [([], 0), ([BAD], 1)], ids=["pass", "failure"])
def test_for_another_command_the_last_line_is_returned_and_not_printed(checks, fleet, capsys, bad, status):
    checks += [*GOOD, *bad]
    assert command.run_and_summarize(fleet) == (status, f"smoke checks: 2 passed, {status} failed, 0 skipped")
    assert bool(capsys.readouterr().out) is bool(bad)


def answering(code):
    """A call of AWS that is answered with this error code, or well."""

    def call(**_):
        if code:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "Describe")
        return {}

    return call


GONE, DENIED = "ResourceNotFoundException", "AccessDeniedException"


@pytest.mark.parametrize(
    "table, template, is_applied",
    [(GONE, GONE, False), (None, GONE, True), (GONE, None, True), (GONE, DENIED, True), (DENIED, GONE, True)],
)
def test_an_environment_of_which_nothing_is_there_is_not_applied(fleet, monkeypatch, table, template, is_applied):
    calls = SimpleNamespace(describe_table=answering(table), describe_provisioning_template=answering(template))
    monkeypatch.setattr(aws, "client", lambda service: calls)
    if is_applied:
        applied.require(fleet)
    else:
        with pytest.raises(FleetgateError) as raised:
            smoke.run(fleet)
        assert str(raised.value) == "environment local: is not applied\n    -> run: make apply"


def test_another_environment_than_makes_own_default_is_named_to_make(fleet):
    fleet.environment.name = "plant"
    assert applied.command(fleet.environment) == "make apply ENV=plant"
