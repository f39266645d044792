"""A DynamoDB that answers every request after a fixed time, and counts: `GET /count` says how many there were.

Run as a process of its own, so that it does not share an interpreter with what is measured. Prints its port.
"""

from __future__ import annotations

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.delay_seconds = delay_seconds
        self.count = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps the connection, as DynamoDB does
    wbufsize = -1  # one packet an answer
    disable_nagle_algorithm = True
    server: Stub

    def do_GET(self) -> None:
        self._answer({"count": self.server.count})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.count += 1  # the clients measured here ask one after the other
        time.sleep(self.server.delay_seconds)
        self._answer(_result(self.headers["X-Amz-Target"].rpartition(".")[2], request))

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence: a line for each request would be part of the measurement."""


def _result(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """What DynamoDB would say for a serial that is registered and free."""
    row = {
        "serialNumber": {"S": "TEMP-000001"},
        "deviceType": {"S": "temperature-sensor"},
        "status": {"S": "registered"},
        "registeredAt": {"S": "2026-01-01T00:00:00Z"},
        "location": {"S": "hall-4"},
    }
    if operation == "GetItem":
        return {"Item": row}
    if operation == "UpdateItem":
        values = request["ExpressionAttributeValues"]
        leased = {
            "status": values[":provisioning"],
            "certificateId": values[":certificate"],
            "claimCertificateId": values[":claim"],
            "thingName": values[":thing"],
            "firmwareVersion": values[":firmware"],
            "leasedAt": values[":now"],
            "leaseExpiresAt": values[":expires"],
        }
        return {"Attributes": row | leased}
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=5.0)
    server = Stub(parser.parse_args().delay_ms / 1000)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
