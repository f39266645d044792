"""Whether anything of an environment is deployed, so that a tool can name the way there before it looks at anything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from fleetgate import aws
from fleetgate.environment import ENVIRONMENT_VARIABLE, Environment
from fleetgate.errors import FleetgateError, fail

if TYPE_CHECKING:
    from fleetgate.build import Fleet


def require(fleet: Fleet) -> None:
    """Raises FleetgateError if neither registry nor provisioning template is there: never applied, or destroyed.

    AWS is asked, since files under `build/` outlive what they tell of. A fleet of which a part is there counts as applied: what
    is missing of it is for the smoke checks to tell.
    """
    if _is_absent(aws.client("dynamodb").describe_table, TableName=fleet.names.table) and _is_absent(
        aws.client("iot").describe_provisioning_template, templateName=fleet.names.template
    ):
        raise fail(f"environment {fleet.environment.name}", "is not applied", f"run: {command(fleet.environment)}")


def absent(what: str) -> FleetgateError:
    """The error of a part that is not there: everybody who meets one says the same, for the environment that was entered."""
    name = os.environ.get(ENVIRONMENT_VARIABLE, "")
    whose = f"environment {name}" if name else "the environment"
    return fail(what, f"does not exist: {whose} is not applied, or by an older version", f"run: {_command(name or 'NAME')}")


def command(environment: Environment) -> str:
    """What applies the environment, without the Makefile's own default."""
    return _command(environment.name)


def _command(name: str) -> str:
    return "make apply" if name == "local" else f"make apply ENV={name}"


def _is_absent(describe: Any, **name: str) -> bool:
    try:
        describe(**name)
    except ClientError as error:
        # Whoever may not describe it may still use it.
        return str(error.response["Error"]["Code"]) == "ResourceNotFoundException"
    return False
