"""`fleetgate audit`: one device's history from the trail's table and the hook's log, with moto as both."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import boto3
import pytest

import hook_events
import lambdas
from audit_lines import delivery

GROUP, STREAM = lambdas.HOOK_LOG_GROUP, "2026/11/23/[$LATEST]1"
SERIAL, THING = hook_events.SERIAL, hook_events.THING


@pytest.fixture
def hook(registry, tmp_path, monkeypatch, capsys):
    """Asks the hook some minutes ago; its line is put where Lambda would, and kept in the table unless `kept` is False."""
    for name, value in (lambdas.HOOK_ENVIRONMENT | lambdas.AUDIT_ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    folders = [tmp_path / name for name in ("hook", "audit")]
    for folder in folders:
        folder.mkdir()
    handler = lambdas.deploy("provisioning_hook", folders[0], lambdas.HOOK_CATALOGUE).handler
    keep = lambdas.deploy("audit", folders[1], None).handler.handler
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    calls = iter(range(999))

    def ask(event, minutes_ago=0.0, kept=True):
        capsys.readouterr()
        at_ms = int((time.time() - minutes_ago * 60) * 1000)
        with monkeypatch.context() as patch:
            patch.setattr(handler.time, "time_ns", lambda: at_ms * 1_000_000)
            handler.handler(event, SimpleNamespace(aws_request_id=f"call-{next(calls)}"))
        said = capsys.readouterr().out.strip()
        logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[{"timestamp": at_ms, "message": said}])
        if kept:
            keep(delivery(said), None)

    return ask


def entry(subject, at_ms, kind, operation, **values):
    item = {"subject": subject, "id": f"{at_ms}#{kind}#{operation}", "eventType": kind, "operation": operation} | values
    typed = {name: {"S": value} for name, value in item.items()} | {"timestamp": {"N": str(at_ms)}}
    boto3.client("dynamodb").put_item(TableName=lambdas.AUDIT_TABLE, Item=typed)


def history(fleetgate, *words):
    status, out, err = fleetgate("audit", *words, "--json")
    return status, json.loads(out), err


def test_a_history_is_whole_and_in_order_whether_an_entry_is_kept_or_only_in_the_log(fleetgate, hook, registry):
    hook(hook_events.request("stranger"), minutes_ago=9)
    registry.put()
    hook(hook_events.request("device"), minutes_ago=8)
    certificate = hook_events.certificate("device")[1]
    at = int((time.time() - 7 * 60) * 1000)
    entry(THING, at, "THING_EVENT", "CREATED", thingName=THING)
    entry(SERIAL, at, "ONBOARDING", "PROVISIONED", thingName=THING)
    entry(SERIAL, at + 5, "ONBOARDING", "CONNECTED", thingName=THING, certificateId=certificate)
    entry(certificate, at + 7, "CERTIFICATE_EVENT", "UPDATED")
    entry("another", at, "THING_EVENT", "CREATED", thingName="another")
    hook(hook_events.request("thief"), kept=False)
    status, found, err = history(fleetgate, SERIAL)
    assert status == 0 and "runbook" not in err
    assert [(one["eventType"], one["operation"], one["kept"]) for one in found["entries"]] == [
        ("PROVISIONING_DECISION", "DENIED", True),
        ("PROVISIONING_DECISION", "ALLOWED", True),
        ("THING_EVENT", "CREATED", True),
        ("ONBOARDING", "PROVISIONED", True),
        ("ONBOARDING", "CONNECTED", True),
        ("CERTIFICATE_EVENT", "UPDATED", True),
        ("PROVISIONING_DECISION", "DENIED", False),
    ]
    let_in = found["entries"][1]
    assert (let_in["certificateId"], let_in["claimCertificateId"]) == (certificate, hook_events.CLAIM_CERTIFICATE)
    assert let_in["at"].endswith("Z") and found["registry"]["status"] == "provisioning" and found["serialNumber"] == SERIAL
    out = fleetgate("audit", SERIAL)[1]
    for said in ("denied by the hook", "unknown_serial", "let in by the hook", certificate[:12], "first connection", "now: "):
        assert said in out
    assert certificate not in out and out.index("let in") < out.index("thing created") < out.index("first connection")


def test_a_thing_that_neither_catalogue_nor_row_names_any_more_is_found_by_the_decision(fleetgate, hook, registry):
    registry.put()
    hook(hook_events.request(), minutes_ago=2)
    at = int((time.time() - 60) * 1000)
    old = {
        "subject": {"S": SERIAL},
        "id": {"S": f"{at}#old"},
        "timestamp": {"N": str(at)},
        "thingName": {"S": f"retired-{SERIAL}"},
    }
    boto3.client("dynamodb").put_item(TableName=lambdas.AUDIT_TABLE, Item=old)  # of no kind that this version knows
    entry(f"retired-{SERIAL}", at + 5, "THING_EVENT", "DELETED")
    found = history(fleetgate, SERIAL)[1]["entries"]
    assert [one.get("operation") for one in found] == ["ALLOWED", None, "DELETED"]
    assert "thing deleted" in fleetgate("audit", SERIAL)[1]


def test_a_decision_that_stays_in_the_log_is_shown_and_told(fleetgate, hook):
    hook(hook_events.request(), minutes_ago=9, kept=False)
    status, found, err = history(fleetgate, SERIAL)
    assert status == 0 and [one["kept"] for one in found["entries"]] == [False]
    assert "1 decision of the hook stand" in err and "docs/runbook.md, heading audit-trail" in err


def test_the_log_is_looked_through_as_far_back_as_asked_and_the_table_to_its_beginning(fleetgate, hook):
    hook(hook_events.request("a"), minutes_ago=90, kept=False)
    hook(hook_events.request("b"), minutes_ago=95)
    hook(hook_events.request("c"), minutes_ago=60 * 24 * 13, kept=False)
    found = history(fleetgate, SERIAL)
    assert [one["kept"] for one in found[1]["entries"]] == [False, True, False]
    assert "the hook's log of the last 336 h (--since looks further back)" in found[2]
    assert [one["kept"] for one in history(fleetgate, SERIAL, "--since", "24")[1]["entries"]] == [True, False]
    assert [one["kept"] for one in history(fleetgate, SERIAL, "--since", "0.5")[1]["entries"]] == [True]


def test_devices_that_said_no_serial_number_have_a_history_of_their_own(fleetgate, hook):
    hook(hook_events.request("a", SerialNumber="TEMP 1"))
    hook(hook_events.request("b", SerialNumber="-----BEGIN CERTIFICATE-----"), kept=False)
    hook(hook_events.request("c"))
    status, found, _ = history(fleetgate, "--unreadable")
    assert status == 0 and [one["reason"] for one in found["entries"]] == ["malformed_serial"] * 2
    assert all("serialNumber" not in one for one in found["entries"]) and found["serialNumber"] is None
    assert "BEGIN" not in json.dumps(found) and fleetgate("audit", "--unreadable")[1].count("malformed_serial") == 2
    assert len(history(fleetgate, SERIAL)[1]["entries"]) == 1


def test_deeds_are_in_the_history_of_their_device(fleetgate, hook, registry):
    registry.put(status="active", certificateId="c" * 64)
    assert fleetgate("registry", "revoke", SERIAL, "--yes")[0] == 0
    [deed] = history(fleetgate, SERIAL)[1]["entries"]
    assert (deed["eventType"], deed["operation"], deed["complete"]) == ("DEED", "REGISTRY REVOKE", True)
    assert lambdas.ACCOUNT in deed["who"] and "active -> revoked" in deed["done"][0]
    out = " ".join(fleetgate("audit", SERIAL)[1].split())
    assert "registry revoke" in out and "now: revoked" in out


def test_a_stranger_who_says_a_things_name_as_its_serial_number_is_not_in_that_devices_history(fleetgate, hook, registry):
    registry.put()
    hook(hook_events.request("device"), minutes_ago=5)
    hook(hook_events.request("stranger", SerialNumber=THING), minutes_ago=4)
    strangers = hook_events.certificate("stranger")[1]
    at = int((time.time() - 3 * 60) * 1000)
    entry(THING, at, "ONBOARDING", "CONNECTED", certificateId=strangers)
    entry(THING, at + 1, "DEED", "REGISTRY REVOKE")
    entry(THING, at + 2, "THING_EVENT", "CREATED")
    entry(THING, at + 3, "DEED", "ORPHANS")
    entry(strangers, at + 4, "CERTIFICATE_EVENT", "UPDATED")
    found = history(fleetgate, SERIAL)[1]["entries"]
    assert [one["operation"] for one in found] == ["ALLOWED", "CREATED", "ORPHANS"]
    assert strangers not in json.dumps(found)
    own = [one["operation"] for one in history(fleetgate, THING)[1]["entries"]]  # it is in that serial number's own
    assert own.count("DENIED") == 1 and "REGISTRY REVOKE" in own and "UPDATED" in own


def test_what_was_done_with_a_strangers_certificate_is_not_in_the_history_of_the_device_that_it_claimed_to_be(
    fleetgate, hook, registry
):
    device, thief = (hook_events.certificate(name)[1] for name in ("device", "thief"))
    registry.put(status="active", certificateId=device, thingName=THING)
    hook(hook_events.request("thief"), minutes_ago=9)
    at = int((time.time() - 300) * 1000)
    entry(thief, at, "CERTIFICATE_EVENT", "UPDATED")
    entry(thief, at + 1, "DEED", "ORPHANS", who="arn:operator")
    entry(device, at + 2, "CERTIFICATE_EVENT", "UPDATED")
    found = history(fleetgate, SERIAL)[1]["entries"]
    assert [(one["eventType"], one["subject"]) for one in found] == [
        ("PROVISIONING_DECISION", SERIAL),
        ("CERTIFICATE_EVENT", device),  # which only the row names
    ]


def test_who_registered_a_serial_number_is_in_its_history(fleetgate, hook, registry):
    assert fleetgate("registry", "add", "--type", hook_events.TYPE, SERIAL)[0] == 0
    hook(hook_events.request())
    first, second = history(fleetgate, SERIAL)[1]["entries"]
    assert (first["operation"], second["operation"]) == ("REGISTRY ADD", "ALLOWED") and lambdas.ACCOUNT in first["who"]


def test_a_thing_that_is_asked_about_names_its_serial_number(fleetgate, hook, registry):
    registry.put(status="active")
    entry(THING, int(time.time() * 1000), "THING_EVENT", "CREATED")
    status, out, _ = fleetgate("audit", THING)
    assert status == 0 and f"-> fleetgate audit --env moto {SERIAL}\n" in out and "not in the registry" not in out


def test_a_device_that_never_asked_has_no_history_and_a_typo_is_told(fleetgate, hook, registry):
    registry.put()
    status, out, _ = fleetgate("audit", SERIAL)
    assert status == 1 and "it never asked to come in" in out
    status, out, err = fleetgate("audit", SERIAL.lower())
    assert status == 1 and "has nothing about" in out and "not in the registry" in out and f"did you mean {SERIAL}?" in err
    status, found, err = history(fleetgate, SERIAL.lower())  # AWS was asked, and 2 is for where it could not be
    assert status == 1 and (found["entries"], found["registry"]) == ([], None) and f"did you mean {SERIAL}?" in err
    status, out, _ = fleetgate("audit", "--unreadable")
    assert status == 1 and "no device" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "wants a serial number, or --unreadable"),
        ([SERIAL, "--unreadable"], "wants a serial number, or --unreadable"),
        (["TEMP 1"], "fleetgate audit --unreadable"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(fleetgate, registry, words, said):
    status, out, err = fleetgate("audit", *words)
    assert (status, out) == (2, "") and said in err


@pytest.mark.parametrize("words", [f"audit {SERIAL}", f"registry why {SERIAL}", f"doctor {SERIAL}", "dashboard"])
@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e300", "a day"])
def test_a_period_that_is_none_is_wrong_usage_of_each_command(fleetgate, capsys, words, hours):
    with pytest.raises(SystemExit) as ended:
        fleetgate(*words.split(), f"--since={hours}")
    assert ended.value.code == 2 and "is not a number of hours" in capsys.readouterr().err


def test_without_log_or_table_the_command_that_makes_them_is_named(fleetgate, registry):
    status, _, err = fleetgate("audit", SERIAL)
    assert status == 2 and GROUP in err and "make apply ENV=moto" in err
    boto3.client("logs").create_log_group(logGroupName=GROUP)
    boto3.client("dynamodb").delete_table(TableName=lambdas.AUDIT_TABLE)
    status, _, err = fleetgate("audit", SERIAL)
    assert status == 2 and f"table {lambdas.AUDIT_TABLE}: does not exist" in err and "make apply ENV=moto" in err


def test_a_deed_that_the_table_does_not_take_is_done_and_stands_in_the_file(fleetgate, registry, checkout):
    registry.put()
    boto3.client("dynamodb").delete_table(TableName=lambdas.AUDIT_TABLE)
    status, out, err = fleetgate("registry", "revoke", SERIAL, "--yes")
    assert status == 0 and "is revoked" in out and "did not take the entry of" in err and "keep that file" in err
    [line] = (checkout / "build/moto/audit.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "registry revoke"
