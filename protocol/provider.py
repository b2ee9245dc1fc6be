"""The Provider Client: its side of step 3, steps 5 to 7, and what its publishers may ask afterwards.

A call is authenticated, bound to its pod and channel, and looked up among those that were answered;
what it changes is journalled together with its answer before anything is done. From then on the pod is
an actor (`hosting.HostedPod`) with a mailbox: it is configured, lives, and is removed by its own task,
so it needs no lock. Steps 12 to 14 are in `billing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

from google.protobuf.message import Message

from protocol import agreement, manifest, wire
from protocol.attestation import report_data
from protocol.auth import Offer, ProviderKeys
from protocol.billing import Biller
from protocol.eip712 import Domain
from protocol.errors import BadInput, PeerFault, Refusal
from protocol.events import Event, Happened
from protocol.hosting import (
    ANSWERS,
    PODS,
    Ask,
    Asking,
    HostedPod,
    Phase,
    ProviderPolicies,
    ProviderSettings,
)
from protocol.identity import cid_text, namespace
from protocol.keccak import keccak256
from protocol.metering import Meter
from protocol.payment import ChannelKey
from protocol.policies.admission import Asked
from protocol.policies.price import Shop
from protocol.ports import ClusterRefused, NoAnswer, Peer, PublishedImage, Put, TxConfirmed, Unknown, Workload
from protocol.pricing import PriceTable
from protocol.record import ProviderRecord, write_record
from protocol.registry import NewPricingTable, RegisterPricingTable, RegisterProvider, Unsubscribe
from protocol.requests import (
    Answered,
    Known,
    RequestLog,
    authenticate,
    bind,
    bind_payment,
    payment_channel,
    refusal_message,
)
from protocol.sealing import bundle_info
from protocol.sender import pause
from protocol.units import NS_PER_S, Address, PeerId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocol.auth import Request, Scheme
    from protocol.manifest import Pod
    from protocol.policies import Chance
    from protocol.ports import Attestor, Cluster, Market, World
    from protocol.sealing import Sealer

KEYS_LAST_S: Final = 365 * 24 * 3600
MAX_LOG_LINES: Final = 1000
MAX_STATEMENTS: Final = 100

ANSWER_TYPES: Final[dict[str, type[Message]]] = {
    wire.ATTEST: wire.pb.AttestResponse,
    wire.PROVISIONING_CAPACITY: wire.pb.CapacityResponse,
    wire.PROVISION_POD: wire.pb.ProvisionPodResponse,
    wire.POD_STATUS: wire.pb.PodStatusResponse,
    wire.UPDATE_POD: wire.pb.ProvisionPodResponse,
    wire.DELETE_POD: wire.pb.DeletePodResponse,
    wire.POD_LOGS: wire.pb.PodLogResponse,
    wire.POD_USAGE: wire.pb.PodUsageResponse,
}
"""What each protocol answers; every one has a `refusal`."""

STATES: Final = {
    Phase.ACCEPTED: wire.pb.PodStatusResponse.ACCEPTED,
    Phase.CONFIGURED: wire.pb.PodStatusResponse.CONFIGURED,
    Phase.RUNNING: wire.pb.PodStatusResponse.RUNNING,
    Phase.LOW: wire.pb.PodStatusResponse.LOW,
    Phase.SUSPENDED: wire.pb.PodStatusResponse.SUSPENDED,
    Phase.REMOVED: wire.pb.PodStatusResponse.REMOVED,
    Phase.FAILED: wire.pb.PodStatusResponse.FAILED,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The provider's keys as they are signed, and the private half of the sealing key."""

    signed: ProviderKeys
    signature: bytes
    hash: bytes
    private: bytes


class ProviderClient:
    """One provider.

    Args:
        world: its ports.
        cluster: where pods run.
        attestor: makes evidence.
        settings, policies: as the person chose.
        scheme, sealer: how signatures and seals are made.
        sealing_key: 32 bytes, the private key that bundles are sealed for.
        chance: its stream for policies.
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
        chance: Chance,
    ) -> None:
        self.world = world
        self.cluster = cluster
        self.settings = settings
        self.policies = policies
        self._attestor = attestor
        self._scheme = scheme
        self._sealer = sealer
        self._sealing_key = sealing_key
        self._chance = chance
        terms = world.chain.terms
        self._payment_domain = Domain(terms.chain_id, terms.payment)
        self._registry_domain = Domain(terms.chain_id, terms.registry)
        self.pods: dict[str, HostedPod] = {}
        self._log = RequestLog()
        self._tables: dict[int, PriceTable] = {}
        self._listed = 0
        self._opened_ns = 0
        self._keys: Keys | None = None
        self.biller = Biller(world, cluster, settings, policies, self.pods, self._payment_domain)

    # ------------------------------------------------------------ begin

    async def run(self) -> None:
        """Recover what an earlier incarnation left, list the provider, and serve until the process ends."""
        self._opened_ns = self.world.clock.now_ns()
        self._keys = self._make_keys()
        await self._recover()
        for method, handler in self._handlers().items():
            self.world.network.serve(method, self._answering(method, handler))
        self.world.tasks.start("billing", self.biller.run())
        await self._list()
        await self._keep_prices()

    async def _recover(self) -> None:
        """After a crash: pods, answers and transactions as they were written; every pod goes on from its phase."""
        store = self.world.store
        self._log = RequestLog.restore(Answered.from_record(r) for r in (await store.scan(ANSWERS)).values())
        self._tables = {int(i): PriceTable.from_record(r) for i, r in (await store.scan("tables")).items()}
        found = await store.scan(PODS)
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

    def _make_keys(self) -> Keys:
        now_s = self.world.clock.now_ns() // NS_PER_S
        begin_s = now_s - now_s % KEYS_LAST_S  # the same keys after a crash
        signed = ProviderKeys(
            self.world.signer.address,
            keccak256(self.world.network.peer_id.encode()),
            self._sealer.public_key(self._sealing_key),
            begin_s,
            begin_s + 2 * KEYS_LAST_S,
        )
        digest = signed.digest(self._registry_domain)
        return Keys(signed, self.world.signer.sign(digest), digest, self._sealing_key)

    # ------------------------------------------------------------ being found

    async def _list(self) -> None:
        """The other side of step 2: prices on the chain, a signed record by content id, both in the registry."""
        if not self._tables:
            await self._adopt_tables()
        while not self._tables:
            if not await self._publish_table(self.settings.prices):
                await pause(self.world, self.settings.retry_ns)
        self._listed = max(self._tables)
        keys, settings = self._keys, self.settings
        assert keys is not None
        record = ProviderRecord(
            keys=keys.signed,
            peer=Peer(PeerId(self.world.network.peer_id), settings.multiaddrs),
            regions=settings.regions,
            assurance=settings.assurance,
            evidence_kinds=settings.evidence_kinds,
            extra_prices=settings.prices.extras,
        )
        content = write_record(record, keys.signature)
        while True:
            cid = await self.world.content.put(content, deadline_ns=self._deadline())
            if not isinstance(cid, NoAnswer):
                break
            await pause(self.world, self.settings.retry_ns)
        kept = await self.world.store.get("registered", "cid")
        if kept is None or kept["cid"] != cid:
            outcome = await self.biller.sender.execute(RegisterProvider(cid))
            if isinstance(outcome, TxConfirmed):
                await self.world.store.commit([Put("registered", "cid", {"cid": cid})])

    async def _adopt_tables(self) -> None:
        """Take up our tables that the chain has and our store lost: a crash came between the two."""
        market: Market | Unknown = Unknown("not asked")
        while isinstance(market, Unknown):
            market = await self.world.chain.market(deadline_ns=self._deadline())
            if isinstance(market, Unknown):
                await pause(self.world, self.settings.retry_ns)
        for listing in market.listings:
            if listing.provider == self.world.signer.address:
                for table_id in listing.tables:
                    prices = market.tables[table_id].with_extras(self.settings.prices.extras)
                    self._tables[table_id] = prices
                    await self.world.store.commit([Put("tables", str(table_id), prices.to_record())])

    async def _publish_table(self, prices: PriceTable) -> bool:
        """Register a new table and leave the old ones; running pods keep theirs."""
        outcome = await self.biller.sender.execute(RegisterPricingTable.of(prices))
        if not isinstance(outcome, TxConfirmed):
            return False
        table_id: int = next(e.id for e in outcome.events if isinstance(e, NewPricingTable))
        old = self._listed
        self._tables[table_id] = prices
        self._listed = table_id
        await self.world.store.commit([Put("tables", str(table_id), prices.to_record())])
        self.world.trace.emit(Event(Happened.PRICE_CHANGED, amount=table_id))
        if old:
            await self.biller.sender.execute(Unsubscribe(old))
        return True

    async def _keep_prices(self) -> None:
        """Think about prices as often as the policy wants."""
        while (every_ns := self.policies.price.look_again_ns()) is not None:
            await pause(self.world, every_ns)
            listed = self._tables.get(self._listed, self.settings.prices)
            shop = Shop(
                listed=listed,
                base=self.settings.prices,
                running_ns=self.world.clock.now_ns() - self._opened_ns,
                pods=len(self.pods),
                used_share=0.0,
            )
            wanted = self.policies.price.table(shop)
            if wanted != listed:
                await self._publish_table(wanted)

    # ------------------------------------------------------------ answering

    def _handlers(self) -> dict[str, Callable[[Request, bytes], Awaitable[Message]]]:
        return {
            wire.ATTEST: self._attest,
            wire.PROVISIONING_CAPACITY: self._offer,
            wire.PROVISION_POD: self._provision,
            wire.POD_STATUS: self._status,
            wire.UPDATE_POD: self._update,
            wire.DELETE_POD: self._delete,
            wire.POD_LOGS: self._logs,
            wire.POD_USAGE: self._usage,
        }

    def _answering(
        self, method: str, handler: Callable[[Request, bytes], Awaitable[Message]]
    ) -> Callable[[PeerId, bytes], Awaitable[bytes]]:
        """A handler of raw bytes: authenticate, repeat a known answer, or carry out and keep the answer."""
        kind = ANSWER_TYPES[method]

        async def handle(_: PeerId, raw: bytes) -> bytes:
            now_ns = self.world.clock.now_ns()
            try:
                envelope = wire.decode(raw)
                request = authenticate(
                    envelope,
                    method=method,
                    provider=self.world.signer.address,
                    domain=self._payment_domain,
                    scheme=self._scheme,
                    now_ns=now_ns,
                )
                known = self._log.check(request) if method in wire.MUTATIONS else None
                if isinstance(known, Known):
                    return known.answer
                answer = await handler(request, envelope.body)
            except Refusal as refusal:
                return self._refuse(kind, refusal)
            except PeerFault as fault:
                return self._refuse(kind, Refusal(fault.rule, fault.detail))
            return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))

        return handle

    def _refuse(self, kind: type[Message], refusal: Refusal) -> bytes:
        self.world.trace.emit(Event(Happened.REQUEST_REFUSED, rule=refusal.rule, detail=refusal.detail))
        answer: Any = kind()
        answer.refusal.CopyFrom(refusal_message(refusal, self.world.clock.now_ns()))
        return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))

    async def _keep(self, request: Request, answer: Message, pod: HostedPod) -> None:
        """Write down what a mutation changed together with its answer, in one batch."""
        raw = wire.encode(wire.pb.Envelope(body=wire.dump(answer)))
        entry = self._log.record(request, raw, self.world.clock.now_ns())
        await self.world.store.commit(
            [Put(PODS, pod.namespace, pod.to_record()), Put(ANSWERS, entry.key, entry.to_record())]
        )

    async def _take_on(self, request: Request, answer: Message, pod: HostedPod, ask: Ask) -> None:
        """Journal what a publisher asked, together with the answer, and hand it to the pod's task."""
        pod.todo = (*pod.todo, ask)
        pod.changed()
        await self._keep(request, answer, pod)
        assert pod.mailbox is not None
        pod.mailbox.put(ask)

    # ------------------------------------------------------------ step 3: keys and Offer

    async def _attest(self, request: Request, body: bytes) -> Message:
        """Our signed keys, and evidence that binds them to the caller's nonce."""
        asked = wire.parse(wire.pb.AttestRequest, body)
        keys = self._keys
        assert keys is not None
        if len(asked.nonce) != 32:
            raise Refusal("BadNonce", f"{len(asked.nonce)} bytes; allowed: 32")
        evidence = await self._attestor.evidence(
            report_data(asked.nonce, keys.hash), tuple(asked.kinds), deadline_ns=self._deadline()
        )
        if isinstance(evidence, Unknown):
            raise Refusal("EvidenceUnavailable", evidence.reason)
        return wire.pb.AttestResponse(
            keys=keys.signed.to_wire(), signature=keys.signature, evidence=[e.to_wire() for e in evidence]
        )

    async def _offer(self, request: Request, body: bytes) -> Message:
        """Terms and prices for what is asked, signed: made before any deposit, carried in the provision request."""
        asked = wire.parse(wire.pb.CapacityRequest, body)
        table_id = asked.tableId or self._listed
        prices = self._tables.get(table_id)
        if prices is None or table_id != self._listed:
            raise Refusal("NoSuchTable", f"table {table_id}; offered is {self._listed}")
        replica, volumes = agreement.amounts(asked.resources), agreement.amounts(asked.volumes)
        prices.check_covers({*replica, *volumes})
        await self._admit(request.publisher, replica, asked.replicas.min, asked.replicas.max)
        grace_s = self.settings.grace_s if volumes else 0
        least = agreement.running_cost(
            replica, volumes, prices, replicas=max(1, asked.replicas.min), for_ns=self.settings.runway_ns
        ) + agreement.running_cost({}, volumes, prices, replicas=0, for_ns=grace_s * NS_PER_S)
        keys = self._keys
        assert keys is not None
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

    async def _admit(self, publisher: Address, replica: Any, least: int, most: int) -> None:
        free = await self.cluster.capacity(deadline_ns=self._deadline())
        if isinstance(free, Unknown):
            raise Refusal("ClusterUnknown", free.reason)
        live = [p for p in self.pods.values() if not p.phase.ended]
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
        prices = self._tables.get(offer.table_id)
        if prices is None:
            raise Refusal("NoSuchTable", f"table {offer.table_id}")
        pod, images = self._open(request, offer, message.sealed)
        if agreement.capacity_hash(agreement.capacity_request(pod, offer.table_id)) != offer.capacity_hash:
            raise Refusal(
                "CapacityDiffers", "the manifest asks for something else than the offer was made for"
            )
        await self._admit(
            request.publisher, manifest.pod_resources(pod), pod.least_replicas, pod.replicas.max
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
        await self._keep(request, answer, hosted)
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

    def _open(self, request: Request, offer: Offer, sealed: bytes) -> tuple[Pod, tuple[PublishedImage, ...]]:
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
        while True:
            done = await self.cluster.configure(workload, deadline_ns=self._deadline())
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
        pod.pod, pod.images, pod.version = ask.pod, ask.images, pod.version + 1
        refused = await self._apply_workload(pod, references)
        if refused is not None:
            pod.pod, pod.images, pod.version = before
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

    # ------------------------------------------------------------ what publishers ask of a pod that is there

    def _pod_of(self, request: Request) -> HostedPod:
        pod = self.pods.get(namespace(request.publisher, request.pod_id))
        if pod is None:
            raise Refusal("NoSuchPod", namespace(request.publisher, request.pod_id))
        bind(request, publisher=pod.key.publisher, pod_id=pod.key.pod_id, life=pod.life)
        return pod

    async def _status(self, request: Request, body: bytes) -> Message:
        wire.parse(wire.pb.PodStatusRequest, body)
        name = namespace(request.publisher, request.pod_id)
        pod = self.pods.get(name)
        if pod is None:
            record = await self.world.store.get(PODS, name)  # one that has ended: its reason stays readable
            if record is None:
                raise Refusal("NoSuchPod", name)
            pod = HostedPod.from_record(record)
        bind(request, publisher=pod.key.publisher, pod_id=pod.key.pod_id, life=pod.life)
        answer = wire.pb.PodStatusResponse(
            state=STATES[pod.phase],
            id=f"{name}-{pod.life}",
            namespace=name,
            version=pod.version,
            owed=pod.owed.to_bytes(32, "big"),
            withdrawn=pod.withdrawn.to_bytes(32, "big"),
        )
        for endpoint in pod.endpoints:
            answer.addresses.add(
                multiaddr=endpoint.multiaddr, containerName=endpoint.container, containerPort=endpoint.port
            )
        if pod.reason:
            answer.reason.CopyFrom(refusal_message(Refusal(pod.reason, ""), pod.since_ns))
        return answer

    async def _update(self, request: Request, body: bytes) -> Message:
        message = wire.parse(wire.pb.UpdatePodRequest, body)
        pod = self._pod_of(request)
        if pod.phase not in (Phase.RUNNING, Phase.LOW):
            raise Refusal("PodNotRunning", f"it is {pod.phase}: {pod.reason or 'not configured yet'}")
        new, images = self._open(request, pod.offer, message.sealed)
        replica, volumes = manifest.pod_resources(new), manifest.volume_resources(new)
        pod.prices.check_covers({*replica, *volumes})
        await self._admit(request.publisher, replica, new.least_replicas, new.replicas.max)
        answer = wire.pb.ProvisionPodResponse(
            status=wire.pb.ProvisionPodResponse.ACCEPTED,
            id=f"{pod.namespace}-{pod.life}",
            namespace=pod.namespace,
            version=pod.version + 1,
        )
        await self._take_on(request, answer, pod, Ask(Asking.UPDATE, pod=new, images=images))
        return answer

    async def _delete(self, request: Request, body: bytes) -> Message:
        """Delete: final claim, then removal, whatever the phase; the publisher gets the rest back."""
        wire.parse(wire.pb.DeletePodRequest, body)
        pod = self._pod_of(request)
        answer = wire.pb.DeletePodResponse(success=True)
        await self._take_on(request, answer, pod, Ask(Asking.REMOVE, reason="Deleted"))
        return answer

    async def _logs(self, request: Request, body: bytes) -> Message:
        asked = wire.parse(wire.pb.PodLogRequest, body)
        pod = self._pod_of(request)
        if asked.containerName not in {c.name for c in pod.pod.containers}:
            raise Refusal("NoSuchContainer", asked.containerName[:80])
        page = await self.cluster.logs(
            pod.namespace,
            asked.containerName,
            asked.cursor,
            limit=min(asked.limit or MAX_LOG_LINES, MAX_LOG_LINES),
            deadline_ns=self._deadline(),
        )
        if isinstance(page, Unknown):
            raise Refusal("ClusterUnknown", page.reason)
        answer = wire.pb.PodLogResponse(cursor=page.cursor)
        for at_ns, stream, text in page.lines:
            answer.entries.add(NanosecondsUnixEpoch=at_ns, log=text, stream=stream)
        return answer

    async def _usage(self, request: Request, body: bytes) -> Message:
        asked = wire.parse(wire.pb.PodUsageRequest, body)
        name = namespace(request.publisher, request.pod_id)
        statements = await self.biller.statements(name, request.life)
        most = min(asked.limit or MAX_STATEMENTS, MAX_STATEMENTS)
        wanted = [s for s in statements if s.usage.seq > asked.afterSeq]
        return wire.pb.PodUsageResponse(statements=wanted[:most], more=len(wanted) > most)

    # ------------------------------------------------------------ small things

    def _deadline(self) -> int:
        return self.world.clock.now_ns() + self.settings.port_timeout_ns
