"""The chain over JSON-RPC against anvil, held to the suite of its port."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from eth_account.signers.local import LocalAccount

from live.chain.port import NodeChain
from live.chain.rpc import Endpoint
from live.chain.sending import Pace
from live.settings import GWEI, ChainSettings
from protocol.ports import Chain
from tests.live.anvil import Anvil, Mining, Relay
from tests.live.benches import LiveBench
from tests.live.chains import PROVIDER, PUBLISHER, QUICK, no_channels, node_chain, owner
from tests.suites.chain_suite import ChainBench, ChainSuite

pytestmark = pytest.mark.e2e

CONFIRMATIONS = 3
BLOCK_S = 0.1
UNHURRIED = dataclasses.replace(QUICK, poll_s=1.2, bump_s=1.2)
"""At a base fee of 1 gwei and a tip of 1, 3 are offered, and a quarter more every 1.2 s: 9 is passed after 6 s."""


class AnvilBench(LiveBench):
    publisher, provider = owner(PUBLISHER), owner(PROVIDER)
    a_while = 200.0

    def __init__(self, node: Anvil, mining: Mining, relay: Relay, settings: ChainSettings) -> None:
        super().__init__()
        self._node = node
        self._mining = mining
        self._relay = relay
        mining.base_wei = GWEI
        node.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        node.mine()
        self._settings = settings.model_copy(update={"confirmations": CONFIRMATIONS})
        self.mine: Chain = self._chain(PUBLISHER, relay.url)
        self.theirs: Chain = self._chain(PROVIDER, node.url)

    def _chain(self, account: LocalAccount, *urls: str, pace: Pace = QUICK) -> NodeChain:
        endpoints = [Endpoint.http(url, timeout_s=5) for url in urls]
        return node_chain(self.process, endpoints, self._settings, account, pace=pace)

    def silence(self, units: float) -> None:
        self._relay.down_for(units * self.unit_ns / 1e9)

    def restart(self) -> Chain:
        return self._chain(PUBLISHER, self._relay.url)

    def supports_reorganisation(self) -> bool:
        return True

    def reorganise(self) -> None:
        self._mining.replace(CONFIRMATIONS)

    def supports_dear_gas(self) -> bool:
        return True

    def make_gas_dear(self) -> None:
        self._mining.base_wei = 9 * GWEI
        self.mine = self._chain(PUBLISHER, self._relay.url, pace=UNHURRIED)

    def lie(self, *, endpoints: int) -> None:
        self._relay.twist = no_channels
        self.mine = self._chain(PUBLISHER, *[self._relay.url, self._node.url][:endpoints])


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
        with Mining(node, BLOCK_S) as mining:
            yield AnvilBench(node, mining, relay, settings)
        relay.down()
        assert node.rpc("evm_revert", snapshot)
