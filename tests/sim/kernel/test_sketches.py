"""Latency sketches: where a span counts, and how far a quantile may be off."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from sim.kernel import sketches
from sim.kernel.service import count_in
from sim.laws import Lognormal
from tests.sim.kernel.worlds import S, fixed, pod, run


def _count(sketch: Any, span_ns: Any) -> None:
    count_in(sketch, span_ns)


count_compiled = numba.njit(_count)


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
