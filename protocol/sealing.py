"""Sealing: what only the provider may read, and the blobs that lie encrypted in the content store.

The bundle (the Pod with its environment, the keys of secrets and images, OCI manifests and configs) is
sealed with HPKE in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180). Base
mode says nothing of the sender: the signed Request does. The `info` string binds a seal to the keys,
chain, contract, publisher, pod and life it was made for, so a copied seal opens nowhere else.

Secrets are AES-256-GCM blobs; their key travels in the bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.eip712 import Domain, check_bytes, check_uint
from protocol.errors import PeerFault

if TYPE_CHECKING:
    from protocol.units import Address, PodId

ENC_BYTES: Final = 32
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = ENC_BYTES + TAG_BYTES
"""How much longer a seal is than its plaintext."""

NONCE_BYTES: Final = 12
SECRET_KEY_BYTES: Final = 32

BUNDLE_LABEL: Final = b"trusted-pods/bundle/1\0"

_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Sealer(Protocol):
    """How bundles are sealed. `HPKE` is the real one; a simulation may bring another with seals of the same size."""

    def public_key(self, private_key: bytes) -> bytes:
        """The 32-byte public key of a 32-byte private key."""
        ...

    def seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """Seal for the holder of `public_key`: `OVERHEAD_BYTES` more than the plaintext.

        Args:
            public_key: 32 bytes.
            info: what the seal is bound to (`bundle_info`).
            plaintext: any bytes.

        Raises:
            PeerFault: `BadHpkeKey`; nothing can be sealed for this key.
        """
        ...

    def open_(self, private_key: bytes, info: bytes, blob: bytes) -> bytes:
        """The plaintext.

        Raises:
            PeerFault: `SealBroken`; sealed for another key or another `info`, or changed on the way.
        """
        ...


@dataclass(frozen=True, slots=True)
class Hpke:
    """`Sealer` by RFC 9180. Each seal has a fresh ephemeral key, which the library draws itself."""

    def public_key(self, private_key: bytes) -> bytes:
        """See `Sealer.public_key`."""
        return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()

    def seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """See `Sealer.seal`."""
        try:
            return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key), info=info)
        except ValueError as exc:  # not 32 bytes, or a point of small order
            raise PeerFault("BadHpkeKey", f"{public_key.hex()}: {exc}") from exc

    def open_(self, private_key: bytes, info: bytes, blob: bytes) -> bytes:
        """See `Sealer.open_`."""
        key = X25519PrivateKey.from_private_bytes(private_key)
        try:
            return _SUITE.decrypt(blob, key, info=info)
        except InvalidTag as exc:  # also for an ephemeral key of small order, and for what is too short
            raise PeerFault(
                "SealBroken", f"{len(blob)} bytes do not open with our key for this pod and life"
            ) from exc


HPKE: Final[Sealer] = Hpke()


def seal(public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
    """`enc ‖ ct` by HPKE. See `Sealer.seal`."""
    return HPKE.seal(public_key, info, plaintext)


def open_(private_key: bytes, info: bytes, blob: bytes) -> bytes:
    """The plaintext of an HPKE seal. See `Sealer.open_`."""
    return HPKE.open_(private_key, info, blob)


def bundle_info(domain: Domain, keys_hash: bytes, publisher: Address, pod_id: PodId, life: int) -> bytes:
    """The `info` of a sealed bundle, 166 bytes.

    Args:
        domain: the chain and the Payment contract.
        keys_hash: digest of the provider's keys (`ProviderKeys.digest`).
        publisher: 20 bytes.
        pod_id: 32 bytes.
        life: the channel's life, uint64.
    """
    check_bytes("keys_hash", keys_hash, 32)
    check_bytes("publisher", publisher, 20)
    check_bytes("pod_id", pod_id, 32)
    check_uint("life", life, 64)
    return b"".join(
        (
            BUNDLE_LABEL,
            keys_hash,
            domain.chain_id.to_bytes(32, "big"),
            domain.contract,
            publisher,
            pod_id,
            life.to_bytes(8, "big"),
        )
    )


def seal_secret(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """A secret blob: nonce, AES-256-GCM ciphertext, tag.

    Args:
        key: 32 bytes, drawn for this secret.
        nonce: 12 bytes; never twice with one key.
        plaintext: the secret.
    """
    check_bytes("key", key, SECRET_KEY_BYTES)
    check_bytes("nonce", nonce, NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, None)


def open_secret(key: bytes, blob: bytes) -> bytes:
    """The plaintext of a secret blob.

    Raises:
        PeerFault: `SealBroken`; cut, changed, or of another key; `BadSecretKey`; the key has not 32 bytes.
    """
    if len(key) != SECRET_KEY_BYTES:
        raise PeerFault("BadSecretKey", f"{len(key)} bytes; it must have {SECRET_KEY_BYTES}")
    if len(blob) < NONCE_BYTES + TAG_BYTES:
        raise PeerFault(
            "SealBroken", f"a secret blob of {len(blob)} bytes; it has at least {NONCE_BYTES + TAG_BYTES}"
        )
    try:
        return AESGCM(key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], None)
    except InvalidTag as exc:
        raise PeerFault(
            "SealBroken", f"a secret blob of {len(blob)} bytes does not open with its key"
        ) from exc
