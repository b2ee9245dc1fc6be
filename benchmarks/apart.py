"""A measurement in a process of its own: nothing that was measured before it is in its memory or its way."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Spent(Generic[Found]):
    """What a call gave and what it took.

    Attributes:
        found: what it returned.
        wall_s: from call to return [s].
        processor_s: processor time of all its threads [s].
        peak_mib: the greatest resident set of the process so far, imports included [MiB].
    """

    found: Found
    wall_s: float
    processor_s: float
    peak_mib: float


def spend(call: Callable[..., Found], *given: Any) -> Spent[Found]:
    """Call it here and say what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = call(*given)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Spent(found, wall, processor, memory_mib("VmHWM"))


def apart(call: Callable[..., Found], *given: Any) -> Spent[Found]:
    """Call it in a new process, which ends; `call` and `given` have to be picklable."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(spend, call, *given).result()


def warmed(call: Callable[[float, int], Found], horizon_s: float, seed: int) -> Spent[Found]:
    """What a run takes whose imports and compiled code are there already, from a short one before it."""
    call(1_000.0, seed)
    return spend(call, horizon_s, seed)


def memory_mib(what: str) -> float:
    """A figure of this process's memory [MiB]: `VmRSS` now, `VmHWM` at its greatest.

    Not `getrusage`: what that calls the greatest goes over from parent to child.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
    return kib / 1024
