"""The difference of two means, B - A: its interval, its tests, and what pairing is worth.

Replications that drew the same chance are paired: the difference of each pair is one observation, and what both
share falls out of it. Where they are independent, Welch's test does not assume that both vary alike. Many
metrics are tested at once, so p values are corrected by Holm's method (Scandinavian Journal of Statistics 6,
1979): the chance of one false finding or more, among all of them, is at most the level. Equivalence is shown by
two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sim.statistics import LEVEL, t_quantile, t_upper_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDING: Final = 1e-12
"""A difference of this share of the largest value, or less, comes from floating point, not from the worlds."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of means, B - A.

    Attributes:
        a, b: the two means.
        mean: the difference.
        error: its standard error; None when there are too few values for one.
        degrees: degrees of freedom of Student's t; None likewise.
        variance_ratio: variance of the difference if A and B were independent over that of the paired one: so many
            times as many replications would be needed without pairing. None when not paired, when there are too few
            values, or when the pairs all differ by the same.
    """

    a: float
    b: float
    mean: float
    error: float | None
    degrees: float | None
    variance_ratio: float | None

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """The interval of the difference; None when there are too few values."""
        if self.error is None or self.degrees is None:
            return None
        half = t_quantile((1 + level) / 2, self.degrees) * self.error
        return self.mean - half, self.mean + half

    def p_different(self) -> float | None:
        """How likely so large a difference is, either way, where there is none; None when there are too few values."""
        if self.error is None or self.degrees is None:
            return None
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return 2 * t_upper_tail(abs(self.mean) / self.error, self.degrees)

    def p_equivalent(self, margin: float) -> float | None:
        """The larger p value of the two one-sided tests against a difference of `margin` or more.

        Args:
            margin: in the metric's unit, 0 or more; differences of less do not matter.

        Returns:
            small when the difference is shown to lie within the margin; None when there are too few values.
        """
        if self.error is None or self.degrees is None:
            return None
        if self.error == 0:
            return 0.0 if self.mean == 0 or abs(self.mean) < margin else 1.0
        return t_upper_tail((margin - abs(self.mean)) / self.error, self.degrees)


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """The difference of paired values.

    Args:
        a: finite values, at least one.
        b: as many, in the same order.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} values and {len(b)} make no pairs")
    n, mean_a, mean_b = len(a), _mean(a), _mean(b)
    apart = [y - x for x, y in zip(a, b, strict=True)]
    size = _size(a, b)
    mean = _unless_rounding(_mean(apart), size)
    if n == 1:
        return Difference(mean_a, mean_b, mean, None, None, None)
    variance = _variance(apart, size)
    ratio = (_variance(a) + _variance(b)) / variance if variance else None
    return Difference(mean_a, mean_b, mean, math.sqrt(variance / n), n - 1, ratio)


def independent(a: Sequence[float], b: Sequence[float]) -> Difference:
    """The difference of independent values, by Welch's method (Biometrika 34, 1947).

    Args:
        a: finite values, at least one.
        b: likewise, not always as many.

    Raises:
        ValueError: one of them is empty.
    """
    if not a or not b:
        raise ValueError(f"{len(a)} values and {len(b)} have no difference")
    mean_a, mean_b = _mean(a), _mean(b)
    mean = _unless_rounding(mean_b - mean_a, _size(a, b))
    least = min(len(a), len(b)) - 1
    if least == 0:
        return Difference(mean_a, mean_b, mean, None, None, None)
    part_a, part_b = _variance(a) / len(a), _variance(b) / len(b)
    both = part_a + part_b
    degrees: float = least
    if both > 0:  # shares, not squares of the parts: those of small values underflow
        share_a, share_b = part_a / both, part_b / both
        degrees = max(least, 1 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1)))
    return Difference(mean_a, mean_b, mean, math.sqrt(both), degrees, None)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for being several, in their order: each may be compared with the level itself.

    Args:
        p_values: of all that was tested, each in [0, 1].
    """
    corrected, so_far = [0.0] * len(p_values), 0.0
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(ascending):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = so_far
    return corrected


def _size(a: Sequence[float], b: Sequence[float]) -> float:
    return max(map(abs, (*a, *b)))


def _unless_rounding(difference: float, size: float) -> float:
    """The difference of numbers of this size; exactly 0 where it can be their rounding."""
    return 0.0 if abs(difference) <= ROUNDING * size else difference


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float], size: float = 0.0) -> float:
    """Of a sample; exactly 0 where all are equal but for rounding, to numbers of this size or their own."""
    if max(values) - min(values) <= ROUNDING * max(size, *map(abs, values)):
        return 0.0
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
