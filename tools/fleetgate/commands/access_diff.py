"""`fleetgate access-diff`: what a change of the policies lets in and takes away."""

from __future__ import annotations

import argparse

from fleetgate.commands import assume, common

_EPILOG = """\
examples:
  fleetgate access-diff --base origin/main
  fleetgate access-diff --base v1.2.0 --format json --allow-growth

Compiles the fleet of --base and the one of this working tree, and compares what the two let every device type and the claim do:
by the languages of their policies, not by their texts. Each difference comes with an action and a topic that the one allows and
the other refuses. Not compared: who may come in (enrolment, serial number patterns, manufacturers, claims that are added or
retired), and policies that somebody attaches beside the catalogue's.

exit status: 0 no access is gained, or --allow-growth; 1 access is gained, or it cannot be told; 2 wrong usage,
or one of the two cannot be compiled."""


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers, "access-diff", "show what a change lets in that its base did not, and what it takes away", _access_diff
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.set_defaults(failed=2)
    parser.add_argument("--base", metavar="REV", required=True, help="the Git revision to compare with, like origin/main")
    parser.add_argument("--allow-growth", action="store_true", help="exit 0 even if access is gained")
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown", help="default: markdown, for a comment")
    assume.add_option(parser)


def _access_diff(args: argparse.Namespace) -> int:
    from fleetgate import access_output, base_revision, members
    from fleetgate.iot_policy import access

    common.never_fail_on_output()
    assumed = assume.made(args)
    now = common.fleet(args)
    with base_revision.compiled(now.environment, args.base) as base:
        before, base_scope = members.of_fleet(base)
    after, scope = members.of_fleet(now)
    changes = access.compare(before, base_scope, after, scope, assumed)
    changes = access.with_turns(changes, before, base_scope, after, scope, assumed)
    if args.format == "json":
        common.print_json(access_output.as_json(changes, args.base))
    else:
        print(access_output.markdown(changes, args.base), end="")
    return 1 if changes.grows and not args.allow_growth else 0
