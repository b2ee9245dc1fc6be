"""Section `startup`: what a person waits for before anything is simulated. Wall time of whole commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.entries import Entry, Peer, Size, rounded

ROOT: Final = Path(__file__).parents[1]
COMMAND: Final = (sys.executable, "-m", "cli")
"""`trustedpods`, of these sources."""


def wall_s(command: Sequence[str], where: Path = ROOT, cache: Path | None = None) -> float:
    """How long a command takes, which has to succeed [s]; with a directory for compiled code of its own, or the user's.

    Python keeps the bytecode of the sources, as it does unless it is told not to: without, imports take half as long again.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if cache is not None:
        environment["TRUSTED_PODS_CACHE"] = str(cache)
    began = time.perf_counter()
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took_s


def best_s(times: int, *command: str) -> float:
    """The least of several [s]."""
    best = rounded(min(wall_s(command) for _ in range(times)))
    print(f"    {' '.join(command[-2:])}: {best} s", flush=True)
    return best


def prepare() -> None:
    """Run a small scenario, so that nothing is compiled while something is measured."""
    with tempfile.TemporaryDirectory() as folder:
        wall_s([*COMMAND, "run", str(small(Path(folder))), "--quiet", "--out", "run"], Path(folder))


def small(here: Path) -> Path:
    """A small scenario: the one that `trustedpods new` writes."""
    wall_s([*COMMAND, "new", "small"], here)
    return here / "small" / "scenario.yaml"


def measure(size: Size) -> Iterator[Entry]:
    """The command's help, a check, the first run of all, and the demonstration."""
    quick = size is Size.QUICK
    times = 2 if quick else 5
    yield Entry(
        "help", "`trustedpods --help`", best_s(times, *COMMAND, "--help"), "s", note=f"wall, best of {times}"
    )
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        scenario = str(small(here))
        checked = best_s(times, *COMMAND, "validate", scenario)
        yield Entry(
            "validate",
            "`trustedpods validate`, of what `new` wrote",
            checked,
            "s",
            note=f"wall, best of {times}",
        )
        if not quick:
            run = [*COMMAND, "run", scenario, "--quiet", "--out"]
            first = rounded(wall_s([*run, "first"], here, here / "cache"))
            again = rounded(wall_s([*run, "again"], here, here / "cache"))
            print(f"    first run {first} s, then {again} s", flush=True)
            yield Entry(
                "first-run",
                "the first run of all, which compiles the data plane",
                first,
                "s",
                (Peer("the same run again", again),),
                note="wall, once, of what `new` wrote; an empty cache",
            )
    # -o: what `make setup` installed is there, or this would not run.
    demo = best_s(1 if quick else 2, "make", "-o", ".venv/.base", "demo")
    yield Entry(
        "demo",
        "`make demo`: azure-marketplace, 3,037,902 requests, everything compiled",
        demo,
        "s",
        note=f"wall, best of {1 if quick else 2}",
    )
