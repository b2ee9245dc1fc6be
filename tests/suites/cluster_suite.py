"""What `Cluster` promises: every call may be repeated, meters only grow, and nothing is left of what was refused."""

from __future__ import annotations

from typing import Protocol

from protocol import manifest
from protocol.ports import (
    Cluster,
    ClusterRefused,
    Endpoint,
    LogPage,
    Mark,
    PodState,
    Reading,
    Unknown,
    Usage,
    Workload,
)
from protocol.units import Resource
from tests.suites.bench import Bench, after, pause


class ClusterBench(Bench, Protocol):
    """An empty cluster with at least two cores and 2 GiB of disk.

    Attributes:
        cluster: the provider's.
        start_up: units within which a replica runs.
    """

    @property
    def cluster(self) -> Cluster: ...

    @property
    def start_up(self) -> float: ...

    def workload(self, number: int, version: int, pod: manifest.Pod) -> Workload:
        """What the cluster is asked to run in the `number`-th pod's namespace (0 or 1)."""
        ...


def a_pod(host: str | None = None, cpu: str = "100m", storage: str | None = None) -> manifest.Pod:
    """One container that always has a replica."""
    container = {"name": "web", "image": "web:1", "port": 80, "resources": {"cpu": cpu}}
    if host:
        container["host"] = host
    if storage:
        container["volumes"] = [{"mountPath": "/data", "storage": storage}]
    return manifest.parse({"containers": [container], "replicas": {"min": 1, "max": 1}})


class ClusterSuite:
    """Every adapter of `Cluster`."""

    def configure(
        self, bench: ClusterBench, pod: manifest.Pod, *, number: int = 0, version: int = 1
    ) -> tuple[Endpoint, ...] | ClusterRefused:
        workload = bench.workload(number, version, pod)
        done = bench.run(bench.cluster.configure(workload, deadline_ns=after(bench, 60)))
        assert not isinstance(done, Unknown)
        return done

    def name(self, bench: ClusterBench, number: int = 0) -> str:
        return bench.workload(number, 1, a_pod()).namespace

    def readings(self, bench: ClusterBench, number: int = 0) -> list[Reading]:
        usage = bench.run(bench.cluster.usage(deadline_ns=after(bench, 60)))
        assert isinstance(usage, Usage)
        assert usage.at_ns <= bench.clock.now_ns()
        found = usage.readings.get(self.name(bench, number), ())
        return [Reading(r.version, r.replica_ms, r.bound_ms, r.egress_bytes, r.ingress_bytes) for r in found]

    def states(self, bench: ClusterBench) -> dict[str, PodState]:
        states = bench.run(bench.cluster.states(deadline_ns=after(bench, 60)))
        assert not isinstance(states, Unknown)
        return dict(states)

    def free(self, bench: ClusterBench, resource: Resource) -> int:
        capacity = bench.run(bench.cluster.capacity(deadline_ns=after(bench, 60)))
        assert not isinstance(capacity, Unknown)
        return capacity.get(resource, 0)

    def end(self, bench: ClusterBench, what: str, number: int = 0) -> None:
        call = getattr(bench.cluster, what)
        assert bench.run(call(self.name(bench, number), deadline_ns=after(bench, 60))) is None

    def wait(self, bench: ClusterBench, units: float) -> None:
        bench.run(pause(bench, units))

    def test_a_configured_pod_runs_and_has_an_address(self, bench: ClusterBench) -> None:
        endpoints = self.configure(bench, a_pod("a.example"))
        assert not isinstance(endpoints, ClusterRefused)
        (endpoint,) = endpoints
        assert (endpoint.container, endpoint.port) == ("web", 80) and endpoint.multiaddr.startswith("/")
        assert self.states(bench) == {self.name(bench): PodState.CONFIGURED}
        self.wait(bench, bench.start_up)
        before = self.readings(bench)[0].replica_ms
        self.wait(bench, 5)
        grown_ms = self.readings(bench)[0].replica_ms - before
        assert 3 * bench.unit_ns // 10**6 <= grown_ms <= 50 * bench.unit_ns // 10**6

    def test_only_who_is_beyond_its_mark_is_to_be_looked_at(self, bench: ClusterBench) -> None:
        """And what is below it can be read all the same, as it was then."""
        for number in (0, 1):
            self.configure(bench, a_pod(), number=number)
        self.wait(bench, bench.start_up + 2)
        one, two = self.name(bench), self.name(bench, 1)
        far = Mark(1, 10**12)

        def look(marks: dict[str, Mark]) -> Usage:
            usage = bench.run(bench.cluster.usage(marks, deadline_ns=after(bench, 60)))
            assert isinstance(usage, Usage)
            return usage

        first = look({one: far, two: Mark(1, 0)})
        assert one not in first.passed and two in first.passed
        assert one in look({}).passed and two in look({}).passed
        assert one in look({one: Mark(2, 10**12)}).passed  # a version that it has not
        then = [r.replica_ms for r in first.readings[one]]
        exact = {one: Mark(1, then[0]), two: far}
        self.wait(bench, 5)
        later = look(exact)
        assert one in later.passed and two not in later.passed
        assert (
            [r.replica_ms for r in first.readings[one]] == then < [r.replica_ms for r in later.readings[one]]
        )
        self.configure(bench, a_pod(cpu="200m"), version=2)
        assert one in look({one: far, two: far}).passed
        assert one in look({one: Mark(2, 10**12)}).passed  # what the first version ran costs something else
        kept = [r.replica_ms for r in later.readings[two]]
        self.end(bench, "remove", 1)
        assert [r.replica_ms for r in later.readings[two]] == kept
        assert look({two: far}).readings[two][0].replica_ms >= kept[0]

    def test_configuring_again_changes_nothing(self, bench: ClusterBench) -> None:
        first = self.configure(bench, a_pod("a.example"))
        self.wait(bench, bench.start_up + 2)
        before = self.readings(bench)
        assert self.configure(bench, a_pod("a.example")) == first
        after_it = self.readings(bench)
        assert len(after_it) == 1 and after_it[0].replica_ms >= before[0].replica_ms > 0

    def test_an_update_has_meters_of_its_own_and_an_older_version_does_nothing(
        self, bench: ClusterBench
    ) -> None:
        self.configure(bench, a_pod(storage="1Gi"))
        self.wait(bench, bench.start_up + 2)
        self.configure(bench, a_pod(storage="1Gi", cpu="200m"), version=2)
        old = self.readings(bench)[0]
        self.configure(bench, a_pod(storage="1Gi"), version=1)
        self.wait(bench, bench.start_up + 2)
        first, second = self.readings(bench)
        assert [first.version, second.version] == [1, 2]
        assert first == old and second.replica_ms > 0 and second.bound_ms > 0
        assert self.states(bench) == {self.name(bench): PodState.CONFIGURED}

    def test_a_host_has_one_pod(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod("a.example"))
        refused = self.configure(bench, a_pod("a.example"), number=1)
        assert isinstance(refused, ClusterRefused)
        assert refused.rule == "HostTaken" and "a.example" in refused.detail
        assert list(self.states(bench)) == [self.name(bench)]
        self.end(bench, "remove")
        assert not isinstance(self.configure(bench, a_pod("a.example"), number=1), ClusterRefused)

    def test_what_is_promised_is_not_free(self, bench: ClusterBench) -> None:
        cpu, disk = self.free(bench, Resource.CPU), self.free(bench, Resource.STORAGE)
        self.configure(bench, a_pod(storage="1Gi"))
        assert self.free(bench, Resource.CPU) == cpu - 100
        assert self.free(bench, Resource.STORAGE) == disk - 2**30
        self.end(bench, "suspend")
        assert self.free(bench, Resource.STORAGE) == disk - 2**30
        self.end(bench, "remove")
        assert (self.free(bench, Resource.CPU), self.free(bench, Resource.STORAGE)) == (cpu, disk)

    def test_nothing_runs_once_it_is_suspended_and_volumes_stay(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod(storage="1Gi"))
        self.wait(bench, bench.start_up + 2)
        for _ in range(2):
            self.end(bench, "suspend")
        stopped = self.readings(bench)[0]
        self.wait(bench, 5)
        later = self.readings(bench)[0]
        assert later.replica_ms == stopped.replica_ms
        assert later.bound_ms >= stopped.bound_ms + 4 * bench.unit_ns // 10**6
        assert self.states(bench) == {self.name(bench): PodState.SUSPENDED}
        for _ in range(2):
            self.end(bench, "resume")
        self.wait(bench, bench.start_up + 2)
        assert self.readings(bench)[0].replica_ms > later.replica_ms
        assert self.states(bench) == {self.name(bench): PodState.CONFIGURED}

    def test_a_removed_pod_keeps_its_last_reading_until_it_is_forgotten(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod(storage="1Gi"))
        self.wait(bench, bench.start_up + 2)
        for _ in range(2):
            self.end(bench, "remove")
        last = self.readings(bench)
        self.wait(bench, 3)
        assert self.readings(bench) == last and last[0].replica_ms > 0
        assert self.states(bench) == {}
        for _ in range(2):
            bench.run(bench.cluster.forget(self.name(bench)))
        assert self.readings(bench) == []

    def test_what_runs_is_not_forgotten(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod())
        bench.run(bench.cluster.forget(self.name(bench)))
        assert self.states(bench) == {self.name(bench): PodState.CONFIGURED}

    def test_calls_about_a_pod_that_is_not_there_do_nothing(self, bench: ClusterBench) -> None:
        for what in ("suspend", "resume", "remove"):
            self.end(bench, what)
        bench.run(bench.cluster.forget(self.name(bench)))
        assert self.states(bench) == {}

    def test_a_pod_removed_and_configured_again_starts_its_meters_at_zero(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod())
        self.wait(bench, bench.start_up + 5)
        self.end(bench, "remove")
        bench.run(bench.cluster.forget(self.name(bench)))
        self.configure(bench, a_pod())
        (reading,) = self.readings(bench)
        assert reading.version == 1 and reading.replica_ms <= bench.unit_ns // 10**6

    def test_logs_come_in_pages(self, bench: ClusterBench) -> None:
        self.configure(bench, a_pod())
        self.wait(bench, bench.start_up + 2)
        self.configure(bench, a_pod(cpu="200m"), version=2)
        self.wait(bench, bench.start_up + 2)

        def page(cursor: str, limit: int) -> LogPage:
            found = bench.run(
                bench.cluster.logs(self.name(bench), "web", cursor, limit=limit, deadline_ns=after(bench, 60))
            )
            assert isinstance(found, LogPage)
            return found

        whole = page("", 100)
        assert len(whole.lines) >= 2
        assert [at for at, _, _ in whole.lines] == sorted(at for at, _, _ in whole.lines)
        first = page("", 1)
        second = page(first.cursor, 1)
        assert first.lines + second.lines == whole.lines[:2]
        assert page(whole.cursor, 100).lines == ()
