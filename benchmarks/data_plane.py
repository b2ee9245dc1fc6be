"""How fast the data plane is, beside a hand-written event loop and a SimPy process a request.

Everything is measured in one run on one core and printed as it was measured:

1. the SimFaaS workload (Poisson 0.9/s, warm exponential 1.991 s, cold 2.244 s, expiry 600 s), three ways;
2. memory at 1e5 and at 1e7 virtual seconds;
3. 10,000 pods with the `keda` policy at mixed rates in one cluster, advanced in windows of 100 s.

Run: python -m benchmarks.data_plane
"""

from __future__ import annotations

import gc
import heapq
import random
import time
from collections.abc import Callable, Generator
from typing import Any

import psutil
import simpy

from protocol import scaling
from protocol.units import NS_PER_S
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Keys, NodeSpec, PodSpec, Scaling, StartUp
from sim.laws import Constant, Exponential, Lognormal
from sim.traffic import Poisson

RATE, WARM_S, COLD_S, EXPIRY_S = 0.9, 1.991, 2.244, 600.0
START_NS = 1_700_000_000 * NS_PER_S


def heap_loop(horizon_s: float) -> tuple[int, int]:
    """The same model as a careful person writes it in plain Python: (requests, cold)."""
    chance = random.Random(1)
    busy: list[float] = []
    idle: list[float] = []  # instants since when, newest last
    now, requests, cold, first = 0.0, 0, 0, 0
    while True:
        now += chance.expovariate(RATE)
        if now > horizon_s:
            return requests, cold
        requests += 1
        while busy and busy[0] <= now:
            idle.append(heapq.heappop(busy))
        while first < len(idle) and idle[first] + EXPIRY_S < now:
            first += 1
        if len(idle) > first:
            idle.pop()
            heapq.heappush(busy, now + chance.expovariate(1 / WARM_S))
        else:
            cold += 1
            heapq.heappush(busy, now + chance.expovariate(1 / COLD_S))
        if first > 1_000:
            del idle[:first]
            first = 0


def simpy_process(horizon_s: float) -> tuple[int, int]:
    """A SimPy process for each request: (requests, cold)."""
    chance = random.Random(1)
    env = simpy.Environment()
    idle: list[float] = []
    count = [0, 0]

    def request() -> Generator[Any, Any, None]:
        while idle and idle[0] + EXPIRY_S < env.now:
            idle.pop(0)
        if idle:
            idle.pop()
            yield env.timeout(chance.expovariate(1 / WARM_S))
        else:
            count[1] += 1
            yield env.timeout(chance.expovariate(1 / COLD_S))
        idle.append(env.now)

    def clients() -> Generator[Any, Any, None]:
        while True:
            yield env.timeout(chance.expovariate(RATE))
            count[0] += 1
            env.process(request())

    env.process(clients())
    env.run(until=horizon_s)
    return count[0], count[1]


def kernel(horizon_s: float) -> tuple[int, int]:
    """The data plane: (requests, cold)."""
    plane = DataPlane([NodeSpec(10**9, 1 << 50)], start_ns=START_NS)
    spec = PodSpec(
        pod_index=0,
        keys=Keys.of(1, 0, "publishers[0]"),
        traffic=Poisson.constant(RATE),
        service=Exponential(WARM_S),
        first_service=Exponential(COLD_S),
        scaling=Scaling("per_request", tuple(scaling.per_request_params(idle_ns=round(EXPIRY_S * NS_PER_S)))),
    )
    handle = plane.host(spec, None, START_NS)
    plane.deploy(handle, START_NS)
    done = plane.counters(handle, START_NS + round(horizon_s * NS_PER_S))
    return done.arrivals, done.cold


def timed(model: Callable[[float], tuple[int, int]], horizon_s: float, runs: int) -> float:
    """Requests per second of processor time, the best of `runs`."""
    best = 0.0
    requests = cold = 0
    for _ in range(runs):
        before = time.process_time()
        requests, cold = model(horizon_s)
        best = max(best, requests / (time.process_time() - before))
    print(f"  {model.__name__:14} {best / 1e6:9.3f} M requests/s   P(cold) {cold / requests:.5f}")
    return best


def many_pods(pods: int, horizon_s: int, window_s: int) -> None:
    """`pods` keda pods: half at 0.01/s, most others at 1/s, one in a hundred at 50/s."""
    nodes = [NodeSpec(64_000, 256 << 30)] * (pods // 20)
    plane = DataPlane(nodes, start_ns=START_NS)
    rule = Scaling("keda", tuple(scaling.keda_params(target_m=2_000)))
    handles = []
    for k in range(pods):
        rate = 50.0 if k % 100 == 0 else 0.01 if k % 2 else 1.0
        spec = PodSpec(
            pod_index=k,
            keys=Keys.of(1, 0, f"publishers[{k}]"),
            traffic=Poisson.constant(rate),
            service=Lognormal(0.3, 1.0),
            scaling=rule,
            slots=2,
            cpu_millis=250,
            memory_bytes=256 << 20,
            image_id=k % 500,
            image_bytes=200_000_000,
            start_up=StartUp(Constant(0.5), 0, Exponential(1.0)),
        )
        handles.append(plane.host(spec, None, START_NS))
    for handle in handles:
        plane.deploy(handle, START_NS)
    before = time.process_time()
    rows = 0
    for at in range(window_s, horizon_s + 1, window_s):
        plane.advance(START_NS + at * NS_PER_S)
        rows += len(plane.take_transitions())
    spent = time.process_time() - before
    end = START_NS + horizon_s * NS_PER_S
    requests = sum(plane.counters(handle, end).arrivals for handle in handles)
    billed = sum(plane.counters(handle, end).billed for handle in handles)
    print(
        f"  {pods} pods, windows of {window_s} s: {requests / 1e6:.1f} M requests in {spent:.2f} s of one core: "
        f"{requests / spent / 1e6:.2f} M/s; {rows} transitions, {billed} replicas at the end"
    )


def main() -> None:
    """Measures and prints."""
    process = psutil.Process()
    began = time.perf_counter()
    kernel(10.0)
    print(f"compiled or loaded in {time.perf_counter() - began:.2f} s")
    print("SimFaaS workload, one core:")
    ours = timed(kernel, 2e6, 3)
    loop = timed(heap_loop, 2e5, 2)
    process_each = timed(simpy_process, 3e4, 2)
    print(
        f"  ratios: {ours / loop:.1f} x the heap loop, {ours / process_each:.0f} x a SimPy process a request"
    )
    for horizon_s in (1e5, 1e7):
        gc.collect()
        kernel(horizon_s)
        print(f"  resident after T = {horizon_s:.0e} s: {process.memory_info().rss / 2**20:.0f} MiB")
    print("keda, mixed rates:")
    many_pods(1_000, 2_000, 100)
    many_pods(10_000, 1_000, 100)
    many_pods(10_000, 1_000, 10)
    print(f"  resident: {process.memory_info().rss / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
