"""How a provider is found: its keys, its pricing tables on the chain, its signed record by content id.

The other side of step 2. Prices that the policy changes become a new table; pods that run keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocol.auth import ProviderKeys
from protocol.eip712 import Domain
from protocol.events import Event, Happened
from protocol.keccak import keccak256
from protocol.policies.price import Shop
from protocol.ports import NoAnswer, Peer, Put, TxConfirmed, Unknown
from protocol.pricing import PriceTable
from protocol.record import ProviderRecord, write_record
from protocol.registry import NewPricingTable, RegisterPricingTable, RegisterProvider, Unsubscribe
from protocol.sender import Sender, pause
from protocol.units import NS_PER_S, PeerId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.hosting import HostedPod, ProviderPolicies, ProviderSettings
    from protocol.ports import Listing, Market, World
    from protocol.sealing import Sealer
    from protocol.units import Cid

KEYS_LAST_S: Final = 365 * 24 * 3600
TABLES: Final = "tables"


@dataclass(frozen=True, slots=True)
class Keys:
    """The provider's keys as they are signed."""

    signed: ProviderKeys
    signature: bytes
    hash: bytes


class Storefront:
    """One provider, as publishers find it.

    Args:
        world: its ports.
        settings, policies: as the person chose.
        sender: sends its transactions.
        pods: its pods, which the price policy may count.
        sealer: how seals are made.
        sealing_key: 32 bytes, the private key that bundles are sealed for.
    """

    def __init__(
        self,
        world: World,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        sender: Sender,
        pods: Mapping[str, HostedPod],
        *,
        sealer: Sealer,
        sealing_key: bytes,
    ) -> None:
        self.world = world
        self.settings = settings
        self.policies = policies
        self._sender = sender
        self._sealer = sealer
        self._sealing_key = sealing_key
        self._pods = pods
        terms = world.chain.terms
        self._registry_domain = Domain(terms.chain_id, terms.registry)
        self._opened_ns = world.clock.now_ns()
        self.keys = self._make_keys()
        self.tables: dict[int, PriceTable] = {}
        self.listed = 0

    async def recover(self) -> None:
        """Take up the tables that an earlier incarnation published."""
        stored = await self.world.store.scan(TABLES)
        self.tables = {int(i): PriceTable.from_record(r) for i, r in stored.items()}

    def _make_keys(self) -> Keys:
        now_s = self.world.clock.now_ns() // NS_PER_S
        begin_s = now_s - now_s % KEYS_LAST_S  # the same keys after a crash
        signed = ProviderKeys(
            self.world.signer.address,
            keccak256(self.world.network.peer_id.encode()),
            self._sealer.public_key(self._sealing_key),
            begin_s,
            begin_s + 2 * KEYS_LAST_S,
        )
        digest = signed.digest(self._registry_domain)
        return Keys(signed, self.world.signer.sign(digest), digest)

    async def open(self) -> None:
        """The other side of step 2: prices on the chain, a signed record by content id, both in the registry."""
        self.listed = max(self.tables, default=0)  # after a crash: sell on while the chain is asked
        cid = await self._publish_record()
        while True:
            # First what an earlier incarnation sent, then what the chain says, then what is missing there.
            if await self._sender.quiet() and not isinstance(
                market := await self.world.chain.market(deadline_ns=self._deadline()), Unknown
            ):
                listing = next((x for x in market.listings if x.provider == self.world.signer.address), None)
                if listing is None or listing.record != cid:
                    if isinstance(await self._sender.execute(RegisterProvider(cid)), TxConfirmed):
                        continue
                else:
                    await self._adopt_tables(market, listing)
                    if self.tables or await self._publish_table(self.settings.prices):
                        break
            await pause(self.world, self.settings.retry_ns)
        self.listed = max(self.tables)

    async def _publish_record(self) -> Cid:
        keys, settings = self.keys, self.settings
        record = ProviderRecord(
            keys=keys.signed,
            peer=Peer(PeerId(self.world.network.peer_id), settings.multiaddrs),
            regions=settings.regions,
            assurance=settings.assurance,
            evidence_kinds=settings.evidence_kinds,
            extra_prices=settings.prices.extras,
            largest=settings.largest,
        )
        content = write_record(record, keys.signature)
        while True:
            cid = await self.world.content.put(content, deadline_ns=self._deadline())
            if not isinstance(cid, NoAnswer):
                return cid
            await pause(self.world, self.settings.retry_ns)

    async def _adopt_tables(self, market: Market, listing: Listing) -> None:
        """Take up our tables that the chain has and our store lost, and leave all but the newest.

        A crash came between the chain and the store, or before an old table was left.
        """
        for table_id in listing.tables:
            if table_id not in self.tables:
                prices = market.tables[table_id].with_extras(self.settings.prices.extras)
                self.tables[table_id] = prices
                await self.world.store.commit([Put(TABLES, str(table_id), prices.to_record())])
        for table_id in listing.tables[:-1]:
            await self._sender.execute(Unsubscribe(table_id))

    async def _publish_table(self, prices: PriceTable) -> bool:
        """Register a new table and leave the old ones; running pods keep theirs."""
        outcome = await self._sender.execute(RegisterPricingTable.of(prices))
        if not isinstance(outcome, TxConfirmed):
            return False
        table_id: int = next(e.id for e in outcome.events if isinstance(e, NewPricingTable))
        old = self.listed
        self.tables[table_id] = prices
        self.listed = table_id
        await self.world.store.commit([Put(TABLES, str(table_id), prices.to_record())])
        self.world.trace.emit(Event(Happened.PRICE_CHANGED, amount=table_id))
        if old:
            await self._sender.execute(Unsubscribe(old))
        return True

    async def keep_prices(self) -> None:
        """Think about prices as often as the policy wants."""
        while (every_ns := self.policies.price.look_again_ns()) is not None:
            await pause(self.world, every_ns)
            listed = self.tables.get(self.listed, self.settings.prices)
            shop = Shop(
                listed=listed,
                base=self.settings.prices,
                running_ns=self.world.clock.now_ns() - self._opened_ns,
                pods=len(self._pods),
            )
            wanted = self.policies.price.table(shop)
            if wanted != listed:
                await self._publish_table(wanted)

    def _deadline(self) -> int:
        return self.world.clock.now_ns() + self.settings.port_timeout_ns
