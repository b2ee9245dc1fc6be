"""What a scenario will come to, before it is run: load, money, time constants, rows, disk and wall time.

These are estimates from means. Loads and deposits are exact in what they count; rows and wall time are from runs that
were measured, and can be wrong by the factor that is said beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocol import agreement
from protocol.manifest import pod_resources, volume_resources
from protocol.policies.funding import Once
from protocol.units import NS_PER_S, Resource
from sim.explain.phrases import money_text, span_text
from sim.scenario import policies
from sim.scenario.convert import bounds, function_of, to_service
from sim.scenario.limits import expected_requests
from sim.scenario.serving import HOUR_NS, price_table

if TYPE_CHECKING:
    from sim.metrics import Value
    from sim.scenario import Provider, Publisher, Scenario
    from sim.scenario.model import PublisherMember

REQUESTS_PER_S: Final = 4.39e6
"""10,000 pods at mixed rates on one core (docs/performance.md)."""
S_PER_POD_HOUR: Final = 2.4e-3
"""What the market's 180 s are beside its 30 M requests, over 3,000 pods and 24 h (docs/performance.md)."""
START_S: Final = 3.0
EVENTS_PER_POD_HOUR: Final = 20
"""5 in azure-marketplace, 18 in the scenario of `trustedpods new`, 63 where each tick claims."""
BYTES_PER_ROW: Final = 15
"""azure-marketplace: 1.1 MB for 82,000 rows."""
FACTOR: Final = 4
"""By which rows, and wall times of the demo (19 s) and the market (180 s), are off at most."""
SHORT: Final = 10
"""A run should last so many times its slowest time constant."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to know.

    Attributes:
        text: in words, with its numbers.
        warns: whether it is likely to be a mistake.
    """

    text: str
    warns: bool = False


def forecast(scenario: Scenario) -> list[Line]:
    """What to know of a sound scenario before it is run."""
    return [*_loads(scenario), *_deposits(scenario), *_times(scenario), *_size(scenario)]


def _loads(scenario: Scenario) -> Iterator[Line]:
    """ρ is busy slots over slots, at the mean rate and the most replicas; of nodes, busy cores over all cores."""
    cores = 0.0
    members = scenario.publisher_members()
    for group in scenario.publishers:
        busy = [
            (_rate(member, scenario), to_service(member).mean, member.name)
            for member in members
            if member.group is group
        ]
        most = bounds(group)[1]
        rate, mean_s, name = max(busy, key=lambda one: one[0] * one[1])
        rho = rate * mean_s / (group.slots * most)
        cores += sum(min(most, r * s / group.slots) for r, s, _ in busy) * _cores(group)
        over = "; it cannot keep up: what waits only grows" if rho >= 1 else ""
        yield Line(
            f"{name}: {rate:.4g} requests/s × {mean_s:.4g} s ÷ ({group.slots} slots × {most} replicas): ρ = {rho:.3g}{over}",
            warns=rho >= 1,
        )
    there = sum(n.count * n.cpu_millis * p.count for p in scenario.providers for n in p.nodes) / 1000
    rho = cores / there
    over = "; there are too few nodes" if rho >= 1 else ""
    yield Line(
        f"all nodes: {cores:.4g} of {there:g} cores busy at the mean: ρ = {rho:.3g}{over}", warns=rho >= 1
    )


def _rate(member: PublisherMember, scenario: Scenario) -> float:
    """A member's mean rate over the run [1/s]."""
    seconds, function = scenario.duration_ns / NS_PER_S, function_of(member)
    if function is None or member.group.traffic.trace is None:
        return float(expected_requests(member.group, scenario)) / member.group.count / seconds
    minutes = max(0, scenario.duration_ns - member.group.traffic.trace.delay_ns) // (60 * NS_PER_S) + 1
    return sum(function.counts[:minutes]) / seconds


def _cores(group: Publisher) -> float:
    return pod_resources(group.manifest).get(Resource.CPU, 0) / 1000


def _deposits(scenario: Scenario) -> Iterator[Line]:
    """How long money lasts that is put in once, at the cheapest provider's price, with one replica always on."""
    token = scenario.payment_token
    for group in scenario.publishers:
        hour, cheapest = min((_hourly(group, provider), provider.name) for provider in scenario.providers)
        if hour <= 0:
            continue
        funding = policies.build("funding", group.policies.funding, token)
        wallet_ns = group.wallet.payment_base * HOUR_NS // hour
        text = f"{group.name}: one replica costs {money_text(hour, token.decimals, token.symbol)}/h at {cheapest}'s price; its wallet pays for {span_text(wallet_ns)} of it"
        once = isinstance(funding, Once) and funding.first < scenario.duration_ns
        if once:
            text += f"; it deposits once, for {span_text(funding.first)} of a run of {span_text(scenario.duration_ns)}"
        yield Line(text, warns=once or wallet_ns < scenario.duration_ns)


def _hourly(group: Publisher, provider: Provider) -> int:
    table = price_table(provider)
    needs, volumes = pod_resources(group.manifest), volume_resources(group.manifest)
    if not table.covers({**needs, **volumes}):
        return 1 << 200
    return agreement.running_cost(needs, volumes, table, replicas=1, for_ns=HOUR_NS)


def _times(scenario: Scenario) -> Iterator[Line]:
    """The slowest thing that a run has to see several of."""
    found = [(p.terms.tick_ns, f"{p.name}'s tick") for p in scenario.providers]
    for group in scenario.publishers:
        for name in ("idle_ns", "stable_ns", "tick_ns"):
            value = getattr(group.scaling, name, None)
            if value:
                found.append((value, f"{group.name}'s scaling.{name[:-3]}"))
    slowest_ns, what = max(found)
    short = scenario.duration_ns < SHORT * slowest_ns
    times = scenario.duration_ns / slowest_ns
    much = f"; less than {SHORT} times shows its beginning more than its course" if short else ""
    yield Line(
        f"slowest time constant: {what}, {span_text(slowest_ns)}; the run lasts {times:.3g} times as long{much}",
        warns=short,
    )


def _size(scenario: Scenario) -> Iterator[Line]:
    hours = scenario.duration_ns / HOUR_NS
    requests = sum(float(expected_requests(g, scenario)) for g in scenario.publishers)
    pods, providers = sum(g.count for g in scenario.publishers), sum(g.count for g in scenario.providers)
    rows = (providers + 1) * scenario.duration_ns / scenario.output.sampling_ns
    rows += requests * float(scenario.output.requests_share)
    rows += pods * hours * EVENTS_PER_POD_HOUR if scenario.output.events else 0
    wall_s = START_S + scenario.replications * (requests / REQUESTS_PER_S + pods * hours * S_PER_POD_HOUR)
    rows *= scenario.replications
    yield Line(
        f"to expect, within a factor of {FACTOR} on the machine of docs/performance.md: {requests * scenario.replications:.3g} requests, "
        f"{rows:.3g} rows, {rows * BYTES_PER_ROW / 1e9:.2g} GB, {span_text(round(wall_s * NS_PER_S))} on one worker"
    )


def replications_needed(values: Sequence[Value], half_width: float) -> int | None:
    """How many replications bring the 95 % interval's half width to a share of the mean.

    Args:
        values: of a pilot, two or more.
        half_width: share of the mean, above 0.

    Returns:
        None where the pilot cannot say: a value is missing, or the mean is 0.
    """
    from sim.statistics import jackknife, t_quantile  # with numpy, which only a pilot needs

    pairs = [value for value in values if isinstance(value, tuple)]
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    if pairs:
        numbers = jackknife([a for a, _ in pairs], [b for _, b in pairs]) or []
    n = len(numbers)
    if n < 2 or n < len(values):
        return None
    mean = math.fsum(numbers) / n
    if mean == 0:
        return None
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in numbers) / (n - 1))
    needed = 2
    while t_quantile(0.975, needed - 1) * deviation / math.sqrt(needed) > half_width * abs(mean):
        needed = max(needed + 1, math.ceil(needed * 1.02))
    return needed
