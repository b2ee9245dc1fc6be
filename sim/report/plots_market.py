"""Plots of the market: what providers ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sim.report.data import RunData, band
from sim.report.style import DASHES, INKS, Absent, Plot, figure, legend_above, number_text, plain_axis, svg_of

if TYPE_CHECKING:
    from sim.records.reader import Floats

PROBS: Final = {"p10": 0.1, "median": 0.5, "p90": 0.9}
SHOWN: Final = {"cpu": ("a core-hour", 3600.0), "ram": ("a GiB-hour of memory", 3600.0 * 2**30)}
"""Each price drawn: what it is for, and how many of the table's units that is."""


def prices(run: RunData) -> Plot | Absent:
    """Quantiles over providers of the prices in force, over time."""
    title = "Prices"
    found = {column: [_in_force(run, number, column) for number in run.replications] for column in SHOWN}
    if not all(len(lines) and not np.isnan(lines).all() for lines in found["cpu"]):
        return Absent(title, "no provider published a price")
    drawn, panels = figure(2, height=2.4)
    columns: dict[str, Floats] = {}
    ends: dict[str, Floats] = {}
    for axes, (column, (what, factor)) in zip(panels, SHOWN.items(), strict=True):
        lines = [_tokens(run, prices_of, factor) for prices_of in found[column]]
        for place, (name, prob) in enumerate(PROBS.items()):
            values = np.array([np.nanquantile(one, prob, axis=0) for one in lines])
            shown = band(values)
            colour, at = INKS[("green", "blue", "orange")[place]], run.instants[:: run.step]
            axes.plot(
                at, shown.mean[:: run.step], color=colour, linestyle=DASHES[(1, 0, 2)[place]], label=name
            )
            if shown.low is not None and shown.high is not None:
                low, high = (np.maximum(side[:: run.step], 0) for side in (shown.low, shown.high))
                axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
            columns[f"{what}, {name} [{run.token}]"] = shown.mean
        ends[column] = np.array([np.nanquantile(one[:, [0, -1]], 0.5, axis=0) for one in lines]).mean(axis=0)
        axes.set_ylabel(f"{what} [{run.token}]")
        axes.set_xlabel(f"time [{run.time.word}]")
        axes.set_xlim(0, run.instants[-1] or 1)
        axes.set_ylim(bottom=0)
        plain_axis(axes, "y")
        legend_above(axes, 3)
    count, changes = len(found["cpu"][0]), _changes(run)
    first, last = ends["cpu"]
    moved = (
        "No price changed."
        if not changes
        else f"Prices were changed {number_text(changes)} times a replication, and the median went from "
        f"{number_text(float(first))} to {number_text(float(last))} {run.token}."
    )
    among = f"among {count} providers" if count > 1 else "of the one provider"
    sentence = (
        f"A core-hour costs {number_text(float(last))} {run.token} at the end, the median {among}. {moved}"
    )
    header = [f"time [{run.time.word}]", *columns]
    rows = [
        [
            number_text(round(float(run.instants[place]), 3)),
            *(number_text(float(line[place])) for line in columns.values()),
        ]
        for place in run.table_places()
    ]  # fmt: skip
    basis = f"{count} provider{'' if count == 1 else 's'}, {run.basis}"
    return Plot("prices", title, sentence, svg_of(drawn, "prices"), header, rows, basis)


def _in_force(run: RunData, number: int, column: str) -> Floats:
    """The price of each provider at each instant, a row a provider; NaN before its first."""
    rows = run.tables.rows("prices", number)
    codes, names = rows.codes("provider")
    lines = np.full((len(names), len(run.instants_ns)), np.nan)
    places = np.searchsorted(run.instants_ns, rows.ints("time_ns"), side="left")
    for code, place, price in zip(codes.tolist(), places.tolist(), rows.floats(column).tolist(), strict=True):
        lines[code, place:] = price
    return lines[np.isin(np.arange(len(names)), codes)]


def _tokens(run: RunData, lines: Floats, factor: float) -> Floats:
    """In tokens; instants before anybody published have the first price that there was."""
    values = lines * factor / run.unit
    known = np.flatnonzero(~np.isnan(values).all(axis=0))
    values[:, : known[0]] = values[:, [known[0]]]
    return values


def _changes(run: RunData) -> float:
    """Prices published after a provider's first, a replication."""
    total = 0
    for number in run.replications:
        rows = run.tables.rows("prices", number)
        total += len(rows) - len(set(rows.codes("provider")[0].tolist()))
    return total / len(run.replications)
