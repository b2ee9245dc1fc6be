"""Work for the data plane, and the same for the reference engine where it can be waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from benchmarks.task import BATCHES, COLD_S, EXPIRY_S, RATE, SERVERS, WARM_S, Done
from protocol import scaling
from protocol.units import NEVER_NS, NS_PER_S
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Keys, NodeSpec, PodSpec, Scaling, StartUp
from sim.laws import Constant, Exponential, Lognormal
from sim.reference.plane import ReferencePlane
from sim.traffic import Poisson, Trace

Plane = type[DataPlane] | type[ReferencePlane]

START_NS: Final = 1_700_000_000 * NS_PER_S
ROOMY: Final = NodeSpec(10**9, 1 << 50)


def at(seconds: float) -> int:
    """An instant of the run [Unix ns]."""
    return START_NS + round(seconds * NS_PER_S)


def deployed(plane: DataPlane | ReferencePlane, specs: Sequence[PodSpec]) -> list[int]:
    """The pods' handles, in a plane where they run from the start."""
    handles = [plane.host(spec, None, START_NS) for spec in specs]
    for handle in handles:
        plane.deploy(handle, START_NS)
    return handles


def faas(engine: Plane, horizon_s: float, seed: int) -> Done:
    """The SimFaaS workload; counts cold starts."""
    plane = engine([ROOMY], start_ns=START_NS)
    rule = Scaling("per_request", tuple(scaling.per_request_params(idle_ns=round(EXPIRY_S * NS_PER_S))))
    spec = PodSpec(
        0,
        Keys.of(seed, 0, "publishers[0]"),
        Poisson.constant(RATE),
        Exponential(WARM_S),
        rule,
        first_service=Exponential(COLD_S),
    )
    (handle,) = deployed(plane, [spec])
    seen = [plane.counters(handle, at(horizon_s * k / BATCHES)) for k in range(BATCHES + 1)]
    colds = [float(b.cold - a.cold) for a, b in pairwise(seen)]
    return Done(seen[-1].arrivals, colds)


def queue(engine: Plane, horizon_s: float, seed: int) -> Done:
    """M/M/4 with one queue; mean waits."""
    plane = engine([ROOMY], start_ns=START_NS)
    spec = PodSpec(
        0,
        Keys.of(seed, 0, "publishers[0]"),
        Poisson.constant(RATE),
        Exponential(WARM_S),
        Scaling("fixed", tuple(scaling.fixed_params(SERVERS))),
        dispatch="central",
        wait_limit_ns=NEVER_NS,
    )
    (handle,) = deployed(plane, [spec])
    seen = [plane.counters(handle, at(horizon_s * k / BATCHES)) for k in range(BATCHES + 1)]
    waits = [(b.wait_ns - a.wait_ns) / NS_PER_S / (b.arrivals - a.arrivals) for a, b in pairwise(seen)]
    return Done(seen[-1].arrivals, waits)


# ------------------------------------------------------------ many pods


def pod(index: int, rate_per_s: float) -> PodSpec:
    """A pod of the market: `keda`, two slots, 0.3 s a request, an image of 200 MB, a start of 1.5 s."""
    return PodSpec(
        pod_index=index,
        keys=Keys.of(1, 0, f"publishers[{index}]"),
        traffic=Poisson.constant(rate_per_s),
        service=Lognormal(0.3, 1.0),
        scaling=Scaling("keda", tuple(scaling.keda_params(target_m=2_000))),
        slots=2,
        cpu_millis=250,
        memory_bytes=256 << 20,
        image_id=index % 500,
        image_bytes=200_000_000,
        start_up=StartUp(Constant(0.5), 0, Exponential(1.0)),
    )


def mixed(count: int) -> list[PodSpec]:
    """Half at 0.01/s, most others at 1/s, one in a hundred at 50/s: 0.995/s a pod."""
    return [pod(k, 50.0 if k % 100 == 0 else 0.01 if k % 2 else 1.0) for k in range(count)]


def skewed(count: int, share: float) -> list[PodSpec]:
    """As many requests as `mixed` has, `share` of them at the first pod and the others spread evenly."""
    total = 0.995 * count
    rest = total * (1 - share) / (count - 1)
    return [pod(k, rest if k else total * share) for k in range(count)]


def in_windows(specs: Sequence[PodSpec], horizon_s: int, window_s: int) -> tuple[int, float]:
    """A cluster of the pods, advanced a window at a time and its rows taken: (requests, processor time [s]).

    The time is that of advancing; hosting and deploying come before it.
    """
    plane = DataPlane([NodeSpec(64_000, 256 << 30)] * max(1, len(specs) // 20), start_ns=START_NS)
    handles = deployed(plane, specs)
    before = time.process_time()
    for end in range(window_s, horizon_s + 1, window_s):
        plane.advance(at(end))
        plane.take_transitions()
    took_s = time.process_time() - before
    return sum(plane.counters(handle, at(horizon_s)).arrivals for handle in handles), took_s


# ------------------------------------------------------------ the unpleasant


def without_requests(count: int, of_a_provider: int, hours: int) -> int:
    """Pods that nobody calls, at providers with so many each, in windows of 100 s: requests (none)."""
    requests = 0
    planes = []
    for first in range(0, count, of_a_provider):
        plane = DataPlane([ROOMY], start_ns=START_NS)
        deployed(plane, [pod(k, 0.0) for k in range(first, min(first + of_a_provider, count))])
        planes.append(plane)
    for end in range(100, hours * 3600 + 1, 100):
        for plane in planes:
            plane.advance(at(end))
    for plane in planes:
        requests += plane.totals(at(hours * 3600))["arrivals"]
    return requests


def long_service(days: int, mean_h: float) -> tuple[int, int]:
    """0.9 requests/s of exponential service of `mean_h` hours, at 100 slots a replica: (requests, in service)."""
    plane = DataPlane([ROOMY], start_ns=START_NS)
    spec = replace(
        pod(0, RATE),
        service=Exponential(mean_h * 3600),
        slots=100,
        scaling=Scaling("keda", tuple(scaling.keda_params(target_m=80_000, max_replicas=1_000))),
    )
    (handle,) = deployed(plane, [spec])
    for end in range(100, days * 86_400 + 1, 100):
        plane.advance(at(end))
        plane.take_transitions()
    counters = plane.counters(handle, at(days * 86_400))
    return counters.arrivals, counters.in_flight


def burst(requests: int, wait_limit_ns: int) -> tuple[int, int]:
    """So many requests within one second onto a pod at zero replicas, then an hour: (served, failed)."""
    plane = DataPlane([ROOMY], start_ns=START_NS)
    spec = replace(pod(0, 0.0), traffic=Trace([requests], "bursty"), slots=10, wait_limit_ns=wait_limit_ns)
    (handle,) = deployed(plane, [spec])
    for end in range(100, 3_601, 100):
        plane.advance(at(end))
        plane.take_transitions()
    counters = plane.counters(handle, at(3_600))
    return counters.served, sum(counters.failed.values())
