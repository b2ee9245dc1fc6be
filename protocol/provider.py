"""The Provider Client: its side of step 3, and step 5 as it arrives.

A call is authenticated, bound to its pod and channel, and looked up among those that were answered;
what it changes is journalled together with its answer before anything is done. From then on the pod has
a task of its own, which is `caretaker`'s: steps 6, 7 and 14. How the provider is found is `storefront`'s,
how it answers is `desk`'s; step 12 is `billing`'s and step 13 `claiming`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import Message

from protocol import agreement, manifest, wire
from protocol.attestation import NONCE_BYTES, report_data
from protocol.auth import Offer
from protocol.billing import Biller
from protocol.caretaker import Caretaker
from protocol.claiming import Claimer
from protocol.desk import Desk
from protocol.eip712 import Domain
from protocol.errors import BadInput, Refusal
from protocol.events import Event, Happened
from protocol.hosting import (
    PODS,
    HostedPod,
    ProviderPolicies,
    ProviderSettings,
)
from protocol.identity import cid_text, namespace
from protocol.metering import Meter
from protocol.meters import Meters
from protocol.payment import ChannelKey
from protocol.policies.admission import Asked
from protocol.policies.asking import A_REFUSAL, ask, is_refusal
from protocol.ports import PublishedImage, Unknown
from protocol.requests import (
    bind,
    bind_payment,
)
from protocol.sealing import bundle_info
from protocol.sender import Sender
from protocol.storefront import Storefront
from protocol.units import NS_PER_S, Address, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from protocol.auth import Request
    from protocol.manifest import Pod
    from protocol.policies import Chance
    from protocol.ports import Attestor, Cluster, World
    from protocol.sealing import Sealer
    from protocol.signing import Scheme


class ProviderClient:
    """One provider.

    Args:
        world: its ports.
        cluster: where pods run.
        attestor: makes evidence.
        settings, policies: as the person chose.
        scheme, sealer: how signatures and seals are made.
        sealing_key: 32 bytes, the private key that bundles are sealed for.
        chance_of: its stream for a kind of decision, such as `price`.

    Attributes:
        meters_type, claimer_type: what meters and claims for it.
    """

    meters_type: type[Meters] = Meters
    claimer_type: type[Claimer] = Claimer

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        attestor: Attestor,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        *,
        scheme: Scheme,
        sealer: Sealer,
        sealing_key: bytes,
        chance_of: Callable[[str], Chance],
    ) -> None:
        self.world = world
        self.cluster = cluster
        self.settings = settings
        self.policies = policies
        self._attestor = attestor
        self._scheme = scheme
        self._sealer = sealer
        self._sealing_key = sealing_key
        terms = world.chain.terms
        self.payment_domain = Domain(terms.chain_id, terms.payment)
        self.pods: dict[str, HostedPod] = {}
        self.sender = Sender(world, deadline_ns=settings.transaction_timeout_ns)
        self.meters = self.meters_type(self.pods)
        self.claimer = self.claimer_type(
            world, settings, policies, self.sender, self.pods, self.meters, self.payment_domain
        )
        self.biller = Biller(world, cluster, settings, self.meters, self.claimer)
        self.caretaker = Caretaker(
            world, cluster, settings, self.pods, self.meters, self.biller, self.claimer, self.payment_domain
        )
        self.front = Storefront(
            world,
            cluster,
            settings,
            policies,
            self.sender,
            self.pods,
            self.meters,
            chance=chance_of("price"),
            sealer=sealer,
            sealing_key=sealing_key,
        )
        self.desk = Desk(self, self.payment_domain, scheme)
        self._chance = chance_of("admission")
        self._told: wire.pb.LoadResponse | None = None

    # ------------------------------------------------------------ begin

    async def run(self) -> None:
        """Recover what an earlier incarnation left, list the provider, and serve until the process ends."""
        await self._recover()
        self.desk.open(
            {
                wire.ATTEST: self._attest,
                wire.LOAD: self._load,
                wire.PROVISIONING_CAPACITY: self.offer,
                wire.PROVISION_POD: self._provision,
            }
        )
        self.world.tasks.start("billing", self.biller.run())
        await self.front.open()
        await self.front.keep_prices()

    async def _recover(self) -> None:
        """After a crash: pods, answers and transactions as they were written; every pod goes on from its phase."""
        await self.desk.recover()
        await self.front.recover()
        found = await self.world.store.scan(PODS)
        for name, record in found.items():
            pod = HostedPod.from_record(record)
            pod.seen_ns = self.world.clock.now_ns()  # nobody could look while we were away
            if not (pod.phase.ended and pod.settled):
                self.pods[name] = pod
        await self.sender.resume()
        back = self.world.trace.emit(Event(Happened.RECOVERED, amount=len(self.pods))) if found else None
        for pod in self.pods.values():
            pod.cause = back
            self.caretaker.take(pod)

    def hosted(self, name: str) -> HostedPod | None:
        """The pod in a namespace, from its acceptance until it is settled."""
        return self.pods.get(name)

    # ------------------------------------------------------------ step 3: keys and Offer

    async def _attest(self, request: Request, body: bytes) -> Message:
        """Our signed keys, and evidence that binds them to the caller's nonce."""
        asked = wire.parse(wire.pb.AttestRequest, body)
        keys = self.front.keys
        if len(asked.nonce) != NONCE_BYTES:
            raise Refusal("BadNonce", f"{len(asked.nonce)} bytes; allowed: {NONCE_BYTES}")
        evidence = await self._attestor.evidence(
            report_data(asked.nonce, keys.hash), tuple(asked.kinds), deadline_ns=self.deadline()
        )
        if isinstance(evidence, Unknown):
            raise Refusal("EvidenceUnavailable", evidence.reason)
        return wire.pb.AttestResponse(
            keys=keys.signed.to_wire(), signature=keys.signature, evidence=[e.to_wire() for e in evidence]
        )

    async def _load(self, request: Request, body: bytes) -> Message:
        """What we say of our load; looked at anew when what we said last is too old."""
        wire.parse(wire.pb.LoadRequest, body)
        now_ns = self.world.clock.now_ns()
        if self._told is None or now_ns - self._told.atNs >= self.settings.load_age_ns:
            free = await self.cluster.capacity(deadline_ns=self.deadline())
            if isinstance(free, Unknown):
                raise Refusal("ClusterUnknown", free.reason)
            whole = self.settings.whole.get(Resource.CPU, 0)
            share = (whole - free.get(Resource.CPU, 0)) * 1_000_000 // whole if whole else 0
            self._told = wire.pb.LoadResponse(
                atNs=now_ns,
                pods=sum(not pod.phase.ended for pod in self.pods.values()),
                promisedMillionths=min(max(share, 0), 1_000_000),
            )
        return self._told

    async def offer(self, request: Request, body: bytes) -> Message:
        """Terms and prices for what is asked, signed: made before any deposit, carried in the provision request."""
        asked = wire.parse(wire.pb.CapacityRequest, body)
        table_id = asked.tableId or self.front.listed
        prices = self.front.tables.get(table_id)
        if prices is None or table_id != self.front.listed:
            raise Refusal("NoSuchTable", f"table {table_id}; offered is {self.front.listed}")
        replica, volumes = agreement.amounts(asked.resources), agreement.amounts(asked.volumes)
        prices.check_covers({*replica, *volumes})
        await self.admit(request.publisher, replica, volumes, asked.replicas.min, asked.replicas.max)
        grace_s = self.settings.grace_s if volumes else 0
        least = agreement.running_cost(
            replica, volumes, prices, replicas=max(1, asked.replicas.min), for_ns=self.settings.runway_ns
        ) + agreement.running_cost({}, volumes, prices, replicas=0, for_ns=grace_s * NS_PER_S)
        keys = self.front.keys
        offer = Offer(
            publisher=request.publisher,
            provider=self.world.signer.address,
            pod_id=request.pod_id,
            capacity_hash=agreement.capacity_hash(asked),
            token=prices.token,
            table_id=table_id,
            prices_hash=prices.hash(),
            min_unlock_s=self.settings.min_unlock_s,
            min_deposit=max(1, least),
            grace_s=grace_s,
            keys_hash=keys.hash,
            expires_at_s=(self.world.clock.now_ns() + self.settings.offer_valid_ns) // NS_PER_S,
        )
        self.world.trace.emit(
            Event(
                Happened.OFFER_MADE,
                namespace(request.publisher, request.pod_id),
                request.publisher.hex(),
                amount=offer.min_deposit,
            )
        )
        return wire.pb.CapacityResponse(
            providerAddress=self.world.signer.address,
            offer=offer.to_wire(),
            offerSignature=self.world.signer.sign(offer.digest(self.payment_domain)),
            prices=prices.to_bytes(),
        )

    async def admit(
        self,
        publisher: Address,
        replica: Mapping[Resource, int],
        volumes: Mapping[Resource, int],
        least: int,
        most: int,
        *,
        instead_of: HostedPod | None = None,
    ) -> None:
        """Ask the admission policy, by what the cluster can still promise.

        Args:
            publisher: who asks.
            replica: what one replica reserves.
            volumes: what the volumes reserve.
            least: fewest replicas.
            most: most replicas.
            instead_of: the pod whose update it is; what it holds is free to it.

        Raises:
            Refusal: the policy's, `NoCapacity` or `ClusterUnknown`.
        """
        promised = await self.cluster.capacity(deadline_ns=self.deadline())
        if isinstance(promised, Unknown):
            raise Refusal("ClusterUnknown", promised.reason)
        free = dict(promised)
        if instead_of is not None:
            held = instead_of.pod
            for resource, amount in manifest.pod_resources(held).items():
                free[resource] = free.get(resource, 0) + amount * max(1, held.least_replicas)
            for resource, amount in manifest.volume_resources(held).items():
                free[resource] = free.get(resource, 0) + amount
        for resource, amount in volumes.items():
            if amount > free.get(resource, 0):
                raise Refusal("NoCapacity", f"{resource.value}: {amount} asked, {free.get(resource, 0)} free")
        live = [p for p in self.pods.values() if not p.phase.ended and p is not instead_of]
        refusal: Refusal | None = ask(
            self.world,
            "admission",
            self.policies.admission,
            "admit",
            Asked(
                publisher=publisher,
                a_replica=replica,
                min_replicas=least,
                max_replicas=most,
                free=free,
                pods=len(live),
                pods_of_publisher=sum(p.key.publisher == publisher for p in live),
                now_ns=self.world.clock.now_ns(),
                chance=self._chance,
            ),
            ok=is_refusal,
            allowed=A_REFUSAL,
        )
        if refusal is not None:
            raise refusal

    # ------------------------------------------------------------ step 5: the bundle arrives

    async def _provision(self, request: Request, body: bytes) -> Message:
        """Step 5, received: agreement and bundle are checked and journalled; the pod's own task does the rest."""
        message = wire.parse(wire.pb.ProvisionPodRequest, body)
        bind_payment(request, message.payment, self.payment_domain)
        offer = self._our_offer(request, message.offer, message.offerSignature)
        name = namespace(request.publisher, request.pod_id)
        present = self.pods.get(name)
        if present is not None and not present.phase.ended:
            raise Refusal("PodExists", f"{name} is {present.phase}")
        if present is not None and not present.settled:
            raise Refusal("PodNotSettled", f"{name} is {present.phase}; its final claim is not done")
        prices = self.front.tables.get(offer.table_id)
        if prices is None:
            raise Refusal("NoSuchTable", f"table {offer.table_id}")
        pod, images = self.open_bundle(request, offer, message.sealed)
        if agreement.capacity_hash(agreement.capacity_request(pod, offer.table_id)) != offer.capacity_hash:
            raise Refusal(
                "CapacityDiffers", "the manifest asks for something else than the offer was made for"
            )
        await self.admit(
            request.publisher,
            manifest.pod_resources(pod),
            manifest.volume_resources(pod),
            pod.least_replicas,
            pod.replicas.max,
        )
        now_ns = self.world.clock.now_ns()
        key = ChannelKey(request.publisher, self.world.signer.address, request.pod_id)
        hosted = HostedPod(
            key=key,
            life=request.life,
            namespace=name,
            offer=offer,
            offer_signature=message.offerSignature,
            prices=prices,
            pod=pod,
            images=images,
            version=1,
            meter=Meter.begin(life=request.life),
            accepted_ns=now_ns,
            since_ns=now_ns,
            seen_ns=now_ns,
            claimed_ns=now_ns,
            stated_ns=now_ns,
        )
        hosted.cause = self.world.trace.emit(
            Event(
                Happened.POD_ACCEPTED,
                name,
                request.publisher.hex(),
                amount=request.life,
                detail=str(offer.table_id),
            )
        )
        answer = wire.pb.ProvisionPodResponse(
            status=wire.pb.ProvisionPodResponse.ACCEPTED,
            id=f"{name}-{request.life}",
            namespace=name,
            version=1,
        )
        self.pods[name] = hosted
        self.front.taken += offer.table_id == self.front.listed
        await self.desk.keep(request, answer, hosted)
        self.caretaker.take(hosted)
        return answer

    def _our_offer(self, request: Request, message: wire.pb.Offer, signature: bytes) -> Offer:
        """The Offer that a call refers to, if it is ours, for this pod, and still holds."""
        offer = Offer.from_wire(message)
        if self._scheme.recover(offer.digest(self.payment_domain), signature) != self.world.signer.address:
            raise Refusal("OfferNotOurs", "the offer is not signed by this provider")
        bind(request, publisher=offer.publisher, pod_id=offer.pod_id, life=request.life)
        if offer.expires_at_s * NS_PER_S < self.world.clock.now_ns():
            raise Refusal("OfferExpired", f"it held until {offer.expires_at_s} s")
        return offer

    def open_bundle(
        self, request: Request, offer: Offer, sealed: bytes
    ) -> tuple[Pod, tuple[PublishedImage, ...]]:
        """The manifest and images of a sealed bundle."""
        info = bundle_info(
            self.payment_domain, offer.keys_hash, request.publisher, request.pod_id, request.life
        )
        bundle = wire.parse(wire.pb.Bundle, self._sealer.open_(self._sealing_key, info, sealed))
        try:
            pod = manifest.from_wire(bundle.pod)
        except BadInput as problem:
            raise Refusal("BadManifest", str(problem)) from problem
        by_container = {image.container: image for image in bundle.images}
        images = []
        for container in pod.containers:
            image = by_container.get(container.name)
            if image is None or not container.image.cid:
                raise Refusal("ImageMissing", f"container {container.name} has no encrypted image")
            images.append(
                PublishedImage(
                    cid=cid_text(container.image.cid),
                    digest=image.digest,
                    packed_bytes=image.packedBytes,
                    key=image.key.data,
                    manifest=image.manifest,
                    config=image.config,
                )
            )
        return pod, tuple(images)

    # ------------------------------------------------------------ small things

    def deadline(self) -> int:
        """When a call of the cluster, the chain or the content store that begins now is given up."""
        return self.world.clock.now_ns() + self.settings.port_timeout_ns
