"""The function's settings: environment variables and the names of the device types, read once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CATALOGUE = "catalogue.json"
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_TEMPLATE_NAME = re.compile(r"[0-9A-Za-z_-]{1,36}")
_SECONDS = re.compile(r"[1-9][0-9]{0,8}")


class SettingsError(RuntimeError):
    """Settings that are missing or wrong: one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function was deployed with. limits: seconds after which a device is stuck, by status."""

    table_name: str
    template_name: str
    limits: Mapping[str, int]
    device_types: tuple[str, ...]


def load(environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings from `environ` and the catalogue in `folder`; SettingsError names all that is wrong at once."""
    problems: list[str] = []

    def variable(name: str, pattern: re.Pattern[str], remedy: str) -> str:
        value = environ.get(name, "")
        if not pattern.fullmatch(value):
            problems.append(f"{name}: {'is missing' if not value else f'{value!r} is not usable'}; set {remedy}")
        return value

    table = variable("TABLE_NAME", _TABLE_NAME, "the name of the device registry's table")
    template = variable("TEMPLATE_NAME", _TEMPLATE_NAME, "the name of the provisioning template")
    seconds = {
        status: variable(f"{status.upper()}_SECONDS", _SECONDS, f"after how many seconds a device is stuck in {status}")
        for status in ("provisioning", "provisioned")
    }
    try:
        types = tuple(map(str, json.loads((folder / CATALOGUE).read_text(encoding="utf-8"))["deviceTypes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{CATALOGUE}: cannot be read ({error!r}); package the function again")
        types = ()
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(table, template, {status: int(text) for status, text in seconds.items()}, types)
