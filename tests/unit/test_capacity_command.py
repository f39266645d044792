"""`fleetgate capacity` as it is called: input, output, the picture."""

from __future__ import annotations

import json
import struct
import sys

import pytest

from fleetgate.capacity import tables
from fleetgate.cli import main
from fleetgate.errors import FleetgateError

SMALL = ("capacity", "--devices", "300", "--per-hour", "3600")


def refused(capsys, *arguments: str) -> str:
    assert main([*SMALL, *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def test_it_prints_a_table_and_succeeds(capsys):
    assert main(list(SMALL)) == 0
    shown = capsys.readouterr().out
    assert "First-boot storm: 300 devices" in shown and "Total" in shown
    assert max(map(len, shown.splitlines())) <= 160


def test_the_same_call_prints_the_same(capsys):
    outputs = []
    for _ in range(2):
        assert main([*SMALL, "--json", "--seed", "9"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and json.loads(outputs[0])["seed"] == 9


def test_help_says_what_is_asked_and_where_the_figures_come_from(capsys):
    with pytest.raises(SystemExit) as left:
        main(["capacity", "--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    for word in (
        "--devices",
        "--per-hour",
        "--region",
        "--within",
        "--quotas",
        "--prices",
        "--plot",
        "--json",
        "docs/capacity.md",
    ):
        assert word in shown


@pytest.fixture
def checkout(tmp_path):
    """As much of one as says where it is, with an environment whose account has been given more of one quota."""
    for name, text in (
        ("catalogue/device_types.yaml", ""),
        (
            "terraform/envs/production.yaml",
            'account_id: "123456789012"\nregion: eu-west-1\nclaims: {factory-1: {}}\nquotas_per_second: {create_keys: 50}\n',
        ),
        ("terraform/envs/abroad.yaml", 'account_id: "123456789012"\nregion: af-south-1\nclaims: {factory-1: {}}\n'),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_quotas_and_the_region_of_an_environment_are_those_of_its_file_and_ones_own_go_on_top(capsys, checkout, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[quotas.register_thing]\nper_second = 30\n", encoding="utf-8")
    arguments = ["--root", str(checkout), *SMALL, "--env", "production", "--json"]
    assert main(arguments) == main([*arguments, "--quotas", str(own)]) == 0
    out = capsys.readouterr().out
    decoder = json.JSONDecoder()
    first, end = decoder.raw_decode(out)
    second = json.loads(out[end:])
    wanted = {"create_keys": (50, "applied"), "create_certificate_from_csr": (20, "assumption")}
    for told, register in ((first, (10, "documented")), (second, (30, "applied"))):
        quotas = {one["name"]: (one["current"], one["status"]) for one in told["quotas"]}
        assert told["region"] == "eu-west-1" and wanted.items() | {("register_thing", register)} <= quotas.items()


def test_an_environment_whose_region_has_no_prices_is_told_by_its_file(capsys, checkout):
    assert main(["--root", str(checkout), *SMALL, "--env", "abroad"]) == 1
    assert "terraform/envs/abroad.yaml region: there are no prices for 'af-south-1'" in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--env", "production", "--region", "eu-west-1"), ("--env", "")])
def test_a_region_beside_an_environment_or_an_empty_one_is_wrong_usage(capsys, checkout, more):
    with pytest.raises(SystemExit) as left:
        main(["--root", str(checkout), *SMALL, *more])
    assert left.value.code == 2 and "--env" in capsys.readouterr().err


def test_what_is_missing_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as left:
        main(["capacity", "--devices", "5"])
    assert left.value.code == 2 and "--per-hour" in capsys.readouterr().err


def test_all_bad_numbers_are_told_at_once(capsys):
    assert main(["capacity", "--devices", "-5", "--per-hour", "nan", "--within", "0"]) == 1
    shown = capsys.readouterr().err
    for option in ("--devices: -5", "--per-hour: nan", "--within: 0"):
        assert option in shown


def test_an_unknown_region_is_told_with_those_that_are_known(capsys):
    shown = refused(capsys, "--region", "mars-north-1")
    assert "mars-north-1" in shown and "eu-central-1" in shown and "--prices" in shown


@pytest.mark.parametrize(
    "option, text, parts",
    [
        ("--quotas", "[quotas.connect\n", ("is not TOML", "line 1")),
        ("--quotas", "[quotas.register_thing]\nper_secnd = 5\n", ("quotas.register_thing.per_secnd", "is unknown")),
        ("--quotas", "[quotas.register_thing]\nper_second = -5\n", ("quotas.register_thing.per_second", "greater than 0")),
        ("--quotas", "[quotas.register_thing]\nper_second = 'ten'\n", ("quotas.register_thing.per_second", "valid number")),
        ("--quotas", "[quotas.register_thing]\nper_second = inf\n", ("quotas.register_thing.per_second", "finite")),
        ("--quotas", "[quotas.publish]\ndaily = 'x'\n", ("quotas.publish.daily", "telemetry_per_day")),
        ("--quotas", "[quotas.register_thing]\nsource = 'x'\n", ("quotas.register_thing.source", "[sources.x]")),
        ("--quotas", "[quotas.new]\nper_second = 1\n", ("quotas.new.title", "is missing")),
        ("--quotas", "[regions]\nus-east-1 = 'huge'\n", ("regions.us-east-1", "'large' or 'small'")),
        ("--quotas", "model = 3\n", ("model",)),
        ("--prices", "[usage]\ntelemetry_a_day = 5\n", ("usage.telemetry_a_day", "telemetry_per_day")),
        ("--prices", "[prices.us-east-1]\nrules.usd = -1\n", ("prices.us-east-1.rules.usd", "greater than or equal to 0")),
        ("--prices", "[prices.us-east-1]\nrulez = {usd = 1, status = 'own', source = 'iot-core'}\n", ("rulez", "is no item")),
        (
            "--prices",
            "[prices.us-east-1]\nrules.tiers = [{usd = 1, up_to = 5}]\n",
            ("prices.us-east-1.rules", "tiers need rising"),
        ),
        ("--prices", "[prices.us-east-1]\nrules = {usd = 1, tiers = [{usd = 1}]}\n", ("rules", "either usd or tiers")),
        ("--prices", "[prices.sa-east-1]\nrules = {usd = 1, status = 'own', source = 'iot-core'}\n", ("sa-east-1", "has no")),
    ],
)
def test_a_broken_file_is_told_by_its_name_its_key_and_a_remedy(capsys, tmp_path, option, text, parts):
    file = tmp_path / "own.toml"
    file.write_text(text, encoding="utf-8")
    shown = refused(capsys, option, str(file))
    assert str(file) in shown and "\n    -> " in shown and "Traceback" not in shown
    for part in parts:
        assert part in shown


def test_a_file_that_is_not_there_or_not_text_is_told(capsys, tmp_path):
    assert "nowhere.toml: cannot be read" in refused(capsys, "--prices", str(tmp_path / "nowhere.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refused(capsys, "--quotas", str(tmp_path / "bytes.toml"))


def test_what_is_given_goes_on_top_of_what_is_there():
    table = tables.prices("[usage]\ntelemetry_per_day = 96\n[prices.us-east-1]\nmessages.usd = 0.9\n", "own.toml")
    messages = table.prices["us-east-1"]["messages"]
    assert (messages.usd, messages.tiers, messages.status) == (0.9, None, "own")
    assert table.usage["telemetry_per_day"] == 96 and table.usage["reconnects_per_day"] == 1
    assert table.prices["eu-central-1"] == tables.prices().prices["eu-central-1"]


def test_own_prices_and_quotas_change_the_answer(capsys, tmp_path):
    quotas, prices = tmp_path / "q.toml", tmp_path / "p.toml"
    quotas.write_text("[quotas.create_keys]\nper_second = 1\n", encoding="utf-8")
    prices.write_text("[prices.us-east-1]\nconnectivity.usd = 80\n", encoding="utf-8")
    assert main([*SMALL, "--json", "--quotas", str(quotas), "--prices", str(prices)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["storm"]["least_seconds"] == 299 and found["storm"]["with_jitter"]["seconds"]["100%"] >= 299
    assert next(row for row in found["cost"]["lines"] if row["item"] == "connectivity")["monthly"] == pytest.approx(
        0.3 * 43.8 * 80
    )


def test_every_region_has_every_price():
    table = tables.prices()
    assert {"us-east-1", "eu-central-1", "eu-west-1"} <= table.prices.keys()
    assert all(found.keys() == table.items.keys() for found in table.prices.values())


def test_without_prices_for_it_a_region_is_refused():
    with pytest.raises(FleetgateError, match="no prices"):
        tables.check_region("xx", tables.prices())


# --- the picture ---------------------------------------------------------------------------------------------------------------


def test_the_picture_is_a_png_that_a_person_can_look_at(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "plan.png"
    assert main([*SMALL, "--plot", str(file), "--within", "0.001"]) == 0
    data = file.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    assert 800 <= width <= 2400 and 600 <= height <= 2000
    # Neither empty nor a photograph.
    assert 20_000 < len(data) < 500_000
    assert f"{file}: written" in capsys.readouterr().err


@pytest.mark.parametrize("name, said", [("plan.pdf", "is not the name of a PNG"), ("nowhere/plan.png", "folder does not exist")])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_computed(capsys, tmp_path, monkeypatch, name, said):
    monkeypatch.setattr("fleetgate.capacity.plan.make", lambda *_: pytest.fail("computed"))
    assert said in refused(capsys, "--plot", str(tmp_path / name))


def test_a_folder_is_no_picture(capsys, tmp_path):
    (tmp_path / "a.png").mkdir()
    assert "is a folder" in refused(capsys, "--plot", str(tmp_path / "a.png"))


def test_a_picture_that_may_not_be_written_is_told(capsys):
    pytest.importorskip("matplotlib")
    assert main([*SMALL, "--plot", "/proc/plan.png"]) == 1
    shown = capsys.readouterr().err
    assert "/proc/plan.png: cannot be written" in shown and "Traceback" not in shown


def test_without_matplotlib_it_says_how_to_install_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'fleetgate[plot]'" in refused(capsys, "--plot", str(tmp_path / "a.png"))
    assert main(list(SMALL)) == 0
