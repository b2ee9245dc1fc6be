"""Latency sketches: where a span counts, and how far a quantile may be off."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from sim.kernel import recording, sketches
from sim.kernel.plane import DataPlane
from sim.kernel.specs import SERVED, PodSpec, StartUp
from sim.laws import Exponential, Lognormal
from sim.traffic import Replay
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, kpa, per_request, pod, run


def _bucket(span_ns: Any) -> Any:
    return recording.bucket_of(span_ns)


bucket_compiled = numba.njit(_bucket)


def count_compiled(sketch: sketches.Sketch, span_ns: int) -> None:
    sketch[bucket_compiled(span_ns)] += 1


@given(st.integers(2**14, 2**44 - 1))
def test_a_span_counts_between_its_buckets_edges(span_ns: int) -> None:
    sketch = sketches.empty()
    count_compiled(sketch, span_ns)
    bucket = int(np.flatnonzero(sketch)[0])
    assert sketches.EDGES_NS[bucket] <= span_ns < sketches.EDGES_NS[bucket + 1]
    said = sketches.quantile_ns(sketch, 0.5)
    assert said is not None and abs(said - span_ns) <= 0.008 * span_ns


def test_extremes_count_at_the_ends() -> None:
    sketch = sketches.empty()
    for span in (0, 1, 2**60):
        count_compiled(sketch, span)
    assert sketch[0] == 2 and sketch[-1] == 1


def test_quantiles_of_a_run_are_those_of_its_requests() -> None:
    plane, handle, _ = run(pod(0.5, Lognormal(1.0, 1.5), fixed(50), sample_every=1), 20_000)
    rows = plane.take_requests()
    latencies = np.sort(rows["end_ns"] - rows["arrival_ns"])
    sketch = plane.sketch(handle)
    assert sketches.count(sketch) == len(latencies) > 9_000
    for prob in (0.01, 0.5, 0.95, 0.99, 1.0):
        exact = latencies[max(int(np.ceil(prob * len(latencies))), 1) - 1]
        assert sketches.quantile_ns(sketch, prob) == pytest.approx(exact, rel=0.008)
    assert sketches.mean_ns(sketch) == pytest.approx(latencies.mean(), rel=0.008)
    assert abs(latencies.mean() / S - 1.0) < 0.1


def test_sketches_add() -> None:
    one, two = sketches.empty(), sketches.empty()
    count_compiled(one, S)
    count_compiled(two, 4 * S)
    both = sketches.merge([one, two])
    assert sketches.count(both) == 2
    assert sketches.quantile_ns(both, 0.5) == sketches.quantile_ns(one, 1.0)
    assert sketches.quantile_ns(both, 0.51) == sketches.quantile_ns(two, 1.0)
    assert sketches.quantile_ns(sketches.empty(), 0.5) is None and sketches.mean_ns(sketches.empty()) is None
    with pytest.raises(BadInput):
        sketches.quantile_ns(both, 1.1)


def held(rows: Any, index: int, *, cold: bool) -> sketches.Sketch:
    """The sketch of a pod's answered requests among sampled ones, each put between its bucket's edges."""
    mine = rows[(rows["pod_index"] == index) & (rows["outcome"] == SERVED)]
    if cold:
        mine = mine[mine["cold"] == 1]
    spans = np.clip(mine["end_ns"] - mine["arrival_ns"], sketches.EDGES_NS[0], sketches.EDGES_NS[-2])
    return np.histogram(spans, sketches.EDGES_NS)[0]


def mixed() -> list[PodSpec]:
    """Pods whose cold starts differ: in number, in length, in what makes them cold."""
    rules = [
        *(keda(idle_s=20), kpa(2), per_request(5, 20), per_request(0, 50)),
        *(keda(idle_s=20), fixed(3)),
    ]
    return [
        pod(
            0.02 * 2**k,
            Lognormal(0.2 * (k + 1), 1.5),
            rule,
            index=k,
            sample_every=1,
            wait_limit_ns=8 * S,
            start_up=StartUp(application=Lognormal(0.01 * 4.0**k, 3.0)),
        )
        for k, rule in enumerate(rules)
    ]


def test_each_pods_cold_sketch_holds_exactly_its_own_cold_requests() -> None:
    specs = mixed()
    plane = DataPlane([HUGE], start_ns=START)
    handles = [plane.host(spec, None, START) for spec in specs]
    for handle in handles:
        plane.deploy(handle, START)
    plane.advance(START + 6_000 * S)
    plane.crash_node(0, START + 6_001 * S)  # cold requests in service are lost, and not counted
    plane.restore_node(0, START + 6_002 * S)
    end = START + 9_000 * S
    plane.advance(end)
    rows = plane.take_requests()
    assert ((rows["cold"] == 1) & (rows["outcome"] != SERVED)).any()
    totals = []
    for index, handle in enumerate(handles):
        counters = plane.counters(handle, end)
        cold = plane.cold_sketch(handle)
        np.testing.assert_array_equal(cold, held(rows, index, cold=True))
        np.testing.assert_array_equal(plane.sketch(handle), held(rows, index, cold=False))
        assert (sketches.count(cold), sketches.count(plane.sketch(handle))) == (
            counters.cold,
            counters.served,
        )
        totals.append(counters.cold)
    assert max(totals) > 1_000 and min(totals) < 20
    medians = [sketches.quantile_ns(plane.cold_sketch(handle), 0.5) or 0.0 for handle in handles]
    assert max(medians) > 5 * min(medians)


def test_what_a_removed_pod_leaves_is_nobodys() -> None:
    """Its pages are used again, and hold nothing of it; what other pods have stays theirs."""
    plane = DataPlane([HUGE], start_ns=START)
    slow = pod(
        Replay(tuple(range(0, 4_000 * S, 40 * S))),
        Exponential(3.0),
        per_request(1, 5),
        start_up=StartUp(application=Lognormal(2.0, 2.0)),
    )
    stays = plane.host(slow, None, START)
    plane.deploy(stays, START)
    now = START
    for index in range(1, 30):
        quick = pod(1.0, Exponential(0.001 * index), per_request(0.1, 9), index=index, sample_every=1)
        handle = plane.host(quick, None, now)
        assert sketches.count(plane.cold_sketch(handle)) == 0
        plane.deploy(handle, now)
        now += 100 * S
        plane.advance(now)
        np.testing.assert_array_equal(
            plane.cold_sketch(handle), held(plane.take_requests(), index, cold=True)
        )
        assert sketches.count(plane.cold_sketch(handle)) > 30
        plane.remove(handle, now)
    alone, handle, _ = run(slow, (now - START) // S)
    np.testing.assert_array_equal(plane.cold_sketch(stays), alone.cold_sketch(handle))
    assert sketches.count(plane.cold_sketch(stays)) > 50
