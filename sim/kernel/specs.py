"""What a data plane is told: nodes, pods, start-up, scaling, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from protocol.errors import BadInput
from protocol.units import NEVER_NS
from sim.kernel.draws import stream_key
from sim.laws import Constant, Law
from sim.traffic import Traffic

Policy = Literal["keda", "kpa", "per_request", "fixed"]
Discipline = Literal["slots", "processor_sharing"]
Dispatch = Literal["least", "central", "random", "round_robin"]

WAIT_LIMIT_NS: Final = 40_000_000_000
"""How long the facade holds a request for a pod without a ready replica before it answers 502 [ns]."""

LONGEST_NS: Final = 10**18
"""Longest timeout and round trip: 31 years, as long as a draw may be [ns]."""
MOST_RETRIES: Final = 1000

SERVED: Final = 0
TIMEOUT: Final = 1
UNREACHABLE: Final = 2
EVICTED: Final = 3
CRASHED: Final = 4
SUSPENDED: Final = 5
OVERFLOW: Final = 6
CLIENT_TIMEOUT: Final = 7
OUTCOMES: Final = (
    *("served", "timeout", "unreachable", "evicted", "crashed", "suspended", "overflow"),
    "client_timeout",
)
"""How a request ends; the `outcome` column of sampled requests is an index into this."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One machine of a provider.

    Args:
        cpu_millis: allocatable processor time [millicores].
        memory_bytes: allocatable memory [bytes].
        gpus: devices.
        pull_bytes_per_s: bandwidth that image pulls share equally [bytes/s], above 0.
        image_cache_bytes: room for images, least recently used go first [bytes]; 0: nothing is kept.
    """

    cpu_millis: int
    memory_bytes: int
    gpus: int = 0
    pull_bytes_per_s: int = 125_000_000
    image_cache_bytes: int = 1 << 40

    def __post_init__(self) -> None:
        if min(self.cpu_millis, self.memory_bytes, self.gpus, self.image_cache_bytes) < 0 or (
            self.pull_bytes_per_s <= 0
        ):
            raise BadInput(f"{self!r}: nothing may be negative and pull_bytes_per_s must be above 0")


@dataclass(frozen=True, slots=True)
class StartUp:
    """The parts of a cold start besides the image pull.

    Args:
        schedule: from placement to the start of the pull [s].
        decrypt_bytes_per_s: how fast the pulled image is decrypted [bytes/s]; 0: it is not encrypted.
        application: from container start (billed from here) to ready [s].
    """

    schedule: Law = Constant(0.0)
    decrypt_bytes_per_s: int = 0
    application: Law = Constant(0.0)


@dataclass(frozen=True, slots=True)
class Scaling:
    """A scaling rule of `protocol.scaling` and its parameters.

    Args:
        policy: which rule.
        params: what the rule's `*_params` function made (`scaling.PARAMS_LENGTH` integers).
    """

    policy: Policy
    params: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Philox keys of the five streams of one pod.

    Args:
        requests: counter k gives request k's arrival (first uniform) and service demand (second).
        bursts: MMPP sojourns, and the busy second of a `bursty` minute.
        start_up: counter j gives replica j's scheduling and application start.
        dispatch: counter k gives request k's replica when dispatch is `random`.
        retries: counter k + 2^40 a gives request k's wait before its attempt a, from 1 (first uniform), and what
            that demands (second); its replica when dispatch is `random` is that counter of `dispatch`.
    """

    requests: tuple[int, int]
    bursts: tuple[int, int]
    start_up: tuple[int, int]
    dispatch: tuple[int, int]
    retries: tuple[int, int]

    @staticmethod
    def of(seed: int, replication: int, path: str) -> Keys:
        """Keys of the pod at `path` in the scenario, in replication `replication` of `seed`."""
        return Keys(
            stream_key(seed, replication, "requests", path),
            stream_key(seed, replication, "bursts", path),
            stream_key(seed, replication, "start_up", path),
            stream_key(seed, replication, "dispatch", path),
            stream_key(seed, replication, "retries", path),
        )


@dataclass(frozen=True, slots=True)
class Client:
    """What whoever calls a pod does when no answer comes.

    Args:
        timeout_ns: after so long from sending it gives an attempt up (`client_timeout`), the way there and back
            included; `NEVER_NS`: it waits for ever.
        retries: how often it tries again after an attempt that failed, whatever failed it.
        backoff: how long it waits before its first retry [s].
        backoff_times: each further wait is so many times as long, 1 or more.
    """

    timeout_ns: int = NEVER_NS
    retries: int = 0
    backoff: Law = Constant(0.0)
    backoff_times: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.timeout_ns <= LONGEST_NS or self.timeout_ns == NEVER_NS):
            raise BadInput(f"timeout_ns {self.timeout_ns}: above 0, at most {LONGEST_NS}, or NEVER_NS")
        if not 0 <= self.retries <= MOST_RETRIES or not 1.0 <= self.backoff_times < math.inf:
            raise BadInput(f"{self!r}: retries from 0 to {MOST_RETRIES}, backoff_times from 1 and finite")


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One pod as a provider runs it.

    Args:
        pod_index: stable number, unique in the world; orders pods at equal instants.
        keys: the pod's random streams.
        traffic: when its requests come.
        service: service demand of a request [s].
        scaling: how many replicas it runs, and when.
        first_service: demand of the first request that a fresh replica serves [s]; None: `service`.
        request_bytes: size of a request; counted as ingress when it was served.
        response_bytes: size of a response; counted as egress when it was served.
        slots: requests one replica serves at once (`slots`), or its processors (`processor_sharing`: n
            requests each progress at rate min(1, slots / n)).
        discipline: how a replica serves.
        dispatch: which ready replica gets a request. `least`: fewest requests in flight, ties the
            oldest; `central`: one queue for all; `random`; `round_robin`: in order of age. With the
            policy `per_request` it is the replica that has been idle for the shortest time.
        cpu_millis: what a replica reserves; its weight where there is contention for a node's processors.
        memory_bytes: what a replica reserves.
        gpus: what a replica reserves.
        image_id: number of the image; replicas with equal numbers share node caches and pulls.
        image_bytes: its size; 0: nothing to pull.
        start_up: the parts of a cold start.
        wait_limit_ns: a request held without a ready replica fails after so long (`timeout`).
        queue_limit: most requests that may wait where this one would wait; None: no limit. More fail
            (`overflow`). 0 makes a loss system.
        sample_every: requests whose index is a multiple are recorded; 0: none.
        byte_rows: one transition row for each served request (needed where bandwidth is priced).
        cpu_limit_millis: what a replica uses while it serves, if its node has that much to spare; None: what it
            reserves. `service` is what it takes at that speed, and longer with less (see `sim.kernel.contention`).
        client: what its callers do when no answer comes.
        round_trip_ns: from its callers to the facade and back. They send that much earlier and later see what is
            counted here at the facade; what they see is longer by it, and their timeout shorter here.
    """

    pod_index: int
    keys: Keys
    traffic: Traffic
    service: Law
    scaling: Scaling
    first_service: Law | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    slots: int = 1
    discipline: Discipline = "slots"
    dispatch: Dispatch = "least"
    cpu_millis: int = 0
    memory_bytes: int = 0
    gpus: int = 0
    image_id: int = 0
    image_bytes: int = 0
    start_up: StartUp = StartUp()
    wait_limit_ns: int = WAIT_LIMIT_NS
    queue_limit: int | None = None
    sample_every: int = 0
    byte_rows: bool = False
    cpu_limit_millis: int | None = None
    client: Client = Client()
    round_trip_ns: int = 0

    @property
    def most_cpu_millis(self) -> int:
        """What a replica uses at most."""
        return self.cpu_millis if self.cpu_limit_millis is None else self.cpu_limit_millis

    @property
    def bursts(self) -> bool:
        """Whether a replica may use more processor time than it reserves."""
        return self.most_cpu_millis > self.cpu_millis

    def __post_init__(self) -> None:
        if self.slots < 1 or self.sample_every < 0 or not 0 <= self.wait_limit_ns <= NEVER_NS:
            raise BadInput(f"pod {self.pod_index}: slots from 1, sample_every and wait_limit_ns from 0")
        if min(self.cpu_millis, self.memory_bytes, self.gpus, self.image_bytes, self.pod_index) < 0:
            raise BadInput(f"pod {self.pod_index}: resources, image_bytes and pod_index from 0")
        if self.most_cpu_millis < self.cpu_millis or (self.bursts and self.cpu_millis == 0):
            raise BadInput(
                f"pod {self.pod_index}: cpu_limit_millis {self.cpu_limit_millis} from cpu_millis {self.cpu_millis}, "
                "which must be above 0 when the limit is"
            )
        if not 0 <= self.round_trip_ns <= LONGEST_NS:
            raise BadInput(f"pod {self.pod_index}: round_trip_ns {self.round_trip_ns} from 0 to {LONGEST_NS}")
        if self.discipline == "processor_sharing" and self.dispatch == "central":
            raise BadInput(f"pod {self.pod_index}: processor sharing has no queue, so no central one")
        if self.scaling.policy == "per_request" and (self.slots != 1 or self.discipline != "slots"):
            raise BadInput(f"pod {self.pod_index}: per_request serves one request a replica")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a pod's arrivals stand, so that they go on elsewhere byte for byte. Made by `DataPlane.remove` and `depart`.

    Args:
        traffic, epoch_ns, state: of requests that come for the first time.
        retries: of those that will be tried again: the instant [Unix ns], the request's number, the attempt.
    """

    traffic: Traffic
    epoch_ns: int
    state: tuple[tuple[str, int | float], ...]
    retries: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PodCounters:
    """What one pod has done since it was hosted. Times in nanoseconds.

    A request that is tried again counts once for each attempt. Always:

    arrivals = served + sum(failed) + held + queued + in_flight;
    sum(failed) = retried + lost + waiting, for a pod that was hosted nowhere before.

    Attributes:
        arrivals: attempts that came.
        retried: those of them that were not a request's first.
        lost: requests of which no further attempt comes: the last one failed.
        waiting: requests that failed and will be tried again.
        served: requests answered.
        failed: requests that failed, by `OUTCOMES` name.
        cold: requests answered that had waited for a replica to start (no replica was ready, or the first
            of a fresh replica under `per_request`).
        starts: replicas created.
        delayed: requests whose service began later than they arrived.
        bytes_in: request bytes of the served.
        bytes_out: response bytes of the served.
        held: waiting at the facade now (no ready replica, or the central queue).
        queued: waiting at a replica now.
        in_flight: in service now, for a client that is still there.
        warmed: replicas that became ready.
        scheduling_ns, pull_ns, decryption_ns, application_ns: what that took them, from creation: until placed and
            scheduled, the image pull, its decryption, the application's start. The four make up all of it.
        unplaced, starting, idle, busy, draining: replicas by state now. `starting` is from placement to
            ready, `unplaced` waits for room on a node.
        billed: replicas billed now.
        wait_ns: sum over begun requests of (service start - arrival).
        latency_ns: sum over the served of (end - arrival), at the facade.
        system_request_ns: integral of requests in the system.
        unplaced_replica_ns, starting_replica_ns, idle_replica_ns, busy_replica_ns, draining_replica_ns:
            integrals of the replica counts.
        billed_ms: replica-milliseconds billed (see `DataPlane.replica_ms`).
    """

    arrivals: int
    served: int
    failed: dict[str, int]
    cold: int
    starts: int
    delayed: int
    bytes_in: int
    bytes_out: int
    held: int
    queued: int
    in_flight: int
    unplaced: int
    starting: int
    idle: int
    busy: int
    draining: int
    billed: int
    wait_ns: int
    latency_ns: int
    system_request_ns: int
    unplaced_replica_ns: int
    starting_replica_ns: int
    idle_replica_ns: int
    busy_replica_ns: int
    draining_replica_ns: int
    billed_ms: int
    retried: int
    lost: int
    waiting: int
    warmed: int
    scheduling_ns: int
    pull_ns: int
    decryption_ns: int
    application_ns: int


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What is allocated on a node now, never above its capacity, and what its busy replicas use.

    Attributes:
        cpu_wanted_millis: what the replicas that serve something want: the sum of their limits.
        cpu_given_millis: what they get: as much, or all that the node has.
    """

    up: bool
    cpu_millis: int
    memory_bytes: int
    gpus: int
    cached_bytes: int
    pulls: int
    cpu_wanted_millis: int
    cpu_given_millis: float
