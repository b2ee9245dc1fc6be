"""Clients in compiled code: how a request fails, who waits for how long, and who tries again.

A client with a timeout stands in its pod's line from its request's arrival until it has an answer. All have the
same patience, so the first in line gives up first; a request that waits and gives up is therefore the first of
the list in which it waits. `give_up_ns` is no later than that: who leaves the line does not set it anew.

A client that gives up closes its connection. What waits leaves at once; what is in service stays there until it
would have ended, because servers seldom notice, but counts for nobody any more.

A client that tries again is kept, as a request by the instant of its return, in a heap of its pod.
"""

from __future__ import annotations

from sim.kernel.chance import duration_ns, uniforms
from sim.kernel.heaps import merge, pop
from sim.kernel.recording import sample
from sim.kernel.requests import allocate, release, take_held, take_queue
from sim.kernel.rule import keda_touch
from sim.kernel.specs import CLIENT_TIMEOUT
from sim.kernel.state import (
    ATTEMPT_SHIFT,
    FAR_NS,
    KEDA,
    NEVER,
    fails_of,
    inline,
    inner,
    lines_of,
    replicas_of,
    requests_of,
    state_of,
)
from sim.kernel.timers import set_deadline, set_rare


@inline
def enter(m, p, index, t, demand):  # type: ignore[no-untyped-def]
    """A request comes into the system; the caller made sure of room and puts it somewhere."""
    x = allocate(m, index, t, demand)
    p.i_system -= t
    if p.patience != NEVER:
        _line_up(m, p, x, t)
    return x


@inner
def answers(m, p, x):  # type: ignore[no-untyped-def]
    """Takes a request whose service has ended out of its pod's line; whether its client was still there."""
    if lines_of(m)[x].gone != 0:
        return False
    _step_out(m, p, x)
    return True


@inner
def refuse(m, p, i, index, t, outcome):  # type: ignore[no-untyped-def]
    """A request fails as it arrives."""
    fails_of(m, i)[outcome] += 1
    sample(m, p, index, t, -1, t, outcome, 0, -1)
    _try_again(m, p, index, t)


@inner
def fail_request(m, p, i, x, t, outcome):  # type: ignore[no-untyped-def]
    """A request in the system fails; the caller has taken it out of its list or heap and its count."""
    index = requests_of(m)[x].index
    if p.patience != NEVER:
        _step_out(m, p, x)
    _count_failed(m, p, i, x, t, outcome)
    release(m, x)
    _try_again(m, p, index, t)


@inner
def fail_served(m, p, i, x, t, outcome):  # type: ignore[no-untyped-def]
    """As `fail_request`, of one that was in service: its client may be gone."""
    if p.patience != NEVER and lines_of(m)[x].gone != 0:
        release(m, x)
        return
    p.n_service -= 1
    fail_request(m, p, i, x, t, outcome)


@inner
def give_up(m, p, i, t):  # type: ignore[no-untyped-def]
    """The first client in line gives up, if its time is over."""
    x = p.line_head
    if x >= 0 and requests_of(m)[x].arrival + p.patience <= t:
        q = requests_of(m)[x]
        if q.start >= 0:
            _step_out(m, p, x)
            lines_of(m)[x].gone = 1
            p.n_service -= 1
            _count_failed(m, p, i, x, t, CLIENT_TIMEOUT)
            _try_again(m, p, q.index, t)
        elif p.held_head == x:
            fail_request(m, p, i, take_held(m, p), t, CLIENT_TIMEOUT)
            set_deadline(m, p)
        else:
            r = replicas_of(m)[_queue_of(m, p, x)]
            fail_request(m, p, i, take_queue(m, p, r), t, CLIENT_TIMEOUT)
    p.give_up_ns = NEVER if p.line_head < 0 else requests_of(m)[p.line_head].arrival + p.patience
    set_clients(p)


@inner
def take_retry(m, p):  # type: ignore[no-untyped-def]
    """The request that is next to be tried again; its record is free."""
    requests = requests_of(m)
    x = p.retry_root
    index = requests[x].index
    p.retry_root = pop(requests, x)
    release(m, x)
    p.retry_ns = requests[p.retry_root].end if p.retry_root >= 0 else NEVER
    p.n_waiting -= 1
    set_clients(p)
    return index


@inner
def set_clients(p):  # type: ignore[no-untyped-def]
    """When a client is next to do something."""
    p.clients_ns = min(p.retry_ns, p.give_up_ns)
    set_rare(p)


@inner
def _line_up(m, p, x, t):  # type: ignore[no-untyped-def]
    lines = lines_of(m)
    place = lines[x]
    place.gone = 0
    place.younger = -1
    place.older = p.line_tail
    if p.line_tail < 0:
        p.line_head = x
    else:
        lines[p.line_tail].younger = x
    p.line_tail = x
    if p.give_up_ns == NEVER:
        p.give_up_ns = t + p.patience
        set_clients(p)


@inner
def _step_out(m, p, x):  # type: ignore[no-untyped-def]
    lines = lines_of(m)
    place = lines[x]
    if place.older < 0:
        p.line_head = place.younger
    else:
        lines[place.older].younger = place.younger
    if place.younger < 0:
        p.line_tail = place.older
    else:
        lines[place.younger].older = place.older


@inner
def _queue_of(m, p, x):  # type: ignore[no-untyped-def]
    """The replica whose queue begins with `x`; there is one."""
    replicas = replicas_of(m)
    rep = p.ready_head
    while rep >= 0 and replicas[rep].queue_head != x:
        rep = replicas[rep].next
    if rep >= 0:
        return rep
    rep = p.other_head
    while replicas[rep].queue_head != x:
        rep = replicas[rep].next
    return rep


@inner
def _count_failed(m, p, i, x, t, outcome):  # type: ignore[no-untyped-def]
    q = requests_of(m)[x]
    fails_of(m, i)[outcome] += 1
    p.i_system += t
    if p.policy == KEDA:
        keda_touch(state_of(m, i), t)
    sample(m, p, q.index, q.arrival, q.start, t, outcome, q.cold, int(q.replica))


@inner
def _try_again(m, p, index, t):  # type: ignore[no-untyped-def]
    """An attempt failed at `t`: the client learns of it, waits, and comes again; or that was the last."""
    attempt = (index >> ATTEMPT_SHIFT) + 1
    if attempt > p.retries:
        p.lost += 1
        return
    index += 1 << ATTEMPT_SHIFT
    u, _ = uniforms(p.key_t0, p.key_t1, index)
    span = float(duration_ns(m, p.law_backoff, u))
    for _ in range(attempt - 1):
        span = min(span * p.backoff_times, float(FAR_NS))
    x = allocate(m, index, t, 0)
    # One nanosecond at least, so that what control does at an instant comes before whoever returns.
    requests_of(m)[x].end = t + max(1, p.trip_ns + int(span))
    p.retry_root = merge(requests_of(m), p.retry_root, x)
    p.retry_ns = requests_of(m)[p.retry_root].end
    p.n_waiting += 1
    set_clients(p)
