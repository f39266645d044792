"""From what CloudWatch Logs delivers to entries of the audit trail. Pure: an event in, entries and what nobody understands out.

`fleetgate audit` makes the same entry of the same log line (tools/fleetgate/audit.py), so that it can tell which lines the table
has. A contract test holds the two together.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

EVENT = "provisioning_decision"
EVENT_TYPE = "PROVISIONING_DECISION"
#: The subject of decisions about a device that did not say a possible serial number; none has parentheses.
UNREADABLE = "(unreadable)"

_SERIAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAXIMUM_TEXT = 128
_YEAR_10000 = 253_402_300_800_000
#: By the name in the entry: the name in the hook's line. Nothing else of a line is kept for good.
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

Entry = dict[str, str | int]


class NotADelivery(ValueError):
    """What the function was called with is no delivery of that log group."""


class NotADecision(ValueError):
    """A log line is no decision of the hook. Says why, and never what stands in the line."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A log line that is no entry: where it is, so that somebody can look at it, and why."""

    log_stream: str
    log_event_id: str
    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """entries: in the order of the log."""

    entries: list[Entry]
    unknown: list[Unknown]


def read(event: object, log_group: str) -> Delivery:
    """The decisions of a delivery. Raises NotADelivery if it is none of `log_group`: then no line of it can be trusted."""
    message = _unpacked(event)
    if message.get("messageType") == "CONTROL_MESSAGE":  # CloudWatch Logs asks whether it reaches the function
        return Delivery([], [])
    if message.get("messageType") != "DATA_MESSAGE" or message.get("logGroup") != log_group:
        raise NotADelivery(f"it is no delivery of the log group {log_group}")
    stream, events = str(message.get("logStream", "")), message.get("logEvents")
    if not isinstance(events, list):
        raise NotADelivery("it has no log events")
    delivery = Delivery([], [])
    for found in events:
        one = found if isinstance(found, dict) else {}
        try:
            delivery.entries.append(entry(one.get("message")))
        except NotADecision as problem:
            at_ms = one.get("timestamp")
            known = at_ms if isinstance(at_ms, int) else 0
            delivery.unknown.append(Unknown(stream, str(one.get("id", "")), known, str(problem)))
    return delivery


def entry(line: object) -> Entry:
    """The entry of a line of the hook's log. Raises NotADecision.

    Its key is the line's own: the time of the decision and Lambda's id of the call. The same line makes the same entry.
    """
    record = _decision(line)
    metadata = record.get("_aws")
    at_ms = metadata.get("Timestamp") if isinstance(metadata, dict) else None
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or not 0 < at_ms < _YEAR_10000:
        raise NotADecision("it does not say when")
    if not isinstance(record.get("allowed"), bool):
        raise NotADecision("it does not say whether the device was let in")
    kept = {name: text for name, key in _FIELDS.items() if (text := _text(record.get(key))) is not None}
    call = kept.get("requestId") or hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]
    serial = record.get("serialNumber")
    readable = {"serialNumber": serial} if isinstance(serial, str) and _SERIAL.fullmatch(serial) else {}
    return {
        **kept,
        **readable,
        "subject": readable.get("serialNumber", UNREADABLE),
        "id": f"{at_ms}#{call}#{EVENT_TYPE}",
        "timestamp": at_ms,
        "eventType": EVENT_TYPE,
        "operation": "ALLOWED" if record["allowed"] else "DENIED",
    }


def _unpacked(event: object) -> dict[str, Any]:
    match event:
        case {"awslogs": {"data": str(data)}}:
            pass
        case _:
            raise NotADelivery("it is none of CloudWatch Logs")
    try:
        message = json.loads(gzip.decompress(base64.b64decode(data, validate=True)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise NotADelivery(f"it cannot be unpacked: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise NotADelivery("it is no JSON object")
    return message


def _decision(line: object) -> dict[str, Any]:
    """The hook's record in a line. Lambda may have put it into a JSON record of its own, as text or as an object."""
    record = _object(line)
    if record is not None and record.get("event") != EVENT:
        inner = record.get("message")
        record = inner if isinstance(inner, dict) else _object(inner)
    if record is None or record.get("event") != EVENT:
        raise NotADecision("it is no decision of the hook")
    return record


def _object(text: object) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    """A text as it may be kept for good: short, none that looks like a key or certificate, and one that UTF-8 can hold."""
    if not isinstance(value, str) or not value or "-----" in value:
        return None
    return value[:_MAXIMUM_TEXT].encode("utf-8", "replace").decode()
