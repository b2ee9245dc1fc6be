"""A made-up run whose books balance: tables for tests of what reads them, at any size, without a simulator.

Pods have heavy-tailed rates and pay for the share of time they are up; some deposits run out, some are
topped up, one provider is down for an hour. Everything is worked out in closed form from a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from sim.records.directory import Ending, link_latest, make_directory, write_provenance
from sim.records.schema import (
    ChannelLife,
    Claim,
    Deployment,
    Event,
    LatencyCount,
    PriceChange,
    ProviderEnd,
    PublisherEnd,
    Residual,
    Sample,
    Transaction,
)
from sim.records.writer import RunWriter
from sim.statistics import BUCKET_SHIFT
from sim.summary import write_summary

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_767_225_600 * 10**9  # 2026-01-01T00:00:00Z
HOUR_NS = 3_600 * 10**9
TOKEN = 10**18
CLASSES = (
    ("budget", "africa", "none", 60),
    ("standard", "europe", "tee", 100),
    ("careful", "asia", "tee", 170),
)


@dataclass
class Pod:
    """One pod of the made-up world: hours are since the start."""

    name: str
    group: str
    provider: int
    arrivals: int
    cold_share: float
    up_share: float
    rate: int  # base units an hour while up on average
    deposit: int
    top_up: int
    exhausted_h: float | None
    noticed_h: float | None
    removed_h: float | None
    unlocked_h: float | None

    def end_h(self, hours: float) -> float:
        return min(value for value in (self.removed_h, self.unlocked_h, hours) if value is not None)

    def owed(self, hour: float, hours: float) -> int:
        return int(self.rate * min(hour, self.end_h(hours)))

    def invested(self, hour: float) -> int:
        return self.deposit + (self.top_up if hour >= 2 else 0)


def write_example(
    root: Path,
    *,
    pods: int = 60,
    providers: int = 8,
    hours: int = 4,
    replications: int = 1,
    seed: int = 1,
    sampling_s: int = 120,
    out: Path | None = None,
) -> Path:
    """Write a whole run under `root` (or to `out`), report left out, and return its directory."""
    scenario = f"name: example\nseed: {seed}\nduration: {hours}h\n"
    started = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    directory = make_directory("example", scenario, started=started, root=root, out=out)
    for replication in range(replications):
        with RunWriter(directory, replication=replication) as writer:
            _write_world(
                writer, np.random.default_rng([seed, replication]), pods, providers, hours, sampling_s
            )
    end_ns = START_NS + hours * HOUR_NS
    write_provenance(
        directory,
        Ending(
            "example",
            seed,
            replications,
            started,
            1.5,
            START_NS,
            end_ns,
            (end_ns,) * replications,
            token="USDC",
            not_modelled=("Rain.",),
        ),
    )
    write_summary(directory)
    link_latest(directory, root=root)
    return directory


def _at(hour: float) -> int:
    return START_NS + int(hour * HOUR_NS)


def _pods(rng: np.random.Generator, count: int, providers: int, hours: int) -> list[Pod]:
    found = []
    for number in range(count):
        group, _, _, price = CLASSES[number % 3]
        arrivals = int(rng.lognormal(6.5, 2.2)) + 1
        per_hour = arrivals / hours
        up_share = 1 - math.exp(-per_hour / 12)
        rate = int(up_share * price * rng.lognormal(0, 0.4) * TOKEN) // 5_000
        plenty = rate * hours * 2 + TOKEN // 100
        deposit, top_up, exhausted, unlocked = plenty, 0, None, None
        match number % 7:
            case 3 if rate > 0:
                exhausted = float(rng.uniform(0.3, 0.95) * hours)
                deposit = int(rate * exhausted)
            case 4:
                top_up = plenty // 2
            case 5:
                unlocked = float(rng.uniform(0.5, 0.9) * hours)
            case _:
                pass
        tick = 100 / 3600
        noticed = None if exhausted is None else (math.floor(exhausted / tick) + 1) * tick
        found.append(
            Pod(
                f"{group}-{number}", group, number % providers, arrivals, min(1.0, 0.9 * math.exp(-per_hour / 25)),
                up_share, rate, deposit, top_up, exhausted, noticed,
                None if noticed is None else noticed + 2.5 / 3600, unlocked,
            )
        )  # fmt: skip
    return found


def _served(pod: Pod, hour: float, hours: float) -> int:
    return int(pod.arrivals * _share(min(hour, pod.end_h(hours)) / hours))


def _share(done: float) -> float:
    """How much of the arrivals has come after a share of the time: a wave over the day."""
    return done + 0.12 * math.sin(2 * math.pi * done) / (2 * math.pi)


def _write_world(
    writer: RunWriter, rng: np.random.Generator, count: int, providers: int, hours: int, sampling_s: int
) -> None:
    pods = _pods(rng, count, providers, hours)
    names = [f"{CLASSES[number % 3][0]}-{number + 1}" for number in range(providers)]
    revenue, owed_unclaimed, unpaid = [0] * providers, [0] * providers, [0] * providers
    served_by, evictions, claims = [0] * providers, [0] * providers, [0] * providers
    block = 0
    for number, name in enumerate(names):
        price = int(CLASSES[number % 3][3] * TOKEN // 1000 * rng.uniform(0.9, 1.1))
        writer.append(
            "prices", PriceChange(_at(0), name, number + 1, price, price // 4, price // 90, price, 0)
        )
    for pod in pods:
        provider = names[pod.provider]
        end_h = pod.end_h(hours)
        owed, invested = pod.owed(end_h, hours), pod.invested(end_h)
        over = max(0, owed - invested)
        paid = 0
        for hour in range(1, int(end_h) + 1):
            total = min(pod.owed(hour, hours), pod.invested(hour))
            if total > paid:
                block += 1
                outcome = Claim(
                    _at(hour),
                    provider,
                    pod.name,
                    1,
                    pod.owed(hour, hours),
                    total,
                    total - paid,
                    block,
                    "paid",
                )
                writer.append("claims", outcome)
                writer.append(
                    "transactions",
                    Transaction(
                        _at(hour) - 10**9,
                        _at(hour),
                        block,
                        provider,
                        "withdraw",
                        "confirmed",
                        None,
                        61_000,
                        10**14,
                    ),
                )
                claims[pod.provider] += 1
                paid = total
        closed = pod.unlocked_h is not None and end_h == pod.unlocked_h
        left = invested - paid
        returned = left if closed else 0
        served = _served(pod, end_h, hours)
        missing = int(pod.arrivals * _share(1.0)) - served
        timeouts = served // 200
        served -= timeouts
        cold = min(served, int(served * pod.cold_share) + 1)
        start_ns, busy_ns = cold * 3 * 10**9, served * 150_000_000
        up_ns = int(pod.up_share * end_h * HOUR_NS)
        outcome_name = "running" if end_h == hours else "removed"
        why = "exhausted" if pod.exhausted_h is not None else "unlocked" if closed else None
        writer.append(
            "deployments",
            Deployment(
                pod.name, pod.group, provider, f"ns-{pod.name}", 1, _at(0), _at(0) + 10**9, _at(0) + 13 * 10**9,
                None if pod.noticed_h is None else _at(pod.noticed_h),
                None if outcome_name == "running" else _at(end_h), outcome_name, why,
                arrivals=served + timeouts, served=served, failed_timeout=timeouts, cold=cold, replica_starts=cold + 1,
                starting_ns=start_ns, idle_ns=max(0, up_ns - busy_ns), busy_ns=busy_ns, draining_ns=10**9 * (cold + 1),
                billed_replica_ms=up_ns // 10**6, owed=owed, paid=paid, unpaid=over, price_table=pod.provider + 1,
                latency_p50_ms=40.0,
            ),
        )  # fmt: skip
        writer.append(
            "channels",
            ChannelLife(
                pod.name, provider, 1, _at(0), _at(end_h) if closed else None, invested, paid, returned, left - returned,
                owed, over, None if pod.exhausted_h is None else _at(pod.exhausted_h),
                None if pod.noticed_h is None else _at(pod.noticed_h),
                None if pod.removed_h is None else _at(pod.removed_h), over, 1 if pod.top_up else 0,
                "closed" if closed else "open",
            ),
        )  # fmt: skip
        state = "evicted" if pod.removed_h is not None else "gone" if closed else "running"
        writer.append(
            "publishers",
            PublisherEnd(
                pod.name, pod.group, pod.deposit, invested - pod.deposit, paid, returned, left - returned, 2 * 10**14,
                served + timeouts + missing, 0, served, timeouts + missing, timeouts + missing, 0,
                int(state == "evicted"), state,
            ),
        )  # fmt: skip
        if pod.removed_h is not None:
            evictions[pod.provider] += 1
            for event_id, (at_h, event) in enumerate(
                ((pod.noticed_h, "Exhausted"), (pod.removed_h, "Removed"))
            ):
                assert at_h is not None
                writer.append(
                    "events", Event(event_id, None, _at(at_h), _at(at_h), provider, event, pod.name, provider)
                )
        if served:
            _write_latency(writer, rng, pod, provider, served, cold)
        revenue[pod.provider] += paid
        owed_unclaimed[pod.provider] += min(owed, invested) - paid if not closed else 0
        unpaid[pod.provider] += over
        served_by[pod.provider] += served
    for number, name in enumerate(names):
        group, region, assurance, _ = CLASSES[number % 3]
        gas = claims[number] * 10**14
        cost = hours * TOKEN // 400
        writer.append(
            "providers",
            ProviderEnd(
                name, group, region, assurance, revenue[number], owed_unclaimed[number], unpaid[number], gas, gas * 3,
                cost, revenue[number] + owed_unclaimed[number] - gas * 3 - cost,
                sum(pod.provider == number for pod in pods), 0, evictions[number], evictions[number], claims[number],
                0.1, served_by[number], HOUR_NS if number == 0 else 0,
            ),
        )  # fmt: skip
    writer.append("conservation", Residual("replica-milliseconds billed = run", "replica-ms", 5, 5))
    _write_samples(writer, pods, names, hours, sampling_s)


def _write_latency(
    writer: RunWriter, rng: np.random.Generator, pod: Pod, provider: str, served: int, cold: int
) -> None:
    size = min(served, 4_000)
    warm = rng.lognormal(math.log(0.05e9), 0.9, size)
    slow = rng.lognormal(math.log(3.2e9), 0.35, min(cold, 2_000))
    for kind, values in (("all", np.r_[warm[len(slow) :], slow]), ("cold", slow)):
        buckets, counts = np.unique(
            values.astype(np.float64).view(np.int64) >> BUCKET_SHIFT, return_counts=True
        )
        for bucket, requests in zip(buckets.tolist(), counts.tolist(), strict=True):
            writer.append("latency", LatencyCount(pod.name, provider, kind, bucket, requests))


def _write_samples(writer: RunWriter, pods: list[Pod], names: list[str], hours: int, sampling_s: int) -> None:
    homes = [[pod for pod in pods if pod.provider == number] for number in range(len(names))]
    for instant in range(0, hours * 3600 + 1, sampling_s):
        hour = instant / 3600
        for number, name in enumerate(names):
            mine = homes[number]
            down = number == 0 and hours / 2 <= hour < hours / 2 + 1
            alive = [pod for pod in mine if pod.end_h(hours) > hour or pod.end_h(hours) == hours]
            busy = sum(min(40, pod.arrivals // (hours * 3600) + 1) for pod in alive)
            idle = sum(pod.up_share > 0.5 for pod in alive)
            owed = sum(pod.owed(hour, hours) for pod in mine)
            claimed = sum(
                min(pod.owed(math.floor(min(hour, pod.end_h(hours))), hours), pod.deposit) for pod in mine
            )
            inside = sum(pod.invested(hour) for pod in alive)
            gone = sum(
                pod.invested(hour) - min(pod.owed(hour, hours), pod.deposit)
                for pod in mine
                if pod not in alive
            )
            served = sum(_served(pod, hour, hours) for pod in mine)
            wave = 1 + math.sin(instant / 900 + number)
            writer.append(
                "samples",
                Sample(
                    _at(hour), name, 0 if down else len(alive), 0, int(wave), 0 if down else idle, 0 if down else busy,
                    int(wave > 1.8), int(2 * wave), int(wave), busy, served, served, served // 200,
                    sum(int(_served(pod, hour, hours) * pod.cold_share) for pod in mine), owed, claimed,
                    max(0, inside - claimed), sum(max(0, pod.owed(hour, hours) - pod.invested(hour)) for pod in mine),
                    max(0, gone), 0 if down else busy * 250 + idle * 250, 0 if down else 64_000,
                ),
            )  # fmt: skip
        away = [pod for pod in pods if pod.end_h(hours) <= hour < hours]
        lost = sum(_served(pod, hours * 2, hours * 2) // 900 for pod in away)
        writer.append(
            "samples", Sample(_at(hour), "", len(away), arrivals=lost, failed=lost, capacity_cpu_millis=0)
        )
        if instant % 3600 == 0:
            writer.flush(_at(hour))
