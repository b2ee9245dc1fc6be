"""One replication of one scenario as a pure function to its metrics, kept by a hash of all that decides them.

What decides them: the scenario with every default filled in (but for what only says how often and for whom it is
run), the replication's number, the files and policies that it names, the code, and the packages. Replication i
draws the same whatever else is run, so that a value once kept stands for every later asking.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

from protocol.errors import BadInput
from sim.estimates import settled, values_of
from sim.metrics import METRICS, Value, World
from sim.records.directory import versions
from sim.records.reader import RunTables
from sim.scenario import Scenario, resolved
from sim.scenario import load as load_scenario
from sim.scenario import loads as loads_scenario
from sim.scenario.overrides import Override
from sim.scenario.policies import origins
from sim.scenario.resolve import input_files
from sim.simulation import simulate
from sim.summary import conservation
from sim.warm_up import Series

CACHE: Final = Path("sweeps/.cache")
"""Where evaluations are kept, below the working folder."""
ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("contracts", "protocol", "sim")
"""Packages whose sources decide what comes out."""
SUFFIXES: Final = (".py", ".json")

Overrides = Iterable[str] | Mapping[str, Any]


class BrokenReplication(Exception):
    """Something that must always hold did not, in one replication: a bug of the project."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one replication came to.

    Attributes:
        metrics: every metric by name: a number, the two parts of a ratio, or None where there is nothing to measure.
        warnings: what makes the figures mean something else than usual, in words.
        series: what steady-state metrics are made of: of all where the warm-up is `auto` and so depends on others too (their
            values in `metrics` are then those of a warm-up by this replication alone), and of those in `output.series`.
    """

    metrics: dict[str, Value]
    warnings: tuple[str, ...] = ()
    series: dict[str, Series] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """As plain JSON holds it; floats lose nothing."""
        series = {name: one.to_record() for name, one in self.series.items()}
        return {"metrics": self.metrics, "warnings": list(self.warnings), "series": series}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_record`."""
        metrics = {
            name: (value[0], value[1]) if isinstance(value, (list, tuple)) else value
            for name, value in record["metrics"].items()
        }
        series = {name: Series.from_record(one) for name, one in record["series"].items()}
        return cls(metrics, tuple(record["warnings"]), series)


def evaluate(
    scenario: str | Path | Scenario,
    overrides: Overrides = (),
    replication: int = 0,
    *,
    cache: str | Path | None = CACHE,
) -> dict[str, Value]:
    """All metrics of one replication. The same arguments give the same values, whatever ran before.

    Args:
        scenario: a scenario, or its file.
        overrides: `path=value` texts, or a mapping of paths to values as a file would hold them.
        replication: its number, 0 or more.
        cache: a directory in which evaluations are kept and looked for; None: it is run in any case.

    Returns:
        a value for each metric of `sim.metrics`: a number, a pair (above, below) for a ratio, None where there is
        nothing to measure. With `warm_up: auto` the warm-up of steady-state metrics is that of this replication alone.

    Raises:
        BadInput: the scenario or an argument is wrong; nothing was run.
        BrokenReplication: a bug; nothing is kept.
    """
    if type(replication) is not int or replication < 0:
        raise BadInput(f"replication: {replication!r}; allowed are whole numbers of 0 and more")
    changes = _overrides(overrides)
    if isinstance(scenario, Scenario):
        whole = (
            loads_scenario(resolved(scenario), base=Path(os.devnull), overrides=changes)
            if changes
            else scenario
        )
    else:
        whole = load_scenario(scenario, changes)
    asked = essential(whole)
    store = Store(Path(cache)) if cache is not None else None
    key = key_of(fingerprint(asked), replication)
    found = store.get(key) if store is not None else None
    if found is None:
        found = measure(asked, replication)
        if store is not None:
            store.put(key, found)
    return found.metrics


def _overrides(said: Overrides) -> list[str | Override]:
    if isinstance(said, Mapping):
        return [Override(tuple(name.split(".")), value) for name, value in said.items()]
    return list(said)


def essential(scenario: Scenario) -> Scenario:
    """The scenario without what changes no metric: its sweep, what it looks for, how many replications, words, and rows that are not read here."""
    quiet = scenario.output.model_copy(update={"requests_share": Fraction(0), "events": False})
    count = 2 if scenario.antithetic else 1
    return scenario.model_copy(
        update={
            "sweep": None,
            "optimise": None,
            "replications": count,
            "until": None,
            "about": "",
            "output": quiet,
        }
    )


def measure(scenario: Scenario, replication: int) -> Evaluation:
    """Run one replication and measure it; its tables are thrown away.

    Raises:
        BrokenReplication: an invariant or a conservation law did not hold.
    """
    with tempfile.TemporaryDirectory(prefix="trusted-pods-") as folder:
        outcome = simulate(scenario, replication, Path(folder))
        if outcome.interrupted:
            raise KeyboardInterrupt
        tables = RunTables(Path(folder))
        tokens = scenario.tokens
        world = World(
            tables,
            replication,
            decimals=tokens.payment.decimals,
            gas_decimals=tokens.gas.decimals,
            warm_up=scenario.warm_up_said,
        )
        metrics = {metric.name: _exact(metric.of(world)) for metric in METRICS}
        auto, asked = scenario.warm_up == "auto", scenario.output.series
        series = {
            metric.name: metric.series(world)
            for metric in METRICS
            if metric.series is not None and (auto or metric.name in asked)
        }
        broken = list(outcome.violations)
        broken += [f"{law['law']}: {law['left']} and {law['right']} {law['unit']}"
                   for law in conservation(tables, replication) if law["residual"]]  # fmt: skip
    if broken:
        raise BrokenReplication(f"an invariant of the simulation broke (a bug): {'; '.join(broken[:3])}")
    found = Evaluation(metrics, outcome.warnings, series)
    if auto:
        alone = settled([found], every_ns=scenario.output.sampling_ns)
        metrics.update({name: _exact(values_of(name, [found], alone)[0]) for name in series})
    return found


def _exact(value: Value) -> Value:
    """As floats, so that a value that was kept is the same as one that is new."""
    if isinstance(value, tuple):
        return float(value[0]), float(value[1])
    return None if value is None else float(value)


def fingerprint(scenario: Scenario) -> str:
    """A hash of all that decides a scenario's replications: it, the files, policies and behaviours it names, code and packages.

    Args:
        scenario: made by `essential`.
    """
    state = hashlib.sha256()
    parts = [resolved(scenario), code_version()]
    parts += [_file_hash(path, *_stamp(path)) for path in input_files(scenario)]
    parts += ["\0".join(found) for found in origins(scenario).items()]
    for part in parts:
        state.update(hashlib.sha256(part.encode()).digest())
    return state.hexdigest()


def key_of(fingerprint: str, replication: int) -> str:
    """What an evaluation is kept under, 64 hexadecimal digits."""
    return hashlib.sha256(f"{fingerprint}:{replication}".encode()).hexdigest()


@functools.cache
def code_version() -> str:
    """A hash of the sources, the versions of the packages, and the kind of processor."""
    state = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(path for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES):
            if "node_modules" not in path.parts:
                state.update(
                    f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
                )
    said = versions()
    told = json.dumps([said["python"], said["packages"], platform.machine()])
    return hashlib.sha256(state.digest() + told.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=256)
def _file_hash(path: Path, changed_ns: int, size: int) -> str:
    """Of a file's content; asked again where it seems to have changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Evaluations in a directory, a file each: complete from the moment it has its name.

    Args:
        directory: made as needed; may be deleted at any time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: str) -> Path:
        """Where an evaluation is."""
        return self.directory / key[:2] / f"{key}.json"

    def get(self, key: str) -> Evaluation | None:
        """What is kept under a key; None where there is nothing, or nothing that can be read."""
        try:
            found = Evaluation.from_record(json.loads(self.path(key).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None  # one that a failing disk cut is run again
        return found if list(found.metrics) == [metric.name for metric in METRICS] else None

    def put(self, key: str, evaluation: Evaluation) -> None:
        """Keep an evaluation; others may do the same at the same time.

        Raises:
            BadInput: the directory cannot be written.
        """
        path = self.path(key)
        unfinished = path.with_name(f".{key}-{os.getpid()}-{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(evaluation.to_record(), allow_nan=False), encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise BadInput(f"{path}: an evaluation cannot be kept: {error.strerror}") from error
