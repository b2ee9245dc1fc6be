"""Two heaps: of entities by their next shared event, and of requests by the end of their service.

Both orders are total (no two keys are equal), so what comes out never depends on how it went in.

Few requests of a pod are in service at once, as a rule; a list in order is quicker then than any heap. So
under `slots` the next to finish are in a list (`first` to `last`, linked through `next`) and only the others,
all of which finish later, are in a heap (`root`).
"""

from __future__ import annotations

from sim.kernel.state import NEVER, heap_of, inline, inner, nodes_of, places_of

NEAR = 8  # so many come into the list at a time; with twice as many the later half goes to the heap


@inner
def place(m, at, ns, order, entity):  # type: ignore[no-untyped-def]
    """Writes an entry and tells the entity where it is."""
    slot = heap_of(m)[at]
    slot.ns = ns
    slot.order = order
    slot.entity = entity
    if entity >= 0:
        places_of(m)[entity] = at
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
    at = places_of(m)[entity] if entity >= 0 else nodes_of(m)[-entity - 1].heap_pos
    if at < 0:
        at = m.heap_used
        m.heap_used += 1
    _settle(m, at, ns, order, entity)


@inner
def drop_key(m, entity):  # type: ignore[no-untyped-def]
    """Takes a pod out of the heap."""
    heap = heap_of(m)
    at = places_of(m)[entity]
    places_of(m)[entity] = -1
    m.heap_used -= 1
    last = m.heap_used
    if at != last:
        _settle(m, at, heap[last].ns, heap[last].order, heap[last].entity)


@inline
def wide(x):  # type: ignore[no-untyped-def]
    """An index as int64, whatever width it is stored in."""
    return int(x)


@inline
def before(x, y):  # type: ignore[no-untyped-def]
    """Whether request x finishes first; ties go to the one that came first."""
    return x.end < y.end or (x.end == y.end and x.index < y.index)


@inline
def merge(requests, a, b):  # type: ignore[no-untyped-def]
    """Two pairing heaps of requests (roots, -1: empty) become one; order (end, index)."""
    if a < 0:
        return b
    if b < 0:
        return a
    x = requests[a]
    y = requests[b]
    if before(y, x):
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


@inner
def _fill_list(requests, p):  # type: ignore[no-untyped-def]
    """The list is empty: the first of the heap come into it."""
    while p.root >= 0 and p.n_near < NEAR:
        x = p.root
        p.root = pop(requests, x)
        requests[x].next = -1
        if p.first < 0:
            p.first = x
        else:
            requests[p.last].next = x
        p.last = x
        p.n_near += 1


@inner
def _halve_list(requests, p):  # type: ignore[no-untyped-def]
    """The later half of the list goes to the heap."""
    c = p.first
    for _ in range(NEAR - 1):
        c = wide(requests[c].next)
    p.last = c
    p.n_near = NEAR
    d = wide(requests[c].next)
    requests[c].next = -1
    while d >= 0:
        following = wide(requests[d].next)
        p.root = merge(requests, p.root, d)
        d = following


@inline
def put_served(requests, p, x):  # type: ignore[no-untyped-def]
    """Request `x`, whose end is known, is in service; its `next` is -1."""
    q = requests[x]
    if p.first < 0:
        p.first = x
        p.last = x
        p.n_near = 1
    elif before(requests[p.last], q):
        if p.root < 0 and p.n_near < NEAR:
            requests[p.last].next = x
            p.last = x
            p.n_near += 1
        else:
            p.root = merge(requests, p.root, x)
    else:
        previous = -1
        c = p.first
        while before(requests[c], q):
            previous = c
            c = wide(requests[c].next)
        q.next = c
        if previous < 0:
            p.first = x
        else:
            requests[previous].next = x
        p.n_near += 1
        if p.n_near == 2 * NEAR:
            _halve_list(requests, p)
    p.done_ns = requests[p.first].end


@inline
def take_served(requests, p):  # type: ignore[no-untyped-def]
    """Takes the request that finishes first; there is one."""
    x = p.first
    q = requests[x]
    p.first = q.next
    q.next = -1
    p.n_near -= 1
    if p.first < 0 and p.root >= 0:
        _fill_list(requests, p)
    p.done_ns = requests[p.first].end if p.first >= 0 else NEVER
    return x


@inner
def gather_served(requests, p):  # type: ignore[no-untyped-def]
    """Everything in service goes to the heap, for whoever takes some out of it; `spread_served` ends that."""
    x = p.first
    while x >= 0:
        following = wide(requests[x].next)
        p.root = merge(requests, p.root, x)
        x = following
    p.first = -1
    p.n_near = 0


@inner
def spread_served(requests, p):  # type: ignore[no-untyped-def]
    """After `gather_served`."""
    _fill_list(requests, p)
    p.done_ns = requests[p.first].end if p.first >= 0 else NEVER
