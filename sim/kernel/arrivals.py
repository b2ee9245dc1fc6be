"""Arrivals and demands in compiled code: blocks of draws, and the next instant of each kind of traffic."""

from __future__ import annotations

import math

from sim import laws
from sim.kernel.chance import duration_ns, log_of, uniforms
from sim.kernel.state import (
    MMPP,
    NEVER,
    POISSON,
    RENEWAL,
    REPLAY,
    TRACE_BURSTY,
    TRACE_EVEN,
    demands_of,
    floats_of,
    gaps_of,
    inline,
    inner,
    ints_of,
    laws_of,
)

_MINUTE_NS = 60_000_000_000


@inner
def fill(m, p, i):  # type: ignore[no-untyped-def]
    """Draws a block: request p.index + j gets gaps[j] and demands[j].

    A gap is unit exponential, for traces uniform, for renewals the time itself [ns].
    """
    gaps = gaps_of(m, i)
    demands = demands_of(m, i)
    law = p.law_service
    k0 = p.key_r0
    k1 = p.key_r1
    base = p.index
    entry = laws_of(m)[law]
    if p.traffic <= MMPP and entry.code == laws.EXPONENTIAL:
        mean = -entry.a
        for j in range(m.block):  # the commonest case, and LLVM makes vector code of it
            u1, u2 = uniforms(k0, k1, base + j)
            gaps[j] = -log_of(u1)
            demands[j] = int(min(mean * log_of(1.0 - u2) * 1e9, 1e18) + 0.5)
    else:
        exponential = p.traffic <= MMPP
        renewal = p.traffic == RENEWAL
        law_gaps = p.ints_lo
        for j in range(m.block):
            u1, u2 = uniforms(k0, k1, base + j)
            if exponential:
                gaps[j] = -log_of(u1)
            elif renewal:
                gaps[j] = float(duration_ns(m, law_gaps, u1))
            else:
                gaps[j] = u1
            demands[j] = duration_ns(m, law, u2)
    p.pos = 0


@inner
def _enter_segment(m, p):  # type: ignore[no-untyped-def]
    """Sets rate and end of the segment p.seg of a Poisson or MMPP source; for MMPP its sojourn is drawn."""
    ints = ints_of(m)
    floats = floats_of(m)
    p.rate = floats[p.floats_lo + p.seg]
    p.mean_gap = 1.0 / p.rate if p.rate > 0.0 else math.inf
    if p.traffic == POISSON:
        if p.seg + 1 < p.tab_n:
            p.seg_end = p.cycle_ns + ints[p.ints_lo + p.seg + 1]
        elif p.period_ns > 0:
            p.seg_end = p.cycle_ns + p.period_ns
        else:
            p.seg_end = NEVER
    else:
        u, _ = uniforms(p.key_b0, p.key_b1, p.sojourn)
        length = -log_of(u) * floats[p.floats_lo + p.tab_n + p.seg]
        p.seg_end += max(1, int(min(length, 1e17)))


@inner
def _next_segment(m, p):  # type: ignore[no-untyped-def]
    p.seg += 1
    if p.traffic == MMPP:
        p.sojourn += 1
        if p.seg == p.tab_n:
            p.seg = 0
    elif p.seg == p.tab_n:
        p.seg = 0
        p.cycle_ns += p.period_ns
    _enter_segment(m, p)


@inner
def _next_by_segments(m, p, work):  # type: ignore[no-untyped-def]
    """Instant at which `work` (unit exponential) is used up by the rate, from p.next_arrival on."""
    t = p.next_arrival
    while True:
        if p.rate > 0.0:
            length = work * p.mean_gap
            if length < p.seg_end - t:
                p.next_arrival = t + int(length)
                return
            work -= (p.seg_end - t) * p.rate
            if work < 0.0:
                work = 0.0
        if p.seg_end == NEVER:
            p.next_arrival = NEVER
            return
        t = p.seg_end
        _next_segment(m, p)


@inner
def _next_of_table(m, p, u):  # type: ignore[no-untyped-def]
    """Next instant of a trace or replay; `u` is the request's uniform."""
    ints = ints_of(m)
    if p.traffic == REPLAY:
        p.next_arrival = p.epoch + ints[p.ints_lo + p.index] if p.index < p.tab_n else NEVER
        return
    while p.left == 0:
        p.seg += 1
        if p.seg >= p.tab_n:
            p.seg = p.tab_n
            p.next_arrival = NEVER
            return
        p.left = ints[p.ints_lo + p.seg]
        p.x = 0.0
        if p.traffic == TRACE_BURSTY:
            v, _ = uniforms(p.key_b0, p.key_b1, p.seg)
            p.burst = int(v * 60.0)
    minute = p.cycle_ns + p.seg * _MINUTE_NS
    if p.traffic == TRACE_EVEN:
        count = ints[p.ints_lo + p.seg]
        done = count - p.left
        p.next_arrival = minute + (2 * done + 1) * _MINUTE_NS // (2 * count)
    else:
        # The least of the `left` uniforms that remain on [x, 1).
        p.x = 1.0 - (1.0 - p.x) * u ** (1.0 / p.left)
        if p.traffic == TRACE_BURSTY:
            p.next_arrival = minute + p.burst * 1_000_000_000 + min(int(p.x * 1e9), 999_999_999)
        else:
            p.next_arrival = minute + min(int(p.x * 6e10), _MINUTE_NS - 1)
    p.left -= 1


@inline
def find_next(m, p, gap):  # type: ignore[no-untyped-def]
    """Moves p.next_arrival from one arrival to the next; `gap` is what `fill` drew for it."""
    if p.traffic <= MMPP:
        t = p.next_arrival
        length = gap * p.mean_gap
        if length < p.seg_end - t:
            p.next_arrival = t + int(length)
            return
        _next_by_segments(m, p, gap)
    elif p.traffic == RENEWAL:
        p.next_arrival += int(gap)
    else:
        _next_of_table(m, p, gap)


@inline
def step_source(m, p, i):  # type: ignore[no-untyped-def]
    """After arrival p.index: the next one's index, draws and instant."""
    p.index += 1
    p.pos += 1
    if p.pos == m.block:
        fill(m, p, i)
    find_next(m, p, gaps_of(m, i)[p.pos])


@inner
def start_source(m, p, i, now):  # type: ignore[no-untyped-def]
    """Begins a source at `now`: its first arrival at or after it."""
    fill(m, p, i)
    p.next_arrival = now
    if p.traffic <= MMPP:
        p.cycle_ns = p.epoch
        p.seg = 0
        if p.traffic == MMPP:
            floats = floats_of(m)
            _, u = uniforms(p.key_b0, p.key_b1, 0)
            total = 0.0
            for s in range(p.tab_n):
                total += floats[p.floats_lo + p.tab_n + s]
            u *= total
            while p.seg + 1 < p.tab_n and u >= floats[p.floats_lo + p.tab_n + p.seg]:
                u -= floats[p.floats_lo + p.tab_n + p.seg]
                p.seg += 1
            p.seg_end = p.epoch
        _enter_segment(m, p)
        while p.seg_end <= now:
            _next_segment(m, p)
        find_next(m, p, gaps_of(m, i)[p.pos])
    else:
        if p.traffic == RENEWAL:
            p.next_arrival = p.epoch
        p.cycle_ns = p.epoch + p.period_ns  # for traces: the offset of the first minute
        p.seg = -1
        p.left = 0
        find_next(m, p, gaps_of(m, i)[p.pos])
        while p.next_arrival < now:
            step_source(m, p, i)
