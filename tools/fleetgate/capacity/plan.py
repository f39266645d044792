"""One capacity plan: the storm with both clients, a steady arrival, quotas and costs, computed from the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fleetgate.capacity import advice, closed_form, cost, simulation
from fleetgate.capacity.advice import Advice
from fleetgate.capacity.closed_form import Steady
from fleetgate.capacity.cost import Bill
from fleetgate.capacity.simulation import Client, Rates, Result, Retry
from fleetgate.capacity.tables import Prices, Quotas

#: A run ends at so many times its lower bound: what has not come in by then is told as never.
_HORIZON = 100.0
Tell = Callable[[str, int, float], None]


@dataclass(frozen=True)
class Wish:
    """What is asked. per_hour: devices an hour; within_seconds: when a storm of all of them is to be over."""

    devices: int
    per_hour: float
    region: str
    within_seconds: float
    seed: int = 1


@dataclass(frozen=True)
class Plan:
    """The answer. attempts: of a device at one request. least_seconds: the storm's lower bound.

    unaided: the storm if nobody restarts a device that gave up.
    raised: the storm after the advice was followed; None if nothing is to be raised for it.
    """

    wish: Wish
    attempts: int
    rates: Rates
    bottlenecks: tuple[str, ...]
    least_seconds: float
    storm: Result
    naive: Result
    unaided: Result
    arrival: Result
    steady: Steady
    raised: Result | None
    raised_least_seconds: float | None
    advices: tuple[Advice, ...]
    bill: Bill
    quotas: Quotas
    prices: Prices


def make(wish: Wish, quotas: Quotas, prices: Prices, retry: Retry, tell: Tell | None = None) -> Plan:
    """Computes the plan. retry: the device client's policy. tell(what runs, devices provisioned, simulated seconds): progress."""
    model = quotas.model
    restart = model.restart_seconds or None
    jitter = simulation.with_jitter(retry, restart)
    now = advice.rates(quotas, wish.region)

    def run(label: str, rates: Rates, client: Client, arrival_seconds: float = 0.0) -> Result:
        least = max(arrival_seconds, wish.devices / rates.slowest)
        return simulation.simulate(
            wish.devices,
            rates,
            client,
            arrival_seconds=arrival_seconds,
            request_seconds=model.request_seconds,
            burst_seconds=model.burst_seconds,
            horizon_seconds=_HORIZON * max(least, 3600.0),
            seed=wish.seed,
            tell=(lambda done, seconds: tell(label, done, seconds)) if tell else None,
        )

    advices = advice.advise(quotas, prices.usage, wish.region, wish.devices, wish.per_hour, wish.within_seconds)
    storm = run("storm with jitter", now, jitter)
    naive = run("storm without jitter", now, simulation.without_jitter(retry, model.fixed_pause_seconds, restart))
    unaided = run("storm without restarts", now, simulation.with_jitter(retry, None))
    arriving = wish.devices / wish.per_hour * 3600
    arrival = run("steady arrival", now, jitter, arriving)
    raised_rates = advice.rates(quotas, wish.region, {a.key: a.raise_to for a in advices if a.raise_to})
    raised = raised_rates != now
    return Plan(
        wish=wish,
        attempts=retry.attempts,
        rates=now,
        bottlenecks=tuple(advice.bottlenecks(quotas, wish.region)),
        least_seconds=closed_form.least_seconds(wish.devices, now.slowest, now.slowest * model.burst_seconds),
        storm=storm,
        naive=naive,
        unaided=unaided,
        arrival=arrival,
        steady=closed_form.steady(wish.devices, wish.per_hour / 3600, now.slowest),
        raised=run("storm with raised quotas", raised_rates, jitter) if raised else None,
        raised_least_seconds=closed_form.least_seconds(wish.devices, raised_rates.slowest) if raised else None,
        advices=tuple(advices),
        bill=cost.bill(prices, wish.region, wish.devices, storm),
        quotas=quotas,
        prices=prices,
    )
