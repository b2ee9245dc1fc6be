"""The lists of replicas, in compiled code.

Each replica is in one of its pod's two, ready or other than ready; under `per_request` the idle ones are in a
third, newest first. Those that wait for the same thing, room on a node or an image pull, are linked too.
"""

from __future__ import annotations

from sim.kernel.state import inline, inner, replicas_of
from sim.kernel.timers import set_deadline


@inner
def append_other(m, p, rep):  # type: ignore[no-untyped-def]
    """Appends to the replicas other than ready."""
    replicas = replicas_of(m)
    r = replicas[rep]
    r.next = -1
    r.prev = p.other_tail
    if p.other_tail >= 0:
        replicas[p.other_tail].next = rep
    else:
        p.other_head = rep
    p.other_tail = rep


@inner
def drop_other(m, p, rep):  # type: ignore[no-untyped-def]
    """Out of the replicas other than ready."""
    replicas = replicas_of(m)
    r = replicas[rep]
    if r.prev >= 0:
        replicas[r.prev].next = r.next
    else:
        p.other_head = r.next
    if r.next >= 0:
        replicas[r.next].prev = r.prev
    else:
        p.other_tail = r.prev


@inner
def insert_ready(m, p, rep):  # type: ignore[no-untyped-def]
    """Into the ready list, oldest (least ordinal) first."""
    replicas = replicas_of(m)
    r = replicas[rep]
    after = p.ready_tail
    while after >= 0 and replicas[after].ordinal > r.ordinal:
        after = replicas[after].prev
    r.prev = after
    if after >= 0:
        r.next = replicas[after].next
        replicas[after].next = rep
    else:
        r.next = p.ready_head
        p.ready_head = rep
    if r.next >= 0:
        replicas[r.next].prev = rep
    else:
        p.ready_tail = rep


@inner
def drop_ready(m, p, rep, t):  # type: ignore[no-untyped-def]
    """Out of the ready list and of its count; after the last, what is held gets a deadline."""
    replicas = replicas_of(m)
    r = replicas[rep]
    if r.prev >= 0:
        replicas[r.prev].next = r.next
    else:
        p.ready_head = r.next
    if r.next >= 0:
        replicas[r.next].prev = r.prev
    else:
        p.ready_tail = r.prev
    p.n_ready -= 1
    p.i_ready += t
    if p.n_ready == 0:
        p.zero_since = t
        set_deadline(m, p)


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


@inner
def pend(m, rep):  # type: ignore[no-untyped-def]
    """Appends to the plane's list of replicas that wait for room."""
    replicas = replicas_of(m)
    r = replicas[rep]
    r.link_next = -1
    r.link_prev = m.pend_tail
    if m.pend_tail >= 0:
        replicas[m.pend_tail].link_next = rep
    else:
        m.pend_head = rep
    m.pend_tail = rep


@inner
def unpend(m, rep):  # type: ignore[no-untyped-def]
    """Out of that list."""
    if m.pend_tail == rep:
        m.pend_tail = replicas_of(m)[rep].link_prev
    m.pend_head = unlink(m, m.pend_head, rep)


@inner
def link(m, head, rep):  # type: ignore[no-untyped-def]
    """Puts a replica before `head` in a list of waiters; returns the new head."""
    replicas = replicas_of(m)
    replicas[rep].link_prev = -1
    replicas[rep].link_next = head
    if head >= 0:
        replicas[head].link_prev = rep
    return rep


@inner
def unlink(m, head, rep):  # type: ignore[no-untyped-def]
    """Takes a replica out of a list of waiters; returns the new head."""
    replicas = replicas_of(m)
    r = replicas[rep]
    if r.link_next >= 0:
        replicas[r.link_next].link_prev = r.link_prev
    if r.link_prev >= 0:
        replicas[r.link_prev].link_next = r.link_next
        return head
    return r.link_next
