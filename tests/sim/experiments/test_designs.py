from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import BadInput
from sim.experiments.designs import described, parameters_of, read_points, unit_cube
from sim.scenario import Scenario, loads, resolved
from sim.scenario.sweep import Fractional, Lhs, Morris, Sobol
from tests.sim.worlds import Data, text, world


def scenario(sweep: Data, base: Path | None = None) -> Scenario:
    return loads(text(world(sweep=sweep)), base=base)


def written(sweep: Any, folder: Path, **changes: Any) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(
        text(world(**changes, **({"sweep": sweep} if sweep is not None else {}))), encoding="utf-8"
    )
    return path


SEEDS = st.lists(st.integers(0, 99), min_size=1, max_size=4)


@settings(max_examples=20)
@given(SEEDS, SEEDS)
def test_a_product_has_every_combination(seeds: list[int], counts: list[int]) -> None:
    lists = {"seed": seeds, "replications": [count + 1 for count in counts]}
    points = parameters_of(scenario(lists))
    assert [tuple(point.values()) for point in points] == list(itertools.product(*lists.values()))
    assert parameters_of(scenario({"product": lists})) == points


@settings(max_examples=20)
@given(SEEDS)
def test_lists_that_are_walked_together(seeds: list[int]) -> None:
    points = parameters_of(scenario({"zip": {"seed": seeds, "duration": [f"{i + 10}m" for i in seeds]}}))
    assert points == [{"seed": seed, "duration": f"{seed + 10}m"} for seed in seeds]


def test_a_csv_file_names_keys_and_has_points(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(
        "\ufeffseed, publishers.pod.scaling.idle,duration\n1,60s,30m\n\n2,'90s',1h\n", encoding="utf-8"
    )
    made = scenario({"csv": "points.csv"}, tmp_path)
    assert parameters_of(made) == [
        {"seed": 1, "publishers.pod.scaling.idle": "60s", "duration": "30m"},
        {"seed": 2, "publishers.pod.scaling.idle": "90s", "duration": "1h"},
    ]
    assert loads(resolved(made), base=Path("/")) == made  # the path is held absolute


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 9))
def test_a_latin_hypercube_has_one_point_in_each_part(points: int, keys: int, seed: int) -> None:
    rows = np.array(unit_cube(Lhs(points=points, seed=seed, over={}), keys))
    for column in rows.T:
        assert sorted(np.floor(column * points).astype(int)) == list(range(points))


def test_the_parts_of_a_latin_hypercube_are_those_of_the_range() -> None:
    ends = {"publishers.pod.scaling.idle": ["10s", "110s"], "providers.host.prices.cpu": ["1 DAI/core-h", "3 DAI/core-h"]}  # fmt: skip
    points = parameters_of(scenario({"lhs": {"points": 10, "over": ends}}))
    made = [loads(text(world()), overrides=[f"{k}={v}" for k, v in point.items()]) for point in points]
    idle = [one.publishers[0].scaling.idle_ns / 1e9 for one in made]  # type: ignore[union-attr]
    price = [one.providers[0].prices.cpu * 3600 / 1e18 for one in made]
    assert sorted(int((value - 10) / 10) for value in idle) == list(range(10))
    assert sorted(int((value - 1) / 0.2) for value in price) == list(range(10))


@pytest.mark.parametrize("keys", [1, 2, 3, 5, 8])
def test_sizes_and_what_makes_each_design(keys: int) -> None:
    sobol = np.array(unit_cube(Sobol(points=8, over={}), keys))
    assert sobol.shape == (8 * (keys + 2), keys) and sobol.min() >= 0 and sobol.max() <= 1
    assert len(np.unique(np.floor(sobol[:: keys + 2, 0] * 8))) == 8  # base points fill the range evenly
    morris = np.array(unit_cube(Morris(trajectories=3, levels=4, over={}), keys))
    assert morris.shape == (3 * (keys + 1), keys)
    for trajectory in morris.reshape(3, keys + 1, keys):
        changed = np.diff(trajectory, axis=0) != 0
        assert (changed.sum(axis=1) == 1).all() and (changed.sum(axis=0) == 1).all()
    ends = np.array(unit_cube(Fractional(over={}), keys))
    assert set(ends.flat) == {0.0, 1.0} and len(ends) == 2 * 2 ** int(np.ceil(np.log2(keys)))
    assert (ends.sum(axis=0) * 2 == len(ends)).all()  # each end equally often
    signs = ends * 2 - 1
    assert np.allclose(signs.T @ signs, len(ends) * np.eye(keys))  # main effects apart from one another


def test_the_same_seed_is_the_same_design_and_another_is_another() -> None:
    for kind, more in ((Lhs, {"points": 8}), (Sobol, {"points": 8}), (Morris, {"trajectories": 8})):
        first, again, other = (unit_cube(kind(seed=seed, over={}, **more), 3) for seed in (1, 1, 2))
        assert first == again != other


def test_every_point_is_a_scenario_of_its_own(tmp_path: Path) -> None:
    path = written({"publishers.pod.scaling.idle": ["60s", "90s"], "seed": [3]}, tmp_path)
    base, points = read_points(path, ["duration=20m", "seed=9"])  # a point's own value comes last
    assert base.sweep is not None and [point.number for point in points] == [0, 1]
    for point, idle in zip(points, ("60s", "90s"), strict=True):
        direct = loads(
            text(world()), overrides=[f"publishers.pod.scaling.idle={idle}", "seed=3", "duration=20m"]
        )
        assert point.scenario == direct


def test_points_that_are_wrong_only_as_a_whole_are_named(tmp_path: Path) -> None:
    sweep = {"providers.host.count": [1, 2], "publishers.pod.policies.funding.with.low": ["10m", "2h"]}
    with pytest.raises(BadInput) as caught:  # a low of 2h alone is a duration like any other
        read_points(written(sweep, tmp_path))
    told = str(caught.value).splitlines()
    assert len(told) == 2
    assert told[0].startswith(
        "point 1 of 4 (providers.host.count=1, publishers.pod.policies.funding.with.low=2h): "
    )
    assert "2h is not less than first, 1h" in told[0] and told[1].startswith("point 3 of 4 ")
    with pytest.raises(BadInput) as caught:
        read_points(written({**sweep, "seed": list(range(12))}, tmp_path))
    assert str(caught.value).endswith("and 14 more points")


def test_a_scenario_without_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"scenario\.yaml: has no sweep; say what to try, such as `sweep: "):
        read_points(written(None, tmp_path))


def test_too_many_points_and_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="300,000 points are more than 100,000"):
        unit_cube(Morris(trajectories=100_000, over={}), 2)
    monkeypatch.setitem(sys.modules, "SALib.sample", None)
    with pytest.raises(
        BadInput, match=r"SALib.* is not installed; .*pip install 'trusted-pods\[experiments\]'"
    ):
        unit_cube(Lhs(points=2, over={}), 2)


def test_a_point_in_words() -> None:
    said = described({"a.b": "60s", "n": 3, "flag": True, "text": "3", "law": {"exponential": "2s"}})
    assert said == 'a.b=60s, n=3, flag=true, text="3", law={"exponential": "2s"}'


WRONG: list[tuple[Any, str, str]] = [
    ({}, "sweep", "this is a sweep over nothing: name a key of this file and values to try"),
    ({"lhs": {"points": 4, "over": {}}}, "sweep.lhs.over", "this is a sweep over nothing"),
    ({"product": {"seed": []}}, "sweep.product.seed", "the list of values is empty"),
    ({"seed": 3}, "sweep.seed", "3 is not a list"),
    ({"sed": [1]}, "sweep.sed", "there is no key 'sed'; did you mean 'seed'?"),
    ({"sweep": [1]}, "sweep.sweep", "a sweep cannot change itself"),
    ({"zip": {"seed": [1, 2], "duration": ["1h"]}}, "sweep.zip", "must be equally long: seed has 2, duration has 1"),
    ({"zip": {"seed": [1, -2]}}, "sweep.zip.seed.1", "-2 is less than 0, the least allowed"),
    ({"product": {"seed": list(range(400)), "replications": list(range(1, 402))}}, "sweep.product", "160,400 points are more than 100,000"),
    ({"csv": "none.csv"}, "sweep.csv", "none.csv: there is no such file"),
    ({"csv": "column.csv"}, "sweep.csv", "column 'sed': there is no key 'sed'; did you mean 'seed'?"),
    ({"csv": "value.csv"}, "sweep.csv", "column 'seed', point 1: 'many' is not a whole number"),
    ({"csv": "ragged.csv"}, "sweep.csv", "ragged.csv:3: 1 cells; the first line has 2"),
    ({"csv": "twice.csv"}, "sweep.csv", "twice.csv:1: every column needs a key, and each key one column: seed, seed"),
    ({"csv": "heads.csv"}, "sweep.csv", "heads.csv: has no rows, so there is no point"),
    ({"csv": "empty.csv"}, "sweep.csv", "empty.csv: is empty; the first line names keys of the scenario"),
    ({"csv": "yaml.csv"}, "sweep.csv", "yaml.csv:2: seed: '[1' is not YAML"),
    ({"lhs": {"points": 0, "over": {"seed": [1, 2]}}}, "sweep.lhs.points", "0 is less than 1, the least allowed"),
    ({"lhs": {"points": 2, "over": {"seed": [2, 1]}}}, "sweep.lhs.over.seed", "[2, 1] runs backwards"),
    ({"lhs": {"points": 2, "over": {"seed": [1, 1]}}}, "sweep.lhs.over.seed", "[1, 1] runs backwards"),
    ({"lhs": {"points": 2, "over": {"seed": [1]}}}, "sweep.lhs.over.seed", "[1] is not a range: [low, high]"),
    ({"lhs": {"points": 2, "over": {"seed": []}}}, "sweep.lhs.over.seed", "[] is not a range: [low, high]"),
    ({"lhs": {"points": 2, "over": {"seed": [1, -2]}}}, "sweep.lhs.over.seed.1", "-2 is less than 0"),
    ({"lhs": {"points": 2, "over": {"sed": [1, 2]}}}, "sweep.lhs.over.sed", "did you mean 'seed'?"),
    ({"lhs": {"pints": 2, "over": {"seed": [1, 2]}}}, "sweep.lhs.pints", "did you mean 'points'?"),
    ({"sobol": {"points": 6, "over": {"seed": [1, 2]}}}, "sweep.sobol.points", "6 is not a power of two"),
    ({"morris": {"trajectories": 6, "levels": 3, "over": {"seed": [1, 2]}}}, "sweep.morris.levels", "3 is not even"),
    ({"lhs": {"points": 2, "over": {"seed": [1, 2]}}, "csv": "a.csv"}, "sweep", "'csv and lhs' given; exactly one design is allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("sweep", "path", "words"), WRONG)
def test_what_a_sweep_may_not_say(sweep: Any, path: str, words: str, tmp_path: Path) -> None:
    for name, content in {
        "column": "sed\n1\n", "value": "seed\n1\nmany\n", "ragged": "seed,duration\n1,1h\n2\n", "twice": "seed,seed\n1,2\n",
        "heads": "seed\n", "empty": "", "yaml": "seed\n[1\n",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        scenario(sweep, tmp_path)
    told = caught.value.problems  # type: ignore[attr-defined]
    assert [problem.path for problem in told] == [path], str(caught.value)
    assert words in told[0].text
