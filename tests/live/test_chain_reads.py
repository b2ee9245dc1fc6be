"""The market read around what cannot be read, events around reorgs, and settings from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from live.chain import gas
from live.chain.deploying import created_address
from live.chain.events import MARKS, TRY_AGAIN, EventReader, Page, Place, _advanced
from live.chain.nodes import Nodes, NotKnown
from live.chain.reads import _pages
from live.chain.rpc import CallReverted
from live.settings import ChainSettings, dump, load
from live.tasks import Process
from protocol.codec import FUNCTIONS, call_data
from protocol.errors import BadInput
from protocol.gas import TEXT_WORD
from protocol.payment import ChannelCreated, Claim, CreateChannel, Deposited, WithdrawMany
from protocol.ports import Approve, Block
from protocol.registry import RegisterProvider
from protocol.units import Address, Cid, PodId
from tests.live.chains import PROVIDER, PUBLISHER, EvmChain, EvmProvider, owner

# ---------------------------------------------------------------- pages


@given(st.integers(0, 60), st.sets(st.integers(0, 59)), st.integers(1, 9), st.sampled_from([0, 1]))
def test_what_cannot_be_read_is_left_out_and_hides_nothing(
    end: int, unreadable: set[int], count: int, first: int
) -> None:
    async def read(start: int, size: int) -> list[int]:
        assert 1 <= size <= count and start + size <= max(end, first)
        window = range(start, start + size)
        if unreadable & set(window):
            raise CallReverted(b"")
        return list(window)

    async def collect() -> list[Any]:
        return [entry async for entry in _pages("entry", read, first, end, count)]

    assert trio.run(collect) == [i for i in range(first, end) if i not in unreadable]


# ---------------------------------------------------------------- events


@pytest.fixture(scope="module")
def deployed() -> EvmChain:
    return EvmChain()


class Reading:
    """An event reader over py-evm, whose blocks the test makes."""

    def __init__(self, chain: EvmChain, *, confirmations: int = 0, range_blocks: int = 3) -> None:
        self.chain = chain
        self.provider = EvmProvider(chain.tester, chain.lock)
        self.process = Process("reader")
        nodes = Nodes(self.process, [chain.endpoint(self.provider)], confirmations=confirmations)
        terms = chain.settings.terms
        self.reader = EventReader(nodes, [terms.payment, terms.registry], range_blocks=range_blocks)

    def read(self, place: Place) -> Page:
        until_ns = self.process.now_ns() + 30 * 10**9
        return trio.run(self.process.run, self.reader.read(place, until_ns=until_ns))

    def all(self, place: Place) -> tuple[list[Any], Place, int | None]:
        events: list[Any] = []
        forget = None
        while True:
            page = self.read(place)
            place = Place.from_record(page.place.to_record())
            if page.forget_from is not None:
                forget = page.forget_from
            events += page.events
            if page.at_end:
                return events, place, forget

    def open(self, pod: int) -> None:
        """A channel in a block of its own."""
        terms = self.chain.settings.terms
        for to, command in (
            (terms.token, Approve(terms.payment, 5)),
            (terms.payment, CreateChannel(owner(PROVIDER), PodId(bytes([pod]) * 32), 60, 5)),
        ):
            with self.chain.lock:
                w3 = self.chain.endpoint()._w3
                signed = PUBLISHER.sign_transaction(
                    {
                        "to": to, "data": call_data(command), "gas": 300_000, "value": 0, "nonce": w3.eth.get_transaction_count(PUBLISHER.address),
                        "chainId": self.chain.settings.chain_id, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9,
                    }
                )  # fmt: skip
                w3.eth.send_raw_transaction(signed.raw_transaction)
            self.chain.mine()


@pytest.fixture
def reading(deployed: EvmChain) -> Iterator[Reading]:
    state = deployed.tester.take_snapshot()
    yield Reading(deployed)
    deployed.tester.revert_to_snapshot(state)


def pods(events: list[Any]) -> list[int]:
    return [e.event.key.pod_id[0] for e in events if isinstance(e.event, ChannelCreated)]


def test_events_are_read_once_each_and_in_order(reading: Reading) -> None:
    for pod in range(1, 5):
        reading.open(pod)
    begin = Place(reading.chain.settings.deployed_block)
    events, place, forget = reading.all(begin)
    assert pods(events) == [1, 2, 3, 4] and forget is None
    assert [type(e.event) for e in events[:2]] == [ChannelCreated, Deposited]
    assert events == sorted(events, key=lambda e: (e.block_number, e.index))
    assert reading.all(place) == ([], place, None)
    reading.open(5)
    assert pods(reading.all(place)[0]) == [5]


def test_a_reorg_says_what_no_longer_holds_and_what_holds_instead(reading: Reading) -> None:
    reading.open(1)
    with reading.chain.lock:
        fork = reading.chain.tester.take_snapshot()
    reading.open(2)
    reading.chain.mine(2)
    events, place, _ = reading.all(Place(reading.chain.settings.deployed_block))
    assert pods(events) == [1, 2]
    with reading.chain.lock:
        reading.chain.tester.revert_to_snapshot(fork)
    reading.chain.mine(1)  # so that no block has the same hash as before
    reading.open(3)
    reading.chain.mine(3)
    more, _, forget = reading.all(place)
    assert forget is not None
    kept = [e for e in events if e.block_number < forget]
    assert sorted(set(pods(kept + more))) == [1, 3] and pods(kept + more).count(3) == 1


@pytest.mark.parametrize("range_blocks", [10, 50])
def test_a_reorg_between_the_events_and_the_end_of_their_range_is_noticed(
    reading: Reading, range_blocks: int
) -> None:
    """The last block has no event, and there are no marks: its hash alone tells that the logs are of another branch."""
    reading.reader._range = reading.reader._most = range_blocks
    reading.open(1)
    with reading.chain.lock:
        fork = reading.chain.tester.take_snapshot()
    reading.open(2)
    reading.chain.mine(4)
    honest, reorganised = reading.provider.make_request, False

    def late(method: Any, params: Any) -> Any:
        nonlocal reorganised
        answer = honest(method, params)
        if method == "eth_getLogs" and not reorganised:
            reorganised = True
            with reading.chain.lock:
                reading.chain.tester.revert_to_snapshot(fork)
            reading.chain.mine(1)
            reading.open(3)
            reading.chain.mine(6)
        return answer

    reading.provider.make_request = late  # type: ignore[method-assign]
    begin = Place(reading.chain.settings.deployed_block)
    with pytest.raises(NotKnown, match="the chain changed"):
        reading.read(begin)
    assert reorganised and pods(reading.all(begin)[0]) == [1, 3]


def test_a_node_that_refuses_a_range_is_asked_for_less_within_one_read(reading: Reading) -> None:
    for pod in range(1, 4):
        reading.open(pod)
    reading.chain.mine(40)
    reading.reader._range = reading.reader._most = 32
    asked = refuse_ranges_above(reading, 3)
    assert pods(reading.all(Place(reading.chain.settings.deployed_block))[0]) == [1, 2, 3]
    assert asked[:4] == [32, 16, 8, 4] and set(asked[4:]) <= {1, 2}, asked


def test_a_size_that_was_refused_is_tried_again_after_a_while(reading: Reading) -> None:
    reading.chain.mine(2 * TRY_AGAIN + 20)
    asked = refuse_ranges_above(reading, 1)
    reading.reader._range = reading.reader._most = 2
    place = Place(reading.chain.settings.deployed_block)
    for _ in range(TRY_AGAIN + 1):
        place = reading.read(place).place
    assert asked == [2, *[1] * TRY_AGAIN, 2, 1]


def test_a_node_that_refuses_one_block_or_is_down_is_not_asked_for_less(reading: Reading) -> None:
    reading.chain.mine(10)
    asked = refuse_ranges_above(reading, 0)
    reading.reader._range = reading.reader._most = 4
    place = Place(reading.chain.settings.deployed_block)
    with pytest.raises(NotKnown, match="more than 10000 results"):
        reading.read(place)
    assert asked == [4, 2, 1]
    reading.provider.silent = True
    with pytest.raises(NotKnown):
        reading.read(place)
    assert asked == [4, 2, 1]


def refuse_ranges_above(reading: Reading, limit: int) -> list[int]:
    """Makes the node refuse larger ranges; the sizes that it is asked for from now on."""
    asked: list[int] = []
    honest = reading.provider.make_request

    def picky(method: Any, params: Any) -> Any:
        if method == "eth_getLogs":
            size = params[0]["to_block"] - params[0]["from_block"] + 1
            asked.append(size)
            if size > limit:
                error = {"code": -32005, "message": "query returned more than 10000 results"}
                return {"jsonrpc": "2.0", "id": 1, "error": error}
        return honest(method, params)

    reading.provider.make_request = picky  # type: ignore[method-assign]
    return asked


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=300))
def test_marks_are_few_and_reach_far_back(steps: list[int]) -> None:
    place, number = Place(0), 0
    for step in steps:
        number += step
        place = _advanced(place, Block(number, number.to_bytes(32, "big"), 0))
    numbers = [n for n, _ in place.marks]
    assert numbers[0] == number and numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) <= MARKS


# ---------------------------------------------------------------- gas and addresses


def test_every_command_has_a_gas_limit_above_what_was_measured() -> None:
    for kind, function in FUNCTIONS.items():
        if kind is WithdrawMany:
            continue
        values = {"string": "x", "uint256[5]": (1,) * 5, "address": b"\1" * 20, "bytes32": b"\1" * 32}
        command = kind(**{name: values.get(abi, 1) for name, _, abi in function.arguments})  # type: ignore[arg-type]
        assert gas.limit(command, None) > gas.usual(command) > 21_000
        assert gas.limit(command, 10**7) == 12_500_000
    claims = [
        gas.usual(WithdrawMany((Claim(Address(b"\1" * 20), PodId(b"\1" * 32), 1, 1),) * n))
        for n in (1, 2, 100)
    ]
    assert claims[0] < claims[1] < claims[2] and claims[2] == 3_085_197
    assert (
        gas.usual(RegisterProvider(Cid("x" * 320))) - gas.usual(RegisterProvider(Cid("x"))) == 9 * TEXT_WORD
    )


@pytest.mark.parametrize(
    ("nonce", "address"),  # of the Ethereum yellow paper's rule, as eth-utils' tests have them
    [
        (0, "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
        (1, "343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
        (2, "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
        (3, "fffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
    ],
)
def test_addresses_of_new_contracts(nonce: int, address: str) -> None:
    sender = Address(bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"))
    assert created_address(sender, nonce).hex() == address


# ---------------------------------------------------------------- settings


def test_settings_come_back_as_they_were_written(deployed: EvmChain, tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(dump(deployed.settings))
    assert load(path) == deployed.settings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"confirmation": 5}, "confirmation: Extra inputs are not permitted"),
        ({"payment": "0x12"}, "payment: Value error, '0x12' is no address"),
        ({"endpoints": []}, "endpoints: "),
        ({"payment_code": "abc"}, "payment_code: "),
        ({"confirmations": -1}, "confirmations: "),
    ],
)
def test_wrong_settings_are_told_with_their_key(
    deployed: EvmChain, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    import yaml

    path = tmp_path / "chain.yaml"
    path.write_text(yaml.safe_dump({**deployed.settings.model_dump(mode="json"), **change}))
    with pytest.raises(BadInput) as raised:
        load(path)
    assert f"{path}: {words}" in str(raised.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\xff"])
def test_files_that_are_no_settings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chain.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"chain\.yaml"):
        load(path)
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path / "other.yaml")


def test_what_settings_pin_is_what_the_core_is_told(deployed: EvmChain) -> None:
    terms = ChainSettings.model_validate(deployed.settings.model_dump()).terms
    assert (terms.chain_id, len(terms.payment), terms.confirmations) == (deployed.settings.chain_id, 20, 0)
