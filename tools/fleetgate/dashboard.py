"""The fleet at one glance, from live data: who is where on the way in, what the hook denies, how fast it is, what quota is used.

The same as the CloudWatch dashboard of the module `monitoring`, for people without the console; and where CloudWatch has no
metrics, as on the embedded cloud, from the registry and the hook's log, of which the metrics are made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetgate import aws, decisions, times
from fleetgate.registry import STATUSES

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.registry import Registry

#: What AWS IoT gives the hook [pre-provisioning hooks].
HOOK_BUDGET_MS = 5_000
#: Points of time on a picture; more would be finer than it can show.
_BUCKETS = 60


@dataclass(frozen=True)
class Latency:
    """Of the hook, in milliseconds. at_ms: Unix time of each value."""

    at_ms: tuple[int, ...] = ()
    p50: tuple[float, ...] = ()
    p99: tuple[float, ...] = ()


@dataclass(frozen=True)
class Dashboard:
    """funnel: devices by type and status. starts_ms: when each bucket of `decided` begins; decided: by reason, a number a bucket.

    canaries: decisions about the smoke checks' own devices, which are not among `decided`. busiest_minute: most decisions in one
    minute, each of which is one RegisterThing, a canary's too; registrations_a_minute: the account's quota for them.
    """

    name: str
    since_ms: int
    until_ms: int
    funnel: dict[str, dict[str, int]]
    starts_ms: tuple[int, ...]
    decided: dict[str, tuple[int, ...]]
    canaries: int
    busiest_minute: int
    registrations_a_minute: int
    latency: Latency

    def to_json(self) -> dict[str, Any]:
        return {
            "since": times.utc(self.since_ms),
            "until": times.utc(self.until_ms),
            "funnel": self.funnel,
            "decisions": {reason: sum(numbers) for reason, numbers in self.decided.items()},
            "canaryDecisions": self.canaries,
            "quotas": {"RegisterThing": {"busiestMinute": self.busiest_minute, "limit": self.registrations_a_minute}},
            "hookMilliseconds": {
                "budget": HOOK_BUDGET_MS,
                "p50": max(self.latency.p50, default=None),
                "p99": max(self.latency.p99, default=None),
            },
        }


@dataclass(frozen=True)
class Usage:
    """What was used at most of a limit. most: None where nobody measured it."""

    what: str
    most: float | None
    limit: int

    @property
    def is_over(self) -> bool:
        return self.most is not None and self.most > self.limit

    def cells(self) -> tuple[str, str, str]:
        most = "no figures" if self.most is None else f"{self.most:,.0f}{' (over the limit)' if self.is_over else ''}"
        return self.what, most, f"{self.limit:,}"


def usages(shown: Dashboard) -> tuple[Usage, ...]:
    """What the fleet used of each limit."""
    return (
        Usage("registrations in a minute", shown.busiest_minute, shown.registrations_a_minute),
        Usage("the hook's p50 in ms", max(shown.latency.p50, default=None), HOOK_BUDGET_MS),
        Usage("the hook's p99 in ms", max(shown.latency.p99, default=None), HOOK_BUDGET_MS),
    )


def look(fleet: Fleet, table: Registry, hook: str, since_ms: int, until_ms: int) -> Dashboard:
    """Reads the registry, the hook's log and its metrics. Raises FleetgateError if the registry or the log is not there."""
    records = [one for one in decisions.Log(hook).all(since_ms) if since_ms <= decisions.timestamp(one) < until_ms]
    latency = _latency(hook, since_ms, until_ms)
    quota = fleet.environment.settings.quotas_per_second.register_thing
    return made(fleet.environment.name, _funnel(fleet, table), records, latency, since_ms, until_ms, quota)


def made(
    name: str,
    funnel: dict[str, dict[str, int]],
    records: list[decisions.Record],
    latency: Latency,
    since_ms: int,
    until_ms: int,
    registrations_a_second: int,
) -> Dashboard:
    """records: decisions between the two times. registrations_a_second: the account's quota."""
    width = max((until_ms - since_ms) // _BUCKETS, 1)
    starts = tuple(range(since_ms, until_ms, width))
    counted: dict[str, Counter[int]] = {}
    minutes: Counter[int] = Counter()
    canaries = 0
    for record in records:
        at = decisions.timestamp(record)
        minutes[at // 60_000] += 1
        if decisions.is_canary(record):
            canaries += 1
        else:
            counted.setdefault(decisions.reason(record), Counter())[(at - since_ms) // width] += 1
    decided = {reason: tuple(counted[reason][index] for index in range(len(starts))) for reason in sorted(counted)}
    busiest, limit = max(minutes.values(), default=0), registrations_a_second * 60
    return Dashboard(name, since_ms, until_ms, funnel, starts, decided, canaries, busiest, limit, latency)


def _funnel(fleet: Fleet, table: Registry) -> dict[str, dict[str, int]]:
    """Of every type of the catalogue, and of each that has left it and still has devices."""
    found = {name: dict.fromkeys(STATUSES, 0) for name in fleet.catalogue.device_types}
    for row in table.rows():
        states = found.setdefault(str(row.get("deviceType", "unknown")), dict.fromkeys(STATUSES, 0))
        status = str(row.get("status", "unknown"))
        states[status] = states.get(status, 0) + 1
    return found


def _latency(hook: str, since_ms: int, until_ms: int) -> Latency:
    """From CloudWatch; empty where it has none."""
    period = max(60, -(-(until_ms - since_ms) // 1000 // _BUCKETS // 60) * 60)  # CloudWatch counts in whole minutes
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": [{"Name": "FunctionName", "Value": hook}]}
    queries = [{"Id": stat, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}} for stat in ("p50", "p99")]
    found = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=since_ms / 1000, EndTime=until_ms / 1000, ScanBy="TimestampAscending"
    )
    values = {one["Id"]: dict(zip(one["Timestamps"], one["Values"], strict=True)) for one in found["MetricDataResults"]}
    p50, p99 = values.get("p50", {}), values.get("p99", {})
    moments = sorted(p50.keys() & p99.keys())
    return Latency(
        tuple(int(at.timestamp() * 1000) for at in moments), tuple(p50[at] for at in moments), tuple(p99[at] for at in moments)
    )
