"""Where the suites run on trio: each `run` is a `trio.run` with the party's process in it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import trio

from live.tasks import Process
from protocol.units import NS_PER_MS

T = TypeVar("T")


class LiveBench:
    """One party on the machine's own clock; its unit is some milliseconds."""

    def __init__(self, *, unit_ms: int = 10, process: Process | None = None) -> None:
        self.unit_ns = unit_ms * NS_PER_MS
        self.process = process or Process("party")
        self.clock = self.tasks = self.process

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return trio.run(self.process.run, coroutine)

    def kill(self) -> None:
        self.process.kill()
