"""Hook, audit function and `fleetgate audit` read a decision alike, and agree with Terraform on where it goes."""

from __future__ import annotations

import json
import re

import pytest

import hook_events
import lambdas
from checkouts import ROOT
from fleetgate import audit, catalogue, decisions, package, registry_events

hook = lambdas.modules("provisioning_hook", "decision", "report", "settings")
trail = lambdas.modules("audit", "trail").trail
DENIED = hook.decision.Decision(hook.decision.Reason.REVOKED, hook_events.THING, {})
ALLOWED = hook.decision.Decision(None, hook_events.THING, {})
STRANGE = ["", "TEMP 1", "TEMP€", "\ud800", "-----BEGIN CERTIFICATE-----", "T" * 65, "_-9", 7, None]


def line(event, decision, request_id="request-1"):
    rules = hook.decision.Rules(lambdas.TEMPLATE_ARN, frozenset(), {hook_events.TYPE: None})
    return hook.report.line(event, decision, rules, 1_795_424_400_123, request_id)


LINES = {
    "denied": line(hook_events.request(), DENIED),
    "allowed": line(hook_events.request(), ALLOWED),
    "no request id": line(hook_events.request(), DENIED, None),
    "nothing": line({}, hook.decision.Decision(hook.decision.Reason.MALFORMED_EVENT, None, {})),
    **{f"serial {sent!r:.20}": line(hook_events.request(SerialNumber=sent), DENIED) for sent in STRANGE},
    "client": line(hook_events.request() | {"clientId": "\ud800" * 200}, DENIED),
}


@pytest.mark.parametrize("said", LINES.values(), ids=LINES)
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: json.dumps({"message": text})], ids=["plain", "wrapped"])
def test_the_function_and_the_command_make_the_same_entry_of_the_hooks_line(said, wrap):
    written = trail.entry(wrap(said))
    assert audit.entries_of(decisions.decisions_in([wrap(said)])) == [written]
    assert {"subject", "id", "timestamp", "eventType", "operation", "reason", "deviceType", "templateName"} <= written.keys()


SAYS = {"event": "provisioning_decision", "serialNumber": "TEMP-000001", "allowed": True, "reason": "allowed"}
ODD = {
    "no time": SAYS,
    "a time that is text": SAYS | {"_aws": {"Timestamp": "x"}},
    "a time that is true": SAYS | {"_aws": {"Timestamp": True}},
    "a time after the year 9999": SAYS | {"_aws": {"Timestamp": 10**18}},
    "a time that is none": SAYS | {"_aws": {"Timestamp": 0}},
    "metadata that is a list": SAYS | {"_aws": []},
    "not whether": SAYS | {"allowed": None, "_aws": {"Timestamp": 1}},
    "another event": SAYS | {"event": "x", "_aws": {"Timestamp": 1}},
}


@pytest.mark.parametrize("said", [*map(json.dumps, ODD.values()), "[" * 50_000, "7", "\x00"], ids=[*ODD, "brackets", "7", "NUL"])
def test_what_is_no_decision_to_the_function_is_none_to_the_commands(said):
    with pytest.raises(trail.NotADecision):
        trail.entry(said)
    assert decisions.decisions_in([said]) == []


def test_they_call_things_alike():
    assert trail.EVENT == decisions.EVENT and trail.EVENT_TYPE == audit.DECISION and trail.UNREADABLE == audit.UNREADABLE
    assert trail._SERIAL.pattern == catalogue.SERIAL and trail._FIELDS == audit._FIELDS
    assert not audit.is_serial(audit.UNREADABLE)


def test_the_subscription_delivers_every_line_of_a_decision_and_the_log_is_the_one_that_the_command_reads(fleet):
    text = (ROOT / "terraform/modules/audit/lambda.tf").read_text(encoding="utf-8")
    assert f'filter_pattern  = "\\"{decisions.EVENT}\\""' in text
    assert all(decisions.EVENT in said for said in LINES.values())
    hook_module = (ROOT / "terraform/modules/provisioning/lambda.tf").read_text(encoding="utf-8")
    assert '"/aws/lambda/${local.hook_name}"' in hook_module
    assert fleet.names.hook == "fleetgate-provisioning-hook"  # decisions.Log puts /aws/lambda/ before it


def test_the_audit_function_knows_nothing_of_the_catalogue(fleet):
    assert package.catalogue_slice("audit", fleet.catalogue, fleet.names) == {}


def test_the_hook_makes_no_second_call_and_knows_nothing_of_the_trail():
    """What is kept for good comes from its log line; the gate waits for nobody but the registry."""
    sources = package.sources(ROOT, "provisioning_hook")
    assert [name for name, text in sources.items() if b"put_item" in text or b"AUDIT" in text or b"audit" in text] == []


def test_a_registry_event_that_is_sent_again_gets_the_key_that_its_rule_would_have_given_it():
    """What the rules say in AWS IoT's SQL stands in `fleetgate redrive audit` as well."""
    text = (ROOT / "terraform/modules/audit/rules.tf").read_text(encoding="utf-8")
    [named] = re.findall(r'_named = "(.*)"', text)
    rules = re.findall(r'topic = "(.*?)", subject = "(.*?)", about = ".*?"(, columns = local._named)?', text)
    columns = {topic: tuple(named.split(", ")) if narrow else None for topic, _, narrow in rules}
    ours = {topic: (rule.subject, rule.fields) for topic, rule in registry_events.RULES.items()}
    assert {topic: (subject, columns[topic]) for topic, subject, _ in rules} == ours
    assert "_id = \"timestamp + '#' + eventId + '#' + eventType AS id\"" in text
    constants = [f"'{value}' AS {name}" for name, value in registry_events.OF_A_CA_CONSTANTS.items()]
    assert f'columns = "{", ".join([*registry_events.OF_A_CA_FIELDS, *constants])}"' in text
    assert f'topic   = "{registry_events.OF_A_CA}"' in text and "id      = \"timestamp + '#' + certificateId AS id\"" in text
    assert f"FROM '{registry_events.TOPIC}${{rule.topic}}'" in text


def test_queues_and_functions_have_the_names_that_terraform_gives_them(fleet):
    for module, name in (("audit", fleet.names.audit_dead_letter), ("onboarding", fleet.names.onboarding_dead_letter)):
        text = (ROOT / "terraform/modules" / module / "sqs.tf").read_text(encoding="utf-8")
        assert f'"${{var.prefix}}{name.removeprefix(fleet.names.prefix)}"' in text
    assert f'"${{var.prefix}}{fleet.names.audit.removeprefix(fleet.names.prefix)}"' in (
        ROOT / "terraform/modules/audit/main.tf"
    ).read_text(encoding="utf-8")
