"""Claim certificates: key and CSR are made here, the certificate by Terraform from the CSR, and then fetched beside its key."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetgate import files
from fleetgate.environment import CLAIM_NAME, CLAIM_NAME_REMEDY, Environment
from fleetgate.errors import fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY_FILE = "key.pem"
CERTIFICATE_FILE = "certificate.pem"
_LOCK_FILE = "claims.lock"
#: What AWS IoT signs for, if a signing request has it [CreateCertificateFromCsr].
_SMALLEST_RSA_KEY = 2048
_NOT_TAKEN = "holds a private key that AWS IoT does not take: neither RSA from 2048 bits on nor EC on P-256, P-384 or P-521"


@dataclass(frozen=True)
class Pair:
    """Where a claim's key and its CSR lie. has_key: whether the key is there already."""

    key_file: Path
    csr_file: Path
    has_key: bool


@contextmanager
def alone(environment: Environment) -> Iterator[None]:
    """Keeps other commands from changing this environment's claims. Raises FleetgateError if one is at it.

    Of two that make the same claim at once, the one that fails would take away the key that the other one's request is of.
    """
    path = environment.build / _LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"another command is changing the claims of {environment.name}; nothing was changed"
            raise fail(str(path), what, "wait for it, then run the same command again") from None
        yield


def require_claim(environment: Environment, name: str) -> None:
    """Raises FleetgateError, naming a near one and how to have a new one, if the environment has no such claim."""
    from fleetgate.registry import did_you_mean

    if name not in environment.settings.claims:
        meant = did_you_mean(name, list(environment.settings.claims))
        new = (
            f"{'' if meant.endswith('?') else ','} or add `{name}: {{}}` under claims first"
            if re.fullmatch(CLAIM_NAME, name)
            else ""
        )
        raise fail(f"claim {name!r:.80}", f"does not stand in {environment.file}", meant + new)


def plan(environment: Environment, name: str, *, new_key: bool = False) -> Pair:
    """What `create` would make. Raises FleetgateError if it would refuse."""
    if not re.fullmatch(CLAIM_NAME, name):
        raise fail(f"claim {name!r:.80}", "is not a claim name", CLAIM_NAME_REMEDY)
    require_claim(environment, name)
    key_file, csr_file = environment.claim_folder(name) / KEY_FILE, environment.claim_csr_file(name)
    if csr_file.exists():
        raise fail(str(csr_file), "is already there and is not overwritten", "use it, or take another claim name")
    if (has_key := key_file.exists()) and new_key:
        raise fail(str(key_file), "is already there, and a new key is wanted", "take another claim name, or move it away")
    if has_key:
        _load(key_file)
    return Pair(key_file, csr_file, has_key)


def create(environment: Environment, name: str, made: list[Path] | None = None, *, new_key: bool = False) -> Pair:
    """Makes the private key (0600) and the CSR of claim `name`. made: gets the path of each as soon as it is written.

    Never overwrites either. A key whose CSR is gone, or was never written, gets a new CSR. new_key: refuses such a key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    made = [] if made is None else made
    pair = plan(environment, name, new_key=new_key)
    if pair.has_key:
        key = _load(pair.key_file)
        pair.key_file.chmod(0o600)  # somebody may have copied it here by a tool that keeps no modes
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write_key(pair.key_file, pem)
        made.append(pair.key_file)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{environment.settings.prefix} claim {name}"[:64])])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pair.csr_file.parent.mkdir(parents=True, exist_ok=True)
    files.create(pair.csr_file, csr.public_bytes(serialization.Encoding.PEM))
    made.append(pair.csr_file)
    return pair


def _load(key_file: Path) -> Any:
    try:
        return _private_key(key_file.read_bytes())
    except (OSError, ValueError):
        raise fail(str(key_file), "is not a private key", "put the claim's key there, or move the file away") from None
    except TypeError:
        raise fail(str(key_file), _NOT_TAKEN, "move the file away, then a new key is made") from None


def _private_key(pem: bytes) -> Any:
    """Raises ValueError for what is no private key, and TypeError for one that AWS IoT takes no certificate for."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):  # TypeError: it has a password
        raise ValueError from None
    except UnsupportedAlgorithm:
        raise TypeError from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA_KEY:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    raise TypeError


def check_restore(environment: Environment, name: str, pem: bytes) -> Path:
    """Where the private key of a claim belongs. Raises FleetgateError if one is there, or this one is not the claim's."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    require_claim(environment, name)
    key_file, csr_file = environment.claim_folder(name) / KEY_FILE, environment.claim_csr_file(name)
    if key_file.exists():
        raise fail(str(key_file), "is already there and is not overwritten", "use it, or move it away")
    try:
        key = _private_key(pem)
    except ValueError:
        raise fail("standard input", "holds no private key", f"give it the key.pem of claim {name}") from None
    except TypeError:
        raise fail("standard input", _NOT_TAKEN, f"give it the key.pem of claim {name}") from None
    if not csr_file.is_file():
        raise fail(str(csr_file), "is missing", f"run: fleetgate claim create {name} --env {environment.name}")
    try:
        wanted = x509.load_pem_x509_csr(csr_file.read_bytes()).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise fail(str(csr_file), "is no signing request", "take it from version control again") from None
    if wanted != key.public_key():
        raise fail(
            "standard input", f"holds another key than claim {name}'s signing request is of", "give it that claim's key.pem"
        )
    return key_file


def restore(environment: Environment, name: str, pem: bytes) -> Path:
    """Puts the private key of a claim back, on a machine that has not made it; returns its path.

    Refuses a key that the claim's signing request is not of, and never overwrites one.
    """
    key_file = check_restore(environment, name, pem)
    _write_key(key_file, pem)
    return key_file


def _write_key(key_file: Path, pem: bytes) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.parent.chmod(0o700)
    files.create(key_file, pem, 0o600)


def missing(environment: Environment) -> list[str]:
    """Claims whose CSR is not there."""
    return [name for name in environment.settings.claims if not environment.claim_csr_file(name).is_file()]


def fetch(environment: Environment, certificate_ids: Mapping[str, str]) -> list[Path]:
    """Writes each claim's certificate beside its key, for the claims whose key is on this machine."""
    from fleetgate import aws

    written = []
    for name, certificate_id in sorted(certificate_ids.items()):
        folder = environment.claim_folder(name)
        if not (folder / KEY_FILE).is_file():
            continue
        pem = aws.client("iot").describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificatePem"]
        path = folder / CERTIFICATE_FILE
        if not path.is_file() or path.read_text(encoding="ascii") != pem:
            files.replace(path, pem.encode("ascii"))
            written.append(path)
    return written
