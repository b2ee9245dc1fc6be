"""`sweep`: every point of a scenario's sweep, replication by replication, to one directory of tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from sim.estimates import Precision, Stopping, values_of
from sim.experiments.designs import Point, described, kinds_of, read_points
from sim.experiments.evaluate import CACHE, Evaluation, Store, code_version, essential, fingerprint, key_of
from sim.experiments.results import SweepResults, load_sweep
from sim.experiments.tables import warm_up_of, write_tables
from sim.experiments.workers import Failure, Task, completed
from sim.interrupts import flag, raised_by_interrupt
from sim.kernel.cache import waiting_for
from sim.kernel.engine import drive
from sim.records.directory import (
    PROVENANCE,
    check_free,
    link_latest,
    machine,
    make_directory,
    versions,
    write_json,
)
from sim.runner import NOT_MODELLED, processors, said
from sim.scenario import resolved

if TYPE_CHECKING:
    from sim.metrics import Value
    from sim.scenario import Scenario

SWEEPS: Final = Path("sweeps")
DESIGNS: Final = ("SALib", "scipy", "distributed")
"""Packages that draw the points and carry them out; the values do not depend on them."""
Progress = Callable[[int, int, int], None]
"""Told evaluations done and in all, and how many of them were kept from before."""


def sweep(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    replications: int | None = None,
    out: str | Path | None = None,
    cache: str | Path = CACHE,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> SweepResults:
    """Run every point of a scenario's sweep and write its directory.

    Evaluations are kept as they end, so that a sweep that was stopped, by an interrupt (Ctrl-C) or by force, goes on
    where it was when it is asked for again. Neither the number of workers nor where they are changes a byte of the
    tables. In a script of your own call it under `if __name__ == "__main__":`, because processes are started.

    Args:
        path: a scenario file with a `sweep`.
        overrides: `path=value`, such as `providers.0.count=3`, for all points.
        workers: processes on this machine, 1 or more; None: as many as there are processors.
        scheduler: address of the scheduler of a Dask cluster that exists, such as `tcp://host:8786`; its workers need
            the same release and packages, and the scenario's files under the same paths.
        replications: instead of the scenario's number, or of its `until`.
        out: the sweep's directory itself; None: a new one under `sweeps/<name>/`.
        cache: where evaluations are kept and looked for.
        progress: told how far it is.
        notice: told, in words, what keeps a person waiting.

    Returns:
        the results. Points that failed are in `failures`, those whose `until` was not reached in `imprecise`, and an
        interrupt is in `interrupted`; what there is of the others is there.

    Raises:
        BadInput: the scenario, one of its points or an argument is wrong; nothing was run.
        PortError: the scheduler does not answer, or no longer; what is evaluated is kept.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise BadInput(f"workers: {workers!r}; allowed are whole numbers of 1 and more")
    if workers is not None and scheduler is not None:
        raise BadInput(
            f"workers: {workers}; the cluster at {scheduler} has its own: leave one of the two out"
        )
    if out is not None:
        check_free(Path(out))
    scenario, points = read_points(path, [*overrides, *said(replications=replications)])
    started, begun = datetime.now(UTC), time.perf_counter()
    run = _Running(points, Store(Path(cache)), progress)
    stop = flag()
    asked = run.ask()
    if asked:
        told = notice or (lambda _: None)
        with raised_by_interrupt(stop, lambda _: told("stopping; what is evaluated is kept")):
            if scheduler is None and (words := waiting_for(drive)):
                told(words)
            most = min(workers or processors(), run.most)
            for key, found in completed(
                asked, run.ask, workers=most, scheduler=scheduler, stop=stop, notice=notice
            ):
                run.take(key, found)
    directory = make_directory(
        scenario.name,
        resolved(scenario),
        started=started,
        out=None if out is None else Path(out),
        root=SWEEPS,
    )
    hashes = write_tables(
        directory, points, run.evaluations, kinds_of(scenario), points[0].scenario, run.counts()
    )
    write_json(
        directory / PROVENANCE,
        {
            **_said(scenario, points, run),
            "interrupted": stop.value,
            "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
            "wall_s": time.perf_counter() - begun,
            "where": scheduler or f"{workers or processors()} processes of this machine",
            **versions(),
            "designs": _designs(),
            "code": code_version(),
            "machine": machine(),
            "tables": hashes,
        },
    )
    from sim.report.sweep_page import write_sweep_report  # matplotlib is slow to import

    results = load_sweep(directory)
    write_sweep_report(results)
    link_latest(directory, root=SWEEPS)
    return results


def _designs() -> dict[str, str]:
    found = {}
    for package in DESIGNS:
        with suppress(PackageNotFoundError):  # nothing was drawn with it, or nothing had to be run
            found[package] = version(package)
    return found


class _Asked:
    """One point: how many of its replications are asked for, and whether those are enough.

    Args:
        point: which.
        found: its evaluations by replication, filled by others.
    """

    def __init__(self, point: Point, found: dict[int, Evaluation]) -> None:
        scenario = point.scenario
        essence = essential(scenario)
        self.text, self.print = resolved(essence), fingerprint(essence)
        self.scenario = scenario
        self.count = scenario.until.min if scenario.until else scenario.replications
        self.failed = False
        self._found = found
        self._stopping: Stopping | None = None
        if scenario.until is not None:
            self._metric = scenario.until.metric
            self._stopping = Stopping(
                scenario.until,
                self._values,
                antithetic=scenario.antithetic,
                settling=scenario.warm_up == "auto",
            )

    @property
    def precision(self) -> Precision | None:
        """How near its half-width came; None when none was asked for, or it is not known."""
        return self._stopping.found if self._stopping is not None else None

    def grow(self) -> bool:
        """Ask for more replications, if all that were asked for are there and not enough; whether it did."""
        if self._stopping is None or self.failed or self._stopping.found is not None:
            return False
        if len(self._found) < self.count or self._stopping.look(self.count) is not None:
            return False
        self.count += self._stopping.more(self.count)
        return True

    def _values(self, count: int) -> list[Value]:
        many = [self._found[number] for number in range(count)]
        return values_of(self._metric, many, warm_up_of(self.scenario, many))


class _Running:
    """What is asked, and what there is of it.

    Args:
        points: all of them.
        store: where evaluations are kept.
        progress: told how far it is.
    """

    def __init__(self, points: list[Point], store: Store, progress: Progress | None) -> None:
        self.failed: dict[tuple[int, int], str] = {}
        self.kept = 0
        self.most = sum(point.scenario.most_replications for point in points)
        self._store = store
        self._progress = progress
        self._found: list[dict[int, Evaluation]] = [{} for _ in points]
        self._asked = [_Asked(point, found) for point, found in zip(points, self._found, strict=True)]
        self._known = [0] * len(points)  # replications of each that were asked for so far
        self._places: dict[str, list[tuple[int, int]]] = {}  # equal points are evaluated once
        self._ended: dict[str, Evaluation | Failure] = {}
        self._before: set[str] = set()

    def ask(self) -> dict[str, Task]:
        """What is to be evaluated now, beside what was asked before; what is kept is taken at once."""
        missing: dict[str, Task] = {}
        before = self.asked
        for number, point in enumerate(self._asked):
            while True:
                for replication in range(self._known[number], point.count):
                    self._ask(number, replication, missing)
                self._known[number] = point.count
                if not point.grow():
                    break
        if self.asked > before:
            self._tell()
        return missing

    def _ask(self, number: int, replication: int, missing: dict[str, Task]) -> None:
        point = self._asked[number]
        key, place = key_of(point.print, replication), (number, replication)
        new = key not in self._places
        self._places.setdefault(key, []).append(place)
        if not new:
            if key in self._ended:
                self.kept += key in self._before
                self._put(place, self._ended[key])
            return
        found = self._store.get(key)
        if found is None:
            missing[key] = Task(point.text, replication)
            return
        self.kept += 1
        self._before.add(key)
        self._end(key, found)

    def take(self, key: str, found: Evaluation | Failure) -> None:
        """What came of one evaluation; it is kept before it counts."""
        if isinstance(found, Evaluation):
            self._store.put(key, found)
        self._end(key, found)
        self._tell()

    def _end(self, key: str, found: Evaluation | Failure) -> None:
        self._ended[key] = found
        for place in self._places[key]:
            self._put(place, found)

    def _put(self, place: tuple[int, int], found: Evaluation | Failure) -> None:
        number, replication = place
        if isinstance(found, Evaluation):
            self._found[number][replication] = found
        else:
            self.failed[place] = found.reason
            self._asked[number].failed = True

    def counts(self) -> list[int]:
        """Replications of each point: those that it took, or those asked for."""
        return [
            point.count if point.precision is None else point.precision.replications for point in self._asked
        ]

    @property
    def precisions(self) -> list[Precision | None]:
        """Of each point, how near its half-width came."""
        return [point.precision for point in self._asked]

    @property
    def evaluations(self) -> dict[tuple[int, int], Evaluation]:
        """Those that count, by point and replication."""
        return {
            (number, replication): one
            for number, (found, count) in enumerate(zip(self._found, self.counts(), strict=True))
            for replication, one in sorted(found.items())
            if replication < count
        }

    @property
    def asked(self) -> int:
        """Evaluations asked for so far, made or not."""
        return sum(self._known)

    def _tell(self) -> None:
        if self._progress is not None:
            there = sum(len(found) for found in self._found)
            self._progress(there + len(self.failed), self.asked, self.kept)


def _said(scenario: Scenario, points: list[Point], run: _Running) -> dict[str, Any]:
    def place(point: int, replication: int) -> dict[str, Any]:
        return {
            "point": point,
            "parameters": described(points[point].parameters),
            "replication": replication,
        }

    evaluations, counts = run.evaluations, run.counts()
    warm_ups = [
        warm_up_of(
            point.scenario, [one for (number, _), one in evaluations.items() if number == point.number]
        )
        or point.scenario.warm_up_said
        for point in points
    ]
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "sweep": str(scenario.sweep),
        "points": len(points),
        "replications": counts,
        "antithetic": [point.scenario.antithetic for point in points],
        "warm_up": [warm_up.to_record() for warm_up in warm_ups],
        "precision": [None if found is None else found.to_record() for found in run.precisions],
        "evaluations": {
            "asked": sum(counts),
            "there": len(evaluations),
            "kept from before": run.kept,
            "failed": len(run.failed),
        },
        "failures": [{**place(*key), "reason": why} for key, why in sorted(run.failed.items())],
        "warnings": [
            {**place(*key), "warning": text}
            for key, one in sorted(evaluations.items(), key=lambda item: item[0])
            for text in one.warnings
        ],
        "not_modelled": list(NOT_MODELLED),
    }
