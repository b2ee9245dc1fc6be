"""Contention for a node's processors, on timelines worked out by hand. One core everywhere: 1000 millicores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from sim.kernel.plane import DataPlane
from sim.kernel.specs import NodeSpec, PodSpec, Scaling
from sim.reference.plane import ReferencePlane
from sim.traffic import Traffic
from tests.sim.kernel.test_cluster import at, ends, timeline
from tests.sim.kernel.worlds import START, S, fixed, keda, pod

CORE = NodeSpec(1000, 1000)
ONE = fixed(1)


def burster(
    index: int,
    when: Traffic,
    service: float = 10.0,
    rule: Scaling = ONE,
    *,
    cpu_millis: int = 100,
    cpu_limit_millis: int = 1000,
    **more: Any,
) -> PodSpec:
    """A pod whose replicas reserve 100m and can use the whole core, unless it is said otherwise."""
    return pod(
        when,
        service,
        rule,
        index=index,
        cpu_millis=cpu_millis,
        cpu_limit_millis=cpu_limit_millis,
        sample_every=1,
        **more,
    )


@pytest.fixture(params=[DataPlane, ReferencePlane])
def cluster(request: pytest.FixtureRequest) -> Any:
    """Makes a plane of either engine with all pods deployed at the start: (plane, handles)."""

    def make(*specs: PodSpec, nodes: tuple[NodeSpec, ...] = (CORE,)) -> tuple[Any, list[int]]:
        plane = request.param(nodes, start_ns=START)
        handles = [plane.host(spec, None, START) for spec in specs]
        for handle in handles:
            plane.deploy(handle, START)
        return plane, handles

    return make


def use(plane: Any, second: float) -> tuple[float, float]:
    """What the busy replicas of node 0 want and get at an instant [millicores]."""
    now = plane.node_use(0, START + round(second * S))
    return now.cpu_wanted_millis, now.cpu_given_millis


def test_alone_a_replica_serves_at_its_limit(cluster: Any) -> None:
    plane, _ = cluster(burster(0, at(1, 2)))
    assert use(plane, 0.5) == (0, 0.0)
    assert use(plane, 5) == (1000, 1000.0)
    plane.advance(START + 50 * S)
    assert ends(plane) == [(11.0, "served"), (21.0, "served")]


def test_requests_are_weights(cluster: Any) -> None:
    """3 : 1 of a core until 1 + 10 / 0.75; then the other has 10 - 3.333 s to go, alone."""
    plane, _ = cluster(burster(0, at(1), cpu_millis=300), burster(1, at(1)))
    assert use(plane, 5) == pytest.approx((2000, 1000), rel=1e-12)
    assert use(plane, 15) == (1000, 1000.0)
    plane.advance(START + 50 * S)
    assert ends(plane) == [(14.333333, "served"), (21.0, "served")]


def test_what_a_limit_leaves_goes_to_the_others_by_weight(cluster: Any) -> None:
    """Weights 1 : 1 : 2. The first stops at 150m; 850m are left for 1 : 2, so 283.3m and 566.7m."""
    plane, _ = cluster(
        burster(0, at(0.5), 3.0, cpu_limit_millis=150),
        burster(1, at(0.5), 0.85),
        burster(2, at(0.5), 1.7, cpu_millis=200),
    )
    assert use(plane, 1) == pytest.approx((2150, 1000), rel=1e-12)
    plane.advance(START + 20 * S)
    # 3 s at full speed; 0.85 / 0.28333 = 3 and 1.7 / 0.56667 = 3.
    assert [t for t, _ in ends(plane)] == pytest.approx([3.5, 3.5, 3.5], abs=2e-6)


def test_what_another_reserves_is_lent_while_it_is_idle(cluster: Any) -> None:
    """A neighbour without a limit serves from 3 to 8 on its 600m: 2 s at full speed, 5 s at 0.4, 6 s at full speed."""
    neighbour = pod(at(3), 5.0, fixed(1), index=0, cpu_millis=600, sample_every=1)
    plane, _ = cluster(neighbour, burster(1, at(1)))
    assert use(plane, 2) == (1000, 1000.0)
    assert use(plane, 4) == (1600, 1000.0)
    plane.advance(START + 50 * S)
    assert ends(plane) == [(8.0, "served"), (14.0, "served")]


def test_who_was_there_before_the_first_that_bursts_is_followed_too(cluster: Any) -> None:
    """The neighbour has long been running when the other is deployed, at 1.5 s.

    That one's first request has 1 s from 2 to 3, and 1 s more at 0.4 by 5.5; its second 0.8 s from 6 to 8, and ends at 9.2.
    """
    plane, _ = cluster(pod(at(3), 5.0, fixed(1), index=0, cpu_millis=600, sample_every=1))
    plane.deploy(plane.host(burster(1, at(2, 6), 2.0), None, START + 3 * S // 2), START + 3 * S // 2)
    plane.advance(START + 50 * S)
    assert ends(plane) == [(5.5, "served"), (8.0, "served"), (9.2, "served")]


def test_a_limit_past_the_node_is_never_reached(cluster: Any) -> None:
    plane, _ = cluster(burster(0, at(1), cpu_limit_millis=4000))
    assert use(plane, 2) == (4000, 1000.0)
    plane.advance(START + 50 * S)
    assert ends(plane) == [(41.0, "served")]


def test_other_nodes_do_not_matter(cluster: Any) -> None:
    plane, _ = cluster(
        burster(0, at(1), cpu_millis=600),
        burster(1, at(1), cpu_millis=600),
        nodes=(CORE, CORE),
    )
    plane.advance(START + 50 * S)
    assert ends(plane) == [(11.0, "served"), (11.0, "served")]


def test_slots_share_what_their_replica_gets_and_processor_sharing_multiplies(cluster: Any) -> None:
    """Two requests of 4 s from 1 s on, at half speed: both at 9 s by slots; by sharing, half of that, at 17 s.

    From 9 s, when the first pod is idle again, the second has the core: 4 s each less 2 s had, so 4 s for both: 13 s.
    """
    plane, _ = cluster(
        burster(0, at(1, 1), 4.0, slots=2),
        burster(1, at(1, 1), 4.0, discipline="processor_sharing"),
    )
    plane.advance(START + 50 * S)
    assert ends(plane) == [(9.0, "served"), (9.0, "served"), (13.0, "served"), (13.0, "served")]


@pytest.mark.parametrize(
    ("what", "ended"), [("suspend", 12.5), ("crash", None), ("update", 21.0), ("remove", 12.5)]
)
def test_who_goes_leaves_its_share(cluster: Any, what: str, ended: float | None) -> None:
    """Both at half speed from 1 s. At 4 s one is stopped: the other has had 1.5 s of its 10. A draining one still shares."""
    plane, handles = cluster(burster(0, at(1)), burster(1, at(1)))
    if what == "suspend":
        plane.suspend(handles[0], START + 4 * S)
    elif what == "remove":
        plane.remove(handles[0], START + 4 * S)
    elif what == "crash":
        plane.crash_node(0, START + 4 * S)
    else:
        plane.update(handles[0], burster(0, at(1)), START + 4 * S)
    plane.advance(START + 50 * S)
    served = [t for t, outcome in ends(plane) if outcome == "served"]
    assert served == ([21.0, 21.0] if what == "update" else [ended] if ended else [])


def test_a_version_without_a_limit_lets_the_old_replicas_finish(cluster: Any) -> None:
    """The first drains from 4 s on: a second request comes to its new replica, which has 100m and serves at its pace."""
    spec = burster(0, at(1, 5))
    plane, (handle, _) = cluster(spec, burster(1, at(1)))
    plane.update(handle, replace(spec, cpu_limit_millis=None), START + 4 * S)
    assert use(plane, 6) == pytest.approx((2100, 1000), rel=1e-12)
    plane.advance(START + 50 * S)
    # From 1 to 5 each has half of the core, so 2 s; from 5 to 15 each 450m, so 4.5 s. The third ends at 15, and
    # both have 3.5 s to go, at half speed.
    assert ends(plane) == [(15.0, "served"), (22.0, "served"), (22.0, "served")]


def test_replicas_of_one_pod_compete_too(cluster: Any) -> None:
    """Two replicas of a scaled pod: the second request comes to an idle one, and both are at half speed."""
    plane, _ = cluster(burster(0, at(1, 6), rule=fixed(2)))
    plane.advance(START + 50 * S)
    # 5 s alone, then both at half speed until the first's 5 s are done at 16; the second has 5 s left.
    assert ends(plane) == [(16.0, "served"), (21.0, "served")]


def test_the_bill_is_what_is_reserved(cluster: Any) -> None:
    """Replicas are billed for their time, busy or not, at full speed or not."""
    plane, handles = cluster(burster(0, at(1), rule=keda(idle_s=60)), burster(1, at(1)))
    plane.advance(START + 200 * S)
    assert timeline(plane)[-2:] == [(1.0, 0, 1), (81.0, 0, 0)]
    assert plane.replica_ms(handles[0], START + 200 * S) == 80_000


@st.composite
def claims(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A node's millicores, and what each of some replicas reserves of them and may use at most."""
    reserved = draw(st.lists(st.integers(1, 400), min_size=1, max_size=8))
    most = [draw(st.sampled_from([cpu, cpu + 1, cpu * 2, cpu + 700, 10**9])) for cpu in reserved]
    return sum(reserved) + draw(st.sampled_from([0, 1, 500])), list(zip(reserved, most, strict=True))


@given(claims())
def test_shares_are_max_min_fair(claim: tuple[int, list[tuple[int, int]]]) -> None:
    """What makes it so: nothing is idle that is wanted, and nobody short of its limit could get more by weight.

    Each has its request at least. Both engines say the same, to the bit.
    """
    cpu, replicas = claim
    speeds = []
    for engine in (DataPlane, ReferencePlane):
        plane = engine([NodeSpec(cpu, 1000)], start_ns=START)
        for i, (reserved, most) in enumerate(replicas):
            spec = burster(i, at(1), 1e6, cpu_millis=reserved, cpu_limit_millis=most)
            plane.deploy(plane.host(spec, None, START), START)
        plane.advance(START + 2 * S)
        speeds.append(speeds_of(plane))
    assert speeds[0] == speeds[1]
    given = [speed * most for speed, (_, most) in zip(speeds[0], replicas, strict=True)]
    assert sum(given) == pytest.approx(min(cpu, sum(most for _, most in replicas)), rel=1e-12)
    levels = [got / reserved for got, (reserved, _) in zip(given, replicas, strict=True)]
    assert min(levels) >= 1 - 1e-12
    short = [level for level, speed in zip(levels, speeds[0], strict=True) if speed < 1]
    assert all(level >= max(levels) * (1 - 1e-12) for level in short)


def speeds_of(plane: DataPlane | ReferencePlane) -> list[float]:
    """The speed of each pod's one replica, by pod."""
    if isinstance(plane, ReferencePlane):
        return [pod.ready[0].speed for pod in plane._events.pods.values()]
    replicas = plane._arrays["replicas"]
    return [
        float(speed) for _, speed in sorted((int(r["pod"]), r["speed"]) for r in replicas if r["in_service"])
    ]


@pytest.mark.parametrize(("cpu", "limit"), [(500, 499), (0, 100), (500, -1)])
def test_a_limit_below_the_request_or_without_one_is_refused(cpu: int, limit: int) -> None:
    with pytest.raises(BadInput, match=f"cpu_limit_millis {limit} from cpu_millis {cpu}"):
        burster(0, at(1), cpu_millis=cpu, cpu_limit_millis=limit)
