"""Clients that give up and try again, against closed forms; how figures are judged: `agreement`."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from sim.kernel.plane import DataPlane
from sim.kernel.specs import Client, PodCounters, PodSpec
from sim.laws import Constant, Exponential
from tests.sim.kernel.worlds import HUGE, START, S, fixed, pod
from tests.theory.agreement import RUNS, agrees


def spans(
    make: Callable[[int], PodSpec], warm_s: float, long_s: float
) -> list[tuple[PodCounters, PodCounters]]:
    """Of each replication the counters after the warm-up and at the end."""
    found = []
    for seed in range(RUNS):
        plane = DataPlane([HUGE], start_ns=START)
        handle = plane.host(make(seed), None, START)
        plane.deploy(handle, START)
        warm = START + round(warm_s * S)
        found.append((plane.counters(handle, warm), plane.counters(handle, warm + round(long_s * S))))
    return found


def impatient(rate: float, servers: int, timeout: float) -> tuple[float, float]:
    """M/M/c + D with E[S] = 1 (Barrer 1957; Baccelli and Hebuterne 1981): shares given up waiting, and in service.

    Whoever would wait for `timeout` or longer leaves without service. What is in service goes on when its client
    leaves, so the wait that an arrival finds has the density rate p(c-1) e^(rate min(x, timeout) - c x), where
    p(j) = p(0) rate^j / j! is the share of time with j < c in service.
    """
    few = [rate**j / math.factorial(j) for j in range(servers)]
    at_most = rate * few[-1]

    def integral(slope: float) -> float:
        return timeout if slope == 0 else math.expm1(slope * timeout) / slope

    tail = math.exp((rate - servers) * timeout) / servers
    total = sum(few) + at_most * (integral(rate - servers) + tail)
    in_service = math.exp(-timeout) * (sum(few) + at_most * integral(rate - servers + 1))
    return at_most * tail / total, in_service / total


def test_the_closed_form_at_its_ends() -> None:
    """Without patience who finds the server busy leaves, and the others are given up; a lone client waits for itself."""
    assert impatient(0.8, 1, 0.0) == pytest.approx((0.8 / 1.8, 1 / 1.8))
    assert impatient(1e-9, 3, 2.0) == pytest.approx((0.0, math.exp(-2)), abs=1e-8)


@pytest.mark.parametrize(
    ("rate", "servers", "timeout"),
    [(0.8, 1, 3.0), (1.5, 1, 2.0), (1.0, 1, 1.5), (2.7, 3, 1.5), (4.0, 3, 2.5)],
)
def test_m_m_c_with_clients_that_give_up(rate: float, servers: int, timeout: float) -> None:
    waiting, in_service = impatient(rate, servers, timeout)
    client = Client(timeout_ns=round(timeout * S))
    long_s = 20_000
    got = spans(
        lambda n: pod(rate, Exponential(1), fixed(servers), seed=n, dispatch="central", client=client),
        100,
        long_s,
    )
    given_up = [
        (b.failed["client_timeout"] - a.failed["client_timeout"]) / (b.arrivals - a.arrivals) for a, b in got
    ]
    agrees(given_up, waiting + in_service, 0.04)
    busy = [(b.busy_replica_ns - a.busy_replica_ns) / (long_s * S * servers) for a, b in got]
    agrees(busy, rate * (1 - waiting) / servers, 0.02)  # servers work on for clients that are gone


def test_retries_of_attempts_that_fail_one_by_one() -> None:
    """With a slot for each, an attempt fails with p = e^(-timeout): 1 + p + p^2 + p^3 attempts, p^4 never answered."""
    timeout, p, rate = math.log(2), 0.5, 2.0
    client = Client(round(timeout * S), 3, Exponential(0.7), 1.5)
    got = spans(
        lambda n: pod(rate, Exponential(1), fixed(1), seed=n, slots=10**6, client=client), 100, 10_000
    )
    attempts = 1 + p + p**2 + p**3
    agrees(
        [(b.arrivals - a.arrivals) / (b.arrivals - b.retried - a.arrivals + a.retried) for a, b in got],
        attempts, 0.01,
    )  # fmt: skip
    agrees(
        [(b.lost - a.lost) / (b.arrivals - b.retried - a.arrivals + a.retried) for a, b in got], p**4, 0.04
    )
    there = rate * attempts * (1 - p)  # an attempt is there for E[min(S, timeout)] = 1 - p
    agrees([(b.system_request_ns - a.system_request_ns) / (10_000 * S) for a, b in got], there, 0.02)


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_pod_that_always_fails_is_called_once_and_again_for_each_retry(retries: int) -> None:
    """Nobody hosts it: a request is tried 1 + `retries` times, with waits of 10 s, 20 s, 40 s and so on between."""
    client = Client(retries=retries, backoff=Constant(10.0), backoff_times=2.0)
    end = START + 1_000 * S
    waiting, arrived = [], []
    for seed in range(RUNS):
        plane = DataPlane([], start_ns=START)
        handle = plane.host(pod(50.0, 1.0, fixed(1), seed=seed, client=client), None, START)
        c = plane.counters(handle, end)
        first = c.arrivals - c.retried
        arrived.append(first)
        waiting.append(c.waiting)
        assert c.served == 0 and c.arrivals == sum(c.failed.values())
        assert c.retried + c.waiting == sum(c.failed.values()) - c.lost
        assert 0 <= first * (1 + retries) - c.arrivals <= retries * c.waiting
    agrees([n / 1_000 for n in arrived], 50.0, 0.01)
    if retries:
        agrees([float(n) for n in waiting], 50 * 10 * (2**retries - 1), 0.06)  # Little's law
