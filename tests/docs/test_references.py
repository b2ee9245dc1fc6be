"""What the pages point to is there: files, and the tests that are said to show something."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md"),
                 *(ROOT / "scenarios").rglob("*.md"), *(ROOT / "contracts").glob("*.md"))
)  # fmt: skip
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(#[^)]*)?\)")
TEST = re.compile(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`")


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def places(name: str) -> list[Path]:
    """Where a test module that a page names can be: by its path, or by its end."""
    return [path for path in (ROOT / "tests").rglob("test_*.py") if str(path).endswith(f"/{name}")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = text_of(page)
    links = [found[1] for found in LINK.finditer(text) if "://" not in found[1]]
    assert [link for link in links if not (page.parent / link).exists()] == []
    missing = [
        found[0]
        for found in TEST.finditer(text)
        if not any(found[2] is None or f"def {found[2]}(" in text_of(path) for path in places(found[1]))
    ]
    assert missing == []


def test_pages_that_promise_tests_name_many() -> None:
    named = {
        name: len(TEST.findall(text_of(ROOT / "docs" / name)))
        for name in ("validation.md", "background/two-planes.md")
    }
    assert min(named.values()) >= 10, named
