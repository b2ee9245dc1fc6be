"""What replications come to: how often intervals cover a known answer, pairs, and when there are enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from sim.estimates import Precision, Stopping, estimate, pairs, running
from sim.scenario.world import Until
from sim.statistics import Estimate, sketch_quantile_ms
from sim.warm_up import Series, Value, automatic

EXPERIMENTS = 1_000
"""The share of them that an interval of 95 % covers has a standard error of 0.7 points."""


def covered(make: Callable[[np.random.Generator], Estimate | None], truth: float) -> float:
    """The share of the experiments that give an estimate, which are nearly all, whose interval covers the truth."""
    rng, found, refused = np.random.default_rng(20), 0, 0
    for _ in range(EXPERIMENTS):
        one = make(rng)
        if one is None:
            refused += 1
            continue
        assert one.low is not None and one.high is not None
        found += one.low <= truth <= one.high
    assert refused <= 0.03 * EXPERIMENTS
    return found / (EXPERIMENTS - refused)


def test_the_interval_of_a_terminating_metric_covers_it() -> None:
    """Requests of a run: a Poisson number, whose rate differs from day to day."""
    share = covered(lambda rng: estimate(rng.poisson(rng.gamma(6, 50, 12)).tolist()), 300.0)
    assert 0.93 <= share <= 0.97


def test_the_interval_of_a_ratio_covers_it() -> None:
    """Served of made, where busy runs serve less: 90 % less 0.0002 for each request made, of a gamma mean of 400."""
    made_mean, spread = 400.0, 400.0**2 / 8  # E[m (0.9 - 0.0002 m)] / E[m]
    truth = 0.9 - 0.0002 * (made_mean**2 + spread) / made_mean

    def make(rng: np.random.Generator) -> Estimate:
        made = rng.gamma(8, 50, 40)  # with 25 it is 92.9 %: the estimate is bent as well as noisy
        served = made * (0.9 - 0.0002 * made) + rng.normal(0, 5, 40)
        return estimate(list(zip(served.tolist(), made.tolist(), strict=True)))

    assert 0.93 <= covered(make, truth) <= 0.97


def test_the_interval_of_a_quantile_covers_the_mean_of_a_replications_quantile() -> None:
    """That is what is estimated, not the quantile of all time: of 2,000 requests, Exp(1), the 1,900th in order."""
    size, scale_ns = 2_000, 5e8
    truth_ms = scale_ns / 1e6 * sum(1 / i for i in range(size - 1_900 + 1, size + 1))

    def make(rng: np.random.Generator) -> Estimate:
        found = []
        for _ in range(10):
            buckets = rng.exponential(scale_ns, size).view(np.int64) >> 46
            places, counts = np.unique(buckets, return_counts=True)
            found.append(sketch_quantile_ms(places, counts, 0.95))
        return estimate(found)

    assert 0.93 <= covered(make, truth_ms) <= 0.97


def queue(rng: np.random.Generator, length: int) -> Series:
    """An AR(1) around 100 that begins at 0."""
    around = lfilter([1.0], [1.0, -0.9], rng.normal(0, 4, length), zi=[-100 * 0.9])[0] + 100
    return Series(np.asarray(np.round(around * 1e6), np.int64), scale=1e-6)


@pytest.mark.parametrize("warm_up", [True, False])
def test_the_interval_of_a_steady_state_metric_covers_it_after_the_warm_up(warm_up: bool) -> None:
    def make(rng: np.random.Generator) -> Estimate | None:
        many = [queue(rng, 1_000) for _ in range(10)]
        left_out = automatic({"queue": many}, every_ns=1).left_out if warm_up else 0
        return None if left_out is None else estimate([one.value(left_out) for one in many])

    share = covered(make, 100.0)
    assert 0.93 <= share <= 0.97 if warm_up else share < 0.8


def test_antithetic_pairs_count_once() -> None:
    measured: list[Value] = [1.0, 3.0, 10.0, 20.0]
    assert pairs(measured) == [2.0, 15.0]
    assert estimate(measured, antithetic=True) == estimate([2.0, 15.0])
    ratios: list[Value] = [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0)]
    assert pairs(ratios) == [(4.0, 6.0), (12.0, 14.0)]
    assert pairs([1.0, None, 2.0, 4.0, 9.0]) == [None, 3.0]
    assert estimate([1.0, None, 2.0, 4.0], antithetic=True) == Estimate(None, None, None, 1)
    assert [one.n for one in running(measured, antithetic=True)] == [1, 2]
    assert running(measured) == [estimate(measured[:n]) for n in (1, 2, 3, 4)]


def test_the_interval_of_antithetic_pairs_covers_and_is_narrower() -> None:
    """Sums of five draws of Exp(1), in 40 pairs and in 80 independent ones."""
    widths = []

    def make(rng: np.random.Generator) -> Estimate:
        u = rng.uniform(size=(40, 5))
        drawn = np.stack([u, 1 - u], axis=1).reshape(80, 5)
        found = estimate((-np.log(drawn)).sum(axis=1).tolist(), antithetic=True)
        plain = estimate((-np.log(rng.uniform(size=(80, 5)))).sum(axis=1).tolist())
        assert found.low is not None and found.high is not None
        assert plain.low is not None and plain.high is not None
        widths.append((found.high - found.low) / (plain.high - plain.low))
        return found

    assert 0.93 <= covered(make, 5.0) <= 0.97
    assert np.median(widths) < 0.7  # variance of a pair's mean is 0.36 of that of two independent ones


# --- enough ---


def until(share: str, least: int, most: int) -> Until:
    return Until.model_validate({"metric": "held_at_once", "half_width": share, "min": least, "max": most})


def stopped(
    values: Sequence[Value], batches: Sequence[int], rule: Until, *, antithetic: bool = False
) -> Precision | None:
    stopping, there = Stopping(rule, lambda n: values[:n], antithetic=antithetic), 0
    for batch in batches:
        there = min(there + batch, len(values))
        stopping.look(there)
    return stopping.look(len(values))


@given(st.integers(0, 1_000), st.lists(st.integers(1, 17), max_size=20), st.booleans())
def test_the_number_does_not_depend_on_how_many_come_at_once(
    seed: int, batches: list[int], antithetic: bool
) -> None:
    values = np.random.default_rng(seed).normal(10, 2, 60).tolist()
    rule = until("10%", 4, 60)
    at_once = stopped(values, [60], rule, antithetic=antithetic)
    assert at_once is not None
    assert stopped(values, batches, rule, antithetic=antithetic) == at_once
    step = 2 if antithetic else 1
    enough = [
        n
        for n in range(4, 61, step)
        if (found := estimate(values[:n], antithetic=antithetic)).high is not None
        and found.mean is not None
        and found.high - found.mean <= 0.1 * abs(found.mean)
    ]
    assert at_once.reached == bool(enough) and at_once.replications == (enough[0] if enough else 60)


def test_what_cannot_be_reached_says_what_it_takes() -> None:
    values = np.random.default_rng(1).normal(10, 2, 4_000).tolist()
    found = stopped(values[:20], [20], until("1%", 10, 20))
    assert found is not None and not found.reached and found.replications == 20
    assert (
        found.needed is not None and "20 replications gave" in found.why and f"{found.needed:,}" in found.why
    )
    assert found.needed == pytest.approx((1.96 * np.std(values[:20], ddof=1) / 0.1) ** 2, rel=0.1)
    enough = stopped(values, [4_000], until("1%", 10, 4_000))
    assert enough is not None and enough.reached and 800 < enough.replications < 2_500


def test_a_mean_of_zero_a_missing_value_and_what_never_varies() -> None:
    flat = stopped([3.0] * 9, [9], until("1%", 3, 9))
    assert flat is not None and flat.reached and flat.replications == 3
    nothing = stopped([0.0] * 9, [9], until("1%", 3, 9))
    assert nothing is not None and nothing.reached and nothing.replications == 3
    around = stopped([1.0, -1.0] * 5, [10], until("1%", 4, 10))
    assert around is not None and not around.reached and around.needed is None and "mean is 0" in around.why
    missing = stopped([1.0, 2.0, 3.0, 4.0, None, 2.0, 3.0, 1.0], [8], until("0.1%", 3, 8))
    assert missing is not None and missing.replications == 5 and "no value in replication 4" in missing.why
    assert stopped([1.0, 2.0], [2], until("1%", 3, 8)) is None
    empty = stopped([(0.0, 0.0), (0.0, 0.0), (1.0, 2.0)], [3], until("1%", 3, 3))
    assert empty is not None and not empty.reached and "no value in replication 0" in empty.why


def test_more_are_asked_for_in_steps_and_never_beyond_the_most() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400).tolist()
    rule = until("1%", 10, 101)
    stopping = Stopping(rule, lambda n: values[:n])
    assert stopping.more(0) == 10 and stopping.more(10) == 5 and stopping.more(100) == 1
    even = Stopping(until("1%", 10, 100), lambda n: values[:n], antithetic=True)
    assert even.more(10) == 6 and rule.share == float(Fraction(1, 100))
