"""Plots of latency and cold starts: of all requests pooled, and pod by pod."""

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
    svg_of,
)  # fmt: skip
from sim.statistics import bucket_edges_ms, merge_buckets
from sim.summary import value_text

if TYPE_CHECKING:
    from sim.records.reader import Floats

MOST_CURVES: Final = 40
"""Pods whose own distribution is drawn: of more, so many are spread evenly over all, by their requests."""
LEAST_REQUESTS: Final = 20
"""Requests of a pod whose distribution is drawn: of fewer it is a staircase of chance."""
NOTHING: Final = "nothing was answered"


def latency(run: RunData) -> Plot | Absent:
    """Distribution of latency, pooled and of cold starts."""
    ends = run.range_ms()
    if ends is None:
        return Absent("Latency and cold starts", NOTHING)
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


def latency_pods(run: RunData) -> Plot | Absent:
    """Each pod's own distribution of latency, and that of the pods' medians."""
    title = "Latency, pod by pod"
    ends, data = run.range_ms(), run.pods
    order = np.argsort(-data.served, kind="stable")
    order = order[data.served[order] >= LEAST_REQUESTS]
    if ends is None or not len(order):
        return Absent(title, NOTHING if ends is None else f"no pod answered {LEAST_REQUESTS} requests")
    shown = set(order[quantile_places(len(order), MOST_CURVES)].tolist())
    rows = run.tables.rows("latency", run.replications[0])
    rows = rows.where(rows.is_name("kind", ["all"]))
    codes, known = rows.codes("pod")
    buckets, counts = rows.ints("bucket"), rows.ints("requests")
    drawn, (left, right) = figure(2, height=2.6)
    for place, (group, members) in enumerate(by_group(data.groups).items()):
        label: str | None = group
        for pod in members.tolist():
            if pod in shown and data.names[pod] in known:
                mine = codes == known.index(data.names[pod])
                own, many = merge_buckets(buckets[mine], counts[mine])
                low, high = bucket_edges_ms(own)
                left.plot(
                    np.r_[low[0], high], np.r_[0, np.cumsum(many) / many.sum()] * 100, linewidth=0.7, alpha=0.65,
                    color=INKS[SERIES[place % len(SERIES)]], linestyle=DASHES[place % len(DASHES)], label=label,
                )  # fmt: skip
                label = None
    medians = {
        "median": [run.quantiles_ms("all", number, data.names, 0.5) for number in run.replications],
        "p95": [run.quantiles_ms("all", number, data.names, 0.95) for number in run.replications],
    }
    enough = {name: values for name, values in medians.items() if all((~np.isnan(v)).any() for v in values)}
    for place, (name, values) in enumerate(enough.items()):
        at_ms = _grid(np.concatenate(values))
        curves = band(np.array([_share_up_to(one, at_ms) for one in values]) * 100)
        colour = INKS[SERIES[place]]
        right.plot(at_ms, curves.mean, color=colour, linestyle=DASHES[place], label=f"the pod's {name}")
        if curves.low is not None and curves.high is not None:
            right.fill_between(at_ms, curves.low, curves.high, color=colour, alpha=0.18, linewidth=0)
    for axes in (left, right):
        log_axis(axes, "x")
        axes.set_xlabel("latency [ms]")
        axes.set_ylim(0, 101)
        legend_above(axes, 3)
    left.set_ylabel("answered within, a pod [%]")
    right.set_ylabel("pods up to this [%]")
    middle = np.array([np.nanquantile(one, [0.1, 0.5, 0.9]) for one in medians["median"]]).mean(axis=0)
    sentence = (
        f"The median pod answers half of its requests within {number_text(float(middle[1]))} ms; a tenth of the pods within "
        f"{number_text(float(middle[0]))} ms, and a tenth take longer than {number_text(float(middle[2]))} ms. On the left a "
        "line is a pod; on the right they are ranked by their own median and, where they have 2,000 requests, p95."
    )
    header = ["pods", *(f"{name} [ms]" for name in medians), "pods with enough requests for both"]
    table = []
    for prob in (0.05, 0.25, 0.5, 0.75, 0.95):
        row = [f"{prob:.0%} of them up to"]
        for name, values in medians.items():
            row.append(
                number_text(float(np.mean([np.nanquantile(v, prob) for v in values])))
                if name in enough
                else "too few"
            )
        table.append([*row, str(int((~np.isnan(medians["p95"][0])).sum()))])
    basis = f"{len(order)} pods with {LEAST_REQUESTS} requests or more"
    basis += f", {len(shown)} drawn on the left" if len(shown) < len(order) else ""
    basis += f", {run.basis}" + ("; on the left the first one" if len(run.replications) > 1 else "")
    return Plot("latency-pods", title, sentence, svg_of(drawn, "latency-pods"), header, table, basis)


def cold(run: RunData) -> Plot | Absent:
    """The cold share of pods, ranked, with its band over replications."""
    title = "Cold starts, pod by pod"
    shares = []
    for number in run.replications:
        pods = run.pods_in(number)
        busy = pods.served > 0
        shares.append(pods.cold[busy] / pods.served[busy] * 100)
    if not all(map(len, shares)):
        return Absent(title, NOTHING)
    if not sum(float(one.sum()) for one in shares):
        return Absent(title, "no request waited for a start")
    top = min(100.0, 1.1 * max(float(one.max()) for one in shares))
    at = np.linspace(0, top, 201)
    curves = band(np.array([_share_up_to(one, at) for one in shares]) * 100)
    drawn, (axes,) = figure(1, height=2.2)
    axes.plot(at, curves.mean, color=INKS["blue"], label="pods")
    if curves.low is not None and curves.high is not None:
        low, high = np.clip(curves.low, 0, 100), np.clip(curves.high, 0, 100)
        axes.fill_between(at, low, high, color=INKS["blue"], alpha=0.18, linewidth=0)
    pooled = run.metric("cold_share")["mean"]
    if pooled is not None:
        axes.axvline(
            pooled * 100, color=INKS["orange"], linestyle=DASHES[1], label="of all requests together"
        )
    axes.set_xlim(0, top)
    axes.set_ylim(0, 101)
    axes.set_xlabel("requests that waited for a start, of those the pod answered [%]")
    axes.set_ylabel("pods up to this [%]")
    legend_above(axes)
    sentence = (
        f"In the median pod {value_text(run.metric('cold_share_pod'))} % of the requests answered had waited for a replica "
        f"to start, of all requests together {value_text(run.metric('cold_share'))} %: busy pods weigh more in the second."
    )
    header = ["pods", "cold share up to [%]", "95 % interval, ±"]
    table = []
    for prob in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
        one = band(np.array([[np.quantile(share, prob)] for share in shares]))
        half = "–" if one.high is None else number_text(float(one.high[0] - one.mean[0]))
        table.append([f"{prob:.0%} of them", number_text(float(one.mean[0])), half])
    basis = f"{len(shares[0])} pods, {run.basis}"
    return Plot("cold", title, sentence, svg_of(drawn, "cold"), header, table, basis)


def cost_latency(run: RunData) -> Plot | Absent:
    """What a million requests cost a pod against how long its slow ones take."""
    title = "Cost against p99"
    names, groups = run.pods.names, by_group(run.pods.groups)
    found = {
        prob: np.array([run.quantiles_ms("all", number, names, prob) for number in run.replications])
        for prob in (0.99, 0.95)
    }
    per_million = []
    for number in run.replications:
        pods = run.pods_in(number)
        paid = (pods.served > 0) & (pods.cost > 0)
        per_million.append(np.where(paid, pods.cost / np.maximum(pods.served, 1) * 1e6, np.nan))
    costs = np.array(per_million)
    enough = {
        prob: np.flatnonzero(~np.isnan(slow).any(axis=0) & ~np.isnan(costs).any(axis=0))
        for prob, slow in found.items()
    }
    prob = next((prob for prob, places in enough.items() if len(places) > 1), None)
    if prob is None:
        return Absent(
            title,
            "fewer than two of the pods that paid answered 2,000 requests in every replication, which a p95 needs already",
        )
    known, slow = enough[prob], found[prob]
    word = f"p{prob * 100:.0f}"
    x, y = band(slow[:, known]), band(costs[:, known])
    drawn, (axes,) = figure(1, height=2.8)
    for place, (group, members) in enumerate(groups.items()):
        mine = np.isin(known, members)
        if not mine.any():
            continue
        colour = INKS[SERIES[place % len(SERIES)]]
        if x.low is not None and y.low is not None and x.high is not None and y.high is not None:
            axes.hlines(
                y.mean[mine],
                np.maximum(x.low[mine], x.mean[mine] / 10),
                x.high[mine],
                color=colour,
                linewidth=0.7,
                alpha=0.6,
            )
            axes.vlines(
                x.mean[mine],
                np.maximum(y.low[mine], y.mean[mine] / 10),
                y.high[mine],
                color=colour,
                linewidth=0.7,
                alpha=0.6,
            )
        axes.plot(
            x.mean[mine], y.mean[mine], linestyle="", marker=MARKS[place % len(MARKS)], markersize=4, color=colour, alpha=0.8,
            label=group,
        )  # fmt: skip
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_xlabel(f"the pod's own {word} latency [ms]")
    axes.set_ylabel(f"a million requests [{run.token}]")
    legend_above(axes, 6, marks=True)
    front = [
        place for place in range(len(known))
        if not any((x.mean <= x.mean[place]) & (y.mean <= y.mean[place]) & ((x.mean < x.mean[place]) | (y.mean < y.mean[place])))
    ]  # fmt: skip
    sentence = (
        f"Of {len(known)} pods with enough requests for a {word}, {len(front)} are such that none is both cheaper and faster; "
        f"the cheapest pays {number_text(float(y.mean.min()))} {run.token} for a million requests, the fastest has a {word} of "
        f"{number_text(float(x.mean.min()))} ms."
        + ("" if prob == 0.99 else " Fewer than two have the 10,000 requests that a p99 needs.")
    )
    header = ["pod", f"{word} [ms]", "±", f"a million requests [{run.token}]", "±", "none cheaper and faster"]
    order = np.argsort(y.mean, kind="stable")
    table = [
        [
            names[known[place]], number_text(float(x.mean[place])), _half(x.high, x.mean, place),
            number_text(float(y.mean[place])), _half(y.high, y.mean, place), "yes" if place in front else "",
        ]
        for place in order[quantile_places(len(order), 20)].tolist()
    ]  # fmt: skip
    basis = f"{len(known)} of {len(names)} pods, {run.basis.replace('bands', 'lines')}"
    return Plot(
        "cost-latency", f"Cost against {word}", sentence, svg_of(drawn, "cost-latency"), header, table, basis
    )


def _half(high: Floats | None, mean: Floats, place: int) -> str:
    return "–" if high is None else number_text(float(high[place] - mean[place]))


def _grid(values: Floats) -> Floats:
    known = values[~np.isnan(values)]
    return np.geomspace(max(float(known.min()), 0.01) * 0.98, float(known.max()) * 1.02, 160)


def _share_up_to(values: Floats, at: Floats) -> Floats:
    known = np.sort(values[~np.isnan(values)])
    return np.asarray(np.searchsorted(known, at, side="right") / max(len(known), 1))


def _ms(entry: dict[str, object]) -> str:
    text = value_text(entry)
    return "a time that too few requests tell" if text == "too few" else f"{text} ms"
