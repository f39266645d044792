"""A capacity plan as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetgate.capacity.plan import Plan
from fleetgate.capacity.simulation import Result
from fleetgate.errors import count

_SHARES = (0.5, 0.99, 1.0)


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `45 s`, `12 min`, `2 h 47 min`, `4 d 4 h`."""
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 72 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def as_json(plan: Plan) -> dict[str, Any]:
    """Everything in base units: seconds, devices, requests, USD. Keys do not depend on the input but where they name items."""
    wish = plan.wish
    raised = plan.raised and _result(plan.raised) | {"least_seconds": plan.raised_least_seconds}
    return {
        "arrival": _result(plan.arrival)
        | {
            "backlog_closed_form": plan.steady.backlog,
            "load": plan.steady.load,
            "mean_queue_seconds_closed_form": plan.steady.mean_wait,
            "seconds_closed_form": plan.steady.seconds,
        },
        "assumptions": {"model": plan.quotas.model.model_dump(), "usage": plan.prices.usage},
        "cost": {
            "currency": plan.prices.currency,
            "lines": [
                {
                    "item": line.key,
                    "monthly_quantity": line.monthly_quantity,
                    "monthly": line.monthly_usd,
                    "onboarding": line.onboarding_usd,
                    "onboarding_quantity": line.onboarding_quantity,
                    "price": line.price,
                    "source": _source(plan, line.key),
                    "status": line.status,
                    "title": line.title,
                    "unit": line.unit,
                }
                for line in plan.bill.lines
            ],
            "monthly": plan.bill.monthly_usd,
            "onboarding_wasted_messages": plan.bill.wasted_messages,
            "onboarding": plan.bill.onboarding_usd,
        },
        "devices": wish.devices,
        "per_hour": wish.per_hour,
        "quotas": [
            {
                "adjustable": a.adjustable,
                "current": a.default,
                "name": a.key,
                "needed": a.needed,
                "needed_for_arrival": a.for_arrival,
                "needed_for_storm": a.for_storm,
                "raise_to": a.raise_to,
                "source": plan.quotas.sources[plan.quotas.quotas[a.key].source].model_dump(mode="json"),
                "status": a.status,
                "title": a.title,
            }
            for a in plan.advices
        ],
        "region": wish.region,
        "region_size": plan.quotas.size(wish.region),
        "seed": wish.seed,
        "storm": {
            "bottlenecks": list(plan.bottlenecks),
            "least_seconds": plan.least_seconds,
            "with_jitter": _result(plan.storm),
            "with_jitter_no_restart": _result(plan.unaided),
            "with_raised_quotas": raised,
            "without_jitter": _result(plan.naive),
        },
        "within_seconds": wish.within_seconds,
    }


def text(plan: Plan) -> str:
    """The plan in tables for a terminal or a log, ending with a line break."""
    return "\n".join([*_storm(plan), "", *_arrival(plan), "", *_quotas(plan), "", *_costs(plan), "", *_assumptions(plan), ""])


def _storm(plan: Plan) -> list[str]:
    wish, model = plan.wish, plan.quotas.model
    head = (
        "client",
        "50% in",
        "99% in",
        "all in",
        "restarts",
        "rejected",
        "requests/device",
        "peak connects/s",
        "peak requests/s",
    )
    rows = [_row(plan.storm), _row(plan.naive)]
    if plan.raised:
        rows.append(("with jitter, quotas raised", *_row(plan.raised)[1:]))
    lines = [
        f"First-boot storm: {_devices(plan)} at once in {wish.region}",
        f"  closed form, nothing wasted: {duration(plan.least_seconds)} at {plan.rates.slowest:g} devices/s, held back by",
        f"  {', '.join(plan.bottlenecks)}",
        *_table(head, rows),
    ]
    after = f" after {duration(model.restart_seconds)}" if model.restart_seconds else ""
    if plan.unaided.given_up:
        lines.append(
            f"  A device gives up after {count(plan.attempts, 'attempt')} at one request: if nothing started it again{after},"
            f" only {plan.unaided.provisioned:,} of {wish.devices:,} would get in."
        )
    if plan.storm.provisioned < wish.devices or plan.naive.provisioned < wish.devices:
        lines.append(f"  in: {plan.storm.provisioned:,} with jitter, {plan.naive.provisioned:,} without")
    return lines


def _row(result: Result) -> tuple[str, ...]:
    peak = max(result.peak["create"], result.peak["register"])
    return (
        result.client,
        *(duration(result.seconds_until(share)) for share in _SHARES),
        f"{result.restarts:,}",
        f"{sum(result.rejected.values()):,}",
        f"{result.attempts_per_device:,.1f}",
        f"{result.peak['connect']:,}",
        f"{peak:,}",
    )


def _arrival(plan: Plan) -> list[str]:
    steady, found = plan.steady, plan.arrival
    lines = [f"Steady arrival: {plan.wish.per_hour:,.0f} devices an hour, {steady.load:.0%} of what the quotas let through"]
    if steady.load >= 1:
        lines.append(
            f"  no room left: by the closed form {steady.backlog:,.0f} wait when the last one arrives, all are in after"
            f" {duration(steady.seconds)}; simulated {duration(found.seconds_until(1.0))}"
        )
    else:
        lines.append(
            f"  closed form (M/D/1): {steady.mean_wait:.2f} s in the queue on average, all in after {duration(steady.seconds)};"
            f" simulated {duration(found.seconds_until(1.0))}, {sum(found.rejected.values()):,} rejected,"
            f" {duration(found.mean_seconds)} from switching on to in"
        )
    return lines


def _quotas(plan: Plan) -> list[str]:
    wish, factor = plan.wish, plan.quotas.model.headroom
    head = (
        "quota",
        "current",
        f"{wish.per_hour:,.0f}/h needs",
        f"storm in {duration(wish.within_seconds)} needs",
        "raise to",
        "",
    )
    rows = []
    for a in plan.advices:
        raise_to = "-" if a.raise_to is None else f"{a.raise_to:,.0f}{a.unit}" if a.adjustable else "cannot be raised"
        rows.append(
            (a.title, f"{a.default:,.10g}{a.unit}", _figure(a.for_arrival) + a.unit, _figure(a.for_storm) + a.unit, raise_to,
             "*" if a.status == "assumption" else "")
        )  # fmt: skip
    return [
        f"Service quotas of an account in {wish.region}; raised ones have head-room, {factor:g} times the need",
        *_table(head, rows),
    ]


def _costs(plan: Plan) -> list[str]:
    money = plan.prices.currency
    head = ("item", f"{money} for", "one unit", "onboarding", f"{money} once", "a month", f"{money} a month", "")
    rows = [
        (line.title, line.price, line.unit, _figure(line.onboarding_quantity), f"{line.onboarding_usd:,.2f}",
         _figure(line.monthly_quantity), f"{line.monthly_usd:,.2f}", "*" if line.status == "assumption" else "")
        for line in plan.bill.lines
    ]  # fmt: skip
    rows.append(("Total", "", "", "", f"{plan.bill.onboarding_usd:,.2f}", "", f"{plan.bill.monthly_usd:,.2f}", ""))
    return [
        f"Cost of {_devices(plan)} in {plan.wish.region}; without tax, discounts and free tier",
        *_table(head, rows, left=(0, 2)),
        f"  {_figure(plan.bill.wasted_messages)} of the onboarding's messages are throttled requests and repeated connections.",
        "  * not confirmed for this Region: compare with AWS's page (prices.toml, quotas.toml have address and date)",
    ]


def _assumptions(plan: Plan) -> list[str]:
    said = [f"{key} {value:g}" for key, value in {**plan.quotas.model.model_dump(), **plan.prices.usage}.items()]
    lines, line = ["Assumptions (override by --quotas FILE [model] and --prices FILE [usage])"], " "
    for word in said:
        if len(line) + len(word) > 125:
            lines.append(line + ",")
            line = " "
        line += f" {word}" if line == " " else f", {word}"
    return [*lines, line]


def _devices(plan: Plan) -> str:
    return count(plan.wish.devices, "device").replace(str(plan.wish.devices), f"{plan.wish.devices:,}")


def _result(result: Result) -> dict[str, Any]:
    return {
        "attempts_per_device": result.attempts_per_device,
        "given_up": result.given_up,
        "mean_seconds": result.mean_seconds,
        "peak_per_second": result.peak,
        "provisioned": result.provisioned,
        "rejected": result.rejected,
        "requests": result.requests,
        "restarts": result.restarts,
        "seconds": {f"{share:.0%}": result.seconds_until(share) for share in _SHARES},
        "slot_seconds": result.slot_seconds,
    }


def _source(plan: Plan, item: str) -> dict[str, Any]:
    return plan.prices.sources[plan.prices.prices[plan.wish.region][item].source].model_dump(mode="json")


def _figure(value: float) -> str:
    if value == 0:
        return "0"
    if value >= 1e6:
        return f"{value / 1e6:,.0f} M" if value >= 1e9 else f"{value / 1e6:,.4g} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        return ("  " + "  ".join(cells)).rstrip()

    return [line(head), "  " + "  ".join("-" * w for w in widths).rstrip(), *map(line, rows)]
