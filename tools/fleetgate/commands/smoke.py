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
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--junit", metavar="FILE", help="write the result as JUnit XML as well")


def run_and_print(fleet: Fleet, *, types: Sequence[str] | None = None, claim: str | None = None) -> int:
    """All smoke checks, each on stderr as it comes; on stdout only their number, unless one failed. Returns the exit status."""
    checks = _run(fleet, types, claim)
    _print(checks, brief=_status(checks) == 0)
    return _status(checks)


def _smoke(args: argparse.Namespace) -> int:
    from fleetgate import smoke_report

    fleet = common.fleet(args)
    if args.junit:
        _check_writable(Path(args.junit))
    checks = _run(fleet, args.type, args.claim)
    if args.junit:
        Path(args.junit).write_text(smoke_report.to_junit(checks, fleet.environment.name), encoding="utf-8")
    if args.json:
        common.print_json(smoke_report.to_json(checks))
    else:
        _print(checks)
    return _status(checks)


def _run(fleet: Fleet, types: Sequence[str] | None, claim: str | None) -> list[Check]:
    from fleetgate import cloud, smoke

    cloud.require(fleet.environment)
    common.say(f"smoke checks of environment {fleet.environment.name}")
    return smoke.run(fleet, types, claim, common.say)


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


def _print(checks: Sequence[Check], *, brief: bool = False) -> None:
    from fleetgate import progress, smoke_report
    from fleetgate.smoke_report import Status

    total = smoke_report.counts(checks)
    numbers = f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"
    if brief:
        print(f"smoke checks: {numbers}")
        return
    rows = []
    shown = ""
    for check in checks:
        group, _, name = check.name.removeprefix("device.").rpartition(".")
        rows.append((group if group != shown else "", name, check.status.value, check.detail, f"{check.seconds:.2f} s"))
        shown = group
    progress.table("smoke checks", ("of", "check", "result", "detail", "time"), rows)
    for check in checks:
        if check.status is Status.FAILED:
            print(f"{check.name} failed: not true that {check.title}")
            print(f"    saw: {check.detail}\n    likely cause: {check.cause}\n    -> {check.next_step}")
    print(numbers)
