"""Draws in compiled code: the uniforms of `draws`, and durations by the laws that pods name."""

from __future__ import annotations

import numpy as np
from numba import uint64
from numba.extending import register_jitable

from sim import laws
from sim.kernel import draws
from sim.kernel.state import FAR_NS, floats_of, inline, inner, laws_of

_M0 = np.uint64(draws.MULTIPLIER_0)
_M1 = np.uint64(draws.MULTIPLIER_1)
_W0 = np.uint64(draws.WEYL_0)
_W1 = np.uint64(draws.WEYL_1)
_LOW = np.uint64(draws.MASK)
_HALF = np.uint64(32)
_DROP = np.uint64(12)
_ROUNDS = draws.ROUNDS
_EMPIRICAL = laws.EMPIRICAL
_MANTISSA = np.uint64((1 << 52) - 1)
_ONE = np.uint64(0x3FF << 52)  # the bits of 1.0
_LEAST = np.uint64(0x3FE6A09E667F3BCD)  # of sqrt(1/2)
_TWO_52 = np.uint64(0x433 << 52)  # of 2^52: put under a whole number it makes a float of it
_MIDDLE = 2.0**-53

for _part in (laws.log_of, laws.log_near_one):
    register_jitable(_part)  # what laws call may be called in compiled code
quantile_of = inner(laws.quantile_of)
log_near_one = inline(laws.log_near_one)


@inline
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """See `draws.philox`: the same block, compiled. All words are uint64 below 2^32, as vector code wants them."""
    for _ in range(_ROUNDS):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inline
def _unit(high, low):  # type: ignore[no-untyped-def]
    """Two words as a uniform (n + 1/2) / 2^52: n becomes the mantissa of a float from 1 to 2."""
    n = ((high << _HALF) | low) >> _DROP
    return (np.uint64(n | _ONE).view(np.float64) - 1.0) + _MIDDLE


@inline
def uniforms(k0, k1, index):  # type: ignore[no-untyped-def]
    """See `draws.uniforms`."""
    i = uint64(index)
    zero = uint64(0)
    k = uint64(k1)
    flip = k >> _HALF
    a, b, c, d = philox(i & _LOW, i >> _HALF, zero, zero, uint64(k0), k & _LOW)
    return _unit(a ^ flip, b ^ flip), _unit(c ^ flip, d ^ flip)


@inline
def log_of(x):  # type: ignore[no-untyped-def]
    """See `laws.log_of`: the same bits, without a branch."""
    shifted = np.float64(x).view(np.uint64) + (_ONE - _LEAST)
    k = np.uint64((shifted >> np.uint64(52)) | _TWO_52).view(np.float64) - (2.0**52 + 1023.0)
    m = np.uint64((shifted & _MANTISSA) + _LEAST).view(np.float64)
    return log_near_one(m, k)


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
