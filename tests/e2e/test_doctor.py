"""Every cause that `fleetgate doctor` knows, produced for real: the gate or a device is broken, recognised, and mended.

What the embedded cloud cannot do: throttling and failure of AWS IoT itself, which the message that a device got tells
(tests/unit/test_diagnosis.py); and here, at botocore's boundary: GetConnection, and refused or throttled questions of its
own. AWS IoT's log, which it does not write, is written by hand.
"""

from __future__ import annotations

import io
import json
import re
import time
import uuid
import zipfile
from types import SimpleNamespace

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import hook_events
from clouds import ENVIRONMENT, TYPE, in_process, register, row, wait_for, walk
from fleetgate import aws, decommission, device, identity, provisioning
from fleetgate.device import RetryPolicy
from fleetgate.mqtt import DeviceError, MqttSession


@pytest.fixture
def serial(cloud):
    """A serial of its own for each test, registered."""
    return register(cloud)


@pytest.fixture
def doctor(cloud, capsys, tmp_path):
    """Asks the doctor; returns the names of the causes, and keeps the whole answer."""

    def ask(*words, message=None):
        if message is not None:
            path = tmp_path / "rejected.json"
            path.write_text(message if isinstance(message, str) else json.dumps(message), encoding="utf-8")
            words = (*words, "--rejected", str(path))
        status, out, _ = in_process(cloud, capsys, "doctor", *words, "--json")
        assert "BEGIN" not in out and "Traceback" not in out
        ask.answer = json.loads(out)
        causes = [cause["cause"] for cause in ask.answer["causes"]]
        assert status == {True: 0, False: 1, None: 2}[ask.answer["healthy"]] and (ask.answer["healthy"] is False) == bool(causes)
        assert all(cause["what"] and cause["nextStep"] for cause in ask.answer["causes"])
        return causes

    return ask


def comes_in(cloud, serial, folder):
    """One try, as a device that does not wait; returns whether it came in."""
    provisioner = walk(cloud, serial, folder)
    provisioner.retry = RetryPolicy(attempts=1, bad_request_attempts=1, step_seconds=8)
    try:
        provisioner.register()
    except DeviceError:
        return False
    return True


def claim_certificate(cloud, claim="factory-1"):
    text = (cloud.environment().claim_folder(claim) / "certificate.pem").read_text()
    certificate_id = identity.certificate_id(text)
    arn = cloud.client("iot").describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
    return SimpleNamespace(id=certificate_id, arn=arn)


def hook_code(cloud, old, new):
    """The hook's code with a text changed, as a zip."""
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(cloud.environment().build / "provisioning_hook.zip") as source,
        zipfile.ZipFile(changed, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name).decode()
            assert name != "handler.py" or old in content
            target.writestr(name, content.replace(old, new) if name == "handler.py" else content)
    return changed.getvalue()


class Gate:
    """Breaks one thing at the gate and puts it back; each method yields once, in between."""

    def __init__(self, cloud):
        self.cloud, self.names = cloud, cloud.fleet().names
        self.iot, self.functions, self.iam = cloud.client("iot"), cloud.client("lambda"), cloud.client("iam")
        self.claim = claim_certificate(cloud)

    def claim_inactive(self):
        self.iot.update_certificate(certificateId=self.claim.id, newStatus="INACTIVE")
        yield
        self.iot.update_certificate(certificateId=self.claim.id, newStatus="ACTIVE")

    def claim_policy_missing(self):
        self.iot.detach_policy(policyName=self.names.claim_policy, target=self.claim.arn)
        yield
        self.iot.attach_policy(policyName=self.names.claim_policy, target=self.claim.arn)

    def claim_policy_wrong(self):
        yield from self._other_policy(self.names.claim_policy)

    def claim_unknown(self):
        variables = self.functions.get_function_configuration(FunctionName=self.names.hook)["Environment"]["Variables"]
        others = claim_certificate(self.cloud, "factory-2").id
        self._environment(variables | {"CLAIM_CERTIFICATE_IDS": others})
        yield
        self._environment(variables)

    def template_disabled(self):
        self.iot.update_provisioning_template(templateName=self.names.template, enabled=False)
        yield
        self.iot.update_provisioning_template(templateName=self.names.template, enabled=True)

    def template_out_of_versions(self):
        name = self.names.template
        before = self.iot.describe_provisioning_template(templateName=name)
        body = json.loads(before["templateBody"]) | {"DeviceConfiguration": {"by": "hand"}}
        made = []
        while len(self.iot.list_provisioning_template_versions(templateName=name)["versions"]) < 5:
            answer = self.iot.create_provisioning_template_version(
                templateName=name, templateBody=json.dumps(body), setAsDefault=True
            )
            made.append(answer["versionId"])
        with pytest.raises(self.iot.exceptions.VersionsLimitExceededException):
            self.iot.create_provisioning_template_version(templateName=name, templateBody=json.dumps(body))
        yield
        self.iot.update_provisioning_template(templateName=name, defaultVersionId=before["defaultVersionId"])
        for version in made:
            self.iot.delete_provisioning_template_version(templateName=name, versionId=version)

    def hook_not_asked(self):
        hook = self.iot.describe_provisioning_template(templateName=self.names.template)["preProvisioningHook"]
        self.iot.update_provisioning_template(templateName=self.names.template, removePreProvisioningHook=True)
        yield
        self.iot.update_provisioning_template(templateName=self.names.template, preProvisioningHook=hook)

    def hook_not_callable(self):
        [statement] = json.loads(self.functions.get_policy(FunctionName=self.names.hook)["Policy"])["Statement"]
        self.functions.remove_permission(FunctionName=self.names.hook, StatementId=statement["Sid"])
        yield
        self.functions.add_permission(
            FunctionName=self.names.hook,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal="iot.amazonaws.com",
            SourceAccount=statement["Condition"]["StringEquals"]["AWS:SourceAccount"],
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        )

    def hook_lacks_permission(self):
        yield from self._role_without(f"{self.names.prefix}-provisioning-hook", "dynamodb:UpdateItem")

    def hook_timed_out(self):
        yield from self._hook_with("    now_ms = time", "    time.sleep(20)\n    now_ms = time")

    def hook_crashed(self):
        yield from self._hook_with("    now_ms = time", "    raise RuntimeError('boom')\n    now_ms = time")

    def hook_throttled(self):
        self.functions.put_function_concurrency(FunctionName=self.names.hook, ReservedConcurrentExecutions=0)
        yield
        self.functions.delete_function_concurrency(FunctionName=self.names.hook)

    def role_lacks_permission(self):
        yield from self._role_without(f"{self.names.prefix}-provisioning", "iot:AttachPolicy")

    def policy_changed(self):
        yield from self._other_policy(self.names.types[TYPE].policy)

    def _other_policy(self, name):
        kept = self.iot.get_policy(policyName=name)["defaultVersionId"]
        document = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'
        made = self.iot.create_policy_version(policyName=name, policyDocument=document, setAsDefault=True)["policyVersionId"]
        yield
        self.iot.set_default_policy_version(policyName=name, policyVersionId=kept)
        self.iot.delete_policy_version(policyName=name, policyVersionId=made)

    def _environment(self, variables):
        self.functions.update_function_configuration(FunctionName=self.names.hook, Environment={"Variables": variables})

    def _hook_with(self, old, new):
        self.functions.update_function_code(FunctionName=self.names.hook, ZipFile=hook_code(self.cloud, old, new))
        yield
        whole = (self.cloud.environment().build / "provisioning_hook.zip").read_bytes()
        self.functions.update_function_code(FunctionName=self.names.hook, ZipFile=whole)

    def _role_without(self, role, action):
        [name] = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        statements = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
        kept = {**policy, "Statement": [s for s in statements if s["Action"]]}
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(kept))
        yield
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


#: What is broken, whether devices feel it, and what else is told of it.
BROKEN = [
    ("claim_inactive", True, []),
    ("claim_policy_missing", True, []),
    ("claim_policy_wrong", True, []),
    ("claim_unknown", True, ["hook_denied"]),
    ("template_disabled", True, []),
    ("template_out_of_versions", False, []),
    ("hook_not_asked", True, []),
    ("hook_not_callable", True, []),
    ("hook_lacks_permission", True, []),
    ("hook_timed_out", True, []),
    ("hook_crashed", True, []),
    ("role_lacks_permission", True, ["lease_running", "certificate_pending"]),
    ("policy_changed", False, []),
    ("hook_throttled", True, []),
]


@pytest.mark.parametrize("cause, keeps_out, others", BROKEN, ids=[name for name, _, _ in BROKEN])
def test_what_is_broken_at_the_gate_is_recognised_and_when_it_is_mended_the_device_comes_in(
    cloud, doctor, serial, tmp_path, cause, keeps_out, others
):
    broken = getattr(Gate(cloud), cause)()
    next(broken)
    try:
        if keeps_out:
            assert not comes_in(cloud, serial, tmp_path / "device")
        found = wait_for(lambda: doctor(serial, "--claim", "factory-1"), [cause, *others], 10)
        assert found == [cause, *others], doctor.answer
    finally:
        next(broken, None)
    if cause != "template_out_of_versions":  # a device costs a second, and that one is not kept out
        assert comes_in(cloud, serial, tmp_path / "device")
    causes = [c for c in doctor(serial) if c not in ("never_connected", "shadow_missing")]  # it has only just come in
    assert causes == [], doctor.answer


def test_a_gate_that_is_gone_is_told_link_by_link_and_made_again_by_what_the_doctor_says(cloud, doctor):
    """From the far end, so that each new hole is first in the way; one apply, which is the next step of all of them."""
    kind = "pressure-sensor"
    number, names = register(cloud, kind), cloud.fleet().names
    own, iot = names.types[kind], cloud.client("iot")
    for thing in iot.list_things(thingTypeName=own.thing_type)["things"]:
        decommission.remove_device(thing["thingName"])

    def remove_thing_type():
        iot.deprecate_thing_type(thingTypeName=own.thing_type)
        iot.delete_thing_type(thingTypeName=own.thing_type)

    holes = [
        ("policy_missing", lambda: iot.delete_policy(policyName=own.policy)),
        ("group_missing", lambda: iot.delete_thing_group(thingGroupName=own.group)),
        ("thing_type_missing", remove_thing_type),
        ("hook_missing", lambda: cloud.client("lambda").delete_function(FunctionName=names.hook)),
        ("template_missing", lambda: iot.delete_provisioning_template(templateName=names.template)),
    ]
    wanted: list[str] = []
    try:
        for cause, make_hole in holes:
            make_hole()
            wanted.insert(0, cause)
            assert doctor(number) == wanted, doctor.answer
        assert doctor(number, "--claim", "0" * 64)[0] == "claim_missing"
    finally:
        steps = {cause["nextStep"] for cause in doctor.answer["causes"]}
        cloud.apply()
    assert f"fleetgate plan --env {ENVIRONMENT} && fleetgate apply --env {ENVIRONMENT}" in steps
    assert doctor(number) == []


@pytest.fixture(scope="module")
def inside(cloud, tmp_path_factory):
    """A device that is in, with its connection seen and its shadow written."""
    number, folder = register(cloud), tmp_path_factory.mktemp("inside")
    provisioner = walk(cloud, number, folder)
    with provisioner.connect(provisioner.register()[0]):
        assert wait_for(lambda: row(cloud, number)["status"], "active") == "active"
    assert wait_for(lambda: "provisionedAt" in row(cloud, number), True)
    return SimpleNamespace(serial=number, thing=f"{TYPE}-{number}", id=row(cloud, number)["certificateId"], folder=folder)


def test_a_device_that_is_in_is_healthy_by_each_of_its_names(cloud, doctor, inside):
    client_id = provisioning.gate(cloud.fleet(), "factory-1").claim_client_id(inside.serial)
    for who in (inside.serial, inside.thing, client_id):
        assert doctor(who) == [] and doctor.answer["healthy"] is True, doctor.answer
        assert (doctor.answer["serialNumber"], doctor.answer["thingName"]) == (inside.serial, inside.thing)
    states = {link["stage"]: link["state"] for link in doctor.answer["chain"]}
    assert states.pop("connection") == "not looked at" and set(states.values()) == {"ok"}
    shown = cloud.run("doctor", inside.thing)
    assert "nothing that was looked at is in its way" in shown.stderr and "this cloud cannot tell" in shown.stderr


def test_a_connection_that_aws_has_seen_end_is_recognised(cloud, doctor, inside, monkeypatch):
    answer = {"connected": False, "disconnectReason": "MQTT_KEEP_ALIVE_TIMEOUT"}
    monkeypatch.setattr(aws.iot_data(), "get_connection", lambda clientId: answer if clientId == inside.thing else None)
    assert doctor(inside.serial) == ["not_connected"]
    assert "MQTT_KEEP_ALIVE_TIMEOUT" in doctor.answer["causes"][0]["evidence"] and not doctor.answer["notLookedAt"]
    answer["connected"] = True
    assert doctor(inside.serial) == [] and {link["state"] for link in doctor.answer["chain"]} == {"ok"}


REFUSALS = [("AccessDeniedException", "these credentials may not: they need "), ("ThrottlingException", "too busy")]


@pytest.mark.parametrize("code, why", REFUSALS, ids=["denied", "throttled"])
def test_what_may_not_be_looked_at_is_said_and_the_rest_is_looked_at(cloud, doctor, inside, monkeypatch, code, why):
    call = BaseClient._make_api_call

    def refuse(client, operation, arguments):
        if operation in ("GetCallerIdentity", *allowed):
            return call(client, operation, arguments)
        raise ClientError({"Error": {"Code": code, "Message": ""}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    about_the_device = ("ListThingPrincipals", "DescribeCertificate", "ListAttachedPolicies", "ListPrincipalThings")
    allowed = ("GetItem", "DescribeThing", *about_the_device)
    assert doctor(inside.thing) == [] and doctor.answer["healthy"] is None
    unseen = doctor.answer["notLookedAt"]
    states = {link["stage"]: link["state"] for link in doctor.answer["chain"]}
    assert [stage for stage, state in states.items() if state == "ok"] == ["registry", "certificate"]
    assert set(states.values()) == {"ok", "not looked at"} and all(why in text for text in unseen.values())
    assert {"claim policy", "template", "hook", "hook log", "hook permission", "policy", "shadow"} <= set(unseen)
    allowed = ()
    assert doctor(inside.serial) == [] and "registry" in doctor.answer["notLookedAt"] and doctor.answer["healthy"] is None


def test_what_a_device_has_lost_is_recognised(cloud, doctor, inside):
    iot, data, names = cloud.client("iot"), cloud.client("iot-data"), cloud.fleet().names
    own = names.types[TYPE]
    arn = iot.describe_certificate(certificateId=inside.id)["certificateDescription"]["certificateArn"]

    iot.remove_thing_from_thing_group(thingGroupName=own.group, thingName=inside.thing)
    assert doctor(inside.serial) == ["not_in_group"]
    iot.add_thing_to_thing_group(thingGroupName=own.group, thingName=inside.thing)

    iot.detach_policy(policyName=own.policy, target=arn)
    assert doctor(inside.serial) == ["policy_not_attached"]
    iot.attach_policy(policyName=own.policy, target=arn)

    data.delete_thing_shadow(thingName=inside.thing)
    assert doctor(inside.serial) == ["shadow_missing"]
    [cause] = doctor.answer["causes"]
    payload = re.search(r"--payload '(.*)' /dev/stdout", cause["nextStep"])[1]
    data.update_thing_shadow(thingName=inside.thing, payload=payload.encode())

    iot.update_certificate(certificateId=inside.id, newStatus="INACTIVE")
    assert doctor(inside.serial) == ["certificate_inactive"]
    iot.update_certificate(certificateId=inside.id, newStatus="ACTIVE")

    iot.detach_thing_principal(thingName=inside.thing, principal=arn)
    assert doctor(inside.serial) == ["certificate_unattached"]
    iot.attach_thing_principal(thingName=inside.thing, principal=arn)
    assert doctor(inside.serial) == []

    other = walk(cloud, inside.serial, inside.folder / "stranger")
    with pytest.raises(device.RefusedByGate):
        other.register()
    assert wait_for(lambda: doctor(inside.serial), ["hook_denied"]) == ["hook_denied"]
    assert "already_provisioned" in doctor.answer["causes"][0]["what"]

    cloud.run("revoke", inside.serial, "--yes", "--reason", "lost")
    assert doctor(inside.serial) == ["hook_denied", "row_revoked", "certificate_inactive"]
    cloud.client("dynamodb").update_item(
        TableName=names.table,
        Key={"serialNumber": {"S": inside.serial}},
        UpdateExpression="SET #s = :active",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":active": {"S": "active"}},
    )
    decommission.remove_certificate(inside.id)
    assert "certificate_missing" in doctor(inside.serial)
    iot.delete_thing(thingName=inside.thing)
    assert "thing_missing" in doctor(inside.serial)


def test_a_row_that_keeps_a_device_out_is_recognised(cloud, doctor, serial, tmp_path):
    typo = serial[:-1]
    assert doctor(typo) == ["row_missing"] and f"did you mean {serial}" in doctor.answer["causes"][0]["nextStep"]
    gone = register(cloud, deviceType="gone")
    assert doctor(gone) == ["type_unknown"]
    cloud.client("dynamodb").delete_item(TableName=cloud.fleet().names.table, Key={"serialNumber": {"S": gone}})
    assert doctor(register(cloud, status="revoked")) == ["row_revoked"]

    old = provisioning.make_device(cloud.fleet(), TYPE, serial)
    stale = walk(cloud, serial, tmp_path / "old")
    stale.device = type(old)(serial, TYPE, old.manufacturer, "0.0.1")
    with pytest.raises(device.RefusedByGate):
        stale.register()
    assert wait_for(lambda: doctor(serial), ["hook_denied"]) == ["hook_denied"]
    assert "firmware_too_old" in doctor.answer["causes"][0]["what"] and doctor.answer["cameAsFarAs"] == "template"

    # The hook has leased a serial to a certificate, and the device is gone.
    number = register(cloud)
    arn = cloud.client("iot").describe_provisioning_template(templateName=cloud.fleet().names.template)["templateArn"]
    event = hook_events.request("lost", SerialNumber=number)
    event |= {"templateArn": arn, "claimCertificateId": claim_certificate(cloud).id}
    cloud.client("lambda").invoke(FunctionName=cloud.fleet().names.hook, Payload=json.dumps(event).encode())
    assert doctor(number) == ["lease_running"], doctor.answer


def test_a_registration_that_stops_half_way_is_recognised_when_it_is_no_longer_under_way(cloud, doctor, serial, tmp_path):
    broken = Gate(cloud).role_lacks_permission()
    next(broken)
    try:
        assert not comes_in(cloud, serial, tmp_path)
    finally:
        next(broken, None)
    backdate(cloud, serial)
    logs, entry = cloud.client("logs"), {"eventType": "ProvisionDevice", "status": "Failure", "details": "no iot:AttachPolicy"}
    entry["deviceCertificateId"] = row(cloud, serial)["certificateId"]
    logs.create_log_group(logGroupName="AWSIotLogsV2")
    logs.create_log_stream(logGroupName="AWSIotLogsV2", logStreamName="s")
    line = {"timestamp": int(time.time() * 1000), "message": json.dumps(entry)}
    logs.put_log_events(logGroupName="AWSIotLogsV2", logStreamName="s", logEvents=[line])
    try:
        assert doctor(serial) == ["certificate_pending", "registration_failed"], doctor.answer
        assert doctor.answer["causes"][1]["evidence"] == "ProvisionDevice: no iot:AttachPolicy"
    finally:
        logs.delete_log_group(logGroupName="AWSIotLogsV2")
    assert comes_in(cloud, serial, tmp_path)  # with the certificate that it has
    assert wait_for(lambda: row(cloud, serial)["status"], "provisioned") == "provisioned"
    assert doctor(serial) == ["never_connected"]


def backdate(cloud, serial):
    """The lease of a device as if it had been given a minute ago."""
    values = {":then": {"N": str(int(time.time() * 1000) - 60_000)}}
    cloud.client("dynamodb").update_item(
        TableName=cloud.fleet().names.table,
        Key={"serialNumber": {"S": serial}},
        UpdateExpression="SET leasedAt = :then, leaseExpiresAt = :then",
        ExpressionAttributeValues=values,
    )


def test_what_a_device_was_answered_is_enough(cloud, doctor, serial, tmp_path):
    """Real answers of the provisioning service, taken from the wire."""
    gate = provisioning.gate(cloud.fleet(), "factory-1")
    topic = f"$aws/provisioning-templates/{gate.template}/provision/json"

    def answer(payload):
        with MqttSession(gate.endpoint, gate.claim_client_id(serial), gate.claim_certificate, gate.claim_key) as session:
            session.connect(10)
            session.subscribe(f"{topic}/rejected", 10)
            session.publish(topic, payload, 10)
            return session.take((f"{topic}/rejected",), 10)[1].decode()

    assert doctor(message=answer(b'{"certificateOwnershipToken": "worn out"}')) == ["token_invalid"]
    assert doctor(serial, message=answer(b"no JSON")) == ["unexplained"]
    stranger = f"TEMP-9{uuid.uuid4().int % 100_000:05}"
    with pytest.raises(device.RefusedByGate):
        walk(cloud, stranger, tmp_path / "stranger").register()
    found = wait_for(lambda: doctor(stranger, message={"statusCode": 403}), ["hook_denied", "row_missing"])
    assert found == ["hook_denied", "row_missing"] and "unknown_serial" in doctor.answer["causes"][0]["what"]
    asked = cloud.run("doctor", "--rejected", str(tmp_path / "rejected.json"), status=1)
    assert "unexplained" in asked.stdout and "fleetgate smoke --env e2e" in asked.stdout


def test_an_event_that_nobody_handled_is_recognised_at_the_device(cloud, doctor, serial, tmp_path):
    functions, names = cloud.client("lambda"), cloud.fleet().names
    functions.put_function_concurrency(FunctionName=names.onboarding, ReservedConcurrentExecutions=0)
    try:
        assert comes_in(cloud, serial, tmp_path)
        time.sleep(1)
    finally:
        functions.delete_function_concurrency(FunctionName=names.onboarding)
    backdate(cloud, serial)
    assert doctor(serial) == ["not_onboarded", "shadow_missing", "never_connected"], doctor.answer
