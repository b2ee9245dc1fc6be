"""The plots that reports and notebooks share: what is drawn is what the frame says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Rectangle

from sim.experiments.results import SweepResults
from sim.report.charts import MOST_CELLS, Picture, bars, canvas, forest, heat, lines, survival
from tests.sim.example_sweep import IDLE, SLOTS, write_sweep


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    return write_sweep(
        tmp_path_factory.mktemp("two"), {IDLE: ["10s", "60s", "600s"], SLOTS: [1, 4]}, missing={(1, 2)}
    )


def words(picture: Picture) -> list[str]:
    root = ET.fromstring(str(picture._repr_svg_()))
    return ["".join(text.itertext()).strip() for text in root.iter() if text.tag.endswith("text")]


def test_a_line_goes_through_the_means_and_its_band_is_the_interval(two: SweepResults) -> None:
    rows = two.metric("cold_share")
    with canvas() as picture:
        lines(picture.axes[0], rows, x=f"{IDLE}.number", by=SLOTS)
        axes = picture.axes[0]
    first, second = axes.get_lines()
    whole = rows[(rows[SLOTS] == 4) & rows["mean"].notna()]
    assert first.get_xdata() == pytest.approx([10, 60, 600])
    assert second.get_xdata() == pytest.approx([60, 600]), (
        "the point that misses a replication has no estimate"
    )
    assert second.get_ydata() == pytest.approx(whole["mean"] * 100)
    band = axes.collections[1].get_paths()[0].vertices
    assert isinstance(axes.collections[1], PolyCollection)
    assert {round(y, 6) for y in np.asarray(band)[:, 1]} == {
        round(y * 100, 6) for y in (*whole["low"], *whole["high"])
    }
    assert axes.get_xscale() == "log"
    assert {"cold-start share [%]", f"{IDLE} [s]", "slots 1", "slots 4"} <= set(words(picture))


def test_a_heat_map_says_each_cell_and_leaves_out_what_is_not_known(two: SweepResults) -> None:
    with canvas() as picture:
        heat(picture.axes[0], two.metric("profit"), x=IDLE, y=SLOTS)
    cells = [patch for patch in picture.axes[0].patches if isinstance(patch, Rectangle)]
    assert len(cells) == 5
    alphas = {cell.get_xy(): float(cell.get_alpha() or 0) for cell in cells}
    means = {(c - 0.5, r - 0.5): two.metric("profit")["mean"][c * 2 + r] for c in range(3) for r in range(2)}
    assert max(alphas, key=lambda at: alphas[at]) == max(alphas, key=lambda at: means[at])
    text = " ".join(words(picture))
    assert text.count("±") == 5
    assert "10s" in text
    assert "providers' profit" in text


def test_a_large_heat_map_leaves_the_numbers_out(tmp_path: Path) -> None:
    sweep = {IDLE: [f"{n}s" for n in range(1, 12)], SLOTS: list(range(1, 9))}
    assert MOST_CELLS < 11 * 8
    with canvas() as picture:
        heat(picture.axes[0], write_sweep(tmp_path, sweep, replications=2).metric("profit"), x=IDLE, y=SLOTS)
    assert "±" not in " ".join(words(picture))


def test_a_forest_colours_only_what_is_certain() -> None:
    with canvas(beside=1.5) as picture:
        mean = np.array([1.0, 0.1, np.nan])
        forest(picture.axes[0], ["a", "b", "c"], mean, mean - 0.5, mean + 0.5)
    spans = [c for c in picture.axes[0].collections if isinstance(c, LineCollection)]
    assert [np.asarray(path)[:, 0].tolist() for path in spans[0].get_segments()] == [[0.5, 1.5]]
    assert len(spans[1].get_segments()) == 2
    assert [label for label in words(picture) if label in "abc"] == ["a", "b", "c"]


def test_bars_and_survival_have_their_intervals_where_there_are_any() -> None:
    rng = np.random.default_rng(1)
    lives = [(rng.exponential(10, 50), np.ones(50, np.bool_)) for _ in range(3)]
    one = np.array([0.5, 0.2])
    with canvas(2) as picture:
        survival(picture.axes[0], {"many": lives, "one": lives[:1]}, word="min")
        bars(picture.axes[1], ["x", "y"], {"first": (one, one - 0.1, one + 0.1), "total": (one, None, None)})
    assert len(picture.axes[0].collections) == 1, "one replication has no band"
    assert len(picture.axes[1].collections) == 1
    assert "time [min]" in words(picture)


def test_the_same_picture_is_the_same_file_with_its_words(two: SweepResults, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        with canvas(key="x") as picture:
            lines(picture.axes[0], two.metric("profit"), x=f"{IDLE}.number")
        picture.write(tmp_path / name, r"What it <shows> & \1 more")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text)[0].text == r"What it <shows> & \1 more"
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
