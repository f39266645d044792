"""A device's identity on disk: private key, certificate, and how far its registration has come.

Written before the device registers, so that a device that loses power on the way goes on with the certificate it has: a second
certificate would have to wait until the serial's lease has run out.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path

from fleetgate import files
from fleetgate.errors import FleetgateError, fail

#: An ownership token is good for an hour; a margin leaves time to use it.
TOKEN_SECONDS = 3600 - 60
#: A clock that was set back this far makes a token's age unknown.
_CLOCK_SLACK_SECONDS = 60

_STATE_FILE = "identity.json"
_LOCK_FILE = "lock"


class Step(Enum):
    """Where a device has to go on."""

    CREATE = "ask for a certificate"
    REGISTER = "register with the certificate that is there"
    CONNECT = "connect, it is registered"


@dataclass(frozen=True)
class Identity:
    """How far a device has come.

    token: proves to RegisterThing that the certificate is ours; forgotten once it has. created_at: epoch seconds.
    thing_name: None until registered. connected: whether it has ever connected as itself.
    """

    serial: str
    device_type: str
    certificate_id: str
    created_at: int
    token: str | None = field(repr=False)
    thing_name: str | None = None
    connected: bool = False

    @property
    def is_finished(self) -> bool:
        return self.connected

    def registered(self, thing_name: str) -> Identity:
        return replace(self, thing_name=thing_name, token=None)


def next_step(identity: Identity | None, now: float) -> Step:
    """Where to go on at epoch second `now`."""
    if identity is None:
        return Step.CREATE
    if identity.thing_name is not None:
        return Step.CONNECT
    age = now - identity.created_at
    usable = identity.token is not None and -_CLOCK_SLACK_SECONDS <= age < TOKEN_SECONDS
    return Step.REGISTER if usable else Step.CREATE


def certificate_id(pem: str) -> str:
    """The id by which AWS IoT knows a certificate: SHA-256 of its DER. Raises ValueError if `pem` is no certificate."""
    _, begin, rest = pem.partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    if not (begin and end):
        raise ValueError("no PEM certificate")
    try:
        return hashlib.sha256(base64.b64decode("".join(body.split()), validate=True)).hexdigest()
    except binascii.Error:
        raise ValueError("no PEM certificate") from None


class IdentityFolder:
    """The folder of one device (0700): key.pem (0600), certificate.pem and identity.json (0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key_file = path / "key.pem"
        self.certificate_file = path / "certificate.pem"
        self._state_file = path / _STATE_FILE

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes and threads out of the folder. Raises FleetgateError if one is in it.

        Two that bring the same device in would each keep half of the other's identity, and the true key would be lost.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path / _LOCK_FILE).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                remedy = "wait for the other one, or give another --keys folder"
                raise fail(str(self.path), "somebody else is bringing this device in", remedy) from None
            yield

    def load(self) -> Identity | None:
        """The identity that is there, or None. Raises FleetgateError if what is there cannot be trusted."""
        remedy = f"move {self.path} away to start over with a new certificate"
        try:
            text = self._state_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None  # without it whatever else lies here was never used
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(self._state_file, error, remedy) from None
        try:
            identity = Identity(**json.loads(text))
            if not self.key_file.is_file():
                raise ValueError("key.pem is missing")
            if certificate_id(self.certificate_file.read_text(encoding="ascii")) != identity.certificate_id:
                raise ValueError("certificate.pem is another device's")
        except (OSError, TypeError, ValueError) as error:
            raise _unusable(self._state_file, error, remedy) from None
        return identity

    def create(self, identity: Identity, key: str, certificate: str) -> None:
        """Keeps a new identity: all of it or nothing, whatever happens meanwhile."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)
        self._state_file.unlink(missing_ok=True)  # from here to the last line there is no identity
        files.replace(self.key_file, key.encode(), 0o600)
        files.replace(self.certificate_file, certificate.encode(), 0o644)
        self.update(identity)

    def set_aside(self) -> Path:
        """Renames the folder, key and all, to the first free `<name>.old-<n>`, and returns that."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        with self.alone():
            return self.path.rename(aside)

    def update(self, identity: Identity) -> None:
        text = json.dumps(asdict(identity), indent=1, sort_keys=True) + "\n"
        files.replace(self._state_file, text.encode(), 0o600)


def unfinished(keys: Path, device_type: str) -> list[Identity]:
    """Devices of the type that were begun in `keys` and not finished, by serial; without unusable folders and those set aside."""
    found = []
    for path in sorted(keys.glob(f"*/{_STATE_FILE}")):
        try:
            identity = IdentityFolder(path.parent).load()
        except FleetgateError:
            continue
        if identity is None or identity.is_finished or path.parent.name != identity.serial:
            continue
        if identity.device_type == device_type:
            found.append(identity)
    return found


def _unusable(path: Path, error: Exception, remedy: str) -> FleetgateError:
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    # Only messages of our own are shown: a parser's could quote the file, and with it the token.
    if type(error) is ValueError:
        reason = str(error)
    return fail(str(path), f"cannot be used: {reason}", remedy)
