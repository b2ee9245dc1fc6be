"""What a plane's arrays say at an instant, in one compiled call each: sums over its pods, and every pod's bill.

Sums are read at every sample and bills at every billing tick of every provider, so a dozen calls of numpy each
would be the larger part of a run with a thousand providers.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.units import NS_PER_MS
from sim.kernel.cache import compiled
from sim.kernel.specs import SERVED
from sim.kernel.state import OUTCOME_COUNT, fails_of, nodes_of, plane_at, pods_of, replicas_of

SUMS: Final = (
    *("arrivals", "served", "cold", "held", "queued", "in_flight", "unplaced", "starting", "idle", "busy"),
    *("draining", "billed", "failed", "cpu_millis", "cpu_capacity_millis", "cpu_wanted_millis"),
)
"""What `sums` writes, in this order; see `DataPlane.totals`."""


def _sums(plane, sums):  # type: ignore[no-untyped-def]
    """Sums over the pods hosted now, the nodes and the busy replicas.

    Args:
        plane: where the plane's `META` record is.
        sums: int64, one a name of `SUMS`: is filled.

    Returns:
        The least that is free of anything on any node: below 0 more is allocated than there is.
    """
    m = plane_at(plane)
    for k in range(len(sums)):
        sums[k] = 0
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
    least = 0
    nodes = nodes_of(m)
    for n in range(m.nodes_n):
        node = nodes[n]
        sums[13] += node.cpu - node.cpu_free
        if node.up == 1:
            sums[14] += node.cpu
        least = min(least, node.cpu_free, node.memory_free, node.gpus_free)
    replicas = replicas_of(m)
    for r in range(m.replicas_n):
        if replicas[r].in_service > 0:
            sums[15] += replicas[r].cpu_limit
    return least


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


sums: Any = compiled(_sums)
bills: Any = compiled(_bills)
