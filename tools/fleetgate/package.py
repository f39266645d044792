"""Packages a Lambda function: its sources and its slice of the catalogue as a zip that is byte-identical wherever it is built."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from fleetgate import document, template
from fleetgate.catalogue import Catalogue
from fleetgate.errors import fail
from fleetgate.names import Names

FOLDER = "lambda_src"
FUNCTIONS = ("provisioning_hook", "onboarding", "census", "audit")
SLICE_FILE = "catalogue.json"
#: The earliest time a zip entry can have. A real one would make every build another one.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def sources(root: Path, function: str) -> dict[str, bytes]:
    """File name to content of the function's sources; caches and the like are left out."""
    folder = root / FOLDER / function
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}
    for name in paths:
        if document.is_behind_link(root, f"{FOLDER}/{function}/{name}"):
            remedy = "put the file itself there: no link is followed"
            raise fail(f"{FOLDER}/{function}/{name}", "is a symbolic link, or lies behind one", remedy)
    found = {name: path.read_bytes() for name, path in paths.items()}
    if "handler.py" not in found:
        raise fail(f"{FOLDER}/{function}/handler.py", "is missing", "restore the function's sources")
    return found


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip of `files` that depends on nothing but their names and contents."""
    buffer = io.BytesIO()
    # Stored, not deflated: compressed bytes differ between zlib versions, and the files are a few kilobytes.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, also where it is built on Windows
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def source_code_hash(package: bytes) -> str:
    """The digest by which Lambda and Terraform know a package: SHA-256, base64."""
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def build(root: Path, function: str, catalogue: Catalogue, names: Names) -> bytes:
    """The package of `function`."""
    files = sources(root, function)
    if known := catalogue_slice(function, catalogue, names):
        files[SLICE_FILE] = (json.dumps(known, indent=1, sort_keys=True) + "\n").encode()
    return zip_bytes(files)


def catalogue_slice(function: str, catalogue: Catalogue, names: Names) -> dict[str, Any]:
    """What `function` has to know of the catalogue, with every name derived; empty if that is nothing."""
    if function == "audit":
        return {}
    if function == "census":
        return {"deviceTypes": list(catalogue.device_types)}
    if function == "onboarding":
        return {
            "deviceTypes": {
                name: {"thingNamePrefix": names.types[name].thing_prefix, "initialShadow": kind.initial_shadow}
                for name, kind in catalogue.device_types.items()
            }
        }
    return {
        "deviceTypes": {
            name: {
                "thingNamePrefix": names.types[name].thing_prefix,
                "thingTypeName": names.types[name].thing_type,
                "groupName": names.types[name].group,
                "policyName": names.types[name].policy,
                "enrolment": kind.enrolment,
                "canarySerial": kind.canary_serial,
                "serialPattern": kind.serial_pattern,
                "manufacturers": list(kind.manufacturers),
                "firmwarePattern": kind.firmware.pattern,
                "minimumFirmware": kind.firmware.minimum,
                "extraParameters": template.extra_values(catalogue, kind),
            }
            for name, kind in catalogue.device_types.items()
        },
    }
