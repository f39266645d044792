"""Asks the deployed hook directly, as AWS IoT does."""

from __future__ import annotations

import base64
import datetime
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from fleetgate import aws, identity
from fleetgate.decisions import Log, decisions_in
from fleetgate.errors import fail

#: For what the smoke checks have themselves refused. The hook counts these apart under a canary's serial, and no others.
MALFORMED, TAKEN = "malformed_firmware", "already_provisioned"


@dataclass(frozen=True)
class Answer:
    """What the hook said. tail: the end of its log, if the service sent it along."""

    allowed: bool
    overrides: dict[str, str]
    request_id: str
    tail: str
    asked_at_ms: int


class Hook:
    """The deployed function of that name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lambda = aws.client("lambda")
        self._log = Log(name)

    def arn(self) -> str:
        return str(self._lambda.get_function_configuration(FunctionName=self._name)["FunctionArn"])

    def ask(self, event: dict[str, Any]) -> Answer:
        """Invokes the hook as AWS IoT does. Raises FleetgateError for an answer outside the contract."""
        asked_at_ms = int(time.time() * 1000)
        response = self._lambda.invoke(FunctionName=self._name, LogType="Tail", Payload=json.dumps(event).encode())
        payload = response["Payload"].read()
        see = f"see its log: aws logs tail /aws/lambda/{self._name}"
        if response.get("FunctionError"):
            raise fail(self._name, f"the hook failed: {payload.decode(errors='replace')[:300]}", see)
        answer = json.loads(payload)
        if not isinstance(answer, dict) or set(answer) != {"allowProvisioning", "parameterOverrides"}:
            raise fail(self._name, "the hook's answer has not exactly allowProvisioning and parameterOverrides", see)
        tail = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")
        request_id = str(response["ResponseMetadata"].get("RequestId", ""))
        return Answer(answer["allowProvisioning"] is True, answer["parameterOverrides"], request_id, tail, asked_at_ms)

    def decision(self, answer: Answer, seconds: float, stop: threading.Event) -> dict[str, Any] | None:
        """The log's record of the decision behind an answer."""
        for record in decisions_in(answer.tail.splitlines()):
            return record
        deadline = time.monotonic() + seconds
        while True:
            for record in self._log.decisions("requestId", answer.request_id, answer.asked_at_ms):
                return record
            if stop.wait(1.0) or time.monotonic() > deadline:
                return None

    def decisions(self, certificate_id: str, since_ms: int) -> list[dict[str, Any]]:
        """The log's records about a certificate that have arrived by now."""
        return self._log.decisions("certificateId", certificate_id, since_ms)


def event(template_arn: str, claim_certificate_id: str, certificate: str, parameters: dict[str, str]) -> dict[str, Any]:
    """An event as AWS IoT sends it to a pre-provisioning hook, payload version 2020-04-01."""
    certificate_id = identity.certificate_id(certificate)
    return {
        "claimCertificateId": claim_certificate_id,
        "certificateId": certificate_id,
        "certificatePem": certificate,
        "templateArn": template_arn,
        "clientId": "fleetgate-smoke",
        "parameters": parameters | {"AWS::IoT::Certificate::Id": certificate_id},
    }


def self_made_certificate() -> str:
    """A certificate in PEM that nobody has the key of: it is only there to be looked at."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleetgate smoke check")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
