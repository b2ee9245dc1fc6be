"""The rule `keda`: the Kubernetes autoscaler (HPA) with KEDA's HTTP add-on."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from protocol.scaling.layout import (
    DESIRED,
    KEDA_COOLDOWN_NS,
    KEDA_DOWN_SLOTS,
    KEDA_LAST_ACTIVE_NS,
    KEDA_PERIOD_NS,
    KEDA_TARGET_M,
    KEDA_TOLERANCE_PERMILLE,
    KEDA_UP_ADD,
    KEDA_UP_TIMES,
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


def keda(state: MutableSequence[int], params: Sequence[int], now_ns: int, pending_m: int, ready: int) -> int:
    """HPA on an external `AverageValue` metric, with KEDA's activation and cooldown.

    From zero at once when something is pending, to max(1, min). Every period since start, above zero, as
    kubernetes/pkg/controller/podautoscaler (`GetExternalPerPodMetricReplicas`, then
    `normalizeDesiredReplicasWithBehaviors`): the proposal is ceil(pending / target), unless pending over
    (target × current replicas) is within the tolerance of 1, both ends included; going down, the highest
    proposal younger than the stabilization window counts; going up, at most max(current + 4, current × 2). To
    zero (min 0) at exactly last activity + cooldown. HPA divides by the replicas that exist
    (`scale.status.replicas`), ready or not, and a Deployment creates what it is asked for at once: so `ready`
    is not looked at.

    With the request-rate metric pass `rate_window_average` as `pending_m` with a target a second, and call
    `keda_touch` before each call at which requests are pending, or they do not count as activity.
    """
    low = max(1, params[MIN_REPLICAS])
    top = params[MAX_REPLICAS]
    period_ns = params[KEDA_PERIOD_NS]
    slots = params[KEDA_DOWN_SLOTS]
    origin_ns = state[ORIGIN_NS]
    current = state[DESIRED]
    usage = min(pending_m, PENDING_CEILING_M)
    tick = (now_ns - origin_ns) // period_ns
    last_tick = state[TICK]
    if usage > 0:
        state[KEDA_LAST_ACTIVE_NS] = now_ns
    idle_ns = state[KEDA_LAST_ACTIVE_NS] + params[KEDA_COOLDOWN_NS]

    if tick > last_tick:  # ticks that passed while at zero left no proposal
        for number in range(max(last_tick + 1, tick - slots + 1), tick + 1):
            state[RING + number % slots] = 0
        state[TICK] = tick

    if current == 0:
        if usage == 0 and params[MIN_REPLICAS] == 0:
            state[NEXT_NS] = NEVER_NS
            return 0
        desired = low  # KEDA's own step from zero, which HPA's limits do not bind
    elif params[MIN_REPLICAS] == 0 and usage == 0 and now_ns >= idle_ns:
        state[DESIRED] = 0
        state[NEXT_NS] = NEVER_NS
        return 0
    elif tick > last_tick:
        target_m = params[KEDA_TARGET_M]
        full = target_m * current
        proposal = current
        if abs(usage - full) * 1000 > params[KEDA_TOLERANCE_PERMILLE] * full:
            proposal = min((usage + target_m - 1) // target_m, top)
        state[RING + tick % slots] = proposal
        if proposal > current:
            desired = min(proposal, max(current + params[KEDA_UP_ADD], current * params[KEDA_UP_TIMES]))
        else:
            highest = proposal
            for slot in range(RING, RING + slots):
                highest = max(highest, state[slot])
            desired = min(current, highest)
    else:
        desired = current
    desired = min(max(desired, low), top)
    next_ns = origin_ns + (tick + 1) * period_ns
    if params[MIN_REPLICAS] == 0 and idle_ns < next_ns:
        next_ns = idle_ns
    state[NEXT_NS] = next_ns
    state[DESIRED] = desired
    return desired


def keda_touch(state: MutableSequence[int], now_ns: int) -> None:
    """Notes that a request arrived or ended at `now_ns`: the idle time until zero runs from here.

    It leaves `state[NEXT_NS]`: the rule wakes at the old instant at the latest, and sets it anew.
    """
    state[KEDA_LAST_ACTIVE_NS] = now_ns


def keda_start(state: MutableSequence[int], now_ns: int) -> None:
    """Fills `state` for `keda` from `now_ns` on, at zero replicas; the rule is due at once."""
    for index in range(STATE_LENGTH):
        state[index] = 0
    state[NEXT_NS] = now_ns
    state[ORIGIN_NS] = now_ns
    state[KEDA_LAST_ACTIVE_NS] = now_ns
