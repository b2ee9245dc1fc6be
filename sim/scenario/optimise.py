"""What `trustedpods optimise` is asked: where to look, what is to be best, and what must hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from protocol.manifest import hint
from protocol.quantities import show
from sim.scenario import quantities as q
from sim.scenario.laws import Model, key
from sim.scenario.sweep import Lists
from sim.scenario.world import Count, Whole

if TYPE_CHECKING:
    from sim.metrics import Metric
    from sim.scenario.fields import Context
    from sim.scenario.problems import KeyPath

LIMIT: Final = re.compile(r"\s*(<=|>=)\s*(.+?)\s*")
FORM: Final = "a limit is '<= value' or '>= value', such as '>= 99%'"


class Objective(Model):
    """What is to be best."""

    metric: str = key(
        description="Name of a metric, as `summary.json` has it; its mean over the replications counts."
    )
    direction: Literal["minimise", "maximise"] | None = key(
        None, description="Which way is better; null: as the metric itself says, where it does."
    )


class Optimise(Model):
    """A question: the best values of some keys."""

    over: Lists = key(
        description="Keys of this file and for each its range: `[low, high]`, or `[low, high, log]` for equal ratios."
    )
    objective: Objective = key(description="What is to be best.")
    constraints: dict[str, str] = key(
        {},
        description='Metrics and the limit that the mean of each has to keep, such as `served_share: ">= 99%"`.',
    )
    trials: Count = key(50, description="Points to try, in all.")
    replications: Count | None = key(None, description="Of each point; null: the scenario's.")
    seed: Whole = key(1, description="Seed of what is tried; the runs have the scenario's.")


@dataclass(frozen=True, slots=True)
class Limit:
    """One constraint.

    Attributes:
        metric: what is limited.
        at_least: whether the limit is a lower one.
        value: the limit, in the metric's unit.
        text: as it was written.
    """

    metric: Metric
    at_least: bool
    value: float
    text: str

    def violation(self, value: float) -> float:
        """By how much a value misses the limit, in the metric's unit; 0 or less where it keeps it."""
        return self.value - value if self.at_least else value - self.value

    def __str__(self) -> str:
        return f"{self.metric.name} {self.text}"


def metric_named(name: str) -> Metric:
    """The metric of a name.

    Raises:
        ValueError: there is none; names the nearest.
    """
    from sim.metrics import METRICS  # it brings numpy, which a scenario that looks for nothing does without

    found = next((metric for metric in METRICS if metric.name == name), None)
    if found is None:
        raise ValueError(f"'{name}': no metric of this name; {hint(name, [m.name for m in METRICS])}")
    return found


def minimises(objective: Objective) -> bool:
    """Whether less is better.

    Raises:
        ValueError: there is no such metric, or nobody says which way is better.
    """
    metric = metric_named(objective.metric)
    if objective.direction is not None:
        return objective.direction == "minimise"
    if metric.better is None:
        raise ValueError(
            f"which way '{metric.name}' is better depends on whom one asks: say `direction: minimise` or `maximise`"
        )
    return metric.better == "less"


def read_limit(name: str, text: str, tokens: Context) -> Limit:
    """A constraint, as written.

    Args:
        name: of the metric.
        text: such as `>= 99%`, `<= 250ms`, `<= 0.5 DAI` or `<= 3`.
        tokens: what amounts of money are in.

    Raises:
        ValueError: there is no such metric, or it is no limit of it.
    """
    metric = metric_named(name)
    match = LIMIT.fullmatch(text)
    if match is None:
        raise ValueError(f"{show(text)}: {FORM}")
    return Limit(metric, match[1] == ">=", _value(metric.unit, match[2], tokens), text)


def _value(unit: str, text: str, tokens: Context) -> float:
    if unit == "share":
        return float(q.read_share(text))
    try:
        return float(text)
    except ValueError:
        pass
    if unit in ("s", "ms"):
        return q.read_duration_ns(text) / (1e9 if unit == "s" else 1e6)
    if unit in ("TOKEN", "GAS"):
        token = tokens.payment if unit == "TOKEN" else tokens.gas
        return float(Fraction(q.read_money(text, token), 10**token.decimals))
    raise ValueError(f"{show(text)} is not a number")


def optimise_problems(optimise: Optimise, tokens: Context) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a question whatever its keys are: nothing to look in, nothing that is measured, no limit."""
    if not optimise.over:
        yield (
            ("optimise", "over"),
            "there is nothing to look in: name a key of this file and its range, `[low, high]`",
        )
    try:
        minimises(optimise.objective)
    except ValueError as error:
        yield ("optimise", "objective", "metric"), str(error)
    for name, text in optimise.constraints.items():
        try:
            read_limit(name, text, tokens)
        except ValueError as error:
            yield ("optimise", "constraints", name), str(error)
