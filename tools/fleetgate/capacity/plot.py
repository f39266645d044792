"""A capacity plan as a picture. matplotlib is imported only here: most people never draw one, and pre-commit hooks never do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleetgate.capacity import report
from fleetgate.capacity.plan import Plan
from fleetgate.capacity.simulation import Result
from fleetgate.errors import fail

_JITTER, _NAIVE, _RAISED, _BOUND = "#56a5d8", "#d55e00", "#009e73", "#000000"  # told apart by colour-blind people too
_POINTS = 2_000


def check(path: Path) -> None:
    """Raises FleetgateError if a picture cannot be drawn or written there; asked before anything long is computed."""
    if path.suffix.lower() != ".png":
        raise fail(str(path), "is not the name of a PNG file", "end it with .png")
    if not path.parent.is_dir():
        raise fail(str(path), "its folder does not exist", f"make it: mkdir -p {path.parent}")
    if path.is_dir():
        raise fail(str(path), "is a folder", "give the name of a file")
    try:
        import matplotlib  # noqa: F401 - whether it is there
    except ModuleNotFoundError:
        raise fail("--plot", "the package matplotlib is not installed", "run: pip install 'fleetgate[plot]'") from None


def write(plan: Plan, path: Path) -> None:
    """Writes the picture. Raises FleetgateError if the file cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(1.0, 1.5))
    _storm(upper, plan)
    _costs(lower, plan)
    try:
        # Without the program's version in it, the same plan gives the same picture.
        figure.savefig(path, format="png", metadata={"Software": None})
    except OSError as error:
        raise fail(str(path), f"cannot be written: {error.strerror}", "give a path that you may write to") from None


def _storm(axes: Any, plan: Plan) -> None:
    wish = plan.wish
    shown = [(plan.naive, _NAIVE, "without jitter"), (plan.storm, _JITTER, "with jitter (the device client)")]
    if plan.raised:
        shown.append((plan.raised, _RAISED, "with jitter, quotas raised as advised"))
    ends = [result.curve[-1][0] for result, _, _ in shown]
    unit, name = _time_unit(max(ends))
    least = plan.least_seconds / unit
    bound = f"closed form at {plan.rates.slowest:g}/s: {report.duration(plan.least_seconds)}"
    axes.plot([0, least], [0, wish.devices], color=_BOUND, linestyle=(0, (4, 4)), linewidth=1.4, label=bound, zorder=5)
    for result, colour, label in shown:
        x, y = _thinned(result)
        done = result.seconds_until(1.0)
        end = f": {report.duration(done)}" if done is not None else f": {result.provisioned:,} in, the rest never"
        axes.plot([value / unit for value in x], y, color=colour, linewidth=3.5, label=label + end, drawstyle="steps-post")
    axes.set_title(f"First-boot storm of {wish.devices:,} devices in {wish.region}", loc="left", fontweight="bold")
    axes.set_xlabel(f"time since the devices were switched on ({name})")
    axes.set_ylabel("devices provisioned")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(0, max(ends) / unit * 1.02)
    axes.set_ylim(0, wish.devices * 1.05)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", framealpha=0.95)


def _costs(axes: Any, plan: Plan) -> None:
    lines = [line for line in plan.bill.lines if line.onboarding_usd >= 0.005 or line.monthly_usd >= 0.005][::-1]
    money = plan.prices.currency
    positions = range(len(lines))
    once = [line.onboarding_usd for line in lines]
    month = [line.monthly_usd for line in lines]
    height, apart = 0.36, 0.21
    for values, offset, colour, label in (
        (month, -apart, _JITTER, f"to keep, a month: {plan.bill.monthly_usd:,.2f} {money}"),
        (once, apart, _NAIVE, f"to onboard, once: {plan.bill.onboarding_usd:,.2f} {money}"),
    ):
        bars = axes.barh([p + offset for p in positions], values, height, color=colour, label=label)
        axes.bar_label(bars, [f"{value:,.2f}" if value >= 0.005 else "" for value in values], padding=3, fontsize=7.5)
    axes.set_yticks(list(positions), [line.title + (" *" if line.status == "assumption" else "") for line in lines])
    # Items differ by powers of ten; on a linear scale all but one of them would be invisible.
    axes.set_xscale("log")
    largest = max([*once, *month, 1.0])
    axes.set_xlim(min(0.01 * largest, max(0.01, min([v for v in (*once, *month) if v >= 0.005], default=0.01) / 2)), largest * 12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.set_xlabel(f"{money}, logarithmic; without tax, discounts and free tier (* price not confirmed for this Region)")
    axes.set_title(f"Cost of {plan.wish.devices:,} devices in {plan.wish.region}", loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    # Beside the title: bars reach everywhere else.
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.2)


def _time_unit(seconds: float) -> tuple[float, str]:
    if seconds < 600:
        return 1.0, "seconds"
    if seconds < 3 * 3600:
        return 60.0, "minutes"
    return (3600.0, "hours") if seconds < 96 * 3600 else (86_400.0, "days")


def _thinned(result: Result) -> tuple[list[float], list[int]]:
    """No more points than a picture shows, always with the last one."""
    step = max(1, len(result.curve) // _POINTS)
    points = [*result.curve[::step], result.curve[-1]]
    return [x for x, _ in points], [y for _, y in points]
