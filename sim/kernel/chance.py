"""Draws in compiled code: the uniforms of `draws`, and durations by the laws that pods name."""

from __future__ import annotations

import numpy as np
from numba import uint32, uint64

from sim import laws
from sim.kernel import draws
from sim.kernel.state import FAR_NS, floats_of, inline, inner, laws_of

_M0 = np.uint64(draws.MULTIPLIER_0)
_M1 = np.uint64(draws.MULTIPLIER_1)
_W0 = np.uint32(draws.WEYL_0)
_W1 = np.uint32(draws.WEYL_1)
_ROUNDS = draws.ROUNDS
_GRID = draws.GRID
_EMPIRICAL = laws.EMPIRICAL

quantile_of = inner(laws.quantile_of)


@inline
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """See `draws.philox`: the same block, compiled. All words are uint32."""
    for _ in range(_ROUNDS):
        p0 = _M0 * uint64(c0)
        p1 = _M1 * uint64(c2)
        n0 = uint32(p1 >> uint64(32)) ^ c1 ^ k0
        n2 = uint32(p0 >> uint64(32)) ^ c3 ^ k1
        c0, c1, c2, c3 = n0, uint32(p1), n2, uint32(p0)
        k0 = uint32(k0 + _W0)
        k1 = uint32(k1 + _W1)
    return c0, c1, c2, c3


@inline
def uniforms(k0, k1, index):  # type: ignore[no-untyped-def]
    """See `draws.uniforms`."""
    i = uint64(index)
    zero = uint32(0)
    a, b, c, d = philox(uint32(i), uint32(i >> uint64(32)), zero, zero, k0, k1)
    first = ((uint64(a) << uint64(32)) | uint64(b)) >> uint64(12)
    second = ((uint64(c) << uint64(32)) | uint64(d)) >> uint64(12)
    return (float(first) + 0.5) * _GRID, (float(second) + 0.5) * _GRID


@inner
def _empirical(points, lo, n, u):  # type: ignore[no-untyped-def]
    """See `laws.Empirical.quantile`; points are n probabilities, then n values."""
    for j in range(1, n):
        q = points[lo + j]
        if u < q:
            p = points[lo + j - 1]
            v = points[lo + n + j - 1]
            return v + (points[lo + n + j] - v) * ((u - p) / (q - p))
    return points[lo + 2 * n - 1]


@inner
def duration_ns(m, law, u):  # type: ignore[no-untyped-def]
    """Draw of law number `law` at probability `u`, in whole nanoseconds."""
    entry = laws_of(m)[law]
    if entry.code == _EMPIRICAL:
        value = _empirical(floats_of(m), entry.lo, entry.n, u)
    else:
        value = quantile_of(entry.code, entry.a, entry.b, u)
    value *= 1e9
    if value > FAR_NS:
        return FAR_NS
    return int(value + 0.5)
