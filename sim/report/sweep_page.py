"""The page of a sweep: its plots, its points and where it comes from, put together by a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from sim.experiments import HEADLINES
from sim.experiments.results import SweepResults, check_metrics
from sim.records.directory import REPORT
from sim.report.page import origin_of, write_page
from sim.report.plots_sweep import SweepData, draw_metric, records
from sim.report.style import Absent, Plot, look
from sim.summary import unit_text, value_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_LISTED: Final = 500
"""Points of the table."""
MOST_FAILURES: Final = 20
BROKE: Final = "an invariant of the simulation broke"


def write_sweep_report(
    results: SweepResults, *, metrics: Sequence[str] = (), against: int | None = None
) -> Path:
    """Write `report.html` of a sweep, and return its path.

    Args:
        results: the sweep.
        metrics: names of those to draw and list; a handful when empty.
        against: number of the point that all are held against; None: the first, where points are alternatives and
            not a sample of ranges.

    Raises:
        BadInput: a metric has no such name, or there is no such point.
    """
    check_metrics(list(metrics))
    count = len(results.points)
    if against is not None and not 0 <= against < count:
        raise BadInput(f"against: {against}; the points of this sweep are 0 to {count - 1}")
    data = SweepData(results, against)
    return write_page("sweep.html", _content(data, list(metrics or HEADLINES)), results.directory / REPORT)


def draw(data: SweepData, metrics: Sequence[str]) -> tuple[list[Plot], list[Absent]]:
    """Every plot that the sweep has anything for, and which it has not."""
    with look():
        made = [one for metric in metrics for one in draw_metric(data, metric)]
    return [one for one in made if isinstance(one, Plot)], [one for one in made if isinstance(one, Absent)]


def _content(data: SweepData, metrics: list[str]) -> dict[str, Any]:
    results, said = data.results, data.results.provenance
    plots, absent = draw(data, metrics) if said["evaluations"]["there"] else ([], [])
    header, rows = _points(data, metrics)
    return {
        "name": said["scenario"],
        "design": said["sweep"],
        "points": said["points"],
        "replications": data.each,
        "intervals": "There are no intervals over one replication."
        if max(data.counts, default=1) == 1
        else "Intervals are 95 %.",
        "seed": said["seed"],
        "interrupted": results.interrupted,
        "there": said["evaluations"]["there"],
        "asked": said["evaluations"]["asked"],
        "failed": len(results.failures),
        "failures": results.failures[:MOST_FAILURES],
        "unbalanced": sum(BROKE in one["reason"] for one in results.failures),
        "plots": plots,
        "absent": absent,
        "header": header,
        "rows": rows,
        "listed": len(rows),
        "not_modelled": said["not_modelled"],
        "origin": [
            *origin_of(said, "wall time of the sweep"),
            ("where", said["where"]),
            (
                "designs and scheduler",
                ", ".join(f"{name} {version}" for name, version in said["designs"].items()) or "–",
            ),
            (
                "kept from before",
                f"{said['evaluations']['kept from before']} of {said['evaluations']['asked']} evaluations",
            ),
        ],
    }


def _points(data: SweepData, metrics: list[str]) -> tuple[list[str], list[list[str]]]:
    names = data.columns
    frames = {metric: records(data.rows(metric).iloc[:MOST_LISTED]) for metric in metrics}
    header = ["point", *(name.removeprefix("set.") for name in names)]
    for metric, rows in frames.items():
        unit = unit_text(rows[0])
        header.append(f"{metric} [{unit}]" if unit else metric)
    lines = []
    for place, point in enumerate(records(data.points.iloc[:MOST_LISTED])):
        told = []
        for metric, rows in frames.items():
            row = rows[place]
            ends = {end: None if row[end] != row[end] else row[end] for end in ("mean", "low", "high")}
            told.append(value_text({"name": metric, "unit": row["unit"], **ends}))
        lines.append([str(point["point"]), *(str(point[name]) for name in names), *told])
    return header, lines
