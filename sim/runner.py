"""`run`: a scenario file to a run directory, replication by replication, in one process or in several."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from sim.interrupts import Flag, flag, not_inherited, raised_by_interrupt
from sim.kernel.cache import kept
from sim.records.directory import Ending, link_latest, make_directory, write_json, write_provenance
from sim.results import Results, load
from sim.scenario import load as load_scenario
from sim.scenario import loads, resolved
from sim.scenario.policies import brought_policies
from sim.simulation import Outcome, simulate

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.scenario.sweep import Sweep

Progress = Callable[[int, int, int], None]
"""Told virtual time done and in all, over all replications [ns], and requests so far."""

SPAWN: Final = multiprocessing.get_context("spawn")
"""How processes begin: a fork would copy threads that the libraries started."""
NOT_MODELLED = (
    "Packets: a message is one transfer with a latency and a size.",
    "Contention on a node, but for processors where containers have limits: else a replica has what it reserves.",
    "Other people's transactions: the gas they want of each block, at one tip, is a draw.",
)


class InvariantBroken(Exception):
    """Something that must always hold did not: a bug of the project. The tables are kept.

    Args:
        results: the run.
        violations: what broke, in words.
    """

    def __init__(self, results: Results, violations: tuple[str, ...]) -> None:
        shown = "\n  ".join(violations[:10])
        more = f"\n  and {len(violations) - 10} more" if len(violations) > 10 else ""
        super().__init__(
            f"an invariant of the simulation broke (a bug); the tables are in {results.directory}\n  {shown}{more}"
        )
        self.results = results
        self.violations = violations


def run(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    seed: int | None = None,
    replications: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Results:
    """Run a scenario and write its run directory: tables, summary, report.

    An interrupt (Ctrl-C) ends the run where it is: `summary["interrupted"]` is true, the tables hold what was reached.

    Args:
        path: a scenario file.
        overrides: `path=value`, such as `providers.0.count=3`.
        seed: instead of the scenario's.
        replications: instead of the scenario's.
        workers: processes for the replications, 1 or more; they change no byte of the tables.
        threads: that work on the data plane in each process, 1 or more; they change no byte of the tables. None: as
            many as there are processors, shared between the workers.
        out: the run's directory itself; None: a new one under `runs/<name>/`.
        progress: told how far it is.
        notice: told, in words, of what keeps a person waiting (compiling, once, takes half a minute or so), and
            that a sweep is not run.

    Raises:
        BadInput: the scenario or an argument is wrong; nothing was run.
        InvariantBroken: a bug; the run is there to be looked at.
    """
    more = [f"{k}={v}" for k, v in (("seed", seed), ("replications", replications)) if v is not None]
    scenario = load_scenario(path, [*overrides, *more])
    if workers < 1:
        raise BadInput(f"workers: {workers}; allowed are whole numbers of 1 and more")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise BadInput(f"threads: {threads!r}; allowed are whole numbers of 1 and more")
    if threads is None:
        threads = max(1, processors() // min(workers, scenario.replications))
    started = datetime.now(UTC)
    text = resolved(scenario)
    if scenario.sweep and notice is not None:
        notice(_sweep_is_not_run(scenario.sweep))
    directory = make_directory(scenario.name, text, started=started, out=None if out is None else Path(out))
    begun = time.perf_counter()
    several = workers > 1 and scenario.replications > 1
    stop = SPAWN.RawValue(ctypes.c_bool, False) if several else flag()
    with raised_by_interrupt(stop, notice):
        if notice is not None and not kept():
            notice("compiling the data plane for this machine; once, half a minute or so ...")
        if several:
            outcomes = _run_in_processes(scenario, text, directory, workers, threads, progress, stop)
        else:
            outcomes = _run_one_by_one(scenario, directory, threads, progress, stop)
        return _conclude(scenario, directory, started, time.perf_counter() - begun, outcomes)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sweep_is_not_run(sweep: Sweep) -> str:
    return f"the sweep is checked, not run (`trustedpods sweep` runs it): the scenario is run as the rest of it says; left out: {sweep}"


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


def _run_one_by_one(
    scenario: Scenario, directory: Path, threads: int, progress: Progress | None, stop: Flag
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    telling = _Telling(scenario.duration_ns, scenario.duration_ns * scenario.replications, progress)
    for number in range(scenario.replications):
        outcomes.append(simulate(scenario, number, directory, telling, stop=stop, threads=threads))
        telling.next()
        if outcomes[-1].interrupted:
            break
    return outcomes


def _run_in_processes(
    scenario: Scenario,
    text: str,
    directory: Path,
    workers: int,
    threads: int,
    progress: Progress | None,
    stop: Flag,
) -> list[Outcome]:
    total_ns = scenario.duration_ns * scenario.replications
    processes = min(workers, scenario.replications)
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(processes, SPAWN, initializer=_take, initargs=(stop,)) as pool:
        with not_inherited():
            waiting = [
                pool.submit(_replicate, text, number, directory, threads)
                for number in range(scenario.replications)
            ]
        for number, future in enumerate(waiting):
            outcomes.append(future.result())
            if progress is not None and not stop.value:
                try:
                    progress((number + 1) * scenario.duration_ns, total_ns, 0)
                except KeyboardInterrupt:
                    stop.value = True
    return outcomes


_given: list[Flag] = []
"""In a process of a pool: the flag that the process which began it raises."""


def _take(stop: Flag) -> None:
    _given.append(stop)


def _replicate(text: str, number: int, directory: Path, threads: int) -> Outcome:
    """One replication in a process of its own; nothing when it is not to begin any more."""
    scenario, (stop,) = loads(text), _given
    if stop.value:
        return Outcome(scenario.start_ns, (), interrupted=True)
    return simulate(scenario, number, directory, stop=stop, threads=threads)


def _conclude(
    scenario: Scenario, directory: Path, started: datetime, wall_s: float, outcomes: list[Outcome]
) -> Results:
    """Provenance, summary and report, and how it ended."""
    from sim.report import write_report
    from sim.summary import write_summary

    interrupted = any(outcome.interrupted for outcome in outcomes)
    notes: dict[str, Any] = {}
    if brought := brought_policies(scenario):
        notes["policies"] = brought
    if scenario.sweep:
        notes["sweep"] = _sweep_is_not_run(scenario.sweep)
    if warnings := [w for outcome in outcomes for w in outcome.warnings]:
        notes["warnings"] = warnings
    write_provenance(
        directory,
        Ending(
            scenario=scenario.name,
            seed=scenario.seed,
            replications=scenario.replications,
            started=started,
            wall_s=wall_s,
            start_ns=scenario.start_ns,
            end_ns=scenario.start_ns + scenario.duration_ns,
            reached_ns=tuple(outcome.reached_ns for outcome in outcomes),
            interrupted=interrupted,
            token=scenario.tokens.payment.symbol,
            decimals=scenario.tokens.payment.decimals,
            gas_token=scenario.tokens.gas.symbol,
            gas_decimals=scenario.tokens.gas.decimals,
            not_modelled=NOT_MODELLED,
            notes=notes,
        ),
    )
    summary = write_summary(directory)
    write_report(directory)
    link_latest(directory)
    results = load(directory)
    violations = tuple(v for outcome in outcomes for v in outcome.violations) + tuple(
        f"{law['law']}: {law['left']} and {law['right']} {law['unit']}"
        for law in summary["conservation"]
        if law["residual"]
    )
    if violations:
        write_json(directory / "violations.json", {"violations": list(violations)})
        raise InvariantBroken(results, violations)
    return results
