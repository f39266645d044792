"""What the function says of a delivery: a JSON line for each log line that it did not understand, and one that counts them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from settings import Settings
from trail import Delivery


def lines(delivery: Delivery, failed: int, settings: Settings, request_id: str | None) -> Iterator[str]:
    """The last one CloudWatch reads as a metric, too (embedded metric format). None has anything of a line but its place."""
    for unknown in delivery.unknown:
        yield json.dumps(
            {
                "event": "audit_line_not_understood",
                "why": unknown.why,
                "logGroup": settings.log_group,
                "logStream": unknown.log_stream,
                "logEventId": unknown.log_event_id,
                "timestamp": unknown.at_ms,
                "requestId": request_id,
            }
        )
    metrics = {
        "Namespace": "Fleetgate",
        "Dimensions": [["TableName"]],
        "Metrics": [{"Name": "AuditLinesNotUnderstood", "Unit": "Count"}],
    }
    yield json.dumps(
        {
            "event": "audit_delivery",
            "written": len(delivery.entries) - failed,
            "failed": failed,
            "requestId": request_id,
            "TableName": settings.table_name,
            "AuditLinesNotUnderstood": len(delivery.unknown),
            "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [metrics]},
        }
    )
