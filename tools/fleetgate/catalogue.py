"""The catalogue of device types: what `catalogue/device_types.yaml` may say, and every rule that it must keep.

Only this module knows the file's shape. Everything else works on the frozen model it returns.
Limits are those of AWS IoT Core (ThingName, AttributeValue and AttributeName as in the botocore model; shadow document 8 KB
and 8 levels, topic 256 bytes and 7 slashes as in the service quotas).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fleetgate import document, regular_expressions
from fleetgate.document import DottedPath, Source, Strict
from fleetgate.errors import FleetgateError, Problem

FILE = "catalogue/device_types.yaml"
SCHEMA_FILE = "catalogue/device_types.schema.json"

#: The attributes that every thing gets from the gate; a type's extra attributes come on top.
THING_ATTRIBUTES = ("serialNumber", "deviceType", "firmwareVersion", "manufacturer", "location", "provisioningTime")
#: With a thing type, a thing may hold 50 attributes.
MAXIMUM_ATTRIBUTES = 50
ATTRIBUTE_NAME = r"[a-zA-Z0-9_.,@/:#-]{1,128}"
ATTRIBUTE_VALUE = r"[a-zA-Z0-9_.,@/:#=\[\]-]{1,800}"
SERIAL = r"[a-zA-Z0-9_-]{1,64}"
#: Names that would meet another of ours: the policy `<prefix>-claim`, and `unknown` in the decision metric.
RESERVED_TYPES = ("claim", "unknown")
MAXIMUM_SHADOW_BYTES = 8192
MAXIMUM_SHADOW_DEPTH = 8


def _matching(pattern: str, remedy: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not allowed | {remedy}")
        return value

    return AfterValidator(check)


def _regular_expression(value: str) -> str:
    try:
        re.compile(value, re.ASCII)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error} | mend the pattern, for example 'TEMP-[0-9]{{6}}'") from None
    if regular_expressions.ways(value) > regular_expressions.MAXIMUM_WAYS:
        # The hook runs it on text from strangers, and has five seconds.
        remedy = "let each repetition end before a character that it cannot hold, as in [A-Z]+-[0-9]+"
        raise ValueError(f"some texts would take too long: its repetitions can share a text in too many ways | {remedy}")
    if value.startswith("^") or value.endswith("$"):
        raise ValueError("anchored | leave out ^ and $: the pattern always has to match the whole text")
    return value


Pattern = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_regular_expression)]
TypeName = Annotated[
    str,
    _matching(
        r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?",
        "use lower case letters, digits and inner hyphens, at most 40, like `flow-meter`",
    ),
]
Manufacturer = Annotated[
    str,
    _matching(r"[a-zA-Z0-9_.,@/:#=\[\]-]{1,128}", "it becomes a thing attribute: letters, digits and _.,@/:#=[]- only"),
]
AttributeName = Annotated[str, _matching(ATTRIBUTE_NAME, "letters, digits and _.,@/:#- only, at most 128")]
AttributeValue = Annotated[str, _matching(ATTRIBUTE_VALUE, "letters, digits and _.,@/:#=[]- only, no space, at most 800")]


class Firmware(Strict):
    """Which firmware versions the gate lets in."""

    pattern: Pattern = Field(description="Regular expression that the whole version has to match.")
    minimum: str = Field(description="Lowest version let in, compared number by number (1.10.0 is above 1.9.9).", max_length=64)


class Topics(Strict):
    """MQTT topics of the type. `{thing}` is the thing's own name, `{type}` the device type; `*` only at the end."""

    publish: list[str] = Field(default_factory=list, description="Telemetry: where the device may publish.")
    subscribe: list[str] = Field(default_factory=list, description="What the device may subscribe to and receive.")


class DeviceType(Strict):
    """One device type: everything the fleet needs to know to let such a device in and to bound what it may do."""

    description: str = Field(min_length=1, max_length=200, description="One line for people.")
    shape: Literal["sensor", "gateway"] = Field(description="Which policy template renders its policy.")
    manufacturers: list[Manufacturer] = Field(min_length=1, description="Who may have made it.")
    firmware: Firmware
    enrolment: Literal["allow_list", "open"] = Field(
        default="allow_list", description="allow_list: only serials in the registry. open: any well-formed serial."
    )
    serial_pattern: Pattern = Field(description="Regular expression that the whole serial number has to match.")
    canary_serial: str = Field(description="A serial reserved for the smoke check's device; no real device may have it.")
    topics: Topics
    publishes_on_behalf_of: list[str] = Field(
        default_factory=list, description="Types in whose things' names this type may publish telemetry."
    )
    initial_shadow: dict[str, Any] = Field(min_length=1, description="Desired state of a new device's shadow.")
    attributes: dict[AttributeName, AttributeValue] = Field(
        default_factory=dict, description="Extra thing attributes, the same for every device of the type."
    )


class Catalogue(Strict):
    """All device types of the fleet."""

    device_types: dict[TypeName, DeviceType] = Field(min_length=1)

    @property
    def extra_attributes(self) -> tuple[str, ...]:
        """Names of the extra attributes of all types, sorted. The provisioning template is one for all types."""
        return tuple(sorted({name for kind in self.device_types.values() for name in kind.attributes}))


def parse(text: str, file: str = FILE) -> Catalogue:
    """Reads and checks a catalogue. Raises FleetgateError with all mistakes of it."""
    data, source = document.load(text, file)
    catalogue, problems = document.validate(data, source, Catalogue)
    # Whatever is sound by itself is held against the rules even if other parts are not: all mistakes in one run.
    entries = data.get("device_types")
    types = {
        str(name): document.validate_partly(entry if isinstance(entry, dict) else {}, DeviceType)
        for name, entry in (entries.items() if isinstance(entries, dict) else ())
    }
    problems += _check(types, source)
    if catalogue is None or problems:
        raise FleetgateError(problems)
    return catalogue


def read(root: Path) -> Catalogue:
    """The catalogue of the checkout at `root`."""
    return parse(document.read_text(root, FILE))


def schema() -> str:
    """The JSON schema of the catalogue file, for editors. Ends in a newline."""
    return (
        json.dumps(
            Catalogue.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"},
            indent=2,
            sort_keys=True,
        )
        + "\n"
    )


def version_key(version: str) -> tuple[int, ...] | None:
    """`1.10.0` as (1, 10), or None if it is not numbers between dots. Trailing zeros do not count: 1.2 and 1.2.0 are the same.

    The hook compares in the same way; a contract test holds the two together.
    """
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}", version):
        return None
    numbers = [int(part) for part in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@dataclass(frozen=True)
class _Entry:
    """A device type under the rules. kind: its valid fields, and no others. names: of all types in the file."""

    name: str
    kind: DeviceType
    names: Collection[str]
    say: Callable[[DottedPath, str, str], None]


_Rule = Callable[[_Entry], None]
_RULES: list[tuple[tuple[str, ...], _Rule]] = []


def _reads(*fields: str) -> Callable[[_Rule], _Rule]:
    """A rule for each device type by itself. It is asked where all fields that it reads are valid, whatever else is not."""

    def register(rule: _Rule) -> _Rule:
        _RULES.append((fields, rule))
        return rule

    return register


def _has(kind: DeviceType, field: str) -> bool:
    try:
        attrgetter(field)(kind)
    except AttributeError:
        return False
    return True


def _check(types: dict[str, DeviceType], source: Source) -> list[Problem]:
    """types: each with its valid fields, and no others."""
    problems: list[Problem] = []
    for name, kind in types.items():

        def say(sub: DottedPath, what: str, remedy: str, name: str = name) -> None:
            problems.append(source.problem(("device_types", name, *sub), what, remedy))

        for fields, rule in _RULES:
            if all(_has(kind, field) for field in fields):
                rule(_Entry(name, kind, types, say))
    problems += _check_canaries(types, source)
    attributes = {attribute for kind in types.values() if _has(kind, "attributes") for attribute in kind.attributes}
    count = len(THING_ATTRIBUTES) + len(attributes)
    if count > MAXIMUM_ATTRIBUTES:
        problems.append(
            source.problem(
                ("device_types",),
                f"{count} thing attributes over all types, {MAXIMUM_ATTRIBUTES} are possible",
                "remove extra attributes",
            )
        )
    return problems


@_reads()
def _check_name(entry: _Entry) -> None:
    name = entry.name
    if name in RESERVED_TYPES:
        entry.say((), f"{name!r} is a reserved name", "choose another name")
    for other in entry.names:
        if other.startswith(f"{name}-"):
            # `<type>-<serial>` would then name one thing for two devices, and the second would get the first one's.
            entry.say(
                (),
                f"things of {name!r} and {other!r} could get the same name",
                f"rename one so that {other!r} does not start with '{name}-'",
            )


@_reads("manufacturers")
def _check_manufacturers(entry: _Entry) -> None:
    if len(set(entry.kind.manufacturers)) != len(entry.kind.manufacturers):
        entry.say(("manufacturers",), "a manufacturer stands twice", "keep one of the two")


@_reads("firmware.minimum")
def _check_minimum(entry: _Entry) -> None:
    minimum = entry.kind.firmware.minimum
    if version_key(minimum) is None:
        entry.say(("firmware", "minimum"), f"{minimum!r} is not numbers between dots", "write it like 1.2.0")


@_reads("firmware.minimum", "firmware.pattern")
def _check_firmware(entry: _Entry) -> None:
    minimum = entry.kind.firmware.minimum
    if version_key(minimum) is not None and not re.fullmatch(entry.kind.firmware.pattern, minimum, re.ASCII):
        entry.say(("firmware", "minimum"), f"{minimum!r} does not match firmware.pattern", "make the two agree")


@_reads("canary_serial")
def _check_canary(entry: _Entry) -> None:
    canary = entry.kind.canary_serial
    if not re.fullmatch(SERIAL, canary):
        remedy = "use letters, digits, _ and - only, at most 64"
        entry.say(("canary_serial",), f"{canary!r} cannot be part of a thing name", remedy)


@_reads("canary_serial", "serial_pattern")
def _check_serial(entry: _Entry) -> None:
    canary = entry.kind.canary_serial
    if re.fullmatch(SERIAL, canary) and not re.fullmatch(entry.kind.serial_pattern, canary, re.ASCII):
        remedy = "give a serial that it matches, like the lowest one"
        entry.say(("canary_serial",), f"{canary!r} does not match serial_pattern", remedy)


@_reads("topics.publish")
def _check_publish(entry: _Entry) -> None:
    _check_topics(entry, "publish", entry.kind.topics.publish)
    if not entry.kind.topics.publish:
        example = "sensors/temperature/{thing}/*"
        entry.say(("topics", "publish"), "no topic: the device could not report anything", f"add one, like '{example}'")


@_reads("topics.subscribe")
def _check_subscribe(entry: _Entry) -> None:
    _check_topics(entry, "subscribe", entry.kind.topics.subscribe)


@_reads("publishes_on_behalf_of")
def _check_behalf(entry: _Entry) -> None:
    for index, other in enumerate(entry.kind.publishes_on_behalf_of):
        where = ("publishes_on_behalf_of", index)
        if other not in entry.names:
            entry.say(where, f"unknown device type {other!r}", f"name one of: {', '.join(sorted(entry.names))}")
        elif other == entry.name:
            entry.say(where, "names the type itself", "remove it: own topics stand under topics.publish")


@_reads("publishes_on_behalf_of", "shape")
def _check_shape(entry: _Entry) -> None:
    if entry.kind.publishes_on_behalf_of and entry.kind.shape != "gateway":
        what = f"not possible for the shape {entry.kind.shape!r}"
        entry.say(("publishes_on_behalf_of",), what, "remove it, or use `shape: gateway`")


@_reads("initial_shadow")
def _check_shadow(entry: _Entry) -> None:
    shadow = entry.kind.initial_shadow
    try:
        size = len(json.dumps({"state": {"desired": shadow}}, allow_nan=False).encode())
    except (TypeError, ValueError):
        remedy = "use strings, numbers, booleans, lists and maps only"
        entry.say(("initial_shadow",), "holds a value that JSON does not have", remedy)
        return
    if size > MAXIMUM_SHADOW_BYTES:
        entry.say(("initial_shadow",), f"is {size} bytes, {MAXIMUM_SHADOW_BYTES} are possible", "shorten it")
    if _depth(shadow) > MAXIMUM_SHADOW_DEPTH - 2:  # below state.desired
        entry.say(("initial_shadow",), "is nested too deeply", f"at most {MAXIMUM_SHADOW_DEPTH - 2} levels")
    if _holds_null(shadow):
        entry.say(("initial_shadow",), "holds null, which deletes a key of a shadow", "leave the key out")


@_reads("attributes")
def _check_attributes(entry: _Entry) -> None:
    for attribute in entry.kind.attributes:
        if attribute in THING_ATTRIBUTES:
            entry.say(("attributes", attribute), "the gate itself sets this attribute", "remove it")


def _check_canaries(types: dict[str, DeviceType], source: Source) -> Iterator[Problem]:
    """A serial is one row in the registry, whatever its type: a canary must not be another type's device, or its canary."""
    canaries = {name: kind.canary_serial for name, kind in types.items() if _has(kind, "canary_serial")}
    patterns = {name: kind.serial_pattern for name, kind in types.items() if _has(kind, "serial_pattern")}
    for name, canary in canaries.items():
        for other, pattern in patterns.items():
            if other != name and re.fullmatch(pattern, canary, re.ASCII):
                path = ("device_types", name, "canary_serial")
                yield source.problem(
                    path, f"{canary!r} could be a serial of {other!r} too", "give the types serial patterns that differ"
                )


def _check_topics(entry: _Entry, direction: str, topics: Sequence[str]) -> None:
    for index, topic in enumerate(topics):
        for what, remedy in _topic_mistakes(entry.name, topic):
            entry.say(("topics", direction, index), f"{topic!r} {what}", remedy)


def _topic_mistakes(name: str, topic: str) -> Iterator[tuple[str, str]]:
    levels = topic.split("/")
    inner = levels[:-1] if levels[-1] == "*" else levels
    if "{thing}" not in levels:
        yield (
            "does not hold {thing} as a level of its own",
            "add it: without it all devices of the type share the topic",
        )
    for level in inner:
        if level in ("{thing}", "{type}"):
            continue
        if level in ("+", "#"):
            yield "holds an MQTT wildcard, which is plain text in a policy", "end the topic with /* instead"
        elif not re.fullmatch(r"[a-zA-Z0-9_.:-]+", level):
            yield (
                f"has the level {level!r}",
                "use letters, digits and _.:- in a level, {thing} or {type} as a whole level, and * only as the last one",
            )
    # A thing name has at most 128 bytes.
    if len(topic.replace("{type}", name).replace("{thing}", "x" * 128).encode()) > 256 or topic.count("/") > 7:
        yield "can become longer than 256 bytes or 7 slashes", "shorten it"


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0) if isinstance(value, dict | list) else 0


def _holds_null(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_holds_null, children))
