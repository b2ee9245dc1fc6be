"""What replications come to: estimates, with pairs that count once, and when there are enough of them.

What is looked at is always the replications 0 to n - 1, in order, for n growing. So the number at which it stops
is the same however many were made at once, and those that were made beyond it are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sim.statistics import LEVEL, Estimate, mean_interval, ratio_interval, t_quantile
from sim.warm_up import Series, Value, WarmUp, automatic

if TYPE_CHECKING:
    from sim.scenario.world import Until


class Measured(Protocol):
    """One replication, measured."""

    @property
    def metrics(self) -> Mapping[str, Value]:
        """Every metric; a steady-state one with a warm-up of its own replication where that is `auto`."""
        ...

    @property
    def series(self) -> Mapping[str, Series]:
        """What steady-state metrics are made of, where the warm-up depends on all replications; else empty."""
        ...


def single(value: Value) -> float | None:
    """A metric of one replication as one number; None where there is none."""
    if isinstance(value, tuple):
        return value[0] / value[1] if value[1] else None
    return value


def pairs(measured: Sequence[Value]) -> list[Value]:
    """Antithetic replications 2k and 2k + 1 as one value: their mean, or the sums of their parts; None when one has none.

    A last one without its second is left out.
    """
    found: list[Value] = []
    for first, second in zip(measured[::2], measured[1::2], strict=False):
        if isinstance(first, tuple) and isinstance(second, tuple):
            found.append((first[0] + second[0], first[1] + second[1]))
        elif first is None or second is None or isinstance(first, tuple) or isinstance(second, tuple):
            found.append(None)
        else:
            found.append((first + second) / 2)
    return found


def estimate(measured: Sequence[Value], *, antithetic: bool = False) -> Estimate:
    """A mean, or a ratio of sums; of nothing when a replication could not give its value, which would bias it.

    Args:
        measured: a value for each replication, in order.
        antithetic: whether they are pairs, which then count as one each, in `n` too.
    """
    if antithetic:
        measured = pairs(measured)
    if any(value is None for value in measured):
        return Estimate(None, None, None, sum(value is not None for value in measured))
    parts = [value for value in measured if isinstance(value, tuple)]
    if parts:
        return ratio_interval([above for above, _ in parts], [below for _, below in parts])
    return mean_interval([float(value) for value in measured if isinstance(value, (int, float))])


def running(measured: Sequence[Value], *, antithetic: bool = False) -> list[Estimate]:
    """The estimate from the first replication, from the first two, and so on: how it and its interval narrow."""
    step = 2 if antithetic else 1
    return [
        estimate(measured[:count], antithetic=antithetic) for count in range(step, len(measured) + 1, step)
    ]


def settled(many: Sequence[Measured], *, every_ns: int) -> WarmUp:
    """The warm-up that replications have together.

    Args:
        many: one or more, with their series.
        every_ns: between two instants [ns].
    """
    return automatic({name: [one.series[name] for one in many] for name in many[0].series}, every_ns=every_ns)


def values_of(name: str, many: Sequence[Measured], warm_up: WarmUp | None) -> list[Value]:
    """A metric in each of several replications.

    Args:
        name: of the metric.
        many: the replications.
        warm_up: that they have together; None where each was measured with it already.
    """
    if warm_up is None or not many or name not in many[0].series:
        return [one.metrics[name] for one in many]
    if warm_up.left_out is None or name in warm_up.unsettled:
        return [None] * len(many)
    return [one.series[name].value(warm_up.left_out) for one in many]


@dataclass(frozen=True, slots=True)
class Precision:
    """How near a half-width that was asked for came.

    Attributes:
        metric: whose.
        asked: the half-width that was to be reached, as a share of the mean.
        replications: how many there are.
        mean, half_width: what was found; None where the metric has no value, or no interval.
        reached: whether it was.
        needed: about how many replications it takes, by the variance found; None when no number helps.
        why: what is in the way when it was not reached, in words.
    """

    metric: str
    asked: float
    replications: int
    mean: float | None
    half_width: float | None
    reached: bool
    needed: int | None
    why: str

    def to_record(self) -> dict[str, Any]:
        """As plain JSON holds it."""
        return asdict(self)


class Stopping:
    """Looks at replications in order until a metric is known well enough, or `until.max` of them are there.

    Args:
        until: what is asked.
        values: the metric's values in the first replications, how many is its argument.
        antithetic: whether they are pairs.
        settling: whether a value that is missing may be there with more replications, since the warm-up is `auto`.
    """

    def __init__(
        self,
        until: Until,
        values: Callable[[int], Sequence[Value]],
        *,
        antithetic: bool = False,
        settling: bool = False,
    ) -> None:
        self._until = until
        self._values = values
        self._antithetic = antithetic
        self._settling = settling
        self._step = 2 if antithetic else 1
        self._next = until.min
        self.found: Precision | None = None

    def look(self, there: int) -> Precision | None:
        """What was found, once it is certain; None when more replications are needed.

        Args:
            there: replications 0 to `there` - 1 can be looked at.
        """
        while self.found is None and self._next <= min(there, self._until.max):
            found = self._at(self._next)
            hopeless = not self._settling and None in self._values(self._next)
            if found.reached or hopeless or self._next + self._step > self._until.max:
                self.found = found
            self._next += self._step
        return self.found

    def more(self, there: int) -> int:
        """How many are worth making beyond those there, by what is known: half as many again, or up to those needed."""
        if there < self._until.min:
            return self._until.min - there
        needed = self._at(there).needed or self._until.max
        count = max(self._step, min(needed - there, there // 2))
        return min(count + count % self._step, self._until.max - there)

    def _at(self, count: int) -> Precision:
        """How precise the first replications are."""
        values = self._values(count)
        found = estimate(values, antithetic=self._antithetic)
        share, name = self._until.share, self._until.metric
        if found.mean is None or found.low is None or found.high is None:
            missing = [number for number, value in enumerate(values) if single(value) is None]
            why = f"it has no value in replication {missing[0]}" if missing else "it has no interval"
            return Precision(
                name,
                share,
                count,
                found.mean,
                None,
                False,
                None,
                f"{why} (too few observations, or nothing to measure)",
            )
        half = (found.high - found.low) / 2
        target = share * abs(found.mean)
        if half <= target:
            return Precision(name, share, count, found.mean, half, True, None, "")
        if target == 0:
            return Precision(
                name,
                share,
                count,
                found.mean,
                half,
                False,
                None,
                "its mean is 0, of which no share can be reached",
            )
        needed = _needed(half, target, found.n) * self._step
        why = f"{count} replications gave {100 * half / abs(found.mean):.3g} %; about {needed:,} are needed"
        return Precision(name, share, count, found.mean, half, False, needed, why)


def _needed(half: float, target: float, n: int) -> int:
    """How many values give a half-width of `target` where `n` give `half`, if they vary as those do."""
    deviation = half * math.sqrt(n) / t_quantile((1 + LEVEL) / 2, n - 1)
    count = n
    for _ in range(50):
        wanted = math.ceil((t_quantile((1 + LEVEL) / 2, count - 1) * deviation / target) ** 2)
        if abs(wanted - count) <= 1:
            break
        count = max(2, wanted)
    return max(n + 1, count)
