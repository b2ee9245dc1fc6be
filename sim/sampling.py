"""The time series: the state of every provider at the same instants, the rows of `samples`.

All planes are read in one go, what all pods owe is added up in one go, and of the rest only what is another
value than at the sample before is written anew, so that a provider costs next to nothing. Samples are kept as
arrays and become rows when the run pauses to write.
"""

from __future__ import annotations

from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from protocol import invariants
from protocol.units import Resource
from sim.cluster import Tally
from sim.kernel import wide
from sim.kernel.arrays import Array
from sim.kernel.sums import COLUMN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.fleet import Fleet
    from sim.parties import ProviderParty
    from sim.world import World

SUMMED: Final = {
    "replicas_starting": ("starting", "unplaced"),
    "replicas_idle": ("idle",),
    "replicas_busy": ("busy",),
    "replicas_draining": ("draining",),
    "held": ("held",),
    "queued": ("queued",),
    "in_service": ("in_flight",),
    "arrivals": ("arrivals",),
    "served": ("served",),
    "failed": ("failed",),
    "cold": ("cold",),
    "allocated_cpu_millis": ("cpu_millis",),
    "capacity_cpu_millis": ("cpu_capacity_millis",),
    "wanted_cpu_millis": ("cpu_wanted_millis",),
    "given_cpu_millis": ("cpu_given_millis",),
}
"""Columns, and which sums over a plane make one; counts of a `Tally` are added."""
TALLIED: Final = {
    {"running": "pods_running", "suspended": "pods_suspended"}.get(name, name): number
    for number, name in enumerate(Tally._fields)
}
"""Columns, and which count of a `Tally` belongs there."""


class _Last:
    """What stood in some rows last, as an array of which only what is another object now is written.

    Args:
        array: a row for each value.
        encode: gives a value's row.
    """

    def __init__(self, array: Array, encode: Any) -> None:
        self._values: list[Any] = [None] * len(array)
        self._array = array
        self._encode = encode

    def read(self, values: list[Any]) -> Array:
        """The values as they are now."""
        if values != self._values:
            for number in compress(range(len(values)), map(is_not, values, self._values)):
                self._array[number] = self._encode(values[number])
            self._values = values
        return self._array.copy()


class Sampler:
    """Takes the samples of one world.

    Args:
        world: which.
        fleet: its planes.

    Attributes:
        requests: how many had arrived anywhere at the last sample.
    """

    def __init__(self, world: World, fleet: Fleet) -> None:
        self._world = world
        self._fleet = fleet
        self._parties = list(world.providers.values())
        self._machines = [party.machines for party in self._parties]
        self._tills = [world.recorder.tills[name] for name in world.providers]
        self._names = [*world.providers, ""]  # the last row is that of pods that nobody hosts
        rows = len(self._names)
        self._tallies = _Last(np.zeros((rows, len(Tally._fields)), np.int64), tuple)
        self._money = {
            name: _Last(np.zeros((rows, 2), np.uint64), wide.words)
            for name in ("claimed", "available", "returned", "unpaid")
        }
        self._instants: list[int] = []
        self._samples: dict[str, list[Array]] = {
            name: [] for name in ("sums", "tallies", "owed", *self._money)
        }
        self.requests = 0

    def take(self, now_ns: int) -> list[str]:
        """One row for each provider, and one for the traffic of pods that nobody hosts.

        Args:
            now_ns: the present [Unix ns].

        Returns:
            Invariants that broke, in words.
        """
        world, fleet, parties, tills = self._world, self._fleet, self._parties, self._tills
        sums = fleet.totals(now_ns)
        world.watcher.glance(now_ns, sums[:, COLUMN["transitions"]])
        away = Tally(
            running=world.nowhere.hosted_count,
            arrivals=world.unhosted.arrivals,
            failed=world.unhosted.failed,
        )
        tallies = self._tallies.read([*[machines.tally for machines in self._machines], away])
        self._instants.append(now_ns)
        self._keep("sums", sums)
        self._keep("tallies", tallies)
        self._keep("owed", world.watcher.owed(fleet, now_ns))
        self._amounts("claimed", [till.claimed for till in tills])
        self._amounts("available", [till.available for till in tills])
        self._amounts("returned", [till.returned for till in tills])
        self._amounts("unpaid", [party.unpaid for party in parties])
        self.requests = int(sums[:, COLUMN["arrivals"]].sum() + tallies[:, TALLIED["arrivals"]].sum())
        broken = np.flatnonzero(sums[:-1, COLUMN["least_free"]])
        return [wrong for number in broken for wrong in _over_capacity(parties[number], now_ns)]

    def write(self) -> None:
        """Hand the samples since the last call over to the writer."""
        if not self._instants:
            return
        rows, times = len(self._names), len(self._instants)
        found = {name: np.concatenate(samples) for name, samples in self._samples.items()}
        sums, tallies = found.pop("sums"), found.pop("tallies")
        columns: dict[str, Any] = found
        for column, names in SUMMED.items():
            columns[column] = sum(sums[:, COLUMN[name]] for name in names)
        for column, number in TALLIED.items():
            columns[column] = columns.get(column, 0) + tallies[:, number]
        columns["time_ns"] = np.repeat(np.array(self._instants, np.int64), rows)
        columns["provider"] = self._names * times
        self._world.writer.append_array("samples", columns)
        self._instants.clear()
        for samples in self._samples.values():
            samples.clear()

    def _amounts(self, name: str, amounts: Sequence[int]) -> None:
        self._keep(name, self._money[name].read([*amounts, 0]))

    def _keep(self, name: str, sample: Array) -> None:
        self._samples[name].append(sample)


def _over_capacity(party: ProviderParty, now_ns: int) -> list[str]:
    """Which nodes have more allocated than there is, in words."""
    wrong: list[str] = []
    for index, node in enumerate(party.machines.nodes):
        use = party.machines.plane.node_use(index, now_ns)
        wrong += invariants.capacity_kept(
            f"{party.name}, node {index}",
            allocated={
                Resource.CPU: use.cpu_millis,
                Resource.MEMORY: use.memory_bytes,
                Resource.GPU: use.gpus,
            },
            capacity={
                Resource.CPU: node.cpu_millis,
                Resource.MEMORY: node.memory_bytes,
                Resource.GPU: node.gpus,
            },
        )
    return wrong
