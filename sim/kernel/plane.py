"""`DataPlane`: one provider's whole cluster, advanced by compiled code between control events.

The arrays are owned here and enlarged here; the kernel (`engine.drive`) stops before an event for which
room is lacking. Nothing that is returned depends on how the calls of `advance` cut time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol import scaling as rules
from protocol.errors import BadInput
from protocol.units import NEVER_NS, NS_PER_MS, NS_PER_S
from sim import traffic as flows
from sim.kernel import cache, sketches, state
from sim.kernel.engine import ROW_MARGIN, drive
from sim.kernel.specs import (
    OUTCOMES,
    SERVED,
    Keys,
    NodeSpec,
    NodeUse,
    PodCounters,
    PodSpec,
    Scaling,
    Source,
    StartUp,
)
from sim.laws import Empirical, Law

__all__ = [
    "OUTCOMES",
    "DataPlane",
    "Keys",
    "NodeSpec",
    "NodeUse",
    "PodCounters",
    "PodSpec",
    "Scaling",
    "Source",
    "StartUp",
]

Array = npt.NDArray[Any]

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
    "keda": rules.keda_start,
    "kpa": rules.kpa_start,
    "per_request": rules.per_request_start,
    "fixed": rules.fixed_start,
}
WORD: Final = 2**64 - 1
FEW_PODS: Final = (
    32  # up to so many pods draw in long blocks, more in short ones: the buffers should stay in cache
)
LONG_BLOCK: Final = 256
SHORT_BLOCK: Final = 32


def _chain(links: Array, first: int, end: int = -1) -> None:
    """Links the elements from `first` on into a free list that goes on with `end`."""
    links[first:] = np.arange(first + 1, len(links) + 1)
    links[-1] = end


class DataPlane:
    """One provider's cluster.

    All instants are Unix nanoseconds (int). Every method that takes `now_ns` first calls
    `advance(now_ns)`, and `now_ns` never goes back.

    Args:
        nodes: the machines; may be empty (pods without a deployment live in such a plane).
        start_ns: the world's start; offsets in traffic count from here. Equal in all planes of a world.
        draw_block: draws made at a time, from 1; None: by the number of pods. Changes speed, never a result.
    """

    def __init__(self, nodes: Sequence[NodeSpec], *, start_ns: int, draw_block: int | None = None) -> None:
        if start_ns < 0 or (draw_block is not None and draw_block < 1):
            raise BadInput(f"start_ns {start_ns} from 0, draw_block {draw_block} from 1")
        self.start_ns = start_ns
        self.now_ns = start_ns
        self._fixed_block = draw_block
        self._specs: dict[int, PodSpec] = {}
        self._epochs: dict[int, int] = {}
        self._laws: dict[Law, int] = {}
        self._tables: dict[int, tuple[flows.Traffic, tuple[int, int, int]]] = {}
        self._row_chunks: list[Array] = []
        self._sample_chunks: list[Array] = []
        self._meta: Array = np.zeros(1, state.META)
        self._arrays: dict[str, Array] = {
            "pods": np.zeros(0, state.POD),
            "replicas": np.zeros(64, state.REPLICA),
            "requests": np.zeros(1024, state.REQUEST),
            "nodes": np.zeros(max(len(nodes), 1), state.NODE),
            "pulls": np.zeros(16, state.PULL),
            "cached": np.zeros(16, state.CACHED),
            "heap": np.zeros(len(nodes), state.HEAP),  # a node may crash before any pod is here
            "laws": np.zeros(0, state.LAW),
            "rows": np.zeros(1024, state.TRANSITION),
            "samples": np.zeros(1024, state.SAMPLE),
            "states": np.zeros((0, rules.STATE_LENGTH), np.int64),
            "params": np.zeros((0, rules.PARAMS_LENGTH), np.int64),
            "gaps": np.zeros((0, 1), np.float64),
            "demands": np.zeros((0, 1), np.int64),
            "fails": np.zeros((0, state.OUTCOME_COUNT), np.int64),
            "sketches": np.zeros((0, state.BUCKETS), np.int64),
            "cold": np.zeros((0, state.OCTAVES), np.int32),
            "pages": np.zeros((16, state.PAGE), np.int64),
            "ints": np.zeros(0, np.int64),
            "floats": np.zeros(0, np.float64),
        }
        self._node_count = len(nodes)
        for i, spec in enumerate(nodes):
            node = self._arrays["nodes"][i]
            for free, name, amount in (
                ("cpu_free", "cpu", spec.cpu_millis),
                ("memory_free", "memory", spec.memory_bytes),
                ("gpus_free", "gpus", spec.gpus),
            ):
                node[free] = node[name] = amount
            node["up"] = 1
            node["bandwidth"] = spec.pull_bytes_per_s
            node["cache_bytes"] = spec.image_cache_bytes
        self._arrays["nodes"]["heap_pos"] = -1
        self._arrays["nodes"]["cache_head"] = -1
        self._arrays["nodes"]["pull_head"] = -1
        self._arrays["nodes"]["next_ns"] = NEVER_NS
        meta = self._meta[0]
        for name in ("replicas", "requests", "pulls", "cached"):
            _chain(self._arrays[name]["next"], 0)
        _chain(self._arrays["pages"][:, 0], 0)
        meta["pend_head"] = meta["pend_tail"] = -1
        meta["replica_free_n"] = len(self._arrays["replicas"])
        meta["block"] = 1
        self._bind()
        if not drive.signatures:  # compiled, or read from the cache, once a process
            with cache.settings():
                drive(self._meta, state.ADVANCE, 0, start_ns)

    @property
    def has_nodes(self) -> bool:
        """Whether there is anything to run on; a plane without nodes holds the traffic of pods that nobody hosts."""
        return self._node_count > 0

    # ---- control ----

    def host(self, spec: PodSpec, source: Source | None, now_ns: int) -> int:
        """Takes up a pod's traffic; until `deploy` every request fails `unreachable`.

        Args:
            spec: the pod; its `pod_index` is hosted nowhere else.
            source: where its arrivals stand, from `remove` elsewhere at this instant; None: they begin now.
            now_ns: instant [Unix ns].

        Returns:
            The pod's handle in this plane; may be given again after `remove`.
        """
        self.advance(now_ns)
        _checked(spec)
        if any(spec.pod_index == other.pod_index for other in self._specs.values()):
            raise BadInput(f"pod {spec.pod_index} is hosted here already")
        handle = self._free_handle()
        pods = self._arrays["pods"]
        pods[handle] = np.zeros((), state.POD)
        p = pods[handle]
        for name in (
            "root",
            "held_head",
            "held_tail",
            "ready_head",
            "ready_tail",
            "other_head",
            "other_tail",
        ):
            p[name] = -1
        for name in ("idle_top", "idle_bottom", "stage_rep", "done_rep", "rr", "heap_pos"):
            p[name] = -1
        for name in ("stage_ns", "expire_ns", "deadline_ns", "tick_ns", "apply_ns", "done_ns", "rare_ns"):
            p[name] = NEVER_NS
        p["used"] = 1
        p["zero_since"] = now_ns
        self._arrays["fails"][handle] = 0
        self._arrays["sketches"][handle] = 0
        self._arrays["cold"][handle] = -1
        self._specs[handle] = spec
        self._write_spec(handle, spec)
        if source is None:
            self._write_traffic(handle, spec.traffic, self.start_ns)
            self._control(state.START_SOURCE, handle, now_ns)
        else:
            self._write_traffic(handle, source.traffic, source.epoch_ns)
            for name, value in source.state:
                p[name] = value
            if source.traffic is not spec.traffic and source.traffic != spec.traffic:
                self._write_traffic(handle, spec.traffic, self.start_ns)
                self._control(state.START_SOURCE, handle, now_ns)
            else:
                self._control(state.REFILL, handle, now_ns)
        return handle

    def deploy(self, handle: int, now_ns: int) -> None:
        """Starts running the pod: its scaling rule is first called at now_ns + 1.

        One nanosecond later, so that what control does at one instant is ordered by `pod_index` and not by
        the order of the calls.
        """
        self.advance(now_ns)
        p = self._pod(handle)
        if p["status"] == state.DEPLOYED:
            raise BadInput(f"pod {self._specs[handle].pod_index} is deployed already")
        p["status"] = state.DEPLOYED
        self._start_rule(handle, now_ns + 1)
        self._control(state.REKEY, handle, now_ns)

    def suspend(self, handle: int, now_ns: int) -> None:
        """Ends all replicas at once.

        What is held, queued or in service fails `evicted`, later arrivals `suspended`. A pod that is not
        deployed stays so.
        """
        self._stop(handle, now_ns, state.STOPPED)

    def resume(self, handle: int, now_ns: int) -> None:
        """Runs a suspended pod again, as freshly deployed."""
        self.deploy(handle, now_ns)

    def undeploy(self, handle: int, now_ns: int) -> None:
        """As `suspend`, but later arrivals fail `unreachable`: there is nothing to resume."""
        self._stop(handle, now_ns, state.ABSENT)

    def remove(self, handle: int, now_ns: int) -> Source:
        """Evicts the pod and forgets it; read its counters and `replica_ms` at `now_ns` before.

        Returns:
            Where its arrivals stand: `host` elsewhere goes on byte for byte.
        """
        self._stop(handle, now_ns, state.ABSENT)
        p = self._pod(handle)
        spec = self._specs.pop(handle)
        source = Source(
            spec.traffic,
            int(p["epoch"]),
            tuple((name, p[name].item()) for name, _ in state.SOURCE_FIELDS),
        )
        self._control(state.FORGET, handle, now_ns)
        p["used"] = 0
        for _, name in _TOTALS:
            p[name] = 0
        self._arrays["fails"][handle] = 0
        return source

    def update(self, handle: int, spec: PodSpec, now_ns: int) -> None:
        """A new version of the pod's spec.

        Replicas that are idle or not ready end, busy ones drain, new ones start from now_ns + 1 (as many as
        before when the scaling is the same, otherwise as the new rule says from its start). Held requests wait
        for them. Arrivals go on unless `spec.traffic` differs; counters and `replica_ms` go on.

        Raises:
            BadInput: `pod_index` differs; nothing was changed.
        """
        self.advance(now_ns)
        old = self._specs[handle]
        _checked(spec)
        if old.pod_index != spec.pod_index:
            raise BadInput(f"pod {old.pod_index} cannot become pod {spec.pod_index}")
        self._make_control_room()
        deployed = bool(self._pod(handle)["status"] == state.DEPLOYED)
        desired = int(self._pod(handle)["desired"])
        held_first = old.discipline == spec.discipline
        if held_first:
            self._control(state.REPLACE, handle, now_ns)
        else:  # what is in service cannot go over to the other discipline
            self._control(state.EVICT, handle, now_ns)
        self._specs[handle] = spec
        self._write_spec(handle, spec)
        p = self._pod(handle)
        if spec.traffic is not old.traffic and spec.traffic != old.traffic:
            self._write_traffic(handle, spec.traffic, self.start_ns)
            self._control(state.START_SOURCE, handle, now_ns)
        elif (spec.service, spec.keys.requests) != (old.service, old.keys.requests):
            self._control(state.REFILL, handle, now_ns)
        if deployed:
            if held_first and spec.scaling == old.scaling:
                p["desired"] = desired
                p["apply_ns"] = now_ns + 1
            else:
                self._start_rule(handle, now_ns + 1)
        self._control(state.REKEY, handle, now_ns)

    def crash_node(self, node: int, now_ns: int) -> None:
        """A node fails: what is in flight there fails `crashed`, its pulls are lost, its image cache is kept.

        Deployed pods start their lost replicas elsewhere from now_ns + 1. A crashed node crashes no further.
        """
        self.advance(now_ns)
        self._node(node)
        self._make_control_room()
        drive(self._meta, state.CRASH, node, now_ns)

    def restore_node(self, node: int, now_ns: int) -> None:
        """A node comes back, empty but for its image cache; replicas that wait for room get it."""
        self.advance(now_ns)
        self._node(node)
        drive(self._meta, state.RESTORE, node, now_ns)

    def isolate(self, now_ns: int) -> None:
        """Clients cannot reach the cluster: arrivals fail `unreachable`; what is inside goes on."""
        self.advance(now_ns)
        self._meta[0]["isolated"] = 1

    def rejoin(self, now_ns: int) -> None:
        """Ends `isolate`."""
        self.advance(now_ns)
        self._meta[0]["isolated"] = 0

    # ---- time ----

    def advance(self, now_ns: int) -> None:
        """Processes every event at or before `now_ns`, and none later."""
        if now_ns < self.now_ns:
            raise BadInput(f"now_ns {now_ns} is before {self.now_ns}: time does not go back")
        self.now_ns = now_ns
        while drive(self._meta, state.ADVANCE, 0, now_ns) == state.FULL:
            self._make_room()

    def next_event_ns(self) -> int:
        """A lower bound of the next instant at which anything happens; `NEVER_NS`: nothing will."""
        if self._meta[0]["heap_used"] == 0:
            return NEVER_NS
        return int(self._arrays["heap"][0]["ns"])

    # ---- what happened ----

    def replica_ms(self, handle: int, now_ns: int) -> int:
        """Billed replica-milliseconds since `host`: the sum over replicas of floor(end) - floor(start) in ms."""
        self.advance(now_ns)
        p = self._pod(handle)
        return int(p["acc_ms"]) + int(p["n_billed"]) * (now_ns // NS_PER_MS)

    def billed_ms(self, now_ns: int) -> list[int]:
        """`replica_ms` of every handle at once; what stands at a handle that is not in use means nothing."""
        self.advance(now_ns)
        pods = self._arrays["pods"]
        billed: list[int] = (pods["acc_ms"] + pods["n_billed"] * (now_ns // NS_PER_MS)).tolist()
        return billed

    @property
    def overcommitted(self) -> bool:
        """Whether more is allocated on some node than it has: never, as long as the kernel is right."""
        nodes = self._arrays["nodes"][: self._node_count]
        return any(int(nodes[name].min()) < 0 for name in ("cpu_free", "memory_free", "gpus_free"))

    def counters(self, handle: int, now_ns: int) -> PodCounters:
        """What the pod has done since `host`, and what it has now."""
        self.advance(now_ns)
        p = {name: int(self._pod(handle)[name]) for name in _COUNTED}
        fails = self._arrays["fails"][handle]

        def integral(acc: str, count: int) -> int:
            return (p[acc] + count * now_ns) & WORD

        busy_ns = integral("i_busy", p["n_busy"])
        return PodCounters(
            arrivals=p["arrivals"],
            served=p["served"],
            failed={name: int(fails[k]) for k, name in enumerate(OUTCOMES) if k != SERVED},
            cold=p["cold"],
            starts=p["starts"],
            delayed=p["delayed"],
            bytes_in=p["bytes_in"],
            bytes_out=p["bytes_out"],
            held=p["n_held"],
            queued=p["n_queued"],
            in_flight=p["n_service"],
            unplaced=p["n_unplaced"],
            starting=p["n_starting"],
            idle=p["n_ready"] - p["n_busy"],
            busy=p["n_busy"],
            draining=p["n_drain"],
            billed=p["n_billed"],
            wait_ns=p["wait_ns"] & WORD,
            latency_ns=p["latency_ns"] & WORD,
            system_request_ns=integral("i_system", p["n_held"] + p["n_queued"] + p["n_service"]),
            unplaced_replica_ns=integral("i_unplaced", p["n_unplaced"]),
            starting_replica_ns=integral("i_starting", p["n_starting"]),
            idle_replica_ns=(integral("i_ready", p["n_ready"]) - busy_ns) & WORD,
            busy_replica_ns=busy_ns,
            draining_replica_ns=integral("i_drain", p["n_drain"]),
            billed_ms=p["acc_ms"] + p["n_billed"] * (now_ns // NS_PER_MS),
        )

    def totals(self, now_ns: int) -> dict[str, int]:
        """Sums over the pods hosted now: the counts of `PodCounters`, with `failed` over all reasons.

        Also `cpu_millis`, what is allocated on the nodes, and `cpu_capacity_millis`, what those that are up have.
        """
        self.advance(now_ns)
        pods = self._arrays["pods"]
        used = pods["used"] == 1
        sums = {name: int(pods[field][used].sum()) for name, field in _TOTALS}
        sums["failed"] = int(self._arrays["fails"][used].sum()) - int(
            self._arrays["fails"][used, SERVED].sum()
        )
        sums["idle"] -= sums["busy"]
        nodes = self._arrays["nodes"][: self._node_count]
        sums["cpu_millis"] = int((nodes["cpu"] - nodes["cpu_free"]).sum())
        sums["cpu_capacity_millis"] = int(nodes["cpu"][nodes["up"] == 1].sum())
        return sums

    def take_transitions(self) -> Array:
        """Changes up to the last `advance` and since the last call, by (t_ns, pod_index), in order within.

        Columns `t_ns`, `pod_index`, `kind`, `a`, `b`. Kind 0, a change of the billed replicas: `a` of them from
        `t_ns` on, and `b` such that `replica_ms` at t is b + a * (t // 10**6) until the next such row. Kind 1
        (with `byte_rows`), a request served: cumulative response bytes `a` and request bytes `b`.
        """
        self._flush_rows()
        if not self._row_chunks:
            return _NO_TRANSITIONS
        rows = _joined(self._row_chunks, state.TRANSITION)
        self._row_chunks = []
        return rows[np.lexsort((rows["pod_index"], rows["t_ns"]))]

    def take_requests(self) -> Array:
        """Sampled requests that ended up to the last `advance` and since the last call.

        Columns `pod_index`, `index`, `arrival_ns`, `start_ns` (-1: service never began), `end_ns`, `outcome`
        (an index into `OUTCOMES`), `cold` (0 or 1), `replica` (its ordinal in the pod; -1: none), sorted by
        (end_ns, pod_index, index).
        """
        self._flush_samples()
        if not self._sample_chunks:
            return _NO_SAMPLES
        rows = _joined(self._sample_chunks, state.SAMPLE)
        self._sample_chunks = []
        return rows[np.lexsort((rows["index"], rows["pod_index"], rows["end_ns"]))]

    def sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of the pod's served requests since `host`, up to the last `advance`."""
        self._pod(handle)
        copied: sketches.Sketch = self._arrays["sketches"][handle].copy()
        return copied

    def cold_sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of those of them that waited for a replica to start: `PodCounters.cold` of them."""
        self._pod(handle)
        return sketches.gathered(self._arrays["cold"][handle], self._arrays["pages"])

    def node_use(self, node: int, now_ns: int) -> NodeUse:
        """What is allocated on a node."""
        self.advance(now_ns)
        n = self._node(node)
        return NodeUse(
            up=bool(n["up"]),
            cpu_millis=int(n["cpu"] - n["cpu_free"]),
            memory_bytes=int(n["memory"] - n["memory_free"]),
            gpus=int(n["gpus"] - n["gpus_free"]),
            cached_bytes=int(n["cache_used"]),
            pulls=int(n["n_pulls"]),
        )

    # ---- inside ----

    def _pod(self, handle: int) -> Any:
        if handle not in self._specs:
            raise BadInput(f"handle {handle}: no such pod here")
        return self._arrays["pods"][handle]

    def _node(self, node: int) -> Any:
        if not 0 <= node < self._node_count:
            raise BadInput(f"node {node}: from 0 to {self._node_count - 1}")
        return self._arrays["nodes"][node]

    def _control(self, what: int, handle: int, now_ns: int) -> None:
        drive(self._meta, what, handle, now_ns)

    def _stop(self, handle: int, now_ns: int, status: int) -> None:
        self.advance(now_ns)
        p = self._pod(handle)
        self._make_control_room()
        if p["status"] == state.DEPLOYED or status == state.ABSENT:
            p["status"] = status
        self._control(state.EVICT, handle, now_ns)

    def _start_rule(self, handle: int, at_ns: int) -> None:
        """The pod's rule begins: due at `at_ns`, nothing desired before."""
        p = self._pod(handle)
        spec = self._specs[handle]
        memory = [0] * rules.STATE_LENGTH
        STARTS[spec.scaling.policy](memory, at_ns)
        self._arrays["states"][handle] = memory
        p["desired"] = 0
        if spec.scaling.policy == "per_request":  # the kernel's own loop does what the rule says
            p["tick_ns"] = NEVER_NS
            p["apply_ns"] = at_ns
        else:
            p["tick_ns"] = memory[rules.NEXT_NS]
            p["apply_ns"] = NEVER_NS
        pending = int(p["n_held"]) + int(p["n_queued"]) + int(p["n_service"])
        p["kpa_last"] = at_ns
        area = (int(p["i_system"]) + pending * at_ns) & WORD
        p["kpa_area"] = area - (1 << 64) if area >> 63 else area

    def _write_spec(self, handle: int, spec: PodSpec) -> None:
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
            "law_service": self._law(spec.service),
            "law_first": -1 if spec.first_service is None else self._law(spec.first_service),
            "law_schedule": self._law(spec.start_up.schedule),
            "law_application": self._law(spec.start_up.application),
            "decrypt_ns": _decrypt_ns(spec),
            "policy": POLICIES[spec.scaling.policy],
            "discipline": DISCIPLINES[spec.discipline],
            "dispatch": DISPATCHES[spec.dispatch],
            "slots": spec.slots,
            "queue_limit": NEVER_NS if spec.queue_limit is None else spec.queue_limit,
            "wait_limit": spec.wait_limit_ns,
            "sample_every": spec.sample_every,
            "byte_rows": int(spec.byte_rows),
            "request_bytes": spec.request_bytes,
            "response_bytes": spec.response_bytes,
            "cpu": spec.cpu_millis,
            "memory": spec.memory_bytes,
            "gpus": spec.gpus,
            "image_id": spec.image_id,
            "image_bytes": spec.image_bytes,
            "min_replicas": params[rules.MIN_REPLICAS],
            "max_replicas": params[rules.MAX_REPLICAS],
            "idle_ns": params[rules.PER_REQUEST_EXPIRY_NS]
            if spec.scaling.policy == "per_request"
            else NEVER_NS,
        }
        for name, value in values.items():
            p[name] = value

    def _write_traffic(self, handle: int, traffic: flows.Traffic, epoch_ns: int) -> None:
        p = self._arrays["pods"][handle]
        ints_lo, floats_lo, length = self._table(traffic)
        p["ints_lo"], p["floats_lo"], p["tab_n"] = ints_lo, floats_lo, length
        p["epoch"] = epoch_ns
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

    def _table(self, traffic: flows.Traffic) -> tuple[int, int, int]:
        """Where the numbers of a traffic lie: (first int, first float, length)."""
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
        place = (self._append("ints", ints), self._append("floats", floats), length)
        self._tables[id(traffic)] = (traffic, place)
        return place

    def _law(self, law: Law) -> int:
        known = self._laws.get(law)
        if known is not None:
            return known
        entry = np.zeros(1, state.LAW)
        if isinstance(law, Empirical):
            numbers = [prob for prob, _ in law.points] + [value for _, value in law.points]
            entry[0] = (6, 0.0, 0.0, self._append("floats", numbers), len(law.points))
        else:
            entry[0] = (*law.parameters(), 0, 0)
        self._arrays["laws"] = np.concatenate([self._arrays["laws"], entry])
        self._bind()
        self._laws[law] = len(self._laws)
        return self._laws[law]

    def _append(self, name: str, numbers: Sequence[float] | Array) -> int:
        """Adds numbers to a table; returns where they begin."""
        table = self._arrays[name]
        if len(numbers):
            self._arrays[name] = np.concatenate([table, np.asarray(numbers, table.dtype)])
            self._bind()
        return len(table)

    def _bind(self) -> None:
        """Tells the kernel where the arrays are."""
        meta = self._meta[0]
        for name, array in self._arrays.items():
            meta[f"{name}_at"] = array.ctypes.data
        for name in (*state.ARRAYS, "ints", "floats"):
            meta[f"{name}_n"] = len(self._arrays[name])
        meta["nodes_n"] = self._node_count

    def _free_handle(self) -> int:
        used = self._arrays["pods"]["used"]
        free = np.flatnonzero(used == 0)
        if len(free):
            return int(free[0])
        old = len(used)
        size = max(4, 2 * old)
        for name in ("pods", "states", "params", "fails", "sketches", "cold", "gaps", "demands", "heap"):
            self._enlarge(name, size + (self._node_count if name == "heap" else 0))
        block = self._fixed_block or (LONG_BLOCK if size <= FEW_PODS else SHORT_BLOCK)
        if block != self._meta[0]["block"]:
            self._arrays["gaps"] = np.zeros((size, block), np.float64)
            self._arrays["demands"] = np.zeros((size, block), np.int64)
            self._meta[0]["block"] = block
            self._bind()
            for handle in self._specs:
                self._control(state.REFILL, handle, self.now_ns)
        self._bind()
        return old

    def _enlarge(self, name: str, size: int) -> None:
        old = self._arrays[name]
        new: Array = np.zeros((size, *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        self._arrays[name] = new

    def _enlarge_pool(self, name: str, size: int, free: str) -> None:
        """Enlarges a pool and puts the new elements before its free list."""
        old = len(self._arrays[name])
        self._enlarge(name, size)
        pool = self._arrays[name]
        _chain(pool["next"] if pool.dtype.names else pool[:, 0], old, self._meta[0][free])
        self._meta[0][free] = old

    def _make_room(self) -> None:
        """Whatever may be lacking gets room."""
        meta = self._meta[0]
        for name, free in (
            ("requests", "request_free"),
            ("pulls", "pull_free"),
            ("cached", "cached_free"),
            ("pages", "page_free"),
        ):
            if meta[free] < 0:
                self._enlarge_pool(name, 2 * len(self._arrays[name]), free)
        lacking = int(meta["wanted"]) - int(meta["replica_free_n"])
        if lacking > 0:
            old = len(self._arrays["replicas"])
            size = max(2 * old, old + lacking)
            self._enlarge_pool("replicas", size, "replica_free")
            meta["replica_free_n"] += size - old
        self._flush_rows()
        if len(self._arrays["rows"]) < len(self._arrays["replicas"]) + 2 * ROW_MARGIN:
            self._enlarge("rows", 2 * (len(self._arrays["replicas"]) + 2 * ROW_MARGIN))
        if meta["samples_used"] == len(self._arrays["samples"]):
            self._flush_samples()
        self._bind()

    def _make_control_room(self) -> None:
        """Room for a control event, which may end every replica and every request."""
        self._make_room()
        self._flush_samples()
        if len(self._arrays["samples"]) < len(self._arrays["requests"]):
            self._enlarge("samples", len(self._arrays["requests"]))
            self._bind()

    def _flush_rows(self) -> None:
        used = int(self._meta[0]["rows_used"])
        if used:
            self._row_chunks.append(self._arrays["rows"][:used].copy())
            self._meta[0]["rows_used"] = 0

    def _flush_samples(self) -> None:
        used = int(self._meta[0]["samples_used"])
        if used:
            self._sample_chunks.append(self._arrays["samples"][:used].copy())
            self._meta[0]["samples_used"] = 0


_NO_TRANSITIONS: Final = np.zeros(0, state.TRANSITION)
_NO_SAMPLES: Final = np.zeros(0, state.SAMPLE)
_TOTALS: Final = (
    ("arrivals", "arrivals"),
    ("served", "served"),
    ("cold", "cold"),
    ("held", "n_held"),
    ("queued", "n_queued"),
    ("in_flight", "n_service"),
    ("unplaced", "n_unplaced"),
    ("starting", "n_starting"),
    ("idle", "n_ready"),
    ("busy", "n_busy"),
    ("draining", "n_drain"),
    ("billed", "n_billed"),
)
_TOTAL_NAMES: Final = tuple(name for name, _ in _TOTALS)
_TOTAL_WORDS: Final = [
    dict(state.POD.fields or {})[field][1] // 8 for _, field in _TOTALS
]  # all int64, at whole words
_COUNTED: Final = (
    *("arrivals", "served", "cold", "starts", "delayed", "bytes_in", "bytes_out", "n_held", "n_queued"),
    *("n_service", "n_unplaced", "n_starting", "n_ready", "n_busy", "n_drain", "n_billed", "wait_ns"),
    *("latency_ns", "i_system", "i_unplaced", "i_starting", "i_ready", "i_busy", "i_drain", "acc_ms"),
)


def _checked(spec: PodSpec) -> None:
    """Refuses a spec that the kernel cannot run."""
    scaling = spec.scaling
    if len(scaling.params) != rules.PARAMS_LENGTH:
        raise BadInput(
            f"pod {spec.pod_index}: scaling.params has {len(scaling.params)} of {rules.PARAMS_LENGTH}"
        )
    low, top = scaling.params[rules.MIN_REPLICAS], scaling.params[rules.MAX_REPLICAS]
    if not 0 <= low <= top:
        raise BadInput(f"pod {spec.pod_index}: 0 <= min replicas {low} <= max replicas {top}")


def _decrypt_ns(spec: PodSpec) -> int:
    rate = spec.start_up.decrypt_bytes_per_s
    return 0 if rate == 0 else -(-spec.image_bytes * NS_PER_S // rate)


def _joined(chunks: list[Array], dtype: np.dtype[Any]) -> Array:
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype)
