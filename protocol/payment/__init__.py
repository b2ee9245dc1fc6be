"""The payment channel: the Payment contract as data, a pure function, and a ledger.

A publisher invests tokens in a channel for one provider and one pod; the provider claims from it
what the pod has used; the publisher gets the rest back after an unlock time. Amounts are token base
units, times are whole seconds of block time. Who may do what follows from the key alone: a command
of a publisher acts on the channel whose publisher is the caller, a command of a provider on the one
whose provider is the caller, so nobody else can move a channel's funds.

- `channel`: what the contract holds and tells: the key, the record, the events;
- `commands`: what can be asked of it, of which channel, and by which function;
- `rules`: what a command does to one channel: the table and the pure `apply`;
- `book`: all channels and the token: what one transaction does, whole or not at all.
"""

from __future__ import annotations

from protocol.payment.book import Book, BookView
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
    FUNCTIONS,
    MAX_UINT,
    ZERO_ADDRESS,
    ChannelCommand,
    Claim,
    CloseChannel,
    Command,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    Withdraw,
    WithdrawMany,
    WithdrawUnlocked,
    WithdrawUpTo,
    key_of,
    keys_of,
)
from protocol.payment.rules import (
    MAX_UNLOCK_TIME_S,
    TRANSITIONS,
    Outcome,
    Pay,
    Phase,
    Pull,
    apply,
    phase_of,
)

__all__ = [
    "FUNCTIONS",
    "MAX_UINT",
    "MAX_UNLOCK_TIME_S",
    "TRANSITIONS",
    "ZERO_ADDRESS",
    "Book",
    "BookView",
    "Channel",
    "ChannelClosed",
    "ChannelCommand",
    "ChannelCreated",
    "ChannelKey",
    "Claim",
    "ClaimSkipped",
    "CloseChannel",
    "Command",
    "CreateChannel",
    "Deposit",
    "Deposited",
    "Outcome",
    "Pay",
    "PaymentEvent",
    "Phase",
    "Pull",
    "Release",
    "SkipReason",
    "Unlock",
    "UnlockTimerStarted",
    "Unlocked",
    "Withdraw",
    "WithdrawMany",
    "WithdrawUnlocked",
    "WithdrawUpTo",
    "Withdrawn",
    "apply",
    "key_of",
    "keys_of",
    "phase_of",
]
