"""The end of a replication: the rows that are written once, and what must hold of them.

Everything is computed from the world as it really is (the ledger without confirmations, the machines), not
from what parties believe; where both exist, they are held against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol import invariants
from protocol.units import MS_PER_S, NS_PER_S
from sim.records.schema import ProviderEnd, PublisherEnd
from sim.surplus import Surplus, covered

if TYPE_CHECKING:
    from sim.parties import ProviderParty, PublisherParty
    from sim.recorder import Attempt, Life
    from sim.watch import Lease
    from sim.world import World

TOKENS: Final = "token base units"


class Closing:
    """Writes the last rows of one world.

    Args:
        world: the world, which will not run any more.
        now_ns: the instant that it came to [Unix ns].
    """

    def __init__(self, world: World, now_ns: int) -> None:
        self._world = world
        self._now_ns = now_ns
        self._recorder = world.recorder
        self._writer = world.writer
        self._lives: dict[str, list[Life]] = {}  # by pod and by provider, as what comes next
        self._attempts: dict[str, list[Attempt]] = {}
        self._violations: list[str] = []
        self._calls: list[
            tuple[int, int]
        ] = []  # of each publisher's callers: failed, and what became of those

    def write(self) -> list[str]:
        """Write everything.

        Returns:
            Invariants that broke, in words.
        """
        open_leases = self._world.watcher.finish(self._now_ns)
        self._recorder.release(self._world.blocks.ledger.head(self._now_ns // NS_PER_S))
        self._channels()
        self._deployments()
        self._rates()
        surplus = Surplus(self._world, self._now_ns)
        for provider in self._world.providers.values():
            self._provider(provider, surplus)
        for publisher in self._world.publishers.values():
            self._publisher(publisher, surplus)
        self._pending()
        self._conservation(open_leases)
        return self._violations

    def _channels(self) -> None:
        book = self._world.blocks.ledger.book
        for life in self._recorder.lives:
            row = life.row
            row["available_at_end"] = row["invested"] - row["withdrawn"] - row["returned"]
            claimable = row["invested"] - row["returned"] if row["status"] != "closed" else row["withdrawn"]
            row["unpaid"] = max(0, row["owed"] - max(claimable, row["withdrawn"]))
            row["overcharged"] = max(0, row["withdrawn"] - row["owed"])
            for name in (row["pod"], row["provider"]):
                self._lives.setdefault(name, []).append(life)
            self._writer.append("channels", row)
            newest = self._recorder.newest[life.key] is life
            held = book.channel(life.key)
            if newest and (held.available if held is not None else 0) != row["available_at_end"]:
                self._violations.append(
                    f"channel of {row['pod']} at {row['provider']}: events say {row['available_at_end']} is left, "
                    f"the contract holds {held.available if held is not None else 0}"
                )

    def _deployments(self) -> None:
        for attempt in self._recorder.attempts:
            row = attempt.row
            for name in (row["pod"], row["provider"]):
                self._attempts.setdefault(name, []).append(attempt)
            life = next(
                (
                    x
                    for x in self._lives.get(row["pod"], ())
                    if x.row["provider"] == row["provider"] and x.row["life"] == attempt.life
                ),
                None,
            )
            if life is not None:
                row["paid"], row["unpaid"] = life.row["withdrawn"], life.row["unpaid"]
            if row["outcome"] == "running" and row["running_ns"] is None and row["accepted_ns"] is None:
                row["outcome"] = "failed"
            self._writer.append("deployments", row)
            if row["lie"] is not None and self._world.providers[row["provider"]].behaviour.honest:
                self._violations.append(
                    f"{row['pod']} found {row['provider']} out ({row['lie']}), which is honest"
                )
            self._violations += invariants.requests_conserved(
                f"{row['pod']}, attempt {row['attempt']}",
                arrived=row["arrivals"],
                served=row["served"],
                failed=sum(row[c] for c in row if c.startswith("failed_")),
                still_there=row["pending_at_end"],
            )

    def _rates(self) -> None:
        """The rates of tokens that have one."""
        worth, tokens = self._world.worth, self._world.scenario.tokens
        payment = None if tokens.payment.rate is None else worth.payment
        for name, path in (("payment", payment), ("gas", worth.gas)):
            for at_ns, rate in [] if path is None else path.jumps(self._now_ns):
                self._writer.append("rates", (at_ns, name, rate))

    def _provider(self, party: ProviderParty, surplus: Surplus) -> None:
        group, name, recorder = party.member.group, party.name, self._recorder
        lives = [x.row for x in self._lives.get(name, ())]
        revenue = sum(r["withdrawn"] for r in lives)
        unclaimed = sum(covered(r) for r in lives)
        gas_cost = recorder.fees_base(name)
        span_s = (self._now_ns - self._world.start_ns) / NS_PER_S
        nodes = len(party.machines.nodes)
        core_s = party.cpu_millis_ms // (1000 * MS_PER_S)
        running_cost = int(group.cost.idle * nodes * int(span_s) + group.cost.busy * core_s)
        capacity = sum(n.cpu_millis for n in party.machines.nodes) * span_s
        attempts = [a.row for a in self._attempts.get(name, ())]
        busy = sum(row["busy_ns"] * self._world.cpu_millis(row["pod"]) for row in attempts)
        self._writer.append(
            "providers",
            ProviderEnd(
                name,
                group.name,
                group.region,
                group.assurance,
                revenue=revenue,
                owed_unclaimed=unclaimed,
                unpaid=sum(r["unpaid"] for r in lives),
                gas_wei=recorder.fees_wei(name),
                gas_cost=gas_cost,
                running_cost=running_cost,
                profit=revenue + unclaimed - gas_cost - running_cost,
                pods_accepted=recorder.accepted.get(name, 0),
                pods_refused=recorder.refused.get(name, 0),
                evictions=recorder.evictions.get(name, 0),
                suspensions=recorder.suspensions.get(name, 0),
                claims=recorder.claims.get(name, 0),
                busy_cpu_share=busy / NS_PER_S / capacity if capacity else None,
                requests_served=sum(row["served"] for row in attempts),
                down_ns=party.down_until(self._now_ns),
                behaviour=party.behaviour.name,
                overcharged=sum(r["overcharged"] for r in lives),
                **surplus.provider(party, self._lives.get(name, ())),
            ),
        )

    def _publisher(self, party: PublisherParty, surplus: Surplus) -> None:
        name, recorder = party.name, self._recorder
        lives = self._lives.get(name, [])
        rows = [x.row for x in lives]
        caller = self._world.callers[party.address]
        now = caller.count(self._now_ns)
        first = sum(x.first for x in lives)
        deposited = sum(r["invested"] for r in rows)
        arrivals, served = caller.arrivals + now.arrivals, caller.served + now.served
        failed = caller.failed + sum(now.failed.values())
        retried, lost = caller.retried + now.retried, caller.lost + now.lost
        self._calls.append((failed, retried + lost + now.waiting))
        self._writer.append(
            "publishers",
            PublisherEnd(
                name,
                recorder.groups[name],
                deposited=first,
                top_ups=deposited - first,
                spent=sum(r["withdrawn"] for r in rows),
                returned=sum(r["returned"] for r in rows),
                locked_at_end=sum(r["available_at_end"] for r in rows),
                gas_wei=recorder.fees_wei(name),
                arrivals=arrivals,
                served=served,
                failed=failed,
                retried=retried,
                lost=lost,
                waiting_at_end=now.waiting,
                evicted=recorder.evictions.get(name, 0),
                state=self._state(party),
                behaviour=party.behaviour.name,
                **surplus.publisher(party, lives, self._attempts.get(name, ()), served),
            ),
        )
        self._violations += invariants.requests_conserved(
            name,
            arrived=arrivals,
            served=served,
            failed=failed,
            still_there=now.held + now.queued + now.in_flight,
        )

    def _state(self, party: PublisherParty) -> str:
        rental = party.rental
        mine = [a.row for a in self._attempts.get(party.name, ())]
        last = next((r for r in reversed(mine) if r["outcome"] in ("running", "removed")), None)
        if self._recorder.priced_out.get(party.name):
            return "out"
        if rental is None:
            return "gone" if party.process is None else "searching"
        if last is None:
            return "searching" if rental.stage.value != "ended" else "gone"
        if last["outcome"] == "running":
            return "running"
        return {"exhausted": "evicted", "deleted": "deleted"}.get(last["reason"] or "", "gone")

    def _pending(self) -> None:
        ledger = self._world.blocks.ledger
        for submitted_ns, sender, function, address, nonce in self._recorder.submitted.values():
            status = "replaced" if nonce < ledger.nonce(address) else "pending"
            self._writer.append(
                "transactions", (submitted_ns, None, None, sender, function, status, None, None, None)
            )

    def _conservation(self, open_leases: list[Lease]) -> None:
        """What must be zero, beyond what the tables alone can show."""
        world, ledger = self._world, self._world.blocks.ledger
        book = ledger.book
        held = book.token.balance(book.payment)
        wallets = sum(book.token.balance(a) for a in self._recorder.names)
        rows: list[tuple[str, str, int, int]] = [
            ("tokens: supply = wallets + channels", TOKENS, world.supply, wallets + held),
            (
                "the contract holds what its channels say",
                TOKENS,
                held,
                sum(channel.available for _, channel in book.records()),
            ),
            (
                "gas tokens: at the start = wallets + fees",
                "wei",
                world.gas_supply,
                ledger.native_supply() + ledger.fees_wei,
            ),
            (
                "replica time billed = replica time run",
                "replica-ms",
                sum(a.row["billed_replica_ms"] for a in self._recorder.attempts),
                sum(a.run_ms for a in self._recorder.attempts),
            ),
            (
                "attempts failed = tried again + given up + waiting",
                "attempts",
                sum(failed for failed, _ in self._calls),
                sum(after for _, after in self._calls),
            ),
        ]
        if ledger.market.moves:
            paid = sum(self._recorder.fees_wei(party) for party in self._recorder.fees)
            rows.append(
                (
                    "gas tokens: fees paid = burnt + to builders",
                    "wei",
                    paid,
                    ledger.burnt_wei + ledger.tips_wei,
                )
            )
        for row in rows:
            self._writer.append("conservation", row)
            law, unit, left, right = row
            if left != right:
                self._violations.append(f"{law}: {left} and {right} {unit}")
        self._violations += invariants.tokens_conserved(book, supply=world.supply)
        self._violations += invariants.channels_sound(book)
        if self._recorder.believed:
            return  # what parties believe may never have happened; the run says so
        for lease in open_leases:
            client = lease.party.client
            hosted = client.hosted(lease.tenant.name) if client is not None else None
            if not lease.party.behaviour.honest:
                continue  # what it bills is its own affair; what the contract pays it is checked above
            if hosted is not None and lease.party.process is not None and lease.party.process.alive:
                self._violations += invariants.bill_honest(
                    f"{lease.tenant.name} at {lease.party.name}",
                    owed=hosted.owed,
                    metered=lease.meter.owed(lease.prices),
                    # Who was lied to may believe more was paid than was; what it bills is checked all the same.
                    paid=0 if lease.party.endpoint.misled else hosted.withdrawn,
                    invested=lease.invested(world),
                )
