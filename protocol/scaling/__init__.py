"""How many replicas a pod should run: the scaling rules, one text for the simulator and the live facade.

Every rule is `rule(state, params, now_ns, pending_m, ready) -> desired`: integers only, and no call of another
function, so that `numba.njit(rule)` compiles it as it stands and CPython runs it on a list.

- `state`: `STATE_LENGTH` int64, filled by the rule's `*_start`; `state[NEXT_NS]` is the instant [Unix ns] at
  which the rule must be called even if nothing happens (`NEVER_NS`: none), `state[DESIRED]` its last answer.
- `params`: `PARAMS_LENGTH` int64, made by the rule's `*_params`.
- `pending_m`: pending requests (held + queued + in service) in thousandths of a request, rounded up.
  `keda`, `per_request`: the value at `now_ns`. `kpa`: the mean since the previous call, **but the value at
  `now_ns` while its last answer is 0**, since until then nothing was pending.
- `ready`: ready replicas.

The caller calls a rule at `state[NEXT_NS]`, and at once whenever something is pending while the answer is 0: an
arrival, or one in the very instant in which `kpa`, which sees means, went to zero. Other calls are allowed and
change no later decision. `now_ns` never goes back. With `keda` the caller also calls
`keda_touch`, one store, at each arrival and each completion: a request that comes and goes between two calls
would not be seen otherwise. A pod without an HTTP port runs by `fixed` at max(1, min replicas).
"""

from __future__ import annotations

from protocol.scaling.hpa import (
    keda,
    keda_start,
    keda_touch,
)
from protocol.scaling.knative import (
    kpa,
    kpa_start,
)
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
    PARAMS_LENGTH,
    PENDING_CEILING_M,
    PER_REQUEST_EXPIRY_NS,
    REPLICAS_CEILING,
    RING,
    RING_LENGTH,
    STATE_LENGTH,
    TARGET_CEILING_M,
    TICK,
    TICK_CEILING_NS,
    TIME_CEILING_NS,
)
from protocol.scaling.parameters import (
    fixed_params,
    keda_params,
    kpa_params,
    per_request_params,
)
from protocol.scaling.plain import (
    fixed,
    fixed_start,
    per_request,
    per_request_start,
)
from protocol.scaling.rate import (
    RATE_BUCKETS,
    RATE_BUCKETS_CEILING,
    RATE_FIRST,
    RATE_GRANULARITY_NS,
    RATE_LAST,
    RATE_STATE_LENGTH,
    RATE_WINDOW_BUCKETS,
    rate_window_average,
    rate_window_record,
    rate_window_start,
)

__all__ = [
    "DESIRED",
    "KEDA_COOLDOWN_NS",
    "KEDA_DOWN_SLOTS",
    "KEDA_LAST_ACTIVE_NS",
    "KEDA_PERIOD_NS",
    "KEDA_TARGET_M",
    "KEDA_TOLERANCE_PERMILLE",
    "KEDA_UP_ADD",
    "KEDA_UP_TIMES",
    "KPA_AREA_M_US",
    "KPA_BUCKET_US",
    "KPA_DOWN_PERMILLE",
    "KPA_FIRST",
    "KPA_GRACE_NS",
    "KPA_LAST",
    "KPA_LAST_US",
    "KPA_PANIC_FIRST",
    "KPA_PANIC_NS",
    "KPA_PANIC_PERMILLE",
    "KPA_PANIC_PODS",
    "KPA_PANIC_SLOTS",
    "KPA_STABLE_SLOTS",
    "KPA_TARGET_M",
    "KPA_TICK_NS",
    "KPA_UP_PERMILLE",
    "KPA_ZERO_NS",
    "MAX_REPLICAS",
    "MIN_REPLICAS",
    "NEXT_NS",
    "ORIGIN_NS",
    "PARAMS_LENGTH",
    "PENDING_CEILING_M",
    "PER_REQUEST_EXPIRY_NS",
    "RATE_BUCKETS",
    "RATE_BUCKETS_CEILING",
    "RATE_FIRST",
    "RATE_GRANULARITY_NS",
    "RATE_LAST",
    "RATE_STATE_LENGTH",
    "RATE_WINDOW_BUCKETS",
    "REPLICAS_CEILING",
    "RING",
    "RING_LENGTH",
    "STATE_LENGTH",
    "TARGET_CEILING_M",
    "TICK",
    "TICK_CEILING_NS",
    "TIME_CEILING_NS",
    "fixed",
    "fixed_params",
    "fixed_start",
    "keda",
    "keda_params",
    "keda_start",
    "keda_touch",
    "kpa",
    "kpa_params",
    "kpa_start",
    "per_request",
    "per_request_params",
    "per_request_start",
    "rate_window_average",
    "rate_window_record",
    "rate_window_start",
]
