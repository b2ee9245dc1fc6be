"""MSER against its definition, against another library, and on series whose start is known.

The series are those on which Hoad, Robinson and Davies tested MSER-5 (AutoSimOA, Winter Simulation Conference 2008): 1,000
values, errors N(1, 1) or Exp(1), independent or autocorrelated, with a bias of a shape, length and size added to the start.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kim_convergence import mser_m

from sim.statistics import Floats
from sim.warm_up import END, NONE, Series, automatic, cut, fixed, mean_series, mser

LENGTH = 1_000
MINUTE_NS = 60 * 10**9
values = st.lists(st.integers(-50, 50), min_size=50, max_size=120)


def by_definition(values: Floats, batch: int) -> list[float]:
    means = [float(np.mean(values[i : i + batch])) for i in range(0, len(values) - batch + 1, batch)]
    found = []
    for left_out in range(len(means)):
        rest = means[left_out:]
        mean = sum(rest) / len(rest)
        found.append(sum((value - mean) ** 2 for value in rest) / len(rest) ** 2)
    return found


@given(values, st.sampled_from([1, 2, 5]))
def test_the_statistic_is_its_definition(numbers: list[int], batch: int) -> None:
    series = np.array(numbers, np.float64)
    assert mser(series, batch) == pytest.approx(by_definition(series, batch), rel=1e-9, abs=1e-9)


def noise(rng: np.random.Generator, errors: str, correlated: bool) -> Floats:
    drawn = rng.normal(1, 1, LENGTH + 100) if errors == "normal" else rng.exponential(1, LENGTH + 100)
    if correlated:  # AR(1) with 0.4, its own start thrown away
        for i in range(1, len(drawn)):
            drawn[i] += 0.4 * drawn[i - 1]
    return drawn[100:]


SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "mean shift": np.ones_like,
    "linear": lambda left: left,
    "quadratic": lambda left: left**2,
    "exponential": lambda left: (np.exp(3 * left) - 1) / (np.exp(3) - 1),
    "oscillating": lambda left: left * np.sin(np.arange(len(left)) * np.pi / 10),
}


def biased(
    seed: int, shape: str, length: int, size: float, errors: str, correlated: bool, runs: int = 1
) -> Floats:
    rng = np.random.default_rng([seed, length])
    series = np.mean([noise(rng, errors, correlated) for _ in range(runs)], axis=0)
    if length:
        series[:length] += size * SHAPES[shape](1 - np.arange(length) / length)
    return np.asarray(series)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("errors", ["normal", "exponential"])
@pytest.mark.parametrize("correlated", [False, True])
def test_the_cut_is_another_librarys(shape: str, errors: str, correlated: bool) -> None:
    """kim-convergence's MSER-5, which also leaves out the last five means and refuses the second half."""
    for seed, length in ((1, 0), (2, 100), (3, 400), (4, 1000)):
        for size in (1.0, 4.0):
            series = biased(seed, shape, length, size, errors, correlated)
            settled, left_out = mser_m(series, batch_size=5, ignore_end=END)
            ours = cut(series)
            assert ours is not None and ours.settled == settled
            if settled:
                assert ours.left_out == left_out


@pytest.mark.parametrize("size", [2.0, 4.0, -4.0])
@pytest.mark.parametrize("length", [100, 400])
def test_a_shift_is_cut_off_where_it_ends(length: int, size: float) -> None:
    found = [cut(biased(seed, "mean shift", length, size, "normal", correlated=False)) for seed in range(40)]
    places = [one.left_out for one in found if one is not None and one.settled]
    assert len(places) == 40
    assert np.median(places) == pytest.approx(length, abs=10)
    assert np.quantile(places, 0.1) >= length - 15


def test_bias_without_an_end_is_refused_and_none_is_left_alone() -> None:
    refused = [cut(biased(seed, "linear", LENGTH, 4.0, "normal", correlated=False)) for seed in range(40)]
    assert sum(one is not None and not one.settled for one in refused) >= 36
    plain = [cut(biased(seed, "linear", 0, 0.0, "normal", correlated=False)) for seed in range(40)]
    assert np.median([one.left_out for one in plain if one is not None]) <= 50


def test_the_mean_over_replications_shows_a_start_that_one_alone_hides() -> None:
    alone = [cut(biased(s, "exponential", 400, 1.0, "normal", correlated=True)) for s in range(30)]
    together = [
        cut(biased(s, "exponential", 400, 1.0, "normal", correlated=True, runs=30)) for s in range(30)
    ]
    places = [[one.left_out for one in many if one is not None] for many in (alone, together)]
    assert np.median(places[0]) < 50 and np.median(places[1]) > 150  # of 400; the last of it is near nothing


def test_what_settles_at_once_is_not_cut_and_what_is_too_short_is_not_judged() -> None:
    assert cut(np.full(100, 7.3)) is not None
    flat = cut(np.r_[np.arange(10.0), np.full(90, 7.3)])
    assert flat is not None and (flat.left_out, flat.settled) == (10, True)
    assert cut(np.full(100, 7.3)).left_out == 0  # type: ignore[union-attr]
    assert cut(np.ones(49)) is None and len(mser(np.ones(3))) == 0


def whole(numbers: Floats) -> Series:
    return Series(np.asarray(np.round(numbers * 1e6), np.int64), scale=1e-6)


def test_one_warm_up_for_all_the_longest_of_those_that_settle() -> None:
    rng = np.random.default_rng(3)
    settling = {
        name: [whole(np.r_[np.full(length, 9.0), np.ones(LENGTH - length)] + rng.normal(0, 0.2, LENGTH)) for _ in range(4)]
        for name, length in (("soon", 50), ("late", 300))
    }  # fmt: skip
    drifting = [whole(np.arange(LENGTH) / 10.0) for _ in range(4)]
    found = automatic({**settling, "never": drifting}, every_ns=MINUTE_NS)
    assert found.unsettled == ("never",) and set(found.cuts_ns) == {"soon", "late"}
    assert found.length_ns == found.cuts_ns["late"] == 299 * MINUTE_NS and found.left_out == 300
    nothing = automatic({"never": drifting}, every_ns=MINUTE_NS)
    assert (nothing.length_ns, nothing.left_out, nothing.unsettled) == (None, None, ("never",))
    assert found.together(NONE).left_out == 300 and found.together(nothing).left_out is None
    assert type(found).from_record(found.to_record()) == found


def test_of_a_ratio_both_parts_have_to_settle() -> None:
    flat, drifting = np.full(LENGTH, 5), np.arange(LENGTH) + 1
    assert automatic({"a": [Series(flat, drifting)]}, every_ns=1).unsettled == ("a",)
    assert automatic({"a": [Series(drifting, flat)]}, every_ns=1).unsettled == ("a",)
    assert automatic({"a": [Series(flat, flat)]}, every_ns=1).unsettled == ()


def test_a_warm_up_that_is_said_leaves_out_the_instants_up_to_it() -> None:
    assert fixed(0, every_ns=MINUTE_NS) == NONE and NONE.left_out == 0
    for length_ns, left_out in ((MINUTE_NS - 1, 1), (MINUTE_NS, 2), (10 * MINUTE_NS, 11)):
        assert fixed(length_ns, every_ns=MINUTE_NS).left_out == left_out


def test_a_series_by_hand() -> None:
    count, ratio = Series(np.array([0, 4, 8])), Series(np.array([0, 4, 8]), np.array([0, 2, 0]), 0.5)
    assert (count.value(0), count.value(2), count.value(3)) == (4, 8, None)
    assert (ratio.value(0), ratio.value(2)) == ((6.0, 2.0), (4.0, 0.0))
    assert str(ratio.at_instants().tolist()) == "[nan, 1.0, nan]"
    both = mean_series([count, Series(np.array([2, 0]))])
    assert both.at_instants().tolist() == [1, 2]
    again = Series.from_record(ratio.to_record())
    assert again.value(0) == ratio.value(0) and again.scale == 0.5
