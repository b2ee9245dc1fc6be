"""The rule `kpa`: Knative's pod autoscaler."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from protocol.scaling.layout import (
    DESIRED,
    KPA_AREA_M_US,
    KPA_BUCKET_US,
    KPA_DOWN_PERMILLE,
    KPA_FIRST,
    KPA_GRACE_NS,
    KPA_LAST,
    KPA_LAST_US,
    KPA_PANIC_FIRST,
    KPA_PANIC_NS,
    KPA_PANIC_PERMILLE,
    KPA_PANIC_PODS,
    KPA_PANIC_SLOTS,
    KPA_STABLE_SLOTS,
    KPA_TARGET_M,
    KPA_TICK_NS,
    KPA_UP_PERMILLE,
    KPA_ZERO_NS,
    MAX_REPLICAS,
    MIN_REPLICAS,
    NEXT_NS,
    ORIGIN_NS,
    PENDING_CEILING_M,
    RING,
    STATE_LENGTH,
    TICK,
)
from protocol.units import NEVER_NS


def kpa(state: MutableSequence[int], params: Sequence[int], now_ns: int, pending_m: int, ready: int) -> int:
    """Knative's autoscaler on concurrency.

    Every tick since start, while above zero, the mean pending of the tick is recorded. Then, as `Scale` of
    knative/serving/pkg/autoscaler/scaling/autoscaler.go: the stable and the panic window each propose
    ceil(average / target), kept between floor(ready / down rate) and ceil(ready × up rate); a panic begins
    when the panic window's proposal reaches the threshold × ready, lasts until the stable window has passed
    without that, and never lowers the answer. Zero is answered at the first tick at which it has been asked
    for during the grace period; until then 1. At zero the rule sleeps; a request is answered at once.

    A window without data for its whole length starts afresh and its average divides by the buckets since, as
    pkg/autoscaler/aggregation/bucketing.go does. Two choices of ours: a bucket is a tick, not a second, and
    an average is rounded up to a thousandth of a request, so that the least activity is not zero.
    """
    low = params[MIN_REPLICAS]
    top = params[MAX_REPLICAS]
    tick_ns = params[KPA_TICK_NS]
    stable_slots = params[KPA_STABLE_SLOTS]
    panic_slots = params[KPA_PANIC_SLOTS]
    origin_ns = state[ORIGIN_NS]
    now_us = now_ns // 1000
    current = state[DESIRED]
    value = min(pending_m, PENDING_CEILING_M)
    bucket = (now_ns - origin_ns) // tick_ns
    first_new = state[TICK]  # buckets first_new <= number < first_after are recorded now
    first_after = first_new

    if current == 0:
        if value == 0 and low == 0:
            state[NEXT_NS] = NEVER_NS
            return 0
        # The activator reports what it holds and pokes the autoscaler. The bucket holds this value until its
        # mean is known.
        state[KPA_BUCKET_US] = now_us
        state[KPA_AREA_M_US] = 0
        first_new = bucket
        first_after = bucket + 1
    else:
        state[KPA_AREA_M_US] += value * (now_us - state[KPA_LAST_US])
        if bucket > first_new:
            span_us = now_us - state[KPA_BUCKET_US]
            value = state[RING + first_new % stable_slots]
            if span_us > 0:
                value = (state[KPA_AREA_M_US] + span_us - 1) // span_us
            state[KPA_BUCKET_US] = now_us
            state[KPA_AREA_M_US] = 0
            first_after = bucket
    state[KPA_LAST_US] = now_us
    state[TICK] = bucket
    if first_new == first_after:  # between two ticks
        return current

    last = state[KPA_LAST]
    if last < 0 or first_new - last >= stable_slots:
        state[KPA_FIRST] = first_new
    if last < 0 or first_new - last >= panic_slots:
        state[KPA_PANIC_FIRST] = first_new
    for number in range(max(last + 1, first_new - stable_slots + 1), first_new):
        state[RING + number % stable_slots] = 0
    for number in range(max(first_new, first_after - stable_slots), first_after):
        state[RING + number % stable_slots] = value
    last = first_after - 1
    state[KPA_LAST] = last

    stable_count = min(last - state[KPA_FIRST] + 1, stable_slots)
    panic_count = min(last - state[KPA_PANIC_FIRST] + 1, panic_slots)
    stable_sum = 0
    panic_sum = 0
    for age in range(stable_count):
        mean = state[RING + (last - age) % stable_slots]
        stable_sum += mean
        if age < panic_count:
            panic_sum += mean
    stable_m = (stable_sum + stable_count - 1) // stable_count
    panic_m = (panic_sum + panic_count - 1) // panic_count

    target_m = params[KPA_TARGET_M]
    pods = max(1, ready)
    most = (pods * params[KPA_UP_PERMILLE] + 999) // 1000
    least = pods * 1000 // params[KPA_DOWN_PERMILLE]
    by_stable = (stable_m + target_m - 1) // target_m
    by_panic = (panic_m + target_m - 1) // target_m
    over = by_panic * 1000 >= params[KPA_PANIC_PERMILLE] * pods
    by_stable = min(max(by_stable, least), most)
    by_panic = min(max(by_panic, least), most)
    if over:
        state[KPA_PANIC_NS] = now_ns
    elif state[KPA_PANIC_NS] != NEVER_NS and now_ns - state[KPA_PANIC_NS] > stable_slots * tick_ns:
        state[KPA_PANIC_NS] = NEVER_NS
        state[KPA_PANIC_PODS] = 0
    desired = by_stable
    if state[KPA_PANIC_NS] != NEVER_NS:
        desired = max(by_stable, by_panic, state[KPA_PANIC_PODS])
        state[KPA_PANIC_PODS] = desired

    if desired > 0:
        state[KPA_ZERO_NS] = NEVER_NS
    else:
        if state[KPA_ZERO_NS] == NEVER_NS:
            state[KPA_ZERO_NS] = now_ns
        if now_ns - state[KPA_ZERO_NS] < params[KPA_GRACE_NS]:
            desired = 1
    desired = min(max(desired, low), top)
    state[DESIRED] = desired
    state[NEXT_NS] = NEVER_NS
    if desired > 0:
        state[NEXT_NS] = origin_ns + (bucket + 1) * tick_ns
    return desired


def kpa_start(state: MutableSequence[int], now_ns: int) -> None:
    """Fills `state` for `kpa` from `now_ns` on, at zero replicas; the rule is due at once."""
    for index in range(STATE_LENGTH):
        state[index] = 0
    state[NEXT_NS] = now_ns
    state[ORIGIN_NS] = now_ns
    state[KPA_LAST_US] = now_ns // 1000
    state[KPA_BUCKET_US] = now_ns // 1000
    state[KPA_LAST] = -1
    state[KPA_PANIC_NS] = NEVER_NS
    state[KPA_ZERO_NS] = NEVER_NS
