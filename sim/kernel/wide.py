"""Whole numbers of 128 bits, exact: what int64 is too short for and Python's are too slow for.

A number is two words of 64 bits, the lower one first, in two's complement: as Arrow keeps its decimals.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.kernel.arrays import Array
from sim.kernel.cache import compiled, settings

RATE_MAX: Final = 2**64 - 1
_HALF: Final = np.uint64(32)
_LOW: Final = np.uint64(2**32 - 1)


def words(number: int) -> Array:
    """A number, from -2^127 to 2^127 - 1, as two uint64.

    Raises:
        OverflowError: it is past that.
    """
    return np.frombuffer(number.to_bytes(16, "little", signed=True), np.uint64)


def _add_up(owners, counts, bases, rates, parts, scale, sums):  # type: ignore[no-untyped-def]
    """Adds to its owner's sum, of each element, base + rate × count + floor((part 0 + part 1 × count) ÷ scale).

    Args:
        owners: int64 [n]: to whose sum it is added.
        counts: int64 [n], from 0.
        bases: uint64 [n, 2]: numbers of 128 bits.
        rates: uint64 [n].
        parts: int64 [n, 2], from 0 and less than `scale`.
        scale: from 1 to 2^31.
        sums: uint64 [owners, 2], numbers of 128 bits: is added to. Past 128 bits it wraps.
    """
    for k in range(len(owners)):
        count = counts[k]
        rest = parts[k, 1] * (count // scale) + (parts[k, 0] + parts[k, 1] * (count % scale)) // scale
        rate = rates[k]
        times = np.uint64(count)
        low = (rate & _LOW) * (times & _LOW)
        one = (rate & _LOW) * (times >> _HALF)
        other = (rate >> _HALF) * (times & _LOW)
        middle = (low >> _HALF) + (one & _LOW) + (other & _LOW)
        low = (low & _LOW) | (middle << _HALF)
        high = (rate >> _HALF) * (times >> _HALF) + (one >> _HALF) + (other >> _HALF) + (middle >> _HALF)
        high += bases[k, 1]
        for more in (np.uint64(rest), bases[k, 0], sums[owners[k], 0]):
            low += more
            high += np.uint64(low < more)  # it went round
        sums[owners[k], 0] = low
        sums[owners[k], 1] += high


_compiled: Any = compiled(_add_up)


def add_up(
    owners: Array, counts: Array, bases: Array, rates: Array, parts: Array, scale: int, sums: Array
) -> None:
    """See `_add_up`; compiled when it is first called."""
    if not _compiled.signatures:
        with settings():
            _compiled(owners, counts, bases, rates, parts, scale, sums)
        return
    _compiled(owners, counts, bases, rates, parts, scale, sums)
