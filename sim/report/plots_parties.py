"""Plots of distributions: latency, pods, cost, and the providers' revenue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sim.report.data import RunData, band, by_group, quantile_places
from sim.report.style import (
    DASHES,
    INKS,
    SERIES,
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
MARKS: Final = ("o", "s", "^", "D", "v", "P")


def latency(run: RunData) -> Plot | None:
    """Distribution of latency, pooled and of cold starts; None when nothing was answered."""
    ends = run.range_ms()
    if ends is None:
        return None
    at_ms = np.geomspace(ends[0], ends[1], 160)
    drawn, (left, right) = figure(2, height=2.6)
    total, tail = 0, False
    for place, (kind, label) in enumerate((("all", "all answered"), ("cold", "waited for a start"))):
        shares, count = run.ecdf(kind, at_ms)
        if not count:
            continue
        total += count if kind == "all" else 0
        shown = band(shares)
        colour = INKS[("blue", "orange")[place]]
        left.plot(at_ms, shown.mean * 100, color=colour, linestyle=DASHES[place], label=label)
        beyond = (1 - shown.mean) * 100
        seen = beyond * count > 100 * 99.5  # a tail of under 100 requests is not drawn
        tail = tail or bool(seen.any())
        right.plot(at_ms[seen], beyond[seen], color=colour, linestyle=DASHES[place], label=label)
        if shown.low is not None and shown.high is not None:
            left.fill_between(at_ms, shown.low * 100, shown.high * 100, color=colour, alpha=0.18, linewidth=0)
            low, high = (np.maximum((1 - side) * 100, 1e-6) for side in (shown.high, shown.low))
            right.fill_between(at_ms[seen], low[seen], high[seen], color=colour, alpha=0.18, linewidth=0)
    log_axis(left, "x")
    log_axis(right, "x")
    log_axis(right, "y")
    left.set_ylim(0, 101)
    if not tail:
        right.set_ylim(1, 100)  # so few requests leave nothing to take the limits from
    left.set_ylabel("answered within [%]")
    right.set_ylabel("took longer [%]")
    for axes in (left, right):
        axes.set_xlabel("latency [ms]")
        legend_above(axes, 2)
    metrics = {name: run.metric(name) for name in run.summary["metrics"] if "latency" in name}
    sentence = (
        f"Half of all answers came within {_ms(metrics['latency_p50_ms'])}, 99 % within "
        f"{_ms(metrics['latency_p99_ms'])}; of those that waited for a start, half within "
        f"{_ms(metrics['cold_latency_p50_ms'])}, and in the median pod within "
        f"{_ms(metrics['cold_latency_p50_pod_ms'])}. On the right the same tail, down to the last 100 requests. "
        f"All of it is as clients see it, the network included.{_start(run)}"
    )
    header = [
        "quantile",
        "all pods pooled [ms]",
        "median pod [ms]",
        "cold starts, pooled [ms]",
        "cold, median pod [ms]",
    ]
    rows = [
        [f"p{prob}", *(value_text(metrics[name.format(prob)]) for name in (
            "latency_p{}_ms", "latency_p{}_pod_ms", "cold_latency_p{}_ms", "cold_latency_p{}_pod_ms"))]
        for prob in (50, 95, 99)
    ]  # fmt: skip
    basis = (
        f"{number_text(float(total))} requests in {number_text(float(len(run.pods.names)))} pods, {run.basis}"
    )
    return Plot("latency", "Latency and cold starts", sentence, svg_of(drawn, "latency"), header, rows, basis)


def _start(run: RunData) -> str:
    """What a replica's start was made of, as a sentence; nothing when none became ready."""
    parts = {
        part: run.metric(f"start_{part}_s") for part in ("scheduling", "pull", "decryption", "application")
    }
    if any(entry["mean"] is None for entry in parts.values()):
        return ""
    said = ", ".join(f"{part} {value_text(entry)} s" for part, entry in parts.items())
    return f" A replica was ready after, on average: {said}."


def pods(run: RunData) -> Plot | None:
    """Each pod's cold share and median latency against how busy it is; None when no pod answered anything."""
    data = run.pods
    order = np.argsort(-data.served, kind="stable")
    order = order[data.served[order] > 0]
    if not len(order):
        return None
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


def cost(run: RunData) -> Plot | None:
    """What each pod cost against its requests, log-log; None when nothing cost anything."""
    data = run.pods
    order = np.argsort(-data.served, kind="stable")
    order = order[(data.served[order] > 0) & (data.cost[order] > 0)]
    if not len(order):
        return None
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
    sorted_cost = np.sort(per_million)
    right.plot(sorted_cost, np.arange(1, len(order) + 1) / len(order) * 100, color=INKS["blue"])
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


def revenue(run: RunData) -> Plot | None:
    """Revenue by class of provider, and how evenly it is spread; None without providers."""
    counts = {number: run.tables.rows("providers", number) for number in run.replications}
    first = counts[run.replications[0]]
    if not len(first):
        return None
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
    held = np.array([_lorenz(row) for row in earned])
    share = np.linspace(0, 100, held.shape[1])
    shown = band(held * 100)
    right.plot(
        [0, 100], [0, 100], color=INKS["soft"], linewidth=0.8, linestyle=DASHES[2], label="all the same"
    )
    right.plot(share, shown.mean, color=INKS["blue"], label="these")
    if shown.low is not None and shown.high is not None:
        right.fill_between(share, shown.low, shown.high, color=INKS["blue"], alpha=0.18, linewidth=0)
    right.set_xlim(0, 100)
    right.set_ylim(0, 100)
    right.set_xlabel("providers, poorest first [%]")
    right.set_ylabel("their share of the revenue [%]")
    legend_above(right, 2)
    uneven = [value for value in (gini(row.tolist()) for row in earned) if value is not None]
    spread = [value for value in (hhi(row.tolist()) for row in earned) if value is not None]
    sentence = "No provider was paid anything."
    if spread:
        mean_hhi = float(np.mean(spread))
        sentence = (
            f"Providers claimed {value_text(run.metric('revenue'))} {run.token}. Its concentration is HHI "
            f"{number_text(mean_hhi)}, as if {number_text(round(1 / mean_hhi, 1))} equal providers shared it among "
            f"{len(first)}; the Gini coefficient is {number_text(float(np.mean(uneven)))}."
        )
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
    return Plot("revenue", "Providers' revenue", sentence, svg_of(drawn, "revenue"), header, rows, basis)


def _points(axes: Axes, x: Floats, y: Floats, label: str, place: int) -> None:
    """One class of pods: colour and mark both tell it apart."""
    colour, mark = INKS[SERIES[place % len(SERIES)]], MARKS[place % len(MARKS)]
    axes.scatter(x, y, s=9, marker=mark, color=colour, alpha=0.6, linewidths=0, label=label)


def _lorenz(amounts: Floats) -> Floats:
    total = amounts.sum()
    rising = np.concatenate([[0.0], np.cumsum(np.sort(amounts))])
    return np.asarray(rising / total if total > 0 else np.linspace(0, 1, len(rising)))


def _pod_basis(run: RunData, count: int, shown: int) -> str:
    text = f"{count} pods" + (f", {shown} of them drawn" if shown < count else "")
    if len(run.replications) > 1:
        text += f"; first of {len(run.replications)} replications"
    return text


def _ms(entry: dict[str, object]) -> str:
    text = value_text(entry)
    return text if text == "too few" else f"{text} ms"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else number_text(value)
