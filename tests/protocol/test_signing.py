"""One form of a signature, and no other: what is not in it is the peer's fault."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import PeerFault
from protocol.signing import SECP256K1, address_of

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

words = st.binary(min_size=32, max_size=32)
keys = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32, "big"))


def signer_or_rule(digest: bytes, signature: bytes) -> bytes | str:
    try:
        return SECP256K1.recover(digest, signature)
    except PeerFault as fault:
        if fault.rule != "BadSignature":
            raise
        return fault.rule


@given(digest=words, key=keys)
def test_signatures_have_one_form(digest: bytes, key: bytes) -> None:
    """Low s, v 27 or 28; its twin with a high s, which Ethereum's recovery takes, is refused."""
    signature = SECP256K1.sign(digest, key)
    s = int.from_bytes(signature[32:64], "big")
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert 0 < s <= ORDER // 2
    twin = signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(PeerFault) as caught:
        SECP256K1.recover(digest, twin)
    assert caught.value.rule == "BadSignature"


@given(
    digest=words,
    key=keys,
    v=st.one_of(st.sampled_from([0, 1, 26, 29, 30]), st.integers(0, 255)),
    length=st.integers(0, 70),
)
def test_bad_v_and_length(digest: bytes, key: bytes, v: int, length: int) -> None:
    signature = SECP256K1.sign(digest, key)
    assume(v not in (27, 28) and length != 65)
    for bad in (signature[:64] + bytes([v]), (signature + bytes(5))[:length]):
        with pytest.raises(PeerFault) as caught:
            SECP256K1.recover(digest, bad)
        assert caught.value.rule == "BadSignature"


@given(digest=words, signature=st.binary(min_size=64, max_size=64), v=st.sampled_from([27, 28]))
def test_any_bytes_have_a_signer_or_are_bad(digest: bytes, signature: bytes, v: int) -> None:
    signer = signer_or_rule(digest, signature + bytes([v]))
    assert signer == "BadSignature" or len(signer) == 20


@pytest.mark.parametrize(("r", "s"), [(0, 1), (ORDER, 1), (2**256 - 1, 1), (1, 0), (5, 1)])
def test_no_point_of_the_curve(r: int, s: int) -> None:
    # 5 is no x coordinate of secp256k1: 5**3 + 7 is no square modulo its prime.
    with pytest.raises(PeerFault, match="BadSignature"):
        SECP256K1.recover(bytes(32), r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\x1b")


@given(digest=words, key=keys, other=words)
def test_another_digest_has_another_signer(digest: bytes, key: bytes, other: bytes) -> None:
    assume(digest != other)
    assert signer_or_rule(other, SECP256K1.sign(digest, key)) != address_of(key)


def test_the_first_account_of_the_usual_test_mnemonic() -> None:
    # "test test … junk", account 0, as anvil and hardhat print it.
    key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    assert address_of(key).hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@pytest.mark.parametrize("key", [b"", bytes(32), ORDER.to_bytes(32, "big"), bytes(31) + b"\x01\x01"])
def test_no_private_key(key: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SECP256K1.sign(bytes(32), key)
    with pytest.raises(ValueError, match=r".+"):
        address_of(key)
