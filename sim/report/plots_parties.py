"""Plots of pods and providers: who was busy, what it cost, and who earned it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sim.report.data import RunData, band, by_group, quantile_places
from sim.report.style import (
    DASHES,
    INKS,
    MARKS,
    SERIES,
    Absent,
    Plot,
    figure,
    legend_above,
    log_axis,
    number_text,
    plain_axis,
    svg_of,
)
from sim.statistics import gini, hhi
from sim.summary import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sim.records.reader import Floats

MAX_PODS: Final = 800
"""Pods drawn as points: more are spread evenly over those sorted by their requests."""


def pods(run: RunData) -> Plot | Absent:
    """Each pod's cold share and median latency against how busy it is."""
    data = run.pods
    order = np.argsort(-data.served, kind="stable")
    order = order[data.served[order] > 0]
    if not len(order):
        return Absent("Pod by pod", "no pod answered anything")
    shown = order[quantile_places(len(order), MAX_PODS)]
    cold_share = np.divide(data.cold, data.served, out=np.zeros_like(data.cold), where=data.served > 0)
    drawn, (left, right) = figure(2, height=2.7)
    for place, (group, places) in enumerate(by_group(data.groups).items()):
        here = places[np.isin(places, shown)]
        for axes, values in ((left, cold_share[here] * 100), (right, data.median_ms[here])):
            _points(axes, data.served[here], values, group, place)
    for axes in (left, right):
        log_axis(axes, "x")
        axes.set_xlabel("requests answered, a pod")
        legend_above(axes, 5, marks=True)
    log_axis(right, "y")
    left.set_ylim(-2, 102)
    left.set_ylabel("of them waited for a start [%]")
    right.set_ylabel("the pod's median latency [ms]")
    busiest = data.served[order[0]] / data.served.sum()
    weight = "so pooled figures are mostly its own" if busiest > 0.5 else "and pooled figures weigh it so"
    sentence = (
        f"The busiest pod answers {busiest * 100:.0f} % of all requests, {weight}; of the median "
        f"pod's requests {value_text(run.metric('cold_share_pod'))} % wait for a start, of all requests "
        f"{value_text(run.metric('cold_share'))} %."
    )
    header = [
        "pod",
        "rank",
        "requests",
        "waited for a start [%]",
        "median latency [ms]",
        "median of cold starts [ms]",
        f"cost [{run.token}]",
    ]
    rows = [
        [
            data.names[order[rank]], str(rank + 1), number_text(float(data.served[order[rank]])),
            number_text(float(cold_share[order[rank]] * 100)), _number(float(data.median_ms[order[rank]])),
            _number(float(data.cold_median_ms[order[rank]])),
            number_text(float(data.cost[order[rank]])),
        ]
        for rank in quantile_places(len(order), 15)
    ]  # fmt: skip
    return Plot(
        "pods",
        "Pod by pod",
        sentence,
        svg_of(drawn, "pods"),
        header,
        rows,
        _pod_basis(run, len(order), len(shown)),
    )


def cost(run: RunData) -> Plot | Absent:
    """What each pod cost against its requests, log-log."""
    data = run.pods
    order = np.argsort(-data.served, kind="stable")
    order = order[(data.served[order] > 0) & (data.cost[order] > 0)]
    if not len(order):
        return Absent("Cost by pod", "no pod that answered anything paid for it")
    shown = order[quantile_places(len(order), MAX_PODS)]
    per_million = data.cost[order] / data.served[order] * 1e6
    drawn, (left, right) = figure(2, height=2.7, widths=(1.4, 1))
    for place, (group, places) in enumerate(by_group(data.groups).items()):
        here = places[np.isin(places, shown)]
        _points(left, data.served[here], data.cost[here], group, place)
    log_axis(left, "x")
    log_axis(left, "y")
    left.set_xlabel("requests answered, a pod")
    left.set_ylabel(f"cost of the pod [{run.token}]")
    legend_above(left, 5, marks=True)
    every = [
        (pods.cost / np.maximum(pods.served, 1) * 1e6)[(pods.served > 0) & (pods.cost > 0)]
        for pods in map(run.pods_in, run.replications)
    ]
    every = [one for one in every if len(one)]
    at = np.geomspace(min(float(one.min()) for one in every) * 0.98, max(map(np.max, every)) * 1.02, 160)
    ranked = band(
        np.array([np.searchsorted(np.sort(one), at, side="right") / len(one) for one in every]) * 100
    )
    right.plot(at, ranked.mean, color=INKS["blue"])
    if ranked.low is not None and ranked.high is not None:
        right.fill_between(at, ranked.low, ranked.high, color=INKS["blue"], alpha=0.18, linewidth=0)
    log_axis(right, "x")
    right.set_xlabel(f"cost of a million requests [{run.token}]")
    right.set_ylabel("pods up to this [%]")
    right.set_ylim(0, 101)
    low, middle, high = np.quantile(per_million, [0.1, 0.5, 0.9])
    sentence = (
        f"A million requests cost {number_text(float(middle))} {run.token} for the median pod, {number_text(float(low))} "
        f"or less for the cheapest tenth and {number_text(float(high))} or more for the dearest: a pod with few requests "
        f"pays for being up. Over all requests it is {value_text(run.metric('cost_per_million'))} {run.token}."
    )
    header = [
        "pods, by requests",
        "pods",
        "requests [median]",
        f"cost [median, {run.token}]",
        f"a million requests [median, {run.token}]",
    ]
    rows = []
    for tenth, part in enumerate(np.array_split(order, min(10, len(order)))):
        rows.append(
            [
                f"tenth {tenth + 1}" if len(order) >= 10 else data.names[part[0]], str(len(part)),
                number_text(float(np.median(data.served[part]))), number_text(float(np.median(data.cost[part]))),
                number_text(float(np.median(data.cost[part] / data.served[part] * 1e6))),
            ]
        )  # fmt: skip
    return Plot(
        "cost",
        "Cost by pod",
        sentence,
        svg_of(drawn, "cost"),
        header,
        rows,
        _pod_basis(run, len(order), len(shown)),
    )


def revenue(run: RunData) -> Plot | Absent:
    """Revenue and profit by class of provider, and how evenly they are spread."""
    counts = {number: run.tables.rows("providers", number) for number in run.replications}
    first = counts[run.replications[0]]
    if not len(first):
        return Absent("Providers' revenue and profit", "there is no provider")
    groups = by_group([str(name) for name in first.table["group"].to_pylist()])
    earned = np.array([rows.floats("revenue") for rows in counts.values()]) / run.unit
    profit = np.array([rows.floats("profit") for rows in counts.values()]) / run.unit
    unpaid = np.array([rows.floats("unpaid") for rows in counts.values()]) / run.unit
    drawn, (left, right) = figure(2, height=2.6, widths=(1.35, 1), bottom=0.5)
    spots = np.arange(len(groups))
    for place, (label, values) in enumerate((("revenue", earned), ("profit", profit))):
        sums = np.array([values[:, members].sum(axis=1) for members in groups.values()]).T
        shown = band(sums)
        error = None if shown.high is None else shown.high - shown.mean
        left.bar(
            spots + (place - 0.5) * 0.36, shown.mean, 0.33, yerr=error, color=INKS[("blue", "green")[place]], alpha=0.85,
            label=label, error_kw={"ecolor": INKS["ink"], "elinewidth": 0.8, "capsize": 2},
        )  # fmt: skip
    left.set_xticks(spots, [f"{group}\n({len(members)})" for group, members in groups.items()])
    left.axhline(0, color=INKS["soft"], linewidth=0.7)
    left.set_ylabel(f"{run.token}, all of a class")
    left.grid(axis="x", visible=False)
    plain_axis(left, "y")
    legend_above(left, 2)
    right.plot([0, 100], [0, 100], color=INKS["soft"], linewidth=0.8, linestyle=DASHES[2], label="equal")
    least = 0.0
    for place, (label, values) in enumerate((("revenue", earned), ("profit", profit))):
        if not (values.sum(axis=1) > 0).all():  # shares of nothing, or of a loss
            continue
        shown = band(np.array([_lorenz(row) for row in values]) * 100)
        colour = INKS[("blue", "green")[place]]
        right.plot(
            np.linspace(0, 100, len(first) + 1),
            shown.mean,
            color=colour,
            linestyle=DASHES[place],
            label=label,
        )
        if shown.low is not None and shown.high is not None:
            right.fill_between(
                np.linspace(0, 100, len(first) + 1),
                shown.low,
                shown.high,
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
        least = min(least, float(shown.mean.min()))
    right.set_xlim(0, 100)
    right.set_ylim(least * 1.08, 100)
    right.set_xlabel("providers, poorest first [%]")
    right.set_ylabel("their share of the whole [%]")
    legend_above(right, 3)
    sentence = f"{_spread(run, earned)} {_profits(run, profit)}"
    header = [
        "class",
        "providers",
        f"revenue [{run.token}]",
        f"profit [{run.token}]",
        f"never paid [{run.token}]",
    ]
    rows = [
        [
            group, str(len(members)),
            *(number_text(float(values[:, members].sum(axis=1).mean())) for values in (earned, profit, unpaid)),
        ]
        for group, members in groups.items()
    ]  # fmt: skip
    basis = f"{len(first)} providers, {run.basis}"
    return Plot(
        "revenue", "Providers' revenue and profit", sentence, svg_of(drawn, "revenue"), header, rows, basis
    )


def _points(axes: Axes, x: Floats, y: Floats, label: str, place: int) -> None:
    """One class of pods: colour and mark both tell it apart."""
    colour, mark = INKS[SERIES[place % len(SERIES)]], MARKS[place % len(MARKS)]
    axes.scatter(x, y, s=9, marker=mark, color=colour, alpha=0.6, linewidths=0, label=label)


def _spread(run: RunData, earned: Floats) -> str:
    uneven = [value for value in (gini(row.tolist()) for row in earned) if value is not None]
    if not uneven:
        return "No provider was paid anything."
    hhis = [value for value in (hhi(row.tolist()) for row in earned) if value is not None]
    mean_hhi, count = float(np.mean(hhis)), earned.shape[1]
    return (
        f"Providers claimed {value_text(run.metric('revenue'))} {run.token}. Its concentration is HHI "
        f"{number_text(mean_hhi)}, as if {number_text(round(1 / mean_hhi, 1))} equal providers shared it among "
        f"{count}; the Gini coefficient is {number_text(float(np.mean(uneven)))}."
    )


def _profits(run: RunData, profit: Floats) -> str:
    """How profit is spread. Shares need a whole: losses are left out of the index, and named."""
    gains = np.maximum(profit, 0)
    text = f"Their profit is {value_text(run.metric('profit'))} {run.token}"
    losers = float((profit < 0).sum(axis=1).mean())
    indices = [value for value in (hhi(row.tolist()) for row in gains) if value is not None]
    if len(indices) < len(profit):
        return f"{text}; none made one, so it has no shares."
    text += f", with an HHI of {number_text(float(np.mean(indices)))} among those that made one"
    if losers:
        text += f" ({number_text(round(losers, 1))} of {profit.shape[1]} made a loss)"
    if not (profit.sum(axis=1) > 0).all():
        text += "; all together made a loss, so there is no curve of it"
    return text + "."


def _lorenz(amounts: Floats) -> Floats:
    total = amounts.sum()
    rising = np.concatenate([[0.0], np.cumsum(np.sort(amounts))])
    return np.asarray(rising / total if total > 0 else np.linspace(0, 1, len(rising)))


def _pod_basis(run: RunData, count: int, shown: int) -> str:
    text = f"{count} pods" + (f", {shown} of them drawn" if shown < count else "")
    if len(run.replications) > 1:
        text += f"; first of {len(run.replications)} replications"
    return text


def _number(value: float) -> str:
    return "–" if np.isnan(value) else number_text(value)
