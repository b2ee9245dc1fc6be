"""Contention for a node's processors against queueing theory: shared equally, by weight, and up to a limit.

A pod of the policy `per_request` whose replicas start at once gives every request a replica of its own. Where
each can use the whole node, the node is a queue with processor sharing; where pods reserve different amounts,
with discriminatory processor sharing (Fayolle, Mitrani and Iasnogorodski, Journal of the ACM 27, 1980). Figures
must lie within 4.5 standard errors of their known values, as in `agreement`.
"""

from __future__ import annotations

import numpy as np
import pytest

from sim.kernel.plane import DataPlane
from sim.kernel.specs import NodeSpec, PodSpec
from sim.laws import Constant, Exponential, Law, Lognormal, Uniform
from sim.traffic import Replay
from tests.sim.kernel.worlds import START, S, fixed, per_request, pod
from tests.theory.agreement import agrees

CORE = NodeSpec(1000, 1000)
RUNS = 24
WARM_S = 2_000


def crowd(rate: float, law: Law, seed: int, *, index: int = 0, weight: int = 1, limit: int = 1000) -> PodSpec:
    """A pod that runs each request on a replica of its own, which reserves `weight` millicores."""
    return pod(
        rate,
        law,
        per_request(0, 900),
        index=index,
        seed=seed,
        cpu_millis=weight,
        cpu_limit_millis=limit,
        sample_every=1,
    )


def systems(specs: list[PodSpec], long_s: float) -> list[float]:
    """The mean time in the system of each pod's requests after the warm-up [s]."""
    plane = DataPlane([CORE], start_ns=START)
    handles = [plane.host(spec, None, START) for spec in specs]
    for handle in handles:
        plane.deploy(handle, START)
    warm = START + WARM_S * S
    before = [plane.counters(handle, warm) for handle in handles]
    after = [plane.counters(handle, warm + round(long_s * S)) for handle in handles]
    assert all(c.wait_ns == 0 and sum(c.failed.values()) == 0 for c in after)
    return [
        (b.latency_ns - a.latency_ns) / (b.served - a.served) / S for a, b in zip(before, after, strict=True)
    ]


@pytest.mark.parametrize("law", [Constant(1), Exponential(1), Uniform(0, 2), Lognormal(1, 1.2)])
def test_many_pods_of_equal_weight_are_one_queue_with_processor_sharing(law: Law) -> None:
    """W = E[S] / (1 - ρ), whatever the law: ten pods that each have a tenth of the load."""
    means = []
    for seed in range(RUNS):
        specs = [crowd(0.08, law, seed, index=i) for i in range(10)]
        means.append(float(np.mean(systems(specs, 60_000))))
    agrees(means, 5.0, 0.08)


def test_a_limit_of_half_the_node_makes_two_processors() -> None:
    """M/M/2 with processor sharing has the number in the system of M/M/2: W = E[S] + C(2, a) / (2μ - λ), a = 1.6."""
    lam, mean = 0.8, 2.0
    a = lam * mean
    waits = a**2 / 2 / (1 - a / 2) / (1 + a + a**2 / 2 / (1 - a / 2))
    got = [systems([crowd(lam, Exponential(mean), seed, limit=500)], 80_000)[0] for seed in range(RUNS)]
    agrees(got, mean + waits / (2 / mean - lam), 0.06)


def test_weights_of_one_to_three() -> None:
    """Discriminatory processor sharing of two classes with exponential demands, in closed form."""
    (g1, lam1, m1), (g2, lam2, m2) = (1, 0.3, 1 / 1.0), (3, 0.25, 1 / 1.8)
    r1, r2 = lam1 / m1, lam2 / m2
    free = 1 - r1 - r2
    below = m1 * g1 * (1 - r1) + m2 * g2 * (1 - r2)
    w1 = (1 + m1 * r2 * (g2 - g1) / below) / (m1 * free)
    w2 = (1 + m2 * r1 * (g1 - g2) / below) / (m2 * free)
    assert (w1, w2) == pytest.approx((6.22680, 5.71546), rel=1e-5)  # 4 and 7.2 if weights were equal
    got = [
        systems(
            [
                crowd(lam1, Exponential(1.0), seed, index=0, weight=g1),
                crowd(lam2, Exponential(1.8), seed, index=1, weight=g2),
            ],
            100_000,
        )
        for seed in range(RUNS)
    ]
    agrees([first for first, _ in got], w1, 0.08)
    agrees([second for _, second in got], w2, 0.08)


@pytest.mark.parametrize("law", [Exponential(1), Lognormal(1, 1.2)])
def test_request_by_request_it_is_processor_sharing(law: Law) -> None:
    """The same arrivals and demands on one replica with `processor_sharing`: every request ends at the same instant."""
    shared = pod(0.8, law, fixed(1), discipline="processor_sharing", sample_every=1)
    both = []
    for spec in (crowd(0.8, law, 1), shared):
        plane = DataPlane([CORE], start_ns=START)
        plane.deploy(plane.host(spec, None, START), START)
        plane.advance(START + 20_000 * S)
        rows = np.sort(plane.take_requests(), order="index")
        both.append(rows[rows["arrival_ns"] < START + 19_000 * S])
    one, other = both
    assert len(one) > 14_000 and (one["index"] == other["index"]).all()
    apart = np.abs(one["end_ns"] - other["end_ns"])
    assert apart.max() < 1_000, f"{apart.max()} ns"  # each end is rounded up to a nanosecond


def test_two_that_are_always_busy_progress_by_their_weights() -> None:
    """3 : 1 of one core, 4,000 s long: 3,000 and 1,000 requests of one core-second, but for the one in service."""
    busy = Replay((S,) * 4_000)
    plane = DataPlane([CORE], start_ns=START)
    handles = []
    for i, weight in enumerate((600, 200)):
        spec = pod(busy, 1.0, fixed(1), index=i, cpu_millis=weight, cpu_limit_millis=1000)
        handles.append(plane.host(spec, None, START))
        plane.deploy(handles[-1], START)
    now = START + 4_001 * S
    served = [plane.counters(handle, now).served for handle in handles]
    assert served[0] in (2_999, 3_000) and served[1] in (999, 1_000)
