"""The gate on the wire: real devices over MQTT with mutual TLS, the deployed hook, IAM and IoT policies enforced."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import stat
import time
import uuid
import xml.etree.ElementTree
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hook_events
import lambdas
from clouds import ENVIRONMENT, TYPE, entered, row, wait_for, walk
from fleetgate import decisions, decommission, device, identity, package, provisioning, smoke, smoke_canary, smoke_hook
from fleetgate.device import Device, DeviceProvisioner
from fleetgate.identity import IdentityFolder


def certificates(cloud):
    pages = cloud.client("iot").get_paginator("list_certificates").paginate()
    return sorted(certificate["certificateId"] for page in pages for certificate in page["certificates"])


def things(cloud):
    pages = cloud.client("iot").get_paginator("list_things").paginate()
    return sorted(thing["thingName"] for page in pages for thing in page["things"])


def claim_id(cloud, claim="factory-1"):
    return identity.certificate_id((cloud.environment().claim_folder(claim) / "certificate.pem").read_text())


@pytest.fixture
def serial(cloud):
    """A serial of its own for each test, registered."""
    number = f"TEMP-{uuid.uuid4().int % 700_000 + 100_000}"
    cloud.run("registry", "add", "--type", TYPE, number)
    return number


def test_the_smoke_checks_pass_and_leave_nothing_behind(cloud, tmp_path):
    before, began_ms = (certificates(cloud), things(cloud)), time.time() * 1000
    done = cloud.run("smoke", "--json", "--junit", str(tmp_path / "smoke.xml"))
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"passed"}
    for name in cloud.fleet().catalogue.device_types:
        assert any(name in check["name"] for check in checks)
    suite = xml.etree.ElementTree.parse(tmp_path / "smoke.xml").getroot()
    assert len(suite.findall(".//testcase")) == len(checks) and not suite.findall(".//failure")
    canaries = [kind.canary_serial for kind in cloud.fleet().catalogue.device_types.values()]
    assert [row(cloud, serial) for serial in canaries] == [{}] * len(canaries)
    assert (certificates(cloud), things(cloud)) == before
    # Each denial was provoked. None counts as a device's, or every apply would come nearer to an alarm.
    with entered(cloud):
        told = decisions.Log(cloud.fleet().names.hook).all(int(began_ms))
    told = [one for one in told if decisions.timestamp(one) >= began_ms]
    assert {one["reason"] for one in told} == {"allowed", "already_provisioned", "malformed_firmware"}
    assert [one for one in told if not decisions.is_canary(one)] == []


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
    before = certificates(cloud), things(cloud)
    break_it(cloud, names)
    try:
        done = cloud.run("smoke", "--json", "--type", "gateway", status=1)
    finally:
        mend_it(cloud, names)
    failed = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "failed"]
    assert any(failing in check["name"] for check in failed), failed
    assert all(check["cause"] and check["next_step"] for check in failed)
    assert row(cloud, cloud.fleet().catalogue.device_types["gateway"].canary_serial) == {}
    assert (certificates(cloud), things(cloud)) == before
    assert cloud.run("smoke", "--type", "gateway").returncode == 0


def allow(fleet, name, action, resource):
    """The fleet with one more statement in a policy, as if its template had always had it."""
    arn = f"arn:aws:iot:us-east-1:000000000000:{resource}"
    policy = fleet.policies[name]
    opened = {**policy, "Statement": [*policy["Statement"], {"Effect": "Allow", "Action": action, "Resource": arn}]}
    return dataclasses.replace(fleet, policies={**fleet.policies, name: opened})


@pytest.mark.parametrize(
    "name, action, resource, failing, saw",
    [
        (TYPE, "iot:Publish", "topic/sensors/temperature/*", f"device.{TYPE}.bounds", "publish to sensors/temperature/"),
        (TYPE, "iot:Publish", "topic/$aws/things/*/shadow/update", f"device.{TYPE}.bounds", "/shadow/update"),
        (TYPE, "iot:Publish", "topic/$aws/things/*/jobs/get", f"device.{TYPE}.bounds", "/jobs/get"),
        (TYPE, "iot:Subscribe", "topicfilter/config/*", f"device.{TYPE}.bounds", "subscribe to config/"),
        (TYPE, "iot:Connect", "client/*", f"device.{TYPE}.bounds", "connect as"),
        ("claim", "iot:Publish", "topic/sensors/*", "claim.factory-1.bounds", "publish to sensors/temperature/"),
        ("claim", "iot:Subscribe", "topicfilter/*", "claim.factory-1.bounds", "subscribe to #"),
        ("claim", "iot:Connect", "client/*", "claim.factory-1.bounds", "connect as"),
    ],
    ids=["telemetry", "shadow", "jobs", "subscribe", "connect", "claim publishes", "claim hears all", "claim connects"],
)
def test_a_policy_whose_template_is_too_loose_fails_the_bounds_and_nothing_else(cloud, name, action, resource, failing, saw):
    """The deployed policy is the rendered one, so only an attempt on the wire can tell."""
    iot, fleet, before = cloud.client("iot"), cloud.fleet(), (certificates(cloud), things(cloud))
    policy = fleet.names.claim_policy if name == "claim" else fleet.names.types[name].policy
    opened = allow(fleet, name, action, resource)
    kept = iot.get_policy(policyName=policy)["defaultVersionId"]
    document = json.dumps(opened.policies[name])
    made = iot.create_policy_version(policyName=policy, policyDocument=document, setAsDefault=True)["policyVersionId"]
    try:
        checks = smoke.run(opened, [TYPE], "factory-1")
    finally:
        iot.set_default_policy_version(policyName=policy, policyVersionId=kept)
        iot.delete_policy_version(policyName=policy, policyVersionId=made)
    failed = [check for check in checks if check.status == "failed"]
    assert [check.name for check in failed] == [failing], failed
    assert failed[0].detail.startswith("allowed: ") and saw in failed[0].detail and failed[0].cause and failed[0].next_step
    assert not [check for check in checks if check.status == "skipped"]
    assert (certificates(cloud), things(cloud)) == before


@pytest.mark.parametrize(
    "file, old, new, saw",
    [
        ("decision.py", "return Reason.ALREADY_PROVISIONED", "raise RuntimeError('crashed')", "the hook logged no decision"),
        ("decision.py", "return Reason.ALREADY_PROVISIONED", "return Reason.LEASE_RUNNING", "reason is lease_running"),
        ("handler.py", "    print(", "    verdict.refusal == 'already_provisioned' or print(", "the hook logged no decision"),
    ],
    ids=["crashes", "has another reason", "says nothing"],
)
def test_a_hook_that_keeps_a_second_claim_out_for_the_wrong_reason_fails_the_check(cloud, monkeypatch, file, old, new, saw):
    """AWS takes a crash for a no, so the second certificate is kept out in any case."""
    fleet, functions = cloud.fleet(), cloud.client("lambda")
    before = certificates(cloud), things(cloud)
    package_file = fleet.environment.build / "provisioning_hook.zip"
    broken = io.BytesIO()
    with zipfile.ZipFile(package_file) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode()
            assert name != file or old in content
            target.writestr(name, content.replace(old, new) if name == file else content)
    monkeypatch.setattr(smoke_canary, "FOLLOW_SECONDS", 3.0)
    functions.update_function_code(FunctionName=fleet.names.hook, ZipFile=broken.getvalue())
    try:
        checks = smoke.run(fleet, [TYPE], "factory-1")
    finally:
        functions.update_function_code(FunctionName=fleet.names.hook, ZipFile=package_file.read_bytes())
    (failed,) = [check for check in checks if check.status == "failed"]
    assert failed.name == f"device.{TYPE}.second_claim" and saw in failed.detail
    assert (certificates(cloud), things(cloud)) == before


def test_a_device_that_a_stranger_brought_in_under_the_reserved_serial_is_not_the_smoke_checks_to_remove(cloud, tmp_path):
    fleet = cloud.fleet()
    serial = fleet.catalogue.device_types["humidity-sensor"].canary_serial
    thing = f"humidity-sensor-{serial}"
    cloud.client("dynamodb").put_item(
        TableName=fleet.names.table,
        Item={
            name: {"S": value}
            for name, value in {"serialNumber": serial, "deviceType": "humidity-sensor", "status": "registered"}.items()
        },
    )  # what open enrolment would let a stranger do by himself
    stranger = DeviceProvisioner(
        provisioning.gate(fleet, "factory-1"),
        Device(serial, "humidity-sensor", "AcmeSensors", "1.0.0"),
        IdentityFolder(tmp_path),
    )
    certificate = stranger.register()[0].certificate_id
    assert wait_for(lambda: row(cloud, serial)["status"], "provisioned") == "provisioned"
    before = certificates(cloud), things(cloud), row(cloud, serial)
    try:
        done = cloud.run("smoke", "--json", "--type", "humidity-sensor", status=1)
        assert (certificates(cloud), things(cloud), row(cloud, serial)) == before
    finally:
        decommission.remove_device(thing)
        cloud.client("dynamodb").delete_item(TableName=fleet.names.table, Key={"serialNumber": {"S": serial}})
    (failed,) = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "failed"]
    assert failed["name"] == "device.humidity-sensor.ready" and certificate in failed["detail"]
    assert "canary_serial" in failed["cause"] and f"fleetgate registry show {serial} --env e2e" in failed["next_step"]
    assert cloud.run("smoke", "--type", "humidity-sensor").returncode == 0


def test_fifty_certificates_that_claim_one_serial_at_once_have_one_winner(cloud, serial, tmp_path, monkeypatch):
    """The real hook against the embedded cloud's real table, over HTTP, from fifty threads."""
    fleet = cloud.fleet()
    arn = cloud.client("iot").describe_provisioning_template(templateName=fleet.names.template)["templateArn"]
    for name, value in {"TABLE_NAME": fleet.names.table, "TEMPLATE_ARN": arn, "LEASE_SECONDS": "60"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLAIM_CERTIFICATE_IDS", hook_events.CLAIM_CERTIFICATE)
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


def test_a_device_whose_fleet_was_made_anew_starts_over_and_keeps_its_old_key(cloud, serial, tmp_path):
    """What make destroy and make apply leave: no certificate, no thing, a new registry; and the identity on the device's disk."""
    words = ("device", "provision", "--type", TYPE, "--serial", serial, "--keys", str(tmp_path))
    cloud.run(*words)
    key, certificate = (tmp_path / serial / "key.pem").read_text(), row(cloud, serial)["certificateId"]
    decommission.remove_device(f"{TYPE}-{serial}")
    cloud.client("dynamodb").delete_item(TableName=cloud.fleet().names.table, Key={"serialNumber": {"S": serial}})
    told = cloud.run(*words, status=1)
    assert f"fleetgate registry add --env e2e --type {TYPE} {serial}" in told.stderr and "Traceback" not in told.stderr
    cloud.run("registry", "add", "--type", TYPE, serial)
    assert f"{serial}.old-1" in cloud.run(*words).stderr
    assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    assert row(cloud, serial)["certificateId"] != certificate
    assert (tmp_path / f"{serial}.old-1" / "key.pem").read_text() == key


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
    event = hook_events.request("lost", SerialNumber=serial) | {"templateArn": arn, "claimCertificateId": claim_id(cloud)}
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


def test_the_deployed_hook_lets_in_the_claims_that_are_active_in_the_environments_file_and_no_other(cloud, serial, tmp_path):
    """Retired there, a claim stays out even if somebody activates its certificate by hand."""
    hook, file = cloud.fleet().names.hook, f"terraform/envs/{ENVIRONMENT}.yaml"
    claims = [claim_id(cloud, "factory-1"), claim_id(cloud, "factory-2")]

    def known():
        settings = cloud.client("lambda").get_function_configuration(FunctionName=hook)["Environment"]["Variables"]
        return settings["CLAIM_CERTIFICATE_IDS"].split(",")

    def reasons():
        pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{hook}")
        decisions = smoke_hook.decisions_in(event["message"] for page in pages for event in page["events"])
        return {decision["reason"] for decision in decisions if decision["serialNumber"] == serial}

    def brings_in(claim):
        words = ("device", "provision", "--type", TYPE, "--serial", serial, "--claim", claim, "--keys", str(tmp_path / claim))
        done = cloud.run(*words, status=None)
        assert "Traceback" not in done.stderr
        return done.returncode == 0

    assert known() == sorted(claims)
    cloud.edit(file, "factory-2: {}", "factory-2: {active: false}")
    try:
        cloud.apply()
        assert known() == claims[:1]
        cloud.client("iot").update_certificate(certificateId=claims[1], newStatus="ACTIVE")
        assert not brings_in("factory-2")
        assert wait_for(reasons, {"unknown_claim"}) == {"unknown_claim"}
        assert row(cloud, serial)["status"] == "registered"
        assert brings_in("factory-1")
    finally:
        cloud.edit(file, "factory-2: {active: false}", "factory-2: {}")
        cloud.apply()
    assert known() == sorted(claims)


def test_many_devices_come_in_side_by_side_with_a_summary(cloud, tmp_path):
    cloud.run("registry", "add", "--type", "humidity-sensor", "HUM-000100..HUM-000109")
    done = cloud.run(
        "device", "provision", "--type", "humidity-sensor", "--count", "10", "--parallel", "4", "--keys", str(tmp_path), "--json"
    )
    report = json.loads(done.stdout)
    assert len(report["provisioned"]) == 10 and not report["failed"]
    serials = [f"HUM-{n:06}" for n in range(100, 110)]
    assert wait_for(lambda: {row(cloud, s)["status"] for s in serials}, {"active"}) == {"active"}


def test_nothing_that_was_written_or_logged_holds_a_key_or_a_token(cloud, serial, tmp_path, monkeypatch):
    """Logs of both functions and the embedded cloud's, state, plan record and variables; after a device came in, whose own
    key, certificate and token are looked for beside what such things look like."""
    first, tokens = walk(cloud, serial, tmp_path), []
    register = first._register
    monkeypatch.setattr(first, "_register", lambda *args: (tokens.append(args[-1].token), register(*args))[1])
    with first.connect(first.register()[0]):
        assert wait_for(lambda: row(cloud, serial)["status"], "active") == "active"
    secrets = {"token": tokens[0]}
    for name in ("key.pem", "certificate.pem"):
        body = (tmp_path / name).read_text().splitlines()[1:-1]
        secrets[name] = body[len(body) // 2]  # a line from the middle: the first ones are alike in all
    fleet = cloud.fleet()
    logs, build = cloud.client("logs"), fleet.environment.build
    texts = {name: (build / name).read_text() for name in ("fleet.tfvars.json", "plan.json", "terraform.tfstate")}
    texts["cloud.log"] = (build / "cloud" / "cloud.log").read_text(errors="replace")
    for function in (fleet.names.hook, fleet.names.onboarding):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
        texts[function] = "\n".join(event["message"] for page in pages for event in page["events"])
    assert serial in texts[fleet.names.hook] and serial in texts[fleet.names.onboarding] and texts["cloud.log"]
    for name, text in texts.items():
        assert "PRIVATE KEY" not in text, name
        assert [secret for secret, value in secrets.items() if value in text] == [], name
        if name != "terraform.tfstate":  # which holds the claims' certificates, and they are no secret
            assert "BEGIN CERTIFICATE-----" not in text and "wnershipToken" not in text, name


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


def test_a_refused_device_names_the_command_that_tells_why_it_was_refused(cloud, tmp_path):
    number = f"TEMP-{uuid.uuid4().int % 100_000 + 800_000}"
    with pytest.raises(device.RefusedByGate) as refused:
        walk(cloud, number, tmp_path).register()
    words = re.search(r"fleetgate (registry why \S+)", refused.value.remedy)[1].split()

    def reasons():
        done = cloud.run(*words, "--json", status=None)
        return [decision["reason"] for decision in json.loads(done.stdout)["decisions"]]

    assert wait_for(reasons, ["unknown_serial"]) == ["unknown_serial"]
    told = cloud.run(*words).stdout
    certificate = IdentityFolder(tmp_path).load().certificate_id
    assert all(text in told for text in ("refused: unknown_serial", TYPE, certificate[:12], claim_id(cloud)[:12]))
    assert f"now: {number} is not in the registry" in told
    # The next step is one that helps.
    next_step = re.search(r"fleetgate (registry add .*)", told)[1].split()
    cloud.fleetgate(*next_step)
    walk(cloud, number, tmp_path).register()
    assert wait_for(reasons, ["unknown_serial", "allowed"]) == ["unknown_serial", "allowed"]


def test_a_drained_serial_comes_in_again(cloud, tmp_path):
    kind, number = "pressure-sensor", cloud.fleet().catalogue.device_types["pressure-sensor"].canary_serial[:-1] + "7"
    cloud.run("registry", "add", "--type", kind, number)
    before = row(cloud, number)
    words = ("device", "provision", "--type", kind, "--serial", number, "--keys", str(tmp_path))
    cloud.run(*words)
    assert wait_for(lambda: row(cloud, number)["status"], "active") == "active"
    # Tests of faults may have left others of this type in the shared fleet.
    listed = json.loads(cloud.run("devices", "list", "--type", kind, "--limit", "0", "--json").stdout)["devices"]
    there = things(cloud)
    came = [d for d in listed if d["status"] not in ("registered", "revoked") and f"{kind}-{d['serialNumber']}" in there]
    freed = f"{len(came)} serial number{'s' * (len(came) != 1)} may come in again"
    assert freed in cloud.run("drain", "--type", kind, "--yes").stderr
    assert row(cloud, number) == before and f"{kind}-{number}" not in things(cloud)
    assert f"no device of type {kind}" in cloud.run("drain", "--type", kind, "--yes").stdout
    cloud.run(*words)
    assert wait_for(lambda: row(cloud, number)["status"], "active") == "active"
