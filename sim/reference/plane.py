"""`ReferencePlane`: what the owner of a cluster asks and is told, over `events`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from protocol.errors import BadInput
from sim.kernel import sketches, state
from sim.kernel.specs import EVICTED, OUTCOMES, NodeUse, PodCounters, Source
from sim.reference.events import Events
from sim.reference.pod import Pod
from sim.reference.sources import Arrivals, Walk
from sim.traffic import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sim.kernel.specs import NodeSpec, PodSpec


class ReferencePlane:
    """One provider's cluster, event by event. Methods and answers are those of `DataPlane`; see there.

    Args:
        nodes: the machines.
        start_ns: the world's start [Unix ns].
        draw_block: without a meaning here: draws are made one at a time.
    """

    def __init__(self, nodes: Sequence[NodeSpec], *, start_ns: int, draw_block: int | None = None) -> None:
        self.start_ns = self.now_ns = start_ns
        self._events = Events(nodes)

    @property
    def has_nodes(self) -> bool:
        """Whether there is anything to run on."""
        return bool(self._events.nodes)

    # ------------------------------------------------------------ control

    def host(self, spec: PodSpec, source: Source | None, now_ns: int) -> int:
        """Take up a pod's traffic; returns the lowest handle that is free."""
        self.advance(now_ns)
        pods = self._events.pods
        handle = next(n for n in range(len(pods) + 1) if n not in pods)
        if source is None:
            arrivals = Arrivals(spec.traffic, spec.keys, self.start_ns, Walk())
            arrivals.begin(now_ns)
        else:
            walk = Walk(**dict(source.state))  # type: ignore[arg-type]
            arrivals = Arrivals(source.traffic, spec.keys, source.epoch_ns, walk)
            self._retune(arrivals, spec, now_ns)
        pods[handle] = Pod(spec, arrivals, now_ns)
        retries = source.retries if source is not None else ()
        pods[handle].waiting = [(at_ns, attempt, number) for at_ns, number, attempt in retries]
        return handle

    def deploy(self, handle: int, now_ns: int) -> None:
        """Run the pod: its rule is first called at `now_ns` + 1."""
        pod = self._at(handle, now_ns)
        if pod.status == state.DEPLOYED:
            raise BadInput(f"pod {pod.spec.pod_index} is deployed already")
        pod.status = state.DEPLOYED
        pod.start_rule(now_ns + 1)

    def suspend(self, handle: int, now_ns: int) -> None:
        """End all replicas; later requests fail `suspended`."""
        pod = self._at(handle, now_ns)
        if pod.status == state.DEPLOYED:
            pod.status = state.STOPPED
        self._events.stop(pod, now_ns, EVICTED)

    def resume(self, handle: int, now_ns: int) -> None:
        """Run a suspended pod again."""
        self.deploy(handle, now_ns)

    def undeploy(self, handle: int, now_ns: int) -> None:
        """End all replicas; later requests fail `unreachable`."""
        pod = self._at(handle, now_ns)
        pod.status = state.ABSENT
        self._events.stop(pod, now_ns, EVICTED)

    def remove(self, handle: int, now_ns: int) -> Source:
        """Evict the pod and forget it; returns where its arrivals stand."""
        self.undeploy(handle, now_ns)
        return self._stand(self._events.pods.pop(handle))

    @staticmethod
    def _stand(pod: Pod) -> Source:
        """Where a pod's arrivals stand."""
        arrivals = pod.source
        retries = tuple((at_ns, number, attempt) for at_ns, attempt, number in sorted(pod.waiting))
        return Source(arrivals.traffic, arrivals.epoch_ns, arrivals.walk.state(), retries)

    def depart(self, handle: int, now_ns: int) -> Source:
        """Evict the pod whose callers go elsewhere, and keep what it did here."""
        self.undeploy(handle, now_ns)
        pod = self._events.pods[handle]
        source = self._stand(pod)
        pod.spec = replace(pod.spec, traffic=NOBODY)
        pod.waiting.clear()
        self._retune(pod.source, pod.spec, now_ns)
        return source

    def update(self, handle: int, spec: PodSpec, now_ns: int) -> None:
        """A new version of the pod's spec."""
        pod = self._at(handle, now_ns)
        old, desired = pod.spec, pod.desired
        if old.pod_index != spec.pod_index:
            raise BadInput(f"pod {old.pod_index} cannot become pod {spec.pod_index}")
        if (old.client, old.round_trip_ns) != (spec.client, spec.round_trip_ns):
            raise BadInput(f"pod {old.pod_index} is still called by the same clients, from the same place")
        kept = old.discipline == spec.discipline
        if kept:
            self._events.replace(pod, now_ns)
        else:
            self._events.stop(pod, now_ns, EVICTED)
        pod.spec = spec
        pod.source.keys = spec.keys
        self._retune(pod.source, spec, now_ns)
        if pod.status != state.DEPLOYED:
            return
        if kept and spec.scaling == old.scaling:
            pod.desired, pod.apply_ns = desired, now_ns + 1
        else:
            pod.start_rule(now_ns + 1)

    def crash_node(self, node: int, now_ns: int) -> None:
        """A node fails."""
        self.advance(now_ns)
        self._events.crash(self._events.nodes[node], now_ns)

    def restore_node(self, node: int, now_ns: int) -> None:
        """A node comes back."""
        self.advance(now_ns)
        self._events.nodes[node].up = True
        self._events.retry(now_ns)

    def isolate(self, now_ns: int) -> None:
        """Clients cannot reach the cluster."""
        self.advance(now_ns)
        self._events.isolated = True

    def rejoin(self, now_ns: int) -> None:
        """Clients can again."""
        self.advance(now_ns)
        self._events.isolated = False

    # ------------------------------------------------------------ time

    def advance(self, now_ns: int) -> None:
        """Carry out every event at or before `now_ns`."""
        if now_ns < self.now_ns:
            raise BadInput(f"now_ns {now_ns} is before {self.now_ns}: time does not go back")
        while self._events.step(now_ns):
            pass
        self.now_ns = now_ns

    def next_event_ns(self) -> int:
        """When something happens next."""
        return self._events.next_ns()

    # ------------------------------------------------------------ what happened

    def replica_ms(self, handle: int, now_ns: int) -> int:
        """Billed replica-milliseconds of a pod."""
        return self._at(handle, now_ns).replica_ms(now_ns)

    def billed_ms(self, now_ns: int) -> list[int]:
        """`replica_ms` of every handle."""
        self.advance(now_ns)
        pods = self._events.pods
        return [pods[n].replica_ms(now_ns) if n in pods else 0 for n in range(max(pods, default=-1) + 1)]

    def counters(self, handle: int, now_ns: int) -> PodCounters:
        """What a pod has done and has."""
        pod = self._at(handle, now_ns)
        return PodCounters(
            **{name: pod.counts[name] for name in pod.counts},
            failed={OUTCOMES[outcome]: count for outcome, count in pod.failed.items()},
            held=len(pod.held),
            queued=pod.queued,
            in_flight=pod.in_service,
            unplaced=pod.unplaced,
            starting=pod.starting,
            idle=len(pod.ready) - pod.busy,
            busy=pod.busy,
            draining=pod.draining,
            billed=pod.billed,
            system_request_ns=pod.sums["system"],
            **{
                f"{name}_replica_ns": pod.sums[name]
                for name in ("unplaced", "starting", "idle", "busy", "draining")
            },
            billed_ms=pod.replica_ms(now_ns),
            waiting=len(pod.waiting),
        )

    def totals(self, now_ns: int) -> dict[str, int]:
        """Sums over the pods hosted now."""
        self.advance(now_ns)
        all_of = [self.counters(handle, now_ns) for handle in self._events.pods]
        names = "arrivals served cold held queued in_flight unplaced starting idle busy draining billed"
        sums = {name: sum(getattr(one, name) for one in all_of) for name in names.split()}
        sums["failed"] = sum(sum(one.failed.values()) for one in all_of)
        sums["cpu_millis"] = sum(node.used[0] for node in self._events.nodes)
        busy = [replica for node in self._events.nodes for replica in node.busy]
        sums["cpu_wanted_millis"] = sum(replica.cpu_limit_millis for replica in busy)
        sums["cpu_given_millis"] = round(
            math.fsum(replica.cpu_limit_millis * replica.speed for replica in busy)
        )
        sums["slowed"] = sum(replica.speed != 1 for replica in busy)
        sums["cpu_capacity_millis"] = sum(node.spec.cpu_millis for node in self._events.nodes if node.up)
        free = [
            has - used
            for node in self._events.nodes
            for used, has in zip(
                node.used, (node.spec.cpu_millis, node.spec.memory_bytes, node.spec.gpus), strict=True
            )
        ]
        sums["least_free"] = min(0, *free) if free else 0
        sums["transitions"] = len(self._events.rows)
        return sums

    @property
    def has_transitions(self) -> bool:
        """Whether there are any to take."""
        return bool(self._events.rows)

    @property
    def hosted_count(self) -> int:
        """How many pods are hosted."""
        return len(self._events.pods)

    def take_transitions(self) -> Any:
        """Changes since the last call."""
        rows = sorted(self._events.rows, key=lambda row: row[:2])
        self._events.rows = []
        return np.array(rows, state.TRANSITION)

    def take_requests(self) -> Any:
        """Sampled requests that ended since the last call."""
        rows = sorted(self._events.samples, key=lambda row: (row[4], row[0], row[1]))
        self._events.samples = []
        return np.array(rows, state.SAMPLE)

    def sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of the pod's served requests."""
        return _sketch(self._events.pods[handle].latencies_ns)

    def cold_sketch(self, handle: int) -> sketches.Sketch:
        """Latencies of those of them that waited for a start."""
        return _sketch(self._events.pods[handle].cold_latencies_ns)

    def node_use(self, node: int, now_ns: int) -> NodeUse:
        """What is allocated on a node."""
        self.advance(now_ns)
        one = self._events.nodes[node]
        return NodeUse(
            one.up,
            *one.used,
            sum(one.cache.values()),
            len(one.pulls),
            sum(replica.cpu_limit_millis for replica in one.busy),
            math.fsum(replica.cpu_limit_millis * replica.speed for replica in one.busy),
        )

    # ------------------------------------------------------------ inside

    def _at(self, handle: int, now_ns: int) -> Pod:
        self.advance(now_ns)
        if handle not in self._events.pods:
            raise BadInput(f"handle {handle}: no such pod here")
        pod = self._events.pods[handle]
        pod.bring_to(now_ns)
        return pod

    def _retune(self, arrivals: Arrivals, spec: PodSpec, now_ns: int) -> None:
        """Other traffic begins now, at the number that is next."""
        if arrivals.traffic != spec.traffic:
            arrivals.traffic, arrivals.epoch_ns = spec.traffic, self.start_ns
            arrivals.begin(now_ns)


def _sketch(latencies_ns: Iterable[int]) -> sketches.Sketch:
    """Each latency in the bucket between whose edges it lies, or in the first or last."""
    counts = sketches.empty()
    for latency_ns in latencies_ns:
        bucket = int(np.searchsorted(sketches.EDGES_NS, float(latency_ns), side="right")) - 1
        counts[max(0, min(bucket, sketches.BUCKETS - 1))] += 1
    return counts
