"""The Azure Functions trace of 2019: invocations a minute, run times and memory of many functions.

Three CSV files in one folder, described by the trace's authors (Shahrad et al., "Serverless in the
Wild", USENIX ATC 2020):

- `invocations.csv`: one row a function (`HashOwner`, `HashApp`, `HashFunction`, `Trigger`), then one
  column a minute, named by the minute of the day. The columns need not start at the day's first minute.
- `durations.csv`: per function `Average` and the percentiles 0, 1, 25, 50, 75, 99, 100 of run time [ms].
- `memory.csv`: per application the percentiles of allocated memory [MB].

The files order their columns differently; they are joined by the hash columns, by name.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from protocol.quantities import show
from protocol.scaling.layout import TIME_CEILING_NS
from protocol.units import NS_PER_S
from sim.laws import Constant, Empirical, Law
from sim.scenario.problems import Problem, ScenarioErrors, shown

INVOCATIONS: Final = "invocations.csv"
DURATIONS: Final = "durations.csv"
MEMORY: Final = "memory.csv"
LEAST_RATE: Final = 1e-9
MOST_RATE: Final = 1e9
"""What one token may be worth in the numéraire, in a file."""

FUNCTION: Final = ("HashOwner", "HashApp", "HashFunction")
APP: Final = ("HashOwner", "HashApp")
PERCENTILES: Final = (0, 1, 25, 50, 75, 99, 100)
MEMORY_COLUMN: Final = "AverageAllocatedMb_pct100"
"""A reservation has to hold the most that an application used."""
BYTES_PER_MB: Final = 1_000_000
DEFAULT_MEMORY_BYTES: Final = 170 * BYTES_PER_MB
"""Memory of a function whose application has no row in `memory.csv`: half the applications of the whole trace
allocate at most 170 MB (Shahrad et al. 2020, section 3.5)."""
MS_PER_S: Final = 1_000.0
MOST_S: Final = TIME_CEILING_NS / NS_PER_S
MOST_MS: Final = MOST_S * MS_PER_S
"""100 years: what the int64 nanoseconds of the data plane hold, as for every duration of a scenario."""
MOST_MB: Final = 2**50 / BYTES_PER_MB
"""1 Pi, as for the memory of a node."""
DIGITS: Final = re.compile(r"[0-9]{1,12}")
"""A count: no more requests than 10^12 can be run."""
COUNTS: Final = re.compile(r"[0-9]{1,12}(,[0-9]{1,12})*+")
"""Counts with commas between them: a row of minutes is matched at once."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a trace.

    Attributes:
        key: its hashes: owner, application, function.
        counts: invocations in each minute.
        average_ms: mean run time [ms].
        percentiles_ms: run times at `PERCENTILES` [ms]; empty when `durations.csv` has no row for it.
        memory_bytes: what a replica has to reserve [bytes].
    """

    key: tuple[str, str, str]
    counts: tuple[int, ...]
    average_ms: float
    percentiles_ms: tuple[float, ...]
    memory_bytes: int

    def service(self) -> Law:
        """Its run times: the percentiles joined by straight lines, scaled so that the mean is its `Average`."""
        points = tuple(
            (p / 100, ms / MS_PER_S) for p, ms in zip(PERCENTILES, self.percentiles_ms, strict=True)
        )
        shape = Empirical(points)
        mean_s = self.average_ms / MS_PER_S
        return shape.scaled(mean_s) if shape.mean > 0 and mean_s > 0 else Constant(mean_s)


@dataclass(frozen=True, slots=True)
class TraceFiles:
    """A trace.

    Attributes:
        folder: where it was read from.
        first_minute: minute of the day of the first column.
        functions: in the order of `invocations.csv`.
    """

    folder: Path
    first_minute: int
    functions: tuple[Function, ...]

    @property
    def minutes(self) -> int:
        """Columns of counts."""
        return len(self.functions[0].counts) if self.functions else 0


def read_trace(folder: Path) -> TraceFiles:
    """The trace in a folder; kept in memory, as several groups may use it.

    Raises:
        ScenarioErrors: files, columns or values are missing or wrong; each with file and line.
    """
    missing = [name for name in (INVOCATIONS, DURATIONS, MEMORY) if not (folder / name).is_file()]
    if not folder.is_dir():
        raise ScenarioErrors(
            [Problem(shown(folder), None, "", "there is no such folder (a trace is a folder of three files)")]
        )
    if missing:
        raise ScenarioErrors(
            [Problem(shown(folder / name), None, "", "there is no such file") for name in missing]
        )
    stamps = tuple((folder / name).stat().st_mtime_ns for name in (INVOCATIONS, DURATIONS, MEMORY))
    return _read(folder, stamps)


class _Table:
    """One CSV file, row by row, with its problems."""

    def __init__(self, path: Path, needed: tuple[str, ...], problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        try:
            with path.open(
                newline="", encoding="utf-8-sig"
            ) as file:  # spreadsheets begin with a byte order mark
                reader = csv.reader(file)
                rows = [(reader.line_num, row) for row in reader if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            said = "the file is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            said = error.strerror or said if isinstance(error, OSError) else said
            problems.append(Problem(shown(path), None, "", f"cannot be read: {said}"))
            self.columns, self.rows, self.at = list[str](), list[tuple[int, list[str]]](), dict[str, int]()
            return
        self.columns = rows[0][1] if rows else []
        self.rows = rows[1:]
        absent = [name for name in needed if name not in self.columns]
        again = [name for name in needed if self.columns.count(name) > 1]
        if again:
            self.bad(1, f"the column {again[0]} is there {self.columns.count(again[0])} times")
            self.rows = []
        if absent:
            self.bad(
                1,
                f"the column{'s' if len(absent) > 1 else ''} {', '.join(absent)} {'are' if len(absent) > 1 else 'is'} missing",
            )
            self.rows = []
        self.at = {name: i for i, name in enumerate(self.columns)}

    def bad(self, line: int, text: str) -> None:
        self.problems.append(Problem(shown(self.path), line, "", text))

    def whole_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of every row that has as many cells as the header."""
        for line, row in self.rows:
            if len(row) != len(self.columns):
                self.bad(line, f"{len(row)} columns found, {len(self.columns)} expected")
            else:
                yield line, row

    def number(self, line: int, row: list[str], name: str, most: float) -> float:
        text = row[self.at[name]]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            self.bad(line, f"column {name}: {show(text)} is not a number, 0 or more")
            return 0.0
        if value > most:
            self.bad(line, f"column {name}: {show(text)} is more than {most:g}, the most allowed")
            return 0.0
        return value


@lru_cache(maxsize=8)
def _read(folder: Path, stamps: tuple[int, ...]) -> TraceFiles:
    problems: list[Problem] = []
    calls = _Table(folder / INVOCATIONS, FUNCTION, problems)
    times = _Table(
        folder / DURATIONS,
        (*FUNCTION, "Average", *(f"percentile_Average_{p}" for p in PERCENTILES)),
        problems,
    )
    sizes = _Table(folder / MEMORY, (*APP, MEMORY_COLUMN), problems)
    durations = _durations(times)
    memory = _memory(sizes)
    minutes = [name for name in calls.columns if DIGITS.fullmatch(name)]
    if calls.columns and not calls.rows and not problems:
        calls.bad(1, "the file has no functions")
    if calls.columns and not minutes:
        calls.bad(1, "no column is named by a minute of the day")
    elif [int(name) for name in minutes] != list(
        range(int(minutes[0]) if minutes else 0, int(minutes[0] if minutes else 0) + len(minutes))
    ):
        calls.bad(1, "the columns of minutes must follow each other without a gap")
    functions: list[Function] = []
    for line, row in calls.whole_rows():
        counts = _counts(calls, line, row, minutes)
        key = (row[calls.at["HashOwner"]], row[calls.at["HashApp"]], row[calls.at["HashFunction"]])
        if key not in durations:
            if times.rows:
                calls.bad(line, f"function {key[2][:12]}... has no row in {DURATIONS}")
            continue
        average_ms, percentiles = durations[key]
        functions.append(
            Function(key, counts, average_ms, percentiles, memory.get(key[:2], DEFAULT_MEMORY_BYTES))
        )
    if problems:
        raise ScenarioErrors(problems)
    return TraceFiles(folder, int(minutes[0]), tuple(functions))


def _counts(table: _Table, line: int, row: list[str], minutes: list[str]) -> tuple[int, ...]:
    texts = [row[table.at[name]] for name in minutes]
    row_text = ",".join(texts)
    if texts and not (COUNTS.fullmatch(row_text) and row_text.count(",") == len(texts) - 1):
        name, text = next((n, t) for n, t in zip(minutes, texts, strict=True) if not DIGITS.fullmatch(t))
        table.bad(line, f"column {name}: {show(text)} is not a count, 0 or more, of at most 12 digits")
        return ()
    return tuple(map(int, texts))


def _durations(table: _Table) -> dict[tuple[str, str, str], tuple[float, tuple[float, ...]]]:
    found = {}
    for line, row in table.whole_rows():
        percentiles = tuple(table.number(line, row, f"percentile_Average_{p}", MOST_MS) for p in PERCENTILES)
        if any(a > b for a, b in pairwise(percentiles)):
            table.bad(
                line, f"the percentiles {', '.join(f'{v:g}' for v in percentiles)} fall; they must rise"
            )
        key = (row[table.at["HashOwner"]], row[table.at["HashApp"]], row[table.at["HashFunction"]])
        if key in found:
            table.bad(line, f"function {key[2][:12]}... has a row before this one")
        found[key] = (table.number(line, row, "Average", MOST_MS), percentiles)
    return found


def _memory(table: _Table) -> dict[tuple[str, str], int]:
    found = {}
    for line, row in table.whole_rows():
        key = (row[table.at["HashOwner"]], row[table.at["HashApp"]])
        found[key] = math.ceil(table.number(line, row, MEMORY_COLUMN, MOST_MB) * BYTES_PER_MB)
    return found


def read_seconds(path: Path) -> tuple[float, ...]:
    """The column `seconds` of a CSV file: measured durations, or instants from the start of a run.

    Raises:
        ScenarioErrors: the file, the column or a value is missing or wrong.
    """
    if not path.is_file():
        what = "this is a folder, not a file" if path.is_dir() else "there is no such file"
        raise ScenarioErrors([Problem(shown(path), None, "", what)])
    problems: list[Problem] = []
    table = _Table(path, ("seconds",), problems)
    values = tuple(table.number(line, row, "seconds", MOST_S) for line, row in table.whole_rows())
    if not problems and not values:
        table.bad(1, "the file has no values")
    if problems:
        raise ScenarioErrors(problems)
    return values


def read_rates(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The columns `seconds` and `rate` of a CSV file: when an exchange rate changes, and to what.

    Raises:
        ScenarioErrors: the file, a column or a value is missing or wrong.
    """
    if not path.is_file():
        what = "this is a folder, not a file" if path.is_dir() else "there is no such file"
        raise ScenarioErrors([Problem(shown(path), None, "", what)])
    problems: list[Problem] = []
    table = _Table(path, ("seconds", "rate"), problems)
    found: list[tuple[float, float]] = []
    for line, row in table.whole_rows():
        at_s, rate = table.number(line, row, "seconds", MOST_S), table.number(line, row, "rate", MOST_RATE)
        if problems:
            continue
        if found and at_s <= found[-1][0]:
            table.bad(line, f"column seconds: {at_s:g} is not after the row before, {found[-1][0]:g}")
        elif not found and at_s:
            table.bad(line, f"column seconds: the first is {at_s:g}; it has to be 0, the start of the run")
        elif rate < LEAST_RATE:
            table.bad(line, f"column rate: {rate:g} is less than {LEAST_RATE:g}, the least allowed")
        found.append((at_s, rate))
    if not problems and not found:
        table.bad(1, "the file has no values")
    if problems:
        raise ScenarioErrors(problems)
    return tuple(at_s for at_s, _ in found), tuple(rate for _, rate in found)


def empirical(path: Path) -> Law:
    """The law of measured durations: straight lines between the sorted values.

    Raises:
        ScenarioErrors: as `read_seconds`.
    """
    values = sorted(read_seconds(path))
    if len(values) == 1:
        return Constant(values[0])
    last = len(values) - 1
    return Empirical(tuple((i / last, value) for i, value in enumerate(values)))
