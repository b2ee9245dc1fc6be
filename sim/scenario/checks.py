"""What must hold between the parts of a scenario, and between it and the files it names.

Each check takes the whole scenario and yields what is wrong, with its path. All of them run, so that a
person sees everything at once; where a part that one looks at is wrong itself (`Unsound`), it goes on with
the next. They are in the table `CHECKS`, which the reference lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any, Final

from protocol.claiming import MAX_CLAIMS_A_TRANSACTION
from protocol.errors import BadInput
from protocol.manifest import hint
from protocol.payment import WithdrawMany
from protocol.units import NS_PER_S
from sim.chain.gas import GAS, WITHDRAW_MANY_ENTRY
from sim.scenario import convert, demand
from sim.scenario import quantities as q
from sim.scenario.fields import DURATION_MAX_NS
from sim.scenario.laws import Law, Unsound
from sim.scenario.limits import (
    money_can_be_counted,
    parties_can_be_held,
    rates_can_be_counted,
    requests_can_be_run,
    steps_can_be_run,
)
from sim.scenario.method import (
    replications_are_said_once,
    series_are_of_metrics_over_time,
    the_warm_up_ends,
)
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath, Problem, ScenarioErrors, dotted, shown
from sim.scenario.serving import everybody_finds_a_provider, providers_can_list_themselves
from sim.scenario.supply import Provider
from sim.scenario.world import Fault
from sim.trace_files import empirical, read_rates, read_seconds, read_trace

Found = tuple[KeyPath, str] | Problem
"""What is wrong: at a path of the scenario, or in a file it names."""

Check = Callable[[Scenario], Iterator[Found]]

TRANSACTION_DEADLINE_NS: Final = 300 * NS_PER_S
UNLOCK_FACTOR: Final = 3
"""A provider's unlock time is at least 3 x (tick + confirmations + transaction deadline), so that a final claim
gets through; the deadline is the protocol's default."""


def cross_check(scenario: Scenario) -> list[Found]:
    """Everything that is wrong, in the order of `CHECKS`."""
    found: list[Found] = []
    for check in CHECKS:
        with suppress(Unsound):
            found.extend(check(scenario))
    return found


def each(key: str) -> Callable[[Callable[[Scenario, KeyPath, Any], Iterator[Found]]], Check]:
    """Makes a check of one member of the list `key` a check of all of them."""

    def made(check: Callable[[Scenario, KeyPath, Any], Iterator[Found]]) -> Check:
        @wraps(check)
        def of_all(scenario: Scenario) -> Iterator[Found]:
            for i, member in enumerate(getattr(scenario, key)):
                with suppress(Unsound):
                    yield from check(scenario, (key, i), member)

        return of_all

    return made


def _part(scenario: Scenario, path: KeyPath) -> Any:
    """What is at a path of attributes and indices."""
    here: Any = scenario
    for part in path:
        here = here[part] if isinstance(part, int) else getattr(here, part)
    return here


# --- names and times -------------------------------------------------------------------------------


def names_are_unique(scenario: Scenario) -> Iterator[Found]:
    """Groups of providers and publishers have different names."""
    seen: dict[str, str] = {}
    for key in ("providers", "publishers"):
        with suppress(Unsound):
            for i, group in enumerate(getattr(scenario, key)):
                with suppress(Unsound):
                    if group.name in seen:
                        text = f"'{group.name}' is taken by {seen[group.name]}; names of groups are unique"
                        yield (key, i, "name"), text
                    seen.setdefault(group.name, dotted((key, i)))


def times_fit(scenario: Scenario) -> Iterator[Found]:
    """What happens, happens before the end; the sampling interval is no longer than the run."""
    end = scenario.duration_ns
    last = q.write_duration(end)
    with suppress(Unsound):
        if scenario.output.sampling_ns > end:
            text = f"{q.write_duration(scenario.output.sampling_ns)} is longer than the run of {last}"
            yield ("output", "sampling"), text
    for path, at_ns in _instants(scenario):
        if at_ns >= end:
            yield path, f"{q.write_duration(at_ns)} is not before the end of the run, {last}"


def _instants(scenario: Scenario) -> Iterator[tuple[KeyPath, int]]:
    lists: list[KeyPath] = [("faults",), ("chain", "outages"), ("network", "partitions")]
    with suppress(Unsound):
        for i, group in enumerate(scenario.publishers):
            at: KeyPath = ("publishers", i)
            lists.append((*at, "actions"))
            with suppress(Unsound):
                if group.arrive.constant_ns is not None:
                    yield (*at, "arrive"), group.arrive.constant_ns
            with suppress(Unsound):
                if group.traffic.trace is not None:
                    yield (*at, "traffic", "trace", "delay"), group.traffic.trace.delay_ns
    with suppress(Unsound):
        market = scenario.chain.gas_price
        if not isinstance(market, int):
            if market.steps is not None:
                lists.append(("chain", "gas_price", "steps"))
            if market.eip1559 is not None:
                lists.append(("chain", "gas_price", "eip1559", "background", "surges"))
    for path in lists:
        with suppress(Unsound):
            for i, one in enumerate(_part(scenario, path)):
                with suppress(Unsound):
                    yield (*path, i, "at"), one.at_ns


@each("faults")
def faults_name_what_exists(scenario: Scenario, at: KeyPath, fault: Fault) -> Iterator[Found]:
    """Providers, publishers, nodes and regions that faults name are in the scenario."""
    match fault.kind:
        case "provider_crash" if any(group.name == fault.provider for group in scenario.providers):
            pass  # all its members
        case "provider_crash" | "node_crash":
            group = {member.name: member.group for member in scenario.provider_members()}.get(fault.provider)
            if group is None:
                yield (*at, "provider"), _no_member("provider", fault.provider, scenario.providers)
            elif fault.kind == "node_crash" and fault.node >= (count := sum(n.count for n in group.nodes)):
                yield (*at, "node"), f"{fault.node}: {fault.provider} has {count} nodes, 0 to {count - 1}"
        case "publisher_crash":
            if fault.publisher not in [member.name for member in scenario.publisher_members()]:
                yield (*at, "publisher"), _no_member("publisher", fault.publisher, scenario.publishers)
        case "rpc_silence" | "rpc_lie" if fault.party is not None:
            groups = [group.name for group in scenario.providers]
            groups += [group.name for group in scenario.publishers]
            known = {*groups, *(member.name for member in scenario.provider_members())}
            known |= {member.name for member in scenario.publisher_members()}
            if fault.party not in known:
                near = _near(fault.party, groups)
                yield (
                    (*at, "party"),
                    f"there is no provider, publisher or group '{fault.party}'; {near}",
                )
        case "partition":
            yield from _regions(scenario, fault.regions, (*at, "regions"))
        case _:
            pass


def partitions_name_regions(scenario: Scenario) -> Iterator[Found]:
    """Regions that `network.partitions` names have somebody in them."""
    for i, partition in enumerate(scenario.network.partitions):
        yield from _regions(scenario, partition.regions, ("network", "partitions", i, "regions"))


def _near(name: str, groups: list[str]) -> str:
    stem = name.rsplit("-", 1)[0] if name.rsplit("-", 1)[-1].isdigit() else name
    return hint(stem, groups)


def _no_member(kind: str, name: str, groups: Any) -> str:
    stem, _, index = name.rpartition("-")
    for group in groups:
        if group.name == stem and index.isdigit():
            return f"there is no {kind} '{name}': the group has {group.count}, {stem}-0 to {stem}-{group.count - 1}"
        if group.name == name:
            return f"'{name}' is a group; write {name}-0 to {name}-{group.count - 1}"
    return f"there is no {kind} '{name}'; {hint(stem or name, [g.name for g in groups])} (members are called <group>-<index>)"


def _regions(scenario: Scenario, regions: tuple[str, str], at: KeyPath) -> Iterator[Found]:
    known = {g.region for g in scenario.providers} | {g.region for g in scenario.publishers if g.region}
    for i, region in enumerate(regions):
        if region not in known:
            yield (*at, i), f"nobody is in region '{region}'; {hint(region, known)}"
    if regions[0] == regions[1]:
        yield at, f"a partition is between two regions; '{regions[0]}' is given twice"


# --- files -----------------------------------------------------------------------------------------


@each("publishers")
def traces_are_sound(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Traces can be read, and have the rows that are asked for."""
    trace = group.traffic.trace
    if trace is None:
        return
    try:
        files = read_trace(trace.files)
    except ScenarioErrors as error:
        if not trace.files.is_dir():
            what = "this is a file, not a folder" if trace.files.exists() else "there is no such folder"
            text = f"'{shown(trace.files)}': {what}"
            yield (*at, "traffic", "trace", "files"), text
        else:
            yield from error.problems
        return
    first, past = trace.rows
    rows: KeyPath = (*at, "traffic", "trace", "rows")
    if past > len(files.functions):
        last = len(files.functions)
        yield (
            rows,
            f"'{first}:{past}': the trace has rows 0 to {last - 1}, so at most '{first}:{last}'",
        )
    elif past - first != group.count:
        yield (
            rows,
            f"'{first}:{past}' are {past - first} rows for {group.count} publishers; each needs one of its own",
        )


@each("publishers")
def replays_are_sound(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Replays can be read."""
    if group.traffic.replay is not None:
        yield from _readable(read_seconds, group.traffic.replay, (*at, "traffic", "replay"))


def measured_laws_are_sound(scenario: Scenario) -> Iterator[Found]:
    """The files of measured laws can be read."""
    for path, law in laws_of(scenario):
        if law.empirical is not None:
            yield from _readable(empirical, law.empirical, (*path, "empirical"))


def rates_are_sound(scenario: Scenario) -> Iterator[Found]:
    """The files of exchange rates can be read."""
    for name in ("payment", "gas"):
        with suppress(Unsound):
            rate = getattr(scenario.tokens, name).rate
            if rate is not None and rate.empirical is not None:
                yield from _readable(read_rates, rate.empirical, ("tokens", name, "rate", "empirical"))


def _readable(read: Callable[[Path], object], file: Path, at: KeyPath) -> Iterator[Found]:
    try:
        read(file)
    except ScenarioErrors as error:
        for problem in error.problems:
            yield problem if problem.line is not None else (at, f"'{problem.file}': {problem.text}")


def laws_of(scenario: Scenario) -> Iterator[tuple[KeyPath, Law]]:
    """Every law of durations, with its path."""
    paths: list[KeyPath] = [("network", "latency"), ("network", "latency_same_region")]
    for key, names in (
        ("providers", (("cold_start", "schedule"), ("cold_start", "application"))),
        (
            "publishers",
            (("arrive",), ("service",), ("first_service",), ("lifetime",), ("client", "backoff")),
        ),
    ):
        with suppress(Unsound):
            paths += [(key, i, *name) for i in range(len(getattr(scenario, key))) for name in names]
    for path in paths:
        with suppress(Unsound):
            law = _part(scenario, path)
            if isinstance(law, Law):
                yield path, law


@each("publishers")
def trace_is_there_when_used(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """`service: trace` and `memory: trace` need traffic from a trace."""
    if group.traffic.trace is not None:
        return
    kind = group.traffic.kind.removesuffix("_ns")
    for name in ("service", "memory"):
        with suppress(Unsound):
            if getattr(group, name) == "trace":
                yield (*at, name), f"'trace' needs traffic from a trace; it is {kind} here"


# --- what contradicts itself -----------------------------------------------------------------------


@each("publishers")
def scaling_is_possible(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Replicas and the scaling policy fit each other and the manifest."""
    least, most, _ = convert.bounds(group)
    if least > most:
        yield (
            (*at, "scaling"),
            f"at least {least} replicas and at most {most}: the least is more than the most",
        )
        return
    try:
        convert.to_scaling(group)
    except BadInput as error:
        key, text = in_words(str(error))
        yield (*at, "scaling", key), text


@each("publishers")
def serving_is_possible(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Slots, discipline and dispatch fit each other and the scaling policy."""
    with suppress(Unsound):
        if isinstance(group.scaling, demand.PerRequest):
            contradicts = "contradict `scaling.policy: per_request`, which serves one request a replica"
            if group.slots != 1:
                yield (*at, "slots"), f"{group.slots} slots {contradicts}"
            if group.discipline != "slots":
                yield (
                    (*at, "discipline"),
                    f"'{group.discipline}' {contradicts.replace('contradict', 'contradicts', 1)}",
                )
    if group.discipline == "processor_sharing" and group.dispatch == "central":
        yield (
            (*at, "dispatch"),
            "'central' contradicts `discipline: processor_sharing`: nothing waits in a central queue",
        )


@each("publishers")
def traffic_has_a_port(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Who is called has an HTTP port."""
    if not group.manifest.http and group.traffic.none is None:
        yield (
            (*at, "traffic"),
            "the manifest has no HTTP port, so nobody can call it; give a container a `port`, or write `traffic: {none: true}`",
        )


_SCALING_KEYS: Final = {
    "panic_permille": "panic_at", "up_permille": "up_times", "down_permille": "down_times",
    "utilisation_permille": "utilisation", "tolerance_permille": "tolerance", "target_m": "target_pending_requests",
    **{f"{key}_ns": key for key in ("tick", "stable", "panic", "idle", "grace")},
}  # fmt: skip
"""How a scenario writes the parameters of the scaling rules."""


def in_words(text: str) -> tuple[str, str]:
    """A scaling rule's refusal, which counts in nanoseconds and thousandths, in the scenario's words.

    Returns:
        The key of `scaling` that it is about, and what is wrong with its value.
    """
    text = text.replace(" / 1000", "")
    name, _, rest = text.partition(" is ")
    parameter = name.rpartition(" × ")[2]

    def said(match: re.Match[str]) -> str:
        value = int(match[0])
        if parameter.endswith("_ns"):
            return q.write_duration(value)
        return str(q.write_number(Fraction(value, 1000 if parameter.endswith(("_permille", "_m")) else 1)))

    rest = re.sub(r"\b[0-9]+\b", said, rest)
    whole = f"{rest}" if parameter == name else f"{name} is {rest}"
    for internal, key in _SCALING_KEYS.items():
        whole = whole.replace(internal, f"`{key}`")
    return _SCALING_KEYS.get(parameter, parameter), whole


def images_agree(scenario: Scenario) -> Iterator[Found]:
    """Publishers that share an image agree on its size."""
    sizes: dict[str, tuple[int, str]] = {}
    for i, group in enumerate(scenario.publishers):
        with suppress(Unsound):
            name, size = group.image.name, group.image.size_bytes
            if name is None:
                continue
            first, where = sizes.setdefault(name, (size, f"publishers.{i}"))
            if first != size:
                yield (
                    ("publishers", i, "image", "size"),
                    f"image '{name}' is {q.write_bytes(size)} here and {q.write_bytes(first)} in {where}",
                )


def latencies_have_means(scenario: Scenario) -> Iterator[Found]:
    """Latencies have a mean that a request's round trip can be made of."""
    for name in ("latency", "latency_same_region"):
        with suppress(Unsound, ScenarioErrors):  # a file that cannot be read is reported
            mean_s = convert.to_law(getattr(scenario.network, name)).mean
            if mean_s * NS_PER_S > DURATION_MAX_NS:
                said = f"its mean is {mean_s:.3g} s" if math.isfinite(mean_s) else "its mean is infinite"
                yield (
                    ("network", name),
                    f"{said}; at most {q.write_duration(DURATION_MAX_NS)} is allowed, because a request travels as long as the mean, each way",
                )


@each("publishers")
def answers_can_come_in_time(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Clients wait for longer than the round trip to some provider takes."""
    timeout_ns = group.client.timeout_ns
    with suppress(
        ScenarioErrors, OverflowError
    ):  # a latency that cannot be read, or has no mean, is reported
        trips = [convert.round_trip_ns(scenario, group, provider.region) for provider in scenario.providers]
        if timeout_ns is not None and trips and timeout_ns <= min(trips):
            yield (
                (*at, "client", "timeout"),
                f"{q.write_duration(timeout_ns)} is over before an answer can come: the round trip to the nearest provider takes {q.write_duration(min(trips))}",
            )


def messages_arrive(scenario: Scenario) -> Iterator[Found]:
    """Not all messages are lost."""
    if scenario.network.loss_prob == 1:
        yield ("network", "loss"), "100%: no message ever arrives, so nobody can deploy; less is allowed"


@each("providers")
def terms_are_safe(scenario: Scenario, at: KeyPath, group: Provider) -> Iterator[Found]:
    """A provider's unlock time leaves time for a final claim."""
    terms = group.terms
    confirming = scenario.chain.confirmations * scenario.chain.block_time_ns
    least = UNLOCK_FACTOR * (terms.tick_ns + confirming + TRANSACTION_DEADLINE_NS)
    if terms.min_unlock_time_ns < least:
        yield (
            (*at, "terms", "min_unlock_time"),
            (
                f"{q.write_duration(terms.min_unlock_time_ns)} is too short for a final claim: at least "
                f"{q.write_duration(least)}, 3 x (tick + confirmations + 300s for a transaction)"
            ),
        )


def blocks_hold_claims(scenario: Scenario) -> Iterator[Found]:
    """A block holds the largest transaction: a claim of 100 channels."""
    least = GAS[WithdrawMany] + MAX_CLAIMS_A_TRANSACTION * WITHDRAW_MANY_ENTRY
    if scenario.chain.block_gas < least:
        yield (
            ("chain", "block_gas"),
            f"{scenario.chain.block_gas} is less than a claim of {MAX_CLAIMS_A_TRANSACTION} channels needs, {least}",
        )


def nobody_is_misled_unasked(scenario: Scenario) -> Iterator[Found]:
    """Reorganisations are shallower than what parties believe, unless that is asked for."""
    reorgs, confirmations = scenario.chain.reorgs, scenario.chain.confirmations
    if reorgs is None or reorgs.past_confirmations:
        return
    at: KeyPath = ("chain", "reorgs")
    way_out = "or set `past_confirmations: true`, and parties may be misled"
    if reorgs.most is not None and reorgs.most >= confirmations:
        yield (
            (*at, "most"),
            f"{reorgs.most} blocks reach what parties believe after {confirmations} confirmations: at most {confirmations - 1}, {way_out}",
        )
    elif confirmations == 1:
        yield at, f"after 1 confirmation there is no block that nobody believes yet: wait for more, {way_out}"


@each("publishers")
def selections_name_what_exists(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Selections name providers and regions that exist."""
    spec = group.policies.selection
    at = (*at, "policies", "selection", "with")
    regions = {provider.region for provider in scenario.providers}
    wanted = spec.with_.get("regions")
    for j, region in enumerate(wanted if isinstance(wanted, list | tuple) else []):
        if not any(known.startswith(str(region)) for known in regions):
            yield (*at, "regions", j), f"no provider is in region '{region}'; {hint(str(region), regions)}"
    named = spec.with_.get("providers") if spec.use == "by_hand" else None
    members = {member.name for member in scenario.provider_members()}
    for j, name in enumerate(named if isinstance(named, list | tuple) else []):
        if name not in members:
            yield (*at, "providers", j), _no_member("provider", str(name), scenario.providers)


@each("publishers")
def time_passes_between_requests(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """Some time passes between the requests of a renewal."""
    law = group.traffic.renewal
    if law is not None:
        with suppress(ScenarioErrors):  # a file that cannot be read is reported
            if not convert.to_law(law).mean > 0:
                yield (
                    (*at, "traffic", "renewal"),
                    "0s between requests; a law whose mean is above 0s is allowed",
                )


@each("publishers")
def lifetimes_are_not_nothing(scenario: Scenario, at: KeyPath, group: demand.Publisher) -> Iterator[Found]:
    """A publisher does not leave as it comes."""
    if isinstance(group.lifetime, Law) and group.lifetime.constant_ns == 0:
        yield (*at, "lifetime"), "0s: a publisher that leaves as it comes runs nothing; above 0s is allowed"


CHECKS: Final[tuple[Check, ...]] = (
    names_are_unique,
    times_fit,
    the_warm_up_ends,
    replications_are_said_once,
    series_are_of_metrics_over_time,
    faults_name_what_exists,
    partitions_name_regions,
    traces_are_sound,
    replays_are_sound,
    measured_laws_are_sound,
    rates_are_sound,
    trace_is_there_when_used,
    scaling_is_possible,
    serving_is_possible,
    traffic_has_a_port,
    images_agree,
    latencies_have_means,
    answers_can_come_in_time,
    messages_arrive,
    terms_are_safe,
    blocks_hold_claims,
    nobody_is_misled_unasked,
    selections_name_what_exists,
    time_passes_between_requests,
    lifetimes_are_not_nothing,
    providers_can_list_themselves,
    everybody_finds_a_provider,
    requests_can_be_run,
    steps_can_be_run,
    parties_can_be_held,
    money_can_be_counted,
    rates_can_be_counted,
)
"""Every cross check, in the order they report."""
