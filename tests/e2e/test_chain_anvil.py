"""The chain over JSON-RPC against anvil, held to the suite of its port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_account.signers.local import LocalAccount

from live.chain.port import NodeChain
from live.chain.rpc import Endpoint
from live.settings import ChainSettings
from protocol.ports import Chain
from tests.live.anvil import Anvil, Mining, Relay
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, node_chain, owner
from tests.suites.chain_suite import ChainBench, ChainSuite

pytestmark = pytest.mark.e2e

CONFIRMATIONS = 3
BLOCK_S = 0.1


class AnvilBench(LiveBench):
    publisher, provider = owner(PUBLISHER), owner(PROVIDER)
    a_while = 200.0

    def __init__(self, relay: Relay, settings: ChainSettings, direct: str) -> None:
        super().__init__()
        self._relay = relay
        self._settings = settings.model_copy(update={"confirmations": CONFIRMATIONS})
        self.mine = self._chain(relay.url, PUBLISHER)
        self.theirs = self._chain(direct, PROVIDER)

    def _chain(self, url: str, account: LocalAccount) -> NodeChain:
        return node_chain(self.process, [Endpoint.http(url, timeout_s=5)], self._settings, account)

    def silence(self, units: float) -> None:
        self._relay.down_for(units * self.unit_ns / 1e9)

    def restart(self) -> Chain:
        return self._chain(self._relay.url, PUBLISHER)


@pytest.fixture(scope="module")
def deployed() -> Iterator[tuple[Anvil, ChainSettings]]:
    node = Anvil()
    yield node, node.deploy()
    node.stop()


class TestAnvil(ChainSuite):
    @pytest.fixture
    def bench(self, deployed: tuple[Anvil, ChainSettings]) -> Iterator[ChainBench]:
        node, settings = deployed
        snapshot = node.rpc("evm_snapshot")
        relay = Relay(node.url)
        with Mining(node, BLOCK_S):
            yield AnvilBench(relay, settings, node.url)
        relay.down()
        assert node.rpc("evm_revert", snapshot)
