"""Whether anything of an environment is deployed, so that a tool can name the way there before it looks at anything else."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from fleetgate import aws
from fleetgate.build import Fleet
from fleetgate.environment import Environment
from fleetgate.errors import fail


def require(fleet: Fleet) -> None:
    """Raises FleetgateError if neither registry nor provisioning template is there: never applied, or destroyed.

    AWS is asked, since files under `build/` outlive what they tell of. A fleet of which a part is there counts as applied: what
    is missing of it is for the smoke checks to tell.
    """
    if _is_absent(aws.client("dynamodb").describe_table, TableName=fleet.names.table) and _is_absent(
        aws.client("iot").describe_provisioning_template, templateName=fleet.names.template
    ):
        raise fail(f"environment {fleet.environment.name}", "is not applied", f"run: {command(fleet.environment)}")


def command(environment: Environment) -> str:
    """What applies the environment, without the Makefile's own default."""
    return "make apply" if environment.name == "local" else f"make apply ENV={environment.name}"


def _is_absent(describe: Any, **name: str) -> bool:
    try:
        describe(**name)
    except ClientError as error:
        # Whoever may not describe it may still use it.
        return str(error.response["Error"]["Code"]) == "ResourceNotFoundException"
    return False
