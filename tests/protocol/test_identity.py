from __future__ import annotations

import contextlib
import hashlib

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from protocol.identity import cid_bytes, cid_of, cid_text, format_address, namespace, parse_address
from protocol.keccak import keccak256
from protocol.units import Address, Cid, PodId

addresses = st.binary(min_size=20, max_size=20).map(Address)
pods = st.binary(min_size=32, max_size=32).map(PodId)


@pytest.mark.parametrize(
    ("content", "cid"),
    [
        # What `ipfs add --cid-version 1 --raw-leaves` prints for an empty file, and for "hello world" without a newline.
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (b"hello world", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
    ],
)
def test_known_content_ids(content: bytes, cid: str) -> None:
    assert cid_of(content) == cid


@given(content=st.binary(max_size=100))
def test_content_ids_have_a_binary_form(content: bytes) -> None:
    cid = cid_of(content)
    assert cid_bytes(cid) == b"\x01\x55\x12\x20" + hashlib.sha256(content).digest()
    assert cid_text(cid_bytes(cid)) == cid


@pytest.mark.parametrize(
    "text",
    ["", "b", "bafk!", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKTPMv", "BAFKREI", "baeaaaa=", "bqaaaa"],
)
def test_no_content_id(text: str) -> None:
    with pytest.raises(BadInput, match="no content id"):
        cid_bytes(Cid(text))


@given(text=st.text(max_size=20))
def test_any_text_is_a_content_id_or_bad(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert cid_text(cid_bytes(Cid(text))) == text


@pytest.mark.parametrize(
    "text",
    [  # EIP-55, "Test Cases"
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ],
)
def test_eip55_cases(text: str) -> None:
    assert format_address(parse_address(text)) == text
    assert parse_address(text.lower()) == parse_address(text)
    mistyped = text.swapcase().replace("0X", "0x")
    if mistyped[2:] not in (text[2:].lower(), text[2:].upper()):
        with pytest.raises(BadInput, match="EIP-55"):
            parse_address(mistyped)


@given(address=addresses)
def test_addresses_round_trip(address: Address) -> None:
    text = format_address(address)
    assert text == to_checksum_address(address)
    assert parse_address(text) == parse_address(text.lower()) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x" + "0" * 39,
        "0x" + "g" * 40,
        "0x" + "0" * 41,
        "0X" + "0" * 40,
        "0x" + " " * 40,
        "0x" + "٠" * 40,
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(BadInput, match="no address"):
        parse_address(text)


def test_namespace_worked_by_hand() -> None:
    """Base32 (RFC 4648) of the digest, five bits a letter, from an integer instead of a library."""
    publisher, pod_id = Address(bytes(range(20))), PodId(bytes(range(100, 132)))
    number = (
        int.from_bytes(keccak256(publisher + pod_id), "big") << 4
    )  # 256 bits and 4 of padding: 52 letters
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    expected = "".join(letters[number >> 5 * place & 31] for place in reversed(range(52)))
    assert namespace(publisher, pod_id) == "tpod-" + expected


@given(publisher=addresses, pod_id=pods, other=pods)
def test_namespaces_are_kubernetes_names_of_one_pod(publisher: Address, pod_id: PodId, other: PodId) -> None:
    name = namespace(publisher, pod_id)
    assert len(name) == 57 <= 63
    assert name == name.lower()
    assert name.isascii()
    assert name.replace("-", "").isalnum()
    assert (namespace(publisher, other) == name) == (other == pod_id)


def test_a_namespace_is_of_both_its_keys() -> None:
    publishers = [Address(bytes([n]) * 20) for n in range(3)]
    pod_ids = [PodId(bytes([n]) * 32) for n in range(3)]
    names = {(p, i): namespace(p, i) for p in publishers for i in pod_ids}
    assert len(set(names.values())) == 9
    assert all(namespace(*of) == name for of, name in names.items())  # remembered


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="20 and 32"):
        namespace(Address(bytes(32)), PodId(bytes(20)))
    with pytest.raises(ValueError, match="20"):
        format_address(Address(bytes(19)))
