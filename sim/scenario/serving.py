"""Whether anybody can serve whom: for each publisher a provider with room, prices, terms and a deposit in reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from protocol.agreement import running_cost
from protocol.attestation import Assurance
from protocol.errors import BadInput
from protocol.manifest import Pod, pod_resources, volume_resources
from protocol.payment import ZERO_ADDRESS, CreateChannel
from protocol.policies.funding import Once, Runway
from protocol.policies.selection import ByHand, Filters, Weighted
from protocol.ports import Approve
from protocol.pricing import PriceTable
from protocol.registry import RegisterPricingTable, RegisterProvider
from protocol.units import NS_PER_S, Resource
from sim.chain.gas import GAS
from sim.scenario import demand, policies
from sim.scenario import quantities as q
from sim.scenario.convert import bounds, to_scaling
from sim.scenario.laws import Unsound
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath, ScenarioErrors
from sim.scenario.supply import Nodes, PolicySpec, Provider
from sim.trace_files import TraceFiles, read_trace

if TYPE_CHECKING:
    from sim.chain.transactions import AnyCommand

HOUR_NS: Final = 3600 * NS_PER_S
Found = Iterator[tuple[KeyPath, str]]


def everybody_finds_a_provider(scenario: Scenario) -> Found:
    """For each publisher some provider that it may take has room, prices, terms and a deposit that it can meet, and its gas pays for opening a channel."""
    for i, group in enumerate(scenario.publishers):
        at: KeyPath = ("publishers", i)
        with suppress(Unsound):
            yield from _finds_a_provider(scenario, at, group)
        with suppress(Unsound):
            need = _gas(Approve, CreateChannel) * scenario.chain.least_gas_price_wei
            yield from _pays(scenario, at, group.wallet.gas_base, need, "an approval and a channel")


def providers_can_list_themselves(scenario: Scenario) -> Found:
    """A provider's gas pays for its entry in the registry."""
    for i, group in enumerate(scenario.providers):
        with suppress(Unsound):
            need = _gas(RegisterPricingTable, RegisterProvider) * scenario.chain.least_gas_price_wei
            what = "its entry in the registry"
            with suppress(policies.BadPolicy):  # which is reported
                behaviour = policies.build_behaviour("provider", group.behaviour, scenario.payment_token)
                need *= behaviour.identities
                if behaviour.identities > 1:
                    what = f"its {behaviour.identities} entries in the registry"
            yield from _pays(scenario, ("providers", i), group.wallet.gas_base, need, what)


def _gas(*commands: type[AnyCommand]) -> int:
    return sum(GAS[command] for command in commands)


def _pays(scenario: Scenario, at: KeyPath, held: int, need: int, what: str) -> Found:
    if held < need:
        token = scenario.gas_token
        yield (
            (*at, "wallet", "gas"),
            f"{q.write_money(held, token)} does not pay for {what}; at least {q.write_money(need, token)} is needed",
        )


def _finds_a_provider(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Found:
    """Goes through what rules providers out, until none is left."""
    try:
        to_scaling(group)
    except BadInput:
        return  # its replicas are impossible, which is reported
    pod = _largest(group)
    if pod is None:
        return  # its trace cannot be read, which is reported
    selection = _built("selection", group.policies.selection, scenario)
    settings: KeyPath = (*at, "policies", "selection", "with")
    taken = [p for p in scenario.providers if not isinstance(selection, Filters) or _passes(selection, p)]
    if not taken:
        yield from _nobody_passes(scenario, selection, settings)
        return
    provider = "provider" if len(taken) == len(scenario.providers) else "provider that its selection takes"
    needs, volumes = pod_resources(pod), volume_resources(pod)
    roomy = [p for p in taken if any(_fits(needs, node) for node in p.nodes) and _stores(volumes, p)]
    if not roomy:
        yield (
            (*at, "manifest"),
            f"a replica with its volumes ({_words(needs | volumes)}) fits on no node of any {provider}; the largest has {_largest_node(taken)}",
        )
        return
    priced = [p for p in roomy if price_table(p).covers({**needs, **volumes})]
    if not priced:
        lacking = sorted({r.value for r in needs for p in roomy if price_table(p).price(r) is None})
        yield (*at, "manifest"), f"no {provider} with room has a price for {', '.join(lacking)}"
        return
    token = scenario.payment_token
    if isinstance(selection, Filters) and selection.price_ceiling is not None:
        ceiling = selection.price_ceiling
        asked = [
            (running_cost(needs, volumes, price_table(p), replicas=1, for_ns=HOUR_NS), p) for p in priced
        ]
        priced = [p for cost, p in asked if cost <= ceiling or p.policies.price.use != "fixed"]
        if not priced:
            cost, cheapest = min((cost, p.name) for cost, p in asked)
            yield (
                (*settings, "price_ceiling"),
                f"{q.write_money(ceiling, token)}/h is below what every {provider} asks; the least is {q.write_money(cost, token)}/h, at '{cheapest}'",
            )
            return
    patient = [p for p in priced if p.terms.min_unlock_time_ns <= group.unlock_time_ns]
    if not patient:
        least = min(p.terms.min_unlock_time_ns for p in priced)
        yield (
            (*at, "unlock_time"),
            f"{q.write_duration(group.unlock_time_ns)} is shorter than every provider accepts; the least is {q.write_duration(least)}",
        )
        return
    funding = _built("funding", group.policies.funding, scenario)
    replicas = max(1, bounds(group)[0])
    deposit, cheapest, why = min(_deposit(pod, replicas, funding, p) for p in patient)
    if deposit > group.wallet.payment_base:
        yield (
            (*at, "wallet", "payment"),
            (
                f"{q.write_money(group.wallet.payment_base, token)} does not pay for a first deposit; "
                f"the least is {q.write_money(deposit, token)}, at '{cheapest}' ({why} at its prices)"
            ),
        )
    budget = group.value.budget_base if group.value is not None else None
    least_asked, name = min((_deposit(pod, replicas, None, p)[0], p.name) for p in patient)
    if budget is not None and budget < least_asked:
        yield (
            (*at, "value", "budget"),
            f"{q.write_money(budget, token)} is less than any provider takes as a first deposit; the least is {q.write_money(least_asked, token)}, at '{name}'",
        )


def _built(kind: str, spec: PolicySpec, scenario: Scenario) -> object:
    try:
        return policies.build(kind, spec, scenario.payment_token)
    except policies.BadPolicy:
        raise Unsound from None  # it is reported


def _passes(selection: Filters, provider: Provider, *only: str) -> bool:
    """Whether a selection takes a provider, by all its settings but the price, or by `only` these."""
    answers = {
        "regions": not selection.regions or provider.region.startswith(tuple(selection.regions)),
        "assurance": Assurance.of(provider.assurance) >= Assurance.of(selection.assurance),
        "gpu": not selection.gpu or provider.prices.gpu is not None,
        "region_weights": not isinstance(selection, Weighted) or selection.region_weight((provider.region,)) > 0,
        "providers": not isinstance(selection, ByHand) or bool(set(selection.providers) & _members(provider)),
    }  # fmt: skip
    return all(answers[name] for name in only or answers)


def _members(provider: Provider) -> set[str]:
    return {f"{provider.name}-{i}" for i in range(provider.count)}


def _nobody_passes(scenario: Scenario, selection: object, settings: KeyPath) -> Found:
    assert isinstance(selection, Filters)
    groups = scenario.providers
    alone = False
    promised = max((Assurance.of(p.assurance) for p in groups), default=Assurance.NONE).name.lower()
    regions = ", ".join(sorted({p.region for p in groups}))
    for name, text in (
        ("assurance", f"'{selection.assurance}' is more than any provider promises; the most is '{promised}'"),
        ("gpu", "true, but no provider has a price for GPUs"),
        ("region_weights", f"the weight of every provider's region is 0; above 0 is needed for one of {regions}"),
        ("regions", ""),  # reported, as are providers: each one that does not exist
        ("providers", ""),
    ):  # fmt: skip
        if not any(_passes(selection, p, name) for p in groups):
            alone = True
            if text:
                yield (*settings, name), text
    if not alone:
        asked = [
            name
            for name in ("regions", "assurance", "gpu", "region_weights", "providers")
            if not all(_passes(selection, p, name) for p in groups)
        ]
        yield (
            settings,
            f"no provider meets {', '.join(asked)} all at once, though some meet each; ask for less",
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


def _stores(volumes: Mapping[Resource, int], provider: Provider) -> bool:
    needed = volumes.get(Resource.STORAGE, 0)
    return needed <= max(node.storage_bytes for node in provider.nodes)


def price_table(provider: Provider) -> PriceTable:
    """What a provider charges at the beginning, as the rules take it."""
    prices = provider.prices
    return PriceTable(
        token=ZERO_ADDRESS, cpu=prices.cpu, ram=prices.memory, storage=prices.storage, egress=prices.egress,
        ingress=prices.ingress, gpu=prices.gpu, ip=prices.ip,
    )  # fmt: skip


def _deposit(pod: Pod, replicas: int, funding: object, provider: Provider) -> tuple[int, str, str]:
    """The first deposit that opens a channel with a provider [token base units], its name, and what asks for so much."""
    needs, volumes, table = pod_resources(pod), volume_resources(pod), price_table(provider)
    terms = provider.terms
    least = running_cost(needs, volumes, table, replicas=replicas, for_ns=terms.runway_ns)
    least = max(1, least + running_cost({}, volumes, table, replicas=0, for_ns=terms.grace_ns))
    if isinstance(funding, Once | Runway):
        first = running_cost(needs, volumes, table, replicas=1, for_ns=funding.first)
        if first > least:
            return first, provider.name, "the funding's `first`"
    return least, provider.name, "its terms' runway and grace"


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


def _largest_node(providers: Sequence[Provider]) -> str:
    node = max((node for p in providers for node in p.nodes), key=lambda n: (n.cpu_millis, n.memory_bytes))
    room = {
        Resource.CPU: node.cpu_millis,
        Resource.MEMORY: node.memory_bytes,
        Resource.STORAGE: node.storage_bytes,
    }
    return _words(room | ({Resource.GPU: node.gpu} if node.gpu else {}))
