"""From what a sweep says to its points, each a scenario that was checked like any other.

The designs over ranges come from SALib, on the unit cube; `sim.scenario.ranges` says what a place in it means.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from sim.scenario import ScenarioErrors
from sim.scenario import load as load_scenario
from sim.scenario.overrides import Override, put, value_text
from sim.scenario.ranges import Range, kind_at, read_range
from sim.scenario.resolve import context_for, to_data
from sim.scenario.sweep import MOST_POINTS, Lhs, Morris, Sobol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.scenario import Scenario
    from sim.scenario.fields import Quantity
    from sim.scenario.sweep import Fractional

MOST_PROBLEMS: Final = 10
"""Points whose problems are told."""
EXTRA: Final = "it needs the extra: pip install 'trusted-pods[experiments]'"

Parameters = dict[str, Any]
"""A point: keys of the scenario and what goes there, as a file would hold it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep.

    Attributes:
        number: from 0, in the order of the design.
        parameters: what it changes.
        scenario: the whole of it, without the sweep.
    """

    number: int
    parameters: Parameters
    scenario: Scenario


def read_points(path: str | Path, overrides: Iterable[str] = ()) -> tuple[Scenario, list[Point]]:
    """The scenario in a file and every point of its sweep.

    Args:
        path: a scenario file with a sweep.
        overrides: `path=value`, put in before a point's own.

    Raises:
        BadInput: the scenario is wrong or has no sweep, or points of it are wrong; they are named with their values.
    """
    texts = list(overrides)
    scenario = load_scenario(path, texts)
    if scenario.sweep is None:
        raise BadInput(
            f"{path}: has no sweep; say what to try, such as `sweep: {{providers.0.count: [1, 2]}}`"
        )
    points: list[Point] = []
    wrong: list[str] = []
    listed = parameters_of(scenario)
    for number, parameters in enumerate(listed):
        own = [Override(tuple(name.split(".")), value) for name, value in parameters.items()]
        try:
            points.append(
                Point(
                    number,
                    parameters,
                    load_scenario(
                        path, [*texts, *own, Override(("sweep",), None), Override(("optimise",), None)]
                    ),
                )
            )
        except ScenarioErrors as error:
            wrong.append(f"point {number} of {len(listed)} ({described(parameters)}): {error}")
    if wrong:
        more = [f"and {len(wrong) - MOST_PROBLEMS} more points"] if len(wrong) > MOST_PROBLEMS else []
        raise BadInput("\n".join([*wrong[:MOST_PROBLEMS], *more]))
    return scenario, points


def described(parameters: Mapping[str, Any]) -> str:
    """A point for people: `providers.0.count=2, duration=1h`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in parameters.items())


def parameters_of(scenario: Scenario) -> list[Parameters]:
    """What each point of a scenario's sweep changes, in the order of the design; equal points stay, for what is estimated from them.

    Raises:
        BadInput: there are too many, or the library of a design is not installed.
    """
    sweep = scenario.sweep
    if sweep is None:
        return []
    lists = sweep.lists
    if sweep.sampled is not None:
        ranges = ranges_of(scenario, lists)
        return [
            {name: part.at(place) for (name, part), place in zip(ranges.items(), row, strict=True)}
            for row in unit_cube(sweep.sampled, len(ranges))
        ]
    rows = (
        itertools.product(*lists.values()) if sweep.product is not None else zip(*lists.values(), strict=True)
    )
    return [dict(zip(lists, row, strict=True)) for row in rows]


def kinds_of(scenario: Scenario) -> dict[str, Quantity | None]:
    """For each key of a scenario's sweep, what kind of amount it is; None where no model says."""
    data = {**to_data(scenario), "sweep": None, "optimise": None}
    lists = scenario.sweep.lists if scenario.sweep is not None else {}
    return {
        name: kind_at(put(data, Override(tuple(name.split(".")), values[0]), data), data)
        for name, values in lists.items()
    }


def ranges_of(scenario: Scenario, lists: Mapping[str, tuple[Any, ...]]) -> dict[str, Range]:
    """What each key's `[low, high]` or `[low, high, log]` means.

    Args:
        scenario: that they are keys of; it was checked with them.
        lists: by key.
    """
    data = {**to_data(scenario), "sweep": None, "optimise": None}
    found = {}
    for name, said in lists.items():
        path = put(data, Override(tuple(name.split(".")), said[0]), data)
        found[name] = read_range(said, path, data, context_for(scenario))
    return found


def unit_cube(design: Lhs | Sobol | Morris | Fractional, keys: int) -> list[list[float]]:
    """Points of a design: a row a point, a place in [0, 1] for each of its keys.

    Raises:
        BadInput: there are too many, or SALib is not installed.
    """
    try:
        from SALib.sample import ff, latin, morris, sobol
    except ImportError as error:
        raise BadInput(f"a sweep over ranges: {error.name} is not installed; {EXTRA}") from error
    match design:
        case Lhs():
            rows = design.points
        case Sobol():
            rows = design.points * (keys + 2)
        case Morris():
            rows = design.trajectories * (keys + 1)
        case _:
            rows = 2 * 2 ** (keys - 1).bit_length()
    if rows > MOST_POINTS:
        raise BadInput(f"{rows:,} points are more than {MOST_POINTS:,}, the most allowed")
    problem = {"num_vars": keys, "names": [f"x{i}" for i in range(keys)], "bounds": [[0.0, 1.0]] * keys}
    match design:
        case Lhs():
            places = latin.sample(problem, design.points, seed=design.seed)
        case Sobol():
            places = sobol.sample(problem, design.points, calc_second_order=False, seed=design.seed)
        case Morris():
            places = morris.sample(problem, design.trajectories, num_levels=design.levels, seed=design.seed)
        case _:
            places = ff.sample(problem)[:, :keys]  # the rest are the library's dummies
    assert len(places) == rows
    return [[float(place) for place in row] for row in places]
