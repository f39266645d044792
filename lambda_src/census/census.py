"""Who is where on the way from registered to active, and who has stood still for too long. Pure: rows in, records out."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: In the order of a device's life [docs/architecture: device registry].
STATUSES = ("registered", "provisioning", "provisioned", "active", "revoked")
#: Serial numbers that one record names; the command line lists all.
MAXIMUM_NAMED = 50


@dataclass(frozen=True, slots=True)
class Row:
    """What the census reads of a row. since_ms: when it came to its status, in milliseconds of Unix time, None if unknown."""

    serial: str
    status: str
    since_ms: int | None


@dataclass
class Count:
    """Of one device type. stuck: serial number, status, seconds in it."""

    devices: Counter[str] = field(default_factory=Counter)
    stuck: list[tuple[str, str, int]] = field(default_factory=list)


def since_ms(status: str, leased_at: str | None, provisioned_at: str | None) -> int | None:
    """When a device came to this status: the hook writes milliseconds as a number, the onboarding function RFC 3339."""
    try:
        if status == "provisioning" and leased_at is not None:
            return int(leased_at)
        if status == "provisioned" and provisioned_at is not None:
            return int(datetime.datetime.fromisoformat(provisioned_at).timestamp() * 1000)
    except ValueError:
        return None
    return None


def count(rows: Iterable[Row], limits: Mapping[str, int], now_ms: int) -> Count:
    """limits: seconds after which a device is stuck, by status. One whose time cannot be read is stuck: somebody has to look."""
    found = Count()
    for row in rows:
        found.devices[row.status] += 1
        limit = limits.get(row.status)
        if limit is None:
            continue
        seconds = None if row.since_ms is None else (now_ms - row.since_ms) // 1000
        if seconds is None or seconds > limit:
            found.stuck.append((row.serial, row.status, -1 if seconds is None else seconds))
    return found


def records(counts: Mapping[str, Count], template: str, now_ms: int) -> list[str]:
    """JSON lines that CloudWatch reads as metrics, too (embedded metric format): of every type, and one of them all."""
    lines = []
    for kind, found in counts.items():
        for status in STATUSES:
            dimensions = {"TemplateName": template, "DeviceType": kind, "Status": status}
            lines.append(_metric("census", dimensions, "Devices", found.devices[status], now_ms))
        named = [{"serialNumber": serial, "status": status, "seconds": seconds} for serial, status, seconds in found.stuck]
        named.sort(key=lambda one: -int(str(one["seconds"])))
        extra = {"stuck": named[:MAXIMUM_NAMED]}
        dimensions = {"TemplateName": template, "DeviceType": kind}
        lines.append(_metric("stuck_devices", dimensions, "StuckDevices", len(named), now_ms, extra))
    total = sum(len(found.stuck) for found in counts.values())
    lines.append(_metric("stuck_devices", {"TemplateName": template}, "StuckDevices", total, now_ms))
    return lines


def _metric(
    event: str,
    dimensions: Mapping[str, str],
    name: str,
    value: int,
    now_ms: int,
    extra: Mapping[str, Sequence[object]] | None = None,
) -> str:
    metrics = {"Namespace": "Fleetgate", "Dimensions": [list(dimensions)], "Metrics": [{"Name": name, "Unit": "Count"}]}
    record = {"event": event, **dimensions, name: value, **(extra or {})}
    return json.dumps({**record, "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [metrics]}})
