"""`fleetgate render` and `fleetgate package`."""

from __future__ import annotations

import argparse

from fleetgate.commands import common
from fleetgate.errors import count, fail


def add(subparsers: common.Subparsers) -> None:
    common.add_parser(subparsers, "render", "compile catalogue, policies and packages into build/<env>/", _render)
    package = common.add_parser(subparsers, "package", "package the Lambda functions as byte-identical zips", _package)
    package.add_argument("--check", action="store_true", help="prove that a second build, elsewhere, gives the same bytes")


def _render(args: argparse.Namespace) -> int:
    from fleetgate import build, policies

    fleet = common.fleet(args)
    folder = fleet.environment.build
    written = build.write(fleet)
    for name, policy in fleet.policies.items():
        print(f"policies/{name}.json: {policies.size(policy)} of {policies.MAXIMUM_SIZE} characters")
    relative = folder.relative_to(fleet.environment.root)
    print(f"{relative}: {count(len(written), 'file')} new, the others up to date" if written else f"{relative}: up to date")
    return 0


def _package(args: argparse.Namespace) -> int:
    import shutil
    import tempfile
    from pathlib import Path

    from fleetgate import catalogue, names, package

    environment = common.environment(args)
    found = catalogue.read(environment.root)
    fleet_names = names.derive(found, environment)
    for function in package.FUNCTIONS:
        content = package.build(environment.root, function, found, fleet_names)
        if args.check:
            # Another folder, other file times, other order of creation: whatever could leak into a zip is different.
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(environment.root / package.FOLDER, Path(folder) / package.FOLDER, copy_function=shutil.copyfile)
                again = package.build(Path(folder), function, found, fleet_names)
            if again != content:
                raise fail(f"{package.FOLDER}/{function}", "two builds differ", "find what depends on time, place or order")
        path = environment.build / f"{function}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        proof = ", built twice with the same bytes" if args.check else ""
        print(f"{path.relative_to(environment.root)}: {package.source_code_hash(content)}{proof}")
    return 0
