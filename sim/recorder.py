"""From what happens to rows: the protocol's trace, attempts, channels, claims, transactions.

The recorder is no party: it sees the true time, the chain without confirmations, and what the clients
emit. Nothing of it flows back.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from protocol import payment
from protocol.events import Event, Happened
from protocol.ports import EventId
from protocol.registry import NewPricingTable
from protocol.units import NS_PER_S, Address
from sim.chain.transactions import FUNCTIONS, Tx
from sim.chain.undo import UndoLog
from sim.records.schema import ChannelLife, Deployment

if TYPE_CHECKING:
    from protocol import ports
    from protocol.payment import ChannelKey
    from sim.chain.model import Mined, Undone
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
        undo: the way back from what blocks did that may be undone.
        undone_blocks: how many blocks may be undone; rows are written when they no longer can be.
        confirmations: after how many blocks parties believe what they see.
        believed: transactions that were undone when somebody may have believed them already.
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
    submitted: dict[bytes, tuple[int, str, str, Address, int]] = field(default_factory=dict)
    undo: UndoLog = field(default_factory=lambda: UndoLog(keeps=False))
    undone_blocks: int = 0
    confirmations: int = 0
    believed: int = 0
    _marks: list[tuple[int, int]] = field(default_factory=list)
    _held: list[tuple[int, str, tuple[Any, ...]]] = field(default_factory=list)
    _next_event: int = 0
    _by_names: dict[tuple[str, str], Life] = field(default_factory=dict)
    _open: dict[tuple[str, str], Attempt] = field(default_factory=dict)
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
        if is_provider and not pod and (party, event.pod) in self._open:
            pod = self._open[party, event.pod].row["pod"]
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
                if (provider, event.pod) not in self._open:
                    refused = self._attempt(pod, provider, now_ns)
                    refused.row |= {"ended_ns": now_ns, "outcome": "refused", "reason": event.rule}
                    self.refused[provider] = self.refused.get(provider, 0) + 1
            case Happened.POD_ACCEPTED:
                attempt = self._open.get((provider, event.pod))
                if attempt is not None and (attempt.life, attempt.row["ended_ns"]) == (event.amount, None):
                    return  # the client was killed before it had written that down, and was asked again
                attempt = self._attempt(pod, provider, now_ns)
                attempt.life = event.amount
                attempt.row |= {
                    "namespace": event.pod,
                    "accepted_ns": now_ns,
                    "price_table": int(event.detail),
                }
                self._open[provider, event.pod] = attempt
                self.accepted[provider] = self.accepted.get(provider, 0) + 1
            case Happened.POD_FAILED:
                attempt = self._open.pop((provider, event.pod), None)
                if attempt is None:
                    return  # said again by a client that was killed while it wrote it down
                attempt.row |= {"ended_ns": now_ns, "outcome": "failed", "reason": event.rule}
            case Happened.POD_CONFIRMED if (provider, event.pod) in self._open:
                self._open[provider, event.pod].row["running_ns"] = now_ns
            case Happened.POD_METERED:
                life = self._life_of(provider, event.pod)
                if life is not None and life.row["noticed_ns"] is None:
                    life.row["noticed_ns"] = now_ns
            case Happened.POD_SUSPENDED:
                self._open[provider, event.pod].row["suspended_ns"] = now_ns
                self.suspensions[provider] = self.suspensions.get(provider, 0) + 1
            case Happened.POD_REMOVED:
                self._removed(event, provider, now_ns)
            case Happened.CLAIM_SUBMITTED:
                life = self._life_of(provider, event.pod)
                if life is not None:
                    life.submitted_owed = int(event.detail)
            case _:
                pass

    def _removed(self, event: Event, provider: str, now_ns: int) -> None:
        attempt = self._open[provider, event.pod]
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
            life = self._life_of(provider, event.pod)
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

    def _life_of(self, provider: str, namespace: str) -> Life | None:
        attempt = self._open.get((provider, namespace))
        if attempt is None:
            return None
        return self._by_names.get((attempt.row["pod"], attempt.row["provider"]))

    def attempt_of(self, provider: str, namespace: str) -> Attempt | None:
        """The open attempt in a provider's namespace; a pod that went elsewhere while it was away has the same there."""
        return self._open.get((provider, namespace))

    # ------------------------------------------------------------ the chain

    def mined(self, mined: Mined) -> None:
        """Rows of a block's transactions, and what it did to channels; what was undone is forgotten first."""
        at_ns, number = mined.block.time_s * NS_PER_S, mined.block.number
        for undone in mined.undone:
            self._take_back(undone, at_ns)
        if self.undo.keeps:
            self.release(number - self.undone_blocks)
            self._marks.append((number, self.undo.mark()))
        for receipt in mined.receipts:
            self.undo.item(self.submitted, receipt.hash)
            submitted_ns, sender, function, *_ = self.submitted.pop(receipt.hash)
            status = "confirmed" if receipt.error is None else "reverted"
            self._write(
                "transactions",
                number,
                (
                    submitted_ns, at_ns, number, sender, function, status, receipt.error,
                    receipt.gas_used, receipt.fee_wei,
                ),
            )  # fmt: skip
            self.undo.item(self.fees, sender)
            self.fees[sender] = self.fees.get(sender, 0) + receipt.fee_wei
            for event in receipt.events:
                self._chain_event(event, sender, at_ns, number)

    def release(self, upto: int) -> None:
        """Write the rows of blocks up to `upto`: they cannot be undone any more."""
        while self._held and self._held[0][0] <= upto:
            _, table, row = self._held.pop(0)
            self.writer.append(table, row)
        while self._marks and self._marks[0][0] <= upto:
            self.undo.forget(self._marks.pop(0)[1])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to say of the run beside its figures."""
        if not self.believed:
            return ()
        said = (
            f"Reorganisations undid {self.believed} transactions that parties may have believed already "
            f"({self.confirmations} confirmations): what they believe at the end is not checked."
        )
        return (said,)

    def _write(self, table: str, block: int, row: tuple[Any, ...]) -> None:
        if self.undo.keeps:
            self._held.append((block, table, row))
        else:
            self.writer.append(table, row)

    def _take_back(self, undone: Undone, at_ns: int) -> None:
        """Be as before the first block that is undone; one event of the world says so."""
        while self._held and self._held[-1][0] >= undone.first:
            self._held.pop()
        while self._marks and self._marks[-1][0] >= undone.first:
            self.undo.back_to(self._marks.pop()[1])
        # Whoever looks at the very instant of this block may look just before it came on another branch.
        believed = sum(r.block.number <= undone.at - self.confirmations for r in undone.receipts)
        self.believed += believed
        if self.keeps_events:
            said = {"depth": undone.depth, "transactions": len(undone.receipts), "dropped": len(undone.dropped), "believed": believed}  # fmt: skip
            rule = "Believed" if believed else ""
            self.writer.append(
                "events",
                (self._next_event, None, at_ns, at_ns, "world", "BlocksUndone", "", "", rule, None, json.dumps(said)),
            )  # fmt: skip
            self._next_event += 1

    def sent(self, tx: Tx, at_ns: int) -> None:
        """A transaction went into the pool."""
        self.submitted.setdefault(
            tx.hash, (at_ns, self.names[tx.sender], FUNCTIONS[type(tx.command)].name, tx.sender, tx.nonce)
        )

    def _chain_event(self, event: object, sender: str, at_ns: int, block: int) -> None:
        undo = self.undo
        match event:
            case payment.ChannelCreated(key):
                before = self.newest.get(key)
                pod, provider = self.names[key.publisher], self.names[key.provider]
                number = before.row["life"] + 1 if before is not None else 1
                row = ChannelLife(pod, provider, number, opened_ns=at_ns)._asdict()
                life = Life(key, row | {"top_ups": -1})  # the first deposit is none
                undo.note(self.lives.pop)
                undo.item(self.newest, key)
                undo.item(self._by_names, (pod, provider))
                self.lives.append(life)
                self.newest[key] = self._by_names[pod, provider] = life
            case payment.Deposited(key, amount):
                life = self.newest[key]
                row = life.row
                self._add(row, "invested", amount)
                self._fill(row["provider"], available=amount)
                self._add(row, "top_ups", 1)
                self._set(row, status="open")
                if row["top_ups"] == 0:
                    undo.attribute(life, "first")
                    life.first = amount
            case payment.UnlockTimerStarted(key, _):
                self._set(self.newest[key].row, status="unlocking")
            case payment.Withdrawn(key, amount):
                life = self.newest[key]
                self._add(life.row, "withdrawn", amount)
                self._fill(life.row["provider"], claimed=amount, available=-amount)
                self._claim_row(life, at_ns, block, amount, "paid")
            case payment.ClaimSkipped(key, reason):
                if key in self.newest:
                    self._claim_row(self.newest[key], at_ns, block, 0, reason.value)
            case payment.Unlocked(key, amount):
                row = self.newest[key].row
                self._add(row, "returned", amount)
                self._fill(row["provider"], returned=amount, available=-amount)
            case payment.ChannelClosed(key):
                self._set(self.newest[key].row, closed_ns=at_ns, status="closed")
            case NewPricingTable(_, table_id, prices):
                self._write(
                    "prices",
                    block,
                    (at_ns, sender, table_id, *prices, *self.extra_prices.get(sender, (0, 0))),
                )
            case _:
                pass

    def _add(self, row: dict[str, Any], name: str, amount: int) -> None:
        self.undo.item(row, name)
        row[name] += amount

    def _set(self, row: dict[str, Any], **values: Any) -> None:
        for name, value in values.items():
            self.undo.item(row, name)
            row[name] = value

    def _fill(self, provider: str, **amounts: int) -> None:
        till = self.tills[provider]
        for name, amount in amounts.items():
            self.undo.attribute(till, name)
            setattr(till, name, getattr(till, name) + amount)

    def _claim_row(self, life: Life, at_ns: int, block: int, paid: int, outcome: str) -> None:
        row = life.row
        if paid:
            self.undo.item(self.claims, row["provider"])
            self.claims[row["provider"]] = self.claims.get(row["provider"], 0) + 1
        self._write(
            "claims",
            block,
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
