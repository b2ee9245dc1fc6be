from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import invariants
from protocol.errors import BadInput, ProtocolError
from protocol.payment import (
    Book,
    Channel,
    ChannelKey,
    Claim,
    Command,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    UnlockTimerStarted,
    Withdraw,
    WithdrawMany,
    WithdrawUpTo,
)
from protocol.ports import Approve
from protocol.pricing import PriceTable
from protocol.registry import (
    DeregisterProvider,
    RegisterPricingTable,
    RegisterProvider,
    Registry,
    Subscribe,
    Unsubscribe,
)
from protocol.token import Token
from protocol.units import Address, Cid, PodId
from sim.chain.contracts import ModelContracts
from sim.chain.fees import Constant
from sim.chain.gas import GAS, REVERTED, gas_of
from sim.chain.history import History
from sim.chain.model import ModelLedger
from sim.chain.transactions import FUNCTIONS, AnyCommand, Tx, TxRejected

ANN, BEN, PIA = Address(b"A" * 20), Address(b"B" * 20), Address(b"P" * 20)
PAYMENT, POD = Address(b"\x01" * 20), PodId(bytes(32))
KEY = ChannelKey(ANN, PIA, POD)
GENESIS_S = 1_700_000_000
ETHER = 10**18


def ledger(
    *, block_gas: int = 30_000_000, history_blocks: int = 128, receipt_blocks: int = 7200
) -> ModelLedger:
    return ModelLedger(
        ModelContracts({ANN: 10**30, BEN: 10**30}, PAYMENT, history_blocks=history_blocks),
        native={ANN: ETHER, BEN: ETHER, PIA: ETHER},
        block_time_s=12,
        market=Constant(10),
        chain_id=31337,
        start_s=GENESIS_S,
        block_gas=block_gas,
        history_blocks=history_blocks,
        receipt_blocks=receipt_blocks,
    )


def tx(
    chain: ModelLedger, sender: Address, command: AnyCommand, *, price: int = 10, nonce: int | None = None
) -> Tx:
    return Tx(chain.chain_id, sender, chain.next_nonce(sender) if nonce is None else nonce, price, command)


def put(chain: ModelLedger, sender: Address, *commands: AnyCommand, price: int = 10) -> list[bytes]:
    return [chain.submit(tx(chain, sender, command, price=price)) for command in commands]


def at(block: int) -> int:
    return GENESIS_S + 12 * block


def opened(amount: int = 10**20) -> ModelLedger:
    chain = ledger()
    put(chain, ANN, Approve(PAYMENT, amount), CreateChannel(PIA, POD, 60, amount))
    chain.mine(at(1))
    return chain


def test_block_numbers_follow_from_time() -> None:
    chain = ledger()
    assert [chain.head(GENESIS_S + s) for s in (-5, 0, 11, 12, 13, 24)] == [0, 0, 0, 1, 1, 2]
    assert [chain.next_block_s(GENESIS_S + s) for s in (0, 11, 12)] == [at(1), at(1), at(2)]
    assert chain.block(7).time_s == at(7)
    assert len({chain.block(n).hash for n in range(50)}) == 50


def test_transactions_run_at_the_time_of_their_block() -> None:
    chain = opened()
    (tx_hash,) = put(chain, ANN, Unlock(PIA, POD))
    mined = chain.mine(at(1000) + 5)
    assert mined.block.number == 1000
    assert mined.receipts[0].events == (UnlockTimerStarted(KEY, at(1000) + 60),)
    assert chain.receipt(tx_hash) == mined.receipts[0]


def test_view_is_of_its_block() -> None:
    chain = opened(100)
    put(chain, PIA, WithdrawUpTo(ANN, POD, 40))
    chain.mine(at(5))
    put(chain, PIA, Release(ANN, POD))
    chain.mine(at(9))
    seen = [chain.channel(KEY, block) for block in (0, 1, 4, 5, 8, 9, 500)]
    first, paid = Channel(100, 0, 60, 0, 1), Channel(100, 40, 60, 0, 1)
    assert seen == [None, first, first, paid, paid, None, None]
    assert [chain.balance(PIA, block) for block in (0, 4, 5, 9)] == [0, 0, 40, 40]
    assert [10**30 - chain.balance(ANN, block) for block in (0, 1, 5, 9)] == [0, 100, 100, 40]
    assert chain.native_balance(PIA, 4) == ETHER
    assert chain.native_balance(PIA, 9) == ETHER - chain.fees_wei + (ETHER - chain.native_balance(ANN, 9))
    assert chain.channels([KEY], 5) == {KEY: paid}


def test_receipt_is_seen_from_its_block_on() -> None:
    chain = opened()
    (tx_hash,) = put(chain, ANN, Unlock(PIA, POD))
    assert chain.receipt(tx_hash) is None
    chain.mine(at(7))
    assert chain.receipt(tx_hash, 6) is None
    assert chain.receipt(tx_hash, 7) is not None


def test_refused_transaction_costs_gas_and_changes_nothing_else() -> None:
    chain = opened(100)
    (tx_hash,) = put(chain, PIA, WithdrawUpTo(ANN, POD, 101))
    receipt = chain.mine(at(2)).receipts[0]
    assert (receipt.hash, receipt.error, receipt.events) == (tx_hash, "InsufficientFunds", ())
    assert receipt.fee_wei == REVERTED * 10 == ETHER - chain.native_balance(PIA, 2)
    assert chain.next_nonce(PIA) == 1
    assert chain.channel(KEY, 2) == Channel(100, 0, 60, 0, 1)


def test_higher_price_goes_first_then_the_earlier() -> None:
    chain = ledger()
    for sender, price in ((ANN, 10), (BEN, 30), (PIA, 30)):
        put(chain, sender, RegisterProvider(Cid("a")), price=price)
    put(chain, BEN, RegisterProvider(Cid("b")), price=5)
    chain.mine(at(1))
    assert [a for a, _ in chain.registry(1).provider_page(0, 9)] == [BEN, PIA, ANN]
    assert dict(chain.registry(1).providers)[BEN] == "b"
    assert chain.registry(0) == Registry()


def test_nonces_of_a_sender_keep_their_order() -> None:
    chain = ledger()
    late = tx(chain, ANN, RegisterProvider(Cid("late")), price=99, nonce=1)
    chain.submit(late)
    assert not chain.has_pending  # it waits for nonce 0
    assert chain.mine(at(1)).receipts == ()
    assert chain.is_pending(late)
    chain.submit(tx(chain, ANN, RegisterProvider(Cid("early")), price=10, nonce=0))
    assert chain.next_nonce(ANN) == 2
    assert len(chain.mine(at(2)).receipts) == 2
    assert chain.registry(2).providers == {ANN: "late"}
    assert not chain.is_pending(late)


def test_sending_again_has_the_effect_of_sending_once() -> None:
    chain = opened(100)
    claim = tx(chain, PIA, Withdraw(ANN, POD, 30))
    for block in (2, 3):
        assert chain.submit(claim) == chain.submit(claim) == claim.hash
        chain.mine(at(block))
        assert chain.balance(PIA, block) == 30
    assert chain.native_balance(PIA, 3) == ETHER - gas_of(claim.command) * 10


def test_replacement_pays_a_tenth_more() -> None:
    chain = ledger()
    first = tx(chain, ANN, RegisterProvider(Cid("a")), price=100, nonce=0)
    chain.submit(first)
    with pytest.raises(TxRejected) as caught:
        chain.submit(tx(chain, ANN, RegisterProvider(Cid("b")), price=109, nonce=0))
    assert caught.value.reason == "Underpriced"
    chain.submit(tx(chain, ANN, RegisterProvider(Cid("b")), price=110, nonce=0))
    assert not chain.is_pending(first)
    chain.mine(at(1))
    assert chain.registry(1).providers == {ANN: "b"}
    assert chain.receipt(first.hash) is None
    with pytest.raises(TxRejected) as caught:
        chain.submit(first)
    assert caught.value.reason == "NonceTooLow"


def test_gas_has_to_be_paid_for() -> None:
    chain = ledger()
    with pytest.raises(TxRejected) as caught:
        put(chain, ANN, Unlock(PIA, POD), price=ETHER)
    assert caught.value.reason == "InsufficientGasFunds"
    with pytest.raises(BadInput, match="chain id"):
        chain.submit(Tx(1, ANN, 0, 10, Unlock(PIA, POD)))
    # Two that are payable each and not together: the second waits.
    half = ETHER * 2 // 3 // gas_of(DeregisterProvider())
    put(chain, ANN, DeregisterProvider(), DeregisterProvider(), price=half)
    for block in (1, 2):
        chain.mine(at(block))
    assert chain.next_nonce(ANN) == 2
    assert chain.native_balance(ANN, 2) >= 0


def test_full_block_leaves_the_rest_for_the_next() -> None:
    gas = gas_of(DeregisterProvider())
    chain = ledger(block_gas=gas + REVERTED)
    for sender in (ANN, BEN, PIA):
        put(chain, sender, DeregisterProvider())
    assert [len(chain.mine(at(n)).receipts) for n in (1, 2)] == [2, 1]


def test_block_is_mined_once() -> None:
    chain = opened()
    for now_s in (at(1), at(1) + 11, at(0)):
        with pytest.raises(BadInput):
            chain.mine(now_s)


def test_what_is_too_old_is_forgotten_not_wrong() -> None:
    chain = ledger(history_blocks=3, receipt_blocks=4)
    hashes = put(chain, ANN, Approve(PAYMENT, 10**6), CreateChannel(PIA, POD, 60, 1))
    chain.mine(at(1))
    for block in range(2, 12):
        hashes += put(chain, ANN, Deposit(PIA, POD, 1))
        chain.mine(at(block))
        for back in range(4):
            if block - back >= 1:
                seen = chain.channel(KEY, block - back)
                assert seen is not None and seen.invested_by_publisher == block - back
    with pytest.raises(BadInput, match="block 7"):
        chain.channel(KEY, 7)
    assert [chain.receipt(h) is None for h in hashes] == [True] * 7 + [False] * 5


def test_empty_blocks_cost_nothing() -> None:
    chain = opened()
    kept = len(chain._receipts_by_block)
    decade_s = at(26_000_000)
    assert chain.head(decade_s) == 26_000_000
    assert chain.channel(KEY, 26_000_000 - 12) is not None
    assert len(chain._receipts_by_block) == kept
    put(chain, ANN, Unlock(PIA, POD))
    assert chain.mine(decade_s).block.number == 26_000_000


COMMANDS: list[AnyCommand] = [
    Approve(PAYMENT, 2**255),
    CreateChannel(PIA, POD, 60, 10**24),
    Deposit(PIA, POD, 1),
    Unlock(PIA, POD),
    WithdrawUpTo(ANN, POD, 5, BEN),
    WithdrawMany((Claim(ANN, POD, 1, 10**30), Claim(BEN, POD, 2, 1)), BEN),
    WithdrawMany(()),
    Release(ANN, POD),
    RegisterProvider(Cid("bafkö")),
    DeregisterProvider(),
    RegisterPricingTable.of(PriceTable(token=PAYMENT, cpu=1, ram=2, storage=3, egress=4, ingress=2**256 - 1)),
    Subscribe(3),
    Unsubscribe(3),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_transaction_comes_back_from_its_bytes(command: AnyCommand) -> None:
    sent = Tx(31337, ANN, 7, 10**9, command)
    read = Tx.from_bytes(sent.to_bytes())
    assert read == sent
    assert read.hash == sent.hash and len(sent.hash) == 32
    assert Tx(31337, ANN, 8, 10**9, command).hash != sent.hash


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"[1,2,3]", b'[1,"00",0,1,"burn",[]]', b'[1,"00",0,1,"unlock",["00"]]']
)
def test_bytes_of_something_else(raw: bytes) -> None:
    with pytest.raises(BadInput):
        Tx.from_bytes(raw)


def test_every_command_has_a_function_and_gas() -> None:
    kinds = {kind for union in get_args(AnyCommand) for kind in (get_args(union) or (union,))}
    assert set(FUNCTIONS) == set(GAS) == kinds
    assert len({function.name for function in FUNCTIONS.values()}) == len(kinds)
    claims = [Claim(ANN, POD, 1, 1)] * 3
    by_entries = [gas_of(WithdrawMany(tuple(claims[:n]))) for n in (1, 2, 3)]
    assert by_entries[1] - by_entries[0] == by_entries[2] - by_entries[1] > 0
    assert min(GAS.values()) > 21_000


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=25),
    st.integers(1, 6),
)
def test_history_is_what_a_full_record_would_say(steps: list[tuple[int, int]], depth: int) -> None:
    history: History[str, int] = History(depth)
    full, block, now = {}, 0, -1
    for later, value in steps:
        block += later
        history.put("x", block, before=now, after=value)
        now = full[block] = value
    for asked in range(max(0, block - depth), block + 3):
        expected = next((full[b] for b in range(asked, -1, -1) if b in full), -1)
        assert history.at("x", asked, now) == expected


commands = st.sampled_from(
    [
        Approve(PAYMENT, 9),
        CreateChannel(PIA, POD, 24, 5),
        Deposit(PIA, POD, 2),
        Unlock(PIA, POD),
        WithdrawUpTo(ANN, POD, 3),
        Withdraw(ANN, POD, 1),
        Release(ANN, POD),
        WithdrawMany((Claim(ANN, POD, 1, 4), Claim(BEN, POD, 1, 9))),
    ]
)
KEYS = [KEY, ChannelKey(BEN, PIA, POD), ChannelKey(ANN, ANN, POD)]
PROVIDERS = (PIA, ANN)


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([ANN, BEN, PIA]), commands), max_size=3), min_size=1, max_size=6
    )
)
def test_a_turn_is_a_name_of_the_channels(plan: list[list[tuple[Address, AnyCommand]]]) -> None:
    """Blocks of the same turn of all providers have the same channels, and a refused command makes no other turn."""
    chain = opened(100)
    seen: dict[tuple[int, ...], dict[ChannelKey, Channel | None]] = {}
    for number, sent in enumerate(plan, start=2):
        before = tuple(chain.turn(provider, number - 1) for provider in PROVIDERS)
        for sender, command in sent:
            put(chain, sender, command)
        receipts = chain.mine(at(number)).receipts
        after = tuple(chain.turn(provider, number) for provider in PROVIDERS)
        if all(r.error is not None or isinstance(r.tx.command, Approve) for r in receipts):
            assert after == before
    for number in range(len(plan) + 2):
        turn = tuple(chain.turn(provider, number) for provider in PROVIDERS)
        assert seen.setdefault(turn, chain.channels(KEYS, number)) == chain.channels(KEYS, number)


@given(
    st.lists(
        st.tuples(st.sampled_from([ANN, BEN, PIA]), commands, st.integers(1, 3), st.integers(0, 2)),
        max_size=40,
    )
)
def test_ledger_is_the_book_block_by_block(steps: list[tuple[Address, Command, int, int]]) -> None:
    """Carried out one after the other on a book of one's own: the same errors, channels and balances at every block."""
    chain = ledger()
    book = Book(Token({ANN: 10**30, BEN: 10**30}), PAYMENT)
    keys = [KEY, ChannelKey(BEN, PIA, POD), ChannelKey(ANN, ANN, POD)]
    number = 1
    waiting: list[Any] = []
    snapshots: dict[int, tuple[Any, Any]] = {}

    def mine() -> None:
        mined = chain.mine(at(number))
        assert [r.hash for r in mined.receipts] == [t.hash for t in sorted(waiting, key=order)]
        for receipt, one in zip(mined.receipts, sorted(waiting, key=order), strict=True):
            events: tuple[Any, ...] = ()
            refused = None
            try:
                events = book.execute(one.command, caller=one.sender, now_s=at(number))
            except ProtocolError as error:
                refused = type(error).__name__
            assert (receipt.error, receipt.events) == (refused, events)
        snapshots[number] = (
            {key: book.channel(key) for key in keys},
            [book.token.balance(a) for a in (ANN, BEN, PIA, PAYMENT)],
        )
        waiting.clear()

    def order(one: Tx) -> tuple[int, int]:
        return -one.gas_price_wei, arrivals[one.hash]

    arrivals: dict[bytes, int] = {}
    for sender, command, blocks, more in steps:
        # One price a sender, so that nonces never stand against the order of prices.
        one = tx(chain, sender, command, price=10 + [ANN, BEN, PIA].index(sender))
        arrivals[chain.submit(one)] = len(arrivals)
        waiting.append(one)
        if not more:
            mine()
            number += blocks
    mine()
    for block, (channels, balances) in snapshots.items():
        assert chain.channels(keys, block) == channels
        assert [chain.balance(a, block) for a in (ANN, BEN, PIA, PAYMENT)] == balances
    assert chain.native_supply() + chain.fees_wei == 3 * ETHER
    assert invariants.tokens_conserved(chain.book, supply=2 * 10**30) == []
