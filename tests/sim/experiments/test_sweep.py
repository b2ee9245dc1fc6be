"""`sim.sweep` and the command around it, with its tasks carried out in this process; Dask's own are in tests/e2e."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import sim
from cli.main import main
from protocol.errors import BadInput, PortError
from sim.experiments import sweep as module
from sim.experiments import workers
from sim.experiments.evaluate import Evaluation
from sim.experiments.results import SweepResults
from sim.experiments.workers import Failure, OtherWorker, Task, carry_out
from sim.interrupts import Flag
from sim.metrics import METRICS
from sim.scenario import loads
from sim.statistics import mean_interval, ratio_interval
from tests.sim.worlds import publisher, text, world

IDLE = "publishers.pod.scaling.idle"
DATA = world(
    duration="20m",
    replications=3,
    publishers=[publisher(traffic={"poisson": "0.5/s"})],
    sweep={IDLE: ["20s", "60s"], "seed": [1, 2]},
)
TABLES = ("points.parquet", "results.parquet", "summary.parquet")


class Here:
    """Stands for Dask: carries tasks out in this process, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Task]] = []
        self.options: dict[str, Any] = {}
        self.failing: dict[str, str] = {}
        """What is to fail: a text of the scenario, and why."""
        self.backwards = False
        self.stop_after: int | None = None

    def completed(
        self,
        tasks: Mapping[str, Task],
        more: Callable[[], Mapping[str, Task]],
        *,
        stop: Flag,
        notice: Any,
        **options: Any,
    ) -> Iterator[tuple[str, Evaluation | Failure]]:
        self.options = options
        done = 0
        waiting: list[tuple[str, Task]] = []
        while tasks or waiting:
            if tasks:
                self.asked.append(dict(tasks))
                waiting += tasks.items()
            key, task = waiting.pop(-1 if self.backwards else 0)
            if done == self.stop_after:
                stop.value = True
            if stop.value:
                return
            done += 1
            why = [why for words, why in self.failing.items() if words in task.scenario]
            record = carry_out(key, task.scenario, task.replication) if not why else None
            yield key, Failure(why[0]) if record is None else Evaluation.from_record(record)
            tasks = more()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_text(text(DATA), encoding="utf-8")
    stand_in = Here()
    monkeypatch.setattr(module, "completed", stand_in.completed)
    return stand_in


def bytes_of(results: SweepResults) -> dict[str, bytes]:
    return {name: (results.directory / name).read_bytes() for name in TABLES}


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["sweep", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_every_row_says_where_it_comes_from_and_every_value_is_that_of_a_run(here: Here) -> None:
    results = sim.sweep("scenario.yaml", out="out")
    assert results.points.to_dict("records") == [
        {"point": number, IDLE: idle, f"{IDLE}.number": seconds, "set.seed": seed}
        for number, (idle, seconds, seed) in enumerate(
            [("20s", 20.0, 1), ("20s", 20.0, 2), ("60s", 60.0, 1), ("60s", 60.0, 2)]
        )
    ]
    rows = results.results
    assert list(zip(rows["point"], rows["replication"], strict=True)) == [
        (p, r) for p in range(4) for r in range(3)
    ]
    assert list(rows["seed"]) == [1, 1, 1, 2, 2, 2] * 2 == list(rows["set.seed"])
    run = sim.run("scenario.yaml", [f"{IDLE}=60s", "seed=2"], out="run")
    own = rows[rows["point"] == 3]
    for metric in METRICS:
        entry = run.metric(metric.name)
        values = [None if value != value else value for value in own[metric.name]]
        assert values == entry["values"], metric.name
        summary = results.metric(metric.name)
        (told,) = summary[summary["point"] == 3].to_dict("records")
        for name in ("mean", "low", "high"):
            assert (None if told[name] != told[name] else told[name]) == entry[name], (metric.name, name)
        assert (told["n"], told["unit"], told["kind"]) == (entry["n"], entry["unit"], metric.kind)
    ratio = ratio_interval(list(own["cold_share.above"]), list(own["cold_share.below"]))
    assert ratio.mean == results.metric("cold_share")["mean"][3]
    assert mean_interval(list(own["requests_served"])).high == results.metric("requests_served")["high"][3]


def test_a_point_is_the_same_whoever_else_is_there(here: Here) -> None:
    """Common random numbers: what is not changed draws the same, in any batch, order and number."""
    whole = sim.sweep("scenario.yaml", out="whole", cache="one").results
    here.backwards = True
    alone = sim.sweep(
        "scenario.yaml", [f"sweep={{{IDLE}: [60s], seed: [2, 1]}}"], replications=2, out="alone", cache="two"
    ).results
    names = [name for name in whole.columns if name not in ("point", "n")]
    for row in alone.to_dict("records"):
        (same,) = whole[
            (whole[IDLE] == row[IDLE])
            & (whole["seed"] == row["seed"])
            & (whole["replication"] == row["replication"])
        ].to_dict("records")
        assert {n: str(row[n]) for n in names} == {n: str(same[n]) for n in names}
    arrived = {
        (r["seed"], r["replication"], r["point"]): r["requests_arrived"] for r in whole.to_dict("records")
    }
    assert all(
        arrived[1, i, 0] == arrived[1, i, 2] and arrived[1, i, 0] != arrived[2, i, 1] for i in range(3)
    )


def test_the_same_sweep_has_the_same_bytes_and_only_what_is_missing_is_run(here: Here) -> None:
    first = sim.sweep("scenario.yaml", out="first")
    assert [len(asked) for asked in here.asked] == [12]
    here.backwards = True
    other = sim.sweep("scenario.yaml", out="other", cache="elsewhere")
    assert bytes_of(other) == bytes_of(first) and len(here.asked[1]) == 12
    again = sim.sweep("scenario.yaml", out="again")
    assert bytes_of(again) == bytes_of(first) and len(here.asked) == 2
    assert again.provenance["tables"] == first.provenance["tables"]
    assert again.provenance["evaluations"] == {"asked": 12, "there": 12, "kept from before": 12, "failed": 0}
    more = sim.sweep("scenario.yaml", replications=4, out="more")
    assert len(here.asked[2]) == 4 and {task.replication for task in here.asked[2].values()} == {3}
    assert len(more.results) == 16


def test_series_that_are_asked_for_are_those_of_the_run(here: Here) -> None:
    asked = [
        "output.series=[served_per_s, replicas_at_once]", "output.sampling=70s", f"sweep={{{IDLE}: [20s, 60s]}}",
    ]  # fmt: skip
    results = sim.sweep("scenario.yaml", asked, out="out", replications=2)
    series = results.series
    assert results.provenance["tables"].keys() == {*TABLES, "series.parquet"}
    instants = [*(70.0 * i for i in range(18)), 1200.0]
    groups = list(series.groupby(["point", "replication", "metric"], sort=False))
    assert [name for name, _ in groups] == [
        (point, replication, metric)
        for point in range(2)
        for replication in range(2)
        for metric in ("served_per_s", "replicas_at_once")
    ]
    samples = sim.run("scenario.yaml", [*asked, f"{IDLE}=60s"], out="run").tables["samples"]
    for (point, replication, metric), part in groups:
        assert list(part["time_s"]) == instants
        if point == 1:
            own = samples[(samples["replication"] == replication) & (samples["provider"] != "")]
            own = own.groupby("time_ns").sum(numeric_only=True)
            if metric == "served_per_s":
                assert (
                    part["value"].isna().tolist() == [True] + [False] * 18
                )  # no time has passed at the first
                spans = [b - a for a, b in pairwise(instants)]
                assert list(part["value"])[1:] == pytest.approx(list(own["served"].diff()[1:] / spans))
            else:
                states = [f"replicas_{state}" for state in ("starting", "idle", "busy", "draining")]
                assert list(part["value"]) == list(own[states].sum(axis=1))
    again = sim.sweep("scenario.yaml", asked, out="again", replications=2)
    assert again.series.equals(series) and len(here.asked) == 1
    plain = sim.sweep("scenario.yaml", out="plain")
    with pytest.raises(BadInput, match=r"output\.series"):
        _ = plain.series


def test_stopped_it_keeps_what_it_has_and_goes_on(here: Here) -> None:
    told: list[tuple[int, int, int]] = []
    here.stop_after = 5
    result = command("scenario.yaml", "--out", "half")
    assert result.exit_code == 130
    assert (
        "interrupted: 5 of 12 evaluations are there and kept; the same command goes on with the rest"
        in result.stderr
    )
    half = sim.load_sweep("half")
    assert half.interrupted and len(half.results) == 5
    served = half.metric("served_share")
    assert list(served["n"]) == [3, 2, 0, 0]
    assert [value == value for value in served["mean"]] == [
        True,
        False,
        False,
        False,
    ]  # a part would be biased
    here.stop_after = None
    whole = sim.sweep("scenario.yaml", out="whole", progress=lambda *at: told.append(at))
    assert len(here.asked[1]) == 7 and told == [(5 + i, 12, 5) for i in range(8)]
    assert not whole.interrupted
    assert bytes_of(whole) == bytes_of(sim.sweep("scenario.yaml", out="direct", cache="elsewhere"))


def test_a_point_that_fails_is_named_and_the_others_go_on(here: Here) -> None:
    here.failing["idle: 1m"] = "an invariant of the simulation broke (a bug): money was made"
    result = command("scenario.yaml", "--set", f"sweep={{{IDLE}: [20s, 60s]}}", "--out", "o")
    assert result.exit_code == 9
    assert result.stderr.splitlines()[0] == "3 of 6 evaluations failed; the others are there"
    assert f"point 1 ({IDLE}=60s), replication 0: an invariant of the simulation broke" in result.stderr
    results = sim.load_sweep("o")
    assert len(results.results) == 3 and [one["point"] for one in results.failures] == [1, 1, 1]
    assert list(results.metric("served_share")["n"]) == [3, 0]
    here.failing.clear()
    assert command("scenario.yaml", "--set", f"sweep={{{IDLE}: [20s, 60s]}}", "--out", "p").exit_code == 0
    assert len(here.asked[1]) == 3  # what failed is tried again, and nothing else


def test_equal_points_are_evaluated_once(here: Here) -> None:
    results = sim.sweep("scenario.yaml", ["sweep={zip: {seed: [1, 1, 2], about: [a, b, c]}}"], replications=2)
    assert len(here.asked[0]) == 4 and len(results.results) == 6
    assert results.directory.parts[:2] == ("sweeps", "small")
    assert sim.load_sweep().directory.resolve() == results.directory.resolve()


def test_what_parameters_are_held_as(here: Here) -> None:
    lists = (
        "{seed: [1, 2], output.events: [true, false], network.loss: [0, 0.1], "
        "start: ['2020-01-01T00:00:00Z', '2021-01-01T00:00:00Z'], "
        "publishers.pod.service: [1s, {exponential: 2s}], providers.host.nodes.0.memory: [8Gi, 9Gi]}"
    )
    results = sim.sweep("scenario.yaml", [f"sweep={{zip: {lists}}}"], replications=1)
    schema = pq.read_schema(results.directory / "points.parquet")
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    assert kinds == {
        "point": "int32", "set.seed": "int64", "output.events": "bool", "network.loss": "double", "start": "string",
        "publishers.pod.service": "string", "providers.host.nodes.0.memory": "string",
        "providers.host.nodes.0.memory.number": "double",
    }  # fmt: skip
    assert list(results.points["publishers.pod.service"]) == ["1s", '{"exponential": "2s"}']


def test_the_table_and_the_json(here: Here) -> None:
    result = command("scenario.yaml", "--metric", "cold_share", "--metric", "requests_arrived")
    assert result.exit_code == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert any("cold_share" in line for line in lines)
    assert sum(" 20s " in line and "±" in line for line in lines) == 2 and lines[-1].startswith(
        "tables: sweeps/small/"
    )
    (point,) = [line for line in lines if line.startswith("    3")]
    assert "60s" in point and "…" not in result.stdout
    result = command("scenario.yaml", "--metric", "latency_p99_ms", "--json")
    said = json.loads(result.stdout)
    assert [one["parameters"] for one in said["points"]][1] == {IDLE: "20s", "set.seed": 2}
    entry = said["points"][0]["metrics"]["latency_p99_ms"]
    assert entry["mean"] is None and entry["n"] == 0 and entry["unit"] == "ms"  # too few
    assert command("scenario.yaml", "--quiet").output == ""
    words = ", ".join(f"w{i}" for i in range(60))  # which change no metric
    result = command("scenario.yaml", "--set", f"sweep={{about: [{words}]}}", "--replications", "1")
    lines = result.stdout.splitlines()
    assert lines[-2].startswith("and 10 more points, in sweeps/small/") and lines[-3].startswith(
        "   49  w49 "
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "cold_shar"], "cold_shar: no metric of this name; did you mean 'cold_share'?"),
        (["--set", "sweep=null"], "scenario.yaml: has no sweep"),
        (["--set", "sweep={}"], "this is a sweep over nothing"),
        (["--out", "full"], "--out full: is not empty"),
        (
            ["--workers", "2", "--scheduler", "tcp://h:1"],
            "the cluster at tcp://h:1 has its own: leave one of the two out",
        ),
    ],
)
def test_wrong_input_is_told_and_nothing_is_run(here: Here, arguments: list[str], words: str) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("", encoding="utf-8")
    result = command("scenario.yaml", *arguments)
    assert result.exit_code == 2 and words in result.stderr and not here.asked
    assert not Path("sweeps").exists()


def test_what_only_python_can_say_wrongly(here: Here) -> None:
    for wrong in (0, 1.5, True):
        with pytest.raises(BadInput, match="allowed are whole numbers of 1 and more"):
            sim.sweep("scenario.yaml", workers=wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="is not a sweep's directory"):
        sim.load_sweep("nowhere")
    with pytest.raises(BadInput, match="no metric of this name"):
        sim.sweep("scenario.yaml", replications=1).metric("nothing")


def test_a_worker_with_other_code_is_refused(here: Here) -> None:
    sim.sweep("scenario.yaml", replications=1, out="out")
    key, task = next(iter(here.asked[0].items()))
    with pytest.raises(OtherWorker, match="other code, packages or input files"):
        carry_out("0" * 64, task.scenario, task.replication)
    with pytest.raises(OtherWorker):
        carry_out(key, task.scenario.replace("duration: 20m", "duration: 21m"), task.replication)
    assert loads(task.scenario).sweep is None


def test_without_dask_the_extra_is_named(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "completed", workers.completed)
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = command("scenario.yaml", "--replications", "1")
    assert result.exit_code == 2
    assert (
        result.stderr
        == "a sweep: distributed is not installed; it needs the extra: pip install 'trusted-pods[experiments]'\n"
    )


def test_a_scheduler_that_does_not_answer(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "completed", workers.completed)
    monkeypatch.setattr(workers, "CONNECT_S", 0.3)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(PortError, match=f"--scheduler {address}: no scheduler answers there"):
            sim.sweep("scenario.yaml", scheduler=address)
    result = command("scenario.yaml", "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 5
