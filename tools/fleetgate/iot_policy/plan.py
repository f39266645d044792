"""A Terraform plan or state as `terraform show -json` writes it: its resources, and which IoT policies act together.

What is known only after apply is missing in a plan. What an attachment points at is then taken from the configuration: the
references of its expressions, followed through the variables of modules.

[Terraform: JSON output format]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleetgate.iot_policy.source import Pointer, escape, mapping


@dataclass(frozen=True, slots=True)
class Resource:
    """One instance of a resource. module: address of its module instance, "" for the root. pointer: of its values.

    unknown: names of the values that are known only after apply.
    """

    address: str
    type: str
    name: str
    module: str
    index: str | int | None
    values: Mapping[str, Any]
    unknown: frozenset[str]
    pointer: Pointer

    def text(self, name: str) -> str | None:
        """A value that is a text and known."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Target:
    """What policies are attached to: the ARN, or the reference to it in the configuration."""

    name: str
    is_group: bool

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Attachment:
    """policy: the aws_iot_policy that is attached, or None if that is not in the plan."""

    resource: Resource
    policy: Resource | None


@dataclass(frozen=True)
class Plan:
    """resources: managed ones that are there after apply. account, region: where it is applied, if the plan says so."""

    resources: tuple[Resource, ...]
    account: str | None = None
    region: str | None = None
    _configuration: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *types: str) -> Iterator[Resource]:
        return (resource for resource in self.resources if resource.type in types)

    @cached_property
    def targets(self) -> dict[Target, list[Attachment]]:
        """Which policies are attached to what."""
        policies = list(self.of("aws_iot_policy"))
        found: dict[Target, list[Attachment]] = {}
        for resource in self.of("aws_iot_policy_attachment"):
            name = resource.text("target") or self._reference(resource, "target")
            if name is None:
                continue
            target = Target(name, ":thinggroup/" in name or "aws_iot_thing_group." in name)
            found.setdefault(target, []).append(Attachment(resource, self._policy(resource, policies)))
        return found

    def _policy(self, attachment: Resource, policies: list[Resource]) -> Resource | None:
        name = attachment.text("policy")
        if name is not None:
            return next((p for p in policies if p.text("name") == name), None)
        reference = self._reference(attachment, "policy")
        return next((p for p in policies if p.address == reference), None)

    def _reference(self, resource: Resource, attribute: str) -> str | None:
        """The address of the resource that an expression names, as exactly as the configuration tells."""
        block = self._module(resource.module)
        for item in _list(block.get("resources")):
            if item.get("type") == resource.type and item.get("name") == resource.name:
                references = _references(mapping(item.get("expressions")).get(attribute))
                return self._followed(references, resource.module, resource.index)
        return None

    def _followed(self, references: list[str], module: str, index: str | int | None) -> str | None:
        named = [r for r in references if not r.startswith(("each.", "count.", "local.", "path.", "terraform."))]
        if not named:
            return None
        reference = named[0]
        if reference.startswith("var.") and module:
            parent, call = _parent(module)
            given = mapping(mapping(mapping(self._module(parent).get("module_calls")).get(call)).get("expressions")).get(
                reference[4:]
            )
            return self._followed(_references(given), parent, _instance(module))
        # `aws_iot_certificate.this.arn` comes with `aws_iot_certificate.this` behind it.
        parts = [r for r in named if reference.startswith(r)]
        shortest = min(parts, key=len)
        place = f"{module}.{shortest}" if module else shortest
        if index is not None and any(r.startswith(("each.", "count.")) for r in references) and not place.endswith("]"):
            place += f"[{index}]" if isinstance(index, int) else f'["{index}"]'
        return place

    def _module(self, address: str) -> Mapping[str, Any]:
        block = mapping(self._configuration.get("root_module"))
        for name in _MODULE.findall(address):
            block = mapping(mapping(mapping(block.get("module_calls")).get(name)).get("module"))
        return block


_MODULE = re.compile(r'module\.([A-Za-z0-9_-]+)(?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\])?')


def read(value: Mapping[str, Any]) -> Plan:
    """Never raises: of a plan with parts of a wrong type, the others are read."""
    unknown = {
        item["address"]: frozenset(name for name, is_unknown in after.items() if is_unknown)
        for item in _list(value.get("resource_changes"))
        if isinstance(item.get("address"), str)
        and (after := mapping(mapping(item.get("change")).get("after_unknown"))) is not None
    }
    resources: list[Resource] = []
    for section in ("planned_values", "values"):
        if isinstance(value.get(section), dict):
            _walk(mapping(mapping(value[section]).get("root_module")), f"/{section}/root_module", unknown, resources)
            break
    else:
        resources += _changed(value, unknown)
    identity = _first(value, "aws_caller_identity")
    place = _first(value, "aws_region")
    return Plan(
        tuple(resources),
        _text(identity.get("account_id")),
        _text(place.get("region")) or _text(place.get("name")) or _region(value),
        mapping(value.get("configuration")),
    )


def _walk(module: Mapping[str, Any], pointer: Pointer, unknown: Mapping[str, frozenset[str]], found: list[Resource]) -> None:
    for index, item in enumerate(_list(module.get("resources"), keep=True)):
        if isinstance(item, dict) and item.get("mode", "managed") == "managed" and isinstance(item.get("values"), dict):
            found.append(_resource(item, item["values"], f"{pointer}/resources/{index}/values", unknown))
    for index, child in enumerate(_list(module.get("child_modules"), keep=True)):
        _walk(mapping(child), f"{pointer}/child_modules/{index}", unknown, found)


def _changed(value: Mapping[str, Any], unknown: Mapping[str, frozenset[str]]) -> Iterator[Resource]:
    """Of a plan that somebody has cut down to its changes."""
    for index, item in enumerate(_list(value.get("resource_changes"), keep=True)):
        after = mapping(mapping(mapping(item).get("change")).get("after"))
        if after and mapping(item).get("mode", "managed") == "managed":
            yield _resource(item, after, f"/resource_changes/{index}/change/after", unknown)


def _resource(
    item: Mapping[str, Any], values: Mapping[str, Any], pointer: Pointer, unknown: Mapping[str, frozenset[str]]
) -> Resource:
    kind, name = str(item.get("type", "")), str(item.get("name", ""))
    address = str(item.get("address") or f"{kind}.{name}")
    module, _, _ = address.rpartition(f".{kind}.{name}") if f".{kind}.{name}" in address else ("", "", "")
    index = item.get("index")
    return Resource(
        address,
        kind,
        name,
        module,
        index if isinstance(index, str | int) else None,
        values,
        unknown.get(address, frozenset()),
        pointer,
    )


def _parent(module: str) -> tuple[str, str]:
    """`module.a["x"].module.b[0]` as (`module.a["x"]`, `b`)."""
    last = list(_MODULE.finditer(module))[-1]
    return module[: last.start()].rstrip("."), last.group(1)


def _instance(module: str) -> str | int | None:
    index = re.search(r'\[(?:"((?:[^"\\]|\\.)*)"|(\d+))\]$', module)
    if index is None:
        return None
    return int(index[2]) if index[2] else index[1]


def _first(value: Mapping[str, Any], data_source: str) -> Mapping[str, Any]:
    """The values of a data source that was read before the plan."""
    modules = [mapping(mapping(mapping(value.get("prior_state")).get("values")).get("root_module"))]
    for module in modules:
        for item in _list(module.get("resources")):
            if item.get("type") == data_source and isinstance(item.get("values"), dict):
                return mapping(item["values"])
        modules += _list(module.get("child_modules"))
    return {}


def _region(value: Mapping[str, Any]) -> str | None:
    """Of the provider's configuration, if it is a constant or a variable of the root."""
    provider = mapping(mapping(mapping(value.get("configuration")).get("provider_config")).get("aws"))
    region = mapping(mapping(provider.get("expressions")).get("region"))
    if text := _text(region.get("constant_value")):
        return text
    variables = [r[4:] for r in _references(region) if r.startswith("var.")]
    return _text(mapping(mapping(value.get("variables")).get(variables[0])).get("value")) if variables else None


def _references(expression: Any) -> list[str]:
    listed = mapping(expression).get("references")
    return [r for r in listed if isinstance(r, str)] if isinstance(listed, list) else []


def _list(value: Any, *, keep: bool = False) -> list[Any]:
    """The objects of a list; keep: with what is none, so that their indexes stay."""
    return [item for item in value if keep or isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def below(pointer: Pointer, name: str) -> Pointer:
    """The pointer of a value of a resource."""
    return f"{pointer}/{escape(name)}"
