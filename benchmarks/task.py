"""What ours and the peers are given to do, and what they say of it. Imports nothing, so that nobody's memory holds ours."""

from __future__ import annotations

from typing import Final, NamedTuple

RATE, WARM_S, COLD_S, EXPIRY_S = 0.9, 1.991, 2.244, 600.0
"""The SimFaaS workload: Poisson arrivals [1/s], exponential service warm and cold [s], idle expiry [s]."""
SERVERS: Final = 4
"""Of the M/M/c queue with the same arrivals and the warm service."""
BATCHES: Final = 20
"""Equal parts of a run, whose counts are nearly independent: what a run's sampling error is worked out from."""


class Done(NamedTuple):
    """What a run did.

    Attributes:
        requests: in all.
        batches: cold starts in each of the `BATCHES`, or the mean wait in each [s].
    """

    requests: int
    batches: list[float]
