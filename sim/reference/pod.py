"""One pod: its requests, its replicas, its scaling rule, and what it has done so far."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from protocol import scaling
from protocol.policies.scaling import Demand
from protocol.units import NEVER_NS, NS_PER_MS
from sim.kernel import state
from sim.kernel.specs import OUTCOMES
from sim.reference.own import OwnScaling

if TYPE_CHECKING:
    from sim.kernel.specs import PodSpec
    from sim.reference.machines import Node
    from sim.reference.sources import Arrivals

RULES: Final = {"keda": scaling.keda, "kpa": scaling.kpa, "fixed": scaling.fixed}
STARTS: Final = {
    "keda": scaling.keda_start,
    "kpa": scaling.kpa_start,
    "fixed": scaling.fixed_start,
    "per_request": scaling.per_request_start,
}


PARTS: Final = ("scheduling_ns", "pull_ns", "decryption_ns", "application_ns")


class Stage(IntEnum):
    """What a replica does."""

    UNPLACED = 0
    SCHEDULING = 1
    PULLING = 2
    DECRYPTING = 3
    STARTING = 4
    READY = 5
    DRAINING = 6


@dataclass(eq=False, slots=True)
class Request:
    """A request in the system.

    Attributes:
        index, attempt: its number in the pod, and how often it was tried before.
        nth: how many attempts had come to the pod with it.
        arrival_ns, start_ns: when it came, and when its service began (-1: not yet) [Unix ns].
        demand_ns: what it asks of a server.
        end: under `slots` when it is served [Unix ns]; under processor sharing the service that each request of its
            replica must have had by then [ns].
        replica: who serves it.
        cold: whether it waited for a replica to start.
        gone: whether its client has given up while it was in service.
    """

    index: int
    arrival_ns: int
    demand_ns: int
    start_ns: int = -1
    end: float = 0
    replica: Replica | None = None
    cold: bool = False
    attempt: int = 0
    nth: int = 0
    gone: bool = False

    @property
    def counter(self) -> int:
        """What its draws are keyed by."""
        return self.index + (self.attempt << state.ATTEMPT_SHIFT)


@dataclass(eq=False, slots=True)
class Replica:
    """One replica.

    Attributes:
        ordinal: its number in the pod; later ones are newer.
        slots: how many requests at once have its speed, by the version that it runs; more share it, under processor
            sharing.
        stage, stage_end_ns: what it does, and until when [Unix ns].
        turns_ns: when it was created, began and had pulled its image, started its container, and was ready [Unix ns].
        node: where.
        cpu_millis, cpu_limit_millis: what it reserves there, and what it uses there at most.
        speed: how much of what it wants it gets, from 0 to 1.
        serves, queue: requests in service, and those that wait for this replica alone.
        begun: requests whose service ever began here.
        idle_since_ns: when it last became idle [Unix ns].
        billed: whether its container runs.
        had_ns, had_at_ns: processor sharing, or one that bursts: service that each request has had, and as of when.
        next_ns: likewise: when its next request is served.
    """

    ordinal: int
    slots: float
    stage: Stage = Stage.UNPLACED
    stage_end_ns: int = NEVER_NS
    node: Node | None = None
    serves: list[Request] = field(default_factory=list)
    queue: deque[Request] = field(default_factory=deque)
    begun: int = 0
    idle_since_ns: int = 0
    billed: bool = False
    had_ns: float = 0.0
    had_at_ns: int = 0
    next_ns: int = NEVER_NS
    cpu_millis: int = 0
    cpu_limit_millis: int = 0
    speed: float = 1.0
    turns_ns: list[int] = field(default_factory=list)

    @property
    def bursts(self) -> bool:
        """Whether it may use more than it reserves."""
        return self.cpu_limit_millis > self.cpu_millis

    @property
    def parts_ns(self) -> list[int]:
        """What scheduling, pull, decryption and the application's start took; of a replica that was ready."""
        return [after - before for before, after in pairwise(self.turns_ns)]

    @property
    def load(self) -> int:
        """Requests that it has."""
        return len(self.serves) + len(self.queue)

    def least(self) -> Request:
        """The request that is served next."""
        return min(self.serves, key=lambda request: (request.end, request.counter))

    def share_until(self, now_ns: int) -> None:
        """Bring what each request has had up to now; as many as its slots have its speed at once."""
        n = len(self.serves)
        if n == 0:
            self.had_ns = 0.0
        elif n <= self.slots:
            self.had_ns += float(now_ns - self.had_at_ns) * self.speed
        else:
            self.had_ns += float(now_ns - self.had_at_ns) * (float(self.slots) / n) * self.speed
        self.had_at_ns = now_ns

    def look(self) -> None:
        """When the next request is served."""
        self.next_ns = NEVER_NS
        if self.serves:
            left = self.least().end - self.had_ns
            if len(self.serves) > self.slots:
                left *= len(self.serves) / float(self.slots)
            if self.speed != 1:
                left = min(left / self.speed, float(NEVER_NS // 2))
            self.next_ns = self.had_at_ns + max(0, math.ceil(left))


class Pod:
    """A pod as its provider runs it. Attributes named as in `PodSpec` and `PodCounters` mean the same."""

    def __init__(self, spec: PodSpec, arrivals: Arrivals, now_ns: int) -> None:
        self.spec = spec
        self.source = arrivals
        self.status = state.ABSENT
        self.ready: list[Replica] = []  # by ordinal
        self.others: list[Replica] = []  # in the order in which they came to be here
        self.idle: list[Replica] = []  # per_request: the one that has been idle for longest first
        self.held: deque[Request] = deque()
        self.waiting: list[
            tuple[int, int, int]
        ] = []  # who will try again: when, at which attempt, which request
        self.ordinals = 0
        self.last_chosen = -1
        self.zero_since_ns = now_ns
        # The scaling rule.
        self.memory = [0] * scaling.STATE_LENGTH
        self.own: Any = None
        self.desired = 0
        self.tick_ns = self.apply_ns = NEVER_NS
        self.seen_ns = self.seen_request_ns = 0
        # What it has done.
        self.upto_ns = now_ns
        self.sums = dict.fromkeys(("system", "unplaced", "starting", "idle", "busy", "draining"), 0)
        self.counts = dict.fromkeys(
            (
                "arrivals",
                "served",
                "cold",
                "starts",
                "delayed",
                "bytes_in",
                "bytes_out",
                "wait_ns",
                "latency_ns",
                "retried",
                "lost",
                "warmed",
                *PARTS,
            ),
            0,
        )
        self.failed = dict.fromkeys(range(1, len(OUTCOMES)), 0)
        self.billed_ms = 0  # less (or plus) the floored instants at which replicas began (or ended)
        self.latencies_ns: list[int] = []
        self.cold_latencies_ns: list[int] = []

    # ------------------------------------------------------------ what is there

    @property
    def shares(self) -> bool:
        """Whether its replicas share their processors."""
        return self.spec.discipline == "processor_sharing"

    @property
    def share_slots(self) -> float:
        """How many requests a replica serves at its speed; more share it, which slots never do."""
        return self.spec.slots if self.shares else math.inf

    def by_share(self, replica: Replica) -> bool:
        """Whether what requests have had, and not when they began, tells when they are served."""
        return self.shares or replica.bursts

    @property
    def per_request(self) -> bool:
        """Whether its rule is `per_request`, which has no ticks."""
        return self.spec.scaling.policy == "per_request"

    @property
    def least_replicas(self) -> int:
        """The rule's least number of replicas."""
        return self.spec.scaling.params[scaling.MIN_REPLICAS]

    @property
    def most_replicas(self) -> int:
        """The rule's greatest number of replicas."""
        return self.spec.scaling.params[scaling.MAX_REPLICAS]

    @property
    def queue_limit(self) -> float:
        """How many may wait in one place."""
        return math.inf if self.spec.queue_limit is None else self.spec.queue_limit

    def replicas(self) -> list[Replica]:
        """All of them."""
        return self.others + self.ready

    def staged(self, *stages: Stage) -> int:
        """How many replicas are in these stages."""
        return sum(replica.stage in stages for replica in self.others)

    @property
    def unplaced(self) -> int:
        """Replicas that wait for room."""
        return self.staged(Stage.UNPLACED)

    @property
    def starting(self) -> int:
        """Replicas from placement to ready."""
        return self.staged(Stage.SCHEDULING, Stage.PULLING, Stage.DECRYPTING, Stage.STARTING)

    @property
    def draining(self) -> int:
        """Replicas that end after their last request."""
        return self.staged(Stage.DRAINING)

    @property
    def busy(self) -> int:
        """Ready replicas with a request."""
        return sum(bool(replica.serves) for replica in self.ready)

    @property
    def billed(self) -> int:
        """Replicas whose container runs."""
        return sum(replica.billed for replica in self.replicas())

    @property
    def in_service(self) -> int:
        """Requests in service whose clients are there."""
        return sum(not request.gone for replica in self.replicas() for request in replica.serves)

    @property
    def queued(self) -> int:
        """Requests that wait for one replica."""
        return sum(len(replica.queue) for replica in self.replicas())

    @property
    def pending(self) -> int:
        """Requests in the system."""
        return len(self.held) + self.queued + self.in_service

    def wanted(self) -> int:
        """How many replicas to create, or (negative) to remove."""
        coming = self.unplaced + self.starting
        total = coming + len(self.ready)
        if self.per_request:
            lacking = max(len(self.held) - coming, self.least_replicas - total)
            return max(0, min(lacking, self.most_replicas - total))
        return self.desired - total

    # ------------------------------------------------------------ when what happens next

    def done(self) -> tuple[int, Replica | None]:
        """When the next request is served, and by whom."""
        serving = [replica for replica in self.replicas() if replica.serves]
        if not serving:
            return NEVER_NS, None

        def key(replica: Replica) -> tuple[int, bool, int]:
            if self.by_share(replica):
                return replica.next_ns, True, replica.ordinal
            return int(replica.least().end), False, replica.least().counter

        replica = min(serving, key=key)
        return key(replica)[0], replica

    def stage_end(self) -> tuple[int, Replica | None]:
        """When a replica passes to its next stage, and which; of several the one that stands first."""
        if not self.others:
            return NEVER_NS, None
        replica = min(self.others, key=lambda replica: replica.stage_end_ns)
        return replica.stage_end_ns, replica

    def expiry_ns(self) -> int:
        """When the longest idle replica has been idle for too long."""
        total = self.unplaced + self.starting + len(self.ready)
        idle_ns = self.spec.scaling.params[scaling.PER_REQUEST_EXPIRY_NS] if self.per_request else NEVER_NS
        if not self.idle or total <= self.least_replicas or idle_ns == NEVER_NS:
            return NEVER_NS
        return self.idle[0].idle_since_ns + idle_ns

    def deadline_ns(self) -> int:
        """When the first held request gives up, which it does only while no replica is ready."""
        if not self.held or self.ready or self.spec.wait_limit_ns == NEVER_NS:
            return NEVER_NS
        return max(self.zero_since_ns, self.held[0].arrival_ns + self.spec.wait_limit_ns)

    def retry_ns(self) -> int:
        """When the next request is tried again."""
        return min(self.waiting)[0] if self.waiting else NEVER_NS

    def first_in_line(self) -> Request | None:
        """Of the requests whose clients are there the one that came first."""
        there = [*self.held]
        for replica in self.replicas():
            there += [*replica.queue, *(request for request in replica.serves if not request.gone)]
        return min(there, key=lambda request: request.nth, default=None)

    def give_up_ns(self) -> int:
        """When the next client gives up."""
        timeout_ns = self.spec.client.timeout_ns
        first = self.first_in_line() if timeout_ns != NEVER_NS else None
        if first is None:
            return NEVER_NS
        return first.arrival_ns + max(0, timeout_ns - self.spec.round_trip_ns)

    # ------------------------------------------------------------ what it has done

    def bring_to(self, now_ns: int) -> None:
        """Add to every integral what is there now; called before anything changes."""
        span_ns = now_ns - self.upto_ns
        busy = self.busy
        for name, count in (
            ("system", self.pending),
            ("unplaced", self.unplaced),
            ("starting", self.starting),
            ("idle", len(self.ready) - busy),
            ("busy", busy),
            ("draining", self.draining),
        ):
            self.sums[name] += count * span_ns
        self.upto_ns = now_ns

    def replica_ms(self, now_ns: int) -> int:
        """Billed replica-milliseconds."""
        return self.billed_ms + self.billed * (now_ns // NS_PER_MS)

    # ------------------------------------------------------------ the scaling rule

    def start_rule(self, at_ns: int) -> None:
        """The rule begins: due at `at_ns`, nothing desired before."""
        policy = self.spec.scaling.policy
        self.memory = [0] * scaling.STATE_LENGTH
        if isinstance(self.spec.scaling, OwnScaling):
            self.own = self.spec.scaling.make()
            self.memory[scaling.NEXT_NS] = at_ns
        else:
            start: Any = STARTS[policy]
            start(self.memory, at_ns)
        self.desired = 0
        self.tick_ns = NEVER_NS if self.per_request else self.memory[scaling.NEXT_NS]
        self.apply_ns = at_ns if self.per_request else NEVER_NS
        self.seen_ns = at_ns
        self.seen_request_ns = self.sums["system"] + self.pending * (at_ns - self.upto_ns)

    def touch(self, now_ns: int) -> None:
        """A request came or went."""
        if self.spec.scaling.policy == "keda":
            scaling.keda_touch(self.memory, now_ns)

    def call_rule(self, now_ns: int) -> None:
        """Ask the rule how many replicas it wants; carried out by an event of its own at this instant."""
        if isinstance(self.spec.scaling, OwnScaling):
            self._call_own(self.spec.scaling, now_ns)
            return
        pending_m = self.pending * 1000
        policy, params = self.spec.scaling.policy, self.spec.scaling.params
        rule: Any = RULES[policy]
        if policy == "kpa":
            self.bring_to(now_ns)
            work, span_ns = self.sums["system"] - self.seen_request_ns, now_ns - self.seen_ns
            mean_m = -(-work * 1000 // span_ns) if self.desired != 0 and span_ns > 0 else pending_m
            self.seen_request_ns, self.seen_ns = self.sums["system"], now_ns
            self.desired = rule(self.memory, params, now_ns, mean_m, len(self.ready))
        if policy != "kpa" or (self.desired == 0 and pending_m > 0):
            self.desired = rule(self.memory, params, now_ns, pending_m, len(self.ready))
        self.tick_ns = self.memory[scaling.NEXT_NS]
        self.apply_ns = now_ns if self.wanted() != 0 else NEVER_NS

    def _call_own(self, scaling_: OwnScaling, now_ns: int) -> None:
        """As `call_rule`, of a rule that somebody brought."""
        self.bring_to(now_ns)
        work, span_ns = self.sums["system"] - self.seen_request_ns, now_ns - self.seen_ns
        self.seen_request_ns, self.seen_ns = self.sums["system"], now_ns
        demand = Demand(
            now_ns=now_ns,
            pending=self.pending,
            mean_pending=work / span_ns if span_ns > 0 else float(self.pending),
            ready=len(self.ready),
            starting=self.unplaced + self.starting,
            wanted=self.desired,
            chance=scaling_.chance,
        )
        wanted = scaling_.asked(self.own, demand)
        self.desired = wanted.replicas
        self.tick_ns = min(now_ns + wanted.after_ns, NEVER_NS)
        self.apply_ns = now_ns if self.wanted() != 0 else NEVER_NS
