"""What happens to requests and replicas, one event at a time, and the order in which it does.

At equal instants: completions, ends of pulls, stages of replicas, arrivals, expiries, deadlines, clients that try
again, clients that give up, ticks of rules, and what rules want; within a class by pod or node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.units import NEVER_NS, NS_PER_MS, NS_PER_S
from sim.kernel import state
from sim.kernel.draws import uniforms
from sim.kernel.specs import (
    CLIENT_TIMEOUT,
    CRASHED,
    OVERFLOW,
    SERVED,
    SUSPENDED,
    TIMEOUT,
    UNREACHABLE,
)
from sim.reference.machines import Node
from sim.reference.pod import PARTS, Pod, Replica, Request, Stage
from sim.reference.sources import duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sim.kernel.specs import NodeSpec

COMPLETION, PULL_END, STAGE, ARRIVAL, EXPIRY, DEADLINE, RETRY, GIVE_UP, TICK, APPLY = range(10)


class Events:
    """Pods on nodes.

    Attributes:
        pods: by handle.
        nodes: the machines.
        pending: replicas that wait for room, and whose they are, in the order in which they began to.
        isolated: whether clients cannot reach the cluster.
        rows, samples: what was recorded; see `DataPlane.take_transitions` and `take_requests`.
    """

    def __init__(self, nodes: Sequence[NodeSpec]) -> None:
        self.pods: dict[int, Pod] = {}
        self.nodes = [Node(spec) for spec in nodes]
        self.pending: list[tuple[Pod, Replica]] = []
        self.isolated = False
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.samples: list[tuple[int, ...]] = []

    # ------------------------------------------------------------ the order

    def step(self, now_ns: int) -> bool:
        """Carry out the next event, if it is at or before `now_ns`."""
        due: list[tuple[int, int, int, Pod | Node]] = []
        due += [(*key, pod) for pod in self.pods.values() for key in self._events(pod)]
        due += [(node.next_ns, PULL_END, number, node) for number, node in enumerate(self.nodes)]
        if not due:
            return False
        at_ns, kind, _, whose = min(due, key=lambda event: event[:3])
        if at_ns > now_ns:
            return False
        if isinstance(whose, Node):
            self._pull_end(whose, at_ns)
        else:
            whose.bring_to(at_ns)
            self._happen(whose, kind, at_ns)
        self.contend(at_ns)
        return True

    def next_ns(self) -> int:
        """When something happens next."""
        instants = [key[0] for pod in self.pods.values() for key in self._events(pod)]
        return min(instants + [node.next_ns for node in self.nodes], default=NEVER_NS)

    def _events(self, pod: Pod) -> list[tuple[int, int, int]]:
        who = pod.spec.pod_index
        return [
            (pod.done()[0], COMPLETION, who),
            (pod.stage_end()[0], STAGE, who),
            (pod.source.walk.at_ns, ARRIVAL, who),
            (pod.expiry_ns(), EXPIRY, who),
            (pod.deadline_ns(), DEADLINE, who),
            (pod.retry_ns(), RETRY, who),
            (pod.give_up_ns(), GIVE_UP, who),
            (pod.tick_ns, TICK, who),
            (pod.apply_ns, APPLY, who),
        ]

    def _happen(self, pod: Pod, kind: int, now_ns: int) -> None:
        what: dict[int, Callable[[Pod, int], None]] = {
            COMPLETION: self._complete,
            STAGE: self._stage,
            ARRIVAL: self._arrive,
            EXPIRY: lambda pod, now_ns: self.end(pod, pod.idle[0], now_ns),
            DEADLINE: lambda pod, now_ns: self.fail(pod, pod.held.popleft(), now_ns, TIMEOUT),
            RETRY: self._arrive_again,
            GIVE_UP: self._give_up,
            TICK: Pod.call_rule,
            APPLY: self._reconcile,
        }
        what[kind](pod, now_ns)

    # ------------------------------------------------------------ requests

    def _arrive(self, pod: Pod, now_ns: int) -> None:
        index = pod.source.take()
        self._admit(pod, Request(index, now_ns, pod.source.demand_ns(index, pod.spec.service)), now_ns)

    def _arrive_again(self, pod: Pod, now_ns: int) -> None:
        again = min(pod.waiting)
        pod.waiting.remove(again)
        pod.counts["retried"] += 1
        _, attempt, index = again
        demand_ns = pod.source.demand_ns(index, pod.spec.service, attempt)
        self._admit(pod, Request(index, now_ns, demand_ns, attempt=attempt), now_ns)

    def _admit(self, pod: Pod, request: Request, now_ns: int) -> None:
        spec = pod.spec
        pod.counts["arrivals"] += 1
        request.nth = pod.counts["arrivals"]
        if pod.status != state.DEPLOYED or self.isolated:
            stopped = pod.status == state.STOPPED and not self.isolated
            self._refuse(pod, request, now_ns, SUSPENDED if stopped else UNREACHABLE)
            return
        if pod.per_request:
            self._arrive_per_request(pod, request, now_ns)
            return
        pod.touch(now_ns)
        if not pod.ready:
            if len(pod.held) >= pod.queue_limit:
                self._refuse(pod, request, now_ns, OVERFLOW)
                return
            request.cold = True
            pod.held.append(request)
            if pod.desired == 0:
                pod.call_rule(now_ns)
            return
        replica = self._choose(pod, request.counter)
        if pod.shares or len(replica.serves) < spec.slots:
            self._begin(pod, replica, request, now_ns)
            return
        line = pod.held if spec.dispatch == "central" else replica.queue
        if len(line) >= pod.queue_limit:
            self._refuse(pod, request, now_ns, OVERFLOW)
        else:
            line.append(request)

    def _arrive_per_request(self, pod: Pod, request: Request, now_ns: int) -> None:
        if pod.idle:
            self._begin(pod, pod.idle.pop(), request, now_ns)
            return
        coming = pod.unplaced + pod.starting
        full = coming + len(pod.ready) >= pod.most_replicas
        if full and len(pod.held) - coming >= pod.queue_limit:
            self._refuse(pod, request, now_ns, OVERFLOW)
            return
        request.cold = not pod.ready
        pod.held.append(request)
        if pod.wanted() > 0:
            pod.apply_ns = now_ns

    def _choose(self, pod: Pod, counter: int) -> Replica:
        ready = pod.ready
        if pod.spec.dispatch == "random":
            return ready[int(uniforms(pod.spec.keys.dispatch, counter)[0] * len(ready))]
        if pod.spec.dispatch == "round_robin":
            later = [replica for replica in ready if replica.ordinal > pod.last_chosen]
            chosen = (later or ready)[0]
            pod.last_chosen = chosen.ordinal
            return chosen
        return min(ready, key=lambda replica: (replica.load, replica.ordinal))

    def _begin(self, pod: Pod, replica: Replica, request: Request, now_ns: int) -> None:
        spec = pod.spec
        request.replica, request.start_ns = replica, now_ns
        if replica.begun == 0:
            if spec.first_service is not None:
                first = spec.first_service
                request.demand_ns = pod.source.demand_ns(request.index, first, request.attempt)
            request.cold = request.cold or pod.per_request
        replica.begun += 1
        wait_ns = now_ns - request.arrival_ns
        pod.counts["wait_ns"] += wait_ns
        pod.counts["delayed"] += wait_ns > 0
        if pod.by_share(replica):
            replica.share_until(now_ns)
            request.end = replica.had_ns + request.demand_ns
            replica.serves.append(request)
            replica.look()
        else:
            request.end = now_ns + request.demand_ns
            replica.serves.append(request)

    def _complete(self, pod: Pod, now_ns: int) -> None:
        replica = pod.done()[1]
        assert replica is not None
        request = replica.least()
        if pod.by_share(replica):
            replica.share_until(now_ns)
            replica.had_ns = max(replica.had_ns, request.end)
        if not request.gone:
            self._answer(pod, request, now_ns)
        if replica.queue:
            self._begin(pod, replica, replica.queue.popleft(), now_ns)
        elif pod.held and replica.stage is Stage.READY:
            self._begin(pod, replica, pod.held.popleft(), now_ns)
        replica.serves.remove(request)  # not before: with one that follows at once it was never empty
        if pod.by_share(replica):
            replica.look()
        if replica.serves:
            return
        if replica.stage is Stage.DRAINING:
            self.end(pod, replica, now_ns)
            return
        replica.idle_since_ns = now_ns
        if pod.per_request:
            pod.idle.append(replica)

    def _answer(self, pod: Pod, request: Request, now_ns: int) -> None:
        latency_ns = now_ns - request.arrival_ns
        pod.counts["served"] += 1
        pod.counts["latency_ns"] += latency_ns
        pod.latencies_ns.append(latency_ns + pod.spec.round_trip_ns)
        if request.cold:
            pod.counts["cold"] += 1
            pod.cold_latencies_ns.append(latency_ns + pod.spec.round_trip_ns)
        pod.counts["bytes_in"] += pod.spec.request_bytes
        pod.counts["bytes_out"] += pod.spec.response_bytes
        pod.touch(now_ns)
        self._sample(pod, request, now_ns, SERVED)
        if pod.spec.byte_rows:
            sizes = (pod.counts["bytes_out"], pod.counts["bytes_in"])
            self.rows.append((now_ns, pod.spec.pod_index, state.BYTES_ROW, *sizes))

    def _refuse(self, pod: Pod, request: Request, now_ns: int, outcome: int) -> None:
        pod.failed[outcome] += 1
        self._sample(pod, request, now_ns, outcome)
        self._try_again(pod, request, now_ns)

    def fail(self, pod: Pod, request: Request, now_ns: int, outcome: int) -> None:
        """A request in the system, taken from where it was, fails."""
        pod.touch(now_ns)
        self._refuse(pod, request, now_ns, outcome)

    def _give_up(self, pod: Pod, now_ns: int) -> None:
        """What is in service stays there until it ends; what waits leaves."""
        request = pod.first_in_line()
        assert request is not None
        if request.replica is not None:
            request.gone = True
        for line in (pod.held, *(replica.queue for replica in pod.replicas())):
            if request in line:
                line.remove(request)
        self.fail(pod, request, now_ns, CLIENT_TIMEOUT)

    def _try_again(self, pod: Pod, request: Request, now_ns: int) -> None:
        client, attempt = pod.spec.client, request.attempt + 1
        if attempt > client.retries:
            pod.counts["lost"] += 1
            return
        again = Request(request.index, now_ns, 0, attempt=attempt)
        span = float(duration_ns(client.backoff, uniforms(pod.spec.keys.retries, again.counter)[0]))
        for _ in range(attempt - 1):
            span = min(span * client.backoff_times, float(state.FAR_NS))
        pod.waiting.append((now_ns + max(1, pod.spec.round_trip_ns + int(span)), attempt, request.index))

    def _sample(self, pod: Pod, request: Request, now_ns: int, outcome: int) -> None:
        every = pod.spec.sample_every
        if every and request.index % every == 0:
            by = request.replica
            parts = by.parts_ns if by is not None and request.cold else [-1] * len(PARTS)
            self.samples.append(
                (
                    pod.spec.pod_index, request.index, request.arrival_ns, request.start_ns, now_ns, outcome,
                    int(request.cold), by.ordinal if by is not None else -1, request.attempt, *parts,
                )
            )  # fmt: skip

    # ------------------------------------------------------------ replicas

    def _reconcile(self, pod: Pod, now_ns: int) -> None:
        pod.apply_ns = NEVER_NS
        change = pod.wanted()
        for _ in range(change):
            replica = Replica(pod.ordinals, pod.share_slots, had_at_ns=now_ns, turns_ns=[now_ns])
            pod.ordinals += 1
            pod.counts["starts"] += 1
            pod.others.append(replica)
            if not self._place(pod, replica, now_ns):
                self.pending.append((pod, replica))
        for _ in range(-change):
            self._remove_one(pod, now_ns)

    def _place(self, pod: Pod, replica: Replica, now_ns: int) -> bool:
        """Best fit by processor, ties the lowest number."""
        left = [(node.left(pod.spec), number) for number, node in enumerate(self.nodes)]
        fits = [(cpu, number) for cpu, number in left if cpu is not None]
        if not fits:
            return False
        node = self.nodes[min(fits)[1]]
        node.holds[replica] = (pod.spec.cpu_millis, pod.spec.memory_bytes, pod.spec.gpus)
        replica.node, replica.stage = node, Stage.SCHEDULING
        replica.cpu_millis, replica.cpu_limit_millis = pod.spec.cpu_millis, pod.spec.most_cpu_millis
        u, _ = uniforms(pod.spec.keys.start_up, replica.ordinal)
        replica.stage_end_ns = now_ns + duration_ns(pod.spec.start_up.schedule, u)
        return True

    def retry(self, now_ns: int) -> None:
        """Room was freed: those that wait are tried in turn."""
        for pod, replica in list(self.pending):
            pod.bring_to(now_ns)
            if self._place(pod, replica, now_ns):
                self.pending.remove((pod, replica))

    def _stage(self, pod: Pod, now_ns: int) -> None:
        replica = pod.stage_end()[1]
        assert replica is not None
        if replica.stage is Stage.SCHEDULING:
            self._turn_to_image(pod, replica, now_ns)
        elif replica.stage is Stage.DECRYPTING:
            self._start_container(pod, replica, now_ns)
        else:
            self._become_ready(pod, replica, now_ns)

    def _turn_to_image(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        node = replica.node
        assert node is not None
        replica.turns_ns.append(now_ns)
        if pod.spec.image_bytes == 0 or node.has(pod.spec.image_id):
            self._pulled(pod, replica, now_ns)
        else:
            node.wait_for(replica, pod.spec, now_ns)
            replica.stage, replica.stage_end_ns = Stage.PULLING, NEVER_NS

    def _pull_end(self, node: Node, now_ns: int) -> None:
        for replica in node.complete(now_ns):
            pod = next(pod for pod in self.pods.values() if replica in pod.others)
            pod.bring_to(now_ns)
            self._pulled(pod, replica, now_ns)

    def _pulled(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        replica.turns_ns.append(now_ns)
        rate = pod.spec.start_up.decrypt_bytes_per_s
        decrypt_ns = -(-pod.spec.image_bytes * NS_PER_S // rate) if rate else 0
        if decrypt_ns:
            replica.stage, replica.stage_end_ns = Stage.DECRYPTING, now_ns + decrypt_ns
        else:
            self._start_container(pod, replica, now_ns)

    def _start_container(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        _, u = uniforms(pod.spec.keys.start_up, replica.ordinal)
        replica.turns_ns.append(now_ns)
        replica.stage = Stage.STARTING
        replica.stage_end_ns = now_ns + duration_ns(pod.spec.start_up.application, u)
        replica.billed = True
        pod.billed_ms -= now_ns // NS_PER_MS
        self._bill_row(pod, now_ns)

    def _become_ready(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        pod.others.remove(replica)
        replica.stage, replica.stage_end_ns, replica.idle_since_ns = Stage.READY, NEVER_NS, now_ns
        replica.turns_ns.append(now_ns)
        pod.counts["warmed"] += 1
        for name, span_ns in zip(PARTS, replica.parts_ns, strict=True):
            pod.counts[name] += span_ns
        pod.ready = sorted([*pod.ready, replica], key=lambda replica: replica.ordinal)
        if pod.per_request and not pod.held:
            pod.idle.append(replica)
        spec = pod.spec
        while pod.held:
            if pod.shares or len(replica.serves) < spec.slots:
                self._begin(pod, replica, pod.held.popleft(), now_ns)
            elif spec.dispatch == "central" or pod.per_request:
                return
            else:
                replica.queue.append(pod.held.popleft())

    def _remove_one(self, pod: Pod, now_ns: int) -> None:
        """The newest that waits for room, else the newest that starts, else the newest idle one, else the newest drains."""
        waiting = [replica for replica in pod.others if replica.stage is Stage.UNPLACED]
        starting = [
            replica for replica in pod.others if replica.stage not in (Stage.UNPLACED, Stage.DRAINING)
        ]
        idle = [replica for replica in pod.ready if not replica.serves]
        for some in (waiting, starting, idle):
            if some:
                self.end(pod, some[-1], now_ns)
                return
        self._drain(pod, pod.ready[-1], now_ns)

    def _drain(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        self._leave_ready(pod, replica, now_ns)
        replica.stage = Stage.DRAINING
        pod.others.append(replica)

    def _leave_ready(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        pod.ready.remove(replica)
        if not pod.ready:
            pod.zero_since_ns = now_ns

    def end(self, pod: Pod, replica: Replica, now_ns: int) -> None:
        """A replica without requests ends, and its room is free."""
        pod.bring_to(now_ns)
        if replica in pod.idle:
            pod.idle.remove(replica)
        if replica.stage is Stage.READY:
            self._leave_ready(pod, replica, now_ns)
        else:
            pod.others.remove(replica)
        if replica.stage is Stage.UNPLACED:
            self.pending.remove((pod, replica))
        for node in self.nodes:
            for pull in node.pulls:
                if replica in pull.waiters:
                    pull.waiters.remove(replica)
        if replica.billed:
            pod.billed_ms += now_ns // NS_PER_MS
            replica.billed = False
            self._bill_row(pod, now_ns)
        if replica.node is not None:
            del replica.node.holds[replica]
            if replica.node.up:
                self.retry(now_ns)

    def _bill_row(self, pod: Pod, now_ns: int) -> None:
        self.rows.append((now_ns, pod.spec.pod_index, state.REPLICAS_ROW, pod.billed, pod.billed_ms))

    def contend(self, now_ns: int) -> None:
        """Something has happened: who gets another share of a node's processors goes on at another speed."""
        for pod in self.pods.values():
            for replica in pod.replicas():
                speed = 1.0 if replica.node is None else replica.node.share(replica)
                if speed != replica.speed:
                    replica.share_until(now_ns)
                    replica.speed = speed
                    replica.look()

    # ------------------------------------------------------------ what the owner does

    def stop(self, pod: Pod, now_ns: int, outcome: int) -> None:
        """Everything of a pod ends."""
        self._fail_on(pod, pod.replicas(), now_ns, outcome)
        while pod.held:
            self.fail(pod, pod.held.popleft(), now_ns, outcome)
        for replica in pod.replicas():
            self.end(pod, replica, now_ns)
        pod.tick_ns = pod.apply_ns = NEVER_NS
        pod.desired = 0
        self.contend(now_ns)

    def replace(self, pod: Pod, now_ns: int) -> None:
        """Of a new version: what is idle or not ready ends, what is busy drains."""
        for replica in pod.replicas():
            if replica.stage is Stage.DRAINING:
                continue
            if pod.shares and replica.stage is Stage.READY:
                replica.share_until(now_ns)
            if replica.serves:
                self._drain(pod, replica, now_ns)
            else:
                self.end(pod, replica, now_ns)

    def crash(self, node: Node, now_ns: int) -> None:
        """A node fails; deployed pods replace what they lost a nanosecond later."""
        node.up = False
        for pod in self.pods.values():
            pod.bring_to(now_ns)
            lost = [replica for replica in pod.replicas() if replica.node is node]
            self._fail_on(pod, lost, now_ns, CRASHED)
            for replica in lost:
                self.end(pod, replica, now_ns)
            if lost and pod.status == state.DEPLOYED:
                pod.apply_ns = min(pod.apply_ns, now_ns + 1)
        node.crash()

    def _fail_on(self, pod: Pod, replicas: list[Replica], now_ns: int, outcome: int) -> None:
        pod.bring_to(now_ns)
        for replica in replicas:
            for request in [*replica.serves, *replica.queue]:
                if not request.gone:
                    self.fail(pod, request, now_ns, outcome)
            replica.serves.clear()
            replica.queue.clear()
            replica.next_ns = NEVER_NS
