from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sim.scenario import ScenarioErrors
from sim.trace_files import DEFAULT_MEMORY_BYTES, read_seconds, read_trace

ROOT = Path(__file__).parents[2]
AZURE = ROOT / "scenarios" / "traces" / "azure2019_500"
SMALL = Path(__file__).parent / "scenario" / "wrong" / "files"


def test_the_azure_sample_is_whole() -> None:
    trace = read_trace(AZURE)
    assert (len(trace.functions), trace.minutes, trace.first_minute) == (500, 480, 480)
    calls = [sum(function.counts) for function in trace.functions]
    assert (sum(calls), max(calls), calls.index(max(calls))) == (3_037_902, 1_915_521, 287)
    assert sum(function.memory_bytes == DEFAULT_MEMORY_BYTES for function in trace.functions) == 2


def test_files_are_joined_by_the_hash_columns() -> None:
    """Against a second reading that goes row by row, by name."""
    trace = read_trace(AZURE)

    def rows(name: str) -> list[dict[str, str]]:
        with (AZURE / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    times = {(r["HashOwner"], r["HashApp"], r["HashFunction"]): r for r in rows("durations.csv")}
    sizes = {(r["HashOwner"], r["HashApp"]): r for r in rows("memory.csv")}
    for function, row in zip(trace.functions, rows("invocations.csv"), strict=True):
        key = (row["HashOwner"], row["HashApp"], row["HashFunction"])
        assert function.key == key
        assert function.average_ms == float(times[key]["Average"])
        if key[:2] in sizes:
            assert function.memory_bytes >= float(sizes[key[:2]]["AverageAllocatedMb"]) * 1e6
        assert function.counts[7] == int(row["487"])


def test_run_times_keep_their_average() -> None:
    for function in read_trace(AZURE).functions:
        assert function.service().mean == pytest.approx(function.average_ms / 1000, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("folder", "problems"), [("trace-short", 1), ("trace-values", 4), ("trace-lacking", 2), ("no-such", 1)]
)
def test_all_problems_of_a_trace_are_found(folder: str, problems: int) -> None:
    with pytest.raises(ScenarioErrors) as caught:
        read_trace(SMALL / folder)
    assert len(caught.value.problems) == problems


def test_a_gap_between_minutes_is_an_error(tmp_path: Path) -> None:
    for name in ("invocations.csv", "durations.csv", "memory.csv"):
        text = (SMALL / "trace" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("480,481,482", "480,482,483"), encoding="utf-8")
    with pytest.raises(ScenarioErrors, match="without a gap"):
        read_trace(tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    for name in ("invocations.csv", "durations.csv", "memory.csv"):
        (tmp_path / name).write_bytes((SMALL / "trace" / name).read_bytes())
    assert sum(read_trace(tmp_path).functions[0].counts) == 3
    path = tmp_path / "invocations.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("http,1,0,2", "http,5,5,5"), encoding="utf-8")
    assert sum(read_trace(tmp_path).functions[0].counts) == 15


def test_seconds_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("seconds\n1\nnan\n-2\n", encoding="utf-8")
    with pytest.raises(ScenarioErrors) as caught:
        read_seconds(file)
    assert [problem.line for problem in caught.value.problems] == [3, 4]
    file.write_text("seconds\n", encoding="utf-8")
    with pytest.raises(ScenarioErrors, match="no values"):
        read_seconds(file)


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfseconds\n1\n2\n", b"seconds\r\n1\r\n2\r\n", b"seconds\n1\n\n2\n\n"]
)
def test_what_spreadsheets_write_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    assert read_seconds(tmp_path / "x.csv") == (1.0, 2.0)
