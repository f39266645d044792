"""`fleetgate registry`: which serial numbers may come in, and what became of them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.errors import Problem
    from fleetgate.registry import Added, Registry, Row, Wanted

_PARALLEL = 16
_FIRST_ATTRIBUTES = ("serialNumber", "deviceType", "status", "thingName", "manufacturer", "location", "registeredAt")
_LISTED_COLUMNS = _FIRST_ATTRIBUTES[:4]
_JSON_HELP = "for programs: all attributes; every time, leasedAt and leaseExpiresAt too, is UTC like 2026-01-31T23:59:59Z"
_SHOWN_DECISIONS = 50


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "registry", "say which serial numbers may come in, and see what became of them")

    parser = common.add_parser(group, "add", "add serial numbers; nothing that is there is overwritten", _add)
    parser.add_argument("serials", nargs="*", metavar="SERIAL", help="a serial, or a range like TEMP-000100..TEMP-000299")
    parser.add_argument("--type", metavar="TYPE", help="device type of the serials")
    parser.add_argument("--manufacturer", metavar="NAME", help="only this maker's device may use the serials")
    parser.add_argument("--location", metavar="TEXT", help="where they are; wins over what a device says")
    parser.add_argument("--csv", metavar="FILE", help="columns serialNumber, deviceType and, if wanted, manufacturer, location")
    parser.add_argument("--skip-invalid", action="store_true", help="add the good rows even if others are bad")
    common.add_dry_run(parser)

    parser = common.add_parser(group, "show", "show the row of a serial number", _show)
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--json", action="store_true", help=_JSON_HELP)

    parser = common.add_parser(group, "why", "say why the gate let a serial number in or refused it", _why)
    parser.description = (
        "Shows what the hook decided about a serial number, newest last, by its log: what each reason means, the next step, and"
        " the present status of its row. The exit status is 1 if there is no decision, 2 if nobody could be"
        " asked."
    )
    parser.add_argument("serial", metavar="SERIAL", help="as the device sends it")
    common.add_since(parser, 24)
    parser.set_defaults(failed=2)
    parser.add_argument("--json", action="store_true", help="for programs: every decision, and the row as show --json has it")

    parser = common.add_parser(group, "list", "list rows", _list)
    parser.add_argument("--type", metavar="TYPE", help="of this device type only; it may have left the catalogue")
    parser.add_argument("--status", metavar="STATUS", help="with this status only")
    parser.add_argument("--limit", metavar="N", type=int, default=100, help="at most so many (default: 100; 0: all)")
    parser.add_argument("--after", metavar="SERIAL", help="go on after this row, which a list before ended with")
    parser.add_argument("--json", action="store_true", help=_JSON_HELP)

    summary = "never let a serial number in again (its certificate, if it has one, stays as it is)"
    parser = common.add_parser(group, "revoke", summary, _revoke)
    parser.description = (
        "Sets the status of a serial number to revoked: the gate refuses it from then on. A device that is already in keeps its"
        " certificate and its connection; fleetgate revoke cuts it off as well."
    )
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept in the row and in the audit trail")
    common.add_consent(parser)

    parser = common.add_parser(group, "remove", "take out the row of a serial number that no device has used", _remove)
    parser.description = (
        "Removes a row that still has the status registered, for example to add it again with another device type or"
        " manufacturer. A row that a device has used is never removed: see fleetgate revoke."
    )
    parser.add_argument("serial", metavar="SERIAL")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept in the audit trail")
    common.add_consent(parser)


def _add(args: argparse.Namespace) -> int:
    from fleetgate import registry
    from fleetgate.errors import FleetgateError, Problem, count

    fleet = common.fleet(args)
    wanted, unreadable = _read(args)
    good, problems = registry.check(wanted, fleet.catalogue)
    problems = unreadable + problems
    if problems and not args.skip_invalid:
        remedy = "nothing was added: mend them, or let them out by --skip-invalid"
        total = Problem("registry add", f"{count(len(problems), 'mistake')} in the input", remedy)
        raise FleetgateError([*registry.grouped(problems), total])
    for problem in registry.grouped(problems):
        common.say(f"skipped: {problem}")
    skipped = len(wanted) - len(good) + len(unreadable)
    return _write(args, good, skipped, open_registry(fleet), fleet)


def open_registry(fleet: Fleet) -> Registry:
    """The environment's table, as soon as there is a cloud to ask: otherwise botocore would try for a while."""
    from fleetgate import cloud
    from fleetgate.registry import Registry

    cloud.require(fleet.environment)
    return Registry(fleet.names.table)


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
    if args.serials and not args.type:
        remedy = f"write: fleetgate registry add --type TYPE {shlex.join(args.serials[:3])}" + " ..." * (len(args.serials) > 3)
        raise fail("registry add", "--type is missing: the device type of the serials", remedy)
    if not args.serials:
        raise fail("registry add", "no serials were given", "write --type TYPE SERIAL..., or --csv FILE")
    return registry.read_arguments(args.type, args.serials, args.manufacturer, args.location)


def _write(args: argparse.Namespace, rows: Sequence[Wanted], skipped: int, table: Registry, fleet: Fleet) -> int:
    from fleetgate import progress
    from fleetgate.registry import Added, compared, differences, grouped

    if args.dry_run:
        results = progress.each("looking at serials", rows, lambda row: compared(row, table.get(row.serial)), _PARALLEL)
    else:
        results = _add_all(rows, table, fleet)
    counts = {kind: sum(added is kind for added, _ in results) for kind in Added}
    problems = []
    for row, (added, existing) in zip(rows, results, strict=True):
        if added is Added.DIFFERS and existing is not None:
            said = f"is already there, but {'; '.join(differences(row, existing))}"
            problems.append(row.problem(said, "nothing was changed; compare the two"))
        elif added is Added.REVOKED:
            remedy = f"nothing was changed; see its row: fleetgate registry show --env {fleet.environment.name} SERIAL"
            problems.append(row.problem("is revoked: the gate goes on refusing it", remedy))
    for problem in grouped(problems):
        common.say(str(problem))
    parts = [f"{number} {kind.value}" for kind, number in counts.items()] + ([f"{skipped} skipped"] if skipped else [])
    if args.dry_run:
        common.show_steps(args, f"add to the registry of {fleet.environment.name}:", parts)
    else:
        print(", ".join(parts))
    return 1 if problems else 0


def _add_all(rows: Sequence[Wanted], table: Registry, fleet: Fleet) -> list[tuple[Added, Row | None]]:
    """One entry for each serial in the trail; a line of the file names them all."""
    from fleetgate import audit, progress, registry, times

    now = times.now()
    in_table: list[Wanted] = []
    with audit.recorded(fleet, "registry add", fleet.environment.name, audit.caller(), about=()) as deed:

        def put(row: Wanted) -> tuple[Added, Row | None]:
            result = table.add(row, now)
            if result[0] is registry.Added.ADDED:  # noted here: others may fail meanwhile, and it is there all the same
                in_table.append(row)
                deed.part(row.serial, f"registry row: registered as {row.device_type}")
            return result

        try:
            return progress.each("adding serials", rows, put, _PARALLEL)
        finally:
            for kind, said in registry.spelled_short(sorted(in_table, key=lambda row: row.serial)).items():
                deed.did(f"registered as {kind}: {said}")


def _show(args: argparse.Namespace) -> int:
    from fleetgate import near, progress, registry

    fleet = common.fleet(args)
    table = open_registry(fleet)
    row = table.get(args.serial)
    if row is None:
        raise near.unknown(fleet, table, args.serial)
    row = registry.shown(row)
    if args.json:
        common.print_json(row)
    else:
        first = [name for name in _FIRST_ATTRIBUTES if name in row]
        names = first + sorted(set(row) - set(first))
        progress.table(args.serial, ("attribute", "value"), [(name, str(row[name])) for name in names])
    return 0


def _why(args: argparse.Namespace) -> int:
    from fleetgate import decisions, near, registry, times
    from fleetgate.errors import printable

    fleet = common.fleet(args)
    env = fleet.environment.name
    table = open_registry(fleet)
    row = table.get(args.serial)
    log = decisions.Log(fleet.names.hook)
    period = f"the last {args.since:g} h"
    common.say(f"looking through {log.group}, {period}")
    since_ms = times.ago_ms(args.since)
    found = [decisions.explain(record, env) for record in log.decisions("serialNumber", args.serial, since_ms)]
    if args.json:
        common.print_json({"decisions": found, "row": registry.shown(row) if row else None, "serialNumber": args.serial})
        return 0 if found else 1
    if found:
        _print_decisions(found, row)
    elif row is not None and (leased_ms := registry.time_of(row, "leasedAt") or 0) >= since_ms:
        at, serial = times.utc(leased_ms), printable(args.serial)
        print(f"the gate let {serial} in at {at}; the line of that in the log has not arrived\n    -> ask again in a minute")
    else:
        endpoint = f" --endpoint-url {fleet.environment.endpoint_url}" if fleet.environment.endpoint_url else ""
        doctor = f"fleetgate doctor --env {env} {shlex.quote(printable(args.serial))}"
        print(
            f"no decision about {args.serial!r:.80} in {period}: it never reached the hook, or the hook failed\n"
            f"    -> the log may be some seconds late; to look further back: --since HOURS\n"
            f"    -> is its claim active, the template enabled, and the hook well? see: {doctor}\n"
            f"    -> failures of the hook stand in its log: aws{endpoint} logs tail {log.group}"
        )
    print(f"now: {_present(args.serial, row)}")
    if row is None and not found and (meant := near.similar(fleet, table, args.serial)):
        print(f"    -> did you mean {' or '.join(meant)}?")
    if row is not None and row.get("status") == "revoked":
        again = f"fleetgate revoke --reinstate --env {env} {shlex.quote(printable(args.serial))}"
        print(f"    {_revocation(row)}\n    -> to let it come in again: {again}")
    return 0 if found else 1


def _revocation(row: Row) -> str:
    """Who revoked it, when and why, as far as the row says."""
    facts = [f"since {row['revokedAt']}" if "revokedAt" in row else "", f"by {row['revokedBy']}" if "revokedBy" in row else ""]
    why = f": {row['revokedReason']}" if row.get("revokedReason") else ""
    return " ".join(["revoked", *filter(None, facts)]) + why


def _print_decisions(found: Sequence[dict[str, Any]], row: Row | None) -> None:
    import time

    from fleetgate import diagnosis_checks, progress

    cells = [
        (
            decision["at"],
            "allowed" if decision["allowed"] else f"refused: {decision['reason']}",
            decision["deviceType"],
            _short(decision["certificateId"]),
            _short(decision["claimCertificateId"]),
        )
        for decision in found[-_SHOWN_DECISIONS:]
    ]
    # The serial number is not in the title: it may be anything that a device sent, and a title may hold markup.
    progress.table("decisions of the gate, newest last", ("time", "decision", "device type", "certificate", "claim"), cells)
    if len(found) > _SHOWN_DECISIONS:
        common.say(f"{len(found) - _SHOWN_DECISIONS} earlier ones are not shown; --json has all")
    newest = {decision["reason"]: decision for decision in found}
    for decision in found:
        if decision is newest[decision["reason"]]:  # each reason once, what counts now at the end
            meaning, step = decision["meaning"], decision["nextStep"]
            if row is not None and diagnosis_checks.is_settled_by(row, decision["reason"], int(time.time() * 1000)):
                is_in = row["status"] in ("provisioned", "active")
                meaning, step = f"{meaning}; that is no longer so", "nothing to do" if is_in else "let the device try again"
            print(f"{decision['reason']}: {meaning}\n    -> {step}")


def _short(certificate_id: str | None) -> str:
    return certificate_id[:12] if certificate_id else ""


def _present(serial: str, row: Row | None) -> str:
    from fleetgate import registry
    from fleetgate.errors import printable

    serial = printable(serial)  # of a row, too: it may be anything
    if row is None:
        return f"{serial} is not in the registry"
    certificate = f", certificate {_short(row['certificateId'])}" if "certificateId" in row else ""
    return f"{serial} is {registry.status_of(row)} ({registry.type_of(row)}{certificate})"


def _list(args: argparse.Namespace) -> int:
    from fleetgate import progress, registry
    from fleetgate.errors import count

    fleet = common.fleet(args)
    table = open_registry(fleet)
    check_filters(fleet, table, args.type, args.status, args.limit, "--status")
    found, after = registry.page(table.rows(args.type, args.status, args.after), args.limit)
    if args.json:
        common.print_json({"after": after, "rows": found})
    else:
        cells = [[str(row.get(name, "")) for name in _LISTED_COLUMNS] for row in found]
        progress.table("device registry", _LISTED_COLUMNS, cells)
        common.say(count(len(found), "row") + (f", and there are more: add --after {after}, or --limit 0" if after else ""))
    return 0


def check_filters(
    fleet: Fleet, table: Registry, device_type: str | None, status: str | None, limit: int, status_option: str
) -> None:
    """Raises FleetgateError for filters that fit nothing; `status_option` is what the command calls the one of the status."""
    from fleetgate import registry
    from fleetgate.errors import FleetgateError, Problem

    problems = []
    known = device_type is None or device_type in fleet.catalogue.device_types
    # A type that has left the catalogue may still have rows. (An empty key is none that DynamoDB takes.)
    if device_type is not None and not known and (not device_type or next(table.rows(device_type), None) is None):
        problems.append(registry.unknown_type("--type", device_type, fleet.catalogue))
    if status is not None and status not in registry.STATUSES:
        what = f"unknown {status_option.removeprefix('--')} {status!r:.80}"
        problems.append(Problem(status_option, what, registry.did_you_mean(status, registry.STATUSES)))
    if not 0 <= limit <= sys.maxsize - 1:
        problems.append(Problem("--limit", f"{limit} is not a number of rows", "use 0 for all, or a positive number"))
    if problems:
        raise FleetgateError(problems)


def _revoke(args: argparse.Namespace) -> int:
    from fleetgate import audit, near, registry, times

    why = audit.reason(args.reason)
    fleet = common.fleet(args)
    table = open_registry(fleet)
    row = table.get(args.serial)
    if row is None:
        raise near.unknown(fleet, table, args.serial)
    status, kind = registry.status_of(row), registry.type_of(row)
    if status == "revoked":
        print(f"{args.serial} is revoked already")
        return 0
    env = fleet.environment.name
    steps = [f"registry row: {status} -> revoked; certificate and connection stay as they are"]
    if common.show_steps(args, f"registry revoke {args.serial} ({kind}) in {env}:", steps):
        return 0
    question = f"This revokes {args.serial} ({kind}, {status}) in {env}: the gate"
    common.confirm(f"{question} will not let it in again.", yes=args.yes)
    who = audit.caller()
    with audit.recorded(fleet, "registry revoke", args.serial, who, why) as deed:
        before = table.revoke(args.serial, {"revokedAt": times.now(), "revokedBy": who, "revokedReason": why})
        if before is None:
            raise near.unknown(fleet, table, args.serial)
        was = registry.status_of(before)
        deed.did(f"registry row: {was} -> revoked; certificate and connection untouched")
    print(f"{args.serial} is revoked" + (" already" if was == "revoked" else f" (was {was})"))
    if before.get("certificateId"):
        common.say(
            f"its certificate {before['certificateId']} is untouched: a device that holds it stays connected\n"
            f"    -> to cut it off: fleetgate revoke --env {env} {args.serial}"
        )
    return 0


def _remove(args: argparse.Namespace) -> int:
    from fleetgate import audit, near, registry
    from fleetgate.errors import fail

    why = audit.reason(args.reason)
    fleet = common.fleet(args)
    table = open_registry(fleet)
    row = table.get(args.serial)
    if row is None:
        raise near.unknown(fleet, table, args.serial)
    env, status, kind = fleet.environment.name, registry.status_of(row), registry.type_of(row)
    used = fail(
        f"serial {args.serial}",
        f"is {status}: a device has used it, and its row says which certificate it has",
        f"to cut the device off: fleetgate revoke --env {env} {args.serial}",
    )
    if status == registry.UNKNOWN:
        remedy = f"give it one: fleetgate revoke --env {env} {args.serial}, then the same with --reinstate; then this again"
        raise fail(f"serial {args.serial}", "has no status in the registry, so nobody knows whether a device has used it", remedy)
    if status != "registered":
        raise used
    if common.show_steps(args, f"registry remove {args.serial} ({kind}) in {env}:", ["registry row: removed"]):
        return 0
    common.confirm(f"This removes {args.serial} ({kind}) from the registry of {env}.", yes=args.yes)
    with audit.recorded(fleet, "registry remove", args.serial, audit.caller(), why) as deed:
        if not table.remove(args.serial, {"status": "registered"}):  # a device was faster, or another operator
            raise used if table.get(args.serial) else near.unknown(fleet, table, args.serial)
        deed.did("registry row: removed")
    print(f"{args.serial} is removed")
    return 0
