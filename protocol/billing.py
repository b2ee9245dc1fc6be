"""Steps 12 to 14: what ran is metered, claimed from the channel, and the pod ends when the funds do.

One billing tick a provider: one reading of the cluster, one reading of all channels at one block, one
batch to the store. Not knowing decides nothing: without a confirmed view of a channel nothing is removed;
after a third of the unlock time the pod is suspended, its data kept, until the chain answers again.

What ends a pod: its funds are used up (and its grace is over), its publisher unlocks or deletes, or its
channel is confirmed to be gone. First nothing runs any more, then the last reading is taken, then the
cluster forgets the pod, then the final claim is made; removing never waits for a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol import wire
from protocol.auth import Amount, Usage
from protocol.errors import Refusal
from protocol.events import Event, Happened
from protocol.hosting import PODS, STATEMENTS, TRANSITIONS, Ask, Asking, HostedPod, Phase
from protocol.payment import Claim, ClaimSkipped, Release, WithdrawMany, Withdrawn, WithdrawUpTo
from protocol.policies.claims import Due
from protocol.ports import ChannelsAt, Put, TxConfirmed, TxReverted, TxUnknown, Unknown
from protocol.sender import Sender, pause
from protocol.units import NEVER_NS, NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.eip712 import Domain
    from protocol.hosting import ProviderPolicies, ProviderSettings
    from protocol.ports import Cluster, World
    from protocol.ports import Usage as Readings

MAX_CLAIMS_A_TRANSACTION: Final = 100
"""3.1 million gas when each is a first claim, 1.4 million later (contracts/gas.json): a tenth of a block of 30 million."""
UNKNOWN_SHARE: Final = 3
"""A channel not seen for this fraction of its unlock time suspends its pod (protocol.md, "Life of a pod")."""
WAKE_AT_LEAST_NS: Final = NS_PER_S
FINAL_TRIES: Final = 3


class Biller:
    """The provider's money.

    Args:
        world, cluster: the provider's ports.
        settings, policies: the provider's.
        pods: the provider's pods by namespace; shared with the client.
        domain: the Payment contract's EIP-712 domain.
    """

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        pods: dict[str, HostedPod],
        domain: Domain,
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._settings = settings
        self._policies = policies
        self._pods = pods
        self._domain = domain
        self._claiming: frozenset[str] = frozenset()  # whose routine claims are under way
        self.sender = Sender(world, deadline_ns=settings.transaction_timeout_ns)

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
        """One look at everything: meter, compare with the channels, decide, write, claim."""
        pods = [p for _, p in sorted(self._pods.items()) if p.billable]
        if not pods:
            return
        usage = await self._cluster.usage(deadline_ns=self._deadline())
        if isinstance(usage, Unknown):
            return  # nothing was read, so nothing is decided; readings are cumulative and lose nothing
        # Metered before anything else is awaited: meanwhile the pods' own tasks may read anew, and later.
        moved = {p.namespace for p in pods if self._meter(p, usage)}
        seen = await self._world.chain.channels([p.key for p in pods], deadline_ns=self._deadline())
        if isinstance(seen, Unknown):
            self._world.trace.emit(Event(Happened.CHAIN_UNKNOWN, rule=seen.reason))
        changes = []
        for pod in pods:
            if not pod.billable:
                continue  # it ended while the chain was asked
            grown = pod.namespace in moved
            if not grown and self._sleeps(pod, seen):
                continue
            before = (pod.phase, pod.invested, pod.withdrawn)
            self._decide(pod, seen)
            if grown or before != (pod.phase, pod.invested, pod.withdrawn):
                changes.append(Put(PODS, pod.namespace, pod.to_record()))
        if changes:
            await self._world.store.commit(changes)
        if not isinstance(seen, Unknown):
            await self._claim([p for p in pods if p.billable and p.asked is not Asking.REMOVE])

    def _sleeps(self, pod: HostedPod, seen: ChannelsAt | Unknown) -> bool:
        """Whether its channel, like its meter, has not moved since the last tick, so that nothing is to be decided."""
        if isinstance(seen, Unknown) or pod.phase is Phase.SUSPENDED or self._settings.wake_early:
            return False  # a pod that sleeps now may wake and use its funds up: its wake is set at every tick
        channel = seen.channels[pod.key]
        if channel is None or channel is not pod.channel:
            return False
        pod.seen_ns = self._world.clock.now_ns()
        return True

    def _meter(self, pod: HostedPod, usage: Readings, *, final: bool = False) -> bool:
        """Step 12: take the readings into the pod's meter and price them, exactly.

        Returns:
            Whether the meter moved.
        """
        readings = usage.readings.get(pod.namespace)
        if readings is None or (pod.meter.shows(readings) and not final) or usage.at_ns < pod.meter.at_ns:
            return False  # an answer that a later one overtook adds nothing: readings are cumulative
        pod.meter.read(usage.at_ns, readings, final=final)
        pod.owed = pod.meter.owed(pod.prices)
        return True

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
        pod.channel = channel
        pod.invested, pod.withdrawn = channel.invested_by_publisher, channel.withdrawn_by_provider
        pod.unlock_time_s = channel.unlock_time_s
        if channel.unlocked_at_s:
            self._world.trace.emit(
                Event(Happened.UNLOCK_SEEN, pod.namespace, pod.key.publisher.hex()), pod.cause
            )
            self._ask(pod, Asking.REMOVE, "Unlocked")
            return
        left = self.left(pod)
        if pod.phase is Phase.SUSPENDED:
            self._decide_suspended(pod, left, now_ns)
        elif left <= 0:
            self._exhausted(pod)
        elif pod.owed - pod.withdrawn > self.exposure_cap(pod):
            self._ask(pod, Asking.SUSPEND, "ExposureCap")
        else:
            self._watch_runway(pod, left, now_ns)

    def _decide_suspended(self, pod: HostedPod, left: int, now_ns: int) -> None:
        exposed = pod.owed - pod.withdrawn > self.exposure_cap(pod)
        if left > 0 and not (pod.reason == "ExposureCap" and exposed):
            self._ask(pod, Asking.RESUME, "")
        elif now_ns >= pod.since_ns + pod.offer.grace_s * NS_PER_S:
            self._ask(pod, Asking.REMOVE, pod.reason)

    def _watch_runway(self, pod: HostedPod, left: int, now_ns: int) -> None:
        """Say when funds are low; with `wake_early`, wake when they could be gone before the next tick."""
        low = left < pod.marks(self._settings).low
        phase = Phase.LOW if low else Phase.RUNNING
        if pod.phase in (Phase.RUNNING, Phase.LOW) and phase is not pod.phase:
            pod.phase, pod.since_ns = phase, now_ns
            if low:
                self._world.trace.emit(
                    Event(Happened.FUNDS_LOW, pod.namespace, pod.key.publisher.hex(), amount=left), pod.cause
                )
        pod.wake_ns = NEVER_NS
        if self._settings.wake_early:
            a_tick = pod.marks(self._settings).a_tick
            if a_tick > left:
                pod.wake_ns = now_ns + max(WAKE_AT_LEAST_NS, self._settings.tick_ns * left // a_tick)
                assert pod.mailbox is not None
                pod.mailbox.put(Ask(Asking.LOOK))

    async def wake(self, pod: HostedPod) -> None:
        """The wake that a pod's task set has come: look at this pod alone, by the channel as last seen."""
        pod.wake_ns = NEVER_NS
        usage = await self._cluster.usage(deadline_ns=self._deadline())
        if isinstance(usage, Unknown) or not pod.billable:
            return
        self._meter(pod, usage)
        left = self.left(pod)
        if left > 0:
            self._watch_runway(pod, left, self._world.clock.now_ns())
        else:
            self._exhausted(pod)

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

    def _ask(self, pod: HostedPod, what: Asking, reason: str) -> None:
        """Put one thing to do into the pod's mailbox; the same thing twice is one thing."""
        if pod.asked is what:
            return
        pod.asked = what
        assert pod.mailbox is not None
        pod.mailbox.put(Ask(what, reason))

    # ------------------------------------------------------------ what things cost

    def left(self, pod: HostedPod) -> int:
        """What the channel holds beyond what is owed and what the grace time's storage will cost."""
        return pod.invested - pod.marks(self._settings).reserve - pod.owed

    def exposure_cap(self, pod: HostedPod) -> int:
        """The most unpaid work: the settings' time at the most replicas."""
        return pod.marks(self._settings).exposure

    # ------------------------------------------------------------ step 13

    async def _claim(self, pods: Sequence[HostedPod]) -> None:
        """Step 13: what pays goes into one `withdrawMany`; its outcome is awaited by a task of its own."""
        if self._claiming:
            return
        now_ns = self._world.clock.now_ns()
        dues = []
        for pod in pods:
            claimable = min(pod.owed, pod.invested) - pod.withdrawn
            if claimable > 0:
                dues.append(Due(pod.namespace, claimable, self.exposure_cap(pod), now_ns - pod.claimed_ns))
        if not dues:
            return
        fees = []
        for entries in (1, 2):
            wei = await self._world.chain.claim_fee_wei(entries, deadline_ns=self._deadline())
            if isinstance(wei, Unknown):
                return
            fees.append(
                wei * self._settings.token_per_gas.numerator // self._settings.token_per_gas.denominator
            )
        chosen = self._policies.claims.choose(dues, fee_of=fees)[:MAX_CLAIMS_A_TRANSACTION]
        claims = {d.namespace: self._pods[d.namespace] for d in chosen if d.namespace in self._pods}
        if claims:
            self._claiming = frozenset(claims)
            self._world.tasks.start("claim", self._settle_claims(list(claims.values())))

    async def _settle_claims(self, pods: Sequence[HostedPod]) -> None:
        """Send one routine claim and write down what it paid; each claim comes with a signed statement."""
        world = self._world
        entries = tuple(Claim(p.key.publisher, p.key.pod_id, p.life, min(p.owed, p.invested)) for p in pods)
        await world.store.commit([put for pod in pods for put in self._state(pod)])
        for pod, entry in zip(pods, entries, strict=True):
            world.trace.emit(
                Event(
                    Happened.CLAIM_SUBMITTED,
                    pod.namespace,
                    pod.key.publisher.hex(),
                    amount=entry.total,
                    detail=str(pod.owed),
                ),
                pod.cause,
            )
        outcome = await self.sender.execute(WithdrawMany(entries))
        self._claiming = frozenset()
        if not isinstance(outcome, TxConfirmed):
            return  # a growing total: the next tick reads the channel and claims what is still due
        by_key = {p.key: p for p in pods}
        totals = {p.key: entry.total for p, entry in zip(pods, entries, strict=True)}
        for event in outcome.events:
            match event:
                case Withdrawn(key, amount) if key in by_key:
                    pod = by_key[key]
                    pod.withdrawn = max(pod.withdrawn, totals[key])  # a tick may have seen it already
                    pod.claimed_ns = world.clock.now_ns()
                    self._settled(pod, amount, "")
                case ClaimSkipped(key, reason) if key in by_key:
                    self._settled(by_key[key], 0, reason.value)
                case _:
                    pass

    def _settled(self, pod: HostedPod, paid: int, skipped: str) -> None:
        self._world.trace.emit(
            Event(
                Happened.CLAIM_SETTLED, pod.namespace, pod.key.publisher.hex(), skipped, paid, str(pod.owed)
            ),
            pod.cause,
        )

    def _state(self, pod: HostedPod) -> list[Put]:
        """The next signed usage statement of a pod, chained to the one before, and the pod that remembers it."""
        usage = Usage(
            publisher=pod.key.publisher,
            provider=pod.key.provider,
            pod_id=pod.key.pod_id,
            life=pod.life,
            seq=pod.statement_seq + 1,
            from_ms=pod.stated_ns // NS_PER_MS,
            to_ms=pod.meter.at_ns // NS_PER_MS,
            cumulative=tuple(Amount(r.value, used, n) for (r, used), n in pod.meter.cumulative().items()),
            owed=pod.owed,
            previous=pod.statement_digest,
        )
        digest = usage.digest(self._domain)
        statement = wire.pb.PodUsageResponse.Statement(
            usage=usage.to_wire(), signature=self._world.signer.sign(digest)
        )
        pod.statement_seq, pod.statement_digest, pod.stated_ns = usage.seq, digest, pod.meter.at_ns
        key = f"{pod.namespace}-{pod.life:08d}-{usage.seq:08d}"
        return [
            Put(STATEMENTS, key, {"statement": wire.dump(statement).hex()}),
            Put(PODS, pod.namespace, pod.to_record()),
        ]

    async def statements(self, namespace: str, life: int) -> list[wire.pb.PodUsageResponse.Statement]:
        """All statements of a life, in order."""
        start = f"{namespace}-{life:08d}-"
        rows = await self._world.store.scan(STATEMENTS)
        kind = wire.pb.PodUsageResponse.Statement
        return [
            wire.parse(kind, bytes.fromhex(r["statement"])) for k, r in rows.items() if k.startswith(start)
        ]

    # ------------------------------------------------------------ step 14

    async def await_deposit(self, pod: HostedPod) -> Refusal | None:
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

    async def suspend(self, pod: HostedPod, reason: str) -> None:
        """Zero replicas, data kept; what is owed is claimed at once while the channel holds it."""
        pod.asked = None
        if pod.phase is Phase.SUSPENDED or pod.phase.ended:
            return
        await self._until_done(self._cluster.suspend, pod)
        await self.move(pod, Phase.SUSPENDED, reason)
        await self._last_reading(pod)
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_SUSPENDED, pod.namespace, pod.key.publisher.hex(), reason, pod.owed), pod.cause
        )

    async def resume(self, pod: HostedPod) -> None:
        """Run again."""
        pod.asked = None
        if pod.phase is not Phase.SUSPENDED:
            return
        await self._until_done(self._cluster.resume, pod)
        await self.move(pod, Phase.RUNNING, "")
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_RESUMED, pod.namespace, pod.key.publisher.hex()), pod.cause
        )

    async def remove(self, pod: HostedPod, reason: str) -> None:
        """Step 14: stop, read the meter for the last time, and remove everything from the cluster."""
        if not any(ask.what is Asking.REMOVE for ask in pod.todo):
            # Written down first: a top-up while we are down must not find half a pod.
            pod.todo = (*pod.todo, Ask(Asking.REMOVE, reason))
            pod.changed()
            await self.keep(pod)
        if pod.phase is not Phase.SUSPENDED:
            await self._until_done(self._cluster.suspend, pod)
        await self._until_done(self._cluster.remove, pod)
        await self._last_reading(pod, final=True)
        unpaid = max(0, pod.owed - pod.invested)
        pod.cause = self._world.trace.emit(
            Event(Happened.POD_REMOVED, pod.namespace, pod.key.publisher.hex(), reason, unpaid), pod.cause
        )
        await self.move(pod, Phase.REMOVED, reason)

    async def settle(self, pod: HostedPod) -> None:
        """The final claim of a pod that has ended, then the rest goes back; repeats until it is known to be done."""
        world, key = self._world, pod.key
        refusals = 0
        while pod.namespace in self._claiming:
            await pause(world, self._settings.retry_ns)  # the routine claim may pay what the final one would
        while refusals < FINAL_TRIES:
            seen = await world.chain.channels([key], deadline_ns=self._deadline())
            if isinstance(seen, Unknown):
                await pause(world, self._settings.retry_ns)
                continue
            channel = seen.channels[key]
            if channel is None or not channel.exists or channel.life != pod.life:
                break
            pod.invested, pod.withdrawn = channel.invested_by_publisher, channel.withdrawn_by_provider
            total = min(pod.owed, pod.invested)
            if total > pod.withdrawn:
                await world.store.commit(self._state(pod))
                world.trace.emit(
                    Event(
                        Happened.CLAIM_SUBMITTED,
                        pod.namespace,
                        key.publisher.hex(),
                        "final",
                        total,
                        str(pod.owed),
                    ),
                    pod.cause,
                )
                outcome = await self.sender.execute(
                    WithdrawUpTo(key.publisher, key.pod_id, total), pod=pod.namespace, cause=pod.cause
                )
                if isinstance(outcome, TxConfirmed):
                    self._settled(pod, total - pod.withdrawn, "")
                    pod.withdrawn = total
                elif isinstance(outcome, TxReverted):
                    refusals += 1  # a token may refuse for good: the work stays unpaid, and is recorded so
            elif channel.available == 0 or channel.unlocked_at_s:
                break  # nothing is left, or its publisher takes it: no gas for an empty gesture
            else:
                outcome = await self.sender.execute(
                    Release(key.publisher, key.pod_id), pod=pod.namespace, cause=pod.cause
                )
                if isinstance(outcome, TxConfirmed):
                    world.trace.emit(
                        Event(
                            Happened.CHANNEL_RELEASED,
                            pod.namespace,
                            key.publisher.hex(),
                            amount=pod.invested - pod.withdrawn,
                        ),
                        pod.cause,
                    )
                    break
                if isinstance(outcome, TxReverted):
                    break  # the token refuses: the publisher can still unlock and take it
            if isinstance(outcome, TxUnknown):
                await pause(world, self._settings.retry_ns)
        await self._cluster.forget(pod.namespace)
        pod.settled = True
        await self.keep(pod)

    async def align(self, pod: HostedPod) -> None:
        """After a crash: bring the cluster to the phase that was written down, whichever of the two is ahead."""
        if pod.phase is Phase.SUSPENDED:
            await self._until_done(self._cluster.suspend, pod)
        elif pod.billable:
            await self._until_done(self._cluster.resume, pod)

    # ------------------------------------------------------------ small things

    async def move(self, pod: HostedPod, phase: Phase, reason: str) -> None:
        """Go to another phase of `TRANSITIONS`, in writing."""
        assert phase in TRANSITIONS[pod.phase], f"{pod.namespace}: {pod.phase} to {phase}"
        pod.phase, pod.reason, pod.since_ns = phase, reason, self._world.clock.now_ns()
        await self.keep(pod)

    async def keep(self, pod: HostedPod) -> None:
        """Write the pod down."""
        await self._world.store.commit([Put(PODS, pod.namespace, pod.to_record())])

    async def _last_reading(self, pod: HostedPod, *, final: bool = False) -> None:
        while True:
            usage = await self._cluster.usage(deadline_ns=self._deadline())
            if not isinstance(usage, Unknown):
                self._meter(pod, usage, final=final)
                return
            await pause(self._world, self._settings.retry_ns)

    async def _until_done(self, call: object, pod: HostedPod) -> None:
        while await call(pod.namespace, deadline_ns=self._deadline()) is not None:  # type: ignore[operator]
            await pause(self._world, self._settings.retry_ns)

    def _deadline(self) -> int:
        return self._world.clock.now_ns() + self._settings.port_timeout_ns
