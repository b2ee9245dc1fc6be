"""Rows reach the disk sorted, held back, in the same bytes, and survive what stops a run."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kernel.wide import words
from sim.records.directory import table_hashes
from sim.records.reader import RunTables
from sim.records.schema import TABLES, ChannelLife, Claim, Event, Residual, Transaction
from sim.records.writer import HOUR_NS, RunWriter

BILLION_TOKENS = 10**27  # more than int64 holds


def claim(time_ns: int, provider: str = "b-1", pod: str = "p-1", total: int = 5) -> Claim:
    return Claim(time_ns, provider, pod, 1, total, total, 1, 7, "paid")


def claims(directory: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = RunTables(directory).arrow("claims").to_pylist()
    return rows


def parts(directory: Path, table: str = "claims") -> list[Path]:
    return sorted((directory / "tables" / table).glob("*"))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    with RunWriter(tmp_path, replication=3) as writer:
        writer.append("claims", claim(5, total=BILLION_TOKENS))
        writer.append(
            "conservation", {"law": "tokens", "unit": "base units", "left": -BILLION_TOKENS, "right": 0}
        )
        writer.append("channels", ChannelLife("p-1", "b-1"))
    [row] = claims(tmp_path)
    assert row["replication"] == 3
    assert int(row["total"]) == BILLION_TOKENS
    assert (row["time_ns"], row["provider"], row["outcome"]) == (5, "b-1", "paid")
    tables = RunTables(tmp_path)
    assert tables.rows("conservation").total("left") == -BILLION_TOKENS
    assert tables.arrow("channels")["closed_ns"].to_pylist() == [None]
    assert tables.arrow("events").num_rows == 0
    assert tables.replications == [3]


def test_rows_are_sorted_by_time_provider_pod_and_then_as_they_came(tmp_path: Path) -> None:
    given_rows = [
        claim(2, "b-2", "p-1", 1), claim(1, "b-9", "p-9", 2), claim(2, "b-1", "p-2", 3), claim(2, "b-1", "p-1", 5),
        claim(2, "b-1", "p-1", 4),
    ]  # fmt: skip
    with RunWriter(tmp_path) as writer:
        for row in given_rows:
            writer.append("claims", row)
    assert [int(row["total"]) for row in claims(tmp_path)] == [2, 5, 4, 3, 1]


def test_a_row_is_held_back_for_an_hour_and_whole_hours_are_written(tmp_path: Path) -> None:
    with RunWriter(tmp_path, part_rows=1) as writer:
        writer.append("claims", claim(10))
        writer.append("claims", claim(HOUR_NS + 10))
        writer.flush(2 * HOUR_NS - 1)
        assert parts(tmp_path) == []
        writer.append("claims", claim(5))  # learnt late, and still in time
        writer.flush(2 * HOUR_NS)
        assert [row["time_ns"] for row in claims(tmp_path)] == [5, 10]
        writer.flush(10 * HOUR_NS)
        assert len(parts(tmp_path)) == 2
    assert [row["time_ns"] for row in claims(tmp_path)] == [5, 10, HOUR_NS + 10]
    for part in parts(tmp_path):
        assert pq.ParquetFile(part).metadata.num_row_groups == 1


def test_a_row_that_comes_after_its_hour_was_written_is_an_error_and_loses_nothing_else(
    tmp_path: Path,
) -> None:
    writer = RunWriter(tmp_path, part_rows=1)
    writer.append("claims", claim(10))
    writer.flush(5 * HOUR_NS)
    writer.append("claims", claim(20))
    writer.append("events", Event(0, None, 9 * HOUR_NS, 9 * HOUR_NS, "b-1", "Claimed"))
    with pytest.raises(
        ValueError, match=r"claims: a row of 20 ns came after everything before 14400000000000 ns"
    ):
        writer.close()
    assert RunTables(tmp_path).arrow("events").num_rows == 1


def test_small_hours_share_a_part(tmp_path: Path) -> None:
    with RunWriter(tmp_path, part_rows=4) as writer:
        for hour in range(9):
            writer.append("claims", claim(hour * HOUR_NS))
            writer.append("claims", claim(hour * HOUR_NS + 1))
            writer.flush(hour * HOUR_NS)
    assert [pq.ParquetFile(part).metadata.num_rows for part in parts(tmp_path)] == [4, 4, 4, 4, 2]


def test_rows_without_an_instant_are_written_at_the_end(tmp_path: Path) -> None:
    with RunWriter(tmp_path, part_rows=1) as writer:
        writer.append("transactions", Transaction(5, None, None, "p-2", "deposit", "pending"))
        writer.append("transactions", Transaction(5, 10, 1, "p-1", "deposit", "confirmed"))
        writer.append("channels", ChannelLife("p-1", "b-1", opened_ns=10, closed_ns=20, status="closed"))
        writer.flush(4 * HOUR_NS)
        assert RunTables(tmp_path).arrow("transactions")["sender"].to_pylist() == ["p-1"]
        assert RunTables(tmp_path).arrow("channels").num_rows == 0, "a life's totals are known at the end"
    assert RunTables(tmp_path).arrow("transactions")["sender"].to_pylist() == ["p-1", "p-2"]
    assert RunTables(tmp_path).arrow("channels").num_rows == 1


@settings(max_examples=40, deadline=None)
@given(
    hours=st.lists(st.integers(0, 12 * 60), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 13 * 60), max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_the_same_rows_give_the_same_bytes_however_and_whenever_they_come(
    hours: list[int], cuts: list[int], order: Any
) -> None:
    minute = HOUR_NS // 60
    rows = [claim(at * minute, f"b-{number % 3}", f"p-{number}", number) for number, at in enumerate(hours)]
    with tempfile.TemporaryDirectory() as place:
        plain, cut = Path(place) / "plain", Path(place) / "cut"
        with RunWriter(plain, part_rows=5) as writer:
            for row in rows:
                writer.append("claims", row)
        shuffled = list(rows)
        order.shuffle(shuffled)
        done = 0
        with RunWriter(cut, part_rows=5) as writer:
            for upto in sorted(cuts):
                for row in shuffled:
                    if done <= row.time_ns < upto * minute:
                        writer.append("claims", row)
                done = max(done, upto * minute)
                writer.flush(upto * minute)
            for row in shuffled:
                if row.time_ns >= done:
                    writer.append("claims", row)
        assert table_hashes(plain) == table_hashes(cut)


def test_replications_may_be_written_in_any_order(tmp_path: Path) -> None:
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        for replication in order:
            with RunWriter(tmp_path / name, replication=replication) as writer:
                writer.append("claims", claim(replication))
    assert table_hashes(tmp_path / "a") == table_hashes(tmp_path / "b")
    assert [row["replication"] for row in claims(tmp_path / "b")] == [0, 1, 2]


def test_columns_may_be_added_as_arrays(tmp_path: Path) -> None:
    count = 4
    with RunWriter(tmp_path) as writer:
        writer.append_array(
            "requests",
            {
                "pod": pa.DictionaryArray.from_arrays(np.array([1, 0, 1, 0], np.int32), ["p-0", "p-1"]),
                "provider": "b-1",
                "number": np.arange(count),
                "arrival_ns": np.array([30, 20, 10, 10]),
                "start_ns": np.ma.masked_array(np.arange(count), mask=[True, False, False, False]),
                "end_ns": [None, 7, 6, 6],
                "outcome": ["pending", "served", "served", "served"],
                "cold": np.array([False, True, False, False]),
                "replica": np.ma.masked_equal(np.array([-1, 0, 1, 0]), -1),
                "attempt": np.array([1, 1, 2, 1]),
                "round_trip_ns": np.full(count, 9),
                "scheduling_ns": np.ma.masked_less(np.array([-1, 5, -1, -1]), 0),
                "pull_ns": np.ma.masked_less(np.array([-1, 0, -1, -1]), 0),
                "decryption_ns": [None, 4, None, None],
                "application_ns": [None, 3, None, None],
            },
        )
    rows = RunTables(tmp_path).arrow("requests").to_pylist()
    assert [(row["end_ns"], row["pod"], row["number"]) for row in rows] == [
        (6, "p-0", 3), (6, "p-1", 2), (7, "p-0", 1), (None, "p-1", 0),
    ]  # fmt: skip
    assert (rows[-1]["start_ns"], rows[-1]["end_ns"], rows[-1]["replica"]) == (None, None, None)
    assert [row["cold"] for row in rows] == [False, False, True, False]
    assert [row["pull_ns"] for row in rows] == [None, None, 0, None]


def test_money_may_be_added_as_numbers_of_128_bits(tmp_path: Path) -> None:
    most = 10**38 - 1
    left, right = [0, -1, most], [2**64, -(2**64) - 1, -most]
    with RunWriter(tmp_path) as writer:
        columns = {"law": ["a", "b", "c"], "unit": "x"}
        for name, numbers in (("left", left), ("right", right)):
            columns[name] = np.array([words(number) for number in numbers])  # type: ignore[assignment]
        writer.append_array("conservation", columns)
    rows = RunTables(tmp_path).arrow("conservation").to_pylist()
    assert [(int(row["left"]), int(row["right"])) for row in rows] == list(zip(left, right, strict=True))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"law": ["a"]}, r"missing \['left', 'right', 'unit'\]"),
        ({"law": ["a"], "unit": "x", "left": [1, 2], "right": [1]}, r"conservation.left: 2 values, not 1"),
        ({"law": ["a"], "unit": "x", "left": [None], "right": [1]}, r"conservation.left: null in row 0"),
        (
            {"law": ["a"], "unit": "x", "left": np.array([words(10**38)]), "right": [1]},
            r"conservation.left: .*precision.*; it is stored as decimal128\(38, 0\)",
        ),
        ({"law": ["a"], "unit": "x", "left": ["much"], "right": [1]}, r"conservation.left: .*decimal128"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunWriter(tmp_path).append_array("conservation", columns)


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.append("conservation", Residual("a", "b", 1, 1))
    writer.append("conservation", ("a", "b", 1))
    with pytest.raises(ValueError, match=r"conservation: a row has 3 values, not 4: \('a', 'b', 1\)"):
        writer.close()


def test_a_mapping_takes_defaults_and_refuses_what_is_unknown(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.append("channels", {"pod": "p-1", "provider": "b-1"})
    with pytest.raises(TypeError, match="colour"):
        writer.append("channels", {"pod": "p-1", "provider": "b-1", "colour": "red"})
    with pytest.raises(KeyError, match="chanels"):
        writer.append("chanels", ())
    writer.close()
    assert writer.rows == {name: int(name == "channels") for name in TABLES}


def _write(writer: RunWriter, hours: Sequence[int]) -> None:
    for hour in hours:
        writer.append("claims", claim(hour * HOUR_NS))
        writer.flush(hour * HOUR_NS)


def test_an_interrupted_run_keeps_every_row(tmp_path: Path) -> None:
    def run() -> None:
        with RunWriter(tmp_path, part_rows=2) as writer:
            _write(writer, range(7))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [row["time_ns"] // HOUR_NS for row in claims(tmp_path)] == list(range(7))


def test_a_killed_run_leaves_every_part_it_wrote(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from sim.records.writer import *\n"
        "from sim.records.schema import Claim\n"
        "writer = RunWriter(Path(sys.argv[1]), part_rows=2)\n"
        "for hour in range(7):\n"
        "    writer.append('claims', Claim(hour * HOUR_NS, 'b', 'p', 1, 1, 1, 1, 1, 'paid'))\n"
        "    writer.flush(hour * HOUR_NS)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == -signal.SIGKILL
    # At 6 h everything before 5 h is due: two parts of two hours, and hour 4 waits for a second row.
    assert [row["time_ns"] // HOUR_NS for row in claims(tmp_path)] == [0, 1, 2, 3]
