"""Every kind of quantity with bounds: a value beyond one is refused, and the message names both."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from protocol.quantities import show
from sim.scenario import fields
from sim.scenario.fields import DEFAULT_CONTEXT, Quantity, quantity_of

KINDS = {
    name: (annotation, found)
    for name, annotation in vars(fields).items()
    if get_origin(annotation) is Annotated and (found := quantity_of(get_args(annotation)[1:])) is not None
}
LOWER = [name for name, (_, found) in KINDS.items() if found.least is not None or found.above is not None]
UPPER = [name for name, (_, found) in KINDS.items() if found.most is not None]


def refusal(annotation: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_python(value)
    return str(caught.value.errors()[0]["ctx"]["error"])


def written(found: Quantity, value: int | Fraction) -> Any:
    return found.write(value, DEFAULT_CONTEXT)


def test_all_kinds_are_looked_at() -> None:
    assert {"RatePerS", "NodeCost", "CpuPrice", "PaymentMoney", "DurationNs", "Number"} <= set(LOWER)


@pytest.mark.parametrize("name", LOWER)
def test_below_the_least(name: str) -> None:
    annotation, found = KINDS[name]
    bound = found.least if found.least is not None else found.above
    assert bound is not None
    step = 1_000 if name == "InstantNs" else 1  # written to the microsecond
    for below in ([bound] if found.above is not None else []) + [bound - step, bound - 10**6]:
        value = written(found, below)
        text = refusal(annotation, value)
        assert show(value) in text and str(written(found, bound)) in text


@pytest.mark.parametrize("name", UPPER)
def test_above_the_most(name: str) -> None:
    annotation, found = KINDS[name]
    assert found.most is not None
    TypeAdapter(annotation).validate_python(written(found, found.most))
    for over in (found.most + (1_000 if name == "InstantNs" else 1), found.most * 2):  # written to the µs
        value = written(found, over)
        text = refusal(annotation, value)
        assert show(value) in text and str(written(found, found.most)) in text
