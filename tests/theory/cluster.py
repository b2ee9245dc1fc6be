"""The data plane against what can be worked out by hand, and against itself in plain Python. Exact."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

from protocol.units import NEVER_NS
from sim.kernel.plane import DataPlane
from sim.kernel.specs import OUTCOMES, NodeSpec, PodSpec, StartUp
from sim.laws import Constant, Exponential, Law, Lognormal, Uniform
from sim.reference.plane import ReferencePlane
from sim.traffic import Mmpp, Poisson, Replay, Trace, Traffic
from tests.sim.kernel.test_cuts import HORIZON_S, OPS, World, play
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, kpa, per_request, pod
from tests.theory.known import Case, Exact

MB: Final = 1_000_000
SLOW: Final = NodeSpec(
    cpu_millis=1000, memory_bytes=1000, pull_bytes_per_s=10 * MB, image_cache_bytes=300 * MB
)
HAND: Final = "by hand"


def at(*seconds: float) -> Replay:
    """Requests at these instants [s]."""
    return Replay(tuple(round(t * S) for t in seconds))


class Seen:
    """A few pods on a few nodes from the start to `until_s`, each request recorded."""

    def __init__(self, until_s: float, *specs: PodSpec, node: NodeSpec = HUGE) -> None:
        plane = DataPlane((node,), start_ns=START)
        handles = [plane.host(replace(spec, sample_every=1), None, START) for spec in specs]
        for handle in handles:
            plane.deploy(handle, START)
        self.end = START + round(until_s * S)
        plane.advance(self.end)
        self.counters = [plane.counters(handle, self.end) for handle in handles]
        self.requests = plane.take_requests()
        self.changes = plane.take_transitions()

    def of(self, column: str) -> list[int]:
        """A column of the requests in order of (end, pod, index)."""
        return [int(value) for value in self.requests[column]]

    @property
    def ends(self) -> list[float]:
        """When requests ended [s]."""
        return [_second(value) for value in self.of("end_ns")]

    @property
    def billed(self) -> list[float]:
        """Second and number of billed replicas after it, instant by instant."""
        last = {_second(int(row["t_ns"])): float(row["a"]) for row in self.changes}
        return [x for change in last.items() for x in change]


def _second(ns: int) -> float:
    return round((ns - START) / S, 6)  # the nanosecond of `deploy` is left out


STARTING = StartUp(Constant(1.0), 50 * MB, Constant(3.0))


def imaged(index: int, when: Replay) -> PodSpec:
    """A pod that scales from zero with an image of 100 MB and a start-up of 1 + pull + 2 + 3 s."""
    how: dict[str, Any] = {
        "image_id": index,
        "image_bytes": 100 * MB,
        "start_up": STARTING,
        "cpu_millis": 400,
    }
    return pod(when, 0.5, per_request(20, 3), index=index, **how)


def _parts() -> list[float]:
    seen = Seen(100, imaged(0, at(10)), node=SLOW)
    return [*seen.billed, *seen.ends, seen.counters[0].billed_ms / 1e3]


def _floors() -> list[int]:
    """Requests of 0.4 ms, each on a replica of its own that ends with it."""
    whole = Seen(10, pod(at(1.0003, 2.0008, 3.0), 0.0004, per_request(0, 5)))
    return [whole.counters[0].billed_ms, *(Seen(10, pod(at(t), 0.0004, per_request(0, 5))).counters[0].billed_ms
                                           for t in (1.0003, 2.0008, 3.0))]  # fmt: skip


def _waits_for_room() -> list[float]:
    specs = [pod(at(1), 5.0, per_request(4, 1), index=i, cpu_millis=600) for i in range(2)]
    return Seen(60, *specs, node=SLOW).ends


def _given_up() -> list[float | str]:
    slow = StartUp(application=Constant(50.0))
    seen = Seen(100, pod(at(5, 20), 1.0, fixed(1), start_up=slow, wait_limit_ns=40 * S))
    return [x for end, how in zip(seen.ends, seen.of("outcome"), strict=True) for x in (end, OUTCOMES[how])]


def _newest_idle() -> list[float]:
    seen = Seen(45, pod(at(1, 1, 5, 9, 40), 1.0, per_request(12, 9)))
    return [*seen.of("replica"), *seen.billed]


def _orders(dispatch: str, rule: Any, start: float) -> list[int]:
    spec = pod(at(1, 1.1, 1.2, 1.3, 1.4, 1.5), 1.0, rule, dispatch=dispatch,
               start_up=StartUp(application=Constant(start)))  # fmt: skip
    return Seen(60, spec).of("index")


def _replicas(dispatch: str, times: Replay) -> list[int]:
    seen = Seen(60, pod(times, 3.0, fixed(3), dispatch=dispatch))
    return [r for _, r in sorted(zip(seen.of("index"), seen.of("replica"), strict=True))]


def _keda(times: Replay, service: float, slots: int) -> list[float]:
    return Seen(600, pod(times, service, keda(2, idle_s=60), slots=slots)).billed


def _kpa() -> list[float]:
    """Target 1 × 70 %, seven at 20.5 s for 7 s each.

    The first pokes: 1 / 0.7, so 2. At 22 s a panic: 7 / 0.7 = 10. It holds until more than 60 s after 22 s: 84.
    Then at most halved each tick, 5, 2, 1, and at 90 s zero is asked for, which the grace of 30 s delays to 120.
    """
    return Seen(300, pod(at(*[20.5] * 7), 7.0, kpa(1), slots=10)).billed


# ---------------------------------------------------------------- both engines

WORLDS: Final = 10


def _any_pod(chance: random.Random, index: int) -> PodSpec:
    rule = chance.choice(
        [fixed(1), fixed(3), keda(1, most=6, idle_s=60), keda(2, least=1, most=4), kpa(1, most=6),
         kpa(2, least=1), per_request(40, 5), per_request(5, 2, least=1)]
    )  # fmt: skip
    dispatch = chance.choice(["least", "central", "random", "round_robin"])
    shared = rule.policy != "per_request" and chance.random() < 0.3
    traffics: list[Traffic] = [
        Poisson.constant(0.8), Poisson(((10.0, 1.0), (60.0, 0.0), (200.0, 3.0)), 300.0),
        Mmpp((0.0, 5.0), (60.0, 10.0)), Trace((5, 20, 0, 0, 0, 9) * 2, "bursty"), Trace((3, 0, 40, 7), "uniform"),
    ]  # fmt: skip
    laws: list[Law] = [Constant(0.5), Exponential(3.0), Uniform(0.0, 2.0), Lognormal(1.0, 1.5)]
    return pod(
        chance.choice(traffics), chance.choice(laws), rule, index=index, seed=chance.randrange(1 << 32),
        discipline="processor_sharing" if shared else "slots",
        dispatch="least" if shared and dispatch == "central" else dispatch,
        slots=1 if rule.policy == "per_request" else chance.choice([1, 2, 5]),
        start_up=StartUp(Exponential(0.5), chance.choice([0, 10 * MB]), Exponential(4.0)),
        first_service=chance.choice([None, Exponential(2.0)]),
        cpu_millis=chance.choice([0, 500, 1000]), memory_bytes=chance.choice([0, 100, 300]),
        image_id=chance.randrange(3), image_bytes=chance.choice([0, 20 * MB, 100 * MB]),
        wait_limit_ns=chance.choice([5 * S, 40 * S, NEVER_NS]), queue_limit=chance.choice([None, None, 0, 3]),
        request_bytes=10, response_bytes=100, sample_every=1, byte_rows=chance.random() < 0.5,
    )  # fmt: skip


def any_world(seed: int) -> World:
    """A few pods of every kind on small nodes, and a script of what happens to them."""
    chance = random.Random(seed)
    nodes = tuple(
        NodeSpec(
            chance.choice([1000, 2500]), 1000, 0, chance.choice([2, 50]) * MB, chance.choice([45, 1000]) * MB
        )
        for _ in range(chance.randint(1, 3))
    )
    script = sorted(
        (chance.randrange(4 * HORIZON_S) * S // 4, chance.choice(OPS), chance.randrange(4)) for _ in range(6)
    )
    return World(nodes, tuple(_any_pod(chance, i) for i in range(4)), tuple(script))


def _engines_differ() -> int:
    """Readings (counters, sketches, requests, transitions, nodes) that are not the same in both engines."""
    differ = 0
    for seed in range(WORLDS):
        world = any_world(seed)
        order = list(range(len(world.pods)))
        kernel, plain = (play(world, [], order, engine=engine).read for engine in (DataPlane, ReferencePlane))
        differ += sum(a != b for a, b in zip(kernel, plain, strict=True))
    return differ


SIX: Final = [0, 1, 2, 3, 4, 5]

CASES: Final[tuple[Case, ...]] = (
    Exact(
        "a cold start: schedule 1, pull 10, decrypt 2, application 3, service 0.5, idle 20 s; request at 10 s: "
        "replicas billed from and to, its end, seconds billed", HAND,
        [23.0, 1.0, 46.5, 0.0, 26.5, 23.5], _parts,
    ),
    Exact(
        "two images of 100 MB pulled at once at 10 MB/s: ends of both", HAND, [36.5, 36.5],
        lambda: Seen(100, imaged(0, at(10)), imaged(1, at(10)), node=SLOW).ends,
    ),
    Exact(
        "two replicas of 600 m on a node of 1000 m, service 5, idle 4 s, both asked for at 1 s: ends", HAND,
        [6.0, 15.0], _waits_for_room,
    ),
    Exact(
        "replicas of 0.4 ms at 1.0003, 2.0008 and 3 s: ms billed, and of each alone",
        "⌊end⌋ − ⌊start⌋", [1, 0, 1, 0], _floors,
    ),
    Exact(
        "first of a fresh replica takes 3 s, others 1 s; requests at 10 and 20 s: ends", HAND, [13.0, 21.0],
        lambda: Seen(60, pod(at(10, 20), 1.0, per_request(60, 2), first_service=Constant(3.0))).ends,
    ),
    Exact("held for 40 s at most, ready after 50 s; requests at 5 and 20 s", HAND,
          [45.0, "timeout", 51.0, "served"], _given_up),
    Exact(
        "one request a replica, idle 12 s, service 1 s; at 1, 1, 5, 9, 40 s: replica of each, billed replicas",
        "newest idle first, expiry from the end", [0, 1, 1, 1, 2, 1.0, 2.0, 14.0, 1.0, 22.0, 0.0, 40.0, 1.0],
        _newest_idle,
    ),
    Exact("order of six that a start-up holds", "first come first served", SIX,
          lambda: _orders("least", fixed(1), 5.0)),
    Exact("order of six in a replica's queue", "first come first served", SIX,
          lambda: _orders("least", fixed(1), 0.0)),
    Exact("order of six in one queue for two", "first come first served", SIX,
          lambda: _orders("central", fixed(2), 0.0)),
    Exact(
        "least of three, service 3 s; at 1, 1.1, 1.2, 1.3, 4.25, 4.3, 7.5 s: replica of each",
        "fewest in flight, then the oldest", [0, 1, 2, 0, 1, 2, 0],
        lambda: _replicas("least", at(1, 1.1, 1.2, 1.3, 4.25, 4.3, 7.5)),
    ),
    Exact(
        "in turn of three: replica of each of seven", "round robin", [0, 1, 2, 0, 1, 2, 0],
        lambda: _replicas("round_robin", at(1, 1, 5, 9, 13, 13, 13)),
    ),
    Exact(
        # The third comes while two share: they have 0.5 and 1.5 s to go.
        "processor sharing, 2 s of work at 1, 2, 3 and 9 s: ends", HAND, [4.5, 6.5, 7.0, 11.0],
        lambda: Seen(20, pod(at(1, 2, 3, 9), 2.0, fixed(1), discipline="processor_sharing")).ends,
    ),
    Exact(
        "keda, target 2, idle 60 s: ten at 20 s for 40 s each; billed replicas", "ticks every 15 s; 10/2",
        [20.0, 1.0, 30.0, 5.0, 120.0, 0.0],
        lambda: _keda(at(*[20.0] * 10), 40.0, 10),
    ),
    Exact(
        "keda, idle 60 s: requests of 1 s at 10, 50, 100 and 300 s; billed replicas",
        "each end sets the timer anew", [10.0, 1.0, 161.0, 0.0, 300.0, 1.0, 361.0, 0.0],
        lambda: _keda(at(10, 50, 100, 300), 1.0, 1),
    ),
    Exact(
        "kpa, target 1 × 70 %: seven at 20.5 s for 7 s each; billed replicas", "panic, 60 s, halved, 30 s of grace",
        [20.5, 2.0, 22.0, 10.0, 84.0, 5.0, 86.0, 2.0, 88.0, 1.0, 120.0, 0.0], _kpa,
    ),
    Exact(
        f"compiled kernel and plain Python, {WORLDS} random clusters: readings that differ",
        "the same rules written twice", 0, _engines_differ,
    ),
)  # fmt: skip
