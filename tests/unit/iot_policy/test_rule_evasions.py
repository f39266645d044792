"""Ways around a rule: the same thing said in other words, or a statement beside it that changes nothing. None may silence it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fleetgate.iot_policy import lint, pattern, source
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Severity
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy
from fleetgate.iot_policy.view import STRANGERS

NOT_ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "false"}}
OWN = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")
HALLS = (allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"), allow("iot:Receive", f"{ARN}:topic/hall/*"))
NO_VAULT = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*")
GREENGRASS = allow("greengrass:GetComponentVersionArtifact", "*")


def findings(*statements: dict[str, Any]) -> list[Finding]:
    text = json.dumps(policy(*statements))
    return lint.tidy(lint.lint_policies([lint.whole("policy.json", source.parse(text))]))


def told(*statements: dict[str, Any], least: Severity = Severity.INFO) -> set[str]:
    return {one.rule for one in findings(*statements) if one.severity >= least}


def publish(topic: str) -> dict[str, Any]:
    return allow("iot:Publish", f"{ARN}:topic/{topic}")


def subscribe(name: str) -> dict[str, Any]:
    return allow("iot:Subscribe", f"{ARN}:topicfilter/{name}")


def receive(topic: str) -> dict[str, Any]:
    return allow("iot:Receive", f"{ARN}:topic/{topic}")


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        pytest.param("B07", [publish("$aws/rules/*")], id="any rule"),
        pytest.param("B07", [publish("$aws/events/*")], id="events"),
        pytest.param("B09", [publish("$aws/certificates/create/*"), publish("$aws/provisioning-templates/*")], id="claim"),
        pytest.param("B02", [publish("$aws/things/*/shadow/update")], id="shadows"),
        pytest.param("B06", [publish("$aws/things/pump*/shadow/update")], id="shadows of a prefix"),
        pytest.param("B04", [subscribe("$share/g/*"), receive("*")], id="everything, shared"),
        pytest.param("B02", [subscribe("$share/g/$aws/things/+/shadow/update")], id="shadows, shared"),
        pytest.param("M06", [subscribe("$share/*")], id="any group"),
        pytest.param("R08", [publish(f"$aws/thing/{THING}/shadow/update")], id="a typo"),
    ],
)
def test_an_escaped_dollar_sign_is_read_as_a_dollar_sign(rule: str, statements: list[dict[str, Any]]) -> None:
    escaped = json.loads(json.dumps(statements).replace("$aws", "${$}aws").replace("$share", "${$}share"))
    assert rule in told(CONNECT, *statements)
    assert rule in told(CONNECT, *escaped)


@pytest.mark.parametrize("text", ["plant/${?}pump*", "plant/${*}-pump*", "plant/${$}pump*"])
def test_an_escape_is_no_variable(text: str) -> None:
    assert "B06" in told(CONNECT, publish(text))


@pytest.mark.parametrize("text", [f"${{$}}{THING}*", "${$}{iot:ClientId}", "${$}${*}"])
def test_an_escape_before_something_else_changes_nothing_about_that(text: str) -> None:
    assert ("V06" in told(CONNECT, publish(f"plant/{text}"))) is (THING in text)


@pytest.mark.parametrize("name", ["$share/{}/#", "$share/{}/*", "$share/{}/+/#"])
@pytest.mark.parametrize("group", [THING, "${iot:ClientId}", f"g-{THING}", "${iot:Connection.Thing.Attributes[a/b]}"])
def test_a_variable_for_the_group_of_a_shared_subscription_is_a_group(name: str, group: str) -> None:
    [one] = [one for one in findings(CONNECT, subscribe(name.format(group)), receive("*")) if one.rule == "B04"]
    assert one.witness is not None and "${" not in one.witness


def test_a_shared_subscription_to_other_things_is_told_whatever_the_group_is() -> None:
    [one] = [one for one in findings(CONNECT, subscribe(f"$share/{THING}/$aws/things/+/#")) if one.rule == "B02"]
    assert one.witness == "$share/this-thing/$aws/things/+/#"


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(deny("iot:Receive", f"{ARN}:topic/hall/vault/*", **NOT_ATTACHED), id="of whom the first does not mean"),
        pytest.param(deny("iot:Receive", f"{ARN}:topic/hall/vault/*", StringEquals={"iot:ClientId": ["nobody"]}), id="of nobody"),
        pytest.param(deny("iot:Receive", f"{ARN}:topic/hall/vault/x"), id="of one topic"),
        pytest.param(deny("iot:Receive", f"{ARN}:topic/hall/vault/x*"), id="of some topics"),
        pytest.param(deny("iot:Subscribe", f"{ARN}:topicfilter/hall/#"), id="of one filter"),
    ],
)
def test_a_deny_that_keeps_only_part_away_silences_no_bypass(second: dict[str, Any]) -> None:
    assert "M02" in told(CONNECT, *HALLS, NO_VAULT, second)


def test_a_deny_of_any_type_of_resource_is_gotten_around_as_well() -> None:
    assert "M02" in told(CONNECT, *HALLS, deny("iot:Subscribe", f"{ARN}:*/hall/vault/*"))
    both = deny(["iot:Subscribe", "iot:Receive"], f"{ARN}:*/hall/vault/*")
    assert "M02" not in told(CONNECT, *HALLS, both)


def test_two_denies_with_one_condition_belong_together() -> None:
    condition = {"StringNotEquals": {"iot:Connection.Thing.ThingTypeName": "keeper"}}
    guarded = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*", **condition)
    assert "M02" in told(CONNECT, *HALLS, guarded)
    assert "M02" not in told(CONNECT, *HALLS, guarded, deny("iot:Receive", f"{ARN}:topic/hall/vault/*", **condition))
    assert "M02" not in told(CONNECT, *HALLS, guarded, deny("iot:Receive", f"{ARN}:topic/hall/vault/*"))


def test_a_deny_with_mqtt_wildcards_is_told_unless_another_denies_all_that_it_means() -> None:
    literal = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/#")
    for beside in (
        deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*", **NOT_ATTACHED),
        deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/#*"),
        deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/?"),
    ):
        assert "M01" in told(*HALLS, literal, beside)
    for beside in (NO_VAULT, deny("iot:*", f"{ARN}:*/hall/*")):
        assert "M01" not in told(*HALLS, literal, beside)


@pytest.mark.parametrize("name", [*STRANGERS, "*-thing", "?" * 13, "a*"])
@pytest.mark.parametrize("filter", ["plant/*", "plant/#", "plant/+/orders"])
def test_a_deny_of_some_names_silences_no_filter_that_brings_the_topics_of_others(filter: str, name: str) -> None:
    kept = deny("iot:Receive", f"{ARN}:topic/plant/{name}/*")
    assert "M04" in told(CONNECT, OWN, subscribe(filter), receive("plant/*"), kept)


def test_a_filter_that_names_the_device_brings_the_topics_of_others_as_well() -> None:
    assert "M04" in told(CONNECT, OWN, subscribe(f"plant/+/{THING}"), receive("*"))


@pytest.mark.parametrize("resource", ["client/*other*", f"client/{STRANGERS[0]}", "client/a*", "client/?*x"])
def test_a_guard_keeps_everybody_out_or_is_none(resource: str) -> None:
    assert "B01" in told(allow("iot:Connect", f"{ARN}:client/*"), deny("iot:Connect", f"{ARN}:{resource}", **NOT_ATTACHED))


@pytest.mark.parametrize(
    ("rule", "action", "resource"),
    [
        ("B06", "iot:GetThingShadow", "th*/p*"),
        ("B06", "iot:GetThingShadow", "thin?/p*"),
        ("B10", "iot:Connect", "c*/p*"),
        ("B12", "iot:AssumeRoleWithCertificate", "*/p*"),
        ("B07", "iot:Publish", "*/$aws/rules/*"),
        ("B09", "iot:Publish", "top*/$aws/provisioning-templates/*"),
        ("V06", "iot:Publish", f"t*c/plant/{THING}*"),
        ("V04", "iot:Publish", "top*/${iot:Connection.Thing.Attributes[a]}/*"),
        ("M03", "iot:Publish", "to*c/plant/+/x"),
        ("B02", "iot:Subscribe", "*filter/$aws/things/+/*"),
    ],
)
def test_a_wildcard_in_the_type_of_a_resource_hides_nothing(rule: str, action: str, resource: str) -> None:
    assert rule in told(CONNECT, allow(action, f"{ARN}:{resource}"))


def test_a_wildcard_in_the_type_is_one_finding_a_resource() -> None:
    assert told(allow("iot:Connect", f"{ARN}:*/p*")) == {"B10"}  # and not any client id with /p in it
    of_roles = [one for one in findings(allow("iot:AssumeRoleWithCertificate", f"{ARN}:*/p*")) if one.rule == "B12"]
    assert [one.pointer for one in of_roles] == ["/Statement/0/Resource/0"]


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        ("M01", [*HALLS, deny("iot:Subscribe", f"{ARN}:t*/hall/+/#")]),
        ("M03", [allow("iot:Publish", "arn:aws:iot:*:to*/plant/#")]),
        ("M04", [OWN, receive("plant/*"), allow("iot:Subscribe", f"{ARN}:topicf*/plant/+/orders")]),
        ("M05", [allow("iot:Subscribe", "arn:aws:iot:*:to*/plant/#/orders")]),
        ("B07", [allow("iot:Publish", "arn:aws:iot:*:to*/plant/state")]),
        ("B11", [allow("iot:Subscribe", "arn:aws:iot:*:to*/plant/+/orders")]),
        ("R07", [allow("iot:Publish", f"{ARN}:to*/a/b/c/d/e/f/g/h/i")]),
    ],
)
def test_a_wildcard_in_the_type_or_before_it_is_one_finding_a_resource(rule: str, statements: list[dict[str, Any]]) -> None:
    pointers = [one.pointer for one in findings(CONNECT, *statements) if one.rule == rule]
    assert len(pointers) == len(set(pointers)) == 1


def test_hundreds_of_denies_with_mqtt_wildcards_cost_no_more_than_their_number() -> None:
    """The automaton of all that is denied is made once: made for each of them, these took ten seconds."""
    everything = (allow("iot:Subscribe", f"{ARN}:topicfilter/*"), allow("iot:Receive", f"{ARN}:topic/*"))

    def seconds(number: int) -> float:
        start = time.process_time()
        hits = findings(*everything, deny("iot:Subscribe", *(f"arn:*:topicfilter/+/*{one}/#" for one in range(number))))
        assert len([one for one in hits if one.rule == "M01"]) == number
        return time.process_time() - start

    assert min(seconds(240), seconds(240)) < 20 * max(seconds(30), seconds(30))


@pytest.mark.parametrize(
    ("action", "variable", "is_told"),
    [
        ("iot:Publish", THING, True),
        ("iot:RetainPublish", THING, True),
        ("iot:Publish", "${iot:ClientId}", True),
        ("iot:Publish", "${iot:Connection.Thing.ThingTypeName}", True),
        ("iot:Publish", "${aws:SourceIp}", False),
        ("iot:Receive", THING, False),
        ("iot:Receive", "${iot:ClientId}", False),
    ],
)
def test_a_deny_with_a_variable_that_https_lacks_is_open_where_https_may_ask(action: str, variable: str, is_told: bool) -> None:
    statements = (allow(action, f"{ARN}:topic/plant/*"), deny(action, f"{ARN}:topic/plant/{variable}/alarm"))
    assert ("V09" in told(CONNECT, *statements)) is is_told


def test_a_deny_over_https_is_not_missed_where_the_allow_needs_the_same_variable_or_an_attachment() -> None:
    closed = deny("iot:Publish", f"{ARN}:topic/plant/{THING}/alarm")
    assert "V09" not in told(CONNECT, OWN, closed)
    attached = allow("iot:Publish", f"{ARN}:topic/plant/*", Bool={"iot:Connection.Thing.IsAttached": "true"})
    by_client, named = publish("plant/${iot:ClientId}/*"), {"StringLike": {"iot:Connection.Thing.ThingName": "*"}}
    for allowed in (attached, by_client, allow("iot:Publish", f"{ARN}:topic/plant/*", **named)):
        assert "V09" not in told(CONNECT, allowed, closed)


@pytest.mark.parametrize(
    ("variable", "is_told"),
    [
        ("iot:Connection.Thing.ThingName.0", True),
        ("iot:ClientId.0", True),
        ("iot:Certificate.Subject.CommonName.0", False),
        ("iot:Certificate.Subject.AlternativeName.DNSName.0", False),
    ],
)
def test_only_fields_of_a_certificate_have_a_number(variable: str, is_told: bool) -> None:
    assert ("V01" in told(CONNECT, publish(f"plant/${{{variable}}}/x"))) is is_told


@pytest.mark.parametrize("key", ["iot:Connection.Thing.ThingName", "iot:connection.thing.thingname"])
def test_a_known_name_of_the_thing_leaves_the_client_id_open(key: str) -> None:
    anybody = allow("iot:Connect", f"{ARN}:client/*", StringLike={key: "*"})
    assert "B01" in told(anybody)
    assert "B10" in told(allow("iot:Connect", f"{ARN}:client/press-*", StringLike={key: "*"}))
    own = allow("iot:Connect", f"{ARN}:client/*", StringLike={"iot:Connection.Thing.ThingName": "${iot:ClientId}"})
    assert "B01" not in told(own)


@pytest.mark.parametrize(
    ("statements", "is_told"),
    [
        ([allow("iot:Connect", f"{ARN}:client/*", Bool={"iot:Connection.Thing.IsAttached": "true"})], False),
        ([allow("iot:Connect", f"{ARN}:client/press-*"), deny("iot:Connect", "*", **NOT_ATTACHED)], True),
        ([allow("iot:Connect", f"{ARN}:client/*"), deny("iot:Connect", "*", **NOT_ATTACHED)], True),
        ([CONNECT], False),
        ([allow("iot:Connect", f"{ARN}:client/press-7", Bool={"iot:Connection.Thing.IsAttached": "true"})], False),
        ([allow("iot:Connect", f"{ARN}:client/*")], False),  # that is B01's
    ],
)
def test_an_exclusively_attached_certificate_connects_under_any_id_that_the_resource_leaves(
    statements: list[dict[str, Any]], is_told: bool
) -> None:
    assert ("B13" in told(*statements)) is is_told
    assert {"B01", "B10"}.isdisjoint(told(*statements)) or not is_told


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param(deny("iot:Publish", f"{ARN}:topic/$aws/certificates/create/json"), id="a Deny"),
        pytest.param(allow("iot:Connect", f"{ARN}:client/$aws/certificates/x"), id="a client id"),
    ],
)
def test_what_asks_for_no_certificate_makes_no_claim(beside: dict[str, Any]) -> None:
    assert "B10" in told(allow("iot:Connect", f"{ARN}:client/p*"), publish("x"), beside)


def test_a_client_device_of_greengrass_is_no_core() -> None:
    statements = (allow("iot:UpdateThingShadow", f"{ARN}:thing/p*"), allow("iot:Connect", f"{ARN}:client/p*"))
    for beside in (allow("greengrass:Discover", "*"), deny("greengrass:*", "*")):
        assert {"B06", "B10"} <= told(*statements, beside)
    assert {"B06", "B10"}.isdisjoint(told(*statements, GREENGRASS))


def test_the_prefix_of_a_core_is_told_low_for_it_may_be_a_fleets() -> None:
    core = (GREENGRASS, allow("iot:Connect", f"{ARN}:client/core*"), publish("$aws/things/core*/shadow/update"))
    assert told(*core) == {"B14"}
    assert [one.severity for one in findings(*core)] == [Severity.LOW]
    assert "B14" not in told(GREENGRASS, allow("iot:Connect", f"{ARN}:client/{THING}*"))


@pytest.mark.parametrize("effect", [allow, deny])
def test_a_condition_without_a_value_is_never_met(effect: Any) -> None:
    assert "K01" in told(CONNECT, effect("iot:Publish", f"{ARN}:topic/x", StringEquals={"iot:ClientId": []}))
    none_at_all = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}}
    assert "K01" not in told(effect("iot:Connect", f"{ARN}:client/x", **none_at_all))


@pytest.mark.parametrize("topic", ["*", "?*/*", "*/*", "?*/?*/*", "$aws/*", "$aws/things/*/shadow/update"])
def test_reading_retained_messages_of_everybody_is_told(topic: str) -> None:
    assert "B03" in told(allow("iot:GetRetainedMessage", f"{ARN}:topic/{topic}"))


@pytest.mark.parametrize("topic", ["plant/*", "plant/?*/*", "$aws/things/press-7/*", ""])
def test_reading_retained_messages_below_a_level_is_not_told(topic: str) -> None:
    assert "B03" not in told(allow("iot:GetRetainedMessage", f"{ARN}:topic/{topic}"))


@pytest.mark.parametrize(
    "resource", ["client/${iot:Connection.Thing.Attributes[id]}", "rolealias/${iot:Connection.Thing.Attributes[role]}"]
)
def test_an_attribute_is_no_name_of_a_client_or_a_role_alias(resource: str) -> None:
    action = "iot:Connect" if resource.startswith("client") else "iot:AssumeRoleWithCertificate"
    assert "V04" in told(allow(action, f"{ARN}:{resource}"))


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("DateLessThan", "aws:CurrentTime", "yesterday"),
        ("IpAddress", "aws:SourceIp", "999.0.0.0/8"),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/33"),
        ("NumericEquals", "aws:EpochTime", "1" * 50),
        ("ArnLike", "aws:SourceArn", "x"),
        ("StringEquals", "aws:SourceIpp", "10.0.0.1"),
        ("StringEquals", "aws:PrincipleTag/team", "a"),
    ],
)
def test_a_value_that_cannot_be_evaluated_or_a_misspelt_key_is_told(operator: str, key: str, value: str) -> None:
    assert "K01" in told(deny("iot:Publish", f"{ARN}:topic/a", **{operator: {key: value}}))


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("DateLessThan", "aws:CurrentTime", "2027-01-01T00:00:00Z"),
        ("IpAddress", "aws:SourceIp", "2001:db8::/32"),
        ("NumericEquals", "aws:MultiFactorAuthAge", "1.5"),
        ("ArnLike", "aws:SourceArn", "arn:aws:iot:*:111122223333:*"),
        ("StringEquals", "aws:PrincipalTag/team", "a"),
        ("StringEquals", "AWS:sourceVPCE", "vpce-1"),
        ("StringEquals", "aws:SomethingThatIsNewNextYear", "a"),
        ("Bool", "aws:ViaAWSMCPService", "true"),
        ("StringEquals", "aws:CalledViaAWSMCP", "a"),
        ("IpAddress", "aws:SourceIp", "${aws:SourceIp}"),
    ],
)
def test_what_can_be_evaluated_is_not_told(operator: str, key: str, value: str) -> None:
    assert "K01" not in told(deny("iot:Publish", f"{ARN}:topic/a", **{operator: {key: value}}))


@pytest.mark.parametrize(
    ("wide", "is_told"), [("x/$*", False), ("x/*{iot*", False), ("x/${iot*", False), ("x/*", True), ("*", True)]
)
def test_a_variable_is_not_covered_by_the_letters_that_it_is_written_with(wide: str, is_told: bool) -> None:
    assert ("S07" in told(CONNECT, allow("iot:Publish", f"{ARN}:topic/{wide}", f"{ARN}:topic/x/{THING}"))) is is_told


@pytest.mark.parametrize(
    ("operator", "values", "is_told"),
    [
        ("StringEquals", "north", False),
        ("StringEquals", ["north", "south"], False),
        ("StringEqualsIfExists", "north", False),
        ("StringLike", "north", False),
        ("StringEquals", ["north", "a/#"], True),
        ("StringEquals", "", True),
        ("StringLike", "n*", True),
        ("StringLike", "${iot:ClientId}", True),
        ("StringNotEquals", "north", True),
        ("ForAllValues:StringEquals", "north", True),
        ("Null", "false", True),
    ],
)
@pytest.mark.parametrize("resource", ["topic/plant/{}/x", "topicfilter/plant/{}/x", "client/{}", "rolealias/{}"])
def test_an_attribute_whose_values_a_condition_writes_out_is_no_finding(
    resource: str, operator: str, values: object, is_told: bool
) -> None:
    """The remedy that V04 names: followed, the finding is gone."""
    name, kind = "iot:Connection.Thing.Attributes[site]", resource.partition("/")[0]
    action = {"topic": "Publish", "topicfilter": "Subscribe", "client": "Connect", "rolealias": "AssumeRoleWithCertificate"}[kind]
    asked = f"{ARN}:{resource.format('${' + name + '}')}"
    assert ("V04" in told(allow(f"iot:{action}", asked, **{operator: {name: values}}))) is is_told
    assert "V04" in told(allow(f"iot:{action}", asked, **{operator: {"iot:Connection.Thing.Attributes[Site]": values}}))


@pytest.mark.parametrize(
    "statement",
    [
        subscribe("$aws/th?ngs/+/shadow/update/*"),
        subscribe("$aws/?hings/+?shadow/update/delta"),
        subscribe("$aws/th?ngs/#"),
        subscribe("$aws/things*/shado?/*pdate/delta"),
        subscribe("$share/g/$aws/th*s/+/jobs/#"),
        subscribe("$share/g/$aws/thi*/shadow/update/delta"),
        subscribe("$aws/c*/+/+/executions/#"),
        subscribe("$aw?/things/+/shadow/update/delta"),
        subscribe("?aws/things/+/shadow/#"),
        publish("$aws/t*s/?????????/shadow/update"),
        publish("$aws/t*s/*-gw/shadow/update"),
        publish("$aws/?hings/?x/jobs/get"),
    ],
    ids=lambda statement: statement["Resource"][0].rpartition(":")[2],
)
def test_a_wildcard_before_the_things_level_does_not_hide_the_one_for_the_thing(statement: dict[str, Any]) -> None:
    [one] = [one for one in findings(CONNECT, statement) if one.rule == "B02"]
    name = statement["Resource"][0].rpartition(":")[2].partition("/")[2]
    assert one.witness is not None and pattern.parse(name).matches(one.witness)


@pytest.mark.parametrize(
    "statement",
    [
        publish(f"$aws/th?ngs/{THING}/shadow/update"),
        publish("$aws/th?ngs/press-7/shadow/update"),
        publish("$aws/rules/press/*"),
        subscribe("$aws/events/presence/connected/press-7"),
        subscribe(f"$share/g/$aws/things/{THING}/shadow/#"),
        subscribe("$aws/certificates/create/+/accepted"),
    ],
    ids=lambda statement: statement["Resource"][0].rpartition(":")[2],
)
def test_a_wildcard_elsewhere_reaches_no_other_thing(statement: dict[str, Any]) -> None:
    assert "B02" not in told(CONNECT, statement)


def test_events_behind_a_wildcard_are_aws_own_too() -> None:
    assert "B07" in told(CONNECT, publish("?aws/eve*"))


@pytest.mark.parametrize(
    ("topic", "is_told"),
    [
        (f"telemetry/{THING}.json", False),
        (f"telemetry/{THING}.*", False),
        (f"telemetry/v1@{THING}/x", False),
        ("telemetry/${iot:Connection.Thing.ThingTypeName}.x", False),
        (f"telemetry/{THING}-json", True),
        (f"telemetry/{THING}:json", True),
        (f"telemetry/v1.{THING}-x", True),
        (f"telemetry/v-{THING}.x", True),
        (f"telemetry/*.{THING}/x", True),
        (f"telemetry/?.{THING}.x", True),
        ("telemetry/${iot:ClientId}.json", True),
        ("telemetry/${iot:Certificate.Subject.CommonName}.json", True),
    ],
)
def test_what_no_name_holds_sets_a_name_off_as_a_slash_does(topic: str, is_told: bool) -> None:
    assert bool(told(CONNECT, publish(topic)) & {"V06", "V07", "B06"}) is is_told
