"""Small simulated markets for tests of the two clients: handles to time, stores, ledger, events, and faults.

A market is a whole world of `sim` without files: the real clients and their real wire bytes, one or two
providers and publishers, by default one replica that runs all the time and nobody who calls it, so that
what is owed is a product that a test can work out by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest
import yaml

from protocol import ports, wire
from protocol.auth import Request
from protocol.eip712 import Domain
from protocol.guard import Wanted, Wish
from protocol.hosting import PODS, HostedPod
from protocol.identity import namespace
from protocol.keccak import keccak256
from protocol.payment import Channel, ChannelKey, CreateChannel, Deposit
from protocol.publisher import PublisherClient
from protocol.renting import TABLE, Rental
from protocol.units import NS_PER_S, PeerId
from sim.chain.transactions import Receipt, Tx
from sim.keys import SimVerifier
from sim.network import SimNetwork
from sim.parties import Party, ProviderParty, PublisherParty
from sim.scenario import loads
from sim.simulation import Simulation
from sim.store import MemoryStore
from sim.tasks import Process, call_at
from tests.sim.worlds import merged

T = TypeVar("T")
Data = dict[str, Any]

CPU_CORE_H: Final = 36 * 10**15
"""Price of the default provider: 0.036 DAI a core-hour, so 10**13 base units a core-second."""
CPU_MILLIS: Final = 250
A_SECOND: Final = CPU_CORE_H * CPU_MILLIS // 1000 // 3600
"""What a second of the default pod's one replica costs [base units]."""

WEB: Final[Data] = {
    "containers": [
        {"name": "web", "image": "web:1", "port": 80, "host": "web.example", "resources": {"cpu": "250m"}}
    ]
}
KEPT: Final[Data] = {
    "containers": [
        {
            "name": "web",
            "image": "web:1",
            "port": 80,
            "resources": {"cpu": "250m"},
            "volumes": [{"mountPath": "/data", "storage": "1Gi"}],
        }
    ]
}
"""A pod with a volume, which is therefore kept for a grace time."""

PROVIDER: Final[Data] = {
    "name": "host",
    "region": "bul-east-1",
    "nodes": [{"cpu": 4, "memory": "8Gi"}],
    "prices": {"cpu": "0.036 DAI/core-h", "memory": "0 DAI/GiB-h", "storage": "0.0001 DAI/GiB-h"},
    "cold_start": {"schedule": "100ms", "application": "1s"},
    "terms": {"tick": "20s", "runway": "1m", "grace": "10m", "exposure": "10m", "min_unlock_time": "17m"},
    "policies": {"claim": {"use": "interval", "with": {"every": "60s"}}},
}
PUBLISHER: Final[Data] = {
    "name": "pod",
    "region": "bul-east-1",
    "manifest": WEB,
    "scaling": {"policy": "fixed", "replicas": 1},
    "traffic": {"none": True},
    "service": {"constant": "1s"},
    "image": {"size": "10MB"},
    "unlock_time": "17m",
    "policies": {"funding": {"use": "once", "with": {"first": "10m"}}, "on_loss": "leave"},
}
WORLD: Final[Data] = {
    "name": "market",
    "duration": "3h",
    "chain": {"block_time": "2s", "confirmations": 2, "gas_price": "0.001 gwei"},
    "tokens": {"gas": {"symbol": "ETH", "decimals": 18, "price": "1 DAI"}},
    "output": {"sampling": "10m", "requests": 1},
}


MARKETS: Final[list[Market]] = []
"""All of the present test, for the fixture that lets what was started last begin."""


class Rows:
    """Takes rows as `RunWriter` does, and keeps the few that tests look at in memory."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Any]] = {}

    def append(self, table: str, row: Any) -> None:
        self.tables.setdefault(table, []).append(row)

    def extend(self, table: str, rows: Any) -> None:
        self.tables.setdefault(table, []).extend(rows)

    def append_array(self, table: str, columns: Any) -> None:
        self.tables.setdefault(table, []).append(columns)

    def flush(self, upto_ns: int) -> None:
        pass


@dataclass(frozen=True)
class Seen:
    """One event of the protocol's trace."""

    at_ns: int
    party: str
    name: str
    rule: str
    amount: int
    detail: str


class Market:
    """One small world.

    Args:
        provider, publisher: changes to the default groups, or lists of such changes for several groups.
        world: changes to the rest of the scenario.
    """

    def __init__(
        self,
        *,
        provider: Data | list[Data] | None = None,
        publisher: Data | list[Data] | None = None,
        **world: Any,
    ) -> None:
        data = merged(WORLD, world)
        data["providers"] = _groups(PROVIDER, provider)
        data["publishers"] = _groups(PUBLISHER, publisher)
        MARKETS.append(self)
        self.rows = Rows()
        self.simulation = Simulation(loads(yaml.safe_dump(data, sort_keys=False)), 0, self.rows)  # type: ignore[arg-type]
        self.world = self.simulation.world
        self.env = self.world.env
        self.receipts: list[tuple[Tx, Receipt]] = []
        self._sent: dict[bytes, Tx] = {}
        self.ledger = self.world.blocks.ledger
        submit, ledger = self.ledger.submit, self.ledger

        def keep(tx: Tx) -> bytes:
            tx_hash = submit(tx)
            self._sent[tx_hash] = tx
            return tx_hash

        ledger.submit = keep  # type: ignore[method-assign]
        self.world.blocks.on_mined.append(
            lambda mined: self.receipts.extend((self._sent[r.hash], r) for r in mined.receipts)
        )

    # ------------------------------------------------------------ who is there

    @property
    def host(self) -> ProviderParty:
        return self.world.providers["host-0"]

    @property
    def pod(self) -> PublisherParty:
        return self.world.publishers["pod-0"]

    def person(self, party: PublisherParty) -> PublisherClient:
        """A client of the party's, started by hand before its plan begins."""
        return PublisherClient(
            party.boot(),
            SimVerifier(),
            party.settings,
            party.policies,
            scheme=self.world.scheme,
            sealer=self.world.sealer,
            chance_of=party.chance_of,
        )

    def rental(self, publisher: PublisherParty | None = None) -> Rental:
        """The publisher's rental, as its disk holds it."""
        (record,) = (publisher or self.pod).disk.tables[TABLE].values()
        return Rental.from_record(record)

    def hosted(self, provider: ProviderParty | None = None) -> HostedPod:
        """The provider's only pod: as its client knows it, or as its disk holds it when no client does."""
        party = provider or self.host
        (record,) = party.disk.tables[PODS].values()
        if party.client is not None and record["namespace"] in party.client.pods:
            pod = party.client.pods[record["namespace"]]
            party.client.meters.bring(pod)
            record = pod.to_record()
        return HostedPod.from_record(record)

    @property
    def name(self) -> str:
        """The namespace of the first publisher's pod."""
        return namespace(self.pod.address, self.rental().pod_id)

    def key(self, provider: ProviderParty | None = None) -> ChannelKey:
        return ChannelKey(self.pod.address, (provider or self.host).address, self.rental().pod_id)

    def channel(self, provider: ProviderParty | None = None) -> Channel | None:
        """The first publisher's channel now, without confirmations."""
        return self.ledger.book.channel(self.key(provider))

    def tokens(self, party: Party) -> int:
        """What a party holds outside of channels [base units]."""
        return self.ledger.book.token.balance(party.address)

    @property
    def state(self) -> str | None:
        """What the first provider's cluster says of the first publisher's pod."""
        tenant = self.host.machines.tenants.get(self.name)
        return None if tenant is None else tenant.state.value

    # ------------------------------------------------------------ time

    @property
    def now_s(self) -> float:
        """Seconds since the scenario began."""
        return (int(self.env.now) - self.world.start_ns) / NS_PER_S

    def run(self, until_s: float) -> Market:
        """Let time pass up to so many seconds after the beginning."""
        self.env.run(until=self.world.start_ns + int(until_s * NS_PER_S))
        return self

    def until(self, holds: Callable[[], object], *, limit_s: float = 3600) -> Market:
        """Let time pass until something holds; looks after every event.

        Raises:
            AssertionError: it did not within `limit_s` from now.
        """
        end_ns = int(self.env.now) + int(limit_s * NS_PER_S)
        while not holds():
            assert self.env.peek() <= end_ns, f"not within {limit_s} s: {self.log()}"
            self.env.step()
        return self

    def running(self) -> Market:
        """Let time pass until the publisher was told that its pod runs."""
        return self.until(lambda: self.events("PodConfirmed"))

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        call_at(self.env, int(self.env.now) + int(seconds * NS_PER_S), action)

    def do(self, coroutine: Coroutine[Any, Any, T], *, limit_s: float = 3600) -> T:
        """Run a coroutine of a client to its end, as one more task of the world, and give what it gave."""
        done: list[T] = []
        raised: list[Exception] = []

        async def run() -> None:
            try:
                done.append(await coroutine)
            except Exception as error:  # noqa: BLE001 - handed to the test
                raised.append(error)

        self.env.process(run().__await__())
        self.until(lambda: done or raised, limit_s=limit_s)
        if raised:
            raise raised[0]
        return done[0]

    def finish(self) -> None:
        """Close the books; every law of the simulation must hold."""
        self.simulation._finish(int(self.env.now))
        assert self.simulation._violations == []

    # ------------------------------------------------------------ what happened

    def events(
        self, name: str | None = None, *, party: Party | None = None, rule: str | None = None
    ) -> list[Seen]:
        """Events of the trace so far."""
        found = [
            Seen(row[2], row[4], row[5], row[8], row[9], row[10])
            for row in self.rows.tables.get("events", [])
        ]
        return [
            e
            for e in found
            if (name is None or e.name == name)
            and (party is None or e.party == party.name)
            and (rule is None or e.rule == rule)
        ]

    def log(self) -> str:
        """The trace as text, for the message of a failure."""
        start = self.world.start_ns
        return "\n" + "\n".join(
            f"{(e.at_ns - start) / NS_PER_S:9.3f} {e.party} {e.name} {e.rule} {e.amount} {e.detail}"
            for e in self.events()[-40:]
        )

    def mined(self, *kinds: type[Any], failed: bool = False) -> list[Any]:
        """Commands of these kinds that were carried out on the chain (or refused there), in order."""
        return [
            tx.command
            for tx, receipt in self.receipts
            if isinstance(tx.command, kinds) and (receipt.error is not None) == failed
        ]

    @property
    def deposits(self) -> list[int]:
        """Everything that was put into channels, in order [base units]."""
        made: list[CreateChannel | Deposit] = self.mined(CreateChannel, Deposit)
        return [c.initial_amount if isinstance(c, CreateChannel) else c.amount for c in made]

    # ------------------------------------------------------------ faults

    def crash(self, party: Party, *, for_s: float) -> None:
        """Kill a party's process now; it comes back."""
        party.crash()
        self.at(for_s, party.start)

    def silence(self, party: Party, *, for_s: float) -> None:
        """The party's chain endpoint answers nothing from now on."""
        until = int(self.env.now) + int(for_s * NS_PER_S)
        party.endpoint.silent_until_ns = until

    def wish(self, wish: Wish, **details: Any) -> None:
        """The first publisher's person wants something."""
        self.pod.wish(Wanted(wish, **details))

    # ------------------------------------------------------------ raw calls

    def request(self, method: str, body: bytes, /, **changes: Any) -> Request:
        """A good request of the first publisher to the first provider about its pod, with changes."""
        rental = self.rental()
        fields: Data = {
            "method": method,
            "publisher": self.pod.address,
            "provider": self.host.address,
            "pod_id": rental.pod_id,
            "life": rental.life,
            "seq": rental.seq + 1,
            "request_id": keccak256(b"a request"),
            "body_hash": keccak256(body),
            "expires_at_s": int(self.env.now) // NS_PER_S + 10,
        }
        return Request(**{**fields, **changes})

    def envelope(
        self, request: Request, body: bytes, *, chain_id: int | None = None, contract: bytes | None = None
    ) -> bytes:
        """The bytes on the wire of a signed request."""
        terms = self.world.terms
        domain = Domain(chain_id or terms.chain_id, contract or terms.payment)  # type: ignore[arg-type]
        signature = self.world.scheme.sign(request.digest(domain), self.pod.key)
        return wire.encode(wire.pb.Envelope(request=request.to_wire(), signature=signature, body=body))

    def send(self, method: str, raw: bytes, *, to: ProviderParty | None = None) -> bytes:
        """Hand bytes to a provider as the network would, and give the answer's body."""
        place = self.world.web.places[PeerId((to or self.host).name)]
        answer: bytes = self.do(place.handlers[method](PeerId("stranger"), raw))  # type: ignore[arg-type]
        return wire.decode(answer).body

    def refusal(self, method: str, raw: bytes, *, to: ProviderParty | None = None) -> str:
        """The rule by which such a call is refused; empty when it is not."""
        from protocol.desk import ANSWER_TYPES

        answer: Any = wire.parse(ANSWER_TYPES[method], self.send(method, raw, to=to))
        return answer.refusal.rule if answer.HasField("refusal") else ""


def _groups(base: Data, changes: Data | list[Data] | None) -> list[Data]:
    whole = ("scaling", "traffic", "service")
    found = []
    for change in changes if isinstance(changes, list) else [changes or {}]:
        kept = {k: v for k, v in change.items() if k not in whole}
        group = {**merged(base, kept), **{k: v for k, v in change.items() if k in whole}}
        group["policies"] = {**base["policies"], **change.get("policies", {})}
        found.append(group)
    return found


# ---------------------------------------------------------------- the network, tapped


@dataclass
class Tap:
    """Messages that pass, and what a test does to them."""

    calls: list[tuple[str, str, bytes]]
    answers: list[tuple[str, bytes | ports.NoAnswer]]
    lose_answers: int = 0
    method: str = ""
    alter: Callable[[bytes], bytes] = staticmethod(lambda raw: raw)
    alter_answer: Callable[[bytes], bytes] = staticmethod(lambda raw: raw)


@contextmanager
def tapped(patch: pytest.MonkeyPatch, method: str = "") -> Iterator[Tap]:
    """Record the bytes of calls; lose or alter those of one protocol (empty: of all)."""
    tap = Tap([], [], method=method)
    original = SimNetwork.call

    async def call(
        self: SimNetwork, peer: ports.Peer, protocol: str, message: bytes, *, deadline_ns: int
    ) -> bytes | ports.NoAnswer:
        mine = not method or protocol == method
        tap.calls.append((self.peer_id, protocol, message))
        raw = tap.alter(message) if mine else message
        answer = await original(self, peer, protocol, raw, deadline_ns=deadline_ns)
        if mine and tap.lose_answers and not isinstance(answer, ports.NoAnswer):
            tap.lose_answers -= 1
            await self._process.sleep_until(deadline_ns)
            answer = ports.NoAnswer(sent=True, reason="lost")
        if mine and isinstance(answer, bytes):
            answer = tap.alter_answer(answer)
        tap.answers.append((protocol, answer))
        return answer

    with patch.context() as context:
        context.setattr(SimNetwork, "call", call)
        yield tap


# ---------------------------------------------------------------- killing at every instant


class Killer:
    """Kills a party at the n-th point at which its process can die.

    Points are the beginning and the end of every wait, and of every write to its store.
    """

    def __init__(self, party: Party, point: int | None, comes_back_after_s: float) -> None:
        self.party = party
        self.points = 0
        self._point = point
        self._after_s = comes_back_after_s
        self.killed = ""

    def reach(self, process: Process, where: str) -> None:
        if process is not self.party.process or not process.alive:
            return
        self.points += 1
        if self.points - 1 == self._point:
            self.killed = where
            self.party.crash()
            env = self.party.world.env
            call_at(env, int(env.now) + int(self._after_s * NS_PER_S), self.party.start)
            process.check()


@contextmanager
def killing(
    patch: pytest.MonkeyPatch, party: Party, point: int | None, *, comes_back_after_s: float = 7
) -> Iterator[Killer]:
    """Kill `party` at its `point`-th point (None: never, only count)."""
    killer = Killer(party, point, comes_back_after_s)
    wait, sleep, commit = Process.wait, Process.sleep_until, MemoryStore.commit

    async def killing_wait(self: Process, event: Any) -> Any:
        killer.reach(self, "before a wait")
        value = await wait(self, event)
        killer.reach(self, "after a wait")
        return value

    async def killing_sleep(self: Process, at_ns: int) -> None:
        killer.reach(self, "before a sleep")
        await sleep(self, at_ns)
        killer.reach(self, "after a sleep")

    async def killing_commit(self: MemoryStore, changes: Any) -> None:
        what = ",".join(f"{c.table}" for c in changes)
        killer.reach(self._process, f"before writing {what}")
        await commit(self, changes)
        killer.reach(self._process, f"after writing {what}")

    with patch.context() as context:
        context.setattr(Process, "wait", killing_wait)
        context.setattr(Process, "sleep_until", killing_sleep)
        context.setattr(MemoryStore, "commit", killing_commit)
        yield killer
