"""The model ledger: the rules of the contracts carried out block by block, without an EVM.

Blocks come at a fixed pace and their numbers follow from the time, so an empty block costs nothing: `mine`
is called only when something is pending. A block carries out transactions in the order of (gas price, highest
first; arrival), each sender's in the order of its nonces, up to the block's gas. What is mined is read at a
block that is some confirmations old; the ledger keeps the changes of the last `history_blocks` blocks.

The ledger is synchronous and knows no waiting: whoever has a clock submits, calls `mine` at `next_block_s`,
and reads. `_execute` is what another backend (real bytecode) replaces.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from protocol import payment
from protocol import registry as registry_rules
from protocol.errors import BadInput, ProtocolError
from protocol.payment import Book, keys_of
from protocol.ports import Approve, Block
from protocol.registry import Registry
from sim.chain.gas import REVERTED, gas_of
from sim.chain.history import History
from sim.chain.transactions import AnyCommand, Receipt, Tx, TxRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from protocol.payment import Channel, ChannelKey, PaymentEvent
    from protocol.registry import RegistryEvent
    from protocol.units import Address

PRICE_BUMP: Final = 10
"""A replacement pays at least this much more [%]; geth's `--txpool.pricebump`."""
BLOCK_GAS: Final = 30_000_000
"""Gas of a block; Ethereum's limit from 2021 to 2024."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A block that was mined, and what became of its transactions, in their order."""

    block: Block
    receipts: tuple[Receipt, ...]


class ModelLedger:
    """One chain.

    Args:
        book: the Payment contract and its token, at genesis; from here on only the ledger changes it.
        registry: the Registry contract at genesis.
        native: what each address holds of the gas token at genesis [wei].
        block_time_s: time between blocks [s], at least 1.
        gas_price_wei: what a unit of gas costs, as `gas_price` tells senders [wei].
        chain_id: EIP-155 id.
        start_s: time of block 0 [Unix s], at least 1.
        history_blocks: how many blocks back can be read, at least 1.
        receipt_blocks: for how many blocks a receipt is kept; a client that comes back later reads state instead.
        block_gas: gas of a block.
        gas: gas of a command that succeeds.
    """

    def __init__(
        self,
        book: Book,
        registry: Registry | None = None,
        *,
        native: Mapping[Address, int],
        block_time_s: int,
        gas_price_wei: int,
        chain_id: int,
        start_s: int,
        history_blocks: int = 128,
        receipt_blocks: int = 7200,
        block_gas: int = BLOCK_GAS,
        gas: Callable[[AnyCommand], int] = gas_of,
    ) -> None:
        for name, value, least in (
            ("block_time_s", block_time_s, 1),
            ("gas_price_wei", gas_price_wei, 0),
            ("start_s", start_s, 1),
            ("history_blocks", history_blocks, 1),
            ("receipt_blocks", receipt_blocks, 1),
        ):
            if value < least:
                raise BadInput(f"{name}: {value}; allowed are whole numbers of {least} and more")
        self.chain_id: Final = chain_id
        self.block_time_s: Final = block_time_s
        self.start_s: Final = start_s
        self.gas_price_wei = gas_price_wei
        self.fees_wei = 0
        self._book = book
        self._registry = registry if registry is not None else Registry()
        self._native = dict(native)
        self._block_gas = block_gas
        self._gas = gas
        self._history_blocks = history_blocks
        self._receipt_blocks = receipt_blocks
        self._mined = 0  # number of the newest block that was mined; those between were empty
        self._nonces: dict[Address, int] = {}
        self._pending: dict[
            Address, dict[int, tuple[int, Tx]]
        ] = {}  # sender → nonce → (arrival, transaction)
        self._arrivals = 0
        self._receipts: dict[bytes, Receipt] = {}
        self._receipts_by_block: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._channels: History[ChannelKey, Channel | None] = History(history_blocks)
        self._tokens: History[Address, int] = History(history_blocks)
        self._natives: History[Address, int] = History(history_blocks)
        self._registries: History[None, Registry] = History(history_blocks)

    # ------------------------------------------------------------ time

    def head(self, now_s: int) -> int:
        """Number of the newest block at `now_s` [Unix s], empty ones counted; 0 before block 1."""
        return max(0, (now_s - self.start_s) // self.block_time_s)

    def next_block_s(self, now_s: int) -> int:
        """Time of the first block after `now_s` [Unix s]."""
        return self.start_s + (self.head(now_s) + 1) * self.block_time_s

    def block(self, number: int) -> Block:
        """The block with this number; any block, empty ones too. Its hash names the chain and the number."""
        name = f"trusted-pods/model-block/{self.chain_id}/{number}"
        return Block(
            number, hashlib.sha256(name.encode()).digest(), self.start_s + number * self.block_time_s
        )

    # ------------------------------------------------------------ transactions

    def next_nonce(self, sender: Address) -> int:
        """The first nonce of `sender` that is neither mined nor pending."""
        nonce = self._nonces.get(sender, 0)
        pending = self._pending.get(sender, {})
        while nonce in pending:
            nonce += 1
        return nonce

    def submit(self, tx: Tx) -> bytes:
        """Take `tx` into the pool; the same transaction again changes nothing.

        A nonce may be ahead of the sender's next one: it waits for those before it. Another transaction of
        a pending nonce replaces it when it pays `PRICE_BUMP` % more.

        Returns:
            Its hash.

        Raises:
            TxRejected: `NonceTooLow`, `Underpriced` or `InsufficientGasFunds`.
            BadInput: it is of another chain.
        """
        if tx.chain_id != self.chain_id:
            raise BadInput(f"chain id {tx.chain_id}; this is chain {self.chain_id}")
        if tx.hash in self._receipts:
            return tx.hash
        nonce = self._nonces.get(tx.sender, 0)
        if tx.nonce < nonce:
            raise TxRejected("NonceTooLow", f"{tx.nonce}; the next is {nonce}")
        known = self._pending.get(tx.sender, {}).get(tx.nonce)
        if known is not None:
            if known[1] == tx:
                return tx.hash
            if tx.gas_price_wei * 100 < known[1].gas_price_wei * (100 + PRICE_BUMP):
                raise TxRejected(
                    "Underpriced", f"{tx.gas_price_wei} wei replaces {known[1].gas_price_wei} wei"
                )
        if not self._can_pay(tx):
            held = self._native.get(tx.sender, 0)
            raise TxRejected("InsufficientGasFunds", f"{held} wei do not pay for {self._gas(tx.command)} gas")
        self._pending.setdefault(tx.sender, {})[tx.nonce] = (self._arrivals, tx)
        self._arrivals += 1
        return tx.hash

    @property
    def has_pending(self) -> bool:
        """Whether the next block has anything to carry out."""
        return any(self._first(sender) is not None for sender in self._pending)

    def mine(self, now_s: int) -> Mined:
        """Mine the newest block at `now_s`: carry out what is pending, at the block's own time.

        Args:
            now_s: [Unix s]; its block must be later than the last mined one.

        Raises:
            BadInput: that block was mined before, or is block 0.
        """
        number = self.head(now_s)
        if number <= self._mined:
            raise BadInput(f"{now_s} s is in block {number}; block {self._mined} was mined")
        self._mined = number
        block = self.block(number)
        left = self._block_gas
        queue = [entry for sender in self._pending if (entry := self._first(sender)) is not None]
        heapify(queue)
        receipts: list[Receipt] = []
        while queue:
            _, _, tx = heappop(queue)
            if self._gas(tx.command) > left:
                continue  # this sender's turn comes in a later block
            receipt = self._include(tx, block)
            left -= receipt.gas_used
            receipts.append(receipt)
            if (following := self._first(tx.sender)) is not None:
                heappush(queue, following)
        self._keep_receipts(number, receipts)
        return Mined(block, tuple(receipts))

    def receipt(self, tx_hash: bytes, at_block: int | None = None) -> Receipt | None:
        """What became of a transaction.

        Args:
            tx_hash: its hash.
            at_block: None: as far as is known; else as seen at this block.

        Returns:
            None when it was not mined (up to that block), or so long ago that it is forgotten.
        """
        receipt = self._receipts.get(tx_hash)
        if receipt is None or (at_block is not None and receipt.block.number > at_block):
            return None
        return receipt

    def is_pending(self, tx: Tx) -> bool:
        """Whether `tx` waits in the pool; False once it was mined or replaced."""
        known = self._pending.get(tx.sender, {}).get(tx.nonce)
        return known is not None and known[1] == tx

    # ------------------------------------------------------------ views

    def channel(self, key: ChannelKey, block: int) -> Channel | None:
        """The channel after `block`, or None where there is none.

        Raises:
            BadInput: the block is older than the history.
        """
        self._check_view(block)
        return self._channels.at(key, block, self._book.channel(key))

    def channels(self, keys: Iterable[ChannelKey], block: int) -> dict[ChannelKey, Channel | None]:
        """Many channels after one block; see `channel`."""
        self._check_view(block)
        at, book = self._channels.at, self._book
        return {key: at(key, block, book.channel(key)) for key in keys}

    def balance(self, owner: Address, block: int) -> int:
        """What `owner` holds of the payment token after `block` [base units]; see `channel`."""
        self._check_view(block)
        return self._tokens.at(owner, block, self._book.token.balance(owner))

    def native_balance(self, owner: Address, block: int) -> int:
        """What `owner` holds of the gas token after `block` [wei]; see `channel`."""
        self._check_view(block)
        return self._natives.at(owner, block, self._native.get(owner, 0))

    def registry(self, block: int) -> Registry:
        """The registry after `block`; see `channel`."""
        self._check_view(block)
        return self._registries.at(None, block, self._registry)

    @property
    def book(self) -> Book:
        """The Payment contract as it is now; to be read, never to be changed."""
        return self._book

    def native_supply(self) -> int:
        """All gas tokens that parties hold [wei]; with `fees_wei` it never changes."""
        return sum(self._native.values())

    # ------------------------------------------------------------ inside a block

    def _first(self, sender: Address) -> tuple[int, int, Tx] | None:
        """The sender's transaction that can be carried out next, as it is ordered in a block."""
        entry = self._pending.get(sender, {}).get(self._nonces.get(sender, 0))
        if entry is None or not self._can_pay(entry[1]):
            return None
        return -entry[1].gas_price_wei, entry[0], entry[1]

    def _can_pay(self, tx: Tx) -> bool:
        return self._native.get(tx.sender, 0) >= self._gas(tx.command) * tx.gas_price_wei

    def _include(self, tx: Tx, block: Block) -> Receipt:
        events: tuple[PaymentEvent | RegistryEvent, ...] = ()
        error = None
        gas_used = self._gas(tx.command)
        try:
            events = self._execute(tx, block)
        except ProtocolError as refusal:
            error = type(refusal).__name__
            gas_used = min(gas_used, REVERTED)
        fee_wei = gas_used * tx.gas_price_wei
        held = self._native.get(tx.sender, 0)
        self._native[tx.sender] = held - fee_wei
        self._natives.put(tx.sender, block.number, before=held, after=held - fee_wei)
        self.fees_wei += fee_wei
        self._nonces[tx.sender] = tx.nonce + 1
        waiting = self._pending[tx.sender]
        del waiting[tx.nonce]
        if not waiting:
            del self._pending[tx.sender]
        return Receipt(tx.hash, block, error, events, gas_used, fee_wei)

    def _execute(self, tx: Tx, block: Block) -> tuple[PaymentEvent | RegistryEvent, ...]:
        match tx.command:
            case Approve():
                return self._book.execute(tx.command, caller=tx.sender, now_s=block.time_s)
            case (
                registry_rules.RegisterProvider()
                | registry_rules.DeregisterProvider()
                | registry_rules.RegisterPricingTable()
                | registry_rules.Subscribe()
                | registry_rules.Unsubscribe()
            ):
                before = self._registry
                self._registry, emitted = registry_rules.apply(before, tx.command, caller=tx.sender)
                self._registries.put(None, block.number, before=before, after=self._registry)
                return emitted
            case _:
                return self._execute_payment(tx.command, tx.sender, block)

    def _execute_payment(
        self, command: payment.Command, sender: Address, block: Block
    ) -> tuple[PaymentEvent, ...]:
        book = self._book
        before = {key: book.channel(key) for key in keys_of(command, sender)}
        events = book.execute(command, caller=sender, now_s=block.time_s)
        for key, channel in before.items():
            after = book.channel(key)
            if after != channel:
                self._channels.put(key, block.number, before=channel, after=after)
        for owner, held in book.token.commit().items():
            self._tokens.put(owner, block.number, before=held, after=book.token.balance(owner))
        return events

    def _keep_receipts(self, number: int, receipts: list[Receipt]) -> None:
        self._receipts.update((receipt.hash, receipt) for receipt in receipts)
        self._receipts_by_block.append((number, tuple(receipt.hash for receipt in receipts)))
        while self._receipts_by_block[0][0] < number - self._receipt_blocks:
            for tx_hash in self._receipts_by_block.popleft()[1]:
                del self._receipts[tx_hash]

    def _check_view(self, block: int) -> None:
        if block < self._mined - self._history_blocks:
            raise BadInput(f"block {block}; kept are {self._history_blocks} blocks before {self._mined}")
