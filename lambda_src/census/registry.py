"""The device registry as the census reads it: every row of a device type, from the index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import botocore.session
from census import Row, since_ms

INDEX = "DeviceTypeIndex"


class Client(Protocol):
    """The part of botocore's DynamoDB client that is used here."""

    def query(self, **request: object) -> dict[str, Any]: ...


def connect() -> Client:
    client: Client = botocore.session.get_session().create_client("dynamodb")
    return client


def rows(client: Client, table: str, device_type: str) -> Iterator[Row]:
    """All rows of the type, page by page; eventually consistent, as every read of an index is."""
    request: dict[str, object] = {
        "TableName": table,
        "IndexName": INDEX,
        "KeyConditionExpression": "deviceType = :type",
        "ExpressionAttributeValues": {":type": {"S": device_type}},
        "ProjectionExpression": "serialNumber, #status, leasedAt, provisionedAt",
        "ExpressionAttributeNames": {"#status": "status"},
    }
    while True:
        page = client.query(**request)
        for item in page["Items"]:
            status = item.get("status", {}).get("S", "")
            since = since_ms(status, item.get("leasedAt", {}).get("N"), item.get("provisionedAt", {}).get("S"))
            yield Row(item["serialNumber"]["S"], status, since)
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
