from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.payment import (
    Claim,
    CloseChannel,
    CreateChannel,
    Deposit,
    Unlock,
    WithdrawMany,
    WithdrawUnlocked,
    WithdrawUpTo,
)
from protocol.ports import Approve
from protocol.units import Address
from sim.chain.contracts import ModelContracts
from sim.chain.fees import Constant
from sim.chain.model import ModelLedger
from sim.chain.pool import Ordering
from sim.chain.transactions import AnyCommand, Tx
from tests.sim.chain.test_model import ANN, BEN, ETHER, GENESIS_S, KEY, PAYMENT, PIA, POD, at, put

ESCAPES: list[AnyCommand] = [WithdrawUnlocked(PIA, POD), CloseChannel(PIA, POD), Unlock(PIA, POD)]
CLAIMS: list[AnyCommand] = [WithdrawUpTo(ANN, POD, 1), WithdrawMany((Claim(ANN, POD, 1, 1),))]
OTHERS: list[AnyCommand] = [Approve(PAYMENT, 1), Deposit(PIA, POD, 1)]
SENDERS = [ANN, BEN, PIA, Address(b"Q" * 20), Address(b"R" * 20)]


def ledger(ordering: Ordering) -> ModelLedger:
    return ModelLedger(
        ModelContracts({ANN: 10**30}, PAYMENT),
        native=dict.fromkeys(SENDERS, ETHER),
        block_time_s=12,
        market=Constant(10),
        chain_id=31337,
        start_s=GENESIS_S,
        ordering=ordering,
    )


def mined(chain: ModelLedger, block: int) -> list[tuple[Address, AnyCommand]]:
    return [(r.tx.sender, r.tx.command) for r in chain.mine(at(block)).receipts]


def waiting(chain: ModelLedger) -> None:
    """A claim that came first and pays most, then another command, then an unlock."""
    put(chain, PIA, CLAIMS[0], price=30)
    put(chain, BEN, OTHERS[0], price=10)
    put(chain, ANN, ESCAPES[2], price=20)


@pytest.mark.parametrize(
    ("ordering", "order"),
    [("fee", [PIA, ANN, BEN]), ("arrival", [PIA, BEN, ANN]), ("adversary", [ANN, BEN, PIA])],
)
def test_builders_differ(ordering: Ordering, order: list[Address]) -> None:
    chain = ledger(ordering)
    waiting(chain)
    assert [sender for sender, _ in mined(chain, 1)] == order


def test_the_adversary_lets_the_publisher_out_before_the_claim_that_was_earlier_and_paid_more() -> None:
    """The block in which an unlock ends: by fee the provider is paid, by the adversary it comes too late."""
    left = {}
    for ordering in ("fee", "arrival", "adversary"):
        chain = ledger(ordering)
        put(chain, ANN, Approve(PAYMENT, 100), CreateChannel(PIA, POD, 60, 100), Unlock(PIA, POD))
        chain.mine(at(1))
        put(chain, PIA, WithdrawUpTo(ANN, POD, 40), price=99)
        put(chain, ANN, WithdrawUnlocked(PIA, POD))
        chain.mine(at(6))
        left[ordering] = chain.balance(PIA, 6)
        assert chain.channel(KEY, 6) is None or ordering != "adversary"
    assert left == {"fee": 40, "arrival": 40, "adversary": 0}


@given(
    st.sampled_from(["fee", "arrival", "adversary"]),
    st.lists(
        st.tuples(st.sampled_from(SENDERS), st.sampled_from([*ESCAPES, *CLAIMS, *OTHERS]), st.integers(1, 5)),
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_no_order_breaks_nonces_or_leaves_anything_out(
    ordering: Ordering, sent: list[tuple[Address, AnyCommand, int]], chance: object
) -> None:
    chain = ledger(ordering)
    nonces = dict.fromkeys(SENDERS, 0)
    txs = []
    for sender, command, price in sent:
        txs.append(Tx(chain.chain_id, sender, nonces[sender], price, command))
        nonces[sender] += 1
    chance.shuffle(txs)  # type: ignore[attr-defined]
    for one in txs:
        chain.submit(one)
    receipts = chain.mine(at(1)).receipts
    assert sorted(r.hash for r in receipts) == sorted(one.hash for one in txs)
    for sender in SENDERS:
        assert [r.tx.nonce for r in receipts if r.tx.sender == sender] == list(range(nonces[sender]))
    if ordering == "adversary":
        # A claim goes only when every sender that is left has a claim next, so nothing else could have gone.
        for i, receipt in enumerate(receipts):
            if isinstance(receipt.tx.command, type(CLAIMS[0]) | type(CLAIMS[1])):
                rest = receipts[i:]
                heads = {r.tx.sender: r.tx.command for r in reversed(rest)}
                assert all(isinstance(c, WithdrawUpTo | WithdrawMany) for c in heads.values())
