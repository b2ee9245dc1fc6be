"""The data plane against queueing theory (Erlang, Pollaczek and Khinchine, processor sharing).

Each case runs independent replications; a figure must lie within 4.5 standard errors of its known value
(a right kernel fails one such check in 150,000), and the standard errors must be small enough that a wrong
one would be seen.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from sim.kernel.plane import DataPlane
from sim.kernel.specs import PodSpec
from sim.laws import Constant, Exponential, Law, Lognormal, Uniform
from tests.sim.kernel.worlds import HUGE, START, S, fixed, pod

Z = 4.5
RUNS = 24


def figures(
    make: Callable[[int], PodSpec], warm_s: float, long_s: float, runs: int = RUNS
) -> dict[str, list[float]]:
    """Per replication, after the warm-up: mean wait, mean time in system, share that waits, share lost."""
    out: dict[str, list[float]] = {"wait": [], "system": [], "delayed": [], "lost": [], "number": []}
    for seed in range(runs):
        plane = DataPlane([HUGE], start_ns=START)
        handle = plane.host(make(seed), None, START)
        plane.deploy(handle, START)
        warm = START + round(warm_s * S)
        end = warm + round(long_s * S)
        a = plane.counters(handle, warm)
        b = plane.counters(handle, end)
        begun = (b.served + b.in_flight) - (a.served + a.in_flight)
        out["wait"].append((b.wait_ns - a.wait_ns) / begun / S)
        out["system"].append((b.latency_ns - a.latency_ns) / (b.served - a.served) / S)
        out["delayed"].append((b.delayed - a.delayed) / begun)
        out["lost"].append((b.failed["overflow"] - a.failed["overflow"]) / (b.arrivals - a.arrivals))
        out["number"].append((b.system_request_ns - a.system_request_ns) / (end - warm))
    return out


def agrees(values: list[float], known: float, sharpness: float) -> None:
    """Within Z standard errors of `known`, which are at most `sharpness` of it."""
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / len(values) ** 0.5
    assert Z * error <= sharpness * known, f"too blunt: {mean} +- {error}, known {known}"
    assert abs(mean - known) <= Z * error, f"{mean} +- {error}, known {known}"


@pytest.mark.parametrize(
    ("servers", "delayed", "wait", "sharp"),
    [
        (2, 0.84678014, 8.1015822, 0.09),
        (3, 0.35129101, 0.57894247, 0.03),
        (4, 0.12685495, 0.11438259, 0.03),
    ],
)
@pytest.mark.parametrize("shape", ["slots of one replica", "replicas"])
def test_m_m_c(servers: int, delayed: float, wait: float, sharp: float, shape: str) -> None:
    def make(seed: int) -> PodSpec:
        if shape == "replicas":
            rule, slots = fixed(servers), 1
        else:
            rule, slots = fixed(1), servers
        return pod(0.9, Exponential(1.991), rule, seed=seed, slots=slots, dispatch="central")

    got = figures(make, 2_000, 400_000 if servers == 2 else 200_000)
    agrees(got["delayed"], delayed, sharp)
    agrees(got["wait"], wait, sharp)


def test_m_m_10_at_nine_tenths() -> None:
    got = figures(lambda n: pod(9, Exponential(1), fixed(10), seed=n, dispatch="central"), 1_000, 40_000)
    agrees(got["wait"], 0.66873152, 0.06)


def test_a_random_split_waits_as_four_queues() -> None:
    got = figures(lambda n: pod(0.9, Exponential(1.991), fixed(4), seed=n, dispatch="random"), 2_000, 200_000)
    agrees(got["wait"], 1.6157, 0.04)


def test_m_m_1() -> None:
    got = figures(lambda n: pod(0.8, Exponential(1), fixed(1), seed=n), 2_000, 200_000)
    agrees(got["system"], 5.0, 0.06)
    agrees(got["number"], 4.0, 0.06)


def test_m_d_1() -> None:
    got = figures(lambda n: pod(0.8, Constant(1), fixed(1), seed=n), 2_000, 200_000)
    agrees(got["wait"], 2.0, 0.04)


@pytest.mark.parametrize("law", [Constant(1), Exponential(1), Uniform(0, 2), Lognormal(1, 1.2)])
def test_processor_sharing_is_insensitive(law: Law) -> None:
    got = figures(lambda n: pod(0.8, law, fixed(1), seed=n, discipline="processor_sharing"), 2_000, 100_000)
    agrees(got["system"], 5.0, 0.08)


def test_erlang_b() -> None:
    got = figures(
        lambda n: pod(9, Exponential(1), fixed(1), seed=n, slots=10, dispatch="central", queue_limit=0),
        100,
        20_000,
    )
    agrees(got["lost"], 0.16796323, 0.02)
    assert max(got["wait"]) == 0.0


def test_the_least_loaded_and_one_queue_differ_as_they_should() -> None:
    """Joining the shortest of four queues waits longer than one queue and far less than a random split."""
    got = figures(lambda n: pod(0.9, Exponential(1.991), fixed(4), seed=n), 2_000, 100_000)
    assert 0.1144 < statistics.fmean(got["wait"]) < 0.4
