"""The chain over web3.py and eth-tester's py-evm in process, held to the suite of its port."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from live.tasks import Process
from protocol import ports
from protocol.errors import PortError
from protocol.payment import WithdrawUpTo
from protocol.ports import Approve, Chain, Transaction, TxConfirmed, TxOutcome, TxReverted, TxUnknown, Unknown
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, EvmChain, EvmProvider, no_channels, node_chain, owner
from tests.suites.bench import after, pause
from tests.suites.chain_suite import POD, ChainSuite

CONFIRMATIONS = 1
BLOCK_S = 0.03


class EvmBench(LiveBench):
    publisher, provider = owner(PUBLISHER), owner(PROVIDER)
    a_while = 60.0

    def __init__(self, chain: EvmChain) -> None:
        super().__init__()
        self._chain = chain
        self._settings = chain.settings.model_copy(update={"confirmations": CONFIRMATIONS})
        self.way = chain.provider()
        self.mine = self._party(self.process, PUBLISHER, self.way)
        self.theirs = self._party(self.process, PROVIDER, chain.provider())

    def _party(self, process: Process, account: LocalAccount, *ways: EvmProvider) -> Chain:
        return node_chain(process, [self._chain.endpoint(way) for way in ways], self._settings, account)

    def silence(self, units: float) -> None:
        self.way.silent = True
        timer = threading.Timer(units * self.unit_ns / 1e9, setattr, (self.way, "silent", False))
        timer.daemon = True
        timer.start()

    def restart(self) -> Chain:
        return self._party(self.process, PUBLISHER, self.way)

    def supports_reorganisation(self) -> bool:
        return False

    def reorganise(self) -> None:
        raise NotImplementedError

    def supports_dear_gas(self) -> bool:
        return False

    def make_gas_dear(self) -> None:
        raise NotImplementedError

    def lie(self, *, endpoints: int) -> None:
        self.way.twist = no_channels
        ways = [self.way, self._chain.provider()][:endpoints]
        self.mine = self._party(self.process, PUBLISHER, *ways)


@pytest.fixture(scope="module")
def deployed() -> EvmChain:
    return EvmChain()


@pytest.fixture
def bench(deployed: EvmChain) -> Iterator[EvmBench]:
    with deployed.lock:
        state = deployed.tester.take_snapshot()
    with deployed.mining(BLOCK_S):
        yield EvmBench(deployed)
    with deployed.lock:
        deployed.tester.revert_to_snapshot(state)


class TestEvmInProcess(ChainSuite):
    pass


def test_a_refusal_that_others_come_after_is_sent_and_leaves_no_gap(bench: EvmBench) -> None:
    """Refused beforehand, its nonce would stay free and block the next for ever."""

    async def story() -> list[TxOutcome]:
        commands = (WithdrawUpTo(bench.publisher, POD, 5), Approve(bench.theirs.terms.payment, 5))
        prepared = [await bench.theirs.prepare(command) for command in commands]
        outcomes = []
        for transaction in prepared:
            assert isinstance(transaction, Transaction)
            outcomes.append(await bench.theirs.send(transaction, deadline_ns=after(bench, 3 * bench.a_while)))
        return outcomes

    refused, confirmed = bench.run(story())
    assert isinstance(refused, TxReverted)
    assert refused.error == "InsufficientFunds" and refused.fee_wei > 0
    assert isinstance(confirmed, TxConfirmed)


def test_a_nonce_that_another_process_used_up_is_said_to_be_lost(bench: EvmBench) -> None:
    other = bench.restart()

    async def story() -> list[TxOutcome]:
        late = await bench.mine.prepare(Approve(bench.mine.terms.payment, 5))
        early = await other.prepare(Approve(bench.mine.terms.payment, 6))
        assert isinstance(late, Transaction) and isinstance(early, Transaction)
        assert late.nonce == early.nonce
        return [
            await chain.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))
            for chain, transaction in ((other, early), (bench.mine, late))
        ]

    confirmed, lost = bench.run(story())
    assert isinstance(confirmed, TxConfirmed)
    assert lost == TxReverted("NonceTooLow", 0)


def test_one_whose_receipt_the_node_has_lost_is_not_said_to_be_lost(bench: EvmBench) -> None:
    """Nodes forget receipts of old blocks. Taken for one that never was, a deposit would be paid again."""

    def forget(method: str, params: Any, answer: Any) -> Any:
        return {**answer, "result": None} if method == "eth_getTransactionReceipt" else answer

    prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 5)))
    assert isinstance(prepared, Transaction)
    bench.way.twist = forget
    early = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 2 * bench.a_while)))
    assert early == TxUnknown("mined, and its receipt is lost")
    bench.way.twist = lambda method, params, answer: answer
    late = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 3 * bench.a_while)))
    assert isinstance(late, TxConfirmed)


def error(code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}


@pytest.mark.parametrize("words", ["execution aborted (timeout = 5s)", "state of block reverted, try again"])
def test_a_node_that_gives_a_call_up_has_not_refused_it(bench: EvmBench, words: str) -> None:
    prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 5)))
    assert isinstance(prepared, Transaction)
    bench.way.twist = lambda method, params, answer: error(-32000, words) if method == "eth_call" else answer
    with pytest.raises(PortError, match=re.escape(words)) as failed:
        bench.run(bench.mine.send(prepared, deadline_ns=after(bench, bench.a_while)))
    assert not failed.value.sent
    bench.way.twist = lambda method, params, answer: answer
    outcome = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 3 * bench.a_while)))
    assert isinstance(outcome, TxConfirmed)


def test_only_a_call_can_be_refused(bench: EvmBench) -> None:
    """Whatever code a node gives when it is asked for a receipt: nothing is known, and nobody falls over."""
    prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 5)))
    assert isinstance(prepared, Transaction)
    busy = error(3, "execution reverted: busy")
    bench.way.twist = lambda method, params, answer: busy if "Receipt" in method else answer
    outcome = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, bench.a_while)))
    assert isinstance(outcome, TxUnknown) and "busy" in outcome.reason


@pytest.mark.parametrize(
    ("asked", "told"), [("latest", "endpoints differ"), ("pending", "was not prepared here")]
)
def test_a_nonce_that_one_endpoint_makes_up_is_not_used(bench: EvmBench, asked: str, told: str) -> None:
    """Journalled and sent, it would wait for ever, and everything after it."""

    def too_high(method: str, params: Any, answer: Any) -> Any:
        made_up = method == "eth_getTransactionCount" and params[1] == asked
        return {**answer, "result": "0x3e8"} if made_up else answer

    bench.lie(endpoints=2)
    bench.way.twist = too_high
    prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 5)))
    assert isinstance(prepared, Unknown) and told in prepared.reason


def test_a_refusal_that_one_endpoint_tells_is_not_believed(bench: EvmBench) -> None:
    """Alone it would make an empty market, or a contract without a token."""
    bench.lie(endpoints=2)
    refused = error(3, "execution reverted")
    bench.way.twist = lambda method, params, answer: refused if method == "eth_call" else answer
    seen = bench.run(bench.mine.funds(bench.publisher, deadline_ns=after(bench, bench.a_while)))
    assert isinstance(seen, Unknown) and seen.reason.startswith("endpoints differ")


def test_what_counts_is_deep_at_the_endpoint_that_lags(bench: EvmBench) -> None:
    behind: list[Any] = []

    def lags(method: str, params: Any, answer: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != "latest":
            return answer
        behind.append(answer)
        return behind[0]

    async def story() -> ports.ChannelsAt | Unknown:
        await bench.mine.funds(bench.publisher, deadline_ns=after(bench, bench.a_while))
        await pause(bench, 20)  # some blocks later
        return await bench.mine.channels([], deadline_ns=after(bench, bench.a_while))

    bench.lie(endpoints=2)
    bench.way.twist = lags
    seen = bench.run(story())
    assert isinstance(seen, ports.ChannelsAt), seen
    assert len(behind) >= 2 and behind[-1]["result"]["number"] != behind[0]["result"]["number"]
    assert seen.block.number == int(str(behind[0]["result"]["number"]), 0) - CONFIRMATIONS


def test_tasks_that_prepare_at_once_get_nonces_of_their_own(bench: EvmBench) -> None:
    nonces: list[int] = []

    async def prepares() -> None:
        transaction = await bench.mine.prepare(Approve(bench.mine.terms.payment, 5))
        assert isinstance(transaction, Transaction)
        nonces.append(transaction.nonce)

    async def story() -> None:
        for _ in range(5):
            bench.tasks.start("prepares", prepares())
        while len(nonces) < 5:
            await pause(bench, 1)

    bench.run(story())
    assert sorted(nonces) == list(range(min(nonces), min(nonces) + 5))
