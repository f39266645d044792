"""What a fleet costs: once to bring in, and each month to keep."""

from __future__ import annotations

from dataclasses import dataclass

from fleetgate.capacity.simulation import CONNECT_SERVICE, Result
from fleetgate.capacity.tables import Price, Prices

#: A month is 730 hours, as in AWS's own examples.
_HOURS = 730.0
_DAYS = _HOURS / 24
_KILOBYTES = 1_000_000.0  # in a GB


@dataclass(frozen=True)
class Line:
    """One item. quantities are in the item's own measure (minutes, messages …), usd is what they cost; monthly ones a month."""

    key: str
    title: str
    unit: str
    price: str
    status: str
    onboarding_quantity: float
    onboarding_usd: float
    monthly_quantity: float
    monthly_usd: float


@dataclass(frozen=True)
class Bill:
    """The lines in the order of the table of prices."""

    lines: tuple[Line, ...]
    #: How many of the onboarding's messages are about throttled requests and repeated connections.
    wasted_messages: float

    @property
    def onboarding_usd(self) -> float:
        return sum(line.onboarding_usd for line in self.lines)

    @property
    def monthly_usd(self) -> float:
        return sum(line.monthly_usd for line in self.lines)


def bill(table: Prices, region: str, devices: int, storm: Result | None = None) -> Bill:
    """The cost of `devices`. Requests that `storm` had rejected, and connections that it repeated, are paid for, too."""
    coming = _onboarding(table.usage, devices, storm)
    staying = _monthly(table.usage, devices)
    lines = []
    for key, item in table.items.items():
        price = table.prices[region][key]
        once, month = coming.get(key, 0.0), staying.get(key, 0.0)
        lines.append(
            Line(key, item.title, item.unit, _said(price), price.status, once, _cost(price, once, item.per), month,
                 _cost(price, month, item.per))
        )  # fmt: skip
    needed = _onboarding(table.usage, devices, None)
    return Bill(tuple(lines), coming["messages"] - needed["messages"])


def _onboarding(use: dict[str, float], devices: int, storm: Result | None) -> dict[str, float]:
    rejections = repeated = refused_connects = 0.0
    if storm is not None:
        refused_connects = storm.rejected[CONNECT_SERVICE]
        rejections = sum(storm.rejected.values()) - refused_connects
        # Beyond the claim's connection and the device's own, each connection that was taken is one of a device that began again.
        repeated = max(0, storm.requests[CONNECT_SERVICE] - refused_connects - 2 * storm.provisioned)
    messages = sum(
        use[k] for k in ("claim_connects", "own_connects", "subscribes", "requests", "answers", "answer_acknowledgements")
    )
    compute = use["hook_requests"] * use["hook_seconds"] * use["hook_gigabytes"]
    compute += use["onboarding_requests"] * use["onboarding_seconds"] * use["onboarding_gigabytes"]
    return {
        "connectivity": devices * use["claim_minutes"] + repeated,
        "messages": devices * messages
        + rejections * use["messages_per_rejection"]
        + refused_connects * use["messages_per_refused_connect"]
        + repeated * (use["claim_connects"] + use["subscribes"]),
        "registry": devices * (use["registry_operations"] + use["shadow_operations"]),
        "rules": devices * use["rules_per_device"],
        "actions": devices * use["rules_per_device"],
        "lambda_requests": devices * (use["hook_requests"] + use["onboarding_requests"]),
        "lambda_gb_seconds": devices * compute,
        "table_writes": devices * use["table_writes"] * use["write_units"],
        "logs": devices * use["log_kilobytes"] / _KILOBYTES,
        "indexing": devices * use["index_updates"] * use["indexed_share"],
    }


def _monthly(use: dict[str, float], devices: int) -> dict[str, float]:
    reconnects = devices * use["reconnects_per_day"] * _DAYS
    shadow = devices * use["shadow_operations_per_day"] * _DAYS
    messages = devices * (use["telemetry_per_day"] + 2 * use["received_per_day"]) * _DAYS
    stored = devices * use["row_kilobytes"] / _KILOBYTES
    return {
        "connectivity": devices * use["connected_share"] * _HOURS * 60,
        "messages": messages + reconnects * (1 + use["subscribes_per_reconnect"]),
        "registry": shadow,
        "rules": reconnects,
        "actions": reconnects,
        "lambda_requests": reconnects,
        "lambda_gb_seconds": reconnects * use["onboarding_seconds"] * use["onboarding_gigabytes"],
        "table_writes": reconnects * use["write_units"],
        "table_storage": stored,
        "table_backup": stored,
        "logs": reconnects * use["log_kilobytes"] / 3 / _KILOBYTES,
        "metrics": use["custom_metrics"],
        "audit": devices * use["audited_share"],
        # A shadow that changes, a connection that ends and one that begins.
        "indexing": (shadow + 2 * reconnects) * use["indexed_share"],
    }


def _cost(price: Price, quantity: float, per: float) -> float:
    if price.tiers is None:
        return quantity / per * (price.usd or 0.0)
    total, begin = 0.0, 0.0
    for tier in price.tiers:
        end = quantity if tier.up_to is None else min(quantity, tier.up_to)
        total += max(0.0, end - begin) / per * tier.usd
        begin = max(begin, end)
    return total


def _said(price: Price) -> str:
    if price.tiers is None:
        return f"{price.usd:g}"
    return (
        "-".join(f"{end.usd:g}" for end in (price.tiers[0], price.tiers[-1]))
        if len(price.tiers) > 1
        else f"{price.tiers[0].usd:g}"
    )
