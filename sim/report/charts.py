"""The few plots that the reports of sweeps and the notebooks share, so that there is one way to draw each.

In a notebook:

    import sim
    from sim.report.charts import canvas, heat, lines

    results = sim.load_sweep("sweeps/latest")
    with canvas() as picture:
        lines(picture.axes[0], results.metric("cost_per_million"), x="publishers.0.scaling.idle.number", by="publishers.0.slots")
        picture.axes[0].set_xlabel("idle time [s]")
    picture                                   # the last line of a cell shows it
    picture.write("cost.svg", "what it shows, in words, for those who cannot see it")   # beside an about.md

A function draws on axes that it is given, from the frames that `SweepResults.metric` gives, labels the axis of the
metric with its name and unit, and draws every interval that the frame has; a share is shown in per cent. What is
set on the axes afterwards wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import Patch, Rectangle

from protocol.quantities import split
from sim.metrics import METRICS
from sim.report.data import band
from sim.report.style import (
    DASHES,
    INKS,
    LEFT,
    MARKS,
    SERIES,
    figure,
    legend_above,
    log_axis,
    look,
    number_text,
    plain_axis,
    short_number,
    svg_file,
)  # fmt: skip
from sim.summary import unit_text, value_text
from sim.survival import survival_at

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sim.records.reader import Floats

MOST_CELLS: Final = 80
"""Cells of a heat map that say their numbers; of more, the colour alone does."""
MOST_LINES: Final = 8
"""Groups that can still be told apart."""
MOST_STEPS: Final = 400
"""Steps of a survival curve: more cannot be seen."""
WIDE_RANGE: Final = 25.0
"""An axis whose values span more than this ratio is drawn in equal ratios."""
FAINT, STRONG = 0.06, 0.55
"""Opacity of the least and the greatest cell of a heat map: ink stays readable on both, in light and dark."""


class Picture:
    """A figure being drawn, and then its SVG, which a notebook shows.

    Attributes:
        figure: matplotlib's.
        axes: its panels, from the left.
    """

    def __init__(self, drawn: Figure, axes: list[Axes], key: str) -> None:
        self.figure = drawn
        self.axes = axes
        self._key = key
        self._svg: str | None = None

    def close(self) -> None:
        """Draw it: what is done to the axes afterwards is not seen."""
        self._svg = svg_file(self.figure, self._key)

    def write(self, path: str | Path, alternative: str) -> Path:
        """Write it as an SVG file, on white.

        Args:
            path: of the file.
            alternative: what it shows, in words.
        """
        assert self._svg is not None, "it is still being drawn"
        target = Path(path)
        target.write_text(svg_file(self.figure, self._key, alternative), encoding="utf-8")
        return target

    def _repr_svg_(self) -> str | None:
        return self._svg


@contextmanager
def canvas(
    columns: int = 1,
    *,
    height: float = 2.8,
    widths: Sequence[float] | None = None,
    legend_rows: int = 1,
    beside: float = LEFT,
    key: str = "picture",
) -> Iterator[Picture]:
    """An empty figure in the report's look, as wide as a page's text; it is finished when the block ends.

    Args:
        columns: panels, side by side.
        height: of the whole [inches].
        widths: of the panels, relative to each other; equal when None.
        legend_rows: rows of text above the panels.
        beside: room to the left of each panel, for labels [inches].
        key: of the ids in the SVG, such as the scenario's name: the same drawing gives the same bytes.
    """
    with look():
        drawn, axes = figure(columns, height=height, widths=widths, legend_rows=legend_rows, beside=beside)
        picture = Picture(drawn, axes, key)
        yield picture
        picture.close()


def lines(axes: Axes, rows: pd.DataFrame, x: str, by: str | None = None, *, log: bool | None = None) -> None:
    """A line for each group, through the means, with the band of their intervals.

    Args:
        axes: to draw on.
        rows: a row a point: `x`, `by`, `metric`, `unit`, `mean`, and `low` and `high`, NaN where there is no
            interval. Rows without a mean are left out.
        x: the column along the axis, of numbers: for durations and amounts the one that ends in `.number`.
        by: the column that tells groups apart; None: one line. At most 8 groups can be told apart.
        log: the axis of `x` in equal ratios; None: where its values span a ratio of more than 25.
    """
    scale = metric_scale(rows)
    known = rows[rows["mean"].notna()]
    groups = [(None, known)] if by is None else list(known.groupby(by, sort=False))
    for place, (name, part) in enumerate(groups):
        ordered = part.sort_values(x)
        at, mean, low, high = (
            ordered[column].to_numpy(np.float64) * (1 if column == x else scale)
            for column in (x, "mean", "low", "high")
        )
        colour = INKS[SERIES[place % len(SERIES)]]
        axes.plot(
            at, mean, color=colour, linestyle=DASHES[place % len(DASHES)], marker=MARKS[place % len(MARKS)],
            markersize=3.2, label=None if by is None else f"{by.rpartition('.')[2]} {_short(name)}",
        )  # fmt: skip
        axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        if len(at) == 1:  # a band of one point has no width
            axes.vlines(at, low, high, color=colour, linewidth=1.2)
    values = known[x].to_numpy(np.float64)
    wide = bool(len(values)) and values.min() > 0 and values.max() / values.min() > WIDE_RANGE
    log_axis(axes, "x") if (wide if log is None else log) else plain_axis(axes, "x")
    plain_axis(axes, "y")
    axes.set_xlabel(key_label(rows, x))
    axes.set_ylabel(metric_label(rows))
    if by is not None:
        legend_above(axes, 6)


def heat(axes: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """A cell for each pair of values, the darker the greater, with its mean and half of its interval as numbers.

    Args:
        axes: to draw on.
        rows: see `lines`; one row a pair. A pair without a row, or without a mean, stays empty.
        x: the column along the axis, of anything; values are in the order in which they come.
        y: the column up the axis, likewise.
    """
    across, up = list(dict.fromkeys(rows[x])), list(dict.fromkeys(rows[y]))
    scale, known = metric_scale(rows), rows[rows["mean"].notna()]
    least, most = float(known["mean"].min()), float(known["mean"].max())
    span = most - least
    numbers = len(across) * len(up) <= MOST_CELLS and len(across) <= 10
    for row in known.to_dict("records"):
        column, line = across.index(row[x]), up.index(row[y])
        share = (row["mean"] - least) / span if span > 0 else 0.5
        axes.add_patch(
            Rectangle(
                (column - 0.5, line - 0.5), 1, 1, facecolor=INKS["blue"], alpha=FAINT + (STRONG - FAINT) * share,
                linewidth=0,
            )
        )  # fmt: skip
        if numbers:
            mean, _, half = value_text(_entry(row)).partition(" ± ")
            axes.text(
                column, line, f"{mean}\n± {half}" if half else mean, ha="center", va="center", fontsize=7,
                linespacing=1.15,
            )  # fmt: skip
    axes.set_xlim(-0.5, len(across) - 0.5)
    axes.set_ylim(-0.5, len(up) - 0.5)
    axes.grid(visible=False)
    for spread, axis in ((across, axes.xaxis), (up, axes.yaxis)):
        step = max(1, -(-len(spread) // 12))
        places = range(0, len(spread), step)
        axis.set_ticks(list(places), [_short(spread[place]) for place in places])
        axis.set_tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(key_label(rows, x))
    axes.set_ylabel(key_label(rows, y))
    texts = number_text(least * scale), f"{number_text(most * scale)}: {metric_label(rows)}"
    ends = [
        Patch(facecolor=INKS["blue"], alpha=alpha, label=text)
        for alpha, text in zip((FAINT, STRONG), texts, strict=True)
    ]
    axes.legend(
        handles=ends, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handlelength=1.2, handletextpad=0.4,
        columnspacing=1.0,
    )  # fmt: skip


def forest(
    axes: Axes,
    labels: Sequence[str],
    mean: Floats,
    low: Floats,
    high: Floats,
    *,
    reference: float | None = 0.0,
) -> None:
    """A row for each label, the first on top: its mean as a mark and its interval as a line.

    Args:
        axes: to draw on.
        labels: what each row is.
        mean: as many; a row whose mean is NaN stays empty.
        low: lower end of its interval, NaN where there is none.
        high: the upper end, likewise.
        reference: where a line is drawn that means "no difference"; None: none. An interval that does not reach it
            is drawn in colour.
    """
    rows = np.arange(len(labels))[::-1]
    if reference is not None:
        axes.axvline(reference, color=INKS["soft"], linewidth=0.9)
    certain = (
        np.ones(len(labels), np.bool_) if reference is None else ((low > reference) | (high < reference))
    )
    for which, colour in ((certain, INKS["blue"]), (~certain, INKS["soft"])):
        axes.hlines(rows[which], low[which], high[which], color=colour, linewidth=1.6)
        axes.plot(mean[which], rows[which], linestyle="", marker="o", markersize=4, color=colour)
    _rows_axis(axes, labels)


def bars(
    axes: Axes, labels: Sequence[str], values: Mapping[str, tuple[Floats, Floats | None, Floats | None]]
) -> None:
    """A horizontal bar for each label, the first on top, with its interval: a tornado, or Sobol' indices.

    Args:
        axes: to draw on.
        labels: what each row is.
        values: for each kind of bar its name and mean, low and high, as many as labels; None, or NaN, where there
            is no interval.
    """
    rows = np.arange(len(labels))[::-1]
    axes.axvline(0, color=INKS["soft"], linewidth=0.9)
    thick = 0.7 / len(values)
    for place, (name, (mean, low, high)) in enumerate(values.items()):
        at = rows + (0.35 - thick * (place + 0.5))
        axes.barh(at, mean, thick * 0.88, color=INKS[SERIES[place]], alpha=0.75, label=name)
        if low is not None and high is not None:
            axes.hlines(at, low, high, color=INKS["ink"], linewidth=1.1)
            for end in (low, high):
                axes.plot(end, at, linestyle="", marker="|", markersize=5, color=INKS["ink"])
    _rows_axis(axes, labels)
    if len(values) > 1:
        legend_above(axes, 4, marks=True)


def survival(
    axes: Axes,
    lives: Mapping[str, Sequence[tuple[Floats, Any]]],
    *,
    end: float | None = None,
    word: str = "s",
) -> None:
    """The share that lasts (Kaplan-Meier) against time: the mean over replications, with the band of its interval.

    Args:
        axes: to draw on.
        lives: for each group its replications, each a pair of durations and whether each ended then (false: it was
            only seen so long); see `sim.survival.kaplan_meier`. A group of one replication has no band.
        end: where the axis ends; None: at the longest duration.
        word: unit of the durations.
    """
    last = max(float(np.max(spans)) for group in lives.values() for spans, _ in group) if end is None else end
    for place, (name, group) in enumerate(lives.items()):
        steps = np.unique(np.concatenate([np.asarray(spans)[np.asarray(over)] for spans, over in group]))
        times = np.concatenate([[0.0], steps[(steps > 0) & (steps < last)], [last]])
        reach = min(float(np.max(spans)) for spans, _ in group)
        times = np.unique(np.append(times, min(reach, last)))
        if len(times) > MOST_STEPS:
            times = times[np.linspace(0, len(times) - 1, MOST_STEPS).round().astype(np.int64)]
        shares = np.array([survival_at(times, spans, over) for spans, over in group]) * 100
        known = ~np.isnan(shares).any(axis=0)
        times, shown = times[known], band(shares[:, known])
        colour = INKS[SERIES[place % len(SERIES)]]
        axes.step(
            times, shown.mean, where="post", color=colour, linestyle=DASHES[place % len(DASHES)], label=name
        )
        if shown.low is not None and shown.high is not None:
            axes.fill_between(
                times, np.clip(shown.low, 0, 100), np.clip(shown.high, 0, 100), step="post", color=colour, alpha=0.18,
                linewidth=0,
            )  # fmt: skip
    axes.set_xlim(0, last or 1)
    axes.set_ylim(0, 102)
    plain_axis(axes, "x")
    axes.set_xlabel(f"time [{word}]")
    axes.set_ylabel("still there [%]")
    if len(lives) > 1:
        legend_above(axes, 5)


def metric_label(rows: pd.DataFrame) -> str:
    """The metric of a frame and its unit, for an axis: `cost of 1 M requests [DAI]`."""
    row = rows.iloc[0]
    known = {metric.name: metric for metric in METRICS}
    metric = known.get(str(row["metric"]))
    word = (metric.label or metric.about) if metric is not None else str(row["metric"])
    unit = unit_text({"unit": row["unit"]})
    return f"{word} [{unit}]" if unit else word


def metric_scale(rows: pd.DataFrame) -> float:
    """What a metric's values are multiplied with to be shown: shares are in per cent."""
    return 100.0 if (rows["unit"] == "share").all() else 1.0


def key_label(rows: pd.DataFrame, column: str) -> str:
    """A swept key for an axis, with the unit of its numbers where it has one: `publishers.0.scaling.idle [s]`."""
    key = column.removesuffix(".number")
    name = key.removeprefix("set.")
    if key == column or key not in rows:
        return name
    parts = [split(str(text)) for text in rows[key]]
    units = {part[1] for part in parts if part is not None}
    as_written = all(
        part is not None and float(part[0]) == value for part, value in zip(parts, rows[column], strict=True)
    )
    return f"{name} [{units.pop() if len(units) == 1 and as_written else 's'}]"


def _rows_axis(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(labels))[::-1], list(labels))
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    plain_axis(axes, "x")


def _entry(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "name": str(row["metric"]),
        "unit": row["unit"],
        **{name: None if row[name] != row[name] else float(row[name]) for name in ("mean", "low", "high")},
    }


def _short(value: Any) -> str:
    return short_number(float(value)) if isinstance(value, (int, float)) else str(value)


__all__ = [
    "Picture", "bars", "canvas", "forest", "heat", "key_label", "lines", "metric_label", "metric_scale", "survival",
]  # fmt: skip
