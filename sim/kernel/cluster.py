"""Replicas in compiled code: placed on nodes, started, scaled and ended."""

from __future__ import annotations

from sim.kernel.chance import duration_ns, uniforms
from sim.kernel.contention import join, leave
from sim.kernel.images import container_start, turn_to_image
from sim.kernel.recording import write_row
from sim.kernel.replicas import (
    append_other,
    drop_idle,
    drop_other,
    drop_ready,
    insert_ready,
    pend,
    push_idle,
    unlink,
    unpend,
)
from sim.kernel.rule import wanted
from sim.kernel.service import flush_held
from sim.kernel.state import (
    DECRYPTING,
    DRAINING,
    NEVER,
    PER_REQUEST,
    PULLING,
    READY,
    REPLICAS_ROW,
    SCHEDULING,
    UNPLACED,
    inner,
    nodes_of,
    pods_of,
    pulls_of,
    replicas_of,
)
from sim.kernel.timers import find_stage, rekey, set_deadline, set_expiry, set_rare


@inner
def _place(m, p, rep, t):  # type: ignore[no-untyped-def]
    """Best fit: the node with room that has the least processor time left afterwards, ties the lowest number."""
    nodes = nodes_of(m)
    best = -1
    left = NEVER
    for n in range(m.nodes_n):
        node = nodes[n]
        if (
            node.up != 0
            and node.cpu_free >= p.cpu
            and node.memory_free >= p.memory
            and node.gpus_free >= p.gpus
            and node.cpu_free - p.cpu < left
        ):
            best = n
            left = node.cpu_free - p.cpu
    if best < 0:
        return False
    node = nodes[best]
    node.cpu_free -= p.cpu
    node.memory_free -= p.memory
    node.gpus_free -= p.gpus
    r = replicas_of(m)[rep]
    r.node = best
    r.cpu = p.cpu
    r.memory = p.memory
    r.gpus = p.gpus
    r.cpu_limit = p.cpu_limit
    join(m, best, rep)
    r.stage = SCHEDULING
    u, _ = uniforms(p.key_s0, p.key_s1, r.ordinal)
    r.stage_end = t + duration_ns(m, p.law_schedule, u)
    p.n_unplaced -= 1
    p.i_unplaced += t
    p.n_starting += 1
    p.i_starting -= t
    return True


@inner
def retry_pending(m, t):  # type: ignore[no-untyped-def]
    """Room was freed: replicas that wait are tried in the order in which they began to."""
    rep = m.pend_head
    while rep >= 0:
        following = replicas_of(m)[rep].link_next
        i = replicas_of(m)[rep].pod
        p = pods_of(m)[i]
        if _place(m, p, rep, t):
            unpend(m, rep)
            find_stage(m, p)
            rekey(m, i)
        rep = following


@inner
def _create(m, p, i, t):  # type: ignore[no-untyped-def]
    """A new replica: placed now, or waiting for room."""
    rep = m.replica_free
    r = replicas_of(m)[rep]
    m.replica_free = r.next
    m.replica_free_n -= 1
    r.pod = i
    r.ordinal = p.ordinal
    p.ordinal += 1
    p.starts += 1
    r.stage = UNPLACED
    r.node = -1
    r.in_service = 0
    r.queued = 0
    r.queue_head = -1
    r.queue_tail = -1
    r.begun = 0
    r.in_idle = 0
    r.stage_end = NEVER
    r.billed = 0
    r.pull = -1
    r.root = -1
    r.next_ns = NEVER
    r.v = 0.0
    r.v_last = t
    r.speed = 1.0
    r.slots = p.slots
    r.since = t
    append_other(m, p, rep)
    p.n_unplaced += 1
    p.i_unplaced -= t
    if not _place(m, p, rep, t):
        pend(m, rep)


@inner
def stage_event(m, p, i, t):  # type: ignore[no-untyped-def]
    """The replica p.stage_rep passes to its next stage."""
    rep = p.stage_rep
    r = replicas_of(m)[rep]
    if r.stage == SCHEDULING:
        turn_to_image(m, p, rep, t)
    elif r.stage == DECRYPTING:
        container_start(m, p, r, t)
    else:
        drop_other(m, p, rep)
        p.n_starting -= 1
        p.i_starting += t
        r.stage = READY
        r.stage_end = NEVER
        r.idle_since = t
        r.application_ns = t - r.since
        p.warmed += 1
        p.scheduling_ns += r.scheduling_ns
        p.pull_ns += r.pull_ns
        p.decryption_ns += r.decryption_ns
        p.application_ns += r.application_ns
        insert_ready(m, p, rep)
        p.n_ready += 1
        p.i_ready -= t
        if p.policy == PER_REQUEST and p.held_head < 0:
            push_idle(m, p, rep)
            set_expiry(m, p)
        else:
            flush_held(m, p, i, rep, t)
        set_deadline(m, p)
    find_stage(m, p)
    set_rare(p)


@inner
def end_replica(m, p, i, rep, t):  # type: ignore[no-untyped-def]
    """A replica without requests ends; its room is free for those that wait."""
    r = replicas_of(m)[rep]
    stage = r.stage
    if r.in_idle != 0:
        drop_idle(m, p, rep)
    if stage == READY:
        drop_ready(m, p, rep, t)
    else:
        drop_other(m, p, rep)
        if stage == UNPLACED:
            p.n_unplaced -= 1
            p.i_unplaced += t
            unpend(m, rep)
        elif stage == DRAINING:
            p.n_drain -= 1
            p.i_drain += t
        else:
            p.n_starting -= 1
            p.i_starting += t
            if stage == PULLING:
                p.n_pulling -= 1
                pulls = pulls_of(m)
                pulls[r.pull].waiters = unlink(m, pulls[r.pull].waiters, rep)
    if r.billed != 0:
        p.n_billed -= 1
        p.acc_ms += t // 1_000_000
        write_row(m, p, t, REPLICAS_ROW, p.n_billed, p.acc_ms)
    n = r.node
    if n >= 0:
        leave(m, n, rep)
    r.next = m.replica_free
    m.replica_free = rep
    m.replica_free_n += 1
    find_stage(m, p)
    if p.policy == PER_REQUEST:
        set_expiry(m, p)
    if n >= 0 and nodes_of(m)[n].up != 0:
        node = nodes_of(m)[n]
        node.cpu_free += r.cpu
        node.memory_free += r.memory
        node.gpus_free += r.gpus
        retry_pending(m, t)


@inner
def drain(m, p, rep, t):  # type: ignore[no-untyped-def]
    """A busy replica takes no more requests and ends after its last."""
    r = replicas_of(m)[rep]
    drop_ready(m, p, rep, t)
    p.n_busy -= 1
    p.i_busy += t
    r.stage = DRAINING
    r.stage_end = NEVER
    p.n_drain += 1
    p.i_drain -= t
    append_other(m, p, rep)


@inner
def _remove_one(m, p, i, t):  # type: ignore[no-untyped-def]
    """Scales down by one: newest waiting for room, newest starting, newest idle; otherwise the newest drains."""
    replicas = replicas_of(m)
    starting = -1
    rep = p.other_tail
    while rep >= 0:
        if replicas[rep].stage == UNPLACED:
            end_replica(m, p, i, rep, t)
            return
        if starting < 0 and replicas[rep].stage != DRAINING:
            starting = rep
        rep = replicas[rep].prev
    if starting >= 0:
        end_replica(m, p, i, starting, t)
        return
    rep = p.ready_tail
    while rep >= 0:
        if replicas[rep].in_service == 0:
            end_replica(m, p, i, rep, t)
            return
        rep = replicas[rep].prev
    drain(m, p, p.ready_tail, t)


@inner
def reconcile(m, p, i, t):  # type: ignore[no-untyped-def]
    """Creates or removes replicas until there are as many as the rule wants."""
    p.apply_ns = NEVER
    change = wanted(p)
    for _ in range(change):
        _create(m, p, i, t)
    for _ in range(-change):
        _remove_one(m, p, i, t)
    find_stage(m, p)
    set_deadline(m, p)
