"""What the evaluator decides: the semantics of `docs/policy-semantics.md`, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from fleetgate.iot_policy import evaluator, model
from fleetgate.iot_policy.assumptions import Assumptions
from fleetgate.iot_policy.evaluator import Decision, Identity, Outcome, Request

ARN = "arn:aws:iot:eu-west-1:111111111111"
THING = "${iot:Connection.Thing.ThingName}"
ALLOWED, EXPLICIT, IMPLICIT = Decision.ALLOWED, Decision.EXPLICIT_DENY, Decision.IMPLICIT_DENY
#: Attached, and connected under its thing's name.
DEVICE = Identity("t1", "t1", True, thing_type="pump", attributes={"site": "a/b", "Site": "c"})


def statement(effect: str, action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """resource: without `arn:`, the part from the resource type on."""
    listed = [resource] if isinstance(resource, str) else resource
    whole = [text if text == "*" or text.startswith("arn:") else f"{ARN}:{text}" for text in listed]
    return {"Effect": effect, "Action": action, "Resource": whole} | more


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return statement("Allow", action, resource, **more)


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return statement("Deny", action, resource, **more)


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17", name: str = "p") -> model.Policy:
    document = {"Statement": list(statements)} | ({"Version": version} if version else {})
    read = model.read(document, name)
    assert not read.flaws
    return read


def ask(action: str, resource: str, *statements: dict[str, Any], identity: Identity = DEVICE, **switches: Any) -> Outcome:
    whole = resource if resource == "*" else f"{ARN}:{resource}"
    policies = [policy(*statements)] if statements else []
    return evaluator.authorize(policies, Request(action, whole), identity, Assumptions(**switches))


# S1, S2, S3: the decision, actions, wildcards


@pytest.mark.parametrize(
    "statements, decision",
    [
        ([], IMPLICIT),
        ([allow("iot:Publish")], ALLOWED),
        ([deny("iot:Publish")], EXPLICIT),
        ([allow("iot:Publish"), deny("iot:Publish")], EXPLICIT),
        ([deny("iot:Publish"), allow("iot:Publish")], EXPLICIT),
        ([allow("iot:Publish"), deny("iot:Publish", "topic/b")], ALLOWED),
        ([allow("iot:Subscribe")], IMPLICIT),
    ],
)
def test_nothing_is_allowed_unless_a_statement_does_and_a_deny_always_wins(statements, decision):
    assert ask("iot:Publish", "topic/a", *statements).decision is decision


def test_policies_of_certificate_and_groups_count_together_and_the_outcome_names_every_statement():
    own = policy(allow("iot:Subscribe"), allow("iot:Publish"), name="own")
    group = policy(allow("iot:*"), deny("iot:Publish", "topic/b"), name="group")
    request = Request("iot:Publish", f"{ARN}:topic/b")
    outcome = evaluator.authorize([own], request, DEVICE, group_policies=[group])
    assert outcome == Outcome(EXPLICIT, (("own", 1), ("group", 0)), (("group", 1),))


def test_a_group_policy_takes_no_effect_under_another_client_id_or_unattached():
    group = policy(allow("iot:Publish"), name="group")
    request = Request("iot:Publish", f"{ARN}:topic/b")
    for identity in (Identity("x", "t1", True), Identity("t1", "t1", False), Identity("t1")):
        assert evaluator.authorize([], request, identity, group_policies=[group]).decision is IMPLICIT
    assert evaluator.authorize([], request, DEVICE, group_policies=[group]).decision is ALLOWED


@pytest.mark.parametrize(
    "action", ["iot:publish", "IOT:PUBLISH", "iot:Pub*", "iot:Publis?", "iot:*", "*", ["iot:Receive", "iot:Publish"]]
)
def test_case_of_an_action_does_not_count_and_wildcards_do(action):
    assert ask("iot:Publish", "topic/a", allow(action)).allowed


@pytest.mark.parametrize("action", ["iot:Publish ", "iot:Pub", "Publish", "${iot:ClientId}", "s3:*", "iot:RetainPublish"])
def test_another_action_does_not_count(action):
    assert not ask("iot:Publish", "topic/a", allow(action), identity=Identity("iot:Publish")).allowed


@pytest.mark.parametrize(
    "resource, asked, covered",
    [
        ("topic/a/*", "topic/a/b/c", True),
        ("topic/a/?", "topic/a//", True),
        ("topic/a/+", "topic/a/b", False),
        ("topic/a/#", "topic/a/b", False),
        ("topic/A", "topic/a", False),
        ("topic*", "topicfilter/a", True),
        ("topic/*", "topicfilter/a", False),
        ("*", "topic/a", True),
        ("arn:aws:iot:*:*:topic/a", "topic/a", True),
        ("arn:aws*:iot:eu-????-1:*:topic/a", "topic/a", True),
        ("arn:aws:iot:us-east-1:111111111111:topic/a", "topic/a", False),
        ("arn:aws:iot:eu-west-1:222222222222:topic/a", "topic/a", False),
        ("arn:aws:*", "topic/a", True),
        ("arn:aws:eu-west-1:111111111111:topic/a", "topic/a", False),
        ("topic/${*}", "topic/*", True),
        ("topic/${*}", "topic/a", False),
    ],
)
def test_a_resource_is_the_whole_arn_compared_as_text(resource, asked, covered):
    assert ask("iot:Publish", asked, allow("iot:Publish", resource)).allowed is covered


# S5, S24: Subscribe and Receive


def test_subscribe_is_held_against_the_filter_as_text_and_receive_against_the_topic():
    statements = [allow(["iot:Subscribe"], "topicfilter/a/*"), deny("iot:Subscribe", "topicfilter/a/x/*")]
    assert ask("iot:Subscribe", "topicfilter/a/x/1", *statements).decision is EXPLICIT
    assert ask("iot:Subscribe", "topicfilter/a/#", *statements).allowed
    assert ask("iot:Subscribe", "topicfilter/a/+/1", *statements).allowed
    assert ask("iot:Receive", "topic/a/x/1", *statements).decision is IMPLICIT


# S7, S8, S9, S11, S14: variables

CERTIFICATE = {
    "Subject.CommonName": "dev-7",
    "Subject.Country": ("DE", "FR", "IT", "ES", "PT", "GR"),
    "Subject.Organization": "a+b",
    "Subject.Title": "x" * 1025,
    "Subject.Initials": "=" * 1024,
    "Subject.Surname": "a,b",
    "Issuer.AlternativeName.DirectoryName": "cn=CA,o=Acme",
    "SerialNumber": "10525622389124227206",
    "CertificateId": "0a" * 32,
}
KNOWN = Identity(
    "t1", "t1", True, "pump", {"site": "a/b", "Site": "c"}, CERTIFICATE, source_ip="203.0.113.7", domain_name="iot.example.com"
)


@pytest.mark.parametrize(
    "variable, value",
    [
        ("iot:ClientId", "t1"),
        ("aws:SourceIp", "203.0.113.7"),
        ("iot:DomainName", "iot.example.com"),
        ("iot:Connection.Thing.ThingName", "t1"),
        ("iot:Connection.Thing.ThingTypeName", "pump"),
        ("iot:Connection.Thing.IsAttached", "true"),
        ("iot:Connection.Thing.Attributes[site]", "a/b"),
        ("iot:Connection.Thing.Attributes[Site]", "c"),
        ("iot:Connection.Thing.Attributes[SITE]", None),
        ("iot:Certificate.Subject.CommonName", "dev-7"),
        ("iot:Certificate.Subject.Country", "DE"),
        ("iot:Certificate.Subject.Country.1", "FR"),
        ("iot:Certificate.Subject.Country.4", "PT"),
        ("iot:Certificate.Subject.Country.5", None),
        ("iot:Certificate.Subject.Country.0", "DE"),
        ("iot:Certificate.Subject.Country.List", None),
        ("iot:Certificate.Subject.Organization", "${iot:Certificate.Subject.Organization}"),
        ("iot:Certificate.Subject.Title", "${iot:Certificate.Subject.Title}"),
        ("iot:Certificate.Subject.Initials", "\\=" * 1024),
        ("iot:Certificate.Subject.Surname", "a\\,b"),
        ("iot:Certificate.Subject.State", None),
        ("iot:Certificate.Issuer.AlternativeName.DirectoryName", "cn=CA,o=Acme"),
        ("iot:Certificate.SerialNumber", "10525622389124227206"),
        ("iot:CertificateId", "0a" * 32),
        ("iot:Certificate.AvailableKeys", None),
        ("iot:Thing.ThingName", None),
        ("iot:clientid", None),
        ("iot:ConnectAttributes", None),
        ("aws:username", None),
        ("", None),
    ],
)
def test_a_variable_stands_for_its_value_and_without_one_its_statement_does_nothing(variable, value):
    name = "${" + variable + "}"
    granting = allow("iot:Publish", f"topic/a/{name}/*")
    if value is None:
        for topic in (f"topic/a/{name}/x", "topic/a//x", "topic/a/t1/x", "topic/a/DE/x"):
            outcome = ask("iot:Publish", topic, granting, identity=KNOWN)
            assert outcome == Outcome(IMPLICIT, missing=(variable,))
    else:
        assert ask("iot:Publish", f"topic/a/{value}/x", granting, identity=KNOWN) == Outcome(ALLOWED, (("p", 0),))
        assert not ask("iot:Publish", f"topic/a/{value}x/x", granting, identity=KNOWN).allowed


@pytest.mark.parametrize(
    "identity, name, kind, attached",
    [
        (Identity("t1", "t1", True, "pump"), True, True, "true"),
        (Identity("x", "t1", True, "pump"), False, False, "false"),
        (Identity("t1", "t1", False, "pump"), False, False, "false"),
        (Identity("t1", None, True, "pump"), False, False, "false"),
        (Identity("x", "t1", True, "pump", exclusive=True), True, False, None),
        (Identity("t1", "t1", True, "pump", exclusive=True), True, True, "true"),
        (Identity("x", "t1", False, "pump", exclusive=True), False, False, "false"),
        (Identity("t1", "t1", True, "pump", protocol="https"), False, False, None),
        (Identity("t1", "t1", True), True, False, "true"),
    ],
)
def test_a_connection_stands_for_a_thing_by_client_id_or_exclusive_attachment_over_mqtt(identity, name, kind, attached):
    def grants(variable: str, value: str) -> bool:
        return ask("iot:Publish", f"topic/{value}", allow("iot:Publish", f"topic/${{{variable}}}"), identity=identity).allowed

    def is_attached(value: str) -> bool:
        condition = {"Bool": {"iot:Connection.Thing.IsAttached": value}}
        return ask("iot:Publish", "topic/a", allow("iot:Publish", Condition=condition), identity=identity).allowed

    assert grants("iot:Connection.Thing.ThingName", "t1") is name
    assert grants("iot:Connection.Thing.ThingTypeName", "pump") is kind
    assert [value for value in ("true", "false") if is_attached(value)] == ([attached] if attached else [])


# S13: what a client id can inject


@pytest.mark.parametrize("client", ["+", "#", "a/#", "t1/b"])
def test_a_client_id_is_substituted_with_whatever_is_in_it(client):
    granting = allow("iot:Subscribe", "topicfilter/d/${iot:ClientId}")
    assert ask("iot:Subscribe", f"topicfilter/d/{client}", granting, identity=Identity(client)).allowed


# S10, S18, S20: HTTPS and the actions that know nothing else


@pytest.mark.parametrize(
    "action, resource",
    [
        ("iot:GetThingShadow", "thing/t1"),
        ("iot:UpdateThingShadow", "thing/t1/config"),
        ("iot:DeleteThingShadow", "thing/t1"),
        ("iotjobsdata:DescribeJobExecution", "thing/t1"),
        ("iot:StartNextPendingJobExecution", "thing/t1"),
        ("iot:AssumeRoleWithCertificate", "rolealias/uploads"),
        ("iot:GetRetainedMessage", "topic/a"),
        ("iot:ListRetainedMessages", "*"),
        ("iot:ListNamedShadowsForThing", "*"),
    ],
)
def test_an_action_of_the_https_api_is_allowed_on_its_resource_but_never_by_a_thing_variable(action, resource):
    granting = allow(action, "*" if resource == "*" else resource.replace("t1", "t?"))
    assert ask(action, resource, granting).allowed
    assert ask(action, resource, allow(action, [resource, f"thing/{THING}"])) == Outcome(
        IMPLICIT, missing=("iot:Connection.Thing.ThingName",)
    )


def test_an_action_without_resources_needs_a_bare_asterisk():
    assert not ask("iot:ListRetainedMessages", "*", allow("iot:ListRetainedMessages", "topic/*")).allowed


def test_a_shadow_action_gives_nothing_over_mqtt_and_a_shadow_topic_nothing_over_https():
    assert not ask("iot:Publish", "topic/$aws/things/t1/shadow/update", allow("iot:UpdateThingShadow", "thing/t1")).allowed
    assert not ask("iot:UpdateThingShadow", "thing/t1", allow("iot:Publish", "topic/$aws/things/t1/shadow/update")).allowed


def test_a_named_shadow_is_a_resource_of_its_own():
    assert not ask("iot:GetThingShadow", "thing/t1/config", allow("iot:GetThingShadow", "thing/t1")).allowed


# S12 is in the table of variables. S16: Connect's own condition keys


@pytest.mark.parametrize(
    "condition, attributes, will, allowed",
    [
        ({"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, (), None, True),
        ({"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}, ("PersistentConnect",), None, True),
        ({"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}, ("PersistentConnect", "LastWill"), "w", False),
        ({"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}, ("PersistentConnect", "LastWill"), "w", True),
        ({"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}, (), None, False),
        ({"Null": {"iot:ConnectAttributes": "true"}}, (), None, True),
        ({"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/wills/*"}}, ("LastWill",), "wills/t1", True),
        ({"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/wills/${{iot:ClientId}}"}}, ("LastWill",), "wills/t1", True),
        ({"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/wills/*"}}, ("LastWill",), "other", False),
        ({"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/wills/*"}}, (), None, False),
    ],
)
def test_a_connects_attributes_and_will_can_be_asked_for(condition, attributes, will, allowed):
    granting = policy(allow("iot:Connect", Condition=condition))
    request = Request("iot:Connect", f"{ARN}:client/t1", attributes, will)
    assert evaluator.authorize([granting], request, DEVICE).allowed is allowed


def test_the_keys_of_a_connect_exist_on_connect_alone():
    condition = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": "LastWill"}}
    request = Request("iot:Publish", f"{ARN}:topic/a", ("LastWill",), "w")
    assert not evaluator.authorize([policy(allow("*", Condition=condition))], request, DEVICE).allowed


@pytest.mark.parametrize(
    "condition, allowed",
    [
        ({}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, True),
        ({"Bool": {"IOT:connection.thing.isattached": "true"}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, False),
        ({"StringEquals": {"iot:Connection.Thing.ThingTypeName": ["valve", "pump"]}}, True),
        ({"StringEquals": {"iot:Connection.Thing.ThingTypeName": "pump", "iot:ClientId": "other"}}, False),
        ({"StringEquals": {"iot:ClientId": "t1"}, "StringLike": {"iot:Connection.Thing.Attributes[site]": "a/*"}}, True),
        ({"StringEquals": {"iot:ClientId": "t1"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, True),
        ({"StringEquals": {"iot:DomainName": "iot.example.com"}}, True),
        ({"StringEquals": {"iot:Connection.Thing.ThingName": "${iot:ClientId}"}}, True),
        ({"StringEquals": {"iot:ClientId": "${iot:Nothing}"}}, False),
        ({"StringNotEquals": {"iot:ClientId": "${iot:Nothing}"}}, False),
        ({"ForAllValues:StringEquals": {"iot:Certificate.Subject.Country.List": ["DE", "FR", "IT", "ES", "PT"]}}, True),
        ({"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Country.List": ["GR"]}}, False),
        ({"StringEquals": {"iot:Certificate.Subject.Organization": "a\\+b"}}, True),
        ({"Null": {"iot:Certificate.SerialNumber": "false", "iot:Certificate.Subject.State": "true"}}, True),
        ({"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Subject.CommonName"}}, True),
        ({"StringEquals": {"iot:Unknown": "x"}}, False),
        ({"StringNotEquals": {"iot:Unknown": "x"}}, True),
        ({"StringEqualsIfExists": {"iot:Unknown": "x"}}, True),
        ({"StringIs": {"iot:ClientId": "t1"}}, False),
    ],
)
def test_all_conditions_of_a_statement_must_be_met(condition, allowed):
    assert ask("iot:Publish", "topic/a", allow("iot:Publish", Condition=condition), identity=KNOWN).allowed is allowed


def test_a_key_that_aws_iot_does_not_document_can_be_given_by_the_caller():
    identity = Identity("t1", context={"aws:CurrentTime": "2026-06-01T00:00:00Z", "my:Tags": ("a", "b")})
    before = {"DateLessThan": {"AWS:currenttime": "2027-01-01"}, "ForAllValues:StringLike": {"my:Tags": ["?"]}}
    assert ask("iot:Publish", "topic/a", allow("iot:Publish", Condition=before), identity=identity).allowed
    single = {"StringEquals": {"my:Tags": "a"}}
    assert not ask("iot:Publish", "topic/a", allow("iot:Publish", Condition=single), identity=identity).allowed


# S21: the negated elements


def test_not_action_covers_every_other_action():
    other = {"Effect": "Allow", "NotAction": ["iot:pub*", "iot:Receive"], "Resource": "*"}
    assert not ask("iot:Publish", "topic/a", other).allowed
    assert ask("iot:Subscribe", "topicfilter/a", other).allowed


def test_not_resource_covers_every_other_resource_and_nothing_while_a_variable_has_no_value():
    other = {"Effect": "Allow", "Action": "iot:*", "NotResource": [f"{ARN}:topic/secret/*", f"{ARN}:topic/{THING}"]}
    assert ask("iot:Publish", "topic/a", other).allowed
    assert not ask("iot:Publish", "topic/secret/a", other).allowed
    assert not ask("iot:Publish", "topic/t1", other).allowed
    for ends in (True, False):
        assert not ask("iot:Publish", "topic/a", other, identity=Identity("x"), unresolved_ends_statement=ends).allowed


def test_a_deny_of_every_other_resource_denies_as_much_as_it_can_if_a_missing_variable_denies():
    other = {"Effect": "Deny", "Action": "iot:*", "NotResource": [f"{ARN}:topic/public", f"{ARN}:topic/{THING}"]}
    stranger = Identity("x")
    assert ask("iot:Publish", "topic/t1", allow("*"), other, identity=stranger).allowed
    assert ask("iot:Publish", "topic/t1", allow("*"), other, identity=stranger, deny_unresolved=True).decision is EXPLICIT
    assert ask("iot:Publish", "topic/public", allow("*"), other, identity=stranger, deny_unresolved=True).allowed


# Versions


def test_a_policy_of_2008_has_no_variables():
    granting = policy(allow("iot:Publish", "topic/${iot:ClientId}/*"), version="2008-10-17")
    asked = [Request("iot:Publish", f"{ARN}:topic/{text}/x") for text in ("t1", "${iot:ClientId}")]
    assert [evaluator.authorize([granting], one, DEVICE).allowed for one in asked] == [False, True]


# Missing context values


def test_what_is_missing_is_named_once_and_only_by_statements_for_the_action():
    outcome = ask(
        "iot:Publish",
        "topic/a",
        allow("iot:Publish", [f"topic/{THING}", f"topic/b/{THING}", "topic/${iot:Thing.ThingName}"]),
        allow("iot:Publish", Condition={"StringEquals": {"iot:certificate.serialnumber": "1"}}),
        allow("iot:Publish", "topic/b", Condition={"StringEquals": {"aws:SourceIp": "x"}}),
        allow("iot:Receive", "topic/${iot:Certificate.Subject.State}"),
        identity=Identity("x"),
    )
    assert outcome.missing == ("iot:Certificate.SerialNumber", "iot:Connection.Thing.ThingName", "iot:Thing.ThingName")


# S17: what a request needs besides


@pytest.mark.parametrize(
    "action, resource, protocol, needed",
    [
        ("iot:Publish", "topic/a", "mqtt", ["iot:Connect", "iot:Publish"]),
        ("iot:RetainPublish", "topic/a", "mqtt", ["iot:Connect", "iot:Publish", "iot:RetainPublish"]),
        ("iot:RetainPublish", "topic/a", "https", ["iot:Publish", "iot:RetainPublish"]),
        ("iot:Subscribe", "topicfilter/a", "mqtt", ["iot:Connect", "iot:Subscribe"]),
        ("iot:Connect", "client/t1", "mqtt", ["iot:Connect"]),
        ("iot:GetThingShadow", "thing/t1", "mqtt", ["iot:GetThingShadow"]),
    ],
)
def test_a_session_names_everything_that_a_request_needs(action, resource, protocol, needed):
    identity = Identity("t1", "t1", True, protocol=protocol)
    asked = Request(action, f"{ARN}:{resource}")
    found = list(evaluator.session([policy(allow("iot:Publish"))], asked, identity))
    assert [request.action for request, _ in found] == needed
    assert found[-1][0] == asked
    assert {request.action for request, outcome in found if outcome.allowed} <= {"iot:Publish"}
    assert all(request.resource in (asked.resource, f"{ARN}:client/t1") for request, _ in found)


def test_several_resources_are_allowed_only_together():
    outcomes = [Outcome(ALLOWED, (("p", 0),)), Outcome(IMPLICIT, missing=("b",)), Outcome(ALLOWED, (("p", 0),), missing=("a",))]
    assert evaluator.combine(outcomes) == Outcome(IMPLICIT, (("p", 0),), (), ("a", "b"))
    assert evaluator.combine([*outcomes, Outcome(EXPLICIT, (), (("q", 1),))]).decision is EXPLICIT
