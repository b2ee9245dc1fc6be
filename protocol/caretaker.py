"""The provider's side of a running pod: the pod's own task, from the deposit to the last token. Steps 6, 7 and 14.

A pod is an actor (`hosting.HostedPod`) with a mailbox: it is configured, lives, and is removed by one
task, so it needs no lock. Into the mailbox go what publishers ask (`desk`) and what follows from its
funds (`billing`).

What ends a pod: its funds are used up (and its grace is over), its publisher unlocks or deletes, or its
channel is confirmed to be gone. First nothing runs any more, then the cluster removes it, then the last
reading is taken, then the final claim is made; removing never waits for a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from protocol import manifest, wire
from protocol.errors import Refusal
from protocol.events import Event, Happened
from protocol.hosting import PODS, TRANSITIONS, Ask, Asking, HostedPod, Phase
from protocol.ports import ClusterRefused, NoAnswer, Put, Unknown, Workload
from protocol.requests import payment_channel
from protocol.sender import pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from protocol.billing import Biller
    from protocol.claiming import Claimer
    from protocol.eip712 import Domain
    from protocol.hosting import ProviderSettings
    from protocol.meters import Meters
    from protocol.ports import Cluster, PublishedImage, World


class Caretaker:
    """Takes care of one provider's pods.

    Args:
        world, cluster: the provider's ports.
        settings: as the person chose.
        pods: its pods by namespace; one that has ended and is settled is taken out.
        meters: what they have used.
        biller: meters them.
        claimer: settles them.
        domain: the Payment contract's EIP-712 domain.
    """

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        settings: ProviderSettings,
        pods: dict[str, HostedPod],
        meters: Meters,
        biller: Biller,
        claimer: Claimer,
        domain: Domain,
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._settings = settings
        self._pods = pods
        self._meters = meters
        self._biller = biller
        self._claimer = claimer
        self._payment_domain = domain

    def take(self, pod: HostedPod) -> None:
        """Give a pod its mailbox, with what was asked before a crash and not done, and its task."""
        pod.mailbox = self._world.tasks.mailbox()
        for ask in pod.todo:
            pod.mailbox.put(ask)
        self._world.tasks.start(f"pod {pod.namespace}", self._live(pod))

    async def _live(self, pod: HostedPod) -> None:
        """The pod's task: configure it, then do what the mailbox says until it has ended and is settled."""
        if pod.phase in (Phase.ACCEPTED, Phase.CONFIGURED):
            await self._configure(pod)
        else:
            await self._align(pod)
        while not pod.phase.ended:
            assert pod.mailbox is not None
            ask: Ask | None = await pod.mailbox.get(pod.wake_ns)
            if ask is None:
                await self._biller.wake(pod)
                continue
            match ask.what:
                case Asking.UPDATE:
                    await self._apply_update(pod, ask)
                    pod.todo = tuple(a for a in pod.todo if a is not ask)
                    pod.changed()
                    await self._keep(pod)
                case Asking.SUSPEND:
                    await self._suspend(pod, ask.reason)
                case Asking.RESUME:
                    await self._resume(pod)
                case Asking.REMOVE:
                    await self._remove(pod, ask.reason)
                case Asking.LOOK:
                    pass  # the wake has changed: wait again
                case _:
                    assert_never(ask.what)
        if not pod.settled:
            await self._claimer.settle(pod)
            await self._cluster.forget(pod.namespace)
            pod.settled = True
            await self._keep(pod)
        self._meters.leave(pod)
        del self._pods[pod.namespace]

    # ------------------------------------------------------------ steps 6 and 7

    async def _configure(self, pod: HostedPod) -> None:
        """Step 6: once the deposit counts, fetch the images and configure the cluster; step 7 is the status."""
        refused = await self._await_deposit(pod)
        if refused is None:
            references = await self._fetch(pod.images)
            if isinstance(references, Refusal):
                refused = references
            else:
                refused = await self._apply_workload(pod, references)
        if refused is not None:
            self._world.trace.emit(
                Event(
                    Happened.POD_FAILED,
                    pod.namespace,
                    pod.key.publisher.hex(),
                    refused.rule,
                    detail=refused.detail,
                ),
                pod.cause,
            )
            await self._move(pod, Phase.FAILED, refused.rule)
            return
        if pod.phase is Phase.ACCEPTED:
            await self._move(pod, Phase.CONFIGURED, "")
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_CONFIGURED, pod.namespace, pod.key.publisher.hex(), amount=pod.version),
            pod.cause,
        )
        await self._move(pod, Phase.RUNNING, "")

    async def _await_deposit(self, pod: HostedPod) -> Refusal | None:
        """Before anything is configured: the channel must count, and hold what the Offer demands."""
        world, offer = self._world, pod.offer
        while True:
            seen = await world.chain.channels([pod.key], deadline_ns=self._deadline())
            channel = None if isinstance(seen, Unknown) else seen.channels[pod.key]
            now_ns = world.clock.now_ns()
            if channel is not None and channel.exists and channel.life >= pod.life:
                break
            if not isinstance(seen, Unknown) and now_ns > pod.accepted_ns + self._settings.deposit_wait_ns:
                return Refusal("NoChannel", f"no channel of life {pod.life} counts")
            await pause(world, self._settings.retry_ns)
        if channel.life != pod.life:
            return Refusal("RequestWrongLife", f"life {pod.life}; the channel's is {channel.life}")
        if channel.unlocked_at_s:
            return Refusal("UnlockRunning", f"since before {channel.unlocked_at_s} s")
        if channel.unlock_time_s < offer.min_unlock_s:
            return Refusal(
                "UnlockTimeTooShort", f"{channel.unlock_time_s} s; at least {offer.min_unlock_s} s"
            )
        if channel.available < offer.min_deposit:
            return Refusal("DepositTooSmall", f"{channel.available} base units; at least {offer.min_deposit}")
        pod.seen_ns, pod.unlock_time_s = now_ns, channel.unlock_time_s
        pod.invested, pod.withdrawn = channel.invested_by_publisher, channel.withdrawn_by_provider
        return None

    async def _fetch(self, images: Sequence[PublishedImage]) -> list[str] | Refusal:
        """Bring images to where the cluster pulls from: the references to run, in the order of the containers."""
        references = []
        for image in images:
            reference = await self._world.images.fetch(
                image, deadline_ns=self._world.clock.now_ns() + self._settings.fetch_timeout_ns
            )
            if isinstance(reference, NoAnswer):
                return Refusal("ImageUnavailable", reference.reason)
            references.append(reference)
        return references

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
        await self._keep(pod)  # before the cluster reports a version, the meter knows it
        while True:
            done = await self._cluster.configure(workload, deadline_ns=self._deadline())
            match done:
                case Unknown():
                    await pause(self._world, self._settings.retry_ns)
                case ClusterRefused():
                    return Refusal(done.rule, done.detail)
                case _:
                    pod.endpoints = done
                    pod.changed()
                    return None

    # ------------------------------------------------------------ updates

    async def _apply_update(self, pod: HostedPod, ask: Ask) -> None:
        """Bring an accepted update to the cluster: it changes what changed, and keeps data and service."""
        assert ask.pod is not None
        references = await self._fetch(ask.images)
        if isinstance(references, Refusal):
            self._update_refused(pod, references)
            return
        before = pod.pod, pod.images, pod.version
        pod.pod, pod.images, pod.version = ask.pod, ask.images, ask.version
        refused = await self._apply_workload(pod, references)
        if refused is not None:
            pod.pod, pod.images, pod.version = before
            pod.meter.withdraw(ask.version)
            self._update_refused(pod, refused)
            return
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_UPDATED, pod.namespace, pod.key.publisher.hex(), amount=pod.version), pod.cause
        )

    def _update_refused(self, pod: HostedPod, refusal: Refusal) -> None:
        self._world.trace.emit(
            Event(
                Happened.REQUEST_REFUSED,
                pod.namespace,
                pod.key.publisher.hex(),
                refusal.rule,
                detail=refusal.detail,
            ),
            pod.cause,
        )

    # ------------------------------------------------------------ step 14

    async def _suspend(self, pod: HostedPod, reason: str) -> None:
        """Zero replicas, data kept; what ran until then is metered, and claimed at a later tick."""
        pod.asked = None
        if pod.phase is Phase.SUSPENDED or pod.phase.ended:
            return
        await self._until_done(self._cluster.suspend, pod)
        await self._move(pod, Phase.SUSPENDED, reason)
        await self._biller.last_reading(pod)
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_SUSPENDED, pod.namespace, pod.key.publisher.hex(), reason, pod.owed), pod.cause
        )

    async def _resume(self, pod: HostedPod) -> None:
        """Run again."""
        pod.asked = None
        if pod.phase is not Phase.SUSPENDED:
            return
        await self._until_done(self._cluster.resume, pod)
        await self._move(pod, Phase.RUNNING, "")
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_RESUMED, pod.namespace, pod.key.publisher.hex()), pod.cause
        )

    async def _remove(self, pod: HostedPod, reason: str) -> None:
        """Step 14: stop, remove everything from the cluster, and read the meter for the last time."""
        if not any(ask.what is Asking.REMOVE for ask in pod.todo):
            # Written down first: a top-up while we are down must not find half a pod.
            pod.todo = (*pod.todo, Ask(Asking.REMOVE, reason))
            pod.changed()
            await self._keep(pod)
        if pod.phase is not Phase.SUSPENDED:
            await self._until_done(self._cluster.suspend, pod)
        await self._until_done(self._cluster.remove, pod)
        await self._biller.last_reading(pod, final=True)
        unpaid = max(0, pod.owed - pod.invested)
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_REMOVED, pod.namespace, pod.key.publisher.hex(), reason, unpaid), pod.cause
        )
        await self._move(pod, Phase.REMOVED, reason)

    async def _align(self, pod: HostedPod) -> None:
        """After a crash: bring the cluster to the phase that was written down, whichever of the two is ahead."""
        if pod.phase is Phase.SUSPENDED:
            await self._until_done(self._cluster.suspend, pod)
        elif pod.billable:
            await self._until_done(self._cluster.resume, pod)

    # ------------------------------------------------------------ small things

    async def _move(self, pod: HostedPod, phase: Phase, reason: str) -> None:
        """Go to another phase of `TRANSITIONS`, in writing."""
        assert phase in TRANSITIONS[pod.phase], f"{pod.namespace}: {pod.phase} to {phase}"
        self._meters.stir(pod)
        pod.phase, pod.reason, pod.since_ns = phase, reason, self._world.clock.now_ns()
        await self._keep(pod)

    async def _keep(self, pod: HostedPod) -> None:
        """Write the pod down."""
        await self._world.store.commit([Put(PODS, pod.namespace, pod.to_record())])

    async def _until_done(self, call: Callable[..., Awaitable[Unknown | None]], pod: HostedPod) -> None:
        while await call(pod.namespace, deadline_ns=self._deadline()) is not None:
            await pause(self._world, self._settings.retry_ns)

    def _deadline(self) -> int:
        return self._world.clock.now_ns() + self._settings.port_timeout_ns
