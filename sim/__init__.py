"""The discrete-event world: one adapter for every port, the data plane, scenarios, records, the report.

What belongs here: whatever exists only because time is virtual. What does not: rules of the market (they
are in `protocol`, and run here as they run live) and the command (`cli`).

    import sim
    results = sim.run("scenarios/azure-marketplace/scenario.yaml", ["publishers.careful.count=10"])
    results = sim.load("runs/latest")
    print(sim.compare("runs/before", "runs/after").frame)
    assert sim.replay("runs/latest").same
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.experiments.compare import compare
    from sim.experiments.replay import replay
    from sim.results import Results, load
    from sim.runner import InvariantBroken, run

__all__ = ["InvariantBroken", "Results", "compare", "load", "replay", "run"]

_HOMES = {
    "InvariantBroken": "sim.runner",
    "Results": "sim.results",
    "compare": "sim.experiments.compare",
    "load": "sim.results",
    "replay": "sim.experiments.replay",
    "run": "sim.runner",
}


def __getattr__(name: str) -> Any:
    """Imports are slow (numba, pyarrow): they wait until they are needed."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
