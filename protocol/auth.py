"""What the parties sign: `Request`, `Offer`, `Usage`, `ProviderKeys`.

Each structure has `digest(domain)`, the 32 bytes that are signed (EIP-712), and a wire form
(`to_wire`, `from_wire`). A structure that was made here with a value out of range is a bug
(`ValueError`); one that came from a peer is the peer's (`PeerFault('MalformedMessage')`). How a digest
is signed and its signer found is `signing`'s; what a provider checks of a `Request`, `requests`'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from protocol import eip712
from protocol.eip712 import (
    Domain,
    address_word,
    bool_word,
    check_bytes,
    check_uint,
    hash_struct,
    string_word,
    uint_word,
)
from protocol.errors import PeerFault
from protocol.units import Address, PodId
from protocol.wire import dump, parse
from protocol.wire import trusted_pods_pb2 as pb


@dataclass(frozen=True, slots=True)
class Request:
    """What a publisher signs with every call.

    Attributes:
        method: the protocol's name, one of `wire.PROTOCOLS`.
        publisher, provider: who calls, and whom.
        pod_id: the pod it is about.
        life: the channel's life, from 1; 0 where there is no channel yet.
        seq: grows with each mutation of the pod.
        request_id: 32 random bytes; the same when the call is repeated.
        body_hash: keccak256 of the body's bytes.
        expires_at_s: until when it is good, that instant included [Unix s].
    """

    TYPE: ClassVar[str] = (
        "Request(string method,address publisher,address provider,bytes32 podId,uint64 life,uint64 seq,"
        "bytes32 requestId,bytes32 bodyHash,uint64 expiresAt)"
    )

    method: str
    publisher: Address
    provider: Address
    pod_id: PodId
    life: int
    seq: int
    request_id: bytes
    body_hash: bytes
    expires_at_s: int

    def __post_init__(self) -> None:
        check_bytes("publisher", self.publisher, 20)
        check_bytes("provider", self.provider, 20)
        check_bytes("pod_id", self.pod_id, 32)
        check_uint("life", self.life, 64)
        check_uint("seq", self.seq, 64)
        check_bytes("request_id", self.request_id, 32)
        check_bytes("body_hash", self.body_hash, 32)
        check_uint("expires_at_s", self.expires_at_s, 64)

    def digest(self, domain: Domain) -> bytes:
        """The 32 bytes to sign, in the Payment contract's domain."""
        return eip712.digest(
            domain,
            hash_struct(
                _REQUEST_TYPE,
                string_word(self.method),
                address_word(self.publisher),
                address_word(self.provider),
                self.pod_id,
                uint_word(self.life),
                uint_word(self.seq),
                self.request_id,
                self.body_hash,
                uint_word(self.expires_at_s),
            ),
        )

    def to_wire(self) -> pb.Request:
        """The message."""
        return pb.Request(
            method=self.method,
            publisher=self.publisher,
            provider=self.provider,
            podId=self.pod_id,
            life=self.life,
            seq=self.seq,
            requestId=self.request_id,
            bodyHash=self.body_hash,
            expiresAt=self.expires_at_s,
        )

    @classmethod
    def from_wire(cls, message: pb.Request) -> Request:
        """The structure of a message; PeerFault `MalformedMessage` when a field has not its size."""
        try:
            return cls(
                method=message.method,
                publisher=Address(message.publisher),
                provider=Address(message.provider),
                pod_id=PodId(message.podId),
                life=message.life,
                seq=message.seq,
                request_id=message.requestId,
                body_hash=message.bodyHash,
                expires_at_s=message.expiresAt,
            )
        except ValueError as exc:
            raise _malformed("Request", exc) from exc


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider promises, before any deposit: prices, terms, and the keys to seal for.

    Attributes:
        publisher, provider, pod_id: for whom, by whom, for which pod.
        capacity_hash: keccak256 of the body of the capacity call.
        token: the payment token.
        table_id: id of the pricing table in the registry, uint256.
        prices_hash: keccak256 of the bytes of the PriceList (`CapacityResponse.prices`).
        min_unlock_s: least unlock time of the channel [s].
        min_deposit: least first deposit [token base units].
        grace_s: how long volumes are kept after the funds are gone [s].
        keys_hash: digest of the provider's `ProviderKeys`.
        expires_at_s: until when it can be taken, that instant included [Unix s].
    """

    TYPE: ClassVar[str] = (
        "Offer(address publisher,address provider,bytes32 podId,bytes32 capacityHash,address token,uint256 tableId,"
        "bytes32 pricesHash,uint64 minUnlockTime,uint256 minDeposit,uint64 graceSeconds,bytes32 keysHash,uint64 expiresAt)"
    )

    publisher: Address
    provider: Address
    pod_id: PodId
    capacity_hash: bytes
    token: Address
    table_id: int
    prices_hash: bytes
    min_unlock_s: int
    min_deposit: int
    grace_s: int
    keys_hash: bytes
    expires_at_s: int

    def __post_init__(self) -> None:
        check_bytes("publisher", self.publisher, 20)
        check_bytes("provider", self.provider, 20)
        check_bytes("pod_id", self.pod_id, 32)
        check_bytes("capacity_hash", self.capacity_hash, 32)
        check_bytes("token", self.token, 20)
        check_uint("table_id", self.table_id, 256)
        check_bytes("prices_hash", self.prices_hash, 32)
        check_uint("min_unlock_s", self.min_unlock_s, 64)
        check_uint("min_deposit", self.min_deposit, 256)
        check_uint("grace_s", self.grace_s, 64)
        check_bytes("keys_hash", self.keys_hash, 32)
        check_uint("expires_at_s", self.expires_at_s, 64)

    def digest(self, domain: Domain) -> bytes:
        """The 32 bytes to sign, in the Payment contract's domain."""
        return eip712.digest(
            domain,
            hash_struct(
                _OFFER_TYPE,
                address_word(self.publisher),
                address_word(self.provider),
                self.pod_id,
                self.capacity_hash,
                address_word(self.token),
                uint_word(self.table_id),
                self.prices_hash,
                uint_word(self.min_unlock_s),
                uint_word(self.min_deposit),
                uint_word(self.grace_s),
                self.keys_hash,
                uint_word(self.expires_at_s),
            ),
        )

    def to_wire(self) -> pb.Offer:
        """The message."""
        return pb.Offer(
            publisher=self.publisher,
            provider=self.provider,
            podId=self.pod_id,
            capacityHash=self.capacity_hash,
            token=self.token,
            tableId=uint_word(self.table_id),
            pricesHash=self.prices_hash,
            minUnlockTime=self.min_unlock_s,
            minDeposit=uint_word(self.min_deposit),
            graceSeconds=self.grace_s,
            keysHash=self.keys_hash,
            expiresAt=self.expires_at_s,
        )

    @classmethod
    def from_wire(cls, message: pb.Offer) -> Offer:
        """The structure of a message; PeerFault `MalformedMessage` when a field has not its size."""
        try:
            return cls(
                publisher=Address(message.publisher),
                provider=Address(message.provider),
                pod_id=PodId(message.podId),
                capacity_hash=message.capacityHash,
                token=Address(message.token),
                table_id=read_uint256("tableId", message.tableId),
                prices_hash=message.pricesHash,
                min_unlock_s=message.minUnlockTime,
                min_deposit=read_uint256("minDeposit", message.minDeposit),
                grace_s=message.graceSeconds,
                keys_hash=message.keysHash,
                expires_at_s=message.expiresAt,
            )
        except ValueError as exc:
            raise _malformed("Offer", exc) from exc

    def to_record(self) -> str:
        """The stored form: the message's bytes in hex."""
        return dump(self.to_wire()).hex()

    @classmethod
    def from_record(cls, record: str) -> Offer:
        """The structure of a stored form."""
        return cls.from_wire(parse(pb.Offer, bytes.fromhex(record)))


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of one resource, since the life began.

    Attributes:
        resource: its name, such as `cpu`.
        usage: True for what was consumed, False for what was reserved.
        quantity: in the resource's base unit, times milliseconds for a reservation; uint256.
    """

    TYPE: ClassVar[str] = "Amount(string resource,bool usage,uint256 quantity)"

    resource: str
    usage: bool
    quantity: int

    def __post_init__(self) -> None:
        check_uint("quantity", self.quantity, 256)

    def struct_hash(self) -> bytes:
        """The member's hash inside `Usage`."""
        return hash_struct(
            _AMOUNT_TYPE, string_word(self.resource), bool_word(self.usage), uint_word(self.quantity)
        )

    def to_wire(self) -> pb.Amount:
        """The message."""
        return pb.Amount(resource=self.resource, usage=self.usage, quantity=uint_word(self.quantity))

    @classmethod
    def from_wire(cls, message: pb.Amount) -> Amount:
        """The structure of a message; PeerFault `MalformedMessage` when the quantity is too long."""
        try:
            return cls(message.resource, message.usage, read_uint256("quantity", message.quantity))
        except ValueError as exc:
            raise _malformed("Amount", exc) from exc


@dataclass(frozen=True, slots=True)
class Usage:
    """A provider's bill: what a pod used in its life so far, chained to the bill before.

    Attributes:
        publisher, provider, pod_id, life: the channel.
        seq: 1 for a life's first bill, one more each.
        from_ms, to_ms: what this bill adds [Unix ms].
        cumulative: all usage of the life so far.
        owed: for all of it [token base units].
        previous: digest of the bill before; 32 zero bytes for the first.
    """

    TYPE: ClassVar[str] = (
        "Usage(address publisher,address provider,bytes32 podId,uint64 life,uint64 seq,uint64 fromMs,uint64 toMs,"
        "Amount[] cumulative,uint256 owed,bytes32 previous)" + Amount.TYPE
    )

    publisher: Address
    provider: Address
    pod_id: PodId
    life: int
    seq: int
    from_ms: int
    to_ms: int
    cumulative: tuple[Amount, ...]
    owed: int
    previous: bytes

    def __post_init__(self) -> None:
        check_bytes("publisher", self.publisher, 20)
        check_bytes("provider", self.provider, 20)
        check_bytes("pod_id", self.pod_id, 32)
        check_uint("life", self.life, 64)
        check_uint("seq", self.seq, 64)
        check_uint("from_ms", self.from_ms, 64)
        check_uint("to_ms", self.to_ms, 64)
        check_uint("owed", self.owed, 256)
        check_bytes("previous", self.previous, 32)

    def digest(self, domain: Domain) -> bytes:
        """The 32 bytes to sign, in the Payment contract's domain; the next bill's `previous`."""
        return eip712.digest(
            domain,
            hash_struct(
                _USAGE_TYPE,
                address_word(self.publisher),
                address_word(self.provider),
                self.pod_id,
                uint_word(self.life),
                uint_word(self.seq),
                uint_word(self.from_ms),
                uint_word(self.to_ms),
                eip712.array_word(amount.struct_hash() for amount in self.cumulative),
                uint_word(self.owed),
                self.previous,
            ),
        )

    def to_wire(self) -> pb.Usage:
        """The message."""
        return pb.Usage(
            publisher=self.publisher,
            provider=self.provider,
            podId=self.pod_id,
            life=self.life,
            seq=self.seq,
            fromMs=self.from_ms,
            toMs=self.to_ms,
            cumulative=[amount.to_wire() for amount in self.cumulative],
            owed=uint_word(self.owed),
            previous=self.previous,
        )

    @classmethod
    def from_wire(cls, message: pb.Usage) -> Usage:
        """The structure of a message; PeerFault `MalformedMessage` when a field has not its size."""
        try:
            return cls(
                publisher=Address(message.publisher),
                provider=Address(message.provider),
                pod_id=PodId(message.podId),
                life=message.life,
                seq=message.seq,
                from_ms=message.fromMs,
                to_ms=message.toMs,
                cumulative=tuple(Amount.from_wire(amount) for amount in message.cumulative),
                owed=read_uint256("owed", message.owed),
                previous=message.previous,
            )
        except ValueError as exc:
            raise _malformed("Usage", exc) from exc

    def to_record(self) -> str:
        """The stored form: the message, in hex."""
        return dump(self.to_wire()).hex()

    @classmethod
    def from_record(cls, record: str) -> Usage:
        """The structure of a stored form."""
        return cls.from_wire(parse(pb.Usage, bytes.fromhex(record)))


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """The keys a provider answers with; its digest is the `keysHash` that offers and seals are bound to.

    Attributes:
        provider: its address.
        peer_id_hash: keccak256 of its libp2p peer id.
        hpke_key: X25519 public key to seal for, 32 bytes.
        not_before_s, not_after_s: first and last second in which they are good [Unix s].
    """

    TYPE: ClassVar[str] = (
        "ProviderKeys(address provider,bytes32 peerIdHash,bytes32 hpkeKey,uint64 notBefore,uint64 notAfter)"
    )

    provider: Address
    peer_id_hash: bytes
    hpke_key: bytes
    not_before_s: int
    not_after_s: int

    def __post_init__(self) -> None:
        check_bytes("provider", self.provider, 20)
        check_bytes("peer_id_hash", self.peer_id_hash, 32)
        check_bytes("hpke_key", self.hpke_key, 32)
        check_uint("not_before_s", self.not_before_s, 64)
        check_uint("not_after_s", self.not_after_s, 64)

    def digest(self, domain: Domain) -> bytes:
        """The 32 bytes to sign, in the Registry contract's domain; this is `keysHash`."""
        return _keys_hash(self, domain)

    def to_wire(self) -> pb.ProviderKeys:
        """The message."""
        return pb.ProviderKeys(
            provider=self.provider,
            peerIdHash=self.peer_id_hash,
            hpkeKey=self.hpke_key,
            notBefore=self.not_before_s,
            notAfter=self.not_after_s,
        )

    @classmethod
    def from_wire(cls, message: pb.ProviderKeys) -> ProviderKeys:
        """The structure of a message; PeerFault `MalformedMessage` when a field has not its size."""
        try:
            return cls(
                provider=Address(message.provider),
                peer_id_hash=message.peerIdHash,
                hpke_key=message.hpkeKey,
                not_before_s=message.notBefore,
                not_after_s=message.notAfter,
            )
        except ValueError as exc:
            raise _malformed("ProviderKeys", exc) from exc


@lru_cache(maxsize=4096)
def _keys_hash(keys: ProviderKeys, domain: Domain) -> bytes:
    """See `ProviderKeys.digest`: every publisher that asks a provider works it out, more than once."""
    return eip712.digest(
        domain,
        hash_struct(
            _PROVIDER_KEYS_TYPE,
            address_word(keys.provider),
            keys.peer_id_hash,
            keys.hpke_key,
            uint_word(keys.not_before_s),
            uint_word(keys.not_after_s),
        ),
    )


def read_uint256(name: str, value: bytes) -> int:
    """A big-endian number of 0 to 32 bytes; ValueError when it is longer."""
    if len(value) > 32:
        raise ValueError(f"{name} has {len(value)} bytes; allowed: 0 to 32")
    return int.from_bytes(value, "big")


def _malformed(kind: str, exc: ValueError) -> PeerFault:
    return PeerFault("MalformedMessage", f"{kind}: {exc}")


_REQUEST_TYPE: Final = eip712.type_hash(Request.TYPE)
_OFFER_TYPE: Final = eip712.type_hash(Offer.TYPE)
_AMOUNT_TYPE: Final = eip712.type_hash(Amount.TYPE)
_USAGE_TYPE: Final = eip712.type_hash(Usage.TYPE)
_PROVIDER_KEYS_TYPE: Final = eip712.type_hash(ProviderKeys.TYPE)
