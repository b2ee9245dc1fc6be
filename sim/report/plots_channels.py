"""Plots of channels that ran out of money: how long they lasted, who was removed, and what it cost."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from sim.report.charts import survival as draw_survival
from sim.report.data import RunData, band, quantile_places
from sim.report.style import (
    DASHES,
    INKS,
    Absent,
    Plot,
    figure,
    legend_above,
    number_text,
    plain_axis,
    short_number,
    svg_of,
)  # fmt: skip
from sim.summary import value_text
from sim.survival import Floats, survival_at

MAX_REMOVALS: Final = 80
"""Removals drawn and listed: of more than this, so many are taken, spread evenly over all."""
MOST_GROUPS: Final = 5
"""Groups whose curves can be told apart; with more there is one for all."""
Replication = tuple[Floats, Any]
"""Durations, and whether each ended in exhaustion."""
NOBODY: Final = "no channel ran out of money"


def removals(run: RunData) -> Plot | Absent:
    """Who ran out of money and when, and how long it took to notice and to remove."""
    channels = run.tables.rows("channels", run.replications[0])
    spent = channels.where(channels.present("exhausted_ns"))
    if not len(spent):
        return Absent("Who was removed, and when", NOBODY)
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
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
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


def survival(run: RunData) -> Plot | Absent:
    """How long channels last before their money is gone (Kaplan-Meier), by group of publishers."""
    title = "How long the money lasts"
    lives, asked = _lives(run)
    spent = sum(int(over.sum()) for group in lives.values() for _, over in group)
    if not spent:
        return Absent(title, NOBODY)
    drawn, (axes,) = figure(1, height=2.5)
    draw_survival(axes, lives, word=run.time.word)
    axes.set_xlabel(f"time since the channel was opened [{run.time.word}]")
    axes.set_ylabel("not exhausted yet [%]")
    seen = sum(len(spans) for group in lives.values() for spans, _ in group)
    longest = max(float(np.max(spans)) for group in lives.values() for spans, _ in group)

    def share(group: list[Replication], at: float) -> float:
        """Of a group, at a time [%]; NaN where some replication does not tell."""
        return float(np.mean([survival_at(np.array([at]), spans, over)[0] for spans, over in group])) * 100

    ends = {
        name: next(found for at in (longest, _reach(group)) if not np.isnan(found := share(group, at)))
        for name, group in lives.items()
    }
    told = ", ".join(f"{number_text(round(left, 1))} % of {name}" for name, left in ends.items())
    sentence = (
        f"{spent} of {seen} channels ran out of money; as far as they were seen it is not gone "
        f"in {told}. Channels that were closed, or still open at the end, count for as long as they were seen (Kaplan-Meier)."
    )
    header = [f"time [{run.time.word}]", *(f"{name}: not exhausted [%]" for name in lives)]
    rows = [
        [number_text(round(at, 3)), *(_percent(share(group, at)) for group in lives.values())]
        for at in np.linspace(0, longest, 9).tolist()
    ]
    basis = f"{seen} channels, {run.basis}" + (
        "" if len(lives) == asked else f"; {asked} groups are drawn as one"
    )
    return Plot("survival", title, sentence, svg_of(drawn, "survival"), header, rows, basis)


def _reach(group: list[Replication]) -> float:
    return min(float(np.max(spans)) for spans, _ in group)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else number_text(round(value, 2))


def _lives(run: RunData) -> tuple[dict[str, list[Replication]], int]:
    """For each group of publishers its replications: how long each channel was seen, and whether it was exhausted then."""
    every: dict[str, list[Replication]] = {}
    for number in run.replications:
        pods = run.pods_in(number)
        group_of = dict(zip(pods.names, pods.groups, strict=True))
        rows = run.tables.rows("channels", number)
        rows = rows.where(rows.present("opened_ns"))
        opened = rows.ints("opened_ns")
        to_end = (run.ends_ns[number] - opened).astype(np.float64)
        spent, closed = (rows.elapsed_ns(column, opened) for column in ("exhausted_ns", "closed_ns"))
        spans = np.maximum(np.fmin(np.fmin(spent, closed), to_end), 0) / run.time.ns
        over = spent <= np.fmin(np.where(np.isnan(closed), np.inf, closed), to_end)
        members = np.array(
            [group_of.get(str(pod), "") for pod in rows.table["pod"].to_pylist()], dtype=object
        )
        for group in dict.fromkeys(pods.groups):
            here = members == group
            if here.any():
                every.setdefault(group, []).append((spans[here], over[here]))
    whole = {group: found for group, found in every.items() if len(found) == len(run.replications)}
    if len(whole) == len(every) and len(every) <= MOST_GROUPS:
        return every, len(every)
    if len(whole) == 0:
        return {}, len(every)
    pooled = [
        (
            np.concatenate([found[place][0] for found in whole.values()]),
            np.concatenate([found[place][1] for found in whole.values()]),
        )
        for place in range(len(run.replications))
    ]
    return {"all channels": pooled}, len(every)


def overrun(run: RunData) -> Plot | Absent:
    """What was served after a channel's exhaustion, channel by channel, as a histogram."""
    title = "Served after the money was gone"
    costs = []
    for number in run.replications:
        channels = run.tables.rows("channels", number)
        spent = channels.where(channels.present("exhausted_ns"))
        costs.append(spent.floats("overrun") / run.unit)
    if not sum(map(len, costs)):
        return Absent(title, NOBODY)
    everything = np.concatenate(costs)
    positive = everything[everything > 0]
    if not len(positive):
        return Absent(
            title, f"none of the {len(everything)} exhausted channels was served after its exhaustion"
        )
    least, most = float(positive.min()), float(positive.max())
    bins = 1 if least == most else min(16, max(5, round(len(positive) ** 0.5)))
    edges = np.geomspace(least, most, bins + 1) if bins > 1 else np.array([least / 1.2, least * 1.2])
    edges[0], edges[-1] = edges[0] * (1 - 1e-9), edges[-1] * (1 + 1e-9)
    counts = np.array([np.histogram(cost, edges)[0] for cost in costs], dtype=np.float64)
    shown = band(counts)
    drawn, (axes,) = figure(1, height=2.3)
    axes.bar(
        edges[:-1], shown.mean, np.diff(edges), align="edge", color=INKS["blue"], alpha=0.75, linewidth=0
    )
    if shown.low is not None and shown.high is not None:
        middle = np.sqrt(edges[1:] * edges[:-1])
        axes.vlines(middle, np.maximum(shown.low, 0), shown.high, color=INKS["ink"], linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(edges[:: max(1, len(edges) // 6)])
    axes.xaxis.set_major_formatter(lambda value, _: short_number(float(f"{value:.2g}")))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"served after the exhaustion, a channel [{run.token}]")
    axes.set_ylabel("channels, a replication")
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    plain_axis(axes, "y")
    nothing = len(everything) - len(positive)
    sentence = (
        f"What was served after the exhaustion cost {value_text(run.metric('overrun'))} {run.token} in all, and "
        f"{number_text(float(np.median(positive)))} {run.token} for the median channel that overran"
        + (f"; {nothing} exhausted channels did not overrun." if nothing else ".")
    )
    header = [f"from [{run.token}]", f"to [{run.token}]", "channels, a replication", "95 % interval, ±"]
    rows = [
        [
            number_text(float(edges[place])), number_text(float(edges[place + 1])), number_text(float(shown.mean[place])),
            "–" if shown.high is None else number_text(float(shown.high[place] - shown.mean[place])),
        ]
        for place in range(len(edges) - 1)
    ]  # fmt: skip
    basis = f"{len(everything)} exhausted channels, {run.basis}"
    return Plot("overrun", title, sentence, svg_of(drawn, "overrun"), header, rows, basis)
