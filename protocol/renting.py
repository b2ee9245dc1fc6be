"""What a publisher knows of a pod that it rents: the stages, the settings, the durable record.

    Choosing → Agreed → Funded → Sent → Running → Ended

Each stage is written before what it announces is done, so that a killed publisher goes on from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from protocol import manifest
from protocol.attestation import AttestationPolicy
from protocol.auth import Offer, Usage
from protocol.manifest import Pod
from protocol.payment import ChannelKey
from protocol.policies.funding import Funding
from protocol.policies.on_loss import OnLoss
from protocol.policies.selection import Past, Selection
from protocol.ports import Peer, Put, Record
from protocol.pricing import PriceTable
from protocol.units import NS_PER_S, Address, PeerId, PodId, Resource
from protocol.written import Written

if TYPE_CHECKING:
    from protocol.ports import EventId

TABLE: Final = "rentals"
UPLOADS: Final = "uploads"
ERRANDS: Final = "errands"
RETURNS: Final = "returns"
TOO_DEAR: Final = "TooDear"
"""The rule by which a publisher stays out: whoever it would ask costs more than it would pay elsewhere."""
BUDGET_SPENT: Final = "BudgetSpent"
"""The rule by which it deposits no more."""


class Stage(StrEnum):
    """How far a rental has come; what the stage announces may or may not have been done yet."""

    CHOOSING = "choosing"
    AGREED = "agreed"  # an Offer was taken; the channel may be being created
    FUNDED = "funded"  # the channel counts; the bundle may be being sent
    SENT = "sent"  # the provider accepted; it may be configuring
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSettings:
    """A publisher's settings.

    Attributes:
        unlock_time_s: unlock time of its channels [s]; the provider may demand more, never less than it has.
        attestation: what must be proved before anything is sent.
        call_timeout_ns: one try of a call [ns].
        call_tries: tries of a call.
        chain_timeout_ns: one read of the chain [ns].
        transaction_timeout_ns: one transaction until its outcome is called unknown [ns]; 300 s by default.
        upload_timeout_ns: uploading an image [ns].
        confirm_timeout_ns: from the bundle's acceptance until the pod must run [ns].
        poll_ns: between two questions for the status while the pod is being configured [ns].
        look_ns: between two looks at a running pod, when the funding policy has no own interval [ns].
        silence_ns: how long a provider may be silent before the pod counts as lost [ns].
        turn: number of its first deployment, for `round_robin`.
        budget: the most that it puts into channels, less what it surely got back [token base units]; None: its wallet is the limit.
        outside_an_hour: what one replica costs elsewhere, an hour [numéraire]; it rents nothing dearer. None: whatever is asked.
    """

    unlock_time_s: int = 3600
    attestation: AttestationPolicy = field(default_factory=AttestationPolicy)
    call_timeout_ns: int = 10 * NS_PER_S
    call_tries: int = 3
    chain_timeout_ns: int = 10 * NS_PER_S
    transaction_timeout_ns: int = 300 * NS_PER_S
    upload_timeout_ns: int = 600 * NS_PER_S
    confirm_timeout_ns: int = 600 * NS_PER_S
    poll_ns: int = 5 * NS_PER_S
    look_ns: int = 3600 * NS_PER_S
    silence_ns: int = 3600 * NS_PER_S
    turn: int = 0
    budget: int | None = None
    outside_an_hour: Fraction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPolicies:
    """What a publisher decides as it likes."""

    selection: Selection
    funding: Funding
    on_loss: OnLoss


@dataclass(frozen=True, slots=True)
class Failed:
    """No provider runs the pod.

    Attributes:
        rule: why, by name: the last candidate's, or `NoCandidate`.
        detail: for a person.
    """

    rule: str
    detail: str


@dataclass(slots=True)
class Rental:
    """One pod of a publisher, from its choice of a provider to the last token returned.

    Attributes:
        pod_id: random, kept for ever.
        pod: the manifest.
        stage: how far it has come.
        attempt: 1 for the first provider, one more for each that followed.
        provider, peer: who runs it; None while choosing.
        offer, offer_signature, prices: the agreement.
        hpke_key: what its bundles are sealed for; attested.
        agreed_ns: when it was agreed [Unix ns].
        most: the most that its manifests since then can hold at one instant, by resource [base units].
        bill: the provider's last statement that was checked.
        liars: providers that were found out; they are not asked again.
        life: of its channel; 0 before it counts.
        deposit: the first deposit that was decided on [token base units].
        put_in: what was invested in this channel so far.
        before: what was invested in the channels before it.
        seq: of the last mutation.
        version: of the pod.
        namespace: where it runs.
        losses: how often it was lost.
        reason: why it ended.
        pasts: what was lived through with providers, by address.
        cause: the event that the next one follows from; not stored.
    """

    pod_id: PodId
    pod: Pod
    stage: Stage = Stage.CHOOSING
    attempt: int = 0
    provider: Address | None = None
    peer: Peer | None = None
    offer: Offer | None = None
    offer_signature: bytes = b""
    prices: PriceTable | None = None
    hpke_key: bytes = b""
    agreed_ns: int = 0
    most: dict[Resource, int] = field(default_factory=dict)
    bill: Usage | None = None
    liars: tuple[Address, ...] = ()
    life: int = 0
    deposit: int = 0
    put_in: int = 0
    before: int = 0
    seq: int = 0
    version: int = 1
    namespace: str = ""
    losses: int = 0
    reason: str = ""
    pasts: dict[Address, Past] = field(default_factory=dict)
    cause: EventId | None = field(default=None, compare=False)
    _written: Written = field(default_factory=Written, compare=False, repr=False)

    def key(self, publisher: Address) -> ChannelKey:
        """The key of its channel."""
        assert self.provider is not None, "a rental has a channel only once a provider was chosen"
        return ChannelKey(publisher, self.provider, self.pod_id)

    def remember(self, provider: Address, *, good: bool) -> None:
        """Add an experience with a provider to its past."""
        past = self.pasts.get(provider, Past())
        self.pasts[provider] = Past(past.good + good, past.bad + (not good))

    def put(self) -> Put:
        """What writes it down."""
        return Put(TABLE, self.pod_id.hex(), self.to_record())

    def turn_away(self) -> None:
        """Its channel is no longer the one that it is paid from; what is in there is fetched back, or spent."""
        self.before += self.put_in
        self.life = self.put_in = self.deposit = 0

    def to_record(self) -> dict[str, Any]:
        """The stored form; the manifest and the agreement are written once and shared between records."""
        written = self._written
        return {
            "pod_id": self.pod_id.hex(),
            "pod": written.of("pod", self.pod, manifest.to_data),
            "stage": self.stage.value,
            "attempt": self.attempt,
            "provider": self.provider.hex() if self.provider is not None else None,
            "peer": [self.peer.peer_id, list(self.peer.multiaddrs)] if self.peer is not None else None,
            "offer": written.of("offer", self.offer, Offer.to_record) if self.offer is not None else None,
            "offer_signature": self.offer_signature.hex(),
            "prices": written.of("prices", self.prices, PriceTable.to_record)
            if self.prices is not None
            else None,
            "hpke_key": self.hpke_key.hex(),
            "agreed_ns": self.agreed_ns,
            "most": {resource.value: str(amount) for resource, amount in self.most.items()},
            "bill": written.of("bill", self.bill, Usage.to_record) if self.bill is not None else None,
            "liars": [liar.hex() for liar in self.liars],
            "life": self.life,
            "deposit": str(self.deposit),
            "put_in": str(self.put_in),
            "before": str(self.before),
            "seq": self.seq,
            "version": self.version,
            "namespace": self.namespace,
            "losses": self.losses,
            "reason": self.reason,
            "pasts": {provider.hex(): [past.good, past.bad] for provider, past in self.pasts.items()},
        }

    @classmethod
    def from_record(cls, record: Record) -> Rental:
        """The rental of a stored form."""
        peer, provider, offer, prices = (record[k] for k in ("peer", "provider", "offer", "prices"))
        return cls(
            pod_id=PodId(bytes.fromhex(record["pod_id"])),
            pod=manifest.parse(record["pod"]),
            stage=Stage(record["stage"]),
            attempt=record["attempt"],
            provider=Address(bytes.fromhex(provider)) if provider is not None else None,
            peer=Peer(PeerId(peer[0]), tuple(peer[1])) if peer is not None else None,
            offer=Offer.from_record(offer) if offer is not None else None,
            offer_signature=bytes.fromhex(record["offer_signature"]),
            prices=PriceTable.from_record(prices) if prices is not None else None,
            hpke_key=bytes.fromhex(record["hpke_key"]),
            agreed_ns=record["agreed_ns"],
            most={Resource(name): int(amount) for name, amount in record["most"].items()},
            bill=Usage.from_record(record["bill"]) if record["bill"] is not None else None,
            liars=tuple(Address(bytes.fromhex(liar)) for liar in record["liars"]),
            life=record["life"],
            deposit=int(record["deposit"]),
            put_in=int(record["put_in"]),
            before=int(record["before"]),
            seq=record["seq"],
            version=record["version"],
            namespace=record["namespace"],
            losses=record["losses"],
            reason=record["reason"],
            pasts={Address(bytes.fromhex(p)): Past(*counts) for p, counts in record["pasts"].items()},
        )


@dataclass(frozen=True, slots=True)
class Errand:
    """Money that is to be fetched back: one life of a channel that is no longer wanted.

    Attributes:
        key, life: which.
        namespace: where the pod ran, for the trace.
    """

    key: ChannelKey
    life: int
    namespace: str

    @property
    def name(self) -> str:
        """A name for the store."""
        return f"{self.key.provider.hex()}-{self.key.pod_id.hex()}-{self.life}"

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {"key": self.key.to_record(), "life": self.life, "namespace": self.namespace}

    @classmethod
    def from_record(cls, record: Record) -> Errand:
        """The errand of a stored form."""
        return cls(ChannelKey.from_record(record["key"]), record["life"], record["namespace"])
