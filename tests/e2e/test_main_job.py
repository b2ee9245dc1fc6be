"""The main job through the real command: what it leaves behind, and that another process leaves the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sim.records import directory as names
from sim.records.schema import TABLES

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "azure-marketplace" / "scenario.yaml"
MEMORY_LIMIT_BYTES = 1_000_000_000  # what the project promises for this scenario

# A market in which nobody changes a price is a market; one without any of the others is not.
MAY_BE_EMPTY = {"prices", "rates"}


@dataclass(frozen=True, slots=True)
class Run:
    directory: Path
    peak_bytes: int


def run_command(out: Path, *, hash_seed: int) -> Run:
    command = Path(sys.executable).with_name("trustedpods")
    # Another order of sets and dicts of text, as another process may well have.
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    with (
        (out.parent / f"{out.name}.log").open("w+") as log,
        subprocess.Popen(
            [command, "run", SCENARIO, "--out", out, "--quiet"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)  # as wait(), and says what it used
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        assert process.returncode == 0, log.read()
    return Run(out, usage.ru_maxrss * 1024)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_command(tmp_path_factory.mktemp("main-job") / "first", hash_seed=1)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_command(tmp_path_factory.mktemp("main-job") / "second", hash_seed=2)


def parts(run: Run) -> dict[str, bytes]:
    """The bytes of every file of the tables, by its path under `tables/`."""
    tables = run.directory / names.TABLES
    return {str(path.relative_to(tables)): path.read_bytes() for path in tables.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [names.SCENARIO, names.PROVENANCE, names.SUMMARY, names.REPORT])
def test_the_run_directory_holds_the_file(first: Run, name: str) -> None:
    assert (first.directory / name).stat().st_size > 0


@pytest.mark.parametrize("table", TABLES)
def test_the_run_directory_holds_the_table(first: Run, table: str) -> None:
    files = sorted((first.directory / names.TABLES / table).glob("*.parquet"))
    assert files or table == "rates"  # no token of this scenario has one
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    assert rows > 0 or table in MAY_BE_EMPTY


def test_the_run_came_to_its_end(first: Run) -> None:
    provenance = json.loads((first.directory / names.PROVENANCE).read_text())
    assert provenance["complete_share"] == 1.0
    assert provenance["interrupted"] is False


def test_the_report_works_offline(first: Run) -> None:
    page = (first.directory / names.REPORT).read_text(encoding="utf-8")
    assert "<svg" in page
    fetched = re.findall(
        r"""(?:\bsrc|<link[^>]*\bhref)\s*=\s*["']?(?!data:|#)[^"'\s>]+|url\((?!["']?(?:data:|#))""", page
    )
    assert fetched == []


def test_another_process_writes_the_same_bytes(first: Run, second: Run) -> None:
    ours, theirs = parts(first), parts(second)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert (first.directory / names.SCENARIO).read_bytes() == (second.directory / names.SCENARIO).read_bytes()


def test_memory_stays_under_the_limit(first: Run) -> None:
    assert first.peak_bytes <= MEMORY_LIMIT_BYTES
