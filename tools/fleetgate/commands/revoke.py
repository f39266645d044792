"""`fleetgate revoke`: cuts a device off at once, and with --reinstate lets its serial number come in again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.registry import Registry
    from fleetgate.revocation import Target


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers, "revoke", "cut a device off: row revoked, certificate INACTIVE, connection dropped", _run
    )
    parser.description = (
        "Cuts a device off: the gate refuses its serial number, its certificates become INACTIVE, its connection is dropped. With"
        " --reinstate the serial number may come in again: what is left of the old device is removed, and the device provisions"
        " anew, with a new certificate. Both may be interrupted and run again."
    )
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept in the registry row and in the audit trail")
    parser.add_argument("--reinstate", action="store_true", help="take a revocation back: revoked becomes registered")
    common.add_consent(parser)


def _run(args: argparse.Namespace) -> int:
    from fleetgate import audit, revocation
    from fleetgate.commands.registry import open_registry

    why = audit.reason(args.reason)
    fleet = common.fleet(args)
    table = open_registry(fleet)
    target = revocation.find(fleet, table, args.serial)
    return (_reinstate if args.reinstate else _revoke)(args, fleet, table, target, why)


def _revoke(args: argparse.Namespace, fleet: Fleet, table: Registry, target: Target, why: str) -> int:
    from fleetgate import audit, registry, revocation, times

    steps = revocation.revoke_steps(target)
    if not steps:
        print(f"{target.serial} is revoked already, and has no active certificate")
        if target.has_thing and target.thing_name is not None and not args.dry_run:
            # A run before may have been interrupted just here.
            print(f"  {revocation.drop_connection(target.thing_name)}")
        return 0
    if target.thing_name is not None:
        steps.append(revocation.connection_step(fleet, target.thing_name))
    if common.show_steps(args, f"revoke {target.serial} ({registry.type_of(target.row)}) in {fleet.environment.name}:", steps):
        return 0
    common.confirm(f"This revokes {target.serial} in {fleet.environment.name} and cuts its device off.", yes=args.yes)
    who = audit.caller()
    notes = {"revokedAt": times.now(), "revokedBy": who, "revokedReason": why}
    with audit.recorded(fleet, "revoke", target.serial, who, why, tell=_tell) as deed:
        revocation.revoke(fleet, table, target, notes, deed, common.say)
    print(f"{target.serial} is revoked")
    if not why:
        common.say("no reason was given; next time: --reason TEXT")
    return 0


def _reinstate(args: argparse.Namespace, fleet: Fleet, table: Registry, target: Target, why: str) -> int:
    from fleetgate import audit, registry, revocation

    if target.status == "registered":
        print(f"{target.serial} is registered already")
        return 0
    revocation.check_reinstatable(fleet, target)
    steps = revocation.reinstate_steps(target)
    if common.show_steps(args, f"reinstate {target.serial} ({registry.type_of(target.row)}) in {fleet.environment.name}:", steps):
        return 0
    common.confirm(f"This lets {target.serial} come in again in {fleet.environment.name}.", yes=args.yes)
    who = audit.caller()
    with audit.recorded(fleet, "reinstate", target.serial, who, why, tell=_tell) as deed:
        revocation.reinstate(fleet, table, target, deed)
    print(f"{target.serial} is registered: its device has to provision again, its old certificate is of no use")
    return 0


def _tell(step: str) -> None:
    print(f"  {step}")
