"""Lost receipts, stuck nonces, reorgs, lying endpoints, killed nodes: paid once, nothing lost, no gap."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live.chain.port import NodeChain
from live.chain.rpc import Endpoint
from live.chain.sending import Pace
from live.chain.signed import parse
from live.settings import GWEI, ChainSettings
from live.tasks import Process
from protocol.errors import Killed
from protocol.payment import ChannelKey, CreateChannel, WithdrawUpTo
from protocol.ports import (
    Approve,
    Chain,
    ChannelsAt,
    Command,
    Funds,
    Transaction,
    TxConfirmed,
    TxOutcome,
    TxUnknown,
    Unknown,
)
from protocol.units import Address, PodId
from tests.live.anvil import Anvil, Mining, Relay
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, QUICK, TOKENS, no_channels, node_chain, owner
from tests.suites.bench import after

pytestmark = pytest.mark.e2e

POD = PodId(b"\x11" * 32)
KEY = ChannelKey(owner(PUBLISHER), owner(PROVIDER), POD)
CONFIRMATIONS = 3
BLOCK_S = 0.05
WAIT = 1500.0


class Place(LiveBench):
    """A node with the contracts and a channel of 1000, and the provider's way to it through a relay."""

    def __init__(self, node: Anvil, settings: ChainSettings) -> None:
        super().__init__()
        self.node = node
        self.settings = settings.model_copy(update={"confirmations": CONFIRMATIONS})
        self.relay = Relay(node.url)
        self.direct = Endpoint.http(node.url, timeout_s=5)

    def chain(
        self, *endpoints: Endpoint, account: Any = PROVIDER, pace: Pace = QUICK, cap_wei: int = 100 * GWEI
    ) -> NodeChain:
        ways = list(endpoints) or [self.direct]
        return node_chain(self.process, ways, self.settings, account, pace=pace, cap_wei=cap_wei)

    def relayed(self) -> Endpoint:
        return Endpoint.http(self.relay.url, timeout_s=5)

    def prepare(self, chain: Chain, command: Command) -> Transaction:
        transaction = self.run(chain.prepare(command))
        assert isinstance(transaction, Transaction), transaction
        return Transaction.from_record(transaction.to_record())

    def send(self, chain: Chain, transaction: Transaction, wait: float = WAIT) -> TxOutcome:
        return self.run(chain.send(transaction, deadline_ns=after(self, wait)))

    def open(self) -> None:
        mine = self.chain(account=PUBLISHER)
        for command in (
            Approve(mine.terms.payment, 1000), CreateChannel(owner(PROVIDER), POD, 3600, 1000)
        ):  # fmt: skip
            assert isinstance(self.send(mine, self.prepare(mine, command)), TxConfirmed)

    def paid(self) -> int:
        funds = self.run(self.chain().funds(owner(PROVIDER), deadline_ns=after(self, WAIT)))
        assert isinstance(funds, Funds)
        return funds.token

    def nonce(self) -> int:
        return int(self.node.rpc("eth_getTransactionCount", PROVIDER.address, "latest"), 16)


@pytest.fixture(scope="module")
def deployed() -> Iterator[tuple[Anvil, ChainSettings]]:
    node = Anvil()
    yield node, node.deploy()
    node.stop()


@pytest.fixture
def place(deployed: tuple[Anvil, ChainSettings]) -> Iterator[Place]:
    node, settings = deployed
    snapshot = node.rpc("evm_snapshot")
    place = Place(node, settings)
    with Mining(node, BLOCK_S):
        place.open()
    yield place
    place.relay.down()
    node.rpc("anvil_dropAllTransactions")
    assert node.rpc("evm_revert", snapshot)


def claim(total: int) -> WithdrawUpTo:
    return WithdrawUpTo(owner(PUBLISHER), POD, total)


# ---------------------------------------------------------------- lost receipts


def test_a_claim_that_was_mined_while_its_receipt_was_lost_is_paid_once(place: Place) -> None:
    def lose(method: str, params: Any, answer: Any) -> Any:
        if method == "eth_sendRawTransaction":
            return None  # the node has it, the answer is lost
        if method == "eth_getTransactionReceipt":
            return {**answer, "result": None}
        return answer

    place.relay.twist = lose
    chain, before = place.chain(place.relayed()), place.nonce()
    transaction = place.prepare(chain, claim(300))
    with Mining(place.node, BLOCK_S):
        assert place.send(chain, transaction, 100) == TxUnknown("mined, and its receipt is lost")
        assert place.paid() == 300
        # The process dies; the next one has the journal and a node that tells the truth.
        again = place.chain()
        confirmed = place.send(again, transaction)
        assert isinstance(confirmed, TxConfirmed)
        assert place.send(again, transaction) == confirmed
        assert isinstance(place.send(again, place.prepare(again, claim(400))), TxConfirmed)
    assert place.paid() == 400 and place.nonce() == before + 2


@pytest.mark.parametrize("heard", [0, 1, 2, 3, 5, 8])
def test_a_process_killed_at_any_call_pays_once_when_it_comes_back(place: Place, heard: int) -> None:
    """The process ends when the endpoint has heard so many calls of `send`."""
    chain, before = place.chain(place.relayed()), place.nonce()
    transaction = place.prepare(chain, claim(300))
    calls = 0

    def kill(method: str, params: Any, answer: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > heard:
            place.process.kill()
        return answer

    place.relay.twist = kill
    with Mining(place.node, BLOCK_S):
        with contextlib.suppress(Killed):
            place.send(chain, transaction)
        place.process = place.clock = place.tasks = Process("again")
        later = place.chain()
        assert isinstance(place.send(later, transaction), TxConfirmed)
        assert isinstance(place.send(later, place.prepare(later, claim(301))), TxConfirmed)
    assert place.paid() == 301 and place.nonce() == before + 2


# ---------------------------------------------------------------- stuck nonces


def raise_base_fee(node: Anvil, wei: int) -> None:
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))
    node.mine()


def test_a_nonce_that_is_stuck_is_replaced_and_the_queue_drains(place: Place) -> None:
    pace = dataclasses.replace(QUICK, bump_s=0.1)
    chain, before = place.chain(pace=pace), place.nonce()
    first, second = place.prepare(chain, claim(300)), place.prepare(chain, claim(400))
    paid_wei = 2 * int(place.node.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    raise_base_fee(place.node, max(paid_wei, GWEI) * 4)
    with Mining(place.node, BLOCK_S):
        outcome = place.send(chain, first)
        assert isinstance(outcome, TxConfirmed)
        assert isinstance(place.send(chain, second), TxConfirmed)
        # What was mined is a replacement; who comes back with the journal finds it.
        assert place.node.rpc("eth_getTransactionReceipt", f"0x{first.hash.hex()}") is None
        assert place.send(place.chain(), first) == outcome
    assert place.paid() == 400 and place.nonce() == before + 2


def test_the_price_cap_is_kept(place: Place) -> None:
    pace = dataclasses.replace(QUICK, bump_s=0.05)
    cap_wei = 10 * GWEI
    sent: list[int] = []

    def keep(method: str, params: Any, answer: Any) -> Any:
        if method == "eth_sendRawTransaction":
            sent.append(parse(bytes.fromhex(params[0][2:]))[0].max_fee_wei)
        return answer

    place.relay.twist = keep
    chain = place.chain(place.relayed(), pace=pace, cap_wei=cap_wei)
    transaction = place.prepare(chain, claim(300))
    raise_base_fee(place.node, 50 * GWEI)
    unknown = place.send(chain, transaction, 500)
    assert isinstance(unknown, TxUnknown) and "not mined" in unknown.reason
    assert len(set(sent)) > 1 and cap_wei * 4 // 5 < max(sent) <= cap_wei
    dear = place.run(chain.prepare(claim(301)))
    assert isinstance(dear, Unknown) and f"the most that is paid is {cap_wei}" in dear.reason
    raise_base_fee(place.node, GWEI)
    with Mining(place.node, BLOCK_S):
        assert isinstance(place.send(chain, transaction), TxConfirmed)
    assert place.paid() == 300


# ---------------------------------------------------------------- reorgs


def test_what_a_reorg_drops_is_sent_again_and_was_never_read(place: Place) -> None:
    chain, watcher = place.chain(), place.chain()
    transaction = place.prepare(chain, claim(300))
    reorganised = False
    found: list[int] = []

    async def reorganise() -> None:
        nonlocal reorganised
        while not place.node.rpc("eth_getTransactionReceipt", f"0x{transaction.hash.hex()}"):
            place.node.mine()
            await place.process.sleep_until(after(place, 5))
        place.node.mine(CONFIRMATIONS - 1)  # one short of counting
        seen = await watcher.channels([KEY], deadline_ns=after(place, WAIT))
        assert isinstance(seen, ChannelsAt)
        channel = seen.channels[KEY]
        assert channel is not None
        found.append(channel.withdrawn_by_provider)
        place.node.rpc("anvil_reorg", CONFIRMATIONS + 1, [])
        reorganised = place.node.rpc("eth_getTransactionReceipt", f"0x{transaction.hash.hex()}") is None

    async def story() -> TxOutcome:
        place.tasks.start("reorganise", reorganise())
        while not found:
            await place.process.sleep_until(after(place, 5))
            early = await chain.send(transaction, deadline_ns=after(place, 60))
            assert isinstance(early, TxUnknown)
        with Mining(place.node, BLOCK_S):
            return await chain.send(transaction, deadline_ns=after(place, WAIT))

    outcome = place.run(story())
    assert reorganised and found == [0]
    assert isinstance(outcome, TxConfirmed)
    canonical = place.node.rpc("eth_getBlockByNumber", hex(outcome.block.number), False)
    assert canonical["hash"] == f"0x{outcome.block.hash.hex()}"
    assert place.paid() == 300


# ---------------------------------------------------------------- endpoints that lie


def test_an_endpoint_that_lies_makes_it_unknown_and_raises_an_alarm(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    chain = place.chain(place.direct, place.relayed())
    place.node.mine(CONFIRMATIONS)

    def read() -> ChannelsAt | Unknown:
        return place.run(chain.channels([KEY], deadline_ns=after(place, WAIT)))

    honest = read()
    assert isinstance(honest, ChannelsAt) and honest.channels[KEY] is not None

    place.relay.twist = no_channels
    with caplog.at_level(logging.ERROR):
        lied = read()
    assert isinstance(lied, Unknown) and lied.reason.startswith("endpoints differ")
    assert "ALARM" in caplog.text
    alone = place.run(place.chain(place.relayed()).channels([KEY], deadline_ns=after(place, WAIT)))
    assert isinstance(alone, ChannelsAt) and alone.channels[KEY] is None  # which is why there are two


def test_an_endpoint_that_calls_a_refused_claim_paid_is_not_believed(place: Place) -> None:
    def twisted(method: str, params: Any, answer: Any) -> Any:
        if method == "eth_getTransactionReceipt" and answer.get("result"):
            return {**answer, "result": {**answer["result"], "status": "0x0", "logs": []}}
        return answer

    place.relay.twist = twisted
    chain = place.chain(place.direct, place.relayed())
    transaction = place.prepare(chain, claim(300))
    with Mining(place.node, BLOCK_S):
        outcome = place.send(chain, transaction, 150)
        assert isinstance(outcome, TxUnknown) and outcome.reason == "endpoints differ"
        place.relay.twist = lambda method, params, answer: answer
        assert isinstance(place.send(chain, transaction), TxConfirmed)
    assert place.paid() == 300


def test_what_is_read_is_read_at_one_block_by_its_hash(place: Place) -> None:
    """A number may mean another block a moment later, and at another endpoint."""
    asked: list[Any] = []

    def keep(method: str, params: Any, answer: Any) -> Any:
        if method in ("eth_call", "eth_getBalance"):
            asked.append(params[1])
        return answer

    place.relay.twist = keep
    place.node.mine(CONFIRMATIONS)
    chain = place.chain(place.relayed())
    seen = place.run(chain.channels([KEY], deadline_ns=after(place, WAIT)))
    funds = place.run(chain.funds(owner(PROVIDER), deadline_ns=after(place, WAIT)))
    assert isinstance(seen, ChannelsAt) and isinstance(funds, Funds)
    assert len(asked) >= 3 and set(asked) == {f"0x{seen.block.hash.hex()}"}


def test_an_endpoint_far_behind_is_not_read(place: Place) -> None:
    old = place.node.rpc("eth_getBlockByNumber", "latest", False)

    def stale(method: str, params: Any, answer: Any) -> Any:
        latest = method == "eth_getBlockByNumber" and params[0] == "latest"
        return {**answer, "result": old} if latest else answer

    place.relay.twist = stale
    place.node.mine(40)
    chain = place.chain(place.direct, place.relayed())
    seen = place.run(chain.channels([KEY], deadline_ns=after(place, WAIT)))
    assert isinstance(seen, Unknown) and "newest blocks" in seen.reason


# ---------------------------------------------------------------- nodes that are killed


def test_a_node_that_is_killed_and_comes_back_loses_no_claim(tmp_path: Path) -> None:
    """The pool dies with the node; what is on disk stays; the same call of `send` goes on."""
    state = tmp_path / "state.json"
    node = Anvil(state=state)
    settings = node.deploy()
    place = Place(node, settings)
    try:
        with Mining(node, BLOCK_S):
            place.open()
        before = place.nonce()
        node.stop()
        node = place.node = Anvil(state=state, port=node.port)
        chain = place.chain()
        waiting, next_claim = place.prepare(chain, claim(300)), place.prepare(chain, claim(400))

        async def crash() -> Anvil:
            while int(place.node.rpc("txpool_status")["pending"], 16) == 0:
                await place.process.sleep_until(after(place, 2))
            place.node.crash()
            await place.process.sleep_until(after(place, 20))
            revived = Anvil(state=state, port=place.node.port)
            assert int(revived.rpc("txpool_status")["pending"], 16) == 0
            return revived

        async def story() -> list[TxOutcome]:
            outcomes: list[TxOutcome] = []

            async def sends() -> None:
                outcomes.append(await chain.send(waiting, deadline_ns=after(place, WAIT)))
                outcomes.append(await chain.send(next_claim, deadline_ns=after(place, WAIT)))

            place.tasks.start("sends", sends())
            place.node = await crash()
            with Mining(place.node, BLOCK_S):
                while len(outcomes) < 2:
                    await place.process.sleep_until(after(place, 5))
            return outcomes

        assert all(isinstance(outcome, TxConfirmed) for outcome in place.run(story()))
        # Once more, after everything was mined: receipts are on the disk.
        place.node.stop()
        place.node = Anvil(state=state, port=place.node.port)
        assert isinstance(place.send(place.chain(), next_claim), TxConfirmed)
        assert place.paid() == 400 and place.nonce() == before + 2
        held = place.run(place.chain().funds(Address(owner(PUBLISHER)), deadline_ns=after(place, WAIT)))
        assert isinstance(held, Funds) and held.token == TOKENS - 1000
    finally:
        place.node.stop()
        place.relay.down()
