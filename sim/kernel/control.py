"""What the owner of a plane does to it between two calls of `advance`, in compiled code: evict, crash, replace."""

from __future__ import annotations

from sim.kernel.clients import fail_request, fail_served
from sim.kernel.cluster import drain, end_replica
from sim.kernel.contention import contend
from sim.kernel.heaps import gather_served, merge, spread_served
from sim.kernel.images import drop_pulls
from sim.kernel.requests import take_held, take_queue
from sim.kernel.sharing import share_least, share_until
from sim.kernel.specs import CRASHED
from sim.kernel.state import (
    DEPLOYED,
    DRAINING,
    NEVER,
    PER_REQUEST,
    SHARING,
    SLOTS,
    inner,
    nodes_of,
    pods_of,
    replicas_of,
    requests_of,
)
from sim.kernel.timers import find_stage, rekey, set_deadline, set_expiry

EVERYWHERE = -1


@inner
def _fail_heap(m, p, i, root, t, outcome, node):  # type: ignore[no-untyped-def]
    """Fails the requests of a heap whose replica is on `node` (EVERYWHERE: all); returns the heap of the rest."""
    requests = requests_of(m)
    replicas = replicas_of(m)
    kept = -1
    stack = root
    if stack >= 0:
        requests[stack].next = -1
    while stack >= 0:
        x = stack
        q = requests[x]
        stack = int(q.next)
        c = int(q.child)
        while c >= 0:
            following = int(requests[c].sibling)
            requests[c].sibling = -1
            requests[c].next = stack
            stack = c
            c = following
        q.child = -1
        q.next = -1
        r = replicas[q.replica]
        if node == EVERYWHERE or r.node == node:
            r.in_service -= 1
            fail_served(m, p, i, x, t, outcome)
        else:
            kept = merge(requests, kept, x)
    return kept


@inner
def _fail_work(m, p, i, t, outcome, node):  # type: ignore[no-untyped-def]
    """Fails what is queued or in service on the replicas of `node` (EVERYWHERE: of all)."""
    requests = requests_of(m)
    replicas = replicas_of(m)
    gather_served(requests, p)
    p.root = _fail_heap(m, p, i, p.root, t, outcome, node)
    for head in (p.ready_head, p.other_head):
        rep = head
        while rep >= 0:
            r = replicas[rep]
            if node == EVERYWHERE or r.node == node:
                while r.queue_head >= 0:
                    fail_request(m, p, i, take_queue(m, p, r), t, outcome)
                r.root = _fail_heap(m, p, i, r.root, t, outcome, EVERYWHERE)
                r.next_ns = NEVER
            rep = r.next
    spread_served(requests, p)
    if p.discipline != SLOTS:
        share_least(m, p)


@inner
def _count_busy(m, p, t):  # type: ignore[no-untyped-def]
    """Sets the number of busy replicas right after requests were taken from some."""
    replicas = replicas_of(m)
    busy = 0
    rep = p.ready_head
    while rep >= 0:
        if replicas[rep].in_service > 0:
            busy += 1
        rep = replicas[rep].next
    p.i_busy += (p.n_busy - busy) * t
    p.n_busy = busy


@inner
def _end_replicas(m, p, i, t, node):  # type: ignore[no-untyped-def]
    """Ends every replica on `node` (EVERYWHERE: all); none has requests. Returns how many."""
    replicas = replicas_of(m)
    ended = 0
    for head in (p.other_head, p.ready_head):
        rep = head
        while rep >= 0:
            following = replicas[rep].next
            if node == EVERYWHERE or replicas[rep].node == node:
                end_replica(m, p, i, rep, t)
                ended += 1
            rep = following
    return ended


@inner
def evict(m, p, i, t, outcome):  # type: ignore[no-untyped-def]
    """Everything of a pod ends: its requests fail, its replicas go, its rule sleeps."""
    _fail_work(m, p, i, t, outcome, EVERYWHERE)
    while p.held_head >= 0:
        fail_request(m, p, i, take_held(m, p), t, outcome)
    _count_busy(m, p, t)
    _end_replicas(m, p, i, t, EVERYWHERE)
    if m.coupled != 0:
        for n in range(m.nodes_n):
            contend(m, n, t)
    p.tick_ns = NEVER
    p.apply_ns = NEVER
    p.expire_ns = NEVER
    p.deadline_ns = NEVER
    p.desired = 0


@inner
def crash(m, n, t):  # type: ignore[no-untyped-def]
    """Node `n` fails; deployed pods replace what they lost a nanosecond later."""
    node = nodes_of(m)[n]
    node.up = 0
    pods = pods_of(m)
    for i in range(m.pods_n):
        p = pods[i]
        if p.used == 0:
            continue
        _fail_work(m, p, i, t, CRASHED, n)
        _count_busy(m, p, t)
        if _end_replicas(m, p, i, t, n) > 0:
            if p.status == DEPLOYED:
                p.apply_ns = min(p.apply_ns, t + 1)
            set_deadline(m, p)
            rekey(m, i)
    drop_pulls(m, n)
    node.cpu_free = node.cpu
    node.memory_free = node.memory
    node.gpus_free = node.gpus


@inner
def replace(m, p, i, t):  # type: ignore[no-untyped-def]
    """A new version of the spec: idle and unready replicas end, busy ones drain."""
    replicas = replicas_of(m)
    rep = p.other_head
    while rep >= 0:
        following = replicas[rep].next
        if replicas[rep].stage != DRAINING:
            end_replica(m, p, i, rep, t)
        rep = following
    rep = p.ready_head
    while rep >= 0:
        following = replicas[rep].next
        if p.discipline == SHARING:
            share_until(p, replicas[rep], t)
        if replicas[rep].in_service == 0:
            end_replica(m, p, i, rep, t)
        else:
            drain(m, p, rep, t)
        rep = following
    set_deadline(m, p)


@inner
def settle(m, p):  # type: ignore[no-untyped-def]
    """After fields of a pod were changed from outside: brings its timers to what they say now."""
    if p.discipline != SLOTS:
        share_least(m, p)
    find_stage(m, p)
    set_deadline(m, p)
    if p.policy == PER_REQUEST:
        set_expiry(m, p)
