"""`compare`: what it says of two runs, what it refuses, and that common random numbers are worth their name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scipy import stats

import sim
from cli.main import main
from protocol.errors import BadInput
from sim.experiments.changes import ABSENT, Change, changes, version_changes
from sim.metrics import METRICS
from sim.results import load
from tests.sim.example_run import write_example
from tests.sim.worlds import provider, publisher, text, world


def command(*args: object, columns: int = 200) -> Result:
    result = CliRunner().invoke(main, ["compare", *map(str, args)], env={"COLUMNS": str(columns)})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Made-up runs: `a` and `b` are pairs by what they say of themselves, `one` and `one_b` of one replication."""
    root = tmp_path_factory.mktemp("runs")
    kinds: dict[str, dict[str, Any]] = {
        "a": {"pods": 6, "replications": 5},
        "b": {"pods": 7, "replications": 5},
        "seeded": {"pods": 7, "replications": 5, "seed": 2},
        "fewer": {"pods": 7, "replications": 3},
        "one": {"pods": 6},
        "one_b": {"pods": 7},
    }
    return {
        name: write_example(root, providers=2, hours=1, out=root / name, sampling_s=600, **kind)
        for name, kind in kinds.items()
    }


@pytest.fixture
def edited(runs: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of `b` whose provenance is changed."""

    def copy(**provenance: Any) -> Path:
        directory = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(runs["b"], directory)
        path = directory / "provenance.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **provenance}))
        return directory

    return copy


# --- what it says ---


def test_a_mean_is_compared_in_pairs(runs: dict[str, Path]) -> None:
    found = sim.compare(runs["a"], runs["b"], metrics=["requests_served"])
    a, b = (load(runs[name]).metric("requests_served")["values"] for name in "ab")
    (row,) = found.metrics
    theirs = stats.ttest_rel(b, a)
    assert (row.n_a, row.n_b, row.unit, row.kind, row.better) == (5, 5, "count", "terminating", "more")
    assert (row.mean_a, row.mean_b) == (sum(a) / 5, sum(b) / 5)
    assert row.difference == pytest.approx(row.mean_b - row.mean_a)
    assert (row.low, row.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert row.p == row.p_holm == pytest.approx(theirs.pvalue)
    assert row.relative == pytest.approx(row.difference / row.mean_a)
    assert (found.paired, found.margin, row.p_equivalent) == (True, None, None)


def test_a_ratio_is_compared_by_the_jackknife(runs: dict[str, Path]) -> None:
    (row,) = sim.compare(runs["a"], runs["b"], metrics=["cold_share"]).metrics
    parts = []
    for name in "ab":
        deployments = load(runs[name]).tables["deployments"].groupby("replication")[["cold", "served"]].sum()
        parts.append(deployments)
        assert load(runs[name]).metric("cold_share")["mean"] == pytest.approx(
            row.mean_a if name == "a" else row.mean_b
        )

    def difference(keep: list[int]) -> float:
        a, b = (of.loc[keep].sum() for of in parts)
        return float(b["cold"] / b["served"] - a["cold"] / a["served"])

    whole = difference(list(range(5)))
    leave_one_out = [difference([i for i in range(5) if i != out]) for out in range(5)]
    pseudo = [5 * whole - 4 * rest for rest in leave_one_out]
    theirs = stats.ttest_1samp(pseudo, 0.0)
    assert row.difference == pytest.approx(sum(pseudo) / 5)
    assert (row.low, row.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert row.p == pytest.approx(theirs.pvalue)


def test_p_values_are_corrected_over_what_is_compared(runs: dict[str, Path]) -> None:
    names = ["requests_served", "spend", "cold_share"]
    several = {row.metric: row for row in sim.compare(runs["a"], runs["b"], metrics=names).metrics}
    assert list(several) == [metric.name for metric in METRICS if metric.name in names]
    ordered = sorted(several.values(), key=lambda row: row.p or 0)
    assert ordered[0].p is not None and ordered[0].p_holm == pytest.approx(min(1, 3 * ordered[0].p))
    every = sim.compare(runs["a"], runs["b"])
    assert len(every.metrics) > 40
    least = min(every.metrics, key=lambda row: row.p if row.p is not None else 1)
    assert least.p is not None and least.p_holm == pytest.approx(min(1, len(every.metrics) * least.p))


def test_verdicts_are_of_corrected_p_values(runs: dict[str, Path]) -> None:
    """What would be found alone is not found among sixty, where three would be found by chance."""
    for metric, margin, alone, among in (
        ("spend", None, "different", "no difference found"),
        ("requests_arrived", 0.2, "equivalent", "undecided"),
    ):
        (row,) = sim.compare(runs["a"], runs["b"], metrics=[metric], equivalent=margin).metrics
        every = sim.compare(runs["a"], runs["b"], equivalent=margin).frame
        assert (row.verdict, every.loc[metric, "verdict"]) == (alone, among)
        assert row.p == every.loc[metric, "p"]


def test_unpaired_is_welchs(runs: dict[str, Path]) -> None:
    found = sim.compare(runs["a"], runs["fewer"], metrics=["requests_served"], unpaired=True)
    (row,) = found.metrics
    a, b = (load(runs[name]).metric("requests_served")["values"] for name in ("a", "fewer"))
    theirs = stats.ttest_ind(b, a, equal_var=False)
    assert row.p == pytest.approx(theirs.pvalue)
    assert (row.n_a, row.n_b, row.variance_ratio, found.paired) == (5, 3, None, False)


def test_what_cannot_be_measured_is_left_out_with_the_reason(runs: dict[str, Path]) -> None:
    found = sim.compare(runs["a"], runs["b"])
    names = {row.metric for row in found.metrics}
    assert names.isdisjoint(found.left_out) and names | set(found.left_out) == {m.name for m in METRICS}
    assert "latency_p99_pod_ms" in found.left_out
    with pytest.raises(
        BadInput, match=r"latency_p99_pod_ms: cannot be compared: it has no value in replication 0 of A"
    ):
        sim.compare(runs["a"], runs["b"], metrics=["spend", "latency_p99_pod_ms"])


def test_money_of_another_token_is_not_compared(runs: dict[str, Path], edited: Callable[..., Path]) -> None:
    found = sim.compare(runs["a"], edited(token="DAI"))
    assert found.left_out["spend"] == "is in USDC in A and in DAI in B"
    assert "requests_served" in {row.metric for row in found.metrics}


def test_the_frame_has_a_row_for_each_metric(runs: dict[str, Path]) -> None:
    found = sim.compare(load(runs["a"]), runs["b"], equivalent=0.02)
    frame = found.frame
    assert list(frame.index) == [row.metric for row in found.metrics]
    assert frame.loc["spend", "mean_b"] == found.metrics[list(frame.index).index("spend")].mean_b
    assert frame["p_holm"].dtype == frame["p_equivalent"].dtype == frame["variance_ratio"].dtype == "float64"
    assert sim.compare(runs["one"], runs["one_b"]).frame["low"].isna().all()


# --- verdicts and the exit status ---


def test_a_run_is_like_itself(runs: dict[str, Path]) -> None:
    result = command(runs["a"], runs["a"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "metrics are equal in every replication" in result.stdout
    assert command(runs["a"], runs["a"], "--equivalent", "1%").exit_code == 0


@pytest.mark.parametrize(
    ("metric", "margin", "verdict"),
    [
        ("replica_s_idle", None, "different"),
        ("requests_served", None, "no difference found"),
        ("replica_s_idle", "1%", "different"),
        ("replica_s_idle", "50%", "equivalent"),
        ("requests_served", "1%", "undecided"),
        ("requests_served", "0.5", "equivalent"),
        ("publishers", None, "different"),  # one more in each replication: certain
        ("publishers", "1/10", "different"),
        ("providers", "1%", "equivalent"),  # the same in each
        ("top_ups", "1%", "equivalent"),  # none in either: nothing to take a share of
    ],
)
def test_the_verdict_decides_the_exit_status(
    runs: dict[str, Path], metric: str, margin: str | None, verdict: str
) -> None:
    options = [] if margin is None else ["--equivalent", margin]
    result = command(runs["a"], runs["b"], "--metric", metric, *options, "--json")
    data = json.loads(result.stdout)
    assert data["metrics"][metric]["verdict"] == verdict
    passes = verdict in ("equivalent", "no difference found")
    assert (result.exit_code, data["failing"]) == ((0, []) if passes else (1, [metric]))
    said = "not shown equivalent" if margin else "found different"
    assert result.stderr == ("" if passes else f"1 of 1 compared {said}: {metric}\n")


def test_from_one_replication_nothing_is_tested(runs: dict[str, Path]) -> None:
    for options in ([], ["--equivalent", "50%"], ["--unpaired"]):
        result = command(runs["one"], runs["one_b"], "--metric", "spend", *options)
        assert result.exit_code == 2 and "too few: at least two replications" in result.stdout
        assert result.stderr == "too few: at least two replications of each; nothing was tested\n"
    (row,) = sim.compare(runs["one"], runs["one_b"], metrics=["spend"]).metrics
    assert row.difference == row.mean_b - row.mean_a != 0
    assert (row.low, row.p, row.p_holm, row.variance_ratio, row.verdict) == (
        None,
        None,
        None,
        None,
        "too few",
    )


def test_a_person_reads_a_table(runs: dict[str, Path]) -> None:
    result = command(runs["a"], runs["b"], "--equivalent", "50%")
    line = next(line for line in result.stdout.splitlines() if "replica_s_idle" in line)
    assert line.split() == [
        "replica_s_idle", "replica-s", "16,690", "20,077", "3,390", "±", "310", "+20.3%", "÷", "213",
        "<", "0.001", "<", "0.001", "equivalent",
    ]  # fmt: skip
    assert "Left out, for it is a ratio to nothing in A" in result.stdout
    assert "within 50 % of A's mean (TOST)" in result.stdout
    assert (
        line in command(runs["a"], runs["b"], "--equivalent", "50%", columns=60).stdout.splitlines()
    )  # uncut
    assert "providers  " not in result.stdout and "are equal in every replication" in result.stdout
    unpaired = command(runs["a"], runs["b"], "--unpaired").stdout
    assert "÷" not in unpaired and "these runs are pairs" in unpaired and "unpaired (Welch)" in unpaired


# --- what it refuses ---


def test_what_is_not_a_pair_is_refused_until_unpaired(
    runs: dict[str, Path], edited: Callable[..., Path]
) -> None:
    packages = load(runs["b"]).provenance["packages"]
    cases: dict[Path, str] = {
        runs["seeded"]: "seed 1 against 2",
        runs["fewer"]: "5 against 3 replications",
        edited(scenario="other"): "scenario example against other",
        edited(source={"commit": "f00d", "changed": False}): "commit: .* against f00d",
        edited(python="3.9.1"): r"python: 3\.\d+\.\d+ against 3\.9\.1",
        edited(packages={**packages, "numpy": "1.0"}): r"numpy: .* against 1\.0",
    }
    for other, why in cases.items():
        with pytest.raises(BadInput, match=rf"are no pairs: {why}\. Unpaired \(`--unpaired`\)"):
            sim.compare(runs["a"], other)
        assert command(runs["a"], other).exit_code == 2
        unpaired = sim.compare(runs["a"], other, unpaired=True)
        assert unpaired.metrics and not any("are pairs" in note for note in unpaired.notes)
    both = edited(seed=8, packages={**packages, "numpy": "1.0"})
    with pytest.raises(BadInput, match=r"seed 1 against 8; numpy: .* against 1\.0"):
        sim.compare(runs["a"], both)
    assert [change.key for change in sim.compare(runs["a"], both, unpaired=True).versions] == ["numpy"]
    assert sim.compare(runs["a"], edited(packages={**packages, "matplotlib": "1.0"})).paired


def test_code_with_changes_is_not_known_to_be_the_same(
    runs: dict[str, Path], edited: Callable[..., Path]
) -> None:
    dirty = edited(source={"commit": "f00d", "changed": True})
    note = "both ran code with changes that no commit holds: whether it was the same is not known"
    assert sim.compare(dirty, dirty).notes == (note,)
    clean = edited(source={"commit": "f00d", "changed": False})
    assert sim.compare(clean, clean).notes == ()
    with pytest.raises(BadInput, match="commit: f00d against f00d and changes"):
        sim.compare(clean, dirty)


def test_what_is_not_whole_is_refused(runs: dict[str, Path], edited: Callable[..., Path]) -> None:
    with pytest.raises(
        BadInput, match=r"was interrupted when 25\.0% of its time was reached; only whole runs"
    ):
        sim.compare(runs["a"], edited(interrupted=True, complete_share=0.25), unpaired=True)
    lost = edited()
    for part in lost.glob("tables/*/0003-*.parquet"):
        part.unlink()
    with pytest.raises(BadInput, match="has tables of 4 replications, and ran 5; some were lost"):
        sim.compare(runs["a"], lost)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "spen"], "spen: no metric of this name; did you mean 'spend'?"),
        (["--equivalent", "two"], "--equivalent: 'two' is not a share between 0 and 1"),
        (["--equivalent", "0%"], "equivalent: 0.0; allowed are shares above 0 and at most 1"),
    ],
)
def test_wrong_options_are_2(runs: dict[str, Path], options: list[str], words: str) -> None:
    result = command(runs["a"], runs["b"], *options)
    assert result.exit_code == 2 and result.stderr.startswith(words) and result.stdout == ""


def test_what_is_no_run_is_2(runs: dict[str, Path]) -> None:
    result = command(runs["a"], runs["a"] / "tables")
    assert result.exit_code == 2 and "is not a run's directory" in result.stderr


# --- the inputs that differ ---


def test_inputs_that_differ_are_listed_by_key() -> None:
    group = {"name": "careful", "count": 3, "scaling": {"idle": "60s"}, "client": None}
    other = {"name": "once", "count": 1}
    a = {"name": "x", "seed": 1, "publishers": [group, other], "faults": [{"at": "1h"}], "only_a": 1}
    b = {
        "name": "x", "seed": 1, "faults": [{"at": "2h"}, {"at": "3h"}],
        "publishers": [{**group, "scaling": {"idle": "600s"}, "client": {"timeout": "5s"}}, {**other, "name": "twice"}],
    }  # fmt: skip
    assert list(changes(a, a)) == []
    assert list(changes(a, b)) == [
        Change("publishers.careful.scaling.idle", "60s", "600s"),
        Change("publishers.careful.client", None, {"timeout": "5s"}),
        Change("publishers.once", other, ABSENT),
        Change("publishers.twice", ABSENT, {"name": "twice", "count": 1}),
        Change("faults.0.at", "1h", "2h"),
        Change("faults.1", ABSENT, {"at": "3h"}),
        Change("only_a", 1, ABSENT),
    ]
    swapped = {**a, "publishers": [other, group]}
    assert list(changes(a, swapped)) == [
        Change("publishers (order)", ["careful", "once"], ["once", "careful"])
    ]
    assert list(changes({"on": True}, {"on": 1})) == [Change("on", True, 1)]
    assert str(Change("seed", 1, ABSENT)) == "seed: 1 against (not there)"
    assert Change("seed", None, ABSENT).to_data() == {"key": "seed", "a": None}


def test_versions_that_differ_are_listed() -> None:
    a: dict[str, Any] = {
        "python": "3.11",
        "packages": {"numpy": "2"},
        "source": {"commit": None, "changed": None},
    }
    b = {**a, "packages": {"numpy": "2", "numba": "1"}}
    assert version_changes(a, a) == []
    assert version_changes(a, b) == [Change("numba", ABSENT, "1")]


# --- common random numbers ---


def test_common_random_numbers_are_worth_many_replications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On three policies: the variance of the paired difference is far below that of independent runs.

    Replication i of A and i + 1 of B are independent: what they give is measured beside it.
    """
    monkeypatch.setattr(
        "sim.report.write_report", lambda directory: directory
    )  # nobody looks at four reports
    path = tmp_path / "market.yaml"
    dear = provider(name="dear", prices={"cpu": "0.02 DAI/core-h"})
    pods = publisher(count=4, traffic={"poisson": "0.05/s"}, client={"timeout": "4s"})
    path.write_text(text(world(duration="20m", providers=[provider(), dear], publishers=[pods])))

    def run(name: str, *changed: str) -> sim.Results:
        return sim.run(path, changed, replications=6, threads=1, out=tmp_path / name)

    a = run("a")
    policies = {
        "idle": "publishers.pod.scaling.idle=10m",
        "kpa": "publishers.pod.scaling={policy: kpa, target_pending_requests: 2, max_replicas: 4}",
        "random": "publishers.pod.policies.selection=random",
    }
    for name, change in policies.items():
        b = run(name, change)
        found = sim.compare(a, b, metrics=["requests_served", "replica_s_busy"])
        assert all(input_.key.startswith("publishers.pod") for input_ in found.inputs)
        for row in found.metrics:
            values_a, values_b = (run.metric(row.metric)["values"] for run in (a, b))
            pairs = [y - x for x, y in zip(values_a, values_b, strict=True)]
            strangers = [y - x for x, y in zip(values_a, values_b[1:] + values_b[:1], strict=True)]
            assert any(pairs), f"{name} changes nothing in {row.metric}"
            assert row.variance_ratio is not None and row.variance_ratio > 50
            assert stats.tvar(strangers) / stats.tvar(pairs) > 50
