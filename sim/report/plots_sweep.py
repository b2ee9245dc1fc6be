"""Plots of a sweep: a metric against what was changed, what each key is worth, and each point against one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from sim.experiments.designs import unit_cube
from sim.experiments.differences import paired
from sim.experiments.effects import Effect, NoEffects, Sample, elementary, over_replications, slopes, sobol
from sim.report.charts import WIDE_RANGE, bars, forest, heat, key_label, lines, metric_label, metric_scale
from sim.report.style import INKS, Absent, Plot, figure, log_axis, number_text, plain_axis, svg_of
from sim.scenario.sweep import Lhs, Morris, Sobol, Sweep
from sim.summary import unit_text, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from sim.experiments.results import SweepResults
    from sim.statistics import Floats

MOST_ROWS: Final = 40
"""Rows of a forest."""
MOST_GROUPS: Final = 5
"""Lines of one panel; with more values of the second key it is a heat map."""
LONGEST: Final = 8
"""Letters of a value in a label."""
LETTER: Final = 0.062
"""Room of a letter of a label [inches]."""


@dataclass(frozen=True)
class SweepData:
    """A sweep as its plots want it.

    Args:
        results: the sweep.
        against: the point that all are held against; None: the first, where points are alternatives.
    """

    results: SweepResults
    against: int | None

    @cached_property
    def said(self) -> Sweep:
        """What the scenario said of it."""
        text = (self.results.directory / "scenario.yaml").read_text(encoding="utf-8")
        return Sweep.model_validate(yaml.safe_load(text)["sweep"])

    @cached_property
    def points(self) -> pd.DataFrame:
        """The table of points."""
        return self.results.points

    @cached_property
    def keys(self) -> list[str]:
        """Columns of what is swept and varies, without their numbers."""
        return [name for name in self.columns if self.points[name].nunique() > 1] or self.columns

    @cached_property
    def columns(self) -> list[str]:
        """The columns of all keys, in the order of the design."""
        names = [str(name) for name in self.points.columns]
        return [name for name in names if name != "point" and not name.endswith(".number")]

    def axis_of(self, key: str) -> str | None:
        """The column of a key's numbers; None where it holds words."""
        if f"{key}.number" in self.points:
            return f"{key}.number"
        kind = self.points[key].dtype
        return key if kind.kind in "if" else None

    @cached_property
    def labels(self) -> list[str]:
        """Each point in few words: what varies, by the last part of each key where that is unique."""
        shorts = {key: key.removeprefix("set.").rpartition(".")[2] for key in self.keys}
        for key, short in shorts.items():
            if list(shorts.values()).count(short) > 1:
                shorts[key] = ".".join(key.split(".")[-2:])
        return [
            ", ".join(f"{shorts[key]} {self._value(row, key)}" for key in self.keys)
            for row in records(self.points)
        ]

    def _value(self, row: Mapping[str, Any], key: str) -> str:
        """As it was written; one that a design drew has more digits than a label has room for."""
        text, number = _plain(row[key]), row.get(f"{key}.number")
        if number is None or len(text) <= LONGEST:
            return text
        unit = key_label(self.points, f"{key}.number").rpartition("[")[2].removesuffix("]")
        return f"{number_text(float(number))} {unit}"

    def sample(self, metric: str) -> Sample:
        """A metric of every point and replication."""
        return Sample.of(self.results.results, metric, self.counts, antithetic=self.antithetic)

    @property
    def counts(self) -> list[int]:
        """Replications of each point."""
        said = self.results.provenance["replications"]  # one number in sweeps from before points could differ
        return [said] * len(self.points) if isinstance(said, int) else list(said)

    @property
    def antithetic(self) -> bool:
        """Whether replications are pairs."""
        return all(self.results.provenance.get("antithetic", [False]))

    @property
    def each(self) -> str:
        """Replications of a point, in words."""
        least, most = min(self.counts), max(self.counts)
        number = str(least) if least == most else f"{least} to {most}"
        pairs = ", in antithetic pairs," if self.antithetic else ""
        return f"{number} replication{'' if most == 1 else 's'}{pairs} each"

    @property
    def common(self) -> str:
        """The same, of what needs as many of each."""
        return (
            self.each if len(set(self.counts)) == 1 else f"the {min(self.counts)} replications that all have"
        )

    def rows(self, metric: str) -> pd.DataFrame:
        """Its estimates, a row a point."""
        return self.results.metric(metric)

    def basis(self, count: int, what: str = "bands", *, common: bool = False) -> str:
        """Points and replications, as every plot states them."""
        if max(self.counts) == 1:
            return f"{count} points, {self.each}, so no interval over replications"
        return f"{count} points, {self.common if common else self.each}, {what} are 95 % intervals"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Its rows, columns by name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def draw_metric(data: SweepData, metric: str) -> list[Plot | Absent]:
    """Every plot of one metric."""
    rows = data.rows(metric)
    title = metric_label(rows).partition(" [")[0]
    title = title[0].upper() + title[1:]
    if rows["mean"].notna().sum() == 0:
        return [
            Absent(
                title,
                "no point has an estimate of it (too few observations, or replications that are missing)",
            )
        ]
    return [
        _response(data, metric, title),
        _worth(data, metric, f"{title}: what each key is worth"),
        _differences(data, metric, f"{title}: each point against one"),
    ]


def _response(data: SweepData, metric: str, title: str) -> Plot | Absent:
    rows, key = data.rows(metric), f"{metric}-response"
    design, known = data.said.sampled, rows[rows["mean"].notna()]
    count = len(known)
    ordered = sorted(records(known), key=lambda row: float(row["mean"]))
    worst, best = ordered[0], ordered[-1]
    unit = unit_text({"unit": known.iloc[0]["unit"]})
    sentence = (
        f"From {value_text(_entry(worst))} at {data.labels[int(worst['point'])]} to {value_text(_entry(best))} {unit} at "
        f"{data.labels[int(best['point'])]}."
    )
    if len(known) < len(rows):
        sentence += f" {len(rows) - len(known)} points have no estimate."
    table = _table(data, known)
    if design is not None:
        return _cloud(data, metric, title, sentence, table)
    numeric = [name for name in data.keys if data.axis_of(name)]
    if data.said.product is not None and len(data.keys) > 2:
        return _averaged(data, metric, title, sentence)
    if len(data.keys) == 2 and data.said.product is not None:
        first = max(numeric or data.keys, key=lambda name: data.points[name].nunique())
        second = next(name for name in data.keys if name != first)
        return _two(data, known, (first, second), title, sentence, table, data.basis(count), key)
    single = [name for name in numeric if data.points[name].nunique() == len(data.points)]
    if single:
        drawn, (axes,) = figure(1, height=2.7)
        lines(axes, rows, x=str(data.axis_of(single[0])))
        return Plot(key, title, sentence, svg_of(drawn, key), *table, data.basis(count))
    shown = known.iloc[_spread(len(known), MOST_ROWS)]
    names = [data.labels[number] for number in shown["point"]]
    drawn, (axes,) = _rows_figure(names)
    scale = metric_scale(rows)
    mean, low, high = (shown[column].to_numpy(np.float64) * scale for column in ("mean", "low", "high"))
    forest(axes, names, mean, low, high, reference=None)
    axes.set_xlabel(metric_label(rows))
    basis = data.basis(count, "lines") + ("" if len(shown) == count else f"; {len(shown)} are drawn")
    return Plot(key, title, sentence, svg_of(drawn, key), *table, basis)


def _two(
    data: SweepData, rows: pd.DataFrame, keys: tuple[str, str], title: str, sentence: str,
    table: tuple[list[str], list[list[str]]], basis: str, key: str,
) -> Plot:  # fmt: skip
    first, second = keys
    axis = data.axis_of(first)
    if axis is not None and data.points[second].nunique() <= MOST_GROUPS:
        drawn, (axes,) = figure(1, height=2.8)
        lines(axes, rows, x=axis, by=second)
    else:
        up = rows[second].nunique()
        drawn, (axes,) = figure(
            1, height=min(6.0, 1.1 + 0.34 * up), beside=_beside([_plain(v) for v in rows[second]])
        )
        heat(axes, rows, x=first, y=second)
        basis = basis.replace("bands are", "± is half of the").replace("intervals", "interval")
    return Plot(key, title, sentence, svg_of(drawn, key), *table, basis)


def _averaged(data: SweepData, metric: str, title: str, sentence: str) -> Plot | Absent:
    """The two keys of most effect, the others averaged over."""
    import pandas as pd

    sample = data.sample(metric)
    if not sample.complete.all():
        return Absent(
            title,
            f"{int((~sample.complete).sum())} points miss a value, so that nothing can be averaged over the other keys",
        )
    ranges = {
        name: float(
            np.ptp([sample.means()[data.points[name] == v].mean() for v in data.points[name].unique()])
        )
        for name in data.keys
    }
    first, second = sorted(
        sorted(data.keys, key=lambda name: -ranges[name])[:2], key=lambda name: data.axis_of(name) is None
    )
    values, found = sample.values(), []
    columns = [name for name in (first, second, f"{first}.number") if name in data.points]
    for _, part in data.points.groupby([first, second], sort=False):
        effect = over_replications(values[part["point"]].mean(axis=0)[None, :])
        low, high = (np.nan if end is None else end[0] for end in (effect.low, effect.high))
        found.append({**part.iloc[0][columns].to_dict(), "mean": effect.mean[0], "low": low, "high": high})
    rows = pd.DataFrame(found).assign(metric=metric, unit=data.rows(metric)["unit"].iloc[0])
    others = ", ".join(key_label(data.points, name) for name in data.keys if name not in (first, second))
    header = [first, second, metric_label(rows), "±"]
    table = [[_plain(row[first]), _plain(row[second]), *_told(row)] for row in records(rows)]
    return _two(
        data, rows, (first, second), title, f"{sentence} Drawn is the mean over {others}.", (header, table),
        data.basis(len(data.points)), f"{metric}-response",
    )  # fmt: skip


def _cloud(
    data: SweepData, metric: str, title: str, sentence: str, table: tuple[list[str], list[list[str]]]
) -> Plot | Absent:
    """Each point of a sampled design against the key that it follows most."""
    rows = data.rows(metric)
    known = rows[rows["mean"].notna()]
    cube = _cube(data)[known["point"].to_numpy()]
    related = [
        abs(float(np.corrcoef(column, known["mean"])[0, 1]))
        if np.ptp(column) and np.ptp(known["mean"])
        else 0.0
        for column in cube.T
    ]
    name = data.columns[int(np.argmax(related))]
    axis = data.axis_of(name) or name
    scale = metric_scale(rows)
    drawn, (axes,) = figure(1, height=2.7)
    at = known[axis].to_numpy(np.float64)
    mean, low, high = (known[column].to_numpy(np.float64) * scale for column in ("mean", "low", "high"))
    axes.vlines(at, low, high, color=INKS["blue"], linewidth=0.8, alpha=0.5)
    axes.plot(at, mean, linestyle="", marker="o", markersize=3, color=INKS["blue"])
    _key_axis(axes, at)
    axes.set_xlabel(key_label(rows, axis))
    axes.set_ylabel(metric_label(rows))
    plain_axis(axes, "y")
    text = f"{sentence} It is drawn against the key that it follows most, of {len(cube.T)}."
    return Plot(
        f"{metric}-response",
        title,
        text,
        svg_of(drawn, f"{metric}-response"),
        *table,
        data.basis(len(known), "lines"),
    )


def _key_axis(axes: Axes, at: Floats) -> None:
    wide = at.min() > 0 and at.max() / at.min() > WIDE_RANGE
    log_axis(axes, "x") if wide else plain_axis(axes, "x")


def _cube(data: SweepData) -> Floats:
    design = data.said.sampled
    assert design is not None
    return np.array(unit_cube(design, len(data.said.lists)))


def _worth(data: SweepData, metric: str, title: str) -> Plot | Absent:
    """A tornado of effects, or Sobol' indices."""
    sample, design, key = data.sample(metric), data.said.sampled, f"{metric}-worth"
    columns = data.columns
    names = [name.removeprefix("set.") for name in columns]
    missing = int((~sample.complete).sum())
    if design is None and (data.said.product is None or len(data.keys) < 2):
        return Absent(title, "points of one key, of a `zip` or of a file do not tell keys apart")
    if missing and not isinstance(design, Lhs):
        return Absent(title, f"{missing} of {len(data.points)} points miss a value, and the design needs all")
    scale, label = metric_scale(data.rows(metric)), metric_label(data.rows(metric))
    try:
        if isinstance(design, Sobol):
            return _indices(data, metric, title, names, sobol(len(names), sample))
        if isinstance(design, Morris):
            effect, what = (
                elementary(_cube(data), sample),
                "mean size of the change over a key's range (Morris's μ*)",
            )
        elif design is not None:
            whole = sample.complete
            effect = slopes(_cube(data)[whole], sample.at(whole), drawn=isinstance(design, Lhs))
            what = "change from the low end of a key's range to the high end"
        else:
            names = [name.removeprefix("set.") for name in data.keys]
            effect, what = (
                _marginal(data, sample),
                "change between the values of a key with the least and the greatest mean",
            )
    except NoEffects as why:
        return Absent(title, str(why))
    order = np.argsort(-np.abs(effect.mean), kind="stable")
    mean, low, high = (
        None if part is None else part[order] * scale for part in (effect.mean, effect.low, effect.high)
    )
    assert mean is not None
    ranked = [names[place] for place in order]
    drawn, (axes,) = _rows_figure(ranked)
    bars(axes, ranked, {"effect": (mean, low, high)})
    axes.set_xlabel(f"effect: {label}")
    certain = (
        []
        if low is None or high is None
        else [name for name, one, other in zip(ranked, low, high, strict=True) if one > 0 or other < 0]
    )
    sentence = f"Bars are the {what}; {ranked[0]} matters most ({number_text(float(mean[0]))})."
    if low is not None:
        sentence += f" Of {len(ranked)} keys {len(certain)} have an interval that leaves out 0."
        if isinstance(design, Morris):
            sentence += (
                " A size is never negative, so that here this says little: compare it with the others."
            )
    header = ["key", f"effect, {label}", "low", "high"]
    table = [
        [name, number_text(float(mean[place])), *("–" if end is None else number_text(float(end[place])) for end in (low, high))]
        for place, name in enumerate(ranked)
    ]  # fmt: skip
    return Plot(
        key,
        title,
        sentence,
        svg_of(drawn, key),
        header,
        table,
        _effect_basis(data, int(sample.complete.sum()), low is not None),
    )


def _effect_basis(data: SweepData, count: int, interval: bool) -> str:
    if not interval:
        return data.basis(count, "lines", common=True)
    drawn = data.said.sampled is not None and data.said.kind != "fractional"
    how = (
        "lines are 95 % intervals over points and replications, drawn again"
        if drawn
        else "lines are 95 % intervals over replications"
    )
    return f"{count} points, {data.common}, {how}"


def _marginal(data: SweepData, sample: Sample) -> Effect:
    """For each key the greatest less the least mean over all points of one of its values."""
    values, means, rows = sample.values(), sample.means(), []
    for name in data.keys:
        sets = [np.flatnonzero(data.points[name] == value) for value in data.points[name].unique()]
        level = [float(means[places].mean()) for places in sets]
        least, most = sets[int(np.argmin(level))], sets[int(np.argmax(level))]
        rows.append(values[most].mean(axis=0) - values[least].mean(axis=0))
    return over_replications(np.array(rows))


def _indices(
    data: SweepData, metric: str, title: str, names: list[str], found: tuple[Effect, Effect]
) -> Plot:
    order = np.argsort(-found[1].mean, kind="stable")
    ranked = [names[place] for place in order]
    kinds = {}
    for word, one in zip(("alone (first-order)", "with others (total)"), found, strict=True):
        ends = (None if end is None else end[order] for end in (one.low, one.high))
        kinds[word] = (one.mean[order], *ends)
    drawn, (axes,) = _rows_figure(ranked, thick=0.42)
    bars(axes, ranked, kinds)  # type: ignore[arg-type]
    axes.set_xlabel("share of the variance over all ranges")
    alone = float(found[0].mean.sum())
    sentence = (
        f"{ranked[0]} has most of the variance: {number_text(round(float(found[0].mean[order[0]]), 3))} alone, "
        f"{number_text(round(float(found[1].mean[order[0]]), 3))} with others. The keys alone explain {number_text(round(alone, 3))} of it, and the "
        "rest is how they act together, or noise."
    )
    header = ["key", *(f"{word}{end}" for word in kinds for end in ("", ", low", ", high"))]
    table = [
        [name, *("–" if part is None else number_text(round(float(part[place]), 4)) for parts in kinds.values() for part in parts)]
        for place, name in enumerate(ranked)
    ]  # fmt: skip
    key, interval = f"{metric}-worth", found[0].low is not None
    return Plot(
        key,
        title,
        sentence,
        svg_of(drawn, key),
        header,
        table,
        _effect_basis(data, len(data.points), interval),
    )


def _differences(data: SweepData, metric: str, title: str) -> Plot | Absent:
    """The paired difference of each point to one of them."""
    sample, rows = data.sample(metric), data.rows(metric)
    if data.against is None and data.said.sampled is not None:
        return Absent(
            title,
            "points of a sampled design are no alternatives; `--against POINT` names one to hold them against",
        )
    base = data.against or 0
    complete = np.flatnonzero(sample.complete)
    if base not in complete:
        return Absent(
            title, f"point {base} misses a value in some replication, so that nothing can be held against it"
        )
    others = [int(place) for place in complete if place != base]
    values = sample.values()
    if not others or np.isnan(values[[base, *others]]).any():
        return Absent(title, "there is no other point with a value in every replication")
    found = {place: paired(values[base].tolist(), values[place].tolist()) for place in others}
    shown = sorted(sorted(others, key=lambda place: -abs(found[place].mean))[:MOST_ROWS])
    scale = metric_scale(rows)
    ends = [found[place].interval() or (np.nan, np.nan) for place in shown]
    mean = np.array([found[place].mean for place in shown]) * scale
    low, high = (np.array([pair[side] for pair in ends]) * scale for side in (0, 1))
    names = [data.labels[place] for place in shown]
    drawn, (axes,) = _rows_figure(names)
    forest(axes, names, mean, low, high)
    axes.set_xlabel(f"difference to {data.labels[base]}: {metric_label(rows)}")
    certain = int(((low > 0) | (high < 0)).sum())
    sentence = f"Differences of pairs, replication by replication, to point {base} ({data.labels[base]})."
    if not np.isnan(low).all():
        ratios = [one.variance_ratio for one in found.values() if one.variance_ratio is not None]
        sentence += f" Of {len(shown)} shown, {certain} have an interval that leaves out 0 (intervals are each point's own, not corrected for being many)."
        if ratios:
            sentence += f" In the median pair independent runs would need {number_text(float(np.median(ratios)))} times as many replications."
    header = ["point", "", f"difference, {metric_label(rows)}", "low", "high"]
    table = [
        [str(place), data.labels[place], *("–" if np.isnan(one) else number_text(float(one)) for one in (mean[row], low[row], high[row]))]
        for row, place in enumerate(shown)
    ]  # fmt: skip
    basis = data.basis(len(others) + 1, "lines", common=True) + (
        "" if len(shown) == len(others) else f"; the {len(shown)} largest differences are drawn"
    )
    key = f"{metric}-differences"
    return Plot(key, title, sentence, svg_of(drawn, key), header, table, basis)


def _table(data: SweepData, rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    header = ["point", *(name.removeprefix("set.") for name in data.keys), metric_label(rows), "±"]
    shown = records(rows.iloc[_spread(len(rows), MOST_ROWS)])
    return header, [
        [str(row["point"]), *(_plain(row[name]) for name in data.keys), *_told(row)] for row in shown
    ]


def _told(row: dict[Any, Any]) -> list[str]:
    mean, _, half = value_text(_entry(row)).partition(" ± ")
    return [mean, half or "–"]


def _entry(row: Any) -> dict[str, Any]:
    ends = {name: None if row[name] != row[name] else float(row[name]) for name in ("mean", "low", "high")}
    return {"name": str(row["metric"]), "unit": row["unit"], **ends}


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def _rows_figure(labels: list[str], thick: float = 0.2) -> Any:
    return figure(1, height=0.75 + thick * max(len(labels), 2), beside=_beside(labels))


def _beside(labels: list[str]) -> float:
    return min(4.2, max(0.58, 0.3 + LETTER * max(map(len, labels))))


def _plain(value: Any) -> str:
    return (
        number_text(float(value))
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else str(value)
    )
