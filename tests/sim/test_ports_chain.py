"""The simulated chain, held to the suite of its port."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.ports import Chain, ChainTerms
from protocol.units import NS_PER_S, Address
from sim.chain.blocks import Blocks
from sim.chain.contracts import ModelContracts
from sim.chain.endpoint import Endpoint
from sim.chain.fees import Constant
from sim.chain.model import ModelLedger
from sim.chain.port import SimChain
from sim.tasks import Process
from tests.sim.test_ports_local import BEGIN_NS, SimBench
from tests.suites.chain_suite import ChainBench, ChainSuite

PUBLISHER, PROVIDER = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
TERMS = ChainTerms(
    chain_id=31337,
    payment=Address(b"\x01" * 20),
    registry=Address(b"\x02" * 20),
    token=Address(b"\x03" * 20),
    confirmations=3,
    inclusion_s=8,
)


class SimChainBench(SimBench):
    publisher, provider = PUBLISHER, PROVIDER

    def __init__(self, block_time_s: int, confirmations: int) -> None:
        super().__init__()
        ledger = ModelLedger(
            ModelContracts({PUBLISHER: 10**6}, TERMS.payment),
            native={PUBLISHER: 10**18, PROVIDER: 10**18},
            block_time_s=block_time_s,
            market=Constant(7),
            chain_id=TERMS.chain_id,
            start_s=BEGIN_NS // NS_PER_S,
        )
        self._blocks = Blocks(self.env, ledger)
        self._terms = replace(TERMS, confirmations=confirmations)
        self._endpoint = Endpoint()
        self.a_while = float((confirmations + 2) * block_time_s)
        self.mine = self._chain(PUBLISHER, self._endpoint)
        self.theirs = self._chain(PROVIDER, Endpoint())

    def _chain(self, owner: Address, endpoint: Endpoint) -> SimChain:
        return SimChain(self._blocks, self._terms, self.process, owner, endpoint)

    def silence(self, units: float) -> None:
        self._endpoint.silent_until_ns = int(self.env.now) + int(units * NS_PER_S)

    def restart(self) -> Chain:
        return SimChain(self._blocks, self._terms, Process(self.env, "again"), PUBLISHER, self._endpoint)


class TestSimChain(ChainSuite):
    @pytest.fixture(params=[(2, 3), (12, 1)], ids=["2 s, 3 confirmations", "12 s, 1 confirmation"])
    def bench(self, request: pytest.FixtureRequest) -> ChainBench:
        return SimChainBench(*request.param)
