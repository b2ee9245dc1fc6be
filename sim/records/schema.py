"""Every table of a run and every column, once: the row types are the schema and its documentation.

A row is a named tuple without its replication; the writer adds that column. The kind of a column is in
its type (`Money`, `Instant`, ...), its meaning beside it. `docs/reference/tables.md` is made from here.
Names of parties are those of the scenario: `pod` such as `careful-17` (also its publisher's name),
`provider` such as `budget-3`. Instants are Unix nanoseconds, so virtual and live tables compare.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Kind:
    """How a column is stored.

    Args:
        store: `int64`, `int32`, `float64`, `bool`, `decimal` (decimal128(38, 0)), `name` (dictionary-encoded
            text) or `text`.
        unit: what one is, for a person; empty for names and text.
    """

    store: str
    unit: str


Instant = Annotated[int, Kind("int64", "ns since the Unix epoch")]
Span = Annotated[int, Kind("int64", "ns")]
Integral = Annotated[int, Kind("int64", "replica-ns")]
Count = Annotated[int, Kind("int64", "count")]
Money = Annotated[int, Kind("decimal", "token base units")]
Fiat = Annotated[int, Kind("decimal", "numéraire × 10^-12")]
Wei = Annotated[int, Kind("decimal", "wei of the gas token")]
Name = Annotated[str, Kind("name", "")]
Text = Annotated[str, Kind("text", "")]
Share = Annotated[float, Kind("float64", "share, 0 to 1")]
Latency = Annotated[float, Kind("float64", "ms")]
MilliCpu = Annotated[int, Kind("int64", "millicores")]
Gas = Annotated[int, Kind("int64", "gas")]
Flag = Annotated[bool, Kind("bool", "")]
Number = Annotated[int, Kind("int32", "number")]
CorePrice = Annotated[int, Kind("decimal", "token base units a core-second")]
BytePrice = Annotated[int, Kind("decimal", "token base units a byte")]
ByteSecondPrice = Annotated[int, Kind("decimal", "token base units a byte-second")]
DevicePrice = Annotated[int, Kind("decimal", "token base units a device-second")]
AddressPrice = Annotated[int, Kind("decimal", "token base units an address-second")]


class Deployment(NamedTuple):
    """One row for each attempt of a pod at a provider, as it stands at the end of the run."""

    pod: Annotated[Name, "the pod, and its publisher"]
    group: Annotated[Name, "the entry of `publishers` in the scenario that the pod comes from"]
    provider: Annotated[Name, "the provider asked"]
    namespace: Annotated[Name | None, "where the provider runs it; null when it was refused"] = None
    attempt: Annotated[Number, "1 for the pod's first attempt at any provider, then counting up"] = 1
    requested_ns: Annotated[Instant | None, "the publisher asked"] = None
    accepted_ns: Annotated[Instant | None, "the provider said yes; null when it never did"] = None
    running_ns: Annotated[Instant | None, "the publisher heard that the pod is up"] = None
    suspended_ns: Annotated[Instant | None, "the last suspension began; null when there was none"] = None
    ended_ns: Annotated[Instant | None, "the attempt was over; null when it runs at the end"] = None
    outcome: Annotated[Name, "`running`, `removed`, `refused` or `failed`"] = "running"
    reason: Annotated[
        Name | None,
        "why it ended: `exhausted`, `unlocked`, `deleted`, `provider_lost`, or the rule that refused",
    ] = None
    arrivals: Annotated[Count, "requests that arrived; one that is tried again counts for each attempt"] = 0
    retried: Annotated[Count, "of them, attempts after a request's first"] = 0
    served: Annotated[Count, "requests answered"] = 0
    failed_timeout: Annotated[Count, "requests that the facade held for as long as it may (`wait_limit`)"] = 0
    failed_client_timeout: Annotated[
        Count, "requests whose client gave up (`client.timeout`), waiting or in service"
    ] = 0
    failed_unreachable: Annotated[Count, "requests that found no way to the provider"] = 0
    failed_crashed: Annotated[Count, "requests lost with a crashed node or replica"] = 0
    failed_evicted: Annotated[Count, "requests in flight when the pod was removed"] = 0
    failed_suspended: Annotated[Count, "requests refused while the pod was suspended"] = 0
    failed_limit: Annotated[Count, "requests refused because too many were held"] = 0
    pending_at_end: Annotated[Count, "requests held, queued or in service when the row was written"] = 0
    cold: Annotated[
        Count,
        "requests served that waited for a replica to start; under `per_request` those that were the first of a replica",
    ] = 0
    replica_starts: Annotated[Count, "replicas started"] = 0
    replicas_ready: Annotated[Count, "of them, those that became ready"] = 0
    scheduling_ns: Annotated[
        Integral, "what it took those to be placed (waiting for room included) and scheduled"
    ] = 0
    pull_ns: Annotated[Integral, "then, to wait for the image; 0 where it was cached"] = 0
    decryption_ns: Annotated[Integral, "then, to decrypt it"] = 0
    application_ns: Annotated[
        Integral, "then, to start the application; the four sum to creation until ready"
    ] = 0
    starting_ns: Annotated[Integral, "replica time spent starting, pulls and waiting for room included"] = 0
    idle_ns: Annotated[Integral, "replica time ready with nothing to do"] = 0
    busy_ns: Annotated[Integral, "replica time serving, also for clients that have given up"] = 0
    draining_ns: Annotated[Integral, "replica time finishing before its end"] = 0
    billed_replica_ms: Annotated[
        int, Kind("int64", "replica-ms"), "replica time billed: from container start to its end"
    ] = 0
    owed: Annotated[Money, "what the metered use costs"] = 0
    paid: Annotated[Money, "what the provider has claimed of it"] = 0
    unpaid: Annotated[Money, "what was served and can no longer be claimed"] = 0
    price_table: Annotated[Number | None, "the pricing table agreed on; null when refused"] = None
    round_trip_ns: Annotated[
        Span, "from the pod's callers to the provider and back; part of all latencies"
    ] = 0
    latency_p50_ms: Annotated[
        Latency | None, "half the requests were answered within; null when none was"
    ] = None
    latency_p95_ms: Annotated[Latency | None, "95 % were answered within; null under 100 beyond it"] = None
    latency_p99_ms: Annotated[Latency | None, "99 % were answered within; null under 100 beyond it"] = None
    cold_latency_p50_ms: Annotated[
        Latency | None, "half of those that waited for a start were answered within; null when none did"
    ] = None
    cold_latency_p95_ms: Annotated[
        Latency | None, "95 % of them were answered within; null under 100 beyond it"
    ] = None
    cold_latency_p99_ms: Annotated[
        Latency | None, "99 % of them were answered within; null under 100 beyond it"
    ] = None
    lie: Annotated[
        Name | None,
        "by which its publisher found its provider out, such as `Overclaimed`; null when it did not",
    ] = None
    lie_found_ns: Annotated[Instant | None, "when it did"] = None


class ChannelLife(NamedTuple):
    """One row for each life of a payment channel, from its creation to its closing."""

    pod: Annotated[Name, "the pod it pays for"]
    provider: Annotated[Name, "the provider it pays"]
    life: Annotated[Number, "1 for the first channel of this pod at this provider, then counting up"] = 1
    opened_ns: Annotated[Instant | None, "time of the block that created it"] = None
    closed_ns: Annotated[
        Instant | None, "time of the block that closed it; null when it is open at the end"
    ] = None
    invested: Annotated[Money, "everything put in, top-ups included"] = 0
    withdrawn: Annotated[Money, "everything the provider was paid from it"] = 0
    returned: Annotated[Money, "everything the publisher got back"] = 0
    available_at_end: Annotated[Money, "what it still holds: invested less withdrawn less returned"] = 0
    owed: Annotated[Money, "what the metered use costs over this life"] = 0
    unpaid: Annotated[Money, "what of it can no longer be claimed"] = 0
    exhausted_ns: Annotated[
        Instant | None, "the exact instant at which the use first cost all that was in it"
    ] = None
    noticed_ns: Annotated[Instant | None, "when the provider noticed, at its tick or its wake"] = None
    removed_ns: Annotated[Instant | None, "when the pod was gone because of it"] = None
    overrun: Annotated[Money, "cost of what was served after the exhaustion"] = 0
    top_ups: Annotated[Count, "deposits after the first"] = 0
    status: Annotated[Name, "`open`, `unlocking` or `closed`"] = "open"
    overcharged: Annotated[Money, "paid beyond what ran at the agreed prices"] = 0


class Transaction(NamedTuple):
    """One row for each transaction sent to the chain."""

    submitted_ns: Annotated[Instant, "it was sent"]
    mined_ns: Annotated[Instant | None, "time of its block; null while it is pending"]
    block: Annotated[Count | None, "number of its block"]
    sender: Annotated[Name, "the pod (its publisher) or the provider that sent it"]
    function: Annotated[Name, "the contract function called"]
    status: Annotated[Name, "`confirmed`, `reverted`, `pending`, or `replaced` by the same at a higher price"]
    error: Annotated[Name | None, "the contract's error when it reverted"] = None
    gas_used: Annotated[Gas | None, "gas it used"] = None
    fee_wei: Annotated[Wei | None, "gas used times the gas price paid"] = None


class Claim(NamedTuple):
    """One row for each claim that a provider sent or chose not to send."""

    time_ns: Annotated[Instant, "when it was decided, or its block when it was paid"]
    provider: Annotated[Name, "who claims"]
    pod: Annotated[Name, "for which pod"]
    life: Annotated[Number, "of which life of the channel"]
    owed: Annotated[Money, "cumulative cost of the metered use then"]
    total: Annotated[Money, "cumulative amount claimed with this claim"]
    paid: Annotated[Money, "what this claim moved"]
    block: Annotated[Count | None, "the block that paid it; null when nothing was sent"]
    outcome: Annotated[Name, "`paid`, or why not"]


class ProviderEnd(NamedTuple):
    """One row for each provider, as it stands at the end of the run."""

    provider: Annotated[Name, "its name"]
    group: Annotated[Name, "its entry of `providers` in the scenario"]
    region: Annotated[Name, "where it is"]
    assurance: Annotated[Name, "what it can prove about its machines"]
    revenue: Annotated[Money, "claimed and paid"] = 0
    owed_unclaimed: Annotated[Money, "owed, covered by the channel, and not claimed yet"] = 0
    unpaid: Annotated[Money, "served and never paid"] = 0
    gas_wei: Annotated[Wei, "fees of its transactions"] = 0
    gas_cost: Annotated[Money, "the same in the payment token, at the rate of each transaction's time"] = 0
    running_cost: Annotated[Money, "power and capital of its nodes"] = 0
    profit: Annotated[Money, "revenue and what is owed and covered, less gas and running cost"] = 0
    pods_accepted: Annotated[Count, "deployments accepted"] = 0
    pods_refused: Annotated[Count, "deployments refused"] = 0
    evictions: Annotated[Count, "pods removed because their funds ran out"] = 0
    suspensions: Annotated[Count, "pods suspended"] = 0
    claims: Annotated[Count, "claims that paid"] = 0
    busy_cpu_share: Annotated[Share | None, "CPU time of busy replicas over CPU time of its nodes"] = None
    requests_served: Annotated[Count, "requests answered"] = 0
    down_ns: Annotated[Span, "time it was down"] = 0
    behaviour: Annotated[Name, "`honest`, or how it does not keep to the protocol"] = "honest"
    overcharged: Annotated[Money, "what it was paid beyond what ran at the agreed prices"] = 0
    revenue_fiat: Annotated[
        Fiat, "revenue at the rate of each payment's time, and what is owed and covered at the last rate"
    ] = 0
    gas_fiat: Annotated[Fiat, "gas at the rate of each transaction's time"] = 0
    running_fiat: Annotated[Fiat, "running cost, at the rate as the run begins"] = 0
    surplus: Annotated[Fiat, "revenue less gas and running cost, in the numéraire"] = 0
    planner_cost: Annotated[
        Fiat, "what a planner would spend on its machines (`docs/background/economics.md`)"
    ] = 0


class PublisherEnd(NamedTuple):
    """One row for each publisher (each has one pod), as it stands at the end of the run."""

    pod: Annotated[Name, "its name, and its pod's"]
    group: Annotated[Name, "its entry of `publishers` in the scenario"]
    deposited: Annotated[Money, "first deposits into its channels, without top-ups"] = 0
    top_ups: Annotated[Money, "deposits after the first"] = 0
    spent: Annotated[Money, "paid to providers"] = 0
    returned: Annotated[Money, "got back from its channels"] = 0
    locked_at_end: Annotated[Money, "still in its channels"] = 0
    gas_wei: Annotated[Wei, "fees of its transactions"] = 0
    arrivals: Annotated[
        Count,
        "requests that its users made, deployed or not; one that is tried again counts for each attempt",
    ] = 0
    retried: Annotated[Count, "of them, attempts after a request's first"] = 0
    served: Annotated[Count, "requests answered"] = 0
    failed: Annotated[Count, "attempts not answered, those that found it not deployed included"] = 0
    lost: Annotated[Count, "requests never answered: the last attempt failed"] = 0
    waiting_at_end: Annotated[Count, "requests that failed and would have been tried again"] = 0
    evicted: Annotated[Count, "times it was removed because its funds ran out"] = 0
    state: Annotated[
        Name,
        "`running`, `suspended`, `evicted`, `deleted`, `searching`, `gone`, or `out`: every offer was dearer than elsewhere",
    ] = "running"
    behaviour: Annotated[Name, "`honest`, or how it does not keep to the protocol"] = "honest"
    value: Annotated[
        Fiat | None, "what requests served were worth, less waiting; null when the scenario does not say"
    ] = None
    spent_fiat: Annotated[
        Fiat,
        "paid to providers at the rate of each payment's time, and owed and covered at the end at the last rate",
    ] = 0
    gas_fiat: Annotated[Fiat, "gas at the rate of each transaction's time"] = 0
    holding_loss: Annotated[
        Fiat,
        "what its money lost in channels: deposits less returns and payments, each at the rate of its time, less what is there at the last rate",
    ] = 0
    surplus: Annotated[Fiat | None, "value less spending and gas; null when there is no value"] = None
    planner_value: Annotated[
        Fiat, "what the requests that a planner would serve were worth (`docs/background/economics.md`)"
    ] = 0


class PriceChange(NamedTuple):
    """One row for each pricing table a provider published or changed."""

    time_ns: Annotated[Instant, "time of the block"]
    provider: Annotated[Name, "whose"]
    table_id: Annotated[Number, "the table's id in the registry"]
    cpu: Annotated[CorePrice, "for CPU reserved"]
    ram: Annotated[ByteSecondPrice, "for memory reserved"]
    storage: Annotated[ByteSecondPrice, "for storage reserved"]
    egress: Annotated[BytePrice, "for traffic out"]
    ingress: Annotated[BytePrice, "for traffic in"]
    gpu: Annotated[DevicePrice | None, "for GPUs reserved; null when not on offer"] = None
    ip: Annotated[AddressPrice | None, "for public addresses reserved; null when not on offer"] = None


class RateChange(NamedTuple):
    """One row for each change of an exchange rate, the first as the run begins; none for a token without a `rate`."""

    time_ns: Annotated[Instant, "from when it holds"]
    token: Annotated[Name, "`payment` or `gas`"]
    rate: Annotated[float, Kind("float64", "numéraire a token"), "what one is worth"]


class Sample(NamedTuple):
    """The state at a sampling instant: one row for each provider, and one with an empty name for pods not deployed."""

    time_ns: Annotated[Instant, "the sampling instant"]
    provider: Annotated[Name, "the provider; empty for the traffic of pods that are not deployed"]
    pods_running: Annotated[Count, "pods it runs (empty name: pods not deployed)"] = 0
    pods_suspended: Annotated[Count, "pods suspended"] = 0
    replicas_starting: Annotated[Count, "replicas starting"] = 0
    replicas_idle: Annotated[Count, "replicas ready with nothing to do"] = 0
    replicas_busy: Annotated[Count, "replicas serving"] = 0
    replicas_draining: Annotated[Count, "replicas finishing before their end"] = 0
    held: Annotated[Count, "requests held for a first replica"] = 0
    queued: Annotated[Count, "requests waiting for a slot"] = 0
    in_service: Annotated[Count, "requests being served"] = 0
    arrivals: Annotated[Count, "requests that arrived since the run's start"] = 0
    served: Annotated[Count, "requests answered since the run's start"] = 0
    failed: Annotated[Count, "requests failed since the run's start"] = 0
    cold: Annotated[Count, "requests served after waiting for a start, since the run's start"] = 0
    owed: Annotated[Money, "cost of the metered use since the run's start"] = 0
    claimed: Annotated[Money, "paid to the provider since the run's start"] = 0
    available: Annotated[Money, "in its open channels: invested less withdrawn, now"] = 0
    unpaid: Annotated[Money, "served and no longer claimable, since the run's start"] = 0
    returned: Annotated[Money, "given back to publishers since the run's start"] = 0
    allocated_cpu_millis: Annotated[MilliCpu, "CPU reserved by replicas"] = 0
    capacity_cpu_millis: Annotated[MilliCpu, "CPU of the nodes that are up"] = 0
    wanted_cpu_millis: Annotated[MilliCpu, "CPU that the replicas that serve could use"] = 0
    given_cpu_millis: Annotated[MilliCpu, "CPU that they get; less than they want is contention"] = 0


class LatencyCount(NamedTuple):
    """Latency as a mergeable sketch: how many requests fell into each bucket.

    Latency is as the client sees it, of one attempt: from arrival to answer and the network's round trip. Every request counted was answered: `all` counts are a deployment's
    `served`, `cold` counts its `cold`.

    A bucket is the upper 18 bits of the latency in ns as a float64: 64 buckets an octave, at most 1.6 % wide.
    """

    pod: Annotated[Name, "whose requests"]
    provider: Annotated[Name, "where they were served"]
    kind: Annotated[Name, "`all`, or `cold` for those that waited for a start"]
    bucket: Annotated[
        int,
        Kind("int32", "number"),
        "the float64's bits shifted right by 46 (shortest and longest counted at 16 µs and 4.9 h)",
    ]
    requests: Annotated[Count, "requests in it"]


class Request(NamedTuple):
    """Single requests, sampled at the rate the scenario's `output` states: one row for each attempt.

    Instants are the facade's.
    """

    pod: Annotated[Name, "whose request"]
    provider: Annotated[Name, "where it went; empty when the pod was not deployed"]
    number: Annotated[Count, "the request's number among the pod's, from 0"]
    arrival_ns: Annotated[Instant, "it arrived"]
    start_ns: Annotated[Instant | None, "its service began; null when it never did"]
    end_ns: Annotated[Instant | None, "it was answered or failed"]
    outcome: Annotated[Name, "`served`, or how it failed, such as `timeout`"]
    cold: Annotated[
        Flag, "it waited for a replica to start; under `per_request`, it was the first of a replica"
    ]
    replica: Annotated[Number | None, "the replica's number in its pod; null when none served it"]
    attempt: Annotated[Number, "1 for the request's first attempt, then counting up"]
    round_trip_ns: Annotated[
        Span,
        "of the network: its client sent it half of that before it arrived, and saw the end as much later",
    ]
    scheduling_ns: Annotated[
        Span | None,
        "what it took the replica that served it to be placed and scheduled; null unless it is cold and was served",
    ]
    pull_ns: Annotated[Span | None, "then, to wait for the image"]
    decryption_ns: Annotated[Span | None, "then, to decrypt it"]
    application_ns: Annotated[Span | None, "then, to start the application"]


class Event(NamedTuple):
    """The protocol's trace: one row for each message or transition, with the row that caused it."""

    event_id: Annotated[Count, "number of the row, in order of emission within a replication"]
    cause_id: Annotated[Count | None, "the event that led to it; null for a beginning"]
    time_ns: Annotated[Instant, "when it happened"]
    observed_ns: Annotated[Instant, "when its party learned of it"]
    party: Annotated[Name, "who tells: a provider, a publisher, or `world`"]
    event: Annotated[Name, "what happened, in the past tense"]
    pod: Annotated[Name, "about which pod; empty when none"] = ""
    provider: Annotated[Name, "about which provider; empty when none"] = ""
    rule: Annotated[Name, "the rule applied, such as `InsufficientFunds`; empty when none"] = ""
    amount: Annotated[Money | None, "the money it is about"] = None
    detail: Annotated[Text, "what else there is to say, as JSON"] = ""


class Residual(NamedTuple):
    """What must be zero at the end of a run: one row for each conservation law."""

    law: Annotated[Name, "what is conserved, such as `tokens in channels`"]
    unit: Annotated[Name, "the unit of what is compared"]
    left: Annotated[int, Kind("decimal", "as `unit` says"), "what went in"]
    right: Annotated[int, Kind("decimal", "as `unit` says"), "what came out or is still there"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, how it is stored, its unit, whether it may be null, and what it means."""

    name: str
    store: str
    unit: str
    nullable: bool
    about: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Args:
        name: also its folder's name.
        row: the row type.
        clock: the column whose instant decides when a row is due to be written; None for tables that are
            written once, at the end. A row whose clock is null is written at the end.
        order: the columns its rows are sorted by; rows equal in all of them stay as they were appended.
    """

    name: str
    row: type[tuple[Any, ...]]
    clock: str | None
    order: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns in order, without `replication`."""
        return _columns(self.row)

    @property
    def about(self) -> str:
        """What a row is."""
        return (self.row.__doc__ or "").strip()


@functools.cache
def _columns(row: type[tuple[Any, ...]]) -> tuple[Column, ...]:
    return tuple(_column(name, hint) for name, hint in get_type_hints(row, include_extras=True).items())


def _column(name: str, hint: Any) -> Column:
    kind, about, nullable = None, "", False
    todo = [hint]
    while todo:
        part = todo.pop()
        if get_origin(part) is Annotated:
            todo.append(get_args(part)[0])
            for extra in get_args(part)[1:]:
                if isinstance(extra, Kind):
                    kind = extra
                else:
                    about = extra
        elif part is type(None):
            nullable = True
        else:
            todo.extend(get_args(part))
    if kind is None or not about:
        raise TypeError(f"column {name} says neither how it is stored nor what it means: {hint}")
    return Column(name, kind.store, kind.unit, nullable, about)


TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        Table("deployments", Deployment, None, ("requested_ns", "provider", "pod", "attempt")),
        Table("channels", ChannelLife, None, ("opened_ns", "provider", "pod", "life")),
        Table("transactions", Transaction, "mined_ns", ("mined_ns", "block")),
        Table("claims", Claim, "time_ns", ("time_ns", "provider", "pod")),
        Table("providers", ProviderEnd, None, ()),
        Table("publishers", PublisherEnd, None, ()),
        Table("prices", PriceChange, "time_ns", ("time_ns", "provider")),
        Table("rates", RateChange, None, ("time_ns", "token")),
        Table("samples", Sample, "time_ns", ("time_ns", "provider")),
        Table("latency", LatencyCount, None, ("provider", "pod", "kind", "bucket")),
        Table("requests", Request, "end_ns", ("end_ns", "provider", "pod", "number")),
        Table("events", Event, "time_ns", ("time_ns", "provider", "pod", "event_id")),
        Table("conservation", Residual, None, ()),
    )
}
"""Every table of a run, by name.

A request's row is due when it ends, for that is when all of it is known. What holds totals over a life
(deployments, channels) or over the run is written at the end; providers and publishers keep the scenario's order.
"""


def reference() -> str:
    """The reference of tables and columns as Markdown: what `docs/reference/tables.md` holds."""
    lines = [
        "# Tables of a run",
        "",
        "Made from `sim/records/schema.py`; do not edit by hand: `python -m sim.records.schema > docs/reference/tables.md`.",
        "",
        "Each table is a folder of Parquet files under `tables/`; `sim.load(directory).tables[name]` reads one as a data",
        "frame. Every table begins with `replication` (int32), the number of the replication from 0. Instants are Unix",
        "nanoseconds, money is whole base units of the payment token (decimal128(38, 0); Python integers in data frames),",
        "values are whole units of 10^-12 of the numéraire,",
        "and names are dictionary-encoded text.",
    ]
    for table in TABLES.values():
        order = ", ".join(f"`{name}`" for name in table.order)
        lines += ["", f"## {table.name}", "", *_paragraphs(table.about), ""]
        when = "" if table.clock else " Written at the end of a run."
        lines += [(f"Sorted by {order}." if order else "In the scenario's order.") + when, ""]
        lines += ["| column | stored as | unit | may be null | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| `{column.name}` | {column.store} | {column.unit or '–'} | {'yes' if column.nullable else 'no'} "
            f"| {column.about} |"
            for column in table.columns
        ]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


if __name__ == "__main__":
    sys.stdout.write(reference())
