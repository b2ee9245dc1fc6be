"""The report of a sweep: what is drawn for each design, numbers as in the tables, and what is left out and why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import main
from protocol.errors import BadInput
from sim.experiments.differences import paired
from sim.experiments.results import SweepResults
from sim.report.plots_sweep import SweepData
from sim.report.style import Plot
from sim.report.sweep_page import draw, write_sweep_report
from tests.sim.example_sweep import HOSTS, IDLE, OVER, SLOTS, write_sweep
from tests.sim.report.test_report import Balance

REGION = "publishers.pod.region"
LISTS = {IDLE: ["10s", "60s", "600s"], SLOTS: [1, 4]}
DESIGNS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one": ({IDLE: ["10s", "60s", "600s"]}, {"response", "differences"}),
    "words": ({REGION: ["bul-east-1", "fra-west-1"]}, {"response", "differences"}),
    "two": (LISTS, {"response", "worth", "differences"}),
    "heat": ({IDLE: ["10s", "60s"], SLOTS: [1, 2], HOSTS: list(range(1, 8))}, {"response", "worth", "differences"}),
    "three": ({**LISTS, REGION: ["bul-east-1", "fra-west-1"]}, {"response", "worth", "differences"}),
    "zip": ({"zip": {IDLE: ["10s", "10s", "60s"], SLOTS: [1, 4, 1]}}, {"response", "differences"}),
    "lhs": ({"lhs": {"points": 10, "over": OVER}}, {"response", "worth"}),
    "morris": ({"morris": {"trajectories": 3, "over": OVER}}, {"response", "worth"}),
    "fractional": ({"fractional": {"over": OVER}}, {"response", "worth"}),
    "sobol": ({"sobol": {"points": 8, "over": OVER}}, {"response", "worth"}),
}  # fmt: skip


def plots_of(
    results: SweepResults, metric: str = "cost_per_million", against: int | None = None
) -> dict[str, Plot]:
    plots, _ = draw(SweepData(results, against), [metric])
    return {plot.key.removeprefix(f"{metric}-"): plot for plot in plots}


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("replications", [1, 3])
def test_every_design_has_its_plots_and_says_what_is_left_out(
    tmp_path: Path, name: str, replications: int
) -> None:
    sweep, expected = DESIGNS[name]
    results = write_sweep(tmp_path, sweep, replications=replications)
    plots, absent = draw(SweepData(results, None), ["cost_per_million"])
    assert {plot.key.removeprefix("cost_per_million-") for plot in plots} == expected
    assert len(plots) + len(absent) == 3
    text = write_sweep_report(results, metrics=["cost_per_million"]).read_text(encoding="utf-8")
    assert text.count("<svg") == len(plots)
    assert not re.search(r"https?:|//[a-z]|src=|@import|<script|<link|url\((?!#)", text)
    assert not set(re.findall(r"#[0-9a-f]{6}\b", text.partition("</style>")[2])) - {"#000000"}
    assert len(text.encode()) < 1_000_000
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    for plot in plots:
        assert plot.rows
        assert all(len(row) == len(plot.header) for row in plot.rows)
        assert ("1 replication" in plot.basis) == (replications == 1)
        assert "[DAI]" in plot.svg or "share of the variance" in plot.svg
    assert text.partition('<section id="points">')[2].partition("</tbody>")[0].count("<tr><td>") == len(
        results.points
    )


def test_numbers_of_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, LISTS)
    plots = plots_of(results)
    summary = results.metric("cost_per_million")
    for row, (_, told) in zip(plots["response"].rows, summary.iterrows(), strict=True):
        assert row[0] == str(told["point"])
        assert float(row[-2]) == pytest.approx(told["mean"], rel=5e-2)
        assert float(row[-1]) == pytest.approx((told["high"] - told["low"]) / 2, rel=5e-2)
    plain = plots_of(results, "profit")
    values = results.results.pivot(index="point", columns="replication", values="profit").to_numpy()
    for row in plain["differences"].rows:
        apart = paired(values[0].tolist(), values[int(row[0])].tolist())
        interval = apart.interval()
        assert interval is not None
        assert [float(cell) for cell in row[2:]] == pytest.approx([apart.mean, *interval], rel=1e-3)
    named = plots_of(results, "profit", against=3)["differences"]
    assert [row[0] for row in named.rows] == ["0", "1", "2", "4", "5"]
    assert "to point 3 (idle 60s, slots 4)" in named.sentence
    worth = plain["worth"].rows
    assert [row[0] for row in worth] == [IDLE, SLOTS]
    assert float(worth[0][1]) == pytest.approx(20, abs=1)
    assert float(worth[1][1]) == pytest.approx(6, abs=1)
    assert float(worth[0][2]) < float(worth[0][1]) < float(worth[0][3])


def test_an_average_over_other_keys_is_that(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, DESIGNS["three"][0])
    row = plots_of(results, "profit")["response"].rows[0]
    assert row[:2] == ["10s", "1"]
    here = results.results[(results.results[IDLE] == "10s") & (results.results[SLOTS] == 1)]
    assert float(row[2]) == pytest.approx(here["profit"].mean(), rel=5e-2)


def test_a_sampled_design_ranks_keys_and_holds_points_against_one_only_when_it_is_named(
    tmp_path: Path,
) -> None:
    results = write_sweep(tmp_path, DESIGNS["lhs"][0])
    worth = plots_of(results, "profit")["worth"].rows
    assert [row[0] for row in worth] == [IDLE, SLOTS, HOSTS]
    drawn = float(
        np.ptp(results.points[f"{IDLE}.number"])
    )  # the example's answer is 20 over what was drawn of 590 s
    assert float(worth[0][1]) == pytest.approx(20 * 590 / drawn, abs=1.5)
    assert float(worth[1][1]) < 0
    assert "differences" not in plots_of(results)
    assert "differences" in plots_of(results, against=2)


def test_points_that_miss_a_replication_are_named_and_left_out(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, LISTS, missing={(0, 1), (3, 2)})
    text = write_sweep_report(results).read_text(encoding="utf-8")
    assert "2 of 30 evaluations failed" in text
    assert "the worker died" in text
    assert "2 points have no estimate" in text
    assert "2 of 6 points miss a value, and the design needs all" in text
    assert "point 0 misses a value in some replication" in text
    conservation = text.partition('<section id="conservation">')[2]
    assert "<tr><td>kept, so balanced</td><td>28</td><td>0</td></tr>" in conservation
    assert "<td>failed because something did not balance</td><td>0</td>" in conservation
    assert "differences" in plots_of(results, against=1)


def test_a_sweep_that_was_stopped_before_anything_was_there_has_a_page(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, LISTS, missing={(p, r) for p in range(6) for r in range(5)})
    said = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    reason = "an invariant of the simulation broke (a bug): tokens: 1 and 2"
    said |= {
        "interrupted": True,
        "failures": [{"point": 0, "parameters": "a", "replication": 0, "reason": reason}],
    }
    (tmp_path / "provenance.json").write_text(json.dumps(said), encoding="utf-8")
    text = write_sweep_report(SweepResults(tmp_path)).read_text(encoding="utf-8")
    assert "0 of 30 evaluations are there" in text
    assert "There is nothing to draw." in text
    assert "no figure of this sweep can be trusted" in text
    assert np.isnan(results.summary["mean"]).all()


def test_the_same_sweep_gives_the_same_page(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, DESIGNS["sobol"][0])
    pages = [write_sweep_report(results, metrics=["profit"]).read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]


def test_the_command_writes_it_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, LISTS)

    def command(*args: str) -> Any:
        return CliRunner().invoke(main, ["report", str(tmp_path), *args])

    assert command("--metric", "profit", "--against", "2").output.strip() == str(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="profit-differences"' in text
    assert "to point 2 (" in text
    assert "cold_share" not in text
    wrong = command("--against", "6")
    assert wrong.exit_code == 2
    assert "against: 6; the points of this sweep are 0 to 5" in wrong.output
    wrong = command("--metric", "profits")
    assert wrong.exit_code == 2
    assert "no metric of this name" in wrong.output
    with pytest.raises(BadInput, match="0 to 5"):
        write_sweep_report(results, against=-1)
