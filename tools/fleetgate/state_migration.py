"""Moves Terraform's state to where the environment's file says: into S3, from one bucket to another, or back into a file.

There is one state before and one after, at every moment in between at least one, and whatever is interrupted can be run again.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fleetgate import files, remote_state, state_bucket
from fleetgate.environment import Environment, RemoteState
from fleetgate.errors import fail
from fleetgate.remote_state import Place, Summary
from fleetgate.terraform import LOCK_TIMEOUT, Runner

Say = Callable[[str], None]


@dataclass(frozen=True)
class Migration:
    """From where to where. what: is moved. copied: it is at its end already, and only what is left behind has to go."""

    source: Environment
    start: Place
    end: Place
    what: Summary | None
    copied: bool


def plan(environment: Environment) -> Migration | None:
    """What there is to move, or None. Raises FleetgateError if both places hold a state, of which neither is the other's copy."""
    state_bucket.require(environment)
    end, before, local = (
        remote_state.place(environment),
        remote_state.recorded(environment),
        remote_state.local_summary(environment),
    )
    if end.kind == "s3" and local is not None and local.resources:
        what: Summary | None = local
        source = _with_state(environment, None)
        start = remote_state.place(source)
    elif before is not None and before.kind == "s3" and before != end:
        bucket, _, key = before.name.removeprefix("s3://").partition("/")
        region = remote_state.recorded_region(environment)
        source = _with_state(environment, RemoteState(bucket=bucket, key=key, region=region))
        state_bucket.require(source)
        start, what = before, remote_state.summarize(state_bucket.read(source))
    else:
        return None
    found = remote_state.summarize(state_bucket.read(environment)) if end.kind == "s3" else local
    copied = found is not None and found == what
    if found is not None and found.resources and what is not None and what.resources and not copied:
        remedy = "find out which one is true (terraform state list in each), move the other away by hand, then run this again"
        raise fail(f"environment {environment.name}", f"has two states: {start.name} ({what}) and {end.name} ({found})", remedy)
    return Migration(source, start, end, what, copied)


def run(environment: Environment, migration: Migration, say: Say, lock_timeout: str = LOCK_TIMEOUT) -> None:
    """Copies the state, sees that it has arrived, takes the old one out of the way (renamed, or a version in its bucket), and
    only then tells Terraform: whoever is interrupted before that is refused until this has run again."""
    state_bucket.wait(migration.source, say, lock_timeout)
    what = migration.what
    moves = what is not None and what.resources > 0
    if moves:
        with _held(migration.source) as text:
            if not migration.copied:
                _copy(environment, text)
            _require_arrived(migration, _read(environment))
            _retire(migration, say)
    runner = Runner(environment, say, lock_timeout=lock_timeout)
    runner.init_again()
    if moves:
        _require_arrived(migration, runner.pull())


def _require_arrived(migration: Migration, text: str) -> None:
    arrived = remote_state.summarize(text)
    if arrived != migration.what:
        remedy = f"compare it with {migration.start.name}, or what was kept of that, before anything else"
        raise fail(migration.end.name, f"holds {arrived or 'nothing'} after the copy, not {migration.what}", remedy)


def _copy(environment: Environment, text: str) -> None:
    """Byte for byte, and only where nothing is. `init -migrate-state` and `state push` give a copy in S3 a new lineage, by which
    nothing could tell it from another state."""
    if environment.settings.state is not None:
        with state_bucket.held(environment):
            state_bucket.write(environment, text)
        return
    files.replace(environment.local_state_file, text.encode(), 0o600)


def _read(environment: Environment) -> str:
    if environment.settings.state is None:
        return environment.local_state_file.read_text(encoding="utf-8")
    return state_bucket.read(environment)


@contextmanager
def _held(environment: Environment) -> Iterator[str]:
    """Locks a state as Terraform does, so that nobody changes it while it is copied; gives its text."""
    if environment.settings.state is not None:
        with state_bucket.held(environment):
            yield state_bucket.read(environment)
        return
    file = environment.local_state_file
    with file.open("r+", encoding="utf-8") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise fail(str(file), "is locked: Terraform works on it", "wait until that has ended") from None
        yield opened.read()  # not by another open file: to close that one would end the lock


def _retire(migration: Migration, say: Say) -> None:
    if migration.start.kind == "s3":
        state_bucket.remove(migration.source)
        say(f"  removed {migration.start.name}; its bucket keeps the last version")
        return
    file, serial = migration.source.local_state_file, migration.what.serial if migration.what else 0
    kept = file.with_name(f"{file.name}.{serial}.migrated")
    file.replace(kept)
    kept.chmod(0o600)
    say(f"  renamed the old file to {kept.relative_to(migration.source.root)}; remove it when you are sure")


def _with_state(environment: Environment, state: RemoteState | None) -> Environment:
    changed: dict[str, Any] = {"state": state}
    return Environment(environment.root, environment.name, environment.settings.model_copy(update=changed))
