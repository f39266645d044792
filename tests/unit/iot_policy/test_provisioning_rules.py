"""Rules about provisioning templates, beyond their own examples."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from fleetgate.iot_policy import lint, source
from fleetgate.iot_policy.provisioning import Created
from rule_examples import ids

GOOD: dict[str, Any] = {
    "Parameters": {"ThingName": {"Type": "String"}, "Serial": {"Type": "String", "Default": "1"}},
    "Mappings": {"Sites": {"north": {"url": "https://north.example"}}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Ref": "ThingName"},
                "ThingTypeName": "pump",
                "ThingGroups": ["pumps", {"Ref": "Serial"}],
                "AttributePayload": {"serial": {"Ref": "Serial"}, "model": "v1"},
                "BillingGroup": "plant",
            },
            "OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "REPLACE", "ThingGroups": "DO_NOTHING"},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
            "OverrideSettings": {"Status": "DO_NOTHING"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "pump"}},
    },
    "DeviceConfiguration": {
        "url": {"Fn::FindInMap": ["Sites", {"Ref": "Serial"}, "url"]},
        "topic": {"Fn::Sub": ["dt/${n}/${ThingName}", {"n": {"Ref": "Serial"}}]},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(GOOD)
    *parents, last = path.split()
    part = body
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    return body


def test_a_good_template_has_no_finding_where_a_hook_decides():
    assert ids(GOOD, hook=True) == []


def test_of_a_template_by_itself_nobody_knows_whether_a_hook_checks_what_devices_send():
    assert ids(GOOD) == ["P16", "P16"]


def test_just_in_time_a_device_sends_nothing():
    assert ids(GOOD, fleet=False, hook=False) == []


def test_without_a_hook_a_device_chooses_its_group():
    assert "P17" in ids(GOOD, fleet=True, hook=False)


THING, CERTIFICATE, POLICY = "Resources thing Properties", "Resources certificate Properties", "Resources policy Properties"


@pytest.mark.parametrize(
    "path, value, expected",
    [
        (f"{THING} ThingName", {"Ref": "thingName"}, "P01"),
        ("DeviceConfiguration topic", {"Fn::Sub": "dt/${Missing}"}, "P01"),
        ("DeviceConfiguration topic", {"Fn::Sub": ["dt/${n}", {}]}, "P01"),
        ("Parameters Extra", {"Type": "String"}, "P02"),
        ("Parameters Serial", "String", "P03"),
        ("DeviceConfiguration", [], "P03"),
        (f"{THING} AttributePayload", {"attributes": {"a": "b"}}, "P03"),
        (f"{THING} AttributePayload", {"count": 3}, "P03"),
        (f"{THING} ThingGroups", "pumps", "P03"),
        ("Resources other", "text", "P03"),
        ("Resources other", {}, "P03"),
        ("Resources type", {"Type": "AWS::IoT::ThingType"}, "P04"),
        ("Outputs", {}, "P05"),
        (f"{THING} ThingType", "pump", "P05"),
        ("Resources thing DependsOn", "policy", "P05"),
        (f"{POLICY} PolicyName", {"Fn::GetAtt": ["thing", "Arn"]}, "P06"),
        ("Parameters AWS::IoT::Certificate::Arn", {"Type": "String"}, "P07"),
        ("DeviceConfiguration arn", {"Ref": "AWS::Region"}, "P07"),
        ("Mappings Sites north url", {"Ref": "Serial"}, "P08"),
        (f"{POLICY} PolicyName", {"Fn::Join": ["-", ["a", {"Ref": "Serial"}]]}, "P08"),
        ("DeviceConfiguration url", {"Fn::FindInMap": ["Sites", "south", "url"]}, "P08"),
        ("DeviceConfiguration url", {"Fn::Select": "0"}, "P08"),
        ("DeviceConfiguration url", {"Ref": ["Serial"]}, "P08"),
        ("Resources certificate2", GOOD["Resources"]["certificate"], "P09"),
        ("DeviceConfiguration x", "y" * 11_000, "P12"),
        ("DeviceConfiguration mqtt", {"host": "a", "port": "1"}, "P13"),
        (f"{THING} AttributePayload", {f"a{n}": "1" for n in range(51)}, "P14"),
        (f"{THING} AttributePayload", {"fw version": "1"}, "P15"),
        (f"{THING} AttributePayload", {"version": "1.2+build7"}, "P15"),
        (f"{THING} ThingGroups", ["pumps/north"], "P15"),
        (f"{THING} ThingTypeName", "x" * 129, "P15"),
        (f"{POLICY} PolicyName", "a/b", "P15"),
        ("Parameters Serial", {"Type": "Number"}, "P18"),
        ("Resources thing OverrideSettings", {"ThingTypeName": "MERGE"}, "P18"),
        ("Resources thing OverrideSettings", {"THING_GROUPS": "FAIL"}, "P18"),
        ("Resources policy OverrideSettings", {"PolicyName": "REPLACE"}, "P18"),
        (f"{CERTIFICATE} Status", "ON", "P18"),
        (f"{CERTIFICATE} ThingPrincipalType", "exclusive", "P18"),
        (f"{POLICY} PolicyDocument", "{}", "P19"),
        (f"{POLICY}", {}, "P19"),
    ],
)
def test_a_mistake_is_found_and_nothing_else(path, value, expected):
    found = set(ids(changed(path, value), hook=True))
    # A part that is gone can leave a parameter unused; an empty document has findings of its own.
    assert found - {"P02", "S03", "S02"} == {expected} - {"P02"}
    assert expected in found


def test_a_certificate_is_found_to_be_missing():
    body = copy.deepcopy(GOOD)
    del body["Resources"]["certificate"]
    assert ids(body, hook=True) == ["P09"]


@pytest.mark.parametrize("name, expected", [("f" * 36, []), ("f" * 37, ["P11"]), ("fleet.prod", ["P11"]), ("", ["P11"])])
def test_a_templates_name_has_at_most_36_letters_digits_and_hyphens(name, expected):
    assert ids(GOOD, hook=True, name=name) == expected


def made(*, unknown: str = "", policies: str = "pump", types: str = "pump", groups: str = "pumps") -> Created:
    names = (frozenset(text.split()) for text in (policies, types, groups, "plant"))
    return Created(*names, frozenset(filter(None, [unknown])))


@pytest.mark.parametrize(
    "created, expected",
    [
        (made(), []),
        (made(policies="Pump"), ["P10"]),
        (made(types=""), ["P10"]),
        (made(groups="pump"), ["P10"]),
        (made(policies="", unknown="policy"), []),
    ],
    ids=["all there", "another spelling", "no type", "no group", "a policy whose name is not known yet"],
)
def test_what_is_named_must_be_created(created, expected):
    assert ids(GOOD, hook=True, created=created) == expected


def test_a_csr_is_for_bulk_registration_and_not_for_a_fleet():
    body = changed(CERTIFICATE, {"CertificateSigningRequest": {"Ref": "Serial"}, "Status": "ACTIVE"})
    assert ids(body, hook=True) == []
    assert ids(body, hook=True, fleet=True) == ["P20"]


WIDE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


def test_a_policy_written_out_in_a_template_is_judged_too():
    text = json.dumps(changed(POLICY, {"PolicyDocument": WIDE}), indent=1)
    [found] = [f for f in lint.lint_template(lint.whole("t.json", source.parse(text)), hook=True) if f.rule == "A04"]
    assert found.pointer == "/Resources/policy/Properties/PolicyDocument/Statement/0/Action"
    assert text.splitlines()[found.line - 1][found.column - 1 :].startswith('"iot:*"')


def test_a_policy_written_out_as_a_text_is_judged_at_its_own_character():
    document = json.dumps(WIDE).replace('"Effect"', '"Sid": "\\u00e9\\"\\\\", "Effect"')
    text = json.dumps(changed(POLICY, {"PolicyDocument": document}))
    [found] = [f for f in lint.lint_template(lint.whole("t.json", source.parse(text)), hook=True) if f.rule == "A04"]
    assert text[found.column - 1 :].startswith('\\"iot:*\\"')
    assert found.pointer == "/Resources/policy/Properties/PolicyDocument"
    assert found.message.startswith("policy /Statement/0/Action: ")


def test_a_policy_that_is_broken_inside_of_a_template_is_found_at_its_character():
    text = json.dumps(changed(POLICY, {"PolicyDocument": '{"Version": "2012-10-17",}'}))
    [found] = lint.lint_template(lint.whole("t.json", source.parse(text)), hook=True)
    assert found.rule == "S01"
    assert text[found.column - 2 : found.column + 1] == ',}"'
