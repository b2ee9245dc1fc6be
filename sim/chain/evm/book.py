"""The Payment contract's slots, for observers. See `protocol.payment.BookView`.

A mapping does not tell its keys: what is listed is what was ever asked for, which is whatever a command named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.payment import BookView
from protocol.token import TokenView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from protocol.payment import Channel, ChannelKey
    from protocol.units import Address
    from sim.chain.evm.layout import Layout
    from sim.chain.evm.storage import Storage


class EvmToken:
    """See `TokenView`."""

    def __init__(self, storage: Storage, layout: Layout) -> None:
        self._storage = storage
        self._layout = layout

    @property
    def supply(self) -> int:
        """See `TokenView.supply`."""
        return self._storage.get(self._layout.supply())

    def balance(self, owner: Address) -> int:
        """See `TokenView.balance`."""
        return self._storage.get(self._layout.balance(owner))

    def balances(self) -> Mapping[Address, int]:
        """See `TokenView.balances`."""
        get = self._storage.get
        return {owner: held for owner, place in self._layout.owners.items() if (held := get(place))}

    def allowance(self, owner: Address, spender: Address) -> int:
        """See `TokenView.allowance`."""
        return self._storage.get(self._layout.allowance(owner, spender))


class EvmBook:
    """See `BookView`."""

    def __init__(self, storage: Storage, layout: Layout, payment: Address) -> None:
        self.token: TokenView = EvmToken(storage, layout)
        self.payment = payment
        self._read = storage.get
        self._layout = layout

    def channel(self, key: ChannelKey) -> Channel | None:
        """See `BookView.channel`."""
        record = self.record(key)
        return record if record is not None and record.exists else None

    def record(self, key: ChannelKey) -> Channel | None:
        """See `BookView.record`."""
        return self._layout.record(self._read, key)

    def life(self, key: ChannelKey) -> int:
        """See `BookView.life`."""
        return self._layout.life(self._read, key)

    def records(self) -> Iterator[tuple[ChannelKey, Channel]]:
        """See `BookView.records`; in the order in which they were first asked for."""
        for key in tuple(self._layout.keys):
            record = self.record(key)
            if record is not None:
                yield key, record


if TYPE_CHECKING:
    _is_a_token: type[TokenView] = EvmToken
    _is_a_view: type[BookView] = EvmBook
