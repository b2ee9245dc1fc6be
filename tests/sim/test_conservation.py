"""Nothing is made or lost, whatever the world: random scenarios with everything that breaks in them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from protocol import payment
from protocol.token import Token
from sim.kernel.plane import DataPlane
from sim.recorder import Recorder
from sim.records.reader import RunTables
from sim.summary import conservation
from tests.sim.worlds import Data, Played, Row, play, provider, publisher, world, worlds

GROWING = ("arrivals", "served", "failed", "cold", "owed", "claimed", "unpaid", "returned")


def balanced(run: Played) -> list[str]:
    """Whatever does not add up, in words; what the run says of itself and what its tables show together."""
    wrong = [*run.outcome.violations]
    laws = conservation(RunTables(run.directory), 0)
    wrong += [f"{law['law']}: {law['left']} and {law['right']}" for law in laws if law["residual"]]
    wrong += [f"{law['law']}: {law['left']} and {law['right']}" for law in run.rows("conservation")
              if law["left"] != law["right"]]  # fmt: skip
    return wrong + falls(run) + lost_requests(run) + lost_money(run)


def falls(run: Played) -> list[str]:
    """Cumulative series that fall."""
    wrong: list[str] = []
    last: dict[str, Any] = {}
    undoes = run.simulation.scenario.chain.reorgs is not None
    growing = [name for name in GROWING if not undoes or name not in ("claimed", "returned")]
    for row in run.rows("samples"):
        before = last.get(row["provider"], dict.fromkeys(GROWING, 0))
        wrong += [f"{row['provider']} at {row['time_ns']}: {n} fell" for n in growing if row[n] < before[n]]
        last[row["provider"]] = row
    return wrong


def lost_requests(run: Played) -> list[str]:
    """Every request of a publisher's users arrived at a deployment or found none; all tables agree on the sums."""
    deployments, publishers = run.rows("deployments"), run.rows("publishers")
    last = {row["provider"]: row for row in run.rows("samples")}
    callers = run.simulation.world.callers.values()
    here = [c for c in callers if c.plane is run.simulation.world.nowhere]
    now_ns = run.outcome.reached_ns
    unhosted = run.simulation.world.unhosted
    nowhere = unhosted.arrivals + sum(c.count(now_ns).arrivals for c in here)
    pairs: dict[str, tuple[object, object]] = {
        "arrivals by samples": (
            sum(r["arrivals"] for r in publishers),
            sum(r["arrivals"] for r in last.values()),
        ),
        "arrivals by deployments": (
            sum(r["arrivals"] for r in publishers),
            sum(r["arrivals"] for r in deployments) + nowhere,
        ),
        "not deployed": (last[""]["arrivals"], nowhere),
        "attempts that failed": (
            sum(r["failed"] for r in publishers),
            sum(r["retried"] + r["lost"] + r["waiting_at_end"] for r in publishers),
        ),
        "served by deployments": (
            sum(r["served"] for r in publishers),
            sum(r["served"] for r in deployments),
        ),
        "served by providers": (
            sum(r["served"] for r in publishers),
            sum(r["requests_served"] for r in run.rows("providers")),
        ),
        "served by samples": (sum(r["served"] for r in publishers), sum(r["served"] for r in last.values())),
        "failed by samples": (sum(r["failed"] for r in publishers), sum(r["failed"] for r in last.values())),
    }
    for kind, column in (("all", "served"), ("cold", "cold")):
        pairs[f"{kind} latencies of each pod at each provider"] = (
            _by_pod(run.rows("latency", kind=kind), "requests"),
            _by_pod(deployments, column),
        )
    return [f"{name}: {left} and {right}" for name, (left, right) in pairs.items() if left != right]


def _by_pod(rows: list[Row], column: str) -> dict[tuple[str, str], int]:
    """The sum of a column for each pod at each provider, where it is not zero."""
    sums = Counter[tuple[str, str]]()
    for row in rows:
        sums[row["pod"], row["provider"]] += row[column]
    return dict(+sums)


def lost_money(run: Played) -> list[str]:
    """Claims, channels, providers and publishers tell the same payments."""
    claims, channels = run.rows("claims"), run.rows("channels")
    providers, publishers = run.rows("providers"), run.rows("publishers")
    paid = sum(r["paid"] for r in claims)
    invested = sum(r["invested"] for r in channels)
    pairs = {
        "paid by channels": (paid, sum(r["withdrawn"] for r in channels)),
        "paid by providers": (paid, sum(r["revenue"] for r in providers)),
        "paid by publishers": (paid, sum(r["spent"] for r in publishers)),
        "invested": (invested, sum(r["deposited"] + r["top_ups"] for r in publishers)),
        "in channels": (
            invested,
            paid + sum(r["returned"] + r["locked_at_end"] for r in publishers),
        ),
        "owed": (sum(r["owed"] for r in channels), sum(r["owed"] for r in run.rows("deployments"))),
        "work, paid or not": (
            sum(r["owed"] + r["overcharged"] for r in channels),
            paid + sum(r["owed_unclaimed"] + r["unpaid"] for r in providers),
        ),
    }
    return [f"{name}: {left} and {right}" for name, (left, right) in pairs.items() if left != right]


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(worlds())
def test_nothing_is_made_or_lost(data: Data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert balanced(play(data, Path(folder))) == []


# ---------------------------------------------------------------- bugs on purpose

SMALL = world(
    duration="20m",
    providers=[provider(terms={"runway": "1m"})],
    publishers=[
        publisher(count=2, traffic={"poisson": "0.5/s"}, wait_limit="1s",
                  policies={"funding": {"use": "once", "with": {"first": "8m"}}}),
    ],
)  # fmt: skip
"""Requests that fail, channels that run out, claims that are paid."""


def test_the_small_world_is_sound_and_not_empty(tmp_path: Path) -> None:
    run = play(SMALL, tmp_path)
    assert balanced(run) == []
    assert sum(r["failed_timeout"] for r in run.rows("deployments")) > 0
    assert [r["reason"] for r in run.rows("deployments")] == ["exhausted"] * 2
    assert len(run.rows("claims")) > 4


def _lose_a_claim(patch: pytest.MonkeyPatch) -> None:
    told = Recorder._chain_event
    lost: list[object] = []

    def tell(self: Recorder, event: object, *rest: Any) -> None:
        if isinstance(event, payment.Withdrawn) and not lost:
            lost.append(event)
        else:
            told(self, event, *rest)

    patch.setattr(Recorder, "_chain_event", tell)


def _bill_what_nobody_ran(patch: pytest.MonkeyPatch) -> None:
    honest = DataPlane.billed_ms

    def billed_ms(self: DataPlane, now_ns: int) -> list[int]:
        return [ms + ms // 7 for ms in honest(self, now_ns)]

    patch.setattr(DataPlane, "billed_ms", billed_ms)


def _drop_a_failed_request(patch: pytest.MonkeyPatch) -> None:
    honest = DataPlane.counters

    def counters(self: DataPlane, handle: int, now_ns: int) -> Any:
        found = honest(self, handle, now_ns)
        return replace(found, failed={**found.failed, "timeout": max(0, found.failed["timeout"] - 1)})

    patch.setattr(DataPlane, "counters", counters)


def _pay_more_than_is_withdrawn(patch: pytest.MonkeyPatch) -> None:
    honest = Token.transfer

    def transfer(self: Token, *args: Any, **named: Any) -> Any:
        done = honest(self, *args, **named)
        to = args[1]
        self._balances[to] = self.balance(to) + 1
        return done

    patch.setattr(Token, "transfer", transfer)


def _forget_a_deposit(patch: pytest.MonkeyPatch) -> None:
    told = Recorder._chain_event

    def tell(self: Recorder, event: object, *rest: Any) -> None:
        if isinstance(event, payment.Deposited):
            event = replace(event, deposit_amount=event.deposit_amount - 1)
        told(self, event, *rest)

    patch.setattr(Recorder, "_chain_event", tell)


@pytest.mark.parametrize(
    "plant",
    [
        _lose_a_claim,
        _bill_what_nobody_ran,
        _drop_a_failed_request,
        _pay_more_than_is_withdrawn,
        _forget_a_deposit,
    ],
)
def test_a_planted_bug_is_found_by_the_run_itself(
    plant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    run = play(SMALL, tmp_path)
    laws = conservation(RunTables(run.directory), 0)
    assert run.outcome.violations or [law for law in laws if law["residual"]]
