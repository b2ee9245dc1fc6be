"""The kernel's state: record layouts, numbers, and how compiled code reaches the arrays.

Everything a plane knows is in structured arrays that Python owns. Compiled code gets one record, `META`,
which holds their addresses and sizes; so a call costs a fraction of a microsecond and arrays can grow
between calls. Times are int64 Unix nanoseconds. Integrals are kept as differences of absolute times in
wrapping int64: acc -= t when something begins, acc += t when it ends, and the integral at `now` is
acc + count * now. That is exact while the integral itself is below 2^63 (292 replica-years).
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from protocol import scaling

NEVER: Final = 2**63 - 1
WORD: Final = 2**64 - 1  # x & WORD is an integral that wrapped, as Python's int
FAR_NS: Final = 10**18  # longest duration a draw may give: 31 years

# What the entry point answers.
DONE: Final = 0
FULL: Final = 1  # stopped before an event for want of room; enlarge and call again

# What the entry point is asked.
ADVANCE: Final = 0
START_SOURCE: Final = 1
REFILL: Final = 2
EVICT: Final = 3
CRASH: Final = 4
RESTORE: Final = 5
REPLACE: Final = 6
REKEY: Final = 7
FORGET: Final = 8

# Classes of events, in the order in which they happen at equal instants. Within a class: by pod_index or
# node number. RUN_AHEAD is no event: a pod that shares nothing now runs its own events ahead first.
RUN_AHEAD: Final = 0
COMPLETION: Final = 1
PULL_END: Final = 2
STAGE: Final = 3  # a replica's next stage: placed → pulling → decrypting → starting → ready
ARRIVAL: Final = 4
EXPIRY: Final = 5  # per_request: the longest idle replica's time is over
DEADLINE: Final = 6  # the first held request gives up
TICK: Final = 7  # the scaling rule is due
APPLY: Final = 8  # what the rule wants is carried out
CLASS_SHIFT: Final = 40  # order = class << 40 | id

# A pod's status.
ABSENT: Final = 0
DEPLOYED: Final = 1
STOPPED: Final = 2  # suspended

# Policies, disciplines, dispatch, traffic.
KEDA: Final = 0
KPA: Final = 1
PER_REQUEST: Final = 2
FIXED: Final = 3
SLOTS: Final = 0
SHARING: Final = 1
LEAST: Final = 0
CENTRAL: Final = 1
RANDOM: Final = 2
ROUND_ROBIN: Final = 3
POISSON: Final = 0
MMPP: Final = 1
TRACE_UNIFORM: Final = 2
TRACE_EVEN: Final = 3
TRACE_BURSTY: Final = 4
REPLAY: Final = 5

# Stages of a replica.
UNPLACED: Final = 0
SCHEDULING: Final = 1
PULLING: Final = 2
DECRYPTING: Final = 3
STARTING: Final = 4
READY: Final = 5
DRAINING: Final = 6

# Kinds of transition rows.
REPLICAS_ROW: Final = 0
BYTES_ROW: Final = 1

SOURCE_FIELDS: Final = (
    ("next_arrival", "i8"), ("index", "i8"), ("seg", "i8"), ("seg_end", "i8"), ("cycle_ns", "i8"),
    ("sojourn", "i8"), ("left", "i8"), ("burst", "i8"), ("rate", "f8"), ("x", "f8"),
)  # fmt: skip
"""Where a pod's arrivals stand: all that is needed to go on elsewhere."""

# fmt: off
POD = np.dtype([
    # The first lines are what every request touches.
    ("next_arrival", "i8"), ("done_ns", "i8"), ("rare_ns", "i8"), ("rare_class", "i8"),
    ("pos", "i8"), ("index", "i8"), ("rate", "f8"), ("seg_end", "i8"),
    ("root", "i8"), ("n_ready", "i8"), ("ready_head", "i8"), ("held_head", "i8"),
    ("n_held", "i8"), ("n_queued", "i8"), ("n_service", "i8"), ("n_busy", "i8"),
    ("arrivals", "i8"), ("served", "i8"), ("wait_ns", "i8"), ("latency_ns", "i8"),
    ("i_system", "i8"), ("i_busy", "i8"), ("delayed", "i8"), ("cold", "i8"),
    ("policy", "i8"), ("status", "i8"), ("dispatch", "i8"), ("discipline", "i8"),
    ("slots", "i8"), ("queue_limit", "i8"), ("sample_every", "i8"), ("byte_rows", "i8"),
    ("n_drain", "i8"), ("idle_top", "i8"), ("idle_bottom", "i8"), ("desired", "i8"),
    ("traffic", "i8"), ("done_rep", "i8"), ("law_first", "i8"), ("law_service", "i8"),
    ("bytes_in", "i8"), ("bytes_out", "i8"), ("request_bytes", "i8"), ("response_bytes", "i8"),
    ("key_r0", "u4"), ("key_r1", "u4"), ("key_b0", "u4"), ("key_b1", "u4"),
    ("key_s0", "u4"), ("key_s1", "u4"), ("key_d0", "u4"), ("key_d1", "u4"),
    # Timers of the rarer events.
    ("stage_ns", "i8"), ("stage_rep", "i8"), ("expire_ns", "i8"), ("deadline_ns", "i8"),
    ("tick_ns", "i8"), ("apply_ns", "i8"), ("zero_since", "i8"), ("wait_limit", "i8"),
    # Traffic.
    ("seg", "i8"), ("cycle_ns", "i8"), ("sojourn", "i8"), ("left", "i8"), ("burst", "i8"), ("x", "f8"),
    ("epoch", "i8"), ("period_ns", "i8"), ("ints_lo", "i8"), ("floats_lo", "i8"), ("tab_n", "i8"),
    # Replicas.
    ("ordinal", "i8"), ("ready_tail", "i8"), ("other_head", "i8"), ("other_tail", "i8"), ("rr", "i8"),
    ("held_tail", "i8"), ("n_unplaced", "i8"), ("n_starting", "i8"), ("n_pulling", "i8"), ("n_billed", "i8"),
    ("acc_ms", "i8"), ("i_unplaced", "i8"), ("i_starting", "i8"), ("i_ready", "i8"), ("i_drain", "i8"),
    ("kpa_area", "i8"), ("kpa_last", "i8"), ("min_replicas", "i8"), ("max_replicas", "i8"), ("idle_ns", "i8"),
    ("cpu", "i8"), ("memory", "i8"), ("gpus", "i8"), ("image_id", "i8"), ("image_bytes", "i8"),
    ("decrypt_ns", "i8"), ("law_schedule", "i8"), ("law_application", "i8"), ("starts", "i8"),
    ("pod_index", "i8"), ("heap_pos", "i8"), ("used", "i8"),
])
REPLICA = np.dtype([
    ("pod", "i8"), ("ordinal", "i8"), ("stage", "i8"), ("node", "i8"), ("prev", "i8"), ("next", "i8"),
    ("in_service", "i8"), ("queued", "i8"), ("queue_head", "i8"), ("queue_tail", "i8"), ("begun", "i8"),
    ("idle_prev", "i8"), ("idle_next", "i8"), ("in_idle", "i8"), ("idle_since", "i8"), ("stage_end", "i8"),
    ("billed", "i8"), ("pull", "i8"), ("link_prev", "i8"), ("link_next", "i8"),  # pending list or pull's waiters
    ("root", "i8"), ("v_last", "i8"), ("next_ns", "i8"), ("v", "f8"),  # processor sharing
    ("cpu", "i8"), ("memory", "i8"), ("gpus", "i8"),  # what it holds on its node
])
REQUEST = np.dtype([
    ("arrival", "i8"), ("start", "i8"), ("end", "i8"), ("demand", "i8"), ("index", "i8"),
    ("replica", "i4"), ("next", "i4"), ("child", "i4"), ("sibling", "i4"), ("cold", "i4"), ("pad", "i4"),
])
NODE = np.dtype([
    ("cpu_free", "i8"), ("memory_free", "i8"), ("gpus_free", "i8"), ("cpu", "i8"), ("memory", "i8"),
    ("gpus", "i8"), ("up", "i8"), ("bandwidth", "i8"), ("cache_bytes", "i8"), ("cache_used", "i8"),
    ("cache_head", "i8"), ("stamp", "i8"), ("pull_head", "i8"), ("n_pulls", "i8"), ("v", "f8"),
    ("v_last", "i8"), ("next_ns", "i8"), ("heap_pos", "i8"),
])
PULL = np.dtype([
    ("node", "i8"), ("image", "i8"), ("bytes", "i8"), ("target", "f8"), ("next", "i8"), ("waiters", "i8"),
])
CACHED = np.dtype([("image", "i8"), ("bytes", "i8"), ("stamp", "i8"), ("next", "i8")])
HEAP = np.dtype([("ns", "i8"), ("order", "i8"), ("entity", "i8")])  # entity: pod >= 0, node n as -n - 1
LAW = np.dtype([("code", "i8"), ("a", "f8"), ("b", "f8"), ("lo", "i8"), ("n", "i8")])
TRANSITION = np.dtype([("t_ns", "i8"), ("pod_index", "i8"), ("kind", "i8"), ("a", "i8"), ("b", "i8")])
SAMPLE = np.dtype([
    ("pod_index", "i8"), ("index", "i8"), ("arrival_ns", "i8"), ("start_ns", "i8"), ("end_ns", "i8"),
    ("outcome", "i8"), ("cold", "i8"), ("replica", "i8"),
])
ARRAYS: Final = (
    "pods", "replicas", "requests", "nodes", "pulls", "cached", "heap", "laws", "rows", "samples", "pages",
)
META = np.dtype([
    *((f"{name}_at", "i8") for name in ARRAYS), *((f"{name}_n", "i8") for name in ARRAYS),
    ("states_at", "i8"), ("params_at", "i8"), ("gaps_at", "i8"), ("demands_at", "i8"), ("fails_at", "i8"),
    ("sketches_at", "i8"), ("cold_at", "i8"), ("ints_at", "i8"), ("floats_at", "i8"), ("ints_n", "i8"),
    ("floats_n", "i8"), ("block", "i8"), ("heap_used", "i8"), ("rows_used", "i8"), ("samples_used", "i8"),
    ("request_free", "i8"), ("replica_free", "i8"), ("replica_free_n", "i8"), ("pull_free", "i8"),
    ("cached_free", "i8"), ("page_free", "i8"), ("pend_head", "i8"), ("pend_tail", "i8"), ("isolated", "i8"),
    ("wanted", "i8"),
])
# fmt: on

OUTCOME_COUNT: Final = 8
ROW_MARGIN: Final = 64  # more rows than any one event but APPLY can write
BUCKET_SHIFT: Final = 46  # 6 of the 52 mantissa bits: 64 buckets an octave
FIRST_BUCKET: Final = (1023 + 14) << 6  # 2^14 ns = 16 µs; less counts as this
BUCKETS: Final = (44 - 14) * 64 + 1  # up to 2^44 ns = 4.9 h; more counts as the last
PAGE: Final = 64  # buckets of one octave, which a sketch of cold requests is kept in pages of
OCTAVES: Final = -(-BUCKETS // PAGE)


def inner(function: Any) -> Any:
    """Compiles a function of the kernel into whoever calls it; Python cannot call it, which halves the work."""
    return numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def inline(function: Any) -> Any:
    """As `inner`, for what every request passes through: LLVM must merge it into its caller."""
    return numba.njit(nogil=True, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    signature = types.voidptr(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return signature, generate


@inline
def plane_at(address):  # type: ignore[no-untyped-def]
    """The `META` record of the plane whose address is this."""
    return carray(_pointer(address), (1,), META)[0]


@inline
def pods_of(m):  # type: ignore[no-untyped-def]
    """Every pod."""
    return carray(_pointer(m.pods_at), (m.pods_n,), POD)


@inline
def replicas_of(m):  # type: ignore[no-untyped-def]
    """Every replica."""
    return carray(_pointer(m.replicas_at), (m.replicas_n,), REPLICA)


@inline
def requests_of(m):  # type: ignore[no-untyped-def]
    """Every request in the system."""
    return carray(_pointer(m.requests_at), (m.requests_n,), REQUEST)


@inline
def nodes_of(m):  # type: ignore[no-untyped-def]
    """Every node."""
    return carray(_pointer(m.nodes_at), (m.nodes_n,), NODE)


@inline
def pulls_of(m):  # type: ignore[no-untyped-def]
    """Every image pull."""
    return carray(_pointer(m.pulls_at), (m.pulls_n,), PULL)


@inline
def cached_of(m):  # type: ignore[no-untyped-def]
    """Every cached image."""
    return carray(_pointer(m.cached_at), (m.cached_n,), CACHED)


@inline
def heap_of(m):  # type: ignore[no-untyped-def]
    """The order of shared events."""
    return carray(_pointer(m.heap_at), (m.heap_n,), HEAP)


@inline
def laws_of(m):  # type: ignore[no-untyped-def]
    """The laws that pods name."""
    return carray(_pointer(m.laws_at), (m.laws_n,), LAW)


@inline
def rows_of(m):  # type: ignore[no-untyped-def]
    """Transition rows not yet taken."""
    return carray(_pointer(m.rows_at), (m.rows_n,), TRANSITION)


@inline
def samples_of(m):  # type: ignore[no-untyped-def]
    """Sampled requests not yet taken."""
    return carray(_pointer(m.samples_at), (m.samples_n,), SAMPLE)


@inline
def ints_of(m):  # type: ignore[no-untyped-def]
    """The table of whole numbers: instants and counts of traffic."""
    return carray(_pointer(m.ints_at), (m.ints_n,), np.int64)


@inline
def floats_of(m):  # type: ignore[no-untyped-def]
    """The table of real numbers: rates, and points of empirical laws."""
    return carray(_pointer(m.floats_at), (m.floats_n,), np.float64)


@inline
def gaps_of(m, i):  # type: ignore[no-untyped-def]
    """Pod i's block of inter-arrival draws."""
    return carray(_pointer(m.gaps_at + i * m.block * 8), (m.block,), np.float64)


@inline
def demands_of(m, i):  # type: ignore[no-untyped-def]
    """Pod i's block of service demands [ns]."""
    return carray(_pointer(m.demands_at + i * m.block * 8), (m.block,), np.int64)


@inline
def fails_of(m, i):  # type: ignore[no-untyped-def]
    """Pod i's failed requests by outcome."""
    return carray(_pointer(m.fails_at + i * (OUTCOME_COUNT * 8)), (OUTCOME_COUNT,), np.int64)


@inline
def sketch_of(m, i):  # type: ignore[no-untyped-def]
    """Pod i's latency sketch."""
    return carray(_pointer(m.sketches_at + i * (BUCKETS * 8)), (BUCKETS,), np.int64)


@inline
def cold_of(m, i):  # type: ignore[no-untyped-def]
    """The page of each octave of pod i's sketch of cold requests; -1: nothing fell into it."""
    return carray(_pointer(m.cold_at + i * (OCTAVES * 4)), (OCTAVES,), np.int32)


@inline
def pages_of(m):  # type: ignore[no-untyped-def]
    """The counts of every page."""
    return carray(_pointer(m.pages_at), (m.pages_n, PAGE), np.int64)


@inline
def state_of(m, i):  # type: ignore[no-untyped-def]
    """What pod i's scaling rule remembers."""
    return carray(_pointer(m.states_at + i * (scaling.STATE_LENGTH * 8)), (scaling.STATE_LENGTH,), np.int64)


@inline
def params_of(m, i):  # type: ignore[no-untyped-def]
    """The parameters of pod i's scaling rule."""
    return carray(_pointer(m.params_at + i * (scaling.PARAMS_LENGTH * 8)), (scaling.PARAMS_LENGTH,), np.int64)
