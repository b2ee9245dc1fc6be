"""The `Chain` port over JSON-RPC. See `ports.Chain` for what each method promises."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from live.chain import gas
from live.chain.nodes import Nodes, NotKnown
from live.chain.reads import Reader
from live.chain.rpc import CallReverted, Endpoint, NodeError, NodeRefused
from live.chain.sending import Pace, Sending
from live.chain.signed import Ladder, Unsigned
from protocol import ports
from protocol.codec import FUNCTIONS, call_data, target
from protocol.errors import BadInput, PeerFault
from protocol.identity import format_address, parse_address
from protocol.ports import Approve, Unknown
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from live.tasks import Process
    from protocol.payment import ChannelKey
    from protocol.units import Address

log = logging.getLogger(__name__)

NO_ANSWER: Final = (NodeError, NotKnown, CallReverted, PeerFault)
"""What ends a read without an answer: the world failed, or the contracts answer nonsense."""


@dataclass(frozen=True, slots=True)
class Fees:
    """What is paid for gas.

    Attributes:
        cap_wei: the most for a unit of gas, tip included [wei].
        prepare_s: how long prices and nonces are waited for [s].
    """

    cap_wei: int
    prepare_s: float = 30.0


class NodeChain:
    """See `ports.Chain`. One key has one sender: a second process that sends with it would take its nonces.

    Args:
        process: the party's process.
        endpoints: one, or two to compare.
        terms: what is pinned about the chain; `pinned.check` holds the endpoints to it before this is used.
        account: the party's key.
        fees: what is paid for gas.
        pace: how often things are done.
    """

    def __init__(
        self,
        process: Process,
        endpoints: Sequence[Endpoint],
        terms: ports.ChainTerms,
        account: LocalAccount,
        fees: Fees,
        pace: Pace | None = None,
    ) -> None:
        self._process = process
        self._terms = terms
        self._account = account
        self._owner: Address = parse_address(account.address)
        self._fees = fees
        self._nodes = Nodes(process, endpoints, confirmations=terms.confirmations)
        self._reader = Reader(self._nodes, terms)
        self._sending = Sending(process, self._nodes, terms, pace or Pace())
        self._prepared = -1  # the last nonce that was given out
        self._unsent: set[bytes] = set()  # hashes of what was prepared here and never sent

    @property
    def terms(self) -> ports.ChainTerms:
        """See `Chain.terms`."""
        return self._terms

    async def channels(self, keys: Sequence[ChannelKey], *, deadline_ns: int) -> ports.ChannelsAt | Unknown:
        """See `Chain.channels`."""
        try:
            return await self._reader.channels(keys, until_ns=deadline_ns)
        except NO_ANSWER as error:
            return Unknown(str(error))

    async def market(self, *, deadline_ns: int) -> ports.Market | Unknown:
        """See `Chain.market`."""
        try:
            return await self._reader.market(until_ns=deadline_ns)
        except NO_ANSWER as error:
            return Unknown(str(error))

    async def funds(self, owner: Address, *, deadline_ns: int) -> ports.Funds | Unknown:
        """See `Chain.funds`."""
        try:
            return await self._reader.funds(owner, until_ns=deadline_ns)
        except NO_ANSWER as error:
            return Unknown(str(error))

    async def claim_fee_wei(self, entries: int, *, deadline_ns: int) -> int | Unknown:
        """See `Chain.claim_fee_wei`."""
        try:
            prices = await self._nodes.all(_price, until_ns=deadline_ns)
        except NO_ANSWER as error:
            return Unknown(str(error))
        return gas.claim(entries) * max(base_wei + tip_wei for base_wei, tip_wei in prices)

    async def prepare(self, command: ports.Command) -> ports.Transaction | Unknown:
        """See `Chain.prepare`.

        Raises:
            BadInput: `command` would let somebody else than the Payment contract take tokens, or does not fit the
                contract's types; the nonce is not used.
        """
        if isinstance(command, Approve) and command.spender != self._terms.payment:
            raise BadInput(
                f"an approval for {format_address(command.spender)}; only the Payment contract may take tokens"
            )
        data, to = call_data(command), target(command, self._terms)

        def ask(node: Endpoint) -> tuple[int, int, int, int, int | None]:
            base_wei, tip_wei = _price(node)
            try:
                estimate: int | None = node.estimate(sender=self._owner, to=to, data=data)
            except (CallReverted, NodeRefused):
                estimate = None  # it may depend on what is not mined yet, or the purse is empty: `send` tells
            pending, mined = node.nonce(self._owner, "pending"), node.nonce(self._owner, "latest")
            return mined, pending, base_wei, tip_wei, estimate

        until_ns = self._process.now_ns() + int(self._fees.prepare_s * NS_PER_S)
        try:
            answers = await self._nodes.all(ask, until_ns=until_ns)
        except NO_ANSWER as error:
            return Unknown(str(error))
        mined, pending, bases_wei, tips_wei, estimates = zip(*answers, strict=True)
        base_wei, tip_wei, cap_wei = max(bases_wei), max(tips_wei), self._fees.cap_wei
        if base_wei + tip_wei > cap_wei:
            return Unknown(f"gas costs {base_wei + tip_wei} wei; the most that is paid is {cap_wei} wei")
        # From here on nothing is awaited: two tasks that prepare at once get two nonces.
        nonce = max(*mined, self._prepared + 1)
        if min(mined) < nonce != self._prepared + 1:
            # Believed, a nonce that is too high would never be mined, and nothing after it.
            log.error("ALARM: endpoints differ: transactions mined of %s", format_address(self._owner))
            return Unknown(
                f"endpoints differ: {' and '.join(map(str, mined))} transactions are mined of this key"
            )
        if max(pending) > nonce:
            return Unknown("a transaction of this key that was not prepared here is under way")
        self._prepared = nonce
        signed = Unsigned(
            chain_id=self._terms.chain_id,
            nonce=nonce,
            to=to,
            data=data,
            gas=gas.limit(command, max((e for e in estimates if e is not None), default=None)),
            max_fee_wei=min(2 * base_wei + tip_wei, cap_wei),
            tip_wei=tip_wei,
        ).sign(self._account)
        self._unsent.add(signed.hash)
        return ports.Transaction(nonce, signed.raw, signed.hash, FUNCTIONS[type(command)].name)

    async def send(self, transaction: ports.Transaction, *, deadline_ns: int) -> ports.TxOutcome:
        """See `Chain.send`.

        Raises:
            PortError: with `sent=False`; nothing was sent.
            BadInput: the transaction is of another chain or key.
        """
        self._process.check()
        ladder = Ladder(
            transaction.raw, self._account, chain_id=self._terms.chain_id, cap_wei=self._fees.cap_wei
        )

        def fresh() -> bool:
            return transaction.hash in self._unsent and transaction.nonce == self._prepared

        outcome = await self._sending.until_it_counts(ladder, until_ns=deadline_ns, fresh=fresh)
        if isinstance(outcome, ports.TxReverted) and outcome.fee_wei == 0 and fresh():
            self._prepared -= 1  # nothing was sent: the nonce is free
        self._unsent.discard(transaction.hash)
        return outcome


def _price(node: Endpoint) -> tuple[int, int]:
    """The base fee now and the tip that is advised [wei a unit of gas]."""
    return node.head().base_fee_wei, node.tip_wei()


if TYPE_CHECKING:
    _is_a_chain: type[ports.Chain] = NodeChain
