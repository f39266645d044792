"""What an event means for the registry and the shadow: pure, with the two services behind protocols.

Events are delivered at least once and in no order. So each change is a conditional write on facts that the event itself
carries, and what is stored is the event's own time, never the clock's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# What AWS IoT takes as a thing name. A client id may be anything; one outside of this was never provisioned here.
_THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_YEAR_10000 = 253_402_300_800_000


class UnknownEvent(ValueError):
    """An event of a kind that the two rules do not send; it names keys at most, never values."""


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What the catalogue says of a type; `initial_shadow` is the desired state of a new device."""

    thing_name_prefix: str
    initial_shadow: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Created:
    """A thing came to be. `at_ms` is the event's own time in epoch milliseconds."""

    thing_name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Connected:
    """A client connected; `certificate_id` is None if it did not use a certificate."""

    client_id: str
    certificate_id: str | None
    at_ms: int


Event = Created | Connected


@dataclass(frozen=True, slots=True)
class Outcome:
    """For the log: `result` of the registry, and of the shadow where the event concerns it."""

    result: str
    shadow: str | None = None

    def fields(self, event: Event) -> dict[str, object]:
        """The fields of the event's log line."""
        name = event.thing_name if isinstance(event, Created) else event.client_id
        kind = "created" if isinstance(event, Created) else "connected"
        return {"kind": kind, "thingName": name[:128], "result": self.result, "shadow": self.shadow, "at": utc(event.at_ms)}


IGNORED = Outcome("ignored")


class Registry(Protocol):
    """Conditional writes on one row. Each says in a word for the log what it did, or None: not this thing's row."""

    def provisioned(self, serial: str, thing_name: str, at_ms: int) -> str | None: ...

    def connected(self, serial: str, thing_name: str, certificate_id: str, at_ms: int) -> str | None: ...


class Shadows(Protocol):
    """The classic shadow of a thing."""

    def initialise(self, thing_name: str, desired: Mapping[str, object]) -> str: ...


def apply(event: Event, types: Mapping[str, DeviceType], registry: Registry, shadows: Shadows) -> Outcome:
    """Bring registry and shadow to where `event` says they are. Other people's things and clients are left alone."""
    name = event.thing_name if isinstance(event, Created) else event.client_id
    kind = type_of(name, types)
    if kind is None:
        return IGNORED
    serial = name.removeprefix(kind.thing_name_prefix)
    if isinstance(event, Connected):
        if event.certificate_id is None:
            return IGNORED
        result = registry.connected(serial, name, event.certificate_id, event.at_ms)
        return IGNORED if result is None else Outcome(result)
    result = registry.provisioned(serial, name, event.at_ms)
    if result is None:
        return IGNORED
    # After the registry, which knows whether the thing is ours. A failure raises, and the next try comes back to here.
    return Outcome(result, shadows.initialise(name, kind.initial_shadow))


def parse(event: object) -> Event:
    """The event as one of the two kinds; UnknownEvent for anything else, so that it ends as a dead letter."""
    match event:
        case {"eventType": "THING_EVENT", "operation": "CREATED", "thingName": str(name), "timestamp": int(epoch_ms)}:
            return Created(name, _checked(epoch_ms))
        case {"eventType": "connected", "clientId": str(client_id), "timestamp": int(epoch_ms), **others}:
            principal = others.get("principalIdentifier")
            return Connected(client_id, principal if isinstance(principal, str) else None, _checked(epoch_ms))
        case dict():
            raise UnknownEvent(f"neither a thing-created nor a connected event; its keys are {sorted(map(str, event))}")
        case _:
            raise UnknownEvent(f"an event is an object, this is {type(event).__name__}")


def type_of(thing_name: str, types: Mapping[str, DeviceType]) -> DeviceType | None:
    """The type whose prefix `thing_name` has, with a serial behind it. The catalogue lets no two fit one name."""
    if not _THING_NAME.fullmatch(thing_name):
        return None
    for kind in types.values():
        if thing_name.startswith(kind.thing_name_prefix) and thing_name != kind.thing_name_prefix:
            return kind
    return None


def utc(at_ms: int) -> str:
    """UTC to the second, as text that sorts by time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms // 1000))


def _checked(epoch_ms: int) -> int:
    # `True` is an int in Python, and a year of five digits would not sort as text.
    if isinstance(epoch_ms, bool) or not 0 < epoch_ms < _YEAR_10000:
        raise UnknownEvent("the event's timestamp is no time in milliseconds")
    return epoch_ms
