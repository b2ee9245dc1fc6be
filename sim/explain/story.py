"""What became of a pod, of a channel or of a transaction, line by line, from the table `events`.

A line is what a party did or learned, or what was so without anybody knowing it yet: the block that carried a
transaction out, the exact instant at which the funds were used up, a fault of the scenario. Each says which line
led to it. Within a party that is recorded (`cause_id`); from one party to another only a message went, which
carries no number of the sender's, so there the line says what it answers (`ANSWERS`); and a party that was killed
goes on from the last thing that it said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from protocol.events import Happened
from protocol.units import NS_PER_MS
from sim.explain.phrases import Money, phrase, span_text
from sim.scenario.quantities import read_duration_ns

if TYPE_CHECKING:
    from sim.explain.source import Source

Row = dict[str, Any]
TRUTH: Final = "(the world)"
"""Who says what no party knows."""
ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    Happened.OFFER_MADE: (Happened.PROVIDER_ATTESTED,),
    Happened.POD_ACCEPTED: (Happened.IMAGES_UPLOADED, Happened.CHANNEL_FUNDED),
    Happened.UNLOCK_SEEN: (Happened.UNLOCK_STARTED,),
    Happened.POD_REMOVED: (Happened.POD_DELETED,),
    Happened.POD_LOST: (Happened.POD_REMOVED,),
}
"""Events that answer a message of the other party: after which of its events it was sent."""
HEARD: Final = (Happened.UNLOCK_SEEN, Happened.POD_LOST)
"""Those of them that have a cause of their own party's too, and of which the other party's says more."""
SENT: Final = (Happened.TRANSACTION_SENT,)
OUTCOMES: Final = (
    Happened.TRANSACTION_CONFIRMED,
    Happened.TRANSACTION_REVERTED,
    Happened.TRANSACTION_UNKNOWN,
)
HOUR_MS: Final = 3_600_000
FOLD_FROM: Final = 4
"""So many routine claims on end are told as one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story.

    Attributes:
        time_ns: when it was so [Unix ns, true time].
        observed_ns: what its party's clock showed; None where no party saw it.
        who: a party, or `TRUTH`.
        text: what, in words.
        number: of its row in `events`; None: from another table.
        cause: number of the event that led to it; None: a beginning.
        answers: the cause is joined by the protocol and not by the trace: the other party's message, or what came last
            before a crash.
        event: name of the event, or of what the truth is about.
        row: the row, as the table has it.
    """

    time_ns: int
    observed_ns: int | None
    who: str
    text: str
    number: int | None = None
    cause: int | None = None
    answers: bool = False
    event: str = ""
    row: Row = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Story:
    """A story of a run.

    Attributes:
        title: of what.
        start_ns: the run's start [Unix ns].
        lines: in order of time.
        ends: what came of it, a sentence each.
        money: writes an amount.
    """

    title: str
    start_ns: int
    lines: tuple[Line, ...]
    ends: tuple[str, ...]
    money: Money

    def told(self, *, everything: bool = False) -> Iterator[Line]:
        """The lines; many routine claims on end are one.

        Args:
            everything: each of them by itself.
        """
        return iter(self.lines) if everything else _folded(self.lines, self.money)

    def chain(self) -> tuple[Line, ...]:
        """From a beginning to the last thing that happened to the pod, each the cause of the next."""
        known = {line.number: line for line in self.lines if line.number is not None}
        last = next((x for x in reversed(self.lines) if x.event == Happened.POD_REMOVED), None)
        last = last or next((x for x in reversed(self.lines) if x.number is not None), None)
        chain: list[Line] = []
        while last is not None and last not in chain:  # a table that somebody changed can go round in circles
            chain.append(last)
            last = None if last.cause is None else known.get(last.cause)
        return tuple(reversed(chain))

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it: times in ns since the run's start, money in base units as text."""
        return {
            "title": self.title,
            "lines": [
                {
                    "at_ns": line.time_ns - self.start_ns,
                    "observed_ns": None if line.observed_ns is None else line.observed_ns - self.start_ns,
                    "who": line.who,
                    "event": str(line.event),
                    "event_id": line.number,
                    "cause_id": line.cause,
                    "joined_by": None if line.cause is None else "protocol" if line.answers else "trace",
                    "text": line.text,
                    **{name: line.row[name] for name in ("pod", "provider", "rule") if line.row.get(name)},
                    **(
                        {"amount": str(int(line.row["amount"]))} if line.row.get("amount") is not None else {}
                    ),
                }
                for line in self.lines
            ],
            "chain": [line.number for line in self.chain()],
            "ends": list(self.ends),
        }


def story_of_pod(source: Source, pod: str) -> Story:
    """Everything that became of a pod.

    Raises:
        BadInput: there is no such pod, or the run has no events.
    """
    source.check_pod(pod)
    source.check_events()
    lines = _lines(source, _events(source, pod))
    past_ns = max((line.time_ns for line in lines), default=source.end_ns)
    lines = _sorted([*lines, *(truth for truth in _truths(source, pod, None) if truth.time_ns <= past_ns)])
    ends = (*_ends(source, _channels(source, pod)), *_unheard(pod, lines))
    return Story(f"pod {pod}", source.start_ns, tuple(lines), ends, source.money)


def story_of_channel(source: Source, name: str) -> Story:
    """What became of one life of a channel.

    Args:
        source: the run.
        name: `pod@provider`, or `pod@provider/life` (counted from 1).

    Raises:
        BadInput: there is no such channel, or the run has no events.
    """
    pod, provider, life = source.channel(name)
    source.check_events()
    own = [c for c in _channels(source, pod) if c["provider"] == provider]
    channel = next(c for c in own if c["life"] == life)
    events = _about(_events(source, pod), provider)
    begins = [e["time_ns"] for e in events if e["event"] == Happened.OFFER_TAKEN]
    # Each life of a channel begins with an Offer that is taken: the last one before its opening.
    first = max((at for at in begins if at <= channel["opened_ns"]), default=0)
    past = min((at for at in begins if at > channel["opened_ns"]), default=None)
    events = [e for e in events if first <= e["time_ns"] and (past is None or e["time_ns"] < past)]
    truths = (
        t for t in _truths(source, pod, provider) if first <= t.time_ns and (past is None or t.time_ns < past)
    )
    lines = _sorted([*_lines(source, events), *truths])
    ends = (*_ends(source, [channel]), *_unheard(pod, lines))
    return Story(f"channel {pod}@{provider}/{life}", source.start_ns, tuple(lines), ends, source.money)


def story_of_transaction(source: Source, name: str) -> Story:
    """What led to a transaction, what became of it, and what followed.

    Args:
        source: the run.
        name: `sender/number`, counted from 1 in the order in which the party sent them.

    Raises:
        BadInput: there is no such transaction, or the run has no events.
    """
    source.check_events()
    sender, number = source.transaction(name)
    sent = _sent_by(source, sender)[number - 1]
    batch = _batch(source, sent)
    before: dict[int, Row] = {}
    for first in (sent, *batch):
        row: Row | None = first
        while row is not None and row["event_id"] not in before:
            before[row["event_id"]] = row
            row = source.event(row["cause_id"])
    after = source.events_where(
        pc.is_in(
            pc.field("cause_id"), pa.array([sent["event_id"], *(b["event_id"] for b in batch)], pa.int64())
        )
    )
    known = {**before, **{row["event_id"]: row for row in after if row["event"] not in SENT}}
    lines = _sorted(
        replace(line, text=f"{line.text} (pod {line.row['pod']})")
        if line.row.get("pod") not in (None, "", line.who)
        else line
        for line in _lines(source, list(known.values()))
    )
    return Story(
        f"transaction {sender}/{number}: {sent['rule']}", source.start_ns, tuple(lines), (), source.money
    )


# ---------------------------------------------------------------- events


def _events(source: Source, pod: str) -> list[Row]:
    """A pod's events, and those without a pod that are its own: routine claims' transactions, crashes of its parties."""
    own = source.events_where(pc.field("pod") == pod)
    providers = sorted({e["provider"] for e in own if e["provider"]})
    submitted = {e["event_id"]: e for e in own if e["event"] == Happened.CLAIM_SUBMITTED}
    shared: dict[int, Row] = {}
    others = source.events_where((pc.field("pod") == "") & pc.field("party").isin(providers))
    by_cause: dict[int, list[Row]] = {}
    for row in others:
        if row["cause_id"] is not None:
            by_cause.setdefault(row["cause_id"], []).append(row)
    for event in submitted.values():
        last = source.last_claims.get((event["party"], event["time_ns"]), int(event["event_id"]))
        for sent in by_cause.get(last, ()):
            # It names the last claim of its batch: of this pod's story it is the pod's own.
            shared[sent["event_id"]] = {**sent, "cause_id": event["event_id"]}
            shared |= {row["event_id"]: row for row in by_cause.get(sent["event_id"], ())}
    from_ns = min((e["time_ns"] for e in own), default=0)
    past_ns = max((e["time_ns"] for e in own), default=0)
    back = [
        row for row in others if row["event"] == Happened.RECOVERED and from_ns <= row["time_ns"] <= past_ns
    ]
    return [*own, *shared.values(), *back]


def _about(events: Sequence[Row], provider: str) -> list[Row]:
    """Those about a provider: they name it, or the nearest that led to them does."""
    known = {e["event_id"]: e for e in events}
    found = []
    for event in events:
        here: Row | None = event
        while here is not None and not here["provider"]:
            here = known.get(here["cause_id"]) if here["cause_id"] is not None else None
        if here is not None and here["provider"] == provider:
            found.append(event)
    return found


def _sent_by(source: Source, sender: str) -> list[Row]:
    rows = source.events_where(
        (pc.field("party") == sender) & (pc.field("event") == str(Happened.TRANSACTION_SENT))
    )
    return sorted(rows, key=lambda row: int(row["event_id"]))


def _batch(source: Source, sent: Row) -> list[Row]:
    """The claims that a transaction carries: it names the last, and all were submitted at that instant."""
    cause = source.event(sent["cause_id"])
    if cause is None or cause["event"] != Happened.CLAIM_SUBMITTED or sent["rule"] != "withdrawMany":
        return []
    return source.events_where(
        (pc.field("party") == cause["party"])
        & (pc.field("event") == str(Happened.CLAIM_SUBMITTED))
        & (pc.field("time_ns") == cause["time_ns"])
    )


# ---------------------------------------------------------------- lines


def _lines(source: Source, events: Iterable[Row]) -> list[Line]:
    lines: list[Line] = []
    last: dict[tuple[str, str], Row] = {}  # by pod and event
    newest: dict[str, int] = {}  # by party
    money, gas = source.money, source.gas
    for row in sorted(events, key=lambda row: int(row["event_id"])):
        cause, answers = row["cause_id"], False
        before = [last[key] for name in ANSWERS.get(row["event"], ()) if (key := (row["pod"], name)) in last]
        if before and (cause is None or row["event"] in HEARD or row["rule"] == "Deleted"):
            cause, answers = max(e["event_id"] for e in before), True
        if row["event"] == Happened.RECOVERED and cause is None and row["party"] in newest:
            cause, answers = newest[row["party"]], True
        lines.append(
            Line(
                row["time_ns"], row["observed_ns"], row["party"], phrase(row, money, gas), row["event_id"], cause,
                answers, row["event"], row,
            )
        )  # fmt: skip
        last[row["pod"], row["event"]] = row
        newest[row["party"]] = row["event_id"]
    return lines + [line for sent in events_of(events, SENT) for line in _mined(source, sent)]


def events_of(events: Iterable[Row], names: Sequence[str]) -> list[Row]:
    """Those of some names."""
    return [row for row in events if row["event"] in names]


def _mined(source: Source, sent: Row) -> list[Line]:
    """What the chain did with a transaction, which its sender learns some blocks later."""
    found = source.transaction_row(sent)
    if found is None:
        return []
    if found["mined_ns"] is None:
        if found["status"] == "replaced":
            return []
        text = f"{sent['party']}'s {found['function']} is still in no block when the run ends"
        return [Line(source.end_ns, None, TRUTH, text, None, sent["event_id"], event="Pending", row=found)]
    what = "carries out" if found["status"] == "confirmed" else f"refuses ({found['error']})"
    text = f"block {found['block']:,} {what} {sent['party']}'s {found['function']}; nobody counts on it yet"
    return [Line(found["mined_ns"], None, TRUTH, text, None, sent["event_id"], event="Mined", row=found)]


def _truths(source: Source, pod: str, provider: str | None) -> Iterator[Line]:
    """What was so and what nobody knew: exhaustions, and faults of the parties."""
    channels = [c for c in _channels(source, pod) if provider in (None, c["provider"])]
    for channel in channels:
        at_ns, noticed_ns = channel["exhausted_ns"], channel["noticed_ns"]
        if at_ns is not None:
            known = f"{channel['provider']} notices {span_text(noticed_ns - at_ns)} later" if noticed_ns is not None else f"{channel['provider']} never notices"  # fmt: skip
            text = (
                f"the use has now cost all that the channel with {channel['provider']} holds for it; {known}"
            )
            yield Line(at_ns, None, TRUTH, text, event="Exhausted", row=channel)
    names = {pod, *(c["provider"] for c in channels)}
    for fault in source.scenario.get("faults") or ():
        party = fault.get("provider") or fault.get("publisher") or fault.get("party")
        if party in names or (party is not None and any(name.rsplit("-", 1)[0] == party for name in names)):
            at_ns = source.start_ns + read_duration_ns(fault["at"])
            what = str(fault["kind"]).replace("_", " ")
            yield Line(at_ns, None, TRUTH, f"a fault begins: {what} of {party}, for {fault['for']}", event="Fault", row=dict(fault))  # fmt: skip


def _channels(source: Source, pod: str) -> list[Row]:
    return [row for row in source.rows("channels") if row["pod"] == pod]


def _sorted(lines: Iterable[Line]) -> list[Line]:
    """By time; at one instant what is so comes before what is learned of it, then in the order of the trace."""
    return sorted(lines, key=lambda x: (x.time_ns, -1 if x.number is None else x.number))


def _ends(source: Source, channels: Sequence[Row]) -> Iterator[str]:
    """What came of the money: it adds up, to the base unit."""
    money = source.money
    attempts = source.rows("deployments")
    for c in channels:
        invested, withdrawn, returned = (int(c[name]) for name in ("invested", "withdrawn", "returned"))
        left, owed, unpaid = int(c["available_at_end"]), int(c["owed"]), int(c["unpaid"])
        yield (
            f"Into the channel {c['pod']}@{c['provider']}/{c['life']} went {money(invested)}: {money(withdrawn)} was paid to "
            f"{c['provider']}, {money(returned)} came back to {c['pod']}, {money(left)} is still in it ({c['status']})."
        )
        if unpaid:
            yield (
                f"What ran cost {money(owed)}, of which {money(unpaid)} was served and can never be claimed."
            )
        else:
            yield f"What ran cost {money(owed)}, all of it paid or covered by the channel."
        billed_ms = sum(
            row["billed_replica_ms"]
            for row in attempts
            if (row["pod"], row["provider"]) == (c["pod"], c["provider"]) and row["accepted_ns"] is not None
        )
        lives = sum(
            (other["pod"], other["provider"]) == (c["pod"], c["provider"])
            for other in source.rows("channels")
        )
        if billed_ms and lives == 1:
            hour = owed * HOUR_MS // billed_ms
            yield f"Replicas were billed for {span_text(billed_ms * NS_PER_MS)} of running in all, {money(hour)} for an hour of one."
        if c["exhausted_ns"] is not None and c["removed_ns"] is not None:
            gap = span_text(c["removed_ns"] - c["exhausted_ns"])
            noticed = (
                span_text(c["noticed_ns"] - c["exhausted_ns"]) if c["noticed_ns"] is not None else "never"
            )
            yield (
                f"From the instant the funds were used up to the removal: {gap}; until it was noticed: {noticed}."
            )


def _unheard(pod: str, lines: Sequence[Line]) -> Iterator[str]:
    """A removal of which its publisher has not heard when the run ends."""
    removed = next((x for x in reversed(lines) if x.event == Happened.POD_REMOVED), None)
    if removed is None or removed.row["rule"] in ("Unlocked", "Deleted"):
        return
    if not any(x.event == Happened.POD_LOST and x.time_ns >= removed.time_ns for x in lines):
        yield f"{pod} does not learn of the removal before the run ends."


# ---------------------------------------------------------------- folding


def _folded(lines: Sequence[Line], money: Money) -> Iterator[Line]:
    """Routine claims on end as one line, from the first to the last, with what they paid in all."""
    routine = _routine(lines)
    run: list[Line] = []
    for line in lines:
        if _of(line, routine):
            run.append(line)
            continue
        yield from _fold(run, money)
        run = []
        yield line
    yield from _fold(run, money)


def _routine(lines: Sequence[Line]) -> frozenset[int]:
    """Numbers of the events of routine claims: the claim, its transaction, what became of it."""
    found: set[int] = set()
    for line in lines:
        if line.number is None:
            continue
        is_claim = line.event == Happened.CLAIM_SUBMITTED and line.row["rule"] != "final"
        follows = line.cause in found and line.event in (*SENT, *OUTCOMES, Happened.CLAIM_SETTLED)
        if is_claim or follows:
            found.add(line.number)
    return frozenset(found)


def _of(line: Line, routine: frozenset[int]) -> bool:
    return line.number in routine or (line.number is None and line.event == "Mined" and line.cause in routine)


def _fold(run: Sequence[Line], money: Money) -> Iterator[Line]:
    claims = [line for line in run if line.event == Happened.CLAIM_SUBMITTED]
    failed = any(x.event in (Happened.TRANSACTION_REVERTED, Happened.TRANSACTION_UNKNOWN) for x in run)
    skipped = any(x.event == Happened.CLAIM_SETTLED and x.row["rule"] for x in run)
    if len(claims) < FOLD_FROM or failed or skipped:
        yield from run
        return
    first, last = claims[0], claims[-1]
    settled = [line for line in run if line.event == Happened.CLAIM_SETTLED]
    paid = sum(int(line.row["amount"]) for line in settled)
    longest = max(b.time_ns - a.time_ns for a, b in pairwise(claims))
    yield Line(
        first.time_ns, first.observed_ns, first.who,
        f"claims {len(claims)} times in {span_text(last.time_ns - first.time_ns)}, at most {span_text(longest)} apart; "
        f"each is paid, {money(paid)} in all (to #{run[-1].number or last.number})",
        first.number, first.cause, event="Claims", row={"amount": paid},
    )  # fmt: skip
