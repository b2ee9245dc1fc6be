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
from protocol.policies.asking import A_TABLE, A_WAIT, ask, is_table, is_wait
from protocol.policies.price import Rival, Seen, Shop
from protocol.ports import NoAnswer, Peer, Put, TxConfirmed, Unknown
from protocol.pricing import PriceTable
from protocol.record import ProviderRecord, write_record
from protocol.registry import NewPricingTable, RegisterPricingTable, RegisterProvider, Unsubscribe
from protocol.sender import Sender, pause
from protocol.units import NS_PER_MS, NS_PER_S, PeerId, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.hosting import HostedPod, ProviderPolicies, ProviderSettings
    from protocol.meters import Meters
    from protocol.policies import Chance
    from protocol.ports import Cluster, Listing, Market, World
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
        world, cluster: its ports.
        settings, policies: as the person chose.
        sender: sends its transactions.
        pods, meters: its pods, and what they have used; for the price policy.
        chance: its stream for prices.
        sealer: how seals are made.
        sealing_key: 32 bytes, the private key that bundles are sealed for.
    """

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        settings: ProviderSettings,
        policies: ProviderPolicies,
        sender: Sender,
        pods: Mapping[str, HostedPod],
        meters: Meters,
        *,
        chance: Chance,
        sealer: Sealer,
        sealing_key: bytes,
    ) -> None:
        self.world = world
        self.settings = settings
        self.policies = policies
        self._sender = sender
        self._sealer = sealer
        self._sealing_key = sealing_key
        self._cluster = cluster
        self._pods = pods
        self._meters = meters
        self._chance = chance
        self._market: Market | None = None
        self._read_ns = 0
        self._used: tuple[int, Mapping[Resource, int]] | None = None
        terms = world.chain.terms
        self._registry_domain = Domain(terms.chain_id, terms.registry)
        self._opened_ns = world.clock.now_ns()
        self.keys = self._make_keys()
        self.tables: dict[int, PriceTable] = {}
        self.listed = 0
        self.taken = 0  # pods, at the table that is listed

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
                    if self.tables or await self._publish_table(await self._wanted(self.settings.prices)):
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
        self.listed, self.taken = table_id, 0
        await self.world.store.commit([Put(TABLES, str(table_id), prices.to_record())])
        self.world.trace.emit(Event(Happened.PRICE_CHANGED, amount=table_id))
        if old:
            await self._sender.execute(Unsubscribe(old))
        return True

    async def keep_prices(self) -> None:
        """Think about prices as often as the policy wants."""
        price = self.policies.price
        while every_ns := ask(self.world, "price", price, "look_again_ns", ok=is_wait, allowed=A_WAIT):
            await pause(self.world, every_ns)
            listed = self.tables.get(self.listed, self.settings.prices)
            wanted = await self._wanted(listed)
            if wanted != listed:
                await self._publish_table(wanted)

    async def _wanted(self, listed: PriceTable) -> PriceTable:
        """What the policy wants to list; what the record says of GPUs and addresses stays."""
        shop, price = await self._shop(listed), self.policies.price
        table: PriceTable = ask(
            self.world,
            "price",
            price,
            "table",
            shop,
            ok=lambda one: is_table(one, shop.base),
            allowed=A_TABLE,
        )
        return table.with_extras(self.settings.prices.extras)

    async def _shop(self, listed: PriceTable) -> Shop:
        """What the price policy is told."""
        market = await self._look_around() if getattr(self.policies.price, "reads_market", True) else None
        rates = await self.world.rates.quote(deadline_ns=self._deadline())
        free = await self._cluster.capacity(deadline_ns=self._deadline())
        now_ns = self.world.clock.now_ns()
        return Shop(
            listed=listed,
            base=self.settings.prices,
            table_id=self.listed,
            taken=self.taken,
            now_ns=now_ns,
            running_ns=now_ns - self._opened_ns if self.tables else 0,
            pods=len(self._pods),
            whole=self.settings.whole,
            free=None if isinstance(free, Unknown) else free,
            used=self._mean_use(),
            costs=self.settings.costs,
            rates=None if isinstance(rates, Unknown) else rates,
            market=None if market is None else self._seen(market, now_ns),
            chance=self._chance,
        )

    async def _look_around(self) -> Market | None:
        """The market as last read, read anew when that is too old; an older one while the chain does not answer."""
        if self._market is None or self.world.clock.now_ns() - self._read_ns >= self.settings.market_age_ns:
            market = await self.world.chain.market(deadline_ns=self._deadline())
            if not isinstance(market, Unknown):
                self._market, self._read_ns = market, self.world.clock.now_ns()
        return self._market

    def _seen(self, market: Market, now_ns: int) -> Seen:
        rivals = tuple(
            Rival(x.provider, {i: market.tables[i] for i in x.tables if i in market.tables})
            for x in market.listings
            if x.provider != self.world.signer.address
        )
        return Seen(now_ns - market.block.time_s * NS_PER_S, rivals)

    def _mean_use(self) -> Mapping[Resource, float]:
        """What pods used since this was asked before, by resource [base units]."""
        before, now = self._used, self._meters.used()
        self._used = now
        if before is None or now[0] <= before[0]:
            return {}
        for_ms = (now[0] - max(before[0], self._opened_ns)) / NS_PER_MS
        return {
            resource: (amount - before[1].get(resource, 0)) / for_ms for resource, amount in now[1].items()
        }

    def _deadline(self) -> int:
        return self.world.clock.now_ns() + self.settings.port_timeout_ns
