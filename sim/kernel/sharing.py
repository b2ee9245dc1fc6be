"""A replica's virtual time in compiled code: of n requests that share it, each progresses at rate min(1, slots / n).

They are in one pairing heap a replica, ordered by the virtual time at which they finish. A replica's virtual
time is the service that a request would have had which was there since the replica was last empty. It runs at
the replica's `speed`, which is 1 unless there is contention on its node (see `contention`); under slots it runs
at that speed however many requests there are.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.heaps import merge
from sim.kernel.state import NEVER, SHARING, inner, replicas_of, requests_of

LONGEST_NS = float(NEVER // 2)  # more would not fit after an instant


@inner
def share_until(p, r, t):  # type: ignore[no-untyped-def]
    """Brings a replica's virtual time [ns] to `t`."""
    n = r.in_service
    if n == 0:
        r.v = 0.0
    elif n <= r.slots or p.discipline != SHARING:
        r.v += float(t - r.v_last) * r.speed
    else:
        r.v += float(t - r.v_last) * (float(r.slots) / n) * r.speed
    r.v_last = t


@inner
def share_next(m, p, r):  # type: ignore[no-untyped-def]
    """Sets the instant at which the replica's next request finishes."""
    if r.root < 0:
        r.next_ns = NEVER
        return
    left = np.int64(requests_of(m)[r.root].end).view(np.float64) - r.v
    if r.in_service > r.slots and p.discipline == SHARING:
        left *= r.in_service / float(r.slots)
    if r.speed != 1.0:
        left = min(left / r.speed, LONGEST_NS)
    r.next_ns = r.v_last + max(0, math.ceil(left))


@inner
def share_least(m, p):  # type: ignore[no-untyped-def]
    """Sets the pod's next completion: ties go to what no replica's virtual time rules, then to the older replica."""
    replicas = replicas_of(m)
    p.done_ns = requests_of(m)[p.first].end if p.first >= 0 else NEVER
    p.done_rep = -1
    least = -1
    for head in (p.ready_head, p.other_head):
        r = head
        while r >= 0:
            at = replicas[r].next_ns
            if at < p.done_ns or (at == p.done_ns and replicas[r].ordinal < least):
                p.done_ns = at
                p.done_rep = r
                least = replicas[r].ordinal
            r = replicas[r].next


@inner
def begin_shared(m, p, r, x, t):  # type: ignore[no-untyped-def]
    """Puts a request among those that share a replica; the caller counts it."""
    q = requests_of(m)[x]
    share_until(p, r, t)
    q.end = np.float64(r.v + q.demand).view(np.int64)  # the order of positive floats is that of their bits
    r.root = merge(requests_of(m), r.root, x)
