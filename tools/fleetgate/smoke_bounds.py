"""Shows on the wire that a certificate is refused what its policy does not allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fleetgate.build import Fleet
from fleetgate.device import Gate, telemetry_topic
from fleetgate.mqtt import DeviceError, MqttSession, Refused
from fleetgate.smoke_checker import CheckFailed

STEP_SECONDS = 20.0
#: AWS takes one connect a second from the same client id.
_RECONNECT_SECONDS = 1.1


class Probe:
    """Tries what must be refused, each on a connection that stands, and proves at the end that the allowed still works."""

    def __init__(self, connect: Callable[[], MqttSession]) -> None:
        self._connect = connect
        self._session: MqttSession | None = None
        self._refused = 0
        self._allowed: list[str] = []

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def refuses_publish(self, topic: str) -> None:
        self.refuses("publish to", topic, lambda session: session.publish(topic, b"", STEP_SECONDS))

    def refuses_subscribe(self, topic_filter: str) -> None:
        self.refuses("subscribe to", topic_filter, lambda session: session.subscribe(topic_filter, STEP_SECONDS))

    def refuses_connect(self, client_id: str, connect: Callable[[str], MqttSession]) -> None:
        self.refuses("connect as", client_id, lambda _: connect(client_id).close())

    def refuses(self, verb: str, what: str, attempt: Callable[[MqttSession], None]) -> None:
        session = self._open()
        try:
            attempt(session)
        except Refused:
            self._refused += 1
        else:
            self._allowed.append(f"{verb} {what}")

    def verdict(self, control: Callable[[MqttSession], None]) -> str:
        """Raises CheckFailed if anything was allowed. `control` is allowed: if it fails, the refusals prove nothing."""
        control(self._open())
        if self._allowed:
            raise CheckFailed(f"allowed: {', '.join(self._allowed)}")
        return f"{self._refused} attempts refused, the allowed one still works"

    def _open(self) -> MqttSession:
        if self._session is not None and not self._session.is_open:
            self._session.close()
            self._session = None
            time.sleep(_RECONNECT_SECONDS)
        if self._session is None:
            try:
                self._session = self._connect()
            except DeviceError as error:
                # Nothing was tried yet, so nothing was allowed either.
                cause = "the certificate is not active, or its policy does not let it connect"
                raise CheckFailed(str(error), cause, "see the checks of its certificate and policy") from None
        return self._session


def foreign_topics(fleet: Fleet, device_type: str, stranger: str) -> list[str]:
    """Telemetry topics of a thing that is not the device's own, less those that its type may use on behalf of others."""
    types = fleet.catalogue.device_types
    behalf = [
        telemetry_topic(pattern, other, "*").split("/")
        for other in types[device_type].publishes_on_behalf_of
        for pattern in types[other].topics.publish
    ]
    topics = {telemetry_topic(pattern, name, stranger) for name, kind in types.items() for pattern in kind.topics.publish}

    def is_lent(topic: str) -> bool:
        levels = topic.split("/")
        return any(len(levels) == len(lent) and all(a in ("*", b) for a, b in zip(lent, levels, strict=True)) for lent in behalf)

    return sorted(topic for topic in topics if not is_lent(topic))


def connected(gate: Gate, client_id: str, certificate: Path, key: Path) -> MqttSession:
    session = MqttSession(gate.endpoint, client_id, certificate, key)
    session.connect(STEP_SECONDS)
    return session
