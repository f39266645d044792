"""`fleetgate dashboard`: the fleet at one glance, for people without the console."""

from __future__ import annotations

import argparse
from pathlib import Path

from fleetgate.commands import common

_EPILOG = """\
examples:
  fleetgate dashboard
  fleetgate dashboard --render fleet.png --since 8
  fleetgate dashboard --render fleet.html --env production

From live data: the registry, the hook's log and its metrics. The CloudWatch dashboard of the stack shows the same over time.
What the smoke checks' canaries were told is counted apart. The quotas are those of the environment's file, quotas_per_second,
by default AWS IoT's: nobody asks AWS for them."""


def add(subparsers: common.Subparsers) -> None:
    summary = "show who is where on the way in, what the hook denies, how fast it is, and what quota is used"
    parser = common.add_parser(subparsers, "dashboard", summary, _dashboard)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.set_defaults(refuse=parser.error)
    parser.add_argument("--render", metavar="FILE", help="draw it: a .png, or a .html page with the picture and its numbers")
    common.add_since(parser, 24, 720)
    parser.add_argument("--json", action="store_true", help="for programs")


def _dashboard(args: argparse.Namespace) -> int:
    import time

    from fleetgate import dashboard, dashboard_plot, progress
    from fleetgate.commands.registry import open_registry

    common.refuse_empty(args)
    path = Path(args.render) if args.render else None
    if path is not None:
        dashboard_plot.check(path)
    fleet = common.fleet(args)
    table = open_registry(fleet)
    until_ms = time.time_ns() // 1_000_000
    with progress.bar("reading the registry and the hook's log", None, kept=False):
        shown = dashboard.look(fleet, table, fleet.names.hook, until_ms - int(args.since * 3_600_000), until_ms)
    if path is not None:
        dashboard_plot.write(shown, path)
        common.say(f"drawn: {path}")
    if args.json:
        common.print_json(shown.to_json())
    elif path is None:
        _print(shown)
    return 0


def _print(shown: object) -> None:
    from fleetgate import progress
    from fleetgate.dashboard import Dashboard, usages

    assert isinstance(shown, Dashboard)
    statuses = list(dict.fromkeys(status for states in shown.funnel.values() for status in states))
    rows = [(name, *(f"{states.get(status, 0):,}" for status in statuses)) for name, states in sorted(shown.funnel.items())]
    progress.table("devices", ("type", *statuses), rows)
    decided = [(reason, f"{sum(numbers):,}") for reason, numbers in shown.decided.items()]
    decided += [("canaries of the smoke checks", f"{shown.canaries:,}")] * bool(shown.canaries)
    progress.table("decisions of the hook", ("reason", "number"), decided)
    progress.table("against the limits", ("what", "most", "limit"), [usage.cells() for usage in usages(shown)])
