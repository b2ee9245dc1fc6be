"""Differences of means, Holm's correction and equivalence: against two libraries, and by how often they are right."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from sim.experiments.differences import Difference, holm, independent, paired
from sim.statistics import jackknife, t_upper_tail

EXPERIMENTS = 1_000
"""The share of them that an interval of 95 % covers has a standard error of 0.7 points."""


def samples(seed: int, n_a: int = 9, n_b: int = 9) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    return rng.normal(10, 2, n_a).tolist(), rng.normal(10.8, 3, n_b).tolist()


# --- against others ---


@pytest.mark.parametrize("value", [-60.0, -2.2, -0.3, 0.0, 1e-9, 0.7, 3.0, 40.0, math.inf])
@pytest.mark.parametrize("degrees", [1, 1.5, 3, 9.27, 500])
def test_the_tail_of_student_t_is_scipys(value: float, degrees: float) -> None:
    assert t_upper_tail(value, degrees) == pytest.approx(stats.t.sf(value, degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_test_is_scipys(seed: int) -> None:
    a, b = samples(seed)
    ours, theirs = paired(a, b), stats.ttest_rel(b, a)
    assert (ours.a, ours.b) == pytest.approx((np.mean(a), np.mean(b)))
    assert ours.p_different() == pytest.approx(theirs.pvalue)
    assert ours.interval() == pytest.approx(tuple(theirs.confidence_interval()))
    apart = np.subtract(b, a)
    assert ours.variance_ratio == pytest.approx((np.var(a) + np.var(b)) / np.var(apart))


@pytest.mark.parametrize(("n_a", "n_b"), [(9, 9), (3, 14), (14, 3), (2, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_the_unpaired_test_is_scipys_welch(seed: int, n_a: int, n_b: int) -> None:
    a, b = samples(seed, n_a, n_b)
    ours, theirs = independent(a, b), stats.ttest_ind(b, a, equal_var=False)
    assert ours.degrees == pytest.approx(theirs.df)
    assert ours.p_different() == pytest.approx(theirs.pvalue)
    assert ours.interval() == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.variance_ratio is None


@pytest.mark.parametrize("margin", [0.1, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_equivalence_is_statsmodels(seed: int, margin: float) -> None:
    a, b = samples(seed)
    theirs, *_ = ttost_paired(np.array(b), np.array(a), -margin, margin)
    assert paired(a, b).p_equivalent(margin) == pytest.approx(theirs)
    a, b = samples(seed, 7, 12)
    theirs, *_ = ttost_ind(np.array(b), np.array(a), -margin, margin, usevar="unequal")
    assert independent(a, b).p_equivalent(margin) == pytest.approx(theirs)


def test_holm_by_the_textbook() -> None:
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1 that may not come before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


@pytest.mark.parametrize("tests", [2, 7, 60])
@pytest.mark.parametrize("power", [1, 4])
def test_holm_is_statsmodels(tests: int, power: int) -> None:
    for seed in range(2):
        p_values = np.random.default_rng([seed, tests]).uniform(0, 1, tests) ** power
        p_values = np.round(p_values, 2)  # with ties, zeros and ones
        assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_pairing_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, variance 1; A has variance 100, B 121.
    found = paired([10.0, 20.0, 30.0], [11.0, 22.0, 33.0])
    assert found == Difference(20.0, 22.0, 2.0, math.sqrt(1 / 3), 2, 221.0)
    low, high = found.interval() or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)


# --- what does not vary, and what there is too little of ---


def test_from_one_of_a_kind_nothing_is_concluded() -> None:
    for found in (paired([3.0], [5.0]), independent([3.0], [5.0]), independent([3.0, 4.0], [5.5])):
        assert (found.mean, found.error, found.variance_ratio) == (2.0, None, None)
        assert (found.interval(), found.p_different(), found.p_equivalent(9.0)) == (None, None, None)
    for a, b in (([1.0], [1.0, 2.0]), ([], [])):
        with pytest.raises(ValueError, match="make no pairs"):
            paired(a, b)
    with pytest.raises(ValueError, match="have no difference"):
        independent([1.0], [])


def test_what_is_the_same_in_every_pair_is_certain() -> None:
    a = [0.1, 0.7, 1.3]
    same = paired(a, a)
    assert (same.interval(), same.p_different(), same.p_equivalent(0.0)) == ((0.0, 0.0), 1.0, 0.0)
    more = paired(a, [value + 0.2 for value in a])  # by 0.2, give or take a rounding
    assert more.error == 0 and more.variance_ratio is None
    assert (more.p_different(), more.p_equivalent(0.3), more.p_equivalent(0.1)) == (0.0, 0.0, 1.0)
    constant = independent([2.0, 2.0], [2.0, 2.0, 2.0])
    assert (constant.interval(), constant.p_different()) == ((0.0, 0.0), 1.0)


def test_a_difference_of_rounding_is_none() -> None:
    a = [0.1, 0.1, 0.1]
    profits = [-300.1, 100.2, 199.9]  # whose mean is far smaller than they are
    for values in (a, profits):
        rounded = [math.nextafter(value, 1e9) for value in values]
        assert paired(values, rounded) == Difference(
            paired(values, values).a, paired(rounded, rounded).a, 0.0, 0.0, 2, None
        )
        found = independent(values, rounded)
        assert (found.mean, found.p_different()) == (0.0, 1.0)
    seen = paired(profits, [value + 1e-9 for value in profits])
    assert seen.mean == pytest.approx(1e-9, rel=1e-3)


def test_tiny_values_do_not_underflow() -> None:
    a, b = samples(1, 5, 8)
    tiny = independent([value * 1e-120 for value in a], [value * 1e-120 for value in b])
    assert tiny.degrees == pytest.approx(independent(a, b).degrees)
    assert tiny.p_different() == pytest.approx(independent(a, b).p_different())


# --- how often they are right ---


def covered(differences: list[Difference], truth: float) -> float:
    intervals = [difference.interval() for difference in differences]
    return float(np.mean([low <= truth <= high for low, high in filter(None, intervals)]))


def test_the_interval_of_a_paired_difference_covers_it() -> None:
    rng, found = np.random.default_rng(11), []
    for _ in range(EXPERIMENTS):
        shared = rng.lognormal(
            3, 0.5, 12
        )  # the chance that both drew, which differs much between replications
        a = shared + rng.normal(0, 1, 12)
        b = 1.0 + shared + rng.normal(0, 1.5, 12)
        found.append(paired(a.tolist(), b.tolist()))
    assert 0.93 <= covered(found, 1.0) <= 0.97
    assert np.median([difference.variance_ratio or 0 for difference in found]) > 20


def test_the_interval_of_a_paired_difference_of_ratios_covers_it() -> None:
    """Requests served of those made: loads vary and are shared, so numerators and denominators go together."""
    rng, found, truth = np.random.default_rng(12), [], 0.80 - 0.85
    for _ in range(EXPERIMENTS):
        made = rng.poisson(rng.gamma(8, 100, 25))
        more = made + rng.poisson(20, 25)  # retries, of B only
        values_a = jackknife(rng.binomial(made, 0.85).tolist(), made.tolist())
        values_b = jackknife(rng.binomial(more, 0.80).tolist(), more.tolist())
        assert values_a is not None and values_b is not None
        found.append(paired(values_a, values_b))
    assert 0.93 <= covered(found, truth) <= 0.97


def test_the_interval_of_an_unpaired_difference_covers_it() -> None:
    rng = np.random.default_rng(13)
    found = [
        independent(rng.normal(5, 1, 6).tolist(), rng.normal(7, 6, 15).tolist()) for _ in range(EXPERIMENTS)
    ]
    assert 0.93 <= covered(found, 2.0) <= 0.97


def test_equivalence_is_wrongly_claimed_in_one_case_of_twenty() -> None:
    """The difference is just the margin, the worst case of what is not equivalent."""
    rng, claims = np.random.default_rng(14), 0
    for _ in range(EXPERIMENTS):
        shared = rng.normal(100, 10, 12)
        found = paired(shared.tolist(), (shared + rng.normal(2, 1, 12)).tolist())
        claims += (found.p_equivalent(2.0) or 0) <= 0.05
    assert 0.03 <= claims / EXPERIMENTS <= 0.07


def test_of_many_metrics_without_a_difference_one_is_wrongly_found_in_one_case_of_twenty() -> None:
    rng, naive, corrected = np.random.default_rng(15), 0, 0
    for _ in range(EXPERIMENTS // 2):
        p_values = [
            paired(*rng.normal(0, 1, (2, 8)).tolist()).p_different() or 0.0
            for _ in itertools.repeat(None, 10)
        ]
        naive += min(p_values) <= 0.05
        corrected += min(holm(p_values)) <= 0.05
    assert naive / (EXPERIMENTS // 2) > 0.3
    assert 0.02 <= corrected / (EXPERIMENTS // 2) <= 0.08
