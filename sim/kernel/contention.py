"""Contention for the processors of a node, in compiled code.

As Kubernetes and cgroups define it ("Resource management for pods and containers", kubernetes.io; "Weights" in
Linux, Documentation/admin-guide/cgroup-v2.rst). A container has a request, by which the scheduler places it and
which nothing can take from it, and may have a limit above it, which it cannot exceed. On a node that is busy the
request is a weight (`cpu.weight`): of those who want processor time each gets what is in proportion to its weight,
and what one cannot use because of its limit (`cpu.max`) goes to the others, again by weight; nothing is left idle
that somebody wants. That is max-min fairness with weights ("water-filling"): there is one level such that

    each gets min(limit, level × request), and together min(node, what they want).

Since requests never exceed the node, the level is at least 1 and each gets its request at least. A replica stands for
all its containers: its request and limit are their sums.

What a replica wants is its limit while it serves anything, and nothing while it is idle. Demands are given at full
speed, which is the speed at the limit; a replica that gets less serves at `speed` = share ÷ limit. Each replica that
can burst has a virtual time (see `sharing`), so a change of speed costs one step a replica and not one a request.
Nothing is drawn, and shares do not depend on the order of the replicas.

In a plane that has hosted a pod with a limit above its request (`coupled`), what any replica does moves others' ends:
every event happens in the plane's one order. In any other plane nothing is contended, and nothing here is called.
"""

from __future__ import annotations

import math

from sim.kernel.sharing import share_least, share_next, share_until
from sim.kernel.state import inline, inner, nodes_of, pods_of, replicas_of
from sim.kernel.timers import rekey


@inline
def bursts(r):  # type: ignore[no-untyped-def]
    """Whether a replica may use more than it reserves."""
    return r.cpu_limit > r.cpu


@inner
def join(m, n, rep):  # type: ignore[no-untyped-def]
    """A replica was placed on node `n`."""
    node = nodes_of(m)[n]
    replicas = replicas_of(m)
    replicas[rep].mate_prev = -1
    replicas[rep].mate_next = node.replica_head
    if node.replica_head >= 0:
        replicas[node.replica_head].mate_prev = rep
    node.replica_head = rep


@inner
def leave(m, n, rep):  # type: ignore[no-untyped-def]
    """A replica without requests is gone from node `n`."""
    replicas = replicas_of(m)
    r = replicas[rep]
    if r.mate_next >= 0:
        replicas[r.mate_next].mate_prev = r.mate_prev
    if r.mate_prev >= 0:
        replicas[r.mate_prev].mate_next = r.mate_next
    else:
        nodes_of(m)[n].replica_head = r.mate_next


@inner
def _level(m, n):  # type: ignore[no-untyped-def]
    """The level of node `n`: what one millicore of request gets [millicores]; infinity: all get what they want.

    Those whose limit is below the level are taken out with their limits, all at once, which raises the level for
    the rest, until it stands. Sums are of whole numbers, so the order of the replicas has no part in it.
    """
    replicas = replicas_of(m)
    cpu = nodes_of(m)[n].cpu
    level = 0.0
    weights_before = -1
    while True:
        left = cpu
        wanted = 0
        weights = 0
        rep = nodes_of(m)[n].replica_head
        while rep >= 0:
            r = replicas[rep]
            if r.in_service > 0:
                wanted += r.cpu_limit
                if r.cpu_limit <= level * r.cpu:
                    left -= r.cpu_limit
                else:
                    weights += r.cpu
            rep = r.mate_next
        if wanted <= cpu:
            return math.inf
        if weights == weights_before:
            return level
        weights_before = weights
        level = max(level, left / weights)


@inner
def contend(m, n, t):  # type: ignore[no-untyped-def]
    """Which replicas of node `n` are busy has changed: those whose share is another go on at another speed."""
    node = nodes_of(m)[n]
    level = _level(m, n)
    if level == math.inf and node.level == math.inf:
        return
    node.level = level
    replicas = replicas_of(m)
    rep = node.replica_head
    while rep >= 0:
        r = replicas[rep]
        speed = 1.0
        if bursts(r) and r.in_service > 0:
            speed = min(1.0, level * r.cpu / r.cpu_limit)
        if speed != r.speed:
            p = pods_of(m)[r.pod]
            share_until(p, r, t)
            r.speed = speed
            share_next(m, p, r)
            share_least(m, p)
            rekey(m, r.pod)
        rep = r.mate_next


@inner
def couple(m):  # type: ignore[no-untyped-def]
    """From here on every event of the plane is shared."""
    m.coupled = 1
    for i in range(m.pods_n):
        if pods_of(m)[i].used != 0:
            rekey(m, i)
