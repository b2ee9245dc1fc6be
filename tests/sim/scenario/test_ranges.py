from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.units import NS_PER_S
from sim.scenario import Scenario, loads
from sim.scenario.overrides import Override, put
from sim.scenario.problems import KeyPath
from sim.scenario.ranges import Range, kind_at, numbers, read_range
from sim.scenario.resolve import context_for, to_data
from tests.sim.worlds import text, world

SCENARIO = loads(text(world()))
DATA = to_data(SCENARIO)

RANGES: list[tuple[str, list[Any]]] = [
    ("duration", ["10m", "2h"]),
    ("duration", ["1s", "1000h", "log"]),
    ("seed", [1, 9]),
    ("providers.host.count", [1, 100, "log"]),
    ("providers.host.prices.cpu", ["0.01 DAI/core-h", "0.05 DAI/core-h"]),
    ("providers.host.prices.memory", ["0.001 DAI/GiB-h", "1 DAI/GiB-h", "log"]),
    ("providers.host.nodes.0.cpu", ["500m", 16]),
    ("providers.host.nodes.0.memory", ["512Mi", "16Gi"]),
    ("network.loss", ["0.1%", 0.05]),
    ("publishers.pod.traffic.poisson.rate", ["1/h", "0.5/s"]),
    ("publishers.pod.traffic.poisson", ["0.1/s", "0.5/s"]),
    ("publishers.pod.service.exponential", ["100ms", "1m"]),
    ("publishers.pod.scaling.idle", ["10s", "10m"]),
    ("publishers.pod.policies.funding.with.low", ["5m", "29m"]),
]
KEYS = st.sampled_from(RANGES)
PLACES = st.floats(0, 1)


def path_of(key: str) -> KeyPath:
    return put(to_data(SCENARIO), Override(tuple(key.split(".")), None), DATA)


def range_of(key: str, said: list[Any]) -> Range:
    return read_range(said, path_of(key), DATA, context_for(SCENARIO))


def held(key: str, value: Any) -> Any:
    """What a scenario reads a value as: the file's own reader, on the value alone."""
    kind = kind_at(path_of(key), DATA)
    return value if kind is None else kind.read(value, context_for(SCENARIO))


@given(KEYS, PLACES)
def test_every_value_is_within_and_reads_as_what_was_meant(
    chosen: tuple[str, list[Any]], place: float
) -> None:
    part = range_of(*chosen)
    number = part.number(place)
    assert part.low <= number <= part.high
    if kind_at(path_of(chosen[0]), DATA) is not None:
        assert held(chosen[0], part.at(place)) == number


@given(KEYS, PLACES, PLACES)
def test_values_rise_with_their_places(chosen: tuple[str, list[Any]], one: float, other: float) -> None:
    part = range_of(*chosen)
    assert part.number(min(one, other)) <= part.number(max(one, other))


@pytest.mark.parametrize(("key", "said"), RANGES)
def test_ends_are_the_ends_and_the_scenario_takes_what_is_between(key: str, said: list[Any]) -> None:
    part = range_of(key, said)
    assert held(key, part.at(0)) == held(key, said[0]) and held(key, part.at(1)) == held(key, said[1])
    if not key.startswith("providers.host.nodes"):  # with little room nobody would find a place
        overrides = [Override(tuple(key.split(".")), part.at(0.37))]
        assert isinstance(loads(text(world()), overrides=[*overrides, "output.sampling=1s"]), Scenario)


def test_whole_steps_have_equal_shares() -> None:
    part = range_of("seed", [1, 4])
    found = [part.at((i + 0.5) / 40) for i in range(40)]
    assert found == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10


def test_equal_ratios() -> None:
    part = range_of("publishers.pod.scaling.idle", ["1s", "100s", "log"])
    assert part.at(0.5) == "10s"
    assert range_of("publishers.pod.scaling.idle", ["1s", "100s"]).number(0.5) == Fraction(50_500_000_000)


def test_thousandths_where_a_scaling_rule_counts_them() -> None:
    part = range_of("publishers.pod.scaling.tolerance", ["5%", 0.5])
    assert part.step == Fraction(1, 1000)
    assert part.at(0.123456) == "10.5%"


@pytest.mark.parametrize(
    ("key", "said", "words"),
    [
        ("seed", [2, 1], "[2, 1] runs backwards: low must be less than high"),
        ("duration", ["1h", "60m"], "[1h, 60m] runs backwards"),
        ("duration", ["0s", "60m", "log"], "equal ratios need a low above 0"),
        ("duration", ["1m", "2m", "lin"], "is not a range: [low, high], or [low, high, log]"),
        ("duration", ["1m"], "is not a range"),
        ("duration", ["1m", "soon"], "'soon' is not a duration"),
        ("name", ["a", "b"], "'a' is not a number or an amount"),
        ("name", ["3 cats", "4 dogs"], "'3 cats' and '4 dogs' are not in one unit"),
        ("publishers.pod.traffic.replay", ["a", "b"], "a path has no values between two others"),
    ],
)
def test_what_is_no_range(key: str, said: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        range_of(key, said)
    assert words in str(caught.value)


def test_amounts_as_numbers_to_draw() -> None:
    data = to_data(SCENARIO)
    duration, cpu = kind_at(("duration",), data), kind_at(("providers", 0, "nodes", 0, "cpu"), data)
    assert numbers(["1m", "1h30m"], duration) == [60, 5400]
    assert numbers(["250m", "500m"], cpu) == [250, 500]  # millicores, not minutes
    assert numbers(["250m", "2"], cpu) is None
    assert numbers(["10m", "20s"], None) == [600, 20]
    assert numbers(["1.5 DAI", "2 DAI"], None) == [1.5, 2]
    assert numbers(["1 DAI", "2 ETH"], None) is None
    assert numbers(["fee", "arrival"], None) is None
    assert read_range([1, 2.5], ("name",), data, context_for(SCENARIO)).at(0.5) == 1.75
    assert NS_PER_S == 10**9
