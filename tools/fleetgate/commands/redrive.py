"""`fleetgate redrive`: dead letters go on their way again, to the onboarding function or into the audit trail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.redrive import Contents, Report

_SHOWN = 10
_QUEUES = ("onboarding", "audit")  # redrive.QUEUES, which would import too much for a help text


def add(subparsers: common.Subparsers) -> None:
    summary = "send dead letters on their way again: things get their shadow, the audit trail what it is missing"
    parser = common.add_parser(subparsers, "redrive", summary, _run)
    parser.description = (
        "Shows what is in a dead-letter queue, asks, and sends each letter on its way again: to the onboarding function; or, of"
        " the audit trail, deliveries of the hook's log to the function that keeps decisions, and registry events that a rule"
        " could not write into the table, under the key that the rule gives them. A letter leaves the queue only after it was"
        " taken; what fails again stays, with its reason. May be interrupted and run again. Exit status: 0 if none is left, 1 if"
        " some are (beyond --limit, worked on by somebody else, with --dry-run), 2 if it could not be done."
    )
    parser.add_argument(
        "queue", metavar="QUEUE", nargs="?", choices=_QUEUES, default=_QUEUES[0], help="onboarding (default) or audit"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="at most so many letters (default: all)")
    common.add_consent(parser)
    parser.add_argument("--json", action="store_true", help="for programs: what was there, how many went, what is left and why")
    parser.set_defaults(failed=2)


def _run(args: argparse.Namespace) -> int:
    from fleetgate import audit, cloud, progress, redrive
    from fleetgate.errors import count, fail

    if not 0 <= args.limit <= sys.maxsize:
        raise fail("--limit", f"{args.limit} is not a number of letters", "use 0 for all, or a larger number")
    fleet = common.fleet(args)
    cloud.require(fleet.environment)
    queue = redrive.Queue(fleet, args.queue)
    contents = queue.look()
    report = redrive.Report(waiting=contents.count + contents.hidden)
    if contents.count == 0 and not args.json:
        print(_title(contents))
    elif contents.count:
        common.show_steps(args, _title(contents), _steps(contents), quiet=args.json and (args.dry_run or args.yes))
    if contents.count == 0 or args.dry_run:
        if args.json:
            common.print_json(contents.to_json() | report.to_json())
        return 1 if report.waiting else 0
    todo = min(contents.count, args.limit) if args.limit else contents.count
    common.confirm(f"This sends {count(todo, 'letter')} of {queue.name} on their way again.", yes=args.yes)
    with audit.recorded(fleet, "redrive", queue.name, audit.caller()) as deed:
        try:
            with progress.bar("redriving", todo) as bar:
                redrive.run(queue, fleet, contents, report, bar.advance, limit=args.limit)
        finally:
            # One that did not come to its end may have sent letters that it did not come to count.
            if report.redriven or report.left or not report.complete:
                deed.did(f"{count(report.redriven, 'event')} handled")
                deed.did(f"{count(len(report.left), 'letter')} left")
            deed.complete = report.complete
    if args.json:
        common.print_json(contents.to_json() | report.to_json())
    else:
        _print(report, fleet, args.queue)
    if report.interrupted:
        common.say("stopped: what was not handled is in the queue again\n    -> the same command goes on")
        return 130
    return 1 if report.left or report.waiting else 0


def _title(contents: Contents) -> str:
    from fleetgate.errors import count

    if contents.count == 0:
        being = f" ({contents.hidden} are being worked on by somebody else)" if contents.hidden else ""
        return f"{contents.queue} is empty{being}"
    return f"{contents.queue}: {count(contents.count, 'dead letter')}" + (
        f", {contents.hidden} more hidden" * bool(contents.hidden)
    )


def _steps(contents: Contents) -> Sequence[str]:
    sample = f" (of the first {contents.looked_at})" if contents.looked_at < contents.count else ""
    steps = [f"{number} {kind}{sample}" for kind, number in sorted(contents.kinds.items())]
    return [*steps, f"oldest: {contents.oldest}"] if contents.oldest else steps


def _print(report: Report, fleet: Fleet, queue: str) -> None:
    from fleetgate.errors import count

    waiting = f", {report.waiting} not tried" if report.waiting else ""
    print(f"{count(report.redriven, 'event')} handled, {count(len(report.left), 'letter')} left in the queue{waiting}")
    for letter, reason in report.left[:_SHOWN]:
        common.say(f"left: {letter.subject or letter.message_id}: {reason}")
    if len(report.left) > _SHOWN:
        common.say(f"... and {len(report.left) - _SHOWN} more; --json lists all")
    again = " ".join(["fleetgate redrive", *([queue] if queue != _QUEUES[0] else []), "--env", fleet.environment.name])
    if report.left:
        function = fleet.names.onboarding if queue == _QUEUES[0] else fleet.names.audit
        common.say(f"    -> mend the cause (aws logs tail /aws/lambda/{function}), then: {again}")
    elif report.waiting and not report.interrupted:
        common.say(f"not tried: beyond --limit, or somebody else works on them\n    -> {again}")
