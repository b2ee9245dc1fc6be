"""Small clusters for the tests of the data plane: short ways to say what matters in each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from protocol import scaling
from protocol.units import NEVER_NS
from sim.kernel.plane import DataPlane
from sim.kernel.specs import Keys, NodeSpec, PodSpec, Scaling
from sim.laws import Constant, Law
from sim.traffic import Poisson, Traffic

S: Final = 1_000_000_000
START: Final = 1_700_000_000 * S
HUGE: Final = NodeSpec(cpu_millis=10**12, memory_bytes=10**15, gpus=1000)


def fixed(replicas: int) -> Scaling:
    """Always so many replicas."""
    return Scaling("fixed", tuple(scaling.fixed_params(replicas)))


def per_request(idle_s: float, most: int, least: int = 0) -> Scaling:
    """One request a replica, gone after `idle_s` without one."""
    params = scaling.per_request_params(min_replicas=least, max_replicas=most, idle_ns=round(idle_s * S))
    return Scaling("per_request", tuple(params))


def keda(target: float = 2, most: int = 100, least: int = 0, idle_s: float = 300) -> Scaling:
    """HPA with KEDA's step from and to zero."""
    params = scaling.keda_params(
        min_replicas=least, max_replicas=most, target_m=round(target * 1000), idle_ns=round(idle_s * S)
    )
    return Scaling("keda", tuple(params))


def kpa(target: float = 2, most: int = 100, least: int = 0) -> Scaling:
    """Knative's autoscaler."""
    params = scaling.kpa_params(min_replicas=least, max_replicas=most, target_m=round(target * 1000))
    return Scaling("kpa", tuple(params))


def pod(
    traffic: Traffic | float,
    service: Law | float,
    rule: Scaling,
    *,
    index: int = 0,
    seed: int = 1,
    path: str | None = None,
    **more: Any,
) -> PodSpec:
    """A pod that waits for ever and needs nothing, unless `more` says otherwise."""
    spec = PodSpec(
        pod_index=index,
        keys=Keys.of(seed, 0, path or f"publishers[{index}]"),
        traffic=Poisson.constant(traffic) if isinstance(traffic, int | float) else traffic,
        service=Constant(service) if isinstance(service, int | float) else service,
        scaling=rule,
        wait_limit_ns=NEVER_NS,
    )
    return replace(spec, **more)


def run(spec: PodSpec, horizon_s: float, *nodes: NodeSpec) -> tuple[DataPlane, int, int]:
    """A plane with this one pod, deployed from the start and advanced to the horizon: (plane, handle, end)."""
    plane = DataPlane(nodes or (HUGE,), start_ns=START)
    handle = plane.host(spec, None, START)
    plane.deploy(handle, START)
    end = START + round(horizon_s * S)
    plane.advance(end)
    return plane, handle, end
