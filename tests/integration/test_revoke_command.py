"""`fleetgate revoke` from the command line to row, certificate and connection; and back, so that the gate lets the serial in."""

from __future__ import annotations

import io
import json
import stat
import time

import boto3
import pytest
from botocore.stub import Stubber

import lambdas
from fleetgate import build, decommission, environment, revocation
from fleetgate.environment import ACCOUNT_VARIABLE

TYPE, SERIAL = "temperature-sensor", "TEMP-000001"
THING, POLICY = f"{TYPE}-{SERIAL}", f"fleetgate-{TYPE}"


@pytest.fixture
def iot(registry, monkeypatch):
    """The account's things and certificates, beside the table. moto cannot list shadows."""
    monkeypatch.setattr("fleetgate.decommission._remove_shadows", lambda thing: None)
    monkeypatch.setenv(ACCOUNT_VARIABLE, lambdas.ACCOUNT)
    client = boto3.client("iot")
    for policy in (POLICY, "fleetgate-claim", "somebodys"):
        client.create_policy(policyName=policy, policyDocument="{}")
    return client


@pytest.fixture
def connections(monkeypatch):
    """The real client's boundary: the clients whose connections were dropped, and what the service answers."""
    client = boto3.session.Session(region_name="us-east-1").client("iot-data", endpoint_url="https://localhost")
    with Stubber(client) as stub:
        monkeypatch.setattr("fleetgate.aws.iot_data", lambda: client)
        yield stub


def drops(connections, thing=THING, error=None, message=""):
    expected = {"clientId": thing, "cleanSession": True, "preventWillMessage": True}
    if error is None:
        connections.add_response("delete_connection", {}, expected)
    else:
        connections.add_client_error("delete_connection", error, message, expected_params=expected)


@pytest.fixture
def device(iot, registry):
    """A device as hook, template and onboarding leave it; returns the id of its certificate."""
    made = certificate(iot)
    iot.create_thing(thingName=THING, attributePayload={"attributes": {"serialNumber": SERIAL}})
    iot.attach_thing_principal(thingName=THING, principal=made["certificateArn"])
    times = {"leasedAt": 1_700_000_000_000, "firstConnectedAt": "2023-11-14T22:13:30Z"}
    registry.put(serialNumber=SERIAL, status="active", thingName=THING, certificateId=made["certificateId"], **times)
    return made["certificateId"]


def certificate(iot, policy=POLICY):
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=policy, target=made["certificateArn"])
    return made


def status_of(iot, certificate_id):
    return iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"]


def entries(checkout):
    file = checkout / "build/moto/audit.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_revoke_shuts_the_gate_then_the_certificate_then_the_connection_and_says_so(
    fleetgate, registry, iot, device, connections, checkout, monkeypatch
):
    order, real = [], revocation._deactivate
    drops(connections)
    monkeypatch.setattr(revocation, "_deactivate", lambda c: (order.append(registry.row(SERIAL)["status"]), real(c)))
    before = registry.row(SERIAL)
    status, out, err = fleetgate("revoke", SERIAL, "--yes", "--reason", "stolen from hall-1")
    assert status == 0 and f"{SERIAL} is revoked\n" in out and order == ["revoked"]
    assert status_of(iot, device) == "INACTIVE"
    connections.assert_no_pending_responses()
    row = registry.row(SERIAL)
    assert row["status"] == "revoked" and row["revokedReason"] == "stolen from hall-1" and row["revokedAt"].endswith("Z")
    assert f":{lambdas.ACCOUNT}:" in row["revokedBy"] or lambdas.ACCOUNT in row["revokedBy"]
    assert {name: row[name] for name in before if name != "status"} == {n: v for n, v in before.items() if n != "status"}
    [entry] = entries(checkout)
    assert entry["action"] == "revoke" and entry["subject"] == SERIAL and entry["complete"] is True
    assert entry["who"] == row["revokedBy"] and entry["why"] == "stolen from hall-1" and len(entry["done"]) == 3
    assert json.dumps(entry, sort_keys=True) in err
    [kept] = registry.trail()
    assert (kept["subject"], kept["eventType"], kept["operation"]) == (SERIAL, "DEED", "REVOKE")
    assert all(kept[name] == entry[name] for name in ("who", "why", "done", "complete"))
    assert stat.S_IMODE((checkout / "build/moto/audit.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "cloud, said",
    [("", "dropped, if there is one"), ("embedded_cloud: {}\n", "not dropped, this cloud has no DeleteConnection")],
    ids=["AWS", "embedded"],
)
def test_what_becomes_of_the_connection_is_foretold_as_the_cloud_can(
    fleetgate, registry, device, connections, checkout, cloud, said
):
    path = checkout / "terraform/envs/moto.yaml"
    path.write_text(path.read_text(encoding="utf-8") + cloud, encoding="utf-8")
    fleet = build.compile_fleet(environment.load(checkout, "moto"))
    assert f"connection of {THING}: {said}" in revocation.connection_step(fleet, THING)
    if not cloud:  # moto is no embedded cloud
        assert f"connection of {THING}: {said}" in fleetgate("revoke", SERIAL, "--dry-run")[1]


@pytest.mark.parametrize("words", [["--dry-run"], []], ids=["dry run", "nobody answers"])
@pytest.mark.parametrize("command", ["revoke", "reinstate"])
def test_what_it_would_do_is_shown_and_nothing_is_changed(
    fleetgate, registry, iot, device, connections, checkout, words, command
):
    option = ["--reinstate"] if command == "reinstate" else []
    if option:
        registry.put(**registry.row(SERIAL) | {"status": "revoked"})
    before = registry.row(SERIAL)
    status, out, err = fleetgate("revoke", SERIAL, *option, *words)
    assert status == (0 if words else 1)
    for part in ("registry row:", device, THING):
        assert part in (out if words else err)
    assert registry.row(SERIAL) == before and status_of(iot, device) == "ACTIVE" and entries(checkout) == []
    assert iot.describe_thing(thingName=THING) and ("add --yes" in err) is not bool(words)


def test_a_typo_is_refused_with_the_serials_that_may_have_been_meant(fleetgate, registry, iot, device, connections):
    for option in ([], ["--reinstate"]):
        status, out, err = fleetgate("revoke", "TEMP-000010", "--yes", *option)
        assert (status, out) == (1, "") and "did you mean TEMP-000001?" in err
    assert registry.row(SERIAL)["status"] == "active" and registry.size() == 1


@pytest.mark.parametrize(
    "error, message, said",
    [
        ("ResourceNotFoundException", "", "there was none"),
        ("InvalidRequestException", "Unsupported iot-data path: DELETE /connections/x", "this cloud has no DeleteConnection"),
        ("ForbiddenException", "", "may not (iot:DeleteConnection)"),
    ],
)
def test_a_connection_that_cannot_be_dropped_is_told_and_the_rest_is_done(
    fleetgate, iot, registry, device, connections, error, message, said
):
    drops(connections, error=error, message=message)
    status, out, _ = fleetgate("revoke", SERIAL, "--yes")
    assert status == 0 and said in out and status_of(iot, device) == "INACTIVE"


def test_another_error_of_the_connection_is_an_error_and_the_run_can_be_repeated(
    fleetgate, iot, registry, device, connections, checkout
):
    drops(connections, error="InvalidRequestException", message="bad client id")
    status, _, err = fleetgate("revoke", SERIAL, "--yes")
    assert status == 1 and "bad client id" in err
    assert entries(checkout)[0]["complete"] is False and len(entries(checkout)[0]["done"]) == 2
    drops(connections)
    status, out, _ = fleetgate("revoke", SERIAL)  # nothing is left that would have to be asked for
    assert status == 0 and "is revoked already" in out and "dropped" in out
    connections.assert_no_pending_responses()


def test_a_run_that_was_interrupted_after_the_row_is_finished_by_the_next(
    fleetgate, iot, registry, device, connections, monkeypatch, checkout
):
    with monkeypatch.context() as patch:
        patch.setattr(revocation, "_deactivate", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert fleetgate("revoke", SERIAL, "--yes", "--reason", "first")[0] == 130
    assert registry.row(SERIAL)["status"] == "revoked" and status_of(iot, device) == "ACTIVE"
    assert entries(checkout)[0]["complete"] is False
    drops(connections)
    assert fleetgate("revoke", SERIAL, "--yes", "--reason", "second")[0] == 0
    assert status_of(iot, device) == "INACTIVE" and registry.row(SERIAL)["revokedReason"] == "first"


def test_certificates_that_the_registry_does_not_name_are_cut_off_too(fleetgate, iot, registry, device, connections):
    rotated = certificate(iot)
    iot.attach_thing_principal(thingName=THING, principal=rotated["certificateArn"])
    iot.create_thing(thingName="other")
    iot.attach_thing_principal(thingName="other", principal=rotated["certificateArn"])
    drops(connections)
    status, _, err = fleetgate("revoke", SERIAL, "--yes")
    assert status == 0 and "this cuts off other as well" in err
    assert {status_of(iot, held) for held in (device, rotated["certificateId"])} == {"INACTIVE"}


def test_a_serial_that_never_came_in_is_revoked_as_well(fleetgate, iot, registry, connections):
    registry.put(serialNumber=SERIAL)
    drops(connections, error="ResourceNotFoundException")
    assert fleetgate("revoke", SERIAL, "--yes")[0] == 0
    assert registry.row(SERIAL)["status"] == "revoked"
    assert fleetgate("revoke", SERIAL, "--reinstate", "--yes")[0] == 0
    assert set(registry.row(SERIAL)) == {"serialNumber", "deviceType", "status", "registeredAt"}


def test_a_device_that_comes_in_while_it_is_revoked_does_not_slip_through(fleetgate, iot, registry, connections, monkeypatch):
    """The hook has said yes; the template activates and attaches its certificate after the row was revoked."""
    made = iot.create_keys_and_certificate(setAsActive=False)
    now = int(time.time() * 1000)
    registry.put(serialNumber=SERIAL, status="provisioning", thingName=THING, certificateId=made["certificateId"], leasedAt=now)
    waited = []

    def template(seconds):
        waited.append(seconds)
        iot.create_thing(thingName=THING)
        iot.update_certificate(certificateId=made["certificateId"], newStatus="ACTIVE")
        iot.attach_thing_principal(thingName=THING, principal=made["certificateArn"])

    monkeypatch.setattr(revocation.time, "sleep", template)
    drops(connections)
    status, _, err = fleetgate("revoke", SERIAL, "--yes")
    assert status == 0 and "coming in just now" in err and 10 < waited[0] <= revocation.SETTLE_SECONDS
    assert status_of(iot, made["certificateId"]) == "INACTIVE"


def test_a_row_that_took_another_certificate_since_it_was_shown_loses_that_one(
    fleetgate, iot, registry, device, connections, monkeypatch
):
    newer = certificate(iot)["certificateId"]
    real = revocation.revoke

    def changes_first(fleet, table, *rest):
        registry.put(**registry.row(SERIAL) | {"certificateId": newer})
        real(fleet, table, *rest)

    monkeypatch.setattr(revocation, "revoke", changes_first)
    drops(connections)
    assert fleetgate("revoke", SERIAL, "--yes")[0] == 0
    assert {status_of(iot, device), status_of(iot, newer)} == {"INACTIVE"}


@pytest.mark.parametrize("option", [[], ["--reinstate"]], ids=["revoke", "reinstate"])
def test_a_claims_certificate_is_never_touched(fleetgate, iot, registry, device, connections, option):
    claim = certificate(iot, "fleetgate-claim")
    iot.attach_thing_principal(thingName=THING, principal=claim["certificateArn"])
    if option:
        registry.put(**registry.row(SERIAL) | {"status": "revoked"})
    before = registry.row(SERIAL)
    status, out, err = fleetgate("revoke", SERIAL, "--yes", *option)
    assert (status, out) == (1, "") and "is a claim" in err and registry.row(SERIAL) == before
    assert status_of(iot, claim["certificateId"]) == status_of(iot, device) == "ACTIVE"


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines", "\x1b[31m"], ids=["long", "lines", "escape"])
def test_a_reason_that_is_no_line_of_text_is_refused_first(fleetgate, iot, registry, device, reason):
    status, out, err = fleetgate("revoke", SERIAL, "--yes", "--reason", reason)
    assert (status, out) == (1, "") and "--reason" in err and registry.row(SERIAL)["status"] == "active"


def test_reinstate_leaves_a_row_as_it_was_before_and_nothing_of_the_device(fleetgate, iot, registry, connections, checkout):
    registry.put(serialNumber=SERIAL, manufacturer="AcmeSensors", location="hall-1")
    fresh = registry.row(SERIAL)
    made = certificate(iot)
    iot.create_thing(thingName=THING)
    iot.attach_thing_principal(thingName=THING, principal=made["certificateArn"])
    came_in = {"status": "active", "thingName": THING, "certificateId": made["certificateId"], "leasedAt": 1}
    came_in |= {"claimCertificateId": "c" * 64, "firmwareVersion": "1", "firstConnectedAt": "x", "provisionedAt": "x"}
    registry.put(**fresh | came_in)
    drops(connections)
    assert fleetgate("revoke", SERIAL, "--yes")[0] == 0
    status, out, _ = fleetgate("revoke", SERIAL, "--reinstate", "--yes", "--reason", "found again")
    assert status == 0 and "has to provision again" in out
    assert registry.row(SERIAL) == fresh
    assert iot.list_things()["things"] == [] and iot.list_certificates()["certificates"] == []
    assert [entry["action"] for entry in entries(checkout)] == ["revoke", "reinstate"]
    status, out, _ = fleetgate("revoke", SERIAL, "--reinstate", "--yes")
    assert status == 0 and "registered already" in out and len(entries(checkout)) == 2


@pytest.mark.parametrize("status", ["provisioning", "provisioned", "active"])
def test_only_what_is_revoked_can_be_reinstated(fleetgate, iot, registry, device, status):
    registry.put(**registry.row(SERIAL) | {"status": status})
    done, out, err = fleetgate("revoke", SERIAL, "--reinstate", "--yes")
    assert (done, out) == (1, "") and f"is {status}, not revoked" in err and "fleetgate revoke --env moto" in err
    assert registry.row(SERIAL)["status"] == status and iot.describe_thing(thingName=THING)


def test_an_interrupted_reinstatement_opens_nothing_too_early_and_is_finished_by_the_next(
    fleetgate, iot, registry, device, monkeypatch
):
    registry.put(**registry.row(SERIAL) | {"status": "revoked"})
    with monkeypatch.context() as patch:
        patch.setattr(decommission, "release_certificate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert fleetgate("revoke", SERIAL, "--reinstate", "--yes")[0] == 130
    assert registry.row(SERIAL)["status"] == "revoked" and iot.list_things()["things"] == []
    assert fleetgate("revoke", SERIAL, "--reinstate", "--yes")[0] == 0
    assert registry.row(SERIAL)["status"] == "registered"


def test_a_certificate_that_another_thing_uses_is_only_taken_from_the_device(fleetgate, iot, registry, device):
    arn = iot.describe_certificate(certificateId=device)["certificateDescription"]["certificateArn"]
    iot.create_thing(thingName="other")
    iot.attach_thing_principal(thingName="other", principal=arn)
    registry.put(**registry.row(SERIAL) | {"status": "revoked"})
    assert fleetgate("revoke", SERIAL, "--reinstate", "--yes")[0] == 0
    assert decommission.things_of(device) == ["other"] and iot.list_attached_policies(target=arn)["policies"] == []


def test_a_thing_that_only_has_the_name_is_not_removed(fleetgate, iot, registry):
    registry.put(serialNumber=SERIAL, status="revoked")
    iot.create_thing(thingName=THING)
    status, out, err = fleetgate("revoke", SERIAL, "--reinstate", "--yes")
    assert (status, out) == (1, "") and "not of the gate's making" in err and iot.describe_thing(thingName=THING)


def test_a_row_that_changed_meanwhile_is_left(fleetgate, iot, registry, device, monkeypatch):
    registry.put(**registry.row(SERIAL) | {"status": "revoked"})
    real = decommission.remove_device

    def changes(thing):
        registry.put(**registry.row(SERIAL) | {"certificateId": "5" * 64})
        return real(thing)

    monkeypatch.setattr(decommission, "remove_device", changes)
    status, _, err = fleetgate("revoke", SERIAL, "--reinstate", "--yes")
    assert status == 1 and "changed meanwhile" in err and registry.row(SERIAL)["status"] == "revoked"


def test_yes_in_full_is_asked_for(fleetgate, iot, registry, device, connections, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert fleetgate("revoke", SERIAL)[0] == 1 and registry.row(SERIAL)["status"] == "active"
    drops(connections)
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert fleetgate("revoke", SERIAL)[0] == 0 and registry.row(SERIAL)["status"] == "revoked"
