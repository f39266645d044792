"""`fleetgate devices` from the command line to the table and the things: pages, near serials, and no certificate's text."""

from __future__ import annotations

import io
import json

import boto3
import pytest
from botocore.exceptions import ClientError

from fleetgate import device_view
from fleetgate.registry import Registry

TYPE = "temperature-sensor"
COMMANDS = ("devices show", "registry show", "registry revoke --yes")


@pytest.fixture
def rows(registry):
    for number in range(1, 8):
        registry.put(serialNumber=f"TEMP-{number:06}", status="active" if number % 2 else "registered")
    registry.put(serialNumber="GW-000001", deviceType="gateway", status="active")


def serials(out):
    return [row["serialNumber"] for row in json.loads(out)["devices"]]


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], ["GW-000001", *(f"TEMP-{n:06}" for n in range(1, 8))]),
        (["--type", "gateway"], ["GW-000001"]),
        (["--state", "registered"], [f"TEMP-{n:06}" for n in (2, 4, 6)]),
        (["--type", TYPE, "--state", "active"], [f"TEMP-{n:06}" for n in (1, 3, 5, 7)]),
        (["--state", "revoked"], []),
    ],
    ids=["all", "type", "state", "both", "none"],
)
def test_the_pages_of_a_list_are_the_whole_and_nothing_comes_twice(fleetgate, rows, words, expected):
    status, out, _ = fleetgate("devices", "list", "--json", *words)
    assert status == 0 and serials(out) == expected and json.loads(out)["after"] is None
    found, after = [], []
    for _ in range(9):
        _, out, _ = fleetgate("devices", "list", "--json", "--limit", "2", *after, *words)
        found += serials(out)
        if json.loads(out)["after"] is None:
            break
        after = ["--after", json.loads(out)["after"]]
    assert sorted(found) == expected


def test_a_list_for_people_says_how_it_goes_on(fleetgate, rows):
    status, out, err = fleetgate("devices", "list", "--limit", "3")
    assert status == 0 and "3 devices, and there are more: add --after " in err and "serial" in out
    assert "8 devices\n" in fleetgate("devices", "list", "--limit", "0")[2]


@pytest.mark.parametrize(
    "words, part",
    [(["--state", "activ"], "--state: unknown state 'activ'\n    -> did you mean active?"), (["--type", "gatewya"], "gateway?")],
)
def test_a_filter_that_fits_nothing_is_told_by_its_own_name(fleetgate, words, part):
    status, out, err = fleetgate("devices", "list", *words)
    assert (status, out) == (1, "") and part in err


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        *((command, typed) for command in COMMANDS for typed in ("TEMP-000010", "temp-000001", "TEMP-1")),
        *((command, f"{TYPE}-TEMP-000001") for command in COMMANDS if command != "devices show"),  # which takes it
    ],
)
def test_an_unknown_serial_names_near_ones_that_there_are(fleetgate, registry, command, typed):
    registry.put(serialNumber="TEMP-000001")
    status, out, err = fleetgate(*command.split(), typed)
    assert (status, out, registry.size()) == (1, "", 1)
    assert "did you mean TEMP-000001? otherwise see what there is: fleetgate registry list --env moto" in err


@pytest.mark.parametrize("typed", ["NOTHING-LIKE-IT", "", "x" * 5000, "a b\n"], ids=["far", "empty", "long", "odd"])
def test_a_serial_like_no_other_leads_to_the_list(fleetgate, rows, typed):
    status, out, err = fleetgate("devices", "show", typed)
    assert (status, out) == (1, "") and "did you mean" not in err and "fleetgate registry list --env moto" in err


def test_near_serials_are_asked_for_in_batches_that_the_service_takes_and_again_if_it_left_some(fleetgate, registry, monkeypatch):
    for number in range(250):
        registry.put(serialNumber=f"TEMP-{number:06}")
    table = Registry("fleetgate-device-registry")
    sizes, real = [], table._client.batch_get_item

    def leaves_one(RequestItems):
        [(name, wanted)] = RequestItems.items()
        sizes.append(len(wanted["Keys"]))
        answer = real(RequestItems={name: wanted | {"Keys": wanted["Keys"][:60]}})
        left = wanted["Keys"][60:]
        return answer | {"UnprocessedKeys": {name: wanted | {"Keys": left}} if left else {}}

    monkeypatch.setattr(table._client, "batch_get_item", leaves_one)
    wanted = [f"TEMP-{number:06}" for number in range(500)]
    assert table.which(wanted) == set(wanted[:250]) and max(sizes) == 100 and len(sizes) == 10


@pytest.fixture
def device(registry, monkeypatch):
    """A device as the gate leaves it, and its shadow and connection."""
    registry.put(serialNumber="TEMP-000001", status="active", thingName=f"{TYPE}-TEMP-000001")
    monkeypatch.setenv("FLEETGATE_ACCOUNT_ID", "123456789012")
    iot = boto3.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing_type(thingTypeName=TYPE)
    iot.create_thing_group(thingGroupName="group-1")
    iot.create_thing(thingName=f"{TYPE}-TEMP-000001", thingTypeName=TYPE, attributePayload={"attributes": {"location": "hall-1"}})
    iot.add_thing_to_thing_group(thingGroupName="group-1", thingName=f"{TYPE}-TEMP-000001")
    iot.create_policy(policyName="fleetgate-temperature-sensor", policyDocument="{}")
    iot.attach_policy(policyName="fleetgate-temperature-sensor", target=made["certificateArn"])
    iot.attach_thing_principal(thingName=f"{TYPE}-TEMP-000001", principal=made["certificateArn"])
    registry.put(**registry.row("TEMP-000001") | {"certificateId": made["certificateId"]})
    return made


class Data:
    """The data endpoint; an error code instead of an answer raises it."""

    def __init__(self, connection="InvalidRequestException", shadow="ResourceNotFoundException"):
        self._answers = {"connection": connection, "shadow": shadow}

    def _answer(self, name):
        if isinstance(self._answers[name], str):
            raise ClientError({"Error": {"Code": self._answers[name], "Message": ""}}, name)
        return self._answers[name]

    def get_connection(self, clientId):
        return self._answer("connection")

    def get_thing_shadow(self, thingName):
        return {"payload": io.BytesIO(json.dumps(self._answer("shadow")).encode())}


def test_show_has_row_thing_groups_certificate_policy_connection_and_shadow_and_no_certificate_text(
    fleetgate, device, monkeypatch
):
    connection = {"connected": True, "sourceIp": "192.0.2.1"}
    monkeypatch.setattr("fleetgate.aws.iot_data", lambda: Data(connection, {"state": {"desired": {"a": 1}}, "version": 3}))
    status, out, _ = fleetgate("devices", "show", "TEMP-000001", "--json")
    found = json.loads(out)
    assert status == 0 and found["registry"]["status"] == "active" and found["thing"]["attributes"] == {"location": "hall-1"}
    assert found["groups"] == ["group-1"] and found["connection"] == {"connected": True} and found["notKnown"] == []
    assert found["shadow"] == {"state": {"desired": {"a": 1}}, "version": 3}
    [certificate] = found["certificates"]
    assert certificate["certificateId"] == device["certificateId"] and certificate["status"] == "ACTIVE"
    assert certificate["policies"] == ["fleetgate-temperature-sensor"] and certificate["attached"] and certificate["inRegistry"]
    _, text, _ = fleetgate("devices", "show", "TEMP-000001")
    secret = device["certificatePem"].splitlines()[3]
    for shown in (out, text):
        assert secret not in shown and "BEGIN" not in shown and "192.0.2.1" not in shown
    for part in ("ACTIVE", "hall-1", "group-1", "fleetgate-temperature-sensor", '{"connected": true}', device["certificateId"]):
        assert part in text


def test_show_takes_the_name_of_a_thing_as_well(fleetgate, device, monkeypatch):
    monkeypatch.setattr("fleetgate.aws.iot_data", Data)
    status, out, _ = fleetgate("devices", "show", f"{TYPE}-TEMP-000001", "--json")
    assert status == 0 and json.loads(out)["serialNumber"] == "TEMP-000001" and json.loads(out)["registry"]


def test_what_the_cloud_cannot_tell_is_not_taken_for_nothing(fleetgate, device, monkeypatch):
    monkeypatch.setattr("fleetgate.aws.iot_data", Data)
    found = json.loads(fleetgate("devices", "show", "TEMP-000001", "--json")[1])
    assert found["notKnown"] == ["connection"] and found["connection"] is None and found["shadow"] is None
    assert "not known" in fleetgate("devices", "show", "TEMP-000001")[1]
    monkeypatch.setattr("fleetgate.aws.iot_data", lambda: Data("InternalFailureException"))
    status, out, err = fleetgate("devices", "show", "TEMP-000001")
    assert (status, out) == (1, "") and "InternalFailureException" in err


def test_a_device_that_is_not_whole_is_shown_with_what_is_left_of_it(fleetgate, device, registry, monkeypatch):
    monkeypatch.setattr("fleetgate.aws.iot_data", Data)
    iot = boto3.client("iot")
    iot.detach_thing_principal(thingName=f"{TYPE}-TEMP-000001", principal=device["certificateArn"])
    assert "not attached to the thing" in " ".join(fleetgate("devices", "show", "TEMP-000001")[1].split())
    iot.delete_thing(thingName=f"{TYPE}-TEMP-000001")
    status, out, err = fleetgate("devices", "show", "TEMP-000001")
    assert status == 0 and "none" in out and "fleetgate orphans --env moto" in err
    certificate = device_view.certificates_of(None, {"certificateId": "0" * 64})[0][0]
    assert certificate.status == "missing"


def test_a_thing_without_a_row_is_shown_too(fleetgate, device, registry, monkeypatch):
    monkeypatch.setattr("fleetgate.aws.iot_data", Data)
    boto3.client("dynamodb").delete_item(TableName="fleetgate-device-registry", Key={"serialNumber": {"S": "TEMP-000001"}})
    status, out, err = fleetgate("devices", "show", "TEMP-000001")
    assert status == 0 and "no row" in out and "fleetgate orphans --env moto" in err
    assert json.loads(fleetgate("devices", "show", "TEMP-000001", "--json")[1])["registry"] is None
