"""Whatever stands in a scenario, the answer is a scenario or a list of what is wrong, never a crash."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.scenario import ScenarioErrors, load, loads, resolved
from sim.scenario.resolve import to_data
from sim.scenario.tree import fields_by_key, walk

WRONG = Path(__file__).parent / "wrong"
WHOLE = to_data(
    load(
        WRONG / "right.yaml",
        [
            "faults=[{kind: node_crash, provider: budget-0, node: 0, at: 1m, for: 1m}]",
            "chain.outages=[{at: 1m, for: 1m}]",
            "tokens.payment.rate={gbm: {volatility: 0.8}}",
            "tokens.gas.rate=2000",
            "publishers.careful.value={request: 0.001 USD, budget: 5 DAI, outside: 1 USD/h}",
        ],
    )
)
KEYS = sorted({key for model in walk() for key in fields_by_key(model)})

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**6)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(["1h", "0s", "2Gi", "5 DAI", "-1 DAI", "1 USD", "1 USD/s", "0.1 DAI/core-h", "1/s", "trace", "keda", "budget", "../x", "0:3", "all", "a-b-1", "1e9999"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


PLACES = places(WHOLE)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(WHOLE)
    holder: Any = data
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return data


@settings(max_examples=120)
@given(st.sampled_from(PLACES), values)
def test_one_value_replaced_by_anything(path: tuple[Any, ...], value: Any) -> None:
    text = yaml.safe_dump(changed(path, value))
    try:
        scenario = loads(text, base=WRONG)
    except ScenarioErrors as error:
        assert error.problems  # noqa: PT017
        assert all(problem.text for problem in error.problems)  # noqa: PT017
    else:
        assert loads(resolved(scenario)) == scenario


@settings(max_examples=60)
@given(st.sampled_from(PLACES), values)
def test_an_override_is_the_same_as_the_file_saying_so(path: tuple[Any, ...], value: Any) -> None:
    def outcome(text: str, overrides: list[str]) -> Any:
        try:
            return loads(text, base=WRONG, overrides=overrides)
        except ScenarioErrors as error:
            return sorted((problem.path, problem.text) for problem in error.problems)

    written = outcome(yaml.safe_dump(changed(path, value)), [])
    override = f"{'.'.join(map(str, path))}={json.dumps(value)}"
    assert outcome(yaml.safe_dump(WHOLE), [override]) == written


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    try:
        loads(text)
    except ScenarioErrors as error:
        assert error.problems  # noqa: PT017
