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

from protocol import scaling
from sim.kernel.tables import fetcher, row_at, run_of, table_of

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
COUPLE: Final = 9

# Classes of events, in the order in which they happen at equal instants. Within a class: by pod_index or
# node number. RUN_AHEAD is no event: a pod that shares nothing now runs its own events ahead first.
RUN_AHEAD: Final = 0
COMPLETION: Final = 1
PULL_END: Final = 2
STAGE: Final = 3  # a replica's next stage: placed → pulling → decrypting → starting → ready
ARRIVAL: Final = 4
EXPIRY: Final = 5  # per_request: the longest idle replica's time is over
DEADLINE: Final = 6  # the first held request gives up
CLIENTS: Final = 7  # a client tries again, or gives up
TICK: Final = 8  # the scaling rule is due
APPLY: Final = 9  # what the rule wants is carried out
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
BURSTING: Final = 2  # slots, and some replicas may use more than they reserve
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
RENEWAL: Final = 6

# Stages of a replica.
UNPLACED: Final = 0
SCHEDULING: Final = 1
PULLING: Final = 2
DECRYPTING: Final = 3
STARTING: Final = 4
READY: Final = 5
DRAINING: Final = 6

# A request in compiled code is called by its number and, above it, its attempt: 0 for the first.
ATTEMPT_SHIFT: Final = 40
NUMBER: Final = (1 << ATTEMPT_SHIFT) - 1

# Kinds of transition rows.
REPLICAS_ROW: Final = 0
BYTES_ROW: Final = 1

SOURCE_FIELDS: Final = (
    ("next_arrival", "i8"), ("index", "i8"), ("seg", "i8"), ("seg_end", "i8"), ("cycle_ns", "i8"),
    ("sojourn", "i8"), ("left", "i8"), ("burst", "i8"), ("rate", "f8"), ("mean_gap", "f8"), ("x", "f8"),
)  # fmt: skip
"""Where a pod's arrivals stand: all that is needed to go on elsewhere."""

# fmt: off
POD = np.dtype([
    # The first lines are what every request touches.
    ("next_arrival", "i8"), ("done_ns", "i8"), ("rare_ns", "i8"), ("rare_class", "i8"),
    ("pos", "i8"), ("index", "i8"), ("mean_gap", "f8"), ("seg_end", "i8"),
    ("first", "i8"), ("last", "i8"), ("n_near", "i8"), ("root", "i8"), ("n_ready", "i8"), ("ready_head", "i8"), ("held_head", "i8"),
    ("n_held", "i8"), ("n_queued", "i8"), ("n_service", "i8"), ("n_busy", "i8"),
    ("arrivals", "i8"), ("served", "i8"), ("wait_ns", "i8"), ("latency_ns", "i8"),
    ("i_system", "i8"), ("i_busy", "i8"), ("delayed", "i8"), ("cold", "i8"),
    ("policy", "i8"), ("status", "i8"), ("dispatch", "i8"), ("discipline", "i8"),
    ("slots", "i8"), ("sketch", "i8"), ("queue_limit", "i8"), ("sample_every", "i8"), ("byte_rows", "i8"),
    ("n_drain", "i8"), ("idle_top", "i8"), ("idle_bottom", "i8"), ("desired", "i8"),
    ("traffic", "i8"), ("done_rep", "i8"), ("law_first", "i8"), ("law_service", "i8"),
    ("bytes_in", "i8"), ("bytes_out", "i8"), ("request_bytes", "i8"), ("response_bytes", "i8"),
    ("patience", "i8"), ("trip_ns", "i8"),  # how long the facade sees a client wait; to the client and back
    ("key_r0", "u8"), ("key_r1", "u8"), ("key_b0", "u8"), ("key_b1", "u8"),
    ("key_s0", "u8"), ("key_s1", "u8"), ("key_d0", "u8"), ("key_d1", "u8"),
    # Timers of the rarer events.
    ("stage_ns", "i8"), ("stage_rep", "i8"), ("expire_ns", "i8"), ("deadline_ns", "i8"),
    ("tick_ns", "i8"), ("apply_ns", "i8"), ("zero_since", "i8"), ("wait_limit", "i8"),
    # Traffic.
    ("rate", "f8"), ("seg", "i8"), ("cycle_ns", "i8"), ("sojourn", "i8"), ("left", "i8"), ("burst", "i8"), ("x", "f8"),
    ("epoch", "i8"), ("period_ns", "i8"), ("ints_lo", "i8"), ("floats_lo", "i8"), ("tab_n", "i8"),
    # Replicas.
    ("ordinal", "i8"), ("ready_tail", "i8"), ("other_head", "i8"), ("other_tail", "i8"), ("rr", "i8"),
    ("held_tail", "i8"), ("n_unplaced", "i8"), ("n_starting", "i8"), ("n_pulling", "i8"), ("n_billed", "i8"),
    ("acc_ms", "i8"), ("i_unplaced", "i8"), ("i_starting", "i8"), ("i_ready", "i8"), ("i_drain", "i8"),
    ("kpa_area", "i8"), ("kpa_last", "i8"), ("min_replicas", "i8"), ("max_replicas", "i8"), ("idle_ns", "i8"),
    ("cpu", "i8"), ("memory", "i8"), ("gpus", "i8"), ("image_id", "i8"), ("image_bytes", "i8"),
    ("decrypt_ns", "i8"), ("law_schedule", "i8"), ("law_application", "i8"), ("starts", "i8"),
    ("pod_index", "i8"), ("used", "i8"), ("cpu_limit", "i8"),
    # Clients: whoever is there, by arrival; those that will try again.
    ("line_head", "i8"), ("line_tail", "i8"), ("give_up_ns", "i8"),
    ("retries", "i8"), ("law_backoff", "i8"), ("backoff_times", "f8"), ("retry_root", "i8"), ("retry_ns", "i8"),
    ("clients_ns", "i8"), ("n_waiting", "i8"), ("retried", "i8"), ("lost", "i8"),
    ("key_t0", "u8"), ("key_t1", "u8"),
    # What it took replicas to become ready.
    ("warmed", "i8"), ("scheduling_ns", "i8"), ("pull_ns", "i8"), ("decryption_ns", "i8"), ("application_ns", "i8"),
])
REPLICA = np.dtype([
    ("pod", "i8"), ("ordinal", "i8"), ("stage", "i8"), ("node", "i8"), ("prev", "i8"), ("next", "i8"),
    ("in_service", "i8"), ("queued", "i8"), ("queue_head", "i8"), ("queue_tail", "i8"), ("begun", "i8"),
    ("idle_prev", "i8"), ("idle_next", "i8"), ("in_idle", "i8"), ("idle_since", "i8"), ("stage_end", "i8"),
    ("billed", "i8"), ("pull", "i8"), ("link_prev", "i8"), ("link_next", "i8"),  # pending list or pull's waiters
    ("root", "i8"), ("v_last", "i8"), ("next_ns", "i8"), ("v", "f8"),  # processor sharing and contention
    ("cpu", "i8"), ("memory", "i8"), ("gpus", "i8"),  # what it holds on its node
    ("cpu_limit", "i8"), ("speed", "f8"), ("mate_prev", "i8"), ("mate_next", "i8"),  # contention
    ("slots", "i8"),  # of the version that it runs
    ("since", "i8"),  # when its present stage began; then what each stage took
    ("scheduling_ns", "i8"), ("pull_ns", "i8"), ("decryption_ns", "i8"), ("application_ns", "i8"),
])
REQUEST = np.dtype([
    ("arrival", "i8"), ("start", "i8"), ("end", "i8"), ("demand", "i8"), ("index", "i8"),
    ("replica", "i4"), ("next", "i4"), ("child", "i4"), ("sibling", "i4"), ("cold", "i4"), ("pad", "i4"),
])
LINE = np.dtype([  # of a request among its pod's clients, where these have a timeout
    ("older", "i4"), ("younger", "i4"), ("gone", "i4"), ("pad", "i4"),
])
NODE = np.dtype([
    ("cpu_free", "i8"), ("memory_free", "i8"), ("gpus_free", "i8"), ("cpu", "i8"), ("memory", "i8"),
    ("gpus", "i8"), ("up", "i8"), ("bandwidth", "i8"), ("cache_bytes", "i8"), ("cache_used", "i8"),
    ("cache_head", "i8"), ("stamp", "i8"), ("pull_head", "i8"), ("n_pulls", "i8"), ("v", "f8"),
    ("v_last", "i8"), ("next_ns", "i8"), ("heap_pos", "i8"),
    ("replica_head", "i8"), ("level", "f8"),  # contention
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
    ("outcome", "i8"), ("cold", "i8"), ("replica", "i8"), ("attempt", "i8"),
    ("scheduling_ns", "i8"), ("pull_ns", "i8"), ("decryption_ns", "i8"), ("application_ns", "i8"),
])
ARRAYS: Final = (
    "pods", "replicas", "requests", "nodes", "pulls", "cached", "heap", "laws", "rows", "samples", "pages",
    "states", "places", "params", "gaps", "demands", "fails", "sketches", "cold", "ints", "floats",
    "lines",
)
COUNTED: Final = ("pods", "replicas", "nodes", "rows", "samples")  # of these the kernel knows the length

META = np.dtype([
    *((f"{name}_at", "i8") for name in ARRAYS), *((f"{name}_n", "i8") for name in COUNTED),
    ("block", "i8"), ("heap_used", "i8"), ("rows_used", "i8"), ("samples_used", "i8"), ("request_free", "i8"),
    ("replica_free", "i8"), ("replica_free_n", "i8"), ("pull_free", "i8"), ("cached_free", "i8"),
    ("page_free", "i8"), ("sketch_free", "i8"), ("pend_head", "i8"), ("pend_tail", "i8"), ("isolated", "i8"),
    ("wanted", "i8"), ("coupled", "i8"),
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
    return numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        function
    )


def inline(function: Any) -> Any:
    """As `inner`, for what every request passes through: LLVM must merge it into its caller."""
    return numba.njit(
        nogil=True, error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)


plane_at: Final = row_at("meta", META)
# Every table, and the part of one that belongs to pod i.
pods_of: Final = table_of(META, "pods", POD)
fetch_pod: Final = fetcher(pods_of, 8)  # what an arrival or a completion touches
replicas_of: Final = table_of(META, "replicas", REPLICA)
requests_of: Final = table_of(META, "requests", REQUEST)
lines_of: Final = table_of(META, "lines", LINE)  # where each request stands among its pod's clients
nodes_of: Final = table_of(META, "nodes", NODE)
pulls_of: Final = table_of(META, "pulls", PULL)
cached_of: Final = table_of(META, "cached", CACHED)
heap_of: Final = table_of(META, "heap", HEAP)
laws_of: Final = table_of(META, "laws", LAW)
rows_of: Final = table_of(META, "rows", TRANSITION)
samples_of: Final = table_of(META, "samples", SAMPLE)
ints_of: Final = table_of(META, "ints", np.int64)
floats_of: Final = table_of(META, "floats", np.float64)
gaps_of: Final = run_of(META, "gaps", np.float64, "block")
demands_of: Final = run_of(META, "demands", np.int64, "block")
places_of: Final = table_of(META, "places", np.int64)  # of the pods in the heap; -1: not there
fails_of: Final = run_of(META, "fails", np.int64, OUTCOME_COUNT)
sketch_of: Final = run_of(META, "sketches", np.int64, BUCKETS)
cold_of: Final = run_of(META, "cold", np.int32, OCTAVES)  # a page of each octave; -1: nothing fell into it
page_of: Final = run_of(META, "pages", np.int64, PAGE)
state_of: Final = run_of(META, "states", np.int64, scaling.STATE_LENGTH)
params_of: Final = run_of(META, "params", np.int64, scaling.PARAMS_LENGTH)
