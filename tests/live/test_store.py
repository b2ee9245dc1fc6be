"""SQLite under the suite of `Store`; and what is its alone: kill -9, a full disk, one writer, backups."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from live.store import APPLICATION_ID, MIGRATIONS, SqliteStore, backup, restore
from live.tasks import Process
from protocol.errors import BadInput, Killed, PortError
from protocol.ports import Put
from tests.live.benches import LiveBench
from tests.suites.store_suite import StoreBench, StoreSuite

ROOT = Path(__file__).parents[2]


class SqliteBench(LiveBench):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.store = SqliteStore(self.process, path)

    def reopen(self) -> SqliteBench:
        self.kill()
        self.store.close()
        return SqliteBench(self.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "provider.db"


@pytest.fixture
def bench(path: Path) -> Iterator[SqliteBench]:
    made = SqliteBench(path)
    yield made
    made.store.close()


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def bench(self, path: Path) -> Iterator[StoreBench]:
        made = SqliteBench(path)
        yield made
        made.store.close()


def test_a_commit_is_synced_and_the_file_is_its_owner_s(bench: SqliteBench) -> None:
    bench.run(bench.store.commit([Put("t", "k", {})]))
    connection = bench.store._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    for suffix in ("", "-wal", "-shm", ".lock"):
        mode = bench.path.with_name(bench.path.name + suffix).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, suffix


def test_killed_before_the_commit_it_writes_nothing(bench: SqliteBench) -> None:
    """The kill comes while the write waits for its turn."""

    async def story() -> None:
        async def writes() -> None:
            with pytest.raises(Killed):
                await bench.store.commit([Put("t", "k", {"n": 1})])

        with bench.store._turn:
            bench.tasks.start("writes", writes())
            await trio.sleep(0.05)
            bench.kill()
        await trio.sleep(0.05)

    bench.run(story())
    later = bench.reopen()
    assert later.run(later.store.scan("t")) == {}
    later.store.close()


WRITER = """
    import sys, trio
    from pathlib import Path
    from live.store import SqliteStore
    from live.tasks import Process
    from protocol.ports import Put

    process = Process("writer")
    store = SqliteStore(process, Path(sys.argv[1]))

    async def main():
        n = 0
        while True:
            n += 1
            await store.commit([Put("t", str(part), {"n": n}) for part in range(5)])
            print(n, flush=True)

    trio.run(process.run, main())
"""


def writer(path: Path, program: str = WRITER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("wait_s", [0.05, 0.11, 0.23])
def test_killed_at_any_instant_what_was_said_to_be_written_is_there_and_whole(
    path: Path, wait_s: float
) -> None:
    process = writer(path)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in (first + process.communicate()[0]).split("\n")[:-1]]
    bench = SqliteBench(path)
    found = {record["n"] for record in bench.run(bench.store.scan("t")).values()}
    assert found <= {said[-1], said[-1] + 1} and len(found) == 1
    bench.store.close()


def test_one_process_writes_and_a_second_is_told(path: Path, bench: SqliteBench) -> None:
    with pytest.raises(BadInput, match=r"provider\.db: another process is using it"):
        SqliteStore(Process("second"), path)
    other = writer(path)
    _, said = other.communicate(timeout=60)
    assert other.returncode == 1 and "another process is using it" in said
    bench.store.close()
    SqliteStore(Process("third"), path).close()


FULL = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
""" + WRITER.replace("range(5)", "range(200)")


def test_a_disk_that_takes_no_more_loses_nothing_that_was_written(path: Path) -> None:
    process = writer(path, FULL)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "PortError" in said and "provider.db" in said
    last = int(out.split()[-1])
    bench = SqliteBench(path)
    assert {record["n"] for record in bench.run(bench.store.scan("t")).values()} <= {last, last + 1}
    bench.store.close()


def test_a_full_disk_is_said_with_when_to_try_again_and_passes(bench: SqliteBench) -> None:
    bench.run(bench.store.commit([Put("t", "k", {"n": 1})]))
    (pages,) = bench.store._connection.execute("PRAGMA page_count").fetchone()
    bench.store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [Put("t", str(n), {"text": "x" * 1000}) for n in range(100)]
    with pytest.raises(PortError, match="full") as caught:
        bench.run(bench.store.commit(many))
    assert (caught.value.sent, caught.value.retry_after_s) == (False, 60)
    assert bench.run(bench.store.scan("t")) == {"k": {"n": 1}}
    bench.store._connection.execute("PRAGMA max_page_count = 1000000")
    bench.run(bench.store.commit(many))
    assert len(bench.run(bench.store.scan("t"))) == 101


def test_after_a_commit_of_which_nobody_knows_nothing_goes_on_until_it_is_opened_again(
    bench: SqliteBench,
) -> None:
    """What makes the commit fail passes; the store does not go on as if it had known the outcome."""
    bench.run(bench.store.commit([Put("t", "k", {"n": 1})]))
    connection = bench.store._connection
    connection.execute("ALTER TABLE records RENAME TO hidden")
    with pytest.raises(PortError, match="no such table") as caught:
        bench.run(bench.store.commit([Put("t", "k", {"n": 2})]))
    assert (caught.value.sent, caught.value.retry_after_s) == (False, None)
    connection.execute("ALTER TABLE hidden RENAME TO records")
    with pytest.raises(PortError, match="no such table"):
        bench.run(bench.store.commit([Put("t", "k", {"n": 3})]))
    with pytest.raises(PortError, match="no such table"):
        bench.run(bench.store.get("t", "k"))
    later = bench.reopen()
    assert later.run(later.store.get("t", "k")) == {"n": 1}
    later.store.close()


# ---------------------------------------------------------------- what is no store, and what is a later one


def make(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE TABLE theirs (x)"], "none of ours"),
        (["PRAGMA application_id = 77"], "none of ours"),
        ([f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 99"],
         f"its form is 99, and this release knows up to {len(MIGRATIONS)}"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_ours_is_left_as_it_is(path: Path, statements: list[str], told: str) -> None:
    make(path, *statements)
    before = path.read_bytes()
    with pytest.raises(BadInput, match=told) as caught:
        SqliteStore(Process("party"), path)
    assert str(caught.value).startswith(f"{path}: ")
    assert path.read_bytes() == before
    with pytest.raises(BadInput, match=told):
        backup(path, path.with_name("copy"))
    assert not path.with_name("copy").exists()


def test_what_is_no_database_and_a_folder_that_is_not_there_are_named(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database" * 40)
    with pytest.raises(BadInput, match=rf"{path}: file is not a database"):
        SqliteStore(Process("party"), path)
    with pytest.raises(BadInput, match="No such file or directory"):
        SqliteStore(Process("party"), path.parent / "absent" / "x.db")
    path.unlink()
    SqliteStore(Process("party"), path).close()  # the lock of the attempts above is gone


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = SqliteBench(path)
    bench.run(bench.store.commit([Put("t", "k", {"n": 1})]))
    bench.store.close()
    with monkeypatch.context() as patch:
        patch.setattr("live.store.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (x)", "CREATE NONSENSE"))
        with pytest.raises(BadInput, match="cannot be brought to the present form"):
            SqliteStore(Process("party"), path)
    patch_free = SqliteBench(path)
    assert patch_free.run(patch_free.store.scan("t")) == {"k": {"n": 1}}
    tables = patch_free.store._connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert ("more",) not in tables
    patch_free.store.close()
    with monkeypatch.context() as patch:
        patch.setattr("live.store.MIGRATIONS", (*MIGRATIONS, "ALTER TABLE records ADD COLUMN more TEXT"))
        later = SqliteStore(Process("party"), path)
        assert later._connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        later.close()


# ---------------------------------------------------------------- backups


def test_a_backup_is_one_instant_of_a_store_that_is_being_written(path: Path, tmp_path: Path) -> None:
    process = writer(path, WRITER.replace("range(5)", "range(500)"))
    assert process.stdout is not None
    process.stdout.readline()
    for turn in range(3):
        copy = tmp_path / f"copy-{turn}"
        backup(path, copy)
        rows = sqlite3.connect(copy).execute("SELECT record FROM records").fetchall()
        assert len(rows) == 500
        assert len({json.loads(text)["n"] for (text,) in rows}) == 1
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert {p.name for p in tmp_path.iterdir() if p.name.startswith(("copy", ".copy"))} == {
            f"copy-{n}" for n in range(turn + 1)
        }
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_backup_restored_is_the_store(bench: SqliteBench, tmp_path: Path) -> None:
    bench.run(bench.store.commit([Put("t", "k", {"n": 1})]))
    backup(bench.path, tmp_path / "copy")
    bench.run(bench.store.commit([Put("t", "k", {"n": 2})]))
    restore(tmp_path / "copy", tmp_path / "again.db")
    again = SqliteBench(tmp_path / "again.db")
    assert again.run(again.store.scan("t")) == {"k": {"n": 1}}
    again.run(again.store.commit([Put("t", "k", {"n": 3})]))
    again.store.close()


def test_nothing_is_written_over_and_a_damaged_copy_is_refused(bench: SqliteBench, tmp_path: Path) -> None:
    bench.run(bench.store.commit([Put("t", str(n), {"text": "x" * 500}) for n in range(100)]))
    copy = tmp_path / "copy"
    backup(bench.path, copy)
    with pytest.raises(BadInput, match="exists already"):
        backup(bench.path, copy)
    with pytest.raises(BadInput, match="stands there already"):
        restore(copy, bench.path)
    with pytest.raises(BadInput, match="there is no store"):
        backup(tmp_path / "absent", tmp_path / "new")
    with pytest.raises(BadInput, match="there is no backup"):
        restore(tmp_path / "absent", tmp_path / "new")
    damaged = bytearray(copy.read_bytes())
    damaged[8192:12288] = os.urandom(4096)
    copy.write_bytes(damaged)
    with pytest.raises(BadInput, match=r"damaged|malformed"):
        restore(copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()
