"""Which slots belong to what, as Solidity lays state out; where variables begin is the compiler's own account.

A mapping's value lies at keccak(key ‖ the mapping's slot), a dynamic array's entries from keccak(its slot) on.
Hashes are kept: a run asks for the same few channels and accounts again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import contracts
from protocol.keccak import keccak256
from protocol.payment import (
    ZERO_ADDRESS,
    ChannelKey,
    CloseChannel,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    Withdraw,
    WithdrawMany,
    WithdrawUnlocked,
    WithdrawUpTo,
    keys_of,
)
from protocol.ports import Approve
from protocol.views import channel_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts import Place as Member
    from protocol.payment import Channel, Command
    from protocol.units import Address
    from sim.chain.evm.machine import Place

_PAYMENT: Final = contracts.artifact("Payment")
_TOKEN: Final = contracts.artifact("TestToken")

CHANNELS: Final = _PAYMENT.variables["_channels"][0]
_CHANNEL: Final = _PAYMENT.structs["Payment.Channel"]
_ORDER: Final = [_CHANNEL[name] for name in ("invested", "withdrawn", "unlockTime", "unlockedAt", "life")]
SLOTS: Final = 1 + max(slot for slot, _, _ in _ORDER)
"""Slots of a channel."""
BALANCES: Final = _TOKEN.variables["_balances"][0]
ALLOWANCES: Final = _TOKEN.variables["_allowances"][0]
SUPPLY: Final = _TOKEN.variables["_totalSupply"][0]


def hashed(*words: bytes | int) -> int:
    """The slot that several words hash to; what is shorter than 32 bytes is padded on its left."""
    return int.from_bytes(
        keccak256(
            b"".join(
                word.rjust(32, b"\0") if isinstance(word, bytes) else word.to_bytes(32, "big")
                for word in words
            )
        ),
        "big",
    )


def part(word: int, member: Member) -> int:
    """What a member of a slot's word is."""
    _, offset, size = member
    return word >> 8 * offset & (1 << 8 * size) - 1


class Layout:
    """The slots of Payment and its token.

    Args:
        payment: Payment's address.
        token: the token's.

    Attributes:
        keys: the first slot of each channel that was ever asked for, in the order in which they were.
        owners: the slot of each balance that was.
    """

    def __init__(self, payment: Address, token: Address) -> None:
        self.keys: dict[ChannelKey, int] = {}
        self.owners: dict[Address, Place] = {}
        self._payment = payment
        self._token = token
        self._channels: dict[ChannelKey, tuple[Place, ...]] = {}
        self._pairs: dict[tuple[Address, Address], int] = {}
        self._allowances: dict[tuple[Address, Address], Place] = {}

    def channel(self, key: ChannelKey) -> tuple[Place, ...]:
        """The slots of a channel."""
        places = self._channels.get(key)
        if places is None:
            pair = key.publisher, key.provider
            if (inner := self._pairs.get(pair)) is None:
                inner = self._pairs[pair] = hashed(key.provider, hashed(key.publisher, CHANNELS))
            first = self.keys[key] = hashed(key.pod_id, inner)
            places = self._channels[key] = tuple((self._payment, first + i) for i in range(SLOTS))
        return places

    def balance(self, owner: Address) -> Place:
        """The slot of what `owner` holds."""
        place = self.owners.get(owner)
        if place is None:
            place = self.owners[owner] = (self._token, hashed(owner, BALANCES))
        return place

    def allowance(self, owner: Address, spender: Address) -> Place:
        """The slot of what `spender` may pull from `owner`."""
        pair = owner, spender
        place = self._allowances.get(pair)
        if place is None:
            place = self._allowances[pair] = (self._token, hashed(spender, hashed(owner, ALLOWANCES)))
        return place

    def supply(self) -> Place:
        """The slot of how many tokens there are."""
        return self._token, SUPPLY

    def touched(self, command: Command | Approve, sender: Address) -> list[Place]:
        """Every slot that a command can read or write; each once."""
        if isinstance(command, Approve):
            return [self.allowance(sender, command.spender)]
        places = [place for key in dict.fromkeys(keys_of(command, sender)) for place in self.channel(key)]
        match command:
            case CreateChannel() | Deposit():
                owner = sender
                places.append(self.allowance(sender, self._payment))
            case Unlock() | WithdrawUnlocked() | CloseChannel():
                owner = sender
            case WithdrawUpTo() | Withdraw() | WithdrawMany():
                owner = sender if command.transfer_address == ZERO_ADDRESS else command.transfer_address
            case Release():
                owner = command.publisher
            case _:
                assert_never(command)
        places.extend({self.balance(self._payment): None, self.balance(owner): None})
        return places

    def record(self, read: Callable[[Place], int], key: ChannelKey) -> Channel | None:
        """A channel's record, emptied ones included; None where there is none."""
        return channel_of(self._numbers(read, key))

    def life(self, read: Callable[[Place], int], key: ChannelKey) -> int:
        """How often a channel was created."""
        return self._numbers(read, key)[-1]

    def _numbers(self, read: Callable[[Place], int], key: ChannelKey) -> list[int]:
        words = [read(place) for place in self.channel(key)]
        return [part(words[member[0]], member) for member in _ORDER]
