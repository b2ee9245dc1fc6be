"""A window of request counts: the average that scaling by request rate (`scalingMetric: requestRate`) uses.

The windows of KEDA's HTTP add-on (kedacore/http-add-on, pkg/queue/bucketing.go) and of Knative (serving,
pkg/autoscaler/aggregation/bucketing.go), which differ in one point: while nothing was written for a part of
the window, KEDA still divides by all buckets since the first write, Knative only by the remaining ones. An
average is requests a bucket, so a rate a second with buckets of 1 s. Numeric, as the rules are.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final

from protocol.units import NS_PER_S

RATE_LAST: Final = 0  # number (instant // granularity) of the newest bucket written; -1: none
RATE_FIRST: Final = 1  # number of the first bucket written since the window was last empty
RATE_BUCKETS: Final = 2
RATE_BUCKETS_CEILING: Final = 60
RATE_STATE_LENGTH: Final = RATE_BUCKETS + RATE_BUCKETS_CEILING

RATE_WINDOW_BUCKETS: Final = 60  # HTTPScaledObject's default `window: 1m`
RATE_GRANULARITY_NS: Final = NS_PER_S  # HTTPScaledObject's default `granularity: 1s`


def rate_window_start(state: MutableSequence[int]) -> None:
    """Empties a window: `state` has `RATE_STATE_LENGTH` int64."""
    for index in range(RATE_STATE_LENGTH):
        state[index] = 0
    state[RATE_LAST] = -1


def rate_window_record(
    state: MutableSequence[int], buckets: int, granularity_ns: int, now_ns: int, count: int
) -> None:
    """Counts `count` requests at `now_ns` in a window of `buckets` (1 to 60); instants never go back."""
    bucket = now_ns // granularity_ns
    last = state[RATE_LAST]
    if last < 0 or bucket - last >= buckets:
        state[RATE_FIRST] = bucket
    if bucket > last:
        for number in range(max(last + 1, bucket - buckets + 1), bucket + 1):
            state[RATE_BUCKETS + number % buckets] = 0
        state[RATE_LAST] = bucket
    state[RATE_BUCKETS + bucket % buckets] += count


def rate_window_average(
    state: MutableSequence[int], buckets: int, granularity_ns: int, now_ns: int, remaining_only: bool
) -> int:
    """Thousandths of a request a bucket over the window that ends at `now_ns`, rounded half up as both do.

    `remaining_only`: False divides as KEDA does, True as Knative does.
    """
    bucket = now_ns // granularity_ns
    last = state[RATE_LAST]
    if last < 0 or bucket - last >= buckets:
        return 0
    divisor = min(last - state[RATE_FIRST] + 1, buckets)
    if remaining_only:
        divisor = min(divisor, buckets - (bucket - last))
    total = 0
    for number in range(max(state[RATE_FIRST], bucket - buckets + 1), last + 1):
        total += state[RATE_BUCKETS + number % buckets]
    return (2000 * total + divisor) // (2 * divisor)
