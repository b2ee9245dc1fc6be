from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import protocol
from protocol.errors import PeerFault
from protocol.sealing import HPKE, Sealer
from protocol.signing import SECP256K1, Scheme, address_of
from sim.crypto import COUNTED_SCHEME, COUNTED_SEALER

words = st.binary(min_size=32, max_size=32)
keys = st.integers(1, 50).map(lambda n: n.to_bytes(32, "big"))
texts = st.binary(max_size=60)

SCHEMES = [pytest.param(SECP256K1, id="real"), pytest.param(COUNTED_SCHEME, id="counted")]
SEALERS = [pytest.param(HPKE, id="real"), pytest.param(COUNTED_SEALER, id="counted")]


def signer_or_rule(scheme: Scheme, digest: bytes, signature: bytes) -> bytes | str:
    try:
        return scheme.recover(digest, signature)
    except PeerFault as fault:
        if fault.rule != "BadSignature":
            raise
        return fault.rule


@pytest.mark.parametrize("scheme", SCHEMES)
@given(digest=words, other=words, key=keys)
def test_every_scheme_finds_the_signer_and_refuses_what_was_changed(
    scheme: Scheme, digest: bytes, other: bytes, key: bytes
) -> None:
    assume(digest != other)
    signature = scheme.sign(digest, key)
    assert signature == scheme.sign(digest, key)
    assert len(signature) == len(SECP256K1.sign(digest, key)) == 65
    assert scheme.recover(digest, signature) == address_of(key)
    assert signer_or_rule(scheme, other, signature) != address_of(key)
    for bad in (signature[:-1], signature + b"\0", signature[:-1] + b"\x02", b""):
        with pytest.raises(PeerFault) as caught:
            scheme.recover(digest, bad)
        assert caught.value.rule == "BadSignature"


@pytest.mark.parametrize("scheme", SCHEMES)
@given(digest=words, key=keys, data=st.data())
def test_no_changed_signature_is_the_signer_s(
    scheme: Scheme, digest: bytes, key: bytes, data: st.DataObject
) -> None:
    signature = scheme.sign(digest, key)
    at = data.draw(st.integers(0, 64))
    changed = signature[:at] + bytes([signature[at] ^ data.draw(st.integers(1, 255))]) + signature[at + 1 :]
    assert signer_or_rule(scheme, digest, changed) != address_of(key)


@pytest.mark.parametrize("sealer", SEALERS)
@given(key=keys, other=keys, info=texts, plaintext=texts, data=st.data())
def test_every_seal_opens_if_and_only_if_nothing_was_changed(
    sealer: Sealer, key: bytes, other: bytes, info: bytes, plaintext: bytes, data: st.DataObject
) -> None:
    # X25519 ignores three low bits and the top one (RFC 7748, section 5), so other bytes can be the same key.
    assume(sealer.public_key(key) != sealer.public_key(other))
    blob = sealer.seal(sealer.public_key(key), info, plaintext)
    assert len(blob) == len(plaintext) + 48
    assert sealer.open_(key, info, blob) == plaintext
    at = data.draw(st.integers(0, len(blob) - 1))
    changed = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    moved = data.draw(st.integers(0, len(blob) - 1))
    for bad_key, bad_info, bad in (
        (other, info, blob),
        (key, info + b"\0", blob),
        (key, info, changed),
        (key, info, blob[:moved]),
    ):
        with pytest.raises(PeerFault) as caught:
            sealer.open_(bad_key, bad_info, bad)
        assert caught.value.rule == "SealBroken"


@pytest.mark.parametrize("sealer", SEALERS)
def test_no_seal_for_a_key_of_a_wrong_size(sealer: Sealer) -> None:
    with pytest.raises(PeerFault, match="BadHpkeKey"):
        sealer.seal(bytes(31), b"", b"")


def test_info_and_plaintext_cannot_be_shifted_into_each_other() -> None:
    key = bytes(31) + b"\x09"
    public = COUNTED_SEALER.public_key(key)
    tag = COUNTED_SEALER.seal(public, b"ab", b"c")[-16:]
    assert tag != COUNTED_SEALER.seal(public, b"a", b"bc")[-16:]


def test_keys_may_be_shared_with_real_seals() -> None:
    key = bytes(31) + b"\x09"
    assert COUNTED_SEALER.public_key(key) == HPKE.public_key(key)


def test_the_core_knows_nothing_of_counted_cryptography() -> None:
    files = sorted(Path(protocol.__file__).parent.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    imported = [name.name for name in names]
                case ast.ImportFrom(module=module):
                    imported = [module or ""]
                case _:
                    continue
            assert not any(name == "sim" or name.startswith("sim.") for name in imported), file
