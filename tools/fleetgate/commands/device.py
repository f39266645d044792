"""`fleetgate device`: be a device, with the real AWS IoT Device SDK."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.commands import common

if TYPE_CHECKING:
    from fleetgate.build import Fleet
    from fleetgate.device import Device
    from fleetgate.provisioning import Report

_SHOWN_FAILURES = 10


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "device", "bring devices in as they would come in themselves")
    parser = common.add_parser(
        group, "provision", "from a claim to a connected device: own key, own certificate, registered as a thing", _provision
    )
    parser.add_argument("--type", metavar="TYPE", required=True, help="device type")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--serial", metavar="SERIAL", help="this device")
    which.add_argument("--count", metavar="N", type=int, help="so many: begun ones first, then registered serials")
    parser.add_argument("--parallel", metavar="P", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--claim", metavar="NAME", help="claim certificate to come in with (default: the first active one)")
    parser.add_argument("--manufacturer", metavar="NAME", help="default: the first that the catalogue allows")
    parser.add_argument("--firmware", metavar="VERSION", help="default: the lowest that the catalogue allows")
    parser.add_argument("--location", metavar="TEXT", help="default: the device does not say")
    parser.add_argument("--keys", metavar="FOLDER", help="where keys and certificates are kept (default: build/ENV/devices)")
    parser.add_argument("--json", action="store_true", help="for programs")


def _provision(args: argparse.Namespace) -> int:
    from fleetgate import applied, cloud, progress, provisioning

    fleet = common.fleet(args)
    keys = Path(args.keys) if args.keys else provisioning.keys_folder(fleet.environment)
    _check_numbers(args)
    cloud.require(fleet.environment)
    applied.require(fleet)
    gate = provisioning.gate(fleet, args.claim)
    if warning := provisioning.warning_of_retired(fleet.environment, args.claim):
        common.say(warning)
    devices = _devices(args, fleet, keys)
    for line in provisioning.start_over_where_lost(fleet, devices, keys):
        common.say(line)
    with progress.bar("provisioning", len(devices), kept=len(devices) > 1) as bar:
        report = provisioning.run(gate, devices, keys, args.parallel, bar.advance)
    if args.json:
        common.print_json(report.to_json())
    else:
        _print(report, keys)
    if report.interrupted:
        left = report.wanted - len(report.done) - len(report.failed)
        again = "" if args.serial else f" with --count {left}"
        who = args.serial or f"{left} of {report.wanted}"
        common.say(
            f"stopped: {who} {'is' if left == 1 else 'are'} not in yet. Keys and certificates are kept in {keys};\n"
            f"    -> the same command{again} goes on with what was begun (within the hour a token is good for)"
        )
        return 130
    return 1 if report.failed else 0


def _check_numbers(args: argparse.Namespace) -> None:
    from fleetgate import provisioning
    from fleetgate.errors import FleetgateError, Problem

    problems = []
    if args.count is not None and not 1 <= args.count <= provisioning.MAXIMUM_COUNT:
        remedy = f"use 1 to {provisioning.MAXIMUM_COUNT}"
        problems.append(Problem("--count", f"{args.count} is not a number of devices", remedy))
    if not 1 <= args.parallel <= provisioning.MAXIMUM_PARALLEL:
        remedy = f"use 1 to {provisioning.MAXIMUM_PARALLEL}; AWS lets 10 devices a second in"
        problems.append(Problem("--parallel", f"{args.parallel} is not possible", remedy))
    if problems:
        raise FleetgateError(problems)


def _devices(args: argparse.Namespace, fleet: Fleet, keys: Path) -> list[Device]:
    from fleetgate import provisioning

    serials = [args.serial] if args.serial is not None else provisioning.choose_serials(fleet, args.type, args.count, keys)
    options = (args.manufacturer, args.firmware, args.location)
    return [provisioning.make_device(fleet, args.type, serial, *options) for serial in serials]


def _print(report: Report, keys: Path) -> None:
    from collections import Counter

    from fleetgate import progress

    for failure in report.failed[:_SHOWN_FAILURES]:
        common.say(f"{failure.serial}: {failure.what}\n    -> {failure.remedy}")
    if len(report.failed) > _SHOWN_FAILURES:
        common.say(f"... and {len(report.failed) - _SHOWN_FAILURES} more; --json lists all")
    if report.wanted == 1:
        for device in report.done:
            verb = "was in already and has connected again" if device.was_in_already else "is in"
            print(f"{device.serial} {verb} as thing {device.thing_name}, certificate {device.certificate_id}")
            print(f"its key and certificate: {device.folder}")
        return
    rows = [("done", str(len(report.done)))]
    rows += [(f"failed: {reason}", str(n)) for reason, n in sorted(Counter(f.reason for f in report.failed).items())]
    rows += [
        ("resumed", str(sum(d.resumed for d in report.done))),
        ("retries", str(sum(d.retries for d in report.done))),
        ("seconds", f"{report.seconds:.2f}"),
        ("devices a second", f"{report.rate:.2f}"),
        ("keys", str(keys)),
    ]
    progress.table("devices", ("what", "value"), rows)
    latencies = [
        (step, *(f"{value:.0f} ms" for value in percentiles.values())) for step, percentiles in report.latencies().items()
    ]
    if latencies:
        progress.table("time by step", ("step", "p50", "p90", "p99"), latencies)
