"""`summary.json`: every metric with its mean and interval over replications, and what must be zero."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from sim.estimates import estimate, single
from sim.metrics import FAILURES, METRICS, Metric, Value, World
from sim.records.directory import PROVENANCE, SUMMARY, write_json
from sim.records.reader import RunTables
from sim.warm_up import NONE, WarmUp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table


def write_summary(directory: Path, *, tables: RunTables | None = None) -> dict[str, Any]:
    """Compute `summary.json` from a run's tables and provenance, write it and return it.

    Args:
        directory: the run's directory.
        tables: its tables, where they are read already.
    """
    provenance = json.loads((directory / PROVENANCE).read_text(encoding="utf-8"))
    summary = summarise(tables or RunTables(directory), provenance)
    write_json(directory / SUMMARY, summary)
    return summary


def summarise(tables: RunTables, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a run.

    Args:
        tables: the run's tables.
        provenance: what `provenance.json` holds: names of the tokens, how far the run came.
    """
    warm_up, antithetic = warm_up_in(provenance), bool(provenance.get("antithetic"))
    worlds = worlds_of(tables, provenance, warm_up)
    symbols = {
        "TOKEN": provenance["token"],
        "GAS": provenance["gas_token"],
        "FIAT": provenance["numeraire"],
    }
    return {
        "scenario": provenance["scenario"],
        "seed": provenance["seed"],
        "replications": len(worlds),
        "antithetic": antithetic,
        "warm_up": warm_up.to_record(),
        "precision": provenance.get("precision"),
        "virtual_s": (provenance["end_ns"] - provenance["start_ns"]) / 1e9,
        "complete_share": provenance["complete_share"],
        "interrupted": provenance["interrupted"],
        "token": provenance["token"],
        "gas_token": provenance["gas_token"],
        "metrics": {
            metric.name: _entry(metric, [metric.of(world) for world in worlds], symbols, antithetic)
            for metric in METRICS
        },
        "conservation": [law for world in worlds for law in conservation(tables, world.replication)],
        "not_modelled": list(provenance["not_modelled"]),
        **provenance.get("notes", {}),
    }


def warm_up_in(provenance: Mapping[str, Any]) -> WarmUp:
    """The warm-up that a run has; none in runs that were made before there was one."""
    said = provenance.get("warm_up")
    return WarmUp.from_record(said) if said else NONE


def worlds_of(tables: RunTables, provenance: Mapping[str, Any], warm_up: WarmUp) -> list[World]:
    """Every replication of a run, to be measured."""
    decimals, gas_decimals = provenance["decimals"], provenance["gas_decimals"]
    return [
        World(tables, number, decimals=decimals, gas_decimals=gas_decimals, warm_up=warm_up)
        for number in tables.replications
    ]


def _entry(
    metric: Metric, measured: list[Value], symbols: Mapping[str, str], antithetic: bool
) -> dict[str, Any]:
    values = [single(value) for value in measured]
    found = estimate(measured, antithetic=antithetic)
    return {
        "name": metric.name,
        "section": metric.section,
        "label": metric.label,
        "unit": symbols.get(metric.unit, metric.unit),
        "kind": metric.kind,
        "better": metric.better,
        "about": metric.about,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "values": values,
    }


def conservation(tables: RunTables, replication: int) -> list[dict[str, Any]]:
    """What must be zero: the laws that the tables alone can show, then those the simulator checked itself.

    Returns:
        for each law its name, unit, both sides and their difference, exact integers.
    """
    channels = tables.rows("channels", replication)
    publishers = tables.rows("publishers", replication)
    deployments = tables.rows("deployments", replication)
    revenue = tables.rows("providers", replication).total("revenue")
    unit = "token base units"
    laws = [
        ("invested = withdrawn + returned + left in channels", unit, channels.total("invested"),
         sum(channels.total(name) for name in ("withdrawn", "returned", "available_at_end"))),
        ("deposits + top-ups = spent + returned + locked", unit,
         sum(publishers.total(name) for name in ("deposited", "top_ups")),
         sum(publishers.total(name) for name in ("spent", "returned", "locked_at_end"))),
        ("publishers spent = providers' revenue", unit, publishers.total("spent"), revenue),
        ("claims paid = providers' revenue", unit, tables.rows("claims", replication).total("paid"), revenue),
        ("attempts at hosted pods = served + failed + still there", "attempts", deployments.total("arrivals"),
         sum(deployments.total(name) for name in ("served", "pending_at_end", *(f"failed_{why}" for why in FAILURES)))),
    ]  # fmt: skip
    own = tables.rows("conservation", replication).table.to_pylist()
    laws += [(row["law"], row["unit"], int(row["left"]), int(row["right"])) for row in own]
    return [
        {
            "replication": replication,
            "law": law,
            "unit": of,
            "left": left,
            "right": right,
            "residual": left - right,
        }
        for law, of, left, right in laws
    ]


LATENCY_PROBS: Final = (50, 95, 99)
LATENCY_ROWS: Final = {
    "all answered": "latency_p{}_ms",
    "the median pod": "latency_p{}_pod_ms",
    "cold starts": "cold_latency_p{}_ms",
    "cold, median pod": "cold_latency_p{}_pod_ms",
}
"""Each row of the latency grid and its metrics' names."""
SECTIONS: Final = {
    "people": "People",
    "service": "Service",
    "steady": "Steady state",
    "money": "Money",
    "welfare": "Welfare",
    "faults": "Faults",
    "market": "Market",
}


OF_LIARS: Final = frozenset({"unpaid_dishonest", "overcharged", "lies_found", "lie_found_delay_s"})
"""Metrics that are nothing where everybody keeps to the protocol."""


def summary_view(summary: Mapping[str, Any]) -> RenderableType:
    """The summary as a person reads it in a terminal: people, service, money, faults and market, units beside."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    sections = {name: _section(summary, name) for name in SECTIONS}
    steady: list[RenderableType] = [sections["steady"], ""] if warm_up_text(summary.get("warm_up")) else []
    left = Group(sections["people"], "", sections["service"], "", *steady, _latency(summary), "")
    named = [
        sections[name] for name in ("money", "welfare", "faults", "market") if sections[name].row_count > 1
    ]
    right = Group(*(part for section in named for part in (section, "")))
    page = Columns([left, right], padding=(0, 4))  # one below the other where the terminal is narrow
    count = summary["replications"]
    head = Text.assemble(
        (str(summary["scenario"]), "bold"),
        f"   {span_text(summary['virtual_s'])} of virtual time, seed {summary['seed']}, ",
        f"{count} replication{'' if count == 1 else 's'}",
        " in antithetic pairs" if summary.get("antithetic") else "" if count > 1 else " (so no intervals)",
    )
    parts: list[RenderableType] = [head]
    parts += [Text(line) for line in (warm_up_text(summary.get("warm_up")),) if line]
    if summary.get("precision") is not None:
        found = summary["precision"]
        parts.append(Text(precision_text(found), "" if found["reached"] else "yellow"))
    if summary["interrupted"]:
        parts.append(
            Text(f"Interrupted: {summary['complete_share']:.1%} of the virtual time was reached.", "yellow")
        )
    parts += [Text(warning, "yellow") for warning in summary.get("warnings", ())]
    parts += ["", page, _balance(summary)]
    return Padding(Group(*parts), (1, 2))


def warm_up_text(record: Mapping[str, Any] | None) -> str:
    """What is left out of steady-state figures, in words; nothing when nothing is."""
    warm_up = WarmUp.from_record(record) if record else NONE
    if warm_up.asked == "none":
        return ""
    names = ", ".join(warm_up.unsettled)
    todo = "run longer, or say how long the warm-up is"
    if warm_up.length_ns is None:
        return f"No warm-up was found: no steady-state metric settles in the first half of the run; {todo}."
    how = " (auto: MSER-5)" if warm_up.asked == "auto" else ""
    text = f"Steady-state figures leave out the first {span_text(warm_up.length_ns / 1e9)}{how}."
    return f"{text} Not seen to settle in the first half of the run: {names}; {todo}." if names else text


def precision_text(found: Mapping[str, Any]) -> str:
    """Whether the half-width that was asked for was reached, in words."""
    asked = f"{100 * found['asked']:.3g} % of the mean of {found['metric']}"
    if found["reached"]:
        half = 100 * found["half_width"] / abs(found["mean"]) if found["mean"] else 0.0
        return f"The half-width of {asked} was reached: {half:.3g} %."
    return f"The half-width of {asked} was not reached: {found['why']}."


def _section(summary: Mapping[str, Any], section: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=24, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_row(Text(SECTIONS[section], "bold cyan"), "", "")
    for entry in summary["metrics"].values():
        if entry["section"] == section and _worth_showing(entry):
            table.add_row(
                f"  {entry['label']}", value_text(entry), unit_text(entry) if _says_a_number(entry) else ""
            )
    return table


def _latency(summary: Mapping[str, Any]) -> Table:
    """The latency metrics as one small grid: what is asked against the quantile."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=22, no_wrap=True)
    for _ in LATENCY_PROBS:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(Text("Latency [ms]", "bold cyan"), *(Text(f"p{prob}", "dim") for prob in LATENCY_PROBS))
    for label, name in LATENCY_ROWS.items():
        table.add_row(
            f"  {label}", *(value_text(summary["metrics"][name.format(prob)]) for prob in LATENCY_PROBS)
        )
    return table


def _says_a_number(entry: Mapping[str, Any]) -> bool:
    return entry["mean"] is not None


def _worth_showing(entry: Mapping[str, Any]) -> bool:
    """The table is for reading: what has no label, and kinds of failure or lies that did not happen, stay in the file."""
    if not entry["label"] or "latency" in entry["name"]:  # latencies have a grid of their own
        return False
    if entry["section"] == "welfare" and entry["mean"] is None:  # the scenario values nothing
        return False
    seldom = entry["name"].startswith("failed_") or entry["name"] in OF_LIARS
    return not (seldom and not entry["mean"])


def _balance(summary: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    broken = [law for law in summary["conservation"] if law["residual"]]
    if not broken:
        return Text(
            f"Balanced: all {len(summary['conservation'])} conservation residuals are exactly zero.", "green"
        )
    lines = [f"  {law['law']}: off by {law['residual']:,} {law['unit']}" for law in broken]
    return Text("\n".join(["NOT balanced, so do not trust this run:", *lines]), "bold red")


def value_text(entry: Mapping[str, Any]) -> str:
    """A metric's mean and half width, such as `0.134 ± 0.002`; `too few` where nothing can be said."""
    mean, low, high = entry["mean"], entry["low"], entry["high"]
    if mean is None:
        return "too few" if "latency" in entry["name"] else "–"
    scale = 100 if entry["unit"] == "share" else 1
    half = (high - low) / 2 * scale if low is not None and high is not None else 0.0
    if half <= 0:
        return number_text(mean * scale)
    decimals = 1 - math.floor(
        math.log10(half)
    )  # two digits of the half width, and the mean to the same place
    if decimals > 6:
        return f"{number_text(mean * scale)} ± {half:.1e}"
    return f"{round(mean * scale, decimals):,.{max(0, decimals)}f} ± {round(half, decimals):,.{max(0, decimals)}f}"


def unit_text(entry: Mapping[str, Any]) -> str:
    """The unit beside a value; a share is shown in per cent, and a count needs none."""
    unit = str(entry["unit"])
    return {"share": "%", "count": ""}.get(unit, unit)


def span_text(span_s: float) -> str:
    """A span of time in the unit that suits it: `20 min`, `8 h`, `30 days`."""
    for unit_s, word, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 96), (86400, "days", math.inf)):
        if span_s < unit_s * most:
            return f"{number_text(span_s / unit_s)} {word}"
    raise AssertionError(span_s)


def number_text(value: float) -> str:
    """A number with four significant digits and thousands apart; counts below a billion in full."""
    if value == 0:
        return "0"
    size = abs(value)
    if float(value).is_integer() and size < 1e9:
        return f"{value:,.0f}"
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e9 else f"{value:.3e}"
    if size < 1e-4:
        return f"{value:.2e}"
    decimals = max(0, 3 - len(str(int(size))) + 1) if size >= 1 else 4
    text = f"{value:.{decimals}f}" if size >= 1 else f"{value:.4g}"
    return text.rstrip("0").rstrip(".") if "." in text else text
