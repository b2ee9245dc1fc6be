"""Counted cryptography: transparent signatures and seals of the real ones' sizes, for large simulations.

NEVER FOR LIVE USE. Anybody who knows an address can sign as it, and anybody can read a seal: nothing here
is secret or hard. What they keep is what a simulation is about: every message has the size it has with
real cryptography, every signature and seal is made and checked at the same places, and one that was
tampered with, or is of another key or another context, is refused under the same rule. So the ledger and
the bytes on the network are the same, and only the time it takes is not.

The seams are `protocol.signing.Scheme` and `protocol.sealing.Sealer`; nothing in `protocol` knows of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from protocol import signing
from protocol.eip712 import check_bytes
from protocol.errors import PeerFault
from protocol.sealing import ENC_BYTES, HPKE, OVERHEAD_BYTES, TAG_BYTES, Sealer
from protocol.signing import SIGNATURE_BYTES, Scheme
from protocol.units import Address

_FILLER: Final = b"\xc0" * (SIGNATURE_BYTES - 20 - 32)
_ENC: Final = b"\xc0" * ENC_BYTES

# Deriving a public key costs as much as what is saved here, and a simulation has few keys.
address_of = lru_cache(maxsize=65536)(signing.address_of)
_public_key = lru_cache(maxsize=65536)(HPKE.public_key)


@dataclass(frozen=True, slots=True)
class CountedScheme:
    """`Scheme` whose signature is the signer's address, the digest, and a filler. Never for live use."""

    def sign(self, digest: bytes, private_key: bytes) -> bytes:
        """See `Scheme.sign`."""
        check_bytes("digest", digest, 32)
        return address_of(private_key) + digest + _FILLER

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """See `Scheme.recover`."""
        check_bytes("digest", digest, 32)
        if len(signature) != SIGNATURE_BYTES:
            raise PeerFault("BadSignature", f"{len(signature)} bytes; a signature has {SIGNATURE_BYTES}")
        if signature[20:] != digest + _FILLER:
            raise PeerFault("BadSignature", "a counted signature of another digest, or changed on the way")
        return Address(signature[:20])


@dataclass(frozen=True, slots=True)
class CountedSealer:
    """`Sealer` whose seal is a filler, the plaintext, and a check over key, context and plaintext. Never for live use."""

    def public_key(self, private_key: bytes) -> bytes:
        """See `Sealer.public_key`; the real one, so that keys may be shared with real seals."""
        return _public_key(private_key)

    def seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """See `Sealer.seal`."""
        if len(public_key) != ENC_BYTES:
            raise PeerFault(
                "BadHpkeKey", f"{public_key.hex()}: {len(public_key)} bytes; it must have {ENC_BYTES}"
            )
        return _ENC + plaintext + _check(public_key, info, plaintext)

    def open_(self, private_key: bytes, info: bytes, blob: bytes) -> bytes:
        """See `Sealer.open_`."""
        plaintext = blob[ENC_BYTES : len(blob) - TAG_BYTES]
        if (
            len(blob) < OVERHEAD_BYTES
            or blob[:ENC_BYTES] != _ENC
            or blob[len(blob) - TAG_BYTES :] != _check(_public_key(private_key), info, plaintext)
        ):
            raise PeerFault("SealBroken", f"{len(blob)} bytes do not open with our key for this pod and life")
        return plaintext


def _check(public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
    """16 bytes over all three, each delimited by the length before it."""
    state = blake2b(digest_size=TAG_BYTES)
    state.update(public_key + len(info).to_bytes(8, "big") + info)
    state.update(plaintext)
    return state.digest()


COUNTED_SCHEME: Final = CountedScheme()
COUNTED_SEALER: Final = CountedSealer()

if TYPE_CHECKING:
    _is_a_scheme: type[Scheme] = CountedScheme
    _is_a_sealer: type[Sealer] = CountedSealer
