"""Two planes kept exact: where time is cut and in which order pods are hosted changes no byte.

Small random clusters of every policy, with shared nodes, bandwidth and caches, and a script of control
events: each is run in several ways and everything that can be read must be equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.units import NEVER_NS
from sim.kernel import sketches
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Client, NodeSpec, PodSpec, StartUp
from sim.laws import Constant, Empirical, Exponential, Law, Lognormal, Uniform
from sim.reference.plane import ReferencePlane
from sim.traffic import Mmpp, Poisson, Renewal, Replay, Trace, Traffic
from tests.sim.kernel.worlds import START, S, fixed, keda, kpa, per_request, pod

MIB = 1 << 20
HORIZON_S = 900

laws: st.SearchStrategy[Law] = st.sampled_from(
    [
        Constant(0.0),
        Constant(0.5),
        Constant(2.0),
        Exponential(0.4),
        Exponential(3.0),
        Uniform(0.0, 2.0),
        Lognormal(1.0, 1.5),
        Empirical(((0.0, 0.1), (0.5, 0.5), (1.0, 4.0))),
    ]
)
traffics: st.SearchStrategy[Traffic] = st.sampled_from(
    [
        Poisson.constant(0.02),
        Poisson.constant(0.8),
        Poisson.constant(4.0),
        Poisson(((10.0, 1.0), (60.0, 0.0), (200.0, 3.0)), 300.0),
        Mmpp((0.0, 5.0), (60.0, 10.0)),
        Trace((3, 0, 40, 0, 1, 7) * 2, "uniform"),
        Trace((5, 20, 0, 0, 0, 9) * 2, "bursty"),
        Trace((6, 1, 12, 0, 30), "even", 30.0),
        Renewal(Lognormal(2.0, 3.0)),
        Replay(tuple(range(0, 600 * S, 20 * S)) + (600 * S,) * 5),
    ]
)
# Everything on whole seconds, so that much happens at one instant: then the order of the classes of events shows.
even_laws: st.SearchStrategy[Law] = st.sampled_from(
    [Constant(0.0), Constant(1.0), Constant(2.0), Constant(5.0)]
)
even_traffics: st.SearchStrategy[Traffic] = st.lists(
    st.tuples(st.integers(0, HORIZON_S - 60), st.integers(1, 20), st.integers(0, 2), st.integers(1, 2)),
    min_size=1,
    max_size=5,
).map(lambda bursts: Replay(tuple(sorted(_burst(bursts)))))
clients: st.SearchStrategy[Client] = st.one_of(
    st.just(Client()),
    st.builds(
        Client,
        timeout_ns=st.sampled_from([S // 5, S, 2 * S, 3 * S, 20 * S, 60 * S, NEVER_NS]),
        retries=st.integers(0, 4),
        backoff=st.sampled_from([Constant(0.0), Constant(1.0), Exponential(0.5), Exponential(30.0)]),
        backoff_times=st.sampled_from([1.0, 2.0]),
    ),
)
rules = st.sampled_from(
    [
        fixed(1),
        fixed(3),
        keda(1, most=6, idle_s=60),
        keda(2, least=1, most=4),
        kpa(1, most=6),
        kpa(2, least=1),
        per_request(40, 5),
        per_request(5, 2, least=1),
        per_request(0, 50),
    ]
)


def _burst(bursts: list[tuple[int, int, int, int]]) -> Iterator[int]:
    for first, times, apart, at_once in bursts:
        for k in range(times):
            yield from [(first + k * apart) * S] * at_once


@st.composite
def pods(draw: st.DrawFn, index: int, *, even: bool) -> PodSpec:
    rule = draw(rules)
    discipline = draw(st.sampled_from(["slots", "slots", "processor_sharing"]))
    dispatch = draw(st.sampled_from(["least", "central", "random", "round_robin"]))
    if rule.policy == "per_request":
        discipline, slots = "slots", 1
    else:
        slots = draw(st.sampled_from([1, 2, 5]))
    if discipline == "processor_sharing" and dispatch == "central":
        dispatch = "least"
    schedules: list[Law] = [Constant(0.0), Constant(1.0)]
    applications: list[Law] = [Constant(0.0), Constant(2.0)]
    if not even:
        schedules.append(Exponential(0.5))
        applications.append(Exponential(4.0))
    cpu = draw(st.sampled_from([0, 500, 1000]))
    start = StartUp(
        draw(st.sampled_from(schedules)),
        draw(st.sampled_from([0, 10 * MIB])),
        draw(st.sampled_from(applications)),
    )
    return pod(
        draw(even_traffics if even else traffics),
        draw(even_laws if even else laws),
        rule,
        index=index,
        discipline=discipline,
        dispatch=dispatch,
        slots=slots,
        start_up=start,
        first_service=draw(st.sampled_from([None, Exponential(2.0)])),
        cpu_millis=cpu,
        cpu_limit_millis=draw(st.sampled_from([None, cpu, cpu * 3 // 2, cpu * 7])),
        memory_bytes=draw(st.sampled_from([0, 100, 300])),
        image_id=draw(st.integers(0, 2)),
        image_bytes=draw(st.sampled_from([0, 20 * MIB, 100 * MIB])),
        wait_limit_ns=draw(st.sampled_from([5 * S, 40 * S, NEVER_NS])),
        queue_limit=draw(st.sampled_from([None, None, 0, 3])),
        request_bytes=10,
        response_bytes=100,
        sample_every=draw(st.sampled_from([0, 1, 3])),
        byte_rows=draw(st.booleans()),
        client=draw(clients),
        round_trip_ns=draw(st.sampled_from([0, 0, S // 10, S])),
    )


@dataclass(frozen=True)
class World:
    nodes: tuple[NodeSpec, ...]
    pods: tuple[PodSpec, ...]
    script: tuple[tuple[int, str, int], ...]  # (instant ns, what, pod or node)


@dataclass(frozen=True)
class Played:
    """What can be read after a run, and (apart) the instants of its first changes of replicas."""

    read: list[bytes | str]
    transitions_ns: list[int]


OPS = [
    "suspend",
    "resume",
    "crash",
    "crash",
    "restore",
    "update",
    "grow",
    "burst",
    "slots",
    "move",
    "isolate",
    "rejoin",
    "undeploy",
]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    nodes = tuple(
        NodeSpec(
            draw(st.sampled_from([1000, 2500])), 1000, 0, draw(st.sampled_from([2, 50])) * MIB, size * MIB
        )
        for size in draw(st.lists(st.sampled_from([0, 45, 110, 1000]), min_size=1, max_size=3))
    )
    even = draw(st.booleans())
    some = tuple(draw(pods(i, even=even)) for i in range(draw(st.integers(1, 4))))
    times = st.integers(1, HORIZON_S * 4 - 1).map(lambda quarter: quarter * S // 4)
    ops = st.tuples(times, st.sampled_from(OPS), st.integers(0, 3))
    return World(nodes, some, tuple(sorted(draw(st.lists(ops, max_size=8)))))


def play(
    world: World,
    cuts_ns: list[int],
    order: list[int],
    *,
    check: bool = False,
    engine: type[DataPlane] | type[ReferencePlane] = DataPlane,
) -> Played:
    """Runs the world with extra calls of `advance` at `cuts_ns`; returns everything that can be read."""
    here = engine(world.nodes, start_ns=START)
    there = engine([NodeSpec(4000, 4000)], start_ns=START, draw_block=7)
    planes = [here, there]
    where: dict[int, tuple[DataPlane | ReferencePlane, int]] = {}
    specs = {spec.pod_index: spec for spec in world.pods}
    for k in order:
        where[k] = (here, here.host(world.pods[k], None, START))
        here.deploy(where[k][1], START)
    rows: list[Any] = []
    samples: list[Any] = []
    read: list[Any] = []
    status = dict.fromkeys(specs, "on")
    brought = dict.fromkeys(specs, 0)
    steps = [(START + at, 0, "cut", 0) for at in cuts_ns] + [
        (START + at, 1, op, k) for at, op, k in world.script
    ]
    for at, _, op, k in [*sorted(steps), (START + HORIZON_S * S, 2, "cut", 0)]:
        for plane in planes:
            plane.advance(at)
        if check:
            _within_capacity(planes, world, at)
        if op == "cut":
            if at % 3 == 0:
                rows.append([plane.take_transitions() for plane in planes])
                samples.append([plane.take_requests() for plane in planes])
            continue
        if op in ("crash", "restore"):
            n = k % len(world.nodes)
            if op == "crash":
                here.crash_node(n, at)
            else:
                here.restore_node(n, at)
        elif op in ("isolate", "rejoin"):
            if op == "isolate":
                here.isolate(at)
            else:
                here.rejoin(at)
        else:
            k %= len(world.pods)
            plane, handle = where[k]
            if op == "suspend" and status[k] == "on":
                plane.suspend(handle, at)
                status[k] = "off"
            elif op == "undeploy" and status[k] == "on":
                plane.undeploy(handle, at)
                status[k] = "off"
            elif op == "resume" and status[k] == "off":
                plane.resume(handle, at)
                status[k] = "on"
            elif op in ("update", "grow", "burst", "slots"):
                spec = specs[k]
                if op == "slots" and spec.scaling.policy != "per_request":
                    spec = replace(spec, slots=spec.slots % 4 + 1)
                if op == "grow":
                    grown = spec.cpu_millis + 250
                    limit = None if spec.cpu_limit_millis is None else spec.most_cpu_millis + 250
                    spec = replace(
                        spec, cpu_millis=grown, cpu_limit_millis=limit, service=Exponential(1.0), slots=1
                    )
                elif op == "burst":
                    limit = None if spec.bursts else spec.cpu_millis * 3
                    spec = replace(spec, cpu_limit_millis=limit)
                specs[k] = spec
                plane.update(handle, spec, at)
            elif op == "move":
                read.append((plane.counters(handle, at), plane.replica_ms(handle, at), plane.sketch(handle)))
                read.append(plane.cold_sketch(handle))
                source = plane.remove(handle, at)
                brought[k] = len(source.retries)
                other = there if plane is here else here
                handle = other.host(specs[k], source, at)
                where[k] = (other, handle)
                if status[k] == "on":
                    other.deploy(handle, at)
    end = START + HORIZON_S * S
    for k in sorted(where):
        plane, handle = where[k]
        c = plane.counters(handle, end)
        assert c.arrivals == c.served + sum(c.failed.values()) + c.held + c.queued + c.in_flight
        assert sum(c.failed.values()) + brought[k] == c.retried + c.lost + c.waiting
        assert c.warmed <= c.starts
        assert min(c.held, c.queued, c.in_flight, c.unplaced, c.starting, c.idle, c.busy, c.draining) >= 0
        assert plane.replica_ms(handle, end) == c.billed_ms
        assert (sketches.count(plane.sketch(handle)), sketches.count(plane.cold_sketch(handle))) == (
            c.served,
            c.cold,
        )
        read.append((k, c, plane.sketch(handle), plane.cold_sketch(handle)))
    rows.append([plane.take_transitions() for plane in planes])
    samples.append([plane.take_requests() for plane in planes])
    joined = [np.concatenate([chunk[j] for chunk in rows]) for j in range(2)]
    taken = [np.concatenate([chunk[j] for chunk in samples]) for j in range(2)]
    for j in range(2):
        assert (np.diff(joined[j]["t_ns"]) >= 0).all() and (np.diff(taken[j]["end_ns"]) >= 0).all()
        _bills_match(joined[j], {k % len(world.pods) for _, op, k in world.script if op == "move"})
    read += [a.tobytes() for a in (*joined, *taken)]
    read += [
        plane.node_use(n, end) for plane in planes for n in range(len(world.nodes) if plane is here else 1)
    ]
    replicas = joined[0][joined[0]["kind"] == 0]
    return Played(_plain(read), sorted({int(t) - START for t in replicas["t_ns"]})[:200])


def _plain(values: list[Any]) -> list[bytes | str]:
    """Everything as bytes or text, so that equal means equal to the last bit."""
    parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    raw = [part.tobytes() if isinstance(part, np.ndarray) else part for part in parts]
    return [part if isinstance(part, bytes) else repr(part) for part in raw]


def _within_capacity(planes: Sequence[DataPlane | ReferencePlane], world: World, at: int) -> None:
    for n, node in enumerate(world.nodes):
        use = planes[0].node_use(n, at)
        assert 0 <= use.cpu_millis <= node.cpu_millis and 0 <= use.memory_bytes <= node.memory_bytes
        assert use.cached_bytes <= node.image_cache_bytes
        given = min(use.cpu_wanted_millis, node.cpu_millis)  # what somebody wants is not left idle
        assert use.cpu_given_millis == pytest.approx(given, rel=1e-12)
        assert use.up or use.cpu_millis == use.memory_bytes == use.pulls == 0


def _bills_match(rows: Any, moved: set[int]) -> None:
    """What each row says of the bill is the sum over replicas of floored ends less floored starts."""
    for k in set(np.unique(rows["pod_index"]).tolist()) - moved:  # a moved pod's bill begins anew
        mine = rows[(rows["pod_index"] == k) & (rows["kind"] == 0)]
        before, acc = 0, 0
        for t, after, said in zip(mine["t_ns"].tolist(), mine["a"].tolist(), mine["b"].tolist(), strict=True):
            assert abs(after - before) == 1
            acc += -(t // 10**6) if after > before else t // 10**6
            assert said == acc
            before = after


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_cuts_and_order_change_no_byte(world: World, seed: int) -> None:
    chance = random.Random(seed)
    order = list(range(len(world.pods)))
    whole = play(world, [], order)
    every_second = [k * S for k in range(HORIZON_S)]
    hundred = [k * S for k in range(0, HORIZON_S, 100)]
    wild = sorted(chance.randrange(HORIZON_S * S) for _ in range(40))
    instants = [at + d for at, _, _ in world.script for d in (-1, 0, 1)]
    assert play(world, every_second, order).read == whole.read
    assert play(world, hundred, order[::-1]).read == whole.read
    chance.shuffle(order)
    assert play(world, wild + instants, order).read == whole.read
    assert play(world, whole.transitions_ns, order, check=True).read == whole.read


# Half of the profile's examples: the reference engine takes a fifth of a second for each.
@settings(max_examples=settings().max_examples // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_the_reference_engine_gives_the_same(world: World) -> None:
    order = list(range(len(world.pods)))
    assert play(world, [], order, engine=ReferencePlane).read == play(world, [], order).read
