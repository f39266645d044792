"""The line a decision leaves in the log, and what must never be in it."""

import json

import pytest

import hook_events
import lambdas

hook = lambdas.modules("provisioning_hook", "decision", "report", "settings")
NOW = 1_795_424_400_123
DENIED = hook.decision.Decision(hook.decision.Reason.REVOKED, hook_events.THING, {})
ALLOWED = hook.decision.Decision(None, hook_events.THING, {"Location": "secret-hall"})


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hook")
    (folder / "catalogue.json").write_text(json.dumps(lambdas.HOOK_CATALOGUE))
    return hook.settings.load(lambdas.HOOK_ENVIRONMENT, folder).rules


def line(event, rules, decision=DENIED):
    return hook.report.line(event, decision, rules, NOW, "request-1")


def test_a_denial_names_its_reason_and_counts_it(rules):
    assert json.loads(line(hook_events.request(), rules)) == {
        "event": "provisioning_decision",
        "allowed": False,
        "reason": "revoked",
        "serialNumber": hook_events.SERIAL,
        "thingName": hook_events.THING,
        "certificateId": hook_events.certificate("device")[1],
        "claimCertificateId": hook_events.CLAIM_CERTIFICATE,
        "clientId": "fleetgate-claim-1",
        "requestId": "request-1",
        "TemplateName": "fleetgate-fleet",
        "DeviceType": "temperature-sensor",
        "Reason": "revoked",
        "Decisions": 1,
        "_aws": {
            "Timestamp": NOW,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Fleetgate",
                    "Dimensions": [["TemplateName", "DeviceType", "Reason"], ["TemplateName", "Reason"]],
                    "Metrics": [{"Name": "Decisions", "Unit": "Count"}],
                }
            ],
        },
    }


def test_an_allowance_is_counted_as_one(rules):
    record = json.loads(line(hook_events.request(), rules, ALLOWED))
    assert (record["allowed"], record["reason"], record["Reason"]) == (True, "allowed", "allowed")


def denied(reason):
    return hook.decision.Decision(reason, hook_events.THING, {})


PROVOKED = (hook.decision.Reason.MALFORMED_FIRMWARE, hook.decision.Reason.ALREADY_PROVISIONED)


@pytest.mark.parametrize("decision", [ALLOWED, *map(denied, PROVOKED)], ids=["allowed", *PROVOKED])
def test_a_canary_of_the_smoke_checks_is_counted_apart_so_that_it_fires_no_alarm(decision, rules):
    record = json.loads(line(hook_events.request(SerialNumber="TEMP-000000"), rules, decision))
    [directive] = record["_aws"]["CloudWatchMetrics"]
    assert (record["CanaryDecisions"], "Decisions" in record) == (1, False)
    assert directive["Metrics"] == [{"Name": "CanaryDecisions", "Unit": "Count"}]
    assert directive["Dimensions"] == [["TemplateName", "Reason"]]
    assert (record["event"], record["serialNumber"]) == ("provisioning_decision", "TEMP-000000")


@pytest.mark.parametrize(
    "sent",
    [
        {"SerialNumber": "TEMP-000000", "DeviceType": "gateway"},
        {"SerialNumber": "TEMP-000000", "DeviceType": "toaster"},
        {"SerialNumber": "TEMP-000000 "},
        {"SerialNumber": ["TEMP-000000"]},
        {"SerialNumber": None},
    ],
    ids=["another type's", "a type that there is not", "almost one", "a list", "nothing"],
)
def test_what_is_no_canary_counts_as_a_device(sent, rules):
    record = json.loads(line(hook_events.request(**sent), rules, denied(PROVOKED[0])))
    assert (record["Decisions"], "CanaryDecisions" in record) == (1, False)


@pytest.mark.parametrize("reason", [reason for reason in hook.decision.Reason if reason not in PROVOKED])
def test_a_denial_that_no_smoke_check_provokes_counts_as_a_devices_whoever_says_the_canarys_serial(reason, rules):
    record = json.loads(line(hook_events.request(SerialNumber="TEMP-000000"), rules, denied(reason)))
    assert (record["Decisions"], "CanaryDecisions" in record) == (1, False)


@pytest.mark.parametrize("kind", ["toaster", "", "gateway\n", ["gateway"], {"a": 1}, None, 7, True])
def test_a_type_outside_the_catalogue_makes_no_metric_of_its_own(kind, rules):
    event = hook_events.request()
    event["parameters"]["DeviceType"] = kind
    assert json.loads(line(event, rules))["DeviceType"] == "unknown"


@pytest.mark.parametrize("event", [None, [], "x", {"parameters": 1}, {"certificateId": {}, "clientId": []}, {}])
def test_a_malformed_event_still_leaves_its_line(event, rules):
    record = json.loads(line(event, rules))
    assert (record["serialNumber"], record["certificateId"], record["clientId"]) == (None, None, None)


@pytest.mark.parametrize("decision", [DENIED, ALLOWED], ids=["denied", "allowed"])
def test_neither_the_certificate_nor_another_parameter_is_logged(decision, rules):
    event = hook_events.request(Location="secret-hall", Manufacturer="secret-maker", FirmwareVersion="secret-version")
    text = line(event, rules, decision)
    assert "secret" not in text
    assert "BEGIN" not in text
    assert event["certificatePem"].splitlines()[1] not in text


@pytest.mark.parametrize(
    "place", ["certificateId", "claimCertificateId", "clientId", "SerialNumber"], ids=lambda place: f"as {place}"
)
def test_a_certificate_in_the_wrong_field_is_not_logged_either(place, rules):
    event = hook_events.request()
    target = event["parameters"] if place == "SerialNumber" else event
    target[place] = event["certificatePem"]
    assert event["certificatePem"].splitlines()[1] not in line(event, rules)
    assert "BEGIN" not in line(event, rules)


def test_what_a_stranger_sends_is_cut_and_stays_one_line(rules):
    event = hook_events.request(SerialNumber="x\n" * 1000 + "\ud800")
    event["clientId"] = "c" * 1000
    text = line(event, rules)
    assert "\n" not in text
    assert text.isascii()
    assert len(json.loads(text)["serialNumber"]) == len(json.loads(text)["clientId"]) == 128
