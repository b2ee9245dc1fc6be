"""`sim.run` and the command around it: replications, interrupts, broken invariants, directories, memory."""

from __future__ import annotations

import json
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

import sim
from cli import progress as bars
from cli.main import main
from protocol.errors import BadInput
from sim import replications
from sim.kernel import cache
from sim.kernel.plane import DataPlane
from sim.records.directory import table_hashes
from sim.simulation import Outcome, simulate
from tests.sim.worlds import Data, play, provider, publisher, text, world

HOUR_NS = 3600 * 10**9
DATA = world(duration="3h", publishers=[publisher(count=2)], output={"requests": 1, "sampling": "2m"})


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(data: Data, name: str = "scenario.yaml") -> Path:
    Path(name).write_text(text(data), encoding="utf-8")
    return Path(name)


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ---------------------------------------------------------------- what it does


def test_a_sweep_is_not_run_and_that_is_said() -> None:
    path = written({**DATA, "duration": "30m", "sweep": {"seed": [1, 2], "replications": [3]}})
    said = "the sweep is checked, not run (`trustedpods sweep` runs it): the scenario is run as the rest of it says; left out: seed (2 values), replications (1 values)"
    result = command("run", path, "--out", "here")
    assert result.exit_code == 0 and said in result.stderr
    assert sim.load("here").provenance["notes"] == {"sweep": said}
    assert command("run", path, "--out", "quiet", "--quiet").stderr == ""


def test_a_run_leaves_what_it_says() -> None:
    results = sim.run(written(DATA), ["publishers.pod.count=1", "duration=30m"], seed=7, out="here")
    assert results.directory == Path("here")
    for name in ("scenario.yaml", "provenance.json", "summary.json", "report.html", "tables"):
        assert (results.directory / name).exists()
    assert results.provenance["seed"] == 7 and results.provenance["complete_share"] == 1
    assert results.summary["interrupted"] is False
    assert len(results.tables["publishers"]) == 1
    # What it ran is what it kept: the same file gives the same tables.
    again = sim.run(results.directory / "scenario.yaml", out="again")
    assert table_hashes(again.directory) == table_hashes(results.directory) != {}


def test_without_a_directory_it_is_under_runs() -> None:
    results = sim.run(written(DATA), ["duration=10m"])
    assert results.directory.parts[:2] == ("runs", "small")
    assert Path("runs/latest").resolve() == results.directory.resolve()
    assert sim.load().directory.resolve() == results.directory.resolve()


def test_replications_are_independent_and_have_intervals() -> None:
    told: list[tuple[int, int, int]] = []
    results = sim.run(
        written(DATA), ["duration=40m"], replications=3, out="three", progress=lambda *at: told.append(at)
    )
    served = results.metric("requests_served")
    assert served["n"] == 3 and len(set(served["values"])) > 1
    assert served["low"] < served["mean"] < served["high"]
    assert served["mean"] == pytest.approx(sum(served["values"]) / 3)
    assert sorted(set(results.tables["events"]["replication"])) == [0, 1, 2]
    # The first of three is the first of one.
    alone = sim.run(written(DATA), ["duration=40m"], out="one")
    assert alone.metric("requests_served")["values"] == served["values"][:1]
    assert alone.metric("requests_served")["low"] is None
    done = [at for at, _, _ in told]
    assert done == sorted(done) and done[-1] == told[-1][1] == 3 * 2400 * 10**9
    requests = [count for _, _, count in told]
    assert requests == sorted(requests) and requests[-1] == sum(results.tables["publishers"]["arrivals"])


def test_a_person_is_told_that_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "cache"  # nothing is put there: each entry point has its place by now
    monkeypatch.setattr(cache, "_DIRECTORY", str(empty))
    told: list[str] = []
    sim.run(written(DATA), ["duration=4m"], notice=told.append)
    assert len(told) == 1 and "compiling" in told[0]
    assert "compiling" in command("run", written(DATA), "--set", "duration=4m").stderr
    for silent in ("--json", "--quiet"):
        assert not command("run", written(DATA), "--set", "duration=4m", silent).stderr
    with pytest.raises(BadInput):
        sim.run(written(DATA), ["duration=-1m"], notice=told.append)
    empty.mkdir(exist_ok=True)
    (empty / "streams._fill-76.py311.1.nbc").touch()  # somebody stopped it in the middle
    sim.run(written(DATA), ["duration=4m"], notice=told.append)
    assert len(told) == 2
    (empty / "engine._drive-202.py311.1.nbc").touch()
    sim.run(written(DATA), ["duration=4m"], notice=told.append)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"workers": 0}, "workers: 0; allowed are whole numbers of 1 and more"),
        ({"threads": 0}, "threads: 0; allowed are whole numbers of 1 and more"),
        ({"seed": -1}, "seed"),
        ({"replications": 0}, "replications"),
        ({"out": "full"}, "full: is not empty; name a new directory, or empty this one"),
        ({"path": "absent.yaml"}, "absent.yaml"),
    ],
)
def test_wrong_arguments_run_nothing(arguments: dict[str, Any], words: str) -> None:
    Path("full").mkdir()
    (Path("full") / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match=words):
        sim.run(**{"path": written(DATA), **arguments})
    assert not Path("runs").exists() and [p.name for p in Path("full").iterdir()] == ["note.txt"]


def test_an_empty_directory_may_be_named() -> None:
    Path("empty").mkdir()
    assert sim.run(written(DATA), ["duration=10m"], out="empty").directory == Path("empty")


# ---------------------------------------------------------------- interrupts


def interrupting(at_ns: int, how: str = "raise") -> Any:
    """A progress callback that interrupts at the first sample from an instant on."""
    pressed: list[int] = []

    def told(done_ns: int, total_ns: int, requests: int) -> None:
        if done_ns >= at_ns and not pressed:
            pressed.append(done_ns)
            if how == "raise":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    return told


def check_interrupted(results: Any, at_ns: int) -> None:
    assert results.summary["interrupted"] is True
    assert results.provenance["complete_share"] == pytest.approx(at_ns / (3 * HOUR_NS), abs=1e-9)
    (reached_ns,) = results.provenance["reached_ns"]
    for name, column in (("samples", "time_ns"), ("events", "time_ns"), ("requests", "end_ns")):
        instants = results.tables[name][column]
        assert reached_ns - 130 * 10**9 <= instants.max() <= reached_ns
    assert results.tables["publishers"]["arrivals"].sum() > 100
    assert all(law["residual"] == 0 for law in results.summary["conservation"])
    assert (results.directory / "report.html").is_file()


@pytest.mark.parametrize("how", ["raise", "press"])
def test_an_interrupt_leaves_readable_tables(how: str) -> None:
    at_ns = HOUR_NS * 3 // 2
    results = sim.run(written(DATA), out="half", progress=interrupting(at_ns, how))
    check_interrupted(results, at_ns)
    # Up to there it is the run that it would have been.
    whole = sim.run(written(DATA), out="whole")
    (reached_ns,) = results.provenance["reached_ns"]
    for name, column in (("events", "time_ns"), ("samples", "time_ns"), ("requests", "end_ns")):
        cut, full = results.tables[name], whole.tables[name]
        earlier = cut[cut[column] < reached_ns].reset_index(drop=True)
        assert len(earlier) > 10
        assert earlier.astype(str).equals(full[full[column] < reached_ns].reset_index(drop=True).astype(str))


def test_an_interrupt_ends_the_replications_too() -> None:
    results = sim.run(
        written(DATA), ["duration=30m"], replications=3, out="some", progress=interrupting(46 * 60 * 10**9)
    )
    assert results.summary["interrupted"] is True
    assert results.provenance["complete_share"] == pytest.approx(46 / 90)
    assert len(results.provenance["reached_ns"]) == 2
    assert sorted(set(results.tables["publishers"]["replication"])) == [0, 1]


@pytest.mark.parametrize("how", ["raise", "press"])
def test_interrupted_workers_end_too(how: str) -> None:
    """Pressed when the first replication is over: those under way end between two events, the last never begins."""
    results = sim.run(
        written(DATA), ["duration=8h"], replications=5, workers=2, out="pool", progress=interrupting(1, how)
    )
    assert results.summary["interrupted"] is True
    start_ns, reached = results.provenance["start_ns"], results.provenance["reached_ns"]
    assert len(reached) == 5 and reached[0] == start_ns + 8 * HOUR_NS and reached[4] == start_ns
    begun = {number for number, at_ns in enumerate(reached) if at_ns > start_ns}
    # One may end between its world's making and its first event: it has its rows, and got nowhere.
    assert begun <= set(results.tables["publishers"]["replication"]) <= {0, 1, 2, 3}
    assert all(law["residual"] == 0 for law in results.summary["conservation"])


def test_pressed_twice_it_ends_at_once() -> None:
    def told(done_ns: int, total_ns: int, requests: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    words: list[str] = []
    results = sim.run(written(DATA), out="twice", progress=told, notice=words.append)
    assert results.provenance["complete_share"] == 0 and results.summary["interrupted"] is True
    assert len([text for text in words if "again: at once" in text]) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_command_tells_of_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    @contextmanager
    def bar(*, quiet: bool) -> Any:
        yield interrupting(HOUR_NS * 3 // 2)

    monkeypatch.setattr(bars, "progress_bar", bar)
    result = command("run", written(DATA), "--out", "half")
    assert result.exit_code == 130
    assert "interrupted: 50.0% of the virtual time was reached; the tables are in half" in result.stderr
    check_interrupted(sim.load("half"), HOUR_NS * 3 // 2)


# ---------------------------------------------------------------- bugs of ours


def _bill_what_nobody_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DataPlane.billed_ms

    def billed_ms(self: DataPlane, now_ns: int) -> list[int]:
        return [ms + ms // 7 for ms in honest(self, now_ns)]

    monkeypatch.setattr(DataPlane, "billed_ms", billed_ms)


def test_a_broken_invariant_keeps_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    _bill_what_nobody_ran(monkeypatch)
    with pytest.raises(sim.InvariantBroken) as broken:
        sim.run(written(DATA), ["duration=20m"], out="broken")
    bug = broken.value
    assert "replica time billed = replica time run" in str(bug) and "broken" in str(bug)
    assert len(bug.results.tables["deployments"]) == 2
    kept = json.loads((bug.results.directory / "violations.json").read_text())
    assert kept["violations"] == list(bug.violations)


def test_the_command_exits_with_9(monkeypatch: pytest.MonkeyPatch) -> None:
    _bill_what_nobody_ran(monkeypatch)
    result = command("run", written(DATA), "--set", "duration=20m", "--out", "broken")
    assert result.exit_code == 9
    assert "an invariant of the simulation broke (a bug); the tables are in broken" in result.stderr
    assert sim.load("broken").summary["interrupted"] is False


def test_the_command_refuses_a_full_directory() -> None:
    Path("full").mkdir()
    (Path("full") / "note.txt").write_text("mine")
    result = command("run", written(DATA), "--out", "full")
    assert (
        result.exit_code == 2 and "full: is not empty" in result.stderr and "Traceback" not in result.stderr
    )


def test_a_violation_of_any_replication_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(scenario: Any, replication: int, *rest: Any, **more: Any) -> Outcome:
        outcome = simulate(scenario, replication, *rest, **more)
        wrong = ("the second went wrong",) if replication == 1 else ()
        return Outcome(outcome.reached_ns, wrong, interrupted=False)

    monkeypatch.setattr(replications, "simulate", breaking)
    with pytest.raises(sim.InvariantBroken, match="the second went wrong"):
        sim.run(written(DATA), ["duration=10m"], replications=2, out="two")


# ---------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_run() -> None:
    """Rows leave hour by hour: what is held at the end is what was held when a sixth of it was over."""
    data = world(
        duration="18h",
        providers=[provider(policies={"claim": {"use": "interval", "with": {"every": "2h"}}})],
        publishers=[publisher(traffic={"poisson": "3/s"}, slots=20, wallet={"payment": "100 DAI"})],
        output={"requests": 1, "sampling": "10m"},
    )
    play({**data, "duration": "10m"}, Path("warm"))
    held: list[tuple[int, int]] = []
    before = pa.total_allocated_bytes()

    def look(done_ns: int, requests: int) -> None:
        held.append((done_ns, tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before))

    tracemalloc.start()
    run = play(data, Path("long"), progress=look)
    tracemalloc.stop()
    rows = sum(r["served"] + r["failed"] for r in run.rows("publishers"))
    assert rows > 180_000
    early = max(size for done_ns, size in held if 3 * HOUR_NS < done_ns <= 6 * HOUR_NS)
    late = max(size for done_ns, size in held if done_ns > 15 * HOUR_NS)
    all_of_it = rows * 60  # bytes of the fixed columns of a row in `requests`, at the least
    assert late - early < all_of_it // 10, (
        f"{early} held by hour 6, {late} at the end; all would be {all_of_it}"
    )
