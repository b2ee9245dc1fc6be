"""Step 13: what is owed is stated under the provider's signature and claimed from the channel.

The routine claim pays many pods in one transaction, whenever the policy finds that it pays; the final
claim settles one pod that has ended, and lets its publisher have the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocol import wire
from protocol.auth import Amount, Usage
from protocol.events import Event, Happened
from protocol.hosting import BILLABLE, PODS, STATEMENTS, Asking
from protocol.payment import Claim, ClaimSkipped, Release, WithdrawMany, Withdrawn, WithdrawUpTo
from protocol.policies.asking import ask, is_quiet, is_some_of
from protocol.policies.claims import Due, Quiet
from protocol.ports import Put, TxConfirmed, TxReverted, TxUnknown, Unknown
from protocol.sender import pause
from protocol.units import NEVER_NS, NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.eip712 import Domain
    from protocol.hosting import HostedPod, ProviderPolicies, ProviderSettings
    from protocol.meters import Meters
    from protocol.ports import EventId, World
    from protocol.sender import Sender

MAX_CLAIMS_A_TRANSACTION: Final = 100
"""3.1 million gas when each is a first claim, 1.4 million later (contracts/gas.json): a tenth of a block of 30 million."""
FINAL_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Rest:
    """The policy chose nothing, and need not be asked again yet.

    Attributes:
        claimable: by namespace, the most that may be claimable meanwhile [token base units]; who is not named has nothing.
        fees: what transactions of 1 and of 2 claims cost then [token base units]; None: nobody has anything to claim.
        until_ns: until when at most.
    """

    claimable: Mapping[str, int]
    fees: tuple[int, int] | None
    until_ns: int


class Claimer:
    """Claims for one provider.

    Args:
        world: its ports.
        settings, policies: as the person chose.
        sender: sends its transactions.
        pods: its pods by namespace.
        meters: what they have used.
        domain: the Payment contract's EIP-712 domain.
    """

    def __init__(
        self,
        world: World,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        sender: Sender,
        pods: Mapping[str, HostedPod],
        meters: Meters,
        domain: Domain,
    ) -> None:
        self._world = world
        self._settings = settings
        self._policies = policies
        self._sender = sender
        self._pods = pods
        self._meters = meters
        self._domain = domain
        self._claiming: frozenset[str] = frozenset()  # whose routine claims are under way
        self._rest: _Rest | None = None  # None: the policy is asked at the next tick

    def total(self, pod: HostedPod) -> int:
        """What a claim of this pod comes to, earlier ones included: what is owed, as far as the channel holds it."""
        return pod.owed if pod.owed < pod.invested else pod.invested

    # ------------------------------------------------------------ the routine claim

    async def claim(self, pods: Sequence[HostedPod], *, looked: bool) -> bool:
        """Step 13: what pays goes into one `withdrawMany`; its outcome is awaited by a task of its own.

        Args:
            pods: those that are billed.
            looked: whether a tick has just looked at one of them; otherwise the policy is asked only if gas costs
                something else than when it last chose nothing, or its time has come.

        Returns:
            Whether `owed_to` may have changed.
        """
        if self._claiming:
            return False
        now_ns, rest = self._world.clock.now_ns(), self._rest
        fees: tuple[int, int] | None = None
        if rest is not None and not looked and now_ns <= rest.until_ns:
            fees = rest.fees and await self._fees()
            if fees is None or fees == rest.fees:
                return False
        self._rest = None
        dues = []
        for pod in pods:
            if pod.phase not in BILLABLE or pod.asked is Asking.REMOVE:
                continue
            self._meters.bring(pod)
            claimable = self.total(pod) - pod.withdrawn
            if claimable > 0:
                dues.append(
                    Due(pod.namespace, claimable, pod.marks(self._settings).exposure, now_ns - pod.claimed_ns)
                )
        if not dues:
            self._rest = _Rest({}, None, NEVER_NS)
            return True
        fees = fees or await self._fees()
        if fees is None:
            return True
        chosen: Sequence[Due] = ask(
            self._world,
            "claim",
            self._policies.claims,
            "choose",
            dues,
            fee_of=fees,
            ok=lambda some: is_some_of(some, dues),
            allowed="a sequence of some of `dues`, none twice",
        )[:MAX_CLAIMS_A_TRANSACTION]
        claims = {d.namespace: self._pods[d.namespace] for d in chosen if d.namespace in self._pods}
        if claims:
            self._claiming = frozenset(claims)
            self._world.tasks.start("claim", self._settle_claims(list(claims.values())))
        elif not chosen and (quiet := self._quiet(dues, fees)) is not None:
            most = {due.namespace: limit for due, limit in zip(dues, quiet.claimable, strict=True)}
            self._rest = _Rest(most, fees, min(now_ns + quiet.for_ns, NEVER_NS))
        return True

    def _quiet(self, dues: Sequence[Due], fees: tuple[int, int]) -> Quiet | None:
        quiet: Quiet | None = ask(
            self._world,
            "claim",
            self._policies.claims,
            "quiet",
            dues,
            fee_of=fees,
            ok=lambda one: is_quiet(one, len(dues)),
            allowed="None, or a Quiet with a whole amount for each of `dues` and whole nanoseconds",
        )
        return quiet

    async def _fees(self) -> tuple[int, int] | None:
        """What a transaction of 1 and of 2 claims costs now [token base units]; None: chain or rates are not known."""
        quote = await self._world.rates.quote(deadline_ns=self._deadline())
        if isinstance(quote, Unknown):
            return None
        rate, fees = quote.token_per_gas, []
        for entries in (1, 2):
            wei = await self._world.chain.claim_fee_wei(entries, deadline_ns=self._deadline())
            if isinstance(wei, Unknown):
                return None
            fees.append(wei * rate.numerator // rate.denominator)
        return fees[0], fees[1]

    def owed_to(self, pods: Sequence[HostedPod]) -> dict[str, int]:
        """By namespace, up to where a pod may owe more without anything to claim [token base units].

        Who is not named has to be looked at by every tick. While a claim is under way none is made, however much is owed.
        """
        if self._claiming:
            return {pod.namespace: pod.invested for pod in pods}
        if self._rest is None:
            return {}
        owed_to = {}
        for pod in pods:
            most = self._rest.claimable.get(pod.namespace, 0)
            everything = pod.withdrawn + most >= pod.invested
            owed_to[pod.namespace] = pod.invested if everything else pod.withdrawn + most
        return owed_to

    async def _settle_claims(self, pods: Sequence[HostedPod]) -> None:
        """Send one routine claim and write down what it paid; each claim comes with a signed statement."""
        world = self._world
        entries = tuple(Claim(p.key.publisher, p.key.pod_id, p.life, self.total(p)) for p in pods)
        await world.store.commit([put for pod in pods for put in self._state(pod)])
        submitted: dict[str, EventId] = {}
        last: EventId | None = None
        for pod, entry in zip(pods, entries, strict=True):
            last = submitted[pod.namespace] = world.trace.emit(
                Event(
                    Happened.CLAIM_SUBMITTED,
                    pod.namespace,
                    pod.key.publisher.hex(),
                    amount=entry.total,
                    detail=str(pod.owed),
                ),
                pod.cause,
            )
        outcome = await self._sender.execute(WithdrawMany(entries), cause=last)
        self._claiming = frozenset()
        if not isinstance(outcome, TxConfirmed):
            return  # a growing total: the next tick reads the channel and claims what is still due
        by_key = {p.key: p for p in pods}
        totals = {p.key: entry.total for p, entry in zip(pods, entries, strict=True)}
        for pod in pods:
            self._meters.bring(pod)
        for event in outcome.events:
            match event:
                case Withdrawn(key, amount) if key in by_key:
                    pod = by_key[key]
                    pod.withdrawn = max(pod.withdrawn, totals[key])  # a tick may have seen it already
                    pod.claimed_ns = world.clock.now_ns()
                    self._settled(pod, amount, "", submitted[pod.namespace])
                case ClaimSkipped(key, reason) if key in by_key:
                    pod = by_key[key]
                    self._settled(pod, 0, reason.value, submitted[pod.namespace])
                case _:
                    pass

    def _settled(self, pod: HostedPod, paid: int, skipped: str, submitted: EventId) -> None:
        self._world.trace.emit(
            Event(
                Happened.CLAIM_SETTLED, pod.namespace, pod.key.publisher.hex(), skipped, paid, str(pod.owed)
            ),
            submitted,
        )

    # ------------------------------------------------------------ the final claim

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
            total = self.total(pod)
            if total > pod.withdrawn:
                await world.store.commit(self._state(pod))
                submitted = world.trace.emit(
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
                outcome = await self._sender.execute(
                    WithdrawUpTo(key.publisher, key.pod_id, total), pod=pod.namespace, cause=submitted
                )
                if isinstance(outcome, TxConfirmed):
                    self._settled(pod, total - pod.withdrawn, "", submitted)
                    pod.withdrawn = total
                elif isinstance(outcome, TxReverted):
                    refusals += 1  # a token may refuse for good: the work stays unpaid, and is recorded so
            elif channel.available == 0 or channel.unlocked_at_s:
                break  # nothing is left, or its publisher takes it: no gas for an empty gesture
            else:
                outcome = await self._sender.execute(
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
                        self._sender.told,
                    )
                    break
                if isinstance(outcome, TxReverted):
                    break  # the token refuses: the publisher can still unlock and take it
            if isinstance(outcome, TxUnknown):
                await pause(world, self._settings.retry_ns)

    # ------------------------------------------------------------ statements

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
        return [
            Put(
                STATEMENTS,
                _statement(pod.namespace, pod.life, usage.seq),
                {"statement": wire.dump(statement).hex()},
            ),
            Put(PODS, pod.namespace, pod.to_record()),
        ]

    async def statements(
        self, namespace: str, life: int, *, after: int, most: int
    ) -> list[wire.pb.PodUsageResponse.Statement]:
        """The statements of a life whose numbers follow on `after`, in order, up to `most` of them."""
        found: list[wire.pb.PodUsageResponse.Statement] = []
        while len(found) < most:
            seq = after + len(found) + 1
            record = await self._world.store.get(STATEMENTS, _statement(namespace, life, seq))
            if record is None:
                break
            found.append(wire.parse(wire.pb.PodUsageResponse.Statement, bytes.fromhex(record["statement"])))
        return found

    def _deadline(self) -> int:
        return self._world.clock.now_ns() + self._settings.port_timeout_ns


def _statement(namespace: str, life: int, seq: int) -> str:
    return f"{namespace}-{life:08d}-{seq:08d}"
