"""What a plane is told, as the kernel's records and tables: nodes, pods, their traffic, laws and rules.

A name becomes a number, seconds become nanoseconds, a law or a traffic becomes a place in a table; equal laws
share one. Nothing happens here: when a record is written, and what the kernel does about it, is `plane`'s.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol import scaling
from protocol.errors import BadInput
from protocol.units import NEVER_NS, NS_PER_S
from sim import traffic as flows
from sim.kernel import state
from sim.kernel.arrays import Array, Arrays, Row
from sim.kernel.specs import NodeSpec, PodSpec, Source
from sim.laws import EMPIRICAL, Empirical, Law

POLICIES: Final = {
    "keda": state.KEDA,
    "kpa": state.KPA,
    "per_request": state.PER_REQUEST,
    "fixed": state.FIXED,
}
DISCIPLINES: Final = {"slots": state.SLOTS, "processor_sharing": state.SHARING}
DISPATCHES: Final = {
    "least": state.LEAST,
    "central": state.CENTRAL,
    "random": state.RANDOM,
    "round_robin": state.ROUND_ROBIN,
}
TRACES: Final = {
    "uniform": state.TRACE_UNIFORM,
    "even": state.TRACE_EVEN,
    "bursty": state.TRACE_BURSTY,
}
STARTS: Final = {
    "keda": scaling.keda_start,
    "kpa": scaling.kpa_start,
    "per_request": scaling.per_request_start,
    "fixed": scaling.fixed_start,
}
NONE_YET: Final = (
    *("first", "last", "root", "held_head", "held_tail", "ready_head", "ready_tail", "other_head"),
    *("other_tail", "idle_top", "idle_bottom", "stage_rep", "done_rep", "rr", "sketch"),
    *("line_head", "line_tail", "retry_root"),
)
"""Of a pod: what is -1 while there is none."""
TIMERS: Final = (
    *("stage_ns", "expire_ns", "deadline_ns", "tick_ns", "apply_ns", "done_ns", "rare_ns"),
    *("give_up_ns", "retry_ns", "clients_ns"),
)


def check(spec: PodSpec) -> None:
    """Refuses a spec that the kernel cannot run.

    Raises:
        BadInput: the parameters of its scaling rule are not of their number or contradict each other.
    """
    params = spec.scaling.params
    if len(params) != scaling.PARAMS_LENGTH:
        raise BadInput(f"pod {spec.pod_index}: scaling.params has {len(params)} of {scaling.PARAMS_LENGTH}")
    low, top = params[scaling.MIN_REPLICAS], params[scaling.MAX_REPLICAS]
    if not 0 <= low <= top:
        raise BadInput(f"pod {spec.pod_index}: 0 <= min replicas {low} <= max replicas {top}")


class Encoder:
    """Writes into one plane's arrays.

    Args:
        arrays: where to.
        start_ns: the world's start, which offsets in traffic count from [Unix ns].
    """

    def __init__(self, arrays: Arrays, start_ns: int) -> None:
        self._arrays = arrays
        self._start_ns = start_ns
        self._laws: dict[Law, int] = {}
        self._tables: dict[int, tuple[flows.Traffic, tuple[int, int, int]]] = {}

    def write_node(self, node: int, spec: NodeSpec) -> None:
        """A node that is up, with nothing on it."""
        n = self._arrays["nodes"][node]
        n["cpu_free"] = n["cpu"] = spec.cpu_millis
        n["memory_free"] = n["memory"] = spec.memory_bytes
        n["gpus_free"] = n["gpus"] = spec.gpus
        n["up"] = 1
        n["bandwidth"] = spec.pull_bytes_per_s
        n["cache_bytes"] = spec.image_cache_bytes

    def write_new(self, handle: int, now_ns: int) -> None:
        """A pod that has done nothing and has nothing to do."""
        arrays = self._arrays
        arrays["pods"][handle] = np.zeros((), state.POD)
        p = arrays["pods"][handle]
        for name in NONE_YET:
            p[name] = -1
        for name in TIMERS:
            p[name] = NEVER_NS
        p["used"] = 1
        p["zero_since"] = now_ns
        arrays["fails"][handle] = 0
        arrays["places"][handle] = -1
        arrays["cold"][handle] = -1

    def write_spec(self, handle: int, spec: PodSpec) -> None:
        """All of a pod's spec but its traffic."""
        p = self._arrays["pods"][handle]
        params = spec.scaling.params
        self._arrays["params"][handle] = params
        values = {
            "pod_index": spec.pod_index,
            "key_r0": spec.keys.requests[0],
            "key_r1": spec.keys.requests[1],
            "key_b0": spec.keys.bursts[0],
            "key_b1": spec.keys.bursts[1],
            "key_s0": spec.keys.start_up[0],
            "key_s1": spec.keys.start_up[1],
            "key_d0": spec.keys.dispatch[0],
            "key_d1": spec.keys.dispatch[1],
            "key_t0": spec.keys.retries[0],
            "key_t1": spec.keys.retries[1],
            "patience": _patience_ns(spec),
            "retries": spec.client.retries,
            "law_backoff": self._law(spec.client.backoff),
            "backoff_times": spec.client.backoff_times,
            "trip_ns": spec.round_trip_ns,
            "law_service": self._law(spec.service),
            "law_first": -1 if spec.first_service is None else self._law(spec.first_service),
            "law_schedule": self._law(spec.start_up.schedule),
            "law_application": self._law(spec.start_up.application),
            "decrypt_ns": _decrypt_ns(spec),
            "policy": POLICIES[spec.scaling.policy],
            "discipline": _discipline(spec, int(p["discipline"])),
            "dispatch": DISPATCHES[spec.dispatch],
            "slots": spec.slots,
            "queue_limit": NEVER_NS if spec.queue_limit is None else spec.queue_limit,
            "wait_limit": spec.wait_limit_ns,
            "sample_every": spec.sample_every,
            "byte_rows": int(spec.byte_rows),
            "request_bytes": spec.request_bytes,
            "response_bytes": spec.response_bytes,
            "cpu": spec.cpu_millis,
            "cpu_limit": spec.most_cpu_millis,
            "memory": spec.memory_bytes,
            "gpus": spec.gpus,
            "image_id": spec.image_id,
            "image_bytes": spec.image_bytes,
            "min_replicas": params[scaling.MIN_REPLICAS],
            "max_replicas": params[scaling.MAX_REPLICAS],
            "idle_ns": params[scaling.PER_REQUEST_EXPIRY_NS]
            if spec.scaling.policy == "per_request"
            else NEVER_NS,
        }
        for name, value in values.items():
            p[name] = value

    def write_rule(self, handle: int, spec: PodSpec, at_ns: int) -> None:
        """The pod's rule at its beginning: due at `at_ns`, nothing desired before."""
        p = self._arrays["pods"][handle]
        memory = [0] * scaling.STATE_LENGTH
        STARTS[spec.scaling.policy](memory, at_ns)
        self._arrays["states"][handle] = memory
        p["desired"] = 0
        if spec.scaling.policy == "per_request":  # the kernel's own loop does what the rule says
            p["tick_ns"] = NEVER_NS
            p["apply_ns"] = at_ns
        else:
            p["tick_ns"] = memory[scaling.NEXT_NS]
            p["apply_ns"] = NEVER_NS
        pending = int(p["n_held"]) + int(p["n_queued"]) + int(p["n_service"])
        p["kpa_last"] = at_ns
        area = (int(p["i_system"]) + pending * at_ns) & state.WORD
        p["kpa_area"] = area - (1 << 64) if area >> 63 else area

    def write_traffic(self, handle: int, traffic: flows.Traffic, epoch_ns: int | None = None) -> None:
        """A pod's traffic; its arrivals stand nowhere yet.

        Args:
            handle: the pod.
            traffic: when its requests come.
            epoch_ns: what its offsets count from [Unix ns]; None: the world's start.
        """
        p = self._arrays["pods"][handle]
        ints_lo, floats_lo, length = self._table(traffic)
        p["ints_lo"], p["floats_lo"], p["tab_n"] = ints_lo, floats_lo, length
        p["epoch"] = self._start_ns if epoch_ns is None else epoch_ns
        p["period_ns"] = 0
        p["sojourn"] = 0
        match traffic:
            case flows.Poisson():
                p["traffic"] = state.POISSON
                silent = all(rate == 0.0 for _, rate in traffic.rates_per_s)
                if traffic.period_s is not None and not silent:
                    p["period_ns"] = round(traffic.period_s * NS_PER_S)
            case flows.Mmpp():
                p["traffic"] = state.MMPP
                if all(rate == 0.0 for rate in traffic.rates_per_s):
                    p["traffic"] = state.REPLAY
                    p["tab_n"] = 0
            case flows.Trace():
                p["traffic"] = TRACES[traffic.within_minute]
                p["period_ns"] = round(traffic.start_s * NS_PER_S)
            case flows.Replay():
                p["traffic"] = state.REPLAY
            case flows.Renewal():
                p["traffic"] = state.RENEWAL

    def write_source(self, handle: int, source: Source) -> None:
        """A pod's traffic, with its arrivals standing where they stood when `source` was read."""
        self.write_traffic(handle, source.traffic, source.epoch_ns)
        p = self._arrays["pods"][handle]
        for name, value in source.state:
            p[name] = value
        self._write_retries(p, source.retries)

    def take_source(self, handle: int, traffic: flows.Traffic) -> Source:
        """Where a pod's arrivals stand; whoever will try again is not here any more."""
        p: Row = self._arrays["pods"][handle]
        stand = tuple((name, p[name].item()) for name, _ in state.SOURCE_FIELDS)
        return Source(traffic, int(p["epoch"]), stand, self._take_retries(p))

    def _write_retries(self, p: Row, retries: tuple[tuple[int, int, int], ...]) -> None:
        """Those that will try again, in order, as a heap in which each has one child, the next."""
        child = -1
        for at_ns, number, attempt in reversed(retries):
            taken = self._arrays.take_request()
            q = self._arrays["requests"][taken]
            q["end"], q["index"] = at_ns, attempt << state.ATTEMPT_SHIFT | number
            q["child"], q["sibling"] = child, -1
            child = taken
        p["retry_root"], p["n_waiting"] = child, len(retries)
        p["retry_ns"] = p["clients_ns"] = retries[0][0] if retries else NEVER_NS

    def _take_retries(self, p: Row) -> tuple[tuple[int, int, int], ...]:
        """What `_write_retries` writes; its records are free again."""
        found: list[tuple[int, int, int]] = []
        todo = [int(p["retry_root"])]
        while todo:
            taken = todo.pop()
            if taken < 0:
                continue
            q = self._arrays["requests"][taken]
            index = int(q["index"])
            found.append((int(q["end"]), index & state.NUMBER, index >> state.ATTEMPT_SHIFT))
            todo += [int(q["child"]), int(q["sibling"])]
            self._arrays.free_request(taken)
        return tuple(sorted(found, key=lambda retry: (retry[0], retry[2], retry[1])))

    def _table(self, traffic: flows.Traffic) -> tuple[int, int, int]:
        """Where the numbers of a traffic lie: (first int, first float, length); of a renewal: its law's number first."""
        if isinstance(traffic, flows.Renewal):
            return self._law(traffic.gaps), 0, 0
        known = self._tables.get(id(traffic))
        if known is not None:
            return known[1]
        ints: list[int] | Array = []
        floats: list[float] = []
        length = 0
        match traffic:
            case flows.Poisson():
                steps = list(traffic.rates_per_s)
                if steps[0][0] > 0.0:
                    steps.insert(0, (0.0, 0.0))
                ints = [round(start * NS_PER_S) for start, _ in steps]
                floats = [rate / NS_PER_S for _, rate in steps]
                length = len(steps)
            case flows.Mmpp():
                floats = [rate / NS_PER_S for rate in traffic.rates_per_s]
                floats += [sojourn * NS_PER_S for sojourn in traffic.mean_sojourn_s]
                length = len(traffic.rates_per_s)
            case flows.Trace():
                ints = np.asarray(traffic.counts, np.int64)
                length = len(ints)
            case flows.Replay():
                ints = np.asarray(traffic.instants_ns, np.int64)
                length = len(ints)
        place = (self._arrays.append("ints", ints), self._arrays.append("floats", floats), length)
        self._tables[id(traffic)] = (traffic, place)  # the traffic is kept, so that its id stays its own
        return place

    def _law(self, law: Law) -> int:
        known = self._laws.get(law)
        if known is not None:
            return known
        entry = np.zeros(1, state.LAW)
        if isinstance(law, Empirical):
            numbers = [prob for prob, _ in law.points] + [value for _, value in law.points]
            entry[0] = (EMPIRICAL, 0.0, 0.0, self._arrays.append("floats", numbers), len(law.points))
        else:
            entry[0] = (*law.parameters(), 0, 0)
        self._laws[law] = self._arrays.append("laws", entry)
        return self._laws[law]


def _discipline(spec: PodSpec, before: int) -> int:
    """The kernel's number; a pod that could burst keeps that of one that can, for its replicas that drain."""
    number = DISCIPLINES[spec.discipline]
    if number == state.SLOTS and (spec.bursts or before == state.BURSTING):
        return state.BURSTING
    return number


def _patience_ns(spec: PodSpec) -> int:
    """How long the facade sees a client wait: an answer that leaves later comes too late."""
    timeout_ns = spec.client.timeout_ns
    return timeout_ns if timeout_ns == NEVER_NS else max(0, timeout_ns - spec.round_trip_ns)


def _decrypt_ns(spec: PodSpec) -> int:
    rate = spec.start_up.decrypt_bytes_per_s
    return 0 if rate == 0 else -(-spec.image_bytes * NS_PER_S // rate)
