from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from protocol.registry import RegisterProvider
from protocol.units import Address, Cid
from sim.chain.contracts import ModelContracts
from sim.chain.fees import Constant, Demand, Eip1559, Market, Steps, next_base_fee_wei
from sim.chain.gas import gas_of
from sim.chain.model import ModelLedger
from sim.chain.transactions import Tx, TxRejected
from sim.kernel.draws import stream_key
from sim.laws import Lognormal
from tests.sim.chain.test_model import ANN, BEN, ETHER, GENESIS_S, PAYMENT, PIA, at

GWEI = 10**9
LISTED = RegisterProvider(Cid("a"))
GAS = gas_of(LISTED)
BUSY = Demand(10**6, 10**9, law=Lognormal(1.0, 0.7), key=stream_key(1, 0, "gas", "chain"))


def ledger(market: Market, block_gas: int = 2 * 10**6) -> ModelLedger:
    return ModelLedger(
        ModelContracts({}, PAYMENT),
        native={ANN: ETHER, BEN: ETHER, PIA: ETHER},
        block_time_s=12,
        market=market,
        chain_id=1,
        start_s=GENESIS_S,
        block_gas=block_gas,
    )


def tx(most: int, tip: int | None, nonce: int = 0, sender: Address = ANN) -> Tx:
    return Tx(1, sender, nonce, most, LISTED, tip)


def test_full_blocks_raise_the_base_fee_as_published() -> None:
    """The table of "Gas and fees" on ethereum.org: full blocks from 100 gwei, to a tenth of a gwei."""
    fees = [100 * GWEI]
    for _ in range(6):
        fees.append(next_base_fee_wei(fees[-1], 30_000_000, 15_000_000))
    assert [round(fee / GWEI, 1) for fee in fees] == [100.0, 112.5, 126.6, 142.4, 160.2, 180.2, 202.7]


@given(st.integers(0, 10**12), st.integers(1, 10**8), st.data())
def test_the_rule_moves_by_an_eighth_at_most_and_towards_the_target(
    base: int, target: int, data: st.DataObject
) -> None:
    used = data.draw(st.integers(0, 2 * target))
    after = next_base_fee_wei(base, used, target)
    exact = base + Fraction(base * (used - target), 8 * target)
    assert abs(after - exact) <= 1 or (used > target and after == base + 1)
    assert (after > base) == (used > target)
    assert after >= 0 and after - base <= max(base // 8, 1) and base - after <= base // 8


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 2 * 10**6)), max_size=6, unique_by=lambda x: x[0]),
    st.lists(st.integers(0, 80), max_size=30),
)
def test_a_base_fee_does_not_depend_on_when_it_is_asked(
    ours: list[tuple[int, int]], asked: list[int]
) -> None:
    """Asked all along, in any order, ahead of time or only at the end: as a plain loop over all blocks says."""
    used = dict(ours)
    plain = [GWEI, GWEI]
    for number in range(1, 81):
        others = min(2 * 10**6, BUSY.at(number, plain[number]))
        plain.append(next_base_fee_wei(plain[number], min(2 * 10**6, others + used.get(number, 0)), 10**6))
    curious, calm = (Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6, demand=BUSY) for _ in range(2))
    questions = iter(asked)
    for number, gas in sorted(ours):
        curious.base_wei(next(questions, 0))  # a guess, when it is of a later block
        for market in (curious, calm):
            market.mined(number, gas)
    for number in asked:
        assert curious.base_wei(number) == plain[number]
    assert [calm.base_wei(n) for n in range(81)] == [curious.base_wei(n) for n in range(81)] == plain[:81]
    curious.forget(1)
    assert curious.base_wei(80) == Eip1559(
        base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6, demand=BUSY
    ).base_wei(80)


def test_demand_that_yields_to_the_price_holds_the_base_fee() -> None:
    """At the target on average and half as much at twice the price: the mean stays near `usual`, surges near their multiple."""
    demand = Demand(10**6, GWEI, law=Lognormal(1.0, 0.5), key=(1, 2), surges=((3000, 4000, Fraction(4)),))
    market = Eip1559(base_wei=10 * GWEI, tip_wei=0, block_gas=2 * 10**6, demand=demand)
    calm = [market.base_wei(n) / GWEI for n in range(200, 3000)]
    busy = [market.base_wei(n) / GWEI for n in range(3100, 4000)]
    assert 0.8 < sum(calm) / len(calm) < 1.2 and 3.2 < sum(busy) / len(busy) < 4.8
    assert len(set(calm)) > 2000


def test_no_blocks_no_change() -> None:
    market = Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6, still=[(5, 9)])
    assert market.base_wei(5) == market.base_wei(9) > market.base_wei(10)


def test_the_base_fee_is_burnt_and_the_tip_is_not() -> None:
    market = Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6)
    chain = ledger(market)
    chain.submit(tx(3 * GWEI, 7))
    chain.submit(tx(3 * GWEI, None, sender=BEN))
    one, two = sorted(chain.mine(at(1)).receipts, key=lambda r: r.fee_wei)
    assert (one.fee_wei, one.burnt_wei) == (GAS * (GWEI + 7), GAS * GWEI)
    assert (two.fee_wei, two.burnt_wei) == (
        GAS * 3 * GWEI,
        GAS * GWEI,
    )  # a legacy transaction pays all it names
    assert chain.burnt_wei == 2 * GAS * GWEI and chain.tips_wei == GAS * 7 + GAS * 2 * GWEI
    assert chain.native_supply() + chain.burnt_wei + chain.tips_wei == 3 * ETHER
    # Our own gas is in the block: less than half full, so the base fee falls, by less than an eighth.
    assert GWEI * 7 // 8 < market.base_wei(2) < GWEI


def test_what_cannot_pay_the_base_fee_waits_for_it_to_fall() -> None:
    chain = ledger(Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6))
    cheap = tx(GWEI * 8 // 10, 0)
    chain.submit(cheap)
    assert [len(chain.mine(at(n)).receipts) for n in (1, 2, 3, 4)] == [0, 0, 1, 0]  # 1, 0.875, 0.766 gwei
    assert chain.receipt(cheap.hash) is not None


def test_a_tip_is_part_of_what_is_paid_at_most() -> None:
    chain = ledger(Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6))
    with pytest.raises(TxRejected) as caught:
        chain.submit(tx(5, 6))
    assert caught.value.reason == "TipAboveFeeCap"
    capped = tx(GWEI + 3, 10)
    chain.submit(capped)
    assert chain.mine(at(1)).receipts[0].fee_wei == GAS * (GWEI + 3)


def test_a_replacement_outbids_in_price_and_in_tip() -> None:
    chain = ledger(Eip1559(base_wei=2 * GWEI, tip_wei=0, block_gas=2 * 10**6))
    first = tx(1000, 100)
    chain.submit(first)
    for most, tip in ((1100, 109), (1099, 110), (2000, 100)):
        with pytest.raises(TxRejected, match="Underpriced"):
            chain.submit(tx(most, tip))
    second = first.bumped(10)
    assert (second.gas_price_wei, second.priority_wei) == (1100, 110)
    chain.submit(second)
    assert chain.is_pending(second) and not chain.is_pending(first)
    assert Tx.from_bytes(second.to_bytes()) == second and second.hash != first.hash


def test_others_fill_the_block_and_who_tips_more_goes_before_them() -> None:
    full = Demand(10**9, GWEI, tip_wei=50)
    chain = ledger(Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6, demand=full))
    for sender, tip in ((ANN, 50), (BEN, 51)):
        chain.submit(tx(10**12, tip, sender=sender))
    assert [r.tx.sender for r in chain.mine(at(1)).receipts] == [BEN]
    assert chain.mine(at(2)).receipts == ()  # as long as the block is full
    assert chain.market.base_wei(3) == GWEI * 9 // 8 * 9 // 8


def test_a_block_with_room_takes_both() -> None:
    some = Demand(2 * 10**6 - 2 * GAS, GWEI, tip_wei=50)
    chain = ledger(Eip1559(base_wei=GWEI, tip_wei=0, block_gas=2 * 10**6, demand=some))
    for sender, tip in ((ANN, 50), (BEN, 51), (PIA, 10)):
        chain.submit(tx(10**12, tip, sender=sender))
    assert [r.tx.sender for r in chain.mine(at(1)).receipts] == [BEN, ANN]


def test_steps_change_the_price_and_leave_cheaper_ones_waiting() -> None:
    market = Steps([(0, 10), (3, 30), (6, 5)])
    assert [market.price_wei(n) for n in range(8)] == [10, 10, 10, 30, 30, 30, 5, 5]
    chain = ledger(market)
    assert market.offer(2).max_wei == 10
    chain.submit(tx(29, None))
    assert [len(chain.mine(at(n)).receipts) for n in (4, 5, 6)] == [0, 0, 1]
    assert chain.burnt_wei == 0 and chain.tips_wei == 29 * GAS


def test_a_constant_price_is_what_is_offered_and_nothing_is_too_cheap() -> None:
    chain = ledger(Constant(10))
    assert chain.market.offer(1).max_wei == 10 and not chain.market.moves
    chain.submit(tx(1, None))
    assert len(chain.mine(at(1)).receipts) == 1


@pytest.mark.parametrize("steps", [[], [(1, 5)], [(0, 5), (9, 1), (3, 2)]])
def test_steps_that_make_no_sense(steps: list[tuple[int, int]]) -> None:
    with pytest.raises(BadInput):
        Steps(steps)


def test_markets_that_make_no_sense() -> None:
    with pytest.raises(BadInput):
        Constant(-1)
    with pytest.raises(BadInput):
        Eip1559(base_wei=1, tip_wei=-1, block_gas=10)
