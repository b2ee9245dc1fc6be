"""How many replications a run makes, in pairs or not, and what is left out of its start: on the simulator itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import sim
from cli.main import main
from protocol.errors import BadInput
from sim.estimates import estimate
from tests.sim.worlds import provider, publisher, text, world

DATA = world(
    duration="20m",
    providers=[provider()],
    publishers=[publisher(traffic={"poisson": "1/s"}, wallet={"payment": "100 DAI"})],
    output={"requests": 0, "sampling": "20s"},
)
UNTIL = "until={metric: requests_arrived, half_width: 2%, min: 4, max: 40}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_text(text(DATA), encoding="utf-8")


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, list(map(str, args)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_same_replications_whatever_the_workers() -> None:
    alone = sim.run("scenario.yaml", [UNTIL], out="alone")
    many = sim.run("scenario.yaml", [UNTIL], workers=3, threads=1, out="many")
    found = alone.provenance["precision"]
    count = found["replications"]
    assert 4 < count < 40 and found["reached"] and found == many.provenance["precision"]
    assert alone.provenance["tables"] == many.provenance["tables"]
    entry = alone.metric("requests_arrived")
    assert entry["n"] == alone.provenance["replications"] == count
    fixed = sim.run("scenario.yaml", [UNTIL], replications=count, out="fixed")  # instead of `until`
    assert fixed.provenance["tables"] == alone.provenance["tables"]
    before = estimate(entry["values"][:-1])
    assert before.high is not None and before.mean is not None
    assert before.high - before.mean > 0.02 * before.mean  # one fewer was not enough


def test_a_half_width_that_is_not_reached_ends_with_its_own_status_and_keeps_the_results() -> None:
    result = command(
        "run", "scenario.yaml", "--set", UNTIL.replace("2%", "0.5%").replace("40", "5"), "--out", "short"
    )
    assert result.exit_code == 3
    assert "0.5 % of the mean of requests_arrived was not reached: 5 replications gave" in result.stderr
    assert "are needed" in result.stderr and "short" in result.stderr
    assert json.loads(Path("short/summary.json").read_text())["replications"] == 5
    missing = "until={metric: latency_p99_ms, half_width: 1%, min: 2, max: 3}"
    result = command("run", "scenario.yaml", "--set", missing, "--out", "nothing")
    assert result.exit_code == 3 and "it has no value in replication 0" in result.stderr


def test_antithetic_pairs_narrow_what_falls_with_every_draw() -> None:
    """Gaps are -log(u), so requests that arrive rise with every u: the two of a pair are on two sides of the mean."""
    plain = sim.run("scenario.yaml", replications=24, out="plain")
    pairs = sim.run("scenario.yaml", ["antithetic=true"], replications=24, out="pairs")
    one, other = plain.metric("requests_arrived"), pairs.metric("requests_arrived")
    assert (one["n"], other["n"]) == (24, 12)
    assert other["values"][0] == one["values"][0] and other["values"][1] != one["values"][1]
    values = np.array(other["values"]).reshape(12, 2)
    assert np.corrcoef(values.T)[0, 1] < -0.4
    pair, two = values.mean(axis=1).var(ddof=1), np.var(one["values"], ddof=1) / 2
    assert pair < 0.5 * two  # so many pairs tell as much as twice as many independent ones, or more
    assert not any(law["residual"] for law in pairs.summary["conservation"])
    compared = sim.compare("pairs", "pairs")
    assert {row.n_a for row in compared.metrics} == {12}
    with pytest.raises(BadInput, match="antithetic replications against independent ones"):
        sim.compare("plain", "pairs")


def test_a_warm_up_is_left_out_of_what_is_steady_and_of_nothing_else() -> None:
    whole = sim.run("scenario.yaml", replications=3, out="whole")
    late = sim.run("scenario.yaml", ["warm_up=5m"], replications=3, out="late")
    auto = sim.run("scenario.yaml", ["warm_up=auto"], replications=3, out="auto")
    steady = {name for name, entry in whole.summary["metrics"].items() if entry["kind"] == "steady-state"}
    for name, entry in whole.summary["metrics"].items():
        if name not in steady:
            assert entry == late.metric(name) == auto.metric(name)
    samples = whole.tables["samples"]
    instants = samples[(samples["replication"] == 0) & (samples["provider"] != "")]
    replicas = instants[[c for c in instants if str(c).startswith("replicas_")]].sum(axis=1)
    at = instants["time_ns"] - whole.provenance["start_ns"]
    assert whole.metric("replicas_at_once")["values"][0] == pytest.approx(replicas.mean())
    assert late.metric("replicas_at_once")["values"][0] == pytest.approx(replicas[at > 300e9].mean())
    found = auto.provenance["warm_up"]
    assert found["asked"] == "auto" and set(found["cuts_ns"]) | set(found["unsettled"]) == steady
    for name in found["cuts_ns"]:
        assert auto.metric(name)["n"] == 3
    assert "Steady-state figures leave out" in command("show", "late").stdout
    notes = sim.compare("whole", "late").notes
    assert any("warm-ups differ" in note for note in notes)
    with pytest.raises(BadInput, match="nothing would be left"):
        sim.run("scenario.yaml", ["warm_up=20m"])
    with pytest.raises(BadInput, match="auto needs 50 instants"):
        sim.run("scenario.yaml", ["warm_up=auto", "output.sampling=1m"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("until={metric: requests_servd, half_width: 5%}", "no metric of this name; did you mean"),
        ("until={metric: requests_served, half_width: 0%}", "least allowed"),
        ("until={metric: requests_served, half_width: 5%, min: 9, max: 4}", r"max \(4\) must not be less than min"),
        ("until={metric: requests_served, half_width: 5%, min: 1}", "until.min"),
        ("warm_up=soon", "none, auto, or a duration"),
    ],
)  # fmt: skip
def test_what_is_said_wrongly(change: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sim.run("scenario.yaml", [change])


def test_pairs_are_whole_and_a_number_is_said_once() -> None:
    with pytest.raises(BadInput, match="3 is odd; antithetic replications are pairs"):
        sim.run("scenario.yaml", ["antithetic=true"], replications=3)
    with pytest.raises(BadInput, match="9 is odd"):
        sim.run("scenario.yaml", ["antithetic=true", UNTIL.replace("40", "9")])
    with pytest.raises(BadInput, match="leave one of the two out"):
        sim.run("scenario.yaml", ["replications=3", UNTIL])
