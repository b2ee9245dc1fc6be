"""The provider's record: what the registry points to by content id, signed with the provider's keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from protocol import wire
from protocol.agreement import amounts, quantities
from protocol.attestation import Assurance
from protocol.auth import ProviderKeys, read_uint256
from protocol.errors import PeerFault
from protocol.keccak import keccak256
from protocol.ports import Peer
from protocol.signing import Scheme
from protocol.units import Address, PeerId, Resource

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from protocol.eip712 import Domain

KEPT: Final = 4096
"""Most records whose check is remembered; a check depends on nothing but its arguments."""


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """What a provider says of itself.

    Attributes:
        keys: its keys, as signed.
        peer: how to reach it.
        regions: such as `bul-east-1`.
        assurance: what it says is inside its boundary.
        evidence_kinds: what it can prove it with.
        extra_prices: reservation prices that the registry's five cannot hold [token base units a unit-second].
        largest: the most that one replica may reserve, by resource [base units]; a resource that is missing is
            not spoken of.
    """

    keys: ProviderKeys
    peer: Peer
    regions: tuple[str, ...]
    assurance: Assurance
    evidence_kinds: tuple[str, ...]
    extra_prices: Mapping[Resource, int]
    largest: Mapping[Resource, int]

    def has_room_for(self, replica: Mapping[Resource, int]) -> bool:
        """Whether one replica could ever be placed, going by what the provider says of itself."""
        return all(amount <= self.largest.get(resource, amount) for resource, amount in replica.items())

    @property
    def prices_gpus(self) -> bool:
        """Whether GPUs are on offer."""
        return Resource.GPU in self.extra_prices

    @property
    def name(self) -> str:
        """What people call it: its peer id."""
        return self.peer.peer_id


def write_record(record: ProviderRecord, signature: bytes) -> bytes:
    """The bytes to publish; `signature` is the provider's, of the keys' digest."""
    host = wire.pb.HostInfo(multiaddrs=record.peer.multiaddrs)
    for region in record.regions:
        name, zone, num = region.rsplit("-", 2)
        host.regions.add(name=name, zone=zone, num=int(num))
    message = wire.pb.ProviderRecord(
        keys=record.keys.to_wire(),
        signature=signature,
        host=host,
        peerId=record.peer.peer_id,
        assurance=record.assurance.name.lower(),
        evidenceKinds=record.evidence_kinds,
        largestReplica=quantities(record.largest),
    )
    for resource, price in sorted(record.extra_prices.items()):
        message.extraPrices.add(resource=resource.value, usage=False, price=price.to_bytes(32, "big"))
    return wire.dump(message)


def read_record(content: bytes, provider: Address, domain: Domain, scheme: Scheme) -> ProviderRecord:
    """Read a record and hold it to its signature.

    Args:
        content: the published bytes.
        provider: who must have signed it: the registry's entry.
        domain: the Registry contract's EIP-712 domain.
        scheme: how signatures are read.

    Raises:
        PeerFault: `MalformedMessage`, `KeysNotSignedByProvider` or `PeerIdDiffers`.
    """
    return _read(content, provider, domain, cast("Hashable", scheme))


@lru_cache(maxsize=KEPT)
def _read(content: bytes, provider: Address, domain: Domain, scheme: Hashable) -> ProviderRecord:
    assert isinstance(scheme, Scheme)
    message = wire.parse(wire.pb.ProviderRecord, content)
    keys = ProviderKeys.from_wire(message.keys)
    if keys.provider != provider or scheme.recover(keys.digest(domain), message.signature) != provider:
        raise PeerFault(
            "KeysNotSignedByProvider", f"the record of 0x{provider.hex()} has keys that it did not sign"
        )
    if keccak256(message.peerId.encode()) != keys.peer_id_hash:
        raise PeerFault("PeerIdDiffers", f"{message.peerId[:80]!r} is not the peer id in the signed keys")
    try:
        extras = {
            Resource(p.resource): read_uint256("price", p.price) for p in message.extraPrices if not p.usage
        }
        assurance = Assurance.of(message.assurance)
    except ValueError as exc:
        raise PeerFault("MalformedMessage", f"ProviderRecord: {exc}") from exc
    return ProviderRecord(
        keys=keys,
        peer=Peer(PeerId(message.peerId), tuple(message.host.multiaddrs)),
        regions=tuple(f"{r.name}-{r.zone}-{r.num}" for r in message.host.regions),
        assurance=assurance,
        evidence_kinds=tuple(message.evidenceKinds),
        extra_prices=extras,
        largest=amounts(message.largestReplica),
    )
