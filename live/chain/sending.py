"""Sent again and again until the outcome counts.

What happened is judged by receipts on the canonical chain alone, never by what a node said when it was handed the
bytes: "already known" and "nonce too low" both mean "look". Before anything is sent there is a look, so an endpoint
that is silent has received nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from live.chain.nodes import NotKnown
from live.chain.rpc import CallReverted, Endpoint, NodeRefused, Receipt
from live.chain.signed import Ladder, Verdict, verdict
from protocol.codec import error_name, events_of
from protocol.errors import PeerFault
from protocol.identity import format_address
from protocol.ports import TxConfirmed, TxOutcome, TxReverted, TxUnknown
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from live.chain.nodes import Nodes
    from live.chain.signed import Signed
    from live.tasks import Process
    from protocol.ports import Block, ChainTerms
    from protocol.units import Address

log = logging.getLogger(__name__)

OUT_OF_GAS: Final = "OutOfGas"
NAMELESS: Final = "Unnamed"
"""A refusal that cannot be made again, so that its error is not known."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done.

    Attributes:
        poll_s: between two looks [s].
        resend_s: between two times that the same bytes are handed over [s].
        bump_s: how long a price is given before it is raised [s].
    """

    poll_s: float = 2.0
    resend_s: float = 15.0
    bump_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a transaction stands, as one endpoint says.

    Attributes:
        receipt: of whichever of the ladder was mined; None: none is.
        block: the canonical block of the receipt's number; None: without a receipt.
        counts: mined, N deep, on the canonical chain.
        taken: the nonce was used by something else, N deep: no transaction of the ladder will ever be mined.
        bare: one of the ladder is mined, N deep, and the endpoint has lost its receipt.
    """

    receipt: Receipt | None = None
    block: Block | None = None
    counts: bool = False
    taken: bool = False
    bare: bool = False


def standing(node: Endpoint, ladder: Ladder, confirmations: int) -> Standing:
    """Ask one endpoint, blocking."""
    if node.nonce(ladder.sender, "latest") <= ladder.nonce:
        return Standing()
    for hash_ in ladder.hashes():
        receipt = node.receipt(hash_)
        if receipt is not None:
            head, block = node.head().block.number, node.block(receipt.block_number)
            canonical = block is not None and block.hash == receipt.block_hash
            deep = head - receipt.block_number >= confirmations
            return Standing(receipt, block, counts=canonical and deep)
    deep_block = max(0, node.head().block.number - confirmations)
    if node.nonce(ladder.sender, deep_block) <= ladder.nonce:
        return Standing()
    # Without a receipt it may still be ours: nodes prune them. Called lost, a deposit would be paid twice.
    used_by = node.mined(ladder.sender, ladder.nonce, before=deep_block)
    ours = used_by in ladder.hashes()
    return Standing(taken=not ours, bare=ours)


class _Posting:
    """What is handed over, and when: the same bytes now and then, and a better paid replacement once in a while."""

    def __init__(self, ladder: Ladder, pace: Pace, now_ns: int) -> None:
        self._ladder = ladder
        self._pace = pace
        self._rung = 0
        self._resend_ns = now_ns
        self._raise_ns = now_ns + _ns(pace.bump_s)

    def due(self, now_ns: int) -> Signed | None:
        """What to hand over now; None: nothing yet."""
        if now_ns >= self._raise_ns and self._ladder.can_climb(self._rung):
            self._rung += 1
            self._raise_ns = now_ns + _ns(self._pace.bump_s)
            self._resend_ns = now_ns
        if now_ns < self._resend_ns:
            return None
        self._resend_ns = now_ns + _ns(self._pace.resend_s)
        return self._ladder.rung(self._rung)

    def heard(self, meant: Verdict | str) -> None:
        """What came of it: a price that is too low is raised at the next look."""
        if meant is Verdict.UNDERPRICED:
            self._raise_ns = 0


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)


class Sending:
    """Sends what was prepared.

    Args:
        process: the party's process.
        nodes: the endpoints.
        terms: what is pinned about the chain.
        pace: how often things are done.
    """

    def __init__(self, process: Process, nodes: Nodes, terms: ChainTerms, pace: Pace) -> None:
        self._process = process
        self._nodes = nodes
        self._terms = terms
        self._pace = pace

    async def until_it_counts(
        self, ladder: Ladder, *, until_ns: int, fresh: Callable[[], bool] = lambda: False
    ) -> TxOutcome:
        """See `Chain.send`.

        Args:
            ladder: the transaction.
            until_ns: the deadline.
            fresh: whether it was never sent and nothing was prepared after it, so that it can be refused beforehand.

        Raises:
            PortError: with `sent=False`; nothing was sent.
        """
        process = self._process
        try:
            stands = await self._look(ladder, until_ns=until_ns)
            if fresh() and all(stand == Standing() for stand in stands):
                refusal = await self._refused_beforehand(ladder, until_ns=until_ns)
                if refusal is not None and fresh():
                    return refusal
        except NotKnown:
            if process.now_ns() >= until_ns:
                return TxUnknown("no answer before the deadline")
            raise
        posting = _Posting(ladder, self._pace, process.now_ns())
        reason = "not mined before the deadline"
        while True:
            if all(stand.counts or stand.taken for stand in stands):
                if all(stand == stands[0] for stand in stands):
                    return await self._outcome(stands[0], ladder, until_ns=until_ns)
                reason = "endpoints differ"
                log.error("ALARM: endpoints differ: what became of nonce %d", ladder.nonce)
            elif any(stand.receipt is not None for stand in stands):
                reason = "mined, and not confirmed before the deadline"
            elif any(stand.bare for stand in stands):
                reason = "mined, and its receipt is lost"
            elif any(stand == Standing() for stand in stands):
                signed = posting.due(process.now_ns())
                if signed is not None:
                    meant = await self._hand_over(signed, until_ns=until_ns)
                    posting.heard(meant)
                    reason = f"not mined before the deadline: {meant.value if isinstance(meant, Verdict) else meant}"
            stands = []
            while not stands:
                await process.sleep_until(min(until_ns, process.now_ns() + _ns(self._pace.poll_s)))
                if process.now_ns() >= until_ns:
                    return TxUnknown(reason)
                try:
                    stands = await self._look(ladder, until_ns=until_ns)
                except NotKnown as error:
                    if process.now_ns() < until_ns:
                        reason = str(error)

    async def _look(self, ladder: Ladder, *, until_ns: int) -> list[Standing]:
        confirmations = self._terms.confirmations
        return await self._nodes.all(lambda node: standing(node, ladder, confirmations), until_ns=until_ns)

    async def _refused_beforehand(self, ladder: Ladder, *, until_ns: int) -> TxReverted | None:
        """What the newest block would answer, when nothing of ours is under way that could change it."""
        first = ladder.rung(0).unsigned
        heads = [head.block for head in await self._nodes.all(Endpoint.head, until_ns=until_ns)]
        oldest = min(heads, key=lambda block: block.number)
        sender = ladder.sender

        def ask(node: Endpoint) -> tuple[int, bool]:
            block = node.block(oldest.number) or oldest
            return node.nonce(sender, oldest.number), node.balance(sender, block) >= first.cost_wei

        nonce, can_pay = await self._nodes.same("the sender's nonce or balance", ask, until_ns=until_ns)
        if nonce != ladder.nonce:
            return None
        if not can_pay:
            log.warning(
                "%s holds less than %d wei: %s would not be taken",
                format_address(sender), first.cost_wei, ladder.rung(0).hash.hex(),
            )  # fmt: skip
            return TxReverted(Verdict.NO_GAS_FUNDS.value, 0)
        try:
            await self._nodes.same(
                "a simulated call",
                lambda node: _replay(node, ladder.rung(0), sender, oldest.number),
                until_ns=until_ns,
            )
        except CallReverted as reverted:
            # Without data it may have been the node's own limit that ended it: then the chain shall tell.
            return TxReverted(error_name(reverted.data), 0) if reverted.data else None
        return None

    async def _hand_over(self, signed: Signed, *, until_ns: int) -> Verdict | str:
        """Give the bytes to every endpoint; what came of it."""
        answers = await self._nodes.each(lambda node: node.send(signed.raw), until_ns=until_ns)
        if answers is None:
            return "no answer when it was sent"
        meant: Verdict | str = Verdict.TAKEN
        for answer in answers:
            if answer.error is None:
                return Verdict.TAKEN
            known = verdict(answer.error) if isinstance(answer.error, NodeRefused) else Verdict.OTHER
            meant = str(answer.error) if known is Verdict.OTHER else known
        log.info("nonce %d: %s", signed.unsigned.nonce, meant)
        return meant

    async def _outcome(self, stand: Standing, ladder: Ladder, *, until_ns: int) -> TxOutcome:
        receipt, block = stand.receipt, stand.block
        if receipt is None or block is None:
            return TxReverted(Verdict.NONCE_TOO_LOW.value, 0)
        if receipt.succeeded:
            try:
                return TxConfirmed(block, events_of(receipt.logs, self._terms), receipt.fee_wei)
            except PeerFault as fault:
                return TxUnknown(f"confirmed, and its logs cannot be read: {fault}")
        return TxReverted(await self._error(receipt, ladder, until_ns=until_ns), receipt.fee_wei)

    async def _error(self, receipt: Receipt, ladder: Ladder, *, until_ns: int) -> str:
        """Why it was refused: a receipt does not say, so it is done again on the state before its block, then after."""
        mined = next(ladder.rung(i) for i, hash_ in enumerate(ladder.hashes()) if hash_ == receipt.hash)
        if receipt.gas_used >= mined.unsigned.gas:
            return OUT_OF_GAS
        for number in (receipt.block_number - 1, receipt.block_number):
            answers = await self._nodes.each(
                lambda node, at=number: _replay(node, mined, ladder.sender, at),  # type: ignore[misc]
                until_ns=until_ns,
            )
            for answer in answers or ():
                if isinstance(answer.error, CallReverted):
                    return error_name(answer.error.data)
        return NAMELESS


def _replay(node: Endpoint, signed: Signed, sender: Address, number: int) -> None:
    unsigned = signed.unsigned
    node.simulate(sender=sender, to=unsigned.to, data=unsigned.data, gas=unsigned.gas, number=number)
