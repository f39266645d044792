"""Everything that AWS knows of one device, read in one go; nothing is changed and no certificate's text is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import aws, times
from fleetgate.build import Fleet
from fleetgate.registry import Registry, Row, shown

#: What a cloud answers that has no such operation, or no index: the embedded one, or an account that indexes nothing.
_UNSUPPORTED = ("InvalidRequestException", "UnsupportedOperation", "UnknownOperationException", "NotImplemented")


@dataclass(frozen=True)
class Certificate:
    """A certificate of a device. is_attached: to its thing. status: `missing` if AWS does not have it any more.

    things: the others that use it as well.
    """

    certificate_id: str
    status: str
    created_at: str
    is_attached: bool
    is_in_registry: bool
    policies: tuple[str, ...]
    things: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "attached": self.is_attached,
            "certificateId": self.certificate_id,
            "createdAt": self.created_at,
            "inRegistry": self.is_in_registry,
            "otherThings": list(self.things),
            "policies": list(self.policies),
            "status": self.status,
        }


@dataclass(frozen=True)
class View:
    """One device. row: as people read it. connection and shadow are None if there is none, or if the cloud cannot tell."""

    serial: str
    thing_name: str | None
    row: Row | None
    thing: Mapping[str, Any] | None
    groups: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    other_principals: tuple[str, ...] = ()
    connection: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None
    unknown: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "certificates": [certificate.to_json() for certificate in self.certificates],
            "connection": self.connection,
            "groups": list(self.groups),
            "notKnown": list(self.unknown),
            "otherPrincipals": list(self.other_principals),
            "registry": self.row,
            "serialNumber": self.serial,
            "shadow": self.shadow,
            "thing": self.thing,
        }


def thing_name_of(fleet: Fleet, serial: str, row: Row | None) -> str | None:
    """The thing of a serial: what the row says; else what the gate would call it. None for a type that has left the catalogue."""
    if row is not None and row.get("thingName"):
        return str(row["thingName"])
    names = fleet.names.types.get(str(row.get("deviceType"))) if row is not None else None
    return names.thing(serial) if names else None


def look(fleet: Fleet, table: Registry, serial: str) -> View | None:
    """The device with that serial, or None if neither the registry nor the things know it."""
    row = table.get(serial)
    if row is None:
        # A thing may have lost its row; the gate would have called it one of these.
        names = [kind.thing(serial) for kind in fleet.names.types.values()]
        found = next((name for name in names if _is_thing_name(name) and _thing(name) is not None), None)
        if found is None:
            return None
    else:
        found = thing_name_of(fleet, serial, row)
    return _view(serial, found, row)


def certificates_of(thing_name: str | None, row: Row | None) -> tuple[list[Certificate], list[str]]:
    """The certificates that are attached to a thing and the one that its row names; and what else is attached to it."""
    iot = aws.client("iot")
    principals = _pages(iot, "list_thing_principals", "principals", thingName=thing_name) if thing_name else []
    attached = [principal.rpartition("/")[2] for principal in principals if ":cert/" in principal]
    others = [principal for principal in principals if ":cert/" not in principal]
    registered = str(row["certificateId"]) if row is not None and row.get("certificateId") else None
    ids = list(dict.fromkeys([*([registered] if registered else []), *sorted(attached)]))
    return [_certificate(iot, held, held in attached, held == registered, thing_name) for held in ids], others


def _view(serial: str, name: str | None, row: Row | None) -> View:
    thing = _thing(name) if name else None
    certificates, others = certificates_of(name if thing else None, row)
    if thing is None or name is None:
        return View(serial, name, shown(row) if row else None, None, certificates=tuple(certificates))
    iot = aws.client("iot")
    groups = [group["groupName"] for group in _pages(iot, "list_thing_groups_for_thing", "thingGroups", thingName=name)]
    unknown: list[str] = []
    connection = _read(lambda: _connection(name), "connection", unknown)
    shadow = _read(lambda: _shadow(name), "shadow", unknown)
    return View(
        serial,
        name,
        shown(row) if row else None,
        thing,
        tuple(sorted(groups)),
        tuple(certificates),
        tuple(others),
        connection,
        shadow,
        tuple(unknown),
    )


def _is_thing_name(name: str) -> bool:
    return len(name) <= 128 and all(c.isascii() and (c.isalnum() or c in ":_-") for c in name)


def _thing(name: str) -> dict[str, Any] | None:
    iot = aws.client("iot")
    try:
        found = iot.describe_thing(thingName=name)
    except iot.exceptions.ResourceNotFoundException:
        return None
    return {
        "attributes": dict(sorted(found.get("attributes", {}).items())),
        "thingName": found["thingName"],
        "thingTypeName": found.get("thingTypeName"),
        "version": found.get("version"),
    }


def _certificate(iot: Any, certificate_id: str, attached: bool, registered: bool, thing_name: str | None) -> Certificate:
    try:
        found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return Certificate(certificate_id, "missing", "", attached, registered, (), ())
    arn = found["certificateArn"]
    policies = [policy["policyName"] for policy in _pages(iot, "list_attached_policies", "policies", target=arn)]
    things = [thing for thing in _pages(iot, "list_principal_things", "things", principal=arn) if thing != thing_name]
    created = found.get("creationDate")
    at = times.utc(created.timestamp() * 1000) if created else ""  # which boto3 gives in this machine's own time zone
    status, held = str(found["status"]), tuple(sorted(policies))
    return Certificate(certificate_id, status, at, attached, registered, held, tuple(sorted(things)))


def _connection(name: str) -> dict[str, Any] | None:
    """A device's client id is its thing name: its policy allows no other."""
    found = aws.iot_data().get_connection(clientId=name)
    kept = ("connected", "connectedSince", "disconnectedSince", "disconnectReason")
    return {key: value if isinstance(value, bool | str) else str(value) for key, value in found.items() if key in kept}


def _shadow(name: str) -> dict[str, Any] | None:
    document = json.loads(aws.iot_data().get_thing_shadow(thingName=name)["payload"].read())
    return {key: document[key] for key in ("state", "version") if key in document}


def _read(read: Callable[[], dict[str, Any] | None], what: str, unknown: list[str]) -> dict[str, Any] | None:
    """The answer, None if there is none; `unknown` gets its name if this cloud or these credentials cannot tell."""
    try:
        return read()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return None
        if code not in (*_UNSUPPORTED, *aws.DENIED):
            raise
        unknown.append(what)
        return None


def _pages(iot: Any, operation: str, key: str, **arguments: str) -> list[Any]:
    try:
        return [item for page in iot.get_paginator(operation).paginate(**arguments) for item in page[key]]
    except iot.exceptions.ResourceNotFoundException:
        return []
