"""A limit in a manifest, from the scenario to the instant at which a request is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sim.worlds import START, S, play, provider, publisher, world


@pytest.mark.parametrize(
    ("limits", "took_s", "wanted", "given"),
    [
        ({}, [4, 4, 4], 500, 500),  # as long as it takes, on what is reserved
        (
            {"cpu": 1},
            [8, 8, 4],
            2000,
            1000,
        ),  # two at half of the one core until both are done; the third alone
        ({"cpu": "500m"}, [4, 4, 4], 1000, 1000),  # room for both
    ],
)
def test_two_pods_share_the_core_of_their_node(
    tmp_path: Path, limits: Any, took_s: list[int], wanted: int, given: int
) -> None:
    calls = []
    for name, at in (("a", [1018]), ("b", [1018, 2000])):
        file = tmp_path / f"{name}.csv"
        file.write_text("seconds\n" + "".join(f"{second}\n" for second in at))
        container = {"image": "web:1", "port": 80, "resources": {"cpu": "250m", "memory": "128Mi"}}
        calls.append(
            publisher(
                name=name,
                manifest={"containers": [{**container, "limits": limits}]},
                scaling={"policy": "fixed"},
                traffic={"replay": str(file)},
                service={"constant": "4s"},
            )
        )
    small = provider(nodes=[{"cpu": 1, "memory": "8Gi"}])
    played = play(world(providers=[small], publishers=calls, duration="40m"), tmp_path / "run")
    rows = sorted(played.rows("requests"), key=lambda row: row["arrival_ns"])
    assert [row["arrival_ns"] for row in rows] == [START + at * S for at in (1018, 1018, 2000)]
    assert [(row["end_ns"] - row["start_ns"]) / S for row in rows] == pytest.approx(took_s, abs=1e-6)
    sample = played.row("samples", provider="host-0", time_ns=START + 1020 * S)
    assert (sample["wanted_cpu_millis"], sample["given_cpu_millis"]) == (wanted, given)
    assert sample["allocated_cpu_millis"] == 500
