"""The Hypothesis machine of the payment channel, for the module itself and for mutants of it.

The oracle below is written from the contract's description, not from `apply`: a row of plain numbers a
channel, a purse a person. Each rule says beforehand which refusal is due, if any, and what changes else;
after each rule the whole ledger has to agree with it.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol import invariants
from protocol.errors import ProtocolError
from protocol.ports import Approve
from protocol.token import Token
from protocol.units import Address, PodId

ANN, BEN = Address(b"A" * 20), Address(b"B" * 20)  # publishers
PIA = Address(b"P" * 20)  # provider of both
EVE = Address(b"E" * 20)  # neither
TILL = Address(b"T" * 20)  # where a provider may want its tokens
PAYMENT = Address(b"\x01" * 20)
POD = PodId(bytes(32))
NOBODY = Address(bytes(20))
PURSE = 12
YEAR_S = 31_536_000

publishers = st.sampled_from([ANN, BEN])
amounts = st.integers(0, 7)
unlock_times = st.sampled_from([3, 0, 1, 2, YEAR_S, YEAR_S + 1])
mostly = st.sampled_from([True, True, True, False])


class FeeToken(Token):
    """Burns one base unit of everything that moves: what arrives is less than what was sent."""

    def _move(self, sender: Address, to: Address, amount: int) -> None:
        super()._move(sender, to, amount)
        self._burn(to, min(1, amount))


@dataclass
class Row:
    """What the oracle holds of one channel; `timer` is None while no unlock runs."""

    invested: int
    withdrawn: int
    unlock_time: int
    timer: int | None
    life: int


def accepted(book: Any, command: Any, caller: Address, now_s: int) -> None:
    """Carry out what a party can rely on."""
    try:
        book.execute(command, caller=caller, now_s=now_s)
    except ProtocolError as error:
        raise AssertionError(f"{command} at {now_s} was refused: {error!r}") from error


def machine_for(payment: Any, *, fee: int = 0) -> type[RuleBasedStateMachine]:
    """The machine of a payment module.

    Args:
        payment: `protocol.payment` or a mutant of it.
        fee: 0 for a plain token, 1 for one that burns a unit of every transfer.
    """

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            token = (FeeToken if fee else Token)({ANN: PURSE, BEN: PURSE, EVE: PURSE})
            self.book: Any = payment.Book(token, PAYMENT)
            self.now = 5
            self.rows: dict[Address, Row] = {}
            self.lives: Counter[Address] = Counter()
            self.purse: Counter[Address] = Counter({ANN: PURSE, BEN: PURSE, EVE: PURSE})
            self.allowed: Counter[Address] = Counter()
            self.paid: dict[Any, int] = {}
            self.sent = 0

        # ------------------------------------------------ what the oracle knows

        def exists(self, publisher: Address) -> bool:
            row = self.rows.get(publisher)
            return row is not None and row.invested > 0

        def unlocked(self, publisher: Address) -> bool:
            row = self.rows.get(publisher)
            return row is not None and row.timer is not None and row.timer <= self.now

        def send(self, caller: Address, command: Any, refusal: str | None) -> tuple[Any, ...] | None:
            """Carry out `command`: accepted if and only if no refusal is due, and else refused by that name."""
            before = copy.deepcopy((self.book._records, self.book._lives))
            events: tuple[Any, ...] | None = None
            refused = None
            try:
                events = self.book.execute(command, caller=caller, now_s=self.now)
            except ProtocolError as error:
                refused = type(error).__name__
            assert refused == refusal, f"{command} at {self.now}: {refused or 'accepted'}; due was {refusal}"
            if refused:
                assert before == (self.book._records, self.book._lives), (
                    f"{command} was refused and left traces"
                )
            return events

        def pull_refusal(self, publisher: Address, amount: int) -> str | None:
            if amount > self.allowed[publisher] or amount > self.purse[publisher]:
                return "TokenRefused"
            return "AmountRequired" if amount - fee <= 0 else None

        def pull(self, publisher: Address, amount: int) -> int:
            self.purse[publisher] -= amount
            self.allowed[publisher] -= amount
            return amount - fee

        def pay(self, to: Address, amount: int) -> None:
            self.purse[to] += amount - min(fee, amount)

        def key(self, publisher: Address) -> Any:
            return payment.ChannelKey(publisher, PIA, POD)

        # ------------------------------------------------ rules

        @initialize(invested=st.integers(3, 6), unlock_time=st.integers(0, 3))
        def both_begin_with_a_channel(self, invested: int, unlock_time: int) -> None:
            for publisher in (ANN, BEN):
                self.publisher_creates(publisher, invested, unlock_time, True)

        @rule(publisher=publishers, amount=amounts)
        def publisher_approves(self, publisher: Address, amount: int) -> None:
            assert self.send(publisher, Approve(PAYMENT, amount), None) == ()
            self.allowed[publisher] = amount

        @rule(publisher=publishers, amount=amounts, unlock_time=unlock_times, approve=mostly)
        def publisher_creates(self, publisher: Address, amount: int, unlock_time: int, approve: bool) -> None:
            if approve:
                self.publisher_approves(publisher, amount)
            refusal = (
                "AmountRequired"
                if amount == 0
                else "AlreadyExists"
                if self.exists(publisher)
                else "UnlockTimeTooLong"
                if unlock_time > YEAR_S
                else self.pull_refusal(publisher, amount)
            )
            events = self.send(publisher, payment.CreateChannel(PIA, POD, unlock_time, amount), refusal)
            if refusal is None:
                credit = self.pull(publisher, amount)
                self.lives[publisher] += 1
                self.rows[publisher] = Row(credit, 0, unlock_time, None, self.lives[publisher])
                key = self.key(publisher)
                assert events == (payment.ChannelCreated(key), payment.Deposited(key, credit))

        @rule(publisher=publishers, amount=amounts, approve=mostly)
        def publisher_deposits(self, publisher: Address, amount: int, approve: bool) -> None:
            if approve:
                self.publisher_approves(publisher, amount)
            refusal = (
                "AmountRequired"
                if amount == 0
                else self.pull_refusal(publisher, amount)
                if self.exists(publisher)
                else "DoesNotExist"
            )
            events = self.send(publisher, payment.Deposit(PIA, POD, amount), refusal)
            if refusal is None:
                credit = self.pull(publisher, amount)
                self.rows[publisher].invested += credit
                self.rows[publisher].timer = None
                assert events == (payment.Deposited(self.key(publisher), credit),)

        @rule(publisher=publishers)
        def publisher_unlocks(self, publisher: Address) -> None:
            refusal = None if self.exists(publisher) else "DoesNotExist"
            events = self.send(publisher, payment.Unlock(PIA, POD), refusal)
            if refusal is None:
                row = self.rows[publisher]
                if row.timer is not None:
                    assert events == ()
                else:
                    row.timer = self.now + row.unlock_time
                    assert events == (payment.UnlockTimerStarted(self.key(publisher), row.timer),)

        @rule(publisher=publishers, late=st.sampled_from([None, -1, 0]))
        def publisher_withdraws(self, publisher: Address, late: int | None) -> None:
            if late is not None:
                self.time_comes_to_an_unlock(publisher, late)
            row = self.rows.get(publisher)
            rest = row.invested - row.withdrawn if row else 0
            refusal = "ChannelLocked" if not self.unlocked(publisher) else None if rest else "AmountRequired"
            events = self.send(publisher, payment.WithdrawUnlocked(PIA, POD), refusal)
            if refusal is None:
                assert row is not None
                row.invested = row.withdrawn
                self.pay(publisher, rest)
                assert events == (payment.Unlocked(self.key(publisher), rest),)

        @rule(publisher=publishers, amount=amounts, unlock_time=unlock_times)
        def publisher_takes_all_back_and_creates_again(
            self, publisher: Address, amount: int, unlock_time: int
        ) -> None:
            self.publisher_unlocks(publisher)
            self.publisher_withdraws(publisher, -1)
            self.publisher_withdraws(publisher, 0)
            self.publisher_creates(publisher, amount, unlock_time, True)

        @rule(publisher=publishers)
        def publisher_closes(self, publisher: Address) -> None:
            refusal = None if self.unlocked(publisher) else "ChannelLocked"
            events = self.send(publisher, payment.CloseChannel(PIA, POD), refusal)
            if refusal is None:
                self.deleted(publisher, events)

        def deleted(self, publisher: Address, events: Any) -> None:
            row = self.rows.pop(publisher)
            rest = row.invested - row.withdrawn
            self.pay(publisher, rest)
            key = self.key(publisher)
            assert events == ((payment.Unlocked(key, rest),) if rest else ()) + (payment.ChannelClosed(key),)

        @rule(publisher=publishers, amount=amounts, more=st.booleans(), to=st.sampled_from([NOBODY, TILL]))
        def provider_withdraws(self, publisher: Address, amount: int, more: bool, to: Address) -> None:
            row = self.rows.get(publisher, Row(0, 0, 0, None, 0))
            total = row.withdrawn + amount if more else amount
            refusal = (
                "InsufficientFunds"
                if total > row.invested
                else "AmountRequired"
                if total <= row.withdrawn
                else None
            )
            command = (payment.Withdraw if more else payment.WithdrawUpTo)(publisher, POD, amount, to)
            events = self.send(PIA, command, refusal)
            if refusal is None:
                paid = total - row.withdrawn
                row.withdrawn = total
                if row.timer is not None and row.timer > self.now:
                    row.timer = self.now
                self.pay(PIA if to == NOBODY else to, paid)
                assert events == (payment.Withdrawn(self.key(publisher), paid),)

        @rule(
            entries=st.lists(st.tuples(publishers, st.sampled_from([0, 0, 0, 1]), amounts), max_size=4),
            to=st.sampled_from([NOBODY, TILL]),
        )
        def provider_claims_many(self, entries: list[tuple[Address, int, int]], to: Address) -> None:
            claims, expected, sum_paid = [], [], 0
            for publisher, stale, amount in entries:
                row, key = self.rows.get(publisher), self.key(publisher)
                total = max(
                    0, (row.withdrawn if row else 0) + amount - 1
                )  # of all that is due, or of a little less or more
                life = self.lives[publisher] - stale
                claims.append(payment.Claim(publisher, POD, max(0, life), total))
                if row is None or row.invested == 0:
                    expected.append(payment.ClaimSkipped(key, payment.SkipReason.DOES_NOT_EXIST))
                elif stale:
                    expected.append(payment.ClaimSkipped(key, payment.SkipReason.OTHER_LIFE))
                elif total <= row.withdrawn or row.withdrawn == row.invested:
                    expected.append(payment.ClaimSkipped(key, payment.SkipReason.AMOUNT_REQUIRED))
                else:
                    paid = min(total, row.invested) - row.withdrawn
                    row.withdrawn += paid
                    sum_paid += paid
                    expected.append(payment.Withdrawn(key, paid))
            events = self.send(PIA, payment.WithdrawMany(tuple(claims), to), None)
            self.pay(PIA if to == NOBODY else to, sum_paid)
            assert events == tuple(expected)

        @rule(publisher=publishers, amount=amounts, many=st.booleans())
        def provider_claims_while_an_unlock_runs(self, publisher: Address, amount: int, many: bool) -> None:
            self.publisher_unlocks(publisher)
            if many:
                self.provider_claims_many([(publisher, 0, amount)], NOBODY)
            else:
                self.provider_withdraws(publisher, amount, True, NOBODY)

        @rule(publisher=publishers)
        def provider_releases(self, publisher: Address) -> None:
            refusal = None if self.exists(publisher) else "DoesNotExist"
            events = self.send(PIA, payment.Release(publisher, POD), refusal)
            if refusal is None:
                self.deleted(publisher, events)

        @rule(seconds=st.integers(0, 3))
        def time_passes(self, seconds: int) -> None:
            self.now += seconds

        @rule(publisher=publishers, late=st.integers(-1, 1))
        def time_comes_to_an_unlock(self, publisher: Address, late: int) -> None:
            row = self.rows.get(publisher)
            if row is not None and row.timer is not None:
                self.now = max(self.now, row.timer + late)

        @rule(amount=st.integers(1, 2))
        def somebody_sends_tokens_directly(self, amount: int) -> None:
            if self.purse[EVE] >= amount:
                self.book.token.transfer(EVE, PAYMENT, amount)
                self.purse[EVE] -= amount
                self.sent += amount - fee

        # ------------------------------------------------ what each party can rely on

        @rule(publisher=publishers, claim=amounts)
        def a_publisher_can_leave_within_its_unlock_time(self, publisher: Address, claim: int) -> None:
            if not self.exists(publisher):
                return
            world = copy.deepcopy(self.book)
            accepted(world, payment.Unlock(PIA, POD), publisher, self.now)
            record = world.record(self.key(publisher))
            leaves = record.unlocked_at_s
            assert leaves <= self.now + record.unlock_time_s
            paid = min(claim, record.available)
            if paid:  # whatever the provider does meanwhile
                accepted(world, payment.Withdraw(publisher, POD, paid), PIA, max(self.now, leaves - 1))
            before, rest = world.token.balance(publisher), record.available - paid
            accepted(world, payment.CloseChannel(PIA, POD), publisher, max(self.now, leaves))
            assert world.token.balance(publisher) - before == rest - min(fee, rest)

        @rule(publisher=publishers, many=st.booleans())
        def a_provider_can_claim_all_until_the_unlock(self, publisher: Address, many: bool) -> None:
            row = self.rows.get(publisher)
            if row is None or row.invested == row.withdrawn:
                return
            world = copy.deepcopy(self.book)
            last = self.now if row.timer is None else max(self.now, row.timer - 1)
            command = (
                payment.WithdrawMany((payment.Claim(publisher, POD, row.life, 2**200),))
                if many
                else payment.WithdrawUpTo(publisher, POD, row.invested)
            )
            before, due = world.token.balance(PIA), row.invested - row.withdrawn
            accepted(world, command, PIA, last)
            assert world.token.balance(PIA) - before == due - min(fee, due)

        @rule(publisher=publishers, total=st.integers(1, 7))
        def nobody_else_moves_anything(self, publisher: Address, total: int) -> None:
            before = self.book.token.balances()
            for command, refusal in (
                (payment.Deposit(PIA, POD, total), "DoesNotExist"),
                (payment.Unlock(PIA, POD), "DoesNotExist"),
                (payment.WithdrawUnlocked(PIA, POD), "ChannelLocked"),
                (payment.CloseChannel(PIA, POD), "ChannelLocked"),
                (payment.WithdrawUpTo(publisher, POD, total), "InsufficientFunds"),
                (payment.Withdraw(publisher, POD, total), "InsufficientFunds"),
                (payment.Release(publisher, POD), "DoesNotExist"),
            ):
                self.send(EVE, command, refusal)
            claim = payment.Claim(publisher, POD, max(1, self.lives[publisher]), total)
            skipped = payment.ClaimSkipped(
                payment.ChannelKey(publisher, EVE, POD), payment.SkipReason.DOES_NOT_EXIST
            )
            assert self.send(EVE, payment.WithdrawMany((claim,)), None) == (skipped,)
            assert self.book.token.balances() == before

        # ------------------------------------------------ what always holds

        @invariant()
        def the_book_says_what_the_oracle_says(self) -> None:
            found = {
                key.publisher: Row(
                    record.invested_by_publisher,
                    record.withdrawn_by_provider,
                    record.unlock_time_s,
                    record.unlocked_at_s or None,
                    record.life,
                )
                for key, record in self.book.records()
            }
            assert found == self.rows
            for publisher in (ANN, BEN):
                key = self.key(publisher)
                assert self.book.life(key) == self.lives[publisher]
                assert (self.book.channel(key) is not None) == self.exists(publisher)
                assert self.book.token.allowance(publisher, PAYMENT) == self.allowed[publisher]
            for person in (ANN, BEN, PIA, EVE, TILL):
                assert self.book.token.balance(person) == self.purse[person]

        @invariant()
        def no_token_is_made_or_lost(self) -> None:
            supply = 3 * PURSE if not fee else self.book.token.supply
            assert invariants.tokens_conserved(self.book, supply=supply, sent_directly=self.sent) == []
            assert invariants.channels_sound(self.book) == []

        @invariant()
        def what_was_paid_never_falls(self) -> None:
            paid = invariants.payments(self.book)
            assert invariants.payments_monotone(self.paid, paid) == []
            self.paid = paid

    return Machine
