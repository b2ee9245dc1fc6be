"""Replicas, nodes, image pulls and caches in compiled code: all that pods share.

What is billed: from container start (after scheduling, pull and decryption) to the replica's end.
"""

from __future__ import annotations

import math

from sim.kernel.arrivals import duration_ns, uniforms
from sim.kernel.heaps import set_key
from sim.kernel.service import drop_idle, flush_held, push_idle, set_deadline, write_row
from sim.kernel.state import (
    APPLY,
    ARRIVAL,
    CLASS_SHIFT,
    COMPLETION,
    DEADLINE,
    DECRYPTING,
    DRAINING,
    EXPIRY,
    NEVER,
    PER_REQUEST,
    PULL_END,
    PULLING,
    READY,
    REPLICAS_ROW,
    RUN_AHEAD,
    SCHEDULING,
    STAGE,
    STARTING,
    TICK,
    UNPLACED,
    cached_of,
    inline,
    inner,
    nodes_of,
    pods_of,
    pulls_of,
    replicas_of,
)


@inline
def set_expiry(m, p):  # type: ignore[no-untyped-def]
    """per_request: when the longest idle replica's time is over."""
    if p.idle_bottom < 0 or p.n_unplaced + p.n_starting + p.n_ready <= p.min_replicas or p.idle_ns == NEVER:
        p.expire_ns = NEVER
    else:
        p.expire_ns = replicas_of(m)[p.idle_bottom].idle_since + p.idle_ns


@inline
def set_rare(p):  # type: ignore[no-untyped-def]
    """The least of a pod's rarer timers, classes deciding ties."""
    ns = p.stage_ns
    kind = STAGE
    if p.expire_ns < ns:
        ns = p.expire_ns
        kind = EXPIRY
    if p.deadline_ns < ns:
        ns = p.deadline_ns
        kind = DEADLINE
    if p.tick_ns < ns:
        ns = p.tick_ns
        kind = TICK
    if p.apply_ns < ns:
        ns = p.apply_ns
        kind = APPLY
    p.rare_ns = ns
    p.rare_class = kind


@inline
def next_of(p):  # type: ignore[no-untyped-def]
    """A pod's next event: (instant, class)."""
    ns = p.next_arrival
    kind = ARRIVAL
    if p.rare_ns < ns or (p.rare_ns == ns and p.rare_class < kind):
        ns = p.rare_ns
        kind = p.rare_class
    if p.done_ns <= ns:
        ns = p.done_ns
        kind = COMPLETION
    return ns, kind


@inner
def rekey(m, i):  # type: ignore[no-untyped-def]
    """Puts a pod where it belongs in the plane's order.

    A pod whose future hangs on others (a replica waits for room or for a pull) stands at its very next event.
    Any other may run its own events ahead, as soon as its next event is reached and before anything shared.
    """
    p = pods_of(m)[i]
    set_rare(p)
    ns, kind = next_of(p)
    if p.n_unplaced == 0 and p.n_pulling == 0:
        kind = RUN_AHEAD
    set_key(m, i, ns, (kind << CLASS_SHIFT) | p.pod_index)


@inner
def find_stage(m, p):  # type: ignore[no-untyped-def]
    """The next end of a stage among a pod's replicas that are not ready; ties go to the older."""
    replicas = replicas_of(m)
    p.stage_ns = NEVER
    p.stage_rep = -1
    r = p.other_head
    while r >= 0:
        if replicas[r].stage_end < p.stage_ns:
            p.stage_ns = replicas[r].stage_end
            p.stage_rep = r
        r = replicas[r].next


@inner
def _append_other(m, p, rep):  # type: ignore[no-untyped-def]
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
def _drop_other(m, p, rep):  # type: ignore[no-untyped-def]
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
def _insert_ready(m, p, rep):  # type: ignore[no-untyped-def]
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
def _drop_ready(m, p, rep, t):  # type: ignore[no-untyped-def]
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
def _link(m, head, rep):  # type: ignore[no-untyped-def]
    """Puts a replica before `head` in a list of waiters; returns the new head."""
    replicas = replicas_of(m)
    replicas[rep].link_prev = -1
    replicas[rep].link_next = head
    if head >= 0:
        replicas[head].link_prev = rep
    return rep


@inner
def _unlink(m, head, rep):  # type: ignore[no-untyped-def]
    """Takes a replica out of a list of waiters; returns the new head."""
    replicas = replicas_of(m)
    r = replicas[rep]
    if r.link_next >= 0:
        replicas[r.link_next].link_prev = r.link_prev
    if r.link_prev >= 0:
        replicas[r.link_prev].link_next = r.link_next
        return head
    return r.link_next


@inner
def _pend(m, rep):  # type: ignore[no-untyped-def]
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
def _unpend(m, rep):  # type: ignore[no-untyped-def]
    if m.pend_tail == rep:
        m.pend_tail = replicas_of(m)[rep].link_prev
    m.pend_head = _unlink(m, m.pend_head, rep)


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
            _unpend(m, rep)
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
    _append_other(m, p, rep)
    p.n_unplaced += 1
    p.i_unplaced -= t
    if not _place(m, p, rep, t):
        _pend(m, rep)


@inner
def _container_start(m, p, r, t):  # type: ignore[no-untyped-def]
    r.stage = STARTING
    r.billed = 1
    p.n_billed += 1
    p.acc_ms -= t // 1_000_000
    write_row(m, p, t, REPLICAS_ROW, p.n_billed, p.acc_ms)
    _, u = uniforms(p.key_s0, p.key_s1, r.ordinal)
    r.stage_end = t + duration_ns(m, p.law_application, u)


@inner
def _pulled(m, p, r, t):  # type: ignore[no-untyped-def]
    """The image is on the node: decryption, then the container."""
    if p.decrypt_ns > 0:
        r.stage = DECRYPTING
        r.stage_end = t + p.decrypt_ns
    else:
        _container_start(m, p, r, t)


# ---- image pulls: the bandwidth of a node is shared equally by its pulls ----


@inner
def _pull_until(node, t):  # type: ignore[no-untyped-def]
    """Brings the bytes that each pull of the node has had (`v`) to `t`."""
    if node.n_pulls == 0:
        node.v = 0.0
    else:
        node.v += float(t - node.v_last) * 1e-9 * node.bandwidth / node.n_pulls
    node.v_last = t


@inner
def _first_pull(m, n):  # type: ignore[no-untyped-def]
    """The pull of node `n` that ends next, ties the lowest image; -1: none."""
    pulls = pulls_of(m)
    best = nodes_of(m)[n].pull_head
    k = best
    while k >= 0:
        if pulls[k].target < pulls[best].target or (
            pulls[k].target == pulls[best].target and pulls[k].image < pulls[best].image
        ):
            best = k
        k = pulls[k].next
    return best


@inner
def _key_node(m, n):  # type: ignore[no-untyped-def]
    """Puts the node's next end of a pull into the plane's order."""
    node = nodes_of(m)[n]
    k = _first_pull(m, n)
    if k < 0:
        node.next_ns = NEVER
    else:
        left_ns = (pulls_of(m)[k].target - node.v) * node.n_pulls / node.bandwidth * 1e9
        node.next_ns = node.v_last + max(0, math.ceil(left_ns))
    set_key(m, -n - 1, node.next_ns, (PULL_END << CLASS_SHIFT) | n)


@inner
def _schedule_end(m, p, rep, t):  # type: ignore[no-untyped-def]
    """A placed replica turns to its image: cached, being pulled, or to be pulled."""
    r = replicas_of(m)[rep]
    if p.image_bytes == 0:
        _pulled(m, p, r, t)
        return
    n = r.node
    node = nodes_of(m)[n]
    cached = cached_of(m)
    c = node.cache_head
    while c >= 0:
        if cached[c].image == p.image_id:
            node.stamp += 1
            cached[c].stamp = node.stamp
            _pulled(m, p, r, t)
            return
        c = cached[c].next
    pulls = pulls_of(m)
    k = node.pull_head
    while k >= 0 and pulls[k].image != p.image_id:
        k = pulls[k].next
    if k < 0:
        _pull_until(node, t)
        k = m.pull_free
        pull = pulls[k]
        m.pull_free = pull.next
        pull.node = n
        pull.image = p.image_id
        pull.bytes = p.image_bytes
        pull.target = node.v + p.image_bytes
        pull.waiters = -1
        pull.next = node.pull_head
        node.pull_head = k
        node.n_pulls += 1
        _key_node(m, n)
    r.stage = PULLING
    r.stage_end = NEVER
    r.pull = k
    pulls[k].waiters = _link(m, pulls[k].waiters, rep)
    p.n_pulling += 1


@inner
def _keep_image(m, n, image, size):  # type: ignore[no-untyped-def]
    """Puts an image into the node's cache; the least recently used make room."""
    node = nodes_of(m)[n]
    if size > node.cache_bytes:
        return
    cached = cached_of(m)
    while node.cache_used + size > node.cache_bytes:
        oldest = node.cache_head
        before = -1
        last = -1
        c = node.cache_head
        while c >= 0:
            if cached[c].stamp < cached[oldest].stamp:
                oldest = c
                before = last
            last = c
            c = cached[c].next
        if before >= 0:
            cached[before].next = cached[oldest].next
        else:
            node.cache_head = cached[oldest].next
        node.cache_used -= cached[oldest].bytes
        cached[oldest].next = m.cached_free
        m.cached_free = oldest
    c = m.cached_free
    entry = cached[c]
    m.cached_free = entry.next
    entry.image = image
    entry.bytes = size
    node.stamp += 1
    entry.stamp = node.stamp
    entry.next = node.cache_head
    node.cache_head = c
    node.cache_used += size


@inner
def _drop_pull(m, n, k):  # type: ignore[no-untyped-def]
    node = nodes_of(m)[n]
    pulls = pulls_of(m)
    if node.pull_head == k:
        node.pull_head = pulls[k].next
    else:
        before = node.pull_head
        while pulls[before].next != k:
            before = pulls[before].next
        pulls[before].next = pulls[k].next
    node.n_pulls -= 1
    pulls[k].next = m.pull_free
    m.pull_free = k


@inner
def pull_end(m, n, t):  # type: ignore[no-untyped-def]
    """The next pull of node `n` ends: the image is cached and whoever waited goes on."""
    node = nodes_of(m)[n]
    _pull_until(node, t)
    k = _first_pull(m, n)
    pull = pulls_of(m)[k]
    node.v = max(node.v, pull.target)
    _keep_image(m, n, pull.image, pull.bytes)
    rep = pull.waiters
    while rep >= 0:
        r = replicas_of(m)[rep]
        following = r.link_next
        r.pull = -1
        i = r.pod
        p = pods_of(m)[i]
        p.n_pulling -= 1
        _pulled(m, p, r, t)
        find_stage(m, p)
        rekey(m, i)
        rep = following
    _drop_pull(m, n, k)
    _key_node(m, n)


@inner
def drop_pulls(m, n):  # type: ignore[no-untyped-def]
    """Node `n` crashed: what it was pulling is lost (its waiters have ended before)."""
    while nodes_of(m)[n].pull_head >= 0:
        _drop_pull(m, n, nodes_of(m)[n].pull_head)
    _key_node(m, n)


# ---- stages and ends ----


@inner
def stage_event(m, p, i, t):  # type: ignore[no-untyped-def]
    """The replica p.stage_rep passes to its next stage."""
    rep = p.stage_rep
    r = replicas_of(m)[rep]
    if r.stage == SCHEDULING:
        _schedule_end(m, p, rep, t)
    elif r.stage == DECRYPTING:
        _container_start(m, p, r, t)
    else:
        _drop_other(m, p, rep)
        p.n_starting -= 1
        p.i_starting += t
        r.stage = READY
        r.stage_end = NEVER
        r.idle_since = t
        _insert_ready(m, p, rep)
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
        _drop_ready(m, p, rep, t)
    else:
        _drop_other(m, p, rep)
        if stage == UNPLACED:
            p.n_unplaced -= 1
            p.i_unplaced += t
            _unpend(m, rep)
        elif stage == DRAINING:
            p.n_drain -= 1
            p.i_drain += t
        else:
            p.n_starting -= 1
            p.i_starting += t
            if stage == PULLING:
                p.n_pulling -= 1
                pulls = pulls_of(m)
                pulls[r.pull].waiters = _unlink(m, pulls[r.pull].waiters, rep)
    if r.billed != 0:
        p.n_billed -= 1
        p.acc_ms += t // 1_000_000
        write_row(m, p, t, REPLICAS_ROW, p.n_billed, p.acc_ms)
    n = r.node
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
    _drop_ready(m, p, rep, t)
    p.n_busy -= 1
    p.i_busy += t
    r.stage = DRAINING
    r.stage_end = NEVER
    p.n_drain += 1
    p.i_drain -= t
    _append_other(m, p, rep)


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
def wanted(p):  # type: ignore[no-untyped-def]
    """How many replicas `reconcile` would create (negative: remove)."""
    coming = p.n_unplaced + p.n_starting
    total = coming + p.n_ready
    if p.policy == PER_REQUEST:
        need = max(p.n_held - coming, p.min_replicas - total)
        return max(0, min(need, p.max_replicas - total))
    return p.desired - total


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
