"""Runs one replication from beginning to end: plans and faults, samples, the last look, what must hold."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import PolicyFault
from protocol.units import NS_PER_MS, NS_PER_S
from sim.closing import Closing
from sim.interrupts import Flag, flag
from sim.parties import ProviderParty
from sim.records.writer import RunWriter
from sim.sampling import Sampler
from sim.scenario.convert import to_law
from sim.scenario.quantities import write_duration
from sim.scenario.world import NodeCrash, PartitionFault, ProviderCrash, PublisherCrash, RpcLie, RpcSilence
from sim.tasks import call_at
from sim.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from simpy import Event

    from sim.kernel.streams import Stream
    from sim.parties import Party
    from sim.scenario.laws import Law
    from sim.scenario.model import Scenario

Progress = Callable[[int, int], None]
"""Told the virtual time reached [ns since the start] and the requests so far."""
LONGEST_S: Final = 1e9
"""A draw from a heavy tail is cut here [s]: 31 years."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replication ended.

    Attributes:
        reached_ns: the virtual instant that it came to [Unix ns].
        violations: invariants that broke, in words; empty when all held.
        interrupted: whether a person stopped it.
        warnings: what makes the run's figures mean something else than usual, in words.
    """

    reached_ns: int
    violations: tuple[str, ...]
    interrupted: bool
    warnings: tuple[str, ...] = ()


def simulate(
    scenario: Scenario,
    replication: int,
    directory: Path,
    progress: Progress | None = None,
    *,
    stop: Flag | None = None,
    threads: int = 1,
) -> Outcome:
    """Run one replication and write its tables.

    Args:
        scenario: what is simulated.
        replication: its number, from 0.
        directory: the run's directory.
        progress: told how far it is.
        stop: raised when it is to end before its time, between two events.
        threads: how many work on the data plane, from 1; they change no byte of the tables.
    """
    with RunWriter(directory, replication=replication) as writer:
        simulation = Simulation(scenario, replication, writer, progress, threads=threads)
        return simulation.run(stop)


class Simulation:
    """One replication.

    Args:
        scenario, replication, writer, progress, threads: see `simulate`.
    """

    def __init__(
        self,
        scenario: Scenario,
        replication: int,
        writer: RunWriter,
        progress: Progress | None = None,
        *,
        threads: int = 1,
    ) -> None:
        self.scenario = scenario
        self.writer = writer
        self.world = World(scenario, replication, writer)
        self._fleet = self.world.fleet(threads)
        self._sampler = Sampler(self.world, self._fleet)
        self._progress = progress
        self._violations: list[str] = []
        self._broken: Counter[str | tuple[str, int]] = Counter()  # faults that hold a provider's nodes down
        self._sampled_ns = -1
        self._plan()

    # ------------------------------------------------------------ plans

    def _plan(self) -> None:
        world = self.world
        for party in world.providers.values():
            party.begin()
            if party.member.group.failures is not None:
                self._fail_after(party, world.stream("failures", party.name))
        for group in self.scenario.publishers:
            arrivals = world.stream("arrive", group.name)
            law = to_law(group.arrive)
            at_ns = world.start_ns
            for index in range(group.count):
                publisher = world.publishers[f"{group.name}-{index}"]
                if group.arrive.constant_ns is None:
                    at_ns += int(arrivals.sample(law) * NS_PER_S)
                    arrive_ns = at_ns
                else:
                    arrive_ns = world.start_ns + group.arrive.constant_ns
                publisher.schedule(arrive_ns, self._leaves(publisher.name, group, arrive_ns))
        for fault in self.scenario.faults:
            begin_ns = world.start_ns + fault.at_ns
            begin, end = self._fault(fault)
            call_at(world.env, begin_ns, begin)
            call_at(world.env, begin_ns + fault.for_ns, end)
        for partition in self.scenario.network.partitions:
            begin_ns = world.start_ns + partition.at_ns
            one, other = partition.regions
            call_at(world.env, begin_ns, partial(world.web.cut, one, other))
            call_at(world.env, begin_ns + partition.for_ns, partial(world.web.mend, one, other))
        world.env.process(self._sampling())
        if self._fleet.slice_ns is not None:
            world.env.process(self._ahead(self._fleet.slice_ns))

    def _leaves(self, name: str, group: Any, arrive_ns: int) -> int | None:
        if group.lifetime == "forever":
            return None
        return arrive_ns + int(self.world.stream("lifetime", name).sample(to_law(group.lifetime)) * NS_PER_S)

    def _fail_after(self, party: ProviderParty, draws: Stream) -> None:
        """Plan a provider's next failure, and after it the one after, for ever."""
        env, failures = self.world.env, party.member.group.failures
        assert failures is not None

        def begin() -> None:
            self._crash(party, nodes=failures.nodes)
            call_at(env, int(env.now) + _drawn_ns(draws, failures.for_), end)

        def end() -> None:
            self._restore(party, nodes=failures.nodes)
            call_at(env, int(env.now) + _drawn_ns(draws, failures.every), begin)

        call_at(env, self.world.start_ns + _drawn_ns(draws, failures.every), begin)

    def _crash(self, party: ProviderParty, *, nodes: bool) -> None:
        """A provider's client ends, and with `nodes` its machines with what runs there."""
        party.fall()
        if nodes:
            for node in range(len(party.machines.nodes)):
                self._node_down(party, node)
            self._broken[party.name] += 1
            party.machines.plane.isolate(int(self.world.env.now))

    def _restore(self, party: ProviderParty, *, nodes: bool) -> None:
        """Undo one `_crash`; the last of overlapping ones brings it back."""
        if nodes:
            for node in range(len(party.machines.nodes)):
                self._node_up(party, node)
            self._broken[party.name] -= 1
            if not self._broken[party.name]:
                party.machines.plane.rejoin(int(self.world.env.now))
        party.rise()

    def _fault(self, fault: Any) -> tuple[Callable[[], None], Callable[[], None]]:
        """What begins and ends a fault."""
        world = self.world
        match fault:
            case ProviderCrash():
                struck = [p for p in self._parties(fault.provider) if isinstance(p, ProviderParty)]

                def crash() -> None:
                    for party in struck:
                        self._crash(party, nodes=fault.nodes)

                def restore() -> None:
                    for party in struck:
                        self._restore(party, nodes=fault.nodes)

                return crash, restore
            case PublisherCrash():
                publisher = world.publishers[fault.publisher]
                return publisher.fall, publisher.rise
            case NodeCrash():
                provider = world.providers[fault.provider]
                return partial(self._node_down, provider, fault.node), partial(
                    self._node_up, provider, fault.node
                )
            case RpcSilence():
                until_ns = world.start_ns + fault.at_ns + fault.for_ns

                def silence() -> None:
                    for party in self._parties(fault.party):
                        party.endpoint.silent_until_ns = max(party.endpoint.silent_until_ns, until_ns)

                return silence, lambda: None
            case RpcLie():
                ends_ns = world.start_ns + fault.at_ns + fault.for_ns

                def lie() -> None:
                    head = world.blocks.ledger.head(int(world.env.now) // NS_PER_S)
                    for party in self._parties(fault.party):
                        party.endpoint.begin(fault.lie, ends_ns, head)

                return lie, lambda: None
            case PartitionFault():
                one, other = fault.regions
                return lambda: world.web.cut(one, other), lambda: world.web.mend(one, other)
            case _:
                raise AssertionError(f"no such fault: {fault}")

    def _node_down(self, party: ProviderParty, node: int) -> None:
        self._broken[party.name, node] += 1
        party.machines.plane.crash_node(node, int(self.world.env.now))

    def _node_up(self, party: ProviderParty, node: int) -> None:
        """The last of overlapping faults to end brings the node back."""
        self._broken[party.name, node] -= 1
        if not self._broken[party.name, node]:
            party.machines.plane.restore_node(node, int(self.world.env.now))

    def _parties(self, name: str | None) -> list[Party]:
        world = self.world
        everybody: dict[str, Party] = {**world.providers, **world.publishers}
        if name is None:
            return list(everybody.values())
        return [p for n, p in everybody.items() if n == name or world.recorder.groups[n] == name]

    # ------------------------------------------------------------ running

    def run(self, stop: Flag | None = None) -> Outcome:
        """Run to the end, or until `stop` is raised."""
        env = self.world.env
        stop = flag() if stop is None else stop
        interrupted = False
        collecting = gc.isenabled()
        gc.disable()  # the world is one large live structure: collecting it again and again finds nothing
        try:
            for at_ns in self._stops():
                self._run_until(at_ns, stop)
                gc.collect(0)
                self._fleet.advance(at_ns)
                self.world.watcher.take_requests(at_ns)
                self.world.release(at_ns)
                self._sampler.write()
                self.writer.flush(at_ns)
            self._sample(self.world.end_ns)
            self._tell(self.world.end_ns)
        except KeyboardInterrupt:
            interrupted = True
        except PolicyFault as fault:
            after = write_duration((int(env.now) - self.world.start_ns) // NS_PER_MS * NS_PER_MS)
            raise PolicyFault(
                f"{fault} [replication {self.world.replication}, {after} after the start]"
            ) from fault
        finally:
            if collecting:
                gc.enable()
            reached_ns = max(self.world.start_ns, int(env.now))
            with self._fleet:
                self._finish(reached_ns)
        return Outcome(reached_ns, tuple(self._violations), interrupted, self.world.recorder.warnings)

    def _run_until(self, at_ns: int, stop: Flag) -> None:
        """Carry out what happens before `at_ns`; a stop waits for the end of the event that it falls into.

        An event that is cut in the middle (a block half mined, a row half written) would leave a world that
        no invariant holds of.
        """
        env = self.world.env
        while env.peek() < at_ns and not stop.value:
            env.step()
        if stop.value:
            raise KeyboardInterrupt
        env.run(until=at_ns)  # nothing is left to happen: the clock is set

    def _stops(self) -> Iterator[int]:
        """Where the run pauses to write: every virtual hour, and the end."""
        at_ns = self.world.start_ns
        while at_ns < self.world.end_ns:
            at_ns = min(at_ns + 3600 * NS_PER_S, self.world.end_ns)
            yield at_ns

    def _sampling(self) -> Generator[Event, Any, None]:
        world, env = self.world, self.world.env
        every_ns = self.scenario.output.sampling_ns
        yield env.timeout(world.start_ns - int(env.now))
        while True:
            self._sample(int(env.now))
            self._tell(int(env.now))
            yield env.timeout(every_ns)

    def _ahead(self, slice_ns: int) -> Generator[Event, Any, None]:
        env = self.world.env
        yield env.timeout(self.world.start_ns - int(env.now))
        while True:
            self._fleet.ahead(int(env.now))
            yield env.timeout(slice_ns)

    def _tell(self, now_ns: int) -> None:
        if self._progress is not None:
            self._progress(now_ns - self.world.start_ns, self._sampler.requests)

    def _sample(self, now_ns: int) -> None:
        """A sample, unless there is one of this instant; see `Sampler.take`."""
        if now_ns == self._sampled_ns:
            return
        self._sampled_ns = now_ns
        self._violations += self._sampler.take(now_ns)

    def _finish(self, now_ns: int) -> None:
        """The last sample, the rows of the end, and what must hold."""
        self._sample(now_ns)
        self._sampler.write()
        self._violations += Closing(self.world, now_ns).write()


def _drawn_ns(draws: Stream, law: Law) -> int:
    """A duration by a law, at least one nanosecond, so that time goes on."""
    return max(1, int(min(draws.sample(to_law(law)), LONGEST_S) * NS_PER_S))
