"""A figure that independent replications give, and its known value; for tests that are not rows of the table.

It must lie within 4.5 standard errors of the known value (a right kernel fails one such check in 150,000), and
the standard errors must be small enough that a wrong one would be seen.
"""

from __future__ import annotations

import statistics
from typing import Final

Z: Final = 4.5
RUNS: Final = 24


def agrees(values: list[float], known: float, sharpness: float) -> None:
    """Within Z standard errors of `known`, which are at most `sharpness` of it."""
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / len(values) ** 0.5
    assert Z * error <= sharpness * known, f"too blunt: {mean} +- {error}, known {known}"
    assert abs(mean - known) <= Z * error, f"{mean} +- {error}, known {known}"
