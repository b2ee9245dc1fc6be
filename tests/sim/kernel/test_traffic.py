"""Arrivals: how many, when, and that they depend on nothing but their own draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocol.errors import BadInput
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Client, PodSpec
from sim.laws import Constant, Exponential, Pareto, Weibull
from sim.reference.plane import ReferencePlane
from sim.traffic import Mmpp, Poisson, Renewal, Replay, Trace, Traffic
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, kpa, per_request, pod, run

MINUTE = 60 * S


def arrivals(traffic: Traffic, horizon_s: float, seed: int = 1) -> Any:
    """Offsets of all arrivals [ns], from a pod that nobody serves."""
    plane = DataPlane([], start_ns=START)
    plane.host(pod(traffic, 1, fixed(1), seed=seed, sample_every=1), None, START)
    plane.advance(START + round(horizon_s * S))
    rows = plane.take_requests()
    assert (rows["outcome"] == 2).all() and (rows["index"] == np.arange(len(rows))).all()
    return rows["arrival_ns"] - START


def near(count: float, mean: float, variance: float) -> bool:
    """Within five standard deviations."""
    return bool(abs(count - mean) <= 5 * variance**0.5)


def test_constant_poisson() -> None:
    got = arrivals(Poisson.constant(2.0), 50_000)
    assert near(len(got), 100_000, 100_000)
    gaps = np.sort(np.diff(got) / S)
    distance = np.abs(1 - np.exp(-2 * gaps) - (np.arange(len(gaps)) + 0.5) / len(gaps)).max()
    assert distance < 1.95 / len(gaps) ** 0.5  # Kolmogorov-Smirnov, one in 1,000; the seed is fixed


def test_steps_and_their_period() -> None:
    flow = Poisson(((100.0, 5.0), (200.0, 0.0), (250.0, 1.0)), 400.0)
    assert flow.mean_rate_per_s == pytest.approx((100 * 5 + 150) / 400)
    got = (arrivals(flow, 400 * 200) / S) % 400
    for low, high, rate in ((0, 100, 0.0), (100, 200, 5.0), (200, 250, 0.0), (250, 400, 1.0)):
        mean = rate * (high - low) * 200
        assert near(((got >= low) & (got < high)).sum(), mean, mean)


def test_mmpp_has_its_mean_and_is_bursty() -> None:
    flow = Mmpp((0.0, 10.0), (90.0, 10.0))
    assert flow.mean_rate_per_s == pytest.approx(1.0)
    counts = np.array([len(arrivals(flow, 10_000, seed)) for seed in range(60)])
    # On-off: the variance of the count over a long time T is mean T + 2 T rate^2 p q / (1/90 + 1/10).
    variance = 10_000 * (1 + 2 * 100 * 0.1 * 0.9 / (1 / 90 + 1 / 10))
    assert near(counts.mean(), 10_000, variance / 60)
    assert 0.5 < counts.var(ddof=1) / variance < 1.8
    first = np.array([len(arrivals(flow, 1, seed)) for seed in range(400)])
    assert near((first > 0).sum(), 400 * 0.1, 400 * 0.09)  # it starts in its stationary law


def test_silence() -> None:
    for flow in (Poisson.constant(0.0), Poisson(((0.0, 0.0),), 10.0), Mmpp((0.0,), (5.0,)), Replay(())):
        assert len(arrivals(flow, 1_000)) == 0


@pytest.mark.parametrize("within", ["uniform", "even", "bursty"])
def test_a_minute_of_a_trace_has_its_count(within: Any) -> None:
    counts = (3, 0, 500, 1, 0, 2)
    got = arrivals(Trace(counts, within, start_s=90.0), 1_000) - 90 * S
    assert tuple(np.bincount(got // MINUTE, minlength=6).tolist()) == counts
    busy = got[(got // MINUTE) == 2] - 2 * MINUTE
    if within == "even":
        assert (np.diff(busy) == MINUTE // 500).all()
    elif within == "bursty":
        assert len(set((busy // S).tolist())) == 1
    else:
        ordered = busy / MINUTE
        assert (np.diff(ordered) >= 0).all()
        assert np.abs(ordered - (np.arange(500) + 0.5) / 500).max() < 1.95 / 500**0.5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_rank_within_a_minute_has_its_law(count: int) -> None:
    """The j-th of n uniforms has mean j / (n + 1) and variance j (n + 1 - j) / ((n + 1)^2 (n + 2))."""
    minutes = 5_000
    got = (arrivals(Trace((count,) * minutes), 60 * minutes) % MINUTE / MINUTE).reshape(minutes, count)
    for j in range(1, count + 1):
        variance = j * (count + 1 - j) / ((count + 1) ** 2 * (count + 2))
        assert near(got[:, j - 1].mean(), j / (count + 1), variance / minutes)
        assert got[:, j - 1].var() == pytest.approx(variance, rel=0.1)


def test_replay() -> None:
    at = (0, 5, 5, 1_000, 7 * S)
    assert tuple(arrivals(Replay(at), 10).tolist()) == at


def test_a_policy_moves_neither_arrivals_nor_demands() -> None:
    def rows(spec: PodSpec) -> Any:
        plane, _, _ = run(spec, 5_000)
        got = np.sort(plane.take_requests(), order="index")
        return got[got["end_ns"] < START + 4_000 * S]

    flow = Poisson.constant(0.5)
    base = rows(pod(flow, Exponential(0.5), fixed(50), sample_every=1))
    for rule in (per_request(10, 50), keda(1, idle_s=20), kpa(1)):
        other = rows(pod(flow, Exponential(0.5), rule, sample_every=1))
        both = np.intersect1d(base["index"], other["index"])
        assert len(both) > 1_500
        a, b = base[np.isin(base["index"], both)], other[np.isin(other["index"], both)]
        assert (a["arrival_ns"] == b["arrival_ns"]).all()
        assert ((a["end_ns"] - a["start_ns"]) == (b["end_ns"] - b["start_ns"])).all()
        assert (a["start_ns"] != b["start_ns"]).any() or rule.policy == "per_request"


def test_neighbours_sampling_and_blocks_move_nothing() -> None:
    spec = pod(Poisson.constant(1.0), Exponential(0.7), keda(1), sample_every=1)

    def alone(block: int | None, others: int, every: int) -> Any:
        plane = DataPlane([HUGE], start_ns=START, draw_block=block)
        handles = [plane.host(pod(2.0, 0.1, kpa(), index=9 + k), None, START) for k in range(others)]
        handle = plane.host(spec, None, START)
        for h in [*handles, handle]:
            plane.deploy(h, START)
        plane.advance(START + 2_000 * S)
        rows = plane.take_requests()
        return rows[rows["index"] % every == 0].tobytes()

    assert alone(None, 0, 1) == alone(1, 0, 1) == alone(33, 5, 1) == alone(None, 70, 1)


def test_renewals_have_gaps_of_their_law_from_the_worlds_start() -> None:
    law = Pareto(0.5, 1.5)
    got = arrivals(Renewal(law), 30_000)
    gaps = np.sort(np.diff(np.concatenate([[0], got])) / S)
    distance = np.abs(1 - (0.5 / gaps) ** 1.5 - (np.arange(len(gaps)) + 0.5) / len(gaps)).max()
    assert len(gaps) > 10_000
    assert distance < 1.95 / len(gaps) ** 0.5  # as above; the end of the run costs one gap of so many
    assert arrivals(Renewal(Constant(7.0)), 22).tolist() == [7 * S, 14 * S, 21 * S]
    even = Renewal(Weibull(2.0, 3.0))
    assert near(len(arrivals(even, 50_000)), 50_000 * even.mean_rate_per_s, 50_000 * even.mean_rate_per_s)


def test_a_source_goes_on_elsewhere() -> None:
    for flow in (
        Poisson.constant(3.0),
        Mmpp((0.5, 9.0), (5.0, 5.0)),
        Trace((50, 9, 80), "bursty"),
        Renewal(Pareto(0.2, 1.5)),
    ):
        spec = pod(flow, Exponential(1), fixed(1), sample_every=1)
        stay = DataPlane([HUGE], start_ns=START)
        stay.host(spec, None, START)
        stay.advance(START + 100 * S)
        first, second = (DataPlane([HUGE], start_ns=START, draw_block=b) for b in (5, 64))
        handle = first.host(spec, None, START)
        source = first.remove(handle, START + 41 * S)
        second.advance(START + 41 * S)
        second.host(spec, source, START + 41 * S)
        second.advance(START + 100 * S)
        together = np.concatenate([first.take_requests(), second.take_requests()])
        assert together.tobytes() == stay.take_requests().tobytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Poisson(()),
        lambda: Poisson(((0.0, -1.0),)),
        lambda: Poisson(((5.0, 1.0), (5.0, 2.0))),
        lambda: Poisson(((0.0, 1.0), (9.0, 1.0)), 9.0),
        lambda: Mmpp((1.0,), (1.0, 2.0)),
        lambda: Mmpp((1.0,), (0.0,)),
        lambda: Trace((), "even"),
        lambda: Trace((1, -1), "even"),
        lambda: Trace((1,), "often"),  # type: ignore[arg-type]
        lambda: Replay((5, 4)),
        lambda: Renewal(Constant(0.0)),
    ],
)
def test_what_is_no_traffic_is_refused(make: Any) -> None:
    with pytest.raises(BadInput):
        make()


@pytest.mark.parametrize("flow", [Renewal(Pareto(0.5, 1.5)), Renewal(Constant(1.0)), Poisson.constant(2.0)])
def test_both_planes_let_callers_go_alike(flow: Traffic) -> None:
    client = Client(timeout_ns=2 * S, retries=2, backoff=Exponential(3.0))
    spec = pod(flow, Exponential(1.5), keda(1), sample_every=1, client=client)
    found = []
    for make in (DataPlane, ReferencePlane):
        old, new = make([HUGE], start_ns=START), make([HUGE], start_ns=START)
        handle = old.host(spec, None, START)
        old.deploy(handle, START)
        left, billed = old.counters(handle, START + 233 * S), old.replica_ms(handle, START + 233 * S)
        source = old.remove(handle, START + 233 * S)
        new.advance(START + 233 * S)
        taken = new.host(spec, source, START + 233 * S)
        new.deploy(taken, START + 233 * S)
        end = START + 600 * S
        counts = left, new.counters(taken, end)
        assert min(one.retried for one in counts) > 0
        rows = [plane.take_requests().tolist() for plane in (old, new)]
        found.append((counts, billed, new.replica_ms(taken, end), rows))
    assert found[0] == found[1]
