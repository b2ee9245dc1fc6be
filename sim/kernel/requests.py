"""Requests in compiled code: taken from the pool, and linked into the lists in which they wait.

A request waits at the facade (`held`) or at a replica (its queue); both lists are linked through `next`.
"""

from __future__ import annotations

from sim.kernel.state import inline, inner, requests_of


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
def push_queue(m, p, r, x):  # type: ignore[no-untyped-def]
    """Appends to a replica's queue."""
    if r.queue_tail < 0:
        r.queue_head = x
    else:
        requests_of(m)[r.queue_tail].next = x
    r.queue_tail = x
    r.queued += 1
    p.n_queued += 1
