"""A made-up sweep of known answers: tables for tests of what reads them, at any size, without a simulator.

Every metric is 100 and some noise; `latency_p50_ms`, `profit`, `cold_share` and `cost_per_million` follow `answer` of the
point's place in its ranges, so that effects are known in closed form. Noise is shared by all points of a replication
(common random numbers) but for a small part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim.experiments.designs import kinds_of, parameters_of, read_points
from sim.experiments.evaluate import Evaluation
from sim.experiments.results import SweepResults, load_sweep
from sim.experiments.tables import write_tables
from sim.metrics import METRICS, Value
from sim.records.directory import PROVENANCE, write_json
from sim.scenario import resolved
from sim.scenario.fields import Quantity
from sim.scenario.ranges import numbers
from tests.sim.worlds import text, world

IDLE: Final = "publishers.pod.scaling.idle"
SLOTS: Final = "publishers.pod.slots"
HOSTS: Final = "providers.host.count"
OVER: Final = {IDLE: ["10s", "600s"], SLOTS: [1, 4], HOSTS: [1, 5]}
Answer = Callable[[list[float]], float]


def linear(place: list[float]) -> float:
    """20 from the first key's low end to its high end, -6 from the second's, nothing from others."""
    return 50 + 20 * place[0] - (6 * place[1] if len(place) > 1 else 0)


def write_sweep(
    directory: Path,
    sweep: Mapping[str, Any],
    *,
    replications: int = 5,
    answer: Answer = linear,
    missing: set[tuple[int, int]] | None = None,
    own: float = 0.5,
) -> SweepResults:
    """Write a whole sweep into `directory`, report left out.

    Args:
        directory: made as needed.
        sweep: as a scenario says it, over keys of the small world.
        replications: of each point.
        answer: from the point's place in each range, in [0, 1].
        missing: evaluations (point, replication) that failed.
        own: noise of a point's own; that of the replication is 5.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "scenario.yaml"
    file.write_text(text(world(duration="20m", replications=replications, sweep=sweep)), encoding="utf-8")
    scenario, points = read_points(file)
    file.write_text(resolved(scenario), encoding="utf-8")
    listed = parameters_of(scenario)
    kinds = kinds_of(scenario)
    spreads = {name: _numbers([row[name] for row in listed], kinds.get(name)) for name in listed[0]}
    gone = missing or set()
    evaluations = {}
    for point in points:
        place = [
            float((values[point.number] - min(values)) / ((max(values) - min(values)) or 1))
            for values in spreads.values()
        ]
        for number in range(replications):
            if (point.number, number) in gone:
                continue
            noise = 5 * np.random.default_rng([7, number]).standard_normal()
            noise += own * np.random.default_rng([8, point.number, number]).standard_normal()
            evaluations[point.number, number] = Evaluation(
                {metric.name: _value(metric.name, metric.kind, answer(place), noise) for metric in METRICS}
            )
    hashes = write_tables(
        directory, points, evaluations, kinds, points[0].scenario, [replications] * len(points)
    )
    write_json(
        directory / PROVENANCE,
        {
            "scenario": scenario.name, "seed": scenario.seed, "sweep": str(scenario.sweep), "points": len(points),
            "replications": [replications] * len(points), "antithetic": [False] * len(points),
            "evaluations": {
                "asked": len(points) * replications, "there": len(evaluations), "kept from before": 3,
                "failed": len(gone),
            },
            "failures": [
                {"point": p, "parameters": "a=1", "replication": r, "reason": "the worker died"} for p, r in sorted(gone)
            ],
            "warnings": [], "not_modelled": ["Rain."], "interrupted": False, "wall_s": 12.5,
            "started": f"{datetime(2026, 11, 27, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}", "where": "2 processes of this machine",
            "python": "3.11.9", "packages": {"numpy": "2.4.0"}, "designs": {"SALib": "1.6"}, "code": "ab" * 32,
            "source": {"commit": "cd" * 20, "changed": False},
            "machine": {"cpu": "a cpu", "cores": 2, "system": "Linux", "release": "6"}, "tables": hashes,
        },
    )  # fmt: skip
    return load_sweep(directory)


def _numbers(values: list[Any], kind: Quantity | None) -> list[float]:
    """Places of a key's values: of numbers, of amounts, and of words in their order."""
    if all(isinstance(value, (int, float)) for value in values):
        return [float(value) for value in values]
    order = list(dict.fromkeys(map(str, values)))
    return numbers(values, kind) or [float(order.index(str(value))) for value in values]


def _value(name: str, kind: str, answer: float, noise: float) -> Value:
    if kind == "ratio":
        below = 1000 + 40 * noise
        return (
            (below * (answer + noise) / 100, below)
            if name == "cold_share"
            else (below * (answer + noise), below)
        )
    return answer + noise if name in ("latency_p50_ms", "profit") else 100 + noise
