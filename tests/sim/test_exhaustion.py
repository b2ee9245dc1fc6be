"""The exact instant at which a channel is used up, and when its provider learns of it.

Under constant load both are worked out by hand; in random worlds the instant is held against a stepper
that adds up the bill millisecond by millisecond from the same log of replicas.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from scipy import stats

from protocol import manifest
from protocol.payment import Deposited
from protocol.pricing import COST_SCALE, burn
from protocol.units import NS_PER_MS
from sim.chain.port import READ_NS
from sim.cluster import Machines, Tenant
from sim.simulation import Simulation
from tests.sim.worlds import START, Data, Played, Row, S, merged, play, provider, publisher, world, worlds

RATE = 10**9
"""Of the pod below [base units a replica-ms]: a quarter of a core at 0.0144 DAI/core-h."""

HOST = provider(
    prices={"cpu": "0.0144 DAI/core-h", "memory": "0 DAI/GiB-h"},
    nodes=[{"count": 1, "cpu": 64, "memory": "64Gi", "pull": "1Gbit/s"}],
    cold_start={"schedule": "1s", "decrypt": "125MB/s", "application": "2s"},
    terms={"runway": "1m", "exposure": "2h"},
)
POD = publisher(
    scaling={"policy": "fixed", "replicas": 1},
    traffic={"none": True},
    service={"constant": "100ms"},
    image={"size": "125MB"},
    policies={"funding": {"use": "once", "with": {"first": "10m"}}},
)
LEAD_NS = 3 * S
"""Scheduling, pull and decryption of `POD` on `HOST`, a second each: not billed."""


def constant(
    tick: str = "100s", *, host: Data | None = None, pod: Data | None = None, **changes: Any
) -> Data:
    """One pod under constant load, its deposit spent after some ten minutes."""
    return world(
        duration="1h",
        providers=[merged(HOST, merged({"terms": {"tick": tick}}, host or {}))],
        publishers=[{**POD, **(pod or {})}],
        **changes,
    )


def begun_ms(run: Played, pod: str = "pod-0") -> int:
    """When the first container started [ms]: configured, one nanosecond, then `LEAD_NS`."""
    configured = run.row("events", pod=pod, event="PodConfigured")["time_ns"]
    return int((configured + 1 + LEAD_NS) // NS_PER_MS)


def exhausted_ns(row: Row) -> int:
    assert row["exhausted_ns"] is not None
    return int(row["exhausted_ns"])


# ---------------------------------------------------------------- constant load


@pytest.mark.parametrize("tick", ["20s", "100s", "1000s"])
@pytest.mark.parametrize("replicas", [1, 3])
def test_the_instant_is_exact_whatever_the_tick(tick: str, replicas: int, tmp_path: Path) -> None:
    host = {"terms": {"min_unlock_time": "2h"}}
    pod = {"scaling": {"policy": "fixed", "replicas": replicas}, "unlock_time": "2h"}
    run = play(constant(tick, host=host, pod=pod), tmp_path)
    assert run.outcome.violations == ()
    channel = run.row("channels")
    assert channel["invested"] == 600_000 * RATE
    assert exhausted_ns(channel) == (begun_ms(run) + 600_000 // replicas) * NS_PER_MS
    # The provider learns of it at its first tick from then on, once it has read the chain.
    party = run.simulation.world.providers["host-0"]
    tick_ns, phase_ns = party.settings.tick_ns, party.settings.tick_phase_ns
    noticed_at_ns = channel["noticed_ns"] - READ_NS
    assert (noticed_at_ns - phase_ns) % tick_ns == 0
    assert exhausted_ns(channel) <= noticed_at_ns < exhausted_ns(channel) + tick_ns
    assert channel["removed_ns"] > channel["noticed_ns"]
    # What was served meanwhile, to the base unit: until the replicas ended.
    ended_ms = (channel["noticed_ns"] + 50 * NS_PER_MS) // NS_PER_MS  # one write to the cluster's API
    assert channel["overrun"] == (ended_ms - exhausted_ns(channel) // NS_PER_MS) * RATE * replicas
    assert channel["unpaid"] == channel["overrun"]


def test_a_rate_that_does_not_divide_rounds_up(tmp_path: Path) -> None:
    """The first millisecond at whose end as much is owed as there was."""
    host = {"prices": {"cpu": "0.0144000000000036 DAI/core-h"}, "terms": {"runway": "7m"}}
    run = play(constant(host=host), tmp_path)
    channel = run.row("channels")
    table = run.row("prices")
    a_ms = Fraction(table["cpu"], 4 * 1000)
    assert a_ms.denominator > 1
    need = -(-channel["invested"] // a_ms)
    assert exhausted_ns(channel) == (begun_ms(run) + need) * NS_PER_MS


def test_a_wake_comes_at_the_instant(tmp_path: Path) -> None:
    """With `wake_early` a pod that can burn no faster than it does is looked at within a second of the end."""
    run = play(constant("1000s", host={"terms": {"wake_early": True, "min_unlock_time": "2h"}},
                        pod={"unlock_time": "2h"}), tmp_path)  # fmt: skip
    channel = run.row("channels")
    assert exhausted_ns(channel) == (begun_ms(run) + 600_000) * NS_PER_MS
    assert 0 <= channel["noticed_ns"] - exhausted_ns(channel) <= 1 * S


def test_a_sleeping_pod_wakes_its_provider_early_too(tmp_path: Path) -> None:
    """Its meter stands still for ticks on end, then it burns all it has between two ticks."""
    (tmp_path / "calls.csv").write_text(
        "seconds\n" + "\n".join(str(1200 + k / 10) for k in range(4000)) + "\n"
    )
    scaling = {
        "policy": "keda",
        "target_pending_requests": 1,
        "min_replicas": 0,
        "max_replicas": 40,
        "idle": "60s",
    }
    pod = {
        "scaling": scaling,
        "traffic": {"replay": str(tmp_path / "calls.csv")},
        "service": {"constant": "20s"},
        "slots": 1,
        "unlock_time": "2h",
    }
    terms = {"min_unlock_time": "2h", "wake_early": True}
    early = play(constant("1000s", host={"terms": terms}, pod=pod), tmp_path / "early")
    late = play(constant("1000s", host={"terms": {**terms, "wake_early": False}}, pod=pod), tmp_path / "late")
    one, other = early.row("channels"), late.row("channels")
    assert exhausted_ns(one) == exhausted_ns(other) > START + 1200 * S
    assert one["noticed_ns"] - exhausted_ns(one) <= 1 * S
    assert other["noticed_ns"] - exhausted_ns(other) > 20 * S


def test_top_ups_move_it_by_what_they_pay_for(tmp_path: Path) -> None:
    deposits = [
        {"at": "5m", "what": "deposit", "amount": "0.0002 DAI"},
        {"at": "8m", "what": "deposit", "amount": "0.0001 DAI"},
    ]
    run = play(constant(pod={"actions": deposits}), tmp_path)
    channel = run.row("channels")
    assert channel["top_ups"] == 2 and channel["invested"] == 900_000 * RATE
    assert exhausted_ns(channel) == (begun_ms(run) + 900_000) * NS_PER_MS


def test_a_top_up_in_the_very_block_comes_too_late(tmp_path: Path) -> None:
    """A deposit mined after the instant, and before anybody noticed, does not undo it."""
    (begun,) = {begun_ms(play(constant(), tmp_path / "dry"))}
    at_s = (begun + 600_000) * NS_PER_MS // S + 2 - START // S
    late = [{"at": f"{at_s}s", "what": "deposit", "amount": "0.01 DAI"}]
    run = play(constant("1000s", pod={"actions": late, "unlock_time": "2h"},
                        host={"terms": {"min_unlock_time": "2h"}}), tmp_path / "late")  # fmt: skip
    channel = run.row("channels")
    assert exhausted_ns(channel) == (begun_ms(run) + 600_000) * NS_PER_MS
    assert channel["removed_ns"] is None and channel["status"] == "open"


def test_bytes_make_it_jump(tmp_path: Path) -> None:
    """A priced response is owed from the instant it was served."""
    calls = [60 + 10 * k for k in range(300)]
    (tmp_path / "calls.csv").write_text("seconds\n" + "\n".join(map(str, calls)) + "\n")
    host = {"prices": {"egress": "0.002 DAI/GB", "ingress": "0.001 DAI/GB"}}
    pod = {
        "traffic": {"replay": str(tmp_path / "calls.csv")},
        "request_bytes": "1MB",
        "response_bytes": "5MB",
    }
    run = play(constant(host=host, pod=pod), tmp_path / "run")
    channel = run.row("channels")
    a_call = 5_000_000 * 2_000_000 + 1_000_000 * 1_000_000
    begun = begun_ms(run)
    ends = sorted(r["end_ns"] for r in run.rows("requests", outcome="served"))
    found = None
    for number, end_ns in enumerate(ends):
        left = channel["invested"] - number * a_call
        by_time = (begun + -(-left // RATE)) * NS_PER_MS
        if by_time <= end_ns:
            found = by_time
            break
        if (end_ns // NS_PER_MS - begun) * RATE + (number + 1) * a_call >= channel["invested"]:
            found = end_ns
            break
    assert found is not None and exhausted_ns(channel) == found


def test_an_update_changes_the_slope(tmp_path: Path) -> None:
    """Twice the processors from the update on: what is left lasts half as long."""
    twice = {"containers": [{"image": "web:1", "port": 80, "resources": {"cpu": "500m", "memory": "128Mi"}}]}
    run = play(constant(pod={"actions": [{"at": "5m", "what": "update", "manifest": twice}]}), tmp_path)
    channel = run.row("channels")
    updated_ns = run.row("events", event="PodUpdated")["time_ns"]
    before = updated_ns // NS_PER_MS - begun_ms(run)  # an idle replica of the old version ends at once
    again = (updated_ns + 1 + 2 * S) // NS_PER_MS  # its image is cached: scheduled, decrypted
    left = 600_000 - before
    assert exhausted_ns(channel) == (again + -(-left // 2)) * NS_PER_MS


def volumes(storage: str) -> Data:
    """The pod with a volume."""
    container = {**POD["manifest"]["containers"][0], "volumes": [{"mountPath": "/data", "storage": storage}]}
    return {"containers": [container]}


STORING = {"prices": {"storage": "0.0001 DAI/GiB-h"}, "terms": {"grace": "5m"}}


def test_volumes_cost_while_bound_and_reserve_their_grace(tmp_path: Path) -> None:
    run = play(constant(host=STORING, pod={"manifest": volumes("10Gi")}), tmp_path)
    channel = run.row("channels")
    stored = Fraction(10 * 2**30 * run.row("prices")["storage"], 1000)  # base units a ms
    reserve = -(-stored * 300_000 // 1)
    configured = run.row("events", event="PodConfigured")["time_ns"] // NS_PER_MS
    begun = begun_ms(run)
    holds = channel["invested"] - reserve
    need = (holds - stored * (begun - configured)) / (RATE + stored)
    assert exhausted_ns(channel) == (begun + -(-need // 1)) * NS_PER_MS
    # The data outlive the funds by the grace time and are paid for; what was overrun is what is missing.
    suspended, removed = run.row("events", event="PodSuspended"), run.row("events", event="PodRemoved")
    assert removed["time_ns"] - suspended["time_ns"] >= 300 * S
    assert channel["overrun"] == channel["owed"] - holds > 0


def test_an_update_of_volumes_changes_the_reserve(tmp_path: Path) -> None:
    actions = [{"at": "2m", "what": "update", "manifest": volumes("40Gi")}]
    run = play(constant(host=STORING, pod={"manifest": volumes("10Gi"), "actions": actions}), tmp_path)
    channel = run.row("channels")
    stored = Fraction(10 * 2**30 * run.row("prices")["storage"], 1000)
    updated_ns = run.row("events", event="PodUpdated")["time_ns"]
    configured = run.row("events", event="PodConfigured")["time_ns"] // NS_PER_MS
    updated, again = updated_ns // NS_PER_MS, (updated_ns + 1 + 2 * S) // NS_PER_MS
    holds = channel["invested"] - -(-4 * stored * 300_000 // 1)
    spent = (
        (updated - begun_ms(run)) * RATE + (updated - configured) * stored + (again - updated) * 4 * stored
    )
    need = (holds - spent) / (RATE + 4 * stored)
    assert exhausted_ns(channel) == (again + -(-need // 1)) * NS_PER_MS


# ---------------------------------------------------------------- the overrun


ALPHA = 0.001
"""Chance of a false alarm of the test below, were its seed drawn anew."""


def test_the_overrun_is_uniform_over_the_tick(tmp_path: Path) -> None:
    """Many providers, each with its own phase: the wait from the instant to the tick is uniform on [0, tick)."""
    many = 150
    tick_s = 100
    run = play(
        world(
            duration="25m",
            providers=[{**HOST, "count": many}],
            publishers=[{**POD, "count": many, "policies": {**POD["policies"], "selection": "round_robin"}}],
            network={"latency_same_region": "5ms"},
            output={"events": False, "sampling": "25m"},
        ),
        tmp_path,
    )
    channels = run.rows("channels")
    assert len({row["provider"] for row in channels}) == many
    waits_s = [(row["noticed_ns"] - READ_NS - exhausted_ns(row)) / S for row in channels]
    assert stats.kstest(waits_s, "uniform", args=(0, tick_s)).pvalue > ALPHA
    # The same in money: what was served until the replicas ended, 70 ms after the tick.
    for row, wait_s in zip(channels, waits_s, strict=True):
        assert abs(row["overrun"] - (wait_s + 0.07) * 1000 * RATE) <= RATE


# ---------------------------------------------------------------- millisecond by millisecond


@dataclass
class Log:
    """What happened to the pods of one world, as the data plane and the chain tell it.

    Attributes:
        rows: by pod: (t_ns, kind, a, b) of `DataPlane.take_transitions`.
        versions: by provider and namespace: (t_ns, tenant, scaled cost of a replica-ms, of the volumes' ms).
        deposits: by channel key: (t_ns, amount).
        ended: by provider and namespace: t_ns.
    """

    rows: defaultdict[tuple[int, int], list[tuple[int, int, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    configured: defaultdict[tuple[str, str], list[tuple[int, manifest.Pod, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    ended: dict[tuple[str, str], int] = field(default_factory=dict)
    deposits: defaultdict[Any, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


def listening(log: Log) -> Any:
    """Writes down what the watcher is told."""

    def before(simulation: Simulation) -> None:
        there = simulation.world

        def mined(block: Any) -> None:
            for receipt in block.receipts:
                for event in receipt.events:
                    if isinstance(event, Deposited):
                        log.deposits[event.key].append((int(there.env.now), event.deposit_amount))

        there.blocks.on_mined.append(mined)
        for party in there.providers.values():
            _listen(log, party.machines)

    return before


def _listen(log: Log, machines: Machines) -> None:
    plane: Any = machines.plane
    taken, configured, removed = plane.take_transitions, machines.on_configured, machines.on_removed

    def take() -> Any:
        rows = taken()
        for row in rows.tolist():
            t_ns, pod, kind, a, b = row
            log.rows[id(plane), pod].append((t_ns, kind, a, b))
        return rows

    def on_configured(tenant: Tenant, now_ns: int) -> None:
        versions = log.configured[machines.name, tenant.name]
        if not versions or versions[-1][2] != tenant.workload.version:
            versions.append((now_ns, tenant.workload.pod, tenant.workload.version))
        configured(tenant, now_ns)

    def on_removed(tenant: Tenant, now_ns: int) -> None:
        log.ended[machines.name, tenant.name] = now_ns
        removed(tenant, now_ns)

    plane.take_transitions = take
    machines.on_configured, machines.on_removed = on_configured, on_removed


def stepped(
    log: Log,
    name: tuple[str, str],
    rows: list[tuple[int, int, int, int]],
    grace_s: int,
    prices: Any,
    deposits: list[tuple[int, int]],
    end_ns: int,
) -> int | None:
    """The instant, by adding up the bill one millisecond after the other."""  # fmt: skip
    versions = log.configured[name]
    ms, last_ms = versions[0][0] // NS_PER_MS, log.ended.get(name, end_ns) // NS_PER_MS
    end_ns = log.ended.get(name, end_ns)
    steps: defaultdict[int, list[tuple[int, int, Any]]] = defaultdict(list)
    for t_ns, kind, a, b in rows:
        if versions[0][0] <= t_ns <= end_ns:
            steps[t_ns // NS_PER_MS].append((t_ns, kind, (a, b)))
    for t_ns, pod, _ in versions:
        steps[t_ns // NS_PER_MS].append((t_ns, 2, pod))
    funds = sum(amount for t_ns, amount in deposits if t_ns <= versions[0][0])
    for t_ns, amount in deposits:
        if t_ns > versions[0][0]:
            steps[t_ns // NS_PER_MS].append((t_ns, 3, amount))
    bill, count, a_replica, stored, moved, reserve = 0, 0, 0, 0, 0, 0
    while ms <= last_ms:
        if bill + moved >= (funds - reserve) * COST_SCALE and ms * NS_PER_MS > versions[0][0]:
            return ms * NS_PER_MS
        for t_ns, kind, what in sorted(steps.pop(ms, ()), key=lambda step: step[:2]):
            if t_ns > end_ns:
                break
            match kind:
                case 0:
                    count = what[0]
                case 1:
                    moved = (what[0] * prices.egress + what[1] * prices.ingress) * COST_SCALE
                case 2:
                    a_replica = burn(prices, manifest.pod_resources(what))
                    held = manifest.volume_resources(what)
                    stored = burn(prices, held)
                    reserve = -(-stored * grace_s * 1000 // COST_SCALE)
                case _:
                    funds += what
            if bill + moved >= (funds - reserve) * COST_SCALE:
                return max(t_ns, versions[0][0])
        bill += count * a_replica + stored
        ms += 1
    return None


def quick(data: Data) -> Data:
    """The same world cut to ten minutes, with every life of a channel its pod's only one."""
    data = merged(data, {"duration": "11m"})
    for group in data["publishers"]:
        group["policies"]["on_loss"] = "leave"
        group["policies"]["funding"] = {"use": "once", "with": {"first": "3m"}}
        group["arrive"] = "0s"
        group["actions"] = [a for a in group["actions"] if int(a["at"][:-1]) < 600]
    data["faults"] = [fault for fault in data["faults"] if int(fault["at"][:-1]) < 600]
    data["chain"]["outages"] = []
    return data


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_random_worlds_agree_with_a_stepper(data: Data) -> None:
    log = Log()
    with TemporaryDirectory() as folder:
        run = play(quick(data), Path(folder), before=listening(log))
        assert run.outcome.violations == ()
        there = run.simulation.world
        indices = {name: number for number, name in enumerate(there.publishers)}
        lives = {(row["pod"], row["provider"]): row for row in run.rows("channels")}
        for attempt in run.rows("deployments"):
            name = (attempt["provider"], attempt["namespace"])
            if name not in log.configured:
                continue
            party = there.providers[attempt["provider"]]
            row = lives[attempt["pod"], attempt["provider"]]
            key = next(k for k in log.deposits if there.recorder.names[k.publisher] == row["pod"]
                       and there.recorder.names[k.provider] == row["provider"])  # fmt: skip
            rows = log.rows[id(party.machines.plane), indices[row["pod"]]]
            has_volumes = bool(log.configured[name][0][1].volumes)
            grace_s = party.settings.grace_s if has_volumes else 0
            found = stepped(
                log, name, rows, grace_s, party.settings.prices, log.deposits[key], run.outcome.reached_ns
            )
            assert row["exhausted_ns"] == found, f"{row['pod']} at {row['provider']}"
