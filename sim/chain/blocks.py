"""Blocks as SimPy events: when the ledger mines, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from protocol.ports import Listing, Market
from protocol.units import NS_PER_S, Address
from sim.tasks import call_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simpy import Environment, Event

    from protocol.ports import Block
    from protocol.pricing import PriceTable
    from protocol.registry import Registry
    from sim.chain.model import Mined, ModelLedger
    from sim.chain.transactions import Tx


class Blocks:
    """Drives the ledger: mines when something is pending or undone, and tells whoever waits.

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
        self._listed: tuple[Registry, tuple[Listing, ...], Mapping[int, PriceTable]] | None = None
        self._waiting: dict[tuple[Address, int], list[Event]] = {}

    def submit(self, tx: Tx) -> None:
        """Take a transaction into the pool; see `ModelLedger.submit`."""
        self.ledger.submit(tx)
        if self.ledger.is_pending(tx):
            self._on_submitted(tx, int(self.env.now))
        self._schedule()

    def listed(self, block: Block, registry: Registry) -> Market:
        """What the registry lists, as the port tells it; while the registry is the same one, so are the values in it."""
        last = self._listed
        if last is None or last[0] is not registry:
            listings = tuple(
                Listing(provider, cid, registry.subscriptions.get(provider, ()))
                for provider, cid in registry.providers.items()
            )
            tables = {table_id: registry.published[table_id] for table_id in registry.subscribers}
            last = self._listed = registry, listings, tables
        return Market(block, last[1], last[2])

    def mined(self, sender: Address, nonce: int) -> Event:
        """An event that happens when a transaction of this sender and nonce is mined."""
        event: Event = self.env.event()
        self._waiting.setdefault((sender, nonce), []).append(event)
        return event

    def _schedule(self) -> None:
        due_ns = self._next_ns()
        if due_ns is not None and (self._due_ns is None or due_ns < self._due_ns):
            self._due_ns = due_ns
            call_at(self.env, due_ns, partial(self._mine, due_ns))

    def _next_ns(self) -> int | None:
        """The next block that anything happens in."""
        ledger = self.ledger
        if not ledger.has_pending:
            number = ledger.next_reorganisation()
            return None if number is None else ledger.block(number).time_s * NS_PER_S
        at_ns = ledger.next_block_s(int(self.env.now) // NS_PER_S) * NS_PER_S
        for begin_ns, end_ns in self._outages:
            if begin_ns <= at_ns < end_ns:
                at_ns = ledger.next_block_s(-(-end_ns // NS_PER_S) - 1) * NS_PER_S
        return at_ns

    def _mine(self, due_ns: int) -> None:
        if self._due_ns != due_ns:
            return  # an earlier block was wanted meanwhile, and saw to this one
        self._due_ns = None
        mined = self.ledger.mine(int(self.env.now) // NS_PER_S)
        for listener in self.on_mined:
            listener(mined)
        for receipt in mined.receipts:
            for event in self._waiting.pop((receipt.tx.sender, receipt.tx.nonce), ()):
                if not event.triggered:
                    event.succeed()
        self._schedule()
