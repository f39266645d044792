"""Who may join the fleet: pure functions from AWS's event, the rules and the registry's row to a decision.

Nothing here reads a clock, the environment or the network, so every path is a row of a table in the tests.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

REQUIRED_PARAMETERS = frozenset({"SerialNumber", "DeviceType", "Manufacturer", "FirmwareVersion"})
# The service adds its own certificate id to what the device sent, at least sometimes; nothing says always.
CERTIFICATE_PARAMETER = "AWS::IoT::Certificate::Id"
KNOWN_PARAMETERS = REQUIRED_PARAMETERS | {"Location", CERTIFICATE_PARAMETER}

# Two claims on one serial that are closer than AWS's own budget for a hook may have been under way at the same time.
RACE_MS = 5_000
UNKNOWN = "unknown"

# Character classes are spelled out and matched in full: `\d` takes other scripts' digits, `$` lets a newline pass.
# Each has an upper bound, so that no input of a device costs more than a few hundred steps, and each runs before a pattern
# of the catalogue sees the same text. A pattern that is slow all the same ends at Lambda's time-out, before any lease: AWS
# takes that as a denial.
_CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")
# The tools take no other serial, and the names they derive leave room for just this much in a thing's name.
_SERIAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{1,800}")
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}")
_MAXIMUM_PEM = 65_536


class Reason(StrEnum):
    """Why a device was refused; the values are metric dimensions and so must not change lightly."""

    MALFORMED_EVENT = "malformed_event"
    WRONG_TEMPLATE = "wrong_template"
    UNKNOWN_CLAIM = "unknown_claim"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    UNKNOWN_DEVICE_TYPE = "unknown_device_type"
    MALFORMED_SERIAL = "malformed_serial"
    MANUFACTURER_NOT_ALLOWED = "manufacturer_not_allowed"
    MALFORMED_FIRMWARE = "malformed_firmware"
    FIRMWARE_TOO_OLD = "firmware_too_old"
    MALFORMED_LOCATION = "malformed_location"
    UNKNOWN_SERIAL = "unknown_serial"
    WRONG_DEVICE_TYPE = "wrong_device_type"
    WRONG_MANUFACTURER = "wrong_manufacturer"
    REVOKED = "revoked"
    ALREADY_PROVISIONED = "already_provisioned"
    RACED = "raced"
    LEASE_RUNNING = "lease_running"
    REGISTRY_UNAVAILABLE = "registry_unavailable"


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What the catalogue says of a type. `minimum_firmware` is a parsed version.

    `extra_parameters` are template parameters with their values: all those of the catalogue, whatever the type. No device has
    `canary_serial` but that of the smoke checks; a decision about it is like any other.
    """

    thing_name_prefix: str
    thing_type_name: str
    group_name: str
    policy_name: str
    open_enrolment: bool
    canary_serial: str
    serial: re.Pattern[str]
    manufacturers: frozenset[str]
    firmware: re.Pattern[str]
    minimum_firmware: tuple[int, ...]
    extra_parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything a decision depends on besides the event and the registry.

    `claim_certificate_ids` are this stack's active claims: who has none of them stays out, whatever else AWS let through.
    """

    template_arn: str
    claim_certificate_ids: frozenset[str]
    device_types: Mapping[str, DeviceType]


@dataclass(frozen=True, slots=True)
class Request:
    """The event of a pre-provisioning hook, payload version 2020-04-01.

    Certificate and parameters stay out of `repr`, or a traceback could carry them into a log.
    """

    certificate_id: str
    claim_certificate_id: str
    template_arn: str
    client_id: str
    certificate_pem: str = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that passed every check the registry is not needed for."""

    serial: str
    device_type: str
    open_enrolment: bool
    thing_name: str
    manufacturer: str
    firmware: str
    location: str | None
    certificate_id: str
    claim_certificate_id: str


@dataclass(frozen=True, slots=True)
class Row:
    """What the registry holds of a serial. `leased_at` is in epoch milliseconds."""

    device_type: str | None
    status: str | None
    manufacturer: str | None
    location: str | None
    certificate_id: str | None
    leased_at: int | None


@dataclass(frozen=True, slots=True)
class Leased:
    """The serial is this certificate's now; `row` is what was written."""

    row: Row


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was written; `row` is what stood in the way, None if the registry has no such serial."""

    row: Row | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The registry did not answer in time, or answered that it cannot just now."""


Outcome = Leased | Held | Unavailable


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` is None if the device may join; `overrides` then holds every parameter of the template."""

    refusal: Reason | None
    thing_name: str | None
    overrides: Mapping[str, str]

    def answer(self) -> dict[str, object]:
        """The contract with AWS: exactly these keys, all override values strings, a new dict for each device."""
        return {"allowProvisioning": self.refusal is None, "parameterOverrides": dict(self.overrides)}


def decide(event: object, rules: Rules, lease: Callable[[Claim], Outcome], now_ms: int) -> Decision:
    """The whole decision; `lease` is called once at most, and only for a request that is valid by itself."""
    claim = check(event, rules)
    if isinstance(claim, Reason):
        return Decision(claim, None, {})
    outcome = lease(claim)
    if isinstance(outcome, Unavailable):
        return Decision(Reason.REGISTRY_UNAVAILABLE, claim.thing_name, {})
    row = outcome.row if isinstance(outcome, Leased) else judge(claim, outcome.row, now_ms)
    if isinstance(row, Reason):
        return Decision(row, claim.thing_name, {})
    return Decision(None, claim.thing_name, overrides(claim, row, rules))


def check(event: object, rules: Rules) -> Claim | Reason:
    """What can be said of an event without the registry. Takes any JSON value and never raises.

    AWS IoT names the claim of the session, which any policy of the account may have let publish to this template. A
    certificate whose policy is too wide, a retired claim that somebody activated by hand, and a temporary one of
    CreateProvisioningClaim all come this far; only the claims that Terraform says are active come further.
    """
    request = parse(event)
    if request is None:
        return Reason.MALFORMED_EVENT
    if request.template_arn != rules.template_arn:
        return Reason.WRONG_TEMPLATE
    if request.claim_certificate_id not in rules.claim_certificate_ids:
        return Reason.UNKNOWN_CLAIM
    if request.certificate_id in rules.claim_certificate_ids:
        return Reason.UNKNOWN_CLAIM  # a factory's shared key must not become one device's own
    parameters = request.parameters
    ids = {fingerprint(request.certificate_pem), parameters.get(CERTIFICATE_PARAMETER, request.certificate_id)}
    if ids != {request.certificate_id}:
        return Reason.CERTIFICATE_MISMATCH
    kind = rules.device_types.get(parameters["DeviceType"])
    if kind is None:
        return Reason.UNKNOWN_DEVICE_TYPE
    serial = parameters["SerialNumber"]
    if not (_SERIAL.fullmatch(serial) and kind.serial.fullmatch(serial)):
        return Reason.MALFORMED_SERIAL
    if parameters["Manufacturer"] not in kind.manufacturers:
        return Reason.MANUFACTURER_NOT_ALLOWED
    firmware = version(parameters["FirmwareVersion"])
    if firmware is None or not kind.firmware.fullmatch(parameters["FirmwareVersion"]):
        return Reason.MALFORMED_FIRMWARE
    if firmware < kind.minimum_firmware:
        return Reason.FIRMWARE_TOO_OLD
    location = parameters.get("Location")
    if location is not None and not is_attribute_value(location):
        return Reason.MALFORMED_LOCATION
    return Claim(
        serial=serial,
        device_type=parameters["DeviceType"],
        open_enrolment=kind.open_enrolment,
        thing_name=kind.thing_name_prefix + serial,
        manufacturer=parameters["Manufacturer"],
        firmware=parameters["FirmwareVersion"],
        location=location,
        certificate_id=request.certificate_id,
        claim_certificate_id=request.claim_certificate_id,
    )


def parse(event: object) -> Request | None:
    """The event as a request, or None if a key is missing, has the wrong type, or a parameter is not on the list.

    Keys beside the documented ones are let through at the top, where AWS writes, and refused among the parameters,
    where the device does.

    Of the claim's certificate this looks at the form only; whether it is one of ours is `check`'s to say.
    """
    match event:
        case {
            "certificateId": str(certificate_id),
            "claimCertificateId": str(claim_certificate_id),
            "templateArn": str(template_arn),
            "clientId": str(client_id),
            "certificatePem": str(certificate_pem),
            "parameters": dict(parameters),
        }:
            pass
        case _:
            return None
    if not (is_certificate_id(certificate_id) and is_certificate_id(claim_certificate_id)):
        return None
    if not REQUIRED_PARAMETERS <= parameters.keys() <= KNOWN_PARAMETERS:
        return None
    if not all(isinstance(value, str) for value in parameters.values()):
        return None
    return Request(certificate_id, claim_certificate_id, template_arn, client_id, certificate_pem, parameters)


def is_certificate_id(value: object) -> bool:
    """Whether `value` is spelled as AWS spells certificate ids: 64 lowercase hexadecimal digits."""
    return isinstance(value, str) and _CERTIFICATE_ID.fullmatch(value) is not None


def fingerprint(pem: str) -> str | None:
    """The SHA-256 of the certificate's DER, which is what AWS takes as its id; None if `pem` is not one PEM block.

    Strict on purpose: whatever stands before, after or between the armour's lines could be read differently elsewhere.
    """
    if len(pem) > _MAXIMUM_PEM or not pem.isascii():
        return None
    lines = pem.encode("ascii").splitlines()
    if len(lines) < 3 or lines[0] != b"-----BEGIN CERTIFICATE-----" or lines[-1] != b"-----END CERTIFICATE-----":
        return None
    try:
        der = binascii.a2b_base64(b"".join(lines[1:-1]), strict_mode=True)
    except binascii.Error:
        return None
    return hashlib.sha256(der).hexdigest() if der else None


def version(text: str) -> tuple[int, ...] | None:
    """A firmware version as a tuple that compares as people compare versions, None if it is not a version.

    A version is one to eight numbers of at most nine digits between dots. Numbers compare as numbers (1.10 > 1.9,
    01 = 1) and missing ones count as zero (1.2 = 1.2.0). Suffixes (1.2.0-rc1) have no order that all makers agree on
    and are no version, whatever the catalogue's pattern says.
    """
    if not _VERSION.fullmatch(text):
        return None
    numbers = [int(number) for number in text.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_attribute_value(text: str) -> bool:
    """Whether AWS IoT takes `text` as the value of a thing attribute (and it is not empty)."""
    return _ATTRIBUTE_VALUE.fullmatch(text) is not None


def judge(claim: Claim, row: Row | None, now_ms: int) -> Reason | Row:
    """Why the registry did not lease the serial, or the row itself if this certificate holds the serial already.

    The service asks again when it retries, so the same certificate always gets the same yes. Another one is either
    early (a lease is running) or the hijack of a device that exists.
    """
    if row is None:
        return Reason.UNKNOWN_SERIAL
    if row.status == "revoked":
        return Reason.REVOKED
    if row.device_type != claim.device_type:
        return Reason.WRONG_DEVICE_TYPE
    if row.manufacturer not in (None, claim.manufacturer):
        return Reason.WRONG_MANUFACTURER
    if row.status not in ("provisioning", "provisioned", "active"):
        raise ValueError(f"registry row of {claim.serial} has the status {row.status!r}, which no lease can follow")
    if row.certificate_id == claim.certificate_id:
        return row
    if row.status != "provisioning":
        return Reason.ALREADY_PROVISIONED
    raced = row.leased_at is not None and now_ms - row.leased_at < RACE_MS
    return Reason.RACED if raced else Reason.LEASE_RUNNING


def overrides(claim: Claim, row: Row, rules: Rules) -> dict[str, str]:
    """A value for every parameter of the template, so that nothing a device sent reaches a thing unchecked.

    The registry's location wins over the device's: the operator knows where a serial was shipped. The provisioning
    time is the lease's, so that a repeated question gets the identical answer.
    """
    kind = rules.device_types[claim.device_type]
    location = row.location or claim.location or UNKNOWN
    if not is_attribute_value(location):
        raise ValueError(f"registry row of {claim.serial} has a location that AWS IoT does not take as an attribute")
    if row.leased_at is None:
        raise ValueError(f"registry row of {claim.serial} has no leasedAt")
    return {
        **kind.extra_parameters,
        "ThingName": claim.thing_name,
        "ThingTypeName": kind.thing_type_name,
        "GroupName": kind.group_name,
        "PolicyName": kind.policy_name,
        "SerialNumber": claim.serial,
        "DeviceType": claim.device_type,
        "FirmwareVersion": claim.firmware,
        "Manufacturer": claim.manufacturer,
        "Location": location,
        "ProvisioningTime": timestamp(row.leased_at),
    }


def timestamp(epoch_ms: int) -> str:
    """UTC with `Z`: `isoformat()` would say `+00:00`, and a thing attribute may not hold a plus sign."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_ms // 1000))
