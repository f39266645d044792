"""`fleetgate catalogue`: checks the catalogue and writes its JSON schema."""

from __future__ import annotations

import argparse

from fleetgate.commands import common
from fleetgate.errors import count, fail


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "catalogue", "check the catalogue of device types")
    check = common.add_parser(group, "check", "report every mistake in the catalogue at once", _check, env=False)
    check.epilog = "exit status: 0 no mistakes; 1 mistakes, or no checkout; 2 wrong usage"
    schema = common.add_parser(group, "schema", "write the JSON schema that editors use", _schema, env=False)
    schema.epilog = "exit status: 0 written, or up to date; 1 no checkout, or with --check not up to date; 2 wrong usage"
    schema.add_argument("--check", action="store_true", help="write nothing, fail if the file is not what it would be")


def _check(args: argparse.Namespace) -> int:
    from fleetgate import catalogue

    found = catalogue.read(common.root(args))
    print(f"{catalogue.FILE}: {count(len(found.device_types), 'device type')}, no mistakes")
    return 0


def _schema(args: argparse.Namespace) -> int:
    from fleetgate import catalogue

    path = common.root(args) / catalogue.SCHEMA_FILE
    text = catalogue.schema()
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        print(f"{catalogue.SCHEMA_FILE}: up to date")
        return 0
    if args.check:
        raise fail(catalogue.SCHEMA_FILE, "is not the schema of the catalogue's model", "run: fleetgate catalogue schema")
    path.write_text(text, encoding="utf-8")
    print(f"{catalogue.SCHEMA_FILE}: written")
    return 0
