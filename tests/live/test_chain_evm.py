"""The chain over web3.py and eth-tester's py-evm in process, held to the suite of its port."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from live.tasks import Process
from protocol.payment import WithdrawUpTo
from protocol.ports import Approve, Chain, Transaction, TxConfirmed, TxOutcome, TxReverted
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, EvmChain, EvmProvider, node_chain, owner
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
        self._mine_provider = chain.provider()
        self.mine = self._party(self.process, self._mine_provider, PUBLISHER)
        self.theirs = self._party(self.process, chain.provider(), PROVIDER)

    def _party(self, process: Process, provider: EvmProvider, account: object) -> Chain:
        return node_chain(process, [self._chain.endpoint(provider)], self._settings, account)  # type: ignore[arg-type]

    def silence(self, units: float) -> None:
        self._mine_provider.silent = True
        timer = threading.Timer(units * self.unit_ns / 1e9, setattr, (self._mine_provider, "silent", False))
        timer.daemon = True
        timer.start()

    def restart(self) -> Chain:
        return self._party(self.process, self._mine_provider, PUBLISHER)


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
