"""`optimise`: look for the best values of some keys, trial by trial, in a study that is kept and goes on.

Optuna chooses what to try next (a tree-structured Parzen estimator, which knows of constraints); what a trial comes
to is the same kept `evaluate` as anywhere. Each choice follows from the study's seed, from how many trials are
over, and from what they came to: a study that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from protocol.errors import BadInput
from sim.estimates import estimate
from sim.experiments.designs import described, ranges_of
from sim.experiments.evaluate import CACHE, Evaluation, Store, code_version, essential, fingerprint, key_of
from sim.experiments.tables import parameters_table
from sim.experiments.workers import Failure, Task, completed, connected
from sim.interrupts import Flag, flag, raised_by_interrupt
from sim.kernel.cache import waiting_for
from sim.kernel.engine import drive
from sim.records.directory import PROVENANCE, machine, versions, write_json
from sim.runner import NOT_MODELLED, processors
from sim.scenario import ScenarioErrors, resolved
from sim.scenario import load as load_scenario
from sim.scenario.optimise import Limit, minimises, read_limit
from sim.scenario.overrides import Override, put
from sim.scenario.ranges import kind_at
from sim.scenario.resolve import context_for, to_data

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from sim.metrics import Value
    from sim.scenario import Scenario
    from sim.scenario.optimise import Optimise
    from sim.statistics import Estimate

STUDIES: Final = Path("studies")
JOURNAL: Final = "study.log"
TRIALS: Final = "trials.parquet"
BEST: Final = "best.json"
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
EXTRA: Final = "it needs the extra: pip install 'trusted-pods[experiments]'"
STARTUP: Final = 10
"""Trials that are drawn at random before the estimator chooses; Optuna's own default."""
Progress = Callable[[int, int, int], None]
"""Told trials over and in all, and how many were over before."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial that is over.

    Attributes:
        number: from 0, in the order in which they were chosen.
        parameters: keys and what was tried.
        objective: its mean, interval and replications; no mean where there is nothing to measure.
        constraints: the same of each metric that is limited, by its name.
        misses: by how much each limit is missed, in the metric's unit; 0 or less where it is kept.
        reason: why there is nothing, or why limits cannot be judged; empty otherwise.
    """

    number: int
    parameters: Mapping[str, Any]
    objective: Estimate
    constraints: Mapping[str, Estimate]
    misses: Mapping[str, float]
    reason: str = ""

    @property
    def feasible(self) -> bool:
        """Whether it counts, and every limit is kept."""
        return not self.reason and all(miss <= 0 for miss in self.misses.values())


@dataclass(frozen=True, slots=True)
class Optimum:
    """What a study has come to.

    Attributes:
        directory: of the study.
        metric: the objective's name.
        unit: of the objective.
        minimised: whether less is better.
        limits: what must hold, in words.
        trials: all that are over.
        asked: how many are to be tried in all.
        best: the best that keeps every limit; None: none does.
        closest: where none does, the one that misses by the least share of its limit.
        command: runs the best; empty where there is none.
        interrupted: somebody stopped it before all were tried.
        before: trials that were over when it was taken up.
    """

    directory: Path
    metric: str
    unit: str
    minimised: bool
    limits: tuple[str, ...]
    trials: tuple[Tried, ...]
    asked: int
    best: Tried | None
    closest: Tried | None
    command: str
    interrupted: bool
    before: int

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it."""

        def said(tried: Tried | None) -> dict[str, Any] | None:
            return None if tried is None else {**asdict(tried), "feasible": tried.feasible}

        return {
            "directory": str(self.directory),
            "objective": {
                "metric": self.metric,
                "unit": self.unit,
                "direction": "minimise" if self.minimised else "maximise",
            },
            "constraints": list(self.limits),
            "trials": {
                "over": len(self.trials),
                "asked": self.asked,
                "over_before": self.before,
                "feasible": sum(tried.feasible for tried in self.trials),
            },
            "best": said(self.best),
            "closest": said(self.closest),
            "command": self.command,
            "interrupted": self.interrupted,
        }


def optimise(
    path: str | Path,
    study: str,
    overrides: Iterable[str] = (),
    *,
    trials: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    cache: str | Path = CACHE,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Optimum:
    """Look for the best point of what a scenario's `optimise` says, and write the study's directory.

    The study is kept in `studies/<scenario>/<study>/`; asked for again it goes on, until as many trials are over as
    are asked for in all. As many trials are chosen at once as keep the workers busy: none waits for the others, and
    none learns from them. So the trials depend on the workers only where one trial's replications are fewer.

    Args:
        path: a scenario file with `optimise`.
        study: its name: letters, digits, `.`, `_` and `-`.
        overrides: `path=value`, for all trials.
        trials: in all, instead of the scenario's.
        workers: processes on this machine, 1 or more; None: as many as there are processors.
        scheduler: see `sim.sweep`; one trial is chosen at a time.
        cache: where evaluations are kept and looked for.
        progress: told how far it is.
        notice: told, in words, what keeps a person waiting.

    Raises:
        BadInput: the scenario or an argument is wrong, or the study was begun with another question or other code.
        PortError: the scheduler does not answer, or no longer; what is over is kept.
    """
    texts = list(overrides)
    if workers is not None and (type(workers) is not int or workers < 1):
        raise BadInput(f"workers: {workers!r}; allowed are whole numbers of 1 and more")
    if workers is not None and scheduler is not None:
        raise BadInput(
            f"workers: {workers}; the cluster at {scheduler} has its own: leave one of the two out"
        )
    if not NAME.fullmatch(study):
        raise BadInput(
            f"--study {study!r}: letters, digits, '.', '_' and '-', at most 63, a letter or digit first"
        )
    more = [] if trials is None else [f"optimise.trials={trials}"]
    scenario = load_scenario(path, [*texts, *more])
    if scenario.optimise is None:
        raise BadInput(
            f"{path}: has no `optimise`; say what to look for, such as `optimise: {{over: {{publishers.0.scaling.idle: "
            "[10s, 10m, log]}, objective: {metric: profit}}`"
        )
    directory = STUDIES / scenario.name / study
    question = _Question(path, texts, scenario, scenario.optimise)
    stop = flag()
    told = notice or (lambda _: None)
    with ExitStack() as stack:
        kept_study = _kept(directory, question)
        before = len(kept_study.over())
        stack.enter_context(
            raised_by_interrupt(stop, lambda _: told("stopping; trials that are over are kept"))
        )
        crew = _Crew(stack, workers or processors(), scheduler, notice, Store(Path(cache)), stop)
        _try(kept_study, question, crew, progress, before, at_once=crew.at_once(question.replications))
        over = kept_study.over()
    result = _result(directory, question, over, before, interrupted=stop.value)
    _write(directory, question, result)
    return result


class _Question:
    """What is asked, read once.

    Args:
        path: of the file.
        texts: overrides for all trials.
        scenario: with them.
        said: what it says of optimising.
    """

    def __init__(self, path: str | Path, texts: list[str], scenario: Scenario, said: Optimise) -> None:
        self.path, self.texts, self.scenario, self.said = path, texts, scenario, said
        tokens = context_for(scenario)
        self.ranges = ranges_of(scenario, said.over)
        self.minimised = minimises(said.objective)
        self.limits = tuple(read_limit(name, text, tokens) for name, text in said.constraints.items())
        fewest = scenario.until.min if scenario.until is not None else scenario.replications
        self.replications = said.replications or fewest

    def estimate(self, measured: Sequence[Value]) -> Estimate:
        """Of a metric's values over the replications, which may be pairs."""
        return estimate(measured, antithetic=self.scenario.antithetic)

    def parameters(self, places: Mapping[str, float]) -> dict[str, Any]:
        """What a point of the unit cube means."""
        return {name: part.at(places[name]) for name, part in self.ranges.items()}

    def at(self, parameters: Mapping[str, Any]) -> Scenario:
        """The scenario with a point's values.

        Raises:
            ScenarioErrors: they do not go together.
        """
        own = [Override(tuple(name.split(".")), value) for name, value in parameters.items()]
        none = [Override((word,), None) for word in ("sweep", "optimise")]
        return load_scenario(self.path, [*self.texts, *own, *none])

    def identity(self) -> dict[str, str]:
        """What a study's trials have in common, by what a person calls it; more trials are the same study."""
        said = self.said.model_dump(mode="json", by_alias=True, exclude={"trials", "replications", "over"})
        ranges = {name: [str(end) for end in ends] for name, ends in self.said.over.items()}
        return {
            "scenario": hashlib.sha256(resolved(essential(self.scenario)).encode()).hexdigest(),
            "ranges": json.dumps(ranges),
            "objective": json.dumps(said["objective"]),
            "constraints": json.dumps(said["constraints"]),
            "seed": str(self.said.seed),
            "replications": str(self.replications),
            "code and packages": code_version(),
        }

    @property
    def unit(self) -> str:
        """Of the objective, with the scenario's symbols."""
        from sim.scenario.optimise import metric_named

        unit = metric_named(self.said.objective.metric).unit
        tokens = self.scenario.tokens
        return {"TOKEN": tokens.payment.symbol, "GAS": tokens.gas.symbol}.get(unit, unit)


class _Crew:
    """Who evaluates: started when something is to be evaluated, and kept for the trials that follow."""

    def __init__(
        self,
        stack: ExitStack,
        workers: int,
        scheduler: str | None,
        notice: Callable[[str], None] | None,
        store: Store,
        stop: Flag,
    ) -> None:
        self.workers, self.scheduler, self.notice, self.store, self.stop = (
            workers,
            scheduler,
            notice,
            store,
            stop,
        )
        self._stack = stack
        self._client: Any = None

    def at_once(self, replications: int) -> int:
        """How many trials keep the workers busy."""
        return 1 if self.scheduler is not None else max(1, self.workers // replications)

    def evaluate(
        self, scenarios: list[Scenario], replications: int
    ) -> list[list[Evaluation | Failure]] | None:
        """Each scenario's replications; None: somebody stopped it."""
        found: dict[str, Evaluation | Failure] = {}
        missing: dict[str, Task] = {}
        keys: list[list[str]] = []
        for scenario in scenarios:
            asked = essential(scenario)
            text, print_ = resolved(asked), fingerprint(asked)
            keys.append([key_of(print_, number) for number in range(replications)])
            for number, key in enumerate(keys[-1]):
                there = self.store.get(key)
                if there is None:
                    missing[key] = Task(text, number)
                else:
                    found[key] = there
        if missing:
            if self._client is None:
                if self.notice is not None and self.scheduler is None and (words := waiting_for(drive)):
                    self.notice(words)
                self._client = self._stack.enter_context(connected(self.workers, self.scheduler, self.notice))
            done = completed(
                missing, workers=self.workers, scheduler=self.scheduler, stop=self.stop, client=self._client
            )
            for key, one in done:
                if isinstance(one, Evaluation):
                    self.store.put(key, one)
                found[key] = one
        if any(key not in found for own in keys for key in own):
            return None
        return [[found[key] for key in own] for own in keys]


class _Kept:
    """A study on disk.

    Args:
        study: Optuna's.
        question: what it is about.
    """

    def __init__(self, study: Study, question: _Question) -> None:
        self._study = study
        self._question = question

    def over(self) -> list[Tried]:
        """Trials that are over, in order; those that an interrupt left are none."""
        return [_tried(number, trial, self._question) for number, trial in enumerate(self._ended())]

    def _ended(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if "parameters" in trial.user_attrs and trial.state.is_finished()]

    def ask(self, number: int) -> Trial:
        """Choose the next trial, from the seed, its number and what came of those that are over."""
        from optuna.distributions import FloatDistribution
        from optuna.samplers import TPESampler

        digest = hashlib.sha256(f"{self._question.said.seed}:{number}".encode()).digest()
        self._study.sampler = TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=STARTUP)
        return self._study.ask({name: FloatDistribution(0.0, 1.0) for name in self._question.ranges})

    def tell(
        self, trial: Trial, parameters: Mapping[str, Any], found: Mapping[str, list[Value]], reason: str
    ) -> None:
        """Write down what came of a trial, before it counts."""
        from optuna.trial import TrialState

        trial.set_user_attr("values", found)
        trial.set_user_attr("reason", reason)
        question = self._question
        objective = question.estimate(found[question.said.objective.metric]).mean if found else None
        for limit in question.limits if objective is not None else ():
            mean = question.estimate(found[limit.metric.name]).mean
            if mean is not None:
                trial.set_constraint(limit.metric.name, limit.violation(mean))
        trial.set_user_attr("parameters", dict(parameters))
        if objective is None or reason:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, objective)


def _kept(directory: Path, question: _Question) -> _Kept:
    """The study in a directory: the one that is there, or a new one.

    Raises:
        BadInput: Optuna is not installed, the directory cannot be used, or it was begun with something else.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise BadInput(f"optimise: {error.name} is not installed; {EXTRA}") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{directory}: the study's directory cannot be made: {error.strerror}") from error
    journal = directory / JOURNAL
    _cut(journal)
    study = optuna.create_study(
        study_name=directory.name,
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        load_if_exists=True,
        direction="minimize" if question.minimised else "maximize",
    )
    begun, now = study.user_attrs.get("identity"), question.identity()
    if begun is None:
        study.set_user_attr("identity", now)
    elif differing := [name for name, value in now.items() if begun.get(name) != value]:
        raise BadInput(
            f"--study {directory.name}: was begun with another {', '.join(differing)}, and trials of both cannot be "
            f"compared; name another study, or delete {directory}"
        )
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        study.tell(
            trial.number, state=optuna.trial.TrialState.FAIL
        )  # an interrupt left it; it is chosen again
    return _Kept(study, question)


def _cut(journal: Path) -> None:
    """Take off a last line that a kill left unfinished: what is added behind it could not be read."""
    if journal.is_file():
        held = journal.read_bytes()
        whole = held.rfind(b"\n") + 1
        if whole < len(held):
            with journal.open("r+b") as file:
                file.truncate(whole)


def _try(
    study: _Kept,
    question: _Question,
    crew: _Crew,
    progress: Progress | None,
    before: int,
    *,
    at_once: int,
) -> None:
    """Try until as many are over as were asked for, or somebody stops it."""
    asked, done = question.said.trials, before
    while done < asked and not crew.stop.value:
        if progress is not None:
            progress(done, asked, before)
        batch = [study.ask(number) for number in range(done, min(asked, done + at_once))]
        points = [question.parameters(trial.params) for trial in batch]
        scenarios: dict[int, Scenario] = {}
        reasons = [""] * len(batch)
        for place, parameters in enumerate(points):
            try:
                scenarios[place] = question.at(parameters)
            except ScenarioErrors as error:  # values that do not go together: a trial that nobody can run
                reasons[place] = str(error)
        found = crew.evaluate(list(scenarios.values()), question.replications)
        if found is None:
            return
        for place, evaluations in zip(scenarios, found, strict=True):
            reasons[place] = next((one.reason for one in evaluations if isinstance(one, Failure)), "")
        by_place = dict(zip(scenarios, found, strict=True))
        for place, trial in enumerate(batch):
            values = {} if reasons[place] else _values(question, by_place[place])
            study.tell(trial, points[place], values, reasons[place] or _unmeasured(question, values))
        done += len(batch)
    if progress is not None:
        progress(done, asked, before)


def _values(question: _Question, evaluations: list[Evaluation | Failure]) -> dict[str, list[Value]]:
    names = [question.said.objective.metric, *(limit.metric.name for limit in question.limits)]
    return {
        name: [one.metrics[name] for one in evaluations if isinstance(one, Evaluation)]
        for name in dict.fromkeys(names)
    }


def _unmeasured(question: _Question, values: Mapping[str, list[Value]]) -> str:
    """Metrics that have no value there."""
    none = [name for name, own in values.items() if question.estimate(own).mean is None]
    return f"{', '.join(none)}: nothing to measure, or too few observations" if none else ""


def _tried(number: int, trial: FrozenTrial, question: _Question) -> Tried:
    found = {
        name: question.estimate([tuple(value) if isinstance(value, list) else value for value in own])
        for name, own in trial.user_attrs["values"].items()
    }
    nothing = question.estimate([])
    misses = {
        limit.metric.name: limit.violation(mean)
        for limit in question.limits
        if limit.metric.name in found and (mean := found[limit.metric.name].mean) is not None
    }
    return Tried(
        number,
        trial.user_attrs["parameters"],
        found.get(question.said.objective.metric, nothing),
        {limit.metric.name: found.get(limit.metric.name, nothing) for limit in question.limits},
        misses,
        trial.user_attrs["reason"],
    )


def _result(
    directory: Path, question: _Question, over: list[Tried], before: int, *, interrupted: bool
) -> Optimum:
    def worth(tried: Tried) -> float:
        mean = tried.objective.mean
        assert mean is not None
        return mean if question.minimised else -mean

    def missed(tried: Tried) -> float:
        limits = {limit.metric.name: limit for limit in question.limits}
        return max(_share(miss, limits[name]) for name, miss in tried.misses.items())

    feasible = [tried for tried in over if tried.feasible]
    judged = [tried for tried in over if not tried.reason and tried.misses]
    best = min(feasible, key=worth) if feasible else None
    return Optimum(
        directory,
        question.said.objective.metric,
        question.unit,
        question.minimised,
        tuple(map(str, question.limits)),
        tuple(over),
        question.said.trials,
        best,
        None if feasible or not judged else min(judged, key=missed),
        "" if best is None else _command(question, best),
        interrupted,
        before,
    )


def _share(miss: float, limit: Limit) -> float:
    """By what share of the limit it is missed, so that limits in several units can be weighed."""
    return miss / abs(limit.value) if limit.value else miss


def _command(question: _Question, best: Tried) -> str:
    own = [str(Override(tuple(name.split(".")), value)) for name, value in best.parameters.items()]
    options = [word for text in (*question.texts, *own) for word in ("--set", text)]
    return shlex.join(
        ["trustedpods", "run", str(question.path), *options, "--replications", str(question.replications)]
    )


def _write(directory: Path, question: _Question, result: Optimum) -> None:
    """The trials as a table, the best, and where both came from; nothing in the table says when."""
    (directory / "scenario.yaml").write_text(resolved(question.scenario), encoding="utf-8")
    if result.trials:
        pq.write_table(_table(question, result.trials), directory / TRIALS, compression="zstd")
    write_json(directory / BEST, result.to_data())
    write_json(
        directory / PROVENANCE,
        {
            "scenario": question.scenario.name,
            "study": directory.name,
            "seed": question.said.seed,
            "replications": question.replications,
            **versions(),
            "sampler": _sampler(),
            "machine": machine(),
            "not_modelled": list(NOT_MODELLED),
        },
    )


def _sampler() -> str:
    from importlib.metadata import version

    return f"optuna {version('optuna')}, TPESampler, {STARTUP} random trials first"


def _table(question: _Question, trials: tuple[Tried, ...]) -> pa.Table:
    from sim.experiments.designs import Point

    data = {**to_data(question.scenario), "sweep": None, "optimise": None}
    kinds = {
        name: kind_at(put(data, Override(tuple(name.split(".")), ends[0]), data), data)
        for name, ends in question.said.over.items()
    }
    points = [Point(tried.number, dict(tried.parameters), question.scenario) for tried in trials]
    table = parameters_table(points, kinds).rename_columns({"point": "trial"})
    for name, values in _columns(trials):
        table = table.append_column(name, values)
    return table


def _columns(trials: tuple[Tried, ...]) -> Iterator[tuple[str, pa.Array]]:
    yield "feasible", pa.array([tried.feasible for tried in trials], pa.bool_())
    for part in ("mean", "low", "high"):
        yield (
            f"objective.{part}",
            pa.array([getattr(tried.objective, part) for tried in trials], pa.float64()),
        )
    for name in trials[0].constraints:
        for part in ("mean", "low", "high"):
            values = [getattr(tried.constraints[name], part) for tried in trials]
            yield f"{name}.{part}", pa.array(values, pa.float64())
        yield f"{name}.missed_by", pa.array([tried.misses.get(name) for tried in trials], pa.float64())
    yield "reason", pa.array([tried.reason for tried in trials], pa.string())


def closest_text(result: Optimum) -> str:
    """What to say where no trial keeps every limit."""
    if result.closest is None:
        reasons = dict.fromkeys(tried.reason for tried in result.trials if tried.reason)
        return f"none of {len(result.trials)} trials came to anything: {'; '.join(list(reasons)[:3])}"
    missed = [
        f"{name} is {result.closest.constraints[name].mean:.6g}"
        for name, miss in result.closest.misses.items()
        if miss > 0
    ]
    return (
        f"none of {len(result.trials)} trials keeps {' and '.join(result.limits)}; the closest is trial {result.closest.number}, where "
        f"{', '.join(missed)} ({described(result.closest.parameters)})"
    )
