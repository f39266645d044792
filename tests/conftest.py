"""Shared by all tests: a copy of the checkout, and a fleet compiled from the real catalogue without touching the network."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkouts import copy_checkout
from fleetgate import build, claims, environment, terraform
from fleetgate.build import Fleet


def pytest_sessionstart() -> None:
    os.environ.setdefault("GOGC", terraform.GOGC)  # also where a test calls Terraform itself
    # Started in a shell's background, this process and its children would ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # `make test` runs three processes, which mostly wait: what shares a fleet or a file's fixtures stays in one of them. The
    # tests of the shared fleet would be the longest queue of all, so there are two of it, with as much to do.
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "own_cloud" not in names and not item.get_closest_marker("xdist_group"):
            fleet = "fleet" if item.path.name < "test_g" else "second fleet"
            item.add_marker(pytest.mark.xdist_group(fleet if "cloud" in names else item.path.name))


def pytest_collection_finish(session: pytest.Session) -> None:
    # Whether it does so is seen nowhere but in the time: each process would make every fleet for itself.
    if "PYTEST_XDIST_WORKER" in os.environ:
        lost = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        assert not lost, f"xdist does not keep groups together, as in {lost[0]}: another pytest, or the order of hooks"


@pytest.fixture(autouse=True)
def _sigint() -> Iterator[None]:
    """Puts back what happens on Ctrl-C: an interrupted command changes it on its way out, and another test's would end pytest."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def fleet(checkout: Path) -> Fleet:
    """The real catalogue's fleet in the local environment, with its claim's signing request made."""
    local = environment.load(checkout, "local")
    for name in claims.missing(local):
        claims.create(local, name)
    return build.compile_fleet(local)


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide for tests as in a log, whoever runs them."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _no_real_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach an AWS account, whatever the machine it runs on is logged in to."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
