"""What was measured is kept whole, and a growth is fitted right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.entries import Entry, Kept, Peer, exponent, ratio, read, replaced, to_json, write

MEASURED = {"at": "2026-11-27 13:00 UTC", "machine": "m", "versions": "v", "load": 0.1, "size": "full"}


def kept(id: str, section: str) -> Kept:  # noqa: A002
    peers = (Peer("slow 1.0", 20.0, "one"), Peer("absent", None, "left out: not installed"))
    return Kept(Entry(id, f"the {id}", 300.0, "requests/s", peers, "note", ((1.0, 2.0),)), section, MEASURED)


def test_a_line_in_logarithms_is_found() -> None:
    points = [(x, 7.0 * x**1.25) for x in (10.0, 30.0, 100.0, 1_000.0)]
    assert exponent(points) == pytest.approx(1.25, abs=1e-12)


def test_what_next_to_nothing_takes_is_taken_off() -> None:
    points = [(x, 3.0 + 0.5 * x) for x in (1.0, 10.0, 100.0)]
    assert exponent(points, 3.0) == pytest.approx(1.0, abs=1e-12)
    assert exponent(points) < 0.7  # and without that it looks flatter than it is


def test_a_slope_is_the_least_squares_one() -> None:
    # y = x with the middle of three points twice too high: the ends decide the slope.
    assert exponent([(1.0, 1.0), (10.0, 20.0), (100.0, 100.0)]) == pytest.approx(1.0, abs=1e-12)
    # The first of three twice too high: (log 1/2) / 2 decades less.
    assert exponent([(1.0, 2.0), (10.0, 10.0), (100.0, 100.0)]) == pytest.approx(1 - 0.150515, abs=1e-6)


@pytest.mark.parametrize(
    ("points", "base"),
    [([(1.0, 1.0)], 0.0), ([(2.0, 1.0), (2.0, 3.0)], 0.0), ([(0.0, 1.0), (1.0, 2.0)], 0.0), ([(1.0, 1.0), (2.0, 3.0)], 1.0)],
)  # fmt: skip
def test_no_exponent_is_made_up(points: list[tuple[float, float]], base: float) -> None:
    with pytest.raises(ValueError, match="two sizes above 0"):
        exponent(points, base)


def test_a_ratio_is_ours_by_theirs() -> None:
    entry = kept("a", "s").entry
    assert [ratio(entry, peer) for peer in entry.peers] == [15.0, None]


def test_a_figure_or_the_reason_why_there_is_none() -> None:
    with pytest.raises(ValueError, match="or why there is none"):
        Entry("a", "a", None, "s")
    with pytest.raises(ValueError, match="or why there is none"):
        Entry("a", "a", 1.0, "s", left_out="not installed")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    assert read(path) == []
    ones = [kept("a", "s"), Kept(Entry("b", "b", None, "s", left_out="no wheel"), "t", MEASURED)]
    write(ones, path)
    assert read(path) == ones
    assert json.loads(path.read_text("utf-8")) == [to_json(one) for one in ones]


def test_a_section_is_replaced_as_a_whole_and_in_its_place() -> None:
    old = [kept("a", "first"), kept("b", "second"), kept("c", "second"), kept("d", "forgotten")]
    new = replaced(old, "second", [kept("e", "second")], ["first", "second", "third"])
    assert [one.entry.id for one in new] == ["a", "e"]
    new = replaced(new, "first", [kept("f", "first")], ["first", "second", "third"])
    assert [one.entry.id for one in new] == ["f", "e"]
