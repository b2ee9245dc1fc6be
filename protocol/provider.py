"""The Provider Client: its side of step 3, and steps 5 to 7.

A call is authenticated, bound to its pod and channel, and looked up among those that were answered;
what it changes is journalled together with its answer before anything is done. From then on the pod is
an actor (`hosting.HostedPod`) with a mailbox: it is configured, lives, and is removed by its own task,
so it needs no lock. How the provider is found is `storefront`'s, how it answers is `desk`'s, and steps 12
to 14 are `billing`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from google.protobuf.message import Message

from protocol import agreement, manifest, wire
from protocol.attestation import report_data
from protocol.auth import Offer
from protocol.billing import Biller
from protocol.desk import Desk
from protocol.eip712 import Domain
from protocol.errors import BadInput, Refusal
from protocol.events import Event, Happened
from protocol.hosting import (
    PODS,
    Ask,
    Asking,
    HostedPod,
    Phase,
    ProviderPolicies,
    ProviderSettings,
)
from protocol.identity import cid_text, namespace
from protocol.metering import Meter
from protocol.payment import ChannelKey
from protocol.policies.admission import Asked
from protocol.ports import ClusterRefused, NoAnswer, PublishedImage, Unknown, Workload
from protocol.requests import (
    bind,
    bind_payment,
    payment_channel,
)
from protocol.sealing import bundle_info
from protocol.sender import pause
from protocol.storefront import Storefront
from protocol.units import NS_PER_S, Address, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.auth import Request
    from protocol.manifest import Pod
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
    """

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
        self._payment_domain = Domain(terms.chain_id, terms.payment)
        self.pods: dict[str, HostedPod] = {}
        self.biller = Biller(world, cluster, settings, policies, self.pods, self._payment_domain)
        self.front = Storefront(
            world, settings, policies, self.biller.sender, self.pods, sealer=sealer, sealing_key=sealing_key
        )
        self.desk = Desk(self, self._payment_domain, scheme)

    # ------------------------------------------------------------ begin

    async def run(self) -> None:
        """Recover what an earlier incarnation left, list the provider, and serve until the process ends."""
        await self._recover()
        self.desk.open(
            {
                wire.ATTEST: self._attest,
                wire.PROVISIONING_CAPACITY: self._offer,
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
        await self.biller.sender.resume()
        for pod in self.pods.values():
            self._animate(pod)
        if found:
            self.world.trace.emit(Event(Happened.RECOVERED, amount=len(self.pods)))

    # ------------------------------------------------------------ step 3: keys and Offer

    async def _attest(self, request: Request, body: bytes) -> Message:
        """Our signed keys, and evidence that binds them to the caller's nonce."""
        asked = wire.parse(wire.pb.AttestRequest, body)
        keys = self.front.keys
        if len(asked.nonce) != 32:
            raise Refusal("BadNonce", f"{len(asked.nonce)} bytes; allowed: 32")
        evidence = await self._attestor.evidence(
            report_data(asked.nonce, keys.hash), tuple(asked.kinds), deadline_ns=self.deadline()
        )
        if isinstance(evidence, Unknown):
            raise Refusal("EvidenceUnavailable", evidence.reason)
        return wire.pb.AttestResponse(
            keys=keys.signed.to_wire(), signature=keys.signature, evidence=[e.to_wire() for e in evidence]
        )

    async def _offer(self, request: Request, body: bytes) -> Message:
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
            offerSignature=self.world.signer.sign(offer.digest(self._payment_domain)),
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
        refusal = self.policies.admission.admit(
            Asked(
                publisher=publisher,
                a_replica=replica,
                min_replicas=least,
                max_replicas=most,
                free=free,
                pods=len(live),
                pods_of_publisher=sum(p.key.publisher == publisher for p in live),
            )
        )
        if refusal is not None:
            raise refusal

    # ------------------------------------------------------------ step 5: the bundle arrives

    async def _provision(self, request: Request, body: bytes) -> Message:
        """Step 5, received: agreement and bundle are checked and journalled; the pod's own task does the rest."""
        message = wire.parse(wire.pb.ProvisionPodRequest, body)
        bind_payment(request, message.payment, self._payment_domain)
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
        await self.desk.keep(request, answer, hosted)
        self._animate(hosted)
        return answer

    def _our_offer(self, request: Request, message: wire.pb.Offer, signature: bytes) -> Offer:
        """The Offer that a call refers to, if it is ours, for this pod, and still holds."""
        offer = Offer.from_wire(message)
        if self._scheme.recover(offer.digest(self._payment_domain), signature) != self.world.signer.address:
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
            self._payment_domain, offer.keys_hash, request.publisher, request.pod_id, request.life
        )
        bundle = wire.parse(wire.pb.Bundle, self._sealer.open_(self._sealing_key, info, sealed))
        try:
            pod = manifest.check(manifest.from_wire(bundle.pod))
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

    # ------------------------------------------------------------ steps 6 and 7, and the life after

    def _animate(self, pod: HostedPod) -> None:
        """Give a pod its mailbox, with what was asked before a crash and not done, and its task."""
        pod.mailbox = self.world.tasks.mailbox()
        for ask in pod.todo:
            pod.mailbox.put(ask)
        self.world.tasks.start(f"pod {pod.namespace}", self._live(pod))

    async def _live(self, pod: HostedPod) -> None:
        """The pod's task: configure it, then do what the mailbox says until it has ended and is settled."""
        if pod.phase in (Phase.ACCEPTED, Phase.CONFIGURED):
            await self._configure(pod)
        else:
            await self.biller.align(pod)
        while not pod.phase.ended:
            assert pod.mailbox is not None
            ask: Ask | None = await pod.mailbox.get(pod.wake_ns)
            if ask is None:
                await self.biller.wake(pod)
                continue
            match ask.what:
                case Asking.UPDATE:
                    await self._apply_update(pod, ask)
                    pod.todo = tuple(a for a in pod.todo if a is not ask)
                    pod.changed()
                    await self.biller.keep(pod)
                case Asking.SUSPEND:
                    await self.biller.suspend(pod, ask.reason)
                case Asking.RESUME:
                    await self.biller.resume(pod)
                case Asking.REMOVE:
                    await self.biller.remove(pod, ask.reason)
                case Asking.LOOK:
                    pass  # the wake has changed: wait again
                case _:
                    assert_never(ask.what)
        if not pod.settled:
            await self.biller.settle(pod)
        del self.pods[pod.namespace]

    async def _configure(self, pod: HostedPod) -> None:
        """Step 6: once the deposit counts, fetch the images and configure the cluster; step 7 is the status."""
        refused = await self.biller.await_deposit(pod)
        references: list[str] = []
        if refused is None:
            for image in pod.images:
                reference = await self.world.images.fetch(
                    image, deadline_ns=self.world.clock.now_ns() + self.settings.fetch_timeout_ns
                )
                if isinstance(reference, NoAnswer):
                    refused = Refusal("ImageUnavailable", reference.reason)
                    break
                references.append(reference)
        if refused is None:
            refused = await self._apply_workload(pod, references)
        if refused is not None:
            self.world.trace.emit(
                Event(
                    Happened.POD_FAILED,
                    pod.namespace,
                    pod.key.publisher.hex(),
                    refused.rule,
                    detail=refused.detail,
                ),
                pod.cause,
            )
            await self.biller.move(pod, Phase.FAILED, refused.rule)
            return
        if pod.phase is Phase.ACCEPTED:
            await self.biller.move(pod, Phase.CONFIGURED, "")
        pod.cause = self.world.trace.emit(
            Event(Happened.POD_CONFIGURED, pod.namespace, pod.key.publisher.hex(), amount=pod.version),
            pod.cause,
        )
        await self.biller.move(pod, Phase.RUNNING, "")

    async def _apply_workload(self, pod: HostedPod, references: list[str]) -> Refusal | None:
        workload = Workload(
            namespace=pod.namespace,
            version=pod.version,
            pod=pod.pod,
            images=tuple(references),
            annotation=wire.dump(
                payment_channel(self._payment_domain, pod.key.publisher, pod.key.provider, pod.key.pod_id)
            ).hex(),
        )
        pod.meter.configure(
            pod.version, replica=manifest.pod_resources(pod.pod), volumes=manifest.volume_resources(pod.pod)
        )
        pod.changed()
        await self.biller.keep(pod)  # before the cluster reports a version, the meter knows it
        while True:
            done = await self.cluster.configure(workload, deadline_ns=self.deadline())
            match done:
                case Unknown():
                    await pause(self.world, self.settings.retry_ns)
                case ClusterRefused():
                    return Refusal(done.rule, done.detail)
                case _:
                    pod.endpoints = done
                    pod.changed()
                    return None

    async def _apply_update(self, pod: HostedPod, ask: Ask) -> None:
        """Bring an accepted update to the cluster: it changes what changed, and keeps data and service."""
        assert ask.pod is not None
        references = []
        for image in ask.images:
            reference = await self.world.images.fetch(
                image, deadline_ns=self.world.clock.now_ns() + self.settings.fetch_timeout_ns
            )
            if isinstance(reference, NoAnswer):
                self._update_refused(pod, Refusal("ImageUnavailable", reference.reason))
                return
            references.append(reference)
        before = pod.pod, pod.images, pod.version
        pod.pod, pod.images, pod.version = ask.pod, ask.images, ask.version
        refused = await self._apply_workload(pod, references)
        if refused is not None:
            pod.pod, pod.images, pod.version = before
            pod.meter.withdraw(ask.version)
            self._update_refused(pod, refused)
            return
        pod.cause = self.world.trace.emit(
            Event(Happened.POD_UPDATED, pod.namespace, pod.key.publisher.hex(), amount=pod.version), pod.cause
        )

    def _update_refused(self, pod: HostedPod, refusal: Refusal) -> None:
        self.world.trace.emit(
            Event(
                Happened.REQUEST_REFUSED,
                pod.namespace,
                pod.key.publisher.hex(),
                refusal.rule,
                detail=refusal.detail,
            ),
            pod.cause,
        )

    # ------------------------------------------------------------ small things

    def deadline(self) -> int:
        """When a call of the cluster, the chain or the content store that begins now is given up."""
        return self.world.clock.now_ns() + self.settings.port_timeout_ns
