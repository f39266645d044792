"""Claim certificates: key and CSR are made here, the certificate by Terraform from the CSR, and then fetched beside its key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fleetgate.environment import Environment
from fleetgate.errors import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_FILE = "key.pem"
CERTIFICATE_FILE = "certificate.pem"


def create(environment: Environment, name: str) -> tuple[Path, Path]:
    """Makes the private key (0600) and the CSR of claim `name`; returns their paths.

    Never overwrites either. A key whose CSR is gone, or was never written, gets a new CSR.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", name):
        raise fail(f"claim {name!r}", "is not a claim name", "use lower case letters, digits and inner hyphens")
    if name not in environment.settings.claims:
        raise fail(environment.file, f"claims has no {name!r}", f"add `{name}: {{}}` under claims first")
    key_file, csr_file = environment.claim_folder(name) / KEY_FILE, environment.claim_csr_file(name)
    if csr_file.exists():
        raise fail(str(csr_file), "is already there and is not overwritten", "use it, or take another claim name")
    if key_file.exists():
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            raise fail(str(key_file), "is not a private key", "put the claim's key there, or move the file away") from None
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write_key(key_file, pem)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{environment.settings.prefix} claim {name}"[:64])])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    csr_file.parent.mkdir(parents=True, exist_ok=True)
    csr_file.write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    return key_file, csr_file


def restore(environment: Environment, name: str, pem: bytes) -> Path:
    """Puts the private key of a claim back, on a machine that has not made it; returns its path.

    Refuses a key that the claim's signing request is not of, and never overwrites one.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if name not in environment.settings.claims:
        known = ", ".join(environment.settings.claims)
        raise fail(environment.file, f"claims has no {name!r:.60}", f"name one of {known}")
    key_file, csr_file = environment.claim_folder(name) / KEY_FILE, environment.claim_csr_file(name)
    if key_file.exists():
        raise fail(str(key_file), "is already there and is not overwritten", "use it, or move it away")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):  # whose text may show the key
        raise fail("standard input", "holds no private key", f"give it the key.pem of claim {name}") from None
    if not csr_file.is_file():
        raise fail(str(csr_file), "is missing", f"run: fleetgate claim create {name} --env {environment.name}")
    try:
        wanted = x509.load_pem_x509_csr(csr_file.read_bytes()).public_key()
    except ValueError:
        raise fail(str(csr_file), "is no signing request", "take it from version control again") from None
    if wanted != key.public_key():
        raise fail(
            "standard input", f"holds another key than claim {name}'s signing request is of", "give it that claim's key.pem"
        )
    _write_key(key_file, pem)
    return key_file


def _write_key(key_file: Path, pem: bytes) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.parent.chmod(0o700)
    # Whole or not at all: half a key is of no use and in the way. Born with its mode, so that no other user can open it.
    temporary = key_file.with_name(f".{key_file.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, key_file)  # which, unlike a rename, never takes the place of a key that came meanwhile
    finally:
        temporary.unlink(missing_ok=True)


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
            path.write_text(pem, encoding="ascii")
            written.append(path)
    return written
