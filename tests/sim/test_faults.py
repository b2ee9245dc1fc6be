"""What breaks, and what it leaves in the tables: nothing lost, nothing twice, and everybody comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.units import NS_PER_MS
from sim.simulation import Simulation
from tests.sim.test_conservation import balanced
from tests.sim.worlds import START, Data, Played, S, merged, play, provider, publisher, world

RATE = 10**9
"""Of a pod below [base units a replica-ms]."""
HOST = provider(
    prices={"cpu": "0.0144 DAI/core-h", "memory": "0 DAI/GiB-h"},
    cold_start={"schedule": "1s", "decrypt": "125MB/s", "application": "2s"},
    terms={"runway": "10m", "exposure": "2h"},
)
ALWAYS = publisher(
    scaling={"policy": "fixed", "replicas": 1},
    traffic={"poisson": "0.2/s"},
    service={"exponential": "1s"},
    image={"size": 1},
    policies={"funding": {"use": "once", "with": {"first": "3h"}}},
)


def faulty(*faults: Data, host: Data | None = None, pod: Data | None = None, **changes: Any) -> Data:
    """One provider and two pods that run for ever, and what breaks."""
    return world(
        duration="1h",
        providers=[merged(HOST, host or {})],
        publishers=[{**ALWAYS, "count": 2, **(pod or {})}],
        faults=list(faults),
        **changes,
    )


def sound(data: Data, folder: Path) -> Played:
    """A run in which everything adds up."""
    run = play(data, folder)
    assert balanced(run) == []
    return run


def samples(run: Played, at_s: int, name: str = "host-0") -> Any:
    return run.row("samples", provider=name, time_ns=START + at_s * S)


def billed_alone(run: Played, pod: str, until_s: int = 3600) -> int:
    """What a pod whose replica never ended ran [replica-ms]: since configured, a second to schedule."""
    begun_ns = run.row("events", pod=pod, event="PodConfigured")["time_ns"] + 1 + 1 * S + 16  # a byte to pull
    return int((START + until_s * S) // NS_PER_MS - begun_ns // NS_PER_MS)


# ---------------------------------------------------------------- providers


def test_a_provider_that_comes_back_bills_what_ran_meanwhile(tmp_path: Path) -> None:
    """Its client crashes and its machines run on: the bill is the same to the base unit, only the claims wait."""
    calm = sound(faulty(), tmp_path / "calm")
    run = sound(
        faulty({"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "25m"}), tmp_path / "run"
    )
    for pod in ("pod-0", "pod-1"):
        assert run.row("deployments", pod=pod)["billed_replica_ms"] == billed_alone(run, pod)
        assert run.row("channels", pod=pod)["owed"] == billed_alone(run, pod) * RATE
        for name in ("owed", "exhausted_ns", "status"):
            assert run.row("channels", pod=pod)[name] == calm.row("channels", pod=pod)[name]
        for name in ("arrivals", "served", "billed_replica_ms", "cold", "outcome"):
            assert run.row("deployments", pod=pod)[name] == calm.row("deployments", pod=pod)[name]
    assert run.row("providers")["down_ns"] == 25 * 60 * S
    away = [r for r in run.rows("events", party="host-0") if 1200 * S < r["time_ns"] - START < 2700 * S]
    assert away == []
    assert len(run.rows("events", party="host-0", event="Recovered")) == 1
    late = [r["paid"] for r in run.rows("claims") if r["time_ns"] - START > 2700 * S]
    # One claim a pod for all that ran meanwhile, then as before.
    assert sum(paid >= 25 * 60_000 * RATE for paid in late) == 2


def test_a_provider_may_lose_its_nodes_as_well(tmp_path: Path) -> None:
    fault = {"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "10m", "nodes": True}
    run = sound(faulty(fault), tmp_path)
    for pod in ("pod-0", "pod-1"):
        row = run.row("deployments", pod=pod)
        # It ran until the crash, and from the return on: scheduled, its image still cached.
        again_ms = (START + 1800 * S + 1 * S) // NS_PER_MS
        after = (START + 3600 * S) // NS_PER_MS - again_ms
        assert row["billed_replica_ms"] == billed_alone(run, pod, 1200) + after
        assert row["failed_unreachable"] > 60 and row["outcome"] == "running"
        assert row["replica_starts"] == 2
    assert samples(run, 1500)["capacity_cpu_millis"] == 0 == samples(run, 1500)["allocated_cpu_millis"]
    assert samples(run, 1860)["capacity_cpu_millis"] == samples(run, 60)["capacity_cpu_millis"] > 0
    assert samples(run, 1500)["owed"] == samples(run, 1200)["owed"]


def test_a_node_crash_moves_what_ran_there(tmp_path: Path) -> None:
    crowded = {"nodes": [{"count": 2, "cpu": 1, "memory": "8Gi"}]}
    pod = {
        "scaling": {"policy": "fixed", "replicas": 2},
        "traffic": {"poisson": "1/s"},
        "service": {"constant": "1s"},
    }
    fault = {"kind": "node_crash", "provider": "host-0", "node": 0, "at": "20m", "for": "10m"}
    run = sound(faulty(fault, host=crowded, pod=pod), tmp_path)
    assert [samples(run, at)["capacity_cpu_millis"] for at in (1140, 1260, 1860)] == [2000, 1000, 2000]
    assert [samples(run, at)["allocated_cpu_millis"] for at in (1140, 1260, 1860)] == [1000, 1000, 1000]
    rows = run.rows("deployments")
    assert sum(r["failed_crashed"] for r in rows) > 0
    assert sum(r["replica_starts"] for r in rows) > 4
    assert {r["outcome"] for r in rows} == {"running"} and run.row("providers")["down_ns"] == 0


def test_nodes_may_crash_before_anybody_is_there(tmp_path: Path) -> None:
    faults = [
        {"kind": "node_crash", "provider": "host-0", "node": n, "at": "1s", "for": "1m"} for n in (0, 1)
    ]
    run = sound(faulty(*faults, pod={"arrive": "10m"}), tmp_path)
    assert [r["outcome"] for r in run.rows("deployments")] == ["running"] * 2


def test_overlapping_faults_end_with_the_last(tmp_path: Path) -> None:
    """Who is down twice comes back once, when both are over."""
    run = sound(
        faulty(
            {"kind": "provider_crash", "provider": "host-0", "at": "10m", "for": "20m", "nodes": True},
            {"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "20m"},
            {"kind": "node_crash", "provider": "host-0", "node": 1, "at": "25m", "for": "20m"},
            {"kind": "publisher_crash", "publisher": "pod-0", "at": "10m", "for": "5m"},
            {"kind": "publisher_crash", "publisher": "pod-0", "at": "12m", "for": "18m"},
        ),
        tmp_path,
    )
    assert run.row("providers")["down_ns"] == 30 * 60 * S
    assert [r["time_ns"] - START for r in run.rows("events", party="host-0", event="Recovered")] == [2400 * S]
    assert [samples(run, at)["capacity_cpu_millis"] for at in (540, 1740, 1860, 2640, 2760)] == [
        8000,
        0,
        4000,
        4000,
        8000,
    ]
    assert [r["outcome"] for r in run.rows("deployments")] == ["running"] * 2


def test_a_fault_before_a_publisher_arrives_does_not_call_it(tmp_path: Path) -> None:
    faults = [
        {"kind": "publisher_crash", "publisher": "pod-0", "at": "1m", "for": "1m"},
        {"kind": "publisher_crash", "publisher": "pod-1", "at": "9m", "for": "2m"},
    ]
    run = sound(faulty(*faults, pod={"arrive": "10m"}), tmp_path)
    first = {p: min(r["time_ns"] for r in run.rows("events", party=p)) - START for p in ("pod-0", "pod-1")}
    assert 600 * S <= first["pod-0"] < 601 * S and 660 * S <= first["pod-1"] < 661 * S
    assert len(run.rows("deployments")) == len(run.rows("channels")) == 2


# ---------------------------------------------------------------- the chain


def test_a_chain_outage_delays_and_loses_nothing(tmp_path: Path) -> None:
    calm = sound(faulty(), tmp_path / "calm")
    run = sound(faulty(chain={"outages": [{"at": "20m", "for": "15m"}]}), tmp_path / "run")
    mined = [r["mined_ns"] - START for r in run.rows("transactions") if r["mined_ns"] is not None]
    assert not [at for at in mined if 1200 * S < at < 2100 * S]
    assert [at for at in mined if at <= 1200 * S] and [at for at in mined if at >= 2100 * S]
    for pod in ("pod-0", "pod-1"):
        assert run.row("channels", pod=pod)["owed"] == calm.row("channels", pod=pod)["owed"]
        claimed = [r["owed"] for r in run.rows("claims", pod=pod)]
        assert claimed == sorted(claimed) and len(claimed) > 3
    assert [r["outcome"] for r in run.rows("deployments")] == ["running"] * 2
    assert run.row("providers")["suspensions"] == 0


def test_a_silent_endpoint_suspends_and_removes_nobody(tmp_path: Path) -> None:
    """After a third of the unlock time without a view of the channels pods are suspended, and resumed after it."""
    silence = {"kind": "rpc_silence", "party": "host-0", "at": "10m", "for": "30m"}
    run = sound(faulty(silence), tmp_path)
    for pod in ("pod-0", "pod-1"):
        suspended = run.row("events", pod=pod, event="PodSuspended")
        assert suspended["rule"] == "ChainUnconfirmed"
        # The last view came within a tick before the silence; a third of an hour later, at a tick, it ends.
        assert 500 * S <= suspended["time_ns"] - START - 1200 * S <= 720 * S
        resumed = run.row("events", pod=pod, event="PodResumed")
        assert 2400 * S <= resumed["time_ns"] - START <= 2520 * S
        row = run.row("deployments", pod=pod)
        assert row["outcome"] == "running" and row["failed_suspended"] > 60
        quiet_ms = (resumed["time_ns"] - suspended["time_ns"]) // NS_PER_MS
        assert abs(row["billed_replica_ms"] - (billed_alone(run, pod) - quiet_ms - 1000)) <= 1
    assert run.row("providers")["suspensions"] == 2
    assert not run.rows("events", event="PodRemoved")
    assert run.rows("events", event="ChainUnknown", party="host-0")


def test_a_short_silence_suspends_nobody(tmp_path: Path) -> None:
    run = sound(faulty({"kind": "rpc_silence", "at": "10m", "for": "15m"}), tmp_path)
    assert run.row("providers")["suspensions"] == 0
    assert [r["outcome"] for r in run.rows("deployments")] == ["running"] * 2
    assert not [r for r in run.rows("transactions") if 600 * S <= r["submitted_ns"] - START < 1500 * S]


# ---------------------------------------------------------------- the network and publishers


def test_a_partition_stops_talk_and_not_pods(tmp_path: Path) -> None:
    """The publishers cannot reach the provider: no top-up for lack of a status, no loss, and talk goes on after."""
    cut = {"kind": "partition", "regions": ["bul-east-1", "fra-west-1"], "at": "10m", "for": "20m"}
    pod = {
        "region": "fra-west-1",
        "policies": {"funding": {"use": "runway", "with": {"first": "1h", "low": "50m", "tranche": "30m"}}},
    }
    run = sound(faulty(cut, pod=pod), tmp_path)
    assert [r["outcome"] for r in run.rows("deployments")] == ["running"] * 2
    top_ups = [r["time_ns"] - START for r in run.rows("events", event="ToppedUp")]
    assert [at for at in top_ups if at > 1800 * S]
    assert not [at for at in top_ups if 612 * S < at < 1800 * S]  # what was on its way is mined
    assert not run.rows("events", event="PodLost")
    late = sound(faulty(cut, pod={"region": "fra-west-1", "arrive": "15m"}), tmp_path / "late")
    accepted = [r["accepted_ns"] - START for r in late.rows("deployments") if r["accepted_ns"] is not None]
    assert all(at >= 1800 * S for at in accepted)


def test_a_publisher_that_comes_back_goes_on(tmp_path: Path) -> None:
    pod = {
        "policies": {"funding": {"use": "runway", "with": {"first": "1h", "low": "50m", "tranche": "30m"}}}
    }
    crash = {"kind": "publisher_crash", "publisher": "pod-0", "at": "10m", "for": "20m"}
    run = sound(faulty(crash, pod=pod), tmp_path)
    mine = run.row("deployments", pod="pod-0")
    assert mine["outcome"] == "running" and mine["billed_replica_ms"] == billed_alone(run, "pod-0")
    told = [r["time_ns"] - START for r in run.rows("events", party="pod-0")]
    assert not [at for at in told if 600 * S < at < 1800 * S] and [at for at in told if at > 1800 * S]
    assert len(run.rows("channels", pod="pod-0")) == 1
    assert run.row("channels", pod="pod-0")["top_ups"] >= 1


@pytest.mark.parametrize("at_s", [0, 3, 9, 14, 18, 19])
def test_a_publisher_that_crashes_while_it_rents_has_one_channel(at_s: int, tmp_path: Path) -> None:
    crash = {"kind": "publisher_crash", "publisher": "pod-0", "at": f"{at_s}s", "for": "30s"}
    run = sound(faulty(crash), tmp_path)
    opened = run.rows("channels", pod="pod-0")
    running = run.rows("deployments", pod="pod-0", outcome="running")
    assert len(running) == 1
    assert sum(row["status"] == "open" for row in opened) == 1


@pytest.mark.parametrize("hours", [3])
def test_nobody_reads_for_hours_and_every_row_still_comes(hours: int, tmp_path: Path) -> None:
    """A provider without a client for longer than rows are held back."""
    crash = {"kind": "provider_crash", "provider": "host-0", "at": "10m", "for": f"{hours}h"}
    data = faulty(crash, pod={"policies": {"funding": {"use": "once", "with": {"first": "8h"}}}})
    run = sound({**data, "duration": f"{hours + 1}h", "output": {"requests": 1, "sampling": "4h"}}, tmp_path)
    assert len(run.rows("requests")) >= sum(r["served"] + r["failed"] for r in run.rows("publishers"))


def test_a_group_crashes_together(tmp_path: Path) -> None:
    crash = {"kind": "provider_crash", "provider": "host", "at": "20m", "for": "10m", "nodes": True}
    run = sound(faulty(crash, host={"count": 3}), tmp_path)
    assert [row["down_ns"] for row in run.rows("providers")] == [600 * S] * 3


def test_failures_come_by_their_laws_and_are_each_providers_own(tmp_path: Path) -> None:
    """Two days of 40 providers that nobody uses: every failure lasts 10 minutes, so down time counts them."""
    failures = {"every": {"exponential": "2h"}, "for": "10m"}
    data = faulty(host={"count": 40, "failures": failures}, pod={"arrive": "47h"})
    run = sound({**data, "duration": "48h", "output": {"sampling": "12h"}}, tmp_path / "run")
    counts = [row["down_ns"] / (600 * S) for row in run.rows("providers")]
    # A renewal process: after a time t some t/m have come, with a variance of t s²/m³; down time adds 0.1 at most.
    mean, variance = 48 * 6 / 13, 48 * 4 * 216 / 13**3
    assert abs(sum(counts) / 40 - mean) < 5 * (variance / 40) ** 0.5 + 1
    assert len(set(counts)) > 5
    other = sound({**data, "duration": "48h", "output": {"sampling": "12h"}, "seed": 2}, tmp_path / "other")
    assert [row["down_ns"] / (600 * S) for row in other.rows("providers")] != counts


def test_a_pod_that_went_elsewhere_while_its_provider_was_away_ends_there(tmp_path: Path) -> None:
    """The old provider comes back to a pod whose callers left: it bills what ran before, and removes it."""
    crash = {"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "10h", "nodes": True}
    funding = {
        "use": "runway",
        "with": {"first": "30h", "low": "0s", "look_least": "30m", "look_most": "30m"},
    }
    data = faulty(
        crash,
        host={"count": 2},
        pod={"unlock_time": "1h", "policies": {
            "selection": "round_robin", "funding": funding,
            "on_loss": {"use": "redeploy", "with": {"wait": "1m"}},
        }},
    )  # fmt: skip
    run = sound({**data, "duration": "15h"}, tmp_path)
    first, second = run.rows("deployments", pod="pod-0")
    assert (first["provider"], first["outcome"]) == ("host-0", "removed")
    assert (second["provider"], second["outcome"]) == ("host-1", "running")
    assert first["billed_replica_ms"] < 20 * 60 * 1000 < second["billed_replica_ms"]
    assert first["unpaid"] > 0 or first["owed"] == first["paid"]
    assert run.row("providers", provider="host-0")["down_ns"] == 10 * 3600 * S


def test_a_lost_claim_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above look at what they say: a provider that forgets a pod while it is away is caught."""
    honest = Simulation._fault

    def forgetful(self: Simulation, fault: Any) -> Any:
        begin, end = honest(self, fault)

        def forget() -> None:
            self.world.providers["host-0"].disk.tables.pop("pods", None)
            end()

        return begin, forget

    monkeypatch.setattr(Simulation, "_fault", forgetful)
    run = play(faulty({"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "25m"}), tmp_path)
    late = [r["paid"] for r in run.rows("claims") if r["time_ns"] - START > 2700 * S]
    assert late == []
