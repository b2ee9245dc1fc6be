"""What a simulated cluster tells of its tenants' use at a billing tick: who is beyond his mark, and the rest when asked.

The plane says what it has billed of each handle; where a tenant's part of that is found changes only when tenants
come, go or are updated. So a tick costs one comparison a tenant, and a reading is made when somebody wants it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.ports import PodState, Reading, Usage

if TYPE_CHECKING:
    from protocol.ports import Mark
    from sim.cluster import Tenant


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where to find what a tenant that only runs (no volumes, no bytes) has used, as long as it is not updated.

    Attributes:
        handle: of its pod in the plane.
        base_ms: replica-milliseconds of the plane that belong to earlier versions or earlier hosts.
        past: readings of earlier versions.
        last: a reading of the newest.
    """

    handle: int
    base_ms: int
    past: tuple[Reading, ...]
    last: Reading

    @property
    def versions(self) -> int:
        """How many it has had."""
        return len(self.past) + 1


def _plot(tenant: Tenant) -> _Plot | None:
    """None: it has to be looked at to be read, or has been removed."""
    spec = tenant.caller.spec
    if tenant.state is PodState.REMOVED or tenant.bound_from_ms is not None:
        return None
    if spec.request_bytes or spec.response_bytes:
        return None
    past = tuple(replace(reading) for reading in tenant.readings[:-1])
    return _Plot(tenant.caller.handle, tenant.base[0], past, replace(tenant.readings[-1]))


class _Readings(Mapping[str, Sequence[Reading]]):
    """The readings of one instant, worked out when they are asked for.

    Args:
        plots: where each tenant's use is found; None: in `others`.
        billed_ms: of every handle of the plane, at that instant.
        others: readings of that instant.
    """

    __slots__ = ("_billed_ms", "_others", "_plots")

    def __init__(
        self,
        plots: Mapping[str, _Plot | None],
        billed_ms: Sequence[int],
        others: Mapping[str, Sequence[Reading]],
    ) -> None:
        self._plots = plots
        self._billed_ms = billed_ms
        self._others = others

    def __getitem__(self, namespace: str) -> Sequence[Reading]:
        plot = self._plots[namespace]
        if plot is None:
            return self._others[namespace]
        last = plot.last
        replica_ms = self._billed_ms[plot.handle] - plot.base_ms
        now = Reading(last.version, replica_ms, last.bound_ms, last.egress_bytes, last.ingress_bytes)
        return (*plot.past, now)

    def __iter__(self) -> Iterator[str]:
        return iter(self._plots)

    def __len__(self) -> int:
        return len(self._plots)


class Telling:
    """Where to find what each tenant has used, as long as none comes, goes or is updated.

    Args:
        tenants: by namespace.

    Attributes:
        looked_at: those that have to be read before anything is told.
    """

    def __init__(self, tenants: Mapping[str, Tenant]) -> None:
        self._plots = {name: _plot(tenant) for name, tenant in tenants.items()}
        self._others = {name: tenants[name] for name, plot in self._plots.items() if plot is None}
        self.looked_at = [t for t in self._others.values() if t.state is not PodState.REMOVED]
        self._marks: Mapping[str, Mark] | None = None
        self._compared: list[tuple[str, int, int]] = []  # namespace, handle, the most of the plane's ms
        self._unmarked: frozenset[str] = frozenset()

    def told(self, marks: Mapping[str, Mark] | None, billed_ms: Sequence[int], now_ns: int) -> Usage:
        """See `ports.Cluster.usage`.

        Args:
            marks: as given there.
            billed_ms: of every handle of the plane, now; is kept, and must not be changed.
            now_ns: the present [Unix ns].
        """
        others = {name: [replace(r) for r in tenant.readings] for name, tenant in self._others.items()}
        readings = _Readings(self._plots, billed_ms, others)
        if marks is None:
            return Usage(now_ns, readings, readings)
        if marks is not self._marks:
            self._compare(marks)
        passed = [name for name, handle, most in self._compared if billed_ms[handle] > most]
        return Usage(now_ns, readings, {*passed, *self._unmarked} if passed else self._unmarked)

    def _compare(self, marks: Mapping[str, Mark]) -> None:
        """Work out what the plane's bills are to be compared with."""
        self._marks, self._compared, unmarked = marks, [], []
        for name, plot in self._plots.items():
            mark = marks.get(name)
            if mark is None or plot is None or plot.versions != 1 or plot.last.version != mark.version:
                unmarked.append(name)
            else:
                self._compared.append((name, plot.handle, mark.replica_ms + plot.base_ms))
        self._unmarked = frozenset(unmarked)
