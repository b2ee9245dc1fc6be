"""The observer that knows everything: exact exhaustions, honest meters, counters of attempts and lives.

It is no party. It looks at a provider's machines whenever they are read and at a channel's funds whenever a
block changes them, prices what ran by the agreement, and hands the results to the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from protocol import manifest
from protocol.hosting import HostedPod
from protocol.metering import Meter
from protocol.payment import ChannelKey, Deposited
from protocol.pricing import COST_SCALE
from protocol.units import Resource
from sim.dues import Dues
from sim.exhaustion import CHANGES_KEPT, Exhaustions, Purse
from sim.kernel import sketches
from sim.kernel.specs import OUTCOMES

if TYPE_CHECKING:
    from protocol.pricing import PriceTable
    from sim.chain.model import Mined
    from sim.cluster import Machines, Tenant
    from sim.fleet import Fleet
    from sim.kernel.arrays import Array
    from sim.kernel.specs import PodCounters
    from sim.parties import ProviderParty
    from sim.world import World

PARTS: Final = ("scheduling_ns", "pull_ns", "decryption_ns", "application_ns")
"""Of a replica's start."""
TAIL: Final = 100
"""A quantile is told only with so many requests beyond it."""


@dataclass(slots=True)
class Lease:
    """A tenant and its agreement."""

    party: ProviderParty
    tenant: Tenant
    key: ChannelKey
    life: int
    grace_s: int
    prices: PriceTable
    meter: Meter
    purse: Purse

    def invested(self, world: World) -> int:
        """What its channel holds and has held in this life [base units]."""
        channel = world.blocks.ledger.book.channel(self.key)
        return channel.invested_by_publisher if channel is not None and channel.life == self.life else 0


class Watcher:
    """Watches all providers of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dues = Dues()
        self._restless: set[int] = set()  # providers with pods whose funds have to be looked at
        self._exhaustions: dict[str, Exhaustions] = {}
        self._closed: dict[str, int] = {}  # the account of what a provider's removed pods owe
        self._machines: list[Machines] = []
        self._leases: dict[tuple[str, str], Lease] = {}
        self._by_key: dict[ChannelKey, Lease] = {}
        self._pods: list[str] = [m.name for m in world.scenario.publisher_members()]

    def owed(self, fleet: Fleet, now_ns: int) -> Array:
        """What each provider's pods owe, removed ones included [base units]; all were looked at by `glance` now.

        Returns:
            uint64 [providers and one that owns nothing, 2]: numbers of 128 bits; see `sim.kernel.wide`.
        """
        replica_ms = fleet.replica_ms(self._dues.owners, self._dues.handles, now_ns)
        return self._dues.owed(replica_ms, len(self._exhaustions) + 1)

    def glance(self, now_ns: int, transitions: Array) -> None:
        """Look at all funds that may be used up; of most providers that are none.

        Args:
            now_ns: the present, to which all planes have come [Unix ns].
            transitions: how many each provider's plane has, so that no more and more of them are kept.
        """
        many = np.flatnonzero(transitions >= CHANGES_KEPT)
        for number in sorted(self._restless.union(many.tolist())):
            self._machines[number].glance(now_ns)

    def attach(self, party: ProviderParty) -> None:
        """Watch a provider's machines."""
        owner = len(self._machines)
        watched = self._exhaustions[party.name] = Exhaustions(self._dues, owner, self._restless)
        self._closed[party.name] = self._dues.open(owner)
        machines = party.machines
        self._machines.append(machines)

        def read(now_ns: int) -> None:
            watched.take(machines.plane.take_transitions())
            for tenant in machines.tenants.values():
                watched.look(tenant, now_ns)

        def glance(now_ns: int) -> None:
            if machines.plane.has_transitions:
                watched.take(machines.plane.take_transitions())
            for tenant in watched.due():
                machines.read(tenant, now_ns)
                watched.look(tenant, now_ns)

        machines.on_read, machines.on_glance = read, glance
        machines.on_configured = lambda tenant, now_ns: self._configured(party, tenant, now_ns)
        machines.on_removed = lambda tenant, now_ns: self._removed(party, tenant, now_ns)

    # ------------------------------------------------------------ tenants come and go

    def _configured(self, party: ProviderParty, tenant: Tenant, now_ns: int) -> None:
        watched = self._exhaustions[party.name]
        replica = manifest.pod_resources(tenant.workload.pod)
        volumes = manifest.volume_resources(tenant.workload.pod)
        meter = watched.watched(tenant)
        if meter is not None:
            meter.configure(tenant.workload.version, replica=replica, volumes=volumes)
            lease = self._leases.get((party.name, tenant.name))
            if lease is not None:
                self._fund(lease)  # other volumes, another reserve for the grace time
            return
        assert party.client is not None
        hosted: HostedPod = party.client.pods[tenant.name]
        meter = Meter.begin(life=hosted.life)
        meter.configure(tenant.workload.version, replica=replica, volumes=volumes)
        purse = Purse(hosted.key, hosted.life)
        lease = Lease(
            party, tenant, hosted.key, hosted.life, hosted.offer.grace_s, hosted.prices, meter, purse
        )
        self._leases[party.name, tenant.name] = self._by_key[hosted.key] = lease
        self._fund(lease)
        watched.begin(tenant, purse, hosted.prices, meter, now_ns)

    def _fund(self, lease: Lease) -> None:
        lease.purse.holds = lease.invested(self._world) - lease.meter.reserve(
            lease.prices, grace_s=lease.grace_s
        )
        self._exhaustions[lease.party.name].disturb(lease.tenant)

    def mined(self, mined: Mined) -> None:
        """A block may have changed what channels hold: look before, then take the new amounts."""
        now_ns = int(self._world.env.now)
        undone = [receipt for change in mined.undone for receipt in change.receipts]
        for receipt in (*undone, *mined.receipts):
            for event in receipt.events:
                if isinstance(event, Deposited) and event.key in self._by_key:
                    lease = self._by_key[event.key]
                    lease.party.machines.read_all(now_ns)
                    self._fund(lease)

    def _removed(self, party: ProviderParty, tenant: Tenant, now_ns: int) -> None:
        self._exhaustions[party.name].look(tenant, now_ns)
        self._exhaustions[party.name].end(tenant)
        lease = self._leases.pop((party.name, tenant.name))
        del self._by_key[lease.key]
        self._close(lease, now_ns)

    def _close(self, lease: Lease, now_ns: int) -> None:
        """Put what the tenant did into its attempt's row and its channel's row."""
        tenant, recorder = lease.tenant, self._world.recorder
        lease.meter.read(now_ns, tenant.readings)
        owed = lease.meter.owed(lease.prices)
        caller = tenant.caller
        counters = caller.count(now_ns)
        latency = {
            "all": caller.plane.sketch(caller.handle),
            "cold": caller.plane.cold_sketch(caller.handle),
        }
        lease.party.closed_owed += owed
        self._dues.put(self._closed[lease.party.name], lease.party.closed_owed * COST_SCALE)
        lease.party.unpaid += max(0, owed - lease.invested(self._world))
        lease.party.cpu_millis_ms += lease.meter.cumulative().get((Resource.CPU, False), 0)
        attempt = recorder.attempt_of(lease.party.name, tenant.name)
        assert attempt is not None, f"{tenant.name} runs and was never accepted"
        attempt.row |= counted(counters) | latencies(latency["all"]) | {"owed": owed}
        attempt.row |= latencies(latency["cold"], "cold_")
        attempt.row["billed_replica_ms"] = sum(r.replica_ms for r in tenant.readings)
        attempt.row["round_trip_ns"] = caller.spec.round_trip_ns
        attempt.run_ms = counters.billed_ms
        pod = attempt.row["pod"]
        for kind, sketch in latency.items():
            buckets = sketch.nonzero()[0]
            numbers, counts = (buckets + sketches.FIRST_BUCKET).tolist(), sketch[buckets].tolist()
            recorder.writer.extend(
                "latency",
                zip(repeat(pod), repeat(lease.party.name), repeat(kind), numbers, counts, strict=False),
            )
        life = recorder.newest.get(lease.key)  # a pod is removed before its channel's next life begins
        if life is not None and life.row["life"] != lease.life:
            life = next(
                (x for x in reversed(recorder.lives) if (x.key, x.row["life"]) == (lease.key, lease.life)),
                None,
            )
        if life is None:
            assert recorder.believed, f"{tenant.name} runs on a channel that never was"
            return
        life.row["owed"] = owed
        life.row["exhausted_ns"] = lease.purse.exhausted_ns
        if lease.purse.exhausted_ns is not None:
            life.row["overrun"] = max(0, owed - lease.purse.holds)

    def take_requests(self, now_ns: int) -> None:
        """Rows of all sampled requests that have ended; before the writer writes what is older than an hour."""
        world = self._world
        for name, party in world.providers.items():
            party.machines.plane.advance(now_ns)
            self._requests(name, party.machines.plane.take_requests())
        world.nowhere.advance(now_ns)
        self._requests("", world.nowhere.take_requests())

    def finish(self, now_ns: int) -> list[Lease]:
        """At the end of the run: everything that still runs is read for the last time."""
        for party in self._world.providers.values():
            party.machines.read_all(now_ns)
        self.take_requests(now_ns)
        open_leases = list(self._leases.values())
        for lease in open_leases:
            self._close(lease, now_ns)
        return open_leases

    # ------------------------------------------------------------ single requests

    def _requests(self, provider: str, rows: Any) -> None:
        """Sampled requests of one plane, as rows."""
        if not len(rows):
            return
        outcomes = ["limit" if name == "overflow" else name for name in OUTCOMES]
        pods = [self._pods[i] for i in rows["pod_index"]]
        trips = {pod: self._world.round_trip_ns(pod, provider) if provider else 0 for pod in set(pods)}
        self._world.writer.append_array(
            "requests",
            {
                "pod": pods,
                "provider": provider,
                "number": rows["index"],
                "arrival_ns": rows["arrival_ns"],
                "start_ns": np.ma.masked_less(rows["start_ns"], 0),
                "end_ns": rows["end_ns"],
                "outcome": [outcomes[i] for i in rows["outcome"]],
                "cold": rows["cold"] == 1,
                "replica": np.ma.masked_less(rows["replica"], 0),
                "attempt": rows["attempt"] + 1,
                "round_trip_ns": np.array([trips[pod] for pod in pods]),
                **{name: np.ma.masked_less(rows[name], 0) for name in PARTS},
            },
        )


def counted(counters: PodCounters) -> dict[str, int]:
    """A tenant's counters as the columns of `deployments`."""
    failed = counters.failed
    return {
        "arrivals": counters.arrivals,
        "retried": counters.retried,
        "served": counters.served,
        "failed_timeout": failed["timeout"],
        "failed_client_timeout": failed["client_timeout"],
        "failed_unreachable": failed["unreachable"],
        "failed_crashed": failed["crashed"],
        "failed_evicted": failed["evicted"],
        "failed_suspended": failed["suspended"],
        "failed_limit": failed["overflow"],
        "pending_at_end": counters.held + counters.queued + counters.in_flight,
        "cold": counters.cold,
        "replica_starts": counters.starts,
        "replicas_ready": counters.warmed,
        **{name: getattr(counters, name) for name in PARTS},
        "starting_ns": counters.starting_replica_ns + counters.unplaced_replica_ns,
        "idle_ns": counters.idle_replica_ns,
        "busy_ns": counters.busy_replica_ns,
        "draining_ns": counters.draining_replica_ns,
    }


def latencies(sketch: sketches.Sketch, prefix: str = "") -> dict[str, float | None]:
    """The quantiles of a latency sketch that it has enough requests for [ms], as the columns of `deployments`."""
    total = sketches.count(sketch)
    found: dict[str, float | None] = {}
    for name, prob in (("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99)):
        value = (
            sketches.quantile_ns(sketch, prob)
            if total and (prob == 0.5 or total * (1 - prob) >= TAIL)
            else None
        )
        found[prefix + name] = None if value is None else value / 1e6
    return found
