"""What `Store` promises: all or nothing, in order, for ever, and nothing from the dead."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from protocol.errors import Killed
from protocol.ports import Put, Store
from tests.suites.bench import Bench


class StoreBench(Bench, Protocol):
    """Has a store, and can lose the process that uses it."""

    @property
    def store(self) -> Store: ...

    def reopen(self) -> StoreBench:
        """The process is killed; another opens what it left."""
        ...


RECORD: dict[str, Any] = {
    "text": "grüße\n\0",
    "whole": 2**200,
    "negative": -1,
    "none": None,
    "true": True,
    "list": [1, [2, {"three": []}]],
    "": {},
}


class StoreSuite:
    """Every adapter of `Store`."""

    def test_what_is_written_is_read(self, bench: StoreBench) -> None:
        bench.run(bench.store.commit([Put("t", "k", RECORD)]))
        assert bench.run(bench.store.get("t", "k")) == RECORD
        assert bench.run(bench.store.get("t", "other")) is None
        assert bench.run(bench.store.get("other", "k")) is None

    def test_a_later_write_replaces_and_none_deletes(self, bench: StoreBench) -> None:
        bench.run(bench.store.commit([Put("t", "k", {"n": 1}), Put("t", "k", {"n": 2}), Put("t", "l", {})]))
        assert bench.run(bench.store.get("t", "k")) == {"n": 2}
        bench.run(bench.store.commit([Put("t", "k", None), Put("t", "never", None)]))
        assert bench.run(bench.store.scan("t")) == {"l": {}}

    def test_a_scan_is_in_the_order_of_keys(self, bench: StoreBench) -> None:
        keys = ["b", "a", "10", "9", "Z", "ä", ""]
        bench.run(bench.store.commit([Put("t", key, {"key": key}) for key in keys]))
        assert list(bench.run(bench.store.scan("t"))) == sorted(keys)
        assert bench.run(bench.store.scan("empty")) == {}

    def test_a_scan_is_not_changed_by_later_writes(self, bench: StoreBench) -> None:
        bench.run(bench.store.commit([Put("t", "a", {"n": 1})]))
        seen = bench.run(bench.store.scan("t"))
        bench.run(bench.store.commit([Put("t", "a", {"n": 2}), Put("t", "b", {})]))
        assert seen == {"a": {"n": 1}}

    def test_it_outlives_the_process(self, bench: StoreBench) -> None:
        bench.run(bench.store.commit([Put("t", "k", RECORD), Put("u", "k", {"n": 1})]))
        later = bench.reopen()
        assert later.run(later.store.get("t", "k")) == RECORD
        assert later.run(later.store.scan("u")) == {"k": {"n": 1}}

    def test_the_dead_write_nothing(self, bench: StoreBench) -> None:
        bench.run(bench.store.commit([Put("t", "k", {"n": 1})]))
        old = bench.store
        later = bench.reopen()
        with pytest.raises(Killed):
            later.run(old.commit([Put("t", "k", {"n": 2}), Put("t", "l", {})]))
        with pytest.raises(Killed):
            later.run(old.get("t", "k"))
        assert later.run(later.store.scan("t")) == {"k": {"n": 1}}
