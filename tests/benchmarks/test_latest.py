"""The form of `benchmarks/latest.json`: a list of name, ours, unit, peers, with when and where beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.__main__ import SECTIONS
from benchmarks.entries import LATEST

FOUND: list[dict[str, Any]] = json.loads(LATEST.read_text("utf-8"))


def test_there_is_something_and_each_is_found_by_one_id() -> None:
    ids = [one["id"] for one in FOUND]
    assert "faas" in ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("one", FOUND, ids=lambda one: one["id"])
def test_an_entry_has_its_form(one: dict[str, Any]) -> None:
    assert isinstance(one["name"], str) and isinstance(one["unit"], str) and one["name"] and one["unit"]
    assert one["section"] in SECTIONS
    if one["ours"] is None:
        assert one["left_out"]
    else:
        assert isinstance(one["ours"], int | float) and not one["left_out"]
    for peer in one["peers"]:
        assert peer["name"]
        if peer["figure"] is None:
            assert peer["note"] and peer["ratio"] is None
        elif one["ours"] is not None:
            assert peer["ratio"] == pytest.approx(one["ours"] / peer["figure"], rel=1e-3)
    assert set(one["measured"]) == {"at", "machine", "versions", "load", "size"}
    assert one["measured"]["machine"] and "Python" in one["measured"]["versions"]


def test_the_points_have_rising_sizes() -> None:
    for one in FOUND:
        sizes = [size for size, _ in one["points"]]
        assert sizes == sorted(set(sizes))
