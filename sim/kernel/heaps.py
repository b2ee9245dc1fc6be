"""Two heaps: of entities by their next shared event, and of requests by the end of their service.

Both orders are total (no two keys are equal), so what comes out never depends on how it went in.
"""

from __future__ import annotations

from sim.kernel.state import heap_of, inline, inner, nodes_of, pods_of


@inner
def place(m, at, ns, order, entity):  # type: ignore[no-untyped-def]
    """Writes an entry and tells the entity where it is."""
    slot = heap_of(m)[at]
    slot.ns = ns
    slot.order = order
    slot.entity = entity
    if entity >= 0:
        pods_of(m)[entity].heap_pos = at
    else:
        nodes_of(m)[-entity - 1].heap_pos = at


@inner
def _settle(m, at, ns, order, entity):  # type: ignore[no-untyped-def]
    """Puts an entry near `at`, upwards or downwards as its key asks."""
    heap = heap_of(m)
    while at > 0:
        up = (at - 1) >> 1
        if heap[up].ns < ns or (heap[up].ns == ns and heap[up].order <= order):
            break
        place(m, at, heap[up].ns, heap[up].order, heap[up].entity)
        at = up
    used = m.heap_used
    while True:
        down = 2 * at + 1
        if down >= used:
            break
        right = down + 1
        if right < used and (
            heap[right].ns < heap[down].ns
            or (heap[right].ns == heap[down].ns and heap[right].order < heap[down].order)
        ):
            down = right
        if ns < heap[down].ns or (ns == heap[down].ns and order <= heap[down].order):
            break
        place(m, at, heap[down].ns, heap[down].order, heap[down].entity)
        at = down
    place(m, at, ns, order, entity)


@inner
def set_key(m, entity, ns, order):  # type: ignore[no-untyped-def]
    """Gives an entity a new key; adds it if it is not in the heap."""
    at = pods_of(m)[entity].heap_pos if entity >= 0 else nodes_of(m)[-entity - 1].heap_pos
    if at < 0:
        at = m.heap_used
        m.heap_used += 1
    _settle(m, at, ns, order, entity)


@inner
def drop_key(m, entity):  # type: ignore[no-untyped-def]
    """Takes a pod out of the heap."""
    heap = heap_of(m)
    at = pods_of(m)[entity].heap_pos
    pods_of(m)[entity].heap_pos = -1
    m.heap_used -= 1
    last = m.heap_used
    if at != last:
        _settle(m, at, heap[last].ns, heap[last].order, heap[last].entity)


@inline
def wide(x):  # type: ignore[no-untyped-def]
    """An index as int64, whatever width it is stored in."""
    return int(x)


@inline
def merge(requests, a, b):  # type: ignore[no-untyped-def]
    """Two pairing heaps of requests (roots, -1: empty) become one; order (end, index)."""
    if a < 0:
        return b
    if b < 0:
        return a
    x = requests[a]
    y = requests[b]
    if y.end < x.end or (y.end == x.end and y.index < x.index):
        x.sibling = y.child
        y.child = a
        return b
    y.sibling = x.child
    x.child = b
    return a


@inline
def pop(requests, root):  # type: ignore[no-untyped-def]
    """Root of the heap without `root`: its children are merged in pairs, then from right to left."""
    c = wide(requests[root].child)
    requests[root].child = -1
    done = -1
    while c >= 0:
        d = wide(requests[c].sibling)
        requests[c].sibling = -1
        if d >= 0:
            following = wide(requests[d].sibling)
            requests[d].sibling = -1
            c = merge(requests, c, d)
        else:
            following = -1
        requests[c].sibling = done
        done = c
        c = following
    if done < 0:
        return -1
    new = done
    c = wide(requests[done].sibling)
    requests[done].sibling = -1
    while c >= 0:
        following = wide(requests[c].sibling)
        requests[c].sibling = -1
        new = merge(requests, new, c)
        c = following
    return new
