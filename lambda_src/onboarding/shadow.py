"""The initial shadow of a new thing, written only where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import botocore.session
from botocore.exceptions import ClientError

# An update that names a version is refused unless the shadow has it, and a shadow that never was has none: naming 0
# makes the write "create or do nothing" in one request. AWS does not say whether it takes 0. If it does not, it refuses,
# and the slower way through GetThingShadow leads to the same place.
VERSION_OF_NO_SHADOW = 0
_REFUSED = ("ConflictException", "InvalidRequestException")


class Client(Protocol):
    """The part of botocore's data-plane client that is used here."""

    def update_thing_shadow(self, **request: object) -> dict[str, Any]: ...

    def get_thing_shadow(self, **request: object) -> dict[str, Any]: ...


def connect() -> Shadows:
    """Shadows of the account's own data endpoint, which botocore takes from AWS_ENDPOINT_URL_IOT_DATA_PLANE."""
    return Shadows(botocore.session.get_session().create_client("iot-data"))


class Shadows:
    """Classic shadows."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def initialise(self, thing_name: str, desired: Mapping[str, object]) -> str:
        """Give the thing a shadow with `desired` if it has none: "written", or "kept" if there is one already."""
        state = {"desired": desired}
        try:
            self._update(thing_name, {"state": state, "version": VERSION_OF_NO_SHADOW})
        except ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSED:
                raise
            if self._exists(thing_name):
                return "kept"
            # Deleted within the last two days: the shadow is gone and its version, which nobody can ask for, is not.
            self._update(thing_name, {"state": state})
        return "written"

    def _update(self, thing_name: str, document: Mapping[str, object]) -> None:
        self._client.update_thing_shadow(thingName=thing_name, payload=json.dumps(document).encode())

    def _exists(self, thing_name: str) -> bool:
        try:
            self._client.get_thing_shadow(thingName=thing_name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False
        return True
