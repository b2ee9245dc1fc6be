"""A sweep that is over, in Python: its tables as data frames, what failed, and where it came from."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput
from protocol.manifest import hint
from sim.experiments.tables import POINTS, RESULTS, SERIES, SUMMARY, read
from sim.metrics import METRICS
from sim.records.directory import PROVENANCE

if TYPE_CHECKING:
    import pandas as pd


def load_sweep(directory: str | Path = "sweeps/latest") -> SweepResults:
    """Load a sweep.

    Args:
        directory: the sweep's directory; the last sweep when left out.

    Raises:
        BadInput: it is not the directory of a sweep.
    """
    path = Path(directory)
    if not is_sweep(path):
        raise BadInput(f"{path}: is not a sweep's directory: it holds no {SUMMARY} with a {PROVENANCE}")
    return SweepResults(path)


def is_sweep(path: Path) -> bool:
    """Whether a directory holds what a sweep leaves."""
    return (path / PROVENANCE).is_file() and (path / SUMMARY).is_file()


class SweepResults:
    """One sweep.

    Args:
        directory: the sweep's directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __repr__(self) -> str:
        said = self.provenance
        return f"SweepResults({str(self.directory)!r}: {said['scenario']}, {said['points']} point(s), {said['sweep']})"

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, commit, seed, machine, wall time, table hashes, what failed."""
        return dict(json.loads((self.directory / PROVENANCE).read_text(encoding="utf-8")))

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Evaluations that failed: point, its parameters, replication and the reason."""
        return list(self.provenance["failures"])

    @property
    def imprecise(self) -> list[dict[str, Any]]:
        """Points whose `until` was not reached: `point`, and `sim.estimates.Precision`."""
        found = self.provenance["precision"]
        return [{"point": number, **one} for number, one in enumerate(found) if one and not one["reached"]]

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before all was evaluated."""
        return bool(self.provenance["interrupted"])

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row a point: its number and parameters."""
        return self._frame(POINTS)

    @cached_property
    def results(self) -> pd.DataFrame:
        """A row a point and replication: parameters, seed, every metric, and the two parts of ratios."""
        return self._frame(RESULTS)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row a point and metric: its mean or ratio, the ends of its 95 % interval, and replications it is from."""
        return self._frame(SUMMARY)

    @cached_property
    def series(self) -> pd.DataFrame:
        """A row a sampling instant of each metric that `output.series` names: point, replication, metric, time_s, value.

        Raises:
            BadInput: no metric was named.
        """
        if not (self.directory / SERIES).is_file():
            raise BadInput(
                f"{self.directory}: holds no {SERIES}; name metrics in the scenario's `output.series`"
            )
        return self._frame(SERIES)

    def metric(self, name: str) -> pd.DataFrame:
        """One metric of the summary, a row a point.

        Raises:
            BadInput: there is no such metric; the message names the nearest.
        """
        check_metrics([name])
        found = self.summary[self.summary["metric"] == name]
        return found.reset_index(drop=True)

    def _frame(self, name: str) -> pd.DataFrame:
        frame: pd.DataFrame = read(self.directory / name).to_pandas()
        return frame


def check_metrics(names: list[str]) -> None:
    """Refuse a name that no metric has.

    Raises:
        BadInput: with the nearest name.
    """
    known = [metric.name for metric in METRICS]
    for name in names:
        if name not in known:
            raise BadInput(f"{name}: no metric of this name; {hint(name, known)}")
