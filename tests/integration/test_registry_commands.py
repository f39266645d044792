"""`fleetgate registry` from the command line to the table: nothing that is there is overwritten, and exit statuses tell."""

from __future__ import annotations

import io
import json

import boto3
import pytest

import lambdas
from fleetgate.registry import Registry

TYPE = "temperature-sensor"


@pytest.fixture
def answer(monkeypatch):
    """Somebody at a terminal who types that."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    return lambda text: monkeypatch.setattr("sys.stdin", Terminal(text))


def csv(tmp_path, *lines):
    file = tmp_path / "serials.csv"
    file.write_text("\n".join(("serialNumber,deviceType,manufacturer,location", *lines)) + "\n", encoding="utf-8")
    return str(file)


def serials(out):
    return [row["serialNumber"] for row in json.loads(out)["rows"]]


def test_added_serials_are_registered_with_what_was_said_of_them(fleetgate, registry):
    status, out, _ = fleetgate(
        "registry", "add", "--type", TYPE, "--manufacturer", "AcmeSensors", "--location", "hall-1", "TEMP-000001..TEMP-000003"
    )
    assert (status, registry.size()) == (0, 3) and "3 added" in out
    row = registry.row("TEMP-000002")
    assert row.pop("registeredAt").endswith("Z")
    assert row == {
        "serialNumber": "TEMP-000002",
        "deviceType": TYPE,
        "status": "registered",
        "manufacturer": "AcmeSensors",
        "location": "hall-1",
    }


def test_a_row_that_is_there_is_never_overwritten(fleetgate, registry):
    registry.put(serialNumber="TEMP-000001", status="active", certificateId="c" * 64, manufacturer="AcmeSensors")
    registry.put(serialNumber="TEMP-000002", status="revoked")
    before = [registry.row("TEMP-000001"), registry.row("TEMP-000002")]

    status, out, err = fleetgate("registry", "add", "--type", TYPE, "TEMP-000001..TEMP-000003")
    assert status == 1 and out == "1 added, 1 already there, 0 already there but different, 1 revoked\n"
    assert "TEMP-000002: is revoked: the gate goes on refusing it" in err and err.count("->") == 1

    status, out, err = fleetgate("registry", "add", "--type", TYPE, "TEMP-000001", "TEMP-000003")
    assert status == 0 and out == "0 added, 2 already there, 0 already there but different, 0 revoked\n" and "->" not in err

    status, out, err = fleetgate("registry", "add", "--type", TYPE, "--manufacturer", "SensorTech", "TEMP-000001")
    assert status == 1 and "0 added, 0 already there, 1 already there but different" in out
    assert "TEMP-000001: is already there, but manufacturer is AcmeSensors, not SensorTech" in err
    assert "nothing was changed" in err
    assert [registry.row("TEMP-000001"), registry.row("TEMP-000002")] == before


def test_skip_invalid_writes_exactly_the_good_rows(fleetgate, registry, tmp_path):
    file = csv(
        tmp_path,
        f"TEMP-000001,{TYPE},,",
        f"TEMP-1,{TYPE},,",
        "GW-000001,gateway,AcmeGateways,hall-1",
        "GW-000002,gateway,Nobody,",
        f"TEMP-000001,{TYPE},,",
        f"TEMP-000000,{TYPE},,",
    )
    status, _, err = fleetgate("registry", "add", "--csv", file)
    assert status == 1 and registry.size() == 0 and "4 mistakes" in err and "--skip-invalid" in err

    status, out, err = fleetgate("registry", "add", "--csv", file, "--skip-invalid")
    assert status == 0 and "2 added" in out and out.endswith(", 4 skipped\n") and err.count("skipped: ") == 4
    assert registry.size() == 2 and registry.row("TEMP-000001") and registry.row("GW-000001")["location"] == "hall-1"


def test_a_mistake_in_an_option_is_one_mistake_for_a_whole_range(fleetgate, registry):
    words = ("--type", TYPE, "--manufacturer", "Nobody", "--location", "hall 1", "TEMP-000001..TEMP-000200", "TEMP-1")
    status, out, err = fleetgate("registry", "add", *words)
    assert (status, out, registry.size()) == (1, "", 0)
    assert "--manufacturer: 'Nobody' makes no" in err and "--location: the location 'hall 1'" in err
    assert "TEMP-1: is no serial of" in err and "3 mistakes" in err and err.count("->") == 4
    status, _, err = fleetgate("registry", "add", "--type", "gatewya", "TEMP-000001..TEMP-000200")
    assert status == 1 and "--type: unknown device type 'gatewya'" in err and "1 mistake in" in err
    status, out, err = fleetgate("registry", "add", *words, "--skip-invalid")
    assert status == 0 and out.startswith("0 added") and "201 skipped" in out and registry.size() == 0


def test_every_bad_line_of_a_file_is_named_and_the_same_mistake_once(fleetgate, registry, tmp_path):
    lines = [f"TEMP-{n:06},{TYPE},{'AcmeSensors' if n == 50 else 'Nobody'}," for n in range(1, 101)]
    file = csv(tmp_path, *lines)
    status, _, err = fleetgate("registry", "add", "--csv", file)
    assert status == 1 and registry.size() == 0
    assert f"{file}:2-50, 52-101: 'Nobody' makes no {TYPE}" in err and "99 mistakes in the input" in err and err.count("->") == 2
    status, out, err = fleetgate("registry", "add", "--csv", file, "--skip-invalid")
    assert status == 0 and out.startswith("1 added") and "99 skipped" in out and err.count("skipped: ") == 1


def test_a_range_of_rows_that_differ_alike_is_told_once(fleetgate, registry):
    for number in (1, 2, 3, 5):
        registry.put(serialNumber=f"TEMP-{number:06}", manufacturer="AcmeSensors")
    status, out, err = fleetgate("registry", "add", "--type", TYPE, "--manufacturer", "SensorTech", "TEMP-000001..TEMP-000005")
    assert status == 1 and out.startswith("1 added, 0 already there, 4 already there but different")
    assert "TEMP-000001..TEMP-000003, TEMP-000005: is already there, but" in err and err.count("->") == 1


@pytest.mark.parametrize(
    "words, part",
    [
        ([], "write --type TYPE SERIAL..., or --csv FILE"),
        (
            ["TEMP-000001"],
            "--type is missing: the device type of the serials\n    -> write: fleetgate registry add --type TYPE TEMP-000001\n",
        ),
        (["--csv", "x.csv", "TEMP-000001"], "use one of the two ways"),
    ],
    ids=["nothing", "no type", "two ways"],
)
def test_add_without_a_clear_input_writes_nothing(fleetgate, registry, words, part):
    status, _, err = fleetgate("registry", "add", *words)
    assert status == 1 and part in err and registry.size() == 0


def test_show_prints_the_whole_row(fleetgate, registry):
    registry.put(serialNumber="TEMP-000001", thingName="thing", leasedAt=1_700_000_000_000, certificateId="c" * 64)
    status, out, _ = fleetgate("registry", "show", "TEMP-000001", "--json")
    assert status == 0
    assert json.loads(out) == registry.row("TEMP-000001") | {"leasedAt": "2023-11-14T22:13:20Z"}
    status, out, _ = fleetgate("registry", "show", "TEMP-000001")
    assert status == 0 and all(text in out for text in ("TEMP-000001", "registered", "2023-11-14T22:13:20Z", "c" * 64))


@pytest.mark.parametrize("command", [["show"], ["revoke", "--yes"]], ids=" ".join)
def test_an_unknown_serial_is_told_with_the_command_that_lists_the_known_ones(fleetgate, registry, command):
    status, out, err = fleetgate("registry", *command, "TEMP-000404")
    assert (status, out, registry.size()) == (1, "", 0)
    assert "'TEMP-000404': is not in the registry" in err and "fleetgate registry list --env moto" in err


@pytest.fixture
def rows(registry):
    for number in (4, 1, 5, 2, 3):
        registry.put(serialNumber=f"TEMP-{number:06}", status="active" if number % 2 else "registered")
    registry.put(serialNumber="GW-000001", deviceType="gateway", status="active")


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], ["GW-000001", *(f"TEMP-{n:06}" for n in range(1, 6))]),
        (["--type", "gateway"], ["GW-000001"]),
        (["--status", "active"], ["GW-000001", "TEMP-000001", "TEMP-000003", "TEMP-000005"]),
        (["--type", TYPE, "--status", "active"], ["TEMP-000001", "TEMP-000003", "TEMP-000005"]),
        (["--type", "humidity-sensor"], []),
        (["--status", "revoked"], []),
    ],
    ids=["all", "type", "status", "both", "no such device", "no such status"],
)
def test_a_list_holds_the_rows_that_were_asked_for_in_order(fleetgate, rows, words, expected):
    status, out, _ = fleetgate("registry", "list", "--json", *words)
    assert status == 0 and serials(out) == expected and json.loads(out)["after"] is None


@pytest.mark.parametrize("words", [[], ["--type", TYPE], ["--status", "active"]], ids=["all", "type", "status"])
def test_a_limited_list_tells_where_to_go_on_and_its_pages_are_the_whole(fleetgate, rows, words):
    _, whole, _ = fleetgate("registry", "list", "--json", *words)
    found, after = [], []
    for _ in range(5):
        status, out, _ = fleetgate("registry", "list", "--json", "--limit", "2", *after, *words)
        assert status == 0 and len(serials(out)) <= 2
        found += serials(out)
        if json.loads(out)["after"] is None:
            break
        after = ["--after", json.loads(out)["after"]]
    assert sorted(found) == serials(whole) and len(found) == len(set(found)) > 2


def test_a_list_is_sorted_and_goes_on_where_the_table_s_own_order_was(fleetgate, monkeypatch):
    """DynamoDB lists in the order of a hash; moto sorts."""
    rows = [
        {"serialNumber": serial, "deviceType": TYPE, "status": "active"}
        for serial in ("TEMP-000009", "TEMP-000001", "TEMP-000005")
    ]
    monkeypatch.setattr(Registry, "rows", lambda self, *_: iter(rows))
    assert serials(fleetgate("registry", "list", "--json")[1]) == ["TEMP-000001", "TEMP-000005", "TEMP-000009"]
    _, out, _ = fleetgate("registry", "list", "--json", "--limit", "2")
    assert serials(out) == ["TEMP-000001", "TEMP-000009"] and json.loads(out)["after"] == "TEMP-000001"
    rows.reverse()
    assert json.loads(fleetgate("registry", "list", "--json", "--limit", "1")[1])["after"] == "TEMP-000005"


def test_a_list_for_programs_has_its_times_as_text_and_says_so(fleetgate, registry, capsys):
    registry.put(leasedAt=1_700_000_000_000, leaseExpiresAt=1_700_000_600_999, firstConnectedAt="2023-11-14T22:14:00Z")
    [row] = json.loads(fleetgate("registry", "list", "--json")[1])["rows"]
    assert (row["leasedAt"], row["leaseExpiresAt"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:23:20Z")
    assert row["firstConnectedAt"] == "2023-11-14T22:14:00Z"
    for command in ("list", "show"):
        with pytest.raises(SystemExit):
            fleetgate("registry", command, "--help")
        assert "leaseExpiresAt too, is UTC" in " ".join(capsys.readouterr().out.split())


def test_rows_of_a_type_that_has_left_the_catalogue_are_listed(fleetgate, registry):
    registry.put(serialNumber="OLD-1", deviceType="old-type")
    assert serials(fleetgate("registry", "list", "--json", "--type", "old-type")[1]) == ["OLD-1"]
    status, out, _ = fleetgate("registry", "list", "--json", "--type", "old-type", "--status", "active")
    assert status == 0 and serials(out) == []


def test_a_list_for_people_says_that_there_is_more(fleetgate, rows):
    status, out, err = fleetgate("registry", "list", "--type", TYPE, "--limit", "2")
    assert status == 0 and out.count("TEMP-") == 2 and "2 rows, and there are more: add --after TEMP-" in err
    status, out, err = fleetgate("registry", "list", "--limit", "0")
    assert status == 0 and out.count("TEMP-") == 5 and "6 rows" in err and "more" not in err


@pytest.mark.parametrize("words", [[], ["--type", TYPE]], ids=["scan", "index"])
def test_rows_beyond_one_page_of_the_service_are_listed_too(fleetgate, registry, words):
    for number in range(8):
        registry.put(serialNumber=f"TEMP-{number:06}", note="x" * 300_000)  # a page is 1 MB
    status, out, _ = fleetgate("registry", "list", "--json", "--limit", "0", *words)
    assert status == 0 and len(serials(out)) == 8


@pytest.mark.parametrize(
    "words, part",
    [
        (["--type", "gatewya"], "did you mean gateway?"),
        (["--type", ""], "use one of"),
        (["--status", "activ"], "did you mean active?"),
        (["--status", "x"], "use one of registered, provisioning"),
        (["--limit", "-1"], "use 0 for all"),
    ],
)
def test_a_filter_that_fits_nothing_is_told(fleetgate, words, part):
    status, out, err = fleetgate("registry", "list", *words)
    assert (status, out) == (1, "") and part in err


def test_revoke_asks_and_anything_but_yes_changes_nothing(fleetgate, registry, answer):
    registry.put(serialNumber="TEMP-000001", status="active")
    status, _, err = fleetgate("registry", "revoke", "TEMP-000001")
    assert status == 1 and "add --yes" in err  # nobody is there
    answer("y\n")
    status, _, err = fleetgate("registry", "revoke", "TEMP-000001")
    assert status == 1 and "nothing was changed" in err
    assert registry.row("TEMP-000001")["status"] == "active"
    answer("yes\n")
    status, out, err = fleetgate("registry", "revoke", "TEMP-000001")
    assert status == 0 and "TEMP-000001 is revoked (was active)" in out and "in moto" in err
    assert registry.row("TEMP-000001")["status"] == "revoked"


def test_revoke_touches_no_certificate_keeps_who_and_why_and_names_what_stays(fleetgate, registry):
    registry.put(serialNumber="TEMP-000001", status="active", certificateId="c" * 64, thingName="thing")
    before = registry.row("TEMP-000001")
    status, out, err = fleetgate("registry", "revoke", "--dry-run", "TEMP-000001")
    assert status == 0 and "active -> revoked" in out and "nothing was changed" in err
    assert registry.row("TEMP-000001") == before
    status, out, err = fleetgate("registry", "revoke", "--yes", "--reason", "stolen", "TEMP-000001")
    assert status == 0 and "was active" in out and "c" * 64 in err and '"why": "stolen"' in err
    row = registry.row("TEMP-000001")
    assert ":iam:" in row["revokedBy"] or ":sts:" in row["revokedBy"]
    assert row == before | {"status": "revoked", "revokedReason": "stolen"} | {
        name: row[name] for name in ("revokedAt", "revokedBy")
    }
    status, out, _ = fleetgate("registry", "revoke", "TEMP-000001")  # asks nothing any more
    assert status == 0 and "is revoked already" in out


def test_a_row_that_nobody_used_can_be_removed_and_added_again_otherwise(fleetgate, registry, answer):
    fleetgate("registry", "add", "--type", TYPE, "--manufacturer", "SensorTech", "TEMP-000001")
    status, out, err = fleetgate("registry", "remove", "--dry-run", "TEMP-000001")
    assert status == 0 and "registry row: removed" in out and registry.row("TEMP-000001")["manufacturer"] == "SensorTech"
    answer("no\n")
    assert fleetgate("registry", "remove", "TEMP-000001")[0] == 1 and registry.row("TEMP-000001")
    status, out, err = fleetgate("registry", "remove", "--yes", "--reason", "wrong maker", "TEMP-000001")
    assert status == 0 and "is removed" in out and '"why": "wrong maker"' in err
    assert fleetgate("registry", "add", "--type", TYPE, "--manufacturer", "AcmeSensors", "TEMP-000001")[0] == 0
    assert registry.row("TEMP-000001")["manufacturer"] == "AcmeSensors"
    assert fleetgate("registry", "remove", "--yes", "TEMP-000002")[0] == 1


@pytest.mark.parametrize("status", ["provisioning", "provisioned", "active", "revoked"])
def test_a_row_that_a_device_has_used_is_never_removed(fleetgate, registry, status):
    registry.put(serialNumber="TEMP-000001", status=status)
    code, _, err = fleetgate("registry", "remove", "--yes", "TEMP-000001")
    assert code == 1 and "a device has used it" in err and "fleetgate revoke" in err
    assert registry.row("TEMP-000001")["status"] == status


def by_hand(**row):
    """Puts a row that no command here writes."""
    boto3.client("dynamodb").put_item(TableName=lambdas.TABLE, Item={"serialNumber": {"S": "TEMP-000009"}, **row})


@pytest.mark.parametrize(
    "row, kind",
    [
        ({}, "unknown"),
        ({"deviceType": {"S": TYPE}, "leasedAt": {"S": "x"}, "leaseExpiresAt": {"N": "1.5"}}, TYPE),
        ({"deviceType": {"S": TYPE}, "leasedAt": {"N": "9" * 38}, "leaseExpiresAt": {"N": "-1"}}, TYPE),
    ],
    ids=["only a serial", "times that are none", "times that no date has"],
)
def test_a_row_that_somebody_made_by_hand_is_shown_and_can_be_revoked_and_set_right(fleetgate, registry, monkeypatch, row, kind):
    monkeypatch.setattr("fleetgate.revocation.drop_connection", lambda thing: "")  # moto has none
    boto3.client("logs").create_log_group(logGroupName=lambdas.HOOK_LOG_GROUP)
    by_hand(**row)
    assert fleetgate("registry", "show", "TEMP-000009")[0] == 0 and "TEMP-000009" in fleetgate("registry", "list")[1]
    assert f"now: TEMP-000009 is unknown ({kind})" in fleetgate("registry", "why", "TEMP-000009")[1]
    assert "now: unknown" in fleetgate("audit", "TEMP-000009")[1]
    assert fleetgate("devices", "show", "TEMP-000009")[0] == 0
    status, _, err = fleetgate("registry", "remove", "--yes", "TEMP-000009")
    assert status == 1 and "has no status" in err and "--reinstate" in err
    status, out, _ = fleetgate("registry", "revoke", "--yes", "TEMP-000009")
    assert status == 0 and "is revoked (was unknown)" in out
    by_hand(**row)
    status, out, _ = fleetgate("revoke", "--yes", "TEMP-000009")
    assert status == 0 and "registry row: unknown -> revoked" in out
    assert fleetgate("revoke", "--reinstate", "--yes", "TEMP-000009")[0] == 0
    assert fleetgate("registry", "remove", "--yes", "TEMP-000009")[0] == 0 and registry.row("TEMP-000009") is None


def test_without_the_table_the_command_that_makes_it_is_named(fleetgate):
    boto3.client("dynamodb").delete_table(TableName="fleetgate-device-registry")
    for words in (["list"], ["show", "TEMP-000001"], ["add", "--type", TYPE, "TEMP-000001"]):
        status, _, err = fleetgate("registry", *words)
        assert status == 1 and "does not exist: environment moto is not applied" in err and "run: make apply ENV=moto" in err
