"""What logs and metrics say of a device and the hook: decisions, calls that ended without one, throttling, AWS IoT's own log."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import applied, aws, decisions, times
from fleetgate.build import Fleet
from fleetgate.diagnosis import Cause, Failure, Throttled
from fleetgate.errors import printable

#: What a call of the hook leaves in its log that ended without a decision: text as Lambda's, and its JSON form.
_FAILURE_PHRASES = ("timed out", "timeout", "Traceback", "errorType", "AccessDenied")
IOT_LOG = "AWSIotLogsV2"
#: Failures of the hook are looked for so far back: what is older and still so has happened again since.
_FAILURES_MS = 3 * 3_600_000


def decisions_about(fleet: Fleet, serial: str | None, since_ms: int) -> list[dict[str, Any]]:
    if serial is None:
        return []
    records = decisions.Log(fleet.names.hook).decisions("serialNumber", serial, since_ms)
    return [decisions.explain(r, fleet.environment.name) | {"atMilliseconds": decisions.timestamp(r)} for r in records]


def failure(name: str, since_ms: int) -> Failure | None:
    """The newest call that ended without a decision, and whether the hook has decided anything since."""
    since_ms = max(since_ms, int(time.time() * 1000) - _FAILURES_MS)
    logs, group = aws.client("logs"), f"/aws/lambda/{name}"
    seen: list[tuple[int, str]] = []
    try:
        for phrase in _FAILURE_PHRASES:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=since_ms, filterPattern=f'"{phrase}"', PaginationConfig={"MaxItems": 1000}
            )
            seen += [(event["timestamp"], event["message"]) for page in pages for event in page["events"]]
        seen = [(at, text) for at, text in seen if not decisions.decisions_in([text])]
        if not seen:
            return None
        at_ms = max(at for at, _ in seen)
        around = logs.filter_log_events(logGroupName=group, startTime=at_ms, endTime=at_ms + 1, limit=100)["events"]
        is_over = _has_decided(name, at_ms + 1)
    except logs.exceptions.ResourceNotFoundException:
        raise applied.absent(f"log group {group}") from None
    lines = [event["message"].rstrip() for event in around if event["timestamp"] == at_ms] or [
        text for at, text in seen if at == at_ms
    ]
    return failure_in(lines, at_ms, is_over)


def failure_in(lines: list[str], at_ms: int, is_over: bool) -> Failure:
    """What kind of failure the lines of one call tell of."""
    text = "\n".join(lines)
    own = [line for line in lines if line and not line[0].isspace() and not re.match(r"(START|END|REPORT|INIT_START) ", line)]
    said = next((line for line in reversed(own) if "Error" in line or "timed out" in line), own[-1] if own else "")
    if "AccessDenied" in text or "not authorized to perform" in text:
        cause = Cause.HOOK_LACKS_PERMISSION
    elif "timed out" in text or '"timeout"' in text:
        cause = Cause.HOOK_TIMED_OUT
    else:
        cause = Cause.HOOK_CRASHED
    return Failure(cause, times.utc(at_ms), at_ms, _safe(said), is_over)


def _safe(text: str) -> str:
    """A line of a log as it may be shown: no control characters, and nothing that could be a key or a certificate."""
    return "(redacted)" if "-----" in text else printable(text)[:400]


def iot_log(certificate_ids: list[str], since_ms: int) -> Iterator[str]:
    """What AWS IoT's own log says went wrong with the device's certificates; nothing where there is no such log."""
    logs = aws.client("logs")
    for certificate_id in certificate_ids[:2]:
        try:
            events = logs.filter_log_events(
                logGroupName=IOT_LOG, startTime=since_ms, filterPattern=f'"{certificate_id}"', limit=100
            )["events"]
        except ClientError:
            return
        for event in events:
            try:
                entry = json.loads(event["message"])
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict) and entry.get("status") != "Success":
                what = entry.get("details") or entry.get("reason") or entry.get("status")
                yield _safe(f"{entry.get('eventType', 'event')}: {what}")


def throttled(name: str, since_ms: int) -> Throttled | None:
    """The last minute in which Lambda turned calls of the hook away. CloudWatch counts by minutes."""
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Throttles",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=max(since_ms / 1000, time.time() - 3_600),
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Sum"],
    )
    minutes = [int(point["Timestamp"].timestamp() * 1000) for point in answer["Datapoints"] if point["Sum"] > 0]
    return Throttled(times.utc(max(minutes)), max(minutes), _has_decided(name, max(minutes))) if minutes else None


def _has_decided(name: str, since_ms: int) -> bool:
    """Whether the hook has decided about any device since."""
    pages = (
        aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=f"/aws/lambda/{name}",
            startTime=since_ms,
            filterPattern=f'"{decisions.EVENT}"',
            PaginationConfig={"MaxItems": 1},
        )
    )
    return any(page["events"] for page in pages)
