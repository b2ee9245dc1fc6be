"""Sealing, against a second implementation of HPKE's base mode written here from RFC 9180, sections 4 to 6.

The RFC's appendix has no vectors of our suite (X25519, HKDF-SHA256, AES-256-GCM), and its ciphertexts
have associated data that one-shot HPKE does not. So the second implementation is held against A.1.1
(the same suite with AES-128) and A.2.1 (with ChaCha20-Poly1305, whose key has the 32 bytes of
AES-256's), and then ours against the second, both ways.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol import sealing
from protocol.eip712 import Domain
from protocol.errors import PeerFault
from protocol.sealing import HPKE
from protocol.units import Address, PodId

private_keys = st.binary(min_size=32, max_size=32)
texts = st.binary(max_size=120)


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    assert length <= 32  # one block is enough for all that base mode needs
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]


def shared_secret(mine: bytes, theirs: bytes, enc: bytes, receiver: bytes) -> bytes:
    suite = b"KEM" + b"\x00\x20"
    dh = X25519PrivateKey.from_private_bytes(mine).exchange(X25519PublicKey.from_public_bytes(theirs))
    prk = labeled_extract(suite, b"", b"eae_prk", dh)
    return labeled_expand(suite, prk, b"shared_secret", enc + receiver, 32)


def schedule(secret: bytes, info: bytes, aead_id: int, key_bytes: int) -> tuple[bytes, bytes]:
    suite = b"HPKE" + b"\x00\x20" + b"\x00\x01" + aead_id.to_bytes(2, "big")
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"")
    context += labeled_extract(suite, b"", b"info_hash", info)
    prk = labeled_extract(suite, secret, b"secret", b"")
    key = labeled_expand(suite, prk, b"key", context, key_bytes)
    return key, labeled_expand(suite, prk, b"base_nonce", context, 12)


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@dataclass(frozen=True)
class Vector:
    """An entry of RFC 9180, appendix A, with its first encryption (sequence number 0, aad `Count-0`)."""

    aead: type[AESGCM | ChaCha20Poly1305]
    aead_id: int
    receiver: str
    ephemeral: str
    enc: str
    shared: str
    key: str
    nonce: str
    sealed: str


A_1_1 = Vector(
    aead=AESGCM,
    aead_id=1,
    receiver="4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
    ephemeral="52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
    enc="37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
    shared="fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
    key="4531685d41d65f03dc48f6b8302c05b0",
    nonce="56d890e5accaaf011cff4b7d",
    sealed="f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
)
A_2_1 = Vector(
    aead=ChaCha20Poly1305,
    aead_id=3,
    receiver="8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
    ephemeral="f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
    enc="1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
    shared="0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7",
    key="ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91",
    nonce="5c4d98150661b848853b547f",
    sealed="1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
)
RFC_INFO = b"Ode on a Grecian Urn"
RFC_PLAINTEXT = b"Beauty is truth, truth beauty"


@pytest.mark.parametrize("vector", [A_1_1, A_2_1], ids=["A.1.1", "A.2.1"])
def test_second_implementation_is_the_rfc_s(vector: Vector) -> None:
    receiver, ephemeral = bytes.fromhex(vector.receiver), bytes.fromhex(vector.ephemeral)
    enc = public(ephemeral)
    assert enc.hex() == vector.enc
    received = shared_secret(receiver, enc, enc, public(receiver))
    assert received == shared_secret(ephemeral, public(receiver), enc, public(receiver))
    assert received.hex() == vector.shared
    key, nonce = schedule(received, RFC_INFO, vector.aead_id, len(bytes.fromhex(vector.key)))
    assert (key.hex(), nonce.hex()) == (vector.key, vector.nonce)
    assert vector.aead(key).decrypt(nonce, bytes.fromhex(vector.sealed), b"Count-0") == RFC_PLAINTEXT


@given(receiver=private_keys, info=texts, plaintext=texts)
def test_our_seals_open_by_the_rfc(receiver: bytes, info: bytes, plaintext: bytes) -> None:
    blob = sealing.seal(public(receiver), info, plaintext)
    assert len(blob) == len(plaintext) + sealing.OVERHEAD_BYTES
    enc, ciphertext = blob[:32], blob[32:]
    key, nonce = schedule(shared_secret(receiver, enc, enc, public(receiver)), info, 2, 32)
    assert AESGCM(key).decrypt(nonce, ciphertext, b"") == plaintext


@given(receiver=private_keys, ephemeral=private_keys, info=texts, plaintext=texts)
def test_the_rfc_s_seals_open_here(receiver: bytes, ephemeral: bytes, info: bytes, plaintext: bytes) -> None:
    enc = public(ephemeral)
    key, nonce = schedule(shared_secret(ephemeral, public(receiver), enc, public(receiver)), info, 2, 32)
    blob = enc + AESGCM(key).encrypt(nonce, plaintext, b"")
    assert sealing.open_(receiver, info, blob) == plaintext
    assert HPKE.public_key(receiver) == public(receiver)


@given(receiver=private_keys, other=private_keys, plaintext=texts, data=st.data())
def test_opens_if_and_only_if_nothing_was_changed(
    receiver: bytes, other: bytes, plaintext: bytes, data: st.DataObject
) -> None:
    assume(public(receiver) != public(other))
    blob = sealing.seal(public(receiver), b"info", plaintext)
    assert sealing.open_(receiver, b"info", blob) == plaintext
    at = data.draw(st.integers(0, len(blob) - 1))
    # The top bit of an X25519 key is ignored (RFC 7748, section 5); HPKE binds `enc` as it is written, so it counts.
    changed = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    cut = blob[: data.draw(st.integers(0, len(blob) - 1))]
    wrong = [
        (receiver, b"inf", blob),
        (other, b"info", blob),
        (receiver, b"info", changed),
        (receiver, b"info", cut),
    ]
    for key, info, bad in wrong:
        with pytest.raises(PeerFault) as caught:
            sealing.open_(key, info, bad)
        assert caught.value.rule == "SealBroken"


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31)])
def test_nothing_is_sealed_for_a_bad_key(key: bytes) -> None:
    # All zeros and 1 are points of small order: their shared secret would be known to everybody.
    with pytest.raises(PeerFault, match="BadHpkeKey"):
        sealing.seal(key, b"", b"secret")


def test_a_seal_with_a_small_order_key_is_broken() -> None:
    with pytest.raises(PeerFault, match="SealBroken"):
        sealing.open_(bytes(31) + b"\x40", b"", bytes(100))


def test_bundle_info_is_as_written_down() -> None:
    domain = Domain(31337, Address(b"P" * 20))
    info = sealing.bundle_info(domain, b"K" * 32, Address(b"A" * 20), PodId(b"I" * 32), 7)
    chain_id = bytes(30) + b"\x7a\x69"
    assert (
        info
        == b"trusted-pods/bundle/1\x00"
        + b"K" * 32
        + chain_id
        + b"P" * 20
        + b"A" * 20
        + b"I" * 32
        + bytes(7)
        + b"\x07"
    )
    assert len(info) == 166


@pytest.mark.parametrize("life", [-1, 2**64])
def test_bundle_info_checks_its_parts(life: int) -> None:
    domain = Domain(1, Address(bytes(20)))
    with pytest.raises(ValueError, match="life"):
        sealing.bundle_info(domain, bytes(32), Address(bytes(20)), PodId(bytes(32)), life)
    with pytest.raises(ValueError, match="keys_hash"):
        sealing.bundle_info(domain, bytes(31), Address(bytes(20)), PodId(bytes(32)), 1)


# ---------------------------------------------------------------- secrets


@given(key=private_keys, nonce=st.binary(min_size=12, max_size=12), plaintext=texts)
def test_a_secret_blob_is_nonce_ciphertext_and_tag(key: bytes, nonce: bytes, plaintext: bytes) -> None:
    blob = sealing.seal_secret(key, nonce, plaintext)
    assert blob[:12] == nonce
    assert AESGCM(key).decrypt(nonce, blob[12:], None) == plaintext
    assert sealing.open_secret(key, blob) == plaintext


def test_a_known_secret_blob() -> None:
    # The GCM specification's test case 14: AES-256, key, nonce and plaintext of zeros.
    blob = sealing.seal_secret(bytes(32), bytes(12), bytes(16))
    assert blob[12:].hex() == "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"


@given(key=private_keys, other=private_keys, data=st.data())
def test_a_changed_secret_is_broken(key: bytes, other: bytes, data: st.DataObject) -> None:
    assume(key != other)
    blob = sealing.seal_secret(key, bytes(12), b"hunter2")
    at = data.draw(st.integers(0, len(blob) - 1))
    changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
    for bad_key, bad in [(other, blob), (key, changed), (key, blob[:at])]:
        with pytest.raises(PeerFault, match="SealBroken"):
            sealing.open_secret(bad_key, bad)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_and_nonces_have_their_sizes(size: int) -> None:
    with pytest.raises(PeerFault, match="BadSecretKey"):
        sealing.open_secret(bytes(size), bytes(40))
    with pytest.raises(ValueError, match="key"):
        sealing.seal_secret(bytes(size), bytes(12), b"")
    with pytest.raises(ValueError, match="nonce"):
        sealing.seal_secret(bytes(32), bytes(size), b"")


def test_the_rfc_s_text() -> None:
    """The vectors' `info` and plaintext are given in hex in the RFC; these are they."""
    assert RFC_INFO.hex() == "4f6465206f6e2061204772656369616e2055726e"
    assert RFC_PLAINTEXT.hex() == "4265617574792069732074727574682c20747275746820626561757479"
