"""What the two contracts emitted: read in bounded ranges up to the newest block that counts, and taken up again.

Ranges are named by number, because nodes take no others; so the hash of a range's last block is read before its logs
and again after them, and the blocks it begins after are held against the chain both times. A place that was read up to carries the hashes of some blocks before it: when a reorg went deeper than
the confirmations, the reader goes back to the newest of them that is still there, and says from which block on what
was read before no longer holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from live.chain.nodes import NotKnown
from live.chain.rpc import Endpoint, NodeError
from protocol.codec import event_of
from protocol.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from live.chain.nodes import Nodes
    from live.chain.rpc import Logged
    from protocol.payment import PaymentEvent
    from protocol.ports import Block
    from protocol.registry import RegistryEvent
    from protocol.units import Address

RANGE_BLOCKS: Final = 2_000
"""Blocks a question at most; what many public nodes allow. Halved while a node refuses, doubled again afterwards."""
TRY_AGAIN: Final = 32
"""After so many ranges a size that was refused is tried again: there may have been many events just there."""
MARKS: Final = 32
"""So many blocks are remembered to come back to; each next one is twice as far back."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far was read.

    Attributes:
        marks: (number, hash) of blocks that were read, newest first; at the beginning none.
        first: the block to begin at.
    """

    first: int
    marks: tuple[tuple[int, bytes], ...] = ()

    @property
    def next(self) -> int:
        """The first block that was not read."""
        return self.marks[0][0] + 1 if self.marks else self.first

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {"first": self.first, "marks": [[number, hash_.hex()] for number, hash_ in self.marks]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Place:
        """The place of a stored form."""
        return cls(record["first"], tuple((n, bytes.fromhex(h)) for n, h in record["marks"]))


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event and where it stands: (block, index in the block), and the transaction's hash."""

    block_number: int
    index: int
    transaction: bytes
    event: PaymentEvent | RegistryEvent


@dataclass(frozen=True, slots=True)
class Page:
    """What was read.

    Attributes:
        events: in the order in which they were emitted.
        place: what to read on from, once the events are stored; store both at once.
        forget_from: what was read of this block and later ones no longer holds; None: all holds.
        at_end: nothing that counts is left to read now.
    """

    events: tuple[Emitted, ...]
    place: Place
    forget_from: int | None
    at_end: bool


class EventReader:
    """Reads on from a place.

    Args:
        nodes: the endpoints.
        contracts: whose events.
        range_blocks: blocks a question at most.
    """

    def __init__(
        self, nodes: Nodes, contracts: Sequence[Address], *, range_blocks: int = RANGE_BLOCKS
    ) -> None:
        if range_blocks < 1:
            raise BadInput(f"range_blocks: {range_blocks}; allowed are 1 and more")
        self._nodes = nodes
        self._contracts = tuple(contracts)
        self._most = range_blocks
        self._range = range_blocks
        self._refused: int | None = None
        """Blocks that were too many."""
        self._since = 0
        """Ranges that were read since."""

    async def read(self, place: Place, *, until_ns: int) -> Page:
        """One range, or the news that what was read before no longer holds.

        A range that a node does not answer is halved and asked again, until `until_ns`.

        Raises:
            NotKnown: an endpoint failed or was late, they differ, or the chain changed meanwhile; nothing is lost,
                read again from the same place.
            PeerFault: an event's values are malformed.
        """
        newest = await self._nodes.counting_block(until_ns=until_ns)
        standing = await self._standing(place, until_ns=until_ns)
        if standing != place:
            return Page((), standing, standing.next, at_end=False)
        first = place.next
        if first > newest.number:
            return Page((), place, None, at_end=True)
        begun, last, logged = await self._logs(first, newest, until_ns=until_ns)
        end = await self._find(last, until_ns=until_ns)
        if (
            begun is None
            or end is None
            or begun.hash != end.hash
            or await self._standing(place, until_ns=until_ns) != place
            or any(entry.block_hash != end.hash for entry in logged if entry.block_number == last)
        ):
            raise NotKnown("the chain changed while its events were read")
        return Page(tuple(_emitted(logged)), _advanced(place, end), None, at_end=last == newest.number)

    async def _logs(
        self, first: int, newest: Block, *, until_ns: int
    ) -> tuple[Block | None, int, tuple[Logged, ...]]:
        """As many blocks as the node answers for: the last as it was before, its number, and what was emitted."""
        while True:
            last = min(newest.number, first + self._range - 1)
            begun = newest if last == newest.number else await self._find(last, until_ns=until_ns)
            try:
                logged = await self._nodes.same(
                    f"events of blocks {first} to {last}",
                    partial(Endpoint.logs, addresses=self._contracts, first=first, last=last),
                    until_ns=until_ns,
                )
            except NotKnown as error:
                self._shrink(last - first + 1, error)
                continue
            self._grow()
            return begun, last, logged

    def _shrink(self, asked: int, error: NotKnown) -> None:
        """Ask for less from now on.

        Raises:
            NotKnown: `error`: it was not too much for the node, which is down, late, refuses a single block, or
                differs from another.
        """
        cause = error.__cause__
        if not isinstance(cause, NodeError) or not cause.sent:
            raise error
        if asked == 1:
            self._refused = None  # it was not the size
            raise error
        self._refused, self._range, self._since = asked, asked // 2, 0

    def _grow(self) -> None:
        self._since += 1
        if self._since >= TRY_AGAIN:
            self._refused = None
        doubled = min(self._most, self._range * 2)
        if self._refused is None or doubled < self._refused:
            self._range = doubled

    async def _standing(self, place: Place, *, until_ns: int) -> Place:
        """The newest part of `place` that is still on the chain."""
        for index, (number, hash_) in enumerate(place.marks):
            block = await self._find(number, until_ns=until_ns)
            if block is not None and block.hash == hash_:
                return Place(place.first, place.marks[index:])
        return Place(place.first)

    async def _find(self, number: int, *, until_ns: int) -> Block | None:
        return await self._nodes.same(f"block {number}", lambda node: node.block(number), until_ns=until_ns)


def _emitted(logged: Sequence[Logged]) -> list[Emitted]:
    found = []
    for entry in sorted(logged, key=lambda entry: (entry.block_number, entry.index)):
        event = event_of(entry.log)
        if event is not None:
            found.append(Emitted(entry.block_number, entry.index, entry.transaction, event))
    return found


def _advanced(place: Place, end: Block) -> Place:
    """The place after `end`: of the older marks those are kept that are each about twice as far back as the last."""
    kept = [(end.number, end.hash)]
    reach = 1
    for number, hash_ in place.marks:
        if end.number - number >= reach:
            kept.append((number, hash_))
            reach = 2 * (end.number - number)
    return Place(place.first, tuple(kept[:MARKS]))
