"""What a notebook of the scenario library concludes: named figures, each with its interval and what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.statistics import Estimate, mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Answer:
    """One figure that answers the question, or part of it.

    Args:
        estimate: what came out, over replications.
        known: what theory says; None: it says no number.
        unit: of both; empty for a pure number. `%`: both are shares, told in per cent.
    """

    estimate: Estimate
    known: float | None = None
    unit: str = ""

    @property
    def half(self) -> float | None:
        """Half of the interval; None where there is none."""
        one = self.estimate
        return None if one.low is None or one.high is None else (one.high - one.low) / 2


def jackknifed(rows: pd.DataFrame, of: Callable[[pd.DataFrame], float]) -> Estimate:
    """Estimate any function of a whole sweep, such as where a curve is lowest, by the jackknife over replications.

    Replication i draws the same at every point, so that leaving it out everywhere leaves out what belongs together.

    Args:
        rows: of `SweepResults.results`, or of some of its points: a row a point and replication.
        of: the figure, from all of them, or from those without one replication.

    Returns:
        The mean of the pseudo-values with its interval; of one replication the figure alone.
    """
    numbers = sorted(set(rows["replication"]))
    whole, n = float(of(rows)), len(numbers)
    if n < 2:
        return Estimate(whole, None, None, n)
    without = [float(of(rows[rows["replication"] != number])) for number in numbers]
    return mean_interval([n * whole - (n - 1) * value for value in without])
