"""Same scenario and seed, same bytes: in other processes, with other windows, and whatever others decide."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.billing import Biller
from protocol.claiming import Claimer
from protocol.hosting import HostedPod
from protocol.meters import Meters
from protocol.ports import Usage
from sim import fleet
from sim.cluster import Tenant
from sim.exhaustion import Exhaustions
from sim.reference.plane import ReferencePlane
from sim.simulation import Simulation
from sim.tasks import call_at
from sim.watch import Watcher
from tests.sim.worlds import PUBLISHER, START, Data, Played, S, play, provider, publisher, text, world, worlds

ROOT = Path(__file__).resolve().parents[2]
LOOKS = ("read_all", "advance", "owed", "sample")

BURSTS = {"image": "web:1", "port": 80, "resources": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": 2}}
BUSY = world(
    duration="90m",
    providers=[provider(count=2), provider(name="dear", region="fra-west-1", prices={"egress": "0.02 DAI/GB"})],
    publishers=[
        publisher(name="a", count=3, manifest={"containers": [BURSTS]}, client={"timeout": "6s", "retries": 3, "backoff": {"exponential": "2s"}}, traffic={"mmpp": {"states": [
            {"rate": "0/s", "stay": "60s"}, {"rate": "4/s", "stay": "15s"}]}}),
        publisher(name="b", count=2, arrive={"exponential": "3m"}, response_bytes="1MB",
                  policies={"selection": "weighted", "funding": {"use": "once", "with": {"first": "20m"}},
                            "on_loss": {"use": "redeploy", "with": {"times": 2, "wait": "20s"}}}),
        publisher(name="c", scaling={"policy": "kpa", "target_pending_requests": 1, "max_replicas": 5},
                  lifetime="30m"),
    ],
    faults=[
        {"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "4m", "nodes": True},
        {"kind": "publisher_crash", "publisher": "a-0", "at": "30m", "for": "10m"},
    ],
)  # fmt: skip
"""A little of everything."""
GAS = [
    {"at": "0s", "price": "20 gwei"},
    {"at": "31m", "price": "0.01 gwei"},
    {"at": "55m", "price": "9 gwei"},
]


def test_twice_in_one_process(tmp_path: Path) -> None:
    one, two = play(BUSY, tmp_path / "one"), play(BUSY, tmp_path / "two")
    assert one.hashes == two.hashes
    assert set(one.hashes) >= {
        "events",
        "channels",
        "claims",
        "deployments",
        "requests",
        "samples",
        "publishers",
    }


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    one, two = play(BUSY, tmp_path / "one"), play({**BUSY, "seed": 2}, tmp_path / "two")
    same = {name for name, digest in one.hashes.items() if two.hashes[name] == digest}
    assert same <= {"conservation", "prices"}


def test_the_reference_engine_gives_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one byte is the compiled kernel's own."""
    kernel = play(BUSY, tmp_path / "kernel")
    monkeypatch.setattr("sim.world.DataPlane", ReferencePlane)
    assert play(BUSY, tmp_path / "reference").hashes == kernel.hashes


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(what=worlds(), moves=st.booleans())
def test_the_reference_engine_gives_the_same_tables_of_random_worlds(what: Data, moves: bool) -> None:
    if moves:
        factors = {"factors": [1.0, 1.7, 0.6], "period": "24m"}
        what["providers"][0]["policies"]["price"] = {"use": "schedule", "with": factors}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        kernel = play(what, Path(folder) / "kernel")
        patch.setattr("sim.world.DataPlane", ReferencePlane)
        assert play(what, Path(folder) / "reference").hashes == kernel.hashes


def test_threads_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, two and three, with planes too few to be worth it: every thread has worked, and nothing differs."""
    monkeypatch.setattr(fleet, "PLANES_A_THREAD", 1)
    bring, workers = fleet._bring, set()

    def watched(planes: list[Any], *rest: Any) -> None:
        if planes:
            workers.add(threading.current_thread().name)
        bring(planes, *rest)

    monkeypatch.setattr(fleet, "_bring", watched)
    hashes = []
    for threads in (1, 2, 3):
        workers.clear()
        played = play(BUSY, tmp_path / str(threads), threads=threads)
        hashes.append(played.hashes)
        assert played.simulation.world.fleet(threads).slice_ns == (
            None if threads == 1 else threads * 100 * S // 3
        )
        assert len(workers) == threads
    assert hashes[0] == hashes[1] == hashes[2]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_never_find_a_plane_ahead(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No plane is beyond the clock of the simulation, at any event."""
    monkeypatch.setattr(fleet, "PLANES_A_THREAD", 1)
    seen = []

    def before(simulation: Simulation) -> None:
        there = simulation.world
        step = there.env.step

        def stepped() -> None:
            step()
            now_ns = max(START, int(there.env.now))  # planes begin with the scenario
            seen.append(all(p.machines.plane.now_ns <= now_ns for p in there.providers.values()))

        there.env.step = stepped  # type: ignore[method-assign]

    play({**BUSY, "duration": "45m"}, tmp_path, before=before, threads=threads)
    assert len(seen) > 1000 and all(seen)


def test_what_a_tick_passes_over_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that compares every pod that has run with its funds at every tick decides the same."""
    quick = play(BUSY, tmp_path / "quick")
    watch = Biller._watch_runway

    def forgetting(self: Biller, pod: HostedPod, left: int, now_ns: int) -> None:
        watch(self, pod, left, now_ns)
        pod.calm_to = -1

    monkeypatch.setattr(Biller, "_watch_runway", forgetting)
    assert play(BUSY, tmp_path / "slow").hashes == quick.hashes


@pytest.mark.parametrize(
    "claim",
    [{"use": "when_it_pays", "with": {"cap_share": 1.0}}, {"use": "interval", "with": {"every": "7m"}}],
)
@pytest.mark.parametrize("moves", [False, True])
def test_who_is_below_a_mark_need_not_be_looked_at(
    claim: Data, moves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that meters, compares, writes and asks its claim policy for every pod at every tick does the same."""
    data = BUSY | ({"chain": {"gas_price": {"steps": GAS}}} if moves else {})
    data["providers"] = [{**p, "policies": {"claim": claim}} for p in BUSY["providers"][: 1 if moves else 2]]
    if moves:  # pods whose bytes cost something are looked at by every tick, and their providers ask the policy at each
        data["publishers"] = [p for p in BUSY["publishers"] if "response_bytes" not in p]
    counts: Counter[bool] = Counter()
    take = Meters.take

    def taken(self: Meters, usage: Usage) -> list[tuple[HostedPod, bool]]:
        looked = take(self, usage)
        for pod in self.billed:
            counts[pod.namespace in {p.namespace for p, _ in looked}] += 1
        return looked

    monkeypatch.setattr(Meters, "take", taken)
    quick = play(data, tmp_path / "quick")
    assert counts[False] > counts[True] / 2 > 3 and len(quick.rows("claims")) > 40
    counts.clear()
    monkeypatch.setattr(Meters, "pass_over", lambda self, owed_to: None)
    monkeypatch.setattr(Claimer, "_rest", property(lambda self: None, lambda self, rest: None), raising=False)
    assert play(data, tmp_path / "slow").hashes == quick.hashes
    assert counts[False] == 0


def test_what_is_not_looked_at_is_not_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at every pod's funds whenever anything is read finds the same instants and the same bills."""
    quick = play(BUSY, tmp_path / "quick")
    assert any(row["exhausted_ns"] is not None for row in quick.rows("channels"))

    def every(self: Exhaustions) -> list[Tenant]:
        return [watch.tenant for watch in self._watched.values()]

    def everybody(self: Watcher, now_ns: int, transitions: Any) -> None:
        for machines in self._machines:
            machines.glance(now_ns)

    monkeypatch.setattr(Exhaustions, "due", every)
    monkeypatch.setattr(Watcher, "glance", everybody)
    assert play(BUSY, tmp_path / "slow").hashes == quick.hashes


PROGRAM = """
import json, sys, sim
from sim.records.directory import table_hashes
results = sim.run(sys.argv[1], out=sys.argv[2], workers=int(sys.argv[3]))
print(json.dumps(table_hashes(results.directory)))
"""


def test_fresh_processes_and_workers(tmp_path: Path) -> None:
    """Another order of hashes, another number of workers: the same bytes, replication by replication."""
    file = tmp_path / "scenario.yaml"
    file.write_text(text({**BUSY, "duration": "25m", "faults": [], "replications": 2}))
    found = []
    for number, (seed, workers) in enumerate([("1", 1), ("2", 2)]):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, file, tmp_path / str(number), str(workers)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    names = sorted(path.name for path in (tmp_path / "0" / "tables" / "events").iterdir())
    assert names == ["0000-0000.parquet", "0001-0000.parquet"]
    events = [(tmp_path / "0" / "tables" / "events" / name).read_bytes() for name in names]
    assert events[0] != events[1]


# ---------------------------------------------------------------- windows


def cutting(cuts: list[tuple[int, str]]) -> Any:
    """Looks at every provider, in another order each time, at instants where nobody else would look."""

    def before(simulation: Simulation) -> None:
        there = simulation.world
        names = list(there.providers)

        def look(how: str, order: int) -> None:
            now_ns = int(there.env.now)
            random.Random(order).shuffle(names)
            for name in names:
                party = there.providers[name]
                match how:
                    case "read_all":
                        party.machines.read_all(now_ns)
                    case "advance":
                        party.machines.plane.advance(now_ns)
                        there.nowhere.advance(now_ns)
                    case "owed":
                        there.watcher.owed(simulation._fleet, now_ns)
                    case _:
                        simulation._sample(now_ns)

        for order, (at_ns, how) in enumerate(cuts):
            call_at(there.env, START + at_ns, partial(look, how, order))

    return before


@st.composite
def cuts_of(draw: st.DrawFn, duration_s: int) -> list[tuple[int, str]]:
    """Instants: anywhere, on whole seconds where blocks and faults are, and right beside those."""
    anywhere = st.integers(0, duration_s * S - 1)
    near = st.tuples(st.integers(1, duration_s - 1), st.sampled_from((-1, 0, 1, 60_000_000))).map(
        lambda at: at[0] * S + at[1]
    )
    count = draw(st.integers(1, 60))
    chance = draw(st.randoms(use_true_random=False))
    every = [(k * duration_s * S // count + chance.randrange(S), chance.choice(LOOKS)) for k in range(count)]
    some = draw(st.lists(st.tuples(st.one_of(anywhere, near), st.sampled_from(LOOKS)), max_size=20))
    return sorted((at, how) for at, how in every + some if at < duration_s * S)


def but_samples(played: Played) -> dict[str, str]:
    return {name: digest for name, digest in played.hashes.items() if name != "samples"}


def samples_every_minute(played: Played) -> list[Any]:
    return [row for row in played.rows("samples") if (row["time_ns"] - START) % (60 * S) == 0]


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(what=worlds(), data=st.data())
def test_windows_change_no_byte(what: Data, data: st.DataObject) -> None:
    duration_s = int(what["duration"][:-1]) * 60
    cuts = data.draw(cuts_of(duration_s))
    with TemporaryDirectory() as folder:
        whole = play(what, Path(folder) / "whole")
        cut = play(what, Path(folder) / "cut", before=cutting(cuts))
        assert but_samples(whole) == but_samples(cut)
        extra = {START + at for at, how in cuts if how == "sample"}
        if not any((at - START) % (60 * S) == 0 for at in extra):
            assert samples_every_minute(whole) == samples_every_minute(cut)


@pytest.mark.parametrize("every_s", [1, 100])
def test_looking_at_a_pace_changes_no_byte(every_s: int, tmp_path: Path) -> None:
    """Windows of that length: all providers are advanced, and their meters read, at each end of one."""
    data = {**BUSY, "duration": "32m"}
    chance = random.Random(every_s)
    cuts = [(at * S, chance.choice(("read_all", "advance"))) for at in range(every_s, 30 * 60, every_s)]
    whole, cut = play(data, tmp_path / "whole"), play(data, tmp_path / "cut", before=cutting(cuts))
    assert whole.hashes == cut.hashes


# ---------------------------------------------------------------- arrivals are nobody's decision


def arrivals(run: Played) -> dict[str, list[tuple[int, int]]]:
    """Of each pod: number and instant of every request."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row in run.rows("requests"):
        found.setdefault(row["pod"], []).append((row["number"], row["arrival_ns"]))
    return {pod: sorted(rows) for pod, rows in found.items()}


def demands(run: Played, pod: str) -> dict[int, int]:
    """Of each request of a pod that was served: how long its service took."""
    served = run.rows("requests", pod=pod, outcome="served")
    return {row["number"]: row["end_ns"] - row["start_ns"] for row in served}


CHANGES: dict[str, Data] = {
    "selection": {"policies": {"selection": "round_robin"}},
    "funding": {"policies": {"funding": {"use": "once", "with": {"first": "5m"}}}},
    "scaling": {"scaling": {"policy": "fixed", "replicas": 2}},
    "idle": {"scaling": {"policy": "keda", "target_pending_requests": 1, "max_replicas": 2, "idle": "5s"}},
    "leaving": {"lifetime": "10m", "leave": "delete"},
    "dispatch": {"dispatch": "random"},
    "slots": {"slots": 7},
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_policy_moves_no_arrival(what: str, tmp_path: Path) -> None:
    def data(changes: Data) -> Data:
        mine = {"traffic": {"poisson": "0.3/s"}, "policies": {**PUBLISHER["policies"]}, **changes}
        if "policies" in changes:
            mine["policies"] = {**PUBLISHER["policies"], **changes["policies"]}
        other = publisher(
            name="b",
            count=2,
            traffic={"mmpp": {"states": [{"rate": "0/s", "stay": "60s"}, {"rate": "2/s", "stay": "20s"}]}},
        )
        return world(
            duration="40m",
            providers=[provider(count=2)],
            publishers=[publisher(name="a", count=2, **mine), other],
        )

    one, two = play(data({}), tmp_path / "one"), play(data(CHANGES[what]), tmp_path / "two")
    assert one.hashes["deployments"] != two.hashes["deployments"]  # the change has an effect
    counted = [{row["pod"]: row["arrivals"] for row in run.rows("publishers")} for run in (one, two)]
    assert counted[0] == counted[1] and min(counted[0].values()) > 100
    # Those that are under way at the end of a run have no row, and which they are follows from the policy.
    before, after = arrivals(one), arrivals(two)
    for pod, rows in before.items():
        both = set(rows) & set(after[pod])
        assert {n for n, _ in set(rows) ^ set(after[pod])} <= {
            n for n, _ in sorted(set(rows) | set(after[pod]))[-20:]
        }
        assert len(both) >= counted[0][pod] - 20
        assert len({n for n, _ in set(rows) | set(after[pod])}) == len(set(rows) | set(after[pod]))
        took, takes = demands(one, pod), demands(two, pod)
        assert [n for n in took.keys() & takes.keys() if took[n] != takes[n]] == []
        assert len(took.keys() & takes.keys()) > 50


@pytest.mark.parametrize("share", [0, "1/7"])
def test_sampling_requests_changes_nothing_else(share: Any, tmp_path: Path) -> None:
    one, two = play(BUSY, tmp_path / "one"), play({**BUSY, "output": {"requests": share}}, tmp_path / "two")
    assert {n: d for n, d in one.hashes.items() if n != "requests"} == {
        n: d for n, d in two.hashes.items() if n != "requests"
    }
    kept = [row for row in one.rows("requests") if share and row["number"] % 7 == 0]
    assert two.rows("requests") == kept


def test_sampling_the_state_changes_nothing_else(tmp_path: Path) -> None:
    one = play(BUSY, tmp_path / "one")
    two = play({**BUSY, "output": {"requests": 1, "sampling": "7s"}}, tmp_path / "two")
    assert but_samples(one) == but_samples(two)
    instants = {row["time_ns"] for row in one.rows("samples")} & {
        row["time_ns"] for row in two.rows("samples")
    }
    assert len(instants) > 10
    assert [r for r in one.rows("samples") if r["time_ns"] in instants] == [
        r for r in two.rows("samples") if r["time_ns"] in instants
    ]


def test_leaving_the_trace_out_changes_nothing_else(tmp_path: Path) -> None:
    one = play(BUSY, tmp_path / "one")
    two = play({**BUSY, "output": {"requests": 1, "events": False}}, tmp_path / "two")
    assert {n: d for n, d in one.hashes.items() if n != "events"} == two.hashes


@pytest.mark.parametrize("seed", [1, 5])
def test_counted_cryptography_gives_the_same_ledger(seed: int, tmp_path: Path) -> None:
    data = {**BUSY, "seed": seed, "duration": "40m"}
    real, counted = (play({**data, "crypto": kind}, tmp_path / kind) for kind in ("real", "counted"))
    assert real.hashes == counted.hashes
    assert len(real.rows("transactions")) > 50
