"""One replication of a scenario: everything that exists in the world, built and connected.

What outlives the processes is here (machines, disks, wallets, addresses); the processes are `parties`.
The world begins a little before the scenario does, so that providers are listed when publishers arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, assert_never, cast

import simpy

from protocol import manifest, ports, wire
from protocol.attestation import Assurance, AttestationPolicy
from protocol.hosting import ProviderPolicies, ProviderSettings
from protocol.keccak import keccak256
from protocol.policies.price import Costs
from protocol.pricing import PriceTable
from protocol.renting import PublisherPolicies, PublisherSettings
from protocol.sealing import HPKE
from protocol.signing import SECP256K1
from protocol.units import NS_PER_S, Address, PeerId, Resource
from sim import rates
from sim.chain.blocks import Blocks
from sim.chain.contracts import ModelContracts
from sim.chain.endpoint import Index
from sim.chain.model import ModelLedger
from sim.cluster import Caller, Machines, Unhosted
from sim.content import Contents, SimImage
from sim.crypto import COUNTED_SCHEME, COUNTED_SEALER, address_of
from sim.deadline import Timely
from sim.fleet import Fleet, Ticking
from sim.kernel.draws import run_key
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Keys, NodeSpec, PodSpec, Scaling, StartUp
from sim.kernel.streams import Stream
from sim.keys import EVIDENCE_KIND, private_key
from sim.network import Links, Place, Web
from sim.parties import Identity, ProviderParty, PublisherParty
from sim.rates import Worth
from sim.recorder import Recorder
from sim.reference.own import OwnScaling
from sim.reference.plane import ReferencePlane
from sim.scenario import convert, policies
from sim.scenario.convert_chain import Calendar, to_forks, to_market
from sim.scenario.demand import Own
from sim.scenario.supply import PolicySpec
from sim.scenario.world import RpcLie
from sim.traffic import NOBODY
from sim.watch import Watcher

if TYPE_CHECKING:
    from protocol.sealing import Sealer
    from protocol.signing import Scheme
    from sim.chain.contracts import Contracts
    from sim.records.writer import RunWriter
    from sim.scenario.model import ProviderMember, PublisherMember, Scenario
    from sim.scenario.policies import Behaviour
    from sim.scenario.quantities import Denomination
    from sim.scenario.tokens import Rate

SET_UP_MARGIN_NS: Final = 30 * NS_PER_S
HISTORY_BLOCKS: Final = 128
"""Blocks that can be read beyond those that are not believed yet."""
SET_UP_TRANSACTIONS: Final = 3
"""Providers send two transactions to be listed; the third is room."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a publisher's pod is told to the data plane, before anything of its workload, and for which shape of a pod."""

    member: PublisherMember
    shape: tuple[object, ...]
    spec: PodSpec
    image: SimImage
    reference: str


class World:
    """One replication.

    Args:
        scenario: what is simulated.
        replication: its number, from 0.
        writer: where rows go.
    """

    def __init__(self, scenario: Scenario, replication: int, writer: RunWriter) -> None:
        self.scenario = scenario
        self.replication = replication
        self.writer = writer
        self.start_ns: int = scenario.start_ns
        self.end_ns: int = scenario.start_ns + scenario.duration_ns
        block_ns = scenario.chain.block_time_ns
        set_up_ns = SET_UP_MARGIN_NS + SET_UP_TRANSACTIONS * (scenario.chain.confirmations + 2) * block_ns
        self.begin_ns = self.start_ns - set_up_ns
        self.env = simpy.Environment(initial_time=self.begin_ns)
        self.scheme: Scheme = SECP256K1 if scenario.crypto == "real" else COUNTED_SCHEME
        self.sealer: Sealer = HPKE if scenario.crypto == "real" else COUNTED_SEALER
        self.worth = self._worth()
        self.recorder = Recorder(writer, self.worth, keeps_events=scenario.output.events)
        network = scenario.network
        self.web = Web(
            self.env,
            Links(
                far=convert.to_law(network.latency),
                near=convert.to_law(network.latency_same_region),
                loss_prob=float(network.loss_prob),
                duplicate_prob=float(network.duplicate_prob),
                bytes_per_s=network.bandwidth_bytes_per_s,
            ),
        )
        self.contents = Contents()
        self.images: dict[str, SimImage] = {}
        self._plane = plane_of(scenario)
        self.nowhere = self._plane([], start_ns=self.start_ns)
        self.unhosted = Unhosted()
        self.callers: dict[Address, Caller] = {}
        self.demands: dict[Address, Demand] = {}
        self.providers: dict[str, ProviderParty] = {}
        self.publishers: dict[str, PublisherParty] = {}
        self._indices: dict[str, Index] = {}  # of the publishers' groups that share one
        self._trips: dict[tuple[str, str], int] = {}  # of a group to a region and back [ns]
        provider_members, publisher_members = scenario.provider_members(), scenario.publisher_members()
        members: tuple[ProviderMember | PublisherMember, ...] = (*provider_members, *publisher_members)
        keys = {m.name: private_key(scenario.seed, m.name) for m in members}
        addresses = {name: address_of(key) for name, key in keys.items()}
        self._behaviours = self._build_behaviours()
        self._aliases = {m.name: self._aliases_of(m) for m in provider_members}
        self.recorder.names = {address: name for name, address in addresses.items()}
        for name, aliases in self._aliases.items():
            self.recorder.names |= {alias.address: name for alias in aliases}
        self.recorder.groups = {m.name: m.group.name for m in members}
        self.terms = self._chain_terms()
        self.blocks = self._chain(provider_members, publisher_members, addresses)
        self.watcher = Watcher(self)
        self.blocks.on_mined.append(self.recorder.mined)
        self.blocks.on_mined.append(self.watcher.mined)
        token = scenario.payment_token
        # A policy keeps no state, so that one object serves all members of a group.
        self._publisher_policies = {
            group.name: PublisherPolicies(
                selection=_brought("selection", group.policies.selection, token),
                funding=_brought("funding", group.policies.funding, token),
                on_loss=_brought("on_loss", group.policies.on_loss, token),
            )
            for group in scenario.publishers
        }
        for provider in provider_members:
            self._add_provider(provider, keys[provider.name], addresses[provider.name])
        for index, publisher in enumerate(publisher_members):
            self._add_publisher(publisher, index, keys[publisher.name], addresses[publisher.name])

    def _worth(self) -> Worth:
        tokens = self.scenario.tokens

        def path(token: str, rate: Rate | None) -> rates.Path | None:
            if rate is None:
                return None
            stream = self.stream("rate", token)
            return rates.path(rate, stream, start_ns=self.start_ns, end_ns=self.end_ns)

        at_par = rates.Path([self.start_ns], [1])
        return Worth(tokens, path("payment", tokens.payment.rate) or at_par, path("gas", tokens.gas.rate))

    def _build_behaviours(self) -> dict[str, Behaviour]:
        """How each group behaves, by its name."""
        scenario, token = self.scenario, self.scenario.payment_token
        return {
            group.name: policies.build_behaviour(kind, group.behaviour, token)
            for kind, groups in (("provider", scenario.providers), ("publisher", scenario.publishers))
            for group in groups
        }

    def _aliases_of(self, member: ProviderMember) -> list[Identity]:
        """A provider's names beyond the first; their private keys follow from the names."""
        names = [f"{member.name}~{i}" for i in range(1, self._behaviours[member.group.name].identities)]
        keys = [private_key(self.scenario.seed, name) for name in names]
        return [Identity(name, key, address_of(key)) for name, key in zip(names, keys, strict=True)]

    # ------------------------------------------------------------ chain

    def _chain_terms(self) -> ports.ChainTerms:
        chain = self.scenario.chain
        block_s = chain.block_time_ns // NS_PER_S
        return ports.ChainTerms(
            chain_id=chain.chain_id,
            payment=_contract("Payment"),
            registry=_contract("Registry"),
            token=_contract("Token"),
            confirmations=chain.confirmations,
            inclusion_s=(chain.confirmations + 1) * block_s,
        )

    def _chain(
        self,
        providers: tuple[ProviderMember, ...],
        publishers: tuple[PublisherMember, ...],
        addresses: dict[str, Address],
    ) -> Blocks:
        scenario = self.scenario
        members: tuple[ProviderMember | PublisherMember, ...] = (*providers, *publishers)
        tokens = {addresses[m.name]: m.group.wallet.payment_base for m in members}
        gas: dict[Address, int] = {}
        for member in members:
            known = [addresses[member.name], *(a.address for a in self._aliases.get(member.name, ()))]
            each, rest = divmod(member.group.wallet.gas_base, len(known))
            gas |= {address: each + (rest if i == 0 else 0) for i, address in enumerate(known)}
        self.supply = sum(tokens.values())
        self.gas_supply = sum(gas.values())
        chain = scenario.chain
        calendar = Calendar(self.begin_ns // NS_PER_S, self.start_ns, chain.block_time_ns // NS_PER_S)
        forks = to_forks(chain, calendar, self.key("reorganisations", "chain"), self.key("lost", "chain"))
        stale_ns = max((f.for_ns for f in scenario.faults if isinstance(f, RpcLie)), default=0)
        kept = HISTORY_BLOCKS + chain.confirmations + forks.most + stale_ns // chain.block_time_ns
        self.recorder.confirmations, self.recorder.undone_blocks = chain.confirmations, forks.most
        self.recorder.undo.keeps = forks.most > 0
        ledger = ModelLedger(
            self._contracts(tokens, history_blocks=kept, keeps=forks.most > 0),
            native=gas,
            block_time_s=calendar.block_s,
            market=to_market(chain, calendar, self.key("gas", "chain")),
            chain_id=chain.chain_id,
            start_s=calendar.begin_s,
            block_gas=chain.block_gas,
            ordering=chain.ordering,
            history_blocks=kept,
            forks=forks,
        )
        outages = [(self.start_ns + o.at_ns, self.start_ns + o.at_ns + o.for_ns) for o in chain.outages]
        return Blocks(self.env, ledger, outages=outages, on_submitted=self.recorder.sent)

    def _contracts(self, tokens: dict[Address, int], *, history_blocks: int, keeps: bool) -> Contracts:
        match self.scenario.chain.backend:
            case "model":
                return ModelContracts(tokens, self.terms.payment, history_blocks=history_blocks, keeps=keeps)
            case "evm":
                from sim.chain.evm.contracts import EvmContracts  # loads pyrevm, which an extra installs

                return EvmContracts(tokens, self.terms, history_blocks=history_blocks, keeps=keeps)
            case other:
                assert_never(other)

    def release(self, now_ns: int) -> None:
        """Write the rows of blocks that cannot be undone any more; the newest block may still come."""
        head = self.blocks.ledger.head(now_ns // NS_PER_S)
        self.recorder.release(head - 1 - self.recorder.undone_blocks)

    # ------------------------------------------------------------ providers

    def _add_provider(self, member: ProviderMember, key: bytes, address: Address) -> None:
        group, scenario = member.group, self.scenario
        nodes = [
            NodeSpec(n.cpu_millis, n.memory_bytes, n.gpu, n.pull_bytes_per_s, n.image_cache_bytes)
            for n in group.nodes
            for _ in range(n.count)
        ]
        machines = Machines(
            member.name,
            self._plane(nodes, start_ns=self.start_ns),
            nodes,
            self.nowhere,
            storage_bytes=sum(n.storage_bytes * n.count for n in group.nodes),
            caller_of=partial(self._caller_of, provider=member, start_up=_start_up(member)),
        )
        prices = self.price_table(member)
        token = scenario.payment_token
        terms = group.terms
        settings = ProviderSettings(
            prices=prices,
            regions=(group.region,),
            multiaddrs=(f"/dns4/{member.name}.example/tcp/4001",),
            assurance=Assurance.of(group.assurance),
            evidence_kinds=(EVIDENCE_KIND,) if group.assurance != "none" else (),
            largest={
                Resource.CPU: max(node.cpu_millis for node in nodes),
                Resource.MEMORY: max(node.memory_bytes for node in nodes),
                Resource.GPU: max(node.gpus for node in nodes),
            },
            whole=machines.whole,
            costs=Costs(group.cost.idle * len(nodes), group.cost.busy),
            market_age_ns=group.market_age_ns,
            load_age_ns=terms.load_age_ns,
            tick_ns=terms.tick_ns,
            tick_phase_ns=int(self.stream("tick", member.name).next() * terms.tick_ns),
            min_unlock_s=terms.min_unlock_time_ns // NS_PER_S,
            runway_ns=terms.runway_ns,
            exposure_ns=terms.exposure_ns,
            grace_s=terms.grace_ns // NS_PER_S,
            offer_valid_ns=terms.offer_valid_ns,
            wake_early=terms.wake_early,
        )
        self.recorder.extra_prices[member.name] = (prices.gpu or 0, prices.ip or 0)
        for name in (member.name, *(alias.name for alias in self._aliases[member.name])):
            self.web.places[PeerId(name)] = Place(group.region)
        party = ProviderParty(
            self,
            member,
            key,
            address,
            machines,
            settings,
            ProviderPolicies(
                price=_brought("price", group.policies.price, token),
                admission=_brought("admission", group.policies.admission, token),
                claims=_brought("claim", group.policies.claim, token),
            ),
            self._behaviours[group.name],
            self._aliases[member.name],
        )
        self.providers[member.name] = party
        self.watcher.attach(party)

    def price_table(self, member: ProviderMember) -> PriceTable:
        """A provider's prices as its registry table and record say them."""
        prices = member.group.prices
        return PriceTable(
            token=self.terms.token,
            cpu=prices.cpu,
            ram=prices.memory,
            storage=prices.storage,
            egress=prices.egress,
            ingress=prices.ingress,
            gpu=prices.gpu,
            ip=prices.ip,
        )

    # ------------------------------------------------------------ publishers and their callers

    def _add_publisher(self, member: PublisherMember, index: int, key: bytes, address: Address) -> None:
        group = member.group
        pod = convert.to_pod(member)
        name = group.image.name or f"{member.name}/image"
        reference = f"registry.example/{name}:1"
        image = self.images.setdefault(reference, SimImage(group.image.size_bytes, len(self.images)))
        spec = self._spec(member, index, pod, image)
        self.demands[address] = Demand(member, _shape(pod), spec, image, reference)
        handle = self.nowhere.host(spec, None, self.start_ns)
        self.callers[address] = Caller(member.name, spec, self.nowhere, handle, self.unhosted)
        self.web.places[PeerId(member.name)] = Place(group.region or f"{member.name}-home-0")
        chosen = self._publisher_policies[group.name]
        settings = PublisherSettings(
            unlock_time_s=group.unlock_time_ns // NS_PER_S,
            # What a publisher filters providers by is what it has them prove.
            attestation=AttestationPolicy(
                required=Assurance.of(getattr(chosen.selection, "assurance", "none")),
                kinds=frozenset({EVIDENCE_KIND}),
                live=False,
            ),
            turn=index,
            budget=None if group.value is None else group.value.budget_base,
            outside_an_hour=convert.outside_an_hour(group),
        )
        party = self.publishers[member.name] = PublisherParty(
            self,
            member,
            key,
            address,
            self.with_image(pod, reference),
            settings,
            chosen,
            self._behaviours[group.name],
        )
        if group.market_age_ns:
            party.endpoint.index = self._indices.setdefault(group.name, Index(group.market_age_ns))

    def with_image(self, pod: manifest.Pod, reference: str) -> manifest.Pod:
        """The pod whose first container runs the scenario's image; its others run what they name."""
        first = replace(pod.containers[0], image=manifest.Image(url=reference))
        for container in pod.containers[1:]:
            self.images.setdefault(container.image.url, SimImage(0, len(self.images)))
        return replace(pod, containers=(first, *pod.containers[1:]))

    def _spec(self, member: PublisherMember, index: int, pod: manifest.Pod, image: SimImage) -> PodSpec:
        """What a plane is told of a pod that nobody hosts; of the manifest nothing counts but its `_shape`."""
        group, scenario = member.group, self.scenario
        resources = manifest.pod_resources(pod)
        share = scenario.output.requests_share
        traffic = convert.to_traffic(member, scenario)
        return PodSpec(
            pod_index=index,
            keys=Keys.of(scenario.seed, self.replication, member.name, antithetic=scenario.antithetic),
            traffic=NOBODY if traffic is None else traffic,
            service=convert.to_service(member),
            first_service=convert.to_first_service(member),
            scaling=self._scaling(member, pod),
            request_bytes=group.request_bytes,
            response_bytes=group.response_bytes,
            slots=group.slots,
            discipline=group.discipline,
            dispatch=group.dispatch,
            cpu_millis=resources.get(Resource.CPU, 0),
            memory_bytes=resources.get(Resource.MEMORY, 0),
            gpus=resources.get(Resource.GPU, 0),
            image_id=image.image_id,
            image_bytes=image.packed_bytes,
            wait_limit_ns=group.wait_limit_ns,
            sample_every=round(1 / share) if share else 0,
            byte_rows=False,
            cpu_limit_millis=manifest.cpu_limit_millis(pod),
            client=convert.to_client(group),
        )

    def _scaling(self, member: PublisherMember, pod: manifest.Pod) -> Scaling:
        """A pod's scaling rule; one that somebody brought is made for each pod."""
        scaling, said = (
            convert.to_scaling(member.group.model_copy(update={"manifest": pod})),
            member.group.scaling,
        )
        if not isinstance(said, Own) or not pod.http:
            return scaling
        spec = PolicySpec.model_validate({"use": said.use, "with": said.with_})
        return OwnScaling(
            scaling.policy,
            scaling.params,
            name=f"{spec.use} {spec.with_}",
            pod=member.name,
            make=partial(_brought, "scaling", spec, self.scenario.payment_token),
            chance=self.stream("policies.scaling", member.name).next,
        )

    def _caller_of(
        self, workload: ports.Workload, *, provider: ProviderMember, start_up: StartUp
    ) -> tuple[Caller, PodSpec]:
        """Who calls a workload's pod, and how it runs at this provider."""
        channel = wire.parse(wire.pb.PaymentChannel, bytes.fromhex(workload.annotation))
        address = Address(channel.publisherAddress)
        caller, demand = self.callers[address], self.demands[address]
        if _shape(workload.pod) == demand.shape:
            spec = demand.spec
        else:  # updated
            spec = self._spec(demand.member, demand.spec.pod_index, workload.pod, demand.image)
        prices = provider.group.prices
        return caller, replace(
            spec,
            traffic=caller.spec.traffic,
            start_up=start_up,
            round_trip_ns=self.round_trip_ns(demand.member.name, provider.name),
            byte_rows=bool(
                (spec.request_bytes and prices.ingress) or (spec.response_bytes and prices.egress)
            ),
        )

    def fleet(self, threads: int) -> Fleet:
        """All planes, to be advanced together by so many threads."""
        providers = self.providers.values()
        ticking = [Ticking(p.machines.plane, p.settings.tick_ns, p.settings.tick_phase_ns) for p in providers]
        return Fleet(ticking, [self.nowhere], threads=threads)

    def round_trip_ns(self, pod: str, provider: str) -> int:
        """From a pod's callers to a provider and back [ns]."""
        group, region = self.publishers[pod].member.group, self.providers[provider].member.group.region
        if (group.name, region) not in self._trips:
            self._trips[group.name, region] = convert.round_trip_ns(self.scenario, group, region)
        return self._trips[group.name, region]

    def cpu_millis(self, pod: str) -> int:
        """What one replica of a pod reserves [millicores]."""
        return self.callers[self.publishers[pod].address].spec.cpu_millis

    # ------------------------------------------------------------ chance

    def stream(self, name: str, path: str) -> Stream:
        """A stream of draws of its own."""
        return Stream(self.key(name, path))

    def key(self, name: str, path: str) -> tuple[int, int]:
        """The key of such a stream."""
        scenario = self.scenario
        return run_key(scenario.seed, self.replication, name, path, antithetic=scenario.antithetic)


def plane_of(scenario: Scenario) -> type[DataPlane]:
    """The engine: compiled, unless a pod scales by a class that somebody brought, of which compiled code knows nothing.

    Pods share their providers' nodes, and any provider may get any pod, so it is one engine for all.
    """
    if any(isinstance(group.scaling, Own) for group in scenario.publishers):
        return cast("type[DataPlane]", ReferencePlane)
    return DataPlane


def _brought(kind: str, spec: PolicySpec, token: Denomination) -> Any:
    """A policy; one that somebody brought has to answer in time."""
    policy = policies.build(kind, spec, token)
    return policy if spec.use in policies.KINDS[kind] else Timely(policy)


def _shape(pod: manifest.Pod) -> tuple[object, ...]:
    """What a plane runs differently by."""
    return manifest.pod_resources(pod), manifest.cpu_limit_millis(pod), pod.replicas, pod.http


def _start_up(member: ProviderMember) -> StartUp:
    cold = member.group.cold_start
    return StartUp(
        schedule=convert.to_law(cold.schedule),
        decrypt_bytes_per_s=cold.decrypt_bytes_per_s,
        application=convert.to_law(cold.application),
    )


def _contract(name: str) -> Address:
    return Address(keccak256(f"trusted-pods/simulated/{name}".encode())[12:])
