"""The main scenario, cut to 20 virtual minutes without faults: what must come out of it to the last request."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import sim

FOLDER = Path(__file__).parents[2] / "scenarios" / "azure-marketplace"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
MINUTES = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sim.Results:
    out = tmp_path_factory.mktemp("azure-marketplace") / "run"
    results = sim.run(FOLDER / "scenario.yaml", EXPECTED["overrides"], out=out)
    assert isinstance(results, sim.Results)
    return results


def test_the_counts_are_the_expected_ones(run: sim.Results) -> None:
    assert {name: run.metric(name)["mean"] for name in EXPECTED["counts"]} == EXPECTED["counts"]


def test_every_call_of_the_trace_arrives_once_and_at_its_own_pod(run: sim.Results) -> None:
    """Counted from the files themselves, past the project's own reader."""
    with (FOLDER.parent / "traces" / "azure2019_500" / "invocations.csv").open(encoding="utf-8") as file:
        first = [name for name in next(csv.reader(file)) if name.isdigit()][:MINUTES]
    with (FOLDER.parent / "traces" / "azure2019_500" / "invocations.csv").open(encoding="utf-8") as file:
        calls = [sum(int(row[minute]) for minute in first) for row in csv.DictReader(file)]
    arrivals = run.tables["publishers"].set_index("pod")["arrivals"]
    groups = {"careful": 0, "once": 400, "passing": 450, "strict": 480}
    seen = [0] * len(calls)
    for pod, count in arrivals.items():
        group, _, number = str(pod).rpartition("-")
        seen[groups[group] + int(number)] = int(count)
    assert seen == calls


def test_nothing_is_made_or_lost(run: sim.Results) -> None:
    laws = run.summary["conservation"]
    assert len(laws) >= 9
    assert {law["residual"] for law in laws} == {EXPECTED["conservation_residuals"]}
    assert any(law["left"] > 0 for law in laws)
