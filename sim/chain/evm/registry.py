"""The Registry's slots as the core's value.

A string of up to 31 bytes lies in its slot with twice its length in the lowest byte; a longer one has twice its
length plus 1 there and lies from keccak(slot) on. An OpenZeppelin `EnumerableSet` is an array of values, and a
mapping from each value to its position, which nobody has to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import contracts
from protocol.pricing import PriceTable
from protocol.registry import DeregisterProvider, Registry, Subscribe, Unsubscribe
from protocol.units import Address, Cid
from sim.chain.evm.layout import hashed, part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from protocol.registry import Command

_REGISTRY: Final = contracts.artifact("Registry")
COUNT: Final = _REGISTRY.variables["tableCount"][0]
PROVIDERS: Final = _REGISTRY.variables["_providers"][0]
_POSITIONS: Final = _REGISTRY.structs["EnumerableSet.Set"]["_positions"][0]
_CIDS: Final = _REGISTRY.variables["_cids"][0]
_TABLES: Final = _REGISTRY.variables["_tables"][0]
_SUBSCRIPTIONS: Final = _REGISTRY.variables["_subscriptions"][0]
_STORED: Final = _REGISTRY.structs["Registry.Stored"]


def likely(command: Command, sender: Address) -> list[int]:
    """Slots that a command is sure to read, or nearly: a first guess, to be corrected."""
    slots = [COUNT, PROVIDERS]
    match command:
        case DeregisterProvider():
            slots.append(hashed(sender, PROVIDERS + _POSITIONS))
        case Subscribe(table_id) | Unsubscribe(table_id):
            slots.append(hashed(table_id, hashed(sender, _SUBSCRIPTIONS) + _POSITIONS))
        case _:
            pass
    return slots


def listed(read: Callable[[int], int], subscribers: Iterable[Address]) -> Registry:
    """The registry.

    Args:
        read: what a slot of the contract holds.
        subscribers: whoever may have subscribed to a table; that a mapping does not tell.
    """
    held = {who: _set(read, hashed(who, _SUBSCRIPTIONS)) for who in subscribers}
    stored = {table_id: hashed(table_id, _TABLES) for table_id in range(1, read(COUNT) + 1)}
    counts = {table_id: part(read(slot), _STORED["subscribers"]) for table_id, slot in stored.items()}
    providers = [Address(word.to_bytes(32, "big")[12:]) for word in _set(read, PROVIDERS)]
    return Registry(
        providers={who: Cid(_text(read, hashed(who, _CIDS))) for who in providers},
        published={table_id: _table(read, slot) for table_id, slot in stored.items()},
        subscriptions={who: tuple(sorted(ids)) for who, ids in held.items() if ids},
        subscribers={table_id: count for table_id, count in counts.items() if count},
    )


def _table(read: Callable[[int], int], slot: int) -> PriceTable:
    prices = slot + _STORED["prices"][0]
    cpu, ram, storage, egress, ingress = (read(prices + i) for i in range(5))
    return PriceTable(
        token=Address(part(read(slot), _STORED["token"]).to_bytes(20, "big")),
        cpu=cpu,
        ram=ram,
        storage=storage,
        egress=egress,
        ingress=ingress,
        cpu_model=_text(read, slot + _STORED["cpumodel"][0]),
        tee_type=_text(read, slot + _STORED["teeType"][0]),
    )


def _set(read: Callable[[int], int], slot: int) -> list[int]:
    """The values of a set, in its order."""
    length = read(slot)
    first = hashed(slot) if length else 0
    return [read(first + i) for i in range(length)]


def _text(read: Callable[[int], int], slot: int) -> str:
    head = read(slot)
    if head & 1 == 0:
        return head.to_bytes(32, "big")[: (head & 0xFF) // 2].decode()
    length, first = head // 2, hashed(slot)
    words = b"".join(read(first + i).to_bytes(32, "big") for i in range(-(-length // 32)))
    return words[:length].decode()
