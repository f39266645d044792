"""A canary's row in the registry: the lock that keeps two runs apart, and the record of every certificate that a run made.

A certificate stands in the row before it can be registered. So the next run can tell what a killed one left behind from a device
that somebody else brought in under the reserved serial: that one is never touched.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

from fleetgate import decommission, times
from fleetgate.registry import Registry, Row
from fleetgate.smoke_checker import EXPECTED_ERRORS, CheckFailed

#: How long a canary's row stays locked after the last sign of life of its run.
LOCK_SECONDS = 120
_RUN, _UNTIL, _CERTIFICATES = "smokeRun", "smokeUntil", "smokeCertificates"


class CanaryLock:
    """The lock on one canary. Every method raises CheckFailed if the canary is not, or no longer, this run's."""

    def __init__(self, registry: Registry, device_type: str, serial: str, thing: str, env: str) -> None:
        self.is_held = False
        self._registry = registry
        self._type = device_type
        self._serial = serial
        self._thing = thing
        self._env = env
        self._run = secrets.token_hex(8)
        self._certificates: set[str] = set()

    def take(self) -> bool:
        """Locks the serial, removes what an earlier run left and opens the serial; returns whether there was anything."""
        # Revoked until everything is clean, so that no device slips in meanwhile.
        left = self._registry.put_if_absent(self._row("revoked"))
        if left is not None:
            self._require_free(left)
            self._certificates = _recorded(left)
            expected = {_RUN: left[_RUN], "certificateId": left.get("certificateId")}
            if not self._registry.replace(self._row("revoked"), expected):
                raise CheckFailed(f"another run, or a device, took the canary {self._serial} in this moment")
        elif decommission.is_there(self._thing):
            # A run's row outlives its thing.
            self._registry.remove(self._serial, {_RUN: self._run})
            raise self._foreign(f"the thing {self._thing} is there, and no smoke run made it")
        try:
            self._remove_device()
        except (CheckFailed, *EXPECTED_ERRORS):
            self.release()
            raise
        self._certificates.clear()
        if not self._registry.replace(self._row("registered"), {_RUN: self._run, "certificateId": None}):
            raise self._lost()
        self.is_held = True
        return left is not None

    def renew(self) -> None:
        if not self._registry.set(self._serial, {_UNTIL: int(time.time()) + LOCK_SECONDS}, {_RUN: self._run}):
            self.is_held = False
            raise self._lost()

    def record(self, certificate_id: str) -> None:
        """Notes a certificate of this run. Before it is registered: from then on it would be a stranger's."""
        self._certificates.add(certificate_id)
        if not self._registry.set(self._serial, {_CERTIFICATES: " ".join(sorted(self._certificates))}, {_RUN: self._run}):
            raise self._lost()

    def give_back(self, certificate_id: str) -> None:
        """Makes the serial free again if it is leased to this certificate."""
        self._registry.replace(self._row("registered"), {_RUN: self._run, "certificateId": certificate_id})

    def require_own(self) -> Row:
        """The row, which no other run and no certificate of somebody else holds."""
        row = self._registry.get(self._serial) or {}
        if row.get(_RUN) != self._run:
            raise self._lost()
        self._require_made_by_smoke(row, self._certificates)
        return row

    def remove(self) -> None:
        """Removes the canary with its certificates, and then the row."""
        row = self.require_own()
        # Revoked first: then neither the gate nor a late onboarding event does anything for it any more.
        expected = {_RUN: self._run, "certificateId": row.get("certificateId")}
        if not self._registry.set(self._serial, {"status": "revoked"}, expected):
            raise CheckFailed(f"a device took the canary {self._serial} in this moment")
        self._remove_device()
        self._registry.remove(self._serial, {_RUN: self._run})

    def release(self) -> None:
        """Lets the next run try at once. Never raises: it is called where something else has failed already."""
        with suppress(*EXPECTED_ERRORS):
            self._registry.set(self._serial, {_UNTIL: 0}, {_RUN: self._run})

    def _row(self, status: str) -> Row:
        row: Row = {
            "serialNumber": self._serial,
            "deviceType": self._type,
            "status": status,
            "registeredAt": times.now(),
            _RUN: self._run,
            _UNTIL: int(time.time()) + LOCK_SECONDS,
        }
        return row | ({_CERTIFICATES: " ".join(sorted(self._certificates))} if self._certificates else {})

    def _require_free(self, row: Row) -> None:
        if _RUN not in row:
            holder = f"certificate {row['certificateId']}" if row.get("certificateId") else "somebody"
            raise self._foreign(f"{self._serial} is held by {holder}, and no smoke run put it into the registry")
        self._require_made_by_smoke(row, _recorded(row))
        rest = int(row.get(_UNTIL, 0)) - int(time.time())
        if rest > 0:
            what = f"another run ({row[_RUN]}) has the canary {self._serial}"
            raise CheckFailed(what, "two runs at once, or one that was killed", f"try again in {rest} s at the latest")

    def _require_made_by_smoke(self, row: Row, made: set[str]) -> None:
        if row.get("certificateId") and row["certificateId"] not in made:
            raise self._foreign(f"{self._serial} is held by certificate {row['certificateId']}, which no smoke run made")

    def _remove_device(self) -> None:
        strangers = decommission.principals(self._thing) - self._certificates
        if strangers:
            raise self._foreign(f"{self._thing} has certificate {', '.join(sorted(strangers))}, which no smoke run made")
        gone = decommission.remove_device(self._thing)
        for certificate_id in self._certificates - set(gone):
            decommission.remove_certificate(certificate_id)

    def _lost(self) -> CheckFailed:
        what = f"another run has taken the canary {self._serial} away"
        return CheckFailed(what, "this run stood still for too long, or somebody removed the row", "run it again, alone")

    def _foreign(self, what: str) -> CheckFailed:
        cause = "somebody with a claim registered the serial that the catalogue reserves as canary_serial; it was left as it is"
        next_step = (
            f"look: fleetgate registry show {self._serial} {self._env}; if it is nobody's, set its certificate INACTIVE, delete"
            f" certificate, thing {self._thing} and row, and run the checks again"
        )
        return CheckFailed(what, cause, next_step)


def _recorded(row: Row) -> set[str]:
    return set(str(row.get(_CERTIFICATES, "")).split())
