"""`fleetgate drift`: whether what is there is still what the files say."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common
from fleetgate.errors import fail

if TYPE_CHECKING:
    from fleetgate.drift import Difference

_EPILOG = """\
Reads, and changes nothing: no plan is saved and no lock is taken, so a role that may only read is enough. On stdout is
nothing if nothing differs. A line names the resource and its attributes, never a value: policies and settings may be
confidential.

exit status: 0 nothing differs; 1 something does; 2 wrong usage, or it cannot be told."""


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "drift", "show what differs from the files, and change nothing", _drift)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.set_defaults(failed=2)
    parser.add_argument(
        "--plan",
        metavar="FILE",
        type=Path,
        help="a plan that fleetgate plan --json FILE has written, instead of looking at what is there",
    )
    parser.add_argument(
        "--format", choices=("text", "markdown", "json"), default="text", help="default: text; markdown is for a report"
    )


def _drift(args: argparse.Namespace) -> int:
    from fleetgate import drift

    environment = common.environment(args)
    if args.plan is not None:
        found = _read(args.plan)
    else:
        from fleetgate import build, deploy

        found = drift.differences(deploy.plan_aside(build.compile_fleet(environment), common.say))
    if args.format == "json":
        common.print_json(drift.as_json(found))
    elif args.format == "markdown":
        heading = drift.PLANNED if args.plan is not None else drift.THERE
        print(drift.markdown(found, environment.name, heading), end="")
    else:
        for difference in found:
            print(difference)
        if not found:
            common.say(f"nothing differs in {environment.name}")
    return 1 if found else 0


def _read(file: Path) -> list[Difference]:
    from fleetgate import drift

    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
        if "planned_values" in plan and isinstance(plan.get("resource_changes", []), list):
            return drift.differences(plan)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # of another shape, at whatever place
    raise fail(str(file), "is no plan", "give it what fleetgate plan --json FILE writes")
