"""What the observer writes down of each deployment when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from sim.records.reader import RunTables
from sim.summary import summarise
from tests.sim.test_summary import ORIGIN
from tests.sim.worlds import Played, play, publisher, world

NEVER_WARM = {"policy": "keda", "max_replicas": 4, "idle": "1s"}
WORLD = world(
    publishers=[
        publisher(name="busy", scaling=NEVER_WARM, service={"constant": "100ms"}, traffic={"poisson": "0.2/s"}),
        publisher(name="slow", scaling=NEVER_WARM, service={"constant": "9s"}, traffic={"poisson": "0.01/s"}),
        publisher(name="tiny", scaling=NEVER_WARM, service={"constant": "4s"}, traffic={"poisson": "0.01/s"}),
    ],
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(WORLD, tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("pod", ["busy-0", "slow-0", "tiny-0"])
def test_a_deployments_quantiles_are_those_of_its_own_requests(run: Played, pod: str) -> None:
    row = run.row("deployments", pod=pod)
    served = run.rows("requests", pod=pod, outcome="served")
    for prefix, some in (("", served), ("cold_", [r for r in served if r["cold"]])):
        latencies_ms = np.array([r["end_ns"] - r["arrival_ns"] for r in some]) / 1e6
        assert len(some) == row["cold" if prefix else "served"] > 10
        exact = float(np.quantile(latencies_ms, 0.5, method="inverted_cdf"))
        assert row[f"{prefix}latency_p50_ms"] == pytest.approx(exact, rel=0.008)
        assert row[f"{prefix}latency_p99_ms"] is None


def test_the_median_pods_cold_start_is_not_that_of_the_busiest(run: Played) -> None:
    metrics = summarise(RunTables(run.directory), ORIGIN)["metrics"]
    medians = {
        pod: run.row("deployments", pod=pod)["cold_latency_p50_ms"] for pod in ("busy-0", "slow-0", "tiny-0")
    }
    assert metrics["cold_latency_p50_pod_ms"]["mean"] == medians["tiny-0"] == sorted(medians.values())[1]
    assert metrics["cold_latency_p50_ms"]["mean"] < 0.5 * medians["tiny-0"]
