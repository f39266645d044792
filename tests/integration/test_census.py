"""The census of the registry: what it counts, whom it calls stuck, and what CloudWatch reads of it."""

import json
import time
from dataclasses import replace

import pytest

import lambdas

ENVIRONMENT = {
    **lambdas.CREDENTIALS,
    "TABLE_NAME": lambdas.TABLE,
    "TEMPLATE_NAME": "fleetgate-fleet",
    "PROVISIONING_SECONDS": "3600",
    "PROVISIONED_SECONDS": "86400",
}
CATALOGUE = {"deviceTypes": ["temperature-sensor", "gateway"]}
NOW_MS = time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1000)) + "Z"


@pytest.fixture
def census(registry, tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return lambdas.deploy("census", tmp_path, CATALOGUE)


def put(registry, serial, status, device_type="temperature-sensor", **values):
    registry.put(serialNumber=serial, deviceType=device_type, status=status, **values)


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_devices_are_counted_by_type_and_status_and_stuck_ones_are_named(census, registry, capsys):
    hour = 3_600_000
    put(registry, "T-1", "registered")
    put(registry, "T-2", "provisioning", leasedAt=NOW_MS - hour // 2)
    put(registry, "T-3", "provisioning", leasedAt=NOW_MS - 2 * hour)
    put(registry, "T-4", "provisioned", leasedAt=NOW_MS - 99 * hour, provisionedAt=iso(NOW_MS - 2 * hour))
    put(registry, "T-5", "provisioned", leasedAt=NOW_MS - 99 * hour, provisionedAt=iso(NOW_MS - 48 * hour))
    put(registry, "T-6", "active", leasedAt=NOW_MS - 99 * hour)
    put(registry, "G-1", "active", "gateway")
    put(registry, "X-1", "active", "retired-type")
    assert census.handler.handler({}, None) == {"devices": 7, "stuck": 2}
    told = records(capsys)
    counted = {(r["DeviceType"], r["Status"]): r["Devices"] for r in told if r["event"] == "census" and r["Devices"]}
    assert counted == {
        ("temperature-sensor", "registered"): 1,
        ("temperature-sensor", "provisioning"): 2,
        ("temperature-sensor", "provisioned"): 2,
        ("temperature-sensor", "active"): 1,
        ("gateway", "active"): 1,
    }
    stuck = {r.get("DeviceType", "all"): r for r in told if r["event"] == "stuck_devices"}
    assert [(one["serialNumber"], one["status"]) for one in stuck["temperature-sensor"]["stuck"]] == [
        ("T-5", "provisioned"),
        ("T-3", "provisioning"),
    ]
    assert {name: r["StuckDevices"] for name, r in stuck.items()} == {"temperature-sensor": 2, "gateway": 0, "all": 2}


def test_every_record_is_a_metric_whose_dimensions_stand_in_it(census, registry, capsys):
    put(registry, "T-1", "registered")
    census.handler.handler({}, None)
    for record in records(capsys):
        [directive] = record["_aws"]["CloudWatchMetrics"]
        [dimensions], [metric] = directive["Dimensions"], directive["Metrics"]
        assert directive["Namespace"] == "Fleetgate" and metric["Name"] in record and set(dimensions) <= record.keys()
        assert record["TemplateName"] == "fleetgate-fleet"


@pytest.mark.parametrize("values", [{}, {"provisionedAt": "yesterday"}])
def test_who_has_no_time_that_can_be_read_is_stuck(census, registry, capsys, values):
    put(registry, "T-1", "provisioned", **values)
    assert census.handler.handler({}, None)["stuck"] == 1
    assert [r["stuck"] for r in records(capsys) if r.get("stuck")] == [
        [{"serialNumber": "T-1", "status": "provisioned", "seconds": -1}]
    ]


def test_a_registry_of_many_pages_is_counted_to_its_end(census):
    class Pages:
        """Two rows a page, as DynamoDB does it by the megabyte."""

        def query(self, **request):
            start = int(request.get("ExclusiveStartKey", {}).get("serialNumber", {}).get("S", 0))
            items = [{"serialNumber": {"S": str(n)}, "status": {"S": "active"}} for n in range(start, start + 2)]
            more = {"LastEvaluatedKey": {"serialNumber": {"S": str(start + 2)}}} if start < 8 else {}
            return {"Items": items, **more}

    assert [row.serial for row in census.registry.rows(Pages(), "t", "gateway")] == [str(n) for n in range(10)]


def test_a_registry_that_cannot_be_read_is_no_count(census, registry, capsys, monkeypatch):
    monkeypatch.setattr(census.handler, "SETTINGS", replace(census.handler.SETTINGS, table_name="gone"))
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        census.handler.handler({}, None)
    assert capsys.readouterr().out == ""


def test_all_that_is_missing_is_said_at_once(tmp_path):
    settings = lambdas.modules("census", "settings").settings
    with pytest.raises(settings.SettingsError) as told:
        settings.load({"TABLE_NAME": "t!", "PROVISIONED_SECONDS": "0"}, tmp_path)
    said = str(told.value)
    for name in ("TABLE_NAME", "TEMPLATE_NAME", "PROVISIONED_SECONDS", "PROVISIONING_SECONDS", "catalogue.json"):
        assert name in said
