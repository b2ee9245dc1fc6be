"""`validate`: what a scenario will come to, before it is run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from sim.explain.forecast import forecast, replications_needed
from sim.scenario import loads
from sim.statistics import mean_interval
from tests.sim.worlds import publisher, text, world


def lines(data: dict[str, Any]) -> list[str]:
    return [f"{'!' if line.warns else ' '} {line.text}" for line in forecast(loads(text(data)))]


def test_an_overloaded_pod_is_named_with_its_number() -> None:
    """0.05/s of 2 s by 2 slots and 4 replicas; at 6/s there are 12 of 8 slots busy."""
    calm = lines(world())
    assert any("pod-0: 0.05 requests/s × 2 s ÷ (2 slots × 4 replicas): ρ = 0.0125" in line for line in calm)
    busy = lines(world(publishers=[publisher(traffic={"poisson": "6/s"})]))
    assert any(line.startswith("! pod-0") and "ρ = 1.5; it cannot keep up" in line for line in busy)


def test_too_few_nodes_are_named_with_their_number() -> None:
    """40 pods with 4 busy replicas of 0.25 cores want 40 cores of 8."""
    crowd = lines(world(publishers=[publisher(count=40, traffic={"poisson": "6/s"})]))
    assert any(line.startswith("! all nodes: 40 of 8 cores") and "ρ = 5;" in line for line in crowd)


def test_a_deposit_that_ends_before_the_run_is_named() -> None:
    funding = {"funding": {"use": "once", "with": {"first": "1h"}}}
    short = lines(world(duration="3h", publishers=[publisher(policies=funding)]))
    assert any(
        line.startswith("! pod: one replica costs") and "once, for 1 h of a run of 3 h" in line
        for line in short
    )
    assert not any(line.startswith("! pod: one replica") for line in lines(world()))


def test_a_run_shorter_than_its_time_constants_is_named() -> None:
    assert any(line.startswith("! slowest time constant") for line in lines(world(duration="12m")))
    assert not any(line.startswith("! slowest") for line in lines(world(duration="24h")))


@pytest.mark.parametrize("half_width", [0.02, 0.1])
def test_replications_needed_are_the_fewest_that_reach_the_width(half_width: float) -> None:
    """Samples of the pilot's mean and deviation: just so many reach it, and a few per cent fewer do not."""
    pilot = [9.0, 10.0, 11.0]

    def half(n: int) -> float:
        side = math.sqrt((n - 1) / n) if n % 2 == 0 else 1.0  # half at -1, half at +1, deviation 1
        found = mean_interval([10 + side * (-1) ** k for k in range(n - n % 2)])
        assert found.high is not None and found.mean is not None
        return found.high - found.mean

    needed = replications_needed(pilot, half_width)
    assert needed is not None
    assert half(needed + needed % 2) <= half_width * 10 * 1.02
    assert half(max(2, 2 * int(needed * 0.45))) > half_width * 10


def test_a_pilot_that_cannot_tell_says_so() -> None:
    assert replications_needed([1.0, None], 0.05) is None
    assert replications_needed([0.0, 0.0], 0.05) is None
    assert replications_needed([(1.0, 2.0), (1.0, 2.0)], 0.05) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metric", "spnd"], "did you mean 'spend'"),
        (["--half-width", "lots"], "--half-width"),
        (["--half-width", "0%"], "shares above 0"),
        (["--pilot", "1"], "--pilot"),
    ],
)
def test_a_pilot_of_nothing_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text(world()), encoding="utf-8")
    result = CliRunner().invoke(main, ["validate", str(file), "--pilot", "2", *options])
    assert result.exit_code == 2
    assert said in result.output
