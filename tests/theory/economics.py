"""What timers and intervals cost, against what is known of the best ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final

from protocol.policies.claims import Due, Interval
from sim.kernel.draws import stream_key
from sim.kernel.streams import Stream
from sim.laws import Constant, Exponential, Pareto
from sim.traffic import Mmpp, Poisson, Replay, Trace, Traffic
from tests.sim.kernel.worlds import S, per_request, pod, run
from tests.theory.known import RUNS, Case, Exact, Known, Pair, Sampled
from tests.theory.renewal import idle_timer

# ---------------------------------------------------------------- the idle timer
# A replica costs 1 a second that it is billed, and a cold start costs `start` besides; starting takes no time.

RATE, SERVICE = 0.01, Exponential(1.0)
HORIZON_S: Final = 1e6
FOR_EVER_S: Final = 1e9


def idle_cost(
    traffic: Traffic | float, tau: float, start: float, seed: int, horizon_s: float = HORIZON_S
) -> float:
    """Cost a second of a pod of one replica with idle timer `tau`."""
    plane, handle, end = run(pod(traffic, SERVICE, per_request(tau, 1), seed=seed), horizon_s)
    c = plane.counters(handle, end)
    return (c.billed_ms / 1e3 + start * c.starts) / horizon_s


def known_cost(tau: float, start: float) -> float:
    """The same for Poisson arrivals, exact: 1 − (1 − busy) p (1 − λ start), so it has no inner minimum."""
    _, share, starts = idle_timer(RATE, SERVICE, Constant(0.0), tau)
    return share + start * starts / 3600


def best_of(start: float) -> str:
    """Which of five timers costs least over all replications."""
    timers = {"0": 0.0, "start / 4": start / 4, "start": start, "4 start": 4 * start, "∞": FOR_EVER_S}
    costs = {
        name: math.fsum(idle_cost(RATE, tau, start, seed, 2e5) for seed in range(RUNS))
        for name, tau in timers.items()
    }
    return min(costs, key=lambda name: costs[name])


def heavy_gaps(seed: int) -> Replay:
    """Gaps with a tail of power 1.5."""
    stream = Stream(stream_key(seed, 0, "gaps", "pareto"))
    at = 0.0
    times = []
    while at < HORIZON_S:
        at += stream.sample(Pareto(30.0, 1.5))
        times.append(round(at * S))
    return Replay(tuple(times))


def worst_ratio(start: float) -> float:
    """Greatest ratio, over kinds of traffic and seeds, of the cost at τ = start to that of the best timer tried."""
    kinds: list[Traffic] = [
        Poisson.constant(0.002), Poisson.constant(0.02), Poisson(((0.0, 0.0), (3000.0, 0.05)), 6000.0),
        Mmpp((0.0, 0.2), (1500.0, 60.0)), Trace((2, 0, 0, 0, 5, 0, 0, 0, 0, 1) * 1600, "bursty"),
        Replay(tuple(round(k * (start + 10) * S) for k in range(5_000))),  # each just too late
    ]  # fmt: skip
    others = [0.0, FOR_EVER_S, *(start * 2.0**k for k in range(-4, 5))]
    worst = 0.0
    for seed in range(3):
        for traffic in (*kinds, heavy_gaps(seed)):
            costs = [idle_cost(traffic, tau, start, seed) for tau in others]
            worst = max(worst, idle_cost(traffic, start, start, seed) / min(costs))
    return worst


def _two_timers(start: float, seed: int) -> dict[str, Pair]:
    return {f"timer {tau:g} s": (idle_cost(RATE, tau, start, seed), 1.0) for tau in (0.0, start)}


def timers() -> Iterator[Case]:
    for start, best in ((50.0, "0"), (200.0, "∞")):
        yield Sampled(
            f"cost of an idle timer, λ 0.01, a start costs {start:g} s", "M/G/1 with idle timer", "1,000,000 s",
            {f"timer {tau:g} s": Known(known_cost(tau, start), 0.02, bias=2 * start / HORIZON_S)
             for tau in (0.0, start)},
            partial(_two_timers, start),
        )  # fmt: skip
        yield Exact(
            f"best idle timer, Poisson λ 0.01, a start costs {start:g} s", "0 or ∞: start × λ below or above 1", best,
            partial(best_of, start),
        )  # fmt: skip
    for start in (60.0, 600.0):
        yield Exact(
            f"cost at τ = start / rate over that of the best of 11 timers, a start costs {start:g} s, 7 kinds of "
            "traffic: the worst", "ski rental", 2.0, partial(worst_ratio, start), "≤",
        )  # fmt: skip


# ---------------------------------------------------------------- the claim interval
# One unit a second accrues, what is not claimed is lost at hazard `HAZARD`, a claim costs `GAS`.

GAS, HAZARD = 1.0, 0.005
BEST_S: Final = math.sqrt(2 * GAS / HAZARD)
CLAIMS: Final = 1_500


def claim_cost(interval_s: float) -> float:
    """Expected cost a second: gas, and what is lost, exact."""
    x = HAZARD * interval_s
    return GAS / interval_s + 1 - (1 - math.exp(-x)) / x


def claim(seed: int, interval_s: float) -> Pair:
    """The policy `interval` at work over `CLAIMS` intervals, looked at four times in each."""
    policy = Interval(every=round(interval_s * S), cap_share=1.0)
    losses = Stream(stream_key(seed, 0, "losses", "provider"))
    next_loss = losses.sample(Exponential(1 / HAZARD))
    begun = since = cost = 0.0  # when what is unclaimed began to accrue; the last claim
    for tick in range(1, 4 * CLAIMS + 1):
        now = tick * interval_s / 4
        while next_loss < now:
            cost += next_loss - begun
            begun = next_loss
            next_loss += losses.sample(Exponential(1 / HAZARD))
        due = Due("pod", round((now - begun) * 1e9), 1 << 62, round((now - since) * S))
        if policy.choose([due], fee_of=[0, 0]):
            cost += GAS
            begun = since = now
    return cost, CLAIMS * interval_s


def least_cost_s() -> float:
    """The interval that costs least, by golden section on the exact cost."""
    low, high = BEST_S / 4, BEST_S * 4
    for _ in range(100):
        third = (high - low) / 3
        if claim_cost(low + third) < claim_cost(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def intervals() -> Iterator[Case]:
    multiples = {"T* / 2": 0.5, "T*": 1.0, "2 T*": 2.0}
    yield Sampled(
        "cost of claiming every T, T* = √(2g / (rh)), h T* = 0.1", "g/T + r (1 − (1 − e^(−hT)) / (hT))",
        f"{CLAIMS:,} claims",
        {name: Known(claim_cost(m * BEST_S), 0.09) for name, m in multiples.items()},
        lambda seed: {name: claim(seed, m * BEST_S) for name, m in multiples.items()},
    )  # fmt: skip
    yield Exact(
        "what T* costs over the least, in thousandths", "second order in h T*", 2.0,
        lambda: 1000 * (claim_cost(BEST_S) / claim_cost(least_cost_s()) - 1), "≤",
    )  # fmt: skip


CASES: Final[tuple[Case, ...]] = (*timers(), *intervals())
