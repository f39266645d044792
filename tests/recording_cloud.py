"""The embedded cloud, with every decision of its IAM written down: `python -m recording_cloud LOCK_FILE`, not the tool's own.

One line of JSON for each in `calls.jsonl`, in the cloud's folder, with the request that it was about, so that a test can make
the same call again. MiniStack is the real one, with two functions of it listened to: the one that names a request's action, and
the one that decides.
"""

from __future__ import annotations

import base64
import contextvars
import json
import sys
from pathlib import Path
from typing import Any

from fleetgate import embedded_cloud

FILE = "calls.jsonl"
#: Headers that a repeated call needs; the signature is made anew.
KEPT = ("content-type", "x-amz-target", "content-encoding", "x-amz-copy-source", "x-amzn-query-mode")


def listen() -> None:
    from ministack.core import iam_actions, iam_evaluator

    request: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("request")
    name_action, decide = iam_actions.extract_iam_action, iam_evaluator.enforce
    file = Path(FILE).open("a", encoding="utf-8")  # noqa: SIM115

    def naming(service: str, method: str, path: str, headers: dict[str, str], body: bytes, params: dict[str, Any]) -> str | None:
        kept = {name: value for name, value in headers.items() if name.lower() in KEPT}
        scope = headers.get("authorization", "").partition("Credential=")[2].split(",")[0].split("/")
        request.set(
            {
                "method": method,
                "path": path,
                "query": params if not body or method in ("GET", "DELETE", "HEAD") else {},
                "headers": kept,
                "body": base64.b64encode(body or b"").decode(),
                "signed_for": scope[3] if len(scope) > 3 else service,
            }
        )
        action = name_action(service, method, path, headers, body, params)
        if action is None:
            file.write(json.dumps({"unnamed": f"{service} {method} {path}"}) + "\n")
        return action

    def deciding(
        key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: dict[str, Any] | None = None
    ) -> Any:
        denied = decide(key, action, service, region, resource_arn=resource_arn, service_context=service_context)
        call = {"key": key, "action": action, "resource": resource_arn, "allowed": denied is None}
        file.write(json.dumps({**call, "request": request.get({})}) + "\n")
        file.flush()
        return denied

    iam_actions.extract_iam_action, iam_evaluator.enforce = naming, deciding


if __name__ == "__main__":
    lock = embedded_cloud.hold_lock(Path(sys.argv.pop(1)))
    embedded_cloud.hold_to_loopback(lock)
    listen()
    from ministack.app import main

    main()
