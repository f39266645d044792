"""`fleetgate github`: what a workflow reports, as a comment or an issue that is kept up to date."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "github", "keep a report on GitHub up to date")
    comment = common.add_parser(group, "comment", "write a file as the comment of a pull request", _comment, env=False)
    comment.add_argument("--pull-request", metavar="N", type=_number, required=True, help="its number")
    comment.add_argument(
        "--if-missing",
        metavar="TEXT",
        help="say this if there is no FILE, so that nobody takes an older report for the new one",
    )
    _add_shared(comment)
    issue = common.add_parser(
        group,
        "issue",
        "write a file as an open issue; an empty file closes it, since nothing is left to report",
        _issue,
        env=False,
    )
    issue.add_argument("--title", required=True, help="of the issue")
    _add_shared(issue)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", type=_kind, required=True, help="which report this is: there is one of each kind")
    parser.add_argument("file", type=Path, metavar="FILE", help="the report, Markdown")
    common.add_consent(parser)


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of a pull request")
    return int(text)


def _kind(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", text):
        raise argparse.ArgumentTypeError(f"{text!r:.60} is no kind: lower case letters, digits and hyphens")
    return text


def _comment(args: argparse.Namespace) -> int:
    from fleetgate import github

    missing = args.if_missing is not None and not args.file.exists()
    text = f"{args.if_missing}\n" if missing else _text(args.file)
    if not _agreed(args, text, f"the comment {args.kind} of pull request {args.pull_request}"):
        return 0
    github.put_comment(github.from_variables(), args.pull_request, args.kind, text, print)
    return 0


def _issue(args: argparse.Namespace) -> int:
    from fleetgate import github

    text = _text(args.file)
    if not _agreed(args, text, f"the issue {args.kind}"):
        return 0
    github.put_issue(github.from_variables(), args.kind, args.title, text, print)
    return 0


def _text(file: Path) -> str:
    from fleetgate.errors import fail

    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise fail(str(file), "is not UTF-8 text", "give it the report, in Markdown") from None


def _agreed(args: argparse.Namespace, text: str, what: str) -> bool:
    if args.dry_run:  # asks GitHub nothing
        common.show_steps(args, f"write {what}:", text.splitlines())
        return False
    common.confirm(f"This writes {what} on GitHub.", yes=args.yes)
    return True
