"""Whether a run of a scenario could ever end, and its sums fit the tables: estimates from its rates and intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Final

from protocol.units import NS_PER_S
from sim.scenario import demand
from sim.scenario import quantities as q
from sim.scenario.convert import to_law
from sim.scenario.fields import MONEY_MAX
from sim.scenario.laws import Unsound
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath, ScenarioErrors
from sim.trace_files import read_seconds, read_trace

Found = Iterator[tuple[KeyPath, str]]

REQUESTS_MAX: Final = 10**12
"""The data plane serves a million to 26 million requests a second (README): half a day to twelve days."""
STEPS_MAX: Final = 10**10
"""Blocks, samples and providers' ticks are Python's, some 100,000 a second: a day and more."""
PARTIES_MAX: Final = 10**6
NODES_MAX: Final = 10**7
"""Some kilobytes a party and some hundred bytes a node: what a machine with tens of gigabytes holds."""
RATE_STEPS_MAX: Final = 10**6
"""Each is a row and two numbers in memory."""
RATE_MAX: Final = 10**12
FARTHEST_DRAW: Final = 8
"""Standard deviations that no draw of a run passes (chance 6·10^-16)."""
MINUTE_NS: Final = 60 * NS_PER_S
INT64_MAX: Final = 2**63 - 1


def requests_can_be_run(scenario: Scenario) -> Found:
    """No more requests are expected, over all replications and tried as often as they may be, than can be run (10^12), nor bytes than int64 holds."""
    for i, group in enumerate(scenario.publishers):
        with suppress(Unsound, ScenarioErrors):  # a file that cannot be read is reported
            at: KeyPath = ("publishers", i)
            tries = 1 + group.client.retries
            requests = expected_requests(group, scenario) * tries * scenario.most_replications
            again = f", each tried {tries} times" if tries > 1 else ""
            if requests > REQUESTS_MAX:
                yield (
                    (*at, "traffic"),
                    f"about {_about(requests)} requests are expected over all replications{again}; at most {_about(REQUESTS_MAX)} can be run",
                )
                continue
            for name in ("request_bytes", "response_bytes"):
                each = getattr(group, name)
                if requests * each > INT64_MAX:
                    yield (
                        (*at, name),
                        f"{q.write_bytes(each)} for each of about {_about(requests)} requests; at most {_about(INT64_MAX)} bytes in all can be counted",
                    )


def steps_can_be_run(scenario: Scenario) -> Found:
    """Intervals are not so short for the run's duration that it could not end (10^10 steps; 10^12 of the data plane's)."""
    with suppress(Unsound):
        yield from _steps(scenario, ("chain", "block_time"), scenario.chain.block_time_ns, 1)
    with suppress(Unsound):
        yield from _steps(scenario, ("output", "sampling"), scenario.output.sampling_ns, 1)
    for i, provider in enumerate(scenario.providers):
        with suppress(Unsound):
            yield from _steps(
                scenario, ("providers", i, "terms", "tick"), provider.terms.tick_ns, provider.count
            )
        with suppress(Unsound, ScenarioErrors):  # a file that cannot be read is reported
            if provider.failures is not None:
                mean_s = to_law(provider.failures.every).mean + to_law(provider.failures.for_).mean
                every_ns = int(min(mean_s * NS_PER_S, INT64_MAX)) + 1
                yield from _steps(scenario, ("providers", i, "failures", "every"), every_ns, provider.count)
    for i, publisher in enumerate(scenario.publishers):
        with suppress(Unsound):
            tick_ns = getattr(publisher.scaling, "tick_ns", None)
            if tick_ns is not None:
                yield from _steps(
                    scenario, ("publishers", i, "scaling", "tick"), tick_ns, publisher.count, REQUESTS_MAX
                )
        with suppress(Unsound):
            for j, state in enumerate(publisher.traffic.mmpp.states if publisher.traffic.mmpp else ()):
                at: KeyPath = ("publishers", i, "traffic", "mmpp", "states", j, "stay")
                yield from _steps(scenario, at, state.stay_ns, publisher.count, REQUESTS_MAX)


def _steps(scenario: Scenario, at: KeyPath, every_ns: int, times: int, most: int = STEPS_MAX) -> Found:
    steps = Fraction(scenario.duration_ns * scenario.most_replications * times, every_ns)
    if steps > most:
        yield (
            at,
            f"{q.write_duration(every_ns)} makes about {_about(steps)} steps over all replications; at most {_about(most)} can be run",
        )


def parties_can_be_held(scenario: Scenario) -> Found:
    """No more parties (10^6) and nodes (10^7) than a machine can hold."""
    parties = sum(group.count for group in scenario.providers)
    parties += sum(group.count for group in scenario.publishers)
    nodes = sum(group.count * sum(n.count for n in group.nodes) for group in scenario.providers)
    for number, most, what, key in (
        (parties, PARTIES_MAX, "providers and publishers", "publishers"),
        (nodes, NODES_MAX, "nodes", "providers"),
    ):
        if number > most:
            yield (key,), f"{number} {what} in all; at most {most} can be held"


def money_can_be_counted(scenario: Scenario) -> Found:
    """All wallets together hold no more of a token than the tables have digits for."""
    wallets = [(group.wallet, group.count) for group in scenario.providers]
    buyers = [(group.wallet, group.count) for group in scenario.publishers]
    for name, token in (("payment", scenario.payment_token), ("gas", scenario.gas_token)):
        total = sum(getattr(wallet, f"{name}_base") * count for wallet, count in (*wallets, *buyers))
        if total > MONEY_MAX:
            yield (
                ("tokens", name),
                f"{q.write_money(total, token)} are in all wallets together; at most {q.write_money(MONEY_MAX, token)} can be counted",
            )


def rates_can_be_counted(scenario: Scenario) -> Found:
    """An exchange rate has no more steps than can be kept (10^6), and stays within what tables have digits for, whatever all wallets hold."""
    with suppress(Unsound):
        held = sum(group.wallet.payment_base * group.count for group in scenario.publishers)
        worth = Fraction(held, scenario.payment_token.base_units) * RATE_MAX * scenario.numeraire.base_units
        if scenario.tokens.payment.rate is not None and worth > MONEY_MAX:
            yield (
                ("tokens", "payment", "rate"),
                f"{q.write_money(held, scenario.payment_token)} in all publishers' wallets may come to be worth more than can be counted; at most {_about(Fraction(MONEY_MAX, RATE_MAX * scenario.numeraire.base_units))} where the token has a rate",
            )
    seconds = Fraction(scenario.duration_ns, NS_PER_S)
    for name in ("payment", "gas"):
        with suppress(Unsound):
            rate = getattr(scenario.tokens, name).rate
            if rate is None or rate.gbm is None:
                continue
            law = rate.gbm
            at: KeyPath = ("tokens", name, "rate", "gbm")
            if (steps := Fraction(scenario.duration_ns, law.step_ns)) > RATE_STEPS_MAX:
                yield (
                    (*at, "step"),
                    f"{q.write_duration(law.step_ns)} makes about {_about(steps)} steps; at most {_about(RATE_STEPS_MAX)} can be kept",
                )
            span = float(seconds * NS_PER_S / law.unit_ns)
            strays = abs(float(law.drift)) * span + FARTHEST_DRAW * float(law.volatility) * math.sqrt(span)
            strays += abs(math.log(law.start)) + float(law.volatility) ** 2 * span / 2
            if strays > math.log(RATE_MAX):
                yield (
                    at,
                    f"with this start, drift and volatility the rate may leave {_about(1 / RATE_MAX)} to {_about(RATE_MAX)} within {q.write_duration(scenario.duration_ns)}; less of them is allowed",
                )


def expected_requests(group: demand.Publisher, scenario: Scenario) -> Fraction:
    """Requests of all members that are expected while the run lasts."""
    traffic, seconds = group.traffic, Fraction(scenario.duration_ns, NS_PER_S)
    if traffic.trace is not None:
        first, past = traffic.trace.rows
        rows = read_trace(traffic.trace.files).functions[first:past]
        minutes = max(0, scenario.duration_ns - traffic.trace.delay_ns) // MINUTE_NS + 1
        return Fraction(sum(sum(row.counts[:minutes]) for row in rows))
    each = Fraction(0)
    if traffic.poisson is not None:
        each = _poisson(traffic.poisson, seconds)
    elif traffic.mmpp is not None:
        states = traffic.mmpp.states
        stay_ns = sum(state.stay_ns for state in states)
        each = sum((state.rate_per_s * state.stay_ns for state in states), Fraction(0)) / stay_ns * seconds
    elif traffic.renewal is not None:
        gaps = to_law(traffic.renewal)
        each = seconds / Fraction(max(gaps.mean if gaps.mean < inf else gaps.quantile(0.5), 1e-9))
    elif traffic.replay is not None:
        each = Fraction(len(read_seconds(traffic.replay)))
    return each * group.count


def _poisson(law: demand.Poisson, seconds: Fraction) -> Fraction:
    if law.rate_per_s is not None:
        return law.rate_per_s * seconds
    if law.diurnal is not None:
        return law.diurnal.mean_per_s * seconds
    steps = law.steps or ()
    starts = [min(Fraction(step.at_ns, NS_PER_S), seconds) for step in steps]
    spans = [after - before for before, after in pairwise([*starts, seconds])]
    return sum((step.rate_per_s * span for step, span in zip(steps, spans, strict=True)), Fraction(0))


def _about(number: Fraction | int | float) -> str:
    return f"{float(number):.3g}"
