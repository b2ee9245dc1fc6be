"""When a pod's requests come, and what each demands: the laws of `sim.traffic`, walked one request at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from protocol.units import NEVER_NS, NS_PER_S
from sim.kernel.draws import uniforms
from sim.kernel.state import ATTEMPT_SHIFT, FAR_NS
from sim.laws import log_of
from sim.traffic import Mmpp, Poisson, Renewal, Replay, Trace

if TYPE_CHECKING:
    from sim.kernel.specs import Keys
    from sim.laws import Law
    from sim.traffic import Traffic

MINUTE_NS: Final = 60 * NS_PER_S


def duration_ns(law: Law, u: float) -> int:
    """A draw of `law` at probability `u`, in whole nanoseconds."""
    return int(min(law.quantile(u) * 1e9, float(FAR_NS)) + 0.5)


@dataclass
class Walk:
    """Where a pod's arrivals stand.

    Attributes:
        at_ns: the next request's arrival [Unix ns]; `NEVER_NS`: none comes.
        index: the next request's number.
        segment: which step, state or minute it is in.
        segment_end_ns: when that ends.
        cycle_ns: when the steps began (again), or the trace's first minute.
        sojourn: which sojourn of an `Mmpp` runs.
        left: arrivals of the minute that are still to come.
        burst: the busy second of a `bursty` minute.
        position: where in its minute the last arrival of a trace was, from 0 to 1.
    """

    at_ns: int = NEVER_NS
    index: int = 0
    segment: int = 0
    segment_end_ns: int = NEVER_NS
    cycle_ns: int = 0
    sojourn: int = 0
    left: int = 0
    burst: int = 0
    position: float = 0.0

    def state(self) -> tuple[tuple[str, int | float], ...]:
        """For `Source.state`."""
        return tuple((field.name, getattr(self, field.name)) for field in fields(self))


class Arrivals:
    """The requests of one pod.

    Args:
        traffic: when they come.
        keys: the pod's random streams.
        epoch_ns: what the traffic's offsets count from [Unix ns].
        walk: where they stand.
    """

    def __init__(self, traffic: Traffic, keys: Keys, epoch_ns: int, walk: Walk) -> None:
        self.traffic = traffic
        self.keys = keys
        self.epoch_ns = epoch_ns
        self.walk = walk

    def begin(self, now_ns: int) -> None:
        """The first arrival at or after `now_ns`."""
        walk, traffic = self.walk, self.traffic
        walk.at_ns, walk.segment, walk.sojourn = now_ns, 0, 0
        match traffic:
            case Poisson():
                walk.cycle_ns = self.epoch_ns
                walk.segment_end_ns = self._step_end_ns()
                while walk.segment_end_ns <= now_ns:
                    self._next_segment()
                self._find()
            case Mmpp():
                walk.segment = self._first_state(traffic)
                walk.segment_end_ns = self.epoch_ns + self._sojourn_ns(traffic)
                while walk.segment_end_ns <= now_ns:
                    self._next_segment()
                self._find()
            case Renewal():
                walk.at_ns = self.epoch_ns
                self._find()
                while walk.at_ns < now_ns:
                    self.take()
            case Trace() | Replay():
                offset_ns = round(traffic.start_s * NS_PER_S) if isinstance(traffic, Trace) else 0
                walk.cycle_ns, walk.segment, walk.left = self.epoch_ns + offset_ns, -1, 0
                self._find()
                while walk.at_ns < now_ns:
                    self.take()

    def take(self) -> int:
        """The next request's number; the one after it stands next."""
        index = self.walk.index
        self.walk.index += 1
        self._find()
        return index

    def demand_ns(self, index: int, law: Law, attempt: int = 0) -> int:
        """What request `index` demands of its server when it comes for the first time, or again."""
        if attempt:
            return duration_ns(law, uniforms(self.keys.retries, index + (attempt << ATTEMPT_SHIFT))[1])
        return duration_ns(law, uniforms(self.keys.requests, index)[1])

    # ------------------------------------------------------------ inside

    def _find(self) -> None:
        u, _ = uniforms(self.keys.requests, self.walk.index)
        match self.traffic:
            case Poisson() | Mmpp():
                self._find_by_rate(-log_of(u))
            case Trace():
                self._find_in_minute(self.traffic, u)
            case Renewal(gaps=gaps):
                self.walk.at_ns += int(float(duration_ns(gaps, u)))
            case Replay():
                at, index = self.traffic.instants_ns, self.walk.index
                self.walk.at_ns = self.epoch_ns + int(at[index]) if index < len(at) else NEVER_NS

    def _find_by_rate(self, work: float) -> None:
        """From the last arrival on, until the rate's integral reaches `work` (unit exponential)."""
        walk = self.walk
        t = walk.at_ns
        while True:
            rate = self._rate()
            if rate > 0.0:
                length = work * (1.0 / rate)
                if length < walk.segment_end_ns - t:
                    walk.at_ns = t + int(length)
                    return
                work = max(0.0, work - (walk.segment_end_ns - t) * rate)
            if walk.segment_end_ns == NEVER_NS or not self._ever():
                walk.at_ns = NEVER_NS
                return
            t = walk.segment_end_ns
            self._next_segment()

    def _ever(self) -> bool:
        """Whether any request may come at all."""
        match self.traffic:
            case Poisson():
                return any(rate > 0.0 for _, rate in self.traffic.rates_per_s)
            case Mmpp():
                return any(rate > 0.0 for rate in self.traffic.rates_per_s)
            case Trace() | Replay() | Renewal():
                return True

    def _steps(self) -> list[tuple[float, float]]:
        assert isinstance(self.traffic, Poisson)
        steps = list(self.traffic.rates_per_s)
        return steps if steps[0][0] == 0.0 else [(0.0, 0.0), *steps]

    def _rate(self) -> float:
        """Arrivals a nanosecond now."""
        if isinstance(self.traffic, Poisson):
            return self._steps()[self.walk.segment][1] / NS_PER_S
        assert isinstance(self.traffic, Mmpp)
        return self.traffic.rates_per_s[self.walk.segment] / NS_PER_S

    def _next_segment(self) -> None:
        walk = self.walk
        walk.segment += 1
        match self.traffic:
            case Mmpp():
                walk.sojourn += 1
                walk.segment %= len(self.traffic.rates_per_s)
                walk.segment_end_ns += self._sojourn_ns(self.traffic)
            case Poisson(period_s=period_s):
                if walk.segment == len(self._steps()):
                    assert period_s is not None
                    walk.segment = 0
                    walk.cycle_ns += round(period_s * NS_PER_S)
                walk.segment_end_ns = self._step_end_ns()
            case Trace() | Replay() | Renewal():
                raise AssertionError("these have no rate")

    def _step_end_ns(self) -> int:
        assert isinstance(self.traffic, Poisson)
        walk, steps, period_s = self.walk, self._steps(), self.traffic.period_s
        if walk.segment + 1 < len(steps):
            return walk.cycle_ns + round(steps[walk.segment + 1][0] * NS_PER_S)
        if period_s is None or not self._ever():
            return NEVER_NS
        return walk.cycle_ns + round(period_s * NS_PER_S)

    def _sojourn_ns(self, traffic: Mmpp) -> int:
        u, _ = uniforms(self.keys.bursts, self.walk.sojourn)
        length = -log_of(u) * (traffic.mean_sojourn_s[self.walk.segment] * NS_PER_S)
        return max(1, int(min(length, 1e17)))

    def _first_state(self, traffic: Mmpp) -> int:
        """A state with the probability of its share of the time."""
        lengths = [sojourn * NS_PER_S for sojourn in traffic.mean_sojourn_s]
        u = uniforms(self.keys.bursts, 0)[1] * sum(lengths)
        for state, length in enumerate(lengths[:-1]):
            if u < length:
                return state
            u -= length
        return len(lengths) - 1

    def _find_in_minute(self, trace: Trace, u: float) -> None:
        walk = self.walk
        while walk.left == 0:
            walk.segment += 1
            if walk.segment >= len(trace.counts):
                walk.segment = len(trace.counts)
                walk.at_ns = NEVER_NS
                return
            walk.left = int(trace.counts[walk.segment])
            walk.position = 0.0
            if trace.within_minute == "bursty":
                walk.burst = int(uniforms(self.keys.bursts, walk.segment)[0] * 60.0)
        minute_ns = walk.cycle_ns + walk.segment * MINUTE_NS
        if trace.within_minute == "even":
            count = int(trace.counts[walk.segment])
            nth = count - walk.left
            walk.at_ns = minute_ns + (2 * nth + 1) * MINUTE_NS // (2 * count)
        else:  # the least of the uniforms that are left, which lie past the last
            walk.position = 1.0 - (1.0 - walk.position) * u ** (1.0 / walk.left)
            if trace.within_minute == "bursty":
                within_ns = min(int(walk.position * 1e9), NS_PER_S - 1)
                walk.at_ns = minute_ns + walk.burst * NS_PER_S + within_ns
            else:
                walk.at_ns = minute_ns + min(int(walk.position * 6e10), MINUTE_NS - 1)
        walk.left -= 1
