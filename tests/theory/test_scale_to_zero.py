"""One replica that goes to zero after an idle time: M/G/1 with start-up, exact.

p = exp(-rate tau), D = p E[I], D2 = p E[I^2], load = rate E[S];
W = E[S] + rate E[S^2] / (2 (1 - load)) + (2 D + rate D2) / (2 (1 + rate D));
cycle = 1/rate + (D + E[S]) / (1 - load); billed share = 1 - (p / rate) / cycle; starts an hour = 3600 p / cycle.
"""

from __future__ import annotations

import math
import statistics

import pytest

from sim.kernel.specs import StartUp
from sim.laws import Constant, Exponential, Law
from tests.sim.kernel.worlds import S, per_request, pod, run

Z = 4.5
RUNS = 20
CYCLES = 4_000


def theory(rate: float, service: Law, start: Law, tau: float) -> tuple[float, float, float]:
    p = math.exp(-rate * tau)
    d = p * start.mean
    d2 = p * (start.variance + start.mean**2)
    load = rate * service.mean
    wait = rate * (service.variance + service.mean**2) / (2 * (1 - load))
    w = service.mean + wait + (2 * d + rate * d2) / (2 * (1 + rate * d))
    cycle = 1 / rate + (d + service.mean) / (1 - load)
    return w, 1 - (p / rate) / cycle, 3600 * p / cycle


@pytest.mark.parametrize(
    ("rate", "service", "start", "tau", "w", "billed", "starts"),
    [
        (0.01, Exponential(2), Constant(10), 300, 2.560991, 0.951450, 1.74779),
        (0.003, Exponential(2), Constant(10), 300, 6.089027, 0.600740, 4.31201),
        (0.001, Exponential(1), Exponential(5), 60, 5.711188, 0.063587, 3.37109),
    ],
)
def test_scale_to_zero(
    rate: float, service: Law, start: Law, tau: float, w: float, billed: float, starts: float
) -> None:
    assert theory(rate, service, start, tau) == pytest.approx((w, billed, starts), rel=1e-5)
    horizon_s = CYCLES * 3600 / starts
    got: list[tuple[float, float, float]] = []
    for seed in range(RUNS):
        spec = pod(rate, service, per_request(tau, 1), seed=seed, start_up=StartUp(application=start))
        plane, handle, end = run(spec, horizon_s)
        c = plane.counters(handle, end)
        got.append((c.latency_ns / c.served / S, c.billed_ms / 1e3 / horizon_s, c.starts * 3600 / horizon_s))
    for values, known in zip(zip(*got, strict=True), (w, billed, starts), strict=True):
        mean = statistics.fmean(values)
        error = statistics.stdev(values) / RUNS**0.5
        assert Z * error < 0.03 * known
        assert abs(mean - known) <= Z * error, f"{mean} +- {error}, known {known}"
