"""What every suite asks of the place it runs in."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from protocol import ports

T = TypeVar("T")


class Bench(Protocol):
    """A place where ports can be used.

    Attributes:
        clock, tasks: of the party that uses them.
        unit_ns: a time that is long for this place, and short for whoever waits for the tests [ns].
    """

    @property
    def clock(self) -> ports.Clock: ...

    @property
    def tasks(self) -> ports.Tasks: ...

    @property
    def unit_ns(self) -> int: ...

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the party to its end; what it raises is raised."""
        ...


async def pause(bench: Bench, units: float) -> None:
    """Wait for so many units."""
    await bench.tasks.mailbox().get(bench.clock.now_ns() + int(units * bench.unit_ns))


def after(bench: Bench, units: float) -> int:
    """The instant so many units from now."""
    return bench.clock.now_ns() + int(units * bench.unit_ns)
