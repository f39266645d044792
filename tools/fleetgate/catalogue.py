"""The catalogue of device types: what `catalogue/device_types.yaml` may say, and every rule that it must keep.

Only this module knows the file's shape. Everything else works on the frozen model it returns.
Limits are those of AWS IoT Core (ThingName, AttributeValue and AttributeName as in the botocore model; shadow document 8 KB
and 8 levels, topic 256 bytes and 7 slashes as in the service quotas).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fleetgate import document
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
    if _can_explode(value):
        # The hook runs it on text from strangers, and has five seconds.
        raise ValueError("repeats what itself repeats or chooses | rewrite it without + * or | inside of a repeated ( )")
    if value.startswith("^") or value.endswith("$"):
        raise ValueError("anchored | leave out ^ and $: the pattern always has to match the whole text")
    return value


def _can_explode(pattern: str) -> bool:
    """Whether a group that may be repeated holds a repetition or a choice, as in (a+)+ and (a|aa)*: time grows exponentially."""
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)  # escapes and classes stand for one character
    open_groups: list[bool] = []
    for position, character in enumerate(plain):
        if character == "(":
            open_groups.append(False)
        elif character in "+*|" or (character == "{" and "," in plain[position:].partition("}")[0]):
            open_groups = [True] * len(open_groups)
        elif character == ")" and open_groups:
            varies = open_groups.pop()
            if varies and re.match(r"[+*]|\{[0-9]*,[0-9]*\}|\{[0-9]{2,}\}", plain[position + 1 :]):
                return True
    return False


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
    # Types that are sound by themselves are held against the rules even if others are not: all mistakes in one run.
    entries = data.get("device_types")
    raw = {str(name): entry for name, entry in entries.items()} if isinstance(entries, dict) else {}
    names = list(raw)
    types: dict[str, DeviceType] = {}
    for name in names:
        kind, _ = document.validate(raw[name], source, DeviceType)
        if kind is not None:
            types[name] = kind
    problems += _check(types, names, source)
    if catalogue is None or problems:
        raise FleetgateError(problems)
    return catalogue


def read(root: Path) -> Catalogue:
    """The catalogue of the checkout at `root`."""
    return parse(document.read_text(root / FILE, FILE))


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


def _check(types: dict[str, DeviceType], names: list[str], source: Source) -> list[Problem]:
    problems: list[Problem] = []
    for name, kind in types.items():
        path: DottedPath = ("device_types", name)

        def say(sub: DottedPath, what: str, remedy: str, path: DottedPath = path) -> None:
            problems.append(source.problem((*path, *sub), what, remedy))

        if name in RESERVED_TYPES:
            say((), f"{name!r} is a reserved name", "choose another name")
        for other in names:
            if other.startswith(f"{name}-"):
                # `<type>-<serial>` would then name one thing for two devices, and the second would get the first one's.
                say(
                    (),
                    f"things of {name!r} and {other!r} could get the same name",
                    f"rename one so that {other!r} does not start with '{name}-'",
                )
        if len(set(kind.manufacturers)) != len(kind.manufacturers):
            say(("manufacturers",), "a manufacturer stands twice", "keep one of the two")
        _check_firmware(kind, say)
        _check_serial(kind, say)
        _check_topics(name, kind, say)
        for index, other in enumerate(kind.publishes_on_behalf_of):
            where = ("publishes_on_behalf_of", index)
            if other not in names:
                say(where, f"unknown device type {other!r}", f"name one of: {', '.join(sorted(names))}")
            elif other == name:
                say(where, "names the type itself", "remove it: own topics stand under topics.publish")
        if kind.publishes_on_behalf_of and kind.shape != "gateway":
            say(
                ("publishes_on_behalf_of",),
                f"not possible for the shape {kind.shape!r}",
                "remove it, or use `shape: gateway`",
            )
        _check_shadow(kind, say)
        for attribute in kind.attributes:
            if attribute in THING_ATTRIBUTES:
                say(("attributes", attribute), "the gate itself sets this attribute", "remove it")
    problems += _check_canaries(types, source)
    count = len(THING_ATTRIBUTES) + len({attribute for kind in types.values() for attribute in kind.attributes})
    if count > MAXIMUM_ATTRIBUTES:
        problems.append(
            source.problem(
                ("device_types",),
                f"{count} thing attributes over all types, {MAXIMUM_ATTRIBUTES} are possible",
                "remove extra attributes",
            )
        )
    return problems


Say = Callable[[DottedPath, str, str], None]


def _check_firmware(kind: DeviceType, say: Say) -> None:
    minimum = kind.firmware.minimum
    if version_key(minimum) is None:
        say(("firmware", "minimum"), f"{minimum!r} is not numbers between dots", "write it like 1.2.0")
    elif not re.fullmatch(kind.firmware.pattern, minimum, re.ASCII):
        say(("firmware", "minimum"), f"{minimum!r} does not match firmware.pattern", "make the two agree")


def _check_serial(kind: DeviceType, say: Say) -> None:
    if not re.fullmatch(SERIAL, kind.canary_serial):
        say(
            ("canary_serial",),
            f"{kind.canary_serial!r} cannot be part of a thing name",
            "use letters, digits, _ and - only, at most 64",
        )
    elif not re.fullmatch(kind.serial_pattern, kind.canary_serial, re.ASCII):
        say(
            ("canary_serial",),
            f"{kind.canary_serial!r} does not match serial_pattern",
            "give a serial that it matches, like the lowest one",
        )


def _check_canaries(types: dict[str, DeviceType], source: Source) -> Iterator[Problem]:
    """A serial is one row in the registry, whatever its type: a canary must not be another type's device, or its canary."""
    for name, kind in types.items():
        for other, other_kind in types.items():
            if other != name and re.fullmatch(other_kind.serial_pattern, kind.canary_serial, re.ASCII):
                path = ("device_types", name, "canary_serial")
                what = f"{kind.canary_serial!r} could be a serial of {other!r} too"
                yield source.problem(path, what, "give the types serial patterns that differ")


def _check_topics(name: str, kind: DeviceType, say: Say) -> None:
    for direction in ("publish", "subscribe"):
        for index, topic in enumerate(getattr(kind.topics, direction)):
            for what, remedy in _topic_mistakes(name, topic):
                say(("topics", direction, index), f"{topic!r} {what}", remedy)
    if not kind.topics.publish:
        example = "sensors/temperature/{thing}/*"
        say(("topics", "publish"), "no topic: the device could not report anything", f"add one, like '{example}'")


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


def _check_shadow(kind: DeviceType, say: Say) -> None:
    try:
        size = len(json.dumps({"state": {"desired": kind.initial_shadow}}, allow_nan=False).encode())
    except (TypeError, ValueError):
        say(
            ("initial_shadow",),
            "holds a value that JSON does not have",
            "use strings, numbers, booleans, lists and maps only",
        )
        return
    if size > MAXIMUM_SHADOW_BYTES:
        say(("initial_shadow",), f"is {size} bytes, {MAXIMUM_SHADOW_BYTES} are possible", "shorten it")
    if _depth(kind.initial_shadow) > MAXIMUM_SHADOW_DEPTH - 2:  # below state.desired
        say(("initial_shadow",), "is nested too deeply", f"at most {MAXIMUM_SHADOW_DEPTH - 2} levels")
    if _holds_null(kind.initial_shadow):
        say(("initial_shadow",), "holds null, which deletes a key of a shadow", "leave the key out")


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0) if isinstance(value, dict | list) else 0


def _holds_null(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_holds_null, children))
