"""All planes of a world, brought to one instant together, in threads, and read: the compiled code holds no lock.

Planes share nothing, and where `advance` is cut changes nothing (`kernel.engine`), so the number of threads changes no
result. None is ever ahead of the simulation's clock: whatever control does next finds every plane at its own
instant or before. Threads have work because planes are advanced before they are due: at every sample all of
them, and at the beginning of a slice of virtual time those whose billing tick falls into it, so that what is
left at the tick is less than the slice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from sim.kernel import sums
from sim.kernel.engine import drive
from sim.kernel.plane import DataPlane
from sim.kernel.state import ADVANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from sim.kernel.arrays import Array

SLICES_A_TICK: Final = 20
PLANES_A_THREAD: Final = 8
"""Fewer are not worth waking a thread for: a plane with ten pods has some 20 µs to do in a slice."""
TOGETHER: Final = 8
"""Planes that are advanced, and then read, in one call: a plane with ten pods has some 100 KB."""


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
        self._addresses: Array = np.zeros(0, np.int64)
        if self._compiled:
            self._addresses = np.concatenate([plane.address for plane in self._planes])
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
        self._advance(self._planes, self._addresses, now_ns)

    def totals(self, now_ns: int) -> Array:
        """Bring all planes to now; returns `DataPlane.totals` of each: int64 [planes, `sums.SUMS`]."""
        totals: Array = np.zeros((len(self._planes), len(sums.SUMS)), np.int64)
        self._advance(self._planes, self._addresses, now_ns, totals)
        return totals

    def ahead(self, now_ns: int) -> None:
        """Bring to now the planes whose next tick is less than a slice away."""
        assert self.slice_ns is not None
        due = (self._phase_ns - now_ns) % self._tick_ns <= self.slice_ns
        which = np.flatnonzero(due)
        self._advance([self._planes[k] for k in which], self._addresses[which], now_ns)

    def replica_ms(self, which: Array, handles: Array, now_ns: int) -> Array:
        """`DataPlane.replica_ms` of many pods at once; all planes have come to `now_ns`.

        Args:
            which: int64 [pods]: of which plane; providers are counted from 0, in their order.
            handles: int64 [pods]: the pod's there; below 0: none.
            now_ns: instant [Unix ns].

        Returns:
            int64 [pods]; 0 where there is none.
        """
        billed: Array = np.zeros(len(which), np.int64)
        if self._compiled:
            sums.bills_of(self._addresses, which, handles, now_ns, billed)
        else:
            for k in np.flatnonzero(handles >= 0):
                billed[k] = self._planes[which[k]].replica_ms(int(handles[k]), now_ns)
        return billed

    def _advance(
        self, planes: list[DataPlane], addresses: Array, now_ns: int, totals: Array | None = None
    ) -> None:
        if not self._compiled:
            for number, plane in enumerate(planes):
                plane.advance(now_ns)
                if totals is not None:
                    of = plane.totals(now_ns)
                    totals[number] = [of[name] for name in sums.SUMS]
            return
        if self._pool is None:
            _bring(planes, addresses, now_ns, totals)
            return
        shares = max(1, min(self._threads, len(planes) // PLANES_A_THREAD))
        parts = [
            (
                planes[n::shares],
                addresses[n::shares].copy(),
                None if totals is None else totals[n::shares].copy(),
            )
            for n in range(shares)
        ]
        waiting = [self._pool.submit(_bring, some, at, now_ns, found) for some, at, found in parts[1:]]
        some, at, found = parts[0]
        _bring(some, at, now_ns, found)
        for future in waiting:
            future.result()
        if totals is not None:
            for n, (_, _, found) in enumerate(parts):
                totals[n::shares] = found


def _bring(planes: Sequence[DataPlane], addresses: Array, now_ns: int, totals: Array | None) -> None:
    """Bring planes to now, one after another; see `DataPlane.advance`.

    Args:
        planes: which.
        addresses: where they are.
        now_ns: the present [Unix ns].
        totals: int64 [planes, `sums.SUMS`]: is filled, if there is one, a few planes at a time: what has just been
            advanced is still in the processor's cache.
    """
    for first in range(0, len(planes), TOGETHER):
        some = addresses[first : first + TOGETHER]
        done = 0
        while (done := done + drive(some[done:], ADVANCE, 0, now_ns)) < len(some):
            planes[first + done].make_room()
        if totals is not None:
            sums.sums(some, totals[first : first + TOGETHER])
    for plane in planes:
        plane.arrived(now_ns)
    if totals is not None:
        for k in np.flatnonzero(totals[:, sums.COLUMN["slowed"]]).tolist():
            totals[k, sums.COLUMN["cpu_given_millis"]] = planes[k].cpu_given_millis()
