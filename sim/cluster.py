"""`Cluster` on the data plane: one provider's nodes, volumes, hosts and meters.

Every call first advances the provider's data plane to now, so that control and data never see each other
early or late. What a pod's callers do belongs to the pod (`Callers`), wherever it runs and whether or
not it runs: a pod that nobody hosts lives in a plane without nodes, where every request fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from protocol import manifest, ports
from protocol.units import NS_PER_MS, Resource
from sim.telling import Telling

if TYPE_CHECKING:
    from protocol.ports import LogPage, Usage, Workload
    from sim.kernel.plane import DataPlane
    from sim.kernel.specs import NodeSpec, PodCounters, PodSpec
    from sim.tasks import Process

API_NS: Final = 50 * 1_000_000
"""What one write to the cluster's API takes [ns]; a kube-apiserver answers within 1 s at the 99th percentile
(Kubernetes scalability SLOs) and in tens of milliseconds in small clusters."""


@dataclass(slots=True)
class Unhosted:
    """Requests of a world that came when nobody hosted their pod, and whose pods were hosted since.

    Attributes:
        arrivals, failed: how many.
    """

    arrivals: int = 0
    failed: int = 0


@dataclass(slots=True)
class Caller:
    """The callers of one pod, and where they are served now.

    Attributes:
        name: the pod's, in the scenario.
        spec: what the plane is told of the pod; changes with an update.
        plane: where its requests arrive.
        handle: its number there.
        unhosted: where what found it not deployed is added up.
        tenant: what runs there for them; None: nothing.
        departed: whether they have gone elsewhere, and this is only what they left behind.
        arrivals, served, failed, retried, lost: of earlier planes.
    """

    name: str
    spec: PodSpec
    plane: DataPlane
    handle: int
    unhosted: Unhosted
    tenant: Tenant | None = None
    departed: bool = False
    arrivals: int = 0
    served: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0

    def count(self, now_ns: int) -> PodCounters:
        """What happened since the traffic came to this plane; the plane is advanced."""
        return self.plane.counters(self.handle, now_ns)

    def move(self, plane: DataPlane, spec: PodSpec, now_ns: int) -> None:
        """Take the traffic to another plane; it goes on where it was, byte for byte.

        What still runs where it was ends; its provider, which is down, will find it and remove it.
        """
        past = self.count(now_ns)
        self.arrivals += past.arrivals
        self.served += past.served
        self.retried += past.retried
        self.lost += past.lost
        failed = sum(past.failed.values())
        self.failed += failed
        if not self.plane.has_nodes:
            self.unhosted.arrivals += past.arrivals
            self.unhosted.failed += failed
        if self.tenant is None:
            source = self.plane.remove(self.handle, now_ns)
        else:
            source = self.plane.depart(self.handle, now_ns)
            self.tenant.caller = replace(self, departed=True)
            self.tenant = None
        self.plane, self.spec = plane, spec
        self.handle = plane.host(spec, source, now_ns)


@dataclass(slots=True)
class Tenant:
    """One namespace.

    Attributes:
        name: of the namespace.
        workload: what it runs.
        caller: who calls it.
        readings: its meters, one a version.
        reserve: what one replica reserves.
        state: as `states` says.
        bound_from_ms: since when this version's volumes have been bound; None once they are not.
        base: replica-milliseconds and bytes that belong to earlier versions or earlier hosts.
        log: lines of its log, each with its instant.
    """

    name: str
    workload: Workload
    caller: Caller
    readings: list[ports.Reading]
    reserve: Mapping[Resource, int]
    state: ports.PodState = ports.PodState.CONFIGURED
    bound_from_ms: int | None = None
    base: tuple[int, int, int] = (0, 0, 0)
    log: list[tuple[int, str, str]] = field(default_factory=list)


class Tally(NamedTuple):
    """What is counted of a provider's tenants, beside what its plane counts of those that are there.

    Attributes:
        running, suspended: how many are.
        arrivals, served, failed, cold: requests of tenants that were removed.
    """

    running: int = 0
    suspended: int = 0
    arrivals: int = 0
    served: int = 0
    failed: int = 0
    cold: int = 0

    def plus(self, **more: int) -> Tally:
        """With so many more."""
        return self._replace(**{name: getattr(self, name) + number for name, number in more.items()})


class Machines:
    """What outlives the provider's process: the plane, the tenants, the hosts they hold.

    Args:
        name: the provider's.
        plane: its data plane.
        nodes: its machines.
        nowhere: the plane of pods that nobody hosts.
        storage_bytes: disk for volumes, over all nodes.
        caller_of: the callers of a workload's pod, and what the plane is to be told of it.
    """

    def __init__(
        self,
        name: str,
        plane: DataPlane,
        nodes: Sequence[NodeSpec],
        nowhere: DataPlane,
        *,
        storage_bytes: int,
        caller_of: Callable[[Workload], tuple[Caller, PodSpec]],
    ) -> None:
        self.name = name
        self.plane = plane
        self.nodes = nodes
        self.nowhere = nowhere
        self.whole: Mapping[Resource, int] = {
            Resource.CPU: sum(n.cpu_millis for n in nodes),
            Resource.MEMORY: sum(n.memory_bytes for n in nodes),
            Resource.GPU: sum(n.gpus for n in nodes),
            Resource.STORAGE: storage_bytes,
        }
        self.caller_of = caller_of
        self.tenants: dict[str, Tenant] = {}
        self.tally = Tally()
        self.billed_ms: list[int] = []  # of every handle of the plane, when it was last looked at
        self._telling: Telling | None = None  # made when it is asked for
        self.on_configured: Callable[[Tenant, int], None] = lambda tenant, now_ns: None
        self.on_removed: Callable[[Tenant, int], None] = lambda tenant, now_ns: None
        self.on_read: Callable[[int], None] = lambda now_ns: None
        self.on_glance: Callable[[int], None] = lambda now_ns: None

    def read_all(self, now_ns: int) -> None:
        """Advance the plane, bring all readings up to now, and look at every pod's funds."""
        self._read_all(now_ns)
        self.on_read(now_ns)

    def glance(self, now_ns: int) -> None:
        """Advance the plane, and look at the funds that may be used up; other readings stay as they are."""
        self.billed_ms = self.plane.billed_ms(now_ns)
        self.on_glance(now_ns)

    def _read_all(self, now_ns: int) -> None:
        self.billed_ms = self.plane.billed_ms(now_ns)
        for tenant in self.tenants.values():
            if tenant.state is ports.PodState.REMOVED:
                continue
            spec = tenant.caller.spec
            if tenant.bound_from_ms is None and not (spec.request_bytes or spec.response_bytes):
                tenant.readings[-1].replica_ms = self.billed_ms[tenant.caller.handle] - tenant.base[0]
            else:
                self.read(tenant, now_ns)

    def told(self, marks: Mapping[str, ports.Mark] | None, now_ns: int) -> Usage:
        """What `ports.Cluster.usage` tells: all readings as of now, and the namespaces that are beyond their marks."""
        self.glance(now_ns)
        if self._telling is None:
            self._telling = Telling(self.tenants)
        for tenant in self._telling.looked_at:
            self.read(tenant, now_ns)
        return self._telling.told(marks, self.billed_ms, now_ns)

    def changed(self) -> None:
        """A tenant came, went or was updated: what it uses is read elsewhere."""
        self._telling = None

    def read(self, tenant: Tenant, now_ns: int) -> None:
        """Bring a tenant's readings up to now; the plane was looked at now."""
        caller, reading = tenant.caller, tenant.readings[-1]
        replica_ms, egress, ingress = tenant.base
        reading.replica_ms = self.billed_ms[caller.handle] - replica_ms
        if tenant.bound_from_ms is not None:
            reading.bound_ms = now_ns // NS_PER_MS - tenant.bound_from_ms
        if caller.spec.request_bytes or caller.spec.response_bytes:
            counters = caller.plane.counters(caller.handle, now_ns)
            reading.egress_bytes = counters.bytes_out - egress
            reading.ingress_bytes = counters.bytes_in - ingress


class SimCluster:
    """See `ports.Cluster`.

    Args:
        machines: the provider's.
        process: the provider's process.
    """

    def __init__(self, machines: Machines, process: Process) -> None:
        self._machines = machines
        self._process = process
        self._tenants = machines.tenants

    async def capacity(self, *, deadline_ns: int) -> Mapping[Resource, int] | ports.Unknown:
        """See `ports.Cluster.capacity`. Promised is what every pod's least replicas (at least one) reserve."""
        self._process.check()
        total = dict(self._machines.whole)
        for tenant in self._tenants.values():
            if tenant.state is ports.PodState.REMOVED:
                continue
            least = max(1, tenant.workload.pod.least_replicas)
            for resource, amount in tenant.reserve.items():
                total[resource] = total.get(resource, 0) - least * amount
            for resource, amount in manifest.volume_resources(tenant.workload.pod).items():
                total[resource] -= amount
        return total

    async def configure(
        self, workload: Workload, *, deadline_ns: int
    ) -> tuple[ports.Endpoint, ...] | ports.ClusterRefused | ports.Unknown:
        """See `ports.Cluster.configure`."""
        await self._process.sleep_until(self._process.now + API_NS)
        now_ns = self._process.now
        machines = self._machines
        tenant = self._tenants.get(workload.namespace)
        if hosts := workload.pod.hosts:
            taken = {
                host
                for t in self._tenants.values()
                if t.state is not ports.PodState.REMOVED and t.name != workload.namespace
                for host in t.workload.pod.hosts
            }
            for host in hosts:
                if host in taken:
                    return ports.ClusterRefused("HostTaken", f"{host} belongs to another pod")
        caller, spec = machines.caller_of(workload)
        machines.read_all(now_ns)
        if tenant is None or tenant.state is ports.PodState.REMOVED:
            caller.move(machines.plane, spec, now_ns)
            machines.plane.deploy(caller.handle, now_ns)
            tenant = Tenant(
                workload.namespace,
                workload,
                caller,
                [ports.Reading(workload.version, 0, 0, 0, 0)],
                manifest.pod_resources(workload.pod),
                bound_from_ms=_bound_from(workload, now_ns),
            )
            self._tenants[workload.namespace] = caller.tenant = tenant
            machines.tally = machines.tally.plus(running=1)
            tenant.log.append((now_ns, "stdout", f"version {workload.version} configured"))
        elif workload.version > tenant.workload.version:
            old = tenant.readings[-1]
            base = tenant.base
            tenant.base = (
                base[0] + old.replica_ms,
                base[1] + old.egress_bytes,
                base[2] + old.ingress_bytes,
            )
            machines.plane.update(caller.handle, spec, now_ns)
            caller.spec = spec
            tenant.workload, tenant.reserve = workload, manifest.pod_resources(workload.pod)
            tenant.readings.append(ports.Reading(workload.version, 0, 0, 0, 0))
            tenant.bound_from_ms = _bound_from(workload, now_ns)
            tenant.log.append((now_ns, "stdout", f"version {workload.version} configured"))
        machines.changed()
        machines.on_configured(tenant, now_ns)
        return tuple(
            ports.Endpoint(
                f"/dns4/{workload.namespace}.{machines.name}/tcp/443/https", c.name, p.container_port
            )
            for c in workload.pod.containers
            for p in c.ports
            if p.http_host is not None or p.tcp_port is not None
        )

    async def suspend(self, namespace: str, *, deadline_ns: int) -> ports.Unknown | None:
        """See `ports.Cluster.suspend`."""
        await self._process.sleep_until(self._process.now + API_NS)
        tenant, now_ns = self._tenants.get(namespace), self._process.now
        if tenant is not None and tenant.state is ports.PodState.CONFIGURED:
            self._machines.plane.suspend(tenant.caller.handle, now_ns)
            tenant.state = ports.PodState.SUSPENDED
            self._machines.tally = self._machines.tally.plus(running=-1, suspended=1)
            tenant.log.append((now_ns, "stdout", "suspended"))
        return None

    async def resume(self, namespace: str, *, deadline_ns: int) -> ports.Unknown | None:
        """See `ports.Cluster.resume`."""
        await self._process.sleep_until(self._process.now + API_NS)
        tenant, now_ns = self._tenants.get(namespace), self._process.now
        if tenant is not None and tenant.state is ports.PodState.SUSPENDED:
            self._machines.plane.resume(tenant.caller.handle, now_ns)
            tenant.state = ports.PodState.CONFIGURED
            self._machines.tally = self._machines.tally.plus(running=1, suspended=-1)
            tenant.log.append((now_ns, "stdout", "resumed"))
        return None

    async def remove(self, namespace: str, *, deadline_ns: int) -> ports.Unknown | None:
        """See `ports.Cluster.remove`."""
        await self._process.sleep_until(self._process.now + API_NS)
        tenant, now_ns = self._tenants.get(namespace), self._process.now
        if tenant is not None and tenant.state is not ports.PodState.REMOVED:
            machines = self._machines
            machines.plane.suspend(tenant.caller.handle, now_ns)
            machines.read_all(now_ns)
            machines.on_removed(tenant, now_ns)
            done = tenant.caller.count(now_ns)
            suspended = tenant.state is ports.PodState.SUSPENDED
            machines.tally = machines.tally.plus(
                running=not suspended and -1,
                suspended=suspended and -1,
                arrivals=done.arrivals,
                served=done.served,
                failed=sum(done.failed.values()),
                cold=done.cold,
            )
            tenant.state, tenant.bound_from_ms = ports.PodState.REMOVED, None
            machines.changed()
            if tenant.caller.departed:
                machines.plane.remove(tenant.caller.handle, now_ns)
            else:
                tenant.caller.tenant = None
                tenant.caller.move(machines.nowhere, tenant.caller.spec, now_ns)
        return None

    async def forget(self, namespace: str) -> None:
        """See `ports.Cluster.forget`."""
        self._process.check()
        tenant = self._tenants.get(namespace)
        if tenant is not None and tenant.state is ports.PodState.REMOVED:
            del self._tenants[namespace]
            self._machines.changed()

    async def usage(
        self, marks: Mapping[str, ports.Mark] | None = None, *, deadline_ns: int
    ) -> Usage | ports.Unknown:
        """See `ports.Cluster.usage`."""
        self._process.check()
        return self._machines.told(marks, self._process.now)

    async def states(self, *, deadline_ns: int) -> Mapping[str, ports.PodState] | ports.Unknown:
        """See `ports.Cluster.states`."""
        self._process.check()
        return {name: t.state for name, t in self._tenants.items() if t.state is not ports.PodState.REMOVED}

    async def logs(
        self, namespace: str, container: str, cursor: str, *, limit: int, deadline_ns: int
    ) -> LogPage | ports.Unknown:
        """See `ports.Cluster.logs`: what the cluster did with the pod, and how many requests it has served."""
        self._process.check()
        tenant = self._tenants.get(namespace)
        if tenant is None:
            return ports.Unknown("no such namespace")
        first = int(cursor or "0")
        lines = tuple(tenant.log[first : first + limit])
        return ports.LogPage(lines, str(first + len(lines)))


def _bound_from(workload: Workload, now_ns: int) -> int | None:
    """Since when a version's volumes are bound [ms]; None for a pod without any."""
    return now_ns // NS_PER_MS if manifest.volume_resources(workload.pod) else None


if TYPE_CHECKING:
    _is_a_cluster: type[ports.Cluster] = SimCluster
