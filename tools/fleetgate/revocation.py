"""Cuts a device off, and lets its serial number come in again.

The order is what makes it safe to stop anywhere. To revoke: the row first, so that the gate is shut before the device could ask
for another certificate; then the certificates, so that it cannot come back; then the connection. To reinstate: the row last, so
that nothing of the old device is left when the gate opens, and a run after an interrupted one finds it by its row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from fleetgate import aws, decommission, device_view, near
from fleetgate.audit import Deed
from fleetgate.build import Fleet
from fleetgate.device_view import Certificate
from fleetgate.errors import FleetgateError, Problem, fail
from fleetgate.registry import Registry, Row, status_of, time_of

Say = Callable[[str], None]

#: A device whose hook has just said yes may get its certificate activated some seconds later: AWS gives the hook 5, and then
#: applies the template. After so many seconds nothing of a registration is under way any more.
SETTLE_SECONDS = 15.0
#: How often a certificate that turned up meanwhile is looked for.
_ROUNDS = 3
#: What a certificate may be that nobody can connect with, and that need not be touched.
_POWERLESS = ("INACTIVE", "REVOKED", "missing")


@dataclass(frozen=True)
class Target:
    """A device and what there is of it. thing_name: also if the thing is not there; has_thing: whether it is."""

    serial: str
    row: Row
    thing_name: str | None
    has_thing: bool
    certificates: tuple[Certificate, ...]
    claim_policy: str

    @property
    def status(self) -> str:
        return status_of(self.row)

    @property
    def active(self) -> list[Certificate]:
        """Certificates that somebody could connect with."""
        return [certificate for certificate in self.certificates if certificate.status not in _POWERLESS]


def find(fleet: Fleet, table: Registry, serial: str) -> Target:
    """The device of a serial. Raises FleetgateError, naming near ones, if the registry does not have it."""
    row = table.get(serial)
    if row is None:
        raise near.unknown(fleet, table, serial)
    return _target(fleet, serial, row)


def _target(fleet: Fleet, serial: str, row: Row) -> Target:
    name = device_view.thing_name_of(fleet, serial, row)
    there = name is not None and decommission.is_there(name)
    certificates, _ = device_view.certificates_of(name if there else None, row)
    target = Target(serial, row, name, there, tuple(certificates), fleet.names.claim_policy)
    _refuse_claims(target)
    return target


def _refuse_claims(target: Target) -> None:
    """A claim's certificate belongs to the factory: switched off, no device of any serial could come in any more."""
    problems = [
        Problem(
            f"certificate {certificate.certificate_id}",
            f"is a claim, and attached to {target.thing_name or target.serial}; nothing was changed",
            "detach it from the thing, then run the same command again; to retire a claim, edit the environment's file",
        )
        for certificate in target.certificates
        if target.claim_policy in certificate.policies
    ]
    if problems:
        raise FleetgateError(problems)


def revoke_steps(target: Target) -> list[str]:
    """What a revocation does, for people; without the dropped connection empty if everything is done already."""
    steps = []
    if target.status != "revoked":
        steps.append(f"registry row: {target.status} -> revoked; the gate refuses the serial number from then on")
    for certificate in target.active:
        others = f"; this cuts off {', '.join(certificate.things)} as well" if certificate.things else ""
        steps.append(f"certificate {certificate.certificate_id}: {certificate.status} -> INACTIVE{others}")
    return steps


def revoke(fleet: Fleet, table: Registry, target: Target, notes: Mapping[str, str], deed: Deed, say: Say) -> None:
    """Cuts the device off. deed: gets each step. notes: kept in the row."""
    before = table.revoke(target.serial, notes)
    if before is None:
        raise near.unknown(fleet, table, target.serial)
    if status_of(before) != "revoked":
        deed.did(f"registry row: {status_of(before)} -> revoked")
    # What counts is the row as it was at that moment: the device may have come in anew since it was looked at.
    row = before | {"status": "revoked"}
    _wait_for_registration(before, say)
    for _ in range(_ROUNDS):
        current = _target(fleet, target.serial, row)
        if not current.active:
            break
        for certificate in current.active:
            _deactivate(certificate)
            deed.did(f"certificate {certificate.certificate_id}: {certificate.status} -> INACTIVE")
    else:
        ids = ", ".join(certificate.certificate_id for certificate in current.active)
        raise fail(
            f"serial {target.serial}", f"somebody activates its certificates again: {ids}", "find out who, then run it again"
        )
    if current.thing_name is not None:
        deed.did(drop_connection(current.thing_name))


def connection_step(fleet: Fleet, thing_name: str) -> str:
    """What becomes of the device's connection, for people, before it is done. Nobody knows yet whether there is one."""
    if fleet.environment.settings.embedded_cloud is not None:
        return f"connection of {thing_name}: not dropped, this cloud has no DeleteConnection; no new one comes about"
    return f"connection of {thing_name}: dropped, if there is one; where these credentials may not, AWS ends it within minutes"


def drop_connection(thing_name: str) -> str:
    """Ends the device's connection and session at once; returns what came of it, in a line.

    Its client id is its thing name: its policy allows no other. It gets no last word: its will message is the device's own.
    """
    data = aws.iot_data()
    try:
        data.delete_connection(clientId=thing_name, cleanSession=True, preventWillMessage=True)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return f"connection of {thing_name}: there was none"
        if code in aws.DENIED:
            why = "these credentials may not (iot:DeleteConnection)"
        elif code == "InvalidRequestException" and "Unsupported" in error.response["Error"].get("Message", ""):
            why = "this cloud has no DeleteConnection"
        else:
            raise
        # The certificate is INACTIVE by now, and AWS drops its connections by itself: that is slower, and not worth a failure.
        return f"connection of {thing_name}: not dropped, {why}; AWS ends it within minutes, as the certificate is INACTIVE"
    return f"connection of {thing_name}: dropped"


def reinstate_steps(target: Target) -> list[str]:
    """What letting a serial in again does, for people."""
    steps = []
    for certificate in target.certificates:
        if certificate.status != "missing":
            what = f"detached and kept, {', '.join(certificate.things)} uses it as well" if certificate.things else "deleted"
            steps.append(f"certificate {certificate.certificate_id} ({certificate.status}): {what}")
    if target.has_thing:
        # A thing that is there is only updated by a registration, and no created event follows: no shadow, no `provisioned`.
        steps.append(f"thing {target.thing_name}: deleted with its shadows and group memberships; the gate makes a new one")
    steps.append("registry row: revoked -> registered; a device with the serial number may come in, with a new certificate")
    return steps


def check_reinstatable(fleet: Fleet, target: Target) -> None:
    """Raises FleetgateError unless the serial is revoked, and what would go with it is the gate's own work."""
    env = fleet.environment.name
    if target.status != "revoked":
        remedy = f"to let a device start over: fleetgate revoke --env {env} {target.serial}, then this again"
        raise fail(f"serial {target.serial}", f"is {target.status}, not revoked; nothing was changed", remedy)
    if target.has_thing and not target.row.get("thingName"):
        thing = aws.client("iot").describe_thing(thingName=target.thing_name)
        if thing.get("attributes", {}).get("serialNumber") != target.serial:
            remedy = "remove it, or rename it by making it anew, then run the same command again"
            raise fail(f"thing {target.thing_name}", "stands in the way, and is not of the gate's making", remedy)


def reinstate(fleet: Fleet, table: Registry, target: Target, deed: Deed) -> None:
    """Takes away what is left of the device, then sets the row back. deed: gets each step."""
    policies = [names.policy for names in fleet.names.types.values()]
    if target.has_thing and target.thing_name is not None:
        decommission.remove_device(target.thing_name)
        deed.did(f"thing {target.thing_name}: deleted")
    for certificate in target.certificates:
        # The row's, if it was not attached any more, and those that another thing uses: they lose our policies.
        if certificate.status != "missing":
            gone = decommission.release_certificate(certificate.certificate_id, policies)
            deed.did(f"certificate {certificate.certificate_id}: {'deleted' if gone else 'detached'}")
    if not table.reinstate(target.serial, target.row.get("certificateId")):
        remedy = f"look at it: fleetgate devices show --env {fleet.environment.name} {target.serial}; then run it again"
        raise fail(f"serial {target.serial}", "its row was changed meanwhile, and was left as it is", remedy)
    deed.did("registry row: revoked -> registered")


def _deactivate(certificate: Certificate) -> None:
    iot = aws.client("iot")
    try:
        iot.update_certificate(certificateId=certificate.certificate_id, newStatus="INACTIVE")
    except iot.exceptions.ResourceNotFoundException:
        return


def _wait_for_registration(before: Row, say: Say) -> None:
    """A registration that the hook let through before the row was revoked may still be activating its certificate.

    By the row's times and not by its status, which an interrupted run has set to `revoked` already.
    """
    leased_at = time_of(before, "leasedAt")
    if "firstConnectedAt" in before or leased_at is None:
        return
    left = min(SETTLE_SECONDS, SETTLE_SECONDS - (time.time() - leased_at / 1000))
    if left > 0:
        say(f"it is coming in just now; waiting {left:.0f} s, so that no certificate is activated after this")
        time.sleep(left)
