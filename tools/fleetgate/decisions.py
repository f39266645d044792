"""What the hook decided, found in its log, and what each of its reasons means for an operator."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fleetgate import applied, aws, times
from fleetgate.errors import count

EVENT = "provisioning_decision"

#: By reason: what it means and the next step, with {serial}, {type} and {env} to fill in. The hook's `Reason`, and `allowed`.
REASONS: Mapping[str, tuple[str, str]] = {
    "allowed": (
        "the hook let the device in",
        "if it is not in all the same, the template or its role failed afterwards; run: fleetgate smoke --env {env}",
    ),
    "malformed_event": (
        "a parameter of the device's request is missing, is no text, or is none that the template takes",
        "let the device send SerialNumber, DeviceType, Manufacturer and FirmwareVersion, Location if wanted, and nothing else",
    ),
    "wrong_template": (
        "the request came through another provisioning template than this environment's",
        "give the device this environment's template, and remove the other's hook; then run: fleetgate smoke --env {env}",
    ),
    "unknown_claim": (
        "the claim certificate is none of the active claims of the environment, or the device wants to keep it as its own",
        "if the claim is ours, make it active in terraform/envs/{env}.yaml and run: fleetgate plan --env {env};"
        " then run: fleetgate apply --env {env}; otherwise find out who has such a certificate",
    ),
    "certificate_mismatch": (
        "the certificate and the certificate ids of the request do not belong together",
        "let the device register the certificate that CreateKeysAndCertificate gave it on the same connection",
    ),
    "unknown_device_type": (
        "the deployed catalogue has no such device type",
        "mend DeviceType on the device, or add the type to catalogue/device_types.yaml and run: fleetgate plan --env {env};"
        " then run: fleetgate apply --env {env}",
    ),
    "malformed_serial": (
        "the serial number does not match the serial_pattern of its device type",
        "mend SerialNumber on the device, or serial_pattern in catalogue/device_types.yaml",
    ),
    "manufacturer_not_allowed": (
        "the catalogue does not allow this manufacturer for the device type",
        "mend Manufacturer on the device, or add it to manufacturers in catalogue/device_types.yaml",
    ),
    "malformed_firmware": (
        "the firmware version is not numbers between dots, or does not match the catalogue's pattern",
        "mend FirmwareVersion on the device, or firmware.pattern in catalogue/device_types.yaml",
    ),
    "firmware_too_old": (
        "the firmware is older than the catalogue allows",
        "update the device, or lower firmware.minimum in catalogue/device_types.yaml",
    ),
    "malformed_location": (
        "the location that the device sent cannot be a thing attribute",
        "let the device send letters, digits and _.,@/:#=[]- only, or no Location",
    ),
    "unknown_serial": (
        "the registry does not have the serial number, and its device type takes no others",
        "if the device is ours, run: fleetgate registry add --type {type} --env {env} {serial}",
    ),
    "wrong_device_type": (
        "the registry has the serial number for another device type",
        "mend DeviceType on the device; or, if the row is wrong: fleetgate registry remove --env {env} {serial}, and add it"
        " again",
    ),
    "wrong_manufacturer": (
        "the registry has the serial number for another manufacturer",
        "mend Manufacturer on the device; or, if the row is wrong: fleetgate registry remove --env {env} {serial}, and add it"
        " again",
    ),
    "revoked": (
        "an operator has revoked the serial number",
        "keep the device out; if that was a mistake, run: fleetgate revoke --reinstate --env {env} {serial};"
        " then let the device provision again",
    ),
    "already_provisioned": (
        "a device with another certificate has come in with the serial number before",
        "find out which of the two is the true device; if a stranger has it, run: fleetgate revoke --env {env} {serial};"
        " if the true device has lost its key, run that too; then run: fleetgate revoke --reinstate --env {env} {serial}",
    ),
    "raced": (
        "another certificate asked for the serial number less than 5 seconds before and got it",
        "find out whether two devices have the serial number; a device that only restarted gets in once leaseExpiresAt is over,"
        " see: fleetgate registry show --env {env} {serial}",
    ),
    "lease_running": (
        "the serial number is leased to another certificate, whose device has not come in yet",
        "let the device try again after leaseExpiresAt, see: fleetgate registry show --env {env} {serial};"
        " if another certificate has it again by then, two devices have the serial number",
    ),
    "registry_unavailable": (
        "the registry did not answer in time, or was throttled",
        "let the device try again; if that does not help, look at the table's throttled requests in CloudWatch",
    ),
}
#: Those of them that deny, as the hook's metric has them.
DENIALS = tuple(sorted(REASONS.keys() - {"allowed"}))
_NEWER = ("this checkout does not know the reason: the deployed hook is another one", "use the checkout that was deployed")
_PHRASE = re.compile(r"[a-zA-Z0-9_-]+")

_YEAR_10000 = 253_402_300_800_000

#: A line of the hook that says when it decided and what; all else of it may be missing or odd.
Record = dict[str, Any]


def _on_stderr(text: str) -> None:
    print(text, file=sys.stderr)


class Log:
    """The log of the hook with that function name. tell: gets a sentence where lines of decisions cannot be read."""

    def __init__(self, function: str, tell: Callable[[str], None] = _on_stderr) -> None:
        self.group = f"/aws/lambda/{function}"
        self._client = aws.client("logs")
        self._tell = tell

    def decisions(self, attribute: str, value: str, since_ms: int) -> list[Record]:
        """The records with this value that have arrived by now, newest last. Raises FleetgateError if there is no such log."""
        # A device may send anything as its serial number. What the filter would read as more than text is looked for here.
        phrase = value if _PHRASE.fullmatch(value) else EVENT
        return [record for record in self._read(phrase, since_ms) if record.get(attribute) == value]

    def all(self, since_ms: int) -> list[Record]:
        """Every decision that has arrived by now, newest last. Raises FleetgateError if there is no such log."""
        return self._read(EVENT, since_ms)

    def _read(self, phrase: str, since_ms: int) -> list[Record]:
        # A minute back: the log's clock is not this machine's.
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=self.group, startTime=since_ms - 60_000, filterPattern=f'"{phrase}"'
        )
        try:
            lines = [event["message"] for page in pages for event in page["events"]]
        except self._client.exceptions.ResourceNotFoundException:
            raise applied.absent(f"log group {self.group}") from None
        found = decisions_in(lines)
        if odd := sum(EVENT in line for line in lines) - len(found):
            self._tell(
                f"{count(odd, 'line')} in {self.group} that should be decisions cannot be read, and are left out here\n"
                "    -> is something else than the hook writing there? see docs/runbook.md, heading audit-trail"
            )
        return sorted(found, key=timestamp)


def decisions_in(lines: Iterable[str]) -> list[Record]:
    """The decision records among log lines; Lambda may have wrapped a line into a JSON record of its own.

    Whatever the audit function would refuse (lambda_src/audit/trail.py) is none; a contract test holds the two together.
    """
    found = []
    for line in lines:
        record = _object(line)
        if record is not None and record.get("event") != EVENT:
            message = record.get("message")
            record = message if isinstance(message, dict) else _object(message) if isinstance(message, str) else None
        if record is not None and record.get("event") == EVENT and _is_whole(record):
            found.append(record)
    return found


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether it says when, and whether the device was let in."""
    metadata = record.get("_aws")
    at_ms = metadata.get("Timestamp") if isinstance(metadata, dict) else None
    in_time = isinstance(at_ms, int) and not isinstance(at_ms, bool) and 0 < at_ms < _YEAR_10000
    return in_time and isinstance(record.get("allowed"), bool)


def reason(record: Record) -> str:
    """Why, one of REASONS if the deployed hook is this checkout's."""
    return text if (text := record.get("reason")) and isinstance(text, str) else "unknown"


def explain(record: Record, env: str) -> dict[str, Any]:
    """A decision for people and programs: when, what and about whom, what it means, and the next step."""
    said = {name: value for name, value in record.items() if isinstance(value, str)}
    kind, serial = said.get("DeviceType", "unknown"), said.get("serialNumber", "SERIAL")
    meaning, next_step = REASONS.get(reason(record), _NEWER)
    return {
        "at": times.utc(timestamp(record)),
        "allowed": record["allowed"],
        "reason": reason(record),
        "meaning": meaning,
        "nextStep": next_step.format(serial=serial, type="TYPE" if kind == "unknown" else kind, env=env),
        "deviceType": kind,
        **{name: said.get(name) for name in ("certificateId", "claimCertificateId", "clientId", "requestId")},
    }


def is_canary(record: Record) -> bool:
    """Whether it is about a device of the smoke checks, which the hook counts apart: each run is refused on purpose."""
    return "CanaryDecisions" in record


def timestamp(record: Record) -> int:
    """When the hook decided, in milliseconds of Unix time."""
    return int(record["_aws"]["Timestamp"])


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
