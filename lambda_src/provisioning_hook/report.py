"""The one line a decision leaves: a JSON log record that CloudWatch also reads as a metric (embedded metric format)."""

from __future__ import annotations

import json

from decision import UNKNOWN, Decision, Reason, Rules, is_certificate_id

# The longest thing name and client id there is; what a stranger sends beyond it is noise.
_MAXIMUM_TEXT = 128
# What each run of the smoke checks provokes under a canary's serial, besides being let in. Any claim holder can say that serial,
# so no other denial may stay out of the alarms by it.
_PROVOKED = (None, Reason.MALFORMED_FIRMWARE, Reason.ALREADY_PROVISIONED)


def line(event: object, decision: Decision, rules: Rules, now_ms: int, request_id: str | None) -> str:
    """The record of `decision`, from an event that may be anything.

    Never holds the certificate or a parameter besides the serial number. A device type that the catalogue does not know
    counts as "unknown", or strangers could make metrics, which cost money.
    """
    seen = event if isinstance(event, dict) else {}
    parameters = seen.get("parameters")
    sent = parameters if isinstance(parameters, dict) else {}
    kind = sent.get("DeviceType")
    known = rules.device_types.get(kind) if isinstance(kind, str) else None
    reason = "allowed" if decision.refusal is None else decision.refusal.value
    # Each run of the smoke checks is refused on purpose: that must not look like a factory's mistake, or an attack.
    if known is not None and sent.get("SerialNumber") == known.canary_serial and decision.refusal in _PROVOKED:
        metric, dimensions = "CanaryDecisions", [["TemplateName", "Reason"]]
    else:
        metric, dimensions = "Decisions", [["TemplateName", "DeviceType", "Reason"], ["TemplateName", "Reason"]]
    record = {
        "event": "provisioning_decision",
        "allowed": decision.refusal is None,
        "reason": reason,
        "serialNumber": _text(sent.get("SerialNumber")),
        "thingName": decision.thing_name,
        "certificateId": _certificate_id(seen.get("certificateId")),
        "claimCertificateId": _certificate_id(seen.get("claimCertificateId")),
        "clientId": _text(seen.get("clientId")),
        "requestId": request_id,
        "TemplateName": rules.template_arn.rpartition("/")[2],
        "DeviceType": UNKNOWN if known is None else kind,
        "Reason": reason,
        metric: 1,
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Fleetgate",
                    "Dimensions": dimensions,
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }
            ],
        },
    }
    return json.dumps(record)  # ASCII: JSON can hold half a surrogate pair, UTF-8 cannot


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    # A device that sends a key or certificate in the wrong field must not have it kept here.
    return "(redacted)" if "-----" in value else value[:_MAXIMUM_TEXT]


def _certificate_id(value: object) -> object:
    return value if is_certificate_id(value) else None
