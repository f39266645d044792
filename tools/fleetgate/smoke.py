"""Proves a running fleet from the outside: what AWS has against what the catalogue says, then a canary device of each type.

The same code on AWS and on the embedded cloud.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from fleetgate import provisioning
from fleetgate.build import Fleet
from fleetgate.errors import FleetgateError
from fleetgate.registry import unknown_type
from fleetgate.smoke_canary import Canary
from fleetgate.smoke_checker import Checker, Say
from fleetgate.smoke_report import Check
from fleetgate.smoke_resources import check_claims, check_hook_denies, check_resources
from fleetgate.smoke_setup import Setup


def run(fleet: Fleet, types: Sequence[str] | None = None, claim: str | None = None, say: Say = lambda _: None) -> list[Check]:
    """All checks of the fleet, in a fixed order. types: only these. claim: default the first active one.

    Raises FleetgateError for a type or claim that there is not; everything else is a failed check.
    """
    known = fleet.catalogue.device_types
    unknown = [unknown_type("--type", name, fleet.catalogue) for name in types or () if name not in known]
    if unknown:
        raise FleetgateError(unknown)
    chosen = [name for name in known if types is None or name in types]
    claim_name = claim if claim is not None else provisioning.default_claim(fleet.environment)
    if claim_name not in fleet.environment.settings.claims:
        provisioning.gate(fleet, claim_name)  # raises
    stop, one_at_a_time = threading.Event(), threading.Lock()

    def say_whole(line: str) -> None:
        with one_at_a_time:
            say(line)

    checker = Checker(say_whole, stop)
    setup = Setup(fleet, claim_name)
    check_resources(checker, setup, chosen)
    check_claims(checker, setup, chosen)
    check_hook_denies(checker, setup, chosen[0])
    canaries = [Canary(setup, Checker(say_whole, stop), checker.checks, name) for name in chosen]
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = [pool.submit(canary.check) for canary in canaries]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()  # each canary ends its step, and cleans up
            say("  stopping; removing the canaries")
            raise
    for future, canary in zip(futures, canaries, strict=True):
        future.result()
        checker.checks += canary.checker.checks
    return checker.checks
