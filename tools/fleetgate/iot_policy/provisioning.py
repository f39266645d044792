"""A provisioning template: its parameters, resources, and every function call in it.

[AWS IoT Core: Provisioning templates]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleetgate.iot_policy.source import Pointer, escape, mapping

#: Characters of a template body, and of its name [botocore iot: TemplateBody, TemplateName].
MAXIMUM_SIZE = 10_240
MAXIMUM_NAME = 36
THING, CERTIFICATE, POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
#: The parameters that the service provides; all but Id come from the certificate's subject, for just-in-time provisioning.
PREDEFINED = frozenset(
    f"AWS::IoT::Certificate::{name}"
    for name in (
        "Country",
        "Organization",
        "OrganizationalUnit",
        "DistinguishedNameQualifier",
        "StateName",
        "CommonName",
        "SerialNumber",
        "Id",
    )
)
FUNCTIONS = ("Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub")


@dataclass(frozen=True, slots=True)
class Resource:
    """type: None if it has none that is a text. pointer: of the whole resource."""

    name: str
    whole: Mapping[str, Any]
    type: str | None
    properties: Mapping[str, Any]
    overrides: Mapping[str, Any]
    pointer: Pointer

    def at(self, property: str) -> Pointer:
        return f"{self.pointer}/Properties/{escape(property)}"


@dataclass(frozen=True, slots=True)
class Call:
    """`{function: argument}`, Ref included. pointer: of the object that holds it."""

    function: str
    argument: Any
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Reference:
    """A parameter that is used: by Ref, or as `${name}` in an Fn::Sub."""

    parameter: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Created:
    """What a plan makes, by name. unknown: kinds of which it makes some whose name is not known yet."""

    policies: frozenset[str]
    thing_types: frozenset[str]
    groups: frozenset[str]
    billing_groups: frozenset[str]
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Template:
    """size: characters as it is sent.

    What only a plan knows, and else is None: name; fleet: for fleet provisioning (True) or just in time (False); hook: whether a
    pre-provisioning hook decides; enabled; created: what is made beside it.
    """

    body: Mapping[str, Any]
    size: int
    name: str | None = None
    fleet: bool | None = None
    hook: bool | None = None
    enabled: bool | None = None
    created: Created | None = field(default=None)

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        return mapping(self.body.get("Parameters"))

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(
            Resource(
                name,
                item,
                item["Type"] if isinstance(item.get("Type"), str) else None,
                mapping(item.get("Properties")),
                mapping(item.get("OverrideSettings")),
                f"/Resources/{escape(name)}",
            )
            for name, item in mapping(self.body.get("Resources")).items()
            if isinstance(item, dict)
        )

    def of(self, type: str) -> Iterator[Resource]:
        return (resource for resource in self.resources if resource.type == type)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        return tuple(calls(self.body, ""))

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        return tuple(reference for call in self.calls for reference in references(call))

    def device_sent(self, value: Any) -> list[str]:
        """The declared parameters that a value is made of, predefined ones aside: without a hook, a device's own words."""
        used = [reference.parameter for call in calls(value, "") for reference in references(call)]
        return sorted({name for name in used if name in self.parameters and name not in PREDEFINED})

    def evaluated(self, value: Any) -> Evaluated | None:
        """What a value is once its functions are called, a parameter standing for its Default; None if that is not known."""
        used: set[str] = set()
        try:
            return Evaluated(_evaluate(self, value, used), frozenset(used))
        except (_Unknown, AttributeError, LookupError, TypeError, ValueError):  # of arguments that are none
            return None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """parameters: those whose Default is in the value. A device or a hook may send another."""

    value: Any
    parameters: frozenset[str]


class _Unknown(Exception):
    """Of a value that is only known when a device registers."""


#: Characters of a text that is made; a policy document has a fiftieth of it.
_MAXIMUM_MADE = 100_000


def _evaluate(template: Template, value: Any, used: set[str]) -> Any:
    if isinstance(value, list):
        return [_evaluate(template, item, used) for item in value]
    if not isinstance(value, dict):
        return value
    if not is_call(value):
        return {key: _evaluate(template, item, used) for key, item in value.items()}
    if len(value) != 1:
        raise _Unknown
    [(function, argument)] = value.items()
    if function == "Ref":
        used.add(argument)
        return _text(template.parameters[argument]["Default"])
    if function == "Fn::Sub":
        return _substitute(template, argument, used)
    first, *others = _evaluate(template, argument, used)
    if function == "Fn::Join":
        [parts] = others
        return _joined([text for part in parts for text in (first, _text(part))][1:])
    if function == "Fn::Split":
        [text] = others
        return text.split(first)
    if function == "Fn::Select":
        [listed] = others
        return listed[int(first)]
    if function == "Fn::FindInMap":
        top, second = others
        return template.body["Mappings"][first][top][second]
    raise _Unknown


def _substitute(template: Template, argument: Any, used: set[str]) -> str:
    text, own = (argument[0], _evaluate(template, argument[1], used)) if isinstance(argument, list) else (argument, {})
    pieces: list[str] = []
    end = 0
    for found in _SUBSTITUTED.finditer(text):
        name = found[1]
        value = own[name] if name in own else _evaluate(template, {"Ref": name}, used)
        pieces += [text[end : found.start()].replace("${!", "${"), _text(value)]
        end = found.end()
    return _joined([*pieces, text[end:].replace("${!", "${")])


def _joined(pieces: list[str]) -> str:
    if sum(map(len, pieces)) > _MAXIMUM_MADE:
        raise _Unknown
    return "".join(pieces)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Unknown
    return str(value)


def calls(value: Any, pointer: Pointer) -> Iterator[Call]:
    """Every function call in a value, outer before inner."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref" or key.startswith("Fn::"):
                yield Call(key, item, pointer)
            yield from calls(item, f"{pointer}/{escape(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from calls(item, f"{pointer}/{index}")


#: No brace inside: `${${${...` would take longer than it grows.
_SUBSTITUTED = re.compile(r"\$\{([^!{}][^{}]*)\}")


def references(call: Call) -> Iterator[Reference]:
    """The parameters that one call itself names."""
    if call.function == "Ref" and isinstance(call.argument, str):
        yield Reference(call.argument, f"{call.pointer}/Ref")
    elif call.function == "Fn::Sub":
        # Either a text, or a text and a map of names of its own.
        text: Any = call.argument
        own: Mapping[str, Any] = {}
        if isinstance(text, list):
            own = mapping(text[1]) if len(text) > 1 else {}
            text = text[0] if text else None
        if isinstance(text, str):
            for name in _SUBSTITUTED.findall(text):
                if name not in own:
                    yield Reference(name, f"{call.pointer}/Fn::Sub")


def is_call(value: Any) -> bool:
    return isinstance(value, dict) and any(key == "Ref" or key.startswith("Fn::") for key in value)
