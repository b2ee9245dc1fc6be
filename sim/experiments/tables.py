"""The tables of a sweep: its points, a row a replication, an estimate for each metric of each point, and series that were asked for.

Rows are in the order of points, replications and metrics, and hold nothing of when or where they were computed:
the same sweep gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from protocol.units import NS_PER_S
from sim.estimates import estimate, settled, single, values_of
from sim.metrics import METRICS, Value
from sim.scenario.overrides import value_text
from sim.scenario.ranges import numbers

if TYPE_CHECKING:
    from sim.experiments.designs import Point
    from sim.experiments.evaluate import Evaluation
    from sim.scenario import Scenario
    from sim.scenario.fields import Quantity
    from sim.statistics import Estimate
    from sim.warm_up import WarmUp

POINTS: Final = "points.parquet"
RESULTS: Final = "results.parquet"
SUMMARY: Final = "summary.parquet"
SERIES: Final = "series.parquet"
INT64: Final = range(-(2**63), 2**63)
OWN: Final = {"point", "replication", "seed", "metric", "unit", "kind", "mean", "low", "high", "n"} | {
    name for metric in METRICS for name in (metric.name, f"{metric.name}.above", f"{metric.name}.below")
}
"""Columns of the tables' own. A parameter of such a name is in the column `set.<name>`."""

Evaluations = Mapping[tuple[int, int], "Evaluation"]
"""What was evaluated, by point and replication."""


def write_tables(
    directory: Path,
    points: Sequence[Point],
    evaluations: Evaluations,
    kinds: Mapping[str, Quantity | None],
    token: Scenario,
    counts: Sequence[int],
) -> dict[str, str]:
    """Write the tables and return the SHA-256 of each.

    Args:
        directory: of the sweep.
        points: all of them.
        evaluations: those there are; an estimate of a point that misses one is null.
        kinds: of amount that the keys hold.
        token: any scenario of the sweep, for the symbols of its tokens.
        counts: replications of each point.
    """
    own = [
        [evaluations.get((point.number, number)) for number in range(count)]
        for point, count in zip(points, counts, strict=True)
    ]
    values = [_values(point.scenario, found) for point, found in zip(points, own, strict=True)]
    parameters = parameters_table(points, kinds)
    symbols = {
        "TOKEN": token.payment_token.symbol,
        "GAS": token.gas_token.symbol,
        "FIAT": token.numeraire.symbol,
    }
    tables = {
        POINTS: parameters,
        RESULTS: _results(points, values, parameters),
        SUMMARY: _summary(points, values, parameters, symbols),
    }
    if any(point.scenario.output.series for point in points):
        tables[SERIES] = _series(points, evaluations)
    hashes = {}
    for name, table in tables.items():
        unfinished = directory / f".{name}"
        pq.write_table(table, unfinished, compression="zstd")
        hashes[name] = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        unfinished.replace(directory / name)
    return hashes


def parameters_table(points: Sequence[Point], kinds: Mapping[str, Quantity | None]) -> pa.Table:
    """A row a point: its number, each parameter as a scenario holds it, and `<key>.number` where that is an amount in text."""
    columns: dict[str, pa.Array] = {"point": pa.array([point.number for point in points], pa.int32())}
    for name in points[0].parameters:
        values = [point.parameters[name] for point in points]
        column = f"set.{name}" if name in OWN else name
        columns[column] = _column(values)
        if pa.types.is_string(columns[column].type):
            amounts = numbers(values, kinds.get(name))
            if amounts is not None:
                columns[f"{column}.number"] = pa.array(amounts, pa.float64())
    return pa.table(columns)


def _column(values: Sequence[Any]) -> pa.Array:
    """In the narrowest type that holds all values; mappings, lists and mixtures as text on one line."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(value in INT64 for value in values):
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([float(value) for value in values], pa.float64())
    return pa.array([value if kinds == {str} else value_text(value) for value in values], pa.string())


Values = Mapping[str, list["Value"]]
"""Of a point: each metric in each of its replications, None where it has no value or is missing."""


def _values(scenario: Scenario, found: Sequence[Evaluation | None]) -> tuple[list[int], Values]:
    """Which replications of a point there are, and its metrics in all of them, with the warm-up they have together."""
    there = [one for one in found if one is not None]
    warm_up = warm_up_of(scenario, there)
    known = {metric.name: iter(values_of(metric.name, there, warm_up)) for metric in METRICS}
    numbers = [number for number, one in enumerate(found) if one is not None]
    return numbers, {
        name: [None if one is None else next(values) for one in found] for name, values in known.items()
    }


def warm_up_of(scenario: Scenario, there: Sequence[Evaluation]) -> WarmUp | None:
    """The warm-up of a point whose replications find it together; None where the scenario says it."""
    if scenario.warm_up != "auto" or not there:
        return None
    return settled(there, every_ns=scenario.output.sampling_ns)


def _results(
    points: Sequence[Point], values: Sequence[tuple[list[int], Values]], parameters: pa.Table
) -> pa.Table:
    asked = [
        (point.number, number) for point, (there, _) in zip(points, values, strict=True) for number in there
    ]
    rows = parameters.take(pa.array([point for point, _ in asked], pa.int64()))
    columns = {name: rows[name] for name in rows.column_names}
    columns["replication"] = pa.array([replication for _, replication in asked], pa.int32())
    columns["seed"] = pa.array([points[point].scenario.seed for point, _ in asked], pa.int64())
    columns["n"] = pa.array([len(values[point][0]) for point, _ in asked], pa.int32())
    for metric in METRICS:
        found = [values[point][1][metric.name][replication] for point, replication in asked]
        columns[metric.name] = pa.array([single(value) for value in found], pa.float64())
        if metric.parts:
            for part, name in enumerate(("above", "below")):
                parts = [value[part] if isinstance(value, tuple) else None for value in found]
                columns[f"{metric.name}.{name}"] = pa.array(parts, pa.float64())
    return pa.table(columns)


def _summary(
    points: Sequence[Point],
    values: Sequence[tuple[list[int], Values]],
    parameters: pa.Table,
    symbols: Mapping[str, str],
) -> pa.Table:
    rows = parameters.take(pa.array([point.number for point in points for _ in METRICS], pa.int64()))
    columns = {name: rows[name] for name in rows.column_names}
    found: list[Estimate] = []
    for point, (_, own) in zip(points, values, strict=True):
        pairs = point.scenario.antithetic
        found += [estimate(own[metric.name], antithetic=pairs) for metric in METRICS]
    count = len(points)
    columns["metric"] = pa.array([metric.name for metric in METRICS] * count, pa.string())
    columns["unit"] = pa.array(
        [symbols.get(metric.unit, metric.unit) for metric in METRICS] * count, pa.string()
    )
    columns["kind"] = pa.array([metric.kind for metric in METRICS] * count, pa.string())
    for name in ("mean", "low", "high"):
        columns[name] = pa.array([getattr(one, name) for one in found], pa.float64())
    columns["n"] = pa.array([one.n for one in found], pa.int32())
    return pa.table(columns)


def _series(points: Sequence[Point], evaluations: Evaluations) -> pa.Table:
    """A row a sampling instant of each metric in `output.series`, of each evaluation there is; null where there is nothing to divide by."""
    types = {"point": pa.int32(), "replication": pa.int32(), "metric": pa.string(), "time_s": pa.float64(), "value": pa.float64()}  # fmt: skip
    parts: dict[str, list[pa.Array]] = {name: [] for name in types}
    for (number, replication), one in sorted(evaluations.items(), key=lambda item: item[0]):
        scenario = points[number].scenario
        for metric in scenario.output.series:
            values = one.series[metric].at_instants()
            instants_ns = np.arange(len(values)) * scenario.output.sampling_ns
            for name, same in (("point", number), ("replication", replication), ("metric", metric)):
                parts[name].append(pa.repeat(pa.scalar(same, types[name]), len(values)))
            # The last instant is the run's end, whatever the interval.
            parts["time_s"].append(pa.array(np.minimum(instants_ns, scenario.duration_ns) / NS_PER_S))
            parts["value"].append(pa.array(values, from_pandas=True))
    return pa.table({name: pa.chunked_array(parts[name], types[name]) for name in types})


def read(path: Path) -> pa.Table:
    """A table of a sweep."""
    return pq.ParquetFile(path).read()
