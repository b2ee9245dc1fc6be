"""The bytecode backend: that it misses no slot, and what a transaction without enough gas does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import invariants
from protocol.codec import events_of
from protocol.payment import CreateChannel, Unlock
from protocol.ports import Approve, Block, ChainTerms
from protocol.registry import RegisterProvider
from protocol.units import Address, Cid
from sim.chain import gas
from sim.chain.contracts import Executed
from sim.chain.fees import Constant
from sim.chain.model import ModelLedger
from sim.chain.transactions import AnyCommand, Tx
from tests.sim.chain.backends import BACKENDS, Backend, evm
from tests.suites.actions import PODS, PURSE, Action, People, actions, story

pytestmark = pytest.mark.evm

PEOPLE = People(
    (Address(b"\xaa" * 20), Address(b"\xab" * 20)), (Address(b"\xca" * 20), Address(b"\xcb" * 20))
)
TERMS = ChainTerms(31337, Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20), 3, 8)
TOKENS = dict.fromkeys(PEOPLE.publishers, PURSE)


def blocks(doings: list[Action]) -> list[Block]:
    """A block for each action, the waits between them."""
    made, time_s = [], 1_000
    for number, doing in enumerate(doings, start=1):
        time_s += doing.wait_s
        made.append(Block(number, bytes(32), time_s))
    return made


def check_slots(doings: list[Action]) -> None:
    """What is put in and read back is what matters: the same run with every slot there is ends alike."""
    from sim.chain.evm.machine import touched

    contracts: Any = evm(TOKENS, TERMS)
    storage = contracts._storage
    for doing, block in zip(doings, blocks(doings), strict=True):
        command, sender = doing.command, doing.sender
        whole = contracts._run(command, sender, block, list(storage._slots))
        left = dict(contracts._machine.left(whole, touched(whole.evm)))
        done = contracts.execute(command, sender, block)
        assert (done.gas_used, done.error is None) == (whole.gas_used, whole.succeeded), doing
        if whole.succeeded:
            assert done.events == events_of(whole.logs, TERMS)
            assert {place: storage.get(place) for place in left} == left, doing
    book = contracts.book
    assert invariants.channels_sound(book) == []
    direct = book.token.balance(TERMS.payment) - sum(channel.available for _, channel in book.records())
    assert invariants.tokens_conserved(book, supply=2 * PURSE, sent_directly=direct) == []
    # Nothing of the contract's state is out of the observers' sight.
    seen = {slot for key, _ in book.records() for _, slot in contracts._layout.channel(key)}
    lives = {contracts._layout.channel(key)[-1][1] for key in PEOPLE.keys}
    assert set(storage.places(TERMS.payment)) <= seen | lives


def test_no_slot_is_missed_in_the_story() -> None:
    check_slots(list(story(PEOPLE, TERMS)))


@given(actions(PEOPLE, TERMS))
@settings(max_examples=150)
def test_no_slot_is_missed(doings: list[Action]) -> None:
    check_slots(doings)


def state(contracts: Any, block: int) -> Any:
    """All that can be read as of a block."""
    balances = [contracts.balance(owner, block) for owner in (*PEOPLE.all, TERMS.payment)]
    return contracts.channels(PEOPLE.keys, block), balances, contracts.registry(block)


@pytest.mark.parametrize("backend", BACKENDS)
@given(doings=actions(PEOPLE, TERMS), data=st.data())
@settings(max_examples=60)
def test_what_was_can_be_read_and_gone_back_to(
    backend: Backend, doings: list[Action], data: st.DataObject
) -> None:
    contracts = backend(TOKENS, TERMS)
    at = blocks(doings)
    marks, states = [contracts.checkpoint()], [state(contracts, 0)]
    for doing, block in zip(doings, at, strict=True):
        contracts.execute(doing.command, doing.sender, block)
        marks.append(contracts.checkpoint())
        states.append(state(contracts, block.number))
    for number, was in enumerate(states):
        assert state(contracts, number) == was
    back = data.draw(st.integers(0, len(doings)))
    contracts.revert(marks[back])
    assert state(contracts, back) == states[back] == state(contracts, len(doings))
    # And from there it goes as it went.
    for doing, block in zip(doings[back:], at[back:], strict=True):
        contracts.execute(doing.command, doing.sender, block)
    for number, was in enumerate(states):
        assert state(contracts, number) == was


def test_what_runs_out_of_gas_pays_its_limit_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    contracts = evm(TOKENS, TERMS)
    ann, pia = PEOPLE.publishers[0], PEOPLE.providers[0]
    ledger = ModelLedger(
        contracts,
        native={ann: 10**18},
        block_time_s=2,
        market=Constant(10),
        chain_id=TERMS.chain_id,
        start_s=1_000,
    )
    monkeypatch.setattr("sim.chain.evm.contracts.limit_of", lambda command: 80_000)
    commands: tuple[AnyCommand, ...] = (Approve(TERMS.payment, 9), CreateChannel(pia, PODS[0], 5, 9))
    for nonce, command in enumerate(commands):
        ledger.submit(Tx(TERMS.chain_id, ann, nonce, 10, command))
    approved, created = ledger.mine(1_002).receipts
    assert approved.error is None and approved.gas_used < 80_000
    assert (created.error, created.gas_used, created.fee_wei) == ("OutOfGas", 80_000, 800_000)
    assert ledger.native_balance(ann, 1) == 10**18 - 10 * (approved.gas_used + 80_000)
    assert (ledger.book.token.balance(ann), ledger.book.life(PEOPLE.keys[0])) == (PURSE, 0)


def test_the_limit_is_enough() -> None:
    """Whatever the story does, it never comes near its limit."""
    contracts = evm(TOKENS, TERMS)
    doings = list(story(PEOPLE, TERMS))
    for doing, block in zip(doings, blocks(doings), strict=True):
        done = contracts.execute(doing.command, doing.sender, block)
        assert 21_000 < done.gas_used * 5 < contracts.gas_limit(doing.command) * 4, doing


def test_an_empty_refusal_pays_for_its_data() -> None:
    """EIP-7623: a call that is refused at once pays more for its bytes than one that works."""
    contracts = evm(TOKENS, TERMS)
    ann, pia = PEOPLE.publishers[0], PEOPLE.providers[0]
    refused = contracts.execute(CreateChannel(pia, PODS[0], 5, 0), ann, Block(1, bytes(32), 9))
    nonzero = 4 + 20 + 32 + 1  # selector, provider, pod, seconds
    assert refused == Executed(21_000 + 10 * (4 * nonzero + 4 + 4 * 32 - nonzero), error="AmountRequired")


def test_gas_is_what_was_measured() -> None:
    """The table that the model uses is of this bytecode: one channel's unlock, and a refusal."""
    contracts = evm(TOKENS, TERMS)
    ann, pia = PEOPLE.publishers[0], PEOPLE.providers[0]
    unlock, made = Unlock(pia, PODS[0]), CreateChannel(pia, PODS[0], 5, 9)
    commands: tuple[AnyCommand, ...] = (unlock, Approve(TERMS.payment, 9), made, unlock)
    done = [
        contracts.execute(command, ann, Block(n, bytes(32), 1_700_000_000 + n))
        for n, command in enumerate(commands)
    ]
    assert done[3].gas_used == gas.GAS[Unlock]
    assert done[0].error == "DoesNotExist" and abs(done[0].gas_used - gas.REVERTED) < 500


def test_a_string_of_any_length_is_read_back() -> None:
    contracts = evm(TOKENS, TERMS)
    for number, length in enumerate((31, 32, 33, 64, 1, 200, 31), start=1):
        cid = Cid("é" * (length // 2) + "x" * (length % 2))
        assert len(cid.encode()) == length
        contracts.execute(RegisterProvider(cid), PEOPLE.providers[0], Block(number, bytes(32), number))
        assert contracts.registry(number).providers == {PEOPLE.providers[0]: cid}
