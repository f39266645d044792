"""Every rule by itself: its examples, what it is made of, and the borders of those where a false finding would hurt most."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetgate.iot_policy import lint, rules, source
from fleetgate.iot_policy.lint import Finding
from fleetgate.iot_policy.rule import Bundle, Rule, Severity, Subject
from fleetgate.iot_policy.rules.examples import ARN, CONNECT, THING, allow, deny, policy

_GROUPS = "SARMBVK"
RULES = [one for one in rules.all_rules() if one.id[0] in _GROUPS and one.subject in (Subject.POLICY, Subject.BUNDLE)]
#: [the catalogue of policy rules: everything but isolation and what stands in other modules]
CATALOGUE = {
    **dict.fromkeys(["A04", "B01", "B02", "B03", "B04", "B08", "B09", "V03"], Severity.CRITICAL),
    **dict.fromkeys(["S02", "S03", "S04", "S05", "S06", "S08", "A01", "A02", "A03", "R01", "R02", "R08"], Severity.HIGH),
    **dict.fromkeys(
        ["M01", "M02", "M04", "B06", "B07", "V01", "V02", "V04", "V06", "V07", "V09", "V10", "K01", "K03"], Severity.HIGH
    ),
    **dict.fromkeys(
        ["A06", "A07", "A08", "B10", "R03", "R04", "R05", "R07", "M03", "M05", "M06", "V05", "V08", "K02"], Severity.MEDIUM
    ),
    **dict.fromkeys(["R06"], Severity.LOW),
    **dict.fromkeys(["S07", "A05", "B05"], Severity.INFO),
}


def findings(*documents: Any, **known: Any) -> list[Finding]:
    """Of one policy by itself, or of several that are known to be together."""
    wholes = [lint.whole(f"{index}.json", source.parse(json.dumps(document))) for index, document in enumerate(documents)]
    return lint.tidy(lint.lint_policies(wholes, Bundle((), **known) if known else None))


def ids(*documents: Any, least: Severity = Severity.MEDIUM, **known: Any) -> set[str]:
    return {one.rule for one in findings(*documents, **known) if one.severity >= least}


def of_example(rule: Rule[Any], example: Any) -> list[Finding]:
    if "policies" in example:
        known = {key: value for key, value in example.items() if key != "policies"}
        return [one for one in findings(*example["policies"], **known) if one.rule == rule.id]
    return [one for one in findings(example) if one.rule == rule.id]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_failing_example_of_a_rule_has_its_finding_with_a_remedy(rule: Rule[Any]) -> None:
    found = of_example(rule, rule.fails)
    assert found
    assert all(one.severity is rule.severity and one.message and one.fix for one in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_passing_example_of_a_rule_is_clean(rule: Rule[Any]) -> None:
    assert of_example(rule, rule.passes) == []
    assert ids(*rule.passes.get("policies", [rule.passes])) == set()


def test_the_catalogue_is_complete_and_each_rule_has_the_severity_it_has_there() -> None:
    found = {rule.id: rule.severity for rule in RULES}
    assert {key: found.get(key) for key in CATALOGUE} == CATALOGUE
    assert len(found) == len(RULES)


def test_rules_beyond_the_catalogue_stay_below_medium() -> None:
    assert {rule.id for rule in RULES} - CATALOGUE.keys() == {"S09", "R09", "B11", "B12", "B13", "B14"}
    assert all(rule.severity < Severity.MEDIUM for rule in RULES if rule.id not in CATALOGUE)


def found(rule: str, *documents: Any, **known: Any) -> list[Finding]:
    return [one for one in findings(*documents, **known) if one.rule == rule]


ODD_NAME = "${iot:Connection.Thing.Attributes[a#b]}/x"


def publish(*topics: str) -> dict[str, Any]:
    return policy(allow("iot:Publish", *(f"{ARN}:topic/{topic}" for topic in topics)))


def listen(*filters: str, receive: tuple[str, ...] = ()) -> dict[str, Any]:
    statements = [allow("iot:Subscribe", *(f"{ARN}:topicfilter/{one}" for one in filters))]
    return policy(*statements, *(allow("iot:Receive", f"{ARN}:topic/{one}") for one in receive))


# --- S: structure


@pytest.mark.parametrize(
    ("version", "topic", "told"),
    [
        ("2012-10-17", f"plant/{THING}", False),
        ("2008-10-17", "plant/press-7", False),
        ("2008-10-17", f"plant/{THING}", True),
        ("2012-10-16", "plant/press-7", True),
        (None, "plant/press-7", True),
        (20121017, "plant/press-7", True),
    ],
)
def test_version_is_right_or_does_no_harm(version: Any, topic: str, told: bool) -> None:
    document = {**publish(topic), "Version": version} if version is not None else {"Statement": publish(topic)["Statement"]}
    assert bool(found("S02", document)) is told


def test_a_version_without_variables_may_have_none_in_a_condition_either() -> None:
    statement = allow("iot:Publish", f"{ARN}:topic/plant", StringEquals={"iot:ClientId": THING})
    assert found("S02", {"Version": "2008-10-17", "Statement": [statement]})


def test_a_document_that_is_no_policy_is_not_told_to_have_a_version() -> None:
    assert found("S02", {"Statement": [], "Id": "x"}) == found("S02", {"Statement": [{}]}) == []
    assert found("S02", {"Statement": [{}, *publish("plant")["Statement"]]})


@pytest.mark.parametrize(
    ("key", "remedy"), [("Actions", "write Action"), ("effect", "write Effect"), ("Comment", "remove it, or write one of")]
)
def test_an_element_that_does_not_exist_is_named_with_the_one_that_was_meant(key: str, remedy: str) -> None:
    [one] = found("S03", policy({**publish("plant")["Statement"][0], key: "x"}))
    assert one.fix.startswith(remedy)


def test_an_element_of_the_document_that_does_not_exist_is_named_too() -> None:
    assert [one.pointer for one in found("S03", {**publish("plant"), "PolicyName": "plant"})] == ["/PolicyName"]
    assert found("S03", {**publish("plant"), "Id": "plant"}) == []


def test_a_condition_inside_of_resource_is_told_to_move() -> None:
    inside = {"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}
    for resource in (inside, [f"{ARN}:client/x", inside]):
        [one] = found("S04", policy({"Effect": "Allow", "Action": "iot:Connect", "Resource": resource}))
        assert one.fix == "move Condition out of Resource, to stand beside it"


# S22: the size


@pytest.mark.parametrize(("length", "rule"), [(1843, None), (1844, "S09"), (2048, "S09"), (2049, "S06")])
def test_a_policy_may_have_2048_characters_and_spaces_do_not_count(length: int, rule: str | None) -> None:
    bare = len(json.dumps(publish(""), separators=(",", ":")))
    document = json.dumps(publish("a" * (length - bare)), indent=9)
    parsed = lint.whole("p.json", source.parse(document))
    assert {one.rule for one in lint.lint_policies([parsed])} & {"S06", "S09"} == ({rule} if rule else set())


def test_statements_that_can_be_merged_are_named() -> None:
    one, other = f"{ARN}:topic/plant/1", f"{ARN}:topic/plant/2"
    conditioned = allow("iot:Publish", other, Bool={"iot:Connection.Thing.IsAttached": "true"})
    denied = {**allow("iot:Publish", other), "Effect": "Deny"}
    first = allow("iot:Publish", one)
    assert [f.pointer for f in found("S07", policy(first, allow("iot:Publish", other)))] == ["/Statement/1"]
    assert [f.pointer for f in found("S07", policy(first, allow("iot:Receive", one)))] == ["/Statement/1"]
    assert found("S07", policy(first, conditioned)) == found("S07", policy(first, denied)) == []
    assert found("S07", policy(first, allow("iot:Receive", other))) == []
    negated = [{"Effect": "Deny", "Action": "iot:Publish", "NotResource": resource} for resource in (one, other)]
    assert found("S07", policy(*negated)) == []


@pytest.mark.parametrize(
    ("wide", "narrow", "told"),
    [
        ("plant/*", "plant/1/state", True),
        ("plant/*/state", "plant/1/state", True),
        ("plant/*/a/*", "plant/x/a/b", True),
        ("plant/*", "planet/1", False),
        ("plant/*/state", "plant/1/status", False),
        ("plant/*/b/*/b", "plant/x/b", False),
        ("plant/?", "plant/1", False),
        ("${*}plant/*", "${*}plant/1", True),
        ("a*b*c", "abc", True),
    ],
)
def test_a_resource_that_another_covers_is_named(wide: str, narrow: str, told: bool) -> None:
    pointers = [one.pointer for one in found("S07", publish(wide, narrow))]
    assert pointers == (["/Statement/0/Resource/1"] if told else [])


@pytest.mark.parametrize(
    "text",
    [
        "plant/{{ thing }}",
        "plant/{% if x %}",
        "plant/<thing-name>",
        "plant/<b>thing</b>",
        "plant/${AWS::StackName}",
        "plant/${var.thing}",
        "plant/${!iot:ClientId}",
        "plant/$${iot:ClientId}",
        "plant/&{iot:ClientId}",
        "plant/{thing}",
        "plant/%s",
        "plant/%(thing)s",
        "plant/YOUR_THING",
        "plant/your-region",
        "plant/[REGION]",
    ],
)
def test_what_a_template_left_is_a_placeholder_and_only_that(text: str) -> None:
    assert ids(policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/{text}"))) == {"S08"}


@pytest.mark.parametrize("text", ["plant/${iot:Connection.Thing.Attributes[YOUR]}", "plant/[7]", "100%/full", "yours/truly"])
def test_what_only_looks_like_a_placeholder_is_none(text: str) -> None:
    assert found("S08", publish(text)) == []


def test_placeholders_are_told_once_a_document_with_all_their_names() -> None:
    document = policy(*(allow("iot:Publish", f"arn:aws:iot:<region>:<account>:topic/{number}") for number in range(10)))
    [one] = found("S08", document)
    assert "<region>, <account>" in one.message
    assert one.fix == "write the value in its place"
    assert {finding.rule for finding in findings(document)} - {"S07"} == {"S08"}


def test_a_dollar_sign_too_many_is_told_how_to_write_it() -> None:
    for text in ("$${iot:ClientId}", "${!iot:ClientId}"):
        assert [one.fix for one in found("S08", publish(text))] == ["write ${...} with one dollar sign and no exclamation mark"]
    many = publish(*(f"<p{number}>" for number in range(6)))
    assert [one.message for one in found("S08", many)] == ["<p0>, <p1>, <p2>, <p3>, <p4>, ... is left in the policy"]
    assert "..." not in found("S08", publish(*(f"<p{number}>" for number in range(5))))[0].message


# --- A: actions


@pytest.mark.parametrize(
    ("action", "fix"),
    [
        ("iot:PublishRetain", "write iot:RetainPublish"),
        ("iot:Receieve", "write iot:Receive"),
        ("iot:Conect", "write iot:Connect"),
        ("iot:UpdateShadow", "write iot:UpdateThingShadow"),
        ("Publish", "write iot:Publish"),
        ("iotdata:Publish", "write iot:Publish"),
        ("greengrass:Discovery", "write greengrass:Discover"),
    ],
)
def test_an_unknown_action_is_named_with_the_nearest_known_one(action: str, fix: str) -> None:
    for effect in (allow, deny):
        document = policy(CONNECT, effect(action, "*"))
        assert [one.fix for one in found("A01", document)] == [fix]
        assert {one.rule for one in findings(document)} == {"A01"}


def test_an_action_that_is_near_to_none_is_unknown_all_the_same() -> None:
    [one] = found("A01", policy(allow("iot:Dance", "*")))
    assert one.message.endswith("so it allows nothing")
    assert one.fix == "remove it, or write one of iot:Connect, iot:Publish, iot:Receive, iot:RetainPublish, iot:Subscribe"
    assert found("A01", policy(deny("iot:Dance", "*")))[0].message.endswith("so it denies nothing")


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        ("iot:CreateThing", "A02"),
        ("iot:attachpolicy", "A02"),
        ("iot:Create*", "A02"),
        ("s3:GetObject", "A03"),
        ("sts:*", "A03"),
        ("iot:GetThing*", None),
        ("iotjobsdata:*", None),
        ("greengrass:*", None),
        ("greengrass:GetDeployment", None),
    ],
)
def test_an_action_is_of_the_data_plane_of_the_control_plane_or_of_another_service(action: str, rule: str | None) -> None:
    told = {finding.rule for finding in findings(policy(CONNECT, allow(action, f"{ARN}:thing/x")))} & {"A01", "A02", "A03"}
    assert told == ({rule} if rule else set())


@pytest.mark.parametrize("action", ["iot:CreateThing", "s3:GetObject", "iot:*", "*"])
def test_what_cannot_be_allowed_may_be_denied(action: str) -> None:
    document = policy(CONNECT, deny(action, "*"))
    assert ids(document) & {"A01", "A02", "A03", "A04"} == set()


@pytest.mark.parametrize(
    ("action", "told"), [("iot:*", True), ("*", True), ("iot:**", True), ("iot:Get*", False), ("iot:P*", False)]
)
def test_every_action_is_every_action(action: str, told: bool) -> None:
    assert bool(found("A04", policy(allow(action, f"{ARN}:thing/x")))) is told


def test_a_policy_without_connect_is_taken_for_a_part_of_several() -> None:
    assert ids(publish(f"plant/{THING}")) == set()
    assert ids(listen(f"plant/{THING}", receive=(f"plant/{THING}",))) == set()
    assert ids(listen(f"plant/{THING}")) == set()
    assert ids(policy(allow("iot:RetainPublish", f"{ARN}:topic/plant/{THING}"))) == set()


def test_all_policies_of_a_device_together_must_let_it_connect() -> None:
    assert ids(publish(f"plant/{THING}"), complete=True) == {"A06"}
    assert ids(publish(f"plant/{THING}"), policy(CONNECT), complete=True) == set()
    anybody = {"Effect": "Allow", "Action": "iot:Connect", "NotResource": f"{ARN}:client/x"}
    assert "A06" not in ids(publish(f"plant/{THING}"), policy(anybody), complete=True)
    assert "A06" in ids(publish(f"plant/{THING}"), policy({**anybody, "Effect": "Deny"}), complete=True)
    assert ids(policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/x")), complete=True) == set()


def test_a_policy_that_asks_to_connect_and_cannot_is_meant_to_be_complete() -> None:
    asks = allow("iot:Connect", f"{ARN}:topic/press-7")
    [one] = found("A06", policy(asks, *publish("plant")["Statement"]))
    assert one.pointer == "/Statement/0/Action"
    assert found("A06", policy(asks)) == []


def test_nothing_is_said_to_be_missing_while_a_statement_cannot_be_read() -> None:
    broken = {"Effect": "Allow", "Action": "iot:Receive"}
    subscribes = allow("iot:Subscribe", f"{ARN}:topicfilter/plant")
    assert ids(policy(CONNECT, subscribes, broken)) == {"S03"}
    assert "A06" not in ids({**publish("plant"), "Statement": [*publish("plant")["Statement"], broken]}, complete=True)


@pytest.mark.parametrize(
    ("filter", "received", "told"),
    [
        (f"plant/{THING}/#", f"plant/{THING}/*", False),
        ("plant/+/state", "plant/*", False),
        ("plant/press-7/*", "plant/*/state", False),
        ("$share/group/plant/#", "plant/*", False),
        ("plant/press-7/state", "plant/press-7/orders", True),
        ("plant/#", "planet/*", True),
        (f"plant/{THING}/a", f"plant/{THING}/b", True),
        ("*", "plant/x", False),
    ],
)
def test_what_is_subscribed_to_must_be_received_somewhere(filter: str, received: str, told: bool) -> None:
    document = listen(filter, receive=(received,))
    assert bool(found("A07", {**document, "Statement": [CONNECT, *document["Statement"]]})) is told


def test_a_half_may_stand_in_another_policy_of_the_same_device() -> None:
    half, other = listen("plant/x"), policy(allow("iot:Receive", f"{ARN}:topic/plant/x"))
    two_halves = policy(CONNECT, *listen("plant/x", "plant/y")["Statement"])
    assert len(found("A07", two_halves)) == 1
    assert "A07" in ids(half, policy(CONNECT), complete=True)
    assert ids(half, policy(CONNECT), other, complete=True) == set()


def test_a_retained_publish_needs_publish_on_the_same_topic() -> None:
    retain = allow("iot:RetainPublish", f"{ARN}:topic/plant/a")
    assert found("A07", policy(CONNECT, retain))
    assert found("A07", policy(CONNECT, retain, allow("iot:Publish", f"{ARN}:topic/plant/b")))
    assert found("A07", policy(CONNECT, retain, allow("iot:Publish", f"{ARN}:topic/plant/*"))) == []


def test_a_complement_may_allow_the_other_half() -> None:
    everything = {"Effect": "Allow", "Action": "iot:Receive", "NotResource": f"{ARN}:topic/x"}
    document = policy(CONNECT, allow("iot:Subscribe", f"{ARN}:topicfilter/plant"), everything)
    assert found("A07", document) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}},
        {"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/gone"}},
    ],
)
def test_a_last_will_needs_publish(condition: dict[str, Any]) -> None:
    connect = allow("iot:Connect", f"{ARN}:client/{THING}", **condition)
    listens = [allow("iot:Subscribe", f"{ARN}:topicfilter/a"), allow("iot:Receive", f"{ARN}:topic/a")]
    assert found("A07", policy(connect, *listens))
    assert found("A07", policy(connect, *listens, allow("iot:Publish", f"{ARN}:topic/gone"))) == []
    assert found("A07", policy(connect)) == []
    persistent = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
    assert found("A07", policy(allow("iot:Connect", f"{ARN}:client/x", **persistent), *listens)) == []


@pytest.mark.parametrize("element", ["NotAction", "NotResource"])
def test_only_an_allow_is_told_to_name_what_it_means(element: str) -> None:
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}:topic/x"}
    negated = {**{key: value for key, value in statement.items() if key != element[3:]}, element: statement[element[3:]]}
    assert [one.pointer for one in found("A08", policy(negated))] == [f"/Statement/0/{element}"]
    assert found("A08", policy({**negated, "Effect": "Deny"})) == []


# --- R: resources


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:eu-central-1:111122223333:topic/plant",
        "arn:aws:iot:eu-central-1:topic/plant",
        f"{ARN}:/topic/plant",
        f"{ARN}:topic",
        f"{ARN}:topic/",
        "aws:aws:iot:eu-central-1:111122223333:topic/plant",
        "arn:awz:iot:eu-central-1:111122223333:topic/plant",
        "arn:aws:iot::111122223333:topic/plant",
        "arn:aws:iot:eu-central-1::topic/plant",
        "arn:aws:iot:eu-central-1:1111222233334:topic/plant",
        "arn:aws:sqs:eu-central-1:111122223333:topic/plant",
        "plant/press-7",
        "topic/*",
        "",
    ],
)
def test_what_is_the_arn_of_nothing_is_told_so(resource: str) -> None:
    assert found("R01", policy(allow("iot:Publish", resource)))


@pytest.mark.parametrize(
    "resource",
    [
        "*",
        f"{ARN}:*",
        f"{ARN}:topic*",
        "arn:aws:iot:*",
        "arn:*:iot:*:*:topic/plant",
        "arn:aws-cn:iot:cn-north-1:111122223333:topic/plant",
        "arn:aws-us-gov:iot:us-gov-west-1:111122223333:topic/plant",
        "arn:aws:iot:region:account-id:topic/plant",
        "arn:partition:iot:region:account-id:topic/plant",
        "arn:aws:*:eu-central-1:111122223333:topic/plant",
        "arn:aws:<service>:eu-central-1:111122223333:topic/plant",
    ],
)
def test_a_wildcard_or_a_word_in_an_arn_is_no_malformed_arn(resource: str) -> None:
    assert found("R01", policy(allow("iot:Publish", resource))) == []


@pytest.mark.parametrize(
    ("resource", "fix"),
    [
        ("arn:aws:eu-central-1:111122223333:topic/plant", f"write {ARN}:topic/plant"),
        (f"{ARN}:/topic/plant", f"write {ARN}:topic/plant"),
        ("arn:aws:iot:111122223333:topic/plant", "write arn:aws:iot:<region>:<account>:topic/..."),
        ("aws:eu-central-1:111122223333:topic/plant", "write arn:aws:iot:<region>:<account>:topic/..."),
        ("arn:aws:eu-central-1:111122223333:topic", "write arn:aws:iot:<region>:<account>:topic/..."),
        ("arn:aws:sqs:eu-central-1:111122223333:client/x", "write arn:aws:iot:<region>:<account>:client/..."),
        (f"{ARN}:client/", "write arn:aws:iot:<region>:<account>:client/..."),
    ],
)
def test_an_arn_is_mended_as_far_as_it_can_be_told(resource: str, fix: str) -> None:
    assert [one.fix for one in found("R01", policy(allow("iot:Connect", resource)))] == [fix]


def test_the_resources_of_greengrass_are_not_judged() -> None:
    core = "arn:aws:greengrass:eu-central-1:111122223333:/greengrass/things/core/connectivityInfo"
    assert ids(policy(allow(["greengrass:GetConnectivityInfo", "iot:Publish"], core, f"{ARN}:topic/x"))) == set()


@pytest.mark.parametrize(
    ("action", "kind", "right"),
    [
        ("iot:Connect", "topic", "client"),
        ("iot:Publish", "topicfilter", "topic"),
        ("iot:Receive", "topicfilter", "topic"),
        ("iot:Subscribe", "topic", "topicfilter"),
        ("iot:Subscribe", "topicFilter", "topicfilter"),
        ("iot:GetThingShadow", "topic", "thing"),
        ("iot:AssumeRoleWithCertificate", "role", "rolealias"),
    ],
)
def test_an_action_beside_the_wrong_resource_type_is_told_the_right_one(action: str, kind: str, right: str) -> None:
    for effect in (allow, deny):
        document = policy(CONNECT, effect(action, f"{ARN}:{kind}/press-7"))
        [one] = found("R02", document)
        assert one.fix == f"write {ARN}:{right}/press-7"
        assert found("R03", document) == []


def test_several_dead_actions_are_told_together() -> None:
    [one] = found("R02", policy(allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], f"{ARN}:topic/$aws/things/press-7")))
    assert "iot:GetThingShadow, iot:UpdateThingShadow" in one.message
    assert one.fix == f"write {ARN}:thing/press-7"
    [one] = found("R02", policy(allow(["iot:Publish", "iot:Subscribe"], f"{ARN}:topic/x")))
    assert one.pointer == "/Statement/0/Action/1"


def test_a_wildcard_for_actions_or_a_negation_needs_no_resource_for_each() -> None:
    assert found("R02", policy(allow("iot:*", f"{ARN}:topic/x"))) == []
    for statement in (
        {"Effect": "Deny", "Action": "iot:Publish", "NotResource": f"{ARN}:topicfilter/x"},
        {"Effect": "Deny", "NotAction": "iot:Publish", "Resource": f"{ARN}:topic/x"},
        {"Effect": "Deny", "Action": "iot:ListRetainedMessages", "NotResource": f"{ARN}:topic/x"},
    ):
        assert {one.rule for one in findings(policy(statement))} & {"R02", "R03", "R05"} == set()


@pytest.mark.parametrize("resource", ["*", f"{ARN}:*", f"{ARN}:topic*"])
def test_a_wildcard_for_the_resource_type_serves_every_action(resource: str) -> None:
    assert {"R02", "R03"} & ids(policy(allow(["iot:Subscribe", "iot:Publish"], resource))) == set()


def test_one_resource_for_each_action_is_enough_and_one_for_none_is_too_much() -> None:
    both = ["iot:Publish", "iot:Subscribe"]
    assert ids(policy(allow(both, f"{ARN}:topic/x", f"{ARN}:topicfilter/x"))) == set()
    [one] = found("R03", policy(allow(both, f"{ARN}:topic/x", f"{ARN}:topicfilter/x", f"{ARN}:client/x")))
    assert one.pointer == "/Statement/0/Resource/2"
    assert one.fix == f"remove it, or write {ARN}:topic/x"
    lists = allow("iot:ListRetainedMessages", "*", f"{ARN}:topic/x")
    assert [one.fix for one in found("R03", policy(lists))] == ['remove it, or write "*"']


def test_beside_an_action_that_nobody_knows_a_resource_is_not_called_useless() -> None:
    assert found("R03", policy(allow(["iot:Publish", "greengrass:Discover"], f"{ARN}:topic/x", f"{ARN}:thing/x"))) == []
    assert found("R03", policy(allow(["iot:Publish", "iot:Dance"], f"{ARN}:topic/x", f"{ARN}:thing/x"))) == []


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("aws:iot:*:111122223333", "<region>:<account>"),
        ("aws:iot:eu-central-1:*", "eu-central-1:<account>"),
        ("aws:iot:eu-central-?:111122223333", "<region>:<account>"),
        ("*:iot:eu-central-1:111122223333", "eu-central-1:<account>"),
    ],
)
def test_an_allow_for_any_place_is_told_once_a_statement(place: str, remedy: str) -> None:
    statement = ("iot:Publish", f"arn:{place}:topic/a", f"arn:{place}:topic/b")
    assert [one.fix for one in found("R04", policy(allow(*statement)))] == [f"write arn:aws:iot:{remedy}:topic/a"]
    [one] = found("R04", policy(allow(*statement)), account="111122223333", region="eu-west-1")
    assert one.fix == "write arn:aws:iot:eu-west-1:111122223333:topic/a"
    assert found("R04", policy(deny(*statement))) == []


def test_an_arn_of_another_account_is_told() -> None:
    other = f"{ARN}:topic/b".replace("1111", "9999")
    assert [one.pointer for one in found("R04", policy(allow("iot:Publish", f"{ARN}:topic/a", other)))] == [
        "/Statement/0/Resource/1"
    ]
    assert found("R04", publish("a"), account="999922223333", region="eu-central-1")
    assert found("R04", publish("a"), account="111122223333", region="eu-west-1")
    assert found("R04", publish("a"), account="111122223333", region="eu-central-1") == []
    assert found("R04", publish("a"), policy(allow("iot:Publish", other)), complete=False)


def test_two_regions_are_no_mistake_while_nobody_knows_which_one_is_meant() -> None:
    west = f"{ARN}:topic/a".replace("central", "west")
    assert found("R04", policy(allow("iot:Publish", f"{ARN}:topic/a", west))) == []
    core = allow("greengrass:GetDeployment", "arn:aws:greengrass:*:*:/greengrass/groups/x")
    assert found("R04", policy(core)) == []
    assert found("R04", policy(allow("iot:Publish", "arn:aws:iot:*"))) != []


@pytest.mark.parametrize("action", ["iot:ListRetainedMessages", "iot:ListNamedShadowsForThing"])
def test_a_list_action_stands_on_everything(action: str) -> None:
    assert found("R05", policy(allow(action, f"{ARN}:thing/x")))
    assert found("R05", policy(allow([action, "iot:GetThingShadow"], "*"))) == []
    assert found("R05", policy(allow("greengrass:Discover", f"{ARN}:thing/x"))) == []


def test_named_shadows_are_asked_for_where_only_the_classic_one_is_covered() -> None:
    for resources in (("x", "x/*"), ("x/settings",), ("*",), ("x*",)):
        assert found("R06", policy(allow("iot:GetThingShadow", *(f"{ARN}:thing/{one}" for one in resources)))) == []
    both = policy(allow(["iot:GetThingShadow", "iot:UpdateThingShadow"], f"{ARN}:thing/x"))
    assert len(found("R06", both)) == 1


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("a/b/c/d/e/f/g/h", False),
        ("a/b/c/d/e/f/g/h/i", True),
        ("$aws/rules/save/a/b/c/d/e/f/g/h", False),
        ("$aws/rules/save/a/b/c/d/e/f/g/h/i", True),
        ("$aws/commands/things/x/executions/1/response/accepted/json", False),
        ("${iot:Connection.Thing.Attributes[a/b/c/d/e/f/g/h/i]}/x", False),
        ("a" * 256, False),
        ("a" * 257, True),
        ("ä" * 128, False),
        ("ä" * 129, True),
        ("/a", True),
        ("a//b", True),
        ("a/", False),
        ("*", False),
    ],
)
def test_a_topic_has_seven_slashes_256_bytes_and_a_name_in_each_level(topic: str, told: bool) -> None:
    assert bool(found("R07", publish(topic))) is told
    assert found("R07", policy(deny("iot:Publish", f"{ARN}:topic/{topic}"))) == []
    assert found("R07", policy(allow("iot:Connect", f"{ARN}:client/{topic}"))) == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("$aws/thing/x/shadow/get", "things"),
        ("$AWS/things/x/shadow/get", "$aws"),
        ("$$aws/things/x/shadow/get", "$aws"),
        ("$aws/things/x/shadows/get", "shadow"),
        ("$aws/things/x/job/get", "jobs"),
        ("$aws/things/x/shadow/udpate", "update"),
        ("$aws/things/x/shadow/update/accept", "accepted"),
        ("$aws/things/x/shadow/name/settings/update/reject", "rejected"),
        (f"$aws/things/{THING}/stream/*", "streams"),
        ("$aws/certificate/create/json", "certificates"),
        ("$aws/certificates/create-from-crs/json", "create-from-csr"),
        ("$aws/provisioning-template/press/provision/json", "provisioning-templates"),
        ("$aws/provisioning-templates/press/provisioning/json", "provision"),
        ("$aws/rule/save", "rules"),
    ],
)
def test_a_misspelt_reserved_topic_is_told_the_right_level(wrong: str, right: str) -> None:
    [one] = found("R08", publish(wrong))
    assert one.fix == f"write {right}"


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/x/shadow/name/get/update",
        "$aws/things/x/shadow/name/*",
        "$aws/things/x/shadow/get/*",
        "$aws/things/x/jobs/notify-next",
        "$aws/things/x/defender/metrics/json",
        "$aws/things/x/tunnels/notify",
        "$aws/things/*/shadows",
        "$aws/certificates/*",
        "$aws/device_location/x/get_position_estimate",
        "$aws/iotfleetwise/vehicles/x/signals",
        "$aws/sitewise/asset-models/1/assets/2/properties/3",
        "$AWS/rules/save",
        "$share/group/plant",
        "aws/things/x",
    ],
)
def test_a_reserved_topic_that_is_right_or_new_is_left_alone(topic: str) -> None:
    assert found("R08", publish(topic)) == []
    assert found("R08", policy(allow("iot:Connect", f"{ARN}:client/$aws/thing"))) == []


def test_both_halves_of_a_certificate_request_are_asked_for() -> None:
    base = "$aws/certificates"
    ask = [allow("iot:Publish", f"{ARN}:topic/{base}/create/*", f"{ARN}:topic/{base}/create-from-csr/*")]
    hear = [allow("iot:Subscribe", f"{ARN}:topicfilter/{base}/create/*")]
    hear_both = [allow("iot:Subscribe", f"{ARN}:topicfilter/{base}/create*")]
    [one] = found("R08", policy(*ask, *hear))
    assert one.witness == f"{base}/create-from-csr/json/accepted"
    [other] = found(
        "R08",
        policy(
            allow("iot:Publish", f"{ARN}:topic/{base}/create/*"),
            *hear_both,
            allow("iot:Receive", f"{ARN}:topic/{base}/create-from-csr/*"),
        ),
    ) or [None]
    assert other is None
    assert found("R08", policy(*ask, *hear_both)) == []
    assert found("R08", policy(allow("iot:Publish", f"{ARN}:topic/{base}/create/*"), *hear)) == []
    both = allow("iot:Subscribe", f"{ARN}:topicfilter/{base}/create/*", f"{ARN}:topicfilter/{base}/create-from-csr/*")
    [third] = found("R08", policy(allow("iot:Publish", f"{ARN}:topic/{base}/create/*"), both))
    assert third.fix == f"add {ARN}:topic/{base}/create-from-csr/*"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("aws:iot:region:111122223333", True),
        ("aws:iot:eu-central-1:account-id", True),
        ("partition:iot:eu-central-1:111122223333", True),
        ("aws:iot::111122223333", False),
        ("aws:iot:eu-central-1:11112222333", False),
        ("aws:iot:*:*", False),
        ("aws:iot:<region>:{{ account }}", False),
        ("aws:iot:us-gov-west-1:111122223333", False),
    ],
)
def test_a_word_stands_where_a_place_should(place: str, told: bool) -> None:
    assert bool(found("R09", policy(allow("iot:Publish", f"arn:{place}:topic/x")))) is told


def test_words_of_the_documentation_are_told_once_and_low() -> None:
    document = policy(*(allow("iot:Publish", f"arn:aws:iot:region:57EXAMPLE833:topic/{number}") for number in range(9)))
    assert len(found("R09", document)) == 1
    assert ids(document) == set()
    assert found("R09", publish("a")) == []


# --- M: MQTT


def test_an_mqtt_wildcard_in_a_deny_is_no_harm_where_another_deny_covers_it() -> None:
    halls = allow(["iot:Subscribe", "iot:Receive"], f"{ARN}:topicfilter/hall/*", f"{ARN}:topic/hall/*")
    literal = deny("iot:Subscribe", f"{ARN}:topicfilter/hall/+/vault")
    real = deny(["iot:Subscribe"], f"{ARN}:topicfilter/hall/*/vault")
    [one] = found("M01", policy(halls, literal))
    assert one.fix == f"write {ARN}:topicfilter/hall/*/vault"
    assert found("M01", policy(halls, literal, real)) == []
    assert found("M01", policy(halls, literal, deny("iot:Subscribe", f"{ARN}:topicfilter/office/*")))
    assert found("M01", policy(halls, literal, deny("iot:Receive", f"{ARN}:topic/hall/*/vault")))
    assert found("M01", policy(deny("iot:Connect", f"{ARN}:client/+"))) == []
    assert found("M01", policy(halls, deny("iot:Publish", f"{ARN}:topic/hall/#")))
    assert found("M01", policy(deny("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.Attributes[a#b]}}"))) == []


def test_a_wildcard_filter_gets_around_a_deny_only_if_messages_then_arrive() -> None:
    halls, no_vault = (
        allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"),
        deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault/*"),
    )
    receive = allow("iot:Receive", f"{ARN}:topic/hall/*")
    assert [one.witness for one in found("M02", policy(halls, no_vault, receive))] == ["hall/#"]
    assert [one.witness for one in found("M02", policy(halls, no_vault))] == ["hall/#"]
    assert found("M02", policy(halls, no_vault, allow("iot:Receive", f"{ARN}:topic/hall/1/*"))) == []
    assert found("M02", policy(halls, no_vault, receive, deny("iot:Receive", f"{ARN}:topic/hall/vault/*"))) == []
    assert found("M02", policy(no_vault, receive)) == []


@pytest.mark.parametrize(
    ("allowed", "denied", "witness"),
    [
        ("hall/*", "hall/vault", "hall/#"),
        ("hall/*/state", "hall/vault/state", "hall/+/state"),
        ("*", "hall/*", "#"),
        ("*", "*", None),
        ("$aws/*", "$aws/events/*", "$aws/#"),
        ("$aws/events/*", "$aws/events/*", None),
        ("hall/?", "hall/1", "hall/#"),
        ("hall/1", "hall/1", None),
    ],
)
def test_the_filter_that_gets_around_a_deny_is_shown(allowed: str, denied: str, witness: str | None) -> None:
    document = policy(
        allow("iot:Subscribe", f"{ARN}:topicfilter/{allowed}"), deny("iot:Subscribe", f"{ARN}:topicfilter/{denied}")
    )
    assert [one.witness for one in found("M02", document)] == ([witness] if witness else [])


def test_no_filter_gets_around_a_deny_of_everything_else() -> None:
    rest = {"Effect": "Deny", "Action": "iot:Subscribe", "NotResource": f"{ARN}:topicfilter/hall/1"}
    document = policy(
        allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"), deny("iot:Subscribe", f"{ARN}:topicfilter/hall/2"), rest
    )
    assert found("M02", document) == []
    other = {**rest, "Action": "iot:Publish"}
    assert found("M02", policy(*document["Statement"][:2], other))


def test_an_mqtt_wildcard_in_a_topic_is_told_for_what_uses_topics() -> None:
    assert found("M03", publish("plant/+/state"))
    assert found("M03", policy(allow("iot:Receive", f"{ARN}:topic/plant/#")))
    assert found("M03", listen("plant/+/state", receive=("plant/*/state",))) == []
    assert found("M03", policy(allow("iot:Subscribe", f"{ARN}:topic/plant/#"))) == []
    assert found("M03", policy(deny("iot:Publish", f"{ARN}:topic/plant/#"))) == []
    assert found("M03", publish("plant/${iot:Connection.Thing.Attributes[a#b]}")) == []


@pytest.mark.parametrize(
    ("filter", "received", "witness"),
    [
        ("plant/+/orders", f"plant/{THING}/orders", "plant/another-thing/orders"),
        ("plant/#", "plant/hall/*", "plant/another-thing/x"),
        ("plant/+/orders", "plant/*/orders", None),
        ("plant/#", "plant/*", None),
        (f"plant/{THING}/#", f"plant/{THING}/*", None),
        ("plant/+/orders", "office/*", None),
        ("$aws/things/x/shadow/#", "$aws/things/x/shadow/get/*", None),
    ],
)
def test_a_filter_may_take_in_what_is_received(filter: str, received: str, witness: str | None) -> None:
    assert [one.witness for one in found("M04", listen(filter, receive=(received,)))] == ([witness] if witness else [])


def test_a_filter_may_not_take_in_the_branch_of_another_device() -> None:
    own = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")
    wide = [allow("iot:Subscribe", f"{ARN}:topicfilter/plant/+/orders"), allow("iot:Receive", f"{ARN}:topic/*")]
    assert [one.witness for one in found("M04", policy(own, *wide))] == ["plant/another-thing/orders"]
    assert found("M04", policy(*wide)) == []
    typed = allow("iot:Publish", f"{ARN}:topic/plant/${{iot:Connection.Thing.ThingTypeName}}/orders")
    assert found("M04", policy(typed, *wide)) == []
    assert found("M04", policy(own, wide[1], deny("iot:Subscribe", f"{ARN}:topicfilter/plant/+/orders"))) == []
    assert found("M04", listen("plant/${iot:Connection.Thing.Attributes[a#b]}", receive=("plant/x/*", "plant/*"))) == []


@pytest.mark.parametrize("filter", ["plant/#/orders", "plant/orders#", "plant+/orders", "#/a", "a/+b", f"plant/{THING}#", "#/*"])
def test_a_text_that_is_no_filter_is_told_so(filter: str) -> None:
    assert found("M05", listen(filter))
    assert found("M05", policy(deny("iot:Subscribe", f"{ARN}:topicfilter/{filter}"))) == []
    assert found("M05", publish(filter)) == []


@pytest.mark.parametrize(
    "filter", ["#", "+", "+/#", "plant/+/#", "$share/g/plant/#", "plant/*#", "plant+*", "*+", "plant/?#", ODD_NAME]
)
def test_a_filter_that_is_one_or_may_become_one_is_left_alone(filter: str) -> None:
    assert found("M05", listen(filter)) == []


@pytest.mark.parametrize(
    ("filter", "told"),
    [
        ("*", True),
        ("*/orders", True),
        ("$*", True),
        ("?share/*", True),
        ("$share/group/plant/*", False),
        ("$aws/*", False),
        ("plant/*", False),
        (f"{THING}/*", False),
        ("${iot:ClientId}*", False),
        ("$share/*", True),
        ("$s?are/*", True),
        ("$share/*/#", True),
        ("$share/*/plant/orders", False),
        ("$share/g/#", False),
    ],
)
def test_only_a_wildcard_at_the_start_takes_in_shared_subscriptions(filter: str, told: bool) -> None:
    assert bool(found("M06", listen(filter))) is told
    shares = deny("iot:Subscribe", f"{ARN}:topicfilter/$share/*")
    assert found("M06", policy(*listen(filter)["Statement"], shares)) == []


OWN_STATE = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/state")


@pytest.mark.parametrize(
    ("filter", "witness"),
    [
        ("plant/?/state", "plant/another-thing/state"),
        ("plant/?", "plant/another-thing/state"),
        ("plant/*/state", "plant/another-thing/state"),
        ("plant/*", "plant/another-thing/state"),
        ("$share/g/plant/+/state", "plant/another-thing/state"),
        ("$share/*", "plant/another-thing/state"),
        ("$share/g?/plant/*", "plant/another-thing/state"),
        ("???????", "plant/another-thing/state"),
        (f"plant/*/{THING}", None),
        (f"plant/{THING}/*", None),
        ("plant/orders/*", None),
        ("orders/*", None),
        ("$aws/events/*", None),
    ],
)
def test_a_wildcard_of_a_policy_takes_in_the_branch_of_another_device_too(filter: str, witness: str | None) -> None:
    for received in ((), ("plant/*",), ("*/state",)):
        document = listen(filter, receive=received)
        told = found("M04", policy(CONNECT, OWN_STATE, *document["Statement"]))
        assert [one.witness for one in told] == ([witness] if witness else [])
    bound = listen(filter, receive=(f"plant/{THING}/*",))
    assert "*" not in filter or found("M04", policy(CONNECT, OWN_STATE, *bound["Statement"])) == []
    denied = deny("iot:Receive", f"{ARN}:topic/plant/*")
    assert "*" not in filter or found("M04", policy(CONNECT, OWN_STATE, *document["Statement"], denied)) == []


@pytest.mark.parametrize("filter", ["+/+", "+/+/#", "?/?/#", "?/?/?"])
def test_levels_of_wildcards_alone_take_in_the_branch_of_another_device(filter: str) -> None:
    own = allow("iot:Publish", f"{ARN}:topic/{THING}/state", f"{ARN}:topic/plant/{THING}/state")
    assert found("M04", policy(CONNECT, own, *listen(filter)["Statement"]))


@pytest.mark.parametrize(
    ("filter", "received", "told"),
    [
        ("plant/?", "*", True),
        ("plant/?", "plant/*", True),
        ("plant/?", "plant/?", False),
        ("plant/hall-?", "plant/*", False),
        ("plant/?/state", "plant/*", True),
    ],
)
def test_one_character_of_a_filter_may_be_a_wildcard_of_mqtt(filter: str, received: str, told: bool) -> None:
    assert bool(found("M04", listen(filter, receive=(received,)))) is told
    assert bool(found("M04", listen(filter))) is (filter != "plant/hall-?")


def test_a_deny_of_all_but_some_filters_stops_only_what_it_denies() -> None:
    rest = {"Effect": "Deny", "Action": "iot:Subscribe", "NotResource": f"{ARN}:topicfilter/hall/*"}
    halls = [allow("iot:Subscribe", f"{ARN}:topicfilter/hall/*"), deny("iot:Subscribe", f"{ARN}:topicfilter/hall/vault")]
    assert found("M02", policy(*halls, rest))


# --- B: breadth


ATTACHED = {"iot:Connection.Thing.IsAttached": "true"}


@pytest.mark.parametrize(
    "resource",
    [
        "*",
        f"{ARN}:*",
        f"{ARN}:client/*",
        f"{ARN}:client/${{iot:ClientId}}",
        f"{ARN}:client/${{iot:clientid}}",
        f"{ARN}:cl*",
        f"{ARN}:client/?*",
        f"{ARN}:client/*-*",
        f"{ARN}:client/*-gw",
        f"{ARN}:client/????????????????*",
        f"{ARN}:client/*-${{iot:ClientId}}",
    ],
)
def test_any_client_id_needs_an_attached_thing(resource: str) -> None:
    assert found("B01", policy(allow("iot:Connect", resource)))
    for condition in (
        {"Bool": ATTACHED},
        {"StringEquals": {"iot:Connection.Thing.ThingTypeName": "Press"}},
        {"StringEquals": {"iot:ClientId": "${iot:Certificate.Subject.CommonName}"}},
        {"Bool": {"IOT:connection.thing.isattached": ["true"]}},
    ):
        assert found("B01", policy(allow("iot:Connect", resource, **condition))) == []
    for condition in (
        {"BoolIfExists": ATTACHED},
        {"Bool": {"iot:Connection.Thing.IsAttached": ["true", "false"]}},
        {"StringNotEquals": {"iot:Connection.Thing.ThingTypeName": "Press"}},
        {"StringLike": {"iot:ClientId": "*"}},
        {"StringEquals": {"iot:ClientId": "${iot:ClientId}"}},
        {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}},
        {"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}},
    ):
        assert found("B01", policy(allow("iot:Connect", resource, **condition)))


@pytest.mark.parametrize(
    "name",
    [
        "press-7",
        "press-*",
        THING,
        "${iot:Certificate.Subject.CommonName}",
        "another-*",
        "Q*",
        "*-${iot:Certificate.SerialNumber}",
    ],
)
def test_some_client_ids_are_not_any(name: str) -> None:
    assert found("B01", policy(allow("iot:Connect", f"{ARN}:client/{name}"))) == []


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("press-*", True),
        ("press-?", True),
        ("????", False),  # B01: any client id of four characters
        ("press-${iot:ClientId}", True),
        ("another-*", True),
        ("press-7", False),
        (THING, False),
        (f"{THING}*", False),
        ("${iot:Certificate.Subject.CommonName}", False),
        ("*", False),
    ],
)
def test_a_client_id_of_a_form_is_the_choice_of_the_device(client: str, told: bool) -> None:
    connect = allow("iot:Connect", f"{ARN}:client/{client}")
    assert bool(found("B10", policy(connect))) is told
    assert not told or ids(policy(connect)) == {"B10"}
    assert found("B10", _as(client, Bool=ATTACHED)) == []
    assert found("B10", _as(client, StringEquals={"iot:ClientId": "${iot:Certificate.Subject.CommonName}"})) == []
    guard = deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"})
    assert found("B10", policy(connect), policy(guard), complete=True) == []
    create = allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create/*")
    assert found("B10", policy(connect, create)) == found("B10", policy(connect), claim=True) == []
    core = allow("greengrass:ResolveComponentCandidates", "*")
    if client == "press-*":
        assert found("B10", policy(connect, core)) == []


def test_a_claim_is_told_a_client_id_that_it_can_have() -> None:
    document = policy(allow("iot:Connect", "*"), allow("iot:Publish", f"{ARN}:topic/$aws/certificates/create/*"))
    assert ["client/claim-*" in one.fix for one in found("B01", document)] == [True]


@pytest.mark.parametrize(
    ("rule", "resource", "told"),
    [
        ("V06", f"client/{THING}*", False),
        ("V06", f"topic/$aws/things/{THING}*/shadow/*", False),
        ("V06", f"topic/$aws/things/{THING}*", False),
        ("V07", f"client/*{THING}", True),
        ("V07", f"client/gw?{THING}*", True),
        ("V06", f"client/{THING}*-gw", True),
        ("V06", f"topic/plant/{THING}*", True),
        ("B06", "topic/$aws/things/core*/jobs/*", False),
        ("B06", "thing/core*", False),
        ("B06", "topic/$aws/things/press-*/shadow/*", True),
        ("B06", "thing/press-*", True),
        ("B06", "topic/$aws/things/press-?/shadow/*", True),
    ],
)
def test_a_greengrass_core_is_let_off_only_what_it_needs(rule: str, resource: str, told: bool) -> None:
    connect = allow("iot:Connect", f"{ARN}:client/{THING}*" if "${" in resource else f"{ARN}:client/core*")
    actions = ["iot:Connect", "iot:Publish", "iot:GetThingShadow"]
    core = allow("greengrass:ResolveComponentCandidates", "*")
    assert bool(found(rule, policy(connect, core, allow(actions, f"{ARN}:{resource}")))) is told


def test_a_deny_may_keep_out_whoever_is_not_attached() -> None:
    anybody = allow("iot:Connect", f"{ARN}:client/*")
    for guard in (
        deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"}),
        deny("iot:*", "*", BoolIfExists={"iot:Connection.Thing.IsAttached": "false"}),
        deny("iot:Connect", "*", StringNotEquals={"iot:Connection.Thing.IsAttached": "true"}),
    ):
        assert found("B01", policy(anybody, guard)) == []
    for no_guard in (
        # For whoever connects under another name than its thing's the variable has no value, and the Deny may deny nothing.
        {"Effect": "Deny", "Action": "iot:Connect", "NotResource": f"{ARN}:client/{THING}"},
        deny("iot:Connect", f"{ARN}:client/*-*", Bool={"iot:Connection.Thing.IsAttached": "false"}),
        deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "true"}),
        deny("iot:Connect", f"{ARN}:client/a*", Bool={"iot:Connection.Thing.IsAttached": "false"}),
        deny("iot:Publish", "*", Bool={"iot:Connection.Thing.IsAttached": "false"}),
        deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"}, IpAddress={"aws:SourceIp": "198.51.100.1"}),
        {"Effect": "Deny", "Action": "iot:Connect", "NotResource": f"{ARN}:client/press-*"},
    ):
        assert found("B01", policy(anybody, no_guard))


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/*",
        "$aws/things/*/shadow/update",
        "$aws/*",
        "*",
        "*/shadow/update",
        "$aws/t*",
        "$aws/things/?*",
        "$aws/things/*/greengrass/health/json",
        "$aws/things/*-gw/shadow/update",
        "$aws/things/*-*/jobs/*",
        "$aws/things/????????????????*/shadow/get",
        "$aws/commands/*",
        "$aws/commands/things/*",
        "$aws/commands/things/*/executions/*/response/json",
        "$aws/commands/clients/*-gw/executions/*",
    ],
)
def test_other_things_are_reached_by_publishing(topic: str) -> None:
    for action in ("iot:Publish", "iot:RetainPublish"):
        [one] = found("B02", policy(allow(action, f"{ARN}:topic/{topic}")))
        assert str(one.witness).startswith(("$aws/things/another-thing", "$aws/commands/"))
        assert "/another-thing" in str(one.witness)
    assert found("B02", policy(allow("iot:Receive", f"{ARN}:topic/{topic}"))) == []
    assert found("B02", policy(deny("iot:Publish", f"{ARN}:topic/{topic}"))) == []


@pytest.mark.parametrize(
    "filter",
    [
        "$aws/things/+/shadow/update",
        "$aws/things/#",
        "$aws/#",
        "$aws/+/+/shadow/#",
        "$aws/things/*",
        "*",
        "$aws/+/#",
        "$aws/things/?/shadow/update",
        "$aws/commands/things/+/executions/+/request/json",
        "$aws/commands/#",
    ],
)
def test_other_things_are_reached_by_subscribing(filter: str) -> None:
    assert found("B02", listen(filter))


@pytest.mark.parametrize(
    "name",
    [
        f"$aws/things/{THING}/*",
        "$aws/things/${iot:ClientId}/shadow/+",
        "$aws/things/press-7/*",
        "$aws/things/press-7/#",
        "$aws/things/press-*/shadow/get",
        f"$aws/commands/things/{THING}/executions/*",
        "$aws/commands/things/press-7/*",
        "$aws/rules/save/*",
        "plant/*",
        "*/orders",
        "#",
    ],
)
def test_own_and_named_things_are_not_others(name: str) -> None:
    assert found("B02", listen(name)) == []
    if "#" not in name and "+" not in name:
        assert found("B02", publish(name)) == []


@pytest.mark.parametrize(
    ("rule", "action", "ends"),
    [
        ("B01", "iot:Connect", ("client/*", "client/?*")),
        ("B02", "iot:Publish", ("topic/$aws/things/*", "topic/$aws/*")),
        ("B03", "iot:GetThingShadow", ("thing/*", "thing/?*")),
        ("B04", "iot:Subscribe", ("topicfilter/*", "topicfilter/#")),
        ("M06", "iot:Subscribe", ("topicfilter/*", "topicfilter/*/x")),
        ("V03", "iot:Publish", ("topic/a/${iot:ClientId}", "topic/b/${iot:ClientId}")),
        ("V05", "iot:GetThingShadow", (f"thing/{THING}", f"thing/{THING}/*")),
    ],
)
def test_a_statement_is_told_once_and_every_statement_is_told(rule: str, action: str, ends: tuple[str, ...]) -> None:
    one = allow(action, *(f"{ARN}:{end}" for end in ends))
    anybody = [allow("iot:Connect", f"{ARN}:client/a*")] if rule == "V03" else []
    assert len(found(rule, policy(*anybody, one))) == 1
    assert len(found(rule, policy(*anybody, one, one))) == 2


def test_a_complement_leaves_other_things_open() -> None:
    def everything_but(*topics: str, effect: str = "Allow") -> dict[str, Any]:
        return policy({"Effect": effect, "Action": "iot:Publish", "NotResource": [f"{ARN}:topic/{topic}" for topic in topics]})

    assert found("B02", everything_but("secret"))
    assert found("B02", everything_but("secret", "$aws/*")) == []
    assert found("B02", everything_but("secret", effect="Deny")) == []
    received = {"Effect": "Allow", "Action": "iot:Receive", "NotResource": [f"{ARN}:topic/secret"]}
    assert found("B02", policy(received)) == []


@pytest.mark.parametrize(
    ("name", "told"), [("*", True), ("?*", True), ("*-gw", True), ("press-7", False), ("press-*", False), (THING, False)]
)
def test_any_thing_of_the_https_api_is_any_thing(name: str, told: bool) -> None:
    for action in ("iot:GetThingShadow", "iotjobsdata:UpdateJobExecution", "iot:UpdateJobExecution"):
        assert bool(found("B03", policy(allow(action, f"{ARN}:thing/{name}")))) is told
    assert found("B03", policy(allow("greengrass:Discover", f"{ARN}:thing/{name}"))) == []
    assert found("B03", policy(deny("iot:GetThingShadow", f"{ARN}:thing/{name}"))) == []


ANYWHERE = ["arn:aws-cn:iot:cn-north-1:999922223333:*", "arn:aws:iot:*:999922223333:t*", "arn:*:iot:us-east-1:*:topi?/*"]


@pytest.mark.parametrize("resource", ["*", f"{ARN}:*", f"{ARN}:topic*", f"{ARN}:topic/*", f"{ARN}:topic/**", *ANYWHERE])
def test_everything_is_everything(resource: str) -> None:
    assert [one.witness for one in found("B04", policy(allow("iot:Publish", resource)))] == ["$aws/rules/any_rule"]
    assert found("B04", policy(allow("iot:Receive", resource))) == []
    assert found("B04", policy(deny("iot:Publish", resource))) == []


@pytest.mark.parametrize(
    ("filter", "witness"),
    [
        ("#", "#"),
        ("+/#", "+/#"),
        ("*", "#"),
        ("?", "#"),
        ("???", "+/#"),
        ("+/+", "+/+"),
        ("+/+/#", "+/+/#"),
        ("*/*", "+/#"),
        ("$share/g/#", "$share/g/#"),
        ("$share/*", "$share/any-group/#"),
        ("$share/g*", "$share/g/#"),
        ("$share/*/plant/orders", None),
        ("$share/g/plant/*", None),
        ("+", None),
        ("plant/#", None),
        ("plant/?", None),
        ("*/a", None),
    ],
)
def test_a_filter_for_everything_is_everything_too(filter: str, witness: str | None) -> None:
    assert [one.witness for one in found("B04", listen(filter))] == ([witness] if witness else [])


@pytest.mark.parametrize("topic", ["?*", "*?", "**"])
def test_a_wildcard_beside_another_is_every_topic_still(topic: str) -> None:
    assert found("B04", publish(topic))


def test_receive_on_everything_is_only_told_beside_a_narrow_subscribe() -> None:
    assert found("B05", listen("plant/x", receive=("*",)))
    assert found("B05", policy(allow("iot:Subscribe", f"{ARN}:topicfilter/x"), allow("iot:Receive", "*")))
    assert found("B05", listen("*", receive=("*",))) == []
    assert found("B05", listen("plant/x", receive=("plant/*",))) == []
    assert found("B05", policy(allow("iot:Receive", f"{ARN}:topic/*"))) == []


@pytest.mark.parametrize(
    ("topic", "witness"),
    [
        (f"plant/*/{THING}/*", "plant/x/another-thing/this-thing/x"),
        (f"plant/*/VIN-{THING}/*", "plant/x/VIN-another-thing/VIN-this-thing/x"),
        (f"*/{THING}/*", "x/another-thing/this-thing/x"),
        ("plant/pump*", "plant/pump-house"),
        ("plant/pump*/state", "plant/pump-house/state"),
        ("$aws/things/press-*/shadow/update", "$aws/things/press-2/shadow/update"),
    ],
)
def test_a_wildcard_that_crosses_is_shown_a_topic_of_another(topic: str, witness: str) -> None:
    assert [one.witness for one in found("B06", publish(topic))] == [witness]
    assert found("B06", policy(allow("iot:Receive", f"{ARN}:topic/{topic}"))) == []
    assert found("B06", policy(deny("iot:Publish", f"{ARN}:topic/{topic}"))) == []


@pytest.mark.parametrize(
    "topic",
    [
        f"plant/{THING}/*",
        f"plant/*/{THING}",
        f"plant/*/{THING}/state",
        f"plant/{THING}/pump*",
        f"plant/{THING}/*/${{iot:ClientId}}/*",
        "plant/*/${iot:Connection.Thing.ThingTypeName}/*",
        "plant/*/state",
        "plant/*",
        "plant/pump-*",
        "plant*",
        "*",
        "$aws/rules/save*",
        "$aws/things/*",
        "$aws/things/press-7/shadow/up*",
        "*plant",
    ],
)
def test_a_wildcard_that_stays_with_its_owner_or_in_its_level_is_left_alone(topic: str) -> None:
    assert found("B06", publish(topic)) == []


def test_a_resource_that_crosses_is_told_once() -> None:
    topic = f"{ARN}:topic/plant/pump*"
    assert len(found("B06", policy(allow("iot:Publish", topic), allow("iot:RetainPublish", topic)))) == 1


def test_the_wildcard_that_aws_asks_for_is_a_greengrass_cores() -> None:
    topic = allow("iot:Publish", f"{ARN}:topic/$aws/things/core*/jobs/*")
    shadow = allow("iot:GetThingShadow", f"{ARN}:thing/core*")
    assert len(found("B06", policy(topic, shadow))) == 2
    assert found("B06", policy(topic, shadow, allow("greengrass:ResolveComponentCandidates", "*"))) == []
    health = allow("iot:Publish", f"{ARN}:topic/$aws/things/core*/greengrassv2/health/json")
    assert found("B06", policy(topic, shadow, health)) == []


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("$aws/rules/*", True),
        ("$aws/rules/save*", True),
        ("$aws/rules*", True),
        ("$aws/r*", True),
        ("$aws/rules/?????", True),
        ("$aws/rules/?????/x", True),
        ("$aws/e*", True),
        ("$aws/?????/*", True),
        ("$aws/*", False),
        ("$aws/event?/presence/*", True),
        ("$aws/rules/${iot:ClientId}/*", False),
        ("$aws/events/presence/connected/x", True),
        ("$aws/events/*", True),
        ("$aws/rules/save", False),
        ("$aws/rules/save/*", False),
        (f"$aws/rules/save/{THING}/*", False),
    ],
)
def test_rules_are_named_and_events_are_aws_own(topic: str, told: bool) -> None:
    assert bool(found("B07", publish(topic))) is told
    assert found("B07", policy(allow("iot:Receive", f"{ARN}:topic/{topic}"))) == []
    assert found("B07", policy(allow(["iot:Publish", "iot:Subscribe"], f"{ARN}:topic/x", f"{ARN}:topicfilter/{topic}"))) == []
    assert found("B07", policy(deny("iot:Publish", f"{ARN}:topic/{topic}"))) == []


@pytest.mark.parametrize(
    ("alias", "told"),
    [("rolealias/*", True), ("*", True), ("rolealias/*-logs", True), ("rolealias/logs", False), ("rolealias/logs-*", False)],
)
def test_a_role_alias_is_named(alias: str, told: bool) -> None:
    assert bool(found("B08", policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:{alias}")))) is told


def _claim(*extra: dict[str, Any], template: str = "press") -> dict[str, Any]:
    topics = (f"{ARN}:topic/$aws/certificates/create/*", f"{ARN}:topic/$aws/provisioning-templates/{template}/provision/*")
    return policy(allow("iot:Connect", f"{ARN}:client/claim-*"), allow("iot:Publish", *topics), *extra)


def test_a_claim_does_nothing_but_provision() -> None:
    assert found("B09", _claim()) == []
    assert found("B09", _claim(allow("iot:Publish", f"{ARN}:topic/log")))
    assert found("B09", _claim(allow("iot:GetThingShadow", f"{ARN}:thing/x")))
    assert found("B09", _claim(allow("greengrass:Discover", f"{ARN}:thing/x"))) == []
    assert found("B09", _claim(template="press*"))
    assert found("B09", _claim(template="pre?s"))


def test_what_is_known_of_a_claim_counts() -> None:
    assert found("B09", _claim(), claim=True, templates=("press",)) == []
    assert ["not this fleet's" in one.message for one in found("B09", _claim(), claim=True, templates=("lathe",))] == [True]
    assert ["any provisioning" in one.message for one in found("B09", _claim(template="*"), claim=True)] == [True]
    assert found("B09", _claim(template="${iot:ClientId}"), claim=True, templates=("lathe",)) == []
    assert found("B09", _claim(), claim=False)
    assert found("B09", publish("log"), claim=True)
    assert found("B09", publish("log"), claim=False) == []
    assert found("B09", _claim(), publish("log"), claim=None)


# --- V: variables


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("iot:Thing.ThingName", "write ${iot:Connection.Thing.ThingName}"),
        ("iot:Connection.Thing.ThingNames", "write ${iot:Connection.Thing.ThingName}"),
        ("aws:username", None),
        ("", None),
    ],
)
def test_a_variable_that_does_not_exist_is_named_once_a_statement(name: str, fix: str | None) -> None:
    document = policy(allow("iot:Publish", f"{ARN}:topic/a/${{{name}}}", f"{ARN}:topic/b/${{{name}}}"))
    [one] = found("V01", document)
    assert fix is None or one.fix == fix


def test_a_variable_that_does_not_exist_is_found_in_conditions_and_in_a_deny() -> None:
    conditioned = allow("iot:Publish", f"{ARN}:topic/a", StringEquals={"iot:ClientId": "${iot:Thing.ThingName}"})
    assert [one.pointer for one in found("V01", policy(conditioned))] == ["/Statement/0/Condition/StringEquals/iot:ClientId"]
    assert "denies nothing" in found("V01", policy(deny("iot:Publish", f"{ARN}:topic/${{iot:Thing.ThingName}}")))[0].message


@pytest.mark.parametrize(
    "name",
    [
        "iot:clientid",
        "iot:Connection.Thing.Attributes[site]",
        "iot:Certificate.Subject.CommonName.2",
        "iot:Certificate.Subject.CommonName.0",
        "iot:CertificateId",
        "aws:SourceIp",
    ],
)
def test_a_variable_that_aws_names_somewhere_is_known(name: str) -> None:
    assert found("V01", publish(f"plant/${{{name}}}")) == []


def test_variables_stand_in_resources_and_conditions_only() -> None:
    statement = publish("plant")["Statement"][0]
    assert [one.pointer for one in found("V02", policy({**statement, "Action": ["iot:${iot:ClientId}"]}))] == [
        "/Statement/0/Action/0"
    ]
    assert [one.pointer for one in found("V02", policy({**statement, "Effect": "${iot:ClientId}"}))] == ["/Statement/0/Effect"]
    assert [one.pointer for one in found("V02", {**policy(statement), "Version": "${iot:ClientId}"})] == ["/Version"]
    assert {"V02"} == ids(policy({**statement, "Action": ["iot:${iot:ClientId}"]}))


def _as(client: str, *statements: dict[str, Any], **condition: Any) -> dict[str, Any]:
    return policy(allow("iot:Connect", f"{ARN}:client/{client}", **condition), *statements)


OWN = allow("iot:Publish", f"{ARN}:topic/plant/${{iot:ClientId}}")


@pytest.mark.parametrize(
    ("client", "witness"),
    [("*", "another-thing"), ("press-*", "press-2"), ("${iot:ClientId}", "another-thing"), ("press-7", None), (THING, None)],
)
def test_a_client_id_in_a_topic_must_not_be_the_devices_choice(client: str, witness: str | None) -> None:
    assert [one.witness for one in found("V03", _as(client, OWN))] == ([witness] if witness else [])
    assert found("V03", _as(client, OWN, Bool=ATTACHED)) == []


def test_a_chosen_client_id_is_a_wildcard_in_a_filter() -> None:
    subscribes = allow("iot:Subscribe", f"{ARN}:topicfilter/plant/${{iot:ClientId}}/orders")
    assert [one.witness for one in found("V03", _as("*", subscribes))] == ["+"]
    assert [one.witness for one in found("V03", _as("press-*", subscribes))] == ["press-/+"]
    assert [one.witness for one in found("V03", _as("*-gw", subscribes))] == ["+/-gw"]


def test_a_chosen_client_id_does_no_harm_where_it_must_be_a_things() -> None:
    attached = {**OWN, "Condition": {"Bool": ATTACHED}}
    assert found("V03", _as("*", attached)) == []
    assert found("V03", policy(OWN)) == []
    assert found("V03", policy(OWN), policy(allow("iot:Connect", f"{ARN}:client/*")), complete=True)
    guard = deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"})
    assert found("V03", _as("*", OWN, guard)) == []
    assert found("V03", _as("*", deny("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}"))) == []


@pytest.mark.parametrize(
    ("topic", "remedy"),
    [
        ("plant/${iot:ClientId}/x", f"plant/{THING}/x"),
        ("plant/*/${iot:clientid}/*", f"plant/{THING}/*"),
        ("plant/${iot:ClientId}*", f"plant/{THING}/*"),
        ("plant/gw-${iot:ClientId}/x", f"plant/{THING}/x"),
        ("plant/${iot:ClientId}/a/*", f"plant/{THING}/a/*"),
        ("*/${iot:ClientId}", f"{THING}/*"),
    ],
)
def test_the_remedy_for_a_chosen_client_id_breaks_no_other_rule(topic: str, remedy: str) -> None:
    publishes = allow("iot:Publish", f"{ARN}:topic/{topic}")
    [one] = found("V03", _as("press-*", publishes))
    assert one.fix.startswith(f"write {ARN}:topic/{remedy}, or allow")
    assert one.fix.endswith(f"client/{THING} in Connect")
    assert ids(policy(CONNECT, allow("iot:Publish", f"{ARN}:topic/{remedy}"))) == set()


@pytest.mark.parametrize(
    ("filter", "remedy"),
    [
        ("plant/#", f"plant/{THING}/#"),
        ("plant/+/state", f"plant/{THING}/state"),
        ("plant/+/+/state", f"plant/{THING}/+/state"),
        ("plant/*/state", f"plant/{THING}/state"),
        ("plant/*", f"plant/{THING}/*"),
        ("plant/?", f"plant/{THING}/*"),
    ],
)
def test_the_remedy_for_a_wide_filter_speaks_of_that_filter(filter: str, remedy: str) -> None:
    own = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")
    told = found("M04", policy(CONNECT, own, *listen(filter)["Statement"]))
    assert [one.fix for one in told] == [f"write {ARN}:topicfilter/{remedy}"]
    assert "M04" not in ids(policy(CONNECT, own, *listen(remedy)["Statement"]))


def test_what_is_said_twice_is_mended_by_removing_the_wide_one() -> None:
    [one] = found("S07", publish("plant/*", "plant/1"))
    assert one.fix.startswith(f"remove {ARN}:topic/plant/* if this one is enough")
    apart = [{**statement, "Sid": f"S{n}"} for n, statement in enumerate([OWN, *publish("plant/hall")["Statement"]])]
    assert "two with a Sid each may stay apart" in found("S07", policy(*apart))[0].fix


def test_an_attribute_is_told_in_resources_and_not_in_conditions() -> None:
    assert found("V04", publish("plant/${iot:Connection.Thing.Attributes[site]}/x"))
    assert [one.witness for one in found("V04", listen("plant/${iot:connection.thing.attributes[site]}/x"))] == ["a/#"]
    conditioned = allow("iot:Publish", f"{ARN}:topic/a", StringEquals={"iot:Connection.Thing.Attributes[site]": "north"})
    assert found("V04", policy(conditioned)) == []
    assert found("V04", policy(allow("iot:Publish", f"{ARN}:to*/${{iot:Connection.Thing.Attributes[site]}}")))
    assert found("V04", policy(deny("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.Attributes[site]}}"))) == []


@pytest.mark.parametrize(
    ("action", "resource", "told"),
    [
        ("iot:GetThingShadow", f"thing/{THING}", True),
        ("iotjobsdata:DescribeJobExecution", f"thing/{THING}", True),
        ("iot:GetRetainedMessage", f"topic/{THING}", True),
        ("greengrass:Discover", f"thing/{THING}", True),
        ("iot:GetThingShadow", "thing/${iot:Certificate.Subject.CommonName}", False),
        ("iot:AssumeRoleWithCertificate", f"rolealias/{THING}", False),
        ("iot:Publish", f"topic/{THING}", False),
        ("iot:Connect", f"client/{THING}", False),
    ],
)
def test_thing_variables_have_no_value_over_https(action: str, resource: str, told: bool) -> None:
    assert bool(found("V05", policy(allow(action, f"{ARN}:{resource}")))) is told


def test_thing_variables_beside_mqtt_actions_are_judged_by_resource() -> None:
    document = policy(allow(["iot:Publish", "iot:GetThingShadow"], f"{ARN}:topic/{THING}", f"{ARN}:thing/{THING}"))
    assert [one.pointer for one in found("V05", document)] == ["/Statement/0/Resource/1"]


@pytest.mark.parametrize(
    ("topic", "rule", "witness"),
    [
        (f"plant/{THING}*", "V06", "dev10"),
        (f"plant/gw-{THING}/x", "V06", "gw-dev1"),
        (f"plant/{THING}-raw", "V06", "dev1-raw"),
        (f"plant/{THING}${{iot:ClientId}}", "V06", None),
        (f"plant/*{THING}/x", "V07", "dev1"),
        (f"plant/?{THING}", "V07", "dev1"),
        (f"plant/{THING}?", "V07", "dev12"),
        (f"plant/{THING}-*/x", "V07", "dev1-2"),
        ("plant/${iot:Connection.Thing.ThingTypeName}*", "V06", "dev10"),
    ],
)
def test_a_variable_with_something_beside_it_is_no_level(topic: str, rule: str, witness: str | None) -> None:
    told = [one for one in findings(publish(topic)) if one.rule in ("V06", "V07")]
    assert [one.rule for one in told] == [rule]
    assert witness is None or told[0].witness == witness


@pytest.mark.parametrize(
    "topic",
    [THING, f"{THING}/*", f"plant/{THING}", f"plant/{THING}/*/x*", "plant/x-${aws:SourceIp}-y", "plant/x-${iot:Nothing}"],
)
def test_a_variable_between_slashes_is_a_level(topic: str) -> None:
    assert {one.rule for one in findings(publish(topic))} & {"V06", "V07"} == set()


def test_in_a_client_id_only_a_wildcard_beside_the_variable_is_told() -> None:
    assert found("V06", _as(f"{THING}*"))
    assert found("V06", _as(f"gw-{THING}")) == []
    assert found("V06", policy(allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/{THING}*"))) == []
    core = allow("greengrass:ResolveComponentCandidates", "*")
    assert found("V06", _as(f"{THING}*", core)) == []
    assert found("V06", _as(f"{THING}*", core, allow("iot:Publish", f"{ARN}:topic/{THING}*")))


def test_the_same_resource_is_told_once() -> None:
    topic = f"{ARN}:topic/plant/{THING}*"
    assert len(found("V06", policy(allow("iot:Publish", topic), allow("iot:Receive", topic)))) == 1
    assert found("V06", policy(deny("iot:Publish", topic))) == []


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (f"gw-{THING}", True),
        ("press-*", True),
        ("*", True),
        ("${iot:ClientId}", True),
        (THING, False),
        (f"{THING}*", False),
        ("press-7", False),
        ("${iot:Certificate.Subject.CommonName}", False),
    ],
)
def test_thing_variables_need_the_things_name_as_client_id(client: str, told: bool) -> None:
    own = allow("iot:Publish", f"{ARN}:topic/plant/{THING}")
    assert bool(found("V08", _as(client, own))) is told
    assert found("V08", _as(client, own, Bool=ATTACHED)) == []
    assert found("V08", _as(client, OWN)) == []
    assert found("V08", policy(own)) == []
    assert found("V08", _as(client, {**own, "Condition": {"Bool": ATTACHED}})) == []


def test_one_way_to_connect_as_the_thing_is_enough() -> None:
    own = allow("iot:Publish", f"{ARN}:topic/plant/{THING}")
    assert found("V08", _as("press-*", own, CONNECT)) == []
    guard = deny("iot:Connect", "*", Bool={"iot:Connection.Thing.IsAttached": "false"})
    assert found("V08", _as("press-*", own, guard)) == []
    assert found("V08", policy(own), _as("press-*"), complete=True)


ALARM = deny("iot:Publish", f"{ARN}:topic/plant/{THING}/alarm")
PLANT = allow("iot:Publish", f"{ARN}:topic/plant/*")


def _received(*statements: dict[str, Any]) -> list[dict[str, Any]]:
    """The same about messages that arrive, which none does over HTTPS."""
    return [{**statement, "Action": "iot:Receive"} for statement in statements]


def test_a_deny_with_a_variable_is_open_to_whoever_has_none() -> None:
    assert found("V09", _as("press-7", PLANT, ALARM))
    assert found("V09", policy(PLANT, ALARM))
    assert found("V09", policy(ALARM))
    assert found("V09", _as("press-7", ALARM))
    assert found("V09", policy(CONNECT, *_received(PLANT, ALARM))) == []
    assert found("V09", _as(THING, *_received(PLANT, ALARM))) == []
    assert found("V09", _as("press-7", ALARM), complete=True) == []


def test_a_deny_is_as_open_as_the_allow_that_it_limits() -> None:
    own = allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*")
    assert found("V09", _as("press-7", own, ALARM)) == []
    assert found("V09", _as("press-7", allow("iot:Publish", f"{ARN}:topic/office/*"), ALARM)) == []
    assert found("V09", _as("press-7", {**PLANT, "Condition": {"Bool": ATTACHED}}, ALARM)) == []
    rest = {"Effect": "Deny", "Action": "iot:Publish", "NotResource": f"{ARN}:topic/plant/{THING}/*"}
    assert found("V09", _as("press-7", PLANT, rest))


def test_a_deny_may_lack_a_certificates_field_or_a_type_even_of_an_attached_thing() -> None:
    for name in ("iot:Certificate.Subject.CommonName", "iot:Connection.Thing.ThingTypeName"):
        assert found("V09", policy(CONNECT, PLANT, deny("iot:Publish", f"{ARN}:topic/plant/${{{name}}}/alarm")))
    denied = deny("iot:Publish", f"{ARN}:topic/plant/${{iot:ClientId}}/alarm")
    assert found("V09", policy(CONNECT, *_received(PLANT, denied))) == []


def test_a_condition_on_a_thing_is_open_to_whoever_has_none() -> None:
    def typed(operator: str) -> dict[str, Any]:
        return deny("iot:Publish", f"{ARN}:topic/plant/alarm", **{operator: {"iot:Connection.Thing.ThingTypeName": "Press"}})

    assert found("V09", _as("press-7", PLANT, typed("StringEquals")))
    assert found("V09", policy(CONNECT, PLANT, typed("StringEquals")))
    assert found("V09", policy(CONNECT, *_received(PLANT, typed("StringEquals")))) == []
    for operator in ("StringNotEquals", "StringEqualsIfExists", "Null", "StringIs"):
        assert found("V09", _as("press-7", PLANT, typed(operator))) == []
    attached = deny("iot:Publish", f"{ARN}:topic/plant/alarm", Bool={"iot:Connection.Thing.IsAttached": "false"})
    assert found("V09", _as("press-7", PLANT, attached)) == []


def test_a_roles_variable_is_told_where_it_cannot_have_a_value() -> None:
    assert found("V10", publish("plant/${credentials-iot:ThingName}"))
    web = "${cognito-identity.amazonaws.com:sub}"
    assert found("V10", publish(f"plant/{web}")) == []
    assert found("V10", policy(CONNECT, *publish(f"plant/{web}")["Statement"]))
    key = {"StringEquals": {"credentials-iot:ThingName": "x"}}
    assert ids(policy(allow("iot:Publish", f"{ARN}:topic/x", **key))) == {"V10"}


# --- K: conditions


@pytest.mark.parametrize(
    ("operator", "key", "value", "fix"),
    [
        ("StringEqual", "iot:ClientId", "x", "write StringEquals"),
        ("stringequals", "iot:ClientId", "x", "write StringEquals"),
        ("ForAllValue:StringEquals", "iot:ClientId", "x", "write ForAllValues:StringEquals"),
        ("Bool", "iot:Thing.IsAttached", "true", "write iot:Connection.Thing.IsAttached"),
        ("StringEquals", "s3:prefix", "x", "write iot:Connection.Thing.IsAttached"),
        ("Bool", "iot:Connection.Thing.IsAttached", "yes", 'write "true" or "false"'),
        ("Bool", "iot:ClientId", "true", "use StringEquals: iot:ClientId is a text"),
        ("StringEquals", "iot:Connection.Thing.IsAttached", "yes", 'use Bool, with "true"'),
        ("NumericEquals", "iot:Certificate.SerialNumber", "5", "use StringEquals: iot:Certificate.SerialNumber is a text"),
        ("NumericLessThan", "aws:EpochTime", "soon", "write a number"),
        ("IpAddress", "aws:SourceIp", "home", "write an address range, like 203.0.113.0/24"),
        ("IpAddress", "iot:ClientId", "203.0.113.1", "use aws:SourceIp"),
        ("StringEquals", "iot:LastWillTopic", "gone", "write the whole ARN of the topic"),
        ("StringEquals", "iot:ConnectAttributes", "lastwill", "write LastWill"),
        ("Null", "iot:ClientId", "no", 'write "true" or "false"'),
    ],
)
def test_a_condition_that_is_never_met_is_told_what_would_be(operator: str, key: str, value: str, fix: str) -> None:
    [one] = found("K01", policy(allow("iot:Connect", f"{ARN}:client/x", **{operator: {key: value}})))
    assert one.fix == fix


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("Bool", "iot:Connection.Thing.IsAttached", True),
        ("StringEquals", "iot:Connection.Thing.IsAttached", "true"),
        ("StringEqualsIfExists", "iot:clientid", "x"),
        ("StringLike", "iot:Connection.Thing.Attributes[site]", "north-*"),
        ("ForAnyValue:StringEquals", "iot:Certificate.Subject.CommonName.List", "x"),
        ("Bool", "aws:SecureTransport", "true"),
        ("NotIpAddress", "aws:SourceIp", ["203.0.113.0/24", "2001:db8::/32"]),
        ("NumericLessThan", "aws:EpochTime", 1800000000),
        ("StringEquals", "iot:ClientId", "${iot:Certificate.Subject.CommonName}"),
        ("IpAddress", "aws:SourceIp", "${aws:SourceIp}"),
        ("ArnLike", "iot:LastWillTopic", f"{ARN}:topic/*"),
        ("Null", "iot:LastWillTopic", "true"),
        ("ForAnyValue:StringEquals", "iot:ConnectAttributes", ["PersistentConnect", "LastWill", "Tomorrow"]),
        ("ForAnyValue:StringEqualsIgnoreCase", "iot:ConnectAttributes", "lastwill"),
        ("StringEquals", "iot:ClientId", "lastwill"),
        ("StringEquals", "iot:JobId", "x"),
        ("StringEquals", "iot:DomainName", "iot.example"),
    ],
)
def test_a_condition_that_can_be_met_is_left_alone(operator: str, key: str, value: Any) -> None:
    assert found("K01", policy(allow("iot:Connect", f"{ARN}:client/x", **{operator: {key: value}}))) == []


def test_the_features_of_a_connection_are_known_when_it_connects() -> None:
    condition = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}
    assert found("K01", policy(allow("iot:Publish", f"{ARN}:topic/x", **condition)))
    assert found("K01", policy(allow(["iot:Connect"], f"{ARN}:client/x", **condition))) == []


def test_for_all_values_is_met_by_nothing_unless_something_must_be_there() -> None:
    key = "iot:Certificate.Subject.Organization.List"
    base = {"ForAllValues:StringEquals": {key: ["Plant"]}}
    for guard in ({"Null": {key: "false"}}, {"ForAnyValue:StringLike": {key.lower(): "*"}}):
        assert found("K02", policy(allow("iot:Publish", f"{ARN}:topic/x", **base, **guard))) == []
    others = ({"Null": {"iot:ClientId": "false"}}, {"StringEquals": {key: "x"}}, {"StringIs": {key: "x"}})
    for no_guard in ({}, {"Null": {key: "true"}}, *others):
        assert found("K02", policy(allow("iot:Publish", f"{ARN}:topic/x", **base, **no_guard)))
    assert found("K02", policy(allow("iot:Publish", f"{ARN}:topic/x", **{"ForAllValues:StringEquals": {key: []}}))) == []


@pytest.mark.parametrize(
    ("operator", "value", "told"),
    [
        ("Bool", "false", True),
        ("Bool", ["true", "false"], True),
        ("StringEquals", "false", True),
        ("StringNotEquals", "true", True),
        ("Bool", "true", False),
        ("StringNotEquals", "false", False),
        ("Null", "false", False),
        ("StringIs", "false", False),
    ],
)
def test_strangers_are_let_in_by_nobody(operator: str, value: Any, told: bool) -> None:
    condition = {operator: {"iot:Connection.Thing.IsAttached": value}}
    assert bool(found("K03", policy(allow("iot:Publish", f"{ARN}:topic/x", **condition)))) is told
    assert found("K03", policy(deny("iot:Publish", f"{ARN}:topic/x", **condition))) == []
    assert found("K03", policy(allow("iot:Publish", f"{ARN}:topic/x", StringEquals={"iot:ClientId": "false"}))) == []


# --- wildcards that are no bare `*` and take in as much


@pytest.mark.parametrize(
    ("rule", "statement", "witness"),
    [
        ("B01", allow("iot:Connect", f"{ARN}:client/????"), "xxxx"),
        ("B01", allow("iot:DeleteConnection", f"{ARN}:client/????*"), None),
        ("B02", allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/things/?/shadow/#"), "$aws/things/+/shadow/#"),
        ("B02", allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/things/*/tunnels/notify"), None),
        ("B02", allow("iot:Subscribe", f"{ARN}:topicfilter/$share/g/$aws/things/+/shadow/#"), None),
        ("B02", allow("iot:Publish", f"{ARN}:topic/$aws/things/????/shadow/update"), "$aws/things/xxxx/shadow/update"),
        ("B03", allow("iot:GetThingShadow", f"{ARN}:thing/????????"), "thing/xxxxxxxx"),
        ("B03", allow("iot:GetRetainedMessage", f"{ARN}:topic/*"), None),
        ("B07", allow("iot:Publish", f"{ARN}:topic/*/rules/*"), None),
        ("B07", allow("iot:Publish", f"{ARN}:topic/*/state"), None),
        ("B08", allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/?????"), "rolealias/xxxxx"),
        ("B10", allow("iot:DeleteConnection", f"{ARN}:client/press-*"), None),
        ("B11", allow("iot:Subscribe", f"{ARN}:topicfilter/devices/+/cmd"), None),
        ("B11", allow("iot:Subscribe", f"{ARN}:topicfilter/$share/g/devices/+/cmd"), None),
        ("B11", allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/events/*"), None),
        ("B12", allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/a*"), None),
    ],
)
def test_what_is_as_wide_as_a_star_is_found(rule: str, statement: dict[str, Any], witness: str | None) -> None:
    [hit] = found(rule, policy(CONNECT, statement))
    assert witness is None or hit.witness == witness


@pytest.mark.parametrize(
    "statement",
    [
        allow("iot:Connect", f"{ARN}:client/press-7"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/$share/g/devices/{THING}/cmd"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/$share/g/$aws/things/{THING}/shadow/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/{THING}/+/state"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/plant/news/*"),
        allow("iot:Publish", f"{ARN}:topic/plant/{THING}/*/state"),
        allow("iot:GetRetainedMessage", f"{ARN}:topic/plant/news/*"),
        allow("iot:Subscribe", f"{ARN}:topicfilter/$aws/events/presence/connected/{THING}"),
        allow("iot:AssumeRoleWithCertificate", f"{ARN}:rolealias/a"),
    ],
)
def test_what_names_its_owner_or_is_shared_is_not_wide(statement: dict[str, Any]) -> None:
    assert not {"B01", "B02", "B03", "B07", "B08", "B10", "B11", "B12"} & ids(policy(CONNECT, statement))


@pytest.mark.parametrize("topic", ["$aws/certificates/create/*", "$aws/provisioning-templates/press/provision/*"])
def test_who_connects_as_a_thing_has_no_use_for_provisioning(topic: str) -> None:
    provision = allow("iot:Publish", f"{ARN}:topic/{topic}")
    assert found("B09", policy(CONNECT, provision))
    assert found("B09", policy(_as("*", Bool=ATTACHED)["Statement"][0], provision))
    assert found("B09", policy(CONNECT), policy(provision), complete=True)
    assert not found("B09", policy(allow("iot:Connect", f"{ARN}:client/claim-*"), provision))
    assert not found("B09", policy(CONNECT, provision), claim=True)
