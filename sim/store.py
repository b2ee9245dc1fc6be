"""`Store` in memory: what a party wrote survives its simulated crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from protocol import ports

if TYPE_CHECKING:
    from sim.tasks import Process


class Disk:
    """What outlives a process: tables of records."""

    __slots__ = ("tables",)

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, ports.Record]] = {}


class MemoryStore:
    """See `ports.Store`. A write is durable at once; a write of a dead process never happens."""

    __slots__ = ("_disk", "_process")

    def __init__(self, process: Process, disk: Disk) -> None:
        self._process = process
        self._disk = disk

    async def commit(self, changes: Sequence[ports.Put]) -> None:
        """See `ports.Store.commit`."""
        self._process.check()
        tables = self._disk.tables
        for change in changes:
            table = tables.setdefault(change.table, {})
            if change.record is None:
                table.pop(change.key, None)
            else:
                table[change.key] = change.record

    async def get(self, table: str, key: str) -> ports.Record | None:
        """See `ports.Store.get`."""
        self._process.check()
        return self._disk.tables.get(table, {}).get(key)

    async def scan(self, table: str) -> Mapping[str, ports.Record]:
        """See `ports.Store.scan`."""
        self._process.check()
        return dict(sorted(self._disk.tables.get(table, {}).items()))


if TYPE_CHECKING:
    _is_a_store: type[ports.Store] = MemoryStore
