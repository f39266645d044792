"""`fleetgate claim`: claim certificates, which devices leave the factory with."""

from __future__ import annotations

import argparse

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "claim", "make claim certificates")
    create = common.add_parser(group, "create", "make a claim's private key (mode 0600) and its signing request, here", _create)
    create.add_argument("name", help="a claim that stands under `claims` in the environment's file")
    restore = common.add_parser(
        group, "restore", "put a claim's private key back where it was not made, read from standard input", _restore
    )
    restore.add_argument("name", help="a claim that stands under `claims` in the environment's file")


def _create(args: argparse.Namespace) -> int:
    from fleetgate import applied, claims

    environment = common.environment(args)
    key, csr = claims.create(environment, args.name)
    print(f"private key: {key} (0600; it never leaves this machine through fleetgate)")
    print(f"signing request: {csr}")
    common.say(f"next: {applied.command(environment)}; the certificate then lies beside the key")
    return 0


def _restore(args: argparse.Namespace) -> int:
    import sys

    from fleetgate import claims

    key = claims.restore(common.environment(args), args.name, sys.stdin.buffer.read(65_536))
    print(f"private key: {key} (0600)")
    return 0
