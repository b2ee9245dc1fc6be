from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest

from protocol import payment
from protocol.errors import (
    AlreadyExists,
    AmountRequired,
    BadInput,
    ChannelLocked,
    DoesNotExist,
    InsufficientFunds,
    PaymentError,
    TokenRefused,
    UnlockTimeTooLong,
)
from protocol.payment import (
    FUNCTIONS,
    MAX_UNLOCK_TIME_S,
    TRANSITIONS,
    Book,
    Channel,
    ChannelCommand,
    ChannelKey,
    Claim,
    ClaimSkipped,
    CloseChannel,
    Command,
    CreateChannel,
    Deposit,
    Outcome,
    Pay,
    Phase,
    Release,
    SkipReason,
    Unlock,
    UnlockTimerStarted,
    Withdraw,
    WithdrawMany,
    Withdrawn,
    WithdrawUnlocked,
    WithdrawUpTo,
    apply,
    key_of,
    phase_of,
)
from protocol.ports import Approve
from protocol.token import Token
from protocol.units import Address, PodId

ANN, PIA, EVE = Address(b"A" * 20), Address(b"P" * 20), Address(b"E" * 20)
PAYMENT = Address(b"\x01" * 20)
POD = PodId(b"\x07" * 32)
KEY = ChannelKey(ANN, PIA, POD)
NOW_S = 1_700_000_000

COMMANDS: dict[type[ChannelCommand], ChannelCommand] = {
    CreateChannel: CreateChannel(PIA, POD, 60, 10),
    Deposit: Deposit(PIA, POD, 5),
    Unlock: Unlock(PIA, POD),
    WithdrawUnlocked: WithdrawUnlocked(PIA, POD),
    CloseChannel: CloseChannel(PIA, POD),
    WithdrawUpTo: WithdrawUpTo(ANN, POD, 8),
    Withdraw: Withdraw(ANN, POD, 3),
    Claim: Claim(ANN, POD, 1, 8),
    Release: Release(ANN, POD),
}
OPEN = Channel(10, 4, 60, 0, 1)
CHANNELS: dict[Phase, list[Channel | None]] = {
    Phase.ABSENT: [None],
    Phase.EMPTIED: [Channel(0, 0, 60, NOW_S - 5, 1)],
    Phase.OPEN: [OPEN],
    Phase.UNLOCKING: [replace(OPEN, unlocked_at_s=NOW_S + 1)],
    Phase.UNLOCKED: [
        replace(OPEN, unlocked_at_s=NOW_S),
        replace(OPEN, unlocked_at_s=NOW_S - 9),
        Channel(10, 0, 60, NOW_S, 1),
    ],
}


def do(channel: Channel | None, command: ChannelCommand, *, now_s: int = NOW_S) -> Outcome:
    return apply(channel, 1, command, caller=key_caller(command), now_s=now_s)


def key_caller(command: ChannelCommand) -> Address:
    return PIA if isinstance(command, (WithdrawUpTo, Withdraw, Claim, Release)) else ANN


def book(*, purse: int = 100) -> Book:
    return Book(Token({ANN: purse, EVE: purse}), PAYMENT)


def opened(invested: int = 10, unlock_time_s: int = 60) -> Book:
    made = book()
    made.execute(Approve(PAYMENT, invested), caller=ANN, now_s=NOW_S)
    made.execute(CreateChannel(PIA, POD, unlock_time_s, invested), caller=ANN, now_s=NOW_S)
    return made


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", COMMANDS)
def test_what_happens_is_what_the_table_says(phase: Phase, kind: type[ChannelCommand]) -> None:
    reached = set()
    for channel in CHANNELS[phase]:
        assert phase_of(channel, now_s=NOW_S) is phase
        try:
            outcome = do(channel, COMMANDS[kind])
        except PaymentError:
            assert kind not in TRANSITIONS[phase]
            continue
        assert kind in TRANSITIONS[phase]
        reached.add(phase_of(outcome.channel, now_s=NOW_S))
    assert reached <= TRANSITIONS[phase].get(kind, frozenset())


def test_every_phase_and_command_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert (
        {kind for row in TRANSITIONS.values() for kind in row}
        == set(get_args(ChannelCommand))
        == set(COMMANDS)
    )


def test_unlock_time_of_zero_is_unlocked_at_once() -> None:
    outcome = do(replace(OPEN, unlock_time_s=0), Unlock(PIA, POD))
    assert phase_of(outcome.channel, now_s=NOW_S) is Phase.UNLOCKED


@pytest.mark.parametrize("kind", get_args(Command))
def test_each_command_has_its_contract_function(kind: type[Command]) -> None:
    assert [name for name, _, _ in FUNCTIONS[kind].arguments] == [f.name for f in fields(kind)]


def test_signatures_are_the_contracts() -> None:
    assert {function.signature for function in FUNCTIONS.values()} == {
        "createChannel(address,bytes32,uint256,uint256)",
        "deposit(address,bytes32,uint256)",
        "unlock(address,bytes32)",
        "withdrawUnlocked(address,bytes32)",
        "closeChannel(address,bytes32)",
        "withdrawUpTo(address,bytes32,uint256,address)",
        "withdraw(address,bytes32,uint256,address)",
        "withdrawMany((address,bytes32,uint256,uint256)[],address)",
        "release(address,bytes32)",
    }


# ---------------------------------------------------------------- refusals come in the contract's order


@pytest.mark.parametrize(
    ("channel", "command", "error"),
    [
        (OPEN, CreateChannel(PIA, POD, MAX_UNLOCK_TIME_S + 1, 0), AmountRequired),
        (OPEN, CreateChannel(PIA, POD, MAX_UNLOCK_TIME_S + 1, 1), AlreadyExists),
        (None, CreateChannel(PIA, POD, MAX_UNLOCK_TIME_S + 1, 1), UnlockTimeTooLong),
        (None, Deposit(PIA, POD, 0), AmountRequired),
        (None, Deposit(PIA, POD, 1), DoesNotExist),
        (CHANNELS[Phase.EMPTIED][0], Deposit(PIA, POD, 1), DoesNotExist),
        (None, Unlock(PIA, POD), DoesNotExist),
        (None, WithdrawUnlocked(PIA, POD), ChannelLocked),
        (CHANNELS[Phase.EMPTIED][0], WithdrawUnlocked(PIA, POD), AmountRequired),
        (Channel(4, 4, 60, NOW_S, 1), WithdrawUnlocked(PIA, POD), AmountRequired),
        (Channel(4, 4, 60, 0, 1), WithdrawUnlocked(PIA, POD), ChannelLocked),
        (None, CloseChannel(PIA, POD), ChannelLocked),
        (None, WithdrawUpTo(ANN, POD, 0), AmountRequired),
        (None, WithdrawUpTo(ANN, POD, 1), InsufficientFunds),
        (OPEN, WithdrawUpTo(ANN, POD, 4), AmountRequired),
        (OPEN, WithdrawUpTo(ANN, POD, 11), InsufficientFunds),
        (OPEN, Withdraw(ANN, POD, 0), AmountRequired),
        (OPEN, Withdraw(ANN, POD, 7), InsufficientFunds),
        (None, Release(ANN, POD), DoesNotExist),
    ],
)
def test_refusal(channel: Channel | None, command: ChannelCommand, error: type[PaymentError]) -> None:
    with pytest.raises(error) as caught:
        do(channel, command)
    assert type(caught.value) is error


def test_longest_unlock_time_is_365_days() -> None:
    created = do(None, CreateChannel(PIA, POD, 365 * 86400, 1)).channel
    assert created is not None
    assert created.unlock_time_s == 31_536_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Deposit(PIA, POD, -1),
        lambda: Deposit(PIA, POD, 2**256),
        lambda: Deposit(Address(PIA[:19]), POD, 1),
        lambda: Release(ANN, PodId(b"")),
        lambda: Claim(ANN, POD, -1, 1),
    ],
)
def test_values_that_do_not_fit_the_contract_are_refused_at_once(make: object) -> None:
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]


# ---------------------------------------------------------------- instants


def test_instant_of_unlocking_belongs_to_the_publisher() -> None:
    running = replace(OPEN, unlocked_at_s=NOW_S)
    with pytest.raises(ChannelLocked):
        do(running, CloseChannel(PIA, POD), now_s=NOW_S - 1)
    assert do(running, CloseChannel(PIA, POD), now_s=NOW_S).transfers == (Pay(ANN, 6),)


@pytest.mark.parametrize("late_s", [-1, 0, 1, 10_000])
def test_provider_can_claim_while_tokens_are_there(late_s: int) -> None:
    running = replace(OPEN, unlocked_at_s=NOW_S)
    outcome = do(running, WithdrawUpTo(ANN, POD, 10), now_s=NOW_S + late_s)
    assert outcome.transfers == (Pay(PIA, 6),)


def test_final_settlement_ends_the_timer_and_never_moves_it_later() -> None:
    for unlocked_at_s, after in ((0, 0), (NOW_S + 50, NOW_S), (NOW_S, NOW_S), (NOW_S - 50, NOW_S - 50)):
        settled = do(replace(OPEN, unlocked_at_s=unlocked_at_s), WithdrawUpTo(ANN, POD, 5)).channel
        assert settled is not None
        assert settled.unlocked_at_s == after


@pytest.mark.parametrize("unlocked_at_s", [0, NOW_S + 50, NOW_S - 50])
def test_routine_claim_never_touches_the_timer(unlocked_at_s: int) -> None:
    claimed = do(replace(OPEN, unlocked_at_s=unlocked_at_s), Claim(ANN, POD, 1, 5)).channel
    assert claimed == replace(OPEN, unlocked_at_s=unlocked_at_s, withdrawn_by_provider=5)


def test_claim_pays_what_there_is_or_says_why_not() -> None:
    assert do(OPEN, Claim(ANN, POD, 1, 999)).transfers == (Pay(PIA, 6),)
    for channel, claim, reason in (
        (None, Claim(ANN, POD, 1, 5), SkipReason.DOES_NOT_EXIST),
        (CHANNELS[Phase.EMPTIED][0], Claim(ANN, POD, 1, 5), SkipReason.DOES_NOT_EXIST),
        (OPEN, Claim(ANN, POD, 2, 5), SkipReason.OTHER_LIFE),
        (OPEN, Claim(ANN, POD, 1, 4), SkipReason.AMOUNT_REQUIRED),
        (replace(OPEN, withdrawn_by_provider=10), Claim(ANN, POD, 1, 999), SkipReason.AMOUNT_REQUIRED),
    ):
        outcome = do(channel, claim)
        assert outcome.events == (ClaimSkipped(KEY, reason),)
        assert outcome.channel == channel
        assert outcome.transfers == ()


# ---------------------------------------------------------------- the book


def test_channel_created_again_is_locked_from_birth_and_has_a_new_life() -> None:
    """The original's defect: emptied with nothing claimed, then created again, it could be emptied while the pod ran."""
    made = opened()
    made.execute(Unlock(PIA, POD), caller=ANN, now_s=NOW_S)
    made.execute(WithdrawUnlocked(PIA, POD), caller=ANN, now_s=NOW_S + 60)
    assert made.channel(KEY) is None
    assert made.record(KEY) == Channel(0, 0, 60, NOW_S + 60, 1)
    made.execute(Approve(PAYMENT, 10), caller=ANN, now_s=NOW_S + 60)
    made.execute(CreateChannel(PIA, POD, 60, 10), caller=ANN, now_s=NOW_S + 60)
    assert made.channel(KEY) == Channel(10, 0, 60, 0, 2)
    with pytest.raises(ChannelLocked):
        made.execute(WithdrawUnlocked(PIA, POD), caller=ANN, now_s=NOW_S + 10_000)


def test_life_survives_closing() -> None:
    made = opened(unlock_time_s=0)
    made.execute(Unlock(PIA, POD), caller=ANN, now_s=NOW_S)
    made.execute(CloseChannel(PIA, POD), caller=ANN, now_s=NOW_S)
    assert (made.record(KEY), made.life(KEY), made.available(KEY), made.withdrawn(KEY)) == (None, 1, 0, 0)
    assert made.token.balance(ANN) == 100


def test_second_unlock_changes_nothing() -> None:
    made = opened()
    first = made.execute(Unlock(PIA, POD), caller=ANN, now_s=NOW_S)
    assert first == (UnlockTimerStarted(KEY, NOW_S + 60),)
    assert made.execute(Unlock(PIA, POD), caller=ANN, now_s=NOW_S + 50) == ()
    made.execute(CloseChannel(PIA, POD), caller=ANN, now_s=NOW_S + 60)


def test_many_claims_are_one_transfer_and_a_channel_named_twice_is_paid_once() -> None:
    made = opened()
    claims = (Claim(ANN, POD, 1, 4), Claim(EVE, POD, 1, 4), Claim(ANN, POD, 1, 4), Claim(ANN, POD, 1, 9))
    events = made.execute(WithdrawMany(claims, EVE), caller=PIA, now_s=NOW_S)
    assert events == (
        Withdrawn(KEY, 4),
        ClaimSkipped(ChannelKey(EVE, PIA, POD), SkipReason.DOES_NOT_EXIST),
        ClaimSkipped(KEY, SkipReason.AMOUNT_REQUIRED),
        Withdrawn(KEY, 5),
    )
    assert (made.token.balance(EVE), made.withdrawn(KEY), made.available(KEY)) == (109, 9, 1)


def test_exact_approval_is_used_up() -> None:
    made = opened()
    assert made.token.allowance(ANN, PAYMENT) == 0
    with pytest.raises(TokenRefused, match="allowance 0"):
        made.execute(Deposit(PIA, POD, 1), caller=ANN, now_s=NOW_S)
    made.execute(Approve(PAYMENT, 95), caller=ANN, now_s=NOW_S)
    with pytest.raises(TokenRefused, match="balance 90"):
        made.execute(Deposit(PIA, POD, 95), caller=ANN, now_s=NOW_S)
    assert (made.token.balance(ANN), made.token.allowance(ANN, PAYMENT)) == (90, 95)


class StubbornToken(Token):
    """Refuses to move anything to one address, after it has moved a part."""

    refused = Address(b"T" * 20)

    def _move(self, sender: Address, to: Address, amount: int) -> None:
        super()._move(sender, to, amount)
        if to == self.refused:
            raise TokenRefused("not to this address")


def test_claims_that_the_token_refuses_change_nothing() -> None:
    made = Book(StubbornToken({ANN: 50}), PAYMENT)
    made.execute(Approve(PAYMENT, 10), caller=ANN, now_s=NOW_S)
    made.execute(CreateChannel(PIA, POD, 60, 10), caller=ANN, now_s=NOW_S)
    for command in (
        WithdrawMany((Claim(ANN, POD, 1, 4),), StubbornToken.refused),
        WithdrawUpTo(ANN, POD, 4, StubbornToken.refused),
    ):
        with pytest.raises(TokenRefused):
            made.execute(command, caller=PIA, now_s=NOW_S)
        assert (made.channel(KEY), made.token.balance(PAYMENT)) == (Channel(10, 0, 60, 0, 1), 10)
        assert made.token.balance(StubbornToken.refused) == 0


def test_block_time_zero_and_foreign_approvals_are_refused() -> None:
    with pytest.raises(BadInput, match="0 means no unlock"):
        book().execute(Unlock(PIA, POD), caller=ANN, now_s=0)
    with pytest.raises(BadInput, match="2\\*\\*256"):
        book().execute(Approve(PAYMENT, 2**256), caller=ANN, now_s=NOW_S)


def test_amounts_past_64_bits() -> None:
    huge = 10**40
    made = Book(Token({ANN: huge}), PAYMENT)
    made.execute(Approve(PAYMENT, huge), caller=ANN, now_s=NOW_S)
    made.execute(CreateChannel(PIA, POD, 60, huge), caller=ANN, now_s=NOW_S)
    made.execute(WithdrawUpTo(ANN, POD, huge - 1), caller=PIA, now_s=NOW_S)
    assert (made.available(KEY), made.token.balance(PIA)) == (1, huge - 1)


def test_keys_name_one_channel() -> None:
    assert ChannelKey.from_record(KEY.to_record()) == KEY
    assert key_of(Unlock(PIA, POD), ANN) == key_of(Release(ANN, POD), PIA) == KEY
    assert payment.keys_of(WithdrawMany((Claim(ANN, POD, 1, 1),)), PIA) == (KEY,)
