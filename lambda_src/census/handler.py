"""The census of the fleet: counts devices by type and status on a schedule, and says which are stuck."""

from __future__ import annotations

import os
import time
from pathlib import Path

import census
import registry
import settings

SETTINGS = settings.load(os.environ, Path(__file__).parent)
REGISTRY = registry.connect()


def handler(event: object, context: object) -> dict[str, int]:
    """The number of devices and of those that are stuck. Raises if the registry cannot be read: half a count is none."""
    now_ms = time.time_ns() // 1_000_000
    counts = {
        kind: census.count(registry.rows(REGISTRY, SETTINGS.table_name, kind), SETTINGS.limits, now_ms)
        for kind in SETTINGS.device_types
    }
    for line in census.records(counts, SETTINGS.template_name, now_ms):
        print(f"{line}\n", end="", flush=True)
    devices = sum(found.devices.total() for found in counts.values())
    return {"devices": devices, "stuck": sum(len(found.stuck) for found in counts.values())}
