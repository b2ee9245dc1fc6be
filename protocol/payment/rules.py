"""The rules: what a command does to one channel. Every transition lives here.

`apply` is the only place where a channel changes; what `TRANSITIONS` does not list for a phase is
refused. The refusals are checked in the order in which the contract lists them.

Instants: an unlock has passed at `now_s >= unlocked_at_s`, the instant itself included. A provider
can claim while tokens are there, before and after that instant; from that instant on the publisher
may be quicker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from protocol.errors import (
    AlreadyExists,
    AmountRequired,
    ChannelLocked,
    DoesNotExist,
    InsufficientFunds,
    PaymentError,
    UnlockTimeTooLong,
)
from protocol.payment.channel import (
    Channel,
    ChannelClosed,
    ChannelCreated,
    ChannelKey,
    ClaimSkipped,
    Deposited,
    PaymentEvent,
    SkipReason,
    Unlocked,
    UnlockTimerStarted,
    Withdrawn,
)
from protocol.payment.commands import (
    ZERO_ADDRESS,
    ChannelCommand,
    Claim,
    CloseChannel,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    Withdraw,
    WithdrawUnlocked,
    WithdrawUpTo,
    key_of,
)
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_UNLOCK_TIME_S: Final = 365 * 24 * 3600
"""The longest unlock time a channel can have [s]; the contract's `UnlockTimeTooLong` is past it."""


class Phase(StrEnum):
    """What a channel's numbers say it is, at an instant."""

    ABSENT = "absent"
    """No record."""
    EMPTIED = "emptied"
    """All was taken back and nothing was ever claimed: only the record is left, and the channel does not exist."""
    OPEN = "open"
    """Invested, and no unlock runs."""
    UNLOCKING = "unlocking"
    """An unlock runs and its time has not passed."""
    UNLOCKED = "unlocked"
    """An unlock's time has passed."""


def phase_of(channel: Channel | None, *, now_s: int) -> Phase:
    """The phase of `channel` at `now_s` [Unix s]; None stands for no record."""
    if channel is None:
        return Phase.ABSENT
    if not channel.exists:
        return Phase.EMPTIED
    if channel.unlocked_at_s == 0:
        return Phase.OPEN
    return Phase.UNLOCKED if now_s >= channel.unlocked_at_s else Phase.UNLOCKING


_ANY_UNLOCK = frozenset({Phase.UNLOCKING, Phase.UNLOCKED})

TRANSITIONS: Final[Mapping[Phase, Mapping[type[ChannelCommand], frozenset[Phase]]]] = {
    Phase.ABSENT: {
        CreateChannel: frozenset({Phase.OPEN}),
        Claim: frozenset({Phase.ABSENT}),  # skipped
    },
    Phase.EMPTIED: {
        CreateChannel: frozenset({Phase.OPEN}),
        CloseChannel: frozenset({Phase.ABSENT}),
        Claim: frozenset({Phase.EMPTIED}),  # skipped
    },
    Phase.OPEN: {
        Deposit: frozenset({Phase.OPEN}),
        Unlock: _ANY_UNLOCK,  # at once unlocked when the unlock time is 0
        WithdrawUpTo: frozenset({Phase.OPEN}),
        Withdraw: frozenset({Phase.OPEN}),
        Claim: frozenset({Phase.OPEN}),
        Release: frozenset({Phase.ABSENT}),
    },
    Phase.UNLOCKING: {
        Deposit: frozenset({Phase.OPEN}),
        Unlock: frozenset({Phase.UNLOCKING}),  # changes nothing
        WithdrawUpTo: frozenset({Phase.UNLOCKED}),  # the final settlement
        Withdraw: frozenset({Phase.UNLOCKED}),
        Claim: frozenset({Phase.UNLOCKING}),
        Release: frozenset({Phase.ABSENT}),
    },
    Phase.UNLOCKED: {
        Deposit: frozenset({Phase.OPEN}),
        Unlock: frozenset({Phase.UNLOCKED}),  # changes nothing
        WithdrawUnlocked: frozenset({Phase.UNLOCKED, Phase.EMPTIED}),  # emptied when nothing was claimed
        CloseChannel: frozenset({Phase.ABSENT}),
        WithdrawUpTo: frozenset({Phase.UNLOCKED}),
        Withdraw: frozenset({Phase.UNLOCKED}),
        Claim: frozenset({Phase.UNLOCKED}),
        Release: frozenset({Phase.ABSENT}),
    },
}
"""Phase × command → the phases it can lead to, at the same instant. What is missing is refused, whatever the amounts."""


class Pull(NamedTuple):
    """Tokens to pull from `owner` into the contract, by its approval [base units]."""

    owner: Address
    amount: int


class Pay(NamedTuple):
    """Tokens to send from the contract to `to` [base units]."""

    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did to one channel.

    Attributes:
        channel: the record afterwards; None when there is none.
        life: how often this key was created.
        events: what is emitted, in order.
        transfers: what tokens move, in order.
    """

    channel: Channel | None
    life: int
    events: tuple[PaymentEvent, ...] = ()
    transfers: tuple[Pull | Pay, ...] = ()


def apply(
    channel: Channel | None,
    life: int,
    command: ChannelCommand,
    *,
    caller: Address,
    now_s: int,
    received: int | None = None,
) -> Outcome:
    """What `command` does to a channel. Pure: the caller of this function moves the tokens.

    Args:
        channel: the record of `key_of(command, caller)`; None when there is none.
        life: how often that key was created so far.
        command: what is asked.
        caller: who asks.
        now_s: the block's time [Unix s], at least 1.
        received: what a pull brought in [base units], for tokens that take a fee; None: what was asked.

    Returns:
        The new record, the events and the transfers. A `Claim` never raises: it is paid or skipped.

    Raises:
        PaymentError: the contract refuses; its class is the contract's error.
    """
    key = key_of(command, caller)
    phase = phase_of(channel, now_s=now_s)
    allowed = type(command) in TRANSITIONS[phase]
    match command:
        case CreateChannel(_, _, unlock_time_s, amount):
            if amount == 0 or received == 0:
                raise AmountRequired("the first deposit is 0")
            if not allowed:
                raise AlreadyExists(f"life {life} of the channel has not ended")
            if unlock_time_s > MAX_UNLOCK_TIME_S:
                raise UnlockTimeTooLong(f"{unlock_time_s} s; allowed are up to {MAX_UNLOCK_TIME_S} s")
            credit = amount if received is None else received
            return Outcome(
                Channel(credit, 0, unlock_time_s, 0, life + 1),
                life + 1,
                (ChannelCreated(key), Deposited(key, credit)),
                (Pull(caller, amount),),
            )
        case Claim(_, _, claimed_life, total):
            return _claim(channel, life, key, claimed_life, total)
        case WithdrawUpTo(_, _, total, to):
            return _settle(channel, life, key, total, caller if to == ZERO_ADDRESS else to, now_s)
        case Withdraw(_, _, amount, to):
            withdrawn = channel.withdrawn_by_provider if channel is not None else 0
            return _settle(
                channel, life, key, withdrawn + amount, caller if to == ZERO_ADDRESS else to, now_s
            )
        case Deposit(_, _, amount):
            if amount == 0 or received == 0:
                raise AmountRequired("the deposit is 0")
            if channel is None or not allowed:
                raise DoesNotExist("no channel to deposit to")
            credit = amount if received is None else received
            funded = replace(
                channel, invested_by_publisher=channel.invested_by_publisher + credit, unlocked_at_s=0
            )
            return Outcome(funded, life, (Deposited(key, credit),), (Pull(caller, amount),))
        case Unlock():
            if channel is None or not allowed:
                raise DoesNotExist("no channel to unlock")
            if channel.unlocked_at_s != 0:
                return Outcome(channel, life)
            unlocked_at_s = now_s + channel.unlock_time_s
            return Outcome(
                replace(channel, unlocked_at_s=unlocked_at_s), life, (UnlockTimerStarted(key, unlocked_at_s),)
            )
        case WithdrawUnlocked():
            if phase is Phase.EMPTIED:
                raise AmountRequired("nothing is left to take back")
            if channel is None or not allowed:
                raise _locked(channel, now_s)
            rest = channel.available
            if rest == 0:
                raise AmountRequired("nothing is left to take back")
            return Outcome(
                replace(channel, invested_by_publisher=channel.withdrawn_by_provider),
                life,
                (Unlocked(key, rest),),
                (Pay(key.publisher, rest),),
            )
        case CloseChannel():
            if channel is None or not allowed:
                raise _locked(channel, now_s)
            return _delete(channel, life, key)
        case Release():
            if channel is None or not allowed:
                raise DoesNotExist("no channel to release")
            return _delete(channel, life, key)
        case _:
            assert_never(command)


def _claim(channel: Channel | None, life: int, key: ChannelKey, claimed_life: int, total: int) -> Outcome:
    if channel is None or not channel.exists:
        return Outcome(channel, life, (ClaimSkipped(key, SkipReason.DOES_NOT_EXIST),))
    if claimed_life != channel.life:
        return Outcome(channel, life, (ClaimSkipped(key, SkipReason.OTHER_LIFE),))
    due = min(total, channel.invested_by_publisher) - channel.withdrawn_by_provider
    if due <= 0:
        return Outcome(channel, life, (ClaimSkipped(key, SkipReason.AMOUNT_REQUIRED),))
    paid = replace(channel, withdrawn_by_provider=channel.withdrawn_by_provider + due)
    return Outcome(paid, life, (Withdrawn(key, due),), (Pay(key.provider, due),))


def _settle(
    channel: Channel | None, life: int, key: ChannelKey, total: int, to: Address, now_s: int
) -> Outcome:
    invested = channel.invested_by_publisher if channel is not None else 0
    withdrawn = channel.withdrawn_by_provider if channel is not None else 0
    if total > invested:
        raise InsufficientFunds(f"claimed {total}; invested are {invested}")
    if channel is None or total <= withdrawn:
        raise AmountRequired(f"claimed {total}; paid before were {withdrawn}")
    # During an unlock this is the last claim: the publisher need not wait longer. An unlock that has
    # passed keeps its instant.
    unlocked_at_s = min(channel.unlocked_at_s, now_s)
    settled = replace(channel, withdrawn_by_provider=total, unlocked_at_s=unlocked_at_s)
    return Outcome(settled, life, (Withdrawn(key, total - withdrawn),), (Pay(to, total - withdrawn),))


def _delete(channel: Channel, life: int, key: ChannelKey) -> Outcome:
    rest = channel.available
    if rest == 0:
        return Outcome(None, life, (ChannelClosed(key),))
    return Outcome(None, life, (Unlocked(key, rest), ChannelClosed(key)), (Pay(key.publisher, rest),))


def _locked(channel: Channel | None, now_s: int) -> PaymentError:
    if channel is None or channel.unlocked_at_s == 0:
        return ChannelLocked("no unlock runs")
    return ChannelLocked(f"locked until {channel.unlocked_at_s} s; it is {now_s} s")
