"""The function's settings: three environment variables and its slice of the catalogue, read once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onboarding import DeviceType

CATALOGUE = "catalogue.json"
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_ENDPOINT = re.compile(r"https?://[a-zA-Z0-9.:\[\]-]+/?")


class SettingsError(RuntimeError):
    """Settings that are missing or wrong: one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function was deployed with."""

    table_name: str
    audit_table_name: str
    device_types: Mapping[str, DeviceType]


def load(environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings from `environ` and the catalogue in `folder`; SettingsError names all that is wrong at once."""
    problems: list[str] = []

    def variable(name: str, pattern: re.Pattern[str], remedy: str) -> str:
        value = environ.get(name, "")
        if not pattern.fullmatch(value):
            problems.append(f"{name}: {'is missing' if not value else f'{value!r} is not usable'}; set {remedy}")
        return value

    table_name = variable("TABLE_NAME", _TABLE_NAME, "the name of the device registry's table")
    audit_table_name = variable("AUDIT_TABLE_NAME", _TABLE_NAME, "the name of the audit trail's table")
    # botocore reads it by itself. Checked here, as without it botocore would use an endpoint that is not the account's.
    variable("AWS_ENDPOINT_URL_IOT_DATA_PLANE", _ENDPOINT, "the URL of the account's IoT data endpoint")
    device_types = _read_catalogue(folder / CATALOGUE, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(table_name, audit_table_name, device_types)


def _read_catalogue(path: Path, problems: list[str]) -> dict[str, DeviceType]:
    try:
        entries = dict(json.loads(path.read_text(encoding="utf-8"))["deviceTypes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.name}: cannot be read ({error!r}); package the function again")
        return {}
    device_types = {}
    for name, entry in entries.items():
        try:
            device_types[name] = DeviceType(entry["thingNamePrefix"], dict(entry["initialShadow"]))
        except KeyError as error:
            problems.append(f"{path.name}: {name}: {error} is missing; package the function again")
        except (TypeError, ValueError) as error:
            problems.append(f"{path.name}: {name}: {error}; mend the catalogue and package the function again")
    return device_types
