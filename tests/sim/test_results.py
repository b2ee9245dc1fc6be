"""A finished run as data frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from protocol.errors import BadInput
from sim.records.schema import TABLES
from sim.results import load
from tests.sim.example_run import START_NS, write_example


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_example(root, pods=20, providers=3, hours=2, replications=2)
    return root


def test_a_run_loads_with_its_tables_as_data_frames(root: Path) -> None:
    results = load(root / "latest")
    assert results.scenario == {"name": "example", "seed": 1, "duration": "2h"}
    assert results.provenance["token"] == "USDC"
    assert list(results.tables) == list(TABLES)
    assert len(results.tables) == len(TABLES)
    for name in results.tables:
        expected = ["replication", *(column.name for column in TABLES[name].columns)]
        assert list(results.tables[name].columns) == expected
    assert results.tables["publishers"]["replication"].tolist() == [0] * 20 + [1] * 20
    assert "example, seed 1, 2 replication(s)" in repr(results)


def test_each_table_is_read_once_and_when_it_is_asked_for(root: Path) -> None:
    results = load(root / "latest")
    assert results.tables["claims"] is results.tables["claims"]


def test_money_is_exact_and_instants_that_may_be_missing_stay_integers(root: Path) -> None:
    results = load(root / "latest")
    channels = results.tables["channels"]
    assert all(type(amount) is int for amount in channels["invested"])
    publishers = results.tables["publishers"]
    put_in = sum(publishers["deposited"]) + sum(publishers["top_ups"])
    assert sum(channels["invested"]) == put_in > 2**53
    assert channels["exhausted_ns"].dtype == pd.Int64Dtype()
    ended = channels["exhausted_ns"].dropna()
    assert 0 < len(ended) < len(channels)
    assert (ended > START_NS).all()
    assert str(channels["pod"].dtype) == "category"


def test_tokens_and_hours_are_for_drawing(root: Path) -> None:
    results = load(root / "latest")
    amounts = pd.Series([10**18, 5 * 10**17, None], index=[4, 5, 6], name="owed", dtype=object)
    tokens = results.tokens(amounts)
    assert tokens[:5].tolist() == [1.0, 0.5, pytest.approx(float("nan"), nan_ok=True)]
    assert (tokens.name, list(tokens.index)) == ("owed", [4, 5, 6])
    hours = results.when(pd.Series([START_NS + 5_400 * 10**9, None], dtype="Int64"))
    assert hours[0] == 1.5
    assert pd.isna(hours[1])


def test_a_metric_by_name(root: Path) -> None:
    results = load(root / "latest")
    assert results.metric("requests_served")["n"] == 2
    with pytest.raises(
        BadInput, match=r"requests_serve: no metric of this name; did you mean requests_served\?"
    ):
        results.metric("requests_serve")
    with pytest.raises(BadInput, match=r"chanels: no table of this name; did you mean channels\?"):
        results.tables["chanels"]


def test_what_is_not_a_run_says_why_and_what_is_near(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BadInput, match=r"runs/latest: there is no such directory; `trustedpods run SCENARIO` makes"
    ):
        load()
    with pytest.raises(BadInput, match=r"is not a run's directory: .*; runs near it: .*example/"):
        load(root)
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "scenario.yaml").write_text("name: x\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"killed before it wrote provenance\.json"):
        load(killed)
    with pytest.raises(BadInput, match="is a file"):
        load(killed / "scenario.yaml")
    run = write_example(tmp_path / "runs", pods=5, providers=2, hours=1)
    with pytest.raises(BadInput, match=f"runs near it: runs/example/{run.name}"):
        load("runs/example/20260101T")
    assert load().directory == Path("runs/latest")
    (run / "summary.json").unlink()
    with pytest.raises(BadInput, match="stopped before its summary was written"):
        _ = load(run).summary
