"""`fleetgate registry why` with the deployed hook's own lines in a log of moto's."""

from __future__ import annotations

import json
import time

import boto3
import pytest

import hook_events
import lambdas
from fleetgate import aws

GROUP, STREAM = "/aws/lambda/fleetgate-provisioning-hook", "2026/11/23/[$LATEST]1"
SERIAL, TYPE = hook_events.SERIAL, hook_events.TYPE


@pytest.fixture
def hook(registry, tmp_path, monkeypatch, capsys):
    """Asks the hook some time ago, and puts what it logs where Lambda would. stamped: when the log says that the line came."""
    for name, value in lambdas.HOOK_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hook").mkdir()
    handler = lambdas.deploy("provisioning_hook", tmp_path / "hook", lambdas.HOOK_CATALOGUE).handler
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)

    def ask(event, hours_ago=0.0, stamped=None):
        capsys.readouterr()
        at_ms, stamped_ms = (
            int((time.time() - hours * 3600) * 1000) for hours in (hours_ago, hours_ago if stamped is None else stamped)
        )
        with monkeypatch.context() as patch:
            patch.setattr(handler.time, "time_ns", lambda: at_ms * 1_000_000)
            handler.handler(event, None)
        events = [{"timestamp": stamped_ms, "message": capsys.readouterr().out.strip()}]
        logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events)

    return ask


def why(fleetgate, *words):
    status, out, err = fleetgate("registry", "why", *words, "--json")
    assert f"looking through {GROUP}, the last " in err
    return status, json.loads(out)


def test_a_refused_device_is_told_with_reason_meaning_next_step_and_its_present_status(fleetgate, hook, registry):
    hook(hook_events.request("stranger"))
    status, out, err = fleetgate("registry", "why", SERIAL)
    certificate = hook_events.certificate("stranger")[1]
    assert status == 0 and "looking through" in err
    for text in ("refused: unknown_serial", TYPE, certificate[:12], hook_events.CLAIM_CERTIFICATE[:12], "takes no others"):
        assert text in out
    assert f"fleetgate registry add --type {TYPE} --env moto {SERIAL}" in out and certificate not in out
    assert out.endswith(f"now: {SERIAL} is not in the registry\n")

    registry.put(status="active", certificateId="c" * 64)
    _, found = why(fleetgate, SERIAL)
    assert found["row"] == registry.row() and found["serialNumber"] == SERIAL
    [decision] = found["decisions"]
    assert decision["at"].endswith("Z") and decision["meaning"] and "fleetgate registry add" in decision["nextStep"]
    assert (decision["allowed"], decision["reason"], decision["certificateId"]) == (False, "unknown_serial", certificate)
    out = fleetgate("registry", "why", SERIAL)[1]
    assert f"now: {SERIAL} is active ({TYPE}, certificate cccccccccccc)" in out
    assert "that is no longer so\n    -> nothing to do\n" in out and "registry add" not in out


def test_decisions_come_newest_last_and_each_reason_is_explained_once(fleetgate, hook, registry):
    hook(hook_events.request("first"), hours_ago=0.1)
    hook(hook_events.request("old", FirmwareVersion="1.0.0"), hours_ago=3, stamped=0.05)
    hook(hook_events.request("old", FirmwareVersion="1.0.0"), hours_ago=2)
    registry.put()
    hook(hook_events.request("second"))
    _, found = why(fleetgate, SERIAL)
    assert [d["reason"] for d in found["decisions"]] == ["firmware_too_old", "firmware_too_old", "unknown_serial", "allowed"]
    assert found["decisions"] == sorted(found["decisions"], key=lambda d: d["at"])
    assert found["row"]["leasedAt"] == found["decisions"][-1]["at"]  # as text, like show --json
    out = fleetgate("registry", "why", SERIAL)[1]
    assert out.count("    -> ") == 3
    assert out.index("\nfirmware_too_old:") < out.index("\nunknown_serial:") < out.index("\nallowed:")


def test_only_the_asked_time_and_serial_are_looked_at(fleetgate, hook, registry):
    hook(hook_events.request("a"), hours_ago=30)
    hook(hook_events.request("b", SerialNumber="TEMP-000002"))
    hook(hook_events.request("c", SerialNumber=f"{SERIAL}0"))
    status, found = why(fleetgate, SERIAL)
    assert status == 1 and found == {"decisions": [], "row": None, "serialNumber": SERIAL}
    assert len(why(fleetgate, SERIAL, "--since", "31")[1]["decisions"]) == 1


@pytest.mark.parametrize("sent", ['TEMP "1"', "-TEMP 1", "TEMP\u20ac", "?", "[/b]"], ids=repr)
def test_what_a_device_sends_as_its_serial_number_may_be_anything(fleetgate, hook, sent):
    hook(hook_events.request("a", SerialNumber=sent))
    hook(hook_events.request("b", SerialNumber=f"{sent}2"))
    assert [d["reason"] for d in why(fleetgate, sent)[1]["decisions"]] == ["malformed_serial"]
    assert f"now: {sent} is not in" in fleetgate("registry", "why", sent)[1]


def test_without_a_decision_it_says_what_that_means(fleetgate, hook, registry):
    registry.put(status="revoked")
    status, out, _ = fleetgate("registry", "why", SERIAL, "--since", "1.5")
    assert status == 1 and f"no decision about '{SERIAL}' in the last 1.5 h: it never reached the hook" in out
    assert all(
        word in out
        for word in ("claim", "template", "hook", f"fleetgate doctor --env moto {SERIAL}\n", "--since", f"tail {GROUP}")
    )
    assert f"now: {SERIAL} is revoked" in out


def test_a_typo_is_answered_with_the_serial_number_that_may_have_been_meant(fleetgate, hook, registry):
    registry.put()
    status, out, _ = fleetgate("registry", "why", SERIAL.lower())
    assert status == 1 and out.endswith(f"not in the registry\n    -> did you mean {SERIAL}?\n")
    hook(hook_events.request("stranger", SerialNumber=SERIAL.lower()))  # that one is no typo: a device says so
    assert "did you mean" not in fleetgate("registry", "why", SERIAL.lower())[1]


def test_on_the_embedded_cloud_the_log_is_read_there(fleetgate, hook, registry, monkeypatch):
    monkeypatch.setattr("fleetgate.environment.Environment.endpoint_url", "http://127.0.0.1:4566")
    assert f"aws --endpoint-url http://127.0.0.1:4566 logs tail {GROUP}\n" in fleetgate("registry", "why", SERIAL)[1]


def test_a_device_that_comes_again_and_again_does_not_flood_the_terminal(fleetgate, hook):
    for number in range(53):
        hook(hook_events.request(f"device-{number}"))
    status, out, err = fleetgate("registry", "why", SERIAL)
    assert status == 0 and out.count("refused: unknown_serial") == 50 and "3 earlier ones are not shown" in err
    assert len(why(fleetgate, SERIAL)[1]["decisions"]) == 53


def test_a_log_of_many_pages_is_read_to_its_end(fleetgate, hook, monkeypatch):
    for seed in ("a", "b", "c"):
        hook(hook_events.request(seed))
    asked = []

    class OneAPage:
        """CloudWatch may end a page wherever it likes; moto's hold ten thousand lines."""

        def __init__(self, client):
            self._client = client
            self.exceptions = client.exceptions

        def get_paginator(self, operation):
            paginator = self._client.get_paginator(operation)
            paginate = paginator.paginate
            paginator.paginate = lambda **request: asked.append(request) or paginate(**request, PaginationConfig={"PageSize": 1})
            return paginator

    client = aws.client
    monkeypatch.setattr(aws, "client", lambda service: OneAPage(client(service)) if service == "logs" else client(service))
    assert len(why(fleetgate, SERIAL)[1]["decisions"]) == 3 and asked


def test_without_the_log_the_command_that_makes_it_is_named(fleetgate, registry):
    status, _, err = fleetgate("registry", "why", SERIAL)
    assert status == 2 and GROUP in err and "make apply ENV=moto" in err


def test_a_device_that_is_in_although_its_log_line_is_late_is_told_so(fleetgate, hook, registry):
    registry.put(status="active", leasedAt=int(time.time() * 1000) - 5_000)
    status, out, _ = fleetgate("registry", "why", SERIAL)
    assert status == 1 and f"the gate let {SERIAL} in at 20" in out and "ask again" in out and "never reached" not in out


def test_a_revoked_device_is_told_who_revoked_it_and_what_lets_it_in_again(fleetgate, hook, registry):
    registry.put(status="revoked", revokedAt="2026-11-01T00:00:00Z", revokedBy="arn:aws:iam::1:user/a", revokedReason="stolen")
    _, out, _ = fleetgate("registry", "why", SERIAL)
    assert "revoked since 2026-11-01T00:00:00Z by arn:aws:iam::1:user/a: stolen" in out
    assert out.endswith(f"fleetgate revoke --reinstate --env moto {SERIAL}\n")


ODD = {
    "no time": {"allowed": True, "reason": "allowed"},
    "a time that is text": {"allowed": True, "reason": "allowed", "_aws": {"Timestamp": "x"}},
    "not whether": {"reason": "allowed", "_aws": {"Timestamp": 1_795_424_400_123}},
}


@pytest.mark.parametrize("words", [("registry", "why", SERIAL), ("audit", SERIAL), ("dashboard",)], ids=" ".join)
@pytest.mark.parametrize("said", [*ODD.values(), None], ids=[*ODD, "brackets"])
def test_a_line_of_the_log_that_no_command_can_read_is_counted_and_the_rest_is_shown(fleetgate, hook, registry, words, said):
    registry.put()
    hook(hook_events.request())
    odd = {"event": "provisioning_decision", "serialNumber": SERIAL}
    line = "[" * 50_000 + f'"provisioning_decision" {SERIAL}' if said is None else json.dumps(odd | said)
    event = {"timestamp": int(time.time() * 1000), "message": line}
    boto3.client("logs").put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[event])
    status, out, err = fleetgate(*words)
    assert status == 0 and f"1 line in {GROUP} that should be decisions cannot be read" in err
    assert "allowed" in out or "let in by the hook" in out


def test_a_decision_of_which_all_but_time_and_answer_is_odd_is_shown_all_the_same(fleetgate, hook, registry):
    odd = {"event": "provisioning_decision", "serialNumber": SERIAL, "allowed": False, "reason": ["x"], "DeviceType": 7}
    at_ms = int(time.time() * 1000)
    line = json.dumps(odd | {"certificateId": {}, "_aws": {"Timestamp": at_ms}})
    boto3.client("logs").put_log_events(
        logGroupName=GROUP, logStreamName=STREAM, logEvents=[{"timestamp": at_ms, "message": line}]
    )
    [decision] = why(fleetgate, SERIAL)[1]["decisions"]
    assert (decision["reason"], decision["deviceType"], decision["certificateId"]) == ("unknown", "unknown", None)
    assert fleetgate("registry", "why", SERIAL)[0] == fleetgate("audit", SERIAL)[0] == fleetgate("dashboard")[0] == 0


@pytest.mark.parametrize("row", [False, True], ids=["no row", "a row"])
def test_what_is_asked_about_does_not_act_on_the_terminal(fleetgate, hook, registry, row):
    if row:
        registry.put(serialNumber="\x1b[31mX")
    status, out, err = fleetgate("registry", "why", "\x1b[31mX")
    assert status == 1 and "\x1b" not in out + err and r"\x1b[31mX is" in out
