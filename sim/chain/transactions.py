"""Transactions of the simulated chains: their bytes, their hashes, their receipts.

The bytes stand for a signed transaction: they hold all of it, so that a party can journal them, crash, and
send them again. Hashes are SHA-256 of the bytes: they identify, nobody has to find them on a real chain.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from protocol import payment, registry
from protocol.abi import Function
from protocol.errors import BadInput, TrustedPodsError
from protocol.payment import Claim
from protocol.ports import Approve
from protocol.units import Address, PodId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.payment import PaymentEvent
    from protocol.ports import Block
    from protocol.registry import RegistryEvent

AnyCommand = payment.Command | registry.Command | Approve
"""Whatever a party can send: to the Payment contract, to the Registry, to the token."""

_ALL: Final[list[tuple[type[AnyCommand], Function]]] = [
    *payment.FUNCTIONS.items(),
    *registry.FUNCTIONS.items(),
    (Approve, Function("approve", (("spender", "spender", "address"), ("amount", "amount", "uint256")))),
]
FUNCTIONS: Final[Mapping[type[AnyCommand], Function]] = dict(_ALL)
"""Each command's function."""
PRICE_BUMP: Final = 10
"""A replacement pays at least this much more [%]; geth's `--txpool.pricebump`."""
_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_BY_NAME: Final = {function.name: (kind, function) for kind, function in FUNCTIONS.items()}


class TxRejected(TrustedPodsError):
    """The node does not take the transaction; it is not pending and costs nothing.

    Args:
        reason: `NonceTooLow`, `Underpriced`, `TipAboveFeeCap` or `InsufficientGasFunds`.
        detail: the value and what is allowed.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Tx:
    """A signed transaction; it has no slots, so that it can keep its hash, which is asked for often.

    Attributes:
        chain_id: EIP-155 id; a ledger takes only its own.
        sender: who signed it.
        nonce: the sender's, from 0.
        gas_price_wei: the most a unit of gas is paid with [base units of the gas token].
        command: what is asked.
        priority_wei: the most of it that goes to the builder, as in EIP-1559; None: a legacy transaction, which
            pays all of its price whatever the base fee.
    """

    chain_id: int
    sender: Address
    nonce: int
    gas_price_wei: int
    command: AnyCommand
    priority_wei: int | None = None

    def tip_wei(self, base_wei: int) -> int:
        """What a builder gets for a unit of gas in a block with this base fee; below 0 it cannot be included."""
        above = self.gas_price_wei - base_wei
        return above if self.priority_wei is None else min(self.priority_wei, above)

    def outbids(self, other: Tx) -> bool:
        """Whether it pays enough more than `other`, of the same nonce, to replace it: in price and in tip."""
        least = 100 + PRICE_BUMP
        mine, theirs = (t.gas_price_wei if t.priority_wei is None else t.priority_wei for t in (self, other))
        return self.gas_price_wei * 100 >= other.gas_price_wei * least and mine * 100 >= theirs * least

    def bumped(self, percent: int) -> Tx:
        """The same at a price and a tip so much higher, rounded up."""
        price, tip = (
            None if wei is None else -(-wei * (100 + percent) // 100)
            for wei in (self.gas_price_wei, self.priority_wei)
        )
        assert price is not None
        return replace(self, gas_price_wei=price, priority_wei=tip)

    def to_bytes(self) -> bytes:
        """All of it; equal transactions have equal bytes."""
        function = FUNCTIONS[type(self.command)]
        values = [_plain(getattr(self.command, name)) for name, _, _ in function.arguments]
        tip = self.priority_wei
        price = self.gas_price_wei if tip is None else [self.gas_price_wei, tip]
        body = [self.chain_id, self.sender.hex(), self.nonce, price, function.name, values]
        return _JSON.encode(body).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Tx:
        """The transaction that `to_bytes` wrote.

        Raises:
            BadInput: the bytes are not of a transaction.
        """
        try:
            chain_id, sender, nonce, price, name, values = json.loads(raw)
            kind, function = _BY_NAME[name]
            read = [_read(abi, value) for (_, _, abi), value in zip(function.arguments, values, strict=True)]
            most, tip = price if isinstance(price, list) else (price, None)
            return cls(chain_id, Address(bytes.fromhex(sender)), nonce, most, kind(*read), tip)
        except (ValueError, KeyError, TypeError) as exc:
            raise BadInput(f"not a transaction: {raw[:60]!r}") from exc

    @cached_property
    def hash(self) -> bytes:
        """32 bytes that name it."""
        return hashlib.sha256(b"trusted-pods/model-tx/" + self.to_bytes()).digest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction that was mined.

    Attributes:
        hash: the transaction's.
        block: where.
        error: the Solidity error's name; None when it succeeded.
        events: what the contracts emitted, in order; none when it was refused.
        gas_used: units of gas.
        fee_wei: what the sender paid [base units of the gas token].
        tx: the transaction.
        burnt_wei: what of the fee was burnt [base units of the gas token].
    """

    hash: bytes
    block: Block
    error: str | None
    events: tuple[PaymentEvent | RegistryEvent, ...]
    gas_used: int
    fee_wei: int
    tx: Tx
    burnt_wei: int = 0


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case Claim():
            return [value.publisher.hex(), value.pod_id.hex(), value.life, value.total]
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _read(abi: str, value: Any) -> Any:
    match abi:
        case "address" | "bytes32":
            return bytes.fromhex(value)
        case "uint256[5]":
            return tuple(value)
        case "(address,bytes32,uint256,uint256)[]":
            return tuple(
                Claim(Address(bytes.fromhex(p)), PodId(bytes.fromhex(pod)), life, total)
                for p, pod, life, total in value
            )
        case _:
            return value
