"""What a sum of money is made of: by cause, provider and pod, in whole base units that add up to it exactly.

Each decomposition goes through the rows that the metric sums, so that it can be followed with any tool that reads
the tables. Where more than one cause shares a row, the events say how much belongs to each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from protocol.errors import BadInput
from protocol.events import Happened
from protocol.manifest import hint
from sim.explain.phrases import exact_text
from sim.metrics import METRICS, World

if TYPE_CHECKING:
    from sim.explain.source import Source

Row = dict[str, Any]
Parts = Iterator["Part"]

REASONS: Final = {
    "exhausted": "after its funds were used up",
    "unlocked": "after its publisher took its funds back",
    "deleted": "after its publisher deleted it",
    "provider_lost": "after its provider was lost",
    None: "while it ran",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a sum.

    Attributes:
        cause: in words.
        provider: whose; empty: no provider's.
        pod: whose; empty: no pod's.
        amount: base units; what lessens the sum is negative.
    """

    cause: str
    provider: str
    pod: str
    amount: int


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A sum and its parts.

    Attributes:
        metric, about: what it is.
        replication: of which one.
        total: the sum [base units].
        parts: none of them is 0.
        decimals, symbol: of the token that it is in.
        notes: what a reader has to know, a sentence each.
    """

    metric: str
    about: str
    replication: int
    total: int
    parts: tuple[Part, ...]
    decimals: int
    symbol: str
    notes: tuple[str, ...] = ()

    def text(self, amount: int) -> str:
        """An amount in tokens, exactly."""
        return exact_text(amount, self.decimals, self.symbol)

    def by_cause(self) -> dict[str, int]:
        """Sums by cause."""
        return self._by(lambda part: part.cause)

    def by_provider(self) -> dict[str, int]:
        """Sums by provider."""
        return self._by(lambda part: part.provider)

    def by_pod(self) -> dict[str, int]:
        """Sums by pod."""
        return self._by(lambda part: part.pod)

    def _by(self, name: Callable[[Part], str]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for part in self.parts:
            sums[name(part)] = sums.get(name(part), 0) + part.amount
        return sums

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it; base units as text, because they are larger than a float can hold."""
        return {
            "metric": self.metric,
            "about": self.about,
            "replication": self.replication,
            "unit": self.symbol,
            "decimals": self.decimals,
            "total": str(self.total),
            "by_cause": {name: str(amount) for name, amount in self.by_cause().items()},
            "by_provider": {name: str(amount) for name, amount in self.by_provider().items()},
            "by_pod": {name: str(amount) for name, amount in self.by_pod().items()},
            "parts": [
                {"cause": part.cause, "provider": part.provider, "pod": part.pod, "amount": str(part.amount)}
                for part in self.parts
            ],
            "notes": list(self.notes),
        }


def decompose(source: Source, name: str) -> Decomposition:
    """What a metric of money is made of.

    Args:
        source: the run.
        name: of the metric.

    Raises:
        BadInput: no metric has this name, or it is no sum of money; or the tables contradict each other.
    """
    metric = next((m for m in METRICS if m.name == name), None)
    if metric is None:
        raise BadInput(f"--metric {name}: no metric of this name; {hint(name, [m.name for m in METRICS])}")
    if name not in DECOMPOSED:
        raise BadInput(
            f"--metric {name}: is no sum of money that has parts; those that have: {', '.join(DECOMPOSED)}"
        )
    of, notes = DECOMPOSED[name]
    parts = tuple(part for part in of(source) if part.amount)
    gas = metric.unit == "GAS"
    decimals = source.gas_decimals if gas else source.decimals
    total = sum(part.amount for part in parts)
    measured = metric.of(
        World(source.tables, source.replication, decimals=source.decimals, gas_decimals=source.gas_decimals)
    )
    if total / 10**decimals != measured:  # the tables' own figure, added exactly and divided once
        raise BadInput(
            f"{source.run.directory}: its tables contradict each other: the parts of {name} sum to {total} base units, "
            f"and the metric is {measured!r} tokens. `trustedpods replay` says which table was changed"
        )
    symbol = source.gas_symbol if gas else source.symbol
    return Decomposition(name, metric.about, source.replication, total, parts, decimals, symbol, notes)


# ---------------------------------------------------------------- channels


def _int(row: Mapping[str, Any], column: str) -> int:
    return int(row[column] or 0)


def _ending(source: Source, channel: Row) -> str:
    """What had become of the pod of a channel, in words."""
    past = channel["closed_ns"]
    reasons = [
        row["reason"] if row["outcome"] != "running" else None
        for row in source.rows("deployments")
        if (row["pod"], row["provider"]) == (channel["pod"], channel["provider"])
        and row["accepted_ns"] is not None
        and (past is None or row["accepted_ns"] <= past)
    ]
    if not reasons:
        return "of a pod that was never accepted"
    return REASONS.get(reasons[-1], f"after it ended: {reasons[-1]}")


def _unclaimed(channel: Row) -> int:
    """Owed, covered and not claimed: as `providers.owed_unclaimed` counts it."""
    if channel["status"] == "closed":
        return 0
    covered = min(_int(channel, "owed"), _int(channel, "invested") - _int(channel, "returned"))
    return max(0, covered - _int(channel, "withdrawn"))


def _unpaid(source: Source) -> Parts:
    """Until the provider noticed, and from then until the pod was gone: the meter's reading of the notice parts them."""
    noticed = _owed_when_noticed(source)
    for c in source.rows("channels"):
        unpaid, provider, pod = _int(c, "unpaid"), c["provider"], c["pod"]
        late = 0
        if (
            c["noticed_ns"] is not None
            and (owed := noticed.get((pod, provider, c["noticed_ns"]))) is not None
        ):
            late = min(unpaid, max(0, _int(c, "owed") - owed))
            yield Part(
                "served before the provider noticed that the funds were used up", provider, pod, unpaid - late
            )
            yield Part("served after that, until the pod was gone", provider, pod, late)
        elif c["exhausted_ns"] is not None:
            yield Part("served after the funds were used up", provider, pod, unpaid)
        elif _int(c, "returned"):
            yield Part("claimed too late: the publisher had taken its funds back", provider, pod, unpaid)
        else:
            yield Part(f"not covered by the channel, {_ending(source, c)}", provider, pod, unpaid)


def _owed_when_noticed(source: Source) -> dict[tuple[str, str, int], int]:
    """What was owed at each notice, by pod, provider and instant; nothing where the run kept no events."""
    rows = source.events_where(pc.field("event") == str(Happened.POD_METERED))
    return {(row["pod"], row["party"], row["time_ns"]): int(row["amount"]) for row in rows}


def _overrun(source: Source) -> Parts:
    for c in source.rows("channels"):
        covered = "and topped up later" if _int(c, "unpaid") < _int(c, "overrun") else "and never covered"
        yield Part(f"served after the exhaustion, {covered}", c["provider"], c["pod"], _int(c, "overrun"))


def _paid(source: Source) -> Parts:
    for c in source.rows("channels"):
        yield Part("claimed and paid", c["provider"], c["pod"], _int(c, "withdrawn"))


def _owed_unclaimed(source: Source) -> Parts:
    for c in source.rows("channels"):
        yield Part(f"owed and not claimed yet, {_ending(source, c)}", c["provider"], c["pod"], _unclaimed(c))


def _spend(source: Source) -> Parts:
    yield from _paid(source)
    yield from _owed_unclaimed(source)


def _deposited(source: Source) -> Parts:
    """Where it went: what was put in was paid out, came back, or is still there."""
    for c in source.rows("channels"):
        provider, pod, owed = c["provider"], c["pod"], _unclaimed(c)
        yield Part("paid to the provider", provider, pod, _int(c, "withdrawn"))
        yield Part("came back to the publisher", provider, pod, _int(c, "returned"))
        yield Part("still in the channel, owed to the provider", provider, pod, owed)
        yield Part("still in the channel, owed to nobody", provider, pod, _int(c, "available_at_end") - owed)


def _locked(source: Source) -> Parts:
    for c in source.rows("channels"):
        owed = _unclaimed(c)
        yield Part("owed to the provider", c["provider"], c["pod"], owed)
        free = _int(c, "available_at_end") - owed
        yield Part(f"owed to nobody, {_ending(source, c)}", c["provider"], c["pod"], free)


def _returned(source: Source) -> Parts:
    for c in source.rows("channels"):
        yield Part(f"came back {_ending(source, c)}", c["provider"], c["pod"], _int(c, "returned"))


def _stranded(source: Source) -> Parts:
    running = {
        (row["pod"], row["provider"]) for row in source.rows("deployments") if row["outcome"] == "running"
    }
    for c in source.rows("channels"):
        if c["status"] == "closed" or (c["pod"], c["provider"]) in running:
            continue
        owed = max(0, min(_int(c, "owed"), _int(c, "invested")) - _int(c, "withdrawn"))
        left = max(0, _int(c, "available_at_end") - owed)
        state = "on its way back" if c["status"] == "unlocking" else "not asked back"
        yield Part(f"left {_ending(source, c)}, {state}", c["provider"], c["pod"], left)


# ---------------------------------------------------------------- gas and costs


def _fees(source: Source) -> dict[str, dict[str, int]]:
    """Fees in wei by sender and function."""
    table = source.tables.arrow("transactions", source.replication)
    fees: dict[str, dict[str, int]] = {}
    names = ("sender", "function", "status", "fee_wei")
    for sender, function, status, fee in zip(*(table[name].to_pylist() for name in names), strict=True):
        if fee is not None:
            called = function if status == "confirmed" else f"{function}, {status}"
            own = fees.setdefault(sender, {})
            own[called] = own.get(called, 0) + int(fee)
    return fees


def _publisher_gas(source: Source) -> Parts:
    fees = _fees(source)
    for row in source.rows("publishers"):
        for function, wei in fees.get(row["pod"], {}).items():
            yield Part(f"fees of {function}", "", row["pod"], wei)


def _gas_cost(source: Source) -> Parts:
    """A provider's gas in the payment token was rounded down once: it is shared out by wei, without a rest."""
    fees = _fees(source)
    for row in source.rows("providers"):
        own, total = fees.get(row["provider"], {}), _int(row, "gas_wei")
        past = told = 0
        for function, wei in own.items():
            past += wei
            upto = _int(row, "gas_cost") * past // total if total else 0
            yield Part(f"fees of {function}", row["provider"], "", upto - told)
            told = upto


def _running_cost(source: Source) -> Parts:
    for row in source.rows("providers"):
        yield Part("power and capital of its nodes", row["provider"], "", _int(row, "running_cost"))


def _profit(source: Source) -> Parts:
    yield from _spend(source)
    for part in (*_gas_cost(source), *_running_cost(source)):
        yield Part(part.cause, part.provider, part.pod, -part.amount)


BY_WEI: Final = (
    "Fees are in the payment token as the run counted them for each provider, shared out by what each function cost in gas.",
)
DECOMPOSED: Final[Mapping[str, tuple[Callable[[Source], Parts], tuple[str, ...]]]] = {
    "unpaid": (_unpaid, ()),
    "overrun": (_overrun, ()),
    "deposited": (_deposited, ()),
    "spend": (_spend, ()),
    "revenue": (_paid, ()),
    "owed_unclaimed": (_owed_unclaimed, ()),
    "returned": (_returned, ()),
    "locked_at_end": (_locked, ()),
    "stranded": (_stranded, ()),
    "gas_cost": (_gas_cost, BY_WEI),
    "running_cost": (_running_cost, ()),
    "profit": (_profit, BY_WEI),
    "publisher_gas": (_publisher_gas, ()),
}
"""Metrics whose parts are known: how they are found, and what is to be said of them."""
