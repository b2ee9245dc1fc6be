"""Sweeps on Dask through the real command: one process or two, killed and started again, stopped, on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from sim.experiments.tables import POINTS, RESULTS, SUMMARY
from tests.sim.worlds import publisher, text, world

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
IDLE = "publishers.pod.scaling.idle"
DATA = world(
    duration="4h",
    replications=2,
    publishers=[publisher(count=4, traffic={"poisson": "0.5/s"})],
    sweep={"lhs": {"points": 5, "over": {IDLE: ["10s", "10m", "log"], "providers.host.count": [1, 3]}}},
)
EVALUATIONS = 10
WAIT_S = 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sweeps")
    (made / "scenario.yaml").write_text(text(DATA), encoding="utf-8")
    return made


def begin(folder: Path, *arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal would begin it."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "sweep", str(folder / "scenario.yaml"), *map(str, arguments)],
        cwd=cwd or folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:."},  # policies of one's own are in the working folder
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def swept(folder: Path, *arguments: object, cwd: Path | None = None) -> None:
    process = begin(folder, *arguments, cwd=cwd)
    _, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, told
    assert told == ""


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in (POINTS, RESULTS, SUMMARY)}


def kept(folder: Path) -> dict[str, int]:
    """Evaluations that are kept, and when each was written."""
    found = (folder / "sweeps/.cache").rglob("*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def by_one(folder: Path) -> dict[str, bytes]:
    """The tables as one worker writes them."""
    own = folder / "one"
    own.mkdir()
    swept(folder, "--workers", 1, "--out", "out", "--quiet", cwd=own)
    assert len(kept(own)) == EVALUATIONS
    return bytes_of(own / "out")


def test_two_workers_killed_in_the_middle_and_started_again(folder: Path, by_one: dict[str, bytes]) -> None:
    own = folder / "two"
    own.mkdir()
    process = begin(folder, "--workers", 2, "--out", "out", "--quiet", cwd=own)
    wait_until(lambda: len(kept(own)) >= 2, "nothing was evaluated")
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(family) >= 2
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive, "workers outlived the sweep"
    before = kept(own)
    assert 2 <= len(before) < EVALUATIONS, "it was killed too late to show anything"
    assert not (own / "out").exists()

    swept(folder, "--workers", 2, "--out", "out", "--quiet", cwd=own)
    after = kept(own)
    assert len(after) == EVALUATIONS and before.items() <= after.items()
    said = json.loads((own / "out/provenance.json").read_text(encoding="utf-8"))
    assert said["evaluations"]["kept from before"] == len(before)
    assert bytes_of(own / "out") == by_one


def test_an_interrupt_keeps_what_is_evaluated_and_says_so(folder: Path) -> None:
    own = folder / "stopped"
    own.mkdir()
    process = begin(folder, "--workers", 2, "--out", "out", cwd=own)
    wait_until(lambda: len(kept(own)) >= 2, "nothing was evaluated")
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    there = len(kept(own))
    assert f"interrupted: {there} of {EVALUATIONS} evaluations are there and kept" in told
    assert "Traceback" not in told
    said = json.loads((own / "out/provenance.json").read_text(encoding="utf-8"))
    assert said["interrupted"] and said["evaluations"]["there"] == there < EVALUATIONS


POLICIES = """
import os
from protocol.policies.admission import Standard

class Raises(Standard):
    def admit(self, asked):
        raise ValueError("no idea")

class Dies(Standard):
    def admit(self, asked):
        os._exit(3)
"""


def test_what_raises_and_what_kills_its_worker_is_named_and_the_others_go_on(folder: Path) -> None:
    own = folder / "failing"
    own.mkdir()
    (own / "mine.py").write_text(POLICIES, encoding="utf-8")
    key = "providers.host.policies.admission"
    points = f"sweep={{{key}: [mine:Dies, mine:Raises, standard]}}"
    process = begin(folder, "--workers", 2, "--set", points, "--replications", 1, "--out", "out", cwd=own)
    printed, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 9, told
    first, dies, raises = told.splitlines()
    assert first == "2 of 3 evaluations failed; the others are there"
    assert (
        dies
        == f"point 0 ({key}=mine:Dies), replication 0: every worker that tried it died; too little memory is the usual reason"
    )
    assert raises.startswith(
        f"point 1 ({key}=mine:Raises), replication 0: admission policy mine:Raises of host-"
    )
    assert "it raised ValueError: no idea" in raises and "after the start]" in raises
    assert "mine:Raises" in printed and len(kept(own)) == 1


def test_a_script_without_its_guard_is_told_so(folder: Path) -> None:
    own = folder / "script"
    own.mkdir()
    (own / "ask.py").write_text('import sim\nsim.sweep("../scenario.yaml", workers=1)\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "ask.py"], cwd=own, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith('call it under `if __name__ == "__main__":`.')


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own; one of them has two threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:

        def start(name: str, module: str, *arguments: object) -> None:
            log = stack.enter_context((tmp_path / f"{name}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", "address.json",
                 "--no-dashboard", *map(str, arguments)],
                cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", 0)
        file = tmp_path / "address.json"
        wait_until(lambda: file.exists() and file.stat().st_size > 0, "no scheduler")
        for threads in (1, 2):
            start(f"worker-{threads}", "dask_worker", "--nthreads", threads, "--no-nanny")
        yield str(json.loads(file.read_text(encoding="utf-8"))["address"])


def test_a_cluster_of_separate_processes_gives_the_same_bytes(
    folder: Path, by_one: dict[str, bytes], cluster: str
) -> None:
    own = folder / "cluster"
    own.mkdir()
    swept(folder, "--scheduler", cluster, "--out", "out", "--quiet", cwd=own)
    assert bytes_of(own / "out") == by_one
    assert json.loads((own / "out/provenance.json").read_text(encoding="utf-8"))["where"] == cluster
