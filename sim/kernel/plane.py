"""`DataPlane`: one provider's whole cluster, advanced by compiled code between control events.

Here is what its owner does to it and asks of it, and in which order the kernel hears of that. The memory is
`arrays`', what is written there `encoding`'s, what is read there `readings`'; what happens between two calls
is the kernel's (`engine.drive`). Nothing that is returned depends on how the calls of `advance` cut time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from protocol.errors import BadInput
from protocol.units import NEVER_NS, NS_PER_MS
from sim.kernel import cache, readings, sketches, state, sums
from sim.kernel.arrays import Array, Arrays, Row
from sim.kernel.encoding import Encoder, check
from sim.kernel.engine import drive
from sim.kernel.specs import NodeSpec, NodeUse, PodCounters, PodSpec, Source
from sim.traffic import NOBODY, Traffic


class DataPlane:
    """One provider's cluster.

    All instants are Unix nanoseconds (int). Every method that takes `now_ns` first calls
    `advance(now_ns)`, and `now_ns` never goes back.

    Args:
        nodes: the machines; may be empty (pods without a deployment live in such a plane).
        start_ns: the world's start; offsets in traffic count from here. Equal in all planes of a world.
        draw_block: draws made at a time, from 1; None: by the number of pods. Changes speed, never a result.

    Attributes:
        address: where the plane is in memory, as `engine.drive` takes it: an array of one.
    """

    def __init__(self, nodes: Sequence[NodeSpec], *, start_ns: int, draw_block: int | None = None) -> None:
        if start_ns < 0 or (draw_block is not None and draw_block < 1):
            raise BadInput(f"start_ns {start_ns} from 0, draw_block {draw_block} from 1")
        self.start_ns = start_ns
        self.now_ns = start_ns
        self._specs: dict[int, PodSpec] = {}
        self._hosted: set[int] = set()  # their pod_index
        self._arrays = Arrays(len(nodes), draw_block=draw_block)
        self._encoder = Encoder(self._arrays, start_ns)
        self.address: Array = np.array([self._arrays.meta.ctypes.data], np.int64)
        self._touched = True  # by control since the last `advance`
        self._sums: Array = np.zeros((1, len(sums.SUMS)), np.int64)
        self._bills: Array = np.zeros(0, np.int64)
        for node, spec in enumerate(nodes):
            self._encoder.write_node(node, spec)
        if not drive.signatures:  # compiled, or read from the cache, once a process
            with cache.settings():
                self.advance(start_ns)
                self.totals(start_ns)
                self.billed_ms(start_ns)
                sums.bills_of(self.address, self._bills, self._bills, start_ns, self._bills)

    @property
    def has_nodes(self) -> bool:
        """Whether there is anything to run on; a plane without nodes holds the traffic of pods that nobody hosts."""
        return self._arrays.node_count > 0

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
        check(spec)
        if spec.pod_index in self._hosted:
            raise BadInput(f"pod {spec.pod_index} is hosted here already")
        self._couple(spec)
        handle = self._free_handle()
        self._encoder.write_new(handle, now_ns)
        self._specs[handle] = spec
        self._hosted.add(spec.pod_index)
        self._encoder.write_spec(handle, spec)
        if source is not None:
            self._encoder.write_source(handle, source)
        if source is None or _differ(source.traffic, spec.traffic):
            self._encoder.write_traffic(handle, spec.traffic)
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
        self._encoder.write_rule(handle, self._specs[handle], now_ns + 1)
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
        spec = self._specs.pop(handle)
        self._hosted.remove(spec.pod_index)
        source = self._encoder.take_source(handle, spec.traffic)
        self._control(state.FORGET, handle, now_ns)
        self._arrays.give_pod(handle)
        return source

    def depart(self, handle: int, now_ns: int) -> Source:
        """Evicts the pod whose callers go elsewhere, and keeps what it did here, until `remove`: nobody calls it any more.

        Returns:
            Where its arrivals stand: `host` elsewhere goes on byte for byte.
        """
        self._stop(handle, now_ns, state.ABSENT)
        source = self._encoder.take_source(handle, self._specs[handle].traffic)
        self._specs[handle] = replace(self._specs[handle], traffic=NOBODY)
        self._encoder.write_source(handle, replace(source, traffic=NOBODY, retries=()))
        self._control(state.START_SOURCE, handle, now_ns)
        return source

    def update(self, handle: int, spec: PodSpec, now_ns: int) -> None:
        """A new version of the pod's spec.

        Replicas that are idle or not ready end, busy ones drain, new ones start from now_ns + 1 (as many as
        before when the scaling is the same, otherwise as the new rule says from its start). Held requests wait
        for them. Arrivals go on unless `spec.traffic` differs; counters and `replica_ms` go on.

        Raises:
            BadInput: `pod_index`, `client` or `round_trip_ns` differs (it is still called by the same); nothing was
                changed.
        """
        self.advance(now_ns)
        old = self._specs[handle]
        check(spec)
        if old.pod_index != spec.pod_index:
            raise BadInput(f"pod {old.pod_index} cannot become pod {spec.pod_index}")
        if (old.client, old.round_trip_ns) != (spec.client, spec.round_trip_ns):
            raise BadInput(f"pod {old.pod_index} is still called by the same clients, from the same place")
        self._couple(spec)
        self._arrays.make_control_room()
        deployed = bool(self._pod(handle)["status"] == state.DEPLOYED)
        desired = int(self._pod(handle)["desired"])
        held_first = old.discipline == spec.discipline
        if held_first:
            self._control(state.REPLACE, handle, now_ns)
        else:  # what is in service cannot go over to the other discipline
            self._control(state.EVICT, handle, now_ns)
        self._specs[handle] = spec
        self._encoder.write_spec(handle, spec)
        p = self._pod(handle)
        if _differ(old.traffic, spec.traffic):
            self._encoder.write_traffic(handle, spec.traffic)
            self._control(state.START_SOURCE, handle, now_ns)
        elif (spec.service, spec.keys.requests) != (old.service, old.keys.requests):
            self._control(state.REFILL, handle, now_ns)
        if deployed:
            if held_first and spec.scaling == old.scaling:
                p["desired"] = desired
                p["apply_ns"] = now_ns + 1
            else:
                self._encoder.write_rule(handle, spec, now_ns + 1)
        self._control(state.REKEY, handle, now_ns)

    def crash_node(self, node: int, now_ns: int) -> None:
        """A node fails: what is in flight there fails `crashed`, its pulls are lost, its image cache is kept.

        Deployed pods start their lost replicas elsewhere from now_ns + 1. A crashed node crashes no further.
        """
        self.advance(now_ns)
        self._node(node)
        self._arrays.make_control_room()
        self._control(state.CRASH, node, now_ns)

    def restore_node(self, node: int, now_ns: int) -> None:
        """A node comes back, empty but for its image cache; replicas that wait for room get it."""
        self.advance(now_ns)
        self._node(node)
        self._control(state.RESTORE, node, now_ns)

    def isolate(self, now_ns: int) -> None:
        """Clients cannot reach the cluster: arrivals fail `unreachable`; what is inside goes on."""
        self.advance(now_ns)
        self._arrays.meta[0]["isolated"] = 1

    def rejoin(self, now_ns: int) -> None:
        """Ends `isolate`."""
        self.advance(now_ns)
        self._arrays.meta[0]["isolated"] = 0

    # ---- time ----

    def advance(self, now_ns: int) -> None:
        """Processes every event at or before `now_ns`, and none later."""
        if now_ns < self.now_ns:
            raise BadInput(f"now_ns {now_ns} is before {self.now_ns}: time does not go back")
        if now_ns == self.now_ns and not self._touched:
            return
        while not drive(self.address, state.ADVANCE, 0, now_ns):
            self.make_room()
        self.arrived(now_ns)

    def make_room(self) -> None:
        """Room for whatever `engine.drive` lacked; then it goes on."""
        self._arrays.make_room()

    def arrived(self, now_ns: int) -> None:
        """`engine.drive` has processed every event at or before `now_ns`."""
        self.now_ns, self._touched = now_ns, False

    def next_event_ns(self) -> int:
        """A lower bound of the next instant at which anything happens; `NEVER_NS`: nothing will."""
        if self._arrays.meta[0]["heap_used"] == 0:
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
        if len(self._bills) != len(self._arrays["pods"]):
            self._bills = np.zeros(len(self._arrays["pods"]), np.int64)
        sums.bills(self.address[0], now_ns, self._bills)
        billed: list[int] = self._bills.tolist()
        return billed

    def counters(self, handle: int, now_ns: int) -> PodCounters:
        """What the pod has done since `host`, and what it has now."""
        self.advance(now_ns)
        return readings.counters(self._pod(handle), self._arrays["fails"][handle], now_ns)

    def totals(self, now_ns: int) -> dict[str, int]:
        """Sums over the pods hosted now: the counts of `PodCounters`, with `failed` over all reasons.

        Also `cpu_millis`, what is allocated on the nodes, `cpu_capacity_millis`, what those that are up have, and
        what the busy replicas want and get: `cpu_wanted_millis`, `cpu_given_millis`; `slowed`, how many get less;
        `least_free`, the least that is left of anything on any node if that is below 0, which it never is as long as
        the kernel is right, and otherwise 0; `transitions`, how many have come since some were taken or set aside.
        """
        self.advance(now_ns)
        sums.sums(self.address, self._sums)
        totals = dict(zip(sums.SUMS, self._sums[0].tolist(), strict=True))
        if totals["slowed"]:
            totals["cpu_given_millis"] = self.cpu_given_millis()
        return totals

    def cpu_given_millis(self) -> int:
        """What the busy replicas get, up to the last `advance` [millicores]."""
        return round(readings.processors(self._arrays["replicas"])[1])

    @property
    def has_transitions(self) -> bool:
        """Whether `take_transitions` would give any."""
        return self._arrays.has("rows")

    @property
    def hosted_count(self) -> int:
        """How many pods are hosted."""
        return len(self._specs)

    def take_transitions(self) -> Array:
        """Changes up to the last `advance` and since the last call, by (t_ns, pod_index), in order within.

        Columns `t_ns`, `pod_index`, `kind`, `a`, `b`. Kind 0, a change of the billed replicas: `a` of them from
        `t_ns` on, and `b` such that `replica_ms` at t is b + a * (t // 10**6) until the next such row. Kind 1
        (with `byte_rows`), a request served: cumulative response bytes `a` and request bytes `b`.
        """
        return readings.in_order(self._arrays.take("rows"), "t_ns", "pod_index")

    def take_requests(self) -> Array:
        """Sampled requests that ended up to the last `advance` and since the last call.

        Columns `pod_index`, `index`, `arrival_ns`, `start_ns` (-1: service never began), `end_ns`, `outcome`
        (an index into `OUTCOMES`), `cold` (0 or 1), `replica` (its ordinal in the pod; -1: none), `attempt` (0: the
        first), and of the replica that served a cold one `scheduling_ns`, `pull_ns`, `decryption_ns`,
        `application_ns` (otherwise -1), sorted by (end_ns, pod_index, index).
        """
        return readings.in_order(self._arrays.take("samples"), "end_ns", "pod_index", "index")

    def sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of the pod's served requests since `host`, up to the last `advance`, as their clients see them."""
        which = int(self._pod(handle)["sketch"])
        if which < 0:
            return sketches.empty()
        copied: sketches.Sketch = self._arrays["sketches"][which].copy()
        return copied

    def cold_sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of those of them that waited for a replica to start: `PodCounters.cold` of them."""
        self._pod(handle)
        return sketches.gathered(self._arrays["cold"][handle], self._arrays["pages"])

    def node_use(self, node: int, now_ns: int) -> NodeUse:
        """What is allocated on a node, and what its busy replicas use."""
        self.advance(now_ns)
        replicas = self._arrays["replicas"]
        return readings.node_use(self._node(node), replicas[replicas["node"] == node])

    # ---- inside ----

    def _pod(self, handle: int) -> Row:
        if handle not in self._specs:
            raise BadInput(f"handle {handle}: no such pod here")
        return self._arrays["pods"][handle]

    def _node(self, node: int) -> Row:
        if not 0 <= node < self._arrays.node_count:
            raise BadInput(f"node {node}: from 0 to {self._arrays.node_count - 1}")
        return self._arrays["nodes"][node]

    def _control(self, what: int, entity: int, now_ns: int) -> None:
        """Tells the kernel of a change to a pod or a node; the plane is advanced to `now_ns`."""
        drive(self.address, what, entity, now_ns)
        self._touched = True

    def _couple(self, spec: PodSpec) -> None:
        """A pod that can use processor time which others leave makes every event here a shared one, for good."""
        if spec.bursts and self.has_nodes and not self._arrays.meta[0]["coupled"]:
            self._control(state.COUPLE, 0, self.now_ns)

    def _stop(self, handle: int, now_ns: int, status: int) -> None:
        self.advance(now_ns)
        p = self._pod(handle)
        self._arrays.make_control_room()
        if p["status"] == state.DEPLOYED or status == state.ABSENT:
            p["status"] = status
        self._control(state.EVICT, handle, now_ns)

    def _free_handle(self) -> int:
        handle = self._arrays.take_pod()
        if handle is None:
            if self._arrays.more_pods():
                for hosted in self._specs:
                    self._control(state.REFILL, hosted, self.now_ns)
            handle = self._arrays.take_pod()
            assert handle is not None
        return handle


def _differ(one: Traffic, other: Traffic) -> bool:
    """Whether two traffics are not the same; a long trace is not compared with itself."""
    return one is not other and one != other
