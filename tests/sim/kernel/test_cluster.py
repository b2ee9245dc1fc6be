"""Nodes, pulls, cold starts, scaling and failures, each on a timeline worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import BadInput
from sim.kernel import sketches
from sim.kernel.plane import DataPlane
from sim.kernel.specs import OUTCOMES, NodeSpec, PodSpec, StartUp
from sim.laws import Constant, Exponential
from sim.traffic import Replay
from tests.sim.kernel.worlds import HUGE, START, S, fixed, keda, kpa, per_request, pod, run

MB = 1_000_000
SLOW = NodeSpec(1000, 1000, 0, pull_bytes_per_s=10 * MB, image_cache_bytes=250 * MB)


def at(*seconds: float) -> Replay:
    """Requests at these instants [s]."""
    return Replay(tuple(round(t * S) for t in seconds))


def timeline(plane: DataPlane) -> list[tuple[float, int, int]]:
    """Changes of billed replicas: (second, pod, count after); the nanosecond of `deploy` is left out."""
    rows = plane.take_transitions()
    return [(round((int(r["t_ns"]) - START) / S, 6), int(r["pod_index"]), int(r["a"])) for r in rows]


def ends(plane: DataPlane) -> list[tuple[float, str]]:
    """Sampled requests: (end [s], outcome)."""
    rows = plane.take_requests()
    return [(round((int(r["end_ns"]) - START) / S, 6), OUTCOMES[int(r["outcome"])]) for r in rows]


START_UP = StartUp(Constant(1.0), 50 * MB, Constant(3.0))


def imaged(index: int, when: Replay, image: int = 1, cpu: int = 400) -> PodSpec:
    """A pod that scales from zero with an image of 100 MB and a start-up of 1 + pull + 2 + 3 s."""
    return pod(
        when,
        0.5,
        per_request(20, 3),
        index=index,
        image_id=image,
        image_bytes=100 * MB,
        start_up=START_UP,
        cpu_millis=cpu,
        sample_every=1,
    )


def cluster(*specs: PodSpec, nodes: tuple[NodeSpec, ...] = (SLOW,)) -> tuple[DataPlane, list[int]]:
    """All of them deployed at the start."""
    plane = DataPlane(nodes, start_ns=START)
    handles = [plane.host(spec, None, START) for spec in specs]
    for handle in handles:
        plane.deploy(handle, START)
    return plane, handles


def test_a_cold_start_has_its_parts_and_is_billed_from_container_start() -> None:
    plane, (handle,) = cluster(imaged(0, at(10)))
    plane.advance(START + 100 * S)
    # 10 + schedule 1 + pull 100/10 + decryption 100/50 = 23: billed; + application 3 = 26: ready; idle 20 s.
    assert timeline(plane) == [(23.0, 0, 1), (46.5, 0, 0)]
    assert ends(plane) == [(26.5, "served")]
    c = plane.counters(handle, START + 100 * S)
    assert (c.starting_replica_ns, c.busy_replica_ns, c.idle_replica_ns) == (16 * S, S // 2, 20 * S)
    assert c.billed_ms == 23_500 and c.cold == 1 and c.wait_ns == 16 * S
    assert sketches.mean_ns(plane.cold_sketch(handle)) == pytest.approx(16.5 * S, rel=0.008)


def test_the_second_start_finds_the_image_cached() -> None:
    plane, _ = cluster(imaged(0, at(10, 60)))
    plane.advance(START + 100 * S)
    assert ends(plane) == [(26.5, "served"), (66.5, "served")]  # 60 + 1 + 2 + 3


def test_pulls_share_the_bandwidth_equally() -> None:
    plane, _ = cluster(imaged(0, at(10), image=1), imaged(1, at(15), image=2))
    plane.advance(START + 100 * S)
    # Alone from 11 to 16: 50 MB. Both at half the rate: the first's other 50 MB take 10 s, to 26; the second
    # then has 50 MB left and the whole rate: 31. Each + decryption 2 + application 3.
    assert ends(plane) == [(31.5, "served"), (36.5, "served")]


def test_a_second_replica_joins_the_pull_of_its_image() -> None:
    plane, _ = cluster(imaged(0, at(10)), imaged(1, at(15)))
    plane.advance(START + 30 * S)
    assert ends(plane) == [(26.5, "served"), (26.5, "served")]
    assert plane.node_use(0, START + 30 * S).cached_bytes == 100 * MB


def test_the_least_recently_used_image_goes() -> None:
    """Room for two images: 1 and 2 are pulled, 1 is used again, 3 drives out 2."""
    specs = [imaged(0, at(1, 100, 300), 1), imaged(1, at(50, 350), 2), imaged(2, at(200), 3)]
    plane, _ = cluster(*specs)
    plane.advance(START + 400 * S)
    assert ends(plane) == [
        (17.5, "served"),
        (66.5, "served"),
        (106.5, "served"),  # image 1 cached
        (216.5, "served"),
        (306.5, "served"),  # still
        (366.5, "served"),  # image 2 pulled again
    ]


def test_best_fit_and_waiting_for_room() -> None:
    nodes = (NodeSpec(1000, 1000), NodeSpec(600, 1000))
    small = pod(at(1), 30.0, per_request(5, 1), index=0, cpu_millis=500, sample_every=1)
    large = pod(at(2), 10.0, per_request(5, 1), index=1, cpu_millis=900, sample_every=1)
    third = pod(at(3), 10.0, per_request(5, 1), index=2, cpu_millis=200, sample_every=1)
    plane, handles = cluster(small, large, third, nodes=nodes)
    now = START + 4 * S
    assert plane.node_use(1, now).cpu_millis == 500  # the small pod went where least is left
    assert plane.node_use(0, now).cpu_millis == 900
    assert plane.counters(handles[2], now).unplaced == 1
    plane.advance(START + 60 * S)
    assert ends(plane) == [(12.0, "served"), (27.0, "served"), (31.0, "served")]  # room at 12 + 5 = 17
    assert plane.counters(handles[2], START + 60 * S).unplaced_replica_ns == 14 * S


def test_who_waited_first_is_tried_first_and_others_that_fit_go() -> None:
    hog = pod(at(1), 9.0, per_request(0, 1), index=0, cpu_millis=600)
    first = pod(at(2), 1.0, per_request(0, 1), index=2, cpu_millis=900, sample_every=1)
    second = pod(at(3), 1.0, per_request(0, 1), index=1, cpu_millis=700, sample_every=1)
    plane, _ = cluster(hog, first, second, nodes=(NodeSpec(1000, 1000),))
    plane.advance(START + 60 * S)
    assert ends(plane) == [(11.0, "served"), (12.0, "served")]
    rows = plane.take_transitions()
    assert rows[rows["a"] == 1]["pod_index"].tolist() == [0, 2, 1]


def test_what_ends_gives_all_of_its_room_back() -> None:
    """Processor time, memory and devices each decide, and each is free again."""
    node = NodeSpec(1000, 1000, 2)
    needs: list[dict[str, Any]] = [{"cpu_millis": 600}, {"memory_bytes": 600}, {"gpus": 2}]
    for need in needs:
        first = pod(at(1), 4.0, per_request(0, 1), index=0, sample_every=1, **need)
        second = pod(at(2), 1.0, per_request(0, 1), index=1, sample_every=1, **need)
        plane, _ = cluster(first, second, nodes=(node,))
        use = plane.node_use(0, START + 3 * S)
        assert max(use.cpu_millis, use.memory_bytes, use.gpus) == next(iter(need.values()))
        plane.advance(START + 20 * S)
        assert ends(plane) == [(5.0, "served"), (6.0, "served")]
        use = plane.node_use(0, START + 20 * S)
        assert use.cpu_millis == use.memory_bytes == use.gpus == 0


def test_a_drained_replica_gives_its_room_back_at_its_end_and_not_before() -> None:
    """Pod 0 drains until 21 s and has events of its own before; pod 1 asks at 10 s for room that is free at 21 s."""
    old = pod(at(1, 9), 20.0, fixed(1), index=0, cpu_millis=600, sample_every=1)
    new = replace(old, cpu_millis=0, scaling=per_request(50, 1))
    late = pod(at(10), 1.0, per_request(0, 1), index=1, cpu_millis=500, sample_every=1)
    for cuts in ([], [9, 11, 20]):
        plane, handles = cluster(old, late, nodes=(NodeSpec(1000, 1000),))
        plane.update(handles[0], new, START + 5 * S)
        for cut in cuts:
            plane.advance(START + cut * S)
        plane.advance(START + 50 * S)
        assert ends(plane) == [(21.0, "served"), (22.0, "served"), (29.0, "served")]


def test_at_one_instant_the_pod_number_decides_wherever_time_is_cut() -> None:
    """At 15 s two pods want the last room: pod 0, which has run ahead unless time was cut, and pod 1, which has not.

    Pod 1 waits for a pull and is followed event by event.
    """
    ahead = pod(at(1, 15), 14.5, per_request(500, 2), index=0, cpu_millis=300, sample_every=1)
    for cuts in ([], [14], [2, 12, 14, 15], [11]):
        plane, handles = cluster(ahead, imaged(1, at(10, 15), cpu=300))
        for cut in cuts:
            plane.advance(START + cut * S)
        now = START + 16 * S
        assert [plane.counters(handle, now).unplaced for handle in handles] == [0, 1]
        assert plane.node_use(0, now).cpu_millis == 900


def test_a_held_request_gives_up() -> None:
    slow = StartUp(application=Constant(50.0))
    spec = pod(at(5, 20), 1.0, fixed(1), start_up=slow, wait_limit_ns=40 * S, sample_every=1)
    plane, handle, end = run(spec, 100)
    assert ends(plane) == [(45.0, "timeout"), (51.0, "served")]
    assert plane.counters(handle, end).failed["timeout"] == 1


def test_the_newest_idle_replica_serves_and_the_longest_idle_expires() -> None:
    plane, _, _ = run(pod(at(1, 1, 5, 9, 40), 1.0, per_request(12, 9), sample_every=1), 45)
    assert timeline(plane) == [(1.0, 0, 1), (1.0, 0, 2), (14.0, 0, 1), (22.0, 0, 0), (40.0, 0, 1)]
    assert [int(r["replica"]) for r in plane.take_requests()] == [0, 1, 1, 1, 2]


def test_each_waiting_request_starts_one_replica() -> None:
    slow = StartUp(application=Constant(3.0))
    plane, handle, end = run(pod(at(1, 2, 2.5), 1.0, per_request(50, 9), start_up=slow, sample_every=1), 20)
    assert plane.counters(handle, end).starts == 3
    assert ends(plane) == [(5.0, "served"), (6.0, "served"), (6.0, "served")]


def test_keda_steps_from_zero_scales_up_by_the_tick_and_goes_to_zero() -> None:
    plane, _, _ = run(pod(at(*[20.0] * 10), 40.0, keda(2, idle_s=60), slots=10), 600)
    # One replica at once; at the tick of 30 s (ticks run from deployment) 10 pending / 2 = 5; the last request
    # ends at 60, zero follows 60 s later.
    assert timeline(plane) == [
        (20.0, 0, 1),
        *[(30.0, 0, n) for n in (2, 3, 4, 5)],
        *[(120.0, 0, n) for n in (4, 3, 2, 1, 0)],
    ]


def test_a_new_version_drains_the_busy_and_ends_the_idle() -> None:
    plane = DataPlane([HUGE], start_ns=START)
    handle = plane.host(pod(at(10, 10.5), 30.0, fixed(3), sample_every=1), None, START)
    plane.deploy(handle, START)
    plane.update(handle, pod(at(10, 10.5), 30.0, fixed(1), sample_every=1), START + 20 * S)
    c = plane.counters(handle, START + 21 * S)
    assert (c.draining, c.idle, c.in_flight) == (2, 1, 2)
    assert plane.counters(handle, START + 60 * S).draining == 0
    assert ends(plane) == [(40.0, "served"), (40.5, "served")]
    assert timeline(plane)[3:] == [(20.0, 0, 2), (20.0, 0, 3), (40.0, 0, 2), (40.5, 0, 1)]


def test_scaling_down_drains_the_newest_when_all_are_busy() -> None:
    """Each replica's first request takes 2,000 s: five replicas, all busy, when the rule asks for two."""
    when = at(*[20.0] * 18, *[40.0] * 4, 1000.0)
    spec = pod(when, 15.0, keda(3), slots=10, first_service=Constant(2000.0), sample_every=1)
    plane, handle, now = run(spec, 500)
    c = plane.counters(handle, now)
    assert (c.busy, c.draining, c.idle, c.billed, c.in_flight) == (2, 3, 0, 5, 5)
    plane.advance(START + 2_100 * S)
    assert timeline(plane)[-3:] == [(2040.0, 0, 4), (2040.0, 0, 3), (2040.0, 0, 2)]
    rows = plane.take_requests()
    assert [int(r["replica"]) for r in rows[rows["index"] >= 18]] == [
        0,
        1,
        2,
        3,
        4,
    ]  # the last avoids the drained


def test_a_crash_fails_what_is_in_flight_and_starts_elsewhere() -> None:
    nodes = (NodeSpec(1000, 1000), NodeSpec(2000, 1000))
    slow = StartUp(application=Constant(1))
    spec = pod(at(1, 1.5, 5), 10.0, fixed(1), cpu_millis=1000, start_up=slow, sample_every=1)
    plane = DataPlane(nodes, start_ns=START)
    handle = plane.host(spec, None, START)
    plane.deploy(handle, START)
    plane.crash_node(0, START + 4 * S)
    assert not plane.node_use(0, START + 4 * S).up
    assert plane.node_use(1, START + 5 * S).cpu_millis == 1000
    plane.advance(START + 40 * S)
    assert ends(plane) == [(4.0, "crashed"), (4.0, "crashed"), (15.0, "served")]
    assert plane.counters(handle, START + 40 * S).failed["crashed"] == 2


def test_a_crash_without_other_room_waits_for_the_node() -> None:
    spec = pod(at(1, 5), 10.0, fixed(1), cpu_millis=1000, sample_every=1)
    plane, (handle,) = cluster(spec, nodes=(NodeSpec(1000, 1000),))
    plane.crash_node(0, START + 4 * S)
    assert plane.counters(handle, START + 6 * S).unplaced == 1
    plane.restore_node(0, START + 20 * S)
    plane.advance(START + 60 * S)
    assert ends(plane) == [(4.0, "crashed"), (30.0, "served")]


def test_nothing_is_served_after_the_end() -> None:
    """Removed, suspended and undeployed pods answer nothing; each failure has its name."""
    spec = pod(at(1, 2, 3, 4, 5, 6, 7), 1.5, fixed(1), sample_every=1)
    plane, (handle,) = cluster(spec)
    plane.suspend(handle, START + 3_200_000_000)
    plane.resume(handle, START + 4_500_000_000)
    plane.isolate(START + 5_500_000_000)
    plane.rejoin(START + 6_100_000_000)
    plane.undeploy(handle, START + 6_800_000_000)
    plane.advance(START + 20 * S)
    assert ends(plane) == [
        (2.5, "served"),
        (3.2, "evicted"),
        (3.2, "evicted"),
        (4.0, "suspended"),
        (6.0, "unreachable"),
        (6.5, "served"),
        (7.0, "unreachable"),
    ]
    c = plane.counters(handle, START + 20 * S)
    assert c.billed == 0 and c.billed_ms == 3_200 + 2_300


def test_a_full_queue_refuses() -> None:
    plane, handle, end = run(pod(at(1, 1, 1, 1), 1.0, fixed(1), queue_limit=2, sample_every=1), 10)
    assert sorted(outcome for _, outcome in ends(plane)) == ["overflow", "served", "served", "served"]
    assert plane.counters(handle, end).failed["overflow"] == 1


def test_processor_sharing_by_hand() -> None:
    """Two requests of 4 s and 1 s on one processor from 1 s and 2 s: the short one ends at 4, the long at 6."""
    short = pod(
        at(1, 2), 1.0, fixed(1), first_service=Constant(4), discipline="processor_sharing", sample_every=1
    )
    plane, _, _ = run(short, 20)
    assert ends(plane) == [(4.0, "served"), (6.0, "served")]


def test_round_robin_goes_in_turn() -> None:
    plane, _, _ = run(pod(at(*range(1, 8)), 0.1, fixed(3), dispatch="round_robin", sample_every=1), 20)
    assert [int(r["replica"]) for r in plane.take_requests()] == [0, 1, 2, 0, 1, 2, 0]


def test_least_takes_the_emptiest_then_the_oldest() -> None:
    plane, _, _ = run(pod(at(1, 2, 3, 4), 10.0, fixed(3), sample_every=1), 40)
    assert [int(r["replica"]) for r in plane.take_requests()] == [0, 1, 2, 0]


def test_bytes_and_their_rows() -> None:
    plane, handle, end = run(
        pod(at(1, 2), 1.0, fixed(1), request_bytes=3, response_bytes=50, byte_rows=True), 10
    )
    rows = plane.take_transitions()
    assert [(int(r["a"]), int(r["b"])) for r in rows[rows["kind"] == 1]] == [(50, 3), (100, 6)]
    c = plane.counters(handle, end)
    assert (c.bytes_out, c.bytes_in) == (100, 6)


def test_billing_is_exact_over_a_year() -> None:
    """Differences of floored instants: cut as you like, the sum is the floor at the end less that at the start."""
    plane, handle, _ = run(pod(0.0, 1.0, fixed(7)), 0)
    year_ns = 365 * 86_400 * S
    born = START + 1
    for part in range(1, 40):
        now = START + part * year_ns // 39 + part
        assert plane.replica_ms(handle, now) == 7 * (now // 10**6 - born // 10**6)


def test_room_is_made_as_it_is_needed() -> None:
    """More requests, replicas, rows and samples than the arrays begin with."""
    burst = at(*[1.0] * 5_000)
    plane, handle, end = run(pod(burst, 1.0, per_request(5, 3_000), sample_every=1), 60)
    c = plane.counters(handle, end)
    assert (c.served, c.starts, c.billed) == (5_000, 3_000, 0)
    assert len(plane.take_requests()) == 5_000 and len(plane.take_transitions()) == 6_000


def test_time_does_not_go_back_and_handles_are_known() -> None:
    plane, handle, end = run(pod(1.0, 1.0, fixed(1)), 10)
    with pytest.raises(BadInput, match="back"):
        plane.advance(end - 1)
    with pytest.raises(BadInput, match="already"):
        plane.deploy(handle, end)
    with pytest.raises(BadInput, match="hosted"):
        plane.host(pod(1.0, 1.0, fixed(1)), None, end)
    with pytest.raises(BadInput, match="cannot become"):
        plane.update(handle, pod(1.0, 1.0, fixed(1), index=5), end)
    with pytest.raises(BadInput, match="node 1"):
        plane.crash_node(1, end)
    plane.remove(handle, end)
    with pytest.raises(BadInput, match="no such pod"):
        plane.counters(handle, end)


def test_the_next_event_is_never_late() -> None:
    plane, handle, _ = run(pod(Replay((30 * S,)), Exponential(1.0), fixed(1)), 10)
    assert plane.next_event_ns() == START + 30 * S
    plane.advance(START + 29 * S)
    assert plane.counters(handle, START + 30 * S).arrivals == 1


def test_a_request_that_waited_too_long_gives_up_when_the_last_replica_is_lost() -> None:
    """While a replica is ready nobody gives up; when there is none any more, who has waited long enough does."""
    spec = pod(
        at(10, 20, 70), 100.0, fixed(1), slots=1, dispatch="central", wait_limit_ns=40 * S, sample_every=1
    )
    plane, _ = cluster(spec, nodes=(HUGE,))
    plane.crash_node(0, START + 90 * S)
    plane.advance(START + 200 * S)
    # The first was in service. The second had waited 70 s of 40, the third 20: it goes on to 70 + 40.
    assert ends(plane) == [(90.0, "crashed"), (90.0, "timeout"), (110.0, "timeout")]


def test_scaling_down_ends_the_newest_idle_replica() -> None:
    # At 1 s five requests: from zero to one replica at once, then to three at the tick of 15 s. Idle from about 30 s on;
    # 300 s later the highest proposal has left the window, and two are left.
    spec = pod(at(1, 1, 1, 1, 1, 400, 400), 20.0, keda(target=2, most=3, least=2), slots=1, sample_every=1)
    plane, (handle,) = cluster(spec, nodes=(HUGE,))
    plane.advance(START + 100 * S)
    assert plane.counters(handle, START + 100 * S).idle == 3
    plane.advance(START + 390 * S)
    assert plane.counters(handle, START + 390 * S).idle == 2
    plane.advance(START + 500 * S)
    rows = [r for r in plane.take_requests() if int(r["arrival_ns"]) == START + 400 * S]
    assert sorted(int(r["replica"]) for r in rows) == [0, 1]  # the third to start was the first to go


def test_knative_counts_the_mean_between_its_ticks() -> None:
    """Eight requests for a second of every two, and none of them at a tick: four are pending on average."""
    arrivals = [0.5 + 2 * k for k in range(120) for _ in range(8)]
    spec = pod(at(*arrivals), 1.0, kpa(target=1 / 0.7, most=50, least=1), slots=100)
    plane, (handle,) = cluster(spec, nodes=(HUGE,))
    seen = []
    for second in range(100, 240, 20):
        counters = plane.counters(handle, START + second * S)
        seen.append(counters.idle + counters.busy)
    assert seen == [4] * 7
