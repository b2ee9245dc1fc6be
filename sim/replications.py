"""The replications of a run, one after the other or in several processes: as many as are asked for, or as it takes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sim.estimates import Precision, Stopping, settled, values_of
from sim.interrupts import Flag, not_inherited
from sim.metrics import METRICS, World
from sim.records.reader import RunTables
from sim.records.writer import forget
from sim.scenario import loads_resolved
from sim.simulation import Outcome, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from sim.scenario import Scenario
    from sim.warm_up import Series, Value

Progress = Callable[[int, int, int], None]
"""Told virtual time done and in all, over all replications [ns], and requests so far."""

SPAWN: Final = multiprocessing.get_context("spawn")
"""How processes begin: a fork would copy threads that the libraries started."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """See `estimates.Measured`: what is needed of one replication to tell whether there are enough."""

    metrics: dict[str, Value]
    series: dict[str, Series] = field(default_factory=dict)


class Wanted:
    """Whether there are enough replications.

    Args:
        scenario: says how many, or how precisely what is to be known.
        directory: of the run, where their tables are.
    """

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self._scenario = scenario
        self._directory = directory
        self._measured: list[_Measured] = []
        self._stopping: Stopping | None = None
        if scenario.until is not None:
            self._metric = next(metric for metric in METRICS if metric.name == scenario.until.metric)
            self._automatic = scenario.warm_up == "auto" and self._metric.kind == "steady-state"
            self._stopping = Stopping(
                scenario.until, self._values, antithetic=scenario.antithetic, settling=self._automatic
            )

    @property
    def precision(self) -> Precision | None:
        """How near what was asked for came; None when only a number was asked for, or it is not known yet."""
        return self._stopping.found if self._stopping is not None else None

    def enough(self, there: int) -> int | None:
        """How many count, once that is certain.

        Args:
            there: replications 0 to `there` - 1 are over.
        """
        if self._stopping is None:
            return there if there >= self._scenario.replications else None
        while len(self._measured) < there:
            self._measured.append(self._measure(len(self._measured)))
        found = self._stopping.look(there)
        return found.replications if found is not None else None

    def _measure(self, number: int) -> _Measured:
        scenario = self._scenario
        world = World(
            RunTables(self._directory),
            number,
            decimals=scenario.tokens.payment.decimals,
            gas_decimals=scenario.tokens.gas.decimals,
            warm_up=scenario.warm_up_said,
        )
        if not self._automatic:
            return _Measured({self._metric.name: self._metric.of(world)})
        return _Measured({}, {metric.name: metric.series(world) for metric in METRICS if metric.series})

    def _values(self, count: int) -> list[Value]:
        many = self._measured[:count]
        warm_up = settled(many, every_ns=self._scenario.output.sampling_ns) if self._automatic else None
        return values_of(self._metric.name, many, warm_up)


class _Telling:
    """Adds the progress of one replication to that of those before it."""

    def __init__(self, duration_ns: int, total_ns: int, progress: Progress | None) -> None:
        self._duration_ns = duration_ns
        self._total_ns = total_ns
        self._progress = progress
        self._past_ns = 0
        self._past_requests = 0
        self._requests = 0

    def __call__(self, done_ns: int, requests: int) -> None:
        self._requests = requests
        if self._progress is not None:
            self._progress(self._past_ns + done_ns, self._total_ns, self._past_requests + requests)

    def next(self) -> None:
        self._past_ns += self._duration_ns
        self._past_requests += self._requests


def one_by_one(
    scenario: Scenario, directory: Path, wanted: Wanted, threads: int, progress: Progress | None, stop: Flag
) -> list[Outcome]:
    """Make replications in this process until there are enough."""
    outcomes: list[Outcome] = []
    telling = _Telling(scenario.duration_ns, scenario.duration_ns * scenario.most_replications, progress)
    while wanted.enough(len(outcomes)) is None:
        outcomes.append(simulate(scenario, len(outcomes), directory, telling, stop=stop, threads=threads))
        telling.next()
        if outcomes[-1].interrupted:
            break
    return outcomes


def in_processes(
    scenario: Scenario,
    text: str,
    directory: Path,
    wanted: Wanted,
    workers: int,
    threads: int,
    progress: Progress | None,
    stop: Flag,
) -> list[Outcome]:
    """Make replications in several processes until there are enough; what was begun beyond those is thrown away."""
    most = scenario.most_replications
    processes = min(workers, most)
    ahead = processes if scenario.until is not None else most
    outcomes: list[Outcome] = []
    waiting: list[Future[Outcome]] = []
    with ProcessPoolExecutor(processes, SPAWN, initializer=_take, initargs=(stop,)) as pool:
        while True:
            if any(outcome.interrupted for outcome in outcomes):
                if len(outcomes) == len(waiting):
                    break
            elif wanted.enough(len(outcomes)) is not None:
                break
            else:
                with not_inherited():
                    while len(waiting) < min(most, len(outcomes) + ahead):
                        waiting.append(pool.submit(_replicate, text, len(waiting), directory, threads))
            outcomes.append(waiting[len(outcomes)].result())
            if progress is not None and not stop.value:
                try:
                    progress(len(outcomes) * scenario.duration_ns, most * scenario.duration_ns, 0)
                except KeyboardInterrupt:
                    stop.value = True
        for future in waiting[len(outcomes) :]:
            future.cancel()
    for number in range(len(outcomes), len(waiting)):
        forget(directory, number)
    return outcomes


_given: list[Flag] = []
"""In a process of a pool: the flag that the process which began it raises."""


def _take(stop: Flag) -> None:
    _given.append(stop)


def _replicate(text: str, number: int, directory: Path, threads: int) -> Outcome:
    """One replication in a process of its own; nothing when it is not to begin any more."""
    scenario, (stop,) = loads_resolved(text), _given
    if stop.value:
        return Outcome(scenario.start_ns, (), interrupted=True)
    return simulate(scenario, number, directory, stop=stop, threads=threads)
