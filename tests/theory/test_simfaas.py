"""The FaaS model of the literature: SimFaaS's standard workload, from empty, 30 replications of 1e6 s."""

from __future__ import annotations

import statistics

from sim.laws import Exponential
from tests.sim.kernel.worlds import S, per_request, pod, run

SEEDS = 30
HORIZON_S = 1e6
KNOWN = {  # figure: (mean, half-width of its own uncertainty)
    "cold": (0.0013347, 1e-5),
    "instances": (7.6967, 0.0071),
    "running": (1.79226, 0.0009),
    "idle": (5.9044, 0.0069),
}


def test_simfaas() -> None:
    got: dict[str, list[float]] = {name: [] for name in KNOWN}
    for seed in range(SEEDS):
        spec = pod(
            0.9, Exponential(1.991), per_request(600, 1000), seed=seed, first_service=Exponential(2.244)
        )
        plane, handle, end = run(spec, HORIZON_S)
        c = plane.counters(handle, end)
        seconds = HORIZON_S * S
        got["cold"].append(c.cold / c.arrivals)
        got["running"].append(c.busy_replica_ns / seconds)
        got["idle"].append(c.idle_replica_ns / seconds)
        got["instances"].append((c.busy_replica_ns + c.idle_replica_ns) / seconds)
    for name, (known, half) in KNOWN.items():
        mean = statistics.fmean(got[name])
        error = statistics.stdev(got[name]) / SEEDS**0.5
        # The known figure's half-width is 1.96 of its standard errors; both uncertainties add in squares.
        assert abs(mean - known) <= 4 * (error**2 + (half / 1.96) ** 2) ** 0.5, f"{name}: {mean} +- {error}"
        assert error < 0.006 * known
