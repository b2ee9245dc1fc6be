"""A pod's scaling rule in compiled code: told of requests, asked when it is due, and what it wants."""

from __future__ import annotations

from protocol import scaling
from sim.kernel.state import KEDA, KPA, NEVER, PER_REQUEST, inner, params_of, state_of
from sim.kernel.timers import set_rare

keda = inner(scaling.keda)
keda_touch = inner(scaling.keda_touch)
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
def wanted(p):  # type: ignore[no-untyped-def]
    """How many replicas `reconcile` would create (negative: remove)."""
    coming = p.n_unplaced + p.n_starting
    total = coming + p.n_ready
    if p.policy == PER_REQUEST:
        need = max(p.n_held - coming, p.min_replicas - total)
        return max(0, min(need, p.max_replicas - total))
    return p.desired - total
