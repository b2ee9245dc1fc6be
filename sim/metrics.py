"""The one registry of what a run is judged by: each metric's unit, kind, direction and how it is measured.

A metric is measured on one replication. A `ratio` gives its two parts, because a mean of ratios is biased;
everything else is `terminating`: of a world that begins empty and ends at its time. Money is never trimmed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from sim.statistics import hhi, merge_buckets, sketch_quantile_ms, sketch_quantiles_ms

if TYPE_CHECKING:
    from sim.records.reader import Ints, RunTables

Value = float | tuple[float, float] | None
FAILURES: Final = ("timeout", "client_timeout", "unreachable", "crashed", "evicted", "suspended", "limit")
MOST_PODS: Final = 0.9
"""Share of the pods that must have enough requests before their median speaks for all."""
REPLICA_STATES: Final = ("starting", "idle", "busy", "draining")


class World:
    """One finished replication, as its tables tell it.

    Args:
        tables: the run's tables.
        replication: which one.
        decimals: base units in a token, as a power of ten; `gas_decimals` the same of the gas token.
    """

    def __init__(self, tables: RunTables, replication: int, *, decimals: int, gas_decimals: int) -> None:
        self._tables = tables
        self.replication = replication
        self._unit: int = 10**decimals
        self._gas_unit: int = 10**gas_decimals
        self._sketches: dict[str, tuple[Ints, Ints]] = {}

    def count(self, table: str, column: str) -> int:
        """Exact sum of a column."""
        return self._tables.rows(table, self.replication).total(column)

    def rows_where(self, table: str, column: str, *names: str) -> int:
        """Rows whose name column is one of `names`."""
        return int(self._tables.rows(table, self.replication).is_name(column, names).sum())

    def rows(self, table: str) -> int:
        """Rows of a table."""
        return len(self._tables.rows(table, self.replication))

    def present(self, table: str, column: str) -> int:
        """Rows in which a column is not null."""
        return int(self._tables.rows(table, self.replication).present(column).sum())

    def tokens(self, *columns: str) -> float:
        """Sum of money columns, each `table.column`, in tokens: added exactly, divided once."""
        parts = [column.partition(".") for column in columns]
        return sum(self.count(table, name) for table, _, name in parts) / self._unit

    def gas_tokens(self, column: str) -> float:
        """Sum of a wei column, `table.column`, in gas tokens."""
        table, _, name = column.partition(".")
        return self.count(table, name) / self._gas_unit

    @functools.cached_property
    def instants(self) -> int:
        """Sampling instants."""
        return len(np.unique(self._tables.rows("samples", self.replication).ints("time_ns")))

    def at_once(self, *columns: str) -> Value:
        """Mean over the sampling instants of a sum over all providers."""
        total = sum(self.count("samples", column) for column in columns)
        return total / self.instants if self.instants else None

    def sketch(self, kind: str) -> tuple[Ints, Ints]:
        """Buckets and counts of all latencies of a kind."""
        if kind not in self._sketches:
            rows = self._tables.rows("latency", self.replication)
            rows = rows.where(rows.is_name("kind", [kind]))
            self._sketches[kind] = merge_buckets(rows.ints("bucket"), rows.ints("requests"))
        return self._sketches[kind]

    def quantile_ms(self, kind: str, prob: float) -> Value:
        """A latency quantile over the requests of all pods."""
        return sketch_quantile_ms(*self.sketch(kind), prob)

    def pod_quantile_ms(self, kind: str, prob: float) -> Value:
        """The median over pods of each pod's own quantile; None when over a tenth of them have too few requests for it.

        Only busy pods have enough for a tail quantile: their median would pass for everybody's.
        """
        rows = self._tables.rows("latency", self.replication)
        rows = rows.where(rows.is_name("kind", [kind]))
        pods, names = rows.codes("pod")
        asked = len(np.unique(pods))
        values = sketch_quantiles_ms(
            pods, rows.ints("bucket"), rows.ints("requests"), prob, groups=len(names)
        )
        values = values[~np.isnan(values)]
        return float(np.median(values)) if asked and len(values) >= MOST_PODS * asked else None

    def pod_cold_share(self) -> Value:
        """The median over pods with a request served of their cold share."""
        deployments = self._tables.rows("deployments", self.replication)
        served, cold = deployments.sum_by("pod", "served"), deployments.sum_by("pod", "cold")
        shares = [cold[pod] / served[pod] for pod in served if served[pod]]
        return float(np.median(shares)) if shares else None

    def delays_s(
        self, start: str, end: str, table: str = "channels"
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Seconds between two instants of a table's rows, where both are known."""
        rows = self._tables.rows(table, self.replication)
        rows = rows.where(rows.present(start) & rows.present(end))
        return np.asarray((rows.ints(end) - rows.ints(start)) / 1e9)

    def mean_delay_s(self, start: str, end: str, *, table: str = "channels") -> Value:
        """Their sum over their number, as a ratio."""
        delays = self.delays_s(start, end, table)
        return float(delays.sum()), float(len(delays))

    def stranded(self) -> float:
        """Tokens left, not owed, in open channels of pods that no longer run there."""
        running = self._tables.rows("deployments", self.replication)
        running = running.where(running.is_name("outcome", ["running"]))
        alive = set(zip(*(running.table[name].to_pylist() for name in ("pod", "provider")), strict=True))
        names = ("pod", "provider", "status", "available_at_end", "invested", "withdrawn", "owed")
        channels = self._tables.rows("channels", self.replication).table
        left = 0
        for pod, provider, status, available, invested, withdrawn, owed in zip(
            *(channels[name].to_pylist() for name in names), strict=True
        ):
            if status != "closed" and (pod, provider) not in alive:
                left += max(0, int(available) - max(0, min(int(owed), int(invested)) - int(withdrawn)))
        return left / self._unit

    def unpaid_to_dishonest(self) -> float:
        """Tokens' worth served to publishers that are not honest, and never paid."""
        publishers = self._tables.rows("publishers", self.replication).table
        names = (publishers[name].to_pylist() for name in ("pod", "behaviour"))
        honest = {pod for pod, behaviour in zip(*names, strict=True) if behaviour == "honest"}
        channels = self._tables.rows("channels", self.replication).table
        owed = zip(channels["pod"].to_pylist(), channels["unpaid"].to_pylist(), strict=True)
        return sum(int(unpaid) for pod, unpaid in owed if pod not in honest) / self._unit

    def price_spread(self) -> Value:
        """Coefficient of variation over providers of the last CPU price each published."""
        rows = self._tables.rows("prices", self.replication)
        providers, _ = rows.codes("provider")
        prices = rows.floats("cpu")
        last = {int(provider): float(price) for provider, price in zip(providers, prices, strict=True)}
        values = np.array(list(last.values()))
        return float(values.std(ddof=1) / values.mean()) if len(values) > 1 and values.mean() > 0 else None

    def concentration(self) -> Value:
        """HHI of the providers' revenue."""
        return hhi(self._tables.rows("providers", self.replication).floats("revenue").tolist())


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: its key in `summary.json`.
        section: where the summary table shows it: `people`, `service`, `money`, `faults` or `market`.
        label: what a person reads; empty when the table leaves it to the file.
        unit: of its value; `TOKEN` and `GAS` stand for the scenario's symbols.
        kind: how it is estimated over replications.
        better: which way is better for those it concerns; None where that depends on whom one asks.
        about: what is measured.
        of: measures it on one replication; None when there is nothing to measure.
    """

    name: str
    section: Literal["people", "service", "money", "faults", "market"]
    label: str
    unit: str
    kind: Literal["terminating", "ratio"]
    better: Literal["more", "less"] | None
    about: str
    of: Callable[[World], Value]


def _count(
    name: str, section: Literal["people", "service", "faults"], label: str, better: Literal["more", "less"] | None,
    about: str, of: Callable[[World], Value], unit: str = "count",
) -> Metric:  # fmt: skip
    return Metric(name, section, label, unit, "terminating", better, about, of)


def _money(
    name: str, label: str, better: Literal["more", "less"] | None, about: str, of: Callable[[World], Value],
    unit: str = "TOKEN",
) -> Metric:  # fmt: skip
    return Metric(name, "money", label, unit, "terminating", better, about, of)


def _latency(kind: str, prob: float, per_pod: bool) -> Metric:
    name = f"{'cold_' if kind == 'cold' else ''}latency_p{prob * 100:.0f}_ms"
    what = "requests that waited for a start" if kind == "cold" else "requests answered"
    short = "cold starts" if kind == "cold" else "latency"
    if per_pod:
        about = f"median over pods of the pod's own p{prob * 100:.0f} of {what}; given when nine in ten have enough"
        return Metric(
            f"{name[:-3]}_pod_ms", "service", f"{short} p{prob * 100:.0f}, median pod", "ms", "terminating", "less",
            about, lambda world: world.pod_quantile_ms(kind, prob),
        )  # fmt: skip
    return Metric(
        name, "service", f"{short} p{prob * 100:.0f}", "ms", "terminating", "less",
        f"of {what}, the network included, all pods pooled",
        lambda world: world.quantile_ms(kind, prob),
    )  # fmt: skip


def _replica_seconds(state: str) -> Metric:
    return _count(
        f"replica_s_{state}", "service", f"replica time {state}", None, f"replica time spent {state}",
        lambda world: world.count("deployments", f"{state}_ns") / 1e9, unit="replica-s",
    )  # fmt: skip


def _start_part(part: str, label: str, about: str) -> Metric:
    return Metric(
        f"start_{part}_s", "service", label, "s", "ratio", "less", about,
        lambda world: (world.count("deployments", f"{part}_ns") / 1e9, world.count("deployments", "replicas_ready")),
    )  # fmt: skip


def _failures(cause: str) -> Metric:
    return _count(
        f"failed_{cause}", "faults", f"failed: {cause}", "less", f"requests failed at a provider: {cause}",
        lambda world: world.count("deployments", f"failed_{cause}"),
    )  # fmt: skip


METRICS: Final[tuple[Metric, ...]] = (
    _count("publishers", "people", "publishers", None, "publishers, one pod each", lambda w: w.rows("publishers")),
    _count("providers", "people", "providers", None, "providers", lambda w: w.rows("providers")),
    _count("deployments_accepted", "people", "deployments accepted", "more", "attempts that a provider accepted",
           lambda w: w.present("deployments", "accepted_ns")),
    _count("deployments_refused", "people", "deployments refused", "less",
           "attempts that came to nothing: refused by the provider, the chain or the attestation, or unanswered",
           lambda w: w.rows_where("deployments", "outcome", "refused")),
    _count("pods_running_at_end", "people", "pods running at the end", "more", "pods that run when the run ends",
           lambda w: w.rows_where("publishers", "state", "running")),
    _count("publishers_searching", "people", "publishers without a provider", "less",
           "publishers that have no provider when the run ends and still want one",
           lambda w: w.rows_where("publishers", "state", "searching")),
    _count("requests_arrived", "service", "requests arrived", None, "what users sent, deployed or not: attempts, where they try again",
           lambda w: w.count("publishers", "arrivals")),
    _count("requests_served", "service", "requests served", "more", "attempts answered",
           lambda w: w.count("publishers", "served")),
    _count("requests_failed", "service", "requests failed", "less", "attempts not answered, not-deployed included",
           lambda w: w.count("publishers", "failed")),
    _count("requests_retried", "service", "of them, tried again", None, "attempts after a request's first",
           lambda w: w.count("publishers", "retried")),
    _count("requests_lost", "service", "requests never answered", "less", "requests whose last attempt failed",
           lambda w: w.count("publishers", "lost")),
    _count("requests_held", "service", "held for a start", "less", "requests answered after being held for a start",
           lambda w: w.count("deployments", "cold")),
    _count("held_at_once", "service", "", "less", "requests held, mean over sampling instants",
           lambda w: w.at_once("held")),
    Metric("served_share", "service", "served share", "share", "ratio", "more",
           "requests served of those made; one that is tried again is one",
           lambda w: (w.count("publishers", "served"),
                      w.count("publishers", "arrivals") - w.count("publishers", "retried"))),
    Metric("cold_share", "service", "cold-start share", "share", "ratio", "less",
           "requests that waited for a start, of those served",
           lambda w: (w.count("deployments", "cold"), w.count("deployments", "served"))),
    Metric("cold_share_pod", "service", "cold-start share, median pod", "share", "terminating", "less",
           "median over pods of the pod's own cold share", lambda w: w.pod_cold_share()),
    *(_latency(kind, prob, per_pod) for kind in ("all", "cold") for per_pod in (False, True)
      for prob in (0.5, 0.95, 0.99)),
    _start_part("scheduling", "start: scheduling, mean", "until a replica is placed (waiting for room) and scheduled"),
    _start_part("pull", "start: image pull, mean", "then until its image is on the node"),
    _start_part("decryption", "start: decryption, mean", "then until the image is decrypted"),
    _start_part("application", "start: application, mean", "then until its application is ready"),
    *(_replica_seconds(state) for state in REPLICA_STATES),
    _count("replica_s_billed", "service", "replica time billed", None, "from container start to its end",
           lambda w: w.count("deployments", "billed_replica_ms") / 1e3, unit="replica-s"),
    Metric("replica_busy_share", "service", "replicas busy", "share", "ratio", "more",
           "replica time serving, of all replica time",
           lambda w: (w.count("deployments", "busy_ns") / 1e9,
                      sum(w.count("deployments", f"{state}_ns") for state in REPLICA_STATES) / 1e9)),
    Metric("cpu_allocated_share", "service", "CPU reserved", "share", "ratio", "more",
           "CPU reserved by replicas, of the nodes that are up, over the sampling instants",
           lambda w: (w.count("samples", "allocated_cpu_millis"), w.count("samples", "capacity_cpu_millis"))),
    _money("deposited", "deposited", None, "put into channels, top-ups included",
           lambda w: w.tokens("publishers.deposited", "publishers.top_ups")),
    _money("top_ups", "of it, top-ups", None, "deposits after the first", lambda w: w.tokens("publishers.top_ups")),
    _money("spend", "publishers' spend", None, "paid to providers, and owed and covered at the end",
           lambda w: w.tokens("publishers.spent", "providers.owed_unclaimed")),
    Metric("cost_per_million", "money", "cost of 1 M requests", "TOKEN", "ratio", "less",
           "publishers' spend for a million requests served",
           lambda w: (1e6 * w.tokens("publishers.spent", "providers.owed_unclaimed"),
                      w.count("publishers", "served"))),
    _money("revenue", "providers' revenue", "more", "claimed and paid", lambda w: w.tokens("providers.revenue")),
    _money("owed_unclaimed", "owed, not claimed yet", "less", "owed, covered and not claimed at the end",
           lambda w: w.tokens("providers.owed_unclaimed")),
    _money("unpaid", "served, never paid", "less", "cost of what was served and can no longer be claimed",
           lambda w: w.tokens("providers.unpaid")),
    _money("unpaid_dishonest", "of it, to dishonest publishers", "less", "of it, what exit racers and their like consumed",
           lambda w: w.unpaid_to_dishonest()),
    _money("overcharged", "overcharged", "less", "paid to providers beyond what ran at the agreed prices",
           lambda w: w.tokens("providers.overcharged")),
    _money("gas_cost", "providers' gas", "less", "fees of the providers' transactions, in the payment token",
           lambda w: w.tokens("providers.gas_cost")),
    _money("running_cost", "providers' running cost", "less", "power and capital of their nodes",
           lambda w: w.tokens("providers.running_cost")),
    _money("profit", "providers' profit", "more", "revenue and what is owed and covered, less gas and running cost",
           lambda w: w.tokens("providers.profit")),
    _money("publisher_gas", "publishers' gas", "less", "fees of the publishers' transactions",
           lambda w: w.gas_tokens("publishers.gas_wei"), unit="GAS"),
    _money("returned", "returned to publishers", None, "got back from closed channels",
           lambda w: w.tokens("publishers.returned")),
    _money("locked_at_end", "locked at the end", "less", "still in channels", lambda w: w.tokens("publishers.locked_at_end")),
    _money("stranded", "stranded", "less", "left, not owed, in open channels of pods that no longer run",
           lambda w: w.stranded()),
    _count("exhaustions", "faults", "channels exhausted", "less", "channels whose money ran out",
           lambda w: w.present("channels", "exhausted_ns")),
    _count("suspensions", "faults", "suspensions", "less", "pods suspended", lambda w: w.count("providers", "suspensions")),
    _count("evictions", "faults", "evictions", "less", "pods removed because their money ran out",
           lambda w: w.count("providers", "evictions")),
    Metric("removal_delay_s", "faults", "exhausted to removed, mean", "s", "ratio", "less",
           "time from the exact exhaustion to the pod's removal",
           lambda w: w.mean_delay_s("exhausted_ns", "removed_ns")),
    Metric("notice_delay_s", "faults", "exhausted to noticed, mean", "s", "ratio", "less",
           "time from the exact exhaustion to the provider's noticing",
           lambda w: w.mean_delay_s("exhausted_ns", "noticed_ns")),
    _count("lies_found", "faults", "lies found", None, "pods whose publisher found their provider out",
           lambda w: w.present("deployments", "lie_found_ns")),
    Metric("lie_found_delay_s", "faults", "accepted to lie found, mean", "s", "ratio", "less",
           "time from a pod's acceptance until its publisher found its provider out",
           lambda w: w.mean_delay_s("accepted_ns", "lie_found_ns", table="deployments")),
    Metric("overrun", "faults", "served after exhaustion", "TOKEN", "terminating", "less",
           "cost of what was served after the exhaustion", lambda w: w.tokens("channels.overrun")),
    *(_failures(cause) for cause in FAILURES),
    _count("failed_not_deployed", "faults", "failed: not deployed", "less", "requests that found their pod not deployed",
           lambda w: w.count("publishers", "failed")
           - sum(w.count("deployments", f"failed_{cause}") for cause in FAILURES)),
    _count("transactions_reverted", "faults", "transactions reverted", "less", "transactions the contracts refused",
           lambda w: w.rows_where("transactions", "status", "reverted")),
    _count("provider_down_s", "faults", "providers down", "less", "time providers were down, added up",
           lambda w: w.count("providers", "down_ns") / 1e9, unit="provider-s"),
    Metric("price_spread", "market", "spread of CPU prices", "share", "terminating", None,
           "standard deviation over mean of the providers' last CPU prices", lambda w: w.price_spread()),
    Metric("revenue_hhi", "market", "concentration of revenue", "HHI", "terminating", "less",
           "Herfindahl-Hirschman index of revenue: 1/n when equal, 1 for a monopoly", lambda w: w.concentration()),
)  # fmt: skip
"""In the order in which the summary shows them."""
