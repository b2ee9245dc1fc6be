"""Arrival processes: when the requests of one pod come.

These are descriptions; the kernel draws from them. Request k of a pod uses the k-th counter of the
pod's `requests` stream, so the arrivals do not depend on what serves them. All offsets count from
the world's start (the `start_ns` of the data plane that first hosts the pod).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from protocol.errors import BadInput
from sim.laws import Law

SECONDS_A_MINUTE: Final = 60

WithinMinute = Literal["uniform", "even", "bursty"]


def _require(ok: bool, what: str, allowed: str) -> None:
    if not ok:
        raise BadInput(f"{what}: {allowed}")


@dataclass(frozen=True, slots=True)
class Poisson:
    """Poisson arrivals whose rate is constant between steps.

    Args:
        rates_per_s: pairs (start [s], rate [1/s]) with rising starts from 0 on; a rate holds until the
            next start, the last one for ever or until the period ends. One pair is a constant rate,
            fine steps with a period are a diurnal one.
        period_s: after so many seconds [s] the steps begin again; None: never.
    """

    rates_per_s: tuple[tuple[float, float], ...]
    period_s: float | None = None

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.rates_per_s]
        _require(bool(starts) and starts[0] >= 0.0, "rates_per_s", "at least one pair, starts from 0 on")
        _require(all(a < b for a, b in pairwise(starts)), "rates_per_s", "starts must rise")
        _require(
            all(0.0 <= r < math.inf for _, r in self.rates_per_s), "rates_per_s", "rates must be 0 or more"
        )
        if self.period_s is not None:
            _require(self.period_s > starts[-1], "period_s", "must be longer than the last start")

    @staticmethod
    def constant(rate_per_s: float) -> Poisson:
        """The homogeneous process of rate `rate_per_s` [1/s]."""
        return Poisson(((0.0, rate_per_s),))

    @property
    def mean_rate_per_s(self) -> float:
        """Mean over a period, or the last rate when there is none [1/s]."""
        if self.period_s is None:
            return self.rates_per_s[-1][1]
        ends = [start for start, _ in self.rates_per_s[1:]] + [self.period_s]
        total = sum((end - s) * r for (s, r), end in zip(self.rates_per_s, ends, strict=True))
        return total / self.period_s


@dataclass(frozen=True, slots=True)
class Mmpp:
    """Markov-modulated Poisson process: states in turn, each with its rate and exponential sojourn.

    It starts in its stationary law: state i with probability sojourn i over their sum.

    Args:
        rates_per_s: rate in each state [1/s].
        mean_sojourn_s: mean time in each state [s], above 0.
    """

    rates_per_s: tuple[float, ...]
    mean_sojourn_s: tuple[float, ...]

    def __post_init__(self) -> None:
        _require(
            len(self.rates_per_s) == len(self.mean_sojourn_s) >= 1, "mmpp", "a rate and a sojourn a state"
        )
        _require(all(0.0 <= r < math.inf for r in self.rates_per_s), "rates_per_s", "rates must be 0 or more")
        _require(all(0.0 < s < math.inf for s in self.mean_sojourn_s), "mean_sojourn_s", "must be above 0")

    @property
    def mean_rate_per_s(self) -> float:
        """Rates weighted by sojourns [1/s]."""
        weighted = sum(r * s for r, s in zip(self.rates_per_s, self.mean_sojourn_s, strict=True))
        return weighted / sum(self.mean_sojourn_s)


@dataclass(frozen=True, slots=True)
class Trace:
    """Invocations counted by the minute (as in the Azure Functions trace of 2019).

    A minute with N invocations gets exactly N arrivals; after the last minute none come.

    Args:
        counts: invocations in each minute.
        within_minute: `uniform`: independent uniform instants; `even`: at (i + 1/2)/N of the minute;
            `bursty`: all within one random second, uniform in it.
        start_s: offset of the first minute [s].
    """

    counts: Sequence[int]
    within_minute: WithinMinute = "uniform"
    start_s: float = 0.0

    def __post_init__(self) -> None:
        _require(
            len(self.counts) >= 1 and all(int(n) >= 0 for n in self.counts), "counts", "0 or more a minute"
        )
        _require(
            self.within_minute in ("uniform", "even", "bursty"), "within_minute", "uniform, even or bursty"
        )
        _require(self.start_s >= 0.0, "start_s", "0 or more")

    @property
    def mean_rate_per_s(self) -> float:
        """Invocations over the trace's length [1/s]."""
        return float(sum(int(n) for n in self.counts)) / (SECONDS_A_MINUTE * len(self.counts))


@dataclass(frozen=True, slots=True)
class Replay:
    """Arrivals at given instants.

    Args:
        instants_ns: offsets [ns], not falling, 0 or more.
    """

    instants_ns: Sequence[int]

    def __post_init__(self) -> None:
        at = [int(t) for t in self.instants_ns]
        _require(all(a <= b for a, b in pairwise(at)), "instants_ns", "must not fall")
        _require(not at or at[0] >= 0, "instants_ns", "0 or more")

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals over the last instant [1/s]; 0 when there are none."""
        if not self.instants_ns or int(self.instants_ns[-1]) == 0:
            return 0.0
        return len(self.instants_ns) * 1e9 / int(self.instants_ns[-1])


@dataclass(frozen=True, slots=True)
class Renewal:
    """Independent times between arrivals, all of one law; the first begins at the world's start.

    Args:
        gaps: the law [s], of a mean above 0.
    """

    gaps: Law

    def __post_init__(self) -> None:
        _require(self.gaps.mean > 0.0, "gaps", "a law whose mean is above 0")

    @property
    def mean_rate_per_s(self) -> float:
        """One over the mean gap [1/s], which it tends to; 0 when that is infinite."""
        return 1.0 / self.gaps.mean


Traffic = Poisson | Mmpp | Trace | Replay | Renewal
"""Every arrival process a scenario can name."""
NOBODY: Final = Poisson(((0.0, 0.0),))
"""No request ever."""
