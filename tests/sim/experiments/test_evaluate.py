from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sim
from protocol.errors import BadInput
from sim.estimates import single
from sim.experiments import evaluate as module
from sim.experiments.evaluate import (
    BrokenReplication,
    Evaluation,
    Store,
    code_version,
    essential,
    evaluate,
    fingerprint,
    key_of,
    measure,
)
from sim.metrics import METRICS
from sim.scenario import Scenario, load, loads, resolved
from sim.simulation import simulate
from tests.sim.worlds import publisher, text, world

DATA = world(duration="20m", output={"requests": 1}, publishers=[publisher(traffic={"poisson": "0.5/s"})])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_text(text(DATA), encoding="utf-8")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Scenario, int]]:
    """What was really run."""
    ran: list[tuple[Scenario, int]] = []

    def measured(scenario: Scenario, replication: int) -> Evaluation:
        ran.append((scenario, replication))
        return measure(scenario, replication)

    monkeypatch.setattr(module, "measure", measured)
    return ran


def test_it_is_what_a_run_measures() -> None:
    results = sim.run("scenario.yaml", replications=3, out="run")
    for replication in (2, 0):  # in any order, without the others
        found = evaluate("scenario.yaml", replication=replication)
        assert list(found) == [metric.name for metric in METRICS]
        assert {name: single(value) for name, value in found.items()} == {
            name: entry["values"][replication] for name, entry in results.summary["metrics"].items()
        }
        ratios = {metric.name for metric in METRICS if metric.parts and found[metric.name] is not None}
        assert "served_share" in ratios
        assert {name for name, value in found.items() if isinstance(value, tuple)} == ratios


def test_it_is_run_once_and_the_same_whatever_ran_before(runs: list[Any]) -> None:
    first = evaluate("scenario.yaml", ["seed=5"], 1)
    assert evaluate("scenario.yaml", {"seed": 5}, 1) == first and len(runs) == 1
    assert evaluate(load("scenario.yaml"), {"seed": 5}, 1) == first and len(runs) == 1
    other = evaluate("scenario.yaml", ["seed=6"], 1)
    assert other != first and len(runs) == 2
    assert evaluate("scenario.yaml", ["seed=5"], 1, cache=None) == first and len(runs) == 3
    assert evaluate("scenario.yaml", ["seed=5"], 1, cache="elsewhere") == first and len(runs) == 4
    assert len(list(Path("sweeps/.cache").rglob("*.json"))) == 2


def test_each_thing_that_decides_it_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("times.csv").write_text("seconds\n1\n2\n", encoding="utf-8")
    Path("mine.py").write_text(
        "from protocol.policies.on_loss import Redeploy\nclass Mine(Redeploy): pass\n", encoding="utf-8"
    )
    Path("liar.py").write_text(
        "from protocol.publisher import PublisherClient\nclass Liar(PublisherClient): pass\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    more = [
        "publishers.0.service.empirical=times.csv",
        "publishers.0.policies.on_loss=mine:Mine",
        "publishers.0.behaviour=liar:Liar",
    ]
    data = {**DATA, "publishers": [{**DATA["publishers"][0], "service": {"empirical": "times.csv"}}]}
    Path("scenario.yaml").write_text(text(data), encoding="utf-8")

    def key(*overrides: str, replication: int = 0) -> str:
        return key_of(fingerprint(essential(load("scenario.yaml", [*more[1:], *overrides]))), replication)

    def with_file(path: str, content: str) -> Callable[[], str]:
        def changed() -> str:
            before = Path(path).read_text(encoding="utf-8")
            Path(path).write_text(content, encoding="utf-8")
            try:
                return key()
            finally:
                Path(path).write_text(before, encoding="utf-8")

        return changed

    def with_code() -> str:
        with monkeypatch.context() as patch:
            patch.setattr(module, "code_version", lambda: "other")
            return key()

    same = key()
    assert key("about=words", "replications=7", "output.requests=0", "sweep={seed: [1, 2]}") == same == key()
    others = [
        key(replication=1),
        key("seed=2"),
        key("duration=21m"),
        key("publishers.0.scaling.idle=61s"),
        with_file("times.csv", "seconds\n1\n3\n")(),
        with_file("liar.py", Path("liar.py").read_text(encoding="utf-8") + "# tells another lie\n")(),
        with_file("mine.py", Path("mine.py").read_text(encoding="utf-8") + "# other\n")(),
        with_code(),
    ]
    assert len({same, *others}) == 1 + len(others)
    assert key() == same


def test_the_code_is_all_that_decides_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in module.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "sim" / "a.py").write_text("1", encoding="utf-8")
    (tmp_path / "contracts" / "gas.json").write_text("1", encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def version() -> str:
        return code_version.__wrapped__()

    first = version()
    (tmp_path / "sim" / "notes.txt").write_text("words", encoding="utf-8")
    assert version() == first
    (tmp_path / "contracts" / "gas.json").write_text("2", encoding="utf-8")
    second = version()
    (tmp_path / "sim" / "a.py").write_text("2", encoding="utf-8")
    third = version()
    monkeypatch.setattr(module, "versions", lambda: {"python": "3.11.0", "packages": {"numpy": "1"}})
    assert len({first, second, third, version()}) == 4


def test_what_is_kept_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(Path("kept"))
    assert store.get("ab" * 32) is None
    whole = Evaluation(
        {metric.name: (1.0, 3.0) if metric.kind == "ratio" else 0.1 for metric in METRICS}, ("w",)
    )
    store.put("ab" * 32, whole)
    assert store.get("ab" * 32) == whole
    path = store.path("ab" * 32)
    said = path.read_text(encoding="utf-8")
    for broken in ("", said[: len(said) // 2], "[]", '{"metrics": {}, "warnings": []}', '{"metrics": 3}'):
        path.write_text(broken, encoding="utf-8")
        assert store.get("ab" * 32) is None, broken
    path.unlink()

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store.put("ab" * 32, whole)
    assert store.get("ab" * 32) is None and not list(Path("kept").rglob("*.json"))
    Path("file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match=r"file/ab/.*\.json: an evaluation cannot be kept: Not a directory"):
        Store(Path("file")).put("ab" * 32, whole)


def test_a_stopped_or_broken_replication_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    real = simulate

    def broken(*args: Any) -> Any:
        return real(*args).__class__(0, ("money was made",), False)

    with monkeypatch.context() as patch:
        patch.setattr(module, "simulate", broken)
        with pytest.raises(BrokenReplication, match="money was made"):
            evaluate("scenario.yaml")
        patch.setattr(module, "simulate", lambda *args: real(*args).__class__(0, (), True))
        with pytest.raises(KeyboardInterrupt):
            evaluate("scenario.yaml")
    assert not Path("sweeps").exists()
    monkeypatch.setattr(module, "conservation", lambda *_: [{"law": "a = b", "left": 1, "right": 2, "unit": "wei", "residual": -1}])  # fmt: skip
    with pytest.raises(BrokenReplication, match="a = b: 1 and 2 wei"):
        evaluate("scenario.yaml")


def test_nothing_is_left_but_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", "scratch")
    evaluate("scenario.yaml")
    assert list(Path("scratch").iterdir()) == []
    (kept,) = [path for path in Path("sweeps").rglob("*") if path.is_file()]
    assert json.loads(kept.read_text(encoding="utf-8"))["warnings"] == []


@pytest.mark.parametrize("replication", [-1, 1.0, True, "0"])
def test_what_is_no_replication(replication: Any) -> None:
    with pytest.raises(BadInput, match="allowed are whole numbers of 0 and more"):
        evaluate("scenario.yaml", replication=replication)


def test_wrong_overrides_are_told_as_everywhere() -> None:
    with pytest.raises(BadInput, match="did you mean 'seed'"):
        evaluate("scenario.yaml", {"sed": 3})


def test_a_worker_is_given_what_it_reads_back() -> None:
    scenario = essential(load("scenario.yaml"))
    again = essential(loads(resolved(scenario)))
    assert again == scenario and fingerprint(again) == fingerprint(scenario)
