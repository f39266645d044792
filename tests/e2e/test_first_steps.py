"""What somebody meets who does the steps in another order, looks at what is shown, or presses Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

from clouds import ENVIRONMENT, TYPE, row

NOT_APPLIED = "fleetgate: environment e2e: is not applied\n    -> run: make apply ENV=e2e\n"
PROVISION = ("device", "provision", "--type", TYPE, "--serial", "TEMP-000001")


def test_where_nothing_is_applied_the_command_that_applies_is_named_and_nothing_else(own_cloud):
    for words in (("smoke", "--junit", str(own_cloud.root / "smoke.xml")), ("smoke", "--json"), PROVISION):
        done = own_cloud.run(*words, status=1)
        assert done.stdout == "" and done.stderr.removeprefix("smoke checks of environment e2e\n") == NOT_APPLIED


def test_the_cloud_is_said_to_start_only_when_it_starts(own_cloud):
    again = own_cloud.run("cloud", "up")
    assert again.stderr == "" and again.stdout.startswith("embedded cloud already running: ")
    own_cloud.run("cloud", "down")
    for words in (("smoke",), PROVISION):
        refused = own_cloud.run(*words, status=1)
        assert "the embedded cloud is not running\n    -> run: fleetgate cloud up --env e2e\n" in refused.stderr
        assert refused.stderr.count("->") == 1
    assert own_cloud.run("cloud", "up").stderr.startswith("starting the embedded cloud\n")


def test_a_pass_is_shown_group_by_group_and_summed_up_in_one_line(cloud):
    done = cloud.run("smoke", "--type", "gateway", "--type", TYPE)
    first, *groups = done.stderr.splitlines()
    assert first == "smoke checks of environment e2e"
    found = [re.fullmatch(r"  ok      (.+): ([0-9]+) checks \([0-9]+\.[0-9] s\)", line) for line in groups]
    assert found[0] and found[0][1] == "template, groups, policies, claim, hook"
    assert sorted(group[1] for group in found[1:]) == ["gateway", TYPE]
    assert done.stdout == f"smoke checks: {sum(int(group[2]) for group in found)} passed, 0 failed, 0 skipped\n"


def test_ctrl_c_during_the_smoke_checks_removes_the_canary_and_ends_with_one_line(cloud):
    command = [sys.executable, "-m", "fleetgate", "--root", str(cloud.root), "smoke", "--verbose", "--env", ENVIRONMENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if f"device.{TYPE}.registers" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=900)
    assert (process.returncode, out) == (130, "")
    lines = err.splitlines()
    assert "  stopping; removing the canaries" in lines and f"  ok      device.{TYPE}.removed" in err
    assert lines[-1].startswith("fleetgate: interrupted; ") and lines[-1].endswith(" smoke can be run again")
    assert "Traceback" not in err and "FAILED" not in err
    assert row(cloud, cloud.fleet().catalogue.device_types[TYPE].canary_serial) == {}
