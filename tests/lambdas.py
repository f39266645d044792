"""Loads a Lambda function as Lambda does: its sources and its slice of the catalogue in one folder, flat imports.

Functions have modules of one name, such as `handler` and `settings`. Each load gets modules of its own and leaves no trace in
`sys.modules`, so two functions, or one function with two environments, can live in one test.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TESTS = Path(__file__).resolve().parent
SOURCES = TESTS.parent / "lambda_src"

ACCOUNT = "123456789012"
REGION = "us-east-1"
TABLE = "fleetgate-device-registry"
AUDIT_TABLE = "fleetgate-audit"
TEMPLATE_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:provisioningtemplate/fleetgate-fleet"
LEASE_SECONDS = 600
#: Two claims that are active; the first is that of `tests/events/provisioning_hook.json`.
CLAIM_CERTIFICATES = (
    "dd1b3c312cf7d816130354452e9629ce39355b0c534129dd26a08cd9a4502ede",
    "0b14d501a594442a01c6859541bcb3e8164d183d32937b851835442f69d5c94e",
)
#: The slices that `fleetgate package` writes, for two types: one on the allow list, one open.
HOOK_CATALOGUE: dict[str, Any] = {
    "deviceTypes": {
        "temperature-sensor": {
            "thingNamePrefix": "temperature-sensor-",
            "thingTypeName": "temperature-sensor",
            "groupName": "temperature-sensor-devices",
            "policyName": "fleetgate-temperature-sensor",
            "enrolment": "allow_list",
            "canarySerial": "TEMP-000000",
            "serialPattern": "^TEMP-[0-9]{6}$",
            "manufacturers": ["AcmeSensors", "SensorTech"],
            "firmwarePattern": "[0-9]+\\.[0-9]+\\.[0-9]+",
            "minimumFirmware": "1.9.0",
            "extraParameters": {"Extra_powerSource": "battery", "Extra_rack": "unknown"},
        },
        "gateway": {
            "thingNamePrefix": "gateway-",
            "thingTypeName": "gateway",
            "groupName": "gateway-devices",
            "policyName": "fleetgate-gateway",
            "enrolment": "open",
            "canarySerial": "GW-000000",
            "serialPattern": "GW-[\\d:]+",
            "manufacturers": ["AcmeGateways"],
            "firmwarePattern": ".+",
            "minimumFirmware": "2",
            "extraParameters": {"Extra_powerSource": "unknown", "Extra_rack": "r1"},
        },
    },
}
ONBOARDING_CATALOGUE: dict[str, Any] = {
    "deviceTypes": {
        "temperature-sensor": {
            "thingNamePrefix": "temperature-sensor-",
            "initialShadow": {"samplingRate": 30, "enabled": True},
        },
        "gateway": {"thingNamePrefix": "gateway-", "initialShadow": {"logLevel": "INFO"}},
    },
}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
HOOK_ENVIRONMENT = {
    **CREDENTIALS,
    "TABLE_NAME": TABLE,
    "TEMPLATE_ARN": TEMPLATE_ARN,
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "CLAIM_CERTIFICATE_IDS": ",".join(CLAIM_CERTIFICATES),
}
ONBOARDING_ENVIRONMENT = {
    **CREDENTIALS,
    "TABLE_NAME": TABLE,
    "AUDIT_TABLE_NAME": AUDIT_TABLE,
    "AWS_ENDPOINT_URL_IOT_DATA_PLANE": "https://data-ats.iot.us-east-1.amazonaws.com",
}
HOOK_LOG_GROUP = "/aws/lambda/fleetgate-provisioning-hook"
AUDIT_ENVIRONMENT = {**CREDENTIALS, "AUDIT_TABLE_NAME": AUDIT_TABLE, "HOOK_LOG_GROUP": HOOK_LOG_GROUP}


def event(name: str) -> dict[str, Any]:
    """A fresh copy of `tests/events/<name>.json`."""
    document: dict[str, Any] = json.loads((TESTS / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return document


def modules(function: str, *names: str) -> SimpleNamespace:
    """The named modules of `function`, straight from the sources; for those that need no settings."""
    return _load(SOURCES / function, names)


def deploy(function: str, folder: Path, catalogue: Mapping[str, Any] | None) -> SimpleNamespace:
    """All modules of `function`, from `folder` as its zip; the environment must be set by now."""
    for source in (SOURCES / function).glob("*.py"):
        shutil.copy(source, folder)
    if catalogue is not None:
        (folder / "catalogue.json").write_text(json.dumps(catalogue), encoding="utf-8")
    return _load(folder, [path.stem for path in folder.glob("*.py")])


def _load(folder: Path, names: Iterable[str]) -> SimpleNamespace:
    with _alone(folder):
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    own = [path.stem for path in folder.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(others)
