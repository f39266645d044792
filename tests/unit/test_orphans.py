"""What is an orphan, what may be on its way in, and what is not ours to judge: a row each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetgate.device_view import Certificate
from fleetgate.orphans import Device, Kind, Loose, Ours, Thing, judge_certificate, judge_device

HOUR = 3_600_000
NOW = 1_800_000_000_000
OURS = Ours({"gateway": "gateway"}, frozenset({"fleetgate-gateway"}), frozenset({"f" * 64}), HOUR)
OLD = NOW - 2 * HOUR
ROW = {"serialNumber": "GW-1", "status": "active", "certificateId": "a" * 64, "thingName": "gateway-GW-1", "leasedAt": OLD}
THING = Thing("gateway-GW-1", "gateway", "GW-1", "gateway", {"serialNumber": "GW-1", "deviceType": "gateway"})
CERTIFICATE = Certificate("a" * 64, "ACTIVE", "", True, True, ("fleetgate-gateway",), ())
LOOSE_CERTIFICATE = replace(CERTIFICATE, is_attached=False)


def row(**changes):
    return ROW | changes


def made(at):
    return replace(THING, attributes=THING.attributes | {"provisioningTime": at})


@pytest.mark.parametrize(
    "device, kind",
    [
        (Device("GW-1", ROW, THING, (CERTIFICATE,)), None),
        (Device("GW-1", None, None), None),
        (Device("GW-1", row(status="registered"), None), None),
        (Device("GW-1", row(status="revoked"), None, (LOOSE_CERTIFICATE,)), None),
        (Device("GW-1", row(status="revoked"), THING), None),
        (Device("GW-1", ROW, None, (LOOSE_CERTIFICATE,)), Kind.ROW_WITHOUT_THING),
        (Device("GW-1", row(status="provisioning"), None), Kind.ROW_WITHOUT_THING),
        (Device("GW-1", row(status="provisioning", leasedAt=NOW - 1000), None), None),
        (Device("GW-1", row(status="provisioning", leaseExpiresAt=NOW + 1), None), None),
        (Device("GW-1", row(status="provisioned", leasedAt=NOW - 1000), THING), None),
        (Device("GW-1", row(leasedAt=NOW - 1000), None), None),
        (Device("GW-1", {"serialNumber": "GW-1", "status": "active"}, None), Kind.NOT_JUDGED),
        (Device("GW-1", ROW, THING, (LOOSE_CERTIFICATE,)), Kind.THING_WITHOUT_CERTIFICATE),
        (Device("GW-1", row(status="registered"), THING), Kind.THING_WITHOUT_CERTIFICATE),
        (Device("GW-1", None, THING, (CERTIFICATE,)), Kind.THING_WITHOUT_ROW),
        (Device("GW-1", None, made("2027-01-15T07:59:00Z")), None),
        (Device("GW-1", None, made("2027-01-14T07:59:00Z")), Kind.THING_WITHOUT_ROW),
        (Device("GW-1", None, replace(THING, thing_type=None)), Kind.NOT_JUDGED),
        (Device("GW-1", None, replace(THING, thing_type="other")), Kind.NOT_JUDGED),
        (Device("GW-1", None, replace(THING, attributes={})), Kind.NOT_JUDGED),
        (Device("GW-1", None, replace(THING, attributes=THING.attributes | {"deviceType": "x"})), Kind.NOT_JUDGED),
        (Device("GW-1", None, THING, (CERTIFICATE,), ("us-east-1:cognito",)), Kind.NOT_JUDGED),
        (Device("GW-1", None, THING, (replace(CERTIFICATE, policies=("fleetgate-gateway", "mine")),)), Kind.NOT_JUDGED),
        (Device("GW-1", None, THING, (replace(CERTIFICATE, things=("other",)),)), Kind.NOT_JUDGED),
        (Device("GW-1", None, THING, (replace(CERTIFICATE, certificate_id="f" * 64),)), Kind.NOT_JUDGED),
        (Device("GW-1", ROW, None, (replace(LOOSE_CERTIFICATE, things=("other",)),)), Kind.NOT_JUDGED),
        (Device("GW-1", ROW, THING, (), ("us-east-1:cognito",)), None),
    ],
    ids=[
        "whole",
        "nothing",
        "never came in",
        "revoked without thing",
        "revoked without certificate",
        "row without thing",
        "cut off half-way",
        "leased just now",
        "lease running",
        "thing made just now",
        "active since just now",
        "row of no hook",
        "thing without certificate",
        "thing of an earlier life",
        "thing without row",
        "thing without row, just made",
        "thing without row, made yesterday",
        "no thing type",
        "another thing type",
        "no attributes",
        "another device type",
        "a principal that is no certificate",
        "a foreign policy",
        "a certificate of two things",
        "a claim",
        "row whose certificate has another thing",
        "principal only",
    ],
)
def test_a_device_is_judged_by_what_there_is_of_it(device, kind):
    found = judge_device(device, OURS, NOW)
    assert (found.kind if found else None) is kind
    assert not found or bool(found.mends) is (kind is not Kind.NOT_JUDGED)


def test_what_is_mended_is_what_there_is():
    found = judge_device(Device("GW-1", ROW, THING, (replace(LOOSE_CERTIFICATE, status="missing"),)), OURS, NOW)
    assert found.mends == ("thing gateway-GW-1: deleted with its shadows", "registry row: active -> registered")
    found = judge_device(Device("GW-1", row(status="registered"), THING), OURS, NOW)
    assert found.mends == ("thing gateway-GW-1: deleted with its shadows",)


LOOSE = Loose("c" * 64, "ACTIVE", OLD, ("fleetgate-gateway",))
PENDING = Loose("c" * 64, "PENDING_ACTIVATION", OLD)


@pytest.mark.parametrize(
    "loose, kind",
    [
        (LOOSE, Kind.UNATTACHED),
        (replace(LOOSE, policies=(), row=ROW), Kind.UNATTACHED),
        (replace(LOOSE, status="INACTIVE"), Kind.UNATTACHED),
        (replace(LOOSE, things=("x",)), None),
        (replace(LOOSE, created_ms=NOW - 1000), None),
        (replace(LOOSE, certificate_id="f" * 64), None),
        (replace(LOOSE, policies=("fleetgate-gateway", "mine")), Kind.NOT_JUDGED),
        (replace(LOOSE, policies=("mine",), row=ROW), Kind.NOT_JUDGED),
        (replace(LOOSE, policies=()), Kind.NOT_JUDGED),
        (replace(LOOSE, row=row(status="revoked"), status="INACTIVE"), None),
        (replace(LOOSE, row=row(status="revoked")), Kind.NOT_JUDGED),
        (replace(LOOSE, row=row(status="provisioning", leaseExpiresAt=NOW + 1)), None),
        (replace(PENDING, was_asked_here=True), Kind.PENDING),
        (replace(PENDING, row=ROW), Kind.PENDING),
        (PENDING, Kind.NOT_JUDGED),
        (replace(PENDING, was_asked_here=True, created_ms=NOW - HOUR + 1), None),
    ],
    ids=[
        "holds our policy",
        "a row names it",
        "inactive",
        "in use",
        "young",
        "a claim",
        "a foreign policy as well",
        "a foreign policy, though a row names it",
        "nothing shows whose",
        "revoked and powerless",
        "revoked and not powerless",
        "on its way",
        "pending, asked here",
        "pending, in a row",
        "pending, nothing shows whose",
        "pending, its token is still good",
    ],
)
def test_a_certificate_is_ours_only_by_evidence(loose, kind):
    found = judge_certificate(loose, OURS, NOW)
    assert (found.kind if found else None) is kind
    assert not found or bool(found.mends) is (kind is not Kind.NOT_JUDGED)
