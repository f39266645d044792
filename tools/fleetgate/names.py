"""Every name of a fleet, derived once. Terraform, the Lambdas and the tools get names as data and never build one."""

from __future__ import annotations

from dataclasses import dataclass

from fleetgate.catalogue import SERIAL, Catalogue
from fleetgate.environment import Environment
from fleetgate.errors import fail

#: [botocore iot ThingName]
MAXIMUM_THING_NAME = 128


@dataclass(frozen=True)
class TypeNames:
    """The names of one device type."""

    thing_type: str
    group: str
    policy: str
    #: A thing is named `<thing_prefix><serial>`.
    thing_prefix: str

    def thing(self, serial: str) -> str:
        return f"{self.thing_prefix}{serial}"


@dataclass(frozen=True)
class Names:
    """The names of one environment's fleet."""

    prefix: str
    table: str
    audit_table: str
    template: str
    hook: str
    onboarding: str
    onboarding_dead_letter: str
    audit: str
    audit_dead_letter: str
    claim_policy: str
    claim_client_prefix: str
    parent_group: str
    types: dict[str, TypeNames]


def derive(catalogue: Catalogue, environment: Environment) -> Names:
    """Names from catalogue and environment. Raises FleetgateError if one would be too long."""
    prefix = environment.settings.prefix
    space = environment.namespace
    names = Names(
        prefix=prefix,
        table=f"{prefix}-device-registry",
        audit_table=f"{prefix}-audit",
        template=f"{prefix}-fleet",
        hook=f"{prefix}-provisioning-hook",
        onboarding=f"{prefix}-onboarding",
        onboarding_dead_letter=f"{prefix}-onboarding-dead-letter",
        audit=f"{prefix}-audit",
        audit_dead_letter=f"{prefix}-audit-dead-letter",
        claim_policy=f"{prefix}-claim",
        claim_client_prefix=f"{prefix}-claim-",
        parent_group=f"{space}provisioned-devices",
        types={
            name: TypeNames(f"{space}{name}", f"{space}{name}-devices", f"{prefix}-{name}", f"{space}{name}-")
            for name in catalogue.device_types
        },
    )
    longest = int(SERIAL.rpartition(",")[2].rstrip("}"))
    for name, type_names in names.types.items():
        if len(type_names.thing_prefix) + longest > MAXIMUM_THING_NAME:
            raise fail(environment.file, f"thing names of {name!r} could pass 128 characters", "shorten namespace or type")
    return names
