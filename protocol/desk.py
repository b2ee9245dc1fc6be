"""Where a provider answers its publishers: every call is authenticated, and a known one has its known answer.

What a mutation changes is journalled together with its answer before anything is done. The calls that
belong to a step of the seed are `provider`'s; here are those about a pod that is there: status, update,
delete, logs, usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from protocol import manifest, wire
from protocol.errors import PeerFault, Refusal
from protocol.events import Event, Happened
from protocol.hosting import ANSWERS, PODS, Ask, Asking, HostedPod, Phase
from protocol.identity import namespace
from protocol.ports import Put, Unknown
from protocol.requests import Answered, Known, RequestLog, authenticate, bind, refusal_message
from protocol.turns import Turns
from protocol.units import NS_PER_S, PeerId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocol.auth import Request
    from protocol.eip712 import Domain
    from protocol.provider import ProviderClient
    from protocol.signing import Scheme
    from protocol.units import Address, PodId

MAX_LOG_LINES: Final = 1000
MAX_STATEMENTS: Final = 100
PRUNE_EVERY_NS: Final = 3600 * NS_PER_S
"""How often old answers are looked for at most [ns]: short beside the day for which they are kept."""

ANSWER_TYPES: Final[dict[str, type[Message]]] = {
    wire.ATTEST: wire.pb.AttestResponse,
    wire.PROVISIONING_CAPACITY: wire.pb.CapacityResponse,
    wire.PROVISION_POD: wire.pb.ProvisionPodResponse,
    wire.POD_STATUS: wire.pb.PodStatusResponse,
    wire.UPDATE_POD: wire.pb.ProvisionPodResponse,
    wire.DELETE_POD: wire.pb.DeletePodResponse,
    wire.POD_LOGS: wire.pb.PodLogResponse,
    wire.POD_USAGE: wire.pb.PodUsageResponse,
    wire.LOAD: wire.pb.LoadResponse,
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


class Desk:
    """Answers the calls of one provider's publishers.

    Args:
        provider: whose pods it is about.
        domain: the Payment contract's EIP-712 domain.
        scheme: how signatures are read.
    """

    def __init__(self, provider: ProviderClient, domain: Domain, scheme: Scheme) -> None:
        self._provider = provider
        self.world = provider.world
        self._payment_domain = domain
        self._scheme = scheme
        self._log = RequestLog()
        self._pruned_ns = 0
        self._turns: dict[tuple[Address, PodId], Turns] = {}  # of pods that a mutation is about now

    async def recover(self) -> None:
        """Take up what an earlier incarnation answered."""
        stored = await self.world.store.scan(ANSWERS)
        self._log = RequestLog.restore(Answered.from_record(r) for r in stored.values())

    def open(self, steps: dict[str, Callable[[Request, bytes], Awaitable[Message]]]) -> None:
        """Serve every protocol: those of `steps`, and the ones about a pod that is there."""
        handlers = steps | {
            wire.POD_STATUS: self._status,
            wire.UPDATE_POD: self._update,
            wire.DELETE_POD: self._delete,
            wire.POD_LOGS: self._logs,
            wire.POD_USAGE: self._usage,
        }
        for method, handler in handlers.items():
            self.world.network.serve(method, self._answering(method, handler))

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
                if method not in wire.MUTATIONS:
                    answer = await handler(request, envelope.body)
                    return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))
                await self._begin(request)
                try:
                    await self._prune()
                    known = self._log.check(request)
                    if isinstance(known, Known):
                        return known.answer
                    answer = await handler(request, envelope.body)
                finally:
                    self._end(request)
            except Refusal as refusal:
                return self._refuse(kind, refusal)
            except PeerFault as fault:
                return self._refuse(kind, Refusal(fault.rule, fault.detail))
            return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))

        return handle

    async def _begin(self, request: Request) -> None:
        """Wait for this pod's turn: two mutations of one pod never run at once, least of all the same one twice."""
        key = request.publisher, request.pod_id
        if key not in self._turns:
            self._turns[key] = Turns(self.world.tasks)
        await self._turns[key].take()

    def _end(self, request: Request) -> None:
        key = request.publisher, request.pod_id
        self._turns[key].give()
        if self._turns[key].idle:
            del self._turns[key]

    async def _prune(self) -> None:
        """Now and then, before a mutation is looked up: forget the answers whose time is over."""
        now_ns = self.world.clock.now_ns()
        if now_ns < self._pruned_ns + PRUNE_EVERY_NS:
            return
        self._pruned_ns = now_ns
        living = {(p.key.publisher, p.key.pod_id) for p in self._provider.pods.values()}
        dropped = self._log.prune(now_ns, living)
        if dropped:
            await self.world.store.commit([Put(ANSWERS, key, None) for key in dropped])

    def _refuse(self, kind: type[Message], refusal: Refusal) -> bytes:
        self.world.trace.emit(Event(Happened.REQUEST_REFUSED, rule=refusal.rule, detail=refusal.detail))
        answer: Any = kind()
        answer.refusal.CopyFrom(refusal_message(refusal, self.world.clock.now_ns()))
        return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))

    async def keep(self, request: Request, answer: Message, pod: HostedPod) -> None:
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
        await self.keep(request, answer, pod)
        assert pod.mailbox is not None
        pod.mailbox.put(ask)

    # ------------------------------------------------------------ what publishers ask of a pod that is there

    def _pod_of(self, request: Request) -> HostedPod:
        pod = self._provider.pods.get(namespace(request.publisher, request.pod_id))
        if pod is None:
            raise Refusal("NoSuchPod", namespace(request.publisher, request.pod_id))
        bind(request, publisher=pod.key.publisher, pod_id=pod.key.pod_id, life=pod.life)
        return pod

    async def _status(self, request: Request, body: bytes) -> Message:
        wire.parse(wire.pb.PodStatusRequest, body)
        name = namespace(request.publisher, request.pod_id)
        pod = self._provider.pods.get(name)
        if pod is None:
            record = await self.world.store.get(PODS, name)  # one that has ended: its reason stays readable
            if record is None:
                raise Refusal("NoSuchPod", name)
            pod = HostedPod.from_record(record)
        bind(request, publisher=pod.key.publisher, pod_id=pod.key.pod_id, life=pod.life)
        self._provider.meters.bring(pod)
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
        new, images = self._provider.open_bundle(request, pod.offer, message.sealed)
        replica, volumes = manifest.pod_resources(new), manifest.volume_resources(new)
        pod.prices.check_covers({*replica, *volumes})
        await self._provider.admit(
            request.publisher, replica, volumes, new.least_replicas, new.replicas.max, instead_of=pod
        )
        version = max(pod.version, *(ask.version for ask in pod.todo), 0) + 1
        answer = wire.pb.ProvisionPodResponse(
            status=wire.pb.ProvisionPodResponse.ACCEPTED,
            id=f"{pod.namespace}-{pod.life}",
            namespace=pod.namespace,
            version=version,
        )
        ask = Ask(Asking.UPDATE, pod=new, images=images, version=version)
        await self._take_on(request, answer, pod, ask)
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
        page = await self._provider.cluster.logs(
            pod.namespace,
            asked.containerName,
            asked.cursor,
            limit=min(asked.limit or MAX_LOG_LINES, MAX_LOG_LINES),
            deadline_ns=self._provider.deadline(),
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
        most = min(asked.limit or MAX_STATEMENTS, MAX_STATEMENTS)
        found = await self._provider.claimer.statements(
            name, request.life, after=asked.afterSeq, most=most + 1
        )
        return wire.pb.PodUsageResponse(statements=found[:most], more=len(found) > most)
