"""Image pulls and caches in compiled code, up to the start of the container.

The bandwidth of a node is shared equally by its pulls; a second replica of an image joins its pull.
What is billed begins at the container's start, after scheduling, pull and decryption.
"""

from __future__ import annotations

import math

from sim.kernel.chance import duration_ns, uniforms
from sim.kernel.heaps import set_key
from sim.kernel.recording import write_row
from sim.kernel.replicas import link
from sim.kernel.state import (
    CLASS_SHIFT,
    DECRYPTING,
    NEVER,
    PULL_END,
    PULLING,
    REPLICAS_ROW,
    STARTING,
    cached_of,
    inner,
    nodes_of,
    pods_of,
    pulls_of,
    replicas_of,
)
from sim.kernel.timers import find_stage, rekey


@inner
def container_start(m, p, r, t):  # type: ignore[no-untyped-def]
    """The application begins to start, and the bill to run."""
    r.stage = STARTING
    r.decryption_ns = t - r.since
    r.since = t
    r.billed = 1
    p.n_billed += 1
    p.acc_ms -= t // 1_000_000
    write_row(m, p, t, REPLICAS_ROW, p.n_billed, p.acc_ms)
    _, u = uniforms(p.key_s0, p.key_s1, r.ordinal)
    r.stage_end = t + duration_ns(m, p.law_application, u)


@inner
def _pulled(m, p, r, t):  # type: ignore[no-untyped-def]
    """The image is on the node: decryption, then the container."""
    r.pull_ns = t - r.since
    r.since = t
    if p.decrypt_ns > 0:
        r.stage = DECRYPTING
        r.stage_end = t + p.decrypt_ns
    else:
        container_start(m, p, r, t)


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
def turn_to_image(m, p, rep, t):  # type: ignore[no-untyped-def]
    """A placed replica turns to its image: cached, being pulled, or to be pulled."""
    r = replicas_of(m)[rep]
    r.scheduling_ns = t - r.since
    r.since = t
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
    pulls[k].waiters = link(m, pulls[k].waiters, rep)
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
