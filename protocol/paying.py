"""A publisher's money: deposits by exact approvals, what its channels hold, and getting back what is left.

What is to be fetched back is written down as an errand first, so that no crash loses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import agreement, manifest
from protocol.events import Event, Happened
from protocol.payment import CloseChannel, Unlock, Unlocked
from protocol.policies.funding import Purse
from protocol.ports import Approve, Put, TxConfirmed, TxReverted, Unknown
from protocol.renting import BUDGET_SPENT, ERRANDS, RETURNS, Errand, Failed
from protocol.sender import Sender, pause
from protocol.turns import Turns
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.payment import Channel, ChannelKey, CreateChannel, Deposit
    from protocol.policies import Chance
    from protocol.ports import EventId, Funds, Quote, World
    from protocol.renting import PublisherSettings, Rental
    from protocol.units import PodId


class Payer:
    """Pays for one publisher.

    Args:
        world: its ports.
        settings: as the person chose.
    """

    def __init__(self, world: World, settings: PublisherSettings) -> None:
        self._world = world
        self._settings = settings
        self.sender = Sender(world, deadline_ns=settings.transaction_timeout_ns)
        self._paying = Turns(world.tasks)
        self._errands: set[str] = set()
        self._put_in: dict[PodId, int] = {}  # into all channels of a pod, as far as it is known or under way
        self._returned: dict[str, int] = {}  # by errand, what surely came back

    async def resume(self) -> None:
        """After a crash: journalled transactions are sent again, and errands go on."""
        await self.sender.resume()
        returns = await self._world.store.scan(RETURNS)
        self._returned = {name: int(record["amount"]) for name, record in returns.items()}
        for record in (await self._world.store.scan(ERRANDS)).values():
            self._run_errand(Errand.from_record(record), None)

    # ------------------------------------------------------------ putting in

    async def pay(
        self, rental: Rental, command: CreateChannel | Deposit, amount: int
    ) -> Failed | Unknown | None:
        """Approve exactly `amount` and carry out `command`.

        Returns:
            None when it counts; `Unknown` when nobody knows: read the channel before trying again.
        """
        await self._paying.take()  # an approval replaces the one before it
        try:
            left = self._left_of_budget(rental)
            if left is not None and amount > left:
                return Failed(BUDGET_SPENT, f"{left} base units are left of it; {amount} are needed")
            self._put_in[rental.pod_id] += amount  # until the chain is read, whatever becomes of it
            return await self._pay(rental, command, amount)
        finally:
            self._paying.give()

    async def _pay(
        self, rental: Rental, command: CreateChannel | Deposit, amount: int
    ) -> Failed | Unknown | None:
        payment = self._world.chain.terms.payment
        for step in (Approve(payment, amount), command):
            outcome = await self.sender.execute(step, pod=rental.namespace, cause=rental.cause)
            match outcome:
                case TxReverted():
                    return Failed(outcome.error, f"{type(step).__name__} was refused")
                case TxConfirmed():
                    rental.cause = self.sender.told
                case _:
                    return Unknown(outcome.reason)
        return None

    def spendable(self, rental: Rental, wallet: int) -> int:
        """What may be put into a rental's channel now: what is in the wallet, and no more than the budget leaves [base units]."""
        left = self._left_of_budget(rental)
        return wallet if left is None else min(wallet, left)

    def reckon(self, rental: Rental) -> None:
        """Count what a rental's channels were given."""
        self._put_in[rental.pod_id] = rental.before + rental.put_in

    def _left_of_budget(self, rental: Rental) -> int | None:
        """What the budget leaves, by what this rental's channel is now known to have been given; None: there is no budget.

        A channel that its provider released tells nobody what came back, so all of it counts as spent.
        """
        self.reckon(rental)
        if self._settings.budget is None:
            return None
        put_in = sum(self._put_in.values()) - sum(self._returned.values())
        return max(0, self._settings.budget - put_in)

    # ------------------------------------------------------------ looking

    async def read_channel(self, key: ChannelKey) -> Channel | Unknown | None:
        """The channel at a block that counts; None where there is none."""
        seen = await self._world.chain.channels([key], deadline_ns=self._deadline())
        return seen if isinstance(seen, Unknown) else seen.channels[key]

    async def read_when_quiet(self, key: ChannelKey) -> Channel | Unknown | None:
        """As `read_channel`, but unknown while anything that was sent is: what is read then holds all of it."""
        if await self.sender.quiet():
            return await self.read_channel(key)
        return Unknown("an earlier transaction is not known")

    async def read_funds(self) -> Funds | Unknown:
        """What the publisher holds outside of channels."""
        return await self._world.chain.funds(self._world.signer.address, deadline_ns=self._deadline())

    async def read_rates(self) -> Quote | None:
        """What tokens are worth, as far as it is known."""
        quote = await self._world.rates.quote(deadline_ns=self._deadline())
        return None if isinstance(quote, Unknown) else quote

    # ------------------------------------------------------------ taking back

    def errand(self, rental: Rental) -> Errand | None:
        """What is to be fetched back of a rental; None when nothing of it counts on the chain."""
        if rental.provider is None or not rental.life:
            return None
        return Errand(rental.key(self._world.signer.address), rental.life, rental.namespace)

    async def take_back(self, errand: Errand | None, *also: Put, cause: EventId | None = None) -> None:
        """Get what is left of a channel back, in the background and whatever crashes come.

        Args:
            errand: what is to be fetched; None: nothing.
            also: what is written together with it.
            cause: the event that led to it.
        """
        errands = [] if errand is None else [Put(ERRANDS, errand.name, errand.to_record())]
        await self._world.store.commit([*errands, *also])
        if errand is not None:
            self._run_errand(errand, cause)

    def takes_back(self, key: ChannelKey, life: int) -> bool:
        """Whether an errand is under way for this life of a channel: its unlock may come at any block."""
        return Errand(key, life, "").name in self._errands

    def _run_errand(self, errand: Errand, cause: EventId | None) -> None:
        if errand.name not in self._errands:
            self._errands.add(errand.name)
            self._world.tasks.start("reclaim", self._reclaim(errand, cause))

    async def _reclaim(self, errand: Errand, cause: EventId | None) -> None:
        back = await self.reclaim(errand.key, errand.life, errand.namespace, cause)
        done = [Put(ERRANDS, errand.name, None)]
        if back:
            self._returned[errand.name] = back
            done.append(Put(RETURNS, errand.name, {"amount": str(back)}))
        await self._world.store.commit(done)
        self._errands.discard(errand.name)

    async def reclaim(self, key: ChannelKey, life: int, namespace: str, cause: EventId | None) -> int:
        """Get the rest of a channel back: unlock, wait, close; done when this life of the channel is over.

        Returns:
            What came back by our own closing [base units]; 0 when somebody else ended it.
        """
        world, poll_ns = self._world, self._settings.poll_ns
        while True:
            channel = await self.read_when_quiet(key)
            if channel is None or (not isinstance(channel, Unknown) and channel.life != life):
                return 0
            if isinstance(channel, Unknown):
                await pause(world, poll_ns)
                continue
            now_s = world.clock.now_ns() // NS_PER_S
            if channel.exists and channel.unlocked_at_s == 0:
                await self.sender.execute(Unlock(key.provider, key.pod_id), pod=namespace, cause=cause)
            elif channel.unlocked_at_s <= now_s:
                outcome = await self.sender.execute(
                    CloseChannel(key.provider, key.pod_id), pod=namespace, cause=cause
                )
                if isinstance(outcome, TxConfirmed):
                    # The provider may have claimed since the channel was read.
                    back = sum(e.unlocked_amount for e in outcome.events if isinstance(e, Unlocked))
                    world.trace.emit(
                        Event(Happened.FUNDS_RETURNED, namespace, key.provider.hex(), amount=back), cause
                    )
                    return back
            else:
                # The provider's final claim ends the timer early: look now and then.
                wait_ns = min(channel.unlocked_at_s * NS_PER_S - world.clock.now_ns(), 60 * NS_PER_S)
                await pause(world, max(NS_PER_S, wait_ns))
                continue
            await pause(world, poll_ns)

    def _deadline(self) -> int:
        return self._world.clock.now_ns() + self._settings.chain_timeout_ns


def purse_of(
    rental: Rental,
    wallet: int,
    *,
    left: int | None,
    rates: Quote | None,
    spent_an_hour: int = 0,
    now_ns: int,
    chance: Chance,
) -> Purse:
    """What the funding policy sees of a rental.

    Args:
        rental: an agreed one.
        wallet: what its publisher holds outside of channels and may spend [token base units].
        left: what the channel holds beyond what is owed [token base units]; None before it is opened.
        rates: as `Purse` says, and so is `spent_an_hour`.
        spent_an_hour: see there.
        now_ns: the present [Unix ns].
        chance: the publisher's stream for funding.
    """
    offer, prices = rental.offer, rental.prices
    assert offer is not None and prices is not None
    replica, volumes = manifest.pod_resources(rental.pod), manifest.volume_resources(rental.pod)
    return Purse(
        cost_of=lambda ns: agreement.running_cost(replica, volumes, prices, replicas=1, for_ns=ns),
        min_deposit=offer.min_deposit,
        wallet=wallet,
        left=left,
        put_in=rental.put_in,
        spent_an_hour=spent_an_hour,
        rates=rates,
        now_ns=now_ns,
        chance=chance,
    )
