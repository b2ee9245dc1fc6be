"""Where each number of the rules' `state` and `params` arrays is, and the bounds of the inputs."""

from __future__ import annotations

from typing import Final

# ---- params ----
PARAMS_LENGTH: Final = 10
MIN_REPLICAS: Final = 0  # every rule
MAX_REPLICAS: Final = 1  # every rule
KEDA_TARGET_M: Final = 2  # pending requests a replica [thousandths]
KEDA_PERIOD_NS: Final = 3
KEDA_TOLERANCE_PERMILLE: Final = 4
KEDA_UP_ADD: Final = 5
KEDA_UP_TIMES: Final = 6
KEDA_DOWN_SLOTS: Final = 7  # stabilization window, in periods
KEDA_COOLDOWN_NS: Final = 8
KPA_TARGET_M: Final = 2  # target × utilisation: requests a replica [thousandths]
KPA_TICK_NS: Final = 3
KPA_STABLE_SLOTS: Final = 4  # stable window, in ticks
KPA_PANIC_SLOTS: Final = 5  # panic window, in ticks
KPA_PANIC_PERMILLE: Final = 6
KPA_UP_PERMILLE: Final = 7
KPA_DOWN_PERMILLE: Final = 8
KPA_GRACE_NS: Final = 9
PER_REQUEST_EXPIRY_NS: Final = 2  # idle time after which the caller ends a replica

# ---- state ----
NEXT_NS: Final = 0  # every rule: when it must be called next [Unix ns]
DESIRED: Final = 1  # every rule: its last answer
ORIGIN_NS: Final = 2  # keda, kpa: the instant of start; ticks are at ORIGIN_NS + k × period
TICK: Final = 3  # keda: number of the last tick decided or skipped; kpa: number of the bucket that is filling
KEDA_LAST_ACTIVE_NS: Final = 4  # last arrival, completion, or call with something pending
KPA_LAST_US: Final = 4  # the previous call [µs]
KPA_BUCKET_US: Final = 5  # since when the filling bucket fills [µs]
KPA_AREA_M_US: Final = 6  # its integral [thousandths of a request × µs]
KPA_LAST: Final = 7  # number of the newest bucket recorded (-1: none)
KPA_FIRST: Final = 8  # oldest bucket that may count for the stable window
KPA_PANIC_FIRST: Final = 9  # oldest bucket that may count for the panic window
KPA_PANIC_NS: Final = 10  # last instant over the panic threshold (NEVER_NS: not in panic)
KPA_PANIC_PODS: Final = 11  # the most replicas asked for in this panic
KPA_ZERO_NS: Final = 12  # since when zero is asked for (NEVER_NS: it is not)
RING: Final = 13  # keda: proposals by tick number; kpa: mean pending by bucket number
RING_LENGTH: Final = 30  # kpa's 60 s at 2 s; keda needs 20 (300 s at 15 s)
STATE_LENGTH: Final = RING + RING_LENGTH

# ---- bounds, so that no product leaves int64 ----
REPLICAS_CEILING: Final = 100_000
TARGET_CEILING_M: Final = 1_000_000_000  # a million requests a replica
TICK_CEILING_NS: Final = 3_600_000_000_000  # 1 h
TIME_CEILING_NS: Final = 3_155_760_000_000_000_000  # 100 years of 365.25 days
PENDING_CEILING_M: Final = 100_000_000_000  # more counts as this; × kpa's longest tick (6e7 µs) is 6e18
