"""The publisher's side of a running pod: top-ups, updates, logs, leaving, and what to do after a loss.

`watch` is the one task that stays. It looks at the pod now and then (as often as the funding policy
wants), does what its mailbox says, and returns when the pod has ended and its money is back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from protocol import manifest, wire
from protocol.bills import most_held
from protocol.errors import PeerFault, Refusal
from protocol.events import Event, Happened
from protocol.payment import Deposit, Unlock
from protocol.policies.asking import A_STEP, A_TIME, A_WAIT, Check, ask, is_step, is_time, is_wait
from protocol.policies.funding import HOUR_NS
from protocol.policies.on_loss import Loss, Then
from protocol.ports import NoAnswer, TxConfirmed, Unknown
from protocol.renting import Failed, Rental, Stage
from protocol.sender import pause

if TYPE_CHECKING:
    from protocol.manifest import Pod
    from protocol.payment import Channel
    from protocol.policies.funding import Purse
    from protocol.ports import Mailbox
    from protocol.publisher import PublisherClient


class Wish(StrEnum):
    """What a person asks of a running pod."""

    DEPOSIT = "deposit"
    UPDATE = "update"
    LOGS = "logs"
    UNLOCK = "unlock"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item of the guard's mailbox.

    Attributes:
        wish: what to do.
        amount: for a deposit [token base units].
        pod: for an update.
    """

    wish: Wish
    amount: int = 0
    pod: Pod | None = None


class Guard:
    """Watches over one rental.

    Args:
        client: the publisher.
        wishes: where a person's wishes arrive.
    """

    def __init__(self, client: PublisherClient, wishes: Mailbox[Wanted]) -> None:
        self._client = client
        self._world = client.world
        self._wishes = wishes
        self._seen: tuple[int, int] | None = None  # when the last look was, and what was owed then
        self._then: Then | None = None  # what was decided about a silence that was not waited out

    async def run(self, rental: Rental) -> None:
        """Rent, watch, and rent again after a loss for as long as the policy wants; ends with the rental."""
        client = self._client
        if rental.reason and rental.stage is not Stage.ENDED:
            await self._end(rental)  # it was being ended when we were killed
        again = rental.stage is Stage.RUNNING
        while rental.stage is not Stage.ENDED and not rental.reason:
            outcome = rental if rental.stage is Stage.RUNNING else await client.deploy(rental)
            if isinstance(outcome, Failed):
                reason = outcome.rule
            else:
                reason = await self.watch(rental, again=again)
            again = False
            if _ended_by_wish(rental):
                break
            rental.losses += 1
            then = self._then or self._decide(rental, reason)
            if then is Then.LEAVE:
                rental.reason = reason
                break
            rental.stage = Stage.CHOOSING
            await client.keep(rental)
            await pause(self._world, self._asked("on_loss", "wait_ns", ok=is_time, allowed=A_TIME))
        rental.stage = Stage.ENDED
        await client.keep(rental)

    async def watch(self, rental: Rental, *, again: bool = False) -> str:
        """Guard a running pod until it has ended.

        Args:
            rental: which runs.
            again: whether an earlier incarnation watched it; then the first look is now.

        Returns:
            Why: `Unlocked` or `Deleted` (the publisher's own wish, also in `rental.reason`), the
            provider's reason, the lie by which it was found out, or `ProviderSilent`.
        """
        clock, settings = self._world.clock, self._client.settings
        heard_ns = clock.now_ns()
        self._seen = None if again else (heard_ns, 0)
        purse: Purse | None = None
        self._then = None
        every_ns = 0 if again else self._look_again_ns(None)
        while True:
            wanted = await self._wishes.get(clock.now_ns() + every_ns)
            if wanted is not None:
                await self._grant(rental, wanted)
                if rental.reason:
                    return rental.reason
                continue
            every_ns = self._look_again_ns(purse)
            status = await self._status(rental)
            if isinstance(status, str):
                return await self._lost(rental, status)
            if isinstance(status, NoAnswer):
                silent_ns = clock.now_ns() - heard_ns
                if silent_ns > settings.silence_ns:
                    then = self._decide(
                        rental, "ProviderSilent", times=rental.losses + 1, silent_ns=silent_ns
                    )
                    if then is not Then.WAIT:
                        self._then = then
                        return await self._lost(rental, "ProviderSilent")
                continue
            heard_ns = clock.now_ns()
            channel = await self._channel(rental)
            if channel is not None and (lie := await self._found_out(rental, channel)):
                return await self._lost(rental, lie)
            purse = await self._top_up(rental, channel, int.from_bytes(status.owed, "big"))
            every_ns = self._look_again_ns(purse)

    def _decide(self, rental: Rental, reason: str, *, times: int | None = None, silent_ns: int = 0) -> Then:
        """Ask what to do about a loss; silence may be waited out."""
        can_wait = silent_ns > 0
        loss = Loss(
            reason,
            rental.losses if times is None else times,
            now_ns=self._world.clock.now_ns(),
            silent_ns=silent_ns,
            can_wait=can_wait,
            chance=self._client.chance_of("on_loss"),
        )
        then: Then = self._asked(
            "on_loss", "decide", loss, ok=lambda one: is_step(one, can_wait=can_wait), allowed=A_STEP
        )
        return then

    def _look_again_ns(self, purse: Purse | None) -> int:
        wanted = self._asked("funding", "look_again_ns", purse, ok=is_wait, allowed=A_WAIT)
        return wanted or self._client.settings.look_ns

    def _asked(self, kind: str, method: str, *args: Any, ok: Check, allowed: str) -> Any:
        policy = getattr(self._client.policies, kind)
        return ask(self._world, kind, policy, method, *args, ok=ok, allowed=allowed)

    async def _status(self, rental: Rental) -> wire.pb.PodStatusResponse | NoAnswer | str:
        """The provider's answer, silence, or the reason for which the pod has ended."""
        status = await self._client.caller.ask_status(rental)
        if isinstance(status, Failed):
            return status.rule
        if isinstance(status, NoAnswer):
            return status
        states = wire.pb.PodStatusResponse
        if status.state in (states.REMOVED, states.FAILED):
            return status.reason.rule or "Removed"
        return status

    # ------------------------------------------------------------ money

    async def _channel(self, rental: Rental) -> Channel | None:
        """The rental's channel with all that was ever sent to it; None when the chain does not say."""
        channel = await self._client.payer.read_when_quiet(rental.key(self._world.signer.address))
        return None if isinstance(channel, Unknown) else channel

    async def _found_out(self, rental: Rental, channel: Channel) -> str | None:
        """Check what was claimed; the rule of the lie when there is one, and its provider is not asked again."""
        client, before = self._client, rental.bill
        if channel.life != rental.life:
            return None
        lie = await client.bills.check(rental, channel, self._world.clock.now_ns())
        if lie is not None:
            assert rental.provider is not None
            rental.liars = (*rental.liars, rental.provider)
            rental.cause = self._world.trace.emit(
                Event(
                    Happened.LIE_FOUND,
                    rental.namespace,
                    rental.provider.hex(),
                    lie.rule,
                    channel.withdrawn_by_provider,
                    lie.detail,
                ),
                rental.cause,
            )
        if rental.bill is not before or lie is not None:
            await client.keep(rental)
        return None if lie is None else lie.rule

    async def _top_up(self, rental: Rental, channel: Channel | None, owed: int) -> Purse | None:
        """Ask the funding policy, by what the chain holds and the provider says is owed.

        Args:
            rental: which runs.
            channel: its channel as just seen; None when the chain did not say.
            owed: what the provider says [token base units].

        Returns:
            The purse as it is now; None when the chain did not say.
        """
        client, world = self._client, self._world
        if channel is None:
            return None
        funds = await client.payer.read_funds()
        if isinstance(funds, Unknown):
            return None
        now_ns = world.clock.now_ns()
        seen_ns, seen_owed = self._seen or (now_ns, owed)
        spent_an_hour = (owed - seen_owed) * HOUR_NS // max(1, now_ns - seen_ns)
        self._seen = (now_ns, owed)
        rental.put_in = channel.invested_by_publisher
        left = channel.invested_by_publisher - owed
        spendable = client.payer.spendable(rental, funds.token)
        purse = await client.purse(rental, spendable, left=left, spent_an_hour=max(0, spent_an_hour))
        amount = min(client.deposit(purse), spendable)
        if amount > 0 and await self._deposit(rental, amount):
            purse = replace(purse, left=left + amount)
        return purse

    async def _deposit(self, rental: Rental, amount: int) -> bool:
        """Add to the channel; whether it counts now."""
        client = self._client
        assert rental.provider is not None
        failed = await client.payer.pay(rental, Deposit(rental.provider, rental.pod_id, amount), amount)
        if failed is not None:
            return False
        rental.put_in += amount
        await client.keep(rental)
        rental.cause = self._world.trace.emit(
            Event(Happened.TOPPED_UP, rental.namespace, rental.provider.hex(), amount=amount),
            rental.cause,
        )
        return True

    # ------------------------------------------------------------ wishes

    async def _grant(self, rental: Rental, wanted: Wanted) -> None:
        """Do what is wished; a wish that ends the rental is written down first."""
        match wanted.wish:
            case Wish.DEPOSIT:
                await self._deposit(rental, wanted.amount)
            case Wish.UPDATE:
                assert wanted.pod is not None
                await self._update(rental, wanted.pod)
            case Wish.LOGS:
                await self._logs(rental)
            case Wish.UNLOCK | Wish.DELETE:
                rental.reason = "Unlocked" if wanted.wish is Wish.UNLOCK else "Deleted"
                await self._client.keep(rental)
                await self._end(rental)
            case _:
                assert_never(wanted.wish)

    async def _end(self, rental: Rental) -> None:
        """End the rental as its reason says; may be begun again after a crash."""
        if rental.reason == "Unlocked":
            await self._unlock(rental)
        else:
            await self._delete(rental)

    async def _update(self, rental: Rental, pod: Pod) -> None:
        """Change what runs: the manifest keeps what it does not name, the volumes keep their data."""
        client = self._client
        assert rental.provider is not None
        before, rental.pod = rental.pod, manifest.check(pod)
        for resource, amount in most_held(rental.pod).items():
            rental.most[resource] = max(
                amount, rental.most.get(resource, 0)
            )  # also if it is refused: who knows
        bundle = await client.bundler.pack(rental)
        if isinstance(bundle, Failed):
            rental.pod = before
            return
        rental.seq += 1
        await client.keep(rental)
        try:
            answer = await client.caller.ask(
                rental,
                wire.UPDATE_POD,
                wire.pb.UpdatePodRequest(sealed=client.bundler.seal(rental, bundle)),
                wire.pb.ProvisionPodResponse,
            )
        except (Refusal, PeerFault) as no:
            rental.pod = before
            self._world.trace.emit(
                Event(
                    Happened.UPDATE_REFUSED,
                    rental.namespace,
                    rental.provider.hex(),
                    no.rule,
                    detail=no.detail,
                ),
                rental.cause,
            )
            answer = None
        if not isinstance(answer, NoAnswer) and answer is not None:
            rental.version = answer.version
        await client.keep(rental)

    async def _logs(self, rental: Rental) -> None:
        """Read the first container's log to its present end, page by page."""
        assert rental.provider is not None
        cursor, lines = "", 0
        while True:
            try:
                page = await self._client.caller.ask(
                    rental,
                    wire.POD_LOGS,
                    wire.pb.PodLogRequest(containerName=rental.pod.containers[0].name, cursor=cursor),
                    wire.pb.PodLogResponse,
                )
            except (Refusal, PeerFault):
                break
            if isinstance(page, NoAnswer) or not page.entries:
                break
            lines, cursor = lines + len(page.entries), page.cursor
        self._world.trace.emit(
            Event(Happened.LOGS_READ, rental.namespace, rental.provider.hex(), amount=lines), rental.cause
        )

    async def _unlock(self, rental: Rental) -> None:
        """Leave by the chain alone: start the timer, let the provider make its final claim, take the rest."""
        assert rental.provider is not None
        payer, key = self._client.payer, rental.key(self._world.signer.address)
        while True:
            if await payer.sender.quiet():
                channel = await payer.read_channel(key)
                if channel is None or (
                    not isinstance(channel, Unknown)
                    and (channel.unlocked_at_s or channel.life != rental.life)
                ):
                    break  # gone, or running by a transaction whose receipt was lost
                outcome = await payer.sender.execute(
                    Unlock(rental.provider, rental.pod_id), pod=rental.namespace, cause=rental.cause
                )
                if isinstance(outcome, TxConfirmed):
                    break
            await pause(self._world, self._client.settings.poll_ns)
        rental.cause = self._world.trace.emit(
            Event(Happened.UNLOCK_STARTED, rental.namespace, rental.provider.hex()), rental.cause
        )
        await payer.reclaim(key, rental.life, rental.namespace, rental.cause)

    async def _delete(self, rental: Rental) -> None:
        """Leave by asking: the provider claims what is due, removes the pod and releases the rest."""
        client, world = self._client, self._world
        assert rental.provider is not None
        rental.seq += 1
        await client.keep(rental)
        try:
            answer = await client.caller.ask(
                rental, wire.DELETE_POD, wire.pb.DeletePodRequest(), wire.pb.DeletePodResponse
            )
            if not isinstance(answer, NoAnswer):
                rental.cause = world.trace.emit(
                    Event(Happened.POD_DELETED, rental.namespace, rental.provider.hex()), rental.cause
                )
        except (Refusal, PeerFault) as no:
            world.trace.emit(
                Event(Happened.POD_LOST, rental.namespace, rental.provider.hex(), no.rule), rental.cause
            )
        # A provider that keeps its word releases the channel soon; one that does not is not waited for.
        until_ns = world.clock.now_ns() + client.settings.confirm_timeout_ns
        key = rental.key(world.signer.address)
        while world.clock.now_ns() < until_ns:
            channel = await client.payer.read_channel(key)
            if channel is None or (not isinstance(channel, Unknown) and channel.available == 0):
                return
            await pause(world, client.settings.poll_ns)
        await client.payer.reclaim(key, rental.life, rental.namespace, rental.cause)

    async def _lost(self, rental: Rental, reason: str) -> str:
        """The pod is gone: take back what is left, in the background."""
        lost = self._world.trace.emit(
            Event(
                Happened.POD_LOST, rental.namespace, rental.provider.hex() if rental.provider else "", reason
            ),
            rental.cause,
        )
        if rental.provider is not None:
            rental.remember(rental.provider, good=reason == "FundsExhausted")
        await self._client.payer.take_back(self._client.payer.errand(rental), cause=lost)
        return reason


def _ended_by_wish(rental: Rental) -> bool:
    """Whether its publisher ended it: `watch` wrote down why."""
    return bool(rental.reason)
