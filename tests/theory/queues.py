"""The data plane against queueing theory: Erlang, Pollaczek and Khinchine, processor sharing, dispatch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from sim.kernel.plane import DataPlane
from sim.kernel.specs import PodSpec
from sim.laws import Constant, Exponential, Law, Lognormal, Uniform
from tests.sim.kernel.worlds import HUGE, START, S, fixed, pod
from tests.theory.chains import erlang_wait, missing, shortest_of_two
from tests.theory.known import Case, Known, Pair, Sampled

RATE, SERVICE = 0.9, 1.991
ERLANG: Final = "Erlang C"
TOP: Final = 5000


def watch(spec: PodSpec, warm_s: float, long_s: float) -> dict[str, Pair]:
    """One replication, after the warm-up: waits, times in system, shares that wait or are lost, number."""
    plane = DataPlane([HUGE], start_ns=START)
    handle = plane.host(spec, None, START)
    plane.deploy(handle, START)
    warm = START + round(warm_s * S)
    end = warm + round(long_s * S)
    a = plane.counters(handle, warm)
    b = plane.counters(handle, end)
    begun = (b.served + b.in_flight) - (a.served + a.in_flight)
    return {
        "wait": ((b.wait_ns - a.wait_ns) / S, begun),
        "time in system": ((b.latency_ns - a.latency_ns) / S, b.served - a.served),
        "share that waits": (b.delayed - a.delayed, begun),
        "share lost": (b.failed["overflow"] - a.failed["overflow"], b.arrivals - a.arrivals),
        "number in system": ((b.system_request_ns - a.system_request_ns) / S, long_s),
    }


def case(
    name: str,
    source: str,
    known: Mapping[str, Known],
    make: Callable[[int], PodSpec],
    warm: float,
    long: float,
) -> Sampled:
    return Sampled(name, source, f"{long:,.0f} s", known, lambda seed: watch(make(seed), warm, long))


def m_m_c(
    servers: int, delayed: float, wait: float, sees: tuple[float, float], long: float
) -> Iterator[Case]:
    lack_delayed = missing(RATE, SERVICE, servers, lambda n: float(n >= servers), TOP)
    lack_wait = missing(RATE, SERVICE, servers, lambda n: max(0, n - servers + 1) * SERVICE / servers, TOP)
    known = {
        "share that waits": Known(delayed, sees[0], bias=lack_delayed / long),
        "wait": Known(wait, sees[1], bias=lack_wait / long),
    }
    for shape, replicas, slots in (("slots", 1, servers), ("replicas", servers, 1)):
        yield case(
            f"M/M/{servers}, λ 0.9, E[S] 1.991, {shape}", ERLANG, known,
            partial(_one_queue, replicas, slots), 2_000, long,
        )  # fmt: skip


def _one_queue(replicas: int, slots: int, seed: int) -> PodSpec:
    return pod(RATE, Exponential(SERVICE), fixed(replicas), seed=seed, slots=slots, dispatch="central")


def _shared(law: Law, seed: int) -> PodSpec:
    return pod(0.8, law, fixed(1), seed=seed, discipline="processor_sharing")


def _lossy(law: Law, seed: int) -> PodSpec:
    return pod(9, law, fixed(1), seed=seed, slots=10, dispatch="central", queue_limit=0)


def one_server() -> Iterator[Case]:
    """λ 0.8, E[S] 1."""
    rate, warm, long = 0.8, 2_000, 400_000
    lack = missing(rate, 1, 1, lambda n: n, TOP)
    number = Known(4.0, 0.035, bias=lack / long)
    system = Known(5.0, 0.035, bias=lack / rate / long)

    def later(
        n: int,
    ) -> float:  # who finds n before it is there longer than 10 s: a Poisson count of at most n
        return math.fsum(math.exp(-10 + k * math.log(10) - math.lgamma(k + 1)) for k in range(n + 1))

    yield case(
        "M/M/1, λ 0.8, E[S] 1", "Erlang C", {"time in system": system, "number in system": number},
        lambda seed: pod(rate, Exponential(1), fixed(1), seed=seed), warm, long,
    )  # fmt: skip
    yield Sampled(
        "M/M/1, first come first served", "time in system is exponential: e^−2", "100,000 s",
        {"share above 10 s": Known(math.exp(-2), 0.13, bias=missing(rate, 1, 1, later, 400) / 100_000)},
        _longer_than_10,
    )  # fmt: skip
    yield case(
        "M/D/1, λ 0.8, S 1", "Pollaczek, Khinchine",
        # E[V²] / (2 (1 - load)), E[V²] = 2 E[V]² + λ E[S³] / (3 (1 - load))
        {"wait": Known(2.0, 0.032, bias=(2 * 2**2 + 0.8 / 0.6) / 0.4 / long)},
        lambda seed: pod(rate, Constant(1), fixed(1), seed=seed), warm, long,
    )  # fmt: skip
    laws: tuple[Law, ...] = (Constant(1), Exponential(1), Uniform(0, 2), Lognormal(1, 1.2))
    for law in laws:
        yield case(
            f"M/G/1, processor sharing, {type(law).__name__.lower()}", "1 / (μ − λ), whatever the law",
            {"time in system": Known(5.0, 0.035, bias=system.bias)},
            partial(_shared, law), warm, long,
        )  # fmt: skip


def _longer_than_10(seed: int) -> dict[str, Pair]:
    plane = DataPlane([HUGE], start_ns=START)
    spec = pod(0.8, Exponential(1), fixed(1), seed=seed, sample_every=1)
    plane.deploy(plane.host(spec, None, START), START)
    plane.advance(START + 2_000 * S)
    plane.take_requests()
    plane.advance(START + 102_000 * S)
    ended = plane.take_requests()
    return {
        "share above 10 s": (int((ended["end_ns"] - ended["arrival_ns"] > 10 * S).sum()), float(len(ended)))
    }


def many_servers() -> Iterator[Case]:
    service = Exponential(SERVICE)
    quarter = missing(RATE / 4, SERVICE, 1, lambda n: n * SERVICE, TOP)
    half = missing(RATE / 2, SERVICE, 1, lambda n: n * SERVICE, TOP)
    yield case(
        "4 replicas, random split", "four M/M/1", {"wait": Known(1.6157, 0.016, bias=quarter / 400_000)},
        lambda seed: pod(RATE, service, fixed(4), seed=seed, dispatch="random"), 2_000, 400_000,
    )  # fmt: skip
    yield case(
        "4 replicas, in turn", "four E4/M/1",
        {"wait": Known(erlang_wait(RATE, SERVICE, 4), 0.018, bias=quarter / 400_000)},
        lambda seed: pod(RATE, service, fixed(4), seed=seed, dispatch="round_robin"), 2_000, 400_000,
    )  # fmt: skip
    yield case(
        "2 replicas, the shorter queue", "Markov chain, solved",
        {"wait": Known(round(shortest_of_two(RATE, SERVICE), 6), 0.05, bias=half / 800_000)},
        lambda seed: pod(RATE, service, fixed(2), seed=seed), 2_000, 800_000,
    )  # fmt: skip
    ten = missing(9, 1, 10, lambda n: max(0, n - 9) / 10, TOP)
    yield case(
        "M/M/10, λ 9, E[S] 1", ERLANG, {"wait": Known(0.66873152, 0.07, bias=ten / 80_000)},
        lambda seed: pod(9, Exponential(1), fixed(10), seed=seed, dispatch="central"), 1_000, 80_000,
    )  # fmt: skip
    loss = missing(9, 1, 10, lambda n: float(n == 10), 10)
    for law in (Exponential(1), Lognormal(1, 1.2)):
        yield case(
            f"10 servers without a queue, λ 9, {type(law).__name__.lower()}", "Erlang B, whatever the law",
            {"share lost": Known(0.16796323, 0.015, bias=loss / 40_000)},
            partial(_lossy, law), 100, 40_000,
        )  # fmt: skip


CASES: Final = (
    *m_m_c(2, 0.84678014, 8.1015822, (0.005, 0.05), 1_000_000),
    *m_m_c(3, 0.35129101, 0.57894247, (0.015, 0.035), 400_000),
    *m_m_c(4, 0.12685495, 0.11438259, (0.025, 0.04), 400_000),
    *many_servers(),
    *one_server(),
)
