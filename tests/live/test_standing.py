"""How one endpoint's word on a transaction is read: by receipts on the canonical chain, N deep, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from live.chain.rpc import Head, Receipt
from live.chain.sending import Standing, standing
from live.chain.signed import Ladder, Unsigned
from live.settings import GWEI
from protocol.ports import Block
from protocol.units import Address
from tests.live.chains import PROVIDER

CONFIRMATIONS = 3
HEAD = 100
FIRST = Unsigned(31337, 7, Address(b"\x01" * 20), b"\x02\x03", 100_000, 20 * GWEI, GWEI)
LADDER = Ladder(FIRST.sign(PROVIDER).raw, PROVIDER, chain_id=31337, cap_wei=10**12)
OURS = LADDER.rung(1).hash  # a replacement
ANOTHERS = b"\xaa" * 32


def block(number: int) -> Block:
    return Block(number, number.to_bytes(32, "big"), number)


def receipt(number: int, *, at: bytes | None = None) -> Receipt:
    return Receipt(OURS, number, block(number).hash if at is None else at, True, 50_000, 10**14, ())


@dataclass
class Told:
    """What an endpoint answers.

    Attributes:
        used_at: the block in which the nonce was used; None: in none.
        used_by: the transaction that used it.
        receipts: those it has.
    """

    used_at: int | None = None
    used_by: bytes = OURS
    receipts: dict[bytes, Receipt] = field(default_factory=dict)

    def nonce(self, sender: Address, number: int | str) -> int:
        seen = HEAD if number == "latest" else int(number)
        return 8 if self.used_at is not None and self.used_at <= seen else 7

    def head(self) -> Head:
        return Head(block(HEAD), GWEI)

    def block(self, number: int) -> Block | None:
        return block(number) if number <= HEAD else None

    def receipt(self, transaction: bytes) -> Receipt | None:
        return self.receipts.get(transaction)

    def mined(self, sender: Address, nonce: int, *, before: int) -> bytes:
        assert self.used_at is not None and self.used_at <= before
        return self.used_by


def read(told: Told) -> Standing:
    node: Any = told
    return standing(node, LADDER, CONFIRMATIONS)


def test_an_unused_nonce_says_nothing() -> None:
    assert read(Told()) == Standing()


@pytest.mark.parametrize(
    ("depth", "counts"), [(0, False), (CONFIRMATIONS - 1, False), (CONFIRMATIONS, True), (50, True)]
)
def test_a_receipt_counts_when_it_is_deep(depth: int, counts: bool) -> None:
    at = HEAD - depth
    found = receipt(at)
    assert read(Told(at, OURS, {OURS: found})) == Standing(found, block(at), counts=counts)


@pytest.mark.parametrize("depth", [0, CONFIRMATIONS, 50])
def test_a_receipt_of_a_block_that_was_replaced_does_not_count(depth: int) -> None:
    at = HEAD - depth
    found = receipt(at, at=b"\xee" * 32)
    assert read(Told(at, OURS, {OURS: found})) == Standing(found, block(at), counts=False)


@pytest.mark.parametrize("by", [OURS, ANOTHERS])
def test_a_nonce_used_in_a_block_that_can_still_be_undone_says_nothing(by: bytes) -> None:
    assert read(Told(HEAD - CONFIRMATIONS + 1, by)) == Standing()


def test_a_nonce_that_another_transaction_used_deep_down_is_taken() -> None:
    assert read(Told(HEAD - CONFIRMATIONS, ANOTHERS)) == Standing(taken=True)


def test_a_nonce_that_ours_used_deep_down_is_bare_without_a_receipt() -> None:
    assert read(Told(HEAD - CONFIRMATIONS, OURS)) == Standing(bare=True)
