"""`replay`: a finished run once more, from its own scenario: the same bytes, or the first row that is not the same.

The seed and the scenario decide a run, so every table has to come out byte for byte. Where one does not, the first
event that differs and what led to it say where the two worlds parted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from sim.experiments.changes import Change, same_is_unknown, version_changes
from sim.records.directory import SCENARIO, table_hashes, versions
from sim.records.reader import RunTables
from sim.records.schema import TABLES
from sim.results import Results, load
from sim.runner import InvariantBroken, run

if TYPE_CHECKING:
    from sim.replications import Progress

Row = dict[str, Any]
BLOCK: Final = 10_000
"""Rows that are compared at once."""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """The first row in which a table differs.

    Attributes:
        table: the table.
        replication: of which replication.
        number: the row's place among those of the replication, from 0, in the table's order.
        recorded: the row as the run has it; None when it has fewer.
        again: as it came out now; None likewise.
        columns: names of those that differ; all when there is only one row.
    """

    table: str
    replication: int
    number: int
    recorded: Row | None
    again: Row | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of running a run again.

    Attributes:
        directory: the run.
        versions: where the code and libraries of then (a) and of now (b) differ.
        altered: tables that are not as the run left them: their bytes were changed since.
        tables: tables that came out otherwise than they are recorded, in the schema's order.
        first: the first differing row of the first of them in which a row differs; None when only bytes do.
        event: the first differing event; None when the events are the same.
        cause: from a beginning to that event, each row the cause of the next; of the recorded run.
        cause_again: the same of the run of now.
    """

    directory: Path
    versions: tuple[Change, ...]
    altered: tuple[str, ...]
    tables: tuple[str, ...]
    first: RowDifference | None
    event: RowDifference | None
    cause: tuple[Row, ...]
    cause_again: tuple[Row, ...]

    @property
    def same(self) -> bool:
        """Whether every table came out byte for byte."""
        return not self.tables


def replay(
    directory: str | Path,
    *,
    workers: int = 1,
    threads: int | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Replay:
    """Run a finished run again, into a directory that is removed afterwards, and compare the tables.

    Args:
        directory: the run's directory; nothing in it is changed.
        workers: see `sim.run`.
        threads: see `sim.run`.
        progress: see `sim.run`.
        notice: told, in words, of versions that differ and of tables that were changed, before anything runs; and what
            `sim.run` tells.

    Raises:
        BadInput: it is not a whole run, or its scenario cannot be run any more (a trace is gone).
        KeyboardInterrupt: it was interrupted before the end; nothing is left.
    """
    recorded = load(directory)
    origin, here = recorded.provenance, versions()
    if origin["interrupted"]:
        raise BadInput(
            f"{recorded.directory}: was interrupted when {origin['complete_share']:.1%} of its time was reached, at an "
            "instant that no seed repeats; only whole runs can be replayed"
        )
    changed = tuple(version_changes(origin, here))
    hashes = table_hashes(recorded.directory)
    altered = _differing(origin["tables"], hashes)
    for words in _warnings(changed, altered, unknown=same_is_unknown(origin, here)):
        if notice is not None:
            notice(words)
    with tempfile.TemporaryDirectory(prefix="trustedpods-replay-") as folder:
        again = _run_again(recorded, Path(folder) / "run", workers, threads, progress, notice)
        differing = _differing(hashes, table_hashes(again))
        pair = RunTables(recorded.directory), RunTables(again)
        rows = (first_difference(*pair, table) for table in differing if table in TABLES)
        first = next((row for row in rows if row is not None), None)
        event = first_difference(*pair, "events") if "events" in differing else None
        return Replay(
            directory=recorded.directory,
            versions=changed,
            altered=altered,
            tables=differing,
            first=first,
            event=event,
            cause=_cause(pair[0], event.replication, event.recorded) if event else (),
            cause_again=_cause(pair[1], event.replication, event.again) if event else (),
        )


def first_difference(recorded: RunTables, again: RunTables, table: str) -> RowDifference | None:
    """The first row in which two runs' tables differ; None when all rows are equal.

    Args:
        recorded: the tables of one run.
        again: of the other.
        table: the table's name.
    """
    for replication in sorted({*recorded.replications, *again.replications}):
        ours, theirs = (tables.arrow(table, replication) for tables in (recorded, again))
        for start in range(0, max(ours.num_rows, theirs.num_rows), BLOCK):
            block, other = (rows.slice(start, BLOCK).to_pylist() for rows in (ours, theirs))
            for place in range(max(len(block), len(other))):
                row = block[place] if place < len(block) else None
                row_again = other[place] if place < len(other) else None
                if columns := _differing_columns(row, row_again):
                    return RowDifference(table, replication, start + place, row, row_again, columns)
    return None


def _run_again(
    recorded: Results,
    out: Path,
    workers: int,
    threads: int | None,
    progress: Progress | None,
    notice: Callable[[str], None] | None,
) -> Path:
    path = recorded.directory / SCENARIO
    try:
        results = run(path, workers=workers, threads=threads, out=out, progress=progress, notice=notice)
    except InvariantBroken as bug:  # it is a run like any other, and perhaps the one that is looked for
        results = bug.results
    if results.provenance["interrupted"]:
        raise KeyboardInterrupt
    return results.directory


def _warnings(changed: tuple[Change, ...], altered: tuple[str, ...], *, unknown: bool) -> list[str]:
    words = []
    if changed:
        words.append(
            "this run was made by other versions (then against now): " + "; ".join(map(str, changed))
        )
    if unknown:
        words.append(
            "then as now the code had changes that no commit holds: whether it is the same is not known"
        )
    if altered:
        words.append(f"tables that are not as the run left them (changed since): {', '.join(altered)}")
    return words


def _differing(hashes: dict[str, str], others: dict[str, str]) -> tuple[str, ...]:
    known = (*TABLES, *sorted({*hashes, *others} - set(TABLES)))
    return tuple(name for name in known if hashes.get(name) != others.get(name))


def _differing_columns(row: Row | None, other: Row | None) -> tuple[str, ...]:
    """By how they are written: a float that is not a number equals itself so, and zero is not minus zero."""
    if row is None or other is None:
        return tuple(row or other or ())
    if repr(row) == repr(other):
        return ()
    return tuple(
        name
        for name in dict.fromkeys((*row, *other))  # another version may have had another column
        if name not in row or name not in other or repr(row[name]) != repr(other[name])
    )


def _cause(tables: RunTables, replication: int, event: Row | None) -> tuple[Row, ...]:
    """An event and what led to it, the beginning first; nothing of no event."""
    rows = tables.rows("events", replication)
    places = {number: place for place, number in enumerate(rows.ints("event_id").tolist())}
    chain: list[Row] = []
    while event is not None and event not in chain:  # a table that somebody changed can go round in circles
        chain.append(event)
        place = places.get(event["cause_id"])
        event = None if place is None else rows.table.slice(place, 1).to_pylist()[0]
    return tuple(reversed(chain))
