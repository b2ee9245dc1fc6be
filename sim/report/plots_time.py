"""Plots over virtual time: money, replicas, requests, and who was removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.report.data import RunData, band
from sim.report.stranded import stranded
from sim.report.style import (
    DASHES,
    INKS,
    SERIES,
    Plot,
    figure,
    legend_above,
    number_text,
    plain_axis,
    svg_of,
)
from sim.summary import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sim.records.reader import Floats


def deployments(run: RunData) -> Plot:
    """Pods at providers, suspended there, and not deployed, over time."""
    values = {
        "running": run.series("pods_running", hosted=True),
        "suspended": run.series("pods_suspended", hosted=True),
        "not deployed": run.series("pods_running", hosted=False),
    }
    drawn, (axes,) = figure(1, height=2.2)
    _lines(axes, run, values)
    axes.set_ylabel("pods")
    axes.set_ylim(bottom=0)
    legend_above(axes)
    ends = {name: float(lines[:, -1].mean()) for name, lines in values.items()}
    sentence = (
        f"At the end {number_text(round(ends['running'], 2))} pods run, {number_text(round(ends['suspended'], 2))} are "
        f"suspended and {number_text(round(ends['not deployed'], 2))} are not deployed; providers accepted "
        f"{value_text(run.metric('deployments_accepted'))} deployments and "
        f"{value_text(run.metric('deployments_refused'))} attempts came to nothing."
    )
    header = [f"time [{run.time.word}]", *values]
    return Plot(
        "deployments",
        "Deployments",
        sentence,
        svg_of(drawn, "deployments"),
        header,
        _rows(run, values),
        run.whole_basis,
    )


def money(run: RunData) -> Plot:
    """Where the money is, over time."""
    inside = {
        "available": "available in channels",
        "stranded": "of it, stranded",
        "returned": "returned to publishers",
    }
    earned = {
        "owed": "owed for metered use",
        "claimed": "claimed by providers",
        "unpaid": "served, never paid",
    }
    drawn, (left, right) = figure(2, height=2.7, legend_rows=3)
    values = {name: run.series(name, money=True) for name in (*inside, *earned) if name != "stranded"}
    values["stranded"] = (
        np.array([stranded(run.tables, number, run.instants_ns) for number in run.replications]) / run.unit
    )
    _lines(left, run, {label: values[name] for name, label in inside.items()})
    _lines(right, run, {label: values[name] for name, label in earned.items()}, first=3)
    left.set_ylabel(run.token)
    for axes in (left, right):
        legend_above(axes, 1)
        axes.set_ylim(bottom=0)
    ends = {name: float(lines[:, -1].mean()) for name, lines in values.items()}
    sentence = (
        f"At the end {number_text(ends['available'])} {run.token} lie in channels, {number_text(ends['stranded'])} of them "
        f"stranded (not owed, and the pod no longer runs there); of {number_text(ends['owed'])} "
        f"{run.token} owed for use so far, {number_text(ends['claimed'])} are claimed and "
        f"{number_text(ends['unpaid'])} were served and will never be paid."
    )
    labels = {**inside, **earned}
    header = [f"time [{run.time.word}]", *(f"{label} [{run.token}]" for label in labels.values())]
    rows = _rows(run, {name: values[name] for name in labels})
    return Plot("money", "Money over time", sentence, svg_of(drawn, "money"), header, rows, run.whole_basis)


def replicas(run: RunData) -> Plot:
    """Replicas by state, stacked, with the band of their total."""
    states = ("busy", "idle", "starting", "draining")
    values = {state: run.series(f"replicas_{state}") for state in states}
    drawn, (axes,) = figure(1, height=2.4)
    step, hours = run.step, run.instants
    stacked = [_thin(values[state].mean(axis=0), step) for state in states]
    colours = [INKS[name] for name in ("blue", "green", "orange", "violet")]
    axes.stackplot(_thin(hours, step), stacked, labels=states, colors=colours, alpha=0.8, linewidth=0)
    shown = band(sum(values.values(), np.zeros_like(values["busy"]))[:, ::step])
    if shown.low is not None and shown.high is not None:
        for place, edge in enumerate((shown.low, shown.high)):
            label = "interval of the total" if not place else None
            axes.plot(
                _thin(hours, step), edge, color=INKS["ink"], linestyle=DASHES[2], linewidth=0.9, label=label
            )
    _time_axis(axes, run)
    axes.set_ylabel("replicas")
    axes.set_ylim(bottom=0)
    legend_above(axes)
    total = np.sum([lines.mean() for lines in values.values()])
    shares = {state: float(lines.mean() / total) if total else 0.0 for state, lines in values.items()}
    sentence = (
        f"On average {number_text(float(total))} replicas exist at once: {shares['busy'] * 100:.0f} % of them serve, "
        f"{shares['idle'] * 100:.0f} % wait for a request, {shares['starting'] * 100:.1f} % start and {shares['draining'] * 100:.1f} % drain."
    )
    header = [f"time [{run.time.word}]", *states]
    return Plot(
        "replicas",
        "Replicas by state",
        sentence,
        svg_of(drawn, "replicas"),
        header,
        _rows(run, values),
        run.whole_basis,
    )


def requests(run: RunData) -> Plot:
    """Requests arriving, answered and failed each second, and those held or queued at the instant."""
    step, instants = run.step, run.instants
    drawn, (left, right) = figure(2, height=2.6, legend_rows=2)
    seconds = np.diff(_thin(instants, step)) * run.time.ns / 1e9
    middle = (_thin(instants, step)[1:] + _thin(instants, step)[:-1]) / 2
    rates: dict[str, Floats] = {}
    for place, (column, label) in enumerate(
        (("arrivals", "arriving"), ("served", "answered"), ("failed", "failed"))
    ):
        rates[label] = np.diff(run.series(column)[:, ::step], axis=1) / seconds
        shown = band(rates[label])
        colour = INKS[("soft", "blue", "red")[place]]
        left.plot(middle, shown.mean, color=colour, linestyle=DASHES[(1, 0, 2)[place]], label=label)
        if shown.low is not None and shown.high is not None:
            left.fill_between(middle, shown.low, shown.high, color=colour, alpha=0.18, linewidth=0)
    waiting = {"held for a first replica": run.series("held"), "queued for a slot": run.series("queued")}
    _lines(right, run, waiting, first=1)
    left.set_ylabel("requests a second")
    right.set_ylabel("requests waiting")
    _time_axis(left, run)
    legend_above(left, 3)
    legend_above(right, 1)
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    tried = value_text(run.metric("requests_retried"))
    sent = "requests" if tried == "0" else f"attempts ({tried} of them second ones and later)"
    sentence = (
        f"{value_text(run.metric('requests_served'))} of {value_text(run.metric('requests_arrived'))} {sent} were "
        f"answered, {value_text(run.metric('requests_failed'))} failed{_why_failed(run)}; "
        f"{value_text(run.metric('requests_held'))} "
        "of those answered had waited for a replica to start."
    )
    totals = {name: run.series(name) for name in ("arrivals", "served", "failed", "held", "queued")}
    header = [
        f"time [{run.time.word}]", "arrived so far", "answered so far", "failed so far", "held now", "queued now"
    ]  # fmt: skip
    basis = f"{number_text(float(run.series('arrivals')[:, -1].sum()))} requests, {run.basis}"
    return Plot(
        "requests", "Requests", sentence, svg_of(drawn, "requests"), header, _rows(run, totals), basis
    )


def _why_failed(run: RunData) -> str:
    """The commonest cause of failure, with its share; nothing when nothing failed."""
    causes = {
        name.removeprefix("failed_").replace("_", " "): float(entry["mean"] or 0)
        for name, entry in run.summary["metrics"].items()
        if name.startswith("failed_")
    }
    total = sum(causes.values())
    if total <= 0:
        return ""
    commonest = max(causes, key=lambda cause: causes[cause])
    return f" ({causes[commonest] / total * 100:.0f} % of them: {commonest})"


def _thin(values: Floats, step: int) -> Floats:
    return values[..., ::step]


def _lines(axes: Axes, run: RunData, lines: dict[str, Floats], first: int = 0) -> None:
    for place, (label, values) in enumerate(lines.items(), start=first):
        colour, dash = SERIES[place % len(SERIES)], DASHES[(place - first) % len(DASHES)]
        axes.plot(
            _thin(run.instants, run.step), _thin(values.mean(axis=0), run.step), color=INKS[colour], linestyle=dash,
            label=label,
        )  # fmt: skip
        _band(axes, run, values, colour)
    _time_axis(axes, run)


def _band(axes: Axes, run: RunData, values: Floats, colour: str) -> None:
    shown = band(_thin(values, run.step))
    if shown.low is not None and shown.high is not None:
        axes.fill_between(
            _thin(run.instants, run.step), np.maximum(shown.low, 0), shown.high, color=INKS[colour], alpha=0.18,
            linewidth=0,
        )  # fmt: skip


def _time_axis(axes: Axes, run: RunData) -> None:
    axes.set_xlabel(f"time [{run.time.word}]")
    axes.set_xlim(0, run.instants[-1] or 1)  # a run may end where it began
    plain_axis(axes, "y")


def _rows(run: RunData, values: dict[str, Floats]) -> list[list[str]]:
    means = {name: lines.mean(axis=0) for name, lines in values.items()}
    return [
        [
            number_text(round(float(run.instants[place]), 3)),
            *(number_text(float(mean[place])) for mean in means.values()),
        ]
        for place in run.table_places()
    ]
