"""Clients in whole runs: where they are, what they see, and how often they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.worlds import Data, play, publisher, world

MS = 1_000_000
PARTS = ("scheduling_ns", "pull_ns", "decryption_ns", "application_ns")


def small(**client: object) -> Data:
    return world(duration="20m", publishers=[publisher(traffic={"poisson": "1/s"}, client=client)])


def test_far_clients_see_the_same_later(tmp_path: Path) -> None:
    near, far = play(small(), tmp_path / "near"), play(small(region="fra-west-1"), tmp_path / "far")
    differ = {name for name, digest in near.hashes.items() if far.hashes[name] != digest}
    assert differ == {"deployments", "requests", "latency"}
    trips = {name: run.row("deployments")["round_trip_ns"] for name, run in (("near", near), ("far", far))}
    assert trips == {"near": 10 * MS, "far": 120 * MS}
    here = near.rows("requests", provider="host-0")
    assert {row["round_trip_ns"] for row in here} == {10 * MS}
    there = [{**row, "round_trip_ns": 10 * MS} for row in far.rows("requests", provider="host-0")]
    assert there == here
    # Half of the answers take about 1.5 s; a quantile is a bucket's middle, within 0.8 %.
    medians = [run.row("deployments")["latency_p50_ms"] for run in (near, far)]
    assert medians[1] - medians[0] == pytest.approx(110, abs=0.016 * medians[1])
    spans = sorted(row["end_ns"] - row["arrival_ns"] for row in here if row["outcome"] == "served")
    assert medians[0] == pytest.approx((spans[len(spans) // 2] / MS) + 10, rel=0.02)


def test_attempts_lead_back_to_requests(tmp_path: Path) -> None:
    run = play(small(timeout="1s", retries=2, backoff={"exponential": "500ms"}), tmp_path)
    users, rows = run.row("publishers"), run.rows("requests")
    assert users["retried"] > 100 and users["lost"] > 10
    assert users["failed"] == users["retried"] + users["lost"] + users["waiting_at_end"]
    assert sum(row["attempt"] > 1 for row in rows) <= users["retried"]
    tries: dict[int, list[str]] = {}
    for row in sorted(rows, key=lambda row: int(row["attempt"])):
        tries.setdefault(row["number"], []).append(row["outcome"])
        assert row["attempt"] == len(tries[row["number"]]) <= 3
    assert all("served" not in outcomes[:-1] for outcomes in tries.values())
    assert sum(outcomes[-1] == "served" for outcomes in tries.values()) == users["served"]
    assert sum(len(o) == 3 and o[-1] != "served" for o in tries.values()) == users["lost"]
    assert run.row("deployments")["failed_client_timeout"] == sum(
        r["outcome"] == "client_timeout" for r in rows
    )


def test_patience_changes_no_first_arrival(tmp_path: Path) -> None:
    patient, hasty = play(small(), tmp_path / "one"), play(small(timeout="1s", retries=1), tmp_path / "two")
    firsts = [
        {row["number"]: row["arrival_ns"] for row in run.rows("requests", attempt=1)}
        for run in (patient, hasty)
    ]
    both = firsts[0].keys() & firsts[1].keys()
    assert len(both) > 1_000 and all(firsts[0][number] == firsts[1][number] for number in both)


def test_the_parts_of_all_starts_make_up_the_time_spent_starting(tmp_path: Path) -> None:
    run = play(
        world(
            duration="40m",
            publishers=[publisher(count=3, traffic={"poisson": "0.01/s"}, image={"size": "300MB"})],
        ),
        tmp_path,
    )
    ready = 0
    for row in run.rows("deployments"):
        assert row["replicas_ready"] == row["replica_starts"]  # nothing was stopped while it started
        assert sum(row[part] for part in PARTS) == row["starting_ns"] > 0
        assert row["application_ns"] == row["replicas_ready"] * 1_000 * MS
        ready += row["replicas_ready"]
        mine = {r["replica"]: r for r in run.rows("requests", pod=row["pod"], cold=True, outcome="served")}
        assert sum(r[part] for r in mine.values() for part in PARTS) == row["starting_ns"]
    assert ready > 5
    assert all(r[part] is None for r in run.rows("requests", cold=False) for part in PARTS)
