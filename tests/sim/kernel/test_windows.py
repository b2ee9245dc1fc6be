"""Windows of 1 s, 100 s and 24 h over more than a day give identical bytes, whatever the order of pods and the sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.units import NEVER_NS
from sim.kernel.plane import DataPlane
from sim.kernel.specs import NodeSpec, PodSpec, StartUp
from sim.laws import Constant, Exponential, Lognormal
from sim.traffic import Mmpp, Poisson, Trace
from tests.sim.kernel.worlds import START, S, fixed, keda, kpa, per_request, pod

MB = 1_000_000
NODES = (NodeSpec(2000, 4000, 0, 20 * MB, 250 * MB), NodeSpec(1000, 2000, 0, 5 * MB, 100 * MB))
HORIZON_S = 26 * 3600


def pods() -> list[PodSpec]:
    """One of each policy, more replicas than there is room for, images that drive each other out."""
    start = StartUp(Exponential(0.5), 50 * MB, Exponential(3.0))
    common: dict[str, Any] = {
        "start_up": start, "cpu_millis": 500, "memory_bytes": 300, "image_bytes": 80 * MB,
        "wait_limit_ns": 40 * S, "request_bytes": 10, "response_bytes": 1000,
    }  # fmt: skip
    day = Poisson(((0.0, 0.02), (8 * 3600.0, 0.6), (20 * 3600.0, 0.1)), 86_400.0)
    return [
        pod(day, Exponential(2.0), keda(2, most=6), index=0, slots=2, image_id=1, **common),
        pod(Mmpp((0.0, 2.0), (900.0, 60.0)), Lognormal(1.0, 1.5), kpa(1, most=6), index=1, image_id=2, **common),
        pod(0.01, Exponential(5.0), per_request(300, 3), index=2, image_id=3, byte_rows=True, **common),
        pod(Trace((3, 0, 40, 0, 1) * 300, "bursty"), 0.5, per_request(60, 4), index=3, image_id=1, **common),
        pod(0.4, Exponential(1.5), fixed(1), index=4, discipline="processor_sharing", image_id=4, **common),
        replace(
            pod(0.05, Constant(30.0), keda(1, most=3, least=1), index=5, dispatch="random", image_id=5, **common),
            wait_limit_ns=NEVER_NS,
        ),
    ]  # fmt: skip


def play(window_s: int, order: list[int], sample_every: int) -> tuple[list[Any], Any, Any]:
    """Readings of each pod, transitions, and sampled requests, taken at every window's end."""
    plane = DataPlane(NODES, start_ns=START)
    specs = pods()
    handles = {}
    for k in order:
        handles[k] = plane.host(replace(specs[k], sample_every=sample_every), None, START)
        plane.deploy(handles[k], START)
    end = START + HORIZON_S * S
    rows, samples = [], []
    for at in [*range(START + window_s * S, end, window_s * S), end]:
        plane.advance(at)
        if at == end or (at - START) % (100 * S) == 0:
            rows.append(plane.take_transitions())
            samples.append(plane.take_requests())
    read = [
        (plane.counters(h, end), plane.sketch(h).tobytes(), plane.cold_sketch(h).tobytes())
        for _, h in sorted(handles.items())
    ]
    return read, np.concatenate(rows), np.concatenate(samples)


ORDERS = {1: [5, 3, 1, 0, 2, 4], 100: [4, 5, 0, 1, 3, 2], 86_400: [5, 4, 3, 2, 1, 0]}


@pytest.mark.parametrize("window_s", ORDERS)
def test_windows_order_and_sampling_change_no_byte(window_s: int) -> None:
    whole = play(HORIZON_S, [0, 1, 2, 3, 4, 5], 1)
    read, rows, samples = play(window_s, ORDERS[window_s], 7)
    assert read == whole[0]
    assert rows.tobytes() == whole[1].tobytes()
    assert samples.tobytes() == whole[2][whole[2]["index"] % 7 == 0].tobytes()
    served = sum(counters.served for counters, *_ in read)
    assert served == int((whole[2]["outcome"] == 0).sum()) > 20_000
    assert max(counters.unplaced_replica_ns for counters, *_ in read) > 0  # they do get in each other's way
