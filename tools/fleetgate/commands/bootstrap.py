"""`fleetgate bootstrap`: the bucket of Terraform's state."""

from __future__ import annotations

import argparse

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "bootstrap",
        "make the bucket of the environment's Terraform state: versions, encryption, nothing public, TLS only",
        _bootstrap,
    )
    parser.add_argument("--dry-run", action="store_true", help="show what it would do, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _bootstrap(args: argparse.Namespace) -> int:
    from fleetgate import cloud, state_bucket
    from fleetgate.errors import count

    environment = common.environment(args)
    bucket = state_bucket.settings(environment).bucket
    cloud.require(environment)
    steps = state_bucket.plan(environment)
    if not steps:
        print(f"nothing to change: the bucket {bucket} is there, as it must be")
        return 0
    print("would:" if args.dry_run else "will:")
    for step in steps:
        print(f"  {step.what}")
    if args.dry_run:
        return 0
    common.confirm(f"This makes {count(len(steps), 'change')} in account {environment.settings.account_id}.", yes=args.yes)
    for step in steps:
        step.run()
    print(f"the bucket {bucket} is ready; next: fleetgate plan --env {environment.name}")
    return 0
