"""The committed gas snapshot is what the committed bytecode costs, and says what is claimed of it elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

import contracts
from tests.contracts import gas

SNAPSHOT: dict[str, Any] = json.loads(gas.SNAPSHOT.read_text(encoding="utf-8"))


@pytest.mark.evm
def test_the_snapshot_is_what_is_measured() -> None:
    found = gas.measured()
    for part in SNAPSHOT.keys() | found.keys():
        assert found.get(part) == SNAPSHOT.get(part), f"{part}: make gas, and say why it moved"


def test_sizes_are_far_from_the_limit() -> None:
    for name in contracts.PUBLISHED:
        assert SNAPSHOT["bytes"][name]["runtime"] < 24_576 // 4  # EIP-170


def test_claims_of_many_channels_cost_a_part_of_single_ones() -> None:
    again, singly = SNAPSHOT["withdrawMany"]["again"], SNAPSHOT["withdrawMany"]["single claims instead"]
    assert singly["100"] > 3.5 * again["100"]
    # Each entry costs the same: what ten cost over one, a hundred cost over ten, ten times.
    entry = (again["100"] - again["10"]) / 90
    assert (again["10"] - again["1"]) / 9 == pytest.approx(entry, rel=0.005)
