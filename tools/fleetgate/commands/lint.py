"""`fleetgate lint` and `fleetgate explain`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.iot_policy.rule import Rule
    from fleetgate.lint_files import Report

_SEVERITIES = ("info", "low", "medium", "high", "critical")
_KINDS = ("policy", "template", "plan")


def add(subparsers: common.Subparsers) -> None:
    lint = common.add_parser(subparsers, "lint", "find what is wrong or too wide in IoT policies, templates and plans", _lint)
    lint.add_argument(
        "path",
        metavar="PATH",
        nargs="*",
        help="policy, Jinja policy template, provisioning template or plan (terraform show -json), a folder of these, or - "
        "for standard input (default: everything that this checkout makes)",
    )
    lint.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text", help="default: text")
    lint.add_argument(
        "--fail-on",
        choices=_SEVERITIES,
        default="medium",
        metavar="SEVERITY",
        help="exit 1 from this severity on (default: medium)",
    )
    lint.add_argument("--suppressions", metavar="FILE", help="default: fleetgate-lint.toml here or in a folder above")
    lint.add_argument(
        "--only",
        choices=_KINDS,
        action="append",
        metavar="KIND",
        help="look only at one kind (policy, template or plan), and pass over all else in silence; may be given several times",
    )
    lint.set_defaults(failed=2, refuse=lint.error, by_name="fleetgate lint PATH")  # 1 is an answer
    lint.epilog = (
        "exit status: 0 nothing from --fail-on on; 1 findings; 2 wrong usage, a path that cannot be read, or a catalogue or "
        "environment with mistakes"
    )
    explain = common.add_parser(subparsers, "explain", "say what a lint rule finds, why, and how to mend it", _explain, env=False)
    explain.set_defaults(failed=2)
    explain.epilog = "exit status: 0 shown; 2 there is no such rule, or wrong usage"
    explain.add_argument("id", metavar="ID", nargs="?", help="default: the table of all rules")
    explain.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="markdown: docs/rules.md")


def _lint(args: argparse.Namespace) -> int:
    import gc

    from fleetgate import lint_files
    from fleetgate.iot_policy.rule import Severity

    gc.set_threshold(100_000)  # what a run makes it needs until its end, which mostly is a third of a second away
    common.never_fail_on_output()
    if args.env == "":
        args.refuse("argument --env: is empty")
    try:
        report = _report(args)
        suppressed = _suppress(args, report)
    except lint_files.UnusablePath as error:
        print(common.told(error, "fleetgate lint"), file=sys.stderr)
        return 2
    _print(args, report, suppressed)
    threshold = Severity[args.fail_on.upper()]
    return 1 if any(finding.severity >= threshold for finding in report.findings) else 0


def _report(args: argparse.Namespace) -> Report:
    from fleetgate import lint_files
    from fleetgate.iot_policy.documents import Kind

    if not args.path and args.only is None:
        return lint_files.lint_checkout(common.root(args), args.env)
    only = [Kind(name) for name in args.only] if args.only else lint_files.KINDS
    return lint_files.lint_paths(args.path, args.env, only, quiet=bool(args.only))


def _suppress(args: argparse.Namespace, report: Report) -> int:
    """Takes suppressed findings out of the report, adds those about suppressions, and says how many were suppressed."""
    from fleetgate import lint_files

    file = lint_files.suppressions_file(args.suppressions)
    return lint_files.suppress(report, file) if file is not None else 0


def _print(args: argparse.Namespace, report: Report, suppressed: int) -> None:
    from fleetgate import lint_output
    from fleetgate.errors import beginning, count

    findings, files = report.findings, len(set(report.looked_at))
    if not files and not findings:  # on stderr, whatever the format: "no findings" alone would sound like a verdict
        where = f"there is no policy, template or plan in {count(len(args.path), 'path')}" if args.path else "no path is given"
        common.say(f"nothing was looked at: {where}")
    if args.format == "json":
        print(lint_output.to_json(findings, files, suppressed, report.notes), end="")
        return
    if args.format == "sarif":
        from importlib.metadata import version

        print(lint_output.to_sarif(findings, report.notes, version("fleetgate")), end="")
        return
    for note in report.notes:
        common.say(beginning(note))
    if args.format == "github":
        print(lint_output.to_github(findings), end="")
        common.say(lint_output.summary(findings, files, suppressed))
        return
    print(lint_output.to_text(findings, colours=_colours()), end="")
    print(lint_output.summary(findings, files, suppressed))
    if findings and sys.stderr.isatty():
        common.say(f"what a rule is about: {common.program()} explain {findings[0].rule}")


def _colours() -> bool:
    import os

    # [https://no-color.org]
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _explain(args: argparse.Namespace) -> int:
    from fleetgate import rule_table
    from fleetgate.iot_policy import rules

    chosen: tuple[Rule[Any], ...] = rules.all_rules()
    if args.id is not None:
        chosen = (_rule(args.id),)
    if args.format == "json":
        common.print_json([rule_table.to_json(rule) for rule in chosen])
    elif args.format == "markdown":
        print(rule_table.to_markdown(chosen), end="")
    elif args.id is not None:
        print(rule_table.to_text(chosen[0]), end="")
    else:
        print(rule_table.table(chosen), end="")
    return 0


def _rule(id: str) -> Rule[Any]:
    import difflib

    from fleetgate.errors import fail
    from fleetgate.iot_policy import rules

    known = rules.by_id()
    if id.upper() not in known:
        near = difflib.get_close_matches(id.upper(), known, 1)
        remedy = f"did you mean {near[0]}?" if near else "see the table: fleetgate explain"
        raise fail(f"rule {id!r:.40}", "there is none", remedy)
    return known[id.upper()]
