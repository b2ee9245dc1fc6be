"""A sample says of every provider what its machines, its pods' meters and the chain say when they are asked one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.ports import PodState
from protocol.pricing import COST_SCALE
from sim import exhaustion, watch
from sim.kernel.plane import DataPlane
from sim.parties import ProviderParty
from sim.reference.plane import ReferencePlane
from sim.simulation import Simulation
from sim.tasks import call_at
from tests.sim.worlds import START, Row, S, play, provider, publisher, world

BURSTS = {"image": "web:1", "port": 80, "resources": {"cpu": "500m", "memory": "128Mi"}, "limits": {"cpu": 3}}
STORES = {"image": "web:1", "port": 80, "volumes": [{"mountPath": "/data", "storage": "2Gi"}],
          "resources": {"cpu": "250m", "memory": "128Mi"}}  # fmt: skip
MIXED = world(
    duration="50m",
    output={"requests": 0, "sampling": "7s"},
    providers=[
        provider(count=2, prices={"cpu": "0.002 DAI/core-h", "storage": "0.003 DAI/GiB-h"},
                 terms={"grace": "5m", "runway": "5m", "exposure": "5m"}),
        provider(name="dear", nodes=[{"count": 1, "cpu": 4, "memory": "8Gi"}],
                 prices={"storage": "0.01 DAI/GiB-h", "egress": "0.02 DAI/GB"}),
        provider(name="idle", nodes=[{"count": 1, "cpu": "0.1", "memory": "8Gi"}]),
    ],
    publishers=[
        publisher(name="burst", count=2, manifest={"containers": [BURSTS]}, traffic={"poisson": "2/s"},
                  scaling={"policy": "keda", "target_pending_requests": 1, "max_replicas": 6},
                  client={"timeout": "4s", "retries": 1}, arrive={"exponential": "1m"}, lifetime="40m"),
        publisher(name="bytes", count=3, response_bytes="1MB", traffic={"poisson": "0.2/s"},
                  policies={"selection": "round_robin"}),
        publisher(name="store", count=2, manifest={"containers": [STORES]}, scaling={"policy": "fixed", "replicas": 1},
                  policies={"funding": {"use": "once", "with": {"first": "9m"}}, "on_loss": "leave",
                            "selection": "cheapest"}),
        publisher(name="leaves", count=3, arrive={"exponential": "4m"}, lifetime="12m", leave="delete",
                  traffic={"poisson": "0.3/s"}, service={"constant": "10s"},
                  actions=[{"at": "3m", "what": "update", "manifest": {"containers": [BURSTS]}},
                           {"at": "5m", "what": "deposit", "amount": "0.01 DAI"}],
                  policies={"selection": "random"}),
        publisher(name="poor", traffic={"poisson": "1/s"}, image={"size": "300MB"},
                  policies={"funding": {"use": "once", "with": {"first": "4m"}},
                            "on_loss": {"use": "redeploy", "with": {"times": 3, "wait": "20s"}}}),
    ],
    faults=[
        {"kind": "node_crash", "provider": "host-0", "node": 0, "at": "15m", "for": "6m"},
        {"kind": "provider_crash", "provider": "host-1", "at": "25m", "for": "5m", "nodes": True},
    ],
)  # fmt: skip
"""Pods that start, burst, store and leave; a node and a provider that fail; funds that are used up."""


def asked(simulation: Simulation, party: ProviderParty, now_ns: int) -> Row:
    """What the row of a provider must be, from one pod and one node after the other."""
    there, machines = simulation.world, party.machines
    machines.read_all(now_ns)  # brings the world's own meters up to now
    pods = [t for t in machines.tenants.values() if t.state is not PodState.REMOVED]
    counts = [pod.caller.count(now_ns) for pod in pods]
    attempts = [a for a in there.recorder.attempts if a.row["provider"] == party.name]
    past = [a.row for a in attempts if a.row["namespace"] not in {pod.name for pod in pods}]
    uses = [machines.plane.node_use(number, now_ns) for number in range(len(machines.nodes))]
    watched = there.watcher._exhaustions[party.name]._watched.values()
    till = there.recorder.tills[party.name]
    states = [pod.state for pod in pods]
    return {
        "replication": 0,
        "time_ns": now_ns,
        "provider": party.name,
        "pods_running": states.count(PodState.CONFIGURED),
        "pods_suspended": states.count(PodState.SUSPENDED),
        "replicas_starting": sum(c.starting + c.unplaced for c in counts),
        "replicas_idle": sum(c.idle for c in counts),
        "replicas_busy": sum(c.busy for c in counts),
        "replicas_draining": sum(c.draining for c in counts),
        "held": sum(c.held for c in counts),
        "queued": sum(c.queued for c in counts),
        "in_service": sum(c.in_flight for c in counts),
        "arrivals": sum(c.arrivals for c in counts) + sum(row["arrivals"] for row in past),
        "served": sum(c.served for c in counts) + sum(row["served"] for row in past),
        "failed": sum(sum(c.failed.values()) for c in counts)
        + sum(row[name] for row in past for name in row if name.startswith("failed_")),
        "cold": sum(c.cold for c in counts) + sum(row["cold"] for row in past),
        "owed": sum(w.meter.scaled_owed(w.prices) // COST_SCALE for w in watched)
        + sum(row["owed"] for row in past),
        "claimed": till.claimed,
        "available": till.available,
        "unpaid": party.unpaid,
        "returned": till.returned,
        "allocated_cpu_millis": sum(use.cpu_millis for use in uses),
        "capacity_cpu_millis": sum(
            node.cpu_millis for node, use in zip(machines.nodes, uses, strict=True) if use.up
        ),
        "wanted_cpu_millis": sum(use.cpu_wanted_millis for use in uses),
        "given_cpu_millis": round(sum(use.cpu_given_millis for use in uses)),
    }


@pytest.mark.parametrize("plane", [DataPlane, ReferencePlane])
def test_a_sample_is_what_everybody_says(plane: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.world.DataPlane", plane)
    expected: list[Row] = []

    def before(simulation: Simulation) -> None:
        there, take = simulation.world, simulation._sampler.take

        def taken(now_ns: int) -> list[str]:
            wrong = take(now_ns)
            expected.extend(asked(simulation, party, now_ns) for party in there.providers.values())
            here = [c for c in there.callers.values() if c.plane is there.nowhere]
            away = [caller.count(now_ns) for caller in here]
            gone, failed = there.unhosted.arrivals, there.unhosted.failed
            expected.append(
                dict.fromkeys(expected[-1], 0)
                | {"time_ns": now_ns, "provider": "", "pods_running": len(here)}
                | {"arrivals": gone + sum(one.arrivals for one in away)}
                | {"failed": failed + sum(sum(one.failed.values()) for one in away)}
            )
            assert simulation._sampler.requests == sum(row["arrivals"] for row in expected[-5:])
            return wrong

        simulation._sampler.take = taken  # type: ignore[method-assign]

    played = play(MIXED, tmp_path, before=before)
    rows = played.rows("samples")
    assert rows == sorted(expected, key=lambda row: (row["time_ns"], row["provider"]))
    assert len(rows) == 5 * (50 * 60 // 7 + 2)
    hosts = [row for row in rows if row["provider"]]
    assert [name for name in hosts[0] if len({row[name] for row in hosts}) == 1] == ["replication"]
    assert any(row["given_cpu_millis"] < row["wanted_cpu_millis"] for row in hosts)
    assert any(row["capacity_cpu_millis"] < 4000 for row in hosts if row["provider"].startswith("host"))


def test_no_more_changes_wait_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is down is looked at by samples alone, which take what its machines tell; nothing differs."""
    down = {"kind": "provider_crash", "provider": "host-0", "at": "5m", "for": "40m"}
    quiet = [group for group in MIXED["publishers"] if group["name"] in ("burst", "leaves", "poor")]
    data = {**MIXED, "publishers": quiet, "faults": [down]}
    whole = play(data, tmp_path / "whole")
    few, most = 4, 0
    monkeypatch.setattr(exhaustion, "CHANGES_KEPT", few)
    monkeypatch.setattr(watch, "CHANGES_KEPT", few)

    def before(simulation: Simulation) -> None:
        there, take = simulation.world, simulation._sampler.take

        def taken(now_ns: int) -> list[str]:
            nonlocal most
            wrong = take(now_ns)
            for party in there.providers.values():
                most = max(most, party.machines.plane.totals(now_ns)["transitions"])
            for number, watched in enumerate(there.watcher._exhaustions.values()):
                loud = [w.tenant for w in watched._watched.values() if not w.quiet or len(w.changes) >= few]
                assert {t.name for t in watched.due()} == {t.name for t in loud}
                assert (number in there.watcher._restless) == bool(loud)
                assert all(len(w.changes) < few for w in watched._watched.values())
            return wrong

        simulation._sampler.take = taken  # type: ignore[method-assign]

    often = play(data, tmp_path / "often", before=before)
    assert often.hashes == whole.hashes
    assert 0 < most < few
    assert often.outcome.reached_ns > START + 45 * 60 * S


def test_more_than_there_is_is_told(tmp_path: Path) -> None:
    """A node on which more is allocated than it has breaks a law of the run, at the next sample."""

    def before(simulation: Simulation) -> None:
        def corrupt() -> None:
            simulation.world.providers["host-0"].machines.plane._arrays["nodes"][1]["memory_free"] = -7

        call_at(simulation.world.env, START + 1790 * S, corrupt)

    outcome = play(world(duration="30m"), tmp_path, before=before).outcome
    assert len(outcome.violations) == 1
    assert outcome.violations[0].startswith("host-0, node 1: ")
