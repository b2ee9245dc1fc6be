"""All planes of a world, brought to one instant together, in threads: the compiled code holds no lock.

Planes share nothing, and where `advance` is cut changes nothing (`kernel.engine`), so the number of threads changes no
result. None is ever ahead of the simulation's clock: whatever control does next finds every plane at its own
instant or before. Threads have work because planes are advanced before they are due: at every sample all of
them, and at the beginning of a slice of virtual time those whose billing tick falls into it, so that what is
left at the tick is less than the slice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from sim.kernel.engine import drive
from sim.kernel.plane import DataPlane
from sim.kernel.state import ADVANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

SLICES_A_TICK: Final = 20
PLANES_A_THREAD: Final = 8
"""Fewer are not worth waking a thread for: a plane with ten pods has some 20 µs to do in a slice."""


@dataclass(frozen=True, slots=True)
class Ticking:
    """A plane that is read at fixed instants.

    Attributes:
        plane: which.
        tick_ns, phase_ns: it is read when the Unix time is `phase_ns` more than a multiple of `tick_ns`.
    """

    plane: DataPlane
    tick_ns: int
    phase_ns: int


class Fleet:
    """The planes of one world.

    Args:
        ticking: the providers' planes.
        others: planes that are read at samples only.
        threads: how many may work at once, from 1.

    Attributes:
        slice_ns: how long a slice of `ahead` is to be [ns]; None: there is nothing to be gained by it.
    """

    def __init__(self, ticking: Sequence[Ticking], others: Sequence[DataPlane], *, threads: int) -> None:
        self._planes = [*(t.plane for t in ticking), *others]
        self._compiled = all(isinstance(plane, DataPlane) for plane in self._planes)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "plane") if threads > 1 and self._compiled else None
        self._tick_ns = np.array([t.tick_ns for t in ticking], np.int64)
        self._phase_ns = np.array([t.phase_ns for t in ticking], np.int64)
        self.slice_ns: int | None = None
        if self._pool is not None and len(ticking) >= threads * PLANES_A_THREAD:
            tick_ns = int(self._tick_ns.min())
            least = threads * PLANES_A_THREAD * tick_ns // len(ticking)  # so long that enough are due in it
            self.slice_ns = max(tick_ns // SLICES_A_TICK, least)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def advance(self, now_ns: int) -> None:
        """Bring all planes to now."""
        self._advance(self._planes, now_ns)

    def ahead(self, now_ns: int) -> None:
        """Bring to now the planes whose next tick is less than a slice away."""
        assert self.slice_ns is not None
        due = (self._phase_ns - now_ns) % self._tick_ns <= self.slice_ns
        self._advance([self._planes[k] for k in np.flatnonzero(due)], now_ns)

    def _advance(self, planes: list[DataPlane], now_ns: int) -> None:
        if not self._compiled:
            for plane in planes:
                plane.advance(now_ns)
            return
        shares = max(1, min(self._threads, len(planes) // PLANES_A_THREAD))
        waiting: list[Any] = []
        if self._pool is not None:
            waiting = [self._pool.submit(_bring, planes[n::shares], now_ns) for n in range(1, shares)]
            planes = planes[::shares]
        _bring(planes, now_ns)
        for future in waiting:
            future.result()


def _bring(planes: Sequence[DataPlane], now_ns: int) -> None:
    """Bring planes to now, one after another; see `DataPlane.advance`."""
    addresses = np.concatenate([plane.address for plane in planes]) if planes else np.zeros(0, np.int64)
    done = 0
    while (done := done + drive(addresses[done:], ADVANCE, 0, now_ns)) < len(planes):
        planes[done].make_room()
    for plane in planes:
        plane.arrived(now_ns)
