"""Effects of keys and Sobol' indices: known answers, and the values of the library that draws the designs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from SALib.analyze import morris as their_morris
from SALib.analyze import sobol as their_sobol

from sim.experiments.designs import unit_cube
from sim.experiments.effects import NoEffects, Sample, elementary, over_replications, slopes, sobol
from sim.scenario.sweep import Fractional, Lhs, Morris, Sobol
from sim.statistics import Floats, mean_interval

OVER = dict.fromkeys("abc", (0, 1))
PROBLEM = {"num_vars": 3, "names": list("abc"), "bounds": [[0.0, 1.0]] * 3}


def curved(x: Floats) -> Floats:
    return np.asarray(10 * x[:, 0] + 4 * x[:, 1] ** 2 + 6 * x[:, 0] * x[:, 2])


def straight(x: Floats) -> Floats:
    return np.asarray(3 + 10 * x[:, 0] - 4 * x[:, 1])


def sampled(cube: Floats, of: Callable[[Floats], Floats], replications: int = 4) -> Sample:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 2, replications)  # common random numbers
    return Sample(of(cube)[:, None] + shared + rng.normal(0, 0.1, (len(cube), replications)), None)


def test_slopes_are_the_changes_over_the_ranges_and_their_intervals_hold_them() -> None:
    for design, drawn in ((Lhs(points=20, over=OVER), True), (Fractional(over=OVER), False)):
        cube = np.array(unit_cube(design, 3))
        effect = slopes(cube, sampled(cube, straight), drawn=drawn)
        assert effect.mean == pytest.approx([10, -4, 0], abs=0.4)
        assert effect.low is not None
        assert effect.high is not None
        assert (effect.low <= [10.1, -3.9, 0.1]).all()
        assert (effect.high >= [9.9, -4.1, -0.1]).all()
        assert (effect.high - effect.low < 1).all(), "what replications share is no part of an effect"


def test_a_design_that_is_not_drawn_has_the_interval_of_its_replications_or_none() -> None:
    cube = np.array(unit_cube(Fractional(over=OVER), 3))
    sample = sampled(cube, straight)
    effect = slopes(cube, sample, drawn=False)
    own = [
        sample.above[cube[:, 0] == 1, r].mean() - sample.above[cube[:, 0] == 0, r].mean() for r in range(4)
    ]
    assert effect.high is not None
    assert effect.high[0] == pytest.approx(mean_interval(own).high)
    assert slopes(cube, Sample(sample.above[:, :1], None), drawn=False).low is None
    with pytest.raises(NoEffects, match="4 points do not tell 3 effects apart; it takes 5"):
        slopes(cube[:4], sample.at(np.arange(4)), drawn=True)


def test_elementary_effects_are_the_librarys() -> None:
    cube = np.array(unit_cube(Morris(trajectories=8, over=OVER), 3))
    sample = sampled(cube, curved)
    theirs = their_morris.analyze(PROBLEM, cube, sample.means(), num_levels=4)
    ours = elementary(cube, sample)
    assert ours.mean == pytest.approx(theirs["mu_star"].data, rel=1e-9)
    assert ours.low is not None
    assert (ours.low < ours.mean).all()


def test_indices_are_the_librarys_and_their_intervals_hold_the_true_ones() -> None:
    design = Sobol(points=256, over=OVER)
    cube = np.array(unit_cube(design, 3))
    sample = sampled(cube, straight)
    theirs = their_sobol.analyze(PROBLEM, sample.means(), calc_second_order=False, num_resamples=2, seed=1)
    first, total = sobol(3, sample)
    assert first.mean == pytest.approx(theirs["S1"], rel=1e-9)
    assert total.mean == pytest.approx(theirs["ST"], rel=1e-9)
    for one in (first, total):
        assert one.low is not None
        assert one.high is not None
        truth = np.array([100, 16, 0]) / 116
        assert (one.low - 0.01 <= truth).all()
        assert (truth <= one.high + 0.01).all()
    with pytest.raises(NoEffects, match="does not vary"):
        sobol(3, Sample(np.ones((20, 2)), None))


def test_a_ratio_is_of_sums_over_the_replications() -> None:
    sample = Sample(np.array([[1.0, 9.0], [2.0, 2.0]]), np.array([[1.0, 3.0], [0.0, 0.0]]))
    assert sample.complete.tolist() == [True, False]
    assert sample.means()[0] == 2.5
    assert sample.means(np.array([1, 1]))[0] == 3
    assert sample.values()[0].mean() == pytest.approx(2 * 2.5 - (3 + 1) / 2)
    assert np.isnan(sample.values()[1]).all()
    assert over_replications(np.array([[1.0]])).low is None


def test_points_are_looked_at_in_the_replications_that_all_have_and_pairs_are_one() -> None:
    results = pd.DataFrame(
        [(p, r, 10.0 * p + r) for p, count in enumerate((4, 6)) for r in range(count)],
        columns=["point", "replication", "profit"],
    )
    sample = Sample.of(results, "profit", [4, 6])
    assert sample.above.tolist() == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert sample.complete.all()
    paired = Sample.of(results, "profit", [4, 6], antithetic=True)
    assert paired.above.tolist() == [[0.5, 2.5], [10.5, 12.5]]
