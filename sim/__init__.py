"""The discrete-event world: one adapter for every port, the data plane, scenarios, records, the report.

What belongs here: whatever exists only because time is virtual. What does not: rules of the market (they
are in `protocol`, and run here as they run live) and the command (`cli`).

    import sim
    results = sim.run("scenarios/azure-marketplace/scenario.yaml", ["publishers.careful.count=10"])
    results = sim.load("runs/latest")
    sweep = sim.sweep("first/scenario.yaml", ["sweep={publishers.0.scaling.idle: [60s, 600s]}"], replications=5)
    print(sim.compare("runs/before", "runs/after").frame)
    assert sim.replay("runs/latest").same
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.experiments.compare import compare
    from sim.experiments.evaluate import evaluate
    from sim.experiments.replay import replay
    from sim.experiments.results import SweepResults, load_sweep
    from sim.experiments.sweep import sweep
    from sim.results import Results, load
    from sim.runner import InvariantBroken, run

__all__ = [
    "InvariantBroken",
    "Results",
    "SweepResults",
    "compare",
    "evaluate",
    "load",
    "load_sweep",
    "replay",
    "run",
    "sweep",
]

_HOMES = {
    "InvariantBroken": "sim.runner",
    "Results": "sim.results",
    "SweepResults": "sim.experiments.results",
    "compare": "sim.experiments.compare",
    "evaluate": "sim.experiments.evaluate",
    "load": "sim.results",
    "load_sweep": "sim.experiments.results",
    "replay": "sim.experiments.replay",
    "run": "sim.runner",
    "sweep": "sim.experiments.sweep",
}


def __getattr__(name: str) -> Any:
    """Imports are slow (numba, pyarrow): they wait until they are needed."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
