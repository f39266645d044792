"""`fleetgate doctor`: why a device is not in, and what to do next."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.diagnosis import Diagnosis, Message

_MAXIMUM_MESSAGE = 100_000


def add(subparsers: common.Subparsers) -> None:
    summary = "say why a device is not in, from its serial number or from what it was answered, and the next step"
    parser = common.add_parser(subparsers, "doctor", summary, _run)
    parser.description = (
        "Follows a device's way (claim, template, hook, registry, certificate, thing, groups, policy, connection, shadow): how"
        " far it came, what is in its way, and what to do next. It only looks, and says what these credentials may not look at."
        " Exit status: 0 nothing is in its way, 1 a cause was found, 2 it cannot be told: something on its way could not be"
        " looked at, or nobody could be asked."
    )
    parser.add_argument("who", metavar="WHO", nargs="?", help="serial number, thing name, or client id of the device")
    parser.add_argument(
        "--rejected", metavar="FILE", help="the JSON that the device got on a topic …/rejected (- for standard input)"
    )
    parser.add_argument("--claim", metavar="CLAIM", help="the claim that it comes with: its name, or its certificate id")
    parser.add_argument("--type", metavar="TYPE", help="its device type, if nothing knows it yet")
    common.add_since(parser, 24)
    parser.add_argument("--json", action="store_true", help="for programs: chain, causes, notes, and what was not looked at")
    parser.set_defaults(failed=2, refuse=parser.error)


def _run(args: argparse.Namespace) -> int:
    from fleetgate import applied, diagnosis, diagnosis_checks, diagnosis_facts, registry
    from fleetgate.commands.registry import open_registry
    from fleetgate.errors import FleetgateError

    common.refuse_empty(args)
    if args.who is None and args.rejected is None:
        args.refuse("give WHO (a serial number, thing name or client id), --rejected FILE, or both")
    message = _message(args.rejected) if args.rejected is not None else None
    fleet = common.fleet(args)
    if args.type is not None and args.type not in fleet.catalogue.device_types:
        raise FleetgateError(registry.unknown_type("--type", args.type, fleet.catalogue))
    table = open_registry(fleet)
    applied.require(fleet)
    serial = diagnosis_facts.serial_of(fleet, table, args.who) if args.who is not None else None
    facts = diagnosis_facts.collect(fleet, table, serial, message, args.claim, args.type, args.since)
    found = diagnosis.diagnose(facts, diagnosis_checks.PARTS)
    if args.json:
        common.print_json(found.to_json())
    else:
        common.never_fail_on_output()
        _print(found, args.who)
    return {True: 0, False: 1, None: 2}[found.is_healthy]


def _message(path: str) -> Message:
    from fleetgate.diagnosis import read_message
    from fleetgate.errors import fail

    where = "standard input" if path == "-" else path
    try:
        if path == "-":
            text = sys.stdin.read(_MAXIMUM_MESSAGE)
        else:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(_MAXIMUM_MESSAGE)
    except UnicodeDecodeError:
        raise fail(where, "is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise fail(where, f"cannot be read: {error.strerror}", "give the path of a file, or - for standard input") from None
    return read_message(text, where)


def _print(found: Diagnosis, who: str | None) -> None:
    from fleetgate import progress
    from fleetgate.diagnosis import State
    from fleetgate.errors import count

    facts = found.facts
    if facts.serial is not None:
        thing = f", thing {facts.thing_name}" if facts.thing_name else ""
        print(f"{facts.serial}" + (f" (asked as {who})" if who != facts.serial else "") + thing)
    marks = {State.OK: "ok", State.CAUSE: "HERE"}
    rows = [
        (link.stage.value, marks.get(link.state, link.state.value), link.seen)
        for link in found.chain
        if link.seen or facts.serial
    ]
    shown = [row for row in rows if not (row[0] == "answer" and facts.message is None)]
    progress.table("the device's way", ("link", "state", "what was seen"), shown)
    for finding in found.causes:
        print(f"cause: {finding.cause.value} ({finding.stage.value}): {finding.what}")
        if finding.evidence:
            print(f"    seen: {finding.evidence}")
        print(f"    -> {finding.next_step}")
    for finding in found.notes:
        print(f"note: {finding.what}\n    -> {finding.next_step}")
    for look, why in sorted(facts.unseen.items()):
        common.say(f"not looked at: {look} ({why})")
    if found.causes:
        far = f"it came as far as: {found.came_as_far_as}" if found.came_as_far_as else "it did not come past the first link"
        common.say(f"{count(len(found.causes), 'cause')}; {far}")
    elif found.hidden:
        common.say(
            f"whether something is in its way cannot be told: {', '.join(found.hidden)} could not be looked at\n"
            "    -> ask again with credentials that may, or later where AWS was too busy"
        )
    else:
        common.say("nothing that was looked at is in its way")
