"""The kernel's loop and its one entry point, `drive`.

A pod runs its own events (arrivals, completions, start-ups, ticks of its rule that change nothing) freely
up to its next shared one (a replica is created or ends, an image pull begins), and stops before it. Shared
events, and every event of a pod whose replicas wait for room or for a pull, happen in one order: (time,
class, pod_index or node). Since a pod's own events touch nothing that others see, the result is that of
one global event list. Where `advance` is cut changes nothing: before a shared event at t happens, every
pod has run ahead to t.
"""

from __future__ import annotations

from typing import Any

from protocol import scaling
from sim.kernel.arrivals import fill, start_source, step_source
from sim.kernel.cache import compiled
from sim.kernel.cluster import end_replica, reconcile, retry_pending, stage_event, wanted
from sim.kernel.control import crash, evict, replace, settle
from sim.kernel.heaps import drop_key, set_key
from sim.kernel.images import pull_end
from sim.kernel.service import (
    allocate,
    begin,
    choose,
    complete,
    drop_idle,
    fail_request,
    keda_touch,
    push_held,
    push_queue,
    sample,
    set_deadline,
    take_held,
)
from sim.kernel.sketches import drop_cold
from sim.kernel.specs import EVICTED, OVERFLOW, SUSPENDED, TIMEOUT, UNREACHABLE
from sim.kernel.state import (
    ADVANCE,
    APPLY,
    ARRIVAL,
    CENTRAL,
    CLASS_SHIFT,
    COMPLETION,
    CRASH,
    DEADLINE,
    DEPLOYED,
    DONE,
    DRAINING,
    EVICT,
    EXPIRY,
    FORGET,
    FULL,
    KEDA,
    KPA,
    NEVER,
    PER_REQUEST,
    REFILL,
    REKEY,
    REPLACE,
    RESTORE,
    ROW_MARGIN,
    RUN_AHEAD,
    SCHEDULING,
    SLOTS,
    STAGE,
    START_SOURCE,
    STOPPED,
    TICK,
    demands_of,
    fails_of,
    heap_of,
    inline,
    inner,
    nodes_of,
    params_of,
    pods_of,
    replicas_of,
    requests_of,
    state_of,
)
from sim.kernel.timers import next_of, rekey, set_expiry, set_rare

keda = inner(scaling.keda)
kpa = inner(scaling.kpa)
fixed = inner(scaling.fixed)


@inner
def call_rule(m, p, i, t):  # type: ignore[no-untyped-def]
    """Asks the pod's scaling rule; what it wants is carried out by an APPLY at this instant."""
    state = state_of(m, i)
    params = params_of(m, i)
    count = p.n_held + p.n_queued + p.n_service
    if p.policy == KEDA:
        p.desired = keda(state, params, t, count * 1000, p.n_ready)
    elif p.policy == KPA:
        area = p.i_system + count * t
        span = t - p.kpa_last
        pending_m = count * 1000
        if p.desired != 0 and span > 0:
            work = area - p.kpa_area
            whole = work // span
            pending_m = whole * 1000 + ((work - whole * span) * 1000 + span - 1) // span
        p.kpa_area = area
        p.kpa_last = t
        p.desired = kpa(state, params, t, pending_m, p.n_ready)
        if p.desired == 0 and count > 0:  # it sees means: something came in the very instant
            p.desired = kpa(state, params, t, count * 1000, p.n_ready)
    else:
        p.desired = fixed(state, params, t, count * 1000, p.n_ready)
    p.tick_ns = state[scaling.NEXT_NS]
    p.apply_ns = t if wanted(p) != 0 else NEVER
    set_rare(p)


@inner
def _refuse(m, p, i, index, t, outcome):  # type: ignore[no-untyped-def]
    """A request fails as it arrives."""
    fails_of(m, i)[outcome] += 1
    sample(m, p, index, t, -1, t, outcome, 0, -1)


@inner
def _hold(m, p, i, index, t, demand):  # type: ignore[no-untyped-def]
    """No replica is ready: the facade holds the request, and a pod at zero wakes."""
    x = allocate(m, index, t, demand)
    requests_of(m)[x].cold = 1
    p.i_system -= t
    push_held(m, p, x)
    if p.held_head == x:
        set_deadline(m, p)
    if p.desired == 0:
        call_rule(m, p, i, t)
    set_rare(p)


@inline
def _arrive_per_request(m, p, i, index, t, demand):  # type: ignore[no-untyped-def]
    rep = p.idle_top
    if rep >= 0:
        drop_idle(m, p, rep)
        if p.idle_bottom < 0 or p.expire_ns != NEVER:
            set_expiry(m, p)
            set_rare(p)
        p.i_system -= t
        begin(m, p, i, rep, allocate(m, index, t, demand), t)
        return
    coming = p.n_unplaced + p.n_starting
    if coming + p.n_ready >= p.max_replicas and p.n_held - coming >= p.queue_limit:
        _refuse(m, p, i, index, t, OVERFLOW)
        return
    x = allocate(m, index, t, demand)
    p.i_system -= t
    push_held(m, p, x)
    if p.n_ready == 0:
        requests_of(m)[x].cold = 1
        if p.held_head == x:
            set_deadline(m, p)
    if wanted(p) > 0:
        p.apply_ns = t
    set_rare(p)


@inline
def arrive(m, p, i, t):  # type: ignore[no-untyped-def]
    """The next arrival of a pod."""
    index = p.index
    demand = demands_of(m, i)[p.pos]
    step_source(m, p, i)
    p.arrivals += 1
    if p.status != DEPLOYED or m.isolated != 0:
        _refuse(m, p, i, index, t, SUSPENDED if p.status == STOPPED and m.isolated == 0 else UNREACHABLE)
        return
    if p.policy == PER_REQUEST:
        _arrive_per_request(m, p, i, index, t, demand)
        return
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    if p.n_ready == 0:
        if p.n_held >= p.queue_limit:
            _refuse(m, p, i, index, t, OVERFLOW)
        else:
            _hold(m, p, i, index, t, demand)
        return
    rep = choose(m, p, index)
    r = replicas_of(m)[rep]
    if p.discipline == SLOTS and r.in_service >= p.slots:
        if (p.n_held if p.dispatch == CENTRAL else r.queued) >= p.queue_limit:
            _refuse(m, p, i, index, t, OVERFLOW)
            return
        x = allocate(m, index, t, demand)
        p.i_system -= t
        if p.dispatch == CENTRAL:
            push_held(m, p, x)
        else:
            push_queue(m, p, r, x)
        return
    p.i_system -= t
    begin(m, p, i, rep, allocate(m, index, t, demand), t)


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
    else:
        reconcile(m, p, i, t)
        set_rare(p)


@inner
def _drains_last(m, p):  # type: ignore[no-untyped-def]
    """Whether the next completion empties a draining replica."""
    rep = requests_of(m)[p.root].replica if p.discipline == SLOTS else p.done_rep
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
        (m.request_free | m.page_free) >= 0  # neither is -1
        and m.samples_used < m.samples_n
        and m.rows_used + ROW_MARGIN < m.rows_n
    )


@inner
def _run_ahead(m, p, i, now):  # type: ignore[no-untyped-def]
    """Runs a pod's own events up to `now` or to before its next shared one, and puts it into the order."""
    while True:
        t, kind = next_of(p)
        if t > now:
            set_key(m, i, t, (RUN_AHEAD << CLASS_SHIFT) | p.pod_index)
            return DONE
        if not _room(m):
            return FULL
        if kind == ARRIVAL:
            arrive(m, p, i, t)
        elif kind == COMPLETION:
            if p.n_drain > 0 and _drains_last(m, p):
                break
            _complete(m, p, i, t)
        elif _shared(m, p, kind):
            break
        else:
            _rare(m, p, i, t, kind)
    set_key(m, i, t, (kind << CLASS_SHIFT) | p.pod_index)
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


def _drive(meta, what, i, now):  # type: ignore[no-untyped-def]
    """The kernel's one entry point.

    Args:
        meta: the `META` array of one element.
        what: ADVANCE: process every event at or before `now`. Otherwise a change at `now`, after ADVANCE to it.
        i: which pod (or node, for CRASH and RESTORE); ignored for ADVANCE.
        now: instant [Unix ns].

    Returns:
        DONE, or for ADVANCE also FULL: something lacked room before the next event.
    """
    m = meta[0]
    if what == ADVANCE:
        return _advance(m, now)
    if what == CRASH:
        crash(m, i, now)
        return DONE
    if what == RESTORE:
        nodes_of(m)[i].up = 1
        retry_pending(m, now)
        return DONE
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
        return DONE
    elif what == REKEY:
        settle(m, p)
    rekey(m, i)
    return DONE


drive: Any = compiled(_drive)
