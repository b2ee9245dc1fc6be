"""Plots over virtual time: money, replicas, requests, and who was removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sim.report.data import RunData, band, quantile_places
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

MAX_REMOVALS: Final = 80
"""Removals drawn and listed: of more than this, so many are taken, spread evenly over all."""


def money(run: RunData) -> Plot:
    """Where the money is, over time."""
    inside = {"available": "available in channels", "returned": "returned to publishers"}
    earned = {
        "owed": "owed for metered use",
        "claimed": "claimed by providers",
        "unpaid": "served, never paid",
    }
    drawn, (left, right) = figure(2, height=2.7, legend_rows=3)
    values = {name: run.series(name, money=True) for name in (*inside, *earned)}
    _lines(left, run, {label: values[name] for name, label in inside.items()})
    _lines(right, run, {label: values[name] for name, label in earned.items()}, first=2)
    left.set_ylabel(run.token)
    for axes in (left, right):
        legend_above(axes, 1)
        axes.set_ylim(bottom=0)
    ends = {name: float(lines[:, -1].mean()) for name, lines in values.items()}
    sentence = (
        f"At the end {number_text(ends['available'])} {run.token} lie in channels; of {number_text(ends['owed'])} "
        f"{run.token} owed for use so far, {number_text(ends['claimed'])} are claimed and "
        f"{number_text(ends['unpaid'])} were served and will never be paid."
    )
    header = [f"time [{run.time.word}]", *(f"{label} [{run.token}]" for label in (inside | earned).values())]
    return Plot(
        "money", "Money over time", sentence, svg_of(drawn, "money"), header, _rows(run, values), run.basis
    )


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
        run.basis,
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


def removals(run: RunData) -> Plot | None:
    """Who ran out of money and when, and how long it took to notice and to remove; None when nobody did."""
    channels = run.tables.rows("channels", run.replications[0])
    spent = channels.where(channels.present("exhausted_ns"))
    if not len(spent):
        return None
    order = np.argsort(spent.ints("exhausted_ns"), kind="stable")
    when = spent.ints("exhausted_ns")[order]
    to_notice, to_remove = (
        spent.elapsed_ns(column, spent.ints("exhausted_ns"))[order] / 1e9
        for column in ("noticed_ns", "removed_ns")
    )
    pods = [spent.table["pod"][int(place)].as_py() for place in order]
    providers = [spent.table["provider"][int(place)].as_py() for place in order]
    drawn, (left, right) = figure(2, height=3.1, widths=(1, 1.1))
    left.step(
        np.r_[0, run.since(when), run.instants[-1]], np.r_[0, np.arange(1, len(when) + 1), len(when)],
        where="post", color=INKS["red"],
    )  # fmt: skip
    gone = np.sort(run.since(when) + to_remove * 1e9 / run.time.ns)
    gone = gone[~np.isnan(gone)]
    left.step(
        np.r_[0, gone, run.instants[-1]], np.r_[0, np.arange(1, len(gone) + 1), len(gone)],
        where="post", color=INKS["blue"], linestyle=DASHES[1],
    )  # fmt: skip
    left.legend(["exhausted", "removed"], loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    left.set_ylabel("channels so far")
    left.set_ylim(bottom=0)
    left.set_xlim(0, run.instants[-1] or 1)  # a run may end where it began
    left.set_xlabel(f"time [{run.time.word}]")
    shown = quantile_places(len(when), MAX_REMOVALS)
    rows = np.arange(len(shown))
    picked = np.array(shown)
    right.hlines(
        rows, 0, np.nan_to_num(to_notice[picked]), color=INKS["red"], linewidth=1.3, label="unnoticed"
    )
    both = ~np.isnan(to_remove[picked]) & ~np.isnan(to_notice[picked])
    right.hlines(
        rows[both], to_notice[picked][both], to_remove[picked][both], color=INKS["orange"], linewidth=1.3,
        label="removing",
    )  # fmt: skip
    right.plot(
        to_remove[picked], rows, linestyle="", marker="|", markersize=3.5, color=INKS["ink"], label="removed"
    )
    right.set_xlabel("time since the exact exhaustion [s]")
    right.set_ylabel("channels, first exhausted at the bottom")
    right.set_yticks([])
    right.set_xlim(left=0)
    right.set_ylim(-1, len(shown))
    right.grid(axis="y", visible=False)
    legend_above(right, 3)
    known = to_remove[~np.isnan(to_remove)]
    middle = (
        f"the median one {number_text(float(np.median(known)))} s after it" if len(known) else "none of them"
    )
    sentence = (
        f"{len(when)} channels ran out of money; {len(known)} pods were removed for it, {middle}, and what was served "
        f"in between cost {value_text(run.metric('overrun'))} {run.token}."
    )
    header = ["pod", "provider", f"exhausted [{run.time.word}]", "noticed after [s]", "removed after [s]"]
    table = [
        [
            pods[place], providers[place], f"{float(run.since(when[place : place + 1])[0]):.3f}",
            _seconds(to_notice[place]), _seconds(to_remove[place]),
        ]
        for place in shown
    ]  # fmt: skip
    basis = f"{len(when)} channels" + (f", {len(shown)} drawn and listed" if len(shown) < len(when) else "")
    if len(run.replications) > 1:
        basis += f"; first of {len(run.replications)} replications, since each removes others"
    return Plot(
        "removals", "Who was removed, and when", sentence, svg_of(drawn, "removals"), header, table, basis
    )


def _seconds(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


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
