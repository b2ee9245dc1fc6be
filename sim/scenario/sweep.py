"""What a sweep says: which points of the space of scenarios are run. `sim.experiments.designs` makes the points."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, GetJsonSchemaHandler, model_validator

from protocol.errors import BadInput
from protocol.quantities import show
from sim.scenario.fields import FilePath
from sim.scenario.laws import Model, OneOf, key
from sim.scenario.problems import KeyPath, ScenarioErrors, shown
from sim.scenario.world import Count, Whole
from sim.scenario.yaml_file import parse_value, read_text

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

MOST_POINTS: Final = 100_000
"""More are a mistyped list: at a second each they take more than a day."""

Lists = dict[str, tuple[Any, ...]]


def _even(levels: int) -> int:
    if levels % 2:
        raise ValueError(f"{levels} is not even, which the steps of the method need")
    return levels


def _power_of_two(points: int) -> int:
    if points & (points - 1):
        raise ValueError(f"{points} is not a power of two, which the sequence needs to be balanced")
    return points


class Sampled(Model):
    """What all designs over ranges say."""

    over: Lists = key(
        description="Keys of this file and for each its range: `[low, high]`, or `[low, high, log]` for equal ratios."
    )


class Drawn(Sampled):
    """What all designs say that draw their points."""

    seed: Whole = key(1, description="Seed of the points; the runs have the scenario's.")


class Lhs(Drawn):
    """A Latin hypercube: each range in as many equal parts as there are points, each part used once."""

    points: Count = key(description="Points.")


class Sobol(Drawn):
    """Saltelli's sample of the Sobol' sequence, from which first-order and total indices are estimated."""

    points: Annotated[Count, AfterValidator(_power_of_two)] = key(
        description="Base points, a power of two; run are (keys + 2) times as many."
    )


class Morris(Drawn):
    """Morris's trajectories, one key changed at a time, from which elementary effects are estimated."""

    trajectories: Count = key(description="Trajectories; run are (keys + 1) times as many points.")
    levels: Annotated[Count, AfterValidator(_even)] = key(
        4, description="Levels of each range, an even number."
    )


class Fractional(Sampled):
    """A fractional factorial with fold-over: both ends of each range, in twice the next power of two points."""


class Sweep(OneOf):
    """The points that `trustedpods sweep` runs. Keys with lists, and no word below, are a `product`."""

    what: ClassVar[str] = "design"
    product: Lists | None = key(
        None, description="Keys of this file, a list of values for each: every combination."
    )
    zipped: Lists | None = key(
        None, alias="zip", description="The same with lists of equal length, which are walked together."
    )
    file: FilePath | None = key(
        None, alias="csv", description="A CSV file: its columns are keys of this file, its rows points."
    )
    lhs: Lhs | None = key(None, description="A Latin hypercube.")
    sobol: Sobol | None = key(None, description="For Sobol' indices.")
    morris: Morris | None = key(None, description="For elementary effects.")
    fractional: Fractional | None = key(None, description="A fractional factorial of two levels.")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"product": value} if is_plain(value) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A design, or the mapping of keys to lists that stands for a product."""
        lists = {"type": "array"}
        plain = {
            "type": "object",
            "additionalProperties": lists,
            "propertyNames": {"not": {"enum": list(WORDS)}},
        }
        return {"anyOf": [handler(schema), plain]}

    @property
    def sampled(self) -> Lhs | Sobol | Morris | Fractional | None:
        """The design, where it is one over ranges."""
        return self.lhs or self.sobol or self.morris or self.fractional

    @property
    def lists(self) -> Mapping[str, tuple[Any, ...]]:
        """Keys and what is listed for each: values, or the ends of a range.

        Raises:
            BadInput: the CSV file cannot be read.
        """
        if self.file is not None:
            return read_points(self.file)
        return self.product or self.zipped or (self.sampled.over if self.sampled else {})

    def __str__(self) -> str:
        """Such as `seed (2 values)` or `lhs over a, b`."""
        if self.product is not None:
            return ", ".join(f"{name} ({len(values)} values)" for name, values in self.product.items())
        if self.file is not None:
            return f"csv {shown(self.file)}"
        word = "zip" if self.zipped is not None else self.kind
        return f"{word} over {', '.join(self.lists)}"


WORDS: Final = ("product", "zip", "csv", "lhs", "sobol", "morris", "fractional")
"""Kinds of designs, none of which is a key of a scenario."""


def is_plain(said: Any) -> bool:
    """Whether a sweep is written as the mapping of keys to lists."""
    return isinstance(said, dict) and not any(word in said for word in WORDS)


def place_of(said: Any, sweep: Sweep) -> KeyPath:
    """Where in the file the lists of a sweep stand."""
    if sweep.sampled is not None:
        return ("sweep", sweep.kind, "over")
    if sweep.file is not None:
        return ("sweep", "csv")
    return ("sweep",) if is_plain(said) else ("sweep", "product" if sweep.product is not None else "zip")


def structural_problems(sweep: Sweep, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a sweep whatever the keys are: nothing to sweep, unequal lists, too many points.

    Args:
        sweep: what it says.
        at: where its lists stand.
    """
    try:
        lists = sweep.lists
    except BadInput as error:
        yield at, str(error)
        return
    if not lists:
        yield at, "this is a sweep over nothing: name a key of this file and values to try"
        return
    if sweep.sampled is not None:
        return
    lengths = {name: len(values) for name, values in lists.items()}
    if sweep.zipped is not None and len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        yield at, f"lists that are walked together must be equally long: {found}"
    points = 1
    for length in lengths.values() if sweep.product is not None else ():
        points *= length
    if points > MOST_POINTS:
        yield at, f"{points:,} points are more than {MOST_POINTS:,}, the most allowed"


def read_points(file: Path) -> Mapping[str, tuple[Any, ...]]:
    """The columns of a CSV file of points, each cell read as YAML.

    Raises:
        BadInput: it cannot be read, or is not a table of points.
    """
    try:
        text = read_text(file, shown(file))
    except ScenarioErrors as error:
        raise BadInput(str(error)) from None
    return _columns(text, shown(file))


@lru_cache(maxsize=8)
def _columns(text: str, name: str) -> Mapping[str, tuple[Any, ...]]:
    try:
        lines = list(csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True))
    except csv.Error as error:
        raise BadInput(f"{name}: is not CSV: {error}") from None
    numbered = [(number, [cell.strip() for cell in line]) for number, line in enumerate(lines, 1) if line]
    if not numbered:
        raise BadInput(f"{name}: is empty; the first line names keys of the scenario")
    (_, heads), *rows = numbered
    if len(set(heads)) < len(heads) or not all(heads):
        raise BadInput(f"{name}:1: every column needs a key, and each key one column: {', '.join(heads)}")
    if not rows:
        raise BadInput(f"{name}: has no rows, so there is no point")
    if len(rows) > MOST_POINTS:
        raise BadInput(f"{name}: {len(rows):,} points are more than {MOST_POINTS:,}, the most allowed")
    columns: dict[str, list[Any]] = {head: [] for head in heads}
    for number, row in rows:
        if len(row) != len(heads):
            raise BadInput(f"{name}:{number}: {len(row)} cells; the first line has {len(heads)}")
        for head, cell in zip(heads, row, strict=True):
            try:
                columns[head].append(parse_value(cell))
            except ScenarioErrors as error:
                raise BadInput(
                    f"{name}:{number}: {head}: {show(cell)} is not YAML: {error.problems[0].text}"
                ) from None
    return {head: tuple(cells) for head, cells in columns.items()}
