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
    common.add_consent(parser)


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
    if common.show_steps(args, f"make the bucket of environment {environment.name}'s state:", [step.what for step in steps]):
        return 0
    common.confirm(f"This makes {count(len(steps), 'change')} in account {environment.settings.account_id}.", yes=args.yes)
    for step in steps:
        step.run()
    print(f"the bucket {bucket} is ready; next: fleetgate plan --env {environment.name}")
    return 0
