"""What each key of a sweep is worth: effects and Sobol' indices of a metric, with their intervals.

There are two kinds of chance: which points a design drew, and what the replications drew, which all points of a
replication share. A bootstrap draws both again, the design's units (points, trajectories, base points) and the replications
(a two-way, or pigeonhole, bootstrap: Owen, Annals of Applied Statistics 1, 2007), and is conservative. A design that is not drawn
(a product, a fractional factorial) has its interval over replications alone, by Student's t. A ratio is the ratio of sums
over the replications that were drawn, or is told by its pseudo-values (`sim.statistics.jackknife`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sim.statistics import Floats, Ints, jackknife, mean_interval

if TYPE_CHECKING:
    import pandas as pd

DRAWS: Final = 400
"""Bootstrap draws of an interval: its ends are at the 11th value from either side."""
SEED: Final = 1


class NoEffects(Exception):
    """Nothing can be said of effects; says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A metric of every point and replication.

    Attributes:
        above: a row a point, a column a replication; NaN where there is no value.
        below: of a ratio what is below; None: it is no ratio.
    """

    above: Floats
    below: Floats | None

    @classmethod
    def of(
        cls, results: pd.DataFrame, metric: str, counts: Sequence[int], *, antithetic: bool = False
    ) -> Sample:
        """From the table `results` of a sweep.

        Args:
            results: the table.
            metric: which.
            counts: replications of each point; what all have is looked at, since only those are paired.
            antithetic: replications 2k and 2k + 1 are one.
        """
        common = min(counts)
        ratio = f"{metric}.above" in results
        rows = results[results["replication"] < common]
        parts = []
        for name in (f"{metric}.above", f"{metric}.below") if ratio else (metric,):
            grid = np.full((len(counts), common), np.nan)
            grid[rows["point"], rows["replication"]] = rows[name].astype(np.float64)
            if antithetic:
                grid = (grid[:, : common // 2 * 2 : 2] + grid[:, 1::2]) / 2
            parts.append(grid)
        return cls(parts[0], parts[1] if ratio else None)

    @property
    def complete(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which points have a value in every replication, and of a ratio something below it."""
        whole = ~np.isnan(self.above).any(axis=1)
        if self.below is not None:
            whole &= ~np.isnan(self.below).any(axis=1) & (self.below.sum(axis=1) != 0)
        return np.asarray(whole)

    def at(self, points: Ints | np.ndarray[Any, np.dtype[np.bool_]]) -> Sample:
        """The same of some points, in that order."""
        return Sample(self.above[points], None if self.below is None else self.below[points])

    def means(self, replications: Ints | None = None) -> Floats:
        """The mean, or ratio of sums, of each point over replications, which may be drawn several times; None: over all."""
        above = self.above if replications is None else self.above[:, replications]
        if self.below is None:
            return np.asarray(above.mean(axis=1))
        below = self.below if replications is None else self.below[:, replications]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(above.sum(axis=1) / below.sum(axis=1))

    def values(self) -> Floats:
        """What stands for each point and replication: its value, or the pseudo-value of a ratio (NaN where it has none)."""
        if self.below is None:
            return self.above
        rows = [
            jackknife(above.tolist(), below.tolist())
            for above, below in zip(self.above, self.below, strict=True)
        ]
        nothing = [np.nan] * self.above.shape[1]
        return np.array([nothing if row is None else row for row in rows])


@dataclass(frozen=True, slots=True)
class Effect:
    """One quantity of every key, in the order of the keys; without an interval both ends are None."""

    mean: Floats
    low: Floats | None
    high: Floats | None


def slopes(cube: Floats, sample: Sample, *, drawn: bool) -> Effect:
    """What a key changes the metric by from the low end of its range to the high end, all else equal: by least squares.

    Args:
        cube: a row a point, the place of each key in its range, in [0, 1].
        sample: of those points, all complete.
        drawn: the points were drawn; otherwise the interval is over replications alone.

    Raises:
        NoEffects: there are not more points than keys and one.
    """
    count, keys = cube.shape
    if count < keys + 2:
        raise NoEffects(f"{count} points do not tell {keys} effects apart; it takes {keys + 2}")

    def fit(places: Floats, values: Floats) -> Floats:
        design = np.column_stack([np.ones(len(places)), places])
        return np.asarray(np.linalg.lstsq(design, values, rcond=None)[0][1:])

    if drawn:
        return _bootstrap(sample, count, lambda units, chosen: fit(cube[units], sample.means(chosen)[units]))
    return over_replications(fit(cube, sample.values()))


def over_replications(values: Floats) -> Effect:
    """A row a quantity, a column a replication: their means and intervals."""
    found = [mean_interval(row.tolist()) for row in values]
    mean = np.array([one.mean for one in found], np.float64)
    if values.shape[1] < 2:
        return Effect(mean, None, None)
    low, high = (np.array([getattr(one, end) for one in found], np.float64) for end in ("low", "high"))
    return Effect(mean, low, high)


def elementary(cube: Floats, sample: Sample) -> Effect:
    """Morris's μ*: the mean size of what one step of a key changes, scaled to its whole range.

    Args:
        cube: trajectories one after the other, each one point longer than there are keys.
        sample: of those points, all complete.
    """
    keys = cube.shape[1]
    steps = np.diff(cube.reshape(-1, keys + 1, keys), axis=1)
    moved = np.abs(steps).argmax(axis=2)
    size = np.take_along_axis(steps, moved[:, :, None], axis=2)[:, :, 0]

    def mu_star(units: Ints, replications: Ints | None) -> Floats:
        apart = np.diff(sample.means(replications).reshape(-1, keys + 1), axis=1) / size
        effects = np.zeros_like(apart)
        np.put_along_axis(effects, moved, apart, axis=1)
        return np.asarray(np.abs(effects[units]).mean(axis=0))

    return _bootstrap(sample, len(steps), mu_star)


def sobol(keys: int, sample: Sample) -> tuple[Effect, Effect]:
    """Sobol' indices, first-order and total: shares of the metric's variance over the ranges.

    Args:
        keys: how many there are.
        sample: of Saltelli's points without second order, all complete.

    Raises:
        NoEffects: nothing varies, or SALib is not installed.
    """
    try:
        from SALib.analyze.sobol import first_order, total_order
    except ImportError as error:
        raise NoEffects(f"{error.name} is not installed, which comes with the extra `experiments`") from error
    if np.ptp(sample.means()) <= 1e-12 * np.abs(sample.means()).max():
        raise NoEffects("it does not vary between the points")

    def indices(units: Ints, replications: Ints | None) -> Floats:
        values = sample.means(replications).reshape(-1, keys + 2)
        values = ((values - values.mean()) / values.std())[units]  # the estimator is better of centred values
        a, b = values[:, 0], values[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw of one base point alone does not vary
            return np.array([
                [float(of(a, values[:, key + 1], b)) for key in range(keys)] for of in (first_order, total_order)
            ])  # fmt: skip

    both = _bootstrap(sample, len(sample.above) // (keys + 2), indices)
    return tuple(  # type: ignore[return-value]
        Effect(*(None if part is None else part[row] for part in (both.mean, both.low, both.high)))  # type: ignore[arg-type]
        for row in range(2)
    )


def _bootstrap(sample: Sample, units: int, of: Callable[[Ints, Ints | None], Floats]) -> Effect:
    """A statistic and its percentile interval, units of the design and replications both drawn again."""
    mean = of(np.arange(units), None)
    if units < 2:
        return Effect(mean, None, None)
    rng, replications = np.random.default_rng(SEED), sample.above.shape[1]
    draws = [
        of(rng.integers(units, size=units), rng.integers(replications, size=replications))
        for _ in range(DRAWS)
    ]
    low, high = np.nanquantile(np.array(draws), [0.025, 0.975], axis=0)
    return Effect(mean, low, high)
