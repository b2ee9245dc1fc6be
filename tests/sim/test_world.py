"""What the world works out once of its parties is of each of them."""

from __future__ import annotations

from pathlib import Path

from sim.scenario import convert
from tests.sim.worlds import play, provider, publisher, world

BIG = {"containers": [{"image": "web:2", "port": 80, "resources": {"cpu": "500m", "memory": "256Mi"}}]}


def test_a_round_trip_is_of_both_ends(tmp_path: Path) -> None:
    """Two groups and two regions: each way is its own, whichever was asked for first."""
    there = play(
        world(
            duration="5m",
            providers=[
                provider(name="here", region="bul-east-1"),
                provider(name="there", region="fra-west-1"),
            ],
            publishers=[publisher(name="a", region="bul-east-1"), publisher(name="b", region="fra-west-1")],
        ),
        tmp_path,
    ).simulation.world
    ways = {
        (pod, host): convert.round_trip_ns(
            there.scenario, there.publishers[pod].member.group, party.member.group.region
        )
        for pod in there.publishers
        for host, party in there.providers.items()
    }
    assert len(ways) == 4 and len(set(ways.values())) == 2
    assert {way: there.round_trip_ns(*way) for way in ways} == ways


def test_an_updated_pod_runs_as_its_new_manifest_says(tmp_path: Path) -> None:
    """The plane is told of the pod anew; one that is not updated runs as its publisher came with it."""
    actions = [{"at": "5m", "what": "update", "manifest": BIG}]
    played = play(
        world(duration="12m", providers=[provider()], publishers=[publisher(name="a", actions=actions), publisher(name="b")]),
        tmp_path,
    )  # fmt: skip
    there = played.simulation.world
    updated, left = (there.callers[there.publishers[name].address].spec for name in ("a-0", "b-0"))
    assert played.rows("events", event="PodUpdated")
    assert (updated.cpu_millis, updated.memory_bytes) == (500, 256 * 2**20)
    assert left.cpu_millis == there.cpu_millis("b-0") != 500
    assert left.start_up == updated.start_up and left.round_trip_ns == updated.round_trip_ns > 0
