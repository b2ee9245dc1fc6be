"""What must hold between the parts of a scenario, and between it and the files it names.

Each check takes the whole scenario and yields what is wrong, with its path. All of them run, so that a
person sees everything at once. They are in the table `CHECKS`, which the reference lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from protocol.billing import MAX_CLAIMS_A_TRANSACTION
from protocol.errors import BadInput
from protocol.manifest import hint
from protocol.payment import WithdrawMany
from protocol.units import NS_PER_S
from sim.chain.gas import GAS, WITHDRAW_MANY_ENTRY
from sim.scenario import convert, demand
from sim.scenario import quantities as q
from sim.scenario.laws import Law
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath, Problem, ScenarioErrors, dotted, shown
from sim.scenario.serving import everybody_finds_a_provider
from sim.trace_files import empirical, read_seconds, read_trace

Found = tuple[KeyPath, str] | Problem
"""What is wrong: at a path of the scenario, or in a file it names."""

TRANSACTION_DEADLINE_NS: Final = 300 * NS_PER_S
UNLOCK_FACTOR: Final = 3
"""A provider's unlock time is at least 3 x (tick + confirmations + transaction deadline), so that a final claim
gets through; the deadline is the protocol's default."""


def cross_check(scenario: Scenario) -> list[Found]:
    """Everything that is wrong, in the order of `CHECKS`."""
    return [found for check in CHECKS for found in check(scenario)]


# --- names and times -------------------------------------------------------------------------------


def names_are_unique(scenario: Scenario) -> Iterator[Found]:
    """Groups of providers and publishers have different names."""
    seen: dict[str, str] = {}
    named = [(("providers", i), group.name) for i, group in enumerate(scenario.providers)]
    named += [(("publishers", i), group.name) for i, group in enumerate(scenario.publishers)]
    for at, name in named:
        if name in seen:
            yield (*at, "name"), f"'{name}' is taken by {seen[name]}; names of groups are unique"
        seen.setdefault(name, dotted(at))


def times_fit(scenario: Scenario) -> Iterator[Found]:
    """What happens, happens before the end; the sampling interval is no longer than the run."""
    end = scenario.duration_ns
    last = q.write_duration(end)
    if scenario.output.sampling_ns > end:
        yield (
            ("output", "sampling"),
            f"{q.write_duration(scenario.output.sampling_ns)} is longer than the run of {last}",
        )
    places: list[tuple[KeyPath, int]] = [
        (("faults", i, "at"), fault.at_ns) for i, fault in enumerate(scenario.faults)
    ]
    places += [
        (("chain", "outages", i, "at"), outage.at_ns) for i, outage in enumerate(scenario.chain.outages)
    ]
    market = scenario.chain.gas_price
    if not isinstance(market, int):
        for i, step in enumerate(market.steps or ()):
            places.append((("chain", "gas_price", "steps", i, "at"), step.at_ns))
        for i, surge in enumerate(market.eip1559.background.surges if market.eip1559 else ()):
            places.append((("chain", "gas_price", "eip1559", "background", "surges", i, "at"), surge.at_ns))
    places += [
        (("network", "partitions", i, "at"), part.at_ns) for i, part in enumerate(scenario.network.partitions)
    ]
    for i, group in enumerate(scenario.publishers):
        if group.arrive.constant_ns is not None:
            places.append((("publishers", i, "arrive"), group.arrive.constant_ns))
        places += [
            (("publishers", i, "actions", j, "at"), action.at_ns) for j, action in enumerate(group.actions)
        ]
        if group.traffic.trace is not None:
            places.append((("publishers", i, "traffic", "trace", "delay"), group.traffic.trace.delay_ns))
    for path, at_ns in places:
        if at_ns >= end:
            yield path, f"{q.write_duration(at_ns)} is not before the end of the run, {last}"


def faults_name_what_exists(scenario: Scenario) -> Iterator[Found]:
    """Providers, publishers, nodes and regions that faults and partitions name are in the scenario."""
    providers = {member.name: member.group for member in scenario.provider_members()}
    publishers = [member.name for member in scenario.publisher_members()]
    groups = [group.name for group in scenario.providers] + [group.name for group in scenario.publishers]
    for i, fault in enumerate(scenario.faults):
        at: KeyPath = ("faults", i)
        match fault.kind:
            case "provider_crash" | "node_crash":
                group = providers.get(fault.provider)
                if group is None:
                    yield (*at, "provider"), _no_member("provider", fault.provider, scenario.providers)
                elif fault.kind == "node_crash" and fault.node >= (
                    count := sum(n.count for n in group.nodes)
                ):
                    yield (*at, "node"), f"{fault.node}: {fault.provider} has {count} nodes, 0 to {count - 1}"
            case "publisher_crash":
                if fault.publisher not in publishers:
                    yield (*at, "publisher"), _no_member("publisher", fault.publisher, scenario.publishers)
            case "rpc_silence" | "rpc_lie":
                known = [*providers, *publishers, *groups]
                if fault.party is not None and fault.party not in known:
                    yield (
                        (*at, "party"),
                        f"there is no provider, publisher or group '{fault.party}'; {_near(fault.party, groups)}",
                    )
            case "partition":
                yield from _regions(scenario, fault.regions, (*at, "regions"))
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


def files_are_sound(scenario: Scenario) -> Iterator[Found]:
    """Traces, replays and measured laws can be read, and have the rows that are asked for."""
    reported: set[object] = set()
    for i, group in enumerate(scenario.publishers):
        at: KeyPath = ("publishers", i)
        trace = group.traffic.trace
        if trace is not None:
            try:
                files = read_trace(trace.files)
            except ScenarioErrors as error:
                if not trace.files.is_dir():
                    yield (
                        (*at, "traffic", "trace", "files"),
                        f"'{shown(trace.files)}': there is no such folder",
                    )
                elif trace.files not in reported:
                    reported.add(trace.files)
                    yield from error.problems
                continue
            first, past = trace.rows
            rows: KeyPath = (*at, "traffic", "trace", "rows")
            if past > len(files.functions):
                yield (
                    rows,
                    f"'{first}:{past}': the trace has rows 0 to {len(files.functions) - 1}, so at most '{first}:{len(files.functions)}'",
                )
            elif past - first != group.count:
                yield (
                    rows,
                    f"'{first}:{past}' are {past - first} rows for {group.count} publishers; each needs one of its own",
                )
        if group.traffic.replay is not None:
            yield from _readable(read_seconds, group.traffic.replay, (*at, "traffic", "replay"), reported)
    for path, law in laws_of(scenario):
        if law.empirical is not None:
            yield from _readable(empirical, law.empirical, (*path, "empirical"), reported)


def _readable(
    read: Callable[[Path], object], file: Path, at: KeyPath, reported: set[object]
) -> Iterator[Found]:
    try:
        read(file)
    except ScenarioErrors as error:
        for problem in error.problems:
            if problem.line is None:
                yield at, f"'{problem.file}': {problem.text}"
            elif problem not in reported:
                reported.add(problem)
                yield problem


def laws_of(scenario: Scenario) -> Iterator[tuple[KeyPath, Law]]:
    """Every law of durations, with its path."""
    yield ("network", "latency"), scenario.network.latency
    yield ("network", "latency_same_region"), scenario.network.latency_same_region
    for i, provider in enumerate(scenario.providers):
        yield ("providers", i, "cold_start", "schedule"), provider.cold_start.schedule
        yield ("providers", i, "cold_start", "application"), provider.cold_start.application
    for i, group in enumerate(scenario.publishers):
        for name in ("arrive", "service", "first_service", "lifetime"):
            law = getattr(group, name)
            if isinstance(law, Law):
                yield ("publishers", i, name), law


def trace_is_there_when_used(scenario: Scenario) -> Iterator[Found]:
    """`service: trace` and `memory: trace` need traffic from a trace."""
    for i, group in enumerate(scenario.publishers):
        if group.traffic.trace is not None:
            continue
        for name in ("service", "memory"):
            if getattr(group, name) == "trace":
                yield (
                    ("publishers", i, name),
                    f"'trace' needs traffic from a trace; it is {group.traffic.kind.removesuffix('_ns')} here",
                )


# --- what contradicts itself -----------------------------------------------------------------------


def scaling_is_possible(scenario: Scenario) -> Iterator[Found]:
    """Replicas, slots and the scaling policy fit each other and the manifest."""
    for i, group in enumerate(scenario.publishers):
        at: KeyPath = ("publishers", i)
        least, most, _ = convert.bounds(group)
        if least > most:
            yield (
                (*at, "scaling"),
                f"at least {least} replicas and at most {most}: the least is more than the most",
            )
            continue
        try:
            convert.to_scaling(group)
        except BadInput as error:
            yield (*at, "scaling"), in_words(str(error))
        if isinstance(group.scaling, demand.PerRequest):
            if group.slots != 1:
                yield (
                    (*at, "slots"),
                    f"{group.slots} slots contradict `scaling.policy: per_request`, which serves one request a replica",
                )
            if group.discipline != "slots":
                yield (
                    (*at, "discipline"),
                    f"'{group.discipline}' contradicts `scaling.policy: per_request`, which serves one request a replica",
                )
        if group.discipline == "processor_sharing" and group.dispatch == "central":
            yield (
                (*at, "dispatch"),
                "'central' contradicts `discipline: processor_sharing`: nothing waits in a central queue",
            )
        if not group.manifest.http and group.traffic.none is None:
            yield (
                (*at, "traffic"),
                "the manifest has no HTTP port, so nobody can call it; give a container a `port`, or write `traffic: {none: true}`",
            )


def in_words(text: str) -> str:
    """A scaling rule's refusal, which counts in nanoseconds and thousandths, as the scenario's keys are written."""

    def said(match: re.Match[str]) -> str:
        return (
            q.write_duration(int(match[0]))
            if nanoseconds
            else str(q.write_number(Fraction(int(match[0]), 1000)))
        )

    name, _, rest = text.partition(" ")
    nanoseconds = name.endswith("_ns")
    if not nanoseconds and not name.endswith("_permille"):
        return text
    return f"{name.removesuffix('_ns').removesuffix('_permille')} {re.sub(r'[0-9]+', said, rest)}"


def images_agree(scenario: Scenario) -> Iterator[Found]:
    """Publishers that share an image agree on its size."""
    sizes: dict[str, tuple[int, str]] = {}
    for i, group in enumerate(scenario.publishers):
        name, size = group.image.name, group.image.size_bytes
        if name is None:
            continue
        first, where = sizes.setdefault(name, (size, f"publishers.{i}"))
        if first != size:
            yield (
                ("publishers", i, "image", "size"),
                f"image '{name}' is {q.write_bytes(size)} here and {q.write_bytes(first)} in {where}",
            )


def terms_are_safe(scenario: Scenario) -> Iterator[Found]:
    """A provider's unlock time leaves time for a final claim."""
    for i, group in enumerate(scenario.providers):
        terms = group.terms
        confirming = scenario.chain.confirmations * scenario.chain.block_time_ns
        least = UNLOCK_FACTOR * (terms.tick_ns + confirming + TRANSACTION_DEADLINE_NS)
        if terms.min_unlock_time_ns < least:
            yield (
                ("providers", i, "terms", "min_unlock_time"),
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


def policies_agree(scenario: Scenario) -> Iterator[Found]:
    """Selections name providers and regions that exist, and a leaving publisher leaves before the end."""
    regions = {group.region for group in scenario.providers}
    members = {member.name for member in scenario.provider_members()}
    for i, group in enumerate(scenario.publishers):
        at: KeyPath = ("publishers", i, "policies", "selection", "with")
        spec = group.policies.selection
        wanted = spec.with_.get("regions")
        for j, region in enumerate(wanted if isinstance(wanted, list | tuple) else []):
            if not any(known.startswith(str(region)) for known in regions):
                yield (
                    (*at, "regions", j),
                    f"no provider is in region '{region}'; {hint(str(region), regions)}",
                )
        named = spec.with_.get("providers") if spec.use == "by_hand" else None
        for j, name in enumerate(named if isinstance(named, list | tuple) else []):
            if name not in members:
                yield (*at, "providers", j), _no_member("provider", str(name), scenario.providers)
        lifetime = group.lifetime
        if isinstance(lifetime, Law) and lifetime.constant_ns == 0:
            yield ("publishers", i, "lifetime"), "0s: a publisher that leaves as it comes runs nothing"


CHECKS: Final[tuple[Callable[[Scenario], Iterator[Found]], ...]] = (
    names_are_unique,
    times_fit,
    faults_name_what_exists,
    files_are_sound,
    trace_is_there_when_used,
    scaling_is_possible,
    images_agree,
    terms_are_safe,
    blocks_hold_claims,
    nobody_is_misled_unasked,
    policies_agree,
    everybody_finds_a_provider,
)
"""Every cross check, in the order they report."""
