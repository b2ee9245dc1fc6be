"""Reads at one block that counts: channels, the market, funds.

Each takes the block by its hash, from every endpoint, and compares. The registry is open to strangers, who may store
what makes a page too large to be read: pages then shrink to one entry, and an entry that cannot be read is left out.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from live.chain.rpc import CallReverted
from protocol import views
from protocol.ports import Block, ChannelsAt, Funds, Listing, Market

if TYPE_CHECKING:
    from live.chain.nodes import Nodes
    from protocol.abi import View
    from protocol.payment import Channel, ChannelKey
    from protocol.ports import ChainTerms
    from protocol.units import Address

log = logging.getLogger(__name__)

KEYS: Final = 1_000
"""Channels a call: 9,050 gas each, of the 50 million that nodes give a call (geth's `rpc.gascap`), and 160 KB back."""
PROVIDERS: Final = 100
TABLES: Final = 200
"""Entries a page."""
SUBSCRIPTIONS: Final = 64
"""Tables a provider in its entry of a page; the rest is read apart."""


class Reader:
    """Reads the two contracts and the token.

    Args:
        nodes: the endpoints.
        terms: what is pinned about the chain.
    """

    def __init__(self, nodes: Nodes, terms: ChainTerms) -> None:
        self._nodes = nodes
        self._terms = terms

    async def channels(self, keys: Sequence[ChannelKey], *, until_ns: int) -> ChannelsAt:
        """See `Chain.channels`.

        Raises:
            NotKnown: see `Nodes.same`.
            CallReverted, PeerFault: the contract is not what it should be.
        """
        block = await self._nodes.counting_block(until_ns=until_ns)
        return ChannelsAt(block, await self.channels_at(block, keys, until_ns=until_ns))

    async def channels_at(
        self, block: Block, keys: Sequence[ChannelKey], *, until_ns: int
    ) -> dict[ChannelKey, Channel | None]:
        """The channels of `keys` at a block; raises as `channels`."""
        found = {}
        for begin in range(0, len(keys), KEYS):
            batch = keys[begin : begin + KEYS]
            (records,) = await self._nodes.call(
                views.CHANNELS_OF, self._terms.payment, block, batch, until_ns=until_ns
            )
            found.update({key: views.channel_of(r) for key, r in zip(batch, records, strict=True)})
        return found

    async def funds(self, owner: Address, *, until_ns: int) -> Funds:
        """See `Chain.funds`; raises as `channels`."""
        block = await self._nodes.counting_block(until_ns=until_ns)
        (tokens,) = await self._nodes.call(
            views.BALANCE_OF, self._terms.token, block, owner, until_ns=until_ns
        )
        gas_wei = await self._nodes.same(
            "a balance", lambda node: node.balance(owner, block), until_ns=until_ns
        )
        return Funds(block, tokens, gas_wei)

    async def market(self, *, until_ns: int) -> Market:
        """See `Chain.market`; raises as `channels`."""
        block = await self._nodes.counting_block(until_ns=until_ns)
        listings = []

        async def providers(start: int, count: int) -> Sequence[Any]:
            return await self._page(views.PROVIDERS, block, start, count, SUBSCRIPTIONS, until_ns=until_ns)

        async def tables(start: int, count: int) -> Sequence[Any]:
            return await self._page(views.TABLES, block, start, count, until_ns=until_ns)

        listed = await self._count(views.PROVIDER_COUNT, block, until_ns=until_ns)
        async for provider, cid, table_count, ids in _pages("provider", providers, 0, listed, PROVIDERS):
            if table_count > len(ids):
                ids = await self._subscriptions(block, provider, table_count, until_ns=until_ns)
            listings.append(Listing(provider, cid, tuple(sorted(ids))))
        published = await self._count(views.TABLE_COUNT, block, until_ns=until_ns)
        priced = {}
        async for entry in _pages("table", tables, 1, published + 1, TABLES):
            table_id, table = views.table_of(entry)
            priced[table_id] = table
        return Market(block, tuple(listings), priced)

    async def _subscriptions(
        self, block: Block, provider: Address, count: int, *, until_ns: int
    ) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            page = await self._page(
                views.SUBSCRIPTIONS, block, provider, len(found), 1_000, until_ns=until_ns
            )
            if not page:
                break
            found += page
        return found

    async def _count(self, view: View, block: Block, *, until_ns: int) -> int:
        (count,) = await self._nodes.call(view, self._terms.registry, block, until_ns=until_ns)
        return int(count)

    async def _page(self, view: View, block: Block, *values: Any, until_ns: int) -> Sequence[Any]:
        (page,) = await self._nodes.call(view, self._terms.registry, block, *values, until_ns=until_ns)
        entries: Sequence[Any] = page
        return entries


async def _pages(
    what: str, read: Callable[[int, int], Any], first: int, end: int, count: int
) -> AsyncIterator[Any]:
    """Every entry of the windows from `first` to `end`; a window that is refused is halved, one entry passed over."""
    at = first
    while at < end:
        size = min(count, end - at)
        try:
            for entry in await read(at, size):
                yield entry
        except CallReverted:
            if size == 1:
                log.warning("%s %d of the registry cannot be read: left out", what, at)
                at += 1
                continue
            count = max(1, size // 2)
            continue
        at += size
