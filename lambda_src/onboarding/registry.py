"""The device registry as the onboarding function writes it, and the audit trail with it: either both or neither."""

from __future__ import annotations

from typing import Any, Protocol

import botocore.session
from botocore.exceptions import ClientError
from onboarding import utc

_Item = dict[str, dict[str, str]]


class Client(Protocol):
    """The part of botocore's DynamoDB client that is used here."""

    def transact_write_items(self, **request: object) -> dict[str, Any]: ...


def connect(table: str, audit_table: str) -> Table:
    """Both tables, through botocore's own retries: nobody waits for an asynchronous function."""
    return Table(botocore.session.get_session().create_client("dynamodb"), table, audit_table)


class Table:
    """Conditional writes: a row that is not of this thing and certificate is never changed."""

    def __init__(self, client: Client, name: str, audit_name: str) -> None:
        self._client = client
        self._name = name
        self._audit_name = audit_name

    def provisioned(self, serial: str, thing_name: str, at_ms: int) -> str | None:
        """`provisioning` becomes `provisioned`. None if the row does not lead to this thing.

        If the device's first connection was heard of before, the row is `active` already and only the time is missing.
        """
        held = self._update(
            serial,
            "SET #status = :provisioned, provisionedAt = :at REMOVE leaseExpiresAt",
            "thingName = :thing AND #status = :provisioning",
            {":thing": thing_name, ":at": utc(at_ms), ":provisioning": "provisioning", ":provisioned": "provisioned"},
            _entry(serial, thing_name, "PROVISIONED", at_ms),
        )
        if held is None:
            return "provisioned"
        if _text(held, "thingName") != thing_name or _text(held, "status") not in ("provisioned", "active"):
            return None
        if "provisionedAt" not in held:
            self._update(
                serial,
                "SET provisionedAt = :at",
                "thingName = :thing AND #status IN (:provisioned, :active) AND attribute_not_exists(provisionedAt)",
                {":thing": thing_name, ":at": utc(at_ms), ":provisioned": "provisioned", ":active": "active"},
                _entry(serial, thing_name, "PROVISIONED", at_ms),
            )
        return "unchanged"

    def connected(self, serial: str, thing_name: str, certificate_id: str, at_ms: int) -> str | None:
        """The row becomes `active` with its certificate's earliest connection. None if the row is not theirs.

        A row that an operator put back to `registered` while its thing stayed comes to be active in this way alone: the
        thing is there, so no created event follows, and the row has no provisionedAt, which says when the thing came to
        be. To write it here would make it depend on the order of the two events.
        """
        held = self._update(
            serial,
            "SET #status = :active, firstConnectedAt = :at REMOVE leaseExpiresAt",
            "thingName = :thing AND certificateId = :certificate"
            " AND #status IN (:provisioning, :provisioned, :active)"
            " AND (attribute_not_exists(firstConnectedAt) OR firstConnectedAt > :at)",
            {
                ":thing": thing_name,
                ":certificate": certificate_id,
                ":at": utc(at_ms),
                ":provisioning": "provisioning",
                ":provisioned": "provisioned",
                ":active": "active",
            },
            _entry(serial, thing_name, "CONNECTED", at_ms) | {"certificateId": {"S": certificate_id}},
        )
        if held is None:
            return "active"
        ours = (_text(held, "thingName"), _text(held, "certificateId")) == (thing_name, certificate_id)
        return "unchanged" if ours and _text(held, "status") == "active" else None

    def _update(self, serial: str, update: str, condition: str, values: dict[str, str], entry: _Item) -> _Item | None:
        """None if row and entry are written, otherwise the row that did not meet the condition (empty if there is none)."""
        change = {
            "TableName": self._name,
            "Key": {"serialNumber": {"S": serial}},
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        put = {"TableName": self._audit_name, "Item": entry}
        try:
            self._client.transact_write_items(TransactItems=[{"Update": change}, {"Put": put}])
        except ClientError as error:
            # Reasons in the order of the items. Those that pass (a conflict with another write) are Lambda's to try again.
            first: dict[str, Any] = next(iter(error.response.get("CancellationReasons", [])), {})
            if first.get("Code") != "ConditionalCheckFailed":
                raise
            item: _Item = first.get("Item", {})
            return item
        return None


def _entry(serial: str, thing_name: str, operation: str, at_ms: int) -> _Item:
    """An entry of the audit trail. Of an event that comes twice it is the same one."""
    return {
        "subject": {"S": serial},
        "id": {"S": f"{at_ms}#{operation}#{thing_name}"},
        "timestamp": {"N": str(at_ms)},
        "eventType": {"S": "ONBOARDING"},
        "operation": {"S": operation},
        "serialNumber": {"S": serial},
        "thingName": {"S": thing_name},
    }


def _text(item: _Item, name: str) -> str | None:
    return item.get(name, {}).get("S")
