"""`fleetgate isolation`: whether devices can reach each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from fleetgate.commands import assume, common

_EPILOG = """\
examples:
  fleetgate isolation --html isolation.html
  fleetgate isolation policies/*.json --json
  fleetgate isolation pump=policies/base.json,policies/pump.json

Every type against every type: can a device connect, publish, retain, subscribe, receive, or reach shadow or jobs as another
device? Without a file it is about the catalogue's types and the claim, whose declared flows and topics must work, too. Of files
each is one type, named like the file, and taken for all that its certificates have; of several on one certificate write
NAME=FILE,FILE. docs/isolation.md says what is asked and why the answers are proofs.

exit status: 0 isolated; 1 not isolated, or undecided; 2 wrong usage, or a file is no policy."""


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "isolation", "prove that no device can act as another, or show how", _isolation)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.set_defaults(failed=2, by_name="fleetgate isolation FILE")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="*",
        help="a policy in JSON, or NAME=FILE,FILE (default: those of the catalogue)",
    )
    parser.add_argument("--json", action="store_true", help="for programs: every pair with its verdict")
    parser.add_argument("--html", metavar="FILE", help="write a page to look at, in one file")
    assume.add_option(parser)


def _isolation(args: argparse.Namespace) -> int:
    from fleetgate import isolation_output, members
    from fleetgate.iot_policy import isolation

    common.never_fail_on_output()
    common.refuse_empty(args)
    assumed = assume.made(args)
    if args.file:
        types, scopes = members.of_files(args.file)
    else:
        types, scope = members.of_fleet(common.fleet(args))
        scopes = (scope,)
    report = isolation.with_turns(isolation.check_all(types, scopes, assumed), types, scopes)
    if args.html:
        from fleetgate import isolation_page

        Path(args.html).write_text(
            isolation_page.page(report, types, scopes), encoding="utf-8", errors="backslashreplace", newline="\n"
        )
    if args.json:
        common.print_json(isolation_output.as_json(report, types, scopes))
    else:
        print(isolation_output.text(report, types, scopes), end="")
    if args.html:
        common.say(f"{args.html}: written")
    return 0 if report.isolated else 1
