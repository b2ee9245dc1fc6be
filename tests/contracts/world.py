"""The Payment contract's bytecode and the core's rules side by side, over one of several tokens.

Every command goes to both. They have to agree on whether it is accepted, on the error's name, on the events, and
afterwards on every record and every balance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol import payment
from protocol.errors import ProtocolError, TokenRefused
from protocol.payment import MAX_UINT, Book, ChannelKey, Withdrawn
from protocol.ports import Approve
from protocol.token import Token
from protocol.units import Address, PodId
from tests.contracts.contract import Contract, call_of, refusal_name
from tests.contracts.evm import Evm, Reverted
from tests.protocol.payment_machine import FeeToken

if TYPE_CHECKING:
    from collections.abc import Iterator

ANN, BEN = Address(b"\xaa" * 20), Address(b"\xbb" * 20)  # publishers
PIA, PAT = Address(b"\xca" * 20), Address(b"\xcb" * 20)  # providers
EVE = Address(b"\xee" * 20)  # neither
TILL = Address(b"\xcc" * 20)  # where a provider may want its tokens
PODS = (PodId(b"\x01" * 32), PodId(b"\xf2" * 32))
PURSE = 200
"""Enough for an example: a publisher without tokens does nothing worth looking at."""


class BlocklistToken(Token):
    """Refuses to move anything from or to those it has blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: set[Address] = set()

    def _move(self, sender: Address, to: Address, amount: int) -> None:
        if {sender, to} & self.blocked:
            raise TokenRefused("blocked")
        super()._move(sender, to, amount)


TWINS: Final[dict[str, type[Token]]] = {
    "TestToken": Token,
    "FeeToken": FeeToken,
    "BlocklistToken": BlocklistToken,
    "ReenteringToken": Token,
    "NoReturnToken": Token,
    "FalseToken": Token,
}
"""What each token does to balances, by its contract."""


class World:
    """One chain with the contract and its token, and the book that should say the same.

    Args:
        token: the name of the token's contract.
        bytecode: Payment's creation code; None: the published one.
    """

    def __init__(self, token: str, bytecode: bytes | None = None) -> None:
        self.now_s = 5
        self.evm = Evm(now_s=self.now_s)
        self.token = Contract(self.evm, token, *([("uint8", 18)] if token == "TestToken" else []))
        self.payment = Contract(self.evm, "Payment", ("address", self.token.address), bytecode=bytecode)
        self.twin = TWINS[token]()
        self.book = Book(self.twin, self.payment.address)
        self.fee = 1 if token == "FeeToken" else 0
        self.surplus = 0  # tokens that the contract got past its channels
        self.armed = False
        self.publishers, self.providers = [ANN, BEN], [PIA, PAT]
        if token == "ReenteringToken":  # it is a party too, so that what it calls would count
            self.publishers.append(self.token.address)
            self.providers.append(self.token.address)
        self.keys = [ChannelKey(a, b, pod) for a in self.publishers for b in self.providers for pod in PODS]
        for person in (*self.publishers, EVE):
            self.twin.mint(person, PURSE)
            self.token.send(EVE, "mint", person, PURSE)

    # ------------------------------------------------------------ what happens

    def go_to(self, now_s: int) -> None:
        """Let it be `now_s` [Unix s]."""
        self.now_s = now_s
        self.evm.set_time(now_s)

    def execute(self, caller: Address, command: Any) -> tuple[Any, ...]:
        """Send `command` to the contract alone; its events.

        Raises:
            Reverted: it was refused.
        """
        if isinstance(command, Approve):
            self.token.send(caller, "approve", command.spender, command.amount)
            return ()
        name, values = call_of(command)
        if caller == self.token.address:
            data = self.payment.interface.encode(name, *values)
            return self.payment.events(self.token.send(EVE, "act", self.payment.address, data))
        return self.payment.call(caller, name, *values)

    def send(self, caller: Address, command: Any) -> tuple[Any, ...] | None:
        """Send `command` to both; the events, or None when both refuse by the same name."""
        if caller == self.token.address:  # it approves what it will
            self.book.execute(Approve(self.payment.address, MAX_UINT), caller=caller, now_s=self.now_s)
        due: tuple[Any, ...] | None = None
        found: tuple[Any, ...] | None = None
        refusal = told = None
        try:
            due = self.book.execute(command, caller=caller, now_s=self.now_s)
        except ProtocolError as error:
            refusal = type(error).__name__
        try:
            found = self.execute(caller, command)
        except Reverted as reverted:
            told = refusal_name(self.payment, reverted)
        assert told == refusal, f"{command} at {self.now_s}: {told or 'accepted'}; due was {refusal or 'yes'}"
        assert found == due, f"{command} at {self.now_s}"
        if found is not None and getattr(command, "transfer_address", None) == self.payment.address:
            paid = sum(event.withdrawn_amount for event in found if isinstance(event, Withdrawn))
            self.surplus += paid - min(self.fee, paid)
        self._check_call_from_within()
        return found

    def arm(self, command: Any) -> None:
        """Let the token send `command` in its own name in the middle of the next transfer."""
        name, values = call_of(command)
        data = self.payment.interface.encode(name, *values)
        self.token.send(EVE, "arm", self.payment.address, data)
        self.armed = True

    def send_directly(self, amount: int) -> None:
        """Eve sends tokens to the contract, past its functions."""
        self.token.send(EVE, "transfer", self.payment.address, amount)
        self.twin.transfer(EVE, self.payment.address, amount)
        self.surplus += amount - min(self.fee, amount)

    def block(self, account: Address, blocked: bool) -> None:
        """Have the token refuse an account, or not."""
        assert isinstance(self.twin, BlocklistToken)
        self.token.send(EVE, "setBlocked", account, blocked)
        (self.twin.blocked.add if blocked else self.twin.blocked.discard)(account)

    def _check_call_from_within(self) -> None:
        if self.armed and self.token.read("called"):
            self.armed = False
            assert not self.token.read("succeeded"), "the contract let itself be entered twice"
            name, _ = self.payment.interface.error(Reverted(self.token.read("returned"), 0))
            assert name == "ReentrancyGuardReentrantCall"

    # ------------------------------------------------------------ what is there

    def records(self) -> dict[ChannelKey, tuple[int, ...]]:
        """Every channel as `channelsOf` has it: invested, withdrawn, unlock time, unlocked at, life."""
        return dict(zip(self.keys, self.payment.read("channelsOf", self.keys), strict=True))

    def held(self, owner: Address) -> int:
        """What an address holds on the chain [base units]."""
        balance: int = self.token.read("balanceOf", owner)
        return balance

    def people(self) -> Iterator[Address]:
        """Whoever can hold tokens."""
        yield from dict.fromkeys((*self.publishers, *self.providers, EVE, TILL, self.payment.address))

    def check(self) -> dict[ChannelKey, tuple[int, ...]]:
        """The contract says what the book says; returns the records."""
        records = self.records()
        for key, found in records.items():
            record = self.book.record(key)
            due = (0, 0, 0, 0) if record is None else (
                record.invested_by_publisher, record.withdrawn_by_provider, record.unlock_time_s, record.unlocked_at_s
            )  # fmt: skip
            assert found == (*due, self.book.life(key)), key
        for person in self.people():
            assert self.held(person) == self.twin.balance(person), person.hex()
        for publisher in (ANN, BEN):
            allowed = self.twin.allowance(publisher, self.payment.address)
            assert self.token.read("allowance", publisher, self.payment.address) == allowed
        return records

    def check_views(self, key: ChannelKey) -> None:
        """The views of one channel agree with the book."""
        record = self.book.record(key) or payment.Channel(0, 0, 0, 0, 0)
        assert self.payment.read("channels", *key) == (
            record.invested_by_publisher, record.withdrawn_by_provider, record.unlock_time_s, record.unlocked_at_s
        )  # fmt: skip
        assert self.payment.read("available", *key) == self.book.available(key)
        assert self.payment.read("withdrawn", *key) == self.book.withdrawn(key)
        assert self.payment.read("life", *key) == self.book.life(key)
