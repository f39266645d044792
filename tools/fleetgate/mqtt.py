"""MQTT 5 with mutual TLS as a device speaks it, on the AWS IoT Device SDK v2; every refusal and time-out is a typed error.

A session connects once and never again by itself: the SDK's habit of reconnecting would hide exactly what a device that is being
let in, and a check that it is kept out, have to see.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from fleetgate.environment import DeviceEndpoint

#: Reason codes that a broker's policy speaks in; all others are about the network, load or the message itself.
_NOT_AUTHORIZED = 0x87
_REFUSAL_CODES = frozenset({_NOT_AUTHORIZED, 0x85, 0x86, 0x8A})  # also: client id, user name, banned
#: Server busy, quota exceeded, connection rate exceeded.
_THROTTLE_CODES = frozenset({0x89, 0x97, 0x9F})
_FAILURE = 0x80  # every reason code from here on is a failure
_KEEP_ALIVE_SECONDS = 60


class DeviceError(Exception):
    """Why a device could not go on. Its text never holds a key, a token or a certificate.

    reason: one word for summaries. what: the failure. remedy: the next thing to do.
    """

    reason = "failed"

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(what)


class Unreachable(DeviceError):
    """No connection: network, name, port, or the server's certificate."""

    reason = "unreachable"


class TlsFailed(DeviceError):
    """The handshake failed: one side does not trust the other's certificate, or the network went away in the middle of it."""

    reason = "tls_failed"


class Refused(DeviceError):
    """The broker said no to a connect, publish or subscribe, or answered it by closing the connection."""

    reason = "refused"


class ConnectionLost(Refused):
    """The connection ended and nobody said why: the network, the broker's end, or a broker that refuses in this way."""

    reason = "connection_lost"


class Throttled(DeviceError):
    """The service has too much to do just now."""

    reason = "throttled"


class TimedOut(DeviceError):
    """No answer in time."""

    reason = "timed_out"


class MqttSession:
    """One connection of one client id. Use it as a context manager, or close it."""

    def __init__(self, endpoint: DeviceEndpoint, client_id: str, certificate_file: Path, key_file: Path) -> None:
        self.client_id = client_id
        self.where = f"{endpoint.host}:{endpoint.port}"
        self._connected: Future[None] = Future()
        self._lost: Future[int | None] = Future()  # the reason code, if the broker gave one
        self._stopped = threading.Event()
        self._arrival = threading.Condition()
        self._messages: dict[str, deque[bytes]] = {}
        try:
            self.client = mqtt5_client_builder.mtls_from_path(
                str(certificate_file),
                str(key_file),
                endpoint=endpoint.host,
                port=endpoint.port,
                ca_filepath=endpoint.ca_file,
                client_id=client_id,
                keep_alive_interval_sec=_KEEP_ALIVE_SECONDS,
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                on_publish_received=self._on_message,
                on_lifecycle_connection_success=self._on_success,
                on_lifecycle_connection_failure=self._on_failure,
                on_lifecycle_disconnection=self._on_disconnection,
                on_lifecycle_stopped=self._on_stopped,
            )
        except (AwsCrtError, OSError) as error:
            files = f"{certificate_file}, {key_file}" + (f", {endpoint.ca_file}" if endpoint.ca_file else "")
            name = getattr(error, "name", type(error).__name__)
            raise DeviceError(f"TLS cannot use one of {files} ({name})", "check that they are a pair, in PEM") from None

    def __enter__(self) -> MqttSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the connection stood when last heard of."""
        return self._connected.done() and self._connected.exception() is None and not self._lost.done()

    def connect(self, seconds: float) -> None:
        """Connects. Raises Refused, Throttled, Unreachable or TimedOut; the session is then of no more use."""
        self.client.start()
        try:
            self._connected.result(seconds)
        except TimeoutError:
            self.close()
            raise TimedOut(f"{self.where} did not answer the connect in {seconds:g} s", _NETWORK_REMEDY) from None
        except DeviceError:
            self.close()
            raise

    def publish(self, topic: str, payload: bytes, seconds: float) -> None:
        """Publishes with QoS 1 and waits until the broker has it. Raises Refused, Throttled or TimedOut."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        what = f"publish to {topic}"
        done = self.wait(self.client.publish(packet), what, seconds)
        self._judge(int(done.puback.reason_code) if done.puback else 0, what)

    def subscribe(self, topic_filter: str, seconds: float) -> None:
        """Subscribes with QoS 1; messages of a filter without wildcards can then be taken. Raises as publish does."""
        with self._arrival:
            self._messages.setdefault(topic_filter, deque())
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)])
        what = f"subscribe to {topic_filter}"
        done = self.wait(self.client.subscribe(packet), what, seconds)
        self._judge(max(int(code) for code in done.reason_codes), what)

    def take(self, topics: tuple[str, ...], seconds: float) -> tuple[str, bytes]:
        """The next message on one of the subscribed `topics`, and its topic. Raises TimedOut."""
        deadline = time.monotonic() + seconds
        with self._arrival:
            while True:
                for topic in topics:
                    if self._messages[topic]:
                        return topic, self._messages[topic].popleft()
                rest = deadline - time.monotonic()
                if rest <= 0 or not self._arrival.wait(rest):
                    raise TimedOut(f"no message on {' or '.join(topics)} in {seconds:g} s", "look at the service's logs")

    def wait(self, future: Future[Any], what: str, seconds: float) -> Any:
        """The result of an operation of the SDK; raises Refused or ConnectionLost as soon as it is cut off, or TimedOut."""
        wait_for([future, self._lost], seconds, FIRST_COMPLETED)
        if future.done() and future.exception() is None:
            return future.result()
        if future.done():
            # The operation can hear of a lost connection a moment before the session does.
            wait_for([self._lost], 0.2)
        if self._lost.done():
            if self._lost.result() in _REFUSAL_CODES:
                raise Refused(f"{self.where} closed the connection on: {what}", _POLICY_REMEDY)
            raise ConnectionLost(f"the connection to {self.where} was lost on: {what}", _LOST_REMEDY)
        if future.done():
            future.result()  # raises
        raise TimedOut(f"{self.where} did not answer in {seconds:g} s: {what}", _NETWORK_REMEDY)

    def close(self) -> None:
        """Says goodbye and waits until the connection is gone; harmless when it is already."""
        if not self._stopped.is_set():
            self.client.stop(mqtt5.DisconnectPacket())
            self._stopped.wait(5)

    def _judge(self, code: int, what: str) -> None:
        if code < _FAILURE:
            return
        if code in _THROTTLE_CODES:
            raise Throttled(f"{self.where} is busy: {what} (reason code {code:#04x})", _LATER_REMEDY)
        if code in _REFUSAL_CODES:
            raise Refused(f"{self.where} refused: {what} (reason code {code:#04x})", _POLICY_REMEDY)
        raise DeviceError(f"{self.where} could not do: {what} (reason code {code:#04x})", "see the MQTT 5 reason codes")

    # Callbacks of the SDK, on its threads.

    def _on_success(self, _: Any) -> None:
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_failure(self, data: Any) -> None:
        if self._connected.done():
            return
        self._connected.set_exception(self._connect_error(data))
        self.client.stop()

    def _connect_error(self, data: Any) -> DeviceError:
        what = f"connect as {self.client_id}"
        if data.connack_packet is not None:
            try:
                self._judge(int(data.connack_packet.reason_code), what)
            except DeviceError as error:
                return error
        name = getattr(data.exception, "name", type(data.exception).__name__)
        if "HANGUP" in name:
            # What AWS does with a certificate that is not active, and some brokers with any refused connect.
            return ConnectionLost(f"{self.where} hung up on: {what}", _LOST_REMEDY)
        if "TLS" in name:
            return TlsFailed(f"{self.where}: the TLS handshake failed ({name})", _TRUST_REMEDY)
        return Unreachable(f"{self.where} cannot be reached ({name})", _NETWORK_REMEDY)

    def _on_disconnection(self, data: Any) -> None:
        if not self._lost.done():
            packet = data.disconnect_packet
            self._lost.set_result(None if packet is None else int(packet.reason_code))
        self.client.stop()

    def _on_stopped(self, _: Any) -> None:
        self._stopped.set()

    def _on_message(self, data: Any) -> None:
        # Only what somebody here subscribed to: the replies that hold a private key also come by.
        packet = data.publish_packet
        with self._arrival:
            if packet.topic in self._messages:
                self._messages[packet.topic].append(bytes(packet.payload or b""))
                self._arrival.notify_all()


_NETWORK_REMEDY = "check host, port, CA file and network; on the embedded cloud: fleetgate cloud status"
_TRUST_REMEDY = "check that the CA file is that of this endpoint, and that the host is the one in its certificate"
_POLICY_REMEDY = "compare the certificate's policy and status with what the device does (fleetgate smoke does)"
_LOST_REMEDY = (
    "check the network, and compare the certificate's policy and status with what the device does (fleetgate smoke does):"
    " a broker may refuse by hanging up"
)
_LATER_REMEDY = "try again later, with fewer devices at once"
