"""The page: plots, tables, what must be zero and what is not modelled, put together by a template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2

from sim.records.directory import REPORT
from sim.report import plots_channels, plots_latency, plots_market, plots_method, plots_parties, plots_time
from sim.report.data import RunData
from sim.report.style import Absent, Plot, look
from sim.summary import SECTIONS, number_text, span_text, unit_text, value_text

if TYPE_CHECKING:
    from sim.records.reader import RunTables

DRAWN: Final = (
    plots_time.deployments,
    plots_time.replicas,
    plots_time.requests,
    plots_time.money,
    plots_market.prices,
    plots_latency.latency,
    plots_latency.latency_pods,
    plots_latency.cold,
    plots_parties.pods,
    plots_parties.cost,
    plots_latency.cost_latency,
    plots_parties.revenue,
    plots_channels.survival,
    plots_channels.removals,
    plots_channels.overrun,
    plots_method.warm_up,
    plots_method.running_mean,
)
HEADLINES: Final = (
    "requests_served",
    "requests_failed",
    "cold_share",
    "latency_p50_ms",
    "latency_p99_ms",
    "spend",
    "cost_per_million",
    "unpaid",
    "evictions",
)


def write_report(directory: Path, *, tables: RunTables | None = None) -> Path:
    """Write `report.html` of a run that has its provenance and summary, and return its path.

    Args:
        directory: the run's directory.
        tables: its tables, where they are read already.
    """
    run = RunData(directory, tables)
    return write_page("page.html", _content(run), directory / REPORT)


def write_page(template: str, content: dict[str, Any], path: Path) -> Path:
    """A template of this package with its content, whole from the moment it has its name."""
    text = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    ).get_template(template).render(content)  # fmt: skip
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return path


def draw(run: RunData) -> tuple[list[Plot], list[Absent]]:
    """Every plot that this run has anything for, and which it has not."""
    if not run.replications or not len(run.instants):
        return [], []
    with look():
        made = [make(run) for make in DRAWN]
    return [one for one in made if isinstance(one, Plot)], [one for one in made if isinstance(one, Absent)]


def _content(run: RunData) -> dict[str, Any]:
    summary, origin = run.summary, run.provenance
    metrics = summary["metrics"]
    plots, absent = draw(run)
    return {
        "name": summary["scenario"],
        "seed": summary["seed"],
        "replications": summary["replications"],
        "length": span_text(summary["virtual_s"]),
        "parties": {
            "providers": number_text(len(run.tables.rows("providers", 0))),
            "publishers": number_text(len(run.tables.rows("publishers", 0))),
        },
        "interrupted": summary["interrupted"],
        "complete": f"{summary['complete_share']:.1%}",
        "headlines": [_shown(metrics[name]) for name in HEADLINES],
        "plots": plots,
        "absent": absent,
        "sections": [
            (title, [_shown(entry) for entry in metrics.values() if entry["section"] == section])
            for section, title in SECTIONS.items()
        ],
        "laws": _laws(summary["conservation"]),
        "not_modelled": summary["not_modelled"],
        "origin": origin_of(origin),
    }


def _shown(entry: dict[str, Any]) -> dict[str, str]:
    value = value_text(entry)
    return {
        "label": entry["label"] or entry["about"],
        "value": value,
        "mean": value.partition(" ± ")[0],
        "half": value.partition(" ± ")[2],
        "unit": unit_text(entry) if any(letter.isdigit() for letter in value) else "",
        "about": entry["about"],
        "n": str(entry["n"]),
    }


def _laws(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One line a law: sums over replications, and the residual that is farthest from zero."""
    laws: dict[str, dict[str, Any]] = {}
    for row in rows:
        law = laws.setdefault(
            row["law"], {"law": row["law"], "unit": row["unit"], "left": 0, "right": 0, "worst": 0}
        )
        law["left"] += row["left"]
        law["right"] += row["right"]
        law["worst"] = max(law["worst"], row["residual"], key=abs)
    return [
        {key: f"{value:,}" if isinstance(value, int) else value for key, value in law.items()}
        for law in laws.values()
    ]


def origin_of(origin: dict[str, Any], wall: str = "wall time of the simulation") -> list[tuple[str, str]]:
    """Where a run or a sweep comes from, as terms and what they are."""
    source = origin["source"]
    changed = " with changes not committed" if source["changed"] else ""
    machine = origin["machine"]
    return [
        ("started", origin["started"]),
        (wall, f"{number_text(round(origin['wall_s'], 2))} s"),
        ("source", f"commit {source['commit']}{changed}" if source["commit"] else "no commit is known"),
        ("Python", origin["python"]),
        ("packages", ", ".join(f"{name} {version}" for name, version in origin["packages"].items())),
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['release']}"),
        ("tables", ", ".join(f"{name} {digest[:12]}" for name, digest in origin["tables"].items())),
    ]
