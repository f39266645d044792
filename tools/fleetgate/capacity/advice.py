"""Which quotas a plan needs, and what to raise them to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fleetgate.capacity.simulation import Rates
from fleetgate.capacity.tables import Quota, Quotas

_DAY = 86_400.0


@dataclass(frozen=True)
class Advice:
    """One quota. default, needed (by the busier of the two ways in) and raise_to are a second, or a number at one time.

    raise_to: with head-room; None: it is enough. for_arrival, for_storm: what each way in needs.
    """

    key: str
    title: str
    unit: str
    default: float
    for_arrival: float
    for_storm: float
    raise_to: float | None
    adjustable: bool
    status: str
    note: str

    @property
    def needed(self) -> float:
        return max(self.for_arrival, self.for_storm)


def rates(table: Quotas, region: str, raised: dict[str, float] | None = None) -> Rates:
    """The rates that devices meet: RegisterThing takes no more than the slowest call behind it. raised: other values, by key."""
    size = table.size(region)

    def value(key: str) -> float:
        return (raised or {}).get(key) or table.quotas[key].value(size)

    behind = [value(key) / q.by_device for key, q in table.quotas.items() if q.behind and q.by_device]
    return Rates(value("connect"), value("create_keys"), min([value("register_thing"), *behind]))


def bottlenecks(table: Quotas, region: str) -> list[str]:
    """The titles of the quotas that no device can pass faster than."""
    size, found = table.size(region), rates(table, region).slowest
    paced = {key: q for key, q in table.quotas.items() if q.behind or key in ("connect", "create_keys", "register_thing")}
    return [q.title for q in paced.values() if q.by_device and math.isclose(q.value(size) / q.by_device, found)]


def advise(
    table: Quotas, usage: dict[str, float], region: str, devices: int, per_hour: float, within_seconds: float
) -> list[Advice]:
    """Every quota against `per_hour` devices an hour, and against a storm of all `devices` that ends in `within_seconds`."""
    size = table.size(region)
    found = []
    for key, quota in table.quotas.items():
        arrival = _needed(quota, usage, devices, per_hour / 3600)
        storm = _needed(quota, usage, devices, devices / within_seconds)
        default, needed = quota.value(size), max(arrival, storm)
        found.append(
            Advice(
                key=key,
                title=quota.title,
                unit="/s" if quota.counts in ("rate", "writes") else "",
                default=default,
                for_arrival=arrival,
                for_storm=storm,
                # Head-room is asked for where there is to be a raise; a default that is just enough is left alone.
                raise_to=float(math.ceil(needed * table.model.headroom - 1e-9)) if needed > default * (1 + 1e-9) else None,
                adjustable=quota.adjustable,
                status=quota.status,
                note=quota.note,
            )
        )
    return found


def _needed(quota: Quota, usage: dict[str, float], devices: int, rate: float) -> float:
    """What a quota has to be for `rate` devices a second to come in while the others are already there."""
    if quota.counts == "connections":
        # Everybody who is in stays connected; a claim's connection is short.
        return devices * usage["connected_share"]
    if quota.counts == "lambda":
        seconds = usage["hook_requests"] * usage["hook_seconds"] + usage["onboarding_requests"] * usage["onboarding_seconds"]
        return rate * seconds + devices * usage["reconnects_per_day"] / _DAY * usage["onboarding_seconds"]
    if quota.counts == "writes":
        coming = rate * usage["table_writes"] * usage["write_units"]
        return coming + devices * usage["reconnects_per_day"] / _DAY * usage["write_units"]
    return rate * quota.by_device + (devices * usage[quota.daily] / _DAY if quota.daily else 0.0)
