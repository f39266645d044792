"""The device's side of fleet provisioning, as firmware would do it with the AWS IoT Device SDK v2.

Claim certificate -> own key and certificate -> RegisterThing -> connection as the own thing. Nothing here knows which cloud
answers. What a service rejects is judged by its status code alone: AWS lists no error codes for these topics
[aws: Device provisioning MQTT API].
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from awscrt.mqtt_request_response import ClientOptions
from awsiot import V2ServiceException
from awsiot.iotidentity import CreateKeysAndCertificateRequest, IotIdentityClientV2, RegisterThingRequest

from fleetgate.environment import DeviceEndpoint
from fleetgate.identity import Identity, IdentityFolder, Step, next_step
from fleetgate.mqtt import ConnectionLost, DeviceError, MqttSession, Refused, Throttled, TimedOut, TlsFailed, Unreachable

T = TypeVar("T")

#: The steps whose time is taken, in their order.
STEPS = ("claim_connect", "create_keys", "register", "connect")
#: What AWS calls an ownership token that it does not know; observed, not documented [aws-iot-device-sdk-js-v2 issue 69].
_UNKNOWN_TOKEN = "InvalidCertificateOwnershipToken"  # noqa: S105 # the name of an error
_FORBIDDEN, _BAD_REQUEST, _TOO_MANY, _SERVER_ERROR, _NOT_FOUND = 403, 400, 429, 500, 404


class Rejected(DeviceError):
    """The provisioning service rejected a request. status: its status code. code: its error code, of which AWS lists none."""

    reason = "rejected"

    def __init__(self, what: str, remedy: str, status: int, code: str = "") -> None:
        super().__init__(what, remedy)
        self.status = status
        self.code = code


class RefusedByGate(Rejected):
    """403: the hook said no, or failed. The device is never told why; the hook's log says it."""

    reason = "refused_by_gate"


class Interrupted(DeviceError):
    """Somebody asked to stop. What the device has is kept, and it goes on from there."""

    reason = "interrupted"


@dataclass(frozen=True)
class RetryPolicy:
    """How long a device tries. Back-off with full jitter: a fleet that boots at once must not come back at once."""

    attempts: int = 8
    #: A bad request is tried again only so often: AWS also answers 400 when a call behind the request was throttled.
    bad_request_attempts: int = 3
    #: So often a device connects by its claim in all. Not for ever: a broker that hangs up may mean it as a refusal.
    claim_connections: int = 4
    base_seconds: float = 0.5
    cap_seconds: float = 20.0
    step_seconds: float = 20.0

    def ceiling(self, attempt: int) -> float:
        """The longest pause after failed attempt number `attempt`, which counts from 0."""
        return min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 32))

    def pause(self, attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """A random pause between nothing and the ceiling."""
        return uniform(0.0, self.ceiling(attempt))

    def attempts_for(self, error: DeviceError) -> int:
        """How often a request may be tried in all that ends in `error`; 1: never again."""
        if isinstance(error, Rejected):
            if error.status == _TOO_MANY or error.status >= _SERVER_ERROR:
                return self.attempts
            return self.bad_request_attempts if error.status == _BAD_REQUEST else 1
        if isinstance(error, Throttled):
            return self.attempts
        return self.bad_request_attempts if isinstance(error, TimedOut | TlsFailed | Unreachable) else 1

    def claim_connections_for(self, error: DeviceError) -> int:
        """How often the claim's connection may be made in all, of which one ended in `error`."""
        return self.claim_connections if isinstance(error, ConnectionLost) else 1


@dataclass(frozen=True)
class Device:
    """What a device knows of itself when it leaves the factory. thing_name: what it will be called, if it knows."""

    serial: str
    device_type: str
    manufacturer: str
    firmware: str
    location: str | None = None
    thing_name: str | None = None

    def parameters(self) -> dict[str, str]:
        """What it sends to RegisterThing; the gate takes these keys and no other."""
        sent = {
            "SerialNumber": self.serial,
            "DeviceType": self.device_type,
            "Manufacturer": self.manufacturer,
            "FirmwareVersion": self.firmware,
        }
        return sent | ({"Location": self.location} if self.location is not None else {})


@dataclass(frozen=True)
class Gate:
    """Where a device comes in: endpoint, template, and the claim certificate that it was delivered with."""

    endpoint: DeviceEndpoint
    template: str
    claim_client_prefix: str
    claim_certificate: Path
    claim_key: Path
    #: The claim's name, for whoever has to look into it.
    claim: str = ""

    def claim_client_id(self, serial: str) -> str:
        """A client id of the claim. The random part keeps somebody with the same serial from cutting this connection."""
        return f"{self.claim_client_prefix}{serial}-{secrets.token_hex(4)}"


@dataclass
class Record:
    """What happened on the way: seconds by step, and how often something had to be tried again."""

    seconds: dict[str, float] = field(default_factory=dict)
    retries: int = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Provisioned:
    """A device that is in. resumed: it went on with an identity that was there; total: seconds from start to end."""

    serial: str
    thing_name: str
    certificate_id: str
    folder: Path
    resumed: bool
    retries: int
    seconds: dict[str, float]
    total: float

    @property
    def was_in_already(self) -> bool:
        """Whether it needed no claim any more, and only connected."""
        return "claim_connect" not in self.seconds


class DeviceProvisioner:
    """Brings one device in. Raises DeviceError; what it has by then is kept, and another provisioner goes on from there."""

    def __init__(
        self,
        gate: Gate,
        device: Device,
        folder: IdentityFolder,
        retry: RetryPolicy | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.gate = gate
        self.device = device
        self.folder = folder
        self.retry = retry or RetryPolicy()
        self.record = Record()
        self._stop = stop or threading.Event()
        self._made_anew = False

    def register(self) -> tuple[Identity, bool]:
        """Has the device registered by the claim if it is not yet. Returns its identity and whether that was resumed.

        A connection that is lost on the way is made anew, and the device goes on with what it has kept.
        """
        identity = self._persist(self._register_on_one_connection, self.retry.claim_connections_for)
        return identity, not self._made_anew

    def _register_on_one_connection(self) -> Identity:
        found = self.folder.load()
        if found is not None and (found.serial, found.device_type) != (self.device.serial, self.device.device_type):
            raise DeviceError(f"{self.folder.path} holds the identity of {found.serial}", "give another folder")
        step = next_step(found, time.time())
        if found is not None and step is Step.CONNECT:
            return found
        with self._claim_session() as session:
            options = ClientOptions(
                max_request_response_subscriptions=4,  # accepted and rejected of the two requests
                max_streaming_subscriptions=0,
                operation_timeout_in_seconds=max(1, int(self.retry.step_seconds)),
            )
            service = IotIdentityClientV2(session.client, options)
            if found is not None and step is Step.REGISTER:
                try:
                    return self._register(service, session, found)
                except Rejected as error:
                    # Any other no may pass, and the serial may be leased to this certificate by now: it must not be given up.
                    if error.code != _UNKNOWN_TOKEN:
                        raise
                    if (registered := self._already_in(found)) is not None:
                        return registered
                    # The service has forgotten the token, and the certificate too.
            return self._register(service, session, self._create(service, session))

    def _already_in(self, found: Identity) -> Identity | None:
        """The identity as a registered one, if its certificate is let in as the device's thing.

        AWS does not say whether a token is good for a second RegisterThing after the first has passed. If it is not, a device
        that never heard the first one's answer would be kept out for ever with a new certificate.
        """
        if self.device.thing_name is None:
            return None
        try:
            self._open(self.device.thing_name, self.folder.certificate_file, self.folder.key_file, early=False).close()
        except DeviceError:
            return None
        registered = found.registered(self.device.thing_name)
        self.folder.update(registered)
        return registered

    def connect(self, identity: Identity) -> MqttSession:
        """A connection as the device's own thing."""
        if identity.thing_name is None:
            raise ValueError("the device is not registered")
        with self.record.step("connect"):
            # The certificate's policy and thing take a moment to be known everywhere, so an early no is not yet the answer.
            session = self._open(identity.thing_name, self.folder.certificate_file, self.folder.key_file, early=True)
        if not identity.connected:
            self.folder.update(replace(identity, connected=True))
        return session

    def _claim_session(self) -> MqttSession:
        with self.record.step("claim_connect"):
            client_id = self.gate.claim_client_id(self.device.serial)
            return self._open(client_id, self.gate.claim_certificate, self.gate.claim_key, early=False)

    def _open(self, client_id: str, certificate: Path, key: Path, *, early: bool) -> MqttSession:
        def attempt() -> MqttSession:
            session = MqttSession(self.gate.endpoint, client_id, certificate, key)
            session.connect(self.retry.step_seconds)
            return session

        # AWS takes one connect a second from the same client id.
        allowed = 4 if early else 1
        return self._persist(
            attempt,
            lambda error: allowed if isinstance(error, Refused) else self.retry.attempts_for(error),
            least_seconds=1.0,
        )

    def _create(self, service: IotIdentityClientV2, session: MqttSession) -> Identity:
        with self.record.step("create_keys"):
            answer = self._ask(
                session,
                "CreateKeysAndCertificate",
                lambda: service.create_keys_and_certificate(CreateKeysAndCertificateRequest()),
            )
            identity = Identity(
                serial=self.device.serial,
                device_type=self.device.device_type,
                certificate_id=answer.certificate_id,
                created_at=int(time.time()),
                token=answer.certificate_ownership_token,
            )
            self.folder.create(identity, answer.private_key, answer.certificate_pem)
            self._made_anew = True
        return identity

    def _register(self, service: IotIdentityClientV2, session: MqttSession, identity: Identity) -> Identity:
        with self.record.step("register"):
            request = RegisterThingRequest(
                template_name=self.gate.template,
                certificate_ownership_token=identity.token,
                parameters=self.device.parameters(),
            )
            answer = self._ask(session, "RegisterThing", lambda: service.register_thing(request), secret=identity.token)
            if not answer.thing_name:
                raise DeviceError("RegisterThing answered without a thing name", "let the template make a thing")
            registered = identity.registered(answer.thing_name)
            self.folder.update(registered)
        return registered

    def _ask(self, session: MqttSession, what: str, send: Callable[[], Future[Any]], secret: str | None = None) -> Any:
        def attempt() -> Any:
            try:
                return session.wait(send(), what, self.retry.step_seconds + 1)
            except V2ServiceException as error:
                raise _service_error(what, self.device.serial, error, secret) from None

        return self._persist(attempt, self.retry.attempts_for)

    def _persist(self, attempt: Callable[[], T], allowed: Callable[[DeviceError], int], least_seconds: float = 0.0) -> T:
        """The result of `attempt`, tried as often as `allowed` has it for the error that it ended in last."""
        tried = 0
        while True:
            if self._stop.is_set():
                raise Interrupted(f"{self.device.serial} was stopped", _RESUME_REMEDY)
            try:
                return attempt()
            except DeviceError as error:
                tried += 1
                if tried >= allowed(error):
                    raise
            self.record.retries += 1
            self._stop.wait(least_seconds + self.retry.pause(tried - 1))


def provision(
    gate: Gate,
    device: Device,
    folder: Path,
    *,
    stop: threading.Event | None = None,
) -> Provisioned:
    """Brings one device in, keeping its identity in `folder`, and proves it by a connection as its own thing.

    Raises DeviceError, and FleetgateError for a folder that cannot be used.
    """
    start = time.perf_counter()
    provisioner = DeviceProvisioner(gate, device, IdentityFolder(folder), stop=stop)
    with provisioner.folder.alone():
        with _doctor_named(device.serial, gate.claim):
            identity, resumed = provisioner.register()
        with _doctor_named(device.serial):
            provisioner.connect(identity).close()
    return Provisioned(
        serial=device.serial,
        thing_name=str(identity.thing_name),
        certificate_id=identity.certificate_id,
        folder=folder,
        resumed=resumed,
        retries=provisioner.record.retries,
        seconds=provisioner.record.seconds,
        total=time.perf_counter() - start,
    )


@contextmanager
def _doctor_named(serial: str, claim: str = "") -> Iterator[None]:
    """A broker may mean it as a refusal when it hangs up: whoever then looks at the network alone finds nothing. So the command
    that looks at certificates, claim and policies is named first."""
    try:
        yield
    except Refused as error:
        if "fleetgate doctor" not in error.remedy:
            words = f"--claim {claim} {serial}" if claim else serial
            error.remedy = f"{_DOCTOR_REMEDY.format(serial=words)}; if it finds nothing: {error.remedy}"
        raise


def hello(device: Device) -> bytes:
    """The first telemetry message of a device."""
    return json.dumps({"serialNumber": device.serial, "firmwareVersion": device.firmware, "hello": True}).encode()


def telemetry_topic(pattern: str, device_type: str, thing: str) -> str:
    """A topic that a pattern of the catalogue allows `thing` to publish to."""
    topic = pattern.replace("{type}", device_type).replace("{thing}", thing)
    return f"{topic.removesuffix('*')}status" if topic.endswith("/*") else topic


class ShadowReader:
    """Reads a thing's classic shadow over MQTT, on the thing's own connection."""

    def __init__(self, session: MqttSession, thing: str, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self._topic = f"$aws/things/{thing}/shadow/get"
        for answer in ("accepted", "rejected"):
            session.subscribe(f"{self._topic}/{answer}", seconds)

    def get(self) -> dict[str, Any] | None:
        """The shadow document, or None if there is no shadow yet."""
        self._session.publish(self._topic, b"", self._seconds)
        accepted, rejected = f"{self._topic}/accepted", f"{self._topic}/rejected"
        topic, payload = self._session.take((accepted, rejected), self._seconds)
        try:
            document = json.loads(payload)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise DeviceError(f"the message on {topic} is not a JSON object", "look at who publishes there")
        if topic == accepted:
            return document
        if document.get("code") == _NOT_FOUND:
            return None
        raise DeviceError(f"{self._topic} was rejected with code {document.get('code')}", "see the shadow service's codes")


def _service_error(what: str, serial: str, error: V2ServiceException, secret: str | None) -> DeviceError:
    """The typed error of a failed request. The SDK's own exceptions can carry payloads, so nothing of them is chained."""
    modeled = error.modeled_error
    if modeled is not None and isinstance(modeled.status_code, int):
        said = str(modeled.error_message or modeled.error_code or "no message")
        said = (said.replace(secret, "<token>") if secret else said)[:200]
        text = f"{what} was rejected with status {modeled.status_code}: {said}"
        if modeled.status_code == _FORBIDDEN:
            remedy = f"no device is told why; the hook's log has it, ask (with the same --env): fleetgate registry why {serial}"
            return RefusedByGate(f"refused by the gate: {text}", remedy, _FORBIDDEN)
        return Rejected(text, _DOCTOR_REMEDY.format(serial=serial), modeled.status_code, str(modeled.error_code or ""))
    name = str(getattr(error.inner_error, "name", type(error.inner_error).__name__))
    if "TIMEOUT" in name:
        return TimedOut(f"{what} was not answered in time", "see the provisioning hook's log, and try again")
    if "SUBSCRIBE_FAILURE" in name or "PUBLISH_FAILURE" in name:
        return Refused(f"{what}: the broker refused the topic", _DOCTOR_REMEDY.format(serial=serial))
    return DeviceError(f"{what} failed ({name})", "try again; --debug shows where it happened")


_DOCTOR_REMEDY = "find the cause (with the same --env) by: fleetgate doctor {serial}"
_RESUME_REMEDY = "run the same command again: it goes on with the certificate that is there"
