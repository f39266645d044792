"""Which of the stack's tables is the registry, by whose rows devices are drained, and what is protected from a destroy."""

from __future__ import annotations

import pytest

from fleetgate import deploy, environment
from fleetgate.terraform import Resource, State

AUDIT = Resource("aws_dynamodb_table", None, {"name": "fleetgate-audit", "hash_key": "subject"})
REGISTRY = Resource("aws_dynamodb_table", None, {"name": "fleetgate-device-registry", "hash_key": "serialNumber"})


@pytest.mark.parametrize("tables", [(AUDIT, REGISTRY), (REGISTRY, AUDIT)])
def test_the_audit_trail_is_never_taken_for_the_registry(tables):
    assert deploy._table(State({}, tables)) == "fleetgate-device-registry"


def test_without_a_registry_there_is_none():
    assert deploy._table(State({}, (AUDIT,))) is None


def held(kind, **values):
    return Resource(kind, None, values)


@pytest.mark.parametrize(
    ("resources", "kept"),
    [
        pytest.param([held("aws_dynamodb_table", name="a", deletion_protection_enabled=True)], ["table a"], id="a table"),
        pytest.param([held("aws_s3_bucket", bucket="logs", force_destroy=False)], ["bucket logs"], id="a bucket"),
        pytest.param(
            [
                held("aws_s3_bucket", bucket="logs", force_destroy=True),
                held("aws_dynamodb_table", name="a", deletion_protection_enabled=False),
            ],
            [],
            id="off, and AWS has heard of it",
        ),
        pytest.param([AUDIT], [], id="not said"),
        pytest.param([], [], id="nothing is there"),
    ],
)
def test_what_a_destroy_would_stop_at_is_named_beforehand(resources, kept):
    assert deploy.protected(State({}, tuple(resources))) == kept


@pytest.mark.parametrize(("said", "protected"), [("", True), ("deletion_protection: false\n", False)], ids=["by default", "off"])
def test_an_environment_is_protected_unless_its_file_says_otherwise(said, protected):
    text = f'account_id: "123456789012"\nregion: eu-central-1\n{said}claims: {{factory-1: {{}}}}\n'
    assert environment.parse(text, "prod.yaml").deletion_protection is protected
