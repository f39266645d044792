"""`fleetgate audit`: the whole history of one device, from the hook's decision to its revocation."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.audit import Entry, History

_SHOWN_ID = 12
#: The trail has everything, for good; the log is read for what that does not have yet, and a year of it would take minutes. As
#: long as a dead letter is kept: what has not come into the trail by then is lost to it.
_LOG_HOURS = 14 * 24
#: A decision that is older than this should have come from the log into the table.
_LATE_MS = 300_000


def add(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(subparsers, "audit", "one device's whole history, from hook decision to revocation", _run)
    parser.description = (
        "Shows what the audit trail has about a serial number, oldest first: every decision of the hook, allowed or denied, with"
        " claim and certificate; what became of its thing; its first connection; and what was done to it with commands, by whom"
        " and why. The hook's log is read besides the trail, for what that does not have yet. Exit status: 1 if there is nothing,"
        " 2 if nobody could be asked."
    )
    parser.set_defaults(failed=2)
    parser.add_argument("serial", metavar="SERIAL", nargs="?")
    parser.add_argument("--unreadable", action="store_true", help="instead: devices that did not say a possible serial number")
    common.add_since(parser, _LOG_HOURS)
    parser.add_argument("--json", action="store_true", help="for programs: all fields of all entries")


def _run(args: argparse.Namespace) -> int:
    from fleetgate import audit, diagnosis_facts, near, registry, times
    from fleetgate.commands.registry import open_registry

    _check(args)
    fleet = common.fleet(args)
    table = open_registry(fleet)
    since_ms = times.ago_ms(args.since)
    common.say(f"reading {fleet.names.audit_table}, and the hook's log of the last {args.since:g} h (--since looks further back)")
    row = table.get(args.serial) if args.serial else None
    found = audit.history(fleet, args.serial, row, since_ms) if args.serial else audit.unreadable(fleet, since_ms)
    thing_of = diagnosis_facts.serial_behind(fleet, table, args.serial) if args.serial and row is None else None
    if args.json:
        entries = [
            {**entry, "at": times.utc(entry["timestamp"], exact=True), "kept": found.is_kept(entry)} for entry in found.entries
        ]
        shown = registry.shown(row) if row else None
        common.print_json({"entries": entries, "registry": shown, "serialNumber": args.serial})
    else:
        _print(args.serial, found)
        if thing_of:
            print(f"asked as a thing; its serial number is {thing_of}, and all about it says:")
            print(f"    -> fleetgate audit --env {fleet.environment.name} {thing_of}")
        elif args.serial:
            since = f", registered {row['registeredAt']}" if row and "registeredAt" in row else ""
            print(f"now: {registry.status_of(row)}{since}" if row else "now: not in the registry")
    unknown = args.serial if row is None and not found.entries and not thing_of else None
    if unknown and (meant := near.similar(fleet, table, unknown)):
        common.say(f"    -> did you mean {' or '.join(meant)}?")
    _tell_what_is_late(found)
    return 0 if found.entries else 1


def _check(args: argparse.Namespace) -> None:
    from fleetgate import audit
    from fleetgate.errors import fail

    if (args.serial is None) is not args.unreadable:
        raise fail("audit", "wants a serial number, or --unreadable", "give one of the two")
    if args.serial is not None and not audit.is_serial(args.serial):
        remedy = "what a device said instead of a serial number is not kept; see: fleetgate audit --unreadable"
        raise fail(f"serial {args.serial!r:.80}", "can be none: letters, digits, _ and -, at most 64", remedy)


def _print(serial: str | None, found: History) -> None:
    from fleetgate import progress, times

    if found.entries:
        cells = [(times.utc(entry["timestamp"], exact=True), event(entry), details(entry)) for entry in found.entries]
        progress.table("audit trail", ("time", "event", "details"), cells)
    elif serial is None:
        print("no device has sent a serial number that can be none")
    else:
        print(f"the audit trail has nothing about {serial}: it never asked to come in")


def _tell_what_is_late(found: History) -> None:
    import time

    from fleetgate.errors import count

    now_ms = time.time_ns() // 1_000_000
    late = [entry for entry in found.entries if not found.is_kept(entry) and entry["timestamp"] < now_ms - _LATE_MS]
    if late:
        common.say(
            f"{count(len(late), 'decision')} of the hook stand in its log and not in the trail, and go with the log\n"
            "    -> see docs/runbook.md, heading audit-trail"
        )


def event(entry: Entry) -> str:
    """What happened, in a few words."""
    operation = str(entry.get("operation", "")).lower()
    match entry.get("eventType", "event"):
        case "PROVISIONING_DECISION":
            return "let in by the hook" if operation == "allowed" else "denied by the hook"
        case "ONBOARDING":
            return "first connection" if operation == "connected" else operation
        case "DEED":
            return operation
        case "THING_GROUP_MEMBERSHIP_EVENT":
            return "joined a group" if operation == "added" else "left a group"
        case kind:
            return f"{str(kind).removesuffix('_EVENT').replace('_', ' ').lower()} {operation}".strip()


def details(entry: Entry) -> str:
    """What belongs to it, in one line."""
    facts: list[tuple[str, Any]] = [
        ("", entry.get("reason") if entry.get("operation") == "DENIED" else None),
        ("", "" if entry.get("complete", True) else "not completed"),
        ("thing", entry.get("thingName")),
        ("type", entry.get("thingTypeName")),
        ("group", str(entry.get("groupArn", "")).rpartition("/")[2]),
        ("certificate", str(entry.get("certificateId", ""))[:_SHOWN_ID]),
        ("claim", str(entry.get("claimCertificateId", ""))[:_SHOWN_ID]),
        ("by", entry.get("who")),
        ("why:", entry.get("why")),
        ("did:", "; ".join(map(str, entry.get("done", [])))),
    ]
    return ", ".join(f"{name} {value}".strip() for name, value in facts if value)
