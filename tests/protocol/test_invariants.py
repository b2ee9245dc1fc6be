"""Each invariant is silent about what is right and says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol import invariants
from protocol.payment import Book, ChannelKey, CreateChannel
from protocol.ports import Approve
from protocol.token import Token
from protocol.units import Address, PodId, Resource

ANN, PIA, PAYMENT = Address(b"A" * 20), Address(b"P" * 20), Address(b"\x01" * 20)
KEY = ChannelKey(ANN, PIA, PodId(bytes(32)))


@pytest.fixture
def book() -> Book:
    made = Book(Token({ANN: 100}), PAYMENT)
    made.execute(Approve(PAYMENT, 60), caller=ANN, now_s=1)
    made.execute(CreateChannel(PIA, KEY.pod_id, 10, 60), caller=ANN, now_s=1)
    return made


def test_tokens_conserved(book: Book) -> None:
    assert invariants.tokens_conserved(book, supply=100) == []
    assert invariants.tokens_conserved(book, supply=101) == [
        "balances sum to 100, the token says 100; there were 101"
    ]
    book.token.transfer(ANN, PAYMENT, 5)
    assert invariants.tokens_conserved(book, supply=100, sent_directly=5) == []
    assert len(invariants.tokens_conserved(book, supply=100)) == 1
    book.token.transfer(PAYMENT, ANN, 15)
    assert len(invariants.tokens_conserved(book, supply=100)) == 1
    book.token.mint(ANN, 1)
    assert len(invariants.tokens_conserved(book, supply=100)) == 2


def test_channels_sound(book: Book) -> None:
    assert invariants.channels_sound(book) == []
    good = book.record(KEY)
    assert good is not None
    for bad in (
        replace(good, withdrawn_by_provider=61),
        replace(good, withdrawn_by_provider=-1),
        replace(good, life=2),
        replace(good, unlocked_at_s=-1),
    ):
        book._records[KEY] = bad
        assert len(invariants.channels_sound(book)) == 1


def test_payments_monotone(book: Book) -> None:
    before = invariants.payments(book)
    assert before == {(KEY, 1): 0}
    assert invariants.payments_monotone(before, before) == []
    assert invariants.payments_monotone({(KEY, 1): 5}, {}) == []
    assert invariants.payments_monotone({(KEY, 1): 5}, {(KEY, 2): 0}) == []
    assert "paid 4 after 5" in invariants.payments_monotone({(KEY, 1): 5}, {(KEY, 1): 4})[0]


def test_requests_conserved() -> None:
    assert invariants.requests_conserved("pod", arrived=9, served=5, failed=3, still_there=1) == []
    assert invariants.requests_conserved("pod", arrived=9, served=5, failed=3, still_there=2)
    assert invariants.requests_conserved("pod", arrived=9, served=5, failed=5, still_there=-1)


def test_replica_time_conserved() -> None:
    assert invariants.replica_time_conserved("pod", billed_ms=7, run_ms=7) == []
    assert invariants.replica_time_conserved("pod", billed_ms=7, run_ms=8) == [
        "pod: billed 7 replica-ms; 8 ran"
    ]


def test_bill_honest() -> None:
    assert invariants.bill_honest("pod", owed=7, metered=7, paid=5, invested=5) == []
    assert len(invariants.bill_honest("pod", owed=8, metered=7, paid=6, invested=5)) == 2
    assert len(invariants.bill_honest("pod", owed=4, metered=7, paid=5, invested=9)) == 1


def test_capacity_kept() -> None:
    capacity = {Resource.CPU: 1000}
    assert invariants.capacity_kept("node", allocated={Resource.CPU: 1000}, capacity=capacity) == []
    assert invariants.capacity_kept(
        "node", allocated={Resource.CPU: 1001, Resource.GPU: 1}, capacity=capacity
    ) == [
        "node: 1001 of cpu allocated; there are 1000",
        "node: 1 of nvidia.com/gpu allocated; there are 0",
    ]
