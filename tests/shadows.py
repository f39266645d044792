"""AWS IoT's classic shadows as far as versions go, at the boundary of botocore's client.

moto's answer a named version with a crash if there is no shadow yet, and AWS documents neither that case nor the error.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


class FakeShadows:
    """`refusal_of_zero` is the error with which version 0 is refused for a shadow that never was; None accepts it."""

    def __init__(self, refusal_of_zero: str | None = None) -> None:
        self.refusal_of_zero = refusal_of_zero
        self.documents: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.calls: list[str] = []
        #: Runs before the next call is answered: the moment at which somebody else is faster.
        self.before_next: Callable[[], None] | None = None
        self._lock = threading.RLock()

    def update_thing_shadow(self, *, thingName: str, payload: bytes) -> dict[str, Any]:
        with self._called("update"):
            request = json.loads(payload)
            current = self.versions.get(thingName, 0)
            if request.get("version", current) != current:
                raise _error("ConflictException", 409)
            if request.get("version") == 0 and self.refusal_of_zero:
                raise _error(self.refusal_of_zero, 400)
            document = self.documents.setdefault(thingName, {})
            for section, values in request["state"].items():
                document.setdefault(section, {}).update(values)
            self.versions[thingName] = current + 1
            return {}

    def get_thing_shadow(self, *, thingName: str) -> dict[str, Any]:
        with self._called("get"):
            if thingName not in self.documents:
                raise _error("ResourceNotFoundException", 404)
            return {}

    def delete(self, thing_name: str) -> None:
        """The document goes, the version stays: AWS keeps it for two days."""
        del self.documents[thing_name]
        self.versions[thing_name] += 1

    def device_reports(self, thing_name: str, **values: object) -> None:
        self.update_thing_shadow(thingName=thing_name, payload=json.dumps({"state": {"reported": values}}).encode())

    def app_desires(self, thing_name: str, **values: object) -> None:
        self.update_thing_shadow(thingName=thing_name, payload=json.dumps({"state": {"desired": values}}).encode())

    def _called(self, name: str) -> threading.RLock:
        hook, self.before_next = self.before_next, None
        if hook:
            hook()
        self.calls.append(name)
        return self._lock


def _error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Shadow",
    )
