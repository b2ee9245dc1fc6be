"""Whether anybody can serve whom: for each publisher a provider with room, prices, terms and a deposit in reach."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

from protocol.manifest import Pod, pod_resources, volume_resources
from protocol.units import NS_PER_S, Resource
from sim.scenario import demand
from sim.scenario import quantities as q
from sim.scenario.laws import Unsound
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath, ScenarioErrors
from sim.scenario.supply import Nodes, Provider
from sim.trace_files import TraceFiles, read_trace


def everybody_finds_a_provider(scenario: Scenario) -> Iterator[tuple[KeyPath, str]]:
    """For each publisher some provider has room, prices, terms and a deposit that it can meet."""
    for i, group in enumerate(scenario.publishers):
        with suppress(Unsound):
            yield from _finds_a_provider(scenario, ("publishers", i), group)


def _finds_a_provider(
    scenario: Scenario, at: KeyPath, group: demand.Publisher
) -> Iterator[tuple[KeyPath, str]]:
    for _ in (0,):
        pod = _largest(group)
        if pod is None:
            continue  # its trace cannot be read, which is reported
        needs = pod_resources(pod)
        roomy = [
            p for p in scenario.providers if any(_fits(needs, node) for node in p.nodes) and _stores(pod, p)
        ]
        if not roomy:
            yield (
                (*at, "manifest"),
                f"a replica with its volumes ({_words(needs | volume_resources(pod))}) fits on no node of any provider; the largest has {_largest_node(scenario)}",
            )
            continue
        priced = [
            p for p in roomy if all(_price(p, r) is not None for r in {**needs, **volume_resources(pod)})
        ]
        if not priced:
            lacking = sorted({r.value for r in needs for p in roomy if _price(p, r) is None})
            yield (*at, "manifest"), f"no provider with room has a price for {', '.join(lacking)}"
            continue
        patient = [p for p in priced if p.terms.min_unlock_time_ns <= group.unlock_time_ns]
        if not patient:
            least = min(p.terms.min_unlock_time_ns for p in priced)
            yield (
                (*at, "unlock_time"),
                f"{q.write_duration(group.unlock_time_ns)} is shorter than every provider accepts; the least is {q.write_duration(least)}",
            )
            continue
        deposit, cheapest = min((_runway_cost(pod, p), p.name) for p in patient)
        if deposit > group.wallet.payment_base:
            token = scenario.payment_token
            yield (
                (*at, "wallet", "payment"),
                (
                    f"{q.write_money(group.wallet.payment_base, token)} pays no provider's least deposit; "
                    f"the least is {q.write_money(deposit, token)}, at '{cheapest}' (its terms' runway at its prices)"
                ),
            )


def _largest(group: demand.Publisher) -> Pod | None:
    """The group's pod, with the most memory that any of its members asks for."""
    if group.memory != "trace" or group.traffic.trace is None:
        return group.manifest
    files = _trace_or_none(group.traffic.trace)
    first, past = group.traffic.trace.rows
    functions = files.functions[first:past] if files else ()
    if not functions:
        return None
    return group.manifest.with_replica_memory(max(function.memory_bytes for function in functions))


def _trace_or_none(trace: demand.Trace) -> TraceFiles | None:
    try:
        return read_trace(trace.files)
    except ScenarioErrors:
        return None


def _fits(needs: dict[Resource, int], node: Nodes) -> bool:
    room = {Resource.CPU: node.cpu_millis, Resource.MEMORY: node.memory_bytes, Resource.GPU: node.gpu}
    return all(needs.get(resource, 0) <= amount for resource, amount in room.items())


def _stores(pod: Pod, provider: Provider) -> bool:
    needed = volume_resources(pod).get(Resource.STORAGE, 0)
    return needed <= max(node.storage_bytes for node in provider.nodes)


def _price(provider: Provider, resource: Resource) -> int | None:
    prices = provider.prices
    table = {
        Resource.CPU: prices.cpu, Resource.MEMORY: prices.memory, Resource.STORAGE: prices.storage, Resource.GPU: prices.gpu,
        Resource.EGRESS: prices.egress, Resource.INGRESS: prices.ingress, Resource.IP: prices.ip,
    }  # fmt: skip
    return table[resource]


def _runway_cost(pod: Pod, provider: Provider) -> int:
    """What one replica and the volumes cost for the runway that the provider demands [token base units]."""
    rate = Fraction(0)  # base units a second
    for resource, amount in (*pod_resources(pod).items(), *volume_resources(pod).items()):
        units = Fraction(amount, 1000) if resource is Resource.CPU else Fraction(amount)
        rate += units * (_price(provider, resource) or 0)
    return math.ceil(rate * provider.terms.runway_ns / NS_PER_S)


def _words(needs: dict[Resource, int]) -> str:
    def one(resource: Resource, amount: int) -> str:
        match resource:
            case Resource.CPU:
                return f"cpu {q.write_cpu(amount)}"
            case Resource.MEMORY | Resource.STORAGE:
                return f"{resource.value} {q.write_bytes(amount)}"
            case _:
                return f"{resource.value} {amount}"

    return ", ".join(one(resource, amount) for resource, amount in needs.items()) or "nothing"


def _largest_node(scenario: Scenario) -> str:
    node = max(
        (node for p in scenario.providers for node in p.nodes), key=lambda n: (n.cpu_millis, n.memory_bytes)
    )
    room = {
        Resource.CPU: node.cpu_millis,
        Resource.MEMORY: node.memory_bytes,
        Resource.STORAGE: node.storage_bytes,
    }
    return _words(room | ({Resource.GPU: node.gpu} if node.gpu else {}))
