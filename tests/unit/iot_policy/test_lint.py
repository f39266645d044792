"""Rules over documents: which findings, and where they point."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgate.iot_policy import documents, lint, rules, source
from fleetgate.iot_policy.documents import Kind
from fleetgate.iot_policy.rule import Subject

WIDE = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Everything",
      "Effect": "Allow",
      "Action": ["iot:Connect",
                 "iot:*"],
      "Resource": "*"
    }
  ]
}
"""


def judged(text: str | bytes) -> list[lint.Finding]:
    parsed, findings = lint.read(text, "policy.json")
    return findings + (lint.lint_policies([lint.whole("policy.json", parsed)]) if parsed else [])


def only(rule: str, findings: list[lint.Finding]) -> lint.Finding:
    [finding] = [finding for finding in findings if finding.rule == rule]
    return finding


def test_a_finding_points_at_the_line_and_column_of_the_value():
    found = only("A04", judged(WIDE))
    assert (found.file, found.line, found.column) == ("policy.json", 8, 18)
    assert found.pointer == "/Statement/0/Action/1"
    assert found.statement == "Everything"


def test_a_finding_about_what_is_missing_points_at_the_nearest_part_that_is_there():
    found = only("S03", judged('{"Version": "2012-10-17",\n "Statement": [\n  {"Action": "iot:Connect", "Resource": "*"}]}'))
    assert (found.line, found.column, found.pointer) == (3, 3, "/Statement/0")


@pytest.mark.parametrize(
    "text, line, column, message",
    [
        ('{\n "Version": "2012-10-17",\n}', 3, 1, "comma"),
        ("", 1, 1, "empty"),
        (b"  \n ", 1, 1, "empty"),
        (b'{"a": "\xff"}', 1, 8, "UTF-8"),
        ("[" * 500_000 + "]" * 500_000, 1, 101, "nested"),
        ('{"Statement": ' * 1000, 1, 1401, "nested"),
        ('{"a": NaN}', 1, 1, "NaN"),
        ('{"a": 1} x', 1, 10, "Extra data"),
        ("1" * 5000, 1, 1, "not JSON"),
    ],
    ids=["trailing comma", "empty", "white space", "not UTF-8", "megabyte of nesting", "unclosed", "NaN", "two", "long number"],
)
def test_a_text_that_is_not_json_is_one_finding_at_its_line_and_column(text, line, column, message):
    found = only("S01", judged(text))
    assert (found.line, found.column) == (line, column)
    assert message in found.message


def test_a_key_that_stands_twice_is_found_where_it_stands_the_second_time():
    found = only("S01", judged('{"Version": "2012-10-17", "Statement": [],\n "Statement": []}'))
    assert (found.line, found.column, found.pointer) == (2, 15, "/Statement")


def test_keys_below_a_key_that_stands_twice_are_not_duplicates_themselves():
    parsed = source.parse('{"a": {"b": 1, "c~/": [{"d": 2}]}, "a": {"b": 3, "c~/": [{"d": 4}, {"d": 5, "d": 6}]}, "e": {}}')
    assert parsed.duplicates == ["/a", "/a/c~0~1/1/d"]
    assert parsed.position("/a/b").column == 47


_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(_DOCUMENTS, st.sampled_from([None, 1]), st.booleans())
def test_every_value_of_a_document_is_found_where_it_stands(value, indent, ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    parsed = source.parse(text)

    def check(part: Any, pointer: str) -> None:
        found, _ = json.JSONDecoder().raw_decode(text, parsed.offset(pointer))
        assert found == part and source.at(parsed.value, pointer) == part
        children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, child in children:
            check(child, f"{pointer}/{source.escape(key)}")

    check(value, "")


@given(st.text(), st.integers(0, 50))
def test_a_character_of_an_embedded_text_is_found_in_the_outer_one(inner, index):
    outer = json.dumps({"a": inner + "!"})
    offset = source.offset_in_string(outer, 6, min(index, len(inner)))
    assert json.loads('"' + outer[offset:-1]) == (inner + "!")[min(index, len(inner)) :]


IAM_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def iam(*actions: str, resource: str = "*") -> dict[str, Any]:
    statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action in actions]
    return {"Version": "2012-10-17", "Statement": statements}


@pytest.mark.parametrize(
    "document, rule",
    [
        (IAM_TRUST, "S05"),
        (iam(*[f"s3:Get{n}" for n in range(50)]), "A03"),
        (iam("s3:GetObject", "iot:CreateThing"), "A03"),
        (iam("iot:CreateThing", "iot:AttachPolicy"), "A02"),
    ],
    ids=["trust policy", "fifty foreign actions", "mixed", "control plane"],
)
def test_an_iam_policy_by_mistake_is_one_finding_that_says_so(document, rule):
    [found] = judged(json.dumps(document))
    assert found.rule == rule
    assert "IAM" in found.message


@pytest.mark.parametrize(
    "document",
    [
        iam("s3:GetObject", "iot:Publish"),
        iam("iot:PublishRetain"),
        iam("Publish"),
        iam("*"),
        iam("iotdata:Publish", resource="arn:aws:iot:us-east-1:123456789012:topic/a"),
    ],
    ids=["with a device's action", "misspelt", "without a service", "star", "on a topic"],
)
def test_a_bad_iot_policy_is_not_taken_for_one_of_iam(document):
    assert documents.iam(document) is None


@pytest.mark.parametrize(
    "value, kind",
    [
        ({"Version": "2012-10-17", "Statement": []}, Kind.POLICY),
        ({"Statement": {}}, Kind.POLICY),
        ({"Version": "2012-10-17"}, Kind.POLICY),
        ({"Version": "1.0", "Statement": []}, Kind.POLICY),
        ({"Resources": {"thing": {"Type": "AWS::IoT::Thing"}}}, Kind.TEMPLATE),
        ({"Parameters": {}, "Resources": {"a": {"Type": "AWS::IoTT::Thing"}, "b": {"Type": "AWS::IoT::Policy"}}}, Kind.TEMPLATE),
        ({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"t": {"Type": "AWS::IoT::Thing"}}}, Kind.CLOUDFORMATION),
        ({"Resources": {"t": {"Type": "AWS::IoT::Policy"}, "f": {"Type": "AWS::Lambda::Function"}}}, Kind.CLOUDFORMATION),
        ({"Resources": {"t": {"Type": "AWS::IoT::TopicRule"}}, "Outputs": {}}, Kind.CLOUDFORMATION),
        ({"format_version": "1.2", "planned_values": {}}, Kind.PLAN),
        ({"format_version": "1.0", "values": {}}, Kind.PLAN),
        ({"name": "package", "version": "1.0"}, Kind.OTHER),
        ({"Resources": []}, Kind.OTHER),
        ([{"Statement": []}], Kind.OTHER),
        (None, Kind.OTHER),
    ],
)
def test_a_document_is_known_by_what_it_holds(value, kind):
    assert documents.kind(value) is kind


POLICY_RULES = [rule for rule in rules.all_rules() if rule.subject is Subject.POLICY]


@pytest.mark.parametrize("rule", POLICY_RULES, ids=lambda rule: rule.id)
def test_an_example_is_found_by_the_whole_linter_too(rule):
    assert rule.id in {finding.rule for finding in judged(json.dumps(rule.fails))}


#: Parts that policies and templates consist of, in places where they do not belong.
_NAMES = """
Version Statement Sid Effect Action NotAction Resource NotResource Condition Principal Bool StringLike ForAllValues:StringEquals
Resources Parameters Mappings DeviceConfiguration Properties OverrideSettings Type Ref Fn::Sub Fn::Join Fn::FindInMap thing
AttributePayload ThingName ThingGroups PolicyDocument PolicyName iot:ConnectAttributes a/b~c values root_module resources
child_modules mode address name planned_values resource_changes change after_unknown after configuration module_calls
expressions references prior_state variables policy target assume_role_policy template_body inline_policy
"""
_KEYS = st.sampled_from(_NAMES.split())
_TEXTS = st.sampled_from(
    [
        *(
            "2012-10-17",
            "2008-10-17",
            "Allow",
            "Deny",
            "*",
            "iot:*",
            "iot:Publish",
            "iot:Subscribe",
            "iot:Connect",
            "s3:Get*",
            "",
            "?",
        ),
        *("arn:aws:iot:r:1:topic/a", "arn:aws:iot:r:1:topicfilter/a/#", "arn:aws:iot:*:*:client/${iot:ClientId}", "arn:aws:iot"),
        *("arn:aws:iot:r:1:topic/$aws/things/${iot:Connection.Thing.ThingName}*/x", "${", "${iot:Thing", "true", "\ud800", "\n"),
        *(
            "AWS::IoT::Thing",
            "AWS::IoT::Policy",
            "AWS::IoT::Certificate",
            "${ThingName}",
            "aws_iot_policy",
            "aws_iot_policy_attachment",
        ),
        *('{"Statement": [', '{"Version": "2012-10-17", "Statement": {"Effect": "Allow"}}', "aws_iam_role", "managed"),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)
_STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]) | _VALUES, "Action": _TEXTS | st.lists(_TEXTS) | _VALUES},
    optional={"Resource": _TEXTS | st.lists(_TEXTS, max_size=4) | _VALUES, "Condition": _VALUES, "NotResource": _TEXTS},
)


@settings(max_examples=100, deadline=None)
@given(_VALUES | st.fixed_dictionaries({"Version": _TEXTS, "Statement": st.lists(_STATEMENTS, max_size=4)}))
def test_no_policy_ends_in_a_traceback(value):
    for finding in judged(json.dumps(value)):
        assert finding.line >= 1 and finding.column >= 1


@settings(max_examples=100, deadline=None)
@given(_VALUES, st.sampled_from(["Resources", "Parameters", "Mappings", "DeviceConfiguration"]), _VALUES)
def test_no_provisioning_template_ends_in_a_traceback(value, section, part):
    body = value if not isinstance(value, dict) else {**value, section: {"x": part}}
    lint.lint_template(lint.whole("template.json", source.parse(json.dumps(body))), name="n", hook=False, fleet=True)


_RESOURCES = st.fixed_dictionaries(
    {"type": _TEXTS, "values": st.dictionaries(_KEYS, _VALUES)}, optional={"address": _TEXTS, "name": _TEXTS, "index": _VALUES}
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_RESOURCES | _VALUES, max_size=4), _VALUES, _VALUES)
def test_no_plan_ends_in_a_traceback(resources, changes, configuration):
    value = {
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": resources, "child_modules": resources}},
        "resource_changes": changes,
        "configuration": configuration,
        "prior_state": configuration,
    }
    lint.lint_plan(lint.whole("plan.json", source.parse(json.dumps(value))))
