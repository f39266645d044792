"""`fleetgate smoke`: prove a running fleet by a canary device of each type."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.smoke_report import Check


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "smoke", "prove the running fleet by a canary device of each type", _smoke)
    parser.add_argument("--type", metavar="TYPE", action="append", help="only this device type; may be given several times")
    parser.add_argument("--claim", metavar="NAME", help="claim certificate to come in with (default: the first active one)")
    parser.add_argument("--verbose", action="store_true", help="show every check as it comes, not only every group")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--junit", metavar="FILE", help="write the result as JUnit XML as well")


def run_and_summarize(fleet: Fleet) -> tuple[int, str]:
    """All smoke checks, with progress. Prints only what did not pass; returns the exit status and the line to end with."""
    from fleetgate import smoke_report

    checks = _run(fleet)
    _print_troubles(checks)
    return _status(checks), smoke_report.summary(checks)


def _smoke(args: argparse.Namespace) -> int:
    from fleetgate import smoke_report

    fleet = common.fleet(args)
    if args.junit:
        _check_writable(Path(args.junit))
    checks = _run(fleet, args.type, args.claim, verbose=args.verbose)
    if args.junit:
        Path(args.junit).write_text(smoke_report.to_junit(checks, fleet.environment.name), encoding="utf-8")
    if args.json:
        common.print_json(smoke_report.to_json(checks))
    else:
        _print_troubles(checks)
        print(smoke_report.summary(checks))
    return _status(checks)


def _run(fleet: Fleet, types: Sequence[str] | None = None, claim: str | None = None, *, verbose: bool = False) -> list[Check]:
    from fleetgate import cloud, progress, smoke, smoke_report
    from fleetgate.smoke_report import Status

    cloud.require(fleet.environment)
    common.say(f"smoke checks of environment {fleet.environment.name}")
    with progress.bar("smoke checks", None, kept=False) as bar:

        def checked(check: Check) -> None:
            bar.advance()
            if verbose or check.status is Status.FAILED:
                common.say(smoke_report.line(check))

        def completed(group: str, checks: Sequence[Check], seconds: float) -> None:
            if not verbose:
                common.say(smoke_report.group_line(group, checks, seconds))

        def stopping() -> None:
            common.say("  stopping; removing the canaries")

        return smoke.run(fleet, types, claim, smoke.Watcher(checked, completed, stopping))


def _status(checks: Sequence[Check]) -> int:
    from fleetgate import smoke_report

    return 0 if smoke_report.passed(checks) else 1


def _check_writable(path: Path) -> None:
    """A result that cannot be written should be known before the minutes it takes."""
    from fleetgate.errors import fail

    try:
        with path.open("a"):
            return
    except OSError as error:
        raise fail(str(path), f"cannot be written: {error.strerror}", "give another file to --junit") from None


def _print_troubles(checks: Sequence[Check]) -> None:
    from fleetgate import progress, smoke_report

    if not smoke_report.passed(checks):
        rows = smoke_report.troubles(checks)
        progress.table("smoke checks that did not pass", ("check", "result", "what was seen, and what to do"), rows)
