"""Section `peers`: requests per second of processor time, ours and the peers', by turns; and who may be compared.

Each run is in a process of its own and has a seed of its own; the best of the rounds counts. What a run says of the
model (the share of cold starts, or the mean wait) is held to the known value within the sampling error of the peer's
own runs: a model that gives another answer is listed without a ratio, however fast it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks import peers, workloads
from benchmarks.apart import apart, warmed
from benchmarks.entries import Entry, Peer, Size, rounded
from benchmarks.machine import versioned
from benchmarks.task import BATCHES, RATE, Done
from sim.kernel.plane import DataPlane
from sim.reference.plane import ReferencePlane

P_COLD: Final = 0.0013347
P_COLD_ERROR: Final = 1e-5 / 1.96
"""Known share of cold starts and its standard error: 30 seeds of 1e6 s (docs/validation.md)."""
WAIT_S: Final = 0.11438259
"""Mean wait of M/M/4 at 0.9/s and 1.991 s (Erlang C)."""
SIGMAS: Final = 4.0


@dataclass
class Runner:
    """Something to be measured.

    Args:
        name: for the reader; {} is its version.
        run: (horizon [s], seed) to what was done.
        horizon_s: how long it can be waited for.
        package: what has to be installed; empty: nothing.
    """

    name: str
    run: Callable[[float, int], Done]
    horizon_s: float
    package: str = ""
    best: float = 0.0
    peak_mib: float = 0.0
    batches: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.name.format(versioned(self.package)) if self.package else self.name

    @property
    def installed(self) -> bool:
        return not self.package or versioned(self.package) is not None

    def turn(self, seed: int) -> None:
        """One run; the first batch begins with nothing and is not counted."""
        spent = apart(warmed, self.run, self.horizon_s, seed).found
        self.best = max(self.best, spent.found.requests / spent.processor_s)
        self.peak_mib = max(self.peak_mib, spent.peak_mib)
        self.batches += spent.found.batches[1:]
        print(f"    {self.label}: {spent.found.requests / spent.processor_s:,.0f} requests/s", flush=True)

    def cold_share(self) -> tuple[float, float]:
        """Share of cold starts and its standard error."""
        arrivals = RATE * self.horizon_s / BATCHES
        mean, error = mean_and_error(self.batches)
        return mean / arrivals, error / arrivals


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of values that are independent."""
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def agrees(found: tuple[float, float], known: float, known_error: float = 0.0) -> bool:
    """Whether a mean is within `SIGMAS` of its and the known value's standard errors from the known value."""
    mean, error = found
    return abs(mean - known) <= SIGMAS * math.hypot(error, known_error)


def peer(runner: Runner, ok: bool, what: str) -> Peer:
    """What is told of a peer that was measured."""
    memory = f"{runner.peak_mib:.0f} MiB after {runner.horizon_s:,.0f} s"
    if not ok:
        return Peer(runner.label, None, f"gives another answer, so not compared: {what}")
    return Peer(runner.label, rounded(runner.best), f"{what}; {memory}")


def compare(
    id: str,  # noqa: A002
    name: str,
    runners: Sequence[Runner],
    rounds: int,
    judge: Callable[[Runner], tuple[bool, str]],
) -> Entry:
    """The first against the others, by turns."""
    here = [runner for runner in runners if runner.installed]
    for turn in range(rounds):
        print(f"  {id}, round {turn + 1} of {rounds}", flush=True)
        for runner in here:
            runner.turn(turn + 1)
    ours, *others = runners
    ok, what = judge(ours)
    if not ok:
        raise AssertionError(f"the data plane gives another answer: {what}")
    return Entry(
        id,
        name,
        rounded(ours.best),
        "requests/s",
        tuple(
            peer(one, *judge(one))
            if one.installed
            else Peer(one.label, None, f"left out: {one.package} is not installed")
            for one in others
        ),
        note=f"one core, best of {rounds}; {what}; {ours.peak_mib:.0f} MiB after {ours.horizon_s:,.0f} s",
    )


def judge_cold(runner: Runner) -> tuple[bool, str]:
    mean, error = runner.cold_share()
    return agrees((mean, error), P_COLD, P_COLD_ERROR), f"P(cold) {mean:.6f} ± {1.96 * error:.6f}"


def judge_wait(runner: Runner) -> tuple[bool, str]:
    mean, error = mean_and_error(runner.batches)
    return agrees((mean, error), WAIT_S), f"mean wait {mean:.4f} ± {1.96 * error:.4f} s"


def measure(size: Size) -> Iterator[Entry]:
    """The SimFaaS workload, then M/M/4."""
    scale, rounds = (0.1, 2) if size is Size.QUICK else (1.0, 3)
    faas = [
        Runner("data plane", partial(workloads.faas, DataPlane), 1e7 * scale),
        Runner("hand-written heap loop", peers.heap_loop, 1e6 * scale),
        Runner("SimPy {}, a timer a request", peers.simpy_timers, 1e6 * scale, "simpy"),
        Runner("SimPy {}, a process a request", peers.simpy_processes, 3e5 * scale, "simpy"),
        Runner("SimFaaS {}", peers.simfaas, 3e5 * scale, "simfaas"),
        Runner("our reference engine", partial(workloads.faas, ReferencePlane), 1e5 * scale),
    ]
    workload = "SimFaaS workload (Poisson 0.9/s, warm Exp 1.991 s, cold Exp 2.244 s, expiry 600 s)"
    yield compare("faas", workload, faas, rounds, judge_cold)
    queue = [
        Runner("data plane", partial(workloads.queue, DataPlane), 1e7 * scale),
        Runner("Ciw {}", peers.ciw, 1e5 * scale, "ciw"),
        Runner("our reference engine", partial(workloads.queue, ReferencePlane), 1e5 * scale),
    ]
    yield compare(
        "queue", "M/M/4 (Poisson 0.9/s, Exp 1.991 s), which Ciw can model", queue, rounds, judge_wait
    )
