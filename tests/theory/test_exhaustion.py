"""When a deposit is used up by a pod that goes to zero: D/(r × billed share) + E[on²]/(2λE[on]²).

The second term is there because the bill comes in bursts: a renewal process that stops inside a burst has
gone on for longer than its mean rate says. `on` is one stay above zero: the start-up, the busy period of
what has come until then, and before the idle time is over at last, as often as it takes, another request
with its busy period.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict

import pytest

from protocol.metering import Change, crossing
from protocol.pricing import COST_SCALE
from protocol.units import NS_PER_MS
from sim.kernel.plane import DataPlane
from sim.kernel.specs import StartUp
from sim.laws import Constant, Exponential
from tests.sim.kernel.worlds import HUGE, START, S, per_request, pod
from tests.theory.test_scale_to_zero import theory

Z = 4.5
RATE, SERVICE, START_UP, TAU = 0.003, Exponential(2.0), Constant(10.0), 300.0
PODS, PLANES = 400, 10


def stay_above_zero() -> tuple[float, float]:
    """E[on] and E[on²], exact [s, s²]: M/G/1 busy periods, a first one with what came during the start-up."""
    lam, tau = RATE, TAU
    s1, s2 = SERVICE.mean, SERVICE.variance + SERVICE.mean**2
    load = lam * s1
    p = math.exp(-lam * tau)
    busy, busy_var = s1 / (1 - load), s2 / (1 - load) ** 3 - (s1 / (1 - load)) ** 2
    work = s1 + lam * START_UP.mean * s1  # on the replica's first readiness
    work_var = SERVICE.variance + lam * START_UP.mean * s2
    first, first_var = work / (1 - load), work_var / (1 - load) ** 2 + lam * s2 * work / (1 - load) ** 3
    # The gap before a request that comes in time: exponential, less than tau.
    gap = 1 / lam - tau * p / (1 - p)
    gap2 = (2 / lam**2 - p * (tau**2 + 2 * tau / lam + 2 / lam**2)) / (1 - p)
    again, again_var = gap + busy, gap2 - gap**2 + busy_var
    times, times_var = (1 - p) / p, (1 - p) / p**2
    mean = START_UP.mean + first + times * again + tau
    variance = first_var + times * again_var + times_var * again**2
    return mean, variance + mean**2


def exhaustion_times_s(billed_s: int) -> list[float]:
    """For pods that begin at zero replicas: when their deposit of so many billed seconds is used up."""
    horizon = START + (15_000 + 4 * billed_s) * S  # beyond the latest of them, which `crossing` says
    found = []
    for plane_number in range(PLANES):
        plane = DataPlane([HUGE], start_ns=START)
        for index in range(PODS):
            spec = pod(
                RATE, SERVICE, per_request(TAU, 1), index=index, seed=1000 * plane_number + index,
                start_up=StartUp(application=START_UP),
            )  # fmt: skip
            plane.deploy(plane.host(spec, None, START), START)
        plane.advance(horizon)
        changes: dict[int, list[Change]] = defaultdict(lambda: [Change(START, 0, 0)])
        for t_ns, index, kind, a, b in plane.take_transitions().tolist():
            assert kind == 0
            changes[index].append(Change(t_ns, a, b + a * (t_ns // NS_PER_MS)))
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
            found.append((at_ns - START) / S)
    assert len(found) == PODS * PLANES
    return found


@pytest.mark.parametrize(("billed_s", "known"), [(3600, 6207.5), (600, 600 / 0.600740 + 186)])
def test_expected_exhaustion_time(billed_s: int, known: float) -> None:
    """Against what 200,000 runs of an independent simulation gave, and against the closed form."""
    _, share, _ = theory(RATE, SERVICE, START_UP, TAU)
    mean_on, mean_on2 = stay_above_zero()
    assert mean_on == pytest.approx(share / (1 - share) / RATE, rel=1e-9)
    second = mean_on2 / (2 * RATE * mean_on**2)
    assert second == pytest.approx(213.724, abs=0.001)
    times = exhaustion_times_s(billed_s)
    mean, error = statistics.fmean(times), statistics.stdev(times) / len(times) ** 0.5
    known_error = statistics.stdev(times) / 200_000**0.5
    assert abs(mean - known) <= Z * math.hypot(error, known_error), f"{mean} +- {error}"
    assert mean - billed_s / share > Z * error  # without its second term the formula is seen to be wrong
    if billed_s == 3600:  # an asymptote: at 600 s the burst is as long as the deposit
        assert abs(mean - (billed_s / share + second)) <= Z * error + 1.5
