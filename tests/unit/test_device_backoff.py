"""How long a device tries, and what a summary makes of many devices' times."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from awsiot import V2ServiceException

from fleetgate import device, provisioning
from fleetgate.device import Device, Provisioned, RefusedByGate, Rejected, RetryPolicy
from fleetgate.mqtt import ConnectionLost, DeviceError, Refused, Throttled, TimedOut, TlsFailed, Unreachable
from fleetgate.provisioning import Failure, Report

RETRY = RetryPolicy(attempts=8, bad_request_attempts=3, base_seconds=0.5, cap_seconds=20)


def test_the_ceiling_doubles_up_to_the_cap_and_stays_there():
    assert [RETRY.ceiling(n) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert RETRY.ceiling(10_000) == 20


def test_the_jitter_is_full_so_that_a_fleet_spreads_over_the_whole_pause():
    seeded = random.Random(7)
    pauses = [RETRY.pause(4, seeded.uniform) for _ in range(2000)]
    assert 0 <= min(pauses) < 0.1 and 7.9 < max(pauses) <= 8
    assert 3.7 < sum(pauses) / len(pauses) < 4.3


@pytest.mark.parametrize(
    "error, attempts",
    [
        (Rejected("", "", 429), 8),
        (Rejected("", "", 500), 8),
        (Rejected("", "", 503), 8),
        (Throttled("", ""), 8),
        (Rejected("", "", 400), 3),
        (TimedOut("", ""), 3),
        (Unreachable("", ""), 3),
        (TlsFailed("", ""), 3),
        (Rejected("", "", 404), 1),
        (RefusedByGate("", "", 403), 1),
        (Refused("", ""), 1),
        (ConnectionLost("", ""), 1),
        (DeviceError("", ""), 1),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'status', '')}" if isinstance(value, Exception) else None,
)
def test_what_may_pass_is_tried_again_and_a_no_is_not(error, attempts):
    assert RETRY.attempts_for(error) == attempts


def rejected(status, code="AnyText", message="said"):
    modeled = SimpleNamespace(status_code=status, error_code=code, error_message=message)
    return device._service_error("RegisterThing", "S-1", V2ServiceException("x", None, modeled), "secret-token")


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "Whatever"])
def test_the_status_decides_and_the_error_code_never_does(code):
    assert type(rejected(403, code)) is RefusedByGate
    assert type(rejected(400, code)) is Rejected
    assert rejected(429, code).status == 429


def test_no_text_of_an_error_holds_the_token():
    error = rejected(400, message="token secret-token is not known")
    assert "secret-token" not in error.what and "secret-token" not in str(error)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("AWS_ERROR_MQTT_REQUEST_RESPONSE_TIMEOUT", TimedOut),
        ("AWS_ERROR_MQTT_REQUEST_RESPONSE_SUBSCRIBE_FAILURE", Refused),
        ("AWS_ERROR_MQTT_REQUEST_RESPONSE_PUBLISH_FAILURE", Refused),
        ("AWS_ERROR_SOMETHING_ELSE", DeviceError),
    ],
)
def test_an_error_of_the_sdk_becomes_a_typed_one(name, kind):
    inner = RuntimeError("payload with secret-token")
    inner.name = name
    error = device._service_error("RegisterThing", "S-1", V2ServiceException("x", inner, None), "secret-token")
    assert type(error) is kind and "secret-token" not in str(error)


def test_a_device_sends_the_allowed_parameters_and_a_location_only_if_it_has_one():
    sent = Device("S-1", "gateway", "Acme", "1.0.0").parameters()
    assert sent == {"SerialNumber": "S-1", "DeviceType": "gateway", "Manufacturer": "Acme", "FirmwareVersion": "1.0.0"}
    assert Device("S-1", "gateway", "Acme", "1.0.0", "hall").parameters()["Location"] == "hall"


@pytest.mark.parametrize(
    "pattern, topic",
    [
        ("sensors/t/{thing}/*", "sensors/t/thing-1/status"),
        ("config/{type}/{thing}/now", "config/gateway/thing-1/now"),
    ],
)
def test_a_topic_of_the_catalogue_becomes_one_to_publish_to(pattern, topic):
    assert device.telemetry_topic(pattern, "gateway", "thing-1") == topic


@pytest.mark.parametrize("percent, expected", [(1, 1), (50, 50), (90, 90), (99, 99), (100, 100)])
def test_percentiles_are_values_that_were_seen(percent, expected):
    assert provisioning.percentile(list(range(100, 0, -1)), percent) == expected


def test_percentiles_of_few_values_do_not_fall_off_the_ends():
    assert provisioning.percentile([3.0], 99) == provisioning.percentile([3.0], 1) == 3.0
    assert provisioning.percentile([1.0, 9.0], 50) == 1.0
    with pytest.raises(ValueError):
        provisioning.percentile([], 50)


def done(serial, total):
    return Provisioned(serial, f"t-{serial}", "c", Path("k"), False, 1, {"register": total / 2}, total)


def test_a_report_counts_rates_and_names_reasons():
    failures = (Failure("S-4", "refused_by_gate", "w", "r"), Failure("S-3", "timed_out", "w", "r"))
    report = Report(4, 2.0, (done("S-2", 0.2), done("S-1", 0.4)), failures, interrupted=False).to_json()
    assert [d["serialNumber"] for d in report["provisioned"]] == ["S-1", "S-2"]
    assert [f["serialNumber"] for f in report["failed"]] == ["S-3", "S-4"]
    assert report["summary"]["devicesPerSecond"] == 1.0
    assert report["summary"]["reasons"] == {"refused_by_gate": 1, "timed_out": 1}
    assert report["summary"]["milliseconds"] == {
        "register": {"p50": 100.0, "p90": 200.0, "p99": 200.0},
        "total": {"p50": 200.0, "p90": 400.0, "p99": 400.0},
    }


def test_the_claims_client_id_begins_as_its_policy_wants_and_never_repeats():
    gate = device.Gate(None, "t", "fleetgate-claim-", Path("c"), Path("k"))
    ids = {gate.claim_client_id("S-1") for _ in range(50)}
    assert len(ids) == 50 and all(i.startswith("fleetgate-claim-S-1-") for i in ids)
