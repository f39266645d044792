"""What is left over of devices, judged from facts alone: pure, so that every case is a row of a table in the tests.

Ours is only what the gate itself must have made. A thing: by its name, its thing type, and the serial number and device type that
the template writes into it. A certificate: by the registry row that names it, by holding our device policies and no others, or by
a decision about it, under one of our claims, in the log of our hook. All else is told as not judged, and left alone.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fleetgate.device_view import Certificate
from fleetgate.registry import Row, status_of

#: States of a row that has, or is about to get, a thing.
LEADS_TO_A_THING = ("provisioning", "provisioned", "active")


class Kind(StrEnum):
    PENDING = "certificate pending"
    UNATTACHED = "certificate unattached"
    THING_WITHOUT_CERTIFICATE = "thing without a certificate"
    ROW_WITHOUT_THING = "row without a thing"
    THING_WITHOUT_ROW = "thing without a row"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Ours:
    """What tells this fleet's things and certificates from others. thing_types: by device type, as deployed.

    grace_ms: what is younger may be on its way in, and is no orphan yet.
    """

    thing_types: Mapping[str, str]
    policies: frozenset[str]
    claims: frozenset[str]
    grace_ms: int


@dataclass(frozen=True)
class Thing:
    """A thing whose name the gate could have given. device_type and serial: what the name says."""

    name: str
    device_type: str
    serial: str
    thing_type: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Device:
    """All about one serial, read just now. certificates: those attached to the thing, and the one that the row names."""

    serial: str
    row: Row | None
    thing: Thing | None
    certificates: tuple[Certificate, ...] = ()
    other_principals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loose:
    """A certificate, read just now. row: the one that names it. was_asked_here: our hook's log has it, under a claim of ours."""

    certificate_id: str
    status: str
    created_ms: int
    policies: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    row: Row | None = None
    was_asked_here: bool = False


@dataclass(frozen=True)
class Finding:
    """An orphan. subject: a thing's name, a serial or a certificate's id. mends: what --fix does; empty if it is not judged."""

    kind: Kind
    subject: str
    why: str
    mends: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "mends": list(self.mends), "subject": self.subject, "why": self.why}


def judge_device(device: Device, ours: Ours, now_ms: int) -> Finding | None:
    """What is wrong with a device, or None: it is whole, came in just now, revoked, or not there at all."""
    row, thing = device.row, device.thing
    if row is not None and (row.get("status") == "revoked" or _is_on_its_way(row, ours, now_ms)):
        return None
    if thing is not None:
        return _judge_thing(device, thing, ours, now_ms)
    if row is None or row.get("status") not in LEADS_TO_A_THING:
        return None
    if not row.get("certificateId"):
        return Finding(Kind.NOT_JUDGED, device.serial, "its row has no thing and names no certificate: no hook wrote it")
    if refusal := _refusal(device, ours):
        return Finding(Kind.NOT_JUDGED, device.serial, f"its row has no thing, but {refusal}")
    why = f"is {row['status']}, and its thing {row.get('thingName', '')} is not there"
    return Finding(Kind.ROW_WITHOUT_THING, device.serial, why, _mends(device))


def _judge_thing(device: Device, thing: Thing, ours: Ours, now_ms: int) -> Finding | None:
    row = device.row
    attached = [certificate for certificate in device.certificates if certificate.is_attached]
    if row is not None and (attached or device.other_principals):
        return None
    if now_ms - _made_ms(thing) < ours.grace_ms:
        return None
    what = "has no row in the registry" if row is None else "has no certificate"
    refusal = _foreign(thing, ours) or _refusal(device, ours)
    if refusal:
        return Finding(Kind.NOT_JUDGED, thing.name, f"{what}, but {refusal}")
    kind = Kind.THING_WITHOUT_ROW if row is None else Kind.THING_WITHOUT_CERTIFICATE
    return Finding(kind, thing.name, what if row is None else f"{what}; its row is {row['status']}", _mends(device))


def judge_certificate(loose: Loose, ours: Ours, now_ms: int) -> Finding | None:
    """What is wrong with a certificate, or None: it is a claim, in use, still good to register with, or kept on purpose."""
    if loose.certificate_id in ours.claims or loose.things:
        return None
    if now_ms - loose.created_ms < ours.grace_ms or (loose.row is not None and _is_on_its_way(loose.row, ours, now_ms)):
        return None
    is_pending = loose.status == "PENDING_ACTIVATION"
    what = "was asked for and never registered" if is_pending else f"is {loose.status}, and no thing has it"
    if loose.row is not None and loose.row.get("status") == "revoked":
        if loose.status == "INACTIVE":
            return None
        remedy = f"run: fleetgate revoke {loose.row['serialNumber']}"
        return Finding(Kind.NOT_JUDGED, loose.certificate_id, f"{what}; its serial number is revoked, {remedy}")
    if others := sorted(set(loose.policies) - ours.policies):
        return Finding(
            Kind.NOT_JUDGED, loose.certificate_id, f"{what}, but it holds policies that are not ours: {', '.join(others)}"
        )
    if not (loose.policies or loose.row is not None or loose.was_asked_here):
        return Finding(Kind.NOT_JUDGED, loose.certificate_id, f"{what}, and nothing shows that it was asked for here")
    kind = Kind.PENDING if is_pending else Kind.UNATTACHED
    return Finding(kind, loose.certificate_id, what, ("certificate: deleted",))


def _is_on_its_way(row: Row, ours: Ours, now_ms: int) -> bool:
    if row.get("status") not in LEADS_TO_A_THING:
        return False
    leased, expires = row.get("leasedAt"), row.get("leaseExpiresAt")
    if isinstance(expires, int) and expires > now_ms:
        return True
    return isinstance(leased, int) and now_ms - leased < ours.grace_ms


def _made_ms(thing: Thing) -> int:
    """When the template made the thing, by the attribute that it writes; 0 if it does not say."""
    try:
        return calendar.timegm(time.strptime(thing.attributes.get("provisioningTime", ""), "%Y-%m-%dT%H:%M:%SZ")) * 1000
    except ValueError:
        return 0


def _foreign(thing: Thing, ours: Ours) -> str:
    """Why a thing is not surely the gate's work, "" if it is."""
    wanted = ours.thing_types.get(thing.device_type)
    if wanted is None or thing.thing_type != wanted:
        return f"its thing type is {thing.thing_type or 'none'}, not {wanted or 'one of ours'}"
    if thing.attributes.get("serialNumber") != thing.serial or thing.attributes.get("deviceType") != thing.device_type:
        return "its attributes are not those that the gate's template writes"
    return ""


def _refusal(device: Device, ours: Ours) -> str:
    """Why what hangs on a device must not go with it, "" if it may."""
    if device.other_principals:
        return f"it has a principal that is no certificate: {device.other_principals[0]}"
    for certificate in device.certificates:
        short = certificate.certificate_id[:12]
        if certificate.certificate_id in ours.claims:
            return f"its certificate {short} is a claim"
        if others := sorted(set(certificate.policies) - ours.policies):
            return f"its certificate {short} holds policies that are not ours: {', '.join(others)}"
        if certificate.things:
            return f"its certificate {short} is used by {', '.join(certificate.things)} as well"
    return ""


def _mends(device: Device) -> tuple[str, ...]:
    mends = []
    if device.thing is not None:
        mends.append(f"thing {device.thing.name}: deleted with its shadows")
    for certificate in device.certificates:
        if certificate.status != "missing":
            mends.append(f"certificate {certificate.certificate_id[:12]}: deleted")
    if device.row is not None and status_of(device.row) != "registered":
        mends.append(f"registry row: {status_of(device.row)} -> registered")
    return tuple(mends)
