"""`optimise`: the best is found within its limits, and a study that was stopped goes on as if it had not been.

What a trial comes to is made up here, from the scenario that it would run; everything else is the real thing.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from protocol.errors import BadInput
from sim.experiments import optimise as module
from sim.experiments.evaluate import Evaluation
from sim.experiments.optimise import optimise
from sim.experiments.workers import Failure
from sim.metrics import METRICS
from sim.scenario import Scenario, ScenarioErrors, load
from tests.sim.worlds import publisher, text, world

IDLE = "publishers.0.scaling.idle"
QUESTION: dict[str, Any] = {
    "over": {IDLE: ["1s", "1h", "log"]},
    "objective": {"metric": "spend", "direction": "minimise"},
    "trials": 14,
    "seed": 7,
}
DATA = world(publishers=[publisher()])


def idle_s(scenario: Scenario) -> float:
    return float(scenario.publishers[0].scaling.idle_ns) / 1e9  # type: ignore[union-attr]


def made_up(scenario: Scenario, replication: int) -> Evaluation | Failure:
    """Least spend at 60 s; the longer the idle time, the fewer cold starts."""
    idle = idle_s(scenario)
    metrics: dict[str, Any] = {metric.name: 0.0 for metric in METRICS}
    metrics["spend"] = math.log(idle / 60) ** 2 + 0.01 * replication
    metrics["cold_share"] = (100 / (1 + idle), 100.0)
    metrics["latency_p99_ms"] = None
    return Evaluation(metrics)


class Evaluating:
    """Stands for the workers: gives what is made up, and can be stopped, or die, in the n-th trial."""

    def __init__(self) -> None:
        self.of: Callable[[Scenario, int], Evaluation | Failure] = made_up
        self.calls = 0
        self.ends_at: int | None = None
        self.dies_at: int | None = None

    def evaluate(self, crew: Any, scenarios: list[Scenario], replications: int) -> Any:
        self.calls += 1
        if self.calls == self.dies_at:
            raise MemoryError
        if self.calls == self.ends_at:
            crew.stop.value = True
            return None
        return [[self.of(scenario, number) for number in range(replications)] for scenario in scenarios]


@pytest.fixture(autouse=True)
def evaluating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluating:
    fake = Evaluating()

    def evaluate(crew: Any, scenarios: list[Scenario], replications: int) -> Any:
        return fake.evaluate(crew, scenarios, replications)

    monkeypatch.setattr(module._Crew, "evaluate", evaluate)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(text(DATA | {"optimise": QUESTION}), encoding="utf-8")
    return path


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["optimise", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        pq.ParquetFile(Path("studies/small") / name / "trials.parquet").read().to_pylist()
    )
    return found


def test_the_least_is_found(file: Path) -> None:
    result = optimise(file, "a", workers=1)
    assert result.best is not None
    assert len(result.trials) == 14
    assert idle_s(load(file, [f"{IDLE}={result.best.parameters[IDLE]}"])) == pytest.approx(60, rel=0.8)
    assert result.best.objective.mean == min(tried.objective.mean or 0 for tried in result.trials)


def test_the_most_is_found(file: Path) -> None:
    result = optimise(file, "a", ["optimise.objective.direction=maximise"], trials=5, workers=1)
    assert result.best is not None
    assert result.best.objective.mean == max(tried.objective.mean or 0 for tried in result.trials)


def test_the_best_keeps_every_limit(file: Path) -> None:
    """Without the limit 60 s would be best; fewer than 0.5 % of cold starts need 199 s."""
    result = optimise(file, "a", ["optimise.constraints.cold_share='<= 0.5%'"], workers=1)
    assert result.best is not None
    assert 199 <= idle_s(load(file, [f"{IDLE}={result.best.parameters[IDLE]}"])) < 1000
    assert result.best.constraints["cold_share"].mean is not None
    assert result.best.constraints["cold_share"].mean <= 0.005
    least = min(tried.objective.mean for tried in result.trials if tried.objective.mean is not None)
    assert result.best.objective.mean is not None
    assert least < result.best.objective.mean


def test_the_interval_is_over_replications(file: Path) -> None:
    result = optimise(file, "a", ["optimise.replications=3", "optimise.trials=2"], workers=1)
    assert result.best is not None
    found = result.best.objective
    assert found.n == 3
    assert found.low is not None and found.mean is not None and found.high is not None
    assert found.low < found.mean < found.high
    assert "--replications 3" in result.command


def test_the_command_line_runs_the_best(file: Path) -> None:
    result = optimise(file, "a", ["seed=9", "optimise.trials=3"], workers=1)
    assert result.best is not None
    words = shlex.split(result.command)
    assert words[:3] == ["trustedpods", "run", str(file)]
    scenario = load(file, [words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert scenario.seed == 9
    assert made_up(scenario, 0).metrics["spend"] == pytest.approx(result.best.objective.mean)  # type: ignore[union-attr]


def test_one_worker_and_one_seed_give_the_same_bytes(file: Path) -> None:
    for name in ("a", "b"):
        optimise(file, name, trials=12, workers=1)
    optimise(file, "c", ["optimise.seed=8"], trials=2, workers=1)
    bytes_of = {name: (Path("studies/small") / name / "trials.parquet").read_bytes() for name in "abc"}
    assert bytes_of["a"] == bytes_of["b"] != bytes_of["c"]


@pytest.mark.parametrize("how", ["ends_at", "dies_at"])
@pytest.mark.parametrize("at", [1, 12])
def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(
    file: Path, evaluating: Evaluating, how: str, at: int
) -> None:
    optimise(file, "whole", workers=1)
    evaluating.calls = 0
    setattr(evaluating, how, at)
    if how == "ends_at":
        stopped = optimise(file, "stopped", workers=1)
        assert stopped.interrupted
        assert len(stopped.trials) == at - 1
    else:
        with pytest.raises(MemoryError):
            optimise(file, "stopped", workers=1)
    evaluating.calls, evaluating.ends_at, evaluating.dies_at = 0, None, None
    result = optimise(file, "stopped", workers=1)
    assert (result.before, evaluating.calls) == (at - 1, 14 - (at - 1))
    paths = [Path("studies/small") / name / "trials.parquet" for name in ("whole", "stopped")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_more_trials_go_on_from_those_that_are_over(file: Path, evaluating: Evaluating) -> None:
    optimise(file, "a", trials=5, workers=1)
    first = rows("a")
    evaluating.calls = 0
    result = optimise(file, "a", trials=9, workers=1)
    assert (evaluating.calls, result.before, len(result.trials)) == (4, 5, 9)
    assert rows("a")[:5] == first
    evaluating.calls = 0
    optimise(file, "a", trials=9, workers=1)
    assert evaluating.calls == 0


def test_several_workers_try_several_at_once(file: Path, evaluating: Evaluating) -> None:
    result = optimise(file, "a", trials=10, workers=4)
    assert evaluating.calls == 3  # 4, 4 and 2 at once
    assert len(result.trials) == 10
    evaluating.calls = 0
    optimise(file, "b", ["optimise.replications=4"], trials=10, workers=4)
    assert evaluating.calls == 10


def test_a_limit_that_nobody_keeps_says_who_is_closest(file: Path) -> None:
    result = command(
        file, "--study", "a", "--workers", 1, "--set", "optimise.constraints.cold_share='<= 0.001%'"
    )
    assert result.exit_code == 1
    best = max(rows("a"), key=lambda row: -row["cold_share.mean"])
    assert "none of 14 trials keeps cold_share <= 0.001%; the closest is trial" in result.output
    assert f"trial {best['trial']}, where cold_share is {best['cold_share.mean']:.6g}" in result.output
    assert best[IDLE] in result.output


def test_what_fails_or_has_no_value_is_told_and_is_not_the_best(file: Path, evaluating: Evaluating) -> None:
    def fails(scenario: Scenario, replication: int) -> Evaluation | Failure:
        return Failure("it broke") if idle_s(scenario) < 300 else made_up(scenario, replication)

    evaluating.of = fails
    result = optimise(file, "a", trials=8, workers=1)
    evaluating.of = made_up
    assert result.best is not None
    assert idle_s(load(file, [f"{IDLE}={result.best.parameters[IDLE]}"])) >= 300
    assert {tried.reason for tried in result.trials} == {"", "it broke"}
    said = command(
        file,
        "--study",
        "b",
        "--workers",
        1,
        "--set",
        "optimise.objective.metric=latency_p99_ms",
        "--trials",
        2,
    )
    assert said.exit_code == 1
    assert "none of 2 trials came to anything: latency_p99_ms: nothing to measure" in said.output


def test_another_question_is_another_study(file: Path) -> None:
    optimise(file, "a", trials=1, workers=1)
    for change, what in (
        ("seed=2", "scenario"),
        ("optimise.seed=2", "seed"),
        ("optimise.objective.metric=unpaid", "objective"),
        ("optimise.replications=2", "replications"),
        ("optimise.constraints={cold_share: '<= 1%'}", "constraints"),
        (f"optimise.over={{{IDLE}: [1s, 2h, log]}}", "ranges"),
    ):
        with pytest.raises(BadInput, match=f"--study a: was begun with another {what}, and trials of both"):
            optimise(file, "a", [change], workers=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimise.objective.metric=spent", "'spent': no metric of this name; did you mean 'spend'"),
        ("optimise.objective={metric: spend}", "say `direction: minimise` or `maximise`"),
        ("optimise.over={}", "there is nothing to look in: name a key of this file and its range"),
        ("optimise.over={publishers.0.scaling.idel: [1s, 2s]}", "did you mean 'idle'"),
        (f"optimise.over={{{IDLE}: [1s, 2s, 3s]}}", "is not a range: [low, high]"),
        (f"optimise.over={{{IDLE}: [2s, 1s]}}", "runs backwards: low must be less than high"),
        ("optimise.over={optimise.trials: [1, 2]}", "a sweep cannot change itself, nor what is looked for"),
        ("optimise.constraints={servd_share: '>= 1%'}", "did you mean 'served_share'"),
        ("optimise.constraints={served_share: 99%}", "a limit is '<= value' or '>= value', such as '>= 99%'"),
        ("optimise.constraints={spend: '<= 5 ETH'}", "5 ETH"),
        ("optimise.constraints={evictions: '<= few'}", "'few' is not a number"),
        ("optimise.trials=0", "trials"),
        ("optimise=null", "has no `optimise`; say what to look for"),
    ],
)
def test_a_question_that_is_none_is_refused(file: Path, change: str, said: str) -> None:
    with pytest.raises((BadInput, ScenarioErrors)) as refused:
        optimise(file, "a", [change], workers=1)
    assert said in str(refused.value)
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--study", "../out"], "letters, digits"),
        (["--study", ""], "letters, digits"),
        (["--study", "a", "--workers", "2", "--scheduler", "tcp://x:1"], "leave one of the two out"),
        ([], "Missing option '--study'"),
    ],
)
def test_options_that_cannot_be_are_refused(file: Path, options: list[str], said: str) -> None:
    result = command(file, *options)
    assert result.exit_code == 2
    assert said in result.output


def test_a_line_that_a_kill_left_unfinished_is_taken_off(file: Path) -> None:
    optimise(file, "a", trials=2, workers=1)
    first = rows("a")
    with (Path("studies/small/a") / module.JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":8,"trial')
    assert len(optimise(file, "a", trials=3, workers=1).trials) == 3
    assert len(optimise(file, "a", trials=4, workers=1).trials) == 4
    assert rows("a")[:2] == first


def test_json_has_everything(file: Path) -> None:
    data = json.loads(command(file, "--study", "a", "--workers", 1, "--trials", 3, "--json").stdout)
    assert data["trials"] == {"over": 3, "asked": 3, "over_before": 0, "feasible": 3}
    assert data["best"]["objective"]["n"] == 1
    assert data == json.loads((Path("studies/small/a") / "best.json").read_text())
