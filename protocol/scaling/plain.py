"""The rules that keep no history: `per_request` and `fixed`."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from protocol.scaling.layout import (
    DESIRED,
    MAX_REPLICAS,
    MIN_REPLICAS,
    NEXT_NS,
    PENDING_CEILING_M,
    STATE_LENGTH,
)
from protocol.units import NEVER_NS


def per_request(
    state: MutableSequence[int], params: Sequence[int], now_ns: int, pending_m: int, ready: int
) -> int:
    """One request a replica, the FaaS model: a replica for each pending request, none taken away here.

    The caller calls at every arrival, serves with the newest idle replica, and ends a replica that was idle
    for `params[PER_REQUEST_EXPIRY_NS]`, except the last `params[MIN_REPLICAS]`.
    """
    needed = (min(pending_m, PENDING_CEILING_M) + 999) // 1000
    desired = min(max(needed, ready, params[MIN_REPLICAS]), params[MAX_REPLICAS])
    state[NEXT_NS] = NEVER_NS
    state[DESIRED] = desired
    return desired


def per_request_start(state: MutableSequence[int], now_ns: int) -> None:
    """Fills `state` for `per_request`; the rule is due at once, for the fewest replicas."""
    for index in range(STATE_LENGTH):
        state[index] = 0
    state[NEXT_NS] = now_ns


def fixed(state: MutableSequence[int], params: Sequence[int], now_ns: int, pending_m: int, ready: int) -> int:
    """Always as many."""
    state[NEXT_NS] = NEVER_NS
    state[DESIRED] = params[MIN_REPLICAS]
    return params[MIN_REPLICAS]


def fixed_start(state: MutableSequence[int], now_ns: int) -> None:
    """Fills `state` for `fixed`; the rule is due at once."""
    for index in range(STATE_LENGTH):
        state[index] = 0
    state[NEXT_NS] = now_ns
