"""What planes' arrays say at an instant, in one compiled call each: sums over their pods, and pods' bills.

Sums are read at every sample and bills at every billing tick of every provider, so a dozen calls of numpy each
would be the larger part of a run with a thousand providers. A sample reads all planes of a world in one call.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.units import NS_PER_MS
from sim.kernel.cache import compiled
from sim.kernel.specs import SERVED
from sim.kernel.state import OUTCOME_COUNT, fails_of, inner, nodes_of, plane_at, pods_of, replicas_of

SUMS: Final = (
    *("arrivals", "served", "cold", "held", "queued", "in_flight", "unplaced", "starting", "idle", "busy"),
    *("draining", "billed", "failed", "cpu_millis", "cpu_capacity_millis", "cpu_wanted_millis"),
    *("cpu_given_millis", "slowed", "least_free", "transitions"),
)
"""What `sums` writes, in this order; see `DataPlane.totals`. `cpu_given_millis` is right where nothing is `slowed`."""
COLUMN: Final = {name: number for number, name in enumerate(SUMS)}


@inner
def _sum(m, sums):  # type: ignore[no-untyped-def]
    """Sums over one plane's hosted pods, nodes and busy replicas, added to `sums`."""
    pods = pods_of(m)
    for i in range(m.pods_n):
        p = pods[i]
        if p.used == 0:
            continue
        sums[0] += p.arrivals
        sums[1] += p.served
        sums[2] += p.cold
        sums[3] += p.n_held
        sums[4] += p.n_queued
        sums[5] += p.n_service
        sums[6] += p.n_unplaced
        sums[7] += p.n_starting
        sums[8] += p.n_ready - p.n_busy
        sums[9] += p.n_busy
        sums[10] += p.n_drain
        sums[11] += p.n_billed
        fails = fails_of(m, i)
        for outcome in range(OUTCOME_COUNT):
            if outcome != SERVED:
                sums[12] += fails[outcome]
    nodes = nodes_of(m)
    for n in range(m.nodes_n):
        node = nodes[n]
        sums[13] += node.cpu - node.cpu_free
        if node.up == 1:
            sums[14] += node.cpu
        sums[18] = min(sums[18], node.cpu_free, node.memory_free, node.gpus_free)
    replicas = replicas_of(m)
    left = sums[9] + sums[10]  # those that serve and are yet to come: most of the table is free, as a rule
    r = 0
    while left > 0 and r < m.replicas_n:
        if replicas[r].in_service > 0:
            left -= 1
            sums[15] += replicas[r].cpu_limit
            if replicas[r].speed != 1.0:
                sums[17] += 1
        r += 1
    sums[16] = sums[15]
    sums[19] = m.rows_used


def _sums(planes, sums):  # type: ignore[no-untyped-def]
    """Sums over each plane's hosted pods, nodes and busy replicas.

    Args:
        planes: where the planes' `META` records are.
        sums: int64 [planes, `SUMS`]: is filled.
    """
    sums[:] = 0
    for k in range(len(planes)):
        _sum(plane_at(planes[k]), sums[k])


def _bills(plane, now, bills):  # type: ignore[no-untyped-def]
    """Billed replica-milliseconds of every handle since it was taken; see `DataPlane.billed_ms`.

    Args:
        plane: where the plane's `META` record is.
        now: the instant to which the plane is advanced [Unix ns].
        bills: int64, one a handle: is filled.
    """
    pods = pods_of(plane_at(plane))
    for i in range(len(bills)):
        bills[i] = pods[i].acc_ms + pods[i].n_billed * (now // NS_PER_MS)


def _bills_of(planes, which, handles, now, bills):  # type: ignore[no-untyped-def]
    """Billed replica-milliseconds of pods of many planes.

    Args:
        planes: where the planes' `META` records are.
        which: int64 [pods]: of which plane, by its place in `planes`.
        handles: int64 [pods]: the pod's handle there; below 0: none.
        now: the instant to which the planes are advanced [Unix ns].
        bills: int64 [pods]: is filled; 0 where there is no pod.
    """
    for k in range(len(bills)):
        bills[k] = 0
        if handles[k] >= 0:
            p = pods_of(plane_at(planes[which[k]]))[handles[k]]
            bills[k] = p.acc_ms + p.n_billed * (now // NS_PER_MS)


sums: Any = compiled(_sums)
bills: Any = compiled(_bills)
bills_of: Any = compiled(_bills_of)
