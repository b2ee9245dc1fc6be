"""Service in compiled code: which replica a request goes to, how its service begins and how it ends.

What is in service under `slots` is in one order a pod, by the instant at which it finishes (`heaps`); under
`processor_sharing`, and on replicas that can burst, in one a replica: see `sharing` and `contention`.
"""

from __future__ import annotations

import numpy as np

from sim.kernel.chance import duration_ns, uniforms
from sim.kernel.clients import answers
from sim.kernel.contention import bursts, contend
from sim.kernel.heaps import pop, put_served, take_served
from sim.kernel.recording import count_cold, count_served, sample, write_row
from sim.kernel.replicas import push_idle
from sim.kernel.requests import push_queue, release, take_held, take_queue
from sim.kernel.rule import keda_touch
from sim.kernel.sharing import begin_shared, share_least, share_next, share_until
from sim.kernel.state import (
    BYTES_ROW,
    CENTRAL,
    KEDA,
    NEVER,
    NUMBER,
    PER_REQUEST,
    RANDOM,
    READY,
    ROUND_ROBIN,
    SHARING,
    SLOTS,
    inline,
    inner,
    replicas_of,
    requests_of,
    state_of,
)


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
def _first_of_fresh(m, p, q):  # type: ignore[no-untyped-def]
    if p.law_first >= 0:
        if q.index > NUMBER:
            _, u = uniforms(p.key_t0, p.key_t1, q.index)
        else:
            _, u = uniforms(p.key_r0, p.key_r1, q.index)
        q.demand = duration_ns(m, p.law_first, u)
    if p.policy == PER_REQUEST:
        q.cold = 1


@inner
def _begin_on_its_own(m, p, r, x, t):  # type: ignore[no-untyped-def]
    """As `begin` where the order of a replica may rule, and not the pod's."""
    requests = requests_of(m)
    if p.discipline == SHARING or bursts(r):
        begin_shared(m, p, r, x, t)
        r.in_service += 1
        share_next(m, p, r)
    else:
        requests[x].end = t + requests[x].demand
        put_served(requests, p, x)
        r.in_service += 1
    share_least(m, p)


@inner
def _take_done(m, p, t):  # type: ignore[no-untyped-def]
    """Takes the request that is served next out of its order, where that of a replica may rule, and not the pod's."""
    requests = requests_of(m)
    if p.done_rep < 0:
        return take_served(requests, p)
    r = replicas_of(m)[p.done_rep]
    x = r.root
    share_until(p, r, t)
    r.v = max(r.v, np.int64(requests[x].end).view(np.float64))
    r.root = pop(requests, x)
    return x


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
        put_served(requests, p, x)
        r.in_service += 1
    else:
        _begin_on_its_own(m, p, r, x, t)
    p.n_service += 1
    if r.in_service == 1 and r.stage == READY:
        p.n_busy += 1
        p.i_busy -= t
        if m.coupled != 0:
            contend(m, r.node, t)


@inner
def flush_held(m, p, i, rep, t):  # type: ignore[no-untyped-def]
    """The replica `rep` has just become ready: what is held goes to it, as far as its dispatch allows."""
    r = replicas_of(m)[rep]
    while p.held_head >= 0:
        if p.discipline != SHARING and r.in_service >= p.slots:
            if p.dispatch == CENTRAL or p.policy == PER_REQUEST:
                return
            push_queue(m, p, r, take_held(m, p))
        else:
            begin(m, p, i, rep, take_held(m, p), t)


@inline
def _answer(m, p, i, x, rep, t):  # type: ignore[no-untyped-def]
    """Request `x` is served: its client has the answer."""
    q = requests_of(m)[x]
    latency = t - q.arrival
    p.served += 1
    p.latency_ns += latency
    count_served(m, p, latency + p.trip_ns)
    if q.cold != 0:
        p.cold += 1
        count_cold(m, i, latency + p.trip_ns)
    p.i_system += t
    p.n_service -= 1
    p.bytes_in += p.request_bytes
    p.bytes_out += p.response_bytes
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    sample(m, p, q.index, q.arrival, q.start, t, 0, q.cold, rep)
    if p.byte_rows != 0:
        write_row(m, p, t, BYTES_ROW, p.bytes_out, p.bytes_in)


@inline
def complete(m, p, i, t):  # type: ignore[no-untyped-def]
    """The next completion of a pod. Returns the replica if it was draining and is now empty, otherwise -1."""
    requests = requests_of(m)
    if p.discipline == SLOTS:
        x = take_served(requests, p)
    else:
        x = _take_done(m, p, t)
    rep = int(requests[x].replica)
    r = replicas_of(m)[rep]
    if p.patience == NEVER or answers(m, p, x):
        _answer(m, p, i, x, rep, t)
    release(m, x)
    following = -1
    if r.queue_head >= 0:
        following = take_queue(m, p, r)
    elif p.held_head >= 0 and r.stage == READY:
        following = take_held(m, p)
    if following >= 0:
        begin(m, p, i, rep, following, t)
    r.in_service -= 1
    if p.discipline != SLOTS:
        share_next(m, p, r)
        share_least(m, p)
    if r.in_service == 0:
        if m.coupled != 0:
            contend(m, r.node, t)
        if r.stage == READY:
            p.n_busy -= 1
            p.i_busy += t
            r.idle_since = t
            if p.policy == PER_REQUEST:
                push_idle(m, p, rep)
        else:
            return rep
    return -1
