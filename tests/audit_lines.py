"""A line of the hook's log, the entry that it makes, and how CloudWatch Logs delivers lines to the audit function."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import hook_events
import lambdas

GROUP = lambdas.HOOK_LOG_GROUP
NOW = 1_795_424_400_123
RECORD = {
    "event": "provisioning_decision",
    "allowed": False,
    "reason": "revoked",
    "serialNumber": hook_events.SERIAL,
    "thingName": hook_events.THING,
    "certificateId": "c" * 64,
    "claimCertificateId": "a" * 64,
    "clientId": "fleetgate-claim-1",
    "requestId": "request-1",
    "TemplateName": "fleetgate-fleet",
    "DeviceType": hook_events.TYPE,
    "Reason": "revoked",
    "Decisions": 1,
    "_aws": {"Timestamp": NOW, "CloudWatchMetrics": []},
}
ENTRY = {
    "subject": hook_events.SERIAL,
    "id": f"{NOW}#request-1#PROVISIONING_DECISION",
    "timestamp": NOW,
    "eventType": "PROVISIONING_DECISION",
    "operation": "DENIED",
    "reason": "revoked",
    "serialNumber": hook_events.SERIAL,
    "thingName": hook_events.THING,
    "certificateId": "c" * 64,
    "claimCertificateId": "a" * 64,
    "clientId": "fleetgate-claim-1",
    "requestId": "request-1",
    "templateName": "fleetgate-fleet",
    "deviceType": hook_events.TYPE,
}


def line(**changes: object) -> str:
    return json.dumps(RECORD | changes)


def packed(message: object) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(message).encode())).decode()}}


def delivery(*messages: object, **changes: object) -> dict[str, Any]:
    events = [{"id": f"event-{n}", "timestamp": NOW + n, "message": message} for n, message in enumerate(messages)]
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": lambdas.ACCOUNT,
        "logGroup": GROUP,
        "logStream": "2026/11/23/[$LATEST]1",
        "subscriptionFilters": ["fleetgate-audit"],
        "logEvents": events,
    }
    return packed(message | changes)
