"""How digests are signed and signers found.

Signatures are 65 bytes `r ‖ s ‖ v`, s in the lower half, v 27 or 28, of externally owned accounts. So
a signature has one form, and nobody can make a second valid one out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from coincurve import PrivateKey, PublicKey

from protocol.eip712 import check_bytes
from protocol.errors import PeerFault
from protocol.keccak import keccak256
from protocol.units import Address

SIGNATURE_BYTES: Final = 65

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1 (SEC 2, section 2.4.1)."""


@runtime_checkable
class Scheme(Protocol):
    """How digests are signed and signers found. `SECP256K1` is the real one; a simulation may bring another.

    Every scheme's signatures have `SIGNATURE_BYTES` bytes, so that messages have the same size under each.
    """

    def sign(self, digest: bytes, private_key: bytes) -> bytes:
        """Sign 32 bytes with a 32-byte private key: 65 bytes, the same each time.

        Raises:
            ValueError: the digest or the key cannot be one.
        """
        ...

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """Whose signature this is. Any signature has a signer: compare it with who should have signed.

        Raises:
            PeerFault: `BadSignature`; the bytes are no signature of this digest.
        """
        ...


@dataclass(frozen=True, slots=True)
class Secp256k1:
    """`Scheme` of Ethereum accounts."""

    def sign(self, digest: bytes, private_key: bytes) -> bytes:
        """Sign 32 bytes: 65 bytes, low s, v 27 or 28; deterministic (RFC 6979).

        Raises:
            ValueError: the digest has not 32 bytes, or the key is not in [1, order).
        """
        check_bytes("digest", digest, 32)
        check_bytes("private_key", private_key, 32)
        signature = PrivateKey(private_key).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """The address whose key signed `digest`.

        Raises:
            PeerFault: `BadSignature`; not 65 bytes, v neither 27 nor 28, s in the upper half, r or s zero
                or not below the order, or no point of the curve belongs to it.
        """
        check_bytes("digest", digest, 32)
        if len(signature) != SIGNATURE_BYTES:
            raise PeerFault("BadSignature", f"{len(signature)} bytes; a signature has {SIGNATURE_BYTES}")
        v = signature[64]
        if v not in (27, 28):
            raise PeerFault("BadSignature", f"v is {v}; allowed: 27, 28")
        s = int.from_bytes(signature[32:64], "big")
        if not 0 < s <= _ORDER // 2:
            raise PeerFault("BadSignature", f"s is {s:#x}; allowed: 1 to half the order")
        try:
            key = PublicKey.from_signature_and_message(signature[:64] + bytes([v - 27]), digest, hasher=None)
        except ValueError as exc:
            raise PeerFault("BadSignature", f"no key belongs to {signature.hex()}: {exc}") from exc
        return _address(key)


SECP256K1: Final[Scheme] = Secp256k1()


def address_of(private_key: bytes) -> Address:
    """The address of a 32-byte private key.

    Raises:
        ValueError: the key has not 32 bytes or is not in [1, order).
    """
    check_bytes("private_key", private_key, 32)
    return _address(PublicKey.from_secret(private_key))


def _address(key: PublicKey) -> Address:
    return Address(keccak256(key.format(compressed=False)[1:])[12:])
