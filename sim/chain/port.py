"""`Chain` on the model ledger: confirmations, bids on stuck transactions, silent endpoints, one view a party."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from protocol import ports
from protocol.errors import PortError
from protocol.events import Event, Happened
from protocol.payment import WithdrawMany
from protocol.units import NS_PER_S, Address
from sim.chain.gas import GAS, WITHDRAW_MANY_ENTRY
from sim.chain.transactions import FUNCTIONS, Receipt, Tx, TxRejected
from sim.tasks import wake_at

if TYPE_CHECKING:
    from protocol.payment import ChannelKey
    from sim.chain.blocks import Blocks
    from sim.chain.endpoint import Endpoint
    from sim.tasks import Process

T = TypeVar("T")

READ_NS: Final = 20 * 1_000_000
"""What one read over JSON-RPC takes [ns]: a round trip and an `eth_call`."""


BUMP_PERCENT: Final = 25
"""By how much a stuck transaction is bid up, above the least that a node takes for a replacement."""
MOST_BUMPS: Final = 5
"""How often, so at most about three times what was offered first."""
PATIENCE_BLOCKS: Final = 5
"""How long it waits before that, and before a transaction that vanished is sent again."""


class SimChain:
    """See `ports.Chain`.

    Args:
        blocks: the chain.
        terms: what is pinned about it.
        process: the party's process.
        owner: the party's address.
        endpoint: the party's way to the chain; outlives the process.
        trace: where an alarm goes when endpoints differ; None: nowhere.
    """

    def __init__(
        self,
        blocks: Blocks,
        terms: ports.ChainTerms,
        process: Process,
        owner: Address,
        endpoint: Endpoint,
        trace: ports.Trace | None = None,
    ) -> None:
        self._blocks = blocks
        self._ledger = blocks.ledger
        self._terms = terms
        self._process = process
        self._owner = owner
        self._endpoint = endpoint
        self._trace = trace
        self._prepared = -1
        # The channels that were asked for last, what they were then, and the turns by which that can be told.
        self._last: tuple[tuple[ChannelKey, ...], list[int], ports.ChannelsAt] | None = None
        self._asked: tuple[Address, ...] = ()
        # The last that was prepared: nearly always the next to be sent.
        self._signed: tuple[bytes, Tx] | None = None

    @property
    def terms(self) -> ports.ChainTerms:
        """See `ports.Chain.terms`."""
        return self._terms

    async def _read(self, deadline_ns: int, ask: Callable[[int, bool], T]) -> T | ports.Unknown:
        """Wait for a read's answer, as of the newest block that counts; where two endpoints differ, it is unknown.

        Args:
            deadline_ns: when it is given up.
            ask: the answer of an endpoint that has this block as its newest, and whether it lies.
        """
        process, endpoint = self._process, self._endpoint
        process.check()
        asked_ns = process.now
        if endpoint.silent_until_ns > asked_ns:
            await process.sleep_until(process.true_ns(deadline_ns))
            return ports.Unknown("the endpoint is silent")
        told_ns = asked_ns + READ_NS
        await process.sleep_until(told_ns)
        head = self._ledger.head(told_ns // NS_PER_S)
        if not endpoint.lies(told_ns):
            endpoint.differs = False
            return ask(head, False)
        told = ask(endpoint.head(told_ns, head), True)
        if endpoint.count == 1:
            endpoint.differs = False
            return told
        return self._compared(told, ask, head)

    def _compared(self, told: T, ask: Callable[[int, bool], T], head: int) -> T | ports.Unknown:
        """What the liar told beside what the honest endpoint tells; the first difference raises an alarm."""
        differed, self._endpoint.differs = self._endpoint.differs, told != ask(head, False)
        if not self._endpoint.differs:
            return told
        if not differed and self._trace is not None:
            self._trace.emit(Event(Happened.ENDPOINTS_DIFFER))
        return ports.Unknown("endpoints differ")

    def _counts(self, head: int) -> ports.Block:
        """The newest block that counts for who sees `head` as the newest."""
        return self._ledger.block(max(0, head - self._terms.confirmations), head)

    def _head(self) -> int:
        return self._ledger.head(self._process.now // NS_PER_S)

    async def channels(
        self, keys: Sequence[ChannelKey], *, deadline_ns: int
    ) -> ports.ChannelsAt | ports.Unknown:
        """See `ports.Chain.channels`; of a tuple that was asked for last time, the same mapping while nothing changed."""

        def ask(head: int, lies: bool) -> ports.ChannelsAt:
            block = self._counts(head)
            if lies:
                return ports.ChannelsAt(block, self._endpoint.lie(self._ledger.channels(keys, block.number)))
            return self._true(keys, block)

        return await self._read(deadline_ns, ask)

    def _true(self, keys: Sequence[ChannelKey], block: ports.Block) -> ports.ChannelsAt:
        last = self._last
        if last is not None and last[0] is keys:
            turns = [self._ledger.turn(provider, block.number) for provider in self._asked]
            if turns == last[1]:
                return last[2] if last[2].block is block else ports.ChannelsAt(block, last[2].channels)
        found = ports.ChannelsAt(block, self._ledger.channels(keys, block.number))
        if isinstance(keys, tuple):  # which nobody changes
            self._asked = tuple({key.provider: None for key in keys})
            self._last = keys, [self._ledger.turn(p, block.number) for p in self._asked], found
        return found

    async def market(self, *, deadline_ns: int) -> ports.Market | ports.Unknown:
        """See `ports.Chain.market`."""

        def ask(head: int, lies: bool) -> ports.Market:
            block = self._counts(head)
            return self._blocks.listed(block, self._ledger.registry(block.number))

        def ask_index(head: int, lies: bool) -> ports.Market:
            assert index is not None
            return index.market(self._process.now, partial(ask, head, lies))

        index = self._endpoint.index
        return await self._read(deadline_ns, ask if index is None else ask_index)

    async def funds(self, owner: Address, *, deadline_ns: int) -> ports.Funds | ports.Unknown:
        """See `ports.Chain.funds`."""

        def ask(head: int, lies: bool) -> ports.Funds:
            block, ledger = self._counts(head), self._ledger
            return ports.Funds(
                block, ledger.balance(owner, block.number), ledger.native_balance(owner, block.number)
            )

        return await self._read(deadline_ns, ask)

    async def claim_fee_wei(self, entries: int, *, deadline_ns: int) -> int | ports.Unknown:
        """See `ports.Chain.claim_fee_wei`; a gas price that never moves needs no round trip."""
        self._process.check()
        gas, market = GAS[WithdrawMany] + entries * WITHDRAW_MANY_ENTRY, self._ledger.market
        if not market.moves:
            return gas * market.price_wei(self._head())
        return await self._read(deadline_ns, lambda head, lies: gas * market.price_wei(head))

    async def prepare(self, command: ports.Command) -> ports.Transaction | ports.Unknown:
        """See `ports.Chain.prepare`."""
        self._process.check()
        if self._endpoint.silent_until_ns > self._process.now:
            return ports.Unknown("the endpoint is silent")
        nonce = max(self._ledger.next_nonce(self._owner), self._prepared + 1)
        self._prepared = nonce
        offer = self._ledger.market.offer(self._head())
        tx = Tx(self._ledger.chain_id, self._owner, nonce, offer.max_wei, command, offer.priority_wei)
        raw = tx.to_bytes()
        self._signed = raw, tx
        return ports.Transaction(nonce, raw, tx.hash, FUNCTIONS[type(command)].name)

    async def send(self, transaction: ports.Transaction, *, deadline_ns: int) -> ports.TxOutcome:
        """See `ports.Chain.send`.

        Where gas has a market, a transaction that is stuck is replaced by itself at a higher price. Each
        replacement follows from the transaction that was journalled, so a party that crashed knows all of them.
        """
        process, ledger = self._process, self._ledger
        process.check()
        if self._endpoint.silent_until_ns > process.now:
            raise PortError("the endpoint is silent", sent=False, retry_after_s=5)
        deadline = process.true_ns(deadline_ns)
        signed, raw = self._signed, transaction.raw
        bids = self._bids(signed[1] if signed is not None and signed[0] == raw else Tx.from_bytes(raw))
        while True:
            receipt = self._receipt(bids)
            if receipt is None:
                if (rejected := self._submit(bids)) is not None:
                    if self._prepared == transaction.nonce:
                        self._prepared -= 1  # nothing was sent: the nonce is free
                    return ports.TxReverted(rejected.reason, 0)
                receipt = await self._mined(bids, deadline)
                if receipt is None:
                    return ports.TxUnknown("not mined before the deadline")
            counts_ns = (receipt.block.time_s + self._terms.confirmations * ledger.block_time_s) * NS_PER_S
            await process.sleep_until(min(counts_ns, deadline))
            if counts_ns > deadline or self._endpoint.silent_until_ns > process.now:
                return ports.TxUnknown("mined, and not confirmed before the deadline")
            if self._receipt(bids) == receipt:
                return _outcome(receipt)
            # A reorganisation undid it, and perhaps mined it again in another block.

    def _bids(self, tx: Tx) -> list[Tx]:
        """The transaction, and what may replace it, the lowest bid first."""
        bids = [tx]
        while self._ledger.market.moves and len(bids) <= MOST_BUMPS:
            bids.append(bids[-1].bumped(BUMP_PERCENT))
        return bids

    def _receipt(self, bids: Sequence[Tx]) -> Receipt | None:
        """What became of one of the bids, as far as the endpoint tells."""
        head = self._endpoint.head(self._process.now, self._head())
        return next((r for bid in bids if (r := self._ledger.receipt(bid.hash, head)) is not None), None)

    def _submit(self, bids: Sequence[Tx]) -> TxRejected | None:
        """Send the lowest bid unless one is known to the chain."""
        ledger = self._ledger
        if any(ledger.is_pending(bid) or ledger.receipt(bid.hash) is not None for bid in bids):
            return None
        try:
            self._blocks.submit(bids[0])
        except TxRejected as rejected:
            return rejected
        return None

    async def _mined(self, bids: Sequence[Tx], deadline: int) -> Receipt | None:
        """Wait until one of the bids is mined; meanwhile bid more, or again, where it is stuck or lost."""
        process, ledger = self._process, self._ledger
        patience_ns = PATIENCE_BLOCKS * ledger.block_time_s * NS_PER_S
        restless = ledger.market.moves or ledger.reorganises
        while True:
            event = self._blocks.mined(bids[0].sender, bids[0].nonce)
            until = min(deadline, process.now + patience_ns) if restless else deadline
            wake_at(process.env, until, event)
            await process.wait(event)
            receipt = self._receipt(bids)
            if receipt is not None or process.now >= deadline:
                return receipt
            if self._endpoint.silent_until_ns <= process.now:
                self._bid_again(bids)

    def _bid_again(self, bids: Sequence[Tx]) -> None:
        """One bid more than the one that is pending; the first again when none is."""
        pending = next((i for i, bid in enumerate(bids) if self._ledger.is_pending(bid)), -1)
        stuck = self._ledger.nonce(self._owner) == bids[0].nonce
        lost = pending < 0 and self._ledger.nonce(self._owner) <= bids[0].nonce
        if pending + 1 < len(bids) and (lost or stuck):
            # What is not taken now (the funds may not do for a higher bid) leaves the other where it is.
            with contextlib.suppress(TxRejected):
                self._blocks.submit(bids[pending + 1])


def _outcome(receipt: Receipt) -> ports.TxOutcome:
    if receipt.error is not None:
        return ports.TxReverted(receipt.error, receipt.fee_wei)
    return ports.TxConfirmed(receipt.block, receipt.events, receipt.fee_wei)


if TYPE_CHECKING:
    _is_a_chain: type[ports.Chain] = SimChain
