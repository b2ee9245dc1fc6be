"""From what happens to rows: the protocol's trace, attempts, channels, claims, transactions.

The recorder is no party: it sees the true time, the chain without confirmations, and what the clients
emit. Nothing of it flows back.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from protocol import payment
from protocol.events import Event, Happened
from protocol.ports import EventId
from protocol.registry import NewPricingTable
from protocol.units import NS_PER_S, Address
from sim.chain.transactions import FUNCTIONS, Tx
from sim.records.schema import ChannelLife, Deployment

if TYPE_CHECKING:
    from protocol import ports
    from protocol.payment import ChannelKey
    from sim.chain.model import Mined
    from sim.records.writer import RunWriter
    from sim.tasks import Process

REASONS: Final = {
    "FundsExhausted": "exhausted",
    "Unlocked": "unlocked",
    "Deleted": "deleted",
    "ProviderSilent": "provider_lost",
}
"""Rules that end a pod, as the tables call them; other rules keep their names."""


@dataclass(slots=True)
class Attempt:
    """One deployment of a pod at a provider: its row, its channel's life, and the replica-ms the kernel ran."""

    row: dict[str, Any]
    life: int = 0
    run_ms: int = 0


@dataclass(slots=True)
class Life:
    """One life of a channel: its row, its first deposit, and what its provider last said was owed."""

    key: ChannelKey
    row: dict[str, Any]
    first: int = 0
    submitted_owed: int = 0


@dataclass(slots=True)
class Till:
    """What a provider's channels add up to [base units]: paid to it, held for it, returned to publishers."""

    claimed: int = 0
    available: int = 0
    returned: int = 0


@dataclass(slots=True)
class Recorder:
    """Collects the rows of one replication.

    Attributes:
        writer: where rows go.
        keeps_events: whether the protocol's trace is written.
        names: party names by address.
        groups: group of each party by name.
    """

    writer: RunWriter
    keeps_events: bool = True
    names: dict[Address, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    newest: dict[ChannelKey, Life] = field(default_factory=dict)
    extra_prices: dict[str, tuple[int, int]] = field(default_factory=dict)
    evictions: dict[str, int] = field(default_factory=dict)
    suspensions: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    tills: defaultdict[str, Till] = field(default_factory=lambda: defaultdict(Till))
    claims: dict[str, int] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    submitted: dict[bytes, tuple[int, str, str]] = field(default_factory=dict)
    _next_event: int = 0
    _by_names: dict[tuple[str, str], Life] = field(default_factory=dict)
    _open: dict[str, Attempt] = field(default_factory=dict)
    _requested: dict[tuple[str, str], int] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)

    # ------------------------------------------------------------ the protocol's trace

    def emit(
        self, party: str, is_provider: bool, process: Process, event: Event, cause: EventId | None
    ) -> EventId:
        """One row of `events`, and what follows from it for the other tables."""
        event_id = self._next_event
        self._next_event += 1
        now_ns = int(process.env.now)
        peer = self.names.get(Address(bytes.fromhex(event.peer)), "") if event.peer else ""
        pod, provider = (peer, party) if is_provider else (party, peer)
        if is_provider and not pod and event.pod in self._open:
            pod = self._open[event.pod].row["pod"]
        if self.keeps_events:
            self.writer.append(
                "events",
                (
                    event_id, cause, now_ns, process.now_ns(), party, event.name.value, pod, provider,
                    event.rule, event.amount, event.detail,
                ),
            )  # fmt: skip
        self._note(event, pod, provider, now_ns)
        return EventId(event_id)

    def _note(self, event: Event, pod: str, provider: str, now_ns: int) -> None:
        match event.name:
            case Happened.PROVIDER_ATTESTED:
                self._requested[pod, provider] = now_ns
            case Happened.CANDIDATE_PASSED_OVER:
                attempt = self._open.get(event.pod)
                if attempt is None or attempt.row["provider"] != provider:
                    refused = self._attempt(pod, provider, now_ns)
                    refused.row |= {"ended_ns": now_ns, "outcome": "refused", "reason": event.rule}
                    self.refused[provider] = self.refused.get(provider, 0) + 1
            case Happened.POD_ACCEPTED:
                attempt = self._open.get(event.pod)
                if attempt is not None and (attempt.life, attempt.row["ended_ns"]) == (event.amount, None):
                    return  # the client was killed before it had written that down, and was asked again
                attempt = self._attempt(pod, provider, now_ns)
                attempt.life = event.amount
                attempt.row |= {
                    "namespace": event.pod,
                    "accepted_ns": now_ns,
                    "price_table": int(event.detail),
                }
                self._open[event.pod] = attempt
                self.accepted[provider] = self.accepted.get(provider, 0) + 1
            case Happened.POD_FAILED:
                attempt = self._open.pop(event.pod, None)
                if attempt is None:
                    return  # said again by a client that was killed while it wrote it down
                attempt.row |= {"ended_ns": now_ns, "outcome": "failed", "reason": event.rule}
            case Happened.POD_CONFIRMED if event.pod in self._open:
                self._open[event.pod].row["running_ns"] = now_ns
            case Happened.POD_METERED:
                life = self._life_of(event.pod)
                if life is not None and life.row["noticed_ns"] is None:
                    life.row["noticed_ns"] = now_ns
            case Happened.POD_SUSPENDED:
                self._open[event.pod].row["suspended_ns"] = now_ns
                self.suspensions[provider] = self.suspensions.get(provider, 0) + 1
            case Happened.POD_REMOVED:
                self._removed(event, provider, now_ns)
            case Happened.CLAIM_SUBMITTED:
                life = self._life_of(event.pod)
                if life is not None:
                    life.submitted_owed = int(event.detail)
            case _:
                pass

    def _removed(self, event: Event, provider: str, now_ns: int) -> None:
        attempt = self._open[event.pod]
        if attempt.row["outcome"] == "removed":
            return  # said again by a client that was killed while it wrote it down
        attempt.row |= {
            "ended_ns": now_ns,
            "outcome": "removed",
            "reason": REASONS.get(event.rule, event.rule),
        }
        if event.rule == "FundsExhausted":
            self.evictions[provider] = self.evictions.get(provider, 0) + 1
            pod = attempt.row["pod"]
            self.evictions[pod] = self.evictions.get(pod, 0) + 1
            life = self._life_of(event.pod)
            if life is not None:
                life.row["removed_ns"] = now_ns

    def _attempt(self, pod: str, provider: str, now_ns: int) -> Attempt:
        self._tries[pod] = self._tries.get(pod, 0) + 1
        row = Deployment(
            pod, self.groups[pod], provider, attempt=self._tries[pod],
            requested_ns=self._requested.pop((pod, provider), now_ns),
        )._asdict()  # fmt: skip
        attempt = Attempt(row)
        self.attempts.append(attempt)
        return attempt

    def _life_of(self, namespace: str) -> Life | None:
        attempt = self._open.get(namespace)
        if attempt is None:
            return None
        return self._by_names.get((attempt.row["pod"], attempt.row["provider"]))

    def attempt_of(self, namespace: str) -> Attempt | None:
        """The open attempt in a namespace."""
        return self._open.get(namespace)

    # ------------------------------------------------------------ the chain

    def mined(self, mined: Mined) -> None:
        """Rows of a block's transactions, and what it did to channels."""
        at_ns = mined.block.time_s * NS_PER_S
        for receipt in mined.receipts:
            submitted_ns, sender, function = self.submitted.pop(receipt.hash)
            status = "confirmed" if receipt.error is None else "reverted"
            self.writer.append(
                "transactions",
                (
                    submitted_ns, at_ns, mined.block.number, sender, function, status, receipt.error,
                    receipt.gas_used, receipt.fee_wei,
                ),
            )  # fmt: skip
            self.fees[sender] = self.fees.get(sender, 0) + receipt.fee_wei
            for event in receipt.events:
                self._chain_event(event, sender, at_ns, mined.block.number)

    def sent(self, tx: Tx, at_ns: int) -> None:
        """A transaction went into the pool."""
        self.submitted.setdefault(tx.hash, (at_ns, self.names[tx.sender], FUNCTIONS[type(tx.command)].name))

    def _chain_event(self, event: object, sender: str, at_ns: int, block: int) -> None:
        match event:
            case payment.ChannelCreated(key):
                before = self.newest.get(key)
                pod, provider = self.names[key.publisher], self.names[key.provider]
                number = before.row["life"] + 1 if before is not None else 1
                row = ChannelLife(pod, provider, number, opened_ns=at_ns)._asdict()
                life = Life(key, row | {"top_ups": -1})  # the first deposit is none
                self.lives.append(life)
                self.newest[key] = self._by_names[pod, provider] = life
            case payment.Deposited(key, amount):
                row = self.newest[key].row
                row["invested"] += amount
                self.tills[row["provider"]].available += amount
                row["top_ups"] += 1
                row["status"] = "open"
                if row["top_ups"] == 0:
                    self.newest[key].first = amount
            case payment.UnlockTimerStarted(key, _):
                self.newest[key].row["status"] = "unlocking"
            case payment.Withdrawn(key, amount):
                life = self.newest[key]
                life.row["withdrawn"] += amount
                till = self.tills[life.row["provider"]]
                till.claimed += amount
                till.available -= amount
                self._claim_row(life, at_ns, block, amount, "paid")
            case payment.ClaimSkipped(key, reason):
                if key in self.newest:
                    self._claim_row(self.newest[key], at_ns, block, 0, reason.value)
            case payment.Unlocked(key, amount):
                row = self.newest[key].row
                row["returned"] += amount
                till = self.tills[row["provider"]]
                till.returned += amount
                till.available -= amount
            case payment.ChannelClosed(key):
                self.newest[key].row |= {"closed_ns": at_ns, "status": "closed"}
            case NewPricingTable(_, table_id, prices):
                self.writer.append(
                    "prices", (at_ns, sender, table_id, *prices, *self.extra_prices.get(sender, (0, 0)))
                )
            case _:
                pass

    def _claim_row(self, life: Life, at_ns: int, block: int, paid: int, outcome: str) -> None:
        row = life.row
        if paid:
            self.claims[row["provider"]] = self.claims.get(row["provider"], 0) + 1
        self.writer.append(
            "claims",
            (
                at_ns, row["provider"], row["pod"], row["life"], life.submitted_owed, row["withdrawn"], paid, block, outcome,
            ),
        )  # fmt: skip


class PartyTrace:
    """See `ports.Trace`: one party's view of the recorder.

    Args:
        recorder: where everything goes.
        process: the party's process.
        party: its name.
        is_provider: which side it is on.
    """

    __slots__ = ("_is_provider", "_party", "_process", "_recorder")

    def __init__(self, recorder: Recorder, process: Process, party: str, *, is_provider: bool) -> None:
        self._recorder = recorder
        self._process = process
        self._party = party
        self._is_provider = is_provider

    def emit(self, event: Event, cause: EventId | None = None) -> EventId:
        """See `ports.Trace.emit`."""
        self._process.check()
        return self._recorder.emit(self._party, self._is_provider, self._process, event, cause)


if TYPE_CHECKING:
    _is_a_trace: type[ports.Trace] = PartyTrace
