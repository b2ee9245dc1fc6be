"""A party killed at every point of its life comes back from its store, and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from protocol import manifest
from protocol.guard import Wish
from protocol.payment import CreateChannel
from protocol.renting import Stage
from sim.parties import Party
from tests.protocol.clients.market import A_SECOND, KEPT, Market, killing


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
    pod = market.world.with_image(manifest.parse(bigger), market.world.demands[market.pod.address].reference)
    market.at(_from_start(market, 60), partial(market.wish, Wish.UPDATE, pod=pod))
    return market


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


@dataclass(frozen=True)
class Scene:
    """What happens, until when killing is of interest, and when all has come to an end [s]."""

    make: Callable[[], Market]
    killed_until_s: float
    end_s: float


SCENES = {
    "removed when funds run out": Scene(removed_by_funds, 150, 5500),
    "deleted": Scene(deleted, 216, 1000),
    "unlocked": Scene(unlocked, 216, 1500),
    "updated": Scene(updated, 190, 5500),
}


def check_every_point(
    patch: pytest.MonkeyPatch, scene: Scene, who: Callable[[Market], Party], first: int
) -> int:
    """Play the scene once for each point of the party's life, and kill it there; gives how many there are."""
    market = scene.make()
    with killing(patch, who(market), None) as killer:
        market.run(scene.killed_until_s)
    market.run(scene.end_s)
    check_end(market, "never killed")
    for point in range(first, killer.points):
        market = scene.make()
        with killing(patch, who(market), point) as killed:
            market.run(scene.end_s)
        check_end(market, f"killed at point {point} ({killed.killed})")
    return killer.points


BEFORE_THE_POD = 25
"""Points of a provider before it is listed: one scene looks at them."""


@pytest.mark.parametrize("name", SCENES)
def test_provider_killed_at_every_point_converges(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = 0 if name == "deleted" else BEFORE_THE_POD
    assert check_every_point(monkeypatch, SCENES[name], lambda m: m.host, first) > 90


@pytest.mark.parametrize("name", SCENES)
def test_publisher_killed_at_every_point_rents_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_every_point(monkeypatch, SCENES[name], lambda m: m.pod, 0) > 40
