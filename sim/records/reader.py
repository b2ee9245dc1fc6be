"""A run's tables as Arrow: what the summary and the report read. People load data frames: `sim.results`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sim.records.schema import TABLES
from sim.records.writer import schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class RunTables:
    """The tables under a run's directory; a table without rows is an empty one with its columns.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "tables"
        self._read: dict[tuple[str, int | None], Rows] = {}

    @property
    def replications(self) -> list[int]:
        """The replications of which anything was written, ascending."""
        return sorted({int(path.name.split("-")[0]) for path in self._folder.glob("*/*.parquet")})

    def rows(self, table: str, replication: int | None = None) -> Rows:
        """The rows of one table, of one replication or (None) of all, in order."""
        key = (table, replication)
        if key not in self._read:
            self._read[key] = Rows(self.arrow(table, replication))
        return self._read[key]

    def arrow(self, table: str, replication: int | None = None) -> pa.Table:
        """The same as an Arrow table.

        Raises:
            KeyError: no table has this name.
        """
        schema = schema_of(TABLES[table])
        which = "*" if replication is None else f"{replication:04d}"
        parts = sorted((self._folder / table).glob(f"{which}-*.parquet"))
        if not parts:
            return schema.empty_table()
        return pa.concat_tables([pq.ParquetFile(part).read() for part in parts]).unify_dictionaries()


class Rows:
    """Columns of a table as numpy arrays and exact sums.

    Args:
        table: the table.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def where(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Rows:
        """Only the rows where `mask` is true."""
        return Rows(self.table.filter(pa.array(mask)))

    def total(self, column: str) -> int:
        """Exact sum of an integer or money column; nulls count nothing."""
        value = pc.sum(self.table[column]).as_py()
        return int(value) if value is not None else 0

    def floats(self, column: str) -> Floats:
        """A numeric column as floats, NaN where null. Money loses digits here: for drawing and shares only."""
        values = self.table[column].cast(pa.float64()).fill_null(float("nan"))
        return np.asarray(values.to_numpy(), dtype=np.float64)

    def ints(self, column: str) -> Ints:
        """An int64 column that has no nulls."""
        return np.asarray(self.table[column].to_numpy(), dtype=np.int64)

    def elapsed_ns(self, column: str, since_ns: int | Ints) -> Floats:
        """Instants less others, NaN where null: subtracted as integers, for an instant does not fit a float."""
        values = self.table[column]
        elapsed = np.asarray(values.fill_null(0).to_numpy(), dtype=np.int64) - since_ns
        return np.where(self.present(column), elapsed.astype(np.float64), np.nan)

    def present(self, column: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where a column is not null."""
        return np.asarray(self.table[column].is_valid().to_numpy(), dtype=np.bool_)

    def codes(self, column: str) -> tuple[Ints, list[str]]:
        """A name column as codes into a list of names; -1 where null."""
        values = self.table[column].combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0) if values.num_chunks else pa.array([], values.type)
        codes = np.asarray(values.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
        return codes, [str(name) for name in values.dictionary.to_pylist()]

    def is_name(self, column: str, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where a name column is one of `names`."""
        codes, known = self.codes(column)
        return np.isin(codes, [number for number, name in enumerate(known) if name in names])

    def sum_by(self, by: str, column: str) -> dict[str, int]:
        """Exact sums of an integer or money column for each name, names ascending."""
        sums = (
            pa.table({by: self.table[by].cast(pa.string()), column: self.table[column]})
            .group_by(by)
            .aggregate([(column, "sum")])
        )
        pairs = zip(sums[by].to_pylist(), sums[f"{column}_sum"].to_pylist(), strict=True)
        return {name: int(value or 0) for name, value in sorted(pairs, key=lambda pair: pair[0] or "")}
