"""`fleetgate capacity`: how long a storm takes, which quotas to raise, what a fleet costs."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.capacity.plan import Tell, Wish

_EPILOG = """\
examples:
  fleetgate capacity --devices 100000 --per-hour 20000
  fleetgate capacity --devices 1000000 --per-hour 36000 --region eu-central-1 --within 12 --plot capacity.png
  fleetgate capacity --devices 100000 --per-hour 20000 --env production
  fleetgate capacity --devices 5000 --per-hour 500 --quotas applied.toml --prices ours.toml --json

Says how long it takes until all devices are in if they are all switched on at once, and if they arrive one after another; which
service quotas to raise and to what; and what the fleet costs to onboard and to keep. Nothing is asked of AWS: quotas and prices
are data files of the package. What an environment's file says of quotas goes on top of them (--env), and a file of yours, with
only the keys that differ, on top of that:

  [quotas.register_thing]          [prices.eu-central-1]           [usage]
  per_second = 50                  messages.usd = 0.9              telemetry_per_day = 96

docs/capacity.md says what is modelled, and where the figures come from. A million devices take about a minute.

exit status: 0 done; 1 bad input; 2 wrong usage."""

_MAXIMUM_DEVICES = 10_000_000
_REGION = "us-east-1"


def add(subparsers: common.Subparsers) -> None:
    summary = "say how long onboarding takes, which quotas to raise, and what the fleet costs"
    parser = common.add_parser(subparsers, "capacity", summary, _capacity, env=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--devices", metavar="N", type=int, required=True, help="how many devices the fleet has")
    parser.add_argument("--per-hour", metavar="R", type=float, required=True, help="how many arrive in an hour, when not at once")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--region", help=f"whose quotas and prices (default: {_REGION})")
    place.add_argument(
        "--env", metavar="NAME", help="an environment: its Region, and its quotas_per_second instead of AWS's defaults"
    )
    parser.add_argument(
        "--within", metavar="HOURS", type=float, default=24.0, help="a storm of all devices is to be over by then (default: 24)"
    )
    parser.add_argument("--quotas", metavar="FILE", help="TOML: your applied quotas, on top of the package's")
    parser.add_argument("--prices", metavar="FILE", help="TOML: your prices and usage, on top of the package's")
    parser.add_argument("--plot", metavar="FILE.png", help="draw it, too; needs matplotlib: pip install 'fleetgate[plot]'")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of the simulation's random numbers (default: 1)")
    parser.set_defaults(refuse=parser.error)
    parser.add_argument("--json", action="store_true", help="for programs: every figure in seconds, requests and USD")


def _capacity(args: argparse.Namespace) -> int:
    from fleetgate import environment
    from fleetgate.capacity import plan, plot, report, tables
    from fleetgate.device import RetryPolicy

    common.refuse_empty(args)
    chosen = environment.load(common.root(args), args.env) if args.env else None
    wish = _wish(args, chosen.settings.region if chosen else args.region or _REGION)
    quotas = tables.quotas(*_read(args.quotas), chosen.settings.quotas_per_second.applied if chosen else None)
    prices = tables.prices(*_read(args.prices))
    tables.check_region(wish.region, prices, f"{chosen.file} region" if chosen else "--region")
    if args.plot:
        plot.check(Path(args.plot))
    made = plan.make(wish, quotas, prices, RetryPolicy(), _teller(wish.devices))
    if args.plot:
        plot.write(made, Path(args.plot))
    if args.json:
        common.print_json(report.as_json(made))
    else:
        print(report.text(made), end="")
    if args.plot:
        common.say(f"{args.plot}: written")
    return 0


def _wish(args: argparse.Namespace, region: str) -> Wish:
    from fleetgate.capacity.plan import Wish
    from fleetgate.errors import FleetgateError, Problem

    problems = []
    if not 1 <= args.devices <= _MAXIMUM_DEVICES:
        problems.append(Problem("--devices", f"{args.devices} is out of range", f"give 1 to {_MAXIMUM_DEVICES}"))
    for option, value in (("--per-hour", args.per_hour), ("--within", args.within)):
        if not (math.isfinite(value) and value > 0):
            problems.append(Problem(option, f"{value:g} is not above 0", "give a number above 0"))
    if problems:
        raise FleetgateError(problems)
    return Wish(args.devices, args.per_hour, region, args.within * 3600, args.seed)


def _read(file: str | None) -> tuple[str | None, str]:
    from fleetgate.errors import fail

    if file is None:
        return None, ""
    try:
        return Path(file).read_text(encoding="utf-8"), file
    except UnicodeDecodeError:
        raise fail(file, "is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise fail(file, f"cannot be read: {error.strerror}", "give the path of a TOML file") from None


def _teller(devices: int) -> Tell:
    """Tells what runs, at most every two seconds, and nothing at all of a short run."""
    import time

    last = time.monotonic()

    def tell(label: str, done: int, seconds: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 2:
            last = now
            common.say(f"{label}: {done:,} of {devices:,} in after {seconds / 3600:.1f} simulated hours")

    return tell
