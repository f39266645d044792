"""`fleetgate devices`: what there is of a fleet, and everything about one device."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.device_view import View
    from fleetgate.registry import Row

_COLUMNS = ("serial", "type", "state", "thing", "certificate", "first connected")
_SHORT = 12
_STATES = "registered, provisioning, provisioned, active or revoked"


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "devices", "see the devices of the fleet, and everything about one of them")

    parser = common.add_parser(group, "list", "list devices by the registry, page by page", _list)
    parser.add_argument("--type", metavar="TYPE", help="of this device type only; it may have left the catalogue")
    parser.add_argument(
        "--state", metavar="STATE", help="in this state only: registered, provisioning, provisioned, active, revoked"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=100, help="at most so many (default: 100; 0: all)")
    parser.add_argument("--after", metavar="SERIAL", help="go on after this device, which a list before ended with")
    parser.add_argument("--json", action="store_true", help="for programs: whole rows; after is null on the last page")

    summary = "show all that AWS knows of a device: row, thing, groups, certificates, policies, connection, shadow"
    parser = common.add_parser(group, "show", summary, _show)
    parser.add_argument("serial", metavar="SERIAL", help="serial number, or the thing's name")
    parser.add_argument("--json", action="store_true", help="for programs: all of it, the shadow's state too")


def _list(args: argparse.Namespace) -> int:
    from fleetgate import progress, registry
    from fleetgate.commands.registry import check_filters, open_registry
    from fleetgate.errors import count

    fleet = common.fleet(args)
    table = open_registry(fleet)
    check_filters(fleet, table, args.type, args.state, args.limit, "--state")
    with progress.bar("reading the registry", None, kept=False):
        rows, after = registry.page(table.rows(args.type, args.state, args.after), args.limit)
    if args.json:
        common.print_json({"after": after, "devices": rows})
        return 0
    progress.table("devices", _COLUMNS, [_cells(row) for row in rows])
    common.say(count(len(rows), "device") + (f", and there are more: add --after {after}, or --limit 0" if after else ""))
    return 0


def _cells(row: Row) -> list[str]:
    names = ("serialNumber", "deviceType", "status", "thingName", "certificateId", "firstConnectedAt")
    cells = [str(row.get(name, "")) for name in names]
    cells[4] = cells[4][:_SHORT]
    return cells


def _show(args: argparse.Namespace) -> int:
    from fleetgate import device_view, diagnosis_facts, near
    from fleetgate.commands.registry import open_registry

    fleet = common.fleet(args)
    table = open_registry(fleet)
    view = device_view.look(fleet, table, args.serial)
    if view is None and (serial := diagnosis_facts.serial_behind(fleet, table, args.serial)):
        view = device_view.look(fleet, table, serial)
    if view is None:
        raise near.unknown(fleet, table, args.serial)
    if args.json:
        common.print_json(view.to_json())
    else:
        _print(view, fleet.environment.name)
    return 0


def _print(view: View, env: str) -> None:
    from fleetgate import progress

    progress.table("device", ("what", "value"), [("serial number", view.serial), *_facts(view)])
    if view.row is None:
        common.say(f"the registry has no row of it, so the gate does not know it; see: fleetgate orphans --env {env}")
    elif view.thing is None and view.row.get("status") in ("provisioned", "active"):
        common.say(f"it has no thing, so it cannot connect; see: fleetgate orphans --env {env}")


def _facts(view: View) -> list[tuple[str, str]]:
    facts = [(f"registry {name}", str(value)) for name, value in sorted((view.row or {}).items()) if name != "serialNumber"]
    if view.row is None:
        facts.append(("registry", "no row"))
    if view.thing is None:
        facts.append(("thing", "none"))
    else:
        facts += [("thing", str(view.thing["thingName"])), ("thing type", str(view.thing["thingTypeName"] or "none"))]
        facts += [(f"attribute {name}", str(value)) for name, value in view.thing["attributes"].items()]
        facts.append(("groups", ", ".join(view.groups) or "none"))
    for certificate in view.certificates:
        said = [certificate.status]
        said += [f"created {certificate.created_at}"] if certificate.created_at else []
        said += [] if certificate.is_attached else ["not attached to the thing"]
        said += [] if certificate.is_in_registry else ["not in the registry"]
        said += [f"policies: {', '.join(certificate.policies) or 'none'}"] if certificate.status != "missing" else []
        said += [f"used by {', '.join(certificate.things)} as well"] if certificate.things else []
        facts.append((f"certificate {certificate.certificate_id[:_SHORT]}", "; ".join(said)))
    if not view.certificates:
        facts.append(("certificate", "none"))
    facts += [("other principal", principal) for principal in view.other_principals]
    if view.thing is not None:
        facts.append(("connection", _said(view, "connection", view.connection, "none")))
        facts.append(("shadow", _said(view, "shadow", view.shadow, "none")))
    return facts


def _said(view: View, what: str, value: Any, absent: str) -> str:
    if what in view.unknown:
        return "not known: this cloud, or these credentials, do not tell"
    return json.dumps(value, sort_keys=True) if value is not None else absent
