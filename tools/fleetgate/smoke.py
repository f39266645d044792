"""Proves a running fleet from the outside: what AWS has against what the catalogue says, then a canary device of each type.

The same code on AWS and on the embedded cloud.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from fleetgate import applied, provisioning
from fleetgate.build import Fleet
from fleetgate.errors import FleetgateError
from fleetgate.registry import unknown_type
from fleetgate.smoke_canary import Canary
from fleetgate.smoke_checker import Checker, Tell
from fleetgate.smoke_report import Check
from fleetgate.smoke_resources import check_claims, check_hook_denies, check_resources
from fleetgate.smoke_setup import Setup


@dataclass(frozen=True)
class Watcher:
    """Hears how a run goes: one call at a time, on whichever thread it happens.

    checked: a check is done. completed: a group of checks is, and how many seconds it took; each device type's canary is a group,
    and all that needs no canary is one. stopping: somebody has interrupted the run, and it cleans up.
    """

    checked: Tell = lambda _: None
    completed: Callable[[str, Sequence[Check], float], None] = lambda *_: None
    stopping: Callable[[], None] = lambda: None


def run(
    fleet: Fleet,
    types: Sequence[str] | None = None,
    claim: str | None = None,
    watcher: Watcher = Watcher(),
) -> list[Check]:
    """All checks of the fleet, in a fixed order. types: only these. claim: default the first active one.

    Raises FleetgateError for a type or claim that there is not, and if nothing is deployed; everything else is a failed check.
    """
    known = fleet.catalogue.device_types
    unknown = [unknown_type("--type", name, fleet.catalogue) for name in types or () if name not in known]
    if unknown:
        raise FleetgateError(unknown)
    chosen = [name for name in known if types is None or name in types]
    claim_name = claim if claim is not None else provisioning.default_claim(fleet.environment)
    if claim_name not in fleet.environment.settings.claims:
        provisioning.gate(fleet, claim_name)  # raises
    applied.require(fleet)
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def tell(check: Check) -> None:
        with one_at_a_time:
            watcher.checked(check)

    def complete(group: str, checks: Sequence[Check], start: float) -> None:
        with one_at_a_time:
            if not stop.is_set():
                watcher.completed(group, checks, time.perf_counter() - start)

    checker = Checker(tell, stop)
    setup = Setup(fleet, claim_name)
    start = time.perf_counter()
    check_resources(checker, setup, chosen)
    check_claims(checker, setup, chosen)
    check_hook_denies(checker, setup, chosen[0])
    parts = dict.fromkeys(check.name.partition(".")[0] for check in checker.checks)
    complete(", ".join(parts), checker.checks, start)
    canaries = {name: Canary(setup, Checker(tell, stop), checker.checks, name) for name in chosen}

    def see(name: str) -> None:
        start = time.perf_counter()
        canaries[name].check()
        complete(name, canaries[name].checker.checks, start)

    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = [pool.submit(see, name) for name in chosen]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()  # each canary ends its step, and cleans up
            with one_at_a_time:
                watcher.stopping()
            raise
    for future, canary in zip(futures, canaries.values(), strict=True):
        future.result()
        checker.checks += canary.checker.checks
    return checker.checks
