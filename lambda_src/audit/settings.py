"""The function's settings: environment variables, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_LOG_GROUP = re.compile(r"[a-zA-Z0-9_/.#-]{1,512}")


class SettingsError(RuntimeError):
    """Settings that are missing or wrong: one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function was deployed with. log_group: the only one whose lines become entries."""

    table_name: str
    log_group: str


def load(environ: Mapping[str, str]) -> Settings:
    """The settings from `environ`; SettingsError names all that is wrong at once."""
    problems: list[str] = []

    def variable(name: str, pattern: re.Pattern[str], remedy: str) -> str:
        value = environ.get(name, "")
        if not pattern.fullmatch(value):
            problems.append(f"{name}: {'is missing' if not value else f'{value!r} is not usable'}; set {remedy}")
        return value

    table = variable("AUDIT_TABLE_NAME", _TABLE_NAME, "the name of the audit trail's table")
    group = variable("HOOK_LOG_GROUP", _LOG_GROUP, "the name of the hook's log group")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(table, group)
