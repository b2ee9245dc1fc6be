"""The simulated clock, tasks, store, keys and evidence, held to the suites of their ports."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import simpy

from protocol.attestation import Assurance
from protocol.ports import Attestor, Entropy
from protocol.signing import SECP256K1, Scheme, address_of
from protocol.units import NS_PER_S
from sim.crypto import COUNTED_SCHEME
from sim.keys import EVIDENCE_KIND, Noise, SimAttestor, SimEntropy, SimSigner, SimVerifier, private_key
from sim.store import Disk, MemoryStore
from sim.tasks import Process
from tests.suites.attestation_suite import AttestationBench, AttestationSuite
from tests.suites.clock_tasks_suite import TasksBench, TasksSuite
from tests.suites.signer_suite import SignerBench, SignerSuite
from tests.suites.store_suite import StoreBench, StoreSuite

T = TypeVar("T")
BEGIN_NS = 1_700_000_000 * NS_PER_S


class SimBench:
    """A simulation with one party in it; its unit is a second."""

    unit_ns = NS_PER_S

    def __init__(self, env: simpy.Environment | None = None, *, skew_ns: int = 0) -> None:
        self.env = env or simpy.Environment(initial_time=BEGIN_NS)
        self.process = Process(self.env, "party", skew_ns=skew_ns)
        self.clock = self.tasks = self.process

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def caught() -> tuple[T | None, BaseException | None]:
            try:
                return await coroutine, None
            except BaseException as error:  # noqa: BLE001 - raised again outside of the simulation
                return None, error

        outcome = self.env.run(self.env.process(caught().__await__()))
        assert outcome is not None
        value, error = outcome
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def kill(self) -> None:
        self.process.kill()


class TestSimTasks(TasksSuite):
    @pytest.fixture(params=[0, 7 * NS_PER_S, -45 * NS_PER_S], ids=["true clock", "fast clock", "slow clock"])
    def bench(self, request: pytest.FixtureRequest) -> TasksBench:
        return SimBench(skew_ns=request.param)


def test_what_has_happened_already_is_not_waited_for() -> None:
    """A task that awaits an event of the past goes on at once, with its value."""
    bench = SimBench()
    past = bench.env.event()
    past.succeed(3)
    bench.env.run(until=BEGIN_NS + 1)
    found: list[tuple[int, int]] = []

    async def look() -> None:
        found.append((await bench.process.wait(past), bench.process.now))
        found.append((await bench.process.wait(past), bench.process.now))

    bench.process.start("look", look())
    bench.env.run(until=BEGIN_NS + 2)
    assert found == [(3, BEGIN_NS + 1)] * 2


class SimStoreBench(SimBench):
    def __init__(self, disk: Disk | None = None, env: simpy.Environment | None = None) -> None:
        super().__init__(env)
        self.disk = disk or Disk()
        self.store = MemoryStore(self.process, self.disk)

    def reopen(self) -> StoreBench:
        self.kill()
        return SimStoreBench(self.disk, self.env)


class TestSimStore(StoreSuite):
    @pytest.fixture
    def bench(self) -> StoreBench:
        return SimStoreBench()


class SimSignerBench(SimBench):
    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        self._noise = Noise(b"a party's key")
        self.signer, self.other = (self._signer(name) for name in ("one", "other"))
        self.entropy = SimEntropy(self._noise, self.process)
        self.other_entropy = SimEntropy(Noise(b"another's"), self.process)

    def _signer(self, name: str) -> SimSigner:
        key = private_key(1, name)
        return SimSigner(key, address_of(key), self.scheme, self.process)

    def again(self) -> Entropy:
        return SimEntropy(self._noise, Process(self.env, "party"))


class TestSimSigner(SignerSuite):
    @pytest.fixture(params=[SECP256K1, COUNTED_SCHEME], ids=["real", "counted"])
    def bench(self, request: pytest.FixtureRequest) -> SignerBench:
        return SimSignerBench(request.param)


class SimAttestationBench(SimBench):
    kind = EVIDENCE_KIND

    def __init__(self, assurance: Assurance) -> None:
        super().__init__()
        self.assurance = assurance
        self.attestor = SimAttestor(assurance)
        self.verifier = SimVerifier()

    def forged(self) -> Attestor:
        return SimAttestor(self.assurance, honest=False)


class TestSimAttestation(AttestationSuite):
    @pytest.fixture(params=[Assurance.CLIENT, Assurance.POD])
    def bench(self, request: pytest.FixtureRequest) -> AttestationBench:
        return SimAttestationBench(request.param)
