"""What workloads do to simulators: one pod that is most of the traffic, pods that are none, hours, bursts."""

from __future__ import annotations

from math import comb
from pathlib import Path

import pytest

from sim.kernel.plane import DataPlane
from sim.kernel.specs import PodSpec, StartUp
from sim.laws import Constant, Exponential
from sim.traffic import Replay
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, per_request, pod, run

HOUR = 3600


def heavy(index: int, pods: int = 100) -> PodSpec:
    """Of `pods` pods the first gets 63 % of all requests, as one function of the Azure sample does."""
    rate = 63.0 if index == 0 else 37.0 / (pods - 1)
    service = StartUp(application=Exponential(2.0))
    return pod(rate, Exponential(0.5), keda(5, most=40), index=index, slots=5, start_up=service)


def test_a_pod_with_most_of_the_requests_is_as_it_is_alone() -> None:
    end = START + 2 * HOUR * S
    together = DataPlane([HUGE], start_ns=START)
    handles = [together.host(heavy(index), None, START) for index in range(100)]
    for handle in handles:
        together.deploy(handle, START)
    arrivals = [together.counters(handle, end).arrivals for handle in handles]
    assert 0.62 < arrivals[0] / sum(arrivals) < 0.64
    for index in (0, 1, 57, 99):
        alone, handle, _ = run(heavy(index), 2 * HOUR)
        assert alone.counters(handle, end) == together.counters(handles[index], end)
        assert alone.sketch(handle).tobytes() == together.sketch(handles[index]).tobytes()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


BYTES_A_POD = 40_000
"""A sketch of latencies (15 KB), an index of cold ones, state, draws, the spec, and as much again for growth by doubling."""


@pytest.mark.parametrize("pods", [10_000, pytest.param(100_000, marks=pytest.mark.wide)])
def test_pods_without_requests_cost_their_memory_alone(pods: int) -> None:
    DataPlane([HUGE], start_ns=START)  # loads what is compiled
    before = resident_bytes()
    plane = DataPlane([HUGE], start_ns=START)
    for index in range(pods):
        plane.deploy(plane.host(pod(Replay(()), 1.0, keda(), index=index), None, START), START)
    end = START + 30 * 24 * HOUR * S
    plane.advance(end)
    assert (resident_bytes() - before) / pods < BYTES_A_POD
    totals = plane.totals(end)
    assert totals["arrivals"] == totals["served"] == totals["failed"] == totals["billed"] == 0
    assert len(plane.take_transitions()) == 0


def test_requests_of_hours_over_a_year() -> None:
    """One each 10 h, each of 7 h: a replica starts for each, 10 s, and ends 300 s after its end."""
    count = 365 * 24 // 10
    first = 1234
    times = Replay(tuple((first + k * 10 * HOUR) * S for k in range(count)))
    start = StartUp(application=Constant(10.0))
    for rule in (keda(1), per_request(300, 5)):
        plane, handle, end = run(pod(times, 7.0 * HOUR, rule, start_up=start), 366 * 24 * HOUR)
        c = plane.counters(handle, end)
        assert (c.arrivals, c.served, c.cold, c.starts) == (count, count, count, count)
        assert c.latency_ns == count * (7 * HOUR + 10) * S
        assert c.wait_ns == count * 10 * S
        assert c.billed_ms == count * (10 + 7 * HOUR + 300) * 1000
        assert c.system_request_ns == c.latency_ns
        assert c.busy_replica_ns == count * 7 * HOUR * S


BURST = 100_000
EVERY_NS = S // BURST
MS = 1_000_000


def burst(rule: object, **more: object) -> PodSpec:
    """So many requests at even distances in the second from 100 s on, 10 ms of service each."""
    times = Replay(tuple(100 * S + k * EVERY_NS for k in range(BURST)))
    return pod(times, 0.01, rule, sample_every=1, **more)  # type: ignore[arg-type]


def test_a_burst_onto_zero_replicas() -> None:
    """One replica is ready 2 s after the first came, and serves them one after the other."""
    spec = burst(keda(100, most=1), start_up=StartUp(application=Constant(2.0)))
    plane, handle, end = run(spec, 2_000)
    requests = plane.take_requests()
    assert requests["index"].tolist() == list(range(BURST))  # by their ends
    begun = [START + 102 * S + k * 10 * MS for k in range(BURST)]
    assert requests["start_ns"].tolist() == begun
    c = plane.counters(handle, end)
    assert (c.served, c.cold, c.starts, c.delayed) == (BURST, BURST, 1, BURST)
    waits_ns = BURST * 2 * S + comb(BURST, 2) * (10 * MS - EVERY_NS)
    assert c.wait_ns == waits_ns
    assert c.latency_ns == c.system_request_ns == waits_ns + BURST * 10 * MS
    assert c.billed_ms == 2_000 + 10 * BURST + 300_000


def test_a_burst_onto_as_many_replicas_as_there_may_be() -> None:
    """A thousand replicas, each of which serves one hundred: a batch each 10 ms."""
    spec = burst(per_request(60, 1000), start_up=StartUp(application=Constant(2.0)))
    plane, handle, end = run(spec, 2_000)
    c = plane.counters(handle, end)
    assert (c.served, c.starts, c.busy_replica_ns) == (BURST, 1000, BURST * 10 * MS)
    # Replica j is ready 2 s after request j came and takes the oldest that waits: j, j + 1000, ...
    waits_ns = sum(2 * S + (k % 1000) * EVERY_NS + k // 1000 * 10 * MS - k * EVERY_NS for k in range(BURST))
    assert c.wait_ns == waits_ns


def test_a_burst_that_nobody_serves_in_time() -> None:
    """Ready at 150 s, and the facade waits for 40 s."""
    spec = burst(fixed(1), start_up=StartUp(application=Constant(150.0)), wait_limit_ns=40 * S)
    plane, handle, end = run(spec, 200)
    requests = plane.take_requests()
    arrived = [START + 100 * S + k * EVERY_NS for k in range(BURST)]
    assert requests["end_ns"].tolist() == [at + 40 * S for at in arrived]
    c = plane.counters(handle, end)
    assert (c.arrivals, c.failed["timeout"], c.served, c.held) == (BURST, BURST, 0, 0)
    assert c.system_request_ns == BURST * 40 * S
