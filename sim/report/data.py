"""A run as the plots want it: series on common instants, one row a replication, and pods and channels as arrays."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sim.records.directory import PROVENANCE, SUMMARY
from sim.records.reader import Floats, Ints, RunTables
from sim.statistics import bucket_edges_ms, merge_buckets, sketch_quantiles_ms, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_POINTS: Final = 240
"""Points of a line: more cannot be seen on paper."""


@dataclass(frozen=True, slots=True)
class Band:
    """A mean over replications and its 95 % interval; the two ends are None for a single replication."""

    mean: Floats
    low: Floats | None
    high: Floats | None


def band(values: Floats) -> Band:
    """Mean and pointwise 95 % interval over replications.

    Args:
        values: one row a replication.
    """
    count, mean = len(values), values.mean(axis=0)
    if count < 2:
        return Band(mean, None, None)
    half = t_quantile(0.975, count - 1) * values.std(axis=0, ddof=1) / math.sqrt(count)
    return Band(mean, mean - half, mean + half)


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """How long times are shown: the word on the axis and its nanoseconds."""

    word: str
    ns: float


@dataclass(frozen=True, slots=True)
class Pods:
    """What is drawn for each pod, of one replication: arrays of one length.

    Args:
        names, groups: the pod and its entry in the scenario.
        served, cold: requests answered, and those of them that waited for a start.
        cost: tokens it paid or owes under cover.
        median_ms, cold_median_ms: its own median latency, of all and of cold requests; NaN without any.
    """

    names: list[str]
    groups: list[str]
    served: Floats
    cold: Floats
    cost: Floats
    median_ms: Floats
    cold_median_ms: Floats


class RunData:
    """A finished run, read for drawing.

    Args:
        directory: the run's directory, with its provenance and summary.
    """

    def __init__(self, directory: Path, tables: RunTables | None = None) -> None:
        self.tables = tables or RunTables(directory)
        self.provenance: dict[str, Any] = json.loads((directory / PROVENANCE).read_text(encoding="utf-8"))
        self.summary: dict[str, Any] = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
        self.replications = self.tables.replications
        self.token: str = self.provenance["token"]
        self.unit = float(10 ** int(self.provenance["decimals"]))
        self.start_ns = int(self.provenance["start_ns"])
        self._pods: dict[int, Pods] = {}

    @property
    def basis(self) -> str:
        """Replications, as every plot states them."""
        count = len(self.replications)
        return (
            "1 replication, so no interval"
            if count == 1
            else f"{count} replications, bands are 95 % intervals"
        )

    @property
    def whole_basis(self) -> str:
        """The same of what is added up over all parties."""
        first = self.replications[0]
        parties = [(len(self.tables.rows(f"{word}s", first)), word) for word in ("publisher", "provider")]
        said = " and ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in parties)
        return f"{said}, {self.basis}"

    @cached_property
    def time(self) -> TimeUnit:
        """The unit that makes the run's length a number of two digits or less, where it can."""
        length_s = (int(self.provenance["end_ns"]) - self.start_ns) / 1e9
        if length_s < 3 * 60:
            return TimeUnit("s", 1e9)
        if length_s < 3 * 3600:
            return TimeUnit("min", 60e9)
        if length_s < 96 * 3600:
            return TimeUnit("h", 3600e9)
        return TimeUnit("days", 86400e9)

    def since(self, instants_ns: Ints) -> Floats:
        """Instants as time since the run's start, in `time`'s unit."""
        return np.asarray((instants_ns - self.start_ns) / self.time.ns, dtype=np.float64)

    @cached_property
    def instants(self) -> Floats:
        """The sampling instants that every replication reached, since the start."""
        shortest = min(self._instants_ns, key=len)
        return self.since(shortest)

    @cached_property
    def _instants_ns(self) -> list[Ints]:
        return [
            np.unique(self.tables.rows("samples", number).ints("time_ns")) for number in self.replications
        ]

    def series(self, column: str, *, money: bool = False, hosted: bool | None = None) -> Floats:
        """A column of `samples` summed over providers: a row a replication, a column an instant.

        Args:
            column: which.
            money: in base units, to be given in tokens.
            hosted: only of pods at a provider, or only of those that are not deployed; None: of all.
        """
        lines = []
        for number, instants in zip(self.replications, self._instants_ns, strict=True):
            rows = self.tables.rows("samples", number)
            if hosted is not None:
                rows = rows.where(rows.is_name("provider", [""]) != hosted)
            place = np.searchsorted(instants, rows.ints("time_ns"))
            line = np.bincount(place, weights=rows.floats(column), minlength=len(instants))
            lines.append(line[: len(self.instants)])
        return np.array(lines) / (self.unit if money else 1.0)

    @property
    def step(self) -> int:
        """Every how many instants a line is drawn, to keep it small."""
        return max(1, -(-len(self.instants) // MAX_POINTS))

    def table_places(self, count: int = 9) -> list[int]:
        """Which instants the table beneath a line shows: evenly spread, first and last included."""
        last = len(self.instants) - 1
        return sorted({round(place * last / (count - 1)) for place in range(count)}) if last > 0 else [0]

    @property
    def instants_ns(self) -> Ints:
        """The sampling instants that every replication reached [Unix ns]."""
        return min(self._instants_ns, key=len)

    @cached_property
    def ends_ns(self) -> dict[int, int]:
        """The last sampling instant of each replication [Unix ns]: how far it was watched."""
        return {
            number: int(instants[-1])
            for number, instants in zip(self.replications, self._instants_ns, strict=True)
        }

    @property
    def pods(self) -> Pods:
        """The pods of the first replication: later ones have the same pods, and points of many runs hide each other."""
        return self.pods_in(self.replications[0])

    def pods_in(self, number: int) -> Pods:
        """The pods of one replication, in the scenario's order, which is that of every replication."""
        if number in self._pods:
            return self._pods[number]
        publishers = self.tables.rows("publishers", number)
        names = [str(name) for name in publishers.table["pod"].to_pylist()]
        deployments = self.tables.rows("deployments", number)
        cold = deployments.sum_by("pod", "cold")
        cost = self.tables.rows("channels", number)
        owed, unpaid = cost.sum_by("pod", "owed"), cost.sum_by("pod", "unpaid")
        self._pods[number] = Pods(
            names,
            [str(name) for name in publishers.table["group"].to_pylist()],
            publishers.floats("served"),
            np.array([cold.get(name, 0) for name in names], dtype=np.float64),
            np.array([(owed.get(name, 0) - unpaid.get(name, 0)) / self.unit for name in names]),
            self.quantiles_ms("all", number, names, 0.5),
            self.quantiles_ms("cold", number, names, 0.5),
        )
        return self._pods[number]

    def quantiles_ms(self, kind: str, replication: int, names: list[str], prob: float) -> Floats:
        """Each pod's own latency quantile of a kind, in the order of `names`; NaN where it has too few requests."""
        rows = self.tables.rows("latency", replication)
        rows = rows.where(rows.is_name("kind", [kind]))
        codes, known = rows.codes("pod")
        values = sketch_quantiles_ms(
            codes, rows.ints("bucket"), rows.ints("requests"), prob, groups=len(known)
        )
        found = dict(zip(known, values.tolist(), strict=True))
        return np.array([found.get(name, np.nan) for name in names], dtype=np.float64)

    def sketch(self, kind: str, replication: int) -> tuple[Ints, Ints]:
        """Buckets and counts of all latencies of a kind."""
        rows = self.tables.rows("latency", replication)
        rows = rows.where(rows.is_name("kind", [kind]))
        return merge_buckets(rows.ints("bucket"), rows.ints("requests"))

    def ecdf(self, kind: str, at_ms: Floats) -> tuple[Floats, int]:
        """Share of latencies up to each value, a row a replication that has any, and how many there are in all."""
        lines, total = [], 0
        for number in self.replications:
            buckets, counts = self.sketch(kind, number)
            if len(buckets):
                total += int(counts.sum())
                _, high = bucket_edges_ms(buckets)
                reached = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
                lines.append(reached[np.searchsorted(high, at_ms, side="right")])
        return np.array(lines), total

    def range_ms(self) -> tuple[float, float] | None:
        """The smallest and largest latency of the run; None when nothing was answered."""
        found = [bucket_edges_ms(self.sketch("all", number)[0]) for number in self.replications]
        lows = [low[0] for low, _ in found if len(low)]
        highs = [high[-1] for _, high in found if len(high)]
        return (max(min(lows), 0.01), max(highs)) if lows else None

    def metric(self, name: str) -> dict[str, Any]:
        """A metric of the summary."""
        return dict(self.summary["metrics"][name])


def quantile_places(count: int, most: int) -> list[int]:
    """At most `most` places spread evenly over `count` sorted things, both ends included."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def by_group(groups: Sequence[str]) -> dict[str, Ints]:
    """Places of each group's members, groups in the order in which they come."""
    found: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(group, []).append(place)
    return {group: np.array(places, dtype=np.int64) for group, places in found.items()}
