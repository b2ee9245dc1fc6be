"""What the core asks of the world: every port, in one file.

A client awaits nothing but these methods, so the same coroutine is a SimPy process in `sim` and a
trio task in `live`. A port is asked for what the worst real backend does: late, lost, duplicated,
reordered, "nobody knows". Not knowing is an outcome (`Unknown`, `NoAnswer`, `TxUnknown`), never an
exception. Calls that can wait take `deadline_ns`, an absolute instant of `Clock.now_ns`, and answer
that it passed. Clients never cancel anything.

When the process of a party is killed, its ports are fenced first and the await then raises
`errors.Killed`; calls of a dead incarnation raise it as well, writes included.

Adapters live in `sim/` and `live/`; every adapter of a port passes the same suite in `tests/suites/`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, NewType, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from protocol.attestation import Evidence, Verdict
    from protocol.events import Event
    from protocol.manifest import Pod
    from protocol.payment import Channel, ChannelKey, PaymentEvent
    from protocol.payment import Command as PaymentCommand
    from protocol.pricing import PriceTable
    from protocol.registry import Command as RegistryCommand
    from protocol.units import Address, Cid, PeerId, Resource

T = TypeVar("T")
EventId = NewType("EventId", int)
Record = Mapping[str, Any]
"""A stored form: JSON values only (str, int, bool, None, lists and dicts of them). Never mutated once written."""


# ---------------------------------------------------------------- outcomes of not knowing


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer cannot be had now. It decides nothing: neither "yes" nor "no".

    Attributes:
        reason: why, for a person and the trace, such as `deadline passed` or `endpoints differ`.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A peer did not answer in time.

    Attributes:
        sent: whether the peer may have received the message; False means it surely did not.
        reason: why, for a person.
    """

    sent: bool
    reason: str


# ---------------------------------------------------------------- time, tasks, trace


class Clock(Protocol):
    """The party's clock. Adapters: sim/tasks.py, live/tasks.py."""

    def now_ns(self) -> int:
        """Unix nanoseconds; never falls while the process lives."""
        ...


class Mailbox(Protocol[T]):
    """A queue with one reader: the only timer, and the only way to wait for the first of several things."""

    def put(self, item: T) -> None:
        """Add `item`; never waits. Items come out in the order they were put."""
        ...

    async def get(self, until_ns: int) -> T | None:
        """Take the oldest item, waiting until one is there or `until_ns` has come.

        An item that is there is returned even when `until_ns` has passed. With `until_ns` at or
        before now and nothing there, returns at once.

        Returns:
            The item, or None when `until_ns` came first.
        """
        ...


class Tasks(Protocol):
    """Concurrency, as little as will do. Adapters: sim/tasks.py."""

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a supervised child: it begins after the caller next awaits; its exception ends the party."""
        ...

    def mailbox(self) -> Mailbox[Any]:
        """A new, empty mailbox."""
        ...


class Trace(Protocol):
    """Where the core says what it does. Write-only: nothing that is emitted comes back. Adapters: sim/recorder.py."""

    def emit(self, event: Event, cause: EventId | None = None) -> EventId:
        """Record `event` and what caused it; never waits, never fails.

        Args:
            event: what happened, as the party saw it.
            cause: the event that led to this one; None for a first cause.

        Returns:
            An id to be given as the cause of what follows.
        """
        ...


# ---------------------------------------------------------------- chain


@dataclass(frozen=True, slots=True)
class ChainTerms:
    """What is pinned about the chain and never changes while a client runs.

    Attributes:
        chain_id: EIP-155 id.
        payment: address of the Payment contract.
        registry: address of the Registry contract.
        token: address of the payment token.
        confirmations: blocks on top of a block before it counts.
        inclusion_s: seconds within which a transaction is usually mined and confirmed [s].
    """

    chain_id: int
    payment: Address
    registry: Address
    token: Address
    confirmations: int
    inclusion_s: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its number, its 32-byte hash, and its time [Unix s]."""

    number: int
    hash: bytes
    time_s: int


@dataclass(frozen=True, slots=True)
class Approve:
    """Let `spender` pull exactly `amount` token base units from the caller; replaces the last approval."""

    spender: Address
    amount: int


Command: TypeAlias = "PaymentCommand | RegistryCommand | Approve"
"""Everything that a party can have carried out on the chain."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is signed and has its nonce, and may or may not have been sent.

    Attributes:
        nonce: the sender's nonce; sending the same `Transaction` again can never pay twice.
        raw: the signed bytes (or what stands for them), to be journalled before they are sent.
        hash: 32 bytes.
        function: the contract's function, for people and the trace.
    """

    nonce: int
    raw: bytes
    hash: bytes
    function: str

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "nonce": self.nonce,
            "raw": self.raw.hex(),
            "hash": self.hash.hex(),
            "function": self.function,
        }

    @classmethod
    def from_record(cls, record: Record) -> Transaction:
        """The transaction of a stored form."""
        return cls(
            record["nonce"], bytes.fromhex(record["raw"]), bytes.fromhex(record["hash"]), record["function"]
        )


@dataclass(frozen=True, slots=True)
class TxConfirmed:
    """Mined, and N blocks deep.

    Attributes:
        block: where.
        events: what the contracts emitted, in order.
        fee_wei: what it cost, in base units of the gas token.
    """

    block: Block
    events: tuple[PaymentEvent | Any, ...]
    fee_wei: int


@dataclass(frozen=True, slots=True)
class TxReverted:
    """Mined N blocks deep, and refused; or refused beforehand by the node, in which case `fee_wei` is 0 and the nonce is free.

    Attributes:
        error: the Solidity error's name, such as `InsufficientFunds`.
        fee_wei: what the refusal cost.
    """

    error: str
    fee_wei: int


@dataclass(frozen=True, slots=True)
class TxUnknown:
    """Nobody can tell whether it was or will be mined: send the same `Transaction` again later."""

    reason: str


TxOutcome = TxConfirmed | TxReverted | TxUnknown


@dataclass(frozen=True, slots=True)
class ChannelsAt:
    """Channels as they were at one block that counts (N blocks deep).

    Attributes:
        block: the block.
        channels: for each key asked for, the channel and its life, or None where there is none.
    """

    block: Block
    channels: Mapping[ChannelKey, Channel | None]


class Listing(NamedTuple):
    """A provider in the registry.

    Attributes:
        provider: its address.
        record: content id of its record (`wire` ProviderRecord).
        tables: ids of the pricing tables it is subscribed to, ascending.
    """

    provider: Address
    record: Cid
    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Market:
    """What the registry lists, at one block.

    Attributes:
        block: when this was true.
        listings: every registered provider, in order of registration.
        tables: the pricing tables that have subscribers, by id.
    """

    block: Block
    listings: tuple[Listing, ...]
    tables: Mapping[int, PriceTable]


@dataclass(frozen=True, slots=True)
class Funds:
    """What an address holds, at one block: payment token and gas token, base units."""

    block: Block
    token: int
    gas_wei: int


class Chain(Protocol):
    """The two contracts and the token, as one party sees them. Adapters: sim/chain/port.py; tests/suites/chain_suite.py."""

    @property
    def terms(self) -> ChainTerms:
        """What is pinned about this chain."""
        ...

    async def channels(self, keys: Sequence[ChannelKey], *, deadline_ns: int) -> ChannelsAt | Unknown:
        """Read many channels at one block hash that counts."""
        ...

    async def market(self, *, deadline_ns: int) -> Market | Unknown:
        """Read the registry at one block that counts."""
        ...

    async def funds(self, owner: Address, *, deadline_ns: int) -> Funds | Unknown:
        """Read what `owner` holds."""
        ...

    async def claim_fee_wei(self, entries: int, *, deadline_ns: int) -> int | Unknown:
        """What one `withdrawMany` of `entries` claims would cost now, in base units of the gas token."""
        ...

    async def prepare(self, command: Command) -> Transaction | Unknown:
        """Give `command` this party's next nonce and sign it; nothing is sent.

        The caller journals the result and only then sends it. A nonce that was prepared and never
        sent blocks those after it: send what was prepared.
        """
        ...

    async def send(self, transaction: Transaction, *, deadline_ns: int) -> TxOutcome:
        """Send `transaction` (again, if it was sent before) and wait until it counts or `deadline_ns` comes.

        Sending the same transaction twice has the effect of sending it once.

        Raises:
            PortError: with `sent=False`; nothing was sent, the nonce is still this transaction's.
        """
        ...


# ---------------------------------------------------------------- exchange rates


@dataclass(frozen=True, slots=True)
class Quote:
    """What the two tokens are worth, as a feed told it.

    Attributes:
        at_ns: when it was so [Unix ns]; now less this is its age.
        rate: what one payment token is worth [numéraire], above 0.
        decimals: base units in one payment token, as a power of ten.
        token_per_gas: what a base unit of the gas token is worth [base units of the payment token]; 0: gas counts nothing.
    """

    at_ns: int
    rate: Fraction
    decimals: int
    token_per_gas: Fraction

    def tokens_for(self, worth: Fraction) -> int:
        """What so much of the numéraire is in the payment token [base units], rounded down."""
        return int(worth * 10**self.decimals / self.rate)


class Rates(Protocol):
    """Exchange rates, from a feed that a party trusts. Adapters: sim/rates.py."""

    async def quote(self, *, deadline_ns: int) -> Quote | Unknown:
        """The newest that is known; it may be old, which `Quote.at_ns` tells."""
        ...


# ---------------------------------------------------------------- network and content


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call: an identity and where it may be reached."""

    peer_id: PeerId
    multiaddrs: tuple[str, ...] = ()


Handler = Callable[["PeerId", bytes], Awaitable[bytes]]


class Network(Protocol):
    """Requests and answers over streams. Adapters: sim/network.py."""

    @property
    def peer_id(self) -> PeerId:
        """Our own identity."""
        ...

    def serve(self, protocol: str, handler: Handler) -> None:
        """Answer calls of `protocol`; each call runs as a task of its own. A second handler replaces the first."""
        ...

    async def call(self, peer: Peer, protocol: str, message: bytes, *, deadline_ns: int) -> bytes | NoAnswer:
        """Send `message` and wait for the answer; it may arrive twice, late or never."""
        ...


class ContentStore(Protocol):
    """Bytes by content id. Adapters: sim/content.py."""

    async def put(self, content: bytes, *, deadline_ns: int) -> Cid | NoAnswer:
        """Store and announce `content` (at most 1 MiB); the same bytes have the same id."""
        ...

    async def get(self, cid: Cid, *, max_bytes: int, deadline_ns: int) -> bytes | NoAnswer:
        """Fetch and verify; never more than `max_bytes`."""
        ...

    async def get_many(
        self, cids: Sequence[Cid], *, max_bytes: int, timeout_ns: int
    ) -> Sequence[bytes | NoAnswer]:
        """As `get`, one after another, each with `timeout_ns` of its own."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """An image whose encrypted layers lie in the content store.

    Attributes:
        cid: of the directory of its layers.
        digest: of the OCI manifest before encryption, `sha256:…`; uploads are keyed by it.
        packed_bytes: what is transferred.
        key: opens the layers; travels sealed.
        manifest, config: OCI documents; travel sealed, because the config holds environment and commands.
    """

    cid: Cid
    digest: str
    packed_bytes: int
    key: bytes
    manifest: bytes
    config: bytes

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "cid": self.cid,
            "digest": self.digest,
            "packed_bytes": self.packed_bytes,
            "key": self.key.hex(),
            "manifest": self.manifest.hex(),
            "config": self.config.hex(),
        }

    @classmethod
    def from_record(cls, record: Record) -> PublishedImage:
        """The image of a stored form."""
        key, manifest, config = (bytes.fromhex(record[k]) for k in ("key", "manifest", "config"))
        return cls(record["cid"], record["digest"], record["packed_bytes"], key, manifest, config)


class Images(Protocol):
    """Container images. Adapters: sim/content.py."""

    async def digest(self, reference: str, *, deadline_ns: int) -> str | NoAnswer:
        """The digest that `reference` (`name:tag`) stands for now."""
        ...

    async def publish(self, reference: str, *, deadline_ns: int) -> PublishedImage | NoAnswer:
        """Encrypt the layers and upload what the store does not hold."""
        ...

    async def fetch(self, image: PublishedImage, *, deadline_ns: int) -> str | NoAnswer:
        """Bring the layers to where the cluster pulls from; returns the reference to run."""
        ...


# ---------------------------------------------------------------- cluster


@dataclass(frozen=True, slots=True)
class Workload:
    """What the cluster is to run for one pod.

    Attributes:
        namespace: `tpod-…`, one a pod.
        version: 1 for the first, one more at each update; configuring an older version changes nothing.
        pod: the manifest.
        images: for each container, the reference to run.
        annotation: the payment channel as the namespace's annotation says it; how recovery finds our pods.
    """

    namespace: str
    version: int
    pod: Pod
    images: tuple[str, ...]
    annotation: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a container's port is reached from outside."""

    multiaddr: str
    container: str
    port: int


@dataclass(frozen=True, slots=True)
class ClusterRefused:
    """The cluster will not run it; nothing of it is left.

    Attributes:
        rule: the rule's name, such as `NoCapacity` or `HostTaken`.
        detail: for a person.
    """

    rule: str
    detail: str


@dataclass(slots=True)
class Reading:
    """What one version of a pod has used since it was configured; every number only grows.

    Attributes:
        version: the workload's version.
        replica_ms: replica-milliseconds, from container start to end.
        bound_ms: milliseconds for which its volumes have been bound.
        egress_bytes: sent to clients.
        ingress_bytes: received from clients.
    """

    version: int
    replica_ms: int
    bound_ms: int
    egress_bytes: int
    ingress_bytes: int


class Mark(NamedTuple):
    """How far a pod may run before it has to be looked at.

    Attributes:
        version: the one version that it has had.
        replica_ms: of that version, the most that is still of no interest.
    """

    version: int
    replica_ms: int


@dataclass(frozen=True, slots=True)
class Usage:
    """All readings at one instant.

    Attributes:
        at_ns: the instant they are true at, now and whenever they are read.
        readings: by namespace, one a version, ascending; a removed pod keeps its readings until `forget`.
        passed: the namespaces to look at: those without a mark, of another version or more than one, and those whose
            replica-milliseconds are beyond their mark. There may be more of them.
    """

    at_ns: int
    readings: Mapping[str, Sequence[Reading]]
    passed: Collection[str]


class PodState(StrEnum):
    """What the cluster says of a namespace."""

    CONFIGURED = "configured"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of log lines, and the cursor to ask the next with."""

    lines: tuple[tuple[int, str, str], ...]  # (Unix ns, stream, text)
    cursor: str


class Cluster(Protocol):
    """Where pods run. All calls may be repeated: the second has no effect. Adapters: sim/cluster.py."""

    async def capacity(self, *, deadline_ns: int) -> Mapping[Resource, int] | Unknown:
        """What is allocatable and not promised, by resource, in base units, over all nodes."""
        ...

    async def configure(
        self, workload: Workload, *, deadline_ns: int
    ) -> tuple[Endpoint, ...] | ClusterRefused | Unknown:
        """Create or update the pod: scaler, application, monitoring (the seed's step 6)."""
        ...

    async def suspend(self, namespace: str, *, deadline_ns: int) -> Unknown | None:
        """Stop all replicas; volumes stay bound. Nothing runs once this returned None."""
        ...

    async def resume(self, namespace: str, *, deadline_ns: int) -> Unknown | None:
        """Undo `suspend`."""
        ...

    async def remove(self, namespace: str, *, deadline_ns: int) -> Unknown | None:
        """Remove everything of the pod but its readings."""
        ...

    async def forget(self, namespace: str) -> None:
        """Drop the readings of a removed pod."""
        ...

    async def usage(self, marks: Mapping[str, Mark] | None = None, *, deadline_ns: int) -> Usage | Unknown:
        """The readings of all our pods, at one instant.

        Args:
            marks: by namespace. Whoever gives the same object again has not changed it. None: there are none.
            deadline_ns: when the answer is given up.
        """
        ...

    async def states(self, *, deadline_ns: int) -> Mapping[str, PodState] | Unknown:
        """Every namespace that carries our annotation."""
        ...

    async def logs(
        self, namespace: str, container: str, cursor: str, *, limit: int, deadline_ns: int
    ) -> LogPage | Unknown:
        """Log lines after `cursor` (empty: from the beginning), at most `limit`."""
        ...


# ---------------------------------------------------------------- durable state, keys, chance, evidence


class Put(NamedTuple):
    """Write `record` under `key` of `table`; a `record` of None deletes."""

    table: str
    key: str
    record: Record | None


class Store(Protocol):
    """What must survive a crash. Adapters: sim/store.py, live/store.py."""

    async def commit(self, changes: Sequence[Put]) -> None:
        """Write all changes or none; durable when it returns.

        Raises:
            PortError: nothing was written.
        """
        ...

    async def get(self, table: str, key: str) -> Record | None:
        """One record."""
        ...

    async def scan(self, table: str) -> Mapping[str, Record]:
        """All records of a table, by key, in the order of their keys."""
        ...


class Signer(Protocol):
    """The party's EVM key. Adapters: sim/keys.py, live/keys.py."""

    @property
    def address(self) -> Address:
        """The address of the key."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes: 65 bytes, low s, v 27 or 28."""
        ...


class Entropy(Protocol):
    """Where unpredictable bytes come from. Adapters: sim/keys.py, live/keys.py."""

    def draw(self, count: int) -> bytes:
        """`count` bytes nobody else can guess (in a simulation: of this party's own stream)."""
        ...


class Attestor(Protocol):
    """The provider's side of attestation. Adapters: sim/keys.py, live/attestation."""

    async def evidence(
        self, report_data: bytes, kinds: Sequence[str], *, deadline_ns: int
    ) -> Sequence[Evidence] | Unknown:
        """Evidence that binds the 64 bytes of `report_data`, of the asked kinds that are to be had."""
        ...


class Verifier(Protocol):
    """The publisher's side of attestation. Adapters: sim/keys.py, live/attestation."""

    async def verify(
        self, evidence: Evidence, report_data: bytes, *, deadline_ns: int
    ) -> Verdict | Unknown | None:
        """Check signatures, roots and revocation; None when the evidence is false."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """All ports of one party, as `wiring` hands them over."""

    clock: Clock
    tasks: Tasks
    trace: Trace
    chain: Chain
    network: Network
    content: ContentStore
    images: Images
    store: Store
    signer: Signer
    entropy: Entropy
    rates: Rates
