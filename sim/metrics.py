"""The one registry of what a run is judged by: each metric's unit, kind, direction and how it is measured.

A metric is measured on one replication. `terminating`: of a world that begins empty and ends at its time.
`ratio`: the same of two sums, given as its two parts, because a mean of ratios is biased. `steady-state`: of the
sampling instants after the warm-up, if there is one; some are a ratio too. Money is never trimmed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from sim.scenario.fields import FIAT_DECIMALS
from sim.statistics import Ints, hhi, merge_buckets, sketch_quantile_ms, sketch_quantiles_ms
from sim.warm_up import NONE, Series, WarmUp
from sim.warm_up import Value as Value  # what a metric is in one replication

if TYPE_CHECKING:
    from sim.records.reader import RunTables

FAILURES: Final = ("timeout", "client_timeout", "unreachable", "crashed", "evicted", "suspended", "limit")
MOST_PODS: Final = 0.9
"""Share of the pods that must have enough requests before their median speaks for all."""
REPLICA_STATES: Final = ("starting", "idle", "busy", "draining")
REPLICAS: Final = tuple(f"replicas_{state}" for state in REPLICA_STATES)
PENDING: Final = ("held", "queued", "in_service")


class World:
    """One finished replication, as its tables tell it.

    Args:
        tables: the run's tables.
        replication: which one.
        decimals: base units in a token, as a power of ten; `gas_decimals` the same of the gas token.
        warm_up: what is left out of steady-state figures.
    """

    def __init__(
        self,
        tables: RunTables,
        replication: int,
        *,
        decimals: int,
        gas_decimals: int,
        warm_up: WarmUp = NONE,
    ) -> None:
        self._tables = tables
        self.replication = replication
        self._warm_up = warm_up
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

    def positive(self, table: str, column: str) -> int:
        """Rows in which a column is above 0."""
        return int((self._tables.rows(table, self.replication).floats(column) > 0).sum())

    def tokens(self, *columns: str) -> float:
        """Sum of money columns, each `table.column`, in tokens: added exactly, divided once."""
        parts = [column.partition(".") for column in columns]
        return sum(self.count(table, name) for table, _, name in parts) / self._unit

    def gas_tokens(self, column: str) -> float:
        """Sum of a wei column, `table.column`, in gas tokens."""
        table, _, name = column.partition(".")
        return self.count(table, name) / self._gas_unit

    def fiat(self, *columns: str) -> float:
        """Sum of columns in the numéraire, each `table.column`."""
        parts = [column.partition(".") for column in columns]
        return sum(self.count(table, name) for table, _, name in parts) / 10**FIAT_DECIMALS

    @functools.cached_property
    def valued(self) -> bool:
        """Whether the scenario says what requests are worth."""
        return self.present("publishers", "value") > 0

    @functools.cached_property
    def welfare(self) -> float:
        """What requests served were worth, less what serving them cost; what parties pay each other is no part of it."""
        return self.fiat("publishers.value") - self.fiat(
            "publishers.gas_fiat", "providers.gas_fiat", "providers.running_fiat"
        )

    @functools.cached_property
    def planned(self) -> float:
        """A planner's welfare; `sim.planner`."""
        return self.fiat("publishers.planner_value") - self.fiat("providers.planner_cost")

    @functools.cached_property
    def priced(self) -> bool:
        """Whether money in the numéraire says more than money in tokens: something is valued in it, or a token has a rate."""
        return self.valued or self.rows("rates") > 0

    def rate_growth(self) -> float | None:
        """What the payment token was worth at the end over what it was at the beginning; None where it has no rate."""
        rates = self._tables.rows("rates", self.replication)
        rates = rates.where(rates.is_name("token", ["payment"]))
        values = rates.floats("rate")
        return float(values[-1] / values[0]) if len(values) else None

    @functools.cached_property
    def _instants(self) -> tuple[Ints, Ints]:
        """The sampling instants [Unix ns], and where the rows of `samples` of each begin."""
        instants, first = np.unique(
            self._tables.rows("samples", self.replication).ints("time_ns"), return_index=True
        )
        return instants, first

    def now(self, *columns: str) -> Ints:
        """At each sampling instant, the sum of columns over all providers; what nobody hosts is left out."""
        _, first = self._instants
        rows = self._tables.rows("samples", self.replication)
        sums = np.zeros(len(first), np.int64)
        if len(first):
            hosted = ~rows.is_name("provider", [""])
            for column in columns:
                sums += np.add.reduceat(np.where(hosted, rows.ints(column), 0), first)
        return sums

    def most(self, column: str) -> Ints:
        """At each sampling instant, what the provider with the most has of a column, times how many providers there are."""
        _, first = self._instants
        rows = self._tables.rows("samples", self.replication)
        if not len(first):
            return np.zeros(0, np.int64)
        hosted = ~rows.is_name("provider", [""])
        most = np.maximum.reduceat(np.where(hosted, rows.ints(column), 0), first)
        return np.asarray(most * np.add.reduceat(hosted.astype(np.int64), first))

    def since(self, *columns: str) -> Ints:
        """At each sampling instant, what columns that count from the run's start have grown by since the one before."""
        return np.diff(self.now(*columns), prepend=np.int64(0))

    def spans_ns(self) -> Ints:
        """At each sampling instant, the time since the one before; 0 at the first."""
        instants, _ = self._instants
        return np.diff(instants, prepend=instants[:1])

    def after_warm_up(self, name: str, series: Series) -> Value:
        """A steady-state figure; None when it does not settle, or nothing is left."""
        left_out = self._warm_up.left_out
        return None if left_out is None or name in self._warm_up.unsettled else series.value(left_out)

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


Section = Literal["people", "service", "steady", "money", "welfare", "faults", "market"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: its key in `summary.json`.
        section: where the summary table shows it: `people`, `service`, `steady`, `money`, `welfare`, `faults` or `market`.
        label: what a person reads; empty when the table leaves it to the file.
        unit: of its value; `TOKEN`, `GAS` and `FIAT` stand for the scenario's symbols.
        kind: how it is estimated over replications.
        better: which way is better for those it concerns; None where that depends on whom one asks.
        about: what is measured.
        of: measures it on one replication; None when there is nothing to measure.
        series: what a steady-state metric is made of; None for the others.
        parts: whether its value is two parts, of a ratio.
    """

    name: str
    section: Section
    label: str
    unit: str
    kind: Literal["terminating", "steady-state", "ratio"]
    better: Literal["more", "less"] | None
    about: str
    of: Callable[[World], Value]
    series: Callable[[World], Series] | None = None
    parts: bool = False

    def __post_init__(self) -> None:
        if self.kind == "ratio":
            object.__setattr__(self, "parts", True)


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


def _steady(
    name: str, section: Section, label: str, unit: str, better: Literal["more", "less"] | None, about: str,
    series: Callable[[World], Series], *, parts: bool = False,
) -> Metric:  # fmt: skip
    return Metric(
        name, section, label, unit, "steady-state", better, about,
        lambda world: world.after_warm_up(name, series(world)), series, parts,
    )  # fmt: skip


def _priced(world: World) -> bool:
    return world.priced


def _welfare(
    name: str, label: str, better: Literal["more", "less"] | None, about: str, of: Callable[[World], Value],
    given: Callable[[World], bool] = lambda world: world.valued, unit: str = "FIAT",
) -> Metric:  # fmt: skip
    return Metric(
        name, "welfare", label, unit, "terminating", better, about,
        lambda world: of(world) if given(world) else None,
    )  # fmt: skip


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
    _steady("held_at_once", "steady", "requests held", "count", "less", "requests held, mean over sampling instants",
            lambda w: Series(w.now("held"))),
    _steady("pending_at_once", "steady", "requests pending", "count", "less",
            "requests held, queued or in service, mean over sampling instants", lambda w: Series(w.now(*PENDING))),
    _steady("replicas_at_once", "steady", "replicas", "count", None,
            "replicas in any state, mean over sampling instants", lambda w: Series(w.now(*REPLICAS))),
    _steady("busy_at_once_share", "steady", "replicas busy", "share", "more",
            "replicas serving, of all there are, over the sampling instants",
            lambda w: Series(w.now("replicas_busy"), w.now(*REPLICAS)), parts=True),
    _steady("served_per_s", "steady", "requests served", "1/s", "more", "requests served, a second",
            lambda w: Series(w.since("served"), w.spans_ns(), 1e9), parts=True),
    _steady("time_pending_s", "steady", "time pending, mean", "s", "less",
            "how long a request is at a provider: by Little's law those held, queued and in service, over those that end a second",
            lambda w: Series(w.now(*PENDING) * w.spans_ns(), w.since("served", "failed"), 1e-9), parts=True),
    _steady("cold_now_share", "steady", "cold-start share", "share", "less",
            "requests that waited for a start, of those served", lambda w: Series(w.since("cold"), w.since("served")), parts=True),
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
    _steady("cpu_allocated_share", "service", "CPU reserved", "share", "more",
            "CPU reserved by replicas, of the nodes that are up, over the sampling instants",
            lambda w: Series(w.now("allocated_cpu_millis"), w.now("capacity_cpu_millis")), parts=True),
    _steady("load_imbalance", "steady", "imbalance of load", "ratio", "less",
            "CPU reserved at the provider with the most, over the mean of all providers: 1 when equal, over the sampling instants",
            lambda w: Series(w.most("allocated_cpu_millis"), w.now("allocated_cpu_millis")), parts=True),
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
    _welfare("request_value", "value of requests served", "more", "what requests served were worth, less waiting; none where no publisher has a `value`",
             lambda w: w.fiat("publishers.value")),
    _welfare("publisher_surplus", "publishers' surplus", "more", "value of requests served, less spending and gas",
             lambda w: w.fiat("publishers.value") - w.fiat("publishers.spent_fiat", "publishers.gas_fiat")),
    _welfare("provider_surplus", "providers' surplus", "more", "revenue and what is owed and covered, less gas and running cost, each at the rate of its time",
             lambda w: w.fiat("providers.surplus"), _priced),
    _welfare("welfare", "welfare", "more", "value of requests served, less gas and running cost: both surpluses together",
             lambda w: w.welfare),
    _welfare("planner_welfare", "a planner's welfare", None, "more than any market could reach: see docs/background/economics.md",
             lambda w: w.planned),
    Metric("welfare_share", "welfare", "share of a planner's", "share", "ratio", "more", "welfare over a planner's",
           lambda w: (w.welfare, w.planned) if w.valued else None),
    _welfare("priced_out", "publishers priced out", "less", "publishers that stay out because every offer was dearer than elsewhere",
             lambda w: w.rows_where("publishers", "state", "out"), unit="count"),
    _welfare("spend_fiat", "publishers' spend", None, "paid to providers at the rate of each payment's time, and owed and covered at the last rate",
             lambda w: w.fiat("publishers.spent_fiat"), _priced),
    _welfare("gas_fiat", "everybody's gas", "less", "fees of all parties' transactions, at the rate of each one's time",
             lambda w: w.fiat("publishers.gas_fiat", "providers.gas_fiat"), _priced),
    _welfare("holding_loss", "lost by holding tokens", "less", "what publishers' money lost in channels because the token's rate moved; negative: gained",
             lambda w: w.fiat("publishers.holding_loss"), lambda w: w.rate_growth() is not None),
    _welfare("rate_growth", "payment token, end over start", None, "its rate at the end over that at the start",
             lambda w: w.rate_growth(), _priced, unit="ratio"),
    _welfare("tokens_per_fiat", "tokens per numéraire, end over start", None, "how many times as many tokens the numéraire buys at the end; expected to be e^(σ²t) for a driftless walk",
             lambda w: 1 / growth if (growth := w.rate_growth()) is not None else None, _priced, unit="ratio"),
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
    _count("channels_unpaid", "faults", "channels not paid in full", "less", "channels in which something was served and can no longer be claimed",
           lambda w: w.positive("channels", "unpaid")),
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
