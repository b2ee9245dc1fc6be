"""Where a run lives and where what is in it came from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.errors import BadInput
from sim.records.directory import (
    Ending,
    link_latest,
    make_directory,
    table_hashes,
    write_json,
    write_provenance,
)
from sim.records.schema import Residual
from sim.records.writer import RunWriter

STARTED = datetime(2026, 11, 23, 12, 30, 5, tzinfo=UTC)


def ending(**changes: object) -> Ending:
    given: dict[str, object] = {
        "scenario": "example", "seed": 7, "replications": 2, "started": STARTED, "wall_s": 1.5, "start_ns": 1_000,
        "end_ns": 2_000, "reached_ns": (2_000, 1_500), "interrupted": True,
    }  # fmt: skip
    return Ending(**(given | changes))  # type: ignore[arg-type]


def test_a_run_is_named_by_its_time_and_its_scenario(tmp_path: Path) -> None:
    first = make_directory("demo", "name: demo\n", started=STARTED, root=tmp_path)
    assert first.parent == tmp_path / "demo"
    assert first.name.startswith("20261123T123005Z-")
    assert (first / "scenario.yaml").read_text(encoding="utf-8") == "name: demo\n"
    again = make_directory("demo", "name: demo\n", started=STARTED, root=tmp_path)
    other = make_directory("demo", "name: other\n", started=STARTED, root=tmp_path)
    assert again.name == f"{first.name}-2"
    assert len({first, again, other}) == 3


def test_out_names_the_directory_itself(tmp_path: Path) -> None:
    out = tmp_path / "here"
    assert make_directory("demo", "a: 1\n", started=STARTED, out=out) == out
    with pytest.raises(BadInput, match=r"--out .*here: is not empty"):
        make_directory("demo", "a: 1\n", started=STARTED, out=out)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be made"):
        make_directory("demo", "a: 1\n", started=STARTED, out=tmp_path / "file")


def test_latest_points_to_the_last_run_under_runs(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first = make_directory("demo", "a: 1\n", started=STARTED, root=root)
    second = make_directory("demo", "a: 2\n", started=STARTED, root=root)
    for run in (first, second):
        link_latest(run, root=root)
        assert (root / "latest").resolve() == run.resolve()
        assert not Path((root / "latest").readlink()).is_absolute()
    link_latest(make_directory("demo", "a: 3\n", started=STARTED, out=tmp_path / "else"), root=root)
    assert (root / "latest").resolve() == second.resolve()


def test_provenance_says_how_far_a_run_came_and_what_ran(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append("conservation", Residual("a", "b", 1, 1))
    written = write_provenance(tmp_path, ending(not_modelled=("Rain.",)))
    read = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    assert read == written
    assert read["complete_share"] == 0.75
    assert read["interrupted"] is True
    assert read["started"] == "2026-11-23T12:30:05Z"
    assert read["not_modelled"] == ["Rain."]
    assert {"numpy", "pyarrow"} <= set(read["packages"])
    assert read["tables"] == table_hashes(tmp_path)
    assert list(read["tables"]) == ["conservation"]


def test_a_table_hash_changes_with_a_row(tmp_path: Path) -> None:
    for name, left in (("a", 1), ("b", 1), ("c", 2)):
        with RunWriter(tmp_path / name) as writer:
            writer.append("conservation", Residual("a", "b", left, 1))
    a, b, c = (table_hashes(tmp_path / name)["conservation"] for name in "abc")
    assert a == b
    assert a != c
    part = tmp_path / "a" / "tables" / "conservation" / "0000-0000.parquet"
    part.rename(part.with_name("0001-0000.parquet"))
    assert table_hashes(tmp_path / "a")["conservation"] != b, "which replication a part is of counts too"


def test_json_that_cannot_be_read_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
