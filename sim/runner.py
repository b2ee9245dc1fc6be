"""`run`: a scenario file to a run directory, replication by replication, in one process or in several."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput
from sim.interrupts import flag, raised_by_interrupt
from sim.kernel.cache import waiting_for
from sim.kernel.engine import drive
from sim.metrics import METRICS
from sim.records.directory import Ending, link_latest, make_directory, write_json, write_provenance
from sim.records.reader import RunTables
from sim.replications import SPAWN, Progress, Wanted, in_processes, one_by_one
from sim.results import Results, load
from sim.scenario import load as load_scenario
from sim.scenario import resolved
from sim.scenario.policies import brought_policies
from sim.summary import worlds_of, write_summary
from sim.warm_up import automatic

if TYPE_CHECKING:
    from sim.estimates import Precision
    from sim.scenario import Scenario
    from sim.scenario.sweep import Sweep
    from sim.simulation import Outcome
    from sim.warm_up import WarmUp

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
        replications: instead of the scenario's number, or of its `until`.
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
    scenario = load_scenario(path, [*overrides, *said(seed=seed, replications=replications)])
    if workers < 1:
        raise BadInput(f"workers: {workers}; allowed are whole numbers of 1 and more")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise BadInput(f"threads: {threads!r}; allowed are whole numbers of 1 and more")
    if threads is None:
        threads = max(1, processors() // min(workers, scenario.most_replications))
    started = datetime.now(UTC)
    text = resolved(scenario)
    if scenario.sweep and notice is not None:
        notice(_sweep_is_not_run(scenario.sweep))
    directory = make_directory(scenario.name, text, started=started, out=None if out is None else Path(out))
    begun = time.perf_counter()
    several = workers > 1 and scenario.most_replications > 1
    wanted = Wanted(scenario, directory)
    stop = SPAWN.RawValue(ctypes.c_bool, False) if several else flag()
    with raised_by_interrupt(stop, notice):
        if notice is not None and (words := waiting_for(drive)):
            notice(words)
        if several:
            outcomes = in_processes(scenario, text, directory, wanted, workers, threads, progress, stop)
        else:
            outcomes = one_by_one(scenario, directory, wanted, threads, progress, stop)
        took_s = time.perf_counter() - begun
        return _conclude(scenario, directory, started, took_s, outcomes, wanted.precision)


def said(*, seed: int | None = None, replications: int | None = None) -> list[str]:
    """What a caller says instead of the scenario, as overrides; a number of replications also instead of `until`."""
    more = [] if seed is None else [f"seed={seed}"]
    return more if replications is None else [*more, f"replications={replications}", "until=null"]


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sweep_is_not_run(sweep: Sweep) -> str:
    return f"the sweep is checked, not run (`trustedpods sweep` runs it): the scenario is run as the rest of it says; left out: {sweep}"


def _conclude(
    scenario: Scenario,
    directory: Path,
    started: datetime,
    wall_s: float,
    outcomes: list[Outcome],
    precision: Precision | None,
) -> Results:
    """Provenance, summary and report, and how it ended."""
    from sim.report import write_report

    interrupted = any(outcome.interrupted for outcome in outcomes)
    notes: dict[str, Any] = {}
    if brought := brought_policies(scenario):
        notes["policies"] = brought
    if scenario.sweep:
        notes["sweep"] = _sweep_is_not_run(scenario.sweep)
    if warnings := [w for outcome in outcomes for w in outcome.warnings]:
        notes["warnings"] = warnings
    tables = RunTables(directory)
    ending = Ending(
        scenario=scenario.name,
        seed=scenario.seed,
        replications=len(outcomes) if scenario.until is not None else scenario.replications,
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
        numeraire=scenario.tokens.numeraire,
        not_modelled=NOT_MODELLED,
        antithetic=scenario.antithetic,
        warm_up=_warm_up(scenario, tables).to_record(),
        precision=None if precision is None else precision.to_record(),
        notes=notes,
    )
    write_provenance(directory, ending)
    summary = write_summary(directory, tables=tables)
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


def _warm_up(scenario: Scenario, tables: RunTables) -> WarmUp:
    """What is left out of steady-state figures: what the scenario says, or what the run's replications show."""
    if scenario.warm_up != "auto":
        return scenario.warm_up_said
    decimals = {"decimals": scenario.tokens.payment.decimals, "gas_decimals": scenario.tokens.gas.decimals}
    worlds = worlds_of(tables, decimals, scenario.warm_up_said)
    series = {m.name: [m.series(world) for world in worlds] for m in METRICS if m.series is not None}
    return automatic(series, every_ns=scenario.output.sampling_ns)
