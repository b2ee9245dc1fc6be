"""Rows to Parquet while a run goes on: bounded memory, and the same rows give the same bytes.

A row is held back for one virtual hour, because what is learnt late (a block, a request that ends) may
still belong before it. Then whole hours are sorted and written, each part a file of one row group:
`tables/<table>/<replication>-<part>.parquet`. Parts end where the data say (at an hour, with enough
rows), never where `flush` happened to be called, and every file is complete from the moment it has its
name. So an interrupted run that still closes its writer keeps everything; one that is killed outright
keeps all parts written, and loses the last two virtual hours, parts too small to be written yet, and the
tables that are written at the end.
Each replication has a writer and files of its own, so the number of workers changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.records.schema import TABLES, Column, Table

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HOUR_NS: Final = 3_600 * 10**9
PART_ROWS: Final = 20_000
"""A part has at least this many rows, but for the last: few enough to hold, enough to compress well."""

HELD_AS_TUPLES: Final = 50_000
"""Rows that come many at a time are put into columns, a fifth of the memory, when so many have come."""

Row = tuple[Any, ...] | Mapping[str, Any]


def forget(directory: Path, replication: int) -> None:
    """Remove the tables of one replication, whose writer is closed.

    Args:
        directory: the run's directory.
        replication: its number.
    """
    for part in (directory / "tables").glob(f"*/{replication:04d}-*.parquet"):
        part.unlink()
        if not any(part.parent.iterdir()):
            part.parent.rmdir()


class RunWriter:
    """Writes the tables of one replication.

    Rows may come in any order within the hour that they are held back. Close it in a `finally` (or use it
    as a context manager): only then do the last two hours, and the tables of the end, reach the disk.

    Args:
        directory: the run's directory; `tables/` in it is made as needed.
        replication: its number, from 0.
        part_rows: least number of rows in a part.
    """

    def __init__(self, directory: Path, *, replication: int = 0, part_rows: int = PART_ROWS) -> None:
        self._folder = directory / "tables"
        self._tables = {
            name: _TableWriter(table, self._folder, replication, part_rows) for name, table in TABLES.items()
        }
        self._closed = False

    def append(self, table: str, row: Row) -> None:
        """Add a row.

        Args:
            table: a table of `schema.TABLES`.
            row: a row of the table's type, a plain tuple in its order, or a mapping by column (what is left
                out takes the row type's default).

        Raises:
            KeyError: there is no such table.
            TypeError: a mapping misses a column or has one too many.
        """
        writer = self._tables[table]
        if not isinstance(row, tuple):
            row = writer.table.row(**row)
        writer.rows.append(row)

    def extend(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows, tuples in the table's order."""
        writer = self._tables[table]
        writer.rows.extend(rows)
        if len(writer.rows) > HELD_AS_TUPLES:
            writer.take_rows()

    def append_array(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add many rows at once, a column each.

        Args:
            table: a table of `schema.TABLES`.
            columns: every column of the table but `replication`: a numpy array (masked where null), an Arrow
                array (a `pa.DictionaryArray` for names), a list, or a single text for a name that is the same
                in all rows; for money also numbers of 128 bits (uint64 [rows, 2], see `sim.kernel.wide`).

        Raises:
            ValueError: a column is missing, unknown, of another length or of a wrong type.
        """
        self._tables[table].add_columns(columns)

    def flush(self, upto_ns: int) -> None:
        """Write what is due: the world has come to `upto_ns`, and no row older by an hour will be added.

        Args:
            upto_ns: the virtual instant that every party has reached (Unix ns).

        Raises:
            ValueError: a row came too late: the hour it belongs to is written.
        """
        horizon_ns = (upto_ns - HOUR_NS) // HOUR_NS * HOUR_NS
        for writer in self._tables.values():
            writer.flush(horizon_ns)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table has had so far, written or held."""
        return {name: writer.total for name, writer in self._tables.items()}

    def close(self) -> None:
        """Write everything that is held. A second call does nothing.

        Raises:
            ValueError: some rows were wrong or came too late; everything else is written first.
        """
        if self._closed:
            return
        self._closed = True
        wrong: list[ValueError] = []
        for writer in self._tables.values():
            try:
                writer.close()
            except ValueError as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _TableWriter:
    """One table of one replication: `rows` as they come, then Arrow chunks, then sorted hours, then parts."""

    def __init__(self, table: Table, folder: Path, replication: int, part_rows: int) -> None:
        self.table = table
        self.rows: list[tuple[Any, ...]] = []
        self._folder = folder / table.name
        self._replication = replication
        self._part_rows = part_rows
        self._flat = pa.schema([pa.field(column.name, _arrow(column, flat=True)) for column in table.columns])
        self._chunks: list[pa.Table] = []  # as they came, names as plain text so that they sort as text
        self._ready = self._flat.empty_table()  # sorted, of hours that are over
        self._horizon_ns = -(2**63)
        self._parts = 0
        self._taken = 0

    @property
    def total(self) -> int:
        return self._taken + len(self.rows)

    def add_columns(self, columns: Mapping[str, Any]) -> None:
        self.take_rows()
        wanted = self._flat.names
        if set(columns) != set(wanted):
            missing, extra = sorted(set(wanted) - set(columns)), sorted(set(columns) - set(wanted))
            raise ValueError(f"{self.table.name}: columns missing {missing}, unknown {extra}")
        length = next((len(values) for values in columns.values() if not isinstance(values, str)), 1)
        arrays = [_array(self.table, column, columns[column.name], length) for column in self.table.columns]
        self._keep(arrays)

    def flush(self, horizon_ns: int) -> None:
        clock = self.table.clock
        if clock is None or horizon_ns <= self._horizon_ns:
            return
        self.take_rows()
        if self._chunks:
            held = pa.concat_tables(self._chunks)
            instants = _instants(held[clock])
            self._check_not_late(int(instants.min()))
            due = instants < horizon_ns
            self._chunks = [held.filter(pa.array(~due))] if not due.all() else []
            if due.any():
                self._ready = pa.concat_tables([self._ready, self._sorted(held.filter(pa.array(due)))])
                self._write_full_parts()
        self._horizon_ns = horizon_ns

    def close(self) -> None:
        self.take_rows()
        held = pa.concat_tables(self._chunks) if self._chunks else None
        if held is not None:
            self._chunks = []
            self._ready = pa.concat_tables([self._ready, self._sorted(held)])
        if self.table.clock is not None:
            self._write_full_parts()
        if self._ready.num_rows:
            self._write(self._ready)
            self._ready = self._flat.empty_table()
        if held is not None and self.table.clock is not None:
            self._check_not_late(int(_instants(held[self.table.clock]).min()))

    def _check_not_late(self, first_ns: int) -> None:
        if first_ns < self._horizon_ns:
            raise ValueError(
                f"{self.table.name}: a row of {first_ns} ns came after everything before {self._horizon_ns} ns was written"
            )

    def take_rows(self) -> None:
        if not self.rows:
            return
        rows, width = self.rows, len(self._flat.names)
        self.rows = []
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:
            columns = []
        if len(columns) != width:
            wrong = next((row for row in rows if len(row) != width), rows[0])
            raise ValueError(f"{self.table.name}: a row has {len(wrong)} values, not {width}: {wrong!r}")
        self._keep(
            [
                _array(self.table, column, values, len(rows))
                for column, values in zip(self.table.columns, columns, strict=True)
            ]
        )

    def _keep(self, arrays: list[pa.Array]) -> None:
        chunk = pa.table(arrays, schema=self._flat)
        self._taken += chunk.num_rows
        self._chunks.append(chunk)

    def _sorted(self, rows: pa.Table) -> pa.Table:
        if not self.table.order:
            return rows
        # Arrow's sort is stable and puts nulls last: ties keep the order in which they were appended.
        return rows.sort_by([(name, "ascending") for name in self.table.order])

    def _write_full_parts(self) -> None:
        """Write parts that end at the first hour's end with enough rows: a choice that only the rows decide."""
        assert self.table.clock is not None
        instants = _instants(self._ready[self.table.clock])
        known = int(
            np.searchsorted(instants, np.iinfo(np.int64).max)
        )  # rows with no instant wait for the end
        ends = np.flatnonzero(np.diff(instants[:known] // HOUR_NS)) + 1
        start = 0
        for end in [*ends.tolist(), known]:
            if end - start >= self._part_rows:
                self._write(self._ready.slice(start, end - start))
                start = end
        if start:
            self._ready = self._ready.slice(start).combine_chunks()

    def _write(self, rows: pa.Table) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = pa.array(np.full(rows.num_rows, self._replication, np.int32))
        rows = rows.combine_chunks()
        arrays, fields = [number], [pa.field("replication", pa.int32(), nullable=False)]
        for column in self.table.columns:
            values = rows[column.name].combine_chunks()
            arrays.append(values.dictionary_encode() if column.store == "name" else values)
            fields.append(pa.field(column.name, _arrow(column, flat=False), nullable=column.nullable))
        path = self._folder / f"{self._replication:04d}-{self._parts:04d}.parquet"
        unfinished = path.with_suffix(".partial")
        pq.write_table(
            pa.table(arrays, schema=pa.schema(fields)),
            unfinished,
            row_group_size=max(rows.num_rows, 1),
            compression="zstd",
        )
        unfinished.replace(path)
        self._parts += 1


def schema_of(table: Table) -> pa.Schema:
    """The Arrow schema of a table as it is stored, `replication` first."""
    fields = [
        pa.field(column.name, _arrow(column, flat=False), nullable=column.nullable)
        for column in table.columns
    ]
    return pa.schema([pa.field("replication", pa.int32(), nullable=False), *fields])


def _arrow(column: Column, *, flat: bool) -> pa.DataType:
    match column.store:
        case "name":
            return pa.string() if flat else pa.dictionary(pa.int32(), pa.string())
        case "text":
            return pa.string()
        case "decimal":
            return pa.decimal128(38, 0)
        case "bool":
            return pa.bool_()
        case "int32" | "int64" | "float64" as number:
            return pa.type_for_alias(number)
        case other:
            raise TypeError(f"column {column.name}: there is no way to store {other}")


def _array(table: Table, column: Column, values: Any, length: int) -> pa.Array:
    kind = _arrow(column, flat=True)
    try:
        if isinstance(values, str):
            array = pa.repeat(pa.scalar(values, kind), length)
        elif isinstance(values, np.ma.MaskedArray):
            array = pa.array(values.data, mask=np.ma.getmaskarray(values), from_pandas=False).cast(kind)
        elif isinstance(values, (pa.Array, pa.ChunkedArray)):
            array = values.cast(kind)
        elif isinstance(values, np.ndarray) and values.ndim == 2 and column.store == "decimal":
            words = np.ascontiguousarray(values, np.uint64)
            array = pa.Array.from_buffers(kind, len(words), [None, pa.py_buffer(words)])
            array.validate(full=True)  # no more digits than are stored
        elif isinstance(values, np.ndarray) and values.dtype != object:
            array = pa.array(values, from_pandas=False).cast(kind)
        else:
            array = pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as wrong:
        raise ValueError(f"{table.name}.{column.name}: {wrong}; it is stored as {kind}") from wrong
    if len(array) != length:
        raise ValueError(f"{table.name}.{column.name}: {len(array)} values, not {length}")
    if array.null_count and not column.nullable:
        raise ValueError(
            f"{table.name}.{column.name}: null in row {array.is_null().index(True).as_py()}, and it may not be"
        )
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _instants(values: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The clock of rows as int64, with the end of time where it is null."""
    return np.asarray(values.fill_null(np.iinfo(np.int64).max).to_numpy(), dtype=np.int64)
