"""`fleetgate orphans`: what is left over of devices that came in half-way, or that somebody took away half-way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.errors import Problem
    from fleetgate.orphan_search import Search
    from fleetgate.orphans import Finding

_COLUMNS = ("what", "name", "why", "--fix does")
_SHOWN_NOT_JUDGED = 20
_MAXIMUM_MINUTES = 60 * 24 * 365


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "orphans", "find certificates, things and registry rows that lost each other", _run)
    parser.description = (
        "Finds certificates that are pending or have no thing, things without a certificate or without a registry row, and rows"
        " without a thing. --fix takes them away and sets their rows back to registered, so that the devices may come in anew."
        " Only what the gate must have made is touched; all else is told as not judged. The exit status is 1 if orphans are"
        " left, 2 if it could not be asked."
    )
    parser.set_defaults(failed=2)
    parser.add_argument("--fix", action="store_true", help="take them away (asks)")
    common.add_consent(parser, given="--fix")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=100, help="show and mend at most so many (default: 100; 0: all)"
    )
    parser.add_argument(
        "--older-than",
        metavar="MINUTES",
        type=float,
        default=60.0,
        help="leave out what is younger: it may be on its way in (default: 60, as long as a certificate can be registered)",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(args: argparse.Namespace) -> int:
    from fleetgate import applied, deploy
    from fleetgate.commands.registry import open_registry
    from fleetgate.errors import count, fail
    from fleetgate.orphan_search import Search

    _check(args)
    fleet = common.fleet(args)
    env = fleet.environment.name
    common.say(f"looking for orphans in environment {env}")
    deployed = deploy.deployed(fleet, common.say)
    if deployed.table != fleet.names.table:
        remedy = f"run: {applied.command(fleet.environment)}; or use the machine that has its state"
        raise fail(f"environment {env}", "is not applied, so nothing tells what is its own", remedy)
    search = Search(fleet, deployed, open_registry(fleet), args.older_than * 60)
    report = search.run(common.say)
    chosen = report.findings[: args.limit] if args.limit else report.findings
    if args.json:
        findings = [finding.to_json() for finding in chosen]
        left_out = {"notLookedAt": report.not_looked_at, "notShown": len(report.findings) - len(chosen)}
        left_out["tooYoung"] = report.too_young
        common.print_json({"notJudged": [f.to_json() for f in report.not_judged], "orphans": findings} | left_out)
    else:
        _print(chosen, report.not_judged)
    if report.too_young:
        common.say(
            f"{report.too_young} left out, younger than {args.older_than:g} min: what is on its way in looks like that\n"
            f"    -> to take {'it' if report.too_young == 1 else 'them'} in: fleetgate orphans --older-than 0 --env {env}"
        )
    if report.not_looked_at:
        others = count(report.not_looked_at, "certificate")
        common.say(f"{others} of the account that nothing ties to this fleet: not looked at")
    if len(chosen) < len(report.findings):
        common.say(f"{len(report.findings) - len(chosen)} more are not shown: --limit 0 shows all")
    if not chosen:
        return 0
    if not args.fix or args.dry_run:
        chosen_by = f" --older-than {args.older_than:g} --limit {args.limit} --env {env}"  # or others would be mended
        to_mend = f"nothing was changed; to mend it: fleetgate orphans --fix{chosen_by}"
        common.say(common.NOTHING_CHANGED if args.dry_run else to_mend)
        return 1
    common.confirm(f"This takes away {count(len(chosen), 'orphan')} of environment {env} for good.", yes=args.yes)
    problems = _mend(fleet, search, chosen)
    return 1 if problems or len(chosen) < len(report.findings) else 0


def _check(args: argparse.Namespace) -> None:
    from fleetgate.errors import FleetgateError, Problem

    problems = []
    if not 0 <= args.limit <= sys.maxsize:
        problems.append(Problem("--limit", f"{args.limit} is not a number of orphans", "use 0 for all, or a smaller number"))
    if not 0 <= args.older_than <= _MAXIMUM_MINUTES:
        what = f"{args.older_than:g} is not a number of minutes"
        problems.append(Problem("--older-than", what, f"use 0 to {_MAXIMUM_MINUTES}"))
    if not args.fix and (args.yes or args.dry_run):
        problems.append(Problem("orphans", "--yes and --dry-run stand without --fix", "add --fix, or leave them out"))
    if problems:
        raise FleetgateError(problems)


def _mend(fleet: Fleet, search: Search, findings: Sequence[Finding]) -> int:
    """Mends them, tells and records what was done; returns how many could not be mended."""
    from fleetgate import audit
    from fleetgate.errors import count
    from fleetgate.orphan_search import MENDED, mend_all

    done: dict[Finding, str] = {}
    failed: dict[Finding, Problem] = {}
    with audit.recorded(fleet, "orphans", fleet.environment.name, audit.caller(), about=()) as deed:
        try:
            mend_all(search, findings, done, failed)
        finally:
            outcomes = done | {finding: problem.what for finding, problem in failed.items()}
            for finding, outcome in sorted(outcomes.items(), key=lambda item: (item[0].kind, item[0].subject)):
                step = f"{finding.kind} {finding.subject}: {outcome}"
                deed.did(step)
                deed.part(finding.subject, step, complete=finding in done)
    for problem in failed.values():
        common.say(str(problem))
    mended = sum(outcome == MENDED for outcome in done.values())
    common.say(f"mended {count(mended, 'orphan')}, {len(done) - mended} changed meanwhile, {len(failed)} could not be mended")
    return len(failed)


def _print(findings: Sequence[Finding], not_judged: Sequence[Finding]) -> None:
    from fleetgate import progress

    if findings:
        progress.table("orphans", _COLUMNS, [(f.kind.value, f.subject, f.why, "; ".join(f.mends)) for f in findings])
    else:
        print("no orphans")
    if not_judged:
        cells = [(f.subject, f.why) for f in not_judged[:_SHOWN_NOT_JUDGED]]
        progress.table("not judged, and never touched", ("name", "why"), cells)
        if len(not_judged) > _SHOWN_NOT_JUDGED:
            common.say(f"{len(not_judged) - _SHOWN_NOT_JUDGED} more are not judged; --json has all")
