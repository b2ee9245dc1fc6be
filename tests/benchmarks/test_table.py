"""Pages hold what `latest.json` holds, between markers and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import entries, table
from benchmarks.__main__ import PAGE, README, TITLES
from benchmarks.entries import Entry, Kept, Peer

LATEST = entries.read()
MEASURED = {
    "at": "2026-11-27 13:00 UTC",
    "machine": "m, 2 cores",
    "versions": "v 1",
    "load": 0.1,
    "size": "full",
}
ENTRY = Entry(
    "faas",
    "the workload",
    25_900_000.0,
    "requests/s",
    (Peer("slow 1.0", 73_210.0, "P(cold) 0.001"), Peer("wrong 2.0", None, "gives another answer")),
    "one core",
)


def between(page: Path) -> str:
    return page.read_text("utf-8").partition(table.BEGIN)[2].partition(table.END)[0]


def test_an_entry_has_a_row_and_each_peer_one() -> None:
    assert table.rows(ENTRY) == [
        "| the workload | **25.9 M requests/s** | | one core |",
        "| – slow 1.0 | 73,200 requests/s | 354 × | P(cold) 0.001 |",
        "| – wrong 2.0 | – |  | gives another answer |",
    ]


def test_what_was_left_out_says_so() -> None:
    rows = table.rows(Entry("evm", "the bytecode", None, "s", left_out="needs pyrevm"))
    assert rows == ["| the bytecode | – | | left out: needs pyrevm |"]


def test_what_grows_shows_its_points() -> None:
    entry = Entry(
        "p-wall", "wall time", 1.04, "exponent", points=((100.0, 3.1), (1_000.0, 34.0)), note="in s"
    )
    assert table.rows(entry) == ["| wall time | **x^1.04** | | 100: 3.1, 1,000: 34 (in s) |"]


@pytest.mark.parametrize(
    ("figure", "unit", "text"),
    [
        (12_345_678.0, "requests/s", "12.3 M requests/s"),
        (73_210.0, "requests/s", "73,200 requests/s"),
        (8.126, "s", "8.13 s"),
        (175.4, "MiB", "175 MiB"),
        (0.2951, "s", "0.295 s"),
        (None, "s", "–"),
    ],
)
def test_figures_have_three_digits(figure: float | None, unit: str, text: str) -> None:
    assert table.shown(figure, unit) == text


def test_when_and_where_are_told_once_for_each_machine() -> None:
    later = {**MEASURED, "at": "2026-11-27 13:20 UTC", "load": 0.4}
    ones = [Kept(ENTRY, "peers", one) for one in (later, MEASURED)]
    assert table.stated(ones) == (
        "Measured 2026-11-27 13:00 UTC to 2026-11-27 13:20 UTC on m, 2 cores; v 1; load average as a section began "
        "0.1 to 0.4.\n\n"
    )
    elsewhere = Kept(ENTRY, "pods", {**MEASURED, "machine": "n", "size": "quick"})
    lines = table.stated([*ones, elsewhere]).splitlines()
    assert len([line for line in lines if line]) == 2
    assert "on n; v 1; load average as a section began 0.1; **quick: small sizes" in lines[2]


def test_only_what_is_between_the_markers_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}old\n{table.END}after\n{table.END}", "utf-8")
    with pytest.raises(ValueError, match="each once"):
        table.put(page, "new\n")
    page.write_text(f"before\n{table.BEGIN}{table.BEGIN}old\n{table.END}after\n", "utf-8")
    with pytest.raises(ValueError, match="each once"):
        table.put(page, "new\n")
    page.write_text(f"before\n{table.BEGIN}old\n{table.END}after\n", "utf-8")
    table.put(page, "new\n")
    assert page.read_text("utf-8") == f"before\n{table.BEGIN}new\n{table.END}after\n"
    page.write_text("nothing\n", "utf-8")
    with pytest.raises(ValueError, match=r"page\.md"):
        table.put(page, "new\n")
    assert page.read_text("utf-8") == "nothing\n"


def test_the_page_names_when_and_where_for_each_section() -> None:
    text = table.page([Kept(ENTRY, "peers", MEASURED)], {"peers": "Beside"})
    assert text.startswith(
        "Measured 2026-11-27 13:00 UTC on m, 2 cores; v 1; load average as a section began 0.1.\n\n"
    )
    assert "\n\n### Beside\n\n2026-11-27 13:00 UTC, load average 0.1.\n\n| |" in text


def test_the_pages_hold_what_is_kept() -> None:
    assert between(PAGE) == table.page(LATEST, TITLES), "python -m benchmarks --draw"
    assert between(README) == table.short(LATEST), "python -m benchmarks --draw"


def test_every_name_in_the_readme_is_kept() -> None:
    names = {one.entry.name for one in LATEST} | {f"– {p.name}" for one in LATEST for p in one.entry.peers}
    shown = [
        row.split(" | ")[0].removeprefix("| ") for row in between(README).splitlines() if row.startswith("| ")
    ][2:]
    assert shown
    assert set(shown) <= names
