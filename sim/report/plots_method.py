"""Plots of the method: where the start ends, and what more replications are worth."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.estimates import running
from sim.metrics import METRICS
from sim.report.data import RunData, band
from sim.report.style import (
    DASHES,
    INKS,
    SERIES,
    Absent,
    Plot,
    figure,
    legend_above,
    number_text,
    plain_axis,
    svg_of,
)
from sim.summary import unit_text, value_text, warm_up_in, worlds_of

FOLLOWED: Final = ("served_share", "latency_p50_ms", "cost_per_million")
"""Metrics whose running mean is drawn."""
LEAST_INSTANTS: Final = 10


def warm_up(run: RunData) -> Plot | Absent:
    """The state of the world from its empty start, its mean so far, and the warm-up that is left out."""
    title = "Warm-up"
    if len(run.instants) < LEAST_INSTANTS:
        return Absent(
            title,
            f"there are {len(run.instants)} sampling instants, and a start shows in {LEAST_INSTANTS} or more",
        )
    series = {
        "replicas": sum(
            (run.series(f"replicas_{state}") for state in ("busy", "idle", "starting", "draining")),
            np.zeros((len(run.replications), len(run.instants))),
        ),
        "requests pending": sum(
            (run.series(column) for column in ("held", "queued", "in_service")),
            np.zeros((len(run.replications), len(run.instants))),
        ),
    }
    drawn, panels = figure(2, height=2.5)
    said = run.summary.get("warm_up") or {"asked": "none", "length_ns": 0}
    length_ns = said["length_ns"]
    rows_of: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    count = np.arange(1, len(run.instants) + 1)
    for place, (axes, (name, values)) in enumerate(zip(panels, series.items(), strict=True)):
        colour, at = INKS[SERIES[place]], run.instants[:: run.step]
        shown, so_far = band(values), values.mean(axis=0).cumsum() / count
        axes.plot(at, shown.mean[:: run.step], color=colour, label=name, linewidth=1.1)
        if shown.low is not None and shown.high is not None:
            low, high = (np.maximum(side[:: run.step], 0) for side in (shown.low, shown.high))
            axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            at,
            so_far[:: run.step],
            color=INKS["ink"],
            linestyle=DASHES[1],
            label="mean so far",
            linewidth=1.1,
        )
        if length_ns:
            axes.axvline(length_ns / run.time.ns, color=INKS["red"], linestyle=DASHES[2], label="cut")
        axes.set_xlabel(f"time [{run.time.word}]")
        axes.set_ylabel(name)
        axes.set_xlim(0, run.instants[-1] or 1)
        axes.set_ylim(bottom=0)
        plain_axis(axes, "y")
        legend_above(axes, 3)
        rows_of[name], rows_of[f"{name}, mean so far"] = shown.mean, so_far
    header = [f"time [{run.time.word}]", *rows_of]
    rows = [
        [
            number_text(round(float(run.instants[at]), 3)),
            *(number_text(float(line[at])) for line in rows_of.values()),
        ]
        for at in run.table_places()
    ]
    return Plot(
        "warm-up", title, _cut_said(run, said), svg_of(drawn, "warm-up"), header, rows, run.whole_basis
    )


def _cut_said(run: RunData, said: dict[str, Any]) -> str:
    start = "The world begins empty."
    length_ns = said["length_ns"]
    if said["asked"] == "none":
        return (
            f"{start} No warm-up is left out: every figure is of the whole run, {number_text(round(float(run.instants[-1]), 2))} "
            f"{run.time.word}, its start included."
        )
    if length_ns is None:
        return f"{start} MSER-5 finds no end of the start in the first half of the run, so that steady-state figures are not given."
    how = "by MSER-5 on the mean over replications" if said["asked"] == "auto" else "as the scenario says"
    text = f"{start} Steady-state figures leave out the first {number_text(round(length_ns / run.time.ns, 3))} {run.time.word} ({how}); money is never trimmed."
    if said.get("unsettled"):
        text += f" Not seen to settle, so not given: {', '.join(said['unsettled'])}."
    return text


def running_mean(run: RunData) -> Plot | Absent:
    """The estimate of a few metrics from the first replications, as they become more."""
    title = "What more replications are worth"
    count = len(run.replications)
    if count < 2:
        return Absent(title, "there is one replication, and an interval needs two")
    antithetic = bool(run.summary.get("antithetic"))
    if antithetic:  # pairs count once
        count //= 2
        if count < 2:
            return Absent(title, "there is one antithetic pair, and an interval needs two")
    worlds = worlds_of(run.tables, run.provenance, warm_up_in(run.provenance))
    metrics = {metric.name: metric for metric in METRICS}
    known = [name for name in FOLLOWED if run.metric(name)["mean"] is not None]
    if not known:
        return Absent(title, "none of the metrics that it follows has a value in every replication")
    drawn, panels = figure(len(known), height=2.3)
    at = np.arange(1, count + 1)
    columns: list[list[str]] = []
    header = ["pairs" if antithetic else "replications"]
    said = []
    for place, (axes, name) in enumerate(zip(panels, known, strict=True)):
        entry = run.metric(name)
        measured = [metrics[name].of(world) for world in worlds]
        found = running(measured, antithetic=antithetic)
        scale = 100 if entry["unit"] == "share" else 1
        mean, low, high = (
            np.array([np.nan if getattr(one, end) is None else getattr(one, end) * scale for one in found])
            for end in ("mean", "low", "high")
        )
        colour = INKS[SERIES[place]]
        axes.plot(at, mean, color=colour, marker="o", markersize=2.5 if count <= 40 else 0)
        axes.fill_between(at[1:], low[1:], high[1:], color=colour, alpha=0.18, linewidth=0)
        if count == 2:  # a band of one place has no width
            axes.vlines(at[1:], low[1:], high[1:], color=colour)
        # the interval of two replications is so wide that it would hide what follows
        later = min(2, count - 1)
        ends = np.concatenate([mean, low[later:], high[later:]])
        room = float(np.nanmax(ends) - np.nanmin(ends)) * 0.15 or abs(float(mean[-1])) * 0.01 or 1.0
        axes.set_ylim(float(np.nanmin(ends)) - room, float(np.nanmax(ends)) + room)
        unit = unit_text(entry)
        axes.set_title(entry["label"], fontsize=8)
        axes.set_ylabel(f"[{unit}]" if unit else "count")
        axes.set_xlabel("pairs" if antithetic else "replications")
        axes.set_xticks(sorted({1, *(round(x) for x in np.linspace(1, count, min(count, 5)))}))
        plain_axis(axes, "y")
        header += [f"{entry['label']} [{unit}]", "±"]
        columns.append([number_text(float(value)) for value in mean])
        columns.append(
            [
                "–" if np.isnan(h) else number_text(float((h - lo) / 2))
                for h, lo in zip(high, low, strict=True)
            ]
        )
        said.append(f"{entry['label']} {value_text(entry)} {unit}".strip())
    sentence = (
        f"After all {count}: {'; '.join(said)}. Half of an interval shrinks with the root of the replications: a half as wide needs "
        "four times as many."
    )
    picked = sorted({round(place * (count - 1) / 9) for place in range(10)})
    rows = [[str(place + 1), *(column[place] for column in columns)] for place in picked]
    return Plot("running-mean", title, sentence, svg_of(drawn, "running-mean"), header, rows, run.basis)
