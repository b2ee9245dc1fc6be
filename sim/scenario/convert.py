"""From what a scenario says of a publisher to what the data plane is told."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import assert_never

from protocol.manifest import Pod, Replicas
from protocol.scaling.parameters import fixed_params, keda_params, kpa_params, per_request_params
from protocol.units import NEVER_NS, NS_PER_S
from sim import laws, traffic
from sim.kernel.specs import Client
from sim.kernel.specs import Scaling as KernelScaling
from sim.scenario import demand
from sim.scenario.fields import FIAT_DECIMALS
from sim.scenario.laws import Law
from sim.scenario.model import PublisherMember, Scenario
from sim.trace_files import Function, empirical, read_seconds, read_trace

DAY_S = 86_400
DIURNAL_STEPS = 288
"""A sine is cut into steps of five minutes, each with its mean rate."""


def _s(ns: int) -> float:
    return ns / NS_PER_S


def to_law(law: Law) -> laws.Law:
    """The law of a duration, in seconds.

    Raises:
        ScenarioErrors: the file of an empirical law is missing or wrong.
    """
    if law.constant_ns is not None:
        return laws.Constant(_s(law.constant_ns))
    if law.exponential_ns is not None:
        return laws.Exponential(_s(law.exponential_ns))
    if law.lognormal is not None:
        return laws.Lognormal(_s(law.lognormal.mean_ns), float(law.lognormal.cv))
    if law.uniform is not None:
        return laws.Uniform(_s(law.uniform.low_ns), _s(law.uniform.high_ns))
    if law.weibull is not None:
        return laws.Weibull(_s(law.weibull.scale_ns), float(law.weibull.shape))
    if law.pareto is not None:
        return laws.Pareto(_s(law.pareto.scale_ns), float(law.pareto.shape))
    if law.empirical is not None:
        return empirical(law.empirical)
    raise AssertionError("a law has exactly one kind")


def function_of(member: PublisherMember) -> Function | None:
    """The member's row of its trace; None when its traffic is not from a trace."""
    trace = member.group.traffic.trace
    if trace is None or member.trace_row is None:
        return None
    return read_trace(trace.files).functions[member.trace_row]


def _poisson(law: demand.Poisson, start_ns: int) -> traffic.Poisson:
    if law.rate_per_s is not None:
        return traffic.Poisson.constant(float(law.rate_per_s))
    if law.steps is not None:
        return traffic.Poisson(tuple((_s(step.at_ns), float(step.rate_per_s)) for step in law.steps))
    if law.diurnal is not None:
        return _diurnal(law.diurnal, start_ns)
    raise AssertionError("a Poisson process has exactly one shape")


def _diurnal(swing: demand.Diurnal, start_ns: int) -> traffic.Poisson:
    """Mean x (1 + (peak - 1) cos(2 pi (t - at) / day)), by steps; the mean over a step is exact."""
    mean, depth = float(swing.mean_per_s), float(swing.peak) - 1.0
    width = DAY_S / DIURNAL_STEPS
    offset = _s(start_ns % (DAY_S * NS_PER_S)) - _s(swing.at_ns)
    turn = 2 * math.pi / DAY_S

    def rate(k: int) -> float:
        a, b = turn * (k * width + offset), turn * ((k + 1) * width + offset)
        return max(0.0, mean * (1 + depth * (math.sin(b) - math.sin(a)) / (b - a)))

    return traffic.Poisson(tuple((k * width, rate(k)) for k in range(DIURNAL_STEPS)), float(DAY_S))


def to_traffic(member: PublisherMember, scenario: Scenario) -> traffic.Traffic | None:
    """Its arrival process; None: nobody calls it.

    Raises:
        ScenarioErrors: a file is missing or wrong.
    """
    said = member.group.traffic
    if said.poisson is not None:
        return _poisson(said.poisson, scenario.start_ns)
    if said.renewal is not None:
        return traffic.Renewal(to_law(said.renewal))
    if said.mmpp is not None:
        states = said.mmpp.states
        return traffic.Mmpp(tuple(float(s.rate_per_s) for s in states), tuple(_s(s.stay_ns) for s in states))
    if said.trace is not None:
        function = function_of(member)
        assert function is not None
        return traffic.Trace(function.counts, said.trace.within_minute, _s(said.trace.delay_ns))
    if said.replay is not None:
        return traffic.Replay(tuple(sorted(round(at * NS_PER_S) for at in read_seconds(said.replay))))
    return None


def to_service(member: PublisherMember) -> laws.Law:
    """Time to serve a request [s]."""
    if isinstance(member.group.service, Law):
        return to_law(member.group.service)
    function = function_of(member)
    if function is None:
        raise AssertionError("`service: trace` without a trace passes no check")
    return function.service()


def to_first_service(member: PublisherMember) -> laws.Law | None:
    """Time to serve the first request of a fresh replica [s]; None: as any other."""
    return to_law(member.group.first_service) if member.group.first_service else None


def outside_an_hour(group: demand.Publisher) -> Fraction | None:
    """What one replica costs the group elsewhere, an hour [numéraire]; None: it takes any price."""
    if group.value is None or group.value.outside_per_s is None:
        return None
    return group.value.outside_per_s * 3600 / 10**FIAT_DECIMALS


def to_client(group: demand.Publisher) -> Client:
    """What those who call the group's pods do when no answer comes."""
    said = group.client
    timeout_ns = NEVER_NS if said.timeout_ns is None else said.timeout_ns
    return Client(timeout_ns, said.retries, to_law(said.backoff), float(said.backoff_times))


def round_trip_ns(scenario: Scenario, group: demand.Publisher, region: str) -> int:
    """From those who call the group's pods to a provider in `region` and back: twice the mean latency [ns].

    Raises:
        ScenarioErrors: the file of an empirical law is missing or wrong.
        OverflowError: the law has no finite mean, which passes no check.
    """
    near = (group.client.region or group.region) == region
    law = to_law(scenario.network.latency_same_region if near else scenario.network.latency)
    return round(2 * law.mean * NS_PER_S)


def to_pod(member: PublisherMember) -> Pod:
    """The member's pod: the group's manifest, with the scenario's replicas and the trace's memory where it says so."""
    pod = member.group.manifest
    function = function_of(member) if member.group.memory == "trace" else None
    if function is not None:
        pod = pod.with_replica_memory(function.memory_bytes)
    least, most, target = bounds(member.group)
    return replace(pod, replicas=Replicas(min=least, max=most, target_pending_requests=target))


def bounds(group: demand.Publisher) -> tuple[int, int, int]:
    """Fewest replicas, most replicas and pending requests a replica: the scenario's, else the manifest's."""
    said, given = group.scaling, group.manifest.replicas
    if isinstance(said, demand.Fixed):
        return said.replicas, said.replicas, given.target_pending_requests
    least = group.manifest.least_replicas if said.min_replicas is None else said.min_replicas
    most = max(given.max, least) if said.max_replicas is None else said.max_replicas
    target = None if isinstance(said, demand.PerRequest | demand.Own) else said.target_pending_requests
    return least, most, given.target_pending_requests if target is None else target


def to_scaling(group: demand.Publisher) -> KernelScaling:
    """The scaling rule and its parameters; a pod without an HTTP port runs a fixed number.

    Raises:
        BadInput: a parameter is outside what the rule allows.
    """
    least, most, target = bounds(group)
    if not group.manifest.http:
        return KernelScaling("fixed", tuple(fixed_params(max(1, least))))
    match group.scaling:
        case demand.Keda() as keda:
            params = keda_params(
                min_replicas=least, max_replicas=most, target_m=target * 1000, tick_ns=keda.tick_ns,
                tolerance_permille=_permille(keda.tolerance), up_add=keda.up_add, up_times=keda.up_times,
                stable_ns=keda.stable_ns, idle_ns=keda.idle_ns,
            )  # fmt: skip
        case demand.Kpa() as kpa:
            params = kpa_params(
                min_replicas=least, max_replicas=most, target_m=target * 1000,
                utilisation_permille=_permille(kpa.utilisation), tick_ns=kpa.tick_ns, stable_ns=kpa.stable_ns,
                panic_ns=kpa.panic_ns, panic_permille=_permille(kpa.panic_at), up_permille=_permille(kpa.up_times),
                down_permille=_permille(kpa.down_times), grace_ns=kpa.grace_ns,
            )  # fmt: skip
        case demand.PerRequest() as per_request:
            params = per_request_params(min_replicas=least, max_replicas=most, idle_ns=per_request.idle_ns)
        case demand.Fixed() as fixed:
            params = fixed_params(fixed.replicas)
        case demand.Own():  # of which the bounds are known; what decides is `World`'s to make
            return KernelScaling("fixed", tuple(per_request_params(min_replicas=least, max_replicas=most)))
        case never:
            assert_never(never)
    return KernelScaling(group.scaling.policy, tuple(params))


def _permille(share: demand.Number) -> int:
    return round(share * 1000)
