"""Every scenario of the library: what it claims holds at a small size, and its page, plot and notebook are current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import sim
from scenarios.library import (
    ROOT,
    SWEEP,
    Concluded,
    Question,
    concluded,
    misses,
    questions,
    text_cells,
    with_results,
)
from sim.experiments.answers import Answer
from sim.experiments.designs import read_points
from sim.statistics import Estimate

QUESTIONS = questions()
LARGEST_RESULTS = 400_000
LARGEST_NOTEBOOK = 200_000
"""Bytes: what is committed of each."""


def each(function: Any) -> Any:
    return pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.name)(function)


@pytest.fixture(scope="module")
def kept() -> dict[str, Concluded]:
    """What each notebook's text makes of the kept results, once."""
    return {}


def of_kept(question: Question, kept: dict[str, Concluded]) -> Concluded:
    if question.name not in kept:
        kept[question.name] = concluded(question, question.results)
    return kept[question.name]


@pytest.mark.e2e
@each
def test_what_it_claims_holds_at_a_small_size(question: Question, tmp_path: Path) -> None:
    """Evaluated here, then gathered by a sweep that finds everything evaluated."""
    scenario, overrides, cache = (
        question.folder / "scenario.yaml",
        question.expected["overrides"],
        tmp_path / "kept",
    )
    _, points = read_points(scenario, overrides)
    for point in points:
        for replication in range(point.scenario.replications):
            sim.evaluate(point.scenario, replication=replication, cache=cache)
    results = sim.sweep(scenario, overrides, out=tmp_path / "sweep", cache=cache, workers=1)
    counts = results.provenance["evaluations"]
    assert counts["kept from before"] == counts["asked"] == counts["there"]
    assert misses(concluded(question, results.directory).answers, question.expected["checks"]) == []


@pytest.mark.e2e
@each
def test_a_run_of_it_is_replayed_to_the_byte(question: Question, tmp_path: Path) -> None:
    overrides = [*question.expected["overrides"], *question.expected["replay"]]
    run = sim.run(question.folder / "scenario.yaml", overrides, out=tmp_path / "run")
    assert sim.replay(run.directory).same


@each
def test_its_page_tells_the_kept_results(
    question: Question, kept: dict[str, Concluded], tmp_path: Path
) -> None:
    page = (question.folder / "about.md").read_text(encoding="utf-8")
    done = of_kept(question, kept)
    assert with_results(page, question, done) == page, f"python -m scenarios --drawn {question.name}"
    for part in ("**Question.**", "**Model.**", "**Sweep.**", "**Expected.**", "**Result.**", "**Run it.**"):
        assert part in page
    drawn = done.picture.write(tmp_path / "plot.svg", done.shows)
    assert drawn.read_bytes() == (question.folder / "plot.svg").read_bytes(), "python -m scenarios --drawn"


@each
def test_its_results_are_of_its_sweep(question: Question) -> None:
    """The scenario that was swept is the one that stands beside, and everything was evaluated."""
    from sim.scenario import load, resolved

    results = sim.load_sweep(question.results)
    swept, stands = load(question.results / "scenario.yaml"), load(question.folder / "scenario.yaml")
    assert resolved(swept) == resolved(stands), (
        f"python -m scenarios {question.name}"
    )  # new keys have their defaults
    counts = results.provenance["evaluations"]
    assert counts["there"] == counts["asked"] == len(results.results)
    assert sum(path.stat().st_size for path in question.results.iterdir()) < LARGEST_RESULTS


@each
def test_its_notebook_is_its_text_carried_out_on_the_kept_results(
    question: Question, kept: dict[str, Concluded]
) -> None:
    book = json.loads(question.notebook.read_text(encoding="utf-8"))
    assert book["metadata"]["trusted_pods"]["made_from"] == question.made_from, "python -m scenarios --drawn"
    sources = {"code": [], "markdown": []}  # type: dict[str, list[str]]
    for cell in book["cells"]:
        sources[cell["cell_type"]].append("".join(cell["source"]))
    assert (sources["code"], sources["markdown"]) == text_cells(question.script)
    said, drawn = [], []
    for cell in book["cells"]:
        outputs = cell.get("outputs", [])
        assert not [one for one in outputs if one["output_type"] == "error"]
        if cell["cell_type"] == "code":
            said.append("".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream"))
        drawn += [
            "".join(o["data"]["image/svg+xml"]) for o in outputs if "image/svg+xml" in o.get("data", {})
        ]
    assert tuple(said) == of_kept(question, kept).said
    assert drawn
    assert drawn[-1] == of_kept(question, kept).picture._repr_svg_()
    assert question.notebook.stat().st_size < LARGEST_NOTEBOOK
    assert str(ROOT) not in question.notebook.read_text(encoding="utf-8")


def test_the_readme_names_every_scenario() -> None:
    text = (ROOT / "scenarios" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([a-z-]+)/about\.md\)", text))
    folders = {path.parent.name for path in (ROOT / "scenarios").glob("*/scenario.yaml")}
    assert named == folders
    assert SWEEP in text


@pytest.mark.parametrize(
    ("estimate", "check", "wrong"),
    [
        (Estimate(1.09, 0.995, 1.185, 9), {"known": 1, "sees": 0.1}, False),
        (Estimate(1.11, 1.01, 1.21, 9), {"known": 1, "sees": 0.2}, True),
        (Estimate(1.11, 1.01, 1.21, 9), {"known": 1, "bias": 0.02, "sees": 0.2}, False),
        (Estimate(1.1, 0.9, 1.3, 9), {"known": 1, "sees": 0.1}, True),
        (Estimate(1.1, 1.0, 1.2, 9), {"above": 0.99}, False),
        (Estimate(1.1, 1.0, 1.2, 9), {"above": 1.05}, True),
        (Estimate(1.1, 1.0, 1.2, 9), {"below": 1.15}, True),
        (Estimate(3.0, None, None, 1), {"equals": 3}, False),
        (Estimate(3.0, None, None, 1), {"equals": 4}, True),
        (Estimate(None, None, None, 0), {"above": 0}, True),
        (Estimate(3.0, None, None, 1), {}, True),
    ],
)
def test_a_check_is_what_it_says(estimate: Estimate, check: dict[str, float], wrong: bool) -> None:
    assert bool(misses({"it": Answer(estimate, 1.0)}, {"it": check})) is wrong


def test_no_answer_and_no_check_stay_unnoticed() -> None:
    one = {"it": Answer(Estimate(3.0, None, None, 1))}
    assert misses(one, {}) == ["it: no check"]
    assert misses(one, {"it": {"equals": 3}, "that": {"equals": 3}}) == ["that: no such answer"]
