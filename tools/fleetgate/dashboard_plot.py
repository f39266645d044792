"""The dashboard as a PNG, or as an HTML page with the picture in it. matplotlib is imported only here."""

from __future__ import annotations

import base64
import datetime
import html
import io
from pathlib import Path
from typing import Any

from fleetgate import files
from fleetgate.dashboard import HOOK_BUDGET_MS, Dashboard, usages
from fleetgate.errors import fail

SUFFIXES = (".png", ".html")
#: Told apart by colour-blind people too [Okabe and Ito].
_COLOURS = ("#0072b2", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#f0e442", "#000000")


def check(path: Path) -> None:
    """Raises FleetgateError if a picture cannot be drawn or written there; asked before anything is read."""
    if path.suffix.lower() not in SUFFIXES:
        raise fail(str(path), "is not the name of a PNG or HTML file", "end it with .png or .html")
    if not path.parent.is_dir():
        raise fail(str(path), "its folder does not exist", f"make it: mkdir -p {path.parent}")
    if path.is_dir():
        raise fail(str(path), "is a folder", "give the name of a file")
    try:
        import matplotlib  # noqa: F401 - whether it is there
    except ModuleNotFoundError:
        raise fail("--render", "the package matplotlib is not installed", "run: pip install 'fleetgate[plot]'") from None


def write(shown: Dashboard, path: Path) -> None:
    """Writes the picture, whole or not at all. Raises FleetgateError if the file cannot be written."""
    content = _png(shown)
    if path.suffix.lower() == ".html":
        content = _page(shown, content).encode()
    try:
        files.replace(path, content)
    except OSError as error:
        raise fail(str(path), f"cannot be written: {error.strerror}", "give a path that you may write to") from None


def _png(shown: Dashboard) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(shown), fontweight="bold", x=0.01, ha="left")
    (funnel, denials), (latency, quotas) = figure.subplots(2, 2)
    _funnel(funnel, shown)
    _denials(denials, shown)
    _latency(latency, shown)
    _quotas(quotas, shown)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _title(shown: Dashboard) -> str:
    return f"{shown.name}: {_time(shown.since_ms)} to {_time(shown.until_ms)} UTC"


def _funnel(axes: Any, shown: Dashboard) -> None:
    """One row a type; the statuses beside each other, and their numbers in them."""
    types = sorted(shown.funnel, reverse=True)
    statuses = list(dict.fromkeys(status for states in shown.funnel.values() for status in states))
    most = max([sum(states.values()) for states in shown.funnel.values()], default=0) or 1
    left = dict.fromkeys(types, 0)
    for colour, status in zip(_COLOURS * 2, statuses, strict=False):
        numbers = [shown.funnel[name].get(status, 0) for name in types]
        axes.barh(types, numbers, left=[left[name] for name in types], color=colour, label=status)
        for name, number in zip(types, numbers, strict=True):
            if number >= most * 0.04:
                axes.text(left[name] + number / 2, name, f"{number:,}", ha="center", va="center", color="white", fontsize=9)
            left[name] += number
    axes.set_title("Devices: registered → provisioning → provisioned → active", loc="left", fontsize=11)
    axes.set_xlim(0, most * 1.02)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if types:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=5, fontsize=8, frameon=False)


def _denials(axes: Any, shown: Dashboard) -> None:
    denied = {reason: numbers for reason, numbers in shown.decided.items() if reason != "allowed"}
    axes.set_title(f"Denials by reason ({sum(map(sum, denied.values())):,})", loc="left", fontsize=11)
    if not denied:
        _nothing(axes, "nobody was denied")
        return
    times, heights = steps(shown, list(denied.values()))
    axes.stackplot(times, *heights, labels=list(denied), colors=_COLOURS, step="post")
    axes.set_xlim(_date(shown.since_ms), _date(shown.until_ms))
    axes.legend(loc="upper left", fontsize=8)
    _clock(axes)


def steps(shown: Dashboard, numbers: list[tuple[int, ...]]) -> tuple[list[datetime.datetime], list[tuple[int, ...]]]:
    """The buckets as corners of steps: a step reaches to the next one's begin, so the last one needs an end."""
    return [_date(at) for at in (*shown.starts_ms, shown.until_ms)], [(*row, row[-1]) for row in numbers]


def _latency(axes: Any, shown: Dashboard) -> None:
    axes.set_title(f"The hook's time, of {HOOK_BUDGET_MS:,} ms", loc="left", fontsize=11)
    if not shown.latency.at_ms:
        _nothing(axes, "CloudWatch has no figures")
        return
    times = [_date(at) for at in shown.latency.at_ms]
    axes.plot(times, shown.latency.p50, color=_COLOURS[0], label="p50", marker="o", linewidth=2)
    axes.plot(times, shown.latency.p99, color=_COLOURS[4], label="p99", marker="o", linewidth=2)
    axes.axhline(HOOK_BUDGET_MS, color="black", linestyle="--", linewidth=1, label="AWS IoT gives up")
    axes.set_xlim(_date(shown.since_ms), _date(shown.until_ms))
    axes.set_ylim(0, max(HOOK_BUDGET_MS, *shown.latency.p99) * 1.1)
    axes.legend(fontsize=8)
    _clock(axes)


def _quotas(axes: Any, shown: Dashboard) -> None:
    limit = shown.registrations_a_minute
    axes.set_title("Quota used: registrations in the busiest minute", loc="left", fontsize=11)
    axes.barh(["RegisterThing"], [limit], color="#dddddd")
    axes.barh(["RegisterThing"], [shown.busiest_minute], color=_COLOURS[3] if shown.busiest_minute < limit * 0.8 else _COLOURS[4])
    axes.text(limit / 2, 0, f"{shown.busiest_minute:,} of {limit:,}", ha="center", va="center")
    axes.set_ylim(-1.5, 1.5)


def _nothing(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#666666")
    axes.set_axis_off()
    axes.title.set_visible(True)


def _clock(axes: Any) -> None:
    from matplotlib import dates

    untyped: Any = dates  # matplotlib types its dates in part
    locator = untyped.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    axes.grid(alpha=0.3)


def _date(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


def _time(ms: int) -> str:
    return _date(ms).strftime("%Y-%m-%d %H:%M")


def _page(shown: Dashboard, png: bytes) -> str:
    """Self-contained: the picture, and its numbers as a table for who cannot see it."""
    statuses = list(dict.fromkeys(status for states in shown.funnel.values() for status in states))
    head = "".join(f"<th>{html.escape(status)}</th>" for status in statuses)
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{states.get(status, 0):,}</td>" for status in statuses) + "</tr>"
        for name, states in sorted(shown.funnel.items())
    )
    numbers = {one: sum(n) for one, n in shown.decided.items()} | (
        {"canaries of the smoke checks": shown.canaries} if shown.canaries else {}
    )
    denials = "".join(f"<tr><th>{html.escape(one)}</th><td>{number:,}</td></tr>" for one, number in numbers.items())
    limits = "".join(
        f"<tr{' class=over' if usage.is_over else ''}><th>{html.escape(what)}</th><td>{most}</td><td>{limit}</td></tr>"
        for usage in usages(shown)
        for what, most, limit in [usage.cells()]
    )
    title = html.escape(_title(shown))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:15px system-ui;margin:2rem auto;padding:0 1rem;max-width:80rem}}img{{width:100%}}
div{{overflow-x:auto}}.over td{{color:#b00020;font-weight:bold}}
td,th{{padding:.2rem .8rem;text-align:right}}tr>th:first-child{{text-align:left}}</style></head>
<body><img alt="Dashboard of {title}; the numbers stand below" src="data:image/png;base64,{base64.b64encode(png).decode()}">
<h2>Devices</h2><div><table><tr><th></th>{head}</tr>{rows}</table></div>
<h2>Decisions of the hook</h2><div><table>{denials or "<tr><td>none</td></tr>"}</table></div>
<h2>Against the limits</h2><div><table><tr><th></th><th>most</th><th>limit</th></tr>{limits}</table></div></body></html>
"""
