"""The audit trail: who did what to a device, when and why, from the hook's decision to its revocation.

It lies in one append-only table. AWS IoT's rules write registry events into it, the audit function the hook's decisions, the
onboarding function what happened next, and the commands here their deeds. The hook's decisions stand in its log first, some
seconds before the table has them; both are read here, so that neither a delay nor a failure of that function hides one.

A deed is also a line on stderr for whoever collects the output of commands, and in `build/<env>/audit.jsonl`, which has it even
if the table could not be reached. What must not be lost stands in the registry row as well (see Registry.revoke), and AWS's own
calls in CloudTrail.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate import applied, aws, decisions
from fleetgate.build import Fleet
from fleetgate.catalogue import SERIAL
from fleetgate.environment import Environment
from fleetgate.errors import fail

FILE = "audit.jsonl"
MAXIMUM_REASON = 500
#: The event type of what somebody did with a command.
DEED = "DEED"
#: And that of a decision of the hook.
DECISION = "PROVISIONING_DECISION"
#: The subject of decisions about a device that did not say a possible serial number; none has parentheses.
UNREADABLE = "(unreadable)"

_MAXIMUM_TEXT = 128
#: By the name in the entry: the name in the hook's line. The audit function knows the same (lambda_src/audit/trail.py).
_FIELDS = {
    "certificateId": "certificateId",
    "claimCertificateId": "claimCertificateId",
    "clientId": "clientId",
    "deviceType": "DeviceType",
    "reason": "reason",
    "requestId": "requestId",
    "templateName": "TemplateName",
    "thingName": "thingName",
}
#: What comes first of what AWS dates with the same millisecond.
_ORDER = (DECISION, "THING_EVENT", "ONBOARDING", DEED)

#: A plain item of the table: subject, id, timestamp (epoch milliseconds), eventType, operation, and what belongs to its kind.
Entry = dict[str, Any]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def caller() -> str:
    """The ARN of whose credentials these are."""
    return str(aws.client("sts").get_caller_identity()["Arn"])


def reason(text: str | None) -> str:
    """A reason as it is kept. Raises FleetgateError for one that is no line of text."""
    plain = (text or "").strip()
    if len(plain) > MAXIMUM_REASON or not plain.isprintable():
        raise fail("--reason", "is not one line of text", f"say it in at most {MAXIMUM_REASON} characters, without line breaks")
    return plain


def file(environment: Environment) -> Path:
    return environment.build / FILE


def record(
    fleet: Fleet,
    action: str,
    subject: str,
    who: str,
    why: str,
    done: Sequence[str],
    complete: bool,
    *,
    by_subject: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Keeps what somebody did, on stderr, in the file and in the table; one that fails is told and stops none of the others.

    who: the ARN of the caller, as AWS knows it. done: the steps that were taken, in order. complete: whether that is all of them;
    a run that was interrupted leaves an entry too. by_subject: of a deed about many, the steps of each; the table has an entry
    for each of them instead. It is no error if an entry cannot be written: the deed is done.
    """
    at_ms = time.time_ns() // 1_000_000
    deed = {"subject": subject, "who": who, "why": why, "done": list(done), "complete": complete}
    line = json.dumps({"event": "audit", "action": action, "at": utc(at_ms // 1000 * 1000), **deed}, sort_keys=True)
    print(line, file=sys.stderr, flush=True)
    path = file(fleet.environment)
    try:
        _append(path, line)
    except OSError as error:
        print(f"fleetgate: {path} did not take this entry: {error.strerror}\n    -> keep the line above", file=sys.stderr)
    key = {"id": f"{at_ms}#{uuid.uuid4()}#{DEED}", "timestamp": at_ms, "eventType": DEED, "operation": action.upper()}
    for about, steps in ({subject: done} if by_subject is None else by_subject).items():
        try:
            put(fleet.names.audit_table, {**deed, **key, "subject": about, "done": list(steps)})
        except (BotoCoreError, ClientError) as error:
            print(f"fleetgate: the table {fleet.names.audit_table} did not take the entry of {about}: {error}", file=sys.stderr)
            print(f"    -> it stands in {path}; keep that file", file=sys.stderr)


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())  # at once and whole, so that several commands may write side by side
    finally:
        os.close(handle)


@dataclass(frozen=True)
class History:
    """entries: oldest first. not_kept: the keys of those that stand in the hook's log and not in the table."""

    entries: tuple[Entry, ...]
    not_kept: frozenset[tuple[str, str]]

    def is_kept(self, entry: Entry) -> bool:
        return _key(entry) not in self.not_kept


def history(fleet: Fleet, serial: str, row: Mapping[str, Any] | None, since_ms: int) -> History:
    """Everything that the trail has about a serial number, and the hook's log from `since_ms` on. row: its row in the registry.

    That is what is filed under the serial number itself, under each name that a thing of it can have, and under the certificates
    that these entries name. Raises FleetgateError if there is no trail, or no log.
    """
    # The log first: what is delivered meanwhile is in both then, and not in neither.
    logged = entries_of(decisions.Log(fleet.names.hook).decisions("serialNumber", serial, since_ms))
    kept = _under(fleet, [serial])
    # A type may have left the catalogue, and a row its thing: what was decided names both for good.
    about = [row or {}, *logged, *kept]
    things = {names.thing(serial) for names in fleet.names.types.values()} | _named("thingName", about)
    kept += _under(fleet, sorted(things - {serial}))
    kept += _under(fleet, sorted(_named("certificateId", [*logged, *kept])))
    return _merged(kept, logged)


def _named(attribute: str, entries: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(entry[attribute]) for entry in entries if entry.get(attribute)}


def unreadable(fleet: Fleet, since_ms: int) -> History:
    """The decisions about devices that did not say a possible serial number."""
    logged = entries_of(decisions.Log(fleet.names.hook).all(since_ms))
    return _merged(_under(fleet, [UNREADABLE]), [entry for entry in logged if entry["subject"] == UNREADABLE])


def is_serial(text: str) -> bool:
    """Whether a device may have said so: what else it said is filed under UNREADABLE."""
    return re.fullmatch(SERIAL, text) is not None


def entries_of(records: Iterable[decisions.Record]) -> list[Entry]:
    """Decisions as the audit function keeps them, with the same keys."""
    return [_entry(record) for record in records]


def _entry(record: decisions.Record) -> Entry:
    at_ms = decisions.timestamp(record)
    kept = {name: text for name, key in _FIELDS.items() if (text := _text(record.get(key))) is not None}
    call = kept.get("requestId") or hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]
    serial = record.get("serialNumber")
    readable = {"serialNumber": serial} if isinstance(serial, str) and is_serial(serial) else {}
    return {
        **kept,
        **readable,
        "subject": readable.get("serialNumber", UNREADABLE),
        "id": f"{at_ms}#{call}#{DECISION}",
        "timestamp": at_ms,
        "eventType": DECISION,
        "operation": "ALLOWED" if record["allowed"] else "DENIED",
    }


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value or "-----" in value:
        return None
    return value[:_MAXIMUM_TEXT].encode("utf-8", "replace").decode()


def _merged(kept: Iterable[Entry], logged: Iterable[Entry]) -> History:
    in_table = {_key(entry): entry for entry in kept}
    in_log = {_key(entry): entry for entry in logged}
    entries = sorted((in_log | in_table).values(), key=_place)
    return History(tuple(entries), frozenset(in_log.keys() - in_table.keys()))


def _place(entry: Entry) -> tuple[int, int, str]:
    kind = entry.get("eventType")
    return int(entry["timestamp"]), _ORDER.index(kind) if kind in _ORDER else 1, str(entry["id"])


def utc(at_ms: int) -> str:
    """UTC to the millisecond; to the second where there are none."""
    rest = f".{at_ms % 1000:03}" if at_ms % 1000 else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + rest + "Z"


def _under(fleet: Fleet, subjects: Iterable[str]) -> list[Entry]:
    from boto3.dynamodb.types import TypeDeserializer

    client, value = aws.client("dynamodb"), TypeDeserializer().deserialize
    found = []
    for subject in subjects:
        pages = client.get_paginator("query").paginate(
            TableName=fleet.names.audit_table,
            KeyConditionExpression="subject = :subject",
            ExpressionAttributeValues={":subject": {"S": subject}},
            ConsistentRead=True,
        )
        try:
            found += [{name: _plain(value(typed)) for name, typed in item.items()} for page in pages for item in page["Items"]]
        except client.exceptions.ResourceNotFoundException:
            raise applied.absent(f"table {fleet.names.audit_table}") from None
    return found


def _key(entry: Entry) -> tuple[str, str]:
    return str(entry["subject"]), str(entry["id"])


def _plain(value: Any) -> Any:
    """DynamoDB's numbers as those of JSON, at any depth: registry events hold a thing's attributes."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def put(table: str, entry: Mapping[str, Any]) -> None:
    """Adds an entry; one of the same key is replaced."""
    from boto3.dynamodb.types import TypeSerializer

    typed = {name: TypeSerializer().serialize(_exact(value)) for name, value in entry.items()}
    aws.client("dynamodb").put_item(TableName=table, Item=typed)


def _exact(value: Any) -> Any:
    """The numbers of JSON as DynamoDB takes them, at any depth."""
    if isinstance(value, Mapping):
        return {name: _exact(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    return Decimal(str(value)) if isinstance(value, float) else value
