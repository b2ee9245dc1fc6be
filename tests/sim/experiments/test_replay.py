"""`replay`: a run comes out again byte for byte, and one changed cell of a table is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import sim
from cli.main import main
from protocol.errors import BadInput
from sim.experiments import replay as module
from sim.experiments.changes import Change
from sim.experiments.replay import RowDifference, first_difference
from sim.records.directory import table_hashes
from sim.records.reader import RunTables
from sim.runner import InvariantBroken
from tests.sim.worlds import publisher, text, world

DATA = world(duration="12m", publishers=[publisher(count=2)], output={"requests": 1, "sampling": "2m"})


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["replay", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    (folder / "scenario.yaml").write_text(text(DATA), encoding="utf-8")
    options = ["publishers.pod.traffic.poisson=0.2/s"]
    return sim.run(folder / "scenario.yaml", options, seed=5, replications=2, out=folder / "run").directory


@pytest.fixture
def run(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, in a folder where nothing else is. Nobody looks at the reports of the second runs."""
    monkeypatch.setattr("sim.report.write_report", lambda directory: directory)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(original, tmp_path / "run"))


def rewrite(run: Path, table: str, replication: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the first part of a table, as somebody with an editor for Parquet could."""
    part = run / "tables" / table / f"{replication:04d}-0000.parquet"
    changed = change(pq.ParquetFile(part).read())
    pq.write_table(changed, part, compression="zstd", row_group_size=max(1, changed.num_rows))


def cell(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        place = table.schema.get_field_index(column)
        return table.set_column(
            place, table.schema.field(column), pa.array(values, table.schema.field(column).type)
        )

    return change


def provenance(run: Path, **changes: Any) -> None:
    path = run / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rows(run: Path, table: str, replication: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = RunTables(run).arrow(table, replication).to_pylist()
    return found


# --- the same ---


def test_a_run_comes_out_again_byte_for_byte(run: Path) -> None:
    """With the overrides, the seed and the replications of then; nothing of the second run is left."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = command(run, "--workers", 2, "--threads", 1)
    assert (result.exit_code, result.stdout) == (0, "the same bytes\n")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [path.name for path in Path().iterdir()] == ["run"]


def test_where_the_second_run_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def keep(path: Path, *, out: Path, **options: Any) -> Any:
        seen.append(out)
        return sim.run(path, out=out, **options)

    monkeypatch.setattr(module, "run", keep)
    found = sim.replay(str(run))
    assert found.same and (found.tables, found.first, found.event, found.cause) == ((), None, None, ())
    assert len(seen) == 1 and not seen[0].parent.exists()


def test_the_same_is_not_said_of_what_differs_in_bytes_alone(run: Path) -> None:
    rewrite(run, "samples", 1, lambda table: table.replace_schema_metadata({"by": "hand"}))
    found = sim.replay(run)
    assert (found.same, found.tables, found.altered, found.first) == (False, ("samples",), ("samples",), None)
    result = command(run)
    assert result.exit_code == 1 and result.stdout.startswith(
        "every row is the same; only the files' bytes differ"
    )
    assert "tables that are not as the run left them (changed since): samples" in result.stderr


# --- one changed cell ---


def test_one_changed_cell_is_found(run: Path) -> None:
    honest = rows(run, "channels", 1)
    rewrite(run, "channels", 1, cell("owed", 1, honest[1]["owed"] + 1))
    found = sim.replay(run)
    assert found.tables == found.altered == ("channels",)
    forged = {**honest[1], "owed": honest[1]["owed"] + 1}
    assert found.first == RowDifference("channels", 1, 1, forged, honest[1], ("owed",))
    assert found.event is None and found.cause == ()
    result = command(run)
    assert result.exit_code == 1 and result.stderr.endswith("not the same: channels\n")
    assert "first differing row: channels, replication 1, row 1\n" in result.stdout
    assert f"  ! owed: {forged['owed']} recorded, {honest[1]['owed']} now\n" in result.stdout
    assert f"    provider: {honest[1]['provider']}\n" in result.stdout and "what led" not in result.stdout


def test_a_changed_event_is_told_with_its_causes(run: Path) -> None:
    honest = rows(run, "events", 0)
    by_id = {event["event_id"]: event for event in honest}
    depth: dict[int, int] = {}
    for event in sorted(honest, key=lambda event: event["event_id"]):  # a cause comes before what it leads to
        depth[event["event_id"]] = 1 + depth.get(event["cause_id"], 0)
    place, deep = max(enumerate(honest), key=lambda at: depth[at[1]["event_id"]])
    assert depth[deep["event_id"]] >= 3
    rewrite(run, "events", 0, cell("detail", place, "forged"))
    found = sim.replay(run)
    assert found.tables == ("events",) and found.event == found.first
    assert found.first is not None and found.first.number == place and found.first.columns == ("detail",)
    assert len(found.cause) == len(found.cause_again) == depth[deep["event_id"]]
    assert found.cause_again[-1] == deep and found.cause[-1] == {**deep, "detail": "forged"}
    assert found.cause[0]["cause_id"] is None
    for event, next_ in zip(found.cause, found.cause[1:], strict=False):
        assert next_["cause_id"] == event["event_id"] and event == by_id[event["event_id"]]
    result = command(run)
    assert f"first differing row: events, replication 0, row {place}\n" in result.stdout
    assert "first differing event" not in result.stdout  # it is the same row
    told = result.stdout.partition("what led to it (recorded)\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in told] == [f"#{event['event_id']}" for event in found.cause]
    assert told[-1].endswith("forged") and "what led to it (again)" in result.stdout


def test_an_event_that_nobody_recorded_and_one_that_goes_round_in_circles(run: Path) -> None:
    honest = rows(run, "events", 1)
    rewrite(run, "events", 1, lambda table: table.slice(0, table.num_rows - 1))
    found = sim.replay(run)
    assert found.event is not None and found.event.recorded is None
    assert found.event.number == len(honest) - 1 and found.event.again == honest[-1] == found.cause_again[-1]
    assert found.cause == () and set(found.event.columns) == set(honest[-1])
    said = command(run).stdout
    assert "only in the run of now" in said and "what led to it (recorded): there is no such event" in said
    place = next(place for place, event in enumerate(honest) if event["cause_id"] is not None)
    rewrite(run, "events", 1, cell("cause_id", place, honest[place]["event_id"]))
    circle = sim.replay(run)
    assert circle.event is not None and circle.event.columns == ("cause_id",) and len(circle.cause) == 1


def test_the_first_table_and_the_first_event_are_both_told(run: Path) -> None:
    rewrite(run, "events", 0, cell("detail", 4, "forged"))
    rewrite(run, "deployments", 1, cell("served", 0, 1))
    found = sim.replay(run)
    assert found.tables == ("deployments", "events")
    assert found.first is not None and (found.first.table, found.first.replication) == ("deployments", 1)
    assert found.event is not None and (found.event.table, found.event.number) == ("events", 4)
    said = command(run).stdout
    assert said.index("first differing row: deployments") < said.index("first differing event: events")


def test_a_simulator_that_does_not_repeat_itself_is_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are as they were left; what changed is the run of now."""

    def otherwise(path: Path, **options: Any) -> Any:
        return sim.run(path, ["seed=6"], **options)

    monkeypatch.setattr(module, "run", otherwise)
    found = sim.replay(run)
    assert found.altered == () and not found.same and "events" in found.tables
    assert found.first is not None and found.event is not None
    assert "changed since" not in command(run).stderr


def test_rows_are_compared_block_by_block_and_as_they_are_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    pair = RunTables(run), RunTables(other)
    requests = rows(run, "requests", 0)
    assert first_difference(*pair, "requests") is None
    rewrite(other, "requests", 0, cell("pod", 12, "forged"))
    for block in (1, 5, 12, 13, 10_000):
        monkeypatch.setattr(module, "BLOCK", block)
        found = first_difference(*pair, "requests")
        assert found is not None and (found.number, found.columns) == (12, ("pod",))
        assert found.recorded == requests[12]
    shutil.rmtree(other)
    shutil.copytree(run, other)
    rewrite(other, "requests", 0, lambda table: table.slice(0, 20))
    monkeypatch.setattr(module, "BLOCK", 20)  # the row that is missing begins a block
    missing = first_difference(*pair, "requests")
    assert missing is not None and (missing.number, missing.recorded, missing.again) == (
        20,
        requests[20],
        None,
    )
    extra = first_difference(pair[1], pair[0], "requests")
    assert extra is not None and (extra.number, extra.recorded, extra.again) == (20, None, requests[20])
    column = next(name for name, value in rows(run, "providers", 0)[0].items() if isinstance(value, float))
    for value, equal in ((float("nan"), True), (0.0, False)):
        rewrite(run, "providers", 0, cell(column, 0, value))
        rewrite(other, "providers", 0, cell(column, 0, value if equal else -value))
        assert (first_difference(*pair, "providers") is None) is equal


# --- versions, and what cannot be replayed ---


def test_other_versions_are_said_before_anything_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = json.loads((run / "provenance.json").read_text())
    provenance(run, python="3.9.1", packages={**now["packages"], "numpy": "1.0"})
    told: list[str] = []
    numpy, python = now["packages"]["numpy"], now["python"]
    words = f"python: 3.9.1 against {python}; numpy: 1.0 against {numpy}"

    def late(*args: Any, **options: Any) -> Any:
        assert told[0] == f"this run was made by other versions (then against now): {words}"
        return sim.run(*args, **options)

    monkeypatch.setattr(module, "run", late)
    found = sim.replay(run, notice=told.append)
    assert found.same and found.versions == (Change("python", "3.9.1", python), Change("numpy", "1.0", numpy))
    result = command(run)
    assert result.exit_code == 0 and words in result.stderr


def test_code_with_changes_is_not_known_to_be_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = json.loads((run / "provenance.json").read_text())
    dirty = {"commit": "f00d", "changed": True}
    provenance(run, source=dirty)
    monkeypatch.setattr(module, "versions", lambda: {**here, "source": dirty})
    told: list[str] = []
    assert sim.replay(run, notice=told.append).versions == ()
    assert told == [
        "then as now the code had changes that no commit holds: whether it is the same is not known"
    ]


def test_an_interrupted_run_is_refused(run: Path) -> None:
    provenance(run, interrupted=True, complete_share=0.4)
    result = command(run)
    assert result.exit_code == 2 and result.stdout == ""
    assert (
        "was interrupted when 40.0% of its time was reached, at an instant that no seed repeats"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (
            lambda run: (run / "provenance.json").unlink(),
            "this run was killed before it wrote provenance.json",
        ),
        (lambda run: (run / "scenario.yaml").write_text("name: x\nduraton: 1h\n"), "duraton"),
        (shutil.rmtree, "there is no such directory"),
    ],
)
def test_what_cannot_be_run_again_is_2(run: Path, break_it: Callable[[Path], Any], words: str) -> None:
    break_it(run)
    result = command(run)
    assert result.exit_code == 2 and words in result.stderr and result.stdout == ""


def test_an_interrupt_compares_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(path: Path, **options: Any) -> Any:
        def told(done_ns: int, total_ns: int, requests: int) -> None:
            raise KeyboardInterrupt

        return sim.run(path, **{**options, "progress": told})

    monkeypatch.setattr(module, "run", pressed)
    result = command(run)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("interrupted before the run was whole again; nothing was compared\n")


def test_a_run_that_broke_an_invariant_can_be_replayed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, **options: Any) -> Any:
        raise InvariantBroken(sim.run(path, **options), ("tokens: 3 and 4",))

    monkeypatch.setattr(module, "run", broken)
    assert sim.replay(run).same


def test_a_table_that_this_version_does_not_know_differs(run: Path) -> None:
    shutil.copytree(run / "tables" / "claims", run / "tables" / "forgotten")
    found = sim.replay(run)
    assert found.tables == found.altered == ("forgotten",) and found.first is None


def test_a_refusal_comes_before_anything_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run", lambda *args, **options: pytest.fail("it ran"))
    provenance(run, interrupted=True, complete_share=0.4)
    with pytest.raises(BadInput, match="only whole runs can be replayed"):
        sim.replay(run)
    assert table_hashes(run)
