"""Finds what is left over of devices in the account, and takes it away.

A first pass only picks out what may be an orphan; each is then read again by itself, in full, and judged, and once more just
before it is mended: devices come in meanwhile. So a run may be interrupted and repeated, and two may work side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from fleetgate import aws, decisions, decommission, device_view, progress
from fleetgate.build import Fleet
from fleetgate.deploy import Deployed
from fleetgate.drain import PARALLEL
from fleetgate.errors import FleetgateError, Problem
from fleetgate.orphans import LEADS_TO_A_THING, Device, Finding, Kind, Loose, Ours, Thing, judge_certificate, judge_device
from fleetgate.registry import Registry, Row

Say = Callable[[str], None]

#: Of so many pending certificates that nothing else ties to the fleet the hook's log is asked; the rest are not judged.
_MAXIMUM_ASKED = 200
MENDED = "mended"
#: Decisions that say nothing of where a certificate comes from.
_NO_EVIDENCE = ("malformed_event", "wrong_template", "unknown_claim", "certificate_mismatch")


@dataclass(frozen=True)
class Report:
    """findings and not_judged in a stable order. not_looked_at: certificates of the account that nothing ties to this fleet.

    too_young: how many would be findings if they were older; whoever has just broken something himself wants to know of them.
    """

    findings: tuple[Finding, ...]
    not_judged: tuple[Finding, ...]
    not_looked_at: int
    too_young: int = 0


class Search:
    """One look at a fleet. older_than: seconds; what is younger may be on its way in."""

    def __init__(self, fleet: Fleet, deployed: Deployed, table: Registry, older_than: float) -> None:
        self._fleet = fleet
        self._table = table
        self._iot = aws.client("iot")
        self._names = {name: fleet.names.types[name] for name in (t.name for t in deployed.types) if name in fleet.names.types}
        thing_types = {kind.name: kind.thing_type for kind in deployed.types if kind.thing_type and kind.name in self._names}
        self.policies = sorted({kind.policy for kind in deployed.types if kind.policy} - {fleet.names.claim_policy})
        self._ours = Ours(thing_types, frozenset(self.policies), deployed.claims, int(older_than * 1000))
        self._ours_of_any_age = replace(self._ours, grace_ms=0)
        #: By certificate: the serial whose row names it. Filled by `run`.
        self._serials: dict[str, str] = {}
        self._asked: set[str] = set()

    def run(self, say: Say) -> Report:
        say("  reading things and the registry")
        things, strangers = self._things()
        rows = {str(row["serialNumber"]): _short(row) for row in self._rows()}
        self._serials = {row["certificateId"]: serial for serial, row in rows.items() if row.get("certificateId")}
        by_name = {thing.name: thing for thing in things}
        suspects = {thing.serial for thing in things if thing.serial not in rows}
        for serial, row in rows.items():
            if row.get("status") in LEADS_TO_A_THING and row.get("thingName") not in by_name:
                suspects.add(serial)
        attached: set[str] = set()
        known = [thing for thing in things if thing.serial in rows]
        principals = progress.each("reading certificates of things", known, self._principals, PARALLEL)
        for thing, held in zip(known, principals, strict=True):
            attached |= held
            if not held:
                suspects.add(thing.serial)
        devices = progress.each("looking at devices", sorted(suspects), lambda serial: self.device(serial, by_name), PARALLEL)
        found = [finding for finding in (self._judge_device(device) for device in devices) if finding]
        settled = {
            certificate.certificate_id for device in devices for certificate in device.certificates if self._judge_device(device)
        }
        loose, not_looked_at = self._loose(attached | settled)
        young = [device for device in devices if not self._judge_device(device) and self._would_be_found(device)]
        with_the_young = {certificate.certificate_id for device in young for certificate in device.certificates}
        too_young = len(young)
        for certificate in progress.each("looking at certificates", loose, self._read_certificate, PARALLEL):
            if certificate is None:
                continue
            if finding := judge_certificate(certificate, self._ours, _now_ms()):
                found.append(finding)
            elif certificate.certificate_id not in with_the_young:
                too_young += _is_orphan(judge_certificate(certificate, self._ours_of_any_age, _now_ms()))
        found += [
            Finding(Kind.NOT_JUDGED, name, "has one of our thing types, but no name that the gate gives") for name in strangers
        ]
        found.sort(key=lambda finding: (finding.kind.value, finding.subject))
        judged = tuple(finding for finding in found if finding.kind is not Kind.NOT_JUDGED)
        not_judged = tuple(finding for finding in found if finding.kind is Kind.NOT_JUDGED)
        return Report(judged, not_judged, not_looked_at, too_young)

    def mend(self, finding: Finding) -> str:
        """Takes an orphan away if it still is one; returns what came of it."""
        if finding.kind in (Kind.PENDING, Kind.UNATTACHED):
            if self._judge_certificate(finding.subject) != finding:
                return "changed meanwhile, left as it is"
            decommission.remove_certificate(finding.subject)
            return MENDED
        serial = finding.subject if finding.kind is Kind.ROW_WITHOUT_THING else self._serial_of(finding.subject)
        device = self.device(serial)
        if self._judge_device(device) != finding:
            return "changed meanwhile, left as it is"
        if device.thing is not None:
            decommission.remove_device(device.thing.name, self.policies)
        for certificate in device.certificates:
            decommission.release_certificate(certificate.certificate_id, self.policies)
        # The row last: it is by its row that a run after an interrupted one finds the rest.
        row = device.row
        if row is not None and row.get("status") != "registered" and row.get("certificateId"):
            self._table.free(serial, row["certificateId"])
        return MENDED

    def device(self, serial: str, things: dict[str, Thing] | None = None) -> Device:
        """All about a serial, as of now."""
        row = self._table.get(serial)
        names = [str(row["thingName"])] if row is not None and row.get("thingName") else []
        names += [kind.thing(serial) for kind in self._names.values()]
        # A first pass knows which of the names there are; without it each is asked for.
        wanted = [name for name in dict.fromkeys(names) if things is None or name in things or name in names[:1]]
        thing = next((found for name in wanted if (found := self._thing(name))), None)
        certificates, others = device_view.certificates_of(thing.name if thing else None, row)
        return Device(serial, row, thing, tuple(certificates), tuple(others))

    def _judge_device(self, device: Device) -> Finding | None:
        return judge_device(device, self._ours, _now_ms())

    def _would_be_found(self, device: Device) -> bool:
        return _is_orphan(judge_device(device, self._ours_of_any_age, _now_ms()))

    def _judge_certificate(self, certificate_id: str) -> Finding | None:
        certificate = self._read_certificate(certificate_id)
        return None if certificate is None else judge_certificate(certificate, self._ours, _now_ms())

    def _read_certificate(self, certificate_id: str) -> Loose | None:
        try:
            found = self._iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except self._iot.exceptions.ResourceNotFoundException:
            return None
        arn = found["certificateArn"]
        attached = self._iot.get_paginator("list_attached_policies").paginate(target=arn)
        policies = tuple(sorted(policy["policyName"] for page in attached for policy in page["policies"]))
        serial = self._serials.get(certificate_id)
        row = self._table.get(serial) if serial is not None else None
        return Loose(
            certificate_id,
            str(found["status"]),
            int(found["creationDate"].timestamp() * 1000),
            policies,
            tuple(decommission.things_of(certificate_id)),
            row if row is not None and row.get("certificateId") == certificate_id else None,
            certificate_id in self._asked,
        )

    def _things(self) -> tuple[list[Thing], list[str]]:
        """The things that have one of our names; and the names of others that have one of our thing types."""
        ours: list[Thing] = []
        strangers: list[str] = []
        for page in self._iot.get_paginator("list_things").paginate():
            for item in page["things"]:
                if thing := self._as_ours(item):
                    ours.append(thing)
                elif item.get("thingTypeName") in self._ours.thing_types.values():
                    strangers.append(item["thingName"])
        return ours, strangers

    def _thing(self, name: str) -> Thing | None:
        try:
            found = self._iot.describe_thing(thingName=name)
        except self._iot.exceptions.ResourceNotFoundException:
            return None
        # A row may lead to a thing of a type that has left the catalogue: it is there, and not to be judged by its name.
        return self._as_ours(found) or Thing(name, "", "", found.get("thingTypeName"), found.get("attributes") or {})

    def _as_ours(self, item: dict[str, Any]) -> Thing | None:
        name = str(item["thingName"])
        for device_type, names in self._names.items():
            serial = name.removeprefix(names.thing_prefix)
            if serial and serial != name:
                return Thing(name, device_type, serial, item.get("thingTypeName"), item.get("attributes") or {})
        return None

    def _serial_of(self, thing_name: str) -> str:
        thing = self._as_ours({"thingName": thing_name})
        if thing is None:
            raise ValueError(f"{thing_name} has none of our names")
        return thing.serial

    def _rows(self) -> Iterable[Row]:
        return self._table.rows()

    def _principals(self, thing: Thing) -> set[str]:
        return decommission.principals(thing.name)

    def _loose(self, settled: set[str]) -> tuple[list[str], int]:
        """The certificates to look at, and how many of the account nothing ties to this fleet. settled: judged, or in use."""
        held = {c for policy in self.policies for c in decommission.certificates_with(policy)}
        tied = held | set(self._serials)
        chosen: list[str] = []
        pending: list[tuple[str, int]] = []
        others = 0
        for page in self._iot.get_paginator("list_certificates").paginate(pageSize=250):
            for certificate in page["certificates"]:
                certificate_id = certificate["certificateId"]
                if certificate_id in settled or certificate_id in self._ours.claims:
                    continue
                if certificate_id in tied:
                    chosen.append(certificate_id)
                elif certificate["status"] == "PENDING_ACTIVATION":
                    pending.append((certificate_id, int(certificate["creationDate"].timestamp() * 1000)))
                else:
                    others += 1
        log = "looking through the gate's log"
        asked = progress.each(log, pending[:_MAXIMUM_ASKED], lambda item: self._was_asked_here(*item), PARALLEL)
        self._asked = {item[0] for item, was in zip(pending, asked, strict=False) if was}
        return sorted(chosen + [certificate_id for certificate_id, _ in pending]), others

    def _was_asked_here(self, certificate_id: str, created_ms: int) -> bool:
        """Whether a device asked our hook about the certificate, under one of our claims. AWS itself gives the hook both ids."""
        try:
            found = decisions.Log(self._fleet.names.hook, lambda _: None).decisions("certificateId", certificate_id, created_ms)
        except FleetgateError:
            return False  # no log, no evidence
        return any(r.get("claimCertificateId") in self._ours.claims and r.get("reason") not in _NO_EVIDENCE for r in found)


def mend_all(search: Search, findings: Sequence[Finding], done: dict[Finding, str], failed: dict[Finding, Problem]) -> None:
    """Mends the findings. done, failed: get what came of each, also if interrupted."""

    def one(finding: Finding) -> None:
        try:
            outcome = search.mend(finding)
        except (FleetgateError, ClientError) as error:
            again = "see the message, then run the same command again"
            said = error.response["Error"].get("Message", "") if isinstance(error, ClientError) else error.problems[0].what
            failed[finding] = Problem(f"{finding.kind} {finding.subject}", f"could not be mended: {said:.200}", again)
        else:
            done[finding] = outcome

    progress.each("mending", list(findings), one, PARALLEL)


def _is_orphan(finding: Finding | None) -> bool:
    return finding is not None and finding.kind is not Kind.NOT_JUDGED


def _short(row: Row) -> Row:
    """The part of a row that the first pass needs: of a large fleet all rows are held at once."""
    return {name: row[name] for name in ("status", "thingName", "certificateId") if name in row}


def _now_ms() -> int:
    return int(time.time() * 1000)
