"""Surplus and welfare: what is known by hand, what must add up, and the planner's bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.estimates import single
from sim.metrics import METRICS, World
from sim.rates import FIAT_UNITS
from sim.records.reader import RunTables
from tests.sim.worlds import START, Data, Played, play, provider, publisher, world

S = 10**9
VALUE: Data = {"request": "0.01 USD", "latency": "0.001 USD/s"}
COST: Data = {"idle": "0.001 DAI/h", "busy": "0.002 DAI/core-h"}


def metrics(run: Played) -> dict[str, Any]:
    """Every metric of a run's only replication."""
    measured = World(RunTables(run.directory), 0, decimals=18, gas_decimals=18)
    return {metric.name: single(metric.of(measured)) for metric in METRICS}


def total(run: Played, table: str, column: str) -> float:
    return float(sum(row[column] for row in run.rows(table)) / FIAT_UNITS)


def small(**changes: Any) -> Data:
    """Two pods at two providers, gas worth something, and a value for each request served."""
    base = world(
        duration="2h",
        tokens={"gas": {"price": "2000 DAI"}},
        chain={"gas_price": "1 gwei"},
        providers=[provider(count=2, cost=COST)],
        publishers=[publisher(count=2, value=VALUE)],
    )
    return {**base, **changes}


def test_a_request_is_worth_what_it_is_less_waiting(tmp_path: Path) -> None:
    """A service of constant length, a round trip of none, a replica that is always there: latencies are all known."""
    fixed = publisher(
        count=1, value=VALUE, scaling={"policy": "fixed", "replicas": 2}, service={"constant": "1s"},
        traffic={"poisson": "0.01/s"}, slots=10,
    )  # fmt: skip
    network = {"latency_same_region": "0s"}
    run = play(small(publishers=[fixed], network=network), tmp_path)
    row = run.row("publishers")
    answered = [r for r in run.rows("requests") if r["outcome"] == "served"]
    waited_s = sum(r["end_ns"] - r["arrival_ns"] for r in answered) / S
    assert row["served"] == len(answered) > 30
    assert row["value"] / FIAT_UNITS == pytest.approx(0.01 * row["served"] - 0.001 * waited_s, rel=0.001)
    assert row["surplus"] == row["value"] - row["spent_fiat"] - row["gas_fiat"]


def test_surpluses_add_up_to_welfare_and_the_planner_does_better(tmp_path: Path) -> None:
    run = play(small(), tmp_path)
    found = metrics(run)
    assert found["welfare"] == pytest.approx(
        found["publisher_surplus"] + found["provider_surplus"], rel=1e-12
    )
    assert total(run, "publishers", "spent_fiat") == total(run, "providers", "revenue_fiat") > 0
    # At par the numéraire counts what tokens count.
    for row in run.rows("providers"):
        assert row["surplus"] / FIAT_UNITS == pytest.approx(row["profit"] / 1e18, abs=1e-6)
        assert row["gas_fiat"] > 0 and row["running_fiat"] > 0
    assert found["planner_welfare"] > found["welfare"] > 0
    assert found["welfare_share"] == found["welfare"] / found["planner_welfare"]
    assert total(run, "publishers", "holding_loss") == pytest.approx(0, abs=1e-9)
    assert found["holding_loss"] is found["rate_growth"] is found["tokens_per_fiat"] is None
    assert run.rows("rates") == []


def test_the_planner_of_a_known_world(tmp_path: Path) -> None:
    """A request needs 250 millicores for 2 s, shared by 2 slots; machines stand idle for 2 × 2 × 0.001 an hour."""
    run = play(small(), tmp_path)
    requests = sum(r["arrivals"] - r["retried"] for r in run.rows("publishers"))
    a_request = 0.01 - 0.001 * 2 - 0.25 * 2 / 2 * 0.002 / 3600
    idle = 2 * 2 * 0.001 * 2
    assert metrics(run)["planner_welfare"] == pytest.approx(requests * a_request - idle, rel=1e-9)


def test_what_waiting_costs_more_than_the_answer_is_worth_no_planner_serves(tmp_path: Path) -> None:
    slow = publisher(count=2, value={"request": "0.01 USD", "latency": "0.006 USD/s"})
    run = play(small(publishers=[slow]), tmp_path)
    assert metrics(run)["planner_welfare"] == pytest.approx(-2 * 2 * 0.001 * 2, rel=1e-9)
    assert metrics(run)["welfare"] < metrics(run)["planner_welfare"]


def test_without_a_value_there_is_no_surplus(tmp_path: Path) -> None:
    run = play(small(publishers=[publisher()]), tmp_path)
    found = metrics(run)
    assert run.row("publishers")["value"] is run.row("publishers")["surplus"] is None
    names = [m.name for m in METRICS if m.section == "welfare"]
    assert [found[name] for name in names] == [None] * len(names)


def moving(tmp_path: Path, payment: str, gas: str) -> Data:
    """Rates from files, as `seconds,rate` pairs."""
    said: Data = {}
    for name, rows in (("payment", payment), ("gas", gas)):
        file = tmp_path / f"{name}.csv"
        file.write_text("seconds,rate\n" + rows.replace(" ", "\n") + "\n", encoding="utf-8")
        said[name] = {"rate": {"empirical": str(file)}}
    return said


def test_money_counts_at_the_rate_of_its_time(tmp_path: Path) -> None:
    """The payment token falls from 2 to 1 after an hour, gas rises from 1000 to 4000."""
    tokens = moving(tmp_path, "0,2 3600,1", "0,1000 3600,4000")
    run = play(
        small(tokens=tokens, publishers=[publisher(value=VALUE)], providers=[provider(cost=COST)]),
        tmp_path / "run",
    )

    def rate(row: Any, key: str, early: int, late: int) -> int:
        return early if row[key] < START + 3600 * S else late

    paid = run.rows("claims", outcome="paid")
    assert {rate(row, "time_ns", 0, 1) for row in paid} == {0, 1}
    host, pod = run.row("providers"), run.row("publishers")
    covered = host["owed_unclaimed"] / 1e18
    revenue = sum(row["paid"] / 1e18 * rate(row, "time_ns", 2, 1) for row in paid) + covered
    assert host["revenue_fiat"] / FIAT_UNITS == pytest.approx(revenue, rel=1e-9)
    sent = [row for row in run.rows("transactions", sender="host-0") if row["mined_ns"] is not None]
    gas = [(row["fee_wei"] / 1e18, rate(row, "mined_ns", 1000, 4000)) for row in sent]
    assert host["gas_fiat"] / FIAT_UNITS == pytest.approx(sum(fee * price for fee, price in gas), rel=1e-9)
    in_tokens = sum(fee * price / (2 if price == 1000 else 1) for fee, price in gas)
    assert host["gas_cost"] / 1e18 == pytest.approx(in_tokens, rel=1e-9)
    assert host["running_fiat"] / FIAT_UNITS == pytest.approx(2 * host["running_cost"] / 1e18, rel=1e-3)
    # What was deposited before the fall and is there after it, or was paid then, lost half of its worth.
    (life,) = run.rows("channels")
    late = sum(row["paid"] for row in paid if rate(row, "time_ns", 0, 1)) + life["available_at_end"]
    deposits = [r["amount"] for r in run.rows("events", event="ToppedUp") if rate(r, "time_ns", 0, 1)]
    assert pod["holding_loss"] / FIAT_UNITS == pytest.approx((late - sum(deposits)) / 1e18, rel=1e-9)
    assert [(r["token"], r["rate"]) for r in run.rows("rates")] == [
        ("gas", 1000), ("payment", 2), ("gas", 4000), ("payment", 1),
    ]  # fmt: skip
    found = metrics(run)
    assert (found["rate_growth"], found["tokens_per_fiat"]) == (0.5, 2)


def test_a_rate_moves_nothing_that_does_not_look_at_it(tmp_path: Path) -> None:
    """Nobody here knows rates but for what a claim costs, which is the same; so all but the money in the numéraire is."""
    wild = {
        "payment": {"rate": {"gbm": {"volatility": 0.5, "per": "hour", "step": "5m"}}},
        "gas": {"price": "2000 DAI"},
    }
    at_par, moved = play(small(), tmp_path / "a"), play(small(tokens=wild), tmp_path / "b")
    differing = {name for name, told in moved.hashes.items() if at_par.hashes.get(name) != told}
    assert differing == {"publishers", "providers", "rates"}
    again = play(small(tokens=wild), tmp_path / "c")
    assert again.hashes == moved.hashes
