"""`explain RUN --metric`: parts that add up to the base unit, held against columns that they are not made from."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from protocol.errors import BadInput
from sim.explain import money
from sim.explain.money import DECOMPOSED, decompose
from sim.explain.source import Source
from sim.records.schema import TABLES
from tests.sim.explain.conftest import DATA, run

COLUMNS = {
    "unpaid": [("providers", "unpaid")],
    "overrun": [("channels", "overrun")],
    "deposited": [("publishers", "deposited"), ("publishers", "top_ups")],
    "spend": [("publishers", "spent"), ("providers", "owed_unclaimed")],
    "revenue": [("providers", "revenue")],
    "owed_unclaimed": [("providers", "owed_unclaimed")],
    "returned": [("publishers", "returned")],
    "locked_at_end": [("publishers", "locked_at_end")],
    "gas_cost": [("providers", "gas_cost")],
    "running_cost": [("providers", "running_cost")],
    "profit": [("providers", "profit")],
    "publisher_gas": [("publishers", "gas_wei")],
}


@pytest.mark.parametrize("replication", [0, 1])
@pytest.mark.parametrize("name", DECOMPOSED)
def test_the_parts_add_up_exactly_whichever_way_they_are_summed(
    rich: Path, name: str, replication: int
) -> None:
    source = Source(sim.load(rich), replication)
    parts = decompose(source, name)
    assert all(part.amount for part in parts.parts)
    for sums in (parts.by_cause(), parts.by_provider(), parts.by_pod()):
        assert sum(sums.values()) == parts.total
    if name in COLUMNS:
        columns = [sum(int(row[column]) for row in source.rows(table)) for table, column in COLUMNS[name]]
        assert parts.total == sum(columns)
        assert {column for _, column in COLUMNS[name]} <= {c.name for t in TABLES.values() for c in t.columns}


@pytest.mark.parametrize(
    "name", ["unpaid", "revenue", "owed_unclaimed", "gas_cost", "running_cost", "profit"]
)
def test_each_providers_parts_add_up_to_its_own_row(source: Source, name: str) -> None:
    by_provider = decompose(source, name).by_provider()
    assert {row["provider"]: int(row[name]) for row in source.rows("providers") if row[name]} == by_provider


def test_unpaid_work_is_parted_by_what_the_provider_knew(source: Source) -> None:
    """A meter read at the notice parts it: before, nobody knew; after, the pod was being removed."""
    causes = decompose(source, "unpaid").by_cause()
    before = causes["served before the provider noticed that the funds were used up"]
    after = causes["served after that, until the pod was gone"]
    (channel,) = [c for c in source.rows("channels") if c["pod"] == "spent-0"]
    assert before + after == int(channel["unpaid"])
    # One replica at a constant rate: the two parts are as the two spans of time, of which the second ends with the
    # cluster's answer; the replica stopped half-way, when it was suspended.
    spans = (channel["noticed_ns"] - channel["exhausted_ns"], channel["removed_ns"] - channel["noticed_ns"])
    assert spans[1] / spans[0] / 2 < after / before < spans[1] / spans[0]


def test_a_run_without_events_has_the_same_sums_with_fewer_causes(tmp_path: Path, source: Source) -> None:
    quiet = Source(sim.load(run(tmp_path, DATA | {"output": {"events": False}})))
    parts = decompose(quiet, "unpaid")
    assert list(parts.by_cause()) == ["served after the funds were used up"]
    assert parts.total == decompose(source, "unpaid").total


def test_what_has_no_parts_is_refused_with_what_has(source: Source) -> None:
    with pytest.raises(BadInput, match="--metric unpayed: no metric of this name; did you mean 'unpaid'"):
        decompose(source, "unpayed")
    with pytest.raises(
        BadInput, match="served_share: is no sum of money that has parts; those that have: unpaid, overrun"
    ):
        decompose(source, "served_share")


def test_a_part_that_is_forgotten_is_found(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = {"revenue": (lambda source: list(money._paid(source))[1:], ())}
    monkeypatch.setattr(money, "DECOMPOSED", forgetful)
    with pytest.raises(BadInput, match="its tables contradict each other: the parts of revenue sum to"):
        decompose(source, "revenue")
