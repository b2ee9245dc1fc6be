"""The one call into the simulator, behind which its slow imports are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.progress import Progress
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
