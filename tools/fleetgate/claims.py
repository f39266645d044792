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
        key_file.parent.mkdir(parents=True, exist_ok=True)
        key_file.parent.chmod(0o700)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        # Born with its mode: there is no moment at which another user could open it.
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{environment.settings.prefix} claim {name}"[:64])])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    csr_file.parent.mkdir(parents=True, exist_ok=True)
    csr_file.write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    return key_file, csr_file


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
