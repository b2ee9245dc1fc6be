"""Known answers, and how a verdict comes about: docs/background/statistics.md has the derivation.

A `Sampled` case runs `RUNS` independent replications and gives for each figure a ratio of sums; an `Exact` one
has no chance in it and is compared as it stands. Both become rows of the table in docs/validation.md, and the
same code is the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sim.statistics import t_quantile

RUNS: Final = 30
"""Replications of every sampled case: seeds 0 to 29."""
FALSELY_RED: Final = 1e-3
"""Greatest chance that a right simulator has any red row in the whole table."""
FIGURES: Final = 64
"""Sampled figures that this is shared among (Bonferroni); `test_validation` sees that there are no more."""
MULTIPLIER: Final = t_quantile(1 - FALSELY_RED / (2 * FIGURES), RUNS - 1)
"""Standard errors to either side of a figure."""
SURELY: Final = t_quantile(0.999, RUNS - 1)
"""Standard errors more by which an error has to exceed the tolerance to be seen 999 times in 1,000."""

Pair = tuple[float, float]
"""Numerator and denominator of one replication."""


@dataclass(frozen=True, slots=True)
class Known:
    """One figure of a sampled case.

    Args:
        value: what is known.
        sees: the smallest relative error that has to turn the row red, 999 times in 1,000.
        error: the known value's own standard error, where it was simulated by somebody else.
        bias: the most by which our estimate's expectation may differ, because a run begins empty and ends.
    """

    value: float
    sees: float
    error: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """A case with chance in it.

    Args:
        name: what is simulated.
        source: where the known values come from.
        size: what one replication is.
        known: by name of the figure.
        replicate: one replication by its seed: each figure as a ratio of sums.
    """

    name: str
    source: str
    size: str
    known: Mapping[str, Known]
    replicate: Callable[[int], Mapping[str, Pair]]


@dataclass(frozen=True, slots=True)
class Exact:
    """A case without tolerance.

    Args:
        name: what is asked.
        source: where the answer comes from.
        known: the answer.
        measure: ours.
        relation: ours is equal to the known one, or not above it.
        needs_evm: whether it runs bytecode, for which some Pythons have no wheel.
    """

    name: str
    source: str
    known: Any
    measure: Callable[[], Any]
    relation: Literal["=", "≤"] = "="
    needs_evm: bool = False


Case = Sampled | Exact


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: case and figure.
        known, source, ours, interval, sees, size: as they are shown.
        verdict: `agrees`, or why not.
    """

    name: str
    known: str
    source: str
    ours: str
    interval: str
    sees: str
    size: str
    verdict: str

    @property
    def green(self) -> bool:
        """Whether it agrees."""
        return self.verdict == "agrees"

    @property
    def line(self) -> str:
        """In Markdown."""
        parts = (
            self.name,
            self.known,
            self.source,
            self.ours,
            self.interval,
            self.sees,
            self.size,
            self.verdict,
        )
        return f"| {' | '.join(parts)} |"


HEADER: Final = (
    "| what | known | source | ours | interval | sees | sample | verdict |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def rows(case: Case) -> list[Row]:
    """Run a case."""
    return [_exact(case)] if isinstance(case, Exact) else _sampled(case)


def estimate(pairs: list[Pair]) -> tuple[float, float]:
    """Ratio of sums by the jackknife, and its standard error."""
    n = len(pairs)
    above, below = math.fsum(a for a, _ in pairs), math.fsum(b for _, b in pairs)
    pseudo = [n * above / below - (n - 1) * (above - a) / (below - b) for a, b in pairs]
    mean = math.fsum(pseudo) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in pseudo) / (n - 1) / n)


def judge(known: Known, pairs: list[Pair]) -> tuple[float, float, float, str]:
    """The estimate, half of its interval, the smallest relative error that would be seen, and the verdict."""
    mean, error = estimate(pairs)
    both = math.hypot(error, known.error)
    half = MULTIPLIER * both + known.bias
    sees = (half + SURELY * both) / abs(known.value)
    if not abs(mean - known.value) <= half:
        verdict = f"**differs** by {abs(mean / known.value - 1):.1%}"
    elif sees > known.sees:
        verdict = f"**too blunt**: {known.sees:.2%} has to be seen"
    else:
        verdict = "agrees"
    return mean, half, sees, verdict


def _sampled(case: Sampled) -> list[Row]:
    runs = [case.replicate(seed) for seed in range(RUNS)]
    found = []
    for name, known in case.known.items():
        mean, half, sees, verdict = judge(known, [run[name] for run in runs])
        found.append(
            Row(
                f"{case.name}: {name}",
                f"{known.value:.8g}" + (f" ± {known.error:.2g}" if known.error else ""),
                case.source,
                f"{mean:.6g}",
                f"{mean - half:.5g} to {mean + half:.5g}",
                f"{sees:.2%}",
                f"{RUNS} × {case.size}",
                verdict,
            )
        )
    return found


def _exact(case: Exact) -> Row:
    try:
        ours = case.measure()
    except AssertionError as broken:  # what is measured watches itself too
        return Row(
            case.name, _text(case.known), case.source, "", "exact", "", "", f"**differs**: {broken!r}"[:200]
        )
    agrees = ours == case.known if case.relation == "=" else ours <= case.known
    verdict = "agrees" if agrees else "**differs**"
    known = _text(case.known) if case.relation == "=" else f"at most {_text(case.known)}"
    return Row(case.name, known, case.source, _text(ours), "exact", "", "", verdict)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value) or "nothing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
