"""What the smoke checks of one run share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleetgate import aws, identity, smoke_hook
from fleetgate.build import Fleet
from fleetgate.device import Device, Gate
from fleetgate.registry import Registry
from fleetgate.smoke_checker import CheckFailed


class Setup:
    """What the checks share. template and gate are there once their checks have passed."""

    def __init__(self, fleet: Fleet, claim: str) -> None:
        self.fleet = fleet
        self.names = fleet.names
        self.claim = claim
        self.env = f"--env {fleet.environment.name}"
        self.iot = aws.client("iot")
        self.registry = Registry(fleet.names.table)
        self.hook = smoke_hook.Hook(fleet.names.hook)
        self.template: dict[str, Any] = {}
        self.gate: Gate | None = None
        self.claim_certificate_id = ""

    @property
    def apply_again(self) -> str:
        return f"run: fleetgate plan {self.env}, look at it, then fleetgate apply {self.env}"


def canary_device(setup: Setup, device_type: str) -> Device:
    kind = setup.fleet.catalogue.device_types[device_type]
    return Device(kind.canary_serial, device_type, kind.manufacturers[0], kind.firmware.minimum)


def stranger_of(setup: Setup, device_type: str) -> str:
    """A thing that there is not, whose name begins with the canary's: a policy with a loose wildcard would let it through."""
    canary = setup.names.types[device_type].thing(setup.fleet.catalogue.device_types[device_type].canary_serial)
    return f"{canary}-other"


def id_in_file(certificate: Path) -> str:
    try:
        return identity.certificate_id(certificate.read_text(encoding="ascii"))
    except OSError as error:
        what = f"{certificate} cannot be read: {error.strerror}"
        raise CheckFailed(what, "it was not fetched") from None
    except ValueError:
        raise CheckFailed(f"{certificate} holds no certificate") from None
