"""The first notebook runs, on a run that the test makes, and is what its text says.

Those of the scenario library are held to their kept results by `tests/scenarios/test_library.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from scenarios.library import questions, text_cells
from tests.sim.example_run import write_example

OF_THE_LIBRARY = {question.notebook.name for question in questions()}
FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path for path in FOLDER.glob("*.ipynb") if path.name not in OF_THE_LIBRARY)


def cells(notebook: Path, kind: str) -> list[str]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_there_is_one_to_start_with() -> None:
    assert NOTEBOOKS[0].name == "00-start-here.ipynb"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_say_the_same_and_it_is_kept_without_output(notebook: Path) -> None:
    assert (cells(notebook, "code"), cells(notebook, "markdown")) == text_cells(notebook.with_suffix(".py"))
    raw = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in raw if "outputs" in cell)


@pytest.mark.parametrize("replications", [1, 2])
def test_the_first_notebook_answers_its_question(
    replications: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_example(tmp_path / "runs", pods=40, providers=4, hours=2, replications=replications)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRUSTED_PODS_RUN", raising=False)
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for code in cells(NOTEBOOKS[0], "code"):
            exec(compile(code, NOTEBOOKS[0].name, "exec"), names)
    assert len(names["pods"]) > 20
    assert names["quiet"] > names["busy"] > 0
    said = capsys.readouterr().out
    assert f"A million requests cost {names['busy']:,.2f} USDC" in said
    names["plt"].close("all")
