"""`fleetgate plan`, `apply` and `destroy`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fleetgate.commands import common

DEFAULT_LOCK_TIMEOUT = "60s"  # terraform.LOCK_TIMEOUT, which would import too much for a help text


def add(subparsers: common.Subparsers) -> None:
    plan = common.add_parser(subparsers, "plan", "compile the fleet and save a Terraform plan", _plan)
    plan.add_argument("--json", metavar="FILE", type=Path, help="write the plan as JSON as well, for fleetgate lint and others")
    _add_shared(plan)
    apply = common.add_parser(subparsers, "apply", "apply the saved plan, then prove it by the smoke checks", _apply)
    apply.add_argument("--no-smoke", action="store_true", help="leave the smoke checks out")
    # Terraform takes a plan only once, also one that was interrupted.
    apply.set_defaults(again="next: fleetgate plan, which shows what is left to do, then fleetgate apply")
    _add_shared(apply)
    drain = common.add_parser(subparsers, "drain", "remove all devices of one type; its resources stay", _drain)
    drain.add_argument("--type", metavar="TYPE", required=True, help="device type; may have left the catalogue already")
    common.add_consent(drain)
    destroy = common.add_parser(subparsers, "destroy", "remove all devices, then all resources", _destroy)
    common.add_consent(destroy)
    _add_shared(destroy)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lock-timeout",
        metavar="TIME",
        type=_time,
        default=DEFAULT_LOCK_TIMEOUT,
        help=f"how long to wait while somebody else works on the state, such as 30s or 15m (default: {DEFAULT_LOCK_TIMEOUT})",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show all that Terraform says (it is in build/NAME/terraform.log in any case)"
    )


def _time(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}[smh]", text):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no time; write 30s, 15m or 1h")
    return text


def _plan(args: argparse.Namespace) -> int:
    from fleetgate import deploy

    fleet = common.fleet(args)
    name = fleet.environment.name
    common.say(f"planning environment {name}")
    if deploy.plan(fleet, common.say, verbose=args.verbose, json_file=args.json, lock_timeout=args.lock_timeout):
        print(f"plan saved: there are changes, each in full in build/{name}/terraform.log; fleetgate apply applies them")
    else:
        print("plan saved: no changes")
    return 0


def _apply(args: argparse.Namespace) -> int:
    from fleetgate import deploy

    environment = common.environment(args)
    common.say(f"applying the plan of environment {environment.name}")
    applied = deploy.apply(environment, common.say, verbose=args.verbose, lock_timeout=args.lock_timeout)
    result = f"applied: {applied.counts}" if applied.counts else "nothing to change: the plan holds no changes."
    status = 0
    if not args.no_smoke:
        from fleetgate.commands import smoke

        status, checks = smoke.run_and_summarize(common.fleet(args))
        result = f"{result} {checks[0].upper()}{checks[1:]}."
    _print_summary(environment.name, applied.outputs)
    print(result)
    return status


def _destroy(args: argparse.Namespace) -> int:
    from fleetgate import audit, deploy
    from fleetgate.errors import FleetgateError, count

    fleet = common.fleet(args)
    name, account = fleet.environment.name, fleet.environment.settings.account_id
    if not args.dry_run:
        deploy.require_unprotected(fleet.environment)  # which the file says, before anybody is asked anything
    common.say(f"looking at environment {name}")
    doomed = deploy.look_before_destroy(fleet, common.say, verbose=args.verbose, lock_timeout=args.lock_timeout)
    if doomed.protections and not args.dry_run:
        raise FleetgateError(doomed.protections)
    if common.show_steps(args, f"destroy environment {name} in account {account}:", doomed.steps()):
        return 0
    common.confirm(
        f"This removes every device and resource of environment {name} in account {account}, the registry included.",
        yes=args.yes,
    )
    common.say(f"destroying environment {name}")
    with audit.recorded(fleet, "destroy", name, audit.caller()) as deed:
        devices = deploy.destroy(doomed, common.say, deed)
    host = fleet.environment.cloud_host
    down = "make down" if host.name == common.DEFAULT_ENVIRONMENT else f"make down ENV={host.name}"
    running = f"; its embedded cloud still runs ({down})" if host.settings.embedded_cloud else ""
    print(f"environment {name} is gone, {count(devices, 'device')} with it{running}")
    return 0


def _drain(args: argparse.Namespace) -> int:
    from fleetgate import audit, deploy, drain
    from fleetgate.errors import count

    fleet = common.fleet(args)
    common.say(f"looking for devices of type {args.type}")
    devices = deploy.devices_of(fleet, args.type, common.say)
    if not devices.things and not devices.certificates:
        print(f"no device of type {args.type} in environment {args.env}")
        return 0
    found = f"{count(len(devices.things), 'device')} of type {args.type}"
    if common.show_steps(args, f"drain {args.type} in {args.env}:", devices.steps()):
        return 0
    common.confirm(f"This removes {found} from environment {args.env} for good.", yes=args.yes)
    with audit.recorded(fleet, "drain", args.type, audit.caller()) as deed:
        drain.remove(devices, common.say, deed)
    print(f"removed {found}")
    return 0


def _print_summary(env: str, outputs: dict[str, object]) -> None:
    """What there is, as a table that fits 100 columns; the commands below it stand alone, so that they can be copied."""
    from fleetgate import progress

    option = "" if env == common.DEFAULT_ENVIRONMENT else f" --env {env}"
    rows = [
        ("device registry", outputs["table_name"]),
        ("provisioning template", outputs["template_name"]),
        ("the gate (hook)", outputs["hook_function_name"]),
        ("onboarding", outputs["onboarding_function_name"]),
        ("dead letters", str(outputs["dead_letter_queue_url"]).rpartition("/")[2]),
        ("claims", _listed(outputs["claim_certificate_ids"])),
        ("device types", _listed(outputs["device_policy_names"])),
    ]
    progress.table(f"environment {env}", ("what", "name"), [tuple(map(str, row)) for row in rows])
    fleetgate = common.program()
    commands = [
        ("say that a device may come in", f"registry add{option} --type TYPE SERIAL"),
        ("be that device", f"device provision{option} --type TYPE --serial SERIAL"),
        ("see what became of it", f"registry show{option} SERIAL"),
        ("see why it was refused", f"registry why{option} SERIAL"),
        ("see its whole history", f"audit{option} SERIAL"),
        ("prove the fleet again", f"smoke{option}"),
    ]
    for what, command in commands:
        print(f"{what:<30}  {fleetgate} {command}")
    print(f"{'policies, keys, logs, state':<30}  build/{env}/")


def _listed(value: object) -> str:
    return ", ".join(sorted(map(str, value))) if isinstance(value, dict) else str(value)
