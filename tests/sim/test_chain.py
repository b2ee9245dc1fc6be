"""A chain that is not kind, in whole runs: gas that gets dear, builders with orders of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sim.test_faults import faulty, sound
from tests.sim.worlds import START, Data, Played, S

RUNWAY = {
    "policies": {"funding": {"use": "runway", "with": {"first": "20m", "low": "15m", "tranche": "10m"}}}
}
"""Publishers who send many transactions."""
SURGE: Data = {
    "gas_price": {
        "eip1559": {
            "base": "1 gwei",
            "tip": "0.1 gwei",
            "background": {"usual": "1 gwei", "cv": 0.3, "surges": [{"at": "20m", "for": "10m", "times": 6}]},
        }
    }
}


def prices(run: Played) -> list[tuple[int, float]]:
    """What was paid for a unit of gas, and when it was mined [s since the start]."""
    rows = [r for r in run.rows("transactions") if r["mined_ns"] is not None]
    return [((r["mined_ns"] - START) // S, r["fee_wei"] / r["gas_used"]) for r in rows]


def test_a_surge_is_paid_for_and_passes(tmp_path: Path) -> None:
    run = sound(faulty(pod=RUNWAY, chain=SURGE), tmp_path)
    paid = prices(run)
    calm = [price for at, price in paid if 0 < at < 1200 or at > 2400]
    dear = [price for at, price in paid if 1320 < at < 1800]
    assert calm and dear
    assert 0.6e9 < sum(calm) / len(calm) < 1.8e9 and 4e9 < sum(dear) / len(dear) < 9e9
    (law,) = run.rows("conservation", law="gas tokens: fees paid = burnt + to builders")
    ledger = run.simulation.world.blocks.ledger
    assert law["left"] == law["right"] > 0 and 0 < ledger.tips_wei < ledger.burnt_wei
    assert {r["outcome"] for r in run.rows("deployments")} == {"running"}


def test_a_step_is_paid_from_its_block_on(tmp_path: Path) -> None:
    steps = [{"at": "0s", "price": "1 gwei"}, {"at": "30m", "price": "3 gwei"}]
    run = sound(faulty(pod=RUNWAY, chain={"gas_price": {"steps": steps}}), tmp_path)
    paid = prices(run)
    assert {price for at, price in paid if at <= 1800} == {1e9}
    assert {price for at, price in paid if at > 1800} == {3e9}


def test_gas_that_is_dear_makes_claims_rare(tmp_path: Path) -> None:
    """At 20 times its gas a claim pays: by a step to a price ten times as high there are fewer of them."""

    def claims(price: Any, folder: Path) -> int:
        data = faulty(chain={"gas_price": price}, tokens={"gas": {"price": "2500 DAI"}})
        return len(sound(data, folder).rows("transactions", function="withdrawMany"))

    cheap = claims("0.001 gwei", tmp_path / "cheap")
    step = claims(
        {"steps": [{"at": "0s", "price": "0.001 gwei"}, {"at": "30m", "price": "0.03 gwei"}]}, tmp_path / "s"
    )
    dear = claims("0.03 gwei", tmp_path / "dear")
    assert cheap > step > dear


# ---------------------------------------------------------------- reorganisations

SHAKY: Data = {"confirmations": 4, "reorgs": {"prob": "20%", "deeper": "60%", "dropped": "30%"}}


def undone(run: Played) -> list[dict[str, int]]:
    return [json.loads(r["detail"]) for r in run.rows("events", party="world", event="BlocksUndone")]


def test_shallow_reorganisations_mislead_nobody(tmp_path: Path) -> None:
    """A fifth of all blocks come on another branch, a third of what is undone is lost: everything still adds up."""
    run = sound(faulty(pod=RUNWAY, chain=SHAKY), tmp_path)
    found = undone(run)
    assert len(found) > 10 and sum(f["dropped"] for f in found) > 3
    assert {f["depth"] for f in found} == {1, 2, 3} and {f["believed"] for f in found} == {0}
    assert run.outcome.warnings == ()
    assert {r["outcome"] for r in run.rows("deployments")} == {"running"}
    # What was confirmed to somebody is in the table, once.
    sent = run.rows("events", event="TransactionConfirmed")
    mined = run.rows("transactions", status="confirmed")
    assert 0 <= len(mined) - len(sent) <= 4  # some are not confirmed yet at the end
    assert run.rows("transactions", status="replaced") == []


def test_reorganisations_deeper_than_the_confirmations_are_said_not_broken(tmp_path: Path) -> None:
    deep = {
        "confirmations": 2,
        "reorgs": {"prob": "10%", "deeper": "90%", "most": 12, "past_confirmations": True},
    }
    run = sound(faulty(pod=RUNWAY, chain=deep), tmp_path)
    assert sum(f["believed"] for f in undone(run)) > 0
    (warning,) = run.outcome.warnings
    assert "believed" in warning


@pytest.mark.parametrize("seed", [2, 3])
def test_what_was_believed_is_not_lost_so_nobody_waits_for_a_nonce_that_never_comes(
    seed: int, tmp_path: Path
) -> None:
    """With seed 2 the listing of the provider is undone after it was believed, mined again, and undone again at once."""
    reorgs = {"prob": "10%", "deeper": "90%", "most": 12, "dropped": "20%", "past_confirmations": True}
    run = sound({**faulty(pod=RUNWAY, chain={"confirmations": 2, "reorgs": reorgs}), "seed": seed}, tmp_path)
    assert any(f["believed"] for f in undone(run)) and run.rows("deployments", outcome="running")


def test_dear_gas_and_reorganisations_and_the_adversary_at_once(tmp_path: Path) -> None:
    run = sound(faulty(pod=RUNWAY, chain={**SURGE, **SHAKY, "ordering": "adversary"}), tmp_path)
    assert undone(run)


# ---------------------------------------------------------------- endpoints that lie

SPENT = {"policies": {"funding": {"use": "once", "with": {"first": "20m"}}}}
"""Publishers whose channels are spent after 20 minutes."""


def lied(lie: str, folder: Path, *, endpoints: int, pod: Data, party: str = "host-0") -> Played:
    fault = {"kind": "rpc_lie", "party": party, "lie": lie, "at": "10m", "for": "30m"}
    return sound(faulty(fault, pod=pod, chain={"endpoints": endpoints}), folder)


def unpaid(run: Played) -> int:
    return sum(row["unpaid"] for row in run.rows("channels"))


def test_a_provider_that_believes_in_money_that_is_not_there_works_unpaid(tmp_path: Path) -> None:
    """Alone it serves on until the lie ends; with a second endpoint it stops when it has known nothing for too long."""
    honest = sound(faulty(pod=SPENT), tmp_path / "honest")
    one = lied("inflated", tmp_path / "one", endpoints=1, pod=SPENT)
    two = lied("inflated", tmp_path / "two", endpoints=2, pod=SPENT)
    assert unpaid(one) > 5 * unpaid(honest) and unpaid(one) > unpaid(two)
    assert not one.rows("events", event="EndpointsDiffer")
    alarms = two.rows("events", event="EndpointsDiffer")
    assert [r["party"] for r in alarms] == ["host-0"] and 600 * S <= alarms[0]["time_ns"] - START <= 720 * S
    assert {r["rule"] for r in two.rows("events", event="ChainUnknown", party="host-0")} == {
        "endpoints differ"
    }
    assert two.outcome.violations == ()


def test_a_provider_that_believes_there_is_no_channel_removes_what_is_paid_for(tmp_path: Path) -> None:
    one = lied("absent", tmp_path / "one", endpoints=1, pod={})
    two = lied("absent", tmp_path / "two", endpoints=2, pod={})
    removed = one.rows("events", event="PodRemoved")
    assert removed and all(600 * S <= r["time_ns"] - START <= 720 * S for r in removed)
    assert not two.rows("events", event="PodRemoved")
    assert {r["outcome"] for r in two.rows("deployments")} == {"running"}


def test_an_old_view_hides_a_top_up(tmp_path: Path) -> None:
    """A provider that sees the chain of ten minutes in evicts pods whose publishers pay on."""
    one = lied("stale", tmp_path / "one", endpoints=1, pod=RUNWAY)
    two = lied("stale", tmp_path / "two", endpoints=2, pod=RUNWAY)
    assert one.row("providers")["evictions"] > 0 == two.row("providers")["evictions"]
    assert one.rows("events", event="TransactionUnknown", party="host-0")


def test_everybody_may_be_lied_to(tmp_path: Path) -> None:
    for lie in ("stale", "absent", "inflated"):
        for endpoints in (1, 2):
            fault = {"kind": "rpc_lie", "lie": lie, "at": "1s", "for": "25m"}
            sound(
                faulty(fault, pod=RUNWAY, chain={"endpoints": endpoints, **SHAKY}),
                tmp_path / f"{lie}{endpoints}",
            )
