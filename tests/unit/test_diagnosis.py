"""The judgement of a diagnosis, from facts alone: what stands first in the way, what only follows from it, what is in order."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from fleetgate import cli, decisions, diagnosis, diagnosis_facts
from fleetgate.device_view import Certificate
from fleetgate.diagnosis import (
    Cause,
    Claim,
    Facts,
    Failure,
    Hook,
    Kind,
    Look,
    Message,
    Policy,
    State,
    Template,
    Thing,
    Throttled,
    diagnose,
    read_message,
)
from fleetgate.diagnosis_checks import PARTS
from fleetgate.diagnosis_logs import failure_in
from fleetgate.errors import FleetgateError

NOW = 1_800_000_000_000
CLAIM, OTHER_CLAIM, CERTIFICATE = "a" * 64, "b" * 64, "c" * 64
SERIAL, THING, TYPE = "TEMP-000001", "temperature-sensor-TEMP-000001", "temperature-sensor"


def decided(reason="allowed", at_ms=NOW - 60_000, **fields):
    record = {
        "reason": reason,
        "allowed": reason == "allowed",
        "serialNumber": SERIAL,
        "DeviceType": TYPE,
        "certificateId": CERTIFICATE,
        "claimCertificateId": CLAIM,
        "_aws": {"Timestamp": at_ms},
    }
    return decisions.explain(record | fields, "prod") | {"atMilliseconds": at_ms}


OWN = Certificate(CERTIFICATE, "ACTIVE", "2026-01-01T00:00:00Z", True, True, ("fleetgate-temperature-sensor",), ())
ROW = {
    "serialNumber": SERIAL,
    "deviceType": TYPE,
    "status": "active",
    "certificateId": CERTIFICATE,
    "thingName": THING,
    "leasedAt": NOW - 60_000,
    "firstConnectedAt": "2026-01-01T00:00:00Z",
}
#: A device that is in and connected, and a gate that is open.
IN = Facts(
    env="prod",
    now_ms=NOW,
    serial=SERIAL,
    thing_name=THING,
    claims=(Claim(CLAIM, "factory-1", "ACTIVE", ("fleetgate-claim",)),),
    used_claims=frozenset({CLAIM}),
    claim_policy=Policy("fleetgate-claim", True),
    template=Template("fleetgate-fleet", True, hook_arn="arn:hook"),
    hook=Hook("fleetgate-provisioning-hook", True, "arn:hook", frozenset({CLAIM})),
    decisions=(decided(),),
    row=ROW,
    kind=Kind(TYPE, TYPE, "temperature-sensor-devices", False, Policy("fleetgate-temperature-sensor", True)),
    certificates=(OWN,),
    thing=Thing(THING, TYPE, ("temperature-sensor-devices",)),
    connection={"connected": True},
    has_shadow=True,
)
#: One that may come in and has not asked yet.
OUT = replace(
    IN, decisions=(), row={"serialNumber": SERIAL, "deviceType": TYPE, "status": "registered"}, certificates=(), thing=None
)
#: One that the hook let in a minute ago and that has not become a thing.
HALF = replace(
    IN,
    row={**ROW, "status": "provisioning", "leaseExpiresAt": NOW - 1},
    certificates=(replace(OWN, status="PENDING_ACTIVATION", is_attached=False, policies=()),),
    thing=None,
)


def first(facts):
    return [finding.cause for finding in diagnose(facts, PARTS).causes][:1]


def failed(cause, **fields):
    return replace(OUT.hook, failure=replace(Failure(cause, "2027-01-15T07:59:00Z", NOW - 30_000, "said"), **fields))


def kind(**fields):
    return replace(IN.kind, **fields)


def certificate(**fields):
    return (replace(OWN, **fields),)


CASES = {
    Cause.THROTTLED: replace(OUT, message=Message(429, "", "")),
    Cause.TOKEN_INVALID: replace(
        OUT, message=Message(400, "InvalidCertificateOwnershipToken", "Certificate ownership token is invalid.")
    ),
    Cause.SERVICE_FAILED: replace(OUT, message=Message(500, "InternalFailure", "")),
    Cause.UNEXPLAINED: replace(OUT, message=Message(403, "AccessDenied", "Access Denied")),
    Cause.CLAIM_MISSING: replace(OUT, claims=(Claim(CLAIM, "factory-1"),)),
    Cause.CLAIM_INACTIVE: replace(OUT, claims=(Claim(CLAIM, "factory-1", "INACTIVE", ("fleetgate-claim",)),)),
    Cause.CLAIM_UNKNOWN: replace(OUT, hook=replace(OUT.hook, claims=frozenset({OTHER_CLAIM}))),
    Cause.CLAIM_POLICY_MISSING: replace(OUT, claims=(Claim(CLAIM, "factory-1", "ACTIVE", ()),)),
    Cause.CLAIM_POLICY_WRONG: replace(OUT, claim_policy=Policy("fleetgate-claim", True, is_rendered=False)),
    Cause.TEMPLATE_MISSING: replace(OUT, template=Template("fleetgate-fleet", False)),
    Cause.TEMPLATE_DISABLED: replace(OUT, template=replace(OUT.template, is_enabled=False)),
    Cause.TEMPLATE_OUT_OF_VERSIONS: replace(OUT, template=replace(OUT.template, is_rendered=False, versions=5)),
    Cause.HOOK_MISSING: replace(OUT, hook=Hook("fleetgate-provisioning-hook", False)),
    Cause.HOOK_NOT_ASKED: replace(OUT, template=replace(OUT.template, hook_arn="")),
    Cause.HOOK_NOT_CALLABLE: replace(OUT, hook=replace(OUT.hook, is_callable=False)),
    Cause.HOOK_THROTTLED: replace(OUT, hook=replace(OUT.hook, reserved=0)),
    Cause.HOOK_LACKS_PERMISSION: replace(OUT, hook=replace(OUT.hook, may_write=False)),
    Cause.HOOK_TIMED_OUT: replace(OUT, hook=failed(Cause.HOOK_TIMED_OUT)),
    Cause.HOOK_CRASHED: replace(OUT, hook=failed(Cause.HOOK_CRASHED)),
    Cause.HOOK_DENIED: replace(OUT, decisions=(decided("firmware_too_old"),)),
    Cause.ROW_MISSING: replace(OUT, row=None),
    Cause.ROW_REVOKED: replace(
        IN, row={**ROW, "status": "revoked", "revokedReason": "stolen"}, certificates=certificate(status="INACTIVE")
    ),
    Cause.TYPE_UNKNOWN: replace(OUT, row={**OUT.row, "deviceType": "gone"}, kind=None),
    Cause.LEASE_RUNNING: replace(HALF, row={**HALF.row, "leasedAt": NOW - 1000, "leaseExpiresAt": NOW + 1000}, certificates=()),
    Cause.CERTIFICATE_MISSING: replace(IN, certificates=certificate(status="missing", is_attached=False)),
    Cause.CERTIFICATE_PENDING: HALF,
    Cause.CERTIFICATE_INACTIVE: replace(IN, certificates=certificate(status="INACTIVE")),
    Cause.CERTIFICATE_UNATTACHED: replace(IN, certificates=certificate(is_attached=False, policies=())),
    Cause.THING_TYPE_MISSING: replace(HALF, kind=kind(thing_type_state="deprecated")),
    Cause.THING_MISSING: replace(IN, thing=None, certificates=()),
    Cause.ROLE_LACKS_PERMISSION: replace(HALF, template=replace(HALF.template, role_lacks=("iot:CreateThing",))),
    Cause.REGISTRATION_FAILED: replace(HALF, certificates=()),
    Cause.GROUP_MISSING: replace(HALF, kind=kind(has_group=False)),
    Cause.NOT_IN_GROUP: replace(IN, thing=replace(IN.thing, groups=("other",))),
    Cause.POLICY_MISSING: replace(HALF, kind=kind(policy=Policy("fleetgate-temperature-sensor", False))),
    Cause.POLICY_NOT_ATTACHED: replace(IN, certificates=certificate(policies=())),
    Cause.POLICY_CHANGED: replace(IN, kind=kind(policy=Policy("fleetgate-temperature-sensor", True, is_rendered=False))),
    Cause.NEVER_CONNECTED: replace(
        IN, row={**{k: v for k, v in ROW.items() if k != "firstConnectedAt"}, "status": "provisioned"}, connection=None
    ),
    Cause.NOT_CONNECTED: replace(IN, connection={"connected": False, "disconnectReason": "MQTT_KEEP_ALIVE_TIMEOUT"}),
    Cause.NOT_ONBOARDED: replace(IN, row={**ROW, "status": "provisioning"}, dead_letters=2),
    Cause.SHADOW_MISSING: replace(IN, has_shadow=False),
}


def test_every_cause_but_the_one_that_never_stands_in_the_way_has_a_case():
    assert set(Cause) - set(CASES) == {Cause.TEMPLATE_CHANGED}
    found = diagnose(replace(OUT, template=replace(OUT.template, is_rendered=False)), PARTS)
    assert found.is_healthy and [finding.cause for finding in found.notes] == [Cause.TEMPLATE_CHANGED]


@pytest.mark.parametrize("cause", CASES, ids=str)
def test_a_cause_comes_first_with_what_it_is_and_a_next_step(cause):
    found = diagnose(CASES[cause], PARTS)
    assert found.causes[0].cause is cause and not found.is_healthy
    assert found.causes[0].what and found.causes[0].next_step
    assert next(link for link in found.chain if link.stage is found.causes[0].stage).state is State.CAUSE


@pytest.mark.parametrize("cause", CASES, ids=str)
def test_a_next_step_names_only_commands_that_there_are_with_their_environment(cause):
    for finding in diagnose(CASES[cause], PARTS).causes:
        assert not re.search(r"\{\w*\}", finding.next_step.replace("{}", ""))
        for command in re.findall(r"fleetgate ([a-z][^;,&|()]*?)(?= then |[;,&|()]|$)", finding.next_step):
            if "--help" in command:
                continue
            assert "--env prod" in command, finding
            cli.parser().parse_args(command.split())


@pytest.mark.parametrize("facts", [IN, OUT, replace(OUT, row=None, kind=kind(open_enrolment=True))], ids=["in", "out", "open"])
def test_what_is_in_order_has_no_cause(facts):
    found = diagnose(facts, PARTS)
    assert found.is_healthy and found.notes == () and json.dumps(found.to_json())
    states = {link.state for link in found.chain}
    assert states == ({State.OK} if facts is IN else {State.OK, State.NOT_REACHED})


@pytest.mark.parametrize(
    "active, step",
    [
        ({"factory-2": OTHER_CLAIM}, "use an active claim: factory-2"),
        ({"factory-1-r4": ""}, "claim factory-1-r4 stands in its place, and is not applied yet: fleetgate plan --env prod && "),
        ({}, "fleetgate claim rotate factory-1 --env prod"),
    ],
    ids=["another is active", "its successor waits", "no other"],
)
def test_a_claim_that_the_environments_file_retires_was_not_switched_off_past_it(active, step):
    retired = Claim(CLAIM, "factory-1", "INACTIVE", ("fleetgate-claim",), is_retired_here=True)
    hook = replace(OUT.hook, claims=frozenset({CLAIM, OTHER_CLAIM}))
    [finding] = diagnose(replace(OUT, claims=(retired,), hook=hook, active_claims=active), PARTS).causes
    assert finding.cause is Cause.CLAIM_INACTIVE and finding.next_step.startswith(step)
    assert "retired in terraform/envs/prod.yaml, and that is not applied yet" in finding.evidence


@pytest.mark.parametrize(
    "age_minutes, option",
    [(0.1, " --older-than 0;"), (12.5, " --older-than 12;"), (60.1, " --older-than 59;"), (70, ";")],
    ids=["seconds", "minutes", "the hour", "older"],
)
@pytest.mark.parametrize("cause", [Cause.THING_MISSING, Cause.CERTIFICATE_UNATTACHED], ids=str)
def test_a_device_that_has_lost_its_thing_young_is_one_that_the_named_search_finds(cause, age_minutes, option):
    """Without the option that search says that there are no orphans, and points back here."""
    facts = CASES[cause]
    facts = replace(facts, row={**facts.row, "leasedAt": NOW - int(age_minutes * 60_000)})
    assert f"fleetgate orphans --env prod{option}" in diagnose(facts, PARTS).causes[0].next_step


def test_what_follows_from_a_cause_is_told_after_it_and_what_it_explains_not_at_all():
    leased = {**HALF.row, "leaseExpiresAt": NOW + 60_000}
    found = diagnose(replace(HALF, row=leased, kind=kind(has_group=False), message=Message(400, "", "")), PARTS)
    assert [finding.cause for finding in found.causes] == [Cause.GROUP_MISSING, Cause.LEASE_RUNNING, Cause.CERTIFICATE_PENDING]
    assert str(found.came_as_far_as) == "hook"


@pytest.mark.parametrize(
    "broken",
    [Cause.CLAIM_INACTIVE, Cause.TEMPLATE_DISABLED, Cause.HOOK_NOT_CALLABLE, Cause.HOOK_TIMED_OUT, Cause.HOOK_LACKS_PERMISSION],
    ids=str,
)
def test_a_broken_gate_is_not_in_the_way_of_a_device_that_has_come_in(broken):
    gate = CASES[broken]
    facts = replace(IN, claims=gate.claims, template=gate.template, hook=gate.hook)
    found = diagnose(facts, PARTS)
    assert found.is_healthy and broken in [finding.cause for finding in found.notes]
    assert first(replace(facts, message=Message(403, "", ""))) == [broken]  # but in that of one that comes again


def test_a_retired_claim_counts_only_for_a_device_that_has_it():
    retired = Claim(OTHER_CLAIM, "factory-0", "INACTIVE", ("fleetgate-claim",))
    assert first(replace(OUT, claims=(*OUT.claims, retired))) == []
    found = diagnose(replace(OUT, claims=(retired,), used_claims=frozenset({OTHER_CLAIM})), PARTS)
    assert [finding.cause for finding in found.causes] == [Cause.CLAIM_INACTIVE, Cause.CLAIM_UNKNOWN]
    assert "it is retired" in found.causes[0].evidence


@pytest.mark.parametrize(
    "reason, status, settled",
    [
        ("unknown_serial", "registered", True),
        ("unknown_serial", "revoked", False),
        ("unknown_claim", "registered", True),
        ("revoked", "registered", True),
        ("already_provisioned", "registered", True),
        ("already_provisioned", "active", False),
        ("lease_running", "registered", True),
        ("raced", "provisioning", True),
        ("firmware_too_old", "registered", False),
        ("registry_unavailable", "registered", False),
        ("a_newer_hooks_reason", "registered", False),
    ],
)
def test_a_refusal_that_has_been_put_right_since_is_a_note(reason, status, settled):
    row = {**OUT.row, "status": status, "leasedAt": NOW, "leaseExpiresAt": NOW - 1}
    found = diagnose(replace(OUT, row=row, decisions=(decided(reason),)), PARTS)
    assert (Cause.HOOK_DENIED in [finding.cause for finding in found.notes]) is settled
    assert (Cause.HOOK_DENIED in [finding.cause for finding in found.causes]) is not settled


def test_a_refusal_by_a_lease_that_is_over_is_settled_and_one_that_runs_is_not():
    refused = (decided("lease_running"),)
    running = {**HALF.row, "leasedAt": NOW - 1000, "leaseExpiresAt": NOW + 1000}
    assert first(replace(HALF, row=running, certificates=(), decisions=refused)) == [Cause.HOOK_DENIED]
    over = {**running, "leaseExpiresAt": NOW - 1}
    assert first(replace(HALF, row=over, certificates=(), decisions=refused)) == []


@pytest.mark.parametrize("time", [None, "x", "1.5", -1, 10**37], ids=str)
@pytest.mark.parametrize("status", [{}, {"status": "provisioning"}], ids=["no status", "provisioning"])
def test_a_row_that_somebody_made_by_hand_is_judged_by_what_it_says(status, time):
    row = {"serialNumber": SERIAL, **status} | ({} if time is None else {"leasedAt": time, "leaseExpiresAt": time})
    for facts in (IN, HALF, OUT):
        found = diagnose(replace(facts, row=row), PARTS)
        assert Cause.LEASE_RUNNING not in [cause.cause for cause in found.causes]
        assert found.facts.status == status.get("status", "unknown")


def test_a_failure_of_the_hook_counts_until_the_hook_has_decided_again():
    assert first(replace(OUT, hook=failed(Cause.HOOK_CRASHED, is_over=True))) == []
    assert first(replace(OUT, hook=failed(Cause.HOOK_CRASHED), decisions=(decided(at_ms=NOW - 1),))) == []
    assert first(replace(OUT, hook=failed(Cause.HOOK_CRASHED), decisions=(decided(at_ms=NOW - 40_000),))) == [Cause.HOOK_CRASHED]


def test_throttling_of_the_hook_counts_until_the_hook_has_decided_again():
    throttled = replace(OUT, hook=replace(OUT.hook, throttled=Throttled("2027-01-15T07:59:00Z", NOW - 30_000)))
    assert first(throttled) == [Cause.HOOK_THROTTLED]
    assert first(replace(throttled, decisions=(decided(at_ms=NOW - 1),))) == []
    over = diagnose(replace(OUT, hook=replace(OUT.hook, throttled=Throttled("", NOW - 30_000, is_over=True))), PARTS)
    assert over.is_healthy and [finding.cause for finding in over.notes] == [Cause.HOOK_THROTTLED]


@pytest.mark.parametrize("part", sorted({look for part in PARTS for look in part.looks}))
def test_what_could_not_be_looked_at_is_neither_a_cause_nor_in_order(part):
    blind = replace(
        OUT,
        unseen={part: "these credentials may not"},
        **{
            "claims": {"claims": ()},
            "claim policy": {"claim_policy": Policy("", True)},
            "template": {"template": Template("fleetgate-fleet", True)},
            "hook": {"hook": Hook("fleetgate-provisioning-hook", True, claims=frozenset({CLAIM}))},
            "hook permission": {"hook": replace(OUT.hook, is_callable=None)},
            "registry": {"row": None},
            "shadow": {"has_shadow": False},
        }.get(part, {}),
    )
    found = diagnose(blind, PARTS)
    assert found.is_healthy is None and found.hidden == (part,) and found.to_json()["healthy"] is None
    stage = next(p.stage for p in PARTS if part in p.looks)
    link = next(link for link in found.chain if link.stage is stage)
    assert link.state is State.NOT_LOOKED_AT and "these credentials may not" in link.seen


def test_each_look_is_taken_and_is_on_a_devices_way_or_known_to_be_beside_it():
    """One that no table names would keep every device from being called healthy, or tell a permission of another service."""
    text = Path(diagnosis_facts.__file__).read_text(encoding="utf-8")
    taken = re.findall(r"sight\.see\(\s*Look\.(\w+)", text)
    assert {look.name for look in Look} == set(taken) and len(taken) == text.count("sight.see(")
    linked = {look for part in PARTS for look in part.looks}
    assert set(Look) == linked | diagnosis._GATE | diagnosis._BESIDE and not linked & diagnosis._BESIDE
    assert all(isinstance(look, Look) for look in (*linked, *diagnosis._GATE, *diagnosis._BESIDE, *diagnosis_facts._SERVICES))


@pytest.mark.parametrize(
    "facts, unseen, healthy",
    [
        (OUT, "template", None),
        (OUT, "hook role", None),
        (IN, "template", True),
        (IN, "hook log", None),
        (IN, "registry", None),
        (IN, "policy", None),
        (replace(IN, thing=None), "template", False),
        (replace(IN, message=Message(403, "", "")), "template", False),
        (replace(IN, decisions=(decided("unknown_claim"),)), "claims", None),
        (IN, "similar serials", True),
        (IN, "dead letters", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nobody_says_healthy_of_a_way_that_was_not_looked_at_whole(facts, unseen, healthy):
    found = diagnose(replace(facts, unseen={unseen: "these credentials may not"}), PARTS)
    assert found.is_healthy is healthy


def test_what_the_embedded_cloud_has_no_answer_for_does_not_count():
    blind = replace(IN, connection=None, unseen={"connection": "this cloud cannot tell"})
    assert diagnose(blind, PARTS).is_healthy is None
    assert diagnose(replace(blind, untold=frozenset({"connection"})), PARTS).is_healthy is True


@pytest.mark.parametrize(
    "part, operation, said, wanted",
    [
        ("thing", "DescribeThing", "", "iot:DescribeThing"),
        ("hook permission", "GetPolicy", "", "lambda:GetPolicy"),
        ("policy", "GetPolicy", "", "iot:GetPolicy"),
        ("hook log", "FilterLogEvents", "", "logs:FilterLogEvents"),
        ("hook metrics", "GetMetricStatistics", "", "cloudwatch:GetMetricStatistics"),
        ("registry", "GetItem", "User: arn:x is not authorized to perform: kms:Decrypt on resource: y", "kms:Decrypt"),
    ],
)
def test_the_permission_that_was_missing_is_named(part, operation, said, wanted):
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, operation)
    sight = diagnosis_facts._Sight(is_embedded=False)
    assert sight.see(part, lambda: (_ for _ in ()).throw(refused), None) is None
    assert sight.unseen[part] == f"these credentials may not: they need {wanted}" and not sight.untold


@pytest.mark.parametrize("is_embedded", [True, False])
def test_only_the_embedded_cloud_has_questions_that_it_cannot_answer(is_embedded):
    sight = diagnosis_facts._Sight(is_embedded)
    unknown = ClientError({"Error": {"Code": "InvalidRequestException"}}, "GetConnection")
    sight.see("connection", lambda: (_ for _ in ()).throw(unknown), None)
    assert "connection" in sight.unseen and sight.untold == ({"connection"} if is_embedded else set())


@pytest.mark.parametrize(
    "text, message",
    [
        (
            '{"statusCode": 403, "errorCode": "AccessDenied", "errorMessage": "Access Denied"}',
            Message(403, "AccessDenied", "Access Denied"),
        ),
        ('{"statusCode": 500}', Message(500, "", "")),
        ('{"statusCode": 400, "errorMessage": "a\\u001b[31m"}', Message(400, "", r"a\x1b[31m")),
    ],
)
def test_a_rejected_message_is_read(text, message):
    assert read_message(text, "file") == message


@pytest.mark.parametrize(
    "text", ["", "no", "[]", "{}", '{"statusCode": "403"}', '{"statusCode": true}', "[" * 50_000, "9" * 5_000]
)
def test_what_is_no_rejected_message_is_told(text):
    with pytest.raises(FleetgateError, match="statusCode"):
        read_message(text, "file")


@pytest.mark.parametrize(
    "lines, cause, said",
    [
        (["START RequestId: 1", "Task timed out after 4.00 seconds", "END RequestId: 1"], Cause.HOOK_TIMED_OUT, "Task timed out"),
        (['{"type": "platform.report", "record": {"status": "timeout"}}'], Cause.HOOK_TIMED_OUT, "platform.report"),
        (
            ["Traceback (most recent call last):", "  File x", "RuntimeError: boom", "REPORT RequestId: 1"],
            Cause.HOOK_CRASHED,
            "boom",
        ),
        (['{"errorType": "Runtime.ImportModuleError", "errorMessage": "no"}'], Cause.HOOK_CRASHED, "ImportModule"),
        (
            [
                "Traceback",
                "ClientError: An error occurred (AccessDeniedException): is not authorized to perform: dynamodb:UpdateItem",
            ],
            Cause.HOOK_LACKS_PERMISSION,
            "UpdateItem",
        ),
    ],
)
def test_what_the_log_says_of_a_failed_call_is_told_apart(lines, cause, said):
    failure = failure_in(lines, NOW, is_over=False)
    assert failure.cause is cause and said in failure.text


ACCOUNT, SOURCE = "123456789012", ":iot:us-east-1:123456789012:provisioningtemplate/fleetgate-fleet"
ALLOW = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "lambda:InvokeFunction"}


@pytest.mark.parametrize(
    "changes, is_about",
    [
        ({}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": f"arn:aws{SOURCE}"}, "StringEquals": {"AWS:SourceAccount": ACCOUNT}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:iot:us-east-1:123456789012:*"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws-cn{SOURCE}"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws{SOURCE}-other"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:iot:us-east-1:999999999999:*"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}, False),
        ({"Principal": {"Service": ["events.amazonaws.com", "iot.amazonaws.com"]}, "Action": "*"}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"Service": "events.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False),
        ({"Action": "lambda:GetFunction"}, False),
    ],
)
def test_a_statement_of_the_hooks_resource_policy_is_about_aws_iot_and_this_template(changes, is_about):
    assert diagnosis_facts.lets_iot_call([ALLOW | changes], SOURCE, ACCOUNT) is is_about
    denied = [ALLOW, ALLOW | changes | {"Effect": "Deny"}]
    assert diagnosis_facts.lets_iot_call(denied, SOURCE, ACCOUNT) is not is_about


@pytest.mark.parametrize(
    "who, serial",
    [
        ("TEMP-000001", "TEMP-000001"),
        ("temperature-sensor-TEMP-000001", "TEMP-000001"),
        ("fleetgate-claim-TEMP-000001-0a1b2c3d", "TEMP-000001"),
        ("fleetgate-claim-TEMP-000001", "TEMP-000001"),
        ("gateway-GW-000001", "GW-000001"),
        ("somebody-elses", "somebody-elses"),
        ("temperature-sensor-", "temperature-sensor-"),
    ],
)
def test_a_device_is_known_by_each_of_its_names(fleet, who, serial):
    assert diagnosis_facts.serials_in(fleet, who)[0] == serial


def test_a_line_of_a_log_that_could_hold_a_key_is_not_shown():
    assert failure_in(["RuntimeError: -----BEGIN PRIVATE KEY-----"], NOW, is_over=False).text == "(redacted)"
    assert failure_in(["RuntimeError: \x1b[31mred"], NOW, is_over=False).text == r"RuntimeError: \x1b[31mred"
