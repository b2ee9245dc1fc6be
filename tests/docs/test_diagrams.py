"""The diagrams of the documentation are those of the tables in the code."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol import hosting, payment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def diagrams() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "diagrams.py"))


def test_the_page_shows_the_tables_as_they_are(diagrams: dict[str, Any]) -> None:
    page: Path = diagrams["PAGE"]
    text = page.read_text(encoding="utf-8")
    drawn: Callable[[str], str] = diagrams["drawn"]
    assert text.count("```mermaid") == len(diagrams["DIAGRAMS"])
    assert drawn(text) == text, "the code has changed: python docs/diagrams.py"


def test_every_transition_is_an_arrow(diagrams: dict[str, Any]) -> None:
    lines = {line.strip() for line in diagrams["pod"]().splitlines()}
    for phase, targets in hosting.TRANSITIONS.items():
        for target in hosting.Phase:
            assert (f"{phase.value} --> {target.value}" in lines) == (target in targets)
    arrows = [line.strip().partition(": ") for line in diagrams["channel"]().splitlines() if ": " in line]
    drawn = {(*arrow.split(" --> "), name) for arrow, _, names in arrows for name in names.split(", ")}
    assert drawn == {
        (phase.value, target.value, command.__name__)
        for phase, commands in payment.TRANSITIONS.items()
        for command, targets in commands.items()
        for target in targets
    }
