"""Provisioning templates: what AWS IoT refuses, most of it only when the first device registers."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleetgate.iot_policy.provisioning import (
    CERTIFICATE,
    FUNCTIONS,
    MAXIMUM_NAME,
    MAXIMUM_SIZE,
    POLICY,
    PREDEFINED,
    THING,
    Call,
    Template,
    is_call,
)
from fleetgate.iot_policy.rule import Hit, Rule, Severity, Subject, rule
from fleetgate.iot_policy.source import Pointer, escape
from fleetgate.iot_policy.source import kind_of as _kind

_GUIDE = "https://docs.aws.amazon.com/iot/latest/developerguide/"
_TEMPLATES = f"{_GUIDE}provision-template.html"
_FLEET = f"{_GUIDE}provision-wo-cert.html"
_HOOK = f"{_GUIDE}pre-provisioning-hook.html"
_LIMITS = "https://docs.aws.amazon.com/general/latest/gr/iot-core.html"
_API = "https://docs.aws.amazon.com/iot/latest/apireference/"

_GOOD: dict[str, Any] = {
    "Parameters": {"ThingName": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
    "Resources": {
        "thing": {"Type": THING, "Properties": {"ThingName": {"Ref": "ThingName"}}},
        "certificate": {
            "Type": CERTIFICATE,
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": POLICY, "Properties": {"PolicyName": "sensor"}},
    },
}


def _with(path: str, value: Any) -> dict[str, Any]:
    """The good example with one part set, for an example that fails for one reason only."""
    body = copy.deepcopy(_GOOD)
    *parents, last = path.split(" ")
    part = body
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    return body


def _near(name: str, known: Any) -> str | None:
    found = difflib.get_close_matches(name, list(known), 1)
    return found[0] if found else None


@rule(
    id="P01",
    title="A parameter that is not declared",
    severity=Severity.HIGH,
    why="A Ref can only name what stands under Parameters, or what the service provides. AWS IoT does not tell when the "
    "template is made: every registration fails.",
    source=_TEMPLATES,
    fails=_with("Resources thing Properties ThingName", {"Ref": "SerialNumber"}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def undeclared(template: Template) -> Iterator[Hit]:
    for reference in template.references:
        name = reference.parameter
        if name not in template.parameters and not name.startswith("AWS::"):
            near = _near(name, template.parameters)
            fix = f"did you mean {near}?" if near else f'add "{name}": {{"Type": "String"}} to Parameters'
            yield Hit(reference.pointer, f"{name!r:.80} is not declared under Parameters", fix)


@rule(
    id="P02",
    title="A declared parameter that nothing uses",
    severity=Severity.LOW,
    why="Just-in-time provisioning fails if a declared parameter has no value, so an unused one can only do harm. It often is "
    "the other half of a misspelt Ref.",
    source=_TEMPLATES,
    fails=_with("Parameters Location", {"Type": "String"}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def unused(template: Template) -> Iterator[Hit]:
    used = {reference.parameter for reference in template.references}
    for name in template.parameters:
        if name not in used and name not in PREDEFINED:
            yield Hit(f"/Parameters/{escape(name)}", f"no Ref uses the parameter {name!r:.80}", "use it, or remove it")


@rule(
    id="P03",
    title="A part of the template is missing or of the wrong type",
    severity=Severity.HIGH,
    why="The service cannot read the template. AttributePayload in particular is a flat map of names and values here, without "
    "the `attributes` level that the CreateThing API has.",
    source=_TEMPLATES,
    fails=_with("Resources thing Properties AttributePayload", {"attributes": {"model": "a1"}}),
    passes=_with("Resources thing Properties AttributePayload", {"model": "a1"}),
    subject=Subject.TEMPLATE,
)
def shape(template: Template) -> Iterator[Hit]:
    yield from _objects(template.body, "", ("Parameters", "Mappings", "Resources", "DeviceConfiguration"), required="Resources")
    for section in ("Parameters", "Resources"):
        part = template.body.get(section)
        for name, value in part.items() if isinstance(part, dict) else ():
            if not isinstance(value, dict):
                yield Hit(f"/{section}/{escape(name)}", f"{name!r:.80} is {_kind(value)}", 'write an object with "Type"')
    for resource in template.resources:
        if resource.type is None:
            yield Hit(resource.pointer, f"the resource {resource.name!r:.80} has no Type", f'add "Type": "{THING}" or another')
        yield from _objects(resource.whole, resource.pointer, ("Properties", "OverrideSettings"))
        yield from _thing_values(resource.properties, f"{resource.pointer}/Properties")


def _objects(value: Mapping[str, Any], pointer: Pointer, names: tuple[str, ...], required: str = "") -> Iterator[Hit]:
    if required and required not in value:
        yield Hit(pointer, f"{required} is missing", f'add "{required}": {{...}}')
    for name in names:
        if name in value and not isinstance(value[name], dict):
            yield Hit(f"{pointer}/{name}", f"{name} is {_kind(value[name])}", "write an object")


def _thing_values(properties: Mapping[str, Any], pointer: Pointer) -> Iterator[Hit]:
    payload = properties.get("AttributePayload", {})
    if not isinstance(payload, dict):
        yield Hit(f"{pointer}/AttributePayload", f"AttributePayload is {_kind(payload)}", "write an object of names and values")
        payload = {}
    for name, value in payload.items() if not is_call(payload) else ():
        if not isinstance(value, str) and not is_call(value):
            fix = "AttributePayload is flat: move the names up one level" if isinstance(value, dict) else "write it as a text"
            yield Hit(f"{pointer}/AttributePayload/{escape(name)}", f"the attribute {name!r:.80} is {_kind(value)}", fix)
    groups = properties.get("ThingGroups", [])
    if not isinstance(groups, list) and not is_call(groups):
        yield Hit(f"{pointer}/ThingGroups", f"ThingGroups is {_kind(groups)}", "write a list of group names")


@rule(
    id="P04",
    title="Unknown resource type",
    severity=Severity.HIGH,
    why="A provisioning template makes things, certificates and policies and nothing else. Thing types, groups and billing "
    "groups are named in a thing's properties and must be there already.",
    source=_TEMPLATES,
    fails=_with("Resources group", {"Type": "AWS::IoT::ThingGroup", "Properties": {}}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def unknown_type(template: Template) -> Iterator[Hit]:
    for resource in template.resources:
        if resource.type is not None and resource.type not in _PROPERTIES:
            near = _near(resource.type, _PROPERTIES)
            fix = f"did you mean {near}?" if near else f"use {THING}, {CERTIFICATE} or {POLICY}"
            yield Hit(f"{resource.pointer}/Type", f"a template cannot make {resource.type!r:.80}", fix)


_PROPERTIES: dict[str, tuple[str, ...]] = {
    THING: ("ThingName", "AttributePayload", "ThingTypeName", "ThingGroups", "BillingGroup", "PackageVersions"),
    CERTIFICATE: (
        "CertificateId",
        "CertificateSigningRequest",
        "CertificatePem",
        "CACertificatePem",
        "Status",
        "ThingPrincipalType",
    ),
    POLICY: ("PolicyName", "PolicyDocument"),
}
_SECTIONS = ("Parameters", "Mappings", "Resources", "DeviceConfiguration")
_RESOURCE_KEYS = ("Type", "Properties", "OverrideSettings")


@rule(
    id="P05",
    title="Unknown section or property",
    severity=Severity.MEDIUM,
    why="The service does what it knows and leaves the rest: a misspelt property is a thing without its type or group. "
    "Sections and properties of CloudFormation do not work here.",
    source=_TEMPLATES,
    fails=_with("Resources thing Properties ThingType", "pump"),
    passes=_with("Resources thing Properties ThingTypeName", "pump"),
    subject=Subject.TEMPLATE,
)
def unknown_property(template: Template) -> Iterator[Hit]:
    yield from _unknown_keys(template.body, "", _SECTIONS, "a template's sections")
    for resource in template.resources:
        yield from _unknown_keys(resource.whole, resource.pointer, _RESOURCE_KEYS, "a resource's parts")
        if resource.type in _PROPERTIES:
            known = _PROPERTIES[resource.type]
            yield from _unknown_keys(
                resource.properties, f"{resource.pointer}/Properties", known, f"the properties of {resource.type}"
            )


def _unknown_keys(value: Mapping[str, Any], pointer: Pointer, known: tuple[str, ...], what: str) -> Iterator[Hit]:
    for name in value:
        if name not in known and not is_call({name: None}):
            near = _near(name, known)
            fix = f"did you mean {near}?" if near else f"use one of {', '.join(known)}"
            yield Hit(f"{pointer}/{escape(name)}", f"{name!r:.80} is none of {what}", fix)


@rule(
    id="P06",
    title="Unknown function",
    severity=Severity.HIGH,
    why="Provisioning templates know Ref and five functions; the others of CloudFormation are not evaluated, and the "
    "registration fails or takes their text.",
    source=_TEMPLATES,
    fails=_with("Resources policy Properties PolicyName", {"Fn::GetAtt": ["thing", "Name"]}),
    passes=_with("Resources policy Properties PolicyName", {"Ref": "ThingName"}),
    subject=Subject.TEMPLATE,
)
def unknown_function(template: Template) -> Iterator[Hit]:
    for call in template.calls:
        if call.function != "Ref" and call.function not in FUNCTIONS:
            near = _near(call.function, FUNCTIONS)
            fix = f"did you mean {near}?" if near else f"use Ref or one of {', '.join(FUNCTIONS)}"
            yield Hit(f"{call.pointer}/{escape(call.function)}", f"a template has no function {call.function!r:.60}", fix)


@rule(
    id="P07",
    title="A parameter of the service that does not exist",
    severity=Severity.HIGH,
    why="Of the certificate the service provides its id, and for just-in-time provisioning parts of its subject, but not its "
    "ARN. Declaring the name does not give it a value.",
    source=f"{_GUIDE}jit-provisioning.html",
    fails=_with("Parameters AWS::IoT::Certificate::Arn", {"Type": "String"}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def unknown_predefined(template: Template) -> Iterator[Hit]:
    named = [(name, f"/Parameters/{escape(name)}") for name in template.parameters]
    named += [(r.parameter, r.pointer) for r in template.references if r.parameter not in template.parameters]
    for name, pointer in named:
        if name.startswith("AWS::") and name not in PREDEFINED:
            near = _near(name, PREDEFINED) or "AWS::IoT::Certificate::Id"
            yield Hit(pointer, f"the service provides no {name!r:.80}", f"use {near}")


@rule(
    id="P08",
    title="A function where it is not allowed, or with the wrong arguments",
    severity=Severity.HIGH,
    why="Mappings and Parameters hold plain values, and Fn::Join does not work in a policy resource. The template is stored "
    "all the same; registrations fail.",
    source=_TEMPLATES,
    fails=_with("Resources policy Properties PolicyName", {"Fn::Join": ["-", ["sensor", {"Ref": "ThingName"}]]}),
    passes=_with("Resources policy Properties PolicyName", {"Ref": "ThingName"}),
    subject=Subject.TEMPLATE,
)
def misplaced_function(template: Template) -> Iterator[Hit]:
    policies = tuple(f"{resource.pointer}/" for resource in template.of(POLICY))
    for call in template.calls:
        if call.pointer.startswith(("/Mappings", "/Parameters")):
            section = call.pointer.split("/")[1]
            yield Hit(call.pointer, f"{section} cannot use {call.function}", "write the value out")
        elif call.function == "Fn::Join" and call.pointer.startswith(policies):
            fix = "let the pre-provisioning hook give the whole name as one parameter"
            yield Hit(call.pointer, "a policy resource cannot use Fn::Join", fix)
        elif problem := _argument_problem(call, template):
            yield Hit(call.pointer, *problem)


def _argument_problem(call: Call, template: Template) -> tuple[str, str] | None:
    """What is wrong with a call's argument and how to mend it."""
    given = call.argument
    if call.function == "Ref":
        return None if isinstance(given, str) else (f"Ref takes a name, this is {_kind(given)}", 'write {"Ref": "Parameter"}')
    if call.function == "Fn::Sub":
        fine = isinstance(given, str) or (isinstance(given, list) and len(given) == 2 and isinstance(given[1], dict))
        return None if fine else ("Fn::Sub takes a text, or a text and a map", 'write {"Fn::Sub": ["dt/${n}", {"n": ...}]}')
    sizes = {"Fn::Join": 2, "Fn::Select": 2, "Fn::Split": 2, "Fn::FindInMap": 3}
    size = sizes.get(call.function)
    if size is not None and not (isinstance(given, list) and len(given) == size):
        return f"{call.function} takes a list of {size}", f"see {_TEMPLATES}"
    return _map_problem(given, template) if call.function == "Fn::FindInMap" else None


def _map_problem(given: list[Any], template: Template) -> tuple[str, str] | None:
    """Names that are texts must lead to a value in Mappings."""
    part: Any = template.body.get("Mappings", {})
    for name in given:
        if not isinstance(name, str):
            return None
        if not isinstance(part, dict) or name not in part:
            near = _near(name, part) if isinstance(part, dict) else None
            return f"{name!r:.80} is not in Mappings", f"did you mean {near}?" if near else 'add it under "Mappings"'
        part = part[name]
    return None


@rule(
    id="P09",
    title="Not exactly one certificate",
    severity=Severity.HIGH,
    why="A registration is about one certificate: without it in the template the device's certificate is never activated and is "
    "deleted when its ownership token ends.",
    source=_TEMPLATES,
    fails={**_GOOD, "Resources": {k: v for k, v in _GOOD["Resources"].items() if k != "certificate"}},
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def one_certificate(template: Template) -> Iterator[Hit]:
    found = list(template.of(CERTIFICATE))
    if not found:
        yield Hit("/Resources", "there is no certificate in it", f'add a resource with "Type": "{CERTIFICATE}"')
    for extra in found[1:]:
        yield Hit(extra.pointer, f"{extra.name!r:.80} is a second certificate", "keep one")


@rule(
    id="P10",
    title="A group, type or policy that nothing creates",
    severity=Severity.MEDIUM,
    why="The template only names them: thing type, thing groups, billing group and a policy by name must be there when a device "
    "registers. Nothing in this plan makes the one that is named; a different spelling, capitals included, is another name.",
    source=_TEMPLATES,
    fails={"template": _GOOD, "created": {"policies": ["Sensor"]}},
    passes={"template": _GOOD, "created": {"policies": ["sensor"]}},
    subject=Subject.TEMPLATE,
)
def nothing_creates(template: Template) -> Iterator[Hit]:
    made = template.created
    if made is None:
        return
    for kind, names, name, pointer in _named(template, made.policies, made.thing_types, made.groups, made.billing_groups):
        if name not in names and kind not in made.unknown:
            near = _near(name, names)
            yield Hit(
                pointer, f"nothing here creates the {kind} {name!r:.80}", f"did you mean {near}?" if near else "create it as well"
            )


def _named(
    template: Template, policies: frozenset[str], types: frozenset[str], groups: frozenset[str], billing: frozenset[str]
) -> Iterator[tuple[str, frozenset[str], str, Pointer]]:
    """Every literal name of something that must be there: its kind, those that are there, the name, and where it stands."""
    for resource in template.resources:
        where = [
            ("policy", policies, "PolicyName"),
            ("thing type", types, "ThingTypeName"),
            ("billing group", billing, "BillingGroup"),
        ]
        for kind, names, property in where:
            if isinstance(name := resource.properties.get(property), str):
                yield kind, names, name, resource.at(property)
        listed = resource.properties.get("ThingGroups")
        for index, name in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(name, str):
                yield "thing group", groups, name, f"{resource.at('ThingGroups')}/{index}"


@rule(
    id="P11",
    title="A template name that AWS IoT does not take",
    severity=Severity.HIGH,
    why="A name has at most 36 characters: letters, digits, hyphen and underscore. It also stands in the claim policy's "
    "topics, so that changing it later means changing every claim.",
    source=f"{_API}API_CreateProvisioningTemplate.html",
    fails={"template": _GOOD, "name": "fleet-provisioning-template-production-1"},
    passes={"template": _GOOD, "name": "fleet-production"},
    subject=Subject.TEMPLATE,
)
def template_name(template: Template) -> Iterator[Hit]:
    name = template.name
    if name is not None and not re.fullmatch(rf"[0-9A-Za-z_-]{{1,{MAXIMUM_NAME}}}", name):
        what = (
            f"the name {name!r:.80} has {len(name)} characters"
            if len(name) > MAXIMUM_NAME
            else f"{name!r:.80} is no template name"
        )
        yield Hit("", what, f"use at most {MAXIMUM_NAME} letters, digits, - and _")


@rule(
    id="P12",
    title="A template body over 10 240 characters",
    severity=Severity.HIGH,
    why="CreateProvisioningTemplate refuses it at apply. Policies by name instead of whole documents, and fewer attributes, "
    "make it short.",
    source=f"{_API}API_CreateProvisioningTemplate.html",
    fails=_with("DeviceConfiguration", {"text": "x" * MAXIMUM_SIZE}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def too_long(template: Template) -> Iterator[Hit]:
    if template.size > MAXIMUM_SIZE:
        compact = len(json.dumps(template.body, separators=(",", ":"), ensure_ascii=False))
        fix = "send it without white space" if compact <= MAXIMUM_SIZE else "name policies instead of writing them out"
        yield Hit("", f"the body has {template.size} characters, AWS IoT takes {MAXIMUM_SIZE}", fix)


@rule(
    id="P13",
    title="Nested objects in DeviceConfiguration",
    severity=Severity.HIGH,
    why="What a device gets back is a flat map of texts. Nested JSON objects are not supported there, and the registration "
    "fails.",
    source=_TEMPLATES,
    fails=_with("DeviceConfiguration", {"mqtt": {"topic": "dt"}}),
    passes=_with("DeviceConfiguration", {"mqttTopic": {"Ref": "ThingName"}}),
    subject=Subject.TEMPLATE,
)
def nested_configuration(template: Template) -> Iterator[Hit]:
    given = template.body.get("DeviceConfiguration")
    for name, value in given.items() if isinstance(given, dict) else ():
        if isinstance(value, dict) and not is_call(value):
            pointer = f"/DeviceConfiguration/{escape(name)}"
            yield Hit(pointer, f"{name!r:.80} is an object", "write its values side by side, each under a name of its own")


#: Attributes of a thing [quotas of AWS IoT Core].
_ATTRIBUTES_WITH_TYPE, _ATTRIBUTES_WITHOUT = 50, 3


@rule(
    id="P14",
    title="More attributes than a thing can have",
    severity=Severity.HIGH,
    why="A thing without a type has three attributes at most, one with a type fifty. The registration fails, not the template.",
    source=_LIMITS,
    fails=_with("Resources thing Properties AttributePayload", {"a": "1", "b": "2", "c": "3", "d": "4"}),
    passes=_with("Resources thing Properties AttributePayload", {"a": "1", "b": "2", "c": "3"}),
    subject=Subject.TEMPLATE,
)
def too_many_attributes(template: Template) -> Iterator[Hit]:
    for thing in template.of(THING):
        payload = thing.properties.get("AttributePayload")
        typed = "ThingTypeName" in thing.properties
        limit = _ATTRIBUTES_WITH_TYPE if typed else _ATTRIBUTES_WITHOUT
        if isinstance(payload, dict) and not is_call(payload) and len(payload) > limit:
            what = f"{len(payload)} attributes, a thing {'with' if typed else 'without'} a type takes {limit}"
            fix = f"save {len(payload) - limit}" if typed else "name a ThingTypeName"
            yield Hit(thing.at("AttributePayload"), what, fix)


#: What names and values may consist of [botocore iot: ThingName, AttributeName, AttributeValue, PolicyName].
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}")


@rule(
    id="P15",
    title="A name or attribute that AWS IoT refuses",
    severity=Severity.HIGH,
    why="Names take letters, digits, colon, hyphen and underscore; attributes a few signs more, but no space, plus or percent "
    "sign. Every registration with it fails.",
    source=f"{_API}API_AttributePayload.html",
    fails=_with("Resources thing Properties AttributePayload", {"site": "Building A"}),
    passes=_with("Resources thing Properties AttributePayload", {"site": "building-a"}),
    subject=Subject.TEMPLATE,
)
def illegal_literal(template: Template) -> Iterator[Hit]:
    patterns = [("ThingName", _NAME), ("ThingTypeName", _NAME), ("BillingGroup", _NAME), ("PolicyName", _POLICY_NAME)]
    for resource in template.resources:
        for property, allowed in patterns:
            yield from _refused(resource.properties.get(property), resource.at(property), allowed, property)
        groups = resource.properties.get("ThingGroups")
        for index, group in enumerate(groups if isinstance(groups, list) else []):
            yield from _refused(group, f"{resource.at('ThingGroups')}/{index}", _NAME, "a thing group")
        payload = resource.properties.get("AttributePayload")
        for name, value in payload.items() if isinstance(payload, dict) and not is_call(payload) else ():
            pointer = f"{resource.at('AttributePayload')}/{escape(name)}"
            yield from _refused(name, pointer, _ATTRIBUTE_NAME, "an attribute's name")
            yield from _refused(value, pointer, _ATTRIBUTE_VALUE, f"the attribute {name:.40}")


def _refused(value: Any, pointer: Pointer, allowed: re.Pattern[str], what: str) -> Iterator[Hit]:
    if isinstance(value, str) and not allowed.fullmatch(value):
        wrong = sorted({character for character in value if not allowed.fullmatch(character)})
        shown = f"{' '.join(map(repr, wrong[:5]))} is not allowed" if wrong else "it has the wrong length"
        yield Hit(pointer, f"{what} cannot be {value!r:.80}: {shown}", "use letters, digits, - and _")


@rule(
    id="P16",
    title="A device's own text becomes a name or an attribute",
    severity=Severity.LOW,
    why="What a device sends may hold a space, a plus or two hundred characters; then its registration fails, or it takes "
    "another thing's name. It is fine where a pre-provisioning hook checks every value or overrides it; a plan that shows the "
    "hook silences this.",
    source=_HOOK,
    fails=_with("Resources thing Properties AttributePayload", {"name": {"Ref": "ThingName"}}),
    passes={"template": _with("Resources thing Properties AttributePayload", {"name": {"Ref": "ThingName"}}), "hook": True},
    subject=Subject.TEMPLATE,
)
def text_of_a_device(template: Template) -> Iterator[Hit]:
    if template.hook or template.fleet is False:
        return
    for thing in template.of(THING):
        payload = thing.properties.get("AttributePayload")
        filled = [name for name, value in payload.items() if template.device_sent(value)] if isinstance(payload, dict) else []
        if filled:
            shown = ", ".join(filled[:4]) + (", ..." if len(filled) > 4 else "")
            what = f"without a hook a device fills {len(filled)} of the attributes as it likes: {shown:.200}"
            fix = "let a pre-provisioning hook check each value against [a-zA-Z0-9_.,@/:#=[]-] or override it"
            yield Hit(thing.at("AttributePayload"), what, fix, "Building A+")
        if sent := template.device_sent(thing.properties.get("ThingName")):
            what = f"without a hook a device names its thing by sending {', '.join(sent):.200}"
            yield Hit(thing.at("ThingName"), what, "let a pre-provisioning hook derive the name", "the name of another thing")


@rule(
    id="P17",
    title="Without a hook a device chooses its own policy, type or group",
    severity=Severity.HIGH,
    why="The claim key is in every device. Whoever has one sends the name of the widest policy of the account and gets it.",
    source=_HOOK,
    fails={"template": _with("Resources policy Properties PolicyName", {"Ref": "ThingName"}), "hook": False},
    passes={"template": _with("Resources policy Properties PolicyName", {"Ref": "ThingName"}), "hook": True},
    subject=Subject.TEMPLATE,
)
def chosen_by_device(template: Template) -> Iterator[Hit]:
    if template.hook is not False or template.fleet is False:
        return
    for resource in template.resources:
        for property in ("PolicyName", "PolicyDocument", "ThingTypeName", "ThingGroups", "BillingGroup"):
            if sent := template.device_sent(resource.properties.get(property)):
                what = f"{property} is what the device sends as {', '.join(sent)}, and no hook decides"
                yield Hit(resource.at(property), what, "write the name, or let a pre-provisioning hook override the parameter")


@rule(
    id="P23",
    title="A policy that is made at registration cannot be judged",
    severity=Severity.MEDIUM,
    why="What a template makes of parameters is known only when a device registers: a value of the device, or of the hook, can "
    "widen the policy to anything, and no check before that sees it. Of a parameter with a Default, the Default is judged.",
    source=_TEMPLATES,
    fails=_with("Resources policy Properties", {"PolicyDocument": {"Ref": "ThingName"}}),
    passes=_with("Resources policy Properties", {"PolicyDocument": {"Fn::Select": ["0", ['{"Version": "2012-10-17"}']]}}),
    subject=Subject.TEMPLATE,
)
def made_at_registration(template: Template) -> Iterator[Hit]:
    for resource in template.of(POLICY):
        if "PolicyDocument" not in resource.properties:
            continue
        given, pointer = resource.properties["PolicyDocument"], resource.at("PolicyDocument")
        made = template.evaluated(given)
        fix = "write the policy out as a text, with policy variables for what differs, like ${iot:Connection.Thing.ThingName}"
        if made is None:
            yield Hit(pointer, "PolicyDocument is only known when a device registers, and cannot be judged", fix)
        elif made.parameters:
            names = ", ".join(sorted(made.parameters))
            yield Hit(pointer, f"PolicyDocument is made of {names:.200}; only what the Default gives can be judged", fix)
        elif not isinstance(made.value, str | dict):
            yield Hit(pointer, f"PolicyDocument is {_kind(made.value)}, and is not judged", fix)


_OVERRIDES: dict[str, dict[str, tuple[str, ...]]] = {
    THING: {
        "AttributePayload": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
        "ThingTypeName": ("DO_NOTHING", "REPLACE", "FAIL"),
        "ThingGroups": ("DO_NOTHING", "REPLACE", "FAIL", "MERGE"),
    },
    CERTIFICATE: {"Status": ("DO_NOTHING", "REPLACE", "FAIL")},
    POLICY: {},
}
_VALUES = {"Status": ("ACTIVE", "INACTIVE"), "ThingPrincipalType": ("EXCLUSIVE_THING", "NON_EXCLUSIVE_THING")}


@rule(
    id="P18",
    title="A setting that AWS IoT does not know",
    severity=Severity.HIGH,
    why="OverrideSettings say what happens if the thing is there already: MERGE is for attributes and groups only, and "
    "policies have none. Status and ThingPrincipalType have two values each, and every parameter is a String.",
    source=_TEMPLATES,
    fails=_with("Resources thing OverrideSettings", {"ThingTypeName": "MERGE"}),
    passes=_with("Resources thing OverrideSettings", {"ThingTypeName": "FAIL", "AttributePayload": "MERGE"}),
    subject=Subject.TEMPLATE,
)
def unknown_setting(template: Template) -> Iterator[Hit]:
    for name, parameter in template.parameters.items():
        if isinstance(parameter, dict):
            yield from _one_of(parameter.get("Type"), f"/Parameters/{escape(name)}", f"the type of {name:.60}", ("String",))
    for resource in template.resources:
        known = _OVERRIDES.get(resource.type or "")
        for name, value in resource.overrides.items() if known is not None else ():
            pointer = f"{resource.pointer}/OverrideSettings/{escape(name)}"
            if name not in (known or {}):
                fix = f"use one of {', '.join(known)}" if known else "remove it"
                yield Hit(pointer, f"{resource.type} has no override setting {name!r:.80}", fix)
            elif known:
                yield from _one_of(value, pointer, name, known[name])
        for property, values in _VALUES.items():
            given = resource.properties.get(property)
            if given is not None and not is_call(given) and resource.type == CERTIFICATE:
                # AWS's own example of a fleet template writes "Active".
                shown = given.upper() if property == "Status" and isinstance(given, str) else given
                yield from _one_of(shown, resource.at(property), property, values)


def _one_of(value: Any, pointer: Pointer, what: str, allowed: tuple[str, ...]) -> Iterator[Hit]:
    if not (isinstance(value, str) and value in allowed):
        yield Hit(pointer, f"{what} is {value!r:.60}", f"use {' or '.join(allowed)}")


@rule(
    id="P19",
    title="Not one of PolicyName and PolicyDocument",
    severity=Severity.HIGH,
    why="A policy resource either names a policy that is there, or holds a document; with both or none of them the "
    "registration fails.",
    source=_TEMPLATES,
    fails=_with("Resources policy Properties", {}),
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def name_or_document(template: Template) -> Iterator[Hit]:
    for resource in template.of(POLICY):
        present = [name for name in ("PolicyName", "PolicyDocument") if name in resource.properties]
        if len(present) != 1:
            what = "has both PolicyName and PolicyDocument" if present else "has neither PolicyName nor PolicyDocument"
            yield Hit(resource.pointer, f"{resource.name!r:.80} {what}", "keep the name" if present else "add PolicyName")


@rule(
    id="P20",
    title="A fleet template that does not take the certificate of the registration",
    severity=Severity.HIGH,
    why="In fleet provisioning the device has its certificate already and proves that it owns it. A signing request or another "
    "id in the template does not work there.",
    source=_FLEET,
    fails={"template": _with("Resources certificate Properties", {"CertificateSigningRequest": "CSR"}), "fleet": True},
    passes={"template": _GOOD, "fleet": True},
    subject=Subject.TEMPLATE,
)
def certificate_of_registration(template: Template) -> Iterator[Hit]:
    for resource in template.of(CERTIFICATE) if template.fleet else ():
        if resource.properties.get("CertificateId") != {"Ref": "AWS::IoT::Certificate::Id"}:
            fix = 'write "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"} and no request or PEM'
            yield Hit(f"{resource.pointer}/Properties", "the certificate is not that of the registration", fix)


@rule(
    id="P21",
    title="No thing or no policy in it",
    severity=Severity.LOW,
    why="AWS describes a template as a thing, a certificate and one or more policies. Without a policy a device may do only "
    "what its thing's groups allow, and without a thing it has no thing variables.",
    source=_TEMPLATES,
    fails={**_GOOD, "Resources": {k: v for k, v in _GOOD["Resources"].items() if k != "policy"}},
    passes=_GOOD,
    subject=Subject.TEMPLATE,
)
def no_thing_or_policy(template: Template) -> Iterator[Hit]:
    for type, noun in ((THING, "thing"), (POLICY, "policy")):
        if template.resources and not any(template.of(type)):
            yield Hit("/Resources", f"there is no {noun} in it", f'add a resource with "Type": "{type}"')
    things = list(template.of(THING))
    for extra in things[1:]:
        yield Hit(extra.pointer, f"{extra.name!r:.80} is a second thing", "keep one: a registration makes one thing")


@rule(
    id="P22",
    title="The template is switched off",
    severity=Severity.LOW,
    why="The Terraform provider's default for `enabled` is false: a template without it is made, and refuses every device.",
    source="https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iot_provisioning_template",
    fails={"template": _GOOD, "enabled": False},
    passes={"template": _GOOD, "enabled": True},
    subject=Subject.TEMPLATE,
)
def switched_off(template: Template) -> Iterator[Hit]:
    if template.enabled is False:
        yield Hit("", "no device can register with it: enabled is false", "set enabled = true once the fleet may come in")


RULES: tuple[Rule[Template], ...] = (
    undeclared,
    unused,
    shape,
    unknown_type,
    unknown_property,
    unknown_function,
    unknown_predefined,
    misplaced_function,
    one_certificate,
    nothing_creates,
    template_name,
    too_long,
    nested_configuration,
    too_many_attributes,
    illegal_literal,
    text_of_a_device,
    chosen_by_device,
    unknown_setting,
    name_or_document,
    certificate_of_registration,
    no_thing_or_policy,
    switched_off,
    made_at_registration,
)
