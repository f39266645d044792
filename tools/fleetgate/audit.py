"""The audit trail: who did what to a device, when and why, from the hook's decision to its revocation.

It lies in one append-only table. AWS IoT's rules write registry events into it, the audit function the hook's decisions, the
onboarding function what happened next, and the commands here their deeds. The hook's decisions stand in its log first, some
seconds before the table has them; both are read here, so that neither a delay nor a failure of that function hides one.

A deed is also a line on stderr for whoever collects the output of commands, if that is no terminal, and in
`build/<env>/audit.jsonl`, which has it even if the table could not be reached. What must not be lost stands in the registry row
as well (see Registry.revoke), and AWS's own calls in CloudTrail.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleetgate import applied, aws, decisions, progress, times
from fleetgate.build import Fleet
from fleetgate.catalogue import SERIAL
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, fail

FILE = "audit.jsonl"
MAXIMUM_REASON = 500
#: The event type of what somebody did with a command.
DEED = "DEED"
#: And that of a decision of the hook.
DECISION = "PROVISIONING_DECISION"
#: And that of what the onboarding function did.
ONBOARDING = "ONBOARDING"
#: The subject of decisions about a device that did not say a possible serial number; none has parentheses.
UNREADABLE = "(unreadable)"

_MAXIMUM_TEXT = 128
#: So many entries are written at once, and so many that could not be are told one by one.
_PARALLEL = 16
_SHOWN = 3
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
_ORDER = (DECISION, "THING_EVENT", ONBOARDING, DEED)
#: Deeds that name things and certificates; all others are about serial numbers, claims, queues or an environment.
ABOUT_THINGS = ("ORPHANS", "DRAIN", "DESTROY")
#: Before a step of a deed that may have come to its end, or not.
_BEGUN = "begun: "

#: A plain item of the table: subject, id, timestamp (epoch milliseconds), eventType, operation, and what belongs to its kind.
Entry = dict[str, Any]


def caller() -> str:
    """The ARN of whose credentials these are."""
    return str(aws.client("sts").get_caller_identity()["Arn"])


def caller_if_any(environment: Environment) -> str | None:
    """The same, or None where nobody can be asked at once: some deeds are done on a machine that has no cloud."""
    from botocore.config import Config

    from fleetgate import cloud

    try:
        cloud.require(environment)
        quick = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=5)
        if aws.account_of(quick) != environment.settings.account_id:
            return None
        return caller()
    except (BotoCoreError, ClientError, FleetgateError):
        return None


def here() -> str:
    """Who does something without credentials, as this machine knows it."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user id without a name
        return f"{os.getuid()}@{socket.gethostname()}"


def reason(text: str | None) -> str:
    """A reason as it is kept. Raises FleetgateError for one that is no line of text."""
    plain = (text or "").strip()
    if len(plain) > MAXIMUM_REASON or not plain.isprintable():
        raise fail("--reason", "is not one line of text", f"say it in at most {MAXIMUM_REASON} characters, without line breaks")
    return plain


@dataclass
class Part:
    """Of a deed about many, what was done to one of them, and whether that is all."""

    done: list[str]
    complete: bool = True


class Deed:
    """What somebody is doing, as far as it has come: it may end at any time, and what is noted here is what the trail says of it.

    So a step is noted when it was taken, and never before. Several threads may note something.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.parts: dict[str, Part] = {}
        #: Whether it came to its end. A deed that ends by an exception did not, whatever this says.
        self.complete = True
        #: Whether the table has gone with what was done.
        self.table_is_gone = False

    def begin(self, step: str) -> None:
        """Notes a step of which nobody knows how far it comes if it is interrupted; `did` with the same words ends it."""
        self.steps.append(_BEGUN + step)

    def did(self, step: str) -> None:
        if _BEGUN + step in self.steps:
            self.steps[self.steps.index(_BEGUN + step)] = step
        else:
            self.steps.append(step)

    def part(self, subject: str, step: str, *, complete: bool = True) -> None:
        """Notes what was done to one of many, which gets an entry of its own."""
        part = self.parts.setdefault(subject, Part([]))
        part.done.append(step)
        part.complete &= complete
        self.complete &= complete


def file(environment: Environment) -> Path:
    return environment.build / FILE


@contextmanager
def recorded(
    fleet: Fleet,
    action: str,
    subject: str,
    who: str | None,
    why: str = "",
    *,
    about: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Deed]:
    """Keeps what is noted in the deed however that ends, unless it is nothing: on a stderr that is a log, in file and table.

    who: the ARN of the caller, as AWS knows it; None where nobody can be asked, nor the table. about: whose entries in the table
    have all steps (the subject's); (): the deed's parts alone have entries. It is no error if an entry cannot be written: the
    deed is done. What fails of the three is told, and stops none of the others.
    """
    deed = Deed()
    ended = False
    try:
        yield deed
        ended = True
    finally:
        deed.complete &= ended
        if deed.steps or deed.parts:
            for step in deed.steps:
                tell(step)
            in_table = who is not None and not deed.table_is_gone
            _record(fleet, action, subject, who or here(), why, deed, (subject,) if about is None else about, in_table)


def _record(
    fleet: Fleet, action: str, subject: str, who: str, why: str, deed: Deed, about: Sequence[str], in_table: bool
) -> None:
    at_ms = time.time_ns() // 1_000_000
    said = {"subject": subject, "who": who, "why": why, "done": deed.steps, "complete": deed.complete}
    line = json.dumps({"event": "audit", "action": action, "at": times.utc(at_ms), **said}, sort_keys=True)
    # A person has seen the steps before; how far they came if they were interrupted, only this says.
    is_read = sys.stderr.isatty() and deed.complete
    if not is_read:
        print(line, file=sys.stderr, flush=True)
    path = file(fleet.environment)
    try:
        _append(path, line)
    except OSError as error:
        if is_read:
            print(line, file=sys.stderr)
        print(f"fleetgate: {path} did not take this entry: {error.strerror}\n    -> keep the line above", file=sys.stderr)
    key = {"id": f"{at_ms}#{uuid.uuid4()}#{DEED}", "timestamp": at_ms, "eventType": DEED, "operation": action.upper()}
    parts = {name: Part(deed.steps, deed.complete) for name in about} | deed.parts
    entries = [{**said, **key, "subject": name, "done": part.done, "complete": part.complete} for name, part in parts.items()]
    if in_table and entries:
        _keep(fleet.names.audit_table, entries, path)


def _keep(table: str, entries: Sequence[Entry], path: Path) -> None:
    def keep(entry: Entry) -> Exception | None:
        try:
            put(table, entry)
        except (BotoCoreError, ClientError) as error:
            said: Exception = error
            return said
        return None

    failed = []
    # Of some entries the bar would only flicker.
    shown = progress.bar("telling the audit trail", len(entries)) if len(entries) > _PARALLEL else nullcontext()
    with shown as bar, ThreadPoolExecutor(min(_PARALLEL, len(entries))) as pool:
        for entry, error in zip(entries, pool.map(keep, entries), strict=True):
            if error:
                failed.append((entry["subject"], error))
            if bar is not None:
                bar.advance()
    for about, error in failed[:_SHOWN]:
        print(f"fleetgate: the table {table} did not take the entry of {about}: {error}", file=sys.stderr)
    if len(failed) > _SHOWN:
        print(f"... nor those of {len(failed) - _SHOWN} more", file=sys.stderr)
    if failed:
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
    that it has had. Raises FleetgateError if there is no trail, or no log.
    """
    # The log first: what is delivered meanwhile is in both then, and not in neither.
    logged = entries_of(decisions.Log(fleet.names.hook).decisions("serialNumber", serial, since_ms))
    kept = _under(fleet, [serial])
    # A type may have left the catalogue, and a row its thing: what was decided names both for good.
    about = [row or {}, *logged, *kept]
    things = {names.thing(serial) for names in fleet.names.types.values()} | _named("thingName", about)
    kept += _of_registry(_under(fleet, sorted(things - {serial})))
    own = [row or {}, *(entry for entry in (*logged, *kept) if _was_its_own(entry))]
    kept += _of_registry(_under(fleet, sorted(_named("certificateId", own) - {serial})))
    return _merged(kept, logged)


def _of_registry(entries: Iterable[Entry]) -> list[Entry]:
    """Those of a thing's or a certificate's own entries that are about it.

    A stranger may say a thing's name as its serial number; what the gate decided about that, and what was done to that serial
    number, lies under the same subject and is no part of this device's history.
    """
    return [
        entry
        for entry in entries
        if entry.get("eventType") not in (DECISION, ONBOARDING, DEED)
        or (entry["eventType"] == DEED and entry.get("operation") in ABOUT_THINGS)
    ]


def _was_its_own(entry: Entry) -> bool:
    """Whether the certificate that an entry names is, or was, this device's. That of somebody whom the gate kept out is not."""
    return entry.get("eventType") == ONBOARDING or (entry.get("eventType") == DECISION and entry.get("operation") == "ALLOWED")


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
    """Adds an entry. One of the same key stays as it is: the trail is only added to."""
    from boto3.dynamodb.types import TypeSerializer

    typed = {name: TypeSerializer().serialize(_exact(value)) for name, value in entry.items()}
    client = aws.client("dynamodb")
    try:
        client.put_item(TableName=table, Item=typed, ConditionExpression="attribute_not_exists(id)")
    except client.exceptions.ConditionalCheckFailedException:
        return


def _exact(value: Any) -> Any:
    """The numbers of JSON as DynamoDB takes them, at any depth."""
    if isinstance(value, Mapping):
        return {name: _exact(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    return Decimal(str(value)) if isinstance(value, float) else value
