"""A pod's timers and its place in the plane's order, in compiled code."""

from __future__ import annotations

from sim.kernel.heaps import set_key
from sim.kernel.state import (
    APPLY,
    ARRIVAL,
    CLASS_SHIFT,
    CLIENTS,
    COMPLETION,
    DEADLINE,
    EXPIRY,
    NEVER,
    RUN_AHEAD,
    STAGE,
    TICK,
    inline,
    inner,
    pods_of,
    replicas_of,
    requests_of,
)


@inline
def set_expiry(m, p):  # type: ignore[no-untyped-def]
    """per_request: when the longest idle replica's time is over."""
    if p.idle_bottom < 0 or p.n_unplaced + p.n_starting + p.n_ready <= p.min_replicas or p.idle_ns == NEVER:
        p.expire_ns = NEVER
    else:
        p.expire_ns = replicas_of(m)[p.idle_bottom].idle_since + p.idle_ns


@inner
def set_deadline(m, p):  # type: ignore[no-untyped-def]
    """When the first held request gives up: only while no replica is ready."""
    if p.held_head < 0 or p.n_ready > 0 or p.wait_limit == NEVER:
        p.deadline_ns = NEVER
    else:
        p.deadline_ns = max(p.zero_since, requests_of(m)[p.held_head].arrival + p.wait_limit)


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
    if p.clients_ns < ns:
        ns = p.clients_ns
        kind = CLIENTS
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

    A pod whose future hangs on others (a replica waits for room or for a pull, or something in the plane may use
    processor time that others do not) stands at its very next event. Any other may run its own events ahead, as
    soon as its next event is reached and before anything shared.
    """
    p = pods_of(m)[i]
    set_rare(p)
    ns, kind = next_of(p)
    if p.n_unplaced == 0 and p.n_pulling == 0 and m.coupled == 0:
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
