"""The peers: what others would use, or write by hand, for the same work.

All but Ciw have the SimFaaS workload: a request takes the replica that is idle for the shortest time (SimFaaS: the
newest), or starts one; a replica is gone after 600 s without a request. Each is written the way a careful person
would, and gives the same answer (`beside.py` holds them to it).

Ciw simulates networks of queues. A node of it has a number of servers that is given or follows a timetable; it has
batches, priorities, blocking, reneging, routing. It has no server that begins because a request finds none idle, takes
longer for its first one and ends after a time without any. So Ciw gets M/M/4 with the same arrivals and the warm
service, and the data plane is measured on that too.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator, Iterable
from typing import Any

import simpy

from benchmarks.task import BATCHES, COLD_S, EXPIRY_S, RATE, SERVERS, WARM_S, Done


def batched(instants_s: Iterable[float], horizon_s: float) -> list[float]:
    """How many of the instants are in each of the `BATCHES`."""
    counts = [0.0] * BATCHES
    for at in instants_s:
        counts[min(int(at * BATCHES / horizon_s), BATCHES - 1)] += 1
    return counts


def heap_loop(horizon_s: float, seed: int) -> Done:
    """A heap of departures and a stack of idle replicas."""
    chance = random.Random(seed)
    busy: list[float] = []
    idle: list[float] = []  # instants since when, newest last
    cold: list[float] = []
    now, requests, first = 0.0, 0, 0
    while True:
        now += chance.expovariate(RATE)
        if now > horizon_s:
            return Done(requests, batched(cold, horizon_s))
        requests += 1
        while busy and busy[0] <= now:
            idle.append(heapq.heappop(busy))
        while first < len(idle) and idle[first] + EXPIRY_S < now:
            first += 1
        if len(idle) > first:
            idle.pop()
            heapq.heappush(busy, now + chance.expovariate(1 / WARM_S))
        else:
            cold.append(now)
            heapq.heappush(busy, now + chance.expovariate(1 / COLD_S))
        if first > 1_000:
            del idle[:first]
            first = 0


class Replicas:
    """The idle replicas of the two SimPy shapes, by the instants since when; what a request does when it comes."""

    def __init__(self, env: simpy.Environment, seed: int) -> None:
        self.env = env
        self.chance = random.Random(seed)
        self.idle: list[float] = []
        self.cold: list[float] = []

    def demand_s(self) -> float:
        """A replica for a request that comes now, and how long it takes."""
        while self.idle and self.idle[0] + EXPIRY_S < self.env.now:
            del self.idle[0]
        if self.idle:
            self.idle.pop()
            return self.chance.expovariate(1 / WARM_S)
        self.cold.append(self.env.now)
        return self.chance.expovariate(1 / COLD_S)


def simpy_processes(horizon_s: float, seed: int) -> Done:
    """A process for each request, as SimPy's own examples are written."""
    env = simpy.Environment()
    replicas = Replicas(env, seed)
    requests = 0

    def request() -> Generator[Any, Any, None]:
        yield env.timeout(replicas.demand_s())
        replicas.idle.append(env.now)

    def clients() -> Generator[Any, Any, None]:
        nonlocal requests
        while True:
            yield env.timeout(replicas.chance.expovariate(RATE))
            requests += 1
            env.process(request())

    env.process(clients())
    env.run(until=horizon_s)
    return Done(requests, batched(replicas.cold, horizon_s))


def simpy_timers(horizon_s: float, seed: int) -> Done:
    """No process a request: one for the clients, and a timer with a callback for each departure."""
    env = simpy.Environment()
    replicas = Replicas(env, seed)
    requests = 0

    def departs(_: simpy.Event) -> None:
        replicas.idle.append(env.now)

    def clients() -> Generator[Any, Any, None]:
        nonlocal requests
        while True:
            yield simpy.Timeout(env, replicas.chance.expovariate(RATE))
            requests += 1
            timer = simpy.Timeout(env, replicas.demand_s())
            timer.callbacks = [departs]

    env.process(clients())
    env.run(until=horizon_s)
    return Done(requests, batched(replicas.cold, horizon_s))


def simfaas(horizon_s: float, seed: int) -> Done:
    """SimFaaS's own simulator, as its examples call it."""
    import numpy as np
    from simfaas.ServerlessSimulator import ServerlessSimulator

    np.random.seed(seed)  # noqa: NPY002  (what it draws from)
    simulator = ServerlessSimulator(
        arrival_rate=RATE,
        warm_service_rate=1 / WARM_S,
        cold_service_rate=1 / COLD_S,
        expiration_threshold=EXPIRY_S,
        max_time=horizon_s,
    )
    simulator.generate_trace(debug_print=False, progress=False)
    cold = [simulator.hist_times[k] for k in simulator.hist_req_cold_idxs]
    return Done(simulator.total_req_count, batched(cold, horizon_s))


def ciw(horizon_s: float, seed: int) -> Done:
    """M/M/4 in Ciw; mean waits."""
    import ciw

    ciw.seed(seed)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=RATE)],
        service_distributions=[ciw.dists.Exponential(rate=1 / WARM_S)],
        number_of_servers=[SERVERS],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(horizon_s)
    records = simulation.get_all_records()
    counts = batched((record.arrival_date for record in records), horizon_s)
    waits = [0.0] * BATCHES
    for record in records:
        waits[min(int(record.arrival_date * BATCHES / horizon_s), BATCHES - 1)] += record.waiting_time
    return Done(len(records), [wait / count for wait, count in zip(waits, counts, strict=True)])
