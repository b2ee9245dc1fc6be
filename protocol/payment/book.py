"""The contract as a ledger: every channel, every life, and the token's movements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from protocol.errors import BadInput
from protocol.payment.commands import MAX_UINT, ZERO_ADDRESS, WithdrawMany, key_of
from protocol.payment.rules import Pay, Pull, apply
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.payment.channel import Channel, ChannelKey, PaymentEvent
    from protocol.payment.commands import ChannelCommand, Claim, Command
    from protocol.payment.rules import Outcome
    from protocol.token import Token, TokenView
    from protocol.units import Address


class BookView(Protocol):
    """The Payment contract and its token, to be read: whatever holds them, these rules or an EVM."""

    @property
    def token(self) -> TokenView:
        """The payment token."""
        ...

    @property
    def payment(self) -> Address:
        """The contract's own address, which holds the channels' tokens."""
        ...

    def channel(self, key: ChannelKey) -> Channel | None:
        """The channel, or None where there is none (an emptied record is none)."""
        ...

    def record(self, key: ChannelKey) -> Channel | None:
        """The record as the contract's `channels` view has it, emptied ones included."""
        ...

    def life(self, key: ChannelKey) -> int:
        """How often the channel was created; survives closing."""
        ...

    def records(self) -> Iterator[tuple[ChannelKey, Channel]]:
        """Every record, emptied ones included, in an order that is the same in every run."""
        ...


class Book:
    """The Payment contract and its token: every channel, every life, every balance.

    A command is carried out whole or not at all.

    Args:
        token: the payment token; only this book and the world's set-up change it.
        payment: the contract's own address, which holds the channels' tokens.
    """

    def __init__(self, token: Token, payment: Address) -> None:
        self.token = token
        self.payment = payment
        self._records: dict[ChannelKey, Channel] = {}
        self._lives: dict[ChannelKey, int] = {}

    def channel(self, key: ChannelKey) -> Channel | None:
        """See `BookView.channel`."""
        record = self._records.get(key)
        return record if record is not None and record.exists else None

    def record(self, key: ChannelKey) -> Channel | None:
        """See `BookView.record`."""
        return self._records.get(key)

    def life(self, key: ChannelKey) -> int:
        """See `BookView.life`."""
        return self._lives.get(key, 0)

    def available(self, key: ChannelKey) -> int:
        """What can still be claimed or taken back [base units]; 0 where there is no channel."""
        record = self._records.get(key)
        return record.available if record is not None else 0

    def withdrawn(self, key: ChannelKey) -> int:
        """What the provider was paid in this life [base units]; 0 where there is no channel."""
        record = self._records.get(key)
        return record.withdrawn_by_provider if record is not None else 0

    def records(self) -> Iterator[tuple[ChannelKey, Channel]]:
        """Every record, emptied ones included, in order of creation."""
        yield from self._records.items()

    def execute(self, command: Command | Approve, *, caller: Address, now_s: int) -> tuple[PaymentEvent, ...]:
        """Carry out `command` as `caller` in a block of time `now_s`.

        What it touched of the token is still in the token's journal afterwards: `token.commit` tells.

        Returns:
            What the contract emits, in order.

        Raises:
            PaymentError: the contract refuses; nothing changed.
            TokenRefused: the token refuses; nothing changed.
            BadInput: the time is before 1 s, or an approval does not fit 256 bits; nothing changed.
        """
        if now_s < 1:
            raise BadInput(f"a block's time is {now_s} s; allowed is 1 s and later, for 0 means no unlock")
        self.token.commit()  # what was moved before this command is not its to take back
        try:
            match command:
                case Approve(spender, amount):
                    if not 0 <= amount <= MAX_UINT:
                        raise BadInput(f"an approval of {amount}; allowed are 0 to 2**256 - 1")
                    self.token.approve(caller, spender, amount)
                    return ()
                case WithdrawMany(claims, to):
                    return self._withdraw_many(claims, caller if to == ZERO_ADDRESS else to, caller, now_s)
                case _:
                    return self._execute_one(command, caller, now_s)
        except BaseException:
            self.token.rollback()
            raise

    def _execute_one(self, command: ChannelCommand, caller: Address, now_s: int) -> tuple[PaymentEvent, ...]:
        key = key_of(command, caller)
        channel, life = self._records.get(key), self._lives.get(key, 0)
        outcome = apply(channel, life, command, caller=caller, now_s=now_s)
        for transfer in outcome.transfers:
            match transfer:
                case Pull(owner, amount):
                    before = self.token.balance(self.payment)
                    self.token.transfer_from(self.payment, owner, self.payment, amount)
                    received = self.token.balance(self.payment) - before
                    if received != amount:  # a token that takes a fee: only what came in is credited
                        outcome = apply(channel, life, command, caller=caller, now_s=now_s, received=received)
                case Pay(to, amount):
                    self.token.transfer(self.payment, to, amount)
                case _:
                    assert_never(transfer)
        self._keep(key, outcome)
        return outcome.events

    def _withdraw_many(
        self, claims: tuple[Claim, ...], to: Address, caller: Address, now_s: int
    ) -> tuple[PaymentEvent, ...]:
        events: list[PaymentEvent] = []
        outcomes: dict[ChannelKey, Outcome] = {}
        due = 0
        for claim in claims:
            key = key_of(claim, caller)
            before = outcomes.get(key)  # the same channel may be named twice
            channel = before.channel if before is not None else self._records.get(key)
            outcome = apply(channel, self._lives.get(key, 0), claim, caller=caller, now_s=now_s)
            outcomes[key] = outcome
            events.extend(outcome.events)
            due += sum(transfer.amount for transfer in outcome.transfers)
        if due:
            self.token.transfer(self.payment, to, due)
        for key, outcome in outcomes.items():
            self._keep(key, outcome)
        return tuple(events)

    def _keep(self, key: ChannelKey, outcome: Outcome) -> None:
        if outcome.channel is None:
            self._records.pop(key, None)
        else:
            self._records[key] = outcome.channel
        if outcome.life:
            self._lives[key] = outcome.life


if TYPE_CHECKING:
    _is_a_view: type[BookView] = Book
