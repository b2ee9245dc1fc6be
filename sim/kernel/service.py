"""Requests in compiled code: held, queued, served, failed.

Lists of requests are linked through `next`; what is in service under `slots` is in one pairing heap a
pod, under `processor_sharing` in one a replica, ordered by the virtual time at which they finish.
"""

from __future__ import annotations

import math

import numpy as np

from protocol import scaling
from sim.kernel.arrivals import duration_ns, uniforms
from sim.kernel.heaps import merge, pop
from sim.kernel.sketches import count_cold, count_in
from sim.kernel.state import (
    BYTES_ROW,
    CENTRAL,
    KEDA,
    NEVER,
    PER_REQUEST,
    RANDOM,
    READY,
    ROUND_ROBIN,
    SLOTS,
    fails_of,
    inline,
    inner,
    replicas_of,
    requests_of,
    rows_of,
    samples_of,
    sketch_of,
    state_of,
)

keda_touch = inner(scaling.keda_touch)


@inline
def write_row(m, p, t, kind, a, b):  # type: ignore[no-untyped-def]
    """Records a transition; the caller made sure of room."""
    row = rows_of(m)[m.rows_used]
    m.rows_used += 1
    row.t_ns = t
    row.pod_index = p.pod_index
    row.kind = kind
    row.a = a
    row.b = b


@inline
def sample(m, p, index, arrival, start, end, outcome, cold, ordinal):  # type: ignore[no-untyped-def]
    """Records a request that has ended, when it is one of the sampled."""
    if p.sample_every > 0 and index % p.sample_every == 0:
        s = samples_of(m)[m.samples_used]
        m.samples_used += 1
        s.pod_index = p.pod_index
        s.index = index
        s.arrival_ns = arrival
        s.start_ns = start
        s.end_ns = end
        s.outcome = outcome
        s.cold = cold
        s.replica = ordinal


@inline
def allocate(m, index, arrival, demand):  # type: ignore[no-untyped-def]
    """A new request in the system; the caller made sure of room."""
    x = m.request_free
    q = requests_of(m)[x]
    m.request_free = q.next
    q.arrival = arrival
    q.start = -1
    q.demand = demand
    q.index = index
    q.replica = -1
    q.next = -1
    q.child = -1
    q.sibling = -1
    q.cold = 0
    return x


@inline
def release(m, x):  # type: ignore[no-untyped-def]
    """A request has left the system."""
    requests_of(m)[x].next = m.request_free
    m.request_free = x


@inner
def fail_request(m, p, i, x, t, outcome):  # type: ignore[no-untyped-def]
    """A request in the system fails; the caller has taken it out of its list or heap and its count."""
    q = requests_of(m)[x]
    fails_of(m, i)[outcome] += 1
    p.i_system += t
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    ordinal = replicas_of(m)[q.replica].ordinal if q.replica >= 0 else -1
    sample(m, p, q.index, q.arrival, q.start, t, outcome, q.cold, ordinal)
    release(m, x)


# ---- processor sharing ----


@inner
def share_until(p, r, t):  # type: ignore[no-untyped-def]
    """Brings a replica's virtual time (service each request has had, ns) to `t`."""
    n = r.in_service
    if n == 0:
        r.v = 0.0
    elif n <= p.slots:
        r.v += float(t - r.v_last)
    else:
        r.v += float(t - r.v_last) * (float(p.slots) / n)
    r.v_last = t


@inner
def share_next(m, p, r):  # type: ignore[no-untyped-def]
    """Sets the instant at which the replica's next request finishes."""
    if r.root < 0:
        r.next_ns = NEVER
        return
    left = np.int64(requests_of(m)[r.root].end).view(np.float64) - r.v
    if r.in_service > p.slots:
        left *= r.in_service / float(p.slots)
    r.next_ns = r.v_last + max(0, math.ceil(left))


@inner
def share_least(m, p):  # type: ignore[no-untyped-def]
    """Sets the pod's next completion under processor sharing: ties go to the older replica."""
    replicas = replicas_of(m)
    p.done_ns = NEVER
    p.done_rep = -1
    least = NEVER
    for head in (p.ready_head, p.other_head):
        r = head
        while r >= 0:
            at = replicas[r].next_ns
            if at < p.done_ns or (at == p.done_ns and at < NEVER and replicas[r].ordinal < least):
                p.done_ns = at
                p.done_rep = r
                least = replicas[r].ordinal
            r = replicas[r].next


@inner
def _begin_shared(m, p, r, x, t):  # type: ignore[no-untyped-def]
    q = requests_of(m)[x]
    share_until(p, r, t)
    q.end = np.float64(r.v + q.demand).view(np.int64)  # the order of positive floats is that of their bits
    r.root = merge(requests_of(m), r.root, x)


# ---- service ----


@inner
def _first_of_fresh(m, p, q):  # type: ignore[no-untyped-def]
    if p.law_first >= 0:
        _, u = uniforms(p.key_r0, p.key_r1, q.index)
        q.demand = duration_ns(m, p.law_first, u)
    if p.policy == PER_REQUEST:
        q.cold = 1


@inline
def begin(m, p, i, rep, x, t):  # type: ignore[no-untyped-def]
    """Request `x` enters service on replica `rep`."""
    requests = requests_of(m)
    q = requests[x]
    r = replicas_of(m)[rep]
    q.replica = rep
    q.start = t
    if r.begun == 0:
        _first_of_fresh(m, p, q)
    r.begun += 1
    wait = t - q.arrival
    if wait > 0:
        p.wait_ns += wait
        p.delayed += 1
    if p.discipline == SLOTS:
        q.end = t + q.demand
        p.root = merge(requests, p.root, x)
        p.done_ns = requests[p.root].end
        r.in_service += 1
    else:
        _begin_shared(m, p, r, x, t)
        r.in_service += 1
        share_next(m, p, r)
        share_least(m, p)
    p.n_service += 1
    if r.in_service == 1 and r.stage == READY:
        p.n_busy += 1
        p.i_busy -= t


@inline
def take_held(m, p):  # type: ignore[no-untyped-def]
    """Takes the first of the held list."""
    x = p.held_head
    q = requests_of(m)[x]
    p.held_head = q.next
    if p.held_head < 0:
        p.held_tail = -1
    q.next = -1
    p.n_held -= 1
    return x


@inline
def push_held(m, p, x):  # type: ignore[no-untyped-def]
    """Appends to the held list (for `central` and `per_request` also the queue)."""
    if p.held_tail < 0:
        p.held_head = x
    else:
        requests_of(m)[p.held_tail].next = x
    p.held_tail = x
    p.n_held += 1


@inner
def push_queue(m, p, r, x):  # type: ignore[no-untyped-def]
    """Appends to a replica's queue."""
    if r.queue_tail < 0:
        r.queue_head = x
    else:
        requests_of(m)[r.queue_tail].next = x
    r.queue_tail = x
    r.queued += 1
    p.n_queued += 1


@inner
def take_queue(m, p, r):  # type: ignore[no-untyped-def]
    """Takes the first of a replica's queue."""
    x = r.queue_head
    q = requests_of(m)[x]
    r.queue_head = q.next
    if r.queue_head < 0:
        r.queue_tail = -1
    q.next = -1
    r.queued -= 1
    p.n_queued -= 1
    return x


@inner
def push_idle(m, p, rep):  # type: ignore[no-untyped-def]
    """per_request: a replica becomes the newest idle one."""
    replicas = replicas_of(m)
    r = replicas[rep]
    r.in_idle = 1
    r.idle_next = p.idle_top
    r.idle_prev = -1
    if p.idle_top >= 0:
        replicas[p.idle_top].idle_prev = rep
    else:
        p.idle_bottom = rep
    p.idle_top = rep


@inline
def drop_idle(m, p, rep):  # type: ignore[no-untyped-def]
    """per_request: a replica is idle no more."""
    replicas = replicas_of(m)
    r = replicas[rep]
    r.in_idle = 0
    if r.idle_prev >= 0:
        replicas[r.idle_prev].idle_next = r.idle_next
    else:
        p.idle_top = r.idle_next
    if r.idle_next >= 0:
        replicas[r.idle_next].idle_prev = r.idle_prev
    else:
        p.idle_bottom = r.idle_prev


@inline
def _least(m, p):  # type: ignore[no-untyped-def]
    """The ready replica with the fewest requests in flight; ties go to the oldest."""
    replicas = replicas_of(m)
    best = p.ready_head
    r = best
    fewest = NEVER
    while r >= 0:
        load = replicas[r].in_service + replicas[r].queued
        if load < fewest:
            best = r
            fewest = load
            if load == 0:
                break
        r = replicas[r].next
    return best


@inner
def _drawn(m, p, index):  # type: ignore[no-untyped-def]
    u, _ = uniforms(p.key_d0, p.key_d1, index)
    replicas = replicas_of(m)
    r = p.ready_head
    for _ in range(int(u * p.n_ready)):
        r = replicas[r].next
    return r


@inner
def _in_turn(m, p):  # type: ignore[no-untyped-def]
    replicas = replicas_of(m)
    r = p.ready_head
    while r >= 0 and replicas[r].ordinal <= p.rr:
        r = replicas[r].next
    if r < 0:
        r = p.ready_head
    p.rr = replicas[r].ordinal
    return r


@inline
def choose(m, p, index):  # type: ignore[no-untyped-def]
    """The ready replica that request `index` goes to; there is one."""
    if p.dispatch == RANDOM:
        return _drawn(m, p, index)
    if p.dispatch == ROUND_ROBIN:
        return _in_turn(m, p)
    return _least(m, p)


@inner
def flush_held(m, p, i, rep, t):  # type: ignore[no-untyped-def]
    """The replica `rep` has just become ready: what is held goes to it, as far as its dispatch allows."""
    r = replicas_of(m)[rep]
    while p.held_head >= 0:
        if p.discipline == SLOTS and r.in_service >= p.slots:
            if p.dispatch == CENTRAL or p.policy == PER_REQUEST:
                return
            push_queue(m, p, r, take_held(m, p))
        else:
            begin(m, p, i, rep, take_held(m, p), t)


@inner
def set_deadline(m, p):  # type: ignore[no-untyped-def]
    """When the first held request gives up: only while no replica is ready."""
    if p.held_head < 0 or p.n_ready > 0 or p.wait_limit == NEVER:
        p.deadline_ns = NEVER
    else:
        p.deadline_ns = max(p.zero_since, requests_of(m)[p.held_head].arrival + p.wait_limit)


@inline
def complete(m, p, i, t):  # type: ignore[no-untyped-def]
    """The next completion of a pod. Returns the replica if it was draining and is now empty, otherwise -1."""
    requests = requests_of(m)
    replicas = replicas_of(m)
    if p.discipline == SLOTS:
        x = p.root
        rep = int(requests[x].replica)
        r = replicas[rep]
        p.root = pop(requests, x)
        p.done_ns = requests[p.root].end if p.root >= 0 else NEVER
    else:
        rep = p.done_rep
        r = replicas[rep]
        x = r.root
        share_until(p, r, t)
        r.v = max(r.v, np.int64(requests[x].end).view(np.float64))
        r.root = pop(requests, x)
    q = requests[x]
    latency = t - q.arrival
    p.served += 1
    p.latency_ns += latency
    count_in(sketch_of(m, i), latency)
    if q.cold != 0:
        p.cold += 1
        count_cold(m, i, latency)
    p.i_system += t
    p.bytes_in += p.request_bytes
    p.bytes_out += p.response_bytes
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    sample(m, p, q.index, q.arrival, q.start, t, 0, q.cold, r.ordinal)
    if p.byte_rows != 0:
        write_row(m, p, t, BYTES_ROW, p.bytes_out, p.bytes_in)
    release(m, x)
    following = -1
    if r.queue_head >= 0:
        following = take_queue(m, p, r)
    elif p.held_head >= 0 and r.stage == READY:
        following = take_held(m, p)
    if following >= 0:
        begin(m, p, i, rep, following, t)
    r.in_service -= 1
    p.n_service -= 1
    if p.discipline != SLOTS:
        share_next(m, p, r)
        share_least(m, p)
    if r.in_service == 0:
        if r.stage == READY:
            p.n_busy -= 1
            p.i_busy += t
            r.idle_since = t
            if p.policy == PER_REQUEST:
                push_idle(m, p, rep)
        else:
            return rep
    return -1
