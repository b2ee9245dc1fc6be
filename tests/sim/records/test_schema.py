"""The tables' columns are documented once, and the reference is made from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from sim.records.schema import TABLES, Table, reference
from sim.records.writer import schema_of

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "tables.md"


def test_the_reference_is_what_the_schema_says() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "run: python -m sim.records.schema > docs/reference/tables.md"
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=str)
def test_every_column_says_what_it_means_and_is_stored_as_its_kind(table: Table) -> None:
    schema = schema_of(table)
    assert schema.names == ["replication", *(column.name for column in table.columns)]
    assert table.about
    assert {*table.order, *([table.clock] if table.clock else [])} <= set(schema.names)
    for column in table.columns:
        assert column.about
        assert schema.field(column.name).nullable == column.nullable
        if column.name.endswith("_ns"):
            assert column.store == "int64"
            assert "ns" in column.unit


def test_money_is_stored_wider_than_int64() -> None:
    schema = schema_of(TABLES["channels"])
    assert str(schema.field("invested").type) == "decimal128(38, 0)"
    assert str(schema.field("pod").type) == "dictionary<values=string, indices=int32, ordered=0>"


def test_a_column_without_a_meaning_is_refused() -> None:
    class Silent(NamedTuple):
        """A row."""

        amount: int

    class Kindless(NamedTuple):
        """A row."""

        amount: Annotated[int, "an amount, of what kind nobody knows"]

    for row in (Silent, Kindless):
        with pytest.raises(TypeError, match="amount"):
            _ = Table("silent", row, None, ()).columns
