"""Scaling to zero and back: the idle timer, when a deposit is used up, and the FaaS model of the literature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from protocol.metering import Change, crossing
from protocol.pricing import COST_SCALE
from protocol.units import NS_PER_MS
from sim.kernel.plane import DataPlane
from sim.kernel.specs import StartUp
from sim.laws import Constant, Exponential, Law
from tests.sim.kernel.worlds import HUGE, START, S, per_request, pod, run
from tests.theory.known import Case, Exact, Known, Pair, Sampled
from tests.theory.renewal import exhaustion_s, idle_timer, stay_above_zero

Setting = tuple[float, Law, Law, float]
"""Arrivals a second, service, start-up, idle timer [s]."""
CYCLES: Final = 20_000
"""Stays at zero in a replication. Each ends one renewal, so the end of a run costs at most about one of them."""


def timers() -> Iterator[Case]:
    settings: tuple[tuple[Setting, tuple[float, float, float], tuple[float, float, float]], ...] = (
        ((0.01, Exponential(2), Constant(10), 300), (2.560991, 0.951450, 1.74779), (0.004, 0.001, 0.014)),
        ((0.003, Exponential(2), Constant(10), 300), (6.089027, 0.600740, 4.31201), (0.008, 0.008, 0.008)),
        ((0.001, Exponential(1), Exponential(5), 60), (5.711188, 0.063587, 3.37109), (0.013, 0.014, 0.013)),
    )
    figures = ("time in system", "billed share", "cold starts an hour")
    for setting, known, sees in settings:
        rate, service, start, tau = setting
        name = f"idle timer {tau} s, λ {rate}, S {_short(service)}, start {_short(start)}"
        yield Sampled(
            name, "M/G/1 with start-up", f"{CYCLES:,} stays at zero",
            {f: Known(k, s, bias=k / CYCLES) for f, k, s in zip(figures, known, sees, strict=True)},
            partial(_to_zero_and_back, setting, CYCLES / known[2]),
        )  # fmt: skip
        yield Exact(f"{name}: the formula", "published beside it", _digits(known), partial(_formula, setting))


def _to_zero_and_back(setting: Setting, hours: float, seed: int) -> dict[str, Pair]:
    rate, service, start, tau = setting
    spec = pod(rate, service, per_request(tau, 1), seed=seed, start_up=StartUp(application=start))
    plane, handle, end = run(spec, hours * 3600)
    c = plane.counters(handle, end)
    return {
        "time in system": (c.latency_ns / S, c.served),
        "billed share": (c.billed_ms / 1e3, hours * 3600),
        "cold starts an hour": (c.starts, hours),
    }


def _formula(setting: Setting) -> list[float]:
    return _digits(idle_timer(*setting))


def _digits(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _short(law: Law) -> str:
    return f"{type(law).__name__[:3]}({law.mean:g})"


# ---------------------------------------------------------------- exhaustion

DRY: Final = (0.003, Exponential(2.0), Constant(10.0), 300.0)
PODS: Final = 120
DEPOSITS: Final = (600, 3600)


def exhaustion(seed: int) -> dict[str, Pair]:
    """Of pods that begin at zero replicas: when their deposits of so many billed seconds are used up."""
    rate, service, start, tau = DRY
    horizon = START + 32_000 * S  # beyond the latest of them, which `crossing` says
    plane = DataPlane([HUGE], start_ns=START)
    for index in range(PODS):
        spec = pod(
            rate, service, per_request(tau, 1), index=index, seed=1000 * seed + index,
            start_up=StartUp(application=start),
        )  # fmt: skip
        plane.deploy(plane.host(spec, None, START), START)
    plane.advance(horizon)
    changes: dict[int, list[Change]] = defaultdict(lambda: [Change(START, 0, 0)])
    for t_ns, index, kind, a, b in plane.take_transitions().tolist():
        assert kind == 0
        changes[index].append(Change(t_ns, a, b + a * (t_ns // NS_PER_MS)))
    assert len(changes) == PODS
    found: dict[str, Pair] = {}
    for billed_s in DEPOSITS:
        times = 0.0
        for log in changes.values():
            at_ns = crossing(
                log,
                available=billed_s * 1000 - 1,  # "all of it" is "more than all but the last unit"
                base=0,
                replica_burn=COST_SCALE,  # a base unit a replica-ms
                volume_burn=0,
                end_ns=horizon,
            )
            assert at_ns is not None
            times += (at_ns - START) / S
        found[f"{billed_s:,} billed s last"] = (times, PODS)
    found["published, 3,600 billed s"] = found["3,600 billed s last"]
    return found


def asymptote(billed_s: float) -> float:
    """The expected time by its first two terms."""
    mean, square = stay_above_zero(*DRY)
    return billed_s / idle_timer(*DRY)[1] + square / (2 * DRY[0] * mean**2)


def deposits() -> Iterator[Case]:
    known = {f"{d:,} billed s last": Known(exhaustion_s(d, *DRY), s, bias=1e-3)
             for d, s in zip(DEPOSITS, (0.07, 0.04), strict=True)}  # fmt: skip
    # Its own standard error: the spread of one pod, 1,000 s, over 200,000 runs.
    known["published, 3,600 billed s"] = Known(6207.5, 0.04, error=1000 / 200_000**0.5, bias=1e-3)
    yield Sampled("exhaustion, λ 0.003, τ 300", "renewal theory, exact", f"{PODS} pods", known, exhaustion)
    yield Exact(
        "exhaustion: what the second term adds", "E[on²] / (2 λ E[on]²)", "213.72 s",
        lambda: f"{asymptote(3600) - 3600 / idle_timer(*DRY)[1]:.2f} s",
    )  # fmt: skip
    yield Exact(
        "exhaustion at 36,000 billed s: two terms less the exact time", "renewal theorem", "0.000 s",
        lambda: f"{abs(asymptote(36_000) - exhaustion_s(36_000, *DRY)):.3f} s",
    )  # fmt: skip


# ---------------------------------------------------------------- SimFaaS


def simfaas(seed: int) -> dict[str, Pair]:
    horizon_s = 1e6
    spec = pod(0.9, Exponential(1.991), per_request(600, 1000), seed=seed, first_service=Exponential(2.244))
    plane, handle, end = run(spec, horizon_s)
    c = plane.counters(handle, end)
    busy, idle = c.busy_replica_ns / S, c.idle_replica_ns / S
    return {
        "share of cold starts": (c.cold, c.arrivals),
        "instances": (busy + idle, horizon_s),
        "running": (busy, horizon_s),
        "idle": (idle, horizon_s),
    }


def published(value: float, half: float, sees: float) -> Known:
    """A simulated figure whose half-width is 1.96 of its standard errors."""
    return Known(value, sees, error=half / 1.96)


CASES: Final[tuple[Case, ...]] = (
    *timers(),
    *deposits(),
    Sampled(
        "one request a replica, λ 0.9, warm Exp(1.991), cold Exp(2.244), expiry 600 s", "SimFaaS, from empty",
        "1,000,000 s",
        {
            "share of cold starts": published(0.0013347, 1e-5, 0.07),
            "instances": published(7.6967, 0.0071, 0.012),
            "running": published(1.79226, 0.0009, 0.006),
            "idle": published(5.9044, 0.0069, 0.014),
        },
        simfaas,
    ),
)  # fmt: skip
