"""What can be asked of the contract: its commands, who may send each, and how each is called there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from protocol.abi import Function
from protocol.errors import BadInput
from protocol.payment.channel import ChannelKey
from protocol.units import Address, PodId

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_UINT: Final = 2**256 - 1
ZERO_ADDRESS: Final = Address(bytes(20))
"""As a transfer address it means "the caller"."""


class _Checked:
    """A command's values fit the contract's types: 20 bytes, 32 bytes, unsigned 256-bit integers."""

    __slots__ = ()

    def __post_init__(self) -> None:
        sizes = {"publisher": 20, "provider": 20, "transfer_address": 20, "pod_id": 32}
        names: tuple[str, ...] = self.__slots__
        for name in names:
            value = getattr(self, name)
            if isinstance(value, int) and not 0 <= value <= MAX_UINT:
                raise BadInput(f"{type(self).__name__}.{name} is {value}; allowed are 0 to 2**256 - 1")
            if name in sizes and len(value) != sizes[name]:
                raise BadInput(f"{type(self).__name__}.{name} has {len(value)} bytes; it takes {sizes[name]}")


@dataclass(frozen=True, slots=True)
class CreateChannel(_Checked):
    """Publisher: open a channel with a first deposit of `initial_amount` [base units], pulled from the caller."""

    provider: Address
    pod_id: PodId
    unlock_time_s: int
    initial_amount: int


@dataclass(frozen=True, slots=True)
class Deposit(_Checked):
    """Publisher: add `amount` [base units], pulled from the caller; cancels an unlock."""

    provider: Address
    pod_id: PodId
    amount: int


@dataclass(frozen=True, slots=True)
class Unlock(_Checked):
    """Publisher: start the timer. While one runs (or has passed), a second call changes nothing."""

    provider: Address
    pod_id: PodId


@dataclass(frozen=True, slots=True)
class WithdrawUnlocked(_Checked):
    """Publisher: take the rest back once the unlock has passed; the record stays."""

    provider: Address
    pod_id: PodId


@dataclass(frozen=True, slots=True)
class CloseChannel(_Checked):
    """Publisher: take the rest back, if any, once the unlock has passed, and delete the record."""

    provider: Address
    pod_id: PodId


@dataclass(frozen=True, slots=True)
class WithdrawUpTo(_Checked):
    """Provider: have been paid `total` [base units] over the channel's life; ends a running unlock.

    A growing total: a lost or repeated claim does no harm.
    """

    publisher: Address
    pod_id: PodId
    total: int
    transfer_address: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Withdraw(_Checked):
    """Provider: be paid `amount` [base units] more; otherwise as `WithdrawUpTo`."""

    publisher: Address
    pod_id: PodId
    amount: int
    transfer_address: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Claim(_Checked):
    """One entry of `WithdrawMany`: have been paid `total` [base units] in the channel's life `life`, or what there is."""

    publisher: Address
    pod_id: PodId
    life: int
    total: int


@dataclass(frozen=True, slots=True)
class WithdrawMany(_Checked):
    """Provider: the routine claim over many channels; skips what cannot be paid and never touches an unlock."""

    claims: tuple[Claim, ...]
    transfer_address: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Release(_Checked):
    """Provider: give the rest back to the publisher at once and delete the record."""

    publisher: Address
    pod_id: PodId


Command = (
    CreateChannel
    | Deposit
    | Unlock
    | WithdrawUnlocked
    | CloseChannel
    | WithdrawUpTo
    | Withdraw
    | WithdrawMany
    | Release
)
"""What can be sent to the contract."""
ChannelCommand = (
    CreateChannel
    | Deposit
    | Unlock
    | WithdrawUnlocked
    | CloseChannel
    | WithdrawUpTo
    | Withdraw
    | Claim
    | Release
)
"""What can happen to one channel: a `WithdrawMany` is its claims, one after the other."""


def key_of(command: ChannelCommand, caller: Address) -> ChannelKey:
    """The one channel that `command` from `caller` can act on."""
    match command:
        case CreateChannel() | Deposit() | Unlock() | WithdrawUnlocked() | CloseChannel():
            return ChannelKey(caller, command.provider, command.pod_id)
        case WithdrawUpTo() | Withdraw() | Claim() | Release():
            return ChannelKey(command.publisher, caller, command.pod_id)
        case _:
            assert_never(command)


def keys_of(command: Command, caller: Address) -> tuple[ChannelKey, ...]:
    """All channels that `command` from `caller` can act on."""
    if isinstance(command, WithdrawMany):
        return tuple(key_of(claim, caller) for claim in command.claims)
    return (key_of(command, caller),)


_PROVIDER = ("provider", "provider", "address")
_PUBLISHER = ("publisher", "publisher", "address")
_POD_ID = ("pod_id", "podId", "bytes32")
_TO = ("transfer_address", "transferAddress", "address")

FUNCTIONS: Final[Mapping[type[Command], Function]] = {
    CreateChannel: Function(
        "createChannel",
        (
            _PROVIDER,
            _POD_ID,
            ("unlock_time_s", "unlockTime", "uint256"),
            ("initial_amount", "initialAmount", "uint256"),
        ),
    ),
    Deposit: Function("deposit", (_PROVIDER, _POD_ID, ("amount", "amount", "uint256"))),
    Unlock: Function("unlock", (_PROVIDER, _POD_ID)),
    WithdrawUnlocked: Function("withdrawUnlocked", (_PROVIDER, _POD_ID)),
    CloseChannel: Function("closeChannel", (_PROVIDER, _POD_ID)),
    WithdrawUpTo: Function(
        "withdrawUpTo", (_PUBLISHER, _POD_ID, ("total", "totalWithdrawAmount", "uint256"), _TO)
    ),
    Withdraw: Function("withdraw", (_PUBLISHER, _POD_ID, ("amount", "amount", "uint256"), _TO)),
    WithdrawMany: Function(
        "withdrawMany", (("claims", "claims", "(address,bytes32,uint256,uint256)[]"), _TO)
    ),
    Release: Function("release", (_PUBLISHER, _POD_ID)),
}
"""Each command's function in the contract."""
