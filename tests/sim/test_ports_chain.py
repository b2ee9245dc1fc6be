"""The simulated chain, held to the suite of its port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from protocol.ports import Chain, ChainTerms
from protocol.units import NS_PER_S, Address
from sim.chain.blocks import Blocks
from sim.chain.endpoint import Endpoint
from sim.chain.fees import Constant, Demand, Eip1559, Market, Steps
from sim.chain.forks import Forks
from sim.chain.model import ModelLedger
from sim.chain.pool import Ordering
from sim.chain.port import SimChain
from sim.laws import Lognormal
from sim.tasks import Process
from tests.sim.chain.backends import BACKENDS, Backend
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


class _Forks(Forks):
    """Reorganisations when a test says so: the next block replaces all that nobody believes, and loses half of it."""

    def __init__(self, confirmations: int) -> None:
        super().__init__(prob=1.0, most=max(0, confirmations - 1), final=confirmations)
        self.planned: dict[int, int] = {}
        self.depth = lambda number: self.planned.get(number, 0)  # type: ignore[assignment]

    def drops(self, at: int, place: int, depth: int) -> bool:
        return place % 2 == 0


class _Gas(Steps):
    """A price that a test can raise."""

    def __init__(self) -> None:
        super().__init__([(0, 7)])
        self.wei = 7

    def price_wei(self, number: int) -> int:
        return self.wei


@dataclass(frozen=True)
class Kind:
    """How unkind a chain is: whether it reorganises all the time, and how gas and builders are."""

    block_time_s: int
    confirmations: int
    ordering: Ordering = "fee"
    shaky: bool = False
    market: Callable[[], Market] = _Gas


class SimChainBench(SimBench):
    publisher, provider = PUBLISHER, PROVIDER

    def __init__(self, kind: Kind, backend: Backend) -> None:
        super().__init__()
        confirmations, block_time_s = kind.confirmations, kind.block_time_s
        self._gas = kind.market()
        self._forks = _Forks(confirmations)
        forks: Forks = self._forks
        if kind.shaky:
            forks = Forks(
                prob=0.5,
                most=confirmations - 1,
                deeper=0.5,
                drop_prob=0.3,
                final=confirmations,
                when=(1, 2),
                lost=(3, 4),
            )
        self._shaky = kind.shaky
        ledger = ModelLedger(
            backend({PUBLISHER: 10**6}, TERMS),
            native={PUBLISHER: 10**20, PROVIDER: 10**20},
            block_time_s=block_time_s,
            market=self._gas,
            chain_id=TERMS.chain_id,
            start_s=BEGIN_NS // NS_PER_S,
            ordering=kind.ordering,
            forks=forks,
        )
        self._blocks = Blocks(self.env, ledger)
        self._terms = replace(TERMS, confirmations=confirmations)
        self._endpoint = Endpoint()
        # Where half of all blocks change branch, what is usual takes a few tries.
        self.a_while = float((confirmations + 2) * block_time_s * (10 if kind.shaky else 1))
        self.mine: Chain = self._chain(PUBLISHER, self._endpoint)
        self.theirs: Chain = self._chain(PROVIDER, Endpoint())

    def _chain(self, owner: Address, endpoint: Endpoint) -> SimChain:
        return SimChain(self._blocks, self._terms, self.process, owner, endpoint)

    def _head(self) -> int:
        return self._blocks.ledger.head(int(self.env.now) // NS_PER_S)

    def silence(self, units: float) -> None:
        self._endpoint.silent_until_ns = int(self.env.now) + int(units * NS_PER_S)

    def restart(self) -> Chain:
        return SimChain(self._blocks, self._terms, Process(self.env, "again"), PUBLISHER, self._endpoint)

    def supports_reorganisation(self) -> bool:
        return self._terms.confirmations > 1 and not self._shaky

    def reorganise(self) -> None:
        """What is sent now comes in the next block; the one `most` after it replaces that."""
        most = self._forks.most
        self._forks.planned[self._head() + 1 + most] = most

    def supports_dear_gas(self) -> bool:
        return isinstance(self._gas, _Gas)

    def make_gas_dear(self) -> None:
        assert isinstance(self._gas, _Gas)
        self._gas.wei = 20

    def lie(self, *, endpoints: int) -> None:
        self._endpoint.count = endpoints
        self._endpoint.begin("absent", int(self.env.now) + 10**15, self._head())


def _eip1559() -> Market:
    demand = Demand(15 * 10**6, 10**9, tip_wei=10, law=Lognormal(1.0, 0.5), key=(7, 8))
    return Eip1559(base_wei=10**9, tip_wei=100, block_gas=30 * 10**6, demand=demand)


KINDS = {
    "2 s, 3 confirmations": Kind(2, 3),
    "12 s, 1 confirmation": Kind(12, 1),
    "a constant price": Kind(2, 3, market=lambda: Constant(7)),
    "base fees": Kind(2, 3, market=_eip1559),
    "first come, first served": Kind(2, 3, ordering="arrival"),
    "an adversary": Kind(2, 3, ordering="adversary", market=_eip1559),
    "half of all blocks change branch": Kind(2, 4, shaky=True, market=_eip1559, ordering="adversary"),
}


class TestSimChain(ChainSuite):
    @pytest.fixture(params=BACKENDS)
    def backend(self, request: pytest.FixtureRequest) -> Backend:
        made: Backend = request.param
        return made

    @pytest.fixture(params=KINDS.values(), ids=list(KINDS))
    def bench(self, request: pytest.FixtureRequest, backend: Backend) -> ChainBench:
        return SimChainBench(request.param, backend)
