"""A pod that scales by a class that somebody brought: correct for the whole provider, in the reference engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import PolicyFault
from protocol.policies.scaling import Demand, Scale
from sim.reference.plane import ReferencePlane
from sim.scenario.problems import ScenarioErrors
from tests.sim.worlds import Data, play, publisher, scenario, world

HERE = "tests.sim.test_own_scaling"


class Always:
    """As many, asked as seldom as can be."""

    def __init__(self, replicas: int = 2, wrong: str = "") -> None:
        self.replicas, self.wrong = replicas, wrong

    def scale(self, demand: Demand) -> Any:
        return {
            "": Scale(self.replicas, 10**18),
            "text": "two",
            "negative": Scale(-1, 1),
            "never": Scale(1, 0),
        }[self.wrong]


def data(scaling: Data) -> Data:
    one = publisher(name="one", scaling=scaling)
    return world(duration="20m", publishers=[one, publisher(name="other", count=2)])


def own(least: int = 0, most: int = 3, **more: Any) -> Data:
    bounds = {"min_replicas": least, "max_replicas": most}
    return data({"policy": "own", "use": f"{HERE}:Always", "with": more, **bounds})


def test_a_class_that_keeps_a_number_is_the_rule_that_does(tmp_path: Path) -> None:
    """Compiled and `fixed`, or in the reference engine and brought: all tables of all pods have the same bytes."""
    fixed = play(data({"policy": "fixed", "replicas": 2}), tmp_path / "fixed")
    brought = play(own(2, 2), tmp_path / "own")
    assert isinstance(next(iter(brought.simulation.world.providers.values())).machines.plane, ReferencePlane)
    assert brought.hashes == fixed.hashes
    assert not brought.outcome.violations


def test_what_it_answers_is_bounded(tmp_path: Path) -> None:
    row = play(own(replicas=9), tmp_path).row("deployments", group="one")
    assert row["replica_starts"] == 3


@pytest.mark.parametrize("wrong", ["text", "negative", "never"])
def test_what_it_cannot_answer_is_named(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(
        PolicyFault, match=rf"scaling policy {HERE}:Always of one-0, asked for `scale` .*a Scale of"
    ):
        play(own(wrong=wrong), tmp_path)


@pytest.mark.parametrize(
    ("scaling", "text"),
    [
        ({"use": f"{HERE}:Nobody"}, r"scaling.use: module '.*' has no class 'Nobody'"),
        ({"use": f"{HERE}:Always", "with": {"replica": 1}}, "unknown setting .* did you mean 'replicas'"),
        ({"use": f"{HERE}:Demand"}, "has no `scale`"),
    ],
)
def test_a_class_that_cannot_be_is_refused_before_the_run(scaling: Data, text: str) -> None:
    with pytest.raises(ScenarioErrors, match=text):
        scenario(data({"policy": "own", **scaling}))
