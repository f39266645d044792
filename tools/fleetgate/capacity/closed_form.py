"""What a storm takes on paper: the figures that the simulation is held against.

Sources: a server that takes m requests a second needs N/m seconds for N of them; the mean wait in an M/D/1 queue of load r is
r/(2m(1-r)) (the Pollaczek-Khinchine formula with constant service); with more arrivals than the server takes, the queue grows
as a fluid does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steady:
    """Devices that arrive at random, `arrival` a second, for N/arrival seconds, before a service that takes `service` a second.

    load: arrival/service. seconds: until the last one is in. backlog: devices that wait when the last one arrives, without those
    that wait by chance. mean_wait: seconds in the queue of an ideal server: M/D/1 below a load of 1, the fluid's above it.
    """

    load: float
    seconds: float
    backlog: float
    mean_wait: float


def least_seconds(devices: int, rate: float, burst: float = 0.0) -> float:
    """No storm of `devices` ends sooner at `rate` a second, of which `burst` requests may come at once."""
    return max(0.0, (devices - burst) / rate)


def steady(devices: int, arrival: float, service: float) -> Steady:
    """The closed form of a steady arrival; rates are a second."""
    load = arrival / service
    arriving = devices / arrival
    if load >= 1:
        backlog = devices * (1 - 1 / load)
        return Steady(load, devices / service, backlog, backlog / service / 2)
    return Steady(load, arriving, 0.0, load / (2 * service * (1 - load)))
