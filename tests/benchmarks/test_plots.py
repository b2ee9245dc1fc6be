"""The same figures give the same bytes, and every figure is in the picture."""

from __future__ import annotations

from pathlib import Path

from benchmarks import entries, plots
from benchmarks.__main__ import BESIDE, GROWTH
from benchmarks.entries import Entry, Peer

ENTRIES = {
    "faas": Entry("faas", "w", 2e7, "requests/s", (Peer("slow 1.0", 70_000.0), Peer("wrong", None, "no"))),
    "pods-wall": Entry("pods-wall", "w", 1.02, "exponent", points=((10.0, 2.0), (100.0, 21.0))),
}


def test_bytes_are_the_same(tmp_path: Path) -> None:
    for name, draw in (("beside", plots.beside), ("growth", plots.growth)):
        one, two = tmp_path / f"{name}-1.svg", tmp_path / f"{name}-2.svg"
        plots.save(draw(ENTRIES), one)
        plots.save(draw(ENTRIES), two)
        assert one.read_bytes() == two.read_bytes()


def test_bars_are_as_long_as_the_figures() -> None:
    (axes,) = plots.beside(ENTRIES).axes
    assert [bar.get_width() for bar in axes.patches] == [70_000.0, 2e7]  # type: ignore[attr-defined]
    assert axes.get_xscale() == "log"


def test_lines_are_the_points_over_the_first() -> None:
    wall, memory = plots.growth(ENTRIES).axes
    assert wall.lines[0].get_xydata().tolist() == [[1.0, 1.0], [10.0, 10.5]]  # type: ignore[union-attr]
    assert len(memory.lines) == 1  # the dotted one


def test_the_pictures_are_of_what_is_kept(tmp_path: Path) -> None:
    found = {one.entry.id: one.entry for one in entries.read()}
    for draw, kept in ((plots.beside, BESIDE), (plots.growth, GROWTH)):
        plots.save(draw(found), tmp_path / "now.svg")
        assert (tmp_path / "now.svg").read_bytes() == kept.read_bytes(), "python -m benchmarks --draw"
