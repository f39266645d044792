"""The isolation page, looked at and clicked in a real browser."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from itertools import product

import pytest

import browsers
from fleetgate import isolation_page, members
from fleetgate.iot_policy import isolation, model

NASTY = '</script><img src=x onerror="document.title=1">@@DATA@@'


@pytest.fixture(scope="module")
def browser_program():
    found = browsers.find()
    if found is None:
        warnings.warn(
            "NO BROWSER: the isolation page was not looked at. Install chromium or set FLEETGATE_BROWSER.", stacklevel=1
        )
        pytest.skip("NO BROWSER on this machine: install chromium, or set FLEETGATE_BROWSER to one")
    return found


@pytest.fixture
def page(browser_program, tmp_path):
    with browsers.open_browser(browser_program, tmp_path / "profile") as opened:
        yield opened


def written(tmp_path, types, scopes):
    report = isolation.check_all(types, scopes)
    path = tmp_path / "isolation.html"
    path.write_text(isolation_page.page(report, types, scopes), encoding="utf-8")
    return path, report


def wide(types):
    """The same fleet, but the first type may publish everything, under a Sid that would like to be markup."""
    statement = {"Sid": NASTY, "Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}
    policy = model.read({"Version": "2012-10-17", "Statement": [statement]}, types[0].name)
    return [replace(types[0], policies=(*types[0].policies, replace(policy, name="wide"))), *types[1:]]


def shown(page):
    return page.run("document.getElementById('detail').innerText")


def test_an_isolated_fleet_shows_green_and_every_cell_says_what_is_proven(page, fleet, tmp_path):
    types, scope = members.of_fleet(fleet)
    path, report = written(tmp_path, types, [scope])
    page.open(path)
    assert page.run("document.querySelector('h1').textContent") == "Isolated"
    assert page.run("document.querySelectorAll('.matrix button').length") == len(report.members) * len(report.victims)
    page.click("button[data-from=gateway][data-to=gateway]")
    page.wait("document.querySelector('button[data-from=gateway][data-to=gateway]').ariaPressed === 'true'")
    assert "two devices of one type" in shown(page) and shown(page).count("impossible, proven") == 8
    page.click("button[data-from=gateway][data-to=humidity-sensor]")
    assert "only as declared" in shown(page)
    assert page.errors == []


def test_a_reached_cell_tells_action_witness_and_statement_and_the_page_asks_for_nothing_else(page, fleet, tmp_path):
    types, scope = members.of_fleet(fleet)
    path, report = written(tmp_path, wide(types), [scope])
    assert not report.isolated
    page.open(path)
    # The worst cell is open from the start; a click changes it.
    assert page.run("document.querySelector('h1').textContent") == "Not isolated"
    first = report.members[0]
    page.click(f"button[data-from={first}][data-to=gateway]")
    text = shown(page)
    assert f"{first} → gateway" in text and "writes to the other's shadow" in text
    assert "$aws/things/gateway-GW-00000" in text and "iot:Publish" in text
    assert f"wide statement 1 ({NASTY})" in text, "the statement's name stands there as text"
    assert page.run("document.title") == "Not isolated - fleetgate isolation" and page.run("document.images.length") == 0
    assert [url for url in page.requested if not url.startswith("data:")] == [path.as_uri()]
    assert page.errors == []


def test_what_is_reached_is_not_in_the_colour_of_a_proof_and_the_numbers_agree(page, fleet, tmp_path):
    types, scope = members.of_fleet(fleet)
    path, report = written(tmp_path, wide(types), [scope])
    page.open(path)
    page.click(f"button[data-from={report.members[0]}][data-to=gateway]")
    proof = colour(page, ".legend .isolated", "color")
    spans = page.run(
        "[...document.querySelectorAll('.ways li span')].map((one) => [one.textContent, getComputedStyle(one).color])"
    )
    colours = {text: [float(part) for part in re.findall(r"[0-9.]+", shade)] for text, shade in spans}
    assert colours["reached"] == colour(page, ".legend .reached", "color") != proof
    assert "see receive" not in colours or colours["see receive"] != proof
    path, report = written(tmp_path, types, [scope])
    page.open(path)
    text = page.run("document.body.innerText")
    assert "20 pairs proven" in text and re.search(r"20\s+proven", text)
    assert page.run("document.querySelector('.summary code').textContent") == "fleetgate authorize --assumptions"


def test_pointing_at_a_cell_shows_it_and_arrow_keys_walk(page, fleet, tmp_path):
    types, scope = members.of_fleet(fleet)
    path, report = written(tmp_path, types, [scope])
    page.open(path)
    assert "Pick a cell" in shown(page)
    one, two = report.victims[:2]
    page.hover(f"button[data-from={one}][data-to={two}]")
    page.wait(f"document.getElementById('detail').innerText.includes('{one} → {two}')")
    page.click(f"button[data-from={one}][data-to={two}]")
    page.press("ArrowDown")
    assert page.run("document.activeElement.dataset.from") == two


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_is_legible_on_its_ground(page, fleet, tmp_path, dark):
    """At least 4.5 to 1 for text, 3 to 1 for the large signs in cells [WCAG 2.2, 1.4.3]."""
    types, scope = members.of_fleet(fleet)
    path, _ = written(tmp_path, wide(types), [scope])
    page.dark(dark)
    page.open(path)
    assert (luminance(colour(page, "body", "backgroundColor")) < 0.2) is dark
    for selector, least in product(
        (".summary", ".tiles li", ".legend li", ".matrix th", ".detail h2", ".detail dt", ".detail dd"), (4.5,)
    ):
        ratio = contrast(colour(page, selector, "color"), ground(page, selector))
        assert ratio >= least, (selector, ratio)
    for kind in ("isolated", "reached", "flow"):
        selector = f".legend .{kind}"
        ratio = contrast(colour(page, selector, "color"), colour(page, selector, "backgroundColor"))
        assert ratio >= 3, (selector, ratio)
    page.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def colour(page, selector, name):
    text = page.run(f"getComputedStyle(document.querySelector({selector!r})).{name}")
    return [float(part) for part in re.findall(r"[0-9.]+", text)]


def ground(page, selector):
    script = f"""(() => {{
      for (let one = document.querySelector({selector!r}); one; one = one.parentElement) {{
        const found = getComputedStyle(one).backgroundColor;
        if (found !== "rgba(0, 0, 0, 0)") return found;
      }}
    }})()"""
    return [float(part) for part in re.findall(r"[0-9.]+", page.run(script))]


def luminance(rgb):
    parts = [value / 255 for value in rgb[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_hundred_types_stay_one_page(page, tmp_path):
    """Ten thousand cells: the page opens, and a cell answers."""
    documents = [
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"arn:aws:iot:eu-west-1:123456789012:topic/t{number}/*"}
        for number in range(100)
    ]
    types = [
        isolation.Member(f"type-{number:03}", (model.read({"Version": "2012-10-17", "Statement": [one]}, f"type-{number:03}"),))
        for number, one in enumerate(documents)
    ]
    path, _ = written(tmp_path, types, [isolation.Scope("aws", "eu-west-1", "123456789012")])
    assert path.stat().st_size < 4_000_000
    page.open(path)
    page.click("button[data-from=type-007][data-to=type-042]")
    assert "type-007 → type-042" in shown(page) and page.errors == []
