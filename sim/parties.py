"""Providers and publishers as the world knows them: what outlives a crash, and the process of the moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from protocol.guard import Wanted, Wish
from protocol.ports import World as Ports
from protocol.renting import Rental
from protocol.units import PeerId, PodId
from sim.chain.endpoint import Endpoint
from sim.chain.port import SimChain
from sim.cluster import SimCluster
from sim.content import SimContent, SimImages
from sim.kernel.draws import MASK
from sim.keys import Noise, SimAttestor, SimEntropy, SimSigner, SimVerifier
from sim.network import SimNetwork
from sim.rates import SimRates
from sim.recorder import PartyTrace
from sim.store import Disk, MemoryStore
from sim.tasks import Process, call_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.hosting import ProviderPolicies, ProviderSettings
    from protocol.manifest import Pod
    from protocol.policies import Chance
    from protocol.provider import ProviderClient
    from protocol.publisher import PublisherClient
    from protocol.renting import PublisherPolicies, PublisherSettings
    from protocol.units import Address
    from sim.cluster import Machines
    from sim.scenario.model import ProviderMember, PublisherMember
    from sim.scenario.policies import Behaviour
    from sim.world import World


@dataclass(frozen=True, slots=True)
class Identity:
    """A name under which a party is known.

    Attributes:
        name: of its peer.
        key, address: its EVM key.
        disk: what it has written.
    """

    name: str
    key: bytes
    address: Address
    disk: Disk = field(default_factory=Disk)


class Party:
    """What every party has.

    Args:
        world: where it lives.
        name: its name in the scenario.
        key, address: its EVM key.
    """

    is_provider = False

    def __init__(self, world: World, name: str, key: bytes, address: Address) -> None:
        self.world = world
        self.name = name
        self.key = key
        self.address = address
        self.disk = Disk()
        self.noise = Noise(b"".join((w & MASK).to_bytes(4, "big") for w in world.key("entropy", name)))
        self.endpoint = Endpoint(world.scenario.chain.endpoints)
        self.process: Process | None = None
        self._begun = False
        self._faults = 0
        self._network_draws = world.stream("network", name)
        self._content_draws = world.stream("content", name)
        self._chances: dict[str, Chance] = {}

    def chance_of(self, decision: str) -> Chance:
        """Its stream for a kind of decision (`selection`, `price`, ...); it goes on after a crash."""
        if decision not in self._chances:
            # Selection's is older than the others, and is called as it was.
            stream = "policies" if decision == "selection" else f"policies.{decision}"
            self._chances[decision] = self.world.stream(stream, self.name).next
        return self._chances[decision]

    def boot(self) -> Ports:
        """A new process, and its ports."""
        self.process = Process(self.world.env, self.name)
        return self.ports(self.process, Identity(self.name, self.key, self.address, self.disk))

    def ports(self, process: Process, identity: Identity) -> Ports:
        """The ports of a process under one of the party's names."""
        world = self.world
        content = SimContent(
            world.contents,
            process,
            bytes_per_s=world.web.links.bytes_per_s,
            latency=world.web.links.far,
            stream=self._content_draws,
        )
        trace = PartyTrace(world.recorder, process, self.name, is_provider=self.is_provider)
        return Ports(
            clock=process,
            tasks=process,
            trace=trace,
            chain=SimChain(world.blocks, world.terms, process, identity.address, self.endpoint, trace),
            network=SimNetwork(world.web, process, PeerId(identity.name), self._network_draws),
            content=content,
            images=SimImages(world.images, content, world.contents, process),
            store=MemoryStore(process, identity.disk),
            signer=SimSigner(identity.key, identity.address, world.scheme, process),
            entropy=SimEntropy(self.noise, process),
            rates=SimRates(world.worth, process),
        )

    def start(self) -> None:
        """Run the client, from what the disk holds."""
        raise NotImplementedError

    def begin(self) -> None:
        """It is meant to run from now on: at once, or when the fault is over that keeps it down."""
        self._begun = True
        if not self._faults:
            self.start()

    def fall(self) -> None:
        """A fault begins; several may overlap."""
        self._faults += 1
        if self._faults == 1:
            self.crash()

    def rise(self) -> None:
        """A fault is over; the last one's end brings the party back, if it was there already."""
        self._faults -= 1
        if self._begun and not self._faults:
            self.start()

    def crash(self) -> None:
        """The process ends between two instants."""
        if self.process is not None:
            self.process.kill()
        self.world.web.places[PeerId(self.name)].handlers.clear()


class ProviderParty(Party):
    """A provider.

    Args:
        world, key, address: see `Party`.
        member: of the scenario.
        machines: its cluster.
        settings, policies: of its client.
        behaviour: which client that is.
        aliases: its names beyond the first, if it has more than one.
    """

    is_provider = True

    def __init__(
        self,
        world: World,
        member: ProviderMember,
        key: bytes,
        address: Address,
        machines: Machines,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        behaviour: Behaviour,
        aliases: Sequence[Identity],
    ) -> None:
        super().__init__(world, member.name, key, address)
        self.behaviour = behaviour
        self.aliases = aliases
        self.member = member
        self.machines = machines
        self.settings = settings
        self.policies = policies
        self.client: ProviderClient | None = None
        self.down_ns = 0
        self.closed_owed = 0
        self.unpaid = 0
        self.cpu_millis_ms = 0
        self._down_since_ns: int | None = None

    def start(self) -> None:
        """Run the client, from what the disk holds."""
        ports = self.boot()
        assert self.process is not None
        if self._down_since_ns is not None:
            self.down_ns += int(self.world.env.now) - self._down_since_ns
            self._down_since_ns = None
        more = self.behaviour.more
        if self.aliases:
            more["aliases"] = [self.ports(self.process, alias) for alias in self.aliases]
        self.client = self.behaviour.client(
            ports,
            SimCluster(self.machines, self.process),
            SimAttestor(self.settings.assurance),
            self.settings,
            self.policies,
            scheme=self.world.scheme,
            sealer=self.world.sealer,
            sealing_key=self.key,
            chance_of=self.chance_of,
            **more,
        )
        assert self.client is not None
        self.process.start("provider", self.client.run())

    def crash(self) -> None:
        """See `Party.crash`."""
        super().crash()
        for alias in self.aliases:
            self.world.web.places[PeerId(alias.name)].handlers.clear()
        if self._down_since_ns is None:
            self._down_since_ns = int(self.world.env.now)

    def down_until(self, now_ns: int) -> int:
        """How long it has been down in all [ns]."""
        return self.down_ns + (now_ns - self._down_since_ns if self._down_since_ns is not None else 0)


class PublisherParty(Party):
    """A publisher, and the person behind it: when it comes, what it wishes, when it leaves."""

    def __init__(
        self,
        world: World,
        member: PublisherMember,
        key: bytes,
        address: Address,
        pod: Pod,
        settings: PublisherSettings,
        policies: PublisherPolicies,
        behaviour: Behaviour,
    ) -> None:
        super().__init__(world, member.name, key, address)
        self.behaviour = behaviour
        self.member = member
        self.pod = pod
        self.settings = settings
        self.policies = policies
        self.client: PublisherClient | None = None
        self.rental: Rental | None = None
        self._wishes: Any = None
        self._unheard: list[Wanted] = []
        self._ending: Wanted | None = None

    def start(self) -> None:
        """Run the client, from what the disk holds."""
        ports = self.boot()
        assert self.process is not None
        self.client = self.behaviour.client(
            ports,
            SimVerifier(),
            self.settings,
            self.policies,
            scheme=self.world.scheme,
            sealer=self.world.sealer,
            chance_of=self.chance_of,
            **self.behaviour.more,
        )
        assert self.client is not None
        self._wishes = self.process.mailbox()
        if self._ending is not None:
            self._wishes.put(self._ending)  # who wants to leave looks whether it was heard, and says it again
        for wanted in self._unheard:
            self._wishes.put(wanted)
        self._unheard.clear()
        self.process.start("publisher", self._live(ports, self.client))

    async def _live(self, ports: Ports, client: PublisherClient) -> None:
        rentals = await client.resume() if self.disk.tables else []
        if rentals:
            self.rental = rentals[0]
        else:
            self.rental = Rental(PodId(ports.entropy.draw(32)), self.pod)
            await client.keep(self.rental)
        await client.run(self.rental, self._wishes)

    def wish(self, wanted: Wanted) -> None:
        """The person wants something; when the client is down, it is told when it comes back."""
        if wanted.wish in (Wish.UNLOCK, Wish.DELETE):
            self._ending = self._ending or wanted
        if self.process is None or not self.process.alive:
            if wanted is not self._ending:
                self._unheard.append(wanted)
        else:
            self._wishes.put(wanted)

    def schedule(self, arrive_ns: int, leave_ns: int | None) -> None:
        """The person's plans.

        Args:
            arrive_ns: when it comes [Unix ns].
            leave_ns: when it leaves [Unix ns]; None: never.
        """
        env, group = self.world.env, self.member.group
        call_at(env, arrive_ns, self.begin)
        for action in group.actions:
            pod = action.manifest
            if pod is not None:
                pod = self.world.with_image(pod, self.world.demands[self.address].reference)
            wanted = Wanted(Wish(action.what), action.amount_base or 0, pod)
            call_at(env, arrive_ns + action.at_ns, partial(self.wish, wanted))
        if leave_ns is not None:
            wish = Wish.UNLOCK if group.leave == "unlock" else Wish.DELETE
            call_at(env, leave_ns, partial(self.wish, Wanted(wish)))
