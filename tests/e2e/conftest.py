"""An embedded cloud of its own for the end-to-end tests: own ports, own state, own checkout, stopped at the end."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import copy_checkout

from fleetgate import build, environment
from fleetgate.build import Fleet
from fleetgate.environment import Environment

ENVIRONMENT = "e2e"
LEASE_SECONDS = 5


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cloud:
    """A checkout with an embedded cloud of its own, driven through the command line as a person would."""

    root: Path
    _clients: dict[str, Any] = field(default_factory=dict)

    def fleetgate(self, *arguments: str, status: int | None = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the command; asserts its exit status unless `status` is None."""
        command = [sys.executable, "-m", "fleetgate", "--root", str(self.root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=os.environ | (env or {}), stdin=subprocess.DEVNULL)
        if status is not None:
            assert done.returncode == status, f"{arguments} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """The same in the e2e environment."""
        return self.fleetgate(*arguments, "--env", ENVIRONMENT, status=status)

    def environment(self) -> Environment:
        return environment.load(self.root, ENVIRONMENT)

    def fleet(self) -> Fleet:
        return build.compile_fleet(self.environment())

    def client(self, service: str) -> Any:
        if service not in self._clients:
            endpoint = self.environment().endpoint_url
            session = boto3.session.Session("test", "test", region_name="us-east-1")
            self._clients[service] = session.client(service, endpoint_url=endpoint)
        return self._clients[service]

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def apply(self) -> str:
        """Plans and applies without the smoke checks; returns what was said."""
        planned = self.run("plan")
        applied = self.run("apply", "--no-smoke")
        return planned.stdout + planned.stderr + applied.stdout + applied.stderr


def start(root: Path) -> Cloud:
    copy_checkout(root)
    local = (root / "terraform/envs/local.yaml").read_text(encoding="utf-8")
    text = re.sub(r"gateway_port: \d+", f"gateway_port: {free_port()}", local)
    text = re.sub(r"mqtt_port: \d+", f"mqtt_port: {free_port()}", text)
    text = text.replace("  factory-1: {}", "  factory-1: {}\n  factory-2: {}")
    text += f"lease_seconds: {LEASE_SECONDS}\n"
    (root / f"terraform/envs/{ENVIRONMENT}.yaml").write_text(text, encoding="utf-8")
    cloud = Cloud(root)
    cloud.run("cloud", "up")
    return cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The fleet that most tests share: applied once."""
    cloud = start(tmp_path_factory.mktemp("fleet") / "checkout")
    try:
        cloud.apply()
        yield cloud
    finally:
        cloud.run("cloud", "down")


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """An empty cloud for one test that changes the fleet itself."""
    cloud = start(tmp_path / "checkout")
    try:
        yield cloud
    finally:
        cloud.run("cloud", "down")


@pytest.fixture(autouse=True)
def _enter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points this process at the test's cloud, for tests that call the tools in process."""
    for name in ("cloud", "own_cloud"):
        if name in request.fixturenames:
            chosen: Cloud = request.getfixturevalue(name)
            for key, value in chosen.environment().process_variables().items():
                if value is None:
                    monkeypatch.delenv(key, raising=False)
                else:
                    monkeypatch.setenv(key, value)
