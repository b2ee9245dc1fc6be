"""`Chain` on the model ledger: blocks as SimPy events, confirmations, silent endpoints, and one view a party."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from protocol import ports
from protocol.errors import PortError
from protocol.payment import WithdrawMany
from protocol.units import NS_PER_S, Address
from sim.chain.gas import GAS, WITHDRAW_MANY_ENTRY
from sim.chain.transactions import FUNCTIONS, Receipt, Tx, TxRejected
from sim.tasks import call_at, wake_at

if TYPE_CHECKING:
    from simpy import Environment, Event

    from protocol.payment import ChannelKey
    from protocol.registry import Registry
    from sim.chain.model import Mined, ModelLedger
    from sim.tasks import Process

READ_NS: Final = 20 * 1_000_000
"""What one read over JSON-RPC takes [ns]: a round trip and an `eth_call`."""


class Blocks:
    """Drives the ledger: mines when something is pending, and tells whoever waits.

    Args:
        env: the simulation.
        ledger: the chain.
        outages: (from, to) in true time [ns], in which no blocks are made.
        on_submitted: told of each transaction that goes into the pool, and when [ns].
    """

    def __init__(
        self,
        env: Environment,
        ledger: ModelLedger,
        *,
        outages: Sequence[tuple[int, int]] = (),
        on_submitted: Callable[[Tx, int], None] = lambda tx, at_ns: None,
    ) -> None:
        self.env = env
        self.ledger = ledger
        self.on_mined: list[Callable[[Mined], None]] = []
        self._on_submitted = on_submitted
        self._outages = tuple(outages)
        self._due_ns: int | None = None
        self._waiting: dict[bytes, list[Event]] = {}

    def submit(self, tx: Tx) -> None:
        """Take a transaction into the pool; see `ModelLedger.submit`."""
        self.ledger.submit(tx)
        self._on_submitted(tx, int(self.env.now))
        self._schedule()

    def mined(self, tx_hash: bytes) -> Event:
        """An event that happens when the transaction is mined."""
        event: Event = self.env.event()
        self._waiting.setdefault(tx_hash, []).append(event)
        return event

    def _schedule(self) -> None:
        if self._due_ns is not None or not self.ledger.has_pending:
            return
        at_ns = self.ledger.next_block_s(int(self.env.now) // NS_PER_S) * NS_PER_S
        for begin_ns, end_ns in self._outages:
            if begin_ns <= at_ns < end_ns:
                at_ns = self.ledger.next_block_s(-(-end_ns // NS_PER_S) - 1) * NS_PER_S
        self._due_ns = at_ns
        call_at(self.env, at_ns, self._mine)

    def _mine(self) -> None:
        self._due_ns = None
        mined = self.ledger.mine(int(self.env.now) // NS_PER_S)
        for listener in self.on_mined:
            listener(mined)
        for receipt in mined.receipts:
            for event in self._waiting.pop(receipt.hash, ()):
                if not event.triggered:
                    event.succeed()
        self._schedule()


class Endpoint:
    """A party's way to the chain; it can fall silent."""

    __slots__ = ("silent_until_ns",)

    def __init__(self) -> None:
        self.silent_until_ns = 0


class SimChain:
    """See `ports.Chain`.

    Args:
        blocks: the chain.
        terms: what is pinned about it.
        process: the party's process.
        owner: the party's address.
        endpoint: the party's way to the chain; outlives the process.
    """

    def __init__(
        self, blocks: Blocks, terms: ports.ChainTerms, process: Process, owner: Address, endpoint: Endpoint
    ) -> None:
        self._blocks = blocks
        self._ledger = blocks.ledger
        self._terms = terms
        self._process = process
        self._owner = owner
        self._endpoint = endpoint
        self._prepared = -1

    @property
    def terms(self) -> ports.ChainTerms:
        """See `ports.Chain.terms`."""
        return self._terms

    async def _read(self, deadline_ns: int) -> int | ports.Unknown:
        """Wait for a read's answer; the number of the newest block that counts, or silence."""
        process = self._process
        process.check()
        deadline = process.true_ns(deadline_ns)
        if self._endpoint.silent_until_ns > process.now:
            await process.sleep_until(deadline)
            return ports.Unknown("the endpoint is silent")
        await process.sleep_until(process.now + READ_NS)
        return max(0, self._head() - self._terms.confirmations)

    def _head(self) -> int:
        return self._ledger.head(self._process.now // NS_PER_S)

    async def channels(
        self, keys: Sequence[ChannelKey], *, deadline_ns: int
    ) -> ports.ChannelsAt | ports.Unknown:
        """See `ports.Chain.channels`."""
        number = await self._read(deadline_ns)
        if isinstance(number, ports.Unknown):
            return number
        return ports.ChannelsAt(self._ledger.block(number), self._ledger.channels(keys, number))

    async def market(self, *, deadline_ns: int) -> ports.Market | ports.Unknown:
        """See `ports.Chain.market`."""
        number = await self._read(deadline_ns)
        if isinstance(number, ports.Unknown):
            return number
        return _market(self._ledger.block(number), self._ledger.registry(number))

    async def funds(self, owner: Address, *, deadline_ns: int) -> ports.Funds | ports.Unknown:
        """See `ports.Chain.funds`."""
        number = await self._read(deadline_ns)
        if isinstance(number, ports.Unknown):
            return number
        ledger = self._ledger
        return ports.Funds(
            ledger.block(number), ledger.balance(owner, number), ledger.native_balance(owner, number)
        )

    async def claim_fee_wei(self, entries: int, *, deadline_ns: int) -> int | ports.Unknown:
        """See `ports.Chain.claim_fee_wei`; a gas price that never moves needs no round trip."""
        self._process.check()
        market = self._ledger.market
        if market.moves and isinstance(number := await self._read(deadline_ns), ports.Unknown):
            return number
        return (GAS[WithdrawMany] + entries * WITHDRAW_MANY_ENTRY) * market.price_wei(self._head())

    async def prepare(self, command: ports.Command) -> ports.Transaction | ports.Unknown:
        """See `ports.Chain.prepare`."""
        self._process.check()
        if self._endpoint.silent_until_ns > self._process.now:
            return ports.Unknown("the endpoint is silent")
        nonce = max(self._ledger.next_nonce(self._owner), self._prepared + 1)
        self._prepared = nonce
        offer = self._ledger.market.offer(self._head())
        tx = Tx(self._ledger.chain_id, self._owner, nonce, offer.max_wei, command, offer.priority_wei)
        return ports.Transaction(nonce, tx.to_bytes(), tx.hash, FUNCTIONS[type(command)].name)

    async def send(self, transaction: ports.Transaction, *, deadline_ns: int) -> ports.TxOutcome:
        """See `ports.Chain.send`."""
        process, ledger = self._process, self._ledger
        process.check()
        if self._endpoint.silent_until_ns > process.now:
            raise PortError("the endpoint is silent", sent=False, retry_after_s=5)
        deadline = process.true_ns(deadline_ns)
        receipt = ledger.receipt(transaction.hash)
        if receipt is None:
            try:
                self._blocks.submit(Tx.from_bytes(transaction.raw))
            except TxRejected as rejected:
                if self._prepared == transaction.nonce:
                    self._prepared -= 1  # nothing was sent: the nonce is free
                return ports.TxReverted(rejected.reason, 0)
            event = self._blocks.mined(transaction.hash)
            wake_at(process.env, deadline, event)
            await process.wait(event)
            receipt = ledger.receipt(transaction.hash)
            if receipt is None:
                return ports.TxUnknown("not mined before the deadline")
        counts_ns = (receipt.block.time_s + self._terms.confirmations * ledger.block_time_s) * NS_PER_S
        await process.sleep_until(min(counts_ns, deadline))
        if counts_ns > deadline or self._endpoint.silent_until_ns > process.now:
            return ports.TxUnknown("mined, and not confirmed before the deadline")
        return _outcome(receipt)


def _outcome(receipt: Receipt) -> ports.TxOutcome:
    if receipt.error is not None:
        return ports.TxReverted(receipt.error, receipt.fee_wei)
    return ports.TxConfirmed(receipt.block, receipt.events, receipt.fee_wei)


def _market(block: ports.Block, registry: Registry) -> ports.Market:
    return ports.Market(
        block,
        tuple(
            ports.Listing(provider, cid, registry.subscriptions.get(provider, ()))
            for provider, cid in registry.providers.items()
        ),
        {table_id: registry.published[table_id] for table_id in registry.subscribers},
    )


if TYPE_CHECKING:
    _is_a_chain: type[ports.Chain] = SimChain
