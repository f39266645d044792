"""Brings devices in, one or many at once, and says how it went."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fleetgate import applied, aws, claims, identity
from fleetgate.build import Fleet
from fleetgate.catalogue import ATTRIBUTE_VALUE, DeviceType, version_key
from fleetgate.device import STEPS, Device, Gate, Interrupted, Provisioned, provision
from fleetgate.environment import Environment
from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.identity import Identity, IdentityFolder
from fleetgate.mqtt import DeviceError
from fleetgate.registry import Registry, Row, unknown_type

MAXIMUM_COUNT = 1_000_000
MAXIMUM_PARALLEL = 128


@dataclass(frozen=True)
class Failure:
    """A device that did not get in."""

    serial: str
    reason: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Report:
    """How a run went. seconds: of the whole run, by the wall clock. wanted: how many devices it was to bring in."""

    wanted: int
    seconds: float
    done: tuple[Provisioned, ...]
    failed: tuple[Failure, ...]
    interrupted: bool

    @property
    def rate(self) -> float:
        """Devices a second."""
        return len(self.done) / self.seconds if self.seconds > 0 else 0.0

    def latencies(self) -> dict[str, dict[str, float]]:
        """Milliseconds p50, p90 and p99 by step, and of the whole way; steps that nobody took are left out."""
        by_step = {step: [d.seconds[step] for d in self.done if step in d.seconds] for step in STEPS}
        by_step["total"] = [d.total for d in self.done]
        return {
            step: {f"p{p}": round(percentile(values, p) * 1000, 1) for p in (50, 90, 99)}
            for step, values in by_step.items()
            if values
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "provisioned": [
                {"serialNumber": d.serial, "thingName": d.thing_name, "certificateId": d.certificate_id}
                for d in sorted(self.done, key=lambda d: d.serial)
            ],
            "failed": [
                {"serialNumber": f.serial, "reason": f.reason, "what": f.what, "remedy": f.remedy}
                for f in sorted(self.failed, key=lambda f: f.serial)
            ],
            "summary": {
                "wanted": self.wanted,
                "provisioned": len(self.done),
                "failed": len(self.failed),
                "reasons": dict(sorted(Counter(f.reason for f in self.failed).items())),
                "interrupted": self.interrupted,
                "resumed": sum(d.resumed for d in self.done),
                "retries": sum(d.retries for d in self.done),
                "seconds": round(self.seconds, 3),
                "devicesPerSecond": round(self.rate, 2),
                "milliseconds": self.latencies(),
            },
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `percent` per cent of all do not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def keys_folder(environment: Environment) -> Path:
    """Where the devices' identities lie unless somebody says otherwise."""
    return environment.build / "devices"


def gate(fleet: Fleet, claim: str | None = None) -> Gate:
    """Where devices of the fleet come in, with the claim's files checked. claim: default the first active one."""
    environment = fleet.environment
    name = claim if claim is not None else default_claim(environment)
    claims.require_claim(environment, name)
    folder = environment.claim_folder(name)
    key, certificate = folder / claims.KEY_FILE, folder / claims.CERTIFICATE_FILE
    apply = applied.command(environment)
    csr = environment.claim_csr_file(name)
    if csr.exists():  # then `claim create` would refuse: another key would not fit the certificate
        create = f"put the private key of {csr} there, or add another claim to {environment.file} and run: {apply}"
    else:
        create = f"run: fleetgate claim create {name} --env {environment.name}, then {apply}"
    # Without its key a claim's certificate is of no use, and not fetched.
    problems = _unusable(key, "PRIVATE KEY", create) or _unusable(
        certificate, "CERTIFICATE", f"run: {apply}; it fetches the certificate"
    )
    if not problems and key.stat().st_mode & 0o077:
        mode = f"{key.stat().st_mode & 0o777:04o}"
        problems.append(Problem(str(key), f"others may read this private key (mode {mode})", f"run: chmod 600 {key}"))
    endpoint = aws.device_endpoint(environment)
    if endpoint.ca_file:
        remedy = f"run: fleetgate cloud up --env {environment.name}" if environment.settings.embedded_cloud else "mend it"
        problems += _unusable(Path(endpoint.ca_file), "CERTIFICATE", remedy)
    if problems:
        raise FleetgateError(problems)
    return Gate(endpoint, fleet.names.template, fleet.names.claim_client_prefix, certificate, key, name)


def default_claim(environment: Environment) -> str:
    """The first active claim of the environment."""
    return next(name for name, claim in environment.settings.claims.items() if claim.active)


def warning_of_retired(environment: Environment, claim: str | None) -> str | None:
    """What to say of a claim that the environment's file retires, if it does.

    No refusal: until that is applied the claim is good, and a device that is in already needs none.
    """
    settings = environment.settings.claims.get(claim) if claim is not None else None
    if settings is None or settings.active:
        return None
    others = " or ".join(name for name, other in environment.settings.claims.items() if other.active)
    return f"claim {claim} is retired in {environment.file}: nobody comes in with it once that is applied\n    -> use {others}"


def make_device(
    fleet: Fleet,
    device_type: str,
    serial: str,
    manufacturer: str | None = None,
    firmware: str | None = None,
    location: str | None = None,
) -> Device:
    """A device of the catalogue. Raises FleetgateError with everything that the gate would refuse anyway."""
    kind = fleet.catalogue.device_types.get(device_type)
    if kind is None:
        raise FleetgateError(unknown_type("--type", device_type, fleet.catalogue))
    device = Device(
        serial=serial,
        device_type=device_type,
        manufacturer=manufacturer if manufacturer is not None else kind.manufacturers[0],
        firmware=firmware if firmware is not None else kind.firmware.minimum,
        location=location,
        thing_name=fleet.names.types[device_type].thing(serial),
    )
    if problems := _mistakes(device, kind):
        raise FleetgateError(problems)
    return device


def choose_serials(fleet: Fleet, device_type: str, count: int, keys: Path) -> list[str]:
    """`count` serials to bring in: those that were begun in `keys` first, then registered ones. Raises if there are fewer."""
    kind = fleet.catalogue.device_types.get(device_type)
    if kind is None:
        raise FleetgateError(unknown_type("--type", device_type, fleet.catalogue))
    registry = Registry(fleet.names.table)
    begun = (
        found.serial
        for found in identity.unfinished(keys, device_type)
        if can_go_on(found, registry.get(found.serial), open_enrolment=kind.enrolment == "open")
    )
    chosen = list(islice(begun, count))
    fresh = (
        str(row["serialNumber"])
        for row in registry.rows(device_type, "registered")
        if row["serialNumber"] != kind.canary_serial and row["serialNumber"] not in chosen
    )
    chosen += islice(fresh, count - len(chosen))
    if len(chosen) < count:
        example = f"fleetgate registry add --env {fleet.environment.name} --type {device_type} FIRST..LAST"
        what = f"{count} are wanted, {len(chosen)} have the status registered"
        raise fail(f"serials of {device_type}", what, f"add {count - len(chosen)} more: {example}")
    return chosen


def can_go_on(begun: Identity, row: Row | None, *, open_enrolment: bool) -> bool:
    """Whether the gate could still let in a device that was begun: its serial is free, or leased to its certificate."""
    if row is None:
        return open_enrolment
    if row.get("status") == "registered":
        return True
    return row.get("status") != "revoked" and row.get("certificateId") == begun.certificate_id


def start_over_where_lost(fleet: Fleet, devices: Iterable[Device], keys: Path) -> list[str]:
    """Sets aside the stored identities that the registry no longer stands behind, and says in a line each what was done.

    A device that holds one is refused for ever: its certificate went with an earlier fleet, or an operator has set the serial
    back. Raises FleetgateError for those whose serial would have to be added first.
    """
    registry = Registry(fleet.names.table)
    lost: list[tuple[IdentityFolder, Identity]] = []
    problems: list[Problem] = []
    for device in devices:
        folder = IdentityFolder(keys / device.serial)
        try:
            found = folder.load()
        except FleetgateError:
            continue  # run() reports it
        if found is None or found.thing_name is None or found.serial != device.serial:
            continue  # never registered, so the gate decides; or another's, which run() reports
        row = registry.get(device.serial)
        if row is None and fleet.catalogue.device_types[device.device_type].enrolment != "open":
            what = f"is not in the registry any more; {folder.path} holds its certificate {_short(found)}"
            add = f"fleetgate registry add --env {fleet.environment.name} --type {device.device_type} {device.serial}"
            problems.append(Problem(f"serial {device.serial}", what, f"run: {add}, then the same command again"))
        elif not (row and stands_behind(row, found)):
            lost.append((folder, found))
    if problems:
        raise FleetgateError(problems)
    return [
        f"{found.serial}: the registry does not know its certificate {_short(found)} any more; it starts over\n"
        f"    -> its old key and certificate are kept in {folder.set_aside()}"
        for folder, found in lost
    ]


def stands_behind(row: Row, registered: Identity) -> bool:
    """Whether the registry still knows a device by the certificate it was registered with."""
    return row.get("certificateId") == registered.certificate_id and row.get("status") != "registered"


def _short(found: Identity) -> str:
    return f"{found.certificate_id[:12]}..."


def run(
    gate: Gate,
    devices: Iterable[Device],
    keys: Path,
    parallel: int,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Brings the devices in, `parallel` at a time. Ctrl-C stops at the next step of each; what they have is kept."""
    todo = list(devices)
    stop = threading.Event()
    done: list[Provisioned] = []
    failed: list[Failure] = []
    interrupted = False

    def one(device: Device) -> Provisioned | Failure:
        try:
            return provision(gate, device, keys / device.serial, stop=stop)
        except DeviceError as error:
            return Failure(device.serial, error.reason, error.what, error.remedy)
        except FleetgateError as error:
            first = error.problems[0]
            return Failure(device.serial, "unusable_identity", f"{first.where}: {first.what}", first.remedy)
        except OSError as error:
            text = f"{error.filename}: {error.strerror}"
            return Failure(device.serial, "io_error", text, "check folder and disk, then run the same command again")

    start = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        pending = [pool.submit(one, device) for device in todo]
        while True:
            try:
                for future in as_completed(pending):
                    result = future.result()
                    if isinstance(result, Failure):
                        failed.append(result)
                    else:
                        done.append(result)
                    advance()
                break
            except KeyboardInterrupt:
                # Those under way hear of it; those that wait end at once, and are counted as interrupted.
                interrupted = True
                stop.set()
                seen = {d.serial for d in done} | {f.serial for f in failed}
                pending = [f for f, device in zip(pending, todo, strict=True) if device.serial not in seen]
                todo = [device for device in todo if device.serial not in seen]
    wanted = len(done) + len(failed)
    failed = [f for f in failed if f.reason != Interrupted.reason]
    return Report(wanted, time.perf_counter() - start, tuple(done), tuple(failed), interrupted)


def _unusable(path: Path, label: str, remedy: str) -> list[Problem]:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return [Problem(str(path), "is missing", remedy)]
    except OSError as error:
        return [Problem(str(path), f"cannot be read: {error.strerror}", "give yourself the right to read it")]
    except UnicodeDecodeError:
        text = ""
    return [] if f"{label}-----" in text else [Problem(str(path), f"holds no {label.lower()} in PEM", remedy)]


def _mistakes(device: Device, kind: DeviceType) -> list[Problem]:
    problems = []
    if not re.fullmatch(kind.serial_pattern, device.serial, re.ASCII):
        what = f"{device.serial!r:.80} is no serial of a {device.device_type}"
        problems.append(Problem("--serial", what, f"it has to match {kind.serial_pattern}"))
    elif device.serial == kind.canary_serial:
        problems.append(Problem("--serial", f"{device.serial} is reserved for the smoke check", "use another one"))
    if device.manufacturer not in kind.manufacturers:
        what = f"{device.manufacturer!r:.80} makes no {device.device_type}"
        problems.append(Problem("--manufacturer", what, f"use {' or '.join(kind.manufacturers)}"))
    firmware, minimum = version_key(device.firmware), version_key(kind.firmware.minimum)
    if firmware is None or not re.fullmatch(kind.firmware.pattern, device.firmware, re.ASCII):
        what = f"{device.firmware!r:.80} is no firmware version of a {device.device_type}"
        problems.append(Problem("--firmware", what, f"write it like {kind.firmware.minimum}"))
    elif minimum is not None and firmware < minimum:
        what = f"{device.firmware} is older than {kind.firmware.minimum}"
        problems.append(Problem("--firmware", what, "use a newer one, or lower the minimum in the catalogue"))
    if device.location is not None and not re.fullmatch(ATTRIBUTE_VALUE, device.location):
        what = f"{device.location!r:.80} cannot be a thing attribute"
        problems.append(Problem("--location", what, "letters, digits and _.,@/:#=[]- only, no space"))
    return problems
