"""The contracts behind a ledger: what a backend has to do, and the model backend, which has no EVM.

`sim.chain.evm` is the other: the compiled bytecode.

A ledger orders transactions, takes fees and keeps blocks; what a transaction does is the backend's. It can be
taken back: a checkpoint before each block, `revert` to one when a reorganisation undoes the blocks since
(an EVM's `snapshot` and `revert`), `forget` when none will come any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from protocol import payment
from protocol import registry as registry_rules
from protocol.errors import ProtocolError
from protocol.payment import Book, keys_of
from protocol.ports import Approve, Block
from protocol.registry import Registry
from protocol.token import Token
from sim.chain.gas import REVERTED, gas_of
from sim.chain.history import History
from sim.chain.undo import UndoLog

if TYPE_CHECKING:
    from protocol.payment import BookView, Channel, ChannelKey, Outcome, PaymentEvent
    from protocol.registry import RegistryEvent
    from protocol.units import Address
    from sim.chain.transactions import AnyCommand

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of a command.

    Attributes:
        gas_used: units of gas, at most `Contracts.gas_limit` of the command.
        events: what was emitted, in order; none when it was refused.
        error: the Solidity error's name; nothing changed. None: it succeeded.
    """

    gas_used: int
    events: tuple[PaymentEvent | RegistryEvent, ...] = ()
    error: str | None = None


class Contracts(Protocol):
    """Payment, its token and Registry. Views are of the state after a block, which must not be too old."""

    def gas_limit(self, command: AnyCommand) -> int:
        """What a command can use: its sender must be able to pay for it, and the block must have room for it."""
        ...

    def execute(self, command: AnyCommand, sender: Address, block: Block) -> Executed:
        """Carry out a command in a block."""
        ...

    def checkpoint(self) -> int:
        """A name for the state as it is now; later ones are larger."""
        ...

    def revert(self, checkpoint: int) -> None:
        """Be as at `checkpoint`, views included; checkpoints after it are void."""
        ...

    def forget(self, checkpoint: int) -> None:
        """Nobody will revert to anything before `checkpoint`."""
        ...

    def channels(self, keys: Iterable[ChannelKey], block: int) -> dict[ChannelKey, Channel | None]:
        """Channels after `block`; None where there is none."""
        ...

    def balance(self, owner: Address, block: int) -> int:
        """What `owner` holds of the payment token after `block` [base units]."""
        ...

    def registry(self, block: int) -> Registry:
        """The registry after `block`."""
        ...

    @property
    def book(self) -> BookView:
        """The Payment contract as it is now, for observers."""
        ...


class ModelContracts:
    """The rules of `protocol.payment` and `protocol.registry`. See `Contracts`.

    Args:
        tokens: what each address holds of the payment token at genesis [base units].
        payment: address of the Payment contract.
        registry: the Registry at genesis.
        history_blocks: how many blocks back can be read, at least 1.
        keeps: whether it can be taken back.
    """

    def __init__(
        self,
        tokens: Mapping[Address, int],
        payment: Address,
        registry: Registry | None = None,
        *,
        history_blocks: int = 128,
        keeps: bool = True,
    ) -> None:
        self._undo = UndoLog(keeps=keeps)
        self._book = _UndoBook(_UndoToken(tokens, self._undo), payment, self._undo)
        self._registry = registry if registry is not None else Registry()
        self._channels: History[ChannelKey, Channel | None] = History(history_blocks)
        self._tokens: History[Address, int] = History(history_blocks)
        self._registries: History[None, Registry] = History(history_blocks)

    def gas_limit(self, command: AnyCommand) -> int:
        """See `Contracts.gas_limit`; a command that succeeds uses all of it."""
        return gas_of(command)

    def execute(self, command: AnyCommand, sender: Address, block: Block) -> Executed:
        """See `Contracts.execute`."""
        gas = gas_of(command)
        try:
            return Executed(gas, self._execute(command, sender, block))
        except ProtocolError as refusal:
            return Executed(min(gas, REVERTED), error=type(refusal).__name__)

    def _execute(
        self, command: AnyCommand, sender: Address, block: Block
    ) -> tuple[PaymentEvent | RegistryEvent, ...]:
        match command:
            case Approve():
                return self._book.execute(command, caller=sender, now_s=block.time_s)
            case (
                registry_rules.RegisterProvider()
                | registry_rules.DeregisterProvider()
                | registry_rules.RegisterPricingTable()
                | registry_rules.Subscribe()
                | registry_rules.Unsubscribe()
            ):
                before = self._registry
                after, emitted = registry_rules.apply(before, command, caller=sender)
                self._undo.attribute(self, "_registry")
                self._registry = after
                self._put(self._registries, None, block, before, after)
                return emitted
            case _:
                return self._payment(command, sender, block)

    def checkpoint(self) -> int:
        """See `Contracts.checkpoint`."""
        return self._undo.mark()

    def revert(self, checkpoint: int) -> None:
        """See `Contracts.revert`."""
        self._undo.back_to(checkpoint)

    def forget(self, checkpoint: int) -> None:
        """See `Contracts.forget`."""
        self._undo.forget(checkpoint)

    def channels(self, keys: Iterable[ChannelKey], block: int) -> dict[ChannelKey, Channel | None]:
        """See `Contracts.channels`."""
        keys = list(keys)
        found: dict[ChannelKey, Channel | None] = self._channels.latest(keys, block)
        for key in keys:
            if key not in found:
                found[key] = self._channels.at(key, block, self._book.channel(key))
        return found

    def balance(self, owner: Address, block: int) -> int:
        """See `Contracts.balance`."""
        return self._tokens.at(owner, block, self._book.token.balance(owner))

    def registry(self, block: int) -> Registry:
        """See `Contracts.registry`."""
        return self._registries.at(None, block, self._registry)

    @property
    def book(self) -> BookView:
        """See `Contracts.book`."""
        return self._book

    def _payment(self, command: payment.Command, sender: Address, block: Block) -> tuple[PaymentEvent, ...]:
        book = self._book
        before = {key: book.channel(key) for key in keys_of(command, sender)}
        events = book.execute(command, caller=sender, now_s=block.time_s)
        for key, channel in before.items():
            after = book.channel(key)
            if after != channel:
                self._put(self._channels, key, block, channel, after)
        for owner, held in book.token.commit().items():
            self._put(self._tokens, owner, block, held, book.token.balance(owner))
        return events

    def _put(self, history: History[K, V], key: K, block: Block, before: V, after: V) -> None:
        self._undo.note(partial(history.cut, key, block.number))
        history.put(key, block.number, before=before, after=after)


class _UndoToken(Token):
    """A token whose changes are noted, those that are rolled back at once included: that does no harm."""

    def __init__(self, balances: Mapping[Address, int], undo: UndoLog) -> None:
        super().__init__(balances)
        self._log = undo

    def _set_balance(self, owner: Address, amount: int) -> None:
        self._log.item(self._balances, owner)
        super()._set_balance(owner, amount)

    def _set_allowance(self, pair: tuple[Address, Address], amount: int) -> None:
        self._log.item(self._allowances, pair)
        super()._set_allowance(pair, amount)


class _UndoBook(Book):
    """A book whose changes are noted."""

    def __init__(self, token: Token, payment: Address, undo: UndoLog) -> None:
        super().__init__(token, payment)
        self._log = undo

    def _keep(self, key: ChannelKey, outcome: Outcome) -> None:
        self._log.item(self._records, key)
        self._log.item(self._lives, key)
        super()._keep(key, outcome)


if TYPE_CHECKING:
    _is_a_backend: type[Contracts] = ModelContracts
