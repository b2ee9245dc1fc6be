"""Estimates over replications: means, ratios and quantiles, each with what can honestly be said of them.

An interval is for the mean over independent replications (Student's t); there is none from a single one.
A ratio of sums is estimated by the jackknife, which takes out the bias that a mean of ratios has. A tail
quantile from fewer than 100 observations beyond it is not given.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL: Final = 0.95
MIN_BEYOND: Final = 100
"""Observations that must lie beyond a tail quantile before it is given."""
BUCKET_SHIFT: Final = 46
"""A latency's bucket is its float64 (in ns) without the lowest 46 bits: 64 buckets an octave."""

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate over replications.

    Args:
        mean: the estimate; None when there is nothing to estimate it from.
        low, high: ends of the 95 % interval; None from fewer than two replications.
        n: replications it is from.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of independent values with its interval by Student's t."""
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = t_quantile((1 + level) / 2, n - 1) * math.sqrt(variance / n)
    return Estimate(mean, mean - half, mean + half, n)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL
) -> Estimate:
    """Ratio of expectations from pairs, by the jackknife.

    Args:
        numerators: what is above, one from every replication.
        denominators: what is below, in the same order.
        level: of the interval.

    Raises:
        ValueError: the two differ in length.
    """
    pseudo = jackknife(numerators, denominators)
    if pseudo is not None:
        return mean_interval(pseudo, level)
    below = math.fsum(denominators)
    whole = math.fsum(numerators) / below if below else None
    return Estimate(whole, None, None, len(numerators))


def jackknife(numerators: Sequence[float], denominators: Sequence[float]) -> list[float] | None:
    """Pseudo-values of a ratio of expectations: their mean is the estimate, without most of its bias.

    They can be treated as independent values, one from every replication: an interval is that of their mean, and
    those of two runs can be subtracted.

    Args:
        numerators: what is above, one from every replication.
        denominators: what is below, in the same order.

    Returns:
        as many values; of one replication its ratio; None when there is nothing below, in all or without one.

    Raises:
        ValueError: the two differ in length.
    """
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} numerators for {len(denominators)} denominators")
    n, above, below = len(numerators), math.fsum(numerators), math.fsum(denominators)
    if n == 0 or below == 0:
        return None
    if n == 1:
        return [above / below]
    without = [(below - part, above - piece) for piece, part in zip(numerators, denominators, strict=True)]
    if any(rest == 0 for rest, _ in without):  # one replication holds everything: nothing to leave out
        return None
    return [n * above / below - (n - 1) * piece / rest for rest, piece in without]


@functools.lru_cache(maxsize=4096)
def t_quantile(prob: float, degrees: float) -> float:
    """The quantile of Student's t: the value that is exceeded with chance 1 - `prob`.

    By bisection on the distribution function, to the last bits; the library with the closed routine takes
    longer to import than a whole summary.

    Args:
        prob: in [0.5, 1).
        degrees: degrees of freedom, at least 1; not always a whole number.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0.5 <= prob < 1 or degrees < 1:
        raise ValueError(f"prob {prob} must be in [0.5, 1) and degrees {degrees} at least 1")
    low, high = 0.0, 1.0
    while t_upper_tail(high, degrees) > 1 - prob:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if t_upper_tail(middle, degrees) > 1 - prob:
            low = middle
        else:
            high = middle
    return high


def t_upper_tail(value: float, degrees: float) -> float:
    """The chance that Student's t exceeds `value`, which may be infinite, at `degrees` degrees of freedom."""
    tail = 0.5 * _beta_share(degrees / 2, 0.5, degrees / (degrees + value * value))
    return tail if value >= 0 else 1 - tail


def _beta_share(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Lentz's method; DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(b, a, 1 - x)
    front = (
        math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
        / a
    )
    tiny, c, d, product = 1e-300, 1.0, 0.0, 1.0
    for step in range(500):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        product *= d * c
        if abs(1 - d * c) < 1e-15:
            break
    return front * (product - 1)


def bucket_of(latency_ns: float) -> int:
    """The sketch bucket of a latency [ns, at least 0]."""
    return int(np.float64(latency_ns).view(np.int64)) >> BUCKET_SHIFT


def bucket_edges_ms(buckets: Ints) -> tuple[Floats, Floats]:
    """Lower and upper ends [ms] of sketch buckets."""
    bits = buckets.astype(np.int64)
    low = (bits << BUCKET_SHIFT).view(np.float64) / 1e6
    high = ((bits + 1) << BUCKET_SHIFT).view(np.float64) / 1e6
    return low, high


def merge_buckets(buckets: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """One row for each bucket, ascending: sketches add up."""
    if not len(buckets):
        return buckets.astype(np.int64), counts.astype(np.int64)
    order = np.argsort(buckets, kind="stable")
    buckets, counts = buckets[order], counts[order]
    starts = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]])
    return buckets[starts].astype(np.int64), np.add.reduceat(counts, starts).astype(np.int64)


def enough_for(prob: float, observations: int) -> bool:
    """Whether that many observations carry a quantile: one for a median, 100 beyond it in the tail."""
    if prob <= 0.5:
        return observations > 0
    return round(observations * (1 - prob), 6) >= MIN_BEYOND


def sketch_quantile_ms(buckets: Ints, counts: Ints, prob: float) -> float | None:
    """A quantile [ms] from a sketch; None when there are too few observations for it.

    The middle of the bucket that holds the observation of that rank: at most 0.8 % from it.

    Args:
        buckets: the sketch's buckets, in any order, repeated or not.
        counts: how many fell into each.
        prob: in (0, 1).
    """
    values = sketch_quantiles_ms(np.zeros(len(buckets), np.int64), buckets, counts, prob, groups=1)
    return None if np.isnan(values[0]) else float(values[0])


def sketch_quantiles_ms(group: Ints, buckets: Ints, counts: Ints, prob: float, *, groups: int) -> Floats:
    """The same for many sketches at once: one quantile [ms] a group, NaN where there are too few.

    Args:
        group: which sketch each row belongs to, in [0, groups).
        buckets: the rows' buckets, in any order.
        counts: how many fell into each.
        prob: in (0, 1).
        groups: how many sketches there are.
    """
    values = np.full(groups, np.nan)
    order = np.lexsort((buckets, group))
    group, buckets, counts = group[order], buckets[order].astype(np.int64), counts[order].astype(np.int64)
    totals = np.zeros(groups, np.int64)
    np.add.at(totals, group, counts)
    enough = np.array([enough_for(prob, int(total)) for total in totals], dtype=np.bool_)
    before = np.cumsum(totals) - totals
    ranks = before + np.maximum(np.ceil(prob * totals), 1).astype(np.int64)
    places = np.searchsorted(np.cumsum(counts), ranks[enough])
    low, high = bucket_edges_ms(buckets[places])
    values[enough] = (low + high) / 2
    return values


def hhi(amounts: Sequence[float]) -> float | None:
    """Herfindahl-Hirschman index of shares, 1/n when equal and 1 for a monopoly; None when nothing was earned."""
    total = math.fsum(amounts)
    return math.fsum((amount / total) ** 2 for amount in amounts) if total > 0 else None


def gini(amounts: Sequence[float]) -> float | None:
    """Gini coefficient of non-negative amounts, 0 when equal; None when all are zero."""
    values = sorted(amounts)
    n, total = len(values), math.fsum(values)
    if total <= 0:
        return None
    return (
        2 * math.fsum(rank * value for rank, value in enumerate(values, start=1)) / (n * total) - (n + 1) / n
    )
