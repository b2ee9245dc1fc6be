from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import invariants
from protocol.errors import BadInput
from protocol.payment import Channel, ChannelKey, CreateChannel, Release
from protocol.ports import Approve
from protocol.registry import RegisterProvider, Subscribe
from protocol.units import Address, Cid
from sim.chain.contracts import ModelContracts
from sim.chain.fees import Eip1559
from sim.chain.forks import NEVER, Forks
from sim.chain.model import ModelLedger
from sim.chain.transactions import AnyCommand
from tests.sim.chain.test_model import ANN, BEN, ETHER, GENESIS_S, KEY, PAYMENT, PIA, POD, at, commands, put

GWEI = 10**9
KEYS = [KEY, ChannelKey(BEN, PIA, POD), ChannelKey(ANN, ANN, POD)]


def ledger(forks: Forks = NEVER) -> ModelLedger:
    return ModelLedger(
        ModelContracts({ANN: 10**30, BEN: 10**30}, PAYMENT, keeps=forks.most > 0),
        native={ANN: ETHER, BEN: ETHER, PIA: ETHER},
        block_time_s=12,
        market=Eip1559(base_wei=GWEI, tip_wei=0, block_gas=3 * 10**7),
        chain_id=31337,
        start_s=GENESIS_S,
        forks=forks,
    )


class Planned(Forks):
    """Reorganisations where a test wants them."""

    def __init__(
        self, depths: dict[int, int], most: int = 5, lost: frozenset[int] = frozenset(), final: int = 99
    ) -> None:
        super().__init__(prob=1.0, most=most, final=final)
        self.depth = lambda number: min(depths.get(number, 0), number - 1)  # type: ignore[assignment]
        self._places = lost

    def drops(self, at: int, place: int, depth: int) -> bool:
        return depth <= self.final and place in self._places


def state(chain: ModelLedger, block: int) -> dict[str, Any]:
    """All that anybody can read, and what is under it."""
    book = chain.book
    return {
        "channels": chain.channels(KEYS, block),
        "records": dict(book.records()),
        "lives": [book.life(key) for key in KEYS],
        "tokens": [chain.balance(a, block) for a in (ANN, BEN, PIA, PAYMENT)],
        "allowances": [book.token.allowance(a, PAYMENT) for a in (ANN, BEN, PIA)],
        "native": [chain.native_balance(a, block) for a in (ANN, BEN, PIA)],
        "nonces": [chain.nonce(a) for a in (ANN, BEN, PIA)],
        "registry": chain.registry(block),
        "fees": (chain.burnt_wei, chain.tips_wei),
        "base": chain.market.base_wei(block + 1),
    }


def turn(chain: ModelLedger, block: int) -> list[int]:
    return [chain.turn(provider, block) for provider in (PIA, ANN)]


def test_the_same_again_on_another_branch_is_another_turn() -> None:
    chain = ledger(Planned({3: 2}))
    put(chain, ANN, Approve(PAYMENT, 10), CreateChannel(PIA, POD, 60, 10), price=5 * GWEI)
    chain.mine(at(1))
    before = chain.turn(PIA, 1)
    chain.mine(at(2))
    assert chain.turn(PIA, 2) == before > 0 == chain.turn(ANN, 2)
    assert chain.mine(at(3)).receipts  # undone, and mined again
    assert chain.turn(PIA, 1) == 0 and chain.turn(PIA, 3) not in (0, before)


anything = st.one_of(
    commands, st.sampled_from([RegisterProvider(Cid("a")), RegisterProvider(Cid("b")), Subscribe(1)])
)
blocks = st.lists(
    st.lists(st.tuples(st.sampled_from([ANN, BEN, PIA]), anything), max_size=4), min_size=8, max_size=8
)


@settings(max_examples=40)
@given(blocks, st.integers(1, 5))
def test_what_is_undone_never_was(plan: list[list[tuple[Address, AnyCommand]]], depth: int) -> None:
    """Eight blocks, the last `depth` of them undone: as a chain that had only those before, in every view and record."""
    chain, other = ledger(Planned({9: depth}, lost=frozenset(range(99)))), ledger()
    views, turns = {}, {}
    for number, sent in enumerate(plan, start=1):
        for sender, command in sent:
            put(chain, sender, command, price=5 * GWEI)
            if number <= 8 - depth:
                put(other, sender, command, price=5 * GWEI)
        chain.mine(at(number))
        turns[number] = turn(chain, number)
        if number <= 8 - depth:
            other.mine(at(number))
            views[number] = chain.channels(KEYS, number)
    undone = chain.mine(at(9)).undone
    other.mine(at(9))
    assert state(chain, 9) == state(other, 9)
    assert all(chain.channels(KEYS, number) == seen for number, seen in views.items())
    for number in turns:
        assert turn(chain, number) == turns[min(number, 8 - depth)]
    void = sum(len(sent) for sent in plan[8 - depth :])
    assert sum(len(u.receipts) for u in undone) == void
    assert all(chain.receipt(r.hash) is None for u in undone for r in u.receipts)
    assert chain.native_supply() + chain.fees_wei == 3 * ETHER
    assert invariants.tokens_conserved(chain.book, supply=2 * 10**30) == []


@settings(max_examples=40)
@given(blocks, st.dictionaries(st.integers(2, 12), st.integers(1, 5)), st.booleans())
def test_what_is_undone_returns_and_every_sender_keeps_its_order(
    plan: list[list[tuple[Address, AnyCommand]]], depths: dict[int, int], skips: bool
) -> None:
    """Nothing is lost from the pool, whatever reorganises when, empty blocks mined or not."""
    chain = ledger(Planned(depths))
    hashes: list[bytes] = []
    for number, sent in enumerate(plan, start=1):
        for sender, command in sent:
            hashes += put(chain, sender, command, price=5 * GWEI)
        if not skips or sent or chain.has_pending or chain.next_reorganisation() == number:
            chain.mine(at(number))
    for number in range(9, 30):
        if chain.has_pending or chain.next_reorganisation() == number:
            chain.mine(at(number))
    receipts = [chain.receipt(h) for h in hashes]
    assert all(receipts) and not chain.has_pending and chain.next_reorganisation() is None
    for sender in (ANN, BEN, PIA):
        mine = [r for r in receipts if r is not None and r.tx.sender == sender]
        assert [r.tx.nonce for r in mine] == list(range(len(mine)))
        assert [r.block.number for r in mine] == sorted(r.block.number for r in mine)


def test_a_new_branch_has_other_hashes_and_deep_readers_never_see_one_change() -> None:
    chain = ledger(Forks(prob=0.3, most=3, deeper=0.5, when=(1, 2)))
    confirmations = 4
    seen: dict[int, bytes] = {}
    changed = 0
    for head in range(1, 400):
        for number in range(1, head + 1)[-8:]:
            digest = chain.block(number, head).hash
            if seen.get(number, digest) != digest:
                assert number > head - confirmations
                changed += 1
            seen[number] = digest
    assert changed > 50 and len(set(seen.values())) == len(seen)


def test_depths_follow_their_law() -> None:
    """Within 4.5 standard errors over 40,000 blocks."""
    forks = Forks(prob=0.1, most=3, deeper=0.4, when=(3, 4))
    n = 40_000
    counts = [0, 0, 0, 0]
    for number in range(10, n + 10):
        counts[forks.depth(number)] += 1
    for depth, prob in ((1, 0.1 * 0.6), (2, 0.1 * 0.4 * 0.6), (3, 0.1 * 0.16)):
        assert abs(counts[depth] - n * prob) < 4.5 * (n * prob * (1 - prob)) ** 0.5


def test_what_is_lost_is_lost_by_chance_unless_it_was_final() -> None:
    forks = Forks(prob=0.5, most=6, drop_prob=0.3, final=4, lost=(5, 6))
    lost = sum(forks.drops(at_block, place, 3) for at_block in range(2000) for place in range(5))
    assert abs(lost - 3000) < 4.5 * (10_000 * 0.21) ** 0.5
    assert not any(forks.drops(at_block, 0, 4) for at_block in range(2000))


def test_a_lost_transaction_is_sent_again_and_those_behind_it_wait() -> None:
    chain = ledger(Planned({3: 2}, lost=frozenset({0})))
    first, second = put(chain, ANN, RegisterProvider(Cid("a")), RegisterProvider(Cid("b")), price=5 * GWEI)
    one = chain.mine(at(1)).receipts[0].tx
    mined = chain.mine(at(3))
    assert mined.receipts == () and mined.undone[0].dropped == {first} and mined.undone[0].first == 1
    assert chain.receipt(second) is None and chain.next_nonce(ANN) == 0
    assert chain.submit(one) == first
    assert [r.hash for r in chain.mine(at(4)).receipts] == [first, second]


def test_no_branch_changes_while_no_blocks_are_made() -> None:
    forks = Forks(prob=1.0, most=1, still=[(5, 9)])
    assert [forks.depth(number) for number in range(3, 11)] == [1, 1, 0, 0, 0, 0, 1, 1]
    assert forks.first_after(4, 4) is None and forks.first_after(3, 3) == 4


@pytest.mark.parametrize(
    "wrong", [{"prob": 1.5}, {"deeper": -0.1}, {"drop_prob": 2}, {"most": -1}, {"final": 0}]
)
def test_chances_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Forks(**wrong)


def test_a_channel_whose_creation_was_undone_had_no_life() -> None:
    chain = ledger(Planned({4: 2}, lost=frozenset({1})))
    put(chain, ANN, Approve(PAYMENT, 5), price=5 * GWEI)
    chain.mine(at(1))
    put(chain, ANN, CreateChannel(PIA, POD, 60, 5), price=5 * GWEI)
    chain.mine(at(2))
    put(chain, PIA, Release(ANN, POD), price=5 * GWEI)
    chain.mine(at(3))
    assert chain.book.life(KEY) == 1 and chain.channel(KEY, 2) is not None and chain.channel(KEY, 3) is None
    undone = chain.mine(at(4)).undone[0]
    assert [r.block.number for r in undone.receipts] == [2, 3] and len(undone.dropped) == 1
    # The creation came back in block 4, as the first; its release is lost.
    assert chain.channel(KEY, 3) is None and chain.channel(KEY, 4) == Channel(5, 0, 60, 0, 1)
    alone = ledger(Planned({3: 1}, lost=frozenset({0})))
    put(alone, ANN, Approve(PAYMENT, 5), price=5 * GWEI)
    alone.mine(at(1))
    put(alone, ANN, CreateChannel(PIA, POD, 60, 5), price=5 * GWEI)
    alone.mine(at(2))
    alone.mine(at(3))
    assert alone.book.life(KEY) == 0 and list(alone.book.records()) == []
