"""The calls into the simulator, behind which its slow imports are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.progress import Progress
    from sim.experiments.results import SweepResults
    from sim.results import Results


def simulate(
    file: Path,
    overrides: Iterable[str],
    *,
    seed: int | None,
    replications: int | None,
    workers: int,
    threads: int | None,
    out: Path | None,
    progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> Results:
    """See `sim.run`."""
    import sim

    return sim.run(
        file,
        overrides,
        seed=seed,
        replications=replications,
        workers=workers,
        threads=threads,
        out=out,
        progress=progress,
        notice=notice,
    )


def simulate_points(
    file: Path,
    overrides: Iterable[str],
    *,
    metrics: Iterable[str],
    workers: int | None,
    scheduler: str | None,
    replications: int | None,
    out: Path | None,
    progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> SweepResults:
    """See `sim.sweep`; names that no metric has are refused before anything is run."""
    import sim
    from sim.experiments.results import check_metrics

    check_metrics(list(metrics))
    return sim.sweep(
        file,
        overrides,
        workers=workers,
        scheduler=scheduler,
        replications=replications,
        out=out,
        progress=progress,
        notice=notice,
    )
