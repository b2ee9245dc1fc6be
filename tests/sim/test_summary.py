"""The summary of hand-made tables, whose answers are known."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim.metrics import METRICS
from sim.records.reader import RunTables
from sim.records.schema import (
    ChannelLife,
    Claim,
    Deployment,
    LatencyCount,
    PriceChange,
    ProviderEnd,
    PublisherEnd,
    Residual,
    Sample,
    Transaction,
)
from sim.records.writer import RunWriter
from sim.statistics import bucket_of
from sim.summary import number_text, span_text, summarise, summary_view, value_text
from tests.sim.example_run import write_example

S = 10**9
ORIGIN: dict[str, Any] = {
    "scenario": "by hand", "seed": 3, "start_ns": 0, "end_ns": 3600 * S, "complete_share": 1.0, "interrupted": False,
    "token": "USDC", "decimals": 6, "gas_token": "ETH", "gas_decimals": 18, "numeraire": "USD", "not_modelled": ["Rain."],
}  # fmt: skip


def write_world(directory: Path, replication: int, *, scale: int = 1) -> None:
    """Two pods at two providers: one runs on, one runs dry; every number small enough to check by eye."""
    with RunWriter(directory, replication=replication) as writer:
        writer.append(
            "deployments",
            Deployment(
                "p-0", "p", "b-0", "ns", 1, 0, 1, 2, None, None, "running", None, arrivals=100, served=95,
                retried=4, failed_timeout=2, failed_client_timeout=1, pending_at_end=2, cold=5, replicas_ready=4,
                scheduling_ns=2 * S, pull_ns=6 * S, decryption_ns=S, application_ns=8 * S, starting_ns=10 * S, idle_ns=50 * S, busy_ns=30 * S,
                draining_ns=10 * S, billed_replica_ms=90_000, owed=700, paid=600,
            ),
        )  # fmt: skip
        writer.append(
            "deployments",
            Deployment(
                "p-1", "p", "b-1", "ns", 1, 0, 1, 2, 90 * S, 100 * S, "removed", "exhausted", arrivals=10 * scale,
                served=9 * scale, failed_evicted=scale, cold=9 * scale, busy_ns=100 * S, owed=450, paid=400, unpaid=50,
            ),
        )  # fmt: skip
        writer.append(
            "deployments", Deployment("p-1", "p", "b-0", attempt=2, outcome="refused", reason="NoCapacity")
        )
        writer.append("channels", ChannelLife("p-0", "b-0", 1, 1, None, 1000, 600, 0, 400, 700, 0, top_ups=1))
        writer.append(
            "channels",
            ChannelLife(
                "p-1", "b-1", 1, 1, None, 430, 400, 0, 30, 450, 20, 60 * S, 90 * S, 100 * S, 20, 0, "open"
            ),
        )
        writer.append(
            "channels", ChannelLife("p-2", "b-1", 1, 1, 70 * S, 250, 0, 250, 0, 0, 0, status="closed")
        )
        writer.append("channels", ChannelLife("p-3", "b-1", 1, 1, None, 300, 0, 0, 300, 45, 0))
        writer.append(
            "publishers",
            PublisherEnd("p-0", "p", 900, 100, 600, 0, 400, 10**17, 100, 4, 95, 3, 0, 0, 0, "running"),
        )
        writer.append(
            "publishers",
            PublisherEnd(
                "p-1",
                "p",
                430,
                0,
                400,
                0,
                30,
                10**17,
                10 * scale + 7,
                0,
                9 * scale,
                scale + 7,
                scale + 7,
                0,
                1,
                "evicted",
            ),
        )
        writer.append(
            "publishers", PublisherEnd("p-2", "p", 550, 0, 0, 250, 300, 0, 0, 0, 0, 0, 0, 0, 0, "searching")
        )
        for name, paid, owed in (("b-0", 600, 100), ("b-1", 400, 30)):
            writer.append("claims", Claim(50 * S, name, "p", 1, paid, paid, paid, 1, "paid"))
            writer.append(
                "providers",
                ProviderEnd(
                    name,
                    "b",
                    "here",
                    "none",
                    paid,
                    owed,
                    20,
                    10**15,
                    5,
                    50,
                    paid + owed - 55,
                    1,
                    0,
                    1,
                    1,
                    1,
                    None,
                    9,
                    4 * S,
                ),
            )
        for block, status in ((1, "confirmed"), (2, "reverted")):
            writer.append("transactions", Transaction(0, S, block, "b-0", "withdraw", status))
        for name, old, new in (("b-0", 9, 100), ("b-1", 9, 300)):
            writer.append("prices", PriceChange(0, name, 1, old, 1, 1, 1, 1))
            writer.append("prices", PriceChange(S, name, 1, new, 1, 1, 1, 1))
        for at in (0, 60):
            writer.append(
                "samples", Sample(at * S, "b-0", held=3, allocated_cpu_millis=250, capacity_cpu_millis=1000)
            )
            writer.append(
                "samples", Sample(at * S, "b-1", held=1, allocated_cpu_millis=0, capacity_cpu_millis=1000)
            )
        for pod, latency_ms, requests in (("p-0", 100, 95), ("p-1", 1000, 9 * scale)):
            writer.append("latency", LatencyCount(pod, "b-0", "all", bucket_of(latency_ms * 1e6), requests))
        writer.append("conservation", Residual("replica-ms billed = run", "replica-ms", 7, 7))


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    write_world(tmp_path, 0)
    return summarise(RunTables(tmp_path), ORIGIN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("publishers", 3), ("providers", 2), ("deployments_accepted", 2), ("deployments_refused", 1),
        ("pods_running_at_end", 1), ("publishers_searching", 1), ("requests_arrived", 117), ("requests_served", 104), ("requests_failed", 11),
        ("requests_held", 14), ("held_at_once", 4), ("served_share", 104 / 113), ("requests_retried", 4), ("requests_lost", 8), ("cold_share", 14 / 104),
        ("cold_share_pod", (5 / 95 + 1) / 2), ("replica_s_starting", 10), ("replica_s_idle", 50),
        ("replica_s_busy", 130), ("replica_s_draining", 10), ("replica_s_billed", 90), ("replica_busy_share", 130 / 200),
        ("cpu_allocated_share", 0.125), ("load_imbalance", 2), ("channels_unpaid", 1), ("deposited", 0.00198), ("top_ups", 0.0001), ("spend", 0.00113),
        ("cost_per_million", 1130 / 104), ("revenue", 0.001), ("owed_unclaimed", 0.00013), ("unpaid", 0.00004),
        ("gas_cost", 0.00001), ("running_cost", 0.0001), ("profit", 0.00102), ("publisher_gas", 0.2),
        ("returned", 0.00025), ("locked_at_end", 0.00073), ("exhaustions", 1), ("suspensions", 2), ("evictions", 2),
        ("removal_delay_s", 40), ("notice_delay_s", 30), ("overrun", 0.00002), ("failed_timeout", 2), ("failed_client_timeout", 1),
        ("start_scheduling_s", 0.5), ("start_pull_s", 1.5), ("start_decryption_s", 0.25), ("start_application_s", 2),
        ("failed_evicted", 1), ("failed_crashed", 0), ("failed_not_deployed", 7), ("transactions_reverted", 1),
        ("provider_down_s", 8), ("price_spread", 2**0.5 / 2), ("revenue_hhi", 0.52),
        ("stranded", 0.000255),  # p-1 owes all of its 30; p-3 has 300 and owes 45; p-0 still runs
    ],
)  # fmt: skip
def test_known_answers(summary: dict[str, Any], name: str, value: float) -> None:
    metric = summary["metrics"][name]
    assert metric["mean"] == pytest.approx(value, rel=1e-12)
    assert metric["values"] == [metric["mean"]]
    assert (metric["low"], metric["high"], metric["n"]) == (None, None, 1)


def test_every_metric_is_in_it_with_its_unit(summary: dict[str, Any]) -> None:
    assert list(summary["metrics"]) == [metric.name for metric in METRICS]
    assert summary["metrics"]["revenue"]["unit"] == "USDC"
    assert summary["metrics"]["publisher_gas"]["unit"] == "ETH"
    assert all(entry["unit"] and entry["about"] for entry in summary["metrics"].values())
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert "Rain." in summary["not_modelled"]


def test_latency_is_pooled_and_per_pod_and_says_too_few(summary: dict[str, Any]) -> None:
    metrics = summary["metrics"]
    assert metrics["latency_p50_ms"]["mean"] == pytest.approx(100, rel=0.008)
    assert metrics["latency_p50_pod_ms"]["mean"] == pytest.approx(550, rel=0.008)
    assert metrics["latency_p99_ms"]["mean"] is None
    assert value_text(metrics["latency_p99_ms"]) == "too few"
    assert value_text(metrics["cold_latency_p50_ms"]) == "too few"


def test_the_median_pod_is_not_spoken_for_by_the_busy_ones(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        for number in range(10):
            requests = 10_000 if number < 9 else 9_999
            writer.append(
                "latency", LatencyCount(f"p-{number}", "b", "all", bucket_of((number + 1) * 1e6), requests)
            )
        for number in range(10):
            writer.append(
                "latency", LatencyCount(f"p-{number}", "b", "cold", bucket_of(1e6), 10_000 - number // 8)
            )
    metrics = summarise(RunTables(tmp_path), ORIGIN)["metrics"]
    assert metrics["latency_p99_pod_ms"]["mean"] == pytest.approx(5, rel=0.008)
    assert metrics["latency_p50_pod_ms"]["mean"] == pytest.approx(5.5, rel=0.008)
    assert metrics["cold_latency_p99_pod_ms"]["mean"] is None


def test_the_median_pods_cold_starts_are_not_the_pooled_ones(tmp_path: Path) -> None:
    """Nearly all cold starts are one pod's, and quick; the other pods wait long and seldom, one at two providers."""
    seen = [
        ("busy", "a", 200, 90_000),
        ("seldom", "a", 5_000, 3),
        ("moved", "a", 8_000, 1),
        ("moved", "b", 9_000, 2),
    ]
    with RunWriter(tmp_path) as writer:
        for pod, provider, latency_ms, requests in seen:
            for kind in ("all", "cold"):
                bucket = bucket_of(latency_ms * 1e6)
                writer.append("latency", LatencyCount(pod, provider, kind, bucket, requests))
    metrics = summarise(RunTables(tmp_path), ORIGIN)["metrics"]
    assert metrics["cold_latency_p50_ms"]["mean"] == pytest.approx(200, rel=0.008)
    assert metrics["cold_latency_p50_pod_ms"]["mean"] == pytest.approx(5_000, rel=0.008)
    assert metrics["cold_latency_p95_ms"]["mean"] == pytest.approx(200, rel=0.008)
    assert metrics["cold_latency_p95_pod_ms"]["mean"] is None


@pytest.mark.parametrize(
    ("span_s", "text"), [(90, "90 s"), (1200, "20 min"), (28_800, "8 h"), (2_592_000, "30 days")]
)
def test_spans_have_the_unit_that_suits_them(span_s: float, text: str) -> None:
    assert span_text(span_s) == text


def test_conservation_is_exact_and_a_lost_token_shows(summary: dict[str, Any], tmp_path: Path) -> None:
    assert [law["residual"] for law in summary["conservation"]] == [0] * 6
    assert {law["left"] for law in summary["conservation"]} == {1980, 1000, 110, 7}
    lost = tmp_path / "lost"
    write_world(lost, 0)
    with RunWriter(lost, replication=1) as writer:
        writer.append("channels", ChannelLife("p", "b", invested=10**30 + 1, withdrawn=10**30))
        writer.append("deployments", Deployment("p", "g", "b", arrivals=3, served=1, failed_limit=1))
    broken = summarise(RunTables(lost), ORIGIN)
    residuals = [(law["replication"], law["residual"]) for law in broken["conservation"] if law["residual"]]
    assert residuals == [(1, 1), (1, 1)]
    assert "NOT balanced" in _text(broken)
    assert "invested = withdrawn + returned + left in channels: off by 1 token base units" in _text(broken)


def test_replications_give_intervals_and_ratios_are_not_means_of_ratios(tmp_path: Path) -> None:
    for number, scale in enumerate((1, 2, 6)):
        write_world(tmp_path, number, scale=scale)
    metrics = summarise(RunTables(tmp_path), ORIGIN)["metrics"]
    served = metrics["requests_served"]
    assert served["values"] == [104, 113, 149]
    assert (served["mean"], served["n"]) == (122, 3)
    assert served["high"] - served["mean"] == pytest.approx(4.302652729911275 * 567**0.5 / 3**0.5)
    cold = metrics["cold_share"]
    assert cold["values"] == pytest.approx([14 / 104, 23 / 113, 59 / 149])
    assert cold["low"] < (14 + 23 + 59) / (104 + 113 + 149) < cold["high"]
    assert cold["mean"] != pytest.approx(sum(cold["values"]) / 3, rel=1e-3)
    assert metrics["publishers"]["low"] == metrics["publishers"]["high"] == 3


def _text(summary: dict[str, Any], width: int = 140) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(summary_view(summary))
    return out.getvalue()


def test_a_person_reads_people_money_service_and_faults(tmp_path: Path) -> None:
    run = write_example(tmp_path, replications=3)
    text = _text(json.loads((run / "summary.json").read_text(encoding="utf-8")))
    for expected in (
        "People",
        "Money",
        "Service",
        "Faults",
        "Market",
        "USDC",
        "±",
        "3 replications",
        "exactly zero",
    ):
        assert expected in text
    narrow = _text(json.loads((run / "summary.json").read_text(encoding="utf-8")), width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "…" not in narrow


def test_an_interrupted_run_says_so(summary: dict[str, Any]) -> None:
    text = _text(summary | {"interrupted": True, "complete_share": 0.25})
    assert "Interrupted: 25.0% of the virtual time was reached." in text


def test_an_empty_run_has_a_summary(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append("publishers", PublisherEnd("p", "p"))
    summary = summarise(RunTables(tmp_path), ORIGIN)
    assert summary["metrics"]["cost_per_million"]["mean"] is None
    assert summary["metrics"]["revenue_hhi"]["mean"] is None
    assert "–" in _text(summary)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (12345678.0, "12,345,678"), (1234.56, "1,235"), (12.3456, "12.35"), (0.0123456, "0.01235"),
        (0.00001234, "1.23e-05"), (2.5e12, "2.500e+12"), (-3.5, "-3.5"), (100.04, "100"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [(1_277_904, 1_435_484, "1,300,000 ± 1,400,000"), (12.1977, 23.44, "12 ± 23"), (0.0050541, 0.0022573, "0.0051 ± 0.0023"),
     (5, 0, "5"), (0.5, 1e-9, "0.5 ± 1.0e-09")],
)  # fmt: skip
def test_a_half_width_has_two_digits_and_the_mean_as_many_places(mean: float, half: float, text: str) -> None:
    entry = {"name": "x", "unit": "s", "mean": mean, "low": mean - half, "high": mean + half}
    assert value_text(entry) == text
