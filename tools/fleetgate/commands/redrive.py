"""`fleetgate redrive`: events that nobody could handle go to the onboarding function again."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.redrive import Contents, Report

_SHOWN = 10


def add(subparsers: common.Subparsers) -> None:
    summary = "send dead letters to the onboarding function again: things get their shadow, rows their status"
    parser = common.add_parser(subparsers, "redrive", summary, _run)
    parser.description = (
        "Shows what is in the dead-letter queue, asks, and gives each event to the onboarding function. A letter leaves the queue"
        " only after the function has taken it; what fails again stays, with its reason. May be interrupted and run again. Exit"
        " status: 0 if none is left, 1 if some are."
    )
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="at most so many letters (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="only show what is in the queue")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="for programs: what was there, how many went, what is left and why")


def _run(args: argparse.Namespace) -> int:
    from fleetgate import audit, cloud, progress, redrive
    from fleetgate.errors import count, fail

    if not 0 <= args.limit <= sys.maxsize:
        raise fail("--limit", f"{args.limit} is not a number of letters", "use 0 for all, or a larger number")
    fleet = common.fleet(args)
    cloud.require(fleet.environment)
    queue = redrive.Queue(fleet)
    contents = queue.look()
    report = redrive.Report()
    if not args.json or not (args.dry_run or args.yes):
        _show(contents, to_stderr=args.json)
    if contents.count == 0 or args.dry_run:
        if args.json:
            common.print_json(contents.to_json() | report.to_json())
        if args.dry_run:
            common.say("nothing was sent (--dry-run)")
        return 0
    todo = min(contents.count, args.limit) if args.limit else contents.count
    common.confirm(
        f"This gives {count(todo, 'event')} to {fleet.names.onboarding} in {fleet.environment.name} again.", yes=args.yes
    )
    who = audit.caller()
    try:
        with progress.bar("redriving", todo) as bar:
            redrive.run(queue, fleet.names.onboarding, report, bar.advance, args.limit)
    finally:
        if report.redriven or report.left:
            done = [f"{count(report.redriven, 'event')} handled", f"{count(len(report.left), 'letter')} left"]
            audit.record(fleet, "redrive", queue.name, who, "", done, not report.interrupted)
    if args.json:
        common.print_json(contents.to_json() | report.to_json())
    else:
        _print(report, fleet.environment.name, fleet.names.onboarding)
    if report.interrupted:
        common.say("stopped: what was not handled is in the queue again\n    -> the same command goes on")
        return 130
    return 1 if report.left else 0


def _show(contents: Contents, *, to_stderr: bool) -> None:
    tell = common.say if to_stderr else print
    if contents.count == 0:
        being = f" ({contents.hidden} are being worked on by somebody else)" if contents.hidden else ""
        tell(f"{contents.queue} is empty{being}")
        return
    tell(f"{contents.queue}: {contents.count} dead letters" + (f", {contents.hidden} more hidden" if contents.hidden else ""))
    sample = f" (of the first {contents.looked_at})" if contents.looked_at < contents.count else ""
    for kind, number in sorted(contents.kinds.items()):
        tell(f"  {number} {kind}{sample}")
    if contents.oldest:
        tell(f"  oldest: {contents.oldest}")


def _print(report: Report, env: str, function: str) -> None:
    from fleetgate.errors import count

    print(f"{count(report.redriven, 'event')} handled, {count(len(report.left), 'letter')} left in the queue")
    for letter, reason in report.left[:_SHOWN]:
        common.say(f"left: {letter.subject or letter.message_id}: {reason}")
    if len(report.left) > _SHOWN:
        common.say(f"... and {len(report.left) - _SHOWN} more; --json lists all")
    if report.left:
        common.say(f"    -> mend the cause (aws logs tail /aws/lambda/{function}), then: fleetgate redrive --env {env}")
