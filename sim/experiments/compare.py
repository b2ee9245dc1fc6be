"""`compare`: two runs, metric by metric: is B different from A, by how much, and how sure is that?

Replication i of one and of the other drew the same chance, so they are paired, and their differences vary less
than either. That needs the same seed, as many replications and the same code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from protocol.errors import BadInput
from protocol.manifest import hint
from sim.estimates import pairs
from sim.experiments.changes import Change, changes, same_is_unknown, version_changes
from sim.experiments.differences import Difference, holm, independent, paired
from sim.metrics import METRICS, Metric, Value, World
from sim.records.reader import RunTables
from sim.results import Results, load
from sim.statistics import LEVEL, jackknife
from sim.summary import warm_up_in, worlds_of

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["different", "equivalent", "undecided", "no difference found", "too few"]
TOO_FEW: Final = "too few: at least two replications"


@dataclass(frozen=True, slots=True)
class Compared:
    """What is said of one metric.

    Attributes:
        metric, unit, kind, better: see `sim.metrics.Metric`.
        n_a, n_b: replications; of antithetic ones their pairs.
        mean_a, mean_b: the means; of a ratio its estimate by the jackknife.
        difference: B - A, in the unit.
        low, high: its 95 % interval, not corrected for being one of several; None from one replication.
        relative: the difference as a share of A's mean; None when that is 0.
        variance_ratio: see `Difference.variance_ratio`.
        p: how likely so large a difference is where there is none; None from one replication.
        p_holm: the same, corrected over the metrics compared.
        p_equivalent, p_equivalent_holm: of the two one-sided tests; None when no margin was given.
        verdict: from the corrected p values at 5 %. With a margin `equivalent` goes before `different`: a difference
            can be certain and too small to matter.
    """

    metric: str
    unit: str
    kind: str
    better: str | None
    n_a: int
    n_b: int
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    relative: float | None
    variance_ratio: float | None
    p: float | None
    p_holm: float | None
    p_equivalent: float | None
    p_equivalent_holm: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared.

    Attributes:
        a, b: their directories.
        paired: replications were paired; otherwise taken as independent.
        margin: of equivalence, as a share of A's mean; None when it was not asked for.
        metrics: each metric that was compared, in the order of the registry.
        inputs: where the two scenarios differ.
        versions: where the code and the libraries that ran them differ; only when not paired.
        left_out: metrics that could not be compared, each with the reason.
        notes: what else a reader should know.
    """

    a: Path
    b: Path
    paired: bool
    margin: float | None
    metrics: tuple[Compared, ...]
    inputs: tuple[Change, ...]
    versions: tuple[Change, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def tested(self) -> bool:
        """Whether there were replications enough to test anything."""
        return all(row.p is not None for row in self.metrics)

    @property
    def failing(self) -> tuple[Compared, ...]:
        """The metrics that fail a check: those not shown equivalent when that was asked, else those that differ."""
        if self.margin is None:
            return tuple(row for row in self.metrics if row.verdict == "different")
        return tuple(row for row in self.metrics if row.verdict != "equivalent")

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each metric compared, named by it; columns as in `Compared`, NaN where there is nothing."""
        import pandas as pd

        frame = pd.DataFrame([asdict(row) for row in self.metrics]).set_index("metric")
        texts = ("unit", "kind", "better", "verdict")
        return frame.astype({name: "float64" for name in frame.columns if name not in (*texts, "n_a", "n_b")})

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            "paired": self.paired,
            "level": LEVEL,
            "margin": self.margin,
            "tested": self.tested,
            "failing": [row.metric for row in self.failing],
            "metrics": {row.metric: asdict(row) for row in self.metrics},
            "inputs": [change.to_data() for change in self.inputs],
            "versions": [change.to_data() for change in self.versions],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }


def compare(
    a: str | Path | Results,
    b: str | Path | Results,
    *,
    metrics: Iterable[str] = (),
    equivalent: float | None = None,
    unpaired: bool = False,
) -> Comparison:
    """Compare two runs.

    Args:
        a: the run that the other is held against, or its directory.
        b: the other.
        metrics: names of those to compare, and to correct over; all that both have when empty.
        equivalent: also test whether B lies within this share of A's mean, in (0, 1]; None: do not.
        unpaired: take the replications as independent.

    Raises:
        BadInput: one is no whole run; they are not pairs and `unpaired` is false; a metric has no such name or
            cannot be compared; a margin is out of range.
    """
    first, second = (run if isinstance(run, Results) else load(run) for run in (a, b))
    if equivalent is not None and not 0 < equivalent <= 1:
        raise BadInput(f"equivalent: {equivalent!r}; allowed are shares above 0 and at most 1, such as 2%")
    chosen = _chosen(metrics)
    for run in (first, second):
        _check_whole(run)
    why_not = _not_paired(first, second)
    if why_not and not unpaired:
        raise BadInput(
            f"{first.directory} and {second.directory} are no pairs: {'; '.join(why_not)}. "
            "Unpaired (`--unpaired`) they are compared as independent runs, by Welch's method"
        )
    worlds = _worlds(first, second), _worlds(second, first)
    symbols = [
        {
            "TOKEN": run.provenance["token"],
            "GAS": run.provenance["gas_token"],
            "FIAT": run.provenance["numeraire"],
        }
        for run in (first, second)
    ]
    found: list[tuple[Metric, str, Difference]] = []
    left_out: dict[str, str] = {}
    for metric in chosen or METRICS:
        units = [names.get(metric.unit, metric.unit) for names in symbols]
        try:
            if units[0] != units[1]:
                raise _NothingToCompare(f"is in {units[0]} in A and in {units[1]} in B")
            values = [
                _values(metric, of, which, antithetic=bool(run.provenance.get("antithetic")))
                for of, run, which in zip(worlds, (first, second), "AB", strict=True)
            ]
        except _NothingToCompare as reason:
            left_out[metric.name] = str(reason)
            continue
        difference = independent(*values) if unpaired else paired(*values)
        found.append((metric, units[0], difference))
    if (chosen and left_out) or not found:
        raise BadInput("\n".join(f"{name}: cannot be compared: it {why}" for name, why in left_out.items()))
    counts = [
        len(of) // (2 if run.provenance.get("antithetic") else 1)
        for of, run in zip(worlds, (first, second), strict=True)
    ]
    rows = _judged(found, (counts[0], counts[1]), equivalent)
    notes = []
    lengths = [warm_up_in(run.provenance).length_ns for run in (first, second)]
    if lengths[0] != lengths[1]:
        notes.append("the warm-ups differ: steady-state metrics leave out the longer one in both")
    if unpaired and not why_not:
        notes.append(
            "these runs are pairs: without --unpaired the intervals would be those of paired differences"
        )
    if same_is_unknown(first.provenance, second.provenance):
        notes.append("both ran code with changes that no commit holds: whether it was the same is not known")
    return Comparison(
        a=first.directory,
        b=second.directory,
        paired=not unpaired,
        margin=equivalent,
        metrics=rows,
        inputs=tuple(changes(first.scenario, second.scenario)),
        versions=tuple(version_changes(first.provenance, second.provenance)),
        left_out=left_out,
        notes=tuple(notes),
    )


class _NothingToCompare(Exception):
    """Why a metric is left out; says what it is or has."""


def _chosen(names: Iterable[str]) -> list[Metric]:
    asked, known = list(names), {metric.name: metric for metric in METRICS}
    for name in asked:
        if name not in known:
            raise BadInput(f"{name}: no metric of this name; {hint(name, known)}")
    return [metric for metric in METRICS if metric.name in asked]


def _check_whole(run: Results) -> None:
    origin = run.provenance
    if origin["interrupted"]:
        raise BadInput(
            f"{run.directory}: was interrupted when {origin['complete_share']:.1%} of its time was reached; "
            "only whole runs can be compared"
        )
    there = RunTables(run.directory).replications
    if there != list(range(origin["replications"])):
        raise BadInput(
            f"{run.directory}: has tables of {len(there)} replications, and ran {origin['replications']}; some were lost"
        )


def _not_paired(a: Results, b: Results) -> list[str]:
    """Everything that keeps two runs from being paired, in words."""
    what = {
        "scenario": "scenario {} against {}",
        "seed": "seed {} against {}",
        "replications": "{} against {} replications",
    }
    why = [
        words.format(a.provenance[name], b.provenance[name])
        for name, words in what.items()
        if a.provenance[name] != b.provenance[name]
    ]
    if bool(a.provenance.get("antithetic")) != bool(b.provenance.get("antithetic")):
        why.append("antithetic replications against independent ones")
    return why + [str(change) for change in version_changes(a.provenance, b.provenance)]


def _worlds(run: Results, other: Results) -> list[World]:
    """The replications of a run, with a warm-up that is long enough for both."""
    warm_up = warm_up_in(run.provenance).together(warm_up_in(other.provenance))
    return worlds_of(RunTables(run.directory), run.provenance, warm_up)


def _values(metric: Metric, worlds: list[World], which: str, *, antithetic: bool) -> list[float]:
    """The metric's value in each replication, or antithetic pair; of a ratio its pseudo-values."""
    measured: list[Value] = [metric.of(world) for world in worlds]
    for number, value in enumerate(measured):
        if value is None or not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
            raise _NothingToCompare(
                f"has no value in replication {number} of {which} (too few observations, or nothing to measure)"
            )
    if antithetic:
        measured = pairs(measured)
    parts = [value for value in measured if isinstance(value, tuple)]
    if not parts:
        return [float(value) for value in measured if isinstance(value, (int, float))]
    values = jackknife([above for above, _ in parts], [below for _, below in parts])
    if values is None:
        raise _NothingToCompare(f"is a ratio to nothing in {which}, or to nothing without one replication")
    return values


def _judged(
    found: list[tuple[Metric, str, Difference]], n: tuple[int, int], margin: float | None
) -> tuple[Compared, ...]:
    differences = [difference for _, _, difference in found]
    p = [difference.p_different() for difference in differences]
    p_equivalent = [
        None if margin is None else difference.p_equivalent(margin * abs(difference.a))
        for difference in differences
    ]
    columns = zip(found, p, _corrected(p), p_equivalent, _corrected(p_equivalent), strict=True)
    rows = []
    for (metric, unit, difference), own, corrected, within, within_corrected in columns:
        low, high = difference.interval() or (None, None)
        rows.append(
            Compared(
                metric=metric.name,
                unit=unit,
                kind=metric.kind,
                better=metric.better,
                n_a=n[0],
                n_b=n[1],
                mean_a=difference.a,
                mean_b=difference.b,
                difference=difference.mean,
                low=low,
                high=high,
                relative=difference.mean / abs(difference.a) if difference.a else None,
                variance_ratio=difference.variance_ratio,
                p=own,
                p_holm=corrected,
                p_equivalent=within,
                p_equivalent_holm=within_corrected,
                verdict=_verdict(corrected, within_corrected, margin),
            )
        )
    return tuple(rows)


def _corrected(p_values: list[float | None]) -> list[float | None]:
    """Holm's correction; nothing of nothing, for either all have a value or none has."""
    known = [value for value in p_values if value is not None]
    return list(holm(known)) if len(known) == len(p_values) else p_values


def _verdict(p: float | None, p_equivalent: float | None, margin: float | None) -> Verdict:
    if p is None:
        return "too few"
    if p_equivalent is not None and p_equivalent <= 1 - LEVEL:
        return "equivalent"
    if p <= 1 - LEVEL:
        return "different"
    return "no difference found" if margin is None else "undecided"
