"""The table of known answers in docs/validation.md: its parts, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.theory.known import HEADER, Case, Row

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- measured: python -m tests.theory -->\n", "<!-- end -->\n"

PARTS: Final = {
    "queues": "Queues",
    "idle": "To zero and back, and the end of a deposit",
    "scaling": "Scaling rules",
    "cluster": "The cluster, by hand and written twice",
    "economics": "Timers and intervals that cost least",
    "books": "What adds up, and chains that agree",
}
"""Module and heading of each part; a module is imported only when it is asked for, because a kernel is slow to load."""


def cases(part: str) -> tuple[Case, ...]:
    """The cases of one part, in the order of the table."""
    found: tuple[Case, ...] = import_module(f"tests.theory.{part}").CASES
    return found


def text(rows: dict[str, list[Row]]) -> str:
    """Every part with its rows, in Markdown."""
    return "\n\n".join(_part(PARTS[part], rows[part]) for part in PARTS) + "\n"


def _part(heading: str, rows: list[Row]) -> str:
    return "\n".join([f"### {heading}\n", HEADER, *(row.line for row in rows)])


def committed() -> str:
    """What stands in the page."""
    _, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return rest.split(END)[0]


def committed_lines() -> Iterator[str]:
    """The rows that stand in the page."""
    for line in committed().splitlines():
        if line.startswith("| ") and not line.startswith(("| what |", "| ---")):
            yield line


def commit(table: str) -> None:
    """Put the table into the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")
