"""`Store` in SQLite: a file that one process writes, on the disk when `commit` returns.

The file is in WAL mode with `synchronous=FULL`: a commit is one fsync of the log, and readers (a backup, another
command) see the last commit without holding the writer up. Statements run in worker threads, one at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from protocol import ports
from protocol.errors import BadInput, PortError
from protocol.units import NEVER_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from live.tasks import Process

T = TypeVar("T")

APPLICATION_ID: Final = 0x54506F64
"""What SQLite's header calls a store of ours ("TPod")."""
MIGRATIONS: Final = (
    """CREATE TABLE records (
        place TEXT NOT NULL,   -- the table, as the core calls it
        key TEXT NOT NULL,
        record TEXT NOT NULL,  -- JSON
        PRIMARY KEY (place, key)
    ) WITHOUT ROWID""",
)
"""Each takes the file from the version that is its index to the next; `PRAGMA user_version` says where a file is."""
BUSY_S: Final = 5.0
"""A reader of the file keeps a checkpoint waiting no longer than this [s]."""
PASSING: Final = ("SQLITE_FULL", "SQLITE_BUSY")
"""Troubles that leave the file as it was and may pass: no room on the disk, a reader that does not let go."""
RETRY_S: Final = 60
"""When trying again makes sense after one [s]."""


class SqliteStore:
    """See `ports.Store`.

    One process at a time: the lock file beside it is held until `close`, or until the process is gone.

    Args:
        process: whose it is; a write of a dead process never happens.
        path: the file; made when it is not there, readable by its owner alone.

    Raises:
        BadInput: it is no store of ours, is of a newer release, cannot be read, or another process has it.
    """

    def __init__(self, process: Process, path: Path) -> None:
        self.path = path
        self._process = process
        self._turn = threading.Lock()
        self._broken: str | None = None
        self._lock = _lock(path)
        try:
            self._connection = _open(path)
            _migrate(self._connection, path)
        except BaseException:
            os.close(self._lock)
            raise

    async def commit(self, changes: Sequence[ports.Put]) -> None:
        """See `ports.Store.commit`."""
        rows = [(c.table, c.key, None if c.record is None else _written(c)) for c in changes]

        def write() -> None:
            try:
                with _transaction(self._connection) as connection:
                    for place, key, record in rows:
                        if record is None:
                            connection.execute(
                                "DELETE FROM records WHERE place = ? AND key = ?", (place, key)
                            )
                        else:
                            connection.execute(
                                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (place, key, record)
                            )
                    self._process.check()  # killed while this waited for its turn or for the disk
            except sqlite3.Error as error:
                if _name(error) not in PASSING:
                    # A log that could not be synced may hold the commit all the same: only opening the file again
                    # tells, so nothing is written or read until then.
                    self._broken = f"{self.path}: {error}"
                raise

        await self._do(write)

    async def get(self, table: str, key: str) -> ports.Record | None:
        """See `ports.Store.get`."""
        asked = "SELECT record FROM records WHERE place = ? AND key = ?"
        row = await self._do(lambda: self._connection.execute(asked, (table, key)).fetchone())
        return None if row is None else _read(row[0])

    async def scan(self, table: str) -> Mapping[str, ports.Record]:
        """See `ports.Store.scan`."""
        asked = "SELECT key, record FROM records WHERE place = ? ORDER BY key"
        rows = await self._do(lambda: self._connection.execute(asked, (table,)).fetchall())
        return {key: _read(record) for key, record in rows}

    def close(self) -> None:
        """Let the file and its lock go."""
        with self._turn:
            self._connection.close()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    async def _do(self, work: Callable[[], T]) -> T:
        def in_turn() -> T:
            with self._turn:
                self._process.check()
                if self._broken is not None:
                    raise PortError(self._broken, sent=False, retry_after_s=None)
                try:
                    return work()
                except sqlite3.Error as error:
                    again_s = RETRY_S if _name(error) in PASSING else None
                    raise PortError(f"{self.path}: {error}", sent=False, retry_after_s=again_s) from error

        done = await self._process.in_thread(lambda: (in_turn(),), until_ns=NEVER_NS)
        assert done is not None  # there is no deadline
        return done[0]


def backup(path: Path, target: Path) -> None:
    """A consistent copy of a store as of now, also while a process writes to it; complete once it has its name.

    Args:
        path: the store.
        target: the copy; readable by its owner alone.

    Raises:
        BadInput: there is no store there, the target exists, or one of them cannot be read or written.
    """
    if target.exists():
        raise BadInput(f"{target}: exists already; a backup is never written over")
    if not path.is_file():
        raise BadInput(f"{path}: there is no store there")
    unfinished = target.with_name(f".{target.name}.partial")
    try:
        with contextlib.closing(_connect(f"{path.absolute().as_uri()}?mode=ro")) as source:
            _check_kind(source, path)
            unfinished.unlink(missing_ok=True)
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        unfinished.unlink(missing_ok=True)
        raise BadInput(f"{path} to {target}: the backup failed: {error}") from error


def restore(copy: Path, path: Path) -> None:
    """Put a backup where there is no store.

    Args:
        copy: made by `backup`.
        path: where the store shall be.

    Raises:
        BadInput: a store stands there already, or the copy is not whole, not ours, or of a newer release.
    """
    if path.exists():
        raise BadInput(f"{path}: a store stands there already; move it away first")
    if not copy.is_file():
        raise BadInput(f"{copy}: there is no backup there")
    try:
        with contextlib.closing(_connect(f"{copy.absolute().as_uri()}?mode=ro")) as source:
            _check_kind(source, copy)
            found = [row[0] for row in source.execute("PRAGMA integrity_check(1)")]
    except sqlite3.Error as error:
        raise BadInput(f"{copy}: {error}") from error
    if found != ["ok"]:
        raise BadInput(f"{copy}: it is damaged: {found[0]}")
    backup(copy, path)


def _lock(path: Path) -> int:
    """Hold the right to write, by a lock that goes with the process.

    Raises:
        BadInput: another process holds it, or the folder cannot be written.
    """
    beside = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(beside, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"{beside}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise BadInput(f"{path}: another process is using it; one at a time may") from None
        raise BadInput(f"{beside}: {error.strerror}") from error
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # a log beside it gets the same mode
        connection = _connect(path.absolute().as_uri())
    except (OSError, sqlite3.Error) as error:
        raise BadInput(f"{path}: {error}") from error
    try:
        _check_kind(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise BadInput(f"{path}: {error}") from error
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    # Threads take turns (`_turn`), and transactions are begun by hand.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what is no store of ours, or a later one than we know."""
    (kind,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if kind != APPLICATION_ID and (kind or version or tables):
        raise BadInput(f"{path}: this is an SQLite file, and none of ours")
    if version > len(MIGRATIONS):
        known = len(MIGRATIONS)
        raise BadInput(
            f"{path}: its form is {version}, and this release knows up to {known}; use the newer release"
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the present form, whole or not at all."""
    try:
        with _transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for step in MIGRATIONS[version:]:
                connection.execute(step)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except sqlite3.Error as error:
        connection.close()
        raise BadInput(f"{path}: it cannot be brought to the present form: {error}") from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _name(error: sqlite3.Error) -> str:
    """SQLite's name of what went wrong; empty when it is the module's own error."""
    return getattr(error, "sqlite_errorname", "")


def _written(change: ports.Put) -> str:
    return json.dumps(change.record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _read(text: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(text)
    return record


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if TYPE_CHECKING:
    _is_a_store: type[ports.Store] = SqliteStore
