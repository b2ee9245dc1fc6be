"""The model ledger: blocks, fees and nonces, with the contracts' rules carried out block by block.

Blocks come at a fixed pace and their numbers follow from the time, so an empty block costs nothing: `mine`
is called only when something is pending. A block carries out transactions in the builder's order, each
sender's in the order of its nonces, up to the block's gas. What is mined is read at a block that is some
confirmations old; the changes of the last `history_blocks` blocks are kept.

The ledger is synchronous and knows no waiting: whoever has a clock submits, calls `mine` at `next_block_s`,
and reads. `Contracts` is what another backend (real bytecode) replaces.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from protocol import payment
from protocol.errors import BadInput
from protocol.payment import keys_of
from protocol.ports import Block
from sim.chain.forks import NEVER, Forks
from sim.chain.history import History
from sim.chain.pool import Ordering, Pool, rank
from sim.chain.transactions import Receipt, Tx, TxRejected
from sim.chain.undo import UndoLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.payment import BookView, Channel, ChannelKey
    from protocol.registry import Registry
    from protocol.units import Address
    from sim.chain.contracts import Contracts
    from sim.chain.fees import Market

BLOCK_GAS: Final = 30_000_000
"""Gas of a block; Ethereum's limit from 2021 to 2024."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What a reorganisation took back.

    Attributes:
        at: the block that came on another branch.
        depth: how many blocks it replaced.
        first: the first block whose transactions were taken back.
        receipts: what is void, in the order in which it was mined.
        dropped: hashes of those that did not return to the pool.
    """

    at: int
    depth: int
    first: int
    receipts: tuple[Receipt, ...]
    dropped: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Mined:
    """A block that was mined, what became of its transactions, in their order, and what was undone before it."""

    block: Block
    receipts: tuple[Receipt, ...]
    undone: tuple[Undone, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mark:
    """A block with transactions that may be undone, and the way back to before it."""

    number: int
    receipts: tuple[Receipt, ...]
    contracts: int
    ledger: int


class ModelLedger:
    """One chain.

    Args:
        contracts: the contracts at genesis; from here on only the ledger changes them.
        native: what each address holds of the gas token at genesis [wei].
        block_time_s: time between blocks [s], at least 1.
        market: what a unit of gas costs.
        chain_id: EIP-155 id.
        start_s: time of block 0 [Unix s], at least 1.
        history_blocks: how many blocks back can be read, at least 1; no more than the contracts keep.
        receipt_blocks: for how many blocks a receipt is kept; a client that comes back later reads state instead.
        block_gas: gas of a block.
        ordering: the builder's order.
        forks: the reorganisations; the contracts must be able to be taken back where there are any.
    """

    def __init__(
        self,
        contracts: Contracts,
        *,
        native: Mapping[Address, int],
        block_time_s: int,
        market: Market,
        chain_id: int,
        start_s: int,
        history_blocks: int = 128,
        receipt_blocks: int = 7200,
        block_gas: int = BLOCK_GAS,
        ordering: Ordering = "fee",
        forks: Forks = NEVER,
    ) -> None:
        for name, value, least in (
            ("block_time_s", block_time_s, 1),
            ("start_s", start_s, 1),
            ("history_blocks", history_blocks, 1),
            ("receipt_blocks", receipt_blocks, 1),
        ):
            if value < least:
                raise BadInput(f"{name}: {value}; allowed are whole numbers of {least} and more")
        self.chain_id: Final = chain_id
        self.block_time_s: Final = block_time_s
        self.start_s: Final = start_s
        self.market: Final = market
        self.burnt_wei = 0  # base fees
        self.tips_wei = 0  # what builders got
        self._contracts = contracts
        self._native = dict(native)
        self._block_gas = block_gas
        self._gas = contracts.gas_limit
        self._ordering: Ordering = ordering
        self._history_blocks = history_blocks
        self._receipt_blocks = receipt_blocks
        self._named: tuple[int, Block] | None = None  # the last block that was asked for, and its branch
        self._mined = 0  # number of the newest block that was mined; those between were empty
        self._nonces: dict[Address, int] = {}
        self._pool = Pool()
        self._receipts: dict[bytes, Receipt] = {}
        self._receipts_by_block: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._natives: History[Address, int] = History(history_blocks)
        self._turns: History[Address, int] = History(history_blocks)
        self._fresh = count(1)  # a turn has a number of its own, which not even a reorganisation gives again
        self._forks = forks
        self._undo = UndoLog(keeps=forks.most > 0)
        self._known: set[bytes] = set()  # what was undone after somebody believed it: it is never lost again
        self._marks: deque[_Mark] = deque()  # of the last blocks that may be undone, those with transactions

    # ------------------------------------------------------------ time

    def head(self, now_s: int) -> int:
        """Number of the newest block at `now_s` [Unix s], empty ones counted; 0 before block 1."""
        return max(0, (now_s - self.start_s) // self.block_time_s)

    def next_block_s(self, now_s: int) -> int:
        """Time of the first block after `now_s` [Unix s]."""
        return self.start_s + (self.head(now_s) + 1) * self.block_time_s

    def block(self, number: int, head: int | None = None) -> Block:
        """The block with this number; any block, empty ones too. Its hash names the chain, the number and the branch.

        Args:
            number: which.
            head: as who sees this as the newest block has it; None: as it was when it came.
        """
        branch = self._forks.branch(number, head) if head is not None else 0
        last = self._named
        if last is None or last[0] != branch or last[1].number != number:  # many look at one block
            name = f"trusted-pods/model-block/{self.chain_id}/{number}" + (f"/{branch}" if branch else "")
            time_s = self.start_s + number * self.block_time_s
            last = self._named = branch, Block(number, hashlib.sha256(name.encode()).digest(), time_s)
        return last[1]

    # ------------------------------------------------------------ transactions

    def next_nonce(self, sender: Address) -> int:
        """The first nonce of `sender` that is neither mined nor pending."""
        return self._pool.next_nonce(sender, self._nonces.get(sender, 0))

    def nonce(self, sender: Address) -> int:
        """The first nonce of `sender` that is not mined."""
        return self._nonces.get(sender, 0)

    def submit(self, tx: Tx) -> bytes:
        """Take `tx` into the pool; the same transaction again changes nothing.

        A nonce may be ahead of the sender's next one: it waits for those before it. Another transaction of
        a pending nonce replaces it when it pays `PRICE_BUMP` % more. One that pays less than the next
        block asks for waits until a block asks for less.

        Returns:
            Its hash.

        Raises:
            TxRejected: `NonceTooLow`, `Underpriced`, `TipAboveFeeCap` or `InsufficientGasFunds`.
            BadInput: it is of another chain.
        """
        if tx.chain_id != self.chain_id:
            raise BadInput(f"chain id {tx.chain_id}; this is chain {self.chain_id}")
        if tx.hash in self._receipts:
            return tx.hash
        nonce = self._nonces.get(tx.sender, 0)
        if tx.nonce < nonce:
            raise TxRejected("NonceTooLow", f"{tx.nonce}; the next is {nonce}")
        if tx.priority_wei is not None and tx.priority_wei > tx.gas_price_wei:
            raise TxRejected("TipAboveFeeCap", f"{tx.priority_wei} wei of at most {tx.gas_price_wei} wei")
        if not self._can_pay(tx) and not self.is_pending(tx):
            held = self._native.get(tx.sender, 0)
            raise TxRejected("InsufficientGasFunds", f"{held} wei do not pay for {self._gas(tx.command)} gas")
        self._pool.add(tx)
        return tx.hash

    @property
    def has_pending(self) -> bool:
        """Whether anything could be carried out, at the price of some block."""
        return any(self._first(sender) is not None for sender in self._pool.senders)

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
        undone = self._reorganise(number)
        self._mined = number
        block, contracts, ledger = self.block(number), self._contracts.checkpoint(), self._undo.mark()
        receipts = tuple(self._fill(block))
        self.market.mined(number, sum(receipt.gas_used for receipt in receipts))
        if receipts and self._forks.most:
            self._marks.append(_Mark(number, receipts, contracts, ledger))
        self._keep_receipts(number, receipts)
        return Mined(block, receipts, undone)

    @property
    def reorganises(self) -> bool:
        """Whether a block may be replaced by another."""
        return self._forks.most > 0

    def next_reorganisation(self) -> int | None:
        """The next block that undoes a transaction; it has to be mined, whatever is pending. None: there is none."""
        return self._forks.first_after(self._mined, self._marks[-1].number) if self._marks else None

    def _reorganise(self, number: int) -> tuple[Undone, ...]:
        """Change branch as often as block `number`, and blocks before it that nobody mined, do."""
        undone = []
        for at in range(self._mined + 1, min(number, self._mined + self._forks.most) + 1):
            depth = self._forks.depth(at)
            if depth and self._marks and self._marks[-1].number >= at - depth:
                undone.append(self._take_back(at, depth))
        while self._marks and self._marks[0].number <= number - self._forks.most:
            mark = self._marks.popleft()
            self._contracts.forget(mark.contracts)
            self._undo.forget(mark.ledger)
        return tuple(undone)

    def _take_back(self, at: int, depth: int) -> Undone:
        receipts: list[Receipt] = []
        first = at - depth
        while self._marks and self._marks[-1].number >= first:
            mark = self._marks.pop()
            self._contracts.revert(mark.contracts)
            self._undo.back_to(mark.ledger)
            receipts[:0] = mark.receipts
        dropped = set()
        for place, receipt in enumerate(receipts):
            del self._receipts[receipt.hash]
            age = at - receipt.block.number
            if age >= self._forks.final:
                self._known.add(receipt.hash)
            if receipt.hash not in self._known and self._forks.drops(at, place, age):
                dropped.add(receipt.hash)
            else:
                self._pool.add(receipt.tx)
        while self._receipts_by_block and self._receipts_by_block[-1][0] >= first:
            self._receipts_by_block.pop()
        self.market.forget(first)
        return Undone(at, depth, receipts[0].block.number, tuple(receipts), frozenset(dropped))

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
        known = self._pool.get(tx.sender, tx.nonce)
        return known is not None and known[1] == tx

    # ------------------------------------------------------------ views

    def channel(self, key: ChannelKey, block: int) -> Channel | None:
        """The channel after `block`, or None where there is none.

        Raises:
            BadInput: the block is older than the history.
        """
        return self.channels([key], block)[key]

    def channels(self, keys: Iterable[ChannelKey], block: int) -> dict[ChannelKey, Channel | None]:
        """Many channels after one block; see `channel`."""
        self._check_view(block)
        return self._contracts.channels(keys, block)

    def turn(self, provider: Address, block: int) -> int:
        """A name of what a provider's channels are after one block: as long as it is the same, so are they; see `channel`."""
        self._check_view(block)
        return self._turns.at(provider, block, 0)

    def balance(self, owner: Address, block: int) -> int:
        """What `owner` holds of the payment token after `block` [base units]; see `channel`."""
        self._check_view(block)
        return self._contracts.balance(owner, block)

    def native_balance(self, owner: Address, block: int) -> int:
        """What `owner` holds of the gas token after `block` [wei]; see `channel`."""
        self._check_view(block)
        return self._natives.at(owner, block, self._native.get(owner, 0))

    def registry(self, block: int) -> Registry:
        """The registry after `block`; see `channel`."""
        self._check_view(block)
        return self._contracts.registry(block)

    @property
    def book(self) -> BookView:
        """The Payment contract as it is now."""
        return self._contracts.book

    @property
    def fees_wei(self) -> int:
        """All that was ever paid for gas, burnt or given to builders [wei]."""
        return self.burnt_wei + self.tips_wei

    def native_supply(self) -> int:
        """All gas tokens that parties hold [wei]; with `fees_wei` it never changes."""
        return sum(self._native.values())

    # ------------------------------------------------------------ inside a block

    def _fill(self, block: Block) -> list[Receipt]:
        """Carry out what fits: what others want of the block goes before whoever tips no more than they do."""
        number, market = block.number, self.market
        base_wei, least_wei = market.base_wei(number), market.least_wei(number)
        taken = market.background_gas(number)

        def entry(sender: Address) -> tuple[int, int, Tx] | None:
            first = self._first(sender)
            if first is None or first[1].gas_price_wei < least_wei:
                return None
            return rank(self._ordering, first[1], base_wei), *first

        queue = [found for sender in self._pool.senders if (found := entry(sender)) is not None]
        heapify(queue)
        left = self._block_gas
        receipts: list[Receipt] = []
        while queue:
            _, _, tx = heappop(queue)
            room = left if tx.tip_wei(base_wei) > market.rival_tip_wei else left - taken
            if self._gas(tx.command) > room:
                continue  # this sender's turn comes in a later block
            receipt = self._include(tx, block, base_wei)
            left -= receipt.gas_used
            receipts.append(receipt)
            if (following := entry(tx.sender)) is not None:
                heappush(queue, following)
        return receipts

    def _first(self, sender: Address) -> tuple[int, Tx] | None:
        """Arrival and transaction of the sender that can be carried out next, if it can pay for it."""
        entry = self._pool.get(sender, self._nonces.get(sender, 0))
        return entry if entry is not None and self._can_pay(entry[1]) else None

    def _can_pay(self, tx: Tx) -> bool:
        return self._native.get(tx.sender, 0) >= self._gas(tx.command) * tx.gas_price_wei

    def _include(self, tx: Tx, block: Block, base_wei: int) -> Receipt:
        done = self._contracts.execute(tx.command, tx.sender, block)
        gas_used = done.gas_used
        burnt_wei, tips_wei = gas_used * base_wei, gas_used * tx.tip_wei(base_wei)
        fee_wei = burnt_wei + tips_wei
        held = self._native.get(tx.sender, 0)
        self._undo.note(partial(self._natives.cut, tx.sender, block.number))
        self._undo.item(self._native, tx.sender)
        self._undo.item(self._nonces, tx.sender)
        self._undo.attribute(self, "burnt_wei")
        self._undo.attribute(self, "tips_wei")
        self._native[tx.sender] = held - fee_wei
        self._natives.put(tx.sender, block.number, before=held, after=held - fee_wei)
        self.burnt_wei += burnt_wei
        self.tips_wei += tips_wei
        self._nonces[tx.sender] = tx.nonce + 1
        self._pool.remove(tx)
        if done.error is None and isinstance(tx.command, payment.Command):
            for provider in {key.provider for key in keys_of(tx.command, tx.sender)}:
                self._undo.note(partial(self._turns.cut, provider, block.number))
                self._turns.put(provider, block.number, before=0, after=next(self._fresh))
        return Receipt(tx.hash, block, done.error, done.events, gas_used, fee_wei, tx, burnt_wei)

    def _keep_receipts(self, number: int, receipts: tuple[Receipt, ...]) -> None:
        self._receipts.update((receipt.hash, receipt) for receipt in receipts)
        self._receipts_by_block.append((number, tuple(receipt.hash for receipt in receipts)))
        while self._receipts_by_block[0][0] < number - self._receipt_blocks:
            for tx_hash in self._receipts_by_block.popleft()[1]:
                del self._receipts[tx_hash]

    def _check_view(self, block: int) -> None:
        if block < self._mined - self._history_blocks:
            raise BadInput(f"block {block}; kept are {self._history_blocks} blocks before {self._mined}")
