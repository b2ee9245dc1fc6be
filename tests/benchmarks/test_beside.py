"""Who may be compared: the peers' models, and that a wrong one is told."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial

import pytest

from benchmarks import beside, peers, workloads
from benchmarks.beside import Runner, agrees, compare, judge_cold, judge_wait, mean_and_error
from benchmarks.task import BATCHES, COLD_S, EXPIRY_S, RATE, WARM_S, Done
from sim.kernel.plane import DataPlane

SHORT_S = 6e4
SEEDS = range(1, 4)


def found(run: Callable[[float, int], Done], horizon_s: float = SHORT_S) -> Runner:
    """A runner whose batches come from this process."""
    runner = Runner("one", run, horizon_s)
    for seed in SEEDS:
        runner.batches += run(horizon_s, seed).batches[1:]
    return runner


def first_in_first_out(horizon_s: float, seed: int) -> Done:
    """The heap loop with another rule: the replica that was idle for the longest time."""
    chance = random.Random(seed)
    busy: list[float] = []
    idle: list[float] = []
    cold: list[float] = []
    now, requests = 0.0, 0
    while (now := now + chance.expovariate(RATE)) <= horizon_s:
        requests += 1
        while busy and busy[0] <= now:
            idle.append(heapq.heappop(busy))
        while idle and idle[0] + EXPIRY_S < now:
            del idle[0]
        if idle:
            del idle[0]
            heapq.heappush(busy, now + chance.expovariate(1 / WARM_S))
        else:
            cold.append(now)
            heapq.heappush(busy, now + chance.expovariate(1 / COLD_S))
    return Done(requests, peers.batched(cold, horizon_s))


@pytest.mark.parametrize("run", [peers.heap_loop, peers.simpy_processes, partial(workloads.faas, DataPlane)])
def test_the_models_give_the_known_share_of_cold_starts(run: Callable[[float, int], Done]) -> None:
    ok, what = judge_cold(found(run))
    assert ok, what


def test_a_wrong_model_is_told() -> None:
    ok, what = judge_cold(found(first_in_first_out))
    assert not ok, what


def test_the_queue_waits_as_erlang_says() -> None:
    ok, what = judge_wait(found(partial(workloads.queue, DataPlane), 1e6))
    assert ok, what


def test_timers_and_the_heap_loop_are_one_model() -> None:
    # They draw in one order, so they give the same counts.
    assert peers.simpy_timers(2e4, 1) == peers.heap_loop(2e4, 1)


@pytest.mark.parametrize("run", [peers.simfaas, peers.ciw])
def test_the_installed_peers_are_called_right(run: Callable[[float, int], Done]) -> None:
    done = run(5_000.0, 1)
    assert abs(done.requests - 4_500) < 5 * 4_500**0.5
    assert len(done.batches) == BATCHES and min(done.batches) >= 0


def test_what_is_not_installed_and_what_is_wrong_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "turn", lambda self, seed: setattr(self, "best", 9.0))
    runners = [
        Runner("ours", peers.heap_loop, 1.0),
        Runner("wrong", peers.heap_loop, 1.0),
        Runner("absent", peers.heap_loop, 1.0, "no-such-package"),
    ]
    entry = compare("faas", "work", runners, 1, lambda one: (one.name != "wrong", "P(cold) 0.5"))
    assert entry.ours == 9.0
    assert [(p.figure, p.note) for p in entry.peers] == [
        (None, "gives another answer, so not compared: P(cold) 0.5"),
        (None, "left out: no-such-package is not installed"),
    ]
    with pytest.raises(AssertionError, match="the data plane gives another answer"):
        compare("faas", "work", runners, 1, lambda one: (one.name == "wrong", "P(cold) 0.5"))


def test_the_error_is_that_of_a_mean() -> None:
    mean, error = mean_and_error([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5 and error == pytest.approx(0.6454972)
    edge = beside.SIGMAS * 5.0
    assert agrees((100.0 + edge, 3.0), 100.0, 4.0)
    assert not agrees((100.0 + edge + 1e-9, 3.0), 100.0, 4.0)
