"""The call format, held to eth-abi: any value of any type our contracts use, and any nonsense a node may send."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from eth_abi.abi import decode as their_decode
from eth_abi.abi import encode as their_encode
from hypothesis import given
from hypothesis import strategies as st

from protocol import abi
from protocol.errors import BadInput, PeerFault

ATOMS: dict[str, st.SearchStrategy[Any]] = {
    "address": st.binary(min_size=20, max_size=20),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bool": st.booleans(),
    "uint8": st.integers(0, 2**8 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "uint256": st.integers(0, 2**256 - 1),
    "string": st.text(max_size=70),
}


def compounds(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map(lambda kind: f"{kind}[]"),
        st.tuples(inner, st.integers(1, 5)).map(lambda made: f"{made[0]}[{made[1]}]"),
        st.lists(inner, min_size=1, max_size=4).map(lambda kinds: f"({','.join(kinds)})"),
    )


KINDS = st.recursive(st.sampled_from(sorted(ATOMS)), compounds, max_leaves=6)


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.endswith("[]"):
        return st.lists(values_of(kind[:-2]), max_size=4).map(tuple)
    if kind.endswith("]"):
        item, _, length = kind[:-1].rpartition("[")
        return st.lists(values_of(item), min_size=int(length), max_size=int(length)).map(tuple)
    if kind.startswith("("):
        return st.tuples(*map(values_of, abi._split(kind[1:-1])))
    return ATOMS[kind]


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    kinds = f"({','.join(draw(st.lists(KINDS, max_size=4)))})"
    return kinds, draw(values_of(kinds))


def plain(value: Any) -> Any:
    """eth-abi reads addresses as text."""
    match value:
        case str() if len(value) == 42 and value.startswith("0x"):
            return bytes.fromhex(value[2:])
        case tuple() | list():
            return tuple(map(plain, value))
        case _:
            return value


@given(typed())
def test_values_are_encoded_and_decoded_as_eth_abi_does(case: tuple[str, tuple[Any, ...]]) -> None:
    kinds, values = case
    data = abi.encode(kinds, values)
    assert data == their_encode(abi._split(kinds[1:-1]), values)
    assert abi.decode(kinds, data) == values
    assert plain(their_decode(abi._split(kinds[1:-1]), data)) == values


@given(typed(), st.data())
def test_damaged_data_is_refused_or_read_and_never_more(
    case: tuple[str, tuple[Any, ...]], data: st.DataObject
) -> None:
    kinds, values = case
    good = abi.encode(kinds, values)
    at = data.draw(st.integers(0, len(good)))
    bad = good[:at] + data.draw(st.binary(max_size=40)) + good[at + data.draw(st.integers(0, 40)) :]
    with contextlib.suppress(PeerFault):
        found = abi.decode(kinds, bad)
        again = abi.encode(kinds, found)  # what is read is a value of these types
        assert abi.decode(kinds, again) == found


def test_what_is_cut_short_is_refused() -> None:
    kinds, values = "((address,string)[],uint256)", (((b"\x01" * 20, "a text"),), 7)
    data = abi.encode(kinds, values)
    assert abi.decode(kinds, data + b"more") == values
    for size in range(len(data) - 26):  # the last 26 are the padding of the text
        with pytest.raises(PeerFault):
            abi.decode(kinds, data[:size])


def test_a_short_answer_cannot_become_a_long_computation() -> None:
    """Every entry of the outer list points to the same inner list: 1,000,000 numbers out of 64 KiB."""
    entries = 1000
    inner = entries.to_bytes(32, "big") + bytes(32) * entries
    outer = b"".join((entries * 32).to_bytes(32, "big") for _ in range(entries))
    data = (32).to_bytes(32, "big") + entries.to_bytes(32, "big") + outer + inner
    with pytest.raises(PeerFault, match="again and again"):
        abi.decode("(uint256[][])", data)
    with pytest.raises(PeerFault, match="entries"):
        abi.decode("(uint256[])", (32).to_bytes(32, "big") + (2**200).to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("kinds", "value"),
    [
        ("(uint8)", 256),
        ("(uint256)", -1),
        ("(uint256)", 2**256),
        ("(address)", b"\x01" * 32),
        ("(bytes32)", b"\x01" * 20),
        ("(uint256[5])", (1, 2, 3, 4)),
        ("((uint256,uint256))", (1,)),
    ],
)
def test_a_value_that_does_not_fit_is_bad_input(kinds: str, value: Any) -> None:
    with pytest.raises(BadInput):
        abi.encode(kinds, (value,))


@pytest.mark.parametrize(("kinds", "word"), [("(uint8)", 256), ("(bool)", 2), ("(address)", 2**160)], ids=str)
def test_dirty_bits_are_refused(kinds: str, word: int) -> None:
    with pytest.raises(PeerFault):
        abi.decode(kinds, word.to_bytes(32, "big"))


def test_a_text_that_is_none_does_not_hide_what_stands_beside_it() -> None:
    data = abi.encode("(string,uint256)", ("ab", 7)).replace(b"ab", b"\xff\xfe")
    assert abi.decode("(string,uint256)", data) == ("��", 7)


@pytest.mark.parametrize("kind", ["int256", "bytes", "uint7", "uint264", "fixed", "uint", ""])
def test_other_types_are_not_known(kind: str) -> None:
    with pytest.raises(ValueError, match="no ABI type"):
        abi.compiled(kind)
