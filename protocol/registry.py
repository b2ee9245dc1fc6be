"""The registry: who provides, at which prices. The rules of the Registry contract, as a pure function.

Pricing tables are immutable and numbered from 1; whoever registers one is subscribed to it. A table without
subscribers is not listed and stays readable by its id. A provider's record is a content id; registering
again replaces it and keeps the provider's place. Of one that leaves, the last listed takes the place, so that
nothing has to be moved that costs more the longer the list is. Subscriptions outlive a deregistration: they are
found again on return. Pages are windows of places or ids: no number of entries makes one too large to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from protocol.abi import Function
from protocol.errors import (
    AlreadySubscribed,
    BadInput,
    EmptyCid,
    NotRegistered,
    NotSubscribed,
    UnknownTable,
)
from protocol.pricing import MAX_PRICE, PriceTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.units import Address, Cid


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class RegisterProvider:
    """Be listed with the record `cid`, or replace it."""

    cid: Cid


@dataclass(frozen=True, slots=True)
class DeregisterProvider:
    """Be listed no more."""


@dataclass(frozen=True, slots=True)
class RegisterPricingTable:
    """Publish a table and subscribe the caller to it; `prices` in the contract's order: cpu, ram, storage, egress, ingress."""

    token: Address
    prices: tuple[int, int, int, int, int]
    cpu_model: str
    tee_type: str

    def __post_init__(self) -> None:
        if len(self.token) != 20:
            raise BadInput(f"token: {len(self.token)} bytes; an address has 20")
        if not all(0 <= price <= MAX_PRICE for price in self.prices):
            raise BadInput(f"prices: {self.prices}; allowed are 0 to 2**256 - 1")

    @classmethod
    def of(cls, table: PriceTable) -> RegisterPricingTable:
        """The command that publishes the five prices of `table`; its extras go into the provider's record."""
        return cls(table.token, table.five, table.cpu_model, table.tee_type)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Offer the prices of a table."""

    table_id: int


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Offer them no more."""

    table_id: int


Command = RegisterProvider | DeregisterProvider | RegisterPricingTable | Subscribe | Unsubscribe

FUNCTIONS: Final[Mapping[type[Command], Function]] = {
    RegisterProvider: Function("registerProvider", (("cid", "cid", "string"),)),
    DeregisterProvider: Function("deregisterProvider", ()),
    RegisterPricingTable: Function(
        "registerPricingTable",
        (
            ("token", "token", "address"),
            ("prices", "prices", "uint256[5]"),
            ("cpu_model", "cpumodel", "string"),
            ("tee_type", "teeType", "string"),
        ),
    ),
    Subscribe: Function("subscribe", (("table_id", "id", "uint256"),)),
    Unsubscribe: Function("unsubscribe", (("table_id", "id", "uint256"),)),
}
"""Each command's function in the contract."""


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class ProviderRegistered:
    """A provider is listed, or replaced its record."""

    provider: Address
    cid: Cid


@dataclass(frozen=True, slots=True)
class ProviderDeregistered:
    """A provider is listed no more."""

    provider: Address


@dataclass(frozen=True, slots=True)
class NewPricingTable:
    """A table was published; `prices` in the contract's order."""

    token: Address
    id: int
    prices: tuple[int, int, int, int, int]
    cpu_model: str
    tee_type: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A provider offers the prices of a table."""

    id: int
    provider: Address


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A provider offers the prices of a table no more."""

    id: int
    provider: Address


RegistryEvent = ProviderRegistered | ProviderDeregistered | NewPricingTable | Subscribed | Unsubscribed


# ---------------------------------------------------------------- the state and its rules


@dataclass(frozen=True, slots=True)
class Registry:
    """What the contract holds; a value: `apply` returns another. Never change the mappings.

    Attributes:
        providers: each listed provider's record, in their order: a new one comes last, and the last takes the
            place of one that leaves.
        published: every table ever, by id.
        subscriptions: the ids that each subscriber offers, ascending; without empty ones.
        subscribers: how many offer each table, by id, ascending; without zeros.
    """

    providers: Mapping[Address, Cid] = field(default_factory=dict)
    published: Mapping[int, PriceTable] = field(default_factory=dict)
    subscriptions: Mapping[Address, tuple[int, ...]] = field(default_factory=dict)
    subscribers: Mapping[int, int] = field(default_factory=dict)

    def is_subscribed(self, provider: Address, table_id: int) -> bool:
        """Whether `provider` offers the table."""
        return table_id in self.subscriptions.get(provider, ())

    def table(self, table_id: int) -> PriceTable:
        """A table, with subscribers or without.

        Raises:
            UnknownTable: there is none with this id.
        """
        try:
            return self.published[table_id]
        except KeyError:
            raise UnknownTable(f"table {table_id}; there are {len(self.published)}, from 1") from None

    def provider_page(self, start: int, count: int) -> tuple[tuple[Address, Cid], ...]:
        """Listed providers and their records.

        Args:
            start: how many to pass over, from 0.
            count: at most so many, from 1; fewer are returned only at the end.
        """
        _check_page(start, count)
        return tuple(self.providers.items())[start : start + count]

    def table_page(self, first_id: int, count: int) -> tuple[tuple[int, PriceTable], ...]:
        """Tables that have subscribers, among `count` ids from `first_id` on.

        Args:
            first_id: the smallest id to look at, from 0.
            count: how many ids to look at, from 1; the next page begins at `first_id + count`.
        """
        _check_page(first_id, count)
        window = range(first_id, min(first_id + count, len(self.published) + 1))
        return tuple((i, self.published[i]) for i in window if i in self.subscribers)


def apply(
    registry: Registry, command: Command, *, caller: Address
) -> tuple[Registry, tuple[RegistryEvent, ...]]:
    """What `command` from `caller` makes of `registry`, and what is emitted. Pure.

    Raises:
        RegistryError: the contract refuses; its class is the contract's error.
    """
    match command:
        case RegisterProvider(cid):
            if not cid:
                raise EmptyCid("a provider's record has a content id")
            listed = replace(registry, providers={**registry.providers, caller: cid})
            return listed, (ProviderRegistered(caller, cid),)
        case DeregisterProvider():
            if caller not in registry.providers:
                raise NotRegistered(f"0x{caller.hex()} is not listed")
            return _without(registry, caller), (ProviderDeregistered(caller),)
        case RegisterPricingTable(token, prices, cpu_model, tee_type):
            table_id = len(registry.published) + 1
            table = PriceTable(
                token=token,
                cpu=prices[0],
                ram=prices[1],
                storage=prices[2],
                egress=prices[3],
                ingress=prices[4],
                cpu_model=cpu_model,
                tee_type=tee_type,
            )
            grown = replace(registry, published={**registry.published, table_id: table})
            grown, events = _subscribe(grown, table_id, caller)
            return grown, (NewPricingTable(token, table_id, prices, cpu_model, tee_type), *events)
        case Subscribe(table_id):
            registry.table(table_id)
            return _subscribe(registry, table_id, caller)
        case Unsubscribe(table_id):
            registry.table(table_id)
            return _unsubscribe(registry, table_id, caller)
        case _:
            assert_never(command)


def _without(registry: Registry, leaving: Address) -> Registry:
    """`registry` without that provider, whose place the last one takes."""
    listed = list(registry.providers.items())
    last = listed.pop()
    rest = [last if entry[0] == leaving else entry for entry in listed]
    return replace(registry, providers=dict(rest))


def _subscribe(
    registry: Registry, table_id: int, caller: Address
) -> tuple[Registry, tuple[RegistryEvent, ...]]:
    held = registry.subscriptions.get(caller, ())
    if table_id in held:
        raise AlreadySubscribed(f"0x{caller.hex()} offers table {table_id} already")
    subscriptions = {**registry.subscriptions, caller: tuple(sorted((*held, table_id)))}
    subscribers = {**registry.subscribers, table_id: registry.subscribers.get(table_id, 0) + 1}
    changed = replace(registry, subscriptions=subscriptions, subscribers=subscribers)
    return changed, (Subscribed(table_id, caller),)


def _unsubscribe(
    registry: Registry, table_id: int, caller: Address
) -> tuple[Registry, tuple[RegistryEvent, ...]]:
    held = registry.subscriptions.get(caller, ())
    if table_id not in held:
        raise NotSubscribed(f"0x{caller.hex()} does not offer table {table_id}")
    subscriptions = {**registry.subscriptions, caller: tuple(i for i in held if i != table_id)}
    subscribers = {**registry.subscribers, table_id: registry.subscribers[table_id] - 1}
    changed = replace(
        registry,
        subscriptions={a: ids for a, ids in subscriptions.items() if ids},
        subscribers={i: n for i, n in subscribers.items() if n},
    )
    return changed, (Unsubscribed(table_id, caller),)


def _check_page(start: int, count: int) -> None:
    if start < 0 or count < 1:
        raise BadInput(f"page from {start}, {count} long; allowed are from 0, and 1 or longer")
