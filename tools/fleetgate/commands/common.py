"""What every command shares: the options, the environment, and how results and progress are shown."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetgate.errors import FleetgateError, fail

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.environment import Environment

Subparsers = Any  # argparse._SubParsersAction, which argparse does not export

DEFAULT_ENVIRONMENT = "local"
MAXIMUM_HOURS = 87_600
NOTHING_CHANGED = "nothing was changed (--dry-run)"


def add_parser(subparsers: Subparsers, name: str, summary: str, run: Any, *, env: bool = True) -> argparse.ArgumentParser:
    """A command's parser. `run(args) -> exit status`; `summary` is its line in the list of commands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    if env:
        parser.add_argument(
            "--env",
            default=DEFAULT_ENVIRONMENT,
            metavar="NAME",
            help=f"environment, a file terraform/envs/NAME.yaml (default: {DEFAULT_ENVIRONMENT})",
        )
    return parser


def add_group(subparsers: Subparsers, name: str, summary: str) -> Subparsers:
    """A command with subcommands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary, description=summary)
    return parser.add_subparsers(metavar="COMMAND", required=True, prog=parser.prog)  # else argparse formats a help for it


def root(args: argparse.Namespace) -> Path:
    """The checkout: --root, or the nearest folder upwards that holds the catalogue."""
    from fleetgate import catalogue

    start = Path(args.root or ".").resolve()
    for folder in (start,) if args.root else (start, *start.parents):
        if (folder / catalogue.FILE).is_file():
            return folder
    by_name = getattr(args, "by_name", None)  # of a command that takes files, too
    remedy = "run it inside a fleetgate checkout, or give --root FOLDER" + (f", or name files: {by_name}" if by_name else "")
    raise fail(str(start), f"holds no {catalogue.FILE}", remedy)


def environment(args: argparse.Namespace) -> Environment:
    """The environment of --env, entered: from here on every client talks to it."""
    from fleetgate import environment as environments

    chosen = environments.load(root(args), args.env)
    chosen.enter()
    return chosen


def fleet(args: argparse.Namespace) -> Fleet:
    """The compiled fleet of --env."""
    from fleetgate import build

    return build.compile_fleet(environment(args))


def refuse_empty(args: argparse.Namespace, asked: Sequence[tuple[str, Any]] = ()) -> None:
    """An empty text is an unset variable of the caller's script, and never what was meant. asked: more options, with values."""
    given = [(f"--{name.replace('_', '-')}", value) for name, value in vars(args).items() if name != "asked"]
    for option, value in (*given, *asked):
        if value == "" or (isinstance(value, list) and "" in value):
            args.refuse(f"argument {option}: is empty")


def told(error: FleetgateError, program: str = "fleetgate") -> str:
    """An error as it is shown: who says so, unless it begins with a place that an editor can jump to, or is one of several."""
    has_place = len(error.problems) > 1 or re.search(r":[0-9]+(?:[: ]|$)", error.problems[0].where)
    return str(error) if has_place else f"{program}: {error}"


def program() -> str:
    """How to call this program from here: `fleetgate`, or its path when the shell does not find it."""
    import os
    import shutil

    if shutil.which("fleetgate"):
        return "fleetgate"
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.name == "fleetgate" else "fleetgate"


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))


def say(message: str) -> None:
    """A line of progress; results go to stdout, this goes to stderr."""
    print(message, file=sys.stderr, flush=True)


def never_fail_on_output() -> None:
    """A text of somebody else's may hold characters that the terminal's encoding has not; they are escaped then."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def add_since(parser: argparse.ArgumentParser, default: float, maximum: int = MAXIMUM_HOURS) -> None:
    """How far to look back in logs. default, maximum: hours."""
    parser.add_argument(
        "--since",
        metavar="HOURS",
        type=lambda text: _hours(text, maximum),
        default=default,
        help=f"how far to look back in logs, at most {maximum} (default: {default:g})",
    )


def _hours(text: str, maximum: int) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= maximum:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a number of hours: use more than 0 and at most {maximum}")
    return hours


def add_consent(parser: argparse.ArgumentParser, *, given: str = "") -> None:
    """The options of every command that writes. given: the option that they stand beside, if it reads without that one."""
    add_dry_run(parser, given=given)
    parser.add_argument("--yes", action="store_true", help=f"with {given}: do not ask" if given else "do not ask")


def add_dry_run(parser: argparse.ArgumentParser, *, given: str = "") -> None:
    """Of a command that asks nobody, since it only adds what was not there."""
    does = "only show what it would do, and change nothing"
    parser.add_argument("--dry-run", action="store_true", help=f"with {given}: {does}" if given else does)


def show_steps(args: argparse.Namespace, title: str, steps: Sequence[str], *, quiet: bool = False) -> bool:
    """Shows what is about to happen; whether that is all that was asked for (--dry-run).

    quiet: what there is to show comes as JSON instead. A question is asked beside it, so that its answer knows to what.
    """
    if not quiet:
        tell: Callable[[str], None] = print if args.dry_run and not getattr(args, "json", False) else say
        tell(title)
        for step in steps:
            tell(f"  {step}")
    if args.dry_run:
        say(NOTHING_CHANGED)
    return bool(args.dry_run)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something that cannot be taken back. Without a terminal the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise fail("confirmation", f"{question} Nobody is there to answer", "add --yes")
    print(f"{question} Type yes to go on: ", file=sys.stderr, end="", flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise fail("confirmation", "not given, nothing was changed", "type yes in full, or add --yes")
