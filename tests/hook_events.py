"""Hook events and registry rows as tests need them: many certificates, one serial, every field open to change."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import lambdas

CLAIM_CERTIFICATE = lambdas.CLAIM_CERTIFICATES[0]
SERIAL = "TEMP-000001"
THING = "temperature-sensor-TEMP-000001"
TYPE = "temperature-sensor"


def certificate(seed: str, size: int = 700) -> tuple[str, str]:
    """PEM and id of one more certificate. Neither AWS's nor the hook's arithmetic looks inside the DER, so any bytes do."""
    der = hashlib.shake_256(seed.encode()).digest(size)
    body = base64.encodebytes(der).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    return pem, hashlib.sha256(der).hexdigest()


def request(seed: str = "device", size: int = 700, **parameters: object) -> dict[str, Any]:
    """A valid event with the certificate of `seed`; a parameter given as None is left out."""
    pem, certificate_id = certificate(seed, size)
    sent = {
        "SerialNumber": SERIAL,
        "DeviceType": TYPE,
        "Manufacturer": "AcmeSensors",
        "FirmwareVersion": "1.10.0",
        **parameters,
    }
    return {
        "claimCertificateId": CLAIM_CERTIFICATE,
        "certificateId": certificate_id,
        "certificatePem": pem,
        "templateArn": lambdas.TEMPLATE_ARN,
        "clientId": "fleetgate-claim-1",
        "parameters": {name: value for name, value in sent.items() if value is not None},
    }
