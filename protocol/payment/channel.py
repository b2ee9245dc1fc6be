"""What the contract holds and tells of a channel, as values: its key, its record, its events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol.units import Address, PodId

if TYPE_CHECKING:
    from collections.abc import Mapping


class ChannelKey(NamedTuple):
    """Which channel: who pays, who is paid, for which pod."""

    publisher: Address
    provider: Address
    pod_id: PodId

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "publisher": self.publisher.hex(),
            "provider": self.provider.hex(),
            "pod_id": self.pod_id.hex(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChannelKey:
        """The key of a stored form."""
        return cls(
            Address(bytes.fromhex(record["publisher"])),
            Address(bytes.fromhex(record["provider"])),
            PodId(bytes.fromhex(record["pod_id"])),
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's record.

    Attributes:
        invested_by_publisher: paid in and not taken back, ever [base units].
        withdrawn_by_provider: claimed, ever, in this life; at most what is invested [base units].
        unlock_time_s: seconds from `Unlock` until the publisher can take the rest, in [0, 365 days].
        unlocked_at_s: when the running unlock passes [Unix s]; 0 when none runs.
        life: which creation of this key it is, from 1.
    """

    invested_by_publisher: int
    withdrawn_by_provider: int
    unlock_time_s: int
    unlocked_at_s: int
    life: int

    @property
    def exists(self) -> bool:
        """A channel exists while its publisher has invested in it (and it was not closed)."""
        return self.invested_by_publisher > 0

    @property
    def available(self) -> int:
        """What can still be claimed or taken back [base units]."""
        return self.invested_by_publisher - self.withdrawn_by_provider


# ---------------------------------------------------------------- events


class SkipReason(StrEnum):
    """Why an entry of `WithdrawMany` was not paid; checked in this order."""

    DOES_NOT_EXIST = "DoesNotExist"
    OTHER_LIFE = "OtherLife"
    AMOUNT_REQUIRED = "AmountRequired"
    """Nothing more is due: the total was paid before, or the channel is empty."""


@dataclass(frozen=True, slots=True)
class ChannelCreated:
    """A channel began a life."""

    key: ChannelKey


@dataclass(frozen=True, slots=True)
class Deposited:
    """The publisher paid in; `deposit_amount` is what was received [base units]."""

    key: ChannelKey
    deposit_amount: int


@dataclass(frozen=True, slots=True)
class UnlockTimerStarted:
    """The publisher can take the rest at `unlocked_at_s` [Unix s]."""

    key: ChannelKey
    unlocked_at_s: int


@dataclass(frozen=True, slots=True)
class Unlocked:
    """`unlocked_amount` went back to the publisher [base units]."""

    key: ChannelKey
    unlocked_amount: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """`withdrawn_amount` was paid to the provider [base units]."""

    key: ChannelKey
    withdrawn_amount: int


@dataclass(frozen=True, slots=True)
class ClaimSkipped:
    """An entry of a `WithdrawMany` was not paid."""

    key: ChannelKey
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """The record was deleted."""

    key: ChannelKey


PaymentEvent = (
    ChannelCreated | Deposited | UnlockTimerStarted | Unlocked | Withdrawn | ClaimSkipped | ChannelClosed
)
