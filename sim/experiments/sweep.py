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
from sim.experiments.designs import Point, described, kinds_of, read_points
from sim.experiments.evaluate import CACHE, Evaluation, Store, code_version, essential, fingerprint, key_of
from sim.experiments.results import SweepResults, load_sweep
from sim.experiments.tables import write_tables
from sim.experiments.workers import Failure, Task, completed
from sim.interrupts import flag, raised_by_interrupt
from sim.kernel.cache import kept
from sim.records.directory import (
    PROVENANCE,
    check_free,
    link_latest,
    machine,
    make_directory,
    versions,
    write_json,
)
from sim.runner import NOT_MODELLED, processors
from sim.scenario import resolved

if TYPE_CHECKING:
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
        replications: instead of the scenario's.
        out: the sweep's directory itself; None: a new one under `sweeps/<name>/`.
        cache: where evaluations are kept and looked for.
        progress: told how far it is.
        notice: told, in words, what keeps a person waiting.

    Returns:
        the results. Points that failed are in `failures`, and an interrupt is in `interrupted`; what there is of the
        others is there.

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
    more = [] if replications is None else [f"replications={replications}"]
    scenario, points = read_points(path, [*overrides, *more])
    started, begun = datetime.now(UTC), time.perf_counter()
    run = _Running(points, Store(Path(cache)), progress)
    stop = flag()
    if run.missing:
        told = notice or (lambda _: None)
        with raised_by_interrupt(stop, lambda _: told("stopping; what is evaluated is kept")):
            if not kept() and scheduler is None:
                told("compiling the data plane for this machine; once, half a minute or so ...")
            for key, found in completed(
                run.missing, workers=workers or processors(), scheduler=scheduler, stop=stop, notice=notice
            ):
                run.take(key, found)
    directory = make_directory(
        scenario.name,
        resolved(scenario),
        started=started,
        out=None if out is None else Path(out),
        root=SWEEPS,
    )
    hashes = write_tables(directory, points, run.evaluations, kinds_of(scenario), points[0].scenario)
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


class _Running:
    """What is asked, and what there is of it.

    Args:
        points: all of them.
        store: where evaluations are kept.
        progress: told how far it is.
    """

    def __init__(self, points: list[Point], store: Store, progress: Progress | None) -> None:
        self.points = points
        self.evaluations: dict[tuple[int, int], Evaluation] = {}
        self.failed: dict[tuple[int, int], str] = {}
        self.missing: dict[str, Task] = {}
        self._store = store
        self._progress = progress
        self._asked: dict[str, list[tuple[int, int]]] = {}  # equal points are evaluated once
        for point in points:
            essence = essential(point.scenario)
            text, print_ = resolved(essence), fingerprint(essence)
            for number in range(point.scenario.replications):
                key = key_of(print_, number)
                self._asked.setdefault(key, []).append((point.number, number))
                if key not in self.missing:
                    self.missing[key] = Task(text, number)
        self.asked = sum(len(places) for places in self._asked.values())
        for key, places in self._asked.items():
            found = store.get(key)
            if found is not None:
                del self.missing[key]
                self.evaluations.update(dict.fromkeys(places, found))
        self.kept = len(self.evaluations)
        self._tell()

    def take(self, key: str, found: Evaluation | Failure) -> None:
        """What came of one evaluation; it is kept before it counts."""
        if isinstance(found, Evaluation):
            self._store.put(key, found)
            self.evaluations.update(dict.fromkeys(self._asked[key], found))
        else:
            self.failed.update(dict.fromkeys(self._asked[key], found.reason))
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(len(self.evaluations) + len(self.failed), self.asked, self.kept)


def _said(scenario: Scenario, points: list[Point], run: _Running) -> dict[str, Any]:
    def place(point: int, replication: int) -> dict[str, Any]:
        return {
            "point": point,
            "parameters": described(points[point].parameters),
            "replication": replication,
        }

    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "sweep": str(scenario.sweep),
        "points": len(points),
        "replications": scenario.replications,
        "evaluations": {
            "asked": run.asked,
            "there": len(run.evaluations),
            "kept from before": run.kept,
            "failed": len(run.failed),
        },
        "failures": [{**place(*key), "reason": why} for key, why in sorted(run.failed.items())],
        "warnings": [
            {**place(*key), "warning": text}
            for key, one in sorted(run.evaluations.items(), key=lambda item: item[0])
            for text in one.warnings
        ],
        "not_modelled": list(NOT_MODELLED),
    }
