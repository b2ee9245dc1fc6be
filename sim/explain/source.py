"""One replication of a run, as what explains it reads it; names that are not there are refused with the nearest."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from protocol.errors import BadInput
from protocol.events import Happened
from protocol.manifest import hint
from sim.explain.phrases import money_text
from sim.records.reader import RunTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.results import Results

Row = dict[str, Any]
CHANNEL: Final = re.compile(r"([^@/]+)@([^@/]+)(?:/([0-9]+))?")
TRANSACTION: Final = re.compile(r"([^@/]+)/([0-9]+)")


class Source:
    """One replication.

    Args:
        run: the run.
        replication: its number, from 0.

    Attributes:
        tables: of the run.
        start_ns, end_ns: the virtual time that the replication covers (Unix ns); it may have been interrupted.

    Raises:
        BadInput: there is no such replication.
    """

    def __init__(self, run: Results, replication: int = 0) -> None:
        origin = run.provenance
        self.run, self.replication = run, replication
        self.tables = RunTables(run.directory)
        there = self.tables.replications
        if replication not in there:
            allowed = (
                f"0 to {there[-1]}"
                if there == list(range(len(there))) and there
                else ", ".join(map(str, there))
            )
            raise BadInput(f"--replication {replication}: this run has {allowed or 'none'}")
        self.start_ns = int(origin["start_ns"])
        self.end_ns = int(origin["reached_ns"][replication])
        self.decimals, self.symbol = int(origin["decimals"]), str(origin["token"])
        self.gas_decimals, self.gas_symbol = int(origin["gas_decimals"]), str(origin["gas_token"])
        self._matched: dict[str, dict[int, Row]] = {}

    @property
    def scenario(self) -> dict[str, Any]:
        """As it ran."""
        return self.run.scenario

    def money(self, base_units: int) -> str:
        """An amount of the payment token, for people."""
        return money_text(base_units, self.decimals, self.symbol)

    def gas(self, wei: int) -> str:
        """An amount of the gas token, for people."""
        return money_text(wei, self.gas_decimals, self.gas_symbol)

    def rows(self, table: str) -> list[Row]:
        """A table that is written at the end: a row a party, a channel or an attempt."""
        if table not in self._small:
            self._small[table] = self.tables.arrow(table, self.replication).to_pylist()
        return self._small[table]

    @functools.cached_property
    def _small(self) -> dict[str, list[Row]]:
        return {}

    # ------------------------------------------------------------ events

    @functools.cached_property
    def _events(self) -> pa.Table:
        return _plain(self.tables.arrow("events", self.replication))

    def check_events(self) -> None:
        """Refuse a run that kept none.

        Raises:
            BadInput: says how to get them.
        """
        if self._events.num_rows:
            return
        if not self.scenario.get("output", {}).get("events", True):
            raise BadInput(
                f"{self.run.directory}: this run kept no events (`output.events` is false); "
                f"run it again with them: trustedpods run {self.run.directory}/scenario.yaml --set output.events=true"
            )
        raise BadInput(f"{self.run.directory}: the table `events` is empty; nothing had happened")

    def events_where(self, wanted: pc.Expression) -> list[Row]:
        """Events, in the order in which they were emitted."""
        return sorted(self._events.filter(wanted).to_pylist(), key=lambda row: int(row["event_id"]))

    def event(self, number: int | None) -> Row | None:
        """One event by its number."""
        if number is None:
            return None
        found = self.events_where(pc.field("event_id") == number)
        return found[0] if found else None

    @functools.cached_property
    def last_claims(self) -> dict[tuple[str, int], int]:
        """By provider and instant, the number of the last routine claim that was submitted then: of one transaction."""
        claims = self.events_where(pc.field("event") == str(Happened.CLAIM_SUBMITTED))
        return {(row["party"], row["time_ns"]): row["event_id"] for row in claims if row["rule"] != "final"}

    # ------------------------------------------------------------ transactions

    def transaction_row(self, sent: Row) -> Row | None:
        """The row of `transactions` of an event that says that one was sent; None where it never reached the chain."""
        sender = sent["party"]
        if sender not in self._matched:
            self._matched[sender] = self._match(sender)
        return self._matched[sender].get(sent["event_id"])

    def _match(self, sender: str) -> dict[int, Row]:
        """A transaction reaches the chain after it was sent, and no two of one function overtake each other."""
        table = _plain(self.tables.arrow("transactions", self.replication)).filter(
            pc.field("sender") == sender
        )
        waiting: defaultdict[str, list[Row]] = defaultdict(list)
        for row in sorted(table.to_pylist(), key=lambda row: int(row["submitted_ns"])):
            if row["status"] != "replaced":  # the same at a higher price has a row of its own
                waiting[row["function"]].append(row)
        found = {}
        wanted = (pc.field("party") == sender) & (pc.field("event") == str(Happened.TRANSACTION_SENT))
        for event in self.events_where(wanted):
            rows = waiting[event["rule"]]
            place = next((i for i, row in enumerate(rows) if row["submitted_ns"] >= event["time_ns"]), None)
            if place is not None:
                found[event["event_id"]] = rows.pop(place)
        return found

    # ------------------------------------------------------------ names

    @property
    def pods(self) -> list[str]:
        """Names of all pods, which are those of their publishers."""
        return [str(row["pod"]) for row in self.rows("publishers")]

    @property
    def providers(self) -> list[str]:
        """Names of all providers."""
        return [str(row["provider"]) for row in self.rows("providers")]

    def check_pod(self, pod: str) -> None:
        """Refuse a name that no pod has.

        Raises:
            BadInput: with the nearest names.
        """
        if pod in self.providers:
            raise BadInput(f"--pod {pod}: this is a provider; pods are called {_some(self.pods)}")
        if pod not in self.pods:
            raise BadInput(f"--pod {pod}: there is no such pod; {hint(pod, self.pods)}")

    def channel(self, name: str) -> tuple[str, str, int]:
        """Pod, provider and life of a channel's name.

        Raises:
            BadInput: there is none of it; names the nearest.
        """
        known = [(str(c["pod"]), str(c["provider"]), int(c["life"])) for c in self.rows("channels")]
        match = CHANNEL.fullmatch(name)
        names = [f"{pod}@{provider}/{life}" for pod, provider, life in known]
        if not known:
            raise BadInput(f"--channel {name}: no channel was opened in this run")
        if match is None:
            raise BadInput(
                f"--channel {name}: a channel is called pod@provider or pod@provider/life, such as {names[0]}"
            )
        pod, provider, life = match[1], match[2], int(match[3] or 0)
        lives = [k[2] for k in known if k[:2] == (pod, provider)]
        if not lives:
            own = [other for other in names if other.startswith(f"{pod}@")]
            near = f"{pod}'s are {_some(own)}" if own else hint(name, names)
            raise BadInput(f"--channel {name}: there is no such channel; {near}")
        if not life and len(lives) > 1:
            raise BadInput(f"--channel {name}: it had {len(lives)} lives: {name}/1 to {name}/{len(lives)}")
        if life and life not in lives:
            raise BadInput(f"--channel {name}: {pod}@{provider} had {len(lives)}, counted from 1")
        return pod, provider, life or 1

    def transaction(self, name: str) -> tuple[str, int]:
        """Sender and number of a transaction's name.

        Raises:
            BadInput: there is none of it; names the nearest.
        """
        match = TRANSACTION.fullmatch(name)
        parties = [*self.pods, *self.providers]
        sender = match[1] if match else name
        if sender not in parties:
            form = "" if match else "a transaction is called sender/number, such as box-0/3; "
            raise BadInput(f"--tx {name}: {form}no party is called {sender}; {hint(sender, parties)}")
        wanted = (pc.field("party") == sender) & (pc.field("event") == str(Happened.TRANSACTION_SENT))
        sent = self.events_where(wanted)
        number = int(match[2]) if match else 0
        if not 1 <= number <= len(sent):
            functions = ", ".join(f"{sender}/{i} {row['rule']}" for i, row in list(enumerate(sent, 1))[:5])
            more = f" and so on to {sender}/{len(sent)}" if len(sent) > 5 else ""
            said = f"{sender} sent {len(sent)}: {functions}{more}" if sent else f"{sender} sent none"
            raise BadInput(f"--tx {name}: there is no such transaction; {said}")
        return sender, number


def _plain(table: pa.Table) -> pa.Table:
    """Names as text, so that they can be compared."""
    for place, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, column.name, table[column.name].cast(pa.string()))
    return table


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and so on ({len(names)})" if len(names) > 3 else "")
