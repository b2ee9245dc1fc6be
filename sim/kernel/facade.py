"""The facade in compiled code: an arriving request is served, queued, held or refused."""

from __future__ import annotations

from sim.kernel.arrivals import step_source
from sim.kernel.chance import duration_ns, uniforms
from sim.kernel.clients import enter, refuse, take_retry
from sim.kernel.replicas import drop_idle
from sim.kernel.requests import push_held, push_queue
from sim.kernel.rule import call_rule, keda_touch, wanted
from sim.kernel.service import begin, choose
from sim.kernel.specs import OVERFLOW, SUSPENDED, UNREACHABLE
from sim.kernel.state import (
    CENTRAL,
    DEPLOYED,
    KEDA,
    PER_REQUEST,
    SHARING,
    STOPPED,
    demands_of,
    inline,
    inner,
    replicas_of,
    requests_of,
    state_of,
)
from sim.kernel.timers import set_deadline, set_expiry, set_rare


@inner
def _hold(m, p, i, index, t, demand):  # type: ignore[no-untyped-def]
    """No replica is ready: the facade holds the request, and a pod at zero wakes."""
    x = enter(m, p, index, t, demand)
    requests_of(m)[x].cold = 1
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
        if p.idle_bottom < 0:  # it was the only one; otherwise the longest idle one is the same
            set_expiry(m, p)
            set_rare(p)
        begin(m, p, i, rep, enter(m, p, index, t, demand), t)
        return
    coming = p.n_unplaced + p.n_starting
    if coming + p.n_ready >= p.max_replicas and p.n_held - coming >= p.queue_limit:
        refuse(m, p, i, index, t, OVERFLOW)
        return
    x = enter(m, p, index, t, demand)
    push_held(m, p, x)
    if p.n_ready == 0:
        requests_of(m)[x].cold = 1
        if p.held_head == x:
            set_deadline(m, p)
    if wanted(p) > 0:
        p.apply_ns = t
    set_rare(p)


@inline
def _admit(m, p, i, index, t, demand):  # type: ignore[no-untyped-def]
    p.arrivals += 1
    if p.status != DEPLOYED or m.isolated != 0:
        refuse(m, p, i, index, t, SUSPENDED if p.status == STOPPED and m.isolated == 0 else UNREACHABLE)
        return
    if p.policy == PER_REQUEST:
        _arrive_per_request(m, p, i, index, t, demand)
        return
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    if p.n_ready == 0:
        if p.n_held >= p.queue_limit:
            refuse(m, p, i, index, t, OVERFLOW)
        else:
            _hold(m, p, i, index, t, demand)
        return
    rep = choose(m, p, index)
    r = replicas_of(m)[rep]
    if p.discipline != SHARING and r.in_service >= p.slots:
        if (p.n_held if p.dispatch == CENTRAL else r.queued) >= p.queue_limit:
            refuse(m, p, i, index, t, OVERFLOW)
            return
        x = enter(m, p, index, t, demand)
        if p.dispatch == CENTRAL:
            push_held(m, p, x)
        else:
            push_queue(m, p, r, x)
        return
    begin(m, p, i, rep, enter(m, p, index, t, demand), t)


@inline
def arrive(m, p, i, t):  # type: ignore[no-untyped-def]
    """The next arrival of a pod."""
    index = p.index
    demand = demands_of(m, i)[p.pos]
    step_source(m, p, i)
    _admit(m, p, i, index, t, demand)


@inner
def arrive_again(m, p, i, t):  # type: ignore[no-untyped-def]
    """The next request of a pod that is tried again; its demand is its own."""
    index = take_retry(m, p)
    p.retried += 1
    _, u = uniforms(p.key_t0, p.key_t1, index)
    _admit(m, p, i, index, t, duration_ns(m, p.law_service, u))
