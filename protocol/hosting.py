"""The life of a pod at its provider: the phases, what may follow what, the settings, the durable record.

    Accepted → Configured → Running ⇄ Low → Suspended → Removed
                                  └──────────┴───⇄ resumes when there are funds again

Every transition is in `TRANSITIONS`. What is absent there is a bug of the client, never a peer's doing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from protocol import manifest, wire
from protocol.attestation import Assurance
from protocol.auth import Offer
from protocol.manifest import Pod
from protocol.metering import Meter
from protocol.payment import Channel, ChannelKey
from protocol.policies.admission import Admission
from protocol.policies.claims import Claims
from protocol.policies.price import Costs, Price
from protocol.ports import Endpoint, Mailbox, PublishedImage, Record
from protocol.pricing import COST_SCALE, PriceTable, burn
from protocol.units import NEVER_NS, NS_PER_MS, NS_PER_S
from protocol.written import Written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.ports import EventId
    from protocol.units import Resource

PODS: Final = "pods"
ANSWERS: Final = "answers"
STATEMENTS: Final = "statements"


class Phase(StrEnum):
    """Where a pod is in its life at the provider."""

    ACCEPTED = "accepted"  # journalled; nothing was done yet
    CONFIGURED = "configured"  # the cluster has it; not running yet
    RUNNING = "running"
    LOW = "low"  # funds under the provider's runway
    SUSPENDED = "suspended"  # zero replicas, data kept
    REMOVED = "removed"
    FAILED = "failed"  # accepted, and could not be configured

    @property
    def ended(self) -> bool:
        """Whether nothing runs and nothing will."""
        return self in (Phase.REMOVED, Phase.FAILED)


BILLABLE: Final = (Phase.RUNNING, Phase.LOW, Phase.SUSPENDED)
TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.ACCEPTED: frozenset({Phase.CONFIGURED, Phase.FAILED}),
    Phase.CONFIGURED: frozenset({Phase.RUNNING, Phase.FAILED}),
    Phase.RUNNING: frozenset({Phase.LOW, Phase.SUSPENDED, Phase.REMOVED}),
    Phase.LOW: frozenset({Phase.RUNNING, Phase.SUSPENDED, Phase.REMOVED}),
    Phase.SUSPENDED: frozenset({Phase.RUNNING, Phase.REMOVED}),
    Phase.REMOVED: frozenset(),
    Phase.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """A provider's settings.

    Attributes:
        prices: the table that it lists; what is not priced there is refused.
        regions: where it is, such as `bul-east-1`.
        multiaddrs: where it is reached.
        assurance, evidence_kinds: what is inside its boundary, and what can prove it.
        largest: the most that one replica may reserve, by resource [base units]: what its largest node has.
        whole: what all its nodes have, by resource [base units]; for its price policy.
        costs: what running costs it; for its price policy.
        market_age_ns: how old what it knows of the market may be when it thinks about prices [ns]: when it is
            older, the registry is read anew.
        load_age_ns: how old what it says of its load may be [ns]: asked when it is older, it looks anew.
        tick_ns: between two billing ticks [ns]; 100 s.
        tick_phase_ns: offset of its ticks [ns], so that providers do not all tick at once.
        wake_early: also look at a pod when its funds could be gone before the next tick.
        min_unlock_s: least unlock time of a channel [s]; at least 3 × (tick + confirmations + transaction
            deadline), 3600 by default.
        runway_ns: what the least deposit must pay for, at the least replicas (at least one) [ns]; one hour.
        exposure_ns: unpaid work is at most this long at the most replicas [ns]; ten minutes.
        grace_s: how long a suspended pod with volumes is kept [s]; pods without have none.
        offer_valid_ns: how long an Offer holds [ns].
        deposit_wait_ns: how long a pod that was accepted may wait for its channel [ns].
        transaction_timeout_ns: one transaction until its outcome is called unknown [ns]; 300 s.
        port_timeout_ns: one call of the cluster, the chain or the store of contents [ns].
        fetch_timeout_ns: fetching an image [ns].
        retry_ns: between two tries of what the world refuses [ns].
    """

    prices: PriceTable
    regions: tuple[str, ...] = ()
    multiaddrs: tuple[str, ...] = ()
    assurance: Assurance = Assurance.NONE
    evidence_kinds: tuple[str, ...] = ()
    largest: Mapping[Resource, int] = field(default_factory=dict)
    whole: Mapping[Resource, int] = field(default_factory=dict)
    costs: Costs = Costs()
    market_age_ns: int = 0
    load_age_ns: int = 0
    tick_ns: int = 100 * NS_PER_S
    tick_phase_ns: int = 0
    wake_early: bool = False
    min_unlock_s: int = 3600
    runway_ns: int = 3600 * NS_PER_S
    exposure_ns: int = 600 * NS_PER_S
    grace_s: int = 3600
    offer_valid_ns: int = 300 * NS_PER_S
    deposit_wait_ns: int = 600 * NS_PER_S
    transaction_timeout_ns: int = 300 * NS_PER_S
    port_timeout_ns: int = 10 * NS_PER_S
    fetch_timeout_ns: int = 600 * NS_PER_S
    retry_ns: int = 5 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPolicies:
    """What a provider decides as it likes."""

    price: Price
    admission: Admission
    claims: Claims


class Asking(StrEnum):
    """What a pod's task can be asked to do."""

    UPDATE = "update"
    SUSPEND = "suspend"
    RESUME = "resume"
    REMOVE = "remove"
    LOOK = "look"  # the wake has changed


@dataclass(frozen=True, slots=True)
class Ask:
    """One item of a pod's mailbox.

    Attributes:
        what: to do.
        reason: why, by the rule's name.
        pod, images, version: for an update.
    """

    what: Asking
    reason: str = ""
    pod: Pod | None = None
    images: tuple[PublishedImage, ...] = ()
    version: int = 0

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "what": self.what.value,
            "version": self.version,
            "reason": self.reason,
            "pod": None if self.pod is None else _stored_pod(self.pod),
            "images": [i.to_record() for i in self.images],
        }

    @classmethod
    def from_record(cls, record: Record) -> Ask:
        """The ask of a stored form."""
        pod = record["pod"]
        return cls(
            Asking(record["what"]),
            record["reason"],
            None if pod is None else _pod(pod),
            tuple(PublishedImage.from_record(i) for i in record["images"]),
            record["version"],
        )


@dataclass(frozen=True, slots=True)
class Marks:
    """Amounts that follow from a pod's version, its Offer and the provider's settings [token base units].

    Attributes:
        reserve: what the volumes cost over the grace time.
        exposure: the most unpaid work: the settings' time at the most replicas.
        low: funds below this are low: the runway at the least replicas, at least one.
        a_tick: the most that one tick can cost.
    """

    reserve: int
    exposure: int
    low: int
    a_tick: int


@dataclass(slots=True)
class HostedPod:
    """One pod at one provider.

    Attributes:
        key: its channel.
        life: the life of the channel that it was accepted for.
        namespace: where it runs.
        offer, offer_signature: the agreement.
        prices: the table that the offer names.
        pod, images, version: what runs.
        meter: what it used.
        accepted_ns: when it was accepted.
        phase: where it is in its life.
        reason: why it is suspended, removed or failed; empty otherwise.
        since_ns: when the phase began.
        seen_ns: when its channel was last seen at a block that counts.
        unlock_time_s, invested, withdrawn: what the channel said then [s, token base units].
        owed: what it owed at the last reading [token base units].
        claimed_ns: when its last claim was settled, or it was accepted.
        statement_seq, statement_digest, stated_ns: the last signed usage statement.
        settled: whether the final claim and release of a pod that has ended are done.
        todo: what publishers asked and has not been done, in order.
        endpoints: where it is reached.
        wake_ns: when its task is to look at it, before the next tick; not stored.
        asked: what the biller last asked of its task; not stored.
        channel: as the last tick saw it; not stored.
        calm_to: while it runs on that channel and owes no more than this, its funds decide nothing [token base
            units]; not stored.
        mailbox: of its task; not stored.
        cause: the event that the next one of this pod follows from; not stored.
    """

    key: ChannelKey
    life: int
    namespace: str
    offer: Offer
    offer_signature: bytes
    prices: PriceTable
    pod: Pod
    images: tuple[PublishedImage, ...]
    version: int
    meter: Meter
    accepted_ns: int
    phase: Phase = Phase.ACCEPTED
    reason: str = ""
    since_ns: int = 0
    seen_ns: int = 0
    unlock_time_s: int = 0
    invested: int = 0
    withdrawn: int = 0
    owed: int = 0
    claimed_ns: int = 0
    statement_seq: int = 0
    statement_digest: bytes = bytes(32)
    stated_ns: int = 0
    settled: bool = False
    todo: tuple[Ask, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    wake_ns: int = NEVER_NS
    asked: Asking | None = None
    channel: Channel | None = field(default=None, compare=False)
    calm_to: int = field(default=-1, compare=False)
    mailbox: Mailbox[Any] | None = field(default=None, compare=False)
    cause: EventId | None = field(default=None, compare=False)
    _written: Written = field(default_factory=Written, compare=False, repr=False)
    _fixed: dict[str, Any] | None = field(default=None, compare=False, repr=False)
    _burns: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    _marks: Marks | None = field(default=None, compare=False, repr=False)

    @property
    def billable(self) -> bool:
        """Whether it is looked at by the billing tick."""
        return self.phase in BILLABLE

    def changed(self) -> None:
        """Forget what was derived from what seldom changes: the manifest, the images, what is to be done."""
        self._fixed = None
        self._burns = None
        self._marks = None
        self.calm_to = -1

    def marks(self, settings: ProviderSettings) -> Marks:
        """The amounts that its funds are compared with at every tick."""
        if self._marks is None:
            self._marks = Marks(
                reserve=self.meter.reserve(self.prices, grace_s=self.offer.grace_s),
                exposure=self.burn(self.pod.replicas.max, settings.exposure_ns),
                low=self.burn(self.pod.least_replicas or 1, settings.runway_ns),
                a_tick=self.burn(self.pod.replicas.max, settings.tick_ns),
            )
        return self._marks

    def burn(self, replicas: int, for_ns: int) -> int:
        """What so many replicas and the volumes cost for so long, rounded up [token base units]."""
        if self._burns is None:
            self._burns = (
                burn(self.prices, manifest.pod_resources(self.pod)),
                burn(self.prices, manifest.volume_resources(self.pod)),
            )
        a_ms = self._burns[0] * replicas + self._burns[1]
        return -(-a_ms * for_ns // (COST_SCALE * NS_PER_MS))

    def to_record(self) -> dict[str, Any]:
        """The stored form; what seldom changes is written once and shared between records."""
        if self._fixed is None:
            written = self._written
            self._fixed = {
                "key": self.key.to_record(),
                "offer": written.of("offer", self.offer, Offer.to_record),
                "offer_signature": self.offer_signature.hex(),
                "prices": written.of("prices", self.prices, PriceTable.to_record),
                "pod": written.of("pod", self.pod, _stored_pod),
                "images": written.of("images", self.images, _stored_images),
                "todo": [a.to_record() for a in self.todo],
                "endpoints": [[e.multiaddr, e.container, e.port] for e in self.endpoints],
            }
        return {
            "fixed": self._fixed,
            "life": self.life,
            "namespace": self.namespace,
            "version": self.version,
            "meter": self.meter.to_record(),
            "accepted_ns": self.accepted_ns,
            "phase": self.phase,  # a Phase is its text
            "reason": self.reason,
            "since_ns": self.since_ns,
            "seen_ns": self.seen_ns,
            "unlock_time_s": self.unlock_time_s,
            "invested": self.invested,
            "withdrawn": self.withdrawn,
            "owed": self.owed,
            "claimed_ns": self.claimed_ns,
            "statement_seq": self.statement_seq,
            "statement_digest": self.statement_digest.hex(),
            "stated_ns": self.stated_ns,
            "settled": self.settled,
        }

    @classmethod
    def from_record(cls, record: Record) -> HostedPod:
        """The pod of a stored form."""
        fixed = record["fixed"]
        return cls(
            key=ChannelKey.from_record(fixed["key"]),
            life=record["life"],
            namespace=record["namespace"],
            offer=Offer.from_record(fixed["offer"]),
            offer_signature=bytes.fromhex(fixed["offer_signature"]),
            prices=PriceTable.from_record(fixed["prices"]),
            pod=_pod(fixed["pod"]),
            images=tuple(PublishedImage.from_record(i) for i in fixed["images"]),
            version=record["version"],
            meter=Meter.from_record(record["meter"]),
            accepted_ns=record["accepted_ns"],
            phase=Phase(record["phase"]),
            reason=record["reason"],
            since_ns=record["since_ns"],
            seen_ns=record["seen_ns"],
            unlock_time_s=record["unlock_time_s"],
            invested=record["invested"],
            withdrawn=record["withdrawn"],
            owed=record["owed"],
            claimed_ns=record["claimed_ns"],
            statement_seq=record["statement_seq"],
            statement_digest=bytes.fromhex(record["statement_digest"]),
            stated_ns=record["stated_ns"],
            settled=record["settled"],
            todo=tuple(Ask.from_record(a) for a in fixed["todo"]),
            endpoints=tuple(Endpoint(*e) for e in fixed["endpoints"]),
        )


def _stored_images(images: tuple[PublishedImage, ...]) -> list[dict[str, Any]]:
    return [image.to_record() for image in images]


def _stored_pod(pod: Pod) -> str:
    return wire.dump(manifest.to_wire(pod)).hex()


def _pod(stored: str) -> Pod:
    return manifest.from_wire(wire.parse(wire.pb.Pod, bytes.fromhex(stored)))
