"""`fleetgate dashboard` from a registry and the hook's own lines, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import re

import pytest
from test_registry_why import hook  # noqa: F401 - a fixture

import hook_events
from fleetgate import dashboard, dashboard_plot
from fleetgate.dashboard import Latency

HOUR = 3_600_000


def test_the_funnel_and_the_decisions_are_those_of_registry_and_log(fleetgate, hook, registry):  # noqa: F811
    registry.put(serialNumber="T-1", status="registered")
    registry.put(serialNumber="T-2", status="active")
    registry.put(serialNumber="X-1", deviceType="retired-type", status="revoked")
    hook(hook_events.request("stranger"))
    hook(hook_events.request("stranger"), hours_ago=3)
    status, out, _ = fleetgate("dashboard", "--since", "1", "--json")
    told = json.loads(out)
    assert status == 0 and told["decisions"] == {"unknown_serial": 1}
    assert told["funnel"]["temperature-sensor"] == {
        "registered": 1,
        "provisioning": 0,
        "provisioned": 0,
        "active": 1,
        "revoked": 0,
    }
    assert told["funnel"]["retired-type"]["revoked"] == 1 and told["funnel"]["gateway"]["active"] == 0
    assert told["quotas"]["RegisterThing"] == {"busiestMinute": 1, "limit": 600}
    assert json.loads(fleetgate("dashboard", "--since", "4", "--json")[1])["decisions"] == {"unknown_serial": 2}
    assert re.search(r"unknown_serial\W+1", fleetgate("dashboard", "--since", "1")[1])


@pytest.mark.parametrize("name, start", [("fleet.png", b"\x89PNG\r\n\x1a\n"), ("fleet.html", b"<!doctype html>")])
def test_the_picture_is_drawn_whole(fleetgate, hook, registry, tmp_path, name, start):  # noqa: F811
    registry.put(serialNumber="T-1", status="active")
    hook(hook_events.request("stranger"))
    status, out, err = fleetgate("dashboard", "--render", str(tmp_path / name))
    drawn = (tmp_path / name).read_bytes()
    assert status == 0 and out == "" and f"drawn: {tmp_path / name}" in err
    assert drawn.startswith(start) and len(drawn) > 20_000
    if name.endswith(".html"):
        page = drawn.decode()
        assert "<th>temperature-sensor</th>" in page and "<th>unknown_serial</th><td>1</td>" in page
        assert not re.search(r"(?:src|href)=\"(?!data:)", page)  # nothing from elsewhere
    assert [path.name for path in tmp_path.glob("fleet.*")] == [name]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--render", "fleet.pdf"], "end it with .png or .html"),
        (["--render", "missing/fleet.png"], "mkdir -p missing"),
        (["--since", "0"], "at most 720"),
        (["--render", ""], "--render: is empty"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_read(fleetgate, capsys, options, said):
    try:
        status, _, err = fleetgate("dashboard", *options)
    except SystemExit as ended:
        status, err = int(str(ended.code)), capsys.readouterr().err
    assert status in (1, 2) and said in err


def test_without_a_log_the_next_step_is_said(fleetgate, registry):
    status, _, err = fleetgate("dashboard")
    assert status == 1 and "does not exist: environment moto is not applied" in err and "make apply ENV=moto" in err


def test_every_decision_falls_into_one_bucket_and_the_busiest_minute_is_found():
    records = [{"reason": "allowed", "_aws": {"Timestamp": at}} for at in (0, 1, HOUR - 1)]
    records += [{"reason": "raced", "_aws": {"Timestamp": at}} for at in (60_000, 60_001, 119_999)]
    made = dashboard.made("e", {}, records, Latency(), 0, HOUR, 10)
    assert {reason: sum(numbers) for reason, numbers in made.decided.items()} == {"allowed": 3, "raced": 3}
    assert made.decided["allowed"][0] == 2 and made.decided["allowed"][-1] == 1 and made.busiest_minute == 3


def test_a_fleet_without_anything_is_drawn_too(tmp_path):
    dashboard_plot.write(dashboard.made("e", {}, [], Latency(), 0, HOUR, 10), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_newest_denials_have_a_width_in_the_picture():
    record = {"reason": "raced", "_aws": {"Timestamp": HOUR - 1}}
    made = dashboard.made("e", {}, [record], Latency(), 0, HOUR, 10)
    times, [heights] = dashboard_plot.steps(made, [made.decided["raced"]])
    assert len(times) == len(heights) and heights[-2:] == (1, 1)
    assert times[-1].timestamp() * 1000 == HOUR and times[-2] < times[-1]


def test_what_is_over_its_limit_is_marked_and_within_the_picture(tmp_path):
    latency = Latency((1_000, 60_000), (100.0, 200.0), (4_000.0, 6_070.4))
    made = dashboard.made("e", {}, [], latency, 0, HOUR, 10)
    assert [usage.cells() for usage in dashboard.usages(made)] == [
        ("registrations in a minute", "0", "600"),
        ("the hook's p50 in ms", "200", "5,000"),
        ("the hook's p99 in ms", "6,070 (over the limit)", "5,000"),
    ]
    dashboard_plot.write(made, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<tr class=over><th>the hook&#x27;s p99 in ms</th><td>6,070 (over the limit)</td><td>5,000</td></tr>" in page
    assert page.count("class=over") == 1


def test_what_a_canary_of_the_smoke_checks_was_told_is_no_denial_of_the_fleet_s(fleetgate, hook, registry, tmp_path):  # noqa: F811
    hook(hook_events.request("stranger"))
    hook(hook_events.request("stranger", SerialNumber="TEMP-000000", FirmwareVersion="no version"))
    hook(hook_events.request("stranger", SerialNumber="TEMP-000000"))  # which no smoke check provokes
    told = json.loads(fleetgate("dashboard", "--json")[1])
    assert told["decisions"] == {"unknown_serial": 2} and told["canaryDecisions"] == 1
    assert told["quotas"]["RegisterThing"]["busiestMinute"] == 3  # it uses the quota as any other
    assert re.search(r"canaries of the smoke checks\W+1", fleetgate("dashboard")[1])
    assert fleetgate("dashboard", "--render", str(tmp_path / "a.html"))[0] == 0
    assert "<th>canaries of the smoke checks</th><td>1</td>" in (tmp_path / "a.html").read_text()


def test_a_quota_that_was_raised_is_the_limit_of_table_and_picture(tmp_path):
    records = [{"reason": "allowed", "_aws": {"Timestamp": at}} for at in range(700)]
    made = dashboard.made("e", {}, records, Latency(), 0, HOUR, 50)
    assert made.to_json()["quotas"]["RegisterThing"] == {"busiestMinute": 700, "limit": 3000}
    assert dashboard.usages(made)[0].cells() == ("registrations in a minute", "700", "3,000")
    dashboard_plot.write(made, tmp_path / "a.html")
    assert "<td>700</td><td>3,000</td>" in (tmp_path / "a.html").read_text()
