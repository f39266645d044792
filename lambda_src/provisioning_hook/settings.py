"""The hook's settings: four environment variables and its slice of the catalogue, read once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decision import DeviceType, Rules, is_attribute_value, version

CATALOGUE = "catalogue.json"
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_TEMPLATE_ARN = re.compile(r"arn:aws[a-z-]*:iot:[a-z0-9-]+:[0-9]{12}:provisioningtemplate/[0-9A-Za-z_-]{1,36}")
_LEASE_SECONDS = re.compile(r"[1-9][0-9]{0,4}")
_CLAIM_CERTIFICATE_IDS = re.compile(r"[0-9a-f]{64}(?:,[0-9a-f]{64})*")


class SettingsError(RuntimeError):
    """Settings that are missing or wrong: one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function was deployed with."""

    table_name: str
    lease_ms: int
    rules: Rules


def load(environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings from `environ` and the catalogue in `folder`; SettingsError names all that is wrong at once."""
    problems: list[str] = []

    def variable(name: str, pattern: re.Pattern[str], remedy: str) -> str:
        value = environ.get(name, "")
        if not pattern.fullmatch(value):
            problems.append(f"{name}: {'is missing' if not value else f'{value!r} is not usable'}; set {remedy}")
        return value

    table_name = variable("TABLE_NAME", _TABLE_NAME, "the name of the device registry's table")
    template_arn = variable("TEMPLATE_ARN", _TEMPLATE_ARN, "the ARN of the provisioning template that calls this hook")
    lease_seconds = variable("LEASE_SECONDS", _LEASE_SECONDS, "how long a serial is leased, in seconds, 1 to 99999")
    claims = variable("CLAIM_CERTIFICATE_IDS", _CLAIM_CERTIFICATE_IDS, "the active claims' certificate ids, commas between")
    device_types = _read_catalogue(folder / CATALOGUE, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(table_name, int(lease_seconds) * 1000, Rules(template_arn, frozenset(claims.split(",")), device_types))


def _read_catalogue(path: Path, problems: list[str]) -> dict[str, DeviceType]:
    try:
        entries = dict(json.loads(path.read_text(encoding="utf-8"))["deviceTypes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.name}: cannot be read ({error!r}); package the function again")
        return {}
    device_types = {}
    for name, entry in entries.items():
        try:
            device_types[name] = _device_type(name, entry)
        except KeyError as error:
            problems.append(f"{path.name}: {name}: {error} is missing; package the function again")
        except (TypeError, AttributeError, ValueError, re.error) as error:
            problems.append(f"{path.name}: {name}: {error}; mend the catalogue and package the function again")
    return device_types


def _device_type(name: str, entry: dict[str, Any]) -> DeviceType:
    minimum = version(entry["minimumFirmware"])
    if minimum is None:
        raise ValueError(f"minimumFirmware {entry['minimumFirmware']!r} is not numbers between dots")
    for text in (name, *entry["manufacturers"], *entry["extraParameters"].values()):
        if not is_attribute_value(text):
            raise ValueError(f"{text!r} cannot be the value of a thing attribute")
    if entry["enrolment"] not in ("allow_list", "open"):
        raise ValueError(f"enrolment {entry['enrolment']!r} is neither allow_list nor open")
    return DeviceType(
        thing_name_prefix=entry["thingNamePrefix"],
        thing_type_name=entry["thingTypeName"],
        group_name=entry["groupName"],
        policy_name=entry["policyName"],
        open_enrolment=entry["enrolment"] == "open",
        canary_serial=entry["canarySerial"],
        serial=re.compile(entry["serialPattern"], re.ASCII),
        manufacturers=frozenset(entry["manufacturers"]),
        firmware=re.compile(entry["firmwarePattern"], re.ASCII),
        minimum_firmware=minimum,
        extra_parameters=entry["extraParameters"],
    )
