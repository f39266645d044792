"""The device registry and the audit trail in moto, with the keys and the index of the real ones, and commands that use them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from boto3.dynamodb.types import TypeDeserializer
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

import hook_events
import lambdas
from fleetgate.cli import main


class Registry:
    """The table, with rows as plain values."""

    def __init__(self) -> None:
        self._client = botocore.session.get_session().create_client("dynamodb")
        self._client.create_table(
            TableName=lambdas.TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "serialNumber", "AttributeType": "S"},
                {"AttributeName": "deviceType", "AttributeType": "S"},
            ],
            KeySchema=[{"AttributeName": "serialNumber", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "DeviceTypeIndex",
                    "KeySchema": [{"AttributeName": "deviceType", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

        self._client.create_table(
            TableName=lambdas.AUDIT_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("subject", "id")],
            KeySchema=[{"AttributeName": "subject", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
        )

    def trail(self) -> list[dict[str, Any]]:
        """All entries of the audit trail, oldest first."""
        deserialize = TypeDeserializer().deserialize
        items = self._client.scan(TableName=lambdas.AUDIT_TABLE)["Items"]
        entries = [{name: deserialize(value) for name, value in item.items()} for item in items]
        return sorted(entries, key=lambda entry: (entry["timestamp"], entry["id"]))

    def put(self, **row: str | int) -> None:
        """Write a row, over an existing one; by default a registered temperature sensor."""
        known = {
            "serialNumber": hook_events.SERIAL,
            "deviceType": hook_events.TYPE,
            "status": "registered",
            "registeredAt": "2026-01-01T00:00:00Z",
        }
        item = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in (known | row).items()}
        self._client.put_item(TableName=lambdas.TABLE, Item=item)

    def row(self, serial: str = hook_events.SERIAL) -> dict[str, Any] | None:
        item = self._client.get_item(TableName=lambdas.TABLE, Key={"serialNumber": {"S": serial}}).get("Item")
        if item is None:
            return None
        return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}

    def serials(self) -> set[str]:
        return {item["serialNumber"]["S"] for item in self._client.scan(TableName=lambdas.TABLE)["Items"]}

    def size(self) -> int:
        return int(self._client.scan(TableName=lambdas.TABLE)["Count"])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name, value in lambdas.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    # moto checks a condition and writes in two steps that other threads can come between; DynamoDB does not. The lock
    # gives one request at a time what DynamoDB gives one item, and leaves the order of the requests to the threads.
    lock = threading.Lock()

    def one_at_a_time(write: Callable[[DynamoHandler], Any]) -> Callable[[DynamoHandler], Any]:
        def alone(self: DynamoHandler) -> Any:
            with lock:
                return write(self)

        return alone

    for name in ("put_item", "transact_write_items", "update_item"):
        monkeypatch.setattr(DynamoHandler, name, one_at_a_time(getattr(DynamoHandler, name)))
    with mock_aws():
        yield Registry()


@pytest.fixture
def fleetgate(
    checkout: Path, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of an environment on AWS, which is moto here; returns exit status, stdout and stderr."""
    monkeypatch.setattr("fleetgate.cloud.require", lambda environment: None)
    text = 'account_id: "123456789012"\nregion: us-east-1\ndeletion_protection: false\nclaims:\n  factory-1: {}\n'
    (checkout / "terraform/envs/moto.yaml").write_text(text, encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["--root", str(checkout), *arguments, "--env", "moto"])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err + shown.out
        return status, shown.out, shown.err

    return run
