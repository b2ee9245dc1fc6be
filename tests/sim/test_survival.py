"""The product-limit estimate against a statistics library and a published example."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim.survival import kaplan_meier, survival_at


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_a_statistics_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spans = rng.exponential(10, 60).round(
        seed % 3
    )  # rounded: several end, and are taken away, at one instant
    over = rng.random(60) < 0.6
    instants, shares = kaplan_meier(spans, over)
    theirs = stats.ecdf(stats.CensoredData.right_censored(spans, ~over)).sf
    at = np.searchsorted(theirs.quantiles, instants)
    assert theirs.quantiles[at].tolist() == instants.tolist()
    assert shares == pytest.approx(theirs.probabilities[at], abs=1e-12)


def test_the_example_of_the_six_mp_trial() -> None:
    """Remission under 6-MP (Freireich et al., Blood 21, 1963), as Kaplan-Meier tables of textbooks give it."""
    spans = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    over = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    instants, shares = kaplan_meier(spans, over)
    assert instants.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert shares.round(3).tolist() == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert np.isnan(survival_at(np.array([35.5]), spans, over)).all()
    assert survival_at(np.array([0.0, 5.9, 6.0, 35.0]), spans, over).round(3).tolist() == [1, 1, 0.857, 0.448]


def test_what_is_no_lifetime_is_refused() -> None:
    with pytest.raises(ValueError, match="0 durations"):
        kaplan_meier([], [])
    with pytest.raises(ValueError, match="must be 0 or more: -1"):
        kaplan_meier([2, -1], [True, True])
    with pytest.raises(ValueError, match="nan"):
        kaplan_meier([np.nan], [True])
