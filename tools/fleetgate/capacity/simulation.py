"""A first-boot storm as a discrete-event simulation.

Devices are alike, so an event is not one device but all devices that send the same request for the same time in the same slot of
time: a heap of slots, and in each slot how many devices there are of each kind. That is exact but for the width of a slot, and
its cost grows with the length of a storm and hardly with the number of devices. Random pauses are drawn for every device (how
many of n devices take the first half of a pause is the number of ones in n random bits), not as a share of the crowd.

A service is a token bucket: it takes a request if there is a token, and rejects it at once if there is none. AWS documents rates
and not how much of a rate may come at once; the bucket here holds one second of it (`burst_seconds`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

#: The steps of a device: what it asks for, and which service's rate that counts against.
CLAIM, RESUME, CREATE, REGISTER, OWN = range(5)
CONNECT_SERVICE, CREATE_SERVICE, REGISTER_SERVICE = "connect", "create", "register"
SERVICES = (CONNECT_SERVICE, CREATE_SERVICE, REGISTER_SERVICE)
_SERVICE_OF = {CLAIM: 0, RESUME: 0, CREATE: 1, REGISTER: 2, OWN: 0}
#: RESUME is the claim's connection of a device that has its certificate already and has only to register it.
_NEXT = {CLAIM: CREATE, RESUME: REGISTER, CREATE: REGISTER, REGISTER: OWN}
#: Where a device begins again that gave up at a step: it keeps the certificate that it has (tools/fleetgate/device.py).
_AGAIN = {CLAIM: CLAIM, RESUME: RESUME, CREATE: CLAIM, REGISTER: RESUME, OWN: OWN}
_STEPS = len(_AGAIN)
#: How finely a probability is drawn, in bits.
_PRECISION = 24
#: Up to so many requests of one kind are chosen one by one.
_DRAWN_SINGLY = 48
#: Progress is told after so many slots.
_TOLD_EVERY = 2000


class Retry(Protocol):
    """The part of `fleetgate.device.RetryPolicy` that is asked here."""

    @property
    def attempts(self) -> int: ...

    def ceiling(self, attempt: int) -> float:
        """The longest pause in seconds after failed attempt number `attempt`, which counts from 0."""


@dataclass(frozen=True)
class Client:
    """How a device tries again.

    ceilings: the longest pause in seconds after the first, second … failed attempt; one fewer than there are attempts. If
    `attempts` is None, the last one goes on for ever. jitter: a pause is uniform between nothing and its ceiling; without it, the
    pause is the ceiling. restart_seconds: after how long a device that gave up begins again; None: never.
    connect_pause_seconds: what the client waits at least between two connects.
    """

    name: str
    ceilings: tuple[float, ...]
    attempts: int | None
    jitter: bool
    restart_seconds: float | None = None
    connect_pause_seconds: float = 0.0


def with_jitter(retry: Retry, restart_seconds: float | None) -> Client:
    """The device client as it is: exponential back-off with full jitter, by its own parameters."""
    ceilings = tuple(retry.ceiling(attempt) for attempt in range(retry.attempts - 1))
    return Client("with jitter", ceilings, retry.attempts, True, restart_seconds, connect_pause_seconds=1.0)


def without_jitter(retry: Retry, pause_seconds: float, restart_seconds: float | None) -> Client:
    """A client that tries as often, always after the same pause."""
    return Client("without jitter", (pause_seconds,) * (retry.attempts - 1), retry.attempts, False, restart_seconds)


@dataclass(frozen=True)
class Rates:
    """Requests a second that the services take: connects, certificates, registrations."""

    connect: float
    create: float
    register: float

    @property
    def slowest(self) -> float:
        """Devices a second that can pass at most. Each connects twice: by the claim, and as itself."""
        return min(self.connect / 2, self.create, self.register)


@dataclass(frozen=True)
class Result:
    """What became of `devices`. Times are seconds since the first device was switched on.

    curve: (seconds, devices provisioned by then), rising. restarts: how often a device gave up and began again. given_up: devices
    that gave up for good. requests, rejected and peak (the most requests in one second) are by service.
    mean_seconds: from switching a device on to its first connection as itself, on average; None if some never got there.
    """

    client: str
    devices: int
    provisioned: int
    given_up: int
    restarts: int
    requests: dict[str, int]
    rejected: dict[str, int]
    peak: dict[str, int]
    mean_seconds: float | None
    slot_seconds: float
    curve: tuple[tuple[float, int], ...] = field(repr=False)

    def seconds_until(self, share: float) -> float | None:
        """When `share` (0 to 1) of the devices was provisioned, in seconds; None: never."""
        wanted = math.ceil(share * self.devices)
        found = bisect_left(self.curve, wanted, key=lambda point: point[1])
        return self.curve[found][0] if found < len(self.curve) else None

    @property
    def attempts_per_device(self) -> float:
        """Requests of all kinds, by device; without a single rejection it is 4."""
        return sum(self.requests.values()) / self.devices


def slot_for(seconds: float) -> float:
    """A width of slots, in seconds, that resolves the pauses of a run of about `seconds` and still ends soon.

    In a long storm whole seconds are enough: what is left of it then is the crowd, whose pauses last up to 20 s.
    """
    if seconds <= 1_000:
        return 0.1
    return 0.5 if seconds <= 25_000 else 1.0


def simulate(
    devices: int,
    rates: Rates,
    client: Client,
    *,
    arrival_seconds: float = 0.0,
    request_seconds: float = 0.2,
    burst_seconds: float = 1.0,
    slot_seconds: float | None = None,
    horizon_seconds: float = math.inf,
    seed: int = 1,
    tell: Callable[[int, float], None] | None = None,
) -> Result:
    """Runs a storm of `devices`, all switched on at once or at random times within `arrival_seconds`.

    request_seconds: how long a request takes that was taken. The run ends when nobody tries any more, or at `horizon_seconds`.
    tell(provisioned, seconds): called now and then. The same seed gives the same result.
    """
    expected = max(arrival_seconds, devices / rates.slowest)
    width = slot_seconds or slot_for(expected)
    return _Run(devices, rates, client, request_seconds, burst_seconds, width, horizon_seconds, seed, tell).run(arrival_seconds)


class _Run:
    def __init__(
        self,
        devices: int,
        rates: Rates,
        client: Client,
        request_seconds: float,
        burst_seconds: float,
        width: float,
        horizon_seconds: float,
        seed: int,
        tell: Callable[[int, float], None] | None,
    ) -> None:
        self.devices = devices
        self.client = client
        self.width = width
        self.horizon = horizon_seconds
        self.tell = tell
        self.random = random.Random(seed)  # noqa: S311 - no secret, and a seed makes a run repeatable
        self.rate = (rates.connect, rates.create, rates.register)
        # A bucket that holds less than one token would never give one; nor may it overflow between two slots.
        self.capacity = tuple(max(1.0, rate * max(burst_seconds, width)) for rate in self.rate)
        self.tokens = [max(1.0, rate * burst_seconds) for rate in self.rate]
        self.refilled = 0
        # At least one slot: a request cannot cause another one in its own slot, which is being counted.
        self.latency = max(1, round(request_seconds / width))
        # Attempts that all have the last ceiling, and no end, are one kind.
        self.kinds = client.attempts or len(client.ceilings)
        self.pending: dict[int, list[int]] = {}
        self.slots: list[int] = []
        self.requests = [0, 0, 0]
        self.rejected = [0, 0, 0]
        self.peak = [0, 0, 0]
        self.this_second = [0, 0, 0]
        self.second = -1
        self.restarts = self.given_up = self.provisioned = 0
        #: Slots between switching on and being in, over all devices. The sum needs no identities: all ends less all beginnings.
        self.way = 0
        self.curve: list[tuple[float, int]] = [(0.0, 0)]

    def run(self, arrival_seconds: float) -> Result:
        self._arrive(arrival_seconds)
        turns = 0
        while self.slots and self.slots[0] * self.width <= self.horizon:
            self._turn(heappop(self.slots))
            turns += 1
            if self.tell and turns % _TOLD_EVERY == 0:
                self.tell(self.provisioned, self.curve[-1][0])
        return Result(
            client=self.client.name,
            devices=self.devices,
            provisioned=self.provisioned,
            given_up=self.given_up,
            restarts=self.restarts,
            requests=dict(zip(SERVICES, self.requests, strict=True)),
            rejected=dict(zip(SERVICES, self.rejected, strict=True)),
            peak=dict(zip(SERVICES, map(max, self.peak, self.this_second), strict=True)),
            mean_seconds=self.way * self.width / self.devices if self.provisioned == self.devices else None,
            slot_seconds=self.width,
            curve=tuple(self.curve),
        )

    def _arrive(self, seconds: float) -> None:
        last = round(seconds / self.width)
        if last <= 1:
            self._due(0, CLAIM, 0, self.devices)
            return
        for _ in range(self.devices):
            slot = int(self.random.random() * last)
            self.way -= slot
            self._due(slot, CLAIM, 0, 1)

    def _due(self, slot: int, step: int, attempt: int, number: int) -> None:
        row = self.pending.get(slot)
        if row is None:
            row = self.pending[slot] = [0] * (_STEPS * self.kinds)
            heappush(self.slots, slot)
        row[step * self.kinds + attempt] += number

    def _turn(self, slot: int) -> None:
        self._refill(slot)
        row = self.pending.pop(slot)
        crowds: tuple[list[tuple[int, int]], ...] = ([], [], [])
        for kind, number in enumerate(row):
            if number:
                crowds[_SERVICE_OF[kind // self.kinds]].append((kind, number))
        for service, crowd in enumerate(crowds):
            if crowd:
                self._serve(slot, service, crowd)

    def _refill(self, slot: int) -> None:
        passed = (slot - self.refilled) * self.width
        self.refilled = slot
        self.tokens = [min(c, t + r * passed) for c, t, r in zip(self.capacity, self.tokens, self.rate, strict=True)]
        second = int(slot * self.width)
        if second != self.second:
            self.peak = list(map(max, self.peak, self.this_second))
            self.this_second = [0, 0, 0]
            self.second = second

    def _serve(self, slot: int, service: int, crowd: Sequence[tuple[int, int]]) -> None:
        number = sum(n for _, n in crowd)
        # The sum of many fractions of a token may miss a whole one by a hair.
        taken = min(number, int(self.tokens[service] + 1e-6))
        self.tokens[service] -= taken
        self.requests[service] += number
        self.rejected[service] += number - taken
        self.this_second[service] += number
        accepted = [n for _, n in crowd] if taken == number else self._draw([n for _, n in crowd], number, taken)
        for (kind, asked), good in zip(crowd, accepted, strict=True):
            step, attempt = divmod(kind, self.kinds)
            if good:
                self._pass(slot, step, good)
            if asked > good:
                self._reject(slot, step, attempt, asked - good)

    def _draw(self, numbers: Sequence[int], number: int, taken: int) -> list[int]:
        """Whose requests are taken: each request with the same chance, whatever its kind."""
        accepted = []
        for here in numbers:
            good = self._hypergeometric(here, number, taken)
            accepted.append(good)
            number -= here
            taken -= good
        return accepted

    def _hypergeometric(self, here: int, number: int, taken: int) -> int:
        """How many of `taken`, chosen out of `number`, are among the `here`. Of big crowds it is the normal distribution's."""
        fewer, other = (here, taken) if here < taken else (taken, here)
        if fewer == 0 or other == number:
            return fewer
        if fewer <= _DRAWN_SINGLY:
            good = 0
            for done in range(fewer):
                good += self.random.random() * (number - done) < other - good
            return good
        share = here / number
        deviation = math.sqrt(taken * share * (1 - share) * (number - taken) / (number - 1))
        drawn = round(self.random.gauss(taken * share, deviation))
        return min(max(drawn, taken - (number - here), 0), fewer)

    def _pass(self, slot: int, step: int, number: int) -> None:
        done = slot + self.latency
        if step == OWN:
            self.provisioned += number
            self.way += number * done
            self.curve.append((done * self.width, self.provisioned))
        else:
            self._due(done, _NEXT[step], 0, number)

    def _reject(self, slot: int, step: int, attempt: int, number: int) -> None:
        client = self.client
        if client.attempts is not None and attempt + 1 >= client.attempts:
            self._give_up(slot, step, number)
            return
        ceiling = client.ceilings[min(attempt, len(client.ceilings) - 1)]
        least = round(client.connect_pause_seconds / self.width) if _SERVICE_OF[step] == 0 else 0
        steps = max(1, round(ceiling / self.width))
        following = min(attempt + 1, self.kinds - 1)
        if not client.jitter:
            self._due(slot + least + steps, step, following, number)
            return
        first = slot + least + 1
        for offset, share in enumerate(self._spread(number, steps)):
            if share:
                self._due(first + offset, step, following, share)

    def _give_up(self, slot: int, step: int, number: int) -> None:
        if self.client.restart_seconds is None:
            self.given_up += number
            return
        self.restarts += number
        due = slot + max(1, round(self.client.restart_seconds / self.width))
        self._due(due, _AGAIN[step], 0, number)

    def _spread(self, number: int, slots: int) -> list[int]:
        """`number` devices, each in one of `slots` slots by chance."""
        counts = [0] * slots
        if number * 2 <= slots:
            for _ in range(number):
                counts[int(self.random.random() * slots)] += 1
            return counts
        start = 0
        while slots:
            # The widest power of two, which is then halved by single random bits.
            block = 1 << (slots.bit_length() - 1)
            here = number if block == slots else self._binomial(number, block / slots)
            self._halve(here, start, block, counts)
            number -= here
            start += block
            slots -= block
        return counts

    def _halve(self, number: int, start: int, slots: int, counts: list[int]) -> None:
        while slots > 1 and number:
            slots //= 2
            left = self.random.getrandbits(number).bit_count()
            self._halve(left, start, slots, counts)
            start += slots
            number -= left
        if number:
            counts[start] += number

    def _binomial(self, number: int, probability: float) -> int:
        """How many of `number` have luck: every bit of one long integer has it, by the binary digits of the probability."""
        if not number:
            return 0
        digits = round(probability * (1 << _PRECISION))
        lucky = 0
        for place in range(_PRECISION):
            drawn = self.random.getrandbits(number)
            lucky = (lucky | drawn) if digits >> place & 1 else (lucky & drawn)
        return lucky.bit_count()
