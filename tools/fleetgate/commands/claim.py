"""`fleetgate claim`: claim certificates, which devices leave the factory with."""

from __future__ import annotations

import argparse

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "claim", "make claim certificates, list them, change them for new ones, retire them")
    listed = common.add_parser(group, "list", "list claims as the environment's file, this machine and AWS have them", _list)
    listed.add_argument("--json", action="store_true", help="for programs: whole certificate ids")

    create = common.add_parser(group, "create", "make a claim's private key (mode 0600) and its signing request, here", _create)
    create.add_argument("name", metavar="CLAIM", help="a claim that stands under `claims` in the environment's file")
    common.add_dry_run(create)

    restore = common.add_parser(
        group, "restore", "put a claim's private key back where it was not made, read from standard input", _restore
    )
    restore.add_argument("name", metavar="CLAIM", help="a claim that stands under `claims` in the environment's file")
    common.add_dry_run(restore)

    rotate = common.add_parser(group, "rotate", "put a new claim beside an old one, so that factories can switch", _rotate)
    rotate.description = (
        "Adds a claim to the environment's file, below the old one, and makes its private key (mode 0600) and signing request."
        " Nothing else changes: after the next apply both are good, the factories switch, and then the old one is retired."
    )
    rotate.add_argument("name", metavar="CLAIM", help="the claim to be replaced")
    rotate.add_argument(
        "--as",
        dest="new",
        metavar="NAME",
        help="name of the new claim (default: CLAIM-r2, then -r3, ..., unless one stands there)",
    )
    common.add_consent(rotate)

    retire = common.add_parser(group, "retire", "let no device come in with a claim any more", _retire)
    retire.description = (
        "Sets `active: false` at a claim in the environment's file; the next apply makes its certificate INACTIVE and lets"
        " the hook refuse it. Devices that have come in with it have certificates of their own and are not affected."
    )
    retire.add_argument("name", metavar="CLAIM", help="the claim that is not to be used any more")
    retire.add_argument("--now", action="store_true", help="make its certificate INACTIVE at once, before any apply")
    retire.add_argument(
        "--force", action="store_true", help="with --now: also the last active claim, whose key has leaked; then nobody comes in"
    )
    retire.add_argument("--reason", metavar="TEXT", help="why; kept in the audit trail, and in build/ENV/audit.jsonl")
    common.add_consent(retire)


def _list(args: argparse.Namespace) -> int:
    from fleetgate import claim_rotation, cloud, progress

    environment = common.environment(args)
    cloud.require(environment)
    found = claim_rotation.standings(environment)
    if args.json:
        common.print_json([claim.to_json() for claim in found])
        return 0
    rows = []
    for claim in found:
        certificate = "not applied" if claim.certificate_id is None else claim.certificate_id[:12]
        gone = "" if claim.certificate_id is None else "AWS does not have it"
        rows.append((claim.name, claim.in_file, "here" if claim.has_key else "", certificate, claim.status or gone))
    progress.table(f"claims of environment {environment.name}", ("claim", "in the file", "key", "certificate", "status"), rows)
    return 0


def _create(args: argparse.Namespace) -> int:
    from fleetgate import applied, audit, build, claims

    environment = common.environment(args)
    wanted = claims.plan(environment, args.name)
    key = "there already, and stays (0600)" if wanted.has_key else "a new private key (0600)"
    steps = [f"{wanted.key_file}: {key}", f"{wanted.csr_file}: its signing request"]
    if args.dry_run and common.show_steps(args, f"create claim {args.name} in {environment.name}:", steps):
        return 0
    with audit.recorded(build.compile_fleet(environment), "claim create", args.name, audit.caller_if_any(environment)) as deed:
        for step in steps:
            deed.begin(step)
        with claims.alone(environment):
            pair = claims.create(environment, args.name)
        for step in steps:
            deed.did(step)
    print(f"private key: {pair.key_file} (0600; it never leaves this machine through fleetgate)")
    print(f"signing request: {pair.csr_file}")
    common.say(f"next: {applied.command(environment)}; the certificate then lies beside the key")
    return 0


def _restore(args: argparse.Namespace) -> int:
    import sys

    from fleetgate import audit, build, claims

    environment = common.environment(args)
    pem = sys.stdin.buffer.read(65_536)
    key = claims.check_restore(environment, args.name, pem)
    step = f"{key}: the private key (0600)"
    if args.dry_run and common.show_steps(args, f"restore claim {args.name} in {environment.name}:", [step]):
        return 0
    with audit.recorded(build.compile_fleet(environment), "claim restore", args.name, audit.caller_if_any(environment)) as deed:
        claims.restore(environment, args.name, pem)
        deed.did(step)
    print(f"private key: {key} (0600)")
    return 0


def _rotate(args: argparse.Namespace) -> int:
    from fleetgate import applied, audit, build, claim_rotation, claims

    environment = common.environment(args)
    claims.require_claim(environment, args.name)
    new = args.new
    if new is None:
        claim_rotation.require_none_begun(environment, args.name)
        new = claim_rotation.next_name(environment, args.name)
    edit = claim_rotation.plan_rotation(environment, args.name, new)
    folder = edit.environment.claim_folder(new)
    steps = [
        f"{environment.file}: claim {new} below {args.name}",
        f"{folder / claims.KEY_FILE}: a new private key (0600)",
        f"{edit.environment.claim_csr_file(new)}: its signing request",
    ]
    if common.show_steps(args, f"rotate claim {args.name} in {environment.name}:", steps):
        return 0
    common.confirm(f"This adds claim {new} to {environment.file}.", yes=args.yes)
    # Under both names: who asks for the old one wants to know what came of it.
    who, fleet = audit.caller_if_any(environment), build.compile_fleet(environment)
    with audit.recorded(fleet, "claim rotate", args.name, who, about=(args.name, new)) as deed:
        pair = claim_rotation.rotate(edit, new, deed.did, steps)
    print(f"private key: {pair.key_file} (0600; it never leaves this machine through fleetgate)")
    print(f"signing request: {pair.csr_file}")
    tracked = "" if environment.settings.embedded_cloud else f"put {environment.file} and {pair.csr_file} under version control; "
    common.say(
        f"claim {new} is made; until the next apply it is good for nothing, and {args.name} goes on as before\n"
        f"    -> {tracked}run: {applied.command(environment)}\n"
        f"    -> give the factories {folder / claims.KEY_FILE} and {claims.CERTIFICATE_FILE} beside it\n"
        f"    -> when they have switched: fleetgate claim retire {args.name} --env {environment.name}"
    )
    return 0


def _retire(args: argparse.Namespace) -> int:
    from fleetgate import applied, audit, build, claim_rotation, claims
    from fleetgate.errors import fail

    why = audit.reason(args.reason)
    environment = common.environment(args)
    name = args.name
    claims.require_claim(environment, name)
    is_last = claim_rotation.is_last_active(environment, name)
    if is_last and not (args.force and args.now):
        remedy = (
            f"first put another beside it: fleetgate claim rotate {name} --env {environment.name}; only if its key has leaked and"
            " nobody may come in from now on: --now --force"
        )
        raise fail(f"claim {name}", "is the last active one: no device could come in any more", remedy)
    if not environment.settings.claims[name].active and not args.now:
        print(f"claim {name} is retired already in {environment.file}; if it is not applied yet: {applied.command(environment)}")
        return 0
    # An environment without an active claim cannot be planned, so the last one stays in the file: only its certificate goes.
    edit = None
    if environment.settings.claims[name].active and not is_last:
        edit = claim_rotation.plan_retirement(environment, name)
    fleet = build.compile_fleet(environment)
    certificate_id = None
    if args.now:
        find = claim_rotation.certificate_id_of if args.force else claim_rotation.require_another
        certificate_id = find(environment, name)
    steps = [f"{environment.file}: claim {name} gets active: false"] if edit is not None else []
    if certificate_id is not None:
        steps.append(f"certificate {certificate_id}: INACTIVE at once")
    if common.show_steps(args, f"retire claim {name} in {environment.name}:", steps):
        return 0
    common.confirm(f"This retires claim {name} in {environment.name}: devices that still have it cannot come in.", yes=args.yes)
    who = audit.caller() if certificate_id is not None else audit.caller_if_any(environment)
    with audit.recorded(fleet, "claim retire", name, who, why, tell=print) as deed:
        if edit is not None:  # first, so that no apply in between makes it active again
            with claims.alone(environment):
                edit.write(deed.did, [f"{environment.file}: claim {name} is inactive"])
        if certificate_id is not None:
            deed.did(claim_rotation.deactivate(fleet.names, name, certificate_id))
    _say_what_is_left(applied.command(environment), environment.name, name, is_last=is_last, now=bool(args.now))
    return 0


def _say_what_is_left(apply: str, env: str, name: str, *, is_last: bool, now: bool) -> None:
    if is_last:
        common.say(
            f"nobody can come in now; the file still has {name} as active, since an environment needs one: an apply would switch"
            f" its certificate on again\n    -> fleetgate claim rotate {name} --env {env}, then"
            f" fleetgate claim retire {name} --env {env}, then {apply}"
        )
    else:
        until = (
            "its certificate is off, and the hook hears of it by the next apply"
            if now
            else "until the next apply it is still good"
        )
        common.say(f"claim {name} is retired; {until}\n    -> {apply}\n    -> devices that have come in are not affected")
