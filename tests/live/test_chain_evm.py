"""The chain over web3.py and eth-tester's py-evm in process, held to the suite of its port."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from live.tasks import Process
from protocol.ports import Chain
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, EvmChain, EvmProvider, node_chain, owner
from tests.suites.chain_suite import ChainBench, ChainSuite

CONFIRMATIONS = 2
BLOCK_S = 0.05


class EvmBench(LiveBench):
    publisher, provider = owner(PUBLISHER), owner(PROVIDER)
    a_while = 80.0

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


class TestEvmInProcess(ChainSuite):
    @pytest.fixture
    def bench(self, deployed: EvmChain) -> Iterator[ChainBench]:
        with deployed.lock:
            state = deployed.tester.take_snapshot()
        with deployed.mining(BLOCK_S):
            yield EvmBench(deployed)
        with deployed.lock:
            deployed.tester.revert_to_snapshot(state)
