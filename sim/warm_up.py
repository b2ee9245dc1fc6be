"""Where a run's start ends and its steady state begins: a time that was said, or MSER-5.

A run begins with an empty world. What it is like later is told only by the instants after some time, the
warm-up. MSER (White, Simulation 69, 1997) leaves out so many values at the start that the standard error of the
mean of the rest, as if they were independent, is least: a start that is unlike the rest widens it, and so does
leaving out too much. MSER-5 (White, Cobb and Spratt, Winter Simulation Conference 2000) does that with means of five
values. It is applied to the mean over replications, whose noise is smaller and whose start is the same. The least
has to be in the first half, or there is too little of the steady state to tell it; the last five means are not
looked at, because a few values that are near each other by chance look like one (Hoad, Robinson and Davies, Journal of
the Operational Research Society 61, 2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from sim.statistics import Floats, Ints

BATCH: Final = 5
END: Final = 5
"""Batches at the end that are not looked at."""
LEAST_BATCHES: Final = 10

Value: TypeAlias = float | tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Cut:
    """Where MSER ends the start of a series.

    Attributes:
        left_out: values at the start that are left out, whole batches.
        settled: whether that is at most half of the series; otherwise it is too short to tell.
        statistic: what is least there: element d is that of leaving out d batches [the values' unit squared].
    """

    left_out: int
    settled: bool
    statistic: Floats


def mser(values: Floats, batch: int = BATCH) -> Floats:
    """The marginal standard error, squared: Σ (z_j - z̄_d)² / (k - d)² over the batch means z_j from the d-th on.

    Args:
        values: one an instant, in order; what does not fill a batch at the end is left out.
        batch: values in a batch, 1 or more; 1 is MSER, 5 MSER-5.

    Returns:
        an element for each d from 0 to k - 1, where k is the number of batches.
    """
    count = len(values) // batch
    means = np.asarray(values[: count * batch], np.float64).reshape(count, batch).mean(axis=1)
    if not count:
        return np.zeros(0)
    means = np.asarray(
        means - means[-1]
    )  # sums of squares of what is small, and of nothing where all are the same
    rest = np.arange(count, 0, -1.0)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (means, means * means))
    return np.asarray(np.maximum(squares - sums * sums / rest, 0.0) / rest**2)


def cut(values: Floats, batch: int = BATCH) -> Cut | None:
    """Where MSER ends the start of a series.

    Args:
        values: one an instant, in order.
        batch: values in a batch.

    Returns:
        the first least of the statistic, the last `END` batches aside; None when there are fewer than `LEAST_BATCHES`.
    """
    statistic = mser(values, batch)
    if len(statistic) < LEAST_BATCHES:
        return None
    first = int(np.argmin(statistic[:-END]))
    return Cut(first * batch, 2 * first <= len(statistic), statistic)


@dataclass(frozen=True, slots=True)
class Series:
    """A steady-state figure of one replication, instant by instant.

    Attributes:
        above: one whole number an instant.
        below: what their sum is divided by; None: the number of instants.
        scale: what the quotient is multiplied by to be in the metric's unit.
    """

    above: Ints
    below: Ints | None = None
    scale: float = 1.0

    def value(self, left_out: int) -> Value:
        """The figure without the first instants; None when nothing is left."""
        above = self.above[left_out:]
        if not len(above):
            return None
        total = int(above.sum()) if self.scale == 1 else float(above.sum()) * self.scale
        return (
            total / len(above) if self.below is None else (float(total), float(self.below[left_out:].sum()))
        )

    def at_instants(self) -> Floats:
        """The figure at each instant, for drawing; NaN where there is nothing to divide by."""
        if self.below is None:
            return np.asarray(self.above * self.scale, np.float64)
        below = np.where(self.below == 0, np.nan, self.below)
        return np.asarray(self.above * self.scale / below)

    def to_record(self) -> list[Any]:
        """As plain JSON holds it."""
        return [self.above.tolist(), None if self.below is None else self.below.tolist(), self.scale]

    @classmethod
    def from_record(cls, record: Sequence[Any]) -> Series:
        """The inverse of `to_record`."""
        above, below, scale = record
        return cls(
            np.array(above, np.int64), None if below is None else np.array(below, np.int64), float(scale)
        )


def mean_series(many: Sequence[Series]) -> Series:
    """The sum over replications, whose quotients are those of the mean; cut to the shortest."""
    length = min(len(one.above) for one in many)
    above = sum(one.above[:length] for one in many)
    below = [one.below[:length] for one in many if one.below is not None]
    if below:
        return Series(np.asarray(above), np.asarray(sum(below)), many[0].scale)
    return Series(np.asarray(above), None, many[0].scale / len(many))


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The warm-up in force.

    Attributes:
        asked: `none`, `auto` or `time`.
        every_ns: between two instants, of which the first is the start of the run [ns].
        length_ns: no steady-state figure has what is up to it, 0 when all count [ns]; None when none can be told.
        cuts_ns: with `auto`, for each metric that settles the warm-up of its own [ns]; the longest is in force for all.
        unsettled: with `auto`, metrics that have no value: they are not seen to settle in the first half.
    """

    asked: Literal["none", "auto", "time"]
    every_ns: int
    length_ns: int | None
    cuts_ns: Mapping[str, int]
    unsettled: tuple[str, ...] = ()

    @property
    def left_out(self) -> int | None:
        """Instants at the start that do not count; None when no warm-up can be told."""
        if not self.length_ns:
            return self.length_ns
        return self.length_ns // self.every_ns + 1

    def together(self, other: WarmUp) -> WarmUp:
        """The same, but as long as that of the other run if that is longer, and without what does not settle there."""
        lengths = [one.length_ns for one in (self, other) if one.length_ns is not None]
        known = max(lengths) if len(lengths) == 2 else None
        unsettled = tuple(dict.fromkeys((*self.unsettled, *other.unsettled)))
        return replace(self, length_ns=known, unsettled=unsettled)

    def to_record(self) -> dict[str, Any]:
        """As plain JSON holds it."""
        return {**asdict(self), "unsettled": list(self.unsettled)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> WarmUp:
        """The inverse of `to_record`."""
        return cls(**{**record, "unsettled": tuple(record["unsettled"])})


NONE: Final = WarmUp("none", 1, 0, {})
"""Every instant counts."""


def fixed(asked_ns: int, *, every_ns: int) -> WarmUp:
    """A warm-up that was said, 0 for none [ns]."""
    return WarmUp("time", every_ns, asked_ns, {}) if asked_ns else NONE


def automatic(series: Mapping[str, Sequence[Series]], *, every_ns: int) -> WarmUp:
    """The warm-up by MSER-5 on the mean over replications: one for all metrics, the longest of those that settle.

    Of a ratio both parts have to settle.

    Args:
        series: for each metric that of each replication.
        every_ns: between two instants [ns].
    """
    cuts_ns: dict[str, int] = {}
    unsettled: list[str] = []
    for name, many in series.items():
        mean = mean_series(many)
        found = [cut(np.asarray(part, np.float64)) for part in (mean.above, mean.below) if part is not None]
        if all(one is not None and one.settled for one in found):
            left_out = max(one.left_out for one in found if one is not None)
            cuts_ns[name] = (left_out - 1) * every_ns if left_out else 0
        else:
            unsettled.append(name)
    return WarmUp("auto", every_ns, max(cuts_ns.values(), default=None), cuts_ns, tuple(unsettled))
