"""Signed transactions, and the fee bumps that follow from their bytes.

A transaction that stays behind is replaced by one with the same nonce and command that pays a quarter more. Which
bumps there can be follows from the first transaction's bytes alone, because signatures are deterministic (RFC 6979):
whoever holds the journalled bytes can name every replacement that was ever sent, and ask for its receipt. So a
replacement needs no journal of its own. All of them share one nonce, so at most one is ever mined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from rlp.exceptions import RLPException

from protocol.errors import BadInput
from protocol.identity import format_address
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eth_account.signers.local import LocalAccount

    from live.chain.rpc import NodeRefused

BUMP: Final = (5, 4)
"""A replacement pays so much more; nodes ask for 10 % (geth's `txpool.pricebump`) or 12.5 %."""
BUMPS: Final = 20
"""So many replacements at most: the last pays 87 times the first.

Both are part of the journal's form: whoever takes a journal up finds the replacements that were sent by these."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An EIP-1559 transaction.

    Attributes:
        chain_id: EIP-155 id.
        nonce: the sender's.
        to: the contract; None makes a new one.
        data: the call's.
        gas: limit, in units of gas.
        max_fee_wei: the most that is paid for a unit of gas [wei].
        tip_wei: of it, what the block's maker gets at most [wei].
    """

    chain_id: int
    nonce: int
    to: Address | None
    data: bytes
    gas: int
    max_fee_wei: int
    tip_wei: int

    def bumped(self) -> Unsigned:
        """The next replacement; both fees are rounded up, and neither stays as it was."""
        numerator, denominator = BUMP
        return replace(
            self,
            max_fee_wei=max(self.max_fee_wei + 1, -(-self.max_fee_wei * numerator // denominator)),
            tip_wei=max(self.tip_wei + 1, -(-self.tip_wei * numerator // denominator)),
        )

    def sign(self, account: LocalAccount) -> Signed:
        """The bytes to send; the same for the same transaction and key."""
        made = account.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self.nonce,
                "to": self.to or b"",
                "data": self.data,
                "gas": self.gas,
                "maxFeePerGas": self.max_fee_wei,
                "maxPriorityFeePerGas": self.tip_wei,
                "value": 0,
            }
        )
        return Signed(self, bytes(made.raw_transaction), bytes(made.hash))

    @property
    def cost_wei(self) -> int:
        """What the sender has to hold [wei]."""
        return self.gas * self.max_fee_wei


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction."""

    unsigned: Unsigned
    raw: bytes
    hash: bytes


def parse(raw: bytes) -> tuple[Unsigned, Address]:
    """A transaction from its bytes, and who signed it.

    Raises:
        BadInput: the bytes are not of a transaction that `Unsigned.sign` made.
    """
    try:
        fields: dict[str, Any] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        sender = Address(bytes.fromhex(Account.recover_transaction(raw)[2:]))
        unsigned = Unsigned(
            chain_id=fields["chainId"],
            nonce=fields["nonce"],
            to=Address(bytes(fields["to"])) or None,
            data=bytes(fields["data"]),
            gas=fields["gas"],
            max_fee_wei=fields["maxFeePerGas"],
            tip_wei=fields["maxPriorityFeePerGas"],
        )
    except (KeyError, TypeError, ValueError, ValidationError, RLPException) as error:
        raise BadInput(f"these are no bytes of a transaction: {raw[:40].hex()}…") from error
    return unsigned, sender


class Ladder:
    """A transaction and its replacements, each made when it is needed.

    Args:
        raw: the first transaction's bytes, as they were journalled.
        account: who signs.
        chain_id: EIP-155 id.
        cap_wei: the most that is paid for a unit of gas [wei]; it bounds what is sent, not what is looked for,
            so that it may be changed while transactions are under way.

    Raises:
        BadInput: the bytes are of another chain or another sender, or of no transaction.
    """

    def __init__(self, raw: bytes, account: LocalAccount, *, chain_id: int, cap_wei: int) -> None:
        first, sender = parse(raw)
        if first.chain_id != chain_id:
            raise BadInput(f"a transaction for chain {first.chain_id}; this is chain {chain_id}")
        if format_address(sender) != account.address:
            raise BadInput(f"a transaction of {format_address(sender)}; the key is {account.address}'s")
        self.sender: Final = sender
        self.nonce: Final = first.nonce
        self._account = account
        self._cap_wei = cap_wei
        self._rungs = [first.sign(account)]
        if self._rungs[0].raw != raw:
            raise BadInput(
                "the transaction's bytes cannot be made again: its replacements would not be known"
            )

    def rung(self, index: int) -> Signed:
        """The first transaction (0) or a replacement (up to `BUMPS`)."""
        while len(self._rungs) <= index:
            self._rungs.append(self._rungs[-1].unsigned.bumped().sign(self._account))
        return self._rungs[index]

    def can_climb(self, index: int) -> bool:
        """Whether the replacement after `index` may be sent."""
        return index < BUMPS and self._rungs[index].unsigned.bumped().max_fee_wei <= self._cap_wei

    def hashes(self) -> Iterator[bytes]:
        """The hash of everything that may have been sent for this nonce, the likeliest first."""
        return (self.rung(index).hash for index in range(BUMPS + 1))


class Verdict(Enum):
    """What a node's refusal of a transaction means."""

    TAKEN = "it was taken"
    KNOWN = "it was taken before"
    NONCE_TOO_LOW = "NonceTooLow"
    UNDERPRICED = "Underpriced"
    NO_GAS_FUNDS = "InsufficientGasFunds"
    OTHER = "Refused"


_WORDS: Final = (
    (Verdict.KNOWN, ("already known", "known transaction", "already imported", "alreadyknown", "already_exists")),
    (Verdict.UNDERPRICED, ("underpriced", "fee too low", "less than block base fee", "feetoolow", "below the minimum")),
    (Verdict.NONCE_TOO_LOW, ("nonce too low", "oldnonce", "old_nonce", "nonce_too_low", "nonce is too low")),
    (Verdict.NO_GAS_FUNDS, ("insufficient funds", "insufficientfunds", "upfront cost exceeds", "does not have enough balance")),
)  # fmt: skip
"""The words of geth, erigon, reth, anvil, nethermind and besu; there is no standard."""


def verdict(refusal: NodeRefused) -> Verdict:
    """What a node's refusal means. It decides what is tried next; what happened is judged by receipts alone."""
    message = refusal.message.lower()
    for meaning, words in _WORDS:
        if any(word in message for word in words):
            return meaning
    return Verdict.OTHER
