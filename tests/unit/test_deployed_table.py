"""Which of the stack's tables is the registry: what is drained goes by its rows."""

from __future__ import annotations

import pytest

from fleetgate import deploy
from fleetgate.terraform import Resource, State

AUDIT = Resource("aws_dynamodb_table", None, {"name": "fleetgate-audit", "hash_key": "subject"})
REGISTRY = Resource("aws_dynamodb_table", None, {"name": "fleetgate-device-registry", "hash_key": "serialNumber"})


@pytest.mark.parametrize("tables", [(AUDIT, REGISTRY), (REGISTRY, AUDIT)])
def test_the_audit_trail_is_never_taken_for_the_registry(tables):
    assert deploy._table(State({}, tables)) == "fleetgate-device-registry"


def test_without_a_registry_there_is_none():
    assert deploy._table(State({}, (AUDIT,))) is None
