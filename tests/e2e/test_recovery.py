"""Looking after a fleet on the wire: what is shown, revoked, let in again and tidied up is what devices feel."""

from __future__ import annotations

import json
import uuid

import pytest

from clouds import TYPE, row, wait_for, walk
from fleetgate import audit, aws, revocation
from fleetgate.device import RefusedByGate
from fleetgate.identity import IdentityFolder
from fleetgate.mqtt import DeviceError
from fleetgate.registry import Registry


@pytest.fixture
def serial(cloud):
    """A serial of its own for each test, registered."""
    number = f"TEMP-{uuid.uuid4().int % 700_000 + 100_000}"
    cloud.run("registry", "add", "--type", TYPE, number)
    return number


def provision(cloud, serial, keys, status=0):
    return cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(keys), status=status)


def test_a_device_is_listed_and_shown_with_all_that_it_got(cloud, serial, tmp_path):
    provision(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    listed = json.loads(cloud.run("devices", "list", "--type", TYPE, "--state", "active", "--limit", "0", "--json").stdout)
    assert serial in [found["serialNumber"] for found in listed["devices"]] and listed["after"] is None
    done = cloud.run("devices", "show", serial, "--json")
    found = json.loads(done.stdout)
    [certificate] = found["certificates"]
    assert (certificate["status"], certificate["attached"], certificate["inRegistry"]) == ("ACTIVE", True, True)
    assert certificate["policies"] == [f"fleetgate-{TYPE}"] and found["groups"] == [f"{TYPE}-devices"]
    assert found["thing"]["thingTypeName"] == TYPE and found["shadow"]["state"]["desired"]["enabled"] is True
    assert found["notKnown"] == ["connection"]  # the embedded cloud cannot tell; on AWS it can
    shown = done.stdout + done.stderr + cloud.run("devices", "show", serial).stdout
    body = (tmp_path / serial / "certificate.pem").read_text().splitlines()[5]
    assert "BEGIN" not in shown and body not in shown
    typo = cloud.run("devices", "show", serial.lower(), status=1)
    assert f"did you mean {serial}?" in typo.stderr


def test_a_revoked_device_is_cut_off_and_after_its_reinstatement_it_goes_the_whole_way_again(cloud, serial, tmp_path):
    provision(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    iot, thing, first = cloud.client("iot"), f"{TYPE}-{serial}", row(cloud, serial)["certificateId"]
    fresh_names = {"serialNumber", "deviceType", "status", "registeredAt"}

    told = cloud.run("revoke", serial, "--dry-run").stdout
    assert f"connection of {thing}: not dropped, this cloud has no DeleteConnection" in told
    assert row(cloud, serial)["status"] == "active"
    with walk(cloud, serial, tmp_path / serial).connect(IdentityFolder(tmp_path / serial).load()):
        done = cloud.run("revoke", serial, "--yes", "--reason", "lost in the field")
    assert f"{serial} is revoked" in done.stdout and "this cloud has no DeleteConnection" in done.stdout
    found = row(cloud, serial)
    assert (found["status"], found["revokedReason"]) == ("revoked", "lost in the field") and ":" in found["revokedBy"]
    assert iot.describe_certificate(certificateId=first)["certificateDescription"]["status"] == "INACTIVE"
    with pytest.raises(DeviceError):  # its certificate lets it in nowhere any more
        walk(cloud, serial, tmp_path / serial).connect(IdentityFolder(tmp_path / serial).load())
    with pytest.raises(RefusedByGate):  # and the gate gives it no other
        walk(cloud, serial, tmp_path / "anew").register()
    why = cloud.run("registry", "why", serial)
    assert "revoked" in why.stdout and f"fleetgate revoke --reinstate --env e2e {serial}" in " ".join(why.stdout.split())
    assert "is revoked already" in cloud.run("revoke", serial).stdout

    assert "registered" in cloud.run("revoke", serial, "--reinstate", "--yes").stdout
    assert set(row(cloud, serial)) == fresh_names and row(cloud, serial)["status"] == "registered"
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName=thing)
    provision(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    # Not only the connection: the created event has fired, so onboarding has written the time and the shadow.
    assert wait_for(lambda: "provisionedAt" in row(cloud, serial), True)
    second = json.loads(cloud.run("devices", "show", serial, "--json").stdout)
    assert [held["status"] for held in second["certificates"]] == ["ACTIVE"]
    assert second["certificates"][0]["certificateId"] != first and second["shadow"]["state"]["desired"]["enabled"] is True
    assert second["groups"] == [f"{TYPE}-devices"]
    audit = [json.loads(line) for line in (cloud.environment().build / "audit.jsonl").read_text().splitlines()]
    assert [entry["action"] for entry in audit if entry["subject"] == serial] == ["revoke", "reinstate"]


def test_a_run_that_is_killed_at_any_step_of_a_reinstatement_is_finished_by_the_next(cloud, serial, tmp_path, monkeypatch):
    provision(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    cloud.run("revoke", serial, "--yes")
    fleet = cloud.fleet()
    table = Registry(fleet.names.table)
    for step in ("delete_certificate", "delete_thing"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(aws.client("iot"), step, lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
            revocation.reinstate(fleet, table, revocation.find(fleet, table, serial), audit.Deed())
        assert row(cloud, serial)["status"] == "revoked"
    cloud.run("revoke", serial, "--reinstate", "--yes")
    provision(cloud, serial, tmp_path)
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"


def test_orphans_are_found_and_mended_and_their_devices_come_in_again(cloud, tmp_path):
    """One of each kind, made as life makes them; and beside them what is somebody else's, which stays."""
    cloud.run("orphans", "--fix", "--yes", "--older-than", "0", "--limit", "0")  # what other tests have left
    number = uuid.uuid4().int % 700_000 + 100_000
    no_thing, no_certificate, no_row, refused, whole = (f"TEMP-{number + n}" for n in range(5))
    names = cloud.fleet().names
    cloud.run("registry", "add", "--type", TYPE, no_thing, no_certificate, no_row, whole)
    for serial in (no_thing, no_certificate, no_row, whole):
        provision(cloud, serial, tmp_path)
        assert wait_for(lambda serial=serial: row(cloud, serial)["status"], "active") == "active"
    iot = cloud.client("iot")
    for serial in (no_thing, no_certificate):
        [principal] = iot.list_thing_principals(thingName=f"{TYPE}-{serial}")["principals"]
        iot.detach_thing_principal(thingName=f"{TYPE}-{serial}", principal=principal)
    iot.delete_thing(thingName=f"{TYPE}-{no_thing}")
    cloud.client("dynamodb").delete_item(TableName=names.table, Key={"serialNumber": {"S": no_row}})
    asked = walk(cloud, refused, tmp_path / "refused")
    with pytest.raises(RefusedByGate):  # the registry does not have it; its certificate stays pending
        asked.register()
    pending = IdentityFolder(tmp_path / "refused").load().certificate_id
    assert iot.describe_certificate(certificateId=pending)["certificateDescription"]["status"] == "PENDING_ACTIVATION"
    unattached = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=names.types[TYPE].policy, target=unattached["certificateArn"])
    foreign = iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    iot.create_thing(thingName="gateway-somebodys")
    kept = row(cloud, whole)

    def look():
        done = cloud.run("orphans", "--json", "--older-than", "0", "--limit", "0", status=None)
        return json.loads(done.stdout)

    try:
        wanted = {
            ("row without a thing", no_thing),
            ("thing without a certificate", f"{TYPE}-{no_certificate}"),
            ("thing without a row", f"{TYPE}-{no_row}"),
            ("certificate pending", pending),
            ("certificate unattached", unattached["certificateId"]),
        }
        found = wait_for(lambda: {(item["kind"], item["subject"]) for item in look()["orphans"]}, wanted)
        assert found == wanted and "gateway-somebodys" in {item["subject"] for item in look()["notJudged"]}
        assert "no orphans" in cloud.run("orphans").stdout  # all of them are too young to be judged
        done = cloud.run("orphans", "--fix", "--yes", "--older-than", "0")
        assert "mended 5 orphans" in done.stderr and "BEGIN" not in done.stdout + done.stderr
        assert look()["orphans"] == [] and row(cloud, whole) == kept
        assert iot.describe_certificate(certificateId=foreign) and iot.describe_thing(thingName="gateway-somebodys")
    finally:
        iot.delete_thing(thingName="gateway-somebodys")
        iot.update_certificate(certificateId=foreign, newStatus="INACTIVE")
        iot.delete_certificate(certificateId=foreign)
    cloud.run("registry", "add", "--type", TYPE, no_row)
    for serial in (no_thing, no_certificate, no_row):
        provision(cloud, serial, tmp_path)
        assert wait_for(lambda serial=serial: row(cloud, serial)["status"], "active") == "active"
        assert wait_for(lambda serial=serial: "provisionedAt" in row(cloud, serial), True)  # the created event has fired


def forgotten(cloud, *addresses):
    """Terraform's state as an apply leaves it that was ended at once: AWS has made these, and the state does not have them."""
    found = cloud.environment()
    path = found.build / "terraform.tfstate"
    state = json.loads(path.read_text(encoding="utf-8"))
    kept = [one for one in state["resources"] if f"{one.get('module', '')}.{one['type']}.{one['name']}" not in addresses]
    assert len(kept) == len(state["resources"]) - len(addresses)
    path.write_text(json.dumps(state | {"resources": kept, "serial": state["serial"] + 1}), encoding="utf-8")


def test_what_an_interrupted_apply_has_made_is_told_with_the_command_that_takes_it_over(cloud):
    kind, role = 'module.device_type["gateway"].aws_iot_thing_type.this', "module.audit.aws_iam_role.function"
    log = cloud.environment().build / "terraform.log"
    forgotten(cloud, kind, role)
    log.write_text("", encoding="utf-8")
    refused = cloud.run("plan", status=1).stderr
    assert "thing type gateway" in refused and "made by an apply that was interrupted" in refused
    log.write_text(f"{kind}: Creating...\n", encoding="utf-8")
    refused = cloud.run("plan", status=1).stderr
    assert "was interrupted before it was noted" in refused and f"state import --env {cloud.name} '{kind}' gateway" in refused
    assert "nothing was changed" in cloud.run("state", "import", kind, "gateway", "--dry-run").stderr
    assert "Nobody is there to answer" in cloud.run("state", "import", kind, "gateway", status=1).stderr
    assert "is in the state" in cloud.run("state", "import", kind, "gateway", "--yes").stdout
    # A role's creation is refused by AWS, so that only the apply meets it.
    cloud.run("plan")
    refused = cloud.run("apply", "--no-smoke", status=1).stderr
    assert f"state import --env {cloud.name} '{role}' fleetgate-audit" in refused, refused
    cloud.run("state", "import", role, "fleetgate-audit", "--yes")
    cloud.apply()
    assert "no changes" in cloud.run("plan").stdout
