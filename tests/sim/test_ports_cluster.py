"""The simulated cluster, held to the suite of its port."""

from __future__ import annotations

import pytest

from protocol import manifest, ports, wire
from protocol.eip712 import Domain
from protocol.identity import namespace
from protocol.requests import payment_channel
from protocol.units import PodId
from sim.cluster import SimCluster
from tests.protocol.clients.market import Market
from tests.sim.test_ports_local import SimBench
from tests.suites.cluster_suite import ClusterBench, ClusterSuite


class SimClusterBench(SimBench):
    """The machines of a world whose people have not come yet."""

    start_up = 3.0

    def __init__(self) -> None:
        self._market = Market(publisher={"count": 2, "arrive": "2h"}).run(1)
        super().__init__(self._market.env)
        machines = self._market.host.machines
        machines.on_configured = machines.on_removed = lambda tenant, now_ns: None
        machines.on_read = lambda now_ns: None
        self.cluster = SimCluster(machines, self.process)

    def workload(self, number: int, version: int, pod: manifest.Pod) -> ports.Workload:
        world = self._market.world
        party = world.publishers[f"pod-{number}"]
        pod_id = PodId(bytes([number]) * 32)
        channel = payment_channel(
            Domain(world.terms.chain_id, world.terms.payment),
            party.address,
            self._market.host.address,
            pod_id,
        )
        return ports.Workload(
            namespace(party.address, pod_id), version, pod, ("web:1",), wire.dump(channel).hex()
        )


class TestSimCluster(ClusterSuite):
    @pytest.fixture
    def bench(self) -> ClusterBench:
        return SimClusterBench()
