from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol import wire
from protocol.auth import (
    SECP256K1,
    Amount,
    Offer,
    ProviderKeys,
    Request,
    Usage,
    address_of,
    recover,
    sign,
)
from protocol.eip712 import NAME, VERSION, Domain
from protocol.errors import PeerFault
from protocol.keccak import keccak256
from protocol.units import Address, PodId

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

addresses = st.binary(min_size=20, max_size=20).map(Address)
words = st.binary(min_size=32, max_size=32)
pods = words.map(PodId)
uint64s = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.just(2**64 - 1))
uint256s = st.one_of(st.integers(0, 3), st.integers(0, 2**256 - 1), st.just(2**256 - 1))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
domains = st.builds(Domain, st.integers(0, 2**256 - 1), addresses)
keys = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32, "big"))

requests = st.builds(Request, texts, addresses, addresses, pods, uint64s, uint64s, words, words, uint64s)
offers = st.builds(
    Offer,
    addresses,
    addresses,
    pods,
    words,
    addresses,
    uint256s,
    words,
    uint64s,
    uint256s,
    uint64s,
    words,
    uint64s,
)
amounts = st.builds(Amount, texts, st.booleans(), uint256s)
bills = st.builds(
    Usage,
    addresses,
    addresses,
    pods,
    uint64s,
    uint64s,
    uint64s,
    uint64s,
    st.lists(amounts, max_size=4).map(tuple),
    uint256s,
    words,
)
provider_keys = st.builds(ProviderKeys, addresses, words, words, uint64s, uint64s)
signed = st.one_of(requests, offers, bills, provider_keys)

Signed = Request | Offer | Usage | ProviderKeys


class Foreign:
    """The same structures as eth-account is told of them: types and names written out again, from the document."""

    TYPES: ClassVar[dict[str, str]] = {
        "Request": "string method; address publisher; address provider; bytes32 podId; uint64 life; uint64 seq; "
        "bytes32 requestId; bytes32 bodyHash; uint64 expiresAt",
        "Offer": "address publisher; address provider; bytes32 podId; bytes32 capacityHash; address token; "
        "uint256 tableId; bytes32 pricesHash; uint64 minUnlockTime; uint256 minDeposit; uint64 graceSeconds; "
        "bytes32 keysHash; uint64 expiresAt",
        "Usage": "address publisher; address provider; bytes32 podId; uint64 life; uint64 seq; uint64 fromMs; "
        "uint64 toMs; Amount[] cumulative; uint256 owed; bytes32 previous",
        "Amount": "string resource; bool usage; uint256 quantity",
        "ProviderKeys": "address provider; bytes32 peerIdHash; bytes32 hpkeKey; uint64 notBefore; uint64 notAfter",
    }

    @classmethod
    def members(cls, name: str) -> list[dict[str, str]]:
        pairs = [member.split() for member in cls.TYPES[name].split("; ")]
        return [{"type": kind, "name": member} for kind, member in pairs]

    @classmethod
    def values(cls, thing: Signed | Amount) -> dict[str, Any]:
        names = [member["name"] for member in cls.members(type(thing).__name__)]
        values = [getattr(thing, field.name) for field in fields(thing)]
        values = [[cls.values(v) for v in value] if isinstance(value, tuple) else value for value in values]
        return dict(zip(names, values, strict=True))

    @classmethod
    def typed_data(cls, thing: Signed, domain: Domain) -> Any:
        name = type(thing).__name__
        needed = [name, "Amount"] if name == "Usage" else [name]
        return encode_typed_data(
            domain_data={
                "name": "Trusted Pods",
                "version": "1",
                "chainId": domain.chain_id,
                "verifyingContract": "0x" + domain.contract.hex(),
            },
            message_types={each: cls.members(each) for each in needed},
            message_data=cls.values(thing),
        )


def test_domain_name() -> None:
    assert (NAME, VERSION) == ("Trusted Pods", "1")


@given(thing=signed, domain=domains, key=keys)
def test_digest_and_signature_are_those_of_eth_account(thing: Signed, domain: Domain, key: bytes) -> None:
    foreign = Foreign.typed_data(thing, domain)
    digest = keccak256(b"\x19\x01" + foreign.header + foreign.body)
    assert thing.digest(domain) == digest
    theirs = Account.sign_message(foreign, key)
    ours = sign(digest, key)
    assert ours == bytes(theirs.signature)
    assert Account.recover_message(foreign, signature=ours) == Account.from_key(key).address
    assert recover(digest, ours) == bytes.fromhex(Account.from_key(key).address[2:]) == address_of(key)


@given(thing=signed)
def test_wire_form_round_trips(thing: Signed) -> None:
    message = thing.to_wire()
    again = wire.parse(type(message), wire.dump(message))
    assert type(thing).from_wire(again) == thing  # type: ignore[arg-type]


@given(thing=signed, domain=domains, data=st.data())
def test_each_member_and_the_domain_change_the_digest(
    thing: Signed, domain: Domain, data: st.DataObject
) -> None:
    strategies: dict[type[Signed], st.SearchStrategy[Any]] = {
        Request: requests,
        Offer: offers,
        Usage: bills,
        ProviderKeys: provider_keys,
    }
    other: Signed = data.draw(strategies[type(thing)])
    for field in fields(thing):
        value = getattr(other, field.name)
        if value != getattr(thing, field.name):
            changed = replace(thing, **{field.name: value})
            assert changed.digest(domain) != thing.digest(domain), field.name
    for elsewhere in (
        Domain((domain.chain_id + 1) % 2**256, domain.contract),
        Domain(domain.chain_id, Address(bytes(20 * [domain.contract[0] ^ 1]))),
    ):
        assert thing.digest(elsewhere) != thing.digest(domain)


def signer_or_rule(digest: bytes, signature: bytes) -> bytes | str:
    try:
        return recover(digest, signature)
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
    signature = sign(digest, key)
    assume(v not in (27, 28) and length != 65)
    for bad in (signature[:64] + bytes([v]), (signature + bytes(5))[:length]):
        with pytest.raises(PeerFault) as caught:
            recover(digest, bad)
        assert caught.value.rule == "BadSignature"


@given(digest=words, signature=st.binary(min_size=64, max_size=64), v=st.sampled_from([27, 28]))
def test_any_bytes_have_a_signer_or_are_bad(digest: bytes, signature: bytes, v: int) -> None:
    signer = signer_or_rule(digest, signature + bytes([v]))
    assert signer == "BadSignature" or len(signer) == 20


@pytest.mark.parametrize(("r", "s"), [(0, 1), (ORDER, 1), (2**256 - 1, 1), (1, 0), (5, 1)])
def test_no_point_of_the_curve(r: int, s: int) -> None:
    # 5 is no x coordinate of secp256k1: 5**3 + 7 is no square modulo its prime.
    with pytest.raises(PeerFault, match="BadSignature"):
        recover(bytes(32), r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\x1b")


@given(digest=words, key=keys, other=words)
def test_another_digest_has_another_signer(digest: bytes, key: bytes, other: bytes) -> None:
    assume(digest != other)
    assert signer_or_rule(other, sign(digest, key)) != address_of(key)


def test_keccak_is_ethereum_s() -> None:
    # Ethereum's empty-code hash (yellow paper, KEC of the empty string); SHA3-256 would be a7ff…
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_the_first_account_of_the_usual_test_mnemonic() -> None:
    # "test test … junk", account 0, as anvil and hardhat print it.
    key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    assert address_of(key).hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@pytest.mark.parametrize("field", ["publisher", "provider", "podId", "requestId", "bodyHash"])
@pytest.mark.parametrize("size", [0, 19, 31, 33])
def test_fields_of_a_wrong_size_are_malformed(field: str, size: int) -> None:
    request = Request(
        "m", Address(bytes(20)), Address(bytes(20)), PodId(bytes(32)), 1, 1, bytes(32), bytes(32), 1
    )
    message = request.to_wire()
    setattr(message, field, bytes(size))
    with pytest.raises(PeerFault, match="MalformedMessage"):
        Request.from_wire(message)


def test_a_quantity_of_33_bytes_is_malformed() -> None:
    with pytest.raises(PeerFault, match="MalformedMessage"):
        Amount.from_wire(wire.pb.Amount(resource="cpu", quantity=bytes(33)))
    assert Amount.from_wire(wire.pb.Amount(resource="cpu", quantity=b"\x01\x00")).quantity == 256
    assert Amount.from_wire(wire.pb.Amount(resource="cpu")).quantity == 0


@pytest.mark.parametrize("quantity", [-1, 2**256])
def test_own_values_out_of_range_are_bugs(quantity: int) -> None:
    with pytest.raises(ValueError, match="quantity"):
        Amount("cpu", True, quantity)


@pytest.mark.parametrize("key", [b"", bytes(32), ORDER.to_bytes(32, "big"), bytes(31) + b"\x01\x01"])
def test_no_private_key(key: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sign(bytes(32), key)
    with pytest.raises(ValueError, match=r".+"):
        address_of(key)
