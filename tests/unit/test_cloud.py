"""The embedded cloud's process: one for each environment, on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from fleetgate import cloud, embedded_cloud, environment
from fleetgate.errors import FleetgateError


def test_a_lock_that_is_held_keeps_a_second_cloud_out(tmp_path):
    held = embedded_cloud.hold_lock(tmp_path / "lock")
    code = "import sys; from pathlib import Path; from fleetgate.embedded_cloud import hold_lock; hold_lock(Path(sys.argv[1]))"
    second = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True, check=False)
    assert second.returncode != 0 and "BlockingIOError" in second.stderr
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    held.close()
    assert embedded_cloud.hold_lock(tmp_path / "lock")


def test_a_cloud_that_was_killed_counts_as_down(checkout):
    local = environment.load(checkout, "local")
    folder = local.build / "cloud"
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1\n")  # the process of that id lives, and is not ours
    assert cloud.status(local).pid is None
    assert cloud.down(local) is False


def test_an_environment_on_aws_has_no_cloud_to_ask_for(checkout):
    with pytest.raises(FleetgateError, match="is on AWS"):
        cloud.status(environment.load(checkout, "example"))


def test_a_server_for_every_interface_gets_the_loopback_interface_only():
    code = """
import asyncio
from fleetgate.embedded_cloud import hold_to_loopback
hold_to_loopback()
async def serve():
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "0.0.0.0", 0)
    print(server.sockets[0].getsockname()[0])
asyncio.run(serve())
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == embedded_cloud.LOOPBACK
    assert "create_loopback_server" not in asyncio.base_events.BaseEventLoop.create_server.__name__  # not in this process
