"""Clients that give up and try again, on timelines worked out by hand, in both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import BadInput
from protocol.units import NEVER_NS
from sim.kernel import sketches
from sim.kernel.plane import DataPlane
from sim.kernel.specs import OUTCOMES, Client, NodeSpec, PodSpec, StartUp
from sim.laws import Constant, Exponential, Law
from sim.reference.plane import ReferencePlane
from sim.traffic import Replay
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, pod

Plane = DataPlane | ReferencePlane
Engine = type[DataPlane] | type[ReferencePlane]
RETRIES = (Constant(1.0), 2.0)


@pytest.fixture(params=[DataPlane, ReferencePlane])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


def client(
    timeout_s: float | None = None, retries: int = 0, backoff: Law | None = None, times: float = 1.0
) -> Client:
    timeout_ns = NEVER_NS if timeout_s is None else round(timeout_s * S)
    return Client(timeout_ns, retries, backoff or Constant(1.0), times)


def called(when: tuple[float, ...], service_s: float, rule: Any = None, **more: Any) -> PodSpec:
    """A pod that is called at these instants [s]; one replica with one slot, unless said otherwise."""
    traffic = Replay(tuple(round(t * S) for t in when))
    return pod(traffic, service_s, rule or fixed(1), sample_every=1, **more)


def begun(engine: Engine, spec: PodSpec, *nodes: NodeSpec) -> tuple[Plane, int]:
    plane = engine(nodes or (HUGE,), start_ns=START)
    handle = plane.host(spec, None, START)
    plane.deploy(handle, START)
    return plane, handle


def told(plane: Plane, upto_s: float) -> list[tuple[int, int, float, str]]:
    """Every attempt that has ended: (request, attempt, end [s], outcome)."""
    plane.advance(at(upto_s))
    return [
        (int(r["index"]), int(r["attempt"]), round((int(r["end_ns"]) - START) / S, 6), OUTCOMES[r["outcome"]])
        for r in plane.take_requests()
    ]


def at(second: float) -> int:
    return START + round(second * S)


def test_who_is_held_leaves_when_its_client_does(engine: Engine) -> None:
    slow = StartUp(application=Constant(10.0))
    spec = called((1, 3, 9), 1.0, keda(), start_up=slow, client=client(4.0))
    plane, handle = begun(engine, spec)
    assert plane.counters(handle, at(4)).held == 2
    assert told(plane, 50) == [
        (0, 0, 5.0, "client_timeout"),
        (1, 0, 7.0, "client_timeout"),
        (2, 0, 12.0, "served"),
    ]
    c = plane.counters(handle, at(50))
    assert (c.served, c.failed["client_timeout"], c.lost, c.busy_replica_ns) == (1, 2, 2, S)
    assert c.system_request_ns == (4 + 4 + 3) * S


@pytest.mark.parametrize("dispatch", ["least", "central"])
def test_the_server_works_on_for_a_client_that_is_gone(engine: Engine, dispatch: str) -> None:
    """One slot, 10 s of service, 4 s of patience: 0 is served from 1 to 11 and 2 from 11 to 21, both for nobody."""
    plane, handle = begun(engine, called((1, 2, 8), 10.0, dispatch=dispatch, client=client(4.0)))
    c = plane.counters(handle, at(5.5))
    assert (c.in_flight, c.held + c.queued, c.busy) == (0, 1, 1)
    assert told(plane, 50) == [(k, 0, end, "client_timeout") for k, end in ((0, 5.0), (1, 6.0), (2, 12.0))]
    c = plane.counters(handle, at(50))
    assert (c.served, c.busy_replica_ns, c.bytes_out) == (0, 20 * S, 0)


def test_an_answer_at_the_very_end_is_in_time(engine: Engine) -> None:
    plane, _ = begun(engine, called((1, 20), 4.0, client=client(4.0)))
    assert [outcome for *_, outcome in told(plane, 50)] == ["served"] * 2


def test_each_further_wait_is_longer_and_the_last_attempt_is_the_last(engine: Engine) -> None:
    plane, handle = begun(engine, called((1,), 1.0, client=client(None, 3, *RETRIES)))
    plane.suspend(handle, at(0.5))
    c = plane.counters(handle, at(1.5))
    assert (c.arrivals, c.retried, c.lost, c.waiting) == (1, 0, 0, 1)
    assert told(plane, 50) == [(0, k, end, "suspended") for k, end in enumerate((1.0, 2.0, 4.0, 8.0))]
    c = plane.counters(handle, at(50))
    assert (c.arrivals, c.retried, c.lost, c.waiting) == (4, 3, 1, 0)


def test_a_retry_is_served_like_any_other(engine: Engine) -> None:
    """Of two at once the second finds no room and comes again when the first is done; then nobody retries."""
    spec = called((1, 1), 0.5, queue_limit=0, client=client(None, 5))
    plane, handle = begun(engine, spec)
    assert told(plane, 20) == [(1, 0, 1.0, "overflow"), (0, 0, 1.5, "served"), (1, 1, 2.5, "served")]
    c = plane.counters(handle, at(20))
    assert (c.arrivals, c.served, c.retried, c.lost) == (3, 2, 1, 0)


def test_the_network_makes_patience_shorter_and_returns_later(engine: Engine) -> None:
    """The round trip of 1 s: patience at the facade 3 s of 4; a retry arrives 1 + 2 s after the failure."""
    spec = called((1, 20), 10.0, client=client(4.0, 1, Constant(2.0)), round_trip_ns=S)
    plane, handle = begun(engine, spec)
    assert told(plane, 60) == [
        (0, 0, 4.0, "client_timeout"), (0, 1, 10.0, "client_timeout"),  # came at 7, while the server was busy to 11
        (1, 0, 23.0, "client_timeout"), (1, 1, 29.0, "client_timeout"),
    ]  # fmt: skip
    quick = called((1,), 2.0, client=client(4.0), round_trip_ns=S)
    plane, handle = begun(engine, quick)
    c = plane.counters(handle, at(10))
    assert (c.served, c.latency_ns) == (1, 2 * S)
    assert sketches.mean_ns(plane.sketch(handle)) == pytest.approx(3 * S, rel=0.008)


def test_who_waits_to_try_again_goes_with_the_pod(engine: Engine) -> None:
    spec = called((1, 1.25), 1.0, client=client(None, 4))
    nowhere, here = engine([], start_ns=START), engine([HUGE], start_ns=START)
    handle = nowhere.host(spec, None, START)
    source = nowhere.remove(handle, at(1.5))
    assert source.retries == ((at(2), 0, 1), (at(2.25), 1, 1))
    handle = here.host(spec, source, at(1.5))
    here.deploy(handle, at(1.5))
    assert told(here, 20) == [(0, 1, 3.0, "served"), (1, 1, 4.0, "served")]
    c = here.counters(handle, at(20))
    assert (c.arrivals, c.retried, c.served) == (2, 2, 2)


def test_a_crash_fails_nobody_twice(engine: Engine) -> None:
    """At 10 s four are in service, the first for nobody: its client tries for the last time. The others fail, once."""
    nodes = (NodeSpec(1000, 1000), NodeSpec(2000, 1000))
    spec = called((1, 8, 9), 20.0, slots=4, cpu_millis=1000, client=client(5.0, 1))
    plane, handle = begun(engine, spec, *nodes)
    plane.crash_node(0, at(10))
    c = plane.counters(handle, at(10))
    assert (c.failed["crashed"], c.failed["client_timeout"], c.in_flight) == (3, 1, 0)
    assert (c.retried, c.lost, c.waiting) == (1, 1, 2)
    ended = told(plane, 60)
    assert ended[0] == (0, 0, 6.0, "client_timeout")
    assert sorted(ended[1:4]) == [(0, 1, 10.0, "crashed"), (1, 0, 10.0, "crashed"), (2, 0, 10.0, "crashed")]
    assert ended[4:] == [(1, 1, 16.0, "client_timeout"), (2, 1, 16.0, "client_timeout")]


def test_a_pod_keeps_its_callers(engine: Engine) -> None:
    plane, handle = begun(engine, called((1,), 1.0, client=client(4.0)))
    for other in ({"client": client(5.0)}, {"round_trip_ns": 7}):
        with pytest.raises(BadInput, match="same clients"):
            plane.update(handle, replace(called((1,), 1.0, client=client(4.0)), **other), at(2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_ns": 0},
        {"timeout_ns": 10**18 + 1},
        {"retries": -1},
        {"retries": 1001},
        {"backoff_times": 0.9},
    ],
)
def test_impossible_clients_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Client(**wrong)


def test_patience_moves_no_first_arrival_and_no_first_demand() -> None:
    """With a slot for everybody each attempt is served for what it demands, and retries demand something else."""
    free = pod(2.0, Exponential(1.0), fixed(1), slots=10**6, sample_every=1, start_up=StartUp())
    first: dict[int, int] = {}
    demands: dict[tuple[int, int], int] = {}
    for patience in (client(), client(1.5, 3, Exponential(0.5), 2.0), client(0.4, 1)):
        plane, _ = begun(DataPlane, replace(free, client=patience))
        plane.advance(at(2_000))
        rows = plane.take_requests()
        rows = rows[rows["start_ns"] == rows["arrival_ns"]]  # not before the replica was ready
        for r in rows[rows["outcome"] == 0]:
            who = (int(r["index"]), int(r["attempt"]))
            assert demands.setdefault(who, int(r["end_ns"] - r["start_ns"])) == r["end_ns"] - r["start_ns"]
        for r in rows[rows["attempt"] == 0]:
            assert first.setdefault(int(r["index"]), int(r["arrival_ns"])) == r["arrival_ns"]
    again = {who: span for who, span in demands.items() if who[1]}
    assert len(again) > 200
    assert all(span != demands[index, 0] for (index, _), span in again.items())


def test_a_draining_replica_keeps_the_slots_of_its_version(engine: Engine) -> None:
    """Three requests, of 4, 10 and 10 s, on two processors from 1 s: 4 x 3 / 2 s, then 6 s, whatever comes after."""
    old = called((1, 1, 1, 6), 10.0, first_service=Constant(4.0), discipline="processor_sharing", slots=2)
    for slots in (1, 3):
        plane, handle = begun(engine, old)
        plane.update(handle, replace(old, slots=slots), at(5))
        assert plane.counters(handle, at(5.5)).draining == 1
        ended = [(index, end) for index, _, end, _ in told(plane, 50)]
        assert ended == [(0, 7.0), (3, 10.0), (1, 13.0), (2, 13.0)]


def test_a_start_has_four_parts_that_make_it_up(engine: Engine) -> None:
    """100 MB at 10 MB/s, decrypted at 50 MB/s; the second pod's replica waits for the first one's room, to 46 s."""
    node = NodeSpec(1000, 1000, 0, pull_bytes_per_s=10_000_000, image_cache_bytes=10**9)
    start_up = StartUp(Constant(1.0), 50_000_000, Constant(3.0))
    specs = [
        called(
            (10 + k, 12 + k),
            0.5,
            keda(idle_s=20),
            index=k,
            cpu_millis=600,
            image_bytes=10**8,
            start_up=start_up,
        )
        for k in range(2)
    ]
    plane = engine((node,), start_ns=START)
    handles = [plane.host(spec, None, START) for spec in specs]
    for handle in handles:
        plane.deploy(handle, START)
    rows: dict[int, list[tuple[float, ...]]] = {0: [], 1: []}
    plane.advance(at(200))
    for r in plane.take_requests():
        parts = tuple(
            int(r[f"{name}_ns"]) / S for name in ("scheduling", "pull", "decryption", "application")
        )
        rows[int(r["pod_index"])].append(parts)
    ended_s = 10 + 1 + 10 + 2 + 3 + 1.0 + 20  # the first's start-up, its two requests, its idle time
    assert rows == {0: [(1, 10, 2, 3)] * 2, 1: [(ended_s - 11 + 1, 0, 2, 3)] * 2}
    for handle, whole_s in zip(handles, (16, ended_s - 11 + 6), strict=True):
        c = plane.counters(handle, at(200))
        assert c.warmed == 1
        assert c.scheduling_ns + c.pull_ns + c.decryption_ns + c.application_ns == whole_s * S
        assert c.unplaced_replica_ns + c.starting_replica_ns == whole_s * S
