"""Clouds for the end-to-end tests, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clouds import Cloud, start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


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
