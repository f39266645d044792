"""The gate of the fleet: AWS IoT asks it before it registers a device, and gives it five seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cold_start
import decision
import registry
import report
import settings

# At import, where a cold start has the whole CPU, and where a missing setting fails every call and not just some.
SETTINGS = settings.load(os.environ, Path(__file__).parent)
REGISTRY = registry.connect()
cold_start.over()


def handler(event: object, context: object) -> dict[str, object]:
    """AWS's answer for one RegisterThing: always `allowProvisioning` and `parameterOverrides`, made anew each time.

    Raises what only an operator can mend (a permission, the table, a row that is no registry row); AWS then denies.
    """
    now_ms = time.time_ns() // 1_000_000

    def lease(claim: decision.Claim) -> decision.Outcome:
        return registry.lease(REGISTRY, SETTINGS.table_name, claim, now_ms, SETTINGS.lease_ms)

    verdict = decision.decide(event, SETTINGS.rules, lease, now_ms)
    request_id = getattr(context, "aws_request_id", None)
    record = report.line(event, verdict, SETTINGS.rules, now_ms, request_id)
    print(f"{record}\n", end="", flush=True)  # in one piece: no other writer's line can come between record and newline
    return verdict.answer()
