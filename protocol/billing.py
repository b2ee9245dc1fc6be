"""The billing tick: step 12, what ran is metered; and what follows from it for claims (step 13) and pods (14).

One billing tick a provider: one reading of the cluster, one reading of all channels at one block, one
batch to the store, and nothing for a pod of which neither says anything new. Not knowing decides nothing:
without a confirmed view of a channel nothing is removed; after a third of the unlock time the pod is suspended, its data kept, until the chain answers again. The
tick decides and asks; what is done to a pod is done by its own task (`caretaker`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.events import Event, Happened
from protocol.hosting import BILLABLE, PODS, Ask, Asking, HostedPod, Phase
from protocol.ports import ChannelsAt, Put, Unknown
from protocol.sender import pause
from protocol.units import NEVER_NS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.claiming import Claimer
    from protocol.hosting import ProviderSettings
    from protocol.meters import Meters
    from protocol.payment import Channel, ChannelKey
    from protocol.ports import Cluster, World

UNKNOWN_SHARE: Final = 3
"""A channel not seen for this fraction of its unlock time suspends its pod (protocol.md, "Life of a pod")."""
WAKE_AT_LEAST_NS: Final = NS_PER_S


class Biller:
    """Bills one provider's pods.

    Args:
        world, cluster: the provider's ports.
        settings: as the person chose.
        meters: what its pods have used.
        claimer: claims what is due.
    """

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        settings: ProviderSettings,
        meters: Meters,
        claimer: Claimer,
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._settings = settings
        self._meters = meters
        self._claimer = claimer
        self._channels: Mapping[ChannelKey, Channel | None] | None = None  # that all pods were compared with

    # ------------------------------------------------------------ the tick

    async def run(self) -> None:
        """Tick for ever, at the settings' interval and phase."""
        clock, tick_ns = self._world.clock, self._settings.tick_ns
        box = self._world.tasks.mailbox()
        while True:
            now_ns = clock.now_ns()
            past_ns = (now_ns - self._settings.tick_phase_ns) % tick_ns
            await box.get(now_ns + tick_ns - past_ns)
            await self.tick()

    async def tick(self) -> None:
        """One look at everything: meter, compare with the channels, decide, write, claim.

        What the cluster and the chain say has not come to anything new is passed over (`meters`).
        """
        meters = self._meters
        pods, keys = meters.billed, meters.keys
        if not pods:
            return
        usage = await self._cluster.usage(meters.marks, deadline_ns=self._deadline())
        if isinstance(usage, Unknown):
            return  # nothing was read, so nothing is decided; readings are cumulative and lose nothing
        # Metered before anything else is awaited: meanwhile the pods' own tasks may read anew, and later.
        looked = meters.take(usage)
        seen = await self._world.chain.channels(keys, deadline_ns=self._deadline())
        channels: Mapping[ChannelKey, Channel | None] | None = None
        if isinstance(seen, Unknown):
            self._world.trace.emit(Event(Happened.CHAIN_UNKNOWN, rule=seen.reason))
        elif (
            not self._settings.wake_early
        ):  # else a pod that sleeps may wake and use its funds up: see `_decide`
            channels = seen.channels
        if channels is None or channels is not self._channels:
            moved = {pod.namespace: grown for pod, grown in looked}
            looked = [(p, m if (m := moved.get(p.namespace)) is not None else meters.bring(p)) for p in pods]
        self._channels = channels
        if looked:
            await self._look(looked, seen, channels or {})
        if not isinstance(seen, Unknown):
            meters.seen(self._world.clock.now_ns())
            asked = await self._claimer.claim(pods, looked=bool(looked))
            if (asked or looked) and not self._settings.wake_early:
                meters.pass_over(self._claimer.owed_to(pods))

    async def _look(
        self,
        looked: Sequence[tuple[HostedPod, bool]],
        seen: ChannelsAt | Unknown,
        channels: Mapping[ChannelKey, Channel | None],
    ) -> None:
        """Decide about pods, and write down those whose meter grew or of which anything was decided."""
        changes, now_ns = [], self._world.clock.now_ns()
        for pod, grown in looked:
            if pod.phase not in BILLABLE:
                continue  # it ended while the chain was asked
            channel = channels.get(pod.key)
            if (
                channel is pod.channel
                and channel is not None
                and (pod.owed <= pod.calm_to or not grown)
                and pod.phase is not Phase.SUSPENDED
            ):
                pod.seen_ns = now_ns  # nothing has moved that could decide anything
            else:
                before = (pod.phase, pod.invested, pod.withdrawn)
                self._decide(pod, seen)
                grown = grown or before != (pod.phase, pod.invested, pod.withdrawn)
            if grown:
                changes.append(Put(PODS, pod.namespace, pod.to_record()))
        if changes:
            await self._world.store.commit(changes)

    def _decide(self, pod: HostedPod, seen: ChannelsAt | Unknown) -> None:
        """Compare what is owed with what the channel holds, and tell the pod's task what follows."""
        now_ns = self._world.clock.now_ns()
        if isinstance(seen, Unknown):
            if now_ns - pod.seen_ns > pod.unlock_time_s * NS_PER_S // UNKNOWN_SHARE:
                self._ask(pod, Asking.SUSPEND, "ChainUnconfirmed")
            return
        channel = seen.channels[pod.key]
        if channel is None or not channel.exists or channel.life != pod.life:
            self._ask(pod, Asking.REMOVE, "ChannelGone")
            return
        pod.seen_ns = now_ns
        pod.channel, pod.calm_to = channel, -1
        pod.invested, pod.withdrawn = channel.invested_by_publisher, channel.withdrawn_by_provider
        pod.unlock_time_s = channel.unlock_time_s
        if channel.unlocked_at_s:
            pod.cause = self._world.trace.emit(
                Event(Happened.UNLOCK_SEEN, pod.namespace, pod.key.publisher.hex()), pod.cause
            )
            self._ask(pod, Asking.REMOVE, "Unlocked")
            return
        left = self._left(pod)
        if pod.phase is Phase.SUSPENDED:
            self._decide_suspended(pod, left, now_ns)
        elif left <= 0:
            self._exhausted(pod)
        elif pod.owed - pod.withdrawn > pod.marks(self._settings).exposure:
            self._ask(pod, Asking.SUSPEND, "ExposureCap")
        else:
            self._watch_runway(pod, left, now_ns)

    def _decide_suspended(self, pod: HostedPod, left: int, now_ns: int) -> None:
        exposed = pod.owed - pod.withdrawn > pod.marks(self._settings).exposure
        if left > 0 and not (pod.reason == "ExposureCap" and exposed):
            self._ask(pod, Asking.RESUME, "")
        elif now_ns >= pod.since_ns + pod.offer.grace_s * NS_PER_S:
            self._ask(pod, Asking.REMOVE, pod.reason)

    def _watch_runway(self, pod: HostedPod, left: int, now_ns: int) -> None:
        """Say when funds are low; with `wake_early`, wake when they could be gone before the next tick."""
        marks = pod.marks(self._settings)
        low = left < marks.low
        phase = Phase.LOW if low else Phase.RUNNING
        if pod.phase in (Phase.RUNNING, Phase.LOW) and phase is not pod.phase:
            pod.phase, pod.since_ns = phase, now_ns
            if low:
                self._world.trace.emit(
                    Event(Happened.FUNDS_LOW, pod.namespace, pod.key.publisher.hex(), amount=left), pod.cause
                )
        # What it owes never falls: until then nothing above, in `_decide` or here comes out differently.
        pod.calm_to = min(pod.owed + left - (1 if low else marks.low), pod.withdrawn + marks.exposure)
        pod.wake_ns = NEVER_NS
        if self._settings.wake_early:
            a_tick = marks.a_tick
            if a_tick > left:
                pod.wake_ns = now_ns + max(WAKE_AT_LEAST_NS, self._settings.tick_ns * left // a_tick)
                assert pod.mailbox is not None
                pod.mailbox.put(Ask(Asking.LOOK))

    async def wake(self, pod: HostedPod) -> None:
        """A pod's wake has come: look at this pod alone, by the channel as last seen."""
        pod.wake_ns = NEVER_NS
        usage = await self._cluster.usage(deadline_ns=self._deadline())
        if isinstance(usage, Unknown) or not pod.billable:
            return
        self._meters.meter(pod, usage)
        left = self._left(pod)
        if left > 0:
            self._watch_runway(pod, left, self._world.clock.now_ns())
        else:
            self._exhausted(pod)

    async def last_reading(self, pod: HostedPod, *, final: bool = False) -> None:
        """Meter a pod that was stopped.

        Args:
            pod: which.
            final: whether it will never run again.
        """
        while True:
            usage = await self._cluster.usage(deadline_ns=self._deadline())
            if not isinstance(usage, Unknown):
                self._meters.meter(pod, usage, final=final)
                return
            await pause(self._world, self._settings.retry_ns)

    def _exhausted(self, pod: HostedPod) -> None:
        """The funds are gone: a pod with volumes is suspended for its grace time, another is removed."""
        what = Asking.SUSPEND if pod.offer.grace_s else Asking.REMOVE
        if pod.asked is not what:
            pod.cause = self._world.trace.emit(
                Event(
                    Happened.POD_METERED, pod.namespace, pod.key.publisher.hex(), "FundsExhausted", pod.owed
                ),
                pod.cause,
            )
        self._ask(pod, what, "FundsExhausted")

    def _left(self, pod: HostedPod) -> int:
        """What the channel holds beyond what is owed and what the grace time's storage will cost."""
        return pod.invested - pod.marks(self._settings).reserve - pod.owed

    def _ask(self, pod: HostedPod, what: Asking, reason: str) -> None:
        """Put one thing to do into the pod's mailbox; the same thing twice is one thing."""
        if pod.asked is what:
            return
        pod.asked = what
        assert pod.mailbox is not None
        pod.mailbox.put(Ask(what, reason))

    def _deadline(self) -> int:
        return self._world.clock.now_ns() + self._settings.port_timeout_ns
