"""`fleetgate plan`, `apply` and `destroy`."""

from __future__ import annotations

import argparse

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    common.add_parser(subparsers, "plan", "compile the fleet and save a Terraform plan", _plan)
    apply = common.add_parser(subparsers, "apply", "apply the saved plan, then prove it by the smoke checks", _apply)
    apply.add_argument("--no-smoke", action="store_true", help="leave the smoke checks out")
    drain = common.add_parser(subparsers, "drain", "remove all devices of one type; its resources stay", _drain)
    drain.add_argument("--type", metavar="TYPE", required=True, help="device type; may have left the catalogue already")
    drain.add_argument("--yes", action="store_true", help="do not ask")
    destroy = common.add_parser(subparsers, "destroy", "remove all devices, then all resources", _destroy)
    destroy.add_argument("--yes", action="store_true", help="do not ask")


def _plan(args: argparse.Namespace) -> int:
    from fleetgate import deploy

    fleet = common.fleet(args)
    common.say(f"planning environment {fleet.environment.name}")
    changes = deploy.plan(fleet, common.say)
    print("plan saved: there are changes; fleetgate apply applies it" if changes else "plan saved: no changes")
    return 0


def _apply(args: argparse.Namespace) -> int:
    from fleetgate import deploy

    environment = common.environment(args)
    common.say(f"applying environment {environment.name}")
    applied = deploy.apply(environment, common.say)
    if not applied.changed:
        print("nothing to change: the plan holds no changes")
    status = 0
    if not args.no_smoke:
        from fleetgate.commands import smoke

        status = smoke.run_and_print(common.fleet(args))
    _print_summary(environment.name, applied.outputs)
    return status


def _destroy(args: argparse.Namespace) -> int:
    from fleetgate import deploy

    fleet = common.fleet(args)
    name, account = fleet.environment.name, fleet.environment.settings.account_id
    common.confirm(
        f"This removes every device and resource of environment {name} in account {account}, the registry included.",
        yes=args.yes,
    )
    devices = deploy.destroy(fleet, common.say)
    print(f"environment {name} is gone, {devices} devices with it; the embedded cloud, if any, still runs (make down)")
    return 0


def _drain(args: argparse.Namespace) -> int:
    from fleetgate import deploy, drain

    fleet = common.fleet(args)
    devices = deploy.devices_of(fleet, args.type)
    if not devices.things and not devices.certificates:
        print(f"no device of type {args.type} in environment {args.env}")
        return 0
    common.confirm(
        f"This removes {len(devices.things)} devices of type {args.type} from environment {args.env} for good.", yes=args.yes
    )
    drain.remove(devices, common.say)
    print(f"{len(devices.things)} devices of type {args.type} are gone; their registry rows stay")
    return 0


def _print_summary(env: str, outputs: dict[str, object]) -> None:
    from fleetgate import progress

    claims, types = outputs["claim_certificate_ids"], outputs["device_policy_names"]
    first = f"--env {env} --type TYPE"
    rows = [
        ("device registry", outputs["table_name"], f"fleetgate registry list --env {env}"),
        ("provisioning template", outputs["template_name"], f"fleetgate smoke --env {env}"),
        ("the gate (hook)", outputs["hook_function_name"], f"log group /aws/lambda/{outputs['hook_function_name']}"),
        ("onboarding", outputs["onboarding_function_name"], f"dead letters: {outputs['dead_letter_queue_url']}"),
        ("claims", _listed(claims), f"build/{env}/claims/"),
        ("device types", _listed(types), f"catalogue/device_types.yaml, build/{env}/policies/"),
        ("a first device", "say that it may come in:", f"fleetgate registry add {first} SERIAL"),
        ("", "be that device:", f"fleetgate device provision {first} --serial SERIAL"),
    ]
    progress.table(f"environment {env}", ("what", "name", "how to look at it"), [tuple(map(str, row)) for row in rows])


def _listed(value: object) -> str:
    return ", ".join(sorted(map(str, value))) if isinstance(value, dict) else str(value)
