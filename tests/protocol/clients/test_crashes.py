"""A party killed at every point of its life comes back from its store, and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from protocol.guard import Wish
from protocol.payment import CreateChannel
from protocol.renting import Stage
from sim.parties import Party
from tests.protocol.clients.market import A_SECOND, KEPT, Market, killing

TO_THE_END_S = 900
LONG_LEAVE_S = 4500


def removed_by_funds() -> Market:
    return Market(publisher={"policies": {"funding": {"use": "once", "with": {"first": "2m"}}}})


def deleted() -> Market:
    market = Market()
    market.at(_from_start(market, 200), partial(market.wish, Wish.DELETE))
    return market


def unlocked() -> Market:
    market = Market()
    market.at(_from_start(market, 200), partial(market.wish, Wish.UNLOCK))
    return market


def updated() -> Market:
    market = Market(
        publisher={"manifest": KEPT, "policies": {"funding": {"use": "once", "with": {"first": "4m"}}}}
    )
    bigger = {**KEPT, "containers": [{**KEPT["containers"][0], "resources": {"cpu": "500m"}}]}
    pod = market.world.with_image(_parsed(bigger), market.world.demands[market.pod.address].reference)
    market.at(_from_start(market, 60), partial(market.wish, Wish.UPDATE, pod=pod))
    return market


def _parsed(data: dict[str, object]) -> object:
    from protocol import manifest

    return manifest.parse(data)


def _from_start(market: Market, seconds: float) -> float:
    return seconds - market.now_s


def check_end(market: Market, what: str) -> None:
    """What must hold whenever and whoever was killed: one deposit, no bill before the start, all owed is paid."""
    story = f"{what}: {market.log()}"
    assert len(market.mined(CreateChannel)) == 1, story
    assert market.mined(CreateChannel, failed=True) == [], story
    assert len(market.pod.disk.tables["rentals"]) == 1, story
    assert market.rental().stage is Stage.ENDED, story
    assert market.state is None, story
    hosted = market.hosted()
    assert hosted.phase.ended and hosted.settled, story
    (attempt,) = [a for a in market.world.recorder.attempts if a.row["outcome"] != "refused"]
    assert hosted.owed == attempt.row["owed"], story  # what it bills is what the world metered
    (life,) = market.world.recorder.lives
    assert life.row["withdrawn"] == min(hosted.owed, life.row["invested"]), story
    configured = [e.at_ns for e in market.events("PodConfigured")]
    ran_s = (market.events("PodRemoved")[0].at_ns - configured[0]) / 1e9 + 8
    assert hosted.owed <= ran_s * A_SECOND * 2, story
    market.finish()


SCENES: dict[str, tuple[Callable[[], Market], int]] = {
    "removed when funds run out": (removed_by_funds, TO_THE_END_S),
    "deleted": (deleted, TO_THE_END_S),
    "unlocked": (unlocked, LONG_LEAVE_S),
    "updated": (updated, LONG_LEAVE_S),
}


def every_point(patch: pytest.MonkeyPatch, scene: str, pick: Callable[[Market], Party], away_s: float) -> int:
    make, end_s = SCENES[scene]
    market = make()
    with killing(patch, pick(market), None) as killer:
        market.run(end_s)
    check_end(market, "never killed")
    for point in range(killer.points):
        market = make()
        with killing(patch, pick(market), point, comes_back_after_s=away_s) as killed:
            market.run(end_s + away_s * 2 + 60)
        check_end(market, f"killed at point {point} ({killed.killed})")
    return killer.points


@pytest.mark.parametrize("scene", SCENES)
def test_provider_killed_at_every_point_converges(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert every_point(monkeypatch, scene, lambda m: m.host, 7) > 50


@pytest.mark.parametrize("scene", SCENES)
def test_publisher_killed_at_every_point_rents_once(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert every_point(monkeypatch, scene, lambda m: m.pod, 7) > 30
