"""A finished run in Python: `load(directory)` gives its tables as data frames, its summary and its origin."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from protocol.errors import BadInput
from sim.records.directory import LATEST, PROVENANCE, RUNS, SCENARIO, SUMMARY
from sim.records.reader import RunTables
from sim.records.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd


def load(directory: Path | str = RUNS / LATEST) -> Results:
    """Load a run.

    Args:
        directory: the run's directory; the last run when left out.

    Raises:
        BadInput: it is not a run's directory; the message names runs that are near.
    """
    path = Path(directory)
    if not (path / PROVENANCE).is_file():
        raise BadInput(f"{path}: {_why_not(path)}{_near(path)}")
    return Results(path)


class Results:
    """One run: what was asked, what came out, and where it came from.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tables = Tables(directory)

    def __repr__(self) -> str:
        origin = self.provenance
        return (
            f"Results({str(self.directory)!r}: {origin['scenario']}, seed {origin['seed']}, "
            f"{origin['replications']} replication(s))"
        )

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The scenario as it ran, every default filled in."""
        return dict(yaml.safe_load((self.directory / SCENARIO).read_text(encoding="utf-8")) or {})

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, commit, seed, machine, wall time, table hashes, how far it came."""
        return dict(json.loads((self.directory / PROVENANCE).read_text(encoding="utf-8")))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds.

        Raises:
            BadInput: the run was stopped before it had one.
        """
        path = self.directory / SUMMARY
        if not path.is_file():
            raise BadInput(f"{path}: is not there; this run was stopped before its summary was written")
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def metric(self, name: str) -> dict[str, Any]:
        """One metric of the summary: its mean, interval, unit and the value of each replication.

        Raises:
            BadInput: there is no such metric; the message names the nearest.
        """
        metrics: dict[str, dict[str, Any]] = self.summary["metrics"]
        if name not in metrics:
            raise BadInput(f"{name}: no metric of this name{_nearest(name, list(metrics))}")
        return metrics[name]

    def tokens(self, amounts: pd.Series[Any]) -> pd.Series[Any]:
        """Money in base units as floats in tokens: for drawing and averaging, not for adding up exactly.

        Args:
            amounts: a money column of any table; null stays NaN.
        """
        import pandas as pd

        unit = 10 ** int(self.provenance["decimals"])
        values = [float("nan") if pd.isna(amount) else int(amount) / unit for amount in amounts]
        return pd.Series(values, index=amounts.index, name=amounts.name, dtype="float64")

    def when(self, instants: pd.Series[Any]) -> pd.Series[Any]:
        """Instants (Unix ns) as hours since the run's start, for drawing; null stays NaN."""
        import pandas as pd

        start_ns = int(self.provenance["start_ns"])
        values = [
            float("nan") if pd.isna(instant) else (int(instant) - start_ns) / 3.6e12 for instant in instants
        ]
        return pd.Series(values, index=instants.index, name=instants.name, dtype="float64")


class Tables(Mapping[str, "pd.DataFrame"]):
    """The tables by name, each read when it is first asked for.

    Money is Python integers, names are categories, integers that may be null are pandas' nullable integers.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._tables = RunTables(directory)
        self._frames: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """One table as a data frame.

        Raises:
            BadInput: there is no such table; the message names the nearest.
        """
        if name not in TABLES:
            raise BadInput(f"{name}: no table of this name{_nearest(name, list(TABLES))}")
        if name not in self._frames:
            self._frames[name] = self._frame(name)
        return self._frames[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        table = self._tables.arrow(name)
        nullable = {"int64": pd.Int64Dtype(), "int32": pd.Int32Dtype()}
        columns: dict[str, Any] = {"replication": table["replication"].to_pandas()}
        for column in TABLES[name].columns:
            values = table[column.name]
            if column.store == "decimal":
                amounts = [None if amount is None else int(amount) for amount in values.to_pylist()]
                columns[column.name] = pd.Series(amounts, dtype=object)
            elif column.nullable and column.store in nullable:
                mask = values.is_null().to_numpy()
                numbers = values.fill_null(0).to_numpy()
                columns[column.name] = pd.Series(numbers, dtype=nullable[column.store]).mask(pd.Series(mask))
            else:
                columns[column.name] = values.to_pandas()
        return pd.DataFrame(columns)


def _why_not(path: Path) -> str:
    if not path.exists():
        return "there is no such directory"
    if not path.is_dir():
        return "is a file, not a run's directory"
    if (path / SCENARIO).is_file():
        return f"this run was killed before it wrote {PROVENANCE}; its tables are what was written until then"
    return f"is not a run's directory: it holds no {PROVENANCE}"


def _near(path: Path) -> str:
    """Runs below the path, or under `runs/` with a like name; the newest first."""
    patterns = [f"{'*/' * depth}{PROVENANCE}" for depth in (1, 2, 3)]  # no deeper: the path may be `/`
    found_below = [found for pattern in patterns for found in path.glob(pattern)]
    below = sorted(found_below, key=lambda found: found.stat().st_mtime, reverse=True)
    if not below:
        known = {str(found.parent): found for found in RUNS.glob(f"*/*/{PROVENANCE}")}
        close = difflib.get_close_matches(str(path), known, n=3, cutoff=0.3)
        newest = sorted(known.values(), key=lambda found: found.stat().st_mtime, reverse=True)
        below = [known[name] for name in close] or newest
    names = ", ".join(str(found.parent) for found in below[:3])
    return f"; runs near it: {names}" if names else "; `trustedpods run SCENARIO` makes one under runs/"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
