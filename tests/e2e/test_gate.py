"""The gate on the wire: real devices over MQTT with mutual TLS, the deployed hook, IAM and IoT policies enforced."""

from __future__ import annotations

import json
import re
import stat
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

import hook_events
import lambdas
from checkouts import ROOT
from clouds import TYPE, row, wait_for, walk
from fleetgate import device, identity, package
from fleetgate.identity import IdentityFolder


@pytest.fixture
def serial(cloud, request):
    """A serial of its own for each test, registered."""
    number = f"TEMP-{sum(request.node.name.encode()) % 100_000 + 500_000:06}"
    cloud.run("registry", "add", "--type", TYPE, number)
    return number


def test_the_smoke_checks_pass_and_leave_nothing_behind(cloud, tmp_path):
    done = cloud.run("smoke", "--json", "--junit", str(tmp_path / "smoke.xml"))
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"passed"}
    for name in cloud.fleet().catalogue.device_types:
        assert any(name in check["name"] for check in checks)
    suite = xml.etree.ElementTree.parse(tmp_path / "smoke.xml").getroot()
    assert len(suite.findall(".//testcase")) == len(checks) and not suite.findall(".//failure")
    canaries = [kind.canary_serial for kind in cloud.fleet().catalogue.device_types.values()]
    assert [row(cloud, serial) for serial in canaries] == [{}] * len(canaries)
    things = {thing["thingName"] for thing in cloud.client("iot").list_things()["things"]}
    assert not things & {
        cloud.fleet().names.types[n].thing(k.canary_serial) for n, k in cloud.fleet().catalogue.device_types.items()
    }


@pytest.mark.parametrize(
    "break_it, mend_it, failing",
    [
        pytest.param(
            lambda c, n: c.client("iot").update_provisioning_template(templateName=n.template, enabled=False),
            lambda c, n: c.client("iot").update_provisioning_template(templateName=n.template, enabled=True),
            "template",
            id="template disabled",
        ),
        pytest.param(
            lambda c, n: c.client("iot").create_policy_version(
                policyName=n.types["gateway"].policy,
                policyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}',
                setAsDefault=True,
            ),
            lambda c, n: (
                c.client("iot").set_default_policy_version(policyName=n.types["gateway"].policy, policyVersionId="1"),
                c.client("iot").delete_policy_version(policyName=n.types["gateway"].policy, policyVersionId="2"),
            ),
            "polic",
            id="policy opened by hand",
        ),
    ],
)
def test_the_smoke_checks_see_what_somebody_changed_and_say_the_next_step(cloud, break_it, mend_it, failing):
    names = cloud.fleet().names
    break_it(cloud, names)
    try:
        done = cloud.run("smoke", "--json", "--type", "gateway", status=1)
    finally:
        mend_it(cloud, names)
    failed = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "failed"]
    assert any(failing in check["name"] for check in failed), failed
    assert all(check["cause"] and check["next_step"] for check in failed)
    assert row(cloud, cloud.fleet().catalogue.device_types["gateway"].canary_serial) == {}
    assert cloud.run("smoke", "--type", "gateway").returncode == 0


def test_fifty_certificates_that_claim_one_serial_at_once_have_one_winner(cloud, serial, tmp_path, monkeypatch):
    """The real hook against the embedded cloud's real table, over HTTP, from fifty threads."""
    fleet = cloud.fleet()
    arn = cloud.client("iot").describe_provisioning_template(templateName=fleet.names.template)["templateArn"]
    for name, value in {"TABLE_NAME": fleet.names.table, "TEMPLATE_ARN": arn, "LEASE_SECONDS": "60"}.items():
        monkeypatch.setenv(name, value)
    loaded = lambdas.deploy(
        "provisioning_hook", tmp_path, package.catalogue_slice("provisioning_hook", fleet.catalogue, fleet.names)
    )
    events = [hook_events.request(f"device-{n}", SerialNumber=serial) | {"templateArn": arn} for n in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda event: loaded.handler.handler(event, None), events))
    winners = [event["certificateId"] for event, answer in zip(events, answers, strict=True) if answer["allowProvisioning"]]
    assert len(winners) == 1
    assert row(cloud, serial)["certificateId"] == winners[0]
    again = next(event for event in events if event["certificateId"] == winners[0])
    assert loaded.handler.handler(again, None)["allowProvisioning"] is True
    assert row(cloud, serial)["certificateId"] == winners[0]


def test_eight_devices_with_one_serial_on_the_wire_have_one_winner(cloud, serial, tmp_path):
    def claim(number):
        try:
            return walk(cloud, serial, tmp_path / str(number)).register()[0].certificate_id
        except device.RefusedByGate:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [certificate for certificate in pool.map(claim, range(8)) if certificate]
    assert winners == [row(cloud, serial)["certificateId"]]


def test_a_device_comes_to_be_active_with_thing_group_policy_and_shadow(cloud, serial, tmp_path):
    cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--claim", "factory-2", "--keys", str(tmp_path))
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    thing = f"{TYPE}-{serial}"
    found = row(cloud, serial)
    assert found["thingName"] == thing and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["provisionedAt"])
    iot = cloud.client("iot")
    described = iot.describe_thing(thingName=thing)
    assert described["thingTypeName"] == TYPE
    assert described["attributes"]["location"] == "unknown" and described["attributes"]["serialNumber"] == serial
    assert described["attributes"]["powerSource"] == "unknown"
    assert [g["groupName"] for g in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]] == [f"{TYPE}-devices"]
    (principal,) = iot.list_thing_principals(thingName=thing)["principals"]
    assert [p["policyName"] for p in iot.list_attached_policies(target=principal)["policies"]] == [f"fleetgate-{TYPE}"]
    keys = [path for path in tmp_path.rglob("*") if path.is_file() and "PRIVATE KEY" in path.read_text()]
    assert keys and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys)
    assert not [p for p in tmp_path.rglob("*.json") if "PRIVATE KEY" in p.read_text()]
    # The same command again goes on with the identity that is there, and asks for nothing new.
    before = sorted(c["certificateId"] for c in iot.list_certificates()["certificates"])
    cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--claim", "factory-2", "--keys", str(tmp_path))
    assert sorted(c["certificateId"] for c in iot.list_certificates()["certificates"]) == before


def test_a_device_that_loses_power_before_it_registers_goes_on_with_the_same_certificate(cloud, serial, tmp_path, monkeypatch):
    first = walk(cloud, serial, tmp_path)

    class PowerLost(Exception):
        pass

    def lose_power(*_):
        raise PowerLost

    monkeypatch.setattr(first, "_register", lose_power)
    with pytest.raises(PowerLost):
        first.register()
    created = IdentityFolder(tmp_path).load()
    assert created is not None and not created.is_finished
    finished, resumed = walk(cloud, serial, tmp_path).register()
    assert resumed and finished.certificate_id == created.certificate_id


def test_a_device_that_lost_its_keys_half_way_gets_in_once_the_lease_has_run_out(cloud, serial, tmp_path):
    """The hook has leased the serial, then everything is lost: the serial is free again after the lease, and not before."""
    fleet = cloud.fleet()
    arn = cloud.client("iot").describe_provisioning_template(templateName=fleet.names.template)["templateArn"]
    event = hook_events.request("lost", SerialNumber=serial) | {"templateArn": arn}
    answer = cloud.client("lambda").invoke(FunctionName=fleet.names.hook, Payload=json.dumps(event).encode())
    assert json.load(answer["Payload"])["allowProvisioning"] is True
    with pytest.raises(device.RefusedByGate):
        walk(cloud, serial, tmp_path / "early").register()
    expires = int(row(cloud, serial)["leaseExpiresAt"]) / 1000
    time.sleep(max(0.0, expires - time.time()) + 0.1)
    late, _ = walk(cloud, serial, tmp_path / "late").register()
    assert row(cloud, serial)["certificateId"] == late.certificate_id


def test_an_inactive_claim_lets_nobody_in_and_the_other_claim_still_does(cloud, serial, tmp_path):
    iot = cloud.client("iot")
    certificate = identity.certificate_id((cloud.environment().claim_folder("factory-1") / "certificate.pem").read_text())
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    try:
        refused = cloud.run(
            "device", "provision", "--type", TYPE, "--serial", serial, "--claim", "factory-1", "--keys", str(tmp_path), status=1
        )
        assert "Traceback" not in refused.stderr
        assert row(cloud, serial)["status"] == "registered"
        cloud.run("device", "provision", "--type", TYPE, "--serial", serial, "--claim", "factory-2", "--keys", str(tmp_path))
    finally:
        iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")


def test_many_devices_come_in_side_by_side_with_a_summary(cloud, tmp_path):
    cloud.run("registry", "add", "--type", "humidity-sensor", "HUM-000100..HUM-000109")
    done = cloud.run(
        "device", "provision", "--type", "humidity-sensor", "--count", "10", "--parallel", "4", "--keys", str(tmp_path), "--json"
    )
    report = json.loads(done.stdout)
    assert len(report["provisioned"]) == 10 and not report["failed"]
    serials = [f"HUM-{n:06}" for n in range(100, 110)]
    assert wait_for(lambda: {row(cloud, s)["status"] for s in serials}, {"active"}) == {"active"}


def test_nothing_that_was_written_or_logged_holds_a_key_or_a_token(cloud):
    """Logs of both functions and the embedded cloud's, state, plan record and variables."""
    fleet = cloud.fleet()
    logs = cloud.client("logs")
    text = ""
    for function in (fleet.names.hook, fleet.names.onboarding):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
        text += "\n".join(event["message"] for page in pages for event in page["events"])
    assert "provisioning_decision" in text
    build = fleet.environment.build
    text += (build / "fleet.tfvars.json").read_text()
    assert "PRIVATE KEY" not in text and "BEGIN CERTIFICATE-----" not in text and "wnershipToken" not in text
    assert "PRIVATE KEY" not in (build / "terraform.tfstate").read_text()


def test_the_cloud_listens_on_the_loopback_interface_only(cloud):
    """Reads the kernel's table of listeners, so that what the cloud says of itself does not count."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("no /proc/net/tcp on this system")
    settings = cloud.environment().settings.embedded_cloud
    listeners = {}
    for name in (table, Path("/proc/net/tcp6")):
        for line in name.read_text().splitlines()[1:] if name.exists() else ():
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in (settings.gateway_port, settings.mqtt_port):
                listeners[int(port, 16)] = address
    assert listeners == {settings.gateway_port: "0100007F", settings.mqtt_port: "0100007F"}


def test_a_second_cloud_on_the_same_ports_is_not_started(cloud, tmp_path):
    assert "already running" in cloud.run("cloud", "up").stdout
    other = tmp_path / "other"
    for name in ("catalogue", "terraform/envs"):
        (other / name).mkdir(parents=True)
        for path in (cloud.root / name).iterdir():
            if path.is_file():
                (other / name / path.name).write_bytes(path.read_bytes())
    refused = cloud.fleetgate("--root", str(other), "cloud", "up", "--env", "e2e", status=1)
    assert "the port is taken" in refused.stderr and "Traceback" not in refused.stderr


def test_the_state_of_the_cloud_survives_a_restart(own_cloud):
    iot = own_cloud.client("iot")
    iot.create_thing(thingName="survivor")
    own_cloud.run("cloud", "down")
    assert own_cloud.run("cloud", "status", status=1).stdout.startswith("embedded cloud: down")
    own_cloud.run("cloud", "up")
    assert [t["thingName"] for t in iot.list_things()["things"]] == ["survivor"]


def test_the_test_environment_uses_this_checkout_and_no_account():
    assert sys.version_info >= (3, 11) and (ROOT / "catalogue").is_dir()
    assert boto3.session.Session().get_credentials().access_key == "testing"
