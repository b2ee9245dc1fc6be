"""The payment channel: the rules of the Payment contract, as data and a pure function.

A publisher invests tokens in a channel for one provider and one pod; the provider claims from it
what the pod has used; the publisher gets the rest back after an unlock time. Amounts are token base
units, times are whole seconds of block time. Who may do what follows from the key alone: a command
of a publisher acts on the channel whose publisher is the caller, a command of a provider on the one
whose provider is the caller, so nobody else can move a channel's funds.

`apply` is the only place where a channel changes; what `TRANSITIONS` does not list for a phase is
refused. The refusals are checked in the order in which the contract lists them. `Book` adds the
token and makes each command atomic.

Instants: an unlock has passed at `now_s >= unlocked_at_s`, the instant itself included. A provider
can claim while tokens are there, before and after that instant; from that instant on the publisher
may be quicker.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from protocol.errors import (
    AlreadyExists,
    AmountRequired,
    BadInput,
    ChannelLocked,
    DoesNotExist,
    InsufficientFunds,
    PaymentError,
    UnlockTimeTooLong,
)
from protocol.ports import Approve
from protocol.units import Address, PodId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from protocol.token import Token

MAX_UNLOCK_TIME_S: Final = 365 * 24 * 3600
"""The longest unlock time a channel can have [s]; the contract's `UnlockTimeTooLong` is past it."""
MAX_UINT: Final = 2**256 - 1
ZERO_ADDRESS: Final = Address(bytes(20))
"""As a transfer address it means "the caller"."""


# ---------------------------------------------------------------- the channel


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

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Channel:
        """The channel of a stored form."""
        return cls(**record)


def phase_of(channel: Channel | None, *, now_s: int) -> Phase:
    """The phase of `channel` at `now_s` [Unix s]; None stands for no record."""
    if channel is None:
        return Phase.ABSENT
    if not channel.exists:
        return Phase.EMPTIED
    if channel.unlocked_at_s == 0:
        return Phase.OPEN
    return Phase.UNLOCKED if now_s >= channel.unlocked_at_s else Phase.UNLOCKING


# ---------------------------------------------------------------- commands


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


@dataclass(frozen=True, slots=True)
class Function:
    """How a command is called in the contract.

    Attributes:
        name: the function's name.
        arguments: (name in the command, name in the contract, ABI type), in the contract's order.
    """

    name: str
    arguments: tuple[tuple[str, str, str], ...]

    @property
    def signature(self) -> str:
        """The canonical signature, such as `unlock(address,bytes32)`, whose keccak starts the call's data."""
        return f"{self.name}({','.join(kind for _, _, kind in self.arguments)})"


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


# ---------------------------------------------------------------- events and transfers


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


# ---------------------------------------------------------------- the rules

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


# ---------------------------------------------------------------- the ledger


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
        """The channel, or None where there is none (an emptied record is none)."""
        record = self._records.get(key)
        return record if record is not None and record.exists else None

    def record(self, key: ChannelKey) -> Channel | None:
        """The record as the contract's `channels` view has it, emptied ones included."""
        return self._records.get(key)

    def life(self, key: ChannelKey) -> int:
        """How often the channel was created; survives closing."""
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
