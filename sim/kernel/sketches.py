"""Latency sketches: counts of time spans in buckets of equal relative width.

A span's bucket is the top bits of its float64 pattern: 64 buckets an octave from 2^14 ns (16 µs) to 2^44 ns
(4.9 h); shorter and longer ones count in the end buckets. A quantile is a bucket's middle, so within that
range it is off by at most 0.8 % of the value. Sketches add.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput
from sim.kernel.state import BUCKET_SHIFT, BUCKETS, FIRST_BUCKET, OCTAVES, PAGE

__all__ = [
    "BUCKETS",
    "EDGES_NS",
    "FIRST_BUCKET",
    "Sketch",
    "count",
    "empty",
    "gathered",
    "mean_ns",
    "merge",
    "quantile_ns",
]

Sketch = npt.NDArray[np.int64]

EDGES_NS: npt.NDArray[np.float64] = (
    (np.arange(BUCKETS + 1, dtype=np.int64) + FIRST_BUCKET) << BUCKET_SHIFT
).view(np.float64)
"""Bucket i counts spans from EDGES_NS[i] up to EDGES_NS[i + 1] [ns]."""


def gathered(octaves: npt.NDArray[np.int32], pages: npt.NDArray[np.int64]) -> Sketch:
    """A sketch that is kept in pages (see `recording`), in one piece.

    Args:
        octaves: the page of each octave; -1: none.
        pages: the counts of every page.
    """
    counts = np.zeros((OCTAVES, PAGE), np.int64)
    kept = octaves >= 0
    counts[kept] = pages[octaves[kept]]
    return counts.reshape(-1)[:BUCKETS]


def empty() -> Sketch:
    """A sketch of nothing."""
    return np.zeros(BUCKETS, np.int64)


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of everything in `sketches`."""
    total = empty()
    for sketch in sketches:
        total += sketch
    return total


def count(sketch: Sketch) -> int:
    """How many spans it holds."""
    return int(sketch.sum())


def quantile_ns(sketch: Sketch, prob: float) -> float | None:
    """The `prob`-quantile [ns], within 0.8 %; None when the sketch is empty.

    Args:
        sketch: counts by bucket.
        prob: in [0, 1].
    """
    if not 0.0 <= prob <= 1.0:
        raise BadInput(f"prob {prob}: from 0 to 1")
    total = count(sketch)
    if total == 0:
        return None
    rank = min(max(int(np.ceil(prob * total)), 1), total)
    bucket = int(np.searchsorted(np.cumsum(sketch), rank))
    return float(EDGES_NS[bucket] + EDGES_NS[bucket + 1]) / 2


def mean_ns(sketch: Sketch) -> float | None:
    """The mean of bucket middles [ns], within 0.8 %; None when the sketch is empty."""
    total = count(sketch)
    if total == 0:
        return None
    return float(sketch @ ((EDGES_NS[:-1] + EDGES_NS[1:]) / 2)) / total
