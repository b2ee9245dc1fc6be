"""Sequences of draws for the control plane, made many at a time by compiled code: `draws.uniforms`, one after the other."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from sim.kernel.cache import compiled, settings
from sim.kernel.chance import quantile_of, uniforms

LONGEST: Final = 64
"""Most draws that are made ahead of need, 2 KB. A stream begins with eight, and each time makes twice as many."""
PLAIN: Final = -1
"""Instead of a law's number: the uniforms themselves."""


Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


class Quantile(Protocol):
    """Anything that turns a probability into a value: every `sim.laws` law."""

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        ...


class Stream:
    """A sequence of uniforms: counters 0, 1, 2, ... of one key, both uniforms of each.

    Args:
        key: from `draws.stream_key`.
    """

    __slots__ = ("_drawn", "_key", "_ready", "_size")

    def __init__(self, key: tuple[int, int]) -> None:
        self._key = np.array(key, np.uint64)
        self._drawn = 0  # how many were taken or are ready
        self._ready: list[float] = []  # those that are, the next one last
        self._size = 4

    def next(self) -> float:
        """The next uniform in (0, 1)."""
        if not self._ready:
            self._size = min(2 * self._size, LONGEST)
            self._ready = self._made(self._drawn, self._size, PLAIN, 0.0, 0.0)[::-1].tolist()
            self._drawn += self._size
        return self._ready.pop()

    def sample(self, law: Quantile) -> float:
        """The next draw of `law`, by inversion of one uniform."""
        return law.quantile(self.next())

    def samples(self, law: Quantile, count: int) -> Floats:
        """The next `count` draws of `law`: as `sample` so often."""
        parameters: Any = getattr(law, "parameters", None)
        if parameters is None:
            return np.array([law.quantile(self.next()) for _ in range(count)])
        first = self._drawn - len(self._ready)
        self._drawn, self._ready = first + count, []
        return self._made(first, count, *parameters())

    def _made(self, first: int, count: int, code: int, a: float, b: float) -> Floats:
        """Draws number `first` and those after it, by a law of `laws.quantile_of` or `PLAIN`."""
        made = np.empty(count)
        if fill.overloads:
            fill(self._key, first, code, a, b, made)
        else:  # compiled, or read from the cache, once a process
            with settings():
                fill(self._key, first, code, a, b, made)
        return made


def _fill(key, first, code, a, b, out):  # type: ignore[no-untyped-def]
    pair = -1
    one = other = 0.0
    for k in range(len(out)):
        number = first + k
        if number >> 1 != pair:
            pair = number >> 1
            one, other = uniforms(key[0], key[1], pair)
        u = other if number & 1 else one
        out[k] = u if code == PLAIN else quantile_of(code, a, b, u)


fill: Any = compiled(_fill)
