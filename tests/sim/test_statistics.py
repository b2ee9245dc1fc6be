"""Estimates against scipy, against hand-made answers, and what they refuse to say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sim import statistics as ours


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 29, 99, 1000, 100_000])
@pytest.mark.parametrize("prob", [0.5, 0.6, 0.9, 0.975, 0.995, 0.9999])
def test_student_t_is_scipys(prob: float, degrees: int) -> None:
    assert ours.t_quantile(prob, degrees) == pytest.approx(stats.t.ppf(prob, degrees), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("prob", "degrees"), [(0.4, 3), (1.0, 3), (0.975, 0)])
def test_student_t_refuses_what_it_cannot(prob: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="must be in"):
        ours.t_quantile(prob, degrees)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 12).tolist()
    estimate = ours.mean_interval(values)
    low, high = stats.t.interval(0.95, 11, loc=np.mean(values), scale=stats.sem(values))
    assert estimate.n == 12
    assert [estimate.mean, estimate.low, estimate.high] == pytest.approx([np.mean(values), low, high])


def test_there_is_no_interval_from_one_and_nothing_from_none() -> None:
    assert ours.mean_interval([4.0]) == ours.Estimate(4.0, None, None, 1)
    assert ours.mean_interval([]) == ours.Estimate(None, None, None, 0)
    assert ours.ratio_interval([3.0], [2.0]) == ours.Estimate(1.5, None, None, 1)
    assert ours.ratio_interval([0.0, 0.0], [0.0, 0.0]) == ours.Estimate(None, None, None, 2)
    assert ours.ratio_interval([1.0, 0.0], [2.0, 0.0]) == ours.Estimate(0.5, None, None, 2)


def test_the_jackknife_by_hand() -> None:
    # 6/12 from three pairs; without each: 5/10, 4/8, 3/6 ... here 5/11, 4/9, 3/4.
    estimate = ours.ratio_interval([1.0, 2.0, 3.0], [1.0, 3.0, 8.0])
    pseudo = [3 * 6 / 12 - 2 * part for part in (5 / 11, 4 / 9, 3 / 4)]
    assert estimate.mean == pytest.approx(sum(pseudo) / 3)
    assert estimate.high is not None
    assert estimate.low is not None
    half = stats.t.ppf(0.975, 2) * np.std(pseudo, ddof=1) / math.sqrt(3)
    assert estimate.high - estimate.low == pytest.approx(2 * half)
    with pytest.raises(ValueError, match="2 numerators for 1"):
        ours.ratio_interval([1.0, 2.0], [1.0])


def test_the_jackknife_covers_the_ratio_of_means_and_a_mean_of_ratios_does_not() -> None:
    # Denominator Exp(1)+0.2, numerator 2x that plus noise of its own: the ratio of means is 2 + 1/1.2.
    rng, truth, runs = np.random.default_rng(5), 2 + 1 / 1.2, 400
    covered, naive = 0, []
    for _ in range(runs):
        below = rng.exponential(1, 30) + 0.2
        above = 2 * below + rng.exponential(1, 30)
        estimate = ours.ratio_interval(above.tolist(), below.tolist())
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
        naive.append(float(np.mean(above / below)))
    # 95 % nominal; 400 trials have a standard error of 1.1 points, and the jackknife undercovers a little at n = 30.
    assert covered / runs > 0.95 - 4 * 0.011
    assert np.mean(naive) > truth + 0.3


@pytest.mark.parametrize(
    ("prob", "count", "enough"),
    [(0.5, 0, False), (0.5, 1, True), (0.95, 1999, False), (0.95, 2000, True), (0.99, 9999, False), (0.99, 10_000, True)],
)  # fmt: skip
def test_a_tail_quantile_needs_a_hundred_beyond_it(prob: float, count: int, enough: bool) -> None:
    assert ours.enough_for(prob, count) is enough


@pytest.mark.parametrize("prob", [0.5, 0.95, 0.99])
def test_a_sketch_quantile_is_the_sorted_one_to_a_percent(prob: float) -> None:
    values = np.random.default_rng(2).lognormal(math.log(5e7), 1.5, 50_000)
    buckets = np.array([ours.bucket_of(value) for value in values], dtype=np.int64)
    found = ours.sketch_quantile_ms(buckets, np.ones(len(buckets), np.int64), prob)
    assert found == pytest.approx(np.quantile(values, prob, method="inverted_cdf") / 1e6, rel=0.0079)


def test_sketches_of_many_pods_at_once_are_each_pods_own() -> None:
    rng = np.random.default_rng(3)
    group = rng.integers(0, 6, 5_000)
    group[group == 4] = 5  # a pod with nothing
    values = rng.lognormal(10, 2, 5_000)
    buckets = values.view(np.int64) >> ours.BUCKET_SHIFT
    counts = rng.integers(1, 40, 5_000)
    together = ours.sketch_quantiles_ms(group, buckets, counts, 0.99, groups=6)
    for pod in range(6):
        alone = ours.sketch_quantile_ms(buckets[group == pod], counts[group == pod], 0.99)
        assert (alone is None) == bool(np.isnan(together[pod]))
        assert alone is None or alone == together[pod]
    assert np.isnan(together[4])


def test_merged_sketches_add_up() -> None:
    buckets, counts = ours.merge_buckets(np.array([7, 3, 7]), np.array([1, 2, 5]))
    assert (buckets.tolist(), counts.tolist()) == ([3, 7], [2, 6])
    assert ours.sketch_quantile_ms(np.array([], np.int64), np.array([], np.int64), 0.5) is None


def test_concentration() -> None:
    assert ours.hhi([5, 5, 5, 5]) == 0.25
    assert ours.hhi([0, 3]) == 1
    assert ours.hhi([0, 0]) is None
    assert ours.gini([2, 2, 2]) == pytest.approx(0)
    assert ours.gini([0, 0, 0, 1]) == pytest.approx(0.75)
    assert ours.gini([]) is None


def test_the_kernel_counts_latencies_in_these_buckets() -> None:
    from sim.kernel import sketches, state

    assert state.BUCKET_SHIFT == ours.BUCKET_SHIFT
    low, high = ours.bucket_edges_ms(np.arange(state.BUCKETS, dtype=np.int64) + state.FIRST_BUCKET)
    np.testing.assert_allclose(low * 1e6, sketches.EDGES_NS[:-1], rtol=1e-15)
    np.testing.assert_allclose(high * 1e6, sketches.EDGES_NS[1:], rtol=1e-15)


@pytest.mark.parametrize("law", ["pareto 1.1", "pareto 2", "lognormal cv 10"])
@pytest.mark.parametrize("prob", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_a_sketch_is_within_a_percent_on_heavy_tails(law: str, prob: float) -> None:
    rng = np.random.default_rng(6)
    if law.startswith("pareto"):
        values = 1e7 * rng.uniform(size=1_000_000) ** (-1 / float(law.split()[1]))
    else:
        sigma = math.sqrt(math.log(1 + 10**2))
        values = 1e8 * rng.lognormal(-(sigma**2) / 2, sigma, 1_000_000)
    buckets = values.view(np.int64) >> ours.BUCKET_SHIFT
    places, counts = np.unique(buckets, return_counts=True)
    found = ours.sketch_quantile_ms(places, counts, prob)
    assert found == pytest.approx(np.quantile(values, prob, method="inverted_cdf") / 1e6, rel=0.0079)
