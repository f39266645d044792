"""Capacity: the simulation against the closed form, quotas, and costs."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from fleetgate.capacity import advice, closed_form, cost, plan, report, simulation, tables
from fleetgate.capacity.simulation import Client, Rates, simulate
from fleetgate.device import RetryPolicy

FREE = 1e6  # a rate that holds nobody back
RETRY = RetryPolicy()
QUOTAS, PRICES = tables.quotas(), tables.prices()


def ideal(slot: float) -> Client:
    """A client that asks again in every slot for ever: together with a bucket it is a queue in front of a server."""
    return Client("ideal", (slot,), None, False)


def storm(devices: int, rate: float = 10, client: Client | None = None, **options) -> simulation.Result:
    return simulate(devices, Rates(3000, rate, rate), client or simulation.with_jitter(RETRY, 60), **options)


# --- against the closed form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [5, 10, 40])
@pytest.mark.parametrize("devices", [100, 2_000])
def test_a_storm_of_ideal_clients_takes_as_long_as_the_closed_form_says(devices, rate):
    """Exact but for the four requests of each device and the slots (0.1 s each)."""
    done = simulate(devices, Rates(FREE, rate, FREE), ideal(0.1), request_seconds=0.1, slot_seconds=0.1).seconds_until(1.0)
    least = closed_form.least_seconds(devices, rate, burst=rate)
    assert least <= done <= least + 4 * 0.1 + 0.2


@pytest.mark.parametrize("load, tolerance", [(0.5, 0.15), (0.8, 0.15)])
def test_a_steady_arrival_before_an_ideal_server_waits_as_in_an_m_d_1_queue(load, tolerance):
    """40 000 devices, slots of a tenth of the service time: half a slot of bias and the noise of one run are the tolerance."""
    rate, slot = 10.0, 0.01
    found = simulate(
        40_000,
        Rates(FREE, rate, FREE),
        ideal(slot),
        arrival_seconds=40_000 / (load * rate),
        request_seconds=slot,
        burst_seconds=1 / rate,
        slot_seconds=slot,
    )
    # Four requests of one slot each are not the queue.
    assert found.mean_seconds - 4 * slot == pytest.approx(closed_form.steady(40_000, load * rate, rate).mean_wait, rel=tolerance)


def test_too_many_arrivals_take_as_long_as_a_fluid():
    devices, arrival = 6_000, 15.0
    found = simulate(devices, Rates(FREE, 10, FREE), ideal(0.1), arrival_seconds=devices / arrival)
    fluid = closed_form.steady(devices, arrival, 10)
    assert found.seconds_until(1.0) == pytest.approx(fluid.seconds, rel=0.01)
    arrived = max(number for seconds, number in found.curve if seconds <= devices / arrival)
    assert devices - arrived == pytest.approx(fluid.backlog, rel=0.05)
    # The device client's last devices are in a pause or wait for their restart when the service has room again.
    real = storm(devices, arrival_seconds=devices / arrival).seconds_until(1.0)
    assert fluid.seconds * 0.99 <= real <= fluid.seconds + 60 + sum(simulation.with_jitter(RETRY, 60).ceilings)


def test_a_big_storm_with_jitter_wastes_no_more_than_a_hundredth_of_the_rate():
    assert storm(30_000).seconds_until(0.99) == pytest.approx(closed_form.least_seconds(29_700, 10), rel=0.01)


@pytest.mark.parametrize(
    "client", [simulation.with_jitter(RETRY, 60), simulation.without_jitter(RETRY, 1, 60)], ids=lambda c: c.name
)
@pytest.mark.parametrize("devices", [1, 10, 11, 500, 5_000])
def test_no_storm_is_faster_than_its_lower_bound_and_all_devices_get_in(client, devices):
    found = storm(devices, client=client)
    assert found.provisioned == devices and found.given_up == 0
    assert found.seconds_until(1.0) >= closed_form.least_seconds(devices, 10, burst=10)
    # Every device connected twice, asked twice, and no request is lost in the counts.
    assert found.requests["create"] - found.rejected["create"] == devices
    assert found.requests["register"] - found.rejected["register"] == devices


def test_a_finer_slot_says_the_same():
    fine, coarse = (storm(5_000, slot_seconds=slot) for slot in (0.1, 0.5))
    assert coarse.seconds_until(0.99) == pytest.approx(fine.seconds_until(0.99), rel=0.03)
    assert coarse.rejected["create"] == pytest.approx(fine.rejected["create"], rel=0.1)


def test_more_devices_take_longer_and_a_higher_rate_is_faster():
    by_devices = [storm(n).seconds_until(1.0) for n in (500, 1_000, 2_000, 4_000)]
    assert by_devices == sorted(by_devices)
    by_rate = [storm(2_000, rate).seconds_until(1.0) for rate in (5, 10, 20, 40)]
    assert by_rate == sorted(by_rate, reverse=True)


def test_jitter_is_faster_and_gentler():
    jitter, fixed = storm(5_000), storm(5_000, client=simulation.without_jitter(RETRY, 1, 60))
    assert jitter.seconds_until(1.0) < fixed.seconds_until(1.0) / 2
    assert jitter.rejected["create"] < fixed.rejected["create"] / 2


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    assert storm(500, seed=3) == storm(500, seed=3) != storm(500, seed=4)


def test_without_a_restart_most_devices_of_a_storm_give_up():
    found = storm(5_000, client=simulation.with_jitter(RETRY, None))
    assert 0 < found.provisioned < 1_000 and found.provisioned + found.given_up == 5_000
    assert found.seconds_until(1.0) is None


def test_a_run_ends_at_its_horizon():
    found = storm(5_000, horizon_seconds=60)
    assert found.provisioned < 5_000 and found.seconds_until(1.0) is None and found.mean_seconds is None


def test_registration_holds_back_when_it_is_the_slower_one():
    found = simulate(500, Rates(3000, 50, 5), simulation.with_jitter(RETRY, 60))
    assert found.seconds_until(1.0) >= closed_form.least_seconds(500, 5, burst=5)


def test_the_simulated_client_is_the_device_client():
    client = simulation.with_jitter(RETRY, 60)
    assert client.attempts == RETRY.attempts and client.ceilings == (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0)


# --- chance --------------------------------------------------------------------------------------------------------------------


def run_of(seed: int = 5) -> simulation._Run:
    return simulation._Run(1, Rates(1, 1, 1), ideal(0.1), 0.1, 1, 0.1, math.inf, seed, None)


@pytest.mark.parametrize("slots", [1, 2, 5, 40, 64])
@pytest.mark.parametrize("number", [0, 1, 3, 40, 4_000])
def test_spreading_loses_nobody_and_prefers_no_slot(number, slots):
    run = run_of()
    totals = [0] * slots
    for _ in range(200):
        counts = run._spread(number, slots)
        assert sum(counts) == number and min(counts) >= 0
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
    expected = 200 * number / slots
    assert all(abs(total - expected) <= 5 * math.sqrt(expected) + 1 for total in totals)


@pytest.mark.parametrize("here, number, taken", [(30, 100, 20), (5, 9, 4), (3_000, 10_000, 4_000), (10, 10, 7), (0, 10, 7)])
def test_whose_requests_are_taken_is_hypergeometric(here, number, taken):
    run, times = run_of(), 3_000
    drawn = [run._hypergeometric(here, number, taken) for _ in range(times)]
    assert min(drawn) >= max(0, taken - (number - here)) and max(drawn) <= min(here, taken)
    share = here / number
    mean, variance = taken * share, taken * share * (1 - share) * (number - taken) / (number - 1)
    assert sum(drawn) / times == pytest.approx(mean, abs=5 * math.sqrt(variance / times) + 1e-9)
    assert sum((d - mean) ** 2 for d in drawn) / times == pytest.approx(variance, rel=0.2, abs=1e-9)


def test_a_draw_takes_as_many_as_it_should_from_every_kind():
    numbers = [random.Random(7).randrange(1, 90) for _ in range(12)]
    accepted = run_of()._draw(numbers, sum(numbers), 200)
    assert sum(accepted) == 200 and all(0 <= a <= n for a, n in zip(accepted, numbers, strict=True))


# --- quotas --------------------------------------------------------------------------------------------------------------------


def advise(
    devices: int = 100_000, per_hour: float = 3_600, within: float = 86_400, table: tables.Quotas = QUOTAS, region="us-east-1"
):
    return {a.key: a for a in advice.advise(table, PRICES.usage, region, devices, per_hour, within)}


def test_the_default_quotas_let_ten_devices_a_second_through():
    assert advice.rates(QUOTAS, "us-east-1") == Rates(3000, 10, 10)
    assert "Fleet provisioning MQTT RegisterThing" in advice.bottlenecks(QUOTAS, "us-east-1")


def test_registration_is_not_faster_than_the_calls_behind_it():
    table = tables.quotas("[quotas.register_thing]\nper_second = 50\n[quotas.create_keys]\nper_second = 50\n", "own.toml")
    assert advice.rates(table, "us-east-1").register == 10
    assert advice.bottlenecks(table, "us-east-1") == ["UpdateCertificate", "DescribeCertificate", "GetPolicy"]


def test_what_is_enough_is_left_alone():
    # 10 a second exactly is what the default is.
    assert all(a.raise_to is None for a in advise(per_hour=36_000).values())


def test_what_is_short_is_raised_with_head_room():
    found = advise(per_hour=72_000)
    assert found["register_thing"].needed == 20 and found["register_thing"].raise_to == 25
    assert found["create_thing"].raise_to is None
    assert advise(devices=600_000)["connections"].raise_to == 750_000


def test_a_storm_that_is_to_end_sooner_needs_more():
    assert advise(within=3_600)["create_keys"].for_storm == pytest.approx(100_000 / 3_600)


def test_raised_quotas_let_the_storm_end_in_time():
    """The advice is followed, and the simulation is asked again."""
    devices, within = 20_000, 600.0
    raised = {a.key: a.raise_to for a in advise(devices, within=within).values() if a.raise_to}
    rates = advice.rates(QUOTAS, "us-east-1", raised)
    assert simulate(devices, rates, simulation.with_jitter(RETRY, 60)).seconds_until(1.0) <= within


def test_a_region_that_nobody_listed_has_the_smaller_defaults():
    assert advice.rates(QUOTAS, "eu-south-2").connect == 100
    applied = tables.quotas("[quotas.connect]\nper_second = 700\n", "own.toml")
    assert advice.rates(applied, "eu-south-2").connect == 700 and applied.quotas["connect"].status == "applied"


# --- cost ----------------------------------------------------------------------------------------------------------------------


def line(bill: cost.Bill, key: str) -> cost.Line:
    return next(found for found in bill.lines if found.key == key)


@pytest.mark.parametrize("region", sorted(PRICES.prices))
def test_the_bill_adds_up_and_has_every_item(region):
    bill = cost.bill(PRICES, region, 1_000_000)
    assert [found.key for found in bill.lines] == list(PRICES.items)
    assert bill.monthly_usd == pytest.approx(sum(found.monthly_usd for found in bill.lines))
    assert bill.onboarding_usd == pytest.approx(sum(found.onboarding_usd for found in bill.lines))
    assert bill.wasted_messages == 0


def test_a_connected_million_costs_what_the_arithmetic_says():
    bill = cost.bill(PRICES, "us-east-1", 1_000_000)
    # A million devices, 730 h of 60 min, at 0.08 USD a million.
    assert line(bill, "connectivity").monthly_usd == pytest.approx(43_800 * 0.08)
    assert line(bill, "audit").monthly_usd == pytest.approx(1_100)


def test_tiers_are_paid_one_after_the_other():
    price = PRICES.prices["us-east-1"]["messages"]
    assert cost._cost(price, 1e9, 1e6) == pytest.approx(1_000)
    assert cost._cost(price, 6e9, 1e6) == pytest.approx(1_000 + 4 * 800 + 700)


def test_a_storm_is_paid_for():
    found = storm(2_000)
    quiet, loud = cost.bill(PRICES, "us-east-1", 2_000), cost.bill(PRICES, "us-east-1", 2_000, found)
    wasted = line(loud, "messages").onboarding_quantity - line(quiet, "messages").onboarding_quantity
    assert loud.wasted_messages == wasted >= 2 * found.rejected["create"]
    assert loud.onboarding_usd > quiet.onboarding_usd and loud.monthly_usd == quiet.monthly_usd


def test_twice_the_devices_cost_twice_below_the_tiers():
    one, two = (cost.bill(PRICES, "eu-west-1", n) for n in (1_000, 2_000))
    fixed = line(one, "metrics").monthly_usd
    assert two.monthly_usd - fixed == pytest.approx(2 * (one.monthly_usd - fixed))


# --- the report ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> plan.Plan:
    return plan.make(plan.Wish(600, 72_000, "us-east-1", 30), QUOTAS, PRICES, RETRY)


def test_the_text_adds_up_to_its_total(made):
    text = report.text(made)
    rows = text[text.index("Cost of") :].splitlines()[3:]
    end = next(i for i, row in enumerate(rows) if row.startswith("  Total"))
    once = [
        float(row[rows[end].index(f"{made.bill.onboarding_usd:,.2f}") - 6 :].split()[0].replace(",", "")) for row in rows[:end]
    ]
    assert sum(once) == pytest.approx(made.bill.onboarding_usd, abs=0.01 * len(once))
    assert all(item.title in text for item in PRICES.items.values())
    assert all(quota.title in text for quota in QUOTAS.quotas.values())
    assert all(key in text for key in PRICES.usage)


def test_the_json_names_a_source_with_a_date_for_every_figure(made):
    found = report.as_json(made)
    for figure in (*found["cost"]["lines"], *found["quotas"]):
        assert figure["source"]["address"].startswith("https://") and figure["source"]["as_of"].startswith("20")
        assert figure["status"] in ("documented", "secondary", "assumption")
    assert found["storm"]["with_raised_quotas"]["seconds"]["100%"] < found["storm"]["with_jitter"]["seconds"]["100%"]


def test_every_step_of_a_plan_tells_its_progress():
    told = []
    small = replace(RETRY, cap_seconds=2.0)
    plan.make(plan.Wish(9_000, 36_000, "us-east-1", 86_400), QUOTAS, PRICES, small, lambda *what: told.append(what[0]))
    assert {"storm with jitter", "storm without jitter", "steady arrival"} <= set(told)


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0.4, "0.4 s"),
        (45, "45 s"),
        (119.9, "120 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (10_000, "2 h 47 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_durations_are_said_as_a_person_says_them(seconds, said):
    assert report.duration(seconds) == said
    assert report.duration(None) == "never"
