"""A factory changes its claim: the new one lets in, the old one does not any more, and who came in by it is left alone."""

from __future__ import annotations

import json
import stat
import time

import pytest

from clouds import ENVIRONMENT, TYPE, in_process, register, row, wait_for
from fleetgate import decisions, identity, provisioning
from fleetgate.device import Device, DeviceProvisioner, RetryPolicy, hello, telemetry_topic
from fleetgate.identity import IdentityFolder
from fleetgate.mqtt import DeviceError

OLD, NEW = "factory-2", "factory-2-r2"


def way(cloud, serial, folder, claim):
    fleet = cloud.fleet()
    kind = fleet.catalogue.device_types[TYPE]
    device = Device(serial, TYPE, kind.manufacturers[0], kind.firmware.minimum)
    retry = RetryPolicy(attempts=1, bad_request_attempts=1)
    return DeviceProvisioner(provisioning.gate(fleet, claim), device, IdentityFolder(folder), retry)


def claim_id(cloud, claim):
    return identity.certificate_id((cloud.environment().claim_folder(claim) / "certificate.pem").read_text())


def test_a_claim_is_changed_for_a_new_one_and_devices_that_came_in_by_the_old_one_go_on(cloud, tmp_path, capsys):
    iot, path = cloud.client("iot"), cloud.root / f"terraform/envs/{ENVIRONMENT}.yaml"
    before, old = path.read_text(encoding="utf-8"), claim_id(cloud, OLD)
    by_old, by_new, late, later = (register(cloud) for _ in range(4))
    first = way(cloud, by_old, tmp_path / by_old, OLD)
    own, _ = first.register()
    try:
        status, *said = in_process(cloud, capsys, "claim", "rotate", OLD, "--yes")
        key = cloud.environment().claim_folder(NEW) / "key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600 and status == 0 and "PRIVATE KEY-" not in "".join(said)
        assert path.read_text(encoding="utf-8") == before.replace(f"  {OLD}: {{}}\n", f"  {OLD}: {{}}\n  {NEW}: {{}}\n")
        cloud.apply()
        way(cloud, by_new, tmp_path / by_new, NEW).register()  # both are good now
        assert iot.describe_certificate(certificateId=old)["certificateDescription"]["status"] == "ACTIVE"

        done = cloud.run("claim", "retire", OLD, "--now", "--yes", "--reason", "rotated")
        assert f"certificate {old}: ACTIVE -> INACTIVE" in done.stdout
        with pytest.raises(DeviceError):  # the broker refuses it before any apply
            way(cloud, late, tmp_path / late, OLD).register()
        assert not (tmp_path / late / "key.pem").exists()
        cloud.apply()
        assert "retired already" in in_process(cloud, capsys, "claim", "retire", OLD, "--yes")[1]
        iot.update_certificate(certificateId=old, newStatus="ACTIVE")  # by hand, past the file: then the hook refuses it
        with pytest.raises(DeviceError):
            way(cloud, later, tmp_path / later, OLD).register()

        def reasons():
            log = decisions.Log(cloud.fleet().names.hook)
            return [record["reason"] for record in log.decisions("serialNumber", later, int(time.time() * 1000) - 600_000)]

        assert wait_for(reasons, ["unknown_claim"]) == ["unknown_claim"]
        assert [row(cloud, serial)["status"] for serial in (late, later)] == ["registered"] * 2

        with way(cloud, by_old, tmp_path / by_old, NEW).connect(own) as session:
            topic = telemetry_topic(cloud.fleet().catalogue.device_types[TYPE].topics.publish[0], TYPE, str(own.thing_name))
            session.publish(topic, hello(first.device), 10)
        assert wait_for(lambda: row(cloud, by_old)["status"], "active") == "active"
        log = [json.loads(line) for line in (cloud.environment().build / "audit.jsonl").read_text().splitlines()]
        [entry] = [entry for entry in log if entry["action"] == "claim retire"]
        assert (entry["subject"], entry["why"], entry["complete"]) == (OLD, "rotated", True)

        assert "it is still good" in in_process(cloud, capsys, "claim", "retire", "factory-1", "--yes")[2]  # leaves one
        status, _, said = in_process(cloud, capsys, "claim", "retire", NEW, "--now", "--yes")
        assert status == 1 and "is the last active one" in said
        forced = cloud.run("claim", "retire", NEW, "--now", "--force", "--yes")
        assert "nobody can come in now" in forced.stderr and f"claim rotate {NEW}" in forced.stderr
        status = iot.describe_certificate(certificateId=claim_id(cloud, NEW))["certificateDescription"]["status"]
        assert status == "INACTIVE" and cloud.environment().settings.claims[NEW].active
    finally:
        path.write_text(before, encoding="utf-8")
        cloud.apply()
    assert way(cloud, late, tmp_path / late, OLD).register()[0].thing_name
