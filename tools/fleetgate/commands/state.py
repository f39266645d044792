"""`fleetgate state`: where Terraform's state is, who holds it, and how it moves."""

from __future__ import annotations

import argparse
import dataclasses

from fleetgate.commands import common


def add(subparsers: common.Subparsers) -> None:
    group = common.add_group(subparsers, "state", "show, move, mend and unlock Terraform's state")
    show = common.add_parser(group, "show", "show where the state is, what is in it, and who holds it", _show)
    show.add_argument("--json", action="store_true", help="for programs")
    migrate = common.add_parser(
        group, "migrate", "move the state to where the environment's file says, and leave no second one behind", _migrate
    )
    common.add_consent(migrate)
    imported = common.add_parser(
        group, "import", "note in the state what an interrupted apply has made, and Terraform does not know of", _import
    )
    imported.description = (
        "An apply that was ended at once may leave something that AWS has made and Terraform's state does not have. Plan and"
        " apply then name it, with this command, which changes nothing of what is there. What belongs to another stack must not"
        " be taken over: the next destroy would take it away."
    )
    imported.add_argument("address", metavar="ADDRESS", help="Terraform's address, as plan or apply names it; quote it")
    imported.add_argument("id", metavar="ID", help="what the provider imports it by: mostly the name")
    common.add_consent(imported)
    unlock = common.add_parser(group, "unlock", "take away the lock of a process that is surely gone", _unlock)
    unlock.add_argument("lock", metavar="LOCK", help="the lock's id, as the refused command and `state show` name it")
    common.add_consent(unlock)


def _show(args: argparse.Namespace) -> int:
    from fleetgate import cloud, remote_state, state_bucket

    environment = common.environment(args)
    place = remote_state.place(environment)
    if place.kind == "s3":
        cloud.require(environment)
        state_bucket.require(environment)
        summary, lock = remote_state.summarize(state_bucket.read(environment)), state_bucket.lock(environment)
    else:
        summary, lock = remote_state.local_summary(environment), None
    if args.json:
        parts = {"state": summary, "lock": lock}
        shown = {name: dataclasses.asdict(part) if part else None for name, part in parts.items()}
        common.print_json({"place": place.name, **shown})
        return 0
    print(f"state of environment {environment.name}: {place.name}")
    print(f"  {summary or 'nothing yet'}")
    if place.kind == "s3":
        print(f"  locked by {lock} (lock {lock.id})" if lock else "  not locked")
    return 0


def _migrate(args: argparse.Namespace) -> int:
    from fleetgate import audit, build, cloud, state_migration

    environment = common.environment(args)
    cloud.require(environment)
    migration = state_migration.plan(environment)
    if migration is None:
        print("nothing to move: the state is where the environment's file says")
        return 0
    what = str(migration.what) if migration.what else "nothing: there is no state yet"
    steps = [f"from  {migration.start.name}", f"to    {migration.end.name}", f"what  {what}"]
    if common.show_steps(args, f"move the state of environment {environment.name}:", steps):
        return 0
    common.confirm(f"This moves the state of environment {environment.name}.", yes=args.yes)
    fleet = build.compile_fleet(environment)
    with audit.recorded(fleet, "state migrate", environment.name, audit.caller()) as deed:
        deed.begin(step := f"state: from {migration.start.name} to {migration.end.name} ({what})")
        state_migration.run(environment, migration, common.say)
        deed.did(step)
    print(f"the state of environment {environment.name} is {migration.end.name}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from fleetgate import audit, cloud, deploy, left_behind

    fleet = common.fleet(args)
    env = fleet.environment.name
    cloud.require(fleet.environment)
    left_behind.require_ours(fleet, args.address, args.id)
    if common.show_steps(args, f"note in the state of environment {env}:", [f"{args.address} is {args.id}"]):
        return 0
    common.confirm(f"From then on {args.id} is environment {env}'s, and goes with it when that is destroyed.", yes=args.yes)
    with audit.recorded(fleet, "state import", env, audit.caller()) as deed:
        deed.begin(step := f"{args.address} is {args.id}")
        deploy.take_over(fleet, args.address, args.id, common.say)
        deed.did(step)
    print(f"{args.address} is in the state; next: fleetgate plan --env {env}")
    return 0


def _unlock(args: argparse.Namespace) -> int:
    from fleetgate import audit, build, cloud, remote_state, state_bucket
    from fleetgate.errors import fail
    from fleetgate.terraform import Runner

    environment = common.environment(args)
    where = f"state of environment {environment.name}"
    if remote_state.place(environment).kind != "s3":
        raise fail(where, "is a local file, whose lock ends with the process that holds it", "end that process")
    cloud.require(environment)
    state_bucket.require(environment)
    lock = state_bucket.lock(environment)
    if lock is None:
        print("nothing to unlock: nobody holds the state")
        return 0
    if lock.id != args.lock:
        raise fail(
            where, f"is locked by {lock}, as {lock.id}, not as {args.lock!r:.80}", "look again who holds it before you take it"
        )
    if common.show_steps(args, f"unlock the {where}:", [f"lock {lock.id} of {lock}: taken away"]):
        return 0
    common.confirm(f"This takes the state from {lock}. If that process still runs, both will write.", yes=args.yes)
    runner = Runner(environment, common.say)
    runner.init()
    with audit.recorded(build.compile_fleet(environment), "state unlock", environment.name, audit.caller()) as deed:
        deed.begin(step := f"lock {lock.id} of {lock}: taken away")
        runner.unlock(lock.id)
        deed.did(step)
    print(f"unlocked; next: fleetgate plan --env {environment.name}, which shows what the lost process has left undone")
    return 0
