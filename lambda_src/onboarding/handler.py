"""Finishes what the gate began: a created thing gets its initial shadow, a connected device becomes active."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onboarding
import registry
import settings
import shadow

SETTINGS = settings.load(os.environ, Path(__file__).parent)
REGISTRY = registry.connect(SETTINGS.table_name, SETTINGS.audit_table_name)
SHADOWS = shadow.connect()


def handler(event: object, context: object) -> None:
    """Take one thing-created or presence event; both come twice and in any order, and the result is the same.

    Raises on everything else and on every error of AWS: Lambda tries again, and then keeps the event as a dead letter.
    """
    seen = onboarding.parse(event)
    outcome = onboarding.apply(seen, SETTINGS.device_types, REGISTRY, SHADOWS)
    record = {"event": "onboarding", **outcome.fields(seen), "requestId": getattr(context, "aws_request_id", None)}
    print(json.dumps(record), flush=True)
