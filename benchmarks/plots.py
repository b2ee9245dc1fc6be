"""Entries as pictures. The same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.entries import Entry, ratio
from benchmarks.table import compared

OURS, THEIRS = "#1f6f8b", "#9aa5ab"
GROWTH: Final = {"requests": "o", "pods": "s", "providers": "^", "days": "D", "market": "X"}
"""What is drawn of how it grows, with its mark."""


def beside(entries: Mapping[str, Entry]) -> Figure:
    """Requests per second, ours and the peers', of the SimFaaS workload and of M/M/4."""
    chosen = [(entries[name], title) for name, title in PANELS.items() if name in entries]
    heights = [1 + sum(peer.figure is not None for peer in entry.peers) for entry, _ in chosen]
    figure = Figure((7.2, 0.75 + 0.36 * sum(heights) + 0.3 * len(chosen)), layout="constrained")
    panels = figure.subplots(len(chosen), height_ratios=heights, sharex=True, squeeze=False)
    for axes, (entry, title) in zip(panels[:, 0], chosen, strict=True):
        bars = [("Trusted Pods", entry.ours or 0.0, "")]
        bars += [(p.name, p.figure, f"   ours: {compared(ratio(entry, p))}") for p in entry.peers if p.figure]
        bars.sort(key=lambda bar: bar[1])
        names = [name for name, _, _ in bars]
        values = [value for _, value, _ in bars]
        axes.barh(names, values, color=[OURS if n == "Trusted Pods" else THEIRS for n in names], height=0.7)
        for name, value, part in bars:
            digits = f"{value / 1e6:.3g} M" if value >= 1e6 else f"{float(f'{value:.3g}'):,.0f}"
            axes.annotate(
                f"{digits}{part}", (value, name), (4, 0), textcoords="offset points", va="center", size=8
            )
        axes.set_title(title, loc="left", size=9)
        axes.set_xscale("log")
        axes.set_xlim(1e3, 10 * max(values))
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1, 0].set_xlabel("requests per second of one core")
    return figure


PANELS: Final = {
    "faas": "SimFaaS workload: Poisson 0.9/s, replicas that expire",
    "queue": "M/M/4: Poisson 0.9/s, which Ciw can model",
}


def growth(entries: Mapping[str, Entry]) -> Figure:
    """Wall time and peak memory, each against its smallest point, as one thing grows."""
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for axes, (kind, title) in zip(panels, (("wall", "wall time"), ("memory", "peak memory")), strict=True):
        reach = 1.0
        for name, mark in GROWTH.items():
            entry = entries.get(f"{name}-{kind}")
            if entry is None or not entry.points:
                continue
            x0, y0 = entry.points[0]
            xs = [x / x0 for x, _ in entry.points]
            ys = [y / y0 for _, y in entry.points]
            reach = max(reach, *xs)
            axes.plot(xs, ys, f"{mark}-", markersize=4, linewidth=1.2, label=name)
        axes.plot([1, reach], [1, reach], ":", color="#555555", linewidth=1, label="in proportion")
        axes.set(
            xscale="log", yscale="log", title=title, xlabel="times the smallest", ylabel="times the smallest"
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=7)
    return figure


def save(figure: Figure, path: Path) -> None:
    """As SVG, without a date."""
    with rc_context({"svg.hashsalt": "trusted-pods"}):
        figure.savefig(path, metadata={"Date": None})
