"""The device registry as the onboarding function writes it."""

from __future__ import annotations

from typing import Any, Protocol

import botocore.session
from botocore.exceptions import ClientError

_Item = dict[str, dict[str, str]]


class Client(Protocol):
    """The part of botocore's DynamoDB client that is used here."""

    def update_item(self, **request: object) -> dict[str, Any]: ...


def connect(table: str) -> Table:
    """The registry's table, through botocore's own retries: nobody waits for an asynchronous function."""
    return Table(botocore.session.get_session().create_client("dynamodb"), table)


class Table:
    """Conditional writes: a row that is not of this thing and certificate is never changed."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def provisioned(self, serial: str, thing_name: str, at: str) -> str | None:
        """`provisioning` becomes `provisioned`. None if the row does not lead to this thing.

        If the device's first connection was heard of before, the row is `active` already and only the time is missing.
        """
        held = self._update(
            serial,
            "SET #status = :provisioned, provisionedAt = :at REMOVE leaseExpiresAt",
            "thingName = :thing AND #status = :provisioning",
            {":thing": thing_name, ":at": at, ":provisioning": "provisioning", ":provisioned": "provisioned"},
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
                {":thing": thing_name, ":at": at, ":provisioned": "provisioned", ":active": "active"},
            )
        return "unchanged"

    def connected(self, serial: str, thing_name: str, certificate_id: str, at: str) -> str | None:
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
                ":at": at,
                ":provisioning": "provisioning",
                ":provisioned": "provisioned",
                ":active": "active",
            },
        )
        if held is None:
            return "active"
        ours = (_text(held, "thingName"), _text(held, "certificateId")) == (thing_name, certificate_id)
        return "unchanged" if ours and _text(held, "status") == "active" else None

    def _update(self, serial: str, update: str, condition: str, values: dict[str, str]) -> _Item | None:
        """None if written, otherwise the row that did not meet the condition (empty if there is none)."""
        try:
            self._client.update_item(
                TableName=self._name,
                Key={"serialNumber": {"S": serial}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            item: _Item = error.response.get("Item", {})
            return item
        return None


def _text(item: _Item, name: str) -> str | None:
    return item.get(name, {}).get("S")
