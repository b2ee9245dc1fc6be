"""Small worlds for the tests of whole runs: a few providers, a few pods, an hour or so of virtual time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from protocol.units import NS_PER_S
from sim.records.directory import table_hashes
from sim.records.reader import RunTables
from sim.records.writer import RunWriter
from sim.scenario import Scenario, loads
from sim.simulation import Outcome, Simulation

S: Final = NS_PER_S
DAI: Final = 10**18
START: Final = 1_563_177_600 * S
"""2019-07-15T08:00:00Z, where scenarios start that do not say when."""

Row = dict[str, Any]
Data = dict[str, Any]

PROVIDER: Final[Data] = {
    "name": "host",
    "region": "bul-east-1",
    "nodes": [{"count": 2, "cpu": 4, "memory": "8Gi"}],
    "prices": {"cpu": "0.01 DAI/core-h", "memory": "0.001 DAI/GiB-h"},
    "cold_start": {"schedule": "100ms", "application": "1s"},
}
PUBLISHER: Final[Data] = {
    "name": "pod",
    "region": "bul-east-1",
    "manifest": {
        "containers": [{"image": "web:1", "port": 80, "resources": {"cpu": "250m", "memory": "128Mi"}}]
    },
    "scaling": {"policy": "keda", "target_pending_requests": 2, "max_replicas": 4, "idle": "60s"},
    "slots": 2,
    "traffic": {"poisson": "0.05/s"},
    "service": {"exponential": "2s"},
    "policies": {"funding": {"use": "runway", "with": {"first": "1h", "low": "30m", "tranche": "1h"}}},
}
WORLD: Final[Data] = {
    "name": "small",
    "duration": "1h",
    "providers": [PROVIDER],
    "publishers": [PUBLISHER],
    "output": {"requests": 1},
}


def merged(base: Data, changes: Data) -> Data:
    """A copy of `base` with `changes` put in, mapping by mapping; a list takes the other's place."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def provider(**changes: Any) -> Data:
    """A group of providers."""
    return merged(PROVIDER, changes)


def publisher(**changes: Any) -> Data:
    """A group of publishers. What names its own kind (a scaling policy, traffic) replaces the default's whole."""
    whole = {name: changes.pop(name) for name in ("scaling", "traffic", "service") if name in changes}
    return {**merged(PUBLISHER, changes), **copy.deepcopy(whole)}


def world(**changes: Any) -> Data:
    """A scenario's data."""
    return merged(WORLD, changes)


def scenario(data: Data) -> Scenario:
    """The scenario of such data, checked as a file would be."""
    return loads(text(data))


def text(data: Data) -> str:
    """The same as a file would hold it."""
    written: str = yaml.safe_dump(data, sort_keys=False)
    return written


@dataclass(frozen=True)
class Played:
    """A run that is over.

    Attributes:
        directory: where its tables are.
        outcome: how it ended.
        simulation: the world as it was left.
    """

    directory: Path
    outcome: Outcome
    simulation: Simulation

    def rows(self, table: str, **where: Any) -> list[Row]:
        """The rows of a table whose columns hold these values."""
        found: list[Row] = RunTables(self.directory).arrow(table).to_pylist()
        return [row for row in found if all(row[name] == value for name, value in where.items())]

    def row(self, table: str, **where: Any) -> Row:
        """The only such row."""
        (row,) = self.rows(table, **where)
        return row

    @property
    def hashes(self) -> dict[str, str]:
        """A hash of the bytes of each table."""
        return table_hashes(self.directory)


def play(
    what: Data | Scenario,
    directory: Path,
    *,
    before: Callable[[Simulation], None] = lambda simulation: None,
    progress: Callable[[int, int], None] | None = None,
) -> Played:
    """Run one replication.

    Args:
        what: the scenario or its data.
        directory: where to; made when it is not there.
        before: may put more events into the world before it runs.
        progress: see `sim.simulation.Progress`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with RunWriter(directory) as writer:
        simulation = Simulation(scenario(what) if isinstance(what, dict) else what, 0, writer, progress)
        before(simulation)
        outcome = simulation.run()
    return Played(directory, outcome, simulation)
