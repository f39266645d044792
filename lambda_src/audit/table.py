"""The audit trail's table as the function writes it: it adds entries, and can do nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from trail import Entry


class Client(Protocol):
    """The part of botocore's DynamoDB client that is used here."""

    def put_item(self, **request: object) -> dict[str, Any]: ...


def connect() -> Client:
    """Through botocore's own retries: nobody waits for an asynchronous function."""
    client: Client = botocore.session.get_session().create_client("dynamodb")
    return client


def add(client: Client, table: str, entries: Iterable[Entry]) -> list[Exception]:
    """Adds every entry that can be added; returns why the others could not. One that is there already is the same one.

    One request each and no batch: BatchWriteItem is the permission to delete, too, and the table's policy denies it.
    """
    problems: list[Exception] = []
    for entry in entries:
        item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in entry.items()}
        try:
            client.put_item(TableName=table, Item=item)
        except (BotoCoreError, ClientError) as problem:
            problems.append(problem)
    return problems
