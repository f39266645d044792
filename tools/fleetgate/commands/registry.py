"""`fleetgate registry`: which serial numbers may come in, and what became of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.catalogue import Catalogue
    from fleetgate.errors import FleetgateError, Problem
    from fleetgate.registry import Added, Registry, Row, Wanted

_PARALLEL = 16
_FIRST_ATTRIBUTES = ("serialNumber", "deviceType", "status", "thingName", "manufacturer", "location", "registeredAt")
_LISTED_COLUMNS = _FIRST_ATTRIBUTES[:4]


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "registry", "say which serial numbers may come in, and see what became of them")

    parser = common.add_parser(group, "add", "add serial numbers; nothing that is there is overwritten", _add)
    parser.add_argument("serials", nargs="*", metavar="SERIAL", help="a serial, or a range like TEMP-000100..TEMP-000299")
    parser.add_argument("--type", metavar="TYPE", help="device type of the serials")
    parser.add_argument("--manufacturer", metavar="NAME", help="only this maker's device may use the serials")
    parser.add_argument("--location", metavar="TEXT", help="where they are; wins over what a device says")
    parser.add_argument("--csv", metavar="FILE", help="columns serialNumber, deviceType and, if wanted, manufacturer, location")
    parser.add_argument("--skip-invalid", action="store_true", help="add the good rows even if others are bad")

    parser = common.add_parser(group, "show", "show the row of a serial number", _show)
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--json", action="store_true", help="for programs")

    parser = common.add_parser(group, "list", "list rows", _list)
    parser.add_argument("--type", metavar="TYPE", help="of this device type only")
    parser.add_argument("--status", metavar="STATUS", help="with this status only")
    parser.add_argument("--limit", metavar="N", type=int, default=100, help="at most so many (default: 100; 0: all)")
    parser.add_argument("--after", metavar="SERIAL", help="go on after this row, which a list before ended with")
    parser.add_argument("--json", action="store_true", help="for programs")

    summary = "never let a serial number in again (its certificate, if it has one, stays as it is)"
    parser = common.add_parser(group, "revoke", summary, _revoke)
    parser.description = (
        "Sets the status of a serial number to revoked: the gate refuses it from then on. A device that is already in keeps its"
        " certificate and its connection; to cut it off, set its certificate INACTIVE as well."
    )
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add(args: argparse.Namespace) -> int:
    from fleetgate import registry
    from fleetgate.errors import FleetgateError

    fleet = common.fleet(args)
    wanted, problems = _read(args)
    good, more = registry.check(wanted, fleet.catalogue)
    problems += more
    if problems and not args.skip_invalid:
        remedy = "nothing was added: mend them, or let them out by --skip-invalid"
        raise FleetgateError([*problems, _summary_problem(problems, remedy)])
    for problem in problems:
        common.say(f"skipped: {problem}")
    return _write(good, registry.Registry(fleet.names.table))


def _read(args: argparse.Namespace) -> tuple[list[Wanted], list[Problem]]:
    from fleetgate import registry
    from fleetgate.errors import fail

    if args.csv:
        if args.serials or args.type or args.manufacturer or args.location:
            raise fail("registry add", "--csv stands beside serials or --type", "use one of the two ways")
        try:
            # utf-8-sig: spreadsheets put a byte order mark in front.
            text = Path(args.csv).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise fail(args.csv, "is not UTF-8 text", "save it as CSV UTF-8") from None
        except OSError as error:
            raise fail(args.csv, f"cannot be read: {error.strerror}", "give the path of a CSV file") from None
        return registry.read_csv(text, args.csv)
    if not args.serials or not args.type:
        raise fail("registry add", "no serials were given", "write --type TYPE SERIAL..., or --csv FILE")
    return registry.read_arguments(args.type, args.serials, args.manufacturer, args.location)


def _summary_problem(problems: Sequence[Problem], remedy: str) -> Problem:
    from fleetgate.errors import Problem

    return Problem("registry add", f"{_count(len(problems), 'mistake')} in the input", remedy)


def _write(rows: Sequence[Wanted], table: Registry) -> int:
    import time
    from concurrent.futures import ThreadPoolExecutor

    from fleetgate import progress
    from fleetgate.registry import Added, differences

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results: list[tuple[Wanted, Added, Row | None]] = []

    def put(row: Wanted) -> tuple[Wanted, Added, Row | None]:
        return (row, *table.add(row, now))

    with progress.bar("adding serials", len(rows)) as bar, ThreadPoolExecutor(_PARALLEL) as pool:
        try:
            for result in pool.map(put, rows):
                results.append(result)
                bar.advance()
        finally:
            pool.shutdown(cancel_futures=True)
    counts = {kind: sum(added is kind for _, added, _ in results) for kind in Added}
    for row, added, existing in results:
        if added is Added.DIFFERS and existing is not None:
            said = "; ".join(differences(row, existing))
            common.say(f"{row.where}: {row.serial} is already there, but {said}\n    -> nothing was changed; compare the two")
    revoked = sum(existing is not None and existing.get("status") == "revoked" for _, _, existing in results)
    print(
        f"{counts[Added.ADDED]} added, {counts[Added.THERE]} already there, {counts[Added.DIFFERS]} already there but different"
        + (f" ({revoked} of them revoked)" if revoked else "")
    )
    return 1 if counts[Added.DIFFERS] else 0


def _show(args: argparse.Namespace) -> int:
    from fleetgate import progress, registry

    fleet = common.fleet(args)
    table = registry.Registry(fleet.names.table)
    row = table.get(args.serial)
    if row is None:
        raise _unknown_serial(args, fleet)
    if args.json:
        common.print_json(row)
    else:
        first = [name for name in _FIRST_ATTRIBUTES if name in row]
        names = first + sorted(set(row) - set(first))
        progress.table(args.serial, ("attribute", "value"), [(name, _cell(name, row)) for name in names])
    return 0


def _list(args: argparse.Namespace) -> int:
    from itertools import islice

    from fleetgate import progress, registry

    fleet = common.fleet(args)
    _check_filters(args, fleet.catalogue)
    rows = registry.Registry(fleet.names.table).rows(args.type, args.status, args.after)
    # One more than shown tells whether there is more.
    found = list(rows if args.limit == 0 else islice(rows, args.limit + 1))
    more = args.limit != 0 and len(found) > args.limit
    found = found[: args.limit] if more else found
    after = found[-1]["serialNumber"] if more else None
    found.sort(key=lambda row: str(row["serialNumber"]))
    if args.json:
        common.print_json({"after": after, "rows": found})
    else:
        cells = [[_cell(name, row) for name in _LISTED_COLUMNS] for row in found]
        progress.table("device registry", _LISTED_COLUMNS, cells)
        common.say(_count(len(found), "row") + (f", and there are more: add --after {after}, or --limit 0" if more else ""))
    return 0


def _check_filters(args: argparse.Namespace, catalogue: Catalogue) -> None:
    from fleetgate import registry
    from fleetgate.errors import FleetgateError, Problem

    problems = []
    if args.type is not None and args.type not in catalogue.device_types:
        problems.append(registry.unknown_type("--type", args.type, catalogue))
    if args.status is not None and args.status not in registry.STATUSES:
        remedy = f"use one of {', '.join(registry.STATUSES)}"
        problems.append(Problem("--status", f"unknown status {args.status!r:.80}", remedy))
    if not 0 <= args.limit <= sys.maxsize - 1:
        problems.append(Problem("--limit", f"{args.limit} is not a number of rows", "use 0 for all, or a smaller number"))
    if problems:
        raise FleetgateError(problems)


def _revoke(args: argparse.Namespace) -> int:
    from fleetgate import registry

    fleet = common.fleet(args)
    table = registry.Registry(fleet.names.table)
    row = table.get(args.serial)
    if row is None:
        raise _unknown_serial(args, fleet)
    if row["status"] == "revoked":
        print(f"{args.serial} is revoked already")
        return 0
    question = f"This revokes {args.serial} ({row['deviceType']}, {row['status']}) in {fleet.environment.name}: the gate"
    common.confirm(f"{question} will not let it in again.", yes=args.yes)
    before = table.revoke(args.serial)
    if before is None:
        raise _unknown_serial(args, fleet)
    print(f"{args.serial} is revoked" + (" already" if before["status"] == "revoked" else f" (was {before['status']})"))
    if before.get("certificateId"):
        common.say(f"its certificate {before['certificateId']} is untouched: a device that holds it stays connected")
    return 0


def _unknown_serial(args: argparse.Namespace, fleet: Fleet) -> FleetgateError:
    from fleetgate.errors import fail

    remedy = f"see what there is: fleetgate registry list --env {fleet.environment.name}"
    return fail(f"serial {args.serial!r:.80}", f"is not in the registry {fleet.names.table}", remedy)


def _cell(name: str, row: Row) -> str:
    value = row.get(name, "")
    if name in ("leasedAt", "leaseExpiresAt") and isinstance(value, int):
        import time

        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value / 1000))
    return str(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
