"""The kernel's loop and its one entry point, `drive`.

A pod runs its own events (arrivals, completions, start-ups, ticks of its rule that change nothing) freely
up to its next shared one (a replica is created or ends, an image pull begins), and stops before it. Shared
events, and every event of a pod whose replicas wait for room or for a pull, happen in one order: (time,
class, pod_index or node). Since a pod's own events touch nothing that others see, the result is that of
one global event list. Where a pod may use more processor time than it reserves, every event of every pod is shared
(see `contention`). Where `advance` is cut changes nothing: before a shared event at t happens, every
pod has run ahead to t.
"""

from __future__ import annotations

from typing import Any

from sim.kernel.arrivals import fill, start_source
from sim.kernel.cache import compiled
from sim.kernel.clients import fail_request, give_up
from sim.kernel.cluster import end_replica, reconcile, retry_pending, stage_event
from sim.kernel.contention import couple
from sim.kernel.control import crash, evict, replace, settle
from sim.kernel.facade import arrive, arrive_again
from sim.kernel.heaps import drop_key, set_key
from sim.kernel.images import pull_end
from sim.kernel.recording import drop_cold, drop_sketch
from sim.kernel.requests import take_held
from sim.kernel.rule import call_rule, wanted
from sim.kernel.service import complete
from sim.kernel.specs import EVICTED, TIMEOUT
from sim.kernel.state import (
    ADVANCE,
    APPLY,
    ARRIVAL,
    CLASS_SHIFT,
    CLIENTS,
    COMPLETION,
    COUPLE,
    CRASH,
    DEADLINE,
    DONE,
    DRAINING,
    EVICT,
    EXPIRY,
    FORGET,
    FULL,
    NEVER,
    PER_REQUEST,
    REFILL,
    REKEY,
    REPLACE,
    RESTORE,
    ROW_MARGIN,
    RUN_AHEAD,
    SCHEDULING,
    STAGE,
    START_SOURCE,
    TICK,
    fetch_pod,
    heap_of,
    inline,
    inner,
    nodes_of,
    plane_at,
    pods_of,
    replicas_of,
    requests_of,
)
from sim.kernel.timers import rekey, set_deadline, set_expiry, set_rare


@inline
def _complete(m, p, i, t):  # type: ignore[no-untyped-def]
    emptied = complete(m, p, i, t)
    if emptied >= 0:
        end_replica(m, p, i, emptied, t)
        set_rare(p)
    elif p.policy == PER_REQUEST and p.expire_ns == NEVER:
        set_expiry(m, p)
        set_rare(p)


@inner
def _rare(m, p, i, t, kind):  # type: ignore[no-untyped-def]
    """Any event but an arrival or a completion."""
    if kind == STAGE:
        stage_event(m, p, i, t)
    elif kind == TICK:
        call_rule(m, p, i, t)
    elif kind == EXPIRY:
        end_replica(m, p, i, p.idle_bottom, t)
        set_rare(p)
    elif kind == DEADLINE:
        x = take_held(m, p)
        fail_request(m, p, i, x, t, TIMEOUT)
        set_deadline(m, p)
        set_rare(p)
    elif kind == CLIENTS:
        if p.retry_ns <= t:
            arrive_again(m, p, i, t)
        else:
            give_up(m, p, i, t)
    else:
        reconcile(m, p, i, t)
        set_rare(p)


@inner
def _drains_last(m, p):  # type: ignore[no-untyped-def]
    """Whether the next completion empties a draining replica."""
    rep = requests_of(m)[p.first].replica if p.done_rep < 0 else p.done_rep
    r = replicas_of(m)[rep]
    return r.stage == DRAINING and r.in_service == 1 and r.queued == 0


@inner
def _shared(m, p, kind):  # type: ignore[no-untyped-def]
    """Whether a pod's next event touches what others see."""
    if kind == STAGE:
        return replicas_of(m)[p.stage_rep].stage == SCHEDULING and p.image_bytes > 0
    return kind in (EXPIRY, APPLY)


@inline
def _room(m):  # type: ignore[no-untyped-def]
    """Whether there is room for an arrival or a completion, each of which takes at most one of everything."""
    return (
        (m.request_free | m.page_free | m.sketch_free) >= 0  # none is -1
        and m.samples_used < m.samples_n
        and m.rows_used + ROW_MARGIN < m.rows_n
    )


@inner
def _run_ahead(m, p, i, now):  # type: ignore[no-untyped-def]
    """Runs a pod's own events up to `now` or to before its next shared one, and puts it into the order."""
    while True:
        t = min(p.done_ns, p.next_arrival, p.rare_ns)
        if t > now:
            break
        if not _room(m):
            return FULL
        if p.done_ns == t:  # as `next_of` says, and each of the two that are common by one branch
            if p.n_drain > 0 and _drains_last(m, p):
                set_key(m, i, t, (COMPLETION << CLASS_SHIFT) | p.pod_index)
                return DONE
            _complete(m, p, i, t)
        elif p.next_arrival == t and (p.rare_ns > t or p.rare_class > ARRIVAL):
            arrive(m, p, i, t)
        else:
            kind = p.rare_class
            if _shared(m, p, kind):
                set_key(m, i, t, (kind << CLASS_SHIFT) | p.pod_index)
                return DONE
            _rare(m, p, i, t, kind)
    set_key(m, i, t, (RUN_AHEAD << CLASS_SHIFT) | p.pod_index)
    return DONE


@inner
def _room_to_apply(m, p):  # type: ignore[no-untyped-def]
    """Whether there is room for what `reconcile` would do."""
    change = wanted(p)
    m.wanted = max(0, change)
    return m.replica_free_n >= change and m.rows_used + ROW_MARGIN - change < m.rows_n


@inner
def _advance(m, now):  # type: ignore[no-untyped-def]
    while m.heap_used > 0:
        top = heap_of(m)[0]
        t = top.ns
        if t > now:
            break
        if not _room(m) or m.pull_free < 0 or m.cached_free < 0:
            return FULL
        i = top.entity
        for child in range(1, min(3, m.heap_used)):  # one of them is next, as a rule
            fetch_pod(m, heap_of(m)[child].entity)
        kind = top.order >> CLASS_SHIFT
        if i < 0:
            if m.rows_used + ROW_MARGIN + m.replicas_n - m.replica_free_n > m.rows_n:
                return FULL
            pull_end(m, -i - 1, t)
            continue
        p = pods_of(m)[i]
        if kind == RUN_AHEAD:
            if _run_ahead(m, p, i, now) == FULL:
                return FULL
            continue
        if kind == ARRIVAL:
            arrive(m, p, i, t)
        elif kind == COMPLETION:
            _complete(m, p, i, t)
        else:
            if kind == APPLY and not _room_to_apply(m, p):
                return FULL
            _rare(m, p, i, t, kind)
        rekey(m, i)
    return DONE


def _drive(planes, what, i, now):  # type: ignore[no-untyped-def]
    """The kernel's one entry point. It holds no lock: several threads may drive different planes.

    Args:
        planes: where the planes' `META` records are; one of them unless `what` is ADVANCE.
        what: ADVANCE: process every event at or before `now`. Otherwise a change at `now`, after ADVANCE to it.
        i: which pod (or node, for CRASH and RESTORE); ignored for ADVANCE and COUPLE.
        now: instant [Unix ns].

    Returns:
        For ADVANCE how many planes, from the first, have come to `now`: the next one, if there is one, lacked
        room before its next event. Otherwise 0.
    """
    if what == ADVANCE:
        for k in range(len(planes)):
            if _advance(plane_at(planes[k]), now) == FULL:
                return k
        return len(planes)
    m = plane_at(planes[0])
    if what == CRASH:
        crash(m, i, now)
        return 0
    if what == RESTORE:
        nodes_of(m)[i].up = 1
        retry_pending(m, now)
        return 0
    if what == COUPLE:
        couple(m)
        return 0
    p = pods_of(m)[i]
    if what == START_SOURCE:
        start_source(m, p, i, now)
    elif what == REFILL:
        fill(m, p, i)
    elif what == EVICT:
        evict(m, p, i, now, EVICTED)
    elif what == REPLACE:
        replace(m, p, i, now)
    elif what == FORGET:
        drop_key(m, i)
        drop_cold(m, i)
        drop_sketch(m, p)
        return 0
    elif what == REKEY:
        settle(m, p)
    rekey(m, i)
    return 0


drive: Any = compiled(_drive)
