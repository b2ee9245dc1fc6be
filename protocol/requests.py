"""What a provider checks of a call before it looks at what is asked.

Three steps, in this order: `authenticate` (whose call, for us, now, of this body), `bind` or
`bind_payment` (of the pod, life and channel that it says it is about), and `RequestLog.check` (was it
answered already; is it newer than the last). Only then is the call carried out, and what it changed is
journalled together with its answer (`RequestLog.record`), so that repeating a call is always safe.

Calls that change nothing (`wire.MUTATIONS` lists those that do) are not kept: answering again is safe.
Neither are refused ones: asked again, they are judged again. So a stranger can fill no memory, and what
is kept is bounded by what was paid for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocol.auth import Request
from protocol.errors import PeerFault, Refusal
from protocol.keccak import keccak256
from protocol.signing import Scheme
from protocol.units import NS_PER_MS, NS_PER_S, Address, PodId
from protocol.wire import trusted_pods_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from protocol.eip712 import Domain

MAX_LIFETIME_S: Final = 60
"""Furthest ahead that a request may expire [s]."""

CLOCK_SKEW_S: Final = 30
"""How far a publisher's clock may be from ours, either way [s]."""

KEPT_S: Final = 24 * 3600
"""How long an answer is kept after it was given [s]."""

MAX_KEPT: Final = 100_000
"""Most answers kept. More is refused, since forgetting one early would let its call happen twice."""

MAX_KEPT_A_POD: Final = 1_000
"""Most answers kept for one pod: a mutation every 86 s for a day."""


# ---------------------------------------------------------------- whose call is it


def authenticate(
    envelope: pb.Envelope, *, method: str, provider: Address, domain: Domain, scheme: Scheme, now_ns: int
) -> Request:
    """The Request of a call that is its publisher's, for us, for this protocol, of this body, and in time.

    Args:
        envelope: as received.
        method: name of the protocol that it came by.
        provider: our own address.
        domain: the chain and Payment contract that we serve.
        scheme: how signatures are read.
        now_ns: our clock.

    Raises:
        Refusal: `RequestMissing`, `MalformedMessage`, `RequestWrongMethod`, `RequestWrongProvider`,
            `RequestWrongBody`, `RequestNotYetValid`, `RequestExpired`, `BadSignature` or
            `RequestNotSignedByPublisher`. Another chain or contract has another digest, so such a request
            is `RequestNotSignedByPublisher` too.
    """
    if not envelope.HasField("request"):
        raise Refusal("RequestMissing", "the envelope has no request")
    try:
        request = Request.from_wire(envelope.request)
        if request.method != method:
            raise Refusal("RequestWrongMethod", f"signed for {request.method!r}; this is {method!r}")
        if request.provider != provider:
            raise Refusal(
                "RequestWrongProvider", f"signed for 0x{request.provider.hex()}; this is 0x{provider.hex()}"
            )
        if request.body_hash != keccak256(envelope.body):
            raise Refusal(
                "RequestWrongBody",
                f"the hash of the {len(envelope.body)} bytes received is not the signed one",
            )
        _check_time(request.expires_at_s, now_ns)
        signer = scheme.recover(request.digest(domain), envelope.signature)
    except PeerFault as fault:
        raise Refusal(fault.rule, fault.detail) from fault
    if signer != request.publisher:
        raise Refusal(
            "RequestNotSignedByPublisher",
            f"signed by 0x{signer.hex()} on chain {domain.chain_id} for contract 0x{domain.contract.hex()}; "
            f"it names 0x{request.publisher.hex()}",
        )
    return request


def _check_time(expires_at_s: int, now_ns: int) -> None:
    """Raise unless the request, by a clock that is at most `CLOCK_SKEW_S` from ours, is good now."""
    expires_ns = expires_at_s * NS_PER_S
    time = f"it expires at {expires_at_s} s; the provider's time is {now_ns // NS_PER_MS} ms"
    if now_ns > expires_ns + CLOCK_SKEW_S * NS_PER_S:
        raise Refusal("RequestExpired", time)
    if expires_ns > now_ns + (MAX_LIFETIME_S + CLOCK_SKEW_S) * NS_PER_S:
        raise Refusal("RequestNotYetValid", f"{time}; at most {MAX_LIFETIME_S} s ahead")


def bind(request: Request, *, publisher: Address, pod_id: PodId, life: int) -> None:
    """Raise unless the request is about this channel: `RequestWrongPublisher`, `RequestWrongPod`, `RequestWrongLife`."""
    if request.publisher != publisher:
        raise Refusal(
            "RequestWrongPublisher", f"0x{request.publisher.hex()}; the pod's is 0x{publisher.hex()}"
        )
    if request.pod_id != pod_id:
        raise Refusal("RequestWrongPod", f"0x{request.pod_id.hex()}; expected 0x{pod_id.hex()}")
    if request.life != life:
        raise Refusal("RequestWrongLife", f"life {request.life}; the channel's is {life}")


def bind_payment(request: Request, payment: pb.PaymentChannel, domain: Domain) -> None:
    """Raise unless the channel that a provision names is the one its request was signed for.

    Raises:
        Refusal: `PaymentWrongChain`, `PaymentWrongContract`, `PaymentWrongPublisher`,
            `PaymentWrongProvider` or `PaymentWrongPod`.
    """
    chain_id = payment.chainID.lstrip(b"\0")
    for rule, named, expected in (
        ("PaymentWrongChain", chain_id, domain.chain_id.to_bytes(32, "big").lstrip(b"\0")),
        ("PaymentWrongContract", payment.contractAddress, domain.contract),
        ("PaymentWrongPublisher", payment.publisherAddress, request.publisher),
        ("PaymentWrongProvider", payment.providerAddress, request.provider),
        ("PaymentWrongPod", payment.podID, request.pod_id),
    ):
        if named != expected:
            raise Refusal(rule, f"the payment names 0x{named.hex()}; expected 0x{expected.hex()}")


def payment_channel(
    domain: Domain, publisher: Address, provider: Address, pod_id: PodId
) -> pb.PaymentChannel:
    """The message that `bind_payment` accepts, and that annotates the pod's namespace."""
    return pb.PaymentChannel(
        chainID=domain.chain_id.to_bytes(32, "big"),
        contractAddress=domain.contract,
        publisherAddress=publisher,
        providerAddress=provider,
        podID=pod_id,
    )


# ---------------------------------------------------------------- refusals on the wire


def refusal_message(refusal: Refusal, now_ns: int) -> pb.Refusal:
    """What an answer carries when it refuses; it always says the provider's time."""
    return pb.Refusal(rule=refusal.rule, detail=refusal.detail, providerTimeMs=now_ns // NS_PER_MS)


# ---------------------------------------------------------------- was it answered


@dataclass(frozen=True, slots=True)
class Fresh:
    """The call was not answered yet: carry it out, then `record` it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The call was answered: send `answer` (the bytes of the response) again, and do nothing."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A mutation that was carried out, as it is kept.

    Attributes:
        publisher, request_id: the key.
        pod_id, life, seq, method, body_hash: what was asked.
        answer: the bytes of the response.
        at_ns: when.
    """

    publisher: Address
    request_id: bytes
    pod_id: PodId
    life: int
    seq: int
    method: str
    body_hash: bytes
    answer: bytes
    at_ns: int

    @property
    def key(self) -> str:
        """A name for the store, unique among what is kept."""
        return f"{self.publisher.hex()}-{self.request_id.hex()}"

    def to_record(self) -> dict[str, Any]:
        """The stored form: JSON values, bytes in hex."""
        return {
            "publisher": self.publisher.hex(),
            "request_id": self.request_id.hex(),
            "pod_id": self.pod_id.hex(),
            "life": self.life,
            "seq": self.seq,
            "method": self.method,
            "body_hash": self.body_hash.hex(),
            "answer": self.answer.hex(),
            "at_ns": self.at_ns,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Answered:
        """The entry of a stored form."""
        return cls(
            publisher=Address(bytes.fromhex(record["publisher"])),
            request_id=bytes.fromhex(record["request_id"]),
            pod_id=PodId(bytes.fromhex(record["pod_id"])),
            life=record["life"],
            seq=record["seq"],
            method=record["method"],
            body_hash=bytes.fromhex(record["body_hash"]),
            answer=bytes.fromhex(record["answer"]),
            at_ns=record["at_ns"],
        )


class RequestLog:
    """The mutations that were carried out in the last day, and the newest `seq` of each pod.

    The newest entry of a pod is kept for as long as the pod lives, so that a `seq` never counts twice; all
    others for `KEPT_S`. `prune` drops the rest.

    Args:
        max_kept: most entries, all pods together.
        max_kept_a_pod: most entries of one pod.
    """

    __slots__ = ("_entries", "_max_kept", "_max_kept_a_pod", "_pods")

    def __init__(self, *, max_kept: int = MAX_KEPT, max_kept_a_pod: int = MAX_KEPT_A_POD) -> None:
        self._entries: dict[tuple[Address, bytes], Answered] = {}
        # Of each pod its entries, the newest (highest life and seq) last: `record` takes only higher ones.
        self._pods: dict[tuple[Address, PodId], list[Answered]] = {}
        self._max_kept = max_kept
        self._max_kept_a_pod = max_kept_a_pod

    def __len__(self) -> int:
        """How many entries are kept."""
        return len(self._entries)

    def check(self, request: Request) -> Fresh | Known:
        """Whether this authenticated mutation was answered, and if not, whether it may be carried out.

        Changes nothing. A life counts before a sequence: life 2, seq 1 is newer than life 1, seq 9.

        Raises:
            Refusal: `RequestIdReused` (the id is known, with another method, pod, life, sequence or
                body), `SequenceTooLow` (not higher than the newest of the pod), or `TooManyRequests`
                (no more can be kept today).
        """
        known = self._entries.get((request.publisher, request.request_id))
        if known is not None:
            asked = (request.pod_id, request.life, request.seq, request.method, request.body_hash)
            if asked != (known.pod_id, known.life, known.seq, known.method, known.body_hash):
                raise Refusal(
                    "RequestIdReused",
                    f"{request.request_id.hex()} was {known.method}, life {known.life}, seq {known.seq}, "
                    f"of the body {known.body_hash.hex()}",
                )
            return Known(known.answer)
        of_pod = self._pods.get((request.publisher, request.pod_id), [])
        if of_pod and (request.life, request.seq) <= (of_pod[-1].life, of_pod[-1].seq):
            raise Refusal(
                "SequenceTooLow",
                f"life {request.life}, seq {request.seq}; the newest is life {of_pod[-1].life}, seq {of_pod[-1].seq}",
            )
        if len(of_pod) >= self._max_kept_a_pod:
            raise Refusal(
                "TooManyRequests", f"{len(of_pod)} of this pod in a day; at most {self._max_kept_a_pod}"
            )
        if len(self._entries) >= self._max_kept:
            raise Refusal("TooManyRequests", f"{len(self._entries)} in a day; at most {self._max_kept}")
        return Fresh()

    def record(self, request: Request, answer: bytes, now_ns: int) -> Answered:
        """Keep what was answered; the caller commits the entry together with what the call changed.

        Raises:
            Refusal: as `check`; or ValueError when the request is known already (`check` was not asked).
        """
        if isinstance(self.check(request), Known):
            raise ValueError(f"request {request.request_id.hex()} was recorded before")
        entry = Answered(
            publisher=request.publisher,
            request_id=request.request_id,
            pod_id=request.pod_id,
            life=request.life,
            seq=request.seq,
            method=request.method,
            body_hash=request.body_hash,
            answer=answer,
            at_ns=now_ns,
        )
        self._add(entry)
        return entry

    def prune(self, now_ns: int, living: Container[tuple[Address, PodId]]) -> list[str]:
        """Drop what is older than `KEPT_S`, save the newest of each pod that lives.

        Reads every entry: not meant for each call.

        Args:
            now_ns: our clock.
            living: publisher and id of the pods that have not ended.

        Returns:
            The dropped entries' keys, for the store.
        """
        horizon_ns = now_ns - KEPT_S * NS_PER_S
        dropped: list[str] = []
        for pod, entries in list(self._pods.items()):
            newest = entries[-1] if pod in living else None
            kept = []
            for entry in entries:
                if entry.at_ns >= horizon_ns or entry is newest:
                    kept.append(entry)
                else:
                    dropped.append(self._remove(entry))
            if kept:
                self._pods[pod] = kept
            else:
                del self._pods[pod]
        return dropped

    @classmethod
    def restore(
        cls, entries: Iterable[Answered], *, max_kept: int = MAX_KEPT, max_kept_a_pod: int = MAX_KEPT_A_POD
    ) -> RequestLog:
        """The log of entries that were committed one by one, in any order."""
        log = cls(max_kept=max_kept, max_kept_a_pod=max_kept_a_pod)
        for entry in sorted(entries, key=lambda e: (e.life, e.seq)):
            log._add(entry)
        return log

    def _add(self, entry: Answered) -> None:
        self._entries[entry.publisher, entry.request_id] = entry
        self._pods.setdefault((entry.publisher, entry.pod_id), []).append(entry)

    def _remove(self, entry: Answered) -> str:
        del self._entries[entry.publisher, entry.request_id]
        return entry.key
