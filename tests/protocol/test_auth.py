from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar

import pytest
from Crypto.Hash import keccak
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire
from protocol.auth import Amount, Offer, ProviderKeys, Request, Usage
from protocol.eip712 import NAME, VERSION, Domain
from protocol.errors import PeerFault
from protocol.keccak import keccak256
from protocol.signing import SECP256K1, address_of
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
    ours = SECP256K1.sign(digest, key)
    assert ours == bytes(theirs.signature)
    assert Account.recover_message(foreign, signature=ours) == Account.from_key(key).address
    assert (
        SECP256K1.recover(digest, ours) == bytes.fromhex(Account.from_key(key).address[2:]) == address_of(key)
    )


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


def test_keccak_is_ethereum_s() -> None:
    # Ethereum's empty-code hash (yellow paper, KEC of the empty string); SHA3-256 would be a7ff…
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("size", [0, 1, 32, 135, 136, 137, 1024, 1025, 5000])  # 136 bytes are a block
def test_both_makers_of_keccak_agree(size: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    assert keccak256(data) == keccak.new(digest_bits=256, data=data).digest()
    assert keccak256(data) == keccak256(data)  # remembered
    assert keccak256(data) != keccak256(data + b"\0")


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
